"""Where a number leaves PyTorch's graph, or its gradient is stopped: seen at the calls of Python that do it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .call import differentiable, itself, unwrapped

LEAVING = {"numpy", "__array__", "tolist", "__dlpack__", "data_ptr", "item", "__float__", "__int__", "__complex__"}
STOPPING = {"detach", "detach_", "data.__get__"}
DECIDING = {"__bool__", "__int__", "__index__", "item", "tolist", "is_nonzero"}
ASKING = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
_TORCH = f"{Path(torch.__file__).parent}{os.sep}"


class Leaving(TorchFunctionMode):
    """Tells `left` and `stopped` the name of each such call on a tensor that `known` says to follow; `stopped` also
    what it gave, and whether there was a graph to cut.

    `decided`: told of what is read out of any other tensor, unless PyTorch's own Python reads it;  `ungraphed`: told of
    gradients that are taken on the way, without a graph of their own
    """

    def __init__(
        self,
        known: Callable[[torch.Tensor], bool],
        left: Callable[[str], None],
        stopped: Callable[[str, torch.Tensor, torch.Tensor, bool], None],
        decided: Callable[[torch.Tensor, Any], None],
        ungraphed: Callable[[str, torch.Tensor], None],
    ) -> None:
        super().__init__()
        self.known, self.left, self.stopped, self.decided, self.ungraphed = known, left, stopped, decided, ungraphed

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it lasts, calls are seen on the way back too: `torch.autograd.grad` is itself such a call, for which
        PyTorch takes the mode away, and what it then runs would pass unseen."""
        engine: Any = torch.autograd._engine_run_backward

        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                result = engine(*args, **kwargs)
            for gradient in result or ():
                of_transform = unwrapped(gradient) is not gradient  # `torch.func` always asks for a graph
                if isinstance(gradient, torch.Tensor) and not gradient.requires_grad and not of_transform:
                    self.ungraphed("autograd.grad", gradient)
            return result

        autograd: Any = torch.autograd
        autograd._engine_run_backward = run
        try:
            with self:
                yield
        finally:
            autograd._engine_run_backward = engine

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__":  # of a property, such as `data`
            name = f"{getattr(getattr(func, '__self__', None), '__name__', '')}.__get__"
        if (name in LEAVING or name in STOPPING) and args and isinstance(args[0], torch.Tensor):
            tensor = args[0]
            if differentiable(tensor) and self.known(unwrapped(tensor)):
                if name in LEAVING:
                    self.left(name)
                else:
                    cuts = torch.is_grad_enabled() and tensor.requires_grad
                    result = itself(func, args, kwargs or {})
                    self.stopped(name.removesuffix(".__get__"), tensor, result, cuts)
                    return result
        if isinstance(func, FunctionType) and STOPPING.intersection(func.__code__.co_names):
            with self:
                return _body(func)(*args, **(kwargs or {}))
        result = itself(func, args, kwargs or {})
        whole = isinstance(args[0], torch.Tensor) and not differentiable(args[0]) if args else False
        own = sys._getframe(1).f_code.co_filename.startswith(_TORCH)
        if not own and (name == "equal" or (name in DECIDING and whole)):
            self.decided(args[0], result)
        return result


def _body(func: FunctionType) -> FunctionType:
    """A function of PyTorch's own Python, such as a hard gumbel_softmax, that stops a gradient: without its question
    whether somebody watches, to whom it would hand itself over instead of running where the mode sees it."""
    own = {**func.__globals__, **dict.fromkeys(ASKING, lambda *_: False)}
    body = FunctionType(func.__code__, own, func.__name__, func.__defaults__, func.__closure__)
    body.__kwdefaults__ = func.__kwdefaults__
    return body
