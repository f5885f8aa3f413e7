"""Answers the runbook's items with evidence, and keeps every answer in the audit trail. No SQL."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from migrollback_nb.core.errors import (
    ConnectionFailed,
    DatabaseError,
    MigrationFileError,
    MigrationNotFound,
    MigrollbackError,
    Refused,
    UsageError,
)
from migrollback_nb.core.times import show_time
from migrollback_nb.operations.rehearse import rehearse
from migrollback_nb.replay.rehearse_on_copy import rehearse_on_copy
from migrollback_nb.runbook import error_rates, hooks, items, smoke_tests
from migrollback_nb.runbook.items import Entry, Evidence, Outcome, Phase, RunbookState
from migrollback_nb.servers.pg_dump import BackupFailed, default_file, take_backup

if TYPE_CHECKING:
    from migrollback_nb.operations.workspace import Workspace
    from migrollback_nb.runbook.hooks import Hook
    from migrollback_nb.runbook.smoke_tests import SmokeTest

#: Items whose answer holds only as long as the schema, the rollback SQL and the dependents stay as they are.
_OF_THIS_STATE = frozenset({Evidence.CHECK, Evidence.REHEARSAL, Evidence.PREVIEW})

#: (outcome, the evidence in one line, all of it)
Answer = tuple[Outcome, str, dict[str, Any]]


class Checklist:
    """One run of the production checklist, for one migration of one database.

    How it stands is read from the audit trail each time: two people share it without further ado, and a restart loses
    nothing. A run begins when the migration is put in place; after a rollback the same run goes on, until the migration
    is applied again.

    Parameters
    ----------
    db : Workspace
        The connection; it is borrowed.
    name : str
        The migration, with or without ``.sql``.
    chain : bool
        Whether all that rests on it is to be rolled back with it.
    ticket : str, optional
        Goes with each answer into the audit trail.
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
        self._cancelled = threading.Event()
        # kept from now on: what is done after the migration was applied again belongs to the rollback that was looked
        # after here
        self.run = self._read(run).run

    def _read(self, run: int | None) -> RunbookState:
        if self.db.database.queries.find(self.name) is None:
            self.db.check(self.name)  # says so, with names that come close
        return items.read_run(self.name, self.db.database.queries.events(self.name), run=run)

    # -- questions -------------------------------------------------------------------------------------------------

    def state(self) -> RunbookState:
        """How the run stands now. Does not write."""
        state = self._read(self.run)
        return RunbookState(
            migration_name=state.migration_name,
            run=state.run,
            entries=state.entries,
            rolled_back=state.rolled_back,
            stale=self._stale(state),
        )

    def _stale(self, state: RunbookState) -> dict[str, str]:
        """Item -> why its answer no longer holds. What was true before the rollback stays so after it."""
        if state.rolled_back is not None:
            return {}
        found = {}
        now: dict[tuple[str, ...], str] = {}
        for item in items.ITEMS:
            entry = state.latest(item.key)
            if item.evidence not in _OF_THIS_STATE or entry is None or entry.attested or entry.outcome != Outcome.DONE:
                continue
            names = tuple(entry.evidence.get("migrations", ()))
            if names not in now:
                now[names] = self.db.database.queries.fingerprint(names)
            if self.name not in names or (self.chain and len(names) == 1 and names != self._names()):
                found[item.key] = "It was about another choice of migrations"
            elif now[names] != entry.evidence.get("fingerprint"):
                found[item.key] = "The schema, the rollback SQL or the dependents have changed since"
        return found

    def _names(self) -> tuple[str, ...]:
        return self.db.plan(self.name).steps if self.chain else (self.name,)

    @property
    def target_words(self) -> str:
        """Where all this happens, in words."""
        return str(self.db.target)

    # -- deeds -----------------------------------------------------------------------------------------------------

    def answer(self, key: str, *, note: str | None = None, file: Path | str | None = None) -> Entry:
        """Let the machine answer an item, and keep its answer. Writes one event; what it does besides, the item's `help` says.

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
        item = items.item_of(key)
        self._cancelled.clear()
        answers: dict[Evidence, Callable[[], Answer]] = {
            Evidence.CHECK: self._check,
            Evidence.REHEARSAL: self._rehearse,
            Evidence.PREVIEW: self._preview,
            Evidence.BACKUP: lambda: self._back_up(file, final=key == "final_backup"),
            Evidence.FILE: self._file,
            Evidence.MENDED_FILE: self._mended_file,
            Evidence.MAINTENANCE: lambda: self._hook(key, self.maintenance, hooks.MAINTENANCE_VARIABLE, "maintenance"),
            Evidence.NOTIFICATION: lambda: self._hook(
                key, self.notification, hooks.NOTIFICATION_VARIABLE, "notification"
            ),
            Evidence.TRAIL: self._trail,
            Evidence.SCHEMA: self._schema,
            Evidence.SMOKE_TESTS: self._smoke_tests,
            Evidence.ERROR_RATES: self._error_rates,
        }
        if item.evidence not in answers:
            raise UsageError(
                f"Only a person can answer “{item.text}”",
                hint=f'Write what you know: checklist.confirm_manually("{key}", "...").',
            )
        try:
            outcome, summary, evidence = answers[item.evidence]()
        except (Refused, BackupFailed, DatabaseError, MigrationFileError, MigrationNotFound) as error:
            # it was tried, and that is a part of the story
            outcome, summary, evidence = (
                Outcome.FAILED,
                error.message,
                {"error": type(error).__name__, "message": str(error)},
            )
        entry = self._keep(key, outcome, summary, evidence, note=note, attested=False)
        if key == "dry_run" and outcome == Outcome.DONE and self._read(self.run).latest("errors") is None:
            self.answer("errors")  # the last moment at which it can be known what is usual
        return entry

    def confirm_manually(self, key: str, note: str) -> Entry:
        """Answer an item on a person's word. Writes one event.

        Raises
        ------
        UsageError
            Without a note, and where only the audit trail can know.
        """
        item = items.item_of(key)
        if item.evidence == Evidence.TRAIL:
            raise UsageError(
                "Only the audit trail can say whether it was rolled back",
                hint="Roll it back with the rollback panel or migrollback rollback.",
            )
        if not note.strip():
            raise UsageError(f"“{item.text}” needs a note", hint=f"{item.help}.")
        return self._keep(key, Outcome.DONE, "On a person's word", {}, note=note.strip(), attested=True)

    def skip(self, key: str, reason: str) -> Entry:
        """Skip an item. Writes one event, with the reason.

        Raises
        ------
        UsageError
            Without a reason, and where nobody can go on without.
        """
        item = items.item_of(key)
        if item.evidence == Evidence.TRAIL:
            raise UsageError("There is no going on without the rollback itself")
        if not reason.strip():
            raise UsageError(f"Going on without “{item.text}” needs a reason: it goes into the audit trail")
        return self._keep(key, Outcome.SKIPPED, "Somebody went on without it", {}, note=reason.strip(), attested=True)

    def skip_open(self, reason: str) -> tuple[Entry, ...]:
        """Skip all open items before the rollback. Writes an event for each, with the reason."""
        return tuple(self.skip(item.key, reason) for item in self.state().open(Phase.BEFORE))

    def require_before(self) -> None:
        """Make sure that the items before the rollback are settled. Does not write.

        Raises
        ------
        Refused
            When one is open.
        """
        if missing := self.state().missing_before:
            raise Refused(
                missing,
                migration_name=self.name,
                hint="Answer them, or go on without them and say why: it goes into the audit trail.",
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
        if items.item_of(key).evidence != Evidence.BACKUP:
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
        self._cancelled.set()
        self.db.database.session.cancel()

    def _keep(
        self, key: str, outcome: Outcome, summary: str, evidence: Mapping[str, Any], *, note: str | None, attested: bool
    ) -> Entry:
        item = items.item_of(key)
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

    # -- evidence --------------------------------------------------------------------------------------------------

    def _of_this_state(self) -> dict[str, Any]:
        names = self._names()
        return {"migrations": list(names), "fingerprint": self.db.database.queries.fingerprint(names)}

    def _check(self) -> Answer:
        state = self._of_this_state()
        check = self.db.check(self.name)
        evidence = state | {
            "reason": check.reason,
            "dependents": list(check.dependent_migrations),
            "warnings": list(check.warnings),
        }
        if not check.dependent_migrations:
            return (
                Outcome.DONE if check.can_rollback else Outcome.FAILED,
                f"{check.reason}; nothing rests on it",
                evidence,
            )
        listed = ", ".join(check.dependent_migrations)
        if not self.chain:
            return Outcome.FAILED, f"{check.reason}: {listed}", evidence
        self.db.preview(self.name, chain=True)  # refuses, with the reason, when one of the chain may not go
        return Outcome.DONE, f"In one transaction, in this order: {', '.join(state['migrations'])}", evidence

    def _rehearse(self) -> Answer:
        """On a copy of the schema first, which harms nobody; where it succeeds there, on the target, which has the rows and the other sessions."""
        rehearsals = []
        remarks = []
        if self.scratch is not None:
            try:
                on_copy = partial(rehearse_on_copy, self.db.database, on=self.scratch)
                rehearsals.append(self.db.rehearse_by(on_copy, self._names()))
            except UsageError as error:
                remarks.append(f"Not rehearsed on a copy: {error.message}")
        if all(rehearsed.success for rehearsed in rehearsals):
            with self.db.database.session.operation():
                rehearsals.append(self.db.rehearse_by(partial(rehearse, self.db.database), self._names()))
        last = rehearsals[-1]
        evidence = {
            "migrations": [name for name, _ in last.steps],
            "fingerprint": last.fingerprint,
            "where": [rehearsed.where for rehearsed in rehearsals],
            "message": last.message,
            "dangers": list(last.dangers),
            "failure": None if last.failure is None else list(last.failure.lines()),
            "duration_ms": last.duration_ms,
            "remarks": remarks,
        }
        told = [f"Rehearsed {rehearsed.where}: {rehearsed.message}" for rehearsed in rehearsals]
        if last.duration_ms is not None:
            told.append(f"the SQL ran for {last.duration_ms:,.1f} ms")
        if last.dangers:
            told.append(
                f"to look at: {'; '.join(last.dangers[:3])}"
                + (f" and {len(last.dangers) - 3} more" if len(last.dangers) > 3 else "")
            )
        return Outcome.DONE if last.success else Outcome.FAILED, "; ".join(told + remarks), evidence

    def _preview(self) -> Answer:
        preview = self.db.preview(self.name, chain=self.chain)
        digest = hashlib.sha256(preview.sql.encode()).hexdigest()
        evidence = {
            "migrations": [name for name, _ in preview.steps],
            "fingerprint": preview.fingerprint,
            "sql": preview.sql,
            "sql_sha256": digest,
            "warnings": list(preview.warnings),
        }
        warned = f", {len(preview.warnings)} warnings" if preview.warnings else ""
        return (
            Outcome.DONE,
            (
                f"Would run {len(preview.sql):,} characters of SQL for {len(preview.steps)} migration(s){warned};"
                f" sha256 {digest}"
            ),
            evidence,
        )

    def _back_up(self, file: Path | str | None, *, final: bool) -> Answer:
        backup = take_backup(
            self.db.database.connection, file or default_file(self.name, final=final), cancelled=self._cancelled
        )
        return Outcome.DONE, str(backup), backup.to_dict()

    def _file(self) -> Answer:
        found = []
        for name in self._names():
            file = self.db.folder.read(name)
            registered = (self.db.database.queries.find(name) or {}).get("checksum")
            if registered is not None and registered != file.checksum:
                return (
                    Outcome.FAILED,
                    f"{file.path} is not the file that was registered",
                    {"file": str(file.path), "sha256": file.checksum, "was": registered},
                )
            if (trouble := file.up_problem) is not None:
                return (
                    Outcome.FAILED,
                    f"{file.path}:{trouble.line}: it could not be applied again: {trouble.message}",
                    {"file": str(file.path)},
                )
            found.append({"file": str(file.path), "sha256": file.checksum, "statements": len(file.up_statements())})
        order = " ".join(reversed(self._names()))
        return (
            Outcome.DONE,
            f"migrollback apply {order} puts it back: {len(found)} file(s) as registered",
            {"files": found},
        )

    def _mended_file(self) -> Answer:
        file = self.db.folder.read(self.name)
        registered = (self.db.database.queries.find(self.name) or {}).get("checksum")
        evidence = {"file": str(file.path), "sha256": file.checksum, "was": registered}
        if registered is None:
            return Outcome.FAILED, "It was registered without a file: there is nothing to compare with", evidence
        if registered == file.checksum:
            return Outcome.FAILED, f"{file.path} is still the file that was rolled back", evidence
        return Outcome.DONE, f"{file.path} was changed since: sha256 {file.checksum}", evidence

    def _hook(self, key: str, given: Hook | None, variable: str, words: str) -> Answer:
        hook, told = hooks.configured(given, variable)
        if hook is None:
            raise UsageError(
                f"No {words} hook is configured",
                hint=(
                    f"Give one ({words}=...), put a shell command into {variable}, or do it by hand and say so in a"
                    " note."
                ),
            )
        target = self.db.target
        facts = {
            "event": key,
            "migration": self.name,
            "ticket": self.ticket or "",
            "host": target.host,
            "port": str(target.port),
            "database": target.database,
            "user": target.user,
        }
        result = hooks.run_hook(hook, told, facts)
        return Outcome.DONE if result.success else Outcome.FAILED, str(result), result.to_dict()

    def _trail(self) -> Answer:
        event = self._read(self.run).rolled_back
        if event is None:
            raise UsageError(
                f"{self.name} has not been rolled back yet", hint="Use the rollback panel, or migrollback rollback."
            )
        kept = {
            "event_number": event["event_number"],
            "attempt_id": event["attempt_id"],
            "duration_ms": event["details"].get("duration_ms"),
        }
        return Outcome.DONE, items.execution_summary(event), kept

    def _schema(self) -> Answer:
        event = self._read(self.run).rolled_back
        if event is None:
            raise UsageError(f"{self.name} has not been rolled back yet: there is nothing to verify")
        names = self._rolled_back_together(event)
        from migrollback_nb.core.results.verification import Verification

        before = self.db.database.queries.snapshot_before(event["event_number"])
        fingerprint = next(
            (
                entry.evidence.get("fingerprint")
                for entry in reversed(self._read(self.run).entries)
                if entry.item in ("dry_run", "staging")
            ),
            None,
        )
        found = Verification.from_row(self.db.database.queries.verify_rollback(names, before, None, fingerprint))
        evidence = {
            "verdict": found.verdict,
            "message": found.message,
            "migrations": list(names),
            "differences": list(found.lines())[:50],
        }
        return (
            Outcome.DONE if found.verdict in ("restored", "as rehearsed") else Outcome.FAILED,
            found.message,
            evidence,
        )

    def _rolled_back_together(self, event: Mapping[str, Any]) -> tuple[str, ...]:
        """The migrations of the attempt that rolled this one back, in order."""
        attempt = event["attempt_id"]
        if attempt is None:
            return (self.name,)
        return tuple(
            row["migration_name"]
            for row in self.db.database.attempts.ended(str(attempt))
            if row["event"] == "rolled_back"
        )

    def _smoke_tests(self) -> Answer:
        if not self.smoke_tests:
            raise UsageError(
                "No smoke tests are given",
                hint=(
                    'Give them as smoke_tests=[("SELECT count(*) FROM users", 100)], or run them by hand and say so in'
                    " a note."
                ),
            )
        results = [self._smoke_test(test) for test in self.smoke_tests]
        failed = [result.name for result in results if not result.success]
        evidence = {"tests": [result.to_dict() for result in results]}
        if failed:
            return Outcome.FAILED, f"{len(failed)} of {len(results)} smoke tests failed: {', '.join(failed)}", evidence
        return Outcome.DONE, f"{len(results)} smoke tests came out as expected", evidence

    def _smoke_test(self, test: SmokeTest) -> smoke_tests.SmokeResult:
        began = time.monotonic()
        rows: Sequence[Sequence[Any]] | None = None
        trouble: str | None = None
        try:
            rows = self.db.database.queries.ask_read_only(test.sql)
        except ConnectionFailed:
            raise
        except MigrollbackError as error:
            trouble = error.message
        return smoke_tests.compare(test, rows, trouble, round((time.monotonic() - began) * 1000, 3))

    def _error_rates(self) -> Answer:
        state = self._read(self.run)
        now = self.db.database.queries.error_counters()
        if state.rolled_back is None:
            return (
                Outcome.NOTED,
                f"Counters before the rollback, at {show_time(datetime.fromisoformat(now['at']))}",
                {"counters": now},
            )
        before = [
            entry
            for entry in state.entries
            if entry.item == "errors"
            and entry.outcome == Outcome.NOTED
            and entry.event_number < state.rolled_back["event_number"]
        ]
        if not before:
            return Outcome.FAILED, "There is no reading from before the rollback to compare with", {"counters": now}
        compared = error_rates.compare(before[-1].evidence["counters"], now)
        evidence = {"before": before[-1].evidence["counters"], "after": now, **compared}
        if compared["quiet"]:
            return (
                Outcome.NOTED,
                (
                    f"Too early to tell: no transaction was counted in the {compared['seconds']:.0f} s since the"
                    " reading before the rollback"
                ),
                evidence,
            )
        good = not compared["risen"] and not compared["reset"]
        return Outcome.DONE if good else Outcome.FAILED, "; ".join(compared["lines"]), evidence


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
