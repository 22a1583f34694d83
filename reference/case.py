"""A case: one network, one batch, one learning step, as plain data. What every adapter is given, bit for bit.

Numbers are exact: each must be representable in the case's dtype, so that no framework has to round its inputs.
Standard library only (two-dimensional arrays are welcome where nested sequences are).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any

from . import aliases
from .activations import SOFTMAX, Activation
from .backprop import RULES, Backward, Forward, Layer, Objective, Rules, backward, delta_rule, forward
from .losses import DISTRIBUTION, Loss
from .more_activations import ACTIVATION_FORMS, ACTIVATION_NAMES, activation_named
from .more_losses import LOSS_FORMS, LOSS_NAMES, loss_named
from .numbers import PRECISIONS, Arithmetic, Matrix, Rows

REDUCTIONS = ("sum", "mean")


class InvalidInput(ValueError):
    """Something given from outside is not usable. The message says where, what was expected, what came, what to do."""


@dataclass(frozen=True)
class Dense:
    """One layer's data. weights: units × inputs, a row per unit; biases: one per unit, or None for none.

    Attributes:
        activation: a name that `activation_named` knows, such as "leaky_relu(0.2)", or an `Activation` of your own
    """

    weights: Rows
    biases: Sequence[float] | None
    activation: str | Activation

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", called(self.activation))
        object.__setattr__(self, "weights", _plain(self.weights))
        biases = _plain(self.biases)
        object.__setattr__(self, "biases", biases.tolist() if getattr(biases, "ndim", 0) == 1 else biases)


@dataclass(frozen=True, eq=False)
class Case:
    """A network, a batch and what to do with them.

    Attributes:
        layers: first to last
        inputs: batch × inputs
        targets: batch × outputs
        loss: a name that `loss_named` knows, such as "huber(0.5)"
        reduction: a name from `REDUCTIONS`
        dtype: a name from `PRECISIONS`
        learning_rate: for the delta rule; None asks for no update
        online: one learning step per sample, each from the weights that the one before left, instead of one for the
            batch

    Raises:
        InvalidInput: where shapes, names or numbers do not fit.
    """

    name: str
    layers: tuple[Dense, ...]
    inputs: Rows
    targets: Rows
    loss: str = "half_squared_error"
    reduction: str = "sum"
    learning_rate: float | None = None
    dtype: str = "float64"
    note: str = ""
    online: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", _plain(self.inputs))
        object.__setattr__(self, "targets", _plain(self.targets))
        found = loss_named(self.loss, getattr(self.layers[-1], "activation", None) if len(self.layers) else None)
        if found and found.name != self.loss and aliases.says_mean(self.loss) and self.reduction == "sum":
            raise InvalidInput(
                f"loss: {self.loss} is a mean, and reduction is 'sum': expected loss={found.name!r} for the sum, or "
                "reduction='mean' for the mean over samples."
            )
        object.__setattr__(self, "loss", found.name if found else self.loss)
        _validate(self)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units per layer, the inputs first: (2, 2, 1) is the chapter's 2-2-1."""
        return (len(self.inputs[0]), *(len(layer.weights) for layer in self.layers))

    @property
    def batch(self) -> int:
        return len(self.inputs)

    @property
    def objective(self) -> Objective:
        return Objective(known_loss("loss", self.loss), self.reduction)


@dataclass(frozen=True)
class Step:
    """Everything that one learning step computes, in one arithmetic. `updated` is None without a learning rate."""

    forward: Forward
    backward: Backward
    updated: tuple[Layer, ...] | None


def run(case: Case, ar: Arithmetic, rules: Rules = RULES) -> Step:
    """The reference on a case: forward, backward and, with a learning rate, the delta rule."""
    if case.online:
        return run_online(case, ar, lambda sample: rules)
    return _step(case, layers_of(case, ar), ar, rules)


def run_online(case: Case, ar: Arithmetic, rules_for: Callable[[Case], Rules]) -> Step:
    """One learning step per sample: the last one, whose updated layers are those that the whole batch leaves."""
    samples = [
        replace(case, inputs=case.inputs[i : i + 1], targets=case.targets[i : i + 1], online=False)
        for i in range(case.batch)
    ]
    return run_in_turn(samples, ar, rules_for)


def run_in_turn(cases: Sequence[Case], ar: Arithmetic, rules_for: Callable[[Case], Rules]) -> Step:
    """One learning step on each case's data, each from the weights that the one before left; the last step.

    rules_for: rules that remember what they saw are made anew for every step
    """
    layers = layers_of(cases[0], ar)
    for case in cases:
        step = _step(case, layers, ar, rules_for(case))
        layers = step.updated or layers
    return step


def layers_of(case: Case, ar: Arithmetic) -> tuple[Layer, ...]:
    """The case's layers in an arithmetic's numbers."""
    return tuple(
        Layer(
            weights=ar.lift(layer.weights),
            biases=None if layer.biases is None else ar.lift([layer.biases]),
            activation=known_activation(f"layers[{k}].activation", layer.activation),
        )
        for k, layer in enumerate(case.layers)
    )


def _step(case: Case, layers: tuple[Layer, ...], ar: Arithmetic, rules: Rules) -> Step:
    inputs: Matrix = ar.lift(case.inputs)
    passed = forward(layers, inputs, ar, rules)
    gradients = backward(layers, inputs, ar.lift(case.targets), passed, case.objective, ar, rules)
    updated = None if case.learning_rate is None else delta_rule(layers, gradients, case.learning_rate, ar, rules)
    return Step(passed, gradients, updated)


def with_ones(inputs: Rows, position: str = "last") -> tuple[tuple[float, ...], ...]:
    """The inputs with the chapter's trainable bias column: a constant 1 as the first or last entry of every sample."""
    if position not in ("first", "last"):
        raise InvalidInput(f"position: expected first or last, got {position!r}.")
    one = (1.0,)
    return tuple((*one, *sample) if position == "first" else (*sample, *one) for sample in inputs)


# ------------------------------------------------------------------------------------------------ validation


def _plain(given: Any) -> Any:
    """Tensors as arrays; scalars of NumPy and PyTorch, in lists too, as Python's numbers; others as they are."""
    if type(given) in NUMBERS or (type(given) is tuple and NUMBERS.issuperset(map(type, given))):  # most are
        return given
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = (given.float() if str(given.dtype) == "torch.bfloat16" else given).numpy()
    if getattr(given, "shape", None) == () and hasattr(given, "tolist"):
        return given.tolist()
    if isinstance(given, (list, tuple)):
        return tuple(map(_plain, given))
    return given


NUMBERS = frozenset((float, int))  # Python's own, whose subclasses may be anything

LONG_LIST = 12  # names; longer lists are shown only where no single name is near


def one_of(place: str, value: object, known: Iterable[str]) -> None:
    """Raises InvalidInput unless `value` is one of the `known` names; suggests the nearest one."""
    names = list(known)
    if value in names:
        return
    from difflib import get_close_matches  # only needed when something is wrong

    close = get_close_matches(str(value), names, n=1)
    if close and len(names) > LONG_LIST:
        raise InvalidInput(f"{place}: there is no {value!r}. Did you mean {close[0]!r}?")
    raise InvalidInput(f"{place}: expected one of {', '.join(names)}; got {value!r}.{_meant(close)}")


def _meant(close: Sequence[str]) -> str:
    return f" Did you mean {close[0]!r}?" if close else ""


def known_activation(place: str, given: object) -> Activation:
    """The activation of a name; one's own is itself. Raises InvalidInput for what there is not."""
    found = activation_named(given) if isinstance(given, (str, Activation)) else None
    if found is None:
        raise _unknown(place, given, (*ACTIVATION_NAMES, *ACTIVATION_FORMS), ACTIVATION_FORMS, aliases.ACTIVATIONS)
    return found


def known_loss(place: str, given: object, output: object = None) -> Loss:
    """The loss of a name. Raises InvalidInput for what there is not. output: the activation that it is of, if known"""
    found = loss_named(given, output) if isinstance(given, str) else None
    if found is None:
        raise _unknown(place, given, (*LOSS_NAMES, *LOSS_FORMS), LOSS_FORMS, aliases.LOSSES)
    return found


def called(activation: str | Activation) -> str | Activation:
    """An activation by its one name, where it has one that everybody knows; else as it is."""
    found = activation_named(activation)
    return found.name if found is not None and activation_named(found.name) == found else activation


def _unknown(
    place: str, given: object, known: Sequence[str], forms: Mapping[str, str], other: Mapping[str, str]
) -> InvalidInput:
    """What is wrong with a name that there is not; one of a family wants numbers in its parentheses."""
    for form, example in forms.items():
        if str(given).partition("(")[0].strip() == form.partition("(")[0] and "(" in str(given):
            return InvalidInput(f"{place}: expected {form} with numbers, such as {example}; got {given!r}.")
    from difflib import get_close_matches

    close = get_close_matches(str(given).lower(), [*known, *other], n=1)
    hint = _meant([other.get(name, name) for name in close])
    return InvalidInput(f"{place}: expected one of {', '.join(known)}; got {given!r}.{hint}")


MOST_PARAMETERS = 10**8  # of a network that is made here, as nested sequences of numbers


def network_sizes(sizes: Sequence[int], place: str = "sizes") -> tuple[int, ...]:
    """Units per layer, the inputs first, of a network that can be made. Nothing is made of what cannot.

    Raises InvalidInput unless they are two or more positive whole numbers with at most `MOST_PARAMETERS` weights and
    biases.
    """
    whole = isinstance(sizes, Sequence) and not isinstance(sizes, (str, bytes))
    if not whole or len(sizes) < 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes):
        shown = list(sizes[:8]) if whole else sizes
        raise InvalidInput(f"{place}: expected two or more positive whole numbers, the inputs first; got {shown!r}.")
    parameters = sum((inputs + 1) * units for inputs, units in pairwise(sizes))
    if parameters > MOST_PARAMETERS:
        raise InvalidInput(
            f"{place}: expected a network of at most {MOST_PARAMETERS:,} weights and biases; this one has about "
            f"{parameters:.2g}."
            if parameters < 10**300
            else f"{place}: expected a network of at most {MOST_PARAMETERS:,} weights and biases."
        )
    return tuple(sizes)


def _validate(case: Case) -> None:
    one_of("dtype", case.dtype, PRECISIONS)
    known_loss("loss", case.loss)
    one_of("reduction", case.reduction, REDUCTIONS)
    if not len(case.layers):
        raise InvalidInput("layers: expected at least one layer, got none.")

    batch, width = _shape("inputs", case.inputs, "batch × inputs", case.dtype)
    below = f"the inputs have {width} columns"
    for k, layer in enumerate(case.layers):
        place = f"layers[{k}]"
        if known_activation(f"{place}.activation", layer.activation) is SOFTMAX and k + 1 < len(case.layers):
            raise InvalidInput(f"{place}.activation: softmax is for the output layer only; this is a hidden layer.")
        units, columns = _shape(f"{place}.weights", layer.weights, "units × inputs", case.dtype)
        if columns != width:
            raise InvalidInput(_misfit(place, units, columns, width, below))
        if layer.biases is not None:
            _biases(f"{place}.biases", layer.biases, units, case.dtype)
        width, below = units, f"the layer below has {units} units"

    rows, columns = _shape("targets", case.targets, "batch × outputs", case.dtype)
    if (rows, columns) != (batch, width):
        raise InvalidInput(
            f"targets: expected {batch} × {width} (batch × outputs: there are {batch} samples and {width} output "
            f"units), got {rows} × {columns}."
        )
    _validate_loss(case)
    rate = case.learning_rate
    if rate is not None:
        if not (_is_number(rate) and math.isfinite(rate) and rate > 0):
            raise InvalidInput(
                f"learning_rate: expected a positive finite number, or None for no update; got {rate!r}."
            )
        _representable("learning_rate", rate, case.dtype)


def _validate_loss(case: Case) -> None:
    loss, activation = known_loss("loss", case.loss), case.layers[-1].activation
    if loss.output_activation is not None and activation != loss.output_activation:
        last = len(case.layers) - 1
        raise InvalidInput(
            f"layers[{last}].activation: loss {loss.name} expects {loss.output_activation} on the output layer, "
            f"got {activation}."
        )
    if loss.targets is None:
        return
    for i, row in enumerate(case.targets):
        if not all(0 <= t <= 1 for t in row) or (
            loss.targets == DISTRIBUTION and sum(Fraction(float(t)) for t in row) != 1
        ):
            raise InvalidInput(f"targets[{i}]: loss {loss.name} expects {loss.targets}, got {_listed(row)}.")


def _misfit(place: str, units: int, columns: int, width: int, below: str) -> str:
    message = f"{place}.weights: expected {units} × {width} (units × inputs: {below}), got {units} × {columns}."
    if units == width:
        message = f"{place}.weights: expected {columns} × {width} (units × inputs: {below}), got {units} × {columns}."
        message += "\nIf your framework stores inputs × units, transpose the matrix."
    return message


def _shape(place: str, given: Rows, meaning: str, dtype: str) -> tuple[int, int]:
    """The shape of a matrix, after making sure that it is one and that all of it is usable in this dtype."""
    rows: Any = given  # which it is only supposed to be
    shape = getattr(rows, "shape", None)
    if shape is not None:
        if len(shape) != 2 or 0 in shape:
            raise InvalidInput(f"{place}: expected a matrix ({meaning}), got an array of shape {tuple(shape)}.")
    elif isinstance(rows, (str, bytes)) or not isinstance(rows, Sequence):
        raise InvalidInput(f"{place}: expected a matrix ({meaning}), got {rows!r}.")
    elif not len(rows):
        raise InvalidInput(f"{place}: expected at least one row ({meaning}), got none.")
    if (sound := _sound(rows, dtype)) is not None:
        return sound
    columns = None
    for i, row in enumerate(getattr(rows, "tolist", lambda: rows)()):
        if isinstance(row, (str, bytes)) or not hasattr(row, "__len__"):
            raise InvalidInput(f"{place}[{i}]: expected a row of numbers ({meaning}), got {row!r}.")
        if not len(row):
            raise InvalidInput(f"{place}[{i}]: expected at least one number, got an empty row.")
        if columns is not None and len(row) != columns:
            raise InvalidInput(
                f"{place}[{i}]: expected {columns} numbers, as in the rows before it ({meaning}); got {len(row)}."
            )
        columns = len(row)
        if not _as_they_should_be(row, dtype):
            for j, x in enumerate(row):
                _number(f"{place}[{i}][{j}]", x, dtype)
    assert columns is not None
    return len(rows), columns


def _sound(rows: Any, dtype: str) -> tuple[int, int] | None:
    """The shape of what there is surely nothing to say of, without a look at each number; None where there may be."""
    if (getattr(rows, "dtype", None) == dtype) is True:  # NumPy's formats equal their names
        from numpy import isfinite  # it is loaded already: the array came from it

        return (len(rows), len(rows[0])) if isfinite(rows).all() else None
    if hasattr(rows, "shape") or not {list, tuple}.issuperset(map(type, rows)):
        return None
    widths = set(map(len, rows))
    if len(widths) > 1 or 0 in widths or not _as_they_should_be(list(chain.from_iterable(rows)), dtype):
        return None
    return len(rows), widths.pop()


def _biases(place: str, biases: Any, units: int, dtype: str) -> None:
    if not hasattr(biases, "__len__") or isinstance(biases, (str, bytes)):
        raise InvalidInput(f"{place}: expected {units} numbers, one per unit, or None; got {biases!r}.")
    if len(biases) != units:
        raise InvalidInput(f"{place}: expected {units} numbers, one per unit; got {len(biases)}.")
    if not _as_they_should_be(biases, dtype):
        for i, x in enumerate(biases):
            _number(f"{place}[{i}]", x, dtype)


def _as_they_should_be(numbers: Sequence[Any], dtype: str) -> bool:
    """Whether there is surely nothing to say of any: most are, and to name the place of each would cost the most."""
    if not {float}.issuperset(map(type, numbers)) or not all(map(math.isfinite, numbers)):
        return False
    return dtype == "float64" or all(map(PRECISIONS[dtype].holds, numbers))


def _number(place: str, x: object, dtype: str) -> None:
    if not _is_number(x):
        raise InvalidInput(f"{place}: expected a number, got {x!r}.")
    assert isinstance(x, (int, float))
    if not math.isfinite(x):
        raise InvalidInput(f"{place}: expected a finite number, got {x}.")
    _representable(place, x, dtype)


def _representable(place: str, x: float, dtype: str) -> None:
    precision = PRECISIONS[dtype]
    if not precision.holds(x):
        raise InvalidInput(
            f"{place}: {x!r} is not a {dtype} number, so frameworks would each round it themselves; "
            f"give the nearest one, {precision.nearest(x)!r}."
        )


def _is_number(x: object) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _listed(row: Sequence[float]) -> str:
    return "[" + ", ".join(f"{x:g}" for x in list(row)[:8]) + (", …]" if len(row) > 8 else "]")
