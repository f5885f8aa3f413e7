"""The SQL functions behind questions to the history: objects, states at a moment, checklists, proofs, rehearsals,
drift. Each on histories that are made up, beside another way to the same answer."""

import psycopg
import pytest
from every_kind import SCHEMA
from psycopg.rows import dict_row

import migrollback_nb as mr
from migrollback_nb.cli.demo.history import write_history
from migrollback_nb.core import object_names
from migrollback_nb.runbook.items import ITEMS
from migrollback_nb.runbook.run import read_run, runs_of


@pytest.fixture(scope="module")
def ask(history_database):
    with psycopg.connect(history_database, autocommit=True, row_factory=dict_row) as connection:
        yield lambda query, *values: connection.execute(query, values).fetchall()


def test_what_is_made_up_is_whole(ask):
    assert ask("SELECT intact, first_bad_number FROM verify_migration_events()") == [
        {"intact": True, "first_bad_number": None}
    ]
    counts = dict(ask("SELECT event, count(*)::int FROM migration_events GROUP BY 1") and [
        (row["event"], row["count"]) for row in ask("SELECT event, count(*)::int FROM migration_events GROUP BY 1")
    ])  # fmt: skip
    assert {"applied", "apply_failed", "rolled_back", "failed", "refused", "resolved", "rehearsed", "checklist_item",
            "deploy_recorded", "snapshot_taken"} <= counts.keys()  # fmt: skip
    assert ask("SELECT count(*)::int AS n FROM migration_history WHERE metadata ->> 'system' IS NULL") == [{"n": 400}]
    assert ask("SELECT count(DISTINCT database_user)::int AS n FROM migration_events WHERE event = 'applied'") == [
        {"n": 6}
    ]
    assert ask("SELECT count(*)::int AS n FROM migration_deploys()") == [{"n": 125}]


@pytest.mark.long
def test_the_watch_of_the_history_goes_on(server, database_dsn):
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        write_history(connection, migrations=20, deploys=8, months=1)
    with mr.connect(database_dsn) as db:
        assert db.verify_events().intact
        db.database.session.connection.execute(
            "UPDATE migration_history SET notes = 'x' WHERE migration_name = (SELECT min(migration_name) FROM"
            " migration_history WHERE metadata ->> 'system' IS NULL)"
        )
        assert db.database.queries.events()[-1]["event"] == "history_changed"
        installed = db.install()
        assert installed.upgraded_from is None, "the triggers are as install left them"


# -- objects -----------------------------------------------------------------------------------------------------------

NAMES = [
    ("table", "public.t", None, ("public", "public.t", "t")),
    ("table", '"App One"."a.b"', None, ("App One", '"App One"."a.b"', "a.b")),
    ("column", 'public."T "" x".c', None, ("public", 'public."T "" x"', "c")),
    ("view", "app.v", None, ("app", "app.v", "v")),
    ("constraint", 'app."a b" "x y"', None, ("app", 'app."a b"', "x y")),
    ("trigger", "app.t watch", None, ("app", "app.t", "watch")),
    ("policy", 'app.t "Only mine"', None, ("app", "app.t", "Only mine")),
    ("index", "app.t_idx", "app.t", ("app", "app.t", "t_idx")),
    ("index", "app.t_idx", None, ("app", None, "t_idx")),
    ("sequence", "app.s", "app.t", ("app", "app.t", "s")),
    ("statistics", "app.s", "app.t", ("app", "app.t", "s")),
    ("schema", '"App One"', None, ("App One", None, "App One")),
    ("extension", "citext", None, (None, None, "citext")),
    ("function", 'public.f(integer, "My Type")', None, ("public", None, "f")),
    ("enum", "public.e", None, ("public", None, "e")),
    ("domain constraint", "public.d d_check", None, ("public", None, "d_check")),
    ("operator", "public.+(integer,integer)", None, (None, None, "public.+(integer,integer)")),
    ("cast", "(integer AS text)", None, (None, None, "(integer AS text)")),
    ("comment", "table public.t", None, ("public", "public.t", "t")),
    ("comment", "table column public.t.c", None, ("public", "public.t", "c")),
    ("comment", "index public.i", "public.t", ("public", "public.t", "i")),
    ("comment", "table constraint k on public.t", None, ("public", "public.t", "k")),
    ("comment", 'trigger "a b" on app.t', None, ("app", "app.t", "a b")),
    ("comment", "function public.f(integer)", None, ("public", None, "f")),
    ("comment", "schema app", None, ("app", None, "app")),
    ("grant", "relation app.t", None, ("app", "app.t", "t")),
    ("grant", "column app.t.c", None, ("app", "app.t", "c")),
    ("grant", "routine app.f(text)", None, ("app", None, "f")),
    ("grant", "database", None, (None, None, "database")),
    ("default grant", "postgres in app on r", None, (None, None, "postgres in app on r")),
    ("setting", "work_mem of role a", None, (None, None, "work_mem of role a")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "identity", "table", "names"), NAMES)
def test_an_identity_says_schema_table_and_name(ask, kind, identity, table, names):
    (found,) = ask("SELECT * FROM object_names(%s, %s, %s)", kind, identity, table)
    assert tuple(found.values()) == names


@pytest.mark.long
@pytest.mark.versions
def test_every_object_of_a_database_has_its_names(db, session):
    connection = session()
    connection.execute(SCHEMA)
    rows = connection.execute(
        "SELECT o.kind, o.identity, n.schema, n.table, n.object FROM schema_objects() o, LATERAL object_names(o.kind,"
        " o.identity, o.definition ->> 'on') n"
    ).fetchall()
    assert len({kind for kind, *_ in rows}) > 25
    for kind, identity, schema, table, name in rows:
        if kind in ("table", "column", "constraint", "index", "trigger", "view", "function", "enum", "policy", "rule"):
            parts = object_names.parts(identity)
            assert (schema, name) == (parts[0], parts[-1]), (kind, identity)
        if kind in ("table", "column", "constraint", "index", "trigger", "rule", "policy"):
            assert table, (kind, identity)


@pytest.mark.versions
def test_an_index_keeps_its_table_when_it_is_gone(db, applied):
    applied("001_t", "CREATE TABLE t (a int, b int);", "DROP TABLE t;")
    applied(
        "002_i",
        "CREATE INDEX i ON t (a); CREATE STATISTICS s ON a, b FROM t; COMMENT ON INDEX i IS 'x';"
        " ALTER TABLE t ADD COLUMN n serial;",
        "ALTER TABLE t DROP COLUMN n; DROP STATISTICS s; DROP INDEX i;",
    )
    applied("003_gone", "DROP INDEX i;", "CREATE INDEX i ON t (a);")

    def tables():
        rows = db.database.session.connection.execute(
            "SELECT migration_name, kind, action, \"table\" FROM objects_of_migrations() WHERE kind IN ('index',"
            " 'statistics', 'sequence', 'comment', 'constraint', 'column') AND migration_name <> '001_t'"
        ).fetchall()
        return {tuple(row)[:3]: row[3] for row in rows}

    found = tables()
    assert found["002_i", "index", "created"] == "public.t"
    assert found["002_i", "statistics", "created"] == "public.t"
    assert found["002_i", "sequence", "created"] == "public.t"
    assert found["003_gone", "index", "dropped"] == "public.t"
    assert {*found.values()} == {"public.t"}
    db.rollback(["003_gone", "002_i"], confirm="003_gone")
    assert tables() == found


@pytest.mark.long
def test_a_file_that_was_only_read_knows_the_tables_too(db, write, session):
    session().execute("CREATE TABLE t (a int); CREATE INDEX i ON t (a)")
    write("001_t", "CREATE TABLE t (a int); CREATE INDEX i ON t (a);", "DROP TABLE t;")
    db.sync()
    rows = session().execute("SELECT kind, \"table\", recorded_by FROM objects_of_migrations('{001_t}')").fetchall()
    assert ("index", "public.t", "parsed") in rows
    assert ("table", "public.t", "parsed") in rows


# -- at a moment -------------------------------------------------------------------------------------------------------


def test_now_is_as_the_history_says(ask):
    assert ask(
        "SELECT count(*)::int AS n FROM migration_history h FULL JOIN migrations_at(now()) a USING (migration_name)"
        " WHERE h.status IS DISTINCT FROM a.status"
    ) == [{"n": 0}]


def test_at_each_moment_it_is_what_happened_before(ask):
    events = ask("SELECT * FROM migration_events ORDER BY event_number")
    stands = {}
    for place, event in enumerate(events):
        new = {"applied": "applied", "rolled_back": "rolled_back"}.get(event["event"])
        if event["event"] == "registered":
            new = "applied"
        if event["event"] == "failed" and not event["details"]["passing"]:
            new = "failed"
        if event["event"] == "resolved":
            new = event["details"]["new"]
        if new:
            stands[event["migration_name"]] = new
        if place % 150 == 149:
            rows = ask("SELECT migration_name, status FROM migrations_at(%s)", event["occurred_at"])
            assert {row["migration_name"]: row["status"] for row in rows} == stands


def test_changes_by_hand_and_ledgers_count(db, write, session):
    write("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    connection = session()
    connection.execute("CREATE TABLE a ()")
    connection.execute(
        "SELECT register_migration('000_old', '000', metadata => '{\"applied_at\": \"2024-03-01T12:00:00Z\"}')"
    )
    db.sync()
    before = connection.execute("SELECT clock_timestamp()").fetchone()[0]
    connection.execute("UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = '001_a'")
    connection.execute("DELETE FROM migration_history WHERE migration_name = '000_old'")

    def at(moment):
        return {
            name: status
            for name, status in connection.execute("SELECT migration_name, status FROM migrations_at(%s)", (moment,))
            if not name.startswith("2025")
        }

    assert at("2024-03-01T11:59:00Z") == {}
    assert at("2024-03-01T12:00:00Z") == {"000_old": "applied"}
    assert at(before) == {"000_old": "applied", "001_a": "applied"}
    assert at("infinity") == {"001_a": "rolled_back"}


# -- checklists, proofs, rehearsals ------------------------------------------------------------------------------------


def test_the_items_are_those_of_the_checklist(ask):
    found = [tuple(row.values()) for row in ask("SELECT item, phase, words FROM checklist_items() ORDER BY place")]
    assert found == [(item.key, str(item.phase), item.text) for item in ITEMS]


def test_checklists_are_as_the_panel_reads_them(ask):
    events = ask("SELECT * FROM migration_events ORDER BY event_number")
    rows = ask("SELECT * FROM migration_checklists()")
    assert len(rows) > 10
    assert any(row["rolled_back_at"] for row in rows)
    names = {event["migration_name"] for event in events if event["event"] == "checklist_item"}
    of_name = {name: [event for event in events if event["migration_name"] == name] for name in names}
    assert {(row["migration_name"], row["run"]) for row in rows} == {
        (name, run) for name in names for run in runs_of(name, of_name[name])
    }
    for row in rows:
        state = read_run(row["migration_name"], of_name[row["migration_name"]], run=row["run"])
        assert row["missing"] == [item.key for item in ITEMS if not state.is_complete(item.key)]
        assert row["answered"] == len({entry.item for entry in state.entries if state.is_complete(entry.item)})
        assert row["rolled_back_at"] == (state.rolled_back["occurred_at"] if state.rolled_back else None)
        assert row["ticket"] == state.ticket


def test_a_rehearsal_keeps_locks_and_rows(db, applied, session):
    applied("001_t", "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 7);", "DROP TABLE t;")
    rehearsal = db.rehearse("001_t")
    connection = session(row_factory=dict_row)
    (found,) = connection.execute("SELECT * FROM recorded_rehearsals()").fetchall()
    assert (found["outcome"], found["rows_lost"], found["migrations"]) == ("would succeed", 7, ["001_t"])
    assert found["dropped"] == len(rehearsal.diff.changes)
    locks = connection.execute("SELECT * FROM recorded_rehearsal_locks()").fetchall()
    assert [(row["relation"], row["kind"], row["mode"]) for row in locks] == [("public.t", "table", "ACCESS EXCLUSIVE")]
    assert locks[0]["held_ms"] == found["longest_lock_ms"] > 0
    (lost,) = connection.execute("SELECT relation, what, rows, exact FROM recorded_rehearsal_rows()").fetchall()
    assert lost == {"relation": "public.t", "what": "dropped", "rows": 7, "exact": True}
    changes = connection.execute("SELECT * FROM recorded_rehearsal_changes()").fetchall()
    assert {(row["change"], row["table"]) for row in changes} == {("dropped", "public.t")}
    assert db.verify_events().intact


@pytest.mark.long
def test_a_rehearsal_keeps_no_more_than_200_locks(db, applied, session):
    applied("001_p", "CREATE TABLE p (a int) PARTITION BY LIST (a); DO $$ BEGIN FOR i IN 1..210 LOOP EXECUTE format("
            "'CREATE TABLE p%s PARTITION OF p FOR VALUES IN (%s)', i, i); END LOOP; END $$;", "DROP TABLE p;",
            snapshots="none")  # fmt: skip
    db.rehearse("001_p")
    details = session().execute("SELECT details FROM migration_events WHERE event = 'rehearsed'").fetchone()[0]
    assert (len(details["locks"]), details["locks_in_all"] > 210) == (200, True)


# -- the schema over time ----------------------------------------------------------------------------------------------


def test_drift_is_what_was_made_by_hand(ask):
    found = ask("SELECT * FROM schema_drift()")
    assert {row["table"] for row in found} == {"public.by_hand_1", "public.by_hand_2"}
    assert {row["change"] for row in found} == {"created"}
    since = max(row["latest_at"] for row in found)
    assert ask("SELECT * FROM schema_drift(%s)", since) == []
    assert {row["table"] for row in ask("SELECT * FROM schema_drift(%s - interval '1 second')", since)} == {
        "public.by_hand_2"
    }


def test_drift_is_found_between_any_two_snapshots(db, applied, session):
    by_hand = session().execute

    def drift():
        query = "SELECT change, identity FROM schema_drift() WHERE kind IN ('table', 'column')"
        return {tuple(row) for row in by_hand(query)}

    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")
    assert drift() == set()
    by_hand("CREATE TABLE h1 ()")
    assert drift() == {("created", "public.h1")}, "since the newest snapshot"
    applied("002_u", "CREATE TABLE u (a int);", "DROP TABLE u;")
    assert drift() == {("created", "public.h1")}, "and between two"
    by_hand("DROP TABLE h1")
    applied("003_v", "CREATE TABLE v (a int); CREATE INDEX ON v (a);", "DROP TABLE v;", snapshots="none")
    db.rollback("002_u", confirm="002_u", snapshots="none")
    found = drift()
    assert found == {("created", "public.h1"), ("dropped", "public.h1")}, (
        "what migrations did without a snapshot is none"
    )
    by_hand("ALTER TABLE t ADD COLUMN by_hand int")
    assert drift() == found | {("created", "public.t.by_hand")}


@pytest.mark.long
def test_changes_between_two_moments_name_their_migrations(db, applied, session):
    connection = session()
    moments = []
    for number, name in enumerate(("001_a", "002_b", "003_c")):
        applied(name, f"CREATE TABLE {'abc'[number]} (x int);", f"DROP TABLE {'abc'[number]};")
        moments.append(connection.execute("SELECT clock_timestamp()").fetchone()[0])

    def changes(*span):
        query = "SELECT change, identity, migrations FROM schema_changes_between(%s, %s) WHERE kind = 'table'"
        return {(change, identity, *names) for change, identity, names in connection.execute(query, span)}

    assert changes(moments[0], moments[1]) == {("created", "public.b", "002_b")}
    assert changes(moments[0], moments[2]) == {("created", "public.b", "002_b"), ("created", "public.c", "003_c")}
    db.rollback("003_c", confirm="003_c")
    assert changes(moments[0], None) == {("created", "public.b", "002_b")}
    assert changes(moments[2], None) == {("dropped", "public.c", "003_c")}
    assert changes("2020-01-01", moments[0]) == {("created", "public.a", "001_a")}, "from the first snapshot on"


def test_without_a_snapshot_it_says_so(db, session):
    with pytest.raises(psycopg.Error, match="no snapshot") as told:
        session().execute("SELECT * FROM schema_changes_between(now())")
    assert told.value.sqlstate == "MR001"
    assert session().execute("SELECT * FROM schema_drift()").fetchall() == []


# -- deploys -----------------------------------------------------------------------------------------------------------


def test_a_deploy_knows_its_failures_and_what_was_rolled_back(db, applied, write, session):
    write("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    write("002_b", "CREATE TABLE b ();", "DROP TABLE b;")
    write("003_c", "CREATE TABLE a ();", "DROP TABLE a;")
    with pytest.raises(mr.ApplyFailed):
        db.apply(deploy="one")
    db.rollback("002_b", confirm="002_b")
    row = session(row_factory=dict_row).execute("SELECT * FROM migration_deploys('one')").fetchone()
    assert (row["migrations"], row["failed"], row["rolled_back"]) == (["001_a", "002_b"], 1, 1)
    assert row["state"] == "partly rolled back"
    assert row["ended_at"] > row["deployed_at"]
    assert row["duration_ms"] > 0


def test_deploys_of_a_long_history(ask):
    events = ask("SELECT * FROM migration_events WHERE details ? 'deploy' ORDER BY event_number")
    for row in ask("SELECT * FROM migration_deploys()"):
        own = [event for event in events if event["details"]["deploy"] == row["deploy_id"]]
        assert row["ended_at"] == own[-1]["occurred_at"]
        assert row["failed"] == len({event["migration_name"] for event in own if event["event"] == "apply_failed"})
        brought = {event["migration_name"] for event in own if event["event"] == "applied"}
        assert row["rolled_back"] == len(brought - set(row["applied"]))
