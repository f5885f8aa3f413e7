"""Targets that are slow, read-only, of an older system, lost, or not as before: told for each, and no other waits."""

from __future__ import annotations

import threading
import time
import traceback

import psycopg
import pytest

import migrollback_nb as mr

NAME = "002_users_plan"


def outcomes(result):
    return {row.target: row.outcome for row in result.rows}


def messages(result):
    return {row.target: row.message for row in result.rows}


@pytest.mark.long
def test_one_that_does_not_answer_in_time_is_late(databases):
    slow = databases.names[1]
    fleet = databases.fleet()
    fleet.patience = 2.0
    with psycopg.connect(databases.dsn(slow)) as holder:
        holder.execute("LOCK TABLE migration_history IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        found = fleet.status().set_index("target")
        checked = fleet.check(NAME).set_index("target")
        plan = fleet.plan(NAME)
        assert time.monotonic() - began < 20
        for answer in (found, checked):
            assert (answer.loc[slow, "status"], answer.loc[slow, "message"]) == ("late", "No answer within 2 s")
        assert {row.target: (row.status, row.outcome) for row in plan.rows}[slow] == ("late", "failed")
        result = fleet.rollback(NAME, confirm=NAME)
    others = set(databases.names) - {slow}
    assert {name for name, outcome in outcomes(result).items() if outcome == "done"} == others
    assert messages(result)[slow] == "No answer within 2 s"
    assert databases.rolled_back() == dict.fromkeys(others, 1) | {slow: 0}
    # it answers again, and the same SQL would run there as elsewhere
    assert fleet.resume(result.run_id).success
    assert databases.rolled_back() == dict.fromkeys(databases.names, 1)


def test_one_that_only_reads_says_so(databases):
    standby = databases.names[2]
    databases.execute(standby, f'ALTER DATABASE "{standby}" SET default_transaction_read_only = on')
    result = databases.fleet().rollback(NAME, confirm=NAME, max_failures=1)
    assert outcomes(result)[standby] == "failed"
    assert "25006" in messages(result)[standby]
    assert result.counts == {"done": 3, "failed": 1}
    with psycopg.connect(databases.dsn(standby), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f'ALTER DATABASE "{standby}" RESET default_transaction_read_only')
    assert databases.fleet().resume(result.run_id).success
    assert databases.rolled_back() == dict.fromkeys(databases.names, 1)


def test_one_of_an_older_system_says_so(databases):
    old, new = databases.names[:2]
    for name, version in ((old, "0.1.0"), (new, "99.0.0")):
        databases.execute(
            name,
            "SET session_replication_role = replica; UPDATE migration_history SET metadata = metadata"
            f""" || '{{"system_version": "{version}"}}' WHERE metadata ->> 'system' = 'true'""",
        )
    fleet = databases.fleet()
    for found in (fleet.status(), fleet.check(NAME), fleet.list()):
        by_target = found.drop_duplicates("target").set_index("target")
        assert (by_target.loc[old, "status"], by_target.loc[new, "status"]) == ("older_system", "newer_system")
        assert "migrollback install" in by_target.loc[old, "message"]
    result = fleet.rollback(NAME, confirm=NAME)
    assert result.counts == {"done": 2, "failed": 2}
    assert databases.rolled_back() == dict.fromkeys(databases.names[2:], 1) | {old: 0, new: 0}


def test_a_wave_whose_verification_finds_another_schema_is_the_last(databases):
    """What a trigger of that database made beside it is no part of the migration."""
    first = databases.names[0]
    databases.execute(
        first,
        "CREATE FUNCTION surprise() RETURNS event_trigger LANGUAGE plpgsql AS"
        " 'BEGIN CREATE TABLE IF NOT EXISTS public.surprise (); END';"
        " CREATE EVENT TRIGGER surprise ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION surprise()",
    )
    result = databases.fleet().rollback(NAME, confirm=NAME)
    assert (outcomes(result)[first], result.rows[0].verification) == ("done", "differs")
    assert (result.counts, result.exit_code) == ({"done": 1, "not started": 3}, 1)
    assert "not done and verified" in result.stopped
    assert databases.rolled_back() == {name: int(name == first) for name in databases.names}


@pytest.mark.long
@pytest.mark.parametrize("away", [False, True], ids=["comes back", "stays away"])
def test_one_that_is_lost_in_the_middle_of_a_wave(databases, tmp_path, away):
    """Its session is ended while its SQL runs; what became of it is asked of it by the id of its attempt."""
    lost = databases.names[1]
    (tmp_path / "003_slow.sql").write_text(
        "CREATE TABLE slow ();\n-- ROLLBACK START\nDROP TABLE slow; SELECT pg_sleep(1);\n-- ROLLBACK END\n"
    )
    fleet = mr.Fleet(databases.dicts(), dir=tmp_path)
    assert fleet.apply().success

    def end_it():
        with psycopg.connect(databases.server.dsn(), autocommit=True) as admin:
            for _ in range(600):
                query = (
                    "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'"
                    " AND query LIKE '%%execute_migration_rollbacks%%'"
                )
                if admin.execute(query, (lost,)).fetchone():
                    break
                time.sleep(0.01)
            if away:
                admin.execute(f'ALTER DATABASE "{lost}" ALLOW_CONNECTIONS false')
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (lost,))

    ending = threading.Thread(target=end_it)
    ending.start()
    result = fleet.rollback("003_slow", confirm="003_slow", max_failures=1)
    ending.join()
    assert [outcomes(result)[name] for name in databases.names if name != lost] == ["done"] * 3
    assert outcomes(result)[lost] == ("unknown" if away else "failed"), messages(result)[lost]
    databases.server.execute(f'ALTER DATABASE "{lost}" ALLOW_CONNECTIONS true')
    query = "SELECT count(*) FROM migration_events WHERE event = 'rolled_back' AND migration_name = '003_slow'"
    assert databases.execute(lost, query) == [(0,)]
    again = fleet.resume(result.run_id)
    assert again.success, messages(again)
    assert [databases.execute(name, query)[0][0] for name in databases.names] == [1, 1, 1, 1]


PASSWORD = "s3cret-of-many"  # of no one


def all_text_of(dsn):
    """All that a database keeps, as text."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information_)'"
        ).fetchall()
        return "\n".join(
            str(connection.execute(f"SELECT string_agg(t::text, ' ') FROM {table} t").fetchone()) for (table,) in tables
        )


@pytest.mark.parametrize("engine", ["asyncio", pytest.param("dbos", marks=pytest.mark.long)])
def test_a_password_is_shown_nowhere(databases, empty_dsn, engine, run, tmp_path, monkeypatch):  # noqa: PLR0917
    """Of a target, of one that is down, of one whose database is not there, of a catalogue, of where a run is kept."""
    monkeypatch.setattr(databases.__class__, "dsn", lambda self, name: f"{self.server.dsn(name)} password='{PASSWORD}'")
    targets = databases.write_targets(tmp_path / "targets.toml")
    with targets.open("a") as file:
        for name, dsn in (
            ("down", f"postgresql://ann:{PASSWORD}@127.0.0.1:1/shop"),
            ("gone", databases.dsn("none_of_this_name")),
        ):
            file.write(f'[[target]]\nname = "{name}"\ndsn = "{dsn}"\n')
    state = f"{empty_dsn} password='{PASSWORD}'"
    kept = ("--engine", engine, *(("--state", state) if engine == "dbos" else ()))
    common = ("--targets", str(targets), "--dir", str(databases.folder))
    said = [run("status", *common), run("check", NAME, *common), run("rollback", NAME, *common, "--dry-run")]
    ended = run("rollback", NAME, *common, *kept, "--confirm", NAME, "--format", "json")
    run_id = ended[2].splitlines()[0].removeprefix("Run ")
    report = tmp_path / "run.html"
    said += [ended, run("resume", run_id, *common, *kept[2:])]
    said += [run("report", run_id, "--output", str(report), *kept[2:])]
    assert databases.rolled_back() == dict.fromkeys(databases.names, 1)
    catalogue = ("--catalogue", state, "--query", "SELECT 1 / 0")
    said += [
        run("status", *catalogue),
        run("status", "--catalogue", state.replace("host=", "host=/none"), *catalogue[2:]),
    ]
    said += [run("resume", run_id, "--state", f"postgresql://ann:{PASSWORD}@127.0.0.1:1/shop")]
    texts = [text for answer in said for text in answer[1:]]
    texts += [file.read_text() for file in (tmp_path / "state").rglob("*") if file.is_file()]
    texts += [report.read_text(), *(all_text_of(databases.server.dsn(name)) for name in databases.names)]
    texts += [all_text_of(empty_dsn)] if engine == "dbos" else []
    assert any("down" in text for text in texts)
    for text in texts:
        assert PASSWORD not in text


def test_a_password_is_in_no_traceback(databases, tmp_path):
    """Also of one whose DSN cannot be understood."""
    texts = []
    for dsn in (
        f"postgresql://ann:{PASSWORD}@@host/shop",
        f"hots=1 password={PASSWORD}",
        f"postgresql://ann:{PASSWORD}@127.0.0.1:1/shop",
    ):
        fleet = mr.Fleet([{"name": "one", "dsn": dsn}], dir=databases.folder)
        texts += [repr(fleet), repr(fleet.targets), str(fleet.status()["message"]), repr(fleet.plan(NAME))]
        for ask in (lambda fleet=fleet: fleet.connect("one"), lambda fleet=fleet: fleet.diff()):
            with pytest.raises(mr.MigrollbackError) as caught:
                ask()
            texts += ["".join(traceback.format_exception(caught.value))]
    for text in texts:
        assert PASSWORD not in text


@pytest.mark.long
def test_a_deploy_goes_back_and_all_after_a_name(databases, tmp_path):
    (tmp_path / "003_posts.sql").write_text(
        "CREATE TABLE posts ();\n-- ROLLBACK START\nDROP TABLE posts;\n-- ROLLBACK END\n"
    )
    fleet = mr.Fleet(databases.dicts(), dir=tmp_path)
    assert fleet.apply(deploy="2026.12").success
    plan = fleet.plan(deploy="2026.12")
    assert (plan.confirm, {row.steps for row in plan.rows}) == ("2026.12", {("003_posts",)})
    assert fleet.rollback(deploy="2026.12", confirm="2026.12", preview=plan).success
    plan = fleet.plan(to="001_users")
    assert (plan.confirm, {row.steps for row in plan.rows}) == ("001_users", {(NAME,)})
    assert fleet.rollback(to="001_users", confirm="001_users", preview=plan.fingerprint).success
    assert databases.rolled_back() == dict.fromkeys(databases.names, 1)


def test_what_would_be_lost_by_now_is_asked_where_it_runs(databases):
    """Between plan and run there came what production does not lose unasked: the plan is not believed over it."""
    shop = databases.names[1]
    databases.execute(shop, "SELECT mark_production_database(true, 'the shop')")

    def pay(_):
        databases.execute(shop, "INSERT INTO users VALUES (1, 'gold')")

    result = databases.fleet().rollback(NAME, confirm=NAME, reason="INC-42", max_failures=1, begun=pay)
    assert (outcomes(result)[shop], result.counts) == ("refused", {"done": 3, "refused": 1})
    assert "lose" in messages(result)[shop]
    assert databases.execute(shop, "SELECT plan FROM users") == [("gold",)]
    again = databases.fleet().resume(result.run_id)
    assert outcomes(again)[shop] == "refused", "it is looked at anew, and not accepted"
