"""The chapter's worked example as tables: what is printed, what the print computes to, what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from ...adapters.adapter import Adapter
from ...reference.backprop import forward
from ...reference.case import Case, Step, run
from ...reference.judging import Observation, Verdict, judge
from ...reference.numbers import PLAIN
from ...reference.worked_example import AS_PRINTED, PRINTED, SIGNS_RESTORED, as_the_print_shows, label, worked_example

TABLE = "simple_outline"


def example(adapters: Sequence[Adapter]) -> tuple[str, bool]:
    """The report, and whether every adapter agrees. The first column of numbers is always the plain reference."""
    printed, meant = worked_example(AS_PRINTED), worked_example(SIGNS_RESTORED)
    step = run(meant, PLAIN)
    observations = [adapter.run(meant) for adapter in adapters]
    verdicts = [judge(meant, observation).verdict for observation in observations]
    sections = [
        "Phase 1, forward: x = (0, 1) and the bias column 1, y = 1, sigmoid; three decimals, truncated as in the print",
        _printed_and_meant(run(printed, PLAIN), step),
        "Signs restored, on every implementation, in full",
        _forward_table(observations),
        f"Phase 2, backward: E = ½ (o − y)²; then one step of the delta rule, learning rate {meant.learning_rate}",
        _backward_table(meant, step, observations),
        _before_and_after(meant, step),
        "; ".join(f"{adapter.name} {verdict.value}" for adapter, verdict in zip(adapters, verdicts, strict=True))
        + ": within tolerances derived for each number, in float64.",
    ]
    return "\n\n".join(sections) + "\n", all(verdict is Verdict.AGREES for verdict in verdicts)


def _printed_and_meant(as_printed: Step, restored: Step) -> str:
    columns = [PRINTED, as_the_print_shows(as_printed), as_the_print_shows(restored)]
    rows = [[f"hidden {k + 1}", *(column.hidden[k] for column in columns)] for k in range(3)]
    rows.append(["output", *(column.output for column in columns)])
    rows.append(["class (step at 0.5)", *(str(column.label) for column in columns)])
    headers = ["", "printed result", "weights as printed", "signs restored"]
    return tabulate(rows, headers, TABLE, disable_numparse=True) + (
        "\nThe print lost minus signs: its own weights give class 0. With them restored, every printed digit comes out."
    )


def _forward_table(observations: Sequence[Observation]) -> str:
    hidden = [o.activations[0][0] for o in observations if o.activations and o.activations[0] is not None]
    rows = [[f"hidden {k + 1}", *(_digits(units[k]) for units in hidden)] for k in range(3)]
    outputs = [float(o.outputs[0][0]) for o in observations if o.outputs is not None]
    rows.append(["output", *map(_digits, outputs)])
    rows.append(["class", *(str(label(output)) for output in outputs)])
    return tabulate(rows, ["", *(o.adapter for o in observations)], TABLE, disable_numparse=True)


def _backward_table(case: Case, step: Step, observations: Sequence[Observation]) -> str:
    """δ, ∂E/∂w and the new weight, for every weight of both layers."""
    assert step.updated is not None  # the worked example has a learning rate
    rows = []
    for k, (name, layer) in enumerate(zip(("hidden", "output"), case.layers, strict=True)):
        shown: list[Any] = [o.weight_gradients[k] for o in observations if o.weight_gradients is not None]
        for unit, weights in enumerate(layer.weights):
            for i, old in enumerate(weights):
                gradients = [array[unit][i] for array in shown]
                delta = _digits(step.backward.deltas[k][0][unit]) if i == 0 else ""
                new = step.updated[k].weights[unit][i]
                rows.append([f"{name} {unit + 1} ← {i + 1}", delta, *map(_digits, gradients), f"{old:g}", _digits(new)])
    names = [f"∂E/∂w {o.adapter}" for o in observations]
    return tabulate(rows, ["unit ← input", "δ", *names, "old weight", "new weight"], TABLE, disable_numparse=True)


def _before_and_after(case: Case, step: Step) -> str:
    before = step.forward.outputs[0][0]
    assert step.updated is not None
    after = forward(step.updated, PLAIN.lift(case.inputs), PLAIN).outputs[0][0]
    return f"output before the step {_digits(before)}, after it {_digits(after)}; the target is {case.targets[0][0]:g}."


def _digits(x: float) -> str:
    return f"{float(x) + 0.0:.10f}"  # + 0.0: a zero has no sign for the reader
