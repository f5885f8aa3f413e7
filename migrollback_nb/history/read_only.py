"""A statement of the user's own as a DataFrame, with the dtypes of our frames. Does not write: it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.frames import columns as table

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.database import Database

#: oid of a type of PostgreSQL -> the kind of a column; what is not here is text where its values are, else an object.
_KINDS = {
    16: table.FLAG_IF_KNOWN, 20: table.COUNT_IF_KNOWN, 21: table.COUNT_IF_KNOWN, 23: table.COUNT_IF_KNOWN,
    26: table.COUNT_IF_KNOWN, 700: table.MS, 701: table.MS, 1700: table.MS, 1184: table.TIME, 1114: table.TIME,
    1082: table.TIME, 1186: table.SPAN, 25: table.TEXT, 1043: table.TEXT, 1042: table.TEXT, 19: table.TEXT,
    18: table.TEXT, 2950: table.TEXT, 2205: table.TEXT, 2206: table.TEXT, 4096: table.TEXT,
}  # fmt: skip
_PLAIN = {table.FLAG_IF_KNOWN: table.FLAG, table.COUNT_IF_KNOWN: table.COUNT}


def ask(database: Database, statement: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> pd.DataFrame:
    """Rows of a statement that only reads. Does not write.

    Numbers and truth values without a missing one are int64 and bool, else Int64 and boolean; of two columns with one
    name the second gets a number.
    """
    import pandas as pd

    from migrollback_nb.core.frames.build import series

    answer = database.questions.ask(statement, params)
    data: dict[str, Any] = {}
    for place, (name, oid) in enumerate(answer.columns):
        values = [row[place] for row in answer.rows]
        kind = _KINDS.get(oid)
        if kind is None:
            kind = table.TEXT if values and all(isinstance(value, str | None) for value in values) else table.OBJECT
        if kind in _PLAIN and not any(value is None for value in values):
            kind = _PLAIN[kind]
        key, number = name, 2
        while key in data:
            key, number = f"{name}_{number}", number + 1
        data[key] = series(values, table.Column(kind, ""))
    return pd.DataFrame(data)
