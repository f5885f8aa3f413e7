"""Random graphs of migrations, and random orders of what is done to them: the database says what a plain model says.

Two clients, an approver and a deploy tool (dbmate) take turns. After each step: statuses, tables, dependents, the
deploy ledger, how many events there are of each kind, and whether the audit log is unbroken.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pg_servers import Server, with_system

import migrollback_nb as mr

CLIENTS = st.integers(0, 1)
PLACES = st.integers(0, 10**6)


@dataclass
class One:
    """What the model knows of one migration."""

    name: str
    depends_on: frozenset[str]
    status: str | None = None  #: None: not registered
    table: bool = False
    ledger: bool = False
    deploy: str | None = None

    @property
    def version(self) -> str:
        return self.name.partition("_")[0]


@dataclass
class Model:
    """What must be true, in plain Python."""

    all: dict[str, One] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)

    def is_applied(self, name: str) -> bool:
        return self.all[name].status == "applied"

    def applied(self) -> list[One]:
        return [one for one in self.all.values() if one.status == "applied"]

    def dependents(self, name: str) -> set[str]:
        """Those that are applied and depend on it, directly or through others."""
        reached, todo = set(), [name]
        while todo:
            of = todo.pop()
            found = {one.name for one in self.all.values() if one.status and of in one.depends_on} - reached
            reached |= found
            todo += found
        return {name for name in reached if self.is_applied(name)}

    def may_apply(self, one: One) -> bool:
        return all(self.is_applied(base) for base in one.depends_on)


class Histories(RuleBasedStateMachine):
    """One database, two clients, one deploy tool."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.opened = ExitStack()
        self.folder = Path(self.opened.enter_context(tempfile.TemporaryDirectory()))
        database = self.server.create_database(template=with_system(self.server))
        self.opened.callback(self.server.drop_database, database)
        dsn = self.server.dsn(database)
        self.tool = self.opened.enter_context(psycopg.connect(dsn, autocommit=True))
        self.tool.execute("CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)")
        self.clients = [self.opened.enter_context(mr.connect(dsn, dir=self.folder)) for _ in range(2)]
        self.tool.execute("SELECT grant_migration_role('h_approver', 'approver')")
        other = psycopg.conninfo.make_conninfo(dsn, user="h_approver")
        self.approver = self.opened.enter_context(mr.connect(other, dir=self.folder))
        self.policy = False
        self.before = self.counted()

    def teardown(self) -> None:
        self.opened.close()

    def counted(self) -> Counter[str]:
        kinds = ("applied", "applied_again", "registered", "rolled_back", "resolved", "failed")
        query = "SELECT event, count(*) FROM migration_events WHERE event = ANY (%s) GROUP BY event"
        return Counter(dict(self.tool.execute(query, (list(kinds),)).fetchall()))

    def pick(self, place: int, among: list[One]) -> One:
        return among[place % len(among)]

    # -- what is done ------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.all) < 8)
    @rule(bases=st.sets(PLACES, max_size=3))
    def write(self, bases: set[int]) -> None:
        """A new file, that depends on some of those that are there."""
        known = list(self.model.all)
        name = f"{len(known) + 1:03}_t"
        needs = sorted({known[place % len(known)] for place in bases}) if known else []
        header = "".join(f"-- Depends on: {base}\n" for base in needs)
        text = f"{header}-- migrate:up\nCREATE TABLE t{name[:3]} ();\n-- migrate:down\nDROP TABLE t{name[:3]};\n"
        (self.folder / f"{name}.sql").write_text(text)
        self.model.all[name] = One(name, frozenset(needs))

    @precondition(lambda self: self.model.all)
    @rule(client=CLIENTS, place=PLACES, deploy=st.sampled_from([None, "a", "b"]))
    def apply(self, client: int, place: int, deploy: str | None) -> None:
        one = self.pick(place, list(self.model.all.values()))
        db = self.clients[client]
        if one.status == "applied":
            assert db.apply(one.name, snapshots="none").skipped == (one.name,)
        elif not self.model.may_apply(one):
            self.refused(lambda: db.apply(one.name, snapshots="none", deploy=deploy), mr.DependencyError)
        elif one.ledger:
            self.refused(lambda: db.apply(one.name, snapshots="none", deploy=deploy), mr.Refused)
        else:
            assert db.apply(one.name, snapshots="none", deploy=deploy).applied == (one.name,)
            one.status, one.table, one.ledger, one.deploy = "applied", True, True, deploy
            self.model.events["applied"] += 1

    @precondition(lambda self: self.model.all)
    @rule(client=CLIENTS, place=PLACES, chain=st.booleans())
    def rollback(self, client: int, place: int, chain: bool) -> None:
        one = self.pick(place, list(self.model.all.values()))
        db = self.clients[client]

        dependents = self.model.dependents(one.name)
        call = self.rollback_of(db, one, chain=chain)
        if one.status is None:
            self.refused(call, mr.MigrationNotFound)
        elif one.status != "applied" or (dependents and not chain) or self.policy:
            self.refused(call, mr.Refused)
        else:
            call()
            self.rolled_back({one.name, *dependents} if chain else {one.name})

    def rollback_of(self, db: mr.Migrations, one: One, *, chain: bool) -> Callable[[], object]:
        def call() -> object:
            preview = db.preview(one.name, chain=True) if chain else None
            return db.rollback(one.name, confirm=one.name, chain=chain, preview=preview, snapshots="none")

        return call

    @rule(on=st.booleans())
    def change_policy(self, on: bool) -> None:
        """From then on each rollback needs the approval of another person, or none does."""
        if on:
            self.clients[0].set_policy("all", approvers=["h_approver"])
        else:
            self.clients[0].remove_policy("all", reason="no longer")
        self.policy = on

    @precondition(lambda self: self.policy and self.model.applied())
    @rule(client=CLIENTS, place=PLACES, chain=st.booleans())
    def rollback_with_approval(self, client: int, place: int, chain: bool) -> None:
        one = self.pick(place, self.model.applied())
        db = self.clients[client]
        dependents = self.model.dependents(one.name)
        if dependents and not chain:
            self.refused(lambda: db.request(one.name, reason="asked"), mr.Refused)
            return
        asked = db.request(one.name, reason="asked", chain=chain)
        call = self.rollback_of(db, one, chain=chain)
        self.refused(call, mr.Refused)
        self.refused(lambda: db.approve(asked, confirm=one.name), mr.Refused)
        self.approver.approve(asked, confirm=one.name)
        call()
        self.rolled_back({one.name, *dependents})

    @precondition(lambda self: any(one.deploy for one in self.model.applied()))
    @rule(client=CLIENTS, place=PLACES)
    def rollback_deploy(self, client: int, place: int) -> None:
        one = self.pick(place, [one for one in self.model.applied() if one.deploy])
        label = str(one.deploy)
        names = {other.name for other in self.model.applied() if other.deploy == label}
        beyond = set().union(*(self.model.dependents(name) for name in names)) - names
        db = self.clients[client]

        def call() -> object:
            return db.rollback(deploy=label, confirm=label, snapshots="none")

        if beyond or self.policy:
            self.refused(call, mr.Refused)
        else:
            call()
            self.rolled_back(names)

    def rolled_back(self, names: set[str]) -> None:
        for name in names:
            one = self.model.all[name]
            one.status, one.table, one.ledger, one.deploy = "rolled_back", False, False, None
            self.model.events["rolled_back"] += 1

    @precondition(lambda self: self.model.applied())
    @rule(client=CLIENTS, place=PLACES)
    def resolve(self, client: int, place: int) -> None:
        """Undone by hand, and said so."""
        one = self.pick(place, self.model.applied())
        db = self.clients[client]
        if self.model.dependents(one.name):
            self.refused(lambda: db.resolve(one.name, status="rolled_back", reason="by hand"), mr.Refused)
            return
        if one.table:
            self.tool.execute(f"DROP TABLE t{one.version}")
        db.resolve(one.name, status="rolled_back", reason="by hand")
        one.status, one.table, one.ledger, one.deploy = "rolled_back", False, False, None
        self.model.events["resolved"] += 1

    @precondition(lambda self: any(not one.ledger and not one.table for one in self.model.all.values()))
    @rule(place=PLACES)
    def tool_applies(self, place: int) -> None:
        """The deploy tool applies a file: it asks no one."""
        one = self.pick(place, [one for one in self.model.all.values() if not one.ledger and not one.table])
        if self.model.may_apply(one):
            self.tool.execute(f"CREATE TABLE t{one.version} ()")
            self.tool.execute("INSERT INTO schema_migrations VALUES (%s)", (one.version,))
            one.table = one.ledger = True

    @precondition(lambda self: self.model.all)
    @rule(client=CLIENTS)
    def sync(self, client: int) -> None:
        result = self.clients[client].sync(snapshots="none")
        left = set()
        for one in self.model.all.values():  # a base has a lower number
            if one.ledger and one.status != "applied" and not self.model.may_apply(one):
                left.add(one.name)  # its base was rolled back before anything here knew that the tool applied it
            elif one.ledger and one.status != "applied":
                self.model.events["applied_again" if one.status else "registered"] += 1
                one.status = "applied"
        assert {failure.migration_name for failure in result.failed} == left

    def refused(self, call: object, error: type[Exception]) -> None:
        try:
            call()
        except error:
            return
        raise AssertionError(f"not refused: {error.__name__}")

    # -- what must hold then -----------------------------------------------------------------------------------------

    @invariant()
    def the_database_is_as_the_model(self) -> None:
        look = self.tool
        found = dict(
            look.execute("SELECT migration_name, status FROM migration_history WHERE metadata ->> 'system' IS NULL")
        )
        assert found == {one.name: one.status for one in self.model.all.values() if one.status}
        tables = {name for (name,) in look.execute(r"SELECT relname FROM pg_class WHERE relname ~ '^t\d+$'")}
        assert tables == {f"t{one.version}" for one in self.model.all.values() if one.table}
        ledger = {version for (version,) in look.execute("SELECT version FROM schema_migrations")}
        assert ledger == {one.version for one in self.model.all.values() if one.ledger}
        assert look.execute("SELECT intact FROM verify_migration_events()").fetchone() == (True,)
        counted = self.counted()
        counted.subtract(self.before)
        assert +counted == self.model.events
        begun = "SELECT attempt_id FROM migration_events WHERE event = 'started' EXCEPT "
        begun += "SELECT attempt_id FROM migration_events WHERE event IN ('rolled_back', 'refused', 'failed')"
        assert look.execute(begun).fetchall() == [], "an attempt without an end"
        query = "SELECT h.migration_name, c.can_rollback, c.dependent_migrations FROM migration_history h, LATERAL"
        query += " can_rollback_migration(h.migration_name) c WHERE h.metadata ->> 'system' IS NULL"
        for name, can_rollback, dependents in look.execute(query).fetchall():
            assert set(dependents) == self.model.dependents(name), name
            assert can_rollback is (self.model.is_applied(name) and not dependents), name


def test_the_database_says_what_a_plain_model_says(server, pytestconfig, request):
    thorough = pytestconfig.getoption("--long")
    rounds = pytestconfig.getoption("--rounds")

    class OnThisServer(Histories):
        pass

    OnThisServer.server = server
    request.addfinalizer(lambda: server.execute("DROP ROLE h_approver"))
    server.execute("CREATE ROLE h_approver LOGIN")
    run_state_machine_as_test(
        OnThisServer,
        settings=settings(
            max_examples=40 if thorough else 3,
            stateful_step_count=rounds or (40 if thorough else 14),
            deadline=None,
            derandomize=not (thorough or rounds),
            print_blob=True,
            phases=[Phase.generate],  # to find the shortest way to a failure takes minutes: what failed can be repeated
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
