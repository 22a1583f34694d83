"""What `backproof verify model.py:build` names: a function without arguments that says what to verify.

    def build():
        return module, inputs          # or a dict: function, inputs and, if wanted, loss, keywords, stopped, surrogate,
                                       # reference, numbers

It is called, and verified, where the command line keeps what is the user's: in the child process.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ...reference.case import InvalidInput
from ..documents import Shown
from .graph import Result, worst_first
from .networks import verify_network
from .picture import picture

TAKEN = ("function", "inputs", "loss", "keywords", "stopped", "surrogate", "reference", "numbers")


@dataclass(frozen=True)
class Told(Shown):
    """A report as plain data, to cross from one process to another. text: all of it;  graph: of a run's numbers."""

    rows_are: ClassVar[str] = "result"
    verdict: str
    name: str
    text: str = ""
    graph: tuple[Result, ...] = ()

    @property
    def ok(self) -> bool:
        return self.verdict == "agrees"

    def picture(self) -> str:
        """The graph, drawn."""
        return picture(self.graph)

    def rows(self) -> tuple[tuple[str, str], ...]:
        """The results of the run in words."""
        return worst_first(self.graph)

    def to_json(self) -> str:
        """The report as a JSON object."""
        return json.dumps(
            {"verdict": self.verdict, "ok": self.ok, "function": self.name, "report": self.text}, indent=1
        )


def builds_a_network(function: Callable[..., Any]) -> bool:
    """Whether it can be called without arguments, which a function of a dense net's weights cannot."""
    if isinstance(function, type):
        return False  # of a dense net: it is made with its sizes
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    several = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}  # `f(*given)` is a dense net's
    return all(p.default is not p.empty and p.kind not in several for p in parameters)


def verify_built(build: Callable[..., Any], numbers: bool = False) -> Told:
    """Calls `build` and verifies what it returns. Raises InvalidInput for anything but what is described above.

    numbers: judge the numbers of a run as well, whatever `build` says
    """
    built = build()
    name = getattr(build, "__name__", type(build).__name__)
    if isinstance(built, tuple) and len(built) == 2:
        built = {"function": built[0], "inputs": built[1]}
    if not isinstance(built, dict) or not {"function", "inputs"} <= built.keys() <= {*TAKEN}:
        got = f"a dict with {', '.join(map(repr, built))}" if isinstance(built, dict) else type(built).__name__
        raise InvalidInput(
            f"{name}(): expected it to return (module or function, inputs), or a dict of them by name "
            f"({', '.join(TAKEN)}), got {got}."
        )
    options = {**built, "numbers": True} if numbers else dict(built)
    report = verify_network(options.pop("function"), options.pop("inputs"), **options)
    return Told(report.verdict, report.name, report.text, getattr(report, "graph", ()))
