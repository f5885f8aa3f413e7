"""The verdict card and the SQL in a panel: what is known of the choice, right under the buttons that found it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.passwords import mask_passwords
from migrollback_nb.core.results.card_steps import steps_html
from migrollback_nb.core.results.verdict_cards import best_card
from migrollback_nb.core.text import counted
from migrollback_nb.panels.pieces import box, lines
from migrollback_nb.panels.view import View

if TYPE_CHECKING:
    from migrollback_nb.core.results import CheckResult, Preview, Rehearsal

#: How many lines of SQL are coloured; of more the rest stands behind one line to open.
_COLOURED = 300


class CardView(View):
    """What is known of the choice, on one card, without a scroll box of its own."""

    def _parts(self) -> tuple[Any, ...]:
        self.card_view = widgets.HTML()
        return (self.card_view,)

    def _show(self) -> None:
        shared = self.shared
        self._write(self.card_view, card_html, shared.check_result, shared.preview_result, shared.rehearsal_result)


class SqlView(View):
    """The SQL that would run, with what destroys marked; folded once it was rehearsed."""

    def _parts(self) -> tuple[Any, ...]:
        self.sql_view = widgets.HTML()
        return (self.sql_view,)

    def _show(self) -> None:
        self._write(self.sql_view, sql_html, self.shared.preview_result, self.shared.rehearsal_result)


def card_html(
    checked: CheckResult | None, preview: Preview | None, rehearsed: Rehearsal | None
) -> str:  # called with the facts in order
    """The card, with what else its answer says below it."""
    card = best_card(checked, preview, rehearsed)
    blocked = checked is not None and not checked.can_rollback
    details = rehearsed.details_html() if rehearsed is not None and not blocked else ""
    shown = "" if card is None else card.to_html(details=details)
    if checked is not None and (blocked or (preview is None and rehearsed is None)):
        return shown + _checked(checked)
    return shown + ("" if preview is None or rehearsed is not None else _previewed(preview))


def _checked(check: CheckResult) -> str:
    """What the specified check says, and what has to go first."""
    word = "✔ Can rollback" if check.can_rollback else "✘ Cannot rollback"
    first = (
        html.definitions([("Must be rolled back first", "\n".join(check.dependent_migrations))])
        if check.dependent_migrations
        else ""
    )
    advice = (
        "<div>Tick “with all that depend on it” to roll these back as well, in one transaction.</div>" if first else ""
    )
    said = f"<div><b>{word}:</b> {html.escape(check.reason)}</div>"
    return lines(said + html.warnings(check.warnings) + first + advice)


def _previewed(preview: Preview) -> str:
    """What a dry run says beside its SQL."""
    rows = [] if preview.closed is None else [("Selected", preview.closed.words)]
    if preview.deploy_ledgers:
        rows.append(("Would change the deploy ledger", "\n".join(preview.deploy_ledgers)))
    order = "" if preview.assessment is not None or len(preview.steps) == 1 else _order(preview)
    return lines(order + (html.definitions(rows) if rows else "") + html.warnings(preview.warnings))


def _order(preview: Preview) -> str:
    return "<ol>" + "".join(f"<li>{html.escape(name)}</li>" for name, _ in preview.steps) + "</ol>"


def sql_html(preview: Preview | None, rehearsed: Rehearsal | None) -> str:  # called with the facts in order
    """The SQL that would run, or ran in the rehearsal; of several every step."""
    if preview is None and rehearsed is None:
        return ""
    # whole, before it is cut: a password may begin in one part and end in the other
    text = mask_passwords(preview.sql if preview is not None else rehearsed.sql if rehearsed is not None else "")
    count = text.count("\n") + 1
    found = ", ".join(f"{number} {word}" for word, number in html.destroying_words(text).items())
    title = f"SQL that {'would run' if rehearsed is None else 'was rehearsed'}, {counted(count, 'line')}"
    title += f": {found}" if found else ""
    rows = text.split("\n")
    shown = html.sql("\n".join(rows[:_COLOURED]), marked=True)
    if len(rows) > _COLOURED:
        rest = html.preformatted("\n".join(rows[_COLOURED:]))
        shown += html.section(f"The other {len(rows) - _COLOURED:,} lines", rest, is_open=False)
    named = html.section(title, shown, is_open=rehearsed is None)
    return f'<div role="region" aria-label="Preview">{lines(named)}</div>'


def confirm_html(
    checked: CheckResult | None, preview: Preview | None, rehearsed: Rehearsal | None
) -> str:  # called with the facts in order
    """What is confirmed, all of it, and by which word."""
    if preview is None:
        return ""
    card = best_card(checked, preview, rehearsed)
    if card is None:
        said = "<div>Not rehearsed: what it would do to data and to others is not known.</div>"
    else:
        said = box(f"<b>{html.escape(card.heading)}</b>", card.style)
    names = [name for name, _ in preview.steps]
    if len(names) > 1:
        table = steps_html(card.steps) if card is not None and card.steps else _order(preview)
        said += (
            f"<div>{len(names)} migrations are rolled back in this order, in one transaction, all or none:</div>{table}"
        )
    return lines(f"{said}<div>To confirm, type the name exactly: <code>{html.escape(preview.confirm)}</code></div>")
