"""`--since`: spans and ISO dates, and an error in words for everything else."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migrollback_nb import UsageError
from migrollback_nb.core.times import parse_since


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("7d", timedelta(days=7)),
        ("36h", timedelta(hours=36)),
        ("90m", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
        ("0d", timedelta(0)),
        ("2025-01-20", datetime(2025, 1, 20)),  # noqa: DTZ001  # read as UTC where it is used
        ("2025-01-20T14:30+01:00", datetime(2025, 1, 20, 14, 30, tzinfo=timezone(timedelta(hours=1)))),
        ("2025-01-20T14:30Z", datetime(2025, 1, 20, 14, 30, tzinfo=UTC)),
    ],
)
def test_what_is_understood(text, since):
    assert parse_since(text) == since


@pytest.mark.parametrize("text", ["", "d", "7", "7 days", "-7d", "yesterday", "2025-13-01", "7D", "1.5d"])
def test_what_is_not(text):
    with pytest.raises(UsageError) as caught:
        parse_since(text)
    assert "7d" in caught.value.hint


@given(st.text())
@example("²d")
@example("9999999999999d")
def test_any_text_is_a_time_or_wrong_usage(text):
    try:
        since = parse_since(text)
    except UsageError:
        return
    assert isinstance(since, datetime | timedelta)
