"""Constants of terms that are added, such as a weight decay, fitted to all cases, and to all layers that share one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..conventions import Convention
from .fitting import agreed, constant_of, edit_of
from .several_samples import Cases, given
from .single_samples import SHORT
from .slope_search import Edits
from .vocabulary import DEVIATIONS, Weighed


def refined(edits: Edits, cases: Cases, convention: Convention) -> Edits:
    """The same edits; those with such a constant have the best that all cases show, one for all layers if it can be."""
    weighed = {number: edit.entry for number, edit in enumerate(edits) if edit.entry and edit.entry.weighed}
    if not weighed:
        return edits
    views = list(given(cases, edits, convention))
    near = views[0].near
    shown: dict[int, list[Weighed]] = {}
    for number, entry in weighed.items():
        k, quantity = edits[number].layer, edits[number].step
        arrays = [(view, view.gradient(quantity, k)) for view in views]
        found = [constant_of(view, k, entry, array) for view, array in arrays if array is not None]
        shown[number] = [one for one in found if one is not None]
    constants: dict[int, float] = {}
    for _, numbers in groupby(sorted(shown, key=lambda n: weighed[n].weighed), key=lambda n: weighed[n].weighed):
        group = list(numbers)
        together = agreed([one for number in group for one in shown[number]], False, near)
        apart = {number: agreed(shown[number], False, near) for number in group}
        if together is None or None in apart.values():
            continue
        same = all(_may_be(together, apart[number], shown[number], near) for number in group)
        constants |= {number: together if same else apart[number] for number in group}
    return tuple(
        edit_of(weighed[number], edit.layer, constants[number]) if number in constants else edit
        for number, edit in enumerate(edits)
    )


def _may_be(constant: float, own: float, shown: Sequence[Weighed], near: float) -> bool:
    """Whether a layer's own constant is that, but for roundings."""
    weight = sum(one.weight for one in shown)
    return bool(abs(own - constant) <= DEVIATIONS * (near * SHORT / weight**0.5 + near * SHORT * abs(constant)))
