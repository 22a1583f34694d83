"""stdout and stderr as they may be: closed, full, with nobody who reads, or in an encoding of a few letters."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

from commands import in_shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")

COMPARE = "$B compare --adapter plain --case xor-hidden --dtype float64"
SCRIPTS = {
    f"{COMPARE} >&-": (2, "error: standard output: it is closed, so the report could not be written."),
    f"{COMPARE} > /dev/full": (
        2,
        "error: standard output: No space left on device, so the report could not be written.",
    ),
    f"{COMPARE} --format html | true": (141, ""),
    "$B verify nowhere:f 2> /dev/full": (2, ""),
    "$B verify nowhere:f 2>&-": (2, ""),
    f"PYTHONIOENCODING=cp1252 {COMPARE}": (0, ""),
    f"PYTHONIOENCODING=ascii {COMPARE} --out reports": (0, "wrote reports/results.json"),
    "mkdir gone; cd gone; rmdir ../gone; $B compare --adapter plain --jobs 2": (2, "error: the current folder is gone"),
    f"{COMPARE} --out $(printf 'a%.0s' $(seq 5000))": (2, "error: --out "),
    "$B report $(printf '\\033[31m').json": (2, "error: \\x1b[31m.json: cannot be read: No such file or directory."),
}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("script", SCRIPTS)
def test_wherever_the_report_goes_there_is_no_traceback(script: str, tmp_path: Path) -> None:
    code, words = SCRIPTS[script]
    finished = in_shell(script, tmp_path)
    assert finished.returncode == code, finished.stderr
    assert words in finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr
    assert "Exception ignored" not in finished.stderr
    if code == 0:
        assert "agrees: no disagreement in 1 runs" in finished.stdout


@pytest.mark.usefixtures("slow")
def test_a_folder_that_is_full_gets_no_half_report_and_the_result_is_printed(tmp_path: Path) -> None:
    mount = f"mkdir tiny && mount -t tmpfs -o size=16k tmpfs tiny && {COMPARE} --out tiny; code=$?; ls tiny; umount tiny; exit $code"
    finished = in_shell(f"unshare --mount --map-root-user bash -c '{mount}'", tmp_path)
    if "unshare" in finished.stderr or "mount" in finished.stderr:
        pytest.skip("no file system may be mounted here")
    assert finished.returncode == 2
    assert "agrees" in finished.stdout
    assert "No space left on device" in finished.stderr
    assert "report" not in finished.stdout.splitlines()[-1]
