"""The self-tests on the command line: run, counted, shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..console import progress, say, show_table

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..journal import Journal
    from .edit_trials import EditTrial
    from .selftest import Trial


def faults(names: list[str] | None, executor: Executor | None, journal: Journal | None) -> bool:
    """Plant the catalogue; whether a visible fault was not seen, or was called by another's name."""
    from collections import Counter

    from ...adapters.adapter import chosen
    from .fault_trials import KINDS, NETWORKS, OUTCOMES, trials

    frameworks = [each.name for each in chosen(names or ())]
    kinds = [(where, dtype) for where, dtype in KINDS if where in frameworks]
    outcomes: Counter[tuple[str, str, str]] = Counter()
    by_fault: dict[str, Counter[tuple[str, str]]] = {}
    with progress(None) as done:
        for trial in trials(kinds, NETWORKS, executor, journal):
            outcomes[trial.where, trial.dtype, trial.named] += 1
            by_fault.setdefault(trial.fault, Counter())[trial.dtype, trial.named] += 1
            done(f"{trial.where} {trial.dtype}")
            if trial.named in ("not", "otherwise") and trial.dtype != "bfloat16":
                found = ", ".join(trial.names)
                where = f"{trial.where} {trial.dtype}, {'-'.join(map(str, trial.network.sizes))}"
                say(f"{trial.named} named: {trial.fault} in {where}: {found or 'no explanation'}")
    dtypes = list(dict.fromkeys(dtype for _, dtype in kinds))
    rows = [
        [fault, *(" / ".join(str(counts[dtype, k]) for k in OUTCOMES) for dtype in dtypes)]
        for fault, counts in by_fault.items()
    ]
    show_table(rows, ["fault", *(f"{dtype}: {' / '.join(OUTCOMES)}" for dtype in dtypes)])
    show_table(
        [[w, d, *(str(outcomes[w, d, k]) for k in OUTCOMES)] for w, d in kinds],
        ["planted in", "dtype", *OUTCOMES],
    )
    # bfloat16's bounds do not see everything: what they cannot see is counted, and no failure
    return any(k == "otherwise" or (k == "undetected" and d != "bfloat16") for _, d, k in outcomes)


def edits(count: int, first: int, executor: Executor | None, journal: Journal | None) -> bool:
    """Plant random edits; whether a visible one was not seen, or was explained by what does not hold elsewhere."""
    from .edit_trials import trials

    tried: list[EditTrial] = []
    with progress(count) as done:
        for trial in trials(count, first, executor, journal):
            tried.append(trial)
            done(f"{trial.dtype} {trial.outcome}")
    for trial in sorted(tried, key=lambda trial: (trial.outcome, trial.number)):
        if trial.missed or trial.outcome == "not described":
            said = "".join(f"\n        said: {words}" for words in trial.said[:3])
            say(f"{trial.outcome}: {trial.number} {trial.planted}{said}")
    rows, headers = table_of_edits(tried)
    show_table(rows, headers)
    for line in figures_of_edits(tried):
        say(line)
    return any(trial.missed for trial in tried)


def table_of_edits(tried: Sequence[EditTrial]) -> tuple[list[list[str]], list[str]]:
    """How many of each kind's visible edits are described, by format, and of all kinds together; single ones first."""
    from collections import Counter

    from ...reference.numbers import PRECISIONS
    from .edit_trials import UNSEEN

    counts = Counter((kind, t.dtype, t.outcome) for t in tried for kind in (t.kind, "all"))
    dtypes = [dtype for dtype in PRECISIONS if any(t.dtype == dtype for t in tried)]
    kinds = [*sorted({t.kind for t in tried}, key=lambda kind: (kind.startswith("two"), kind)), "all"]

    def described(kind: str, dtype: str) -> str:
        visible = sum(n for (k, d, o), n in counts.items() if (k, d) == (kind, dtype) and o not in UNSEEN)
        return f"{counts[kind, dtype, 'described']} of {visible}" if visible else ""

    return [[kind, *(described(kind, d) for d in dtypes)] for kind in kinds], ["described of", *dtypes]


def figures_of_edits(tried: Sequence[EditTrial]) -> list[str]:
    """What the goals are about, 16-bit formats apart; and what a diagnosis takes."""
    from statistics import median, quantiles

    from .edit_trials import SIXTEEN_BITS, UNSEEN

    lines = []
    for name, narrow in (("float64 and float32", False), ("16-bit formats", True)):
        visible = [t.outcome for t in tried if (t.dtype in SIXTEEN_BITS) is narrow and t.outcome not in UNSEEN]
        if visible:
            refused, described = len(visible) - visible.count("undetected"), visible.count("described")
            lines.append(
                f"{name}: {len(visible)} visible edits, {refused / len(visible):.1%} refused, "
                f"{described / len(visible):.1%} described, {visible.count('false')} explained falsely"
            )
    seconds = [t.seconds for t in tried if t.seconds]
    if len(seconds) > 1:
        most = quantiles(seconds, n=20, method="inclusive")[-1]
        lines.append(f"processor time of a diagnosis: median {median(seconds):.2f} s, 95 % under {most:.2f} s")
    return lines


def clean(count: int, first: int, names: list[str] | None, executor: Executor | None, journal: Journal | None) -> str:
    """Run the trial of correct implementations; what became of it, in `selftest.outcome`'s words."""
    from collections import Counter

    from ...adapters.adapter import chosen
    from . import selftest

    frameworks = [each.name for each in chosen(names)] if names else selftest.measured_frameworks()
    trials = []
    with progress(count) as done:
        for trial in selftest.clean(count, first, executor, frameworks, journal):
            trials.append(trial)
            done(f"{trial.framework} {trial.dtype}")
            if trial.alarm and trial.verdict != "unanswered":
                a = trial.alarm
                say(f"{a.verdict}   configuration {a.number}: {a.configuration}\n        {a.places}")
    for line in unanswered(trials):
        say(line)
    verdicts = Counter((trial.framework, trial.dtype, trial.verdict) for trial in trials)
    kinds = ("agrees", "undecided", "suspect", "wrong", "unanswered")
    cells = dict.fromkeys((framework, dtype) for framework, dtype, _ in sorted(verdicts))
    rows = [[f, d, *(str(verdicts[f, d, kind]) for kind in kinds)] for f, d in cells]
    rows.append(["all", "", *(str(sum(n for key, n in verdicts.items() if key[2] == kind)) for kind in kinds)])
    show_table(rows, ["framework", "dtype", *kinds])
    return selftest.outcome(trials)


def unanswered(trials: Sequence[Trial]) -> list[str]:
    """For each way in which a framework failed, a line: how often, the first configuration, and what it said there."""
    from ..views import alike

    groups: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.alarm and trial.verdict == "unanswered":
            groups.setdefault((trial.framework, trial.dtype, alike(trial.alarm.places)), []).append(trial)
    lines = []
    for (framework, dtype, _), failed in groups.items():
        alarm = failed[0].alarm
        assert alarm is not None
        said = " ".join(alarm.places.split())
        count = f"{len(failed)} configuration{'s' * (len(failed) > 1)}, first {alarm.number}"
        lines.append(f"unanswered   {framework} {dtype}, {count} ({alarm.configuration}): {said}")
    return lines
