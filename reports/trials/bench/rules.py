"""How long the rule check takes beside torch.autograd.gradcheck, slow and fast, on the same functions in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from time import process_time
from typing import Any

HEADERS = ["function", "numbers", "rule check", "gradcheck, fast", "gradcheck, once"]
RUNS = 3


def rows() -> Iterator[list[str]]:
    """A layer norm of 8 × 64, and three networks: seconds of the processor, medians of three."""
    import torch

    from ....reference.programs.networks import NETWORKS

    norm = _drawn(torch, [(8, 64), (64,), (64,)])
    subjects: list[tuple[str, Callable[..., Any], Sequence[Any]]] = [
        ("layer norm", lambda x, w, b: torch.nn.functional.layer_norm(x, (64,), w, b), norm)
    ]
    for network in NETWORKS:
        from ....adapters.torch_program.networks import function

        parameters, inputs, targets = network.drawn()
        tensors = [torch.tensor(x).requires_grad_() for x in (*parameters.values(), *inputs)]
        subjects.append((network.name, function(network.name, list(parameters), targets), tensors))
    for name, called, given in subjects:
        yield [name, str(len(given)), str(sum(x.numel() for x in given)), *map(_seconds, _timed(called, given))]


def _timed(function: Callable[..., Any], inputs: Sequence[Any]) -> list[float]:
    from torch.autograd import gradcheck

    from ...any_network.torch_doors import gradcheck as rule_check

    def fast() -> bool:
        return gradcheck(function, inputs, raise_exception=False, fast_mode=True)

    rule_check(function, inputs), fast()  # the first ones load what they need
    checked = [_taken(lambda: rule_check(function, inputs)) for _ in range(RUNS)]
    approximated = [_taken(fast) for _ in range(RUNS)]
    return [median(checked), median(approximated), _taken(lambda: gradcheck(function, inputs, raise_exception=False))]


def _taken(work: Callable[[], Any]) -> float:
    start = process_time()
    work()
    return process_time() - start


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _drawn(torch: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]
