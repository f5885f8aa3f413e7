"""Several migrations rolled back together: by name in any order, back to one, the last, since a time, a deploy."""

import io
import json
from datetime import timedelta

import pytest
from pg_servers import with_migrations
from watching import events, exists, status, value

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.cli import magics

NAMES = ("001_a", "002_b", "003_c", "004_d", "005_e")
SYSTEM = "20250120_migration_rollback_system"


def text_of(table, base=None):
    needs = f"-- Depends on: {base}\n" if base else ""
    return f"{needs}CREATE TABLE {table} ();\n-- ROLLBACK START\nDROP TABLE {table};\n-- ROLLBACK END\n"


@pytest.fixture(scope="module")
def five(server, tmp_path_factory):
    """Five tables, of which d depends on b. A database that is copied."""
    folder = tmp_path_factory.mktemp("five") / "migrations"
    yield from with_migrations(
        server, folder, {name: text_of(name[-1], "002_b" if name == "004_d" else None) for name in NAMES}
    )


@pytest.fixture
def database_template(five):
    return five


@pytest.fixture
def run(database_dsn, folder):
    """Run the command line on this test's database: (exit status, standard output, standard error)."""

    def run_command(*argv):
        out, err = io.StringIO(), io.StringIO()
        ended = cli.run(["--dsn", database_dsn, "--dir", str(folder), *argv], out, err, io.StringIO())
        return ended, out.getvalue(), err.getvalue()

    return run_command


@pytest.fixture
def as_json(run):
    def run_command(*argv):
        ended, out, err = run(*argv, "--format", "json")
        return ended, json.loads(out) if out else err

    return run_command


def steps(preview):
    return [name for name, _ in preview.steps]


def test_what_each_range_means_and_what_confirms_it(db, session):
    every = list(reversed(NAMES))
    wanted = {
        "to": ({"to": "003_c"}, every[:2], "003_c"),
        "last": ({"last": 2}, every[:2], "005_e"),
        "more than there are": ({"last": 100}, every, "005_e"),
        "since": ({"since": "1h"}, every, "005_e"),
        "since a span": ({"since": timedelta(seconds=90)}, every, "005_e"),
        "system stays": ({"to": SYSTEM}, every, SYSTEM),
        "names": ({"name": ["001_a", "005_e", "003_c"]}, ["005_e", "003_c", "001_a"], "005_e"),
        "with dependents": ({"name": ["002_b", "001_a"], "chain": True}, ["004_d", "002_b", "001_a"], "004_d"),
        "one": ({"name": "005_e"}, ["005_e"], "005_e"),
        "one with dependents": ({"name": "002_b", "chain": True}, ["004_d", "002_b"], "002_b"),
    }
    for what, (asked, found, confirm) in wanted.items():
        preview = db.preview(**asked)
        assert (steps(preview), preview.confirm) == (found, confirm), what
        assert db.assess(**asked).migration_name == found[-1], what
        if "name" not in asked:
            assert db.plan(**asked).steps == tuple(found), what
    assert db.preview(["001_a", "003_c"]).fingerprint == db.preview(["003_c", "001_a"]).fingerprint
    # from its own time on, the fifth only
    session().execute(
        "UPDATE migration_history SET applied_at = now() - interval '3 days' WHERE migration_name < '005'"
    )
    assert steps(db.preview(since="yesterday")) == ["005_e"]
    moment = value(session(), "SELECT applied_at FROM migration_history WHERE migration_name = '005_e'")
    assert steps(db.preview(since=moment)) == ["005_e"]
    assert steps(db.preview(since=moment.isoformat())) == ["005_e"]


def test_dependents_outside_are_refused_or_go_with_it(db, run, session):
    session().execute("UPDATE migration_history SET applied_at = now() WHERE migration_name = '002_b'")
    assert steps(db.preview(last=1, chain=True)) == ["004_d", "002_b"], "the times contradict: dependents first"
    assert steps(db.preview(last=3)) == ["005_e", "004_d", "002_b"]
    with pytest.raises(mr.Refused) as caught:
        db.preview(last=1)
    assert caught.value.dependents == ("004_d",)
    assert "--chain" in caught.value.hint
    assert db.plan(last=1).assessment.verdict == "blocked"
    assert db.plan(last=1, chain=True).steps == ("004_d", "002_b")
    ended, _, err = run("rollback", "--last", "1", "--confirm", "002_b")
    assert (ended, "--chain" in err) == (3, True)
    assert run("rollback", "--last", "1", "--chain", "--confirm", "004_d", "--snapshots", "none")[0] == 0
    assert [status(session(), name) == "applied" for name in NAMES] == [True, False, True, False, True]


def test_one_transaction_and_one_confirmation(db, session):
    for confirm in ("005_e", "004_d", "", None):
        with pytest.raises(mr.ConfirmationRequired) as caught:
            db.rollback(to="003_c", confirm=confirm)
        assert "003_c" in caught.value.hint
    with pytest.raises(mr.ConfirmationRequired):
        db.rollback(last=2, confirm="004_d")
    preview = db.preview(to="003_c")
    done = db.rollback(to="003_c", confirm="003_c.sql", preview=preview, reason="a release goes back")
    assert [one.migration_name for one in done.results] == ["005_e", "004_d"]
    assert done.verification.verdict == "restored"
    assert value(session(), "SELECT count(DISTINCT rollback_at) FROM migration_history WHERE status <> 'applied'") == 1
    assert not exists(session(), "d")
    nothing = db.rollback(to="003_c", confirm="003_c")
    assert nothing.success
    assert "Nothing that is applied was applied after 003_c" in nothing.message


def test_what_was_applied_again_counts_as_later(db, session, write_migration):
    write_migration("002_b", text_of("b"))
    db.rollback("002_b", confirm="002_b", chain=True, snapshots="none")
    db.apply("002_b", snapshots="none")
    assert steps(db.preview(last=2)) == ["002_b", "005_e"]
    assert steps(db.preview(to="005_e")) == ["002_b"]
    with pytest.raises(mr.Refused, match="004_d is rolled back"):
        db.preview(to="004_d")
    with pytest.raises(mr.Refused, match="001_aa") as caught:
        db.preview(to="001_aa")
    assert "Did you mean 001_a?" in caught.value.hint


@pytest.mark.parametrize(
    "argv",
    [
        ("--last", "0"),
        ("--last", "-1"),
        ("--last", "x"),
        ("001_a", "--last", "1"),
        ("001_a", "--to", "002_b"),
        ("001_a", "002_b", "--since", "1h"),
        ("--last", "1", "--to", "001_a"),
        ("--since", "soon"),
        ("--deploy", "nowhere"),
        (),
    ],
)
def test_what_is_wrong_usage(run, argv):
    for command in (("rollback", "--dry-run"), ("rollback", "--confirm", "001_a"), ("plan",)):
        assert run(*command, *argv)[0] == 2, command


def test_a_dry_run_and_a_plan_say_all_of_it(as_json, session):
    for argv in (["--to", "003_c"], ["--last", "2"], ["004_d", "005_e"], ["005_e", "004_d"]):
        ended, told = as_json("rollback", *argv, "--dry-run")
        assert (ended, told["migrations"], told["verdict"]) == (0, ["005_e", "004_d"], "not_rehearsed")
        assert (len(told["fingerprint"]), told["confirm"]) == (64, "003_c" if argv[0] == "--to" else "005_e")
        ended, plan = as_json("plan", *argv)
        assert (ended, plan["steps"], plan["verdict"]) == (0, ["005_e", "004_d"], "not_rehearsed")
        assert isinstance(plan["effects"], list)
    for command in (["rollback", "--dry-run"], ["rollback", "--confirm", "005_e"], ["plan"], ["rehearse"]):
        ended, told = as_json(*command, "--to", "005_e")
        assert (ended, told["migrations"], told["steps"], told["effects"]) == (0, [], [], [])
        assert "nothing to roll back" in told["message"]
    for command in (["rollback", "--dry-run"], ["rollback", "--confirm", "00x"], ["plan"]):
        assert as_json(*command, "--to", "00x")[0] == 3
    ended, told = as_json("rollback", "--last", "2", "--confirm", "004_d")
    assert (ended, told["success"]) == (2, False)
    assert events(session()).count("rolled_back") == 0


def test_a_rehearsal_of_a_range_binds_its_rollback(db, session):
    rehearsed = db.rehearse(last=2)
    assert (rehearsed.success, steps(rehearsed)) == (True, ["005_e", "004_d"])
    assert db.preview(to="003_c").fingerprint == rehearsed.fingerprint
    session().execute("ALTER TABLE a ADD late int")
    with pytest.raises(mr.Refused, match="changed"):
        db.rollback(last=2, confirm="005_e", preview=rehearsed)


def test_a_range_in_psql(session):
    sql = session()
    assert value(sql, "SELECT migrations_of_range(last => 2)") == ["005_e", "004_d"]
    assert value(sql, "SELECT migrations_of_range(back_to => '003_c')") == ["005_e", "004_d"]
    assert value(sql, "SELECT migrations_of_range(names => '{002_b,005_e}', chain => true)") == [
        "005_e",
        "004_d",
        "002_b",
    ]
    assert value(sql, "SELECT migrations_of_range(since => now() + interval '1 h')") == []
    for wrong in ("", "last => 0", "last => 1, back_to => '001_a'", "back_to => 'nowhere'"):
        with pytest.raises(Exception, match=r"range|last|registered"):
            sql.execute(f"SELECT migrations_of_range({wrong})")
    attempt = "6d3e0b3f-d5a1-4f0b-9a53-6d1c2a7c9e10"
    call = f"SELECT migration_name, success, message FROM execute_range_rollback(last => 2, attempt_id => '{attempt}')"
    assert [row[:2] for row in sql.execute(call)] == [("005_e", True), ("004_d", True)]
    again = sql.execute(call).fetchall()
    assert [row[:2] for row in again] == [("005_e", True), ("004_d", True)]
    assert "already" in again[0][2]
    other = sql.execute(call.replace("last => 2", "last => 3")).fetchall()
    assert [row[1] for row in other] == [False]
    assert status(sql, "003_c") == "applied"
    nothing = sql.execute("SELECT success, migration_name FROM execute_range_rollback(back_to => '003_c')").fetchall()
    assert nothing == [(True, None)]


def test_the_magic_takes_ranges(database_dsn, session):
    magic = magics.Magic()
    try:
        preview = magic(f"--dsn '{database_dsn}' rollback --last 2 --dry-run")
        assert steps(preview) == ["005_e", "004_d"]
        assert magic("plan --to 003_c").steps == ("005_e", "004_d")
        with pytest.raises(mr.ConfirmationRequired):
            magic("rollback --last 2")
        assert magic("rollback --last 2 --confirm 005_e --snapshots none").success
        with pytest.raises(mr.ConfirmationRequired):
            magic("rollback --to 001_a")
        assert magic("rollback --to 001_a --confirm 001_a --snapshots none").success
    finally:
        magic.close()
    assert [status(session(), name) for name in NAMES] == ["applied"] + ["rolled_back"] * 4
