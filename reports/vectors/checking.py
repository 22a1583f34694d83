"""Test vectors, proved: exact results in balls, tolerances by the bounds, what faults give by the faults themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from flint import arb, ctx
from msgspec.structs import fields

from ...adapters.protocol import case_of, printable
from ...reference.backprop import Rules
from ...reference.case import Case, InvalidInput, run
from ...reference.diagnosis import FAULTS, faulty_rules
from ...reference.judging import Place, certified, computed, expectations
from ...reference.numbers import PRECISIONS, REPRODUCIBLE, WORST, BoundedArithmetic, CertifiedArithmetic
from .reading import (
    BITS,
    DIGITS,
    FLAGS,
    NAMING_DIGITS,
    NEARBY,
    FaultNumbers,
    Numbers,
    Vector,
    VectorFile,
    numbered,
    outside,
    places_of,
    published,
    read,
)


def check(folder: Path | None = None, executor: Executor | None = None) -> list[str]:
    """Prove every test in balls, on any executor; what does not hold, in words, in the order of the tests.

    Exact results are inside [lo, hi], a double or two wide; decimals are right to 40 digits; tolerances are not below
    what the format's bounds say, nor much above; every named wrong answer is the fault's own, and outside them.
    """
    from ..spread import spread

    tests = numbered(folder)
    of_files = [problem for name, file in _files(folder) for problem in _of_file(name, file)]
    tasks = {str(number): (test,) for number, test in tests.items()}
    found = dict(spread(problems_of, tasks, list[str], executor, chunk=CHUNK))
    return [*of_files, *(problem for number in tests for problem in found[str(number)])]


def _files(folder: Path | None) -> Iterator[tuple[str, VectorFile]]:
    yield from published() if folder is None else read(folder)


def _of_file(name: str, file: VectorFile) -> Iterator[str]:
    """What a file says of its groups, flags and faults."""
    for group in file.groups:
        if group.nearby != NEARBY.get(group.dtype):
            yield f"{printable(name)}: nearby of {printable(group.dtype)}: expected {NEARBY.get(group.dtype)}"
        for test in group.tests:
            where = f"test {test.number}"
            if test.request.dtype != group.dtype:
                yield f"{where}: its request is in {test.request.dtype}, its group in {printable(group.dtype)}"
            if test.request.id != test.number:
                yield f"{where}: its request's id is {test.request.id}"
            yield from (
                f"{where}: no description of the flag {printable(flag)}"
                for flag in test.flags
                if file.flags.get(flag) != FLAGS.get(flag, "")
            )
            yield from (
                f"{where}: no description of the fault {printable(fault)}"
                for numbers in test.faults
                for fault in numbers.names
                if fault not in file.fault_descriptions
            )


CHUNK = 10  # tests per task


def problems_of(test: Vector) -> list[str]:
    """What does not hold of one test. Raises InvalidInput where its request makes no case."""
    case = _case(test)
    problems: list[str] = []
    with ctx.workprec(2 * BITS):
        exact = {p: m.tolist() for p, m in computed(run(case, CertifiedArithmetic())).items()}
        bounds = computed(run(case, BoundedArithmetic(PRECISIONS[case.dtype], kernels=REPRODUCIBLE)))
        derived = expectations(case, PRECISIONS[case.dtype], REPRODUCIBLE)
        misfits = [f"test {test.number}: {what}" for what in _misfits(test, exact)]
        if misfits:
            return misfits
        for place, numbers in places_of(test.expected):
            shape = bounds[place].value.shape
            worst = np.broadcast_to(bounds[place].errors[WORST], shape)
            said = _disproved(numbers, exact[place], worst, np.broadcast_to(derived[place].tolerance, shape))
            problems += [f"test {test.number}, {place}{where}: {what}" for where, what in said]
    problems += [f"test {test.number}: {what}" for what in _not_the_fault_s(test, case)]
    return problems + [f"test {test.number}: {what}" for what in _not_told(test)]


def _case(test: Vector) -> Case:
    """Raises InvalidInput, with the test's number, where the request makes no case."""
    try:
        return case_of(test.request, f"test {test.number}")
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"test {test.number}: its request makes no case: {printable(str(error))}") from error


def _misfits(test: Vector, exact: Mapping[Place, list[list[arb]]]) -> Iterator[str]:
    """What is missing or of another shape than the request's numbers."""
    given = dict(places_of(test.expected))
    asked = [p for p in exact if p.quantity in PUBLISHED and (p.quantity != "activations" or p in given)]
    if len(test.expected.gradients) != len(test.request.layers) or set(given) != set(asked):
        yield "expected numbers for every layer's parameters that the request has, and for no others"
        return
    for place, numbers in given.items():
        rows, columns = len(exact[place]), len(exact[place][0])
        for part in fields(numbers):
            if [len(row) for row in getattr(numbers, part.name)] != [columns] * rows:
                yield f"{place}: {part.name}: expected {rows} × {columns}"
    shapes = [_shape(layer.weights.lo, layer.biases) for layer in test.expected.gradients]
    for fault in test.faults:
        if [_shape(layer.weights, layer.biases) for layer in fault.updated or fault.gradients or []] != shapes:
            yield f"{', '.join(fault.names)}: expected numbers in the shape of the gradients"


def _shape(weights: list[list[float]], biases: Numbers | list[float] | None) -> tuple[list[int], int | None]:
    units = biases.lo[0] if isinstance(biases, Numbers) else biases
    return [len(row) for row in weights], None if units is None else len(units)


PUBLISHED = ("activations", "loss", "weight_gradients", "bias_gradients", "updated_weights", "updated_biases")


def _disproved(numbers: Numbers, exact: list[list[arb]], worst: Any, derived: Any) -> Iterator[tuple[str, str]]:
    for i, row in enumerate(exact):
        for j, x in enumerate(row):
            lo, hi = numbers.lo[i][j], numbers.hi[i][j]
            decimal, tolerance = numbers.decimal[i][j], numbers.tolerance[i][j]
            where = f"[{i}][{j}]"
            if not (arb(lo) <= x <= arb(hi)):
                yield where, "the exact result is not surely between lo and hi"
            if decimal is not None:
                if not _right(decimal, x):
                    yield where, f"the decimal is not right to {DIGITS} digits"
                if hi > math.nextafter(math.nextafter(lo, math.inf), math.inf):
                    yield where, "lo and hi are farther apart than they need be"
            if tolerance is not None and not tolerance >= worst[i, j]:
                yield where, "the tolerance is below what honest rounding may do"
            if math.isfinite(derived[i, j]) and not (tolerance is not None and tolerance <= ABOVE * derived[i, j]):
                yield where, "the tolerance is above what honest rounding may do"


ABOVE = 1.02  # tolerances are rounded up, to three digits


def _right(decimal: str, x: arb) -> bool:
    try:
        return bool(abs(arb(decimal) - x) <= abs(x) * arb(10) ** (1 - DIGITS))
    except ValueError:
        return False  # no number


def _not_the_fault_s(test: Vector, case: Case) -> Iterator[str]:
    """Wrong answers that are not what the faults give that they are named after."""
    known = {fault.name: fault for fault in FAULTS}
    for numbers in test.faults:
        for name in numbers.names:
            if name not in known:
                yield f"there is no fault {printable(name)}"
            elif not _given_by(numbers, case, faulty_rules(known[name], case)):
                yield f"{name}: what it gives is another"


def _given_by(numbers: FaultNumbers, case: Case, rules: Rules) -> bool:
    """Whether these rules give these numbers, to as many digits as are published."""
    kinds, layers = ("weight_gradients", "bias_gradients"), numbers.gradients or []
    if numbers.updated is not None:
        kinds, layers = ("updated_weights", "updated_biases"), numbers.updated
    published = {Place(kinds[0], k): layer.weights for k, layer in enumerate(layers)}
    published |= {Place(kinds[1], k): [layer.biases] for k, layer in enumerate(layers) if layer.biases is not None}
    with ctx.workprec(128):
        off = arb(10) ** (1 - NAMING_DIGITS[case.dtype])
        found = {p: m.tolist() for p, m in computed(certified(case, rules, 128)).items() if p.quantity in kinds}
        return set(found) == set(published) and all(
            abs(x.mid() - arb(y)) <= abs(x.mid()) * off
            for place, rows in published.items()
            for exact, row in zip(found[place], rows, strict=True)
            for x, y in zip(exact, row, strict=True)
        )


def _not_told(test: Vector) -> Iterator[str]:
    for fault in test.faults:
        if not any(outside(test.expected, fault)):
            yield f"{', '.join(fault.names)}: none of its numbers is outside the tolerance"
