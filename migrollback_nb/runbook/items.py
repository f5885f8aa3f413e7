"""The production checklist of the specification as data: phases, items, evidence, and how a run of it stands by its events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.times import show_time


class Phase(StrEnum):
    """The three parts of the checklist."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Evidence(StrEnum):
    """Who or what can answer an item. A person may attest any of them with a note, except what only the audit trail can know."""

    PERSON = "person"  #: a person's word, with a note
    CHECK = "check"  #: db.check and db.plan
    REHEARSAL = "rehearsal"  #: the rollback run for real and undone
    PREVIEW = "preview"  #: the dry run
    BACKUP = "backup"  #: a file of pg_dump, or the id of a backup of the user's own
    FILE = "file"  #: the migration's file: still there to be applied again
    MENDED_FILE = "mended file"  #: the migration's file: changed since
    MAINTENANCE = "maintenance"  #: a hook that switches maintenance mode
    NOTIFICATION = "notification"  #: a hook that tells people
    TRAIL = "audit trail"  #: only the audit trail
    SCHEMA = "schema"  #: the schema, compared with what it was before
    SMOKE_TESTS = "smoke tests"  #: the user's SQL with expected results
    ERROR_RATES = "error rates"  #: pg_stat_database before and after


class Outcome(StrEnum):
    """How an item was answered; spelled as in the events."""

    DONE = "done"  #: it is as it should be
    FAILED = "failed"  #: it was tried, and it is not
    SKIPPED = "skipped"  #: somebody went on without it, and said why
    NOTED = "noted"  #: a first half: kept for the other half to be compared with


#: Outcome -> sign and word: no reader has to tell colours apart.
WORDS = {
    None: ("○", "open"),
    Outcome.DONE: ("✔", "done"),
    Outcome.FAILED: ("✘", "not in order"),
    Outcome.SKIPPED: ("↷", "went on without"),
    Outcome.NOTED: ("◐", "half done"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the checklist."""

    key: str  #: what events call it
    phase: Phase  #: where it stands
    text: str  #: as the specification words it
    evidence: Evidence  #: who or what can answer it
    help: str  #: what answering it does, in words


def _item(key: str, phase: Phase, text: str, evidence: Evidence, help: str) -> Item:
    return Item(key=key, phase=phase, text=text, evidence=evidence, help=help)


#: The specification's checklist, to the letter and in its order: 8 before, 8 during, 5 after.
ITEMS = (
    _item(
        "staging",
        Phase.BEFORE,
        "Tested rollback in staging environment",
        Evidence.REHEARSAL,
        "Runs the rollback on a copy of the schema, then on the target, where it is undone; nothing stays",
    ),
    _item(
        "application",
        Phase.BEFORE,
        "Verified application code compatible with rolled-back schema",
        Evidence.PERSON,
        "Which version of the application, and who has looked",
    ),
    _item(
        "dependents",
        Phase.BEFORE,
        "Checked for dependent migrations",
        Evidence.CHECK,
        "Asks the database whether it may be rolled back, and what rests on it",
    ),
    _item(
        "backup",
        Phase.BEFORE,
        "Created database backup",
        Evidence.BACKUP,
        "Runs pg_dump into a file, or records the id of your own backup",
    ),
    _item("window", Phase.BEFORE, "Scheduled maintenance window", Evidence.PERSON, "From when to when, and who agreed"),
    _item(
        "notified",
        Phase.BEFORE,
        "Notified team/users of downtime",
        Evidence.NOTIFICATION,
        "Runs your notification hook",
    ),
    _item(
        "reapply",
        Phase.BEFORE,
        "Prepared rollback of rollback plan (re-apply migration)",
        Evidence.FILE,
        "Looks whether the migration's file is here, is the one that was registered, and could be applied again",
    ),
    _item("reason", Phase.BEFORE, "Documented reason for rollback", Evidence.PERSON, "Why; your note is the reason"),
    _item(
        "maintenance_on", Phase.DURING, "Enable maintenance mode", Evidence.MAINTENANCE, "Runs your maintenance hook"
    ),
    _item(
        "dry_run",
        Phase.DURING,
        "Execute dry-run first",
        Evidence.PREVIEW,
        "Asks the database what would run; nothing runs",
    ),
    _item(
        "final_backup",
        Phase.DURING,
        "Take final backup",
        Evidence.BACKUP,
        "Runs pg_dump into a file, or records the id of your own backup",
    ),
    _item(
        "execute",
        Phase.DURING,
        "Execute rollback",
        Evidence.TRAIL,
        "Looks into the audit trail; to roll back, use the rollback panel or the command line",
    ),
    _item(
        "verify",
        Phase.DURING,
        "Verify database state",
        Evidence.SCHEMA,
        "Compares the schema with what it was before the migration",
    ),
    _item(
        "deploy",
        Phase.DURING,
        "Deploy matching application version",
        Evidence.PERSON,
        "Which version, deployed by whom",
    ),
    _item(
        "smoke",
        Phase.DURING,
        "Run smoke tests",
        Evidence.SMOKE_TESTS,
        "Runs your SQL read-only and compares what comes with what you expect",
    ),
    _item(
        "errors",
        Phase.DURING,
        "Monitor error rates",
        Evidence.ERROR_RATES,
        "Before the rollback: keeps the counters of pg_stat_database. After it: compares the rates since with those"
        " before",
    ),
    _item(
        "documented",
        Phase.AFTER,
        "Document what went wrong",
        Evidence.PERSON,
        "What went wrong, or where it is written",
    ),
    _item(
        "mended",
        Phase.AFTER,
        "Update migration with fixes",
        Evidence.MENDED_FILE,
        "Looks whether the migration's file was changed since it was registered",
    ),
    _item("redeploy", Phase.AFTER, "Plan re-deployment", Evidence.PERSON, "When, and by whom"),
    _item(
        "maintenance_off", Phase.AFTER, "Disable maintenance mode", Evidence.MAINTENANCE, "Runs your maintenance hook"
    ),
    _item("notified_after", Phase.AFTER, "Notify team/users", Evidence.NOTIFICATION, "Runs your notification hook"),
)
_BY_KEY = {item.key: item for item in ITEMS}


def item_of(key: str) -> Item:
    """The item of that key; does not write.

    Raises
    ------
    UsageError
        When there is none.
    """
    if key not in _BY_KEY:
        raise UsageError(f"The checklist has no item {key}", hint=f"Its items: {', '.join(_BY_KEY)}.")
    return _BY_KEY[key]


def items_of(phase: Phase) -> tuple[Item, ...]:
    """The items of one phase, in order; does not write."""
    return tuple(item for item in ITEMS if item.phase == phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One answer to one item: an event of the audit trail."""

    item: str  #: key of the item
    outcome: Outcome  #: how it was answered
    summary: str  #: the evidence in one line
    evidence: Mapping[str, Any]  #: all of it
    note: str | None  #: what the person wrote
    attested: bool  #: on a person's word; False: a machine looked
    event_number: int  #: number of the event
    occurred_at: datetime  #: when
    database_user: str  #: who, as the database knows
    client: str | None  #: who, as the client says
    run: int  #: the run it belongs to
    ticket: str | None  #: the ticket that was named

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Entry | None:
        """From a row of the audit trail; None for one that is no answer to an item that we know."""
        details = event["details"]
        if (
            event["event"] != "checklist_item"
            or details.get("item") not in _BY_KEY
            or details.get("outcome") not in set(Outcome)
        ):
            return None
        evidence = details.get("evidence")
        return cls(
            item=details["item"],
            outcome=Outcome(details["outcome"]),
            summary=str(details.get("summary") or ""),
            evidence=evidence if isinstance(evidence, dict) else {},
            note=event["reason"],
            attested=details.get("attested") is True,
            event_number=event["event_number"],
            occurred_at=event["occurred_at"],
            database_user=event["database_user"],
            client=event["client"],
            run=details["run"] if isinstance(details.get("run"), int) else 0,
            ticket=details["ticket"] if isinstance(details.get("ticket"), str) else None,
        )

    @property
    def who(self) -> str:
        """Who answered: the database's user, and what the client said of itself."""
        return f"{self.database_user} ({self.client})" if self.client else self.database_user

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "item": self.item,
            "outcome": str(self.outcome),
            "summary": self.summary,
            "note": self.note,
            "attested": self.attested,
            "evidence": dict(self.evidence),
            "event_number": self.event_number,
            "occurred_at": self.occurred_at,
            "database_user": self.database_user,
            "client": self.client,
            "ticket": self.ticket,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookState:
    """How one run of the checklist stands: read from the audit trail, so that everybody sees the same one and a restart loses nothing."""

    migration_name: str  #: the migration that is to be rolled back
    run: int  #: number of the event that put the migration in place: each time it is in place has a run of its own
    entries: tuple[Entry, ...] = ()  #: every answer of this run, in order
    rolled_back: Mapping[str, Any] | None = None  #: the event of its rollback in this run
    stale: Mapping[str, str] = field(default_factory=dict)  #: item -> why its answer no longer holds

    def latest(self, key: str) -> Entry | None:
        """The answer that counts: the last one."""
        item_of(key)
        return next((entry for entry in reversed(self.entries) if entry.item == key), None)

    def outcome(self, key: str) -> Outcome | None:
        """How an item stands; None when it is open, or its answer no longer holds."""
        if key == "execute" and self.rolled_back is not None:
            return Outcome.DONE
        entry = self.latest(key)
        return None if entry is None or key in self.stale else entry.outcome

    def settled(self, key: str) -> bool:
        """Whether an item is done, or somebody has gone on without it."""
        return self.outcome(key) in (Outcome.DONE, Outcome.SKIPPED)

    def open(self, phase: Phase) -> tuple[Item, ...]:
        """The items of a phase that are neither done nor gone on without."""
        return tuple(item for item in items_of(phase) if not self.settled(item.key))

    @property
    def ticket(self) -> str | None:
        """The ticket that was named last."""
        return next((entry.ticket for entry in reversed(self.entries) if entry.ticket), None)

    @property
    def missing_before(self) -> str:
        """What of the items before the rollback is still open, in words; empty when nothing is."""
        left = self.open(Phase.BEFORE)
        if not left:
            return ""
        return (
            f"{len(left)} of the checklist's items before the rollback are open:"
            f" {'; '.join(item.text for item in left)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "migration_name": self.migration_name,
            "run": self.run,
            "ticket": self.ticket,
            "items": [
                {
                    "phase": str(item.phase),
                    "item": item.key,
                    "text": item.text,
                    "outcome": None if (outcome := self.outcome(item.key)) is None else str(outcome),
                    "stale": self.stale.get(item.key),
                    "answer": None if (entry := self.latest(item.key)) is None else entry.to_dict(),
                }
                for item in ITEMS
            ],
        }

    def rows(self, phase: Phase | None = None) -> list[tuple[str, ...]]:
        """State, item, evidence, note, who and when of each item, as text."""
        told: list[tuple[str, ...]] = []
        for item in ITEMS:
            if phase is not None and item.phase != phase:
                continue
            sign, word = WORDS[self.outcome(item.key)]
            entry = self.latest(item.key)
            summary, note, who, when = "", "", "", ""
            if entry is not None:
                summary, note, who, when = entry.summary, entry.note or "", entry.who, show_time(entry.occurred_at)
            elif item.key == "execute" and self.rolled_back is not None:
                summary, note = execution_summary(self.rolled_back), self.rolled_back["reason"] or ""
                who, when = (
                    f"{self.rolled_back['database_user']} ({self.rolled_back['client']})",
                    show_time(self.rolled_back["occurred_at"]),
                )
            if item.key in self.stale:
                summary = f"{self.stale[item.key]}. Before that: {summary}"
            told.append((f"{sign} {word}", item.text, summary, note, who, when))
        return told

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{phase} {len(items_of(phase)) - len(self.open(phase))} of {len(items_of(phase))}" for phase in Phase
        )
        return f"<RunbookState {self.migration_name}, run {self.run}: {counts}>"

    def _repr_html_(self) -> str:
        parts = [
            html.definitions(
                [
                    ("Migration", self.migration_name),
                    ("Run", f"since event {self.run}"),
                    ("Ticket", self.ticket or "none"),
                ]
            )
        ]
        for phase in Phase:
            done = len(items_of(phase)) - len(self.open(phase))
            parts.append(
                html.section(
                    f"{phase.capitalize()}: {done} of {len(items_of(phase))}", html.table(HEADINGS, self.rows(phase))
                )
            )
        return "".join(parts)


#: Over the columns of `RunbookState.rows`.
HEADINGS = ("State", "Item", "Evidence", "Note", "Who", "When")


def execution_summary(event: Mapping[str, Any]) -> str:
    """The event of a rollback in one line."""
    details = event["details"]
    took = details.get("duration_ms")
    how = "rolled back" if event["event"] == "rolled_back" else f"{event['event']} as rolled back"
    parts = [f"{how}, event {event['event_number']}"]
    if event["attempt_id"] is not None:
        parts.append(f"attempt {event['attempt_id']}")
    if isinstance(took, int | float):
        parts.append(f"the SQL ran for {took:,.1f} ms")
    if details.get("unchanged"):
        parts.append("but changed nothing")
    return ", ".join(parts)


def read_run(name: str, events: Sequence[Mapping[str, Any]], *, run: int | None = None) -> RunbookState:
    """How a run stands, by the audit trail of its migration.

    Parameters
    ----------
    name : str
        The migration.
    events : sequence of mapping
        Rows of the audit trail in order; those of other migrations are left aside.
    run : int, optional
        An earlier run; by default the present one, which began when the migration was last put in place.
    """
    own = [event for event in events if event["migration_name"] == name]
    runs = _runs(own)
    chosen = runs[-1][0] if run is None else run
    rolled_back = next((event for number, event in reversed(runs) if number == chosen and event is not None), None)
    entries = tuple(entry for event in own if (entry := Entry.from_event(event)) is not None and entry.run == chosen)
    return RunbookState(migration_name=name, run=chosen, entries=entries, rolled_back=rolled_back)


def runs_of(name: str, events: Iterable[Mapping[str, Any]]) -> tuple[int, ...]:
    """The runs of a migration that have an answer, oldest first; does not write."""
    entries = (Entry.from_event(event) for event in events if event["migration_name"] == name)
    return tuple(sorted({entry.run for entry in entries if entry is not None}))


def _runs(events: Iterable[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any] | None]]:
    """(event that put the migration in place, event of the rollback that ended it or None), oldest first."""
    found: list[tuple[int, Mapping[str, Any] | None]] = [(0, None)]
    in_place = False
    for event in events:
        becomes = _in_place_after(event)
        if becomes is True and not in_place:
            found.append((event["event_number"], None))
        elif becomes is False and in_place:
            found[-1] = (found[-1][0], event)
        in_place = in_place if becomes is None else becomes
    return found


def _in_place_after(event: Mapping[str, Any]) -> bool | None:
    """Whether a migration is in place after an event; None when that did not change it."""
    details = event["details"]
    match event["event"]:
        case "applied" | "registered":
            return True
        case "rolled_back":
            return False
        case "resolved":
            return {"applied": True, "rolled_back": False}.get(details.get("new") or "")
        case "history_changed":
            new = details.get("new")
            if details.get("table") == "migration_history" and isinstance(new, dict) and "status" in new:
                return bool(new["status"] != "rolled_back")
    return None
