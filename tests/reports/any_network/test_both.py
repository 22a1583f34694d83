"""`numbers=True`: the rule and the numbers in one answer, through every door; what is wrong in either is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

torch: Any = pytest.importorskip("torch")
pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp
import backproof.torch as checks
from backproof.adapters.adapter import Unanswered
from backproof.reference.case import InvalidInput
from backproof.reports.any_network import NotDecided, WrongNumbers
from backproof.reports.any_network.built import Told, verify_built
from backproof.reports.any_network.rule import WrongRule
from backproof.reports.calling.answers_of_functions import FORGED, Reply, read_reply
from backproof.reports.verify import Format, _verification


def module() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.GELU())


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 6


def test_verify_has_both() -> None:
    report = bp.verify(module(), torch.randn(2, 3), loss=lambda y: (y**2).sum(), numbers=True)
    assert isinstance(report, bp.RuleAndNumbers)
    assert (report.ok, report.verdict, report.name) == (True, "agrees", "Sequential")
    report.raise_for_wrong()
    assert "to 30 digits" in report.text
    assert "is what its operation may give" in report.text
    assert "<svg" in report.to_html()
    assert not isinstance(bp.verify(module(), torch.randn(2, 3)), bp.RuleAndNumbers)


def test_a_wrong_rule_with_right_numbers_is_wrong() -> None:
    report = bp.verify(Doubled.apply, torch.randn(2, 3, requires_grad=True), numbers=True)
    assert report.verdict == "wrong"
    assert report.numbers.ok
    assert report.text.startswith("wrong: Doubled's gradient is not that of what it computes")
    with pytest.raises(WrongRule):
        report.raise_for_wrong()


@pytest.mark.usefixtures("slow")
def test_wrong_numbers_of_a_right_rule_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from backproof.adapters.torch_program import judged

    held = judged._held
    monkeypatch.setattr(judged, "_held", lambda x: held(x) * (1 + 1e-3) if x.shape == (2, 5) else held(x))
    report = bp.verify(module(), torch.randn(2, 3), numbers=True)
    assert report.rule.ok
    assert report.verdict == "wrong"
    assert report.text.startswith("wrong: Sequential: ")
    with pytest.raises(WrongNumbers):
        report.raise_for_wrong()
    x = torch.randn(2, 5, requires_grad=True)
    assert checks.gradcheck(lambda x: x.exp(), x)
    with pytest.raises(WrongNumbers):
        checks.gradcheck(lambda x: x.exp(), x, numbers=True)
    assert not checks.gradcheck(lambda x: x.exp(), x, numbers=True, raise_exception=False)


def test_what_only_the_rule_leaves_undecided_is_undecided() -> None:
    report = bp.verify(lambda x: x.detach(), torch.randn(2, 3, requires_grad=True), numbers=True)
    assert report.verdict == "undecided"
    with pytest.raises(NotDecided):
        report.raise_for_wrong()


@pytest.mark.usefixtures("slow")
def test_gradgradcheck_judges_the_numbers_of_the_backward_s_backward() -> None:
    x = torch.randn(3, requires_grad=True)
    assert checks.gradgradcheck(lambda x: x.exp() * x, x, numbers=True)


def test_jax_has_it_too() -> None:
    jax = pytest.importorskip("jax")
    from backproof.jax import check_grads

    x = jax.numpy.asarray([0.5, -1.0])
    check_grads(lambda x: jax.numpy.tanh(x) * x, (x,), 1, "rev", numbers=True)
    report = bp.verify(lambda x: jax.numpy.tanh(x).sum(), (x,), numbers=True)
    assert report.ok
    assert any(result.backward for result in report.graph)


def test_without_inputs_it_says_nothing() -> None:
    with pytest.raises(InvalidInput, match="numbers say nothing without inputs"):
        bp.verify(lambda w, b, x, y: (w, b), numbers=True)  # type: ignore[call-overload]


def told_by(line: bytes) -> Told:
    told = read_reply(line).network
    assert told is not None
    return told


@pytest.mark.usefixtures("slow")
def test_what_is_built_crosses_with_its_picture() -> None:
    told = verify_built(lambda: (module(), torch.randn(2, 3)), numbers=True)
    (line,) = msgspec.json.encode(Reply("network", network=told)).splitlines()
    again = told_by(line)
    assert again == told
    assert again.graph
    assert "<svg" in _verification(again, Format.html)
    assert "<svg" not in _verification(verify_built(lambda: (module(), torch.randn(2, 3))), Format.html)


@pytest.mark.parametrize("change", [{"verdict": '"><script>'}, {"digits": -5.0}, {"says": "</title><script>"}])
def test_a_forged_picture_is_none(change: dict[str, Any]) -> None:
    told = verify_built(lambda: (module(), torch.randn(2, 3)), numbers=True)
    forged = Told(told.verdict, told.name, told.text, (replace(told.graph[0], **change), *told.graph[1:]))
    line = msgspec.json.encode(Reply("network", network=forged))
    if "says" in change:
        assert "<script" not in told_by(line).to_html()
    else:
        with pytest.raises(Unanswered, match=FORGED):
            read_reply(line)
