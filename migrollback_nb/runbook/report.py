"""The whole story of one rollback as one HTML file: no network, no script, nothing to install to read it in ten years.

What it says is gathered here as plain values; how it looks stands in ``report.html.jinja``, which escapes every value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from migrollback_nb.core import html
from migrollback_nb.core.errors import MigrollbackError, UsageError
from migrollback_nb.core.production import is_production
from migrollback_nb.core.results.needed_approvals import approval_words
from migrollback_nb.core.times import show_time
from migrollback_nb.core.version import __version__
from migrollback_nb.display.graph import dag
from migrollback_nb.display.graph.layout import NoDot
from migrollback_nb.operations.event_chain import verify
from migrollback_nb.operations.graph_facts import graph_facts
from migrollback_nb.runbook import items, report_parts
from migrollback_nb.runbook.checklist import Checklist
from migrollback_nb.runbook.run import runs_of

if TYPE_CHECKING:
    from migrollback_nb.core.results import AuditResult, Preview, SchemaDiff
    from migrollback_nb.operations.workspace import Workspace
    from migrollback_nb.runbook.run import RunbookState

#: A graph of more migrations than these is shown as a table alone: it could not be read, and drawing takes seconds.
_DRAWN = 150
_ROLLBACK_EVENTS = (
    "started", "statement_completed", "rolled_back", "failed", "refused", "resolved", "approval_requested",
    "approval_given", "request_withdrawn", "broke_glass",
)  # fmt: skip

#: Details of a rehearsal that stand under Rehearsals.
_REHEARSED = ("foretold", "locks", "statement_ms", "effects", "rows", "changes", "came_back")

Row = tuple[str, ...]


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
    template = _environment().from_string(
        resources.files("migrollback_nb.runbook").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        story=_Story(db, name, state, db.database.queries.events()),
        written_at=datetime.now(UTC),
        version=__version__,
        phases=list(items.Phase),
    )


def _environment() -> Environment:
    # finalize: of what is no HTML yet, control characters are made visible before it is escaped
    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=lambda value: value if hasattr(value, "__html__") else html.visible(str(value)),
    )
    # pieces that core.html has escaped
    filters: dict[str, Callable[[Any], str]] = {
        "time": show_time,
        "sql": lambda text: _escaped(html.sql(text or "-- none")),
        "shown": lambda result: _escaped(result._repr_html_()),
        "warning": lambda text: _escaped(html.warnings([text])),
        "verdict": lambda intact: _escaped(
            html.banner(
                "The audit log is intact" if intact else "The audit log is broken", html.GOOD if intact else html.BAD
            )
        ),
    }
    made.filters.update(filters)
    return made


def _escaped(text: str) -> Markup:
    return Markup(text)  # noqa: S704  # made of escaped pieces


class _Story:
    """What the report says, part by part, as plain values."""

    def __init__(self, db: Workspace, name: str, state: RunbookState, log: Sequence[Mapping[str, Any]]) -> None:
        self.db = db
        self.name = name
        self.state = state
        self.log = log
        self.row = db.database.queries.find(name) or {}
        attempts = {
            event["attempt_id"] for event in log if event["migration_name"] == name and event["attempt_id"] is not None
        }
        #: The events of the migration, and of what was tried together with it.
        self.own = [
            event
            for event in log
            if event["migration_name"] == name or (event["attempt_id"] in attempts and event["attempt_id"] is not None)
        ]

    @property
    def target(self) -> str:
        """The database."""
        return str(self.db.target)

    def summary(self) -> Sequence[Row]:
        """What one reads first."""
        state, rolled_back = self.state, self.state.rolled_back
        status = {
            "applied": "applied",
            "rolled_back": "rolled back",
            "failed": "applied; a rollback of it has failed",
        }.get(self.row["status"], "")
        by_variable = is_production(self.db.target) and not self.db.target.production
        rehearsed = report_parts.last_rehearsal(self._rehearsed())
        rows: list[Row] = [
            *self.verdict(),
            *([rehearsed] if rehearsed is not None else []),
            ("Migration", self.name),
            ("Status", f"{self.row['status']}: {status}"),
            ("Target", self.target + (" (PRODUCTION, by MIGROLLBACK_PRODUCTION)" if by_variable else "")),
            ("Ticket", state.ticket or "none was named"),
        ]
        answer = state.latest("reason")
        reason = answer.note if answer is not None else None
        if rolled_back is not None:
            who = f"{rolled_back['database_user']} ({rolled_back['client']})"
            rows.append(("Rolled back", f"{show_time(rolled_back['occurred_at'])} by {who}"))
            rows.append(("Reason", rolled_back["reason"] or reason or "none was given"))
            if (approved := approval_words(rolled_back["details"])) is not None:
                rows.append(("Approvals", approved))
        elif answer is not None:
            rows.append(("Reason", reason or ""))
        rows += [(f"Checklist, {phase}", state.count_words(phase)) for phase in items.Phase]
        return rows

    def verdict(self) -> Sequence[Row]:
        """The first answer: what is known of the rollback, and once it has run, what came of it."""
        if self.row["status"] == "applied":
            return [("Verdict", self.db.assess(self.name).heading)]
        last = {event["event"]: event["details"] for event in self.own if event["event"] in ("started", "verified")}
        rows: list[Row] = []
        if self.state.rolled_back is not None and "verified" in last:
            rows += report_parts.verification(last["verified"])
        if "headline" in last.get("started", {}):
            rows.append(("Known before it ran", str(last["started"]["headline"])))
        return rows

    def history(self) -> Sequence[Row]:
        """What the history says of the migration."""
        row = self.row
        rows = [
            ("Version", row["migration_version"]),
            ("Applied", _when(row["applied_at"])),
            ("Applied by", row["applied_by"] or ""),
            ("Rolled back", _when(row["rollback_at"])),
            ("Rolled back by", row["rollback_by"] or ""),
            ("Notes", row["notes"] or ""),
            ("Checksum of its file", row["checksum"] or "registered without a file"),
        ]
        return [(what, value) for what, value in rows if value]

    def _near(self) -> tuple[set[str], Sequence[dict[str, Any]]]:
        """All that would have to go first, and what it depends on itself; and the dependencies between them."""
        queries = self.db.database.queries
        dependencies = queries.dependencies()
        near = {self.name, *(row["depends_on"] for row in dependencies if row["migration_name"] == self.name)}
        near |= {row["migration_name"] for row in queries.dependents(self.name)}
        return near, [row for row in dependencies if row["migration_name"] in near and row["depends_on"] in near]

    def dependencies(self) -> Sequence[Row]:
        """The dependencies around the migration."""
        return [
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
            for row in self._near()[1]
        ]

    def drawing(self) -> Markup:
        """The graph of these dependencies; empty where it cannot be drawn."""
        near = self._near()[0]
        if len(near) > _DRAWN:
            return Markup()
        facts = graph_facts(self.db.database, edges="recorded")
        with suppress(NoDot):
            return _escaped(dag.draw(facts, near, chosen=(self.name,), limit=None).svg)
        return Markup()

    def preview(self) -> tuple[Preview | None, str | None]:
        """What would run, or why nothing would."""
        chain = bool(self.db.check(self.name).dependent_migrations)
        try:
            return self.db.preview(self.name, chain=chain), None
        except MigrollbackError as error:
            return None, str(error)

    def _rehearsed(self) -> Sequence[Mapping[str, Any]]:
        return [e for e in self.own if e["event"] == "rehearsed" and e["migration_name"] == self.name]

    def rehearsals(self) -> Sequence[report_parts.RehearsalPart]:
        """Each rehearsal of the migration, the last one first."""
        return [report_parts.rehearsal(event) for event in reversed(self._rehearsed())]

    def schema_change(self) -> SchemaDiff | None:
        """What the rollback changed in the schema, as DDL."""
        return report_parts.schema_change(self.db.database, self.log, self.state.rolled_back)

    def checklist(self, phase: items.Phase) -> Sequence[Row]:
        """State, item, evidence with its note, who and when, of each item of a phase."""
        return [
            (state, item, "\n".join(filter(None, (summary, note))), "\n".join(filter(None, (who, when))))
            for state, item, summary, note, who, when in self.state.rows(phase)
        ]

    def evidence(self) -> Sequence[Row]:
        """All evidence of the checklist's answers."""
        return [
            (items.item_of(entry.item).text, f"event {entry.event_number}, {entry.outcome}", _plain(entry.evidence))
            for entry in self.state.entries
            if entry.evidence
        ]

    def other_runs(self) -> Sequence[int]:
        """The other runs of the checklist, by the events that began them."""
        return [run for run in runs_of(self.name, self.log) if run != self.state.run]

    def execution(self) -> Sequence[Row]:
        """What was tried, and how it ended."""
        return [
            (
                _when(event["occurred_at"]),
                event["event"],
                _told(event, "rollback_md5", "target", "policies", "effects", attempt=True),
                report_parts.who(event),
            )
            for event in self.own
            if event["event"] in _ROLLBACK_EVENTS
        ]

    def verification(self) -> Sequence[Row]:
        """What was compared afterwards."""
        rows: list[Row] = [
            (
                _when(event["occurred_at"]),
                str(event["details"].get("verdict")),
                "\n".join(value for _, value in report_parts.verification(event["details"])),
                report_parts.who(event),
            )
            for event in self.own
            if event["event"] == "verified"
        ]
        for key in ("verify", "smoke", "errors"):
            if (entry := self.state.latest(key)) is not None:
                what = "" if key == "verify" else f"{items.item_of(key).text}: "
                told = what + entry.summary + (f"\n{entry.note}" if entry.note else "")
                rows.append((_when(entry.occurred_at), str(entry.outcome), told, entry.who))
        return rows

    def events(self) -> Sequence[tuple[Row, str]]:
        """The events of the migration: number, when, event, what and who; and the hash of each."""
        return [
            (
                (
                    str(event["event_number"]),
                    _when(event["occurred_at"]),
                    event["event"],
                    _told(event, "evidence", *(_REHEARSED if event["event"] == "rehearsed" else ())),
                    report_parts.who(event),
                ),
                event["hash"],
            )
            for event in self.own
        ]

    def head(self) -> AuditResult:
        """Whether the audit log's chain of hashes is whole, counted here."""
        return verify(self.log)

    def head_rows(self, head: AuditResult) -> Sequence[Row]:
        """The head in words."""
        whole = "intact: every event fits the one before it"
        return [
            ("Chain of hashes", whole if head.intact else f"BROKEN at event {head.first_bad_number}"),
            ("Events", f"{head.events:,}"),
            ("Head", f"event {head.head_number}"),
            ("Hash of the head", head.head_hash or ""),
        ]


def _without(details: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in details.items() if key not in keys}


def _when(moment: datetime | None) -> str:
    return "" if moment is None else show_time(moment)


def _told(event: Mapping[str, Any], *without: str, attempt: bool = False) -> str:
    """Migration, reason and details of an event, a line each."""
    said = [
        str(event["migration_name"] or ""),
        f"attempt: {event['attempt_id']}" if attempt and event["attempt_id"] else "",
        f"reason: {event['reason']}" if event["reason"] else "",
        _plain(_without(event["details"], *without)),
    ]
    return "\n".join(filter(None, said))


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
