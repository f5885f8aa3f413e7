"""The specified tables have exactly the specified columns, and refuse the bad row."""

import psycopg
import pytest

pytestmark = pytest.mark.versions

HISTORY = [
    ("id", "uuid", True),
    ("migration_name", "text", True),
    ("migration_version", "text", True),
    ("applied_at", "timestamp with time zone", False),
    ("applied_by", "text", False),
    ("rollback_sql", "text", False),
    ("checksum", "text", False),
    ("status", "text", True),
    ("rollback_at", "timestamp with time zone", False),
    ("rollback_by", "text", False),
    ("notes", "text", False),
    ("metadata", "jsonb", True),
]
DEPENDENCIES = [
    ("id", "uuid", True),
    ("migration_name", "text", True),
    ("depends_on", "text", True),
    ("created_at", "timestamp with time zone", False),
]

COLUMNS = (
    "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attrelid = %s::regclass AND"
    " attnum > 0 AND NOT attisdropped ORDER BY attnum"
)
CONSTRAINTS = (
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'f')"
    " ORDER BY 1"
)


@pytest.fixture
def connection(shared_database):
    """In a transaction that is rolled back."""
    with psycopg.connect(shared_database) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    ("table", "columns"), [("migration_history", HISTORY), ("migration_dependencies", DEPENDENCIES)]
)
def test_specified_columns_come_first_and_in_order(connection, table, columns):
    assert connection.execute(COLUMNS, (table,)).fetchall()[: len(columns)] == columns


def test_specified_keys(connection):
    history = [definition for (definition,) in connection.execute(CONSTRAINTS, ("migration_history",))]
    assert {"PRIMARY KEY (id)", "UNIQUE (migration_name)"} <= set(history)
    dependencies = [definition for (definition,) in connection.execute(CONSTRAINTS, ("migration_dependencies",))]
    assert {
        "PRIMARY KEY (id)",
        "UNIQUE (migration_name, depends_on)",
        "FOREIGN KEY (migration_name) REFERENCES migration_history(migration_name)",
        "FOREIGN KEY (depends_on) REFERENCES migration_history(migration_name)",
    } <= set(dependencies)


def test_specified_defaults(connection):
    row = connection.execute(
        "INSERT INTO migration_history (migration_name, migration_version) VALUES ('001_a', '001') RETURNING applied_at"
        " = now(), applied_by = current_user, metadata, rollback_at, rollback_by, id IS NOT NULL"
    ).fetchone()
    assert row == (True, True, {}, None, None, True)


def test_specified_indexes(connection):
    names = {name for (name,) in connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")}
    assert {
        "idx_migration_history_version",
        "idx_migration_history_status",
        "idx_migration_history_applied_at",
        "idx_migration_deps_migration",
        "idx_migration_deps_depends_on",
    } <= names


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO migration_history (migration_name, migration_version, status) VALUES ('001_a', '1', 'done')",
        "INSERT INTO migration_history (migration_name, migration_version, status) VALUES ('001_a', '1', NULL)",
        "INSERT INTO migration_history (migration_name, migration_version) VALUES ('', '1')",
        "INSERT INTO migration_history (migration_name, migration_version) VALUES (NULL, '1')",
        "INSERT INTO migration_history (migration_name, migration_version) VALUES ('001_a', NULL)",
        "INSERT INTO migration_history (migration_name, migration_version, metadata) VALUES ('001_a', '1', '[]')",
        "INSERT INTO migration_history (migration_name, migration_version) VALUES ('000_base', '1')",
        "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('000_base', '000_base')",
        "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('000_base', 'nowhere')",
        (
            "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('000_base', '000_other'),"
            " ('000_base', '000_other')"
        ),
        (
            "DELETE FROM migration_history WHERE migration_name = '000_other'; INSERT INTO migration_dependencies"
            " (migration_name, depends_on) VALUES ('000_base', '000_other')"
        ),
        "INSERT INTO migration_events (event, database_user) VALUES ('invented', 'me')",
    ],
)
def test_the_bad_row_is_refused(connection, statement):
    connection.execute(
        "INSERT INTO migration_history (migration_name, migration_version) VALUES ('000_base', '1'), ('000_other', '1')"
    )
    with pytest.raises(psycopg.errors.IntegrityError):
        connection.execute(statement)


def test_times_by_hand_follow_the_status(connection):
    connection.execute("INSERT INTO migration_history (migration_name, migration_version) VALUES ('001_a', '1')")
    query = (
        "UPDATE migration_history SET status = %s WHERE migration_name = '001_a' RETURNING rollback_at IS NOT NULL,"
        " rollback_by IS NOT DISTINCT FROM current_user"
    )
    assert connection.execute(query, ("rolled_back",)).fetchone() == (True, True)
    assert connection.execute(query, ("applied",)).fetchone() == (False, False)
