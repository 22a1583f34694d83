"""Answers whose parts have names: a dict of gradients, nested ones (Flax's), a list of dicts, one for each layer.

Names say what is whose: `dW1`, `b2`, `0.weight`, `params.Dense_0.kernel`. Where they do not say it of every array, the
answer is none: an order that was guessed could make right numbers wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

WEIGHTS, BIASES = ("w", "weight", "weights", "kernel", "kernels"), ("b", "bias", "biases")
NAME = re.compile(r"(?:grads?|gradients?|nabla|delta|dldx?|dedx?|d)?[ _]*([a-z]+?)[ _]*\d*")


def by_name(answer: Any) -> tuple[list[Any], list[Any]] | None:
    """Weights and biases of each layer; None where names do not tell."""
    found: dict[str, dict[int, Any]] = {"weights": {}, "biases": {}}
    lists: dict[str, Any] = {}
    for path, part in _named(answer, ()):
        kind = _kind(str(path[-1]).rpartition(".")[2])
        number = next(iter(re.findall(r"\d+", ".".join(map(str, path)))[::-1]), None)
        if kind is None:
            return None
        if number is None and isinstance(part, list | tuple) and kind not in lists:
            lists[kind] = list(part)
        elif number is not None and int(number) not in found[kind]:
            found[kind][int(number)] = part
        else:
            return None
    if lists and not any(found.values()):
        return (lists["weights"], lists.get("biases", [None] * len(lists["weights"]))) if "weights" in lists else None
    layers = sorted(found["weights"])
    if lists or not layers or not set(found["biases"]) <= set(layers):
        return None
    return [found["weights"][k] for k in layers], [found["biases"].get(k) for k in layers]


def has_names(answer: Any) -> bool:
    """Whether it is a dict, or a list of them."""
    several = isinstance(answer, list | tuple) and len(answer) > 0 and all(isinstance(x, Mapping) for x in answer)
    return isinstance(answer, Mapping) or several


def names_in(answer: Any) -> list[str]:
    """The names of its arrays, for a message."""
    return [".".join(map(str, path)) for path, _ in _named(answer, ())]


def _named(tree: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(tree, Mapping):
        for key, part in tree.items():
            yield from _named(part, (*path, key))
    elif has_names(tree):
        for k, part in enumerate(tree):
            yield from _named(part, (*path, k))
    else:
        yield path or ("",), tree


def _kind(name: str) -> str | None:
    word = NAME.fullmatch(name.lower())
    if word is None:
        return None
    return "weights" if word[1] in WEIGHTS else "biases" if word[1] in BIASES else None
