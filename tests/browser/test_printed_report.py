"""The report printed to A4: no word is broken, tables repeat their heads, and it is light whatever the screen is."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import psycopg
import pytest

import migrollback_nb as mr

if TYPE_CHECKING:
    from pathlib import Path

    from pg_servers import Server
    from playwright.sync_api import Browser

NAME = "20260104_add_settings_for_each_user_of_the_shop"

#: Words that stand in more than one line: what is read in a PDF as "Nu mb er". Of the page as it is printed.
BROKEN = """() => {
  const broken = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest("svg")) continue;
    for (const found of node.data.matchAll(/\\w+/g)) {
      if (found[0].length > 40) continue;  // hashes are longer than their column
      const range = document.createRange();
      range.setStart(node, found.index); range.setEnd(node, found.index + found[0].length);
      if (new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1) broken.push(found[0]);
    }
  }
  return broken;
}"""


@pytest.fixture(scope="module")
def report(first_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a rollback that loses and overwrites rows."""
    from pg_servers import with_system

    folder = tmp_path_factory.mktemp("report")
    name = first_server.create_database(template=with_system(first_server))
    (folder / f"{NAME}.sql").write_text(
        "CREATE TABLE shop_settings (id int, note text); INSERT INTO shop_settings SELECT generate_series(1, 40);\n"
        "-- ROLLBACK START\nUPDATE shop SET id = 3; DROP TABLE shop_settings;\n-- ROLLBACK END\n"
    )
    with mr.connect(first_server.dsn(name), dir=folder) as db:
        with psycopg.connect(first_server.dsn(name), autocommit=True) as session:
            session.execute("CREATE TABLE shop (id int); INSERT INTO shop VALUES (1), (2)")
        db.apply()
        db.rehearse(NAME)
        db.rollback(NAME, confirm=NAME, reason="the settings page is slow since the deploy")
        made = db.report(NAME, folder / "report.html")
    first_server.drop_database(name)
    return made


def test_it_is_printed_without_broken_words(report: Path, browser: Browser) -> None:
    from pypdf import PdfReader

    context = browser.new_context(color_scheme="dark", viewport={"width": 703, "height": 1000})  # A4 less its margins
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(BROKEN) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"
    printed = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))
    context.close()
    width, height = (round(float(side) / 72 * 25.4) for side in printed.pages[0].mediabox[2:])
    assert (width, height) == (210, 297)
    text = "\n".join(sheet.extract_text() for sheet in printed.pages)
    words = set(re.findall(r"[A-Za-z0-9_.]+", text))
    assert {NAME, "public.shop_settings", "Rehearsals", "EXCLUSIVE", "snapshot_taken", "migrollback_nb"} <= words
    assert re.findall(r"\bHash [0-9a-f]{64}\b", text)
    assert "overwrites 2 rows of table public.shop" in text
    assert "loses 40 rows of table public.shop_settings" in text


def test_a_wide_table_stays_within_a_narrow_screen(report: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
