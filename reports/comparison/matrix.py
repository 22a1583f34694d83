"""Runs the matrix: every case on every adapter, judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from dataclasses import replace
from functools import cache, partial
from time import perf_counter
from typing import Any

import msgspec

from ...adapters.adapter import Adapter, Unanswered
from ...reference.case import Case
from ...reference.diagnosis import Convention, diagnose
from ...reference.judging import Observation, UnusableAnswer, judge, truth_of
from ...reference.numbers import PROFILES
from ..documents import (
    Absent,
    Environment,
    Results,
    RunResult,
    Subject,
    case_result,
    command,
    comparison_results,
    environment,
    overall,
)
from ..journal import Journal
from ..spread import DIED, spread
from ..validation import because, witness

LONGEST_MESSAGE = 400  # characters; frameworks can be wordy, and the first line says it

Progress = Callable[[Case], None]  # called as each case is finished


def compare(
    cases: Sequence[Case],
    adapters: Sequence[Adapter],
    absent: Sequence[Adapter] = (),
    executor: Executor | None = None,
    progress: Progress = lambda case: None,
    ended_early: Callable[[Results], None] = lambda results: None,
    journal: Journal | None = None,
) -> Results:
    """Run and judge every case on every adapter.

    executor: any `concurrent.futures` executor; None runs here, one case after the other
    absent: adapters to list as not installed
    ended_early: called with what is finished, if that is anything, where an interrupt or a signal ends the run; what
        ended it is raised all the same
    journal: cases that are in it are not run again, and the others are put into it as they are finished
    Runs are in the order of cases, then adapters, whatever order they finish in.
    """
    runs: dict[int, list[RunResult]] = {}
    here = _environment(executor)

    def results(planned: int | None = None) -> Results:
        done = sorted(runs)
        in_order = [run for index in done for run in runs[index]]
        return Results(
            environment=here(planned is None),
            verdict=overall(in_order, planned),
            cases=[case_result(cases[index]) for index in done],
            runs=in_order,
            absent=[Absent(adapter.name, adapter.install) for adapter in absent],
            planned=planned,
        )

    try:
        for index, finished in _finished(cases, adapters, executor, journal):
            runs[index] = finished
            progress(cases[index])
    except (KeyboardInterrupt, SystemExit):
        if runs:
            ended_early(results(planned=len(cases)))
        raise
    return results()


def _environment(executor: Executor | None) -> Callable[[bool], Environment]:
    """That of the processes which compute, asked before they are busy: they may have fewer threads than this one."""
    asked = None if executor is None else executor.submit(environment)

    def answer(wait: bool) -> Environment:
        if asked is None or not (wait or asked.done()):
            return environment()
        try:
            return msgspec.structs.replace(asked.result(), command=command())
        except (BrokenExecutor, CancelledError, KeyboardInterrupt):  # a process that died is told case by case
            return environment()

    return answer


def _finished(
    cases: Sequence[Case], adapters: Sequence[Adapter], executor: Executor | None, journal: Journal | None
) -> Iterator[tuple[int, list[RunResult]]]:
    indexes = {f"{index} {case.name} {case.dtype}": index for index, case in enumerate(cases)}

    def lost(task: str) -> list[RunResult]:
        return [_unanswered(cases[indexes[task]], adapter, DIED) for adapter in adapters]

    tasks = {task: (cases[index], adapters) for task, index in indexes.items()}
    for task, finished in spread(run_case, tasks, list[RunResult], executor, journal, lost=lost):
        yield indexes[task], finished


def run_case(case: Case, adapters: Sequence[Adapter]) -> list[RunResult]:
    """One case on every adapter that can run it. The truth is certified once per precision."""
    truth = cache(lambda precision: truth_of(case, PROFILES[precision]))
    return [_timed(case, adapter, truth) for adapter in adapters if adapter.refusal(case) is None]


def _timed(case: Case, adapter: Adapter, truth: Callable[[str], Any]) -> RunResult:
    started = perf_counter()
    run = _run(case, adapter, truth)
    return msgspec.structs.replace(run, seconds=round(perf_counter() - started, 3))


def _run(case: Case, adapter: Adapter, truth: Callable[[str], Any]) -> RunResult:
    try:
        observation = _answer(adapter, case)
    except Unanswered as error:  # the other adapters still run
        return _unanswered(case, adapter, str(error))
    try:
        known = truth(observation.precision) if observation.precision in PROFILES else None
        judgement = judge(case, observation, known)
    except UnusableAnswer as error:
        return _unanswered(case, adapter, str(error))
    return RunResult(
        case=case.name,
        dtype=case.dtype,
        adapter=adapter.name,
        version=observation.version,
        device=observation.device,
        precision=observation.precision,
        verdict=judgement.verdict.value,
        explained_by=judgement.explained_by,
        message=None,
        diagnosis=_diagnosis(case, adapter, observation) if judgement.wrong else [],
        comparisons=comparison_results(judgement),
    )


def _diagnosis(case: Case, adapter: Adapter, observation: Observation) -> list[str]:
    """What explains wrong gradients, or, where they are right or not shown, whatever is; and the smallest network."""
    names = tuple(layer.activation for layer in case.layers)
    convention = Convention(names, case.loss, case.reduction)
    gradients = replace(
        observation,
        pre_activations=None,
        activations=None,
        loss=None,
        deltas=None,
        updated_weights=None,
        updated_biases=None,
    )
    wanted = [observation] if gradients.weight_gradients is None else [gradients, observation]
    said: list[str] = []
    for shown in wanted:
        diagnosis = diagnose([(case, shown)], convention)
        if diagnosis.explanations:
            said = because(diagnosis, convention)
            break
    return said + witness(Subject("any", "", "separate", partial(_answer, adapter)), convention, case.dtype)


def _answer(adapter: Adapter, case: Case) -> Observation:
    """Raises Unanswered: whatever a framework raises is its answer."""
    try:
        return adapter.run(case)
    except Exception as error:
        raise Unanswered(f"{type(error).__name__}: {error}") from error


def _unanswered(case: Case, adapter: Adapter, message: str) -> RunResult:
    message = next(iter(message.splitlines()), "")[:LONGEST_MESSAGE]
    return RunResult(
        case=case.name,
        dtype=case.dtype,
        adapter=adapter.name,
        version=adapter.version,
        device=None,
        precision=None,
        verdict="unanswered",
        explained_by=None,
        message=message,
        diagnosis=[],
        comparisons=[],
    )
