"""Where migration files are found, and their checksum, without parsing any: `check` must stay quick. Reads only."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

#: Folders that are looked for when none is named, in this order.
USUAL_FOLDERS = ("supabase/migrations", "migrations")


class FolderPath(type(Path())):  # type: ignore[misc]  # PosixPath or WindowsPath, by the system
    """A folder of migrations, and the folder in which the SQL lies that undoes those that are programs."""

    rollbacks: Path | None = None  #: None: where the migrations are


def folder_path(dir: Path | str, rollbacks: Path | str | None = None) -> Path:
    """A path of a folder of migrations that keeps where the SQL beside programs lies. Reads the environment.

    Parameters
    ----------
    dir : Path or str
        The folder.
    rollbacks : Path or str, optional
        The other one; by default what `dir` keeps already, else ``MIGROLLBACK_ROLLBACKS``, else the folder itself.
    """
    named = rollbacks or getattr(dir, "rollbacks", None) or os.environ.get("MIGROLLBACK_ROLLBACKS")
    path = FolderPath(dir)
    path.rollbacks = Path(named) if named else None
    return path


def default_folder() -> Path | None:
    """The folder in ``MIGROLLBACK_DIR``, else the first of `USUAL_FOLDERS` that exists, else None. Writes nothing."""
    if named := os.environ.get("MIGROLLBACK_DIR"):
        return Path(named)
    return next((Path(usual) for usual in USUAL_FOLDERS if Path(usual).is_dir()), None)


def checksum(data: bytes, rollback: bytes | None = None) -> str:
    """SHA-256 (hex) of a migration: BOM dropped, CRLF read as LF; of two files, a NUL byte between them. Pure."""
    texts = [data] if rollback is None else [data, rollback]
    return hashlib.sha256(
        b"\0".join(text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n") for text in texts)
    ).hexdigest()


#: What stands before each line of a block that is commented out.
COMMENT_PREFIX = re.compile(r"^[ \t]*-- ?", re.MULTILINE)
_MARKERS = re.compile(r"--\s*ROLLBACK\s+(?:START|END)\b", re.IGNORECASE)
_BLOCK = re.compile(
    r"^[ \t]*--[ \t]*(?:ROLLBACK[ \t]+START[ \t]*((?i:transaction[ \t]*:[ \t]*(?:true|false)))?|(?i:rollback["
    r" \t]+start))[ \t]*\n"
    r"(.*)^([ \t]*)--[ \t]*(?:ROLLBACK[ \t]+END\b|(?i:rollback[ \t]+end)[ \t]*$)",
    re.MULTILINE | re.DOTALL,
)


def plain_rollback(data: bytes) -> tuple[str, bool] | None:
    """(rollback SQL, whether it runs in a transaction) of a file, where that is plain without the parser. Pure."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None
    found = _BLOCK.search(text)
    if found is None or len(_MARKERS.findall(text)) != 2:
        return None
    # as the parser has it: to the signs of the last comment, without the line breaks around it
    inside = (found.group(2) + found.group(3)).strip("\n")
    rows = [row for row in inside.split("\n") if row.strip()]
    if rows and all(row.lstrip().startswith("--") for row in rows):
        inside = COMMENT_PREFIX.sub("", inside)
    return inside, not (found.group(1) or "").lower().endswith("false")


def is_supabases(folder: Path) -> bool:
    """Whether Supabase's CLI deploys this folder, going by its path."""
    return folder.absolute().parts[-2:] == ("supabase", "migrations")
