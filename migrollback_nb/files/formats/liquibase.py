"""A folder of Liquibase's formatted SQL -> its changesets, each a migration, in order. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.changelog_order import included
from migrollback_nb.files.formats.changeset import LEAVE, changesets
from migrollback_nb.files.formats.layout import Found, Layout
from migrollback_nb.files.not_read import Refusal
from migrollback_nb.files.text import read_text

_FIRST = re.compile(rb"\s*--[ \t]*liquibase[ \t]+formatted[ \t]+sql\b", re.IGNORECASE)


def is_formatted(path: Path) -> bool:
    """Whether a file begins as Liquibase's formatted SQL does. Reads only."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            return False
        with path.open("rb") as file:
            return _FIRST.match(file.read(200).removeprefix(b"\xef\xbb\xbf")) is not None
    except OSError:
        return False


def read(folder: Path, files: Iterable[str]) -> Layout:
    """The changesets of these files, as they stand in each. Reads only.

    The files go as the changelogs include them that lie here or in a folder above; those that none includes last.
    """
    found: dict[str, Found] = {}
    strays: dict[str, Refusal] = {}
    remarks: list[str] = []
    others: list[str] = []
    unread: list[str] = []
    names = sorted(files)
    order, changelogs = included(folder, names)
    places = {name: place for place, name in enumerate(order)}
    if alone := [name for name in names if order and name not in places and is_formatted(folder / name)]:
        remarks.append(f"{first_few(alone)} comes last: {first_few(changelogs)} does not include it")
    for name in sorted(names, key=lambda name: places.get(name, len(places))):
        path = folder / name
        if not is_formatted(path):
            unread.append(name)
            continue
        try:
            here = list(changesets(read_text(path), name))
        except MigrationFileError as error:
            strays[name] = Refusal(problem=error.problem, line=error.line, hint=error.hint or LEAVE)
            continue
        for one, for_us in here:
            if not for_us:
                others.append(one.name)
            elif one.name in found:
                problem = f"holds a second changeset {one.name}, in line {one.line}"
                strays[name] = Refusal(problem=problem, line=one.line, hint="Give it an id of its own.")
            else:
                remarks += [f"{one.name}: {remark}" for remark in one.remarks]
                found[one.name] = Found(
                    path=name,
                    rollback=name,
                    has_rollback=one.rollback is not None,
                    tool="Liquibase",
                    place=len(found) + 1,
                    version=one.name,
                    refused=one.refused,
                    changeset=one,
                )
    if others:
        remarks.append(f"{first_few(others)} is left out: its dbms is none of PostgreSQL, or it says ignore")
    if unread:
        remarks.append(f"{first_few(unread)} is left out: it does not begin with --liquibase formatted sql")
    return Layout(migrations=found, strays=strays, remarks=tuple(remarks))
