"""PyTorch's factorisations and solvers, by elimination: rows are exchanged as the run did, then it is all arithmetic.

Source: Golub & Van Loan, Matrix Computations (2013), §3.2 (LU), §4.2 (Cholesky), §5.1 and §5.2 (QR); their pullbacks
are the chain rule's, step by step. What needs an iteration (eigenvalues, singular values, exponentials) is not here.
"""

# ruff: noqa: ARG001, N803 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....reference.programs import (
    Unsupported,
    Value,
    broadcast,
    chosen,
    concatenated,
    matmul,
    numbered,
    permuted,
    rearranged,
    reshaped,
    total,
)
from ....reference.programs import elementwise as e
from ....reference.programs.movement import mirrored
from .shapes import sliced
from .table import entry

Array = NDArray[Any]
LEAST = 1e-6  # of the largest singular value: what is less is taken for none


def turned(x: Value) -> Value:
    """The matrices, transposed."""
    rank = len(x.shape)
    return permuted(x, (*range(rank - 2), rank - 1, rank - 2))


def _part(x: Value, rows: Any, columns: Any) -> Value:
    return sliced(x, ..., rows, columns)


def _masked(x: Value, mask: Any, call: Any, number: float = 0) -> Value:
    return chosen(np.broadcast_to(mask, x.shape), x, call.filled(number, x.shape))


def _eye_mask(shape: Any) -> NDArray[np.bool_]:
    rows, columns = shape[-2:]
    return np.equal.outer(np.arange(rows), np.arange(columns))


def _triangle(call: Any, x: Value, upper: bool, unit: bool = False) -> Value:
    """What a triangular solver reads of its matrix."""
    mask = np.triu(np.ones(x.shape[-2:], dtype=bool)) if upper else np.tril(np.ones(x.shape[-2:], dtype=bool))
    x = _masked(x, mask, call)
    return _masked(x, ~_eye_mask(x.shape), call, 1) if unit else x


def substituted(a: Value, b: Value, upper: bool) -> Value:
    """X with aX = b, for triangular a, row by row. §3.1."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    size = a.shape[-1]
    a, b = broadcast(a, (*batch, size, size)), broadcast(b, (*batch, *b.shape[-2:]))
    done: list[Value] = []
    for k in range(size):
        row = size - 1 - k if upper else k
        rest = _part(b, slice(row, row + 1), slice(None))
        if done:
            columns = slice(row + 1, None) if upper else slice(0, row)
            known = concatenated(done[::-1] if upper else done, len(batch))
            rest = rest - matmul(_part(a, slice(row, row + 1), columns), known)
        done.append(rest / _part(a, slice(row, row + 1), slice(row, row + 1)))
    return concatenated(done[::-1] if upper else done, len(batch)) if done else b


def _order(pivots: Array, size: int) -> Array:
    """The rows in the order that LAPACK's exchanges leave them in."""
    order = np.broadcast_to(np.arange(size), (*pivots.shape[:-1], size)).copy()
    for place in np.ndindex(*pivots.shape[:-1]):
        for k, other in enumerate(pivots[place] - 1):
            order[place][[k, other]] = order[place][[other, k]]
    return order


def _rows(x: Value, order: Array) -> Value:
    """x's rows, in this order for each matrix."""
    batch = np.broadcast_shapes(x.shape[:-2], order.shape[:-1])
    x = broadcast(x, (*batch, *x.shape[-2:]))
    index = np.broadcast_to(order[..., None], (*batch, order.shape[-1], x.shape[-1]))
    return rearranged(x, np.take_along_axis(numbered(x.shape), index, -2))


def factored(call: Any, x: Value) -> Value:
    """L and U in one, as LAPACK has them, of a matrix whose rows need no exchange. Algorithm 3.2.1."""
    rows, columns = x.shape[-2:]
    for k in range(min(rows - 1, columns)):
        below = (np.arange(rows) > k)[:, None] & np.ones(columns, dtype=bool)
        factors = _part(x, slice(None), slice(k, k + 1)) / _part(x, slice(k, k + 1), slice(k, k + 1))
        reduced = x - factors * _part(x, slice(k, k + 1), slice(None))
        column = np.arange(columns)[None, :]
        x = chosen(np.broadcast_to(below & (column > k), x.shape), reduced, x)
        x = chosen(np.broadcast_to(below & (column == k), x.shape), broadcast(factors, x.shape), x)
    return x


def _lu_solved(call: Any, lu: Value, order: Array, b: Value, adjoint: bool = False) -> Value:
    """X with AX = b, or AᵀX = b, where P A = L U; `order`: P's rows."""
    lower, upper = _triangle(call, lu, upper=False, unit=True), _triangle(call, lu, upper=True)
    if not adjoint:
        return substituted(upper, substituted(lower, _rows(b, order), upper=False), upper=True)
    return _rows(
        substituted(turned(lower), substituted(turned(upper), b, upper=False), upper=True), np.argsort(order, -1)
    )


def _pivoted(numbers: Array) -> Array:
    """The order of rows that elimination with the largest pivots takes."""
    order = np.broadcast_to(np.arange(numbers.shape[-2]), numbers.shape[:-1]).copy()
    for place in np.ndindex(*numbers.shape[:-2]):
        work = numbers[place].copy()
        for k in range(min(work.shape) - 1):
            best = k + int(np.argmax(np.abs(work[k:, k])))
            work[[k, best]], order[place][[k, best]] = work[[best, k]], order[place][[best, k]]
            if work[k, k]:
                work[k + 1 :] -= np.outer(work[k + 1 :, k] / work[k, k], work[k])
    return order


def solved(call: Any, a: Value, b: Value, numbers: Array) -> Value:
    """X with aX = b. numbers: a's, for the pivots."""
    order = _pivoted(numbers)
    return _lu_solved(call, factored(call, _rows(a, order)), order, b)


def _eye(call: Any, size: int) -> Value:
    return call.constant(np.eye(size))


@entry("linalg_inv_ex")
def _inverse(call: Any, A: Value, check_errors: bool = False) -> tuple[Value, None]:
    numbers = call.numbers(call.arguments["A"])
    return broadcast(solved(call, A, _eye(call, A.shape[-1]), numbers), A.shape), None


def _is_of(lu: Array, order: Array, numbers: Array) -> bool:
    """Whether these factors are the matrix's, and not its transpose's."""
    lower, upper = np.tril(lu, -1) + np.eye(lu.shape[-1]), np.triu(lu)
    # no tolerance of a verdict: it tells two readings apart, and what is written down is compared in balls afterwards
    exchanged = np.take_along_axis(numbers, np.broadcast_to(order[..., None], numbers.shape), -2)
    return bool(np.allclose(lower @ upper, exchanged, rtol=1e-4, atol=1e-6 * np.abs(numbers).max(initial=1e-300)))


def _given_factors(call: Any, A: Value, lu: Any, pivots: Any) -> tuple[Value, Array, bool]:
    """The factors of A, or of its transpose where PyTorch took that, by the exchanges of the run."""
    order = _order(call.positions(pivots), A.shape[-1])
    straight = _is_of(call.numbers(lu), order, call.numbers(call.arguments["A"]))
    return factored(call, _rows(A if straight else turned(A), order)), order, straight


@entry("_linalg_solve_ex")
def _solve(call: Any, A: Value, B: Value, left: bool = True, check_errors: bool = False) -> Any:
    lu, order, straight = _given_factors(call, A, call.outputs[1], call.outputs[2])
    vector = len(B.shape) == 1 or (len(B.shape) == len(A.shape) - 1 and B.shape == A.shape[:-1])
    b = reshaped(B, (*B.shape, 1)) if vector else B
    x = (
        _lu_solved(call, lu, order, b, not straight)
        if left
        else turned(_lu_solved(call, lu, order, turned(b), straight))
    )
    return reshaped(x, tuple(call.outputs[0].shape)), lu, None, None


@entry("_linalg_det")
def _det(call: Any, A: Value) -> tuple[Value, Value, None]:
    lu, order, _ = _given_factors(call, A, call.outputs[1], call.outputs[2])
    diagonal = _diagonal(lu)
    product = reduce(
        lambda x, y: x * y, [sliced(diagonal, ..., k) for k in range(A.shape[-1])], call.constant(_sign(order))
    )
    return product, lu, None


def _diagonal(x: Value) -> Value:
    return rearranged(x, np.diagonal(numbered(x.shape), axis1=-2, axis2=-1))


def _sign(order: Array) -> Array:
    """Of each permutation."""
    return np.linalg.det(np.eye(order.shape[-1])[order]).round()


@entry("_linalg_slogdet")
def _slogdet(call: Any, A: Value) -> Any:
    lu, _, _ = _given_factors(call, A, call.outputs[2], call.outputs[3])
    return call.recorded(call.outputs[0]), total(e.log(e.absolute(_diagonal(lu))), (-1,)), lu, None


@entry("linalg_lu_factor_ex")
def _lu_factor(call: Any, A: Value, pivot: bool = True, check_errors: bool = False) -> Any:
    return factored(call, _rows(A, _order(call.positions(call.outputs[1]), A.shape[-2]))), None, None


@entry("lu_unpack")
def _lu_unpack(call: Any, LU_data: Value, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    permutation = call.recorded(call.outputs[0]) if call.outputs[0].numel() else None
    if not unpack_data:
        return permutation, None, None
    size = min(LU_data.shape[-2:])
    lower = _triangle(call, _part(LU_data, slice(None), slice(size)), upper=False)
    lower = _masked(lower, ~_eye_mask(lower.shape), call, 1)
    return permutation, lower, _triangle(call, _part(LU_data, slice(size), slice(None)), upper=True)


@entry("linalg_lu")
def _lu(call: Any, A: Value, pivot: bool = True) -> Any:
    numbers = call.numbers(call.outputs[0])
    order = np.argmax(np.swapaxes(numbers, -1, -2), -1) if numbers.size else np.broadcast_to(
        np.arange(A.shape[-2]), A.shape[:-1]
    )  # fmt: skip
    lu = factored(call, _rows(A, order))
    _, lower, upper = _lu_unpack(call, lu, None)
    return (call.recorded(call.outputs[0]) if numbers.size else None), lower, upper


@entry("linalg_lu_solve")
def _lu_solve(call: Any, LU: Value, pivots: Any, B: Value, left: bool = True, adjoint: bool = False) -> Value:
    order = _order(call.positions(pivots), LU.shape[-1])
    if left:
        return _lu_solved(call, LU, order, B, adjoint)
    return turned(_lu_solved(call, LU, order, turned(B), not adjoint))


@entry("linalg_solve_triangular")
def _solve_triangular(
    call: Any, self: Value, B: Value, upper: bool, left: bool = True, unitriangular: bool = False
) -> Value:
    a = _triangle(call, self, upper, unitriangular)
    return substituted(a, B, upper) if left else turned(substituted(turned(a), turned(B), not upper))


@entry("triangular_solve")
def _triangular_solve(
    call: Any, self: Value, A: Value, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Value, Value]:
    a = _triangle(call, A, upper, unitriangular)
    return substituted(turned(a), self, not upper) if transpose else substituted(a, self, upper), broadcast(
        A, tuple(call.outputs[1].shape)
    )


SYMMETRIC = 1e-3  # no digit of a verdict: beyond it, a path off the symmetric matrices is not what is declared


def _cholesky_factor(call: Any, x: Value) -> Value:
    """L with LLᵀ = x, column by column. Reads one triangle, the lower; both have a share in the gradient."""
    rest = mirrored(x)
    size, columns = x.shape[-1], []
    for k in range(size):
        column = _part(rest, slice(None), slice(k, k + 1)) / e.sqrt(_part(rest, slice(k, k + 1), slice(k, k + 1)))
        columns.append(_masked(column, (np.arange(size) >= k)[:, None], call))
        if k < size - 1:
            rest = rest - matmul(columns[-1], turned(columns[-1]))
    return concatenated(columns, len(x.shape) - 1) if columns else x


@entry("linalg_cholesky_ex", "cholesky")
def _cholesky(call: Any, self: Value, upper: bool = False, check_errors: bool = False) -> Any:
    factor = _cholesky_factor(call, turned(self) if upper else self)
    numbers = call.numbers(call.arguments["self"])
    if not np.allclose(numbers, np.swapaxes(numbers, -1, -2), rtol=SYMMETRIC):
        call.recorder.conventions.append(
            f"{call.program.origin} reads one triangle; its gradient is for changes that leave a matrix symmetric, as "
            "PyTorch declares"
        )
    return (turned(factor) if upper else factor), *([None] * (len(call.outputs) - 1))


@entry("cholesky_solve")
def _cholesky_solve(call: Any, self: Value, input2: Value, upper: bool = False) -> Value:
    lower = _triangle(call, turned(input2) if upper else input2, upper=False)
    return substituted(turned(lower), substituted(lower, self, upper=False), upper=True)


@entry("cholesky_inverse")
def _cholesky_inverse(call: Any, self: Value, upper: bool = False) -> Value:
    return broadcast(_cholesky_solve(call, _eye(call, self.shape[-1]), self, upper), self.shape)


# ------------------------------------------------------------------------------------------------ least squares


@entry("linalg_qr")
def _qr(call: Any, A: Value, mode: str = "reduced") -> tuple[Value | None, Value]:
    """Gram and Schmidt's, with the signs of the run. §5.2.7."""
    rows, columns = A.shape[-2:]
    if mode != "reduced" and (rows > columns or mode == "r"):
        raise Unsupported(f"{call.program.origin}: only qr's reduced mode is covered")
    if not A.size:
        return None, call.filled(0, tuple(call.outputs[1].shape))
    numbers = np.diagonal(call.numbers(call.outputs[1]), axis1=-2, axis2=-1)
    q = _orthogonal(call, A, np.where(numbers < 0, -1.0, 1.0))
    return q, _triangle(call, matmul(turned(q), A), upper=True)


def _orthogonal(call: Any, a: Value, signs: Array | float = 1.0) -> Value:
    """Q, column by column: each less its share along those before it, by its length, with these signs."""
    count = min(a.shape[-2:])
    signs = np.broadcast_to(signs, (*a.shape[:-2], count))
    done: list[Value] = []
    for k in range(count):
        column = _part(a, slice(None), slice(k, k + 1))
        for q in done:
            column = column - q * matmul(turned(q), column)
        length = e.sqrt(total(column * column, (-2,), keep=True))
        done.append(column / length * call.constant(signs[..., k, None, None]))
    return concatenated(done, len(a.shape) - 1)


def _reflected(call: Any, vectors: Value, tau: Value, other: Value, order: Any) -> Value:
    """The reflections I − τvvᵀ, applied one after the other from the left. §5.1."""
    rows = vectors.shape[-2]
    for k in order:
        v = _part(vectors, slice(None), slice(k, k + 1))
        v = _masked(v, (np.arange(rows) > k)[:, None], call)
        v = _masked(v, (np.arange(rows) != k)[:, None], call, 1)
        scale = reshaped(sliced(tau, ..., slice(k, k + 1)), (*tau.shape[:-1], 1, 1))
        other = other - v * scale * matmul(turned(v), other)
    return other


@entry("linalg_householder_product")
def _householder(call: Any, input: Value, tau: Value) -> Value:
    start = broadcast(call.constant(_eye_mask(input.shape)), input.shape)
    return _reflected(call, input, tau, start, range(tau.shape[-1] - 1, -1, -1))


@entry("ormqr")
def _ormqr(call: Any, self: Value, input2: Value, input3: Value, left: bool = True, transpose: bool = False) -> Value:
    tau, order = input2, range(input2.shape[-1])
    if left:
        return _reflected(call, self, tau, input3, order if transpose else reversed(order))
    return turned(_reflected(call, self, tau, turned(input3), reversed(order) if transpose else order))


def _pseudoinverse(call: Any, a: Value, name: str) -> Value:
    """R⁻¹Qᵀ, where a = QR; of a wide matrix the transpose's, transposed. §5.5.2."""
    numbers = call.numbers(call.arguments[name])
    found = np.linalg.svd(numbers, compute_uv=False) if numbers.size else np.ones((1, 1))
    # nor is this: a matrix whose small singular values were cut off is refused, and gets no verdict
    cut = name == "self" and numbers.size and "pinv" in call.name and not np.allclose(  # by a tolerance that was given
        np.linalg.pinv(numbers), call.numbers(call.outputs[0]), rtol=1e-3, atol=1e-3 / found.min()
    )  # fmt: skip
    if cut or (found.min(axis=-1) <= LEAST * found.max(axis=-1)).any():
        raise Unsupported(f"{call.program.origin}: a pseudoinverse is covered for matrices of full rank only")
    if not a.size:
        return turned(a)
    tall = a if a.shape[-2] >= a.shape[-1] else turned(a)
    q = _orthogonal(call, tall)
    result = substituted(_triangle(call, matmul(turned(q), tall), upper=True), turned(q), upper=True)
    return result if tall is a else turned(result)


@entry("linalg_pinv.atol_rtol_tensor", "linalg_pinv.atol_rtol_float", "linalg_pinv")
def _pinv(call: Any, self: Value, hermitian: bool = False, **_: Any) -> Value:
    if hermitian:
        raise Unsupported(f"{call.program.origin}: pinv(hermitian=True) is not covered")
    return _pseudoinverse(call, self, "self")


@entry("linalg_lstsq")
def _lstsq(call: Any, self: Value, b: Value, rcond: Any = None, driver: Any = None) -> Any:
    vector = len(b.shape) == len(self.shape) - 1
    right = reshaped(b, (*b.shape, 1)) if vector else b
    x = matmul(_pseudoinverse(call, self, "self"), right)
    residuals = None
    if call.outputs[1].numel():
        away = matmul(self, x) - right
        residuals = reshaped(total(away * away, (-2,)), tuple(call.outputs[1].shape))
    return reshaped(x, tuple(call.outputs[0].shape)), residuals, None, None
