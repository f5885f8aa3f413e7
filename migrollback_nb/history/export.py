"""The frames of one database as a folder of Parquet files. Does not write to the database."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results import to_json

if TYPE_CHECKING:
    import pandas as pd


def export(frames: Iterable[tuple[str, Callable[[], pd.DataFrame]]], folder: Path | str) -> tuple[Path, ...]:
    """Write each frame as a Parquet file of its name. Writes files, over none that is there.

    Raises
    ------
    UsageError
        Without pyarrow, or when one of the files is there already.
    """
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        raise UsageError("Parquet needs pyarrow", hint="pip install 'migrollback-nb[arrow]'") from None
    target = Path(folder)
    wanted = [(target / f"{name}.parquet", frame) for name, frame in frames]
    there = [path for path, _ in wanted if path.exists()]
    if there:
        raise UsageError(f"{there[0]} exists already", hint="Name another folder: an export is never overwritten.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path, frame in wanted:
            as_stored(frame()).to_parquet(path, index=False)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}", hint="Name another folder.") from error
    return tuple(path for path, _ in wanted)


def as_stored(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame as a file can hold it: dicts as JSON in bytes, for Parquet knows no values of changing form; pure."""
    stored = frame.copy()
    for name, dtype in frame.dtypes.items():
        if dtype.kind == "O" and str(dtype) == "object":
            stored[name] = frame[name].map(_packed)
    return stored


def _packed(value: Any) -> bytes | None:
    return None if value is None else to_json(value).encode()
