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
_NAMED = re.compile(r"[^\s'\"`/]+\.sql\b")
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
    run: set[str | None] = set()  # files of SQL that a program runs
    for file, name in ((file, it[1]) for file in here if (it := _PROGRAM.fullmatch(file))):
        try:
            up, down = _runs(read_text(folder / programs / file))
        except MigrationFileError as error:
            strays[f"{programs}{file}"] = Refusal(problem=error.problem, line=error.line, hint=error.hint or "")
            continue
        common: dict[str, Any] = {"tool": "db-migrate", "place": len(found) + 1, "version": name[:14]}
        run.update((up, down))
        if up is not None and up not in sql:
            hint = f"Put it there, or take {file} away."
            strays[f"{programs}{file}"] = Refusal(problem=f"runs {SQLS}/{up}, which is not there", hint=hint)
        elif up is not None:
            found[name] = Found(
                path=f"{sqls}{up}",
                rollback=f"{sqls}{down}" if down is not None else str(rollbacks / f"{name}{ROLLBACK}"),
                has_rollback=(f"{name}{ROLLBACK}" in beside) if down is None else down in sql,
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
    left = {it[1] for file in sql - run if (it := _SQL.fullmatch(file))} - with_program
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


def _runs(text: str) -> tuple[str | None, str | None]:
    """The file that a program does nothing but run, and the one that undoes; None for what it does not run so."""
    code = re.sub(r"/\*.*?\*/|(?m:^[ \t]*(?://|#)[^\n]*$)", "", text, flags=re.DOTALL)
    _, *parts = re.split(r"\bexports\.(\w+)\s*=", code)
    ways = dict(zip(parts[::2], parts[1::2], strict=True))
    files = {way: _NAMED.findall(ways.get(way, "")) for way in ("up", "down")}
    here = [*files["up"], *files["down"]]
    calls, does, undoes = (len(_CALL.findall(part)) for part in (code, ways.get("up", ""), ways.get("down", "")))
    # one call for each, or one that both use
    shared = (calls, does, undoes) == (1, 0, 0)
    each = (does, undoes) == (1, len(files["down"])) and calls == does + undoes
    only = calls == len(_RUNS_FILE.findall(code)) and sorted(_NAMED.findall(code)) == sorted(here)
    if not only or not (shared or each) or len(files["up"]) != 1 or len(files["down"]) > 1:
        return None, None
    return here[0], here[1] if len(here) > 1 else None


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
