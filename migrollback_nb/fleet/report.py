"""The report of one run over a fleet, as one HTML file that needs no network. Writes that file, and no database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.html import visible
from migrollback_nb.core.times import show_time
from migrollback_nb.core.version import __version__
from migrollback_nb.fleet.results import FleetResult, result_of


def write_report(run_id: str, entries: Sequence[Mapping[str, Any]], file: Path | str | None = None) -> Path:
    """Write the report of a run by what was kept of it. Writes one file, over none that is there.

    Raises
    ------
    UsageError
        When the file is there already, or cannot be written.
    """
    path = Path(file) if file is not None else Path(f"report_fleet_{datetime.now(UTC):%Y%m%dT%H%M%SZ}.html")
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(report_html(run_id, entries))
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="A report is never overwritten: name another file.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return path


def report_html(run_id: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """The report of a run as HTML; pure."""
    result = result_of(run_id, entries)
    begun = entries[0]
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
    )
    text = resources.files("migrollback_nb.fleet").joinpath("report.html.jinja").read_text(encoding="utf-8")
    # the template's own text passes `finalize` too, where a line break is to stay one
    return environment.from_string(text).render(
        result=result,
        mark="✅" if result.success else "❌" if result.exit_code == 1 else "⛔",
        what="Rollback" if result.command == "rollback" else "Apply",
        facts=_facts(result, begun),
        rows=[
            (
                row.target,
                row.outcome,
                "" if row.wave is None else str(row.wave),
                row.verification or "",
                row.message,
                "" if row.duration_ms is None else f"{row.duration_ms:,.1f} ms",
                row.anchor or "",
            )
            for row in result.rows
        ],
        plan=[
            (row["target"], row["status"], row["verdict"] or "", row["headline"], ", ".join(row["steps"]))
            for row in begun["plan"]["rows"]
        ],
        evidence=[
            (row.target, json.dumps(row.evidence, indent=1, ensure_ascii=False))
            for row in result.rows
            if row.evidence is not None
        ],
        journal=[_said(entry) for entry in entries],
        version=__version__,
        written=show_time(datetime.now(UTC)),
    )


def _facts(result: FleetResult, begun: Mapping[str, Any]) -> list[tuple[str, str]]:
    request = begun["request"]
    facts = [
        ("Run", result.run_id),
        ("Migrations", ", ".join(request["names"]) or request["deploy"] or request["to"] or "all that are pending"),
        ("Reason", request["reason"] or "none was given"),
        ("Begun by", begun["by"]),
        ("Waves", ", ".join(str(len(wave)) for wave in begun["plan"]["waves"]) or "none"),
        ("Failures that may be", str(request["max_failures"])),
        ("Fingerprint of the plan", result.fingerprint or ""),
        ("Losses accepted", "yes" if request["accept_loss"] else "no"),
    ]
    return facts + ([("Stopped", result.stopped)] if result.stopped else [])


def _said(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    at = entry.get("at", "")
    said = entry.get("message") or entry.get("reason") or ""
    outcome = f"{entry['outcome']}: " if entry.get("outcome") else ""
    return (at, entry["kind"], entry.get("target") or "", f"{outcome}{said}")
