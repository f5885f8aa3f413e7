"""What migrations of Alembic and Django say of themselves: order and dependencies, read without running them. Reads."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.files.text import read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision of Alembic."""

    version: str  #: its id
    down: tuple[str, ...]  #: the ids before it
    needs: tuple[str, ...]  #: what `depends_on` says: ids, or labels of branches
    labels: tuple[str, ...]  #: of the branch that it begins
    is_empty: bool = False  #: whether both its functions hold nothing, as those of most merges


@dataclass(frozen=True, slots=True, kw_only=True)
class AppMigration:
    """A migration of Django."""

    needs: tuple[tuple[str, str], ...]  #: (app, name) of each that it depends on
    before: tuple[tuple[str, str], ...]  #: of each that is to come after it
    replaces: tuple[tuple[str, str], ...]  #: of each that it was squashed from
    python: tuple[str, ...]  #: the operations that run Python, in words


def revision_of(path: Path) -> Revision | None:
    """What a file of Alembic says; None where it is none. Reads only.

    Raises
    ------
    MigrationFileError
        When it is not Python, or says it by what would have to be run.
    """
    status = path.stat()
    return _revision(path, status.st_mtime_ns, status.st_size)


def app_migration_of(path: Path) -> AppMigration | None:
    """What a file of Django says; None where it is none. Reads only. Raises as `revision_of`."""
    status = path.stat()
    return _app_migration(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=20_000)
def _revision(path: Path, _changed: int, _size: int) -> Revision | None:
    module = _parsed(path)
    wanted = ("revision", "down_revision", "depends_on", "branch_labels")
    found = {name: value for name, value in _assigned(module) if name in wanted}
    if "revision" not in found or "down_revision" not in found:
        return None
    said = {name: _words(path, name, value) for name, value in found.items()}
    if len(said["revision"]) != 1:
        raise _unreadable(path, "revision", found["revision"])
    return Revision(
        version=said["revision"][0],
        down=said["down_revision"],
        needs=said.get("depends_on", ()),
        labels=said.get("branch_labels", ()),
        is_empty=all(_does_nothing(module, name) for name in ("upgrade", "downgrade")),
    )


def _does_nothing(module: ast.Module, name: str) -> bool:
    """Whether a function is there and holds nothing but ``pass``, ``return`` and words."""
    found = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return bool(found) and all(
        isinstance(one, ast.Pass)
        or (isinstance(one, ast.Return) and one.value is None)
        or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for node in found
        for one in node.body
    )


@lru_cache(maxsize=20_000)
def _app_migration(path: Path, _changed: int, _size: int) -> AppMigration | None:
    for node in _parsed(path).body:
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            said = dict(_assigned(node))
            return AppMigration(
                needs=_pairs(said.get("dependencies")),
                before=_pairs(said.get("run_before")),
                replaces=_pairs(said.get("replaces")),
                python=tuple(_python_in(said.get("operations"))),
            )
    return None


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(read_text(path))
    except SyntaxError as error:
        raise MigrationFileError(
            str(path), f"is not valid Python: {error.msg}", line=error.lineno, hint="Correct it."
        ) from error


def _assigned(node: ast.Module | ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    yield target.id, statement.value
        elif (
            isinstance(statement, ast.AnnAssign)
            and statement.value is not None
            and isinstance(statement.target, ast.Name)
        ):
            yield statement.target.id, statement.value


def _words(path: Path, name: str, value: ast.expr) -> tuple[str, ...]:
    try:
        found = ast.literal_eval(value)
    except ValueError:
        raise _unreadable(path, name, value) from None
    words = (found,) if isinstance(found, str) else tuple(found or ())
    if not all(isinstance(word, str) for word in words):
        raise _unreadable(path, name, value)
    return words


def _unreadable(path: Path, name: str, value: ast.expr) -> MigrationFileError:
    return MigrationFileError(
        str(path),
        f"{name} is not written out",
        line=value.lineno,
        hint="Write it as a string, a tuple of strings or None, as alembic revision does: programs are not run here.",
    )


def _pairs(value: ast.expr | None) -> tuple[tuple[str, str], ...]:
    """The pairs of strings in a list; what is computed (swappable_dependency) names no migration of its own."""
    if not isinstance(value, ast.List | ast.Tuple):
        return ()
    found = []
    for item in value.elts:
        if isinstance(item, ast.Tuple) and len(item.elts) == 2:
            words = [one.value for one in item.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if len(words) == 2:
                found.append((words[0], words[1]))
    return tuple(found)


def _python_in(operations: ast.expr | None) -> Iterator[str]:
    for node in ast.walk(operations) if operations is not None else ():
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "RunPython":
                yield f"RunPython in line {node.lineno}"


def lineage(revisions: Iterable[Revision]) -> dict[str, tuple[str, ...]]:
    """Version -> the versions that are applied before it: those that it goes on from, and those that it depends on.

    Examples
    --------
    >>> first = Revision(version="a1", down=(), needs=(), labels=("shop",))
    >>> lineage([first, Revision(version="b2", down=(), needs=("shop",), labels=())])
    {'a1': (), 'b2': ('a1',)}
    """
    found = list(revisions)
    labelled = {label: one.version for one in found for label in one.labels}
    return {
        one.version: tuple(dict.fromkeys((*one.down, *(labelled.get(wanted, wanted) for wanted in one.needs))))
        for one in found
    }
