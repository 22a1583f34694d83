"""The examples in other languages: built where their tools are, run by the protocol and on the vectors, with a bug and without."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

ROOT = Path(__file__).parents[1]
EXAMPLES, VECTORS = ROOT / "examples", ROOT / "vectors"
COMMAND = Path(sys.executable).with_name("backproof")
GSON = Path("/usr/share/java/gson.jar")
FILES = [str(path) for path in sorted(VECTORS.glob("*.json")) if path.name != "schema.json"]

Built = tuple[list[str], list[str] | None]  # how to speak the protocol, how to run the vectors


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def build_c(folder: Path) -> Built:
    need("gcc")
    if run("gcc", "-x", "c", "-fsyntax-only", "-include", "cjson/cJSON.h", "/dev/null").returncode:
        pytest.skip("cJSON is not installed (Debian: libcjson-dev)")
    for name in ("main", "vectors"):
        sources = [str(EXAMPLES / "c" / f"{part}.c") for part in (name, "net")]
        made = run(
            "gcc",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-std=c11",
            *sources,
            "-o",
            str(folder / name),
            "-lcjson",
            "-lm",
        )
        assert made.returncode == 0, made.stderr
    return [str(folder / "main")], [str(folder / "vectors"), "{bug}", *FILES]


def build_javascript(folder: Path) -> Built:
    need("node")
    where = EXAMPLES / "javascript"
    return ["node", str(where / "main.mjs")], ["node", str(where / "vectors.mjs"), str(VECTORS), "{bug}"]


def build_java(folder: Path) -> Built:
    need("javac", "java")
    if not GSON.exists():
        pytest.skip("Gson is not installed (Debian: libgoogle-gson-java)")
    made = run("javac", "-cp", str(GSON), "-d", str(folder), *map(str, (EXAMPLES / "java").glob("*.java")))
    assert made.returncode == 0, made.stderr
    java = ["java", "-cp", f"{folder}:{GSON}"]
    return [*java, "Main"], [*java, "Vectors", str(VECTORS), "{bug}"]


def build_rust(folder: Path) -> Built:
    need("cargo")
    if run("cargo", "--version").returncode:
        pytest.skip("cargo is rustup's, which has no toolchain for this user")
    made = run("cargo", "build", "-q", "--release", "--offline", "--target-dir", str(folder), cwd=EXAMPLES / "rust")
    assert made.returncode == 0, made.stderr
    program = str(folder / "release" / "backproof-example")
    return [program], [program, "vectors", str(VECTORS), "{bug}"]


def build_perl(folder: Path) -> Built:
    need("perl")
    if run("perl", "-MJSON::PP", "-e", "1").returncode:
        pytest.skip("perl comes without JSON::PP")
    return ["perl", str(EXAMPLES / "perl" / "mynet.pl")], None


BUILDS = (build_perl, build_c, build_javascript, build_java, build_rust)


@pytest.mark.parametrize("build", BUILDS)
def test_an_example_agrees_and_its_planted_bug_is_named(
    build: Callable[[Path], Built], tmp_path: Path, sampled: Callable[[int, int], None]
) -> None:
    sampled(1, 2)
    speaks, runs_vectors = build(tmp_path)
    honest = run(str(COMMAND), "verify", "--hello", "--command", " ".join(speaks))
    assert honest.returncode == 0, honest.stdout + honest.stderr
    assert honest.stdout.startswith("agrees, to 14 digits")
    wrong = run(str(COMMAND), "verify", "--hello", "--cases", "few", "--command", " ".join([*speaks, "--bug"]))
    assert wrong.returncode == 1
    assert "fault `hidden-delta-without-derivative` alone explains all" in wrong.stdout
    if runs_vectors is None:
        return
    honest = run(*(word for word in runs_vectors if word != "{bug}"))
    assert (honest.returncode, honest.stdout.splitlines()[0]) == (0, "89 passed, 0 failed"), honest
    wrong = run(*(word.replace("{bug}", "--bug") for word in runs_vectors))
    assert wrong.returncode == 1
    assert "all of it is explained by: hidden-delta-without-derivative" in wrong.stdout
