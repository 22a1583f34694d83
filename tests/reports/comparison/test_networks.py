"""`backproof networks`: a CNN, an LSTM and a GPT block on the same weights in each framework that is installed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

pytest.importorskip("torch")
pytest.importorskip("flint")


@pytest.mark.usefixtures("slow")
def test_each_network_agrees_in_each_framework(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = command("networks")
    assert done.returncode == 0, done.stdout
    for network in ("cnn", "lstm", "gpt_block"):
        rows = [line for line in done.stdout.splitlines() if f"│ {network} " in line]
        assert len(rows) >= 3  # PyTorch in two formats, NumPy
        assert all("wrong" not in row for row in rows)
    assert "agree." in done.stdout.splitlines()[-1] or " agree" in done.stdout
