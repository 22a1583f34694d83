"""A process in any language, or a file of its answers, judged: `backproof verify --command` and `--answers`.

A request says which loss, reduction and activations are meant, so nothing has to be found out: a process that follows
another convention is wrong, and is told which one it follows.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, product
from queue import SimpleQueue
from threading import Event
from typing import Any

from ...adapters.adapter import Unanswered
from ...adapters.child_process import Answering, capabilities, observations, words_of
from ...adapters.protocol import Capabilities, printable
from ...reference.case import Case, InvalidInput, known_loss, network_sizes, one_of
from ...reference.diagnosis import BIASES, NETWORKS, Convention, candidates, probes
from ...reference.judging import SEVERITY, Observation, UnusableAnswer, Verdict, alike, judge, within
from ...reference.losses import DISTRIBUTION
from ...reference.more_activations import ACTIVATION_FORMS, ACTIVATION_NAMES, activation_named
from ...reference.more_losses import LOSS_FORMS, LOSS_NAMES, loss_named
from ...reference.numbers import PRECISIONS
from ..calling import declared_batch, declared_learning_rate, declared_timeout, overflows_far_out
from ..console import note, progress
from ..documents import Report, Subject
from .assess import assess
from .following import asks
from .front_door import CASES, UPDATES, questions_for

WATCHED = 128  # requests; of more, it is said how far they are, and what is wrong as soon as it is known
ONE_BY_ONE = 256  # cases of one network that are judged step by step; of more, only what is not inside its bounds
DIAGNOSED = 8  # cases that a diagnosis is made from
MOST_CASES = 10**6
LONGEST_NAME = 60  # characters of a name that is shown
STATED_BIASES = tuple(form for form in BIASES if not form.startswith("weights-"))  # which a request cannot say


@dataclass(frozen=True)
class Asked:
    """A case that is sent, and the convention that it states."""

    case: Case
    convention: Convention


def verify_command(
    command: str,
    *,
    sizes: Sequence[int] | None = None,
    activations: Sequence[str] | str | None = None,
    loss: str | None = None,
    reduction: str | None = None,
    bias: str | Sequence[bool] | None = None,
    batch: int | None = None,
    dtype: str = "float64",
    learning_rate: float | None = None,
    updates: str | None = None,
    cases: str = "standard",
    timeout: float | None = 60.0,
    strict: bool = False,
    once: bool = False,
    jobs: int = 1,
    hello: bool = False,
    watched: bool = False,
) -> Report:
    """Judge a process that speaks protocol 1.

    command: a program and its arguments; no shell is used.  timeout: seconds for one answer; None for no limit
    updates: what the requests state: "batch" for one step on all samples, as if None, or "online" for one per sample
    activations, loss, reduction: what the requests state; sigmoid, half_squared_error and sum if None
    cases: "few", "standard", "many", or a number of them
    once: a process for every case;  jobs: processes at a time
    hello: ask first what it can do, and then for every activation and loss that it names
    watched: of many cases, say on stderr how far it is, and that it is wrong as soon as that is known

    Raises InvalidInput for a command that cannot be started, or a declaration that makes no sense.
    """
    words_of(command)
    one_of("dtype", dtype, PRECISIONS)
    if updates is not None:
        one_of("updates", updates, UPDATES)
    if bias is None:
        bias = "separate"
    elif isinstance(bias, str):
        one_of("bias", bias, STATED_BIASES)
    rate, limit = declared_learning_rate(learning_rate), declared_timeout(timeout)
    seconds_each = math.inf if limit is None else limit
    count = declared_batch(batch)
    networks = [network_sizes(sizes)] if sizes is not None else [(3, 4, 2), (3, 3, 3)]
    known = None
    try:
        if hello:
            known = capabilities(command, seconds_each)
        conventions = _stated(known, networks[0], activations, loss, reduction, dtype, updates == "online")
    except Unanswered as error:
        return Report("unanswered", None, (str(error),), None, strict=strict)
    asked = [
        Asked(replace(convention.applied(probe), learning_rate=rate), convention)
        for convention in conventions
        for probe in _probes(networks, _others_than(networks, sizes is not None, convention), cases, count, bias, dtype)
        if asks(convention, probe)
    ]

    def alone(case: Case) -> Observation:
        _, outcome = next(iter(observations(command, [case], seconds_each, once=True)))
        if isinstance(outcome, Unanswered):
            raise outcome
        return outcome

    with Answering(command, seconds_each) as answering:
        subject = Subject("any", "by protocol 1", bias, alone if once else answering)
        outcomes = partial(_outcomes, command, [a.case for a in asked], seconds_each, once, jobs)
        return _verified(asked, outcomes, subject, strict, watched)


def _verified(
    asked: Sequence[Asked],
    outcomes_of: Callable[[], Iterator[tuple[int, Observation | Unanswered]]],
    subject: Subject,
    strict: bool,
    watched: bool,
) -> Report:
    """The report on all cases, which are asked by `outcomes_of`, and what is asked besides by `subject.again`."""
    started = time.perf_counter()
    outcomes: dict[int, Observation | Unanswered] = {}
    with progress(len(asked)) if watched and len(asked) > WATCHED else nullcontext() as done:
        early = _Early(asked, outcomes, subject, strict)
        for number, outcome in outcomes_of():
            outcomes[number] = outcome
            if done is not None:
                done(asked[number].case.name)
                if (report := early.wrong()) is not None:
                    note(f"{report.headline} — after {len(outcomes):,} of {len(asked):,} cases; the others are asked.")
    seconds = time.perf_counter() - started
    pairs = [(a, outcomes[number]) for number, a in enumerate(asked)]
    overflows = [o for a, o in pairs if isinstance(o, Unanswered) and overflows_far_out(a.case, o)]
    pairs = [pair for pair in pairs if pair[1] not in overflows]
    report = judged([a for a, _ in pairs], [o for _, o in pairs], subject, strict)
    beyond = [f"not covered: {len(overflows)} of {len(asked)} cases, where it overflows ({o})." for o in overflows[:1]]
    speed = f"{len(asked)} requests in {seconds:.3g} s, {len(asked) / seconds:,.0f} per second"
    return replace(report, findings=(*report.findings, *beyond, speed))


FIRST_LOOK = 16  # answers after which it is looked at for the first time; then at twice as many, and so on


class _Early:
    """Looks at answers while others are still to come; each answer is looked at once, and nothing after a wrong one.

    At those on generic numbers, which are alike and so looked at together; the others are judged in the end.
    """

    def __init__(
        self, asked: Sequence[Asked], outcomes: Mapping[int, Observation | Unanswered], subject: Subject, strict: bool
    ) -> None:
        self.asked, self.outcomes, self.subject, self.strict = asked, outcomes, subject, strict
        self.looked: set[int] = set()
        self.next: float = FIRST_LOOK

    def wrong(self) -> Report | None:
        """The report on what is wrong so far, once; None before, and from then on."""
        if len(self.outcomes) < self.next:
            return None
        self.next = 2 * len(self.outcomes)
        new = [n for n in self.outcomes if n not in self.looked and not self.asked[n].case.note]
        self.looked.update(new)
        by_convention: dict[Convention, list[tuple[Case, Observation]]] = {}
        for number in new:
            outcome = self.outcomes[number]
            if isinstance(outcome, Observation):
                by_convention.setdefault(self.asked[number].convention, []).append((self.asked[number].case, outcome))
        for convention, evidence in by_convention.items():
            outside = [(case, o) for case, o, digits in _screened(evidence, convention) if digits is None]
            wrong, _ = _first_wrong(outside, convention)
            if wrong:
                self.next = math.inf
                return assess(wrong, [convention], self.subject, (), self.strict)
        return None


def _stated(
    known: Capabilities | None,
    sizes: Sequence[int],
    activations: Sequence[str] | str | None,
    loss: str | None,
    reduction: str | None,
    dtype: str,
    online: bool,
) -> list[Convention]:
    """The conventions that requests state: of what is declared, or of all that the process says that it knows.

    Raises InvalidInput where these do not go together, Unanswered where the process knows nothing that we do.
    """
    names: list[Sequence[str] | str] = [activations if activations is not None else "sigmoid"]
    losses = [loss if loss is not None else "half_squared_error"]
    if known is not None:
        if dtype not in known.dtypes:
            computes = ", ".join(printable(name, LONGEST_NAME) for name in known.dtypes)
            raise InvalidInput(
                f"dtype: {printable(known.name, LONGEST_NAME)} says that it computes in {computes}; got {dtype!r}."
            )
        if activations is None:
            names = [*_both("activations", known.activations, activation_named, (*ACTIVATION_NAMES, *ACTIVATION_FORMS))]
        if loss is None:
            losses = _both("losses", known.losses, loss_named, (*LOSS_NAMES, *LOSS_FORMS))
    found = [
        convention
        for name, of_loss in product(names, losses)
        for convention in candidates(
            sizes,
            _for_layers(name, len(sizes) - 1),
            of_loss,
            "sum" if reduction is None else reduction,
            (False,),
            (online,),
        )
    ]
    if not found:
        raise InvalidInput(f"loss {losses[0]} does not go with activation {names[0]!r} at the output.")
    return found


def _both(kind: str, theirs: Iterable[str], named: Callable[[str], object], ours: Iterable[str]) -> list[str]:
    """The names that a process says and that we know, each once, in its order. Raises Unanswered where that is none."""
    own = {name.partition("(")[0] for name in ours}  # requests have our names: an alias would not be understood there
    found = [name for name in dict.fromkeys(theirs) if name.partition("(")[0].strip() in own and named(name)]
    if not found:
        said = ", ".join(printable(name, LONGEST_NAME) for name in theirs)
        raise Unanswered(f"to the handshake: {kind}: expected one of {', '.join(ours)}; got {printable(said)}")
    return found


def _for_layers(name: Sequence[str] | str, layers: int) -> Sequence[str] | str:
    """Softmax is for the output; hidden layers are then tanh."""
    return ("tanh",) * (layers - 1) + ("softmax",) if name == "softmax" else name


def _others_than(
    networks: Sequence[tuple[int, ...]], declared: bool, convention: Convention
) -> Sequence[tuple[int, ...]]:
    alone = known_loss("loss", convention.loss).targets == DISTRIBUTION  # of one output, a distribution says nothing
    alike = [n for n in NETWORKS if len(n) == len(networks[0]) and not (alone and n[-1] == 1)]
    return networks if declared else alike


def _probes(
    networks: Sequence[tuple[int, ...]],
    others: Sequence[tuple[int, ...]],
    cases: str,
    batch: int | None,
    bias: str | Sequence[bool],
    dtype: str,
) -> list[Case]:
    """So many generic probes of the first network, or those that `verify` asks.

    others: networks that probes reach besides; as deep as `networks`, for every request has to be answered
    """
    if cases.isdecimal():
        if len(cases) > len(str(MOST_CASES)) or not 1 <= int(cases) <= MOST_CASES:
            came = printable(cases, LONGEST_NAME)
            raise InvalidInput(f"--cases: expected few, standard, many, or from 1 to {MOST_CASES}; got {came}.")
        return list(probes(networks[0], (4 if batch is None else batch,) * int(cases), bias, dtype, 0))
    one_of("cases", cases, CASES)
    return [question.case for question in questions_for(networks, others, batch, bias, dtype, cases)]


def _outcomes(
    command: str, cases: Sequence[Case], timeout: float, once: bool, jobs: int
) -> Iterator[tuple[int, Observation | Unanswered]]:
    """What came of each case, as it comes: its number, and the outcome. So many processes are asked at a time."""
    shares = [range(k, len(cases), jobs) for k in range(min(jobs, len(cases)))]
    if len(shares) == 1:
        yield from observations(command, cases, timeout, once, Event())
        return
    stop = Event()
    came: SimpleQueue[tuple[int, Observation | Unanswered] | None] = SimpleQueue()  # None: a thread has ended

    def ask(share: range) -> None:
        try:
            for k, outcome in observations(command, [cases[number] for number in share], timeout, once, stop):
                came.put((share[k], outcome))
        finally:
            came.put(None)

    with ThreadPoolExecutor(len(shares)) as executor:
        try:
            asking = [executor.submit(ask, share) for share in shares]
            running = len(asking)
            while running:
                found = came.get()
                if found is None:
                    running -= 1
                else:
                    yield found
            for each in asking:
                each.result()  # which raises what ended it
        except BaseException:  # Ctrl-C among them: every thread ends its process
            stop.set()
            raise


# ------------------------------------------------------------------------------------------ judging


FEW = 8  # kinds of failures that are told one by one


def _said(failures: Sequence[str], cases: int) -> tuple[str, ...]:
    """Why there was no usable answer: those that differ in numbers alone are told once, by the first of them."""
    kinds: dict[str, list[str]] = {}
    for message in failures:
        kinds.setdefault(re.sub(r"\d+", "0", message), []).append(message)
    said = []
    for same in kinds.values():
        first = "" if len(set(same)) == 1 else "the first of them: "
        said.append(f"{len(same)} of {cases} cases: {first}{same[0]}")
    others = len(failures) - sum(len(same) for same in [*kinds.values()][:FEW])
    return (*said[:FEW], *([f"{others} of {cases} cases: others"] if others else []))


def judged(
    asked: Sequence[Asked], outcomes: Sequence[Observation | Unanswered], subject: Subject, strict: bool
) -> Report:
    """One report on all answers: convention by convention, the worst said first."""
    pairs = sorted(zip(asked, outcomes, strict=True), key=lambda pair: repr(pair[0].convention))
    reports: list[Report] = []
    failures: list[str] = []
    for _, group in groupby(pairs, key=lambda pair: repr(pair[0].convention)):
        members = list(group)
        failures += [str(outcome) for _, outcome in members if isinstance(outcome, Unanswered)]
        answered = [(a, o) for a, o in members if isinstance(o, Observation)]
        if answered:
            reports.append(_of_convention(answered, subject, strict))
    said = _said(failures, len(asked))
    if not reports:
        return Report("unanswered", None, said, None, strict=strict)
    order = [v.value for v in SEVERITY]
    reports.sort(key=lambda report: order.index(report.verdict))
    first = reports[0]
    if first.verdict in ("wrong", "suspect"):
        return replace(first, findings=(*_in_common(reports), *first.findings, *_others(reports[1:]), *said))
    if failures:
        agreed = sum(len(report.probes) for report in reports if report.verdict == "agrees")
        return Report("unanswered", None, (*said, f"{agreed} of {len(asked)} cases agree."), None, strict=strict)
    if len(reports) == 1:
        return first
    digits = min((report.digits for report in reports if report.digits is not None), default=None)
    findings = tuple(f"{r.verdict}: {r.conventions}" for r in reports)
    names = tuple(name for report in reports for name in report.probes)
    return Report(first.verdict, f"{len(reports)} losses and activations", findings, digits, None, strict, (), names)


def _in_common(reports: Sequence[Report]) -> list[str]:
    """The fault that explains what is wrong under every convention, if there is one and several are wrong."""
    wrong = [report for report in reports if report.verdict == "wrong"]
    named = [set(report.diagnosis.names) if report.diagnosis else set() for report in wrong]
    if len(wrong) < 2 or len(common := set.intersection(*named)) != 1:
        return []
    return [f"fault `{common.pop()}` alone explains all {len(wrong)} wrong losses and activations; the first of them:"]


def _others(reports: Sequence[Report]) -> Iterator[str]:
    """The other conventions in a line each; those that agree in one."""
    for report in reports:
        if report.verdict != "agrees":
            names = ", ".join(report.diagnosis.names) if report.diagnosis else ""
            assumed = next((f for f in report.findings if f.startswith("assumed: ")), report.conventions or "")
            where = assumed.removeprefix("assumed: ").rpartition("; ")[0] or assumed
            yield f"also {report.verdict}: {where}: {names or 'no known fault'}"
    agreeing = [report for report in reports if report.verdict == "agrees"]
    if agreeing:
        yield f"{len(agreeing)} other losses and activations agree."


def _of_convention(answered: Sequence[tuple[Asked, Observation]], subject: Subject, strict: bool) -> Report:
    """The report on one convention's cases; of many, those inside their bounds are not looked at step by step."""
    convention = answered[0][0].convention
    evidence = [(a.case, o) for a, o in answered]
    if len(evidence) <= ONE_BY_ONE:
        return assess(evidence, [convention], subject, (), strict)
    inside: list[tuple[Case, float]] = []
    outside: list[tuple[Case, Observation]] = []
    for case, observation, digits in _screened(evidence, convention):
        if digits is None:
            outside.append((case, observation))
        else:
            inside.append((case, digits))
    wrong, looked = _first_wrong(outside, convention)
    if wrong:
        chosen = [*wrong, *(pair for pair in evidence if not any(pair is w for w in wrong))][:DIAGNOSED]
        report = assess(chosen, [convention], subject, (), strict)
        count = f"{len(inside)} of {len(evidence)} cases agree from end to end"
        steps = f"of the others, the first {looked} were judged step by step: {len(wrong)} are wrong."
        return replace(report, findings=(*report.findings, f"{count}; {steps}"))
    rest = assess(outside or evidence[:DIAGNOSED], [convention], subject, (), strict)
    numbers = sum(1 for _ in evidence)
    best: dict[int, float] = {}  # of each depth the best case counts, and of those the weakest, as on few cases
    for case, digits in inside:
        best[len(case.layers)] = max(best.get(len(case.layers), 0.0), digits)
    weakest = min(best.values(), default=rest.digits)
    said = f"{numbers} cases, {len(inside)} of them judged from end to end, {subject.stored}."
    names = tuple((case.name, "agrees") for case, _ in inside)
    return replace(rest, findings=(said,), digits=weakest, probes=(*rest.probes, *names) if outside else names)


def _first_wrong(
    outside: Sequence[tuple[Case, Observation]], convention: Convention
) -> tuple[list[tuple[Case, Observation]], int]:
    """As many wrong ones as a diagnosis is made from, and how many were judged to find them.

    More of them say nothing more, and to judge one takes as long as to look at a thousand from end to end.
    """
    wrong: list[tuple[Case, Observation]] = []
    for looked, pair in enumerate(outside, start=1):
        if _verdict(*pair, convention) is Verdict.WRONG:
            wrong.append(pair)
        if len(wrong) == DIAGNOSED:
            return wrong, looked
    return wrong, len(outside)


def _screened(
    evidence: Sequence[tuple[Case, Observation]], convention: Convention
) -> Iterator[tuple[Case, Observation, float | None]]:
    """Every case with the digits that it was checked to from end to end; None where that says nothing."""
    shapes: dict[Any, list[tuple[Case, Observation]]] = {}
    for pair in evidence:
        shapes.setdefault(alike(*pair), []).append(pair)
    for pairs in shapes.values():
        for k in range(0, len(pairs), BLOCK):
            block = pairs[k : k + BLOCK]
            digits = within([case for case, _ in block], [o for _, o in block], convention.rules())
            yield from ((case, o, d) for (case, o), d in zip(block, digits, strict=True))


BLOCK = 1000  # cases that are looked at together


def _verdict(case: Case, observation: Observation, convention: Convention) -> Verdict:
    try:
        return judge(case, observation, rules=convention.rules(), coarser=False).verdict
    except UnusableAnswer as error:
        raise InvalidInput(str(error)) from error
