"""Every view at 80 and at 100 columns: no line is longer, and no word is broken.

A broken word would be two that the same view has not where there is room for all of it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import backproof as bp
import msgspec
import pytest
from backproof.adapters.adapter import known_adapters
from backproof.reports.chapter import ledger
from backproof.reports.chapter.entry import Entry
from backproof.reports.comparison.difference import changes
from backproof.reports.comparison.matrix import compare
from backproof.reports.console.wrapping import table_of, wrapped
from backproof.reports.documents.results import Results
from backproof.reports.views.render import terminal
from forgetful import FORGETFUL
from planted import CASES, doubled, planted, raises

Command = Callable[..., subprocess.CompletedProcess[str]]
WIDTHS = [80, 100]
QUICK = [
    ["example", "--adapter", "plain", "--adapter", "numpy"],
    ["train", "--epochs", "3"],
    ["adapters"],
    ["vectors", "show", "3"],
    ["compare", "--adapter", "plain", "--case", "xor-separate", "--dtype", "float64"],
    ["verify", "FOLDER/net.py:gradients", "--sizes", "2,3,1", "--cases", "few"],
    # what is said of bad usage and bad input
    ["verify"],
    ["verify", "FOLDER/net.py"],
    ["verify", "net:gradients", "--command", "./net"],
    ["verify", "--answers", "f", "--loss", "half_squared_error"],
    ["compare", "--adapter", "qqq"],
    ["compare", "--case", "qqq"],
    ["compare", "--bogus"],
    ["train", "--loss", "mse"],
    ["train", "--loss", "qqq"],
    ["selftest"],
    ["report", "nowhere.json"],
    ["vectors", "show", "99999"],
    *([*name, "--help"] for name in ([], ["verify"], ["compare"], ["selftest"], ["train"], ["claims"], ["vectors"])),
]  # fmt: skip


def check(narrow: str, wide: str, width: int) -> None:
    lines = narrow.splitlines()
    assert lines
    # a single word may be longer than any width: it is left whole
    too_long = [line for line in lines if len(line) > width and len(line.split()) > 1]
    assert not too_long, "\n".join(too_long)
    assert words(narrow) <= words(wide)


def words(text: str) -> set[str]:
    """Without what differs from run to run (times, a folder's name) or joins the cells that are told below."""
    said = re.sub(r"\S*(?:\d\d:\d\d|/tmp)\S*", "", text)
    found = re.sub("[─━│┃┌┐└┘├┤┬┴┼╭╮╰╯]+", " ", said).split()
    return {word.rstrip(",:") for word in found} - {""}


@pytest.mark.sampled(8, 1)
@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_every_command_fits(
    arguments: list[str], command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(FORGETFUL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def shown(width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.delenv("LINES", raising=False)
        finished = command(*(argument.replace("FOLDER", ".") for argument in arguments))
        return finished.stdout + finished.stderr

    wide = shown(1000)
    for width in WIDTHS:
        check(shown(width), wide, width)


@pytest.mark.usefixtures("slow")
def test_a_report_of_a_network_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    torch: Any = pytest.importorskip("torch")

    class TheSquareOfEachDeviationFromTheMean(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return (x - x.mean(-1, keepdim=True)) * (x * x).sum()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * (x * x).sum()

    x = torch.arange(6, dtype=torch.float64).reshape(2, 3) / 7
    report = bp.verify(TheSquareOfEachDeviationFromTheMean.apply, x.requires_grad_())
    assert max(map(len, report.text.splitlines())) > 100
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.delenv("LINES", raising=False)
        check(str(report), report.text, width)


@pytest.fixture(scope="module")
def results() -> Results:
    """What agrees, what is wrong, what gave no answer, and who is absent."""
    known = known_adapters()
    adapters = [known["plain"], known["numpy"], planted("doubled", doubled), planted("raises", raises)]
    return compare(CASES, adapters, [known["jax"]])


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(2)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_fits(width: int, results: Results) -> None:
    wide = terminal(results)
    assert "wrong" in wide
    assert "unanswered" in wide
    check(wrapped(terminal(results, width), width), wide, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_in_a_pipe_fits_but_for_its_sentences(width: int, results: Results) -> None:
    """Its verdict is in the first table, which has room at 80 columns wherever it is shown."""
    tables = [line for line in terminal(results).splitlines() if line.startswith(tuple("┌├│└"))]
    first = tables[: next(k for k, line in enumerate(tables) if line.startswith("└"))]
    assert any("verdict" in line for line in first)
    assert max(map(len, first)) <= width


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("width", WIDTHS)
def test_what_changed_fits(width: int, results: Results) -> None:
    newer = [msgspec.structs.replace(run, version="2027.1.0.dev20270101+cpu") for run in results.runs[1:]]
    newer = [msgspec.structs.replace(run, verdict="suspect") if run.verdict == "agrees" else run for run in newer]
    now = msgspec.structs.replace(results, runs=newer)
    check(wrapped(changes(results, now, width=width), width), changes(results, now), width)


CLAIM = Entry(
    7, "One layer's gradient is that of linear and of logistic regression", "holds", "its largest difference is " * 9,
    (("implementation", "linear: difference from Xᵀ(Xw − t)", "of what roundings may do",
      "logistic: from Xᵀ(σ(Xw) − t)", "of what roundings may do"),
     ("plain", "0.0e+00", "0%", "5.6e-17", "0%"), ("central differences, h = 0.0001", "-0.0004296617045", "0%", "", "2%")),
)  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_claims_fit(width: int) -> None:
    check(wrapped(ledger.terminal([CLAIM], width), width), ledger.terminal([CLAIM]), width)


# What the slow commands' tables are like: saved rows of `bench`, `adapters --accuracy`, `selftest --faults` and --power.
SLOW = {
    "bench": (
        ["what", "median", "ratio"],
        [["784-128-10, batch 32, float32: truth, tolerance and verdict on all of its numbers", "12.3 ms", "31.41 ×"],
         ["verify --command, 2,000 cases of 2-2-1, wrong: it leaves out a derivative", "4123 ms", "3.1 ×"]],
    ),
    "accuracy": (
        ["function", "adapter", "version", *(f"largest ulps, {d}" for d in ("float64", "float32", "float16", "bfloat16"))],
        [["softmax_cross_entropy", "torch", "2.13.0+cpu", "0.501", "0.782", "1.5e+03", "2"],
         ["log", "tensorflow", "2.19.0-dev20250101", "0.501", "", "1.5e+03", "2"]],
    ),
    "faults": (
        ["fault", *(f"{d}: named / described / undetected / otherwise / not" for d in ("float64", "float32", "bfloat16"))],
        [["hidden-delta-without-derivative", "24 / 0 / 0 / 0 / 0", "24 / 0 / 0 / 0 / 0", "13 / 0 / 11 / 0 / 0"]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, *WIDTHS])
@pytest.mark.parametrize("name", SLOW)
def test_tables_of_slow_commands_fit(name: str, width: int) -> None:
    headers, rows = SLOW[name]
    check(table_of(rows, headers, width), table_of(rows, headers), width)


def cells(rows: Iterable[Iterable[str]]) -> list[str]:
    return sorted(word for row in rows for cell in row for word in cell.split())


@pytest.mark.parametrize("width", [24, 40, 80, 100])
@pytest.mark.parametrize("name", SLOW)
def test_nothing_of_a_table_is_lost(name: str, width: int) -> None:
    headers, rows = SLOW[name]
    shown = words(table_of(rows, headers, width).replace(",", "").replace(":", ""))
    assert set(cells([[cell.replace(",", "").replace(":", "") for cell in row] for row in rows])) <= shown


def test_a_table_that_fits_is_tabulate_s() -> None:
    assert table_of([["a", "b"]], ["one", "two"], 80) == table_of([["a", "b"]], ["one", "two"])
    assert table_of([], ["one", "two"], 80).count("\n") >= 3
