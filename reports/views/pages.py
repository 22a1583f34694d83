"""The results document as one HTML page that needs nothing else: no network, no script (a little helps)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from statistics import median
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from tabulate import tabulate

from ...reference.numbers import gross
from ..documents import ComparisonResult, Results, RunResult, made_safe
from .figures import Point, error_against_bound, networks
from .tables import MATRIX_HEADERS, POWER_HEADERS, failures, matrix_rows, power_rows, provenance, summary, unanswered

POINTS = 160  # of a plot, at most; the rest is told by the nearest
SHOWN_FAILURES = 100  # in full; the rest is counted
DEEPEST = 7  # layers below the output that are shown


def html(results: Results) -> str:
    """One self-contained page."""
    results = made_safe(results)
    failed = failures(results)
    return page(
        "report.html.jinja",
        script="report.js",
        results=results,
        summary=summary(results),
        matrix=table(matrix_rows(results), [header.replace("\n", " ") for header in MATRIX_HEADERS]),
        power=table(power_rows(results), POWER_HEADERS),
        plots=[(title, drawn(svg)) for title, svg in _plots(results)],
        heat=_heat(results),
        failures=failed[:SHOWN_FAILURES],
        more_failures=max(0, len(failed) - SHOWN_FAILURES),
        unanswered=unanswered(results),
        provenance=provenance(results),
        findings=_findings(),
        networks=[(title, drawn(forward), drawn(backward)) for title, forward, backward in networks()],
    )


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
    """One per adapter and dtype: a point for each step, thinned out where there are too many."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for run in results.runs:
        points = groups.setdefault((run.adapter, run.dtype), [])
        points += [_point(run, c) for c in run.comparisons if c.largest_error is not None and c.digits is not None]
    made = []
    for k, ((adapter, dtype), points) in enumerate(groups.items()):
        if points:
            title = f"{adapter}, {dtype}"
            made.append((title, error_against_bound(_thinned(points), f"Error against bound: {title}", f"point{k}")))
    return made


def _point(run: RunResult, c: ComparisonResult) -> Point:
    bound, error = 10 ** -(c.digits or 0.0), c.largest_error or 0.0
    where = c.quantity.replace("_", " ") + ("" if c.layer is None else f" of layer {c.layer + 1}")
    ratio = "" if c.largest_ratio is None else f", {c.largest_ratio:.2g} × its own bound"
    return Point(bound, error, f"{run.case}: {where}, error {error:.2g}{ratio}", c.verdict)


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
