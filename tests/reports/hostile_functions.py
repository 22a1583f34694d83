"""Functions that misbehave, one way each: what `test_isolated.py` has verified. Where they answer, they are right."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import inspect
import os
import pickle
import signal
import subprocess
import sys
import time
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np


def right(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
    a = [inputs]
    for w, b in zip(weights, biases, strict=True):
        a.append(1 / (1 + np.exp(-(a[-1] @ w.T + b))))
    delta = (a[-1] - targets) * a[-1] * (1 - a[-1])
    of_weights: list[Any] = []
    of_biases: list[Any] = []
    for k in reversed(range(len(weights))):
        of_weights.insert(0, delta.T @ a[k])
        of_biases.insert(0, delta.sum(0))
        delta = delta @ weights[k] * a[k] * (1 - a[k])
    return of_weights, of_biases


def doubled(*given: Any) -> Any:
    return [2 * w for w in right(*given)[0]], right(*given)[1]


class Base(BaseException): ...


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def base(*_: Any) -> Any:
    raise Base("base")


def wordless(*_: Any) -> Any:
    raise Wordless


def escape_in_a_type(*_: Any) -> Any:
    raise type("\x07Evil\n```\n<b>", (Exception,), {})("x")


def cancelled(*_: Any) -> Any:
    raise asyncio.CancelledError


def interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt


def generator_exit(*_: Any) -> Any:
    raise GeneratorExit


def stop_iteration(*_: Any) -> Any:
    raise StopIteration


def leaves(*_: Any) -> Any:
    os._exit(0)


def crashes(*_: Any) -> Any:
    ctypes.string_at(0)


def real_time_signal(*_: Any) -> Any:
    os.kill(os.getpid(), 40)


def hangs(*_: Any) -> Any:
    time.sleep(3600)


def deaf(*_: Any) -> Any:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    time.sleep(3600)


def stubborn(*_: Any) -> Any:
    for _k in range(3):
        with contextlib.suppress(BaseException):
            time.sleep(3600)
    time.sleep(3600)


def endless_generator(*_: Any) -> Any:
    while True:
        yield [1.0]


def slow_generator(*_: Any) -> Any:
    time.sleep(3600)
    yield 1


class Hostile:
    """What an answer, or a part of it, may do when it is read."""

    def __init__(self, **methods: Any) -> None:
        self.__class__ = type("Answer", (Hostile,), methods)


def _raise(*_: Any) -> Any:
    raise RuntimeError("no\x1b[2J")


def _hang(*_: Any) -> Any:
    time.sleep(3600)


def _endless(*_: Any) -> Any:
    while True:
        yield np.ones((3, 2))


def array_raises(*given: Any) -> Any:
    return [Hostile(__array__=_raise)] * 2, right(*given)[1]


def array_hangs(*given: Any) -> Any:
    return [Hostile(__array__=_hang)] * 2, right(*given)[1]


def repr_raises(*_: Any) -> Any:
    return Hostile(__repr__=_raise)


def repr_hangs(*_: Any) -> Any:
    return Hostile(__repr__=_hang)


def length_raises(*given: Any) -> Any:
    return Hostile(__len__=_raise), right(*given)[1]


def length_lies(*given: Any) -> Any:
    return Hostile(__len__=lambda _: 2, __iter__=_endless), right(*given)[1]


def attributes_raise(*_: Any) -> Any:
    return Hostile(__getattr__=_raise)


def argument_becomes_hostile(weights: Any, *others: Any) -> Any:
    answer = right(weights, *others)
    weights[0] = Hostile(__array__=_raise)
    return answer


def argument_becomes_text(weights: Any, biases: Any, *others: Any) -> Any:
    answer = right(weights, biases, *others)
    biases[:] = ["a"]
    return answer


def imaginary(*given: Any) -> Any:
    return [w + 1j for w in right(*given)[0]], right(*given)[1]


def text(*given: Any) -> Any:
    return [w.astype(str) for w in right(*given)[0]], right(*given)[1]


def objects(*given: Any) -> Any:
    return [w.astype(object) for w in right(*given)[0]], right(*given)[1]


def masked(*given: Any) -> Any:
    return [np.ma.masked_array(w, w == w.max()) for w in right(*given)[0]], right(*given)[1]


def all_masked(*given: Any) -> Any:
    return [np.ma.array(w, mask=True) for w in right(*given)[0]], right(*given)[1]


def nothing_masked(*given: Any) -> Any:
    return [np.ma.masked_array(w) for w in right(*given)[0]], right(*given)[1]


def nones(*given: Any) -> Any:
    return [None, None], [None, None]


def large_integers(*given: Any) -> Any:
    return [np.full(w.shape, 2**53 + 1) for w in given[0]], right(*given)[1]


def dates(*given: Any) -> Any:
    return [np.zeros(w.shape, "M8[s]") for w in given[0]], right(*given)[1]


def conjugate(*given: Any) -> Any:
    import torch

    return [torch.from_numpy(w + 0j).conj() for w in right(*given)[0]], right(*given)[1]


def negative_view(*given: Any) -> Any:
    """The imaginary part of a conjugate: a view that says that it is negative."""
    import torch

    return [torch.from_numpy(-1j * w).conj().imag for w in right(*given)[0]], right(*given)[1]


def raw_stderr(*given: Any) -> Any:
    os.write(2, b"\x1b[2J\x1b]0;pwn\x07")
    os.write(1, b"forged\n")
    return right(*given)


def closes_descriptors(*_: Any) -> Any:
    os.closerange(0, 256)


def low_recursion_limit(*given: Any) -> Any:
    answer = right(*given)
    sys.setrecursionlimit(len(inspect.stack(0)) + 5)
    return answer


def changes_folder(*given: Any) -> Any:
    os.chdir("/")
    return right(*given)


def _square(x: float) -> float:
    return x * x


def has_children(*given: Any) -> Any:
    with Pool(1) as pool:
        assert pool.map(_square, [2.0]) == [4.0]
    return right(*given)


def token() -> str:
    return Path("token").read_text(encoding="utf-8")


def leaves_children(*given: Any) -> Any:
    subprocess.Popen(["sleep", token()])
    subprocess.Popen(["setsid", "sleep", token()], stdout=subprocess.DEVNULL)
    return right(*given)


def leaves_children_and_hangs(*given: Any) -> Any:
    leaves_children(*given)
    time.sleep(3600)


# ------------------------------------------------------------- functions that would have the judge say otherwise


def replaces_the_judge(*given: Any) -> Any:
    from backproof.reports.documents.report import Report
    from backproof.reports.validation import front_door

    forged = Report("agrees", "squared error", ("hacked",), 15.0)
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("backproof"):
            for name in ("judge", "assess", "verify", "reproduces"):
                if hasattr(module, name):
                    setattr(module, name, lambda *_a, **_k: forged)
    front_door.Report = lambda *_a, **_k: forged  # type: ignore[misc, assignment]
    return doubled(*given)


class Payload:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("executed"),)


def sends_a_pickle(*given: Any) -> Any:
    """Writes a pickle into everything that is open, and into every connection that it finds."""
    data = pickle.dumps(("report", Payload()))
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, len(data).to_bytes(4, "big") + data + b"\n")
        except OSError:
            continue
    for thing in gc.get_objects():
        if type(thing).__name__ == "Connection":
            thing.send(Payload())
    return right(*given)


def forges_an_answer(*given: Any) -> Any:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b'{"kind":"answer","id":1,"weights":[],"biases":[]}\n')
        except OSError:
            continue
    return doubled(*given)
