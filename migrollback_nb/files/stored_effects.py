"""Whether the parser finds in a stored rollback SQL the effects that are stored of it. Pure."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from typing import Any

from migrollback_nb.core.errors import Refused


def refuse_hidden_effects(stored: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse where the parser finds other effects than are stored: consent is asked for by those that are stored. Pure.

    Parameters
    ----------
    stored : mapping
        Name -> its row of the history.

    Raises
    ------
    Refused
    """
    for name, row in stored.items():
        if hides_effects(row):
            raise Refused(
                f"What is stored of the effects of {name}'s rollback SQL is not what the parser finds in it: it was"
                " changed in the database, or registered by another version",
                migration_name=name,
                hint=(
                    f"Nothing has run. Register it again: migrollback register {shlex.quote(name)}. Or rehearse all the"
                    " same with --consent (consent=True)."
                ),
            )


def hides_effects(stored: Mapping[str, Any] | None) -> bool:
    """Whether the parser finds other effects in stored rollback SQL than what is stored of it. Pure.

    stored: a row of the history as `Database.queries.find` gives it.
    Of SQL that was set by hand nothing is stored, so that nothing hides there.
    """
    from migrollback_nb.files.block import BlockSource, rollback_block
    from migrollback_nb.parsing.statements import SqlText

    sql = (stored or {}).get("rollback_sql") or ""
    kept = (stored or {}).get("metadata", {}).get("rollback")
    if (
        not isinstance(kept, dict)
        or "calls" not in kept
        or kept.get("md5") != hashlib.md5(sql.encode(), usedforsecurity=False).hexdigest()
    ):
        return False
    block = rollback_block(
        BlockSource(sql=SqlText(sql), path="", line=1, transaction=True, live=True, comments_count=False)
    )
    return (
        block is not None
        and block.problem is None
        # what it destroys is told and asks for no consent; before version 0.2.0 it was not stored
        and any(kept.get(key) != found for key, found in block.effects.items() if key != "drops")
    )
