"""Notebooks in the system's Chromium: one server, which JupyterLab, Notebook 7 and Voila share;
every request and every accessibility fault is looked at."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from lab_server import ARTEFACTS, chromium, lab_server, new_page, started_browser
from laboratory import Laboratory, Notebook7, Visit, Voila

import migrollback_nb as mr
from migrollback_nb.cli import demo

if TYPE_CHECKING:
    from pg_servers import Server
    from playwright.sync_api import Browser

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


@pytest.fixture(scope="package")
def lab_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of JupyterLab, and its folder."""
    with lab_server(tmp_path_factory.mktemp("lab")) as found:
        yield found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. Of this package, not of the session: while it lives, its event loop runs in the thread of the tests."""
    with started_browser() as opened:
        yield opened


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
