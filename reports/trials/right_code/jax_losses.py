"""JAX's and optax's losses, drawn with their options for `jax_networks.py`."""

# ruff: noqa: ARG001 - makers and losses take the same arguments
# mypy: allow-untyped-calls
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ....reference.programs import Unsupported
from .drawn import Dice
from .jax_activations import Array, Made

Loss = Callable[[Array, Array], Array]


def loss(thrown: Dice) -> Made:
    """A loss as people write it, or one of optax's; of a batch or of one sample; mean, sum or each by itself."""
    n, m = thrown.batch(), thrown.size()
    optaxs = thrown.flag(0.6)
    name = thrown.one_of(list(OPTAX if optaxs else LOSSES))
    words, values = (OPTAX if optaxs else LOSSES)[name](thrown, (n, m))
    reduction = thrown.one_of(("mean", "sum", "none", "weighted"))
    both, weights = thrown.flag(), np.abs(thrown.numbers((n,)))
    inputs = thrown.numbers((n, m)), thrown.numbers((n, m))

    def function(x: Array, y: Array) -> Array:
        found = values(x, y)
        match reduction:
            case "mean":
                return found.mean()
            case "sum":
                return found.sum()
            case "weighted" if found.ndim:
                each = np.resize(weights, found.shape[0]).astype(x.dtype)
                return (found * each.reshape(-1, *(1,) * (found.ndim - 1))).sum()
        return found

    fixed = inputs[1].astype(np.float32)

    def of_one(x: Array) -> Array:
        return function(x, jnp.asarray(fixed).astype(x.dtype))

    words = f"{'optax ' * optaxs}{name}{words}, {n}×{m}, {reduction}"
    return (words, function, inputs) if both else (f"{words}, of a fixed target", of_one, inputs[:1])


Shape = tuple[int, int]
Maker = Callable[[Dice, Shape], tuple[str, Loss]]


def _plain(values: Loss) -> Maker:
    return lambda thrown, shape: ("", values)


def _labelled(values: Callable[[Array, Any, Array], Array]) -> Maker:
    """values(x, labels, y)"""

    def made(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
        labels = thrown.rng.integers(0, shape[1], shape[0])
        return "", lambda x, y: values(x, labels, y)

    return made


def _huber(x: Array, y: Array) -> Array:
    return jnp.where(jnp.abs(x - y) < 0.7, 0.5 * (x - y) ** 2, 0.7 * (jnp.abs(x - y) - 0.35))


def _smoothed(x: Array, labels: Any, y: Array) -> Array:
    target = 0.9 * jax.nn.one_hot(labels, x.shape[1], dtype=x.dtype) + 0.1 / x.shape[1]
    return -jnp.sum(target * jax.nn.log_softmax(x), 1)


def _focal(x: Array, labels: Any, y: Array) -> Array:
    p = jnp.stack([row[label] for row, label in zip(jax.nn.softmax(x), labels, strict=True)])
    return -((1 - p) ** 2) * jnp.log(p)


def _contrastive(x: Array, labels: Any, y: Array) -> Array:
    """Of pairs, each row of x with the same row of y, as in CLIP."""
    x, y = (z / jnp.sqrt((z * z).sum(-1, keepdims=True) + 0.01) for z in (x, y))
    scores = x @ y.T / 0.5
    at = jnp.arange(x.shape[0])
    return -0.5 * (jax.nn.log_softmax(scores)[at, at] + jax.nn.log_softmax(scores, 0)[at, at])


LOSSES: dict[str, Maker] = {
    "squared error": _plain(lambda x, y: jnp.square(x - y)),
    "absolute error": _plain(lambda x, y: jnp.abs(x - y)),
    "huber": _plain(_huber),
    "quantile": _plain(lambda x, y: jnp.maximum(0.3 * (y - x), -0.7 * (y - x))),
    "charbonnier": _plain(lambda x, y: jnp.sqrt((x - y) ** 2 + 1e-3)),
    "relative": _plain(lambda x, y: jnp.abs((x - y) / (jnp.abs(y) + 0.3))),
    "cross-entropy": _labelled(lambda x, k, y: -jnp.take_along_axis(jax.nn.log_softmax(x), k[:, None], 1)),
    "smoothed": _labelled(_smoothed),
    "focal": _labelled(_focal),
    "of probabilities": _plain(lambda x, y: -jnp.sum(jax.nn.softmax(y) * jax.nn.log_softmax(x), 1)),
    "binary": _plain(lambda x, y: jax.nn.softplus(x) - jax.nn.sigmoid(y) * x),
    "hinge": _plain(lambda x, y: jnp.maximum(0, 1 - x * jnp.sign(y))),
    "squared hinge": _plain(lambda x, y: jnp.square(jax.nn.relu(1 - x * jnp.tanh(y)))),
    "divergence": _plain(lambda x, y: jax.scipy.special.rel_entr(jax.nn.softmax(y), jax.nn.softmax(x))),
    "kl_div": _plain(lambda x, y: jax.scipy.special.kl_div(jax.nn.softmax(y), jax.nn.softmax(x))),
    "entropy": _plain(lambda x, y: jax.scipy.special.entr(jax.nn.softmax(x) * jax.nn.sigmoid(y))),
    "poisson": _plain(lambda x, y: jnp.exp(jnp.tanh(x)) - y * y * x),
    "gaussian": _plain(lambda x, y: 0.5 * (jnp.log(y * y + 0.3) + (x - 1) ** 2 / (y * y + 0.3))),
    "likelihood": _plain(lambda x, y: -jax.scipy.stats.norm.logpdf(x, y, 0.7)),
    "student": _plain(lambda x, y: -jax.scipy.stats.t.logpdf(x, 3.0, y, 1.3)),
    "cauchy": _plain(lambda x, y: -jax.scipy.stats.cauchy.logpdf(x, y)),
    "logistic": _plain(lambda x, y: -jax.scipy.stats.logistic.logpdf(x, y)),
    "laplace": _plain(lambda x, y: -jax.scipy.stats.laplace.logpdf(x, y)),
    "gamma": _plain(lambda x, y: -jax.scipy.stats.gamma.logpdf(x * x + 0.3, y * y + 0.5)),
    "beta": _plain(lambda x, y: -jax.scipy.stats.beta.logpdf(jax.nn.sigmoid(y), x * x + 0.4, 1.7)),
    "log cosh": _plain(lambda x, y: jnp.logaddexp(x - y, y - x)),
    "cosine": _plain(lambda x, y: 1 - jnp.sum(x * y, 1) / (jnp.linalg.norm(x, axis=1) * jnp.linalg.norm(y, axis=1))),
    "logsumexp": _labelled(lambda x, k, y: jax.nn.logsumexp(x, 1) - x[jnp.arange(x.shape[0]), k]),
    "z loss": _labelled(lambda x, k, y: jax.nn.logsumexp(x, 1) ** 2 * 0.1 - x[jnp.arange(x.shape[0]), k]),
    "contrastive": _labelled(_contrastive),
    "variational": _plain(lambda x, y: -0.5 * (1 + y - x * x - jnp.exp(jnp.tanh(y))).sum(-1)),
    "preference": _plain(lambda x, y: -jax.nn.log_sigmoid(0.3 * (x - y))),
    "clipped policy": _plain(
        lambda x, y: -jnp.minimum(jnp.exp(jnp.tanh(x)) * y, jnp.clip(jnp.exp(jnp.tanh(x)), 0.8, 1.2) * y)
    ),
    "penalised": _plain(lambda x, y: (x - y) ** 2 + 0.1 * jnp.abs(x) + 0.05 * x * x),
}

# ------------------------------------------------------------------------------------ optax


def optax(name: str) -> Callable[..., Array]:
    """Its loss of this name, looked up when it is called: what is drawn does not depend on what is installed."""

    def called(*arguments: Any, **more: Any) -> Array:
        try:
            import optax
        except ImportError:
            raise Unsupported("optax is not installed") from None
        return getattr(optax.losses, name)(*arguments, **more)

    return called


def _of(name: str, of_y: Callable[[Array], Array] = lambda y: y, **choices: tuple[Any, ...]) -> Maker:
    """name(x, of_y(y)), with some of these options."""

    def made(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
        more = {option: thrown.one_of(values) for option, values in choices.items() if thrown.flag(0.6)}
        return "".join(f", {k}={v}" for k, v in more.items()), lambda x, y: optax(name)(x, of_y(y), **more)

    return made


def _by_label(name: str, **choices: tuple[Any, ...]) -> Maker:
    def made(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
        labels = thrown.rng.integers(0, shape[1], shape[0])
        more = {option: thrown.one_of(values) for option, values in choices.items() if thrown.flag(0.6)}
        return "".join(f", {k}={v}" for k, v in more.items()), lambda x, y: optax(name)(x, labels, **more) + 0 * y.sum()

    return made


def _by_sign(name: str) -> Maker:
    def made(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
        signs = thrown.rng.integers(0, 2, shape) * 2.0 - 1
        return "", lambda x, y: optax(name)(x + 0.3 * y, signs.astype(x.dtype))

    return made


def _masked(name: str, **choices: tuple[Any, ...]) -> Maker:
    """With a mask of what counts, each row at least its first element."""

    def made(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
        mask = thrown.rng.random(shape) < 0.7
        mask[:, 0] = True
        words, values = _of(name, jax.nn.softmax, **choices)(thrown, shape)
        if thrown.flag():
            return words, values
        return f"{words}, masked", lambda x, y: optax(name)(x, jax.nn.softmax(y), where=mask)

    return made


def _binary(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
    zeros_and_ones = thrown.rng.integers(0, 2, shape)
    more = {"alpha": 0.3} if thrown.flag() else {}
    more |= {"gamma": thrown.one_of((0.0, 1.5, 2.0))} if thrown.flag() else {}
    words = "".join(f", {k}={v}" for k, v in more.items())
    return words, lambda x, y: optax("sigmoid_focal_loss")(x * jnp.tanh(y), zeros_and_ones.astype(x.dtype), **more)


def _connectionist(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
    rows, classes = shape
    labels = thrown.rng.integers(1, max(classes, 2), (1, 2))
    steps = np.zeros((1, rows + 3))
    paddings = np.zeros((1, 2))

    def values(x: Array, y: Array) -> Array:
        logits = jnp.concatenate([x, x[:1] * y[:1], y[:1], jnp.sin(x[:1])])[None, :, : max(classes, 2)]
        return optax("ctc_loss")(logits, steps.astype(x.dtype), labels, paddings.astype(x.dtype))

    return "", values


def _triplet(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
    more: dict[str, Any] = {"norm_degree": thrown.one_of((2, 3))} if thrown.flag() else {}
    more |= {"margin": 0.4} if thrown.flag() else {}
    words = "".join(f", {k}={v}" for k, v in more.items())
    return words, lambda x, y: optax("triplet_margin_loss")(x, y, jnp.sin(x + 0.7) * 2, **more)


def _neighbours(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
    labels = thrown.rng.integers(0, 2, 2 * shape[0])
    return "", lambda x, y: optax("ntxent")(jnp.concatenate([x, y]), labels, temperature=0.6)


def _fenchel(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
    return "", lambda x, y: optax("make_fenchel_young_loss")(jax.nn.logsumexp)(x, jax.nn.softmax(y))


def _smoothing(thrown: Dice, shape: Shape) -> tuple[str, Loss]:
    return "", lambda x, y: optax("softmax_cross_entropy")(x, optax("smooth_labels")(jax.nn.softmax(y), 0.2))


OPTAX: dict[str, Maker] = {
    "squared_error": _of("squared_error"),
    "l2_loss": _of("l2_loss"),
    "huber_loss": _of("huber_loss", delta=(0.3, 1.0, 2.0)),
    "log_cosh": _of("log_cosh"),
    "cosine_similarity": _of("cosine_similarity", epsilon=(0.0, 0.1), axis=(-1, 0)),
    "cosine_distance": _of("cosine_distance", epsilon=(1e-6,)),
    "softmax_cross_entropy": _masked("softmax_cross_entropy"),
    "safe_softmax_cross_entropy": _of("safe_softmax_cross_entropy", jax.nn.softmax),
    "softmax_cross_entropy_with_integer_labels": _by_label("softmax_cross_entropy_with_integer_labels"),
    "smooth_labels": _smoothing,
    "poly_loss_cross_entropy": _of("poly_loss_cross_entropy", jax.nn.softmax, epsilon=(0.5, 2.0)),
    "sigmoid_binary_cross_entropy": _of("sigmoid_binary_cross_entropy", jax.nn.sigmoid),
    "sigmoid_focal_loss": _binary,
    "kl_divergence": _of("kl_divergence", jax.nn.softmax),
    "of distributions": lambda thrown, shape: (
        "",
        lambda x, y: optax("kl_divergence")(jax.nn.log_softmax(x), jax.nn.softmax(y)),
    ),
    "kl_divergence_with_log_targets": _of("kl_divergence_with_log_targets", jax.nn.log_softmax),
    "convex_kl_divergence": _of("convex_kl_divergence", jax.nn.softmax),
    "generalized_kl_divergence": _of("generalized_kl_divergence", lambda y: y * y + 0.2),
    "hinge_loss": _by_sign("hinge_loss"),
    "perceptron_loss": _by_sign("perceptron_loss"),
    "sparsemax_loss": _by_sign("sparsemax_loss"),
    "multiclass_hinge_loss": _by_label("multiclass_hinge_loss"),
    "multiclass_perceptron_loss": _by_label("multiclass_perceptron_loss"),
    "multiclass_sparsemax_loss": _by_label("multiclass_sparsemax_loss"),
    "ranking_softmax_loss": _masked("ranking_softmax_loss"),
    "dice_loss": _of("dice_loss", jax.nn.softmax, apply_softmax=(True, False), smooth=(0.5, 1.0)),
    "binary_dice_loss": _of("binary_dice_loss", jax.nn.sigmoid, smooth=(0.5, 1.0)),
    "multiclass_generalized_dice_loss": _of("multiclass_generalized_dice_loss", jax.nn.softmax),
    "triplet_margin_loss": _triplet,
    "ntxent": _neighbours,
    "make_fenchel_young_loss": _fenchel,
    "ctc_loss": _connectionist,
}
