"""The judge: are the observed numbers such as an honest implementation may get?

`wrong` claims that a number lies outside the bound of every algorithm of this class: each sum of products by ordinary
additions and multiplications in any order (FMA, blocked, parallel and compensated included), each elementary function
within its measured ulps, derivatives by the natural formulas, in the stated profile of formats, each step starting from
the numbers that the implementation shows. Strassen-like or FFT products, numerical differentiation and approximated
activations are outside the class.

`suspect` claims less: independent roundings would give such a number, or such a set of numbers, about once in 10⁹ runs
(see `error_model.LAMBDA`).

Every step is judged by itself, from the implementation's own numbers (see `stepwise.py`); what is not shown is bridged
by the bounds of the steps in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from ..backprop import RULES, Rules
from ..case import Case
from ..numbers import PRECISIONS, PROFILES, Enclosure, Profile, format_name
from .comparing import compared
from .expected import step_expectations
from .observation import Observation, Place, differences, observed
from .stepwise import Evidence, as_matrix, worked_out
from .verdict import Comparison, Judgement, Verdict

Array = NDArray[Any]


class UnusableAnswer(Exception):
    """An implementation answered with something that cannot be judged. The message says what and where."""


def judge(
    case: Case,
    observation: Observation,
    truth: Mapping[Place, Enclosure] | None = None,
    rules: Rules = RULES,
    pure: bool = True,
    coarser: bool = True,
) -> Judgement:
    """Compare everything that the observation shows with what may be expected of it.

    Args:
        truth: from `truth_of`, to say how many ulps from the exact results of the whole case the numbers are
        rules: what is right; another convention's (see `conventions.py`)
        pure: whether a gradient is of the data alone; δ and activations are not told from one with a penalty in it
        coarser: whether to find out which coarser profile explains what is wrong: it takes as long again for each

    Raises:
        UnusableAnswer: where the shapes do not fit, where nothing is shown, or where the implementation started from
            other numbers than the case's.
    """
    shown = _usable(case, observation)
    comparisons = _comparisons(case, shown, PROFILES[observation.precision], truth, rules, pure)
    judgement = Judgement(comparisons, observation.precision, observation.precision)
    if not judgement.wrong or not coarser:
        return judgement
    return replace(judgement, explained_by=_explaining(case, shown, judgement, rules, pure))


def _explaining(case: Case, shown: Mapping[Place, Array], judgement: Judgement, rules: Rules, pure: bool) -> str | None:
    """The finest profile coarser than the declared one under which nothing is wrong, and what was wrong is decided."""
    names, wrong = list(PROFILES), [comparison.place for comparison in judgement.wrong]
    for name in names[names.index(judgement.profile) + 1 :]:
        again = _comparisons(case, shown, PROFILES[name], None, rules, pure)
        verdicts = {comparison.place: comparison.verdict for comparison in again}
        if Verdict.WRONG not in verdicts.values() and all(verdicts[p] is not Verdict.UNDECIDED for p in wrong):
            return name
    return None


def _comparisons(
    case: Case,
    shown: Mapping[Place, Array],
    profile: Profile,
    truth: Mapping[Place, Enclosure] | None,
    rules: Rules,
    pure: bool,
) -> tuple[Comparison, ...]:
    seen = worked_out(case, shown, profile, pure)
    entries = list(_in_order(shown, seen))
    expected = step_expectations(case, profile, seen, rules, [place for place, _, _ in entries])
    return tuple(
        compared(
            place,
            array,
            expected[place].known_up_to(error),
            None if truth is None or error is not None else truth.get(place),
        )
        for place, array, error in entries
    )


def _in_order(shown: Mapping[Place, Array], seen: Evidence) -> Iterator[tuple[Place, Array, Array | None]]:
    """What is to be compared, with its uncertainty, in the order of computing.

    Gradients that were recovered from updates are among it: their errors are not lost in the size of the weights.
    """
    entries: list[tuple[Place, Array, Array | None]] = [(place, array, None) for place, array in shown.items()]
    for place, s in seen.items():
        if place not in shown and place.quantity.endswith("_gradients"):
            entries.append((place, s.value, s.error))
    yield from sorted(entries, key=lambda entry: moment(entry[0]))


def moment(place: Place) -> tuple[int, int, int]:
    """When a place's array is computed."""
    k = -1 if place.layer is None else place.layer
    match place.quantity:
        case "pre_activations":
            return 0, k, 0
        case "activations":
            return 0, k, 1
        case "loss":
            return 1, 0, 0
        case "deltas":
            return 2, -k, 0
        case "bias_gradients":
            return 2, -k, 1
        case "weight_gradients":
            return 2, -k, 2
    return 3, k, 0


def _usable(case: Case, observation: Observation) -> dict[Place, Array]:
    """Everything shown, each as a matrix of its own format; read here, and nowhere else. Raises UnusableAnswer."""
    if observation.received is not None and (places := differences(case, observation.received)):
        raise UnusableAnswer(
            f"{observation.adapter} did not start from the case's numbers: {', '.join(places)} differ in some bit."
        )
    if observation.precision not in PROFILES:
        raise UnusableAnswer(f"precision: expected one of {', '.join(PROFILES)}; got {observation.precision!r}.")
    shown = dict(observed(observation))
    if not shown:
        raise UnusableAnswer(f"{observation.adapter} showed nothing that could be compared.")
    shapes = _shapes(case)
    for place, array in shown.items():
        _check(place, array, shapes)
    return {place: as_matrix(place, array) for place, array in shown.items()}


def _check(place: Place, array: Array, shapes: Mapping[Place, tuple[int, int]]) -> None:
    """Shape and dtype of what is shown. Raises UnusableAnswer."""
    if place not in shapes:
        raise UnusableAnswer(
            f"{place}: the case has no such thing (no biases there, or no learning rate), but an answer came."
        )
    if format_name(array.dtype) not in PRECISIONS:
        raise UnusableAnswer(f"{place}: expected {', '.join(PRECISIONS)} numbers, got {array.dtype}.")
    shape = shapes[place]
    vector = place.quantity in ("loss", "bias_gradients", "updated_biases")
    if array.size != shape[1] if vector else array.shape != shape:
        wanted = f"{shape[1]} numbers" if vector else " × ".join(str(n) for n in shape)
        came = " × ".join(str(n) for n in array.shape) or "a single number"
        raise UnusableAnswer(f"{place}: expected {wanted}, got {came}.")


def _shapes(case: Case) -> dict[Place, tuple[int, int]]:
    """The shape of every array that an answer to the case may have."""
    shapes = {Place("loss", None): (1, 1)}
    for k, (units, layer) in enumerate(zip(case.sizes[1:], case.layers, strict=True)):
        for quantity in ("pre_activations", "activations", "deltas"):
            shapes[Place(quantity, k)] = (case.batch, units)
        for gradients, updated, shape in (
            ("weight_gradients", "updated_weights", (units, case.sizes[k])),
            ("bias_gradients", "updated_biases", (1, units)),
        ):
            if gradients == "weight_gradients" or layer.biases is not None:
                shapes[Place(gradients, k)] = shape
                if case.learning_rate is not None:
                    shapes[Place(updated, k)] = shape
    return shapes
