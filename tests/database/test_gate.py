"""Rolled back only from `applied`, only with rollback SQL, only when nothing applied rests on it;
asked again under the locks."""

import errno
import os
from pathlib import Path

import pytest
from watching import exists, last_event, schema_of, status

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture
def chain(applied):
    """004 rests on 003 rests on 002 rests on 001; and 005 on 001 beside them."""
    names = ["001_a", "002_b", "003_c", "004_d"]
    for place, name in enumerate(names):
        applied(name, f"CREATE TABLE {name[4:]} ();", f"DROP TABLE {name[4:]};", depends_on=names[place - 1 : place])
    applied("005_e", "CREATE TABLE e ();", "DROP TABLE e;", depends_on=["001_a"])
    return names


def test_all_that_depends_on_it_is_named_directly_or_through_others(db, chain):
    check = db.check("001_a")
    assert not check.can_rollback
    assert check.dependent_migrations == ("002_b", "003_c", "004_d", "005_e")
    assert db.check("003_c").dependent_migrations == ("004_d",)
    assert db.check("004_d").can_rollback


def test_a_dependent_behind_one_that_is_rolled_back_still_blocks(db, chain, session):
    session().execute(
        "UPDATE migration_history SET status = 'rolled_back' WHERE migration_name IN ('002_b', '003_c', '005_e')"
    )
    check = db.check("001_a")
    assert not check.can_rollback
    assert check.dependent_migrations == ("004_d",)
    (row,) = [row for row in db.list().to_dict("records") if row["migration_name"] == "001_a"]
    assert row["dependent_migrations"] == ("004_d",)


def test_a_failed_dependent_is_still_applied_and_blocks(db, chain, session):
    session().execute("UPDATE migration_history SET status = 'failed' WHERE migration_name = '004_d'")
    assert db.check("003_c").dependent_migrations == ("004_d",)


def test_a_refusal_changes_nothing_but_the_audit_log(db, chain, session):
    connection = session()
    before = schema_of(connection), connection.execute("SELECT * FROM migration_history ORDER BY 1").fetchall()
    with pytest.raises(mr.Refused) as caught:
        db.rollback("001_a", confirm="001_a", reason="incident 7")
    assert caught.value.dependents == ("002_b", "003_c", "004_d", "005_e")
    assert caught.value.reason == "Cannot rollback: other migrations depend on this one"
    assert caught.value.exit_code == 3
    assert (
        schema_of(connection),
        connection.execute("SELECT * FROM migration_history ORDER BY 1").fetchall(),
    ) == before
    event = last_event(connection)
    assert (event["event"], event["migration_name"], event["reason"], event["details"]["message"]) == (
        "refused",
        "001_a",
        "incident 7",
        caught.value.reason,
    )


@pytest.mark.parametrize("state", ["rolled_back", "failed"])
def test_only_from_applied(db, applied, session, state):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    session().execute("UPDATE migration_history SET status = %s WHERE migration_name = '001_t'", (state,))
    with pytest.raises(mr.Refused):
        db.rollback("001_t", confirm="001_t")
    assert exists(session(), "t")
    assert status(session(), "001_t") == state


@pytest.mark.few(2)
@pytest.mark.parametrize("rollback_sql", [None, "", "  ", "\n\t\r\n"])
def test_only_with_rollback_sql(db, applied, session, rollback_sql):
    applied("001_t", "CREATE TABLE t ();")
    session().execute("UPDATE migration_history SET rollback_sql = %s WHERE migration_name = '001_t'", (rollback_sql,))
    assert db.check("001_t").reason == "No rollback SQL defined for this migration"
    assert "001_t" in set(db.history(without_rollback=True)["migration_name"])
    with pytest.raises(mr.Refused):
        db.rollback("001_t", confirm="001_t")
    assert status(session(), "001_t") == "applied"


def test_rollback_sql_that_does_not_parse_is_refused_with_its_place(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "\nDROP TABLE IF NOT EXISTS t;")
    check = db.check("001_t")
    assert not check.can_rollback
    assert "line 5, column 15" in check.reason
    with pytest.raises(mr.Refused):
        db.rollback("001_t", confirm="001_t")
    assert exists(session(), "t")


def test_what_a_transaction_refuses_is_refused_with_its_line(db, applied):
    applied("001_t", "CREATE TABLE t (a int); CREATE INDEX i ON t (a);", "DROP INDEX CONCURRENTLY i;")
    assert "line 4: DROP INDEX CONCURRENTLY" in db.check("001_t").reason
    assert "transaction:false" in db.check("001_t").reason


def test_a_cycle_made_by_hand_does_not_run_for_ever(db, chain, session):
    session(options="-c statement_timeout=5s").execute(
        "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('001_a', '004_d')"
    )
    assert not db.check("001_a").can_rollback
    assert not db.list().empty
    with pytest.raises(mr.DependencyError) as caught:
        db.plan("001_a")
    assert set(caught.value.names) == {"001_a", "002_b", "003_c", "004_d"}


def test_nothing_runs_without_its_name_being_confirmed(db, chain, session):
    for confirm in ("", "yes", "004", "004_D", "001_a"):
        with pytest.raises(mr.ConfirmationRequired):
            db.rollback("004_d", confirm=confirm)
    assert exists(session(), "d")


def test_an_unknown_name_brings_those_that_come_close(db, chain):
    for deed in (
        lambda: db.check("001_aa"),
        lambda: db.preview("001_aa"),
        lambda: db.plan("001_aa"),
        lambda: db.rollback("001_aa", confirm="001_aa"),
        lambda: db.graph("001_aa"),
    ):
        with pytest.raises(mr.MigrationNotFound) as caught:
            deed()
        assert "001_a" in caught.value.similar


def test_names_are_taken_with_or_without_the_ending(db, chain):
    assert db.check("004_d.sql").migration_name == "004_d"
    assert db.rollback("004_d.sql", confirm="004_d.sql").migration_name == "004_d"


def test_an_empty_list_of_names_is_wrong_usage(db):
    for deed in (lambda: db.rollback([], confirm=""), lambda: db.preview([])):
        with pytest.raises(mr.UsageError):
            deed()


def test_sql_that_was_set_by_hand_runs_and_is_warned_of(db, applied, session):
    applied("001_t", "CREATE TABLE t (); CREATE TABLE u ();")
    session().execute(
        "UPDATE migration_history SET rollback_sql = 'DROP TABLE t; DROP TABLE u' WHERE migration_name = '001_t'"
    )
    check = db.check("001_t")
    assert check.can_rollback
    assert any("by hand" in warning for warning in check.warnings)
    assert db.rollback("001_t", confirm="001_t").success
    assert not exists(session(), "u")


@pytest.mark.few(1)
@pytest.mark.parametrize("ask", ["preview", "rollback", "rehearse"])
def test_a_refusal_says_which_one_it_is_about_and_what_leads_on(db, applied, ask):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_it's failed", "CREATE TABLE b ();", "SELECT 1/0;", depends_on=["001_a"])
    applied("003_none", "CREATE TABLE c ();")
    with pytest.raises(mr.RollbackFailed, match="migrollback resolve '002_it'\"'\"'s failed' --as"):
        db.rollback("002_it's failed", confirm="002_it's failed")

    def asked(name, **options):
        with pytest.raises(mr.Refused) as caught:
            getattr(db, ask)(name, **options, **({"confirm": name} if ask == "rollback" else {}))
        return caught.value

    alone = asked("001_a")
    assert (alone.migration_name, alone.dependents, alone.hint) == (
        "001_a",
        ("002_it's failed",),
        "public.b was made by 002_it's failed: roll that back first, or --chain\n"
        "Roll back first: 002_it's failed; or all in one transaction, with --chain",
    )
    chain = asked("001_a", chain=True)
    assert (chain.migration_name, chain.reason) == ("002_it's failed", "Rollback failed, manual intervention required")
    assert chain.message == "002_it's failed: Rollback failed, manual intervention required"
    assert chain.hint.splitlines() == [
        "It must be rolled back before 001_a.",
        (
            "It is still applied, unless a person undid it since. Fix its rollback SQL, then: migrollback register"
            " '002_it'\"'\"'s failed', and migrollback resolve '002_it'\"'\"'s failed' --as applied --reason TEXT."
            " Once it is undone by hand: --as rolled_back"
        ),
    ]
    assert (
        asked("003_none").hint
        == "migrollback template 003_none suggests it. Add it to the file, then: migrollback register 003_none"
    )


def test_a_file_that_may_not_be_read_stops_no_rollback(db, applied, monkeypatch):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read anything
    (warning,) = db.check("001_t").warnings
    assert warning.endswith(
        "001_t.sql cannot be read (Permission denied): it is not known whether it was changed after it was registered"
    )
    assert db.rollback("001_t", confirm="001_t").success


def test_an_edited_file_is_warned_of_and_the_registered_sql_runs(db, applied, write_migration, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    write_migration("001_t", "CREATE TABLE t ();\n-- ROLLBACK START\nSELECT 'edited';\n-- ROLLBACK END")
    assert any("changed after it was registered" in warning for warning in db.check("001_t").warnings)
    result = db.rollback("001_t", confirm="001_t", preview=db.preview("001_t"))
    assert any("changed after it was registered" in warning for warning in result.warnings)
    assert not exists(session(), "t")
