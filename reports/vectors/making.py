"""Making the published test vectors: `backproof vectors generate`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from flint import arb, ctx

from ...adapters.protocol import printable, request
from ...reference.activations import ACTIVATIONS
from ...reference.backprop import RULES, Rules
from ...reference.case import Case, InvalidInput
from ...reference.cases import standard_cases
from ...reference.diagnosis import FAULTS, Convention, faulty_rules, probes
from ...reference.judging import Place, certified, computed, expectations
from ...reference.losses import LOSSES
from ...reference.numbers import PRECISIONS, REPRODUCIBLE
from .reading import (
    BITS,
    DIGITS,
    FLAGS,
    NAMING_DIGITS,
    NEARBY,
    SCHEMA,
    VERSION,
    Expected,
    FaultNumbers,
    Group,
    LayerNumbers,
    LayerRows,
    Numbers,
    Vector,
    VectorFile,
    schema,
)

DTYPES = ("float64", "float32")
LARGEST = 110  # parameters of a network

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
    tolerances = {place: e.tolerance for place, e in expectations(case, PRECISIONS[case.dtype], REPRODUCIBLE).items()}
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
                  request(case, number), expected, _faults(case, exact, tolerances))  # fmt: skip


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


def _faults(case: Case, exact: Mapping[Place, list[list[arb]]], tolerances: Mapping[Place, Any]) -> list[FaultNumbers]:
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
        if not places or not _tells(places, wrong, exact, tolerances, NEARBY[case.dtype]):
            continue
        rows = [_layer_rows(k, kinds, wrong, NAMING_DIGITS[case.dtype]) for k in range(len(case.layers))]
        numbers = FaultNumbers([fault.name], **{"updated" if of_update else "gradients": rows})
        key = msgspec.json.encode((numbers.gradients, numbers.updated))
        if key in found:
            found[key].names.append(fault.name)
        else:
            found[key] = numbers
    return list(found.values())


def _tells(places: Sequence[Place], wrong: Any, exact: Any, tolerances: Any, nearby: float) -> bool:
    """Whether some number is surely outside its tolerance and not just nearby the right one, and all are numbers."""
    outside = False
    for place in places:
        tolerance = np.broadcast_to(tolerances[place], (len(wrong[place]), len(wrong[place][0])))
        largest = max((float(abs(x).upper()) for row in wrong[place] for x in row), default=0.0)
        for i, row in enumerate(wrong[place]):
            for j, x in enumerate(row):
                if not x.is_finite():
                    return False
                far = 2 * max(float(tolerance[i, j]), nearby * largest)
                outside = outside or bool(abs(x - exact[place][i][j]) > arb(far))
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
    """Write all files, the schema and the page that describes them. Returns the files.

    Raises InvalidInput where they cannot all be written; then none is.
    """
    _write({}, folder)  # whether it can be written to is known before the work is done
    made = vector_files()
    texts = {f"{name}.json": text_of(file) for name, file in made.items()}
    texts["schema.json"] = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    texts["README.md"] = readme(made)
    _write(texts, folder)
    return [folder / name for name in texts]


def _write(texts: Mapping[str, str], folder: Path) -> None:
    """All files or, with InvalidInput, none; of folders that had to be made, those that stay empty are taken away."""
    made: list[Path] = []
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        if any((folder / name).is_dir() for name in texts):
            raise IsADirectoryError
        with TemporaryDirectory(prefix=".vectors-", dir=folder) as beside:
            for name, text in texts.items():
                (Path(beside) / name).write_text(text, encoding="utf-8", newline="\n")
            for name in texts:
                (Path(beside) / name).replace(folder / name)
    except OSError as error:
        in_the_way = isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError))
        reason = "something else of that name is in the way" if in_the_way else error.strerror or error
        raise InvalidInput(
            f"{printable(str(folder), 200)}: expected a folder that can be written to; {reason}. Name another one."
        ) from error
    finally:
        for path in made:
            with suppress(OSError):  # not made, or not empty
                path.rmdir()
