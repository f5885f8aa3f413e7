"""Archives of destroyed values: found out by a trial, listed, restored, thrown away, erased, read out. Writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, cast

from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.database.retries import retrying
from migrollback_nb.database.session import Row, Session
from migrollback_nb.database.settings import milliseconds
from migrollback_nb.database.stall_watch import StallWatch

#: Where begin_archive() finds what a trial has found already.
FOUND = "migrollback.archive_found"
#: SQLSTATE of a right that is missing.
_NO_RIGHT = "42501"


@contextmanager
def also_setting(session: Session, wanted: dict[str, str]) -> Iterator[None]:
    """Set these in each transaction of a session, too, while the block lasts. Does not write."""
    before, session.more_settings = session.more_settings, session.more_settings | wanted
    try:
        yield
    finally:
        session.more_settings = before


class ArchiveCommands:
    """What is kept of destroyed values."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _call(self, function: str, /, **arguments: Any) -> list[Row]:
        call = self._session.call_text(function, **arguments)
        return retrying(self._session, lambda lock_timeout: self._session.transact(call, lock_timeout=lock_timeout)[0])

    def is_on(self) -> bool:
        """Whether the setting migrollback.archive is on in this session. Does not write."""
        return bool(self._session.call_value("is_archiving"))

    def destroyed_in_trial(self, record: Row, statements: Sequence[str], *, max_stall: str) -> list[Any]:
        """What SQL destroys of which its text does not tell it: it runs once, undone. Does not write.

        Raises
        ------
        Refused
            When others would have waited behind it for longer than `max_stall`.
        """
        bound = milliseconds(max_stall, option="max_stall") or None
        with StallWatch(self._session, bound) as watch:
            watch.wait()
            call = self._session.call_text(
                "destroyed_in_trial",
                destroys=Jsonb(record["metadata"].get("destroys")),
                statements=list(statements),
                search_path=record.get("search_path") or self._session.call_value("effective_search_path"),
                session_path=self._session.query_on_own_path("SELECT pg_catalog.current_setting('search_path') AS p")[
                    0
                ]["p"],
                session_settings=Jsonb(self._session.session_settings()),
                watch=watch.key,
            )
            try:
                with watch.bounding():
                    rows = self._session.transact(call, undo=True)
            except errors.DatabaseError as error:
                if error.sqlstate != "57014" or not watch.stopped or self._session.cancelled:
                    raise
                raise errors.Refused(
                    f"What {record['name']} destroys is not known: to find out, it runs once and is undone, and that"
                    f" would have stalled others for longer than {max_stall}",
                    migration_name=record["name"],
                    hint="Nothing was changed. Let others wait for longer: --max-stall (Timeouts). Or apply it without"
                    " --archive: then what it destroys is lost.",
                ) from error
        return cast(list[Any], next(iter(rows[0][0].values())))

    def begin_around(self, record: Row, statements: Sequence[str]) -> int | None:
        """Keep whole what another tool is about to destroy. Writes. Returns the archive."""
        rows = self._call(
            "begin_archive_around",
            name=record["name"],
            destroys=Jsonb(record["metadata"].get("destroys")),
            statements=list(statements),
        )
        return cast("int | None", next(iter(rows[0].values())))

    def end_around(self, archive: int, name: str) -> None:
        """Leave of it what was destroyed, or nothing where the migration was not applied. Writes."""
        self._call("end_archive_around", archive=archive, name=name, client=self._session.client)

    def listed(self) -> list[Row]:
        """The rows of migration_archive_list(). Does not write."""
        return self._session.call("migration_archive_list")

    def restore(self, event: int, reason: str | None) -> Row:
        """Put back what the archive of an event holds. Writes. Returns what restore_migration_archive() does."""
        rows = self._call("restore_migration_archive", event=event, reason=reason, client=self._session.client)
        return cast(Row, next(iter(rows[0].values())))

    def try_restore(self, event: int, *, max_stall: str) -> tuple[Row, list[Row]]:
        """Put back what the archive of an event holds, and undo that. Does not write.

        Returns what restore_migration_archive() does, and the rows of archive_conflicts().

        Raises
        ------
        Refused
            When others would have waited behind it for longer than `max_stall`.
        """
        call = self._session.call_text("restore_migration_archive", event=event, client=self._session.client)
        keys = self._session.call_text("archive_conflicts", event=event)
        try:
            restored, conflicts = self._undone(event, max_stall, call, keys)
        except errors.DatabaseError as error:
            if error.sqlstate != _NO_RIGHT:
                raise
            # who operates restores, and does not read
            restored, conflicts = *self._undone(event, max_stall, call), []
        return cast(Row, next(iter(restored[0].values()))), conflicts

    def _undone(self, event: int, max_stall: str, *calls: bytes) -> list[list[Row]]:
        """The rows of these calls, in one transaction that is undone; others wait no longer than `max_stall`."""
        bound = milliseconds(max_stall, option="max_stall") or None
        with StallWatch(self._session, bound) as watch:
            watch.wait()
            if watch.key is not None:
                calls = (f"SELECT FROM pg_catalog.pg_advisory_xact_lock_shared({watch.key})".encode(), *calls)
            try:
                with watch.bounding():
                    rows = retrying(
                        self._session,
                        lambda lock_timeout: self._session.transact(*calls, lock_timeout=lock_timeout, undo=True),
                    )
            except errors.DatabaseError as error:
                if error.sqlstate != "57014" or not watch.stopped or self._session.cancelled:
                    raise
                raise errors.Refused(
                    f"To find out what comes back from the archive of event {event}, it is put back and undone, and"
                    f" that would have stalled others for longer than {max_stall}",
                    hint="Nothing was changed. Let others wait for longer: --max-stall (Timeouts).",
                ) from error
        return rows if watch.key is None else rows[1:]

    def conflicts(self, event: int) -> list[Row]:
        """Rows that were left as they are: table, keys, count; none where this role may not read. Does not write."""
        with suppress(errors.DatabaseError):
            return self._session.call("archive_conflicts", event=event)
        return []

    def prune(self, older_than: datetime) -> Row:
        """The row of prune_migration_archives(). Writes."""
        return self._call("prune_migration_archives", older_than=older_than, client=self._session.client)[0]

    def erase(self, table: str, key: str, reason: str | None) -> int:
        """Take one row of a table out of all archives. Writes, with an event. Returns how many kept rows went."""
        rows = self._call("erase_from_archives", from_table=table, key=key, reason=reason, client=self._session.client)
        return cast(int, next(iter(rows[0].values())))

    def contents(self) -> Iterator[Row]:
        """All that archives hold, a row of a table at a time. Does not write."""
        parts = self._session.query("SELECT t.part FROM {schema}.migration_archived_tables t ORDER BY t.part")
        for part in parts:
            for row in self._session.call("export_archive_part", part=part["part"]):
                yield next(iter(row.values()))
