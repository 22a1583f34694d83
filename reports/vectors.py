"""Published test vectors, in the manner of Wycheproof: cases, certified results, tolerances, known wrong answers.

`vectors/*.json` is what a test suite in any language reads. `generate` rebuilds it byte for byte; `check` proves it in
balls, without the code that made it; `verify_answers` judges a file of answers to it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from flint import arb, ctx
from msgspec import Meta

from ..adapters.adapter import Unanswered
from ..adapters.protocol import Request, case_of, observation_from, parsed, printable, request
from ..reference.activations import ACTIVATIONS
from ..reference.backprop import RULES, Rules
from ..reference.bounded import BoundedArithmetic
from ..reference.case import Case, InvalidInput, run
from ..reference.cases import standard_cases
from ..reference.certified import CertifiedArithmetic, certified
from ..reference.conventions import Convention, probes
from ..reference.expectations import expectations
from ..reference.faults import FAULTS, faulty_rules
from ..reference.losses import LOSSES
from ..reference.observation import Observation, Place, computed
from ..reference.precision import PRECISIONS
from .assess import Subject
from .report import Report
from .verify_process import Asked, judged

SCHEMA = "backproof-vectors/1"
VERSION = 1  # of the vectors; vectors/CHANGELOG.md says what changed
DTYPES = ("float64", "float32")
LARGEST = 110  # parameters of a network
BITS, DIGITS = 512, 40
NEARBY = {"float64": 1e-6, "float32": 1e-3}
NAMING_DIGITS = {"float64": 7, "float32": 5}  # of what a fault gives

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

# Which file a case is in, by how its name begins; the first that fits.
FILES = {
    "worked-example": ("worked-example", "The chapter's worked example, in both readings"),
    "xor": ("xor", "XOR on 2-2-1, with each form of bias"),
    "hidden-": ("activations", "Each activation in a hidden layer and at the output"),
    "output-": ("activations", "Each activation in a hidden layer and at the output"),
    "depth-": ("depths", "One to five layers of weights"),
    "chain-": ("depths", "One to five layers of weights"),
    "saturated-": ("saturation", "Saturated activations, and numbers of extreme size"),
    "weights-of-": ("saturation", "Saturated activations, and numbers of extreme size"),
    "1e30": ("saturation", "Saturated activations, and numbers of extreme size"),
    "relu-at-zero": ("kinks", "Exactly at a kink, and where everything is zero"),
    "zero-": ("kinks", "Exactly at a kink, and where everything is zero"),
    "one-sample": ("batches", "Batches, sizes and forms of bias"),
    "duplicated": ("batches", "Batches, sizes and forms of bias"),
    "square": ("batches", "Batches, sizes and forms of bias"),
    "mixed": ("batches", "Batches, sizes and forms of bias"),
    "biases-": ("batches", "Batches, sizes and forms of bias"),
    "no-biases": ("batches", "Batches, sizes and forms of bias"),
    "single-unit": ("batches", "Batches, sizes and forms of bias"),
    "each-": ("pairs", "Each activation in the hidden layer with each loss"),
    "": ("losses", "Each loss, summed and averaged; regressions without a hidden layer"),
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


# ------------------------------------------------------------------------------------------- making them


def cases() -> list[Case]:
    """In the order of their numbers, from 1: the standard cases that are small enough, then each activation × loss."""
    standard = [case for case in standard_cases(DTYPES) if _parameters(case) <= LARGEST]
    return standard + [case for dtype in DTYPES for case in _each_activation_and_loss(dtype)]


def _each_activation_and_loss(dtype: str) -> Iterator[Case]:
    """2-2-2 with every hidden activation and every loss, its output activation with it; two samples."""
    for k, name in enumerate(ACTIVATIONS):
        for loss in LOSSES.values():
            convention = Convention((name, loss.output_activation or name), loss.name, "sum")
            if loss.output_activation is None and loss.name not in ("half_squared_error", "squared_error"):
                convention = replace(convention, activations=(name, "softmax" if "softmax" in loss.name else "sigmoid"))
            (probe,) = probes((2, 2, 2), (2,), "separate", dtype, 100 + k)
            note = f"{name}, {loss.name.replace('_', ' ')}"
            yield replace(convention.applied(probe), name=f"each-{name}-{loss.name}", learning_rate=0.5, note=note)


def _parameters(case: Case) -> int:
    return sum(np.size(x.weights) + (0 if x.biases is None else len(x.biases)) for x in case.layers)


def vector(number: int, case: Case) -> Vector:
    """A case as a test."""
    exact = _exact(case)
    tolerances = {place: e.tolerance for place, e in expectations(case, PRECISIONS[case.dtype]).items()}
    layers = range(len(case.layers))

    def numbers(quantity: str, layer: int | None) -> Numbers | None:
        place = Place(quantity, layer)
        return _numbers(exact[place], tolerances[place]) if place in exact else None

    def by_layer(weights: str, biases: str) -> list[LayerNumbers]:
        found = [(numbers(weights, k), numbers(biases, k)) for k in layers]
        return [LayerNumbers(w, b) for w, b in found if w is not None]

    outputs, loss = numbers("activations", len(case.layers) - 1), numbers("loss", None)
    assert outputs is not None
    assert loss is not None
    updated = None if case.learning_rate is None else by_layer("updated_weights", "updated_biases")
    expected = Expected(outputs, loss, by_layer("weight_gradients", "bias_gradients"), updated)
    return Vector(number, f"{case.name}: {case.note or '-'.join(map(str, case.sizes))}", _flags(case, expected),
                  request(case, number), expected, _faults(case, expected, exact, tolerances))  # fmt: skip


def _exact(case: Case, rules: Rules = RULES) -> dict[Place, list[list[arb]]]:
    with ctx.workprec(BITS):
        return {place: matrix.tolist() for place, matrix in computed(certified(case, rules, BITS)).items()}


def _numbers(balls: list[list[arb]], tolerances: Any) -> Numbers:
    tolerance = np.broadcast_to(tolerances, (len(balls), len(balls[0])))
    return Numbers(
        lo=[[_below(x) for x in row] for row in balls],
        hi=[[_above(x) for x in row] for row in balls],
        decimal=[[_decimal(x) for x in row] for row in balls],
        tolerance=[[_upwards(float(t)) for t in row] for row in tolerance],
    )


def _below(x: arb) -> float:
    with ctx.workprec(BITS):
        lowest = x.lower()
        near = float(lowest)
        return math.nextafter(near, -math.inf) if arb(near) > lowest else near


def _above(x: arb) -> float:
    with ctx.workprec(BITS):
        return -_below(-x)


def _decimal(x: arb) -> str | None:
    if x == 0:
        return "0"
    if x.rel_accuracy_bits() < 4 * DIGITS:
        return None
    text: str = x.mid().str(DIGITS, radius=False)
    return text


def _upwards(tolerance: float) -> float | None:
    """Three digits, rounded up: so that the last bits of other machines' arithmetic do not show."""
    if not math.isfinite(tolerance):
        return None
    return float(f"{tolerance * 1.005:.2e}") if tolerance else 0.0


def _flags(case: Case, expected: Expected) -> list[str]:
    found = []
    if case.name.startswith("worked-example"):
        found.append("SignsRestored" if "restored" in case.name else "AsPrinted")
    arrays = [part for x in expected.gradients for part in (x.weights, x.biases) if part is not None]
    if any(d is None for a in arrays for row in a.decimal for d in row):
        found.append("Kink")
    if case.name.startswith("saturated"):
        found.append("Saturated")
    if any(t is None for a in arrays for row in a.tolerance for t in row):
        found.append("Overflow")
    smallest = PRECISIONS[case.dtype].smallest_normal
    if any(0 < abs(x) < smallest for a in arrays for row in a.lo for x in row):
        found.append("Subnormal")
    if any(len(x.weights) == len(x.weights[0]) > 1 for x in case.layers):
        found.append("TransposeHidden")
    if any(x.biases is None for x in case.layers):
        found.append("NoBiases")
    return found


def _faults(
    case: Case, expected: Expected, exact: Mapping[Place, list[list[arb]]], tolerances: Mapping[Place, Any]
) -> list[FaultNumbers]:
    """What each fault gives that this test can tell from right."""
    found: dict[bytes, FaultNumbers] = {}
    for fault in FAULTS:
        rules = faulty_rules(fault, case)
        of_update = [f.name for f in fields(Rules) if getattr(rules, f.name) is not getattr(RULES, f.name)] == [
            "update"
        ]
        kinds = ("updated_weights", "updated_biases") if of_update else ("weight_gradients", "bias_gradients")
        with ctx.workprec(128):
            wrong = {place: matrix.tolist() for place, matrix in computed(certified(case, rules, 128)).items()}
        places = [place for place in wrong if place.quantity in kinds]
        if not places or not _tells(places, wrong, exact, tolerances):
            continue
        for digits in (NAMING_DIGITS[case.dtype], 17):  # all of them where fewer would make it right
            rows = [_layer_rows(k, kinds, wrong, digits) for k in range(len(case.layers))]
            numbers = FaultNumbers([fault.name], **{"updated" if of_update else "gradients": rows})
            if any(_outside(expected, numbers)):
                break
        key = msgspec.json.encode((numbers.gradients, numbers.updated))
        if key in found:
            found[key].names.append(fault.name)
        else:
            found[key] = numbers
    return list(found.values())


def _tells(places: Sequence[Place], wrong: Any, exact: Any, tolerances: Any) -> bool:
    """Whether some number is surely outside its tolerance, and all are numbers."""
    outside = False
    for place in places:
        tolerance = np.broadcast_to(tolerances[place], (len(wrong[place]), len(wrong[place][0])))
        for i, row in enumerate(wrong[place]):
            for j, x in enumerate(row):
                if not x.is_finite():
                    return False
                outside = outside or bool(abs(x - exact[place][i][j]) > arb(2 * float(tolerance[i, j])))
    return outside


def _layer_rows(k: int, kinds: tuple[str, str], wrong: Any, digits: int) -> LayerRows:
    def rows(place: Place) -> list[list[float]]:
        return [[float(f"{float(x.mid()):.{digits}g}") for x in row] for row in wrong[place]]

    weights, biases = Place(kinds[0], k), Place(kinds[1], k)
    return LayerRows(rows(weights), rows(biases)[0] if biases in wrong else None)


def vector_files() -> dict[str, VectorFile]:
    """All files, by name without .json."""
    every = [vector(number, case) for number, case in enumerate(cases(), start=1)]
    by_file: dict[tuple[str, str], list[Vector]] = {}
    for test in every:
        file = next(where for start, where in FILES.items() if test.comment.startswith(start))
        by_file.setdefault(file, []).append(test)
    descriptions = {fault.name: fault.description for fault in FAULTS}
    made: dict[str, VectorFile] = {}
    for (name, comment), tests in by_file.items():
        named = {n for test in tests for fault in test.faults for n in fault.names}
        flags = {flag for test in tests for flag in test.flags}
        made[name] = VectorFile(
            comment=comment,
            fault_descriptions={n: d for n, d in descriptions.items() if n in named},
            flags={flag: said for flag, said in FLAGS.items() if flag in flags},
            number_of_tests=len(tests),
            groups=[Group(d, NEARBY[d], [t for t in tests if t.request.dtype == d]) for d in DTYPES],
        )
    return made


def text_of(file: VectorFile) -> str:
    """The file's text: a line per test, so that changes can be read."""
    parts = json.loads(msgspec.json.encode(file))
    groups = parts.pop("groups")
    head = json.dumps(parts, ensure_ascii=False, indent=1)[:-2]
    lines = []
    for group in groups:
        tests = ",\n".join(json.dumps(t, ensure_ascii=False, separators=(",", ":")) for t in group.pop("tests"))
        lines.append(json.dumps(group)[:-1] + ', "tests": [\n' + tests + "\n]}")
    return head + ',\n "groups": [\n' + ",\n".join(lines) + "\n]\n}\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of the files."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "backproof test vectors",
        **msgspec.json.schema(VectorFile),
    }


def readme(made: Mapping[str, VectorFile]) -> str:
    """vectors/README.md: what each file has."""
    from tabulate import tabulate

    rows = [
        [f"[{name}.json]({name}.json)", file.comment, file.number_of_tests,
         sum(len(f.names) for g in file.groups for t in g.tests for f in t.faults),
         ", ".join(file.flags) or "none"]
        for name, file in made.items()
    ]  # fmt: skip
    table = tabulate(rows, ["file", "what", "tests", "wrong answers with names", "flags"], "github")
    flags = tabulate([[flag, said] for flag, said in FLAGS.items()], ["flag", "what it says"], "github")
    return f"""# Test vectors

Version {VERSION}, schema `{SCHEMA}` ([schema.json](schema.json)). Made by `backproof vectors generate`, which also made
this page; proved by `backproof vectors check`. How to use them: docs/vectors.md.

{table}

{flags}
"""


def generate(folder: Path) -> list[Path]:
    """Write all files, the schema and the page that describes them."""
    made = vector_files()
    texts = {f"{name}.json": text_of(file) for name, file in made.items()}
    texts["schema.json"] = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    texts["README.md"] = readme(made)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


# -------------------------------------------------------------------------------------------- using them


def published() -> Iterator[tuple[str, VectorFile]]:
    """The vectors that came with this package."""
    yield from read(Path(str(files("backproof.vectors"))))


def read(folder: Path) -> Iterator[tuple[str, VectorFile]]:
    """The vector files of a folder. Raises InvalidInput, with the file and the place, where one is none."""
    found = sorted(path for path in folder.glob("*.json") if path.name != "schema.json")
    if not found:
        raise InvalidInput(f"{folder}: there are no vector files (*.json).")
    for path in found:
        try:
            yield path.name, msgspec.json.decode(path.read_bytes(), type=VectorFile)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}: no file of test vectors: {printable(str(error))}") from error


@cache
def numbered(folder: Path | None = None) -> dict[int, Vector]:
    """All tests by their numbers."""
    files_ = published() if folder is None else read(folder)
    return {test.number: test for _, file in files_ for group in file.groups for test in group.tests}


def check(folder: Path | None = None) -> list[str]:
    """Prove every test in balls; what does not hold, in words.

    Exact results are inside [lo, hi], a double or two wide; decimals are right to 40 digits; tolerances are not below
    what the format's bounds say; every named wrong answer is outside them.
    """
    problems = []
    for number, test in numbered(folder).items():
        case = case_of(test.request, f"test {number}")
        with ctx.workprec(2 * BITS):
            exact = {p: m.tolist() for p, m in computed(run(case, CertifiedArithmetic())).items()}
            bounds = computed(run(case, BoundedArithmetic(PRECISIONS[case.dtype])))
            for place, numbers in _places(test.expected):
                said = _disproved(
                    numbers, exact[place], np.broadcast_to(bounds[place].errors[1], bounds[place].value.shape)
                )
                problems += [f"test {number}, {place}{where}: {what}" for where, what in said]
        problems += [f"test {number}: {what}" for what in _not_told(test)]
    return problems


def _places(expected: Expected) -> Iterator[tuple[Place, Numbers]]:
    yield Place("activations", len(expected.gradients) - 1), expected.outputs
    yield Place("loss", None), expected.loss
    for kind, layers in (("{}_gradients", expected.gradients), ("updated_{}", expected.updated or [])):
        for k, layer in enumerate(layers):
            plural = kind.startswith("updated")
            yield Place(kind.format("weights" if plural else "weight"), k), layer.weights
            if layer.biases is not None:
                yield Place(kind.format("biases" if plural else "bias"), k), layer.biases


def _disproved(numbers: Numbers, exact: list[list[arb]], worst: Any) -> Iterator[tuple[str, str]]:
    for i, row in enumerate(exact):
        for j, x in enumerate(row):
            lo, hi = numbers.lo[i][j], numbers.hi[i][j]
            decimal, tolerance = numbers.decimal[i][j], numbers.tolerance[i][j]
            where = f"[{i}][{j}]"
            if not (arb(lo) <= x <= arb(hi)):
                yield where, "the exact result is not surely between lo and hi"
            if decimal is not None:
                if not abs(arb(decimal) - x) <= abs(x) * arb(10) ** (1 - DIGITS):
                    yield where, f"the decimal is not right to {DIGITS} digits"
                if hi > math.nextafter(math.nextafter(lo, math.inf), math.inf):
                    yield where, "lo and hi are farther apart than they need be"
            if tolerance is not None and not tolerance >= worst[i, j]:
                yield where, "the tolerance is below what honest rounding may do"


def _not_told(test: Vector) -> Iterator[str]:
    for fault in test.faults:
        if not any(_outside(test.expected, fault)):
            yield f"{', '.join(fault.names)}: none of its numbers is outside the tolerance"


def _outside(expected: Expected, fault: FaultNumbers) -> Iterator[bool]:
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


def show(number: int) -> str:
    """One test for a person."""
    known = numbered()
    if number not in known:
        raise InvalidInput(f"test {number}: there are tests 1 to {max(known)}.")
    from tabulate import tabulate

    test = known[number]
    asked = test.request
    lines = [f"test {number}: {test.comment}", *(f"  {flag}: {FLAGS[flag]}" for flag in test.flags), ""]
    lines.append(f"{asked.dtype}, {asked.loss}, {asked.reduction}, learning rate {asked.learning_rate}")
    for k, layer in enumerate(asked.layers):
        lines.append(f"layer {k + 1}, {layer.activation}: weights {layer.weights}, biases {layer.biases}")
    lines += [f"inputs {asked.inputs}", f"targets {asked.targets}", ""]
    rows = [
        [f"{place}[{i}][{j}]", n.decimal[i][j] or f"[{n.lo[i][j]!r}, {n.hi[i][j]!r}]", n.tolerance[i][j]]
        for place, n in _places(test.expected)
        for i, row in enumerate(n.lo)
        for j in range(len(row))
    ]
    lines.append(tabulate(rows, ["number", "exact", "tolerance"], "simple", disable_numparse=True))
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
        report = replace(report, verdict=verdict, findings=(*report.findings, *lost[:8]))
    return report


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
