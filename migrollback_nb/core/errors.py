"""The errors that this package raises, and which SQLSTATE becomes which.

MigrollbackError
├── UsageError                  the call or the command line is off
├── MigrationFileError          one migration file is bad: file, line, fix
├── DependencyError             missing names, a migration that depends on itself, a cycle
├── ConnectionFailed            no server, no answer, a lost connection
├── NotInstalled                the rollback system is not in this database
├── OlderSystem                 ... or older than this package, or damaged
├── NewerSystem                 ... or newer than this package
├── MigrationNotFound           no migration of that name is registered
├── Refused                     a safety rule says no; nothing was changed
│   ├── ConfirmationRequired    ... because it was not confirmed
│   └── RehearsalStopped        ... a rehearsal would have stalled others: of the rollback nothing is known
├── LockBusy                    another session holds a lock; nothing was changed
├── RollbackFailed              the rollback SQL failed; all of it was undone
├── ApplyFailed                 the up migration failed; all of it was undone
└── DatabaseError               any other error of PostgreSQL, with its SQLSTATE

KeyboardInterrupt
└── Interrupted                 ... that says what was undone by it, and what was committed before it
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from migrollback_nb.core.passwords import mask_passwords
from migrollback_nb.core.text import one_line, visible


class MigrollbackError(Exception):
    """Base of all errors of this package.

    Attributes
    ----------
    message : str
        What happened, where.
    hint : str or None
        How to fix it.
    done : tuple of str
        Migrations that the same call had applied before it, and that stay so.
    exit_code : int
        What the command line exits with: 1 failed, 2 usage, 3 refused by a safety rule.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = mask_passwords(message)
        self.hint = None if hint is None else mask_passwords(hint)
        super().__init__(self.message)
        self.done: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{one_line(self.message)}\n{self._shown(self.hint)}" if self.hint else one_line(self.message)

    def _shown(self, text: str) -> str:
        """A text of several lines for people, in which a name with line breaks stands in one."""
        for value in vars(self).values():
            for name in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
                if isinstance(name, str) and not name.isprintable() and name not in (self.message, self.hint):
                    text = text.replace(name, one_line(name))
        return visible(text)

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython shows instead of a traceback: an expected refusal needs none."""
        return [f"{type(self).__name__}: {self}"]

    def _repr_html_(self) -> str:
        """Show it where it is a cell's value: what happened, and what leads on below."""
        from migrollback_nb.core import html

        said, _, leads_on = str(self).partition("\n")
        below = f'<div style="padding:.3em .8em;white-space:pre-wrap">{html.escape(leads_on)}</div>' if leads_on else ""
        return html.banner(f"❌ {said}", html.BAD) + below


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what it undid and what it came too late for: a COMMIT cannot be called back.

    Attributes
    ----------
    message : str
        What was undone and what stays.
    done : tuple of str
        Migrations that were rolled back or applied by then, and stay so.
    exit_code : int
        What the command line exits with.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, done: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.done = done

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self.message}"]


class UsageError(MigrollbackError):
    """The call or the command line is off."""

    exit_code = 2


class MigrationFileError(MigrollbackError):
    """One migration file is bad; the others are not touched by it.

    Attributes
    ----------
    path : str
        The file.
    line, column : int or None
        Where, counted from 1; None when the file as a whole is meant.
    migration_name : str
        The migration that it belongs to; the file's stem where nothing better is known.
    """

    def __init__(
        self, path: str, message: str, *, line: int | None = None, column: int | None = None, hint: str
    ) -> None:
        place = (
            path
            + (f":{line}" if line is not None else "")
            + (f":{column}" if line is not None and column is not None else "")
        )
        super().__init__(f"{place}: {message}", hint=hint)
        self.path = path
        self.line = line
        self.column = column
        self.problem = message
        self.migration_name = path.rpartition("/")[2].removesuffix(".sql")


class DependencyError(MigrollbackError):
    """Dependencies do not fit together.

    Attributes
    ----------
    names : tuple of str
        The migrations that are meant; for a cycle in its order.
    """

    def __init__(self, message: str, *, names: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.names = names


class ConnectionFailed(MigrollbackError):
    """There is no connection, or it was lost."""


class NotInstalled(MigrollbackError):
    """The rollback system is not installed in this database and schema.

    Attributes
    ----------
    schemas : tuple of str
        Other schemas of the database in which it is.
    """

    def __init__(self, message: str, *, hint: str | None = None, schemas: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.schemas = schemas


class OlderSystem(MigrollbackError):
    """The database's rollback system is older than this package, or damaged; ``migrollback install`` updates it."""


class NewerSystem(MigrollbackError):
    """The database's rollback system is newer than this package."""


class MigrationNotFound(MigrollbackError):
    """No migration of that name.

    Attributes
    ----------
    name : str
        The name that was asked for.
    similar : tuple of str
        Names that come close.
    """

    def __init__(self, name: str, *, similar: tuple[str, ...] = (), where: str = "is registered") -> None:
        known = (
            "migrollback list shows the registered ones."
            if where == "is registered"
            else "Check the name, or name another folder with --dir."
        )
        hint = (
            f"Did you mean {', '.join(similar[:-1])}{' or ' * (len(similar) > 1)}{similar[-1]}?" if similar else known
        )
        super().__init__(f"No migration named {name} {where}", hint=hint)
        self.name = name
        self.similar = similar


class Refused(MigrollbackError):
    """A safety rule says no. Nothing was changed.

    Attributes
    ----------
    reason : str
        The rule, as the database words it.
    migration_name : str or None
        The migration it is about.
    dependents : tuple of str
        Migrations that have to be rolled back first.
    result : object or None
        The result that says so, for programs.

    Parameters
    ----------
    asked : str, optional
        The migration that was asked for. Where it is about another one, the message begins with that one's name.
    """

    exit_code = 3

    def __init__(
        self,
        reason: str,
        *,
        migration_name: str | None = None,
        asked: str | None = None,
        dependents: tuple[str, ...] = (),
        hint: str | None = None,
        result: Any = None,
    ) -> None:
        if dependents and hint is None:
            hint = first_of_all(dependents)
        super().__init__(reason if asked in (None, migration_name) else f"{migration_name}: {reason}", hint=hint)
        self.reason = reason
        self.migration_name = migration_name
        self.dependents = dependents
        self.result = result


def first_of_all(dependents: Sequence[str]) -> str:
    """What goes before a migration, and how all of them go in one; pure."""
    return f"Roll back first: {', '.join(dependents)}; or all in one transaction, with --chain"


class ConfirmationRequired(Refused):
    """The rollback was not confirmed; nothing was changed."""

    exit_code = 2


class RehearsalStopped(Refused):
    """A rehearsal was ended by its own bound: others would have waited behind it for too long. Nothing was changed.

    It says nothing of the rollback.

    Attributes
    ----------
    stalled : dict or None
        Who waited: pid, user, application_name, relation, mode, waited_ms. None where that could not be seen.
    known_by : str
        How the rollback is known all the same, as of an assessment: text, catalog, proof or nothing.
    """

    def __init__(
        self,
        reason: str,
        *,
        migration_name: str | None,
        hint: str,
        stalled: dict[str, Any] | None = None,
        known_by: str = "nothing",
    ) -> None:
        super().__init__(reason, migration_name=migration_name, hint=hint)
        self.stalled = stalled
        self.known_by = known_by


class DatabaseError(MigrollbackError):
    """An error of PostgreSQL.

    Attributes
    ----------
    primary : str
        The server's message, without its SQLSTATE.
    sqlstate : str or None
        Its five characters.
    detail : str or None
        DETAIL as the server sent it.
    """

    def __init__(
        self, message: str, *, sqlstate: str | None = None, detail: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message if not sqlstate else f"{message} (SQLSTATE {sqlstate})", hint=hint)
        self.primary = message
        self.sqlstate = sqlstate
        self.detail = detail


class LockBusy(DatabaseError):
    """Another session holds a lock that is needed. Nothing was changed; trying again is safe."""


#: Longest text of a statement that the database keeps of a failure.
_KEPT = 2000


def shown(statement: str) -> str:
    """A statement as the database keeps it, with a sign where its end was left out; pure."""
    return f"{statement} … (the rest is left out)" if len(statement) >= _KEPT else statement


class SqlFailed(DatabaseError):
    """Migration SQL failed, and all of it was undone.

    Attributes
    ----------
    migration_name : str
        The migration whose SQL failed.
    statement_number : int or None
        Which statement, counted from 1; None when none of them was to blame.
    statement : str or None
        Its text, at most 2,000 characters.
    passing : bool
        Whether the error may go away by itself (lock timeout, deadlock, cancel).
    result : object or None
        The result that says so, for programs.
    """

    def __init__(
        self,
        message: str,
        *,
        migration_name: str,
        sqlstate: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        statement_number: int | None = None,
        statement: str | None = None,
        passing: bool = False,
        result: Any = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, detail=detail, hint=hint)
        self.migration_name = migration_name
        self.statement_number = statement_number
        self.statement = None if statement is None else mask_passwords(statement)
        self.passing = passing
        self.result = result

    def __str__(self) -> str:
        lines = [self._shown(self.message)]
        if self.statement_number is not None and self.statement is not None:
            lines.append(
                f"  in statement {self.statement_number} of {one_line(self.migration_name)}:"
                f" {visible(shown(self.statement.strip()))}"
            )
        if self.detail:
            lines.append(f"  {self.detail}")
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class RollbackFailed(SqlFailed):
    """The rollback SQL failed, and all of it was undone."""


class ApplyFailed(SqlFailed):
    """The up migration failed, and all of it was undone."""


#: What the SQL functions raise with their own class of SQLSTATE, and the locks of PostgreSQL.
FOR_SQLSTATE: dict[str, type[MigrollbackError]] = {
    "MR001": MigrationNotFound,
    "MR002": Refused,
    "MR003": DependencyError,
    "MR004": DependencyError,
    "MR005": DependencyError,
    "MR006": UsageError,
    "MR007": UsageError,
    "MR024": Refused,
    "MR026": Refused,
    "MR030": Refused,
    "55P03": LockBusy,
    "40P01": LockBusy,
    "MR027": Refused,
    "MR031": Refused,
    "MR028": NewerSystem,
    "MR029": Refused,
    "MR040": Refused,
    "MR041": Refused,
    "MR042": UsageError,
    "MR043": Refused,
}


#: Hints for errors for which PostgreSQL itself gives none.
_HINTS = {
    "42725": (
        "A function that is not this system's has the name of one of its own: migrollback install lists such functions."
        " Drop them, or have their owner do it."
    ),
    "42501": "Connect as a role that has this right, or have the owner grant it.",
    "25006": "This session may only read: connect to the primary server, where default_transaction_read_only is off.",
}


def from_sqlstate(
    sqlstate: str | None, message: str, *, detail: str | None = None, hint: str | None = None
) -> MigrollbackError:
    """Build the error that an SQLSTATE stands for; does not write.

    Parameters
    ----------
    sqlstate : str or None
        Five characters, as PostgreSQL sends them.
    message, detail, hint : str
        The fields beside it. None of them is read for meaning.

    Returns
    -------
    MigrollbackError
        Of the class in `FOR_SQLSTATE`, else `DatabaseError`.
    """
    # our own functions give names as a JSON array: they may hold commas
    names = tuple(json.loads(detail)) if detail and (sqlstate or "").startswith("MR") and detail.startswith("[") else ()
    match FOR_SQLSTATE.get(sqlstate or ""):
        case None:
            if sqlstate == "42725":  # the server's own hint is for who wrote the call
                hint = None
            return DatabaseError(message, sqlstate=sqlstate, detail=detail, hint=hint or _HINTS.get(sqlstate or ""))
        case kind if issubclass(kind, MigrationNotFound):
            return MigrationNotFound(detail or "?")
        case kind if issubclass(kind, Refused):
            return Refused(message, dependents=names, hint=hint)
        case kind if issubclass(kind, DependencyError):
            return DependencyError(message, names=names, hint=hint)
        case kind if issubclass(kind, LockBusy):
            return LockBusy(message, sqlstate=sqlstate, detail=detail, hint=hint)
        case kind:
            return kind(message, hint=hint)
