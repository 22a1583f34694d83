"""`assert_operation`: one call in a kernel's test, in place of a comparison under a tolerance that somebody picked."""

from __future__ import annotations

import inspect
import math
from collections import UserDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import InvalidInput, one_of
from ...reference.judging import JudgedCall, JudgedRun, Verdict, judged_call
from ...reference.numbers import PRECISIONS, PROFILES, Profile
from ...reference.programs import LAYERS, WHOLE, Origin, Program, Value, pullback
from .numbers import NumbersReport

Array = NDArray[Any]


def assert_operation(
    name: str,
    *,
    inputs: Mapping[str, Any],
    output: Any,
    cotangent: Any = None,
    gradients: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    sums: str | None = None,
    **options: Any,
) -> NumbersReport:
    """Whether a kernel's output, and its gradients, are what the operation may give of these inputs in their format.

    Args:
        name: one of `LAYERS` (reference/programs/layers.py): matrix_product, convolution, softmax, cross_entropy,
            layer_norm, rms_norm, gelu, silu, swiglu, rope, embedding, attention, scatter_add
        inputs: arrays or tensors of any framework, by the operation's names for them
        output: the kernel's
        cotangent: what arrived at its backward, of the output's shape
        gradients: what that gave, by input
        dtype: the format; that of the output where it is None
        sums: the format that sums are added up in, where it is not the format itself, or float32 for 16 bits:
            PyTorch's layer norm on a CPU adds the gradients of its weights up in 16 bits (sums="bfloat16")
        options: of the operation, such as causal=True, epsilon=1e-6, stride=2

    Returns:
        The report.

    Raises:
        AssertionError: a number is wrong, or all of them together are suspect; its text is the report.
        InvalidInput: the inputs do not fit the operation.
    """
    __tracebackhide__ = True
    one_of("operation", name, LAYERS)
    report = NumbersReport(name, _judged(name, inputs, output, cotangent, gradients or {}, dtype, sums, options))
    if not report.ok:
        raise AssertionError(str(report))
    return report


def _judged(
    name: str,
    inputs: Mapping[str, Any],
    output: Any,
    cotangent: Any,
    gradients: Mapping[str, Any],
    dtype: str | None,
    sums: str | None,
    options: Mapping[str, Any],
) -> JudgedRun:
    if not isinstance(inputs, Mapping):
        raise InvalidInput(f"{name}: inputs: expected a dict by name, got {type(inputs).__name__}.")
    numbers = _Read({key: _array(x, key) for key, x in inputs.items()})
    precision = _precision(name, dtype or _format(output), sums)
    program = Program(origin=Origin(name, call=0))
    given = _Read({key: program.input(x.shape) for key, x in numbers.data.items() if key not in WHOLE})
    result = _written(name, given, numbers, options)
    values, observed = [result], [_fitting(_array(output, "output"), result, "output")]
    lines = {value.index: numbers[key] for key, value in given.items()}
    if gradients:
        if cotangent is None:
            raise InvalidInput(f"{name}: gradients: expected a cotangent beside them, what arrived at the backward.")
        arrived = program.input(result.shape)
        lines[arrived.index] = _fitting(_array(cotangent, "cotangent"), result, "cotangent")
        for key, gradient in gradients.items():
            if key not in given:
                raise InvalidInput(
                    f"{name}: gradients: {key!r} is no differentiable input; {_known('they are', list(given))}"
                )
            program.origin = Origin(f"the gradient by {key}", call=1)
            (found,) = pullback([result], [arrived], [given[key]])
            values.append(program.constant(0.0, given[key].shape) if found is None else found)
            observed.append(_fitting(_array(gradient, f"gradient of {key}"), given[key], f"gradient of {key}"))
    named = ["its output", *(f"its gradient by {key}" for key in gradients)]

    def judged_with(narrow: bool) -> list[JudgedCall]:
        return judged_call(values, lines, observed, [PRECISIONS[precision]] * len(values), _inside(precision, narrow))

    judged = judged_with(sums == precision)
    wider = PROFILES[precision].accumulate is not PROFILES[precision].storage
    if sums is None and wider and any(call.verdict in (Verdict.WRONG, Verdict.SUSPECT) for call in judged):
        again = judged_with(narrow=True)
        like = f"sums that are added up in {precision}; sums={precision!r} allows them"
        judged = [
            replace(call, like=like) if call.verdict is not other.verdict is Verdict.AGREES else call
            for call, other in zip(judged, again, strict=True)
        ]
    return JudgedRun(
        tuple(
            replace(call, origin=Origin(what), number=0, backward=what != named[0])
            for call, what in zip(judged, named, strict=True)
        )
    )


def _precision(name: str, precision: str, sums: str | None) -> str:
    if precision not in PRECISIONS:
        raise InvalidInput(f"{name}: dtype: expected one of {', '.join(PRECISIONS)}, got {precision!r}.")
    known = dict.fromkeys((precision, PROFILES[precision].accumulate.name))
    if sums is not None and sums not in known:
        raise InvalidInput(f"{name}: sums: expected one of {', '.join(known)}, got {sums!r}.")
    return precision


def _written(name: str, given: _Read, numbers: _Read, options: Mapping[str, Any]) -> Value:
    """The layer as a program. Raises InvalidInput for inputs and options that it does not take."""
    known = [p for p in inspect.signature(LAYERS[name]).parameters if p not in ("given", "numbers")]
    for option in options:
        if option not in known:
            raise InvalidInput(f"{name}: it has no option {option!r}; " + _known("its options are", known))
    epsilon = options.get("epsilon", 0.0)
    if not isinstance(epsilon, Real) or not 0 <= float(epsilon) < math.inf:
        raise InvalidInput(f"{name}: epsilon: expected a number that is not negative, got {epsilon!r}.")
    computes = " ".join((inspect.getdoc(LAYERS[name]) or "").split())
    try:
        result = LAYERS[name](given, numbers, **options)
    except KeyError as missing:
        came = ", ".join(numbers.data) or "nothing"
        raise InvalidInput(f"{name}: expected an input {missing}; got {came}. It computes: {computes}") from missing
    except (ValueError, IndexError, ZeroDivisionError) as misfit:
        shapes = ", ".join(f"{key} {x.shape}" for key, x in numbers.data.items())
        raise InvalidInput(f"{name}: these inputs do not fit it: {shapes}: {misfit}") from misfit
    for key in numbers.data:
        if key not in given.read | numbers.read:
            takes = ", ".join(dict.fromkeys((*given.asked, *numbers.asked)))
            raise InvalidInput(f"{name}: it takes no input {key!r}, but {takes}. It computes: {computes}")
    return result


class _Read(UserDict[str, Any]):
    """Inputs by name; the names of those that were read, and all that somebody asked for."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        super().__init__(inputs)
        self.read: set[str] = set()
        self.asked: dict[str, None] = {}

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        self.asked[key] = None
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked[str(key)] = None
        return super().__contains__(key)


def _inside(precision: str, narrow: bool) -> Profile:
    """Steps between may be stored in the format; sums are added up in the one that products are, or in the format."""
    profile = PROFILES[precision]
    return replace(profile, reduce=profile.storage if narrow else profile.accumulate)


def _format(output: Any) -> str:
    return str(getattr(output, "dtype", "float64")).rpartition(".")[2]


def _array(x: Any, name: str) -> Array:
    """Its numbers, in float64; of a tensor on any device."""
    try:
        if hasattr(x, "detach"):
            x = x.detach().cpu()
            x = x.double().numpy() if x.is_floating_point() else x.numpy()
        array = np.asarray(x)
        if array.dtype.kind in "iub":
            return array
        if array.dtype.kind == "c":
            raise TypeError("complex numbers")
        return array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())
        raise InvalidInput(
            f"{name}: expected an array or a tensor of real numbers, got {type(x).__name__}: {words}"
        ) from error


def _fitting(array: Array, value: Value, name: str) -> Array:
    if array.shape != value.shape:
        raise InvalidInput(f"{name}: expected the shape {value.shape}, got {array.shape}.")
    return array.astype(np.float64)


def _known(words: str, names: Sequence[str]) -> str:
    return f"{words} {', '.join(names)}." if names else "it takes none."
