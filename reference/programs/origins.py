"""Where an operation of a program comes from, in the words of its user's own line."""

from __future__ import annotations

import ast
import linecache
import re
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from pathlib import PurePath


@dataclass(frozen=True)
class Origin:
    """Where an operation stands in what was captured. name: the framework's;  file, line: the user's;  call: its
    number among the calls seen, so that the operations of one call belong together;  within: the custom function;
    forward: on the way back, the number of the call that it goes back through."""

    name: str = ""
    file: str = ""
    line: int = 0
    call: int = -1
    within: str = ""
    forward: int = -1

    def __str__(self) -> str:
        """Such as `variance (mean, norm.py:8)`, where the line assigns to one name; else `mean (norm.py:8)`.

        Where the operation is no more than a part of what is assigned, that is said: `a * x in y (mul, f.py:5)`.
        """
        if not self.file:
            return self.name
        place = f"{PurePath(self.file).name}:{self.line}"
        called = _called(linecache.getline(self.file, self.line), self.name)
        return f"{called} ({self.name}, {place})" if called else f"{self.name} ({place})"


NOWHERE = Origin()
# What only hands operations on to a framework: of interest is the line that calls it.
WRAPPERS = ("/keras/src/ops/", "/keras/src/backend/", "/einops/")


def of_a_wrapper(file: str) -> bool:
    """Whether a file only hands operations on to a framework, as Keras's `ops` do to PyTorch and JAX."""
    return any(wrapper in PurePath(file).as_posix() for wrapper in WRAPPERS)


@lru_cache(maxsize=1024)
def _called(line: str, name: str) -> str:
    """What a line calls the result of an operation: the name that it is assigned to, or the part that is surely this
    operation, in that name; empty if nothing can be said."""
    assigned = re.match(r"\s*(\w+)\s*(?::[^=]+)?=[^=]", line)
    if assigned is None or iskeyword(assigned[1]):
        return ""
    try:
        statement, *others = ast.parse(line.strip()).body
    except SyntaxError:  # a statement of several lines
        return assigned[1]
    if any(_holds(other, name) for other in others):
        return ""
    whole = getattr(statement, "value", None)
    parts = [] if whole is None else [part for part in ast.walk(whole) if _is(part, name)]
    written = [ast.unparse(part) for part in parts]
    if not parts or parts == [whole]:
        return assigned[1]
    surely = len(set(written)) == 1 and len(written[0]) <= LONGEST_PART
    return f"{written[0]} in {assigned[1]}" if surely else f"part of {assigned[1]}"


LONGEST_PART = 40  # characters
# Python's operators, by what PyTorch and JAX call them.
_OPERATORS: dict[str, tuple[type[ast.AST], ...]] = {
    "add": (ast.Add,), "sub": (ast.Sub,), "rsub": (ast.Sub,), "mul": (ast.Mult,), "div": (ast.Div,),
    "pow": (ast.Pow,), "integer_pow": (ast.Pow,), "neg": (ast.USub,), "mm": (ast.MatMult,), "bmm": (ast.MatMult,),
    "mv": (ast.MatMult,), "dot": (ast.MatMult,), "matmul": (ast.MatMult,), "dot_general": (ast.MatMult,),
}  # fmt: skip


def _holds(statement: ast.AST, name: str) -> bool:
    return any(_is(part, name) for part in ast.walk(statement))


def _is(part: ast.AST, name: str) -> bool:
    """Whether a part of an expression is this operation: an operator, or a call of a function of its name."""
    if isinstance(part, ast.BinOp | ast.UnaryOp):
        return isinstance(part.op, _OPERATORS.get(name, ()))
    function = part.func if isinstance(part, ast.Call) else None
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return bool(called) and called.strip("_") == name.strip("_")
