"""Plans, previews, rehearsals and rollbacks of what a selector means: with all that depends on it, and counted."""

import io
import json

import pytest
from pg_servers import with_migrations
from watching import exists, status

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.cli import magics

BASES = {"001_a": "", "002_b": "001_a", "003_c": "002_b", "004_d": "001_a", "005_e": ""}


def text_of(name, base):
    table = name[-1]
    header = ("-- Tags: hotfix\n" if table in "be" else "") + (f"-- Depends on: {base}\n" if base else "")
    return f"{header}CREATE TABLE {table} ();\n-- ROLLBACK START\nDROP TABLE {table};\n-- ROLLBACK END\n"


@pytest.fixture(scope="module")
def chain(server, tmp_path_factory):
    """a <- b <- c, a <- d, and e by itself; b and e have a tag. A database that is only read, and copied."""
    folder = tmp_path_factory.mktemp("chain") / "migrations"
    yield from with_migrations(server, folder, {name: text_of(name, base) for name, base in BASES.items()})


@pytest.fixture
def asked(server, chain):  # a session that stays would keep the database from being copied
    with mr.connect(server.dsn(chain)) as migrations:
        yield migrations


@pytest.fixture
def database_template(chain):
    return chain


def test_a_plan_closes_over_dependents_and_counts(asked):
    plan = asked.plan(["002_b", "005_e"])
    assert plan.steps == ("005_e", "003_c", "002_b")
    assert plan.closed.selected == ("002_b", "005_e")
    assert plan.closed.words == "2 migrations are selected, and 1 that depends on them goes with them"
    assert plan.to_dict()["selected"] == ["002_b", "005_e"]
    assert "1 that depends on them" in plan._repr_html_()
    assert asked.plan("001_a+").steps == asked.plan("001_a").steps == ("004_d", "003_c", "002_b", "001_a")
    assert asked.plan("001_a+1").steps == asked.plan("001_a").steps  # never without what must go first
    assert asked.plan("tag:hotfix").steps == plan.steps
    assert asked.plan("00[12]*", "001_a").steps == ("003_c", "002_b")
    assert asked.plan("00*", exclude="+003_c").steps == ("005_e", "004_d")


@pytest.mark.parametrize("select", ["+003_c", "1+003_c", "status:applied,+003_c", ["005_e", "+003_c"]])
def test_what_is_depended_on_is_refused(asked, select):
    for ask in (asked.plan, lambda one: asked.preview(select=one), lambda one: asked.rehearse(select=one)):
        with pytest.raises(mr.UsageError, match="a rollback takes what depends on it") as caught:
            ask(select)
        assert "Write 003_c" in caught.value.hint
    with pytest.raises(mr.UsageError, match="a rollback takes"):
        asked.rollback(select=select, confirm="003_c")


def test_what_is_excluded_and_would_have_to_go_first_is_refused(asked):
    with pytest.raises(mr.Refused) as caught:
        asked.plan("001_a", exclude="003_c")
    assert caught.value.dependents == ("003_c",)
    assert asked.plan("001_a 005_e", exclude="001_a+").steps == ("005_e",)


def test_a_selector_goes_alone(asked):
    with pytest.raises(mr.UsageError, match="goes alone"):
        asked.preview("001_a", select="002_b")
    with pytest.raises(mr.UsageError, match="goes alone"):
        asked.rollback(deploy="x", select="002_b", confirm="x")
    with pytest.raises(mr.UsageError, match="of a selection"):
        asked.preview("001_a", exclude="002_b")


def test_a_rehearsal_and_a_rollback_of_a_selection(db, session):
    preview = db.preview(select="tag:hotfix")
    assert [name for name, _ in preview.steps] == ["005_e", "003_c", "002_b"]
    assert preview.confirm == "002_b"
    assert db.rehearse(select="tag:hotfix").success
    with pytest.raises(mr.ConfirmationRequired):
        db.rollback(select="tag:hotfix", confirm="tag:hotfix")
    result = db.rollback(select="tag:hotfix", confirm="002_b", preview=preview, snapshots="none")
    assert [one.migration_name for one in result.results] == ["005_e", "003_c", "002_b"]
    assert not exists(session(), "b")
    assert status(session(), "001_a") == "applied"
    nothing = db.rollback(select="tag:hotfix", confirm="002_b")
    assert nothing.to_dict()["migrations"] == []
    assert "tag:hotfix" in nothing.message
    assert db.preview(select="tag:hotfix").message == nothing.message
    with pytest.raises(mr.UsageError, match="Nothing that is applied"):
        db.plan("tag:hotfix")
    assert "(2 more are rolled back already)" in db.plan("tag:hotfix 001_a").closed.words
    assert db.plan(["001_a"]).steps == ("004_d", "001_a")


@pytest.fixture
def run(server, chain):
    """Run the command line on the database that is only read."""

    def run_command(*argv):
        out, err = io.StringIO(), io.StringIO()
        ended = cli.run(["--dsn", server.dsn(chain), *argv], out, err, io.StringIO())
        return ended, out.getvalue(), err.getvalue()

    return run_command


def test_the_terminal_shows_the_count(run):
    ended, out, _ = run("plan", "--select", "tag:hotfix")
    assert ended == 0
    assert "2 migrations are selected, and 1 that depends on them goes with them." in out
    assert "  3. 002_b" in out
    assert json.loads(run("plan", "002_b+", "--format", "json")[1])["steps"] == ["003_c", "002_b"]
    ended, out, _ = run("rollback", "--select", "001_a", "--exclude", "005_e", "--dry-run")
    assert ended == 0
    assert "1 migration is selected, and 3 that depend on it go with it." in out
    ended, out, err = run("rollback", "--select", "tag:hotfix", "--confirm", "005_e")
    assert ended == 2
    assert "2 migrations are selected" in out
    assert "Confirm by its name: 002_b" in err


@pytest.mark.parametrize(
    ("argv", "ended", "said"),
    [
        (("plan",), 2, "one of them"),
        (("plan", "001_a", "--select", "002_b"), 2, "one of them"),
        (("rollback", "001_a", "--select", "002_b", "--dry-run"), 2, "one of them"),
        (("plan", "--select", "+003_c"), 2, "a rollback takes what depends on it"),
        (("plan", "--select", "003_x"), 1, "Did you mean 003_c"),
        (("plan", "--select", "tag:hotfux"), 2, "Did you mean hotfix?"),
        (("plan", "--select", "001_a", "--exclude", "004_d"), 3, "004_d is excluded, and depends on what is selected"),
        (("rollback", "--exclude", "004_d", "--dry-run", "001_a"), 2, "Give a selector too"),
    ],
)
def test_the_terminal_says_what_is_wrong(run, argv, ended, said):
    status_, out, err = run(*argv)
    assert (status_, said in out + err) == (ended, True), err


def test_frames_and_listings_of_a_selection(asked, run):
    assert list(asked.list("tag:hotfix")["migration_name"]) == ["005_e", "002_b"]
    assert asked.list(exclude="00[2-5]*")["migration_name"][0] == "001_a"
    assert list(asked.history("002_b+", exclude="002_b")["migration_name"]) == ["003_c"]
    assert list(asked.history("001_a+1", status="rolled_back")["migration_name"]) == []
    assert set(asked.events(["002_b", "005_e"])["migration_name"]) == {"002_b", "005_e"}
    edges = asked.dependencies("002_b")[["migration_name", "depends_on"]].to_numpy().tolist()
    assert edges == [["002_b", "001_a"], ["003_c", "002_b"]]
    for command in ("list", "history", "events"):
        rows = json.loads(run(command, "--select", "tag:hotfix", "--exclude", "005_e", "--format", "json")[1])
        assert {row["migration_name"] for row in rows} == {"002_b"}
    assert len(json.loads(run("deps", "--select", "001_a", "--format", "json")[1])) == 2
    assert run("events", "001_a", "--select", "002_b")[0] == 2
    assert run("history", "--select", "001_x")[0] == 1


def test_the_magic_takes_selectors_and_completes_them(server, chain):
    magic = magics.Magic()
    try:
        found = magic(f"--dsn {server.dsn(chain)!r} history --select 'tag:hotfix' --exclude 005_e")
        assert list(found["migration_name"]) == ["002_b"]
        assert magic("plan 002_b+").steps == ("003_c", "002_b")
        event = type("Event", (), {"line": "%migrollback history --select "})()
        assert {"002_b", "table:", "last:"} <= set(magic.complete(None, event))
    finally:
        magic.close()


def test_events_of_what_was_never_registered(db):
    db.snapshot("009_to_come")
    assert list(db.events("009_to_come.sql")["event"]) == ["snapshot_taken"]
    with pytest.raises(mr.MigrationNotFound):
        db.events("009_to_go")
    with pytest.raises(mr.MigrationNotFound):
        db.events(["009_to_come"])


def test_verify_grades_what_is_selected(db, write_migration, server, monkeypatch):
    for name, base in BASES.items():
        write_migration(name, text_of(name, base))
    found = db.verify(select="tag:hotfix", exclude="005_e", on=server.dsn())
    assert list(found["migration_name"]) == ["002_b"]
    with pytest.raises(mr.UsageError):
        mr.verify(db.folder_path, "001_a", select="tag:hotfix")
    asked = []
    monkeypatch.setattr("migrollback_nb.replay.proof.prove_folder", lambda _, names, **__: asked.append(names))
    db.proof(select="last:2 table:b")
    out = io.StringIO()
    monkeypatch.setattr(cli.app, "open_migrations", lambda *_, **__: pytest.fail("it connected"))
    cli.run(["--dir", str(db.folder_path), "verify", "--select", "002_b+"], out, out, io.StringIO())
    assert asked == [("002_b", "004_d", "005_e"), ["002_b", "003_c"]]
