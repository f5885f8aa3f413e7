"""After a rollback: is the schema as it was before the migration was applied, and what of others went with it."""

import pytest
from watching import Latch, dismiss_all, events, last_event, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions


def kinds(diff):
    return [(change.change, change.kind, change.identity) for change in diff.changes]


def test_restored(db, applied):
    applied(
        "001_t",
        "CREATE TABLE t (id int PRIMARY KEY, name text); CREATE INDEX ON t (name); COMMENT ON TABLE t IS 'x';",
        "DROP TABLE t;",
    )
    found = db.rollback("001_t", confirm="001_t").verification
    assert found.verdict == "restored"
    assert found.message == "Restored: schema, values and state are as before it was applied"
    assert not found.differences
    assert not found.unexpected
    assert ("dropped", "table", "public.t") in kinds(found.changes)


def test_something_is_left_behind(db, applied):
    applied("001_t", "CREATE TABLE t (); CREATE TYPE mood AS ENUM ('sad');", "DROP TABLE t;")
    found = db.rollback("001_t", confirm="001_t").verification
    assert found.verdict == "differs"
    assert kinds(found.differences) == [("created", "enum", "public.mood")]
    assert found.message == "Not restored: 1 object is not as before it was applied"


def test_something_of_another_migration_goes_too(db, applied):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t CASCADE;")
    applied("002_v", "CREATE VIEW v AS SELECT a FROM t;", "DROP VIEW v;")
    dismiss_all(db)
    found = db.rollback("001_t", confirm="001_t").verification
    assert found.verdict == "differs"
    assert kinds(found.unexpected)[-1] == ("dropped", "view", "public.v")


def test_something_dropped_comes_back_otherwise(db, applied, session):
    session().execute("CREATE TABLE t (a bigint NOT NULL)")
    applied("001_t", "ALTER TABLE t DROP COLUMN a;", "ALTER TABLE t ADD COLUMN a int;")
    found = db.rollback("001_t", confirm="001_t").verification
    assert found.verdict == "differs"
    [change] = [change for change in found.differences.changes if change.kind == "column"]
    assert change.fields == {"type": ("bigint", "integer"), "notnull": (True, None)}


def test_another_order_of_columns_counts_as_restored_with_a_remark(db, applied, session):
    session().execute("CREATE TABLE t (a int, b int)")
    applied("001_t", "ALTER TABLE t DROP COLUMN a;", "ALTER TABLE t ADD COLUMN a int;")
    found = db.rollback("001_t", confirm="001_t").verification
    assert found.verdict == "restored"
    assert "columns stand in another order: public.t" in found.message


@pytest.mark.long
def test_what_others_did_since_stays(db, applied, session):
    session().execute("CREATE TABLE t (a int)")
    applied(
        "001_t",
        "ALTER TABLE t SET (fillfactor = 70); ALTER TABLE t ADD COLUMN b int;",
        "ALTER TABLE t RESET (fillfactor); ALTER TABLE t DROP COLUMN b;",
    )
    applied(
        "002_t",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t ADD COLUMN c int; CREATE TABLE u ();",
        "SELECT 1;",
    )
    assert db.rollback("001_t", confirm="001_t").verification.verdict == "restored"


def test_a_setting_that_is_not_put_back(db, applied, session):
    session().execute("CREATE TABLE t (a int)")
    applied(
        "001_t", "ALTER TABLE t SET (fillfactor = 70); ALTER TABLE t ADD COLUMN b int;", "ALTER TABLE t DROP COLUMN b;"
    )
    applied("002_t", "ALTER TABLE t ENABLE ROW LEVEL SECURITY;", "SELECT 1;")
    found = db.rollback("001_t", confirm="001_t").verification
    [change] = found.differences.changes
    assert (change.kind, change.fields) == ("table", {"options": (None, ["fillfactor=70"])})


def test_a_chain_is_verified_as_a_whole(db, applied):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")
    applied("002_v", "CREATE VIEW v AS SELECT a FROM t;", "DROP VIEW v;", depends_on=["001_t"])
    applied("003_w", "CREATE VIEW w AS SELECT a FROM v;", "DROP VIEW w;", depends_on=["002_v"])
    ended = db.rollback("001_t", confirm="001_t", chain=True)
    assert ended.verification.verdict == "restored"
    assert ended.verification.message == "Restored: schema, values and state are as before they were applied"
    assert len(ended.verification.changes.dropped) == 6  # three relations, three columns
    assert [step.verification for step in ended.results] == [None] * 3


@pytest.mark.long
def test_a_chain_over_something_else_between(db, applied, session):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")
    session().execute("CREATE TABLE by_hand ()")
    applied("002_v", "CREATE VIEW v AS SELECT a FROM t; ALTER TABLE t ADD b int;", "DROP VIEW v;", depends_on=["001_t"])
    assert db.rollback("001_t", confirm="001_t", chain=True).verification.verdict == "restored"


def test_a_run_of_several_rolled_back_as_a_chain(db, write_migration):
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    write_migration(
        "002_v",
        "-- Depends on: 001_t\nCREATE VIEW v AS SELECT a FROM t;\n-- ROLLBACK START\nDROP VIEW v;\n-- ROLLBACK END\n",
    )
    db.apply()
    assert db.rollback("001_t", confirm="001_t", chain=True).verification.verdict == "restored"


def test_one_of_a_run_of_several_is_told_by_what_it_made(db, write_migration):
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    write_migration(
        "002_u",
        "CREATE TABLE u (a int); COMMENT ON TABLE u IS 'x'; CREATE INDEX ON u (a);\n-- ROLLBACK START\nDROP TABLE"
        " u;\n-- ROLLBACK END\n",
    )
    write_migration(
        "003_w", "CREATE TABLE w (a int); CREATE SEQUENCE s;\n-- ROLLBACK START\nDROP TABLE w;\n-- ROLLBACK END\n"
    )
    db.apply()
    assert db.rollback("002_u", confirm="002_u").verification.verdict == "restored"
    found = db.rollback("003_w", confirm="003_w").verification
    assert kinds(found.differences) == [("created", "sequence", "public.s")]


@pytest.mark.long
def test_one_of_a_run_that_dropped_what_another_of_it_made(db, write_migration, monkeypatch):
    monkeypatch.setattr("migrollback_nb.operations.apply.RUNS_APART", 0)
    write_migration("001_t", "CREATE TABLE t (a int, b text);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    write_migration(
        "002_b", "ALTER TABLE t DROP COLUMN b;\n-- ROLLBACK START\nALTER TABLE t ADD COLUMN b text;\n-- ROLLBACK END\n"
    )
    write_migration("003_a", "ALTER TABLE t DROP COLUMN a;\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END\n")
    db.apply()
    missing = db.rollback("003_a", confirm="003_a").verification
    assert (missing.verdict, kinds(missing.differences)) == ("differs", [("dropped", "column", "public.t.a")])
    back = db.rollback("002_b", confirm="002_b").verification
    assert back.verdict == "restored"
    assert (
        back.message
        == "Restored: what it created is gone, what it dropped is back (applied in one run with others: 1 definition"
        " could"
        " not be compared)"
    )


def test_one_of_a_run_that_replaced_what_another_of_it_made(db, write_migration, monkeypatch):
    monkeypatch.setattr("migrollback_nb.operations.apply.RUNS_APART", 0)
    write_migration(
        "001_v",
        "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t;\n-- ROLLBACK START\nDROP TABLE t CASCADE;\n--"
        " ROLLBACK END\n",
    )
    write_migration(
        "002_v",
        "DROP VIEW v; CREATE VIEW v AS SELECT a, 1 AS b FROM t;\n-- ROLLBACK START\nDROP VIEW v; CREATE VIEW v AS"
        " SELECT a FROM t;\n-- ROLLBACK END\n",
    )
    db.apply()
    assert db.rollback("002_v", confirm="002_v").verification.verdict == "restored"


@pytest.mark.long
def test_one_of_a_run_that_changed_what_was_there_before(db, write_migration, session, monkeypatch):
    monkeypatch.setattr("migrollback_nb.operations.apply.RUNS_APART", 0)
    session().execute("CREATE TABLE t (a int, b int)")
    write_migration("001_u", "CREATE TABLE u ();\n-- ROLLBACK START\nDROP TABLE u;\n-- ROLLBACK END\n")
    write_migration(
        "002_a",
        "ALTER TABLE t ALTER a TYPE bigint;\n-- ROLLBACK START\nALTER TABLE t ALTER a TYPE text;\n-- ROLLBACK END\n",
    )
    db.apply()
    found = db.rollback("002_a", confirm="002_a").verification
    assert [change.fields for change in found.differences.changes] == [{"type": ("integer", "text")}]


def test_only_registered_cannot_be_verified_and_says_what_changed(db, write_migration, session):
    session().execute("CREATE TABLE t (a int)")
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    db.register("001_t")
    found = db.rollback("001_t", confirm="001_t").verification
    assert found.verdict == "unknown"
    assert "no snapshot from before 001_t was applied" in found.message
    assert kinds(found.changes) == [("dropped", "column", "public.t.a"), ("dropped", "table", "public.t")]
    assert "- table public.t" in repr(found)


@pytest.mark.long
@pytest.mark.parametrize("given", [True, False], ids=["given as preview", "found by the state"])
def test_only_registered_but_rehearsed(db, write_migration, session, given):
    session().execute("CREATE TABLE t (a int)")
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    db.register("001_t")
    rehearsal = db.rehearse("001_t")
    found = db.rollback("001_t", confirm="001_t", preview=rehearsal if given else None).verification
    assert found.verdict == "as rehearsed"
    assert "no snapshot from before 001_t was applied" in found.message
    assert found.mark == "✅"


def test_another_rollback_than_the_rehearsed_one(db, write_migration, session):
    # what it does depends on something that no fingerprint covers
    connection = session()
    connection.execute("CREATE TABLE rows (a int); CREATE TABLE t (a int)")
    write_migration(
        "001_t",
        "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t; DO $$ BEGIN IF EXISTS (SELECT FROM rows) THEN DROP"
        " TABLE rows; END IF; END $$;\n-- ROLLBACK END\n",
    )
    db.register("001_t")
    rehearsal = db.rehearse("001_t")
    connection.execute("INSERT INTO rows VALUES (1)")
    found = db.rollback("001_t", confirm="001_t", preview=rehearsal).verification
    assert found.verdict == "not as rehearsed"
    assert kinds(found.unexpected) == [("dropped", "column", "public.rows.a"), ("dropped", "table", "public.rows")]


@pytest.mark.long
def test_applied_again_counts_from_then(db, applied, session):
    applied("001_t", "CREATE TABLE IF NOT EXISTS t (a int);", "DROP TABLE t;")
    db.rollback("001_t", confirm="001_t")
    session().execute("CREATE TABLE t (a int)")
    db.apply("001_t")
    found = db.rollback("001_t", confirm="001_t").verification
    assert kinds(found.unexpected) == [("dropped", "column", "public.t.a"), ("dropped", "table", "public.t")]


def test_outside_a_transaction(db, applied):
    applied(
        "001_t",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a);",
        "DROP INDEX CONCURRENTLY i; DROP TABLE t;",
        options=" transaction:false",
    )
    assert db.rollback("001_t", confirm="001_t").verification.verdict == "restored"


@pytest.mark.long
def test_one_of_a_run_that_goes_outside_a_transaction(db, write_migration):
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    outside = (
        "-- Transaction: false\nCREATE INDEX CONCURRENTLY i ON t (a);\n-- ROLLBACK START transaction:false\nDROP INDEX"
        " CONCURRENTLY i;\n-- ROLLBACK END"
    )
    write_migration("002_i", outside)
    write_migration("003_u", "CREATE TABLE u ();\n-- ROLLBACK START\nDROP TABLE u;\n-- ROLLBACK END")
    write_migration("004_v", "CREATE TABLE v ();\n-- ROLLBACK START\nDROP TABLE v;\n-- ROLLBACK END")
    db.apply()
    assert len(db.snapshots()) == 4, "before all, before and after the index, after all"
    assert db.rollback("002_i", confirm="002_i").verification.verdict == "restored"
    assert db.rollback("003_u", confirm="003_u").verification.verdict == "restored"


@pytest.mark.long
def test_psql_can_ask(applied, session):
    applied("001_t", "CREATE TABLE t (a int); CREATE SEQUENCE s;", "DROP TABLE t;")
    connection = session()
    connection.execute("SELECT execute_migration_rollback('001_t')")
    verdict, differences = connection.execute(
        "SELECT verdict, differences FROM verify_migration_rollback('{001_t}')"
    ).fetchone()
    assert (verdict, [row["identity"] for row in differences]) == ("differs", ["public.s"])


def test_the_audit_log_says_it(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    db.rollback("001_t", confirm="001_t")
    assert events(session(), after=2, around=True) == [
        "snapshot_taken",
        "applied",
        "snapshot_taken",
        "snapshot_taken",
        "started",
        "rolled_back",
        "snapshot_taken",
        "verified",
    ]
    assert last_event(session(), around=True)["details"]["verdict"] == "restored"
    assert (
        value(session(), "SELECT count(*) FROM migration_snapshots") == 3
    )  # before it, with it, and once more after: nothing is stored twice
    assert db.verify_events().intact


@pytest.mark.long
def test_no_snapshots_no_verification(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    before = len(events(session(), around=True))
    assert db.rollback("001_t", confirm="001_t", snapshots="none").verification is None
    assert events(session(), after=before, around=True) == ["started", "rolled_back"]


def test_each_takes_one_between_the_migrations(db, write_migration, session):
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    write_migration(
        "002_v",
        "-- Depends on: 001_t\nCREATE VIEW v AS SELECT a FROM t;\n-- ROLLBACK START\nDROP VIEW v;\n-- ROLLBACK END\n",
    )
    db.apply(snapshots="each")
    assert value(session(), "SELECT count(*) FROM migration_snapshots") == 3
    assert db.rollback("002_v", confirm="002_v").verification.verdict == "restored"
    db.apply("002_v")
    before = value(session(), "SELECT count(*) FROM migration_snapshots")
    assert db.rollback("001_t", confirm="001_t", chain=True, snapshots="each").success
    assert value(session(), "SELECT count(*) FROM migration_snapshots") == before + 2


def test_a_choice_that_there_is_not(db, applied):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    for deed in (lambda: db.rollback("001_t", confirm="001_t", snapshots="many"), lambda: db.apply(snapshots="many")):
        with pytest.raises(mr.UsageError, match="ends, each or none"):
            deed()


def test_a_snapshot_that_cannot_be_taken_stops_nothing(applied, session, database_dsn, folder):
    holder = session()
    holder.execute("CREATE VIEW held AS SELECT 1")
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    holder.execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="50ms", retries=0)) as db:
        # nothing has changed since the last snapshot, so that one is given; afterwards one would have to be taken
        ended = db.rollback("001_t", confirm="001_t")
    assert ended.success
    assert any("No snapshot was taken after rollback" in warning for warning in ended.warnings)
    assert ended.verification is None
    holder.execute("COMMIT")


def test_no_snapshot_is_taken_while_locks_are_held(db, applied, session):
    latch = Latch(session())
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; " + latch.wait)
    taken = "SELECT count(*) FROM migration_events WHERE event = 'snapshot_taken'"
    before = value(session(), taken)
    from watching import Background

    going = Background(lambda: db.rollback("001_t", confirm="001_t"))
    latch.eventually_reached()
    assert value(session(), taken) == before + 1  # committed before the rollback began
    latch.release()
    assert going.result().success
    assert value(session(), taken) == before + 2


# -- diff --------------------------------------------------------------------------------------------------------------


def test_diff_reads_like_a_list_of_changes(db, session):
    connection = session()
    connection.execute("CREATE TABLE t (a int, b text); CREATE TABLE u (x int PRIMARY KEY)")
    first = db.snapshot("001_t", "before")
    connection.execute("ALTER TABLE t ALTER a TYPE bigint; DROP TABLE u; CREATE VIEW v AS SELECT b FROM t")
    second = db.snapshot("001_t")
    diff = db.diff(first, second)
    assert diff.lines()[0] == "+ view public.v (with 1 of its parts)"
    assert diff.lines()[1:3] == ("~ column public.t.a", "    type: integer -> bigint")
    assert diff.lines()[3].startswith("- table public.u (with ")
    assert kinds(db.diff(first)) == kinds(diff)
    assert not db.diff(second)
    assert not db.diff("001_t")
    assert kinds(db.diff(first[:13], second)) == kinds(diff)
    frame = diff.to_frame()
    assert list(frame.columns) == ["change", "kind", "identity", "old_definition", "new_definition"]
    assert len(frame) == len(diff)
    assert db.snapshots()["snapshot_id"].tolist() == [second, first]
    assert db.snapshots("001_t")["purpose"].tolist()[1] == "before"


def test_diff_of_a_snapshot_that_there_is_not(db):
    for wanted in ("001_none", "ffffffff", "%"):
        with pytest.raises(mr.UsageError, match="no snapshot"):
            db.diff(wanted)


@pytest.mark.long
def test_a_beginning_that_several_snapshots_share(db):
    for number in range(17):  # of 17 two begin with the same digit
        db.snapshot("001_t", str(number))
    initials = [snapshot[0] for snapshot in db.snapshots()["snapshot_id"]]
    shared = next(initial for initial in initials if initials.count(initial) > 1)
    with pytest.raises(mr.UsageError, match="snapshots begin with"):
        db.diff(shared)
