"""Names in a folder -> which files make up which migration, and what other tool names its files so. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migrollback_nb.files import not_read
from migrollback_nb.files.not_read import STRAY_HINT, Refusal
from migrollback_nb.files.tools import only_undoes

#: How the names of a pair end, without ``.sql``: (tool, if it is one tool's habit, the file that does, the file that
#: undoes).
_ENDINGS = (("golang-migrate", ".up", ".down"), ("yoyo", "", ".rollback"), (None, "", ".down"), (None, "", ".undo"))
_POSTGRATOR = re.compile(r"(\d+)\.(do|undo)(\..*)?", re.IGNORECASE)
_FLYWAY = re.compile(r"([VU])([0-9][0-9._]*)__.+")
_FLYWAY_BESIDES = re.compile(r"(R__|B[0-9][0-9._]*__).+")
#: A folder for each migration: tool -> (the file that does, the file that undoes).
_FOLDERS = {"diesel": ("up.sql", "down.sql"), "Prisma": ("migration.sql", "down.sql")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files of one migration, their paths relative to the folder."""

    path: str  #: the file that does
    undo: str | None = (
        None  #: the file that undoes it, or what it would be called; None where the tool has no such files
    )
    has_undo: bool = False  #: whether that file is there
    tool: str | None = None  #: whose names these are; None where the names do not say
    place: int | None = None  #: in the tool's plan, counted from 1; None where there is none
    version: str | None = None  #: what the plan makes its version; None where there is none
    depends_on: tuple[str, ...] = ()  #: what the plan says that it depends on
    refused: Refusal | None = None  #: why it is not read unless it has a rollback block of its own; None where it is


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
        Names of the files ``*.sql`` of a folder.
    folders : mapping of str to iterable of str
        Name -> names of files of the folders in it.

    Examples
    --------
    >>> found = layout(["1_users.up.sql", "1_users.down.sql", "2_more.up.sql"], {}).migrations
    >>> [(name, one.undo, one.has_undo) for name, one in found.items()]
    [('1_users', '1_users.down.sql', True), ('2_more', '2_more.down.sql', False)]
    """
    stems = {name.removesuffix(".sql"): name for name in files}
    found: dict[str, Found] = {}
    strays: dict[str, Refusal] = {}
    remarks: list[str] = []
    taken: set[str] = set()
    # Most folders hold nothing but plain names, thousands of them: only the others are looked at closely.
    telling = [stem for stem in stems if "." in stem or stem[:1] in "VURB"]
    named_by_database, for_others = not_read.dialects(telling)
    for stem, refusal in named_by_database.items():
        if stem.endswith(".up"):
            found[stem.removesuffix(".up")] = Found(
                path=stems[stem], undo=f"{stem.removesuffix('up')}down.sql", refused=refusal
            )
        elif f"{stem.removesuffix('down')}up" not in stems:
            strays[stems[stem]] = refusal
    if for_others:
        databases = ", ".join(sorted(set(for_others.values())))
        remarks.append(f"{len(for_others)} files for {databases} are left out, among them {stems[min(for_others)]}")
    taken |= {*named_by_database, *for_others}
    telling = [stem for stem in telling if stem not in taken]
    flyway = {stem: it for stem in telling if (it := _FLYWAY.fullmatch(stem))}
    postgrator = {stem: it for stem in telling if (it := _POSTGRATOR.fullmatch(stem))}
    undoes_version = {_numbers(it[2]): stem for stem, it in flyway.items() if it[1] == "U"}
    undoes_number = {it[1]: stem for stem, it in postgrator.items() if it[2].lower() == "undo"}
    for stem in telling:
        if stem in flyway and flyway[stem][1] == "V":
            undo, tool = undoes_version.get(_numbers(flyway[stem][2]), f"U{stem[1:]}"), "Flyway"
        elif stem in postgrator and postgrator[stem][2].lower() == "do":
            number, _, rest = postgrator[stem].groups("")
            undo, tool = undoes_number.get(number, f"{number}.undo{rest}"), "postgrator"
        elif _FLYWAY_BESIDES.fullmatch(stem):
            remarks.append(
                f"{stems[stem]} is left out: a repeatable or baseline migration of Flyway is nothing that is rolled"
                " back"
            )
            taken.add(stem)
            continue
        else:
            continue
        found[stem] = Found(path=stems[stem], undo=f"{undo}.sql", has_undo=undo in stems, tool=tool)
        taken |= {stem, undo}
    for stem in (*flyway, *postgrator):
        if stem not in taken:
            strays[stems[stem]] = Refusal(problem="undoes a migration whose own file is not here", hint=STRAY_HINT)
            taken.add(stem)
    # golang-migrate goes by the number alone: the words behind it may differ, where there is one of each
    number_of = {stem: _number(stem) for stem in telling}
    ups = Counter(number for stem, number in number_of.items() if stem.endswith(".up"))
    downs = Counter(number for stem, number in number_of.items() if stem.endswith(".down"))
    down_of_number = {
        number: stem
        for stem, number in number_of.items()
        if stem.endswith(".down") and ups[number] == downs[number] == 1
    }
    for habit, does, undoes in _ENDINGS:
        # where the one that does has no ending of its own, the one that undoes tells
        bases = [stem.removesuffix(does or undoes) for stem in telling if stem.endswith(does or undoes)]
        for base in bases:
            stem, undo = base + does, base + undoes
            if habit == "golang-migrate":
                undo = down_of_number.get(number_of[stem], undo)
            if stem not in stems or stem in taken or base in found:
                continue
            if habit != "yoyo" and not base[:1].isdigit():
                continue  # only yoyo needs no number
            found[base] = Found(path=stems[stem], undo=f"{undo}.sql", has_undo=undo in stems, tool=habit)
            taken |= {stem, undo}
    for folder, inside in folders.items():
        within = set(inside)
        for tool, (does, undoes) in _FOLDERS.items():
            if does in within and folder[:1].isdigit() and folder not in found:
                found[folder] = Found(
                    path=f"{folder}/{does}", undo=f"{folder}/{undoes}", has_undo=undoes in within, tool=tool
                )
    does_unread, undoes_unread = not_read.pairs(stems, read=taken)
    for stem, refusal in undoes_unread.items():
        strays[stems[stem]] = refusal
        taken.add(stem)
    yoyo = any(it.tool == "yoyo" for it in found.values())  # there a migration need not have a file that undoes it
    for stem, name in stems.items():
        if stem in does_unread and stem not in found:
            found[stem] = Found(path=name, refused=does_unread[stem])
            continue
        if "." in stem and stem not in taken and only_undoes(stem):
            strays[name] = Refusal(problem="undoes a migration whose own file is not here", hint=STRAY_HINT)
            continue
        if stem in found and stem not in taken:
            strays[name] = Refusal(
                problem=f"is a second file of migration {stem}: the other is {found[stem].path}", hint=STRAY_HINT
            )
        elif stem not in taken:
            found[stem] = Found(path=name, undo=f"{stem}.rollback.sql", tool="yoyo") if yoyo else Found(path=name)
    return Layout(migrations=dict(sorted(found.items())), strays=strays, remarks=tuple(remarks))


def _number(stem: str) -> str:
    return re.match(r"\d*", stem).group()  # type: ignore[union-attr]  # \d* matches everywhere


def _numbers(version: str) -> tuple[int, ...]:
    """Flyway's versions are numbers with dots or underscores between them: 1.0 is 1."""
    numbers = [int(digits) for digits in re.findall(r"\d+", version)]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
