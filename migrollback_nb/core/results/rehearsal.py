"""What a rollback did when it was rehearsed: run for real, and undone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from migrollback_nb.core import html
from migrollback_nb.core.errors import UsageError, shown
from migrollback_nb.core.results.assessment import Assessment, Effect, assessed
from migrollback_nb.core.results.check import OfSteps
from migrollback_nb.core.results.foreseen import Foreseen
from migrollback_nb.core.results.lock_modes import blocks, strength
from migrollback_nb.core.results.schema import SchemaChange, SchemaDiff
from migrollback_nb.core.results.target import Notice, Target
from migrollback_nb.core.results.verdict_cards import card_of_rehearsal
from migrollback_nb.core.text import as_line, as_text

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.core.results.card import VerdictCard

#: What `RowLoss` says already.
_TOLD = frozenset({"column dropped", "rows overwritten"})
#: Kinds that say something of another object and go with it.
_SAYINGS = frozenset({"comment", "grant", "security label"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of the rollback SQL."""

    migration_name: str  #: the migration it belongs to
    number: int  #: counted from 1 within its migration
    statement: str  #: its text
    line: int | None  #: line of the migration's file; None when the SQL was set by hand
    ms: float | None  #: how long it ran, in milliseconds; None when it did not run to its end

    def timed(self) -> str:
        """Time and text in one line."""
        time = f"{self.ms:>10,.1f}" if self.ms is not None else f"{'-':>10}"
        return f"{time}  {' '.join(self.statement.split())[:100]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why the rollback would fail."""

    migration_name: str  #: the migration whose rollback failed
    sqlstate: str  #: five characters
    message: str  #: in PostgreSQL's words
    detail: str | None = None  #: DETAIL
    hint: str | None = None  #: HINT, and what helps
    statement_number: int | None = None  #: counted from 1; None when it failed after the last
    statement: str | None = None  #: its text, at most 2,000 characters
    position: int | None = (
        None  #: where in the statement, counted from 1 in characters; None where PostgreSQL does not say
    )
    passing: bool = (
        False  #: it may go away by itself (a lock, a cancel, a time limit): the rollback may succeed another time
    )
    blocked_by: str | None = None  #: who held the lock that was not got, and what to do

    def lines(self) -> tuple[str, ...]:
        """In words, with a caret under the place where it is known."""
        report = [f"{self.message} (SQLSTATE {self.sqlstate})"]
        if self.statement is not None:
            report.append(f"  in statement {self.statement_number} of {self.migration_name}:")
            place = 0
            for row in shown(self.statement).split("\n"):
                report.append(f"    {row}")
                if self.position is not None and place < self.position <= place + len(row) + 1:
                    report.append(
                        "    "
                        + "".join("\t" if sign == "\t" else " " for sign in row[: self.position - place - 1])
                        + "^"
                    )
                place += len(row) + 1
        else:
            report.append(f"  after the last statement of {self.migration_name}")
        told = (line for text in (self.detail, self.hint, self.blocked_by) if text for line in text.split("\n"))
        report += [f"  {line}" for line in told]
        return tuple(report)


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class RowLoss:
    """Rows or values that would be lost."""

    relation: str  #: the table
    column: str | None  #: the column that is dropped; None when whole rows are meant
    what: Literal["dropped", "column dropped", "emptied", "deleted", "updated"]  #: by which operation
    rows: int | None  #: how many, of a column those that are not NULL; None when it is not known
    exact: bool  #: counted; False: what the statistics say
    sqlstate: str | None = None  #: why they could not be counted

    def __str__(self) -> str:
        several = "values" if self.column is not None else "rows"
        count = (
            f"{self.rows:,} {several if self.rows != 1 else several[:-1]}"
            if self.rows is not None
            else f"an unknown number of {several}"
        )
        if self.rows is not None and not self.exact:
            count = f"about {count} (an estimate)"
        match self.what:
            case "dropped":
                return f"loses {count} of table {self.relation}, which is dropped"
            case "column dropped":
                return f"loses {count} of column {self.relation}.{self.column}, which is dropped"
            case "emptied":
                return f"loses {count} of table {self.relation}, which is emptied"
            case "deleted":
                return f"deletes {count} of table {self.relation}"
        return f"overwrites {count} of table {self.relation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock that the rollback takes on a relation."""

    relation: str  #: the table, view, index ...
    kind: str  #: table, index, view ...
    mode: str  #: as PostgreSQL's manual names it: ACCESS EXCLUSIVE
    migration_name: str  #: the migration whose statement took it
    statement_number: int  #: that statement
    held_ms: float | None  #: from when that statement began until the end of the SQL, in milliseconds

    @property
    def strength(self) -> int:
        """Its place among the modes: 8 keeps even readers out."""
        return strength(self.mode)


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSession:
    """Another session that held or awaited a lock on one of these relations at the end of the rehearsal."""

    pid: int  #: its process
    user: str | None  #: its role
    application_name: str | None  #: what it calls itself
    state: str | None  #: active, idle in transaction ...; None where this role may not see it
    relation: str  #: the relation
    mode: str  #: the lock's mode
    waits: bool  #: it waits for the lock; False: it holds it
    for_us: bool  #: it waits for this very rehearsal

    def __str__(self) -> str:
        who = (
            f"process {self.pid} ({self.user or '?'}, {self.application_name or 'no name'},"
            f" {self.state or 'state not visible'})"
        )
        return (
            f"{who} {'waits for' if self.waits else 'holds'} {self.mode} on"
            f" {self.relation}{', behind this rehearsal' if self.for_us else ''}"
        )


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Something that stays and would no longer work."""

    kind: str  #: function, view, policy ...
    identity: str  #: schema-qualified and quoted
    because: str  #: why, in words
    certain: bool  #: False: it names what goes, but whether that matters is not known
    sqlstate: str | None = None  #: what PostgreSQL says of it, where it was asked
    used_by: tuple[str, ...] = ()  #: views, policies, triggers ... that call it

    def __str__(self) -> str:
        users = f"; used by {', '.join(self.used_by)}" if self.used_by else ""
        return f"{'breaks' if self.certain else 'may break'} {self.kind} {self.identity}: {self.because}{users}"


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class NotUndone:
    """What undoing a transaction does not undo."""

    migration_name: str  #: the migration whose rollback SQL does it
    statement_number: int | None  #: the statement, counted from 1; None when the SQL was not split
    what: str  #: in words
    inside: str | None = None  #: the function that does it, when it is not the statement itself
    outside: bool = True  #: it reaches beyond the database and the session: to files, programs, other servers

    def __str__(self) -> str:
        where = (
            f"statement {self.statement_number} of {self.migration_name}"
            if self.statement_number is not None
            else self.migration_name
        )
        return f"{self.what} ({where}{f', in {self.inside}' if self.inside else ''})"


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """One object that goes or changes, and whose it is."""

    change: SchemaChange  #: what happens to it
    made_by: tuple[str, ...] | None  #: applied migrations that made or changed it, in order; None: not known
    named: bool  #: the rollback SQL names it; False: it is dropped with something else
    foreign: bool  #: it belongs to migrations that are not rolled back here

    @property
    def alarming(self) -> bool:
        """Whether it is dropped by CASCADE only, or belongs to another migration. Own parts of a whole do not count."""
        unasked = self.change.change == "dropped" and not self.named and (self.made_by is None or self.foreign)
        return self.change.kind not in _SAYINGS and (self.foreign or unasked)

    def __str__(self) -> str:
        verb = "drops" if self.change.change == "dropped" else "changes"
        by = f"made by {self.made_by[0]}" if self.made_by else "not known which migration made it"
        if self.made_by and len(self.made_by) > 1:
            by += f", changed by {', '.join(self.made_by[1:])}"
        return f"{'also ' if not self.named else ''}{verb} {self.change.kind} {self.change.identity}, {by}"


@as_text
@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal(OfSteps):
    """What a rollback did when it was rehearsed. Nothing of it is left, and `rollback(preview=...)` accepts it."""

    success: bool  #: the rollback would succeed
    message: str  #: in words
    steps: tuple[tuple[str, str], ...]  #: (migration, its rollback SQL), in the order in which they ran
    fingerprint: (
        str | None
    )  #: as of a preview, taken before it ran: rollback(preview=...) refuses when anything has changed since
    target: Target  #: the database that it is about
    where: str  #: where it ran
    failure: Failure | None = None  #: why it would fail
    unchanged: bool = False  #: the SQL ran, but wrote nothing
    diff: SchemaDiff = field(default_factory=lambda: SchemaDiff(changes=()))  #: how the schema differs after it
    impacts: tuple[Impact, ...] = ()  #: every object that is dropped or changed, and whose it is
    rows: tuple[RowLoss, ...] = ()  #: what data would be lost
    broken: tuple[Broken, ...] = ()  #: what would no longer work
    effects: tuple[Effect, ...] = ()  #: what it does beyond the schema, as an assessment tells it
    not_undone: tuple[NotUndone, ...] = ()  #: what it did that was not undone, by consent
    locks: tuple[Lock, ...] = ()  #: on relations, strongest first
    sessions: tuple[OtherSession, ...] = ()  #: who else held or awaited a lock there
    replicas: tuple[str, ...] = ()  #: standbys whose readers would wait too
    renamed: tuple[
        tuple[str, str], ...
    ] = ()  #: (old, new) name of tables, columns, views and sequences that stay as they are under another name
    rewritten: tuple[str, ...] = ()  #: tables that are written anew as a whole
    statements: tuple[Statement, ...] = ()  #: each with its time
    notices: tuple[Notice, ...] = ()  #: what the server said during it
    warnings: tuple[str, ...] = ()  #: what a person should know besides
    remarks: tuple[str, ...] = ()  #: what this rehearsal could not find out
    duration_ms: float | None = None  #: how long the SQL ran, in milliseconds
    assessment: Assessment | None = None  #: what is known of the rollback now; None where that could not be asked
    foreseen: Foreseen | None = None  #: which locks were foreseen, and for how long; None on a copy

    @property
    def skipped(self) -> tuple[str, ...]:
        """Notices that something was to be dropped and was not there."""
        return tuple(notice.message for notice in self.notices if notice.skipped)

    @property
    def mark(self) -> str:
        """One sign for it: would succeed, would succeed but look, would fail."""
        return "❌" if not self.success else "⚠️" if self.unchanged or self.dangers else "✅"

    @property
    def dangers(self) -> tuple[str, ...]:
        """What a person must know before confirming, in words, the worst first."""
        return tuple(self._dangers())

    def _dangers(self) -> Iterator[str]:
        if self.unchanged:
            yield "the SQL runs, but changes nothing: look at its object names and at the search_path"
        yield from map(str, self._alarming())
        for loss in self.rows:
            if loss.rows != 0 and not self._is_written_back(loss):
                yield str(loss)
        yield from map(str, self._beside())
        for broken in sorted(self.broken, key=lambda one: not one.certain):
            yield str(broken)
        for done in self.not_undone:
            yield f"was not undone: {done}"
        for session in self.sessions:
            if session.waits:
                yield str(session)
        for text in self.skipped:
            yield f"skipped: {text}"

    def _is_written_back(self, loss: RowLoss) -> bool:
        """Whether its rows were compared, and none of their values differs."""
        return loss.what == "updated" and not any(
            effect.effect == "loses_values" and f"{effect.identity}.".startswith(f"{loss.relation}.")
            for effect in self.effects
        )

    def _beside(self) -> list[Effect]:
        """Effects that no other part tells: on the state beside the schema, and on values."""
        return [
            effect
            for effect in self.effects
            if effect.effect.startswith(("restarts_", "leaves_"))
            or (effect.effect == "loses_values" and effect.detail not in _TOLD)
        ]

    def _alarming(self) -> list[Impact]:
        """What is dropped by CASCADE only or belongs to others, the latter first; parts of a whole if another's."""
        main = {(change.kind, change.identity) for change in self.diff.main}
        makers = {
            impact.change.identity: impact.made_by
            for impact in self.impacts
            if (impact.change.kind, impact.change.identity) in main
        }

        def counts(impact: Impact) -> bool:
            if not impact.alarming:
                return False
            if (impact.change.kind, impact.change.identity) in main:
                return True
            whole = makers.get(impact.change.parent or "")
            return impact.foreign and impact.made_by is not None and (whole is None or impact.made_by[0] != whole[0])

        return sorted((impact for impact in self.impacts if counts(impact)), key=lambda one: not one.foreign)

    @property
    def longest_locks(self) -> tuple[Lock, ...]:
        """For each table the strongest lock that blocks others, longest first; indexes count with their tables."""
        strongest: dict[str, Lock] = {}
        for lock in self.locks:
            known = strongest.get(lock.relation)
            if lock.kind != "index" and lock.strength >= 5 and (known is None or lock.strength > known.strength):
                strongest[lock.relation] = lock
        return tuple(sorted(strongest.values(), key=lambda lock: -(lock.held_ms or 0)))

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback rehearse --format json`."""
        return {
            "success": self.success,
            "message": self.message,
            "migration_name": self.migration_name,
            "migrations": [name for name, _ in self.steps],
            "sql_executed": self.sql,
            "fingerprint": self.fingerprint,
            "where": self.where,
            "failure": None if self.failure is None else asdict(self.failure),
            "unchanged": self.unchanged,
            "dangers": list(self.dangers),
            "changes": [
                {
                    **impact.change.to_dict(),
                    "made_by": None if impact.made_by is None else list(impact.made_by),
                    "named": impact.named,
                    "foreign": impact.foreign,
                }
                for impact in self.impacts
            ],
            "created": [change.to_dict() for change in self.diff.created],
            "rows": [asdict(loss) for loss in self.rows],
            "broken": [asdict(broken) for broken in self.broken],
            "not_undone": [asdict(done) for done in self.not_undone],
            "locks": [asdict(lock) for lock in self.locks],
            "sessions": [asdict(session) for session in self.sessions],
            "replicas": list(self.replicas),
            "renamed": [{"old": old, "new": new} for old, new in self.renamed],
            "rewritten": list(self.rewritten),
            "statements": [asdict(statement) for statement in self.statements],
            "notices": [notice.message for notice in self.notices if not notice.skipped],
            "skipped": list(self.skipped),
            "warnings": list(self.warnings),
            "remarks": list(self.remarks),
            "duration_ms": self.duration_ms,
            "foreseen": None if self.foreseen is None else self.foreseen.to_dict(),
        } | assessed(self.assessment, self.effects)

    def to_frame(
        self, what: Literal["changes", "rows", "locks", "statements", "broken", "sessions"] = "changes"
    ) -> pd.DataFrame:
        """One part of it as a DataFrame; does not write.

        Parameters
        ----------
        what : str
            changes, rows, locks, statements, broken or sessions. What the rollback creates has no creator yet:
            made_by, named and foreign are None.
        """
        from migrollback_nb.core.frames.build import frame_of
        from migrollback_nb.core.frames.columns import FRAMES

        parts = [name.removeprefix("rehearsal ") for name in FRAMES if name.startswith("rehearsal ")]
        if what not in parts:
            raise UsageError(f"A rehearsal has no part {what}", hint=f"Use one of {', '.join(parts)}.")
        called = {"number": "statement_number", "ms": "duration_ms", "user": "actor"}
        if what != "changes":
            rows = ({called.get(key, key): value for key, value in asdict(one).items()} for one in getattr(self, what))
            return frame_of(f"rehearsal {what}", rows)
        judged = (
            {**one.change.to_dict(), "made_by": one.made_by, "named": one.named, "foreign": one.foreign}
            for one in self.impacts
        )
        created = (
            {**change.to_dict(), "made_by": None, "named": None, "foreign": None} for change in self.diff.created
        )
        return frame_of("rehearsal changes", (*judged, *created))

    def lines(self) -> tuple[str, ...]:
        """All of it in words, the dangerous first."""
        known = () if self.assessment is None else (self.assessment.heading, *self.assessment.indented())
        report = [*known, f"{self.mark} {self.message}"]
        if self.failure is not None:
            report += [f"   {line}" for line in self.failure.lines()]
        report += [f"   ⚠️  {danger}" for danger in self.dangers]
        if not self.diff and self.success:
            report += ["", "The schema stays as it is."]
        for title, rows in self._sections():
            if rows:
                report += ["", title, *(f"  {row}" for row in rows)]
        if self.remarks:
            report += ["", *(f"Remark: {text}" for text in self.remarks)]
        report += ["", f"Rehearsed {self.where}, and undone."]
        return tuple(report)

    def _sections(self) -> Iterator[tuple[str, list[str]]]:
        """Titles and lines of the parts that have lines of their own."""
        yield "Changes to the schema:", list(self.diff.lines())
        yield (
            "Tables written anew as a whole (needs their size on disk once more, and the lock for as long):",
            list(self.rewritten),
        )
        yield (
            "Locks (in milliseconds, until the end of the SQL; the COMMIT comes on top):",
            [
                f"{lock.held_ms or 0:>10,.1f}  {lock.relation}: {lock.mode}, {blocks(lock.mode)}"
                for lock in self.longest_locks
            ],
        )
        yield "Readers on standbys wait as long:", list(self.replicas)
        yield "Statements (in milliseconds):", [statement.timed() for statement in self.statements]
        yield "Notices:", [notice.message for notice in self.notices if not notice.skipped]

    def __repr__(self) -> str:
        return "\n".join(
            (f"<Rehearsal of {', '.join(name for name, _ in self.steps)} on {self.target}>", *self.lines())
        )

    @property
    def card(self) -> VerdictCard:
        """What a person must know before confirming, on one card."""
        return card_of_rehearsal(self)

    def _repr_html_(self) -> str:
        return self.card.to_html(details=self.details_html())

    def details_html(self) -> str:
        """All that it found, part by part, as HTML."""
        rows = [
            ("Rollback", "\n".join(name for name, _ in self.steps)),
            ("On", str(self.target)),
            ("Rehearsed", self.where),
            ("Result", self.message),
        ]
        parts = [html.definitions(rows)]
        if self.failure is not None:
            parts.append(html.preformatted("\n".join(self.failure.lines())))
        parts.append(html.section("Changes to the schema", self.diff._repr_html_()) if self.success else "")
        if self.rows:
            losses = [(loss.relation, loss.column or "", loss.what, _count(loss)) for loss in self.rows]
            parts.append(html.section("Data that would be lost", html.table(("Table", "Column", "By", "Rows"), losses)))
        if self.locks:
            held = [
                (
                    lock.relation,
                    lock.kind,
                    lock.mode,
                    blocks(lock.mode),
                    f"{lock.held_ms or 0:,.1f}",
                )
                for lock in self.locks
            ]
            parts.append(html.section("Locks", html.table(("Relation", "Kind", "Mode", "Blocks", "Held (ms)"), held)))
        if self.sessions:
            parts.append(html.section("Other sessions there", html.warnings(map(str, self.sessions))))
        if self.renamed:
            parts.append(html.section("Renamed, with all that is in it", html.table(("From", "To"), self.renamed)))
        if self.rewritten:
            parts.append(
                html.section(
                    "Tables written anew as a whole", html.table(("Table",), [(name,) for name in self.rewritten])
                )
            )
        if self.replicas:
            parts.append(
                html.section(
                    "Standbys whose readers wait too", html.table(("Standby",), [(name,) for name in self.replicas])
                )
            )
        ran = [
            (one.migration_name, str(one.number), one.statement, "" if one.ms is None else f"{one.ms:,.1f}")
            for one in self.statements
        ]
        parts.append(html.section("Statements", html.table(("Migration", "Number", "Statement", "Time (ms)"), ran)))
        said = [(notice.severity, notice.message, "skipped" if notice.skipped else "") for notice in self.notices]
        if said:
            parts.append(html.section("Notices", html.table(("Severity", "Message", ""), said)))
        return "".join(parts)


def _count(loss: RowLoss) -> str:
    return "not known" if loss.rows is None else f"{loss.rows:,}" if loss.exact else f"about {loss.rows:,}"
