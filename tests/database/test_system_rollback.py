"""Rolling the system's own migration back: it works, says that the trail ends, and hands the trail over first."""

import json

import psycopg
import pytest
from watching import value

import migrollback_nb as mr
from migrollback_nb.operations import rollback

pytestmark = pytest.mark.versions

SYSTEM = "20250120_migration_rollback_system"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_warned_of(db, applied):
    applied("001_t", "SELECT 1;")
    check = db.check(SYSTEM)
    assert check.can_rollback
    assert any("audit log ends here" in warning and "1 other" in warning for warning in check.warnings)


def test_specified_dry_run_lists_what_goes(db):
    sql = db.preview(SYSTEM).sql
    for name in (
        "create_migration_snapshot",
        "list_rollbackable_migrations",
        "execute_migration_rollback",
        "can_rollback_migration",
        "migration_dependencies",
        "migration_history",
    ):
        assert name in sql


def test_the_audit_log_is_handed_over_and_nothing_is_left(db, applied, session, elsewhere):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    head = db.verify_events()
    result = db.rollback(
        SYSTEM, confirm=SYSTEM, reason="moving on", trail=elsewhere / "trail.json", preview=db.preview(SYSTEM)
    )
    assert result.success
    assert "audit log ends here" in result.message
    assert any("trail.json" in warning for warning in result.warnings)
    saved = json.loads((elsewhere / "trail.json").read_text())
    assert saved["head"]["head_hash"] == head.head_hash
    assert {row["migration_name"] for row in saved["history"]} == {SYSTEM, "001_t"}
    assert mr.check_audit_log(elsewhere / "trail.json", anchors=[head.anchor]).success
    left = (
        "SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace) + (SELECT count(*) FROM"
        " pg_class WHERE relnamespace = 'public'::regnamespace AND relname <> 't')"
    )
    assert value(session(), left) == 0
    with pytest.raises(mr.NotInstalled):
        db.list()
    assert db.install().installed == (SYSTEM,)


def test_the_audit_log_is_saved_under_a_dated_name_by_default(db, elsewhere):
    db.rollback(SYSTEM, confirm=SYSTEM)
    (path,) = elsewhere.glob("migrollback_trail_*.json")
    assert json.loads(path.read_text())["events"]


def test_an_audit_log_is_never_overwritten(db, elsewhere):
    (elsewhere / "trail.json").write_text("older")
    with pytest.raises(mr.UsageError):
        db.rollback(SYSTEM, confirm=SYSTEM, trail=elsewhere / "trail.json")
    assert (elsewhere / "trail.json").read_text() == "older"
    db.require_system()


def test_an_audit_log_that_cannot_be_written_keeps_the_system(db, elsewhere):
    with pytest.raises(mr.UsageError):
        db.rollback(SYSTEM, confirm=SYSTEM, trail=elsewhere / "no folder" / "trail.json")
    db.require_system()


def test_psql_must_name_the_head_of_the_audit_log(db, session):
    connection = session()
    success, message, _ = connection.execute("SELECT * FROM execute_migration_rollback(%s)", (SYSTEM,)).fetchone()
    assert not success
    assert "chain_head" in message
    assert not value(connection, "SELECT success FROM execute_migration_rollback(%s, chain_head => 'wrong')", SYSTEM)
    head = db.verify_events().head_hash
    assert value(connection, "SELECT success FROM execute_migration_rollback(%s, chain_head => %s)", SYSTEM, head)


def test_an_event_between_saving_and_rolling_back_is_not_lost(db, session, elsewhere, monkeypatch):
    save = rollback.export_audit_log

    def save_and_somebody_writes(database, path):
        head = save(database, path)
        session().execute("SELECT add_migration_event('checklist_item', NULL)")
        return head

    monkeypatch.setattr(rollback, "export_audit_log", save_and_somebody_writes)
    with pytest.raises(mr.Refused):
        db.rollback(SYSTEM, confirm=SYSTEM, trail=elsewhere / "trail.json")
    db.require_system()


@pytest.mark.long
@pytest.mark.parametrize("place", [0, 1])
def test_it_goes_alone(db, applied, session, place):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    names = ["001_t"]
    names.insert(place, SYSTEM)
    for deed in (lambda: db.preview(names), lambda: db.rollback(names, confirm=names[-1])):
        with pytest.raises(mr.Refused):
            deed()
    db.require_system()
    assert value(session(), "SELECT to_regclass('t') IS NOT NULL")


def test_a_dependent_of_the_system_blocks_it(db, write_migration):
    write_migration(
        "20250121_add_migration_logs",
        f"-- Depends on: {SYSTEM}.sql\nCREATE TABLE migration_logs ();\n-- ROLLBACK START\nDROP TABLE"
        " migration_logs;\n-- ROLLBACK END",
    )
    db.apply()
    with pytest.raises(mr.Refused) as caught:
        db.rollback(SYSTEM, confirm=SYSTEM)
    assert caught.value.dependents == ("20250121_add_migration_logs",)
    db.require_system()


@pytest.mark.long
def test_in_a_schema_of_its_own_nothing_else_is_touched(empty_dsn, elsewhere):
    with mr.connect(empty_dsn, schema="Ops") as db:
        db.install()
        db.rollback(SYSTEM, confirm=SYSTEM, trail=elsewhere / "trail.json")
    with psycopg.connect(empty_dsn) as connection:
        assert (
            value(
                connection,
                "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'Ops'",
            )
            == 0
        )


def test_the_first_answer_names_the_audit_log_that_goes(db, session):
    events = value(session(), "SELECT count(*) FROM migration_events")
    known = db.assess(SYSTEM)
    assert known.verdict == "loses"
    assert [(one.effect, one.identity, one.rows) for one in known.effects] == [
        ("loses_rows", "public.migration_events", events)
    ]
    assert f"lose {events} rows of public.migration_events" in known.headline
    (row,) = db.list(system=True).to_dict("records")
    assert (row["verdict"], row["headline"]) == (known.verdict, known.headline)


def test_production_asks_that_the_loss_of_the_audit_log_is_accepted(db, elsewhere):
    db.install(production=True)
    options = {"confirm": SYSTEM, "reason": "moving on", "trail": elsewhere / "trail.json"}
    with pytest.raises(mr.Refused) as caught:
        db.rollback(SYSTEM, **options)
    assert "migration_events" in str(caught.value)
    assert not (elsewhere / "trail.json").exists()
    assert db.rollback(SYSTEM, accept_loss=True, **options).assessment.verdict == "loses"
