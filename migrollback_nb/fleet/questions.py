"""Questions to all targets of a fleet at once, as one DataFrame each. Does not write."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.fleet import engine
from migrollback_nb.fleet.frames import frame, joined
from migrollback_nb.fleet.plan import one_line_of, status_of
from migrollback_nb.fleet.status import COLUMNS, migrations_of, status_rows

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.fleet.targets import FleetTarget
    from migrollback_nb.migrations import Migrations

_CHECK_COLUMNS = ("can_rollback", "reason", "verdict", "headline", "dependent_migrations")
Answer = tuple[str, str, str, Any]
#: Seconds after which a target is late with its answer, unless the fleet says otherwise.
PATIENCE = 60.0


class FleetQuestions:
    """Asks every target; one that is down, slow or of another version says so in its row, and holds up no other.

    Parameters
    ----------
    targets : sequence of FleetTarget
        Whom to ask.
    dir : Path or str, optional
        Folder of migrations, the same for all.
    schema : str, optional
        Schema of the rollback system in each.
    timeouts : Timeouts, optional
        Of each connection.
    parallel : int
        How many are asked at a time.
    """

    def __init__(
        self,
        targets: Sequence[FleetTarget],
        *,
        dir: Path | str | None = None,
        schema: str | None = None,
        timeouts: Timeouts | None = None,
        parallel: int = engine.PARALLEL,
        interface: str = "python",
    ) -> None:
        self.targets = tuple(targets)
        self.parallel = parallel
        #: Seconds after which a target is late with its answer, and its place goes to the next.
        self.patience = PATIENCE
        self._how: dict[str, Any] = {"dir": dir, "schema": schema, "timeouts": timeouts}
        self._interface = interface

    def connect(self, target: FleetTarget | str) -> Migrations:
        """Connect to one of the targets, as to any database; writes nothing. The caller closes it."""
        found = target if not isinstance(target, str) else self.target(target)
        return found.connect(**self._how, interface=self._interface)

    def target(self, name: str) -> FleetTarget:
        """The target of this name.

        Raises
        ------
        UsageError
            When there is none.
        """
        from migrollback_nb.core.errors import UsageError
        from migrollback_nb.core.selectors.near import close_to

        for one in self.targets:
            if one.name == name:
                return one
        hint = close_to(name, [one.name for one in self.targets])
        raise UsageError(f"No target is called {name}", hint=hint or "Fleet.targets has them.")

    def ask(self, question: Callable[[Migrations], Any], *, patience: float | None = None) -> list[Answer]:
        """The answer of each target: (target, status, message, what the question gave or None). Does not write itself.

        Parameters
        ----------
        question : callable
            Called with a `Migrations` of each target, in a thread of its own.
        patience : float, optional
            Seconds after which a target's status is ``late``; by default the fleet's `patience`.
        """
        seconds = self.patience if patience is None else patience

        def one(target: FleetTarget) -> Answer:
            try:
                with self.connect(target) as db:
                    return target.name, "answered", "", question(db)
            except MigrollbackError as error:
                return target.name, status_of(error), one_line_of(error), None

        def late(target: FleetTarget) -> Answer:
            return target.name, "late", f"No answer within {seconds:g} s", None

        return engine.each(self.targets, one, parallel=self.parallel, patience=seconds, late=late)

    def ask_rows(
        self, question: Callable[[Migrations], Sequence[Mapping[str, Any]]], columns: Sequence[str]
    ) -> pd.DataFrame:
        """Rows of each target with its name and status, and one row for a target that gave none. Does not write."""
        return frame(self.rows_of(question), ("target", "status", "message", *columns))

    def rows_of(self, question: Callable[[Migrations], Sequence[Mapping[str, Any]]]) -> Sequence[Mapping[str, Any]]:
        """As `ask_rows`, without pandas. Does not write itself."""
        rows: list[Mapping[str, Any]] = []
        for target, status, message, found in self.ask(question):
            head = {"target": target, "status": status, "message": message or None}
            rows.extend([{**row, **head} for row in found] if found else [head])
        return rows

    # -- the questions -------------------------------------------------------------------------------------------------

    def status(self) -> pd.DataFrame:
        """How each target stands, in one round trip each. Does not write.

        Returns
        -------
        DataFrame
            Columns target, status (answered, unreachable, late, not_installed, older_system, newer_system, refused,
            failed), message, applied, rolled_back, failed (counts of migrations), last_applied, last_applied_at,
            production, server_version.
        """
        return frame(self.status_rows(), ("target", "status", "message", *COLUMNS))

    def status_rows(self) -> Sequence[Mapping[str, Any]]:
        """The rows of `status`, without pandas. Does not write."""
        return status_rows(self.targets, **self._asked)

    def list(self, select: str | Sequence[str] | None = None) -> pd.DataFrame:
        """The applied migrations of all targets, as `Migrations.list`. Does not write."""
        return joined(self.ask(lambda db: db.list(select)))

    def history(self, select: str | Sequence[str] | None = None, **filters: Any) -> pd.DataFrame:
        """The history of all targets, as `Migrations.history`. Does not write."""
        return joined(self.ask(lambda db: db.history(select, **filters)))

    def check(self, name: str) -> pd.DataFrame:
        """May this migration be rolled back now, in each target? Does not write.

        Returns
        -------
        DataFrame
            Columns target, status, message, can_rollback, reason, verdict, headline, dependent_migrations.
        """
        answer = frame(self.check_rows(name), ("target", "status", "message", *_CHECK_COLUMNS))
        answer["can_rollback"] = answer["can_rollback"].astype("boolean").fillna(value=False).astype(bool)
        return answer

    def check_rows(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The rows of `check`, without pandas. Does not write."""

        def question(db: Migrations) -> Sequence[Mapping[str, Any]]:
            found = db.check(name)
            return [{**found.to_dict(), "headline": found.assessment.headline if found.assessment else None}]

        return self.rows_of(question)

    def assess(self, name: str | Sequence[str], *, chain: bool = False) -> pd.DataFrame:
        """What is known of a rollback in each target, as `Migrations.assess`: verdict and headline. Does not write."""
        columns = ("verdict", "headline", "known_by", "known_at", "effects")

        def question(db: Migrations) -> Sequence[Mapping[str, Any]]:
            found = db.assess(name, chain=chain)
            return [{**found.keys(), "headline": found.headline}]

        return self.ask_rows(question, columns)

    def doctor(self) -> pd.DataFrame:
        """What endangers a rollback in each target, as `Migrations.doctor`: a row for each finding. Does not write."""
        columns = ("severity", "finding", "identity", "diagnosis", "fix")

        def question(db: Migrations) -> Sequence[Mapping[str, Any]]:
            return [{**one.to_dict(), "diagnosis": one.message} for one in db.doctor().diagnoses]

        return self.ask_rows(question, columns)

    def deps(self) -> pd.DataFrame:
        """Which migration depends on which in each target, as `Migrations.dependencies`. Does not write."""
        return joined(self.ask(lambda db: db.dependencies()))

    def diff(self, reference: str | None = None) -> pd.DataFrame:
        """What of each target's schema differs from that of one of them. Does not write.

        Parameters
        ----------
        reference : str, optional
            Name of the target that is right; by default the first.

        Returns
        -------
        DataFrame
            Columns target, status, message, change (created: only there; dropped: only in the reference; changed),
            kind, identity, old_definition, new_definition. A target that does not differ has one row, without a change.
        """
        columns = ("change", "kind", "identity", "old_definition", "new_definition")
        right = self.target(reference) if reference is not None else self.targets[0]
        with self.connect(right) as db:
            expected = _objects(db)

        def question(db: Migrations) -> Sequence[Mapping[str, Any]]:
            found = _objects(db)
            changes = []
            for key in sorted(expected.keys() | found.keys()):
                old, new = expected.get(key), found.get(key)
                if old != new:
                    change = "created" if old is None else "dropped" if new is None else "changed"
                    kind, identity = key
                    changes.append(
                        {"change": change, "kind": kind, "identity": identity, "old_definition": old}
                        | {"new_definition": new}
                    )
            return changes

        return self.ask_rows(question, columns)

    def table(self) -> pd.DataFrame:
        """Migrations down, targets across: each cell is the migration's status there. Does not write.

        Returns
        -------
        DataFrame
            Index migration_name, in the order of the first application anywhere; a column for each target with
            applied, rolled_back, failed, or missing where it is not registered, or the target did not answer.
        """
        import pandas as pd

        order, cells = self.statuses()
        columns = {
            target: pd.Series([found.get(name) for name in order], dtype="string") for target, found in cells.items()
        }
        return pd.DataFrame(columns).set_axis(pd.Index(order, name="migration_name"), axis=0)

    def statuses(self) -> tuple[Sequence[str], dict[str, dict[str, str]]]:
        """All migrations, in the order of their first application anywhere, and target -> name -> status.

        Does not write. A target that does not answer has none.
        """
        first: dict[str, Any] = {}
        cells: dict[str, dict[str, str]] = {}
        for row in migrations_of(self.targets, **self._asked):
            found = row.get("migrations", {})
            cells[row["target"]] = {name: status for name, (status, _) in found.items()}
            for name, (_, applied) in found.items():
                known = first.setdefault(name, applied)
                if known is None or (applied is not None and applied < known):
                    first[name] = applied
        order = sorted(first, key=lambda name: (first[name] is None, first[name] or 0, name))
        return order, cells

    @property
    def _asked(self) -> dict[str, Any]:
        schema = self._how["schema"] or os.environ.get("MIGROLLBACK_SCHEMA") or "public"
        return {"schema": schema, "parallel": self.parallel, "patience": self.patience}


def _objects(db: Migrations) -> dict[tuple[str, str], str]:
    """The objects of a schema: (kind, identity) -> definition. Does not write."""
    rows = db.database.lookups.schema_objects()
    return {(row["kind"], row["identity"]): row["definition"] for row in rows}
