"""A Sqitch plan -> its migrations in order: their files, dependencies, and ids in Sqitch's ledger. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from migrollback_nb.core.errors import MigrationFileError

#: The plan's name in the folder, as Sqitch has it unless it is configured otherwise.
PLAN = "sqitch.plan"
_PRAGMA = re.compile(r"%\s*([^=\s]+)\s*=\s*(.*?)\s*")
_WHEN_AND_WHO = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\s*([^<]+)\s<([^>]+)>\s*"
_TAG = re.compile(r"@(\S+)\s+" + _WHEN_AND_WHO)
_CHANGE = re.compile(r"([+-]?)\s*([^\s@\[+-][^\s@\[]*)\s*(?:\[([^\]]*)\])?\s*" + _WHEN_AND_WHO)
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
_PORTS = {"http": "80", "https": "443", "ftp": "21", "ssh": "22"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a plan."""

    name: str  #: its name; of one that was reworked later name@tag, as Sqitch calls its files
    place: int  #: in the plan, counted from 1
    change_id: str  #: of this very occurrence, as Sqitch computes it; its ledger has one row for each that is deployed
    depends_on: tuple[str, ...]  #: names of changes of this plan that it requires


def read_plan(text: str, *, path: str, is_file: Callable[[str], bool] | None = None) -> Sequence[Change]:
    r"""Read a plan.

    Parameters
    ----------
    text : str
        The plan, as Sqitch's documentation (sqitch-plan) has it. Changes of other projects are no concern of this one's
        order.
    path : str
        What errors call it.
    is_file : callable, optional
        Whether a change of this name has a file to deploy it; asked of those that were reworked later, which are named
        by a tag.

    Raises
    ------
    MigrationFileError
        For a line that is none of a plan, a change that is required before it is there, or one that is reworked without
        a tag between.

    Examples
    --------
    >>> plan = "%project=shop\na 2024-01-01T00:00:00Z me <me@x>\nb [a] 2024-01-02T00:00:00Z me <me@x> # note\n"
    >>> [(change.name, change.depends_on) for change in read_plan(plan, path="sqitch.plan")]
    [('a', ()), ('b', ('a',))]
    """
    plan = _Plan(path, is_file)
    for number, line in enumerate(text.split("\n"), 1):
        plan.read(number, line)
    return plan.changes()


class _Plan:
    """A plan as far as it is read."""

    def __init__(self, path: str, is_file: Callable[[str], bool] | None) -> None:
        self._path = path
        self._is_file = is_file
        self._project = ""
        self._uri = ""
        self._found: list[Change] = []  # as they are known in the end
        self._lines: list[int] = []
        self._latest: dict[str, int] = {}  # name -> place of its last occurrence so far
        self._tags: dict[str, dict[str, int]] = {}  # tag -> `_latest` as it was then
        self._tags_of: dict[int, list[str]] = defaultdict(list)  # place -> tags right behind it
        self._requires: list[tuple[int, ...]] = []

    def changes(self) -> list[Change]:
        """The changes, each with the names of those that it requires."""
        return [
            replace(change, depends_on=tuple(self._found[base].name for base in bases))
            for change, bases in zip(self._found, self._requires, strict=True)
        ]

    def read(self, number: int, line: str) -> None:
        """Read one line."""
        stripped, _, note = (part.strip() for part in line.partition("#"))
        if not stripped:
            return
        if (pragma := _PRAGMA.fullmatch(stripped)) is not None:
            self._project = pragma[2] if pragma[1] == "project" else self._project
            self._uri = _canonical(pragma[2]) if pragma[1] == "uri" else self._uri
        elif (tag := _TAG.fullmatch(stripped)) is not None:
            self._tags[tag[1]] = dict(self._latest)
            self._tags_of[len(self._found) - 1].append(tag[1])
        elif (change := _CHANGE.fullmatch(stripped)) is not None and change[1] != "-":
            self._add(change, note, number)
        else:
            raise self._error(number, "is no line of a plan", "Write it as sqitch add and sqitch tag do.")

    def _error(self, line: int, problem: str, hint: str) -> MigrationFileError:
        return MigrationFileError(self._path, problem, line=line, hint=hint)

    def _add(self, change: re.Match[str], note: str, number: int) -> None:
        name, when, planner, address = change[2], change[4], change[5], change[6]
        if name in self._latest:
            self._rework(name, number)
        wanted = (change[3] or "").split()
        try:
            required = [_required(one, self._project, self._latest, self._tags) for one in wanted]
        except KeyError as missing:
            raise self._error(
                number, f"{name} requires {missing.args[0]}, which is not above it", "Put it below what it requires."
            ) from None
        self._requires.append(tuple(dict.fromkeys(place for place in required if place is not None)))
        parent = self._found[-1].change_id if self._found else ""
        self._latest[name] = len(self._found)
        change_id = _change_id(
            self._project, self._uri, name, parent, who=f"{planner} <{address}>", when=when, wanted=wanted, note=note
        )
        self._found.append(Change(name=name, place=len(self._found) + 1, change_id=change_id, depends_on=()))
        self._lines.append(number)

    def _rework(self, name: str, number: int) -> None:
        """Name the occurrence before this one by the tag that tells it from this."""
        before = self._latest[name]
        # in Sqitch's own order: those behind the newest change first
        places = range(len(self._found) - 1, before - 1, -1)
        names = [f"{name}@{tag}" for place in places for tag in self._tags_of[place]]
        if not names:
            raise self._error(
                number,
                f"{name} is reworked without a tag since line {self._lines[before]}",
                "Write it as sqitch rework does: with a tag between.",
            )
        known = (one for one in names if self._is_file is not None and self._is_file(one))
        self._found[before] = replace(self._found[before], name=next(known, names[0]))


def _change_id(
    project: str, uri: str, name: str, parent: str, *, who: str, when: str, wanted: Sequence[str], note: str
) -> str:
    """SHA-1 (hex) over a change's info (App::Sqitch::Plan::Change), which holds the id of the change before it."""
    local = [one.removeprefix("!").removeprefix(f"{project}:") for one in wanted]
    requires = [one for one, as_written in zip(local, wanted, strict=True) if not as_written.startswith("!")]
    conflicts = [one for one, as_written in zip(local, wanted, strict=True) if as_written.startswith("!")]
    note = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape.group()], note)
    info = "\n".join(
        (
            f"project {project}",
            *([f"uri {uri}"] if uri else []),
            f"change {name}",
            *([f"parent {parent}"] if parent else []),
            f"planner {who}",
            f"date {when}",
            *(["requires", *(f"  + {one}" for one in requires)] if requires else []),
            *(["conflicts", *(f"  - {one}" for one in conflicts)] if conflicts else []),
            *(["", note] if note not in ("", "0") else []),  # what Perl takes for false
        )
    ).encode()
    return hashlib.sha1(b"change %d\0%b" % (len(info), info), usedforsecurity=False).hexdigest()


def _canonical(uri: str) -> str:
    """A URI as Perl's module URI writes it: scheme and host in lower case, no usual port, a path on the web."""
    found = re.fullmatch(
        r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([^/?#@]*)@)?([^/?#:]*|\[[^\]]*\])(?::(\d*))?([^?#]*)(.*)", uri
    )
    if found is None:
        scheme, colon, rest = uri.partition(":")
        kind, another, name = rest.partition(":")
        rest = f"{kind.lower()}{another}{name}" if scheme.lower() == "urn" else rest
        return f"{scheme.lower()}{colon}{rest}" if colon else uri
    scheme, user, host, port, place, rest = found.groups("")
    user = f"{user}@" if user else ""
    port = f":{port}" if port and port != _PORTS.get(scheme.lower()) else ""
    if scheme.lower() in ("http", "https") and not place and not rest.startswith("?"):
        place = "/"
    return f"{scheme.lower()}://{user}{host.lower()}{port}{place}{rest}"


def _required(
    wanted: str, project: str, latest: Mapping[str, int], tags: Mapping[str, Mapping[str, int]]
) -> int | None:
    """The place of what a change requires; None for what is none of this plan: a conflict, another project's, an id."""
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
