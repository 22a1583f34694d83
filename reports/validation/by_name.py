"""`backproof verify module:function`: the function, or the network that it builds, in a process of its own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from ...adapters.protocol import printable
from ...reference.case import InvalidInput
from ..any_network import Told
from ..calling import There, in_its_own_process
from ..documents import Report
from .front_door import verify


def verify_by_name(target: str, options: dict[str, Any]) -> Report | Told:
    """Verify `package.module:function`, or `./file.py:function`, in a process of its own.

    The file's folder, then the current one, are searched first.

    A function without arguments builds a network (`reports/any_network/built.py`), and that is verified.
    Raises InvalidInput where there is no such function or an option makes no sense.
    """
    path = [*_folder_of(target), "", *(folder for folder in sys.path if folder)]
    numbers = options.pop("numbers", False)
    with in_its_own_process(target, path, options.get("timeout"), numbers) as function:
        if isinstance(function, There) and function.builds:
            return function.network(target, options.get("timeout"))
        if numbers:
            raise InvalidInput(
                f"{printable(target)}: --numbers is for a network: let a function without arguments return it with its "
                "inputs. The numbers of a function of weights and biases are what is judged without it."
            )
        return verify(function, **options)


def _folder_of(target: str) -> list[str]:
    """Where a file that is named finds its neighbours. Raises InvalidInput where a target is no name of a function."""
    module, _, function = target.rpartition(":")
    shown = printable(target)
    drive = re.fullmatch(r"[A-Za-z]:[\\/].*", module) is not None  # of Windows
    if not module or not function.strip() or (":" in module and not drive):
        name = printable(Path(target.removesuffix(":")).name) if target.removesuffix(":").endswith(".py") else ""
        if name:
            raise InvalidInput(f"{shown}: expected a function of the file as well, such as {name}:gradients.")
        raise InvalidInput(
            f"{shown}: expected package.module:function, such as mynet.backprop:gradients, or a file: "
            "./mynet.py:gradients."
        )
    file = Path(module)
    if module.endswith(".py"):
        if not file.is_file():
            raise InvalidInput(f"{shown}: there is no file {printable(module)}.")
        return [str(file.resolve().parent)]
    if "/" in module or "\\" in module:
        raise InvalidInput(f"{shown}: expected a file's name with .py, such as {printable(file.name)}.py:{function}.")
    return []
