"""The tables in which a deploy tool remembers, on a scratch database: copied there, and told from the rest. Writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.undo.ddl import Objects

#: Tables that a tool makes besides its ledger.
_BESIDES = {"Rails": ("ar_internal_metadata",), "TypeORM": ("typeorm_metadata",)}
#: The ledgers of tools of which no more is known (Kysely, Sequelize, Ecto, Laravel, Doctrine, Phinx, EF Core).
_OTHERS = (
    "kysely_migration",
    "kysely_migration_lock",
    "SequelizeMeta",
    "schema_migrations",
    "migrations",
    "doctrine_migration_versions",
    "phinxlog",
    "__EFMigrationsHistory",
)
#: How what belongs to a table may go on after its name: sequences, indexes, the lock of Knex.
_PARTS = r"(?=$|[. ])|_(?:id_seq|pkey|pkc|lock|lock_\w+|lock_index_seq)\b"


def relations(database: Database, tool: str | None) -> list[str]:
    """The tables of a tool that are there, by schema and name; None: of those known by name alone. Does not write."""
    if tool is None:
        named = database.connection.execute(
            "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) FROM"
            " pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND"
            " c.relname = ANY (%s::pg_catalog.name[]) ORDER BY 1",
            (list(_OTHERS),),
        ).fetchall()
        return [str(row[0]) for row in named]
    schema = sql.Identifier(database.session.schema)
    rows = database.connection.execute(
        sql.SQL(
            "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) FROM"
            " {schema}.deploy_ledger({tool}::pg_catalog.text, NULL::pg_catalog.text) l CROSS JOIN LATERAL"
            " pg_catalog.unnest({schema}.deploy_ledger_relations({tool}::pg_catalog.text, l.ledger)) AS r (relation)"
            " JOIN pg_catalog.pg_class c ON c.oid = r.relation OR (c.relname = ANY ({besides}::pg_catalog.name[]) AND"
            " c.relkind = 'r') JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        ).format(schema=schema, tool=sql.Literal(tool), besides=sql.Literal(list(_BESIDES.get(tool, ()))))
    ).fetchall()
    return sorted({str(row[0]) for row in rows})


def copy(target: Database, database: Database, tool: str | None) -> None:
    """Copy the rows of a tool's tables to a copy of their schema, so that it knows what is applied. Writes there."""
    for relation in relations(target, tool):
        name = sql.SQL(relation)
        rows = target.connection.execute(sql.SQL("SELECT pg_catalog.to_jsonb(t) FROM {} t").format(name)).fetchall()
        database.connection.execute(
            sql.SQL(
                "INSERT INTO {name} OVERRIDING SYSTEM VALUE SELECT * FROM"
                " pg_catalog.jsonb_populate_recordset(NULL::{name}, {rows})"
            ).format(name=name, rows=Jsonb([row for (row,) in rows]))
        )
        serial = database.connection.execute(
            "SELECT a.attname::text, pg_catalog.pg_get_serial_sequence(%(of)s, a.attname::text) FROM"
            " pg_catalog.pg_attribute a WHERE a.attrelid = %(of)s::pg_catalog.regclass AND a.attnum > 0 AND NOT"
            " a.attisdropped AND pg_catalog.pg_get_serial_sequence(%(of)s, a.attname::text) IS NOT NULL",
            {"of": relation},
        ).fetchall()
        for column, sequence in serial:
            database.connection.execute(
                sql.SQL("SELECT pg_catalog.setval({}, coalesce(max({}), 0) + 1, false) FROM {}").format(
                    sql.Literal(sequence), sql.Identifier(column), name
                )
            )


def without(objects: Objects, tables: Sequence[str]) -> Objects:
    """The objects of a schema without these tables, and a schema that holds nothing else. Pure.

    Examples
    --------
    >>> without({"table": {"public.m": {}, "public.more": {}}, "sequence": {"public.m_id_seq": {}}}, ["public.m"])
    {'table': {'public.more': {}}, 'sequence': {}}
    """
    if not tables:
        return objects
    ours = re.compile(rf"(?:^|.* )(?:{'|'.join(map(re.escape, tables))})(?:{_PARTS}).*")
    left = {
        kind: {
            identity: d
            for identity, d in found.items()
            if not ours.fullmatch(identity) and not ours.fullmatch(str(d.get("on") or d.get("owned_by") or ""))
        }
        for kind, found in objects.items()
    }
    schemas = {table.rpartition(".")[0] for table in tables} - {"public"}
    used = {identity.partition(".")[0] for kind, found in left.items() if kind != "schema" for identity in found}
    return {
        kind: {identity: d for identity, d in found.items() if identity not in schemas - used}
        if kind == "schema"
        else found
        for kind, found in left.items()
    }
