"""Functions of every hostile kind, in Python, on the command line and under the pytest plugin."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reference.case import InvalidInput
from backproof.reports.validation.front_door import verify
from tutorial import gradients

Command = Callable[..., subprocess.CompletedProcess[str]]


def nothing(*_: Any) -> Any:
    return None


def hangs(*_: Any) -> Any:
    while True:
        pass


calls = [0]


def stateful(*a: Any) -> Any:
    calls[0] += 1
    weight_gradients, bias_gradients = gradients(*a)
    return ([2 * g for g in weight_gradients], bias_gradients) if calls[0] > 9 else (weight_gradients, bias_gradients)


def in_place(weights: Any, biases: Any, x: Any, t: Any) -> Any:
    answer = gradients(weights, biases, x, t)
    weights[0] -= 1
    return answer


HOSTILE: list[tuple[str, Callable[..., Any], str, str]] = [
    ("raises", lambda *a: 1 / 0, "unanswered", "it raised ZeroDivisionError: division by zero"),
    ("exits", lambda *a: sys.exit(3), "unanswered", "it raised SystemExit: 3"),
    ("None", nothing, "unanswered", "it returned None; expected (weight_gradients, bias_gradients)"),
    ("one array", lambda *a: gradients(*a)[0][0], "unanswered", "it returned ndarray"),
    ("wrong count", lambda *a: ([], []), "unanswered", "expected 2 arrays, one per layer; got 0"),
    ("wrong shape", lambda *a: ([g[:1] for g in gradients(*a)[0]], gradients(*a)[1]), "unanswered", "expected 4 × 3 (units × inputs), got 1 × 3"),
    ("strings", lambda *a: (["x", "y"], ["x", "y"]), "unanswered", "expected numbers, got str 'x'"),
    ("NaN", lambda *a: ([g * np.nan for g in gradients(*a)[0]], gradients(*a)[1]), "wrong", "numbers are NaN or infinite"),
    ("whole numbers", lambda *a: ([np.rint(8 * g).astype(int) for g in gradients(*a)[0]], [np.rint(8 * g).astype(int) for g in gradients(*a)[1]]), "wrong", "all numbers are whole"),
    ("hangs", hangs, "unanswered", "it did not answer within 0.2 s"),
    ("random", lambda *a: ([g * np.random.default_rng().random() for g in gradients(*a)[0]], gradients(*a)[1]), "wrong", "it is not deterministic"),
    ("state", stateful, "wrong", "it keeps state between calls"),
    ("in place", in_place, "agrees", "it changes its arguments in place: weights"),
    ("prints", lambda *a: (print("x" * 10**6), gradients(*a))[1], "agrees", " numbers on 134 probes"),
    ("generator", lambda *a: (part for part in gradients(*a)), "agrees", " numbers on 134 probes"),
]  # fmt: skip


# The time may be up inside a callback of the garbage collector (Hypothesis has one): Python says so, and asks again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("function", "verdict", "words"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_hostile_functions_get_a_message_of_their_own(
    function: Callable[..., Any],
    verdict: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
    sampled: Callable[[int, int], None],
) -> None:
    sampled(int(verdict != "unanswered"), 2)  # where much is asked, or tried in vain
    calls[0] = 0
    limit = 0.2 if function is hangs else 60.0  # no other verdict hangs on how busy the machine is
    report = verify(function, activations="sigmoid", loss="half_squared_error", reduction="sum", timeout=limit)
    assert report.verdict == verdict, str(report)
    assert words in str(report)
    assert capsys.readouterr().out == ""


def one_sample(W: Any, B: Any, x: Any, t: Any) -> Any:
    if len(x) == 1:
        raise ValueError("a batch has at least two samples")
    return gradients(W, B, x, t)


def late(W: Any, B: Any, x: Any, t: Any) -> Any:
    if len(x) == 1:
        time.sleep(60)
    return gradients(W, B, x, t)


def misshapen(W: Any, B: Any, x: Any, t: Any) -> Any:
    dw, db = gradients(W, B, x, t)
    return ([g.sum() for g in dw], db) if len(x) == 1 else (dw, db)


def half_of_it(W: Any, B: Any, x: Any, t: Any) -> Any:
    dw, db = gradients(W, B, x, t)
    return (dw, db) if len(x) > 1 else (dw[:1], db)


def no_biases_of_one(W: Any, B: Any, x: Any, t: Any) -> Any:
    dw, db = gradients(W, B, x, t)
    return (dw, db) if len(x) > 1 else (dw, [None] * len(db))


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (one_sample, "it raised ValueError: a batch has at least two samples"),
        (late, "it did not answer within 2 s"),
        (misshapen, "gradient weights[0]: expected "),
        (half_of_it, "weight gradients: expected 2 arrays, one per layer; got 1"),
        (no_biases_of_one, "gradient biases[0]: expected 4 numbers, got None"),
        (lambda *a: tuple([g * 1j for g in part] if len(a[2]) == 1 else part for part in gradients(*a)), "expected real numbers, got complex128"),
        (lambda *a: tuple([g.astype(str) for g in part] if len(a[2]) == 1 else part for part in gradients(*a)), "expected numbers, got ndarray"),
        (lambda *a: tuple([np.ma.array(g, mask=True) for g in part] if len(a[2]) == 1 else part for part in gradients(*a)), "elements are masked"),
    ],
)  # fmt: skip
def test_a_probe_without_an_answer_makes_the_report_not_ok_and_costs_no_other(
    function: Callable[..., Any], message: str
) -> None:
    report = verify(function, timeout=2.0)
    assert report.verdict == "unanswered"
    assert not report.ok
    assert re.search(rf"^unanswered: \d+ of \d+ probes: .*{re.escape(message)}", str(report))
    assert "probes: agrees, squared error with ½, summed over samples" in str(report)


MODULE = """
import ctypes, numpy as np
def sigmoid(z): return 1 / (1 + np.exp(-z))
def gradients(weights, biases, inputs, targets, bug=False):
    a = [inputs]
    for w, b in zip(weights, biases): a.append(sigmoid(a[-1] @ w.T + b))
    d = (a[-1] - targets) * a[-1] * (1 - a[-1]); gw, gb = [], []
    for k in reversed(range(len(weights))):
        gw.insert(0, d.T @ a[k]); gb.insert(0, d.sum(0))
        d = (d @ weights[k]) * (1 if bug else a[k] * (1 - a[k]))
    return gw, gb
def buggy(*a): return gradients(*a, bug=True)
def crash(*a): ctypes.string_at(0)
def hang(*a):
    import signal
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True: pass
def memory(*a): return [np.ones((10**7, 10**5)) for _ in a[0]], []
number = 3
"""


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("mynet:gradients", 0, "agrees, to 14 digits"),
        ("mynet:buggy", 1, "hidden-delta-without-derivative"),
        ("mynet:crash", 3, "its process died: it was ended by signal SIGSEGV"),
        ("mynet:hang", 3, "it did not answer within 1 s, and could not be interrupted; it was killed"),
        ("mynet:memory", 3, "it ran out of memory"),
        ("mynet:nothing", 2, "mynet has no nothing"),
        ("mynet:gradient", 2, "mynet has no gradient. Did you mean 'gradients'?"),
        ("mynet:number", 2, "expected a function, got int"),
        ("nonet:f", 2, "importing nonet raised ModuleNotFoundError"),
        ("mynet", 2, "expected package.module:function"),
    ],
)
def test_on_the_command_line_the_function_has_a_process_of_its_own(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str, code: int, words: str
) -> None:
    (tmp_path / "mynet.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    finished = command("verify", target, "--sizes", "2,3,1", "--timeout", "1")
    assert finished.returncode == code, finished.stdout + finished.stderr
    assert words in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr


PYTEST_FILE = """
import pytest
from mynet import gradients, buggy

@pytest.mark.backproof(sizes=(2, 3, 1), loss="half_squared_error")
def test_right(backproof): backproof(gradients)

@pytest.mark.backproof(sizes=(2, 3, 1), activations="sigmoid", loss="half_squared_error", reduction="sum")
def test_wrong(backproof): backproof(buggy)

def test_whole(backproof): assert backproof(gradients, sizes=(2, 3, 1)).ok

def test_some(backproof): backproof(lambda w, b, x, t: gradients(w, b, x, t) if len(x) > 1 else 1 / 0, sizes=(2, 3, 1))

@pytest.mark.backproof(cases="lots")
def test_options(backproof): backproof(gradients)

@pytest.mark.backproof(size=(2, 3, 1))
def test_a_misspelt_option(backproof): backproof(gradients)
"""


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("workers", [None, "2"])
def test_the_pytest_plugin_fails_with_the_diagnosis_and_decides_by_the_whole_report(
    tmp_path: Path, workers: str | None
) -> None:
    if workers:
        pytest.importorskip("xdist")
    (tmp_path / "mynet.py").write_text(MODULE)
    (tmp_path / "test_mynet.py").write_text(PYTEST_FILE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *(("-n", workers) if workers else ())]
    finished = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, check=False)
    assert finished.returncode == 1, finished.stdout
    assert "4 failed, 2 passed" in finished.stdout
    assert "there is no 'size'. Did you mean 'sizes'?" in finished.stdout
    assert "probes: it raised ZeroDivisionError: division by zero" in finished.stdout
    assert "cases: expected one of standard, few, many; got 'lots'." in finished.stdout
    assert "Traceback" not in finished.stdout
    assert "wrong: it leaves the activation's derivative out of the hidden delta, in layer 1" in finished.stdout


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("activation", "there is no 'activation'. Did you mean 'activations'?"),
        ("atol", "verify: it takes no 'atol': tolerances are derived, and there is none to choose."),
        ("lr", "verify: options: expected one of returns, sizes, "),
    ],
)
def test_an_option_that_is_none_is_told_with_what_may_be_meant(option: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        verify(lambda *_: None, **{option: 1e-3})  # type: ignore[call-overload]
    assert said in str(refused.value)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected a function of weights, biases, inputs and targets; got int"):
        verify(5)  # type: ignore[call-overload] # as somebody may


def test_what_a_function_says_cannot_command_the_terminal() -> None:
    def rude(*_: Any) -> Any:
        raise ValueError("\x1b[2J\x1b[31mgone\x07")

    report = verify(rude)
    assert report.verdict == "unanswered"
    assert "\\x1b[2J" in str(report)
    assert "\x1b" not in str(report)
