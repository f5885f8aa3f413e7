"""How long a person waits for a panel: opening on long histories, and from a click to the shown result on the demo."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg

import migrollback_nb as mr
from migrollback_nb.cli import demo
from migrollback_nb.panels import GraphPanel, HistoryPanel, RollbackPanel

from .conftest import Measure, seconds

TOP = "20250120_add_project_tags"


def fill(dsn: str, count: int) -> None:
    """A long history, two thirds of it resting on something else, one in ten rolled back."""
    with mr.connect(dsn) as db:
        db.install()
        db.database.commands.register_many(
            [
                {
                    "name": f"{number:07d}_step_of_a_long_life",
                    "version": f"{number:07d}",
                    "rollback_sql": f"DROP TABLE IF EXISTS t{number};\n" * 20,
                    "depends_on": (
                        [f"{number - 1 - number % 7:07d}_step_of_a_long_life"] if number % 3 and number > 10 else []
                    ),
                }
                for number in range(count)
            ]
        )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "UPDATE migration_history SET status = 'rolled_back', rollback_at = now() WHERE migration_version ~ '0$'"
        )


async def shown(kind: type, db: mr.Migrations) -> None:
    """Make a panel as the loop of a kernel does: what is put off comes after it."""
    kind(db)


def test_opening_on_a_long_history(benchmark: Callable, table: list[Measure], new_database: Callable[[], str]) -> None:
    for kind, count in ((GraphPanel, 5_000), (HistoryPanel, 10_000)):
        dsn = new_database()
        fill(dsn, count)
        with mr.connect(dsn) as db:
            assert kind(db).error is None
            # as in a kernel, where verdicts are read once the picture is there
            took = seconds(lambda kind=kind, db=db: asyncio.run(shown(kind, db)))
            table.append(
                Measure(
                    what=f"{kind.__name__} opens on {count:,} migrations",
                    ours=took,
                    compared_with="",
                    other=None,
                    bound="1 s",
                )
            )
            if kind is HistoryPanel:
                benchmark(db.list)


def test_from_a_click_to_the_result(
    benchmark: Callable, table: list[Measure], new_database: Callable[[], str], tmp_path: Path
) -> None:
    with mr.connect(new_database(), dir=tmp_path / "migrations") as db:
        (tmp_path / "migrations").mkdir()
        demo.load(db)
        panel = RollbackPanel(db, selected=TOP)

        def click(action: Callable[[], None]) -> None:
            action()
            assert panel.wait(60)

        checked = seconds(lambda: click(panel.check), 20)
        assert panel.check_result is not None, panel.error
        previewed = seconds(lambda: click(panel.preview), 20)
        assert panel.preview_result is not None, panel.error
        benchmark(lambda: click(panel.check))
    table.append(
        Measure(what="from a click to the result: Check", ours=checked, compared_with="", other=None, bound="200 ms")
    )
    table.append(
        Measure(
            what="from a click to the result: Preview", ours=previewed, compared_with="", other=None, bound="500 ms"
        )
    )
