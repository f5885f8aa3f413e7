"""What happens in another database of the server, or to roles, changes no fingerprint, token or snapshot here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from watching import value

import migrollback_nb as mr

if TYPE_CHECKING:
    from pg_servers import Server

pytestmark = pytest.mark.versions

Session = Callable[..., psycopg.Connection]

#: Run in the other database, in order; THERE stands for it.
ELSEWHERE = (
    "ALTER DATABASE THERE SET work_mem = '5MB'",
    "ALTER DATABASE THERE SET work_mem = '6MB'",
    "ALTER ROLE other_role IN DATABASE THERE SET search_path = pg_catalog",
    "ALTER ROLE ALL IN DATABASE THERE SET app.tenant = '7'",
    "ALTER ROLE other_role IN DATABASE THERE RESET ALL",
    "ALTER DATABASE THERE RESET ALL",
    "ALTER DATABASE THERE OWNER TO other_role",
    "ALTER DATABASE THERE CONNECTION LIMIT 7",
    "GRANT CONNECT ON DATABASE THERE TO third_role",
    "REVOKE ALL ON DATABASE THERE FROM PUBLIC",
    "COMMENT ON DATABASE THERE IS 'other'",
    "COMMENT ON ROLE other_role IS 'other'",
    "COMMENT ON TABLESPACE pg_default IS NULL",
    "CREATE ROLE fourth_role",
    "GRANT third_role TO other_role",
    "ALTER ROLE third_role CREATEDB PASSWORD 'x'",
    "DROP ROLE fourth_role",
    "GRANT SET ON PARAMETER log_statement TO third_role",
    "CREATE TABLE t (a int); ALTER TABLE t OWNER TO other_role; GRANT SELECT ON t TO third_role",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO third_role",
    "CREATE PUBLICATION p FOR TABLE t",
    "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
    "COMMENT ON SUBSCRIPTION s IS 'other'",
    "ALTER SUBSCRIPTION s SET (slot_name = NONE)",
    "DROP SUBSCRIPTION s",
    "SELECT pg_replication_origin_create('other')",
    "SELECT pg_replication_origin_drop('other')",
    "CREATE EXTENSION pg_stat_statements",
    "VACUUM FULL pg_catalog.pg_db_role_setting",
    "VACUUM FULL pg_catalog.pg_database",
    "VACUUM FULL pg_catalog.pg_authid",
    "REASSIGN OWNED BY other_role TO third_role",
    "CREATE DATABASE fifth",
    "DROP DATABASE fifth",
)


@pytest.fixture
def elsewhere(server: Server) -> Iterator[psycopg.Connection]:
    """A session of another database; two roles own things of it alone."""
    name = server.create_database()
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute("CREATE ROLE other_role; CREATE ROLE third_role")
        yield connection
        connection.execute("DROP OWNED BY other_role, third_role CASCADE")
    server.drop_database(name)
    server.execute("DROP OWNED BY other_role, third_role; DROP ROLE other_role, third_role")


@pytest.mark.long
def test_nothing_that_happens_elsewhere_voids_a_preview(
    db: mr.Migrations, applied: Callable[..., str], session: Session, elsewhere: psycopg.Connection
) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    here = session()
    name = value(here, "SELECT pg_catalog.quote_ident(pg_catalog.current_database())")
    here.execute(
        f"ALTER DATABASE {name} SET work_mem = '7MB'"
    )  # a setting of its own, whose row the others stand beside
    question = "SELECT ARRAY[migration_fingerprint('{001_t}'), schema_hash(), schema_snapshot()::text]"
    before = value(here, question)
    for statement in ELSEWHERE:
        elsewhere.execute(statement.replace("THERE", elsewhere.info.dbname))
        assert value(here, question) == before, statement
    preview = db.preview("001_t")
    elsewhere.execute(f"ALTER DATABASE {elsewhere.info.dbname} SET work_mem = '5MB'")
    assert db.rollback("001_t", confirm="001_t", preview=preview).success


@pytest.mark.parametrize(
    "statement", ["ALTER DATABASE HERE SET work_mem = '5MB'", "ALTER ROLE ALL IN DATABASE HERE SET work_mem = '5MB'"]
)
def test_what_is_set_for_this_database_still_voids_it(db: mr.Migrations, session: Session, statement: str) -> None:
    here = session()
    before = value(here, "SELECT schema_hash()")
    here.execute(statement.replace("HERE", here.info.dbname))
    assert value(here, "SELECT schema_hash()") != before
