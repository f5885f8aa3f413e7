"""Whether what is stored of a migration is what its file says. Does not write.

Files are parsed only where they must be: `check` is to be quick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.files.location import checksum as checksum_of
from migrollback_nb.files.location import plain_rollback

if TYPE_CHECKING:
    from migrollback_nb.database import Database

#: Of what is stored of the rollback SQL, what steers how it runs or is rehearsed; lines and marks may move.
_STEERING = (
    "transaction",
    "refused_in_transaction",
    "set_local",
    "set_session",
    "not_undone",
    "calls",
    "writes",
    "unseen",
)


def warnings_of(
    database: Database, folder: Path | None, name: str, row: Mapping[str, Any], *, thorough: bool = False
) -> tuple[str, ...]:
    """What differs between a migration's file and what is registered of it, in words. Does not write.

    Parameters
    ----------
    folder : Path or None
        Where its file is looked for; without one there is nothing to say.
    row : mapping
        Of the migration: checksum, rollback_sha256, in_transaction and tool, as `Database.queries.warnings` gives them.
    thorough : bool
        True: also what the parser found in the rollback SQL is compared. Takes loading the parser.
    """
    if folder is None:
        return ()
    path = folder / f"{name}.sql"
    try:
        warning = _warning(database, folder, path, name, row, thorough=thorough)
    except OSError as error:  # no reason not to answer in an incident
        unknown = "it is not known whether it was changed after it was registered"
        return (f"{path} cannot be read ({error.strerror}): {unknown}",)
    except MigrollbackError as error:
        return (f"{error.message}: it is not known whether {name} was changed after it was registered",)
    return () if warning is None else (warning,)


def _warning(
    database: Database, folder: Path, path: Path, name: str, row: Mapping[str, Any], *, thorough: bool
) -> str | None:
    checksum = row["checksum"]
    data = path.read_bytes() if path.is_file() else None
    shown = f"{name} in {folder}" if data is None else str(path)  # one of two files
    unchanged = data is not None and checksum == checksum_of(data)
    if data is not None and unchanged and not thorough and _is_plainly_stored(data, row):
        return None
    if not folder.is_dir():
        return None
    # changed, not there, or one of two files, which takes longer to find out
    if data is None or (checksum is not None and not unchanged):
        from migrollback_nb.files.formats import MigrationFolder

        found = MigrationFolder(folder).checksum(name)
        if found is None:
            return None
        if checksum not in (found, None):
            return (
                f"{shown} was changed after it was registered: what runs is the registered rollback SQL."
                " Register it again if the file is right"
            )
    different = _difference(database, folder, name)
    if different is None:
        return None
    although = (
        "it was registered without a checksum"
        if checksum is None
        else "the checksum is: it was changed in the database"
    )
    return (
        f"{different.format(shown=shown)}, though {although}. What runs is what is stored: look at it, and register"
        " the file again if that is right"
    )


def _is_plainly_stored(data: bytes, row: Mapping[str, Any]) -> bool:
    """Whether the stored rollback SQL is that of a file in our own format, as far as is seen without the parser."""
    found = plain_rollback(data)
    if found is None or row["tool"] is not None:
        return False
    sql, in_transaction = found
    return bool(
        row["rollback_sha256"] == hashlib.sha256(sql.encode()).hexdigest() and row["in_transaction"] is in_transaction
    )


def _difference(database: Database, folder: Path, name: str) -> str | None:
    from migrollback_nb.files.formats import MigrationFolder

    stored = database.queries.find(name)
    if stored is None:
        return None
    record = MigrationFolder(folder).read(name).record()
    if (record["rollback_sql"] or "") != (stored["rollback_sql"] or ""):
        return "The stored rollback SQL is not the one of {shown}"
    kept, says = stored["metadata"], record["metadata"]
    of_stored, of_file = kept.get("rollback") or {}, says["rollback"] or {}
    different = ["tool"] if kept.get("tool") != says.get("tool") else []
    if not isinstance(of_stored, dict):
        return "What is stored of how the rollback SQL runs (rollback) is not what {shown} says"
    if [one[:2] for one in of_file.get("statements", ())] != _offsets(of_stored.get("statements")):
        different.append("statements")
    different += [key for key in _STEERING if of_stored.get(key) != of_file.get(key)]
    if not different:
        return None
    return f"What is stored of how the rollback SQL runs ({', '.join(different)}) is not what {{shown}} says"


def _offsets(statements: object) -> list[Any]:
    """[first byte, bytes] of stored statements, which may be anything."""
    return [one[:2] if isinstance(one, list) else one for one in statements] if isinstance(statements, list) else []
