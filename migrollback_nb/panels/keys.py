"""What a panel does in its page beside showing widgets: keys, focus, bringing results into view."""

from __future__ import annotations

import anywidget
import traitlets

from migrollback_nb.panels.selection import HERE

#: The class of what stands together: where a control goes away, the focus goes to another of its group.
GROUP = "migrollback-group"


class Keys(anywidget.AnyWidget):
    """Keeps keys and focus in the panel, brings results into view, and says when the kernel is gone.

    Attributes
    ----------
    busy : bool
        Whether something runs: what is switched off then gets the focus back afterwards.
    """

    _esm = "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("focus.js", "keys.js"))
    _css = HERE / "keys.css"
    busy = traitlets.Bool(default_value=False).tag(sync=True)
