"""Each check that a wrong gradient and its right twin are put before, with its own default settings."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from .bug import FORMATS, Array, Entry
from .running import Side, reference

REFUSED, PASSED, UNDECIDED, NOT_TAKEN = "refused", "passed", "undecided", "not taken"
Said = tuple[str, str]  # the outcome, and what it says
FLASH_RESULT, FLASH_GRADIENT = 2.0, 3.0  # tests/test_flash_attn.py of flash-attention
KERNEL_BENCH = 1e-2
SCIPY = 1e-5  # SciPy gives a number and no verdict: what a careful reader would take for a fault


@dataclass(frozen=True)
class Check:
    """asked: of a side, what it says;  formats: that it is made for, or takes;  frameworks, order: as of a bug"""

    name: str
    asked: Callable[[Side], Said]
    formats: tuple[str, ...] = FORMATS
    frameworks: tuple[str, ...] = ("torch", "jax")
    orders: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Answer:
    """seconds: of processor time"""

    outcome: str
    text: str
    seconds: float


def answered(check: Check, side: Side) -> Answer:
    """What a check says of a side. What it cannot run, for whatever reason, is not taken."""
    start = time.process_time()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            outcome, text = check.asked(side)
        except Exception as error:  # of any check or framework: what matters is that it gave no verdict
            outcome, text = NOT_TAKEN, f"{type(error).__name__}: {error}"
    return Answer(outcome, text, time.process_time() - start)


def available() -> list[Check]:
    """The checks that can be run here."""
    return [check for check in CHECKS if check.name != SCIPY_NAME or find_spec("scipy") is not None]


def _backproof(side: Side) -> Said:
    from backproof.reports.any_network import NotDecided, WrongRule

    try:
        if side.entry.bug.framework == "torch":
            import backproof.torch

            backproof.torch.gradcheck(side.function, side.arguments())
            if side.entry.bug.order > 1:
                backproof.torch.gradgradcheck(side.function, side.arguments())
        else:
            import backproof.jax

            backproof.jax.check_grads(side.function, side.arguments(), order=side.entry.bug.order, modes="rev")
    except WrongRule as error:
        return REFUSED, str(error)
    except NotDecided as error:
        return UNDECIDED, str(error)
    return PASSED, ""


def _path(side: Side) -> Said:
    import backproof as bp

    found = bp.check_path(side.at, _start(side), dtype=side.format)
    return {True: PASSED, False: REFUSED, None: UNDECIDED}[found.agrees], str(found)


def _field(side: Side) -> Said:
    import backproof as bp

    found = bp.check_field(lambda values: side.at(values)[1], _start(side), dtype=side.format)
    return {True: PASSED, False: REFUSED, None: UNDECIDED}[found.symmetric], str(found)


def _start(side: Side) -> list[Array]:
    return [side.entry.inputs()[k] for k in side.real()]


def _gradcheck(side: Side, fast: bool = False) -> Said:
    import torch
    from torch.autograd.gradcheck import GradcheckError

    try:
        torch.autograd.gradcheck(side.seeded(), side.arguments(), fast_mode=fast)
    except GradcheckError as error:
        return REFUSED, str(error)
    return PASSED, ""


def _gradgradcheck(side: Side) -> Said:
    import torch
    from torch.autograd.gradcheck import GradcheckError

    try:
        torch.autograd.gradgradcheck(side.seeded(), side.arguments())
    except GradcheckError as error:
        return REFUSED, str(error)
    return PASSED, ""


def _jax_check_grads(side: Side) -> Said:
    from backproof.adapters.jax_grad import enable_x64
    from jax.test_util import check_grads

    with enable_x64(True):
        arguments, real = side.arguments(), side.real()

        def of(*differentiated: object) -> object:
            filled = list(arguments)
            for k, x in zip(real, differentiated, strict=True):
                filled[k] = x
            return side.function(*filled)

        try:
            check_grads(of, tuple(arguments[k] for k in real), order=side.entry.bug.order, modes=["rev"])
        except AssertionError as error:
            return REFUSED, str(error)
    return PASSED, ""


def _scipy(side: Side) -> Said:
    from scipy.optimize import check_grad

    shapes = [x.shape for x in _start(side)]
    sizes = [int(np.prod(shape)) for shape in shapes]

    def parts(flat: Array) -> list[Array]:
        return [x.reshape(s) for x, s in zip(np.split(flat, np.cumsum(sizes)[:-1]), shapes, strict=True)]

    flat = np.concatenate([x.reshape(-1) for x in _start(side)])
    off = check_grad(
        lambda x: side.at(parts(x))[0], lambda x: np.concatenate([g.reshape(-1) for g in side.at(parts(x))[1]]), flat
    )
    return (PASSED if off <= SCIPY else REFUSED), f"off by {off:.3g}"


def _numbers(side: Side) -> tuple[list[Array], list[Array]]:
    """The result and the gradients of a side, and those of the eager reference in the same format."""
    own = side.run(side.arguments())
    eager = Side(side.entry, reference(side.entry), side.format)
    theirs = eager.run(eager.arguments())
    return [own[0], *own[1]], [theirs[0], *theirs[1]]


def _assert_close(side: Side) -> Said:
    import torch

    dtype = getattr(torch, side.format)
    for own, eager in zip(*_numbers(side), strict=True):
        try:
            torch.testing.assert_close(torch.tensor(own).to(dtype), torch.tensor(eager).to(dtype))
        except AssertionError as error:
            return REFUSED, str(error)
    return PASSED, ""


def _flash_attention(side: Side) -> Said:
    own, eager = _numbers(side)
    exact = Side(_rounded(side), reference(side.entry), "float64")
    result, gradients = exact.run(exact.arguments())
    for k, (x, low, high) in enumerate(zip(own, eager, [result, *gradients], strict=True)):
        factor = FLASH_GRADIENT if k else FLASH_RESULT
        error, allowed = np.abs(x - high).max(initial=0.0), factor * np.abs(low - high).max(initial=0.0)
        if not error <= allowed:
            return REFUSED, f"error {error:.3g}, allowed {allowed:.3g}"
    return PASSED, ""


def _rounded(side: Side) -> Entry:
    """The entry with its inputs rounded to the format: the reference computes of the same numbers."""
    numbers = tuple(
        np.asarray(x.detach().double() if hasattr(x, "detach") else x, dtype=np.float64) if n.dtype.kind == "f" else n
        for x, n in zip(side.arguments(), side.entry.inputs(), strict=True)
    )
    return replace(side.entry, inputs=lambda: numbers)


def _kernel_bench(side: Side) -> Said:
    for own, eager in zip(*_numbers(side), strict=True):
        if not np.allclose(own, eager, rtol=KERNEL_BENCH, atol=KERNEL_BENCH):
            return REFUSED, f"off by {np.abs(own - eager).max():.3g}"
    return PASSED, ""


SCIPY_NAME = "scipy check_grad"
RULE = "backproof gradcheck, check_grads"
CHECKS = (
    Check(RULE, _backproof),
    Check("backproof check_path", _path, orders=(1,)),
    Check("backproof check_field", _field, orders=(1,)),
    Check("torch gradcheck", _gradcheck, ("float64",), ("torch",)),
    Check("torch gradcheck, fast_mode", lambda side: _gradcheck(side, fast=True), ("float64",), ("torch",)),
    Check("torch gradgradcheck", _gradgradcheck, ("float64",), ("torch",), orders=(2,)),
    Check("torch assert_close, defaults", _assert_close),
    Check("jax check_grads", _jax_check_grads, frameworks=("jax",)),
    Check(SCIPY_NAME, _scipy, formats=("float64",)),
    Check("FlashAttention's 2× and 3×", _flash_attention, formats=("float32", "bfloat16")),
    Check("KernelBench's 1e-2", _kernel_bench),
)
