"""Free compositions of PyTorch's functions, drawn for `torch_networks.py`: each step uses results of those before.

A step is drawn with its constants (an index, a mask) and then always does the same. Values are kept near order one by
the steps themselves, so that no composition overflows.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from .drawn import PRIMES, Dice
from .torch_networks import Subject, leaf

Step = Callable[[Tensor], Tensor]
Pair = Callable[[Tensor, Tensor], Tensor]
LARGEST = 64  # elements of a result


def composition(thrown: Dice, dtype: torch.dtype) -> Subject:
    """Some steps on one to three tensors of the same shape; the last result, and now and then another with it."""
    shape = tuple(thrown.one_of(PRIMES[:2] if k else PRIMES) for k in range(thrown.whole(1, 3)))
    inputs = tuple(leaf(thrown, shape, dtype) for _ in range(thrown.whole(1, 3)))
    steps: list[tuple[Callable[..., Tensor], tuple[int, ...]]] = []
    words: list[str] = []
    results = [x.detach() for x in inputs]
    for _ in range(thrown.whole(3, 6)):
        name, step, operands = _step(thrown, results)
        try:
            result = step(*(results[k] for k in operands)).detach()
        except (RuntimeError, IndexError, ValueError):
            continue  # it does not fit this shape or format
        if 0 < result.numel() <= LARGEST:
            steps.append((step, operands))
            results.append(result)
            words.append(f"{name} of {', '.join(map(str, operands))}")
    both = thrown.flag(0.3)

    def function(*given: Tensor) -> Tensor | tuple[Tensor, ...]:
        values = list(given)
        for step, operands in steps:
            values.append(step(*(values[k] for k in operands)))
        return (values[-1], values[-2]) if both and len(steps) > 1 else values[-1]

    return Subject(f"{'×'.join(map(str, shape))}, {len(inputs)} inputs: {'; '.join(words)}", function, inputs)


def _step(thrown: Dice, results: Sequence[Tensor]) -> tuple[str, Callable[..., Tensor], tuple[int, ...]]:
    last = len(results) - 1
    one = last if thrown.flag(0.6) else thrown.whole(0, last)
    x = results[one]
    if thrown.flag(0.3):
        same = [k for k, y in enumerate(results) if y.shape == x.shape]
        name = thrown.one_of(list(PAIRS))
        return name, PAIRS[name], (one, thrown.one_of(same))
    if thrown.flag(0.4):
        name = thrown.one_of(list(ELEMENTWISE))
        return name, ELEMENTWISE[name], (one,)
    makers = OF_MATRICES if x.dim() >= 2 and thrown.flag(0.3) else OF_ARRAYS
    name = thrown.one_of(list(makers))
    step = makers[name](thrown, x)
    return f"{name} ({_called(step)})", step, (one,)


def _called(step: Step) -> str:
    """What a step calls."""
    code = getattr(step, "__code__", None)
    return " ".join(code.co_names) if code is not None else str(getattr(step, "__name__", step))


def _in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y[..., 0] = y[..., -1] * 2
    y.mul_(1.5).add_(x)
    return y


def _in_views(x: Tensor) -> Tensor:
    y = x * 1.0
    y.flatten()[::2].mul_(0.5)
    y.view(-1)[1:].add_(x.flatten()[1:].sin())
    return y


def _out_of_place(x: Tensor) -> Tensor:
    y = x.new_zeros(2, *x.shape)
    y[0].copy_(x)
    y[1] += x.sin()
    return y.sum(0)


def _crossed(x: Tensor) -> Tensor:
    three = (*x.shape[:-1], 3)
    return torch.cross(x[..., :1].expand(three), x.new_ones(3).expand(three), -1)


_block_diagonal: Callable[..., Tensor] = torch.block_diag

ELEMENTWISE: dict[str, Step] = {
    "exp": lambda x: torch.exp(torch.tanh(x)),
    "expm1": lambda x: torch.expm1(torch.tanh(x)),
    "log": lambda x: torch.log(x * x + 0.5),
    "log1p": lambda x: torch.log1p(x * x),
    "log2": lambda x: torch.log2(x.abs() + 0.5),
    "sqrt": lambda x: torch.sqrt(x * x + 1),
    "rsqrt": lambda x: torch.rsqrt(x * x + 0.3),
    "reciprocal": lambda x: 1 / (x * x + 0.7),
    "divided": lambda x: x / (1 + x.abs()),
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": lambda x: torch.tan(0.5 * torch.tanh(x)),
    "atan": torch.atan,
    "asin": lambda x: torch.asin(0.7 * torch.tanh(x)),
    "acos": lambda x: torch.acos(0.7 * torch.sin(x)),
    "sinh": lambda x: torch.sinh(torch.tanh(x)),
    "cosh": lambda x: torch.cosh(torch.tanh(x)),
    "asinh": torch.asinh,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "logit": lambda x: torch.logit(torch.sigmoid(x)),
    "softplus": F.softplus,
    "silu": F.silu,
    "gelu": F.gelu,
    "relu": torch.relu,
    "abs": torch.abs,
    "clamp": lambda x: x.clamp(-0.8, 0.9),
    "clamp_min": lambda x: x.clamp_min(0.1),
    "square": torch.square,
    "pow 3": lambda x: torch.tanh(x) ** 3,
    "pow 1.5": lambda x: (x * x + 0.2) ** 1.5,
    "2 to the": lambda x: 2 ** torch.sin(x),
    "sinc": torch.sinc,
    "xlogy": lambda x: torch.xlogy(x, x * x + 0.5),
    "where": lambda x: torch.where(x > 0.2, x * x, x.sin()),
    "masked_fill": lambda x: x.masked_fill(x > 0.5, 0.5),
    "nan_to_num": torch.nan_to_num,
    "lerp": lambda x: torch.lerp(x, x.sin(), 0.3),
    "addcmul": lambda x: torch.addcmul(x, x.sin(), x.cos(), value=0.5),
    "addcdiv": lambda x: torch.addcdiv(x, x.sin(), x * x + 1, value=0.5),
    "rsub": lambda x: torch.rsub(x, 1, alpha=2),
    "float32 and back": lambda x: torch.sin(x.to(torch.float64)).to(x.dtype),
    "in place": _in_place,
    "in views": _in_views,
    "into zeros": _out_of_place,
}
PAIRS: dict[str, Pair] = {
    "add": lambda x, y: torch.add(x, y, alpha=0.7),
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * torch.tanh(y),
    "div": lambda x, y: x / (y * y + 0.6),
    "pow": lambda x, y: (x * x + 0.4) ** torch.tanh(y),
    "atan2": lambda x, y: torch.atan2(x, y * y + 0.4),
    "hypot": lambda x, y: torch.hypot(x, y + 1.5),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "fmod": lambda x, y: torch.fmod(x, y.detach() * 0 + 0.7),
    "where": lambda x, y: torch.where(x > y, x.sin(), y),
    "logaddexp": torch.logaddexp,
    "cat": lambda x, y: torch.cat([x, y.sin()], -1),
    "stack": lambda x, y: torch.stack([y, x.cos()], 0),
    "in place": lambda x, y: x.clone().mul_(y.sigmoid()).sub_(x),
    "copysign": lambda x, y: torch.copysign(x, y.detach()),
    "cosine": lambda x, y: F.cosine_similarity(x + 0.1, y, -1),
    "pairwise distance": lambda x, y: F.pairwise_distance(x + 0.3, y, 2.0) if x.dim() > 1 else (x - y).norm(),
    "vecdot": torch.linalg.vecdot,
    "outer": lambda x, y: torch.einsum("...i,...j->...ij", x, y),
    "dist": lambda x, y: torch.dist(x + 0.2, y),
    "mse": F.mse_loss,
}


def _axis(thrown: Dice, x: Tensor) -> int:
    axis = thrown.whole(0, max(x.dim() - 1, 0))
    return axis - x.dim() if x.dim() and thrown.flag() else axis


def _reduction(thrown: Dice, x: Tensor) -> Step:
    axis, keep = _axis(thrown, x), thrown.flag()
    return thrown.one_of(
        (
            lambda x: x.sum(axis, keepdim=keep),
            lambda x: x.mean(axis, keepdim=keep),
            lambda x: x.sum(),
            lambda x: x.mean(),
            lambda x: x.var(axis, correction=0, keepdim=keep),
            lambda x: x.std(axis, correction=0, keepdim=keep),
            lambda x: torch.logsumexp(x, axis, keepdim=keep),
            lambda x: x.amax(axis, keepdim=keep),
            lambda x: x.amin(axis),
            lambda x: x.max(axis)[0],
            lambda x: x.contiguous().median(axis)[0],  # of an expanded axis it is wrong
            lambda x: (x + 1.5).prod(axis),
            lambda x: x.norm(dim=axis),
            lambda x: x.norm(),
            lambda x: x.norm(1, axis),
            lambda x: x.norm(3, axis),
            lambda x: x.norm(float("inf"), axis),
            lambda x: x.max(),
            lambda x: (x * x + 0.3).prod(),
            lambda x: x.nansum(axis),
            lambda x: torch.var_mean(x, axis, correction=0)[0],
            lambda x: torch.aminmax(x, dim=axis)[1],
        )
    )


def _normalised(thrown: Dice, x: Tensor) -> Step:
    axis = _axis(thrown, x)
    return thrown.one_of(
        (
            lambda x: x.softmax(axis),
            lambda x: x.log_softmax(axis),
            lambda x: F.normalize(x, dim=axis),
            lambda x: F.layer_norm(x, x.shape[-1:]),
            lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-5),
            lambda x: F.normalize(x, p=1.0, dim=axis),
            lambda x: x.renorm(2, 0, 1.0),
        )
    )


def _cumulative(thrown: Dice, x: Tensor) -> Step:
    axis = _axis(thrown, x)
    return thrown.one_of(
        (
            lambda x: x.cumsum(axis),
            lambda x: (x.tanh() + 1.3).cumprod(axis),
            lambda x: x.logcumsumexp(axis),
            lambda x: x.cummax(axis)[0],
            lambda x: x.diff(dim=axis),
            lambda x: x.cummin(axis)[0],
            lambda x: torch.cumulative_trapezoid(x, dim=axis),
            lambda x: torch.trapezoid(x, dim=axis),
        )
    )


def _ordered(thrown: Dice, x: Tensor) -> Step:
    axis, down = _axis(thrown, x), thrown.flag()
    return thrown.one_of(
        (
            lambda x: x.sort(axis, descending=down)[0],
            lambda x: x.topk(2, axis)[0],
            lambda x: x.kthvalue(1, axis)[0],
            lambda x: x.flip(axis),
            lambda x: x.roll(1, axis),
            lambda x: x.msort(),
            lambda x: x.quantile(0.5, axis),
        )
    )


def _view(thrown: Dice, x: Tensor) -> Step:
    axis, step = _axis(thrown, x), thrown.one_of((1, 2))
    order = thrown.several(range(x.dim()), x.dim())
    return thrown.one_of(
        (
            lambda x: x[..., ::step],
            lambda x: x[1:],
            lambda x: x[..., -1],
            lambda x: x[None, ..., :1],
            lambda x: x.permute(order),
            lambda x: x.reshape(-1),
            lambda x: x.unsqueeze(axis).expand(*x.shape[:axis], 2, *x.shape[axis:]) if axis >= 0 else x.t(),
            lambda x: x.transpose(0, -1),
            lambda x: x.movedim(0, -1),
            lambda x: x.unfold(axis, 2, 1),
            lambda x: x.chunk(2, axis)[0],
            lambda x: x.split(2, axis)[-1],
            lambda x: x.select(axis, 0),
            lambda x: x.narrow(axis, 1, 1),
            lambda x: x.unbind(axis)[-1],
            lambda x: x.as_strided((2, 2), (1, 1)),
            lambda x: x.tile(2),
            lambda x: x.repeat_interleave(2, axis),
            lambda x: x.contiguous(),
            lambda x: x.squeeze(),
            lambda x: x.swapaxes(0, 1),
            lambda x: torch.broadcast_to(x, (2, *x.shape)),
            lambda x: x.ravel(),
            lambda x: F.pad(x, (1, 0), value=0.5),
            lambda x: x.diagonal(),
            torch.atleast_2d,
            lambda x: x.hsplit(1)[0],
        )
    )


def _indexed(thrown: Dice, x: Tensor) -> Step:
    axis = _axis(thrown, x)
    size = x.shape[axis] if x.dim() else 1
    rows = torch.tensor(thrown.rng.integers(0, size, 3))
    where = torch.tensor(thrown.rng.integers(0, size, tuple(x.shape)))
    mask = torch.tensor(thrown.rng.random(tuple(x.shape)) < 0.6)
    weights = torch.tensor(thrown.numbers(tuple(x.shape))).to(x.dtype)
    return thrown.one_of(
        (
            lambda x: x.index_select(axis, rows),
            lambda x: x.gather(axis, where),
            lambda x: x.scatter_add(axis, where, x.sin()),
            lambda x: torch.zeros_like(x).scatter_add(axis, where, x),
            lambda x: x.index_add(axis, rows[:1], x.narrow(axis, 0, 1)),
            lambda x: x[rows % x.shape[0]],
            lambda x: x.take(rows),
            lambda x: x[mask],
            lambda x: x.masked_fill(mask, -1.0),
            lambda x: torch.where(mask, x, weights),
            lambda x: x * weights,
            lambda x: x.index_fill(axis, rows[:1], 0.5),
            lambda x: x.index_copy(axis, rows[:1], x.narrow(axis, 0, 1) * 2),
            lambda x: x.masked_select(mask),
            lambda x: x.index_put((rows % x.shape[0],), x[:1] * 3, accumulate=True),
            lambda x: x.take_along_dim(where, axis),
            lambda x: x.scatter_reduce(axis, where, x.cos(), "sum"),
            lambda x: x.masked_scatter(mask, weights),
            lambda x: x.scatter_reduce(axis, where, x.cos(), "amax"),
            lambda x: x.scatter_reduce(axis, where, x.cos(), "mean"),
        )
    )


def _matrix(thrown: Dice, x: Tensor) -> Step:
    weights = torch.tensor(thrown.numbers((x.shape[-1], thrown.one_of(PRIMES)))).to(x.dtype)
    return thrown.one_of(
        (
            lambda x: x @ weights,
            lambda x: x @ x.mT,
            lambda x: torch.einsum("...ij,...kj->...ik", x, x.sin()),
            lambda x: torch.einsum("...ij,...ij->...j", x, x.cos()),
            lambda x: torch.einsum("...ij->...ji", x),
            lambda x: x.tril(),
            lambda x: x.triu(1),
            lambda x: torch.tensordot(x, weights, 1),
            lambda x: F.linear(x, weights.T),
            lambda x: torch.linalg.inv(x @ x.mT + torch.eye(x.shape[-2]).to(x)),
            lambda x: torch.kron(x, weights[:1, :2]),
            lambda x: torch.linalg.solve(x @ x.mT + torch.eye(x.shape[-2]).to(x), x),
            lambda x: torch.cdist(x, x + 0.4),
            lambda x: torch.logdet(x @ x.mT + torch.eye(x.shape[-2]).to(x)),
            torch.linalg.matrix_norm,
            lambda x: torch.linalg.cholesky(x @ x.mT + torch.eye(x.shape[-2]).to(x)),
            lambda x: _block_diagonal(*x.unbind(0)),
            lambda x: torch.linalg.det(x @ x.mT + torch.eye(x.shape[-2]).to(x)),
            lambda x: x.mT @ x,
            lambda x: torch.addmm(x[:1, :1] * 2, x, x.mT, beta=0.5, alpha=0.3),
            lambda x: torch.baddbmm(x @ x.mT, x, x.mT),
            lambda x: torch.mv(x, x[0]),
            lambda x: x.trace(),
            torch.diag_embed,
            torch.cov,
            lambda x: torch.linalg.vector_norm(x, dim=(-2, -1)),
            _crossed,
        )
    )


OF_ARRAYS: dict[str, Callable[[Dice, Tensor], Step]] = {
    "reduction": _reduction,
    "normalised": _normalised,
    "cumulative": _cumulative,
    "ordered": _ordered,
    "view": _view,
    "indexed": _indexed,
}
OF_MATRICES: dict[str, Callable[[Dice, Tensor], Step]] = {"matrix": _matrix}
