"""The published vectors: they are what the generator makes, what the balls prove, and what a reader can rely on."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgspec")
from backproof.adapters.plain_python import observe
from backproof.adapters.protocol import case_of
from backproof.reference.case import Case, InvalidInput, run
from backproof.reference.diagnosis.catalogue.faults import FAULTS, faulty_rules
from backproof.reference.judging.truth import certified
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.precision import PRECISIONS
from backproof.reports.vectors import making as vectors_making
from backproof.reports.vectors import reading as vectors
from backproof.reports.vectors.checking import check
from backproof.reports.vectors.making import generate
from backproof.reports.vectors.reading import numbered, read, show, verify_answers
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[3] / "vectors"
COMMAND = Path(sys.executable).with_name("backproof")


@cache
def published() -> dict[str, Any]:
    """The files, read once."""
    return dict(read(FOLDER))


@cache
def by_number() -> dict[int, Any]:
    return numbered(FOLDER)


@cache
def in_float64() -> dict[int, Case]:
    return {n: case_of(t.request, f"test {n}") for n, t in by_number().items() if t.request.dtype == "float64"}


def features() -> str:
    """The instructions that NumPy would use beyond its baseline."""
    found: list[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return " ".join(found)


PROCESSORS = {
    "as-it-is": {},
    "no-simd": {"NPY_DISABLE_CPU_FEATURES": features()},
    "nehalem": {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1"},
    "prescott": {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": features()},
}
MADE_AND_CHECKED = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from backproof.reports.vectors.checking import check
from backproof.reports.vectors.making import generate
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
assert check(folder) == [], check(folder)[:5]
for path in generate(out):
    assert path.read_bytes() == (folder / path.name).read_bytes(), path
"""


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_they_are_the_same_and_proved_on_every_processor(processor: str, tmp_path: Path) -> None:
    """In a process of its own, whose kernels have fewer instructions, or other ones."""
    environment = {**os.environ, **PROCESSORS[processor]}
    finished = subprocess.run(
        [sys.executable, "-c", MADE_AND_CHECKED, str(FOLDER), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.usefixtures("slow")
def test_a_kink_in_them_is_in_the_exact_numbers_too() -> None:
    """lo and hi enclose every slope only where the exact z is 0: none may be 0 just within rounding."""
    for number, test in by_number().items():
        case = case_of(test.request, f"test {number}")
        if any("relu" in str(layer.activation) for layer in case.layers):
            bounds, exact = run(case, BoundedArithmetic(PRECISIONS[case.dtype])).forward, certified(case).forward
            for layer, z, balls in zip(case.layers, bounds.pre_activations, exact.pre_activations, strict=True):
                for i, j in np.argwhere(np.abs(z.value) <= z.error) if "relu" in str(layer.activation) else ():
                    assert balls[int(i), int(j)] == 0, number


@pytest.mark.usefixtures("slow")
def test_they_are_proved_in_balls_by_code_that_did_not_make_them() -> None:
    assert check(FOLDER) == []


@pytest.mark.usefixtures("slow")
def test_they_come_with_the_package_and_are_small() -> None:
    assert numbered() == by_number()
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json")) < 5 * 2**20


@pytest.mark.usefixtures("slow")
def test_they_fit_their_schema(sampled: Callable[[int, int], None]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((FOLDER / "schema.json").read_text())
    for path in FOLDER.glob("[w-x]*.json"):
        jsonschema.validate(json.loads(path.read_text()), schema)


def right() -> list[Any]:
    return [
        {"weights": layer.weights.lo, "biases": layer.biases and layer.biases.lo[0]}
        for layer in by_number()[2].expected.gradients
    ]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t["expected"]["outputs"]["lo"][0].__setitem__(0, 0.6), "the exact result is not surely between lo and hi"),
        (lambda t: t["expected"]["outputs"]["decimal"][0].__setitem__(0, "0.50650948296532119850769371674158489265"), "the decimal is not right to 40 digits"),
        (lambda t: t["expected"]["outputs"]["hi"][0].__setitem__(0, 0.507), "lo and hi are farther apart than they need be"),
        (lambda t: t["expected"]["outputs"]["tolerance"][0].__setitem__(0, 1e-18), "the tolerance is below what honest rounding may do"),
        (lambda t: t["faults"][0]["gradients"].__setitem__(slice(None), right()), "none of its numbers is outside the tolerance"),
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


@pytest.mark.usefixtures("slow")
def test_on_an_executor_the_check_finds_the_same_in_the_same_order(tmp_path: Path) -> None:
    whole = json.loads((FOLDER / "worked-example.json").read_text())
    for test in whole["groups"][0]["tests"]:
        test["expected"]["outputs"]["hi"][0][0] = 0.9
    (tmp_path / "spoiled.json").write_text(json.dumps(whole))
    found = check(tmp_path)
    assert len(found) >= len(whole["groups"][0]["tests"])
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        assert check(tmp_path, executor) == found


def numbers_of(test: Any) -> Any:
    return test["expected"]["gradients"][0]["weights"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: numbers_of(t)["lo"].pop(), "weight_gradients[0]: lo: expected 3 × 3"),
        (lambda t: numbers_of(t)["tolerance"][0].pop(), "weight_gradients[0]: tolerance: expected 3 × 3"),
        (lambda t: t["expected"]["gradients"].pop(), "expected numbers for every layer's parameters"),
        (lambda t: t["expected"].__setitem__("updated", None), "expected numbers for every layer's parameters"),
        (lambda t: t["faults"][0]["gradients"].pop(), "expected numbers in the shape of the gradients"),
        (lambda t: numbers_of(t)["decimal"][0].__setitem__(0, "one"), "the decimal is not right to 40 digits"),
    ],
    ids=["row", "number", "layer", "updated", "fault", "decimal"],
)
def test_the_check_sees_what_is_missing(spoil: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    whole = json.loads((FOLDER / "worked-example.json").read_text(encoding="utf-8"))
    spoil(whole["groups"][0]["tests"][1])
    (tmp_path / "spoiled.json").write_text(json.dumps(whole), encoding="utf-8")
    assert any(message in problem for problem in check(tmp_path)), check(tmp_path)


def test_a_test_that_is_there_twice_or_not_at_all_is_refused(tmp_path: Path) -> None:
    text = (FOLDER / "worked-example.json").read_text(encoding="utf-8")
    (tmp_path / "a").mkdir()
    for name in ("one.json", "other.json"):
        (tmp_path / "a" / name).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"other.json: test \d+ is there twice"):
        check(tmp_path / "a")
    whole = json.loads(text)
    whole["groups"][0]["tests"].pop()
    (tmp_path / "fewer.json").write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(InvalidInput, match="fewer.json: it says that it has 4 tests; got 3"):
        check(tmp_path)


def test_a_request_that_makes_no_case_is_refused(tmp_path: Path) -> None:
    for k, (name, value) in enumerate((("dtype", "float7"), ("inputs", [[1.0], [1.0, 2.0]]), ("loss", "none"))):
        whole = json.loads((FOLDER / "worked-example.json").read_text(encoding="utf-8"))
        whole["groups"][0]["tests"][0]["request"][name] = value
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / "x.json").write_text(json.dumps(whole), encoding="utf-8")
        with pytest.raises(InvalidInput, match="test 1: its request makes no case"):
            check(folder)


@pytest.mark.usefixtures("slow")
def test_every_fault_is_told_by_some_test_unless_it_needs_another_case() -> None:
    told = {name for test in by_number().values() for fault in test.faults for name in fault.names}
    assert len(told) >= 85
    assert told <= {fault.name for fault in FAULTS}


@pytest.mark.usefixtures("slow")
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


def written(tmp_path: Path, answers: list[Any]) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(a if isinstance(a, str) else json.dumps(a) for a in answers))
    return path


@pytest.mark.usefixtures("slow")
def test_a_file_of_right_answers_agrees(tmp_path: Path) -> None:
    report = verify_answers(written(tmp_path, [answer(n, case) for n, case in in_float64().items()]))
    assert report.verdict == "agrees", str(report)
    assert report.digits is not None


@pytest.mark.usefixtures("slow")
def test_a_file_of_wrong_answers_is_diagnosed_over_all_of_them(tmp_path: Path) -> None:
    path = written(
        tmp_path, [answer(n, case, "hidden-delta-without-derivative") for n, case in in_float64().items() if n < 15]
    )
    report = verify_answers(path)
    assert report.verdict == "wrong"
    assert report.findings[0].startswith("fault `hidden-delta-without-derivative` alone explains all")


def test_a_json_array_will_do_and_unusable_lines_are_said(tmp_path: Path) -> None:
    array = written(tmp_path, [json.dumps([answer(1, in_float64()[1]), answer(2, in_float64()[2])])])
    assert verify_answers(array).verdict == "agrees"
    mixed = [answer(1, in_float64()[1]), "{", {"id": 4711}, {"id": 2}, {"id": 2, "outputs": [[1, 2]]}]
    report = verify_answers(written(tmp_path, mixed))
    assert report.verdict == "unanswered"
    text = str(report)
    assert "line 2: not JSON" in text
    assert "line 3: id: expected a test's number, 1 to 178; got 4711" in text
    assert "test 2: expected at least one of outputs" in text
    assert "test 2: outputs: expected 1 × 1 (samples × outputs), got 1 × 2" in text


@pytest.mark.usefixtures("slow")
def test_two_answers_to_a_test_do_not_agree_twice(tmp_path: Path) -> None:
    right, wrong = answer(2, in_float64()[2]), answer(2, in_float64()[2], "hidden-delta-without-derivative")
    report = verify_answers(written(tmp_path, [answer(1, in_float64()[1]), right, right]))
    assert (report.verdict, report.ok) == ("unanswered", False)
    assert "line 3: test 2 has been answered in line 2. Expected one answer to a test." in report.findings
    assert len(report.probes) == 2
    assert verify_answers(written(tmp_path, [right, wrong])).verdict == "wrong"
    assert verify_answers(written(tmp_path, [wrong, right])).verdict == "wrong"
    many = verify_answers(written(tmp_path, [right] * 30))
    assert many.findings[-1] == "… and 21 more lines"


def unfit(tmp_path: Path, kind: str) -> Path:
    """A place that vectors cannot be written to."""
    if kind == "long":
        return tmp_path / ("x" * 5000)
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("mine", encoding="utf-8")
    elif kind == "below-a-file":
        (tmp_path / "file").write_text("mine", encoding="utf-8")
        place = tmp_path / "file" / "place"
    else:
        (place / "xor.json").mkdir(parents=True)
    return place


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", ["file", "below-a-file", "long", "folder-in-the-way"])
def test_where_they_cannot_be_written_one_line_says_so(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors_making, "vector_files", lambda: {"xor": published()["worked-example.json"]})
    place = unfit(tmp_path, kind)
    before = contents(tmp_path)
    with pytest.raises(InvalidInput, match="expected a folder that can be written to") as refused:
        generate(place)
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("written_before", [0, 2])
def test_on_a_full_disk_nothing_is_half_written(
    number: int, written_before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        vectors_making,
        "vector_files",
        lambda: {"xor": published()["worked-example.json"], "kinks": published()["worked-example.json"]},
    )
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "xor.json").write_text("old", encoding="utf-8")
    before = contents(tmp_path)
    write, left = Path.write_text, [written_before]

    def failing(path: Path, text: str, **more: Any) -> int:
        if left[0] == 0:
            write(path, text[: len(text) // 2], **more)
            raise OSError(number, os.strerror(number))
        left[0] -= 1
        return write(path, text, **more)

    monkeypatch.setattr(Path, "write_text", failing)
    for place in (tmp_path / "old", tmp_path / "new" / "below"):
        left[0] = written_before
        with pytest.raises(InvalidInput, match=os.strerror(number)):
            generate(place)
        assert contents(tmp_path) == before


@pytest.mark.usefixtures("slow")
def test_they_are_written_over_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_making, "vector_files", lambda: {"xor": published()["worked-example.json"]})
    place = tmp_path / "new" / "below"
    for _ in range(2):
        assert {path.name for path in generate(place)} == {path.name for path in place.iterdir()}
    assert len(list(place.iterdir())) == 3


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(InvalidInput, match="x.json: expected a file of test vectors, and this is no file"):
        check(tmp_path)
    for folder in (tmp_path / "none", FOLDER / "xor.json"):
        with pytest.raises(InvalidInput, match="expected a folder with vector files"):
            check(folder)
    for path in (tmp_path / ("y" * 5000), Path("a\nb")):
        with pytest.raises(InvalidInput) as refused:
            check(path)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 400


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


@pytest.mark.usefixtures("slow")
def test_the_command_line(tmp_path: Path) -> None:
    path = written(tmp_path, [answer(1, in_float64()[1])])
    for arguments, code in ((["verify", "--answers", str(path)], 0), (["vectors", "check"], 0), (["vectors", "show", "1"], 0),
                            (["vectors", "show", "0"], 2), (["vectors", "check", str(tmp_path)], 2),
                            (["vectors", "generate", str(path)], 2), (["vectors", "generate", "x" * 5000], 2),
                            (["vectors", "check", "x" * 5000], 2), (["verify", "--answers", "x" * 5000], 2),
                            (["verify", "--answers", str(tmp_path)], 2)):  # fmt: skip
        finished = subprocess.run([str(COMMAND), *arguments], capture_output=True, text=True, check=False)
        assert finished.returncode == code, finished
        assert "Traceback" not in finished.stderr
        assert code != 2 or finished.stderr.startswith("error: "), finished.stderr


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_any_answers_file_is_read_without_a_traceback(text: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "answers.json")
        path.write_text(text, encoding="utf-8", newline="")
        try:
            verify_answers(path)
        except InvalidInput as refused:
            assert len(str(refused)) < 2000  # noqa: PT017 — either way will do


@given(st.integers(0, 3000), st.text(min_size=1, max_size=3))
def test_a_spoiled_vectors_file_is_read_or_refused(at: int, what: str) -> None:
    text = (FOLDER / "worked-example.json").read_text(encoding="utf-8")
    with TemporaryDirectory() as folder:
        (Path(folder) / "x.json").write_text(text[:at] + what + text[at + len(what) :], encoding="utf-8")
        try:
            assert list(read(Path(folder)))
        except InvalidInput as refused:
            assert "no file of test vectors" in str(refused)  # noqa: PT017


@pytest.mark.usefixtures("slow")
def test_flags_and_descriptions_are_complete() -> None:
    for file in published().values():
        every = [test for group in file.groups for test in group.tests]
        assert {flag for test in every for flag in test.flags} == set(file.flags)
        assert {n for test in every for fault in test.faults for n in fault.names} == set(file.fault_descriptions)
        assert len(every) == file.number_of_tests
    assert set(vectors.FLAGS) >= {flag for file in published().values() for flag in file.flags}


TAMPERED: dict[str, tuple[Any, str]] = {
    "a tolerance a million times too wide": (
        lambda file, test: test["expected"]["outputs"]["tolerance"][0].__setitem__(0, 1e-9), "above what honest",
    ),
    "no tolerance at all": (
        lambda file, test: test["expected"]["loss"]["tolerance"][0].__setitem__(0, None), "above what honest",
    ),
    "a wrong answer that is not the fault's": (
        lambda file, test: test["faults"][0]["gradients"][0]["weights"][0].__setitem__(0, 0.125), "is another",
    ),
    "a fault that there is not": (lambda file, test: test["faults"][0].update(names=["none"]), "there is no fault none"),
    "a fault without a description": (lambda file, test: file["fault_descriptions"].clear(), "no description of the fault"),
    "a flag without a description": (lambda file, test: test.update(flags=["None"]), "no description of the flag None"),
    "nearby what is far": (lambda file, test: file["groups"][0].update(nearby=1.0), "nearby of float64: expected 1e-06"),
    "a group of another format": (lambda file, test: file["groups"][0].update(dtype="float16"), "its group in float16"),
    "a number that is not its request's": (lambda file, test: test.update(number=999), "its request's id is"),
}  # fmt: skip


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_tampered_with_is_a_problem(how: str, tmp_path: Path) -> None:
    change, words = TAMPERED[how]
    file = json.loads((FOLDER / "worked-example.json").read_text())
    change(file, next(test for test in file["groups"][0]["tests"] if test["faults"]))
    (tmp_path / "one.json").write_text(json.dumps(file))
    assert any(words in problem for problem in check(tmp_path)), check(tmp_path)
