"""The results document: one JSON file, described by `schema.json`, that every report is a view of."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ...adapters.protocol import printable
from ...reference.case import Case
from ...reference.judging import Comparison, Element, Judgement
from ..console import json_text
from . import processor, provenance

SCHEMA = "backproof-results/2"
SCHEMA_FILE = Path(__file__).parents[1] / "schema.json"


class ElementResult(msgspec.Struct, frozen=True):
    """A number outside its bound. Numbers are decimals in strings, so that NaN and infinities can be said."""

    index: Annotated[list[int], Meta(description="in its array, from 0: [sample, unit], [unit, input] or [unit]")]
    expected: str
    got: str
    tolerance: str
    ratio: Annotated[float | None, Meta(description="error / tolerance; null where the number is not finite")]


class AggregateResult(msgspec.Struct, frozen=True):
    """A projection of an array's errors that independent roundings do not give."""

    direction: Annotated[str, Meta(description="itself: the array, which shows a scale error; or random signs")]
    ratio: Annotated[float | None, Meta(description="projection / what is allowed; null where it is not finite")]


class ComparisonResult(msgspec.Struct, frozen=True):
    """One array that was compared."""

    quantity: str
    layer: Annotated[int | None, Meta(description="from 0, first hidden layer first; null for the loss")]
    verdict: Annotated[str, Meta(description="agrees, undecided, suspect or wrong")]
    elements: int
    undecided: Annotated[int, Meta(description="elements whose bound is too wide to refuse anything")]
    undecided_because: Annotated[
        list[str],
        Meta(description="overflow: it may happen here; kink: the exact result is a set; bound: it is too wide"),
    ]
    wrong: Annotated[int, Meta(description="elements outside the worst-case bound")]
    suspect: Annotated[int, Meta(description="elements inside it, but outside the statistical bound")]
    largest_ulps: Annotated[
        float | None,
        Meta(description="largest error against the certified truth, in ulps of the array's largest element"),
    ]
    largest_ratio: Annotated[
        float | None,
        Meta(description="largest error / tolerance of the step; null if none was decided, or it is not finite"),
    ]
    largest_error: Annotated[
        float | None, Meta(description="largest error of the step, in units of the array's largest element")
    ]
    digits: Annotated[
        float | None, Meta(description="the check's power: decimal digits seen at its weakest decided element")
    ]
    scale_error: Annotated[
        float | None, Meta(description="the check's power: smallest relative error of the whole array that is seen")
    ]
    worst: list[ElementResult]
    aggregates: list[AggregateResult]


class RunResult(msgspec.Struct, frozen=True):
    """One adapter on one case."""

    case: str
    dtype: Annotated[str, Meta(description="of the case's numbers")]
    adapter: str
    version: str | None
    device: str | None
    precision: Annotated[str | None, Meta(description="the format that the adapter computes in, and is judged by")]
    verdict: Annotated[str, Meta(description="agrees, undecided, suspect, wrong, or unanswered")]
    explained_by: Annotated[
        str | None,
        Meta(description="the finest profile, from that one on, under which nothing is wrong; null if there is none"),
    ]
    message: Annotated[str | None, Meta(description="why there is no usable answer")]
    diagnosis: Annotated[list[str], Meta(description="of a wrong run: what explains it, in sentences")]
    comparisons: list[ComparisonResult]
    seconds: Annotated[
        float | None, Meta(description="how long it took to answer, and to be judged; null in documents before 0.2")
    ] = None


class CaseResult(msgspec.Struct, frozen=True):
    """A case in short."""

    name: str
    dtype: str
    sizes: list[int]
    batch: int
    loss: str
    reduction: str
    note: str


class Absent(msgspec.Struct, frozen=True):
    """An adapter whose framework is not installed."""

    adapter: str
    install: str


class BlasResult(msgspec.Struct, frozen=True):
    """NumPy's library of matrix products."""

    name: str
    version: str
    threads: Annotated[int | None, Meta(description="of each process; null where the library cannot be asked")]
    architecture: Annotated[str | None, Meta(description="whose kernels it uses; null where it cannot be asked")]


class Environment(msgspec.Struct, frozen=True):
    """Where it ran. Documents of before there were these fields lack those from `processor` on."""

    backproof: str
    python: str
    platform: str
    created: Annotated[str, Meta(description="ISO 8601, UTC")]
    processor: Annotated[str | None, Meta(description="as the system names it")] = None
    simd: Annotated[str | None, Meta(description="the highest SIMD level that NumPy used, such as AVX2")] = None
    blas: Annotated[BlasResult | None, Meta(description="null also where NumPy has its own loops")] = None
    commit: Annotated[
        str | None, Meta(description="of backproof's own checkout, + where it was changed; null if installed without")
    ] = None
    command: Annotated[
        str | None, Meta(description="with the variables that hold libraries to a SIMD level; paths by their names")
    ] = None


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What `backproof compare` found."""

    schema: Annotated[str, Meta(pattern=f"^{SCHEMA}$")] = SCHEMA
    environment: Environment
    verdict: Annotated[str, Meta(description="agrees, undecided, suspect, wrong, or unanswered: the worst of the runs")]
    cases: list[CaseResult]
    runs: list[RunResult]
    absent: list[Absent]
    planned: Annotated[
        int | None, Meta(description="cases that were to be run, where the run was ended early; null where all were")
    ] = None


# From best to worst: a row, or the whole, is as good as its worst run.
ORDER = ("agrees", "undecided", "suspect", "unanswered", "wrong")


def worst(verdicts: list[str]) -> str:
    """The verdict on several together. Undecided only where nothing was decided; no runs agree with nothing."""
    if "agrees" in verdicts:
        verdicts = [verdict for verdict in verdicts if verdict != "undecided"]
    return max(verdicts, key=ORDER.index, default="unanswered")


def overall(runs: Sequence[RunResult], planned: int | None) -> str:
    """The verdict on a document. Cases that were planned and not run have no answer."""
    return worst([*(run.verdict for run in runs), *(["unanswered"] if planned is not None else [])])


def environment() -> Environment:
    """This machine, now, as this process uses it."""
    blas = processor.blas()
    return Environment(
        backproof=version("backproof"),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        processor=processor.model(),
        simd=processor.simd(),
        blas=None if blas is None else BlasResult(blas.name, blas.version, blas.threads, blas.architecture),
        commit=provenance.commit(),
        command=provenance.command(),
    )


def case_result(case: Case) -> CaseResult:
    """A case as the document has it."""
    return CaseResult(case.name, case.dtype, list(case.sizes), case.batch, case.loss, case.reduction, case.note)


def comparison_results(judgement: Judgement) -> list[ComparisonResult]:
    """A judgement as the document has it."""
    return [_comparison(comparison) for comparison in judgement.comparisons]


def _comparison(comparison: Comparison) -> ComparisonResult:
    return ComparisonResult(
        quantity=comparison.place.quantity,
        layer=comparison.place.layer,
        verdict=comparison.verdict.value,
        elements=comparison.elements,
        undecided=comparison.undecided,
        undecided_because=list(comparison.undecided_because),
        wrong=comparison.wrong,
        suspect=comparison.suspect,
        largest_ulps=comparison.largest_ulps,
        largest_ratio=_finite(comparison.largest_ratio),
        largest_error=_finite(comparison.largest_error),
        digits=_finite(comparison.digits),
        scale_error=comparison.scale_error,
        worst=[_element(element) for element in comparison.worst],
        aggregates=[AggregateResult(a.direction, _finite(a.ratio)) for a in comparison.aggregates],
    )


def _element(element: Element) -> ElementResult:
    return ElementResult(
        list(element.index),
        repr(element.expected),
        repr(element.got),
        f"{element.tolerance:.3g}",
        _finite(element.ratio),
    )


def _finite(ratio: float | None) -> float | None:
    return ratio if ratio is not None and math.isfinite(ratio) else None


def made_safe(results: Results) -> Results:
    """The document with every text printable and of bearable length: names and messages come from anywhere."""
    safe: Results = msgspec.convert(_safe(msgspec.to_builtins(results)), Results)
    return safe


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() and len(value) <= LONGEST_TEXT else printable(value, LONGEST_TEXT)
    if isinstance(value, list):
        return [_safe(item) for item in value]
    return {key: _safe(item) for key, item in value.items()} if isinstance(value, dict) else value


LONGEST_TEXT = 400  # characters


def encoded(results: Results) -> str:
    """The document as JSON text, in which nothing is left that a terminal would obey.

    Decoded, it is the same document, but for lone surrogates, which JSON cannot carry: they are shown as escapes.
    """
    try:
        text = msgspec.json.encode(results)
    except UnicodeEncodeError:
        text = msgspec.json.encode(_encodable(msgspec.to_builtins(results)))
    return json_text(msgspec.json.format(text, indent=1).decode()) + "\n"


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return {key: _encodable(item) for key, item in value.items()} if isinstance(value, dict) else value


def schema() -> dict[str, Any]:
    """The JSON Schema of the document; `reports/schema.json` is its published copy; this module, run, writes it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "backproof results",
        **msgspec.json.schema(Results),
    }


if __name__ == "__main__":
    SCHEMA_FILE.write_text(msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n")
