"""The smallest network that shows what is wrong, as a few lines of Python that give the right number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...adapters.adapter import Unanswered
from ...reference.activations import SOFTMAX
from ...reference.case import REDUCTIONS, Case, Dense, known_loss
from ...reference.diagnosis import Convention, probes, right
from ...reference.judging import Observation, Place, UnusableAnswer, as_matrix, judge, observed
from ...reference.losses import DISTRIBUTION
from ...reference.numbers import PLAIN, PROFILES, BoundedArithmetic
from ..documents import Subject
from ..views import INDENT

SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 3))  # units per layer and samples, the smallest first


def witness(subject: Subject, convention: Convention, dtype: str) -> list[str]:
    """The smallest network and data, in quarters, on which the implementation is wrong too; empty if there is none.

    Its lines are a program: it prints the number that the reference gives, to be checked by hand. Beside it stands what
    the implementation returned, which is outside the bound of that from end to end.

    dtype: that the implementation is judged in; quarters are exact in each
    """
    if subject.observe is None:
        return []
    layers = len(convention.activations)
    several = convention.activations[-1] == SOFTMAX.name or known_loss("loss", convention.loss).targets == DISTRIBUTION
    for units, batch in SHAPES:
        (probe,) = probes((units,) * layers + (2 if several else 1,), (batch,), subject.bias, dtype, 7)
        case = _in_quarters(convention.applied(replace(probe, learning_rate=subject.learning_rate)))
        try:
            found = _farthest_out(case, subject.observe(case), convention)
        except (Unanswered, UnusableAnswer):
            return []
        if found is not None:
            lines = _program(case, convention, *found)
            return ["smallest network that shows it:", *(INDENT + line for line in lines)]
    return []


def _farthest_out(
    case: Case, answer: Observation, convention: Convention
) -> tuple[Place, tuple[int, int], float] | None:
    """The number that is farthest outside its bound, of the first array that has such; None where all are inside."""
    judge(case, answer, rules=convention.rules(), coarser=False)  # raises where the answer cannot be judged at all
    bounds = right(convention)(case, BoundedArithmetic(PROFILES[answer.precision]))
    assert bounds is not None
    backwards = sorted(observed(answer), key=lambda entry: (-(entry[0].layer or 0), "bias" not in entry[0].quantity))
    for place, array in backwards:  # in the order of computing: the first that is wrong
        got, bound = as_matrix(place, array).astype(np.float64), bounds[place]
        if bound.holds(got).all():
            continue
        with np.errstate(all="ignore"):
            out = np.nan_to_num(np.abs(got - bound.value) / bound.error, nan=np.inf)
        row, column = np.unravel_index(int(np.argmax(out)), got.shape)
        return place, (int(row), int(column)), float(got[row, column])
    return None


def _program(case: Case, convention: Convention, place: Place, index: tuple[int, int], yours: float) -> list[str]:
    weights = [np.array(layer.weights).tolist() for layer in case.layers]
    biases = [None if layer.biases is None else list(layer.biases) for layer in case.layers]
    names = [layer.activation for layer in case.layers]
    options = [f"loss={case.loss!r}", f"reduction={case.reduction!r}"]
    if place.quantity.startswith("updated"):
        options += [f"learning_rate={case.learning_rate!r}"] + ["online=True"] * case.online
    rules = []
    if convention.negative or convention.decay or convention.reduction not in REDUCTIONS:
        declared = (convention.activations, convention.loss, convention.reduction, convention.negative)
        options_of = (
            [f"{name}={getattr(convention, name)!r}" for name in ("decay", "decays_biases", "decay_over_samples")]
            if convention.decay
            else []
        )
        rules = [f"rules = bp.Convention({', '.join([*map(repr, declared), *options_of])}).rules()"]
    numbers = right(convention)(case, PLAIN)
    assert numbers is not None
    number = numbers[place][index[0]][index[1]]
    own = dict.fromkeys(str(name) for name in names if not isinstance(name, str))
    program = [
        *(f"# {name}: your own activation, as it was declared" for name in own),
        f"weights = {weights!r}",
        f"biases = {biases!r}",
        f"inputs = {np.array(case.inputs).tolist()!r}",
        f"targets = {np.array(case.targets).tolist()!r}",
        "import backproof as bp",
        f"activations = {names!r}",
        "layers = tuple(map(bp.Dense, weights, biases, activations))",
        f"case = bp.Case('smallest', layers, inputs, targets, {', '.join(options)})",
        *rules,
        f"step = bp.run(case, bp.PLAIN{', rules' if rules else ''})",
        f"print(step.{_path(place, index)})",
        f"# {number!r}; yours is {yours!r}",
    ]
    return [short for line in program for short in _broken(line)]


WIDEST = 68  # columns of the program: with the deepest indentation of a report, a terminal's 80


def _broken(line: str) -> Iterator[str]:
    """A line of the program, broken after commas where it is too long: between brackets, and not within quotes."""
    indent = ""
    while len(indent + line) > WIDEST and (cut := line.rfind(", ", 0, WIDEST - len(indent))) > 0:
        if line[:cut].count("'") % 2:
            break
        yield indent + line[: cut + 1]
        indent, line = "    ", line[cut + 2 :]
    yield indent + line


def _path(place: Place, index: tuple[int, int]) -> str:
    """Where a step of the reference has the number; vectors are matrices of one row there."""
    at = f"[{index[0]}][{index[1]}]"
    match place.quantity:
        case "loss":
            return "backward.loss[0][0]"
        case "updated_weights" | "updated_biases":
            return f"updated[{place.layer}].{place.quantity.removeprefix('updated_')}{at}"
        case "pre_activations" | "activations":
            return f"forward.{place}{at}"
    return f"backward.{place}{at}"


def _in_quarters(case: Case) -> Case:
    def rounded(row: Sequence[float]) -> tuple[float, ...]:
        return tuple((round(4 * float(x)) or (1 if x > 0 else -1)) / 4 for x in row)

    layers = tuple(
        Dense(tuple(map(rounded, x.weights)), None if x.biases is None else rounded(x.biases), x.activation)
        for x in case.layers
    )
    return replace(case, layers=layers, inputs=tuple(map(rounded, case.inputs)))
