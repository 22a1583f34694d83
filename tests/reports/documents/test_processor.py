"""The processor: what is said of it, and that the settings which hold a process to a SIMD level do so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from backproof.reports.documents import processor

ORDER = [level.name for level in processor.LEVELS]


def offering(monkeypatch: pytest.MonkeyPatch, baseline: str, found: str, missing: str) -> None:
    features = {"baseline": baseline.split(), "found": found.split(), "not found": missing.split()}
    shown = {"SIMD Extensions": {name: list_ for name, list_ in features.items() if list_}}
    monkeypatch.setattr(np, "show_config", lambda mode: shown)


OLD = "SSSE3 SSE41 POPCNT SSE42 AVX F16C FMA3 AVX2"  # NumPy 2.0 to 2.3
OLD_512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
NEW_512 = "X86_V4 AVX512_ICL AVX512_SPR"


@pytest.mark.parametrize(
    ("baseline", "found", "missing", "off"),
    [
        ("SSE SSE2 SSE3", OLD, OLD_512, {"AVX2": OLD_512, "SSE4.2": f"AVX F16C FMA3 AVX2 {OLD_512}"}),
        ("SSE SSE2 SSE3", f"{OLD} {OLD_512}", "", {"AVX2": OLD_512, "SSE4.2": f"AVX F16C FMA3 AVX2 {OLD_512}"}),
        ("X86_V2", "X86_V3", NEW_512, {"AVX2": NEW_512, "SSE4.2": f"X86_V3 {NEW_512}"}),
        ("X86_V2", f"X86_V3 {NEW_512}", "", {"AVX2": NEW_512, "SSE4.2": f"X86_V3 {NEW_512}"}),
        ("X86_V2", "", f"X86_V3 {NEW_512}", {"SSE4.2": f"X86_V3 {NEW_512}"}),  # AVX2 cannot be had: not offered
        ("NEON NEON_FP16 NEON_VFPV4 ASIMD", "ASIMDHP ASIMDDP", "ASIMDFHM", {}),
        ("", "", "", {}),
    ],
    ids=["2.0", "2.0 with AVX-512", "2.4", "2.4 with AVX-512", "2.4 without AVX2", "Arm", "nothing"],
)
def test_every_numpy_is_asked_for_its_own_names(
    monkeypatch: pytest.MonkeyPatch, baseline: str, found: str, missing: str, off: dict[str, str]
) -> None:
    """A name that it does not know would be a warning, and one of its baseline an error."""
    offering(monkeypatch, baseline, found, missing)
    assert {name: settings[processor.NUMPY] for name, settings in processor.forced().items()} == off


@pytest.mark.parametrize(
    ("baseline", "found", "level"),
    [
        ("SSE SSE2 SSE3", "", "SSE4.2"),
        ("SSE SSE2 SSE3", OLD, "AVX2"),
        ("X86_V2", "X86_V3 X86_V4", "AVX-512"),
        ("NEON ASIMD", "ASIMDHP", "ASIMDHP"),
        ("NEON ASIMD", "", "ASIMD"),
        ("", "", "unknown"),
    ],
)
def test_the_level_has_one_name_whatever_numpy_calls_it(
    monkeypatch: pytest.MonkeyPatch, baseline: str, found: str, level: str
) -> None:
    offering(monkeypatch, baseline, found, "")
    assert processor.simd() == level


ASKED = """
import json
from backproof.reports.documents import processor
blas = processor.blas()
print(json.dumps([processor.simd(), processor.set_here(), blas and blas.threads, blas and blas.architecture]))
"""


def asked(**settings: str) -> list[Any]:
    """What a new process with these settings says of itself; a warning ends it."""
    unset = {name: value for name, value in os.environ.items() if name not in processor.SETTINGS}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASKED],
        env={**unset, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    said: list[Any] = json.loads(done.stdout)
    return said


@pytest.mark.sampled(2)
@pytest.mark.parametrize("level", ORDER[:-1])
def test_a_process_is_held_to_the_level(level: str) -> None:
    settings = processor.forced().get(level)
    if settings is None:
        pytest.skip(f"this processor, or this test's own process, has no {level} to be held to")
    simd, here, _, architecture = asked(**settings, OPENBLAS_NUM_THREADS="1")
    assert simd == level
    assert here == settings
    assert architecture in (settings["OPENBLAS_CORETYPE"], None)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("threads", [1, 2])
def test_openblas_says_how_many_threads_it_has(threads: int) -> None:
    blas = processor.blas()
    if blas is None or blas.threads is None:
        pytest.skip("this NumPy has another BLAS, which cannot be asked")
    if threads > (os.cpu_count() or 1):
        pytest.skip("OpenBLAS starts no more threads than there are cores")
    assert asked(OPENBLAS_NUM_THREADS=str(threads))[2] == threads


def test_of_xla_s_flags_only_the_level_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may hold paths."""
    for name in processor.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/somebody --xla_cpu_max_isa=AVX2")
    assert processor.set_here() == {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/somebody")
    assert processor.set_here() == {}


def test_the_processor_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processor.model()
    monkeypatch.setattr(
        Path, "read_text", lambda *_, **__: "vendor_id\t: X\nmodel name\t: Fast\nmodel\t\t: 7\ncpu family\t: 6\n"
    )
    assert processor.model() == "Fast (family 6, model 7)"


def test_a_numpy_without_a_blas_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": {"blas": {"name": "none"}}})
    assert processor.blas() is None
