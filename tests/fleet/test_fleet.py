"""Many databases at once: questions, one plan, waves, what a run keeps, and how it is taken up again."""

import json
import stat
import uuid

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.core.errors import ConfirmationRequired, Refused, UsageError

NAME = "002_users_plan"


def test_questions_answer_for_each_target(databases):
    fleet = databases.fleet()
    status = fleet.status()
    assert list(status["target"]) == databases.names
    assert set(status["status"]) == {"answered"}
    assert (set(status["applied"]), set(status["last_applied"])) == ({2}, {NAME})
    check = fleet.check(NAME)
    assert (list(check.columns[:3]), bool(check["can_rollback"].all())) == (["target", "status", "message"], True)
    assert set(fleet.check("001_users")["can_rollback"]) == {False}
    assert set(fleet.assess(NAME)["verdict"]) == {"not_rehearsed"}
    listed = fleet.list()
    assert (len(listed), set(listed["migration_name"])) == (8, {"001_users", NAME})
    history = fleet.history()
    assert (set(history["status"]), set(history["migration_status"])) == ({"answered"}, {"applied"})
    assert {"depends_on", "target"} <= set(fleet.deps().columns)
    assert set(fleet.doctor()["status"]) == {"answered"}
    table = fleet.table()
    assert (list(table.index), list(table.columns)) == (["001_users", NAME], databases.names)
    assert set(table.to_numpy().ravel()) == {"applied"}


def test_drift_is_what_differs_from_one_of_them(databases):
    databases.execute(databases.names[2], "ALTER TABLE users ADD extra int; CREATE INDEX ON users (plan)")
    found = databases.fleet().diff(databases.names[0])
    differs = found[found["change"].notna()]
    assert set(differs["target"]) == {databases.names[2]}
    assert {("created", "column"), ("created", "index")} <= set(zip(differs["change"], differs["kind"], strict=True))
    assert len(found[found["change"].isna()]) == 3


def test_what_does_not_answer_says_so_and_holds_up_no_other(databases, server):
    empty = server.create_database()
    targets = [
        *databases.dicts(),
        {"name": "down", "dsn": "host=/nowhere dbname=none"},
        {"name": "empty", "dsn": server.dsn(empty)},
    ]
    fleet = mr.Fleet(targets, dir=databases.folder)
    for found in (fleet.status(), fleet.check(NAME), fleet.list()):
        by_target = found.drop_duplicates("target").set_index("target")["status"]
        assert (by_target["down"], by_target["empty"]) == ("unreachable", "not_installed")
        assert set(by_target[databases.names]) == {"answered"}
    plan = fleet.plan(NAME)
    assert [row.outcome for row in plan.rows] == ["not started"] * 4 + ["failed"] * 2
    result = fleet.rollback(NAME, confirm=NAME, preview=plan)
    assert (result.counts, result.exit_code) == ({"done": 4, "failed": 2}, 1)
    server.drop_database(empty)


@pytest.mark.parametrize("databases", [20], indirect=True)
def test_waves_go_one_after_the_other_and_each_is_verified(databases):
    fleet = databases.fleet()
    plan = fleet.plan(NAME, waves=(5,))
    assert [len(wave) for wave in plan.waves] == [1, 5, 14]
    assert (plan.confirm, plan.verdict, len(plan.fingerprint)) == (NAME, "not_rehearsed", 64)
    ended = []
    result = fleet.rollback(
        NAME, confirm=NAME, preview=plan.fingerprint, waves=(5,), reason="INC-42", progress=ended.append
    )
    assert (result.success, result.exit_code, result.counts) == (True, 0, {"done": 20})
    assert [one.wave for one in ended] == sorted(one.wave for one in ended)
    assert {row.verification for row in result.rows} == {"restored"}
    assert set(databases.rolled_back().values()) == {1}
    frame = result.to_frame()
    assert (list(frame["target"]), set(frame["outcome"])) == (databases.names, {"done"})
    reason = databases.execute(
        databases.names[7], "SELECT DISTINCT reason FROM migration_events WHERE event = 'rolled_back'"
    )
    assert reason == [("INC-42",)]
    attempt = uuid.uuid5(uuid.UUID(result.run_id), f"{databases.names[3]}\n{NAME}")
    assert {row.target: row.attempt_id for row in result.rows}[databases.names[3]] == str(attempt)
    again = fleet.resume(result.run_id)
    assert (again.success, set(databases.rolled_back().values())) == (True, {1})


@pytest.fixture(params=["asyncio", "dbos"])
def engine(request, empty_dsn):
    """What says with which engine a run goes, and where that keeps it."""
    return {"engine": request.param, "state": empty_dsn}


def test_a_canary_that_fails_leaves_all_others_untouched(databases, engine):
    canary = databases.names[2]
    databases.execute(canary, "CREATE VIEW v AS SELECT plan FROM users")
    fleet = mr.Fleet(databases.dicts(**{canary: {"canary": "true"}}), dir=databases.folder)
    plan = fleet.plan(NAME)
    assert plan.waves[0] == (canary,)
    result = fleet.rollback(NAME, confirm=NAME, **engine)
    assert result.counts == {"failed": 1, "not started": 3}
    assert (result.exit_code, "wave 1 of 2" in result.stopped) == (1, True)
    assert databases.rolled_back() == dict.fromkeys(databases.names, 0)
    databases.execute(canary, "DROP VIEW v; SELECT resolve_migration('" + NAME + "', 'applied', 'the view is gone')")
    again = fleet.resume(result.run_id, **engine)
    assert (again.success, databases.rolled_back()) == (True, dict.fromkeys(databases.names, 1))


def test_so_many_failures_as_may_be_do_not_stop_it(databases, engine):
    databases.execute(databases.names[1], "CREATE VIEW v AS SELECT plan FROM users")
    result = databases.fleet().rollback(NAME, confirm=NAME, waves=(1,), max_failures=1, **engine)
    assert (result.counts, result.exit_code, result.stopped) == ({"done": 3, "failed": 1}, 1, None)


def test_what_one_wave_left_is_begun_when_it_is_resumed(databases, engine):
    bad = databases.names[1]
    databases.execute(bad, "CREATE VIEW v AS SELECT plan FROM users")
    fleet = databases.fleet()
    result = fleet.rollback(NAME, confirm=NAME, waves=(3,), parallel=1, **engine)
    assert result.counts == {"done": 1, "failed": 1, "not started": 2}
    databases.execute(bad, "DROP VIEW v; SELECT resolve_migration('" + NAME + "', 'applied', 'the view is gone')")
    again = fleet.resume(result.run_id, **engine)
    assert (again.counts, databases.rolled_back()) == ({"done": 4}, dict.fromkeys(databases.names, 1))


def test_a_target_that_the_plan_refuses_is_no_failure_of_the_run(databases, engine, tmp_path):
    (tmp_path / "003_posts.sql").write_text(
        "CREATE TABLE posts ();\n-- ROLLBACK START\nDROP TABLE posts;\n-- ROLLBACK END\n"
    )
    mr.Fleet(databases.dicts()[:3], dir=tmp_path).apply()
    result = databases.fleet().rollback("003_posts", confirm="003_posts", **engine)
    assert (result.counts, result.stopped) == ({"done": 3, "refused": 1}, None)


def test_only_what_was_seen_runs(databases):
    fleet = databases.fleet()
    plan = fleet.plan(NAME)
    with pytest.raises(ConfirmationRequired):
        fleet.rollback(NAME, confirm="yes")
    databases.execute(databases.names[0], "CREATE TABLE other ()")
    with pytest.raises(Refused, match="not the one that was looked at"):
        fleet.rollback(NAME, confirm=NAME, preview=plan)
    assert databases.rolled_back() == dict.fromkeys(databases.names, 0)


def test_another_history_is_told_for_each(databases):
    databases.execute(databases.names[0], "SELECT * FROM execute_migration_rollback('" + NAME + "')")
    databases.execute(databases.names[1], "SELECT * FROM execute_migration_rollback('" + NAME + "')")
    databases.execute(databases.names[1], "SELECT * FROM execute_migration_rollback('001_users')")
    fleet = databases.fleet()
    result = fleet.rollback("001_users", confirm="001_users", chain=True)
    assert result.counts == {"done": 4}
    assert {row.target: row.message for row in result.rows}[databases.names[1]] == "Rolled back before this run"
    unknown = fleet.rollback("003_none", confirm="003_none")
    assert (unknown.counts, unknown.exit_code) == ({"refused": 4}, 3)


def test_a_lock_that_is_not_got_leaves_it_applied(databases):
    busy = databases.names[1]
    fleet = databases.fleet(timeouts=mr.Timeouts(lock_timeout="50ms", retries=0))
    with psycopg.connect(databases.dsn(busy)) as holder:
        holder.execute("LOCK TABLE users IN ACCESS SHARE MODE")
        result = fleet.rollback(NAME, confirm=NAME, max_failures=4)
        assert {row.target: row.outcome for row in result.rows}[busy] == "failed"
    status = databases.execute(busy, "SELECT status FROM migration_history WHERE migration_name = '" + NAME + "'")
    assert status == [("applied",)]
    assert fleet.resume(result.run_id).success


def test_apply_goes_in_waves_too(databases, tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    for file in databases.folder.iterdir():
        (folder / file.name).write_text(file.read_text())
    (folder / "003_posts.sql").write_text(
        "CREATE TABLE posts ();\n-- ROLLBACK START\nDROP TABLE posts;\n-- ROLLBACK END\n"
    )
    fleet = mr.Fleet(databases.dicts(), dir=folder)
    assert {row.steps for row in fleet.plan_apply().rows} == {("003_posts",)}
    result = fleet.apply(waves=(2,))
    assert (result.success, set(fleet.status()["last_applied"])) == (True, {"003_posts"})
    assert fleet.apply().counts == {"done": 4}
    assert fleet.rollback("003_posts", confirm="003_posts").success
    assert set(fleet.apply().to_frame()["message"]) == {"Nothing is pending"}
    assert set(fleet.apply("003_posts").to_frame()["message"]) == {"1 applied"}


def test_what_is_kept_holds_no_password(databases, runs_kept_here):
    targets = [{**one, "dsn": one["dsn"] + " password=s3cret"} for one in databases.dicts()]
    fleet = mr.Fleet(targets, dir=databases.folder)
    result = fleet.rollback(NAME, confirm=NAME)
    (kept,) = runs_kept_here.iterdir()
    assert (kept.name, stat.S_IMODE(kept.stat().st_mode)) == (f"{result.run_id}.jsonl", 0o600)
    report = fleet.report(result.run_id, runs_kept_here / "report.html")
    for text in (kept.read_text(), report.read_text(), repr(fleet), repr(fleet.targets), json.dumps(result.to_dict())):
        assert "s3cret" not in text
    assert all(name in report.read_text() for name in databases.names)


def test_a_state_in_a_database(databases, empty_dsn):
    fleet = databases.fleet()
    result = fleet.rollback(NAME, confirm=NAME, state=empty_dsn)
    assert result.success
    assert fleet.resume(result.run_id, state=empty_dsn).success
    assert fleet.run(result.run_id, state=empty_dsn).counts == {"done": 4}
    for call in (
        lambda: fleet.resume(str(uuid.uuid4()), state=empty_dsn),
        lambda: fleet.resume(str(uuid.uuid4())),
        lambda: fleet.resume("no uuid"),
        lambda: fleet.rollback(NAME, confirm=NAME, state=empty_dsn, run_id=result.run_id),
    ):
        with pytest.raises(UsageError):
            call()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is no target"),
        ('[[target]]\nname = "a"\ndsn = "x"\n[[target]]\nname = "a"\ndsn = "y"', "Two targets have the name a"),
        ('[[target]]\nname = "a"\ndsn = "password=s3cret"\nhost = "h"', "unknown key host"),
        ('[[target]]\ndsn = "x"', "has no name"),
        ('[[target]]\nname = "a"', "has neither dsn nor service"),
        ('[[target]]\nname = "a"\ndsn = "x"\nservice = "y"', "has both dsn and service"),
        ("[[target]\n", "is no TOML"),
        ('[[targets]]\nname = "a"', "unknown key targets"),
    ],
)
def test_a_file_of_targets_that_is_off(tmp_path, text, said, run):
    path = tmp_path / "targets.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        mr.Fleet(path)
    code, _, err = run("status", "--targets", str(path))
    assert (code, said in err, "s3cret" in err) == (2, True, False)


def test_services_and_a_catalogue_name_targets_too(databases, tmp_path, monkeypatch, session):
    services = tmp_path / "pg_service.conf"
    services.write_text(
        "\n".join(
            f"[shop-{name}]\nhost={databases.server.folder}\ndbname={name}\nuser=postgres" for name in databases.names
        )
        + "\n[other]\nhost=nowhere\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    assert set(mr.Fleet.from_services("shop-*").status()["status"]) == {"answered"}
    with pytest.raises(UsageError, match="No libpq service fits none-"):
        mr.Fleet.from_services("none-*")
    asking = session()
    asking.execute("CREATE TABLE tenants (name text, dsn text, region text)")
    for name in databases.names:
        asking.execute("INSERT INTO tenants VALUES (%s, %s, 'eu')", (name, databases.dsn(name)))
    fleet = mr.Fleet.from_catalogue(asking.info.dsn, "SELECT name, dsn, region FROM tenants ORDER BY name")
    assert ({target.labels["region"] for target in fleet.targets}, len(fleet)) == ({"eu"}, 4)
    with pytest.raises(mr.MigrollbackError):
        mr.Fleet.from_catalogue(asking.info.dsn, "DELETE FROM tenants RETURNING name, dsn")
    assert len(asking.execute("SELECT FROM tenants").fetchall()) == 4


def test_tenants_in_schemas_of_one_database(empty_dsn, tmp_path):
    folder = tmp_path / "tenants"
    folder.mkdir()
    block = "-- ROLLBACK START\nDROP TABLE notes;\n-- ROLLBACK END\n"
    (folder / "001_notes.sql").write_text(f"CREATE TABLE notes (id int);\n{block}")
    tenants = ["anna", 'b"o b']
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        for tenant in tenants:
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(tenant)))
    fleet = mr.Fleet([{"name": one, "dsn": empty_dsn, "schema": one} for one in tenants], dir=folder)
    for one in fleet.targets:
        with fleet.connect(one) as db:
            db.install()
    assert fleet.apply().success
    assert set(fleet.status()["last_applied"]) == {"001_notes"}
    fleet = mr.Fleet(fleet.targets[1:], dir=folder)
    assert fleet.rollback("001_notes", confirm="001_notes").success
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        left = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'notes'").fetchall()
    assert left == [("anna",)]
