"""A folder of db-migrate -> its migrations: SQL in sqls/ where its program does no more than run that. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.layout import Found, Layout
from migrollback_nb.files.formats.program import ROLLBACK, Program, how_to_get_sql
from migrollback_nb.files.not_read import Refusal
from migrollback_nb.files.text import read_text

SQLS = "sqls"
_PROGRAM = re.compile(r"([0-9]{14}-[^.]+)\.(?:js|ts|coffee)")
_SQL = re.compile(r"([0-9]{14}-.+)-(?:up|down)\.sql")
#: What a program does with the database that it is given.
_CALL = re.compile(r"\bdb\s*(?:\.\s*(\w+)|\[)")
_RUNS_FILE = re.compile(r"\bdb\s*\.\s*runSql\s*\(?\s*(?:data|sql|content|contents)\b\s*[,)]|\bdb\.runSql data\b")


def place(folder: Path, names: Iterable[str]) -> tuple[str, str] | None:
    """(Where its programs lie, where its SQL does), relative to a folder; None where it is none. Reads only."""
    if any(map(_SQL.fullmatch, _names_in(folder / SQLS))):
        return "", f"{SQLS}/"
    if folder.absolute().name == SQLS and any(map(_SQL.fullmatch, names)):
        return "../", ""
    return None


def read(folder: Path, programs: str, sqls: str, rollbacks: Path) -> Layout:
    """Its migrations, in the order of their names. Reads only.

    Parameters
    ----------
    folder : Path
        The folder.
    programs, sqls : str
        What `place` found.
    rollbacks : Path
        Where the SQL lies that undoes those that are programs.
    """
    here, sql = sorted(_names_in(folder / programs)), set(_names_in(folder / sqls))
    beside = set(_names_in(rollbacks))
    found: dict[str, Found] = {}
    strays: dict[str, Refusal] = {}
    alone = []
    for file, name in ((file, it[1]) for file in here if (it := _PROGRAM.fullmatch(file))):
        up, down = f"{name}-up.sql", f"{name}-down.sql"
        try:
            runs_up, runs_down = _runs(read_text(folder / programs / file), name)
        except MigrationFileError as error:
            strays[f"{programs}{file}"] = Refusal(problem=error.problem, line=error.line, hint=error.hint or "")
            continue
        common: dict[str, Any] = {"tool": "db-migrate", "place": len(found) + 1, "version": name[:14]}
        if runs_up and up not in sql:
            hint = f"Put it there, or take {file} away."
            strays[f"{programs}{file}"] = Refusal(problem=f"runs {SQLS}/{up}, which is not there", hint=hint)
        elif runs_up:
            found[name] = Found(
                path=f"{sqls}{up}",
                rollback=f"{sqls}{down}" if runs_down else str(rollbacks / f"{name}{ROLLBACK}"),
                has_rollback=down in sql if runs_down else f"{name}{ROLLBACK}" in beside,
                **common,
            )
        else:
            alone += [] if f"{name}{ROLLBACK}" in beside else [name]
            found[name] = Found(
                path=f"{programs}{file}",
                rollback=str(rollbacks / f"{name}{ROLLBACK}"),
                has_rollback=f"{name}{ROLLBACK}" in beside,
                program=Program(apply_with="db-migrate up"),
                **common,
            )
    with_program = {it[1] for file in here if (it := _PROGRAM.fullmatch(file))}
    left = {it[1] for file in sql if (it := _SQL.fullmatch(file))} - with_program
    remarks = _remarks(len(found), alone, sorted(left))
    return Layout(migrations=dict(sorted(found.items())), strays=strays, remarks=tuple(remarks))


def _remarks(count: int, alone: list[str], left: list[str]) -> list[str]:
    remarks = []
    if alone:
        remarks.append(
            f"{len(alone)} of {count} migrations are programs of db-migrate that do more than run a file of SQL,"
            f" without SQL that undoes them: {first_few(alone)}. {how_to_get_sql('db-migrate')}"
        )
    if left:
        remarks.append(f"{first_few(left)} in {SQLS}/ is left out: no program runs it")
    return remarks


def _runs(text: str, name: str) -> tuple[bool, bool]:
    """Whether a program does nothing but run the file that does, and whether one that undoes."""
    code = re.sub(r"/\*.*?\*/|(?m:^[ \t]*(?://|#)[^\n]*$)", "", text, flags=re.DOTALL)
    calls = [it[1] for it in _CALL.finditer(code)]
    runs = len(_RUNS_FILE.findall(code))
    files = [f"{name}-{way}.sql" in code for way in ("up", "down")]
    if not files[0] or set(calls) != {"runSql"} or len(calls) != runs or runs != sum(files):
        return False, False
    return True, files[1]


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
