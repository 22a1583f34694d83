"""Mistakes in backward code: a seeded random edit of its source, as a slip of the pen would make it.

`backward_trials.py` draws them and asks the rule check. What may be edited is read off the syntax tree; which names
have one shape is seen by running the right code once. Written without regard to what an explanation can name.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .right_code.drawn import Dice

Shapes = Mapping[str, tuple[int, ...]]
SEEN = "_seen"  # what the instrumented code hands its locals to
FACTORS = (2, 0.5, 1.01)
LIBRARIES = ("torch", "jnp")


@dataclass(frozen=True)
class Edit:
    """kind: of mistake;  line: its number in the file;  before, after: the statement"""

    kind: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.kind}, line {self.line}: {self.before}  →  {self.after}"


@dataclass(frozen=True)
class Change:
    """In the tree, `old` becomes `new`."""

    kind: str
    old: ast.AST
    new: ast.AST


@dataclass(frozen=True)
class Source:
    """A function's backward: its tree, with the file's own line numbers, and where its names come from."""

    tree: ast.FunctionDef
    file: str
    names: dict[str, Any]

    @property
    def saved(self) -> str:
        """Its first argument: `ctx`, or what was saved itself."""
        return self.tree.args.args[0].arg

    @property
    def gradients(self) -> list[str]:
        """Its arguments, after that."""
        return [a.arg for a in self.tree.args.args[1:]]

    @property
    def library(self) -> str:
        """The functions of arrays that it calls."""
        return "jnp" if "jnp" in self.names else "torch"

    @property
    def keeping(self) -> str:
        """What its reductions call the option that keeps the axis."""
        return "keepdims" if self.library == "jnp" else "keepdim"


def source_of(function: type) -> Source:
    """Read anew each time, as an edit changes the tree."""
    backward: Any = vars(function)["backward"].__func__
    lines, first = inspect.getsourcelines(backward)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    return Source(definition, inspect.getsourcefile(backward) or "", dict(backward.__globals__))


def compiled(function: type, source: Source, **more: Any) -> type:
    """The custom function with this backward in place of its own."""
    module = ast.fix_missing_locations(ast.Module([source.tree], []))
    names = source.names | more
    exec(compile(module, source.file, "exec"), names)  # noqa: S102 - our own source, edited
    return type(function.__name__, function.__bases__, {**vars(function), "backward": staticmethod(names["backward"])})


def instrumented(function: type, seen: Callable[[dict[str, Any]], None]) -> type:
    """The right function, which shows its locals before it returns."""
    source = source_of(function)
    call = ast.parse(f"{SEEN}(dict(locals()))").body
    source.tree.body[-1:-1] = call
    return compiled(function, source, **{SEEN: seen})


def edited(function: type, shapes: Shapes, thrown: Dice) -> tuple[type, Edit]:
    """The function with one random mistake in its backward: each kind that its source allows is as likely."""
    source = source_of(function)
    changes = list(_changes(source, shapes))
    kind = thrown.one_of(sorted({change.kind for change in changes}))
    change = thrown.one_of([c for c in changes if c.kind == kind])
    statement = next(s for s in source.tree.body if any(node is change.old for node in ast.walk(s)))
    before = ast.unparse(statement)
    ast.copy_location(change.new, change.old)
    _Replaced(change).visit(source.tree)
    after = next(ast.unparse(s) for s in source.tree.body if s.lineno == statement.lineno)
    return compiled(function, source), Edit(kind, statement.lineno, before, after)


class _Replaced(ast.NodeTransformer):
    def __init__(self, change: Change) -> None:
        self.change = change

    def visit(self, node: ast.AST) -> Any:
        return self.change.new if node is self.change.old else self.generic_visit(node)


# ------------------------------------------------------------------------------------ what may be edited


def _changes(source: Source, shapes: Shapes) -> Iterator[Change]:
    assigned: list[str] = list(source.gradients)
    for statement in source.tree.body:
        unpacked = _unpacked(statement, source.saved)
        if unpacked:
            yield from _other_saved(statement, unpacked)
        elif not isinstance(statement, ast.FunctionDef):
            for node in _arithmetic(statement):
                yield from _of_node(node, source, shapes, assigned)
            yield from _of_statement(statement, source)
        assigned += [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _unpacked(statement: ast.stmt, saved: str) -> ast.expr | None:
    """`ctx.saved_tensors` or the like, where the statement takes apart what was saved."""
    if not isinstance(statement, ast.Assign):
        return None
    owner = statement.value.value if isinstance(statement.value, ast.Attribute) else statement.value
    return statement.value if isinstance(owner, ast.Name) and owner.id == saved else None


def _other_saved(statement: ast.stmt, saved: ast.expr) -> Iterator[Change]:
    """One name is bound to another of the saved tensors."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if not isinstance(target, ast.Tuple) or (isinstance(saved, ast.Attribute) and saved.attr != "saved_tensors"):
        return
    count = len(target.elts)
    for k in range(count):
        for other in range(count):
            if other != k:
                order = [other if j == k else j for j in range(count)]
                yield Change("another saved tensor", saved, _expression(f"[{ast.unparse(saved)}[j] for j in {order}]"))


def _arithmetic(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of its expressions, but for indices and sizes."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        for name, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            skipped = name in ("slice", "targets") or (isinstance(node, ast.Call) and name in ("args", "keywords"))
            if skipped and not (isinstance(node, ast.Call) and _takes_tensors(node) and name == "args"):
                continue
            waiting += [child for child in children if isinstance(child, ast.AST)]


def _takes_tensors(node: ast.Call) -> bool:
    """torch.exp(x), jnp.exp(x) and the like, whose arguments are tensors; x.sum(0)'s are not."""
    called = node.func
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id in LIBRARIES


def _of_node(node: ast.AST, source: Source, shapes: Shapes, assigned: Sequence[str]) -> Iterator[Change]:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub(), right):
            plus = isinstance(node.op, ast.Add)
            yield Change("term dropped", node, left)
            yield Change("term dropped", node, right if plus else ast.UnaryOp(ast.USub(), right))
            yield Change("sign flipped", node, ast.BinOp(left, ast.Sub() if plus else ast.Add(), right))
        case ast.BinOp(left, ast.Mult() | ast.Div() | ast.Pow(), right):
            yield Change("factor dropped", node, left)
            if isinstance(node.op, ast.Mult):
                yield Change("factor dropped", node, right)
        case ast.BinOp(left, ast.MatMult(), right):
            yield _turned(node, 0)
            yield _turned(node, 1)
        case ast.UnaryOp(ast.USub(), operand):
            yield Change("sign flipped", node, operand)
        case ast.Constant(value) if isinstance(value, int | float) and not isinstance(value, bool):
            yield from (Change("constant scaled", node, ast.Constant(value * factor)) for factor in FACTORS)
        case ast.Name(name, ast.Load()) if name in shapes:
            alike = [n for n in dict.fromkeys(assigned) if n != name and shapes.get(n) == shapes[name]]
            yield from (Change("another of its shape", node, ast.Name(n, ast.Load())) for n in alike)
            if name in source.gradients:
                yield Change("ones for the gradient", node, _expression(f"{source.library}.ones_like({name})"))
        case ast.Call(ast.Attribute(value, ("sum" | "mean") as name)):
            yield from _of_reduction(node, value, name, source.keeping)
        case ast.Call(ast.Attribute(value, ("cumsum" | "flip") as name), [ast.Constant(0)]):
            yield Change("another axis", node, ast.Call(ast.Attribute(value, name, ast.Load()), [ast.Constant(1)], []))
            yield Change("reduction dropped" if name == "cumsum" else "order not reversed", node, value)


def _turned(product: ast.BinOp, side: int) -> Change:
    """One operand of a matrix product is transposed, or no longer."""
    operands = [product.left, product.right]
    operand = operands[side]
    if isinstance(operand, ast.Attribute) and operand.attr in ("T", "mT"):
        kind, operands[side] = "transpose dropped", operand.value
    else:
        kind, operands[side] = "transpose added", ast.Attribute(operand, "mT", ast.Load())
    return Change(kind, product, ast.BinOp(operands[0], ast.MatMult(), operands[1]))


def _of_reduction(node: ast.Call, value: ast.expr, name: str, keeping: str) -> Iterator[Change]:
    def call(attribute: str, axes: Any, keep: bool) -> ast.expr:
        arguments: list[ast.expr] = [] if axes is None else [ast.Constant(axes)]
        keywords = [ast.keyword(keeping, ast.Constant(True))] if keep else []
        return ast.Call(ast.Attribute(value, attribute, ast.Load()), arguments, keywords)

    axes = ast.literal_eval(node.args[0]) if node.args else None
    keep = bool(node.keywords)
    yield Change("reduction dropped", node, value)
    instead = "mean" if name == "sum" else "sum"
    yield Change(f"{instead} for {name}", node, call(instead, axes, keep))
    yield Change("keepdim changed", node, call(name, axes, not keep) if axes is not None else value)
    if isinstance(axes, tuple):
        for k in range(len(axes)):
            yield Change("another axis", node, call(name, axes[:k] + axes[k + 1 :], keep))
    elif axes is not None:
        for other in (0, 1, -1):
            if other != axes:
                yield Change("another axis", node, call(name, other, keep))
        if keep:
            yield Change("one axis too many", node, ast.Call(ast.Attribute(value, name, ast.Load()), [], []))
        else:
            yield Change("one axis too many", node, call(name, (0, 1), keep))


def _of_statement(statement: ast.stmt, source: Source) -> Iterator[Change]:
    value = getattr(statement, "value", None)
    if not isinstance(value, ast.expr):
        return
    returned = isinstance(statement, ast.Return)
    results = value.elts if returned and isinstance(value, ast.Tuple) else [value]
    given = [k for k, x in enumerate(results) if not isinstance(x, ast.Constant)]
    for k in given:
        x = results[k]
        yield Change("sign flipped", x, ast.UnaryOp(ast.USub(), x))
        for factor in FACTORS:
            yield Change("constant scaled", x, ast.BinOp(ast.Constant(factor), ast.Mult(), x))
        if returned:
            yield Change("nothing returned", x, ast.Constant(None))
            yield Change("zeros returned", x, ast.Call(_expression(f"{source.library}.zeros_like"), [x], []))
    for k in given:
        for other in given:
            if k < other:
                order = list(results)
                order[k], order[other] = order[other], order[k]
                yield Change("returned in another order", value, ast.Tuple(order, ast.Load()))


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
