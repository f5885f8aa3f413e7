"""The rows of the history panel: their cells, what is searched in them, their order, their deploys. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from migrollback_nb.core import html, kinds
from migrollback_nb.core.text import counted
from migrollback_nb.core.times import show_time

#: Column -> what stands over it.
COLUMNS = {
    "name": "Migration",
    "status": "Status",
    "verdict": "Rollback",
    "applied": "Applied (UTC)",
    "by": "By",
    "rolled_back": "Rolled back (UTC)",
    "deploy": "Deploy",
}

#: Status and verdict -> sign and word.
STATUS = {word: f"{kinds.sign(word)} {word.replace('_', ' ')}" for word in ("applied", "rolled_back", "failed")}
VERDICTS = {
    word: f"{kinds.sign(word)} {'loses data' if word == 'loses' else word.replace('_', ' ')}"
    for word in ("ready", "not_rehearsed", "harms", "takes_others", "loses", "blocked")
}
#: Where a role may not ask for verdicts.
_MAY = ("• can be rolled back", "quiet")
_PROVEN = {"rolled_back": "a rollback", "verified": "verify", "rehearsed": "a rehearsal"}


@dataclass(frozen=True)
class HistoryRows:
    """All that is registered, in the order of the history, newest first."""

    history: Sequence[Mapping[str, Any]] = ()  #: rows of ``registered_rows()``
    migrations: Sequence[Mapping[str, Any]] = ()  #: rows of ``list_rollbackable()``; empty while they are not known
    deploys: Sequence[Mapping[str, Any]] = ()  #: rows of ``deploys()``; empty while they are not known

    @cached_property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """The migrations, those that were applied last first."""
        by_name = sorted(self.history, key=lambda entry: entry["migration_name"], reverse=True)
        return tuple(sorted(by_name, key=_moment, reverse=True))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(entry["migration_name"] for entry in self.rows)

    @cached_property
    def place(self) -> dict[str, int]:
        """Name -> where it stands."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def assessed(self) -> dict[str, Mapping[str, Any]]:
        """Name -> its verdict, of those that are applied or failed."""
        return {row["migration_name"]: row for row in self.migrations}

    @cached_property
    def labels(self) -> dict[str, str]:
        """Id of a deploy -> its label, of those that have one."""
        return {row["deploy_id"]: row["label"] for row in self.deploys}

    def with_verdicts(
        self, migrations: Sequence[Mapping[str, Any]], deploys: Sequence[Mapping[str, Any]]
    ) -> HistoryRows:
        """The same history with these beside it; what does not hang on them is not reckoned again."""
        made = HistoryRows(self.history, migrations, deploys)
        made.__dict__.update({name: self.__dict__[name] for name in _OF_HISTORY if name in self.__dict__})
        return made

    # -- what is found ---------------------------------------------------------------------------------------------

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        columns = ("migration_name", "notes", "description", "applied_by", "rollback_by")
        return tuple(
            "\n".join([str(entry.get(column) or "") for column in columns] + [self._deploy(entry)]).casefold()
            for entry in self.rows
        )

    def containing(self, text: str) -> list[int]:
        """Places of those that have each of these words in name, notes, description, deploy or who did it."""
        words = text.casefold().split()
        if not words:
            return list(range(len(self.names)))
        return [place for place, all_of_it in enumerate(self._texts) if all(word in all_of_it for word in words)]

    def fitting(self, places: Iterable[int], *, status: str = "", verdict: str = "") -> list[int]:
        """Of these the ones with this status and this verdict; empty: any."""
        return [
            place
            for place in places
            if (not status or self.rows[place]["status"] == status) and (not verdict or self.verdict(place) == verdict)
        ]

    def verdict(self, place: int) -> str:
        """The verdict; empty where there is none, or it is not known."""
        row = self.assessed.get(self.names[place])
        if row is None:
            return ""
        return row.get("verdict") or ("may" if row["can_rollback"] else "blocked")

    def ordered(self, places: Iterable[int], column: str, *, down: bool) -> list[int]:
        """These in the order of a column; what has nothing there comes last. `down`: the last or largest first."""
        key = self._keys()[column]
        known = [(key(place), place) for place in sorted(places)]
        there = [(value, place) for value, place in known if value is not None]
        # what is equal stays as the history has it
        there.sort(key=lambda one: one[0], reverse=down)
        return [place for _, place in there] + [place for value, place in known if value is None]

    def _keys(self) -> dict[str, Callable[[int], Any]]:
        rows, signs = self.rows, list(VERDICTS)
        verdicts = {verdict: number for number, verdict in enumerate(signs)}
        return {
            "name": lambda place: rows[place]["migration_name"],
            "status": lambda place: rows[place]["status"],
            "verdict": lambda place: verdicts.get(self.verdict(place)),
            "applied": lambda place: rows[place]["applied_at"],
            "by": lambda place: rows[place]["applied_by"],
            "rolled_back": lambda place: rows[place]["rollback_at"],
            "deploy": lambda place: self._deploy(rows[place]) or None,
        }

    def grouped(self, places: Sequence[int]) -> tuple[list[int], list[dict[str, str]]]:
        """These under their deploys: places, and -1 for the first deploy, -2 for the second; and these deploys."""
        groups: dict[str, list[int]] = {}
        for place in places:
            groups.setdefault(str(self.rows[place]["deploy_id"] or ""), []).append(place)
        known = {str(row["deploy_id"]): row for row in self.deploys}
        order: list[int] = []
        heads: list[dict[str, str]] = []
        for deploy, members in groups.items():
            row = known.get(deploy)
            heads.append(
                {"label": str(row["label"]), "words": _of_deploy(row)}
                if row is not None
                else {"label": "", "words": f"Deploy {deploy}" if deploy else "No deploy is recorded"}
            )
            order += [-len(heads), *members]
        return order, heads

    # -- what is shown ---------------------------------------------------------------------------------------------

    def statuses(self, places: Iterable[int]) -> Counter[str]:
        """How many of these have each status."""
        return Counter(self.rows[place]["status"] for place in places)

    def verdicts(self, places: Iterable[int]) -> Counter[str]:
        """How many of these have each verdict."""
        return Counter(self.verdict(place) for place in places)

    def cells(self) -> dict[str, Any]:
        """For the page: of each column its different words, the style of each, and which of them each row has."""
        return self._cells_of_history | {
            "verdict": _column([self._verdict_cell(place) for place in range(len(self.rows))]),
            "deploy": _column([(_short(self._deploy(row)), "") for row in self.rows]),
        }

    @cached_property
    def _cells_of_history(self) -> dict[str, Any]:
        """Of the columns that hang on the history alone."""
        rows = self.rows
        names = [html.visible(name) for name in self.names]
        return {
            "name": {"words": names, "kinds": [], "of": list(range(len(rows)))},
            "status": _column([_status(row) for row in rows]),
            "applied": _column([(_minute(row["applied_at"]), "") for row in rows]),
            "by": _column([(row["applied_by"] or "", "") for row in rows]),
            "rolled_back": _column([(_rolled_back(row), "") for row in rows]),
        }

    def _verdict_cell(self, place: int) -> tuple[str, str]:
        verdict = self.verdict(place)
        if verdict in ("", "may"):
            return _MAY if verdict else ("", "")
        return VERDICTS.get(verdict, verdict), kinds.KIND.get(verdict, "careful")

    def _deploy(self, entry: Mapping[str, Any]) -> str:
        deploy = entry["deploy_id"]
        return "" if deploy is None else str(self.labels.get(deploy) or deploy)

    def details_html(self, name: str) -> str:
        """All that is known of one migration."""
        place = self.place.get(name)
        if place is None:
            return ""
        entry, row = self.rows[place], self.assessed.get(name)
        word, kind = _status(entry)
        pill = f'<span style="{kinds.STYLE[kind]};padding:0 .4em;border-radius:.6em">{html.escape(word)}</span>'
        facts = [
            ("Description", entry.get("description")),
            ("Rollback", None if row is None else row.get("headline") or row["blocking_reason"] or _MAY[0]),
            ("Dependents", ", ".join((row or {}).get("dependent_migrations") or ())),
            ("Applied", _by(entry["applied_at"], entry["applied_by"])),
            ("Rolled back", _by(entry["rollback_at"], entry["rollback_by"])),
            ("Notes", entry["notes"]),
            ("Proven by", _PROVEN.get(entry["proven"])),
            ("Deploy", self._deploy(entry)),
        ]
        return (
            f'<div style="line-height:1.5;overflow-wrap:anywhere"><b>{html.escape(name)}</b> {pill}'
            + html.definitions([(title, value) for title, value in facts if value])
            + "</div>"
        )


#: What hangs on the history alone.
_OF_HISTORY = ("rows", "names", "place", "_cells_of_history")


def _status(entry: Mapping[str, Any]) -> tuple[str, str]:
    status = entry["status"]
    return STATUS.get(status, status), kinds.KIND.get(status, "bad")


def _moment(entry: Mapping[str, Any]) -> tuple[bool, Any]:
    return entry["applied_at"] is not None, entry["applied_at"]


def _column(cells: Collection[tuple[str, str]]) -> dict[str, Any]:
    distinct = {cell: number for number, cell in enumerate(dict.fromkeys(cells))}
    return {
        "words": [html.visible(str(words)) for words, _ in distinct],
        "kinds": [kind for _, kind in distinct] if any(kind for _, kind in distinct) else [],
        "of": [distinct[cell] for cell in cells],
    }


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _rolled_back(entry: Mapping[str, Any]) -> str:
    count = entry["rollback_count"]
    return _minute(entry["rollback_at"]) + (f" ({count:,} times)" if count > 1 else "")


def _by(moment: datetime | None, who: str | None) -> str:
    return "" if moment is None else f"{show_time(moment)}, by {who}" if who else show_time(moment)


def _short(deploy: str) -> str:
    """Of an id its beginning."""
    return f"{deploy[:8]}…" if len(deploy) == 36 and deploy.count("-") == 4 else deploy


def _of_deploy(row: Mapping[str, Any]) -> str:
    """A deploy in one line."""
    count = row["migrations"]
    parts = [f"Deploy {_short(str(row['label']))}", f"{_minute(row['started_at'])} UTC", str(row["actor"] or "")]
    parts += [counted(count, "migration"), str(row["state"])]
    return html.visible(" · ".join(part for part in parts if part))
