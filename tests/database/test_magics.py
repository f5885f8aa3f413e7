"""%migrollback in a real IPython shell on a real PostgreSQL: the API's objects out, nothing asked, nothing exits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from pg_servers import with_migrations, with_system
from traitlets.config import Config

import migrollback_nb as mr
from migrollback_nb.display.graph.picture import Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pg_servers import Server

BASE, TOP = "001_queue", "002_analytics"
FILES = {
    BASE: "CREATE TABLE queue (id int);\n-- ROLLBACK START\n-- DROP TABLE queue;\n-- ROLLBACK END\n",
    TOP: (
        f"-- Depends on: {BASE}\nCREATE TABLE analytics (id int);\n-- ROLLBACK START\n-- DROP TABLE analytics;\n--"
        " ROLLBACK END\n"
    ),
}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    made = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    made.run_line_magic("load_ext", "migrollback_nb")
    yield made
    made.magics_manager.magics["line"]["migrollback"].close()


@pytest.fixture(scope="module")
def shop_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from with_migrations(server, tmp_path_factory.mktemp("shop") / "migrations", FILES)


@pytest.fixture
def database_template(request: pytest.FixtureRequest, server: Server) -> str:
    return request.getfixturevalue("shop_template") if "shop" in request.fixturenames else with_system(server)


@pytest.fixture
def shop(
    db: mr.Migrations,
    database_dsn: str,
    folder: Path,
    write_migration: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> mr.Migrations:
    """Two migrations, the second on the first, and the environment that names their database and folder."""
    for name, text in FILES.items():
        write_migration(name, text)
    monkeypatch.setenv("MIGROLLBACK_DSN", database_dsn)
    monkeypatch.setenv("MIGROLLBACK_DIR", str(folder))
    return db


def call(shell: InteractiveShell, line: str) -> Any:
    """What a cell with this line gives, or raises."""
    return shell.run_line_magic("migrollback", line)


@pytest.mark.few(4)
@pytest.mark.parametrize(
    "line",
    [
        "list",
        "history --since 7d",
        "history --status applied",
        "history --without-rollback",
        "events",
        f"events {TOP}",
        "deps --format table",
        f"deps {TOP} --depth 1 --format table",
    ],
)
def test_queries_give_frames(shell: InteractiveShell, shop: mr.Migrations, line: str) -> None:
    frame = call(shell, line)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns)


def test_frames_are_those_of_the_public_methods(shell: InteractiveShell, shop: mr.Migrations) -> None:
    pd.testing.assert_frame_equal(call(shell, "list"), shop.list())
    pd.testing.assert_frame_equal(call(shell, "history"), shop.history())
    pd.testing.assert_frame_equal(call(shell, "deps --format table"), shop.dependencies())
    assert call(shell, f"deps {TOP} --depth 0 --format table").empty


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"check {TOP}", mr.CheckResult),
        (f"rollback {TOP} --dry-run", mr.Preview),
        (f"rollback {BASE} --dry-run --chain", mr.Preview),
        (f"register {TOP}", mr.RegisterResult),
        ("sync", mr.SyncResult),
        ("apply", mr.ApplyResult),
        (f"template {TOP}", mr.Template),
        (f"plan {BASE}", mr.Plan),
        ("events --verify", mr.AuditResult),
        ("install", mr.InstallResult),
        ("deps", Graph),
        (f"deps {TOP}", Graph),
        (f"graph {TOP}+", Graph),
    ],
)
def test_commands_give_the_objects_of_the_public_methods(
    shell: InteractiveShell, shop: mr.Migrations, line: str, kind: type
) -> None:
    assert isinstance(call(shell, line), kind)


def test_what_is_inferred_is_not_mistaken_for_what_is_declared(shell: InteractiveShell, shop: mr.Migrations) -> None:
    for line in ("deps --infer", "deps --infer --format table", f"deps {TOP} --infer", f"deps {TOP}.sql --infer"):
        assert "recorded" in call(shell, line).columns, line
    assert isinstance(call(shell, "deps --infer --record --format table"), mr.RecordResult)
    for line in ("deps --infer --format dot", "deps --infer --record --format svg"):
        with pytest.raises(mr.UsageError, match="drawn once it is recorded"):
            call(shell, line)
    with pytest.raises(mr.MigrationNotFound):
        call(shell, "deps nonesuch --infer")


def test_what_is_inferred_of_one_is_only_that(
    shell: InteractiveShell, shop: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration("003_base", "CREATE TABLE base (id int PRIMARY KEY);")
    write_migration("004_on_base", "CREATE TABLE on_base (id int REFERENCES base);")
    shop.apply()
    assert list(call(shell, "deps --infer")["migration_name"]) == ["004_on_base"]
    assert list(call(shell, "deps 003_base --infer")["migration_name"]) == ["004_on_base"]
    assert call(shell, f"deps {TOP} --infer").empty


def test_last_and_sources_are_texts(shell: InteractiveShell, shop: mr.Migrations) -> None:
    assert call(shell, "last") == TOP
    assert "digraph" in call(shell, "deps --format dot")
    assert "<svg" in call(shell, "deps --format svg")


def test_a_rollback_as_a_cell_gives_it(shell: InteractiveShell, shop: mr.Migrations) -> None:
    fingerprint = shell.run_cell(f"p = %migrollback rollback {TOP} --dry-run\np.fingerprint").result
    cell = shell.run_cell(
        f'%migrollback rollback {TOP} --confirm {TOP} --reason "it is too slow" --preview {fingerprint}'
    )
    assert isinstance(cell.result, mr.RollbackResult)
    assert cell.result.success
    event = shop.events(TOP).query("event != 'snapshot_taken' and event != 'verified'").iloc[-1]
    assert (event["event"], event["reason"]) == ("rolled_back", "it is too slow")
    assert event["interface"] == "notebook"


def test_a_chain_and_back_again(shell: InteractiveShell, shop: mr.Migrations) -> None:
    assert isinstance(call(shell, f"rollback {BASE} --chain --confirm {BASE} --reason x"), mr.ChainResult)
    assert call(shell, f"apply {BASE} {TOP}").applied == (BASE, TOP)


def test_variables_of_the_notebook_can_be_used(shell: InteractiveShell, shop: mr.Migrations) -> None:
    shell.user_ns["name"] = TOP
    assert shell.run_cell("%migrollback check $name").result.migration_name == TOP
    assert shell.run_cell("%migrollback check {name}").result.migration_name == TOP


@pytest.mark.parametrize("line", [f"rollback {TOP}", f"rollback {TOP} --reason x", f"rollback {TOP} --confirm yes"])
def test_no_one_is_asked(
    shell: InteractiveShell, shop: mr.Migrations, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    with pytest.raises(mr.ConfirmationRequired):
        call(shell, line)
    assert shop.check(TOP).can_rollback


def test_a_failed_one_is_resolved(
    shell: InteractiveShell, shop: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration("003_broken", "CREATE TABLE broken ();\n-- ROLLBACK START\n-- DROP TABLE brokn;\n-- ROLLBACK END\n")
    call(shell, "apply")
    with pytest.raises(mr.RollbackFailed):
        call(shell, "rollback 003_broken --confirm 003_broken")
    assert call(shell, "resolve 003_broken --as applied --reason 'looked at it'").outcome == "failed -> applied"


@pytest.mark.few(6)
@pytest.mark.parametrize(
    "line",
    [
        "",
        "lisst",
        "check",
        "check a b",
        "rollback a --chian",
        "resolve a --as gone --reason x",
        "deps --depth two",
        "check 'a",
        "list --format json",
        "list --format dot",
        "deps --format tsv",
        "install --print",
        "demo",
        "lab",
    ],
)
def test_wrong_usage_is_an_error_of_ours_and_ends_nothing(
    shell: InteractiveShell, shop: mr.Migrations, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(mr.UsageError):
        call(shell, line)
    shell.run_cell(f"%migrollback {line}")
    printed = capsys.readouterr()
    assert "UsageError" in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err
    assert shell.run_cell("1 + 1").result == 2


@pytest.mark.parametrize(
    ("line", "words"), [("--help", "rollback"), ("rollback --help", "--dry-run"), ("--version", mr.__version__)]
)
def test_help_is_printed(shell: InteractiveShell, line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(shell, line) is None
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "--dns postgresql://dba:s3cret@db/shop list",
        "list 'password=s3cret host=db'",
        "list postgresql://dba:s3cret@db/shop",
        "list \"host=db password='s3cret x'\"",
        "list postgresql://db/shop?password=s3cret",
        "--dsn postgresql+psycopg://dba:s3cret@db/shop list",
        "--dsn postgresql://dba:s3cret@127.0.0.1:1/shop list",
        "list postgresql://dba:p@s3cret@db/shop",
    ],
)
def test_a_password_does_not_get_into_an_error(shell: InteractiveShell, line: str) -> None:
    with pytest.raises(mr.MigrollbackError) as caught:
        call(shell, line)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value)


def test_without_a_connection_it_says_how_to_give_one(shell: InteractiveShell) -> None:
    with pytest.raises(mr.MigrollbackError, match="MIGROLLBACK_DSN"):
        call(shell, "list")


def connection_of(shell: InteractiveShell) -> mr.Migrations:
    return shell.magics_manager.magics["line"]["migrollback"]._db


def test_the_connection_is_kept_and_said_once(
    shell: InteractiveShell, shop: mr.Migrations, capsys: pytest.CaptureFixture[str]
) -> None:
    call(shell, "list")
    assert shop.target.database in capsys.readouterr().out
    first = connection_of(shell)
    call(shell, "history")
    assert connection_of(shell) is first
    assert capsys.readouterr().out == ""


def test_options_stay_until_others_are_given(
    shell: InteractiveShell, shop: mr.Migrations, empty_dsn: str, tmp_path: Path
) -> None:
    call(shell, "list")
    first = connection_of(shell)
    with pytest.raises(mr.NotInstalled):
        call(shell, f"--dsn '{empty_dsn}' list")
    assert first.database.connection.closed
    with pytest.raises(mr.NotInstalled):
        call(shell, "list")  # still there, whatever the environment says
    call(shell, "install --schema tools")
    assert len(call(shell, "list")) == 0
    assert connection_of(shell).target.schema == "tools"
    (tmp_path / "other").mkdir()
    assert call(shell, f"sync --dir {tmp_path / 'other'}").registered == ()
    with pytest.raises(mr.NotInstalled):
        call(shell, "list --schema public")


def test_another_environment_connects_anew(
    shell: InteractiveShell, shop: mr.Migrations, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(shell, "list")
    monkeypatch.setenv("MIGROLLBACK_DSN", empty_dsn)
    with pytest.raises(mr.NotInstalled):
        call(shell, "list")


def test_a_slip_in_the_dsn_does_not_stay(shell: InteractiveShell, shop: mr.Migrations) -> None:
    with pytest.raises(mr.ConnectionFailed):
        call(shell, "--dsn 'host=/nonexistent dbname=x' list")
    assert len(call(shell, "list")) == 2


def test_a_lost_connection_is_opened_again(shell: InteractiveShell, shop: mr.Migrations) -> None:
    call(shell, "list")
    connection_of(shell).close()
    assert len(call(shell, "list")) == 2


def test_limits_count_for_one_call(shell: InteractiveShell, shop: mr.Migrations) -> None:
    call(shell, f"rollback {TOP} --confirm {TOP} --lock-timeout 7s")
    assert connection_of(shell).database.session.timeouts.lock_timeout == "7s"
    call(shell, "list")
    assert connection_of(shell).database.session.timeouts == mr.Timeouts()


def completions(shell: InteractiveShell, text: str) -> set[str]:
    with provisionalcompleter():
        return {found.text for found in shell.Completer.completions(text, len(text))}


def test_tab_completes_commands_names_and_options(shell: InteractiveShell, shop: mr.Migrations) -> None:
    call(shell, "list")
    assert "rollback" in completions(shell, "%migrollback ro")
    assert completions(shell, "%migrollback check 00") >= {BASE, TOP}
    assert TOP in completions(shell, f"%migrollback rollback {TOP} --confirm 00")
    assert "--dry-run" in completions(shell, f"%migrollback rollback {TOP} --d")
    assert BASE in completions(shell, "%migrollback check ")
    assert BASE not in completions(shell, "%migrollback history ")


def test_tab_connects_to_nothing_and_offers_the_folder(shell: InteractiveShell, shop: mr.Migrations) -> None:
    magic = shell.magics_manager.magics["line"]["migrollback"]
    assert completions(shell, "%migrollback check 00") >= {BASE, TOP}
    assert magic._db is None


def test_tab_does_not_wait_for_what_runs(shell: InteractiveShell, shop: mr.Migrations) -> None:
    call(shell, "list")
    magic = shell.magics_manager.magics["line"]["migrollback"]
    completions(shell, "%migrollback check 00")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with magic._db.database.session._busy:
            held.set()
            assert done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        assert completions(shell, "%migrollback check 00") >= {BASE, TOP}
    finally:
        done.set()
        thread.join()


def test_a_name_that_would_have_to_be_quoted_is_not_offered(shell: InteractiveShell, shop: mr.Migrations) -> None:
    hostile = "00'; $(rm)\u202e"
    shop.database.connection.execute("SELECT register_migration(%s, '0', 'SELECT 1', NULL)", (hostile,))
    call(shell, "list")
    assert hostile not in completions(shell, "%migrollback check 00")


def test_a_cell_runs_its_commands_in_order(shell: InteractiveShell, shop: mr.Migrations) -> None:
    with capture_output() as shown:
        ran = shell.run_cell(f"%%migrollback\n# look first\ncheck {TOP}\n\nrollback {TOP} --dry-run\n")
    assert isinstance(ran.result, mr.Preview)
    # the test's shell is not the one of the process, so what is displayed is printed
    assert "CheckResult" in shown.stdout + str([output.data for output in shown.outputs])
    assert shell.run_cell_magic("migrollback", "", f"plan {BASE}").steps == (TOP, BASE)


def test_a_slip_in_the_last_line_stops_a_cell_before_the_first(shell: InteractiveShell, shop: mr.Migrations) -> None:
    with pytest.raises(mr.UsageError):
        shell.run_cell_magic("migrollback", "", f"rollback {TOP} --confirm {TOP}\nchekc {TOP}\n")
    assert shop.check(TOP).can_rollback
    with pytest.raises(mr.UsageError, match="no command"):
        shell.run_cell_magic("migrollback", "", "# nothing\n")


def test_an_error_ends_a_cell_and_what_came_before_stays(shell: InteractiveShell, shop: mr.Migrations) -> None:
    with pytest.raises(mr.Refused):
        shell.run_cell_magic(
            "migrollback",
            "",
            f"rollback {TOP} --confirm {TOP}\nrollback {TOP} --confirm {TOP}\nrollback {BASE} --confirm {BASE}",
        )
    assert shop.check(BASE).can_rollback


def test_options_of_the_first_line_count_for_all(
    shell: InteractiveShell, shop: mr.Migrations, database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIGROLLBACK_DSN")
    assert shell.run_cell_magic("migrollback", f"--dsn '{database_dsn}'", f"check {TOP}\nlast") == TOP


def test_the_report_and_the_runbook_by_magic(shell: InteractiveShell, shop: mr.Migrations, tmp_path: Path) -> None:
    assert (tmp_path / call(shell, f"report {TOP} --file r.html")).exists()
    assert call(shell, f"runbook {TOP} --ticket INC-1").migration_name == TOP
