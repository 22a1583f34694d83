"""The results document as JUnit XML, which CI servers show: a suite per adapter and dtype, a test per case."""

from __future__ import annotations

from xml.etree import ElementTree as ET  # it writes here, and reads nothing

from ..any_network import Told
from ..console import printable_lines
from ..documents import Report, Results, RunResult, made_safe
from .tables import failures, summary


def junit(results: Results) -> str:
    """Wrong is a failure, unanswered an error, undecided skipped; suspect passes, and says so."""
    results = made_safe(results)
    details = {failure.key: failure for failure in failures(results)}
    root = ET.Element("testsuites", name="backproof")
    suites: dict[tuple[str, str], list[RunResult]] = {}
    for run in results.runs:
        suites.setdefault((run.adapter, run.dtype), []).append(run)
    for (adapter, dtype), runs in suites.items():
        verdicts = [run.verdict for run in runs]
        known = [run.seconds for run in runs if run.seconds is not None]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"{adapter} {dtype}",
            tests=str(len(runs)),
            failures=str(verdicts.count("wrong")),
            errors=str(verdicts.count("unanswered")),
            skipped=str(verdicts.count("undecided")),
            timestamp=results.environment.created[:19],
        )
        if known:
            suite.set("time", f"{sum(known):.3f}")
        for run in runs:
            test = ET.SubElement(suite, "testcase", name=run.case, classname=f"backproof.{adapter}.{dtype}")
            if run.seconds is not None:
                test.set("time", f"{run.seconds:.3f}")
            failure = details.get((run.case, run.dtype, run.adapter))
            text = "" if failure is None else failure.text
            match run.verdict:
                case "wrong":
                    ET.SubElement(test, "failure", type="wrong", message=text.partition("\n")[0]).text = text
                case "unanswered":
                    ET.SubElement(test, "error", type="unanswered", message=run.message or "")
                case "undecided":
                    ET.SubElement(test, "skipped", message="the bounds are too wide to decide any number")
                case "suspect":
                    ET.SubElement(test, "system-out").text = "suspect: " + text
    if not suites or results.planned is not None:
        suite = ET.SubElement(root, "testsuite", name="backproof", tests="1", failures="0", errors="1", skipped="0")
        test = ET.SubElement(suite, "testcase", name="runs", classname="backproof", time="0")
        ET.SubElement(test, "error", type="unanswered", message=summary(results))
    return _document(root)


def _document(root: ET.Element) -> str:
    """The text of the file. What XML has no word for, escaped or not, was made printable before: `made_safe`, `str`."""
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def junit_of(report: Report, seconds: float | None = None) -> str:
    """A verification as JUnit XML: a test per probe that was answered; one error where nothing can be said.

    One bug is one failure: the first wrong probe's, whose text is the report; the others are skipped, and say so. It is
    a test of its own where the report is not ok though no probe is wrong by itself, such as of state between calls.
    """
    text = report.text
    root = ET.Element("testsuites", name="backproof")
    verdicts = [verdict for _, verdict in report.probes]
    lost = report.verdict in ("unanswered", "unrecognised")
    whole = not report.ok and report.verdict in ("wrong", "suspect") and "wrong" not in verdicts
    suite = ET.SubElement(
        root, "testsuite", name="verify", tests=str(len(verdicts) + lost + whole),
        failures=str(int("wrong" in verdicts or whole)), errors=str(int(lost)),
        skipped=str(verdicts.count("undecided") + max(0, verdicts.count("wrong") - 1)),
    )  # fmt: skip
    _timed(suite, seconds)
    told = False
    for name, verdict in report.probes:
        test = ET.SubElement(suite, "testcase", name=printable_lines(name), classname="backproof.verify")
        if verdict == "wrong" and told:
            ET.SubElement(test, "skipped", message="wrong as well: the report is told once")
        elif verdict == "wrong":
            told = True
            ET.SubElement(test, "failure", type="wrong", message=text.partition("\n")[0]).text = text
        elif verdict == "undecided":
            ET.SubElement(test, "skipped", message="the bounds are too wide to decide any number")
    if lost:
        test = ET.SubElement(suite, "testcase", name="answers", classname="backproof.verify")
        ET.SubElement(test, "error", type=report.verdict, message=text)
    if whole:
        test = ET.SubElement(suite, "testcase", name="all answers", classname="backproof.verify")
        ET.SubElement(test, "failure", type=report.verdict, message=text.partition("\n")[0]).text = text
    return _document(root)


def _timed(element: ET.Element, seconds: float | None) -> ET.Element:
    """A suite, or its only test, with the time that it took. A probe's own is not known."""
    if seconds is not None:
        element.set("time", f"{seconds:.3f}")
    return element


def junit_of_network(told: Told, seconds: float | None = None) -> str:
    """The rule check of a network as JUnit XML: one test; an error where nothing can be said."""
    root = ET.Element("testsuites", name="backproof")
    failed, errors = told.verdict in ("wrong", "suspect"), told.verdict == "undecided"
    suite = ET.SubElement(
        root, "testsuite", name="verify", tests="1", failures=str(int(failed)), errors=str(int(errors)), skipped="0",
    )  # fmt: skip
    _timed(suite, seconds)
    name = printable_lines(told.name)
    test = _timed(ET.SubElement(suite, "testcase", name=name, classname="backproof.verify"), seconds)
    text = printable_lines(told.text)
    if not told.ok:
        kind = "failure" if failed else "error"
        ET.SubElement(test, kind, type=told.verdict, message=text.partition("\n")[0]).text = text
    return _document(root)
