"""What takes part in a gradient beside its operations: hooks of leaves, checkpoints, gradients taken on the way."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
import backproof as bp
from torch.utils.checkpoint import checkpoint

FORMATS = [torch.float64, torch.float32, torch.bfloat16]


def net(dtype: Any = torch.float32) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).to(dtype)


def drawn(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_a_hook_of_a_parameter_takes_part(dtype: Any) -> None:
    module = net(dtype)
    module[0].weight.register_hook(lambda g: g * 0.5)
    report = bp.verify(module, drawn(2, 3, dtype=dtype))
    assert report.verdict == "wrong", report
    assert "the gradient of 0.weight is halved" in str(report)
    assert len(module[0].weight._backward_hooks) == 1


def test_in_float64_too() -> None:
    from backproof.adapters.torch_program.subject import TorchSubject

    module, x = net(), drawn(2, 3).requires_grad_()
    module[0].weight.register_hook(lambda g: g * 0.5)
    x.register_hook(lambda g: -g)
    subject = TorchSubject(module, (x,))
    wide = subject.widened()
    assert wide is not None
    assert wide.roundoff < subject.roundoff
    for own, other in zip(*(s.value_and_gradient(s.start)[1] for s in (subject, wide)), strict=True):
        assert abs(own - other).max() < 1e-5


def test_so_does_one_of_an_input_and_one_that_changes_nothing_does_not() -> None:
    x = drawn(2, 3).requires_grad_()
    x.register_hook(lambda g: -g)
    report = bp.verify(net(), x)
    assert report.verdict == "wrong", report
    assert "the gradient of input 0 is negated" in str(report)
    module = net()
    module[0].weight.register_hook(lambda g: None)
    module[2].weight.register_hook(lambda g: g.clamp(-1e9, 1e9))
    assert bp.verify(module, drawn(2, 3)).ok


def test_a_hook_after_accumulation_is_not_run_and_it_is_said() -> None:
    module = net()
    module[0].weight.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(0.5) and None)
    report = bp.verify(module, drawn(2, 3))
    assert "0.weight: a hook after accumulation is not run" in str(report)


@pytest.mark.parametrize("asked", [False, True], ids=["an input that asks for no gradient", "one that asks"])
def test_a_reentrant_checkpoint(asked: bool) -> None:
    class Checkpointed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(3, 4)

        def forward(self, x: Any) -> Any:
            return checkpoint(lambda x: torch.tanh(self.inner(x)), x, use_reentrant=True).sin()

    report = bp.verify(Checkpointed(), drawn(2, 3).requires_grad_(asked))
    assert report.ok, report


def adapted(first_order: bool) -> Any:
    """A step of an inner loop. Source: Finn, Abbeel, Levine, Model-agnostic meta-learning (ICML 2017), 5.2."""

    def outer(w: Any, x: Any) -> Any:
        inner = torch.tanh(x @ w).pow(2).sum()
        (g,) = torch.autograd.grad(inner, w, create_graph=not first_order)
        return torch.tanh(x @ (w - 0.1 * g)).sum()

    return outer


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", FORMATS[:2], ids=str)
def test_a_gradient_taken_on_the_way_is_stopped_unless_it_has_a_graph(dtype: Any) -> None:
    w, x = drawn(3, 2, dtype=dtype).requires_grad_(), drawn(4, 3, dtype=dtype)
    assert bp.verify(adapted(first_order=False), (w, x)).ok
    report = bp.verify(adapted(first_order=True), (w, x))
    assert report.verdict == "undecided", report
    assert "stops a gradient: autograd.grad (test_on_the_way.py:" in " ".join(str(report).split())
    report = bp.verify(adapted(first_order=True), (w, x), stopped=True)
    assert report.ok, report
    assert "but for what is declared stopped" in " ".join(str(report).split())
