"""Two databases beside each other: which migrations, or which schema objects, differ. Does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.operations.workspace import Workspace


def compare(a: Workspace, b: Workspace, schema: bool = False) -> pd.DataFrame:
    """What differs between two databases: staging and production, say. Does not write.

    Parameters
    ----------
    a, b : Migrations
        The two connections.
    schema : bool
        True: the schema objects that differ, not the migrations.

    Returns
    -------
    DataFrame
        A row for each migration that is in one only or stands otherwise. Columns migration_name, difference (only in a,
        only in b, status, text: another file or rollback SQL), a_status, b_status, a_applied_at, b_applied_at,
        a_checksum, b_checksum. Of schemas: change (from a to b: created is in b only, dropped in a only), kind, schema,
        table, object, identity, old_definition (in a), new_definition (in b).

    Examples
    --------
    ::

        mr.compare(mr.connect(service="staging"), mr.connect(service="production"))
    """
    from migrollback_nb.core.frames.build import frame_of
    from migrollback_nb.display.frame_look import show_in_notebooks

    if schema:
        texts = (one.database.queries.schema_text() for one in (a, b))
        frame = frame_of("schema comparison", a.database.questions.schema_differences(*texts))
    else:
        frame = frame_of("comparison", _migrations(a, b))
    frame.attrs |= {"frame": "schema comparison" if schema else "comparison", "a": str(a.target), "b": str(b.target)}
    show_in_notebooks()
    return frame


def _migrations(a: Workspace, b: Workspace) -> list[dict[str, Any]]:
    rows_of_a, rows_of_b = (
        {
            row["migration_name"]: row
            for row in one.database.queries.history()
            if row["metadata"].get("system") is not True
        }
        for one in (a, b)
    )
    found = []
    for name in sorted(rows_of_a.keys() | rows_of_b.keys()):
        row_of_a, row_of_b = rows_of_a.get(name), rows_of_b.get(name)
        if row_of_a is None or row_of_b is None:
            difference = "only in a" if row_of_b is None else "only in b"
        elif row_of_a["status"] != row_of_b["status"]:
            difference = "status"
        elif any(row_of_a[key] != row_of_b[key] for key in ("checksum", "rollback_sql")):
            difference = "text"
        else:
            continue
        sides = {
            f"{side}_{key}": None if row is None else row[key]
            for key in ("status", "applied_at", "checksum")
            for side, row in (("a", row_of_a), ("b", row_of_b))
        }
        found.append({"migration_name": name, "difference": difference, **sides})
    return found
