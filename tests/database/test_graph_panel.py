"""GraphPanel on a real PostgreSQL: selectors, what falls as the plan has it, a look where nobody looked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pg_servers import with_migrations, with_system

import migrollback_nb as mr
from migrollback_nb.display.graph.facts import node_id
from migrollback_nb.panels import GraphPanel

if TYPE_CHECKING:
    from pg_servers import Server

FILES = {
    "001_users": "CREATE TABLE users (id int PRIMARY KEY);\n-- ROLLBACK START\n-- DROP TABLE users;\n-- ROLLBACK END\n",
    "002_orders": (
        "CREATE TABLE orders (user_id int REFERENCES users);\n"
        "-- ROLLBACK START\n-- DROP TABLE orders;\n-- ROLLBACK END\n"
    ),
    "003_notes": "-- Depends on: 001_users\nALTER TABLE orders ADD notes text;\n",
    "004_alone": "CREATE TABLE alone ();\n-- ROLLBACK START\n-- DROP TABLE alone;\n-- ROLLBACK END\n",
}


@pytest.fixture(scope="module")
def shop_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from with_migrations(server, tmp_path_factory.mktemp("shop") / "migrations", FILES)


@pytest.fixture
def database_template(request: pytest.FixtureRequest, server: Server) -> str:
    return request.getfixturevalue("shop_template") if "shop" in request.fixturenames else with_system(server)


@pytest.fixture
def shop(db: mr.Migrations, write_migration: Callable[[str, str], Path]) -> mr.Migrations:
    """Those migrations, applied."""
    for name, text in FILES.items():
        write_migration(name, text)
    return db


def test_a_selector_says_what_is_drawn_and_a_wrong_one_what_is_near(shop: mr.Migrations) -> None:
    panel = GraphPanel(shop, select="002_orders+")
    assert panel._names == ("002_orders", "003_notes")
    assert "2 of 4 migrations are selected" in panel.note_view.value
    panel.selector.value = "table:orders"
    assert panel._names == ("002_orders", "003_notes")
    panel.selector.value = "002_order"
    assert panel.selector.wrong
    assert "002_orders" in panel.note_view.value
    assert panel._names == tuple(FILES)  # and all of them are shown
    panel.selector.value = ""
    assert not panel.selector.wrong
    panel.selector._asked(None, {"complete": "table:us", "number": 1}, [])
    assert panel.selector.options == (("table:public.users", ""),)


def test_what_falls_is_the_plan(shop: mr.Migrations) -> None:
    panel = GraphPanel(shop)
    for name in FILES:
        assert panel.graph.graph.falling(name) == tuple(shop.plan(name).steps)
    assert panel.drawing.facts["bare"] == [0, 0, 1, 0]
    reasons = {tuple(edge[:2]): edge[4] for edge in panel.drawing.facts["edges"]}
    assert reasons[2, 0] == "declared by the file"
    assert "table public.orders" in reasons[2, 1]


def test_a_table_that_is_opened_selects_its_migrations(shop: mr.Migrations) -> None:
    panel = GraphPanel(shop, view="tables")
    node = node_id("fold public.orders")
    assert panel.drawing.groups[node] == [1, 2]
    panel.drawing._select(node)
    assert panel.selector.value == "table:public.orders"
    assert panel.drawing.view == "graph"
    assert panel._names == ("002_orders", "003_notes")


def test_a_look_finds_what_nobody_recorded_and_keeps_nothing(shop: mr.Migrations) -> None:
    shop.database.connection.execute("DELETE FROM migration_dependencies WHERE source = 'inferred'")
    shop.database.connection.execute("DELETE FROM migration_dependency_searches")
    panel = GraphPanel(shop)
    assert "Not inferred yet for 4 migrations" in panel.note_view.value
    panel.look_button.click()
    assert panel.wait(60)
    assert panel.error is None
    assert [1, 0, 1, 0] in [edge[:4] for edge in panel.drawing.facts["edges"]]
    assert "are not recorded" in panel.note_view.value
    assert panel.look_button.layout.display == "none"
    assert len(shop.database.queries.dependencies()) == 1
