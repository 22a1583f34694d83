"""The trials of the rule check: right networks are never called wrong, mistakes in backward code are refused."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("typer")

from backproof.reference.case import InvalidInput
from backproof.reference.judging import JudgedCall, JudgedRun, Verdict
from backproof.reference.programs import Origin, Unsupported
from backproof.reports.any_network import NumbersReport
from backproof.reports.trials import backward_edits, backward_trials, rule_running, rule_trials
from backproof.reports.trials.backward_trials import BackwardTrial, judged, unmutated
from backproof.reports.trials.right_code.backward_code import Affine, Softmax
from backproof.reports.trials.right_code.drawn import COMPILERS, FAMILIES, Drawn, Manner, dice, manner
from backproof.reports.trials.right_code.torch_custom import WRITTEN
from backproof.reports.trials.right_code.torch_networks import draw
from backproof.reports.trials.rule_trials import RuleTrial, trials

FIRST = 40_000


@pytest.mark.usefixtures("slow")
def test_right_networks_are_not_accused(quick: bool) -> None:
    tried = list(trials(len(FAMILIES) if quick else 8 * len(FAMILIES), FIRST))
    assert [trial for trial in tried if trial.alarm] == []
    assert sum(trial.outcome == "agrees" for trial in tried) >= 0.8 * len(tried)
    assert {trial.family for trial in tried} == set(FAMILIES)


def test_a_configuration_is_the_same_each_time() -> None:
    one, other = draw(FIRST + 3), draw(FIRST + 3)
    assert (one.words, one.dtype, one.family) == (other.words, other.dtype, other.family)
    assert draw(FIRST + 3 + len(FAMILIES)).words != one.words


@pytest.mark.usefixtures("slow")
def test_many_configurations_can_be_drawn(quick: bool) -> None:
    drawn = [draw(number) for number in range(FIRST, FIRST + (70 if quick else 1400))]
    assert len({each.words for each in drawn}) > 0.9 * len(drawn)
    assert {each.dtype for each in drawn} == {"float64", "float32", "bfloat16"}


def test_backward_code_is_right_before_it_is_edited(quick: bool) -> None:
    checked = dict(unmutated()) if not quick else {}
    assert [name for name, said in checked.items() if said != "agrees"] == []
    for family in FAMILIES:
        assert sum(written.family == family for written in WRITTEN) >= 2


def test_planted_mistakes_are_refused_where_they_are(quick: bool) -> None:
    tried = [backward_trials.try_one(FIRST + number) for number in range(2 if quick else 70)]
    visible = [trial for trial in tried if trial.visible]
    assert len(visible) > len(tried) / 3
    assert [trial for trial in visible if not trial.refused or trial.outcome == "misplaced"] == []


def test_a_mistake_is_the_same_each_time_and_leaves_the_code_alone() -> None:
    before = ast.unparse(backward_edits.source_of(Softmax).tree)
    shapes = {"grad": (2, 3), "y": (2, 3), "inner": (2, 1)}
    edits = [backward_edits.edited(Softmax, shapes, dice(5, 0))[1] for _ in range(2)]
    assert edits[0] == edits[1]
    assert edits[0].before != edits[0].after
    assert ast.unparse(backward_edits.source_of(Softmax).tree) == before


@pytest.mark.usefixtures("slow")
def test_mistakes_are_of_many_kinds() -> None:
    kinds = set()
    for number, written in enumerate(WRITTEN):
        shapes: dict[str, tuple[int, ...]] = {"grad": (2, 2)}
        kinds |= {backward_edits.edited(written.function, shapes, dice(number, k))[1].kind for k in range(12)}
    wanted = {"term dropped", "factor dropped", "sign flipped", "constant scaled", "ones for the gradient"}
    wanted |= {
        "transpose added",
        "transpose dropped",
        "another axis",
        "one axis too many",
        "mean for sum",
        "keepdim changed",
    }
    assert wanted | {"nothing returned", "zeros returned", "another saved tensor", "returned in another order"} <= kinds


def test_an_edited_function_runs_its_edited_backward() -> None:
    source = backward_edits.source_of(Affine)
    source.tree.body[-1] = ast.parse("return 2 * grad_x, None, grad_b").body[0]
    wrong: Any = backward_edits.compiled(Affine, source)
    x, w, b = (torch.ones(n, dtype=torch.float64, requires_grad=True) for n in ((2, 3), (4, 3), (4,)))
    wrong.apply(x, w, b).sum().backward()
    assert x.grad.tolist() == [[8.0] * 3] * 2
    assert w.grad is None


# ------------------------------------------------------------------------------------------ the trials can fail


def drawn(report: Callable[[], Any]) -> Drawn:
    return Drawn("MLP", "float64", "a network", report)


def raises(error: Exception) -> Callable[[], Any]:
    def report() -> Any:
        raise error

    return report


class Report(SimpleNamespace):
    def __str__(self) -> str:
        return "why"


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (lambda: Report(verdict="agrees", ok=True, reason=""), "agrees"),
        (lambda: Report(verdict="wrong", ok=False, reason=""), "wrong"),
        (lambda: Report(verdict="undecided", ok=False, reason="why"), "undecided"),
        (raises(Unsupported("why")), "unsupported"),
        (raises(RuntimeError("not implemented for 'BFloat16': why")), "unanswered"),
        (raises(ValueError("why")), "failed"),
    ],
    ids=["agrees", "wrong", "undecided", "unsupported", "unanswered", "failed"],
)
def test_what_becomes_of_a_configuration(
    monkeypatch: pytest.MonkeyPatch, report: Callable[[], Any], outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(rule_trials.FRAMEWORKS, "torch", lambda *_: drawn(report))
    trial = rule_trials.try_one(1, "torch")
    assert trial.outcome == outcome
    assert ("why" in trial.said) == (outcome != "agrees")
    assert trial.alarm == (outcome in ("wrong", "failed"))
    rule_running.show_rules([trial])
    assert outcome in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verdict", "outcome"), [("wrong", "finding"), ("undecided", "finding"), ("agrees", "agrees")], ids=str
)
def test_a_finding_that_is_declared_is_no_alarm(
    monkeypatch: pytest.MonkeyPatch, verdict: str, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report: Any = Report(verdict=verdict, ok=verdict == "agrees", reason="why")
    known = Drawn("MLP", "float64", "a network", lambda: report, "1/6 is rounded")
    monkeypatch.setitem(rule_trials.FRAMEWORKS, "torch", lambda *_: known)
    trial = rule_trials.try_one(1, "torch")
    assert (trial.outcome, trial.alarm) == (outcome, False)
    rule_running.show_rules([trial])
    assert ("1/6 is rounded" in capsys.readouterr().out) == (outcome == "finding")


@pytest.mark.usefixtures("slow")
def test_what_is_known_of_pytorch_is_declared_where_it_is_drawn() -> None:
    drawn = [draw(number) for number in range(FIRST - FIRST % len(FAMILIES), FIRST + 1400, len(FAMILIES))]
    known = {each.dtype for each in drawn if "Hardsigmoid" in each.words.split(", ") or "CELU 0.7" in each.words}
    assert {"float64", "float32"} <= known
    for each in drawn:
        inaccurate = "Hardsigmoid" in each.words.split(", ") or "CELU 0.7" in each.words
        assert bool(each.finding) == (inaccurate and each.dtype == "float64"), each


def wrong_report(inputs: tuple[int, ...], border: str | None) -> Any:
    explanation = SimpleNamespace(inputs=inputs, border=border and SimpleNamespace(name=border), text="it is doubled")
    point = SimpleNamespace(special=False)
    seen = (SimpleNamespace(point=point, wrong=lambda: [0, 2]),)
    return Report(verdict="wrong", reason="", seen=seen, explanations=(explanation,))


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (lambda: wrong_report((0, 2), "Mine"), "named"),
        (lambda: wrong_report((0,), "Mine"), "not named"),
        (lambda: wrong_report((0, 2), "Yours"), "misplaced"),
        (lambda: wrong_report((0, 2), None), "named"),
        (lambda: Report(verdict="agrees", reason=""), "agrees"),
        (lambda: Report(verdict="undecided", reason="why"), "undecided"),
        (raises(ValueError("why")), "failed"),
    ],
    ids=["named", "one input left", "misplaced", "no function named", "missed", "undecided", "failed"],
)
def test_what_becomes_of_a_mistake(report: Callable[[], Any], outcome: str, capsys: pytest.CaptureFixture[str]) -> None:
    planted = BackwardTrial(1, "MLP", "term dropped", "what was planted", "raised")
    trial = judged(planted, "Mine", report)
    assert trial.outcome == outcome
    assert trial.refused == (outcome in ("named", "not named", "misplaced"))
    rule_running.show_edits([trial, replace(planted, outcome="equivalent")])
    printed = capsys.readouterr().out
    assert ("what was planted" in printed) == (outcome != "named")
    assert "2 mistakes: 1 change nothing" in printed


def test_alike_reasons_are_told_once() -> None:
    one = RuleTrial(7, "torch", "CNN", "float32", "a network", "unsupported", "torch.fold (here): not covered")
    (line,) = rule_running.reasons([one, replace(one, number=3)])
    assert line.startswith("2, first torch 3 (a network, float32): torch.fold")


def test_jax_configurations_are_drawn_the_same_each_time(quick: bool) -> None:
    pytest.importorskip("jax")
    from backproof.reports.trials.right_code import jax_networks

    numbers = range(FIRST, FIRST + (len(FAMILIES) if quick else 8 * len(FAMILIES)))
    drawn = [jax_networks.draw(number) for number in numbers]
    assert [each.words for each in drawn] == [jax_networks.draw(number).words for number in numbers]
    assert {each.family for each in drawn} == set(FAMILIES)


@pytest.mark.usefixtures("slow")
def test_many_jax_configurations_can_be_drawn(quick: bool) -> None:
    pytest.importorskip("jax")
    from backproof.reports.trials.right_code import jax_networks

    drawn = [jax_networks.draw(number) for number in range(FIRST, FIRST + (70 if quick else 700))]
    assert len({each.words for each in drawn}) > 0.9 * len(drawn)
    assert {each.dtype for each in drawn} == {"float64", "float32", "bfloat16"}


def test_what_is_drawn_does_not_depend_on_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    from backproof.reports.trials.right_code import jax_networks

    losses = range(FAMILIES.index("loss"), 30 * len(FAMILIES), len(FAMILIES))
    before = [jax_networks.draw(number).words for number in losses]
    monkeypatch.setitem(sys.modules, "optax", None)
    assert [jax_networks.draw(number).words for number in losses] == before
    number = next(number for number, words in zip(losses, before, strict=True) if words.startswith("optax"))
    trial = rule_trials.try_one(number, "jax")
    assert (trial.outcome, trial.said) == ("unsupported", "optax is not installed")


@pytest.mark.usefixtures("slow")
def test_right_jax_functions_are_not_accused() -> None:
    pytest.importorskip("jax")
    tried = list(trials(5 * len(FAMILIES), FIRST, frameworks=("jax",)))
    assert [trial for trial in tried if trial.alarm] == []


# ------------------------------------------------------------------------------------------ mistakes in custom_vjps


def test_jax_s_backward_code_is_right_before_it_is_edited(quick: bool) -> None:
    pytest.importorskip("jax")
    from backproof.reports.trials.right_code.jax_custom import WRITTEN as OF_JAX

    assert {written.family for written in OF_JAX} == set(FAMILIES)
    checked = dict(unmutated("jax")) if not quick else {}
    assert [name for name, said in checked.items() if said != "agrees"] == []


@pytest.mark.usefixtures("slow")
def test_mistakes_in_custom_vjps_of_jax_are_refused_where_they_are(quick: bool) -> None:
    pytest.importorskip("jax")
    tried = [backward_trials.try_one(FIRST + number, "jax") for number in range(3 if quick else 35)]
    visible = [trial for trial in tried if trial.visible]
    assert quick or len(visible) > len(tried) / 3
    assert [trial for trial in visible if not trial.refused or trial.outcome == "misplaced"] == []


def test_a_custom_vjp_runs_its_edited_backward() -> None:
    jax = pytest.importorskip("jax")
    from backproof.reports.trials.right_code.jax_custom import WRITTEN as OF_JAX

    written = OF_JAX[0]
    source = backward_edits.source_of(written.rule)
    assert (source.saved, source.gradients, source.library, source.keeping) == ("saved", ["grad"], "jnp", "keepdims")
    source.tree.body[-1] = ast.parse("return 2 * grad_x, None, grad_b").body[0]
    wrong = written.function(backward_edits.compiled(written.rule, source))
    x, w, b = np.ones((2, 3)), np.ones((4, 3)), np.ones(4)
    found = jax.grad(lambda *given: wrong(*given).sum(), (0, 1, 2))(x, w, b)
    assert [np.asarray(g).tolist() for g in found] == [[[8.0] * 3] * 2, [[0.0] * 3] * 4, [2.0] * 4]
    assert wrong.__name__ == written.name == "Affine"


@pytest.mark.usefixtures("slow")
def test_mistakes_in_custom_vjps_of_jax_are_of_many_kinds() -> None:
    pytest.importorskip("jax")
    from backproof.reports.trials.right_code.jax_custom import WRITTEN as OF_JAX

    shapes: dict[str, tuple[int, ...]] = {"grad": (2, 2), "x": (2, 2), "w": (2, 2)}
    kinds = {
        backward_edits.edited(written.rule, shapes, dice(number, k))[1].kind
        for number, written in enumerate(OF_JAX)
        for k in range(12)
    }
    wanted = {"term dropped", "factor dropped", "sign flipped", "ones for the gradient", "keepdim changed"}
    assert wanted | {"transpose dropped", "another saved tensor", "another of its shape", "nothing returned"} <= kinds


def test_the_numbers_of_runs_are_tried_too_and_a_suspect_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    right = rule_trials.try_one(4, "torch", numbers=True)
    assert (right.outcome, right.alarm) == ("agrees", False)
    report: Any = Report(verdict=Verdict.SUSPECT, ok=False, reason="", run=JudgedRun(()))
    drawn = Drawn("MLP", "float32", "a network", lambda: report, numbers=lambda: report)
    monkeypatch.setitem(rule_trials.FRAMEWORKS, "torch", lambda number, numbers, device: drawn)
    accused = rule_trials.try_one(1, "torch", numbers=True)
    assert (accused.outcome, accused.alarm) == ("suspect", True)


def result(name: str, verdict: Verdict, observed: float = 1.0, dtype: str = "float16") -> JudgedCall:
    return JudgedCall(Origin(name), 0, (2,), dtype, verdict, 2.0, 2.0, (0,), observed, expected=0.4, allowed=0.1)


OF_LOGISTIC = result("logistic", Verdict.WRONG, observed=0.0)


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        ([OF_LOGISTIC], "finding"),
        ([OF_LOGISTIC, result("compiled: output 0", Verdict.WRONG)], "finding"),
        ([result("compiled: output 0", Verdict.WRONG)], "wrong"),
        ([OF_LOGISTIC, result("mul", Verdict.WRONG)], "wrong"),
        ([result("logistic", Verdict.WRONG, observed=0.5)], "wrong"),
        ([result("logistic", Verdict.WRONG, observed=0.0, dtype="float32")], "wrong"),
    ],
    ids=["known", "what follows", "compiled alone", "another", "another inaccuracy", "another format"],
)
def test_what_is_known_of_a_kernel_is_a_finding_and_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch, results: list[JudgedCall], outcome: str
) -> None:
    report = NumbersReport("f", JudgedRun(tuple(results)))
    right = Drawn("MLP", "float16", "a network", lambda: None, numbers=lambda: report)  # type: ignore[arg-type, return-value]
    monkeypatch.setitem(rule_trials.FRAMEWORKS, "jax", lambda number, numbers, device: right)
    assert rule_trials.try_one(1, "jax", numbers=True).outcome == outcome


def test_a_configuration_s_manner_is_its_number_s_and_all_manners_come() -> None:
    drawn_manners = [manner(number) for number in range(300)]
    assert drawn_manners == [manner(number) for number in range(300)]
    assert {m.compiler for m in drawn_manners} == set(COMPILERS)
    assert {m.threads for m in drawn_manners} == {1, 2, 4}
    assert {m.half for m in drawn_manners} == {m.autocast for m in drawn_manners} == {False, True}
    assert Manner(threads=2, scale=30.0, compiler="eager", autocast=True).words == (
        ", 2 threads, inputs × 30, compiled by eager, autocast"
    )
    assert not Manner().words


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_device_that_is_not_there_is_said_before_anything_runs(framework: str) -> None:
    pytest.importorskip(framework)
    with pytest.raises(InvalidInput, match=rf"--device tpu9: {framework} has none here"):
        rule_trials.on(framework, "tpu9")
