"""What is read aloud in class needs nothing but Python."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
before = set(sys.modules)
import {module}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(sorted(loaded - set(sys.stdlib_module_names) - {{"backproof"}}))
"""


@pytest.mark.sampled(7)
@pytest.mark.parametrize(
    "module",
    [
        "backprop",
        "numbers.plain",
        "activations",
        "losses",
        "more_activations",
        "more_losses",
        "case",
        "cases",
        "worked_example",
        "numbers.precision",
        "numbers.arithmetic",
        "numbers.atlas",
        "update_rules",
        "training",
    ],
)
def test_the_reference_on_floats_imports_the_standard_library_only(module: str) -> None:
    program = PROGRAM.format(module=f"backproof.reference.{module}")
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_the_package_itself_loads_nothing_until_a_name_is_used() -> None:
    program = "import sys, backproof; print([name for name in sys.modules if name.startswith('backproof.')])"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
