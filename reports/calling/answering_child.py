"""The process of a function: python -P -m backproof.reports.calling.answering_child. It answers probes.

Questions come on standard input, answers go to standard output, both as lines of `answers_of_functions`; the function
gets neither. Whatever it does to this process, it can only give other answers. A function without arguments builds a
network, whose tensors cannot cross: that one is judged here.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from ...adapters.adapter import Unanswered
from ...adapters.protocol import case_of, printable
from ...reference.case import InvalidInput
from ...reference.programs import Unsupported
from ..any_network import builds_a_network, refuse_in_a_file, verify_built
from .answers_of_functions import NETWORK, Find, Probe, Reply, answer_of
from .call import Call, ModifiedInputs, told
from .reading_answers import Misshapen
from .time_limit import TimeUp

MEMORY_SHARE = 0.8  # of this machine's memory that the function may have
CANNOT_ANSWER = 71  # EX_OSERR of sysexits.h


def main() -> None:
    """Say that this process is ready, find the function, then answer until there are no more questions."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)

    def reply(said: Reply) -> None:
        line = msgspec.json.encode(said) + b"\n"
        try:
            while line:
                line = line[os.write(answers, line) :]
        except OSError:  # the function has closed it, or there is nobody left
            os._exit(CANNOT_ANSWER)

    limit_memory()
    reply(Reply("ready"))
    try:
        asked = msgspec.json.decode(questions.readline(), type=Find)
        function = found(asked)
    except InvalidInput as error:
        reply(Reply("invalid", words=str(error)))
        return
    if builds_a_network(function):
        reply(Reply("found", words=NETWORK))
        reply(verified(function, asked.numbers))
        os._exit(0)
    reply(Reply("found"))
    for number, line in enumerate(questions, start=1):
        reply(answered(function, msgspec.json.decode(line, type=Probe), number))
    os._exit(0)  # threads that the function has left do not keep it


def verified(build: Callable[..., Any], numbers: bool = False) -> Reply:
    """The report on the network that a function builds, or why there is none."""
    try:
        report = verify_built(build, numbers)
    except (InvalidInput, Unsupported) as error:
        return Reply("invalid", words=str(error))
    except BaseException as error:  # the user's own
        return Reply("unanswered", words=f"{printable(getattr(build, '__name__', 'it'))} raised {told(error)}")
    return Reply("network", network=report)


def answered(function: Callable[..., Any], probe: Probe, number: int) -> Reply:
    """The function's answer to a probe, or why there is none."""
    call = Call(function, probe.returns, probe.orientation, probe.bias, probe.arrays, probe.timeout)
    try:
        return answer_of(number, probe.returns, call.observe(case_of(probe.request, "probe")), ())
    except ModifiedInputs as modified:
        return answer_of(number, probe.returns, modified.observation, modified.changed)
    except Misshapen as error:
        return Reply("misshapen", number, str(error))
    except Unanswered as error:
        return Reply("time" if isinstance(error.__cause__, TimeUp) else "unanswered", number, str(error))
    except KeyboardInterrupt as error:  # the function's own: this session has no terminal
        return Reply("unanswered", number, f"it raised {told(error)}")


def found(asked: Find) -> Callable[..., Any]:
    """The function of this name. Raises InvalidInput with what importing it raises, whatever that is."""
    module, _, name = asked.target.rpartition(":")
    sys.path[:] = asked.path
    target = printable(asked.target)
    try:
        if module.endswith(".py"):
            members = runpy.run_path(module, run_name=Path(module).stem)
            module_found: Any = ModuleType(module)
            module_found.__dict__.update(members)
        else:
            module_found = importlib.import_module(module)
    except BaseException as error:
        raise InvalidInput(f"{target}: importing {printable(module)} raised {told(error)}{_advice(error)}") from error
    try:
        function = _member(module_found, name, f"{target}: {printable(module)} has no {printable(name)}.")
    except InvalidInput:
        raise
    except BaseException as error:
        raise InvalidInput(f"{target}: looking it up raised {told(error)}") from error
    if not callable(function):
        raise InvalidInput(f"{target}: expected a function, got {printable(type(function).__name__, 60)}.")
    refuse_in_a_file(target, function)
    return function


def _advice(error: BaseException) -> str:
    """What to do about what importing raised, if that is known."""
    if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow" and "keras" in sys.modules:
        return ". Keras takes TensorFlow unless it is told another: set KERAS_BACKEND=torch or KERAS_BACKEND=jax."
    return ""


def _member(found: Any, name: str, absent: str) -> Any:
    for part in name.split("."):
        if not hasattr(found, part):
            public = [known for known in dir(found) if not known.startswith("_")]
            near = get_close_matches(part, public, n=1)
            raise InvalidInput(absent + (f" Did you mean {printable(near[0], 60)!r}?" if near else ""))
        found = getattr(found, part)
    return found


def limit_memory() -> None:
    """Leave this machine some memory; a limit that is lower already stays."""
    try:
        import resource
    except ImportError:  # not POSIX
        return
    memory = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)
    set_already = (limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY)
    lowest = min([memory, *set_already])
    resource.setrlimit(resource.RLIMIT_AS, (lowest, lowest))


if __name__ == "__main__":
    main()
