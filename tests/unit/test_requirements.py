"""What a folder needs of a server, read from its SQL."""

import pytest

from migrollback_nb.files.migration import parse
from migrollback_nb.files.requirements import requirements_of
from migrollback_nb.replay import hints


def test_extensions_are_found_in_both_parts_each_at_its_first_place():
    first = parse('SELECT 1;\nCREATE EXTENSION IF NOT EXISTS "uuid-ossp";\n', name="001_a")
    second = parse(
        'CREATE EXTENSION "uuid-ossp";\n-- ROLLBACK START\n-- SELECT 1;\n-- CREATE EXTENSION hstore CASCADE;\n--'
        " ROLLBACK END\n",
        name="002_b",
    )
    assert requirements_of([first, second]).extensions == {"uuid-ossp": "001_a.sql:2", "hstore": "002_b.sql:4"}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE ROLE app",
        "CREATE USER app",
        "ALTER ROLE app SET x.y = 1",
        "DROP ROLE app",
        "GRANT a TO b",
        "DROP OWNED BY app",
        "REASSIGN OWNED BY a TO b",
        "ALTER SYSTEM SET work_mem = '4MB'",
        "CREATE DATABASE d",
        "ALTER DATABASE d SET x.y = 1",
        "ALTER DATABASE d OWNER TO app",
        "CREATE TABLESPACE s LOCATION '/s'",
        "COMMENT ON ROLE app IS ''",
        "ALTER ROLE a RENAME TO b",
        "GRANT CONNECT ON DATABASE d TO app",
        "DO $$ BEGIN IF true THEN create   role app; END IF; END $$",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP OWNED BY app'; END $$",
    ],
)
def test_what_all_databases_share_is_found(statement):
    assert len(requirements_of([parse(f"SELECT 1;\n{statement};", name="001_a")]).shared) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE role (a text)",
        "COMMENT ON TABLE t IS 'create role'",
        "GRANT SELECT ON t TO app",
        "ALTER TABLE t OWNER TO app",
        "DO $$ BEGIN ALTER USER MAPPING FOR a SERVER s; END $$",
        "not sql",
    ],
)
def test_what_is_of_one_database_is_not(statement):
    assert requirements_of([parse(f"{statement};", name="001_a")]).shared == ()


def test_a_text_cut_anywhere_needs_nothing_or_what_it_names():
    text = (
        "CREATE FUNCTION f() RETURNS int AS $$ SELECT 'é' /* x */ $$ LANGUAGE sql;\n-- ROLLBACK START\nGRANT SELECT ON"
        ' s.t TO "rôle";\0'
    )
    for end in range(len(text) + 1):
        schemas, roles = hints.schemas_and_roles(text[:end])
        assert (schemas, roles) in ((frozenset(), frozenset()), (frozenset({"s"}), frozenset({"rôle"})))
