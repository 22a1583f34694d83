"""Large arrays, part by part: the elements of a result that are asked for, from those of its operands that they need.

`judging/calls.py` judges a call on millions of elements so, and needs memory for a part of them only. A result that
something else takes part in than what is `KNOWN` here (a scatter) is looked at as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bounded_arrays import BOUNDED, shared
from .bounds import Bounds
from .elementwise import OPERATIONS
from .movement import JOIN, REARRANGE, RESHAPE, STOP
from .program import CONSTANT, Node, Positions, Value
from .running import needed_lines
from .sums import PRODUCTS, TOTAL

Array = NDArray[Any]
LARGE = 2**20  # elements of an array from which on parts are looked at
PART = 2**18  # of a result, and of the terms of a sum, at a time
FACTORS = 2**21  # of one side of a product at a time
IN_PLACE = (RESHAPE, STOP)  # the same elements in the same order
KNOWN = (*IN_PLACE, CONSTANT, REARRANGE, JOIN, TOTAL, PRODUCTS)


def in_parts(result: Value, given: Mapping[int, Array]) -> Iterator[Positions | None]:
    """The positions of the result's elements, part by part; None for all of them, where nothing is large or a line can
    only be run as a whole."""
    nodes = result.program.nodes
    needed = needed_lines(result, given)
    known = all(line in given or nodes[line].operation in KNOWN or _elementwise(nodes[line]) for line in needed)
    if not known or max(math.prod(nodes[line].shape) for line in needed) <= LARGE:
        yield None
        return
    product = _product(result, given)
    if product is None:
        for start in range(0, result.size, PART):
            yield np.arange(start, min(start + PART, result.size))
        return
    batch, rows, columns = product.shape
    inner = nodes[product.operands[0]].shape[2]
    down = min(rows, max(1, FACTORS // max(1, inner)), PART)
    across = min(columns, max(1, FACTORS // max(1, inner)), max(1, PART // down))
    for b in range(batch):
        for row in range(0, rows, down):
            for column in range(0, columns, across):
                i = np.arange(row, min(row + down, rows))[:, None]
                j = np.arange(column, min(column + across, columns))
                yield ((b * rows + i) * columns + j).reshape(-1)


def _product(result: Value, given: Mapping[int, Array]) -> Node | None:
    """The matrix product whose elements the result's are, one by one."""
    nodes, waiting = result.program.nodes, [result.index]
    while waiting:
        line = waiting.pop()
        node = nodes[line]
        if line in given or math.prod(node.shape) != result.size:
            continue
        if node.operation is PRODUCTS:
            return node
        if node.operation in IN_PLACE or _elementwise(node):
            waiting += node.operands
    return None


def _elementwise(node: Node) -> bool:
    return OPERATIONS.get(node.operation.name) is node.operation


class Part:
    """What a program gives for some elements, in numbers with bounds. given: as for `run`, in any floating format."""

    def __init__(self, program: Any, given: Mapping[int, Array], numbers: Bounds) -> None:
        self.program, self.given, self.numbers = program, given, numbers
        self.found: dict[tuple[int, int], tuple[Positions, Array]] = {}  # with the positions, so that they stay

    def at(self, line: int, positions: Positions) -> Array:
        """The elements of this line at these positions of its flattened array."""
        key = line, id(positions)
        if key not in self.found:
            self.found[key] = positions, self._at(line, positions)
        return self.found[key][1]

    def _at(self, line: int, positions: Positions) -> Array:
        node = self.program.nodes[line]
        if line in self.given:
            return self.numbers.array(_taken(self.given[line], positions))
        if node.operation is CONSTANT:
            return self.numbers.literal(_taken(node.parameters["array"], positions))
        if node.operation in IN_PLACE:
            return self.at(node.operands[0], positions)
        if _elementwise(node):
            operands = [self.at(k, positions) for k in node.operands]
            return np.asarray(node.operation.value(self.numbers, *operands, **node.parameters))
        if node.operation is REARRANGE:
            return self._filled(len(positions), [(node.operands[0], _taken(node.parameters["positions"], positions))])
        if node.operation is JOIN:
            parts, first = [], 0
            for k in node.operands:
                size = math.prod(self.program.nodes[k].shape)
                inside = (positions >= first) & (positions < first + size)
                parts.append((k, np.where(inside, positions - first, -1)))
                first += size
            return self._filled(len(positions), parts)
        if node.operation is TOTAL:
            return self._total(node, positions)
        if node.operation is PRODUCTS:
            return self._products(node, positions)
        raise ValueError(f"{node.operation.name} is not looked at part by part")

    def _filled(self, size: int, parts: list[tuple[int, Positions]]) -> Array:
        """Zeros, but where a part has elements: those that are not −1."""
        result = np.zeros(size, BOUNDED)
        for line, sources in parts:
            there = sources >= 0
            if there.any():
                result[there] = shared(self.at(line, sources[there]))
        return result

    def _total(self, node: Node, positions: Positions) -> Array:
        line, axes = node.operands[0], node.parameters["axes"]
        shape = self.program.nodes[line].shape
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        kept = [axis for axis in range(len(shape)) if axis not in axes]
        first = _offsets(positions, [shape[a] for a in kept], [strides[a] for a in kept])
        terms = math.prod(shape[axis] for axis in axes)
        value, errors, sizes = np.zeros(len(positions)), np.zeros((len(positions), 4)), np.zeros(len(positions))
        some = max(1, PART // len(positions))
        for start in range(0, terms, some):
            numbers = np.arange(start, min(start + some, terms))
            offsets = _offsets(numbers, [shape[a] for a in axes], [strides[a] for a in axes])
            added = self._fresh((first[:, None] + offsets).reshape(-1), line)
            sums = self.numbers.sums_of(added.reshape(len(positions), -1), (1,))
            value, errors, sizes = value + sums[0], errors + sums[1], sizes + sums[2]
        return self.numbers.totalled(value, errors, sizes, max(1, terms))

    def _products(self, node: Node, positions: Positions) -> Array:
        """Of a tile, its rows times its columns; of anything else the tile around it."""
        left, right = node.operands
        (_, rows, columns), inner = node.shape, self.program.nodes[left].shape[2]
        batch, i, j = np.unravel_index(positions, node.shape)
        result = np.zeros(len(positions), BOUNDED)
        for b in np.unique(batch):
            here = batch == b
            down, at_row = np.unique(i[here], return_inverse=True)
            across, at_column = np.unique(j[here], return_inverse=True)
            factor = self._fresh(((b * rows + down)[:, None] * inner + np.arange(inner)).reshape(-1), left)
            other = self._fresh(((b * inner + np.arange(inner))[:, None] * columns + across).reshape(-1), right)
            tile = self.numbers.products(factor.reshape(1, len(down), inner), other.reshape(1, inner, len(across)))
            result[here] = tile[0, at_row.reshape(-1), at_column.reshape(-1)]
        return result

    def _fresh(self, positions: Positions, line: int) -> Array:
        """Elements that are looked at once: nothing of them is kept."""
        return Part(self.program, self.given, self.numbers).at(line, positions)


def _offsets(numbers: Positions, shape: list[int], strides: list[int]) -> Positions:
    """Where the elements of these numbers, of an array of this shape, are at these strides."""
    if not shape:
        return np.zeros(len(numbers), np.int64)
    places = np.unravel_index(numbers, tuple(shape))
    return np.asarray(sum(place * stride for place, stride in zip(places, strides, strict=True)), np.int64)


def _taken(array: Array, positions: Positions) -> Array:
    """Elements by their positions; of a view, such as one that is broadcast, without a copy of it."""
    taken = (
        array.reshape(-1)[positions] if array.flags.c_contiguous else array[np.unravel_index(positions, array.shape)]
    )
    return taken if taken.dtype.kind == "i" else taken.astype(np.float64)
