"""The operators' gate: what an operator's program calls in place of functions that need the owner's rights. Writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from psycopg.types.json import Jsonb

from migrollback_nb.database.session import Row, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackFacts:
    """What is known of the rollback of migrations before it runs."""

    fingerprint: str  #: as `Queries.fingerprint`
    dry_run: list[Row]  #: as `Queries.dry_run`
    known: dict[str, Row]  #: as `Queries.warnings`
    ledgers: tuple[str, ...]  #: as `Queries.deploy_ledgers_of`
    assessment: Row | None = None  #: as `Queries.assess`; None where this role may not ask
    foreseen: Row | None = None  #: what foreseen_locks() gives; None where it was not asked, or may not be


class Gate:
    """Rollbacks with the rights of the system's owner, for a user who has none of its own."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def preview(self, names: Sequence[str]) -> Row:
        """What preview_through_gate() gives of these migrations. Does not write."""
        found = cast(Row, self._session.call_value("preview_through_gate", names=list(names)))
        found["assessed"] = assessed(found["assessed"])
        return found

    def facts(self, names: Sequence[str]) -> RollbackFacts:
        """What is known of the rollback of these migrations; the target says then whether it is production."""
        found = self.preview(names)
        self._session.set_production(found["production"])
        return RollbackFacts(
            fingerprint=found["fingerprint"],
            dry_run=found["dry_run"],
            ledgers=tuple(found["ledgers"]),
            known={row["migration_name"]: row for row in found["known"]},
            assessment=found["assessed"],
            foreseen=found["foreseen"],
        )

    def check(self, name: str) -> tuple[Row, Row | None]:
        """Whether a migration may be rolled back, and its assessment: as `Queries.check_facts`. Does not write."""
        found = self.preview([name])
        if not found["known"]:
            return {"found": False, "can_rollback": False, "reason": "Migration not found", "warnings": []}, None
        refused = found["dry_run"][0]
        checked = {**found["known"][0], **found["known"][0]["check"], "found": True}
        if not refused["success"]:
            checked |= {"can_rollback": False, "reason": refused["message"]}
        return checked, found["assessed"]

    def chain(self, name: str) -> list[Row]:
        """Rows of chain_through_gate(). Does not write."""
        rows = self._session.call("chain_through_gate", name=name)
        return [{**row, "assessed": assessed(row["assessed"])} for row in rows]

    def range(self, **asked: Any) -> list[str]:
        """What range_through_gate() finds, in the order of the rollback. Does not write."""
        return cast("list[str]", self._session.call_value("range_through_gate", **asked))

    def start_text(self, arguments: Row, asked: Row | None = None) -> bytes:
        """The call that records that an attempt begins, for a message; pure. `asked`: what it is for."""
        taken = ("names", "attempt_id", "client", "reason", "preview")
        given = {name: arguments[name] for name in taken}
        return self._session.call_text("start_through_gate", **given, asked=Jsonb(asked) if asked else None)

    def roll_back_text(self, arguments: Row) -> bytes:
        """The call that rolls back, for a message; pure. Of arguments that its function does not take, nothing."""
        taken = ("names", "attempt_id", "client", "reason", "preview", "snapshot_each", "accept_loss", "break_glass")
        given = {name: arguments[name] for name in (*taken, "session_settings") if name in arguments}
        return self._session.call_text("roll_back_through_gate", **given)

    def attempt_text(self, attempt_id: str) -> bytes:
        """A query for the events of an attempt that runs, for a message; pure."""
        return self._session.call_text("attempt_through_gate", attempt_id=attempt_id, wait=False)

    def attempt(self, attempt_id: str) -> list[Row]:
        """How an attempt ended, a row for each event. Waits for one that runs. Does not write."""
        return self._session.call("attempt_through_gate", attempt_id=attempt_id, wait=True)

    def attempts(self, attempt_ids: Sequence[str], *, wait: bool) -> list[Row]:
        """How attempts of this person began and ended. With `wait` once none is at work. Does not write."""
        return self._session.call("attempts_through_gate", attempt_ids=list(attempt_ids), wait=wait)

    def record_lost(self, attempt_id: str, *, cancelled: bool) -> None:
        """Record that nothing of an attempt was committed. Writes one event, unless its end is known."""
        self._session.call_in_transaction(
            "lost_through_gate", attempt_id=attempt_id, cancelled=cancelled, client=self._session.client
        )

    def snapshot(self, names: Sequence[str]) -> str | None:
        """Take a snapshot before a rollback. Writes it, unless nothing has changed since the last."""
        found = self._session.call_in_transaction(
            "snapshot_through_gate", names=list(names), client=self._session.client
        )
        taken = next(iter(found[0].values()))
        return None if taken is None else str(taken)

    def rehearse(
        self,
        names: Sequence[str],
        *,
        consent: bool,
        max_stall_ms: int | None,
        lock_timeout: str | None,
        statement_timeout: str,
    ) -> Row:
        """The report of rehearse_through_gate(). Writes one event, and undoes what ran."""
        call = self._session.call_text(
            "rehearse_through_gate",
            names=list(names),
            consent=consent,
            client=self._session.client,
            max_stall_ms=max_stall_ms,
        )
        found = self._session.transact(call, lock_timeout=lock_timeout, statement_timeout=statement_timeout)
        return cast(Row, next(iter(found[0][0].values())))

    def verify(self, name: str) -> Row:
        """The row of verify_through_gate(). Writes the event verified, and a snapshot where none was taken since."""
        return self._session.call_in_transaction("verify_through_gate", name=name, client=self._session.client)[0]


def assessed(row: dict[str, Any] | None) -> Any:
    """A row of assess_migrations() that came as JSON, as it comes otherwise; pure."""
    if row is None or row["known_at"] is None:
        return row
    return {**row, "known_at": datetime.fromisoformat(row["known_at"])}
