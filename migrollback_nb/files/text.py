"""The text of one file as everything here sees it: UTF-8, without byte order mark, CRLF read as LF. Reads only."""

from __future__ import annotations

import stat
from pathlib import Path

from migrollback_nb.core.errors import MigrationFileError


def plain_text(text: str, *, where: str) -> str:
    """The text of a file without byte order mark, CRLF read as LF. Pure.

    Raises
    ------
    MigrationFileError
        For a NUL byte, which no PostgreSQL text can hold.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if (nul := text.find("\0")) >= 0:
        line = text.count("\n", 0, nul) + 1
        raise MigrationFileError(
            where, "contains a NUL byte", line=line, hint="Save it as UTF-8 text; UTF-16 files are full of NUL bytes."
        )
    return text


def read_text(path: Path, *, label: str | None = None) -> str:
    """Read the text of one file; writes nothing.

    Parameters
    ----------
    path : Path
        The file.
    label : str, optional
        What errors call it; by default the path.

    Returns
    -------
    str
        As `plain_text` gives it.

    Raises
    ------
    MigrationFileError
        When it cannot be read: not a file, a link loop, not UTF-8, a NUL byte.
    """
    where = label if label is not None else str(path)
    try:
        path.name.encode()
    except UnicodeEncodeError:  # Python keeps such bytes as lone surrogates, which neither JSON nor PostgreSQL can hold
        where = where.encode(errors="backslashreplace").decode()
        raise MigrationFileError(where, "the name is not UTF-8", hint="Rename it.") from None
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # reading a pipe would wait for ever
            what = "a directory" if stat.S_ISDIR(mode) else "a pipe or device"
            raise MigrationFileError(where, f"is {what}, not a file", hint="Rename it or move it elsewhere.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise MigrationFileError(
            where, "does not exist", hint="Check the name, or the folder given with --dir."
        ) from None
    except OSError as error:
        raise MigrationFileError(
            where, f"cannot be read: {error.strerror}", hint="Check that it is a plain file that you may read."
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MigrationFileError(
            where, f"is not UTF-8 (byte 0x{data[error.start]:02x})", line=line, hint="Save it as UTF-8."
        ) from None
    return plain_text(text, where=where)
