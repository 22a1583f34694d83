"""One call of PyTorch, as an operation's entry sees it: its operands as values, its numbers as the run had them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ...reference.programs import (
    Program,
    Unsupported,
    Value,
    broadcast,
    chosen,
    joined,
    pullback,
    rearranged,
    reshaped,
    scattered,
)
from ...reference.programs.movement import RESHAPE

if TYPE_CHECKING:
    from .recorder import Recorder

Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch
Array = NDArray[Any]


def real(tensor: Any) -> bool:
    """Whether it is a tensor of real numbers that a gradient flows through."""
    return isinstance(tensor, torch.Tensor) and tensor.is_floating_point()


def differentiable(tensor: Any) -> bool:
    """Whether it is a tensor of numbers that a gradient flows through, real or complex."""
    return isinstance(tensor, torch.Tensor) and (tensor.is_floating_point() or tensor.is_complex())


def array(tensor: Tensor) -> Array:
    """Its numbers, in float64; of a sparse one the zeros too, of a complex one real and imaginary parts, … × 2."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.detach().resolve_conj())
    if tensor.layout is not torch.strided:
        tensor = tensor.detach().to_dense()
    if tensor._is_zerotensor():
        return np.zeros(tuple(tensor.shape))
    return tensor.detach().to(torch.float64).cpu().resolve_conj().resolve_neg().contiguous().numpy().copy()


def tensor_of(numbers: Array, like: Tensor) -> Tensor:
    """A tensor of these numbers, as `array` gives them, of this one's format, where it is."""
    tensor = torch.from_numpy(np.array(numbers))
    if not like.is_complex():
        return tensor.to(like)
    if tensor.numel() == 0:  # of which PyTorch makes no view
        return like.new_empty(tensor.shape[:-1])
    return torch.view_as_complex(tensor).to(like)


def numbers_shape(tensor: Tensor) -> tuple[int, ...]:
    """Of the array of its numbers: a complex number is two."""
    return (*tensor.shape, 2) if tensor.is_complex() else tuple(tensor.shape)


@dataclass(frozen=True)
class Call:
    """arguments: by the schema's names, as before the call;  after: as it left them;  outputs: what it returned."""

    recorder: Recorder
    func: Any
    name: str
    arguments: dict[str, Any]
    after: dict[str, Any]
    outputs: tuple[Any, ...]

    @property
    def program(self) -> Program:
        return self.recorder.program

    def stops(self, note: str) -> None:
        """A gradient ends here, by what the operation declares; so it does not add up to the function along a path."""
        self.recorder.stops.append(self.program.origin)
        self.tell(note)

    def note(self, text: str) -> None:
        """Tells the reader, with the user's line."""
        self.tell(f"{self.program.origin}: {text}")

    def tell(self, note: str) -> None:
        """Tells the reader, once."""
        if note not in self.recorder.notes:
            self.recorder.notes.append(note)

    @property
    def device(self) -> torch.device:
        """Where the call's own tensors are."""
        tensors = (x for x in (*self.outputs, *self.arguments.values()) if isinstance(x, torch.Tensor))
        return next((x.device for x in tensors), torch.device("cpu"))

    # ---------------------------------------------------------------- the run's numbers

    def unseen(self, work: Callable[[], Any]) -> Any:
        return self.recorder.unseen(work)

    def numbers(self, x: Any) -> Array:
        """A tensor's numbers, in float64; a plain number likewise."""
        return self.unseen(lambda: array(x)) if isinstance(x, torch.Tensor) else np.asarray(x, dtype=np.float64)

    def positions(self, x: Tensor) -> NDArray[np.int64]:
        """A tensor of indices."""
        found = self.unseen(lambda: x.detach().cpu().to(torch.int64).contiguous().numpy().copy())
        return self._chose(np.asarray(found, np.int64))

    def holds(self, name: str, condition: Callable[[Array], Any]) -> NDArray[np.bool_]:
        """Where the condition held for the numbers of the argument of this name.

        Raises Unsupported where a run is judged and NaN is among them: kernels may put it on either side.
        """
        numbers = self.numbers(self.arguments[name])
        if self.recorder.decides_by_numbers and np.isnan(numbers).any():
            raise Unsupported(f"{self.program.origin}: NaN among the numbers that a choice is made by")
        return self._chose(np.asarray(condition(numbers), dtype=bool))

    def _chose(self, found: NDArray[Any]) -> NDArray[Any]:
        self.recorder.choices.append(blake2b(found.tobytes(), digest_size=8).digest())
        return found

    def compared(self, condition: Callable[..., Any], *limits: float) -> Callable[[Array], Any]:
        """A condition on numbers and these limits of the code, which kernels round to the numbers' format.

        Raises Unsupported where a run is judged and a number lies between a limit and what its format has for it:
        either is right.
        """
        held = [float(torch.tensor(limit, dtype=self.outputs[0].dtype)) for limit in limits]

        def met(x: Array) -> Any:
            found = condition(x, *limits)
            if self.recorder.decides_by_numbers and (found != condition(x, *held)).any():
                raise Unsupported(f"{self.program.origin}: a number as large as the limit, which its format rounds")
            return found

        return met

    def within(self, limit: float) -> Callable[[Array], Any]:
        """|x| ≤ limit."""
        return self.compared(lambda x, most: np.abs(x) <= most, limit)

    # ---------------------------------------------------------------- values

    def constant(self, numbers: Any) -> Value:
        return self.program.constant(np.asarray(numbers, dtype=np.float64))

    def filled(self, number: float, shape: Sequence[int]) -> Value:
        """This number, in every element."""
        return self.program.constant(number, tuple(shape))

    def recorded(self, tensor: Tensor) -> Value:
        """The numbers of this run, as a constant: no gradient goes through."""
        return self.constant(self.numbers(tensor))

    def computed(self, function: Callable[[Tensor], Tensor], name: str) -> Value:
        """What PyTorch's function gives for the argument of this name, as a constant."""
        return self.recorded(self.unseen(lambda: function(self.arguments[name].detach())))

    def value(self, x: Any) -> Any:
        """A tensor of any kind as a value; plain numbers as they are."""
        return self.recorded(x) if isinstance(x, torch.Tensor) else x

    def spread(self, x: Any, shape: Sequence[int]) -> Value:
        """A value, a tensor or a number, broadcast."""
        x = self.value(x)
        return broadcast(x, shape) if isinstance(x, Value) else self.filled(x, shape)

    def where(self, name: str, condition: Callable[[Array], Any], x: Value | float, y: Value | float) -> Value:
        """x where the condition held for that argument, y elsewhere; the argument's shape says which elements."""
        mask = self.holds(name, condition)
        shape = np.broadcast_shapes(mask.shape, *(v.shape for v in (x, y) if isinstance(v, Value)))
        return chosen(np.broadcast_to(mask, shape), self.spread(x, shape), self.spread(y, shape))

    def pulled(self, formula: Callable[..., Value], operands: Sequence[Value], cotangent: Value) -> list[Value]:
        """The pullback of a formula at operands that a backward kernel was given, which may depend on each other."""
        own = [self.program.add(RESHAPE, x, into=x.shape) for x in operands]
        found = pullback([formula(*own)], [cotangent], own)
        return [self.filled(0, x.shape) if g is None else g for g, x in zip(found, own, strict=True)]

    # ---------------------------------------------------------------- movements

    def _numbered(self, first: int, shape: Sequence[int]) -> Tensor:
        """The numbers from `first` on, where the call's own tensors are."""
        size = int(np.prod(tuple(shape), dtype=np.int64))
        return torch.arange(first, first + size, dtype=torch.float64, device=self.device).reshape(tuple(shape))

    def moved(self, operands: dict[str, Any]) -> Value | tuple[Value, ...]:
        """A movement: the call itself, made on the numbers 1, 2, 3, … of the elements, shows where they go."""
        parts: list[Value] = []
        first = 1

        def numbered(x: Any) -> Any:
            nonlocal first
            if isinstance(x, Value):
                parts.append(x)
                first += x.size
                return self._numbered(first - x.size, x.shape)
            return [numbered(y) for y in x] if isinstance(x, tuple | list) else x

        func = functional(self.func)
        names = {a.name for a in func._schema.arguments} - {"dtype", "layout", "device", "pin_memory", "memory_format"}
        arguments = {name: numbered(x) for name, x in operands.items() if name in names}
        result = self.unseen(lambda: func(**arguments))
        results = result if isinstance(result, tuple | list) else (result,)
        whole = joined(parts)
        moved = tuple(rearranged(whole, x.cpu().numpy().astype(np.int64) - 1) for x in results)
        return moved if isinstance(result, tuple | list) else moved[0]

    def moved_back(self, gradient: Value, shape: Sequence[int], movement: Callable[[Tensor], Tensor]) -> Value:
        """The pullback of a movement of PyTorch's: every element is added where it came from."""
        return scattered(gradient, self.traced(shape, movement), tuple(shape))

    def traced(self, shape: Sequence[int], movement: Callable[[Tensor], Tensor]) -> NDArray[np.int64]:
        """Where the elements of a movement's result come from; −1: nowhere."""
        numbers = self.unseen(lambda: self._numbered(1, shape))
        return self.unseen(lambda: movement(numbers).contiguous().cpu().numpy().astype(np.int64)) - 1

    def shaped(self, x: Value, like: Tensor) -> Value:
        return reshaped(x, tuple(like.shape))


def itself(func: Any, args: Any, kwargs: Any) -> Any:
    """A call, made. Where PyTorch itself raises, this frame is the innermost, which tells it from a fault of ours."""
    return func(*args, **kwargs)


def unwrapped(tensor: Any) -> Any:
    """What `torch.func` has wrapped, once for each of its transforms: the tensor that stands in memory."""
    while isinstance(tensor, torch.Tensor) and torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def functional(func: Any) -> Any:
    """The same call without writing into an operand."""
    schema = func._schema
    name = schema.name.removeprefix("aten::")
    packet = getattr(torch.ops.aten, name.removesuffix("_") if not name.endswith("__") else name, None)
    if packet is None or not any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments):
        return func
    wanted = [a.name for a in schema.arguments if not a.is_out]
    for overload in [func._overloadname, *packet.overloads()]:
        other = getattr(packet, overload, None) if overload else getattr(packet, "default", None)
        if other is not None and [a.name for a in other._schema.arguments] == wanted:
            return other
    return func
