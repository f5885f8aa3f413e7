"""In which order changelogs of Liquibase (XML, YAML, JSON) include files of formatted SQL. Reads only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.files.text import read_text

_ENDINGS = frozenset({".xml", ".yaml", ".yml", ".json"})
_COMMENT = re.compile(r"<!--.*?-->|^\s*#[^\n]*$", re.DOTALL | re.MULTILINE)
#: `<include file="x.sql"/>`, `- include:` with `file: x.sql` in one of the lines below, and the same in JSON.
_INCLUDE = re.compile(
    r"""<include(All)?\b[^>]*?\s(?:file|path)\s*=\s*["']([^"']+)["']"""
    r"""|\binclude(All)?["']?\s*:\s*\{?(?:\s*["']?(?!file\b|path\b)\w+["']?\s*:[^\n,}]*,?)*?"""
    r"""\s*["']?(?:file|path)["']?\s*:\s*["']?([^"'\n,}]+)"""
)
#: A changelog lies beside the files that it includes, or in a folder above.
_ABOVE = 2


def included(folder: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """(These files in the order in which changelogs include them, the changelogs). Reads only.

    Both are empty where no changelog here includes one of them. Of several changelogs the one that includes most of
    them goes first.
    """
    here = folder.absolute()
    places = [here, *list(here.parents)[:_ABOVE]]
    lists = {path: [*_files_of(path, names, here, frozenset())] for place in places for path in _changelogs(place)}
    found: dict[str, None] = {}
    used = []
    for path, its in sorted(lists.items(), key=lambda item: (-len(set(item[1])), str(item[0]))):
        if any(name not in found for name in its):
            used.append(path.name)
            found |= dict.fromkeys(its)
    return list(found), used


def _changelogs(place: Path) -> Iterator[Path]:
    try:
        entries = sorted(place.iterdir())
    except OSError:
        return
    for path in entries:
        if path.suffix.lower() in _ENDINGS and path.is_file():
            yield path


def _files_of(changelog: Path, names: Sequence[str], folder: Path, above: frozenset[Path]) -> Iterator[str]:
    """What a changelog includes of these files, by way of others too."""
    try:
        text = read_text(changelog)
    except (OSError, MigrollbackError):
        return
    if "databaseChangeLog" not in text:
        return
    for found in _INCLUDE.finditer(_COMMENT.sub("", text)):
        every = found[1] or found[3]
        target = PurePosixPath((found[2] or found[4]).strip().removeprefix("classpath:").removesuffix("/"))
        if every:
            yield from sorted(name for name in names if target.name in ("", ".", folder.name) or _is(name, target))
        elif target.suffix.lower() in _ENDINGS:
            other = _resolved(changelog, target)
            if other is not None and other not in above | {changelog}:
                yield from _files_of(other, names, folder, above | {changelog})
        else:
            yield from (name for name in names if PurePosixPath(name).name == target.name)


def _is(name: str, target: PurePosixPath) -> bool:
    return target.name in PurePosixPath(name).parent.parts


def _resolved(changelog: Path, target: PurePosixPath) -> Path | None:
    """A changelog that another one includes: beside it, or by its path from a folder above."""
    for place in (changelog.parent, *changelog.parent.parents):
        # without its dots: by them a changelog that includes itself would not be known again
        if (path := Path(os.path.normpath(place / target))).is_file():
            return path
    return None
