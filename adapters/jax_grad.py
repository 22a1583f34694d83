"""JAX: one learning step under jit. Gradients by `grad`; loss, activations and deltas by `value_and_grad`.

Deltas are not visible in a functional framework. A zero "tap" is added to every pre-activation: ∂E/∂tap is δ.
The update is compiled by itself, from the gradients that are shown: in one program with them, XLA computes gradients
once more inside the update, and rounds them differently.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from ..reference.activations import Activation
from ..reference.backprop import RULES, Backward, Forward, Rules, backward, delta_rule, forward
from ..reference.case import Case, Dense, layers_of
from ..reference.judging import Observation, Received
from ..reference.more_activations import parsed, parts
from ..reference.numbers import PRECISIONS, ArrayArithmetic, array_of
from ..reference.update_rules import UPDATE_RULES
from .adapter import OF_PROGRAMS, Adapter, Trajectory

Parameters = list[tuple[Any, Any]]  # weights and biases (or None) of every layer

# Activations that jax.nn has, by our names.
NN_NAMES = {
    "sigmoid": "sigmoid", "relu": "relu", "leaky_relu": "leaky_relu", "softplus": "softplus", "elu": "elu",
    "selu": "selu", "silu": "silu", "mish": "mish", "hardtanh": "hard_tanh", "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_silu", "softsign": "soft_sign", "relu6": "relu6",
}  # fmt: skip


def enable_x64(on: bool) -> AbstractContextManager[None]:
    """JAX's own, from wherever its version has it: before 0.8, `jax.experimental`."""
    import jax

    switch: Any = getattr(jax, "enable_x64", None)
    if switch is None:
        from jax import experimental

        switch = experimental.enable_x64
    context: AbstractContextManager[None] = switch(on)
    return context


def _without_float16(case: Case) -> str | None:
    """XLA's code for processors without F16C lacks the conversions of float16, so nothing runs."""
    return NO_FLOAT16 if case.dtype == "float16" and not _has_float16() else None


NO_FLOAT16 = "float16: JAX has none on a processor without F16C, or held below it by XLA_FLAGS"


@cache
def _has_float16() -> bool:
    import jax

    try:
        with _unlogged():  # XLA logs every symbol that it misses
            jax.block_until_ready(jax.jit(lambda x: x * x)(jax.device_put(np.ones(1, np.float16))))
    except jax.errors.JaxRuntimeError:
        return False
    return True


@contextmanager
def _unlogged() -> Iterator[None]:
    """What libraries write to file descriptor 2 meanwhile is dropped."""
    try:
        loud = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    try:
        yield
    finally:
        os.dup2(loud, 2)
        os.close(quiet)
        os.close(loud)


def observe(case: Case) -> Observation:
    """One learning step under jit, on JAX's default device."""
    import jax

    # `device_put`, not `asarray`, which compiles a copy for every shape
    with enable_x64(True):  # without it, JAX turns float64 into float32
        parameters: Parameters = [
            (
                jax.device_put(array_of(layer.weights, case.dtype)),
                None if layer.biases is None else jax.device_put(array_of(layer.biases, case.dtype)),
            )
            for layer in case.layers
        ]
        inputs = jax.device_put(array_of(case.inputs, case.dtype))
        targets = jax.device_put(array_of(case.targets, case.dtype))
        taps = [jax.device_put(array_of(np.zeros((case.batch, units)), case.dtype)) for units in case.sizes[1:]]

        def step(parameters: Parameters, taps: Any, inputs: Any, targets: Any) -> Any:
            differentiate = jax.value_and_grad(partial(_objective, case), argnums=(0, 1), has_aux=True)
            visible, (gradients, deltas) = differentiate(parameters, taps, inputs, targets)
            return gradients, visible, deltas

        gradients, (loss, (zs, activations)), deltas = jax.jit(step)(parameters, taps, inputs, targets)
        rate = case.learning_rate
        updated = None if rate is None else _update()(array_of(rate, case.dtype), parameters, gradients)
        return Observation(
            adapter=ADAPTER.name,
            version=jax.__version__,
            device=str(next(iter(inputs.devices())).platform),
            precision=case.dtype,
            received=Received(_weights(parameters), _biases(parameters), np.asarray(inputs), np.asarray(targets)),
            pre_activations=_arrays(zs),
            activations=_arrays(activations),
            loss=np.asarray(loss),
            deltas=_arrays(deltas),
            weight_gradients=_weights(gradients),
            bias_gradients=_biases(gradients),
            updated_weights=None if updated is None else _weights(updated),
            updated_biases=None if updated is None else _biases(updated),
        )


@cache
def _update() -> Any:
    """The delta rule under jit: compiled once for parameters of the same shapes, whatever the learning rate."""
    import jax

    def update(rate: Any, parameters: Parameters, gradients: Parameters) -> Parameters:
        return jax.tree.map(lambda old, g: old - rate * g, parameters, gradients)

    return jax.jit(update)


def train(case: Case, rule: str, updates: int) -> Trajectory:
    """Gradients by `value_and_grad`, updates by the reference's rules (JAX has no optimizers), under jit."""
    import jax
    import jax.numpy as jnp

    with enable_x64(True):
        ar, chosen = _arithmetic()(case.dtype), UPDATE_RULES[rule]
        rate = case.learning_rate or chosen.usual_rate
        parameters: Parameters = [(layer.weights, layer.biases) for layer in layers_of(case, ar)]
        inputs, targets = ar.lift(case.inputs), ar.lift(case.targets)
        taps = [jnp.zeros((case.batch, units), ar.dtype) for units in case.sizes[1:]]
        memories = jax.tree.map(lambda p: tuple(jnp.zeros_like(p) for _ in range(chosen.remembers)), parameters)

        def step(parameters: Parameters, memories: Any, number: Any) -> Any:
            objective = partial(_objective, case)
            (loss, _), gradients = jax.value_and_grad(objective, has_aux=True)(parameters, taps, inputs, targets)
            pairs = [
                tuple(
                    (None, ()) if old is None else chosen.step(old, g, memory, rate, number, ar)
                    for old, g, memory in zip(layer, of, remembered, strict=True)
                )
                for layer, of, remembered in zip(parameters, gradients, memories, strict=True)
            ]
            moved = [(w[0], b[0]) for w, b in pairs]
            return loss, moved, [(w[1], b[1]) for w, b in pairs]

        compiled = jax.jit(step)
        memories = [
            (memory[0], () if p[1] is None else memory[1]) for p, memory in zip(parameters, memories, strict=True)
        ]
        losses = []
        for number in range(1, updates + 1):
            loss, parameters, memories = compiled(parameters, memories, jnp.asarray(number, ar.dtype))
            losses.append(float(loss))
        layers = tuple(
            Dense(np.asarray(w), None if b is None else np.asarray(b).reshape(-1).tolist(), x.activation)
            for x, (w, b) in zip(case.layers, parameters, strict=True)
        )
        return Trajectory(tuple(losses), layers)


def evaluate(function: str, x: np.ndarray) -> np.ndarray:
    """One elementary function of JAX under jit, on an array of any dtype."""
    import jax
    import jax.numpy as jnp

    with enable_x64(True):
        match function:
            case "exp" | "expm1" | "log" | "log1p":
                return np.asarray(jax.jit(getattr(jnp, function))(jax.device_put(x)))
            case "erf":
                return np.asarray(jax.jit(jax.scipy.special.erf)(jax.device_put(x)))
            case "gelu_gate":
                gelu = np.asarray(jax.jit(partial(_activation, "gelu"))(jax.device_put(x)))
                return np.asarray(2 * gelu.astype(np.float64) / x.astype(np.float64))
            case "erfc" | "erfinv":
                named = {"erfc": jax.scipy.special.erfc, "erfinv": jax.scipy.special.erfinv}[function]
                return np.asarray(jax.jit(named)(jax.device_put(x)))
            case "pow":
                return np.asarray(jax.jit(jnp.power)(jax.device_put(x), jax.device_put(x)))
        if function in OF_PROGRAMS:
            return np.asarray(jax.jit(getattr(jnp, function))(jax.device_put(x)))
        return np.asarray(jax.jit(partial(_activation, function))(jax.device_put(x)))


def plant(case: Case, rules: Rules) -> Observation:
    """Other rules in a function with `jax.custom_vjp`: its forward and backward are the reference's, on JAX arrays."""
    import jax

    with enable_x64(True):
        ar = _arithmetic()(case.dtype)
        layers = layers_of(case, ar)
        inputs, targets = ar.lift(case.inputs), ar.lift(case.targets)
        objective = case.objective
        parameters: Parameters = [(layer.weights, layer.biases) for layer in layers]

        def network(parameters: Parameters) -> Any:
            return keeping(parameters)[0]

        def keeping(parameters: Parameters) -> Any:
            given = [replace(layer, weights=w, biases=b) for layer, (w, b) in zip(layers, parameters, strict=True)]
            passed = forward(given, inputs, ar, rules)
            loss = RULES.error(objective, passed.outputs, targets, ar)
            return loss.reshape(()), (passed.pre_activations, passed.activations)

        def gradients_of(kept: Any, upstream: Any) -> Any:
            found = backward(layers, inputs, targets, Forward(*kept), objective, ar, rules)
            pairs = zip(found.weight_gradients, found.bias_gradients, strict=True)
            return ([(w * upstream, None if b is None else b * upstream) for w, b in pairs],)

        custom = jax.custom_vjp(network)
        custom.defvjp(keeping, gradients_of)
        found = jax.grad(custom)(parameters)
        gradients = Backward(None, (), tuple(w for w, _ in found), tuple(b for _, b in found))
        updated = delta_rule(layers, gradients, case.learning_rate or 0.0, ar, rules)
        return Observation(
            adapter=ADAPTER.name,
            version=jax.__version__,
            device=str(next(iter(inputs.devices())).platform),
            precision=case.dtype,
            weight_gradients=_arrays(gradients.weight_gradients),
            bias_gradients=tuple(None if b is None else np.asarray(b).reshape(-1) for b in gradients.bias_gradients),
            updated_weights=_arrays(layer.weights for layer in updated),
            updated_biases=tuple(None if x.biases is None else np.asarray(x.biases).reshape(-1) for x in updated),
        )


def _arithmetic() -> type[ArrayArithmetic]:
    """The reference's arithmetic on JAX's arrays; made here, because jax may be absent."""
    import jax
    import jax.numpy as jnp

    class JaxArithmetic(ArrayArithmetic):
        library = jnp

        def from_numpy(self, array: np.ndarray) -> Any:
            return jnp.asarray(array)

        def erf(self, array: Any) -> Any:
            return jax.scipy.special.erf(array)

    return JaxArithmetic


def _objective(case: Case, parameters: Parameters, taps: Any, inputs: Any, targets: Any) -> Any:
    """E, with every layer's z and a beside it."""
    import jax.numpy as jnp

    zs, activations = [], []
    a = inputs
    for layer, (weights, biases), tap in zip(case.layers, parameters, taps, strict=True):
        z = jnp.matmul(a, weights.T, precision="highest")
        z = (z if biases is None else z + biases) + tap
        a = _activation(layer.activation, z)
        zs.append(z)
        activations.append(a)
    error = _loss(case.loss, a, targets)
    return (error / case.batch if case.reduction == "mean" else error), (zs, activations)


def _activation(activation: str | Activation, z: Any) -> Any:
    import jax

    match parts(activation):
        case "identity", ():
            return z
        case "tanh", ():
            return jax.numpy.tanh(z)
        case "gelu", ():
            return jax.nn.gelu(z, approximate=False)
        case "gelu_tanh", ():
            return jax.nn.gelu(z, approximate=True)
        case "softmax", ():
            return jax.nn.softmax(z, axis=1)
        case "leaky_relu", (slope,):
            return jax.nn.leaky_relu(z, slope)
        case "elu", (alpha,):
            return jax.nn.elu(z, alpha)
        case "scaled_tanh", (scale, steepness):
            return scale * jax.numpy.tanh(steepness * z)
        case "sigmoid", (steepness,):
            return jax.nn.sigmoid(steepness * z)
        case "silu", (steepness,):
            return z * jax.nn.sigmoid(steepness * z)
        case "softplus", (steepness,):
            return jax.nn.softplus(steepness * z) / steepness
        case name, () if name in NN_NAMES:
            return getattr(jax.nn, NN_NAMES[name])(z)
    raise NotImplementedError(f"activation {activation}")


def _loss(name: str, o: Any, t: Any) -> Any:
    import jax
    import jax.numpy as jnp

    match name:
        case "half_squared_error":
            return jnp.sum((o - t) ** 2) / 2
        case "squared_error":
            return jnp.sum((o - t) ** 2)
        case "binary_cross_entropy":
            return -jnp.sum(t * jnp.log(o) + (1 - t) * jnp.log1p(-o))
        case "binary_cross_entropy_from_logits":
            return -jnp.sum(t * jax.nn.log_sigmoid(o) + (1 - t) * jax.nn.log_sigmoid(-o))
        case "softmax_cross_entropy":
            return -jnp.sum(t * jnp.log(o))
        case "softmax_cross_entropy_from_logits":
            return -jnp.sum(t * jax.nn.log_softmax(o, axis=1))
        case "absolute_error":
            return jnp.sum(jnp.abs(o - t))
        case "log_cosh":
            return jnp.sum(jnp.logaddexp(o - t, t - o) - math.log(2))
        case "hinge":
            return jnp.sum(jnp.maximum(1 - t * o, 0))
    if (found := parsed(name)) and found[0] == "huber":
        delta, size = found[1][0] if found[1] else 1.0, jnp.abs(o - t)
        return jnp.sum(jnp.where(size <= delta, 0.5 * (o - t) ** 2, delta * (size - 0.5 * delta)))
    raise NotImplementedError(f"loss {name}")


def _weights(parameters: Parameters) -> tuple[np.ndarray | None, ...]:
    return _arrays(weights for weights, _ in parameters)


def _biases(parameters: Parameters) -> tuple[np.ndarray | None, ...]:
    return _arrays(biases for _, biases in parameters)


def _arrays(arrays: Any) -> tuple[np.ndarray | None, ...]:
    return tuple(None if array is None else np.asarray(array) for array in arrays)


ADAPTER = Adapter(
    "jax",
    "JAX: grad and value_and_grad under jit",
    package="jax",
    run=observe,
    rank=3,
    dtypes=tuple(PRECISIONS),
    limits="float16 only on processors with F16C, or on a GPU",
    cannot=_without_float16,
    evaluate=evaluate,
    plant=plant,
    train=train,
)
