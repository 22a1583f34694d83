"""The dispatch mode that writes down PyTorch's calls; `capture.py` uses it, and tells what it is for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...reference.programs import (
    NOWHERE,
    STOP,
    WHAT_TO_DO,
    NoGraph,
    Origin,
    Unsupported,
    Value,
    lines_needed,
    of_a_wrapper,
    stopped,
)
from . import complex_numbers, fused
from .call import Call, array, differentiable, functional, itself, real, unwrapped
from .memory import NOT_COVERED, Memory, in_memory, leaves
from .operations import CONSTANTS, MOVEMENTS, OPERATIONS

Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch
# The same elements at the same places, under another shape or name.
SAME_MEMORY = {
    "detach", "alias", "detach_", "squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_", "as_strided_",
    "resolve_conj", "resolve_neg", "lift_fresh", "contiguous",
}  # fmt: skip
OF_COMPLEX = f"of complex numbers is not covered: {WHAT_TO_DO}"
TORCHS_OWN = {"aten", "prims", "torch_nn"}  # namespaces of operations that PyTorch documents
_HERE = Path(__file__).parents[2]
_ROOMS = (Path(torch.__file__).parent, *(_HERE / room for room in ("adapters", "reference", "reports")))
_OWN = tuple(f"{room}{os.sep}" for room in _ROOMS)  # torchvision is not PyTorch's own


@dataclass(frozen=True)
class Within:
    """The forward of a custom function. given: the memory of its inputs"""

    name: str
    given: frozenset[int]


class Recorder(Memory, TorchDispatchMode):
    """Writes down the calls.

    decides_by_numbers: the run's own numbers are what is asked about, not the rule at this point, so that complex
        numbers, of which the rule sees the parts, are not followed
    """

    decides_by_numbers = False

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        Memory.__init__(self)
        self.notes: list[str] = []
        self.decisions: set[int] = set()  # storages of truth values and whole numbers that depend on an input
        self.left: list[Origin] = []  # where numbers left the graph
        self.stops: list[Origin] = []  # where a gradient is stopped, outside of custom functions
        self.conventions: list[str] = []  # gradients that PyTorch declares to be others
        self.choices: list[bytes] = []  # digests of what was chosen by numbers: masks, and indices
        self.calls = 0
        self.within: list[Within] = []  # custom functions' forwards that are running
        self.made_of = ""  # the call of complex numbers whose parts are computed
        self.origins: dict[int, Origin] = {}  # of the forward call, by the number that its backward bears
        self.differentiated = True  # what runs: the backward, once it does, is not

    def leaving(self, name: str) -> None:
        """A followed tensor's numbers are taken out of the graph."""
        if not self.off:
            self.left.append(Origin(name, *users_line()))

    def stopping(self, name: str, source: Tensor, result: Tensor, cuts: bool) -> None:
        """A followed tensor's gradient is stopped: by intention, unless a custom function does it.

        Its forward cuts what it was given off from the rest, which is no stop. One that differentiates by itself has a
        graph of its own inside, and means it to be cut.
        """
        if self.off or torch._C._current_autograd_node() is not None:
            return
        there = unwrapped(source)
        given = self.within[-1].given if self.within else frozenset()
        if self.within and not (cuts and (there is not source or there.untyped_storage()._cdata not in given)):
            return
        self.program.origin = Origin(name, *users_line(), self.calls)
        self.stops.append(self.program.origin)
        self.owns(unwrapped(result), stopped(self.read(there)))

    def handed_out(self, result: Tensor) -> None:
        """What a custom function returns has a gradient, its own: what it cut off of a graph inside is no stop."""
        if not self.off and self.known(result) and (value := self._own_value(result)) is not None:
            node = self.program.nodes[value.index]
            if node.operation is STOP and node.origin in self.stops:
                self.stops.remove(node.origin)
                self.own.pop(id(result))

    def ungraphed(self, name: str, gradient: Tensor) -> None:
        """A gradient that a forward takes itself has no graph, unless it asks for one: create_graph=True."""
        if not self.off and self.differentiated and self._users_own() and self.known(gradient):
            self.program.origin = Origin(name, *users_line(), self.calls)
            self.stops.append(self.program.origin)
            self.write(gradient, stopped(self.read(gradient)))

    def _viewed(self, source: Tensor, result: Any) -> None:
        """A view of a tensor with a value of its own has the part of it; one taken under no_grad is stopped."""
        value = self._own_value(source)
        halted = not torch.is_grad_enabled() and self._users_own() and differentiable(source)
        if halted and value is None:
            self.stops.append(self.program.origin)
            value = stopped(self.read(source))
        if value is None:
            return
        self.owns_in(result, source, value)

    def _users_own(self) -> bool:
        """Neither inside of a custom function nor on the way back."""
        return not self.within and torch._C._current_autograd_node() is None

    # ---------------------------------------------------------------- calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.off:
            return itself(func, args, kwargs)
        tensors = [x for x in leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        followed = any(self.known(x) for x in tensors)
        result = self._done(func, args, kwargs, tensors, followed)
        if followed or any(self._decided(x) for x in tensors):
            self._decides(result)
        return result

    def _done(self, func: Any, args: Any, kwargs: Any, tensors: list[Tensor], followed: bool) -> Any:
        """The call, made and written down."""
        rule = self._rule(func)
        # What is computed of constants is written down too: rounded on the one side only, it would look like a mistake.
        unknown = rule is None and not func._schema.name.startswith(("aten::_foreach_", "aten::_fused_"))
        of_complex = not self.decides_by_numbers and complex_numbers.of_complex(func, (args, kwargs))
        if kwargs.get("device") == torch.device("meta") or any(x.is_meta for x in tensors):
            return itself(func, args, kwargs)  # a decomposition asks for a format or a shape, there are no numbers
        if not followed and (unknown or of_complex or _is_view(func) or not any(real(x) for x in tensors)):
            return self._kept(self.passed_by(func, itself(func, args, kwargs), rule is None))
        name = func._schema.name.removeprefix("aten::")
        self.calls += 1
        self.program.origin = self._origin(name)
        if name == "_local_scalar_dense":
            return self._read_out(func, args)
        if (_is_view(func) or name in SAME_MEMORY) and func._can_decompose():  # a call that copies if it has to
            with self:
                return func.decompose(*args, **kwargs)
        if _is_view(func) or name in SAME_MEMORY:
            result = self._kept(itself(func, args, kwargs))
            if not _plain((args, result), self.decides_by_numbers):  # in the same memory, which stays what it is
                return self._not_written(func, result, followed, [])
            if followed and self.known(args[0]):
                self._viewed(args[0], result)
            return result
        if of_complex:
            return self._by_parts(func, args, kwargs)
        if rule is None:
            return self._decomposed(func, args, kwargs)
        return self._written_down(func, rule, _by_name(func, args, kwargs), args, kwargs, followed)

    def _decided(self, tensor: Tensor) -> bool:
        return tensor.layout is torch.strided and tensor.untyped_storage()._cdata in self.decisions

    def _decides(self, result: Any) -> None:
        """Follows truth values and whole numbers made of an input; where Python reads one, it may take a branch."""
        for x in leaves(result):
            if isinstance(x, torch.Tensor) and not real(x) and x.layout is torch.strided:
                self.decisions.add(x.untyped_storage()._cdata)

    def decided(self, tensor: Tensor, number: Any) -> None:
        """The user's Python reads this number out of a tensor that depends on an input."""
        if not self.off and (self._decided(tensor) or self.known(tensor)):
            file, line = users_line()
            self.notes.append(f"Python decides by {number!r} ({Path(file).name}:{line}): what it did then is looked at")

    def _rule(self, func: Any) -> Callable[[Call, dict[str, Any]], Any] | None:
        """What the entry for this call, or the table's other columns, make of it; None where it is not known."""
        function = functional(func)
        name = function._schema.name.removeprefix("aten::")
        names = (f"{name}.{function._overloadname}", name)
        for known in names:
            if (entry := OPERATIONS.get(known)) is not None:
                return partial(_entered, entry)
        if any(known in MOVEMENTS for known in names):
            return Call.moved
        if any(known in CONSTANTS for known in names):
            return lambda call, operands: tuple(call.recorded(x) if real(x) else None for x in call.outputs)
        return None

    def _written_down(
        self, func: Any, rule: Any, arguments: dict[str, Any], args: Any, kwargs: Any, followed: bool
    ) -> Any:
        schema = func._schema.arguments
        written = [a.name for a in schema if a.alias_info is not None and a.alias_info.is_write]
        refused: Unsupported | None = None
        try:
            operands = {
                a.name: self._operand(arguments[a.name]) for a in schema if not a.is_out and a.name in arguments
            }
        except Unsupported as reason:
            refused = reason
        before = {n: self._copied(x) if n in written else x for n, x in arguments.items()}
        result = self._kept(itself(func, args, kwargs))
        of_parts = self.decides_by_numbers and not _plain((args, kwargs), real_alone=True)
        if refused is not None or of_parts or (followed and not _plain(result, True)):
            changed = [*leaves(result), *(arguments[n] for n in written)]
            return self._not_written(func, result, followed, changed, refused)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        outputs = [x for x in outputs if isinstance(x, torch.Tensor)] if len(func._schema.returns) == 1 else outputs
        changed = [arguments[n] for n in written if not any(arguments[n] is x for x in outputs)]
        if not any(real(x) for x in (*outputs, *changed)):
            return result
        call = Call(self, func, func._schema.name, before, arguments, tuple(outputs))
        try:
            values = rule(call, operands)
            values = values if isinstance(values, tuple | list) else (values,)
            if len(values) < len(outputs) + len([x for x in changed if x is not None]):
                raise Unsupported(f"{self.program.origin}: what {func._schema.name} changes on the side is not covered")
            values = self.computed(outputs, changed, tuple(values), arguments)
        except Unsupported as reason:
            if followed or self.decides_by_numbers:
                self.uncovered(reason, [*outputs, *changed])
            return result
        halted = not torch.is_grad_enabled() and self._users_own()  # under no_grad
        old = {id(arguments[n]): (before[n], operands[n]) for n in written if n in operands}
        for tensor, value in zip((*outputs, *changed), values, strict=False):
            if not real(tensor) or value is None:
                continue
            if not halted:
                self.write(tensor, value)
            elif id(tensor) in old and not self.decides_by_numbers and self._is_start(tensor):
                self.write(tensor, self._written_over(*old[id(tensor)], tensor, value))
            else:
                self.write(tensor, stopped(value))
                if followed and self.program.origin not in self.stops:
                    self.stops.append(self.program.origin)
        return result

    def _is_start(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.starts

    def _written_over(self, before: Tensor, old: Value, tensor: Tensor, value: Value) -> Value:
        """Of what a gradient is taken by, such as a parameter that a forward normalises under no_grad: the gradient is
        that by the numbers that stand there from then on. What another input has in them is stopped.

        before, old: the tensor and its value until then;  value: what is written
        """
        others = {start.index for storage, start in self.starts.items() if storage != tensor.untyped_storage()._cdata}
        if others.intersection(lines_needed([value])):
            self.stops.append(self.program.origin)
            return old + stopped(value - old)
        self.notes.append(
            f"{self.program.origin}: writes over what a gradient is taken by, which is by what is there then"
        )
        return old + self.program.constant(self.unseen(lambda: array(tensor) - array(before)))

    def _not_written(
        self, func: Any, result: Any, followed: bool, changed: list[Any], reason: Unsupported | None = None
    ) -> Any:
        """A call whose operands or results are no plain real numbers. changed: what it may have written"""
        if not followed:
            return self.passed_by(func, result, unknown=True)
        self.uncovered(reason or Unsupported(f"{self.program.origin}: {NOT_COVERED}"), changed)
        return result

    def computed(
        self, outputs: list[Any], changed: list[Any], values: tuple[Any, ...], arguments: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """What a call was found to compute, before it is written. `judged.py` looks at the numbers here."""
        del outputs, changed, arguments
        return values

    def uncovered(self, reason: Unsupported, tensors: list[Any]) -> None:
        """A call that has no rule. tensors: what it may have written."""
        del tensors
        raise reason

    def passed_by(self, func: Any, result: Any, unknown: bool) -> Any:
        """A call of constants that is not written down, its rule unknown or its operands no real numbers."""
        del func, unknown
        return result

    def _decomposed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """By PyTorch's own decomposition into calls that are known."""
        from torch._decomp import decomposition_table

        name = func._schema.name.removeprefix("aten::")
        if name.startswith("_foreach_"):
            return self._one_by_one(func, _by_name(func, args, kwargs))
        if name in fused.FUSED:
            try:
                return fused.step(self, func, args, kwargs, _by_name(func, args, kwargs))
            except Unsupported as reason:
                return self._as_it_came(reason, func, args, kwargs)
        decomposition = decomposition_table.get(func)
        if decomposition is None and func._can_decompose():
            decomposition = func.decompose
        if decomposition is None:
            return self._as_it_came(self._unknown(func), func, args, kwargs)
        note = f"{name}: by PyTorch's decomposition"
        if note not in self.notes:
            self.notes.append(note)
        with self:
            return decomposition(*args, **kwargs)

    def _as_it_came(self, reason: Unsupported, func: Any, args: Any, kwargs: Any) -> Any:
        """A call that nothing is known of, which may have written into whatever it was given."""
        self.uncovered(reason, [])
        result = self._kept(itself(func, args, kwargs))
        self.uncovered(reason, [x for x in leaves((args, kwargs, result)) if isinstance(x, torch.Tensor)])
        return result

    def _by_parts(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A call of complex numbers, by real calls of their parts."""
        function, arguments = functional(func), _by_name(func, args, kwargs)
        written = [
            arguments[a.name] for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write
        ]
        if not complex_numbers.known(function):
            if written or not func._can_decompose():
                raise Unsupported(f"{self.program.origin}: the operation {func._schema.name} {OF_COMPLEX}")
            with self:
                return func.decompose(*args, **kwargs)
        named = {a.name for a in function._schema.arguments}
        before, self.made_of = self.made_of, self.made_of or function._schema.name.removeprefix("aten::")
        try:
            with self:
                given = {n: x for n, x in arguments.items() if n in named}
                result = complex_numbers.computed(function, given, self.unseen)
                for tensor in written:
                    there, signs = in_memory(tensor)
                    found = result if signs is None or not result.is_complex() else result.conj().resolve_conj()
                    there.copy_(torch.view_as_real(found) if found.is_complex() else found)
        finally:
            self.made_of = before
        return self._kept(written[0] if written else result)

    def _unknown(self, func: Any) -> Unsupported:
        """Of PyTorch's own operations it is known what they are to compute; a kernel of somebody else is opaque."""
        if func.namespace in TORCHS_OWN:
            said = f"{self.program.origin}: the operation {func._schema.name} is not covered: {WHAT_TO_DO}"
            return Unsupported(said)
        return NoGraph(f"numbers leave the graph at {self.program.origin}, an operation of an extension")

    def _one_by_one(self, func: Any, arguments: dict[str, Any]) -> Any:
        """An operation on lists of tensors: the operation on each."""
        name = func._schema.name.removeprefix("aten::_foreach_")
        there = getattr(torch.ops.aten, {"norm": "linalg_vector_norm"}.get(name, name), None)
        packet = there or getattr(torch.ops.aten, name.removesuffix("_"))  # of maximum_ there is none for one tensor
        single = getattr(packet, packet.overloads()[0])._schema.arguments
        named = [a.name for a in single if a.kwarg_only]  # such as addcmul's value, which here stands like the others
        values = [x for x in arguments.values() if x is not None]
        positional = len(single) - len(named)
        first = next(x for x in values if isinstance(x, tuple | list))
        results = []
        with self:
            for k, tensor in enumerate(first):
                each = [x[k] if isinstance(x, tuple | list) else x for x in values]
                result = packet(*each[:positional], **dict(zip(named, each[positional:], strict=False)))
                results.append(result if there is not None else tensor.copy_(result))
        return None if not func._schema.returns else results

    def _read_out(self, func: Any, args: Any) -> Any:
        if real(args[0]):
            self.notes.append(f"a number is read out of a tensor: {self.program.origin}")
        return itself(func, args, {})

    def _operand(self, argument: Any) -> Any:
        if real(argument):
            return self.read(argument)
        if isinstance(argument, tuple | list) and any(isinstance(x, torch.Tensor) for x in argument):
            return [self._operand(x) for x in argument]
        return argument

    def _copied(self, argument: Any) -> Any:
        if isinstance(argument, tuple | list):
            return [self._copied(x) for x in argument]
        return self.unseen(lambda: argument.detach().clone()) if isinstance(argument, torch.Tensor) else argument

    def _kept(self, result: Any) -> Any:
        self.kept.append(result)
        return result

    def _origin(self, name: str) -> Origin:
        name = self.made_of or name
        node: Any = torch._C._current_autograd_node()
        if node is not None:
            before = self.origins.get(node._sequence_nr(), NOWHERE)
            file, line = users_line(of_backward=True)  # of a custom function's own backward, or a recomputed forward
            if not file:
                file, line = (before.file, before.line) if before is not NOWHERE else users_line()
            return Origin(name, file, line, self.calls, node.name(), before.call)
        origin = Origin(name, *users_line(), self.calls, self.within[-1].name if self.within else "")
        # the first call after a node of autograd's was made is the node's own
        self.origins.setdefault(torch._C._autograd._get_sequence_nr() - 1, origin)
        return origin


def _entered(entry: Any, call: Call, operands: dict[str, Any]) -> Any:
    return entry(call, **operands)


def _is_view(func: Any) -> bool:
    """Whether its results are its operand's own memory."""
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _by_name(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments by the names of the schema, its defaults where none were passed."""
    names = [a.name for a in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    for a in func._schema.arguments:
        if a.name not in given and a.has_default_value():
            given[a.name] = a.default_value
    return given


def _plain(result: Any, real_alone: bool) -> bool:
    """Whether it is made of numbers, each in a place of its own.  real_alone: and none of them complex"""
    return not any(
        isinstance(x, torch.Tensor) and ((real_alone and x.is_complex()) or x.layout is not torch.strided)
        for x in leaves(result)
    )


def users_line(of_backward: bool = False) -> tuple[str, int]:
    """The innermost line that is not PyTorch's or ours; nothing where there is none.

    of_backward: that autograd itself has called, not the line that set it going
    """
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if of_backward and frame.f_code.co_name == "_engine_run_backward":
            return "", 0
        if not file.startswith((*_OWN, "<")) and not of_a_wrapper(file):
            return file, frame.f_lineno
        frame = frame.f_back
    return "", 0
