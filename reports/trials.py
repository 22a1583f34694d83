"""The self-tests on the command line: run, counted, shown."""

from __future__ import annotations

import typer

from .terminal import processes, progress, show_report, table_of


def faults(names: list[str] | None, jobs: int) -> bool:
    """Plant the catalogue; whether a visible fault was not seen, or was called by another's name."""
    from collections import Counter

    from ..adapters.adapter import chosen
    from .fault_trials import KINDS, NETWORKS, OUTCOMES, trials

    frameworks = [each.name for each in chosen(names or ())]
    kinds = [(where, dtype) for where, dtype in KINDS if where in frameworks]
    outcomes: Counter[tuple[str, str, str]] = Counter()
    by_fault: dict[str, Counter[tuple[str, str]]] = {}
    with progress(None) as done, processes(jobs) as executor:
        for trial in trials(kinds, NETWORKS, executor):
            outcomes[trial.where, trial.dtype, trial.named] += 1
            by_fault.setdefault(trial.fault, Counter())[trial.dtype, trial.named] += 1
            done(f"{trial.where} {trial.dtype}")
            if trial.named in ("not", "otherwise") and trial.dtype != "bfloat16":
                found = ", ".join(trial.diagnosis.names) if trial.diagnosis else ""
                where = f"{trial.where} {trial.dtype}, {'-'.join(map(str, trial.network.sizes))}"
                typer.echo(f"{trial.named} named: {trial.fault} in {where}: {found or 'no explanation'}")
    dtypes = list(dict.fromkeys(dtype for _, dtype in kinds))
    rows = [
        [fault, *(" / ".join(str(counts[dtype, k]) for k in OUTCOMES) for dtype in dtypes)]
        for fault, counts in by_fault.items()
    ]
    show_report(table_of(rows, ["fault", *(f"{dtype}: {' / '.join(OUTCOMES)}" for dtype in dtypes)]))
    show_report(
        table_of(
            [[w, d, *(str(outcomes[w, d, k]) for k in OUTCOMES)] for w, d in kinds],
            ["planted in", "dtype", *OUTCOMES],
        )
    )
    # bfloat16's bounds do not see everything: what they cannot see is counted, and no failure
    return any(k == "otherwise" or (k == "undetected" and d != "bfloat16") for _, d, k in outcomes)


def clean(count: int, first: int, names: list[str] | None, jobs: int) -> bool:
    """Run the trial of correct implementations; whether one was called wrong, or did not answer."""
    from collections import Counter

    from ..adapters.adapter import chosen
    from . import selftest

    frameworks = [each.name for each in chosen(names or ())]
    verdicts: Counter[tuple[str, str, str]] = Counter()
    with progress(count) as done, processes(jobs) as executor:
        for trial in selftest.clean(count, first, executor, frameworks):
            verdicts[trial.framework, trial.dtype, trial.verdict] += 1
            done(f"{trial.framework} {trial.dtype}")
            if trial.alarm:
                a = trial.alarm
                typer.echo(f"{a.verdict}   configuration {a.number}: {a.configuration}\n        {a.places}")
    kinds = ("agrees", "undecided", "suspect", "wrong", "unanswered")
    cells = dict.fromkeys((framework, dtype) for framework, dtype, _ in sorted(verdicts))
    rows = [[f, d, *(str(verdicts[f, d, kind]) for kind in kinds)] for f, d in cells]
    rows.append(["all", "", *(str(sum(n for key, n in verdicts.items() if key[2] == kind)) for kind in kinds)])
    show_report(table_of(rows, ["framework", "dtype", *kinds]))
    return any(key[2] in ("suspect", "wrong", "unanswered") for key in verdicts)
