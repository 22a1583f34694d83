"""The published vectors: they are what the generator makes, what the balls prove, and what a reader can rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgspec")
from backproof.adapters.plain_python import observe
from backproof.adapters.protocol import case_of
from backproof.reference.case import Case, InvalidInput
from backproof.reference.faults import FAULTS, faulty_rules
from backproof.reports import vectors
from backproof.reports.vectors import check, numbered, read, show, verify_answers
from backproof.reports.vectors_making import generate
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[2] / "vectors"
COMMAND = Path(sys.executable).with_name("backproof")


def test_they_are_rebuilt_byte_for_byte(tmp_path: Path, sampled: Callable[[int, int], None]) -> None:
    sampled(1, 2)
    for path in generate(tmp_path):
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name


def test_they_are_proved_in_balls_by_code_that_did_not_make_them() -> None:
    assert check(FOLDER) == []


def test_they_come_with_the_package_and_are_small() -> None:
    assert numbered() == numbered(FOLDER)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json")) < 5 * 2**20


def test_they_fit_their_schema(sampled: Callable[[int, int], None]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((FOLDER / "schema.json").read_text())
    for path in FOLDER.glob("[w-x]*.json"):
        jsonschema.validate(json.loads(path.read_text()), schema)


RIGHT: list[Any] = [
    {"weights": layer.weights.lo, "biases": layer.biases and layer.biases.lo[0]}
    for layer in numbered(FOLDER)[2].expected.gradients
]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t["expected"]["outputs"]["lo"][0].__setitem__(0, 0.6), "the exact result is not surely between lo and hi"),
        (lambda t: t["expected"]["outputs"]["decimal"][0].__setitem__(0, "0.50650948296532119850769371674158489265"), "the decimal is not right to 40 digits"),
        (lambda t: t["expected"]["outputs"]["hi"][0].__setitem__(0, 0.507), "lo and hi are farther apart than they need be"),
        (lambda t: t["expected"]["outputs"]["tolerance"][0].__setitem__(0, 1e-18), "the tolerance is below what honest rounding may do"),
        (lambda t: t["faults"][0]["gradients"].__setitem__(slice(None), RIGHT), "none of its numbers is outside the tolerance"),
    ],
    ids=["lo", "decimal", "hi", "tolerance", "fault"],
)  # fmt: skip
def test_the_check_sees_every_kind_of_spoiled_number(
    spoil: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    whole = json.loads((FOLDER / "worked-example.json").read_text())
    test = whole["groups"][0]["tests"][1]
    assert test["number"] == 2
    spoil(test)
    (tmp_path / "spoiled.json").write_text(json.dumps(whole))
    assert any(message in problem for problem in check(tmp_path)), check(tmp_path)


def test_every_fault_is_told_by_some_test_unless_it_needs_another_case() -> None:
    told = {name for test in numbered(FOLDER).values() for fault in test.faults for name in fault.names}
    assert len(told) >= 85
    assert told <= {fault.name for fault in FAULTS}


def test_one_is_shown_for_a_person() -> None:
    text = show(2)
    assert "0.5065094829653211985076937167415848926583" in text
    assert "SignsRestored" in text
    with pytest.raises(InvalidInput, match="there are tests 1 to 178"):
        show(4711)


def answer(number: int, case: Case, fault: str | None = None) -> dict[str, Any]:
    rules = next(faulty_rules(f, case) for f in FAULTS if f.name == fault) if fault else None
    seen = observe(case) if rules is None else observe(case, rules)

    def rows(array: Any) -> Any:
        return None if array is None else [[spoken(float(x)) for x in row] for row in np.atleast_2d(array)]

    gradients = zip(seen.weight_gradients or (), seen.bias_gradients or (), strict=True)
    return {
        "id": number,
        "outputs": rows(seen.outputs),
        "gradients": [{"weights": rows(w), "biases": None if b is None else rows(b)[0]} for w, b in gradients],
    }


def spoken(x: float) -> float | str:
    return x if np.isfinite(x) else "NaN" if np.isnan(x) else "Infinity" if x > 0 else "-Infinity"


FLOAT64 = {n: case_of(t.request, f"test {n}") for n, t in numbered(FOLDER).items() if t.request.dtype == "float64"}


def written(tmp_path: Path, answers: list[Any]) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(a if isinstance(a, str) else json.dumps(a) for a in answers))
    return path


def test_a_file_of_right_answers_agrees(tmp_path: Path) -> None:
    report = verify_answers(written(tmp_path, [answer(n, case) for n, case in FLOAT64.items()]))
    assert report.verdict == "agrees", str(report)
    assert report.digits is not None


def test_a_file_of_wrong_answers_is_diagnosed_over_all_of_them(tmp_path: Path) -> None:
    path = written(
        tmp_path, [answer(n, case, "hidden-delta-without-derivative") for n, case in FLOAT64.items() if n < 15]
    )
    report = verify_answers(path)
    assert report.verdict == "wrong"
    assert report.findings[0].startswith("fault `hidden-delta-without-derivative` alone explains all")


def test_a_json_array_will_do_and_unusable_lines_are_said(tmp_path: Path) -> None:
    array = written(tmp_path, [json.dumps([answer(1, FLOAT64[1]), answer(2, FLOAT64[2])])])
    assert verify_answers(array).verdict == "agrees"
    mixed = [answer(1, FLOAT64[1]), "{", {"id": 4711}, {"id": 2}, {"id": 2, "outputs": [[1, 2]]}]
    report = verify_answers(written(tmp_path, mixed))
    assert report.verdict == "unanswered"
    text = str(report)
    assert "line 2: not JSON" in text
    assert "line 3: id: expected a test's number, 1 to 178; got 4711" in text
    assert "test 2: expected at least one of outputs" in text
    assert "test 2: outputs: expected 1 × 1 (samples × outputs), got 1 × 2" in text


def test_a_file_without_an_answer_is_refused(tmp_path: Path) -> None:
    for text in ("", "nonsense", "[]", '{"id": 0}'):
        with pytest.raises(InvalidInput, match="has no answer to a test in it"):
            verify_answers(written(tmp_path, [text]))
    with pytest.raises(InvalidInput, match="cannot be read"):
        verify_answers(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "other/1"}', "[" * 5000, "\x00"])
def test_a_file_that_is_no_vectors_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InvalidInput, match="no file of test vectors"):
        list(read(tmp_path))


def test_the_command_line(tmp_path: Path, sampled: Callable[[int, int], None]) -> None:
    sampled(1, 2)
    path = written(tmp_path, [answer(1, FLOAT64[1])])
    for arguments, code in ((["verify", "--answers", str(path)], 0), (["vectors", "check"], 0), (["vectors", "show", "1"], 0),
                            (["vectors", "show", "0"], 2), (["vectors", "check", str(tmp_path)], 2)):  # fmt: skip
        finished = subprocess.run([str(COMMAND), *arguments], capture_output=True, text=True, check=False)
        assert finished.returncode == code, finished
        assert "Traceback" not in finished.stderr


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_any_answers_file_is_read_without_a_traceback(text: str) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"backproof-fuzz-{os.getpid()}"  # noqa: S108 — one file, overwritten
    path.write_text(text, encoding="utf-8", newline="")
    try:
        verify_answers(path)
    except InvalidInput as refused:
        assert len(str(refused)) < 2000  # noqa: PT017 — either way will do
    finally:
        path.unlink()


@given(st.integers(0, 3000), st.text(min_size=1, max_size=3))
def test_a_spoiled_vectors_file_is_read_or_refused(at: int, what: str) -> None:
    text = (FOLDER / "worked-example.json").read_text(encoding="utf-8")
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"backproof-fuzz-{os.getpid()}.d"  # noqa: S108
    folder.mkdir(exist_ok=True)
    (folder / "x.json").write_text(text[:at] + what + text[at + len(what) :], encoding="utf-8")
    try:
        assert list(read(folder))
    except InvalidInput as refused:
        assert "no file of test vectors" in str(refused)  # noqa: PT017


def test_flags_and_descriptions_are_complete() -> None:
    for _, file in read(FOLDER):
        tests = [test for group in file.groups for test in group.tests]
        assert {flag for test in tests for flag in test.flags} == set(file.flags)
        assert {n for test in tests for fault in test.faults for n in fault.names} == set(file.fault_descriptions)
        assert len(tests) == file.number_of_tests
    assert set(vectors.FLAGS) >= {flag for _, file in read(FOLDER) for flag in file.flags}
