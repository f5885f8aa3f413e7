"""The whole story of one rollback as one HTML file: no network, no script, nothing to install to read it in ten years."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import graphviz

from migrollback_nb.core import html
from migrollback_nb.core.errors import MigrollbackError, UsageError
from migrollback_nb.core.production import is_production
from migrollback_nb.core.times import show_time
from migrollback_nb.core.version import __version__
from migrollback_nb.display import graphs
from migrollback_nb.operations import audit
from migrollback_nb.runbook import items
from migrollback_nb.runbook import run as run_of
from migrollback_nb.runbook.checklist import Checklist

if TYPE_CHECKING:
    from migrollback_nb.operations.workspace import Workspace
    from migrollback_nb.runbook.run import RunbookState

#: A graph of more migrations than these is told as a table alone: nobody reads it, and drawing takes seconds.
_DRAWN = 150
_ROLLBACK_EVENTS = ("started", "statement_completed", "rolled_back", "failed", "refused", "resolved")

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --quiet: #595959; --line: #c9c9c9; --head: #f1f1f1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #161616; --quiet: #a8a8a8; --line: #4a4a4a; --head: #262626; } }
@media print { :root { --ink: #000000; --paper: #ffffff; --quiet: #404040; --line: #999999; --head: #eeeeee; color-scheme: light; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Arial, sans-serif; color: var(--ink); background: var(--paper); max-width: 76em; margin: 0 auto; padding: 1.2em; }
h1 { font-size: 1.6em; line-height: 1.2; overflow-wrap: anywhere; } h2 { font-size: 1.25em; border-bottom: 1px solid var(--line); margin-top: 2em; } h3 { font-size: 1.05em; }
table { border-collapse: collapse; margin: .5em 0; } th, td { border: 1px solid var(--line); padding: .25em .6em; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th, td { min-width: 6.5em; } th { background: var(--head); font-weight: 600; } td { white-space: pre-wrap; }
.wide { overflow-x: auto; } .quiet { color: var(--quiet); } code, pre { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .92em; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; } figure { margin: .6em 0; overflow-x: auto; }
nav ul { columns: 2; padding-left: 1.2em; } nav a { color: inherit; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } h2 { break-after: avoid; } tr, figure { break-inside: avoid; } nav { display: none; } svg { max-width: 100%; height: auto; } th, td { min-width: 0; } * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""


def default_file(name: str) -> Path:
    """A name for the report of a migration, in the current folder. Writes nothing."""
    safe = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:80]
    return Path(f"report_{safe}_{datetime.now(UTC):%Y%m%dT%H%M%SZ}.html")


def write_report(db: Workspace, name: str, file: Path | str | None = None, *, run: int | None = None) -> Path:
    """Write the report of a migration. Writes one file, over none that is there, and nothing to the database.

    Parameters
    ----------
    db : Workspace
        The database.
    name : str
        The migration, with or without ``.sql``.
    file : Path or str, optional
        Where; by default a dated file in the current folder.
    run : int, optional
        An earlier run of the checklist; by default the present one.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        When the file is there already.
    MigrationNotFound
        When the migration is not registered.
    """
    text = report_html(db, name, run=run)
    path = Path(file) if file is not None else default_file(name.removesuffix(".sql"))
    try:
        # what an incident was about is not for everybody on the machine
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already", hint="Name another file: a report is never overwritten.") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="Name a file in a folder that is there."
        ) from None
    return path


def report_html(db: Workspace, name: str, *, run: int | None = None) -> str:
    """The report as text. Does not write."""
    name = name.removesuffix(".sql")
    db.look_up_target()
    state = Checklist(db, name, run=run).state()
    trail = db.database.queries.events()
    story = _Story(db, name, state, trail)
    parts = [
        ("Summary", story.summary()),
        ("History", story.history()),
        ("Dependencies", story.graph()),
        ("Preview", story.preview()),
        ("Rehearsals", story.rehearsals()),
        ("Checklist", story.checklist()),
        ("Execution", story.execution()),
        ("Verification", story.verification()),
        ("Events", story.events()),
        ("Head of the audit trail", story.head()),
    ]
    sections = "".join(
        f'<section id="s{place}"><h2>{place}. {title}</h2>{body}</section>'
        for place, (title, body) in enumerate(parts, 1)
    )
    links = "".join(f'<li><a href="#s{place}">{title}</a></li>' for place, (title, _) in enumerate(parts, 1))
    shown = html.escape(name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport"'
        ' content="width=device-width, initial-scale=1">'
        # whatever slipped in would still load and run nothing
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Rollback of {shown}</title><style>{_STYLE}</style></head><body><header><h1>Rollback of {shown}</h1>"
        f'<p class="quiet">{html.escape(db.target)}. Written {show_time(datetime.now(UTC))} by migrollback_nb'
        f" {__version__}.</p></header>"
        f'<nav aria-label="Parts"><ul>{links}</ul></nav><main>{sections}</main></body></html>\n'
    )


class _Story:
    """What the report tells, part by part."""

    def __init__(self, db: Workspace, name: str, state: RunbookState, trail: Sequence[Mapping[str, Any]]) -> None:
        self.db = db
        self.name = name
        self.state = state
        self.trail = trail
        self.row = db.database.queries.find(name) or {}
        attempts = {
            event["attempt_id"]
            for event in trail
            if event["migration_name"] == name and event["attempt_id"] is not None
        }
        #: The events of the migration, and of what was tried together with it.
        self.own = [
            event
            for event in trail
            if event["migration_name"] == name or (event["attempt_id"] in attempts and event["attempt_id"] is not None)
        ]

    def summary(self) -> str:
        state, rolled_back = self.state, self.state.rolled_back
        status = {
            "applied": "in place",
            "rolled_back": "rolled back",
            "failed": "in place; a rollback of it has failed",
        }.get(self.row["status"], "")
        told = [
            ("Migration", self.name),
            ("Status", f"{self.row['status']}: {status}"),
            (
                "Target",
                str(self.db.target)
                + (
                    ""
                    if self.db.target.production or not is_production(self.db.target)
                    else " (PRODUCTION, by MIGROLLBACK_PRODUCTION)"
                ),
            ),
            ("Ticket", state.ticket or "none was named"),
        ]
        reason = state.latest("reason")
        if rolled_back is not None:
            told.append(
                (
                    "Rolled back",
                    (
                        f"{show_time(rolled_back['occurred_at'])} by {rolled_back['database_user']}"
                        f" ({rolled_back['client']})"
                    ),
                )
            )
            told.append(
                ("Reason", rolled_back["reason"] or (reason.note if reason is not None else None) or "none was given")
            )
        elif reason is not None:
            told.append(("Reason", reason.note or ""))
        for phase in items.Phase:
            done, every = len(items.items_of(phase)) - len(state.open(phase)), len(items.items_of(phase))
            skipped = sum(state.outcome(item.key) == items.Outcome.SKIPPED for item in items.items_of(phase))
            told.append(
                (
                    f"Checklist, {phase}",
                    f"{done} of {every}" + (f", {skipped} of them skipped" if skipped else ""),
                )
            )
        return html.definitions(told)

    def history(self) -> str:
        row = self.row
        told = [
            ("Version", row["migration_version"]),
            ("Applied", _when(row["applied_at"])),
            ("Applied by", row["applied_by"] or ""),
            ("Rolled back", _when(row["rollback_at"])),
            ("Rolled back by", row["rollback_by"] or ""),
            ("Notes", row["notes"] or ""),
            ("Checksum of its file", row["checksum"] or "registered without a file"),
        ]
        return html.definitions([(what, value) for what, value in told if value])

    def graph(self) -> str:
        history, dependencies = self.db.database.queries.registered(), self.db.database.queries.dependencies()
        # all that would have to go first, and what it rests on itself
        near = {self.name, *(row["depends_on"] for row in dependencies if row["migration_name"] == self.name)}
        near |= {row["migration_name"] for row in self.db.database.queries.dependents(self.name)}
        kept = [row for row in dependencies if row["migration_name"] in near and row["depends_on"] in near]
        rows = [
            (
                row["migration_name"],
                row["status"],
                row["depends_on"],
                row["depends_on_status"],
                (
                    f"inferred: {row['because'] or 'no reason was kept'}"
                    if row["source"] == "inferred"
                    else "declared by the file"
                ),
            )
            for row in kept
        ]
        if not rows:
            return "<p>It depends on no other migration, and none on it.</p>"
        drawn = ""
        if len(near) <= _DRAWN and graphs.find_dot() is not None:
            with suppress(graphviz.CalledProcessError, graphviz.ExecutableNotFound):
                svg = graphs.svg(
                    graphs.dependency_graph(
                        [row for row in history if row["migration_name"] in near],
                        kept,
                        focus=self.name,
                        depth=len(near),
                    )
                )
                # inside a page there is no XML head, and no DTD to be fetched
                drawn = (
                    '<figure role="img" tabindex="0" aria-label="Graph of the dependencies in the table'
                    f' below">{svg[svg.index("<svg") :]}</figure>'
                )
        return drawn + _table(("Migration", "Status", "Depends on", "Status of that", "How it is known"), rows)

    def preview(self) -> str:
        if self.row["status"] == "rolled_back":
            return "<p>It is rolled back: this is the SQL that is registered as its rollback.</p>" + html.sql(
                self.row["rollback_sql"] or "-- none"
            )
        check = self.db.check(self.name)
        chain = bool(check.dependent_migrations)
        try:
            preview = self.db.preview(self.name, chain=chain)
        except MigrollbackError as error:
            return html.warnings([str(error)]) + html.sql(self.row["rollback_sql"] or "-- none")
        remark = (
            "<p>Others rest on it: shown is the whole chain, in the order in which it would run.</p>" if chain else ""
        )
        return remark + preview._repr_html_() + html.definitions([("Fingerprint", preview.fingerprint or "")])

    def rehearsals(self) -> str:
        rows = []
        for event in self.own:
            if event["event"] != "rehearsed" or event["migration_name"] != self.name:
                continue
            details = event["details"]
            rest = {
                key: value
                for key, value in details.items()
                if key not in ("success", "message", "where", "fingerprint", "duration_ms", "foretold")
            }
            told = (
                _when(event["occurred_at"]),
                _yes_no(details.get("success")),
                details.get("message") or "",
                details.get("where") or "on the target itself",
                _ms(details.get("duration_ms")),
                _plain(rest),
                _who(event),
            )
            rows.append(tuple(str(one) for one in told))
        return (
            _table(("When", "Would succeed", "Message", "Where", "Took", "What it found", "Who"), rows)
            if rows
            else "<p>It was never rehearsed.</p>"
        )

    def checklist(self) -> str:
        state = self.state
        parts = [
            f'<p class="quiet">The run that began with event {state.run}. Every answer that was ever given stands under'
            " Events.</p>"
        ]
        parts += [f"<h3>{phase.capitalize()}</h3>{_table(run_of.HEADINGS, state.rows(phase))}" for phase in items.Phase]
        evidence = [
            (items.item_of(entry.item).text, f"event {entry.event_number}, {entry.outcome}", _plain(entry.evidence))
            for entry in state.entries
            if entry.evidence
        ]
        if evidence:
            parts.append(f"<h3>Evidence in full</h3>{_table(('Item', 'Answer', 'Evidence'), evidence)}")
        other = [run for run in run_of.runs_of(self.name, self.trail) if run != state.run]
        if other:
            parts.append(f"<p>There are earlier runs, since the events {', '.join(map(str, other))}.</p>")
        return "".join(parts)

    def execution(self) -> str:
        rows = []
        for event in self.own:
            if event["event"] not in _ROLLBACK_EVENTS:
                continue
            details = {key: value for key, value in event["details"].items() if key not in ("rollback_md5", "target")}
            told = (
                _when(event["occurred_at"]),
                event["event"],
                event["migration_name"],
                event["attempt_id"] or "",
                event["reason"] or "",
                _plain(details),
                _who(event),
            )
            rows.append(tuple(str(one) for one in told))
        return (
            _table(("When", "What", "Migration", "Attempt", "Reason", "Details", "Who"), rows)
            if rows
            else "<p>Nobody has tried to roll it back.</p>"
        )

    def verification(self) -> str:
        rows = []
        for event in self.own:
            if event["event"] == "verified":
                details = event["details"]
                rest = {key: value for key, value in details.items() if key not in ("verdict", "message")}
                rows.append(
                    (
                        _when(event["occurred_at"]),
                        str(details.get("verdict")),
                        str(details.get("message")),
                        _plain(rest),
                        _who(event),
                    )
                )
        entry = self.state.latest("verify")
        if entry is not None:
            rows.append((_when(entry.occurred_at), str(entry.outcome), entry.summary, entry.note or "", entry.who))
        rows += [
            (
                _when(entry.occurred_at),
                str(entry.outcome),
                f"{items.item_of(key).text}: {entry.summary}",
                entry.note or "",
                entry.who,
            )
            for key in ("smoke", "errors")
            if (entry := self.state.latest(key)) is not None
        ]
        return (
            _table(("When", "Verdict", "Message", "Details", "Who"), rows) if rows else "<p>Nothing was verified.</p>"
        )

    def events(self) -> str:
        rows = [
            (
                str(event["event_number"]),
                _when(event["occurred_at"]),
                event["event"],
                event["migration_name"] or "",
                event["reason"] or "",
                _plain({key: value for key, value in event["details"].items() if key not in ("foretold", "evidence")}),
                _who(event),
                event["hash"],
            )
            for event in self.own
        ]
        return _table(("Number", "When", "Event", "Migration", "Reason", "Details", "Who", "Hash"), rows)

    def head(self) -> str:
        verified = audit.verify(self.trail)
        state = (
            "intact: every event fits the one before it"
            if verified.intact
            else f"BROKEN at event {verified.first_bad_number}"
        )
        told = [
            ("Chain of hashes", state),
            ("Events", f"{verified.events:,}"),
            ("Head", f"event {verified.head_number}"),
            ("Hash of the head", verified.head_hash or ""),
        ]
        style = html.GOOD if verified.intact else html.BAD
        return (
            html.banner("The audit trail is intact" if verified.intact else "The audit trail is broken", style)
            + html.definitions(told)
            + "<p>Counted here, not by the database, over all its events. Keep this page outside the database: a chain"
            " alone cannot show that its end was cut off.</p>"
        )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # what scrolls must be reachable by keyboard
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(headings[0])} and'
        f' more">{html.table(headings, rows)}</div>'
    )


def _when(moment: datetime | None) -> str:
    return "" if moment is None else show_time(moment)


def _who(event: Mapping[str, Any]) -> str:
    return f"{event['database_user']} ({event['client']})" if event["client"] else str(event["database_user"])


def _ms(value: Any) -> str:
    return f"{value:,.1f} ms" if isinstance(value, int | float) else ""


def _yes_no(value: Any) -> str:
    return "✔ yes" if value is True else "✘ no"


def _plain(value: Any) -> str:
    """Details as indented lines: ``name: value``."""
    return "\n".join(_lines(value, 0))


def _lines(value: Any, level: int) -> Iterable[str]:
    pad = "  " * level
    if isinstance(value, Mapping):
        for key, one in value.items():
            if isinstance(one, Mapping | list) and one:
                yield f"{pad}{key}:"
                yield from _lines(one, level + 1)
            elif one not in (None, [], {}):
                yield f"{pad}{key}: {one}"
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, Mapping):
                yield from _lines(one, level)
                yield f"{pad}-"
            else:
                yield f"{pad}{one}"
