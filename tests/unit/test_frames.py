"""Columns and dtypes are fixed, also with no rows; times are aware."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pandas as pd
import pytest

from migrollback_nb.core import frames

KINDS = {
    "rollbackable": frames.ROLLBACKABLE,
    "history": frames.HISTORY,
    "dependencies": frames.DEPENDENCIES,
    "deploys": frames.DEPLOYS,
    "events": frames.EVENTS,
}
MOMENT = datetime(2025, 1, 20, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
VALUES = {"string": "text", "datetime64[us, UTC]": MOMENT, "bool": True, "int64": 7, "object": ["a", "b"]}


def rows(columns, count, *, empty=False):
    return [
        {name: None if empty and kind not in ("bool", "int64") else VALUES[kind] for name, kind in columns.items()}
        | {"besides": 1}
        for _ in range(count)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_columns_and_dtypes_are_fixed(kind, count):
    frame = getattr(frames, kind)(rows(KINDS[kind], count))
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == KINDS[kind]
    assert list(frame.columns) == list(KINDS[kind])
    assert len(frame) == count


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_change_no_dtype(kind):
    frame = getattr(frames, kind)(rows(KINDS[kind], 2, empty=True))
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == KINDS[kind]
    for name, dtype in KINDS[kind].items():
        if dtype in ("string", "datetime64[us, UTC]"):
            assert frame[name].isna().all()


def test_frames_of_some_and_of_no_rows_can_be_joined():
    some, none = frames.history(rows(frames.HISTORY, 2)), frames.history([])
    assert pd.concat([some, none]).dtypes.equals(some.dtypes)


def test_times_are_the_same_moment_in_utc_to_the_microsecond():
    (moment,) = frames.history(rows(frames.HISTORY, 1))["applied_at"]
    assert moment.tzinfo is not None
    assert moment.utcoffset() == timedelta(0)
    assert moment.to_pydatetime() == MOMENT.astimezone(UTC)


def test_lists_become_tuples_so_that_rows_can_be_compared():
    (names,) = frames.rollbackable(rows(frames.ROLLBACKABLE, 1))["dependent_migrations"]
    assert names == ("a", "b")


def test_details_stay_a_dict_and_ids_become_text():
    row = rows(frames.EVENTS, 1)[0] | {"details": {"a": [1]}, "attempt_id": UUID(int=1)}
    frame = frames.events([row])
    assert frame["details"][0] == {"a": [1]}
    assert frame["attempt_id"][0] == str(UUID(int=1))


def test_rows_may_come_from_a_generator():
    assert len(frames.history(row for row in rows(frames.HISTORY, 3))) == 3


def happened(*events):
    return [
        {
            "event_number": number,
            "occurred_at": MOMENT + timedelta(hours=number),
            "event": event,
            "migration_name": name,
            "attempt_id": attempt,
            "database_user": "dba",
            "client": None,
            "reason": None,
            "details": details,
        }
        for number, (event, name, attempt, details) in enumerate(events)
    ]


def test_attempts_are_a_start_and_how_it_ended():
    events = happened(
        ("applied", "a", "x1", {}),
        ("registered", "a", None, {"what": "updated"}),
        ("started", "a", "x2", {}),
        ("failed", "a", "x2", {"sqlstate": "42P01"}),
        ("refused", "a", "x3", {"message": "no"}),
        ("started", "a", "x4", {}),
        ("rolled_back", "a", "x4", {"duration_ms": 1.5}),
        ("applied", "a", "x5", {}),
        ("started", "a", "x6", {}),
    )
    frame = frames.attempts(events)
    assert list(frame["outcome"]) == ["failed", "refused", "rolled_back", "unknown"]
    assert list(frame["attempt_id"]) == ["x2", "x3", "x4", "x6"]
    assert frame["in_place"][2] == timedelta(hours=6)  # from the first apply on: registering it anew changed nothing
    assert frame["in_place"].isna().tolist() == [True, True, False, True]
    assert frame["sqlstate"][0] == "42P01"
    assert frame["duration_ms"][2] == 1.5
    assert (frame["ended_at"] - frame["started_at"])[2] == timedelta(hours=1)


def test_the_migrations_of_a_chain_are_attempts_of_their_own():
    events = happened(
        ("applied", "a", None, {}),
        ("started", "b", "x", {}),
        ("started", "a", "x", {}),
        ("rolled_back", "b", "x", {}),
        ("rolled_back", "a", "x", {}),
    )
    frame = frames.attempts(events)
    assert list(frame["migration_name"]) == ["b", "a"]
    assert set(frame["outcome"]) == {"rolled_back"}
    assert frame["in_place"].isna().tolist() == [True, False]


def test_no_attempts_keep_their_columns_and_dtypes():
    assert frames.attempts([]).dtypes.astype(str).to_dict() == {
        name: str(pd.Series([], dtype=dtype).dtype) for name, dtype in frames.ATTEMPTS.items()
    }
