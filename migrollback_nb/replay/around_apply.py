"""The schema before and after migrations, as a replay of their folder has it: what a rollback is compared with.

Writes only on a scratch database.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.core import ordering
from migrollback_nb.core.errors import UsageError
from migrollback_nb.files import preludes
from migrollback_nb.files.formats import in_order
from migrollback_nb.replay.definitions import fetch_states

if TYPE_CHECKING:
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.undo import SchemaState


def schemas_around(
    folder: MigrationFolder,
    names: Sequence[str],
    *,
    on: str | None = None,
    prelude: Sequence[Path | str] | Path | str | None = None,
) -> dict[str, tuple[SchemaState, SchemaState]]:
    """Replay the folder up to each of these migrations. Writes only on a scratch database.

    Returns
    -------
    dict
        Name -> the schema before it, and after its up migration.

    Raises
    ------
    UsageError
        When one is not in the folder, or cannot be replayed, with the reason.
    """
    files = {file.name: file for file in folder.read_all().files}
    first = preludes.find(prelude, beside=folder.rollbacks)
    order = ordering.order(
        {name: file.depends_on for name, file in files.items()},
        like=[file.name for file in in_order(files.values())],
    )
    found = {}
    for name in names:
        if name not in files:
            raise UsageError(f"{name} has no file in {folder.path}", hint="Name the folder that has it with --dir.")
        before = [files[other] for other in order[: order.index(name)]]
        count = len(files[name].up.statements)
        states, trouble = fetch_states(before, files[name], {0, count - 1}, on=on, first=first)
        if trouble is not None or states is None or states[0] is None or states[-1] is None:
            why = trouble or "it has no statement"
            raise UsageError(
                f"{name} cannot be replayed, so there is nothing to compare with: {why}",
                hint="What the platform had made before can run first: --prelude FILE. Another server: --on DSN.",
            )
        found[name] = (states[0], states[-1])
    return found
