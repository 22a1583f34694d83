"""The ledger of claims and the training command."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.adapters.adapter import chosen, known_adapters
from backproof.reference.case import Case, InvalidInput
from backproof.reference.judging.observation import Observation
from backproof.reports.chapter import ledger
from backproof.reports.chapter.entry import HOLDS, LIMIT, TOO_STRONG, Entry, Frameworks
from backproof.reports.chapter.train import loaded, network, samples, saved

Command = Callable[..., subprocess.CompletedProcess[str]]
WANTED = {1: HOLDS, 2: HOLDS, 3: HOLDS, 4: HOLDS, 5: HOLDS, 6: TOO_STRONG, 7: HOLDS, 8: HOLDS, 9: LIMIT, 10: LIMIT,
          11: HOLDS, 12: HOLDS, 13: HOLDS, 14: HOLDS, 15: LIMIT}  # fmt: skip


QUICK = (1, 2, 4, 5, 6, 7, 8, 9, 15)


@pytest.fixture(scope="module")
def entries(request: pytest.FixtureRequest) -> list[Entry]:
    """Those that take no time, in plain Python alone, for a developer; all, in all frameworks, for tox."""
    if request.config.getoption("--slow"):
        return ledger.ledger(chosen())
    plain = Frameworks((known_adapters()["plain"],))
    return [ledger.CHECKS[number - 1](plain) for number in QUICK]


def test_each_claim_comes_out_as_it_should(entries: list[Entry]) -> None:
    assert {entry.number: entry.result for entry in entries} == {
        entry.number: WANTED[entry.number] for entry in entries
    }


def test_each_has_its_numbers_and_frameworks_do_not_differ_in_what_counts(entries: list[Entry]) -> None:
    assert all(len(entry.rows) > 1 and len({len(row) for row in entry.rows}) == 1 for entry in entries)
    rates = next(entry for entry in entries if entry.number == 9)
    assert all(len(set(row[1:])) == 1 for row in rates.rows[1:])  # as many updates in each framework
    curved = [entry for entry in entries if entry.curves]
    assert len(curved) >= 3
    for entry in curved:
        assert all(len(x) == len(y) and min(y) > 0 for _, x, y in entry.curves)


def test_a_framework_that_is_a_little_wrong_is_noticed() -> None:
    """By 10⁻⁹ of a gradient, which prints as the same numbers; the second claim compares a framework with itself."""
    plain = known_adapters()["plain"]

    def off(case: Case) -> Observation:
        seen = plain.run(case)
        share = 1 + 1e-9 * (case.layers[0].biases is not None or case.name != "xor")
        return replace(seen, weight_gradients=tuple(g if g is None else g * share for g in seen.weight_gradients or ()))

    frameworks = Frameworks((replace(plain, run=off),))
    for number in (1, 2, 5, 7, 8):
        assert ledger.CHECKS[number - 1](frameworks).result == TOO_STRONG, number


def test_the_views(entries: list[Entry]) -> None:
    counts = [sum(entry.result == result for entry in entries) for result in (HOLDS, LIMIT, TOO_STRONG)]
    assert ledger.summary(entries) == "{} hold, {} hold with a limit, {} too strong".format(*counts)
    assert "6. A positive derivative lowers the weight" in ledger.terminal(entries)
    assert "\n| rate · λ" in ledger.markdown(entries)
    assert [entry["number"] for entry in json.loads(ledger.as_json(entries))] == [entry.number for entry in entries]


@pytest.mark.usefixtures("slow")
def test_the_page_has_a_figure_for_each_with_curves(entries: list[Entry]) -> None:
    page = ledger.html(entries, ["plain"])
    assert page.count("<svg") == sum(bool(entry.curves) for entry in entries)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


@pytest.mark.usefixtures("slow")
def test_the_chapter_s_net_learns_and_its_weights_go_to_a_file_and_back(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    trained = command("train", "--epochs", "3000", "--save", str(path))
    assert trained.returncode == 0
    assert "wrote" in trained.stderr
    layers = loaded(path)
    assert saved(layers) == path.read_text()
    again = command("train", "--load", str(path), "--epochs", "1")
    assert float(again.stdout.split()[1]) < 0.01  # it goes on where it was


@pytest.mark.usefixtures("slow")
def test_data_from_a_csv_file(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "and.csv"
    path.write_text("a,b,both\n0,0,0\n0,1,0\n1,0,0\n\n1,1,1\n")
    finished = command("train", "--data", str(path), "--sizes", "2,1", "--bias", "separate", "--epochs", "2000")
    assert finished.returncode == 0
    outputs = [float(line.split("│")[3]) for line in finished.stdout.splitlines() if re.match(r"│ [01]", line)]
    assert [o > 0.5 for o in outputs] == [False, False, False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n", "line 1: expected 3 numbers (2 inputs, 1 targets), got 2"),
        ("0,0,0\n1,x,1\n", "line 2: expected finite numbers, got 'x'"),
        ("0,0,nan\n", "line 1: expected finite numbers, got 'nan'"),
        ("a,b,c\n", "expected rows of numbers, found none"),
        ("", "expected rows of numbers, found none"),
    ],
)
def test_a_bad_row_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=re.escape(message)):
        samples(path, 2, 1)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimizer", "sgd"], "--optimizer: expected one of delta rule"),
        (["--sizes", "2,0,1"], "--sizes: expected two or more positive whole numbers"),
        (["--activation", "softmax"], "--activation: softmax is for the output layer only"),
        (["--activation", "sigmod"], "--activation: expected one of"),
        (["--load", "/etc/hostname"], "expected weights that `train --save` wrote"),
        (["--data", "/no/such.csv"], "cannot be read"),
        (["--rate", "1e9", "--activation", "identity"], "the rate is too high. Lower --rate."),
        (["--adapter", "numpy"], "cannot train"),
    ],
)
def test_bad_usage_is_exit_2_and_one_line(command: Command, arguments: list[str], message: str) -> None:
    finished = command("train", *arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_start_is_the_same_for_the_same_seed() -> None:
    assert network((2, 2, 1), "tanh", 4) == network((2, 2, 1), "tanh", 4) != network((2, 2, 1), "tanh", 5)
