"""What PyTorch is seen to do, forward and backward, as one program.

Every call that reaches PyTorch's dispatcher is run as it is and written down with our own operation for it
(`operations.py`). Views, in-place writes and layouts need no operation: an element is known by its place in
memory, so a tensor is what stands in its storage at its offset and strides. Comparisons, indices and random numbers are
taken from the run: the program is of the branch taken. Source: PyTorch, `torch.utils._python_dispatch`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...reference.programs import Origin, Program, Value, joined, rearranged, reshaped
from .operations import CONSTANTS, MOVEMENTS, OPERATIONS, Unsupported

Tensor = torch.Tensor
_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


@dataclass(frozen=True)
class Border:
    """One call of a custom `autograd.Function`: what went in and out, forward and backward.

    gradients: what its backward returned for each input, None where it returned none;  seen: whether it ran
    """

    name: str
    origin: Origin
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    arrived: tuple[Value | None, ...] = ()
    gradients: tuple[Value | None, ...] = ()
    seen: bool = False


@dataclass(frozen=True)
class Captured:
    """Forward and backward of one call, in one program.

    inputs, outputs: values;  cotangents: one for each output;  gradients: for each input, None where there is none
    given: the numbers of the inputs and cotangents, by line
    ran: the numbers that the framework computed for the outputs and then the gradients
    borders: its custom functions;  notes: what a reader has to know, such as where a number left the graph
    """

    program: Program
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    cotangents: tuple[Value, ...]
    gradients: tuple[Value | None, ...]
    given: dict[int, np.ndarray[Any, Any]]
    ran: tuple[np.ndarray[Any, Any] | None, ...]
    borders: tuple[Border, ...]
    notes: tuple[str, ...]


def real(tensor: Any) -> bool:
    """Whether it is a tensor of numbers that a gradient flows through."""
    return isinstance(tensor, Tensor) and tensor.is_floating_point()


def array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Its numbers, in float64."""
    return tensor.detach().to(torch.float64).cpu().resolve_conj().resolve_neg().contiguous().numpy().copy()


class Recorder(TorchDispatchMode):
    """Writes down the calls. values in memory: `buffers`, the content of each storage that depends on an input."""

    def __init__(self) -> None:
        super().__init__()
        self.program = Program()
        self.buffers: dict[int, Value] = {}
        self.kept: list[Any] = []  # a storage that is freed would be taken for the next one in its place
        self.notes: list[str] = []
        self.calls = 0
        self.within: list[str] = []
        self.origins: dict[int, Origin] = {}  # of the forward call, by the number that its backward bears
        self.off = False

    # ---------------------------------------------------------------- memory

    def known(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.buffers

    def given(self, tensor: Tensor) -> Value:
        """The tensor's elements become an input of the program."""
        self.kept.append(tensor)
        value = self.program.input(tuple(tensor.shape))
        self.write(tensor, value)
        return value

    def read(self, tensor: Tensor) -> Value:
        """What stands in the tensor's places: a value of its shape, a constant where no input has been written."""
        self.kept.append(tensor)
        buffer = self.buffers.get(tensor.untyped_storage()._cdata)
        if buffer is None:
            return self.program.constant(self.unseen(lambda: array(tensor)))
        if _whole(tensor, buffer.size):
            return reshaped(buffer, tuple(tensor.shape))
        return rearranged(buffer, places(tensor))

    def write(self, tensor: Tensor, value: Value) -> None:
        """From now on the tensor's places hold `value`."""
        self.kept.append(tensor)
        storage = tensor.untyped_storage()
        size = storage.nbytes() // tensor.element_size()
        if value.shape != tuple(tensor.shape):
            raise AssertionError(
                f"{self.program.origin}: {value.shape} written where {tuple(tensor.shape)} was computed"
            )
        if _whole(tensor, size):
            self.buffers[storage._cdata] = reshaped(value, (size,))
            return
        covered = places(tensor)
        before = self.buffers.get(storage._cdata)
        if before is None and np.unique(covered).size < size:
            before = self.program.constant(self.unseen(lambda: array(_flat(tensor, size))))
        sources = np.arange(size) if before is not None else np.full(size, -1)
        sources[covered.reshape(-1)] = np.arange(value.size) + (0 if before is None else size)
        self.buffers[storage._cdata] = rearranged(value if before is None else joined([before, value]), sources)

    def unseen(self, work: Callable[[], Any]) -> Any:
        """Done without being written down."""
        before, self.off = self.off, True
        try:
            return work()
        finally:
            self.off = before

    # ---------------------------------------------------------------- calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.off:
            return func(*args, **kwargs)
        tensors = [x for x in _leaves((args, kwargs)) if isinstance(x, Tensor)]
        if not any(self.known(x) for x in tensors):
            return self._kept(func(*args, **kwargs))
        name = func._schema.name.removeprefix("aten::")
        self.calls += 1
        self.program.origin = self._origin(name)
        written = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        if name == "_local_scalar_dense":
            return self._read_out(func, args)
        if _is_view(func) or name in {"detach", "alias"}:
            return self._kept(func(*args, **kwargs))
        base = name.removesuffix("_") if written and not name.endswith("__") else name
        rule = OPERATIONS.get(f"{base}.{func._overloadname}") or OPERATIONS.get(base)
        if rule is None and base not in MOVEMENTS and base not in CONSTANTS:
            return self._decomposed(func, args, kwargs)
        arguments = _by_name(func, args, kwargs)
        targets = [arguments[n] for n in written]
        operands = {n: self._operand(a) for n, a in arguments.items() if n not in written or not name.endswith("out")}
        operands = {n: a for n, a in operands.items() if n != "out"}
        result = self._kept(func(*args, **kwargs))
        outputs = result if isinstance(result, tuple | list) else (result,)
        call = Call(self, func, base, args, kwargs, tuple(outputs))
        if not any(real(x) for x in outputs) and not targets:
            return result
        if rule is not None:
            values = rule(call, **operands)
        elif base in MOVEMENTS:
            values = call.moved()
        else:
            values = tuple(call.recorded(x) if real(x) else None for x in outputs)
        values = values if isinstance(values, tuple | list) else (values,)
        for tensor, value in zip(targets or outputs, values, strict=False):
            if real(tensor) and value is not None:
                self.write(tensor, value)
        return result

    def _decomposed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """By PyTorch's own decomposition into calls that are known."""
        from torch._decomp import decomposition_table

        decomposition = decomposition_table.get(func)
        if decomposition is None:
            raise Unsupported(f"{self.program.origin}: the operation {func._schema.name} is not covered")
        note = f"{func._schema.name.removeprefix('aten::')}: by PyTorch's decomposition"
        if note not in self.notes:
            self.notes.append(note)
        with self:
            return decomposition(*args, **kwargs)

    def _read_out(self, func: Any, args: Any) -> Any:
        if real(args[0]):
            self.notes.append(f"a number is read out of a tensor: {self.program.origin}")
        return func(*args)

    def _operand(self, argument: Any) -> Any:
        if real(argument):
            return self.read(argument)
        if isinstance(argument, tuple | list) and any(isinstance(x, Tensor) for x in argument):
            return [self._operand(x) for x in argument]
        return argument

    def _kept(self, result: Any) -> Any:
        self.kept.append(result)
        return result

    def _origin(self, name: str) -> Origin:
        node = torch._C._current_autograd_node()
        if node is not None:
            before = self.origins.get(node._sequence_nr())
            file, line = _users_line()
            if before is not None and not file:
                return Origin(name, before.file, before.line, self.calls, node.name())
            return Origin(name, file, line, self.calls, node.name())
        origin = Origin(name, *_users_line(), self.calls, self.within[-1] if self.within else "")
        self.origins[torch.autograd._get_sequence_nr() - 1] = origin
        return origin


@dataclass(frozen=True)
class Call:
    """One call, as an operation's entry sees it. outputs: the tensors that PyTorch computed."""

    recorder: Recorder
    func: Any
    name: str
    args: Any
    kwargs: Any
    outputs: tuple[Any, ...]

    @property
    def program(self) -> Program:
        return self.recorder.program

    def recorded(self, tensor: Tensor) -> Value:
        """The numbers of this run, as a constant: no gradient goes through."""
        return self.program.constant(self.recorder.unseen(lambda: array(tensor)))

    def unseen(self, work: Callable[[], Any]) -> Any:
        return self.recorder.unseen(work)

    def value(self, x: Any) -> Any:
        """A tensor of any kind as a value; plain numbers as they are."""
        return self.recorded(x) if isinstance(x, Tensor) else x

    def moved(self) -> Value | tuple[Value, ...]:
        """A movement: the call itself, made on the numbers 1, 2, 3, … of the elements, shows where they go."""
        parts: list[Value] = []
        first = 1

        def numbered(x: Any) -> Any:
            nonlocal first
            if isinstance(x, Tensor) and real(x):
                part = self.recorder.read(x)
                parts.append(part)
                numbers = torch.arange(first, first + part.size, dtype=torch.float64).reshape(part.shape)
                first += part.size
                return numbers
            if isinstance(x, tuple | list):
                return type(x)(numbered(y) for y in x)
            return x

        functional = _functional(self.func)
        args = numbered(self.args)
        kwargs = {key: numbered(x) for key, x in self.kwargs.items() if key not in {"dtype", "out"}}
        result = self.recorder.unseen(lambda: functional(*args, **kwargs))
        results = result if isinstance(result, tuple | list) else (result,)
        whole = joined(parts)
        moved = tuple(rearranged(whole, x.numpy().astype(np.int64) - 1) for x in results)
        return moved if isinstance(result, tuple | list) else moved[0]


@contextmanager
def _custom_functions(recorder: Recorder, borders: list[Border], hooks: list[Any]) -> Any:
    """While it lasts, calls of custom functions are seen at their borders."""
    function = torch.autograd.Function
    original = function.__dict__["apply"]

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = [x for x in args if real(x)]
        values = recorder.unseen(lambda: [recorder.read(x) for x in inputs]) if not recorder.off else []
        origin = Origin(cls.__name__, *_users_line(), recorder.calls, "")
        recorder.within.append(cls.__name__)
        try:
            result = original.__get__(None, cls)(*args, **kwargs)
        finally:
            recorder.within.pop()
        outputs = [x for x in (result if isinstance(result, tuple | list) else (result,)) if real(x)]
        node = next((x.grad_fn for x in outputs if x.grad_fn is not None), None)
        if node is None or torch._C._current_autograd_node() is not None:
            return result
        number = len(borders)
        borders.append(Border(cls.__name__, origin, tuple(values), tuple(recorder.read(x) for x in outputs)))
        places = [k for k, x in enumerate([x for x in args if isinstance(x, Tensor)]) if real(x)]

        def seen(gradients: Any, arrived: Any) -> None:
            def read(x: Any) -> Value | None:
                return recorder.read(x) if x is not None and real(x) else None

            border = borders[number]
            borders[number] = Border(
                border.name,
                border.origin,
                border.inputs,
                border.outputs,
                tuple(read(x) for x in arrived),
                tuple(read(gradients[k]) if k < len(gradients) else None for k in places),
                True,
            )

        hooks.append(node.register_hook(seen))
        return result

    function.apply = classmethod(apply)  # type: ignore[assignment]
    try:
        yield
    finally:
        function.apply = original
        for hook in hooks:
            hook.remove()


def capture(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    seed: int = 0,
    parameters: Sequence[Tensor] = (),
) -> Captured:
    """Runs `function(*inputs)` and its backward once, and returns what was done as a program.

    inputs: tensors or anything else; those that require a gradient, and the `parameters`, are differentiated
    seed: of the cotangents, random numbers of order one
    Raises Unsupported, with the user's line, if an operation is not known.
    """
    generator = np.random.default_rng(seed)
    recorder, borders, hooks = Recorder(), [], []
    differentiated = [x for x in (*inputs, *parameters) if real(x) and x.requires_grad]
    differentiated = list({id(x): x for x in differentiated}.values())
    starts = [recorder.given(x.detach()) for x in differentiated]
    given = {value.index: array(x) for value, x in zip(starts, differentiated, strict=True)}
    with _custom_functions(recorder, borders, hooks), recorder:
        result = function(*inputs)
        outputs = [x for x in _leaves(result) if real(x) and x.requires_grad]
        ends = [recorder.read(x) for x in outputs]
        arriving = recorder.unseen(
            lambda: [torch.tensor(generator.standard_normal(tuple(x.shape)), dtype=x.dtype) for x in outputs]
        )
        cotangents = [recorder.given(x) for x in arriving]
        given |= {value.index: array(x) for value, x in zip(cotangents, arriving, strict=True)}
        computed = (
            torch.autograd.grad(outputs, differentiated, arriving, allow_unused=True)
            if outputs
            else [None] * len(differentiated)
        )
        gradients = [None if x is None else recorder.read(x) for x in computed]
    return Captured(
        recorder.program,
        tuple(starts),
        tuple(ends),
        tuple(cotangents),
        tuple(gradients),
        given,
        tuple(None if x is None else array(x) for x in (*outputs, *computed)),
        tuple(borders),
        tuple(recorder.notes),
    )


def places(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The position in its storage of each element."""
    result = np.full(tuple(tensor.shape), tensor.storage_offset(), dtype=np.int64)
    for axis, (n, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        shape = [1] * tensor.dim()
        shape[axis] = n
        result += (np.arange(n) * stride).reshape(shape)
    return result


def _whole(tensor: Tensor, size: int) -> bool:
    return tensor.is_contiguous() and tensor.numel() == size and tensor.storage_offset() == 0


def _flat(tensor: Tensor, size: int) -> Tensor:
    return tensor.detach().as_strided((size,), (1,), 0)


def _leaves(tree: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(tree)


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


def _functional(func: Any) -> Any:
    """The same call without writing into its operand."""
    name = func._schema.name.removeprefix("aten::")
    if name.endswith("_") and not name.endswith("__"):
        packet = getattr(torch.ops.aten, name[:-1])
        return getattr(packet, func._overloadname, packet)
    return func


def _users_line() -> tuple[str, int]:
    """The innermost line that is not PyTorch's or ours; nothing where there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OWN) and not file.startswith("<"):
            return file, frame.f_lineno
        frame = frame.f_back
    return "", 0
