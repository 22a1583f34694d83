"""What stands in PyTorch's memory, as values of a program: an element is known by its place.

`buffers` holds, for each storage, what stands in it, so that views, in-place writes and layouts need no operation. The
two parts of a complex number stand beside each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch

from ...reference.programs import WHAT_TO_DO, Program, Unsupported, Value, joined, rearranged, reshaped, special
from .call import array, numbers_shape

Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch
NOT_COVERED = f"sparse tensors are not covered: {WHAT_TO_DO}"


class Memory:
    """values in memory: `buffers`, the content of each storage that depends on an input."""

    def __init__(self) -> None:
        self.program = Program()
        self.buffers: dict[int, Value] = {}
        self.kept: list[Any] = []  # a storage that is freed would be taken for the next one in its place
        # by tensor: its buffer as it was, and a value that it has by itself, unlike others in the same memory
        self.own: dict[int, tuple[Value, Value]] = {}
        self.starts: dict[int, Value] = {}  # by storage, what the gradient is taken by
        self.roundoff = 0.0  # of the coarsest format that a followed number came in
        self.off = False

    def known(self, tensor: Tensor) -> bool:
        return tensor.layout is torch.strided and tensor.untyped_storage()._cdata in self.buffers

    def given(self, tensor: Tensor) -> Value:
        """The tensor's elements become an input of the program."""
        self.kept.append(tensor)
        value = self.program.input(numbers_shape(tensor))
        self.write(tensor, value)
        self.starts[tensor.untyped_storage()._cdata] = value
        return value

    def gradient(self, tensor: Tensor) -> Value | None:
        """What the backward has ended in."""
        return self.read(tensor)

    def numbers_given(self, value: Value, tensor: Tensor) -> Any:
        """The numbers of an input."""
        del value
        return self.unseen(lambda: array(tensor))

    def read(self, tensor: Tensor) -> Value:
        """What stands in the tensor's places: a value of its shape, a constant where no input has been written.

        Of a complex tensor the real and imaginary parts, beside each other along one more axis.
        """
        self.kept.append(tensor)
        if tensor.layout is not torch.strided:
            raise Unsupported(f"{self.program.origin}: {NOT_COVERED}")
        buffer = self.buffers.get(tensor.untyped_storage()._cdata)
        if buffer is None:
            return self.program.constant(self.unseen(lambda: array(tensor)))
        value = self._own_value(tensor)
        if value is not None:
            return value
        there, signs = self.unseen(lambda: in_memory(tensor))
        value = (
            reshaped(buffer, tuple(there.shape)) if _whole(there, buffer.size) else rearranged(buffer, places(there))
        )
        return value if signs is None else value * self.program.constant(signs)

    def write(self, tensor: Tensor, value: Value) -> None:
        """From now on the tensor's places hold `value`."""
        there, signs = self.unseen(lambda: in_memory(tensor))
        self._write(there, value if signs is None else value * self.program.constant(signs))

    def _write(self, tensor: Tensor, value: Value) -> None:
        self.kept.append(tensor)
        self.roundoff = max(self.roundoff, torch.finfo(tensor.dtype).eps / 2)
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

    def border(self, tensor: Tensor) -> Value:
        """The tensor's value, and what is read from its places from now on depends on that very line."""
        value = self.read(tensor)
        if self.known(tensor) and 0 not in [s for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1]:
            self.write(tensor, value)
        return value

    def apart(self, output: Tensor, inputs: Sequence[Tensor]) -> Value:
        """What a custom function returned becomes a line of its own, though it may be in the memory of an input."""
        value = special.identity(self.read(output))
        storage = output.untyped_storage()._cdata
        shared = any(x is not output and x.untyped_storage()._cdata == storage for x in inputs)
        if self.known(output) and (shared or not output.is_contiguous()):
            self.owns(output, value)
        else:
            self.write(output, value)
        return value

    def unseen(self, work: Callable[[], Any]) -> Any:
        """Done without being written down."""
        before, self.off = self.off, True
        try:
            return work()
        finally:
            self.off = before

    def owns(self, tensor: Tensor, value: Value) -> None:
        """This tensor, and views of it, hold `value` for as long as nothing is written into their memory."""
        self.own[id(tensor)] = self.buffers[tensor.untyped_storage()._cdata], value
        self.kept.append(tensor)

    def _own_value(self, tensor: Tensor) -> Value | None:
        before, value = self.own.get(id(tensor), (None, None))
        current = self.buffers.get(tensor.untyped_storage()._cdata)
        return value if value is not None and before is current and value.shape == numbers_shape(tensor) else None

    def owns_in(self, views: Any, source: Tensor, value: Value) -> None:
        """Views of a tensor that holds `value` by itself hold their parts of it."""
        there, signs = self.unseen(lambda: in_memory(source))
        of_source = np.broadcast_to(1.0 if signs is None else signs, tuple(there.shape)).reshape(-1)
        where = {place: k for k, place in enumerate(places(there).reshape(-1).tolist())}
        for view in leaves(views):
            seen, noted = self.unseen(partial(in_memory, view))
            taken = places(seen)
            if all(place in where for place in taken.reshape(-1).tolist()):
                positions = np.array([where[place] for place in taken.reshape(-1).tolist()], dtype=np.int64)
                part = rearranged(value, positions.reshape(taken.shape))
                other = of_source[positions].reshape(taken.shape) * (1.0 if noted is None else np.asarray(noted))
                self.owns(view, part if (other == 1).all() else part * self.program.constant(other))

    def forget(self, tensors: Sequence[Any]) -> set[int]:
        """Nothing is known any more of what stands in their memory, whose numbers are returned."""
        there = [x for x in tensors if isinstance(x, torch.Tensor) and x.layout is torch.strided]  # else it has none
        memory = {x.untyped_storage()._cdata for x in there}
        for number in memory:
            self.buffers.pop(number, None)
        return memory


def in_memory(tensor: Tensor) -> tuple[Tensor, Any]:
    """The real numbers that stand in memory for it, and the signs that PyTorch only notes; None where it notes none."""
    if not tensor.is_complex():
        return tensor, -1.0 if tensor.is_neg() else None
    conjugate = tensor.is_conj()
    parts = torch.view_as_real(tensor.detach().conj() if conjugate else tensor.detach())
    return parts, (1.0, -1.0) if conjugate else None


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


def leaves(tree: Any) -> list[Any]:
    """What stands in nested lists, tuples and dictionaries."""
    return torch.utils._pytree.tree_leaves(tree)
