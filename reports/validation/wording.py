"""What a diagnosis and a judgement say, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...reference.diagnosis import OF_FORMATS, Convention, Diagnosis, Evidence, nowhere_finite
from ...reference.judging import FieldCheck
from ...reference.judging import observed as shown
from ...reference.numbers import PRECISIONS, PROFILES
from .reach import Judged


def because(diagnosis: Diagnosis, convention: Convention) -> list[str]:
    """What a diagnosis says: each explanation, how one comes to write that, and how sure it is."""
    lines = []
    for explanation in diagnosis.explanations[:4]:
        where = (
            ""
            if explanation.layer is None or len(convention.activations) < 2
            else f", in layer {explanation.layer + 1}"
        )
        name = f" (fault {', '.join(f'`{n}`' for n in explanation.names)})" if explanation.names else ""
        how = f" How that comes: {explanation.mistake}." if explanation.mistake else ""
        lines.append(f"it {explanation.words}{where}{name}.{how}")
    if diagnosis.proved and set(diagnosis.names) <= OF_FORMATS and diagnosis.names:
        lines.append(
            f"with it, the reference reproduces all {diagnosis.numbers} numbers within its bounds, nearer than with "
            "any other format or place; the right algorithm does not, and no other known fault does."
        )
        meant = diagnosis.names[0].removeprefix("everything-in-")
        lines += [f"if {meant} is what you mean, declare it: dtype={meant!r}."] if meant in PRECISIONS else []
    elif diagnosis.proved:
        lines.append(
            f"proved: with it, the reference reproduces all {diagnosis.numbers} numbers within its bounds; the right "
            "algorithm does not, and no other known fault does."
        )
    else:
        lines.append(f"each of these reproduces all {diagnosis.numbers} numbers: no probe tells them apart.")
    return [*lines, *untold(diagnosis)]


def untold(diagnosis: Diagnosis) -> list[str]:
    """That an explanation says nothing of what is finite nowhere."""
    places = ", ".join(map(str, diagnosis.nowhere))
    return [f"{places}: NaN or infinite in every probe, so that nothing more is told of it."] if places else []


def steps(judged: Judged) -> list[str]:
    """The first step outside its bounds, with its worst numbers."""
    for case, _, judgement in judged:
        comparisons = judgement.wrong or judgement.suspect
        if not comparisons:
            continue
        first = comparisons[0]
        sizes = "-".join(str(n) for n in case.sizes)
        lines = [f"first step outside its bound: {first.place}, on {sizes} with {case.batch} samples"]
        lines += [
            f"{list(e.index)}  expected {e.expected!r}  got {e.got!r}  tolerance {e.tolerance:.3g}"
            for e in first.worst[:3]
        ]
        lines += [f"{a.direction}: {a.ratio:.3g} × what roundings add up to" for a in first.aggregates]
        return lines
    return []


def clipped(wrong: Judged) -> list[str]:
    """What is said where every wrong number has one size, and the right ones are larger, each by as much as it is."""
    elements = [e for *_, judgement in wrong for c in judgement.wrong for e in c.worst]
    sizes = {abs(e.got) for e in elements}
    if len(sizes) != 1 or not np.isfinite(size := sizes.pop()) or not size:
        return []
    beyond = {abs(e.expected) for e in elements}
    if min(beyond) < size * LARGER or len(beyond) < 2:
        return []
    return [f"every wrong number is {size:.6g} or −{size:.6g}: gradients are clipped there."]


LARGER = 1.001  # than what they are clipped to; what is nearer has been rounded


def peculiar(observed: Evidence) -> list[str]:
    """What can be said of numbers that nothing explains."""
    numbers = np.concatenate([array.astype(float).ravel() for _, o in observed for _, array in shown(o)])
    if not np.isfinite(numbers).all():
        whole = ", ".join(f"all of {place}" for place in nowhere_finite(observed))
        count = f"{np.count_nonzero(~np.isfinite(numbers))} of {numbers.size} numbers are NaN or infinite"
        return [f"{count}: {whole}." if whole else f"{count}."]
    return in_steps(observed) or [words for _, words in [digits_printed(observed)] if words]


def digits_printed(observed: Evidence) -> tuple[int, str]:
    """To how many decimal digits every number seems to have been printed, where that is too few for its format to be
    had back, and what is said of it; else none. Source: IEEE 754-2019, 5.12.2.
    """
    numbers = [x for _, o in observed for _, array in shown(o) for x in array.ravel() if x and np.isfinite(x)]
    enough = max((DIGITS.get(PROFILES[o.precision].storage.name, 0) for _, o in observed), default=0)
    least = 0
    for x in numbers:
        while least < enough and type(x)(f"%.{max(least, 1)}g" % x) != x:
            least = max(least, 1) + 1
    if not least or least >= enough - 1 or len(numbers) < MANY:  # one digit less is enough for many numbers
        return 0, ""
    return least, f"no number has more than {least} digits: print {enough}, with which every number is had back."


DIGITS = {"float64": 17, "float32": 9}
MANY = 20


def in_steps(observed: Evidence) -> list[str]:
    """What is said of numbers that are signs, or all whole, or have few decimals: between two steps such a gradient is
    level.
    """
    numbers = np.concatenate([array.astype(float).ravel() for _, o in observed for _, array in shown(o)])
    if (np.abs(numbers) == 1).all():
        return ["every number is −1 or 1: the sign of a gradient, without its size."]
    if (numbers == np.rint(numbers)).all():
        return ["all numbers are whole: integer division, or an integer array, is on the way."]
    arrays = [array for _, o in observed for _, array in shown(o)]
    if max(PROFILES[o.precision].storage.unit_roundoff for _, o in observed) <= FEW_DIGITS:
        for decimals in range(1, MOST_DECIMALS + 1):
            if all((np.round(array, decimals) == array).all() for array in arrays):
                return [f"no number has more than {decimals} decimal{'s' * (decimals > 1)}: they are rounded."]
    return []


FEW_DIGITS = 2.0**-20  # a format's unit roundoff: with fewer, every number is short
MOST_DECIMALS = 12


def field_words(field: FieldCheck | None) -> list[str]:
    """What a field test found, in a line; nothing where it could not decide."""
    if field is None or field.symmetric is None:
        return []
    sentences = str(field).split("\nwithout")
    first, *rest = (" ".join(sentence.split()) for sentence in sentences)
    return [". ".join([first, *(f"Without {part}" for part in rest)]) + "."]


def inferred_words(missing: Mapping[str, object]) -> list[str]:
    """What was found out, as it was not declared. missing: by the names of the options that declare it"""
    names = [f"{name} ({value})" if name == "decay" else name for name, value in missing.items()]
    return [f"found out, not declared: {', '.join(names)}."] if missing else []


def verdict_of_each(judged: Judged) -> tuple[tuple[str, str], ...]:
    """Each probe's name and verdict."""
    return tuple((case.name, judgement.verdict.value) for case, _, judgement in judged)
