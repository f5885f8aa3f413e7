"""Times as people write them and as they are shown: one form for people, one for programs, both in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from migrollback_nb.core.errors import UsageError

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}


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
