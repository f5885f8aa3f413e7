"""A file of Liquibase's formatted SQL -> its changesets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.core.text import first_few
from migrollback_nb.files import location
from migrollback_nb.files.formats.paired import PairedFile
from migrollback_nb.files.not_read import Refusal

_HEADER = re.compile(r"\s*--\s*liquibase\s+formatted\s+sql\b(.*)", re.IGNORECASE)
_CHANGESET = re.compile(r"""\s*--\s*changeset\s+("[^"]+"|[^\s:]+):("[^"]+"|\S+)(.*)""", re.IGNORECASE)
_NO_CHANGESET = re.compile(r"\s*--changeset\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(\w+):("[^"]*"|\([^)]*\)|\S*)""")
_ROLLBACK = re.compile(r"\s*--\s*rollback(?:[ \t]+(.*))?\s*", re.IGNORECASE)
_ROLLBACK_BELOW = re.compile(r"\s*/\*\s*liquibase\s+rollback\s*", re.IGNORECASE)
_CONDITION = re.compile(r"\s*--\s*precondition[-\w]*\s+(.+)", re.IGNORECASE)
_IGNORED = re.compile(r"\s*--\s*ignoreLines:(\d+|start|end)\s*", re.IGNORECASE)
_NOT_REQUIRED = re.compile(r"(?:not required|empty);?", re.IGNORECASE)
_OTHER = re.compile(r"changesetid\s*:", re.IGNORECASE)
#: What `--rollback empty` means: nothing is to be done, which is not the same as that nothing undoes it.
_NOTHING = "DO 'BEGIN END'; -- nothing is to be undone, as the changeset says"
LEAVE = "Leave it to Liquibase, or write SQL after --rollback."


@dataclass(frozen=True, slots=True, kw_only=True)
class Changeset:
    """What stands in one changeset."""

    name: str  #: file::id::author, as Liquibase itself calls it, without the folders before the file
    line: int  #: of the file, counted from 1
    up: str  #: its SQL, where it stands in the file
    rollback: str | None  #: the SQL that undoes it, where it stands in the file; None where it says nothing
    outside: bool  #: whether it says that it runs in no transaction
    remarks: tuple[str, ...] = ()  #: what of it only Liquibase goes by
    refused: Refusal | None = None  #: why it is not read

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of both parts, wherever in the file they stand."""
        return location.checksum(
            self.up.strip().encode(), None if self.rollback is None else self.rollback.strip().encode()
        )


@dataclass(frozen=True, kw_only=True)
class ChangesetFile(PairedFile):
    """One changeset, which only Liquibase applies: whether it is for this run is its to know."""

    changeset: Changeset

    @property
    def is_left_to_tool(self) -> bool:
        """Always."""
        return True

    @property
    def applied_by(self) -> str:
        """The command of its tool that applies it, in words."""
        return "liquibase update"

    @cached_property
    def checksum(self) -> str:
        """SHA-256 (hex) of both parts, wherever in the file they stand."""
        return self.changeset.checksum

    @property
    def _marked(self) -> Refusal | None:
        return None  # its marks are read

    @property
    def up_no_transaction_words(self) -> str:
        """As Liquibase has it."""
        return "runInTransaction:false behind the id of the changeset"

    def _says_transaction(self) -> bool | None:
        said = super()._says_transaction()
        return False if said is None and self.changeset.outside else said


@dataclass(slots=True)
class _Open:
    """A changeset while its lines are read."""

    author: str
    id: str
    line: int
    said: dict[str, str]
    up: list[str] = field(default_factory=list)
    rollback: list[tuple[int, str]] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)


def changesets(text: str, file: str) -> Iterator[tuple[Changeset, bool]]:
    r"""Each changeset of a file, and whether it is for PostgreSQL. Pure.

    Examples
    --------
    >>> ((one, for_us),) = changesets(
    ...     "--liquibase formatted sql\n--changeset ann:1\nCREATE TABLE t ();\n--rollback DROP TABLE t;\n", "1.sql"
    ... )
    >>> one.name, one.rollback.strip(), for_us
    ('1.sql::1::ann', 'DROP TABLE t;', True)
    """
    lines = text.split("\n")
    header = _HEADER.match(lines[0])
    here = _attributes(header[1]).get("logicalfilepath", file) if header else file
    is_open: _Open | None = None
    below = False  # whether a comment of several lines holds what undoes it
    for number, line in _kept_lines(lines):
        if (begins := _CHANGESET.fullmatch(line)) is not None:
            if is_open is not None:
                yield _closed(is_open, here)
            author, id_, rest = begins[1].strip('"'), begins[2].strip('"'), begins[3]
            is_open, below = _Open(author, id_, number, _attributes(rest)), False
        elif _NO_CHANGESET.match(line) is not None:
            raise MigrationFileError(
                file, "names a changeset without author:id", line=number, hint="Write --changeset AUTHOR:ID."
            )
        elif is_open is not None:
            below = _take(is_open, number, line, below=below)
    if is_open is not None:
        yield _closed(is_open, here)


def _kept_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without those that Liquibase is told to ignore."""
    ignoring, skip = False, 0
    for number, line in enumerate(lines, 1):
        if (ignored := _IGNORED.fullmatch(line)) is not None:
            ignoring = ignored[1].lower() == "start"
            skip = int(ignored[1]) if ignored[1].isdigit() else 0
        elif not ignoring and not skip:
            yield number, line
        elif skip:
            skip -= 1


def _take(one: _Open, number: int, line: str, *, below: bool) -> bool:
    """Put a line where it belongs. Returns whether a comment that holds what undoes it goes on below."""
    if below or _ROLLBACK_BELOW.match(line) is not None:
        text = line if below else _ROLLBACK_BELOW.sub("", line, count=1)
        one.rollback.append((number, text.partition("*/")[0]))
        return "*/" not in line
    if (undoes := _ROLLBACK.fullmatch(line)) is not None:
        one.rollback.append((number, undoes[1] or ""))
        return False
    if (condition := _CONDITION.fullmatch(line)) is not None:
        one.conditions.append(condition[1].strip())
    one.up += [""] * (number - 1 - len(one.up)) + [line]
    return False


def _attributes(text: str) -> dict[str, str]:
    return {found[1].lower(): found[2].strip('"') for found in _ATTRIBUTE.finditer(text)}


def _closed(one: _Open, file: str) -> tuple[Changeset, bool]:
    """What a changeset says, put together, and whether it is for PostgreSQL."""
    said = one.said
    path = said.get("logicalfilepath", file)
    words = " ".join(text.strip() for _, text in one.rollback).strip()
    undoing: list[str] = []
    for number, text in one.rollback:
        undoing += [""] * (number - 1 - len(undoing)) + [text]
    rollback = None if not one.rollback else "\n".join(undoing)
    if _NOT_REQUIRED.fullmatch(words):
        rollback = "\n" * (one.rollback[0][0] - 1) + _NOTHING
    elif rollback is not None:
        rollback = _split_at(rollback, said.get("rollbackenddelimiter"))
    up = _split_at("\n".join(one.up), said.get("enddelimiter"))
    refused = None
    if _OTHER.match(words):
        refused = Refusal(problem="is undone by another changeset, which is not read", line=one.line, hint=LEAVE)
    elif (found := re.search(r"\$\{[\w.-]+\}", up + (rollback or ""))) is not None:
        problem = f"holds {found.group()}, for which only Liquibase knows the value"
        refused = Refusal(problem=problem, line=one.line, hint="Write the value out, or leave it to Liquibase.")
    remarks = [
        f"only where Liquibase is given {word} {said[key]}"
        for key, word in (("context", "context"), ("contextfilter", "context"), ("labels", "labels"))
        if said.get(key)
    ]
    remarks += [
        f"{word}: Liquibase runs it again, and what undoes it undoes the last run"
        for word in ("runOnChange", "runAlways")
        if said.get(word.lower(), "").lower() == "true"
    ]
    if one.conditions:
        remarks.append(f"its preconditions are Liquibase's to try: {first_few(one.conditions)}")
    changeset = Changeset(
        name=f"{path.rpartition('/')[2]}::{one.id}::{one.author}",
        line=one.line,
        up=up,
        rollback=rollback,
        outside=said.get("runintransaction", "").lower() == "false",
        remarks=tuple(remarks),
        refused=refused,
    )
    return changeset, _is_for_us(said.get("dbms", "")) and said.get("ignore", "").lower() != "true"


def _is_for_us(dbms: str) -> bool:
    """Whether a list of databases has PostgreSQL in it: all but those with ! where it names no other."""
    names = {name.strip().lower() for name in dbms.split(",") if name.strip()}
    if not names or "all" in names:
        return True
    if "none" in names or "!postgresql" in names:
        return False
    return "postgresql" in names or all(name.startswith("!") for name in names)


def _split_at(text: str, delimiter: str | None) -> str:
    """With a semicolon where statements end by another sign."""
    if not delimiter or delimiter.strip() == ";":
        return text
    sign = re.escape(delimiter.replace("\\n", "").replace("\\r", "").strip())
    return re.sub(rf"(;?)[ \t]*(\n?)[ \t]*{sign}[ \t]*(?=\n|$)", r";\2", text, flags=re.IGNORECASE) if sign else text
