"""Times as people write them and as they are shown: one form for people, one for programs, both in UTC. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from migrollback_nb.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

#: What `since` and `until` take.
When: TypeAlias = "datetime | date | timedelta | np.datetime64 | np.timedelta64 | str"

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_MONTHS = {"mo": 1, "y": 12}
_HINT = "Write 7d, 36h, 90m, 2w, 3mo, 1y, today, yesterday, 2026, 2026-11, 2025-01-20 or 2025-01-20T14:30+01:00."


def show_time(moment: datetime) -> str:
    """A time for people: in terminals, panels, reports and messages; pure.

    Examples
    --------
    >>> show_time(datetime.fromisoformat("2025-01-20T15:30:05.25+01:00"))
    '2025-01-20 14:30:05 UTC'
    """
    # not strftime: a table may hold ten thousand of them
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat(' ')} UTC"


def iso_time(moment: datetime) -> str:
    """A time for programs: in JSON and tab-separated text; ISO 8601 in UTC, whatever the session's time zone is; pure.

    Examples
    --------
    >>> iso_time(datetime.fromisoformat("2025-01-20T15:30:05.25+01:00"))
    '2025-01-20T14:30:05.250000+00:00'
    """
    return moment.astimezone(UTC).isoformat()


def read_time(when: When, *, end: bool = False, now: datetime | None = None) -> datetime | timedelta:
    """Read a moment, or a span that reaches back from now; pure.

    Parameters
    ----------
    when : datetime, date, timedelta, numpy's datetime64 or timedelta64, or str
        A naive time is read as UTC. Text: a span (``7d``, ``36h``, ``90m``, ``30s``, ``2w``, ``3mo``, ``1y``), ``now``,
        ``today``, ``yesterday``, a year, month or day (``2026``, ``2026-11``, ``2026-11-05``), or an ISO time.
    end : bool
        Of a whole day, month or year: True: where it ends; False: where it begins.
    now : datetime, optional
        What now is, aware; by default the clock of this machine.

    Raises
    ------
    UsageError
        When it is none of these, or further away than a calendar reaches.

    Examples
    --------
    >>> read_time("2026-11", end=True)
    datetime.datetime(2026, 12, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    try:
        if isinstance(when, str):
            found = _read_text(when, now, end=end)
        elif type(when) is date:
            found = _day(when, end=end)
        else:
            found = _read_value(when)
        if isinstance(found, timedelta):
            now - found  # does the calendar reach that far back?
            return found
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        raise UsageError(f"{when!r} is neither a span nor a date", hint=_HINT) from None


def _read_text(text: str, now: datetime, *, end: bool) -> datetime | timedelta:
    days = {"today": 0, "yesterday": 1}
    if text == "now":
        return now
    if text in days:
        return _day(now.date() - timedelta(days=days[text]), end=end)
    if text[-1:] in _UNITS and text[:-1].isdecimal():
        return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    if months := re.fullmatch(r"([0-9]+)(mo|y)", text):
        return _months_before(now, int(months[1]) * _MONTHS[months[2]])
    if re.fullmatch(r"[0-9]{4}", text):
        return datetime(int(text) + end, 1, 1, tzinfo=UTC)
    if month := re.fullmatch(r"([0-9]{4})-([0-9]{2})", text):
        first = datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC)
        return (first + timedelta(days=31)).replace(day=1) if end else first
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return _day(date.fromisoformat(text), end=end)
    return datetime.fromisoformat(text)


def _read_value(when: Any) -> datetime | timedelta:
    # pandas' times are Python's; numpy's are known by their kind, without importing numpy
    if getattr(getattr(when, "dtype", None), "kind", "") in ("M", "m"):
        when = when.astype(f"{'datetime' if when.dtype.kind == 'M' else 'timedelta'}64[us]").item()
    if isinstance(when, datetime | timedelta) and when == when:  # noqa: PLR0124  # NaT is not equal to itself
        return when
    raise TypeError


def _day(day: date, *, end: bool) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=end)


def _months_before(now: datetime, months: int) -> datetime:
    """The same day and time some months earlier, or the last day of that month; pure."""
    place = now.year * 12 + now.month - 1 - months
    first = now.replace(year=place // 12, month=place % 12 + 1, day=1)
    last = ((first + timedelta(days=31)).replace(day=1) - timedelta(days=1)).day
    return first.replace(day=min(now.day, last))
