"""Values that were kept, in a panel: a rollback keeps what it destroys, and it is put back after a preview."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from panel_parts import accept, part, preview

import migrollback_nb as mr
from migrollback_nb.panels import RollbackPanel

MORE = "CREATE TABLE more (id int PRIMARY KEY, v text);"


def rows(connection: Any) -> Any:
    return connection.execute("SELECT * FROM more ORDER BY 1").fetchall()


def click(panel: RollbackPanel, button: str) -> None:
    assert not part(panel, f"{button}_button").disabled, panel.missing
    part(panel, f"{button}_button").click()
    assert panel.wait(20)
    assert panel.error is None, panel.error


def test_what_a_rollback_destroys_is_kept_and_put_back_after_a_preview(
    db: mr.Migrations, write: Callable[..., Any], session: Any
) -> None:
    connection = session()
    write("001_a", MORE, "DROP TABLE more;")
    db.apply("001_a")
    connection.execute("INSERT INTO more SELECT n, 'm' || n FROM generate_series(1, 30) n")
    before = rows(connection)
    panel = RollbackPanel(db)
    assert part(panel, "archives_step").layout.display == "none", "nothing is kept yet"
    assert part(panel, "archive_box").disabled
    preview(panel, "001_a")
    part(panel, "archive_box").value = True
    part(panel, "name_field").value = "001_a"
    part(panel, "reason_field").value = "INC-7"
    accept(panel)
    click(panel, "rollback")
    assert (panel.archive, part(panel, "archives_step").layout.display) == (False, None)
    said = part(panel, "archives_view").value
    assert "public.more" in said
    assert "when it is applied again" in said
    (kept,) = panel.archives
    part(panel, "archive_field").value = kept["event"]
    part(panel, "restore_preview_button").click()
    assert panel.wait(20)
    assert isinstance(panel.error, mr.Refused), "it is not applied again"
    db.apply("001_a")
    connection.execute("INSERT INTO more VALUES (7, 'since')")
    click(panel, "refresh")
    assert "by Restore" in part(panel, "archives_view").value
    click(panel, "restore_preview")
    assert rows(connection) == [(7, "since")]
    said = part(panel, "restore_view").value
    assert "29 rows of public.more would be as they were" in said
    assert "Written since in public.more: 7" in said
    assert part(panel, "restore_button").disabled
    part(panel, "restore_field").value = "001_A"
    assert part(panel, "restore_button").disabled
    part(panel, "restore_field").value = "001_a"
    click(panel, "restore")
    assert rows(connection) == [(7, "since") if row[0] == 7 else row for row in before]
    assert "29 rows of public.more are as they were" in part(panel, "restore_view").value
    assert "was put back" in part(panel, "archives_view").value


def test_the_card_says_what_comes_back_and_another_choice_asks_for_a_new_preview(
    db: mr.Migrations, write: Callable[..., Any], session: Any
) -> None:
    connection = session()
    connection.execute(f"{MORE} INSERT INTO more SELECT n, 'm' FROM generate_series(1, 30) n")
    write("001_a", "UPDATE more SET v = 'x';", "SELECT 1;")
    db.apply("001_a", archive=True)
    connection.execute("UPDATE more SET v = 'since' WHERE id = 7")
    panel = RollbackPanel(db)
    assert "with its rollback" in part(panel, "archives_view").value
    assert part(panel, "archive_field").layout.display == "none", "its rollback puts it back"
    preview(panel, "001_a")
    assert "brings back from the archive: 30 rows of public.more (updated)" in part(panel, "card_view").value
    part(panel, "name_field").value = "001_a"
    part(panel, "reason_field").value = "INC-7"
    accept(panel)
    click(panel, "rollback")
    assert (7, "since") in rows(connection)
    (kept,) = panel.archives
    part(panel, "archive_field").value = kept["event"]
    click(panel, "restore_preview")
    part(panel, "restore_field").value = "001_a"
    assert not part(panel, "restore_button").disabled
    part(panel, "conflict_field").value = "archive"
    assert (panel.restoring.preview, panel.restoring.typed) == (None, "")
    assert part(panel, "restore_button").disabled
