"""Gradients that somebody has, in place of a function that makes them: `assert_gradients`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...adapters.adapter import Unanswered
from ...reference.case import Case, Dense
from ...reference.diagnosis import Convention, diagnose
from ...reference.judging import Observation, UnusableAnswer, Verdict, judge
from ..calling import Array, as_array
from ..documents import Report, WrongGradients
from .wording import because, steps


def assert_gradients(
    network: Sequence[Dense],
    inputs: Any,
    targets: Any,
    weight_gradients: Sequence[Any],
    bias_gradients: Sequence[Any] | None = None,
    *,
    loss: str = "half_squared_error",
    reduction: str = "sum",
) -> None:
    """In place of assert_allclose: raise WrongGradients unless these are the gradients, by the bounds of their format.

    Args:
        network: the layers, first to last
        inputs: batch × inputs
        targets: batch × outputs
        weight_gradients: per layer, units × inputs, in the format that they were computed in
        bias_gradients: per layer, one per unit

    Raises:
        WrongGradients: they are wrong; or one is missing, of another shape or no numbers.
        InvalidInput: for a network that is none.
    """
    try:
        observation = _given_gradients(tuple(network), weight_gradients, bias_gradients)
        names = tuple(layer.activation for layer in network)
        case = Case("given", tuple(network), inputs, targets, loss, reduction, dtype=observation.precision)
        convention = Convention(names, case.loss, reduction)
        judgement = judge(case, observation)
    except (Unanswered, UnusableAnswer) as error:
        raise WrongGradients(f"unanswered: {error}") from None
    said: list[str] = []
    diagnosis = None
    if judgement.verdict is Verdict.WRONG:
        diagnosis = diagnose([(case, observation)], convention)
        said += because(diagnosis, convention) if diagnosis.explanations else []
        if judgement.explained_by not in (None, case.dtype):
            said.append(f"its numbers are those of {judgement.explained_by} arithmetic, not of {case.dtype}.")
    elif judgement.verdict is Verdict.UNDECIDED:
        said.append("no number could be decided: their bounds are too wide.")
    details = tuple(steps([(case, observation, judgement)]))
    Report(judgement.verdict.value, None, tuple(said), None, diagnosis, False, details).raise_for_wrong()


def _given_gradients(network: tuple[Dense, ...], weights: Any, biases: Any) -> Observation:
    """Gradients that somebody has. Raises Unanswered where they are not one array for each array of parameters."""
    of_weights = _given_arrays("weight_gradients", weights, [True for _ in network])
    of_biases = None
    if biases is not None:  # else they are not shown
        found = _given_arrays("bias_gradients", biases, [layer.biases is not None for layer in network])
        of_biases = tuple(None if array is None else array.reshape(-1) for array in found)
    formats = list(dict.fromkeys(a.dtype.name for a in (*of_weights, *(of_biases or ())) if a is not None))
    if len(formats) > 1:
        raise Unanswered(f"gradients: expected all in one format, got {' and '.join(formats)}")
    dtype = formats[0] if formats else "float64"
    return Observation("given", "", "cpu", dtype, weight_gradients=of_weights, bias_gradients=of_biases)


def _given_arrays(name: str, given: Any, wanted: Sequence[bool]) -> tuple[Array | None, ...]:
    count = len(given) if hasattr(given, "__len__") and not isinstance(given, (str, bytes)) else None
    if count != len(wanted):
        came = type(given).__name__ if count is None else count
        raise Unanswered(f"{name}: expected {len(wanted)} arrays, one per layer; got {came}")
    if missing := [k for k, (array, needed) in enumerate(zip(given, wanted, strict=True)) if needed and array is None]:
        raise Unanswered(f"{name}[{missing[0]}]: expected an array, got None")
    pairs = enumerate(zip(given, wanted, strict=True))
    return tuple(as_array(f"{name}[{k}]", array) if needed else None for k, (array, needed) in pairs)
