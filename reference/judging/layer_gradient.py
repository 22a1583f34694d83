"""Is a layer's weight gradient δᵀA, without computing δᵀA? Freivalds' check, for layers too large for anything dearer.

G = δᵀA has units × inputs numbers, each a sum over the batch. With a vector r of random signs, G r and δᵀ(A r) cost a
row each instead of a matrix, and are the same only if G is right, but for rounding and luck
(R. Freivalds, Probabilistic machines can use less running time, IFIP Congress 1977; Fast probabilistic algorithms,
MFCS 1979).

Luck. Let D = G − δᵀA. If element j of row i is off by D[i,j], then of the two vectors that differ in the sign of r[j]
alone, one gives |D[i]·r| ≥ |D[i,j]|. So with k vectors an element that is off by more than the row's tolerance is
missed with a probability of at most 2⁻ᵏ. An error that is spread over a row, each of its numbers small, shows by its
size ‖D[i]‖: |D[i]·r| ≥ ‖D[i]‖/2 with a probability of at least 3/16 (Paley and Zygmund's inequality, and
E (D·r)⁴ ≤ 3‖D‖⁴), so if that is more than twice the tolerance, it is missed with at most (13/16)ᵏ.

Rounding. An honest G is off by at most e[i,j] = w Σ |δ||A| + lost, as everywhere in the judge (`error_model.py`). The
signs are drawn without looking at G, so whatever the errors are, |Σⱼ e[i,j] r[j]| ≤ λ‖e[i]‖ but for 2 exp(−λ²/2)
(Hoeffding's inequality); λ is such that all rows and vectors together raise a false alarm once in 10⁹ checks. And
‖e[i]‖ ≤ w ‖δ[:,i]‖ ‖A‖ + √inputs lost, by Cauchy and Schwarz. Where Σⱼ e[i,j] is smaller, it is the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..case import InvalidInput, one_of
from ..numbers import CHANNELS, FLOAT64, PROFILES, U64, WORST, Model, gamma
from .verdict import SEVERITY, Element, Verdict

Array = NDArray[np.float64]

VECTORS = 64
FALSE_ALARMS = 1e-9  # of a check, as of a run of the judge
ROWS_AT_A_TIME = 256  # of the gradient, as float64: it may be larger than memory, and come from a file
SHOWN = 3


@dataclass(frozen=True)
class LayerGradientCheck:
    """What `check_layer_gradient` found.

    verdict: wrong, if any row is; undecided, if no row's check could have refused a row of zeros
    wrong, undecided: how many rows of `rows`
    elements: the furthest out of each wrong row, computed anew; the furthest out first, at most three
    sees: the smallest error of a single element that is sure to be seen but for `missed`, in the worst decided row, in
        units of the largest number of the gradient; None where nothing is decided
    missed: the probability, at most, that an element that is off by more goes unseen
    missed_spread: the same of a row that is off by twice as much in the root of its sum of squares
    """

    verdict: Verdict
    rows: int
    wrong: int
    undecided: int
    elements: tuple[Element, ...]
    sees: float | None
    missed: float
    missed_spread: float
    precision: str
    vectors: int

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.AGREES

    def __str__(self) -> str:
        how = f"{self.precision}, {self.vectors} vectors"
        if self.verdict is Verdict.UNDECIDED:
            return fill(f"undecided: in no row is rounding small enough to refuse a row of zeros ({how})", 80)
        if self.verdict is Verdict.AGREES:
            left = f"; {self.undecided} rows are undecided" if self.undecided else ""
            return fill(
                f"agrees: an element that is off by {self.sees:.1e} of the largest would have been refused, but for a "
                f"chance of {self.missed:.1e}{left} ({how})",
                80,
            )
        lines = [f"wrong: {self.wrong} of {self.rows} rows are not those of δᵀA ({how})"]
        lines += [
            f"  unit {e.index[0]}, input {e.index[1]}: expected {e.expected:.9g}, got {e.got:.9g}, "
            f"tolerance {e.tolerance:.3g}"
            for e in self.elements
        ]
        return "\n".join(lines)


def check_layer_gradient(
    deltas: Any, activations: Any, gradient: Any, *, precision: str | None = None, vectors: int = VECTORS, seed: int = 0
) -> LayerGradientCheck:
    """Whether a dense layer's weight gradient is δᵀA, at a fraction of what computing it costs.

    deltas: batch × units, ∂E/∂z of the layer; with reduction "mean" they carry 1/batch already
    activations: batch × inputs, what the layer received
    gradient: units × inputs; an array that is mapped from a file is read a few rows at a time
    precision: what it was computed in, a profile such as "tf32"; by default the gradient's own format
    vectors: k; the check costs k/batch + k/units + k/inputs of the gradient, and misses an element with at most 2⁻ᵏ
    seed: of the signs; they must not be known to what computed the gradient
    Raises InvalidInput: shapes that do not fit, unknown formats, deltas or activations that are not finite.
    """
    delta, a = _operand("deltas", deltas, "batch × units"), _operand("activations", activations, "batch × inputs")
    given = np.asarray(gradient)
    _check_shapes(delta, a, given)
    name = given.dtype.name if precision is None else precision
    one_of("precision" if precision else "gradient.dtype", name, PROFILES)
    if not isinstance(vectors, int) or vectors < 1:
        raise InvalidInput(f"vectors: expected a whole number from 1 on, got {vectors!r}.")
    signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), (a.shape[1], vectors))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return _checked(delta, a, given, signs, Model(PROFILES[name], len(CHANNELS)))


@dataclass(frozen=True)
class _Bounds:
    """Of each row: how far G r may be from δᵀ(A r), and what of that is this check's own float64, but for |G|'s part.

    size: at least Σ |δ||a| of any of its elements
    """

    tolerance: Array
    own: Array
    size: Array


def _checked(delta: Array, a: Array, gradient: NDArray[Any], signs: Array, model: Model) -> LayerGradientCheck:
    units, inputs = gradient.shape
    bounds = _bounds(delta, a, model, signs.shape[1])
    wanted = delta.T @ (a @ signs)
    sizes, sees, off = np.zeros(units), np.zeros(units), np.zeros(units)
    finite = np.zeros(units, bool)
    largest = 0.0
    for rows, block in _blocks(gradient):
        size = np.abs(block)
        row_sums = size.sum(1)
        finite[rows] = np.isfinite(row_sums)
        own = bounds.own[rows] + gamma(inputs, U64) * row_sums
        sees[rows] = bounds.tolerance[rows] + 2 * own
        off[rows] = np.abs(block @ signs - wanted[rows]).max(1) / (bounds.tolerance[rows] + own)
        furthest_out = size.max(1)  # no less, where the squares are too small
        sizes[rows] = np.maximum(np.sqrt(np.einsum("ij,ij->i", block, block)), furthest_out)
        largest = max(largest, float(furthest_out.max(initial=0.0, where=finite[rows])))
    off[~finite] = math.inf
    # Where an honest sum may overflow, in the layer's format or in ours, nothing is said of the row.
    overflows = ~finite & (bounds.size > min(model.largest, model.largest_sum)) | ~np.isfinite(
        bounds.tolerance + bounds.own
    )
    wrong = (off > 1) & ~overflows
    # A dead unit's row, of zeros, is decided: anything else there would be seen.
    undecided = ~wrong & (overflows | ((2 * sees > sizes) & (bounds.size > 0)))
    decided = ~undecided & ~wrong
    found = {Verdict.WRONG: wrong.any(), Verdict.AGREES: decided.any(), Verdict.UNDECIDED: True}
    furthest = [int(i) for i in np.argsort(-np.where(wrong, off, 0.0), kind="stable")[:SHOWN] if wrong[i]]
    vectors = signs.shape[1]
    return LayerGradientCheck(
        verdict=next(verdict for verdict in SEVERITY if found.get(verdict)),
        rows=units,
        wrong=int(wrong.sum()),
        undecided=int(undecided.sum()),
        elements=tuple(_furthest(delta, a, gradient, i, model) for i in furthest),
        sees=float(sees[decided].max()) / largest if decided.any() and largest else 0.0 if decided.any() else None,
        missed=2.0**-vectors,
        missed_spread=(13 / 16) ** vectors,
        precision=model.profile.name,
        vectors=vectors,
    )


def _bounds(delta: Array, a: Array, model: Model, vectors: int) -> _Bounds:
    (batch, units), inputs = delta.shape, a.shape[1]
    relative, lost = _of_one_element(batch, model)
    outward = 1 + gamma(batch * inputs + 8, U64)  # of the sums below
    absolute = np.abs(delta)
    row_sums = np.abs(a).sum(1)
    sums = outward * (row_sums @ absolute)  # Σⱼ Σ |δ||A|
    rows, columns = outward * _norms(delta), outward * _norms(a)
    deviations = math.sqrt(2 * math.log(2 * units * vectors / FALSE_ALARMS))
    by_chance = deviations * (
        relative * rows * outward * float(_norms(columns[:, None]).item()) + math.sqrt(inputs) * lost
    )
    own = outward * (gamma(inputs, U64) + gamma(batch, U64) * outward) * sums + batch * FLOAT64.smallest_normal
    tolerance = np.minimum(by_chance, relative * sums + inputs * lost)
    return _Bounds(np.where(np.isnan(tolerance), math.inf, tolerance), own, rows * float(columns.max(initial=0.0)))


def _norms(columns: Array) -> Array:
    """‖ ‖ of each column, of numbers whose squares may be too large or too small."""
    largest = np.abs(columns).max(0)
    scaled = columns / np.where(largest > 0, largest, 1.0)
    return largest * np.sqrt(np.einsum("bi,bi->i", scaled, scaled))


def _of_one_element(batch: int, model: Model) -> tuple[float, float]:
    """How far an honest element may be off: relative to Σ |δ||a|, and by underflow."""
    lost = model.lost_in_sum(batch) + model.lost
    return float(model.sums(batch)[WORST].item()), float(lost[WORST].item())


def _furthest(delta: Array, a: Array, gradient: NDArray[Any], row: int, model: Model) -> Element:
    """The element of a wrong row that is furthest out, from the whole row, computed anew."""
    batch = len(delta)
    relative, lost = _of_one_element(batch, model)
    got = np.asarray(gradient[row], np.float64)
    expected = delta[:, row] @ a
    tolerance = (relative + gamma(batch, U64)) * (np.abs(delta[:, row]) @ np.abs(a)) + lost
    error = np.abs(got - expected)
    j = int(np.argmax(np.where(np.isnan(error), math.inf, error / tolerance)))
    return Element((row, j), float(expected[j]), float(got[j]), float(tolerance[j]))


def _blocks(gradient: NDArray[Any]) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(gradient), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        yield rows, np.asarray(gradient[rows], np.float64)


def _operand(name: str, given: Any, shape: str) -> Array:
    array = np.asarray(given)
    if array.ndim != 2 or not array.size:
        raise InvalidInput(f"{name}: expected {shape}, got {_shape(array)}.")
    _check_format(name, array)
    numbers = np.asarray(array, np.float64)
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{name}: expected finite numbers; there are infinities or NaN, so there is no δᵀA.")
    return numbers


def _check_format(name: str, array: NDArray[Any]) -> None:
    if array.dtype.name not in PROFILES:
        raise InvalidInput(f"{name}: expected an array of {', '.join(PROFILES)}; got {array.dtype.name}.")


def _check_shapes(delta: Array, a: Array, gradient: NDArray[Any]) -> None:
    if len(delta) != len(a):
        raise InvalidInput(f"activations: expected as many rows as deltas, {len(delta)}, got {len(a)}: one a sample.")
    wanted = (delta.shape[1], a.shape[1])
    if gradient.shape != wanted:
        hint = " If yours is stored inputs × units, pass gradient.T." if gradient.shape == wanted[::-1] else ""
        raise InvalidInput(
            f"gradient: expected units × inputs, {wanted[0]} × {wanted[1]}, got {_shape(gradient)}.{hint}"
        )
    _check_format("gradient", gradient)


def _shape(array: NDArray[Any]) -> str:
    return " × ".join(map(str, array.shape)) or "a number"
