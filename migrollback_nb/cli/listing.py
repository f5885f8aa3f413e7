"""What a command that lists rows gives to be shown. Apart from `tables`, which few commands need. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Listing(NamedTuple):
    """Rows for a terminal or a script, got without pandas."""

    rows: Sequence[Mapping[str, Any]]
    columns: tuple[str, ...]  #: in JSON and tab-separated text
    short: tuple[str, ...] = ()  #: in a table for people; by default all
    spare: tuple[str, ...] = ()  #: of these the first are left out first, where the terminal is narrow
    wide: bool = False  #: a table as wide as it takes: a line for each row, nothing left out
    warnings: tuple[str, ...] = ()  #: what a person should know

    def to_dict(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [{column: row[column] for column in self.columns} for row in self.rows]
