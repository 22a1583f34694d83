"""A results document from anywhere: rendered by what its numbers say, or refused in one line; never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
testing = pytest.importorskip("typer.testing")

import msgspec
from backproof.reference.case import InvalidInput
from backproof.reports.cli import app
from backproof.reports.comparison.matrix import compare
from backproof.reports.documents.checked import decoded, derived
from backproof.reports.documents.results import Results, encoded
from backproof.reports.views.render import FORMATS, markdown, terminal
from planted import CASES, NUMPY, doubled, planted, raises

HONEST = compare(CASES[:2], [NUMPY, planted("doubled", doubled), planted("raises", raises)])
AGREEING = compare(CASES[:2], [NUMPY])
Document = dict[str, Any]
Change = Callable[[Document], Any]


def changed(change: Change, results: Results = HONEST) -> Document:
    document: Document = json.loads(encoded(results))
    change(document)
    return document


def read(document: Document, tmp_path: Path) -> Results:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return decoded(path)


def comparison(document: Document, wrong: bool = False) -> Document:
    """A comparison of a run that agrees, or the wrong one of the one that does not."""
    if not wrong:
        return document["runs"][0]["comparisons"][0]
    return next(c for run in document["runs"] for c in run["comparisons"] if c["verdict"] == "wrong")


def test_an_honest_document_is_taken_as_it_is() -> None:
    assert derived(HONEST) == HONEST
    assert derived(AGREEING) == AGREEING


# What cannot be, and the place and the words that the refusal has.
REFUSED: dict[str, tuple[Change, str]] = {
    "a run of no case": (lambda d: d["runs"][0].update(case="nope"), r"runs\[0\]: no case \"nope\""),
    "a wrong run of no case": (lambda d: d["runs"][1].update(case="nope"), r"runs\[1\]: no case \"nope\""),
    "no cases": (lambda d: d["cases"].clear(), r"runs\[0\]: no case"),
    "a case twice": (lambda d: d["cases"].append(d["cases"][0]), r"cases\[2\]: .* is there twice"),
    "a run twice": (lambda d: d["runs"].append(d["runs"][0]), r"runs\[6\]: .* is there twice"),
    "a step twice": (
        lambda d: d["runs"][0]["comparisons"].append(comparison(d)), r"runs\[0\]\.comparisons\[\d+\]: .* is there twice"
    ),
    "an unknown verdict": (lambda d: d.update(verdict="banana"), r'verdict: expected agrees, .*; got "banana"'),
    "an unknown verdict of a run": (lambda d: d["runs"][0].update(verdict="banana"), r"runs\[0\]\.verdict: expected"),
    "a script for a verdict": (
        lambda d: d["runs"][0].update(verdict="<script>alert(1)</script>\x1b[31m\u202e"), r"runs\[0\]\.verdict: expected"
    ),
    "an unknown verdict of a step": (lambda d: comparison(d).update(verdict="fine"), r"comparisons\[0\]\.verdict"),
    "a step without an answer": (lambda d: comparison(d).update(verdict="unanswered"), r"comparisons\[0\]\.verdict"),
    "no sizes": (lambda d: d["cases"][0].update(sizes=[]), r"cases\[0\]\.sizes: expected units of two layers"),
    "one size": (lambda d: d["cases"][0].update(sizes=[3]), r"cases\[0\]\.sizes: expected units of two layers"),
    "a size of 0": (lambda d: d["cases"][0].update(sizes=[2, 0, 1]), r"cases\[0\]\.sizes\[1\]: .* from 1 to"),
    "a negative size": (lambda d: d["cases"][0].update(sizes=[-2, 2, 1]), r"cases\[0\]\.sizes\[0\]: .* got -2"),
    "a batch of 0": (lambda d: d["cases"][0].update(batch=0), r"cases\[0\]\.batch: "),
    "a layer that is not there": (lambda d: comparison(d).update(layer=7), r"comparisons\[0\]\.layer: .* from 0 to 1"),
    "a negative layer": (lambda d: comparison(d).update(layer=-1), r"comparisons\[0\]\.layer: "),
    "no elements": (lambda d: comparison(d).update(elements=0), r"comparisons\[0\]\.elements: .* from 1 to"),
    "huge counts": (lambda d: comparison(d).update(elements=10**4000), r"out of range|elements: .* got 1000"),
    "negative undecided": (lambda d: comparison(d).update(undecided=-1), r"comparisons\[0\]\.undecided: "),
    "negative wrong": (lambda d: comparison(d).update(wrong=-1), r"comparisons\[0\]\.wrong: "),
    "negative suspect": (lambda d: comparison(d).update(suspect=-1), r"comparisons\[0\]\.suspect: "),
    "more outside than there are": (
        lambda d: comparison(d).update(wrong=d["runs"][0]["comparisons"][0]["elements"], suspect=1), "elements of"
    ),
    "more shown than are wrong": (
        lambda d: comparison(d, wrong=True).update(wrong=1), r"worst: expected at most the 1 elements .* got 4"
    ),
    "shown where nothing is outside": (
        lambda d: comparison(d).update(worst=comparison(d, wrong=True)["worst"]), r"worst: expected at most the 0"
    ),
    "digits below 0": (lambda d: comparison(d).update(digits=-400), r"comparisons\[0\]\.digits: .* got -400"),
    "digits beyond measure": (lambda d: comparison(d).update(digits=1e300), r"digits: .* from 0 to 650; got 1e\+300"),
    "a negative error": (lambda d: comparison(d).update(largest_error=-1e-9), r"largest_error: expected no negative"),
    "a negative ratio": (lambda d: comparison(d).update(largest_ratio=-1), r"largest_ratio: "),
    "negative ulps": (lambda d: comparison(d).update(largest_ulps=-1), r"largest_ulps: "),
    "a negative scale error": (lambda d: comparison(d).update(scale_error=-1), r"scale_error: "),
    "a negative index": (
        lambda d: comparison(d, wrong=True)["worst"][0].update(index=[0, -1]), r"worst\[0\]\.index\[1\]: "
    ),
    "a negative ratio of an element": (
        lambda d: comparison(d, wrong=True)["worst"][0].update(ratio=-2), r"worst\[0\]\.ratio: "
    ),
    "a negative projection": (
        lambda d: comparison(d).update(aggregates=[{"direction": "itself", "ratio": -1}]), r"aggregates\[0\]\.ratio: "
    ),
    "another schema": (lambda d: d.update(schema="backproof-results/1"), "expected a results document"),
    "no runs at all": (lambda d: d.pop("runs"), "expected a results document .* missing required field `runs`"),
    "a number for a name": (lambda d: d["runs"][0].update(case=3), r"expected a results document .*\$\.runs\[0\]\.case"),
    "null for a count": (lambda d: comparison(d).update(wrong=None), "expected a results document"),
    "a lone surrogate": (lambda d: d["runs"][0].update(adapter="\ud800"), "expected a results document"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line_with_its_place(name: str, tmp_path: Path) -> None:
    change, words = REFUSED[name]
    with pytest.raises(InvalidInput, match=words) as refused:
        read(changed(change), tmp_path)
    said = str(refused.value)
    assert said.startswith(f"{tmp_path / 'results.json'}: ")
    assert said.isprintable()
    assert len(said) < len(str(tmp_path)) + 600


# What cannot be believed, and what is made of it.
LIES: dict[str, tuple[Change, str]] = {
    "agrees, though a run is wrong": (lambda d: d.update(verdict="agrees"), "wrong"),
    "all agree, though a step is wrong": (
        lambda d: [d.update(verdict="agrees"), *(run.update(verdict="agrees") for run in d["runs"])], "wrong"
    ),
    "all agree, though numbers are wrong": (
        lambda d: [d.update(verdict="agrees"), *(run.update(verdict="agrees") for run in d["runs"]),
                   *(c.update(verdict="agrees") for run in d["runs"] for c in run["comparisons"])], "wrong"
    ),
    "wrong, though no run is": (lambda d: d.update(verdict="wrong", runs=d["runs"][:1]), "agrees"),
    "agrees, without runs": (lambda d: d.update(verdict="agrees", runs=[]), "unanswered"),
    "agrees, without cases and runs": (lambda d: d.update(verdict="agrees", runs=[], cases=[]), "unanswered"),
    "agrees, with nothing compared": (
        lambda d: d.update(verdict="agrees", runs=[{**d["runs"][0], "comparisons": []}]), "unanswered"
    ),
    "agrees, with nothing decided": (
        lambda d: [d.update(verdict="agrees", runs=d["runs"][:1]),
                   *(c.update(undecided=c["elements"]) for c in d["runs"][0]["comparisons"])], "undecided"
    ),
    "agrees, with a suspect array": (
        lambda d: [d.update(verdict="agrees", runs=d["runs"][:1]),
                   comparison(d).update(aggregates=[{"direction": "itself", "ratio": None}])], "suspect"
    ),
    "wrong, though its numbers agree": (
        lambda d: [d.update(verdict="agrees", runs=d["runs"][:1]), d["runs"][0].update(verdict="wrong")], "wrong"
    ),
}  # fmt: skip
CODES = {"agrees": 0, "undecided": 0, "suspect": 0, "wrong": 1, "unanswered": 3}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", LIES)
def test_headline_and_exit_code_come_from_the_numbers(name: str, tmp_path: Path) -> None:
    change, verdict = LIES[name]
    results = read(changed(change), tmp_path)
    assert results.verdict == verdict
    assert f"\n{verdict}: " in terminal(results)
    assert f"**{verdict}: " in markdown(results)
    finished = testing.CliRunner().invoke(app, ["report", str(tmp_path / "results.json")])
    assert finished.exit_code == CODES[verdict]
    assert f"\n{verdict}: " in finished.stdout
    if not results.runs:
        assert "unanswered: nothing was compared." in finished.stdout


def test_no_runs_agree_with_nothing() -> None:
    nothing = compare([], [NUMPY])
    assert nothing.verdict == "unanswered"
    assert "unanswered: nothing was compared." in terminal(nothing)


# What is odd and can be: shown in every view.
ODD: dict[str, Change] = {
    "no runs": lambda d: d.update(runs=[]),
    "no cases nor runs": lambda d: d.update(runs=[], cases=[]),
    "empty texts": lambda d: [run.update(adapter="" if k == 0 else run["adapter"], version="", message="")
                              for k, run in enumerate(d["runs"])],
    "layers of the loss's kind": lambda d: comparison(d).update(layer=None, quantity="?"),
    "an unknown quantity": lambda d: comparison(d, wrong=True).update(quantity="x" * 1000),
    "an index of other axes": lambda d: comparison(d, wrong=True)["worst"][0].update(index=[1, 2, 3, 4]),
    "no index": lambda d: comparison(d, wrong=True)["worst"][0].update(index=[]),
    "a suspect run of nothing suspect": lambda d: d["runs"][0].update(verdict="suspect"),
    "the most digits": lambda d: comparison(d).update(digits=650.0, largest_error=0.0),
    "errors beyond measure": lambda d: comparison(d).update(
        largest_error=1.7e308, largest_ratio=1.7e308, largest_ulps=1.7e308, scale_error=1.7e308, digits=0),
    "huge sizes": lambda d: d["cases"][0].update(sizes=[2**53] * 3, batch=2**53),
    "counts beyond doubles": lambda d: comparison(d).update(elements=2**53),
    "nothing known": lambda d: [run.update(version=None, device=None, precision=None) for run in d["runs"]],
    "unknown formats": lambda d: [run.update(precision="float3", explained_by="float2") for run in d["runs"]],
    "a date that is none": lambda d: d["environment"].update(created="yesterday"),
}  # fmt: skip


@pytest.mark.sampled(28)
@pytest.mark.parametrize("view", FORMATS)
@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_shown_in_every_view(name: str, view: str, tmp_path: Path) -> None:
    results = read(changed(ODD[name]), tmp_path)
    assert results.verdict in FORMATS[view][0](results)


def test_a_comparison_with_an_old_run_reads_it_by_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(changed(lambda d: d["cases"][0].update(sizes=[]))), encoding="utf-8")
    finished = testing.CliRunner().invoke(app, ["compare", "--against", str(path)])
    assert isinstance(finished.exception, InvalidInput)
    assert "cases[0].sizes: expected" in str(finished.exception)


@pytest.mark.parametrize("name", ["none\x1b[31m\u202e.json", "", "a\x00b"])
def test_a_file_that_cannot_be_read_is_named_printably(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: ") as refused:
        decoded(tmp_path / name)
    assert str(refused.value).isprintable()


def test_each_verdict_of_a_run_is_the_worst_of_its_steps() -> None:
    counted = msgspec.structs.replace(AGREEING.runs[0].comparisons[0], wrong=1)
    run = msgspec.structs.replace(AGREEING.runs[0], comparisons=[counted, *AGREEING.runs[0].comparisons[1:]])
    results = derived(msgspec.structs.replace(AGREEING, runs=[run, *AGREEING.runs[1:]]))
    assert [r.verdict for r in results.runs] == ["wrong"] + ["agrees"] * (len(AGREEING.runs) - 1)
    assert results.runs[0].comparisons[0].verdict == "wrong"
