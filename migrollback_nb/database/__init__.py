"""The only package that calls the SQL functions: each method is one question or one deed.

Rows come back as dicts keyed by the columns of the SQL functions.
"""

from __future__ import annotations

from migrollback_nb.database.nontransactional import NontransactionalCommands
from migrollback_nb.database.rehearsals import Rehearsals
from migrollback_nb.database.system import SystemCommands


class Database(NontransactionalCommands, Rehearsals, SystemCommands):
    """What can be asked of, and done to, a database with the rollback system; see `Session` for the parameters."""
