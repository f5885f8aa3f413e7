"""Tries one migration: up, rollback, up again, each committed; and grades it. Writes only on the scratch database."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.results import DataLoss, Effect, MigrationProof, SchemaDiff
from migrollback_nb.replay import beside_schema, table_contents

if TYPE_CHECKING:
    from migrollback_nb.core.results.proof import Grade
    from migrollback_nb.database import Database
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.replay.proof_databases import ProofDatabases, State
    from migrollback_nb.replay.runs import Failure
    from migrollback_nb.replay.table_contents import Content

#: Effects that are no loss of data: something stays switched off, or stays although it was not there.
_STATE_DIFFERS = frozenset({"leaves_disabled", "leaves_invalid", "leaves_behind"})
_NOW = re.compile(r"\b(?:now|current_time(?:stamp)?|localtime(?:stamp)?|\w+_timestamp)\b", re.IGNORECASE)
#: What writes only rows of the catalogs that its rollback takes away again.
_ADDS = re.compile(r"""\balter\s+table\s+(if\s+exists\s+)?(only\s+)?[\w."]+\s+add\b""", re.IGNORECASE)
_ALTERS = re.compile(r"\balter\b", re.IGNORECASE)
#: What may write rows anew, so that hashes differ although the schema is as before; or what may outlive the database.
_MAY_WRITE_ANEW = re.compile(
    r"\b(alter|grant|revoke|drop|or\s+replace|label|role|user|group|tablespace|subscription)\b", re.IGNORECASE
)


class SchemaNotKept(Exception):
    """The schema is needed whole of a moment that has passed."""


def leaves_what_is_there(file: MigrationFile) -> bool:
    """Whether the up migration only adds to the schema, as it seems: hashes tell then whether it is as before. Pure.

    Where that is wrong the hashes differ, and it is tried again with the schema read whole.
    """
    return not _MAY_WRITE_ANEW.search(_ADDS.sub("", file.up.text))


@dataclass(slots=True, kw_only=True)
class Trial:
    """What came of one migration's up migration, rollback, and up migration again."""

    up: Failure | None = None
    schema_up: str | None = None  #: after the up migration
    rollback: Failure | None = None
    diff: SchemaDiff | None = None  #: between before and after the rollback; None where there was none
    losses: list[DataLoss] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)  #: what else is not as before
    remarks: list[str] = field(default_factory=list)
    reapplies: bool | None = None
    goes_on: bool = False  #: the database is where the up migration alone would have brought it

    @property
    def failure(self) -> Failure | None:
        """Why it failed; None where it ran to its end."""
        return self.up or self.rollback

    @property
    def restored(self) -> bool:
        """The schema is as before, but for the order of columns."""
        return self.diff is not None and all(change.change == "reordered" for change in self.diff.changes)

    @property
    def only_reordered(self) -> bool:
        """Columns stand in another order, and nothing else is other than before."""
        return bool(self.diff) and self.restored


def try_migration(
    databases: ProofDatabases, database: Database, file: MigrationFile, before: State, *, whole: bool = True
) -> Trial:
    """Try a migration in a database. Writes there.

    Parameters
    ----------
    databases : ProofDatabases
        Run it, and read what is there.
    database : Database
        Holds all migrations before it.
    file : MigrationFile
        The migration.
    before : State
        What the database holds.
    whole : bool
        True: the schema is read whole after the up migration. False: not before it has to be.

    Raises
    ------
    SchemaNotKept
        When it had to be, of a moment that has passed; not where it was read before and `whole` is True.
    """
    # a new schema hash says nothing where the up migration alters what is there: it is another one whatever the
    # rollback does
    hashed = file.rollback is not None and not _ALTERS.search(_ADDS.sub("", file.up.text))
    hash_before = databases.schema_hash(database) if hashed else None
    beside = databases.beside_schema(database) if file.rollback is not None else None
    trial = Trial(up=databases.run_up(database, file))
    if trial.up is not None:
        # whole or not at all; statement by statement, what ran before the failure has stayed
        trial.goes_on = file.runs_whole and not database.connection.closed
        return trial
    if whole:
        trial.schema_up = databases.schema(database)
    if file.rollback is None:
        trial.goes_on = True
        return trial
    objects = databases.count_objects(database)
    if _NOW.search(file.rollback.sql) and databases.keeps_coarse_times(database):
        time.sleep(1.01)  # else what it writes there would be what was there, by chance
    trial.rollback = databases.run_rollback(database, file)
    if trial.rollback is not None:
        trial.goes_on = file.rollback.transaction and not database.connection.closed
        return trial
    unchanged = hash_before is not None and databases.schema_hash(database) == hash_before
    rows, immaterial = ([], []) if unchanged else _changes(databases, database, before)
    trial.diff = SchemaDiff.from_rows(rows, old="before the up migration", new="after the rollback")
    trial.remarks += immaterial
    trial.losses, left_over, same = table_contents.compare(
        before.rows, databases.rows(database, still_known(before, file))
    )
    trial.remarks += left_over
    assert beside is not None  # noqa: S101  # for mypy: there is a rollback
    trial.effects = [
        *beside_schema.effects_of_losses(trial.losses),
        *beside_schema.effects_of_changes(trial.diff.changes),
        *beside_schema.compare(beside, databases.beside_schema(database)),
    ]
    _apply_again(databases, database, file, trial, objects)
    trial.goes_on = bool(trial.reapplies) and same and not (trial.diff or immaterial or trial.effects)
    return trial


def _changes(databases: ProofDatabases, database: Database, before: State) -> tuple[list[Any], list[str]]:
    """What differs from before in the schema, and remarks on what differs without meaning. Does not write."""
    if before.schema is None:
        raise SchemaNotKept
    schema = databases.schema(database)
    if schema == before.schema:
        return [], []
    with databases.clock.on("schema"):
        return database.queries.material_changes(before.schema, schema)


def _apply_again(
    databases: ProofDatabases, database: Database, file: MigrationFile, trial: Trial, objects: Any
) -> None:
    """Run the up migration a second time. Writes there. objects: how many there were after the first time."""
    again = databases.run_up(database, file)
    trial.reapplies = again is None
    if again is not None:
        trial.remarks.append(f"up migration, again: {again}")
        return
    # From the same schema the same up migration leads to the same schema; a third digest would only say so.
    suspect = bool(trial.diff) or databases.count_objects(database) != objects
    if suspect and trial.schema_up is None:
        raise SchemaNotKept
    if suspect and databases.schema(database) != trial.schema_up and not trial.only_reordered:
        trial.reapplies = False
        trial.remarks.append("up migration, again: it runs, but does not lead to the same schema")


def still_known(before: State, file: MigrationFile) -> dict[str, Content] | None:
    """What need not be read again where it is unchanged. Pure.

    A session of its own, which ran statement by statement, tells its counts too late.
    """
    return before.rows if file.runs_whole and (file.rollback is None or file.rollback.transaction) else None


def verdict(file: MigrationFile, trial: Trial, remarks: Sequence[str], seconds: float) -> MigrationProof:
    """The grade of a trial: of those that fit, the first of this order. Pure."""
    said = [*remarks, *trial.remarks]
    failure = trial.failure
    grade: Grade
    differences: tuple[Any, ...] = ()
    if trial.up is not None:
        grade = "fails"
        said.append(f"up migration: {trial.up.message}")
    elif file.rollback is None:
        grade = "no_rollback"
    elif trial.rollback is not None:
        grade = "fails"
        said.append(f"rollback: {trial.rollback.message}")
    else:
        assert trial.diff is not None  # noqa: S101  # for mypy: it ran
        said += [
            f"the columns of {change.identity} stand in another order"
            for change in trial.diff.changes
            if change.change == "reordered"
        ]
        differences = (*(change for change in trial.diff.changes if change.change != "reordered"), *trial.losses)
        if not trial.restored:
            grade = "differs"
        elif trial.reapplies is False:
            grade = "cannot_reapply"
        elif any(effect.effect in _STATE_DIFFERS for effect in trial.effects):
            grade = "differs"
        else:
            grade = "loses_data" if trial.losses or trial.effects else "restores"
    return MigrationProof(
        migration_name=file.name,
        grade=grade,
        sqlstate=None if failure is None else failure.sqlstate,
        statement=None if failure is None else failure.statement,
        differences=differences,
        effects=tuple(trial.effects),
        remarks=tuple(said),
        reapplies=trial.reapplies,
        seconds=seconds,
        checksum=file.checksum,
        rollback_md5=None
        if file.rollback is None
        else md5(file.rollback.sql.encode(), usedforsecurity=False).hexdigest(),
    )
