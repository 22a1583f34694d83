"""Published test vectors, in the manner of Wycheproof: cases, certified results, tolerances, known wrong answers.

`vectors/*.json` is what a test suite in any language reads. `making.py` rebuilds it byte for byte; `checking.py` proves
its exact results in balls, without the code that made them; `verify_answers` judges a file of answers to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ...adapters.adapter import Unanswered
from ...adapters.protocol import Request, case_of, observation_from, parsed, printable
from ...reference.case import InvalidInput
from ...reference.diagnosis import Convention
from ...reference.judging import Observation, Place
from ..console import table_of
from ..documents import Report, Subject
from ..validation import Asked, judged

SCHEMA = "backproof-vectors/1"
VERSION = 2  # of the vectors; vectors/CHANGELOG.md says what changed
BITS, DIGITS = 512, 40
NEARBY = {"float64": 1e-6, "float32": 1e-3}
NAMING_DIGITS = {"float64": 7, "float32": 4}  # of what a fault gives; enough for NEARBY

FLAGS = {
    "SignsRestored": "The chapter's worked example with the minus signs that its print lost.",
    "AsPrinted": "The chapter's worked example as printed; its printed results do not follow from these numbers.",
    "Kink": "A pre-activation is exactly 0 under ReLU or leaky ReLU: every slope between the two sides is right, so lo "
    "and hi enclose all results that are.",
    "Saturated": "Activations so near their limits that a derivative formed from them cancels.",
    "Overflow": "An honest implementation may overflow where the tolerance is null: nothing can be asked there.",
    "Subnormal": "Results below the smallest normal number, which hardware may flush to zero; the tolerance covers it.",
    "TransposeHidden": "A square weight matrix: a transposed one has the right shape and wrong numbers.",
    "NoBiases": "Some layers have no biases: null in the request, and null in the answer.",
}


class Numbers(msgspec.Struct, frozen=True):
    """An array of exact results and how far an honest implementation may be from them. All parts have one shape."""

    lo: Annotated[list[list[float]], Meta(description="the exact result is at least this")]
    hi: Annotated[list[list[float]], Meta(description="and at most this")]
    decimal: Annotated[list[list[str | None]], Meta(description="it, to 40 digits; null where it is a set")]
    tolerance: Annotated[list[list[float | None]], Meta(description="lo − it ≤ right ≤ hi + it; null: anything may be")]


class LayerNumbers(msgspec.Struct, frozen=True):
    """The numbers of one layer's weights and biases."""

    weights: Numbers
    biases: Annotated[Numbers | None, Meta(description="1 × units; null: the layer has none")]


class Expected(msgspec.Struct, frozen=True):
    """What is right."""

    outputs: Numbers
    loss: Annotated[Numbers, Meta(description="1 × 1")]
    gradients: list[LayerNumbers]
    updated: Annotated[list[LayerNumbers] | None, Meta(description="null where there is no learning rate")]


class LayerRows(msgspec.Struct, frozen=True):
    """What a fault gives for one layer."""

    weights: list[list[float]]
    biases: list[float] | None


class FaultNumbers(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an implementation with a known fault gives, to seven digits (float32: five): for naming, not for judging."""

    names: Annotated[list[str], Meta(description="of faults that give the same numbers here")]
    gradients: list[LayerRows] | None = None
    updated: list[LayerRows] | None = None


class Vector(msgspec.Struct, frozen=True):
    """One test."""

    number: Annotated[int, Meta(description="unique in all files, and the request's id")]
    comment: str
    flags: list[str]
    request: Request
    expected: Expected
    faults: list[FaultNumbers]


class Group(msgspec.Struct, frozen=True):
    """Tests of one format."""

    dtype: str
    nearby: Annotated[
        float, Meta(description="a fault explains numbers that are all this near, in units of each array's largest")
    ]
    tests: list[Vector]


class VectorFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of test vectors."""

    schema: Annotated[str, Meta(pattern=f"^{SCHEMA}$")] = SCHEMA
    version: int = VERSION
    comment: str
    fault_descriptions: Annotated[dict[str, str], Meta(description="what the code does instead, by the fault's name")]
    flags: Annotated[dict[str, str], Meta(description="what each flag says")]
    number_of_tests: int
    groups: list[Group]


def schema() -> dict[str, Any]:
    """The JSON Schema of the files."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "backproof test vectors",
        **msgspec.json.schema(VectorFile),
    }


def published() -> Iterator[tuple[str, VectorFile]]:
    """The vectors that came with this package."""
    yield from read(Path(str(files("backproof.vectors"))))


def read(folder: Path) -> Iterator[tuple[str, VectorFile]]:
    """The vector files of a folder. Raises InvalidInput, with the file and the place, where one is none."""
    try:
        if not folder.is_dir():
            raise InvalidInput(f"{_name(folder)}: expected a folder with vector files (*.json), and this is none.")
        found = sorted(path for path in folder.iterdir() if path.suffix == ".json" and path.name != "schema.json")
        strange = [path for path in found if not path.is_file()]
    except OSError as error:
        raise InvalidInput(f"{_name(folder)}: the folder cannot be read: {error.strerror or error}.") from error
    if not found:
        raise InvalidInput(f"{_name(folder)}: there are no vector files (*.json).")
    if strange:
        raise InvalidInput(f"{_name(strange[0])}: expected a file of test vectors, and this is no file. Move it away.")
    for path in found:
        try:
            yield path.name, msgspec.json.decode(path.read_bytes(), type=VectorFile)
        except OSError as error:
            raise InvalidInput(f"{_name(path)}: the file cannot be read: {error.strerror or error}.") from error
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{_name(path)}: no file of test vectors: {printable(str(error))}") from error


def _name(path: Path) -> str:
    return printable(str(path), 200)


@cache
def numbered(folder: Path | None = None) -> dict[int, Vector]:
    """All tests by their numbers. Raises InvalidInput where two have the same, or a file has not as many as it says."""
    found: dict[int, Vector] = {}
    for name, file in published() if folder is None else read(folder):
        tests = [test for group in file.groups for test in group.tests]
        if len(tests) != file.number_of_tests:
            raise InvalidInput(
                f"{printable(name)}: it says that it has {file.number_of_tests} tests; got {len(tests)}."
            )
        for test in tests:
            if test.number in found:
                raise InvalidInput(f"{printable(name)}: test {test.number} is there twice, here or in another file.")
            found[test.number] = test
    return found


def places_of(expected: Expected) -> Iterator[tuple[Place, Numbers]]:
    """All that is expected, by its place."""
    yield Place("activations", len(expected.gradients) - 1), expected.outputs
    yield Place("loss", None), expected.loss
    for kind, layers in (("{}_gradients", expected.gradients), ("updated_{}", expected.updated or [])):
        for k, layer in enumerate(layers):
            plural = kind.startswith("updated")
            yield Place(kind.format("weights" if plural else "weight"), k), layer.weights
            if layer.biases is not None:
                yield Place(kind.format("biases" if plural else "bias"), k), layer.biases


def outside(expected: Expected, fault: FaultNumbers) -> Iterator[bool]:
    """For each number of a fault that can be judged, whether it is outside the tolerance."""
    right = expected.gradients if fault.updated is None else expected.updated or []
    for layer, wrong in zip(right, fault.updated or fault.gradients or [], strict=True):
        pairs = [(layer.weights, wrong.weights)]
        if layer.biases is not None and wrong.biases is not None:
            pairs.append((layer.biases, [wrong.biases]))
        for numbers, rows in pairs:
            for i, row in enumerate(rows):
                for j, x in enumerate(row):
                    tolerance = numbers.tolerance[i][j]
                    if tolerance is not None:
                        yield not numbers.lo[i][j] - tolerance <= x <= numbers.hi[i][j] + tolerance


def show(number: int, width: int | None = None) -> str:
    """One test for a person. width: to which its table is fitted"""
    known = numbered()
    if number not in known:
        raise InvalidInput(f"test {number}: there are tests 1 to {max(known)}.")
    test = known[number]
    asked = test.request
    lines = [f"test {number}: {test.comment}", *(f"  {flag}: {FLAGS[flag]}" for flag in test.flags), ""]
    lines.append(f"{asked.dtype}, {asked.loss}, {asked.reduction}, learning rate {asked.learning_rate}")
    for k, layer in enumerate(asked.layers):
        lines.append(f"layer {k + 1}, {layer.activation}: weights {layer.weights}, biases {layer.biases}")
    lines += [f"inputs {asked.inputs}", f"targets {asked.targets}", ""]
    rows = [
        [f"{place}[{i}][{j}]", n.decimal[i][j] or f"[{n.lo[i][j]!r}, {n.hi[i][j]!r}]", n.tolerance[i][j]]
        for place, n in places_of(test.expected)
        for i, row in enumerate(n.lo)
        for j in range(len(row))
    ]
    lines.append(table_of(rows, ["number", "exact", "tolerance"], width).removesuffix("\n"))
    names = [name for fault in test.faults for name in fault.names]
    lines += ["", f"tells {len(names)} faults from right: {', '.join(names)}"]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------- answers


def verify_answers(path: Path, strict: bool = False) -> Report:
    """Judge a file of answers to the published vectors: protocol 1's answers, a line each, or a JSON array of them.

    Raises InvalidInput for a file that cannot be read. A line that cannot be used is counted as unanswered.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--answers: {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    known = numbered()
    asked: list[Asked] = []
    outcomes: list[Observation | Unanswered] = []
    lost: list[str] = []
    earlier: dict[int, list[tuple[str, Any]]] = {}  # the answers to each test, and where they are
    for where, answer in _answers(text):
        if isinstance(answer, Unanswered):
            lost.append(f"{where}: {answer}")
            continue
        number = answer.get("id") if isinstance(answer, dict) else None
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if type(number) is not int or number not in known:
            lost.append(f"{where}: id: expected a test's number, 1 to {max(known)}; got {printable(repr(number), 60)}")
            continue
        before = earlier.setdefault(number, [])
        before.append((where, answer))
        if len(before) > 1:
            lost.append(f"{where}: test {number} has been answered in {before[0][0]}. Expected one answer to a test.")
            if any(_same(answer, given) for _, given in before[:-1]):
                continue
        case = case_of(known[number].request, f"test {number}")
        names = tuple(layer.activation for layer in case.layers)
        asked.append(Asked(case, Convention(names, case.loss, case.reduction)))
        try:
            outcomes.append(observation_from(answer, case))
        except Unanswered as error:
            outcomes.append(Unanswered(f"test {number}: {error}"))
    if not asked:
        raise InvalidInput(f"--answers: {path} has no answer to a test in it" + (f"; {lost[0]}" if lost else "."))
    report = judged(asked, outcomes, Subject("any", f"{len(known)} vectors in all"), strict)
    if lost:
        verdict = report.verdict if report.verdict == "wrong" else "unanswered"
        more = [f"… and {len(lost) - SAID} more lines"] if len(lost) > SAID else []
        report = replace(report, verdict=verdict, findings=(*report.findings, *lost[:SAID], *more))
    return report


SAID = 8  # lines of an answers file that a report mentions


def _same(answer: Any, other: Any) -> bool:
    """Whether two answers show the very same numbers; the NaN among them need not be equal."""
    return json.dumps(answer, sort_keys=True) == json.dumps(other, sort_keys=True)


def _answers(text: str) -> Iterator[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        try:
            for k, answer in enumerate(parsed(text)):
                yield f"answer {k}", answer
        except Unanswered as error:
            yield "the file", error
        return
    for k, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield f"line {k}", parsed(line)
            except Unanswered as error:
                yield f"line {k}", error
