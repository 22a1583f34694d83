"""Right JAX functions, drawn from a number: the same families as in `torch_networks.py`, for `rule_trials.py`.

Here: the seven families together, and perceptrons and convolutional networks. The others stand in files beside this.
"""

# ruff: noqa: ARG001 - makers of layers take the same arguments
# mypy: allow-untyped-calls, allow-untyped-decorators
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...any_network import NumbersReport, RuleReport
from .drawn import FAMILIES, NETWORKS, PRIMES, USUAL, Dice, Drawn, Manner, dice
from .jax_activations import ACTIVATIONS, Array, Made

STREAM = 31


def draw(number: int, sizes: tuple[int, ...] = PRIMES, manner: Manner = USUAL) -> Drawn:
    """Configuration `number`: of each family in turn. manner: its compiler, threads and autocast are PyTorch's alone"""
    from .jax_compositions import composition
    from .jax_custom import custom
    from .jax_losses import loss
    from .jax_sequences import recurrent, transformer

    families: dict[str, Callable[[Dice], Made]] = dict(
        zip(FAMILIES, (mlp, cnn, recurrent, transformer, loss, custom, composition), strict=True)
    )
    family, thrown = FAMILIES[number % len(FAMILIES)], dice(number, STREAM, sizes)
    drawn = thrown.dtype()
    dtype = "float16" if manner.half else drawn
    words, function, arguments = families[family](thrown)
    if family in NETWORKS and manner.scale != 1:
        weights, x, *others = arguments
        words, arguments = f"{words}, inputs × {manner.scale:g}", (weights, x * manner.scale, *others)
    if thrown.flag(0.8):  # else every call takes as long as a compilation
        words, function = f"{words}, compiled", jax.jit(function)
    formatted = jax.tree.map(lambda x: x.astype(jnp.dtype(dtype)) if x.dtype == np.float64 else x, arguments)
    return Drawn(
        family, dtype, words, lambda: report(function, formatted), numbers=lambda: numbers(function, formatted)
    )


def numbers(function: Callable[..., Any], arguments: tuple[Any, ...]) -> NumbersReport:
    """Of a run of it."""
    from ...any_network.jax_doors import check_numbers

    return check_numbers(function, arguments)


def report(function: Callable[..., Any], arguments: tuple[Any, ...]) -> RuleReport:
    """The rule check of it."""
    from ...any_network.jax_doors import rules_of

    return rules_of(function, arguments)[0]


def normalised(x: Array, axes: tuple[int, ...], centred: bool = True) -> Array:
    """Less its mean along these axes, over its standard deviation; by the root of its mean square if not `centred`."""
    x = x - x.mean(axes, keepdims=True) if centred else x
    return x * lax.rsqrt(jnp.square(x).mean(axes, keepdims=True) + 1e-5)


# ------------------------------------------------------------------------------------ perceptrons

NORMS: dict[str, Callable[[Array], Array]] = {
    "": lambda x: x,
    "layer norm": lambda x: normalised(x, (-1,)),
    "RMS norm": lambda x: normalised(x, (-1,), centred=False),
    "batch norm": lambda x: normalised(x, (0,)),
    "standardize": jax.nn.standardize,
}
EXTRAS = ("", "", "dropout", "residual", "GLU", "maxout", "SwiGLU")


def mlp(thrown: Dice) -> Made:
    """Layers with norms and activations; residual, gated, with dropout, weight-normalised or mapped, some of them."""
    batch, width = thrown.batch(), thrown.size()
    x = thrown.numbers((batch, width))
    weights: list[dict[str, Any]] = []
    made: list[tuple[str, str, str, bool]] = []
    words = [f"batch {batch}"]
    for _ in range(thrown.one_of((1, 1, 2, 2, 3))):
        units = thrown.size()
        layer = {"w": thrown.numbers((units, width))}
        if thrown.flag(0.8):
            layer["b"] = thrown.numbers((units,))
        norm = thrown.one_of([name for name in NORMS if batch > 1 or name != "batch norm"])
        name, extra, scaled = thrown.one_of(list(ACTIVATIONS)), thrown.one_of(EXTRAS), thrown.flag(0.15)
        if extra in ("GLU", "SwiGLU", "maxout"):
            layer["gate"] = thrown.numbers((2 * units, units))
        if extra == "residual":
            layer["inner"] = thrown.numbers((units, units))
        if scaled:
            layer["g"] = 1 + 0.3 * thrown.numbers((units, 1))
        weights.append(layer)
        made.append((norm, name, extra, scaled))
        words.append(" ".join(filter(None, [f"{width} → {units}", "weight norm" * scaled, norm, name, extra])))
        width = units
    mapped, key = thrown.flag(0.2) and all(norm != "batch norm" for norm, *_ in made), thrown.whole(0, 99)

    def function(weights: Any, x: Array) -> Array:
        for k, (layer, (norm, name, extra, scaled)) in enumerate(zip(weights, made, strict=True)):
            w = layer["w"]
            if scaled:
                w = layer["g"] * w / jnp.linalg.norm(w, axis=1, keepdims=True)
            x = ACTIVATIONS[name](NORMS[norm](x @ w.T + layer.get("b", 0)))
            x = _extra(extra, x, layer, jax.random.fold_in(jax.random.key(key), k))
        return x

    called = jax.vmap(function, (None, 0)) if mapped else function
    return f"{', '.join(words)}{', mapped over the batch' * mapped}", called, (weights, x)


def _extra(extra: str, x: Array, layer: dict[str, Array], key: Any) -> Array:
    match extra:
        case "dropout":
            return jnp.where(jax.random.bernoulli(key, 0.7, x.shape), x / 0.7, 0)
        case "residual":
            return x + jnp.tanh(x @ layer["inner"].T)
        case "GLU":
            return jax.nn.glu(x @ layer["gate"].T)
        case "SwiGLU":
            one, other = jnp.split(x @ layer["gate"].T, 2, -1)
            return jax.nn.silu(one) * other
        case "maxout":
            return (x @ layer["gate"].T).reshape(*x.shape, 2).max(-1)
    return x


# ------------------------------------------------------------------------------------ convolutions

LETTERS = {1: "W", 2: "HW", 3: "DHW"}
LARGEST = 150  # elements of a result


def cnn(thrown: Dice) -> Made:
    """A convolution, a norm, an activation and a pooling; then a second convolution or a head, some of them."""
    rank, last = thrown.one_of((1, 2, 2, 2, 3)), thrown.flag(0.4)
    channels = thrown.one_of((2, 3))
    long = {1: (7, 8), 2: (4, 5), 3: (3, 3)}[rank]
    space = tuple(thrown.one_of(long) for _ in range(rank))
    x = thrown.numbers((thrown.one_of((1, 2)), *((*space, channels) if last else (channels, *space))))
    weights: dict[str, Any] = {}
    steps: list[Callable[[Any, Array], Array]] = []
    words = [f"{'×'.join(map(str, x.shape))}, channels {'last' if last else 'first'}"]
    shape = x.shape
    for k in range(thrown.whole(1, 2) if rank < 3 else 1):
        makers = [_convolution, *([_norm] if thrown.flag(0.7) else []), _activation]
        makers += [_resampling] if thrown.flag(0.7) else []
        for maker in makers:
            word, step, needed = maker(thrown, shape, rank, last, f"{maker.__name__[1:]} {k + 1}")
            try:
                found = jax.eval_shape(step, {**weights, **needed}, jax.ShapeDtypeStruct(shape, np.float64)).shape
            except (TypeError, ValueError, ZeroDivisionError):
                continue  # it does not fit this shape
            if 0 < np.prod(found) <= LARGEST and len(found) == len(shape):
                steps.append(step)
                words.append(word)
                weights |= needed
                shape = found
    if thrown.flag(0.3):
        weights["head"] = thrown.numbers((int(np.prod(shape[1:])), 2))
        steps.append(lambda weights, x: x.reshape(x.shape[0], -1) @ weights["head"])
        words.append("flatten, linear")

    def function(weights: Any, x: Array) -> Array:
        for step in steps:
            x = step(weights, x)
        return x

    return ", ".join(words), function, (weights, x)


Layer = tuple[str, Callable[[Any, Array], Array], dict[str, Any]]


def _layout(rank: int, last: bool) -> tuple[str, str, str]:
    letters = LETTERS[rank]
    images, kernels = (f"N{letters}C", f"{letters}IO") if last else (f"NC{letters}", f"OI{letters}")
    return images, kernels, images


def _convolution(thrown: Dice, shape: tuple[int, ...], rank: int, last: bool, name: str) -> Layer:
    channels = shape[-1] if last else shape[1]
    groups = thrown.one_of((1, 1, channels))
    out = groups * thrown.one_of((1, 2)) if groups > 1 else thrown.one_of((1, 2, 3))
    window = tuple(thrown.one_of((1, 2, 3) if rank < 3 else (1, 2)) for _ in range(rank))
    inner = channels // groups
    w = thrown.numbers((*window, inner, out) if last else (out, inner, *window))
    b = thrown.numbers((out,) if last else (out, *(1,) * rank))
    strides, dilation = (tuple(thrown.one_of((1, 1, 2)) for _ in range(rank)) for _ in range(2))
    sides = tuple((thrown.one_of((0, 1)), thrown.one_of((0, 1, -1))) for _ in range(rank))
    padding: Any = thrown.one_of(("SAME", "VALID", "SAME_LOWER", sides))
    kind = thrown.one_of(("plain", "plain", "plain", "dilated input", "conv_transpose", "by patches", "standardised"))
    dims = _layout(rank, last)

    def step(weights: Any, x: Array) -> Array:
        w, b = weights[name]
        if kind == "standardised":
            w = normalised(w, tuple(k for k in range(rank + 2) if k != (rank + 1 if last else 0)))
        if kind == "conv_transpose":
            y = lax.conv_transpose(x, w, strides, padding, dilation, dims)
        elif kind == "by patches":
            patches = lax.conv_general_dilated_patches(x, window, strides, padding, None, dilation, dims)
            flat = w.transpose((rank, *range(rank), rank + 1)).reshape(-1, out) if last else w.reshape(out, -1).T
            y = patches @ flat if last else jnp.moveaxis(jnp.moveaxis(patches, 1, -1) @ flat, -1, 1)
        else:
            spread = (2,) * rank if kind == "dilated input" else None
            y = lax.conv_general_dilated(x, w, strides, padding, spread, dilation, dims, groups)
        return y + b

    words = f"convolution ({kind}) to {out}, {window}, {strides=}, {padding}, {groups=}, {dilation=}"
    return words, step, {name: (w, b)}


def _norm(thrown: Dice, shape: tuple[int, ...], rank: int, last: bool, name: str) -> Layer:
    axis = rank + 1 if last else 1
    channels = shape[axis]
    kind = thrown.one_of(("batch", "batch, by statistics", "instance", "layer", "RMS", "group", "local response"))
    wide = tuple(channels if k == axis else 1 for k in range(rank + 2))
    scale, shift = 1 + 0.3 * thrown.numbers(wide), thrown.numbers(wide)
    inner = tuple(k for k in range(1, rank + 2) if k != axis)
    mean, var = 0.5 * thrown.numbers(wide), 0.5 + thrown.numbers(wide) ** 2

    def step(weights: Any, x: Array) -> Array:
        scale, shift = weights[name]
        match kind:
            case "batch":
                y = normalised(x, (0, *inner))
            case "batch, by statistics":
                y = (x - mean.astype(x.dtype)) / jnp.sqrt(var.astype(x.dtype) + 1e-5)
            case "instance":
                y = normalised(x, inner)
            case "layer":
                y = normalised(x, tuple(range(1, rank + 2)))
            case "RMS":
                y = normalised(x, (axis,), centred=False)
            case "group":
                split = jnp.moveaxis(x, axis, 1)
                grouped = split.reshape(x.shape[0], channels if channels % 2 else 2, -1)
                y = jnp.moveaxis(normalised(grouped, (-1,)).reshape(split.shape), 1, axis)
            case _:
                window = tuple(3 if k == axis else 1 for k in range(rank + 2))
                near = lax.reduce_window(x * x, 0.0, lax.add, window, (1,) * (rank + 2), "SAME")
                y = x / (1 + 0.2 * near) ** 0.75
        return y * scale + shift

    return f"{kind} norm", step, {name: (scale, shift)}


def _activation(thrown: Dice, shape: tuple[int, ...], rank: int, last: bool, name: str) -> Layer:
    which = thrown.one_of(("relu", "tanh", "silu", "gelu", "elu", "leaky_relu", "hard_silu", "softplus", "relu6"))
    return which, lambda weights, x: ACTIVATIONS[which](x), {}


def _resampling(thrown: Dice, shape: tuple[int, ...], rank: int, last: bool, name: str) -> Layer:
    axes = tuple(range(1, rank + 1)) if last else tuple(range(2, rank + 2))
    pooled = ("max", "max", "average", "average", "lp", "min", "global mean", "global max")
    resized, padded = ("nearest", "linear", "cubic", "lanczos3", "repeat"), ("reflect", "edge", "wrap", "symmetric")
    kind = thrown.one_of((*pooled, *resized, *padded))
    size, stride, apart = thrown.one_of((2, 3)), thrown.one_of((1, 2)), thrown.one_of((1, 1, 2))
    apart = 1 if kind in ("max", "min") else apart  # JAX has no gradient of these with places left out
    padding, counted = thrown.one_of(("SAME", "VALID")), thrown.flag()

    def along(inside: int) -> tuple[int, ...]:
        return tuple(inside if k in axes else 1 for k in range(rank + 2))

    def pooling(x: Array, start: float, by: Any) -> Array:
        return lax.reduce_window(x, start, by, along(size), along(stride), padding, window_dilation=along(apart))

    def step(weights: Any, x: Array) -> Array:
        match kind:
            case "max":
                return pooling(x, -jnp.inf, lax.max)
            case "min":
                return pooling(x, jnp.inf, lax.min)
            case "average":
                return pooling(x, 0.0, lax.add) / (size**rank if counted else pooling(jnp.ones_like(x), 0.0, lax.add))
            case "lp":
                return jnp.sqrt(pooling(x * x, 0.0, lax.add) + 0.1)
            case "global mean":
                return x.mean(axes, keepdims=True)
            case "global max":
                return x.max(axes, keepdims=True)
            case "repeat":
                for axis in axes:
                    x = jnp.repeat(x, 2, axis)
                return x
            case "reflect" | "edge" | "wrap" | "symmetric":
                return jnp.pad(x, [(1, 1) if k in axes else (0, 0) for k in range(rank + 2)], kind)
        wanted = tuple(n + size - 1 if k in axes else n for k, n in enumerate(x.shape))
        return jax.image.resize(x, wanted, kind, antialias=counted)

    return f"{kind} ({size}, {stride=}, {padding}, {apart=}, {counted=})", step, {}
