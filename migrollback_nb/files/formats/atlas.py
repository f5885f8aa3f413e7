"""A folder with atlas.sum -> its migrations in Atlas' order, and what is not as atlas.sum has it. Reads only."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.layout import Found, Layout
from migrollback_nb.files.formats.program import ROLLBACK
from migrollback_nb.files.not_read import Refusal
from migrollback_nb.files.text import read_text

SUM = "atlas.sum"
_HINT = "Look at what was changed; then atlas migrate hash writes atlas.sum again. Until then Atlas applies nothing."
_IGNORED = re.compile(rb"[ -~]*atlas:sum +ignore\b")
_CHECKPOINT = re.compile(rb"(?m)^-- atlas:checkpoint\b")
#: Ends of lines; None: as they are.
_ENDS = (None, b"\n", b"\r\n")
_LINE = re.compile(r"(\S.*?) *h1:(\S+)")


def is_own_format(files: Sequence[str]) -> bool:
    """Whether files beside atlas.sum are named as Atlas itself names them; else another tool reads them too. Pure."""
    return not any(name.endswith(".up.sql") or name[:1] in "VU" for name in files)


def read(folder: Path, files: Sequence[str], rollbacks: Path) -> Layout:
    """The migrations of a folder in Atlas' own format, in the order of their names. Reads only.

    Parameters
    ----------
    folder : Path
        The folder.
    files : sequence of str
        Names of the files ``*.sql`` in it.
    rollbacks : Path
        Where the SQL lies that undoes them: another folder, for Atlas runs every file of this one.
    """
    apart = rollbacks != folder.absolute()
    beside = {entry.name for entry in rollbacks.iterdir()} if apart and rollbacks.is_dir() else set()
    found: dict[str, Found] = {}
    strays: dict[str, Refusal] = {}
    checkpoints = []
    for file in sorted(files):
        name = file.removesuffix(".sql")
        if name.endswith((".rollback", ".down")):
            problem = "would be run by Atlas as a migration of its own"
            hint = "Put it into the folder that --rollbacks names, or into a block of the migration, commented out."
            strays[file] = Refusal(problem=problem, hint=hint)
        elif _CHECKPOINT.search((folder / file).read_bytes()[:2000]):
            checkpoints.append(file)
        else:
            found[name] = Found(
                path=file,
                rollback=str(rollbacks / f"{name}{ROLLBACK}") if apart else None,
                has_rollback=f"{name}{ROLLBACK}" in beside,
                tool="Atlas",
                place=len(found) + 1,
                version=name.partition("_")[0],
            )
    remarks = [f"{first_few(checkpoints)} is left out: a checkpoint of Atlas stands for what is before it"]
    made = Layout(migrations=found, strays=strays, remarks=tuple(remarks) if checkpoints else ())
    return checked(made, folder, files)


def checked(found: Layout, folder: Path, files: Iterable[str]) -> Layout:
    """The same, with what is not as atlas.sum has it refused. Reads only."""
    wrong, others_ends = _wrong(folder, sorted(files))
    if others_ends:
        remark = f"{SUM} was made where lines end otherwise: there Atlas applies these files, and here it would not"
        found = replace(found, remarks=(*found.remarks, remark))
    if not wrong:
        return found
    migrations = {
        name: replace(one, refused=wrong.pop(one.path)) if one.path in wrong else one
        for name, one in found.migrations.items()
    }
    return replace(found, migrations=migrations, strays={**found.strays, **wrong})


def _wrong(folder: Path, files: Sequence[str]) -> tuple[dict[str, Refusal], bool]:
    """(Path -> why it is not as atlas.sum has it, whether it was made with other ends of lines).

    Of the files behind one that was edited nothing can be said.
    """
    try:
        first, *lines = read_text(folder / SUM).strip("\n").split("\n")
    except MigrationFileError as error:
        return {SUM: Refusal(problem=error.problem, hint=_HINT)}, False
    said: dict[str, str] = {}
    for number, line in enumerate(lines, 2):
        if (it := _LINE.fullmatch(line.strip())) is None:
            return {SUM: Refusal(problem="is not understood", line=number, hint=_HINT)}, False
        said[it[1]] = it[2]
    if first.strip() != f"h1:{_total(said)}":
        problem = "has another sum in its first line than the lines below give"
        return {SUM: Refusal(problem=problem, line=1, hint=_HINT)}, False
    # of golang-migrate's files those that do are counted
    pairs = any(name.endswith(".up.sql") for name in files) and all(name.endswith(".up.sql") for name in said)
    counted = [name for name in files if name.endswith(".up.sql") or not pairs]
    for ends in _ENDS:  # git may have changed them since
        found = _hashes(folder, counted, ends)
        if next(iter(found.items()), None) == next(iter(said.items()), None):
            return _differences(said, found), ends is not None
    return _differences(said, _hashes(folder, counted, None)), False


def _differences(said: Mapping[str, str], found: Mapping[str, str]) -> dict[str, Refusal]:
    problem = f"is not named in {SUM}"
    wrong = {name: Refusal(problem=problem, hint=_HINT, always=True) for name in found if name not in said}
    if removed := [name for name in said if name not in found]:
        wrong[SUM] = Refusal(problem=f"names {first_few(removed)}, which is not here", hint=_HINT)
    for (name, sum_), (other, here) in zip(said.items(), found.items(), strict=False):
        if name != other:  # each sum is over all the files before it
            break
        if sum_ != here:
            problem = f"is not as {SUM} has it: it was edited since"
            wrong[name] = Refusal(problem=problem, hint=_HINT, always=True)
            break
    return wrong


def _hashes(folder: Path, files: Iterable[str], ends: bytes | None) -> dict[str, str]:
    """Name -> SHA-256 (base64) over names and contents of the files up to it, as Atlas makes it."""
    running = hashlib.sha256()
    found = {}
    for name in files:
        data = (folder / name).read_bytes()
        data = data if ends is None else data.replace(b"\r\n", b"\n").replace(b"\n", ends)
        running.update(name.encode())
        if _IGNORED.match(data) is None:
            running.update(data)
            found[name] = base64.b64encode(running.digest()).decode()
    return found


def _total(said: Mapping[str, str]) -> str:
    return base64.b64encode(
        hashlib.sha256("".join(f"{name}{sum_}" for name, sum_ in said.items()).encode()).digest()
    ).decode()
