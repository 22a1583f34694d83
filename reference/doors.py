"""The door of a wing: what other wings may use of it, each name loaded when it is first used (PEP 562).

A wing's `__init__.py` says once, under `if TYPE_CHECKING:`, what it opens; type checkers read the same lines.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def door(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package: names come from where its `if TYPE_CHECKING:` block imports them from."""
    wing = sys.modules[package]
    tree = ast.parse(Path(str(wing.__file__)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    homes = {name.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}

    def opened(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f".{homes[name]}", package), name)
        setattr(wing, name, value)
        return value

    return opened
