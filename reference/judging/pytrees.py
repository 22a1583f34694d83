"""Structures of arrays (pytrees): lists, tuples and dicts, in one another, of arrays of any framework; None is skipped.

No framework is imported here: PyTorch's tensors are known by their methods, JAX is imported for its own arrays only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..case import InvalidInput, one_of
from ..numbers import FLOAT64, PRECISIONS, Precision

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Structure:
    """What a function takes. tree: as it was given; names, leaves: its arrays, None left out; shapes: theirs."""

    tree: Any
    names: tuple[str, ...]
    leaves: tuple[Any, ...]
    shapes: tuple[tuple[int, ...], ...]

    def numbers(self) -> list[Array]:
        """All its numbers, an array for each leaf."""
        return [read(name, leaf)[0] for name, leaf in zip(self.names, self.leaves, strict=True)]

    def filled(self, numbers: Iterable[Array]) -> Any:
        """The same structure of new arrays of the same kinds, with other numbers, rounded to each one's format."""
        return _rebuilt(self.tree, map(_like, self.leaves, numbers))

    def matched(self, answer: Any, what: str) -> Iterator[tuple[int, str, Any]]:
        """The leaves of an answer that has this structure: number, name in the answer, leaf.

        Lists and tuples are alike here, and an array stands for a list of its rows.
        Raises InvalidInput where the answer has another structure.
        """
        found = _beside(self.tree, answer, what)
        return ((k, name, leaf) for k, (name, leaf) in enumerate(found))


def structure(tree: Any, root: str) -> Structure:
    """The structure of `tree`, whose name in messages is `root`.

    Raises InvalidInput unless its leaves are floating-point numbers, finite, and at least one.
    """
    found = list(_leaves(tree, root, root))
    shapes = []
    for name, leaf in found:
        numbers, _ = read(name, leaf)
        if not np.isfinite(numbers).all():
            raise InvalidInput(f"{name}: expected finite numbers, got {_first_not_finite(numbers)}.")
        shapes.append(numbers.shape)
    if not sum(math.prod(shape) for shape in shapes):
        raise InvalidInput(f"{root}: expected an array, or a list, tuple or dict of arrays; there is no number in it.")
    return Structure(tree, tuple(name for name, _ in found), tuple(leaf for _, leaf in found), tuple(shapes))


def read(name: str, leaf: Any) -> tuple[Array, Precision]:
    """A leaf's numbers as float64, always a copy, and the format that they came in; whole numbers are exact: float64.

    Raises InvalidInput for what is not real numbers of a known format.
    """
    if isinstance(leaf, bool) or not (isinstance(leaf, (int, float)) or hasattr(leaf, "dtype")):
        raise InvalidInput(f"{name}: expected an array of floating-point numbers, got {_described(leaf)}.")
    dtype = _dtype(leaf)
    whole = dtype.startswith(("int", "uint"))
    if not whole and dtype not in {*PRECISIONS, "longdouble", "float128"}:
        raise InvalidInput(f"{name}: expected numbers in one of {', '.join(PRECISIONS)}; got {dtype}.")
    if hasattr(leaf, "detach"):
        leaf = leaf.detach()
        leaf = (leaf.to_dense() if leaf.is_sparse else leaf).cpu().double().numpy()
    return np.array(leaf, np.float64), PRECISIONS.get(dtype, FLOAT64)


def _dtype(leaf: Any) -> str:
    """The name of its numbers' format; Python's numbers have float64's."""
    return _format_name(leaf.dtype) if hasattr(leaf, "dtype") else "float64"


@cache
def _format_name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


def _leaves(tree: Any, name: str, root: str) -> Iterator[tuple[str, Any]]:
    if tree is None:
        return
    if isinstance(tree, Mapping):
        for key, part in tree.items():
            yield from _leaves(part, str(key) if name == root else f"{name}.{key}", root)
    elif isinstance(tree, (list, tuple)):
        for k, part in enumerate(tree):
            yield from _leaves(part, f"{name}[{k}]", root)
    elif hasattr(tree, "named_parameters"):
        raise InvalidInput(
            f"{name}: expected arrays, got a module. Give its parameters, dict(module.named_parameters()), to a "
            "function that calls torch.func.functional_call."
        )
    else:
        if _dtype(tree).startswith(("int", "uint")):
            raise InvalidInput(
                f"{name}: expected floating-point numbers, which can be moved a little; got {tree.dtype}. "
                "Give a float array, or keep it out of the structure."
            )
        yield name, tree


def _beside(tree: Any, answer: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The answer's leaves, found by walking along the tree."""
    if tree is None:
        return
    if isinstance(tree, Mapping):
        if not isinstance(answer, Mapping) or set(answer) != set(tree):
            raise InvalidInput(f"{name}: expected a dict with {_keys(tree)}, as was given; got {_described(answer)}.")
        for key, part in tree.items():
            yield from _beside(part, answer[key], f"{name}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        rows = isinstance(answer, (list, tuple)) or len(getattr(answer, "shape", ())) > 0
        if not rows or len(answer) != len(tree):
            raise InvalidInput(
                f"{name}: expected a list or tuple of {len(tree)}, as was given; got {_described(answer)}."
            )
        for k, part in enumerate(tree):
            yield from _beside(part, answer[k], f"{name}[{k}]")
    elif answer is None:
        raise InvalidInput(
            f"{name}: expected an array, got None. PyTorch answers None for what the loss does not depend on (a "
            "detach()?); if that is meant, return zeros."
        )
    else:
        yield name, answer


def _rebuilt(tree: Any, leaves: Iterator[Any]) -> Any:
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        parts = {key: _rebuilt(part, leaves) for key, part in tree.items()}
        if not isinstance(tree, dict):
            make: Callable[[dict[Any, Any]], Any] = type(tree)  # mappings that are pytrees take a dict
            return make(parts)
        new = copy(tree)  # a defaultdict, an OrderedDict …
        new.update(parts)
        return new
    if isinstance(tree, (list, tuple)):
        rows = [_rebuilt(part, leaves) for part in tree]
        return type(tree)(*rows) if hasattr(tree, "_fields") else type(tree)(rows)
    return next(leaves)


def _like(leaf: Any, numbers: Array) -> Any:
    """A new leaf of the same kind, format, device and wish for a gradient."""
    if hasattr(leaf, "new_tensor"):
        return leaf.detach().new_tensor(numbers).requires_grad_(leaf.requires_grad)
    if not hasattr(leaf, "dtype"):
        return float(numbers)
    with np.errstate(over="ignore"):  # infinite in the narrower format: the answer will not be finite either
        rounded = numbers.astype(leaf.dtype)
    if isinstance(leaf, np.generic):
        return rounded[()]
    if isinstance(leaf, np.ndarray):
        return rounded
    import jax

    return jax.device_put(rounded, leaf.sharding)


# ------------------------------------------------------------------------------------------------ blocks

MOST_BLOCKS = 10  # each costs a loop of its own, and pairs of them where something is wrong


@dataclass(frozen=True)
class Block:
    """Some leaves of a structure, by their numbers, under one name."""

    name: str
    leaves: tuple[int, ...]


def blocks_of(names: Sequence[str], chosen: Any) -> tuple[Block, ...]:
    """The blocks that are looked at one by one: chosen, or each leaf; of many leaves, each layer, or neighbours.

    names: of the leaves
    chosen: None; a list of blocks, each a name or a list of names; or a dict of them, by the block's name. A name may
        be a leaf's or the beginning of several: "hidden" stands for hidden.weight and hidden.bias
    Raises InvalidInput for names that are not there or are given twice.
    """
    if chosen is None:
        return _usual_blocks(names)
    if isinstance(chosen, str) or not isinstance(chosen, (Mapping, list, tuple)):
        raise InvalidInput(
            f"blocks: expected a list of names, a list of lists of names, or a dict of them; got {_described(chosen)}."
        )
    groups = chosen.items() if isinstance(chosen, Mapping) else ((None, group) for group in chosen)
    found, taken = [], set()
    for title, group in groups:
        members = [group] if isinstance(group, str) else list(group)
        leaves = [k for member in members for k in _named(names, member)]
        twice = [names[k] for k in leaves if k in taken or leaves.count(k) > 1]
        if twice:
            raise InvalidInput(f"blocks: expected each array in one block; {twice[0]} is in two.")
        taken.update(leaves)
        if leaves:
            found.append(Block(str(title) if title is not None else " and ".join(members), tuple(leaves)))
    if not found:
        raise InvalidInput("blocks: expected at least one block, or None for the usual ones; got none.")
    return tuple(found)


def _named(names: Sequence[str], member: Any) -> list[int]:
    found = [k for k, name in enumerate(names) if name == member or name.startswith((f"{member}.", f"{member}["))]
    if not found:
        one_of("blocks", member, names)
    return found


def _usual_blocks(names: Sequence[str]) -> tuple[Block, ...]:
    layers = [name[: max(name.rfind("."), name.rfind("["), 0)] or name for name in names]
    for titles in (list(names), layers):
        known = list(dict.fromkeys(titles))
        if len(known) <= MOST_BLOCKS and (len(known) > 1 or len(names) == 1):
            return tuple(Block(t, tuple(k for k, title in enumerate(titles) if title == t)) for t in known)
    parts = np.array_split(np.arange(len(names)), MOST_BLOCKS)
    return tuple(Block(f"{names[p[0]]} … {names[p[-1]]}", tuple(map(int, p))) for p in parts)


# ------------------------------------------------------------------------------------------------ words

_SHOWN = 6  # keys of a dict in a message


def shape_words(shape: tuple[int, ...]) -> str:
    """A shape for people: 3 × 2."""
    return " × ".join(map(str, shape)) if shape else "a single number"


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dict with {_keys(value)}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    if hasattr(value, "shape"):
        return f"an array ({shape_words(tuple(value.shape))})"
    return "None" if value is None else f"{type(value).__name__}"


def _keys(mapping: Mapping[Any, Any]) -> str:
    keys = [repr(key) for key in mapping]
    return ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "") if keys else "no keys"


def _first_not_finite(numbers: Array) -> float:
    return float(numbers[~np.isfinite(numbers)].flat[0])


Filled = Callable[[Iterable[Array]], Any]
