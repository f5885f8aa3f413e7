"""A Sqitch plan -> which files make up which migration, in which order, and what each depends on. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrollback_nb.errors import MigrationFileError

#: The plan's name in the folder, as Sqitch has it unless it is told otherwise.
PLAN = "sqitch.plan"
_PRAGMA = re.compile(r"%\s*([^=\s]+)\s*=\s*(.*?)\s*")
_WHEN_AND_WHO = r"\s+\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\s+[^<]*<[^>]*>\s*(?:#.*)?"
_TAG = re.compile(r"@(\S+)" + _WHEN_AND_WHO)
_CHANGE = re.compile(r"([+-]?)\s*([^\s@\[+-][^\s@\[]*)(?:\s+\[([^\]]*)\])?" + _WHEN_AND_WHO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a plan."""

    name: str  #: its name; of one that was reworked later name@tag, as Sqitch calls its files
    place: int  #: in the plan, counted from 1
    depends_on: tuple[str, ...]  #: names of changes of this plan that it requires


def read_plan(text: str, *, path: str) -> Sequence[Change]:
    r"""Read a plan.

    Parameters
    ----------
    text : str
        The plan, as Sqitch's documentation (sqitch-plan) has it. Changes of other projects are no concern of this one's order.
    path : str
        What errors call it.

    Raises
    ------
    MigrationFileError
        For a line that is none of a plan, a change that is required before it is there, or one that is reworked without a tag between.

    Examples
    --------
    >>> plan = "%project=shop\na 2024-01-01T00:00:00Z me <me@x>\nb [a] 2024-01-02T00:00:00Z me <me@x> # note\n"
    >>> [(change.name, change.depends_on) for change in read_plan(plan, path="sqitch.plan")]
    [('a', ()), ('b', ('a',))]
    """
    project = ""
    names: list[str] = []  # as they are known in the end
    lines: list[int] = []
    latest: dict[str, int] = {}  # name -> place of its last occurrence so far
    tags: dict[str, dict[str, int]] = {}  # tag -> `latest` as it was then
    first_tag_behind: dict[int, str] = {}
    requires: list[tuple[int, ...]] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()

        def error(problem: str, hint: str, at: int = number) -> MigrationFileError:
            return MigrationFileError(path, problem, line=at, hint=hint)

        if not stripped or stripped.startswith("#"):
            continue
        if (pragma := _PRAGMA.fullmatch(stripped)) is not None:
            project = pragma[2] if pragma[1] == "project" else project
        elif (tag := _TAG.fullmatch(stripped)) is not None:
            tags[tag[1]] = dict(latest)
            for place in latest.values():
                first_tag_behind.setdefault(place, tag[1])
        elif (change := _CHANGE.fullmatch(stripped)) is not None and change[1] != "-":
            name = change[2]
            if name in latest:
                before = latest[name]
                if before not in first_tag_behind:
                    raise error(f"{name} is reworked without a tag since line {lines[before]}", "Write it as sqitch rework does: with a tag between.")
                names[before] = f"{name}@{first_tag_behind[before]}"
            required = (_required(one, project, latest, tags) for one in (change[3] or "").split())
            try:
                requires.append(tuple(dict.fromkeys(place for place in required if place is not None)))
            except KeyError as missing:
                raise error(f"{name} requires {missing.args[0]}, which is not above it", "Put it below what it requires.") from None
            latest[name] = len(names)
            names.append(name)
            lines.append(number)
        else:
            raise error("is no line of a plan", "Write it as sqitch add and sqitch tag do.")
    return [Change(name=name, place=place, depends_on=tuple(names[base] for base in requires[place - 1])) for place, name in enumerate(names, 1)]


def _required(wanted: str, project: str, latest: Mapping[str, int], tags: Mapping[str, Mapping[str, int]]) -> int | None:
    """The place of what a change requires; None for what is no change of this plan: a conflict, another project's, an id."""
    if wanted.startswith("!") or re.fullmatch(r"[0-9a-f]{40}", wanted):
        return None
    other, colon, rest = wanted.rpartition(":")
    if colon and other not in ("", project):
        return None
    name, _, tag = rest.partition("@")
    if tag and tag not in tags:
        raise KeyError(wanted)
    seen = tags[tag] if tag else latest
    if not name:
        return max(seen.values(), default=None)
    if name not in seen:
        raise KeyError(wanted)
    return seen[name]
