"""A database that is marked as production: no rollback without a reason, by whatever client;
the mark is an event, and only adds to the variable."""

import io

import psycopg
import pytest
from panel_parts import part
from watching import dismiss_all, exists, last_event, status, value

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.core.production import is_production

NEEDS_A_REASON = "This database is marked as production: a rollback here needs a reason (argument reason)"


@pytest.fixture
def marked(db, applied):
    """One migration in a database that is marked as production."""
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    assert db.install(production=True).production_changed
    return db


def test_the_mark_is_an_event_and_can_be_taken_away_with_a_reason(db):
    assert not db.look_up_target().production
    assert not db.install().to_dict()["production"]
    first = db.install(production=True, reason="live since today")
    assert (first.production_changed, first.target.production) == (True, True)
    event = db.events().iloc[-1]
    assert (event["event"], event["reason"]) == ("marked_production", "live since today")
    again = db.install(production=True)
    assert (again.production_changed, again.target.production, len(db.events())) == (False, True, event["event_number"])
    assert db.install().target.production, "a repeated install leaves it as it is"
    with pytest.raises(mr.UsageError, match="not production was not said"):
        db.install(production=False, reason=" ")
    with pytest.raises(mr.UsageError, match="nothing that it is the reason of"):
        db.install(reason="because")
    taken = db.install(production=False, reason="moved away").to_dict()
    assert (taken["installed"], taken["production"], taken["production_changed"]) == ([], False, True)
    assert db.verify_events().intact


def test_sql_alone_meets_the_same_rule(marked, session):
    connection = session()
    run = "SELECT success, message FROM execute_migration_rollback('001_t'"
    assert connection.execute(f"{run}, true)").fetchone() == (True, "Dry run: rollback SQL shown below (not executed)")
    for reason in ("NULL", "''", "E' \\t\\n'"):
        assert connection.execute(f"{run}, false, {reason})").fetchone() == (False, NEEDS_A_REASON)
    assert connection.execute(f"{run})").fetchone() == (False, NEEDS_A_REASON)
    assert connection.execute("SELECT success, message FROM execute_migration_rollbacks('{001_t}')").fetchone() == (
        False,
        NEEDS_A_REASON,
    )
    assert (exists(connection, "t"), status(connection, "001_t"), last_event(connection)["event"]) == (
        True,
        "applied",
        "refused",
    )
    assert connection.execute("SELECT success FROM rehearse_migration_rollback('001_t')").fetchone() == (True,), (
        "a rehearsal is no rollback"
    )
    assert connection.execute(f"{run}, false, 'INC-42')").fetchone() == (True, "Migration rolled back successfully")


@pytest.mark.long
def test_a_chain_is_refused_whole(marked, applied, session):
    applied("002_u", "CREATE TABLE u ();", "DROP TABLE u;")
    connection = session()
    run = "SELECT migration_name, success, message FROM execute_migration_rollbacks('{002_u, 001_t}'"
    assert connection.execute(f"{run})").fetchall() == [("002_u", False, NEEDS_A_REASON)]
    assert exists(connection, "u")
    assert [row[1] for row in connection.execute(f"{run}, reason => 'INC-42')").fetchall()] == [True, True]


@pytest.mark.long
def test_other_reasons_come_first(marked, session):
    run = "SELECT message FROM execute_migration_rollback(%s)"
    assert session().execute(run, ("009_nowhere",)).fetchone() == ("Migration not found",)


def test_sql_can_mark_and_unmark(db, session):
    connection = session()
    assert value(connection, "SELECT is_production_database()") is False
    assert value(connection, "SELECT mark_production_database()") is True
    assert value(connection, "SELECT mark_production_database()") is False
    for arguments in ("false", "false, ' '", "NULL"):
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(f"SELECT mark_production_database({arguments})")
        assert refused.value.sqlstate == "MR006"
    assert value(connection, "SELECT mark_production_database(false, 'a copy for tests')") is True
    assert value(connection, "SELECT is_production_database()") is False


def test_no_one_but_whom_the_owner_grants_can_mark(db, session):
    connection = session()
    connection.execute("CREATE ROLE production_stranger")
    try:
        connection.execute("SET ROLE production_stranger")
        for call in ("mark_production_database(false, 'x')", "is_production_database()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {call}")
    finally:
        connection.execute("RESET ROLE; DROP ROLE production_stranger")


def test_python_refuses_before_anything_is_written(marked, monkeypatch):
    before = len(marked.events())
    for reason in (None, "", "  "):
        with pytest.raises(mr.ConfirmationRequired, match="is production: a rollback there needs a reason") as refused:
            marked.rollback("001_t", confirm="001_t", reason=reason)
        assert "--reason TEXT" in refused.value.hint
    assert len(marked.events()) == before
    assert marked.preview("001_t").target.production
    assert "PRODUCTION" in marked._repr_html_()
    assert marked.rollback("001_t", confirm="001_t", reason="INC-42").success
    monkeypatch.setenv("MIGROLLBACK_PRODUCTION", "")
    assert is_production(marked.target), "the variable only adds"


def test_the_variable_alone_asks_for_a_reason_too(db, applied, monkeypatch):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    monkeypatch.setenv("MIGROLLBACK_PRODUCTION", db.target.database)
    with pytest.raises(mr.ConfirmationRequired, match="needs a reason"):
        db.rollback("001_t", confirm="001_t")
    assert db.rollback("001_t", confirm="001_t", reason="INC-42").success


@pytest.mark.long
def test_statement_by_statement_and_a_mark_that_came_then(marked, applied, monkeypatch):
    applied("002_i", "CREATE INDEX i ON t ((1));", "DROP INDEX CONCURRENTLY i;", options=" transaction:false")
    dismiss_all(marked)
    monkeypatch.setattr(
        "migrollback_nb.core.production.is_production", lambda *_: False
    )  # it was marked after the client had looked
    for name in ("002_i", "001_t"):
        with pytest.raises(mr.Refused, match="marked as production") as refused:
            marked.rollback(name, confirm=name)
        assert refused.value.exit_code == 3
    assert marked.rollback("002_i", confirm="002_i", reason="INC-42").success


def test_who_may_not_look_does_not_take_it_for_harmless(db, session, database_dsn):
    session().execute("CREATE ROLE production_reader LOGIN; GRANT SELECT ON migration_history TO production_reader")
    try:
        with mr.connect(f"{database_dsn} user=production_reader") as reader:
            assert reader.look_up_target().production
    finally:
        session().execute("DROP OWNED BY production_reader; DROP ROLE production_reader")


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    return cli.run(argv, out, err, io.StringIO()), out.getvalue(), err.getvalue()


def test_the_command_line_marks(database_dsn):
    install = ("--dsn", database_dsn, "install")
    assert run(*install, "--production", "--reason", "go-live")[1].endswith(
        "is marked as production: a rollback here needs a reason\n"
    )
    assert run(*install, "--production", "--not-production")[0] == 2
    code, _, err = run(*install, "--not-production")
    assert (code, "--reason TEXT" in err) == (2, True)
    assert run(*install, "--not-production", "--reason", "a copy")[1].endswith("is no longer marked as production\n")


def test_confirm_alone_is_not_enough_there(marked, database_dsn):
    rollback = ("--dsn", database_dsn, "rollback", "001_t", "--confirm", "001_t")
    code, out, err = run(*rollback, "--format", "json")
    assert (code, "needs a reason" in out, "--reason TEXT" in err) == (2, True, True)
    assert run(*rollback, "--reason", "INC-42")[0] == 0


def test_the_printed_installation_marks_it_too(empty_dsn):
    code, script, _ = run("install", "--print", "--production", "--reason", "it's live")
    assert code == 0
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(script.encode())
        assert value(connection, "SELECT is_production_database()") is True
        assert last_event(connection)["reason"] == "it's live"
    assert run("install", "--print", "--not-production", "--reason", "x")[0] == 2


@pytest.mark.long
def test_panels_and_report_know_the_mark(marked):
    from migrollback_nb.panels import ChecklistPanel, RollbackPanel
    from migrollback_nb.runbook.report import report_html

    panel = RollbackPanel(marked, production=lambda _: False)
    panel.refresh()
    assert panel.shared.wait(30)
    assert panel.shared.production
    assert "PRODUCTION" in part(panel, "target_view").value
    checklist = ChecklistPanel(marked)
    checklist.refresh()
    assert checklist.wait(30)
    assert "PRODUCTION" in checklist.target_view.value
    assert "PRODUCTION" in report_html(marked, "001_t")
