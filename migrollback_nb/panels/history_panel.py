"""The history as a table to filter, sort and choose in: itables' where that is installed, else a plain one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.times import read_time, show_time
from migrollback_nb.panels.name_list import NameList
from migrollback_nb.panels.panel import SHOWN, Panel
from migrollback_nb.panels.pieces import FIELD, WIDE, box, row, scrolled
from migrollback_nb.panels.selection import RowSelection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from migrollback_nb.migrations import Migrations
    from migrollback_nb.panels.state import SharedState

HEADINGS = (
    "Migration",
    "Status",
    "Applied at",
    "Applied by",
    "Rolled back at",
    "May it be rolled back?",
    "Proven by",
    "Deploy",
    "Notes",
)

#: Words of the history -> what a person reads; the signs are those of frames in a notebook.
STATUS = {"applied": "✔ applied", "rolled_back": "• rolled back", "failed": "✘ failed"}
PROVEN = {"rolled_back": "✔ a rollback", "verified": "✔ verify", "rehearsed": "✔ a rehearsal", "never": "• nothing"}
MAY = {
    "loses": "! yes, but it loses data",
    "takes_others": "! yes, but it takes others",
    "harms": "! yes, but it harms",
    "not_rehearsed": "• yes, not rehearsed",
}

#: Ways to sort: what a person reads -> (column of the history, newest or last first).
SORTED = {
    "newest first": ("applied_at", True),
    "oldest first": ("applied_at", False),
    "last rolled back first": ("rollback_at", True),
    "by name": ("migration_name", False),
    "by status": ("status", False),
}


class HistoryPanel(Panel):
    """What is registered and what became of it: filter, sort, choose a row. Does not write. See `Panel` and `State`."""

    reads: ClassVar[tuple[str, ...]] = ("migrations", "history")
    chooses: ClassVar[bool] = False

    def __init__(self, db: Migrations | SharedState | Panel, **state: Any) -> None:
        super().__init__(db, **state)
        # as wide as the cell: the table needs the room
        for part in (self, *self.children):
            part.layout.max_width = "100%"

    def _own(self) -> tuple[Any, ...]:
        def dropdown(name: str, options: Sequence[tuple[str, Any]]) -> Any:
            return widgets.Dropdown(
                options=options, value=options[0][1], description=name, layout=widgets.Layout(width="auto"), style=FIELD
            )

        self.status_field = dropdown(
            "Status", [("any", ""), ("applied", "applied"), ("rolled back", "rolled_back"), ("failed", "failed")]
        )
        self.can_field = dropdown(
            "Rollback", [("any", ""), ("can be rolled back", "can"), ("cannot be rolled back", "cannot")]
        )
        self.text_field = widgets.Text(
            description="Text", placeholder="in name, notes or who", layout=widgets.Layout(width="auto"), style=FIELD
        )
        self.since_field = widgets.Text(
            description="Since",
            placeholder="7d, 36h, 2025-01-20",
            layout=widgets.Layout(width="auto"),
            style=FIELD,
            continuous_update=False,
        )
        self.sort_field = dropdown("Sort", [(words, words) for words in SORTED])
        self.refresh_button = self._button("Refresh", "Read the history again", self.shared.refresh)
        self.choice = NameList(description="Choose", rows=5, layout=WIDE, **FIELD)
        self.note_view = widgets.HTML()
        self.table = _interactive_table()
        self.table_view = widgets.HTML() if self.table is None else self.table
        self._names: tuple[str, ...] = ()
        self._filled = 0
        for control in (self.status_field, self.can_field, self.text_field, self.since_field, self.sort_field):
            control.observe(self._draw, "value")
        self.choice.observe(self._entered("selected"), "value")
        clicks: tuple[Any, ...] = ()
        if self.table is not None:
            # a row of the table is chosen by its name, and what the table takes for chosen follows
            self.table.observe(self._draw, "selected_rows")
            self.row_selection = RowSelection(self._picked)
            clicks = (self.row_selection,)
        return (
            row(self.status_field, self.can_field, self.sort_field),
            row(self.text_field, self.since_field, self.refresh_button),
            self.note_view,
            self.choice,
            self.table_view,
            *clicks,
        )

    def _picked(self, words: str) -> None:
        # of two that read the same none: which was meant is not known
        meant = [name for name in self._names if html.visible(name) == words]
        if len(meant) == 1:
            self._entered("selected")({"new": meant[0]})
        self._draw()  # the page may have marked a row that is not chosen

    def _show(self) -> None:
        shared = self.shared
        wanted = (
            self.status_field.value,
            self.can_field.value,
            self.text_field.value,
            self.since_field.value,
            self.sort_field.value,
        )
        facts = (shared.history, shared.migrations, *wanted)
        known = self._drawn.get("rows")
        if (
            not isinstance(known, tuple)
            or known[0] is not facts[0]
            or known[1] is not facts[1]
            or known[2:] != facts[2:]
        ):
            self._drawn["rows"] = facts
            self._fill(*wanted)
        self.choice.value = shared.selected if shared.selected in self._names[:SHOWN] else None
        if self.table is not None:
            chosen = [self._names.index(shared.selected)] if shared.selected in self._names else []
            if list(self.table.selected_rows) != chosen:
                self.table.selected_rows = chosen
        self.choice.disabled = self.refresh_button.disabled = bool(shared.busy)

    def _fill(self, status: str, can: str, text: str, since: str, order: str) -> None:
        verdicts: dict[str, Mapping[str, Any]] = {entry["migration_name"]: entry for entry in self.shared.migrations}
        trouble = ""
        try:
            after = _moment(since)
        except UsageError as error:
            after, trouble = None, str(error)
        sought = text.strip().casefold()

        def fits(entry: Mapping[str, Any]) -> bool:
            may = "can" if verdicts.get(entry["migration_name"], {}).get("can_rollback") else "cannot"
            said = " ".join(
                str(entry[column] or "") for column in ("migration_name", "notes", "applied_by", "rollback_by")
            ).casefold()
            return (
                (not status or entry["status"] == status)
                and can in ("", may)
                and (after is None or max(filter(None, (entry["applied_at"], entry["rollback_at"]))) > after)
                and sought in said
            )

        matching = (entry for entry in self.shared.history if fits(entry))
        found = sorted(matching, key=lambda entry: entry["migration_name"])
        column, reverse = SORTED[order]
        found.sort(key=_key(column), reverse=reverse)
        self._names = tuple(entry["migration_name"] for entry in found)
        rows = [_cells(entry, verdicts.get(entry["migration_name"])) for entry in found]
        self.choice.options = tuple((_label(entry), entry["migration_name"]) for entry in found[:SHOWN])
        note = f"{len(found):,} of {len(self.shared.history):,} migrations" + (
            f"; the first {SHOWN} can be chosen here: filter more" if len(found) > SHOWN else ""
        )
        self.note_view.value = f'<div role="status">{html.escape(note)}</div>' + (
            box(html.escape(trouble), html.CAREFUL, role="alert") if trouble else ""
        )
        if self.table is None:
            self.table_view.value = scrolled("History", html.table(HEADINGS, rows[:SHOWN]))
        elif rows or self._filled:  # from empty to empty costs as much as any other
            import pandas as pd

            self.table.update(pd.DataFrame(rows, columns=list(HEADINGS), dtype="object"), selected_rows=[])
            self._filled = len(rows)


def _interactive_table() -> Any:
    """A table of itables, or None where that is not installed."""
    try:
        from itables.widget import ITable
    except ModuleNotFoundError:
        return None
    import pandas as pd

    empty = pd.DataFrame([], columns=list(HEADINGS), dtype="object")
    # maxBytes: it would leave rows out without a word
    return ITable(
        empty, select="single", maxBytes=0, order=[], classes="display compact", showIndex=False, style="width:100%"
    )


def _key(column: str) -> Callable[[Mapping[str, Any]], tuple[bool, Any]]:
    return lambda entry: (entry[column] is not None, entry[column])


def _moment(text: str) -> datetime | None:
    """Since when; None for an empty text."""
    if not text.strip():
        return None
    since = read_time(text.strip())
    return since if isinstance(since, datetime) else datetime.now(UTC) - since


def _label(entry: Mapping[str, Any]) -> str:
    """One line of the list to choose from."""
    return html.visible(f"{entry['migration_name']}   {entry['status'].replace('_', ' ')}")


def _cells(entry: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> tuple[str, ...]:
    may = (
        "✘ it is not applied"
        if verdict is None
        else MAY.get(verdict.get("verdict", ""), "✔ yes")
        if verdict["can_rollback"]
        else f"✘ {verdict['blocking_reason']}"
    )
    values = (
        entry["migration_name"],
        STATUS.get(entry["status"], entry["status"]),
        _time(entry["applied_at"]),
        entry["applied_by"],
        _time(entry["rollback_at"]) + (f", {entry['rollback_count']:,} times" if entry["rollback_count"] > 1 else ""),
        may,
        PROVEN.get(entry["proven"], entry["proven"]),
        _short(entry["deploy_id"] or ""),
        entry["notes"],
    )
    return tuple(html.visible(str(value or "")) for value in values)


def _time(moment: datetime | None) -> str:
    """To the minute, as frames show it."""
    return "" if moment is None else f"{show_time(moment)[:16]} UTC"


def _short(deploy: str) -> str:
    return deploy if len(deploy) <= 8 else f"{deploy[:8]}…"
