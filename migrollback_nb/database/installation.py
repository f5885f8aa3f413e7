"""The rollback system as text: its own migrations, read from ``sql/``, for a schema. Reads files, writes none."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError

if TYPE_CHECKING:
    from migrollback_nb.files.migration import MigrationFile


def system_migration_names() -> list[str]:
    """Names of the system's own migrations that this package knows, in order."""
    return sorted(
        entry.name
        for entry in resources.files("migrollback_nb.database.sql").iterdir()
        if entry.is_dir() and entry.name[:1].isdigit()
    )


def quoted_schema(schema: str) -> str:
    """A schema's name as it stands in the system's SQL.

    Raises
    ------
    UsageError
        For a name that cannot stand inside the bodies of the functions.
    """
    if "$function$" in schema or "\0" in schema or not schema:
        raise UsageError(f"{schema!r} cannot be the name of the system's schema", hint="Choose a plain name.")
    # quoted always, but for the specified default: `"public".t` in every listing would only be harder to read
    return schema if schema == "public" else '"' + schema.replace('"', '""') + '"'


def system_text(name: str) -> str:
    """The parts of one of the system's own migrations, put together in order of name, with ``migrollback_schema`` for the schema; writes nothing."""
    folder = resources.files("migrollback_nb.database.sql").joinpath(name)
    return "\n".join(
        part.read_text(encoding="utf-8")
        for part in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if part.name.endswith(".sql")
    )


def system_migration(name: str, schema: str) -> MigrationFile:
    """One of the system's own migrations for a schema; writes nothing.

    It is a folder of parts under ``sql/``, put together in order of name; ``migrollback_schema`` becomes the quoted
    schema.
    """
    from migrollback_nb.files.migration import parse

    identifier = quoted_schema(schema)
    literal = "'" + identifier.replace("'", "''") + "'"
    # in one pass: the schema may itself be named migrollback_schema
    text = re.sub(
        "'migrollback_schema'|migrollback_schema",
        lambda found: literal if found.group().startswith("'") else identifier,
        system_text(name),
    )
    return parse(text, name=name)


def system_record(file: MigrationFile) -> dict[str, object]:
    """The arguments of register_migration() for one of the system's own migrations."""
    record = file.record()
    record["metadata"]["system"] = True
    return record


def installation_sql(schema: str, *, production: bool = False, reason: str | None = None) -> str:
    """All of the system as one script for psql, for machines that this package cannot be installed on; writes nothing.

    Run it with ``psql -1 -v ON_ERROR_STOP=1 -f``. It holds the rollback blocks in their commented form, so that running
    it whole is right. `production`: it also marks the database as production, for that `reason`.
    """
    import json

    from psycopg import sql

    from migrollback_nb.database.signatures import signatures

    parts = [
        "-- The rollback system of migrollback_nb, for psql -1 -v ON_ERROR_STOP=1 -f\nCREATE SCHEMA IF NOT EXISTS"
        f" {quoted_schema(schema)};\n"
    ]
    for name in system_migration_names():
        file = system_migration(name, schema)
        record = system_record(file)
        values = {
            **{key: record[key] for key in ("name", "version", "rollback_sql", "checksum")},
            "metadata": json.dumps(record["metadata"]),
            "client": "psql",
            "search_path": quoted_schema(schema),
        }
        # all arguments with their types, as Session calls it
        written = [
            sql.SQL("{}::{}").format(
                (
                    sql.Literal(values[argument.name])
                    if argument.name in values
                    else sql.SQL(argument.default or "NULL").format()
                ),
                sql.SQL(argument.type),
            )
            for argument in signatures()["register_migration"]
        ]
        call = (
            sql.SQL("SELECT {}.register_migration({});")
            .format(sql.Identifier(schema), sql.SQL(", ").join(written))
            .as_string(None)
        )
        parts += [file.text, call + "\n"]
    if production:
        mark = sql.SQL(
            "SELECT {}.mark_production_database(true, {}::pg_catalog.text, 'psql'::pg_catalog.text);"
        ).format(sql.Identifier(schema), reason)
        parts.append(mark.as_string(None) + "\n")
    return "\n".join(parts)
