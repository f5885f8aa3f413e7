"""The production checklist of one rollback: keeps each answer to its items in the audit log, says how it stands."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from migrollback_nb.core.errors import (
    DatabaseError,
    MigrationFileError,
    MigrationNotFound,
    Refused,
    UsageError,
)
from migrollback_nb.core.times import show_time
from migrollback_nb.runbook.evidence import look
from migrollback_nb.runbook.items import ITEMS, Evidence, Outcome, Phase, item_of
from migrollback_nb.runbook.run import Entry, RunbookState, read_run
from migrollback_nb.servers.pg_dump import BackupFailed

if TYPE_CHECKING:
    from migrollback_nb.operations.workspace import Workspace
    from migrollback_nb.runbook.hooks import Hook
    from migrollback_nb.runbook.smoke_tests import SmokeTest

#: Items whose answer holds only as long as the schema, the rollback SQL and the dependents stay as they are.
_OF_THIS_STATE = frozenset({Evidence.CHECK, Evidence.REHEARSAL, Evidence.PREVIEW})


class Checklist:
    """One run of the production checklist, for one migration of one database.

    How it stands is read from the audit log each time: two people share one, and a restart loses nothing. A run
    begins when the migration is applied; after a rollback the same run goes on, until the migration
    is applied again.

    Parameters
    ----------
    db : Workspace
        The connection; it is borrowed.
    name : str
        The migration, with or without ``.sql``.
    chain : bool
        Whether all that depends on it is to be rolled back with it.
    ticket : str, optional
        Goes with each answer into the audit log.
    run : int, optional
        An earlier run, by the number of the event that began it.
    scratch : str, optional
        Where the rollback is rehearsed before it is rehearsed on the target: ``scratch``, or the DSN of a server; None:
        on the target alone.
    smoke_tests : iterable
        As `smoke_tests.read_tests` takes them: ``("SELECT count(*) FROM users", 100)``.
    maintenance, notification : callable or str, optional
        Hooks: a callable, or a shell command; by default the commands in the variables MIGROLLBACK_MAINTENANCE_HOOK and
        MIGROLLBACK_NOTIFICATION_HOOK. What they say is kept: let them print no secret.

    Examples
    --------
    ::

        checklist = mr.Checklist(db, "20250120_add_user_settings", ticket="INC-42")
        checklist.answer("dependents")
        checklist.confirm_manually("window", "22:00 to 22:30 UTC, agreed with support")
        checklist.skip("staging", "there is no staging with this data")
        checklist.state()
    """

    def __init__(
        self,
        db: Workspace,
        name: str,
        *,
        chain: bool = False,
        ticket: str | None = None,
        run: int | None = None,
        scratch: str | None = "scratch",
        smoke_tests: Iterable[SmokeTest | Mapping[str, Any] | tuple[str, Any]] = (),
        maintenance: Hook | None = None,
        notification: Hook | None = None,
    ) -> None:
        from migrollback_nb.runbook.smoke_tests import read_tests

        self.db = db
        self.name = name.removesuffix(".sql")
        self.chain = chain
        self.ticket = ticket
        self.scratch = scratch
        self.smoke_tests = read_tests(smoke_tests)
        self.maintenance = maintenance
        self.notification = notification
        self.cancelled = threading.Event()
        # kept from now on: what is done after the migration was applied again belongs to the rollback that was looked
        # after here
        self.run = self._read(run).run

    def __repr__(self) -> str:
        chain = " with its chain" if self.chain else ""
        return f"<Checklist of {self.name}{chain}, run {self.run}, on {self.target_words}>"

    def _read(self, run: int | None) -> RunbookState:
        if self.db.database.queries.find(self.name) is None:
            self.db.check(self.name)  # says so, with names that come close
        return read_run(self.name, self.db.database.queries.events(self.name), run=run)

    # -- questions -------------------------------------------------------------------------------------------------

    def state(self) -> RunbookState:
        """How the run stands now. Does not write."""
        state = self.recorded()
        return RunbookState(
            migration_name=state.migration_name,
            run=state.run,
            entries=state.entries,
            rolled_back=state.rolled_back,
            stale=self._stale(state),
        )

    def recorded(self) -> RunbookState:
        """As `state`, without asking whether the answers still hold. Does not write."""
        return self._read(self.run)

    def _stale(self, state: RunbookState) -> dict[str, str]:
        """Item -> why its answer no longer holds. What was true before the rollback stays so after it."""
        if state.rolled_back is not None:
            return {}
        found = {}
        now: dict[tuple[str, ...], str] = {}
        for item in ITEMS:
            entry = state.latest(item.key)
            if item.evidence not in _OF_THIS_STATE or entry is None or entry.attested or entry.outcome != Outcome.DONE:
                continue
            names = tuple(entry.evidence.get("migrations", ()))
            if names not in now:
                now[names] = self.db.database.queries.fingerprint(names)
            if self.name not in names or (self.chain and len(names) == 1 and names != self.steps()):
                found[item.key] = "It was about another choice of migrations"
            elif now[names] != entry.evidence.get("fingerprint"):
                found[item.key] = "The schema, the rollback SQL or the dependents have changed since"
        return found

    def steps(self) -> tuple[str, ...]:
        """The migrations that are rolled back, in their order. Does not write."""
        return self.db.plan(self.name).steps if self.chain else (self.name,)

    @property
    def target_words(self) -> str:
        """Where all this happens, in words."""
        return str(self.db.target)

    # -- answers ---------------------------------------------------------------------------------------------------

    def answer(self, key: str, *, note: str | None = None, file: Path | str | None = None) -> Entry:
        """Let the machine answer an item, and keep its answer. Writes one event, and what the item's `help` says.

        Parameters
        ----------
        key : str
            The item.
        note : str, optional
            What a person has to say to it.
        file : Path or str, optional
            Of a backup: where it goes.

        Raises
        ------
        UsageError
            When only a person can answer it, no hook is configured, or there is nothing to look at yet; nothing is
            written then.
        """
        item = item_of(key)
        self.cancelled.clear()
        try:
            outcome, summary, evidence = look(self, item, file=file)
        except (Refused, BackupFailed, DatabaseError, MigrationFileError, MigrationNotFound) as error:
            # it was tried, and that is a part of the story
            outcome, summary, evidence = (
                Outcome.FAILED,
                error.message,
                {"error": type(error).__name__, "message": str(error)},
            )
        entry = self._keep(key, outcome, summary, evidence, note=note, attested=False)
        if key == "dry_run" and outcome == Outcome.DONE and self.recorded().latest("errors") is None:
            self.answer("errors")  # the last moment at which it can be known what is usual
        return entry

    def confirm_manually(self, key: str, note: str) -> Entry:
        """Answer an item on a person's word. Writes one event.

        Raises
        ------
        UsageError
            Without a note, and where only the audit log can know.
        """
        item = item_of(key)
        if item.evidence == Evidence.AUDIT_LOG:
            raise UsageError(
                "Only the audit log can say whether it was rolled back",
                hint="Roll it back with the rollback panel or migrollback rollback.",
            )
        if not note.strip():
            raise UsageError(f"“{item.text}” needs a note", hint=f"{item.help}.")
        return self._keep(key, Outcome.DONE, "Confirmed manually", {}, note=note.strip(), attested=True)

    def skip(self, key: str, reason: str) -> Entry:
        """Skip an item. Writes one event, with the reason.

        Raises
        ------
        UsageError
            Without a reason, and for the rollback itself.
        """
        item = item_of(key)
        if item.evidence == Evidence.AUDIT_LOG:
            raise UsageError("The rollback itself cannot be skipped")
        if not reason.strip():
            raise UsageError(f"Skipping “{item.text}” needs a reason: it goes into the audit log")
        return self._keep(key, Outcome.SKIPPED, "Skipped", {}, note=reason.strip(), attested=True)

    def skip_open(self, reason: str) -> tuple[Entry, ...]:
        """Skip all open items before the rollback. Writes an event for each, with the reason."""
        return tuple(self.skip(item.key, reason) for item in self.state().open(Phase.BEFORE))

    def require_before(self) -> None:
        """Make sure that the items before the rollback are complete. Does not write.

        Raises
        ------
        Refused
            When one is open.
        """
        if missing := self.state().missing_before:
            raise Refused(
                missing,
                migration_name=self.name,
                hint="Answer them, or skip them and say why: it goes into the audit log.",
            )

    def record_backup(
        self,
        key: str,
        id: str,
        *,
        bytes: int | None = None,
        taken_at: str | None = None,
        sha256: str | None = None,
        note: str | None = None,
    ) -> Entry:
        """Name a backup of your own. Writes one event.

        Parameters
        ----------
        key : {'backup', 'final_backup'}
            The item.
        id : str
            What it is called where it lies: a snapshot's id, an address; or a file of this machine, of which size, time
            and checksum are found out.
        bytes : int, optional
            Its size.
        taken_at : str, optional
            When it was taken.
        sha256 : str, optional
            Its checksum.
        note : str, optional
            What else is to be said.
        """
        if item_of(key).evidence != Evidence.BACKUP:
            raise UsageError(f"{key} is no backup", hint="Use backup or final_backup.")
        if not id.strip():
            raise UsageError("A backup of your own needs its id", hint="A snapshot's id, an address, or a file.")
        evidence: dict[str, Any] = {"backup_id": id.strip(), "bytes": bytes, "taken_at": taken_at, "sha256": sha256}
        file = Path(id.strip()).expanduser()
        if file.is_file():
            status = file.stat()
            with file.open("rb") as content:
                evidence["sha256"] = hashlib.file_digest(content, "sha256").hexdigest()
            evidence |= {
                "bytes": status.st_size,
                "taken_at": datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds"),
            }
        known = [f"{evidence['bytes']:,} bytes" if evidence["bytes"] is not None else "size not known"]
        known.append(f"taken at {_shown(evidence['taken_at'])}" if evidence["taken_at"] else "time not known")
        known.append(f"sha256 {evidence['sha256']}" if evidence["sha256"] else "checksum not known")
        return self._keep(
            key, Outcome.DONE, f"Own backup {id.strip()}: {', '.join(known)}", evidence, note=note, attested=True
        )

    def cancel(self) -> None:
        """Cancel what is running here: a backup, a rehearsal, a smoke test. What a transaction did is undone."""
        self.cancelled.set()
        self.db.database.session.cancel()

    def _keep(
        self, key: str, outcome: Outcome, summary: str, evidence: Mapping[str, Any], *, note: str | None, attested: bool
    ) -> Entry:
        item = item_of(key)
        details = {
            "item": key,
            "phase": str(item.phase),
            "text": item.text,
            "outcome": str(outcome),
            "summary": summary,
            "evidence": _for_json(evidence),
            "attested": attested,
            "run": self.run,
            "ticket": self.ticket,
        }
        event = self.db.database.commands.record_checklist_item(
            self.name, reason=note, details={name: value for name, value in details.items() if value is not None}
        )
        return cast(Entry, Entry.from_event(event))


def _for_json(value: Any) -> Any:
    """A value as jsonb can keep it: times and ids as text, and no NUL."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(name): _for_json(one) for name, one in value.items()}
        case list() | tuple():
            return [_for_json(one) for one in value]
    return str(value).replace("\x00", "")


def _shown(taken_at: str) -> str:
    """A time as people write it, in the one form for people; as it is where it is no time."""
    try:
        moment = datetime.fromisoformat(taken_at)
    except ValueError:
        return taken_at
    return show_time(moment) if moment.tzinfo is not None else taken_at
