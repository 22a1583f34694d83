"""Formats, against NumPy's own idea of them."""

from __future__ import annotations

import math
import struct

import pytest
from backproof.reference.numbers.precision import FLOAT32, FLOAT64, PRECISIONS
from hypothesis import given
from hypothesis import strategies as st


@given(st.floats(allow_nan=False))
def test_rounding_to_float32_is_what_the_machine_does(x: float) -> None:
    try:
        (expected,) = struct.unpack("f", struct.pack("f", x))
    except OverflowError:  # struct refuses what rounds to infinity
        expected = math.copysign(math.inf, x)
    assert FLOAT32.nearest(x) == expected


@pytest.mark.parametrize("name", PRECISIONS)
def test_limits_are_those_of_numpy(name: str) -> None:
    np = pytest.importorskip("numpy")
    precision = PRECISIONS[name]
    info = pytest.importorskip("ml_dtypes").finfo(name) if name == "bfloat16" else np.finfo(name)
    assert (precision.largest, precision.smallest_normal) == (float(info.max), float(info.smallest_normal))
    assert 2 * precision.unit_roundoff == float(info.eps)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_ulp_is_the_gap_to_the_next_number(x: float) -> None:
    assert FLOAT64.ulp(x) == math.ulp(x)


def test_what_a_format_holds() -> None:
    assert FLOAT32.holds(0.5)
    assert not FLOAT32.holds(0.1)
    assert FLOAT64.holds(0.1)
    assert not FLOAT32.holds(1e39)
