"""Networks beyond dense ones, side by side: the same weights in PyTorch, JAX and NumPy, against one truth.

Each framework's forward and backward are captured as a program. Its rule is checked, its exact gradient (in balls) is
compared with the other framework's, and the numbers that ran with that. NumPy runs the first framework's program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...adapters.adapter import known_adapters
from ...reference.programs import FLOATS, Balls, Captured, Numbers, Outcome, Value, compared, literals, pullback, run
from ...reference.programs.networks import NETWORKS, Network
from ..any_network import RuleReport, Subject, check_rule
from ..console import note, show_report, show_table
from ..options import AGREES, UNANSWERED, WRONG

Array = NDArray[Any]
BITS = 256
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class NetworkRow:
    """One network in one framework and format.

    rule: of its gradient against its own forward; None for NumPy, which runs the chain rule's program itself
    same: whether loss and gradient are exactly those of the first framework; None for the first
    digits: to how many the numbers that ran are the exact ones, relative to the largest gradient
    """

    network: str
    framework: str
    dtype: str
    rule: RuleReport | None
    same: Outcome | None
    digits: float

    @property
    def ok(self) -> bool:
        return (self.rule is None or self.rule.ok) and self.same in {None, Outcome.EQUAL, Outcome.LITERALS}


@dataclass(frozen=True)
class Exact:
    """A captured program, and its loss and gradients as values of it, for the cotangent 1."""

    captured: Captured
    values: tuple[Value, ...]

    def run(self, numbers: Numbers) -> list[Array]:
        return run(self.values, self.captured.given, numbers)


def compare_networks(networks: Sequence[Network] = NETWORKS) -> list[NetworkRow]:
    """A row for each network, framework that is installed, and format."""
    return [row for network in networks for row in _rows(network)]


def _rows(network: Network) -> list[NetworkRow]:
    rows: list[NetworkRow] = []
    first: Exact | None = None
    for framework, subject_in in SUBJECTS.items():
        if not known_adapters()[framework].present:
            continue
        for dtype in DTYPES:
            subject = subject_in(network, dtype)
            subject.moved = 0  # weights and data at generic points are enough here
            exact = _exact(subject)
            same = None if first is None else _same(first, exact)
            digits = _digits(exact.captured)
            rows.append(NetworkRow(network.name, framework, dtype, check_rule(subject), same, digits))
            if first is None:
                first = exact
                rows.append(NetworkRow(network.name, "numpy", dtype, None, None, _digits_in_numpy(exact)))
    return rows


def _exact(subject: Subject) -> Exact:
    captured = subject.capture(subject.start, 0)
    one = captured.program.constant(1.0, captured.outputs[0].shape)
    gradients = pullback(captured.outputs, [one], captured.inputs)
    return Exact(captured, (*captured.outputs, *(g for g in gradients if g is not None)))


def _same(first: Exact, other: Exact) -> Outcome:
    """Whether two programs compute the same; up to the rounding of their literals, if not to 30 digits."""
    numbers = Balls(BITS)
    with numbers.at_work():
        pairs = zip(first.run(numbers), other.run(numbers), strict=True)
        if all(compared(a, b, last=True).outcome is Outcome.EQUAL for a, b in pairs):
            return Outcome.EQUAL
    numbers = Balls(BITS, rounded_literals=literals(first.values) ^ literals(other.values))
    with numbers.at_work():
        pairs = zip(first.run(numbers), other.run(numbers), strict=True)
        overlap = all(x.overlaps(y) for a, b in pairs for x, y in zip(a.flat, b.flat, strict=True))
    return Outcome.LITERALS if overlap else Outcome.DIFFERENT


def _digits(captured: Captured) -> float:
    """Of the gradients that ran."""
    ours = pullback(captured.outputs, captured.cotangents, captured.inputs)
    ran = captured.ran[len(captured.outputs) :]
    there = [(g, x) for g, x in zip(ours, ran, strict=True) if g is not None and x is not None]
    numbers = Balls(BITS)
    return _agreeing(run([g for g, _ in there], captured.given, numbers), [x for _, x in there])


def _digits_in_numpy(exact: Exact) -> float:
    return _agreeing(exact.run(Balls(BITS))[1:], exact.run(FLOATS)[1:])


def _agreeing(balls: Sequence[Array], floats: Sequence[Array]) -> float:
    """To how many digits the floats are in the middle of the balls, relative to the largest of all."""
    numbers = Balls(BITS)
    with numbers.at_work():
        gaps = [
            abs(b - x)
            for a, f in zip(balls, floats, strict=True)
            for b, x in zip(a.flat, numbers.array(f).flat, strict=True)
        ]
        gap = max((float(g.abs_upper()) for g in gaps), default=0.0)
    size = max((float(np.abs(f).max(initial=0.0)) for f in floats), default=0.0)
    return -math.log10(gap / size) if gap and size else math.inf


def _in_torch(network: Network, dtype: str) -> Subject:
    import torch

    from ...adapters.torch_program.networks import function
    from ...adapters.torch_program.subject import TorchSubject

    parameters, inputs, targets = network.drawn()
    tensors = [torch.tensor(x, dtype=getattr(torch, dtype)).requires_grad_() for x in (*parameters.values(), *inputs)]
    return TorchSubject(function(network.name, list(parameters), targets), tensors)


def _in_jax(network: Network, dtype: str) -> Subject:
    from ...adapters.jax_program.networks import function
    from ...adapters.jax_program.subject import JaxSubject

    parameters, inputs, targets = network.drawn()
    arrays = [x.astype(dtype) for x in (*parameters.values(), *inputs)]
    return JaxSubject(function(network.name, list(parameters), targets), arrays)


SUBJECTS: dict[str, Callable[[Network, str], Subject]] = {"torch": _in_torch, "jax": _in_jax}


def shown() -> int:
    """Prints the table and what is wrong; the exit code."""
    rows = compare_networks()
    if not rows:
        note("networks: neither PyTorch nor JAX is installed: pip install 'backproof[torch]' or 'backproof[jax]'.")
        return UNANSWERED
    table = [
        [
            row.network,
            row.framework,
            row.dtype,
            "" if row.rule is None else row.rule.verdict,
            {None: "", Outcome.EQUAL: "to 30 digits", Outcome.LITERALS: "but for literals"}.get(row.same, "no"),
            f"{row.digits:.1f}",
        ]
        for row in rows
    ]
    headers = ["network", "framework", "dtype", "its rule", f"as {rows[0].framework}'s", "digits"]
    show_table(table, headers)
    for row in rows:
        if row.rule is not None and not row.rule.ok:
            show_report(f"{row.rule}\n", plain=False)
    wrong = [row for row in rows if not row.ok]
    show_report(f"{'wrong' if wrong else 'agrees'}: {len(rows) - len(wrong)} of {len(rows)} agree.\n", plain=False)
    return WRONG if wrong else AGREES
