"""A folder whose migrations are programs -> which tool's, their names, order and dependencies. Runs none. Reads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from migrollback_nb.core import ordering
from migrollback_nb.core.errors import DependencyError, MigrationFileError
from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats import revisions
from migrollback_nb.files.formats.layout import Found, Layout
from migrollback_nb.files.formats.program import ROLLBACK, UP, Program, how_to_get_sql
from migrollback_nb.files.not_read import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tool:
    """A tool whose migrations are programs."""

    files: re.Pattern[str]  #: what its files are called
    words: re.Pattern[bytes]  #: what stands in one of them; empty where the name says enough
    apply_with: str  #: the command that applies them


#: Those whose ledgers are kept in step (deploy_tools() in the database), in the order in which they are looked for.
_TOOLS = {
    "Alembic": _Tool(
        files=re.compile(r".+\.py"), words=re.compile(rb"^down_revision\b", re.MULTILINE), apply_with="alembic upgrade"
    ),
    "Django": _Tool(
        files=re.compile(r"[^_~].*\.py"),
        words=re.compile(rb"^class Migration\b.*\bMigration\b", re.MULTILINE),
        apply_with="manage.py migrate",
    ),
    "Rails": _Tool(
        files=re.compile(r"[0-9]+_.+\.rb"),
        words=re.compile(rb"ActiveRecord::Migration"),
        apply_with="rails db:migrate",
    ),
    "TypeORM": _Tool(
        files=re.compile(r".+(?<!\.d)\.(?:ts|js|mjs|cjs)"),
        words=re.compile(rb"MigrationInterface|\bqueryRunner\b"),
        apply_with="typeorm migration:run",
    ),
    "Knex": _Tool(
        files=re.compile(r".+(?<!\.d)\.(?:ts|js|mjs|cjs)"),
        words=re.compile(rb"\bknex\b", re.IGNORECASE),
        apply_with="knex migrate:latest",
    ),
}
#: How many files are looked into before a folder is taken for none of a tool's.
_LOOKED_INTO = 20
_HEAD = 20_000
#: How deep apps are looked for.
_DEPTH = 5


def is_made(name: str) -> bool:
    """Whether a file of this name is the SQL beside a program. Pure."""
    return name.endswith((UP, ROLLBACK))


def read(folder: Path, names: Iterable[str], rollbacks: Path) -> Layout | None:
    """The migrations of a folder of programs; None where it is none of a tool whose ledger is known. Reads only.

    Parameters
    ----------
    folder : Path
        The folder.
    names : iterable of str
        What it holds.
    rollbacks : Path
        Where the SQL that undoes them lies.

    """
    held = sorted(names)
    if "manage.py" in held:
        return _django(folder, _apps(folder), rollbacks)
    if "env.py" in held and "versions" in held:
        return _alembic(folder, [f"versions/{path.name}" for path in (folder / "versions").iterdir()], rollbacks)
    for tool, of in _TOOLS.items():
        fitting = [name for name in held if of.files.fullmatch(name)]
        if any(of.words.search(_head(folder / name)) for name in fitting[:_LOOKED_INTO]):
            if tool == "Alembic":
                return _alembic(folder, fitting, rollbacks)
            if tool == "Django":
                return _django(folder, [folder], rollbacks)
            return _by_name(tool, folder, fitting, rollbacks)
    return None


def is_project(names: Iterable[str]) -> bool:
    """Whether a folder with these names in it is Django's or Alembic's own, whatever SQL lies there besides. Pure."""
    held = set(names)
    return "manage.py" in held or {"env.py", "versions"} <= held


def _apps(project: Path) -> list[Path]:
    """The folders of migrations of a project, without those of what is installed below it. Reads only."""
    found = []
    for place, folders, _ in os.walk(project):
        here = Path(place)
        depth = len(here.relative_to(project).parts)
        installed = {"site-packages", "node_modules", "venv"}
        folders[:] = [one for one in folders if depth < _DEPTH and one not in installed and not one.startswith(".")]
        if "migrations" in folders and depth:
            found.append(here / "migrations")
    return sorted(found)


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():  # reading a pipe would wait for ever
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One program, as far as it was read."""

    path: str  #: relative to the folder
    version: str
    depends_on: tuple[str, ...] = ()
    metadata: Mapping[str, object] | None = None
    not_rendered: str | None = None


def _layout(
    tool: str,
    found: Mapping[str, _Read],
    rollbacks: Path,
    *,
    lineage: Mapping[str, tuple[str, ...]] | None = None,
    remarks: Iterable[str] = (),
    bad: Mapping[str, Refusal] | None = None,
) -> Layout:
    depends_on = {name: [base for base in one.depends_on if base in found] for name, one in found.items()}
    try:
        order = ordering.order(depends_on, like=sorted(found))
    except DependencyError:  # who registers them hears of it
        order = sorted(found)
    place = {name: number for number, name in enumerate(order, 1)}
    beside = _names_in(rollbacks)
    migrations = {
        name: Found(
            path=one.path,
            rollback=str(rollbacks / f"{name}{ROLLBACK}"),
            has_rollback=f"{name}{ROLLBACK}" in beside,
            tool=tool,
            place=place[name],
            version=one.version,
            depends_on=tuple(depends_on[name]),
            program=Program(
                apply_with=_TOOLS[tool].apply_with,
                metadata=one.metadata or {},
                lineage=lineage or {},
                up_path=str(rollbacks / f"{name}{UP}") if f"{name}{UP}" in beside else None,
                not_rendered=one.not_rendered,
            ),
        )
        for name, one in found.items()
    }
    said = [*remarks, *_without_rollback(tool, migrations)]
    return Layout(migrations=dict(sorted(migrations.items())), strays=dict(bad or {}), remarks=tuple(said))


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in folder.iterdir())
    except OSError:
        return frozenset()


def _without_rollback(tool: str, migrations: Mapping[str, Found]) -> Iterator[str]:
    lacking = [name for name, found in migrations.items() if not found.has_rollback]
    if lacking:
        shown = first_few(lacking)
        yield (
            f"{len(lacking)} of {len(migrations)} migrations are programs of {tool} without SQL that undoes them:"
            f" {shown}. {how_to_get_sql(tool)}"
        )
    python = [
        f"{name} ({found.program.not_rendered})"
        for name, found in migrations.items()
        if found.program is not None and found.program.not_rendered and not found.has_rollback
    ]
    if python:
        yield f"What runs Python is in no SQL that {tool} writes: {first_few(python)}"


def _alembic(folder: Path, paths: Iterable[str], rollbacks: Path) -> Layout:
    read = {}
    bad: dict[str, Refusal] = {}
    for path in paths:
        try:
            if path.endswith(".py") and (revision := revisions.revision_of(folder / path)) is not None:
                read[path] = revision
        except MigrationFileError as error:
            bad[path] = _refusal(error)
    lineage = revisions.lineage(read.values())
    named = {revision.version: _stem(path) for path, revision in read.items()}
    found = {
        _stem(path): _Read(
            path=path,
            version=revision.version,
            depends_on=tuple(named[base] for base in lineage[revision.version] if base in named),
            metadata={"parents": list(lineage[revision.version])},
        )
        for path, revision in read.items()
    }
    return _layout("Alembic", found, rollbacks, lineage=lineage, bad=bad)


def _refusal(error: MigrationFileError) -> Refusal:
    return Refusal(problem=error.problem, line=error.line, hint=error.hint or "")


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _django(folder: Path, apps: Iterable[Path], rollbacks: Path) -> Layout:
    read: dict[tuple[str, str], tuple[str, revisions.AppMigration]] = {}
    bad: dict[str, Refusal] = {}
    for app in apps:
        label = _label(app.resolve().parent)
        for path in sorted(app.glob("[!_~]*.py")):
            place = path.relative_to(folder).as_posix()
            try:
                if (migration := revisions.app_migration_of(path)) is not None:
                    read[label, path.stem] = (place, migration)
            except MigrationFileError as error:
                bad[place] = _refusal(error)
    known = {f"{label}.{name}" for label, name in read}
    roots: dict[str, str] = {}
    for (label, name), (_, migration) in sorted(read.items()):
        if not any(other == label for other, _ in migration.needs):
            roots.setdefault(label, f"{label}.{name}")
    later: dict[str, list[str]] = {}
    for (label, name), (_, migration) in read.items():
        for other, after in migration.before:
            later.setdefault(f"{other}.{after}", []).append(f"{label}.{name}")
    found = {}
    for (label, name), (place, migration) in read.items():
        full = f"{label}.{name}"
        needs = [roots.get(a, "") if n == "__first__" else f"{a}.{n}" for a, n in migration.needs]
        found[full] = _Read(
            path=place,
            version=full,
            depends_on=tuple(one for one in dict.fromkeys((*needs, *later.get(full, ()))) if one in known),
            not_rendered=", ".join(migration.python) or None,
        )
    squashed = sorted(f"{label}.{name}" for (label, name), (_, migration) in read.items() if migration.replaces)
    remarks = [
        f"{first_few(squashed)} was squashed from others: Django's ledger holds those, or it, or both, and a rollback"
        " here takes out its own row alone"
    ]
    return _layout("Django", found, rollbacks, remarks=remarks if squashed else (), bad=bad)


_LABEL = re.compile(r"^\s+label\s*=\s*(['\"])(\w+)\1", re.MULTILINE)


def _label(app: Path) -> str:
    """The label of an app: its folder's name, or what its apps.py says. Reads only."""
    said = _LABEL.search(_head(app / "apps.py").decode("utf-8", "replace"))
    return said[2] if said is not None else app.name


def _by_name(tool: str, folder: Path, names: Iterable[str], rollbacks: Path) -> Layout:
    """Tools that go by the names of the files, in their order."""
    version = _VERSIONS[tool]
    found: dict[str, _Read] = {}
    twice = []
    for name in sorted(names, key=lambda name: (_stem(name), not name.endswith("ts"))):
        stem = _stem(name)
        if stem in found:  # compiled from the other
            twice.append(name)
            continue
        found[stem] = _Read(path=name, version=version(stem))
    if tool == "TypeORM":
        found = {
            stem: _Read(path=one.path, version=_typeorm_version(folder / one.path, one.version))
            for stem, one in found.items()
        }
        found = {stem: one for stem, one in found.items() if one.version}
    remarks = [f"{first_few(twice)} is left out: there is a program of the same name in another language"]
    return _layout(tool, found, rollbacks, remarks=remarks if twice else ())


def _digits(stem: str) -> str:
    return stem[: len(stem) - len(stem.lstrip("0123456789"))]


_VERSIONS: dict[str, Callable[[str], str]] = {
    "Rails": _digits,
    "TypeORM": _digits,
    "Knex": lambda stem: stem,
}
_CLASS = re.compile(rb"\bclass\s+\w*?([0-9]{13})\b|\bname\s*=\s*['\"]\w*?([0-9]{13})['\"]")


def _typeorm_version(path: Path, digits: str) -> str:
    """What TypeORM takes for its time: the last digits of its name, which the file is called by too. Reads only."""
    if len(digits) == 13:
        return digits
    said = _CLASS.search(_head(path))
    return (said[1] or said[2]).decode() if said is not None else ""
