"""A folder of graphile-migrate -> its committed migrations, their hashes and links checked. Reads only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.layout import Found, Layout
from migrollback_nb.files.formats.program import ROLLBACK
from migrollback_nb.files.not_read import Refusal
from migrollback_nb.files.text import read_text
from migrollback_nb.parsing.statements import SqlText

COMMITTED = "committed"
_NAME = re.compile(r"([0-9]+)(?:-[-_a-zA-Z0-9]*)?\.sql")
_HEADER = re.compile(r"--! ([A-Z][a-zA-Z0-9_]*)(?::(.*))?")
_HINT = "Take the file as it was committed, or write --! AllowInvalidHash below its hash, as graphile-migrate wants it."


def committed(folder: Path, names: Iterable[str]) -> str | None:
    """Where the committed migrations lie, relative to the folder, with a slash; None where it is none. Reads only."""
    for below, here in (("", names), (f"{COMMITTED}/", _names_in(folder / COMMITTED))):
        first = min((name for name in here if _NAME.fullmatch(name)), default=None)
        if first is not None and _is_committed(folder / f"{below}{first}"):
            return below
    return None


def read(folder: Path, below: str, names: Iterable[str], rollbacks: Path) -> Layout:
    """The committed migrations; each depends on the one before it, as its header says. Reads only.

    Parameters
    ----------
    folder : Path
        The folder.
    below : str
        What `committed` found.
    names : iterable of str
        What the folder holds.
    rollbacks : Path
        Where the SQL lies that undoes them.
    """
    here = sorted(_names_in(folder / below), key=lambda name: (_number(name), name))
    place = folder / below if rollbacks == folder.absolute() else rollbacks
    beside = set(_names_in(place))
    found: dict[str, Found] = {}
    strays: dict[str, Refusal] = {}
    before: tuple[str, str | None] | None = ("", None)  # name and hash of the one before, where they are known
    for name in (name for name in here if _NAME.fullmatch(name)):
        stem = name.removesuffix(".sql")
        try:
            headers, body = _parts(read_text(folder / below / name))
        except MigrationFileError as error:
            strays[f"{below}{name}"] = Refusal(problem=error.problem, line=error.line, hint=error.hint or _HINT)
            before = None
            continue
        found[stem] = Found(
            path=f"{below}{name}",
            rollback=str(place.absolute() / f"{stem}{ROLLBACK}"),
            has_rollback=f"{stem}{ROLLBACK}" in beside,
            tool="graphile-migrate",
            place=len(found) + 1,
            version=stem.partition("-")[0],
            depends_on=(before[0],) if before is not None and before[0] else (),
            refused=_refusal(headers, body, before),
        )
        before = (stem, headers.get("Hash"))
    others = [name for name in here if name.endswith(".sql") and not _NAME.fullmatch(name) and name not in beside]
    remarks = [f"{first_few(others)} is left out: graphile-migrate names none so"] if others and below else []
    if "current.sql" in names and not SqlText(read_text(folder / "current.sql")).only_comments:
        remarks.append("current.sql is left out: it is not committed")
    return Layout(migrations=found, strays=strays, remarks=tuple(remarks))


def hash_of(path: Path) -> str:
    """The hash in the header of a committed migration, which its ledger keeps; empty without one. Reads only."""
    return _parts(read_text(path))[0].get("Hash") or ""


def _parts(text: str) -> tuple[dict[str, str], str]:
    """(What its headers say, what stands below them)."""
    lines = text.split("\n")
    headers: dict[str, str] = {}
    for number, line in enumerate(lines):
        if (header := _HEADER.fullmatch(line)) is None:
            return headers, "\n".join(lines[number:])
        headers[header[1]] = (header[2] or "").strip()
    return headers, ""


def _refusal(headers: dict[str, str], body: str, before: tuple[str, str | None] | None) -> Refusal | None:
    if not headers.get("Hash") or not headers.get("Previous"):
        return Refusal(problem="has no header --! Previous or --! Hash: it is not committed", hint=_HINT, always=True)
    previous = None if headers["Previous"] == "-" else headers["Previous"]
    if before is not None and previous != before[1]:
        problem = f"names another hash as the one before than {before[0] or 'the first'} has"
        return Refusal(problem=problem, line=1, hint=_HINT, always=True)
    made = hashlib.sha1(f"{previous or ''}\n{body.strip()}".strip().encode() + b"\n", usedforsecurity=False)
    if headers["Hash"] != f"sha1:{made.hexdigest()}" and "AllowInvalidHash" not in headers:
        return Refusal(problem="does not have the hash that its header says: it was edited", hint=_HINT, always=True)
    return None


def _is_committed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(30).removeprefix(b"\xef\xbb\xbf").startswith((b"--! Previous:", b"--! Hash:"))
    except OSError:
        return False


def _number(name: str) -> int:
    it = _NAME.fullmatch(name)
    return int(it[1]) if it else 0


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
