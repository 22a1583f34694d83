"""The rule check's self-tests on the command line: run, counted, shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor

from ...reference.case import InvalidInput
from ..console import progress, say, show_table
from ..journal import Journal
from .backward_trials import BackwardTrial
from .right_code.drawn import FAMILIES
from .rule_trials import RuleTrial


def rules(
    count: int,
    first: int,
    names: list[str] | None,
    executor: Executor | None,
    journal: Journal | None = None,
    numbers: bool = False,
    device: str = "cpu",
) -> bool:
    """Check random right networks; whether one was accused, or could not be checked for a fault of backproof.

    numbers: look at the numbers of a run of each, not at the rule;  device: where they run. Raises InvalidInput if a
    framework has none of that name
    """
    from .rule_trials import FRAMEWORKS, on, trials

    frameworks = _frameworks("--numbers" if numbers else "--rules", names, FRAMEWORKS)
    for framework in frameworks:
        on(framework, device)
    tried: list[RuleTrial] = []
    with progress(count) as done:
        for trial in trials(count, first, executor, frameworks, numbers, journal, device):
            tried.append(trial)
            done(f"{trial.family} {trial.outcome}")
            if trial.alarm:
                say(f"{trial.outcome}   {trial.framework} {trial.number}: {trial.words}, {trial.dtype}\n{trial.said}")
    show_rules(tried)
    return any(trial.alarm for trial in tried)


def show_rules(tried: Sequence[RuleTrial]) -> None:
    """Why some were not decided, and how many of each family were."""
    for outcome in ("finding", "undecided", "unsupported", "unanswered"):
        for line in reasons(t for t in tried if t.outcome == outcome):
            say(f"{outcome}   {line}")
    from .rule_trials import OUTCOMES

    for name, cells in (
        ("framework", [t.framework for t in tried]),
        ("family", [t.family for t in tried]),
        ("format", [t.dtype for t in tried]),
    ):
        counts = Counter((cell, t.outcome) for cell, t in zip(cells, tried, strict=True))
        order = [f for f in FAMILIES if f in cells] if name == "family" else sorted(set(cells))
        rows = [[cell, str(cells.count(cell)), *(str(counts[cell, o]) for o in OUTCOMES)] for cell in order]
        all_ = Counter(t.outcome for t in tried)
        rows.append(["all", str(len(tried)), *(str(all_[o]) for o in OUTCOMES)])
        show_table(rows, [name, "configurations", *OUTCOMES])


def reasons(tried: Iterable[RuleTrial]) -> list[str]:
    """For each reason a line: how often, its first configuration, and what was said."""
    from ..views import alike

    groups: dict[str, list[RuleTrial]] = {}
    for trial in sorted(tried, key=lambda t: t.number):
        groups.setdefault(alike(trial.said.partition(" (")[0] + trial.said.rpartition(")")[2]), []).append(trial)
    lines = []
    for group in sorted(groups.values(), key=len, reverse=True):
        first = group[0]
        lines.append(
            f"{len(group)}, first {first.framework} {first.number} ({first.words}, {first.dtype}): {first.said}"
        )
    return lines


def backward_edits(
    count: int, first: int, names: list[str] | None, executor: Executor | None, journal: Journal | None = None
) -> bool:
    """Plant mistakes in backward code; whether right code was accused, or a mistake not refused or blamed elsewhere."""
    from ..spread import spread
    from .backward_trials import FRAMEWORKS, try_one, unmutated
    from .rule_trials import CHUNK

    frameworks = _frameworks("--backward-edits", names, FRAMEWORKS)
    accused = [(name, said) for framework in frameworks for name, said in unmutated(framework) if said != "agrees"]
    for name, said in accused:
        say(f"{name}, as it is written: {said}")
    tried: list[BackwardTrial] = []
    numbers = range(first, first + count)
    tasks = {f"backward-edits {number}": (number, frameworks[number % len(frameworks)]) for number in numbers}
    with progress(count) as done:
        for _, trial in spread(try_one, tasks, BackwardTrial, executor, journal, CHUNK):
            tried.append(trial)
            done(f"{trial.family} {trial.outcome}")
    show_edits(tried)
    return bool(accused) or any(t.visible and (not t.refused or t.outcome == "misplaced") for t in tried)


def _frameworks(option: str, names: list[str] | None, known: Iterable[str]) -> list[str]:
    """Those of `known` that are installed and wanted. Raises InvalidInput if there is none."""
    from ...adapters.adapter import chosen

    frameworks = [each.name for each in chosen(names or ()) if each.name in known]
    if not frameworks:
        raise InvalidInput(f"{option}: expected one of {', '.join(known)}, installed; none of them is.")
    return frameworks


def show_edits(tried: Sequence[BackwardTrial]) -> None:
    """Each that was not named, and how many were, by kind of mistake and by family."""
    for trial in sorted(tried, key=lambda t: (t.outcome, t.number)):
        if trial.visible and trial.outcome != "named":
            said = "".join(f"\n        said: {words}" for words in trial.said[:3])
            say(f"{trial.outcome}: {trial.framework} {trial.number} {trial.planted}{said}")
    for name, cells in (
        ("framework", [t.framework for t in tried]),
        ("mistake", [t.kind for t in tried]),
        ("family", [t.family for t in tried]),
    ):
        order = [f for f in FAMILIES if f in cells] if name == "family" else sorted(set(cells))
        rows = [[cell, *_figures([t for c, t in zip(cells, tried, strict=True) if c == cell])] for cell in order]
        rows.append(["all", *_figures(tried)])
        show_table(rows, [name, *FIGURES])
    counts = Counter(t.outcome for t in tried)
    visible = [t for t in tried if t.visible]
    if visible:
        seen, refused = len(visible), sum(t.refused for t in visible)
        say(
            f"{len(tried)} mistakes: {counts['equivalent']} change nothing, {counts['raised']} do not run, "
            f"{counts['no value']} have no value; of the {seen} visible ones {refused / seen:.1%} refused, "
            f"{counts['named'] / seen:.1%} named, {counts['misplaced']} blamed on another function"
        )
        say(f"explanations that name no custom function: {sum(t.without for t in visible)}")


FIGURES = ("visible", "refused", "named", "misplaced", "missed")


def _figures(tried: Sequence[BackwardTrial]) -> list[str]:
    visible = [t for t in tried if t.visible]
    refused = [t for t in visible if t.refused]
    named, misplaced = (sum(t.outcome == outcome for t in visible) for outcome in ("named", "misplaced"))
    return [str(n) for n in (len(visible), len(refused), named, misplaced, len(visible) - len(refused))]
