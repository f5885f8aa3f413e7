"""The checklist on a real database: evidence that machines find, answers that people give, and a run that two share
and a restart keeps."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pg_servers import with_migrations, with_system
from watching import events, eventually, last_event, value

import migrollback_nb as mr
from migrollback_nb.runbook.items import ITEMS, Evidence, Outcome, Phase, items_of
from migrollback_nb.servers import pg_dump, programs

if TYPE_CHECKING:
    from pg_servers import Server

NAME = "001_a"
FILE = (
    "CREATE TABLE a (id int);\nINSERT INTO a SELECT generate_series(1, 100);\n\n-- ROLLBACK START\nDROP TABLE a;\n--"
    " ROLLBACK END\n"
)


@pytest.fixture(scope="module")
def checklist_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from with_migrations(server, tmp_path_factory.mktemp("checklist") / "migrations", {NAME: FILE})


@pytest.fixture
def database_template(request: pytest.FixtureRequest, server: Server) -> str:
    return request.getfixturevalue("checklist_template") if "checklist" in request.fixturenames else with_system(server)


@pytest.fixture
def checklist(db: mr.Migrations, write_migration: Callable[[str, str], Path]) -> mr.Checklist:
    write_migration(NAME, FILE)
    return mr.Checklist(db, NAME, ticket="INC-42", scratch=None)  # on a copy: one test of its own


@pytest.fixture(autouse=True)
def no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIGROLLBACK_MAINTENANCE_HOOK", raising=False)
    monkeypatch.delenv("MIGROLLBACK_NOTIFICATION_HOOK", raising=False)


# -- who, when, evidence ----------------------------------------------------------------------------------------------


def test_an_answer_is_one_event_with_who_when_and_evidence(
    checklist: mr.Checklist, session: Callable[..., psycopg.Connection]
) -> None:
    connection = session()
    before = value(connection, "SELECT count(*) FROM migration_events")
    entry = checklist.confirm_manually("window", "22:00 to 22:30")
    event = last_event(connection)
    assert value(connection, "SELECT count(*) FROM migration_events") == before + 1
    assert (event["event"], event["migration_name"], event["reason"]) == ("checklist_item", NAME, "22:00 to 22:30")
    assert event["details"]["item"] == "window"
    assert event["details"]["ticket"] == "INC-42"
    assert event["details"]["attested"] is True
    assert (entry.database_user, entry.occurred_at, entry.event_number) == (
        event["database_user"],
        event["occurred_at"],
        event["event_number"],
    )
    assert checklist.db.verify_events().intact


def test_looking_writes_nothing(checklist: mr.Checklist, session: Callable[..., psycopg.Connection]) -> None:
    connection = session()
    before = events(connection)
    checklist.state()._repr_html_()
    with pytest.raises(mr.Refused, match="8 of the checklist's items"):
        checklist.require_before()
    assert events(connection) == before


def test_two_people_share_one_run(checklist: mr.Checklist, database_dsn: str, folder: Path) -> None:
    with mr.connect(database_dsn, dir=folder, interface="notebook") as other:
        colleague = mr.Checklist(other, NAME)
        checklist.confirm_manually("window", "mine")
        colleague.confirm_manually("reason", "theirs")
        assert colleague.state().to_dict() == checklist.state().to_dict()
        assert {entry.item for entry in checklist.state().entries} == {"window", "reason"}
        assert checklist.state().ticket == "INC-42"


def test_a_restart_loses_nothing(checklist: mr.Checklist, database_dsn: str, folder: Path) -> None:
    checklist.answer("dependents")
    checklist.confirm_manually("window", "22:00")
    checklist.skip("application", "nobody is there")
    before = checklist.state().to_dict()
    checklist.db.close()
    with mr.connect(database_dsn, dir=folder) as again:
        assert mr.Checklist(again, NAME).state().to_dict() == before


@pytest.mark.long
def test_answers_at_the_same_moment_are_all_kept(checklist: mr.Checklist, database_dsn: str, folder: Path) -> None:
    def confirm_manually(key: str) -> None:
        with mr.connect(database_dsn, dir=folder) as own:
            mr.Checklist(own, NAME).confirm_manually(key, key)

    keys = [item.key for item in ITEMS if item.evidence != Evidence.AUDIT_LOG][:8]
    threads = [threading.Thread(target=confirm_manually, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.item for entry in checklist.state().entries} == set(keys)
    assert checklist.db.verify_events().intact


@pytest.mark.long
def test_a_run_ends_when_the_migration_is_applied_again(checklist: mr.Checklist, db: mr.Migrations) -> None:
    checklist.confirm_manually("window", "22:00")
    db.rollback(NAME, confirm=NAME)
    db.apply(NAME)
    assert mr.Checklist(db, NAME).state().entries == ()
    # who still has the old one open goes on with it
    checklist.confirm_manually("documented", "in the wiki")
    assert {entry.item for entry in checklist.state().entries} == {"window", "documented"}
    assert checklist.state().rolled_back is not None
    assert mr.Checklist(db, NAME, run=checklist.run).state().to_dict() == checklist.state().to_dict()


def test_a_migration_that_is_not_there_is_refused_with_names_that_come_close(
    checklist: mr.Checklist, db: mr.Migrations
) -> None:
    with pytest.raises(mr.MigrationNotFound, match=NAME):
        mr.Checklist(db, "001_b")


# -- people -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", ["", "  \n"])
def test_a_persons_word_needs_words(checklist: mr.Checklist, blank: str) -> None:
    with pytest.raises(mr.UsageError, match="needs a note"):
        checklist.confirm_manually("window", blank)
    with pytest.raises(mr.UsageError, match="needs a reason"):
        checklist.skip("window", blank)
    assert checklist.state().entries == ()


def test_its_repr_names_what_it_is_of(checklist: mr.Checklist, db: mr.Migrations) -> None:
    shown = repr(checklist)
    assert shown.startswith(f"<Checklist of {checklist.name}, run {checklist.run}, on ")
    assert str(db.target) in shown
    assert "with its chain" in repr(db.checklist(checklist.name, chain=True))


def test_no_one_confirms_the_rollback_itself_manually(checklist: mr.Checklist) -> None:
    with pytest.raises(mr.UsageError, match="audit log"):
        checklist.confirm_manually("execute", "I did it")
    with pytest.raises(mr.UsageError):
        checklist.skip("execute", "no time")
    with pytest.raises(mr.UsageError, match="not been rolled back yet"):
        checklist.answer("execute")


@pytest.mark.parametrize("key", [item.key for item in ITEMS if item.evidence == Evidence.PERSON])
def test_no_machine_answers_what_only_a_person_can(checklist: mr.Checklist, key: str) -> None:
    with pytest.raises(mr.UsageError, match="Only a person"):
        checklist.answer(key)


def test_skipping_is_recorded_for_each_item(checklist: mr.Checklist) -> None:
    checklist.confirm_manually("window", "22:00")
    gone = checklist.skip_open("everything is on fire")
    assert [entry.item for entry in gone] == [item.key for item in items_of(Phase.BEFORE) if item.key != "window"]
    assert {entry.note for entry in gone} == {"everything is on fire"}
    checklist.require_before()
    assert checklist.state().missing_before == ""


# -- check, rehearsal, dry run, file ----------------------------------------------------------------------------------


def test_dependents_are_checked(checklist: mr.Checklist, db: mr.Migrations, applied: Callable[..., str]) -> None:
    assert checklist.answer("dependents").outcome == Outcome.DONE
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=[NAME])
    assert checklist.state().outcome("dependents") is None  # no longer true
    assert "changed since" in checklist.state().stale["dependents"]
    entry = checklist.answer("dependents")
    assert entry.outcome == Outcome.FAILED
    assert "002_b" in entry.summary
    chain = mr.Checklist(db, NAME, chain=True)
    entry = chain.answer("dependents")
    assert entry.outcome == Outcome.DONE
    assert entry.evidence["migrations"] == ["002_b", NAME]
    assert chain.state().outcome("dependents") == Outcome.DONE


@pytest.mark.long
def test_a_chain_that_cannot_go_is_no_good_answer(
    checklist: mr.Checklist, db: mr.Migrations, applied: Callable[..., str]
) -> None:
    applied("002_b", "CREATE TABLE b ();", None, depends_on=[NAME])
    entry = mr.Checklist(db, NAME, chain=True).answer("dependents")
    assert entry.outcome == Outcome.FAILED
    assert entry.evidence["error"] == "Refused"


def test_a_rehearsal_is_evidence_as_long_as_nothing_changes(
    checklist: mr.Checklist, session: Callable[..., psycopg.Connection]
) -> None:
    connection = session()
    entry = checklist.answer("staging")
    assert entry.outcome == Outcome.DONE
    assert value(connection, "SELECT count(*) FROM a") == 100
    assert any("100" in danger for danger in entry.evidence["dangers"])
    assert checklist.state().is_complete("staging")
    connection.execute("CREATE TABLE somebody_elses ()")
    assert not checklist.state().is_complete("staging")
    assert "staging" in checklist.state().missing_before or "Tested rollback" in checklist.state().missing_before


def test_a_rehearsal_that_fails_is_kept_as_such(db: mr.Migrations, applied: Callable[..., str]) -> None:
    applied("003_c", "CREATE TABLE c ();", "DROP TABLE nothing_of_that_name;")
    entry = mr.Checklist(db, "003_c", scratch=None).answer("staging")
    assert entry.outcome == Outcome.FAILED
    assert entry.evidence["failure"]


@pytest.mark.long
def test_it_is_rehearsed_on_a_copy_and_then_on_the_target(
    checklist: mr.Checklist,
    db: mr.Migrations,
    database_dsn: str,
    session: Callable[..., psycopg.Connection],
    applied: Callable[..., str],
) -> None:
    both = mr.Checklist(db, NAME, scratch=database_dsn).answer("staging")
    assert both.outcome == Outcome.DONE, both.summary
    assert len(both.evidence["where"]) == 2
    assert both.evidence["where"][-1] == "on the target itself"
    assert any("100" in danger for danger in both.evidence["dangers"])  # the copy has no rows
    # what fails on the copy is not tried on the target
    applied("003_c", "CREATE TABLE c ();", "DROP TABLE nothing_of_that_name;")
    connection = session()
    before = events(connection).count("rehearsed")
    failed = mr.Checklist(db, "003_c", scratch=database_dsn).answer("staging")
    assert failed.outcome == Outcome.FAILED
    assert len(failed.evidence["where"]) == 1
    assert events(connection).count("rehearsed") == before
    # where no copy can be made, that is said, and the target is rehearsed on all the same
    alone = mr.Checklist(db, NAME, scratch="mysql://nowhere/x").answer("staging")
    assert alone.outcome == Outcome.DONE, alone.summary
    assert "Not rehearsed on a copy" in alone.summary


def test_a_dry_run_keeps_the_sql_and_the_counters(checklist: mr.Checklist) -> None:
    entry = checklist.answer("dry_run")
    assert entry.evidence["sql"].strip() == "DROP TABLE a;"
    assert entry.evidence["sql_sha256"] == hashlib.sha256(entry.evidence["sql"].encode()).hexdigest()
    assert checklist.state().outcome("errors") == Outcome.NOTED


def test_the_way_back_is_the_registered_file(checklist: mr.Checklist, folder: Path) -> None:
    assert checklist.answer("reapply").outcome == Outcome.DONE
    file = folder / f"{NAME}.sql"
    file.write_text(file.read_text() + "-- edited\n")
    assert checklist.answer("reapply").outcome == Outcome.FAILED
    file.unlink()
    entry = checklist.answer("reapply")
    assert (entry.outcome, entry.evidence["error"]) == (Outcome.FAILED, "MigrationNotFound")


def test_fixes_are_seen_in_the_file(checklist: mr.Checklist, db: mr.Migrations, folder: Path) -> None:
    db.rollback(NAME, confirm=NAME)
    assert checklist.answer("mended").outcome == Outcome.FAILED
    file = folder / f"{NAME}.sql"
    file.write_text(file.read_text().replace("id int", "id bigint"))
    assert checklist.answer("mended").outcome == Outcome.DONE


def test_the_rollback_is_found_in_the_audit_log(checklist: mr.Checklist, db: mr.Migrations) -> None:
    result = db.rollback(NAME, confirm=NAME, reason="INC-42")
    assert checklist.state().outcome("execute") == Outcome.DONE
    entry = checklist.answer("execute")
    assert entry.evidence["attempt_id"] == result.attempt_id


# -- backup -----------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_backup_is_taken_proved_and_can_be_restored(
    checklist: mr.Checklist, tmp_path: Path, server: Any, database_dsn: str
) -> None:
    file = tmp_path / "before.dump"
    entry = checklist.answer("backup", file=file)
    assert entry.outcome == Outcome.DONE, entry.evidence
    kept = entry.evidence
    assert kept["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert kept["bytes"] == file.stat().st_size
    assert kept["tables"] >= 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.part"))
    # restored: the table, its rows, the history and the audit log, whole
    name = server.create_database()
    try:
        dumper = pg_dump.find_pg_dump(server.major * 10000)
        subprocess.run(
            [dumper.bin / "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={server.dsn(name)}", file],
            check=True,
            capture_output=True,
        )
        with mr.connect(server.dsn(name)) as restored, psycopg.connect(server.dsn(name)) as connection:
            assert connection.execute("SELECT array_agg(id ORDER BY id) FROM a").fetchone() == (list(range(1, 101)),)
            assert restored.check(NAME).can_rollback
            assert restored.verify_events().intact
            number = entry.event_number
            with psycopg.connect(database_dsn) as original:
                expected = original.execute(
                    "SELECT hash FROM migration_events WHERE event_number < %s ORDER BY event_number", (number,)
                ).fetchall()
            assert connection.execute("SELECT hash FROM migration_events ORDER BY event_number").fetchall() == expected
    finally:
        server.drop_database(name)


def test_no_backup_is_overwritten(checklist: mr.Checklist, tmp_path: Path) -> None:
    file = tmp_path / "before.dump"
    file.write_text("precious")
    with pytest.raises(mr.UsageError, match="never overwritten"):
        checklist.answer("backup", file=file)
    assert file.read_text() == "precious"
    with pytest.raises(mr.UsageError, match="cannot be written"):
        checklist.answer("backup", file=tmp_path / "nowhere" / "before.dump")
    assert checklist.state().entries == ()


@pytest.mark.long
def test_a_backup_that_fails_leaves_no_file_and_is_recorded(
    checklist: mr.Checklist, tmp_path: Path, session: Callable[..., psycopg.Connection]
) -> None:
    connection = session()
    connection.execute("CREATE ROLE nobody_in_particular LOGIN")
    try:
        info = connection.info
        other = psycopg.connect(
            host=info.host, port=info.port, dbname=info.dbname, user="nobody_in_particular", autocommit=True
        )
        with other, pytest.raises(pg_dump.BackupFailed, match="permission denied"):
            pg_dump.take_backup(other, tmp_path / "x.dump")
    finally:
        connection.execute("DROP ROLE nobody_in_particular")
    assert list(tmp_path.glob("x*")) == []


def test_a_failed_backup_is_an_answer(checklist: mr.Checklist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "dump_programs", lambda: iter([programs.Programs(Path("/old"), "9.6.24")]))
    entry = checklist.answer("backup", file=tmp_path / "x.dump")
    assert entry.outcome == Outcome.FAILED
    assert "9.6.24" in entry.evidence["message"]
    assert list(tmp_path.glob("x*")) == []


def test_the_password_is_on_no_command_line_and_in_no_event(
    checklist: mr.Checklist, tmp_path: Path, session: Callable[..., psycopg.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cr3t p'w\\d="
    seen: list[str] = []
    real = pg_dump._run

    def spy(command: list[Any], environment: dict[str, str], cancelled: Any) -> str:
        seen.extend(str(word) for word in command)
        seen.extend(value for name, value in environment.items() if name != "PGSERVICEFILE")
        if any("service" in str(word) for word in command):
            service = Path(environment["PGSERVICEFILE"])
            assert secret in service.read_text()
            assert stat.S_IMODE(service.stat().st_mode) == 0o600
        return real(command, environment, cancelled)

    monkeypatch.setattr(pg_dump, "_run", spy)
    info = session().info
    connection = psycopg.connect(
        host=info.host, port=info.port, dbname=info.dbname, user=info.user, password=secret, autocommit=True
    )
    with connection, mr.connect(connection=connection) as lent:
        entry = mr.Checklist(lent, NAME).answer("backup", file=tmp_path / "x.dump")
    assert entry.outcome == Outcome.DONE, entry.evidence
    assert seen
    assert not any(secret in word for word in seen)
    assert secret not in json.dumps(checklist.state().to_dict(), default=str)


def test_a_backup_can_be_cancelled_and_leaves_nothing(
    checklist: mr.Checklist, tmp_path: Path, session: Callable[..., psycopg.Connection]
) -> None:
    holder = session()
    holder.autocommit = False
    holder.execute("LOCK TABLE a IN ACCESS EXCLUSIVE MODE")  # pg_dump waits for it
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(checklist.answer("backup", file=tmp_path / "x.dump")))
    thread.start()
    eventually((tmp_path / "x.dump.part").exists, "pg_dump runs")
    checklist.cancel()
    thread.join(30)
    holder.rollback()
    assert got[0].outcome == Outcome.FAILED
    assert "cancelled" in got[0].summary
    assert list(tmp_path.glob("x*")) == []


def test_a_backup_of_ones_own_is_named(checklist: mr.Checklist, tmp_path: Path) -> None:
    entry = checklist.record_backup("backup", "rds:snapshot-7", bytes=5, taken_at="2026-01-01T00:00Z", sha256="ab")
    assert entry.evidence == {
        "backup_id": "rds:snapshot-7",
        "bytes": 5,
        "taken_at": "2026-01-01T00:00Z",
        "sha256": "ab",
    }
    assert checklist.state().is_complete("backup")
    file = tmp_path / "own.dump"
    file.write_bytes(b"all of it")
    entry = checklist.record_backup("final_backup", str(file))
    assert entry.evidence["sha256"] == hashlib.sha256(b"all of it").hexdigest()
    assert entry.evidence["bytes"] == 9
    unknown = checklist.record_backup("backup", "tape 9")
    assert "checksum not known" in unknown.summary
    with pytest.raises(mr.UsageError):
        checklist.record_backup("backup", " ")
    with pytest.raises(mr.UsageError):
        checklist.record_backup("window", "x")


# -- hooks, smoke tests, error rates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "variable"),
    [("maintenance_on", "MIGROLLBACK_MAINTENANCE_HOOK"), ("notified", "MIGROLLBACK_NOTIFICATION_HOOK")],
)
def test_a_hook_runs_and_none_is_said_plainly(
    checklist: mr.Checklist, key: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(mr.UsageError, match=rf"No .* hook is configured\n.*{variable}"):
        checklist.answer(key)
    assert checklist.state().entries == ()
    monkeypatch.setenv(variable, 'echo "$MIGROLLBACK_EVENT $MIGROLLBACK_MIGRATION $MIGROLLBACK_TICKET"')
    entry = checklist.answer(key)
    assert entry.outcome == Outcome.DONE
    assert entry.evidence["output"] == f"{key} {NAME} INC-42"
    monkeypatch.setenv(variable, "exit 3")
    assert checklist.answer(key).outcome == Outcome.FAILED


def test_a_callable_hook_learns_the_target(db: mr.Migrations, checklist: mr.Checklist) -> None:
    told: list[Any] = []
    own = mr.Checklist(db, NAME, maintenance=told.append)
    assert own.answer("maintenance_off").outcome == Outcome.DONE
    assert told[0]["database"] == db.target.database
    assert told[0]["event"] == "maintenance_off"


def test_smoke_tests_run_read_only_and_are_compared(
    db: mr.Migrations, checklist: mr.Checklist, session: Callable[..., psycopg.Connection]
) -> None:
    tests = [
        ("SELECT count(*) FROM a", 100),
        {"name": "names %", "sql": "SELECT 'a%b', NULL", "expected": ("a%b", None)},
    ]
    entry = mr.Checklist(db, NAME, smoke_tests=tests).answer("smoke")
    assert entry.outcome == Outcome.DONE, entry.evidence
    entry = mr.Checklist(db, NAME, smoke_tests=[*tests, ("SELECT count(*) FROM nothing", 0), ("SELECT 1", 2)]).answer(
        "smoke"
    )
    assert entry.outcome == Outcome.FAILED
    assert entry.summary.startswith("2 of 4 smoke tests failed")
    assert "does not exist" in entry.evidence["tests"][2]["found"]
    for writing in (
        "DELETE FROM a RETURNING 1",
        "SELECT nextval('s')",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "DROP TABLE a",
    ):
        connection = session()
        connection.execute("CREATE SEQUENCE IF NOT EXISTS s")
        mr.Checklist(db, NAME, smoke_tests=[(writing, 1)]).answer("smoke")
        assert value(connection, "SELECT count(*) FROM a") == 100
        assert value(connection, "SELECT is_called FROM s") is False
    with pytest.raises(mr.UsageError, match="No smoke tests"):
        checklist.answer("smoke")


@pytest.mark.long
def test_error_rates_are_compared_across_the_rollback(
    checklist: mr.Checklist, db: mr.Migrations, session: Callable[..., psycopg.Connection]
) -> None:
    first = checklist.answer("errors")
    assert first.outcome == Outcome.NOTED
    db.rollback(NAME, confirm=NAME)
    failing = session()
    for _ in range(200):
        with pytest.raises(psycopg.errors.UndefinedTable):
            failing.execute("SELECT * FROM a")
    before = first.evidence["counters"]["xact_rollback"]
    failing.close()  # a session's counters are there for sure when it has ended
    eventually(lambda: db.database.queries.error_counters()["xact_rollback"] >= before + 200, "the counters are there")
    entry = checklist.answer("errors")
    assert entry.outcome == Outcome.FAILED
    assert "xact_rollback" in entry.evidence["risen"]
    assert "RISEN" in entry.summary


def test_without_a_reading_from_before_nothing_is_compared(checklist: mr.Checklist, db: mr.Migrations) -> None:
    db.rollback(NAME, confirm=NAME)
    assert checklist.answer("errors").outcome == Outcome.FAILED


# -- verification -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_schema_is_compared_with_what_it_was(
    checklist: mr.Checklist, db: mr.Migrations, session: Callable[..., psycopg.Connection]
) -> None:
    with pytest.raises(mr.UsageError, match="nothing to verify"):
        checklist.answer("verify")
    checklist.answer("staging")
    db.rollback(NAME, confirm=NAME)
    entry = checklist.answer("verify")
    assert entry.outcome == Outcome.DONE, entry.summary
    assert entry.evidence["verdict"] == "restored"
    # somebody puts it back by hand: asked again, it is no longer so
    session().execute("CREATE TABLE a (id int)")
    assert checklist.answer("verify").outcome == Outcome.FAILED


def test_a_chain_is_verified_as_a_whole(
    checklist: mr.Checklist, db: mr.Migrations, applied: Callable[..., str]
) -> None:
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=[NAME])
    db.rollback(NAME, chain=True, confirm=NAME)
    entry = checklist.answer("verify")
    assert entry.evidence["migrations"] == ["002_b", NAME]
    assert entry.outcome == Outcome.DONE, entry.summary


# -- programs ---------------------------------------------------------------------------------------------------------


def test_the_nearest_pg_dump_that_can_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [programs.Programs(Path(f"/pg{major}"), f"{major}.1") for major in (18, 15, 17)]
    monkeypatch.setattr(programs, "dump_programs", lambda: iter(found))
    assert pg_dump.find_pg_dump(150004).major == 15
    assert pg_dump.find_pg_dump(160004).major == 17
    with pytest.raises(pg_dump.BackupFailed, match="no pg_dump for PostgreSQL 19"):
        pg_dump.find_pg_dump(190000)


def test_real_pg_dumps_are_found() -> None:
    assert [dumper for dumper in programs.dump_programs() if dumper.major >= 15]
    assert os.access(pg_dump.find_pg_dump(150000).bin / "pg_restore", os.X_OK)
