"""Random edits: drawn from their number alone, planted in a right network, and tried on data that nobody has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")
pytest.importorskip("ml_dtypes")

from backproof.reference.backprop import RULES, Rules, weight_gradient
from backproof.reference.case import Case
from backproof.reference.diagnosis.explanation import Diagnosis, Explanation, by_rules
from backproof.reference.judging.observation import Place
from backproof.reference.numbers.arithmetic import Arithmetic, Matrix
from backproof.reports.trials import edit_trials, running
from backproof.reports.trials.edit_trials import EditTrial, evidence_of, refused, trials, tried_on_new_probes, try_one
from backproof.reports.trials.handwritten_network import STEPS, Edit, Network, run
from backproof.reports.trials.kinds_of_edits import MAKERS, OPERANDS
from backproof.reports.trials.random_edits import Edited, draw

FIRST = 20_000
# Of visible edits: as measured, not as wished; the goal is 95 % described and none explained falsely.
DESCRIBED, FALSELY = 0.7, 0.02


@pytest.mark.usefixtures("slow")
def test_every_visible_edit_is_refused_most_are_described_and_hardly_one_is_explained_falsely(quick: bool) -> None:
    tried = list(trials(6 if quick else 100, FIRST))
    assert [trial for trial in tried if trial.missed and trial.outcome != "false"] == []
    assert sum(trial.outcome == "false" for trial in tried) <= FALSELY * len(tried)
    assert sum(trial.outcome == "described" for trial in tried) > len(tried) / 3
    visible = [t for t in tried if t.outcome not in ("invisible", "within bounds") and t.dtype.endswith(("32", "64"))]
    described = [t for t in visible if t.outcome == "described"]
    assert quick or len(described) >= DESCRIBED * len(visible), [t for t in visible if t not in described]


def test_an_edit_is_the_same_each_time() -> None:
    one, other = draw(77), draw(77)
    assert (one.network, list(map(str, one.edits))) == (other.network, list(map(str, other.edits)))
    for (_, first), (_, second) in zip(gradients(one), gradients(other), strict=True):
        assert np.array_equal(first, second, equal_nan=True)
    assert str(draw(78).network) != str(one.network)


def gradients(edited: Edited) -> Iterator[tuple[int, Any]]:
    for case in edited.cases:
        yield from run(edited.network, case, edited.edits).weight_gradients.items()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (60017, "takes the derivative of relu for that of identity"),  # right on the single samples, and on them alone
        (60149, "multiplies z by 0.5"),  # of tanh, −0.5 gives activations in the same direction
        (60080, "adds −0.038523 · w"),  # whose other digits the data do not have
    ],
)
def test_what_once_was_told_wrongly_or_not_at_all(number: int, words: str) -> None:
    trial = try_one(number)
    assert trial.outcome == "described"
    assert any(words in said for said in trial.said)


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(5, 1)
@pytest.mark.parametrize(
    "number",
    [
        50092,  # one sample shows z² or a² of a ReLU above zero
        80261,  # the sample in the middle or the third: at most two have a gradient there
        80453,
        80740,
        80972,  # a hidden activation behind which no δ is a number: its derivative may be the old one
        700506,  # ∂E/∂o is clipped or δ: all that is clipped stands where leaky ReLU's derivative is 1
        721035,  # in bfloat16, 1.01 times a gradient is no more than its roundings
        90926,  # a derivative of the loss that makes all below it NaN, and a transposed gradient there
    ],
)
def test_what_the_probes_do_not_tell_apart_is_not_told(number: int) -> None:
    assert try_one(number).outcome == "not described"


def test_without_edits_the_network_is_right(quick: bool) -> None:
    """So that what is refused is refused for the edit."""
    networks = [draw(number) for number in range(FIRST, FIRST + (8 if quick else 300))]
    wrong = [e.network for e in networks if refused(evidence_of(e.network, e.cases), e.network.convention)]
    assert wrong == []
    assert {e.network.fused for e in networks} == {False, True}


def test_edits_are_of_many_kinds_and_change_steps_that_there_are(quick: bool) -> None:
    drawn = [draw(number) for number in range(FIRST, FIRST + (60 if quick else 600))]
    edits = [edit for edited in drawn for edit in edited.edits]
    assert {step for edit in edits for step in edit.changes} <= set(STEPS)
    assert set(OPERANDS.values()) <= set(STEPS)
    assert len({edit.kind for edit in edits}) > len(MAKERS) / 2
    assert quick or {edit.kind for edit in edits} == set(MAKERS)
    for edited in drawn:
        layers = [edit.layer for edit in edited.edits]
        assert len(layers) == 1 or (None not in layers and len(set(layers)) == 2)


def test_every_step_can_be_edited() -> None:
    """A change in any step, in any layer that has it, arrives at the gradients."""
    network = Network((3, 3, 3), ("tanh", "sigmoid"), "half_squared_error", "mean", (True, True), "float64", False)
    (case,) = network.cases((4,), 0)
    honest = run(network, case)
    for step in STEPS:
        for k in (0, 1):
            edited = run(network, case, [Edit("", "", {step: lambda right, q, k: right * 1.5 + 0.1}, k)])
            changed = any(
                not np.array_equal(one[layer], other[layer])
                for one, other in (
                    (honest.weight_gradients, edited.weight_gradients),
                    (honest.bias_gradients, edited.bias_gradients),
                )
                for layer in one
            )
            only_below = step in ("delta above", "weights above", "error")
            only_last = step in ("targets", "output_error", "divisor")
            assert changed == (k == 0 if only_below else k == 1 if only_last else True), (step, k)


# ------------------------------------------------------------------------------------------ the trial can fail

DOUBLED = Edited(
    network := Network((3, 4, 2), ("tanh", "identity"), "squared_error", "sum", (True, True), "float64", False),
    network.cases((4, 1, 2, 1), 0),
    (Edit("doubled", "weight gradient times 2", {"weight_gradient": lambda right, q, k: right * 2}, None),),
)
ROUNDED = replace(DOUBLED, edits=(replace(DOUBLED.edits[0], format="bfloat16"),))


def scaled(factor: float) -> Explanation:
    """The explanation that weight gradients are a multiple of the right ones."""

    def rules(_: Case) -> Rules:
        return replace(
            RULES,
            weight_gradient=lambda delta, inputs, ar: ar.elementwise(
                lambda g, fn: g * factor, weight_gradient(delta, inputs, ar)
            ),
        )

    return Explanation((), f"scales by {factor}", "", prediction=by_rules(rules, DOUBLED.network.convention))


def of_the_cases_seen(case: Case, _: Arithmetic) -> Mapping[Place, Matrix] | None:
    """A prediction that was looked up, not computed."""
    seen: dict[str, Mapping[Place, Matrix]] = {}
    return seen[case.name]


RIGHT, WRONG = scaled(2.0), scaled(2.0 + 1e-9)
TF32, BFLOAT16 = (replace(RIGHT, names=(f"forward-in-{name}",)) for name in ("tf32", "bfloat16"))


@pytest.mark.parametrize(
    ("edited", "explanations", "outcome", "others"),
    [
        (DOUBLED, [RIGHT], "described", 0),
        (DOUBLED, [RIGHT, WRONG], "described", 1),
        (DOUBLED, [WRONG, RIGHT], "false", 0),
        (DOUBLED, [], "not described", 0),
        (DOUBLED, [BFLOAT16], "false", 0),
        (ROUNDED, [BFLOAT16], "described", 0),
        (ROUNDED, [TF32], "false", 0),
        (DOUBLED, [replace(RIGHT, prediction=None)], "not described", 0),
        (DOUBLED, [replace(RIGHT, prediction=lambda case, ar: None)], "not described", 0),
        (DOUBLED, [replace(RIGHT, prediction=of_the_cases_seen)], "not described", 0),
        (DOUBLED, [RIGHT, replace(RIGHT, prediction=of_the_cases_seen)], "described", 0),
    ],
    ids=[
        "holds",
        "first holds",
        "fails",
        "nothing said",
        "no rounding",
        "rounding",
        "another format",
        "no prediction",
        "claims nothing",
        "of the cases seen alone",
        "one that holds, one of the cases seen alone",
    ],
)
def test_what_is_said_must_hold_on_new_probes(
    edited: Edited, explanations: list[Explanation], outcome: str, others: int
) -> None:
    found = tried_on_new_probes(edited, Diagnosis(tuple(explanations), 1))
    assert (found["outcome"], found.get("others", 0)) == (outcome, others)
    assert found.get("off", 0) < 1e-6


def raising(*_: object) -> Diagnosis:
    raise ArithmeticError("too hard")


@pytest.mark.parametrize(
    ("name", "replacement", "outcome"),
    [
        ("diagnose", lambda *_: Diagnosis((), 1), "not described"),
        ("diagnose", lambda *_: Diagnosis((WRONG,), 1), "false"),
        ("diagnose", raising, "failed"),
        ("refused", lambda *_: False, "undetected"),
    ],
)
def test_every_failure_is_an_outcome(
    name: str, replacement: Callable[..., Any], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edit_trials, "draw", lambda number: DOUBLED)
    monkeypatch.setattr(edit_trials, name, replacement)
    trial = try_one(0)
    assert trial.outcome == outcome
    assert trial.missed == (outcome != "not described")
    assert trial.change > 1e15
    assert trial.said == (("ArithmeticError: too hard",) if outcome == "failed" else trial.said)


def test_what_changes_nothing_is_invisible(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Edit("", "", {"delta": lambda right, q, k: right * (1 + 2e-15)}, None)
    monkeypatch.setattr(edit_trials, "draw", lambda number: replace(DOUBLED, edits=(nothing,)))
    assert try_one(0).outcome == "invisible"


def test_of_two_edits_one_that_nothing_shows_need_not_be_described(monkeypatch: pytest.MonkeyPatch) -> None:
    def above_of_five(factor: float, otherwise: float) -> Edit:
        def times(right: Any, q: Any, k: int) -> Any:
            return right * (factor if len(q.inputs) == 5 else otherwise)

        return Edit("part scaled", "", {"weight_gradient": times}, 1)

    below = Edit("part scaled", "", {"weight_gradient": lambda right, q, k: right * 2}, 0)
    for above, outcome in ((above_of_five(3.0, 1.0), "described"), (above_of_five(3.0, -1.0), "false")):
        edited = replace(DOUBLED, edits=(below, above))
        monkeypatch.setattr(edit_trials, "draw", lambda number, edited=edited: edited)
        assert try_one(0).outcome == outcome


def trial(outcome: str, dtype: str = "float64", kind: str = "slope replaced") -> EditTrial:
    return EditTrial(7, kind, dtype, "layer 0: something · a network", outcome, ("says so",), seconds=0.5)


@pytest.mark.parametrize(
    ("outcomes", "failed"),
    [
        ([("described", "float64"), ("not described", "float32"), ("invisible", "float64")], False),
        ([("described", "float64"), ("undetected", "bfloat16")], False),
        ([("described", "float64"), ("undetected", "float32")], True),
        ([("false", "float16")], True),
        ([("failed", "float64")], True),
    ],
)
def test_what_a_campaign_of_edits_comes_to(
    outcomes: list[tuple[str, str]], failed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = [trial(*outcome) for outcome in outcomes]
    monkeypatch.setattr(edit_trials, "trials", lambda *given: iter(tried))
    assert running.edits(len(tried), 0, None, None) is failed
    said = "\n" + capsys.readouterr().out
    for each in tried:
        line = f"\n{each.outcome}: 7 layer 0: something · a network\n        said: says so"
        assert (line in said) == (each.missed or each.outcome == "not described")


def test_the_table_has_each_kind_by_format_and_all_of_them() -> None:
    tried = [trial("described"), trial("false", kind="two: a + b"), trial("described", "float32"), trial("invisible")]
    rows, headers = running.table_of_edits(tried)
    assert [row[0] for row in rows] == ["slope replaced", "two: a + b", "all"]
    assert headers == ["described of", "float64", "float32"]
    assert rows[-1] == ["all", "1 of 2", "1 of 1"]
    figures = running.figures_of_edits(tried)
    assert figures[0] == ("float64 and float32: 3 visible edits, 100.0% refused, 66.7% described, 1 explained falsely")
    assert figures[1] == "processor time of a diagnosis: median 0.50 s, 95 % under 0.50 s"
