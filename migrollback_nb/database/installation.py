"""The one statement that installs the rollback system in a schema, or upgrades it. Reads files, writes none."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from psycopg import sql

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.version import __version__
from migrollback_nb.database import system_files
from migrollback_nb.database.signatures import identities, signatures
from migrollback_nb.database.system_files import SYSTEM_NAME, SystemFile

#: Quotes of the SQL files: a schema's name stands between them, so that it may not hold one.
_QUOTES = ("$function$", "$query$", "$file$", "$install$", "$take_over$")


def quoted_schema(schema: str) -> str:
    """A schema's name as it stands in the system's SQL; pure.

    Raises
    ------
    UsageError
        For a name that cannot stand inside the bodies of the functions.
    """
    if any(quote in schema for quote in _QUOTES) or "\0" in schema or not schema:
        raise UsageError(f"{schema!r} cannot be the name of the system's schema", hint="Choose a plain name.")
    # quoted always, but for the specified default: `"public".t` in every listing would only be harder to read
    return schema if schema == "public" else '"' + schema.replace('"', '""') + '"'


def for_schema(text: str, schema: str) -> str:
    """SQL of the system with the quoted schema where ``migrollback_schema`` stands; pure."""
    identifier = quoted_schema(schema)
    literal = "'" + identifier.replace("'", "''") + "'"
    # in one pass: the schema may itself be named migrollback_schema
    return re.sub(
        "'migrollback_schema'|migrollback_schema",
        lambda found: literal if found.group().startswith("'") else identifier,
        text,
    )


def uninstall_statements(schema: str) -> list[str]:
    """The rollback SQL of the system's own migration: drops all that install made; reads files, writes nothing."""
    drops = []
    for statement in system_files.uninstall_template().strip().removesuffix(";").split(";\n"):
        names = reversed(list(signatures())) if "migrollback_function" in statement else [""]
        drops += [for_schema(statement.replace("migrollback_function", name), schema) for name in names]
    return drops


def checksum() -> str:
    """SHA-256 (hex) of all that runs again when it has changed; reads files, writes nothing."""
    return _sha256("\n".join(f"{file.path} {file.checksum}" for file in system_files.repeated_files()))


def install_statement(schema: str, *, client: str, take_over: bool = False) -> str:
    """The statement that installs the system or upgrades it, for one schema; reads files, writes nothing.

    Parameters
    ----------
    schema : str
        Where the system is to be.
    client : str
        Who runs it, for the audit log.
    take_over : bool
        Whether tables of the earlier tool are made this system's, where they are there.
    """
    drops = uninstall_statements(schema)
    rollback = _joined(drops)
    values = {
        "<<version>>": _literal(__version__),
        "<<checksum>>": _literal(checksum()),
        "<<functions>>": _literals(identities()),
        "<<name>>": _literal(SYSTEM_NAME),
        "<<client>>": _literal(client),
        "<<migration version>>": _literal(SYSTEM_NAME.partition("_")[0]),
        "<<rollback SQL>>": _literal(rollback),
        "<<migration checksum>>": _literal(_sha256(for_schema(system_files.system_text(), schema) + rollback)),
        "<<metadata>>": f"{_literal(json.dumps(_metadata(drops)))}::jsonb",
        "<<take over>>": _take_over(schema) if take_over else "'{}'",
        "<<steps>>": _steps(schema, take_over=take_over),
    }
    text = for_schema(system_files.install_template(), schema)
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found.group()], text)


def installation_sql(
    schema: str,
    *,
    production: bool = False,
    reason: str | None = None,
    take_over: bool = False,
    scope: Sequence[str] | None = None,
) -> str:
    """The same as a script for psql, where this package cannot be installed; reads files, writes nothing.

    Run it with ``psql -v ON_ERROR_STOP=1 -f``, as often as you like. `production`: it also marks the database as
    production, for that `reason`. `take_over`: it makes the tables of the earlier tool this system's. `scope`: a
    tenant's schema that it gives a history of its own, and further schemas of that tenant.
    """
    rights = (
        "SELECT migrollback_schema.revoke_public_privileges('{}'::pg_catalog.text[]) AS rights_revoked;\n"
        "SELECT migrollback_schema.set_migration_row_security() AS row_security;\n"
        "SELECT pg_catalog.unnest(migrollback_schema.open_migration_rights()) AS still_open;\n"
    )
    parts = [
        f"-- The rollback system of migrollback_nb {__version__}, for psql -v ON_ERROR_STOP=1 -f: installs it, or\n"
        "-- upgrades an older one; what is up to date stays as it is.\n",
        install_statement(schema, client="psql", take_over=take_over),
        for_schema(rights, schema),
    ]
    if scope is not None:
        add = sql.SQL(
            "SELECT {}.add_migration_scopes({}::pg_catalog.text[], {}::pg_catalog.text[], 'psql'::pg_catalog.text)"
            " AS scopes_added;"
        )
        parts.append(add.format(sql.Identifier(schema), list(scope[:1]), list(scope[1:])).as_string(None) + "\n")
    if production:
        mark = sql.SQL("SELECT {}.mark_production_database(true, {}::pg_catalog.text, 'psql'::pg_catalog.text);")
        parts.append(mark.format(sql.Identifier(schema), reason).as_string(None) + "\n")
    return "\n".join(parts)


@cache
def function_bodies(schema: str) -> dict[str, dict[str, Any]]:
    """Each function of the system as PostgreSQL is to hold it: body, language, definer, settings; reads files.

    By its identity, as `signatures.identities` gives it.
    """
    text = "\n".join(_text(file, schema) for file in system_files.repeated_files())
    found: dict[str, dict[str, Any]] = {}
    named = {identity.partition("(")[0]: identity for identity in identities()}
    prefix = re.escape(quoted_schema(schema))
    for function in re.finditer(
        rf"^CREATE OR REPLACE FUNCTION {prefix}\.(\w+)\((.*?)\$function\$(.*?)\$function\$;",
        text,
        re.MULTILINE | re.DOTALL,
    ):
        # settings stand after the language, where no default of an argument can be taken for one
        head = re.sub(r"--[^\n]*", "", function[2]).rpartition("LANGUAGE ")[2]
        settings = re.findall(r"\bSET (\w+) = ('[^']*'|[\w, ]+?)(?=\s+(?:SET|AS)\b|\s*$)", head)
        found[named[function[1]]] = {
            "body": function[3],
            "language": head.split()[0],
            "definer": "SECURITY DEFINER" in head,
            "settings": [f"{name}={value.strip(chr(39))}" for name, value in settings],
        }
    return found


def _take_over(schema: str) -> str:
    """The array of what looks at the tables of the earlier tool and changes them."""
    return f"ARRAY[{', '.join(f'$file${_text(file, schema)}$file$' for file in system_files.take_over_files()[:-1])}]"


def _steps(schema: str, *, take_over: bool) -> str:
    """The rows of what runs: place, kind, file, checksum, version, text."""
    first, *tables = system_files.table_files()
    history, *tables = tables
    rest = history._replace(text=system_files.without_history_tables(history), whole=history.checksum)
    kinds: tuple[tuple[str, Sequence[SystemFile]], ...] = (
        ("table", (first, history)),
        ("table taken over", (rest,) if take_over else ()),
        ("table", tables),
        ("drop", system_files.drop_files()),
        ("repeated", system_files.repeated_files()),
        ("taken over", system_files.take_over_files()[-1:] if take_over else ()),
    )
    rows = [
        f"({place}, '{kind}', {_literal(file.path)}, '{file.checksum}', "
        f"{_literal(file.since if kind != 'repeated' else '')}, $file$\n{_text(file, schema)}$file$)"
        for place, (kind, file) in enumerate(((kind, file) for kind, files in kinds for file in files), 1)
    ]
    return ",\n".join(rows)


def _text(file: SystemFile, schema: str) -> str:
    """The text of a file for a schema, with the lists of what this version has."""
    text = for_schema(file.text, schema)
    for place, names in _lists().items():
        text = text.replace(place, names)
    return text


@cache
def _lists() -> Mapping[str, str]:
    """Place in a file -> the SQL of a list. Reads files, once."""
    return {
        "<<tables>>": _literals(system_files.table_names()),
        "<<relations>>": _literals(system_files.relation_names()),
        "<<function names>>": _literals(signatures()),
        "<<functions>>": _literals(identities()),
    }


def _joined(statements: list[str]) -> str:
    return "".join(f"{statement};\n" for statement in statements).rstrip("\n")


def _metadata(drops: list[str]) -> dict[str, Any]:
    """What the history keeps of the system's own migration: what parsing its rollback SQL would find."""
    places = []
    start, line = 0, 1
    for statement in drops:
        size = len(statement.encode())
        places.append([start, size, line])
        start += size + len(";\n")
        line += statement.count("\n") + 1
    parsed = {
        "md5": hashlib.md5(_joined(drops).encode(), usedforsecurity=False).hexdigest(),
        "statements": places,
        "transaction": True,
        "live": False,
    }
    empty = ("refused_in_transaction", "set_local", "set_session", "not_undone", "calls", "writes", "unseen")
    return {
        "description": system_files.DESCRIPTION,
        "system": True,
        "system_version": __version__,
        "rollback": parsed | {key: [] for key in empty},
    }


def _literal(value: str) -> str:
    return sql.Literal(value).as_string(None)


def _literals(values: Any) -> str:
    return f"ARRAY[{', '.join(map(_literal, values))}]::pg_catalog.text[]"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
