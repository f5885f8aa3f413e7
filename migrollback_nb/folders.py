"""Where migration files are found, and their checksum, without parsing any: `check` must stay quick. Reads only."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

#: Folders that are looked for when none is named, in this order.
USUAL_FOLDERS = ("supabase/migrations", "migrations")


def default_folder() -> Path | None:
    """The folder in ``MIGROLLBACK_DIR``, else the first of `USUAL_FOLDERS` below the current one that exists, else None."""
    if named := os.environ.get("MIGROLLBACK_DIR"):
        return Path(named)
    return next((Path(usual) for usual in USUAL_FOLDERS if Path(usual).is_dir()), None)


def checksum(data: bytes, undo: bytes | None = None) -> str:
    """SHA-256 (hex) of a migration as it is hashed everywhere: BOM dropped, CRLF read as LF; of two files, a NUL byte between them."""
    texts = [data] if undo is None else [data, undo]
    return hashlib.sha256(b"\0".join(text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n") for text in texts)).hexdigest()


def is_supabases(folder: Path) -> bool:
    """Whether Supabase's CLI deploys this folder, going by its path."""
    return folder.absolute().parts[-2:] == ("supabase", "migrations")
