"""Migrations of Django -> their SQL, as `manage.py sqlmigrate` prints it. Runs Django, on a scratch database."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files as resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from migrollback_nb.core.errors import UsageError
from migrollback_nb.parsing.statements import SqlText
from migrollback_nb.replay import tool_runs
from migrollback_nb.replay.rendered import NOTHING, Rendered
from migrollback_nb.replay.scratch import scratch

if TYPE_CHECKING:
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.files.formats.program import ProgramFile

_LONGEST = 3600.0
_TRANSACTION = re.compile(r"(?:BEGIN|COMMIT)\b", re.IGNORECASE)
_NAMES = {"dbname": "NAME", "host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}


def render_apps(
    folder: MigrationFolder,
    files: Sequence[ProgramFile],
    command: Sequence[str],
    on: str | None,
    progress: Progress | None,
) -> tuple[Mapping[str, Rendered], str]:
    """(What sqlmigrate prints for each migration in both directions, what installed apps run before). Runs Django.

    It writes on the scratch database alone.
    """
    root = tool_runs.root_of(folder.path, "manage.py")
    here = find_spec("django") is not None  # the environment of the user may be this one, or the one of the shell
    words = tuple(command) or (sys.executable if here else tool_runs.found("python"), "manage.py")
    driver = resources("migrollback_nb.replay").joinpath("django_driver.txt").read_text(encoding="utf-8")
    with scratch(on=on) as place, tempfile.TemporaryDirectory() as work:
        out = Path(work) / "rendered"
        known: dict[str, Any] = conninfo_to_dict(place.dsn)
        database = {django: str(known.get(libpq) or "") for libpq, django in _NAMES.items()}
        asked = json.dumps({"database": database, "out": str(out)})
        run = tool_runs.run(
            [*words, "shell", "-c", driver], cwd=root, environment={"RENDER_ON_SCRATCH": asked}, timeout=_LONGEST
        )
        if not out.exists():
            raise UsageError(
                f"{' '.join(words)} shell fails: {run.trouble}",
                hint=f"It runs in {root}, with the settings that it has there. Say how it is called after --.",
            )
        rows = {f"{row['app']}.{row['name']}": row for row in map(json.loads, out.read_text().splitlines())}
    made = {}
    for number, file in enumerate(files, 1):
        made[file.name] = _rendered(file, rows.get(file.name), next(reversed(rows), None))
        if progress is not None:
            progress(number, len(files), file.name)
    return made, _installed_apps(rows, {file.name for file in files})


def _installed_apps(rows: Mapping[str, Mapping[str, Any]], own: set[str]) -> str:
    """The SQL of what is not the project's and comes after nothing of the project; pure."""
    after_own = set(own)
    kept = []
    for name, row in rows.items():  # each after what it comes after
        if name in own:
            continue
        if after_own.intersection(row["after"]):
            after_own.add(name)
        elif row["up"] is not None and (text := _plain(row["up"])):
            kept.append(f"-- {name}\n{text}\n")
    return "\n".join(kept)


def _rendered(file: ProgramFile, row: Mapping[str, Any] | None, last: str | None) -> Rendered:
    app, _, name = file.name.partition(".")
    by = f"Rendered by manage.py sqlmigrate {app} {name}, and the same with --backwards"
    if row is None:
        return Rendered(reason=f"{last or 'what comes before it'} could not be applied on the scratch database", by=by)
    remarks = []
    python = file.program.not_rendered or "RunPython"
    if row["python"]:
        remarks.append(f"{python}: what it does to rows is in no SQL")
    if row["up_trouble"]:
        remarks.append(f"it cannot be applied on the scratch database: {row['up_trouble']}")
    reason = (
        row.get("down_trouble")
        or (f"{python} is to be undone by Python" if row["python_back"] else None)
        or (row["up_trouble"] and f"it cannot be applied on the scratch database: {row['up_trouble']}")
    )
    down = _plain(row["down"]) if row.get("down") is not None else None
    up = None if row["up"] is None else _plain(row["up"])
    if reason is None and not down:
        if not up and not row["python"]:
            down = NOTHING
        elif not up:
            reason = f"{python} is all that it does, and nothing undoes that"
        else:
            reason = "nothing that sqlmigrate writes undoes it"
    return Rendered(
        up=up,
        rollback=None if reason else down,
        reason=tool_runs.reason(reason) if reason else None,
        by=by,
        remarks=tuple(remarks),
    )


def _plain(text: str) -> str:
    """The statements, without BEGIN and COMMIT; empty where there are only comments."""
    sql = SqlText(text)
    if sql.problem is not None:  # who reads the file hears of it
        return text
    kept = [one.text.strip() for one in sql.statements if not _TRANSACTION.match(one.text.strip())]
    return "\n".join(f"{one};" for one in kept)
