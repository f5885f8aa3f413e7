"""Proof that rollbacks restore: replays a folder on a scratch database and grades every migration. Writes only there.

Each migration is tried at its place in the order, with all before it applied: up part, rollback through the real gate,
up part again, each committed, as on a real database. What the tables and the schema hold is compared around it. Empty
tables get a few rows first, or nothing could be seen to get lost. A migration that leaves all as it was costs no copy
of the database; after any other the next one goes on from a copy of a second database, in which only up parts run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import ordering
from migrollback_nb.core.errors import DependencyError, MigrationNotFound, MigrollbackError, UsageError
from migrollback_nb.core.results import DataLoss, MigrationProof, Proof, SchemaDiff
from migrollback_nb.files import preludes
from migrollback_nb.files.formats import MigrationFolder, in_order
from migrollback_nb.files.location import default_folder
from migrollback_nb.parsing.comparisons import compared_values
from migrollback_nb.parsing.statements import SqlText
from migrollback_nb.replay import hints, sample_rows, table_contents
from migrollback_nb.replay.scratch import Scratch, scratch

if TYPE_CHECKING:
    from pathlib import Path

    from migrollback_nb.core.results.proof import Grade
    from migrollback_nb.database import Database
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.database.session import ExecutionResult, Timeouts
    from migrollback_nb.files.formats.folder import FolderContents
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.files.preludes import Prelude
    from migrollback_nb.parsing.comparisons import Compared
    from migrollback_nb.replay.sample_rows import Wanted
    from migrollback_nb.replay.table_contents import Content, Table

_ALTERS = re.compile(r"\balter\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an up part or a rollback did not run."""

    message: str
    sqlstate: str | None = None
    statement: str | None = None  #: as the database keeps it: cut after 2,000 characters
    number: int | None = None  #: of the statement, counted from 1

    def __str__(self) -> str:
        return f"{self.message} ({self.sqlstate})" if self.sqlstate else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a database holds at one moment."""

    schema: str  #: schema_snapshot() as text
    rows: dict[str, Content]


@dataclass(slots=True, kw_only=True)
class Trial:
    """What came of one migration's up part, rollback, and up part again."""

    up: Failure | None = None
    schema_up: str | None = None  #: after the up part
    rollback: Failure | None = None
    diff: SchemaDiff | None = None  #: between before and after the rollback; None where there was none
    losses: list[DataLoss] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    reapplies: bool | None = None
    goes_on: bool = False  #: the database is where the up part alone would have brought it

    @property
    def restored(self) -> bool:
        """The schema is as before, but for the order of columns."""
        return self.diff is not None and all(change.change == "reordered" for change in self.diff.changes)


def prove_folder(
    dir: Path | str | None = None,
    names: Sequence[str] = (),
    *,
    on: str | None = None,
    bin: Path | str | None = None,
    own_server: bool = False,
    prelude: Sequence[Path | str] | Path | str | None = None,
    timeouts: Timeouts | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Grade the rollbacks of a folder on a scratch database; see `prove`. Writes only there.

    Parameters
    ----------
    dir : Path or str, optional
        The folder; by default the usual one.
    names : sequence of str
        The migrations to grade, with or without ``.sql``; by default all.
    prelude : path or sequence of paths, optional
        What runs first; see `migrollback_nb.files.preludes.find`.

    Raises
    ------
    UsageError
        When there is no folder or a prelude cannot be read, besides what `prove` raises.
    MigrationNotFound
        When it holds no migration of a name.
    """
    first = preludes.find(prelude)
    path = dir or default_folder()
    if path is None:
        raise UsageError(
            "No folder of migrations was named",
            hint=(
                "Name it with --dir (dir=...) or MIGROLLBACK_DIR; supabase/migrations and migrations are found by"
                " themselves."
            ),
        )
    folder = MigrationFolder(path)
    chosen = [name.removesuffix(".sql") for name in names]
    known = folder.names()
    for name in chosen:
        if name not in known:
            raise MigrationNotFound(
                name, similar=tuple(get_close_matches(name, known, n=3)), where=f"is in {folder.path}"
            )
    return prove(
        folder.read_all(),
        chosen,
        on=on,
        bin=bin,
        own_server=own_server,
        first=first,
        timeouts=timeouts,
        progress=progress,
    )


def prove(
    folder: FolderContents,
    names: Sequence[str] = (),
    *,
    on: str | None = None,
    bin: Path | str | None = None,
    own_server: bool = False,
    first: Sequence[Prelude] = (),
    timeouts: Timeouts | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Grade the rollbacks of a folder on a scratch database. Writes only there.

    Parameters
    ----------
    folder : FolderContents
        All files of the folder.
    names : sequence of str
        The migrations to grade; by default all. Those before them are applied first.
    on, bin, own_server, timeouts
        Where the scratch database is made; see `migrollback_nb.replay.scratch.scratch`.
    first : sequence of Prelude
        What runs there before the first migration.
    progress : callable, optional
        Called with (done, all, name).

    Raises
    ------
    UsageError, ConnectionFailed
        When no scratch database can be made.
    """
    ordered, left_out = _ordered(folder.files)
    graded = set(names) or {file.name for file in ordered}
    bad = [
        MigrationProof(migration_name=error.migration_name, grade="fails", remarks=(f"up part: {error}",))
        for error in folder.errors
    ]
    verdicts = [verdict for verdict in (*bad, *left_out) if not names or verdict.migration_name in names]
    last = max((place for place, file in enumerate(ordered, 1) if file.name in graded), default=0)
    ordered = ordered[:last]
    clock = _Clock()
    began = time.perf_counter()
    with scratch(
        ordered, on=on, bin=bin, own_server=own_server, private=True, preludes=first, timeouts=timeouts
    ) as place:
        clock.seconds["scratch"] += time.perf_counter() - began
        prover = _Prover(place, clock, first, named=on is not None)
        for number, file in enumerate(ordered):
            if progress is not None:
                progress(number, len(ordered), file.name)
            if file.name in graded:
                verdicts.append(prover.grade(file))
            else:
                prover.apply(file)
        if progress is not None:
            progress(len(ordered), len(ordered), "")
        server, remarks = place.server, place.remarks
    return Proof(
        migrations=tuple(verdicts),
        server=server,
        shares=clock.seconds,
        digests=clock.digests,
        warnings=(*folder.warnings, *remarks),
    )


def _ordered(files: Iterable[MigrationFile]) -> tuple[list[MigrationFile], list[MigrationProof]]:
    """Dependencies first; what depends on itself in a circle is graded as it is."""
    by_name = {file.name: file for file in files}
    circles: list[MigrationProof] = []
    while True:
        try:
            like = [file.name for file in in_order(by_name.values())]
            return [
                by_name[name]
                for name in ordering.order({name: file.depends_on for name, file in by_name.items()}, like=like)
            ], circles
        except DependencyError as error:
            for name in dict.fromkeys(error.names):
                circles.append(
                    MigrationProof(migration_name=name, grade="fails", remarks=(f"up part: {error.message}",))
                )
                del by_name[name]


class _Clock:
    """Seconds spent on each kind of work, and how often the schema was read whole."""

    def __init__(self) -> None:
        self.digests = 0
        self.seconds = {"sql": 0.0, "schema": 0.0, "rows": 0.0, "scratch": 0.0}

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - began


class _Prover:
    """The databases of one proof: `_base`, in which only up parts run and no row is made up, and the one that is worked on."""

    def __init__(self, place: Scratch, clock: _Clock, first: Sequence[Prelude], *, named: bool) -> None:
        self._place = place
        self._clock = clock
        self._first = first
        self._named = named  # the server is not ours
        self._behind: list[MigrationFile] = []  # applied in the database that is worked on, not yet in the base
        self._state: State | None = None  # of the database that is worked on
        self._empty: dict[tuple[int, tuple[str, ...]], str] = {}  # tables that nothing could be put into, and why
        self._filled: set[tuple[int, tuple[str, ...]]] = set()  # tables that rows of ours were put into
        self._made_up = sample_rows.MadeUp()
        self._has_made_up = False  # whether some tables hold rows of ours
        self._strayed = False  # whether putting them in has changed the schema
        self._base = place.name
        self._work = self._copy()

    # -- databases -------------------------------------------------------------------------------------------------

    def _copy(self) -> Database:
        with self._clock.on("scratch"):
            self._place.database.close()
            return self._place.connect(self._place.create(template=self._base))

    def _drop(self, database: Database) -> None:
        with self._clock.on("scratch"):
            self._place.drop(database.target.database)

    def _catch_up(self) -> None:
        """Bring the base to where the up parts have brought the database that is worked on."""
        for file in self._behind:
            self._run_up(self._place.database, file)
        self._behind.clear()

    def _start_over(self) -> None:
        """Work on in a new copy of the base."""
        self._catch_up()
        self._drop(self._work)
        self._work = self._copy()
        self._has_made_up = self._strayed = False
        self._filled.clear()
        self._made_up = sample_rows.MadeUp()
        self._state = None

    # -- states ----------------------------------------------------------------------------------------------------

    def _schema(self, database: Database) -> str:
        self._clock.digests += 1
        with self._clock.on("schema"):
            return database.queries.schema_text()

    def _token(self, database: Database, file: MigrationFile) -> str | None:
        """A sign that the schema is the same as before; None where an up part alters what is there: then it is another one whatever the rollback does."""
        if _ALTERS.search(file.up.text):
            return None
        with self._clock.on("schema"):
            return database.queries.schema_hash()

    def _rows(self, database: Database, known: dict[str, Content] | None = None) -> dict[str, Content]:
        with self._clock.on("rows"):
            return table_contents.read(
                database.connection,
                table_contents.tables(database.connection, besides=[self._place.schema]),
                known=known,
            )

    def _fill(self, schema: str | None = None, known: dict[str, Content] | None = None) -> State:
        """Put a few rows into each table of the database that is worked on that has hardly any. Its schema is as given, if it is known."""
        database = self._work
        schema = schema or self._schema(database)
        rows = self._rows(database, known)
        # once is enough, but what failed for want of rows elsewhere is tried again: they may be there by now
        todo = [
            content.table
            for content in rows.values()
            if _key(content.table) not in self._filled
            and not self._empty.get(_key(content.table), "").endswith("fits")
            and (content.count < sample_rows.ROWS or content.monotonous())
        ]
        state = self._put_in(State(schema=schema, rows=rows), todo)
        # tables that refer to each other in a circle: by now there are rows to refer to
        asked = {table.identity for table in todo}
        return self._put_in(
            state,
            [
                content.table
                for identity, content in state.rows.items()
                if identity in asked and content.count and content.monotonous()
            ],
        )

    def _put_in(
        self, state: State, todo: Sequence[Table], wanted: Mapping[int, Sequence[Wanted]] | None = None
    ) -> State:
        """Put rows into tables of the database that is worked on, and say what it holds then."""
        if not todo:
            return state
        database, schema = self._work, state.schema
        objects = self._count_objects(database)
        with self._clock.on("rows"):
            unfilled = {
                _key(left.table): left.why
                for left in sample_rows.fill(database.connection, todo, made_up=self._made_up, wanted=wanted)
            }
        if wanted is None:
            # one that more rows do not fit into is not empty
            empty = {_key(table) for table in todo if state.rows[table.identity].count == 0} & unfilled.keys()
            self._empty |= {key: unfilled[key] for key in empty}
            self._filled |= {_key(table) for table in todo} - empty
        self._has_made_up = self._has_made_up or len(unfilled) < len(todo)
        rows = self._rows(database, state.rows)
        if self._count_objects(database) != objects:  # triggers may do what they like, partitions for new rows for one
            self._strayed = True
            schema = self._schema(database)
        return State(schema=schema, rows=rows)

    def _ask_for(self, file: MigrationFile, before: State) -> State:
        """Put in rows that the up part's own comparisons are about. Now and not earlier: what another migration asks for, it may have made itself."""
        wanted: dict[int, list[Wanted]] = {}
        tables = {}
        compared: Sequence[Compared] = ()
        with suppress(Exception):  # rows of our own do where the text tells none
            compared = compared_values(file.up.text)
        for asked in compared:
            for content in before.rows.values():
                if (
                    content.table.name == asked.table
                    and asked.column in content.table.columns
                    and content.rows is not None
                ):
                    tables[content.table.oid] = content.table
                    wanted.setdefault(content.table.oid, []).append((asked.column, asked.value))
        return self._put_in(before, list(tables.values()), wanted)

    def _before(self) -> State:
        if self._state is None:
            self._state = self._fill()
        return self._state

    # -- one migration -----------------------------------------------------------------------------------------------

    def apply(self, file: MigrationFile) -> None:
        """Run the up part only; one that does not run is left out."""
        if self._run_up(self._work, file) is None:
            self._behind.append(file)
            self._state = None
        elif self._has_made_up or not file.transaction:
            self._start_over()
            if self._run_up(self._work, file) is None:
                self._behind.append(file)

    def grade(self, file: MigrationFile) -> MigrationProof:
        """Try one migration, and leave its up part in place for the next."""
        began = time.perf_counter()
        before = self._ask_for(file, self._before())
        remarks = [
            f"{identity} stayed empty, so nothing is proven of its rows ({self._empty[_key(content.table)]})"
            for identity, content in before.rows.items()
            if content.count == 0
            and _key(content.table) in self._empty
            and re.search(rf"(?<!\w){re.escape(content.table.name)}(?!\w)", file.text)
        ]
        trial = self._try(self._work, file, before)
        goes_on = trial.goes_on
        if self._has_made_up and (
            trial.up is not None or trial.rollback is not None or not (trial.restored or file.rollback is None)
        ):
            told, replacement = self._look_again(file, before.schema, trial)
            remarks += told
            if replacement is not None:
                trial, goes_on = replacement, False
        if (failure := trial.up or trial.rollback) is not None:
            statements = (
                file.up_statements()
                if trial.up is not None
                else file.rollback.statement_texts()
                if file.rollback is not None
                else ()
            )
            remarks += self._way_out(failure, statements)
        if trial.up is None:
            self._behind.append(file)
        schema = None if self._strayed and not goes_on else trial.schema_up or before.schema
        if not goes_on:
            self._start_over()
        if trial.up is None or not goes_on:
            self._state = self._fill(schema, self._known(before, file) if goes_on else None)
        return _verdict(file, trial, remarks, time.perf_counter() - began)

    def _way_out(self, failure: Failure, statements: Sequence[str]) -> list[str]:
        """What it may have missed, in words; asked of the base, whose connection is alive whatever it did. `statements`: those that ran, whole.

        A hint must not end the proof of a whole folder: where none can be found, whatever the reason, there is none.
        """
        number, whole = failure.number, failure.statement
        if number is not None and number <= len(statements):
            whole = statements[number - 1]
        with suppress(Exception):
            return self._hint(failure.sqlstate, whole)
        return []

    def _hint(self, sqlstate: str | None, statement: str | None) -> list[str]:
        connection = self._place.database.connection
        schemas = [name for (name,) in connection.execute("SELECT nspname FROM pg_catalog.pg_namespace").fetchall()]
        roles = [name for (name,) in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()]
        [is_super] = connection.execute(
            "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
        ).fetchone() or [False]
        told = hints.way_out(
            sqlstate,
            statement,
            schemas=schemas,
            roles=roles,
            preludes=self._first,
            named=self._named,
            is_super=is_super,
        )
        return [] if told is None else [told]

    def _look_again(self, file: MigrationFile, schema: str, trial: Trial) -> tuple[list[str], Trial | None]:
        """Find out whether rows that were made up are the reason for a bad verdict: remarks, and the trial that counts instead, if one does."""
        bare = self._try_with_fewer(file, schema, fill_empty=False)
        if trial.up is None and trial.rollback is None:
            return (["differs only where tables hold rows (made up for this)"] if bare.restored else []), None
        if trial.up is not None and bare.up is not None:
            trial.up = bare.up
            return [], None
        if trial.up is None:
            assert trial.rollback is not None  # noqa: S101  # for mypy: one of them failed
            if bare.rollback is not None:
                return [], None
            if (trial.rollback.sqlstate or "").startswith("23"):
                return ["fails only because the tables hold rows (made up for this)"], None
        # Not that there are rows, but what they say: real ones may be such that it runs. A table that had one row may
        # be meant to have one.
        what, failure = ("up part", trial.up) if trial.up is not None else ("rollback", trial.rollback)
        fewer = self._try_with_fewer(file, schema, fill_empty=True)
        if fewer.up is None and fewer.rollback is None:
            return [
                f"graded without the rows that were made up for tables with rows of their own: with them the {what}"
                f" fails: {failure}"
            ], fewer
        return [f"graded without the rows that were made up: with them the {what} fails: {failure}"], bare

    def _try_with_fewer(self, file: MigrationFile, schema: str, *, fill_empty: bool) -> Trial:
        """Try a migration in a database without made-up rows, or with such in empty tables only."""
        self._catch_up()
        copy = self._copy()
        rows = self._rows(copy)
        if fill_empty:
            with self._clock.on("rows"):
                sample_rows.fill(
                    copy.connection,
                    [
                        content.table
                        for content in rows.values()
                        if content.count == 0 and _key(content.table) not in self._empty
                    ],
                )
            rows = self._rows(copy)
        # triggers that fire for made-up rows may have changed the schema there, or here
        trial = self._try(
            copy, file, State(schema=self._schema(copy) if self._strayed or fill_empty else schema, rows=rows)
        )
        self._drop(copy)
        return trial

    def _try(self, database: Database, file: MigrationFile, before: State) -> Trial:
        token = self._token(database, file) if file.rollback is not None else None
        trial = Trial(up=self._run_up(database, file))
        if trial.up is not None:
            # whole or not at all; statement by statement, what ran before the failure has stayed
            trial.goes_on = file.transaction and not database.connection.closed
            return trial
        trial.schema_up = self._schema(database)
        if file.rollback is None:
            trial.goes_on = True
            return trial
        objects = self._count_objects(database)
        trial.rollback = self._run_rollback(database, file)
        if trial.rollback is not None:
            trial.goes_on = file.rollback.transaction and not database.connection.closed
            return trial
        schema = before.schema if token is not None and self._token(database, file) == token else self._schema(database)
        with self._clock.on("schema"):
            rows = database.queries.schema_changes(before.schema, schema) if schema != before.schema else []
        trial.diff = SchemaDiff.from_rows(rows, old="before the up part", new="after the rollback")
        trial.losses, left_over, same = table_contents.compare(
            before.rows, self._rows(database, self._known(before, file))
        )
        trial.remarks += left_over
        again = self._run_up(database, file)
        trial.reapplies = again is None
        if again is not None:
            trial.remarks.append(f"up part, again: {again}")
            return trial
        # From the same schema the same up part leads to the same schema; a third digest would only say so. Numbers of
        # objects cost next to nothing.
        if (
            (trial.diff or self._count_objects(database) != objects)
            and self._schema(database) != trial.schema_up
            and not _only_reordered(trial.diff)
        ):
            trial.reapplies = False
            trial.remarks.append("up part, again: it runs, but does not lead to the same schema")
        trial.goes_on = trial.reapplies and same and not trial.diff
        return trial

    def _known(self, before: State, file: MigrationFile) -> dict[str, Content] | None:
        """What need not be read again where it is unchanged. A session of its own, which ran statement by statement, tells its counts too late."""
        return before.rows if file.transaction and (file.rollback is None or file.rollback.transaction) else None

    def _count_objects(self, database: Database) -> Any:
        with self._clock.on("schema"):
            return database.queries.count_catalog_rows()

    # -- running -----------------------------------------------------------------------------------------------------

    def _run_up(self, database: Database, file: MigrationFile) -> Failure | None:
        if (refused := file.up_refusal) is not None:
            return Failure(message=refused[0], sqlstate=refused[1])
        run = database.commands.apply if file.transaction else database.nontransactional.apply
        return self._run(database, lambda: run(file.record(), file.up_statements()))

    def _run_rollback(self, database: Database, file: MigrationFile) -> Failure | None:
        in_steps = file.rollback is not None and not file.rollback.transaction
        failure = self._run(
            database,
            lambda: (
                database.nontransactional.rollback(file.name) if in_steps else database.commands.rollback([file.name])
            ),
        )
        if (
            failure is not None
            and failure.sqlstate is None
            and file.rollback is not None
            and SqlText(file.rollback.sql).problem is not None
        ):
            return replace(failure, sqlstate="42601")  # the gate has refused it, so the server was not asked
        return failure

    def _run(self, database: Database, run: Callable[[], ExecutionResult]) -> Failure | None:
        with self._clock.on("sql"):
            try:
                execution = run()
                # another session would roll back: no temporary table of the up part is there then
                database.connection.execute("DISCARD TEMP")
            except MigrollbackError as error:
                return Failure(message=error.message, sqlstate=getattr(error, "sqlstate", None))
        row = execution.rows[0]
        if row["success"]:
            return None
        details = next(iter(execution.details.values()), {})
        return Failure(
            message=details.get("message") or row["message"],
            sqlstate=details.get("sqlstate"),
            statement=details.get("statement"),
            number=details.get("statement_number"),
        )


def _key(table: Table) -> tuple[int, tuple[str, ...]]:
    return table.oid, table.columns


def _only_reordered(diff: SchemaDiff) -> bool:
    return bool(diff) and all(change.change == "reordered" for change in diff.changes)


def _verdict(file: MigrationFile, trial: Trial, remarks: Sequence[str], seconds: float) -> MigrationProof:
    """The grade of a trial; pure."""
    told = [*remarks, *trial.remarks]
    failure = trial.up or trial.rollback
    grade: Grade
    differences: tuple[Any, ...] = ()
    if trial.up is not None:
        grade = "fails"
        told.append(f"up part: {trial.up.message}")
    elif file.rollback is None:
        grade = "no_rollback"
    elif trial.rollback is not None:
        grade = "fails"
        told.append(f"rollback: {trial.rollback.message}")
    else:
        assert trial.diff is not None  # noqa: S101  # for mypy: it ran
        told += [
            f"the columns of {change.identity} stand in another order"
            for change in trial.diff.changes
            if change.change == "reordered"
        ]
        differences = (*(change for change in trial.diff.changes if change.change != "reordered"), *trial.losses)
        grade = "differs" if not trial.restored else "loses_data" if trial.losses else "restores"
    return MigrationProof(
        migration_name=file.name,
        grade=grade,
        sqlstate=None if failure is None else failure.sqlstate,
        statement=None if failure is None else failure.statement,
        differences=differences,
        remarks=tuple(told),
        reapplies=trial.reapplies,
        seconds=seconds,
    )
