"""A rehearsal runs the rollback for real, tells what it did, and leaves nothing but its one event."""

import io
import json

import psycopg
import pytest
from watching import Background, dismiss_all, events, eventually_sleeps, eventually_waits, last_event, schema_of, value

import migrollback_nb as mr
from migrollback_nb import cli

pytestmark = pytest.mark.versions


def everything(connection):
    """Schema, rows of every table (the events aside), sequences, and the locks of all other sessions of this
    database."""
    tables = connection.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN"
        " ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relname !~ '^migration_events'"
        " ORDER BY 1"
    ).fetchall()
    rows = {
        table: value(connection, f"SELECT coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM {table} t")
        for (table,) in tables
    }
    sequences = connection.execute(
        "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
    ).fetchall()
    locks = connection.execute(
        "SELECT locktype, relation, mode, classid, objid FROM pg_locks WHERE pid <> pg_backend_pid() AND (relation IS"
        " NULL OR relation >= 16384) AND locktype <> 'virtualxid' AND database = (SELECT oid FROM pg_database WHERE"
        " datname = current_database()) ORDER BY 1, 2, 3, 4, 5"
    ).fetchall()
    files = connection.execute(
        "SELECT oid, relfilenode FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 'm') ORDER BY 1"
    ).fetchall()
    return schema_of(connection), rows, sequences, locks, files


def settings_of(connection):
    """All settings of this session, and its role."""
    return (
        connection.execute("SELECT name, setting FROM pg_settings WHERE name NOT LIKE '%.%' ORDER BY 1").fetchall()
        + connection.execute("SELECT current_user, session_user, pg_my_temp_schema()").fetchall()
    )


@pytest.fixture
def unchanged(db, session):
    """Compares everything before and after: unchanged(call) gives what the call gave, or the error that it raised."""
    watcher = session()

    def check(call):
        before = everything(watcher), settings_of(db.database.connection)
        number = len(events(watcher))
        try:
            answer = call()
        except mr.MigrollbackError as error:
            answer = error
        after = everything(watcher), settings_of(db.database.connection)
        for one, other in zip((*before[0], before[1]), (*after[0], after[1]), strict=True):
            assert one == other
        unchanged.events = events(watcher, after=number)
        return answer

    unchanged.events = []
    check.events = lambda: unchanged.events
    return check


@pytest.fixture
def shop(db, applied):
    applied(
        "001_users",
        "CREATE TABLE users (id serial PRIMARY KEY, email text, notes text);"
        "INSERT INTO users (email, notes) SELECT 'a' || g, CASE WHEN g <= 3 THEN 'x' END FROM generate_series(1,"
        " 10) g;",
        "DROP TABLE users CASCADE;",
    )
    applied("002_report", "CREATE VIEW daily_totals AS SELECT count(*) FROM users;", "DROP VIEW daily_totals;")
    dismiss_all(db)  # what it would take of others is found, where nobody has said that these depend on it


def test_a_rehearsal_leaves_nothing_but_its_event(db, shop, unchanged, session):
    rehearsed = unchanged(lambda: db.rehearse("002_report"))
    assert rehearsed.success
    assert rehearsed.failure is None
    assert [(change.change, change.kind, change.identity) for change in rehearsed.diff.main] == [
        ("dropped", "view", "public.daily_totals")
    ]
    assert unchanged.events() == ["rehearsed"]
    event = last_event(session())
    assert event["migration_name"] == "002_report"
    assert event["details"]["success"] is True
    assert event["details"]["fingerprint"] == rehearsed.fingerprint
    assert event["client"].startswith("migrollback_nb/python")


def test_what_goes_because_of_cascade_stands_first_in_plain_words(db, shop, unchanged):
    rehearsed = unchanged(lambda: db.rehearse("001_users"))
    assert rehearsed.success
    assert rehearsed.dangers[0] == "also drops view public.daily_totals, made by 002_report"
    assert "loses 10 rows of table public.users, which is dropped" in rehearsed.dangers
    assert not any("drops table public.users" in danger for danger in rehearsed.dangers), "that is what it is for"


@pytest.mark.long
def test_what_belongs_to_another_migration_is_alarming_though_it_is_named(db, shop, applied, unchanged):
    applied(
        "003_wrong",
        "ALTER TABLE users ADD COLUMN tags text;",
        "ALTER TABLE users DROP COLUMN tags; ALTER TABLE users DROP COLUMN notes; DROP VIEW daily_totals;",
    )
    rehearsed = unchanged(lambda: db.rehearse("003_wrong"))
    assert rehearsed.dangers[:2] == (
        "drops column public.users.notes, made by 001_users",
        "drops view public.daily_totals, made by 002_report",
    )
    assert {
        (impact.change.identity, impact.made_by, impact.foreign)
        for impact in rehearsed.impacts
        if impact.change.kind != "comment" and impact.change in rehearsed.diff.main
    } == {
        ("public.users.tags", ("003_wrong",), False),
        ("public.users.notes", ("001_users",), True),
        ("public.daily_totals", ("002_report",), True),
    }


@pytest.mark.long
def test_a_column_of_another_migration_that_goes_with_its_table(db, shop, applied, unchanged):
    applied("003_tags", "ALTER TABLE users ADD COLUMN tags text;", "ALTER TABLE users DROP COLUMN tags;")
    dismiss_all(db)
    rehearsed = unchanged(lambda: db.rehearse("001_users"))
    assert rehearsed.dangers[:2] == (
        "also drops column public.users.tags, made by 003_tags",
        "also drops view public.daily_totals, made by 002_report",
    )
    assert not any("users.notes" in danger for danger in rehearsed.dangers), "that is part of the table"


@pytest.mark.long
def test_who_made_it_may_not_be_known(db, shop, applied, unchanged, session):
    session().execute("CREATE VIEW by_hand AS SELECT * FROM users")
    rehearsed = unchanged(lambda: db.rehearse("001_users"))
    assert "also drops view public.by_hand, not known which migration made it" in rehearsed.dangers


@pytest.mark.each_server
def test_it_foretells_what_the_rollback_does(db, shop, session):
    before = schema_of(session())
    rehearsed = db.rehearse("001_users")
    db.rollback("001_users", confirm="001_users", preview=rehearsed)
    after = schema_of(session())
    foretold = {(change.kind, change.identity): change.new_definition for change in rehearsed.diff.changes}
    assert foretold == {key: after.get(key) for key in before | after if before.get(key) != after.get(key)}


@pytest.mark.long
def test_a_rehearsal_is_a_preview(db, shop, session):
    rehearsed = db.rehearse("002_report")
    assert rehearsed.fingerprint == db.preview("002_report").fingerprint
    session().execute("CREATE TABLE another ()")
    with pytest.raises(mr.Refused, match="schema has changed"):
        db.rollback("002_report", confirm="002_report", preview=rehearsed)
    assert db.rollback("002_report", confirm="002_report", preview=db.rehearse("002_report")).success


def test_rows_that_would_be_lost(db, shop, applied, unchanged):
    applied(
        "003_data",
        "CREATE TABLE tags (a int); INSERT INTO tags VALUES (1), (2), (NULL); CREATE TABLE log (a int); INSERT INTO log"
        " SELECT generate_series(1, 7);",
        "ALTER TABLE users DROP COLUMN notes; DELETE FROM users WHERE id > 6; UPDATE users SET email = ''; TRUNCATE"
        " tags; DROP TABLE log;",
    )
    rehearsed = unchanged(lambda: db.rehearse("003_data"))
    assert {(loss.what, loss.relation, loss.column): loss.rows for loss in rehearsed.rows} == {
        ("column dropped", "public.users", "notes"): 3,
        ("deleted", "public.users", None): 4,
        ("updated", "public.users", None): 6,
        ("emptied", "public.tags", None): 3,
        ("dropped", "public.log", None): 7,
    }
    assert all(loss.exact for loss in rehearsed.rows)


def test_a_count_that_lasts_too_long_is_an_estimate_and_says_so(db, applied, session):
    applied(
        "001_big",
        "CREATE TABLE big (a int, b int); INSERT INTO big SELECT g, nullif(g % 4, 0) FROM generate_series(1, 1000) g;",
        "DROP TABLE big;",
    )
    assert session().execute("SELECT count_rows_within('big'::regclass, '{a}', '-infinity')").fetchone()[0] == {
        "exact": False,
        "rows": None,
        "columns": {"a": None},
    }
    session().execute("ANALYZE big")
    (report,) = session().execute("SELECT rehearse_migration_rollbacks('{001_big}', count_ms => -1)").fetchone()
    assert report["rows"] == [
        {"what": "dropped", "relation": "public.big", "column": None, "rows": 1000, "exact": False, "sqlstate": None}
    ]
    estimate = session().execute("SELECT count_rows_within('big'::regclass, '{a,b}', '-infinity')").fetchone()[0]
    assert estimate == {"exact": False, "rows": 1000, "columns": {"a": 1000, "b": 750}}


@pytest.mark.each_server
def test_locks_with_the_statement_that_took_them_and_how_long(db, shop, applied, unchanged):
    applied(
        "003_two",
        "CREATE TABLE tags ();",
        "SELECT pg_sleep(0.05); DROP TABLE tags; SELECT pg_sleep(0.1); ALTER TABLE users ADD COLUMN x int;",
    )
    rehearsed = unchanged(lambda: db.rehearse("003_two"))
    held = {(lock.relation, lock.mode): lock for lock in rehearsed.locks}
    tags, users = held["public.tags", "ACCESS EXCLUSIVE"], held["public.users", "ACCESS EXCLUSIVE"]
    assert (tags.statement_number, users.statement_number) == (2, 4)
    assert tags.held_ms >= 100
    assert users.held_ms < tags.held_ms
    assert [lock.relation for lock in rehearsed.longest_locks][:2] == ["public.tags", "public.users"]
    assert [statement.number for statement in rehearsed.statements] == [1, 2, 3, 4]
    assert rehearsed.statements[2].ms >= 100


@pytest.mark.long
def test_tables_written_anew(db, applied, unchanged):
    applied(
        "001_t",
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE same (a int);",
        "ALTER TABLE t ALTER a TYPE text; ALTER TABLE same RENAME a TO b;",
    )
    rehearsed = unchanged(lambda: db.rehearse("001_t"))
    assert rehearsed.rewritten == ("public.t",)
    assert rehearsed.rows == ()


@pytest.mark.long
def test_a_renamed_table_loses_nothing(db, applied, unchanged):
    applied(
        "001_t",
        "CREATE SCHEMA old; CREATE TABLE new_name (a int, b int); INSERT INTO new_name VALUES (1, 2);",
        "ALTER TABLE new_name RENAME b TO c; ALTER TABLE new_name RENAME TO old_name; ALTER TABLE old_name SET SCHEMA"
        " old;",
    )
    rehearsed = unchanged(lambda: db.rehearse("001_t"))
    assert rehearsed.rows == ()
    assert rehearsed.renamed == (("public.new_name", "old.old_name"),)
    assert rehearsed.dangers == ()


@pytest.mark.long
def test_a_renamed_column_loses_nothing(db, shop, applied, unchanged):
    applied(
        "003_names",
        "ALTER TABLE users RENAME notes TO remarks; CREATE TABLE t (a int); CREATE INDEX t_a ON t (a);",
        "ALTER TABLE users RENAME remarks TO notes; ALTER TABLE t DROP COLUMN a;",
    )
    rehearsed = unchanged(lambda: db.rehearse("003_names"))
    assert rehearsed.renamed == (("public.users.remarks", "public.users.notes"),)
    assert [loss.column for loss in rehearsed.rows] == ["a"]
    assert not any("drops" in danger for danger in rehearsed.dangers), "its own index goes with its own column"


@pytest.mark.long
def test_sql_that_changes_its_role_is_rehearsed_as_it_runs(db, applied, unchanged):
    applied(
        "001_t",
        "CREATE TABLE t (a int); ALTER TABLE t OWNER TO pg_monitor;",
        "SET ROLE pg_monitor; DROP TABLE t; RESET ROLE;",
    )
    rehearsed = unchanged(lambda: db.rehearse("001_t"))
    assert rehearsed.success, rehearsed
    assert ("public.t", "ACCESS EXCLUSIVE", 2) in [
        (lock.relation, lock.mode, lock.statement_number) for lock in rehearsed.locks
    ]


@pytest.mark.long
def test_notices_and_what_was_skipped(db, applied, unchanged):
    applied(
        "001_t",
        "CREATE TABLE t ();",
        "DROP TABLE IF EXISTS nothing; DO $$ BEGIN RAISE NOTICE 'does not exist, skipping'; END $$; DROP TABLE t;",
    )
    rehearsed = unchanged(lambda: db.rehearse("001_t"))
    assert [notice.message for notice in rehearsed.notices if not notice.skipped] == ["does not exist, skipping"]
    assert len(rehearsed.skipped) == 1
    assert any(danger.startswith("skipped: ") for danger in rehearsed.dangers)


def test_sql_that_changes_nothing_is_no_plain_success(db, applied, unchanged):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE IF EXISTS elsewhere.t;")
    rehearsed = unchanged(lambda: db.rehearse("001_t"))
    assert rehearsed.success
    assert rehearsed.unchanged
    assert rehearsed.mark == "⚠️"
    assert "change nothing" in rehearsed.message


def test_a_failure_with_statement_sqlstate_and_caret(db, applied, unchanged, session):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;\nSELECT 'ä',\n\tmissing\nFROM pg_class;")
    rehearsed = unchanged(lambda: db.rehearse("001_t"))
    assert not rehearsed.success
    assert (rehearsed.failure.sqlstate, rehearsed.failure.statement_number) == ("42703", 2)
    assert rehearsed.failure.statement.startswith("SELECT 'ä'")
    lines = rehearsed.failure.lines()
    below = next(place for place, line in enumerate(lines) if line.strip() == "^")
    assert lines[below - 1][lines[below].index("^") :].startswith("missing")
    assert unchanged.events() == ["rehearsed"]
    assert last_event(session())["details"]["sqlstate"] == "42703"
    assert value(session(), "SELECT status FROM migration_history WHERE migration_name = '001_t'") == "applied"


FAILURES = {
    "a missing table": ("DROP TABLE nix", "42P01", 1),
    "a dependent view": ("DROP TABLE t", "2BP01", 1),
    "a deferred constraint": ("INSERT INTO child VALUES (7)", "23503", None),
    "a role left behind": ("SET ROLE pg_monitor", "MR020", None),
    "a setting that cannot be put back": (
        "SET temp_buffers = 200; CREATE TEMPORARY TABLE passing AS SELECT 1",
        "MR021",
        None,
    ),
    "our own table": ("UPDATE migration_history SET notes = 'x'", "MR022", None),
    "our own function": ("DROP FUNCTION schema_hash CASCADE", "MR022", None),
    "an assertion": ("DO $$ BEGIN ASSERT false; END $$", "P0004", 1),
    "a hidden COMMIT": ("DO $$ BEGIN COMMIT; END $$", "2D000", 1),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("what", FAILURES)
def test_it_fails_as_the_rollback_fails(db, applied, unchanged, what):
    sql, sqlstate, number = FAILURES[what]
    applied(
        "001_t",
        "CREATE TABLE t (a int PRIMARY KEY); CREATE VIEW v AS SELECT a FROM t; CREATE TABLE child (a int REFERENCES t"
        " DEFERRABLE INITIALLY DEFERRED);",
        f"{sql};",
    )
    rehearsed = unchanged(lambda: db.rehearse("001_t"))
    assert not rehearsed.success
    assert (rehearsed.failure.sqlstate, rehearsed.failure.statement_number) == (sqlstate, number)
    with pytest.raises(mr.RollbackFailed) as real:
        db.rollback("001_t", confirm="001_t")
    assert (real.value.sqlstate, real.value.statement_number) == (sqlstate, number)


def test_a_chain_is_rehearsed_as_it_runs(db, applied, unchanged):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    refused = unchanged(lambda: db.rehearse("001_a"))
    assert isinstance(refused, mr.Refused)
    assert refused.dependents == ("002_b",)
    assert unchanged.events() == []
    rehearsed = unchanged(lambda: db.rehearse("001_a", chain=True))
    assert rehearsed.success
    assert [name for name, _ in rehearsed.steps] == ["002_b", "001_a"]
    assert [(statement.migration_name, statement.statement) for statement in rehearsed.statements] == [
        ("002_b", "DROP TABLE b"),
        ("001_a", "DROP TABLE a"),
    ]
    assert {change.identity for change in rehearsed.diff.dropped} == {"public.a", "public.b"}
    assert unchanged.events() == ["rehearsed"]
    assert db.rollback("001_a", confirm="001_a", chain=True, preview=rehearsed).success


@pytest.mark.long
def test_a_chain_that_fails_halfway(db, applied, unchanged):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE nix;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    rehearsed = unchanged(lambda: db.rehearse("001_a", chain=True))
    assert not rehearsed.success
    assert (rehearsed.failure.migration_name, rehearsed.failure.sqlstate) == ("001_a", "42P01")


def test_the_gate_says_no_to_a_rehearsal_too(db, applied, unchanged):
    applied("001_a", "CREATE TABLE a ();")
    refused = unchanged(lambda: db.rehearse("001_a"))
    assert isinstance(refused, mr.Refused)
    assert refused.reason == "No rollback SQL defined for this migration"
    with pytest.raises(mr.MigrationNotFound):
        db.rehearse("001_b")


def test_what_runs_outside_a_transaction_cannot_be_undone(db, applied, unchanged):
    applied(
        "001_i",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a);",
        "DROP INDEX CONCURRENTLY i;",
        options=" transaction:false",
    )
    refused = unchanged(lambda: db.rehearse("001_i"))
    assert isinstance(refused, mr.Refused)
    assert "--on scratch" in str(refused)


def test_the_system_itself_cannot_be_rehearsed(db, unchanged):
    refused = unchanged(lambda: db.rehearse("20250120_migration_rollback_system"))
    assert isinstance(refused, mr.Refused)
    assert "cannot be rehearsed" in str(refused)


def test_a_blocker_is_named_and_nothing_waits_for_long(db, shop, unchanged, session):
    blocker = session(application_name="night report")
    blocker.execute("BEGIN; SELECT count(*) FROM users")
    rehearsed = db.rehearse("001_users", lock_timeout="300ms")
    assert not rehearsed.success
    assert rehearsed.failure.sqlstate == "55P03"
    assert rehearsed.failure.passing
    assert "night report" in rehearsed.failure.blocked_by
    assert "did not get to its end" in rehearsed.message
    blocker.execute("ROLLBACK")
    assert unchanged(lambda: db.rehearse("001_users")).success


def test_who_waits_behind_the_rehearsal_is_told(db, shop, latch, applied, session):
    applied("003_slow", "CREATE TABLE slow ();", f"ALTER TABLE users ADD COLUMN extra int; {latch.wait}")
    running = Background(lambda: db.rehearse("003_slow"))
    latch.eventually_reached()
    waiter = session(application_name="checkout")
    waiting = Background(lambda: waiter.execute("SELECT count(*) FROM users").fetchone())
    watcher = session()
    eventually_waits(watcher, waiter.info.backend_pid)
    latch.release()
    rehearsed = running.result()
    assert [(one.application_name, one.relation, one.waits, one.for_us) for one in rehearsed.sessions] == [
        ("checkout", "public.users", True, True)
    ]
    assert any("checkout" in danger for danger in rehearsed.dangers)
    assert waiting.result() == (10,)


def test_a_busy_gate_is_no_rehearsal(db, shop, unchanged, session):
    holder = session(application_name="other deploy")
    holder.execute("BEGIN; SELECT lock_migrations()")
    with pytest.raises(mr.LockBusy, match="other deploy"):
        db.rehearse("002_report", lock_timeout="200ms")
    holder.execute("ROLLBACK")


def test_cancelled_from_another_thread(db, latch, applied, unchanged, session):
    applied("003_slow", "CREATE TABLE slow ();", f"DROP TABLE slow; {latch.wait}")

    def cancelled():
        running = Background(lambda: db.rehearse("003_slow"))
        latch.eventually_reached()
        db.database.session.cancel()
        return running.result()

    rehearsed = unchanged(cancelled)
    assert not rehearsed.success
    assert rehearsed.failure.sqlstate == "57014"
    assert rehearsed.failure.passing
    assert value(session(), "SELECT status FROM migration_history WHERE migration_name = '003_slow'") == "applied"


@pytest.mark.long
def test_a_cancel_that_strikes_twice_is_one(db, latch, applied, unchanged, session):
    # PostgreSQL before 18 signals the process and then its group: busy machines show the second one while the first is
    # being dealt with
    applied("003_slow", "CREATE TABLE slow ();", f"DROP TABLE slow; {latch.wait}")
    striking = session()
    twice = """
        SELECT pg_cancel_backend(%(pid)s), set_config('test.first', clock_timestamp()::text, false), pg_sleep(0.005),
          pg_cancel_backend(%(pid)s),
               extract(epoch FROM clock_timestamp() - current_setting('test.first')::timestamptz) * 1000"""

    def cancelled(deed):
        """What the deed returned or raised, of a round in which the second strike came soon:
        a machine that stood still between the two sent two cancels."""
        for _ in range(20):
            running = Background(deed)
            *_, gap_ms = striking.execute(twice, {"pid": latch.eventually_reached()}).fetchone()
            try:
                found = running.result()
            except mr.MigrollbackError as error:
                found = error
            if gap_ms < 40:
                return found
        raise AssertionError("never two strikes within 40 ms")

    rehearsed = unchanged(lambda: cancelled(lambda: db.rehearse("003_slow")))
    assert (rehearsed.success, rehearsed.failure.sqlstate, rehearsed.failure.statement_number) == (False, "57014", 2)
    failed = cancelled(lambda: db.rollback("003_slow", confirm="003_slow"))
    assert isinstance(failed, mr.RollbackFailed)
    assert (failed.sqlstate, failed.statement_number) == ("57014", 2)


@pytest.mark.long
def test_the_time_limit_holds(db, applied, unchanged):
    applied("001_slow", "CREATE TABLE slow ();", "DROP TABLE slow; SELECT pg_sleep(60);")
    rehearsed = unchanged(lambda: db.rehearse("001_slow", statement_timeout="1s"))
    assert not rehearsed.success
    assert rehearsed.failure.sqlstate == "57014"
    assert rehearsed.failure.statement_number == 2


@pytest.mark.long
def test_a_killed_backend_leaves_nothing(db, shop, latch, applied, session):
    applied("003_slow", "CREATE TABLE slow ();", f"DROP TABLE slow; {latch.wait}")
    watcher = session()
    before = everything(watcher), events(watcher)
    running = Background(lambda: db.rehearse("003_slow"))
    watcher.execute("SELECT pg_terminate_backend(%s)", (eventually_sleeps(watcher),))
    with pytest.raises(mr.ConnectionFailed):
        running.result()
    assert (everything(watcher), events(watcher)) == before
    latch.release()
    db.database.session.reconnect()
    assert db.rehearse("003_slow").success


def test_settings_and_roles_of_the_session_stay(db, applied, unchanged):
    applied(
        "001_s",
        "CREATE TABLE t ();",
        "SET LOCAL work_mem = '77MB'; SET LOCAL search_path = pg_catalog; DROP TABLE public.t; CREATE TEMP TABLE"
        " left_over ();",
    )
    rehearsed = unchanged(lambda: db.rehearse("001_s"))
    assert rehearsed.success


@pytest.mark.long
def test_hostile_names_and_notices(db, applied, unchanged):
    name = 'x"); DROP TABLE users; -- <script>\u202e'
    quoted = '"' + name.replace('"', '""') + '"'
    applied(
        "001_odd",
        f"CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} ({quoted} int); INSERT INTO {quoted}.{quoted} VALUES"
        f" (1); CREATE VIEW {quoted}.v AS SELECT * FROM {quoted}.{quoted};",
        f"DO $$ BEGIN RAISE WARNING '<script>alert(1)</script>'; END $$; DROP TABLE {quoted}.{quoted} CASCADE;",
    )
    rehearsed = unchanged(lambda: db.rehearse("001_odd"))
    assert rehearsed.success
    assert [(loss.what, loss.rows) for loss in rehearsed.rows] == [("dropped", 1)]
    assert rehearsed.impacts
    assert {impact.named for impact in rehearsed.impacts if impact.change.kind == "table"} == {True}
    assert {impact.named for impact in rehearsed.impacts if impact.change.kind == "view"} == {False}
    shown = rehearsed._repr_html_()
    assert "<script>" not in shown
    assert "\u202e" not in shown


@pytest.mark.long
def test_an_ordinary_role_rehearses_what_it_owns(server, session, database_dsn, folder, write_migration):
    role = "rehearser"
    admin = session()
    admin.execute(f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    database = admin.info.dbname
    admin.execute(f'GRANT CREATE ON DATABASE "{database}" TO {role}; CREATE SCHEMA own AUTHORIZATION {role}')
    write_migration(
        "001_t",
        "CREATE TABLE own.t (a int);\nINSERT INTO own.t VALUES (1);\n-- ROLLBACK START\nDROP TABLE own.t;\n-- ROLLBACK"
        " END\n",
    )
    dsn = psycopg.conninfo.make_conninfo(database_dsn, user=role)
    with mr.connect(dsn, dir=folder, schema="own_system") as db:
        db.install()
        db.apply()
        before = everything(admin)
        rehearsed = db.rehearse("001_t")
        assert rehearsed.success
        assert [(loss.relation, loss.rows) for loss in rehearsed.rows] == [("own.t", 1)]
        assert everything(admin) == before
        assert db.rollback("001_t", confirm="001_t", preview=rehearsed).success


@pytest.mark.long
def test_psql_alone_is_enough(db, shop, session):
    connection = session()
    before = everything(connection), settings_of(connection), events(connection)
    success, message, report = connection.execute("SELECT * FROM rehearse_migration_rollback('002_report')").fetchone()
    assert (success, message) == (True, "Rehearsal: the rollback would succeed")
    assert [change["identity"] for change in report["changes"] if change["kind"] == "view"] == ["public.daily_totals"]
    assert (everything(connection), settings_of(connection)) == before[:2]
    assert events(connection) == [*before[2], "rehearsed"]
    assert connection.execute(
        "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
    ).fetchone() == (0,)


@pytest.mark.long
def test_psql_does_not_wait_for_ever(db, shop, session):
    blocker = session()
    blocker.execute("BEGIN; SELECT count(*) FROM users")
    connection = session(options="-c lock_timeout=0")
    success, report = connection.execute(
        "SELECT success, report FROM rehearse_migration_rollback('001_users')"
    ).fetchone()
    assert (success, report["failure"]["sqlstate"]) == (False, "55P03")
    assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)


@pytest.mark.long
def test_inside_the_transaction_of_who_lends_the_connection(db, shop, database_dsn, folder):
    with psycopg.connect(database_dsn, autocommit=True) as lent:
        borrowed = mr.connect(connection=lent, dir=folder)
        lent.execute("BEGIN; CREATE TABLE mine ()")
        assert borrowed.rehearse("002_report").success
        assert lent.execute(
            "SELECT to_regclass('mine') IS NOT NULL, to_regclass('daily_totals') IS NOT NULL"
        ).fetchone() == (True, True)
        held = (
            "SELECT DISTINCT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() AND locktype ="
            " 'relation' AND mode = 'AccessExclusiveLock'"
        )
        assert lent.execute(held).fetchall() in ([("mine",)], [])
        lent.execute("ROLLBACK")


def test_json_and_frames(db, shop):
    rehearsed = db.rehearse("001_users")
    told = rehearsed.to_dict()
    assert told["success"] is True
    assert told["rows"][0]["rows"] == 10
    json.dumps(told)
    for what in ("changes", "rows", "locks", "statements", "broken", "sessions"):
        frame = rehearsed.to_frame(what)
        assert list(frame.columns)
    assert list(rehearsed.to_frame("rows")["rows"]) == [10]
    with pytest.raises(mr.UsageError):
        rehearsed.to_frame("nothing")


def command(dsn, folder, *arguments):
    """(exit status, standard output, standard error) of one command line."""
    out, err = io.StringIO(), io.StringIO()
    status = cli.run([*arguments, "--dsn", dsn, "--dir", str(folder)], out, err, io.StringIO())
    return status, out.getvalue(), err.getvalue()


@pytest.mark.long
def test_on_the_command_line(db, shop, applied, database_dsn, folder):
    applied("003_bad", "CREATE TABLE t (a int);", "DROP TABLE t;\nSELECT missing FROM pg_class;")
    status, out, err = command(database_dsn, folder, "rehearse", "002_report")
    assert status == 0
    assert "✅ Rehearsal: the rollback would succeed" in out
    fingerprint = db.rehearse("002_report").fingerprint
    assert fingerprint in err
    status, out, err = command(database_dsn, folder, "rehearse", "003_bad")
    assert status == 1, "it would fail"
    assert "Fingerprint" not in err, "nobody is to run that"
    assert "    SELECT missing FROM pg_class\n" in out
    assert "           ^\n" in out
    assert command(database_dsn, folder, "rehearse", "003_bad", "--format", "json")[0] == 1
    status, out, _ = command(database_dsn, folder, "rehearse", "001_users", "--format", "json")
    assert status == 0
    assert json.loads(out)["dangers"][0] == "also drops view public.daily_totals, made by 002_report"
    assert command(database_dsn, folder, "rehearse", "009_none")[0] == 1
    assert (
        command(database_dsn, folder, "rollback", "002_report", "--confirm", "002_report", "--preview", fingerprint)[0]
        == 0
    )
    status, _, err = command(database_dsn, folder, "rehearse", "002_report")
    assert status == 3
    assert "Already rolled back" in err


@pytest.mark.long
def test_a_fingerprint_of_a_rehearsal_is_refused_after_a_change_on_the_command_line(
    db, shop, database_dsn, folder, session
):
    fingerprint = db.rehearse("002_report").fingerprint
    session().execute("CREATE TABLE another ()")
    status, _, err = command(
        database_dsn, folder, "rollback", "002_report", "--confirm", "002_report", "--preview", fingerprint
    )
    assert status == 3
    assert "The schema has changed since the preview" in err


@pytest.mark.long
def test_truncated_and_filled_again_is_emptied_all_the_same(db, applied, unchanged):
    applied(
        "001_t",
        "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 5); CREATE TABLE empty (a int);",
        "TRUNCATE t, empty; INSERT INTO t VALUES (1);",
    )
    rehearsed = unchanged(lambda: db.rehearse("001_t"))
    assert [(loss.relation, loss.what, loss.rows) for loss in rehearsed.rows if loss.rows] == [
        ("public.t", "emptied", 5)
    ]
    assert rehearsed.rewritten == ()


@pytest.mark.long
def test_rows_that_row_security_hides_are_not_counted_as_none(session, database_dsn, folder, write_migration):
    admin = session()
    admin.execute("DO $$ BEGIN CREATE ROLE rehearser LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    admin.execute(
        f'GRANT CREATE ON DATABASE "{admin.info.dbname}" TO rehearser; CREATE SCHEMA own AUTHORIZATION rehearser'
    )
    write_migration(
        "001_t",
        "CREATE TABLE own.t (a int);\nINSERT INTO own.t VALUES (1);\nALTER TABLE own.t ENABLE ROW LEVEL"
        " SECURITY;\nALTER TABLE own.t FORCE ROW LEVEL SECURITY;\n-- ROLLBACK START\nDROP TABLE own.t;\n-- ROLLBACK"
        " END\n",
    )
    with mr.connect(
        psycopg.conninfo.make_conninfo(database_dsn, user="rehearser"), dir=folder, schema="own_system"
    ) as db:
        db.install()
        db.apply()
        assert [(loss.rows, loss.exact) for loss in db.rehearse("001_t").rows] == [(None, False)]
