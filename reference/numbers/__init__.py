"""Kinds of number: floats, arrays, values with bounds, certified balls, pairs of doubles; and their formats.

First to read: `arithmetic.py`, what the chain rule needs of a kind of number; then `plain.py`, `bounded.py`,
`certified.py`, `doubled.py`. Where a format's roundings come from: `precision.py`, `error_model.py`, `atlas.py`.
"""

from typing import TYPE_CHECKING

from ..doors import door

if TYPE_CHECKING:
    from .arithmetic import Arithmetic, Curve, Functions, Matrix, Number, Rows, Uncertain
    from .arrays import ArrayArithmetic, ArrayFunctions, array_of, erf, format_name, narrowed, numpy_dtype
    from .atlas import ATLAS_FILE, Campaign, Measurement, campaigns, decoded, encoded, gross
    from .bounded import BoundedArithmetic
    from .bounded_values import Bounded, exactly
    from .certified import BITS, PRECISIONS_IN_BITS, BallFunctions, CertifiedArithmetic, Enclosure, enclosures
    from .doubled import DoubledArithmetic, enclosures_in_pairs
    from .error_model import CHANNELS, LAMBDA, OUTWARD, RANDOM, SYSTEMATIC, TRUTH, U64, WORST, Model, gamma
    from .kernels import NUMPY, Kernels
    from .plain import PLAIN, FloatFunctions, PlainArithmetic, PlainMatrix
    from .precision import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, PRECISIONS, PROFILES, TF32, Precision, Profile
    from .repeated import alike, lost_alike
    from .reproducible import REPRODUCIBLE
else:
    __getattr__ = door(__name__)
