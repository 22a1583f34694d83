"""JAX's factorizations and solutions, written out in our operations: column by column, as in a textbook.

Source: Golub & Van Loan, Matrix Computations (2013), §3.1, §3.2, §4.2.5, §4.3.6, §5.2.7.
Batches stand in front: (b, n, n).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...reference.programs import (
    SYMMETRIC,
    Unsupported,
    Value,
    concatenated,
    numbered,
    permuted,
    products,
    rearranged,
    reshaped,
    total,
    zeros,
)
from ...reference.programs import elementwise as e
from .seen import Call, Table

TABLE = Table()


def _batch(x: Value) -> Value:
    return reshaped(x, (int(np.prod(x.shape[:-2], dtype=np.int64)), *x.shape[-2:]))


def _part(x: Value, *index: Any) -> Value:
    return rearranged(x, numbered(x.shape)[(slice(None), *index)])


def _flipped(x: Value) -> Value:
    return permuted(x, (0, 2, 1))


@TABLE("cholesky")
def _cholesky(call: Call) -> Value:
    """Column by column: what is left of a column of A, by the root of its first element. Reads the lower triangle."""
    call.note(f"cholesky reads one triangle; JAX's derivative is {SYMMETRIC}")
    left = _batch(call.values[0])
    n, columns = left.shape[-1], []
    for k in range(n):
        column = _part(left, slice(None), slice(0, 1))
        column = column / e.sqrt(_part(column, slice(0, 1)))
        columns.append(concatenated([zeros(left.program, (left.shape[0], k, 1)), column], 1) if k else column)
        below = _part(column, slice(1, None))
        left = _part(left, slice(1, None), slice(1, None)) - products(below, _flipped(below))
    return reshaped(concatenated(columns, 2), call.shape)


@TABLE("triangular_solve")
def _triangular_solve(call: Call) -> Value:
    """Row by row. x·A = b is Aᵀ·xᵀ = bᵀ."""
    p, (a, b) = call.params, (_batch(x) for x in call.values)
    turned = p["transpose_a"] != (not p["left_side"])
    a, b = _flipped(a) if turned else a, b if p["left_side"] else _flipped(b)
    lower, n = p["lower"] != turned, a.shape[-1]
    rows: dict[int, Value] = {}
    for i in range(n) if lower else reversed(range(n)):
        row = _part(b, slice(i, i + 1))
        if rows:
            known = sorted(rows)
            factors = _part(a, slice(i, i + 1), slice(known[0], known[-1] + 1))
            row = row - products(factors, concatenated([rows[j] for j in known], 1))
        rows[i] = row if p["unit_diagonal"] else row / _part(a, slice(i, i + 1), slice(i, i + 1))
    x = concatenated([rows[i] for i in range(n)], 1)
    return reshaped(x if p["left_side"] else _flipped(x), call.shape)


@TABLE("tridiagonal_solve")
def _tridiagonal_solve(call: Call) -> Value:
    """Down, each row less the one above it; and up again."""
    diagonals = [reshaped(x, (x.size // x.shape[-1], 1, x.shape[-1])) for x in call.values[:3]]
    below, middle, above = ([_part(x, slice(None), slice(k, k + 1)) for k in range(x.shape[2])] for x in diagonals)
    right = _batch(call.values[3])
    rows = [_part(right, slice(k, k + 1)) for k in range(right.shape[1])]
    for k in range(1, len(rows)):
        factor = below[k] / middle[k - 1]
        middle[k], rows[k] = middle[k] - factor * above[k - 1], rows[k] - factor * rows[k - 1]
    rows[-1] = rows[-1] / middle[-1]
    for k in reversed(range(len(rows) - 1)):
        rows[k] = (rows[k] - above[k] * rows[k + 1]) / middle[k]
    return reshaped(concatenated(rows, 1), call.shape)


@TABLE("lu")
def _lu(call: Call) -> list[Value | None]:
    """Gauss, with the rows in the order of the run's pivots."""
    x, order = call.values[0], call.results[2].array
    left = _batch(rearranged(x, np.take_along_axis(numbered(x.shape), order[..., None], -2)))
    heads: list[tuple[Value, Value]] = []
    for _ in range(min(left.shape[-2:])):
        row, column = _part(left, slice(0, 1)), _part(left, slice(1, None), slice(0, 1))
        below = column / _part(row, slice(None), slice(0, 1))
        left = _part(left, slice(1, None), slice(1, None)) - products(below, _part(row, slice(None), slice(1, None)))
        heads.append((row, below))
    for row, below in reversed(heads):
        left = concatenated([row, concatenated([below, left], 2)], 1)
    return [reshaped(left, call.shape), None, None]


@TABLE("qr")
def _qr(call: Call) -> list[Value]:
    """Gram and Schmidt's, each direction with the sign that it has in the run."""
    x = _batch(call.values[0])
    (count, m, n), p = x.shape, call.params
    if m < n or (p.get("full_matrices") and m > n) or p.get("pivoting"):
        raise Unsupported(f"{call.program.origin}: qr of wide matrices, of full ones, or with pivots")
    diagonal = np.diagonal(call.results[1].array, axis1=-2, axis2=-1).reshape(count, n)
    q: list[Value] = []
    rows = []
    for k in range(n):
        column = _part(x, slice(None), slice(k, k + 1))
        left = column
        for before in q:
            left = left - before * total(before * left, (1,), keep=True)
        sign = x.program.constant(np.where(diagonal[:, k] < 0, -1.0, 1.0).reshape(count, 1, 1))
        q.append(left * sign / e.sqrt(total(left * left, (1,), keep=True)))
    together = concatenated(q, 2)
    for k in range(n):
        row = products(_flipped(q[k]), _part(x, slice(None), slice(k, None)))
        rows.append(concatenated([zeros(x.program, (count, 1, k)), row], 2) if k else row)
    return [
        reshaped(together, call.results[0].aval.shape),
        reshaped(concatenated(rows, 1), call.results[1].aval.shape),
    ]
