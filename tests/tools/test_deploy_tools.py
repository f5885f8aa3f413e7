"""Beside real deploy tools: what they applied is registered, what is rolled back here they apply again, what is
applied here they leave alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from watching import exists, last_event, status

import migrollback_nb as mr

PROGRAMS = Path(__file__).parents[1] / "deploy_tools" / "node_modules" / ".bin"
NAMES = ("20250120000000_a", "20250121000000_b")
#: When and by whom a change was put into a plan of Sqitch.
PLANNED = "2024-01-01T00:00:00Z Me <me@example.com>"


class Tool(ABC):
    """One deploy tool and a folder of its own with two migrations, each of one table."""

    program: str
    names = NAMES

    def __init__(self, root: Path, dsn: str) -> None:
        self.root = root
        self.folder = root / "migrations"
        self.folder.mkdir()
        self.dsn = {"port": "5432"} | {key: str(value) for key, value in psycopg.conninfo.conninfo_to_dict(dsn).items()}

    def write(self, place: int) -> str:
        """Write the file of the first or the second migration; its name."""
        name, table = self.names[place], "ab"[place]
        for path, text in self.files(name, f"CREATE TABLE {table} ();", f"DROP TABLE {table};").items():
            (self.folder / path).write_text(text)
        return name

    @abstractmethod
    def files(self, name: str, up: str, down: str) -> dict[str, str]:
        """File -> text of one migration in the tool's form."""

    @abstractmethod
    def up(self) -> None:
        """Let the tool apply all that it takes for pending."""

    @abstractmethod
    def down(self) -> None:
        """Let the tool undo the newest."""

    def run(self, *arguments: str, program: str | None = None, **environment: str) -> None:
        done = subprocess.run(
            [program or str(PROGRAMS / self.program), *arguments],
            check=False,
            cwd=self.root,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{self.program} {arguments}: {done.stdout}{done.stderr}"

    @property
    def url(self) -> str:
        return f"postgres://{self.dsn['user']}@localhost:{self.dsn['port']}/{self.dsn['dbname']}?host={self.dsn['host']}&sslmode=disable"


class Dbmate(Tool):
    program = "dbmate"

    def files(self, name, up, down):
        return {f"{name}.sql": f"-- migrate:up\n{up}\n\n-- migrate:down\n{down}\n"}

    def _run(self, command):
        url = f"postgres://{self.dsn['user']}@/{self.dsn['dbname']}?host={self.dsn['host']}&port={self.dsn['port']}&sslmode=disable"
        self.run("--url", url, "--migrations-dir", str(self.folder), "--no-dump-schema", command)

    def up(self):
        self._run("migrate")

    def down(self):
        self._run("down")


class NodePgMigrate(Tool):
    program = "node-pg-migrate"
    names = ("1700000000000_a", "1700000000001_b")

    def files(self, name, up, down):
        return {f"{name}.sql": f"-- Up Migration\n{up}\n\n-- Down Migration\n{down}\n"}

    def _run(self, command):
        self.run(
            command,
            "-m",
            str(self.folder),
            PGHOST=self.dsn["host"],
            PGPORT=self.dsn["port"],
            PGUSER=self.dsn["user"],
            PGDATABASE=self.dsn["dbname"],
        )

    def up(self):
        self._run("up")

    def down(self):
        self._run("down")


class Postgrator(Tool):
    program = "postgrator"
    names = ("001.do.a", "002.do.b")

    def files(self, name, up, down):
        return {f"{name}.sql": f"{up}\n", f"{name.replace('do', 'undo')}.sql": f"{down}\n"}

    def _run(self, *arguments):
        options = {
            "--host": self.dsn["host"],
            "--port": self.dsn["port"],
            "--username": self.dsn["user"],
            "--database": self.dsn["dbname"],
            "--driver": "pg",
        }
        self.run(
            *arguments,
            *(word for option in options.items() for word in option),
            "--migration-pattern",
            f"{self.folder}/*",
            "--validate-checksum",
        )

    def up(self):
        self._run()

    def down(self):
        self._run("1")


class Yoyo(Tool):
    program = "yoyo"
    names = ("a", "b")

    def files(self, name, up, down):
        return {f"{name}.sql": f"-- depends: {'a' if name == 'b' else ''}\n{up}\n", f"{name}.rollback.sql": f"{down}\n"}

    def _run(self, *arguments):
        url = f"postgresql+psycopg://{self.dsn['user']}@/{self.dsn['dbname']}?host={self.dsn['host']}&port={self.dsn['port']}"
        self.run(
            *arguments,
            "--batch",
            "--no-config-file",
            "--database",
            url,
            str(self.folder),
            program=shutil.which("yoyo", path=Path(sys.executable).parent),
        )

    def up(self):
        self._run("apply")

    def down(self):
        self._run("rollback", "--revision", "b")


class Sqitch(Tool):
    program = "sqitch"
    names = ("a", "b")

    def __init__(self, root, dsn):
        super().__init__(root, dsn)
        (self.folder / "sqitch.conf").write_text(
            "[core]\n    engine = pg\n[user]\n    name = Me\n    email = me@example.com\n"
        )
        self.plan = "%syntax-version=1.0.0\n%project=shop\n\n"
        for part in ("deploy", "revert"):
            (self.folder / part).mkdir()

    def files(self, name, up, down):
        self.plan += f"{name} {'[a] ' if name == 'b' else ''}2024-01-01T00:00:00Z Me <me@example.com> # one table\n"
        return {
            "sqitch.plan": self.plan,
            f"deploy/{name}.sql": f"-- Deploy shop:{name} to pg\n\nBEGIN;\n{up}\nCOMMIT;\n",
            f"revert/{name}.sql": f"-- Revert shop:{name} from pg\n\nBEGIN;\n{down}\nCOMMIT;\n",
        }

    def _run(self, command, *arguments):
        url = f"db:pg://{self.dsn['user']}@/{self.dsn['dbname']}?host={self.dsn['host']}&port={self.dsn['port']}"
        self.run("--chdir", str(self.folder), command, *arguments, url, program=shutil.which("sqitch"))

    def up(self):
        self._run("deploy")

    def down(self):
        self._run("revert", "-y", "--to", "a")


class Supabase(Tool):
    program = "supabase"

    def __init__(self, root, dsn):
        super().__init__(root, dsn)
        (root / "supabase").mkdir()
        self.folder = self.folder.rename(root / "supabase" / "migrations")

    def files(self, name, up, down):
        return {f"{name}.sql": f"{up}\n-- ROLLBACK START\n-- {down}\n-- ROLLBACK END\n"}

    def up(self):
        self.run(
            "migration",
            "up",
            "--include-all",
            "--yes",
            f"--remote={self.url}",
            HOME=str(self.root),
            SUPABASE_TELEMETRY_DISABLED="1",
        )

    def down(self):
        self.run(
            "migration",
            "repair",
            "--status",
            "reverted",
            self.names[1].partition("_")[0],
            "--yes",
            f"--remote={self.url}",
            HOME=str(self.root),
        )


@pytest.fixture(params=[Dbmate, NodePgMigrate, Postgrator, Yoyo, Sqitch, Supabase], ids=lambda tool: tool.program)
def tool(request: pytest.FixtureRequest, tmp_path: Path, database_dsn: str) -> Tool:
    if not os.environ.get("REQUIRE_DEPLOY_TOOLS"):
        if request.param is Sqitch and shutil.which("sqitch") is None:
            pytest.skip("this machine has no sqitch (apt-get install sqitch libdbd-pg-perl)")
        if request.param not in (Yoyo, Sqitch) and not (PROGRAMS / request.param.program).exists():
            pytest.skip(f"this machine has no {request.param.program} (npm install --prefix tests/deploy_tools)")
    return request.param(tmp_path, database_dsn)


@pytest.fixture
def beside(tool: Tool, database_dsn: str) -> Iterator[mr.Migrations]:
    """The migrations of the tool's folder."""
    with mr.connect(database_dsn, dir=tool.folder) as migrations:
        yield migrations


@pytest.mark.few(2)
def test_what_the_tool_applied_is_registered_and_what_it_did_not_is_left_out(tool, beside):
    first = tool.write(0)
    tool.up()
    second = tool.write(1)
    found = beside.sync()
    assert [one.migration_name for one in found.registered] == [first]
    assert (found.not_applied, found.failed) == ((second,), ())
    (left_out,) = found.warnings
    assert left_out.startswith("Not applied, as the ledger ")
    assert left_out.endswith(second)
    tool.up()
    assert [one.migration_name for one in beside.sync().registered] == [second]
    assert beside.check(second).can_rollback
    assert beside.check(second).warnings == ()
    assert list(beside.list()["migration_name"])[:2] == [second, first]


@pytest.mark.few(2)
def test_what_is_rolled_back_here_the_tool_applies_again(tool, beside, session):
    names = tool.write(0), tool.write(1)
    tool.up()
    beside.sync()
    done = beside.rollback(names[1], confirm=names[1], reason="trial")
    assert done.success
    assert (exists(session(), "a"), exists(session(), "b")) == (True, False)
    assert beside.sync().applied_again == ()
    tool.up()
    assert exists(session(), "b")
    # before it is recorded: check, rollback, list and last ask the ledger, and say what it knows better
    check = beside.check(names[1])
    assert (check.can_rollback, check.reason) == (False, "Already rolled back, cannot rollback again")
    (warning,) = check.warnings
    assert "holds it again: its deploy tool applied it after its rollback. Run migrollback sync" in warning
    with pytest.raises(mr.Refused, match="Already rolled back") as caught:
        beside.rollback(names[1], confirm=names[1])
    assert "Run migrollback sync" in caught.value.hint
    assert beside.list().attrs["warnings"] == (f"{names[1]}: {warning}",)
    assert (beside.last().migration_name, beside.last().warnings) == (names[1], (f"{names[1]}: {warning}",))
    found = beside.sync(deploy="again")
    assert (found.applied_again, found.registered, found.warnings) == ((names[1],), (), ())
    assert last_event(session())["event"] == "applied_again"
    assert beside.check(names[1]).warnings == ()
    assert beside.last().migration_name == names[1]
    assert beside.sync().applied_again == ()
    assert beside.rollback(deploy="again", confirm="again").success
    assert (exists(session(), "a"), exists(session(), "b")) == (True, False)


@pytest.mark.few(1)
def test_what_the_tool_undid_itself_is_said_and_recorded_once(tool, beside, session):
    names = tool.write(0), tool.write(1)
    tool.up()
    beside.sync()
    tool.down()
    for _ in range(2):
        (warning,) = beside.sync().warnings
        assert "does not hold them" in warning
        assert names[1] in warning
    events = [
        event
        for (event,) in session().execute("SELECT event FROM migration_events WHERE migration_name = %s", (names[1],))
    ]
    assert events.count("missing_in_ledger") == 1
    assert [names[1] in warning for warning in beside.list().attrs["warnings"]] == [True]
    assert any("does not hold it" in warning for warning in beside.check(names[1]).warnings)
    assert any("does not hold it" in warning for warning in beside.last().warnings)
    # supabase's repair changes the ledger alone
    beside.resolve(names[1], status="rolled_back", reason="undone by the tool", force=exists(session(), "b"))
    assert beside.list().attrs["warnings"] == ()
    session().execute("DROP TABLE IF EXISTS b")
    tool.up()
    assert beside.sync().applied_again == (names[1],)


@pytest.mark.long
@pytest.mark.parametrize("tool", [Dbmate, Supabase], ids=lambda tool: tool.program, indirect=True)
def test_a_status_that_contradicts_the_ledger_is_said_and_resolved_in_both_directions(tool, beside, session):
    name = tool.write(0)
    tool.up()
    beside.sync()
    connection = session()
    connection.execute("UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = %s", (name,))
    found = beside.sync()
    assert found.applied_again == ()
    (warning,) = found.warnings
    assert f"migrollback resolve {name} --as applied|rolled_back" in warning
    assert status(connection, name) == "rolled_back"
    held = f"SELECT count(*) FROM {'supabase_migrations.' if isinstance(tool, Supabase) else ''}schema_migrations"
    beside.resolve(name, status="rolled_back", reason="it is gone")  # the status is so already: the ledger is told
    assert connection.execute(held).fetchone() == (0,)
    assert beside.sync().warnings == ()
    beside.resolve(name, status="applied", reason="it is there after all")
    assert connection.execute(held).fetchone() == (1,)
    with pytest.raises(mr.Refused, match="is applied already"):
        beside.resolve(name, status="applied", reason="once more")


@pytest.mark.few(1)
def test_a_chain_of_all_of_it_leaves_nothing_that_the_tool_takes_for_applied(tool, beside, session):
    names = tool.write(0), tool.write(1)
    tool.up()
    beside.sync()
    for name in reversed(names):
        assert beside.rollback(name, confirm=name, reason="trial").success
    tool.up()
    assert (exists(session(), "a"), exists(session(), "b")) == (True, True)


@pytest.mark.few(2)
def test_what_is_applied_here_the_tool_leaves_alone(tool, beside, session):
    if tool.program == "sqitch":
        pytest.skip("only Sqitch can write its ledger: see test_what_only_the_tool_can_record_it_is_left_to_apply")
    tool.write(0)
    tool.up()  # makes its ledger
    first, second = beside.sync().registered[0].migration_name, tool.write(1)
    assert beside.apply().applied == (second,)
    assert last_event(session())["details"]["ledger"]["inserted"]
    tool.up()  # would fail: the table is there
    assert beside.check(second).warnings == ()
    tool.down()
    assert exists(session(), "b") is (tool.program == "supabase")  # there only the ledger forgets
    assert status(session(), first) == "applied"


@pytest.mark.few(1)
def test_what_the_tool_applied_is_not_run_a_second_time(tool, beside, session):
    name = tool.write(0)
    tool.up()
    with pytest.raises(mr.Refused, match=f"{name} is applied already, as the ledger .* says") as caught:
        beside.apply()
    assert "migrollback sync" in caught.value.hint


@pytest.mark.few(1)
def test_what_the_tool_undid_is_noticed(tool, beside):
    if tool.program == "supabase":
        pytest.skip(
            "our own format does not say that it is Supabase's: one migration that its ledger does not know may be none"
            " of its concern"
        )
    tool.write(0)
    second = tool.write(1)
    tool.up()
    beside.sync()
    tool.down()
    assert any("has undone it, or never applied it" in warning for warning in beside.check(second).warnings)


@pytest.mark.few(2)
def test_a_rollback_that_fails_leaves_the_ledger(tool, beside, session):
    tool.write(0)
    second = tool.write(1)
    tool.up()
    beside.sync()
    session().execute("ALTER TABLE b RENAME TO elsewhere")
    with pytest.raises(mr.RollbackFailed):
        beside.rollback(second, confirm=second, reason="trial")
    tool.up()  # does nothing: a second CREATE TABLE would not fail either, the table has another name
    assert not exists(session(), "b")


@pytest.mark.parametrize("tool", [Sqitch], ids=["sqitch"], indirect=True)
def test_what_only_the_tool_can_record_it_is_left_to_apply(tool, beside, session):
    tool.write(0)
    tool.up()
    beside.sync()
    tool.write(1)
    with pytest.raises(mr.ApplyFailed, match=r"only its own tool can write the ledger sqitch\.changes"):
        beside.apply()
    assert not exists(session(), "b")


@pytest.mark.parametrize("tool", [Sqitch], ids=["sqitch"], indirect=True)
def test_its_own_log_tells_of_the_rollback(tool, beside, session):
    names = tool.write(0), tool.write(1)
    tool.up()
    beside.sync()
    assert beside.check("a").dependent_migrations == ("b",)
    beside.rollback("a", confirm="a", chain=True)
    found = session().execute("SELECT event, change, requires FROM sqitch.events ORDER BY committed_at").fetchall()
    assert found == [
        ("deploy", names[0], []),
        ("deploy", names[1], ["a"]),
        ("revert", names[1], ["a"]),
        ("revert", names[0], []),
    ]


@pytest.mark.long
@pytest.mark.parametrize("tool", [Sqitch], ids=["sqitch"], indirect=True)
def test_a_change_that_was_reworked_goes_back_to_what_it_was(tool, beside, session):
    tool.write(0)
    tool.up()
    tool.plan += (
        "@v1 2024-01-01T00:00:00Z Me <me@example.com>\na [a@v1] 2024-01-02T00:00:00Z Me <me@example.com> # reworked\n"
    )
    (tool.folder / "sqitch.plan").write_text(tool.plan)
    for part, text in {
        "deploy": "ALTER TABLE a ADD COLUMN IF NOT EXISTS x int;",
        "revert": "ALTER TABLE a DROP COLUMN x;",
    }.items():
        (tool.folder / part / "a@v1.sql").write_text((tool.folder / part / "a.sql").read_text())
        (tool.folder / part / "a.sql").write_text(f"BEGIN;\n{text}\nCOMMIT;\n")
    tool.up()
    assert [one.migration_name for one in beside.sync().registered] == ["a@v1", "a"]
    assert beside.check("a").warnings == ()
    assert beside.rollback("a", confirm="a", reason="trial").success
    tool.up()
    assert exists(session(), "a")
    beside.register("a")
    assert beside.rollback("a@v1", confirm="a@v1", chain=True).success
    assert session().execute("SELECT count(*) FROM sqitch.changes").fetchone() == (0,)
    assert not exists(session(), "a")


@pytest.mark.long
@pytest.mark.parametrize("tool", [Sqitch], ids=["sqitch"], indirect=True)
def test_each_occurrence_of_a_reworked_change_is_a_row_of_its_own(tool, beside, session):
    """As `sqitch tag` and `sqitch rework` leave it:
    two tags between, the file named by the last of them, the rework not deployed yet."""

    def value():
        return session().execute("SELECT weigh()").fetchone()[0]

    parts = {
        "deploy": "CREATE OR REPLACE FUNCTION weigh() RETURNS int LANGUAGE sql AS 'SELECT {}';",
        "revert": "DROP FUNCTION weigh();",
    }
    tool.plan += (
        f"weigh {PLANNED} # n\n@v1 {PLANNED} # v1\nb {PLANNED} # {{tables}}\\\\ and \\n more\n@v2 {PLANNED} # v2\nweigh"
        f" [weigh@v2] {PLANNED} # reworked\n"
    )
    (tool.folder / "sqitch.plan").write_text(tool.plan)
    for name, deploy, revert in (
        ("weigh@v2", parts["deploy"].format(1), parts["revert"]),
        ("weigh", parts["deploy"].format(2), parts["deploy"].format(1)),
        ("b", "CREATE TABLE b ();", "DROP TABLE b;"),
    ):
        (tool.folder / "deploy" / f"{name}.sql").write_text(f"BEGIN;\n{deploy}\nCOMMIT;\n")
        (tool.folder / "revert" / f"{name}.sql").write_text(f"BEGIN;\n{revert}\nCOMMIT;\n")
    tool._run("deploy", "--to", "@v2")
    found = beside.sync()
    assert [one.migration_name for one in found.registered] == ["weigh@v2", "b"]
    assert found.not_applied == ("weigh",), "its original's row is not its own"
    assert beside.check("b").warnings == ()
    assert [
        warning
        for warning in beside.check("weigh@v2").warnings
        if "goes on from the newest that it applied, b" not in warning
    ] == []
    tool.up()
    assert value() == 2
    assert [one.migration_name for one in beside.sync().registered] == ["weigh"]
    assert beside.check("weigh@v2").dependent_migrations == ("weigh",)
    assert beside.rollback("weigh", confirm="weigh").success
    assert value() == 1
    rows = session().execute("SELECT change, change_id FROM sqitch.changes ORDER BY committed_at").fetchall()
    assert [row[0] for row in rows] == ["weigh", "b"]
    tool.up()  # would fail: Sqitch goes on from the newest row, and the original's would be gone
    assert value() == 2
    assert beside.register("weigh").outcome == "applied again"
    tool._run("revert", "-y", "--to", "@v2")
    assert any("has undone it" in warning for warning in beside.check("weigh").warnings)
    assert not any("has undone it" in warning for warning in beside.check("weigh@v2").warnings)
    session().execute(
        "UPDATE migration_history SET migration_version = '' WHERE migration_name = 'b'"
    )  # as it was registered before ids were known
    assert beside.rollback("b", confirm="b").success
    assert session().execute("SELECT change FROM sqitch.changes").fetchall() == [("weigh",)]


@pytest.mark.long
@pytest.mark.parametrize("tool", [Sqitch], ids=["sqitch"], indirect=True)
def test_a_change_that_is_reworked_after_it_was_registered_is_two_from_then_on(tool, beside, session):
    tool.write(0)
    tool.up()
    beside.sync()
    (first,) = (row["migration_version"] for row in beside.history_rows() if row["migration_name"] == "a")
    tool.plan += f"@v1 {PLANNED}\na [a@v1] {PLANNED} # reworked\n"
    (tool.folder / "sqitch.plan").write_text(tool.plan)
    for part, text in {
        "deploy": "ALTER TABLE a ADD COLUMN IF NOT EXISTS x int;",
        "revert": "ALTER TABLE a DROP COLUMN x;",
    }.items():
        (tool.folder / part / "a@v1.sql").write_text((tool.folder / part / "a.sql").read_text())
        (tool.folder / part / "a.sql").write_text(f"BEGIN;\n{text}\nCOMMIT;\n")
    before = beside.sync()
    assert [one.migration_name for one in before.registered] == ["a@v1"]
    assert any(
        "which is a@v1 now: until it is deployed and sync has run again, roll back a@v1" in warning
        for warning in before.warnings
    )
    tool.up()
    after = beside.sync()
    assert [(one.migration_name, one.outcome) for one in after.registered] == [("a", "updated")]
    assert after.warnings == ()
    versions = {row["migration_name"]: row["migration_version"] for row in beside.history_rows()}
    assert versions["a@v1"] == first != versions["a"]
    assert beside.check("a@v1").dependent_migrations == ("a",)
    assert beside.rollback("a", confirm="a").success
    assert exists(session(), "a"), "what runs is the rework's own rollback"
