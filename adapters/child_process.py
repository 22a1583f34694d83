"""A process that answers cases by protocol 1, however it behaves.

It is started without a shell, by a supervisor that leaves nothing of it behind, even if this process is killed. It may
print what it likes, die, hang, or leave children that hold its pipes: each request ends in an answer or in a message,
within the time limit.
"""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import TracebackType

from ..reference.case import Case, InvalidInput
from ..reference.judging import Observation
from .adapter import Unanswered
from .protocol import Capabilities, Hello, line_of, observation_of, parsed, printable, request

IN_FLIGHT = 64  # requests that are sent before the first of them is answered
BYTES_PER_NUMBER, BYTES_OF_LINE = 1200, 2**20  # the longest answer that is read
STDERR_KEPT = 4096  # bytes, the last ones
FAILURES_IN_A_ROW = 3  # after which the rest is not asked
GRACE = 1.0  # seconds for a process to end by itself once its stdin is closed
UNKNOWN = "unknown"  # in place of an exit code, where nobody is left to say it
TOLD = 3.0  # seconds for the supervisor to say how a process ended that has closed its output; some go on without
AFTER_EXIT = 0.2  # seconds for what a process wrote before it ended
STARTING = 60.0  # seconds for our own supervisor to start
KILLING = 5.0  # seconds to wait for the death of what cannot be killed: waiting for a broken disk, or another user's

SUPERVISOR = (sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py")))


class Stopped(Exception):
    """The process will not answer any more; the message says why."""


class Child:
    """One running process. Use it in a `with`: it is gone afterwards, with all that it started.

    command: the program and its arguments;  stop: when it is set, waiting ends
    Raises InvalidInput where the command cannot be started.
    """

    def __init__(self, command: Sequence[str], stop: Event | None = None) -> None:
        self.stop = stop or Event()
        self.control, theirs = socket.socketpair()
        try:
            self.process = subprocess.Popen(
                [*SUPERVISOR, str(theirs.fileno()), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            self.control.close()
            raise InvalidInput(f"{command[0]}: no process can be started: {error.strerror or error}.") from error
        finally:
            theirs.close()
        pipes = (self.process.stdin, self.process.stdout, self.process.stderr)
        assert all(pipes)
        self.stdin, self.stdout, self.stderr = (pipe.fileno() for pipe in pipes if pipe)
        for pipe in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(pipe, False)
        self.selector = selectors.DefaultSelector()
        for readable in (self.stdout, self.stderr, self.control):
            self.selector.register(readable, selectors.EVENT_READ)
        self.waiting = bytearray()  # to be written
        self.received = bytearray()
        self.searched = 0  # of `received`, without a line's end
        self.said = b""  # the end of stderr
        self.reported = b""  # what the supervisor says
        self.open, self.ended = True, False
        try:
            self._await(b"\n", STARTING)
        except BaseException:
            self.end(patient=False)
            raise
        if not self.reported.startswith(b"started\n"):
            self.end(patient=False)
            why = self.reported.removeprefix(b"failed ").strip()
            said = os.strerror(int(why)) if why.isdigit() else "its supervisor did not start"
            raise InvalidInput(f"--command: {command[0]} cannot be started: {said}.")

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(patient=kind is None)

    def send(self, line: bytes) -> None:
        """Queue a line; it is written while answers are awaited."""
        if not self.waiting:
            self.selector.register(self.stdin, selectors.EVENT_WRITE)
        self.waiting += line

    def close_stdin(self, deadline: float) -> None:
        """Write what is queued, then let the process know that there is no more."""
        while self.waiting and time.monotonic() < deadline:
            self._work(deadline, longest=BYTES_OF_LINE)
        self._stop_writing()
        if self.process.stdin:
            self.process.stdin.close()

    def receive(self, deadline: float, longest: int) -> bytes:
        """The next line. Raises Stopped where none comes: why, and that the process is of no use any more."""
        exited: float | None = None
        while True:
            end = self.received.find(b"\n", self.searched)
            if end >= 0:
                line = bytes(self.received[:end])
                del self.received[: end + 1]
                self.searched = 0
                return line
            self.searched = len(self.received)
            if len(self.received) > longest:
                raise Stopped(f"its answer is longer than {longest:,} bytes, without a line's end; it was killed")
            now = time.monotonic()
            if self.stop.is_set():
                raise Stopped(INTERRUPTED)
            if not self.open or (exited is not None and now > exited + AFTER_EXIT):
                raise Stopped(self._ending())
            if now > deadline:
                raise Stopped(TIME_UP)
            if exited is None and self._code() is not None:
                exited = now  # something that it started may hold its pipe open
            self._work(min(deadline, now + 0.05 if exited is None else exited + AFTER_EXIT), longest)

    def _work(self, until: float, longest: int) -> None:
        """Read and write what is possible, or wait for it."""
        for key, _ in self.selector.select(max(0.0, min(until - time.monotonic(), 0.05))):
            if key.fd == self.stdin:
                self._write()
            elif key.fd == self.stdout:
                self._read(longest)
            elif key.fd == self.stderr:
                self._listen()
            else:
                self._attend()

    def _write(self) -> None:
        try:
            written = os.write(self.stdin, self.waiting[: 2**16])
            del self.waiting[:written]
        except BlockingIOError:
            return
        except OSError:  # it does not read any more; what it does answer is still of interest
            self.waiting.clear()
        if not self.waiting:
            self._stop_writing()

    def _stop_writing(self) -> None:
        self.waiting.clear()
        if self.stdin in self.selector.get_map():
            self.selector.unregister(self.stdin)

    def _read(self, longest: int) -> None:
        chunk = os.read(self.stdout, min(2**16, longest + 1))
        self.received += chunk
        if not chunk:
            self.open = False
            self.selector.unregister(self.stdout)

    def _listen(self) -> None:
        chunk = os.read(self.stderr, 2**16)
        self.said = (self.said + chunk)[-STDERR_KEPT:]
        if not chunk:
            self.selector.unregister(self.stderr)

    def _attend(self) -> None:
        """Hear what the supervisor says: that the process has started, or how it ended."""
        chunk = self.control.recv(2**10)
        self.reported += chunk
        if not chunk:  # killed, by the process that it watches
            self.reported += (
                b"" if b"ended " in self.reported else f"ended {UNKNOWN}\n".encode()
            )  # so that nobody waits for it
            self.selector.unregister(self.control)

    def _await(self, word: bytes, seconds: float) -> bool:
        """Wait until the supervisor has said so. Whether it has."""
        deadline = time.monotonic() + seconds
        while word not in self.reported and b"ended " not in self.reported:
            self.control.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                self._attend()
            except TimeoutError:
                return False
        return word in self.reported

    def _code(self) -> str | None:
        """How the process ended: an exit code, or −n for signal n; None while it runs."""
        return self.reported.rpartition(b"ended ")[2].decode().strip() if b"ended " in self.reported else None

    def _ending(self) -> str:
        self._await(b"ended ", TOLD)
        code = self._code()
        if code is None:
            return "it closed its output without an answer"
        if code == UNKNOWN:
            return "it ended, and the process that watches over it with it, without an answer"
        rest = f", after half a line: {printable(self.received.decode(errors='replace'), 60)}" if self.received else ""
        if code.startswith("-"):
            return f"it was ended by signal {_signal(int(code[1:]))}{rest}"
        return f"it ended with exit code {code}, without an answer{rest}"

    @property
    def complaint(self) -> str:
        """What it wrote to stderr, the end of it, made safe for a terminal."""
        text = self.said.decode(errors="replace").strip()
        return (
            "; its stderr ends: " + " | ".join(printable(line, STDERR_KEPT) for line in text.splitlines())
            if text
            else ""
        )

    def end(self, patient: bool = True) -> None:
        """End it and everything that it has started; a patient end lets it go by itself first."""
        if self.ended:
            return
        self.ended = True
        self._stop_writing()
        if self.process.stdin:
            with suppress(OSError):
                self.process.stdin.close()
        if patient:
            self._await(b"ended ", GRACE)
        with suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)  # not only closed: a fork of this process may have it, too
        self.control.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(KILLING)
        if self.stderr in self.selector.get_map():
            with suppress(BlockingIOError):
                self._listen()
        self.selector.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


def _signal(number: int) -> str:
    """A signal's name; real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


TIME_UP, INTERRUPTED = "time", "interrupted"


def words_of(command: str) -> list[str]:
    """A command line as words, the first an existing program. Raises InvalidInput."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"--command: {command!r} cannot be split into words: {error}.") from error
    if not words:
        raise InvalidInput("--command: expected a program and its arguments, such as './mynet --float64'; got nothing.")
    if shutil.which(words[0]) is None:
        raise InvalidInput(f"--command: there is no program {words[0]!r}. No shell is used: give its path.")
    return words


def capabilities(command: str, timeout: float) -> Capabilities:
    """Ask a process what it can do. Raises Unanswered."""
    import msgspec

    with Child(words_of(command)) as child:
        child.send(line_of(Hello()))
        try:
            line = child.receive(time.monotonic() + timeout, BYTES_OF_LINE)
        except Stopped as stopped:
            raise Unanswered(f"to the handshake, {_reason(stopped, timeout)}{child.complaint}") from None
    try:
        known = msgspec.convert(parsed(line), Capabilities)
    except (Unanswered, msgspec.ValidationError) as error:
        raise Unanswered(f"to the handshake: {printable(str(error))}") from None
    for kind in ("activations", "losses", "dtypes"):
        names = getattr(known, kind)
        if not 1 <= len(names) <= MOST_NAMES:
            raise Unanswered(f"to the handshake: {kind}: expected from 1 to {MOST_NAMES} names, got {len(names):,}")
    return known


MOST_NAMES = 64  # of activations, losses or dtypes


def _reason(stopped: Stopped, timeout: float) -> str:
    return f"it did not answer within {timeout:g} s" if str(stopped) == TIME_UP else str(stopped)


def observations(
    command: str, cases: Sequence[Case], timeout: float, once: bool = False, stop: Event | None = None
) -> Iterator[tuple[int, Observation | Unanswered]]:
    """A process's answers to cases: the number of each, and what was observed or why nothing was.

    timeout: seconds that the process may take for one answer;  once: a process for every case
    stop: when it is set, by another thread, nothing more is asked
    A process that stops is started again for the rest, unless it has not answered anything yet when its time is up, or
    has failed three times in a row.
    """
    words = words_of(command)
    queue = deque(enumerate(cases))
    failures, answered = 0, False
    while queue:
        batch = [queue.popleft()] if once else list(queue)
        done, stopped = 0, ""
        with Child(words, stop) as child:
            for number, outcome in _exchange(child, batch, timeout, once):
                done += 1
                cause = outcome.__cause__ if isinstance(outcome, Unanswered) else None
                stopped = str(cause) if isinstance(cause, Stopped) else ""
                failures = failures + 1 if stopped else 0
                answered = answered or not isinstance(outcome, Unanswered)
                yield number, outcome
        if not once:
            for _ in range(done):
                queue.popleft()
        if stopped == INTERRUPTED:
            return
        if stopped and (failures >= FAILURES_IN_A_ROW or (stopped == TIME_UP and not answered)):
            said = "not asked: it did not answer the one before" if failures < FAILURES_IN_A_ROW else (
                f"not asked: it failed {failures} times in a row"
            )  # fmt: skip
            yield from ((number, Unanswered(said)) for number, _ in queue)
            return


class Answering:
    """A process that is asked case after case, each when the one before is answered. Use it in a `with`.

    It starts with the first case, and again after one that it failed to answer.
    """

    def __init__(self, command: str, timeout: float) -> None:
        self.words, self.timeout = words_of(command), timeout
        self.child: Child | None = None

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, case: Case) -> Observation:
        """What it answers. Raises Unanswered, with why."""
        self.child = self.child or Child(self.words)
        try:
            ((_, outcome),) = _exchange(self.child, [(0, case)], self.timeout, once=False)
        except BaseException:
            self._end()
            raise
        if isinstance(outcome, Unanswered):
            self._end()
            raise outcome
        return outcome

    def _end(self) -> None:
        if self.child is not None:
            self.child.end(patient=False)
            self.child = None


def _exchange(
    child: Child, batch: Sequence[tuple[int, Case]], timeout: float, once: bool
) -> Iterator[tuple[int, Observation | Unanswered]]:
    """Ask one process, some requests ahead of its answers; ends with the first answer that does not come."""
    ahead = iter(batch)
    in_flight: deque[tuple[int, Case]] = deque()

    def fill() -> None:
        for number, case in ahead:
            child.send(line_of(request(case, number + 1)))
            in_flight.append((number, case))
            if len(in_flight) >= IN_FLIGHT:
                return

    fill()
    if once:
        child.close_stdin(time.monotonic() + timeout)
    while in_flight:
        number, case = in_flight[0]
        try:
            line = child.receive(time.monotonic() + timeout, longest_answer(case))
        except Stopped as stopped:
            child.end(patient=False)
            failure = Unanswered(f"{_reason(stopped, timeout)}{child.complaint}")
            failure.__cause__ = stopped
            yield number, failure
            return
        in_flight.popleft()
        try:
            outcome: Observation | Unanswered = observation_of(line, case, number + 1)
        except Unanswered as unusable:
            outcome = unusable
        yield number, outcome
        if len(in_flight) < IN_FLIGHT // 2:
            fill()


def longest_answer(case: Case) -> int:
    """Bytes of the longest answer to a case that is read: every number with a thousand digits, and some."""
    parameters = sum((a + 1) * b for a, b in pairwise(case.sizes))
    return BYTES_OF_LINE + BYTES_PER_NUMBER * (2 * parameters + case.batch * case.sizes[-1])
