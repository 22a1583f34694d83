"""Runs a program: line by line, in a kind of numbers, keeping a result only as long as a line below needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ndarrays import Balls, Numbers
from .program import Node, Value

Array = NDArray[Any]
MOVING = {"input", "constant", "rearrange", "scatter", "reshape", "join", "stop", "mirror", "identity"}

SUMS = {"sum", "matrix products"}
ADDITIONS = {"add", "subtract", "negate"}


def computes(value: Value) -> bool:
    """Whether the operation rounds its results, and does not only move or keep them."""
    return value.node.operation.name not in MOVING


def run(wanted: Sequence[Value], given: Mapping[int, Array], numbers: Numbers) -> list[Array]:
    """The values of `wanted`. given: an array (float64, or of this kind) for lines by number; inputs need one.

    ValueError: an input is needed and was not given, or has another shape.
    """
    if not wanted:
        return []
    nodes = wanted[0].program.nodes
    with numbers.at_work() if isinstance(numbers, Balls) else nullcontext():
        results: dict[int, Array] = {}
        uses, order = _needed(wanted, given)
        for line in order:
            node = nodes[line]
            if line in given:
                if given[line].shape != node.shape:
                    raise ValueError(f"line {line}: an array of shape {node.shape} expected, got {given[line].shape}")
                results[line] = numbers.array(given[line])
                continue
            operands = [results[k] for k in node.operands]
            results[line] = node.operation.value(numbers, *operands, **node.parameters)
            for k in node.operands:
                uses[k] -= 1
                if not uses[k]:
                    results.pop(k, None)
        return [results[value.index] for value in wanted]


def lines_needed(wanted: Sequence[Value]) -> list[int]:
    """The lines that these values depend on, themselves included, in order."""
    return _needed(wanted, {})[1]


def needed_lines(wanted: Value, given: Mapping[int, Array]) -> list[int]:
    """The lines that this value is computed from, in order, back to what is given."""
    return _needed([wanted], given)[1]


def starting_lines(wanted: Value, given: Mapping[int, Array]) -> tuple[int, ...]:
    """Those of them that are given."""
    return tuple(line for line in needed_lines(wanted, given) if line in given)


def computing_lines(wanted: Sequence[Value], given: Mapping[int, Array]) -> int:
    """How many lines, from what is given to what is wanted, compute something: all but constants and movements."""
    nodes = wanted[0].program.nodes
    return sum(line not in given and nodes[line].operation.name not in MOVING for line in _needed(wanted, given)[1])


def one_sum(wanted: Value, given: Mapping[int, Array]) -> bool:
    """Whether a value is one sum, of numbers or of products, to which others may be added, and nothing else.

    Then every honest implementation adds up these very terms.
    """
    nodes = wanted.program.nodes
    lines = [line for line in _needed([wanted], given)[1] if line not in given]
    sums = [line for line in lines if nodes[line].operation.name in SUMS or _adds_up(nodes[line])]
    if len(sums) != 1:
        return False
    operands = [wanted.program.value(k) for k in nodes[sums[0]].operands]
    terms = set(_needed(operands, given)[1])
    return all(
        nodes[line].operation.name in (MOVING if line in terms else MOVING | ADDITIONS)
        for line in lines
        if line not in sums
    )


def _adds_up(node: Node) -> bool:
    """Whether several elements are scattered to one place."""
    if node.operation.name != "scatter":
        return False
    places = node.parameters["positions"]
    return int(np.bincount(places[places >= 0].reshape(-1), minlength=1).max()) > 1


def _needed(wanted: Sequence[Value], given: Mapping[int, Array]) -> tuple[dict[int, int], list[int]]:
    """How often each line's result is used, and the lines in order; what is wanted is used once more."""
    nodes = wanted[0].program.nodes
    uses: dict[int, int] = {}
    waiting, seen = [value.index for value in wanted], set()
    for line in waiting:
        uses[line] = uses.get(line, 0) + 1
    while waiting:
        line = waiting.pop()
        if line in seen:
            continue
        seen.add(line)
        if line in given:
            continue
        for k in nodes[line].operands:
            uses[k] = uses.get(k, 0) + 1
            waiting.append(k)
    return uses, sorted(seen)
