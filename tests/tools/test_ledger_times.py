"""applied_at after a sync is the time of the deploy tool's ledger, where that keeps one; where not, that is said."""

from datetime import UTC, datetime, timedelta

import pytest
from ledgers import DIESEL, FLYWAY, GOLANG_MIGRATE, GOOSE, LEDGERS, PAIR, PRISMA, SQLX, write_files
from watching import value

pytestmark = pytest.mark.versions

GOOSE_FILES = LEDGERS["goose"][3]
#: Tool -> (its ledger, its files, what it writes when it applied the three of them, whether it keeps a time zone).
KEPT = {
    "goose": (GOOSE, GOOSE_FILES, "INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES {rows}", False),
    "sql-migrate": (
        LEDGERS["sql-migrate"][0],
        LEDGERS["sql-migrate"][3],
        "INSERT INTO gorp_migrations VALUES {rows}",
        True,
    ),
    "diesel": (DIESEL, LEDGERS["diesel"][3], "INSERT INTO __diesel_schema_migrations VALUES {rows}", False),
    "sqlx": (
        SQLX,
        PAIR,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time, installed_on) VALUES"
        " {rows}",
        True,
    ),
    "Flyway": (
        FLYWAY,
        {"V{n}__t.sql": "{up}", "U{n}__t.sql": "{down}"},
        "INSERT INTO flyway_schema_history (installed_rank, version, description, type, script, installed_by,"
        " execution_time, success, installed_on) VALUES {rows}",
        False,
    ),
    "Prisma": (
        PRISMA,
        {"0000{n}_t/migration.sql": "{up}"},
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, applied_steps_count, finished_at) VALUES {rows}",
        True,
    ),
}
#: How each writes one row; {at} is its time.
ROW = {
    "goose": "({n}, true, {at})",
    "sql-migrate": "('0000{n}_t.sql', {at})",
    "diesel": "('0000{n}', {at})",
    "sqlx": "({n}, 't', true, '', 0, {at})",
    "Flyway": "({n}, '{n}', 't', 'SQL', 'V{n}__t.sql', 'postgres', 0, true, {at})",
    "Prisma": "('{n}', '', '0000{n}_t', 1, {at})",
}


@pytest.mark.few(2)
@pytest.mark.parametrize("tool", KEPT)
def test_the_ledgers_time_is_taken(db, folder, session, tool):
    table, forms, insert, zoned = KEPT[tool]
    connection = session()
    connection.execute(table)
    write_files(folder, forms)
    moments = {n: f"timestamptz '2025-03-{10 + n} 08:30:00+00'" for n in (1, 2, 3)}
    rows = ", ".join(ROW[tool].format(n=n, at=moment) for n, moment in moments.items())
    connection.execute(insert.format(rows=rows))
    found = db.sync()
    assert len(found.registered) == 3
    assert found.without_time == ()
    history = db.history().sort_values("applied_at")
    expected = [datetime(2025, 3, 10 + n, 8, 30, tzinfo=UTC) for n in (1, 2, 3)]
    for at, was in zip(history["applied_at"].iloc[:3], expected, strict=True):
        assert abs(at - was) < timedelta(milliseconds=1)
    kept = "ledger" if zoned else "ledger, local time"
    assert value(
        connection,
        "SELECT array_agg(DISTINCT metadata ->> 'applied_at_from') FROM migration_history WHERE metadata ->>"
        " 'system' IS NULL",
    ) == [kept]
    assert value(connection, "SELECT count(*) FROM migration_history WHERE metadata ? 'applied_at'") == 0


def test_what_was_applied_in_one_transaction_keeps_its_order(db, folder, session):
    connection = session()
    connection.execute(GOOSE)
    write_files(folder, GOOSE_FILES)
    connection.execute("INSERT INTO goose_db_version (version_id, is_applied) VALUES (1, true), (2, true), (3, true)")
    db.sync()
    assert db.last().migration_name == "00003_t"
    times = [at for (at,) in connection.execute("SELECT applied_at FROM migration_history ORDER BY migration_name")]
    assert len(set(times)) == 4
    assert value(connection, "SELECT max(applied_at) <= now() FROM migration_history")


def test_a_ledger_without_times_and_a_folder_without_a_ledger_are_said(db, folder, session):
    connection = session()
    connection.execute(GOLANG_MIGRATE)
    write_files(folder, PAIR)
    connection.execute("INSERT INTO schema_migrations VALUES (3, false)")
    found = db.sync()
    assert found.without_time == ("1_t", "2_t", "3_t")
    assert found.to_dict()["without_time"] == ["1_t", "2_t", "3_t"]
    (warning,) = db.history().attrs["warnings"]
    assert warning == (
        "applied_at of 3 migrations is the time of their registration, for no ledger says when they were applied"
    )
    assert db.sync().to_dict().get("without_time") is None


def test_what_we_apply_again_ourselves_has_our_time(db, folder, session):
    connection = session()
    connection.execute(GOOSE)
    write_files(folder, GOOSE_FILES)
    connection.execute("INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES (1, true, '2025-03-11')")
    db.sync()
    db.rollback("00001_t", confirm="00001_t") if value(connection, "SELECT to_regclass('t1') IS NOT NULL") else (
        db.resolve("00001_t", status="rolled_back", reason="not there")
    )
    db.apply("00001_t")
    applied_at, source = connection.execute(
        "SELECT applied_at > now() - interval '1 hour', metadata ->> 'applied_at_from' FROM migration_history WHERE"
        " migration_name = '00001_t'"
    ).fetchone()
    assert (applied_at, source) == (True, None)
