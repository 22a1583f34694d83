"""The results document as one HTML page that needs nothing else: no network, no script (a little helps)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from statistics import median
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from tabulate import tabulate

from ...reference.numbers import gross
from ..documents import ORDER, ComparisonResult, Results, RunResult, made_safe
from .figures import Point, error_against_bound, networks
from .tables import (
    MATRIX_HEADERS,
    POWER_HEADERS,
    Failure,
    alike,
    failures,
    matrix_rows,
    power_rows,
    provenance,
    ratio,
    summary,
)

POINTS = 480  # of a plot, at most; the rest is told by the nearest
SHOWN_FAILURES = 100  # with their numbers; the rest is counted
SHOWN_RUNS = 2000  # in the list of runs
COLUMNS = ("adapter", "dtype", "verdict")  # come first, and are seen on a phone; the others follow
RUN_HEADERS = ("case", "adapter", "dtype", "verdict", "largest error / tolerance")
DEEPEST = 7  # layers below the output that are shown


def html(results: Results) -> str:
    """One self-contained page."""
    results = made_safe(results)
    rows, headers = _matrix(results)
    return page(
        "report.html.jinja",
        script="report.js",
        results=results,
        summary=summary(results),
        facts=_facts(results),
        matrix=table(rows, headers),
        runs=table(_runs(results), RUN_HEADERS),
        more_runs=max(0, len(results.runs) - SHOWN_RUNS),
        power=table(power_rows(results), POWER_HEADERS),
        plots=[(title, drawn(svg)) for title, svg in _plots(results)],
        heat=_heat(results),
        bugs=bugs(failures(results)),
        unanswered=_unanswered(results),
        provenance=provenance(results),
        findings=_findings(),
        networks=[(title, drawn(forward), drawn(backward)) for title, forward, backward in networks()],
    )


@dataclass(frozen=True)
class Bug:
    """What is wrong in one way, told once.

    Attributes:
        headline: what it is, or where it shows, in a sentence
        first: the run that is told in full
        others: what else shows it, as many as a page can bear
        more: how many beside these
    """

    verdict: str
    adapter: str
    headline: str
    runs: str
    first: Failure
    others: tuple[Failure, ...]
    more: int


def bugs(failed: Sequence[Failure]) -> list[Bug]:
    """Failures of one adapter with one explanation together, what most runs show first, wrong before suspect."""
    groups: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in failed:
        groups.setdefault((failure.verdict, failure.key[2], _told(failure)), []).append(failure)
    found = []
    left = SHOWN_FAILURES
    for (verdict, adapter, told), of in sorted(
        groups.items(), key=lambda group: (group[0][0] != "wrong", -len(group[1]))
    ):
        dtypes = Counter(failure.key[1] for failure in of)
        runs = ", ".join(f"{n} in {dtype}" for dtype, n in dtypes.items())
        shown = of[1 : max(1, min(len(of), left))]
        left -= 1 + len(shown)
        found.append(Bug(verdict, adapter, told.rstrip("."), runs, of[0], tuple(shown), len(of) - 1 - len(shown)))
    return found


def _told(failure: Failure) -> str:
    """The explanation's first sentence, its constants to three digits; where there is none, the first wrong step."""
    if failure.diagnosis:
        return re.sub(r"\d+\.\d+(e[-+]?\d+)?", lambda number: f"{float(number[0]):.3g}", failure.diagnosis[0])
    return failure.comparisons[0][0].partition(" · first ")[0] if failure.comparisons else failure.title


def _unanswered(results: Results) -> list[tuple[str, str]]:
    """What each adapter gave no usable answer with, once: who, on what, and why in the first one's words."""
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for run in results.runs:
        if run.verdict == "unanswered":
            groups.setdefault((run.adapter, alike(run.message or "")), []).append(run)
    return [
        (f"{adapter}: {_counted(runs)}, {runs[0].case} the first", runs[0].message or "")
        for (adapter, _), runs in groups.items()
    ]


def _counted(runs: Sequence[RunResult]) -> str:
    return ", ".join(f"{n} runs in {dtype}" for dtype, n in Counter(run.dtype for run in runs).items())


def _facts(results: Results) -> list[str]:
    """What a reader wants to know at once beside the verdict."""
    verdicts = Counter(run.verdict for run in results.runs)
    counted = [f"{verdicts[name]:,} {name}" for name in ORDER[::-1] if verdicts[name]]
    frameworks = dict.fromkeys((run.adapter, run.version) for run in results.runs)
    versions = [" ".join(filter(None, pair)) for pair in frameworks]
    return [", ".join(counted), ", ".join(versions[:6]) + (" …" if len(versions) > 6 else "")]


def _matrix(results: Results) -> tuple[list[list[str]], list[str]]:
    """The matrix, what does not agree first, and its headers; the columns that matter before the others."""
    headers = [header.replace("\n", " ") for header in MATRIX_HEADERS]
    order = [headers.index(name) for name in COLUMNS] + [k for k, name in enumerate(headers) if name not in COLUMNS]
    rows = sorted(matrix_rows(results), key=lambda row: -ORDER.index(row[headers.index("verdict")]))
    return [[row[k] for k in order] for row in rows], [headers[k] for k in order]


def _runs(results: Results) -> list[list[str]]:
    """Every run in a line, what does not agree first."""
    runs = sorted(results.runs, key=lambda run: -ORDER.index(run.verdict))[:SHOWN_RUNS]
    largest = [
        max((c.largest_ratio for c in run.comparisons if c.largest_ratio is not None), default=None) for run in runs
    ]
    return [[run.case, run.adapter, run.dtype, run.verdict, ratio(x)] for run, x in zip(runs, largest, strict=True)]


def page(template: str, script: str | None = None, **parts: Any) -> str:
    """A template with its parts, all text escaped, the style that all pages share, and the one script that may run.

    script: the name of its file
    """
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    style, code = Markup(_ours("style.css")), Markup(_ours(script) if script else "")  # noqa: S704 — our own files
    return environment.from_string(_ours(template)).render(style=style, script=code, policy=_policy(code), **parts)


def _ours(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """The Content-Security-Policy: nothing is loaded, no script runs but this one, should escaping ever have a hole."""
    rules = [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        rules.append(f"script-src 'sha256-{digest}'")
    return "; ".join(rules)


def table(rows: list[list[str]], headers: Iterable[str]) -> Markup:
    """tabulate's own HTML, which escapes what is in the cells."""
    return Markup(tabulate(rows, list(headers), "html", disable_numparse=True))  # noqa: S704 — escaped by tabulate


def drawn(svg: str) -> Markup:
    """A figure as part of a page."""
    return Markup(svg)  # noqa: S704 — figures.py escapes what it is given


def _plots(results: Results) -> list[tuple[str, str]]:
    """One per format that is computed in: a point for each step, thinned out where there are too many."""
    groups: dict[str, list[Point]] = {}
    for run in results.runs:
        points = groups.setdefault(f"computed in {run.precision or run.dtype}", [])
        points += [_point(run, c) for c in run.comparisons if c.largest_error is not None and c.digits is not None]
    return [
        (title, error_against_bound(_thinned(points), f"Error against bound, {title}", f"plot{k}"))
        for k, (title, points) in enumerate(groups.items())
        if points
    ]


def _point(run: RunResult, c: ComparisonResult) -> Point:
    bound, error = 10 ** -(c.digits or 0.0), c.largest_error or 0.0
    where = c.quantity.replace("_", " ") + ("" if c.layer is None else f" of layer {c.layer + 1}")
    by = "" if c.largest_ratio is None else f", {c.largest_ratio:.2g} × its own bound"
    return Point(
        bound, error, f"{run.adapter}, {run.case} {run.dtype}: {where}, error {error:.2g}{by}", c.verdict, run.adapter
    )


def _thinned(points: list[Point]) -> list[Point]:
    """What is not fine, and of what is as many as a page can bear."""
    bad = [p for p in points if p.verdict in ("wrong", "suspect")][:POINTS]
    good = [p for p in points if p.verdict not in ("wrong", "suspect")]
    step = max(1, len(good) // max(1, POINTS - len(bad)))
    return bad + good[::step]


def _heat(results: Results) -> Markup:
    """Per adapter and dtype, and per layer: the decimal digits to which weight gradients agree, in the median."""
    depths = {(case.name, case.dtype): len(case.sizes) - 1 for case in results.cases}
    digits: dict[tuple[str, str], dict[int, list[float]]] = {}
    deepest = 0
    for run in results.runs:
        depth = depths.get((run.case, run.dtype), 1)
        for c in run.comparisons:
            if c.quantity == "weight_gradients" and c.layer is not None and c.largest_error is not None:
                above = depth - 1 - c.layer  # counted from the output, which every network has
                deepest = max(deepest, above)
                of = digits.setdefault((run.adapter, run.dtype), {}).setdefault(above, [])
                of.append(_digits(c.largest_error))
    columns = list(range(min(deepest, DEEPEST), -1, -1))
    headers = ["adapter, dtype", *("output layer" if above == 0 else f"{above} below" for above in columns)]
    rows = [
        [escape(f"{adapter}, {dtype}"), *(_cell(layers.get(above)) for above in columns)]
        for (adapter, dtype), layers in digits.items()
    ]
    return Markup(tabulate(rows, headers, "unsafehtml", disable_numparse=True))  # noqa: S704 — names are escaped above


def _cell(digits: list[float] | None) -> str:
    if not digits:
        return "–"
    middle = median(digits)
    return f'<span class="shade s{min(9, int(middle / 17 * 10))}">{middle:.1f}</span>'


def _digits(error: float) -> float:
    from math import log10

    return 17.0 if error <= 1e-17 else max(0.0, -log10(error))


def _findings() -> list[str]:
    """Functions of frameworks that the atlas found grossly inaccurate."""
    return [f"{m.adapter} {m.version}: {m.function} in {m.precision}: {m.ulps:.3g} ulps off at {m.at}" for m in gross()]
