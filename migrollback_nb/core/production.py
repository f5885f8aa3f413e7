"""Which targets are production: those marked so, and those that match the user's rule. Does not write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from migrollback_nb.core.results import Target

#: Patterns as a shell has them (``shop_prod*``, ``*.prod.example.com``), or a function that says whether a target is
#: production.
Rule = str | Iterable[str] | Callable[[Target], bool]

#: The variable that holds patterns, separated by commas, where no rule is given.
VARIABLE = "MIGROLLBACK_PRODUCTION"


def is_production(target: Target, rule: Rule | None = None) -> bool:
    """Say whether a target is production. Does not write.

    Parameters
    ----------
    target : Target
        The database. One that is marked as production is so whatever the rule says: a rule only adds.
    rule : str, iterable of str or callable, optional
        Patterns for its host, its database, or ``host:port/database``, in small or capital letters; or a function. By
        default what the variable MIGROLLBACK_PRODUCTION holds. A function that fails counts as yes: a broken rule must
        not make production look harmless.

    Examples
    --------
    >>> server = {"host": "db.prod.example.com", "port": 5432, "user": "dba", "server_version": "18.6"}
    >>> target = Target(**server, database="shop", schema="public")
    >>> is_production(target, "*.prod.example.com, shop_live"), is_production(target, lambda target: target.port == 1)
    (True, False)
    """
    if target.production:
        return True
    if callable(rule):
        try:
            return bool(rule(target))
        except Exception:  # noqa: BLE001  # whatever it is
            return True
    patterns = os.environ.get(VARIABLE, "") if rule is None else rule
    listed = patterns.split(",") if isinstance(patterns, str) else patterns
    names = [
        name.casefold() for name in (target.host, target.database, f"{target.host}:{target.port}/{target.database}")
    ]
    return any(fnmatchcase(name, pattern) for one in listed if (pattern := one.strip().casefold()) for name in names)
