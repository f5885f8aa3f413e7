"""A proof as JUnit XML, which CI servers show as a list of tests. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from migrollback_nb.core.html import visible

if TYPE_CHECKING:
    from migrollback_nb.core.results import MigrationProof, Proof
    from migrollback_nb.core.results.proof import Grade

#: What XML 1.0 has no way to write, and `visible` leaves alone.
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


def junit_xml(proof: Proof, *, suite: str, required: Grade | None = None) -> bytes:
    """One test case for each migration; pure.

    Parameters
    ----------
    proof : Proof
        The verdicts.
    suite : str
        What the cases belong to: the folder.
    required : str, optional
        Grade below which a case is a failure; one that could not be tried is an error. Without it a
        migration without a rollback is skipped, and all but
        `restores` is a failure.

    Returns
    -------
    bytes
        The file, in UTF-8.
    """
    failed = {case.migration_name for case in proof.below(required or "restores")}
    skipped = set() if required else {case.migration_name for case in proof.migrations if case.grade == "no_rollback"}
    unknown = {case.migration_name for case in proof.migrations if case.grade == "unknown"}
    counts = {
        "tests": len(proof.migrations),
        "failures": len(failed - skipped - unknown),
        "errors": len(unknown),
        "skipped": len(skipped),
    }
    totals = {name: str(count) for name, count in counts.items()} | {
        "time": f"{sum(case.seconds for case in proof.migrations):.3f}"
    }
    root = ET.Element("testsuites", {"name": "migrollback verify", **totals})
    cases = ET.SubElement(root, "testsuite", {"name": _text(suite), **totals})
    for case in proof.migrations:
        element = ET.SubElement(
            cases,
            "testcase",
            {"classname": _text(suite), "name": _text(case.migration_name), "time": f"{case.seconds:.3f}"},
        )
        if case.migration_name in skipped:
            ET.SubElement(element, "skipped", {"message": "no rollback SQL"})
        elif case.migration_name in failed:
            outcome = "error" if case.migration_name in unknown else "failure"
            ET.SubElement(element, outcome, {"type": case.grade, "message": _text(_headline(case))}).text = _text(
                "\n".join(case.lines())
            )
        elif case.lines():
            ET.SubElement(element, "system-out").text = _text("\n".join(case.lines()))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _headline(case: MigrationProof) -> str:
    return f"{case.grade}: {case.lines()[0]}" if case.lines() else case.grade


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", visible(text))
