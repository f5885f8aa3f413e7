"""Writes the SQL of migrations that are programs, as their own tool renders it. Writes files, and on scratch only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.core import results
from migrollback_nb.core.errors import UsageError
from migrollback_nb.files import location
from migrollback_nb.files.formats import find_folder
from migrollback_nb.files.formats.program import MADE_FROM, ROLLBACK, UP, ProgramFile, how_to_get_sql
from migrollback_nb.files.location import folder_path
from migrollback_nb.files.preludes import INSTALLED_APPS
from migrollback_nb.replay.rendered import Rendered

if TYPE_CHECKING:
    from migrollback_nb.core.results import WrittenSql
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.files.formats import MigrationFolder


def render(
    dir: Path | str | None = None,
    *,
    rollbacks: Path | str | None = None,
    command: Sequence[str] = (),
    on: str | None = None,
    progress: Progress | None = None,
) -> WrittenSql:
    """Write the SQL of migrations of Alembic or Django, as the tool itself renders it. Writes files; runs the tool.

    Of Alembic nothing is run but ``upgrade --sql`` and ``downgrade --sql``, which need no database. Of Django
    ``sqlmigrate`` looks constraints up, so it is called on a scratch database in which its own SQL ran before; what
    runs Python is not run.

    Parameters
    ----------
    dir : Path or str, optional
        The folder of migrations; by default the variable MIGROLLBACK_DIR, else ``migrations``.
    rollbacks : Path or str, optional
        Where the files are written, as ``NAME.up.sql`` and ``NAME.rollback.sql``; by default the variable
        MIGROLLBACK_ROLLBACKS, else beside the migrations. A file there that was not written so is left alone.
    command : sequence of str
        How the tool is called; by default ``alembic``, or ``python manage.py``.
    on : str, optional
        DSN of a server on which the scratch database is created; by default the embedded one.
    progress : callable, optional
        Called with (done, all, name).

    Raises
    ------
    UsageError
        When the folder is none of Alembic's or Django's, or the tool does not run.
    """
    folder = find_folder(dir if rollbacks is None else folder_path(find_folder(dir).path, rollbacks))
    files = programs_of(folder)
    tools = {file.tool for file in files}
    installed = ""
    if tools == {"Alembic"}:
        from migrollback_nb.replay.render_alembic import render_revisions

        made = render_revisions(folder, files, command, progress)
    elif tools == {"Django"}:
        from migrollback_nb.replay.render_django import render_apps

        made, installed = render_apps(folder, files, command, on, progress)
    else:
        found = ", ".join(sorted(str(tool) for tool in tools)) or "no programs"
        raise UsageError(
            f"{folder.path} holds {found}, and only Alembic and Django write out the SQL of theirs",
            hint=how_to_get_sql(None).capitalize() if not tools else how_to_get_sql(next(iter(tools))),
        )
    written = write(folder, files, made)
    warnings = _write_prelude(folder.rollbacks / INSTALLED_APPS, installed)
    return replace(written, warnings=(*written.warnings, *warnings))


def _write_prelude(path: Path, text: str) -> tuple[str, ...]:
    """Write what installed apps run before the project's own, or take away what an earlier call wrote. Writes a file.

    Returns what to say of it.
    """
    if not text:
        path.unlink(missing_ok=True)
        return ()
    path.write_text(f"-- What installed apps create, as manage.py sqlmigrate writes it\n\n{text}", encoding="utf-8")
    return (f"{path} holds what installed apps create: verify and template run it first",)


def programs_of(folder: MigrationFolder) -> Sequence[ProgramFile]:
    """The programs of a folder, in the order of their tool. Reads only.

    Raises
    ------
    MigrationFileError
        When one of them cannot be read.
    """
    contents = folder.read_all()
    for error in contents.errors:
        raise error
    return [file for file in contents.files if isinstance(file, ProgramFile)]


def write(folder: MigrationFolder, files: Sequence[ProgramFile], made: Mapping[str, Rendered]) -> WrittenSql:
    """Write what was made, beside the programs or where the folder says. Writes files."""
    folder.rollbacks.mkdir(parents=True, exist_ok=True)
    rows = []
    for file in (file for file in files if file.name in made):
        one = made[file.name]
        paths: dict[str, str | None] = {}
        remarks = list(one.remarks)
        for ending, sql in ((UP, one.up), (ROLLBACK, one.rollback)):
            path = folder.rollbacks / f"{file.name}{ending}"
            paths[ending] = None
            if path.exists() and not is_made(path):
                remarks.append(f"{path} is left as it is: it was written by hand")
            elif sql is None:
                path.unlink(missing_ok=True)  # of an earlier call
            else:
                path.write_text(f"{head(file)}\n-- {one.by}\n\n{sql.strip()}\n", encoding="utf-8")
                paths[ending] = str(path)
        rows.append(
            results.ProgramSql(
                migration_name=file.name,
                up=paths[UP],
                rollback=paths[ROLLBACK],
                reason=None if paths[ROLLBACK] else one.reason or "a file written by hand is there",
                remarks=tuple(remarks),
            )
        )
    return results.WrittenSql(migrations=tuple(rows))


def head(file: ProgramFile) -> str:
    """The line that says from which program a file was made. Pure."""
    return f"{MADE_FROM}{Path(file.path).name} sha256 {location.checksum(file.program_text.encode())}"


def is_made(path: Path) -> bool:
    """Whether a file was written by `write`, and not by hand. Reads only."""
    with path.open(encoding="utf-8", errors="replace") as text:
        return text.readline().startswith(MADE_FROM)
