"""The front door: functions of every kind, right, wrong and hostile."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

import backproof as bp
from backproof.reference.case import InvalidInput
from backproof.reports.validation.front_door import Report, WrongGradients, assert_gradients, verify
from tutorial import gradients, sigmoid

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_right_one_agrees_to_so_many_digits_and_its_conventions_are_said() -> None:
    report = verify(gradients)
    assert report.ok
    assert report.verdict == "agrees"
    assert str(report).startswith(
        "agrees, to 14 digits: squared error with ½, summed over samples; sigmoid in hidden layers"
    )
    assert report.digits is not None
    assert report.digits > 13
    report.raise_for_wrong()


CONVENTIONS: list[tuple[str, Callable[..., Any], str]] = [
    ("without ½", lambda W, B, x, t: gradients(W, B, x, t, 2.0), "squared error without ½, summed"),
    ("mean", lambda W, B, x, t: gradients(W, B, x, t, 1 / len(x)), "squared error with ½, averaged over samples;"),
    ("mean over all", lambda W, B, x, t: gradients(W, B, x, t, 2 / t.size), "squared error without ½, averaged over samples and outputs"),
]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("function", "words"), [c[1:] for c in CONVENTIONS], ids=[c[0] for c in CONVENTIONS])
def test_a_convention_is_an_answer_and_not_a_failure(function: Callable[..., Any], words: str) -> None:
    report = verify(function)
    assert report.ok
    assert report.conventions is not None
    assert words in report.conventions


def ascent(W: Any, B: Any, x: Any, t: Any) -> Any:
    return gradients(W, B, x, t, -1.0)


def test_minus_the_gradient_is_accepted_by_declaring_it_and_not_before() -> None:
    """A sign error must not pass a check silently."""
    report = verify(ascent, cases="few")
    assert (report.verdict, report.ok) == ("unrecognised", False)
    assert str(report).startswith("unrecognised: minus the gradient of squared error with ½, summed over samples;")
    assert "sign='negative'" in report.findings[1]
    declared = verify(ascent, sign="negative", cases="few")
    assert declared.ok
    assert "minus the gradient" in str(declared).splitlines()[0]
    assert verify(ascent, sign="positive", cases="few").verdict == "wrong"
    with pytest.raises(InvalidInput, match="sign: expected one of positive, negative"):
        verify(ascent, sign="minus")


@pytest.mark.usefixtures("slow")
def test_strict_refuses_what_was_found_out_and_not_declared() -> None:
    report = verify(gradients, strict=True)
    assert (report.verdict, report.ok) == ("unrecognised", False)
    assert "activations=['sigmoid', 'sigmoid'], loss='half_squared_error', reduction='sum'" in report.findings[1]
    declared: dict[str, Any] = {"activations": "sigmoid", "loss": "half_squared_error", "reduction": "sum"}
    assert verify(gradients, strict=True, **declared).ok


@pytest.mark.usefixtures("slow")
def test_a_penalty_is_found_out_with_an_undeclared_loss_and_has_to_be_declared_with_a_declared_one() -> None:
    def decayed(W: Any, B: Any, x: Any, t: Any) -> Any:
        weight_gradients, bias_gradients = gradients(W, B, x, t)
        return [g + 0.03 * w for g, w in zip(weight_gradients, W, strict=True)], bias_gradients

    found = verify(decayed)
    assert found.ok
    assert "with weight decay: 0.03 · w in the gradient" in str(found).splitlines()[0]
    report = verify(decayed, loss="half_squared_error")
    assert report.verdict == "wrong"
    assert "with weight decay: 0.03 · w" in report.findings[0]
    assert verify(decayed, loss="half_squared_error", decay=0.03).ok
    assert verify(decayed, loss="half_squared_error", decay=0.02).verdict == "wrong"


def online(W: Any, B: Any, x: Any, t: Any, rate: float, forgets_biases: bool = False) -> Any:
    """A loop over samples, each of which moves the weights."""
    W, B = list(W), list(B)
    for i in range(len(x)):
        found = gradients(W, B, x[i : i + 1], t[i : i + 1])
        for arrays, steps in zip((W,) if forgets_biases else (W, B), found, strict=False):
            arrays[:] = [array - rate * step for array, step in zip(arrays, steps, strict=True)]
    return W, B


@pytest.mark.usefixtures("slow")
def test_weights_may_be_updated_sample_by_sample() -> None:
    report = verify(online, returns="updated")
    assert report.ok
    assert "squared error with ½, updated sample by sample" in str(report)
    declared = verify(online, returns="updated", updates="batch")
    assert declared.verdict == "wrong"
    assert "it computes squared error with ½, updated sample by sample" in declared.findings[0]
    wrong = verify(partial(online, forgets_biases=True), returns="updated")
    assert wrong.diagnosis is not None
    assert "biases-not-updated" in wrong.diagnosis.names


def biases_in_weights(W: Any, x: Any, t: Any, last: bool, bug: bool) -> Any:
    """Every layer puts a 1 before or behind what it receives; there are no separate biases."""
    a, received = x, []
    for w in W:
        ones = np.ones((len(a), 1))
        received.append(np.hstack([a, ones] if last else [ones, a]))
        a = sigmoid(received[-1] @ w.T)
    delta = (a - t) * a * (1 - a)
    found: list[Any] = []
    for k in reversed(range(len(W))):
        found.insert(0, delta.T @ received[k])
        below = received[k][:, :-1] if last else received[k][:, 1:]
        error = delta @ (W[k][:, :-1] if last else W[k][:, 1:])
        delta = error if bug else error * below * (1 - below)
    return found, None


@pytest.mark.parametrize("last", [False, True])
def test_biases_may_be_a_column_of_the_weights(last: bool, sampled: Callable[[int, int], None]) -> None:
    sampled(1, 2)
    report = verify(lambda W, B, x, t: biases_in_weights(W, x, t, last, bug=False))
    assert report.ok
    assert f"bias: weights-{'last' if last else 'first'}" in str(report)
    wrong = verify(lambda W, B, x, t: biases_in_weights(W, x, t, last, bug=True))
    assert wrong.diagnosis is not None
    assert wrong.diagnosis.names == ["hidden-delta-without-derivative"]
    assert f"bias: weights-{'last' if last else 'first'}" in str(wrong)


@pytest.mark.usefixtures("slow")
def test_gradients_that_are_not_set_to_zero_are_told_from_chance() -> None:
    before: list[Any] = []

    def accumulating(W: Any, B: Any, x: Any, t: Any) -> Any:
        found = gradients(W, B, x, t)
        if before and before[0].shape == found[0][0].shape:
            weights, biases = (
                [a + b for a, b in zip(found[0], before[:2], strict=True)],
                [a + b for a, b in zip(found[1], before[2:], strict=True)],
            )
            found = weights, biases
        before[:] = [*found[0], *found[1]]
        return found

    report = verify(accumulating)
    assert report.verdict == "wrong"
    assert report.findings[0].startswith("it adds its gradients to those of the call before.")


def test_what_is_declared_is_enforced() -> None:
    report = verify(gradients, loss="squared_error")
    assert report.verdict == "wrong"
    assert "it computes squared error with ½, summed over samples" in report.findings[0]
    assert "that is not what was declared" in report.findings[0]


@pytest.mark.usefixtures("slow")
def test_weights_the_other_way_round() -> None:
    def inputs_by_units(W: Any, B: Any, x: Any, t: Any) -> Any:
        weight_gradients, bias_gradients = gradients([w.T for w in W], B, x, t)
        return [g.T for g in weight_gradients], bias_gradients

    assert "inputs × units" in str(verify(inputs_by_units))
    assert verify(inputs_by_units, orientation="inputs_by_units").ok


@pytest.mark.sampled(5, 2)
@pytest.mark.parametrize("bias", ["none", "hidden", "column-last", "column-first", [True, False]])
def test_every_bias_form(bias: Any) -> None:
    assert verify(gradients, bias=bias).ok


@pytest.mark.usefixtures("slow")
def test_updates_outputs_formats_and_kinds_of_array() -> None:
    def updated(W: Any, B: Any, x: Any, t: Any, rate: float) -> Any:
        weight_gradients, bias_gradients = gradients(W, B, x, t)
        return [w - rate * g for w, g in zip(W, weight_gradients, strict=True)], [b - rate * g for b, g in zip(B, bias_gradients, strict=True)]  # fmt: skip

    assert verify(updated, returns="updated").ok
    assert verify(updated, returns="updated", learning_rate=0.1).ok
    uphill = verify(lambda W, B, x, t, rate: updated(W, B, x, t, -rate), returns="updated", activations="sigmoid", loss="half_squared_error", reduction="sum")  # fmt: skip
    assert not uphill.ok

    def outputs(W: Any, B: Any, x: Any, t: Any) -> Any:
        for w, b in zip(W, B, strict=True):
            x = sigmoid(x @ w.T + b)
        return x

    assert verify(outputs, returns="outputs").ok
    assert not verify(lambda *a: outputs(*a) + 1e-9, returns="outputs", activations="sigmoid").ok
    assert verify(gradients, dtype="float32").ok

    def lists(W: list[Any], B: list[Any], x: list[Any], t: list[Any]) -> Any:
        assert isinstance(x, list)
        out = gradients([np.array(w) for w in W], [np.array(b) for b in B], np.array(x), np.array(t))
        return [g.tolist() for g in out[0]], [g.tolist() for g in out[1]]

    assert verify(lists).ok


def test_torch_tensors_in_and_out() -> None:
    torch = pytest.importorskip("torch")

    def autograd(W: Any, B: Any, x: Any, t: Any) -> Any:
        W, B = [w.clone().requires_grad_() for w in W], [b.clone().requires_grad_() for b in B]
        a = x
        for w, b in zip(W, B, strict=True):
            a = torch.sigmoid(torch.nn.functional.linear(a, w, b))
        (((a - t) ** 2).sum() / 2).backward()
        return [w.grad for w in W], [b.grad for b in B]

    assert verify(autograd, dtype="float32").ok


@pytest.mark.usefixtures("slow")
def test_weights_and_biases_may_come_layer_by_layer() -> None:
    assert verify(lambda *given: list(zip(*gradients(*given), strict=True)), cases="few").ok
    columns = verify(lambda *given: ((f := gradients(*given))[0], [b.reshape(-1, 1) for b in f[1]]), sizes=(3, 4, 1))
    assert columns.ok  # whose shapes, layer by layer, would fit as well


def test_gradients_the_other_way_round_than_the_weights_are_said_to_be_so() -> None:
    """Weights inputs × units, gradients units × inputs: what it answered is told, not what it raised before."""

    def turned(W: Any, B: Any, x: Any, t: Any) -> Any:
        if W[0].shape[0] != x.shape[1]:
            raise ValueError("matmul")
        return gradients([w.T for w in W], B, x, t)

    text = str(verify(turned))
    assert "gradient weights[0]: expected 3 × 4 (inputs × units, as it takes them), got 4 × 3" in text


def test_a_parameter_without_a_gradient_is_said_to_be_out_of_the_loss_s_reach() -> None:
    report = verify(lambda *given: ([None, gradients(*given)[0][1]], gradients(*given)[1]))
    assert report.verdict == "unanswered"
    assert "a parameter that the loss does not reach" in str(report)


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
    ("prints", lambda *a: (print("x" * 10**6), gradients(*a))[1], "agrees", " numbers on 74 probes"),
    ("generator", lambda *a: (part for part in gradients(*a)), "agrees", " numbers on 74 probes"),
]  # fmt: skip


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
    report = verify(function, activations="sigmoid", loss="half_squared_error", reduction="sum", timeout=0.2)
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"returns": "grads"}, "returns: expected one of gradients, updated, outputs; got 'grads'."),
        ({"loss": "mse"}, "loss: expected one of half_squared_error, "),
        ({"activations": ["sigmoid"]}, "activations: expected 2, one per layer; got 1."),
        ({"activations": "sigmod"}, "activations[0]: expected one of "),
        ({"sizes": [2]}, "sizes: expected two or more positive whole numbers"),
        ({"bias": "columns"}, "bias: expected one of separate, none, hidden, column-first, column-last, weights-first, weights-last; got 'columns'."),
        ({"loss": "binary_cross_entropy", "activations": "tanh"}, "loss binary_cross_entropy does not go with activation 'tanh'"),
    ],
)  # fmt: skip
def test_a_declaration_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    import re

    with pytest.raises(InvalidInput, match=re.escape(message)):
        verify(gradients, **options)


def test_assert_gradients_replaces_assert_allclose() -> None:
    network = (
        bp.Dense([[0.5, -1.0], [0.25, 2.0]], [0.5, -0.25], "sigmoid"),
        bp.Dense([[1.0, -0.5]], [0.25], "sigmoid"),
    )
    inputs, targets = [[1.0, 2.0], [0.5, -1.0]], [[1.0], [0.0]]
    arrays = [np.array(layer.weights) for layer in network], [np.array(layer.biases) for layer in network]
    right = gradients(*arrays, np.array(inputs), np.array(targets))
    assert_gradients(network, inputs, targets, *right)
    assert_gradients(network, inputs, targets, right[0])
    wrong = gradients(*arrays, np.array(inputs), np.array(targets), bug="no derivative")
    with pytest.raises(WrongGradients, match="hidden-delta-without-derivative"):
        assert_gradients(network, inputs, targets, *wrong)
    for missing, message in (
        ((right[0][:1], right[1]), "weight_gradients: expected 2 arrays, one per layer; got 1"),
        ((None, right[1]), "weight_gradients: expected 2 arrays, one per layer; got NoneType"),
        (([None, None], right[1]), "weight_gradients[0]: expected an array, got None"),
        ((right[0], [None, None]), "bias_gradients[0]: expected an array, got None"),
        ((right[0], []), "bias_gradients: expected 2 arrays, one per layer; got 0"),
        (([g * 1j for g in right[0]], right[1]), "weight_gradients[0]: expected real numbers, got complex128"),
        (([g.astype(str) for g in right[0]], right[1]), "weight_gradients[0]: expected numbers, got ndarray"),
        (([g.astype("f4") for g in right[0]], right[1]), "gradients: expected all in one format, got float32 and float64"),
        (([np.zeros((3, 3)) for g in right[0]], right[1]), "weight_gradients[0]"),
    ):  # fmt: skip
        with pytest.raises(WrongGradients, match="^unanswered: .*" + re.escape(message)):
            assert_gradients(network, inputs, targets, *missing)
    assert isinstance(verify(gradients), Report)


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


@pytest.mark.sampled(10)
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
    assert "3 failed, 2 passed" in finished.stdout
    assert "probes: it raised ZeroDivisionError: division by zero" in finished.stdout
    assert "cases: expected one of standard, few, many; got 'lots'." in finished.stdout
    assert "Traceback" not in finished.stdout
    assert "wrong: it leaves the activation's derivative out of the hidden delta, in layer 1" in finished.stdout


def test_what_a_function_says_cannot_command_the_terminal() -> None:
    def rude(*_: Any) -> Any:
        raise ValueError("\x1b[2J\x1b[31mgone\x07")

    report = verify(rude)
    assert report.verdict == "unanswered"
    assert "\\x1b[2J" in str(report)
    assert "\x1b" not in str(report)
