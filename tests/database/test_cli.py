"""The command line: the specified words, JSON keys, exit statuses, and who is asked."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pg_servers import with_migrations, with_system
from rich.cells import cell_len

import migrollback_nb as mr
from migrollback_nb import cli

if TYPE_CHECKING:
    from pg_servers import Server

RULE = "─" * 76
QUEUE = """\
CREATE TABLE public.analytics_queue (id int PRIMARY KEY);

-- ROLLBACK START
DROP TABLE IF EXISTS public.analytics_queue;
-- ROLLBACK END
"""
ANALYTICS = """\
-- Depends on: 20250119_add_analytics_queue.sql
CREATE TABLE public.project_analytics (id int PRIMARY KEY, job int REFERENCES public.analytics_queue (id));

-- ROLLBACK START
DROP TABLE IF EXISTS public.project_analytics;
-- ROLLBACK END
"""


class Terminal(io.StringIO):
    """Standard input that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


@pytest.fixture
def run(database_dsn: str, folder: Path) -> Callable[..., Ran]:
    """Run the command line in this process on this test's database and folder."""

    def run_command(*argv: str, typed: str | None = None) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        stdin = io.StringIO() if typed is None else Terminal(typed)
        status = cli.run(["--dsn", database_dsn, "--dir", str(folder), *argv], out, err, stdin)
        return Ran(status, out.getvalue(), err.getvalue())

    return run_command


FILES = {"20250119_add_analytics_queue": QUEUE, "20250120_add_project_analytics": ANALYTICS}


@pytest.fixture(scope="module")
def analytics_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from with_migrations(server, tmp_path_factory.mktemp("analytics") / "migrations", FILES)


@pytest.fixture
def database_template(request: pytest.FixtureRequest, server: Server) -> str:
    return request.getfixturevalue("analytics_template") if "applied" in request.fixturenames else with_system(server)


@pytest.fixture
def applied(db: mr.Migrations, write_migration: Callable[[str, str], Path]) -> mr.Migrations:
    """The analytics queue and the project analytics that depend on it, applied."""
    for name, text in FILES.items():
        write_migration(name, text)
    return db


def test_list_prints_the_specified_columns(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    ran = run("list")
    lines = ran.out.splitlines()
    assert ran.status == 0
    assert lines[:4] == ["📋 Listing rollbackable migrations...", "", "Applied Migrations:", ""]
    assert set(lines[4]) == set(lines[6]) == set(lines[9]) == {"─"}
    assert len(lines[4]) == max(cell_len(line) for line in lines[5:9]), "as wide as the table"
    assert lines[5].split("  ") == [
        "Migration", *[""] * 10, " Can Rollback", "Applied At", *[""] * 6, " Has Rollback", "Verdict", *[""] * 3,
        "Blocking Reason",
    ]  # fmt: skip
    rows = {line.split()[0]: line for line in lines[7:9]}
    assert "❌ No " in rows["20250119_add_analytics_queue"]
    assert rows["20250119_add_analytics_queue"].endswith(
        "✅            blocked        Cannot rollback: other migrations depend on this one"
    )
    assert "✅ Yes " in rows["20250120_add_project_analytics"]
    assert rows["20250120_add_project_analytics"].endswith(" -")
    assert lines[-2:] == ["Total: 2 migrations", "Rollbackable: 1"]


def test_the_migration_of_the_system_itself_is_shown_when_asked_for(
    run: Callable[..., Ran], applied: mr.Migrations
) -> None:
    own = "20250120_migration_rollback_system"
    for command in ("list", "history"):
        for form in ("table", "json", "tsv"):
            assert own not in run(command, "--format", form).out
            assert own in run(command, "--system", "--format", form).out


def test_events_by_kind_and_time_the_newest_so_many_and_from_the_newest(
    run: Callable[..., Ran], applied: mr.Migrations
) -> None:
    def numbers(*words: str) -> list[int]:
        found = run("events", "--format", "json", *words).json
        assert isinstance(found, list)
        return [event["event_number"] for event in found]

    everything = numbers()
    assert everything == sorted(everything)
    assert len(everything) > 4
    assert numbers("--reverse") == everything[::-1]
    assert numbers("--limit", "2") == everything[-2:]
    assert numbers("--limit", "2", "--reverse") == everything[:-3:-1]
    assert numbers("--limit", "0") == numbers("--until", "2000") == []
    assert numbers("--since", "7d") == numbers("--since", "2000", "--until", "now") == everything
    kinds = {kind: numbers("--event", kind) for kind in ("applied", "registered")}
    assert all(kinds.values())
    assert numbers("--event", "applied", "--event", "registered") == sorted(
        number for found in kinds.values() for number in found
    )
    assert len(numbers("20250120_add_project_analytics", "--event", "applied")) == 1
    wrong = run("events", "--event", "aplied")
    assert (wrong.status, wrong.err.splitlines()[0]) == (2, "❌ There is no event aplied")
    assert "Did you mean applied" in wrong.err
    assert run("events", "--since", "soon").status == run("events", "--limit", "-1").status == 2


UNKNOWN = "❔ Not rehearsed: no rule forbids it, what it does is not known"
FOR_PEOPLE = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\b")
FOR_PROGRAMS = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00(?!\S)")
ANY_TIME = re.compile(r"(?<!\d)\d{1,2}:\d\d(?!\d)")


@pytest.mark.long
def test_the_same_time_never_has_two_forms(
    run: Callable[..., Ran], applied: mr.Migrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Kolkata")
    top = "20250120_add_project_analytics"
    with applied.database.connection.transaction():  # as the answer comes, in the session's own time zone
        (at,) = applied.database.connection.execute(
            "SELECT applied_at FROM migration_history WHERE migration_name = %s", (top,)
        ).fetchone()  # type: ignore[misc]  # there is one
    people = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    programs = at.astimezone(UTC).isoformat()
    for command in ("list", "history"):
        assert people in run(command).out
        assert programs in run(command, "--format", "tsv").out
        assert programs in run(command, "--format", "json").out
    run("rehearse", top)
    for told in (run("events").out, run("snapshots").out, run("deploys").out):
        assert FOR_PEOPLE.search(told)
        assert not ANY_TIME.search(FOR_PEOPLE.sub("", told))
    for command in ("events", "snapshots", "deploys"):
        for form in ("tsv", "json"):
            told = run(command, "--format", form).out
            assert FOR_PROGRAMS.search(told.replace('"', " "))
            assert not ANY_TIME.search(
                re.sub(r'"details".*?\}|\{.*?\}', "", FOR_PROGRAMS.sub("", told.replace('"', " ")))
            )


def test_check_says_why(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    good = run("check", "20250120_add_project_analytics")
    assert (good.status, good.out) == (
        0,
        (
            f"🔍 Checking rollback status for: 20250120_add_project_analytics\n\n{UNKNOWN}\n\n"
            "Status: ✅ Can rollback\nReason: Migration can be safely rolled back\n"
        ),
    )
    bad = run("check", "20250119_add_analytics_queue")
    assert (bad.status, bad.out) == (
        3,
        (
            "🔍 Checking rollback status for: 20250119_add_analytics_queue\n\n"
            "❌ Cannot rollback: other migrations depend on this one\n\nStatus: ❌ Cannot rollback\n"
            "Reason: Cannot rollback: other migrations depend on this one\n\n"
            "Dependent migrations (must be rolled back first):\n  - 20250120_add_project_analytics\n\n"
            "All of them with it, in one transaction:\n"
            "  migrollback rollback 20250119_add_analytics_queue --chain --dry-run\n"
        ),
    )


#: Each takes a name; X is one that is mistyped.
NAMING = (
    "check X", "rollback X", "rollback X --dry-run", "rollback X --confirm X", "rehearse X", "plan X", "deps X",
    "graph X", "graph X+", "resolve X --as applied --reason x", "verify-rollback X", "runbook X", "snapshots X",
    "diff X", "events X", "report X", "list --select X", "history --select X", "register X", "apply X", "template X",
    "verify X",
)  # fmt: skip


def test_every_command_guesses_what_a_mistyped_name_means(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    run("snapshot", "20250119_add_analytics_queue")  # so that there is one to compare with
    for words in NAMING:
        ran = run(*words.replace("X", "20250119_add_analytic_queue").split())
        assert ran.status in (1, 2), words
        assert "Did you mean 20250119_add_analytics_queue?" in ran.err, words


def test_unknown_name_is_told_to_programs_with_what_comes_close(
    run: Callable[..., Ran], applied: mr.Migrations
) -> None:
    mistyped = "20250119_add_analytic_queue"
    assert run("check", "nix", "--format", "json").json == {
        "migration_name": "nix",
        "can_rollback": False,
        "reason": "Migration not found",
        "dependent_migrations": [],
        "warnings": [],
        "verdict": None,
        "effects": [],
        "known_by": "nothing",
        "known_at": None,
        "similar": [],
    }
    for words in (["check", mistyped], ["rollback", mistyped, "--confirm", mistyped]):
        told = run(*words, "--format", "json").json
        assert isinstance(told, dict)
        assert told["similar"] == ["20250119_add_analytics_queue"]


def test_a_snapshot_for_what_is_not_registered_is_taken_and_the_name_doubted(
    run: Callable[..., Ran], applied: mr.Migrations
) -> None:
    ran = run("snapshot", "20250119_add_analytic_queue")
    assert (ran.status, ran.err) == (
        0,
        "⚠️  Taken for 20250119_add_analytic_queue, which is not registered."
        " Did you mean 20250119_add_analytics_queue?\n",
    )
    assert run("snapshot", "20260101_something_new").err == ""
    assert run("snapshot", "20250119_add_analytics_queue").err == ""
    assert run("snapshots", "20250119_add_analytic_queue").status == 0


def test_a_mistyped_label_is_told_with_what_comes_close(
    run: Callable[..., Ran], db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration("001_t", "CREATE TABLE t ();")
    db.apply(deploy="release-42")
    for words in (["rollback"], ["history"], ["last"], ["rehearse"]):
        ran = run(*words, "--deploy", "relaese-42")
        assert (ran.status, ran.err) == (
            2,
            "❌ There is no deploy relaese-42\nDid you mean release-42? migrollback deploys lists them.\n",
        )


def test_dry_run_shows_and_changes_nothing(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    before = applied.events()
    ran = run("rollback", "20250120_add_project_analytics", "--dry-run")
    assert ran.status == 0
    assert (
        ran.out == f"🔍 DRY RUN: Rolling back: 20250120_add_project_analytics\n\n{UNKNOWN}\n\n"
        "✅ Dry run: rollback SQL shown below (not"
        f" executed)\n\nSQL that would be executed:\n{RULE}\nDROP TABLE IF EXISTS"
        f" public.project_analytics;\n{RULE}\n"
    )
    assert len(applied.events()) == len(before)


def test_rollback_asks_on_a_terminal(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    ran = run("rollback", "20250120_add_project_analytics", "--reason", "INC-42", typed="yes\n")
    assert ran.status == 0
    heading, question, rest = ran.out.partition("⚠️  Are you sure you want to rollback this migration? (yes/no): ")
    assert heading.startswith("⚠️ Rolling back: 20250120_add_project_analytics\n\n")
    assert question
    assert (
        rest == "\n✅ Restored: what it created is gone, what it dropped is back\n\n"
        f"✅ Migration rolled back successfully\n\nSQL executed:\n{RULE}\nDROP TABLE IF EXISTS"
        f" public.project_analytics;\n{RULE}\n\n✅ Restored: what it created is gone, what it dropped is back\n"
    )
    assert applied.history(status="rolled_back").notes.tolist() == ["INC-42"]


@pytest.mark.few(2)
@pytest.mark.parametrize("typed", ["no\n", "y\n", "\n", ""])
def test_anything_but_yes_changes_nothing(run: Callable[..., Ran], applied: mr.Migrations, typed: str) -> None:
    ran = run("rollback", "20250120_add_project_analytics", typed=typed)
    assert ran.status == 3
    assert applied.check("20250120_add_project_analytics").can_rollback


def test_control_c_at_the_question_says_that_nothing_was_changed(database_dsn: str, applied: mr.Migrations) -> None:
    class Interrupted(Terminal):
        def readline(self, *_: object) -> str:  # type: ignore[override]  # as a person who presses Ctrl-C there
            raise KeyboardInterrupt

    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["rollback", "20250120_add_project_analytics", "--dsn", database_dsn], out, err, Interrupted()) == 1
    assert err.getvalue() == "\n❌ Interrupted. Not confirmed: nothing was changed.\n"
    assert applied.check("20250120_add_project_analytics").can_rollback


def test_without_a_terminal_a_name_must_confirm(
    run: Callable[..., Ran], applied: mr.Migrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "20250120_add_project_analytics"
    assert run("rollback", name).status == 2
    wrong = run("rollback", name, "--confirm", "20250119_add_analytics_queue")
    assert wrong.status == 2
    assert applied.check(name).can_rollback
    monkeypatch.setenv("MIGROLLBACK_CONFIRM", f"other, {name}")
    assert run("rollback", name).status == 0
    assert not applied.check(name).can_rollback


def test_rollback_gives_json(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    refused = run(
        "rollback", "20250119_add_analytics_queue", "--confirm", "20250119_add_analytics_queue", "--format", "json"
    )
    assert refused.status == 3
    assert refused.json == {
        "success": False,
        "message": "Cannot rollback: other migrations depend on this one",
        "sql_executed": None,
        "migration_name": "20250119_add_analytics_queue",
        "dependent_migrations": ["20250120_add_project_analytics"],
    }
    done = run(
        "rollback", "20250120_add_project_analytics", "--confirm", "20250120_add_project_analytics", "--format", "json"
    )
    assert done.status == 0
    assert isinstance(done.json, dict)
    assert done.json["success"] is True
    assert done.json["message"] == "Migration rolled back successfully"
    assert done.json["sql_executed"] == "DROP TABLE IF EXISTS public.project_analytics;"
    assert done.json["migration_name"] == "20250120_add_project_analytics"


def test_failed_rollback_exits_1_and_resolve_is_the_next_step(
    run: Callable[..., Ran], db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration(
        "20250121_bad", "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\nDROP TABLE nix;\n-- ROLLBACK END\n"
    )
    db.apply()
    ran = run("rollback", "20250121_bad", "--confirm", "20250121_bad", "--format", "json")
    assert ran.status == 1
    assert isinstance(ran.json, dict)
    assert (ran.json["success"], ran.json["sqlstate"], ran.json["statement_number"]) == (False, "42P01", 2)
    assert "DROP TABLE nix" in ran.err
    assert run("check", "20250121_bad").status == 3
    assert run("resolve", "20250121_bad", "--as", "applied", "--reason", "rollback block mended").status == 0
    assert run("check", "20250121_bad").status == 0


def test_register_and_sync_print_the_specified_words(
    run: Callable[..., Ran], db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration("20250119_add_analytics_queue", QUEUE)
    write_migration("20250120_no_rollback", "CREATE TABLE t ();\n")
    assert (
        run("register", "20250119_add_analytics_queue").out
        == "📝 Registering migration: 20250119_add_analytics_queue\n✅ Migration registered successfully\n   Rollback"
        " SQL: ✅ Available\n"
    )
    write_migration("20250121_bad", "CREATE TABLE t ();\n-- ROLLBACK START\n")
    ran = run("sync")
    assert ran.status == 1
    assert (
        ran.out
        == "🔄 Syncing migration files with database...\n\n📝 Registering: 20250120_no_rollback.sql\n   ✅ Registered"
        " (Rollback: No)\n\n⚠️  Sync complete: 1 registered, 1 skipped, 1 failed\n"
    )
    assert "20250121_bad.sql:2: -- ROLLBACK START without -- ROLLBACK END" in ran.err
    (db.folder.path / "20250121_bad.sql").unlink()
    again = run("sync")
    assert (again.status, again.out.splitlines()[-1]) == (0, "✅ Sync complete: 0 registered, 2 skipped")
    assert run("sync", "--format", "json").json == {
        "registered": [],
        "skipped": ["20250119_add_analytics_queue", "20250120_no_rollback"],
        "failed": [],
        "warnings": [],
    }


def test_template_prints_the_specified_words(
    run: Callable[..., Ran], db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration("20250120_x", "CREATE TABLE t ();\n")
    out = run("template", "20250120_x").out
    assert out.startswith(
        f"📝 Generating rollback template for: 20250120_x\n\nSuggested rollback template:\n{RULE}\n-- ROLLBACK START\n"
    )
    assert out.endswith(f"-- ROLLBACK END\n{RULE}\n\n💡 Add this to your migration file and adjust as needed\n")


def test_list_as_json_and_tsv_has_the_columns_of_the_function(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    columns = [
        "migration_name",
        "migration_version",
        "applied_at",
        "status",
        "can_rollback",
        "has_rollback_sql",
        "blocking_reason",
        "dependent_migrations",
        "verdict",
        "headline",
    ]
    rows = run("list", "--format", "json").json
    assert isinstance(rows, list)
    assert [list(row) for row in rows] == [columns] * 2
    assert rows[1]["dependent_migrations"] == ["20250120_add_project_analytics"]
    assert datetime.fromisoformat(rows[0]["applied_at"]).tzinfo is not None
    lines = run("--format", "tsv", "list").out.splitlines()
    assert lines[0].split("\t") == columns
    assert all(len(line.split("\t")) == len(columns) for line in lines)


def test_tsv_keeps_one_line_for_each_row(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    applied.rollback("20250120_add_project_analytics", confirm="20250120_add_project_analytics", reason="a\tb\nc\\d")
    lines = run("history", "--status", "rolled_back", "--format", "tsv").out.splitlines()
    assert len(lines) == 2
    assert r"a\tb\nc\\d" in lines[1].split("\t")


def test_options_count_before_and_after_the_command(database_dsn: str, folder: Path, applied: mr.Migrations) -> None:
    out = io.StringIO()
    assert (
        cli.run(
            ["--format", "table", "list", "--format", "json", "--dsn", database_dsn], out, io.StringIO(), io.StringIO()
        )
        == 0
    )
    assert len(json.loads(out.getvalue())) == 2


def test_chain_shows_the_order_and_runs_in_one_go(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    ran = run("rollback", "20250119_add_analytics_queue", "--chain", "--confirm", "20250119_add_analytics_queue")
    assert ran.status == 0
    assert (
        "Order of the rollback, in one transaction:\n  1. 20250120_add_project_analytics\n  2."
        " 20250119_add_analytics_queue\n" in ran.out
    )
    assert applied.history(status="applied").empty


def test_changed_file_is_warned_of(
    run: Callable[..., Ran], applied: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration("20250120_add_project_analytics", ANALYTICS + "-- edited\n")
    for command in (
        ["check", "20250120_add_project_analytics"],
        ["rollback", "20250120_add_project_analytics", "--confirm", "20250120_add_project_analytics"],
    ):
        ran = run(*command)
        assert ran.status == 0
        assert "was changed after it was registered" in ran.err


def test_old_preview_is_refused(
    run: Callable[..., Ran], applied: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    name = "20250120_add_project_analytics"
    found = run("rollback", name, "--dry-run", "--format", "json").json
    assert isinstance(found, dict)
    write_migration(name, ANALYTICS.replace("DROP TABLE", "DROP  TABLE"))
    assert run("register", name).status == 0
    ran = run("rollback", name, "--confirm", name, "--preview", found["fingerprint"])
    assert ran.status == 3
    assert "changed since the preview" in ran.err


def test_last_is_one_name(
    run: Callable[..., Ran], db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    assert (run("last").status, run("last").out) == (1, "")
    write_migration("20250119_add_analytics_queue", QUEUE)
    db.apply()
    assert (run("last").status, run("last").out) == (0, "20250119_add_analytics_queue\n")


def test_history_deps_plan_events(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    assert "20250120_add_project_analytics" in run("history", "--since", "7d").out
    assert run("history", "--since", "soon").status == 2
    assert run("history", "--without-rollback", "--format", "json").json == []
    rows = run("deps", "--format", "json").json
    assert [(row["migration_name"], row["depends_on"]) for row in rows] == [
        ("20250120_add_project_analytics", "20250119_add_analytics_queue")
    ]  # type: ignore[attr-defined]
    assert run("deps", "20250119_add_analytics_queue", "--format", "dot").out.startswith("digraph migrations {")
    assert "<svg" in run("deps", "--format", "svg").out
    assert run("list", "--format", "svg").status == 2
    assert (
        "1. 20250120_add_project_analytics\n  2. 20250119_add_analytics_queue"
        in run("plan", "20250119_add_analytics_queue").out
    )
    assert "✅ The audit log is intact" in run("events", "--verify").out
    assert "applied" in run("events", "20250119_add_analytics_queue").out


def test_without_a_connection_nothing_is_fallen_back_on() -> None:
    err = io.StringIO()
    assert cli.run(["list"], io.StringIO(), err, io.StringIO()) == 2
    assert "--dsn embedded" in err.getvalue()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:pa@ss@host/db",
        "postgresql+psycopg://u:s3cret@host/db",
        "postgresql://u:s3cret%zz@host/db",
        "host=x s3cret",
    ],
)
def test_no_password_in_an_error(dsn: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["list", "--dsn", dsn], out, err, io.StringIO()) == 2
    for secret in ("s3cret", "pa@ss", "ss@host"):
        assert secret not in out.getvalue() + err.getvalue()


def test_not_installed_says_how(empty_dsn: str) -> None:
    err = io.StringIO()
    assert cli.run(["list", "--dsn", empty_dsn], io.StringIO(), err, io.StringIO()) == 1
    assert "migrollback install" in err.getvalue()


def test_install_says_what_it_did(empty_dsn: str) -> None:
    for expected in ("installed: 20250120_migration_rollback_system", "is complete already"):
        out = io.StringIO()
        assert cli.run(["install", "--dsn", empty_dsn, "--schema", "ops"], out, io.StringIO(), io.StringIO()) == 0
        assert expected in out.getvalue()


def test_hostile_names_do_not_reach_the_terminal_raw(run: Callable[..., Ran], db: mr.Migrations) -> None:
    name = "1_\x1b[2J\u202eevil"
    db.database.connection.execute(
        "INSERT INTO migration_history (migration_name, migration_version) VALUES (%s, '1')", (name,)
    )
    for command in (["list"], ["history"], ["check", name], ["deps"], ["events"]):
        ran = run(*command)
        assert "\x1b" not in ran.out + ran.err
        assert "\u202e" not in ran.out + ran.err


# -- snapshots ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_snapshot_and_diff(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    taken = run("snapshot", "20250120_add_project_analytics", "before the incident")
    assert taken.status == 0
    snapshot = taken.out.strip()
    same = run("diff", snapshot)
    assert (same.status, same.out.splitlines()[0].endswith("-> now: no difference")) == (0, True)
    assert "(20250120_add_project_analytics: before the incident)" in same.out
    applied.database.connection.execute("CREATE TABLE by_hand (a int)")
    other = run("diff", snapshot[:18], "now")
    assert other.status == 1
    assert [line for line in other.out.splitlines() if line.startswith("+")] == [
        "+++ now",
        "+CREATE TABLE public.by_hand (",
        "+    a integer",
        "+);",
    ]
    as_json = json.loads(run("diff", snapshot, "--format", "json").out)
    assert [change["identity"] for change in as_json["changes"]] == ["public.by_hand.a", "public.by_hand"]
    assert run("diff", "nonsense").status == 2
    rows = json.loads(run("snapshots", "20250120_add_project_analytics", "--format", "json").out)
    assert rows[0]["id"] == snapshot
    assert rows[0]["objects"] > 10


def test_rollback_says_what_is_not_as_before(
    run: Callable[..., Ran], db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration(
        "001_t", "CREATE TABLE t (); CREATE SEQUENCE s;\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n"
    )
    db.apply()
    ran = run("rollback", "001_t", "--confirm", "001_t")
    assert ran.status == 0
    assert (
        "⚠️ Not restored: 1 object is not as before it was applied\n   not as before: + sequence public.s\n" in ran.out
    )


def test_snapshots_can_be_left_out(
    run: Callable[..., Ran], db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration("001_t", "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    assert run("apply", "--snapshots", "none").status == 0
    as_json = json.loads(run("rollback", "001_t", "--confirm", "001_t", "--snapshots", "none", "--format", "json").out)
    assert as_json["verification"] is None
    assert db.snapshots().empty


@pytest.mark.long
def test_an_apply_that_fails_tells_programs_what_is_applied(
    run: Callable[..., Ran], write_migration: Callable[[str, str], Path]
) -> None:
    write_migration("001_a", "CREATE TABLE a ();")
    write_migration("002_b", "SELECT 1; SELECT 1/0;")
    ran = run("apply", "--format", "json")
    assert ran.status == 1
    told = json.loads(ran.out)
    assert "division by zero" in told.pop("message")
    assert told == {
        "error": "ApplyFailed",
        "hint": "Everything it did was undone.\nApplied before it, and still applied: 001_a.",
        "migration_name": "002_b",
        "applied": ["001_a"],
        "sqlstate": "22012",
        "statement_number": 2,
    }
    assert run("apply", "001_a", "--format", "json").json == {"applied": [], "skipped": ["001_a"], "warnings": []}
    assert json.loads(run("apply", "004_none", "--format", "json").out)["applied"] == []


@pytest.mark.few(1)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
@pytest.mark.parametrize(
    "words", [["list"], ["last"], ["rollback", "001_a", "--confirm", "001_a"], ["install", "--print"]]
)
def test_output_that_cannot_be_written_is_one_clear_error(db, write_migration, database_dsn, folder, words):
    write_migration("001_a", "CREATE TABLE a ();\n-- ROLLBACK START\nDROP TABLE a;\n-- ROLLBACK END\n")
    db.apply()
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "migrollback_nb.cli", *words, "--dsn", database_dsn, "--dir", str(folder)]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert "❌ The output cannot be written: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


# -- what a person reads -----------------------------------------------------------------------------------------------


def test_a_plan_of_one_says_that_it_goes_alone(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    ran = run("plan", "20250120_add_project_analytics")
    assert (ran.status, ran.out) == (
        0,
        f"{UNKNOWN}\n\n20250120_add_project_analytics would be rolled back alone: nothing applied depends on it\n",
    )


@pytest.mark.long
def test_a_diff_as_tab_separated_text_has_a_line_for_each_change(
    run: Callable[..., Ran], applied: mr.Migrations
) -> None:
    columns = "change\tkind\tidentity\told_definition\tnew_definition"
    snapshot = run("snapshot", "20250120_add_project_analytics").out.strip()
    assert run("diff", snapshot, "--format", "tsv").out.splitlines() == [columns]
    applied.database.connection.execute("CREATE TABLE by_hand (a int)")
    ran = run("diff", snapshot, "--format", "tsv")
    assert ran.status == 1
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert [line[:3] for line in lines[1:]] == [
        ["created", "column", "public.by_hand.a"],
        ["created", "table", "public.by_hand"],
    ]
    assert json.loads(lines[1][4]) == {"type": "integer"}


@pytest.mark.long
@pytest.mark.parametrize("name", ['001_it\'s "odd", $HOME', "001_plain"])
def test_how_to_confirm_can_be_pasted_into_a_shell(
    run: Callable[..., Ran],
    db: mr.Migrations,
    write_migration: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    write_migration(name, "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    db.apply()
    hint = run("rollback", name).err.splitlines()[-1]
    words = shlex.split(hint.partition("Confirm with ")[2].partition(", or put")[0])
    assert words == ["--confirm", name]
    assert hint.endswith("MIGROLLBACK_CONFIRM.")
    monkeypatch.setenv("MIGROLLBACK_CONFIRM", name)
    assert run("rollback", name).status == 0


@pytest.mark.long
def test_with_json_the_question_is_no_part_of_the_result(run: Callable[..., Ran], applied: mr.Migrations) -> None:
    ran = run("rollback", "20250119_add_analytics_queue", "--chain", "--format", "json", typed="yes\n")
    assert ran.status == 0
    assert ran.json["success"]  # type: ignore[call-overload,index]  # json is an object or an array
    assert "Are you sure" in ran.err
    assert "1. 20250120_add_project_analytics" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["check", "a\udcff"],
        ["list", "--schema", "\udcff"],
        ["rollback", "a", "--confirm", "a", "--reason", "Gr\udcfc\udcdfe"],
    ],
)
def test_words_that_are_not_utf8_are_refused_in_words(words: list[str]) -> None:
    err = io.StringIO()
    assert cli.run(words, io.StringIO(), err, io.StringIO()) == 2
    assert "is not UTF-8" in err.getvalue()
    err.getvalue().encode()


@pytest.mark.parametrize(
    "words",
    [["--dsn", "dbname=mine", "demo"], ["--format", "json", "demo"], ["demo", "--dir", "x"], ["--schema", "x", "lab"]],
)
def test_demo_and_lab_do_not_pass_over_options_that_they_cannot_follow(words: list[str]) -> None:
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert cli.run(words, io.StringIO(), err, io.StringIO()) == 2
    assert any(word in err.getvalue() for word in words if word.startswith("--"))


@pytest.mark.long
def test_a_path_as_a_shell_completes_it_is_understood(
    database_dsn: str, applied: mr.Migrations, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.delenv("MIGROLLBACK_DIR", raising=False)
    path = f"{folder.name}/20250120_add_project_analytics.sql"
    with (folder / "20250120_add_project_analytics.sql").open("a") as file:
        file.write("-- changed\n")
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["check", path, "--dsn", database_dsn], out, err) == 0
    assert "Checking rollback status for: 20250120_add_project_analytics\n" in out.getvalue()
    assert "was changed after it was registered" in err.getvalue(), "the folder of the path is looked into"
    assert applied.check("20250120_add_project_analytics").can_rollback


@pytest.mark.long
@pytest.mark.parametrize(("text", "status"), [("CREATE TABLE t ();", 0), ("DELETE FROM pg_temp.nothing;", 1)])
def test_a_template_whose_proof_fails_ends_with_1(
    run: Callable[..., Ran], write_migration: Callable[[str, str], Path], database_dsn: str, text: str, status: int
) -> None:
    write_migration("001_x", f"CREATE TEMP TABLE nothing (a int);\n{text}" if status else text)
    ran = run("template", "001_x", "--prove", "--on", database_dsn)
    assert "Tried on a scratch database: " in ran.out
    assert ran.status == status, ran.out


@pytest.mark.parametrize("confirm", [True, None, 7])
def test_what_confirms_nothing_is_said_to(applied: mr.Migrations, confirm: object) -> None:
    name = "20250120_add_project_analytics"
    with pytest.raises(mr.ConfirmationRequired) as caught:
        applied.rollback(name, confirm=confirm)  # type: ignore[call-overload]  # that is the mistake
    assert f"confirm={confirm!r} names nothing" in caught.value.message
    assert caught.value.hint == f"Confirm by its name: {name}"


@pytest.mark.long
def test_a_warning_is_printed_once_in_a_rollback(run: Callable[..., Ran], applied: mr.Migrations, folder: Path) -> None:
    name = "20250120_add_project_analytics"
    with (folder / f"{name}.sql").open("a") as file:
        file.write("-- changed\n")
    ran = run("rollback", name, "--confirm", name)
    assert ran.status == 0, ran.err
    assert applied.history(status="rolled_back")["migration_name"].tolist() == [name]
    assert ran.err.count("was changed after it was registered") == 1


def test_check_loads_neither_the_parser_nor_pandas(database_dsn: str, applied: mr.Migrations, folder: Path) -> None:
    words = ["check", "20250120_add_project_analytics", "--dsn", database_dsn, "--dir", str(folder)]
    code = f"import sys; from migrollback_nb.cli import run; print(run({words!r}), *sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    status, *loaded = ended.stdout.splitlines()[-1].split()
    assert status == "0"
    assert applied.target.database in database_dsn
    assert not {"postgast", "pandas", "graphviz", "IPython", "tqdm", "jinja2"} & set(loaded)
