"""db.graph() and migrollback graph: what is selected, the views, the frames, and what no one looked for."""

import io
import json
from xml.etree import ElementTree as ET

import pytest

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.core.errors import MigrationNotFound, UsageError
from migrollback_nb.display import dot
from migrollback_nb.display.graph.facts import node_id
from migrollback_nb.display.graph.picture import VIEWS

BASE, USERS, ORDERS, NOTES, APART, GONE = (
    "20260101_schema",
    "20260102_users",
    "20260103_orders",
    "20260104_notes",
    "20260105_apart",
    "20260106_gone",
)
FILES = {
    BASE: ("CREATE SCHEMA app;", "DROP SCHEMA app;"),
    USERS: ("CREATE TABLE app.users (id int PRIMARY KEY);", "DROP TABLE app.users;"),
    ORDERS: (
        "CREATE TABLE app.orders (id int, user_id int REFERENCES app.users); CREATE INDEX i ON app.orders (id);",
        "DROP TABLE app.orders;",
    ),
    NOTES: ("ALTER TABLE app.orders ADD note text;", "ALTER TABLE app.orders DROP COLUMN note;"),
    APART: ("CREATE TABLE apart (a int);", None),
    GONE: ("CREATE VIEW app.v AS SELECT id FROM app.users;", "DROP VIEW app.v;"),
}


@pytest.fixture(scope="module")
def folder_of_all(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "migrations"
    folder.mkdir()
    for name, (up, rollback) in FILES.items():
        block = "" if rollback is None else f"\n-- ROLLBACK START\n{rollback}\n-- ROLLBACK END"
        (folder / f"{name}.sql").write_text(f"{up}{block}\n")
    return folder


@pytest.fixture(scope="module")
def shop(shared_database, folder_of_all):
    with mr.connect(shared_database, dir=folder_of_all) as db:
        db.apply(snapshots="none")
        db.rollback(GONE, confirm=GONE, reason="test", snapshots="none")
        yield db


def test_a_name_alone_brings_what_falls_and_what_it_depends_on_and_nothing_beside(shop):
    graph = shop.graph(ORDERS)
    assert graph.view == "dag"
    assert graph.names == (BASE, USERS, ORDERS, NOTES)
    assert graph.falling == shop.plan(ORDERS).steps == (NOTES, ORDERS)
    assert shop.graph(f"{ORDERS}.sql").names == graph.names


@pytest.mark.parametrize("name", [BASE, USERS, ORDERS, NOTES, APART])
def test_name_plus_is_the_plan_in_its_order(shop, name):
    graph = shop.graph(f"{name}+")
    assert graph.view == "plan"
    assert graph.falling == shop.plan(name).steps
    assert tuple(graph.drawing.names.values()) == graph.falling


def test_direction_and_depth_reach_each_way_by_itself(shop):
    assert shop.graph(USERS, direction="dependents").names == (USERS, ORDERS, NOTES, GONE)
    assert shop.graph(ORDERS, direction="dependents", depth=0).names == (ORDERS,)
    assert shop.graph(NOTES, direction="dependencies", depth=1).names == (ORDERS, NOTES)
    assert shop.graph(f"+{ORDERS}").chosen == (ORDERS,)
    assert shop.graph(ORDERS, exclude=NOTES).names == (BASE, USERS, ORDERS)


def test_a_name_alone_is_marked_among_all_lanes(shop):
    graph = shop.graph(ORDERS, view="lanes")
    assert graph.names == tuple(FILES)
    said = {graph.drawing.names[node]: words for node, words in graph.drawing.words.items()}
    assert "falls, number 1 of 2" in said[NOTES]
    assert "needed" in said[USERS]
    assert shop.graph(ORDERS, view="lanes", depth=0).names == (ORDERS,)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_shows_itself_in_a_cell(shop, view):
    graph = shop.graph(view=view)
    bundle = graph._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/svg+xml", "text/plain"}
    assert "<svg" in bundle["text/html"]
    assert "overflow:auto" in bundle["text/html"]
    assert f"{NOTES}</td><td" in bundle["text/html"], "the reasons stand under it"
    assert ET.fromstring(bundle["image/svg+xml"]).tag.endswith("svg")
    assert graph.drawing.heading


def test_without_a_selection_a_few_are_a_dag_and_our_own_migration_is_not_among_them(shop):
    graph = shop.graph()
    assert graph.view == "dag"
    assert graph.names == tuple(FILES)
    assert shop.graph(group="schema").view == "lanes"


def test_the_plan_says_what_has_no_rollback_and_what_loses(shop):
    assert "✗ no rollback SQL" in shop.graph(f"{APART}+").svg
    shop.database.connection.execute("INSERT INTO app.users VALUES (1)")
    assert "loses data" in shop.graph(f"{USERS}+").svg


def test_tables_and_foreign_keys(shop):
    fold = shop.graph(view="tables")
    assert ("fold app.orders", "fold app.users") in fold.drawing.edges
    keys = shop.graph(f"{USERS}+", view="er")
    assert ("table app.orders", "table app.users") in keys.drawing.edges
    objects = shop.graph(NOTES, view="objects")
    assert any("table app.orders" in name for name in objects.drawing.names.values())


def test_frames_of_nodes_and_edges(shop):
    graph = shop.graph(ORDERS)
    nodes = graph.nodes.set_index("migration_name")
    assert list(nodes.index) == [BASE, USERS, ORDERS, NOTES]
    assert nodes.loc[ORDERS, "tables"] == ("app.orders",)
    assert list(nodes["mark"].astype(object)) == ["needed", "needed", "chosen", "falls"]
    assert nodes.loc[NOTES, "step"] == 1
    assert nodes.loc[USERS, "newer_outside"] == 1, "the view that is rolled back"
    edges = graph.edges
    assert {(row.migration_name, row.depends_on) for row in edges.itertuples()} >= {(ORDERS, USERS), (NOTES, ORDERS)}
    assert edges.loc[edges["migration_name"].eq(NOTES), "because"].iloc[0] == "table app.orders"
    assert edges.loc[edges["depends_on"].eq(BASE), "schema_only"].any()
    assert shop.graph(APART).edges.dtypes.equals(edges.dtypes)
    merged = graph.nodes.merge(shop.list(), on="migration_name", suffixes=(None, "_list"))
    assert len(merged) == 4


def test_other_forms(shop, tmp_path):
    graph = shop.graph(ORDERS)
    networkx = pytest.importorskip("networkx")
    found = graph.to_networkx()
    assert networkx.ancestors(found, USERS) == {ORDERS, NOTES}
    assert graph.mermaid.startswith("flowchart RL\n")
    assert "digraph" in graph.digraph.source
    for name, begins in {"x.svg": "<svg", "x.html": "<!doctype", "x.mmd": "flowchart", "x.dot": "digraph"}.items():
        assert graph.save(tmp_path / name).read_text(encoding="utf-8").lstrip("/ ").startswith(begins)
    with pytest.raises(UsageError, match=r"no form for \.png"):
        graph.save(tmp_path / "x.png")


@pytest.mark.parametrize(
    "options",
    [
        {"view": "circle"},
        {"direction": "up"},
        {"edges": "some"},
        {"group": "colour"},
        {"view": "dag", "group": "table"},
        {"limit": 0},
        {"depth": -1},
        {"rank": "RL"},
        {"theme": "blue"},
        {"labels": "long"},
    ],
)
def test_an_option_that_is_none_is_refused_in_words(shop, options):
    with pytest.raises(UsageError):
        shop.graph(**options)


def test_an_unknown_name_says_what_is_near(shop):
    with pytest.raises(MigrationNotFound, match="20260102_user"):
        shop.graph("20260102_user")


def test_where_no_one_looked_it_looks_or_says_so(shop):
    with shop.database.connection.transaction(force_rollback=True):
        shop.database.connection.execute("SET LOCAL session_replication_role = replica")
        shop.database.connection.execute("DELETE FROM migration_dependencies")
        shop.database.connection.execute("DELETE FROM migration_dependency_searches")
        said = shop.graph(edges="recorded")
        assert not said.part.edges
        assert any(line.startswith("Not inferred yet: of 5 migrations") for line in said.drawing.heading)
        looked = shop.graph(ORDERS)
        assert looked.falling == (NOTES, ORDERS)
        assert any("inferred just now" in line for line in looked.drawing.heading)
        assert looked.edges["recorded"].isna().all()


def test_without_dot_it_draws_what_needs_none_and_says_so(shop, monkeypatch):
    monkeypatch.setattr(dot, "find_dot", lambda: None)
    whole, chosen = shop.graph(view="dag"), shop.graph(ORDERS)
    for graph in (whole, chosen):
        assert any("There is no dot" in line for line in graph.drawing.heading)
        assert set(graph.drawing.names.values()) <= set(FILES)
    assert tuple(chosen.drawing.names.values()) == (NOTES, ORDERS)


def run(shop, *words):
    out, err = io.StringIO(), io.StringIO()
    dsn = shop.database.connection.info.dsn
    status = cli.run([*words, "--dsn", dsn, "--dir", str(shop.folder_path)], out, err)
    return status, out.getvalue(), err.getvalue()


def test_the_terminal_prints_saves_and_gives_json(shop, tmp_path):
    status, out, _ = run(shop, "graph", f"{ORDERS}+")
    assert status == 0
    assert out.startswith(f"Plan of {ORDERS}: 2 steps")
    assert f"{NOTES} (applied" in out
    file = tmp_path / "x.svg"
    status, out, _ = run(shop, "graph", f"{ORDERS}+", "--view", "lanes", "--theme", "dark", "-o", str(file))
    assert (status, out.startswith(str(file))) == (0, True)
    assert node_id(ORDERS) in file.read_text(encoding="utf-8")
    found = json.loads(run(shop, "graph", ORDERS, "--format", "json")[1])
    assert found["falling"] == [NOTES, ORDERS]
    assert [row["migration_name"] for row in found["nodes"]] == [BASE, USERS, ORDERS, NOTES]
    assert run(shop, "graph", "--format", "mermaid")[1].startswith("flowchart")
    assert run(shop, "graph", ORDERS, APART, "--format", "tsv")[1].startswith("migration_name\tdepends_on")
    assert run(shop, "graph", "--limit", "few")[0] == 2


@pytest.fixture(scope="module")
def history(history_database):
    with mr.connect(history_database) as db:
        yield db


def test_on_a_history_of_400_what_falls_is_the_plan_of_each_of_20(history):
    whole = history.graph()
    assert whole.view == "lanes"
    assert set(whole.drawing.names.values()) == set(whole.names)
    assert whole.drawing.width < 1160
    assert whole.drawing.height < 660
    counts = whole.part.dependents_count()
    names = sorted(counts, key=counts.get)[:: len(counts) // 19]
    assert len(names) >= 20
    for name in names:
        steps = history.plan(name).steps
        graph = history.graph(f"{name}+")
        assert graph.view == "plan"
        assert graph.falling == steps
        assert tuple(graph.drawing.names.values()) == steps
        assert graph.drawing.width < 1160, "no scrolling sideways"
        assert graph.nodes.set_index("migration_name")["step"].loc[list(steps)].tolist() == list(
            range(1, len(steps) + 1)
        )


def test_a_part_of_a_long_history_says_what_leads_outside(history):
    graph = history.graph("last:40", view="dag")
    lead = sum(graph.nodes["newer_outside"] + graph.nodes["older_outside"])
    assert lead
    assert f"{lead:,} edges lead outside" in " ".join(graph.drawing.heading)
    for name, older in graph.nodes.set_index("migration_name")["older_outside"].items():
        assert not older or f"+{older} older" in graph.svg, name
