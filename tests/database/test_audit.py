"""The audit log is append-only, also under replica, and its chain of hashes tells of any change;
in SQL and in Python."""

import psycopg
import pytest
from pg_servers import with_migrations
from watching import events, last_event, value

import migrollback_nb as mr
from migrollback_nb.operations.event_chain import event_hash

pytestmark = pytest.mark.versions


NAME = "001_ěšč 🐎"
FILE = "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n"


@pytest.fixture(scope="module")
def database_template(server, tmp_path_factory):
    """Some events, with values that are awkward to hash."""
    folder = tmp_path_factory.mktemp("audit") / "migrations"
    for name in with_migrations(server, folder, {NAME: FILE}):
        with mr.connect(server.dsn(name), dir=folder) as db:
            db.rollback(NAME, confirm=NAME, reason='sv. "Václav"\nřekl: \\ ; 1.50 <b>')
        yield name


@pytest.fixture(scope="module")
def shared_trail(server, database_template):
    """One database for the tests that change nothing but by adding events."""
    name = server.create_database(template=database_template)
    with mr.connect(server.dsn(name)) as db:
        yield db
    server.drop_database(name)


@pytest.fixture
def trail(db, write_migration):
    write_migration(NAME, FILE)
    return db


def verified_in_sql(connection):
    return connection.execute(
        "SELECT intact, events, head_number, head_hash, first_bad_number FROM verify_migration_events()"
    ).fetchone()


@pytest.mark.few(6)
@pytest.mark.parametrize("replica", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE migration_events SET reason = 'x'",
        "UPDATE migration_events SET hash = hash WHERE event_number = 1",
        "DELETE FROM migration_events",
        "DELETE FROM migration_events WHERE event_number = 2",
        "TRUNCATE migration_events",
        "TRUNCATE migration_history CASCADE",
        "TRUNCATE migration_dependencies",
        "MERGE INTO migration_events e USING (SELECT 1) s ON e.event_number = 1 WHEN MATCHED THEN DELETE",
        (
            "INSERT INTO migration_events AS e (event_number, event, database_user, hash, occurred_at) VALUES (1,"
            " 'applied', 'x', 'x', now()) ON CONFLICT (event_number) DO UPDATE SET reason = 'x'"
        ),
    ],
)
def test_append_only(shared_trail, server, statement, replica):
    with psycopg.connect(server.dsn(shared_trail.target.database), autocommit=True) as connection:
        if replica:
            connection.execute("SET session_replication_role = replica")
        count = value(connection, "SELECT count(*) FROM migration_events")
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement)
        assert caught.value.sqlstate == "MR010"
        assert value(connection, "SELECT count(*) FROM migration_events") == count
    assert shared_trail.verify_events().intact


def test_chain_is_verified_alike_in_sql_and_in_python(trail, session):
    found = trail.verify_events()
    assert found.intact
    assert verified_in_sql(session()) == (True, found.events, found.head_number, found.head_hash, None)
    assert found.events == len(trail.events())


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Asia/Kathmandu"])
def test_verification_hangs_on_no_setting(trail, session, zone):
    connection = session(
        options=(
            f"-c timezone={zone} -c datestyle=german -c intervalstyle=iso_8601 -c extra_float_digits=-3 -c"
            " bytea_output=escape -c search_path=pg_temp"
        )
    )
    assert connection.execute("SELECT intact FROM public.verify_migration_events()").fetchone() == (True,)


CHANGES = {
    "occurred_at": "occurred_at = occurred_at + interval '1 microsecond'",
    "event": "event = 'resolved'",
    "migration_name": "migration_name = 'other'",
    "attempt_id": "attempt_id = gen_random_uuid()",
    "database_user": "database_user = 'other'",
    "client": "client = 'other'",
    "reason": "reason = 'other'",
    "details": "details = details || '{\"a\": 1}'",
    "hash": "hash = md5(hash)",
    "previous_hash": "previous_hash = md5(hash)",
    "event_number": "event_number = 100",
}


@pytest.mark.few(4)
@pytest.mark.parametrize("field", CHANGES)
def test_tampering_behind_a_disabled_trigger_is_found(trail, session, field):
    connection = session()
    connection.execute(
        f"ALTER TABLE migration_events DISABLE TRIGGER ALL; UPDATE migration_events SET {CHANGES[field]} WHERE"
        " event_number = 3; ALTER TABLE migration_events ENABLE TRIGGER ALL"
    )
    found = trail.verify_events()
    assert not found.intact
    intact, _, _, _, bad = verified_in_sql(connection)
    assert not intact
    assert found.first_bad_number == bad
    assert bad == (4 if field == "event_number" else 3)


def test_a_removed_event_is_found(trail, session):
    session().execute(
        "ALTER TABLE migration_events DISABLE TRIGGER ALL; DELETE FROM migration_events WHERE event_number = 2; ALTER"
        " TABLE migration_events ENABLE TRIGGER ALL"
    )
    assert not trail.verify_events().intact
    assert not verified_in_sql(session())[0]


def test_a_chain_that_was_hashed_anew_over_a_gap_is_found(trail, session):
    connection = session()
    connection.execute(
        "ALTER TABLE migration_events DISABLE TRIGGER ALL; DELETE FROM migration_events WHERE event_number = 2;"
        " DO $$ DECLARE e record; before text; BEGIN FOR e IN SELECT * FROM migration_events ORDER BY event_number LOOP"
        " UPDATE migration_events SET previous_hash = before, hash = migration_event_hash(before, e.event_number,"
        " e.occurred_at, e.event, e.migration_name, e.attempt_id, e.database_user, e.client, e.reason, e.details)"
        " WHERE event_number = e.event_number RETURNING hash INTO before; END LOOP; END $$"
    )
    intact, _, _, _, bad = verified_in_sql(connection)
    assert (intact, bad) == (False, 3)
    found = trail.verify_events()
    assert (found.intact, found.first_bad_number) == (False, 3)


def test_a_cut_tail_is_seen_only_in_the_head(trail, session):
    head = trail.verify_events()
    session().execute(
        "ALTER TABLE migration_events DISABLE TRIGGER ALL; DELETE FROM migration_events WHERE event_number = (SELECT"
        " max(event_number) FROM migration_events); ALTER TABLE migration_events ENABLE TRIGGER ALL"
    )
    after = trail.verify_events()
    assert after.intact
    assert (after.head_number, after.head_hash) != (head.head_number, head.head_hash)


def test_a_replaced_sql_function_does_not_fool_python(trail, session):
    session().execute(
        "ALTER TABLE migration_events DISABLE TRIGGER ALL; UPDATE migration_events SET reason = 'x' WHERE event_number"
        " = 3; CREATE OR REPLACE FUNCTION migration_event_hash(previous_hash text, event_number bigint,occurred_at"
        " timestamptz, event text, migration_name text, attempt_id uuid, database_user text, client text, reason text,"
        " details jsonb) RETURNS text LANGUAGE sql AS $$SELECT e.hash FROM public.migration_events e WHERE"
        " e.event_number = migration_event_hash.event_number $$"
    )
    assert verified_in_sql(session())[0]
    assert not trail.verify_events().intact


def test_what_a_writer_says_of_itself_is_not_taken(trail, session):
    connection = session()
    connection.execute("SET ROLE pg_monitor")
    connection.execute("RESET ROLE")
    connection.execute(
        "INSERT INTO migration_events (event_number, occurred_at, event, database_user, previous_hash, details) VALUES"
        " (77, '1999-01-01', 'resolved', 'somebody else', 'x', '{\"history_hash\": \"x\"}')"
    )
    event = last_event(connection)
    assert event["event_number"] == value(connection, "SELECT count(*) FROM migration_events")
    assert event["database_user"] == "postgres"
    assert event["occurred_at"].year > 2000
    assert event["details"] == {}
    assert trail.verify_events().intact


def test_another_role_does_not_falsify_who_it_was(trail, session):
    connection = session()
    connection.execute(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO pg_monitor; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO"
        " pg_monitor; SET ROLE pg_monitor"
    )
    connection.execute("SELECT add_migration_event('checklist_item', NULL)")
    connection.execute("RESET ROLE")
    assert last_event(connection)["database_user"] == "postgres"


def test_an_event_keeps_who_asked_and_why(trail, session):
    event = last_event(session())
    assert event["event"] == "rolled_back"
    assert event["reason"].startswith('sv. "Václav"')
    assert event["client"].startswith("migrollback_nb/python ")
    assert "@" in event["client"]
    assert event["attempt_id"] is not None


def test_the_attempt_is_on_record_before_it_ends(trail, session):
    trail.apply(NAME)
    trail.rollback(NAME, confirm=NAME)
    assert events(session())[-2:] == ["started", "rolled_back"]
    first, second = (
        session()
        .execute(
            "SELECT attempt_id, details FROM migration_events WHERE attempt_id IS NOT NULL ORDER BY event_number DESC"
            " LIMIT 2"
        )
        .fetchall()
    )
    assert first[0] == second[0]
    assert second[1]["database"] == trail.target.database


def test_every_event_hashes_alike_in_both(trail):
    for event in trail.database.queries.events():
        assert event_hash(event) == event["hash"]


# -- by hand ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replica", [False, True])
def test_a_change_by_hand_leaves_an_event(trail, session, replica):
    connection = session()
    if replica:
        connection.execute("SET session_replication_role = replica")
    count = len(events(connection))
    connection.execute(
        "UPDATE migration_history SET status = 'applied', notes = 'fixed by hand' WHERE migration_version = '001'"
    )
    event = last_event(connection)
    assert event["event"] == "history_changed"
    assert event["details"]["operation"] == "UPDATE"
    assert event["details"]["old"]["status"] == "rolled_back"
    assert event["details"]["new"]["status"] == "applied"
    assert "rollback_sql" not in event["details"]["new"]
    # a row that is put in as a replica comes with its events, or the audit names it
    connection.execute("SET session_replication_role = origin")
    connection.execute("INSERT INTO migration_history (migration_name, migration_version) VALUES ('002_b', '2')")
    connection.execute(
        "INSERT INTO migration_dependencies (migration_name, depends_on) SELECT '002_b', migration_name FROM"
        " migration_history WHERE migration_version = '001'"
    )
    connection.execute("DELETE FROM migration_dependencies")
    connection.execute("DELETE FROM migration_history WHERE migration_name = '002_b'")
    assert events(connection)[count:] == ["history_changed"] * 5
    assert trail.verify_events().intact


def test_an_update_that_changes_nothing_is_still_an_event(trail, session):
    count = len(events(session()))
    session().execute("UPDATE migration_history SET notes = notes")
    assert len(events(session())) == count + 2


@pytest.mark.parametrize(
    "spoof",
    [
        "SET migrollback.recording = 'on'",
        "SELECT set_config('migrollback.recording', 'on', false)",
        "SET LOCAL migrollback.recording = 'on'",
        # not with our own transaction's number: whoever may write the history may also switch its trigger off, and the
        # chain's head, kept outside the database, is what tells of that
    ],
)
def test_a_change_by_hand_leaves_an_event_also_after_our_own_setting_was_set(trail, session, spoof):
    connection = session()
    count = len(events(connection))
    with connection.transaction():
        connection.execute(spoof)
        connection.execute("UPDATE migration_history SET status = 'applied' WHERE migration_version = '001'")
    assert len(events(connection)) == count + 1


def test_our_own_setting_does_not_outlive_our_functions(trail, session, write_migration):
    connection = session()
    with connection.transaction():
        connection.execute("SELECT register_migration('005_x', '005', rollback_sql => 'SELECT 1')")
        count = len(events(connection))
        connection.execute(
            "UPDATE migration_history SET notes = 'in the same transaction' WHERE migration_name = '005_x'"
        )
        assert len(events(connection)) == count + 1
    with pytest.raises(psycopg.Error):
        connection.execute("SELECT register_migration('006_x', '006', depends_on => '{nowhere}')")
    count = len(events(connection))
    connection.execute("UPDATE migration_history SET notes = 'after an error' WHERE migration_name = '005_x'")
    assert len(events(connection)) == count + 1


def test_registering_twice_leaves_one_event(trail, write_migration, session):
    write_migration("003_c", "SELECT 1;")
    assert trail.register("003_c").outcome == "registered"
    count = len(events(session()))
    assert trail.register("003_c").outcome == "unchanged"
    assert len(events(session())) == count


def test_a_sync_with_nothing_new_leaves_no_event(trail, session):
    count = len(events(session()))
    trail.sync()
    trail.check("001_ěšč 🐎")
    trail.list()
    trail.history()
    trail.plan("001_ěšč 🐎")
    assert len(events(session())) == count
