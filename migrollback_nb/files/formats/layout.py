"""Names in a folder -> which files make up which migration, and what other tool names its files so. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrollback_nb.files import not_read
from migrollback_nb.files.not_read import STRAY_HINT, Refusal
from migrollback_nb.files.tools import only_undoes

if TYPE_CHECKING:
    from migrollback_nb.files.formats.changeset import Changeset
    from migrollback_nb.files.formats.program import Program

#: How the names of a pair end, without ``.sql``: (tool, if it is one tool's habit, the file that does, the file that
#: undoes).
_ENDINGS = (("golang-migrate", ".up", ".down"), ("yoyo", "", ".rollback"), (None, "", ".down"), (None, "", ".undo"))
_POSTGRATOR = re.compile(r"(\d+)\.(do|undo)(\..*)?", re.IGNORECASE)
_FLYWAY = re.compile(r"([VU])([0-9][0-9._]*)__.+")
_FLYWAY_BESIDES = re.compile(r"(R__|B[0-9][0-9._]*__).+")
_FLYWAY_CALLBACK = re.compile(r"(?:(?:before|after)(?:Each)?[A-Z][A-Za-z]*|createSchema)(?:__.+)?")
_VERSION = re.compile(r"[Vv]\d")
#: A folder for each migration: tool -> (the file that does, the file that undoes).
_FOLDERS = {"diesel": ("up.sql", "down.sql"), "Prisma": ("migration.sql", "down.sql")}


_ALONE = Refusal(problem="undoes a migration whose own file is not here", hint=STRAY_HINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files of one migration, their paths relative to the folder."""

    path: str  #: the file that does
    rollback: str | None = None  #: the file that undoes it, or its name to be; None where the tool has no such files
    has_rollback: bool = False  #: whether that file is there
    tool: str | None = None  #: whose names these are; None where the names do not say
    place: int | None = None  #: in the tool's plan, counted from 1; None where there is none
    version: str | None = None  #: what the plan makes its version; None where there is none
    depends_on: tuple[str, ...] = ()  #: what the plan says that it depends on
    refused: Refusal | None = None  #: why it is not read unless it has a rollback block of its own; None where it is
    program: Program | None = None  #: what is read of it where it is a program; None where it is SQL
    changeset: Changeset | None = None  #: which part of the file it is; None where it is all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a folder holds, by the names alone."""

    migrations: dict[str, Found]  #: name -> its files, in order of name
    strays: dict[str, Refusal]  #: path -> why this file belongs to no migration
    remarks: tuple[str, ...]  #: what is left out on purpose


def layout(files: Iterable[str], folders: Mapping[str, Iterable[str]]) -> Layout:
    """Put together which files make up which migration.

    Parameters
    ----------
    files : iterable of str
        Names of the files ``*.sql`` of a folder, or paths below it, no two of one name.
    folders : mapping of str to iterable of str
        Name -> names of files of the folders in it.

    Examples
    --------
    >>> found = layout(["1_users.up.sql", "1_users.down.sql", "2_more.up.sql"], {}).migrations
    >>> [(name, one.rollback, one.has_rollback) for name, one in found.items()]
    [('1_users', '1_users.down.sql', True), ('2_more', '2_more.down.sql', False)]
    """
    reading = _Reading(files)
    reading.read_dialects()
    reading.read_flyway_and_postgrator()
    reading.read_endings()
    reading.read_folders(folders)
    reading.read_rest()
    return Layout(migrations=dict(sorted(reading.found.items())), strays=reading.strays, remarks=tuple(reading.remarks))


class _Reading:
    """What is found so far; each step takes the names that are its own."""

    def __init__(self, files: Iterable[str]) -> None:
        self.found: dict[str, Found] = {}
        self.strays: dict[str, Refusal] = {}
        self.remarks: list[str] = []
        self._stems = {name.rpartition("/")[2].removesuffix(".sql"): name for name in files}
        self._taken: set[str] = set()
        # Most folders hold nothing but plain names, thousands of them: only the others are looked at closely.
        self._telling = [stem for stem in self._stems if "." in stem or stem[:1] in "VURBabc"]

    def _take(self, name: str, does: str, rolls_back: str, tool: str | None) -> None:
        self.found[name] = Found(
            path=self._stems[does],
            rollback=self._stems.get(rolls_back) or f"{''.join(self._stems[does].rpartition('/')[:2])}{rolls_back}.sql",
            has_rollback=rolls_back in self._stems,
            tool=tool,
        )
        self._taken |= {does, rolls_back}

    def read_dialects(self) -> None:
        """Files that are named by a database: PostgreSQL's count as though they were not."""
        ours, for_others = not_read.dialects(self._telling)
        for stem, plain in ours.items():
            if plain in self._stems:
                self.strays[self._stems[stem]] = Refusal(
                    problem=f"is for PostgreSQL what {self._stems[plain]} is for all: both would run", hint=STRAY_HINT
                )
                self._taken.add(stem)
            else:
                self._stems[plain] = self._stems.pop(stem)
        if for_others:
            databases = ", ".join(sorted(set(for_others.values())))
            first = self._stems[min(for_others)]
            self.remarks.append(f"{len(for_others)} files for {databases} are left out, among them {first}")
        self._taken |= for_others.keys()
        self._telling = [name for stem in self._telling if (name := ours.get(stem, stem)) not in self._taken]

    def read_flyway_and_postgrator(self) -> None:
        """V1__a and U1__a; 1.do.a and 1.undo.a."""
        flyway = {stem: it for stem in self._telling if (it := _FLYWAY.fullmatch(stem))}
        postgrator = {stem: it for stem in self._telling if (it := _POSTGRATOR.fullmatch(stem))}
        undoes_version = {_numbers(it[2]): stem for stem, it in flyway.items() if it[1] == "U"}
        undoes_number = {it[1]: stem for stem, it in postgrator.items() if it[2].lower() == "undo"}
        for stem in self._telling:
            if stem in flyway and flyway[stem][1] == "V":
                undo = undoes_version.get(_numbers(flyway[stem][2]), f"U{stem[1:]}")
                self._take(stem, stem, undo, "Flyway")
            elif stem in postgrator and postgrator[stem][2].lower() == "do":
                number, _, rest = postgrator[stem].groups("")
                undo = undoes_number.get(number, f"{number}.undo{rest}")
                self._take(stem, stem, undo, "postgrator")
            elif _FLYWAY_BESIDES.fullmatch(stem):
                self.remarks.append(
                    f"{self._stems[stem]} is left out: a repeatable or baseline migration of Flyway is nothing that is"
                    " rolled back"
                )
                self._taken.add(stem)
            elif flyway and _FLYWAY_CALLBACK.fullmatch(stem):
                self.remarks.append(f"{self._stems[stem]} is left out: a callback of Flyway is no migration")
                self._taken.add(stem)
        for stem in (*flyway, *postgrator):
            if stem not in self._taken:
                self.strays[self._stems[stem]] = _ALONE
                self._taken.add(stem)

    def read_endings(self) -> None:
        """1_a.up and 1_a.down, and what else tells the two by how they end."""
        # golang-migrate goes by the number alone: the words behind it may differ, where there is one of each
        number_of = {stem: _number(stem) for stem in self._telling}
        ups = Counter(number for stem, number in number_of.items() if stem.endswith(".up"))
        downs = Counter(number for stem, number in number_of.items() if stem.endswith(".down"))
        down_of_number = {
            number: stem
            for stem, number in number_of.items()
            if stem.endswith(".down") and ups[number] == downs[number] == 1
        }
        for habit, does, undoes in _ENDINGS:
            # where the one that does has no ending of its own, the one that undoes tells
            bases = [stem.removesuffix(does or undoes) for stem in self._telling if stem.endswith(does or undoes)]
            for base in bases:
                stem, undo = base + does, base + undoes
                if habit == "golang-migrate":
                    undo = down_of_number.get(number_of[stem], undo)
                known = stem not in self._stems or stem in self._taken or base in self.found
                # only yoyo needs no number
                if not known and (habit == "yoyo" or base[:1].isdigit()):
                    self._take(base, stem, undo, habit)
                elif not known and habit == "golang-migrate" and _VERSION.match(base):
                    self._take(base, stem, undo, None)  # no one tool's habit

    def read_folders(self, folders: Mapping[str, Iterable[str]]) -> None:
        """A folder for each migration."""
        for folder, inside in folders.items():
            within, name = set(inside), folder.removesuffix(".sql")
            for tool, (does, undoes) in _FOLDERS.items():
                if does in within and folder[:1].isdigit() and name not in self.found:
                    self.found[name] = Found(
                        path=f"{folder}/{does}", rollback=f"{folder}/{undoes}", has_rollback=undoes in within, tool=tool
                    )

    def read_rest(self) -> None:
        """Plain names, and what belongs to nothing."""
        does_unread, undoes_unread = not_read.pairs(self._stems, read=self._taken)
        for stem, refusal in undoes_unread.items():
            self.strays[self._stems[stem]] = refusal
            self._taken.add(stem)
        yoyo = any(it.tool == "yoyo" for it in self.found.values())  # there a file that undoes need not exist
        for stem, name in self._stems.items():
            taken = stem in self._taken
            if stem in does_unread and stem not in self.found:
                self.found[stem] = Found(path=name, refused=does_unread[stem])
            elif "." in stem and not taken and only_undoes(stem):
                self.strays[name] = _ALONE
            elif stem in self.found and not taken:
                other = self.found[stem].path
                self.strays[name] = Refusal(
                    problem=f"is a second file of migration {stem}: the other is {other}", hint=STRAY_HINT
                )
            elif not taken:
                rollback, tool = (f"{stem}.rollback.sql", "yoyo") if yoyo else (None, None)
                self.found[stem] = Found(path=name, rollback=rollback, tool=tool)


def _number(stem: str) -> str:
    return re.match(r"\d*", stem).group()  # type: ignore[union-attr]  # \d* matches everywhere


def _numbers(version: str) -> tuple[int, ...]:
    """Flyway's versions are numbers with dots or underscores between them: 1.0 is 1."""
    numbers = [int(digits) for digits in re.findall(r"\d+", version)]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
