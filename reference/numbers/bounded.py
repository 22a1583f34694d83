"""Value with bounds: how far an honest implementation may be from the truth. No tolerance is picked, all are derived.

An element is a value, computed in float64, with several errors beside it, its `CHANNELS`. All are distances from the
*exact* result x of exact inputs:

    truth       |value − x|: how far our own value may be off. The interval value ± truth encloses the exact result
    worst       |x̂ − x| for *every* honest implementation in the profile judged: each sum of products added up in any
                order, with or without FMA; each function within its stated ulps; subnormals kept or flushed to zero
    systematic  the part of |x̂ − x| that may have one sign in many elements: functions' ulps, a rounded constant,
                factors read in a narrower format, underflow
    random      the rest, as what rounding errors of either sign add up to: a sub-Gaussian scale (a standard deviation,
                if one likes), so that |x̂ − x| ≤ systematic + λ · random but for a probability set by λ

How errors arise, with u the unit roundoff:

- one operation:      fl(x ∘ y) = (x ∘ y)(1 + θ), |θ| ≤ u
- a sum of n products, any order:  |fl(Σ xᵢyᵢ) − Σ xᵢyᵢ| ≤ γₙ Σ |xᵢ||yᵢ|, γₙ = nu / (1 − nu)
  (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 2002, §2.2 and §3.1), and, roundings being
  independent and of mean zero, ≤ γ̃ₙ(λ) Σ |xᵢ||yᵢ|, γ̃ₙ(λ) = exp(λ√n·u + nu²/(1 − u)) − 1, but for a probability
  of 2n·exp(−λ²(1 − u)²/2) (Higham & Mary, SIAM J. Sci. Comput. 41(5), 2019, thms. 2.4 and 3.1)
- errors of the operands travel by the interval rules for +, −, ×, ÷ and by the largest slope in reach for functions
- underflow: every operation may lose up to the smallest normal number, and a number that may be subnormal may be
  read as zero (XLA and GPUs flush)
- overflow: where an honest implementation may overflow, the bound is infinite, and the judge says "undecided"

Errors are themselves computed in float64; `OUTWARD` and a growing factor in sums keep them on the large side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Curve, Formula, Rows
from .bounded_values import Bounded, BoundedFunctions, exactly, settled, undivided_model, unless_lost
from .error_model import LAMBDA, OUTWARD, RANDOM, SYSTEMATIC, TRUTH, WORST, model_of, own_error
from .kernels import NUMPY, Kernels
from .precision import Precision, Profile
from .repeated import lost, lost_alike
from .upper_bounds import crowds

Array = NDArray[np.float64]

BLOCK = 2**14  # elements that elementwise work is done on at a time
ALL_CHANNELS = 2**23  # multiplications of a product up to which each channel has its own

# glibc hands freed arrays back to the system, and each new one then costs a page fault per 4 KiB: half the time of a
# small network. Once a block of almost 32 MiB was freed, it keeps what is free (mallopt(3), M_MMAP_THRESHOLD).
np.empty(2**25 - 2**16, np.uint8)


class BoundedArithmetic:
    """Matrices of `Bounded`. Values in float64, and so are the bounds.

    profile: of the implementation to be judged; a `Precision` stands for the profile that does all in that format
    channels: how many of `CHANNELS` to keep; the first two are enough from end to end, where errors of one layer
        meet again in the next and are not independent of each other
    kernels: NumPy's and BLAS's, or those of `reproducible.py`, for bounds that are the same on every processor
    """

    def __init__(self, profile: Profile | Precision, channels: int = 2, kernels: Kernels = NUMPY) -> None:
        if isinstance(profile, Precision):
            profile = Profile(profile.name, profile, profile, profile, profile)
        self.model = model_of(profile, channels)
        self.kernels = kernels
        self.functions = BoundedFunctions(self.model, kernels)

    def lift(self, rows: Rows) -> Bounded:
        """Numbers that everyone has; a subnormal one may be read as zero."""
        value = np.array(rows, dtype=np.float64, ndmin=2)
        size = np.abs(value)
        lifted = exactly(value, self.model)
        lifted.__dict__["reach"] = size
        if size.min() >= self.model.flushed_below[WORST]:
            return lifted
        subnormal = size < self.model.flushed_below[WORST]
        if not value[subnormal].any():
            return lifted
        may_be_zero = np.where(subnormal, size, 0.0)
        return Bounded(value, may_be_zero * (self.model.flushed_below > 0), self.model)

    def around(self, value: Rows, error: Rows) -> Bounded:
        """Exact numbers that are known to be within `error` of `value`."""
        middle = np.asarray(value, np.float64)
        errors = np.zeros((self.model.channels, *middle.shape))
        errors[TRUTH] = error
        return Bounded(middle, errors, self.model)

    def shared(self, matrix: Bounded) -> Bounded:
        """A matrix as the operand of a sum: the errors of its elements will be shared by all sums that they go into."""
        if self.model.channels <= RANDOM or matrix.exact:
            return matrix
        errors = np.broadcast_to(matrix.errors, (self.model.channels, *matrix.value.shape)).copy()
        errors[SYSTEMATIC] = np.minimum(errors[WORST], errors[SYSTEMATIC] + LAMBDA * errors[RANDOM])
        errors[RANDOM] = 0
        return Bounded(matrix.value, errors, matrix.model)

    def as_computed(self, activation: Curve | None, z: Bounded, matrix: Bounded) -> Bounded:
        """Activations of z (None: softmax), of which a neighbouring step may use its own, as good an approximation."""
        with np.errstate(all="ignore"):
            if activation is not None and activation.steepest is None:
                # what its formula adds, where z is certain
                own = self.functions.activated(activation, exactly(z.value, z.model)).errors
                errors = np.broadcast_to(own, (self.model.channels, *matrix.value.shape)).copy()
            else:
                errors = self._own(activation, matrix) * np.abs(matrix.value)
            errors[TRUTH] = 0
            errors += matrix.errors
            return Bounded(matrix.value, errors, matrix.model)

    def _own(self, activation: Curve | None, matrix: Bounded) -> Array:
        """The relative error that computing the activation adds. Softmax: two exponentials, a sum, two roundings."""
        if activation is not None:
            return self.model.ulps(activation.name)
        return 2 * self.model.ulps("exp") + self.model.reductions(matrix.value.shape[1]) + 2 * self.model.rounding

    def ones(self, rows: int, columns: int) -> Bounded:
        return exactly(np.ones((rows, columns)), self.model)

    def shape(self, matrix: Bounded) -> tuple[int, int]:
        rows, columns = matrix.value.shape
        return rows, columns

    def transpose(self, matrix: Bounded) -> Bounded:
        transposed = Bounded(matrix.value.T, matrix.errors.transpose(0, 2, 1), matrix.model)
        transposed.__dict__["reach"] = matrix.reach.T  # they are large for weights, and asked for again
        transposed.__dict__["widest"] = matrix.widest
        return transposed

    def matmul(self, left: Bounded, right: Bounded) -> Bounded:
        return self._sum_of_products(left, right, None)

    def weighted_sums(self, inputs: Bounded, weights: Bounded, biases: Bounded | None) -> Bounded:
        return self._sum_of_products(inputs, self.transpose(weights), biases)

    def elementwise(self, formula: Formula, *matrices: Bounded) -> Bounded:
        def block(*parts: Bounded) -> Bounded:
            result: Bounded = formula(*parts, self.functions)
            return result

        with np.errstate(all="ignore"):
            return self._in_blocks(block, *matrices)

    def activate(self, activation: Curve, z: Bounded) -> Bounded:
        with np.errstate(all="ignore"):
            return self._in_blocks(lambda part: self.functions.activated(activation, part), z)

    def _in_blocks(self, compute: Callable[..., Bounded], *matrices: Bounded) -> Bounded:
        """An elementwise computation, some rows at a time, so that the work stays in the processor's cache."""
        rows, columns = matrices[0].value.shape
        step = max(1, BLOCK // columns)
        if step >= rows or self.model.channels > RANDOM:  # how often a number repeats, only the whole shows
            return compute(*matrices)
        parts = [compute(*(m.rows(slice(k, k + step)) for m in matrices)) for k in range(0, rows, step)]
        shape = (self.model.channels, *parts[0].value.shape)
        errors = [np.broadcast_to(part.errors, (*shape[:1], *part.value.shape)) for part in parts]
        return Bounded(np.concatenate([part.value for part in parts]), np.concatenate(errors, axis=1), parts[0].model)

    def softmax(self, z: Bounded) -> Bounded:
        """exp(zᵢ) / Σ exp(zⱼ): errors in z act on the exponents, ∂ log sᵢ = ∂zᵢ − Σ sⱼ ∂zⱼ, and so does the shift's."""
        with np.errstate(all="ignore"):
            shifted = z.value - z.value.max(axis=1, keepdims=True)
            exponentials = self.kernels.exp(shifted)
            value = exponentials / self.kernels.sum(exponentials, (1,))
            widest = (z.errors[TRUTH] + z.errors[WORST]).max(axis=-1, keepdims=True)
            shift = z.errors + self.model.rounding * (np.abs(shifted) + 2 * widest)
            exponents = shift + shift.max(axis=2, keepdims=True)
            own = own_error(self._own(None, z))
            errors = value * self.kernels.exp(exponents[TRUTH]) * self.kernels.expm1(exponents)
            return z.rounded(value, errors, own)

    def log_softmax(self, z: Bounded) -> Bounded:
        """z − log Σ exp(z): as a difference of numbers up to max |z| + log Σ, whichever way it is arranged."""
        with np.errstate(all="ignore"):
            largest = z.value.max(axis=1, keepdims=True)
            log_sum = self.kernels.log(self.kernels.sum(self.kernels.exp(z.value - largest), (1,)))
            value = z.value - largest - log_sum
            size = z.reach.max(axis=1, keepdims=True)
            library = (1 + log_sum) * (self.model.ulps("exp") + self.model.ulps("log"))
            library = library + self.model.reductions(value.shape[1]) + self.model.rounding
            own = (self.model.rounding * (4 * size + np.abs(log_sum)) + 2 * library) * OUTWARD
            return z.rounded(value, z.errors + z.errors.max(axis=2, keepdims=True) + own, self.model.roundings(2))

    def total(self, matrix: Bounded) -> Bounded:
        """Two summands per element: a loss's terms may be sums of two, which an implementation may add separately."""
        return self._plain_sum(matrix, axes=(0, 1), summands=2)

    def column_sums(self, matrix: Bounded) -> Bounded:
        return self._plain_sum(matrix, axes=(0,), summands=1)

    def rearranged(self, matrix: Bounded, positions: Sequence[Sequence[int]]) -> Bounded:
        places = np.array(positions)
        errors = np.broadcast_to(matrix.errors, (self.model.channels, *matrix.value.shape))
        return Bounded(matrix.value.reshape(-1)[places], errors.reshape(len(errors), -1)[:, places], matrix.model)

    def narrow(self, matrix: Bounded, precision: Precision, roundings: int = 1) -> Bounded:
        """The value stays; an implementation's may be off by the roundings, which may all have one sign."""
        with np.errstate(all="ignore"):
            off = roundings * (matrix.reach * precision.unit_roundoff + precision.underflow) * OUTWARD
            errors = np.broadcast_to(matrix.errors, (self.model.channels, *matrix.value.shape)).copy()
            errors[WORST : SYSTEMATIC + 1] += off
            largest = precision.largest / matrix.model.put_off
            return Bounded(matrix.value, unless_lost(matrix.reach + off, errors, largest), matrix.model)

    def _plain_sum(self, matrix: Bounded, axes: tuple[int, ...], summands: int) -> Bounded:
        terms = summands * math.prod(matrix.value.shape[axis] for axis in axes)
        with np.errstate(all="ignore"):
            errors = np.broadcast_to(matrix.errors, (self.model.channels, *matrix.value.shape))
            summed = self.kernels.sum(errors, tuple(axis + 1 for axis in axes))
            reach = self.kernels.sum(matrix.reach, axes)
            sums = self.model.reductions(terms) * np.ones_like(reach)
            if self.model.channels > RANDOM and axes == (0,):
                sums[RANDOM] *= np.sqrt(crowds(matrix.value.T, terms * self.model.profile.reduce.unit_roundoff)).T
            errors = (summed + sums * reach) * OUTWARD + self.model.lost_in_sum(terms)
            if self.model.channels > RANDOM and axes == (0,):
                unit = self.model.profile.reduce.unit_roundoff
                errors[SYSTEMATIC] += self.kernels.sum(lost(matrix.reach, np.inf, reach, unit), axes)
            # A loss's factor ½ may be applied to the sum of whole terms, which may overflow before.
            apart = max(1.0, summands / matrix.model.put_off)  # where ½ is put off, whole terms are allowed for below
            errors = unless_lost(apart * reach + errors[WORST], errors, matrix.model.largest)
            return settled(self.kernels.sum(matrix.value, axes), errors, matrix.model)

    def _crowding(self, left: Array, right: Array, terms: int) -> tuple[Array, Array]:
        """By how much crowds of equal summands raise the random error of sums: a factor per row and per column."""
        alike = terms * self.model.profile.accumulate.unit_roundoff
        rows, columns = np.sqrt(crowds(left, alike)), np.sqrt(crowds(right.T, alike)).T
        return np.minimum(rows, columns.max()), np.minimum(columns, rows.max())

    def _added_last(self, value: Array, errors: Array, biases: Bounded) -> Array:
        """What adding the biases to finished sums may be off by, the same for all samples.

        A sum ŝ is stored as a multiple of its ulp. Where ŝ + b has the same ulp, what is rounded is b alone: the error
        is b's distance from such multiples, one number for a whole column, or a whole array of equal biases. Rounded to
        nearest (Higham 2002, §2.2), it is at most u·|ŝ + b|, and at most |b|, as ŝ itself is no farther.
        """
        largest = np.abs(value) + errors[TRUTH] + errors[WORST]
        return np.minimum(biases.reach, self.model.profile.storage.unit_roundoff * largest) * OUTWARD

    def _random(self, factor: Array) -> Array:
        """A factor for the random channel alone."""
        factors = np.ones((self.model.channels, *factor.shape))
        factors[RANDOM] = factor
        return factors

    def _share(self, sums: Array, lost: Array, left: Bounded, right: Bounded) -> float:
        """The largest part of its worst error that any operand's truth is off by, and a sum: then the result's is too.

        From end to end one channel's errors need no product of their own then. ∞ where there are more channels.
        """
        if self.model.channels > WORST + 1 or (left.exact and right.exact):
            return math.inf
        errors = (sums, lost, *(matrix.errors for matrix in (left, right) if not matrix.exact))
        largest = max(float(np.fmax.reduce(e[TRUTH] / e[WORST], axis=None)) for e in errors)  # 0 / 0 is no share
        return largest * (1 + 2.0**-20) if largest < math.inf else math.inf  # it may be rounded to float32

    def _sum_of_products(self, left: Bounded, right: Bounded, biases: Bounded | None) -> Bounded:
        """left · right (+ biases): errors Σ (|x| + …)(s(|y| + …) + e_y) + e_x(|y| + …), s the channel's error of sums.

        Each channel's errors are one matrix product; the loss by underflow is one more column of it.
        """
        model = undivided_model(left, right)
        terms = left.value.shape[1] + (biases is not None)
        sums = model.sums(terms)
        lost = model.lost_in_sum(terms) + model.lost
        with np.errstate(all="ignore"):
            value = self.kernels.matmul(left.value, right.value)
            x, y = left.reach, right.reach
            by_row = by_column = sums
            drift: Array | float = 0.0
            if model.channels > RANDOM:
                rows, columns = self._crowding(left.value, right.value, terms)
                by_row, by_column = sums * self._random(rows), sums * self._random(columns)
                drift = lost_alike(x, y, model.profile.accumulate.unit_roundoff, self.kernels.sum)
            share = self._share(sums, lost, left, right) if terms * value.size > ALL_CHANNELS else math.inf
            kept = slice(WORST, None) if share < math.inf else slice(None)
            if left.exact and right.exact:
                product = self.kernels.products_above([x], [y], np.zeros((1, 1)), right.widest)
                errors = sums * OUTWARD * product + lost
                if model.channels > RANDOM:
                    errors[RANDOM] += model.accumulated(terms) * (np.minimum(rows, columns) - 1) * product
            elif right.exact:
                side = [by_row[kept] * x + left.errors[kept]]
                errors = self.kernels.products_above(side, [y], lost[kept], right.widest)
            elif left.exact:
                errors = self.kernels.products_above([x], [by_column[kept] * y + right.errors[kept]], lost[kept])
            else:
                top = [by_column[kept] * y + right.errors[kept], y]
                errors = self.kernels.products_above([x, left.errors[kept]], top, lost[kept])
            if len(errors) < model.channels:
                errors = np.concatenate([errors * share, errors])
            errors[SYSTEMATIC:RANDOM] += drift
            if errors.size <= BLOCK:
                errors = errors.astype(np.float64, copy=False)  # formats mixed are slow
            if biases is not None:
                value += biases.value
                errors = (errors + sums * biases.reach + biases.errors) * OUTWARD
                if model.channels > RANDOM:
                    errors[SYSTEMATIC] += self._added_last(value, errors, biases)
            highest = left.widest * right.widest * terms + (0.0 if biases is None else biases.widest)
            if not highest * 2 < min(model.largest_sum, model.largest):  # rarely: then look at each sum
                partial = self.kernels.matmul(x, y) + (0.0 if biases is None else biases.reach)
                # on the way, even if not in the end; and at the end, in storage, perhaps before the bias is added
                errors = unless_lost(partial * (1 + sums[WORST]), errors, model.largest_sum)
                before_bias = value if biases is None else value - biases.value
                for stored in (value, before_bias):
                    errors = unless_lost(np.abs(stored) + errors[TRUTH] + errors[WORST], errors, model.largest)
            return Bounded(value, errors, model)
