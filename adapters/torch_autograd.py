"""PyTorch: gradients by autograd, the delta rule by torch.optim.SGD."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..reference.activations import Activation
from ..reference.backprop import RULES, Backward, Rules, backward, delta_rule, forward
from ..reference.case import Case, Dense, layers_of
from ..reference.judging import Observation, Received
from ..reference.more_activations import parsed, parts
from ..reference.numbers import PRECISIONS, ArrayArithmetic, array_of, numpy_dtype
from ..reference.update_rules import UPDATE_RULES
from .adapter import OF_PROGRAMS, Adapter, Trajectory

if TYPE_CHECKING:
    from torch import Tensor

# Activations that torch.nn.functional has under our name.
F_NAMES = (
    "relu", "leaky_relu", "softplus", "elu", "selu", "gelu", "silu", "mish", "hardtanh", "hardsigmoid", "hardswish",
    "softsign", "relu6",
)  # fmt: skip


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


def train(case: Case, rule: str, updates: int) -> Trajectory:
    """By autograd and torch.optim, one update per pass over the batch."""
    import torch

    rate = case.learning_rate or UPDATE_RULES[rule].usual_rate
    weights = [_tensor(array_of(x.weights, case.dtype)).requires_grad_() for x in case.layers]
    biases = [
        None if x.biases is None else _tensor(array_of(x.biases, case.dtype)).requires_grad_() for x in case.layers
    ]
    inputs, targets = _tensor(array_of(case.inputs, case.dtype)), _tensor(array_of(case.targets, case.dtype))
    parameters = weights + [b for b in biases if b is not None]
    optimizers: dict[str, Any] = {
        "delta rule": partial(torch.optim.SGD),
        "momentum": partial(torch.optim.SGD, momentum=0.9),
        "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
        "adagrad": torch.optim.Adagrad,
        "rmsprop": torch.optim.RMSprop,
        "adam": torch.optim.Adam,
    }
    optimizer = optimizers[rule](parameters, lr=rate)
    losses = []
    for _ in range(updates):
        optimizer.zero_grad()
        a = inputs
        for layer, w, b in zip(case.layers, weights, biases, strict=True):
            a = _activation(layer.activation, torch.nn.functional.linear(a, w, b))
        loss = _loss(case.loss, a, targets)
        loss = loss / case.batch if case.reduction == "mean" else loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    layers = tuple(
        Dense(_array(w), None if b is None else _array(b).tolist(), x.activation)
        for x, w, b in zip(case.layers, weights, biases, strict=True)
    )
    return Trajectory(tuple(losses), layers)


def evaluate(function: str, x: np.ndarray) -> np.ndarray:
    """One elementary function of torch, on an array of any dtype."""
    import torch

    tensor = _tensor(x)
    match function:
        case "exp" | "expm1" | "log" | "log1p" | "erf":
            return _array(getattr(torch, function)(tensor))
        case "gelu_gate":
            return np.asarray(2 * _array(_activation("gelu", tensor)).astype(np.float64) / x.astype(np.float64))
        case "pow":
            return _array(torch.pow(tensor, tensor))
    if function in OF_PROGRAMS:
        return _array(getattr(torch, function)(tensor))
    return _array(_activation(function, tensor))


def plant(case: Case, rules: Rules) -> Observation:
    """Other rules in a custom `torch.autograd.Function`: its forward and backward are the reference's, on tensors."""
    import torch

    ar = _arithmetic()(case.dtype)
    layers = layers_of(case, ar)
    inputs, targets, objective = ar.lift(case.inputs), ar.lift(case.targets), case.objective
    parameters = [p.requires_grad_() for layer in layers for p in (layer.weights, layer.biases) if p is not None]

    def forwards(context: Any, *_parameters: Tensor) -> Tensor:
        context.passed = forward(layers, inputs, ar, rules)
        loss: Tensor = RULES.error(objective, context.passed.outputs, targets, ar)
        return loss.reshape(())

    def backwards(context: Any, *upstream: Tensor) -> Any:
        found = backward(layers, inputs, targets, context.passed, objective, ar, rules)
        pairs = zip(found.weight_gradients, found.bias_gradients, strict=True)
        return tuple(g * upstream[0] for pair in pairs for g in pair if g is not None)

    # `class Network(torch.autograd.Function)`, which cannot be typed where torch is absent
    methods = {"forward": staticmethod(forwards), "backward": staticmethod(backwards)}
    network: Any = type("Network", (torch.autograd.Function,), methods)
    with torch.enable_grad():
        network.apply(*parameters).backward()
    with torch.no_grad():
        gradients = Backward(
            loss=None,
            deltas=(),
            weight_gradients=tuple(layer.weights.grad for layer in layers),
            bias_gradients=tuple(None if layer.biases is None else layer.biases.grad for layer in layers),
        )
        updated = delta_rule(layers, gradients, case.learning_rate or 0.0, ar, rules)
    flat = [None if b is None else _array(b).reshape(-1) for b in gradients.bias_gradients]
    return Observation(
        adapter=ADAPTER.name,
        version=str(torch.__version__),
        device=str(inputs.device),
        precision=case.dtype,
        weight_gradients=_arrays(gradients.weight_gradients),
        bias_gradients=tuple(flat),
        updated_weights=_arrays(layer.weights for layer in updated),
        updated_biases=tuple(None if x.biases is None else _array(x.biases).reshape(-1) for x in updated),
    )


def _arithmetic() -> type[ArrayArithmetic]:
    """The reference's arithmetic on tensors; made here, because torch may be absent."""
    import torch

    class TensorArithmetic(ArrayArithmetic):
        library = torch

        def type_of(self, dtype: str) -> torch.dtype:
            found: torch.dtype = getattr(torch, dtype)
            return found

        def cast(self, array: Tensor, dtype: torch.dtype) -> Tensor:
            return array.to(dtype)

        def erf(self, array: Tensor) -> Tensor:
            return torch.erf(array)

        def from_numpy(self, array: np.ndarray) -> Tensor:
            return torch.from_numpy(array)

        def to_numpy(self, array: Tensor) -> np.ndarray:
            return array.detach().double().numpy()

        def _largest(self, z: Tensor) -> Tensor:
            return z.amax(dim=1, keepdim=True)

    return TensorArithmetic


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


def _activation(activation: str | Activation, z: Tensor) -> Tensor:
    import torch
    from torch.nn import functional as F

    match parts(activation):
        case "identity", ():
            return z
        case "sigmoid", ():
            return torch.sigmoid(z)
        case "tanh", ():
            return torch.tanh(z)
        case "gelu_tanh", ():
            return F.gelu(z, approximate="tanh")
        case "softmax", ():
            return torch.softmax(z, dim=1)
        case "leaky_relu", (slope,):
            return F.leaky_relu(z, slope)
        case "elu", (alpha,):
            return F.elu(z, alpha)
        case "scaled_tanh", (scale, steepness):
            return scale * torch.tanh(steepness * z)
        case "sigmoid", (steepness,):
            return torch.sigmoid(steepness * z)
        case "silu", (steepness,):
            return z * torch.sigmoid(steepness * z)
        case "softplus", (steepness,):
            return F.softplus(z, beta=steepness)
        case name, () if name in F_NAMES:
            found: Tensor = getattr(F, name)(z)
            return found
    raise NotImplementedError(f"activation {activation}")


def _loss(name: str, o: Tensor, t: Tensor) -> Tensor:
    import torch
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
        case "absolute_error":
            return F.l1_loss(o, t, reduction="sum")
        case "log_cosh":
            return (torch.logaddexp(o - t, t - o) - math.log(2)).sum()
        case "hinge":
            return (1 - t * o).clamp(min=0).sum()
    if (found := parsed(name)) and found[0] == "huber":
        return F.huber_loss(o, t, reduction="sum", delta=found[1][0] if found[1] else 1.0)
    raise NotImplementedError(f"loss {name}")


ADAPTER = Adapter(
    "torch",
    "PyTorch: autograd and torch.optim.SGD",
    package="torch",
    run=observe,
    rank=2,
    dtypes=tuple(PRECISIONS),
    evaluate=evaluate,
    plant=plant,
    train=train,
)
