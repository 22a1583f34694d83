"""Parts of large arrays: what is said of an element is the same as where all are looked at, and all are looked at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.judging import Verdict, judged_call
from backproof.reference.numbers import FLOAT32, PROFILES, RANDOM
from backproof.reference.programs import (
    FLOATS,
    Bounds,
    Part,
    Program,
    Value,
    blocks,
    broadcast,
    chosen,
    elementwise_bounds,
    in_parts,
    mean,
    permuted,
    products,
    reshaped,
    run,
    scattered,
    total,
)
from backproof.reference.programs.elementwise import exp, tanh


def formulas() -> dict[str, Callable[[Value, Value], Value]]:
    return {
        "elementwise": lambda x, y: exp(x) * y + 2,
        "a sum of all": lambda x, y: total(x * y),
        "sums of rows": lambda x, y: mean(x, (1,)),
        "sums of columns": lambda x, y: total(exp(x), (0,)),
        "a norm": lambda x, y: x - broadcast(mean(x, (1,), keep=True), x.shape),
        "a product": lambda x, y: products(reshaped(x, (1, *x.shape)), permuted(reshaped(y, (1, *y.shape)), (0, 2, 1))),
        "a product and a bias": lambda x, y: tanh(
            products(reshaped(x, (1, *x.shape)), permuted(reshaped(y, (1, *y.shape)), (0, 2, 1)))
            + broadcast(total(x, (1,)), (1, x.shape[0], y.shape[0]))
            if x.shape == y.shape
            else x
        ),
        "a choice": lambda x, y: chosen(np.arange(x.size).reshape(x.shape) % 3 > 0, x, y),
    }


def called(formula: Callable[[Value, Value], Value], shape: tuple[int, int]) -> tuple[Value, dict[int, Any]]:
    program, rng = Program(), np.random.default_rng(5)
    x, y = program.input(shape), program.input(shape)
    numbers = rng.standard_normal((2, *shape)).astype(np.float32)
    return formula(x, y), {x.index: numbers[0], y.index: numbers[1]}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGE", 50)
    monkeypatch.setattr(blocks, "PART", 20)
    monkeypatch.setattr(blocks, "FACTORS", 40)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("name", formulas())
def test_parts_are_those_of_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise_bounds, "_repeated", lambda values: False)  # of a part it asks about the part
    result, given = called(formulas()[name], (9, 9))
    wide = {k: x.astype(np.float64) for k, x in given.items()}
    (whole,) = run([result], wide, Bounds(PROFILES["float32"]))
    flat, seen = whole.reshape(-1), []
    for positions in in_parts(result, given):
        assert positions is not None
        part = Part(result.program, given, Bounds(PROFILES["float32"])).at(result.index, positions)
        # no tolerance of a verdict: the same float64 sums, added up in parts (81 terms at most), and their bounds
        np.testing.assert_allclose(part["value"], flat["value"][positions], rtol=1e-13, atol=1e-15)
        random, expected = (x["errors"][..., RANDOM].copy() for x in (part, flat[positions]))
        part["errors"][..., RANDOM] = expected
        np.testing.assert_allclose(part["errors"], flat["errors"][positions], rtol=1e-9, atol=1e-22)
        # parts of one sum may have errors in common, as far as is known
        assert (random >= expected * (1 - 1e-9)).all()
        assert (random <= expected * 1.1).all()
        seen += positions.tolist()
    assert sorted(seen) == list(range(result.size))


@pytest.mark.usefixtures("small_parts")
def test_what_is_scattered_is_looked_at_as_a_whole() -> None:
    result, given = called(lambda x, y: scattered(x, np.arange(x.size).reshape(x.shape) // 2, (x.size,)) * 2, (9, 9))
    assert list(in_parts(result, given)) == [None]
    (value,) = run([result], given, FLOATS)
    (call,) = judged_call([result], given, [value.astype(np.float32)], [FLOAT32], PROFILES["float32"])
    assert (call.verdict, call.elements) == (Verdict.AGREES, 81)


@pytest.mark.usefixtures("small_parts")
def test_one_wrong_element_is_found_in_its_part() -> None:
    result, given = called(lambda x, y: x * y, (30, 30))
    x, y = given.values()
    right = x * y
    (call,) = judged_call([result], given, [right], [FLOAT32], PROFILES["float32"])
    assert (call.verdict, call.elements, call.shape) == (Verdict.AGREES, 900, (30, 30))
    assert 7 < call.digits < 9
    wrong = right.copy()
    wrong[17, 4] *= np.float32(1 + 1e-5)
    (call,) = judged_call([result], given, [wrong], [FLOAT32], PROFILES["float32"])
    assert call.verdict is Verdict.WRONG
    assert call.place == (17, 4)
    assert call.observed == wrong[17, 4]
    (scaled,) = judged_call([result], given, [right * np.float32(1 + 2e-6)], [FLOAT32], PROFILES["float32"])
    assert scaled.verdict is Verdict.WRONG


MEASURED = """
import resource, sys, torch
import backproof.torch as checks
torch.set_num_threads(1)
n = {n}
a, b = torch.randn(n), torch.randn(n)
with checks.judged() as report:
    torch.mul(a[:9], b[:9])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with checks.judged() as report:
    a * b
assert report().ok, str(report())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (12 * n))
"""


@pytest.mark.usefixtures("slow")
@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux counts")
def test_memory_is_less_than_six_times_the_operation_s() -> None:
    pytest.importorskip("torch")
    finished = subprocess.run(
        [sys.executable, "-c", MEASURED.format(n=10_000_000)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout) < 6 - 1  # the operands were there before
