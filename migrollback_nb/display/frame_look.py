"""How our frames look in a notebook: times to the minute, states as pills, hashes folded, 20 rows. Writes nothing."""

from __future__ import annotations

import sys
from datetime import UTC
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.core.frames.columns import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 20
#: Of which the beginning is enough to tell them apart.
_FOLDED = frozenset({"checksum", "hash", "attempt_id", "deploy_id", "snapshot_id", "fingerprint"})
_LONGEST = 60
_STYLES = {
    **dict.fromkeys(("applied", "ready", "restores", "same", "rehearsed", "verified"), ("✔", html.GOOD)),
    **dict.fromkeys(("failed", "blocked", "loses", "fails", "loses_data", "missing", "apply_failed"), ("✘", html.BAD)),
    **dict.fromkeys(
        ("rolled_back", "not_rehearsed", "harms", "takes_others", "differs", "refused", "stopped", "never"),
        ("•", html.CAREFUL),
    ),
}
_PILLS = frozenset({"status", "verdict", "grade", "outcome", "file_state", "proven", "depends_on_status"})


def frame_html(frame: pd.DataFrame) -> str:
    """A frame as an HTML table that both themes of a notebook colour; every value is escaped. Pure."""
    shown = frame.head(_ROWS).astype(object)
    shown = shown.where(shown.notna(), None)
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in shown.columns)
    body = "".join(
        f"<tr><th>{html.escape(str(index))}</th>"
        + "".join(f"<td>{_cell(str(name), value)}</td>" for name, value in zip(shown.columns, row, strict=True))
        + "</tr>"
        for index, row in zip(shown.index, shown.itertuples(index=False, name=None), strict=True)
    )
    more = f", the first {_ROWS} are shown" if len(frame) > _ROWS else ""
    return (
        '<div style="overflow-x:auto" tabindex="0" role="region" aria-label="Table">'
        '<table class="dataframe" style="white-space:nowrap"><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<p>{len(frame):,} rows, {len(frame.columns)} columns{more}</p>"
    )


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "astimezone") and getattr(value, "tzinfo", None) is not None:
        return _titled(f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC", str(value))
    text = f"{value:,.1f}" if isinstance(value, float) else _words(value)
    if name in _PILLS and text in _STYLES:
        mark, style = _STYLES[text]
        return f'<span style="{style};padding:0 .4em;border-radius:.6em">{mark} {html.escape(text)}</span>'
    limit = 8 if name in _FOLDED else _LONGEST
    return html.escape(text) if len(text) <= limit else _titled(f"{text[:limit]}…", text[:2000])


def _words(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return " ".join(text.split())


def _titled(text: str, title: str) -> str:
    return f'<span title="{html.escape(title)}">{html.escape(text)}</span>'


def show_in_notebooks() -> None:
    """Let IPython show our frames so, and all others as before; does nothing where no IPython runs."""
    ipython = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    formatter = None if ipython is None else ipython.display_formatter.formatters["text/html"]
    if formatter is None or getattr(formatter, "_migrollback", False):
        return
    import pandas as pd

    formatter._migrollback = True  # noqa: SLF001  # once for each shell
    formatter.for_type(pd.DataFrame, _of_any)


def _of_any(frame: pd.DataFrame) -> str | None:
    ours = "frame" in frame.attrs and frame.columns.nlevels == 1 and any(name in COLUMNS for name in frame.columns)
    if ours:
        return frame_html(frame)
    return frame._repr_html_()  # type: ignore[operator, no-any-return]  # pandas' own
