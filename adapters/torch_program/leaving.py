"""Where a number leaves PyTorch's graph, or its gradient is stopped: seen at the calls of Python that do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

LEAVING = {"numpy", "__array__", "tolist", "__dlpack__", "data_ptr", "item", "__float__", "__int__", "__complex__"}
STOPPING = {"detach", "detach_", "data.__get__"}


class Leaving(TorchFunctionMode):
    """Tells `left(call)` and `stopped(call)` the name of each such call on a tensor that `known` says to follow."""

    def __init__(
        self,
        known: Callable[[torch.Tensor], bool],
        left: Callable[[str], None],
        stopped: Callable[[str, torch.Tensor, torch.Tensor], None],
    ) -> None:
        super().__init__()
        self.known, self.left, self.stopped = known, left, stopped

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__":  # of a property, such as `data`
            name = f"{getattr(getattr(func, '__self__', None), '__name__', '')}.__get__"
        if (name in LEAVING or name in STOPPING) and args and isinstance(args[0], torch.Tensor):
            tensor = args[0]
            if tensor.is_floating_point() and self.known(tensor):
                if name in LEAVING:
                    self.left(name)
                else:
                    result = func(*args, **(kwargs or {}))
                    self.stopped(name.removesuffix(".__get__"), tensor, result)
                    return result
        return func(*args, **(kwargs or {}))
