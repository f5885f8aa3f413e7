"""The demo: a small shop of migrations that ship with the package, and a story that rolls them back and forth.

``load`` makes the shop in a database, ``run`` is the command ``migrollback demo``. The one database that is ever
dropped is `DATABASE` on the embedded server; a database that the caller names must be empty.

Three migrations are off on purpose, so that there is something to see: `WITHOUT_ROLLBACK` has no rollback SQL, `EDITED`
was changed after it was applied, and the rollback of `FAILING` fails.
"""

from __future__ import annotations

import io
import shlex
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from migrollback_nb.core.errors import MigrollbackError, NotInstalled, OlderSystem, Refused, UsageError
from migrollback_nb.servers import embedded

if TYPE_CHECKING:
    from migrollback_nb.migrations import Migrations

#: The database of the demo on the embedded server.
DATABASE = "migrollback_demo"

WITHOUT_ROLLBACK = "20251019232120_ai_routing_metadata"
EDITED = "20250123_add_order_notes"
FAILING = "20250124_add_gift_cards"
ARCHIVE = "20250122_archive_user_emails"

#: What was changed in the file of `EDITED` after it was applied, where a new migration would have been right.
_EDIT = ("note       text NOT NULL,", "note       text NOT NULL CHECK (note <> ''),")


def names() -> tuple[str, ...]:
    """Names of the migrations that ship, in order. Writes nothing."""
    return tuple(sorted(_texts()))


def default_folder() -> Path:
    """Name the folder of the working copy that ``migrollback demo`` uses. Writes nothing, not even the folder."""
    return embedded.base_folder() / "demo" / "migrations"


def _texts() -> dict[str, str]:
    folder = resources.files(__name__) / "migrations"
    return {
        entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    }


def copy_migrations(folder: Path | str, *, edited: bool, replace: bool) -> None:
    """Copy the migrations that ship into a folder. Writes files, to no database.

    Parameters
    ----------
    folder : Path or str
        Made when it is not there.
    edited : bool
        True: as they stand once the demo is loaded, that is, with one of them changed. False: as they were applied.
    replace : bool
        True: over files of the same name. False: only those that are not there.

    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _texts().items():
        file = folder / f"{name}.sql"
        if replace or not file.exists():
            file.write_text(text.replace(*_EDIT) if edited and name == EDITED else text, encoding="utf-8")


def load(target: Migrations | str = "embedded", folder: Path | str | None = None) -> Migrations:
    """Make the demo: install the system, apply all migrations, change one file. Writes; drops an earlier demo database.

    Parameters
    ----------
    target : Migrations or str
        ``embedded``: the database `DATABASE` of the embedded server, dropped and created anew. Any other DSN, or what
        is connected already: a database that must be empty.
    folder : Path or str, optional
        Where the working copy of the migrations goes; by default that of `target`, or `default_folder`.

    Returns
    -------
    Migrations
        `target` itself, or a new one of that database and folder, which the caller closes.

    Raises
    ------
    UsageError
        When the folder holds other migrations: they would be applied with the demo's.
    Refused
        When the database is not empty, or the demo database is in use.
    """
    from migrollback_nb.migrations import connect

    if not isinstance(target, str):
        if folder is not None and Path(folder) != target.folder.path:
            raise UsageError(
                f"Both {folder} and {target.folder.path} are given",
                hint="Give the folder to mr.connect(..., dir=...) alone.",
            )
        _refuse_other_migrations(target.folder.path)
        _fill(target)
        return target
    folder = Path(folder) if folder is not None else default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_other_migrations(folder)
    db = connect(_new_database() if target == "embedded" else target, schema="public", dir=folder, interface="demo")
    try:
        _fill(db)
    except BaseException:
        db.close()
        raise
    return db


def _refuse_other_migrations(folder: Path) -> None:
    if strange := sorted({file.stem for file in folder.glob("*.sql")} - set(names())):
        raise UsageError(
            f"{folder} holds migrations that are not the demo's: {', '.join(strange[:3])}",
            hint="Name an empty folder, or one that does not exist yet.",
        )


def _fill(db: Migrations) -> None:
    if _one(db, _HOLDS_ANYTHING):
        raise Refused(
            f"The database {db.target} is not empty",
            hint="The demo goes only into an empty database, or with embedded into one of its own.",
        )
    copy_migrations(db.folder.path, edited=False, replace=True)
    db.install()
    db.apply()
    copy_migrations(db.folder.path, edited=True, replace=True)


def is_loaded(dsn: str) -> bool:
    """Whether a database holds the whole demo, whatever has been rolled back in it since. Does not write."""
    from migrollback_nb.migrations import connect

    with connect(dsn, schema="public") as db:
        try:
            return set(names()) <= set(db.database.queries.names())
        except (NotInstalled, OlderSystem):
            return False


_HOLDS_ANYTHING = """
WITH found (classid, objid, namespace) AS (
    SELECT 'pg_class'::regclass, c.oid, c.relnamespace FROM pg_catalog.pg_class c
    UNION ALL SELECT 'pg_proc'::regclass, p.oid, p.pronamespace FROM pg_catalog.pg_proc p)
SELECT EXISTS (
    SELECT FROM found f JOIN pg_catalog.pg_namespace n ON n.oid = f.namespace
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = f.classid AND d.objid = f.objid AND d.deptype = 'e'))
"""


def _new_database() -> str:
    import psycopg
    from psycopg import sql

    with psycopg.connect(embedded.start(), autocommit=True) as connection:
        try:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(DATABASE)))
        except psycopg.errors.ObjectInUse as error:
            raise Refused(
                f"The demo database {DATABASE} is in use",
                hint="End what uses it (migrollback lab, notebooks, psql) and try again.",
            ) from error
    return embedded.start(DATABASE)


def _one(db: Migrations, query: Any) -> Any:
    row = db.database.connection.execute(query).fetchone()
    return row[0] if row else None


# -- the story ---------------------------------------------------------------------------------------------------------


#: Runs one command line and returns its exit status.
RunCommand = Callable[[Sequence[str], TextIO, TextIO], int]


class _Narrator:
    """Says what comes, runs it as a user would type it, and insists that it ends as the story has it."""

    def __init__(self, out: TextIO, run: RunCommand, dsn: str, folder: Path) -> None:
        self.out = out
        self._run = run
        self.chapter = 0
        self.where = ["--dsn", dsn, "--dir", str(folder), "--schema", "public"]

    def heading(self, text: str, *lines: str) -> None:
        self.chapter += 1
        self.say("", f"== {self.chapter}. {text} ==", *(("", *lines) if lines else ()))

    def say(self, *lines: str) -> None:
        self.out.writelines(f"{line}\n" for line in lines)

    def command(self, *words: str, ends: int = 0) -> None:
        self.say("", f"$ {shlex.join(['migrollback', *words])}")
        # not straight to `out`: when its reader has gone, as that of `migrollback demo | head`, the inner command would
        # swallow it
        said = io.StringIO()
        status = self._run([*words, *self.where], said, said)
        self.out.write(said.getvalue())
        self.out.flush()
        if status:
            self.say(f"(exit status {status})")
        if status != ends:
            raise MigrollbackError(
                f"The demo expected exit status {ends} from {words[0]}, but it was {status}",
                hint="This is a defect: please report it with the lines above.",
            )


def run(out: TextIO, command: RunCommand) -> int:
    """Run the command ``migrollback demo``: load a shop and show what is done with it. Writes to its own database.

    Parameters
    ----------
    out : TextIO
        Where the story goes.
    command : callable
        Runs one command line, as `migrollback_nb.cli.run` does: arguments, output, error output.

    Returns
    -------
    int
        0.
    """
    folder = default_folder()
    began = time.monotonic()
    out.write(
        "Starting a private PostgreSQL server (the first time it is set up) and loading a small shop into it ...\n"
    )
    out.flush()
    with load("embedded", folder) as db:
        narrator = _Narrator(out, command, embedded.start(DATABASE), folder)
        counted = ", ".join(f"{_count(db, table):,} {table}" for table in ("users", "projects", "orders"))
        narrator.say(
            f"{len(names())} migrations are applied: {counted}. That took {time.monotonic() - began:.1f} s.",
            f"Database: {DATABASE}, on a server that only you can reach. No other database is touched.",
            f"Migrations: {folder}",
        )
        _look(narrator)
        _roll_back(narrator, db)
        _go_wrong(narrator, db)
        _finish(narrator, folder)
    return 0


def _count(db: Migrations, table: str) -> int:
    from psycopg import sql

    return int(_one(db, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))))


def _look(narrator: _Narrator) -> None:
    narrator.heading(
        "What is there?", "Every applied migration, and whether it may be rolled back now. Looking never writes."
    )
    narrator.command("list")

    narrator.heading("May one migration be rolled back?")
    narrator.command("check", "20250120_add_user_settings")
    narrator.say("", "Others depend on the analytics queue, so that one may not (a script sees it by exit status 3):")
    narrator.command("check", "20250119_add_analytics_queue", ends=3)
    narrator.say(
        "",
        "One has no rollback SQL, and cannot be rolled back before it is written. What undoes its up migration is"
        " suggested:",
    )
    narrator.command("check", WITHOUT_ROLLBACK, ends=3)
    narrator.command("template", WITHOUT_ROLLBACK)
    narrator.say(
        "",
        "And of one the file was changed after it was applied. What would run is what was registered, and check says"
        " so:",
    )
    narrator.command("check", EDITED)

    narrator.heading("What exactly would happen?", "A dry run shows the SQL, and runs none of it.")
    narrator.command("rollback", ARCHIVE, "--dry-run")

    narrator.heading(
        "What would it do?",
        "A rehearsal runs it for real, undoes it, and reports what it did: what is lost, who would wait, how long."
        " Nothing is left of it but an event.",
    )
    narrator.command("rehearse", ARCHIVE)


def _roll_back(narrator: _Narrator, db: Migrations) -> None:
    narrator.heading(
        "Roll back, and the data comes back",
        f"{ARCHIVE} took the e-mail addresses out of users and into an archive.",
        "With the fingerprint, what was shown is what runs: had its SQL, its dependents or the schema changed"
        " since, it would be refused.",
    )
    narrator.say(f"Column users.email is there: {_has_email(db)}.")
    fingerprint = db.preview(ARCHIVE).fingerprint or ""
    narrator.command(
        "rollback",
        ARCHIVE,
        "--preview",
        fingerprint,
        "--confirm",
        ARCHIVE,
        "--reason",
        "The newsletter still needs the addresses",
    )
    restored = _one(db, "SELECT count(email) FROM users")
    narrator.say(
        "",
        f"Column users.email is there: {_has_email(db)}, with {restored:,} addresses.",
        "",
        "Applied again, it is as before:",
    )
    narrator.command("apply", ARCHIVE)

    queue = "20250119_add_analytics_queue"
    narrator.heading("A rollback that is refused", "Everything depends on the base of the shop. No option forces this.")
    narrator.command("rollback", "20250110_base_shop", "--confirm", "20250110_base_shop", ends=3)

    narrator.heading(
        "A chain", "A migration with all that depends on it: dependents first, in one transaction, all or nothing."
    )
    narrator.command("plan", queue)
    narrator.command("rollback", queue, "--chain", "--confirm", queue, "--reason", "The queue overloads the database")
    narrator.say("", "Once the cause is fixed, both are applied again, in their own order:")
    narrator.command("apply", "20250120_add_project_analytics", queue)


def _has_email(db: Migrations) -> str:
    found = _one(
        db,
        "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname = 'email' AND"
        " NOT attisdropped)",
    )
    return "yes" if found else "no"


def _go_wrong(narrator: _Narrator, db: Migrations) -> None:
    narrator.heading(
        "A rollback that fails",
        f"The rollback of {FAILING} drops an index and a table, then names a table that never was.",
        "A rehearsal shows that beforehand:",
    )
    narrator.command("rehearse", FAILING, ends=1)
    narrator.say("", f"Without a rehearsal nothing is lost either. Gift cards before: {_count(db, 'gift_cards')}.")
    narrator.command("rollback", FAILING, "--confirm", FAILING, "--reason", "Legal has not agreed yet", ends=1)
    narrator.say(
        "",
        f"Gift cards after: {_count(db, 'gift_cards')}. What had run was undone. The status is failed until a person"
        " has looked:",
    )
    narrator.command("check", FAILING, ends=3)
    narrator.command(
        "resolve",
        FAILING,
        "--as",
        "applied",
        "--reason",
        "Looked: the table and its index are there, nothing was changed",
    )

    settings = "20250120_add_user_settings"
    narrator.heading(
        "A rollback that changes nothing",
        "Last night the table user_settings was dropped by hand. IF EXISTS then hides that there was nothing to do:",
    )
    db.database.connection.execute("DROP TABLE user_settings")
    narrator.command("rollback", settings, "--confirm", settings, "--reason", "Settings move to another service")
    narrator.say(
        "", "It is rolled back, but that is not reported as a plain success. Applied again, the table is back:"
    )
    narrator.command("apply", settings)


def _finish(narrator: _Narrator, folder: Path) -> None:
    narrator.heading(
        "Nothing is forgotten",
        "Each thing done or tried is one line of the audit log, and each line carries a hash of the line before it.",
    )
    narrator.command("events", FAILING)
    narrator.command("events", "--verify")

    narrator.heading(
        "Where to go next",
        "  migrollback lab",
        "      opens JupyterLab on notebooks that do all this with panels, tables and graphs, on this very database.",
        "      Use the shop from any terminal; the server starts with the first program that uses it and ends with the"
        " last:",
        "",
        f"          export MIGROLLBACK_DSN=embedded/{DATABASE}",
        f"          export MIGROLLBACK_DIR={shlex.quote(str(folder))}",
        "          migrollback list",
        "",
        "  migrollback install --dsn embedded",
        "      installs the system into the same server's database postgres, which is empty and yours to try"
        " things in.",
        "",
        "  migrollback install --dsn postgresql://user@host/database",
        "      installs it into a database of your own; then migrollback sync --dir supabase/migrations registers what"
        " is applied there.",
        "",
        "Run migrollback demo again to start afresh.",
    )
