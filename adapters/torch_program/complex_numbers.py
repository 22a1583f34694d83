"""Complex numbers: what PyTorch computes of them, by real calls of their real and imaginary parts.

In memory the parts stand beside each other, so views, layouts and in-place writes are those of real tensors. PyTorch's
gradient is ∂E/∂x + i ∂E/∂y: the chain rule over the parts. Source: PyTorch, Autograd mechanics, "Autograd for Complex
Numbers"; the formulas: `reference/programs/complex_formulas.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from ...reference.programs import Unsupported, of_half, waves
from ...reference.programs import complex_formulas as formulas
from ...reference.programs.complex_formulas import Parts
from .operations import CONSTANTS, MOVEMENTS

Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch
LARGEST_POWER = 16  # up to which a whole power is multiplied out

# Functions that are linear in all of their complex arguments together: each part by itself.
LINEAR = (MOVEMENTS - {"_conj_physical"}) | {
    "add", "sub", "rsub", "neg", "sum", "mean", "cumsum", "trace", "where", "masked_fill", "index_put",
    "_index_put_impl", "_unsafe_index_put", "_unsafe_index", "index_add", "scatter", "scatter_add", "index_fill",
    "constant_pad_nd", "unfold_backward", "embedding_dense_backward", "put",
    *(f"{kind}_pad{n}d_backward" for kind in ("reflection", "replication") for n in (1, 2, 3)),
}  # fmt: skip
BILINEAR = {"mm", "bmm", "mv", "dot", "convolution", "linalg_cross"}
MADE_OF_REAL = {"complex", "polar", "_fft_r2c"}


def of_complex(func: Any, arguments: Any) -> bool:
    """Whether complex numbers go into a call, or come out of it."""
    if func._schema.name.removeprefix("aten::") in MADE_OF_REAL:
        return True
    return any(_complex(x) for x in torch.utils._pytree.tree_leaves(arguments))


def _complex(x: Any) -> bool:
    if isinstance(x, torch.dtype):
        return x.is_complex
    return x.is_complex() if isinstance(x, torch.Tensor) else isinstance(x, complex)


def known(func: Any) -> bool:
    """Whether a rule stands here for a function of complex numbers."""
    name = func._schema.name.removeprefix("aten::")
    return name in RULES or name in LINEAR or name in BILINEAR or _constant(func)


def _constant(func: Any) -> bool:
    name = func._schema.name.removeprefix("aten::")
    return name in CONSTANTS or f"{name}.{func._overloadname}" in CONSTANTS


def computed(func: Any, arguments: dict[str, Any], unseen: Callable[[Callable[[], Any]], Any]) -> Any:
    """The results of a call, which changes none of its operands, computed by real calls.

    unseen: does something without its being written down
    """
    name = func._schema.name.removeprefix("aten::")
    if name in RULES:
        return RULES[name](**arguments)
    if _constant(func):
        return unseen(lambda: func(**arguments))
    if name in BILINEAR:
        return _bilinear(func, arguments)
    return _part_by_part(func, arguments)


def parts(x: Any) -> Parts:
    """The real and the imaginary part; 0 for the latter where there is none."""
    if isinstance(x, torch.Tensor):
        if not x.is_complex():
            return x, 0
        pair = torch.view_as_real(x.conj() if x.is_conj() else x)
        return pair.select(-1, 0), -pair.select(-1, 1) if x.is_conj() else pair.select(-1, 1)
    return (x.real, x.imag) if isinstance(x, complex) else (x, 0)


def whole(real: Any, imag: Any) -> Tensor:
    """The complex tensor of these parts."""
    tensors = [x for x in (real, imag) if isinstance(x, torch.Tensor)]
    if not tensors:
        return torch.tensor(complex(real, imag), dtype=torch.complex128)
    of, shape = tensors[0], torch.broadcast_shapes(*(x.shape for x in tensors))
    dtype = of.dtype if len(tensors) == 1 else torch.promote_types(real.dtype, imag.dtype)
    if math.prod(shape) == 0:  # of which PyTorch makes no view
        return of.new_empty(shape, dtype=dtype.to_complex())
    both = [
        x.to(dtype).expand(shape) if isinstance(x, torch.Tensor) else of.new_full(shape, x, dtype=dtype)
        for x in (real, imag)
    ]
    return torch.view_as_complex(torch.stack(both, -1))


# ---------------------------------------------------------------- each part by itself


def _part_by_part(func: Any, arguments: dict[str, Any]) -> Any:
    results = [func(**_only(func, arguments, part)) for part in (0, 1)]
    if isinstance(results[0], tuple | list):
        return tuple(whole(real, imaginary) for real, imaginary in zip(*results, strict=True))
    return whole(*results)


def _only(func: Any, arguments: dict[str, Any], part: int) -> dict[str, Any]:
    """The arguments with nothing but this part of every number that is not a factor, an index or a mask."""
    factors = ("alpha", "beta", "dim", "accumulate")
    scalars = {a.name for a in func._schema.arguments if str(a.type) == "number"} - set(factors)
    scalars |= {"self", "other"}  # numbers come there too

    def taken(name: str, x: Any) -> Any:
        if isinstance(x, tuple | list):
            return [taken(name, y) for y in x]
        if isinstance(x, torch.dtype):
            return x.to_real() if x.is_complex else x
        if isinstance(x, torch.Tensor):
            if x.is_complex():
                return parts(x)[part]
            return torch.zeros_like(x) if part and (x.is_floating_point() or name in ("self", "other")) else x
        if isinstance(x, complex) and name in factors:
            raise Unsupported(f"{func._schema.name}: a complex {name} is not covered")
        return parts(x)[part] if name in scalars and isinstance(x, int | float | complex) else x

    return {name: taken(name, x) for name, x in arguments.items()}


def _bilinear(func: Any, arguments: dict[str, Any]) -> Tensor:
    """(a + i b)(c + i d), whatever the product."""
    names = [name for name, x in arguments.items() if isinstance(x, torch.Tensor)]
    if len(names) > 2:  # a convolution's bias
        *names, bias = names
        without = _bilinear(func, {**arguments, bias: None})
        return without + arguments[bias].view([-1 if axis == 1 else 1 for axis in range(without.dim())])

    def product(x: Any, y: Any) -> Any:
        if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor):
            return 0
        dtype = torch.promote_types(x.dtype, y.dtype)
        return func(**{**arguments, names[0]: x.to(dtype), names[1]: y.to(dtype)})

    (a, b), (c, d) = (parts(arguments[name]) for name in names)
    return whole(product(a, c) - product(b, d), product(a, d) + product(b, c))


# ---------------------------------------------------------------- formulas


def _power(x: Parts, exponent: Any) -> Parts:
    if isinstance(exponent, torch.Tensor | complex):
        real, imaginary = (y if isinstance(y, torch.Tensor) else torch.tensor(float(y), dtype=torch.float64) for y in x)
        return formulas.exponential(
            formulas.times(parts(exponent), formulas.logarithm((real, imaginary), torch)), torch
        )
    if exponent == 0:
        return torch.ones_like(x[0]), 0
    if exponent == int(exponent) and abs(exponent) <= LARGEST_POWER:
        return formulas.whole_power(x, int(exponent))
    return formulas.power(x, exponent, torch)


def _one_less_square(y: Parts) -> Parts:
    real, imaginary = formulas.times(y, y)
    return 1 - real, -imaginary


def _complement(y: Parts) -> Parts:
    return 1 - y[0], -y[1]


def _written(formula: Callable[[Parts], Parts]) -> Callable[..., Tensor]:
    return lambda self: whole(*formula(parts(self)))


def _multiplied(self: Any, other: Any) -> Tensor:
    return whole(*formulas.times(parts(self), parts(other)))


def _divided(self: Any, other: Any, rounding_mode: str | None = None) -> Tensor:
    del rounding_mode  # complex numbers have none
    return whole(*formulas.over(parts(self), parts(other)))


def _absolute(self: Tensor) -> Tensor:
    """As PyTorch differentiates it, 0 at 0: the length of a vector of two."""
    return torch.linalg.vector_norm(torch.stack(parts(self), -1), dim=-1) if self.is_complex() else torch.abs(self)


def _direction(self: Tensor) -> Tensor:
    """z / |z|, and 0 at 0."""
    return whole(*formulas.direction(parts(self), torch))


def _angle(self: Tensor) -> Tensor:
    real, imaginary = parts(self)
    return torch.atan2(imaginary, real)


def _polar(abs: Tensor, angle: Tensor) -> Tensor:
    return whole(abs * torch.cos(angle), abs * torch.sin(angle))


def _cast(self: Tensor, dtype: Any = None, **arguments: Any) -> Tensor:
    real, imaginary = parts(self)
    wanted = dtype or self.dtype
    if not wanted.is_complex:  # the imaginary part is dropped
        return torch.ops.aten._to_copy(real, dtype=wanted, **arguments)
    both = [
        torch.ops.aten._to_copy(x, dtype=wanted.to_real(), **arguments) if isinstance(x, torch.Tensor) else x
        for x in (real, imaginary)
    ]
    return whole(*both)


def _copied(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    del non_blocking
    if not self.is_complex():
        return parts(src)[0].to(self.dtype).expand(self.shape).clone()
    return _cast(src, self.dtype).expand(self.shape).clone()


def _length(self: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    real = dtype.to_real() if dtype is not None and dtype.is_complex else dtype
    return torch.linalg.vector_norm(_absolute(self), ord, dim, keepdim, dtype=real)


def _variance(self: Tensor, dim: Any = None, correction: Any = None, keepdim: bool = False) -> Tensor:
    """Of complex numbers that of the real parts and that of the imaginary ones together."""
    real, imaginary = (torch.var(x, dim, correction=correction, keepdim=keepdim) for x in parts(self))
    return real + imaginary


def _products(self: Tensor, dim: int, dtype: Any = None) -> list[Tensor]:
    """Of the first along an axis, of the first two, and so on."""
    self = self if dtype is None else _cast(self, dtype)
    first, *others = self.unbind(dim) if self.dim() else (self,)
    found = [first]
    for x in others:
        found.append(_multiplied(found[-1], x))
    return found


def _product_along(self: Tensor, dim: int | None = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    if dim is None:
        return _products(self.reshape(-1), 0, dtype)[-1]
    result = _products(self, dim, dtype)[-1]
    return result.unsqueeze(dim) if keepdim and self.dim() else result


def _added_product(self: Any, mat1: Any, mat2: Any, beta: Any = 1, alpha: Any = 1) -> Tensor:
    return self * beta + (mat1 @ mat2) * alpha


def _added_batches(self: Any, batch1: Any, batch2: Any, beta: Any = 1, alpha: Any = 1) -> Tensor:
    return self * beta + torch.bmm(batch1, batch2) * alpha


RULES: dict[str, Callable[..., Any]] = {
    "mul": _multiplied,
    "div": _divided,
    "abs": _absolute,
    "sgn": _direction,
    "angle": _angle,
    "complex": whole,
    "polar": _polar,
    "pow": lambda self, exponent: whole(*_power(parts(self), exponent)),
    "tanh_backward": lambda grad_output, output: whole(
        *formulas.times(parts(grad_output), formulas.conjugate(_one_less_square(parts(output))))
    ),
    "sigmoid_backward": lambda grad_output, output: whole(
        *formulas.times(
            parts(grad_output), formulas.conjugate(formulas.times(parts(output), _complement(parts(output))))
        )
    ),
    "addcmul": lambda self, tensor1, tensor2, value=1: self + value * (tensor1 * tensor2),
    "addcdiv": lambda self, tensor1, tensor2, value=1: self + value * (tensor1 / tensor2),
    "addmm": _added_product,
    "baddbmm": _added_batches,
    "addmv": lambda self, mat, vec, beta=1, alpha=1: self * beta + torch.mv(mat, vec) * alpha,
    "addr": lambda self, vec1, vec2, beta=1, alpha=1: self * beta + (vec1.unsqueeze(1) * vec2) * alpha,
    "addbmm": lambda self, batch1, batch2, beta=1, alpha=1: self * beta + torch.bmm(batch1, batch2).sum(0) * alpha,
    "lerp": lambda self, end, weight: self + weight * (end - self),
    "var": _variance,
    "std": lambda self, dim=None, correction=None, keepdim=False: torch.sqrt(_variance(self, dim, correction, keepdim)),
    "prod": _product_along,
    "cumprod": lambda self, dim, dtype=None: torch.stack(_products(self, dim, dtype), dim).reshape(self.shape),
    "vdot": lambda self, other: torch.dot(self.conj(), other),
    "_to_copy": _cast,
    "copy": _copied,
    "linalg_vector_norm": _length,
    **{name: _written(formula) for name, formula in formulas.functions(torch).items()},
    **dict.fromkeys(("_conj_physical", "conj_physical"), _written(formulas.conjugate)),
}


# ---------------------------------------------------------------- Fourier transforms


def _transformed(x: Parts, axis: int, forward: bool) -> Parts:
    """Σ_j x_j e^{∓2πijk/n} along an axis."""
    like = next(part for part in x if isinstance(part, torch.Tensor))
    cosines, sines = _waves(like.shape[axis], like, -1 if forward else 1)

    def along(part: Any, numbers: Tensor) -> Any:
        return (
            0
            if formulas.nothing(part)
            else (part.double().movedim(axis, -1) @ numbers).movedim(-1, axis).to(part.dtype)
        )

    real, imaginary = x
    return (
        formulas.minus(along(real, cosines), along(imaginary, sines)),
        formulas.plus(along(imaginary, cosines), along(real, sines)),
    )


def _waves(n: int, like: Tensor, sign: int = 1) -> tuple[Tensor, Tensor]:
    cosines, sines = waves(n, sign)
    return torch.from_numpy(cosines).to(like.device), torch.from_numpy(sines).to(like.device)


def _scaled(x: Parts, numbers: int, normalization: int) -> Parts:
    if normalization == 0:
        return x
    of = next(part for part in x if isinstance(part, torch.Tensor))
    by: Any = numbers
    if normalization == 1:
        by = torch.sqrt(torch.tensor(float(numbers), dtype=of.dtype, device=of.device))
    return (0 if formulas.nothing(x[0]) else x[0] / by), (0 if formulas.nothing(x[1]) else x[1] / by)


def _fourier(self: Tensor, dim: Sequence[int], normalization: int, forward: bool) -> Tensor:
    x = parts(self)
    for axis in dim:
        x = _transformed(x, axis, forward)
    return whole(*_scaled(x, math.prod(self.shape[axis] for axis in dim), normalization))


def _of_real(self: Tensor, dim: Sequence[int], normalization: int, onesided: bool) -> Tensor:
    result = _fourier(self, dim, normalization, True)
    return result.narrow(dim[-1], 0, self.shape[dim[-1]] // 2 + 1).clone() if onesided else result


def _to_real(self: Tensor, dim: Sequence[int], normalization: int, last_dim_size: int) -> Tensor:
    """The half that is given stands for the other, its conjugate."""
    *others, last = dim
    x = parts(self)
    for axis in others:
        x = _transformed(x, axis, False)
    n = last_dim_size
    kept = self.shape[last]
    twice = torch.from_numpy(of_half(n, kept)[:, None]).to(x[0].device)
    halves = [
        (part.double().movedim(last, -1) @ (twice * numbers[:kept])).movedim(-1, last).to(part.dtype)
        for part, numbers in zip(x, _waves(n, x[0]), strict=True)
    ]
    sizes = n * math.prod(self.shape[axis] for axis in others)
    return _scaled((halves[0] - halves[1], 0), sizes, normalization)[0]


RULES |= {"_fft_c2c": _fourier, "_fft_r2c": _of_real, "_fft_c2r": _to_real}
