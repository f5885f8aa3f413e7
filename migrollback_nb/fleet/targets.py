"""Which databases a fleet has: named targets, from a file, libpq services, a catalogue database or a list."""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import ConnectionFailed, DatabaseError, UsageError
from migrollback_nb.core.text import first_few

if TYPE_CHECKING:
    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.migrations import Migrations

#: What a target may say of itself, in a file and in a list.
KEYS = ("name", "dsn", "service", "env", "schema", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTarget:
    """One database of a fleet, or one tenant's schema in it; its password, if any, is in no repr."""

    name: str  #: how answers and the audit of a run call it
    dsn: str | None = field(default=None, repr=False)  #: where it is, as libpq reads it
    service: str | None = None  #: or the name of a service in ``pg_service.conf``
    env: str | None = None  #: or the name of a variable that holds its DSN
    schema: str | None = None  #: the tenant's schema, a scope of the rollback system; None: the database is one's own
    labels: Mapping[str, str] = field(default_factory=dict)  #: region, tier, canary ...

    @property
    def is_canary(self) -> bool:
        """Whether its label says that it goes first."""
        return str(self.labels.get("canary", "")).lower() in ("true", "yes", "1", "on")

    def connect(
        self,
        *,
        dir: Path | str | None = None,
        schema: str | None = None,
        timeouts: Timeouts | None = None,
        interface: str = "fleet",
    ) -> Migrations:
        """Connect to it; writes nothing. The caller closes it.

        Raises
        ------
        ConnectionFailed, UsageError
            As `migrollback_nb.connect`.
        """
        from migrollback_nb.database.connection import find_dsn
        from migrollback_nb.migrations import connect

        dsn, _ = find_dsn(self.dsn, service=self.service, env=self.env)
        return connect(dsn, dir=dir, schema=schema, scope=self.schema, timeouts=timeouts, interface=interface)

    def where(self) -> tuple[str, str]:
        """Its DSN, and in words where that was found; a tenant's schema is first in the session's path. Does not write.

        Raises
        ------
        UsageError
            When a variable is not set, or the DSN cannot be understood.
        """
        from migrollback_nb.database.connection import find_dsn, in_scope

        dsn, found_in = find_dsn(self.dsn, service=self.service, env=self.env)
        return dsn if self.schema is None else in_scope(dsn, self.schema, found_in=found_in), found_in


def targets_of(given: Path | str | Iterable[FleetTarget | Mapping[str, Any]]) -> tuple[FleetTarget, ...]:
    """Targets of a file's path, or of a list of targets or dictionaries. Reads the file.

    Raises
    ------
    UsageError
        When a target cannot be understood, or two have one name.
    """
    if isinstance(given, str | Path):
        return from_file(given)
    return _checked(
        [
            one if isinstance(one, FleetTarget) else _target(one, f"target {number}")
            for number, one in enumerate(given, 1)
        ],
        "the list of targets",
    )


def from_file(path: Path | str) -> tuple[FleetTarget, ...]:
    """Targets of a TOML file: ``[[target]]`` with ``name``, and ``dsn`` or ``service``, ``schema``, ``labels``.

    Raises
    ------
    UsageError
        When there is no such file, it is no TOML, or a target cannot be understood.
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"The file of targets {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # the message names line and column, and quotes nothing of the file
        raise UsageError(f"The file of targets {path} is no TOML: {error}", hint=_FORM) from None
    if unknown := sorted(set(found) - {"target"}):
        raise UsageError(f"{path}: unknown key {first_few(unknown)}", hint=_FORM)
    tables = found.get("target", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise UsageError(f"{path}: target is no list of tables", hint=_FORM)
    return _checked([_target(one, f"{path}: target {number}") for number, one in enumerate(tables, 1)], str(path))


def from_services(pattern: str) -> tuple[FleetTarget, ...]:
    """Targets of all libpq services whose names fit a shell pattern, in the order of their file. Reads that file.

    Raises
    ------
    UsageError
        When there is no file of services, or no name fits.
    """
    names: dict[str, None] = {}
    files = _service_files()
    for file in files:
        parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
        try:
            parser.read(file, encoding="utf-8")
        except configparser.Error as error:
            raise UsageError(f"The file of services {file} cannot be understood") from error
        names |= dict.fromkeys(name for name in parser.sections() if fnmatchcase(name, pattern))
    if not names:
        where = first_few([str(file) for file in files]) or "PGSERVICEFILE, ~/.pg_service.conf or PGSYSCONFDIR"
        raise UsageError(
            f"No libpq service fits {pattern}",
            hint=f"Services were looked for in {where}.",
        )
    return tuple(FleetTarget(name=name, service=name) for name in names)


def from_catalogue(dsn: str, query: str) -> tuple[FleetTarget, ...]:
    """Targets that a query on a catalogue database gives: columns ``name, dsn``, or others of a file's keys.

    Runs the query in a transaction that only reads. Any other column is a label.

    Raises
    ------
    UsageError, ConnectionFailed, DatabaseError
        When the catalogue does not answer, or what it answers is no target.
    """
    rows = _rows(dsn, query, "the catalogue's DSN", "It is to give a row for each target, with columns name and dsn.")
    found = []
    for number, row in enumerate(rows, 1):
        known = {key: value for key, value in row.items() if key in KEYS and value is not None}
        labels = {key: str(value) for key, value in row.items() if key not in KEYS and value is not None}
        found.append(_target(known | {"labels": dict(known.get("labels") or {}) | labels}, f"row {number}"))
    return _checked(found, "the catalogue's query")


def in_schemas(targets: Sequence[FleetTarget], schemas: str) -> tuple[FleetTarget, ...]:
    """Targets for the tenants' schemas in each of these databases, which are asked for them. Only reads.

    Parameters
    ----------
    targets : sequence of FleetTarget
        Databases.
    schemas : str
        A shell pattern of schemas' names, such as ``tenant_*``; or a query that gives a row for each: column
        ``schema``, and perhaps ``name``; others are labels.

    Raises
    ------
    UsageError, ConnectionFailed, DatabaseError
        When a database does not answer, what it answers is no schema, or there is none.
    """
    if inside := [one.name for one in targets if one.schema is not None]:
        raise UsageError(f"{first_few(inside)} is a tenant's schema already", hint="Leave schemas out, or its schema.")
    is_query = re.match(r"\s*(select|with|values|table)\s", schemas, re.IGNORECASE) is not None
    found = []
    for target in targets:
        dsn, found_in = target.where()
        rows = _rows(dsn, schemas if is_query else _SCHEMAS, found_in, "It is to give a row for each schema.")
        for number, row in enumerate(rows, 1):
            schema = row.get("schema")
            if not isinstance(schema, str):
                raise UsageError(f"Row {number} of the query for schemas has no schema", hint="Name a column schema.")
            if not is_query and not fnmatchcase(schema, schemas):
                continue
            own = str(row.get("name") or schema)
            labels = {key: str(value) for key, value in row.items() if key not in KEYS and value is not None}
            name = own if len(targets) == 1 else f"{target.name}/{own}"
            found.append(replace(target, name=name, schema=schema, labels=dict(target.labels) | labels))
    if not found:
        raise UsageError(f"No schema fits {schemas}", hint="Give a pattern, such as 'tenant_*', or a query.")
    return _checked(found, "the schemas")


#: Schemas of one's own, in order.
_SCHEMAS = (
    "SELECT n.nspname::pg_catalog.text AS schema FROM pg_catalog.pg_namespace n"
    " WHERE n.nspname OPERATOR(pg_catalog.!~) '^pg_'"
    " AND n.nspname OPERATOR(pg_catalog.<>) ALL ('{information_schema,migrollback_archive}'::pg_catalog.name[])"
    " ORDER BY n.nspname"
)


def _rows(dsn: str, query: str, found_in: str, hint: str) -> list[dict[str, Any]]:
    """What a query gives, in a transaction that only reads.

    Raises
    ------
    ConnectionFailed, DatabaseError
        When the database does not answer, or refuses the query.
    """
    import psycopg
    from psycopg.rows import dict_row

    from migrollback_nb.database.connection import open_connection

    with open_connection(dsn, found_in=found_in) as connection:
        try:
            connection.execute("BEGIN READ ONLY")
            with connection.cursor(row_factory=dict_row) as cursor:
                cursor.execute(query.encode())
                rows = cursor.fetchall() if cursor.description else []
            connection.execute("ROLLBACK")
        except psycopg.Error as error:
            if connection.closed:
                raise ConnectionFailed(f"The connection of {found_in} was lost") from error
            raise DatabaseError(
                f"The query for targets failed: {error.diag.message_primary or 'unknown error'}",
                sqlstate=error.sqlstate,
                hint=hint,
            ) from error
    return rows


_FORM = 'Write for each target: [[target]], name = "...", and dsn = "..." or service = "...".'


def _target(given: Mapping[str, Any], where: str) -> FleetTarget:
    """One target of what a file, a query or a caller says; no value is printed, for it may hold a password."""
    if unknown := sorted(set(given) - set(KEYS)):
        raise UsageError(f"{where}: unknown key {first_few(unknown)}", hint=f"A target has {', '.join(KEYS)}.")
    name = given.get("name")
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"{where} has no name", hint=_FORM)
    for key in ("dsn", "service", "env", "schema"):
        if given.get(key) is not None and not isinstance(given[key], str):
            raise UsageError(f"{where} ({name}): {key} is no text", hint=_FORM)
    ways = [key for key in ("dsn", "service", "env") if given.get(key)]
    if len(ways) != 1:
        what = f"both {' and '.join(ways)}" if ways else "neither dsn nor service"
        raise UsageError(f"{where} ({name}) has {what}", hint=_FORM)
    labels = given.get("labels") or {}
    if not isinstance(labels, Mapping):
        raise UsageError(f"{where} ({name}): labels is no table", hint='Write labels = { canary = "true" }.')
    return FleetTarget(
        name=name,
        dsn=given.get("dsn"),
        service=given.get("service"),
        env=given.get("env"),
        schema=given.get("schema"),
        labels={
            str(key): str(value).lower() if isinstance(value, bool) else str(value) for key, value in labels.items()
        },
    )


def _checked(targets: Sequence[FleetTarget], where: str) -> tuple[FleetTarget, ...]:
    """The targets, each name once.

    Raises
    ------
    UsageError
        When there is none, or two have one name.
    """
    if not targets:
        raise UsageError(f"There is no target in {where}", hint=_FORM)
    twice = [name for name, count in Counter(one.name for one in targets).items() if count > 1]
    if twice:
        raise UsageError(
            f"Two targets have the name {first_few(sorted(twice))}", hint="Each target needs a name of its own."
        )
    return tuple(targets)


def _service_files() -> list[Path]:
    """Where libpq looks for services, in its order."""
    own = os.environ.get("PGSERVICEFILE")
    system = os.environ.get("PGSYSCONFDIR")
    candidates = [Path(own) if own else Path.home() / ".pg_service.conf"]
    if system:
        candidates.append(Path(system) / "pg_service.conf")
    return [file for file in candidates if file.is_file()]
