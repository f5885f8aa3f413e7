"""``migrollback lab``: a real Jupyter, on a real embedded server."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import psycopg
import pytest
from ipykernel.ipkernel import IPythonKernel

import migrollback_nb as mr
from migrollback_nb.cli import demo, lab
from migrollback_nb.servers import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """An embedded server for the labs of this module."""
    with tempfile.TemporaryDirectory(prefix="mr", dir="/var/tmp") as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv(embedded.FOLDER_VARIABLE, name)
        yield Path(name)


@contextmanager
def _running_lab(folder: Path, *, stdin: int = subprocess.DEVNULL) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A lab in a process group of its own: the process, its address, its token."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "HOME": str(folder),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    # somebody's own settings without a token must not reach the lab
    (folder / ".jupyter").mkdir(exist_ok=True)
    (folder / ".jupyter" / "jupyter_server_config.json").write_text(
        json.dumps({"IdentityProvider": {"token": ""}, "ServerApp": {"ip": "0.0.0.0"}})
    )
    code = "import sys\nfrom migrollback_nb.cli import lab\nsys.exit(lab.run(sys.argv[1:], sys.stdout))"
    log = folder / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-c", code, "--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"],
            cwd=folder,
            env=os.environ | settings,
            stdin=stdin,
            stdout=file,
            stderr=file,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            found = _wait_for(rf"(http://127\.0\.0\.1:{port})/\S*token=(\w+)", log, process)
            _wait_until_it_listens(port, process)  # it prints its address before
            yield process, found[1], found[2]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(pattern: str, log: Path, process: subprocess.Popen[str]) -> re.Match[str]:
    deadline = time.monotonic() + 150
    while not (found := re.search(pattern, log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return found


def _wait_until_it_listens(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 150
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"JupyterLab does not listen on port {port}")


def _ended_cleanly(process: subprocess.Popen[str]) -> bool:
    return process.wait(timeout=60) == 0 and embedded._postmaster(embedded.data_folder()) is None


@pytest.mark.long
def test_opens_on_loopback_with_a_token_and_ends_with_sigterm(base: Path, tmp_path: Path) -> None:
    with _running_lab(tmp_path) as (process, address, token):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{address}/api/status")
        refused.value.close()
        assert refused.value.code == 403
        with urlopen(f"{address}/api/status?token={token}") as answer:
            assert answer.status == 200
        with urlopen(f"{address}/lab?token={token}") as answer:
            page = answer.read().decode()
        assert '"news": {"disabled": true}' in page
        assert "@jupyterlab/apputils-extension:announcements" in page.partition('"disabledExtensions"')[2][:200]

        jupyter = psutil.Process(process.pid).children()[0]
        assert {
            connection.laddr.ip
            for connection in jupyter.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        } == {"127.0.0.1"}
        environment = jupyter.environ()
        with mr.connect(environment["MIGROLLBACK_DSN"], dir=environment["MIGROLLBACK_DIR"]) as db:
            assert db.target.database == demo.DATABASE
            assert db.check(demo.EDITED).warnings
        assert Path(environment["MIGROLLBACK_DIR"]).is_relative_to(tmp_path / lab.WORKING_FOLDER)
        shipped = {path.name for path in (Path(lab.__file__).parents[2] / "notebooks").glob("*.ipynb")}
        assert {path.name for path in (tmp_path / lab.WORKING_FOLDER).glob("*.ipynb")} == shipped

        process.terminate()
        assert _ended_cleanly(process)


@pytest.mark.long
def test_keeps_the_demo_as_it_is_and_ends_with_control_c_twice(base: Path, tmp_path: Path) -> None:
    dsn = embedded.start(demo.DATABASE)
    if not demo.is_loaded(dsn):
        demo.load("embedded", tmp_path / "elsewhere").close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS my_own ()")
    keyboard, terminal = os.openpty()  # Jupyter asks before it ends only where somebody can answer
    with (
        os.fdopen(keyboard, "rb"),
        os.fdopen(terminal, "rb"),
        _running_lab(tmp_path, stdin=terminal) as (process, _, _),
    ):
        embedded.stop()  # the lab uses it now
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT to_regclass('my_own') IS NOT NULL").fetchone() == (True,)
        assert len(list((tmp_path / lab.WORKING_FOLDER / "migrations").glob("*.sql"))) == 13
        os.killpg(process.pid, signal.SIGINT)
        _wait_for("Shut down this Jupyter server", tmp_path / "log", process)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert _ended_cleanly(process)


def test_copies_over_nothing_that_a_user_has_changed(tmp_path: Path) -> None:
    assert lab.copy_notebooks(tmp_path) == ()
    changed, deleted, outdated = sorted(tmp_path.glob("*.ipynb"))[:3]
    shipped = outdated.read_bytes()
    changed.write_text("mine")
    deleted.unlink()
    outdated.write_text("an older one of ours")
    manifest = tmp_path / lab._MANIFEST
    copied = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(copied | {outdated.name: hashlib.sha256(b"an older one of ours").hexdigest()}))

    assert lab.copy_notebooks(tmp_path) == (changed.name,)
    assert changed.read_text() == "mine"
    assert deleted.exists()
    assert outdated.read_bytes() == shipped


def test_copies_are_as_jupyter_saves_them_and_two_of_them_ask_the_history(tmp_path: Path) -> None:
    lab.copy_notebooks(tmp_path)
    for file in sorted(tmp_path.glob("*.ipynb")):
        notebook = json.loads(file.read_text(encoding="utf-8"))
        # what a kernel would add when it is opened, so that it would count as changed
        assert notebook["metadata"]["language_info"] == IPythonKernel.language_info
        parameters = "".join(notebook["cells"][1]["source"])
        assert (lab.HISTORY_VARIABLE in parameters) == (file.name in lab.ON_HISTORY)
    assert set(lab.ON_HISTORY) <= {file.name for file in tmp_path.glob("*.ipynb")}


@pytest.mark.long
def test_in_a_browser_it_opens_the_first_page_asks_nothing_and_leaves_it_unmodified(base: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("the browser tests need chromium")
    with _running_lab(tmp_path) as (process, address, token), playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(90_000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/?token={token}")  # where the lab sends a person
        for name in ("00_start.ipynb", "03_dependency_graph.ipynb"):
            page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").first.wait_for()
            page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").last.wait_for()
            page.wait_for_timeout(2000)
            assert page.locator(".lm-TabBar-tab.lm-mod-current.jp-mod-dirty").count() == 0
            assert name in page.title() or page.locator(".lm-mod-current", has_text=name).count()
            assert page.locator(".Toastify__toast, .jp-Dialog").count() == 0
            if name == "00_start.ipynb":
                page.get_by_role("link", name="03 Dependency graph").first.click()
        assert {url.split("/")[2] for url in asked if url.startswith("http")} == {address.removeprefix("http://")}
        browser.close()
        process.terminate()
        assert _ended_cleanly(process)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--IdentityProvider.token="],
        ["--ServerApp.token=''"],
        ["--no-browser", '--IdentityProvider.token=""'],
        ["--IdentityProvider.token", ""],
        ["--NotebookApp.token=None"],
    ],
)
def test_never_without_a_token(arguments: list[str]) -> None:
    with pytest.raises(mr.UsageError, match="token"):
        lab.run(arguments, io.StringIO())


@pytest.mark.parametrize(
    "arguments", [["--IdentityProvider.token=secret"], ["--ServerApp.base_url=", "--no-browser"], []]
)
def test_other_arguments_are_the_users(arguments: list[str]) -> None:
    assert not lab._empties_token(arguments)


def test_a_missing_jupyterlab_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(mr.UsageError, match=r'pip install "migrollback-nb\[lab\]"'):
        lab.run([], io.StringIO())
