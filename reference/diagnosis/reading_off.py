"""Reads conventions off the numbers: which activation, which loss, which penalty gives what single samples show.

Trying every convention there is would take long, and constants such as the slope of a leaky ReLU cannot be listed. But
the weight gradient of one sample shows the activations below it, value by value, beside the z that they come from; and
the last δ shows the loss's derivative. So each layer is looked at by itself, and constants are solved for. What is read
off is a proposal, no more: the judge decides, on all probes, whether it is followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS, SOFTMAX, Activation, softmax_delta
from ..backprop import RULES, Objective
from ..case import Case
from ..losses import DISTRIBUTION, LOSSES
from ..more_activations import MORE_ACTIVATIONS, activation_named
from ..more_losses import MORE_LOSSES, loss_named
from ..numbers import Matrix
from .conventions import REDUCTIONS, Convention
from .explanation import ARRAYS, Evidence
from .steps.scope import done
from .steps.single_samples import SHORT, View, alike, left_factor, shown_activations, shows, views_of
from .steps.vocabulary import ratio, snapped

Array = NDArray[np.float64]
Name = str | Activation

OPEN = {"leaky_relu", "elu"}  # families whose bare name leaves the constant open
KEPT = 3  # activations of a layer, where several give its numbers
UNASKED = {"hinge"}  # its targets are −1 and 1, which nothing undeclared is asked with
LEAKS = ("leaky_relu(0.1)", "leaky_relu(0.2)", "leaky_relu(0.3)")  # slopes of frameworks, where none can be solved for
READINGS = 24  # conventions that are proposed


@dataclass(frozen=True)
class Declared:
    """What a user said of the network: None for what is to be found out.

    activations: one per layer;  negative: whether minus the gradient is meant;  decay: of a penalty, 0 for none
    decay_over_samples: whether the declared decay is divided by their number
    decays_biases: whether it is of biases too
    bare: whether a family's bare name, such as "leaky_relu", leaves its constant open
    """

    activations: tuple[Name, ...] | None = None
    loss: str | None = None
    reduction: str | None = None
    negative: bool | None = None
    decay: float | None = None
    decay_over_samples: bool = False
    bare: bool = False
    decays_biases: bool = False

    def missing(self, convention: Convention, returns: str) -> dict[str, object]:
        """What of a convention was found out, by the names of the options that declare it."""
        found: dict[str, object] = {}
        if self.negative is None and convention.negative:
            found["sign"] = "negative"
        if self.activations != convention.activations:
            found["activations"] = [str(name) for name in convention.activations]
        if returns != "outputs":
            if self.loss is None:
                found["loss"] = convention.loss
            if self.reduction is None:
                found["reduction"] = convention.reduction
            biases_unsaid = convention.decays_biases and not self.decays_biases
            if convention.decay and (self.decay is None or biases_unsaid):
                decay = f"{convention.decay!r}/n" if convention.decay_over_samples else convention.decay
                found["decay"] = f"{decay} with biases" if convention.decays_biases else decay
        return found

    def decays_as(self, convention: Convention) -> bool:
        """Whether a convention's penalty is the declared one."""
        declared = self.decay, self.decay_over_samples and bool(self.decay)
        return self.decay is None or declared == (convention.decay, convention.decay_over_samples)

    @property
    def complete(self) -> bool:
        """Whether network and loss are known, so that numbers which do not follow are wrong."""
        return self.activations is not None and self.loss is not None


def read_off(seen: Evidence, declared: Declared) -> list[Convention] | None:
    """The conventions under which the right algorithm gives every single sample's numbers, the customary ones first.

    None where no single sample shows anything: there is none, or in a format of few digits
    """
    if not _views(seen):
        return None
    return list(islice(_readings(seen, declared, exact=True), READINGS))


def _views(seen: Evidence) -> list[View]:
    depth = len(seen[0][0].layers)
    return views_of([(_neutral(case), o) for case, o in seen if len(case.layers) == depth])


def nearly_read_off(seen: Evidence, declared: Declared) -> list[Convention]:
    """The same up to a constant factor of the last δ, with what the hidden layers show: to look for mistakes under."""
    return list(islice(_readings(seen, declared, exact=False), READINGS))


CUSTOMARY = (
    "half_squared_error", "softmax_cross_entropy_from_logits", "softmax_cross_entropy", "binary_cross_entropy",
)  # fmt: skip


def forward_read_off(seen: Evidence, declared: Declared) -> list[Convention]:
    """What hidden layers show, with each last layer that it may have: to look for mistakes of the last δ under."""
    views = _views(seen)
    if not views:
        return []
    several = seen[0][0].sizes[-1] > 1
    found = []
    for hidden, _ in islice(_hidden(views, 0, declared), KEPT):
        own = (hidden[-1],) if hidden else ()
        names: Sequence[Name] = ("sigmoid", "identity", SOFTMAX.name, *own, "tanh")
        if declared.activations is not None:
            names = (declared.activations[-1],)
        reductions = (declared.reduction,) if declared.reduction else REDUCTIONS[:3]
        losses = (declared.loss,) if declared.loss is not None else dict.fromkeys((*CUSTOMARY, *LOSSES))
        for reduction, loss, name in product(reductions, losses, dict.fromkeys(names)):
            known = loss_named(loss)
            if (
                known is None
                or known.output_activation not in (None, name)
                or (known.targets == DISTRIBUTION and not several)
            ):
                continue
            if name == SOFTMAX.name and known.targets != DISTRIBUTION and declared.loss is None:
                continue
            found.append(Convention((*hidden, name), loss, reduction, bool(declared.negative)))
    return found


def beyond_customary(customary: Sequence[Convention], declared: Declared, several: bool) -> list[Convention]:
    """The other conventions with known activations and losses: what is left to try where nothing can be read off.

    customary: those that were tried, whose signs and ways of updating these have;  several: whether outputs are
    """
    count = len(customary[0].activations)
    every = dict.fromkeys((*ACTIVATIONS, *MORE_ACTIVATIONS, *LEAKS))
    hidden = [name for name in every if name != SOFTMAX.name] if count > 1 else ["identity"]
    networks: Sequence[tuple[Name, ...]] = [
        ((name,) * (count - 1) + (output,))
        for name in hidden
        for output in dict.fromkeys((name, "identity", "sigmoid", SOFTMAX.name, "tanh"))
    ]
    if declared.activations is not None:
        networks = [tuple(declared.activations)]
    losses = [declared.loss] if declared.loss is not None else [n for n in (*LOSSES, *MORE_LOSSES) if n not in UNASKED]
    reductions = (declared.reduction,) if declared.reduction is not None else REDUCTIONS[:3]
    ways = dict.fromkeys((c.negative, c.online) for c in customary)
    found = []
    for names, loss in product(networks, losses):
        known = loss_named(loss)
        fits = known is not None and known.output_activation in (None, names[-1])
        if known is not None and fits and (several or known.targets != DISTRIBUTION):
            found += [
                Convention(names, loss, r, negative, online) for r, (negative, online) in product(reductions, ways)
            ]
    tried = set(customary)
    return [convention for convention in found if convention not in tried]


def _readings(seen: Evidence, declared: Declared, exact: bool) -> Iterator[Convention]:
    views = _views(seen)
    if not views:
        return
    online = (False, True) if seen[0][1].updated_weights is not None else (False,)
    for hidden, known in _hidden(views, 0, declared):
        for names, loss, negative, factor in _outputs(known, declared, exact, hidden[-1:]):
            share, biases = _decay(known)
            decay = -share if negative else share
            if decay < 0:
                continue  # no penalty: it would make weights grow
            for reduction in _reductions(declared, factor):
                for one_by_one, over in product(online, (False, True) if decay else (False,)):
                    yield Convention((*hidden, names), loss, reduction, negative, one_by_one, decay, biases, over)


def _neutral(case: Case) -> Case:
    layers = tuple(replace(layer, activation="identity") for layer in case.layers)
    return replace(case, layers=layers, loss="half_squared_error")


# ------------------------------------------------------------------------------------------ hidden layers


def _hidden(views: Sequence[View], k: int, declared: Declared) -> Iterator[tuple[tuple[Name, ...], list[View]]]:
    """The activations of hidden layers from layer k on, with z and a of each filled in."""
    last = len(views[0].weights) - 1
    views = [view.copy() for view in views]
    for view in views:
        view.scope.values["pre_activations", k] = done(view.scope, "preactivation", k)
    if k == last:
        yield (), views
        return
    found = 0
    for name in _candidates(views, k, declared):
        activation = activation_named(name)
        if activation is None or activation is SOFTMAX:
            continue
        values = [np.asarray(ARRAYS.activate(activation, view.scope.values["pre_activations", k])) for view in views]
        for view, a in zip(views, values, strict=True):
            view.scope.values["activations", k] = a
        if not shows(views, k):
            continue
        for view in views:
            view.scope.layers = {**view.scope.layers, k: replace(view.scope.layers[k], activation=activation)}
        for rest, known in _hidden(views, k + 1, declared):
            yield (name, *rest), known
        found += 1
        if found == KEPT:
            return


def _candidates(views: Sequence[View], k: int, declared: Declared) -> Iterator[Name]:
    """Names to try at a layer: what was declared, or all that are known; then families, their constant solved for."""
    own = None if declared.activations is None else declared.activations[k]
    if own is not None:
        yield own
        if own not in OPEN or not declared.bare:
            return
    else:
        yield from (*ACTIVATIONS, *MORE_ACTIVATIONS)
    z = np.concatenate([view.scope.values["pre_activations", k].ravel() for view in views])
    a = [shown_activations(view, k) for view in views]
    if any(part is None for part in a):
        return
    values = np.concatenate([part.ravel() for part in a if part is not None])
    near = views[0].near * SHORT
    for family, solve in FAMILIES.items():
        if own is None or own == family:
            with np.errstate(all="ignore"):
                constants = solve(z, values)
            if constants and all(np.isfinite(c) and c != 0 for c in constants):
                yield f"{family}({', '.join(repr(snapped(c, near)) for c in constants)})"


def _leaky(z: Array, a: Array) -> tuple[float, ...]:
    below = z < 0
    return (ratio(a[below], z[below]),)


def _elu(z: Array, a: Array) -> tuple[float, ...]:
    below = z < 0
    return (ratio(a[below], np.expm1(z[below])),)


def _steepness(z: Array, share: Array) -> float:
    """β of σ(βz), from its values: of those away from the ends, where they tell it best."""
    inside = (share > 0.02) & (share < 0.98) & (np.abs(z) > 0.1)
    if not inside.any():
        return 0.0
    return float(np.median(np.log(share[inside] / (1 - share[inside])) / z[inside]))


def _scaled_tanh(z: Array, a: Array) -> tuple[float, ...]:
    """A and b of A·tanh(bz), by bisection on the ratio of two values."""
    order = np.argsort(np.abs(z))
    small, large = order[len(order) // 4], order[-1]
    wanted = a[large] / a[small]
    ends = [1e-6, 64.0]
    if not np.isfinite(wanted) or z[small] == z[large]:
        return ()

    def off(b: float) -> float:
        return float(abs(np.tanh(b * z[large]) / np.tanh(b * z[small])) - abs(wanted))

    for _ in range(200):
        middle = (ends[0] + ends[1]) / 2
        ends[0 if off(middle) > 0 else 1] = middle
    b = (ends[0] + ends[1]) / 2
    return float(ratio(a, np.tanh(b * z))), b


# By name, how the constants follow from pairs of z and a.
FAMILIES: Mapping[str, Callable[[Array, Array], tuple[float, ...]]] = {
    "leaky_relu": _leaky,
    "elu": _elu,
    "sigmoid": lambda z, a: (_steepness(z, a),),
    "silu": lambda z, a: (_steepness(z, a / z),),
    "scaled_tanh": _scaled_tanh,
}

# ------------------------------------------------------------------------------------------ the last layer


def _outputs(
    views: Sequence[View], declared: Declared, exact: bool, own: Sequence[Name]
) -> Iterator[tuple[Name, str, bool, Mapping[int, float]]]:
    """Activation and loss of the last layer that give its δ up to a factor, the sign, and the factor by outputs."""
    last = len(views[0].weights) - 1
    alive = [view for view in views if view.scope.values["activations", last - 1].any()]
    seen = [_last_delta(view, last) for view in alive]
    if not alive or any(delta is None for delta in seen):
        return
    views, deltas = alive, [delta for delta in seen if delta is not None]
    for name, loss in _pairs(last, declared, deltas, own):
        expected = [_expected(view, last, name, loss) for view in views]
        factors = _factors(views, deltas, expected)
        if factors is None:
            continue
        signs = {factor < 0 for factor in factors.values()}
        sizes = {n: abs(factor) for n, factor in factors.items()}
        if len(signs) > 1 or (exact and not (_all(sizes, lambda n: 1.0) or _all(sizes, lambda n: 1.0 / n))):
            continue
        negative = signs.pop()
        if declared.negative is None or declared.negative == negative or not exact:
            yield name, loss, negative if declared.negative is None else declared.negative, sizes


def _all(sizes: Mapping[int, float], wanted: Callable[[int], float]) -> bool:
    return all(abs(size - wanted(n)) <= 2.0**-8 * wanted(n) for n, size in sizes.items())


def _last_delta(view: View, last: int) -> Array | None:
    received, gradient = view.scope.values["activations", last - 1], view.weights[last]
    if gradient is None:
        return None
    found = left_factor(gradient, received, view.near, np.asarray(view.scope.layers[last].weights))
    return None if found is None else found[0]


def _pairs(
    last: int, declared: Declared, deltas: Sequence[Array], hidden: Sequence[Name]
) -> Iterator[tuple[Name, str]]:
    """Activations and losses to try together. hidden: the activation below, whose constants may be those here, too"""
    own = None if declared.activations is None else declared.activations[last]
    every = dict.fromkeys(("sigmoid", "identity", SOFTMAX.name, *hidden, *ACTIVATIONS, *MORE_ACTIVATIONS))
    names: Sequence[Name] = [own] if own is not None else list(every)
    losses = [declared.loss] if declared.loss is not None else [*LOSSES, *(n for n in MORE_LOSSES if n not in UNASKED)]
    if declared.loss is None:
        limit = max(float(np.abs(delta).max()) for delta in deltas)
        losses.append(f"huber({snapped(limit, 2.0**-36)!r})")
    one = all(delta.shape[1] == 1 for delta in deltas)
    for name, loss in product(names, losses):
        known = loss_named(loss)
        if known is None or known.output_activation not in (None, name) or (known.targets == DISTRIBUTION and one):
            continue
        yield name, loss


def _expected(view: View, last: int, name: Name, loss: str) -> Array | None:
    """δ of the last layer under an activation and a loss, of one sample, summed."""
    scope, activation, known = view.scope, activation_named(name), loss_named(loss)
    z: Matrix = scope.values["pre_activations", last]
    if known is None:
        return None
    with np.errstate(all="ignore"):
        if name == SOFTMAX.name:
            outputs = ARRAYS.softmax(z)
            error = RULES.output_error(Objective(known), outputs, scope.targets, ARRAYS)
            return np.asarray(softmax_delta(error, outputs, ARRAYS))
        if activation is None:
            return None
        outputs = ARRAYS.activate(activation, z)
        error = RULES.output_error(Objective(known), outputs, scope.targets, ARRAYS)
        slope = activation.derivative
        return np.asarray(ARRAYS.elementwise(lambda e, z, a, fn: e * slope(z, a, fn), error, z, outputs))


def _factors(views: Sequence[View], seen: Sequence[Array], expected: Sequence[Array | None]) -> dict[int, float] | None:
    """By the number of outputs, the factor between what was seen and expected; None where there is no such factor."""
    factors: dict[int, float] = {}
    for units in {delta.shape[1] for delta in seen}:
        own = [(s, e, v) for s, e, v in zip(seen, expected, views, strict=True) if s.shape[1] == units]
        if any(e is None or e.shape != s.shape or not np.isfinite(e).all() for s, e, _ in own):
            return None
        pairs = [(s, e, v) for s, e, v in own if e is not None]
        factor = ratio(
            np.concatenate([s.ravel() for s, _, _ in pairs]), np.concatenate([e.ravel() for _, e, _ in pairs])
        )
        if not np.isfinite(factor) or factor == 0 or not all(alike(s, factor * e, v.near) for s, e, v in pairs):
            return None
        factors[units] = factor
    return factors


def _reductions(declared: Declared, factor: Mapping[int, float]) -> Sequence[str]:
    """How the factor may come; of one sample, sum and mean are the same."""
    if declared.reduction is not None:
        return (declared.reduction,)
    return REDUCTIONS[2:] if _all(factor, lambda n: 1.0 / n) and set(factor) != {1} else REDUCTIONS[:2]


def _decay(views: Sequence[View]) -> tuple[float, bool]:
    """The share of the weights in all layers' gradients, and whether biases have it too; 0 where there is none."""
    found: list[float] = []
    of_biases: list[bool] = []
    for view in views:
        for k, gradient in enumerate(view.weights):
            layer, received = view.scope.layers[k], view.scope.values["activations", k - 1]
            if gradient is None or received.shape[1] < 2:
                continue
            factor = left_factor(gradient, received, view.near, np.asarray(layer.weights))
            if factor is None:
                continue
            delta, share = factor
            found.append(share)
            bias = view.biases[k]
            if share and bias is not None and layer.biases is not None:
                of_biases.append(not alike(bias, delta, view.near))
    if not found or not np.median(found):
        return 0.0, False
    return snapped(float(np.median(found)), views[0].near), bool(of_biases) and all(of_biases)


@cache
def tried(loss: bool) -> str:
    """What was looked for, in words."""
    names = [*ACTIVATIONS, *MORE_ACTIVATIONS, SOFTMAX.name]
    said = f"activations {', '.join(names)} (leaky ReLU, ELU, SiLU, sigmoid and tanh with any constants)"
    return said + (
        f"; losses {', '.join([*LOSSES, *(n for n in MORE_LOSSES if n not in UNASKED)]).replace('_', ' ')}"
        if loss
        else ""
    )
