"""The pictures of the README and the pages, made from the demo.
``PICTURES=docs pytest --long tests/browser/test_pictures.py`` makes them again; else they are only tried."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import migrollback_nb as mr
from migrollback_nb.cli import demo

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laboratory import Laboratory
    from pg_servers import Server
    from playwright.sync_api import Browser, Locator

ROOT = Path(__file__).parents[2]
CHOSEN = "20250122_archive_user_emails"
LARGEST = 200_000  # bytes: in the dark a picture takes more than in the light


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    wanted = os.environ.get("PICTURES")
    return (ROOT / wanted).resolve() if wanted else tmp_path_factory.mktemp("pictures")


@pytest.fixture
def shop_dsn(first_server: Server, template: tuple[str, Path], tmp_path: Path) -> Iterator[str]:
    """The demo in a database of a name that reads well, with a history."""
    first_server.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
    first_server.execute(f"CREATE DATABASE shop TEMPLATE {template[0]} STRATEGY file_copy")
    link = Path("/tmp/postgres")  # the socket's folder stands in the picture
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(first_server.folder)
    dsn = f"host={link} dbname=shop user=postgres"
    with mr.connect(dsn, dir=template[1]) as db:
        db.rollback("20250120_add_project_tags", confirm="20250120_add_project_tags", reason="INC-41: slow pages")
        with pytest.raises(mr.RollbackFailed):
            db.rollback(demo.FAILING, confirm=demo.FAILING, reason="INC-42")
        # as if its file did not say it: inferred, dashed
        db.database.connection.execute(
            "DELETE FROM migration_dependencies WHERE migration_name = '20250120_add_project_analytics' AND depends_on"
            " = '20250110_base_shop'"
        )
        db.record_dependencies()
    yield dsn
    first_server.drop_database("shop")
    link.unlink(missing_ok=True)


def keep(part: Locator, path: Path, *, height: int | None = None) -> None:
    """Photograph a part of the page, its upper end when it is high."""
    path.parent.mkdir(exist_ok=True)
    box = part.bounding_box()
    assert box is not None
    clip = {
        "x": box["x"] - 4,
        "y": box["y"] - 4,
        "width": box["width"] + 8,
        "height": min(box["height"], height or box["height"]) + 8,
    }
    part.page.screenshot(path=path, clip=clip)
    assert 5_000 < path.stat().st_size < LARGEST, path


def keep_both(lab: Laboratory, target: Path, name: str) -> None:
    """Photograph what the first cell shows: in the dark for people to look at, in the light for the README."""
    lab.page.mouse.move(0, 0)
    for theme, folder in (("Dark", ROOT / ".artefacts"), ("Light", target)):
        lab.theme(theme)
        keep(lab.output.locator(".widget-vbox").first, folder / name)


@pytest.mark.long
def test_the_panel_and_the_graph(lab: Laboratory, shop_dsn: str, template: tuple[str, Path], target: Path) -> None:
    lab.theme("Light")
    lab.page.set_viewport_size({"width": 960, "height": 1600})
    connect = f"import migrollback_nb as mr\ndb = mr.connect({shop_dsn!r}, dir={str(template[1])!r})"
    lab.notebook(connect, "mr.panels.RollbackPanel(db, production='shop')")
    lab.field("Filter").fill("2025012")
    expect(lab.field("Migration").locator("option", has_text="20250110")).to_have_count(0)
    lab.field("Migration").select_option(label=lab.option("Migration", CHOSEN))
    lab.button("Check").click()
    expect(lab.text("Can rollback")).to_be_visible()
    lab.button("Preview").click()
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("ALTER TABLE")
    lab.accept()
    lab.field("Name").fill(CHOSEN)
    lab.field("Reason").fill("INC-43: the nightly mail finds no address")
    expect(lab.button("Roll back on PRODUCTION")).to_be_enabled()
    keep_both(lab, target, "panel.png")
    lab.close()
    lab.notebook(connect, "mr.panels.GraphPanel(db, selected='20250119_add_analytics_queue')")
    expect(lab.output.get_by_role("button", name="20250119_add_analytics_queue, applied")).to_be_visible()
    keep_both(lab, target, "graph.png")
    lab.page.set_viewport_size({"width": 1280, "height": 1600})


@pytest.mark.long
def test_the_report(browser: Browser, shop_dsn: str, target: Path, tmp_path: Path) -> None:
    with mr.connect(shop_dsn) as db:
        db.rehearse(CHOSEN)
        db.rollback(CHOSEN, confirm=CHOSEN, reason="INC-43: the nightly mail finds no address")
        checklist = db.checklist(CHOSEN, ticket="INC-43")
        checklist.confirm_manually("window", "22:00 to 22:30, Maria watches")
        report = db.report(CHOSEN, tmp_path / "report.html")
    for theme, folder in (("dark", ROOT / ".artefacts"), ("light", target)):
        page = browser.new_page(viewport={"width": 860, "height": 760}, color_scheme=theme)
        page.goto(report.as_uri())
        keep(page.locator("body"), folder / "report.png", height=720)
        page.close()


def test_the_readme_and_the_pages_show_them_all() -> None:
    shown = {
        (page.parent / picture).resolve()
        for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for picture in re.findall(r"]\(([^)]+\.png)\)", page.read_text(encoding="utf-8"))
    }
    assert {path.name for path in shown} == {"panel.png", "graph.png", "report.png"}
    assert all(path.is_file() and path.stat().st_size < LARGEST for path in shown)
    assert "docs/panel.png" in (ROOT / "README.md").read_text(encoding="utf-8")
