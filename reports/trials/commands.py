"""`backproof adapters`, `selftest` and `bench`. Imports inside commands keep --help quick."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ..console import note, say, show_table
from ..options import (
    EXIT_CODES,
    WRONG,
    AdapterNames,
    Jobs,
    JournalFile,
    Resume,
    Scheduler,
    check_spread,
    processes_for,
)


def list_adapters(
    adapter: AdapterNames = None,
    accuracy: Annotated[
        bool, typer.Option("--accuracy", help="Measure each framework's elementary functions against certified balls.")
    ] = False,
) -> None:
    """The implementations that can be compared, and how to bring those that are absent."""
    from ...adapters.adapter import chosen, known_adapters

    if accuracy:
        from .accuracy import accuracy_rows, findings, measure

        measured = measure(chosen(adapter or ()), progress=note)
        dtypes = list(dict.fromkeys(m.precision for m in measured))
        show_table(accuracy_rows(measured), ["function", "adapter", "version", *(f"largest ulps, {d}" for d in dtypes)])
        for finding in findings(measured):
            say(f"finding: {finding}")
        return
    known = known_adapters()
    named = list(known.values()) if not adapter else chosen(adapter)
    rows = [
        [
            each.name,
            each.summary,
            each.version or "",
            "yes" if each.present else "no",
        ]
        for each in named
    ]
    show_table(rows, ["adapter", "what it is", "version", "installed"])
    formats: dict[str, list[str]] = {}
    for each in named:
        formats.setdefault(", ".join(each.dtypes), []).append(each.name)
    for several, names in formats.items():
        say(f"{several}: {', '.join(names)}")
    for each in named:
        if not each.present:
            say(f"not installed: {each.name}; to bring it: {each.install}")
    for each in named:
        if each.limits:
            say(f"{each.name}: {each.limits}")


def selftest(
    clean: Annotated[int, typer.Option(min=0, help="So many random correct implementations: none may be accused.")] = 0,
    edits: Annotated[
        int, typer.Option(min=0, help="So many random edits of a backpropagation: each refused, and explained?")
    ] = 0,
    rules: Annotated[
        int, typer.Option(min=0, help="So many random right networks, for the rule check: none may be accused.")
    ] = 0,
    numbers: Annotated[
        int, typer.Option(min=0, help="So many runs of random right networks, judged call by call: none accused.")
    ] = 0,
    backward_edits: Annotated[
        int, typer.Option(min=0, help="So many random mistakes in backward code: each refused, and named?")
    ] = 0,
    first: Annotated[int, typer.Option(min=0, help="Number of the first; an alarm is reproduced by its number.")] = 0,
    power: Annotated[bool, typer.Option("--power", help="The smallest errors that are seen, by layer.")] = False,
    faults: Annotated[
        bool, typer.Option("--faults", help="Plant every catalogued fault: is it seen, and named?")
    ] = False,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Where --rules and --numbers run the networks, such as cuda.")
    ] = "cpu",
    adapter: AdapterNames = None,
    jobs: Jobs = 0,
    scheduler: Scheduler = None,
    journal: JournalFile = None,
    resume: Resume = False,
) -> None:
    """backproof on trial: correct implementations must not be accused, small errors must be seen.

    Exit codes: 0 passed; 1 an implementation was accused, or an error was missed or falsely explained; 3 nobody was
    accused, but a framework failed, or none answered.
    """
    if not (clean or power or faults or edits or rules or numbers or backward_edits):
        raise typer.BadParameter(
            "name a trial: --clean N, --edits N, --rules N, --numbers N, --backward-edits N, --power or --faults"
        )
    check_spread(jobs, scheduler, journal, resume)
    failed, campaign = False, "agrees"
    if clean or faults or edits or rules or numbers or backward_edits:
        from ...adapters.adapter import chosen
        from ..journal import journal_of
        from ..spread import workers
        from . import rule_running, running

        with (
            journal_of("selftest", chosen(adapter or ()), journal, resume) as kept,
            workers(processes_for(jobs), scheduler) as executor,
        ):
            if clean:
                campaign = running.clean(clean, first, adapter, executor, kept)
            if faults:
                failed = running.faults(adapter, executor, kept) or failed
            if edits:
                failed = running.edits(edits, first, executor, kept) or failed
            if rules:
                failed = rule_running.rules(rules, first, adapter, executor, kept, False, device) or failed
            if numbers:
                failed = rule_running.rules(numbers, first, adapter, executor, kept, True, device) or failed
            if backward_edits:
                failed = rule_running.backward_edits(backward_edits, first, adapter, executor, kept) or failed
    if power:
        from .power import HEADERS, rows

        table = rows()
        show_table(table, list(HEADERS))
        failed = failed or any(row[-1] == "NO" for row in table)
        if find_spec("torch") is not None:
            from . import power_of_networks

            show_table(list(power_of_networks.rows()), list(power_of_networks.HEADERS))
    raise typer.Exit(WRONG if failed else EXIT_CODES[campaign])


def bench(
    small: Annotated[bool, typer.Option("--small", help="Without the net of 16.8 million weights.")] = False,
    only_verify: Annotated[bool, typer.Option("--verify", help="Only how long verifying takes.")] = False,
    only_rules: Annotated[
        bool, typer.Option("--rules", help="Only the rule check of networks, beside torch.autograd.gradcheck.")
    ] = False,
    only_truth: Annotated[
        bool, typer.Option("--truth", help="Only of the truth and the verdict, from 10⁴ to 10⁷ weights.")
    ] = False,
    growth: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Only how times grow from 10² to 10⁷ parameters, by pyperf; kept in DIR."),
    ] = None,
) -> None:
    """How long judging takes, in units of one backpropagation; and verifying, in seconds of the processor."""
    from ...reference.case import InvalidInput
    from .bench.judging import bench as measurements
    from .bench.verifying import rows

    asked = {"--verify": only_verify, "--rules": only_rules, "--truth": only_truth, "--growth": growth is not None}
    if sum(asked.values()) > 1:
        given = " and ".join(name for name in asked if asked[name])
        raise InvalidInput(f"bench: expected at most one of {', '.join(asked)}; got {given}.")
    if growth is not None:
        from .bench.growth import headers, measured
        from .bench.growth import rows as of_growth

        found = measured(growth)
        show_table(of_growth(found), headers(found))
        return
    if only_rules:
        from .bench.rules import HEADERS
        from .bench.rules import rows as of_rules

        show_table(list(of_rules()), HEADERS)
        return
    if only_truth:
        from .bench.truth import HEADERS as OF_TRUTH
        from .bench.truth import rows as of_truth

        show_table(list(of_truth(large=not small)), OF_TRUTH)
        return
    if not only_verify:
        show_table(list(measurements(large=not small)), ["what", "median", "ratio"])
    show_table(list(rows()), ["what", "processor's time", "ratio"])


COMMANDS: dict[str, Callable[..., None]] = {"adapters": list_adapters, "selftest": selftest, "bench": bench}
