"""How much of PyTorch's own catalogue of operations the capture covers: `python tests/adapters/opinfo_coverage.py`.

Every entry of OpInfo that has a gradient and float64 samples is run on its first samples: the program in floats must give
what PyTorch ran, and the chain rule's gradient must be the one that PyTorch's backward computed, to 30 digits. So is
every entry that has samples of complex numbers.
Source: PyTorch, torch.testing._internal.common_methods_invocations.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from backproof.adapters.torch_program.capture import array, capture, tensor_of
from backproof.reference.programs import FLOATS, WHAT_TO_DO, Captured, Outcome, Unsupported, check, run

SAMPLES = 4  # of each entry, the first ones
ELEMENTS = 2000  # a sample whose inputs have more is left out
SECONDS = 20  # a sample that takes longer is left out
ROUNDING = 1e-8  # relative to an array's largest element: what float64 may lose by cancellation on these samples

# In words, what an entry's name has to stand in the table for; the order is that of the table.
OURS, MOVED, DECOMPOSED, DIFFERENT, MISSING = (
    "covered", "exact movement", "by PyTorch's decomposition", "PyTorch differs", "not covered",
)  # fmt: skip
# What PyTorch does that is not the chain rule, or not float64: looked at by hand, and known.
KNOWN = {
    "as_strided_scatter": "its gradient by the input is zero where the input is kept, and not where it is overwritten",
    "nn.functional.hardsigmoid": "the backward kernel's 1/6 is float32's: 3e-8 off in float64",
    "nn.functional.max_unpool1d": "where two indices are equal, the overwritten element gets a gradient too",
    "nn.functional.max_unpool2d": "where two indices are equal, the overwritten element gets a gradient too",
    "nn.functional.max_unpool3d": "where two indices are equal, the overwritten element gets a gradient too",
    "nn.functional.ctc_loss": "its gradient is right only behind a log_softmax",
}
MOVING = {"rearrange", "scatter", "reshape", "join", "input", "constant"}


class TooLong(Exception):
    """A sample that is left out."""


@dataclass
class Found:
    """What was found of one entry of the catalogue."""

    name: str
    kind: str = MISSING
    reasons: list[str] = field(default_factory=list)
    samples: int = 0


@contextmanager
def seconds(limit: int) -> Iterator[None]:
    """Raises TooLong after so long."""

    def late(*_: Any) -> None:
        raise TooLong(f"longer than {limit} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(limit)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def catalogue(dtype: torch.dtype = torch.float64) -> list[Any]:
    """The entries that have a gradient, and samples in this format."""
    from torch.testing._internal.common_methods_invocations import op_db

    entries: list[Any] = list(op_db)
    return [op for op in entries if op.supports_autograd and dtype in op.supported_dtypes("cpu")]


def named(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def coverage(names: set[str] | None = None, dtype: torch.dtype = torch.float64) -> list[Found]:
    """One finding for each entry of the catalogue, or for those of these names."""
    return [entry(op, dtype) for op in catalogue(dtype) if names is None or named(op) in names]


def entry(op: Any, dtype: torch.dtype = torch.float64) -> Found:
    """Of one entry: covered, if every sample that has a finite gradient agrees."""
    found, kinds = Found(named(op)), set()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sample in islice(op.sample_inputs("cpu", dtype, requires_grad=True), SAMPLES):
            try:
                with seconds(SECONDS):
                    kinds.add(agrees(op, sample, found))
            except (Unsupported, TooLong) as error:
                found.reasons.append(reason(error))
            except Exception as error:  # of the sample, or of an entry of ours: told, and the next one is tried
                found.reasons.append(f"{type(error).__name__}: {str(error).partition(chr(10))[0][:80]}")
    kinds.discard("")
    if found.reasons:
        differs = all("another gradient" in r or "other numbers" in r for r in found.reasons)
        found.kind = DIFFERENT if found.name in KNOWN and differs else MISSING
    elif kinds:
        found.kind = OURS if OURS in kinds else DECOMPOSED if DECOMPOSED in kinds else MOVED
    else:
        found.reasons.append("no sample with a gradient")
    return found


def reason(error: Exception) -> str:
    """The message, without the place in this file, and without what to do, which is the same for all."""
    text = str(error).removesuffix(f": {WHAT_TO_DO}")
    return text.partition("): ")[2] or text


def agrees(op: Any, sample: Any, found: Found) -> str:
    """How the sample is covered; "" where it says nothing. Reasons against it are added to what was found."""
    leaves = torch.utils._pytree.tree_leaves((sample.input, sample.args, sample.kwargs))
    inputs = [x for x in leaves if isinstance(x, torch.Tensor) and x.requires_grad]
    if not inputs or sum(x.numel() for x in inputs) > ELEMENTS:
        return ""

    def function(*_: Any) -> Any:
        return op.op(sample.input, *sample.args, **sample.kwargs)

    captured = capture(function, inputs)
    if not captured.outputs:
        return ""
    found.samples += 1
    if any(x.is_complex() for x in inputs):  # whose calls were made by parts
        captured = replace(captured, ran=unwatched(function, inputs, captured))
    off = furthest(captured)
    if off > tolerance(leaves, captured):
        found.reasons.append(f"the program gives other numbers than ran, {off:.0e} off")
        return ""
    agreements = check(captured)
    if all("not a number" in a.reason for a in agreements):
        return ""
    for agreement in agreements:
        if agreement.outcome is Outcome.DIFFERENT:
            found.reasons.append(f"another gradient: {agreement.witness}")
        elif agreement.outcome is Outcome.UNDECIDED and "not a number" not in agreement.reason:
            found.reasons.append(agreement.reason)
    if any("decomposition" in note for note in captured.notes):
        return DECOMPOSED
    return MOVED if {node.operation.name for node in captured.program.nodes} <= MOVING else OURS


def unwatched(function: Callable[..., Any], inputs: list[Any], captured: Captured) -> tuple[Any, ...]:
    """What PyTorch computes, outputs and gradients, where nobody watches."""
    results = torch.utils._pytree.tree_leaves(function())
    outputs = [x for x in results if isinstance(x, torch.Tensor) and x.requires_grad]
    pairs = zip(captured.cotangents, outputs, strict=True)
    arriving = [tensor_of(captured.given[c.index], x) for c, x in pairs]
    gradients = torch.autograd.grad(outputs, inputs, arriving, allow_unused=True)
    return tuple(None if x is None else array(x) for x in (*outputs, *gradients))


def tolerance(leaves: list[Any], captured: Captured) -> float:
    """Casts in between round to their own format; what is not known of them is not asked for."""
    names = " ".join(node.origin.name for node in captured.program.nodes) + " ".join(captured.notes)
    return 0.05 if "_to_copy" in names else ROUNDING


def furthest(captured: Captured) -> float:
    """How far the program, in floats, is from what PyTorch computed: by element, of the largest number of its array.

    What is far smaller than the other arrays' numbers is all rounding: 1e-5 of the largest of all is the least size.
    Not a number agrees with not a number, and an infinity with the same one.
    """
    both = zip((*captured.outputs, *captured.gradients), captured.ran, strict=True)
    pairs = [(v, x) for v, x in both if v is not None and x is not None]
    results = run([v for v, _ in pairs], captured.given, FLOATS)
    finite = [np.abs(x[np.isfinite(x)]).max(initial=0) for _, x in pairs]
    largest, result = max([1.0, *finite]), 0.0
    for own, (_, ran), size in zip(results, pairs, finite, strict=True):
        same = (own == ran) | (np.isnan(own) & np.isnan(ran))
        if not same.all():
            with np.errstate(invalid="ignore"):
                gap = np.abs(own - ran)[~same].max()
            result = max(result, gap / max(size, 1e-5 * largest) if np.isfinite(gap) else np.inf)
    return float(result)


def counted(findings: list[Found]) -> list[str]:
    """In Markdown: a count of each kind."""
    counts = Counter(f.kind for f in findings)
    return ["| | entries |", "|---|---|"] + [
        f"| {kind} | {counts[kind]} |" for kind in (OURS, MOVED, DECOMPOSED, DIFFERENT, MISSING)
    ]


def of_complex(findings: list[Found]) -> str:
    """In Markdown: a count of each kind, then the names of what is not covered."""
    missing = ", ".join(f"`{f.name}`" for f in findings if f.kind == MISSING)
    return "\n".join([*counted(findings), "", f"Not covered: {missing}."])


def table(findings: list[Found]) -> str:
    """In Markdown: a count of each kind, then what is not covered and why."""
    lines = counted(findings)
    lines += ["", "| entry | | why |", "|---|---|---|"]
    for found in findings:
        if found.kind in {DIFFERENT, MISSING}:
            why = KNOWN[found.name] if found.kind == DIFFERENT else "; ".join(dict.fromkeys(found.reasons))
            lines.append(f"| {found.name} | {found.kind} | {why} |")
    return "\n".join(lines)


if __name__ == "__main__":
    wanted = set(sys.argv[1:]) or None
    print(table(coverage(wanted)))
    print("\nOf complex numbers:\n")
    print(of_complex(coverage(wanted, torch.complex128)))
