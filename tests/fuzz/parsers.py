"""Coverage-guided fuzzing of everything that is read from outside: python tests/fuzz/parsers.py -max_total_time=60

Needs atheris. An answer line, a file of answers and a file of vectors are each made of the same bytes; anything but a
result or the message that is meant for it is a crash.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["backproof"]):
    from backproof.adapters.adapter import Unanswered
    from backproof.adapters.protocol import observation_of
    from backproof.reference.case import InvalidInput
    from backproof.reference.diagnosis.conventions import Convention, probes
    from backproof.reference.judging.judgement import judge
    from backproof.reports.vectors.reading import read, verify_answers

NETWORK = Convention(("sigmoid", "sigmoid"), "half_squared_error")
(CASE,) = (NETWORK.applied(case) for case in probes((2, 2, 1), (2,), "separate", "float64", 0))
FOLDER = Path(tempfile.mkdtemp())


def one_input(data: bytes) -> None:
    try:
        judge(CASE, observation_of(data.replace(b"\n", b" "), CASE, 1))
    except Unanswered as error:
        assert str(error).isprintable()
    for path, reader in (
        (FOLDER / "answers", verify_answers),
        (FOLDER / "vectors.json", lambda p: list(read(p.parent))),
    ):
        path.write_bytes(data)
        try:
            reader(path)
        except InvalidInput as error:
            assert str(error)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
