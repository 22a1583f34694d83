"""The processor that numbers come from: its name, its SIMD level, its BLAS, and how to hold a process to a lower level.

Libraries choose their kernels by the processor, and kernels differ in the last bits. Environment variables hold them
back, if they are set before the libraries are loaded: so only in a new process.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

NUMPY, XLA = "NPY_DISABLE_CPU_FEATURES", "XLA_FLAGS"


@dataclass(frozen=True)
class Level:
    """A SIMD level of x86-64.

    features: what NumPy's versions call the groups up to it, beyond the level below
    settings: what holds the other libraries to it
    """

    name: str
    features: re.Pattern[str]
    settings: tuple[tuple[str, str], ...]


# From low to high. PyTorch's and OpenBLAS's settings name kernels that they then use without asking the processor; the
# others are upper limits. What is held back in glibc are the variants of exp and log that plain Python calls.
LEVELS = (
    Level(
        "SSE4.2",
        re.compile(r"MMX|SSE\d*|SSSE3|POPCNT|X86_V2"),
        (
            ("ATEN_CPU_CAPABILITY", "default"),
            ("ONEDNN_MAX_CPU_ISA", "SSE41"),
            (XLA, "--xla_cpu_max_isa=SSE4_2"),
            ("OPENBLAS_CORETYPE", "Nehalem"),
            ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4"),
        ),
    ),
    Level(
        "AVX2",
        re.compile(r"AVX|AVX2|F16C|FMA[34]|XOP|BMI2?|LZCNT|MOVBE|X86_V3"),
        (
            ("ATEN_CPU_CAPABILITY", "avx2"),
            ("ONEDNN_MAX_CPU_ISA", "AVX2"),
            (XLA, "--xla_cpu_max_isa=AVX2"),
            ("OPENBLAS_CORETYPE", "Haswell"),
            ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F"),
        ),
    ),
    Level("AVX-512", re.compile(r"AVX512.*|X86_V4"), ()),
)
SETTINGS = (NUMPY, *dict(LEVELS[0].settings))
FOUND = "as found"


def simd() -> str:
    """The highest SIMD level that NumPy uses here: one of `LEVELS`, or what NumPy calls another machine's."""
    offered = _features()
    used = [*offered.get("baseline", ()), *offered.get("found", ())]
    known = [level.name for level in LEVELS if any(level.features.fullmatch(feature) for feature in used)]
    return known[-1] if known else used[-1] if used else "unknown"


def forced() -> dict[str, dict[str, str]]:
    """The levels that a child process can be held to here, from high to low: variables to set, by the level's name.

    None is above this processor's own, and AVX-512 needs no holding back. On what is not an x86-64 there are none.
    """
    names = [level.name for level in LEVELS]
    own = simd()
    if own not in names:
        return {}
    offered = _features()
    dispatched = [*offered.get("found", ()), *offered.get("not found", ())]
    settings = {}
    for count, level in enumerate(LEVELS[: names.index(own) + 1], start=1):
        kept = [lower.features for lower in LEVELS[:count]]
        off = [name for name in dispatched if not any(features.fullmatch(name) for features in kept)]
        if level.settings:
            settings[level.name] = {NUMPY: " ".join(off), **dict(level.settings)}
    return dict(reversed(settings.items()))


def set_here() -> dict[str, str]:
    """What holds this very process to a level. Of XLA's flags, only the one that does."""
    here = {name: os.environ[name] for name in SETTINGS if os.environ.get(name)}
    if XLA in here:
        here[XLA] = " ".join(flag for flag in here[XLA].split() if flag.startswith("--xla_cpu_max_isa="))
    return {name: value for name, value in here.items() if value}


def model() -> str:
    """The processor's name, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = fields.get("model name") or platform.processor() or platform.machine() or "unknown"
    family = [fields[key] for key in ("cpu family", "model") if key in fields]
    return f"{name} (family {family[0]}, model {family[1]})" if len(family) == 2 else name


@dataclass(frozen=True)
class Blas:
    """NumPy's BLAS. threads, architecture: of OpenBLAS, which can be asked what it chose."""

    name: str
    version: str
    threads: int | None
    architecture: str | None


def blas() -> Blas | None:
    """The library that NumPy's matrix products come from, and what it runs with; None where NumPy has its own loops."""
    built: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment, unused-ignore]
    library = built.get("Build Dependencies", {}).get("blas", {})
    if not library.get("found"):
        return None
    threads = _asked("get_num_threads", ctypes.c_int)
    core = _asked("get_corename", ctypes.c_char_p)
    return Blas(library.get("name", "unknown"), library.get("version", "unknown"), threads, core and core.decode())


def _asked(question: str, answer: Any) -> Any:
    """What the OpenBLAS that NumPy has loaded says; None where it is another library. Its names differ by build."""
    try:  # the extension module, through which its libraries' functions are found
        loaded = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
    except (OSError, ImportError):
        return None
    for prefix, suffix in (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", "")):
        function = getattr(loaded, f"{prefix}openblas_{question}{suffix}", None)
        if function is not None:
            function.restype = answer
            return function()
    return None


def _features() -> dict[str, list[str]]:
    """What NumPy was built for: its baseline, and what it found here or did not. Empty lists are left out."""
    built: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment, unused-ignore]
    features: dict[str, list[str]] = built.get("SIMD Extensions", {})
    return features
