"""One value of any type for a synthetic row: columns share none, rows differ already in the first character. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

#: So many columns' values differ from each other in one row; and in the first digit from those of the next.
_COLUMNS_APART = 91
#: Numbers begin here, out of the way of the small keys that migrations insert themselves.
_FIRST = 7001


def _day(number: int) -> str:
    return (datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=number)).date().isoformat()


def _digits(number: int) -> str:
    """A text that can be read as a number, as JSON or as hexadecimal; the next ones differ in the first character."""
    return f"{1 + number % 9}{number:03}"


#: One value for each type by its number (0 to some thousands), as text.
_VALUES: dict[str, Any] = {
    "int2": lambda n: str(_FIRST + n),
    "int4": lambda n: str(_FIRST + n),
    "int8": lambda n: str(_FIRST + n),
    "numeric": lambda n: str(_FIRST + n),
    "float4": lambda n: str(_FIRST + n + 0.5),
    "float8": lambda n: str(_FIRST + n + 0.5),
    "money": lambda n: str(_FIRST + n),
    "oid": lambda n: str(_FIRST + n),
    "bool": lambda n: "tf"[n % 2],
    "date": _day,
    "timestamp": lambda n: f"{_day(n)} 05:06:07",
    "timestamptz": lambda n: f"{_day(n)} 05:06:07+00",
    "time": lambda n: f"{n // 60 % 24:02}:{n % 60:02}:06",
    "timetz": lambda n: f"{n // 60 % 24:02}:{n % 60:02}:06+00",
    "interval": lambda n: f"{n + 1} hours",
    "uuid": lambda n: f"5a3b1e00-0000-4000-8000-{n + 1:012}",
    "json": lambda n: f'{{"sample": {n + 1}}}',
    "jsonb": lambda n: f'{{"sample": {n + 1}}}',
    "jsonpath": lambda n: f"$.sample{n}",
    "bytea": lambda n: f"\\x5a{n:04x}",
    "inet": lambda n: f"192.0.{2 + n // 200}.{n % 200 + 1}",
    "cidr": lambda n: f"192.0.{2 + n // 200}.{n % 200 + 1}/32",
    "macaddr": lambda n: f"02:00:00:00:{n // 256:02x}:{n % 256:02x}",
    "macaddr8": lambda n: f"02:00:00:00:00:00:{n // 256:02x}:{n % 256:02x}",
    "tsvector": lambda n: f"sample{n}",
    "tsquery": lambda n: f"sample{n}",
    "xml": lambda n: f"<sample>{n}</sample>",
    "pg_lsn": lambda n: f"0/{n + 1}",
    "point": lambda n: f"({n},1)",
    "line": lambda n: f"{{1,1,{n}}}",
    "lseg": lambda n: f"[(0,0),({n},1)]",
    "box": lambda n: f"(1,1),(0,{n})",
    "path": lambda n: f"((0,0),({n},1))",
    "polygon": lambda n: f"((0,0),({n},1),(1,1))",
    "circle": lambda n: f"<(0,0),{n + 1}>",
    "int4range": lambda n: f"[{n * 10},{n * 10 + 5})",
    "int8range": lambda n: f"[{n * 10},{n * 10 + 5})",
    "numrange": lambda n: f"[{n * 10},{n * 10 + 5})",
    "daterange": lambda n: f"[{_day(n * 9)},{_day(n * 9 + 5)})",
    "tsrange": lambda n: f"[{_day(n * 9)},{_day(n * 9 + 5)})",
    "tstzrange": lambda n: f"[{_day(n * 9)} 00:00+00,{_day(n * 9 + 5)} 00:00+00)",
    "hstore": lambda n: f"sample=>{n}",
    "ltree": lambda n: f"sample.n{n}",
    "citext": _digits,
    "name": lambda n: f"n{n}_sample",
    "bit": lambda n: "01"[n % 2],
    "varbit": lambda n: "01"[n % 2],
}


def value_of(column: Mapping[str, Any], row: int, labels_beside: int = 0) -> str | None:
    """A value for a column by its type; None where none is known. `labels_beside`: of the table's enum that has most.

    Columns do not share values, and a default comes last: what is filled in from elsewhere must not pass for what was
    lost.
    """
    number = column["place"] % _COLUMNS_APART + _COLUMNS_APART * row
    default = (column["default_value"] or "").partition("::")[0].strip("'")
    if labels := sorted(column["labels"], key=lambda label: label == default):
        label = str(labels[row % len(labels)])
        return label if column["sort"] == "e" else '{"' + label.replace("\\", "\\\\").replace('"', '\\"') + '"}'
    if column["element"] is not None and column["category"] == "A":
        value = _by_type(column["element"], number, None)
        return "{}" if value is None else '{"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"}'
    if column["base"] == "bool":
        turn, place = divmod(row, max(labels_beside, 1))
        place = (place + (turn >> column["flag"] % 2)) % 2
        return "ft"[place] if default == "true" else "tf"[place]
    if column["digits"] is not None and column["digits"] < len(str(_FIRST)):
        return str(number % 9 + 1) if column["digits"] > 0 else "0"
    return _by_type(column["base"], number, column["length"])


def _by_type(base: str, number: int, length: int | None) -> str | None:
    if base in ("text", "varchar", "bpchar"):
        return _digits(number)[:length]
    if base == "char":
        return chr(ord("a") + number % 26)
    by_number = _VALUES.get(base)
    value = by_number(number) if by_number is not None else None
    return None if value is None else str(value)
