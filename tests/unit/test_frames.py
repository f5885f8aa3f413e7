"""Columns and dtypes are fixed, also with no rows; times are aware; one name has one meaning in all frames."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from migrollback_nb.core.frames import columns
from migrollback_nb.core.frames.build import dtype_of, frame_of

MOMENT = datetime(2025, 1, 20, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
VALUES = {
    columns.TEXT: "text",
    columns.TIME: MOMENT,
    columns.SPAN: timedelta(days=1),
    columns.MS: 1.5,
    columns.COUNT: 7,
    columns.COUNT_IF_KNOWN: 7,
    columns.FLAG: True,
    columns.FLAG_IF_KNOWN: True,
    columns.OBJECT: ["a", "b"],
}
DTYPES = {
    columns.TEXT: "str",
    columns.SET: "category",
    columns.TIME: "datetime64[us, UTC]",
    columns.SPAN: "timedelta64[us]",
    columns.MS: "float64",
    columns.COUNT: "int64",
    columns.COUNT_IF_KNOWN: "Int64",
    columns.FLAG: "bool",
    columns.FLAG_IF_KNOWN: "boolean",
    columns.OBJECT: "object",
}
ALWAYS = (columns.COUNT, columns.FLAG)
every_frame = pytest.mark.parametrize("kind", columns.FRAMES)


def rows(kind, count, *, empty=False):
    return [
        {
            name: None
            if empty and column.kind not in ALWAYS
            else VALUES.get(column.kind, (column.words or (None,))[-1])
            for name, column in columns.columns_of(kind).items()
        }
        | {"besides": 1}
        for _ in range(count)
    ]


@every_frame
@pytest.mark.parametrize("count", [0, 1, 3])
def test_columns_and_dtypes_are_fixed(kind, count):
    frame = frame_of(kind, rows(kind, count))
    wanted = columns.columns_of(kind)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        name: DTYPES[column.kind] for name, column in wanted.items()
    }
    for name, column in wanted.items():
        assert frame[name].dtype == dtype_of(column)
    assert list(frame.columns) == list(wanted)
    assert len(frame) == count
    assert isinstance(frame.index, pd.RangeIndex)


@every_frame
def test_missing_values_change_no_dtype(kind):
    frame = frame_of(kind, rows(kind, 2, empty=True))
    assert frame.dtypes.equals(frame_of(kind, rows(kind, 2)).dtypes)
    for name, column in columns.columns_of(kind).items():
        assert frame[name].isna().all() == (column.kind not in ALWAYS)


@every_frame
def test_frames_of_some_and_of_no_rows_can_be_joined(kind):
    some, none = frame_of(kind, rows(kind, 2)), frame_of(kind, [])
    assert pd.concat([some, none]).dtypes.equals(some.dtypes)


def test_times_are_the_same_moment_in_utc_to_the_microsecond():
    (moment,) = frame_of("history", rows("history", 1))["applied_at"]
    assert moment.tzinfo is not None
    assert moment.utcoffset() == timedelta(0)
    assert moment.to_pydatetime() == MOMENT.astimezone(UTC)


def test_lists_become_tuples_so_that_rows_can_be_compared():
    (names,) = frame_of("list", rows("list", 1))["dependent_migrations"]
    assert names == ("a", "b")


def test_details_stay_a_dict_and_ids_become_text():
    row = rows("events", 1)[0] | {"details": {"a": [1]}, "attempt_id": UUID(int=1)}
    frame = frame_of("events", [row])
    assert frame["details"][0] == {"a": [1]}
    assert frame["attempt_id"][0] == str(UUID(int=1))


def test_rows_may_come_from_a_generator():
    assert len(frame_of("history", (row for row in rows("history", 3)))) == 3


def test_missing_text_is_nan_so_that_plain_python_and_numpy_work():
    frame = frame_of("dependencies", rows("dependencies", 2, empty=True))
    assert list(np.where(frame["because"] == "x", 1, 0)) == [0, 0]
    assert [one if isinstance(one, str) else "" for one in frame["because"]] == ["", ""]
    assert [bool(one or "") for one in frame["because"]] == [True, True]  # NaN: no error
    frame = frame_of("history", rows("history", 3))
    assert (frame["status"] == "failed").cumsum().tolist() == [1, 2, 3]
    assert (frame["rollback_by"] == "text").cumsum().tolist() == [1, 2, 3]


def test_closed_sets_have_all_their_values_and_their_order():
    frame = frame_of("history", rows("history", 1))
    assert frame["status"].value_counts().to_dict() == {"applied": 0, "rolled_back": 0, "failed": 1}


def test_a_value_that_no_one_knew_of_is_not_lost():
    frame = frame_of("history", [rows("history", 1)[0] | {"status": "moved"}])
    assert frame["status"].tolist() == ["moved"]
    assert list(frame["status"].cat.categories) == ["applied", "rolled_back", "failed", "moved"]


def test_every_column_is_of_a_frame_and_says_what_it_means():
    assert {name for names in columns.FRAMES.values() for name in names} >= set(columns.COLUMNS)
    assert {name for frame, name in columns.EXCEPTIONS if name in columns.FRAMES[frame]} == {
        name for _, name in columns.EXCEPTIONS
    }
    for name, column in columns.COLUMNS.items():
        assert column.meaning, name
        assert (column.kind == columns.TIME) == name.endswith("_at"), name
        assert (column.kind == columns.MS) == name.endswith("_ms"), name
        assert bool(column.words) == (column.kind == columns.SET), name


@pytest.mark.parametrize("without", [(), ("pyarrow",)], ids=["with pyarrow", "without pyarrow"])
def test_text_behaves_the_same_whatever_else_is_installed(without):
    # in a process of its own: pandas looks once which libraries there are
    program = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None
import numpy as np
from migrollback_nb.core.frames.build import frame_of
from migrollback_nb.core.frames import columns
kinds = {name: column.kind for name, column in columns.columns_of("history").items()}
filler = {columns.COUNT: 1, columns.FLAG: True}
def a_row(name, by):
    return {key: filler.get(kind) for key, kind in kinds.items()} | {"migration_name": name, "rollback_by": by}
frame = frame_of("history", [a_row("1_a", "ann"), a_row("2_b", None), a_row("3_c", "bob")])
by = frame["rollback_by"]
print(by.dtype, (by == "ann").cumsum().tolist(), np.where(by == "ann", 1, 0).tolist(),
      [value or "" for value in by.fillna("")], by.isna().tolist(), by.str.upper().tolist()[::2],
      frame["status"].dtype.name, frame["migration_name"].max())
"""
    done = subprocess.run([sys.executable, "-c", program, *without], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == (
        "str [1, 1, 1] [1, 0, 0] ['ann', '', 'bob'] [False, True, False] ['ANN', 'BOB'] category 3_c"
    )
