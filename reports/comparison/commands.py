"""`backproof compare`, `report` and `adapters`. Imports inside commands keep --help quick."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import EndedBySignal, columns, note, progress, show_report
from ..guard import INTERRUPTED
from ..options import (
    EXIT_CODES,
    VIEWS,
    WRONG,
    AdapterNames,
    Format,
    Jobs,
    JournalFile,
    Resume,
    Scheduler,
    Strict,
    check_spread,
    processes_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...adapters.adapter import Adapter
    from ...reference.case import Case
    from ..documents import Results
    from ..journal import Journal


def compare(
    adapter: AdapterNames = None,
    dtype: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated. Default: all.")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="Only cases of this name or pattern, such as 'xor-*'; may be repeated.")
    ] = None,
    format: Annotated[Format, typer.Option(metavar="VIEW", help=VIEWS)] = Format.terminal,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write every view there.")] = None,
    strict: Strict = False,
    jobs: Jobs = 0,
    against: Annotated[
        Path | None, typer.Option(metavar="RESULTS.JSON", help="Also say what changed since that run.")
    ] = None,
    scheduler: Scheduler = None,
    journal: JournalFile = None,
    resume: Resume = False,
) -> None:
    """Run every standard case on every adapter and judge every number."""
    from ...adapters.adapter import chosen, known_adapters
    from ..documents import decoded
    from ..journal import journal_of
    from ..views import prepare
    from .difference import changes

    check_spread(jobs, scheduler, journal, resume)
    old = None if against is None else decoded(against)
    cases = _chosen_cases(case or [], dtype or [])
    present = [each for each in chosen(adapter or ()) if _takes_part(each, cases, named=bool(adapter))]
    if out is not None:
        prepare(out)
    absent = [] if adapter else [other for other in known_adapters().values() if not other.present]
    with journal_of("compare", present, journal, resume) as kept:
        results, ended = _compared(cases, present, absent, processes_for(jobs), scheduler, kept)
    with _also_written(results, out):
        _show(results, format)
        if old is not None:
            table_format = "github" if format is Format.markdown else "simple_outline"
            said = changes(old, results, table_format, columns(sys.stdout))
            _show_changes(said, format)
    if ended is not None:
        note(f"ended early: {len(results.cases)} of {results.planned} cases are in the report.")
    raise typer.Exit(exit_code(results, strict) if ended is None else ended)


def exit_code(results: Results, strict: bool = False) -> int:
    """That of the verdict."""
    return WRONG if strict and results.verdict == "suspect" else EXIT_CODES[results.verdict]


def _show_changes(said: str, format: Format) -> None:
    """On stdout where that is for people, on stderr where it is for a program."""
    if format in (Format.terminal, Format.markdown):
        show_report("\n" + said, plain=format is Format.markdown)
    else:
        note("\n" + said.removesuffix("\n"))


def _show(results: Results, format: Format) -> None:
    """One view on stdout; a terminal's at its width."""
    from ..views import FORMATS, terminal

    if format is Format.terminal:
        show_report(terminal(results, columns(sys.stdout)))
    else:
        show_report(FORMATS[format.value][0](results), plain=True)


@contextmanager
def _also_written(results: Results, out: Path | None) -> Iterator[None]:
    """Every view in a folder; where that cannot be, the body still shows the result before it is said."""
    from ...reference.case import InvalidInput
    from ..views import write

    failure = None
    if out is not None:
        try:
            for path in write(results, out):
                note(f"wrote {path}")
        except InvalidInput as error:
            failure = error
    yield
    if failure is not None:
        raise failure


def render_again(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.JSON", help="As `compare --out` writes it.")],
    format: Annotated[Format, typer.Option(metavar="VIEW", help=VIEWS)] = Format.terminal,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write every view there.")] = None,
    strict: Strict = False,
) -> None:
    """Render an old run again, without running anything. The exit code is that of its runs."""
    from ..documents import decoded
    from ..views import prepare

    document = decoded(results)
    if out is not None:
        prepare(out)
    with _also_written(document, out):
        _show(document, format)
    raise typer.Exit(exit_code(document, strict))


def _chosen_cases(patterns: Sequence[str], dtypes: Sequence[str]) -> list[Case]:
    from fnmatch import fnmatchcase

    from ...reference.case import one_of
    from ...reference.cases import standard_cases
    from ...reference.numbers import PRECISIONS

    for dtype in dtypes:
        one_of("--dtype", dtype, PRECISIONS)
    cases = standard_cases(tuple(dict.fromkeys(dtypes)) or tuple(PRECISIONS))
    names = list(dict.fromkeys(case.name for case in cases))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            one_of("--case", pattern, names)
    return [case for case in cases if not patterns or any(fnmatchcase(case.name, pattern) for pattern in patterns)]


def _takes_part(adapter: Adapter, cases: Sequence[Case], named: bool) -> bool:
    """Whether it runs any of the cases; which it leaves out, and why, is said, as they are missing from the report.

    Raises InvalidInput where it was named and runs none.
    """
    from collections import Counter

    from ...reference.case import InvalidInput

    dtypes = {case.dtype for case in cases}
    if named and not dtypes & set(adapter.dtypes):
        raise InvalidInput(f"--dtype: adapter {adapter.name} runs {', '.join(adapter.dtypes)} only.")
    refused = Counter(why for case in cases if (why := adapter.refusal(case)))
    reasons = ", ".join(f"{why} ({n})" for why, n in refused.most_common())
    if named and refused.total() == len(cases):
        raise InvalidInput(f"--adapter: {adapter.name} can run none of these cases: {reasons}.")
    if reasons:
        note(f"{adapter.name} leaves out {refused.total()} of {len(cases)} cases: {reasons}")
    return refused.total() < len(cases)


FEW_CASES = 8  # fewer than this are done before a pool of processes has started


def _compared(
    cases: Sequence[Case],
    present: Sequence[Adapter],
    absent: Sequence[Adapter],
    jobs: int,
    scheduler: str | None,
    journal: Journal | None,
) -> tuple[Results, int | None]:
    """The matrix, in this process or, for many cases, in several, or elsewhere.

    Also the exit code of what ended it early, if it was. Raises that where no case was finished by then.
    """
    from ..spread import workers
    from .compilations import kept_compilations
    from .matrix import compare as compared

    kept: list[Results] = []
    try:
        with progress(len(cases)) as advance, kept_compilations():

            def done(case: Case) -> None:
                advance(f"{case.name} {case.dtype}")

            if scheduler is None and (jobs == 1 or len(cases) <= FEW_CASES):
                return compared(cases, present, absent, None, done, kept.append, journal), None
            with workers(min(jobs, len(cases)), scheduler) as executor:
                return compared(cases, present, absent, executor, done, kept.append, journal), None
    except (KeyboardInterrupt, EndedBySignal) as end:
        code = int(str(end.code)) if isinstance(end, EndedBySignal) else INTERRUPTED
        if not kept:
            note("interrupted; nothing was written.")
            raise typer.Exit(code) from None
        return kept[-1], code


def networks() -> None:
    """A small CNN, an LSTM and a GPT block: the same weights in PyTorch, JAX and NumPy, each rule checked."""
    from .networks import shown

    raise typer.Exit(shown())


COMMANDS: dict[str, Callable[..., None]] = {"compare": compare, "report": render_again, "networks": networks}
