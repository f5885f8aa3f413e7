"""Reads spans of time and dates as people write them: ``7d``, ``36h``, ``2025-01-20``. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from migrollback_nb.core.errors import UsageError

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}


def parse_since(text: str) -> datetime | timedelta:
    """Read a span (``7d``, ``36h``, ``90m``, ``2w``) or an ISO date or time; pure.

    Raises
    ------
    UsageError
        When it is neither, or longer ago than a calendar reaches.
    """
    try:
        if text[-1:] in _UNITS and text[:-1].isdecimal():
            span = timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
            datetime.now(UTC) - span  # does the calendar reach that far back?
            return span
        moment = datetime.fromisoformat(text)
        (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is neither a span nor a date",
            hint="Write 7d, 36h, 90m, 2w, 2025-01-20 or 2025-01-20T14:30+01:00.",
        ) from None
    return moment
