"""The chapter's worked example as tables: what is printed, what the print computes to, what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...adapters.adapter import Adapter
from ...reference.backprop import forward
from ...reference.case import Case, Step, run
from ...reference.judging import Observation, Verdict, judge
from ...reference.numbers import PLAIN
from ...reference.worked_example import AS_PRINTED, PRINTED, SIGNS_RESTORED, as_the_print_shows, label, worked_example
from ..console import table_of
from ..views import in_lines, pictures

DECIMALS = 10


def example(adapters: Sequence[Adapter], width: int | None = None) -> tuple[str, bool]:
    """The report, and whether every adapter agrees. width: to which tables are fitted"""
    printed, meant = worked_example(AS_PRINTED), worked_example(SIGNS_RESTORED)
    step = run(meant, PLAIN)
    observations = [adapter.run(meant) for adapter in adapters]
    verdicts = [judge(meant, observation).verdict for observation in observations]
    drawn = [in_lines(picture, width).removesuffix("\n") for picture in pictures(meant) or ()]
    sections = [
        "Phase 1, forward: x = (0, 1) and the bias column 1, y = 1, sigmoid; three decimals, truncated as in the print",
        _printed_and_meant(run(printed, PLAIN), step, width),
        "Signs restored, on every implementation, in full",
        _forward_table(observations, width),
        drawn[0],
        f"Phase 2, backward: E = ½ (o − y)²; then one step of the delta rule, learning rate {meant.learning_rate}",
        drawn[1],
        _backward_table(meant, step, observations, width),
        _before_and_after(meant, step),
        "; ".join(f"{adapter.name} {verdict.value}" for adapter, verdict in zip(adapters, verdicts, strict=True))
        + ": within tolerances derived for each number, in float64.",
    ]
    return "\n\n".join(filter(None, sections)) + "\n", all(verdict is Verdict.AGREES for verdict in verdicts)


def _printed_and_meant(as_printed: Step, restored: Step, width: int | None) -> str:
    columns = [PRINTED, as_the_print_shows(as_printed), as_the_print_shows(restored)]
    rows = [[f"hidden {k + 1}", *(column.hidden[k] for column in columns)] for k in range(3)]
    rows.append(["output", *(column.output for column in columns)])
    rows.append(["class (step at 0.5)", *(str(column.label) for column in columns)])
    return table_of(rows, ["", "printed\nresult", "weights\nas printed", "signs\nrestored"], width) + (
        "The print lost minus signs: its own weights give class 0. With them restored, every printed digit comes out."
    )


def _forward_table(observations: Sequence[Observation], width: int | None) -> str:
    rows = [
        [o.adapter, *map(_digits, o.activations[0][0]), _digits(o.outputs[0][0])]
        for o in observations
        if o.activations and o.activations[0] is not None and o.outputs is not None
    ]
    headers = ["", "hidden 1", "hidden 2", "hidden 3", "output"]
    classes = sorted({label(float(o.outputs[0][0])) for o in observations if o.outputs is not None})
    return table_of(rows, headers, width) + f"class {', '.join(map(str, classes))}: a step at 0.5"


def _backward_table(case: Case, step: Step, observations: Sequence[Observation], width: int | None) -> str:
    """δ, ∂E/∂w and the new weight of the reference, for every weight of both layers; and who shows other digits."""
    assert step.updated is not None  # the worked example has a learning rate
    rows, others = [], []
    for k, (name, layer) in enumerate(zip(("hidden", "output"), case.layers, strict=True)):
        for unit, weights in enumerate(layer.weights):
            for i, old in enumerate(weights):
                delta = _digits(step.backward.deltas[k][0][unit]) if i == 0 else ""
                gradient, new = _digits(step.backward.weight_gradients[k][unit][i]), step.updated[k].weights[unit][i]
                rows.append([f"{name} {unit + 1} ← {i + 1}", delta, gradient, f"{old:g}", _digits(new)])
                for o in observations:
                    seen: Any = None if o.weight_gradients is None else o.weight_gradients[k]
                    if seen is not None and (digits := _digits(seen[unit][i])) != gradient:
                        others.append(f"{o.adapter} has ∂E/∂w {digits} for {rows[-1][0]}.")
    table = table_of(rows, ["unit ← input", "δ", "∂E/∂w", "old\nweight", "new weight"], width)
    names = ", ".join(o.adapter for o in observations if o.weight_gradients is not None)
    return table + "\n".join(others or [f"{names}: each ∂E/∂w has these {DECIMALS} decimals."])


def _before_and_after(case: Case, step: Step) -> str:
    before = step.forward.outputs[0][0]
    assert step.updated is not None
    after = forward(step.updated, PLAIN.lift(case.inputs), PLAIN).outputs[0][0]
    return f"output before the step {_digits(before)}, after it {_digits(after)}; the target is {case.targets[0][0]:g}."


def _digits(x: float) -> str:
    return f"{float(x) + 0.0:.{DECIMALS}f}"  # + 0.0: a zero has no sign for the reader
