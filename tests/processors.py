"""The same verdicts on every processor: vectors, judge and a campaign, held to each lower SIMD level, by turns.

python tests/processors.py [--clean N]

For each level that this processor can be held to, with one and with two BLAS threads: the published vectors are
checked, the judge's tests and the vectors' run (the slow ones too), and half of N random correct implementations are
judged. Prints what ran and its result.
What runs is told as it begins, and what failed is shown. Exit code 1 if anything did.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from backproof.reports.console.terminal import table_of
from backproof.reports.documents.processor import FOUND, forced, model, simd

TESTS = Path(__file__).parent
REFERENCE = (
    "judging/test_judge.py",
    "numbers/test_bounded.py",
    "judging/test_stepwise.py",
    "judging/test_statistical.py",
)
VECTORS = "tests/reports/vectors/test_vectors.py"
LEFT_OUT = (  # once, beside PyTorch, is enough: the first has levels of its own, the second is about options and files
    f"{VECTORS}::test_they_are_the_same_and_proved_on_every_processor",
    f"{VECTORS}::test_the_command_line",
)
THREADS = (1, 2)
SHOWN = 60  # lines of what failed: the last ones
BACKPROOF = str(Path(sys.executable).with_name("backproof"))


def settings() -> Iterator[tuple[str, dict[str, str]]]:
    """In words, and as environment variables."""
    for level, variables in (forced() or {FOUND: {}}).items():
        for threads in THREADS:
            counts = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
            yield f"{level}, {threads} BLAS thread{'s' * (threads > 1)}", {**variables, **counts}


def work(turn: int, clean: int) -> dict[str, list[str]]:
    """The commands to run, by what they are. Every turn has configurations of its own."""
    pytest = [sys.executable, "-m", "pytest", "-q", "--slow", "--rootdir", str(TESTS.parent)]
    files = [*(TESTS / "reference" / name for name in REFERENCE), TESTS.parent / VECTORS]
    return {
        "vectors check": [BACKPROOF, "vectors", "check"],
        "tests of judge and vectors": [*pytest, *(f"--deselect={test}" for test in LEFT_OUT), *map(str, files)],
        f"selftest --clean {clean} --first {turn * clean}": [
            *(BACKPROOF, "selftest", "--clean", str(clean), "--first", str(turn * clean)),
        ],
    }


def ran(command: list[str], variables: dict[str, str]) -> str:
    """Its result in a word or two; what it printed is shown if it failed."""
    started = monotonic()
    done = subprocess.run(
        command,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-SHOWN:]), flush=True)
    result = "passed" if done.returncode == 0 else f"FAILED, exit {done.returncode}"
    return f"{result}, {monotonic() - started:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=int, default=300, help="configurations for each SIMD level (300)")
    clean: int = parser.parse_args().clean // len(THREADS)
    rows: list[list[str]] = []
    for turn, (words, variables) in enumerate(settings()):
        for what, command in work(turn, clean).items():
            print(f"{words}: {what}", flush=True)
            rows.append([words, what, ran(command, variables)])
    print(f"{model()}, {simd()}")
    print(table_of(rows, ["setting", "what ran", "result"]))
    return int(any("FAILED" in result for _, _, result in rows))


if __name__ == "__main__":
    sys.exit(main())
