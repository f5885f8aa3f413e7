"""What tests in a browser stand on: a JupyterLab server of their own, and the system's Chromium."""

from __future__ import annotations

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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]

#: Where the screenshots go: kept by CI, looked at by people, ignored by git.
ARTEFACTS = ROOT / ".artefacts"


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def lab_server(base: Path) -> Iterator[tuple[str, Path]]:
    """JupyterLab with settings of its own, asking nobody for news: its address with the token, and its folder."""
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


@contextmanager
def started_browser() -> Iterator[Browser]:
    """The system's Chromium. While it lives, its event loop runs in the thread of the tests."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    assert path is not None, (
        "no Chromium is installed, and REQUIRE_BROWSER=1: apt-get install -y --no-install-recommends chromium"
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
