"""JupyterLab in the system's Chromium: one server, one page for each module; every request and every accessibility fault is looked at."""

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
from typing import Any

import pytest
from laboratory import Laboratory

ROOT = Path(__file__).parents[2]

#: Where the screenshots go: kept by CI, looked at by people, ignored by git.
ARTEFACTS = ROOT / ".artefacts"

#: Set to 1 it makes what is missing a failure: .ci/run does.
REQUIRED = "REQUIRE_BROWSER"
if os.environ.get(REQUIRED) == "1":
    import axe_playwright_python  # noqa: F401
    import playwright.sync_api  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = [name for name in ("playwright", "axe_playwright_python", "jupyterlab") if importlib.util.find_spec(name) is None]
    if chromium() is None:
        lacking.append("chromium (apt-get install chromium)")
    if lacking and os.environ.get(REQUIRED) != "1":
        reason = f"the browser tests need {', '.join(lacking)}"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def lab_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab with settings of its own, asking nobody for news: its address with the token, and its folder."""
    base = tmp_path_factory.mktemp("lab")
    home = base / "notebooks"
    home.mkdir()
    settings = base / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
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
                sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
                "--IdentityProvider.token=browser-test", "--LabApp.expose_app_in_browser=True", "--allow-root", f"--ServerApp.root_dir={home}",
            ],
            env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
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


@pytest.fixture(scope="module")
def laboratory(lab_url: tuple[str, Path]) -> Iterator[Laboratory]:
    """One page of JupyterLab. Of a module, not of the session: while it lives, its event loop runs in the thread of the tests."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    assert path is not None, f"no Chromium is installed, and {REQUIRED}=1: apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
    ARTEFACTS.mkdir(exist_ok=True)
    url, home = lab_url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        context = browser.new_context(viewport={"width": 1280, "height": 1600})
        context.set_default_timeout(60_000)
        page = context.new_page()
        made = Laboratory(page, url, home, ARTEFACTS)
        made.open()
        yield made
        browser.close()


@pytest.fixture
def lab(laboratory: Laboratory) -> Iterator[Laboratory]:
    """The page, as after a fresh start; what it asked for and what it complained about is judged after the test."""
    laboratory.forget()
    yield laboratory
    laboratory.judge()


def pytest_runtest_makereport(item: pytest.Item, call: Any) -> None:
    """A screenshot of every failure."""
    made = getattr(item, "funcargs", {}).get("laboratory")
    if call.excinfo is not None and made is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        made.shoot(f"failure_{item.name}")
