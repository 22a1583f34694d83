"""A program: any network, written as a list of operations on arrays, each result named once.

`adapters/` write what a framework was seen to do into one; `chain_rule.py` adds the gradient to the same list;
`running.py` runs it, in floats or in balls. Such a list is as old as automatic differentiation itself.
Source: Wengert, A simple automatic derivative evaluation program, Communications of the ACM 7 (1964).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .origins import NOWHERE, Origin

Shape = tuple[int, ...]
Positions = NDArray[np.int64]  # where in the flattened operand an element comes from; -1: nowhere, it is zero
Number = int | float


@dataclass(frozen=True)
class Operation:
    """One entry: what an operation computes, and how a gradient goes back through it.

    value(numbers, *operands, **parameters): the result, in that kind of numbers (`ndarrays.py`)
    shape(*shapes of the operands, **parameters): the shape of the result
    pullback(cotangent, result, *operands, **parameters): for each operand its share of ∂E/∂operand, written with
        operations again; None where nothing goes back. The cotangent is ∂E/∂result, of its shape.
    source: of the formula
    """

    name: str
    value: Callable[..., NDArray[Any]]
    shape: Callable[..., Shape]
    pullback: Callable[..., Sequence[Value | None]]
    source: str = ""


@dataclass(frozen=True)
class Node:
    """One line of the list. operands: the numbers of the lines that it uses."""

    operation: Operation
    operands: tuple[int, ...]
    parameters: Mapping[str, Any]
    shape: Shape
    origin: Origin


@dataclass
class Program:
    """The list. It only grows. `origin`: what the lines that are added now come from."""

    nodes: list[Node] = field(default_factory=list)
    origin: Origin = NOWHERE

    def add(self, operation: Operation, *operands: Value, **parameters: Any) -> Value:
        """The result of one more operation."""
        for operand in operands:
            if operand.program is not self:
                raise ValueError(f"{operation.name}: an operand belongs to another program")
        shape = operation.shape(*(operand.shape for operand in operands), **parameters)
        node = Node(operation, tuple(operand.index for operand in operands), parameters, shape, self.origin)
        self.nodes.append(node)
        return Value(self, len(self.nodes) - 1)

    def input(self, shape: Shape) -> Value:
        """A value that is given when the program is run."""
        return self.add(INPUT, shape=tuple(shape))

    def constant(self, value: NDArray[Any] | Number, shape: Shape | None = None) -> Value:
        """Numbers that stand in the program, exactly as they are; one number for all elements of `shape`."""
        array = np.asarray(value, dtype=np.float64)
        return self.add(CONSTANT, array=np.broadcast_to(array, array.shape if shape is None else shape))

    def value(self, index: int) -> Value:
        return Value(self, index)


@dataclass(frozen=True, eq=False)
class Value:
    """The result of one line, to compute with: `x * y + 1`, shapes broadcast as NumPy's are."""

    program: Program
    index: int

    @property
    def node(self) -> Node:
        return self.program.nodes[self.index]

    @property
    def shape(self) -> Shape:
        return self.node.shape

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __add__(self, other: Value | Number) -> Value:
        return _binary("add", self, other)

    def __radd__(self, other: Number) -> Value:
        return _binary("add", other, self)

    def __sub__(self, other: Value | Number) -> Value:
        return _binary("subtract", self, other)

    def __rsub__(self, other: Number) -> Value:
        return _binary("subtract", other, self)

    def __mul__(self, other: Value | Number) -> Value:
        return _binary("multiply", self, other)

    def __rmul__(self, other: Number) -> Value:
        return _binary("multiply", other, self)

    def __truediv__(self, other: Value | Number) -> Value:
        return _binary("divide", self, other)

    def __rtruediv__(self, other: Number) -> Value:
        return _binary("divide", other, self)

    def __neg__(self) -> Value:
        from .elementwise import negate

        return negate(self)


def _binary(name: str, x: Value | Number, y: Value | Number) -> Value:
    from . import elementwise

    return getattr(elementwise, name)(x, y)


def _no_operands(*_: Value, **_parameters: Any) -> Sequence[Value | None]:
    return ()


INPUT = Operation(
    "input",
    value=lambda numbers, shape: numbers.missing(shape),
    shape=lambda shape: shape,
    pullback=_no_operands,
)
CONSTANT = Operation(
    "constant",
    value=lambda numbers, array: numbers.literal(array),
    shape=lambda array: array.shape,
    pullback=_no_operands,
)
