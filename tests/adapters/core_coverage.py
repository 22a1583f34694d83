"""Which of PyTorch's core ATen operations the recorder covers: `python tests/adapters/core_coverage.py` prints a table.

Core are those that PyTorch tags so (torch.Tag.core): what the others are decomposed into. Source: PyTorch's IR page,
"Core ATen IR".
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from backproof.adapters.torch_program.complex_numbers import RULES
from backproof.adapters.torch_program.operations import CONSTANTS, MOVEMENTS, OPERATIONS
from backproof.adapters.torch_program.recorder import SAME_MEMORY

COVERED, MOVED, TAKEN, DECOMPOSED, MISSING = (
    "covered", "exact movement", "taken from the run", "by PyTorch's decomposition", "not covered",
)  # fmt: skip


def core() -> list[Any]:
    """Every overload that is tagged, by name."""
    names = {schema.name for schema in torch._C._jit_get_all_schemas() if schema.name.startswith("aten::")}
    packets = [getattr(torch.ops.aten, name.removeprefix("aten::"), None) for name in sorted(names)]
    found = [getattr(packet, overload) for packet in packets if packet is not None for overload in packet.overloads()]
    return sorted((op for op in found if torch.Tag.core in op.tags), key=str)


def kind(op: Any) -> str:
    """How the recorder takes one, by its tables."""
    from torch._decomp import decomposition_table

    name = op._schema.name.removeprefix("aten::")
    names = (f"{name}.{op._overloadname}", name)
    if any(known in OPERATIONS for known in names):
        return COVERED
    if op.is_view or name in SAME_MEMORY or any(known in MOVEMENTS for known in names):
        return MOVED
    tensors = [r for r in op._schema.returns if "Tensor" in str(r.type)]
    if any(known in CONSTANTS for known in names) or not tensors or not _takes_numbers(op):
        return TAKEN
    if op in decomposition_table or op._can_decompose():
        return DECOMPOSED
    return COVERED if name in RULES else MISSING


def _takes_numbers(op: Any) -> bool:
    return any("Tensor" in str(a.type) for a in op._schema.arguments)


def table() -> str:
    """In Markdown: a count of each kind, then what is not covered by a formula, or is no movement."""
    kinds = {str(op).removeprefix("aten."): kind(op) for op in core()}
    counts = Counter(kinds.values())
    lines = ["| | operations |", "|---|---|"]
    lines += [f"| {name} | {counts[name]} |" for name in (COVERED, MOVED, TAKEN, DECOMPOSED, MISSING)]
    for name in (TAKEN, DECOMPOSED, MISSING):
        of = ", ".join(f"`{op}`" for op, how in kinds.items() if how == name)
        lines += ["", f"{name[0].upper()}{name[1:]}: {of or 'none'}."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
