"""A run of PyTorch, judged call by call: every operation's own numbers against what its operands allow.

`reports/any_network/numbers.py` asks for it. The recorder keeps the numbers of every line that a call wrote, so that
the next call is judged from the operands that it really had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...reference.judging import JudgedCall, JudgedRun, judged_call, judged_whole
from ...reference.numbers import BFLOAT16, PRECISIONS, PROFILES, TF32, Precision, Profile
from ...reference.programs import LARGE, Origin, Unsupported, Value
from ...reference.programs.special import identity
from .call import array, real
from .memory import leaves
from .recorder import Recorder

FORMATS = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
FACTORS = {"tf32": TF32, "bf16": BFLOAT16}
# PyTorch's CPU kernels that keep sums of 16-bit numbers in 16 bits: a layer norm's, over the batch.
ADDED_NARROWLY = {"native_layer_norm_backward"}
# Those that store every partial sum: the mean of a window in three dimensions.
STORING_EACH = {"_adaptive_avg_pool3d", "avg_pool3d"}


# Calls that compute nothing: tensors made, and views of them.
MADE = {
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "zeros", "zeros_like", "ones",
    "ones_like", "full", "full_like", "new_zeros", "new_ones", "new_full", "scalar_tensor", "arange", "linspace",
    "lift_fresh", "detach", "view", "_unsafe_view", "alias", "t", "transpose", "permute", "expand", "select", "slice",
    "unsqueeze", "squeeze", "as_strided", "unbind", "split", "split_with_sizes", "chunk",
}  # fmt: skip


# Of these, memory that other code may fill (a hand-written kernel its output): what is there counts once it is read.
ALLOCATED = {name for name in MADE if "empty" in name or "zeros" in name}


class JudgingRecorder(Recorder):
    """Writes the calls down and judges them. judged: a verdict on each result, in order.

    taken: results of which nothing was asked: random numbers and masks, and those of calls without a rule
    """

    decides_by_numbers = True

    def __init__(self) -> None:
        super().__init__()
        self.ran: dict[int, NDArray[Any]] = {}
        self.formats: set[Any] = set()
        self.judged: list[JudgedCall] = []
        self.taken: list[str] = []
        self.unjudged_memory: set[int] = set()  # memory that calls without a rule have written
        self.not_judged: set[int] = set()  # lines that start with what stands there
        self.stored_between = 2  # in a kernel that a compiler made; no less than in any call

    @property
    def run(self) -> JudgedRun:
        """What was judged so far."""
        left = [str(origin) for origin in dict.fromkeys(self.left)]  # what other code made of them comes as constants
        return JudgedRun(tuple(self.judged), (*self.taken, *left), tuple(dict.fromkeys(self.notes)))

    def given(self, tensor: Any) -> Value:
        value = super().given(tensor)
        self.ran[value.index] = self.unseen(lambda: _held(tensor))
        return value

    def numbers_given(self, value: Value, tensor: Any) -> NDArray[Any]:
        del tensor
        return self.ran[value.index]

    def computed(
        self, outputs: list[Any], changed: list[Any], values: tuple[Any, ...], arguments: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        tensors = [*outputs, *changed]
        others = {x.dtype for x in leaves((dict(arguments), tensors)) if real(x)} - FORMATS.keys()
        if others:
            raise Unsupported(f"{self.program.origin}: numbers of {', '.join(map(str, others))}")
        pairs = [(k, tensors[k], v) for k, v in enumerate(values[: len(tensors)]) if v is not None and real(tensors[k])]
        numbers = self.unseen(lambda: [_held(tensor) for _, tensor, _ in pairs])
        self.formats |= {tensor.dtype for _, tensor, _ in pairs}
        seen = [k for k, (_, _, value) in enumerate(pairs) if not _constant(value)]
        if len(seen) < len(pairs) and self.program.origin.name not in MADE:
            self.taken.append(str(self.program.origin))
        calls: Sequence[JudgedCall] = ()
        if seen:
            calls = judged_call(
                [pairs[k][2] for k in seen],
                self.ran,
                [numbers[k] for k in seen],
                [precision(pairs[k][1]) for k in seen],
                self._inside(arguments, [x for x in (*leaves(dict(arguments)), *tensors) if real(x)]),
                self.unseen(lambda: _allowed(self.program.origin.name, pairs[seen[0]][1])),
            )
        # of their own: the lines themselves may be those of operands in another format
        lines = [identity(value) for _, _, value in pairs]
        self.ran |= {line.index: ran for line, ran in zip(lines, numbers, strict=True)}
        backward = torch._C._current_autograd_node() is not None
        for k, call in zip(seen, calls, strict=True):
            self.judged.append(replace(call, line=lines[k].index, backward=backward))
        found = list(values)
        for (k, _, _), line in zip(pairs, lines, strict=True):
            found[k] = None if self.program.origin.name in ALLOCATED else line
        return tuple(found)

    def _inside(self, arguments: Mapping[str, Any], tensors: list[Any]) -> Profile:
        profile = _inside(self.program.origin.name, arguments, tensors)
        self.stored_between = max(self.stored_between, profile.stored_between)
        return profile

    def read(self, tensor: Any) -> Value:
        if real(tensor) and tensor.layout is torch.strided and not self.known(tensor):
            value = self.given(tensor)  # numbers that were there before, or that a call left which was not judged
            if tensor.untyped_storage()._cdata in self.unjudged_memory:
                self.not_judged.add(value.index)
        return super().read(tensor)

    def gradient(self, tensor: Any) -> Value | None:
        return self.read(tensor) if tensor.layout is torch.strided else None

    def uncovered(self, reason: Unsupported, tensors: list[Any]) -> None:
        del reason  # a call without a rule is no reason to stop: it is counted
        self.unjudged_memory |= self.forget(tensors)
        self.taken.append(str(self.program.origin))

    def passed_by(self, func: Any, result: Any, unknown: bool) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if unknown and name not in MADE and any(real(x) for x in leaves(result)):
            self.taken.append(name)
            self.unjudged_memory |= self.forget(list(leaves(result)))
        return result

    def as_a_whole(
        self, values: Sequence[Value | None], names: Sequence[str], tensors: Sequence[Any]
    ) -> list[JudgedCall]:
        """The verdict on results of other code that computes what was written down, from the inputs to these values.

        A compiler may have fused any calls, and stored what stands between them in any of the formats that occur.
        """
        asked = {k: v for k, v in enumerate(values) if v is not None and tensors[k] is not None}
        inputs = [k for k in self.ran if self.program.nodes[k].operation.name == "input"]
        formats = [PRECISIONS[FORMATS[d]] for d in self.formats] or [precision(tensors[k]) for k in asked]
        narrowest = min(formats, key=lambda p: p.digits, default=None)
        if narrowest is None:
            return []
        found = judged_whole(
            list(asked.values()),
            {k: self.ran[k].astype(np.float64) for k in inputs},
            [array(tensors[k]) for k in asked],
            [precision(tensors[k]) for k in asked],
            self._whole_profile(narrowest, [tensors[k] for k in asked]),
            self.not_judged,
        )
        return [
            replace(call, origin=Origin(f"compiled: {names[k]}"), number=0)
            for k, call in zip(asked, found, strict=True)
        ]

    def _whole_profile(self, narrowest: Precision, tensors: Sequence[Any]) -> Profile:
        profile = PROFILES[narrowest.name]
        allowed = {f for x in tensors for name in ("mm", "convolution") if (f := _allowed(name, x)) is not None}
        if allowed:
            profile = replace(profile, multiply=min(allowed, key=lambda f: f.digits), truncated=True)
        division = 4 if any(x.is_cuda for x in tensors) else 2  # Triton's is approximate
        return replace(profile, reduce=profile.accumulate, stored_between=self.stored_between, division=division)


def _held(tensor: Any) -> NDArray[Any]:
    """A tensor's numbers, in float64; of a large one in float32 where that holds them, for half of the memory."""
    if tensor.numel() <= LARGE or tensor.dtype is torch.float64 or tensor._is_zerotensor():
        return array(tensor)
    own = tensor.detach().cpu().resolve_conj().resolve_neg().to(torch.float32).contiguous()
    return own.clone().numpy() if own.data_ptr() == tensor.data_ptr() else own.numpy()


def precision(tensor: Any) -> Precision:
    """The format of a tensor of real numbers of one of the FORMATS."""
    return PRECISIONS[FORMATS[tensor.dtype]]


def _inside(name: str, arguments: Mapping[str, Any], tensors: list[Any]) -> Profile:
    """The formats in which a call may hold what it computes on the way: those of its narrowest tensor.

    16 bits: steps between may be stored in 16 (attention's weights, the columns of a convolution), sums are added up in
    float32; where PyTorch adds up in 16 bits itself, `ADDED_NARROWLY` and `_stored_between` say so.
    """
    narrowest = min((precision(x) for x in tensors), key=lambda p: p.digits)
    profile = replace(PROFILES[narrowest.name], stored_between=_stored_between(name, arguments, tensors[0].device.type))
    return profile if name in ADDED_NARROWLY else replace(profile, reduce=profile.accumulate)


def _stored_between(name: str, arguments: Mapping[str, Any], device: str) -> int:
    """How often a kernel may store a sum that is not complete.

    Convolutions on a CPU add up the samples' parts of a gradient, and what a kernel's places give to one element, in
    memory; CUDA's running sums are stored at each step, and its products may be split once (cuBLAS, "reduced precision
    reduction", which PyTorch allows by default).
    """
    if "convolution" in name:
        return int(arguments["input"].shape[0]) + int(np.prod(arguments["weight"].shape[2:]))
    if name in STORING_EACH:
        return int(np.prod(arguments["self"].shape[-3:]))
    if device == "cuda":
        running = arguments["self"] if name == "cumsum" else None
        return 2 if running is None or not running.dim() else int(running.shape[arguments["dim"]])
    return 0


def _allowed(name: str, result: Any) -> Precision | None:
    """The format that PyTorch may round the factors of float32 products to: its settings say so, by processor."""
    device, convolved = result.device.type, "conv" in name
    if result.dtype is not torch.float32 or device not in {"cuda", "cpu"}:
        return None
    if not hasattr(torch.backends.mkldnn, "matmul"):
        return FACTORS.get(_older_setting(device, convolved))
    if device == "cuda":
        backend = torch.backends.cudnn.conv if convolved else torch.backends.cuda.matmul
    else:
        backend = torch.backends.mkldnn.conv if convolved else torch.backends.mkldnn.matmul
    return FACTORS.get(backend.fp32_precision)


def _older_setting(device: str, convolved: bool) -> str:
    """The same before PyTorch 2.9, where one setting was for products, and another for convolutions on CUDA."""
    if convolved:
        return "tf32" if device == "cuda" and torch.backends.cudnn.allow_tf32 else "none"
    precise = torch.get_float32_matmul_precision()
    if device == "cuda":
        return "none" if precise == "highest" else "tf32"
    return {"highest": "none", "high": "tf32", "medium": "bf16"}[precise]


def _constant(value: Value) -> bool:
    """Whether the program has the run's numbers here, or the same in every run."""
    nodes, line = value.program.nodes, value.index
    while nodes[line].operation.name in ("reshape", "identity", "rearrange", "stop"):
        line = nodes[line].operands[0]
    return nodes[line].operation.name == "constant" and np.size(nodes[line].parameters["array"]) > 0
