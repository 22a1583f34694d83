"""What is known of each wrong gradient, and numbers to look at it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FORMATS = ("float64", "float32", "bfloat16")


@dataclass(frozen=True)
class Bug:
    """A wrong gradient that somebody has reported.

    framework: that it is restated in, torch or jax;  source: the public thread;  reported: of which software, and when
    kind: of mistake, in two or three words;  formats: in which it shows
    order: 2 if only the gradient's gradient is wrong
    operation, mistake: words; a right explanation has one of each. They are what the restated code and the usual terms
        call it by, and were written down before any check had seen the code
    verdict: the right one
    """

    framework: str
    source: str
    reported: str
    kind: str
    operation: tuple[str, ...]
    mistake: tuple[str, ...]
    formats: tuple[str, ...] = FORMATS
    order: int = 1
    verdict: str = "wrong"


@dataclass(frozen=True)
class Entry:
    """One file of the corpus: `wrong` and its right twin, and what both are called with."""

    name: str
    bug: Bug
    wrong: Callable[..., Any]
    right: Callable[..., Any]
    inputs: Callable[[], tuple[Array, ...]]
    module: ModuleType


def names() -> list[str]:
    """Of all files, whether their framework is installed or not."""
    folder = Path(__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if path.stem.partition("_")[0] in {"torch", "jax"})


def entry(name: str) -> Entry:
    """One of them. Raises ImportError where its framework is not installed."""
    module = import_module(f".{name}", __package__)
    return Entry(name, module.BUG, module.wrong, module.right, module.inputs, module)


def entries(only: str = "") -> Iterator[Entry]:
    """Those whose names contain `only`, and whose frameworks are installed."""
    for name in names():
        if only in name and find_spec(name.partition("_")[0]) is not None:
            yield entry(name)


def drawn(*shape: int, seed: int = 0) -> Array:
    """Real numbers around zero, the same ones everywhere. Real numbers are differentiated."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def whole(*numbers: Any) -> Array:
    """Whole numbers or truth values, which are not differentiated."""
    return np.asarray(numbers)
