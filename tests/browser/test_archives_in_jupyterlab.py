"""Values that were kept, on a laptop's screen: kept by a tick, previewed, put back by the typed name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import migrollback_nb as mr

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    from pathlib import Path

    from laboratory import Laboratory
    from pg_servers import Server

pytestmark = pytest.mark.long
NAME = "20250120_add_notes"


def test_kept_previewed_and_put_back(lab: Laboratory, first_server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.sql").write_text(
        "CREATE TABLE notes (id int PRIMARY KEY, v text);\n-- ROLLBACK START\nDROP TABLE notes;\n-- ROLLBACK END\n"
    )
    name = first_server.create_database()
    dsn = first_server.dsn(name)
    before = lab.page.viewport_size
    lab.page.set_viewport_size({"width": 1366, "height": 768})
    try:
        with mr.connect(dsn, dir=tmp_path) as db:
            db.install()
            db.apply()
            db.database.connection.execute("INSERT INTO notes SELECT n, 'v' || n FROM generate_series(1, 30) n")
        lab.notebook(
            f"import migrollback_nb as mr\ndb = mr.connect({dsn!r}, dir={str(tmp_path)!r})",
            "panel = mr.panels.RollbackPanel(db)\npanel",
        )
        lab.field("Migration").select_option(label=lab.option("Migration", NAME))
        lab.button("Rehearse").click()
        expect(lab.card).to_contain_text("Longest lock")
        expect(lab.button("Preview restore")).to_have_count(0)
        lab.accept()
        lab.output.get_by_role("checkbox", name=re.compile("^keep what the rollback destroys")).check()
        lab.field("Name").fill(NAME)
        lab.field("Reason").fill("INC-49")
        assert lab.inspect("archives_1_tick") == []
        lab.button("Roll back").click()
        expect(lab.text(re.compile("^(Done|Look closer): "))).to_be_visible()
        shown = lab.output.get_by_role("region", name="Archives")
        expect(shown).to_contain_text("when it is applied again")
        with mr.connect(dsn, dir=tmp_path) as db:
            db.apply(NAME)
            db.database.connection.execute("INSERT INTO notes VALUES (7, 'since')")
        lab.button("Refresh list").click()
        expect(shown).to_contain_text("by Restore")
        lab.field("Archive").select_option(label=lab.option("Archive", NAME))
        lab.button("Preview restore").click()
        expect(lab.text(re.compile("29 rows of public.notes would be as they were"))).to_be_visible()
        lab.field("Confirm").scroll_into_view_if_needed()
        assert lab.inspect("archives_2_preview") == []
        expect(lab.button("Restore")).to_be_disabled()
        lab.field("Confirm").fill(NAME)
        lab.button("Restore").click()
        expect(lab.text(re.compile("29 rows of public.notes are as they were"))).to_be_visible()
        assert lab.inspect("archives_3_restored") == []
        with mr.connect(dsn, dir=tmp_path) as db:
            count = db.database.connection.execute("SELECT count(*) AS n FROM notes").fetchone()
            assert count is not None
            assert (count["n"] if isinstance(count, dict) else count[0]) == 30
    finally:
        lab.page.set_viewport_size(before)
        first_server.drop_database(name)
