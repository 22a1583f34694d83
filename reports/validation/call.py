"""Calling somebody else's function: finding out how it wants to be called, and what comes back.

Whatever it does is said: it raises, hangs, prints, changes its arguments, answers in other shapes or kinds of array.
Reading an answer runs its code, too (`__array__`, `__len__`, `__iter__`, `__repr__`): under the same limit.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...adapters.adapter import Unanswered
from ...adapters.protocol import printable
from ...reference.case import Case
from ...reference.diagnosis import probes
from ...reference.judging import Observation
from ...reference.numbers import PRECISIONS, numpy_dtype
from .time_limit import TimeUp, time_limit

Array = NDArray[Any]

ORIENTATIONS = ("units_by_inputs", "inputs_by_units")


@dataclass(frozen=True)
class Call:
    """How a function is to be called: what it returns, how it stores weights, in what arrays it wants its numbers."""

    function: Callable[..., Any] | Elsewhere
    returns: str
    orientation: str
    bias: str | Sequence[bool]
    arrays: str
    timeout: float | None

    @property
    def column(self) -> int | None:
        """Where the biases stand in the weights: 0 for the first column, 1 for the last, None for separate ones."""
        return {"weights-first": 0, "weights-last": 1}.get(self.bias) if isinstance(self.bias, str) else None

    def observe(self, case: Case) -> Observation:
        """The function's answer to a probe. Raises Unanswered, or ModifiedInputs with the answer."""
        if isinstance(self.function, Elsewhere):
            return self.function.observe(self, case)
        function, arguments = self.function, self._arguments(case)
        before = [_copied(a) for a in arguments]
        try:
            with redirect_stdout(_Nowhere()), redirect_stderr(_Nowhere()), time_limit(self.timeout):
                answer = _said("it raised", lambda: _called(function, arguments))
                changed = _changed_in_place(before, arguments)
                try:
                    observation = _said(
                        "reading its answer raised", lambda: self._read_in_some_order(case, _listed(answer, case))
                    )
                except Unanswered as error:
                    raise Misshapen(f"{error}{_note(changed)}") from None
        except TimeUp as error:
            raise Unanswered(f"it did not answer within {self.timeout:g} s") from error
        if changed:
            raise ModifiedInputs(changed, observation)
        return observation

    def _arguments(self, case: Case) -> list[Any]:
        matrices = [np.array(layer.weights) for layer in case.layers]
        vectors = [None if layer.biases is None else np.array(layer.biases) for layer in case.layers]
        if self.column is not None:
            joined = zip(matrices, vectors, strict=True)
            matrices = [w if b is None else np.insert(w, self.column * w.shape[1], b, axis=1) for w, b in joined]
            vectors = [None] * len(matrices)
        weights = [_given(matrix, case.dtype, self, transpose=True) for matrix in matrices]
        biases = [None if vector is None else _given(vector, case.dtype, self) for vector in vectors]
        inputs, targets = (_given(np.array(rows), case.dtype, self) for rows in (case.inputs, case.targets))
        arguments = [weights, biases, inputs, targets]
        if self.returns == "updated":
            arguments.append(case.learning_rate)
        return arguments

    def _read_in_some_order(self, case: Case, answer: Any) -> Observation:
        """All weights, then all biases; or else weights and biases of each layer, if that fits."""
        try:
            return self._read(case, answer)
        except Unanswered:
            pairs = isinstance(answer, (list, tuple)) and [p for p in answer if isinstance(p, (list, tuple))]
            if self.returns != "outputs" and pairs and all(len(p) == 2 for p in pairs) and len(pairs) == len(answer):
                with suppress(Unanswered):  # then the first message is the one to read
                    return self._read(case, tuple(zip(*pairs, strict=True)))
            raise

    def _read(self, case: Case, answer: Any) -> Observation:
        if answer is None:
            raise Unanswered("it returned None; " + self._wanted())
        if self.returns == "outputs":
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
            raise Unanswered(f"it returned {_described(answer)}; {self._wanted()}") from None
        kind = "gradient" if self.returns == "gradients" else "updated"
        weights = self._per_layer(case, f"weight {kind}s", first)
        biases: list[Array | None] = [None] * len(case.layers)
        if self.column is None and any(layer.biases is not None for layer in case.layers):
            read = self._per_layer(case, f"bias {kind}s", second)
            biases = [None if layer.biases is None else b for layer, b in zip(case.layers, read, strict=True)]
        if self.orientation == "inputs_by_units":
            weights = [w.T if w is not None and w.ndim == 2 else w for w in weights]
        if self.column is not None:
            weights, biases = _split(weights, self.column)
        for k, (layer, w, b) in enumerate(zip(case.layers, weights, biases, strict=True)):
            shape = np.shape(layer.weights)
            if w is None or w.shape != shape:
                expected, turned = f"{shape[0]} × {shape[1]} (units × inputs)", w
                if self.orientation == "inputs_by_units":  # said as the function has it
                    expected = f"{shape[1]} × {shape[0]} (inputs × units, as it takes them)"
                    turned = None if w is None else w.T
                got = NO_ARRAY[kind] if turned is None else " × ".join(map(str, turned.shape))
                raise Unanswered(f"{kind} weights[{k}]: expected {expected}, got {got}")
            if layer.biases is not None and (b is None or b.size != shape[0]):
                came = NO_ARRAY[kind] if b is None else " × ".join(map(str, b.shape)) or "a single number"
                raise Unanswered(f"{kind} biases[{k}]: expected {shape[0]} numbers, got {came}")
        flat = tuple(None if b is None else b.reshape(-1) for b in biases)
        if self.returns == "gradients":
            return Observation("function", "", "cpu", case.dtype, weight_gradients=tuple(weights), bias_gradients=flat)
        return Observation("function", "", "cpu", case.dtype, updated_weights=tuple(weights), updated_biases=flat)

    def _wanted(self) -> str:
        what = {"gradients": "(weight_gradients, bias_gradients)", "updated": "(weights, biases)"}.get(self.returns)
        return f"expected {what or 'the outputs, batch × outputs'}"

    def _per_layer(self, case: Case, what: str, given: Any) -> list[Array | None]:
        if given is None or not hasattr(given, "__len__"):
            raise Unanswered(f"{what}: expected {len(case.layers)} arrays, one per layer; got {_described(given)}")
        if len(given) != len(case.layers):
            raise Unanswered(f"{what}: expected {len(case.layers)} arrays, one per layer; got {len(given)}")
        parts = list(islice(iter(given), len(given) + 1))
        if len(parts) != len(given):
            more = f"{len(parts)}" if len(parts) < len(given) else "more"
            raise Unanswered(f"{what}: its length is {len(given)}, but it has {more} elements")
        return [None if part is None else as_array(f"{what}[{k}]", part) for k, part in enumerate(parts)]


class Elsewhere:
    """A function in another process: it is called there, and its answer comes back as plain numbers."""

    def observe(self, call: Call, case: Case) -> Observation:
        """What `call.observe` would give there. Raises Unanswered, or ModifiedInputs with the answer."""
        raise NotImplementedError


class Misshapen(Unanswered):
    """It answered, but not with what was asked for."""


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


class ModifiedInputs(Exception):
    """The function changed its arguments. It answered all the same: `observation`."""

    def __init__(self, changed: list[str], observation: Observation) -> None:
        super().__init__(", ".join(changed))
        self.changed = changed
        self.observation = observation


def how_to_call(
    function: Callable[..., Any],
    returns: str,
    networks: Sequence[tuple[int, ...]],
    bias: str | Sequence[bool] | None,
    orientation: str | None,
    dtype: str,
    timeout: float | None,
) -> tuple[Call | None, str]:
    """The first way of calling that gives an answer of the right shapes; else what was wrong with the first answer.

    A function that takes biases in the first column of its weights takes them in the last: see `alternatives`.
    """
    problems: list[Unanswered] = []
    for arrays in ("numpy", "list", "torch"):
        for where in (orientation,) if orientation else ORIENTATIONS:
            for form in (bias,) if bias is not None else INFERRED_BIASES:
                call = Call(function, returns, where, form, arrays, timeout)
                (case, *_) = probes(networks[0], (4,), form, dtype, 0)
                try:
                    call.observe(case)
                except ModifiedInputs:
                    return call, ""
                except Unanswered as error:
                    problems.append(error)
                    if isinstance(error.__cause__, TimeUp):
                        return None, str(problems[0])
                    continue
                return call, ""
    return None, str(next((p for p in problems if isinstance(p, Misshapen)), problems[0]))


INFERRED_BIASES = ("separate", "none", "hidden", "weights-first", "weights-last")


def alternatives(call: Call, bias: str | Sequence[bool] | None) -> list[Call]:
    """Ways of calling that shapes do not tell apart; `bias` as declared."""
    if bias is None and call.bias == "weights-first":
        return [call, replace(call, bias="weights-last")]
    return [call]


def _given(array: Array, dtype: str, call: Call, transpose: bool = False) -> Any:
    """A probe's numbers in the kind of array that the function wants; always a copy of its own."""
    array = array.astype(np.float64).astype(numpy_dtype(dtype))
    if transpose and call.orientation == "inputs_by_units":
        array = np.ascontiguousarray(array.T)
    if call.arrays == "list":
        return array.astype(float).tolist()
    if call.arrays == "torch":
        try:
            import torch
        except ImportError:
            raise Unanswered("it wants neither NumPy arrays nor lists, and torch is not installed") from None
        return torch.from_numpy(array)
    return array


def _called(function: Callable[..., Any], arguments: list[Any]) -> Any:
    """The function's answer. NumPy is quiet about overflow on the way, where warnings are errors too: numbers count."""
    depth = sys.getrecursionlimit()
    try:
        with np.errstate(all="ignore"):
            return function(*arguments)
    finally:
        sys.setrecursionlimit(max(depth, sys.getrecursionlimit()))  # what reads the answer needs some


def _listed(answer: Any, case: Case) -> Any:
    """A generator is run here, no farther than to see that it gives too much."""
    if not hasattr(answer, "__next__"):
        return answer
    return list(islice(answer, max(2, len(case.layers), case.batch) + 1))


Result = TypeVar("Result")


def _said(what: str, body: Callable[[], Result]) -> Result:
    """What the body gives. Raises Unanswered with what it raised, whatever that is."""
    try:
        return body()
    except (TimeUp, KeyboardInterrupt, Unanswered):
        raise
    except MemoryError as error:
        raise Unanswered("it ran out of memory") from error
    except BaseException as error:
        raise Unanswered(f"{what} {told(error)}") from error


def told(error: BaseException) -> str:
    """An exception in a line; its own words may fail, too."""
    try:
        words = _short(str(error))
    except Exception as another:
        words = f"(its message cannot be had: {printable(type(another).__name__, 60)})"
    return f"{printable(type(error).__name__, 60)}: {words}"


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(v) for v in value]
    return value.clone() if hasattr(value, "clone") else value.copy() if hasattr(value, "copy") else value


def _changed_in_place(before: list[Any], after: list[Any]) -> list[str]:
    names = ("weights", "biases", "inputs", "targets")
    return [name for name, old, new in zip(names, before, after, strict=False) if not _same(old, new)]


def _same(old: Any, new: Any) -> bool:
    try:
        if isinstance(old, list):
            return isinstance(new, list) and len(old) == len(new) and all(map(_same, old, new))
        if old is None or isinstance(old, (int, float)):
            return bool(old == new)
        return bool(np.array_equal(np.asarray(old, dtype=float), np.asarray(new, dtype=float)))
    except Exception:  # it is something else now
        return False


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
    if array.dtype.name in PRECISIONS:
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
        words = _short(repr(value))
    except Exception as error:
        words = f"(its repr raised {printable(type(error).__name__, 60)})"
    return f"{printable(type(value).__name__, 60)} {words}"


def _short(text: str) -> str:
    """The first line, cut, and without what a terminal would obey."""
    return printable(next(iter(text.splitlines()), ""), 120)


def _note(changed: list[str]) -> str:
    return f" (and it changed its arguments: {', '.join(changed)})" if changed else ""
