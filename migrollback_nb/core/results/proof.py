"""How the rollbacks of a folder's migrations did on a scratch database. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from migrollback_nb.core import html, kinds
from migrollback_nb.core.errors import shown
from migrollback_nb.core.results.assessment import Effect
from migrollback_nb.core.results.schema import SchemaChange
from migrollback_nb.core.text import as_line, as_text, counted

Grade = Literal["restores", "loses_data", "cannot_reapply", "differs", "fails", "unknown", "no_rollback"]

#: Grades from the best to the worst; the last two have nothing to judge.
GRADES: tuple[Grade, ...] = (
    "restores", "loses_data", "cannot_reapply", "differs", "fails", "unknown", "no_rollback",
)  # fmt: skip
_MARKS = {"restores": "✅", "loses_data": "⚠️", "unknown": "❔", "no_rollback": "⚪"}


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class DataLoss:
    """Rows or values of one table that a rollback did not bring back."""

    identity: str  #: the table, qualified and quoted
    rows: int  #: how many it held before the up migration
    rows_kept: int  #: how many of them it still holds, unchanged
    columns: tuple[str, ...] = ()  #: columns whose values differ, where all rows are still there

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `SchemaChange`, so that differences of both kinds stand in one list."""
        new = {"rows": self.rows_kept} | ({"columns": list(self.columns)} if self.columns else {})
        return {
            "change": "lost",
            "kind": "rows",
            "identity": self.identity,
            "old_definition": {"rows": self.rows},
            "new_definition": new,
        }

    def __str__(self) -> str:
        gone = self.rows - self.rows_kept
        if self.columns:
            return f"! values of {', '.join(self.columns)} in {gone} of {self.rows} rows of {self.identity}"
        return f"! {gone} of {self.rows} rows of {self.identity}"


@as_text
@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationProof:
    """What the rollback of one migration does, tried at its place in the order."""

    migration_name: str  #: the migration
    grade: Grade  #: what the rollback does to what was there before the up migration
    sqlstate: str | None = None  #: of the error, where it fails
    statement: str | None = None  #: that failed
    differences: tuple[SchemaChange | DataLoss, ...] = ()  #: what is not as before: objects, rows
    effects: tuple[Effect, ...] = ()  #: what of values, sequences and the like is not as before
    remarks: tuple[str, ...] = ()  #: what a person should know
    reapplies: bool | None = (
        None  #: whether the up migration works again after the rollback; None where there was nothing to try
    )
    seconds: float = 0.0  #: how long all of it took
    checksum: str | None = None  #: of the text that was tried; None where it could not be read
    rollback_md5: str | None = None  #: of the rollback SQL that was tried; None where there is none
    #: whether the grade, kept in a database, is that of what is registered there; None where it is not kept
    registered: bool | None = None

    @property
    def mark(self) -> str:
        """One sign for the grade."""
        return _MARKS.get(self.grade, "❌")

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback verify --format json`; registered is among them where the grades were recorded."""
        kept = {} if self.registered is None else {"registered": self.registered}
        return {
            "migration_name": self.migration_name,
            "grade": self.grade,
            "sqlstate": self.sqlstate,
            "statement": self.statement,
            "differences": [difference.to_dict() for difference in self.differences],
            "effects": [effect.to_dict() for effect in self.effects],
            "remarks": list(self.remarks),
            "reapplies": self.reapplies,
            "seconds": round(self.seconds, 3),
            **kept,
        }

    def lines(self) -> tuple[str, ...]:
        """The verdict's details in words, one line each."""
        parts = (
            [f"{self.sqlstate or 'no SQLSTATE'}: {' '.join(shown(self.statement).split())}"] if self.statement else []
        )
        parts += [str(difference) for difference in self.differences]
        # of values and of what the schema shows speak the differences
        told = {getattr(difference, "identity", None) for difference in self.differences}
        parts += [
            f"! {effect.identity}: {effect.detail}"
            for effect in self.effects
            if effect.effect != "values_not_restored" and effect.identity not in told
        ]
        return (*parts, *self.remarks)

    def __repr__(self) -> str:
        return "\n".join(
            (f"<MigrationProof {self.migration_name}: {self.grade}>", *(f"  {line}" for line in self.lines()))
        )

    def _repr_html_(self) -> str:
        details = [
            (name, value)
            for name, value in (("Details", "\n".join(self.lines())), ("SQLSTATE", self.sqlstate or ""))
            if value
        ]
        return html.banner(f"{self.migration_name}: {self.grade}", kinds.style(self.grade)) + html.definitions(details)


@as_text
@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The verdicts on a folder of migrations."""

    migrations: tuple[MigrationProof, ...]  #: in the order in which they were tried
    server: str  #: where, in words
    shares: dict[str, float] = field(default_factory=dict)  #: seconds spent on: sql, schema, rows, scratch
    digests: int = 0  #: how often the schema was read whole
    warnings: tuple[str, ...] = ()  #: of the folder as a whole

    @property
    def counts(self) -> dict[str, int]:
        """Grade -> how many migrations have it; all grades."""
        found = Counter(migration.grade for migration in self.migrations)
        return {grade: found[grade] for grade in GRADES}

    def below(self, required: Grade) -> tuple[MigrationProof, ...]:
        """The migrations whose rollback is worse than required; one without a rollback is."""
        return tuple(
            migration for migration in self.migrations if GRADES.index(migration.grade) > GRADES.index(required)
        )

    def recorded_as(self, registered: Mapping[str, bool]) -> Proof:
        """The same, recorded: for each recorded migration whether that text is registered; pure."""
        return replace(
            self,
            migrations=tuple(
                replace(migration, registered=registered.get(migration.migration_name)) for migration in self.migrations
            ),
        )

    @property
    def recorded(self) -> str | None:
        """How many grades were recorded in a database, in words; None where none was meant to be."""
        kept = [migration.registered for migration in self.migrations if migration.registered is not None]
        if not kept:
            return None
        of_registered = f"{sum(kept)} of them of what is registered there"
        return f"{counted(len(kept), 'grade')} recorded in the database, {of_registered}"

    def to_dict(self) -> list[dict[str, Any]]:
        """What `migrollback verify --format json` prints: one object for each migration."""
        return [migration.to_dict() for migration in self.migrations]

    @property
    def summary(self) -> str:
        """How many have which grade, in words."""
        parts = ", ".join(f"{count} {grade}" for grade, count in self.counts.items() if count)
        return f"{counted(len(self.migrations), 'migration')}: {parts or 'nothing to prove'}"

    def __repr__(self) -> str:
        worse = [
            line
            for migration in self.migrations
            if migration.grade != "restores"
            for line in repr(migration).splitlines()
        ]
        return "\n".join((f"<Proof on {self.server}; {self.summary}>", *worse))

    def _repr_html_(self) -> str:
        good = not self.below("restores")
        rows = [
            (
                migration.migration_name,
                f"{migration.mark} {migration.grade}",
                {True: "yes", False: "no", None: ""}[migration.reapplies],
                "\n".join(migration.lines()),
            )
            for migration in self.migrations
        ]
        return (
            html.banner(f"{self.summary} (on {self.server})", html.GOOD if good else html.CAREFUL)
            + html.warnings(self.warnings)
            + html.table(("Migration", "Rollback", "Reapplies", "Details"), rows)
        )
