"""The certificate as JUnit XML, as CI servers show it: a suite a target, a case a clause, and one for the verdict.

After the format that Jenkins documents (junit-10.xsd). What fails and decides nothing is a skipped case, as in the
suite's own pytest items.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from bnspec.certificate.merge import rule_of
from bnspec.certificate.model import FAILED, Certificate, ClauseReport, TargetReport
from bnspec.certificate.terminal import render_failure, render_verdict
from bnspec.spec.clauses import CLAUSES


def render_junit(certificate: Certificate) -> str:
    """One XML document."""
    root = ET.Element("testsuites", name="bnspec")
    for report in certificate.targets:
        suite = ET.SubElement(root, "testsuite", name=_clean(report.target), time=f"{report.duration_s:.3f}")
        for clause in report.clauses:
            _add_clause(suite, clause, report)
        verdict = ET.SubElement(suite, "testcase", classname=_clean(report.target), name="verdict")
        if report.verdict != "conforms":
            _say(verdict, "failure", report.verdict, render_verdict(report))
        for waiver in report.waivers:
            case = ET.SubElement(suite, "testcase", classname=_clean(report.target), name=_clean(waiver.place))
            if waiver in report.stale:
                _say(case, "failure", waiver.outcome, f"{waiver.clause}, {waiver.reason}: {waiver.why}")
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
        suite.set("errors", "0")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_clause(suite: ET.Element, clause: ClauseReport, report: TargetReport) -> None:
    name = f"{clause.id} {CLAUSES[clause.id].title}"
    case = ET.SubElement(suite, "testcase", classname=_clean(report.target), name=_clean(name))
    if clause.outcome in FAILED:
        words = "\n".join(render_failure(clause, report))
        deciding = rule_of(report).decides(clause.id)
        _say(case, "failure" if deciding else "skipped", clause.why or clause.outcome, words)
    elif clause.outcome not in ("pass", "measured"):
        _say(case, "skipped", f"{clause.outcome}: {clause.why}", "")
    if clause.executed:
        told = f"{clause.executed} cases, {clause.informative} informative"
        ET.SubElement(case, "system-out").text = _clean(f"{told}; {clause.value}" if clause.value else told)


def _say(case: ET.Element, kind: str, message: str, text: str) -> None:
    ET.SubElement(case, kind, message=_clean(message)).text = _clean(text) or None


def _clean(text: str) -> str:
    """The text without the characters that XML 1.0 forbids, which a subject's message may hold."""
    return re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "?", text)
