"""PyTorch: gradients by autograd, the delta rule by torch.optim.SGD."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..reference.case import Case
from ..reference.observation import Observation, Received, array_of, numpy_dtype
from ..reference.precision import PRECISIONS
from .adapter import Adapter

if TYPE_CHECKING:
    from torch import Tensor


def observe(case: Case) -> Observation:
    """One learning step by autograd; deltas are the gradients kept at the pre-activations."""
    import torch

    def tensor(rows: Any) -> Tensor:
        return _tensor(array_of(rows, case.dtype))

    weights = [tensor(layer.weights).requires_grad_() for layer in case.layers]
    biases = [None if layer.biases is None else tensor(layer.biases).requires_grad_() for layer in case.layers]
    inputs, targets = tensor(case.inputs), tensor(case.targets)
    received = Received(_arrays(weights), _arrays(biases), _array(inputs), _array(targets))

    zs: list[Tensor] = []
    activations: list[Tensor] = []
    a = inputs
    for layer, w, b in zip(case.layers, weights, biases, strict=True):
        z = torch.nn.functional.linear(a, w, b)
        z.retain_grad()
        a = _activation(layer.activation, z)
        zs.append(z)
        activations.append(a)

    loss = _loss(case.loss, a, targets)
    if case.reduction == "mean":
        loss = loss / case.batch
    loss.backward()

    parameters = weights + [b for b in biases if b is not None]
    observation = Observation(
        adapter=ADAPTER.name,
        version=str(torch.__version__),
        device=str(inputs.device),
        precision=case.dtype,
        received=received,
        pre_activations=_arrays(zs),
        activations=_arrays(activations),
        loss=_array(loss),
        deltas=_gradients(zs),
        weight_gradients=_gradients(weights),
        bias_gradients=_gradients(biases),
    )
    if case.learning_rate is None:
        return observation

    torch.optim.SGD(parameters, lr=case.learning_rate).step()
    return replace(observation, updated_weights=_arrays(weights), updated_biases=_arrays(biases))


def evaluate(function: str, x: np.ndarray) -> np.ndarray:
    """One elementary function of torch, on an array of any dtype."""
    import torch

    tensor = _tensor(x)
    match function:
        case "exp" | "log" | "log1p":
            return _array(getattr(torch, function)(tensor))
    return _array(_activation(function, tensor))


def _tensor(array: np.ndarray) -> Tensor:
    """The array's bits: NumPy's bfloat16 is no type that torch knows, so they travel as integers."""
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _array(tensor: Tensor) -> np.ndarray:
    import torch

    here = tensor.detach().cpu()
    if here.dtype is torch.bfloat16:
        return here.contiguous().view(torch.int16).numpy().copy().view(numpy_dtype("bfloat16"))
    return here.numpy().copy()


def _arrays(tensors: Any) -> tuple[np.ndarray | None, ...]:
    return tuple(None if tensor is None else _array(tensor) for tensor in tensors)


def _gradients(tensors: Any) -> tuple[np.ndarray | None, ...]:
    return _arrays(None if tensor is None else tensor.grad for tensor in tensors)


def _activation(name: str, z: Tensor) -> Tensor:
    import torch
    from torch.nn import functional as F

    match name:
        case "identity":
            return z
        case "sigmoid":
            return torch.sigmoid(z)
        case "tanh":
            return torch.tanh(z)
        case "relu":
            return torch.relu(z)
        case "leaky_relu":
            return F.leaky_relu(z)
        case "softplus":
            return F.softplus(z)
        case "softmax":
            return torch.softmax(z, dim=1)
    raise NotImplementedError(f"activation {name}")


def _loss(name: str, o: Tensor, t: Tensor) -> Tensor:
    from torch.nn import functional as F

    match name:
        case "half_squared_error":
            return F.mse_loss(o, t, reduction="sum") / 2
        case "squared_error":
            return F.mse_loss(o, t, reduction="sum")
        case "binary_cross_entropy":
            return F.binary_cross_entropy(o, t, reduction="sum")
        case "binary_cross_entropy_from_logits":
            return F.binary_cross_entropy_with_logits(o, t, reduction="sum")
        case "softmax_cross_entropy":
            return -(t * o.log()).sum()
        case "softmax_cross_entropy_from_logits":
            return F.cross_entropy(o, t, reduction="sum")
    raise NotImplementedError(f"loss {name}")


ADAPTER = Adapter(
    "torch",
    "PyTorch: autograd and torch.optim.SGD",
    package="torch",
    run=observe,
    rank=2,
    dtypes=tuple(PRECISIONS),
    evaluate=evaluate,
)
