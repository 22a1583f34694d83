"""Calling somebody else's function: finding out how it wants to be called, and what comes back.

Whatever it does is said: it raises, hangs, prints, changes its arguments, answers in other shapes or kinds of array.
Reading an answer runs its code, too (`__array__`, `__len__`, `__iter__`, `__repr__`): under the same limit.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeVar

import numpy as np

from ...adapters.adapter import Unanswered
from ...adapters.protocol import printable
from ...reference.case import Case
from ...reference.diagnosis import probes
from ...reference.judging import Observation
from ...reference.numbers import numpy_dtype
from .reading_answers import Array, Misshapen, listed, read_answer, short
from .time_limit import TimeUp, time_limit

ORIENTATIONS = ("units_by_inputs", "inputs_by_units")


@dataclass(frozen=True)
class Call:
    """How a function is to be called: what it returns, how it stores weights, in what arrays it wants its numbers.

    classes: whether targets are the numbers of classes, one per sample, instead of rows
    """

    function: Callable[..., Any] | Elsewhere
    returns: str
    orientation: str
    bias: str | Sequence[bool]
    arrays: str
    timeout: float | None
    classes: bool = False

    @property
    def column(self) -> int | None:
        """Where the biases stand in the weights: 0 for the first column, 1 for the last, None for separate ones."""
        return {"weights-first": 0, "weights-last": 1}.get(self.bias) if isinstance(self.bias, str) else None

    @property
    def stored(self) -> str:
        """How it stores its parameters, in words."""
        stored = "units × inputs" if self.orientation == "units_by_inputs" else "inputs × units"
        return f"weights stored {stored}, bias: {self.bias if isinstance(self.bias, str) else 'as declared'}"

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
                        "reading its answer raised", lambda: read_answer(self, case, listed(answer, case))
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
        if self.classes:
            targets = _classes(np.array(case.targets), self)
        arguments = [weights, biases, inputs, targets]
        if self.returns == "updated":
            arguments.append(case.learning_rate)
        return arguments


class Elsewhere:
    """A function in another process: it is called there, and its answer comes back as plain numbers."""

    def observe(self, call: Call, case: Case) -> Observation:
        """What `call.observe` would give there. Raises Unanswered, or ModifiedInputs with the answer."""
        raise NotImplementedError


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
    classes: Sequence[bool] = (False, True),
) -> tuple[Call | None, str]:
    """The first way of calling that gives an answer of the right shapes; else what was wrong with the first answer.

    A function that takes biases in the first column of its weights takes them in the last: see `alternatives`.
    """
    problems: list[Unanswered] = []
    wheres = (orientation,) if orientation else ORIENTATIONS
    forms = (bias,) if bias is not None else INFERRED_BIASES
    for of_classes, arrays, where, form in product(classes, ("numpy", "list", "torch"), wheres, forms):
        if of_classes and networks[0][-1] == 1:
            continue
        call = Call(function, returns, where, form, arrays, timeout, of_classes)
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
    said = str(next((p for p in problems if isinstance(p, Misshapen)), problems[0]))
    return None, said + (OF_TENSORS if "positional argument" in said else "")


OF_TENSORS = ". If it is a function of tensors or arrays, hand over inputs as well: backproof.verify(function, inputs)"

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


def _classes(targets: Array, call: Call) -> Any:
    """The class of each row: where its largest target is."""
    found = targets.argmax(axis=1)
    if call.arrays == "list":
        return found.tolist()
    if call.arrays == "torch":
        import torch

        return torch.from_numpy(found)
    return found


def _called(function: Callable[..., Any], arguments: list[Any]) -> Any:
    """The function's answer. NumPy is quiet about overflow on the way, where warnings are errors too: numbers count."""
    depth = sys.getrecursionlimit()
    try:
        with np.errstate(all="ignore"):
            return function(*arguments)
    finally:
        sys.setrecursionlimit(max(depth, sys.getrecursionlimit()))  # what reads the answer needs some


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
        words = short(str(error))
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


def _note(changed: list[str]) -> str:
    return f" (and it changed its arguments: {', '.join(changed)})" if changed else ""
