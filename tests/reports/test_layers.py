"""`backproof layers`: a net in files, right, wrong and missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reports.cli import app
from typer.testing import CliRunner


def ask(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["layers", *arguments])
    raised = result.exception
    said = result.output + ("" if raised is None or isinstance(raised, SystemExit) else str(raised))
    return result.exit_code, " ".join(said.split())


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """Two layers, tanh and then identity, of half the squared error, mean over samples."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((6, 5)), rng.standard_normal((6, 3))
    w, v = rng.standard_normal((4, 5)), rng.standard_normal((3, 4))
    z = x @ w.T
    a = np.tanh(z)
    y = a @ v.T
    d = (y - t) / 6
    e = (d @ v) * (1 - a * a)
    names = ("weights", "pre_activations", "activations", "deltas", "weight_gradients")
    for k, arrays in enumerate(((w, z, a, e, e.T @ x), (v, y, y, d, d.T @ a))):
        for name, array in zip(names, arrays, strict=True):
            np.save(tmp_path / f"{k}.{name}.npy", array)
    np.save(tmp_path / "inputs.npy", x)
    np.save(tmp_path / "targets.npy", t)
    return tmp_path


def test_right_wrong_and_missing(net: Path) -> None:
    options = ("--activations", "tanh,identity", "--reduction", "mean")
    code, said = ask(str(net), *options)
    assert (code, said) == (0, "agrees: 32 parameters, float64")
    code, said = ask(str(net), *options, "--probabilistic")
    assert code == 0
    assert said.count("but for a chance of 5.4e-20") == 2
    code, said = ask(str(net), "--activations", "tanh,identity")
    assert code == 1
    assert "begins in deltas[1]" in said, "declared as a sum, it is wrong at the output"

    deltas = np.load(net / "0.deltas.npy")
    deltas[2, 1] *= 1.01
    np.save(net / "0.deltas.npy", deltas)
    code, said = ask(str(net), *options)
    assert code == 1
    assert "begins in deltas[0]" in said
    assert "[2, 1] expected" in said

    (net / "1.deltas.npy").unlink()
    assert "1.deltas.npy: expected an array as numpy.save writes it" in ask(str(net), *options)[1]
    (net / "inputs.npy").write_text("no array")
    assert "inputs.npy: expected an array" in ask(str(net), *options)[1]


def test_what_is_empty_no_number_or_not_given_is_told(net: Path) -> None:
    options = ("--activations", "tanh,identity", "--reduction", "mean")
    deltas = np.load(net / "0.deltas.npy")
    np.save(net / "0.biases.npy", np.zeros(4))
    code, said = ask(str(net), *options)
    assert (code, said) == (0, "agrees: 36 parameters, float64 not given, and not judged: bias_gradients[0]: 4 numbers")
    np.save(net / "0.bias_gradients.npy", deltas.sum(axis=0))
    assert ask(str(net), *options) == (0, "agrees: 36 parameters, float64")
    for name in ("0.weights", "0.biases", "inputs", "targets"):
        kept = (net / f"{name}.npy").read_bytes()
        array = np.load(net / f"{name}.npy")
        array.reshape(-1)[1] = np.nan
        np.save(net / f"{name}.npy", array)
        assert re.search(r"\[.*1\]: expected finite numbers, got nan", ask(str(net), *options)[1])
        (net / f"{name}.npy").write_bytes(b"")
        assert f"{name}.npy: expected an array as numpy.save writes it" in ask(str(net), *options)[1]
        (net / f"{name}.npy").write_bytes(kept)
