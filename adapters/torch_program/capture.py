"""What PyTorch is seen to do, forward and backward, as one program.

Every call that reaches PyTorch's dispatcher is run as it is and written down with our own operation for it
(`operations.py`). Views, in-place writes and layouts need no operation: an element is known by its place in
memory, so a tensor is what stands in its storage at its offset and strides. Comparisons, indices and random numbers are
taken from the run: the program is of the branch taken. Source: PyTorch, `torch.utils._python_dispatch`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch

from ...reference.case import InvalidInput
from ...reference.programs import Border, Captured, Origin, Unsupported, Value, special
from .by_hooks import gradients_of
from .call import array, differentiable, numbers_shape, tensor_of
from .judged import JudgingRecorder
from .leaving import Leaving
from .memory import leaves, places
from .recorder import Recorder, Within, users_line

__all__ = ["JudgingRecorder", "Recorder", "array", "capture", "differentiable", "numbers_shape", "places", "tensor_of"]
Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch


@contextmanager
def _custom_functions(recorder: Recorder, borders: list[Border], hooks: list[Any], surrogates: frozenset[str]) -> Any:
    """While it lasts, calls of custom functions are seen at their borders; surrogates' are lines of their own."""
    # where Function.apply hands on to, so that `f = MyFunction.apply`, which people write, is seen as well
    function: Any = torch.autograd.function._SingleLevelFunction

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = [x for x in args if differentiable(x)]
        if recorder.off or any(torch._C._functorch.is_functorch_wrapped_tensor(x) for x in inputs):
            return super(function, cls).apply(*args, **kwargs)  # torch.func's transforms see to it themselves
        values = [recorder.border(x) for x in inputs]
        origin = Origin(cls.__name__, *users_line(), recorder.calls, "")
        memory = (x.untyped_storage()._cdata for x in inputs if x.layout is torch.strided)
        recorder.within.append(Within(cls.__name__, frozenset(memory)))
        try:
            result = super(function, cls).apply(*args, **kwargs)
        finally:
            recorder.within.pop()
        results = result if isinstance(result, tuple | list) else (result,)
        outputs = [x for x in results if differentiable(x)]
        for x in outputs:
            recorder.handed_out(x)
        node = next((x.grad_fn for x in outputs if x.grad_fn is not None), None)
        if node is None or torch._C._current_autograd_node() is not None:
            return result
        number = len(borders)
        fresh: list[Value | None] = []
        declared = cls.__name__ in surrogates
        ends = tuple(recorder.apart(x, inputs) if declared else recorder.read(x) for x in outputs)
        if declared:
            hooks.append(node.register_prehook(partial(_fresh, recorder, fresh)))
        borders.append(Border(cls.__name__, origin, tuple(values), ends))
        places = [k for k, x in enumerate([x for x in args if isinstance(x, torch.Tensor)]) if differentiable(x)]

        came = [k for k, x in enumerate(results) if differentiable(x)]

        def seen(gradients: Any, arrived: Any) -> None:
            def read(x: Any) -> Value | None:
                return recorder.read(x) if x is not None and differentiable(x) else None

            border = borders[number]
            borders[number] = Border(
                border.name,
                border.origin,
                border.inputs,
                border.outputs,
                tuple(read(arrived[k]) for k in came) if not fresh else tuple(fresh[k] for k in came),
                tuple(read(gradients[k]) if k < len(gradients) else None for k in places),
                True,
            )

        hooks.append(node.register_hook(seen))
        return result

    function.apply = classmethod(apply)
    try:
        yield
    finally:
        del function.apply
        for hook in hooks:
            hook.remove()


def _of_reference(recorder: Recorder, result: Any, ends: Sequence[Value]) -> list[Value]:
    """The outputs of the reference, in the places of the function's own."""
    plain = [recorder.read(x) for x in leaves(result) if differentiable(x)]
    if [x.shape for x in plain] != [x.shape for x in ends]:
        shapes = [" and ".join(map(str, (x.shape for x in values))) or "none" for values in (ends, plain)]
        raise InvalidInput(f"reference: expected outputs of the function's shapes, {shapes[0]}, got {shapes[1]}.")
    return plain


def _fresh(recorder: Recorder, lines: list[Value | None], arrived: Sequence[Any]) -> tuple[Any, ...]:
    """The cotangents that arrive, in memory of their own: what depends on them depends on these lines."""
    copies = [x if x is None or not differentiable(x) else recorder.unseen(x.clone) for x in arrived]
    for x, own in zip(arrived, copies, strict=True):
        value = None if own is x else special.identity(recorder.read(x))
        lines.append(value)
        if value is not None:
            recorder.write(own, value)
    return tuple(copies)


def capture(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    seed: int = 0,
    parameters: Sequence[Tensor] = (),
    recorder: Recorder | None = None,
    surrogates: frozenset[str] = frozenset(),
    reference: Callable[..., Any] | None = None,
    backward: bool = True,
) -> Captured:
    """Runs `function(*inputs)` and its backward once, and returns what was done as a program.

    inputs: tensors or anything else, nested or not; those that require a gradient, and the `parameters`, are
        differentiated, in this order
    seed: of the cotangents, random numbers of order one;  recorder: one that does more than write down
    surrogates: the names of custom functions whose backward is declared to be meant as it is
    reference: the same function in plain operations, whose outputs are then the program's
    backward: whether its backward is run; no gradients otherwise
    Raises Unsupported, with the user's line, if an operation is not known; InvalidInput if the reference returns
    tensors of other shapes.
    """
    generator = np.random.default_rng(seed)
    recorder = recorder or Recorder()
    borders: list[Border] = []
    hooks: list[Any] = []
    differentiated = [x for x in leaves((tuple(inputs), tuple(parameters))) if differentiable(x) and x.requires_grad]
    differentiated = list({id(x): x for x in differentiated}.values())
    _have_own_memory(differentiated)
    starts = [recorder.given(x.detach()) for x in differentiated]
    given = {value.index: recorder.numbers_given(value, x) for value, x in zip(starts, differentiated, strict=True)}
    leaving = Leaving(recorder.known, recorder.leaving, recorder.stopping, recorder.decided, recorder.ungraphed)
    uncompiled = torch.compiler.set_stance(
        "force_eager"
    )  # a compiler that met the recorder would skip the code for good
    with uncompiled, _custom_functions(recorder, borders, hooks, surrogates), recorder, leaving.watching():
        result = function(*inputs)
        outputs = [x for x in leaves(result) if differentiable(x) and x.requires_grad]
        ends = [recorder.read(x) for x in outputs]
        if reference is not None:
            ends = _of_reference(recorder, reference(*inputs), ends)
            recorder.left.clear()  # what is not seen of the forward is the reference's affair
        arriving = recorder.unseen(lambda: [tensor_of(generator.standard_normal(numbers_shape(x)), x) for x in outputs])
        cotangents = [recorder.given(x) for x in arriving]
        given |= {value.index: recorder.numbers_given(value, x) for value, x in zip(cotangents, arriving, strict=True)}
        recorder.differentiated = False
        computed = gradients_of(outputs, differentiated, arriving) if backward else [None] * len(differentiated)
        gradients = [None if x is None else recorder.gradient(x) for x in computed]
    return Captured(
        recorder.program,
        tuple(starts),
        tuple(ends),
        tuple(cotangents),
        tuple(gradients),
        given,
        tuple(None if x is None else array(x) for x in (() if recorder.decides_by_numbers else (*outputs, *computed))),
        tuple(borders),
        tuple(recorder.notes),
        tuple(dict.fromkeys(recorder.left)),
        tuple(dict.fromkeys(recorder.stops)),
        tuple(dict.fromkeys(recorder.conventions)),
        surrogates,
        recorder.roundoff,
    )


def _have_own_memory(inputs: Sequence[Tensor]) -> None:
    """Raises Unsupported if an input's element shares its place: it could not be told from the other by its place."""
    taken: dict[int, np.ndarray[Any, Any]] = {}
    for x in inputs:
        if x.layout is not torch.strided:
            raise Unsupported(f"an input of layout {x.layout} is not covered: pass x.to_dense()")
        storage, own = x.untyped_storage()._cdata, places(x).reshape(-1)
        together = np.concatenate([taken.get(storage, own[:0]), own])
        if np.unique(together).size < together.size:
            raise Unsupported("elements of the inputs share their memory: pass x.detach().clone().requires_grad_()")
        taken[storage] = together
