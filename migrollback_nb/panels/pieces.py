"""Pieces that panels are put together from: boxes, rows, headings, and the HTML of target, progress and outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.errors import (
    DatabaseError,
    LockBusy,
    MigrollbackError,
    NotInstalled,
    OlderSystem,
    Refused,
    RehearsalStopped,
    RollbackFailed,
    SqlFailed,
    UsageError,
)
from migrollback_nb.core.results import ChainResult
from migrollback_nb.core.results.card_steps import done_steps, steps_html
from migrollback_nb.core.times import show_time
from migrollback_nb.panels.standing import RehearsalCancelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from migrollback_nb.core.results import RollbackResult, Target
    from migrollback_nb.core.results.card_steps import CardStep

#: SQLSTATE of a statement that was cancelled.
_CANCELED = "57014"

#: The class by which a page finds how an action ended.
RESULT = "migrollback-result"
_STANDING = {
    "lost": "Connection lost: the next click opens it again",
    "read only": "Read-only session: nothing can be rolled back or rehearsed here",
}

FIELD = {"description_width": "6.5em"}


def wide() -> Any:
    """The layout of a field as wide as there is room. Each has its own: a shared one hides all that share it."""
    return widgets.Layout(width="auto")


def heading(text: str) -> Any:
    """A heading, for readers too: the notebook has no h3 of ours in its outline."""
    return widgets.HTML(
        f'<div role="heading" aria-level="3" style="font-weight:600;font-size:1.1em">{html.escape(text)}</div>'
    )


def row(*controls: Any) -> Any:
    """Controls beside each other, as far as they fit."""
    return widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap", align_items="center", overflow="visible"))


def option(found: Mapping[str, Any]) -> str:
    """One line of the list."""
    # the name first: a list is searched by typing its first letters
    verdict = sign_and_word(found) if found["can_rollback"] else f"✘ {found['blocking_reason']}"
    return html.visible(f"{found['migration_name']}   {verdict}")


def sign_and_word(found: Mapping[str, Any]) -> str:
    """The verdict on a row of ``list_rollbackable()``: no reader has to tell colours apart."""
    if not found["can_rollback"]:
        return "✘ blocked"
    known = (found.get("verdict") or "can be rolled back").replace("_", " ")
    return f"{'✔' if known == 'ready' else '?' if known == 'not rehearsed' else '!'} {known}"


def unfinished_html(attempts: Iterable[Mapping[str, Any]]) -> str:
    """Which rollbacks were begun and whose end is not recorded, and how that stands."""
    report = []
    for one in attempts:
        who = one["client"] or one["database_user"]
        words = f"The rollback of {one['migration_name']} was begun at {show_time(one['occurred_at'])} by {who}"
        words += f" ({one['reason']})" if one["reason"] else ""
        if one["running"] is not None:
            end = (
                f"its end is not recorded yet: process {one['running']} of the server may be at it now. Refresh the"
                " list to see how it ended"
            )
        elif one["completed"]:
            end = (
                f"it was broken off: {one['completed']} of its statements ran outside a transaction and stay. Rolling"
                " back again goes on after them"
            )
        else:
            end = "it was broken off: nothing of it was kept, the migration is applied as before"
        report.append(f"<div>{html.escape(words)}; {html.escape(end)}.</div>")
    return box("".join(report), html.CAREFUL) if report else ""


def remark(every: int, found: int, shown: int) -> str:
    """What the list does not show."""
    if not every:
        return "No migration is applied here: there is nothing to roll back."
    if not found:
        return f"None of the {every:,} migrations has that."
    return f"{shown:,} of {found:,} are shown: filter by a part of the name." if shown < found else ""


def box(text: str, style: str, *, role: str = "status") -> str:
    """HTML in one of the styles of `migrollback_nb.core.html`; line breaks are kept. `text` is HTML already."""
    return (
        f'<div role="{role}" style="{style};padding:.4em'
        f' .8em;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.4">{text}</div>'
    )


def lines(text: str) -> str:
    """HTML with lines set closer than ipywidgets sets those of its controls. `text` is HTML already."""
    return f'<div style="line-height:1.5">{text}</div>'


def scrolled(name: str, text: str) -> str:
    """HTML that scrolls when it is long, by keyboard too. `text` is HTML already."""
    return (
        f'<div role="region" aria-label="{html.escape(name)}" tabindex="0"'
        f' style="max-height:28em;overflow:auto">{lines(text)}</div>'
    )


def target_html(target: Target | None, production: bool, standing: str = "") -> str:  # called with the facts in order
    """The banner: which database this is, and what of the connection is not as usual."""
    if target is None:
        return box("Target: not connected", html.BAD)
    where = f"{target.host}:{target.port}"
    rest = (
        f"as user <b>{html.escape(target.user)}</b>, PostgreSQL {html.escape(target.server_version)}, schema"
        f" {html.escape(target.schema)}"
    )
    place = f"database <b>{html.escape(target.database)}</b> on <b>{html.escape(where)}</b> {rest}"
    if standing:
        place += f". <b>{_STANDING[standing]}</b>"
    if production:
        return box(f'<span style="font-size:1.3em;font-weight:700">⚠ PRODUCTION</span> {place}', html.BAD, role="note")
    return box(f"Target: {place}", html.BAD if standing == "lost" else html.CAREFUL, role="note")


def lacks_system(error: BaseException | None) -> bool:
    """Whether the rollback system is what is missing, or is older than this package."""
    return isinstance(error, NotInstalled | OlderSystem)


def lacking_html(error: BaseException | None) -> str:
    """What of the rollback system is missing; what to do about it stands beside it as a button."""
    if error is None:
        return ""
    said = str(error)
    hint = getattr(error, "hint", None)
    said = said.removesuffix(str(hint)).rstrip() if hint else said
    if schemas := getattr(error, "schemas", ()):
        said += f". It is in schema {', '.join(schemas)}: connect with schema={schemas[0]!r}, or install it here too"
    return box(html.escape(said), html.CAREFUL, role="note")


def together_html(chosen: str) -> str:
    """What is chosen elsewhere, to be rolled back together."""
    return box(f"Chosen: <b>{html.escape(chosen)}</b>, in one transaction", html.CAREFUL) if chosen else ""


def busy_html(busy: str, vague: bool) -> str:  # called with the facts in order
    """What is running. `vague`: how far it is, is not shown beside it."""
    running = '<progress aria-label="running"></progress> ' if vague else ""
    return box(f"{running}{html.escape(busy)} ...", html.CAREFUL) if busy else ""


def progress_html(progress: str) -> str:
    """How far it is, in words."""
    return lines(html.escape(progress))


def verify_html(result: RollbackResult | ChainResult | None) -> str:
    """What the comparison of the schema after a rollback with the one before found, on top of its result."""
    if result is None:
        return ""
    if result.verification is None:
        shown = box("Not verified: the schema after it was compared with none from before", html.CAREFUL)
    else:
        shown = lines(result.verification._repr_html_())
    return f'<div class="{RESULT}">{shown}</div>'


def message_html(
    error: BaseException | None, result: RollbackResult | ChainResult | None, planned: tuple[CardStep, ...]
) -> str:  # called with the facts in order
    """What was done, and what went wrong."""
    parts = []
    if result is not None:
        unchanged = any(one.unchanged for one in (result.results if isinstance(result, ChainResult) else (result,)))
        verified = result.verification
        look = (
            unchanged
            or not result.success
            or (verified is not None and verified.verdict in ("schema_restored", "differs", "not as rehearsed"))
        )
        parts.append(
            box(
                f"{'Look closer' if look else 'Done'}: {html.escape(result.message)}",
                html.CAREFUL if look else html.GOOD,
            )
        )
        if isinstance(result, ChainResult):
            parts.append(lines(steps_html(done_steps(result.results, planned))))
        # the verification has a place of its own
        detail = html.section("What ran", replace(result, verification=None)._repr_html_(), is_open=False)
        parts.append(lines(detail))
    if error is not None:
        word, style = _verdict(error)
        text = str(error) if isinstance(error, MigrollbackError) else f"{type(error).__name__}: {error}"
        if isinstance(error, RollbackFailed) and not error.passing and error.hint:
            # the panel has a step for it: no commands to type
            text = text.removesuffix(error.hint) + "Everything it did was undone. To resolve it is the next step"
        said = box(f"<b>{word}:</b> {html.escape(text)}", style, role="alert")
        parts.append(f'<div class="{RESULT}">{said}</div>')
    return "".join(parts)


def _verdict(error: BaseException) -> tuple[str, str]:
    match error:
        case DatabaseError(sqlstate=state) if state == _CANCELED:
            return "Cancelled", html.CAREFUL
        case RehearsalCancelled():
            return "Cancelled", html.CAREFUL
        case RehearsalStopped():
            return "Rehearsal stopped", html.CAREFUL
        case SqlFailed(passing=True) | LockBusy():
            return "Not done, try again", html.CAREFUL
        case UsageError():
            return "Not done", html.CAREFUL
        case Refused():
            return "Refused, nothing was changed", html.CAREFUL
        case MigrollbackError():
            return "Failed", html.BAD
    return "Unexpected error", html.BAD
