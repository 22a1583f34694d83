"""Runs a program and leaves nothing of it behind: python -I -S supervisor.py SOCKET PROGRAM ARGUMENTS…

SOCKET is the number of a descriptor that leads to backproof. On it the supervisor says `started`, or `failed ERRNO`,
then `ended CODE`; when it is closed at the other end, because backproof wants no more or is no more (kill -9), every
process that the program has started is killed. On Linux these are all its descendants: the supervisor is a subreaper,
so that whatever loses its parent becomes its child, also in a session of its own. Elsewhere they are the program's
process group. Standard library only, and little of it: it is started with every program.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from contextlib import suppress

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of linux/prctl.h
ERRNO_BYTES = 16
LONGEST_PAUSE = 0.1  # seconds between attempts to kill what does not die at once


def main() -> None:
    """Start the program, report its end, and kill all that is left of it when the socket is closed."""
    socket, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(socket, False)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # select notices
    try:
        program = started(command)
    except OSError as error:
        _say(socket, f"failed {error.errno}")
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _say(socket, "started")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # its pipes are the program's alone
        os.dup2(nowhere, standard)
    while socket not in select.select([socket, woken], [], [])[0]:
        os.read(woken, 2**10)
        for pid, code in _ended():
            if pid == program:
                _say(socket, f"ended {code}")
    kill_all(program)


def started(command: list[str]) -> int:
    """The process of a program, in a session of its own; it dies with this one. Raises OSError where there is none."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores
            os.execvp(command[0], command)  # noqa: S606 — running what the user names is what it is for
        except OSError as error:
            os.write(tell, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(tell)
    failed = os.read(told, ERRNO_BYTES)
    if failed:
        os.waitpid(pid, 0)
        raise OSError(int(failed), os.strerror(int(failed)))
    return pid


def kill_all(program: int) -> None:
    """Kill the program and its descendants, and what they start meanwhile, until there is none."""
    pause = 0.001
    while True:
        for pid in _descendants(os.getpid()) if LINUX else []:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _ended() -> list[tuple[int, int]]:
    """The children that have ended, with their exit codes: −n for signal n."""
    ended = []
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended.append((pid, os.waitstatus_to_exitcode(status)))
    return ended


def _descendants(ancestor: int) -> list[int]:
    """Every process below this one, by /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 — pathlib takes as long to import as all else
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found = list(children.get(ancestor, ()))
    for pid in found:  # which grows meanwhile
        found += children.get(pid, ())
    return found


def _say(socket: int, text: str) -> None:
    with suppress(OSError):  # nobody listens any more; select will say so
        os.write(socket, text.encode() + b"\n")


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
