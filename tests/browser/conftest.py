"""Notebooks in the system's Chromium: one server, which JupyterLab, Notebook 7 and Voila share;
every request and every accessibility fault is looked at."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from laboratory import Laboratory, Notebook7, Visit, Voila

import migrollback_nb as mr
from migrollback_nb.cli import demo

if TYPE_CHECKING:
    from pg_servers import Server
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]

#: Where the screenshots go: kept by CI, looked at by people, ignored by git.
ARTEFACTS = ROOT / ".artefacts"

#: Set to 1 it makes what is missing a failure: .ci/run does.
REQUIRED = "REQUIRE_BROWSER"
if os.environ.get(REQUIRED) == "1":
    import axe_playwright_python  # noqa: F401
    import playwright.sync_api  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = [
        name for name in ("playwright", "axe_playwright_python", "jupyterlab") if importlib.util.find_spec(name) is None
    ]
    if chromium() is None:
        lacking.append("chromium (apt-get install chromium)")
    if lacking and os.environ.get(REQUIRED) != "1":
        reason = f"the browser tests need {', '.join(lacking)}"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="package")
def lab_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab with settings of its own, asking nobody for news: its address with the token, and its folder."""
    base = tmp_path_factory.mktemp("lab")
    home = base / "notebooks"
    home.mkdir()
    settings = base / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    settings = base / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # every cell stays in the page, also where nobody looks
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "JUPYTER_CONFIG_DIR": str(base / "config"),
        "JUPYTER_DATA_DIR": str(base / "data"),
        "JUPYTER_RUNTIME_DIR": str(base / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(base / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(base / "workspaces"),
        "IPYTHONDIR": str(base / "ipython"),
    }
    with (base / "log").open("w") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                "--IdentityProvider.token=browser-test",
                "--LabApp.expose_app_in_browser=True",
                "--JupyterNotebookApp.expose_app_in_browser=True",
                "--allow-root",
                f"--ServerApp.root_dir={home}",
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{url}/api/status?token=browser-test", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                told = (base / "log").read_text()
                assert server.poll() is None, f"JupyterLab ended: {told}"
                assert time.monotonic() < deadline, f"JupyterLab does not answer: {told}"
                time.sleep(0.1)
        yield url, home
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. Of this package, not of the session: while it lives, its event loop runs in the thread of the tests."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    assert path is not None, (
        f"no Chromium is installed, and {REQUIRED}=1: apt-get install -y --no-install-recommends chromium"
        " fonts-dejavu-core fonts-noto-color-emoji"
    )
    ARTEFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


def new_page(browser: Browser, **options: Any) -> Any:
    context = browser.new_context(viewport={"width": 1280, "height": 1600}, **options)
    context.set_default_timeout(60_000)
    return context.new_page()


@pytest.fixture(scope="package")
def laboratory(lab_url: tuple[str, Path], browser: Browser) -> Laboratory:
    """One page of JupyterLab."""
    made = Laboratory(new_page(browser), *lab_url, ARTEFACTS)
    made.open()
    return made


@pytest.fixture
def lab(laboratory: Laboratory) -> Iterator[Laboratory]:
    """The page, as after a fresh start; what it asked for and what it complained about is judged after the test."""
    laboratory.forget()
    yield laboratory
    laboratory.judge()


@pytest.fixture(params=[Notebook7, Voila], ids=["notebook", "voila"])
def elsewhere(request: pytest.FixtureRequest, lab_url: tuple[str, Path], browser: Browser) -> Iterator[Visit]:
    """A page of Notebook 7, or of Voila; judged after the test."""
    name = request.param.__name__.lower().removesuffix("7")
    if importlib.util.find_spec(name) is None and os.environ.get(REQUIRED) != "1":
        pytest.skip(f"this test needs {name}")
    made = request.param(new_page(browser), *lab_url, ARTEFACTS)
    yield made
    made.judge()


# -- a database with the demo in it ------------------------------------------------------------------------------------


@pytest.fixture(scope="package")
def template(first_server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A database with the demo in it, for copying, and its folder."""
    name = first_server.create_database()
    folder = tmp_path_factory.mktemp("migrations")
    with mr.connect(first_server.dsn(name), dir=folder) as db:
        demo.load(db)
    return name, folder


@pytest.fixture
def shop(first_server: Server, template: tuple[str, Path]) -> Iterator[psycopg.Connection]:
    """The demo in a database of this test's own."""
    name = first_server.create_database(template=template[0])
    with psycopg.connect(first_server.dsn(name), autocommit=True) as connection:
        yield connection
    first_server.drop_database(name)


@pytest.fixture
def connect(first_server: Server, shop: psycopg.Connection, template: tuple[str, Path]) -> str:
    """The cell that connects a notebook to it."""
    return (
        f"import migrollback_nb as mr\ndb = mr.connect({first_server.dsn(shop.info.dbname)!r},"
        f" dir={str(template[1])!r})"
    )


def pytest_runtest_makereport(item: pytest.Item, call: Any) -> None:
    """A screenshot of every failure."""
    arguments = getattr(item, "funcargs", {})
    made = arguments.get("laboratory") or arguments.get("elsewhere")
    if (
        call.when == "call"
        and call.excinfo is not None
        and made is not None
        and not call.excinfo.errisinstance(pytest.skip.Exception)
    ):
        made.shoot(f"failure_{item.name}")
