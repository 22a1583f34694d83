"""The chapter's claims about learning: rates, sizes, update rules, starts, data; and how long three paths stay together."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice, pairwise
from random import Random
from typing import Any

import numpy as np

from ...reference.backprop import forward
from ...reference.case import Case, Dense, run, with_ones
from ...reference.cases import XOR_INPUTS, XOR_TARGETS
from ...reference.numbers import PLAIN, PROFILES, TRUTH, WORST, BoundedArithmetic
from ...reference.training import train
from ...reference.update_rules import UPDATE_RULES
from ...reference.worked_example import SIGNS_RESTORED, worked_example
from .entry import HOLDS, LIMIT, LUCKY, TOO_STRONG, Curve, Entry, Frameworks, outputs, right, updates_until, xor_case


def rates(frameworks: Frameworks) -> Entry:
    """One linear unit, E = ½ Σ (w x − t)²: a quadratic whose curvature is λ = Σ x²; its edge is 2 / λ."""
    x, t = ((1.0,), (2.0,), (-1.0,)), ((1.0,), (2.5,), (-0.5,))
    curvature = sum(row[0] ** 2 for row in x)
    case = Case("quadratic", (Dense(((0.0,),), None, "identity"),), x, t)
    rows: list[tuple[str, ...]] = [("rate · λ", *(f"updates until done, {name}" for name in frameworks.names))]
    best, edge = None, True
    curves: list[Curve] = []
    for share in (0.1, 0.25, 0.5, 1.0, 1.5, 1.9, 1.99, 2.01):
        trajectories = frameworks.train(replace(case, learning_rate=share / curvature), "delta rule", 1500)
        lowest = min(
            min(tr.losses) for tr in frameworks.train(replace(case, learning_rate=1 / curvature), "delta rule", 3)
        )
        counts = [updates_until([loss - lowest for loss in tr.losses], 1e-10) for tr in trajectories]
        edge &= (counts[0] is not None) == (share < 2)
        if counts[0] is not None and (best is None or counts[0] < best[1]):
            best = share, counts[0]
        rows.append((f"{share:g}", *("never: it grows" if c is None else str(c) for c in counts)))
        curves.append(
            (
                f"rate · λ = {share:g}",
                list(range(40)),
                [max(loss - lowest, 1e-16) for loss in trajectories[0].losses[:40]],
            )
        )
    assert best is not None
    return Entry(
        9,
        "A higher learning rate learns faster",
        LIMIT if edge else TOO_STRONG,
        f"up to rate · λ = {best[0]:g}; then slower again, and beyond the edge at 2 / λ = {2 / curvature:.4g} it diverges",
        tuple(rows),
        tuple(curves),
        ("update", "E − least E"),
    )


def spirals(seed: int, count: int) -> tuple[Any, Any]:
    rng = Random(f"spirals {seed}")
    points, classes = [], []
    for k in range(count):
        turn, side = rng.uniform(0.3, 1.0), k % 2
        angle = 5.0 * turn + np.pi * side
        points.append(
            (turn * float(np.cos(angle)) + rng.gauss(0, 0.03), turn * float(np.sin(angle)) + rng.gauss(0, 0.03))
        )
        classes.append((float(side),))
    return tuple(points), tuple(classes)


def size(frameworks: Frameworks) -> Entry:
    adapter = next((a for a in frameworks.adapters if a.name == "torch"), frameworks.adapters[0])
    (x, t), (held_x, held_t) = spirals(1, 60), spirals(2, 60)
    rows: list[tuple[str, ...]] = [("network", "seconds", "training accuracy", "held-out accuracy")]
    seen = []
    for widths in ((2, 1), (2, 2, 1), (2, 8, 1), (2, 32, 1), (2, 8, 8, 1), (2, 16, 16, 1)):
        rng = Random(f"size {widths}")
        layers = tuple(
            Dense(
                tuple(tuple(rng.uniform(-1, 1) * (3 / a) ** 0.5 for _ in range(a)) for _ in range(b)),
                (0.0,) * b,
                "tanh" if k < len(widths) - 2 else "sigmoid",
            )
            for k, (a, b) in enumerate(pairwise(widths))
        )
        case = Case("spirals", layers, x, t, loss="binary_cross_entropy", reduction="mean", learning_rate=0.02)
        started = time.perf_counter()
        assert adapter.train is not None
        trained = adapter.train(case, "adam", 600)
        seconds = time.perf_counter() - started
        of = (
            right(case, trained.layers) / len(x),
            right(replace(case, inputs=held_x, targets=held_t), trained.layers) / len(held_x),
        )
        seen.append((widths, seconds, of[1]))
        rows.append(("-".join(map(str, widths)), f"{seconds:.2f}", *(f"{100 * a:.0f} %" for a in of)))
    better = seen[-1][2] > seen[0][2]
    return Entry(
        10,
        "More layers and units: more time, usually higher accuracy",
        LIMIT if better else TOO_STRONG,
        f"on two spirals ({adapter.name}, 600 updates of Adam) accuracy rises with size until the problem is solved; after that more units cost time, and a layer more need not help",
        tuple(rows),
    )


def faster_rules(frameworks: Frameworks) -> Entry:
    """A quadratic of condition 100 for what is proved, XOR for what is seen."""
    scale = 10.0
    valley = Case(
        "valley",
        (Dense(((1.0, 1.0),), None, "identity"),),
        ((scale, 0.0), (0.0, 1.0)),
        ((0.0,), (0.0,)),
        learning_rate=1 / scale**2,
    )
    rows: list[tuple[str, ...]] = [("rule", "valley of condition 100", *(f"XOR, {name}" for name in frameworks.names))]
    counts = {}
    curves: list[Curve] = []
    for name in UPDATE_RULES:
        of_valley = None
        if name in ("delta rule", "momentum", "nesterov"):
            losses = [e.loss[0][0] for e in islice(train(valley, name), 1500)]
            of_valley = updates_until(losses, 1e-8)
        xor = frameworks.train(xor_case(LUCKY), name, 3000)
        until = [updates_until(tr.losses, 0.01) for tr in xor]
        counts[name] = of_valley, until[0]
        rows.append((name, str(of_valley or "–"), *(str(u or "not in 3000") for u in until)))
        curves.append((name, list(range(400)), list(xor[0].losses[:400])))
    valleys = {n: c for n, (c, _) in counts.items() if c is not None}
    fine = valleys["momentum"] < valleys["delta rule"] and valleys["nesterov"] < valleys["delta rule"]
    return Entry(
        11,
        "Some update rules are provably faster than the delta rule",
        HOLDS if fine else TOO_STRONG,
        f"on the quadratic {valleys['delta rule']} updates become {valleys['momentum']} (momentum) and {valleys['nesterov']} (Nesterov); what XOR takes, at a customary rate for each, is in the table",
        tuple(rows),
        tuple(curves),
    )


def starts(frameworks: Frameworks) -> Entry:
    finals = {}
    for seed in range(20):
        (trained, *_) = frameworks.train(replace(xor_case(seed), learning_rate=2.0), "delta rule", 2500)[:1]
        finals[seed] = trained
    lucky = [s for s, tr in finals.items() if tr.losses[-1] < 0.02]
    unlucky = [s for s in finals if s not in lucky]
    chosen = [*lucky[:1], *unlucky[:1]]
    rows: list[tuple[str, ...]] = [("start", *(f"loss after 2500, {name}" for name in frameworks.names))]
    for seed in chosen:
        each = frameworks.train(replace(xor_case(seed), learning_rate=2.0), "delta rule", 2500)
        rows.append((f"seed {seed}", *(f"{tr.losses[-1]:.6f}" for tr in each)))
    solved = finals[lucky[0]]
    solution = replace(
        xor_case(lucky[0]),
        layers=solved.layers,
        targets=tuple((o,) for o in outputs(xor_case(lucky[0]), solved.layers)),
        learning_rate=2.0,
    )
    after = run(solution, PLAIN)
    still = max(abs(g) for layer in after.backward.weight_gradients for row in layer for g in row)
    rows.append(("at the solution", *(f"largest gradient {still:g}" for _ in frameworks.names)))
    curves = tuple(
        (f"seed {s}, {'lucky' if s in lucky else 'unlucky'}", list(range(0, 2500, 10)), list(finals[s].losses[::10]))
        for s in [*lucky[:3], *unlucky[:3]]
    )
    return Entry(
        12,
        "Random initialisation decides; a start at the solution needs no step",
        HOLDS if lucky and unlucky and still == 0 else LIMIT,
        f"of 20 starts of 2-2-1, {len(lucky)} reach a loss below 0.02 in 2500 updates, {len(unlucky)} do not",
        tuple(rows),
        curves,
    )


def uncorrelated(frameworks: Frameworks) -> Entry:
    rng = Random("uncorrelated")

    def data(count: int) -> tuple[Any, Any]:
        return (
            tuple(tuple(rng.uniform(-1, 1) for _ in range(4)) for _ in range(count)),
            tuple((float(rng.randrange(2)),) for _ in range(count)),
        )

    (x, t), (held_x, held_t) = data(24), data(400)
    layers = (
        Dense(tuple(tuple(rng.uniform(-1, 1) for _ in range(4)) for _ in range(8)), (0.0,) * 8, "tanh"),
        Dense((tuple(rng.uniform(-1, 1) for _ in range(8)),), (0.0,), "sigmoid"),
    )
    case = Case("noise", layers, x, t, loss="binary_cross_entropy", reduction="mean", learning_rate=0.05)
    rows: list[tuple[str, ...]] = [
        ("implementation", "training loss, first and last", "training accuracy", "held-out accuracy")
    ]
    fine = True
    curves: list[Curve] = []
    for adapter, trained in zip(frameworks.adapters, frameworks.train(case, "adam", 600), strict=True):
        of = (
            right(case, trained.layers) / len(x),
            right(replace(case, inputs=held_x, targets=held_t), trained.layers) / len(held_x),
        )
        # Of coins that are fair, the share of heads leaves ½ ± 4σ once in 16,000 times.
        fine &= trained.losses[-1] < trained.losses[0] / 2 and abs(of[1] - 0.5) < 4 * (0.25 / len(held_x)) ** 0.5
        rows.append(
            (adapter.name, f"{trained.losses[0]:.3f} → {trained.losses[-1]:.3f}", *(f"{100 * a:.0f} %" for a in of))
        )
        curves.append((adapter.name, list(range(0, 600, 5)), list(trained.losses[::5])))
    return Entry(
        13,
        "Uncorrelated inputs and outputs cannot be learned",
        HOLDS if fine else TOO_STRONG,
        "the training loss falls, for 24 samples can be memorised; on 400 held-out ones accuracy stays at chance",
        tuple(rows),
        tuple(curves),
    )


def after_learning(frameworks: Frameworks) -> Entry:
    case = replace(worked_example(SIGNS_RESTORED), inputs=with_ones(XOR_INPUTS), targets=XOR_TARGETS, learning_rate=2.0)
    rows: list[tuple[str, ...]] = [("implementation", "before", "after 4,000 updates")]
    before = " ".join(f"{o:.3f}" for o in outputs(case, case.layers))
    fine = True
    for adapter, trained in zip(frameworks.adapters, frameworks.train(case, "delta rule", 4000), strict=True):
        got = outputs(case, trained.layers)
        fine &= all(o > 0.98 if t[0] else o < 0.02 for o, t in zip(got, case.targets, strict=True))
        rows.append((adapter.name, before, " ".join(f"{o:.4f}" for o in got)))
    epochs = list(islice(train(case, "delta rule"), 4000))[::40]
    seen = [[row[0] for row in forward(e.layers, PLAIN.lift(case.inputs), PLAIN).outputs] for e in epochs]
    curves: list[Curve] = [
        (f"output for ({x[0]:g}, {x[1]:g}) → {t[0]:g}", [e.number for e in epochs], [outs[k] for outs in seen])
        for k, (x, t) in enumerate(zip(XOR_INPUTS, XOR_TARGETS, strict=True))
    ]
    return Entry(
        14,
        "After learning, XOR's outputs are past 0.98 and below 0.02",
        HOLDS if fine else LIMIT,
        "the worked example's own net, trained on from its printed weights, "
        + ("gets there" if fine else "does not get there in so many updates"),
        tuple(rows),
        tuple(curves),
        ("update", "output"),
    )


def together(frameworks: Frameworks) -> Entry:
    """Training in numbers with bounds: for how long do the bounds know more than nothing?"""
    case = replace(xor_case(15), learning_rate=0.5)
    updates = 400
    trajectories = frameworks.train(case, "delta rule", updates)
    inside, lost = True, None
    widths: list[float] = []
    for k, epoch in enumerate(islice(train(case, "delta rule", BoundedArithmetic(PROFILES["float64"])), updates)):
        value = float(epoch.loss.value[0, 0])
        bound = float(epoch.loss.errors[WORST].max() + epoch.loss.errors[TRUTH].max())
        widths.append(bound / value)
        if not bound < value:
            lost = k
            break
        inside &= all(abs(tr.losses[k] - value) <= bound for tr in trajectories)
    apart = [
        max(tr.losses[k] for tr in trajectories) - min(tr.losses[k] for tr in trajectories) for k in range(updates)
    ]
    known = len(widths) if lost is None else lost
    rows = (
        ("update", "bound / loss", "largest difference between implementations"),
        *((str(k), f"{widths[k]:.1e}", f"{apart[k]:.1e}") for k in (0, known // 4, known // 2, max(0, known - 1))),
    )
    curves = (
        ("bound / loss", list(range(known)), [max(w, 1e-17) for w in widths[:known]]),
        ("difference between implementations", list(range(updates)), [max(a, 1e-17) for a in apart]),
    )
    end = (
        f"the bounds lose their power at update {lost}"
        if lost is not None
        else f"the bounds still have power after {updates} updates"
    )
    return Entry(
        15,
        "Plain Python, PyTorch and JAX take the same path",
        LIMIT if inside else TOO_STRONG,
        f"each loss is inside its bound for {known} updates; {end}, though the paths are then still {max(apart[:known]):.0e} apart at most",
        rows,
        curves,
        ("update", "relative"),
    )


CHECKS = (rates, size, faster_rules, starts, uncorrelated, after_learning, together)
