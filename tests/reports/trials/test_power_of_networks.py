"""What is seen in whole networks: thresholds of the tests, which a planted error of that size does not pass."""

from __future__ import annotations

import math
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from backproof.reference.judging import Verdict
from backproof.reports.trials import power_of_networks
from backproof.reports.trials.power_of_networks import Block, cnn, power_of


def small_block(dtype: Any) -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    tokens, targets = torch.randint(0, 7, (2, 5)), torch.randint(0, 7, (10,))
    return Block(length=5, width=8, heads=2, vocabulary=7).to(dtype), tokens, targets


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_block_s_power_is_some_roundings(dtype: str) -> None:
    power = power_of("block", dtype, *small_block(getattr(torch, dtype)))
    assert 0.5 < power.of_results < 1000
    assert 0.5 < power.of_gradients < 1000
    assert 0 <= power.zeroable < 0.2
    assert 1 < power.tightness < math.inf


@pytest.mark.usefixtures("slow")
def test_a_cnn_s_too() -> None:
    torch.manual_seed(0)
    power = power_of("CNN", "float32", cnn(2, 8), torch.randn(3, 1, 8, 8), torch.tensor([0, 3, 9]))
    assert power.results > 20
    assert power.of_results <= power.of_gradients
    assert power.zeroable < 0.01


def test_a_run_that_is_accused_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    accused = SimpleNamespace(verdict=Verdict.WRONG)
    monkeypatch.setattr(power_of_networks, "judged", lambda: nullcontext(lambda: accused))
    with pytest.raises(AssertionError, match="WRONG"):
        power_of("block", "float32", *small_block(torch.float32))


@pytest.mark.usefixtures("slow")
def test_the_table_has_each_network_in_each_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_of_networks, "Block", lambda: Block(length=64, width=8, heads=2))
    monkeypatch.setattr(power_of_networks, "FORMATS", ("float32",))
    table = list(power_of_networks.rows())
    assert [row[:2] for row in table] == [["block", "float32"], ["CNN", "float32"]]
    assert all(len(row) == len(power_of_networks.HEADERS) for row in table)
