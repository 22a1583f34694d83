"""The matrix and its views: what agrees, what is wrong, what gave no answer, and the document that says so."""

from __future__ import annotations

import json
import platform
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

import jsonschema
import msgspec
from backproof.adapters.adapter import known_adapters
from backproof.reference.case import InvalidInput
from backproof.reports.comparison.matrix import compare
from backproof.reports.documents.results import SCHEMA_FILE, Results, RunResult, encoded, schema, worst
from backproof.reports.views.junit import junit
from backproof.reports.views.render import FORMATS, markdown, prepare, terminal, write
from backproof.reports.views.tables import power_rows
from commands import in_shell
from planted import CASES, NUMPY, dies, doubled, infinite, planted, raises
from standard import CASES as STANDARD


def validated(results: Results) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(encoded(results))
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(document)
    return document


def test_what_agrees() -> None:
    results = compare(CASES, [known_adapters()["plain"], NUMPY])
    assert results.verdict == "agrees"
    assert [(run.case, run.adapter) for run in results.runs] == [(c.name, a) for c in CASES for a in ("plain", "numpy")]
    document = validated(results)
    assert msgspec.json.decode(encoded(results), type=Results) == results
    assert {run["verdict"] for run in document["runs"]} == {"agrees"}
    report = terminal(results)
    assert "agrees: no disagreement in 12 runs;" in report
    assert "wrong" not in report


def test_what_is_wrong_is_shown_in_full() -> None:
    results = compare([CASES[0]], [NUMPY, planted("doubled", doubled)])
    assert results.verdict == "wrong"
    assert [run.verdict for run in results.runs] == ["agrees", "wrong"]
    wrong = [c for c in results.runs[1].comparisons if c.verdict == "wrong"]
    assert [(c.quantity, c.layer, c.wrong) for c in wrong] == [("weight_gradients", 0, 4), ("updated_weights", 0, 4)]
    validated(results)
    for view in (terminal(results), markdown(results)):
        assert "doubled float64 · xor-hidden (2-2-1, batch 4, half_squared_error, sum)" in view
        assert "hidden layer 1 · weight gradients · 4 of 4 elements · first wrong step" in view
        assert "unit 0, input 1: expected " in view
        assert " × the tolerance" in view
        assert "wrong: 1 of 2 runs give numbers that no honest implementation gives." in view


def test_a_number_that_is_not_finite_is_wrong_and_still_valid_json() -> None:
    results = compare([CASES[0]], [planted("infinite", infinite)])
    document = validated(results)
    (wrong,) = [c for c in document["runs"][0]["comparisons"] if c["verdict"] == "wrong"]
    assert wrong["worst"][0]["got"] == "inf"
    assert wrong["largest_ratio"] is None
    assert "got inf, tolerance" in terminal(results)
    assert "not a finite number" in terminal(results)


def test_an_adapter_that_raises_is_unanswered_and_the_others_still_run() -> None:
    results = compare(CASES, [planted("burning", raises), NUMPY])
    assert results.verdict == "unanswered"
    assert [run.verdict for run in results.runs] == ["unanswered", "agrees"] * len(CASES)
    validated(results)
    for view in (terminal(results), markdown(results)):
        assert "RuntimeError: the device is on fire" in view
        assert "a second line" not in view


@pytest.mark.usefixtures("slow")
def test_a_process_that_dies_loses_its_own_cases_only_in_words() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        results = compare(CASES[:2], [planted("dying", dies)], executor=executor)
    assert [run.verdict for run in results.runs] == ["unanswered"] * 2
    assert "died" in (results.runs[0].message or "")
    validated(results)


def untimed(runs: list[RunResult]) -> list[RunResult]:
    return [msgspec.structs.replace(run, seconds=None) for run in runs]


@pytest.mark.usefixtures("slow")
def test_several_processes_give_what_one_gives() -> None:
    seen: list[str] = []
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        several = compare(CASES, [NUMPY], executor=executor, progress=lambda case: seen.append(case.name))
    assert untimed(several.runs) == untimed(compare(CASES, [NUMPY]).runs)
    assert all(run.seconds is not None and run.seconds > 0 for run in several.runs)
    assert sorted(seen) == sorted(case.name for case in CASES)


class Interrupted(Executor):
    """An executor during which the user presses Ctrl-C."""

    def __init__(self) -> None:
        self.futures = list[Future[Any]]()

    def submit(self, function: Any, /, *arguments: Any, **more: Any) -> Future[Any]:
        self.futures.append(Future())
        if len(self.futures) == 2:  # the first one is about the environment
            self.futures[-1].set_exception(KeyboardInterrupt())
        return self.futures[-1]


def test_an_interrupt_cancels_what_has_not_started() -> None:
    executor = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        compare(CASES, [NUMPY], executor=executor)
    assert all(future.cancelled() for future in executor.futures[2:])


def test_the_verdict_on_several_is_the_worst_of_them() -> None:
    assert worst(["agrees", "agrees"]) == "agrees"
    assert worst(["agrees", "undecided"]) == "agrees"
    assert worst(["undecided", "undecided"]) == "undecided"
    assert worst(["agrees", "unanswered", "undecided"]) == "unanswered"
    assert worst(["unanswered", "wrong", "agrees"]) == "wrong"


def test_the_undecided_are_counted_and_shown() -> None:
    (case,) = [c for c in CASES if c.name == "weights-of-1e30" and c.dtype == "float32"]
    results = compare([case], [NUMPY])
    undecided = sum(c.undecided for c in results.runs[0].comparisons)
    assert undecided > 0
    decided = sum(c.elements for c in results.runs[0].comparisons) - undecided
    assert f"{decided} of " in terminal(results)
    assert "numbers could be decided" in terminal(results)


def in_order(part: Any) -> Any:
    """The same schema, with its alternatives in one order: that of msgspec changes from version to version."""
    if isinstance(part, dict):
        return {key: in_order(value) for key, value in part.items()}
    if isinstance(part, list):
        return sorted(map(in_order, part), key=lambda entry: json.dumps(entry, sort_keys=True))
    return part


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = in_order(json.loads(SCHEMA_FILE.read_text()))
    assert published == in_order(schema()), "run: python -m backproof.reports.documents.results"


def test_the_schema_refuses_another_document() -> None:
    document = json.loads(encoded(compare([CASES[0]], [NUMPY])))
    validator = jsonschema.Draft202012Validator(schema())
    assert not list(validator.iter_errors(document))
    assert list(validator.iter_errors({**document, "schema": "something-else/1"}))
    assert list(validator.iter_errors({**document, "runs": [{"case": "x"}]}))


@pytest.mark.usefixtures("slow")
def test_reports_are_written_whole_or_not_at_all(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    results = compare([CASES[0]], [NUMPY])
    out = tmp_path / "a" / "b"
    prepare(out)
    assert list(tmp_path.iterdir()) == [], "a check must leave nothing behind"
    files = write(results, out)
    assert sorted(path.name for path in files) == sorted(name for _, name in FORMATS.values())
    assert all(
        path.read_text(encoding="utf-8") == render(results)
        for path, (render, _) in zip(files, FORMATS.values(), strict=True)
    )

    old = {path: path.read_text(encoding="utf-8") for path in out.iterdir()}
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(InvalidInput, match="No space left on device"):
        write(compare([CASES[1]], [NUMPY]), out)
    assert {path: path.read_text(encoding="utf-8") for path in out.iterdir()} == old


def test_an_out_that_is_a_file_is_refused_before_any_work(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidInput, match="a file is in the way"):
            prepare(out)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.usefixtures("slow")
def test_the_report_says_what_the_checks_could_see() -> None:
    """Narrower formats see less, and deeper networks do not: each step is checked by itself."""
    cases = [STANDARD[n, p] for p in ("float64", "float32", "bfloat16") for n in ("depth-2", "depth-8")]
    rows = power_rows(compare(cases, [NUMPY]))
    assert [row[:3] for row in rows] == [[p, n, "≤ 8"] for p in ("float64", "float32", "bfloat16") for n in ("2", "8")]
    seen = {(row[0], row[1]): float(row[3]) for row in rows}
    for layers in ("2", "8"):
        assert seen["float64", layers] < 1e-6 * seen["float32", layers] < 1e-6 * seen["bfloat16", layers]
    for precision in ("float64", "float32", "bfloat16"):
        assert seen[precision, "8"] < 3 * seen[precision, "2"]
    assert "| float32" in markdown(compare(cases, [NUMPY])).split("## What the checks could see")[1]


@pytest.mark.usefixtures("slow")
def test_a_wrong_run_is_diagnosed_with_a_witness() -> None:
    results = compare(CASES, [planted("doubled", doubled)])
    wrong = [run for run in results.runs if run.verdict == "wrong"]
    assert wrong
    for run in wrong:
        assert run.diagnosis[0] == "it multiplies the weight gradient by 2, in layer 1."
        assert "smallest network that shows it:" in run.diagnosis
    assert "it multiplies the weight gradient by 2, in layer 1." in terminal(results)


def test_right_gradients_beside_a_wrong_loss_are_not_explained_by_a_fault_that_does_not_show() -> None:
    """On a sigmoid net, "uses the sigmoid's derivative whatever the activation" gives the right gradients too."""
    (run,) = compare([case for case in CASES if case.name == "xor-hidden"][:1], [planted("infinite", infinite)]).runs
    assert run.verdict == "wrong"
    assert run.diagnosis[0] == "smallest network that shows it:"
    assert run.diagnosis[-1].endswith("yours is inf")


@pytest.mark.usefixtures("slow")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the level is one of x86 processors")
def test_where_jax_has_no_float16_that_is_said_once_and_no_run_fails(tmp_path: Path) -> None:
    """As on a processor without F16C, whose lack XLA would log for each symbol."""
    pytest.importorskip("jax")
    ran = in_shell("$B compare --adapter jax --case xor-hidden", tmp_path, XLA_FLAGS="--xla_cpu_max_isa=SSE4_2")
    said = (
        "jax leaves out 1 of 4 cases: float16: JAX has none on a processor without F16C, or held below it by XLA_FLAGS"
    )
    assert (ran.returncode, ran.stderr.count("float16")) == (0, 1)
    assert said in ran.stderr


def test_junit_has_each_run_s_time_and_none_where_a_document_has_none() -> None:
    results = compare(CASES[:1], [NUMPY])
    (run,) = results.runs
    timed = msgspec.structs.replace(results, runs=[msgspec.structs.replace(run, seconds=1.25)])
    assert 'tests="1" ' in junit(timed)
    assert junit(timed).count('time="1.250"') == 2, "the suite's, and the test's"
    assert "time=" not in junit(msgspec.structs.replace(results, runs=untimed([run]))).replace("timestamp=", "")
