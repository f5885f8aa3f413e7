"""Parts of the report that are made of one event: a rehearsal, a verification, the change of the schema. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.core.results.assessment import HARMS, Effect, effects_of
from migrollback_nb.core.results.lock_modes import blocks, manual_mode, strength
from migrollback_nb.core.results.rehearsal import RowLoss
from migrollback_nb.core.results.verdict_cards import card_of_event
from migrollback_nb.core.times import show_time
from migrollback_nb.operations.snapshots import diff

if TYPE_CHECKING:
    from migrollback_nb.core.results import SchemaDiff
    from migrollback_nb.core.results.card import VerdictCard
    from migrollback_nb.database import Database

#: No more objects and locks are listed of one rehearsal.
_MOST = 200
#: From this mode on writers wait.
_STRONG = 5

Event = Mapping[str, Any]
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalPart:
    """One rehearsal, as the audit log keeps it."""

    title: str  #: when, and whether the rollback would succeed
    card: VerdictCard  #: the verdict that it gave
    facts: tuple[Row, ...]  #: where, how long, by whom
    objects: tuple[Row, ...]  #: change, kind and object
    rows: tuple[str, ...]  #: what goes and what is overwritten, in words
    locks: tuple[Row, ...]  #: relation, mode, whom it blocks, milliseconds
    more: str  #: how many of them are not listed; empty where all are


def who(event: Event) -> str:
    """The role and the program of an event."""
    return f"{event['database_user']} ({event['client']})" if event["client"] else str(event["database_user"])


def rehearsal(event: Event) -> RehearsalPart:
    """What one event `rehearsed` tells."""
    details = event["details"]
    success, stopped = details.get("success") is True, "outcome" in details
    objects = list(details.get("foretold") or ())
    locks = sorted(details.get("locks") or (), key=lambda lock: -(lock.get("held_ms") or 0))
    left_out = [
        f"{len(found) - _MOST:,} more {what}"
        for found, what in ((objects, "objects"), (locks, "locks"))
        if len(found) > _MOST
    ]
    facts = [
        ("Where", str(details.get("where") or "on the target itself")),
        ("Together with", "\n".join(details.get("chain") or ())),
        ("By", who(event)),
        ("Fingerprint", str(details.get("fingerprint") or "")),
    ]
    return RehearsalPart(
        title=f"{show_time(event['occurred_at'])}: {_succeeds(success=success, stopped=stopped)}",
        card=card_of_event(event["migration_name"], details),
        facts=tuple((name, value) for name, value in facts if value),
        objects=tuple((str(change), str(kind), str(identity)) for change, kind, identity, *_ in objects[:_MOST]),
        rows=tuple(_lost(row) for row in details.get("rows") or () if row.get("rows") != 0),
        locks=tuple(
            (lock["relation"], manual_mode(lock["mode"]), blocks(lock["mode"]), f"{lock.get('held_ms') or 0:,.1f}")
            for lock in locks[:_MOST]
        ),
        more=", ".join(left_out),
    )


def _lost(row: Mapping[str, Any]) -> str:
    """A loss as an event keeps it: without what is null."""
    kept = {"column": None, "rows": None, "exact": False, "sqlstate": None} | dict(row)
    return str(RowLoss(**kept))


def _succeeds(*, success: bool, stopped: bool) -> str:
    return "✔ the rollback would succeed" if success else "not known" if stopped else "✘ the rollback would fail"


def last_rehearsal(events: Iterable[Event]) -> Row | None:
    """The last of these rehearsals as a row of the summary; None where there is none."""
    found = None
    for event in events:
        if event["event"] == "rehearsed":
            found = event
    if found is None:
        return None
    part = rehearsal(found)
    said = [part.title, *part.rows]
    strong = [lock for lock in part.locks if strength(lock[1]) >= _STRONG]
    if strong:
        relation, mode, waiting, ms = strong[0]
        said.append(f"longest lock: {mode} on {relation}, {ms} ms, {waiting}")
    if part.objects:
        said.append(f"changes {len(found['details']['foretold']):,} objects of the schema")
    return "Last rehearsal", "\n".join(said)


def verification(details: Mapping[str, Any]) -> Sequence[Row]:
    """What a verification found, as rows of the summary: its verdict, and what is not as it was."""
    rows = [("Outcome", str(details.get("message") or details.get("verdict")))]
    # a column that stands in another place is no difference: the message says it
    differs = details.get("verdict") in ("differs", "not as rehearsed")
    apart = [*(details.get("differences") or ())] if differs else []
    apart += [f"also: {one}" for one in details.get("unexpected") or ()]
    if apart:
        rows.append(("Schema, not as before", "\n".join(map(str, apart))))
    # of what was restored the message says what went with it
    effects = effects_of(details.get("effects") or ()) if details.get("verdict") != "restored" else ()
    if effects:
        rows.append(("Beside the schema", "\n".join(map(_in_words, effects))))
    return rows


def _in_words(effect: Effect) -> str:
    if effect.words is not None:
        return effect.words
    verb = "Overwrites" if effect.is_overwriting else HARMS.get(effect.effect, effect.effect)
    return f"{verb} {effect.of_what}"


def schema_change(database: Database, log: Sequence[Event], rolled_back: Event | None) -> SchemaDiff | None:
    """What the rollback of this event changed in the schema, by the snapshots around it; None where one is missing."""
    if rolled_back is None:
        return None
    before = database.queries.snapshot_before(rolled_back["event_number"])
    after = next(
        (
            event["details"].get("snapshot")
            for event in log
            if event["event"] == "snapshot_taken"
            and event["event_number"] > rolled_back["event_number"]
            and event["details"].get("moment") == "after rollback"
            and rolled_back["migration_name"] in (event["details"].get("migrations") or ())
        ),
        None,
    )
    with suppress(MigrollbackError):  # a snapshot that was removed since
        if before is not None and after is not None:
            return diff(database, str(before), str(after))
    return None
