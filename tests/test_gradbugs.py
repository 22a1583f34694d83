"""GradBugs: its files are complete, its twins are what they claim to be, and backproof tells one from the other."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
pytest.importorskip("ml_dtypes")

from gradbugs import FORMATS, Entry, entry, names
from gradbugs.checks import CHECKS, PASSED, REFUSED, answered
from gradbugs.run import main, named
from gradbugs.running import Side, reference

ROOT = Path(__file__).parents[1]
RULE = CHECKS[0]
MISSED = (  # backproof does not refuse them: gradbugs/README.md says why
    "jax_logsumexp_where",
    "jax_logsumexp_zero_weight",
    "jax_softplus_at_zero",
    "jax_squared_norm_zero",
    "torch_gelu_bfloat16",
)
QUICK = ("torch_rms_norm_weight", "torch_attention_softcap", "torch_matmul_not_transposed", "jax_docs_sign")


def installed(name: str) -> Entry:
    framework = name.partition("_")[0]
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    return entry(name)


def test_there_are_fifty_or_more_each_with_its_own_thread_or_place_in_it() -> None:
    assert len(names()) >= 50
    assert set(QUICK) | set(MISSED) <= set(names())


@pytest.mark.parametrize("name", names())
def test_a_file_says_what_went_wrong_and_where_that_is_written(name: str) -> None:
    found = installed(name)
    bug, text = found.bug, found.module.__doc__ or ""
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", bug.source)
    assert bug.source in text
    assert bug.reported in " ".join(text.split())
    assert bug.framework == name.partition("_")[0]
    assert bug.verdict == "wrong"
    assert bug.kind
    assert bug.operation
    assert bug.mistake
    assert bug.formats
    assert set(bug.formats) <= set(FORMATS)
    assert bug.order in {1, 2}


@pytest.mark.sampled(20)
@pytest.mark.parametrize("name", names())
def test_the_right_twin_is_what_autograd_says_and_the_wrong_one_is_not(name: str) -> None:
    found = installed(name)
    format = found.bug.formats[0]
    eager, right, wrong = (
        side.run(side.arguments())
        for side in (Side(found, f, format) for f in (reference(found), found.right, found.wrong))
    )
    digits = 1e-9 if format == "float64" else 0.1  # of numbers that differ in their rounding alone
    for own, expected in zip([right[0], *right[1]], [eager[0], *eager[1]], strict=True):
        np.testing.assert_allclose(own, expected, rtol=digits, atol=digits * max(1, np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(
        wrong[0], right[0], rtol=1e-6, atol=1e-9
    )  # the same forward twice; their gradients are what is judged
    if found.bug.order == 1:
        assert any(not np.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(wrong[1], right[1], strict=True))


@pytest.mark.sampled(4, 3)
@pytest.mark.parametrize("name", QUICK)
def test_a_wrong_gradient_is_refused_and_named_and_its_twin_is_not(name: str) -> None:
    found = installed(name)
    wrong = answered(RULE, Side(found, found.wrong, "float64"))
    assert wrong.outcome == REFUSED
    assert named(found.bug, wrong.text) == (True, True)
    assert answered(RULE, Side(found, found.right, "float64")).outcome == PASSED


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", names())
def test_every_wrong_gradient_is_refused_but_for_the_misses_that_the_readme_owns_up_to(name: str) -> None:
    found = installed(name)
    format = found.bug.formats[0]
    assert answered(RULE, Side(found, found.right, format)).outcome == PASSED
    if name not in MISSED:
        assert answered(RULE, Side(found, found.wrong, format)).outcome == REFUSED


def test_what_is_missed_is_in_the_readme() -> None:
    text = (ROOT / "gradbugs" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in MISSED)


@pytest.mark.usefixtures("slow")
def test_on_any_executor_each_bug_is_looked_at_once_and_a_journal_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    command = ["--only", "torch_rms_norm_weight", "--check", RULE.name, "--in", "float64", "--out"]
    kept = ["--journal", str(tmp_path / "journal")]
    assert main([*command, str(tmp_path / "here")]) == 0
    assert main([*command, str(tmp_path / "there"), "--jobs", "2", *kept]) == 0
    here, there = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("here", "there"))
    assert [{**r, "seconds": 0} for r in here] == [{**r, "seconds": 0} for r in there]
    assert [r["bug"] for r in here] == ["torch_rms_norm_weight"]
    assert main([*command, str(tmp_path / "again"), *kept, "--resume"]) == 0
    assert json.loads((tmp_path / "again").read_text(encoding="utf-8")) == there, "nothing was run again"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--jobs", "-1"], "--jobs: expected 0 or more"),
        (["--resume"], "--resume goes on with a journal"),
    ],
)
def test_options_that_make_no_sense_are_told_in_a_line(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    assert said in capsys.readouterr().err
