"""Every bug and its right twin before every check, and the table of what they said."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from backproof import InvalidInput
from backproof.reports.journal import journal, versions
from backproof.reports.options import processes_for
from backproof.reports.spread import spread, workers
from tabulate import tabulate

from .bug import FORMATS, Bug, Entry, entries, entry
from .checks import CHECKS, NOT_TAKEN, REFUSED, RULE, SCIPY_NAME, UNDECIDED, Check, answered, available
from .running import Side

FOLDER = Path(__file__).parent
README, PAGE = FOLDER / "README.md", FOLDER.parent / "docs" / "gradbugs.md"


@dataclass(frozen=True)
class Record:
    """What one check said of a bug and of its right twin, in one format.

    operation, mistake: whether the text about the wrong one has one of the bug's words;  seconds: for both twins
    """

    bug: str
    check: str
    format: str
    wrong: str
    right: str
    operation: bool
    mistake: bool
    seconds: float
    text: str


def looked_at(entry: Entry, checks: Iterable[Check], formats: Sequence[str] = FORMATS) -> Iterator[Record]:
    """A record for each of the checks and formats that this bug is for."""
    bug = entry.bug
    for check in checks:
        if bug.framework not in check.frameworks or bug.order not in check.orders:
            continue
        for format in formats:
            if format in check.formats and format in bug.formats:
                wrong = answered(check, Side(entry, entry.wrong, format))
                right = answered(check, Side(entry, entry.right, format))
                operation, mistake = named(bug, wrong.text)
                text = "\n".join(filter(None, [wrong.text, right.text and f"of the right one: {right.text}"]))
                seconds = round(wrong.seconds + right.seconds, 3)
                yield Record(
                    entry.name, check.name, format, wrong.outcome, right.outcome, operation, mistake, seconds, text
                )


def of_one(name: str, check: str, formats: Sequence[str]) -> list[Record]:
    """Every record of one bug, by the checks whose names contain this: what a process of its own is asked for."""
    return list(looked_at(entry(name), [each for each in available() if check in each.name], formats))


def named(bug: Bug, text: str) -> tuple[bool, bool]:
    """Whether a refusal names the operation and the mistake. What comes after "because" is what it explains with."""
    explained = " ".join(text.partition("because")[2].split())
    return any(word in explained for word in bug.operation), any(word in explained for word in bug.mistake)


def table(records: Sequence[Record], form: str = "github") -> str:
    """A row for each check and format."""
    rows = []
    for check in CHECKS:
        for format in FORMATS:
            own = [r for r in records if r.check == check.name and r.format == format]
            if own:
                rows.append([check.name, format, *_counts(own, check.name == RULE)])
    headers = ["check", "format", "wrong refused", "twins accused", "operation", "mistake", "CPU s, median"]
    return tabulate(rows, headers, tablefmt=form, disable_numparse=True)


def _counts(own: Sequence[Record], names: bool) -> list[str]:
    refused = [r for r in own if r.wrong == REFUSED]

    def share(which: str) -> str:
        outcomes = [getattr(r, which) for r in own]
        beside = [
            f"{outcomes.count(o)} {o}" for o in (UNDECIDED, NOT_TAKEN) if outcomes.count(o)
        ]  # said apart: neither a refusal nor a pass
        return f"{outcomes.count(REFUSED)} of {len(own)}" + (f" ({', '.join(beside)})" if beside else "")

    words = [str(sum(r.operation for r in refused)), str(sum(r.mistake for r in refused))] if names else ["", ""]
    return [share("wrong"), share("right"), *words, f"{statistics.median(r.seconds for r in own) / 2:.2f}"]


def by_bug(records: Sequence[Record], form: str = "github") -> str:
    """A row for each bug: who refuses it in which formats. Letters: float64 d, float32 s, bfloat16 b."""
    letters = {"float64": "d", "float32": "s", "bfloat16": "b"}
    rows = []
    for bug in dict.fromkeys(r.bug for r in records):
        own = [r for r in records if r.bug == bug]
        row = [bug]
        for check in CHECKS:
            asked = [r for r in own if r.check == check.name]
            row.append("".join(letters[r.format] for r in asked if r.wrong == REFUSED) or ("–" if asked else ""))
        rows.append(row)
    return tabulate(rows, ["bug", *(check.name for check in CHECKS)], tablefmt=form, disable_numparse=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line's answer: 0."""
    parser = argparse.ArgumentParser("python -m gradbugs", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="bugs whose names contain this")
    parser.add_argument("--check", default="", metavar="NAME", help="checks whose names contain this")
    parser.add_argument("--in", dest="formats", default=",".join(FORMATS), metavar="FORMATS", help="of numbers")
    parser.add_argument(
        "--seen", type=Path, nargs="*", default=[], metavar="FILE", help="records of earlier runs, shown"
    )
    parser.add_argument("--format", choices=["table", "json"], default="table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every record there, as JSON")
    parser.add_argument("--write", action="store_true", help="put the tables into gradbugs/README.md and the docs")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes; 0 for one per core")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="Dask's: its workers run everything")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="keep each bug's records there as they are made")
    parser.add_argument("--resume", action="store_true", help="go on with what is in the journal")
    given = parser.parse_args(arguments)
    records = [Record(**r) for path in given.seen for r in json.loads(path.read_text(encoding="utf-8"))]
    try:
        if not given.seen:
            records = run(given)
    except InvalidInput as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except (RuntimeError, ModuleNotFoundError) as error:
        if given.scheduler is None:
            raise
        said = str(error).splitlines()[0]
        sys.stderr.write(
            f"error: --scheduler: gradbugs, which is not installed, was not found there ({said}): start the scheduler "
            f"and its workers with PYTHONPATH={FOLDER.parent}.\n"
        )
        return 2
    if given.write:
        written(records)
    sys.stdout.write((as_json(records) if given.format == "json" else shown(records, "simple")) + "\n")
    return 0


def run(given: argparse.Namespace) -> list[Record]:
    """What the command line asks for, on its executor, in the order of the bugs."""
    bugs, formats = [each.name for each in entries(given.only)], given.formats.split(",")
    tasks = {f"{name} {given.check} {given.formats}".strip(): (name, given.check, formats) for name in bugs}
    found: dict[str, list[Record]] = {}
    kept = nullcontext() if given.journal is None else journal(given.journal, given.resume, versions())
    if given.jobs < 0 or (given.resume and given.journal is None):
        raise InvalidInput("--jobs: expected 0 or more; --resume goes on with a journal: name it with --journal FILE.")
    here = given.jobs == 1 and given.scheduler is None
    executors = nullcontext() if here else workers(processes_for(given.jobs), given.scheduler)
    with kept as written_down, executors as executor:
        for task, records in spread(of_one, tasks, list[Record], executor, written_down):
            found[task] = records
            sys.stderr.write(f"{tasks[task][0]}\n")
            if given.out:  # after each, for a run takes long
                given.out.write_text(as_json(in_order(tasks, found)) + "\n", encoding="utf-8")
    return in_order(tasks, found)


def in_order(tasks: Iterable[str], found: dict[str, list[Record]]) -> list[Record]:
    """Of the tasks that are done."""
    return [record for task in tasks for record in found.get(task, ())]


def as_json(records: Sequence[Record]) -> str:
    """Every record."""
    return json.dumps([asdict(r) for r in records], indent=1, ensure_ascii=False)


def shown(records: Sequence[Record], form: str) -> str:
    """Both tables, and what could not be run here."""
    absent = "" if SCIPY_NAME in {c.name for c in available()} else "\n\nSciPy is not installed: its check was not run."
    return f"{table(records, form)}{absent}\n\n{by_bug(records, form)}"


def written(records: Sequence[Record]) -> None:
    """The tables, between the marks in the pages that show them; the site's has the first only."""
    for page, tables in ((README, shown(records, "github")), (PAGE, table(records))):
        before, _, rest = page.read_text(encoding="utf-8").partition("<!-- table -->")
        after = rest.partition("<!-- end of table -->")[2]
        marked = f"<!-- table -->\n\n{tables}\n\n<!-- end of table -->"
        page.write_text(before + marked + after, encoding="utf-8")
