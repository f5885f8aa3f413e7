"""`--since` and `--until`: spans and ISO dates, and an error in words for everything else."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migrollback_nb import UsageError
from migrollback_nb.core.times import read_time


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("7d", timedelta(days=7)),
        ("36h", timedelta(hours=36)),
        ("90m", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
        ("0d", timedelta(0)),
        ("2025-01-20", datetime(2025, 1, 20, tzinfo=UTC)),
        ("2025-01-20T14:30", datetime(2025, 1, 20, 14, 30, tzinfo=UTC)),
        ("2025-01-20T14:30+01:00", datetime(2025, 1, 20, 14, 30, tzinfo=timezone(timedelta(hours=1)))),
        ("2025-01-20T14:30Z", datetime(2025, 1, 20, 14, 30, tzinfo=UTC)),
    ],
)
def test_what_is_understood(text, since):
    assert read_time(text) == since


@pytest.mark.parametrize(
    "text", ["", "d", "7", "7 days", "-7d", "yesterday-ish", "2025-13-01", "2025-13", "0000", "7D", "1.5d", "mo"]
)
def test_what_is_not(text):
    with pytest.raises(UsageError) as caught:
        read_time(text)
    assert "7d" in caught.value.hint


@given(st.text())
@example("²d")
@example("9999999999999d")
def test_any_text_is_a_time_or_wrong_usage(text):
    try:
        since = read_time(text)
    except UsageError:
        return
    assert isinstance(since, datetime | timedelta)


NOW = datetime(2026, 3, 31, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "since", "until"),
    [
        ("now", NOW, NOW),
        ("today", datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
        ("yesterday", datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)),
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("2024", datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        (date(2024, 2, 29), datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        ("1mo", datetime(2026, 2, 28, 12, 30, tzinfo=UTC), datetime(2026, 2, 28, 12, 30, tzinfo=UTC)),
        ("3mo", datetime(2025, 12, 31, 12, 30, tzinfo=UTC), datetime(2025, 12, 31, 12, 30, tzinfo=UTC)),
        ("2y", datetime(2024, 3, 31, 12, 30, tzinfo=UTC), datetime(2024, 3, 31, 12, 30, tzinfo=UTC)),
        (np.datetime64("2025-01-20T14:30"), datetime(2025, 1, 20, 14, 30, tzinfo=UTC), None),
        (np.datetime64("2025-01-20"), datetime(2025, 1, 20, tzinfo=UTC), None),
        (np.timedelta64(7, "D"), timedelta(days=7), None),
        (pd.Timestamp("2025-01-20", tz="Asia/Kathmandu"), datetime(2025, 1, 19, 18, 15, tzinfo=UTC), None),
        (pd.Timedelta(days=7), timedelta(days=7), None),
        (datetime(2025, 1, 20, 14, 30), datetime(2025, 1, 20, 14, 30, tzinfo=UTC), None),  # noqa: DTZ001
    ],
)
def test_since_is_where_it_begins_and_until_where_it_ends(when, since, until):
    assert read_time(when, now=NOW) == since
    assert read_time(when, end=True, now=NOW) == (until or since)


@pytest.mark.parametrize("when", [pd.NaT, np.datetime64("NaT"), 7, None, ["7d"], np.int64(7), "99999y"])
def test_what_is_no_time_is_wrong_usage(when):
    with pytest.raises(UsageError, match="neither a span nor a date"):
        read_time(when)
