"""PyTorch's fused optimizers: one call for a whole step of many parameters, each written down by its formula.

Called by `recorder.py`. Gradients that are scaled on the way (`grad_scale`, of a GradScaler) are not covered.
Sources: Kingma & Ba, Adam, ICLR 2015, algorithm 1; Loshchilov & Hutter, Decoupled weight decay regularization, ICLR
2019, algorithm 2; Reddi, Kale & Kumar, On the convergence of Adam and beyond, ICLR 2018 (amsgrad: the largest second
moment); Sutskever et al., ICML 2013 (momentum, Nesterov's), in the form of torch.optim.SGD.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...reference.programs import Unsupported, Value, stopped
from ...reference.programs.elementwise import maximum, sqrt
from .call import itself

if TYPE_CHECKING:
    from .recorder import Recorder

FUSED = {"_fused_adam_", "_fused_adamw_", "_fused_sgd_"}
LISTS = ("self", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs", "momentum_buffer_list")
Parts = dict[str, Value]


def step(recorder: Recorder, func: Any, args: Any, kwargs: Any, arguments: Mapping[str, Any]) -> Any:
    """Makes the call and writes down what it leaves in each tensor. Raises Unsupported before it does."""
    if arguments.get("grad_scale") is not None or arguments.get("found_inf") is not None:
        raise Unsupported(f"{recorder.program.origin}: gradients that the call itself scales (grad_scale, found_inf)")
    name = func._schema.name.removeprefix("aten::")
    lists = {key: arguments[key] for key in LISTS if arguments.get(key)}
    every = range(len(arguments["self"]))
    before = [{key: recorder.read(tensors[k]) for key, tensors in lists.items()} for k in every]
    numbers = recorder.unseen(lambda: [float(x) for x in arguments.get("state_steps", ())])
    rate = recorder.unseen(lambda: float(arguments["lr"]))
    result = itself(func, args, kwargs)
    for k in every:
        if name == "_fused_sgd_":
            after = _sgd(before[k], arguments, rate)
        else:
            after = _adam(before[k], arguments, rate, numbers[k], decoupled=name == "_fused_adamw_")
        tensors = [lists[key][k] for key in after]
        own = {key: x[k] for key, x in lists.items()}
        values = recorder.computed(tensors, [], tuple(after.values()), own)
        for tensor, value in zip(tensors, values, strict=True):
            recorder.write(tensor, stopped(value))
    return result


def _adam(x: Parts, given: Mapping[str, Any], rate: float, number: float, decoupled: bool) -> Parts:
    """m = β₁ m + (1 − β₁) g; s = β₂ s + (1 − β₂) g²; w − rate/(1 − β₁ᵗ) · m / (√s/√(1 − β₂ᵗ) + ε)."""
    weights, gradient = x["self"], -x["grads"] if given["maximize"] else x["grads"]
    decay = given["weight_decay"]
    if decay and decoupled:
        weights = weights - weights * (rate * decay)
    elif decay:
        gradient = gradient + weights * decay
    mean = x["exp_avgs"] + (gradient - x["exp_avgs"]) * (1 - given["beta1"])
    squares = x["exp_avg_sqs"] * given["beta2"] + gradient * gradient * (1 - given["beta2"])
    after = {"exp_avgs": mean, "exp_avg_sqs": squares}
    if given["amsgrad"]:
        squares = after["max_exp_avg_sqs"] = maximum(x["max_exp_avg_sqs"], squares)
    under = sqrt(squares) / math.sqrt(1 - given["beta2"] ** number) + given["eps"]
    return {"self": weights - mean / under * (rate / (1 - given["beta1"] ** number)), **after}


def _sgd(x: Parts, given: Mapping[str, Any], rate: float) -> Parts:
    """v = μ v + (1 − dampening) g, the first one g; w − rate · v, or with Nesterov's w − rate (g + μ v)."""
    weights, gradient = x["self"], -x["grads"] if given["maximize"] else x["grads"]
    if given["weight_decay"]:
        gradient = gradient + weights * given["weight_decay"]
    if not given["momentum"]:
        return {"self": weights - gradient * rate}
    velocity = gradient
    if not given["is_first_step"]:
        velocity = x["momentum_buffer_list"] * given["momentum"] + gradient * (1 - given["dampening"])
    direction = gradient + velocity * given["momentum"] if given["nesterov"] else velocity
    return {"self": weights - direction * rate, "momentum_buffer_list": velocity}
