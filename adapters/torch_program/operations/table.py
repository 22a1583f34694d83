"""The table of PyTorch's operations in ours: what `capture.py` looks up for each call, and how entries are written.

`OPERATIONS`: name, or name.overload, → entry(call, **arguments) that returns a value, or one for each result and then
one for each tensor that is changed on the side. Tensors of real numbers come as values, indices and masks as they are.
`MOVEMENTS` move elements and compute nothing: the call itself is made on their numbers. `CONSTANTS`: results through
which no gradient goes; the run's own numbers are taken. The entries stand by family in the files beside this one,
and `__init__.py` imports them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Entry = Callable[..., Any]
OPERATIONS: dict[str, Entry] = {}


def entry(*names: str) -> Callable[[Entry], Entry]:
    """The operation of these names."""

    def register(function: Entry) -> Entry:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


def each(names: Iterable[str], written: Callable[[str], Entry]) -> None:
    """One entry for each name, written by the same function of the name."""
    OPERATIONS.update({name: written(name) for name in names})


MOVEMENTS: set[str] = {
    "cat", "stack", "index", "gather", "index_select", "roll", "flip", "tril", "triu", "diag_embed", "unfold", "repeat",
    "clone", "copy", "_to_copy", "select_scatter", "slice_scatter", "diagonal_scatter", "_unsafe_view",
    "_reshape_alias", "_reshape_copy", "view_copy", "select_backward", "slice_backward", "diagonal_backward", "im2col",
    "masked_select", "masked_scatter", "masked_scatter_backward", "take", "index_copy", "rot90",
    "block_diag", "max_unpool2d", "max_unpool3d", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "unfold_copy",
    "alias_copy", "expand_copy", "permute_copy", "squeeze_copy", "unsqueeze_copy", "t_copy", "transpose_copy",
    "diagonal_copy", "narrow_copy", "select_copy", "slice_copy", "detach_copy", "unbind_copy", "split_copy",
    "split_with_sizes_copy", "lift_fresh_copy", "_conj_physical", "resolve_conj", "resolve_neg", "lift",
    "unsafe_split", "unsafe_split_with_sizes", "contiguous", "diag", "_to_dense", "moveaxis", "_pin_memory",
}  # fmt: skip
CONSTANTS: set[str] = {
    "sign", "sgn", "floor", "ceil", "round", "trunc", "bernoulli", "rand_like", "randn_like", "randint_like",
    "empty_like", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full",
    "new_empty_strided", "heaviside", "zero", "uniform", "normal", "random", "exponential", "geometric", "log_normal",
    "cauchy", "poisson", "binomial", "multinomial", "floor_divide", "angle", "_standard_gamma", "resize", "fill.Scalar",
    "scalar_tensor", "_efficientzerotensor", "_new_zeros_with_same_feature_meta",
    "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal", "signbit",
    "logical_and", "logical_or", "logical_not", "logical_xor", "any", "all", "equal", "argmax", "argmin", "argsort",
    "nonzero", "nonzero_static", "count_nonzero", "searchsorted", "bucketize", "is_nonzero", "is_same_size", "isin",
    "histc", "bincount", "_unique", "_unique2", "unique_dim", "unique_consecutive", "_is_all_true", "_is_any_true",
    "triu_indices", "tril_indices", "allclose", "isclose", "is_same", "_has_same_storage_numel",
}  # fmt: skip
