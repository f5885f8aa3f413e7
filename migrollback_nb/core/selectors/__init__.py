"""Selectors: which migrations a text such as ``table:users,status:applied`` or ``name+`` means. Pure.

`grammar` reads a text, `methods` says what may stand before a colon, `evaluation` finds what is meant by facts that
others fetch, `near` says what comes close to a slip, `completion` what may stand next. It is loaded on first use: each
command line needs `near`, and few complete a selector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrollback_nb.core.selectors.completion import Facts, complete, describe

__all__ = ["Facts", "complete", "describe"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from migrollback_nb.core.selectors import completion

    value = getattr(completion, name)
    globals()[name] = value
    return value
