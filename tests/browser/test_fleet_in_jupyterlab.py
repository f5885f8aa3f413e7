"""The panel of a fleet in JupyterLab: by mouse and by keyboard from the matrix to the result, and 1,000 targets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from pg_servers import with_history

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg
    from laboratory import Laboratory
    from pg_servers import Server

NAME = "20250120_add_project_tags"


@pytest.mark.long
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_from_the_matrix_to_the_result(
    lab: Laboratory, first_server: Server, shop: psycopg.Connection, template: tuple[str, Path], theme: str
) -> None:
    lab.theme(theme)
    other = first_server.create_database(template=template[0])
    targets = [
        {"name": "shop-eu", "dsn": first_server.dsn(shop.info.dbname), "labels": {"region": "eu"}},
        {"name": "shop-us", "dsn": first_server.dsn(other), "labels": {"region": "us"}},
        {"name": "shop-down", "dsn": "host=/nowhere dbname=shop"},
    ]
    lab.notebook(
        f"import migrollback_nb as mr, os, tempfile\nos.environ['MIGROLLBACK_STATE'] = tempfile.mkdtemp()\n"
        f"fleet = mr.Fleet({targets!r}, dir={str(template[1])!r})",
        "panel = mr.panels.FleetPanel(fleet)\npanel",
    )
    grid = lab.output.get_by_role("grid", name="Targets and migrations")
    expect(grid.get_by_role("rowheader")).to_have_count(3)
    expect(grid).to_contain_text("unreachable")
    lab.shoot(f"fleet_{theme.lower()}")
    grid.get_by_role("columnheader", name=NAME).click()
    lab.button("Plan").click()
    expect(lab.output).to_contain_text("Would roll back in 2 of 3 targets")
    lab.field("Confirm").fill(NAME)
    lab.field("Reason").fill("INC-42")
    lab.shoot(f"fleet_planned_{theme.lower()}")
    lab.button("Roll back").click()
    expect(lab.output).to_contain_text("2 done, 1 failed of 3 targets")
    lab.shoot(f"fleet_done_{theme.lower()}")
    first_server.drop_database(other)


@pytest.mark.long
def test_a_thousand_targets_are_usable_by_keyboard(lab: Laboratory) -> None:
    lab.theme("Light")
    lab.notebook(
        "import migrollback_nb as mr\nfrom migrollback_nb.panels.fleet_matrix import FleetMatrix",
        "names = [f'{n:03}_migration' for n in range(300)]\n"
        "matrix = FleetMatrix(targets=[f'tenant-{n:04}' for n in range(1000)], migrations=names,\n"
        "    cells=[('ar f' * 75) for _ in range(1000)], states=[['', '']] * 1000,\n"
        "    rows=list(range(1000)), columns=list(range(300)))\nmatrix",
    )
    grid = lab.output.get_by_role("grid", name="Targets and migrations")
    expect(grid.get_by_role("rowheader").first).to_contain_text("tenant-0000")
    assert grid.get_by_role("rowheader").count() < 60, "the page holds those in view"
    assert grid.get_attribute("aria-rowcount") == "1001"
    grid.focus()
    for key in ("End", "PageDown", "PageDown", "Enter"):
        lab.page.keyboard.press(key)
    expect(grid.locator(".migrollback-fleet-title[aria-selected=true]")).to_contain_text("299_migration")
    lab.shoot("fleet_thousand")


@pytest.mark.long
def test_a_thousand_databases_of_400_migrations_are_usable(lab: Laboratory, first_server: Server) -> None:
    """A thousand targets that answer; one database answers for all of them, each over a connection of its own."""
    name = first_server.create_database(template=with_history(first_server))
    lab.theme("Light")
    lab.notebook(
        f"import migrollback_nb as mr\ndsn = {first_server.dsn(name)!r}\n"
        "fleet = mr.Fleet([{'name': f'tenant-{n:04}', 'dsn': dsn} for n in range(1000)])",
        "panel = mr.panels.FleetPanel(fleet)\npanel",
    )
    grid = lab.output.get_by_role("grid", name="Targets and migrations")
    expect(grid).to_have_attribute("aria-rowcount", "1001")
    expect(grid.get_by_role("rowheader").first).to_contain_text("tenant-0000")
    assert grid.get_by_role("rowheader").count() < 60, "the page holds those in view"
    began = time.monotonic()
    lab.field("Targets").fill("tenant-0999")
    expect(grid).to_have_attribute("aria-rowcount", "2")
    expect(grid.get_by_role("rowheader").first).to_contain_text("tenant-0999")
    lab.field("Targets").fill("")
    expect(grid).to_have_attribute("aria-rowcount", "1001")
    grid.focus()
    for key in ("PageDown", "PageDown", "End", "Enter"):
        lab.page.keyboard.press(key)
    expect(grid.locator(".migrollback-fleet-title[aria-selected=true]")).to_have_count(1)
    expect(lab.button("Plan")).to_be_enabled()
    assert time.monotonic() - began < 10, "filtering, scrolling and choosing"
    lab.shoot("fleet_of_a_thousand")
    first_server.drop_database(name)
