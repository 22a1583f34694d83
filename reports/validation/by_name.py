"""`backproof verify module:function`: the function, or the network that it builds, in a process of its own."""

from __future__ import annotations

import sys
from typing import Any

from ...adapters.protocol import printable
from ...reference.case import InvalidInput
from ..any_network import Told
from ..calling import There, in_its_own_process
from ..documents import Report
from .front_door import verify


def verify_by_name(target: str, options: dict[str, Any]) -> Report | Told:
    """Verify `package.module:function` in a process of its own; the current folder is searched first.

    A function without arguments builds a network (`reports/any_network/built.py`), and that is verified.
    Raises InvalidInput where there is no such function or an option makes no sense.
    """
    if target.count(":") != 1 or not all(target.split(":")):
        raise InvalidInput(f"{printable(target)}: expected package.module:function, such as mynet.backprop:gradients.")
    path = ["", *(folder for folder in sys.path if folder)]
    with in_its_own_process(target, path, options.get("timeout")) as function:
        if isinstance(function, There) and function.builds:
            return function.network(target, options.get("timeout"))
        return verify(function, **options)
