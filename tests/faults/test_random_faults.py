"""Whatever breaks, and at whatever moment, a rollback ends as before or as after, and the answer says which.

A failure prints its seed: `pytest tests/faults/test_random_faults.py --seed N` injects the same faults again.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from clients import Client, Clients, Ended
from cutting import Cutter
from watching import Background, eventually, exists, status, value

import migrollback_nb as mr
from migrollback_nb.servers import private
from migrollback_nb.servers.private import THROWAWAY, PrivateServer
from migrollback_nb.servers.programs import ordinary_account

NAME = "001_t"
TEXT = (
    "CREATE TABLE t (a int);\n-- ROLLBACK START\nINSERT INTO ran VALUES (1);\nDROP TABLE t;\n"
    "SELECT pg_sleep(0.03);\n-- ROLLBACK END\n"
)
#: Seconds for which faults are injected where no number is asked for.
BUDGET = 5


class World:
    """A server that may crash, with one migration; clients reach it through a cutter."""

    def __init__(self, server: PrivateServer, cutter: Cutter, clients: Clients, folder: Path) -> None:
        self.server, self.cutter, self.clients, self.folder = server, cutter, clients, folder
        self._look: psycopg.Connection | None = None
        self.attempt: str | None = None
        (folder / f"{NAME}.sql").write_text(TEXT, encoding="utf-8")
        with mr.connect(server.dsn(), dir=folder) as db:
            db.install()
        self.look.execute("CREATE TABLE ran (a int)")
        self.apply()
        ended = self.rollback()
        assert ended.status == 0, ended
        self.messages = len(cutter.messages)
        self.bytes = dict(cutter.passed)
        self.commits = [number for number, text in enumerate(cutter.messages, 1) if b"COMMIT" in text]
        self.apply()

    @property
    def look(self) -> psycopg.Connection:
        """A connection that no fault is meant for; new where the server crashed."""
        if self._look is None or self._look.closed:
            found: list[psycopg.Connection] = []

            def connected() -> bool:
                with contextlib.suppress(psycopg.OperationalError):
                    found.append(psycopg.connect(self.server.dsn(), autocommit=True, application_name="look"))
                return bool(found)

            eventually(connected, "the server is back", seconds=60)
            self._look = found[-1]
        return self._look

    def eventually_crashed(self) -> None:
        """Wait until the server has ended the sessions that it had."""

        def is_gone() -> bool:
            assert self._look is not None
            try:
                self._look.execute("SELECT 1")
            except psycopg.OperationalError:
                self._look.close()
            return self._look.closed

        eventually(is_gone, "the server ended all sessions", seconds=60)

    def close(self) -> None:
        if self._look is not None:
            self._look.close()

    def apply(self) -> None:
        """Apply it again: what is rolled back then is another attempt."""
        self.attempt = None
        with mr.connect(self.server.dsn(), dir=self.folder) as db:
            db.apply(NAME, snapshots="none")

    def start(self) -> Client:
        """A rollback from a process of its own, under an id that is new for each fault."""
        dsn = psycopg.conninfo.make_conninfo(self.server.dsn(), host=self.cutter.folder)
        where = ("--dsn", dsn, "--dir", str(self.folder), "--format", "json")
        self.attempt = self.attempt or str(uuid.uuid4())
        of = ("--confirm", NAME, "--reason", "a fault", "--attempt", self.attempt)
        return self.clients.start("rollback", NAME, *of, *where)

    def rollback(self) -> Ended:
        return self.start().result()

    def backends(self) -> list[int]:
        """Processes of the server that serve the client."""
        rows = self.look.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'look'"
        )
        return [pid for (pid,) in rows]

    def restart(self) -> None:
        """Start the server again whose first process was killed."""
        folder = self.server.folder
        pg_ctl = next(folder.rglob("pg_ctl"), None) or self.program
        command = [pg_ctl, "-D", folder / "data", "-l", folder / "log", "-w", "start"]

        def started() -> bool:
            try:
                private._run(command, folder, ordinary_account())
            except mr.ConnectionFailed:  # its children are not all gone yet
                return False
            return True

        eventually(started, "the server starts again", seconds=60)

    program: Path


@pytest.fixture(scope="module")
def world(first_server, tmp_path_factory) -> Iterator[World]:
    with contextlib.ExitStack() as opened:
        running = PrivateServer.start(first_server.bin, THROWAWAY)
        opened.callback(running.stop)
        sockets = tmp_path_factory.mktemp("ct")
        cutter = opened.enter_context(contextlib.closing(Cutter(str(sockets), running.folder)))
        clients = opened.enter_context(contextlib.closing(Clients()))
        made = World(running, cutter, clients, tmp_path_factory.mktemp("migrations"))
        made.program = first_server.bin / "pg_ctl"
        opened.enter_context(contextlib.closing(made))
        yield made


# -- the faults --------------------------------------------------------------------------------------------------------


def at_a_message(world: World, chance: random.Random, strike: Callable[[int], object]) -> Ended:
    """Let something happen as the client sends one of its messages, or a moment after."""
    number = chance.randint(1, world.messages)
    delay = chance.choice((0, 0, 0.005, 0.02))
    known = threading.Event()
    pid: list[int] = []
    later: list[threading.Timer] = []

    def happen() -> None:
        known.wait(10)
        if delay:
            later.append(threading.Timer(delay, lambda: strike(pid[0])))
            later[0].start()
        else:
            strike(pid[0])

    world.cutter.arm(number, before=True, strike=happen)
    client = world.start()
    pid.append(client.pid)
    known.set()
    ended = client.result()
    for timer in later:
        timer.join()  # it may strike only after the client has ended, and must not strike what comes next
    return ended


def signalled(number: int) -> Callable[[World, random.Random], Ended]:
    def send(pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    return lambda world, chance: at_a_message(world, chance, send)


def backend_ended(world: World, chance: random.Random) -> Ended:
    def end(_: int) -> None:
        for pid in world.backends():
            world.look.execute("SELECT pg_terminate_backend(%s)", (pid,))

    return at_a_message(world, chance, end)


def statement_cancelled(world: World, chance: random.Random) -> Ended:
    def cancel(_: int) -> None:
        for pid in world.backends():
            world.look.execute("SELECT pg_cancel_backend(%s)", (pid,))

    return at_a_message(world, chance, cancel)


def backend_killed(world: World, chance: random.Random) -> Ended:
    killed = []

    def kill(_: int) -> None:
        for pid in world.backends():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # which brings down all others, and the server recovers
                killed.append(pid)

    ended = at_a_message(world, chance, kill)
    if killed:
        world.eventually_crashed()
    return ended


def server_killed(world: World, chance: random.Random) -> Ended:
    killed = []

    def kill(_: int) -> None:
        killed.append(int((world.server.folder / "data" / "postmaster.pid").read_text().splitlines()[0]))
        os.kill(killed[0], signal.SIGKILL)

    def start_again() -> None:
        eventually(lambda: bool(killed) or over.is_set(), "the server is killed, or was not reached", seconds=60)
        if killed:
            world.eventually_crashed()
            world.restart()

    over = threading.Event()
    starting = Background(start_again)
    ended = at_a_message(world, chance, kill)
    over.set()
    starting.result(seconds=120)
    return ended


def cut_at_a_message(world: World, chance: random.Random) -> Ended:
    world.cutter.arm(chance.randint(1, world.messages), before=chance.random() < 0.5)
    return world.rollback()


def cut_in_a_commit(world: World, chance: random.Random) -> Ended:
    world.cutter.arm(chance.choice(world.commits), part=chance.random())
    return world.rollback()


def cut_at_a_byte(world: World, chance: random.Random) -> Ended:
    of = chance.choice(("client", "server"))
    world.cutter.arm_at_byte(chance.randint(1, world.bytes[of]), of=of)
    return world.rollback()


FAULTS: dict[str, Callable[[World, random.Random], Ended]] = {
    "Ctrl-C": signalled(signal.SIGINT),
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGHUP": signalled(signal.SIGHUP),
    "client killed": signalled(signal.SIGKILL),
    "backend ended": backend_ended,
    "statement cancelled": statement_cancelled,
    "cut at a message": cut_at_a_message,
    "cut in a COMMIT": cut_in_a_commit,
    "cut at a byte": cut_at_a_byte,
}
CRASHES = {"backend killed": backend_killed, "server killed": server_killed}


# -- what must hold then -----------------------------------------------------------------------------------------------


def judge(world: World, ended: Ended, before: int, where: str) -> None:
    """Whether the database is as before or as after, and nothing of the answer contradicts it; then apply it again."""
    look = world.look
    began = time.monotonic()
    look.execute("SET statement_timeout = '5s'")
    attempts = look.execute(
        "SELECT DISTINCT attempt_id FROM migration_events WHERE event = 'started' AND event_number > %s", (before,)
    ).fetchall()
    for (attempt,) in attempts:
        look.execute("SELECT * FROM migration_attempt(%s)", (attempt,))
    assert time.monotonic() - began < 5, f"{where}: not resolved within 5 s"
    is_gone = status(look, NAME) == "rolled_back"
    assert exists(look, "t") is not is_gone, where
    committed = "SELECT count(*) FROM migration_events WHERE event = 'rolled_back'"
    assert value(look, "SELECT count(*) FROM ran") == value(look, committed), where
    judge_answer(ended, where, is_gone=is_gone)
    # a retry with the id of the attempt does nothing twice
    runs = value(look, committed)
    world.cutter.arm(0)
    retried = world.rollback()
    assert retried.status == 0, f"{where}; retried: {retried}"
    assert value(look, "SELECT count(*) FROM ran") == value(look, committed) == runs + (not is_gone), where
    world.apply()


def judge_answer(ended: Ended, where: str, *, is_gone: bool) -> None:
    text = ended.out + ended.err
    if ended.status == 0:
        assert is_gone, where
        assert ended.said["success"], where
    elif ended.status < 0:
        assert not ended.out or is_gone is ended.said["success"], where
    elif "not known" not in text and "may have" not in text:
        assert is_gone is bool(ended.said.get("rolled_back")), where
    assert "Traceback" not in text, where


def inject(world: World, name: str, seed: str) -> None:
    before = value(world.look, "SELECT max(event_number) FROM migration_events")
    ended = (FAULTS | CRASHES)[name](world, random.Random(seed))
    judge(world, ended, before, f"{seed}: {name}: {ended}, {world.cutter.messages[-1:]}")


def test_whatever_breaks_it_is_as_before_or_as_after_and_the_answer_says_which(world, pytestconfig):
    seed = pytestconfig.getoption("--seed") or random.randrange(2**32)
    rounds = pytestconfig.getoption("--rounds") or (200 if pytestconfig.getoption("--long") else None)
    print(f"--seed {seed}")
    began = time.monotonic()
    number = 0
    while number < rounds if rounds else time.monotonic() - began < BUDGET:
        name = (*FAULTS, *CRASHES)[number % (len(FAULTS) + len(CRASHES))]
        inject(world, name, f"--seed {seed}, fault {number}")
        number += 1
    print(f"{number} faults")
    with mr.connect(world.server.dsn()) as db:
        assert db.verify_events().intact


@pytest.mark.long
@pytest.mark.parametrize("name", CRASHES)
def test_when_the_server_crashes_it_is_as_before_or_as_after(world, pytestconfig, name):
    seed = pytestconfig.getoption("--seed") or random.randrange(2**32)
    for number in range(10):
        inject(world, name, f"--seed {seed}, crash {number}")
    with mr.connect(world.server.dsn()) as db:
        assert db.verify_events().intact


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_at_every_message(world, name):
    number, reached = 0, True
    while reached:
        number += 1
        before = value(world.look, "SELECT max(event_number) FROM migration_events")
        known, pid = threading.Event(), []

        def send(known=known, pid=pid):
            known.wait(10)
            os.kill(pid[0], signal.Signals[name])

        world.cutter.arm(number, before=True, strike=send)
        client = world.start()
        pid.append(client.pid)
        known.set()
        ended = client.result()
        reached = world.cutter.cut
        if reached:
            assert (ended.status, "Interrupted" in ended.err) == (1, True), ended
        judge(world, ended, before, f"{name} at message {number}: {ended}: {world.cutter.messages[-1:]}")
    assert number > 8
