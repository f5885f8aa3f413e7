"""Writes what undoes a program from what it does to a scratch database, and tries it there. Runs the tool's command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from migrollback_nb.core import results
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.program import ProgramFile
from migrollback_nb.files.migration import CAPTURED
from migrollback_nb.replay import definitions, ledger_rows, tool_runs
from migrollback_nb.replay.render import write
from migrollback_nb.replay.rendered import Rendered
from migrollback_nb.replay.scratch import scratch
from migrollback_nb.undo import ddl
from migrollback_nb.undo.ddl.states import Schemas

if TYPE_CHECKING:
    from migrollback_nb.core.results import WrittenSql
    from migrollback_nb.database import Database
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.undo.suggestion import SchemaState

#: How long one call of the command may take, in seconds.
LONGEST = 600.0
NOT_KNOWN = "rows that it wrote, changed or took away are not known: only the schema is brought back"


def capture(
    folder: MigrationFolder,
    command: Sequence[str] | str,
    *,
    target: Database | None = None,
    name: str | None = None,
    down: Sequence[str] | str = (),
    each: bool = False,
    on: str | None = None,
    progress: Progress | None = None,
) -> WrittenSql:
    """Run a tool's own command on a scratch database, and write what undoes what it did. Writes files, and there.

    Parameters
    ----------
    folder : MigrationFolder
        Programs of one tool. What is written goes where the folder says.
    command : sequence of str
        Applies one migration. The scratch database is in the variables PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE
        and DATABASE_URL, and instead of ``{url}``, ``{host}``, ``{port}``, ``{user}``, ``{password}``, ``{database}``.
    target : Database, optional
        The scratch database is a copy of its schema, with the rows of the tool's ledger; without it, it is empty.
    name : str, optional
        The migration that the command applies; by default the one that the tool's ledger holds afterwards and did not
        before.
    down : sequence of str, optional
        What the tool undoes it with: run afterwards, and what it leaves otherwise than it was is said.
    each : bool
        True: the command is run again until it applies nothing more.
    on : str, optional
        DSN of a server for the scratch database; by default the embedded one.
    progress : callable, optional
        Called with (done, all, name).

    Raises
    ------
    UsageError
        When the command fails, changes nothing there, or applies several migrations at once.
    """
    if not command:
        raise UsageError(
            "No command is given", hint="Write it after --, for example: migrollback capture -- npx knex migrate:up"
        )
    words, back = ([*shlex.split(given)] if isinstance(given, str) else [*given] for given in (command, down))
    contents = folder.read_all()
    files = [file for file in contents.files if isinstance(file, ProgramFile)]
    if not files and (name is None or each or not name[:1].isdigit()):
        raise UsageError(
            f"{folder.path} holds no programs of a tool whose ledger is known",
            hint="Name the migration, one at a time, by a name that begins with digits; or the folder of Alembic,"
            " Django, Knex, TypeORM or Rails with --dir.",
        )
    tool = str(files[0].tool) if files else None
    hash_before = None if target is None else target.queries.schema_hash()
    made: dict[str, Rendered] = {}
    with _place(target, on, tool) as place:
        capturing = _Capturing(place, files, words, back, folder.path)
        # the last call would be one that has nothing to do, which some tools call a failure
        while not made or not capturing.is_done:
            found = capturing.next(name, last=bool(made))
            if found is None:
                break
            migration, rendered = found
            made[migration] = rendered
            if progress is not None:
                progress(len(made), len(files), migration)
            if not each:
                break
    if target is not None and target.queries.schema_hash() != hash_before:
        raise UsageError(
            f"The schema of {target.target.database} itself changed while the command ran",
            hint="The command may have connected there instead of the scratch database: look at both.",
        )
    return write(folder, files, made) if files else _write_whole(folder, str(name), made[str(name)])


def _write_whole(folder: MigrationFolder, name: str, made: Rendered) -> WrittenSql:
    """Write a file in our own format: what a tool whose ledger is not known did, and what undoes it. Writes a file."""
    path = folder.rollbacks / f"{name}.sql"
    if path.exists():
        raise UsageError(
            f"{path} is there already", hint="Take it away first, or name another folder with --rollbacks."
        )
    if made.rollback is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        block = f"-- ROLLBACK START\n{made.rollback.strip()}\n-- ROLLBACK END"
        path.write_text(
            f"-- Migration: {name}\n-- {made.by}\n\n{(made.up or '').strip()}\n\n{block}\n", encoding="utf-8"
        )
    remark = "its tool's ledger is not known here: it will not hear of a rollback"
    one = results.ProgramSql(
        migration_name=name,
        up=None if made.rollback is None else str(path),
        rollback=None if made.rollback is None else str(path),
        reason=made.reason,
        remarks=(*made.remarks, remark),
    )
    return results.WrittenSql(migrations=(one,))


@dataclass(slots=True, kw_only=True)
class _Place:
    """The scratch database."""

    database: Database
    dsn: str = field(repr=False)
    schema: str  #: of the rollback system there
    tool: str | None  #: None where its ledger is not known

    @property
    def words(self) -> dict[str, str]:
        """What stands for it in a command."""
        known = {key: str(value) for key, value in conninfo_to_dict(self.dsn).items() if value}
        parts = {
            "host": known.get("host", ""),
            "port": known.get("port", "5432"),
            "user": known.get("user", ""),
            "password": known.get("password", ""),
            "database": known.get("dbname", ""),
        }
        if parts["host"].startswith("/"):
            # nothing before the path: Ruby's reader of addresses refuses a user without a host
            where = {key: parts[key] for key in ("host", "port", "user", "password") if parts[key]}
            return parts | {
                "url": f"postgresql:///{quote(parts['database'], safe='')}?{urlencode(where, quote_via=quote)}"
            }
        secret = f":{quote(parts['password'], safe='')}" if parts["password"] else ""
        user, database = (quote(parts[key], safe="") for key in ("user", "database"))
        return parts | {"url": f"postgresql://{user}{secret}@{parts['host']}:{parts['port']}/{database}"}

    @property
    def environment(self) -> dict[str, str | None]:
        """libpq's variables, and DATABASE_URL; None: not there."""
        words = self.words
        names = ("host", "port", "user", "password", "database")
        return {f"PG{name.upper()}": words[name] or None for name in names} | {
            "DATABASE_URL": words["url"],
            "PGSERVICE": None,
            "PGOPTIONS": None,
            "PGHOSTADDR": None,
        }


@contextmanager
def _place(target: Database | None, on: str | None, tool: str | None) -> Iterator[_Place]:
    if target is None:
        with scratch(on=on) as place:
            yield _Place(database=place.database, dsn=place.dsn, schema=place.schema, tool=tool)
        return
    from migrollback_nb.replay.schema_copy import HERE, copied

    with copied(target, on=on or HERE) as copy:
        ledger_rows.copy(target, copy.database, tool)
        yield _Place(database=copy.database, dsn=copy.dsn, schema=target.session.schema, tool=tool)


class _Capturing:
    """Runs the command, and compares what was with what is."""

    def __init__(
        self,
        place: _Place,
        files: Sequence[ProgramFile],
        command: Sequence[str],
        down: Sequence[str],
        folder: Path,
    ) -> None:
        self._place = place
        self._files = files
        self._command = command
        self._down = down
        self._root = tool_runs.root_of(
            folder,
            *("package.json", "knexfile.js", "knexfile.ts", "manage.py", "alembic.ini", "Gemfile"),
        )
        self._before = self._state()
        self._applied = self._names()

    def next(self, name: str | None, *, last: bool) -> tuple[str, Rendered] | None:
        """(migration, what undoes it) of one more call; None where it applies nothing more."""
        before, applied = self._before, self._applied
        self._run(self._command)
        after, now = self._state(), self._names()
        new = [file.name for file in self._files if file.name in now and file.name not in applied]
        if not new and last:
            return None
        if len(new) > 1:
            raise UsageError(
                f"The command applied {len(new)} migrations at once: {first_few(new)}",
                hint="Give one that applies one, as knex migrate:up, alembic upgrade +1 or manage.py migrate APP NAME.",
            )
        if not new and name is None:
            raise UsageError(
                f"The command applied no migration of {self._place.tool} on the scratch database",
                hint="It is to connect where PGHOST, PGPORT, PGUSER and PGDATABASE or DATABASE_URL say; in the command,"
                " {url}, {host}, {port}, {user}, {password} and {database} are replaced.",
            )
        if name is not None and new and new != [name]:
            raise UsageError(f"The command applied {new[0]}, and {name} was meant", hint="Name that, or none.")
        migration = new[0] if new else str(name)
        if not new and not _differs(before, after):
            raise UsageError(
                "The command changed nothing on the scratch database",
                hint="It is to connect where PGHOST, PGPORT, PGUSER and PGDATABASE or DATABASE_URL say.",
            )
        ledger = ledger_rows.relations(self._place.database, self._place.tool)
        was, became = _without(before, ledger), _without(after, ledger)
        rendered = self._written(was, became)
        if self._down:
            self._run(self._down)
            undone = self._state()
            left = _difference(was, _without(undone, ledger))
            if left:
                remark = f"the tool's own way back leaves what was not there before, or not what was: {left}"
                rendered = replace(rendered, remarks=(*rendered.remarks, remark))
            after, now = undone, self._names()
        self._before, self._applied = after, now
        return migration, rendered

    @property
    def is_done(self) -> bool:
        """Whether all programs of the folder are applied there."""
        return len(self._applied) == len(self._files)

    def _run(self, command: Sequence[str]) -> None:
        words = [_filled(word, self._place.words) for word in command]
        run = tool_runs.run(words, cwd=self._root, environment=self._place.environment, timeout=LONGEST)
        if run.status != 0:
            raise UsageError(
                f"{shlex.join(command)} fails on the scratch database: {run.trouble}",
                hint=f"It runs in {self._root}. Say with --on which server it can reach.",
            )

    def _state(self) -> SchemaState:
        return definitions.state(self._place.database.connection, self._place.schema)

    def _names(self) -> frozenset[str]:
        asked = [{"name": file.name, "version": file.version, "tool": file.tool} for file in self._files]
        graph = [
            {"name": None, "version": version, "tool": self._place.tool, "parents": list(before)}
            for version, before in (self._files[0].before.items() if self._files else ())
        ]
        rows = self._place.database.queries.in_deploy_ledgers([*asked, *graph]) if asked else ()
        return frozenset(row["migration_name"] for row in rows if row["is_applied"])

    def _written(self, was: SchemaState, became: SchemaState) -> Rendered:
        back = ddl.restore(was.objects, became.objects, role=became.role, major=became.major)
        forth = ddl.restore(became.objects, was.objects, role=became.role, major=became.major)
        statements = [step.sql for step in back if step.sql is not None]
        todos = [step.todo for step in back if step.todo is not None]
        by = f"{CAPTURED.removeprefix('-- ')}{shlex.join(self._command)}\n-- Effect: {NOT_KNOWN}"
        up = "\n".join(f"{step.sql};" for step in forth if step.sql is not None)
        if not statements and not todos:
            reason = "it changed nothing of the schema, and what it did to rows is not known"
            return Rendered(reason=reason, by=by)
        differs = self._tried(statements, was)
        text = "\n".join([*(f"-- TODO: {todo}" for todo in todos), *(f"{sql};" for sql in statements)])
        if differs is not None:
            return Rendered(up=up, reason=f"what was captured does not bring the schema back: {differs}", by=by)
        return Rendered(up=up, rollback=text, by=by, remarks=(NOT_KNOWN, *todos))

    def _tried(self, statements: Sequence[str], was: SchemaState) -> str | None:
        """Run what was written, look, and undo it: why it does not bring the schema back, None where it does."""
        connection = self._place.database.connection
        connection.execute("BEGIN")
        try:
            for statement in statements:
                connection.execute(statement.encode())
            ledger = ledger_rows.relations(self._place.database, self._place.tool)
            return _difference(was, _without(self._state(), ledger)) or None
        except psycopg.Error as error:
            return f"{error.diag.message_primary or error} ({error.sqlstate})"
        finally:
            connection.execute("ROLLBACK")


def _filled(word: str, words: Mapping[str, str]) -> str:
    for name, value in words.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _without(state: SchemaState, relations: Sequence[str]) -> SchemaState:
    """A state without the tool's own tables."""
    return replace(state, objects=ledger_rows.without(state.objects, relations))


def _differs(was: SchemaState, now: SchemaState) -> bool:
    return was.objects != now.objects


def _difference(was: SchemaState, now: SchemaState) -> str:
    """What differs, in words; empty where nothing does."""
    schemas = Schemas(old=was.objects, new=now.objects, role=now.role, major=now.major, concurrently=False)
    kinds = (("is new", schemas.created), ("is missing", schemas.dropped), ("is otherwise", schemas.changed))
    found = [f"{' '.join(key)} {what}" for what, keys in kinds for key in keys]
    return first_few(found) if found else ""
