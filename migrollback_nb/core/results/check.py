"""May a migration be rolled back, in which order, and what would run. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.core.results.assessment import Assessment, assessed
from migrollback_nb.core.text import as_line, as_text, one_line

if TYPE_CHECKING:
    from migrollback_nb.core.results.foreseen import Foreseen
    from migrollback_nb.core.results.lost_rows import LostRows
    from migrollback_nb.core.results.selection import ClosedSelection, Range
    from migrollback_nb.core.results.target import Target


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Whether a migration may be rolled back now."""

    migration_name: str  #: the migration
    can_rollback: bool  #: as the database says
    reason: str  #: why, or why not, in words
    dependent_migrations: tuple[str, ...] = ()  #: all that must be rolled back first, in order of name
    warnings: tuple[str, ...] = ()  #: what a person should know besides
    assessment: Assessment | None = None  #: what is known of its rollback; None where that could not be asked
    lost_rows: LostRows | None = None  #: a look at the rows that would go; None where no one asked

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback check --format json`."""
        return {
            "migration_name": self.migration_name,
            "can_rollback": self.can_rollback,
            "reason": self.reason,
            "dependent_migrations": list(self.dependent_migrations),
            "warnings": list(self.warnings),
            **({} if self.lost_rows is None else {"lost_rows": self.lost_rows.to_dict()["tables"]}),
        } | assessed(self.assessment)

    def __repr__(self) -> str:
        return (
            f"<CheckResult {self.migration_name}: {'can' if self.can_rollback else 'cannot'} rollback, {self.reason}>"
        )

    def _repr_html_(self) -> str:
        from migrollback_nb.core.results.verdict_cards import card_of

        card = card_of(self)
        rows = [
            ("Migration", self.migration_name),
            ("Status", "Can rollback" if self.can_rollback else "❌ Cannot rollback"),
            ("Reason", self.reason),
        ]
        if self.dependent_migrations:
            rows.append(("Must be rolled back first", "\n".join(self.dependent_migrations)))
        if self.warnings:
            rows.append(("Warnings", "\n".join(self.warnings)))
        looked = "" if self.lost_rows is None else self.lost_rows._repr_html_()
        return ("" if card is None else card.to_html()) + html.definitions(rows) + looked


class OfSteps:
    """What is known of a rollback by its steps: one, or those of a chain."""

    __slots__ = ()
    steps: tuple[tuple[str, str], ...]  #: (migration, its rollback SQL), in order

    @property
    def migration_name(self) -> str:
        """The migration that was asked for: the last step."""
        return self.steps[-1][0]

    @property
    def sql(self) -> str:
        """All rollback SQL, in order; for a chain each part under its migration's name."""
        if len(self.steps) == 1:
            return self.steps[0][1]
        return "\n\n".join(f"-- {one_line(name)}\n{sql}" for name, sql in self.steps)


@as_text
@dataclass(frozen=True, slots=True, kw_only=True)
class Preview(OfSteps):
    """What a rollback would run. Nothing was changed to find out."""

    steps: tuple[tuple[str, str], ...]  #: (migration, its rollback SQL), in the order in which they would run
    checks: tuple[CheckResult, ...]  #: one for each step
    fingerprint: (
        str | None
        # 64 hexadecimal digits over the migrations, their SQL, status, dependents and the schema; rollback(preview=...)
        # refuses when they differ then
    )
    target: Target  #: where it would run
    deploy_ledgers: tuple[str, ...] = ()  #: tables of deploy tools from which it would take the migrations
    deploy: str | None = None  #: label of the deploy whose migrations these are; None where they were named
    foreseen: Foreseen | None = None  #: what it will lock, and for how long; None where that could not be asked
    assessment: Assessment | None = None  #: what is known of it beforehand; None where that could not be asked
    closed: ClosedSelection | None = None  #: what was selected; None where migrations or a deploy were named
    range: Range | None = None  #: what was asked for
    each: bool = False  #: each would run in a transaction of its own
    remarks: tuple[str, ...] = ()  #: what a person should know of the whole

    @property
    def confirm(self) -> str:
        """What is to be typed, or given as confirm=, so that it runs.

        The name of the migration that was named; of a range NAME of `to`, LABEL of `deploy`, else the newest's name.
        """
        if self.range is not None:
            return self.range.confirm([name for name, _ in self.steps])
        return self.deploy if self.deploy is not None else self.migration_name

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of all steps, those of a chain under the migration's name."""
        if len(self.checks) == 1:
            return (*self.remarks, *self.checks[0].warnings)
        of_steps = (f"{check.migration_name}: {warning}" for check in self.checks for warning in check.warnings)
        return (*self.remarks, *of_steps)

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback rollback --dry-run --format json`; sql_executed is what would be."""
        return {
            "success": True,
            "message": "Dry run: rollback SQL shown below (not executed)",
            "sql_executed": self.sql,
            "migration_name": self.migration_name,
            "migrations": [name for name, _ in self.steps],
            "warnings": list(self.warnings),
            "fingerprint": self.fingerprint,
            "deploy_ledgers": list(self.deploy_ledgers),
            "confirm": self.confirm,
            "each": self.each,
            "foreseen": None if self.foreseen is None else self.foreseen.to_dict(),
            **({} if self.closed is None else {"selected": list(self.closed.selected)}),
        } | assessed(self.assessment)

    def __str__(self) -> str:
        heading = f"Would roll back {', '.join(name for name, _ in self.steps)} on {self.target}"
        ledgers = [f"Would change the deploy ledger {ledger}" for ledger in self.deploy_ledgers]
        known = () if self.assessment is None else (self.assessment.heading, *self.assessment.lines())
        closed = [] if self.closed is None else [self.closed.words]
        lines = [
            *known,
            *closed,
            heading,
            *ledgers,
            *(f"Warning: {warning}" for warning in self.warnings),
            "",
            self.sql,
        ]
        return html.visible("\n".join(lines))

    def __repr__(self) -> str:
        return one_line(f"<Preview of {', '.join(name for name, _ in self.steps)} on {self.target}>")

    def _repr_html_(self) -> str:
        rows = [("Would roll back", "\n".join(name for name, _ in self.steps)), ("On", str(self.target))]
        if self.closed is not None:
            rows.insert(0, ("Selected", self.closed.words))
        if self.deploy_ledgers:
            rows.append(("Would change the deploy ledger", "\n".join(self.deploy_ledgers)))
        from migrollback_nb.core.results.verdict_cards import card_of

        card = card_of(self)
        heading = "" if card is None else card.to_html()
        return heading + html.definitions(rows) + html.warnings(self.warnings) + html.sql(self.sql)


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The order in which a migration and all that depend on it would be rolled back."""

    migration_name: str  #: the migration that was asked for; of several the last
    steps: tuple[str, ...]  #: dependents first, `migration_name` last
    statuses: dict[str, str] = field(default_factory=dict)  #: name -> status, of the steps
    #: since when it is known what depends on it, declared or not; None: it was not looked for
    dependents_looked_for: datetime | None = None
    assessment: Assessment | None = None  #: what is known of rolling all of them back; None where it was not asked
    closed: ClosedSelection | None = None  #: what was selected; None where a migration was named
    range: Range | None = None  #: the range that was asked for; None where a migration was named or selected

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        looked = self.dependents_looked_for
        return {
            "migration_name": self.migration_name,
            "steps": list(self.steps),
            "dependents_looked_for": None if looked is None else looked.isoformat(),
            **({} if self.closed is None else {"selected": list(self.closed.selected)}),
        } | assessed(self.assessment)

    def __repr__(self) -> str:
        return one_line(f"<Plan {' -> '.join(self.steps)}>")

    def _repr_html_(self) -> str:
        known = self.assessment
        heading = "" if known is None else html.banner(known.heading, known.style)
        closed = [] if self.closed is None else [("Selected", self.closed.words)]
        closed += [] if self.range is None else [("Range", self.range.words)]
        return heading + html.definitions(closed + [(f"{place}.", name) for place, name in enumerate(self.steps, 1)])


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class LastApplied:
    """The migration that was applied last, as history and deploy ledger say together."""

    migration_name: str | None  #: the migration; None where there is none
    warnings: tuple[str, ...] = ()  #: what the ledger knows better, or why there is none

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"migration_name": self.migration_name, "warnings": list(self.warnings)}

    def __repr__(self) -> str:
        return one_line(f"<LastApplied {self.migration_name}>")

    def _repr_html_(self) -> str:
        return html.definitions([("Applied last", self.migration_name or "-")]) + html.warnings(self.warnings)
