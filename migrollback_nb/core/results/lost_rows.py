"""A look at some of the rows that a rollback would lose: asked for, never recorded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from migrollback_nb.core import html
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.text import as_line, one_line

if TYPE_CHECKING:
    import pandas as pd

#: No more rows of a table are looked at.
MOST_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LostTable:
    """Rows of one table that would go, or values of its columns."""

    relation: str  #: the table, schema-qualified and quoted
    what: str  #: what the rollback does with it: table dropped, column dropped, deleted ...
    columns: tuple[str, ...]  #: the columns that are shown
    lost_columns: tuple[str, ...]  #: those whose values go; empty where whole rows go
    rows: tuple[tuple[str | None, ...], ...]  #: values as text, at most 500 characters each
    remark: str | None = None  #: why none are shown, or why not all of them go

    @property
    def heading(self) -> str:
        """Which rows of what, in words."""
        goes = f"values of {', '.join(self.lost_columns)}" if self.lost_columns else "rows"
        shown = f"{len(self.rows)} shown" if self.rows else "none" if self.remark is None else "none shown"
        return f"{self.relation} ({self.what}): {goes}, {shown}"

    def lines(self) -> list[str]:
        """As a table of text."""
        found = [self.heading, *([f"  {self.remark}"] if self.remark else [])]
        if not self.rows:
            return found
        cells = [
            self.columns,
            *(tuple("NULL" if value is None else " ".join(value.split())[:40] for value in row) for row in self.rows),
        ]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.columns))]
        return found + [
            "  " + "  ".join(f"{value:<{width}}" for value, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class LostRows:
    """What a rollback would lose, as a look at up to 20 rows of each table."""

    migration_name: str  #: the migration
    tables: tuple[LostTable, ...]  #: in the order in which its rollback SQL meets them

    @classmethod
    def from_rows(cls, name: str, rows: Iterable[Mapping[str, Any]]) -> Self:
        """From the rows of migration_lost_rows()."""
        return cls(
            migration_name=name,
            tables=tuple(
                LostTable(
                    relation=row["relation"],
                    what=row["what"],
                    columns=tuple(row["columns"] or ()),
                    lost_columns=tuple(row["lost_columns"] or ()),
                    rows=tuple(tuple(values) for values in row["rows"]),
                    remark=row["remark"],
                )
                for row in rows
            ),
        )

    def __bool__(self) -> bool:
        return any(table.rows for table in self.tables)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def to_frame(self, relation: str | None = None) -> pd.DataFrame:
        """The rows of one table as a DataFrame of texts; relation may be left out where there is one table.

        Raises
        ------
        UsageError
            When it is not among the tables, or none was named and there are several.
        """
        import pandas as pd

        found = [table for table in self.tables if relation in (None, table.relation)]
        if len(found) != 1:
            listed = ", ".join(table.relation for table in self.tables) or "none"
            raise UsageError(
                f"The rollback loses rows of no table {relation}" if relation else "Name the table",
                hint=f"Tables: {listed}.",
            )
        return pd.DataFrame(list(found[0].rows), columns=list(found[0].columns), dtype="str")

    def lines(self) -> tuple[str, ...]:
        """In words and tables of text."""
        if not self.tables:
            return ("By its text the rollback loses no rows and no values",)
        return tuple(line for table in self.tables for line in table.lines())

    def __repr__(self) -> str:
        # values stay out of a repr, which may be logged
        return one_line(
            f"<LostRows of {self.migration_name}: {', '.join(table.heading for table in self.tables) or 'none'}>"
        )

    def _repr_html_(self) -> str:
        if not self.tables:
            return html.banner(self.lines()[0], html.GOOD)
        return "".join(
            html.section(
                table.heading,
                html.warnings([table.remark] if table.remark else [])
                + (
                    html.table(
                        table.columns, [["NULL" if value is None else value for value in row] for row in table.rows]
                    )
                    if table.rows
                    else ""
                ),
            )
            for table in self.tables
        )
