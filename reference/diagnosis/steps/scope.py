"""A step with all that is in its scope: what a wrong formula may take in place of the right operand.

A rule of `backprop.py` sees its own operands. Who writes it wrongly takes others: z for a, the error of the outputs for
δ, weights that have been updated. An `Edit` is one rule in one layer by another formula; `edited` gives the rules with
some edits, in which every formula finds what was computed before it. They run in every arithmetic, so that bounds can
prove what floats suggest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...backprop import RULES, Layer, Objective, Rules
from ...case import Case, run
from ...numbers import Arithmetic, Matrix
from ..catalogue.wrong_rules import layers_called

if TYPE_CHECKING:
    from .vocabulary import Entry

Key = tuple[str, int]  # a quantity of a layer; the inputs are ("activations", -1)


@dataclass
class Scope:
    """What was computed so far, in one arithmetic, and the step that is to be done.

    layer: of this step, from 0;  arguments: of its rule, without the arithmetic
    values: "pre_activations", "activations", "errors" (∂E/∂a), "deltas" and both gradients, by layer
    """

    ar: Arithmetic
    step: str = ""
    layer: int = 0
    arguments: tuple[Any, ...] = ()
    layers: dict[int, Layer] = field(default_factory=dict)
    objective: Objective | None = None
    targets: Matrix = None
    values: dict[Key, Matrix] = field(default_factory=dict)

    def right(self) -> Matrix:
        """What the right rule makes of the arguments."""
        return getattr(RULES, self.step)(*self.arguments, self.ar)

    def of(self, quantity: str, offset: int = 0) -> Matrix:
        """A quantity of this layer, or of one so many layers further up. Raises KeyError where there is none yet."""
        return self.values[quantity, self.layer + offset]

    def above(self) -> Layer:
        return self.layers[self.layer + 1]

    @property
    def outputs(self) -> Matrix:
        return self.values["activations", max(self.layers)]


Formula = Callable[[Scope], Matrix]


@dataclass(frozen=True)
class Edit:
    """One rule in one layer, wrongly.

    step: a rule's name;  layer: from 0;  words: completing "the implementation …"
    names: of catalogued faults that it is;  mistake: how one comes to write it, if known
    entry: of the vocabulary, that it is, with a constant
    scales: whether it is the right rule times a constant, which of single samples may be one of their number
    fitted: whether a constant of it was read off what it explains
    """

    step: str
    layer: int
    words: str
    formula: Formula
    names: tuple[str, ...] = ()
    mistake: str = ""
    scales: bool = False
    entry: Entry | None = None
    fitted: bool = False


# What a step computes, of which quantity.
RESULTS = {
    "preactivation": "pre_activations",
    "activation": "activations",
    "output_error": "errors",
    "hidden_error": "errors",
    "output_delta": "deltas",
    "hidden_delta": "deltas",
    "weight_gradient": "weight_gradients",
    "bias_gradient": "bias_gradients",
}


def arguments_of(step: str, layer: int, scope: Scope) -> tuple[Any, ...]:
    """A rule's arguments, out of what is in scope. Raises KeyError where something is not known."""
    values, own = scope.values, scope.layers[layer]
    match step:
        case "preactivation":
            return own, values["activations", layer - 1]
        case "activation":
            return own, values["pre_activations", layer]
        case "output_error":
            return scope.objective, values["activations", layer], scope.targets
        case "hidden_error":
            return scope.layers[layer + 1], values["deltas", layer + 1]
        case "weight_gradient":
            return values["deltas", layer], values["activations", layer - 1]
        case "bias_gradient":
            return (values["deltas", layer],)
    return own, values["pre_activations", layer], values["activations", layer], values["errors", layer]


def done(scope: Scope, step: str, layer: int, formula: Formula | None = None) -> Matrix:
    """One step out of what is in scope, by the right rule or a formula. Raises KeyError where something is missing."""
    arguments = arguments_of(step, layer, scope)
    at = Scope(scope.ar, step, layer, arguments, scope.layers, scope.objective, scope.targets, scope.values)
    return at.right() if formula is None else formula(at)


def edited(edits: Iterable[Edit]) -> Callable[[Case], Rules]:
    """The rules with these edits, made anew for every run."""
    by_step = {(edit.step, edit.layer): edit.formula for edit in edits}
    return lambda case: _watched(case, by_step, {})


def after(case: Case, edits: Iterable[Edit], under: Callable[[Rules], Rules], ar: Arithmetic) -> Scope:
    """All that is in scope when the case was run with these edits. under: the rules under a convention"""
    scopes: dict[str, Scope] = {}
    run(case, ar, under(_watched(case, {(edit.step, edit.layer): edit.formula for edit in edits}, scopes)))
    return scopes["run"]


def _watched(case: Case, formulas: Mapping[tuple[str, int], Formula], scopes: dict[str, Scope]) -> Rules:
    """Rules that fill a scope in. scopes: where it is put, when the first rule says in which arithmetic it runs"""

    def watched(step: str) -> Callable[..., Matrix]:
        layers = iter(layers_called(case, step))

        def rule(*arguments: Any) -> Matrix:
            *own, ar = arguments
            scope = scopes.setdefault("run", Scope(ar))
            k = next(layers)
            if step == "preactivation":
                scope.layers[k] = own[0]
                scope.values["activations", k - 1] = own[1]
            elif step == "output_error":
                scope.objective, _, scope.targets = own
            elif step in ("output_delta", "hidden_delta"):
                scope.values["errors", k] = own[3]  # a convention may have changed its sign or size since
            formula = formulas.get((step, k))
            at = Scope(ar, step, k, tuple(own), scope.layers, scope.objective, scope.targets, scope.values)
            result = at.right() if formula is None else formula(at)
            scope.values[RESULTS[step], k] = result
            return result

        return rule

    return replace(RULES, **{step: watched(step) for step in RESULTS})


def together(edits: Sequence[Edit], layers: int) -> str:
    """Several edits in words, with their layers where there is more than one."""
    said = {edit.words: [e.layer for e in edits if e.words == edit.words] for edit in edits}
    return ", and ".join(
        words + (f", {_in_layers(where, layers)}" if layers > 1 else "") for words, where in said.items()
    )


def _in_layers(where: Sequence[int], layers: int) -> str:
    if len(set(where)) == layers:
        return "in every layer"
    listed = ", ".join(str(k + 1) for k in sorted(set(where)))
    return f"in layer{'s' * (len(set(where)) > 1)} {listed}"
