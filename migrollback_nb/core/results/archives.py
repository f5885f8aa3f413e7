"""What is kept of destroyed values, and what came back of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.text import counted, one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What was kept of what one migration destroyed."""

    migration_name: str  #: the migration
    event: int  #: which `restore_archive` takes
    tables: tuple[str, ...] = ()  #: whose rows and values they are
    rows: int = 0  #: kept
    bytes: int = 0  #: that they take
    complete: bool | str = True  #: True; else why not all of it was kept

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Archived:
        """Of a row of migration_archive_list()."""
        return cls(
            migration_name=row["migration_name"],
            event=row["event"],
            tables=tuple(row["tables"]),
            rows=row["rows"],
            bytes=row["bytes"],
            complete=row["complete"],
        )

    @property
    def words(self) -> str:
        """In words."""
        whole = "" if self.complete is True else f"; not all of it: {self.complete}"
        if not self.tables:
            return f"Nothing was kept{whole}"
        kept = f"{counted(self.rows, 'row')} of {', '.join(self.tables)} kept"
        return f"{kept} ({self.bytes:,} bytes, event {self.event}){whole}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "migration_name": self.migration_name,
            "event": self.event,
            "tables": list(self.tables),
            "rows": self.rows,
            "bytes": self.bytes,
            "complete": self.complete,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Rows of a table that another session has written since they were archived: left as they are."""

    table: str  #: its name
    count: int  #: how many rows
    keys: tuple[Any, ...] = ()  #: their keys, the first 1,000; none where this role may not read them

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"table": self.table, "keys": list(self.keys), "count": self.count}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredTable:
    """What came back of one archived table."""

    table: str  #: its name
    what: str  #: how it was destroyed
    restored: int  #: rows that are as they were
    conflicts: int = 0  #: rows that were written or deleted since, and were left as they are
    overwritten: int = 0  #: rows that were written since, and overwritten by choice
    differing: int = 0  #: rows that are not as they were: a trigger changed them, or they could not be put back
    failure: str | None = None  #: why nothing was put back
    triggers: tuple[str, ...] = ()  #: triggers of the user's on it, which fired unless they were disabled

    @property
    def words(self) -> str:
        """In words."""
        return self.said(False)

    def said(self, dry_run: bool) -> str:
        """In words: what came back, or what would."""
        one = self.restored == 1
        are = "would be" if dry_run else "is" if one else "are"
        as_before = "as it was" if one else "as they were"
        found = [f"{counted(self.restored, 'row')} of {self.table} {are} {as_before} ({self.what})"]
        if self.overwritten:
            were = "would be" if dry_run else _was(self.overwritten)
            found.append(f"{self.overwritten:,} that {_was(self.overwritten)} written since {were} overwritten")
        if self.conflicts:
            left = "would be left" if dry_run else "left"
            as_now = "as it is" if self.conflicts == 1 else "as they are"
            found.append(f"{self.conflicts:,} {_was(self.conflicts)} written since and {left} {as_now}")
        if self.failure:
            found.append(f"not put back: {self.failure}")
        elif self.differing:
            found.append(f"{self.differing:,} {'would ' if dry_run else ''}differ")
        if self.triggers:
            found.append(f"triggers there: {', '.join(self.triggers)}")
        return ", ".join(found)


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What came back from an archive."""

    migration_name: str  #: the migration
    event: int  #: of which the archive is
    tables: tuple[RestoredTable, ...] = ()  #: what came back of each
    conflicts: tuple[Conflict, ...] = ()  #: rows that were written since
    sequences: tuple[str, ...] = ()  #: sequences that were set to where they stood
    dry_run: bool = False  #: it was undone: nothing was changed

    @classmethod
    def of(
        cls,
        name: str,
        report: Mapping[str, Any],
        conflicts: Sequence[Mapping[str, Any]] = (),
        *,
        dry_run: bool = False,
    ) -> RestoreResult:
        """Of what restore_archive() returns, and archive_conflicts()."""
        known = {one["table"]: tuple(one["keys"]) for one in conflicts}
        fields = ("table", "what", "restored", "conflicts", "overwritten", "differing", "failure")
        tables = tuple(
            RestoredTable(
                **{name: one[name] for name in fields if name in one}, triggers=tuple(one.get("triggers", ()))
            )
            for one in report["tables"]
        )
        return cls(
            migration_name=name,
            event=report["event"],
            tables=tables,
            conflicts=tuple(
                Conflict(table=one.table, count=one.conflicts, keys=known.get(one.table, ()))
                for one in tables
                if one.conflicts
            ),
            sequences=tuple(report.get("sequences", ())),
            dry_run=dry_run,
        )

    @property
    def success(self) -> bool:
        """Whether all of it is as it was, but for conflicts."""
        return not any(one.failure or one.differing for one in self.tables)

    @property
    def message(self) -> str:
        """In words."""
        said = "; ".join(one.said(self.dry_run) for one in self.tables) or "The archive holds nothing"
        return f"Nothing was changed: {said}" if self.dry_run else said

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback restore-archive --format json`."""
        return {
            "success": self.success,
            "message": self.message,
            "migration_name": self.migration_name,
            "event": self.event,
            "dry_run": self.dry_run,
            "restored": [
                {
                    "table": one.table,
                    "what": one.what,
                    "rows": one.restored,
                    "overwritten": one.overwritten,
                    "differing": one.differing,
                    "failure": one.failure,
                    "triggers": list(one.triggers),
                }
                for one in self.tables
            ],
            "conflicts": [one.to_dict() for one in self.conflicts],
            "sequences": list(self.sequences),
        }

    def __repr__(self) -> str:
        return one_line(f"<RestoreResult {self.message}>")

    def _repr_html_(self) -> str:
        return html.definitions([(one.table, one.said(self.dry_run)) for one in self.tables])


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivesChanged:
    """What became of archives that were thrown away, erased or written to a file."""

    what: str  #: pruned, erased or exported
    count: int  #: archives, or rows
    bytes: int = 0  #: that went, or were written
    path: str | None = None  #: the file

    @property
    def message(self) -> str:
        """In words."""
        if self.what == "pruned":
            return f"{counted(self.count, 'archive')} thrown away ({self.bytes:,} bytes)"
        if self.what == "erased":
            return f"{counted(self.count, 'kept row')} erased from the archives"
        return f"{counted(self.count, 'kept row')} written to {self.path}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {self.what: self.count, "bytes": self.bytes} | ({} if self.path is None else {"path": self.path})

    def __repr__(self) -> str:
        return one_line(f"<ArchivesChanged {self.message}>")

    def _repr_html_(self) -> str:
        return html.definitions([("Archives", self.message)])


@dataclass(frozen=True, slots=True, kw_only=True)
class AroundResult:
    """How another tool's run ended, and what was kept of what it destroyed."""

    exit_status: int  #: of the tool
    registered: tuple[str, ...] = ()  #: migrations that it applied
    archived: tuple[Archived, ...] = ()  #: what was kept of each
    warnings: tuple[str, ...] = ()  #: what a person should know: the gap that remains

    @property
    def success(self) -> bool:
        """Whether the tool ended well."""
        return self.exit_status == 0

    @property
    def message(self) -> str:
        """In words."""
        kept = "; ".join(f"{one.migration_name}: {one.words}" for one in self.archived) or "nothing was destroyed"
        return f"The command ended with status {self.exit_status}, {len(self.registered)} registered; {kept}"

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback around --format json`."""
        return {
            "success": self.success,
            "exit_status": self.exit_status,
            "registered": list(self.registered),
            "archived": [one.to_dict() for one in self.archived],
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return one_line(f"<AroundResult {self.message}>")

    def _repr_html_(self) -> str:
        return html.definitions([("Around", self.message)]) + html.warnings(self.warnings)
