"""How our frames look in a notebook: times to the minute, states as pills, hashes folded, 20 rows. Writes nothing."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html, kinds
from migrollback_nb.core import text as texts
from migrollback_nb.core.frames.columns import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 20
#: Of which the beginning is enough to tell them apart.
_FOLDED = frozenset({"checksum", "hash", "attempt_id", "deploy_id", "snapshot_id", "fingerprint"})
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST = 60
_PILLS = frozenset({"status", "verdict", "grade", "outcome", "file_state", "proven", "depends_on_status", "state"})
#: Each cell says it: the stylesheet of a notebook lets cells wrap, and puts all on the right.
_LEFT, _RIGHT = (f"white-space:nowrap;text-align:{side}" for side in ("left", "right"))


def frame_html(frame: pd.DataFrame) -> str:
    """A frame as an HTML table that both themes of a notebook colour; every value is escaped. Pure."""
    names = [str(name) for name in frame.columns]
    sides = [_RIGHT if dtype.kind in "iuf" else _LEFT for dtype in frame.dtypes]
    shown = frame.head(_ROWS).astype(object)
    shown = shown.where(shown.notna(), None)
    head = "".join(f'<th style="{side}">{html.escape(name)}</th>' for name, side in zip(names, sides, strict=True))
    of_rows = ", ".join(str(name) for name in frame.index.names if name is not None)
    body = "".join(
        f'<tr><th style="{_LEFT}">{_cell(of_rows, index)}</th>'
        + "".join(
            f'<td style="{side}">{_cell(name, value)}</td>' for name, side, value in zip(names, sides, row, strict=True)
        )
        + "</tr>"
        for index, row in zip(shown.index, shown.itertuples(index=False, name=None), strict=True)
    )
    more = f", the first {_ROWS} are shown" if len(frame) > _ROWS else ""
    return (
        '<div style="overflow-x:auto" tabindex="0" role="region" aria-label="Table">'
        f'<table class="dataframe"><thead><tr><th style="{_LEFT}">{html.escape(of_rows)}</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<p>{texts.counted(len(frame), 'row')}, {texts.counted(len(frame.columns), 'column')}{more}</p>"
    )


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if getattr(value, "tzinfo", None) is not None:
        return _titled(f"{value:%Y-%m-%d %H:%M %Z}", str(value))
    if hasattr(value, "total_seconds"):
        return _titled(_span(value), str(value))
    text = f"{value:,.1f}" if isinstance(value, float) else _words(value)
    if name in _PILLS and text in kinds.KIND:
        # to have been rolled back proves that it can be
        of = "verified" if name == "proven" and text != "never" else text
        style = kinds.STYLE[kinds.KIND[of]]
        return f'<span style="{style};padding:0 .4em;border-radius:.6em">{kinds.sign(of)} {html.escape(text)}</span>'
    limit = 8 if name in _FOLDED or _UUID.fullmatch(text) else _LONGEST
    return html.escape(text) if len(text) <= limit else _titled(f"{text[:limit]}…", text[:2000])


def _span(value: Any) -> str:
    """A timedelta to the second: 3 days 01:02:05."""
    return re.sub(r"^1 days", "1 day", str(value.floor("s")).removeprefix("0 days "))


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
    # a merge forgets whence its frames are, the name of a migration is in no other's
    known = frame.columns.nlevels == 1 and any(name in COLUMNS for name in frame.columns)
    if known and ("frame" in frame.attrs or "migration_name" in frame.columns):
        return frame_html(frame)
    return frame._repr_html_()  # type: ignore[operator, no-any-return]  # pandas' own
