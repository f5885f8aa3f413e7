"""The four specified functions: names, leading arguments, result columns and messages to the letter."""

import pytest
from watching import events, exists, value

pytestmark = pytest.mark.versions

SAFE = "Migration can be safely rolled back"


def columns(cursor):
    return [column.name for column in cursor.description]


@pytest.fixture
def connection(session):
    return session()


@pytest.mark.each_server
def test_can_rollback_migration(applied, connection):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    cursor = connection.execute("SELECT * FROM can_rollback_migration('001_t')")
    assert columns(cursor) == ["can_rollback", "reason", "dependent_migrations"]
    assert cursor.fetchall() == [(True, SAFE, [])]


def test_can_rollback_migration_of_an_unknown_name(connection):
    assert connection.execute("SELECT * FROM can_rollback_migration('nowhere')").fetchall() == [
        (False, "Migration not found", [])
    ]
    assert connection.execute("SELECT can_rollback FROM can_rollback_migration(NULL)").fetchall() == [(False,)]


def test_dry_run(applied, connection):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    before = events(connection)
    cursor = connection.execute("SELECT * FROM execute_migration_rollback('001_t', true)")
    assert columns(cursor) == ["success", "message", "sql_executed"]
    assert cursor.fetchall() == [(True, "Dry run: rollback SQL shown below (not executed)", "DROP TABLE t;")]
    assert exists(connection, "t")
    assert events(connection) == before


@pytest.mark.parametrize(
    "call",
    [
        "execute_migration_rollback('001_t')",
        "execute_migration_rollback('001_t', false)",
        "execute_migration_rollback(name => '001_t', dry_run => false)",
    ],
)
def test_execute(applied, connection, call):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    cursor = connection.execute(f"SELECT * FROM {call}")
    assert columns(cursor) == ["success", "message", "sql_executed"]
    assert cursor.fetchall() == [(True, "Migration rolled back successfully", "DROP TABLE t;")]
    assert not exists(connection, "t")
    row = connection.execute(
        "SELECT status, rollback_at <= clock_timestamp(), rollback_by FROM migration_history WHERE migration_name ="
        " '001_t'"
    ).fetchone()
    assert row == ("rolled_back", True, "postgres")


def test_execute_of_an_unknown_name(connection):
    assert connection.execute("SELECT * FROM execute_migration_rollback('nowhere')").fetchall() == [
        (False, "Migration not found", None)
    ]


def test_messages_of_every_refusal(applied, connection):
    applied("001_base", "CREATE TABLE base ();", "DROP TABLE base;")
    applied("002_dependent", "CREATE TABLE dependent ();", "DROP TABLE dependent;", depends_on=["001_base"])
    applied("003_bare", "SELECT 1;")
    applied("004_fails", "SELECT 1;", "DROP TABLE nowhere;")
    connection.execute("SELECT execute_migration_rollback('004_fails')")
    connection.execute("SELECT execute_migration_rollback('002_dependent')")
    connection.execute("UPDATE migration_history SET status = 'applied' WHERE migration_name = '002_dependent'")

    def refusal(name):
        success, message, sql_executed = connection.execute(
            "SELECT * FROM execute_migration_rollback(%s)", (name,)
        ).fetchone()
        assert not success
        assert sql_executed is None
        assert connection.execute(
            "SELECT can_rollback, reason FROM can_rollback_migration(%s)", (name,)
        ).fetchone() == (False, message)
        return message

    assert refusal("001_base") == "Cannot rollback: other migrations depend on this one"
    assert refusal("003_bare") == "No rollback SQL defined for this migration"
    assert refusal("004_fails") == "Rollback failed, manual intervention required"
    connection.execute(
        "SELECT execute_migration_rollback('002_dependent'), execute_migration_rollback('002_dependent')"
    )
    connection.execute("UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = '002_dependent'")
    assert refusal("002_dependent") == "Already rolled back, cannot rollback again"


def test_a_failure_says_why(applied, connection):
    applied("001_t", "SELECT 1;", "DROP TABLE nowhere;")
    assert connection.execute("SELECT * FROM execute_migration_rollback('001_t')").fetchall() == [
        (False, 'Rollback failed: table "nowhere" does not exist', None)
    ]


def test_list_rollbackable_migrations(applied, connection):
    applied("001_base", "CREATE TABLE base ();", "DROP TABLE base;")
    applied("002_dependent", "CREATE TABLE dependent ();", "DROP TABLE dependent;", depends_on=["001_base"])
    applied("003_gone", "SELECT 1;", "SELECT 1;")
    connection.execute("SELECT execute_migration_rollback('003_gone')")
    cursor = connection.execute("SELECT * FROM list_rollbackable_migrations() ORDER BY applied_at DESC LIMIT 10")
    assert columns(cursor) == [
        "migration_name",
        "migration_version",
        "applied_at",
        "status",
        "can_rollback",
        "has_rollback_sql",
        "blocking_reason",
        "dependent_migrations",
    ]
    rows = {row[0]: row[3:] for row in cursor}
    assert rows["002_dependent"] == ("applied", True, True, None, [])
    assert rows["001_base"] == (
        "applied",
        False,
        True,
        "Cannot rollback: other migrations depend on this one",
        ["002_dependent"],
    )
    assert "003_gone" not in rows


def test_no_listing_contradicts_itself(applied, connection):
    for name, rollback in (
        ("001_a", "SELECT 1;"),
        ("002_b", None),
        ("003_c", "DROP TABLE nowhere;"),
        ("004_d", "SELEC;"),
        ("005_e", "-- nothing"),
        ("006_f", "VACUUM;"),
    ):
        applied(name, "SELECT 1;", rollback)
    connection.execute("SELECT execute_migration_rollback('003_c')")
    for name, can, has_sql, reason in connection.execute(
        "SELECT migration_name, can_rollback, has_rollback_sql, blocking_reason FROM list_rollbackable_migrations()"
    ).fetchall():
        assert can == (reason is None)
        assert has_sql or not can
        assert connection.execute(
            "SELECT can_rollback, nullif(reason, %s) FROM can_rollback_migration(%s)", (SAFE, name)
        ).fetchone() == (can, reason)


def test_create_migration_snapshot(connection):
    connection.execute("CREATE TABLE kept (a int NOT NULL)")
    assert (
        value(
            connection,
            "SELECT pg_typeof(create_migration_snapshot('20250120_risky_migration', 'Snapshot before major schema"
            " change'))::text",
        )
        == "uuid"
    )
    name, description, columns_then = connection.execute(
        "SELECT migration_name, description, objects #> '{table,public.kept,columns}' FROM migration_snapshots"
    ).fetchone()
    assert (name, description, columns_then) == (
        "20250120_risky_migration",
        "Snapshot before major schema change",
        ["a"],
    )


def test_specified_troubleshooting_by_hand(applied, connection):
    applied("001_t", "SELECT 1;", "DROP TABLE nowhere;")
    connection.execute("SELECT execute_migration_rollback('001_t')")
    assert value(connection, "SELECT status FROM migration_history WHERE migration_name = '001_t'") == "failed"
    connection.execute("UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = '001_t'")
    assert connection.execute("SELECT reason FROM can_rollback_migration('001_t')").fetchone() == (
        "Already rolled back, cannot rollback again",
    )
