"""`verify` of a function in a process of its own: it may hang, crash, eat all memory or lie, and only loses that.

The process answers probes with plain numbers; all judging is done here. Where POSIX is not to be had (Windows), the
function runs in this process.
"""

from __future__ import annotations

import inspect
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...adapters.adapter import Unanswered
from ...adapters.child_process import TIME_UP, Child, Stopped, longest_answer
from ...adapters.protocol import line_of, printable, request
from ...reference.case import Case, InvalidInput
from ...reference.judging import Observation
from ..any_network import Told
from .answers_of_functions import FORGED, NETWORK, Find, Probe, Reply, observation_of, read_reply
from .call import Call, Elsewhere, ModifiedInputs
from .declared import declared_timeout
from .reading_answers import Misshapen
from .time_limit import TimeUp

GRACE = 2.0  # seconds beyond the limit of a call, for one that Python cannot interrupt
STARTING = 120.0  # seconds for our own child to start, on a busy machine
LONGEST_WORDS = 2**16  # bytes of an answer that is none
LONGEST_REPORT = 2**25  # of the report on a network, with the graph of a run


def name_of(function: Callable[..., Any]) -> str:
    """Where another process finds a function. Raises InvalidInput."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    found: Any = sys.modules.get(str(module))
    for part in str(name).split("."):
        found = inspect.getattr_static(found, part, None)
    if found is not function:
        raise InvalidInput(
            "isolated: expected a function that another process can import by its name, got "
            f"{printable(str(name or type(function).__name__), 60)}. Define it with `def` in a module, outside of any "
            "other function."
        )
    main = sys.modules["__main__"]
    if module == "__main__":
        file = getattr(main, "__file__", None)
        if file is None:
            raise InvalidInput("isolated: a function that was typed in cannot be imported. Put it into a file.")
        module = main.__spec__.name if main.__spec__ else file
    return f"{module}:{name}"


@contextmanager
def in_its_own_process(target: str, path: list[str], timeout: float | None, numbers: bool = False) -> Iterator[Any]:
    """A function, found by its name in a process of its own; the process is gone afterwards, with all that it started.

    It is a `There`; on Windows the function itself, found in this process.
    path: the folders where modules are found;  timeout: seconds for importing it, and for each call
    Raises InvalidInput where there is no such function.
    """
    limit = declared_timeout(timeout)
    if sys.platform == "win32":
        from .answering_child import found

        yield found(Find(target, path))
        return
    with Child([sys.executable, "-P", "-m", "backproof.reports.calling.answering_child"]) as child:
        there = There(child)
        ready = there.hear(STARTING)
        if ready.kind != "ready":
            raise InvalidInput(f"{printable(target)}: its process does not start: {ready.words}")
        child.send(line_of(Find(target, path, numbers)))
        reply = there.hear(limit)
        if reply.kind == "time":
            said = f"{printable(target)}: importing it did not end within {limit:g} s"
            raise InvalidInput(f"{said}. Give a longer timeout.")
        if reply.kind == "invalid":
            raise InvalidInput(reply.words)
        if reply.kind != "found":
            raise InvalidInput(f"{printable(target)}: importing it, {reply.words}.")
        there.builds = reply.words == NETWORK
        yield there


class There(Elsewhere):
    """The function at the other end of a child's pipes."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.asked = 0
        self.builds = False
        self.gone: Reply | None = None

    def network(self, target: str, timeout: float | None) -> Told:
        """The report on the network that the function builds. Raises InvalidInput where there is none."""
        reply = self.hear(declared_timeout(timeout), LONGEST_REPORT)
        if reply.network is not None:
            return reply.network
        raise InvalidInput(f"{printable(target)}: {reply.words}")

    def observe(self, call: Call, case: Case) -> Observation:
        self.asked += 1
        bias = call.bias if isinstance(call.bias, str) else [*call.bias]
        limit = declared_timeout(call.timeout)
        probe = Probe(request(case, self.asked), call.returns, call.orientation, bias, call.arrays, limit)
        if self.gone is None:
            self.child.send(line_of(probe))
        reply = self.hear(limit, longest_answer(case))
        if reply.kind == "answer" and reply.id == self.asked:
            observation = observation_of(reply, call.returns, case)
            if reply.changed:
                raise ModifiedInputs(reply.changed, observation)
            return observation
        if reply.kind == "misshapen":
            raise Misshapen(reply.words)
        if reply.kind == "time":
            raise Unanswered(reply.words) from TimeUp()
        raise Unanswered(reply.words if reply.kind == "unanswered" else FORGED)

    def hear(self, limit: float | None, longest: int = LONGEST_WORDS) -> Reply:
        """The next reply; one that says why where none comes, and from then on always that one."""
        if self.gone is not None:
            return self.gone
        try:
            return read_reply(
                self.child.receive(math.inf if limit is None else time.monotonic() + limit + GRACE, longest)
            )
        except Unanswered as forged:
            return Reply("unanswered", words=str(forged))
        except Stopped as stopped:
            self.child.end(patient=False)
            if str(stopped) == TIME_UP:
                said = f"it did not answer within {limit:g} s, and could not be interrupted; it was killed"
                self.gone = Reply("time", words=said)
            else:
                self.gone = Reply("unanswered", words=f"its process died: {stopped}{self.child.complaint}")
            return self.gone
