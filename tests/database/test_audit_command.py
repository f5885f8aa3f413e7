"""`migrollback audit`: what it prints and exits with, anchors, a file that is checked with no database."""

import io
import json

import pytest
from watching import value

import migrollback_nb as mr
from migrollback_nb import cli


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    return cli.run(argv, out, err), out.getvalue(), err.getvalue()


@pytest.fixture
def command(database_dsn, applied):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    return lambda *argv: run("--dsn", database_dsn, *argv)


def test_nothing_is_found(command, db):
    status, out, _ = command("audit")
    anchor = db.audit().anchor
    assert (status, out.splitlines()[0]) == (0, "✅ The audit log is intact")
    assert f"head {anchor}" in out
    status, out, _ = command("audit", "--anchor", anchor)
    assert (status, out.splitlines()[0]) == (0, "✅ The audit log is intact, and holds 1 anchor")


def test_a_finding_is_exit_status_1_and_stands_in_json(command, session):
    session().execute("UPDATE migration_history SET notes = 'by hand'")
    assert command("audit")[0] == 0
    session().execute(
        "BEGIN; SELECT set_config('migrollback.recording', pg_current_xact_id()::text, true);"
        " UPDATE migration_history SET notes = 'unseen' WHERE migration_name = '001_a'; COMMIT"
    )
    for words in (("audit",), ("events", "--verify")):
        status, out, _ = command(*words)
        assert status == 1
        assert "migration_history 001_a: its row differs from what it was at event" in out
    status, out, _ = command("audit", "--format", "json")
    (found,) = json.loads(out)["findings"]
    assert (found["finding"], found["identity"]) == ("history", "001_a")


@pytest.mark.few(3)
@pytest.mark.parametrize("anchor", ["", "x", "1", "1:abc", "0:" + "a" * 64, "1:" + "A" * 64])
def test_what_is_no_anchor_is_wrong_usage(command, anchor):
    status, _, err = command("audit", "--anchor", anchor)
    assert status == 2
    assert "NUMBER:HASH" in err


def test_an_anchor_of_another_database_does_not_hold(command):
    status, out, _ = command("audit", "--anchor", "2:" + "0" * 64, "--anchor", "999:" + "0" * 64)
    assert status == 1
    assert "event 2 has another hash than at the time of the anchor: the audit log was written anew" in out
    assert "event 999 is not there: the audit log was cut" in out


@pytest.mark.versions
def test_psql_asks_the_same(command, session):
    assert value(session(), "SELECT count(*) FROM audit_migrations()") == 0
    assert value(session(), "SELECT message FROM audit_migrations(%s)", ["7777:" + "0" * 64]).endswith("was cut")


# -- the file --------------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(command, tmp_path):
    status, out, _ = command("audit", "--export", str(tmp_path / "log.json"))
    assert status == 0
    assert f"File: {tmp_path / 'log.json'}" in out
    return tmp_path / "log.json"


def test_a_file_is_checked_with_no_database(exported):
    status, out, _ = run("audit", "--check", str(exported))
    assert (status, out.splitlines()[0]) == (0, "✅ The audit log is intact")
    assert mr.check_audit_log(exported).success


def test_a_file_is_not_written_over(command, exported):
    assert command("audit", "--export", str(exported))[0] == 2


CHANGES = {
    "reason": lambda log: log["events"][1].update(reason="x"),
    "details": lambda log: log["events"][-1]["details"].update(x=1),
    "time": lambda log: log["events"][-1].update(occurred_at="2020-01-01T00:00:00+00:00"),
    "cut": lambda log: log["events"].pop(),
    "taken out": lambda log: log["events"].pop(1),
    "status": lambda log: log["history"][-1].update(status="rolled_back"),
    "applied_at": lambda log: log["history"][-1].update(applied_at="2020-01-01T00:00:00+00:00"),
    "row gone": lambda log: log["history"].pop(),
    "row put in": lambda log: log["history"].append(log["history"][-1] | {"migration_name": "x"}),
    "head": lambda log: log["head"].update(head_number=1),
}


@pytest.mark.few(4)
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_was_changed_is_found(exported, change):
    log = json.loads(exported.read_text())
    CHANGES[change](log)
    exported.write_text(json.dumps(log))
    assert run("audit", "--check", str(exported))[0] == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"head": 1, "events": [1], "history": []}'])
def test_what_is_no_audit_log_is_wrong_usage(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    status, _, err = run("audit", "--check", str(tmp_path / "x.json"))
    assert (status, "is no exported audit log" in err) == (2, True)
    assert run("audit", "--check", str(tmp_path / "none.json"))[0] == 2


@pytest.mark.parametrize("options", ["", " transaction:false"])
def test_each_result_of_a_rollback_and_its_report_have_an_anchor(db, applied, tmp_path, options):
    """Also of what ran statement by statement, and it is one that an audit takes."""
    applied("001_t", "CREATE TABLE t (id int);", "DROP TABLE t;", options=options)
    result = db.rollback("001_t", confirm="001_t")
    number, _, head = result.anchor.partition(":")
    event = db.events("001_t", event="rolled_back").iloc[-1]
    assert (int(number), head) == (event["event_number"], event["hash"])
    assert db.audit(anchors=result.anchor).success
    assert head in db.report("001_t", tmp_path / "report.html").read_text(encoding="utf-8")
