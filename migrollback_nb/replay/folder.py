"""What can be said of a folder alone, without a database: `verify` grades its rollbacks, `template` suggests one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.core.results import Proof, Template, WrittenSql
    from migrollback_nb.database.progress import Progress


def verify(
    dir: Path | str | None = None,
    *names: str,
    select: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    on: str | None = None,
    bin: Path | str | None = None,
    own_server: bool = False,
    prelude: Sequence[Path | str] | Path | str | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Try the rollbacks of a folder on a scratch database and grade each; needs no connection. Writes only there.

    Parameters
    ----------
    dir : Path or str, optional
        The folder of migrations; by default the variable MIGROLLBACK_DIR, else ``supabase/migrations`` or
        ``migrations``.
    *names : str
        The migrations to grade; by default all.
    select, exclude : str or sequence of str, optional
        Instead of names: a selector of names, closures and tags, and one of what is left out.
    on : str, optional
        DSN of a server on which a database is created for it and dropped again; by default the embedded server, or, for
        extensions that it lacks, this machine's own PostgreSQL, started for this alone.
    bin : Path or str, optional
        Folder of the programs of another PostgreSQL on this machine to be started for this alone.
    own_server : bool
        True: the server named in `on` is there for this alone, and the migrations may change its roles and settings.
    prelude : Path, str, or sequence of them, optional
        SQL files that run first, for what the platform creates before the first migration; ``"supabase"`` is a stand-in
        for Supabase's schemas, roles and extensions that comes with migrollback_nb. By default the variable
        MIGROLLBACK_PRELUDE.
    progress : callable, optional
        Called with (done, all, name).

    Returns
    -------
    DataFrame
        Columns migration_name, grade (restores, loses_data, cannot_reapply, differs, fails, unknown, no_rollback),
        sqlstate, statement, differences (tuple of dict), effects (tuple of dict: sequences that start anew, roles left
        behind and the like), remarks (tuple of str), reapplies (whether the up migration works again after the
        rollback), duration_ms. ``attrs["warnings"]``: what is true of all of it, as which roles and stand-ins were
        created.

    Raises
    ------
    UsageError
        When there is no folder, when no scratch database can be created, or when a prelude fails; a missing extension
        is named.
    """
    from migrollback_nb.replay.proof import prove_folder

    options: dict[str, Any] = {"on": on, "bin": bin, "own_server": own_server, "prelude": prelude}
    return proof_frame(prove_folder(dir, names, select=select, exclude=exclude, progress=progress, **options))


def capture(
    command: Sequence[str] | str,
    dir: Path | str | None = None,
    *,
    rollbacks: Path | str | None = None,
    name: str | None = None,
    down: Sequence[str] | str | None = None,
    each: bool = False,
    on: str | None = None,
    progress: Progress | None = None,
) -> WrittenSql:
    """Write what undoes programs, from what they do to an empty scratch database. Writes files; runs the command.

    `Migrations.capture` begins with a copy of a database's schema instead.

    Parameters
    ----------
    command : sequence of str, or str
        The tool's command that applies one migration, as ``npx knex migrate:up``. It finds the scratch database in
        PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and DATABASE_URL, or instead of ``{url}``, ``{host}``,
        ``{port}``, ``{user}``, ``{password}``, ``{database}``.
    dir : Path or str, optional
        The folder of migrations; by default the variable MIGROLLBACK_DIR, else ``migrations``.
    rollbacks : Path or str, optional
        Where ``NAME.rollback.sql`` and ``NAME.up.sql`` are written; by default MIGROLLBACK_ROLLBACKS, else `dir`.
    name : str, optional
        The migration that the command applies; by default the one that the tool's ledger holds afterwards.
    down : sequence of str, or str, optional
        The tool's own way back, run afterwards: what it leaves otherwise than it was is said.
    each : bool
        True: the command is run again until it applies nothing more.
    on : str, optional
        DSN of a server on which the scratch database is created; by default the embedded one.
    progress : callable, optional
        Called with (done, all, name).

    Returns
    -------
    WrittenSql
        A migration whose rollback did not bring the schema back when it was tried has a reason instead of a file.

    Raises
    ------
    UsageError
        When the command fails, changes nothing there, or applies several migrations at once.
    """
    from migrollback_nb.files.formats import find_folder
    from migrollback_nb.files.location import folder_path
    from migrollback_nb.replay.capture import capture as captured

    folder = find_folder(dir)
    if rollbacks is not None:
        folder = find_folder(folder_path(folder.path, rollbacks))
    return captured(folder, command, name=name, down=down or (), each=each, on=on, progress=progress)


def proof_frame(proof: Proof) -> pd.DataFrame:
    """A proof as a DataFrame; attrs: warnings, and recorded, in words, where it was recorded in a database. Pure."""
    from migrollback_nb.core.frames.build import frame_of

    frame = frame_of("proof", ({**row, "duration_ms": row["seconds"] * 1000} for row in proof.to_dict()))
    frame.attrs["warnings"] = proof.warnings
    if proof.recorded is not None:
        frame.attrs["recorded"] = proof.recorded
    return frame


def template(
    dir: Path | str | None,
    name: str,
    *,
    commented: bool | None = None,
    prove: bool = False,
    on: str | None = None,
    own_server: bool = False,
    prelude: Sequence[Path | str] | Path | str | None = None,
) -> Template:
    """Suggest a rollback block for a migration of a folder; needs no connection. Writes only on a scratch database.

    It undoes what the up migration does, last statement first. What the text does not say (the type of a dropped
    column, the old body of a function) is fetched by replaying the folder up to there; what cannot be undone is
    marked as a TODO.

    Parameters
    ----------
    dir : Path or str or None
        The folder of migrations; None: the variable MIGROLLBACK_DIR, else ``supabase/migrations`` or ``migrations``.
    name : str
        The migration, with or without ``.sql``.
    commented : bool, optional
        Whether each line of the block is commented out, for deploy tools that run the whole file, as Supabase's does.
        By default its SQL is: that is right for every tool.
    prove : bool
        True: try the block and grade it, as `verify` does with the blocks that the files have.
    on, own_server, prelude
        Where the scratch databases are created, and what runs there first; see `verify`. The block is written for the
        version of that server.

    Raises
    ------
    UsageError
        When there is no folder, or a prelude cannot be read.
    MigrationNotFound, MigrationFileError
        When there is no such file, or it is bad.
    """
    from migrollback_nb.files import preludes
    from migrollback_nb.files.formats import find_folder
    from migrollback_nb.files.location import is_supabases
    from migrollback_nb.replay import suggest

    folder = find_folder(dir)
    file = folder.read(name.removesuffix(".sql"))
    if commented is None and is_supabases(folder.path):
        commented = True
    return suggest.template(
        folder,
        file,
        commented=commented,
        prove=prove,
        on=on,
        own_server=own_server,
        first=preludes.find(prelude, beside=folder.rollbacks),
    )
