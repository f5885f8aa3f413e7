"""`migrollback fleet`: its options, its JSON, its exit statuses."""

import json
import uuid

import pytest

NAME = "002_users_plan"


@pytest.fixture
def common(databases, tmp_path):
    """Options that name the fleet."""
    targets = databases.write_targets(tmp_path / "targets.toml", **{databases.names[1]: {"canary": "true"}})
    return ("--targets", str(targets), "--dir", str(databases.folder))


def test_from_status_to_report(databases, common, run, tmp_path):
    code, out, _ = run("status", *common, "--format", "json")
    assert (code, [row["target"] for row in json.loads(out)]) == (0, databases.names)
    assert run("check", NAME, *common)[0] == 0
    assert run("check", "001_users", *common)[0] == 3
    code, out, err = run("rollback", NAME, *common, "--dry-run", "--waves", "2", "--format", "json")
    plan = json.loads(out)
    assert (code, len(plan["rows"]), plan["waves"][0]) == (0, 4, [databases.names[1]])
    assert all(row["fingerprint"] for row in plan["rows"])
    assert run("rollback", NAME, *common)[0] == 2, "it was not confirmed"
    run_id = str(uuid.uuid4())
    given = ("--waves", "2", "--preview", plan["fingerprint"], "--confirm", NAME, "--run-id", run_id)
    code, out, err = run("rollback", NAME, *common, *given, "--format", "json")
    result = json.loads(out)
    assert (code, err.splitlines()[0]) == (0, f"Run {run_id}")
    assert [(row["target"], row["outcome"]) for row in result["rows"]] == [(name, "done") for name in databases.names]
    assert run("resume", run_id)[0] == 0, "the file of targets is known from the run"
    assert run("resume", str(uuid.uuid4()), *common)[0] == 2
    report = tmp_path / "run.html"
    assert run("report", run_id, "--output", str(report))[0] == 0
    assert databases.names[3] in report.read_text()
    assert run("report", run_id, "--output", str(report))[0] == 2, "a report is never overwritten"


def test_a_table_for_people(databases, common, run):
    code, out, _ = run("status", *common)
    assert (code, all(name in out for name in databases.names)) == (0, True)
    code, out, err = run("rollback", NAME, *common, "--dry-run")
    assert "Would roll back in 4 of 4 targets, in 2 waves" in out
    assert "Fingerprint of this plan" in err


def test_exit_statuses(databases, common, run):
    databases.execute(databases.names[0], "CREATE VIEW v AS SELECT plan FROM users")
    code, out, _ = run("rollback", NAME, *common, "--confirm", NAME, "--format", "json")
    failed = json.loads(out)
    assert (code, failed["counts"]["failed"]) == (1, 1)
    assert run("rollback", NAME, *common, "--confirm", NAME, "--preview", "3f1c")[0] == 3, "it is another plan"
    code, out, _ = run("apply", *common, "--dry-run", "--format", "json")
    assert (code, {row["headline"] for row in json.loads(out)["rows"]}) == (0, {"Nothing is pending"})
    assert run("rollback", "003_none", *common, "--confirm", "003_none")[0] == 3
    assert run("rollback", *common)[0] == 2, "no migration is named"
    assert run("rollback", NAME)[0] == 2, "no target is named"
    assert run("rollback", NAME, *common, "--waves", "a")[0] == 2
    assert run("rollback", NAME, *common, "--run-id", "x", "--confirm", NAME)[0] == 2
    assert run("rollback", NAME, *common, "--engine", "dbos", "--confirm", NAME)[0] == 2, "it needs --state"
