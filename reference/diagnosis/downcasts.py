"""Numbers that went through a narrower format on their way, in the whole network or in one layer.

A function may declare float64 and have a float32 in it: a `zeros(…, dtype=float32)`, a tensor of the default type, a
matrix unit that multiplies in tf32. Each entry is the right algorithm with some rules computed in that format. Their
bounds reach further than those of the faults in `catalogue/faults.py`, so they are tried after them, finest first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from ..backprop import RULES, Layer
from ..numbers import PROFILES, Arithmetic, Matrix, Precision, Profile
from .catalogue.faults import Fault
from .catalogue.wrong_rules import replacing

MISTAKE = "a default dtype (JAX without jax_enable_x64), or a cast that was forgotten"
OF_A_GPU = (
    "a GPU's matrix units round the factors of float32 products, in JAX by default, in PyTorch where it is allowed. If "
    'that is meant, check without it: jax.default_matmul_precision("highest"), or '
    "torch.backends.cuda.matmul.allow_tf32 = False"
)


def _roundings(profile: Profile, terms: int) -> int:
    """How often an operand of a sum may have been rounded, in units of the format: once itself, and in the sum."""
    return ceil(2 + terms * profile.accumulate.unit_roundoff / profile.multiply.unit_roundoff)


def _preactivation(profile: Profile) -> Callable[..., Matrix]:
    def rule(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
        often = _roundings(profile, ar.shape(inputs)[1] + 1)
        added = _added(profile)
        narrow = layer.biases if layer.biases is None else ar.narrow(layer.biases, added, often)
        weights = ar.narrow(layer.weights, profile.multiply, often)
        z = RULES.preactivation(
            replace(layer, weights=weights, biases=narrow), ar.narrow(inputs, profile.multiply, often), ar
        )
        return ar.narrow(z, profile.storage)

    return rule


def _activation(profile: Profile) -> Callable[..., Matrix]:
    return lambda layer, z, ar: ar.narrow(RULES.activation(layer, z, ar), profile.storage, 4)


def _delta(profile: Profile) -> Callable[..., Matrix]:
    def rule(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        return ar.narrow(RULES.output_delta(layer, z, a, ar.narrow(error, profile.storage), ar), profile.storage, 4)

    return rule


def _hidden_error(profile: Profile) -> Callable[..., Matrix]:
    def rule(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
        often = _roundings(profile, ar.shape(delta_above)[1])
        weights = ar.narrow(layer_above.weights, profile.multiply, often)
        delta = ar.narrow(delta_above, profile.multiply, often)
        return ar.narrow(RULES.hidden_error(replace(layer_above, weights=weights), delta, ar), profile.storage)

    return rule


def _weight_gradient(profile: Profile) -> Callable[..., Matrix]:
    def rule(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        often = _roundings(profile, ar.shape(delta)[0])
        deltas, received = (ar.narrow(m, profile.multiply, often) for m in (delta, inputs))
        return ar.narrow(RULES.weight_gradient(deltas, received, ar), profile.storage)

    return rule


def _bias_gradient(profile: Profile) -> Callable[..., Matrix]:
    def rule(delta: Matrix, ar: Arithmetic) -> Matrix:
        often = _roundings(profile, ar.shape(delta)[0])
        return ar.narrow(RULES.bias_gradient(ar.narrow(delta, _added(profile), often), ar), profile.storage)

    return rule


def _added(profile: Profile) -> Precision:
    """What is added and not multiplied comes in: of tf32 only the factors of products are narrower."""
    return profile.storage if profile.storage.digits > profile.multiply.digits else profile.multiply


def _downcasts(profile: Profile) -> tuple[Fault, ...]:
    """In one format, what reaches least first."""
    name = profile.name
    weight_gradient = {"weight_gradient": _weight_gradient(profile)}
    gradients = {**weight_gradient, "bias_gradient": _bias_gradient(profile)}
    deltas = {f"{place}_delta": _delta(profile) for place in ("output", "hidden")}
    backward = {**gradients, **deltas, "hidden_error": _hidden_error(profile)}
    forward = {"preactivation": _preactivation(profile), "activation": _activation(profile)}
    kinds = {
        "weight-gradient": ("the weight gradient", weight_gradient),
        "gradients": ("gradients", gradients),
        "forward": ("the forward pass", forward),
        "backward": ("the backward pass", backward),
        "everything": ("everything", {**forward, **backward}),
    }
    mistake = OF_A_GPU if name == "tf32" else MISTAKE
    return tuple(
        Fault(f"{kind}-in-{name}", f"computes {what} in {name}", mistake, replacing(**rules))
        for kind, (what, rules) in kinds.items()
    )


# By format, the finest first; float64 is no downcast.
DOWNCASTS = {name: _downcasts(profile) for name, profile in PROFILES.items() if name != "float64"}
OF_FORMATS = {fault.name for kinds in DOWNCASTS.values() for fault in kinds}
