"""Skips an environment whose framework has no usable wheel here, and says so.

On Linux, PyPI's PyTorch brings several GB of CUDA libraries. The tests want the CPU build: pip is asked, without
installing anything, which wheel it would take, first as this machine is set up, then from PyTorch's own index.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tox.plugin import impl
from tox.tox_env.api import ToxEnv
from tox.tox_env.errors import Skip

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
WHEELS_ONLY = ("tensorflow-cpu==", "mlx[cpu]==")  # not for every Python and machine, and not to be built from source


@impl
def tox_on_install(tox_env: ToxEnv, arguments: Any, section: str, of_type: str) -> None:
    """Called by tox before it installs: `arguments` holds what tox.ini lists as deps."""
    if of_type != "deps" or section != "PythonRun":
        return
    for requirement in map(str, arguments.requirements):
        if requirement.startswith("torch=="):
            _settle_on_a_cpu_build(tox_env, requirement)
        if requirement.startswith(WHEELS_ONLY) and _wheel(tox_env, requirement) is None:
            raise Skip(f"no wheel of {requirement} for this Python can be reached")


def _settle_on_a_cpu_build(tox_env: ToxEnv, requirement: str) -> None:
    if _is_cpu_build(tox_env, requirement):
        return
    if _is_cpu_build(tox_env, requirement, "--extra-index-url", CPU_INDEX):
        tox_env.environment_variables["PIP_EXTRA_INDEX_URL"] = CPU_INDEX
        return
    raise Skip(f"no CPU wheel of {requirement} for this Python can be reached")


def _is_cpu_build(tox_env: ToxEnv, requirement: str, *options: str) -> bool:
    """Whether pip would take a wheel of `requirement` that does not bring CUDA with it."""
    wheel = _wheel(tox_env, requirement, *options)
    if wheel is None:
        return False
    needs = wheel["metadata"].get("requires_dist", [])
    return not (sys.platform == "linux" and any(need.startswith(("nvidia-", "cuda-")) for need in needs))


def _wheel(tox_env: ToxEnv, requirement: str, *options: str) -> dict[str, Any] | None:
    """What pip says of the wheel of `requirement` that it would take; None where it finds none."""
    python = str(tox_env.env_python())  # type: ignore[attr-defined]
    command = [python, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary=:all:"]
    command += ["--quiet", "--retries=0", "--timeout=15", "--report=-", *options, requirement]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if asked.returncode != 0:
        return None
    (wheel,) = json.loads(asked.stdout)["install"]
    found: dict[str, Any] = wheel
    return found
