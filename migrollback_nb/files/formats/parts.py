"""What makes up one migration, found in a folder -> its MigrationFile, in its tool's form. Reads only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.files import migration, tools
from migrollback_nb.files.formats import drizzle, graphile, postgres_migrations
from migrollback_nb.files.formats.atlas_file import AtlasFile
from migrollback_nb.files.formats.changeset import ChangesetFile
from migrollback_nb.files.formats.cut import CutFile, cut_by
from migrollback_nb.files.formats.layout import Found
from migrollback_nb.files.formats.marked import MarkedFile
from migrollback_nb.files.formats.paired import PairedFile
from migrollback_nb.files.formats.program import ProgramFile
from migrollback_nb.files.migration import MigrationFile
from migrollback_nb.files.text import read_text

#: Tool -> what its ledger keeps of a file.
_HASHES = {
    "drizzle": drizzle.hash_of,
    "graphile-migrate": graphile.hash_of,
    "postgres-migrations": postgres_migrations.hash_of,
}


def read_found(folder: Path, name: str, found: Found, *, deployed_by: str | None) -> MigrationFile:
    """Read one migration, without validating it. Reads only.

    Parameters
    ----------
    folder : Path
        Where it was found.
    name : str
        Its name.
    found : Found
        Its files.
    deployed_by : str or None
        The tool that deploys this folder, where the format does not say.

    Raises
    ------
    MigrationFileError
        When a file cannot be read as text, or its name is none for a migration.
    """
    path = folder / found.path
    # its name would be refused for less
    if found.refused is not None and found.changeset is None and not name[:1].isdigit():
        raise MigrationFileError(str(path), found.refused.problem, hint=found.refused.hint)
    if (part := found.changeset) is not None:
        return ChangesetFile(
            name=name,
            path=str(path),
            text=part.up,
            written_for=found.tool,
            rollback_path=str(path),
            rollback_text=part.rollback,
            place=found.place,
            planned_version=found.version,
            changeset=part,
        )
    text = read_text(path)
    if found.rollback is None and found.tool is None:
        file = parse(text, name=name, path=str(path))
        return replace(file, deployed_by=deployed_by) if file.tool is None and deployed_by is not None else file
    rollback = folder / (found.rollback or found.path)
    parts: dict[str, Any] = {
        "name": name,
        "path": str(path),
        "written_for": found.tool,
        "rollback_path": str(rollback),
        "rollback_text": read_text(rollback) if found.has_rollback else None,
        "place": found.place,
        "planned_version": found.version,
        "planned": found.depends_on,
    }
    if (program := found.program) is not None:
        up = "" if program.up_path is None else read_text(Path(program.up_path))
        return ProgramFile(**parts, text=up, program=program, program_text=text)
    if found.tool == "Atlas":
        return AtlasFile(**parts, text=text)
    kept = {"ledger_hash": hash_of(path)} if (hash_of := _HASHES.get(found.tool or "")) else {}
    return PairedFile(**parts, text=text, kept=kept)


def check(file: MigrationFile, found: Found) -> None:
    """Raise what is wrong with it, also that its layout is not read; pure."""
    file.validate()
    refused = found.refused
    if refused is not None and (refused.always or found.changeset is not None or not file.has_rollback_block):
        raise MigrationFileError(file.path, refused.problem, line=refused.line, hint=refused.hint)


def parse(text: str, *, name: str, path: str | None = None) -> MigrationFile:
    r"""Parse the text of one migration, in our own format or with another tool's marks; does not write.

    Parameters
    ----------
    text : str
        The file's text. A byte order mark is dropped, CRLF is read as LF.
    name : str
        The file's stem; must begin with digits.
    path : str, optional
        What errors call the file; by default ``name.sql``.

    Returns
    -------
    MigrationFile
        Not parsed yet: call `MigrationFile.validate`.

    Raises
    ------
    MigrationFileError
        When the text holds a NUL byte or the name is none for a migration; what else breaks the format is raised when
        it is asked for. Rollback SQL that is not valid is not an error here: it is kept in ``rollback.problem``.

    Examples
    --------
    >>> file = parse("CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n", name="001_t")
    >>> file.up_statements(), file.rollback.sql
    (('CREATE TABLE t ()',), 'DROP TABLE t;')
    >>> parse("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;", name="001_t").rollback.sql
    'DROP TABLE t;'
    """
    file = migration.parse(text, name=name, path=path)
    if (cut := cut_by(file.text)) is not None:
        return CutFile(name=file.name, path=file.path, text=file.text, written_for=cut)
    tool = tools.tool_of(file.text)
    return file if tool is None else MarkedFile(name=file.name, path=file.path, text=file.text, written_for=tool)
