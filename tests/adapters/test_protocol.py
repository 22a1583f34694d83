"""Protocol 1: its schema, both ways; its document's transcript; and anything at all on a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgspec")
from backproof.adapters.adapter import Unanswered
from backproof.adapters.plain_python import observe
from backproof.adapters.protocol import (
    SCHEMA_FILE,
    Request,
    case_of,
    line_of,
    observation_of,
    printable,
    request,
    schema,
)
from backproof.reference.case import Case
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.verdict import Verdict
from hypothesis import given
from hypothesis import strategies as st
from standard import CASES

ROOT = Path(__file__).parents[2]
NETWORK = Convention(("sigmoid", "sigmoid"), "half_squared_error")
(CASE,) = (NETWORK.applied(case) for case in probes((2, 2, 1), (2,), "separate", "float64", 0))


def rows(array: Any) -> Any:
    return None if array is None else np.asarray(array, float).tolist()


def answer_to(case: Case, number: int) -> dict[str, Any]:
    seen = observe(case)
    gradients = zip(seen.weight_gradients or (), seen.bias_gradients or (), strict=True)
    assert seen.outputs is not None
    assert seen.loss is not None
    return {
        "id": number,
        "outputs": rows(seen.outputs),
        "loss": float(seen.loss.ravel()[0]),
        "gradients": [{"weights": rows(w), "biases": rows(b)} for w, b in gradients],
    }


def validator(message: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    whole = schema()
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{message}", "$defs": whole["$defs"]})


def test_the_published_schema_is_the_code_s() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == json.loads(json.dumps(schema()))


@pytest.mark.sampled(8)
@pytest.mark.parametrize(
    "case",
    [c for c in CASES.values() if c.dtype in ("float64", "float32") and len(c.inputs) < 10],
    ids=lambda c: f"{c.name}-{c.dtype}",
)
def test_requests_and_answers_fit_the_schema_and_lose_no_bit(case: Case) -> None:
    line = line_of(request(case, 7))
    assert line.count(b"\n") == 1
    validator("Request").validate(json.loads(line))
    again = case_of(__import__("msgspec").json.decode(line, type=Request), case.name)
    for one, other in zip(case.layers, again.layers, strict=True):
        assert np.array_equal(np.asarray(one.weights, float), np.asarray(other.weights, float))
    assert np.array_equal(np.asarray(case.inputs, float), np.asarray(again.inputs, float))
    given_back = answer_to(case, 7)
    if np.isfinite(given_back["loss"]):
        validator("Answer").validate(given_back)
        assert judge(case, observation_of(json.dumps(given_back), case, 7)).verdict is not Verdict.WRONG


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    for wrong in ({}, {"id": "7"}, {"id": 7, "outputs": [["a"]]}, {"id": 7, "gradients": [{}]}):
        assert list(validator("Answer").iter_errors(wrong)), wrong
        with pytest.raises(Unanswered):
            observation_of(json.dumps(wrong), CASE, 7)


def test_the_transcript_of_the_document_is_true() -> None:
    """Every request in docs/protocol.md is one, and every answer under it is right."""
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    block = text.split("```transcript\n")[1].split("```")[0]
    lines = block.strip().splitlines()
    asked = None
    judged = 0
    for line in lines:
        direction, _, message = line.partition(" ")
        if direction == ">":
            asked = json.loads(message)
            validator("Hello" if "hello" in asked else "Request").validate(asked)
            continue
        assert direction == "<"
        assert asked is not None
        reply = json.loads(message)
        if "hello" in asked:
            validator("Capabilities").validate(reply)
            continue
        validator("Answer").validate(reply)
        if "error" not in reply:
            case = case_of(__import__("msgspec").convert(asked, Request), "transcript")
            assert judge(case, observation_of(message, case, asked["id"])).verdict is Verdict.AGREES
            judged += 1
    assert judged == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "outputs", "loss", "gradients", "updated", "weights", "biases", "error", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def read(line: bytes | str) -> None:
    """Either an observation that can be judged, or a message that a terminal can show."""
    said = ""
    try:
        judge(CASE, observation_of(line, CASE, 1))
    except Unanswered as error:
        said = str(error) or "\x00"
    assert said.isprintable()
    assert len(said) < 1000


@pytest.mark.usefixtures("slow")
@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_traceback(line: bytes) -> None:
    read(line.replace(b"\n", b" "))


@pytest.mark.usefixtures("slow")
@given(JSON)
def test_any_json_is_read_without_a_traceback(value: Any) -> None:
    read(json.dumps(value))


RIGHT = answer_to(CASE, 1)


@pytest.mark.usefixtures("slow")
@given(st.data())
def test_a_right_answer_with_one_part_exchanged_is_read_without_a_traceback(data: st.DataObject) -> None:
    answer = json.loads(json.dumps(RIGHT))
    part: Any = answer
    for _ in range(data.draw(st.integers(0, 4))):
        keys = list(part) if isinstance(part, dict) else list(range(len(part))) if isinstance(part, list) else []
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()):
            part[key] = data.draw(JSON)
            break
        part = part[key]
    read(json.dumps(answer))


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_right_answer_with_some_bytes_overwritten_is_read_without_a_traceback(at: int, what: bytes) -> None:
    line = json.dumps(RIGHT).encode()
    read((line[:at] + what + line[at + len(what) :]).replace(b"\n", b" "))


@given(st.text())
def test_what_is_shown_is_printable_and_short(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= 400
