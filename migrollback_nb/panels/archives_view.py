"""Archives of destroyed values in a panel: what is kept, and what would come back. Writes by "Restore"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.text import counted
from migrollback_nb.panels.pieces import FIELD, RESULT, box, heading, lines, row, wide
from migrollback_nb.panels.restoring import Restoring
from migrollback_nb.panels.view import View
from migrollback_nb.panels.worker import LOCK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrollback_nb.core.results import RestoreResult

#: How many archives are listed, the newest; of more the terminal shows all.
_LISTED = 50
_CONFLICTS = (("stay as they are", "keep"), ("are overwritten from the archive", "archive"))


class ArchivesView(View):
    """What is kept of destroyed values. Writes by "Restore", after a preview and the typed name; else by nothing."""

    def _parts(self) -> tuple[Any, ...]:
        self.archives_view = widgets.HTML()
        self.archive_field = widgets.Dropdown(description="Archive", layout=wide(), style=FIELD)
        self.conflict_field = widgets.Dropdown(description="Conflicts", options=_CONFLICTS, layout=wide(), style=FIELD)
        self.restore_preview_button = self._button(
            "Preview restore",
            "Put it back, undo that, and show what would come back. Changes nothing",
            self.shared.preview_restore,
        )
        self.restore_view = widgets.HTML()
        self.restore_field = widgets.Text(
            description="Confirm", placeholder="type the migration's name", layout=wide(), style=FIELD
        )
        self.restore_button = self._button(
            "Restore", "Put back what this archive holds. Changes the database", self.shared.restore
        )
        self.restore_preview_button.layout.width = "auto"
        self.archive_field.observe(self._chosen("event"), "value")
        self.conflict_field.observe(self._chosen("on_conflict"), "value")
        self.restore_field.observe(self._chosen("typed"), "value")
        self.archives_step = widgets.VBox(
            (
                heading("5. Values that were kept"),
                self.archives_view,
                self.archive_field,
                self.conflict_field,
                row(self.restore_preview_button),
                self.restore_view,
                self.restore_field,
                row(self.restore_button),
            ),
            layout=widgets.Layout(overflow="visible"),
        )
        return (self.archives_step,)

    def _chosen(self, field: str) -> Any:
        """Handle what a person has entered: another choice forgets what was found of the one before."""
        enter = self._entered("restoring")

        def handle(change: Mapping[str, Any]) -> None:
            with LOCK:
                now = self.shared.restoring
                if self._drawing or getattr(now, field) == change["new"]:
                    return
                forgotten = {} if field == "typed" else {"preview": None, "typed": "", "result": None}
                enter({"new": replace(now, **{field: change["new"]}, **forgotten)})

        return handle

    def _show(self) -> None:
        shared, asked = self.shared, self.shared.restoring
        applied = tuple(one["migration_name"] for one in shared.migrations)
        self._write(self.archives_view, archives_html, shared.archives, shared.migrations)
        offered = [one for one in shared.archives if one["direction"] == "rollback" or _is_free(one, applied)]
        options = tuple((_label(one), one["event"]) for one in offered if one["event"] is not None)
        if self.archive_field.options != (("choose one", None), *options):
            self.archive_field.options = (("choose one", None), *options)
        known = asked.event if asked.event in {event for _, event in options} else None
        self.archive_field.value = known
        self.conflict_field.value = asked.on_conflict
        self.restore_field.value = asked.typed
        self._write(self.restore_view, restore_html, asked)
        waits = bool(shared.busy)
        self.archive_field.disabled = self.conflict_field.disabled = waits
        self.restore_preview_button.disabled = waits or known is None
        self.restore_field.disabled = waits or asked.preview is None
        self.restore_button.disabled = not shared.may_restore
        self.restore_button.description = "Restore on PRODUCTION" if shared.production else "Restore"
        self.restore_button.layout.width = "auto"
        for part in (self.archive_field, self.conflict_field, self.restore_preview_button):
            part.layout.display = None if options else "none"
        for part in (self.restore_field, self.restore_button):
            part.layout.display = None if asked.preview is not None else "none"
        self.archives_step.layout.display = None if shared.archives else "none"


def _is_free(one: Mapping[str, Any], applied: Sequence[str]) -> bool:
    """Whether no rollback puts it back any more: its migration is not applied."""
    return one["migration_name"] not in applied


def _label(one: Mapping[str, Any]) -> str:
    return html.visible(f"{one['migration_name']}   event {one['event']}, {one['rows']:,} rows")


def _age(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:,} {unit}"
    return f"{max(seconds, 0)} s"


def _comes_back(one: Mapping[str, Any], applied: Sequence[str]) -> str:
    if one["restored_at"] is not None:
        return "was put back"
    if one["direction"] == "apply":
        return "by Restore" if _is_free(one, applied) else "with its rollback"
    return "when it is applied again" if _is_free(one, applied) else "by Restore"


def archives_html(
    archives: Sequence[Mapping[str, Any]], migrations: Sequence[Mapping[str, Any]]
) -> str:  # called with the facts in order
    """What is kept: of which migration, how much, how old, whether it is all, and how it comes back."""
    if not archives:
        return ""
    applied = tuple(one["migration_name"] for one in migrations)
    headings = ("Migration", "Event", "Destroyed by", "Tables", "Rows", "Bytes", "Age", "Complete", "Comes back")
    rows = [
        (
            one["migration_name"],
            str(one["event"] or ""),
            "its rollback" if one["direction"] == "rollback" else "applying it",
            "\n".join(one["tables"]),
            f"{one['rows']:,}",
            f"{one['bytes']:,}",
            _age(one["age"]),
            "yes" if one["complete"] is True else f"no: {one['complete']}",
            _comes_back(one, applied),
        )
        for one in archives[:_LISTED]
    ]
    more = len(archives) - _LISTED
    rest = f"<div>{more:,} older ones are not shown: migrollback archives</div>" if more > 0 else ""
    count = counted(len(archives), "archive")
    title = f"{count}, {sum(one['rows'] for one in archives):,} rows"
    # wider than a panel: it scrolls by itself
    shown = (
        f'<div role="region" aria-label="Archives" tabindex="0" style="overflow-x:auto">{html.table(headings, rows)}'
    )
    return lines(html.section(title, f"{shown}</div>{rest}"))


def restore_html(asked: Restoring) -> str:  # called with the facts in order
    """What would come back, or came back: rows of each table, and conflicts."""
    if asked.result is not None:
        good = asked.result.success and not asked.result.conflicts
        said = _outcome(asked.result)
        word = "Done" if good else "Look closer"
        return f'<div class="{RESULT}">{box(f"<b>{word}:</b> {said}", html.GOOD if good else html.CAREFUL)}</div>'
    if asked.preview is None:
        return ""
    said = _outcome(asked.preview)
    name = html.escape(asked.preview.migration_name)
    careful = bool(asked.preview.conflicts) or not asked.preview.success
    shown = box(f"<b>Would come back, nothing was changed:</b>\n{said}", html.CAREFUL if careful else html.GOOD)
    return shown + lines(f"<div>To restore it, type the name exactly: <code>{name}</code></div>")


def _outcome(result: RestoreResult) -> str:
    said = [one.said(result.dry_run) for one in result.tables] or ["The archive holds nothing"]
    for one in result.conflicts:
        keys = ", ".join(map(str, one.keys[:20])) + (" ..." if one.count > 20 else "")
        if keys:
            said.append(f"Written since in {one.table}: {keys}")
    return "\n".join(map(html.escape, said))
