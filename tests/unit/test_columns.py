"""mr.columns explains every column of every frame, in the words of COMMENT ON COLUMN where there are any."""

import pytest

import migrollback_nb as mr
from migrollback_nb.core.frames import columns
from migrollback_nb.core.frames.build import frame_of


@pytest.mark.parametrize("name", columns.FRAMES)
def test_every_column_is_explained(name):
    explained = mr.columns(name)
    assert explained["column"].tolist() == list(columns.FRAMES[name])
    assert explained["meaning"].str.endswith(".").all()
    assert not explained["meaning"].str.startswith("=").any()
    assert explained["dtype"].tolist() == [str(dtype) for dtype in frame_of(name, []).dtypes]


def test_comments_are_those_of_the_tables():
    explained = mr.columns("history").set_index("column")
    assert explained.loc["checksum", "meaning"].startswith("SHA-256 (hex) of the file's text")
    assert mr.columns("attempts").set_index("column").loc["duration_ms", "unit"] == "ms"


def test_what_is_no_frame_is_said_with_what_is_near():
    with pytest.raises(mr.UsageError, match="There is no frame histroy") as caught:
        mr.columns("histroy")
    assert "history" in caught.value.hint
    with pytest.raises(mr.UsageError):
        mr.columns(frame_of("history", []))
