"""A rehearsal on the target stalls no one for longer than its bound, and says then that nothing is known."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from watching import Background, eventually, eventually_waits, last_event, value

import migrollback_nb as mr
from migrollback_nb import cli

pytestmark = pytest.mark.versions

Open = Callable[..., psycopg.Connection]
#: A type of a scan, or a rewrite, that lasts three seconds, whatever the machine.
SLOW = "CREATE FUNCTION slow(x int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN x; END'"


class Readers:
    """Reads by one statement a hundred times a second, from several sessions; `longest` is the longest wait."""

    def __init__(self, open_session: Open, query: str, *, sessions: int = 2) -> None:
        self.longest = 0.0
        self._over = threading.Event()
        self._query = query
        self._threads = [
            threading.Thread(target=self._read, args=(open_session(application_name="reader"), sessions), daemon=True)
            for _ in range(sessions)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, connection: psycopg.Connection, sessions: int) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            connection.execute(self._query)
            self.longest = max(self.longest, time.monotonic() - began)
            self._over.wait(max(0.0, sessions / 100 - (time.monotonic() - began)))

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)


@contextmanager
def reading(open_session: Open, query: str) -> Iterator[Readers]:
    readers = Readers(open_session, query)
    try:
        yield readers
    finally:
        readers.stop()


@pytest.fixture
def rewrite(applied: Callable[..., str], session: Open) -> str:
    """A migration whose rollback rewrites a table for three seconds."""
    session().execute(SLOW)
    return applied(
        "001_big",
        "CREATE TABLE big (x int); INSERT INTO big SELECT generate_series(1, 10);",
        "ALTER TABLE big ALTER COLUMN x TYPE bigint USING slow(x);",
    )


@pytest.mark.each_server
def test_readers_wait_no_longer_than_the_bound(db: mr.Migrations, rewrite: str, session: Open) -> None:
    with reading(session, "SELECT count(*) FROM big") as readers, pytest.raises(mr.RehearsalStopped) as caught:
        db.rehearse(rewrite)
    assert readers.longest < 1.5
    assert readers.longest > 0.5, "they did wait"
    error = caught.value
    assert error.exit_code == 3
    assert error.message.startswith("Not known: the rehearsal would have stalled others for longer than 1s (process ")
    assert error.message.endswith(" of role postgres waited for public.big)")
    assert "migrollback rehearse 001_big --on scratch" in str(error)
    assert error.stalled is not None
    assert error.stalled["application_name"] == "reader"
    event = last_event(session())
    assert (event["event"], event["migration_name"]) == ("rehearsed", rewrite)
    assert "success" not in event["details"], "it says nothing of the rollback"
    assert event["details"]["outcome"] == "stopped"
    assert (
        value(
            session(),
            "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'big'::regclass AND attname = 'x'",
        )
        == "integer"
    )
    assert db.check(rewrite).can_rollback


@pytest.mark.long
def test_who_waits_behind_one_who_waits_counts_too(db: mr.Migrations, rewrite: str, session: Open) -> None:
    """A session that holds another table waits for ours, and readers of the other table wait for it."""
    holder, reader, watcher = session(), session(), session()
    watcher.execute("CREATE TABLE other ()")
    holder.execute("BEGIN; LOCK TABLE other")
    running = Background(lambda: db.rehearse(rewrite, max_stall="600ms"))
    locked = "SELECT count(*) FROM pg_locks WHERE relation = 'big'::regclass AND mode = 'AccessExclusiveLock'"
    eventually(lambda: value(watcher, locked) == 1, "the rehearsal holds its lock")
    second = Background(lambda: reader.execute("SELECT * FROM other"))
    eventually_waits(watcher, reader.info.backend_pid)
    first = Background(lambda: holder.execute("SELECT * FROM big; COMMIT"))
    with pytest.raises(mr.RehearsalStopped) as caught:
        running.result()
    assert caught.value.stalled is not None
    first.result()
    second.result()


@pytest.mark.long
def test_no_one_waits_so_it_goes_on(db: mr.Migrations, rewrite: str) -> None:
    rehearsed = db.rehearse(rewrite, max_stall="200ms")
    assert rehearsed.success
    assert rehearsed.duration_ms is not None
    assert rehearsed.duration_ms > 2000


@pytest.mark.long
def test_without_a_bound_others_wait(db: mr.Migrations, rewrite: str, session: Open) -> None:
    with reading(session, "SELECT count(*) FROM big") as readers:
        assert db.rehearse(rewrite, max_stall="0").success
    assert readers.longest > 2


@pytest.mark.parametrize(
    ("up", "rollback"),
    [
        pytest.param("", "ALTER TABLE big ADD CHECK (slow(x) > 0);", id="a scan"),
        pytest.param(
            "ALTER TABLE big ADD CONSTRAINT c CHECK (slow(x) > 0) NOT VALID;",
            "LOCK TABLE big; ALTER TABLE big VALIDATE CONSTRAINT c;",
            id="VALIDATE",
            marks=pytest.mark.long,
        ),
        pytest.param("", "DROP TABLE big; SELECT pg_sleep(3);", id="DROP"),
        pytest.param(
            "",
            "CREATE INDEX ON big (slow(x)); TRUNCATE big; SELECT pg_sleep(3);",
            id="TRUNCATE",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "",
            "DO $$ BEGIN TRUNCATE big; PERFORM pg_sleep(3); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(1); END"
            " $$;",
            id="SQL that goes on when it is cancelled",
            marks=pytest.mark.long,
        ),
    ],
)
def test_whatever_the_lock(
    db: mr.Migrations, applied: Callable[..., str], session: Open, up: str, rollback: str
) -> None:
    session().execute(SLOW.replace("RETURNS int LANGUAGE", "RETURNS int IMMUTABLE LANGUAGE"))
    applied("001_big", f"CREATE TABLE big (x int); INSERT INTO big SELECT generate_series(1, 10); {up}", rollback)
    with reading(session, "SELECT count(*) FROM big") as readers, pytest.raises(mr.RehearsalStopped):
        db.rehearse("001_big", max_stall="300ms")
    assert readers.longest < 0.8


@pytest.mark.long
def test_a_writer_counts_as_well(db: mr.Migrations, applied: Callable[..., str], session: Open) -> None:
    session().execute(SLOW.replace("RETURNS int LANGUAGE", "RETURNS int IMMUTABLE LANGUAGE"))
    applied(
        "001_big",
        "CREATE TABLE big (x int); INSERT INTO big SELECT generate_series(1, 10);",
        "CREATE INDEX ON big (slow(x));",
    )
    with reading(session, "INSERT INTO big VALUES (1)") as writers, pytest.raises(mr.RehearsalStopped) as caught:
        db.rehearse("001_big", max_stall="300ms")
    assert writers.longest < 0.8
    assert caught.value.stalled is not None
    assert caught.value.stalled["mode"] == "ROW EXCLUSIVE"


def test_a_failure_is_a_failure(db: mr.Migrations, applied: Callable[..., str], session: Open) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; SELECT 1 / 0;")
    rehearsed = db.rehearse("001_t", max_stall="300ms")
    assert rehearsed.failure is not None
    assert rehearsed.failure.sqlstate == "22012"


@pytest.mark.long
def test_nothing_is_cancelled_afterwards(db: mr.Migrations, rewrite: str, session: Open) -> None:
    with reading(session, "SELECT count(*) FROM big"):
        for _ in range(3):
            with pytest.raises(mr.RehearsalStopped):
                db.rehearse(rewrite, max_stall="100ms")
            assert value(db.database.connection, "SELECT count(*) FROM pg_sleep(0.2)") == 1
    eventually(
        lambda: (
            value(
                session(),
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%watch_rehearsal%%' AND pid"
                " <> pg_backend_pid()",
            )
            == 0
        ),
        "no watch is left",
    )


@pytest.mark.long
def test_a_borrowed_connection_has_no_watch(database_dsn: str, rewrite: str, session: Open) -> None:
    with mr.connect(connection=session()) as db:
        with pytest.raises(mr.RehearsalStopped) as caught:
            db.rehearse(rewrite, max_stall="300ms")
        assert caught.value.message == (
            "Not known: the rehearsal ran for longer than 300ms, and who waits behind it cannot be seen: there is no"
            " second connection (the connection was borrowed)"
        )


@pytest.mark.long
def test_in_the_terminal(database_dsn: str, rewrite: str, session: Open) -> None:
    out, err = io.StringIO(), io.StringIO()
    with reading(session, "SELECT count(*) FROM big"):
        argv = ["--dsn", database_dsn, "--format", "json", "rehearse", rewrite, "--max-stall", "200ms"]
        assert cli.run(argv, out, err) == 3
    said = json.loads(out.getvalue())
    assert said["error"] == "RehearsalStopped"
    assert said["verdict"] == "not_rehearsed"
    assert said["known_by"] == "catalog", "the values that the type change would alter"
    assert said["stalled"]["relation"] == "public.big"
    assert "Not known: the rehearsal would have stalled others for longer than 200ms" in err.getvalue()


def test_a_time_that_is_none(db: mr.Migrations, rewrite: str) -> None:
    with pytest.raises(mr.UsageError, match="max_stall is no time: 'soon'"):
        db.rehearse(rewrite, max_stall="soon")


@pytest.mark.long
def test_with_psql_alone_what_is_foreseen_decides(applied: Callable[..., str], session: Open) -> None:
    connection = session()
    applied(
        "001_big",
        "CREATE TABLE big (x int); INSERT INTO big SELECT generate_series(1, 9000);",
        "ALTER TABLE big ALTER COLUMN x TYPE bigint;",
    )
    success, message, report = connection.execute(
        "SELECT * FROM rehearse_migration_rollback('001_big', max_stall_ms => 1)"
    ).fetchall()[0]
    assert (success, report["would_stall"]) == (False, True)
    assert message.startswith("Not known: the rehearsal would stall others for longer than 1 ms, and no one watches")
    assert "public.big, " in message
    assert "is rewritten under ACCESS EXCLUSIVE" in message
    for bound in ("max_stall_ms => NULL", "max_stall_ms => 1, watch => 7"):
        assert value(connection, f"SELECT success FROM rehearse_migration_rollback('001_big', {bound})"), bound


@pytest.mark.long
def test_a_second_psql_watches(rewrite: str, session: Open) -> None:
    watching, rehearsing, reader, watcher = session(), session(), session(), session()
    watch = Background(lambda: value(watching, "SELECT watch_rehearsal(42, 300)"))
    going = Background(
        lambda: value(rehearsing, "SELECT report FROM rehearse_migration_rollback('001_big', watch => 42)")
    )
    locked = "SELECT count(*) FROM pg_locks WHERE relation = 'big'::regclass AND mode = 'AccessExclusiveLock'"
    eventually(lambda: value(watcher, locked) == 1, "the rehearsal holds its lock")
    reader.execute("SELECT * FROM big")
    assert watch.result()["relation"] == "public.big"
    assert going.result()["failure"]["sqlstate"] == "57014"


@pytest.mark.long
def test_what_it_will_lock_is_said_before(
    database_dsn: str, db: mr.Migrations, applied: Callable[..., str], session: Open
) -> None:
    applied(
        "001_big",
        "CREATE TABLE big (x int); INSERT INTO big SELECT generate_series(1, 9000);",
        "ALTER TABLE big ALTER COLUMN x TYPE bigint;",
    )
    size = value(session(), "SELECT pg_size_pretty(pg_total_relation_size('big'))")
    words = f"public.big, {size}, is rewritten under ACCESS EXCLUSIVE, less than 1 s here"
    heard: list[mr.Foreseen] = []
    rehearsed = db.rehearse("001_big", foreseen=heard.append)
    assert rehearsed.foreseen == heard[0]
    assert heard[0].lines() == (words,)
    assert not heard[0].stalls(1000)
    preview = db.preview("001_big")
    assert preview.foreseen is not None
    assert preview.foreseen.lines() == (words,)
    assert preview.to_dict()["foreseen"]["locks"][0]["mode"] == "ACCESS EXCLUSIVE"
    assert preview.assessment is not None
    assert preview.assessment.locks == (words,)
    out, err = io.StringIO(), io.StringIO()
    argv = ["--dsn", database_dsn, "rehearse", "001_big", "--max-stall", "1ms"]
    assert cli.run(argv, out, err) == 0
    said = out.getvalue()
    assert said.index(words) < said.index("Rehearsal: the rollback would succeed")
    assert "On a copy no one waits:\n  migrollback rehearse 001_big --on scratch\n" in said
