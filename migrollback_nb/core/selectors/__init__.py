"""Selectors: which migrations a text such as ``table:users,status:applied`` or ``name+`` means. Pure.

`grammar` reads a text, `methods` says what may stand before a colon, `evaluation` finds what is meant by facts that
others fetch, `near` says what comes close to a slip, `completion` what may stand next.
"""

from migrollback_nb.core.selectors.completion import Facts, complete, describe

__all__ = ["Facts", "complete", "describe"]
