"""Every object of the system x every action x every kind of role: who may what, whatever was done to the system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

import migrollback_nb as mr

if TYPE_CHECKING:
    from pg_servers import Server

WORLD = ("anon", "authenticated", "service_role")
OWN = ("mx_group", "mx_member", "mx_stranger", "mx_auditor", "mx_operator", "mx_group_of_auditors", "mx_in_it")
DEFAULT_PRIVILEGES = "".join(
    f"ALTER DEFAULT PRIVILEGES FOR ROLE mx_group GRANT ALL ON {kind} TO anon, authenticated, service_role;"
    for kind in ("TABLES", "FUNCTIONS", "SEQUENCES")
)
HELD = """
SELECT r.rolname, c.relname::text, p.privilege
FROM pg_roles r CROSS JOIN {schema}.migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
CROSS JOIN unnest('{{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}}'::text[]) AS p (privilege)
WHERE r.rolname = ANY (%(roles)s) AND (has_table_privilege(r.oid, c.oid, p.privilege)
      OR p.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
         AND has_any_column_privilege(r.oid, c.oid, p.privilege))
UNION ALL
SELECT r.rolname, f.proname::text, 'EXECUTE'
FROM pg_roles r CROSS JOIN {schema}.migration_system_objects() s JOIN pg_proc f ON f.oid = ANY (s.routines)
WHERE r.rolname = ANY (%(roles)s) AND has_function_privilege(r.oid, f.oid, 'EXECUTE')
"""
OBJECTS = """
SELECT c.relname::text, 'table' FROM {schema}.migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
UNION ALL
SELECT f.proname::text, CASE WHEN f.prorettype = 'trigger'::regtype THEN 'trigger' WHEN f.prosecdef THEN 'definer'
                        ELSE 'invoker' END
FROM {schema}.migration_system_objects() s JOIN pg_proc f ON f.oid = ANY (s.routines)
"""
TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
OF_OPERATORS = {
    "execute_migration_rollback", "effective_search_path", "request_migration_approval", "withdraw_migration_request",
    "migration_requests", "list_migration_policies", "operator_gate",
}  # fmt: skip


@contextmanager
def world(server: Server) -> Iterator[psycopg.Connection]:
    """The roles, in a database that a role owns which is no superuser."""
    for role in (*WORLD, *OWN):
        server.execute(f"DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role} LOGIN; END IF; END $$")
    server.execute("GRANT mx_group TO mx_member; GRANT mx_group_of_auditors TO mx_in_it")
    name = server.create_database(options="OWNER mx_group")
    try:
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute(DEFAULT_PRIVILEGES)
            yield connection
    finally:
        server.drop_database(name)
        for role in OWN:
            server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def expected(connection: psycopg.Connection, schema: sql.Identifier) -> set[tuple[str, str, str]]:
    """What each role may, by the rules."""
    found: set[tuple[str, str, str]] = set()
    for name, kind in connection.execute(sql.SQL(OBJECTS).format(schema=schema)):
        for owner in ("mx_group", "mx_member"):
            found |= {(owner, name, right) for right in (TABLE_RIGHTS if kind == "table" else ("EXECUTE",))}
        for auditor in ("mx_auditor", "mx_group_of_auditors", "mx_in_it"):
            if kind == "table":
                found.add((auditor, name, "SELECT"))
            elif kind == "invoker" or name in {"migration_requests", "list_migration_policies"}:
                found.add((auditor, name, "EXECUTE"))
        if name in OF_OPERATORS or name.endswith("_through_gate"):
            found.add(("mx_operator", name, "EXECUTE"))
    return found


def held(connection: psycopg.Connection, schema: sql.Identifier) -> set[tuple[str, str, str]]:
    """What each role may, as PostgreSQL says."""
    roles = {"roles": [*WORLD, *OWN]}
    return set(connection.execute(sql.SQL(HELD).format(schema=schema), roles).fetchall())


def grant_all(db: mr.Migrations) -> None:
    db.grant("auditor", "mx_auditor")
    db.grant("auditor", "mx_group_of_auditors")
    db.grant("operator", "mx_operator")


def test_everyone_may_what_the_rules_say_and_nothing_else(server: Server) -> None:
    with world(server) as admin, mr.connect(server.dsn(admin.info.dbname, user="mx_group")) as db:
        db.install()
        grant_all(db)
        assert held(admin, sql.Identifier("public")) == expected(admin, sql.Identifier("public"))


@pytest.mark.long
@pytest.mark.versions
@pytest.mark.parametrize("schema", ["public", "Private one"])
def test_whatever_is_done_to_the_system(server: Server, schema: str, tmp_path: Path) -> None:
    with world(server) as admin:
        place = sql.Identifier(schema)
        name = admin.info.dbname
        with mr.connect(server.dsn(name, user="mx_group"), schema=schema) as db:
            db.install()
            grant_all(db)
            assert held(admin, place) == expected(admin, place), "installed"
            db.install()
            assert held(admin, place) == expected(admin, place), "installed again"
            admin.execute(sql.SQL("DROP FUNCTION {0}.operator_gate() CASCADE").format(place))
            admin.execute(sql.SQL("DROP FUNCTION {0}.migration_warnings(text)").format(place))
            # a member repairs it, and what it makes is its owner's
            with mr.connect(server.dsn(name, user="mx_member"), schema=schema) as member:
                member.install()
            assert held(admin, place) == expected(admin, place), "repaired"
            system = "20250120_migration_rollback_system"
            db.rollback(system, confirm=system, trail=tmp_path / "log.json")
            db.install()
            rights = {right for right in expected(admin, place) if right[0] in {"mx_group", "mx_member"}}
            assert held(admin, place) == rights, "dropped and made again"
            grant_all(db)
            assert held(admin, place) == expected(admin, place), "granted again"


@pytest.mark.long
@pytest.mark.versions
def test_after_an_upgrade_too(server: Server) -> None:
    script = (Path(__file__).parents[1] / "upgrade/0.1.0/install.sql").read_text(encoding="utf-8")
    with world(server) as admin:
        name = admin.info.dbname
        place = sql.Identifier("Ops1")
        with psycopg.connect(server.dsn(name, user="mx_group"), autocommit=True) as owner:
            owner.execute(script)
        with mr.connect(server.dsn(name, user="mx_group"), schema="Ops1") as db:
            db.install()
            grant_all(db)
            assert held(admin, place) == expected(admin, place)
            assert list(db.roles()["finding"].dropna()) == []
