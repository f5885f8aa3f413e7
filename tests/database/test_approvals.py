"""Two people: policies, requests, approvals, and the gate that counts them, by SQL alone."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from watching import exists, status, value

import migrollback_nb as mr
from migrollback_nb import cli

CALLS = (
    "request_migration_approval(text[], text, text, text, text, text)",
    "withdraw_migration_request(bigint, text, text)",
    "migration_requests(bigint, boolean)",
    "list_migration_policies()",
    "effective_search_path()",
)
APPROVES = ("approve_migration_request(bigint, text, text, text)",)
ROLES = "dbas", "asker", "ann", "bob", "carl"


@pytest.fixture(scope="module")
def roles(server: Any) -> Iterator[None]:
    """The roles, which are the whole server's."""
    server.execute("CREATE ROLE dbas; CREATE ROLE asker LOGIN; CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN")
    server.execute("CREATE ROLE carl LOGIN; GRANT dbas TO ann, bob")
    yield
    server.execute(f"DROP ROLE {', '.join(ROLES)}")


@pytest.fixture
def people(roles: None, database_dsn: str) -> Iterator[Callable[[str], psycopg.Connection]]:
    """Connections of people: asker asks and may not approve; ann, bob are dbas, and approve; carl is not."""
    with psycopg.connect(database_dsn, autocommit=True) as owner:
        for call in CALLS:
            owner.execute(f"GRANT EXECUTE ON FUNCTION {call} TO asker, ann, bob, carl")
        for call in APPROVES:
            owner.execute(f"GRANT EXECUTE ON FUNCTION {call} TO ann, bob, carl")
        opened: dict[str, psycopg.Connection] = {"postgres": owner}

        def connection(role: str) -> psycopg.Connection:
            if role not in opened:
                opened[role] = psycopg.connect(psycopg.conninfo.make_conninfo(database_dsn, user=role), autocommit=True)
            return opened[role]

        yield connection
        for one in opened.values():
            one.close()


def run(connection: psycopg.Connection, name: str = "001_t", **arguments: Any) -> tuple[bool, str]:
    given = "".join(f", {key} => %({key})s" for key in arguments)
    row = connection.execute(
        f"SELECT success, message FROM execute_migration_rollback(%(name)s{given})", {"name": name, **arguments}
    ).fetchone()
    assert row is not None
    return row


def test_two_others_have_to_approve(applied, people):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;", snapshots="none")
    owner, asker, ann, bob = map(people, ("postgres", "asker", "ann", "bob"))
    assert value(owner, "SELECT set_migration_policy('two', 2, approvers => '{dbas}')") is True
    assert run(owner) == (
        False,
        "It needs 2 approvals, has 0 (policy two): ask for them first, with migrollback request",
    )
    request = value(asker, "SELECT request_migration_approval('{001_t}', 'INC-7')")
    assert value(asker, "SELECT request_migration_approval('{001_t}', 'INC-7')") == request
    assert value(ann, "SELECT approve_migration_request(%s)", request) == "waiting: 1 of 2"
    assert run(owner)[1].startswith("It needs 2 approvals, has 1 (policy two): have request ")
    assert value(bob, "SELECT approve_migration_request(%s)", request) == "approved by ann and bob"
    assert run(owner) == (True, "Migration rolled back successfully")
    (kept,) = owner.execute("SELECT details -> 'approval' FROM migration_events WHERE event = 'rolled_back'").fetchone()
    assert (kept["request"], kept["requested_by"], kept["approved_by"]) == (request, "asker", ["ann", "bob"])
    assert [one["approved_by"] for one in kept["approvals"]] == ["ann", "bob"]
    assert value(owner, "SELECT state FROM migration_requests(%s)", request) == "used"
    assert owner.execute("SELECT * FROM audit_migrations()").fetchall() == []


def refused(connection: psycopg.Connection, query: str, *values: Any) -> str:
    """SQLSTATE of what raises."""
    with pytest.raises(psycopg.Error) as met:
        connection.execute(query, values)
    return met.value.sqlstate or ""


@pytest.fixture
def policy(applied, people):
    """A policy by which one of the dbas approves each rollback, and a migration."""
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;", snapshots="none")
    value(people("postgres"), "SELECT set_migration_policy('one', approvers => '{dbas}')")
    return people


def test_who_asks_or_is_no_approver_does_not_approve(policy):
    asker, ann, carl, owner = map(policy, ("asker", "ann", "carl", "postgres"))
    request = value(asker, "SELECT request_migration_approval('{001_t}')")
    assert refused(asker, "SELECT approve_migration_request(%s)", request) == "42501", "no right to the function"
    assert refused(carl, "SELECT approve_migration_request(%s)", request) == "MR029"
    assert refused(owner, "SELECT approve_migration_request(%s)", request) == "MR029", "a superuser is no dba by that"
    own = value(ann, "SELECT request_migration_approval('{001_t}')")
    assert own != request
    assert refused(ann, "SELECT approve_migration_request(%s)", own) == "MR029"
    assert refused(ann, "SELECT approve_migration_request(%s, 'x')", request) == "MR029"
    assert value(ann, "SELECT approve_migration_request(%s)", request) == "approved by ann"
    assert refused(ann, "SELECT approve_migration_request(%s)", request) == "MR029"
    assert refused(ann, "SELECT approve_migration_request(1)") == "MR006"


def test_only_the_owner_changes_a_policy_and_by_functions_alone(policy):
    owner, ann = policy("postgres"), policy("ann")
    owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO ann; GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO ann")
    assert refused(ann, "SELECT set_migration_policy('x')") == "42501"
    assert refused(ann, "SELECT remove_migration_policy('one', 'x')") == "42501"
    for connection in (ann, owner):
        for change in (
            "UPDATE migration_policies SET approvals = 9",
            "DELETE FROM migration_policies",
            "TRUNCATE migration_policies",
            "INSERT INTO migration_policies SELECT 'x', commands, targets, conditions, approvals, approvers, approvers,"
            " valid_minutes, event_number FROM migration_policies",
        ):
            assert refused(connection, change) == "MR010"
    assert refused(owner, "SELECT remove_migration_policy('one', ' ')") == "MR006"
    assert value(owner, "SELECT remove_migration_policy('one', 'alone here')") is True
    told = owner.execute(
        "SELECT details ->> 'operation', reason FROM migration_events WHERE event = 'policy_changed' ORDER BY 1"
    ).fetchall()
    assert told == [("created", None), ("removed", "alone here")]
    assert run(owner)[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    {
        "'a b'": "a policy's name is made of letters, digits, _, . and -",
        "'x', 0": "a policy needs 1 to 9 approvals",
        "'x', 1, '{nobody_there}'": "there is no role nobody_there",
        "'x', targets => '{}'": "a policy needs names of migrations, * for any",
        "'x', conditions => '{loses,big}'": "big is no verdict and no effect: ",
        "'x', commands => '{apply}'": "the commands of a policy are rollback and resolve",
        "'x', valid_minutes => 0": "an approval is valid for more than 0 and at most 43200 minutes",
    }.items(),
)
def test_a_policy_that_cannot_be_is_refused(session, arguments, said):
    with pytest.raises(psycopg.Error) as met:
        session().execute(f"SELECT set_migration_policy({arguments})")
    assert (met.value.sqlstate, met.value.diag.message_primary[: len(said)]) == ("MR006", said)


def approved(policy, name="001_t"):
    request = value(policy("asker"), "SELECT request_migration_approval(ARRAY[%s])", name)
    value(policy("ann"), "SELECT approve_migration_request(%s)", request)
    return request


def test_what_ran_as_a_rehearsal_is_not_committed(policy):
    owner = policy("postgres")
    assert value(owner, "SELECT success FROM rehearse_migration_rollback('001_t')") is True
    owner.execute("BEGIN; SELECT set_config('migrollback.rehearsal', pg_current_xact_id()::text, true)")
    assert run(owner)[0]
    assert refused(owner, "COMMIT") == "MR029"
    assert (exists(owner, "t"), status(owner, "001_t")) == (True, "applied")


def test_the_glass_is_broken_with_a_right_and_a_reason_and_that_is_loud(policy):
    owner, carl = policy("postgres"), policy("carl")
    owner.execute(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO carl; GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO carl"
    )
    assert run(carl, break_glass=True, reason="INC-1") == (False, "Policy one does not let carl break the glass")
    assert run(owner, break_glass=True) == (False, "Breaking the glass needs a reason (argument reason)")
    value(owner, "SELECT set_migration_policy('one', approvers => '{dbas}', break_glass_by => '{carl}')")
    owner.execute("ALTER TABLE t OWNER TO carl")
    assert run(carl, break_glass=True, reason="INC-1")[0]
    assert value(owner, "SELECT notes FROM migration_history WHERE migration_name = '001_t'") == "BREAK-GLASS: INC-1"
    assert owner.execute(
        "SELECT database_user, reason, details ->> 'needed', details ->> 'policies' FROM migration_events"
        " WHERE event = 'broke_glass'"
    ).fetchall() == [("carl", "INC-1", "1", "one")]


@pytest.mark.long
def test_an_approval_is_of_what_was_shown(policy, session):
    owner = policy("postgres")
    request = approved(policy)
    owner.execute("CREATE TABLE another ()")
    assert (
        value(owner, "SELECT words FROM migration_requests(%s)", request) == "The schema has changed since the request"
    )
    assert not run(owner)[0]
    request = approved(policy)
    owner.execute("INSERT INTO t VALUES (1)")
    assert value(owner, "SELECT words FROM migration_requests(%s)", request).startswith(
        "It does more than when it was asked for: loses 1 row of public.t"
    )
    assert not run(owner)[0]
    request = approved(policy)
    owner.execute("INSERT INTO t VALUES (2)")
    assert run(owner)[0], "how many rows there are is not what was approved"


@pytest.mark.long
def test_an_approval_lapses_by_the_servers_clock(policy):
    owner = policy("postgres")
    value(owner, "SELECT set_migration_policy('one', approvers => '{dbas}', valid_minutes => 0.02)")
    request = approved(policy)
    assert value(owner, "SELECT state FROM migration_requests(%s)", request) == "approved"
    time.sleep(1.3)
    assert value(owner, "SELECT words FROM migration_requests(%s)", request) == "expired: 0 of 1 still hold"
    assert run(owner)[1].startswith("It needs 1 approval, has 0 (policy one): have request ")
    value(policy("ann"), "SELECT approve_migration_request(%s)", request)
    assert run(owner)[0], "who approved it may do so again"


@pytest.mark.long
def test_a_forced_resolve_needs_approvals_too(policy):
    owner = policy("postgres")
    value(owner, "SELECT set_migration_policy('one', approvers => '{dbas}', commands => '{resolve}')")
    force = "SELECT resolve_migration('001_t', 'rolled_back', 'gone', force => true)"
    assert refused(owner, force) == "MR029"
    request = value(policy("asker"), "SELECT request_migration_approval('{001_t}', command => 'resolve')")
    value(policy("bob"), "SELECT approve_migration_request(%s)", request)
    assert value(owner, force) == "applied"
    assert value(owner, "SELECT state FROM migration_requests(%s)", request) == "used"


@pytest.mark.long
def test_who_may_withdraw(policy):
    request = approved(policy)
    assert refused(policy("carl"), "SELECT withdraw_migration_request(%s)", request) == "MR029"
    assert value(policy("asker"), "SELECT withdraw_migration_request(%s, 'wrong one')", request) is True
    assert value(policy("asker"), "SELECT withdraw_migration_request(%s)", request) is False
    assert value(policy("postgres"), "SELECT state FROM migration_requests(%s)", request) == "withdrawn"
    assert not run(policy("postgres"))[0]


@pytest.fixture
def terminal(database_dsn, folder):
    """Run a command line as a role: terminal("asker", "request", "001_t") -> status, output, remarks."""

    def line(role: str, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        dsn = psycopg.conninfo.make_conninfo(database_dsn, user=role)
        status = cli.run([*argv, "--dsn", dsn, "--dir", str(folder)], out, err, io.StringIO())
        return status, out.getvalue(), err.getvalue()

    return line


def test_the_same_words_in_the_terminal(applied, people, terminal):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;", snapshots="none")
    said = "Policy one created: a rollback of any migration needs 1 approval by dbas, each valid for 60 min"
    assert terminal("postgres", "policy", "one", "--approvals", "1", "--by", "dbas") == (0, f"✅ {said}\n", "")
    assert "needs 1 approval by dbas" in terminal("postgres", "policy")[1]
    assert (
        "Not rehearsed: no rule forbids it, what it does is not known; needs 1 approval, has 0\n   needs 1 approval,"
        " has 0 (policy one): ask for them with migrollback request\n"
    ) in terminal("postgres", "check", "001_t")[1]
    status, out, _ = terminal("postgres", "rollback", "001_t", "--confirm", "001_t", "--format", "json")
    assert (status, json.loads(out)["message"]) == (
        3,
        "It needs 1 approval, has 0 (policy one): ask for them first, with migrollback request",
    )
    status, out, _ = terminal("asker", "request", "001_t", "--reason", "INC-7", "--format", "json")
    request = json.loads(out)
    assert (status, request["state"], request["has"], request["needed"]) == (0, "waiting", 0, 1)
    number = str(request["request"])
    assert terminal("asker", "approve", number, "--confirm", "001_t")[0] == 1, "has no right to"
    assert terminal("ann", "approve", number)[0] == 2, "no person can be asked"
    assert terminal("ann", "approve", number, "--confirm", "002_x")[0] == 2
    status, out, _ = terminal("ann", "approve", number, "--confirm", "001_t")
    assert (status, out.splitlines()[-1]) == (
        0,
        f"✅ Request {number}, to rollback 001_t: approved by ann",
    )
    assert out.startswith("SQL that would run:\n")
    assert "DROP TABLE t;" in out
    assert terminal("carl", "approve", number, "--confirm", "001_t")[0] == 3
    assert "approved by ann" in terminal("bob", "approvals", "--open")[1]
    assert terminal("carl", "approvals", "--withdraw", number)[0] == 3
    status, out, _ = terminal("postgres", "rollback", "001_t", "--confirm", "001_t", "--format", "json")
    assert (status, json.loads(out)["approval"]["approved_by"]) == (0, ["ann"])
    assert "used by postgres" in terminal("bob", "approvals", number)[1]
    assert terminal("postgres", "policy", "one", "--remove")[0] == 2
    assert terminal("postgres", "policy", "one", "--remove", "--reason", "x")[0] == 0


def test_outside_a_transaction_a_run_goes_on_under_the_approval_with_which_it_began(db, applied, people):
    owner, asker, ann = map(people, ("postgres", "asker", "ann"))
    applied(
        "001_t",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a);",
        "DROP INDEX CONCURRENTLY i; SELECT 1 / count(*) FROM needed; DROP TABLE t;",
        options=" transaction:false",
        snapshots="none",
    )
    value(owner, "SELECT set_migration_policy('one', approvers => '{dbas}')")
    with pytest.raises(mr.Refused, match="needs 1 approval, has 0"):
        db.rollback("001_t", confirm="001_t", snapshots="none")
    assert refused(owner, "SELECT start_migration_rollback('{001_t}', gen_random_uuid())") == "MR029"
    request = value(asker, "SELECT request_migration_approval('{001_t}')")
    value(ann, "SELECT approve_migration_request(%s)", request)
    with pytest.raises(mr.RollbackFailed):
        db.rollback("001_t", confirm="001_t", snapshots="none")
    assert value(owner, "SELECT state FROM migration_requests(%s)", request) == "void", "its index is gone"
    owner.execute("CREATE TABLE needed AS SELECT 1")
    db.resolve("001_t", status="applied", reason="go on")
    result = db.rollback("001_t", confirm="001_t", snapshots="none")
    assert isinstance(result, mr.RollbackResult)
    assert result.approval is not None
    assert (result.approval["request"], result.approval["approved_by"]) == (request, ["ann"])
    assert value(owner, "SELECT state FROM migration_requests(%s)", request) == "used"


@pytest.mark.long
def test_psql_cannot_end_what_began_without_an_approval(applied, people):
    owner = people("postgres")
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;", options=" transaction:false", snapshots="none")
    attempt = "00000000-0000-4000-8000-000000000001"
    owner.execute("SELECT add_migration_event('started', '001_t', %s, details => '{\"x\": 1}')", (attempt,))
    owner.execute("SELECT journal_migration_statement('001_t', %s, 1, 1)", (attempt,))
    value(owner, "SELECT set_migration_policy('one', approvers => '{dbas}')")
    assert refused(owner, "SELECT finish_migration_rollback('001_t', %s)", attempt) == "MR029"


@pytest.mark.long
def test_report_and_checklist_say_who_approved(applied, db, people, tmp_path):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;", snapshots="none")
    applied("002_u", "CREATE TABLE u (a int);", "DROP TABLE u;", snapshots="none")
    value(people("postgres"), "SELECT set_migration_policy('one', approvers => '{dbas}')")
    request = approved(people)
    db.rollback("001_t", confirm="001_t", reason="INC-7")
    db.rollback("002_u", confirm="002_u", reason="INC-8", break_glass=True)
    said = db.report("001_t", tmp_path / "one.html").read_text(encoding="utf-8")
    assert f"approved by ann (request {request} of asker, policy one)" in said
    said = db.report("002_u", tmp_path / "two.html").read_text(encoding="utf-8")
    assert "BREAK-GLASS: without the approvals that a policy asks for (one: needed 1, had 0)" in said
    assert any("002_u" in remark for remark in db.audit().remarks)
    assert db.audit().success
    assert "break glass" in [one.finding for one in db.doctor().problems]
