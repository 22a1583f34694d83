"""Losses beyond the chapter's, a family with a parameter, and `loss_named`, which finds any of them.

A new one is one entry in `MORE_LOSSES`: terms and derivative side by side, in e = o − t. They ask nothing of the output
layer or of the targets. At a kink the derivative is a set, of all slopes between the two.
"""

from __future__ import annotations

from functools import lru_cache

from .aliases import loss_meant
from .losses import LOSSES, Loss, elementwise
from .more_activations import parameter, parsed, spelled
from .numbers import Functions, Number

# ------------------------------------------------------------------------------------ of the error e


def _absolute_terms(o: Number, t: Number, fn: Functions) -> Number:
    return fn.absolute(o - t)


def _sign(o: Number, t: Number, fn: Functions) -> Number:
    """−1 or 1; at o = t all that lies between."""
    return fn.step(o - t) - fn.step(t - o)


def _huber(delta: float) -> Loss:
    """½e² where |e| ≤ δ, δ(|e| − δ/2) beyond: with m = min(|e|, δ), both are m(|e| − m/2).

    Source: Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics 35 (1964), §4; PyTorch's
    huber_loss.
    """

    def terms(o: Number, t: Number, fn: Functions) -> Number:
        size = fn.absolute(o - t)
        near = fn.minimum(size, parameter(delta, fn))
        return near * (size - near / 2)

    def derivative(o: Number, t: Number, fn: Functions) -> Number:
        most = parameter(delta, fn)
        return fn.maximum(fn.minimum(o - t, most), -most)

    name = "huber" if delta == 1 else spelled("huber", (delta,))
    return Loss(name, elementwise(terms), elementwise(derivative))


def _log_cosh_terms(o: Number, t: Number, fn: Functions) -> Number:
    """log cosh e = |e| + log(1 + e^−2|e|) − log 2, which does not overflow."""
    return _log_two_cosh(o - t, fn) - fn.log(fn.constant(2.0))


def _log_two_cosh(e: Number, fn: Functions) -> Number:
    return fn.absolute(e) + fn.log1p(fn.exp(-2 * fn.absolute(e)))


def _log_cosh_derivative(o: Number, t: Number, fn: Functions) -> Number:
    """tanh e; also as the derivative of log(eᵉ + e⁻ᵉ), which is how the terms are written elsewhere."""
    e = o - t
    total = _log_two_cosh(e, fn)
    return fn.either(fn.tanh(e), fn.exp(e - total) - fn.exp(-e - total))


# ------------------------------------------------------------------------------------ of the margin t·o


def _hinge_terms(o: Number, t: Number, fn: Functions) -> Number:
    """max(0, 1 − t·o), with the targets as they are given: −1 and 1 for the classes, but any number will do.

    Source: Rosasco et al., Are loss functions all the same?, Neural Computation 16 (2004), §2.
    """
    return fn.maximum(1 - t * o, 0)


def _hinge_derivative(o: Number, t: Number, fn: Functions) -> Number:
    return -(t * fn.step(1 - t * o))


MORE_LOSSES = {
    entry.name: entry
    for entry in (
        Loss("absolute_error", elementwise(_absolute_terms), elementwise(_sign)),
        _huber(1.0),
        Loss("log_cosh", elementwise(_log_cosh_terms), elementwise(_log_cosh_derivative)),
        Loss("hinge", elementwise(_hinge_terms), elementwise(_hinge_derivative)),
    )
}

LOSS_NAMES = (*LOSSES, *MORE_LOSSES)  # without parameters
LOSS_FORMS = {"huber(delta)": "huber(0.5)"}  # names with a parameter, and examples


def loss_named(name: str, output: object = None) -> Loss | None:
    """The loss of a name, such as "hinge", "huber(0.5)" or, of `aliases`, "nn.MSELoss"; None for anything else.

    output: the output layer's activation, where it is known: "cross_entropy" is of softmax's outputs, or of logits
    Each has one name: see `parsed`.
    """
    return _named(name, output if isinstance(output, str) else None) if isinstance(name, str) else None


@lru_cache(1024)
def _named(name: str, output: str | None) -> Loss | None:
    found = parsed(name)
    loss = None if found is None else _called(*found)
    meant = loss_meant(name, LOSS_NAMES, output) if loss is None else None
    return loss if meant in (None, name) else _named(meant, None)


@lru_cache(1024)
def _called(bare: str, numbers: tuple[float, ...]) -> Loss | None:
    if not numbers:
        return LOSSES.get(bare) or MORE_LOSSES.get(bare)
    if bare != "huber" or len(numbers) != 1 or numbers[0] <= 0:
        return None
    return MORE_LOSSES[bare] if numbers == (1.0,) else _huber(*numbers)
