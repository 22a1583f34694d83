"""The smallest network that shows what is wrong, as a few lines of Python that give the right number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...adapters.adapter import Unanswered
from ...reference.activations import SOFTMAX
from ...reference.case import REDUCTIONS, Case, Dense, known_loss, run
from ...reference.diagnosis import Convention, probes
from ...reference.judging import Element, Place, UnusableAnswer, computed, judge
from ...reference.losses import DISTRIBUTION
from ...reference.numbers import PLAIN
from ..documents import Subject
from ..views import INDENT

SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2))  # units per layer and samples, the smallest first


def witness(subject: Subject, convention: Convention, dtype: str) -> list[str]:
    """The smallest network and data, in quarters, on which the implementation is wrong too; empty if there is none.

    Its lines are a program: it prints the number that the reference gives, to be checked by hand.

    dtype: that the implementation is judged in; quarters are exact in each
    """
    if subject.observe is None:
        return []
    layers = len(convention.activations)
    several = convention.activations[-1] == SOFTMAX.name or known_loss("loss", convention.loss).targets == DISTRIBUTION
    for units, batch in SHAPES:
        (probe,) = probes((units,) * layers + (2 if several else 1,), (batch,), subject.bias, dtype, 7)
        case = _in_quarters(convention.applied(replace(probe, learning_rate=0.5)))
        try:
            wrong = judge(case, subject.observe(case), rules=convention.rules()).wrong
        except (Unanswered, UnusableAnswer):
            return []
        if wrong:
            recovered = subject.returns == "updated" and not wrong[0].place.quantity.startswith("updated")
            yours = "your update makes it" if recovered else "yours is"
            lines = _program(case, convention, wrong[0].place, wrong[0].worst[0], yours)
            return ["smallest network that shows it:", *(INDENT + line for line in lines)]
    return []


def _program(case: Case, convention: Convention, place: Place, element: Element, yours: str) -> list[str]:
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
            [f"decay={convention.decay!r}", f"decays_biases={convention.decays_biases}"] if convention.decay else []
        )
        rules = [f"rules = bp.Convention({', '.join([*map(repr, declared), *options_of])}).rules()"]
    row, column = (0, 0, *element.index)[-2:]
    # By the right algorithm from the first step on; the judge's own starts from what the implementation had before.
    number = computed(run(case, PLAIN, convention.rules()))[place][row][column]
    own = dict.fromkeys(str(name) for name in names if not isinstance(name, str))
    return [
        *(f"# {name}: your own activation, as it was declared" for name in own),
        f"weights, biases = {weights!r}, {biases!r}",
        f"inputs, targets = {np.array(case.inputs).tolist()!r}, {np.array(case.targets).tolist()!r}",
        "import backproof as bp",
        f"layers = tuple(map(bp.Dense, weights, biases, {names!r}))",
        f"case = bp.Case('smallest', layers, inputs, targets, {', '.join(options)})",
        *rules,
        f"step = bp.run(case, bp.PLAIN{', rules' if rules else ''})",
        f"print(step.{_path(place, element.index)})  # {number!r}; {yours} {element.got!r}",
    ]


def _path(place: Place, index: tuple[int, ...]) -> str:
    """Where a step of the reference has the number; vectors are matrices of one row there."""
    at = "".join(f"[{i}]" for i in ((0, 0, *index)[-2:]))
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
