"""Roll back PostgreSQL migrations safely, from Jupyter, the terminal or psql.

What you previewed is what runs, it runs whole or not at all, and nothing about it is forgotten.

    >>> import migrollback_nb as mr
    >>> mr.parse("CREATE TABLE t ();", name="001_t").version
    '001'

With a database::

    db = mr.connect()              # DATABASE_URL, PGSERVICE ...; "embedded" for a private server
    db.list()                      # a DataFrame
    db.check("20250120_add_tags")  # may it be rolled back?
    db.preview("20250120_add_tags")
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from migrollback_nb.core.version import __version__ as __version__

# The public names stand in __init__.pyi and are loaded on first use: importing the package brings neither pandas nor
# ipywidgets nor graphviz nor psycopg.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def load_ipython_extension(ipython: Any) -> None:
    """Add the magic %migrollback; called by ``%load_ext migrollback_nb``. Writes nothing to a database."""
    from migrollback_nb.cli.magics import register_magics

    register_magics(ipython)
