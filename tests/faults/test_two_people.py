"""No rollback without its approvals: fuzzed requests, races, an agent that may ask and not approve, forged ones."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from watching import eventually_waits, exists, status, value

import migrollback_nb as mr

DBAS = ("p_ann", "p_bob", "p_cyd")
PEOPLE = (*DBAS, "p_agent", "p_dave")
CHAIN = ["002_b", "001_a"]


@pytest.fixture(scope="module")
def roles(server: Any) -> Iterator[None]:
    """Roles of the whole server: dbas approve, the agent and dave do not."""
    server.execute("CREATE ROLE p_dbas")
    for name in PEOPLE:
        server.execute(f"CREATE ROLE {name} LOGIN")
    server.execute(f"GRANT p_dbas TO {', '.join(DBAS)}")
    yield
    server.execute(f"DROP ROLE {', '.join((*PEOPLE, 'p_dbas'))}")


@pytest.fixture
def owner(roles: None, applied: Callable[..., str], database_dsn: str) -> Iterator[psycopg.Connection]:
    """A connection of the owner; two migrations, a right for each person, and a policy that one dba approves."""
    applied("001_a", "CREATE TABLE a (i int);", "DROP TABLE a;", snapshots="none")
    applied("002_b", "CREATE TABLE b (i int);", "DROP TABLE b;", depends_on=["001_a"], snapshots="none")
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        for name in PEOPLE:
            kinds = ("operator", "requester") if name not in DBAS else ("operator", "requester", "approver")
            for kind in kinds:
                connection.execute("SELECT grant_migration_role(%s, %s)", (name, kind))
        connection.execute("SELECT set_migration_policy('all', approvers => '{p_dbas}')")
        yield connection
        for name in PEOPLE:
            connection.execute(f"DROP OWNED BY {name}")


class World:
    """One transaction in which a superuser acts as each person by turns; it is undone at the end."""

    def __init__(self, connection: psycopg.Connection, seed: int) -> None:
        self.connection = connection
        self.random = random.Random(seed)
        self.policy()

    def policy(self, **rules: Any) -> None:
        given = {"approvals": self.random.randint(1, 2), "approvers": ["p_dbas"], "valid_minutes": 5} | rules
        types = {"valid_minutes": "::numeric"}
        words = ", ".join(f"{name} => %({name})s{types.get(name, '')}" for name in given)
        self.act("postgres", f"SELECT set_migration_policy('all', {words})", **given)
        self.needed = given["approvals"]

    def act(self, person: str, query: str, **values: Any) -> Any:
        """The value of a query as a person; None where it is refused."""
        self.connection.execute(f"SET SESSION AUTHORIZATION {person}")
        try:
            with self.connection.transaction():
                cursor = self.connection.execute(query, values)
                row = cursor.fetchone() if cursor.description else None
            return None if row is None else row[0]
        except psycopg.Error as error:
            if error.sqlstate not in ("MR029", "42501"):
                raise
            return None
        finally:
            self.connection.execute("RESET SESSION AUTHORIZATION")

    def request(self, person: str, names: list[str]) -> int | None:
        return self.act(person, "SELECT request_migration_approval(%(names)s, 'fuzz')", names=names)

    def approve(self, person: str, request: int | None) -> str | None:
        return self.act(person, "SELECT approve_migration_request(%(request)s)", request=request)

    def run(self, person: str, names: list[str], **more: Any) -> bool:
        given = "".join(f", {name} => %({name})s" for name in more)
        function = "execute_migration_rollbacks" if person == "postgres" else "roll_back_through_gate"
        query = f"SELECT jsonb_agg(to_jsonb(r)) FROM {function}(%(names)s{given}) r"
        rows = self.act(person, query, names=names, **more)
        self.said = rows[0]["message"]
        return all(row["success"] for row in rows)


def approved(world: World, names: list[str], *, but_for: int = 0) -> tuple[str, int | None, list[str]]:
    """A request with as many approvals as it takes, or fewer: who asked, its number, who approved it."""
    asker = world.random.choice(PEOPLE)
    request = world.request(asker, names)
    approvers = [name for name in world.random.sample(DBAS, len(DBAS)) if name != asker]
    chosen = approvers[: world.needed - but_for]
    for name in chosen:
        world.approve(name, request)
    return asker, request, chosen


def stale(world: World, names: list[str]) -> None:
    approved(world, names)
    world.act("postgres", "CREATE TABLE another ()")


def other_sql(world: World, names: list[str]) -> None:
    approved(world, names)
    world.act("postgres", "UPDATE migration_history SET rollback_sql = rollback_sql || ' '")


def too_few(world: World, names: list[str]) -> None:
    approved(world, names, but_for=1)


def self_approved(world: World, names: list[str]) -> None:
    asker = world.random.choice(DBAS)
    request = world.request(asker, names)
    for _ in range(3):
        assert world.approve(asker, request) is None
    forged(world, request, asker)


def approved_twice(world: World, names: list[str]) -> None:
    world.policy(approvals=2)
    _, request, (first, *_) = approved(world, names, but_for=1)
    world.approve(first, request)
    forged(world, request, first)


def forged(world: World, request: int | None, person: str) -> None:
    """An event as the function would write it, by a person who may write events."""
    world.connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {person}")
    world.act(
        person,
        "INSERT INTO migration_events (event, migration_name, database_user, details) SELECT 'approval_given', '001_a',"
        " 'p_cyd', jsonb_build_object('request', event_number, 'fingerprint', details -> 'fingerprint') FROM"
        " migration_events WHERE event_number = %(request)s RETURNING 1",
        request=request,
    )


def by_an_outsider(world: World, names: list[str]) -> None:
    request = world.request("p_agent", names)
    assert world.approve("p_dave", request) is None
    forged(world, request, "p_dave")


def of_another(world: World, names: list[str]) -> None:
    approved(world, ["002_b"] if names != ["002_b"] else CHAIN)


def wrong_order(world: World, names: list[str]) -> None:
    """Of another database: the same but for its name, which the fingerprint holds."""
    _, request, _ = approved(world, names, but_for=world.needed)
    world.act(
        "p_ann",
        "INSERT INTO migration_events (event, migration_name, details) SELECT 'approval_given', '001_a',"
        " jsonb_build_object('request', %(request)s::bigint, 'fingerprint', repeat('0', 64)) RETURNING 1",
        request=request,
    )


def expired(world: World, names: list[str]) -> None:
    world.policy(valid_minutes=0.0005)
    approved(world, names)
    time.sleep(0.05)


def no_longer_member(world: World, names: list[str]) -> None:
    _, _, (first, *_) = approved(world, names)
    world.connection.execute(f"REVOKE p_dbas FROM {first}")


def withdrawn(world: World, names: list[str]) -> None:
    asker, request, chosen = approved(world, names)
    who = world.random.choice([asker, *chosen, "postgres"])
    assert world.act(who, "SELECT withdraw_migration_request(%(request)s)", request=request) is True


def policy_changed(world: World, names: list[str]) -> None:
    approved(world, names)
    world.policy(approvals=world.needed, valid_minutes=world.random.randint(6, 60))


def more_is_lost(world: World, names: list[str]) -> None:
    approved(world, names)
    world.act("postgres", "INSERT INTO b VALUES (1) RETURNING 1")


def replayed(world: World, names: list[str]) -> None:
    """The same request once more, after the migrations were applied again by hand."""
    approved(world, names)
    assert world.run("postgres", names)
    for name in reversed(names):
        world.act("postgres", f"CREATE TABLE {name[-1]} (i int)")
    world.act("postgres", "UPDATE migration_history SET status = 'applied', notes = NULL")


def other_preview(world: World, names: list[str]) -> None:
    _, request, _ = approved(world, names, but_for=world.needed)
    world.act("p_ann", "SELECT approve_migration_request(%(request)s, %(preview)s)", request=request, preview="0" * 64)


def glass_without_a_right(world: World, names: list[str]) -> None:
    approved(world, names, but_for=1)
    assert not world.run(world.random.choice(PEOPLE), names, break_glass=True, reason="now")


FLAWS = (
    stale, other_sql, too_few, self_approved, approved_twice, by_an_outsider, of_another, wrong_order, expired,
    no_longer_member, withdrawn, policy_changed, more_is_lost, replayed, other_preview, glass_without_a_right,
)  # fmt: skip


def test_fuzzed_requests(owner: psycopg.Connection, request: pytest.FixtureRequest) -> None:
    options = request.config
    rounds = options.getoption("rounds") or (500 if options.getoption("long") else 40)
    first = random.SystemRandom().randrange(1 << 32)
    owner.autocommit = False
    executed = 0
    for seed in range(first, first + rounds):
        world = World(owner, seed)
        names = world.random.choice([["002_b"], CHAIN])
        runner = world.random.choice([*PEOPLE, "postgres"])
        flaw = FLAWS[seed % len(FLAWS)] if world.random.random() < 0.6 else None
        if flaw is None:
            _, number, _ = approved(world, names)
        else:
            flaw(world, names)
        before = value(owner, "SELECT count(*) FROM migration_history WHERE status = 'rolled_back'")
        ran = world.run(runner, names)
        after = value(owner, "SELECT count(*) FROM migration_history WHERE status = 'rolled_back'")
        what = f"seed {seed}: {flaw and flaw.__name__} of {names} by {runner}"
        assert ran == (flaw is None), f"{what}: {world.said}"
        assert ran or world.said.startswith("It needs "), f"{what}: {world.said}"
        assert after - before == (len(names) if ran else 0), what
        if ran:
            executed += 1
            assert value(owner, "SELECT state FROM migration_requests(%s)", number) == "used", what
            assert not world.run("postgres", names), f"{what}: once more"
        owner.rollback()
    print(f"{rounds} requests from seed {first}: {executed} were right, and ran; {rounds - executed} did not")


def test_of_two_with_one_approval_one_runs(owner: psycopg.Connection, database_dsn: str) -> None:
    number = value(owner, "SELECT request_migration_approval('{002_b}')")
    with psycopg.connect(psycopg.conninfo.make_conninfo(database_dsn, user="p_ann"), autocommit=True) as ann:
        ann.execute("SELECT approve_migration_request(%s)", (number,))
    done: list[tuple[bool, str]] = []

    def run() -> None:
        with psycopg.connect(database_dsn, autocommit=True) as connection:
            row = connection.execute("SELECT success, message FROM execute_migration_rollback('002_b')").fetchone()
            assert row is not None
            done.append(row)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(success for success, _ in done) == [False, False, False, True]
    assert value(owner, "SELECT count(*) FROM migration_events WHERE details ? 'approval'") == 1


def test_an_approval_that_lapses_while_the_gate_is_waited_for_does_not_count(
    owner: psycopg.Connection, database_dsn: str
) -> None:
    owner.execute("SELECT set_migration_policy('all', approvers => '{p_dbas}', valid_minutes => 0.02)")
    number = value(owner, "SELECT request_migration_approval('{002_b}')")
    with (
        psycopg.connect(database_dsn) as holder,
        psycopg.connect(psycopg.conninfo.make_conninfo(database_dsn, user="p_ann"), autocommit=True) as ann,
        psycopg.connect(database_dsn, autocommit=True) as runner,
    ):
        holder.execute("SELECT lock_migrations()")
        assert value(ann, "SELECT approve_migration_request(%s)", number) == "approved by p_ann"
        said: list[Any] = []
        run = "SELECT success FROM execute_migration_rollback('002_b')"
        thread = threading.Thread(target=lambda: said.append(value(runner, run)))
        thread.start()
        eventually_waits(owner, runner.info.backend_pid)
        time.sleep(1.3)
        holder.rollback()
        thread.join()
    assert said == [False]
    assert (exists(owner, "b"), status(owner, "002_b")) == (True, "applied")


def test_an_agent_that_types_the_name_meets_the_same_gate(
    owner: psycopg.Connection, database_dsn: str, folder: Any
) -> None:
    with (
        mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="p_agent"), dir=folder) as agent,
        mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="p_bob"), dir=folder) as bob,
    ):
        with pytest.raises(mr.Refused, match="needs 1 approval, has 0") as met:
            agent.rollback("002_b", confirm="002_b", reason="I am sure")
        assert met.value.exit_code == 3
        assert met.value.reason.endswith("ask for them first, with migrollback request")
        with pytest.raises(mr.Refused, match="Policy all does not let p_agent break the glass"):
            agent.rollback("002_b", confirm="002_b", reason="I am sure", break_glass=True)
        asked = agent.request("002_b", reason="INC-7")
        assert asked.number is not None
        with pytest.raises(mr.DatabaseError) as denied:
            agent.approve(asked, confirm="002_b")
        assert denied.value.sqlstate == "42501"
        for change in ("set_policy", "remove_policy"):
            with pytest.raises(mr.DatabaseError) as denied:
                getattr(agent, change)("all", reason="x")
            assert denied.value.sqlstate == "42501"
        assert exists(owner, "b")
        shown = bob.approval_request(asked.number)
        assert "DROP TABLE b;" in (shown.sql or "")
        with pytest.raises(mr.ConfirmationRequired):
            bob.approve(shown, confirm="yes")
        assert bob.approve(shown, confirm="002_b").state == "approved"
        result = agent.rollback("002_b", confirm="002_b", reason="INC-7")
        assert isinstance(result, mr.RollbackResult)
        assert result.approval is not None
        assert result.approval["approved_by"] == ["p_bob"]
        assert agent.approval_request(asked.number).state == "used"
    assert not exists(owner, "b")
