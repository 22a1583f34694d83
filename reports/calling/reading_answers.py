"""Reading what a function answered: numbers of the right shapes, in whatever kind of array, or why it is none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...adapters.adapter import Unanswered
from ...adapters.protocol import printable
from ...reference.case import Case
from ...reference.judging import Observation
from ...reference.numbers import PRECISIONS, format_name
from .answers_by_name import by_name, has_names, names_in

Array = NDArray[Any]


class Manner(Protocol):
    """How a function answers. `call.Call` is one.

    returns: gradients, updated or outputs;  orientation: how it stores weights
    column: where the biases stand in the weights: 0 for the first column, 1 for the last, None for separate ones
    """

    @property
    def returns(self) -> str: ...
    @property
    def orientation(self) -> str: ...
    @property
    def column(self) -> int | None: ...


class Misshapen(Unanswered):
    """It answered, but not with what was asked for."""


def read_answer(call: Manner, case: Case, answer: Any) -> Observation:
    """All weights, then all biases; or else weights and biases of each layer, if that fits; or both by their names.

    Where there are no biases besides, all weights alone will do.
    """
    if call.returns != "outputs" and has_names(answer):
        named = by_name(answer)
        if named is None:
            keys = printable(", ".join(names_in(answer)), 120)
            raise Unanswered(
                f"it returned a dict with {keys or 'nothing'}, whose names do not say what is whose; {_wanted(call)}, "
                "such as ([d['W1'], d['W2']], [d['b1'], d['b2']])"
            )
        return _read(call, case, named)
    try:
        return _read(call, case, answer)
    except Unanswered:
        besides = call.column is None and any(layer.biases is not None for layer in case.layers)
        if call.returns != "outputs" and not besides:
            with suppress(Unanswered):
                return _read(call, case, (answer, None))
        pairs = isinstance(answer, (list, tuple)) and [p for p in answer if isinstance(p, (list, tuple))]
        if call.returns != "outputs" and pairs and all(len(p) == 2 for p in pairs) and len(pairs) == len(answer):
            with suppress(Unanswered):  # then the first message is the one to read
                return _read(call, case, tuple(zip(*pairs, strict=True)))
        raise


def _read(call: Manner, case: Case, answer: Any) -> Observation:
    if answer is None:
        raise Unanswered("it returned None; " + _wanted(call))
    if call.returns == "outputs":
        outputs = as_array("outputs", answer)
        wanted = (case.batch, case.sizes[-1])
        if outputs.shape != wanted:
            came = " × ".join(map(str, outputs.shape)) or "a single number"
            raise Unanswered(f"outputs: expected {wanted[0]} × {wanted[1]} (samples × outputs), got {came}")
        hidden = (None,) * (len(case.layers) - 1)
        return Observation("function", "", "cpu", case.dtype, activations=(*hidden, outputs))
    try:
        first, second = answer
    except (TypeError, ValueError):
        raise Unanswered(f"it returned {_described(answer)}; {_wanted(call)}") from None
    kind = "gradient" if call.returns == "gradients" else "updated"
    weights = _per_layer(case, f"weight {kind}s", first)
    biases: list[Array | None] = [None] * len(case.layers)
    if call.column is None and any(layer.biases is not None for layer in case.layers):
        read = _per_layer(case, f"bias {kind}s", second)
        biases = [None if layer.biases is None else b for layer, b in zip(case.layers, read, strict=True)]
    if call.orientation == "inputs_by_units":
        weights = [w.T if w is not None and w.ndim == 2 else w for w in weights]
    if call.column is not None:
        weights, biases = _split(weights, call.column)
    for k, (layer, w, b) in enumerate(zip(case.layers, weights, biases, strict=True)):
        shape = np.shape(layer.weights)
        if w is None or w.shape != shape:
            expected, turned = f"{shape[0]} × {shape[1]} (units × inputs)", w
            if call.orientation == "inputs_by_units":  # said as the function has it
                expected = f"{shape[1]} × {shape[0]} (inputs × units, as it takes them)"
                turned = None if w is None else w.T
            got = NO_ARRAY[kind] if turned is None else " × ".join(map(str, turned.shape))
            raise Unanswered(f"{kind} weights[{k}]: expected {expected}, got {got}")
        if layer.biases is not None and (b is None or b.size != shape[0]):
            came = NO_ARRAY[kind] if b is None else " × ".join(map(str, b.shape)) or "a single number"
            raise Unanswered(f"{kind} biases[{k}]: expected {shape[0]} numbers, got {came}")
    flat = tuple(None if b is None else b.reshape(-1) for b in biases)
    if call.returns == "gradients":
        return Observation("function", "", "cpu", case.dtype, weight_gradients=tuple(weights), bias_gradients=flat)
    return Observation("function", "", "cpu", case.dtype, updated_weights=tuple(weights), updated_biases=flat)


def _wanted(call: Manner) -> str:
    what = {"gradients": "(weight_gradients, bias_gradients)", "updated": "(weights, biases)"}.get(call.returns)
    return f"expected {what or 'the outputs, batch × outputs'}"


def _per_layer(case: Case, what: str, given: Any) -> list[Array | None]:
    if given is None or not hasattr(given, "__len__"):
        raise Unanswered(f"{what}: expected {len(case.layers)} arrays, one per layer; got {_described(given)}")
    if len(given) != len(case.layers):
        raise Unanswered(f"{what}: expected {len(case.layers)} arrays, one per layer; got {len(given)}")
    parts = list(islice(iter(given), len(given) + 1))
    if len(parts) != len(given):
        more = f"{len(parts)}" if len(parts) < len(given) else "more"
        raise Unanswered(f"{what}: its length is {len(given)}, but it has {more} elements")
    return [None if part is None else as_array(f"{what}[{k}]", part) for k, part in enumerate(parts)]


# What None may mean.
NO_ARRAY = {"gradient": "None; in PyTorch, of a parameter that the loss does not reach: a detach()?", "updated": "None"}


def _split(weights: Sequence[Array | None], column: int) -> tuple[list[Array | None], list[Array | None]]:
    """Weights and biases, where the biases are the first (0) or last (1) column of the weights."""
    matrices, vectors = [], []
    for w in weights:
        usable = w is not None and w.ndim == 2 and w.shape[1] > 1
        matrices.append(np.delete(w, -column, axis=1) if usable and w is not None else w)
        vectors.append(w[:, -column] if usable and w is not None else None)
    return matrices, vectors


def listed(answer: Any, case: Case) -> Any:
    """A generator is run here, no farther than to see that it gives too much."""
    if not hasattr(answer, "__next__"):
        return answer
    return list(islice(answer, max(2, len(case.layers), case.batch) + 1))


EXACT = 2**53  # up to which float64 has every whole number


def as_array(what: str, given: Any) -> Array:
    """Anything array-like, as NumPy's array of its format; lists of floats count as float64, and so do whole numbers.

    Raises Unanswered for what is not numbers (complex ones, text, objects), or not all there (masked elements).
    """
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        if hasattr(given, "resolve_conj"):
            given = given.resolve_conj().resolve_neg()
        given = (given.float() if str(given.dtype) == "torch.bfloat16" else given).numpy()
    masked = int(np.ma.getmaskarray(given).sum()) if isinstance(given, np.ma.MaskedArray) else 0
    if masked:
        raise Unanswered(f"{what}: expected numbers, but {masked} of {given.size} elements are masked")
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):  # rows of different lengths among them
        raise Unanswered(f"{what}: expected numbers, got {_described(given)}") from None
    if format_name(array.dtype) in PRECISIONS:
        return array
    if array.dtype.kind == "c":
        raise Unanswered(f"{what}: expected real numbers, got {array.dtype.name}")
    if array.dtype.kind not in "fiub":
        raise Unanswered(f"{what}: expected numbers, got {_described(given)}")
    if array.dtype.kind in "iu" and array.size and max(int(array.max()), -int(array.min())) > EXACT:
        raise Unanswered(f"{what}: {array.dtype.name} numbers beyond 2^53 are not exact as float64")
    return array.astype(np.float64)


def _described(value: Any) -> str:
    try:
        words = short(repr(value))
    except Exception as error:
        words = f"(its repr raised {printable(type(error).__name__, 60)})"
    return f"{printable(type(value).__name__, 60)} {words}"


def short(text: str) -> str:
    """The first line, cut, and without what a terminal would obey."""
    return printable(next(iter(text.splitlines()), ""), 120)
