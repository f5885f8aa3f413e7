"""How one run of the checklist stands: its answers, read from the events of the audit log. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.results.needed_approvals import approval_words
from migrollback_nb.core.times import show_time
from migrollback_nb.runbook.items import ITEMS, WORDS, Item, Outcome, Phase, item_of, items_of

#: Sign and word of an item that is done, and of which something must not be overlooked.
LOOK_CLOSER = ("!", "done, look closer")
#: Verdicts that are said beside an item though it is done.
_LOUD = frozenset({"blocked", "loses", "takes_others", "harms"})
#: In which order outcomes are counted.
_COUNTED = (Outcome.DONE, Outcome.SKIPPED, Outcome.NOTED, Outcome.FAILED, None)
_KEYS = frozenset(item.key for item in ITEMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One answer to one item: an event of the audit log."""

    item: str  #: key of the item
    outcome: Outcome  #: how it was answered
    summary: str  #: the evidence in one line
    evidence: Mapping[str, Any]  #: all of it
    note: str | None  #: what the person wrote
    attested: bool  #: confirmed manually; False: a machine looked
    event_number: int  #: number of the event
    occurred_at: datetime  #: when
    database_user: str  #: who, as the database knows
    client: str | None  #: who, as the client says
    run: int  #: the run it belongs to
    ticket: str | None  #: the ticket that was named

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Entry | None:
        """From a row of the audit log; None for one that is no answer to an item that we know."""
        details = event["details"]
        if (
            event["event"] != "checklist_item"
            or details.get("item") not in _KEYS
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
    def matters(self) -> tuple[str, ...]:
        """What a person must not overlook though the item is done: what a rollback loses or harms, and warnings."""
        evidence = self.evidence
        lists = (evidence.get(key) for key in ("dangers", "warnings"))
        said = [str(text) for found in lists if isinstance(found, list) for text in found]
        if not evidence.get("dangers") and evidence.get("verdict") in _LOUD and evidence.get("headline"):
            said = [str(evidence["headline"]), *said]
        return tuple(dict.fromkeys(said))

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
    """How one run of the checklist stands, by the audit log: all see the same one, and a restart loses nothing."""

    migration_name: str  #: the migration that is to be rolled back
    run: int  #: number of the event that applied the migration: each time it is applied has a run of its own
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

    def is_complete(self, key: str) -> bool:
        """Whether an item is done or skipped."""
        return self.outcome(key) in (Outcome.DONE, Outcome.SKIPPED)

    def look_closer(self, key: str) -> tuple[str, ...]:
        """Of an item that is done: what must not be overlooked; empty when nothing is."""
        entry = self.latest(key)
        return entry.matters if entry is not None and self.outcome(key) == Outcome.DONE else ()

    def next_open(self, phases: Iterable[Phase] = tuple(Phase)) -> Item | None:
        """The first item that is neither done nor skipped; None when all are."""
        return next((item for phase in phases for item in self.open(phase)), None)

    def counts(self, phase: Phase) -> dict[Outcome | None, int]:
        """How many items of a phase are done, skipped, half done, not in order, and (None) open; without zeros."""
        outcomes = [self.outcome(item.key) for item in items_of(phase)]
        return {outcome: outcomes.count(outcome) for outcome in _COUNTED if outcome in outcomes}

    def count_words(self, phase: Phase) -> str:
        """The same in words, as "1 done, 7 skipped"."""
        return ", ".join(f"{count} {WORDS[outcome][1]}" for outcome, count in self.counts(phase).items())

    def open(self, phase: Phase) -> tuple[Item, ...]:
        """The items of a phase that are neither done nor skipped."""
        return tuple(item for item in items_of(phase) if not self.is_complete(item.key))

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
        rows: list[tuple[str, ...]] = []
        for item in ITEMS:
            if phase is not None and item.phase != phase:
                continue
            sign, word = LOOK_CLOSER if self.look_closer(item.key) else WORDS[self.outcome(item.key)]
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
            rows.append((f"{sign} {word}", item.text, summary, note, who, when))
        return rows

    def __repr__(self) -> str:
        counts = "; ".join(f"{phase} {self.count_words(phase)}" for phase in Phase)
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
            words = f"{phase.capitalize()}: {self.count_words(phase)}"
            parts.append(html.section(words, html.table(HEADINGS, self.rows(phase))))
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
    if (approved := approval_words(details)) is not None:
        parts.append(approved)
    return ", ".join(parts)


def read_run(name: str, events: Sequence[Mapping[str, Any]], *, run: int | None = None) -> RunbookState:
    """How a run stands, by the audit log of its migration.

    Parameters
    ----------
    name : str
        The migration.
    events : sequence of mapping
        Rows of the audit log in order; those of other migrations are left aside.
    run : int, optional
        An earlier run; by default the present one, which began when the migration was last applied.
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
    """(event that applied the migration, event of the rollback that ended it or None), oldest first."""
    found: list[tuple[int, Mapping[str, Any] | None]] = [(0, None)]
    applied = False
    for event in events:
        becomes = _applied_after(event)
        if becomes is True and not applied:
            found.append((event["event_number"], None))
        elif becomes is False and applied:
            found[-1] = (found[-1][0], event)
        applied = applied if becomes is None else becomes
    return found


def _applied_after(event: Mapping[str, Any]) -> bool | None:
    """Whether a migration is applied after an event; None when that did not change it."""
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
