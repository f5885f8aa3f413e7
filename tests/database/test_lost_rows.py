"""A look at rows and values that a rollback would lose: asked for, at most 20 of a table, nothing of it kept."""

import io
import json
import re

import psycopg
import pytest
from panel_parts import part
from pg_servers import with_migrations

import migrollback_nb as mr
from migrollback_nb.cli import run
from migrollback_nb.panels import RollbackPanel
from migrollback_nb.panels.lost_rows_view import _rows_html

FILES = {
    "001_base": (
        "CREATE TABLE base (id int PRIMARY KEY, name text, secret text, at date);"
        " INSERT INTO base SELECT n, 'name ' || n, CASE WHEN n % 2 = 0 THEN repeat('s', 900) END, NULL"
        " FROM generate_series(1, 50) n"
    ),
    "002_table": 'CREATE TABLE more ("Odd ""x" int, b text); INSERT INTO more SELECT generate_series(1, 50)',
    "003_column": "ALTER TABLE base ADD COLUMN extra text; UPDATE base SET extra = 'kept ' || id WHERE id <= 3",
    "004_some": "INSERT INTO base VALUES (100, 'x', NULL, NULL)",
    "005_all": "CREATE TABLE own (a int); INSERT INTO own VALUES (1), (NULL)",
    "006_none": "CREATE VIEW nothing AS SELECT 1",
    "007_guarded": "CREATE TABLE guarded (a int); INSERT INTO guarded VALUES (1)",
}
ROLLBACKS = {
    "001_base": "DROP TABLE base",
    "002_table": "DROP TABLE more",
    "003_column": "ALTER TABLE base DROP COLUMN extra, DROP COLUMN secret",
    "004_some": "DELETE FROM base WHERE id = 100",
    "005_all": "DELETE FROM own",
    "006_none": "DROP VIEW nothing",
    "007_guarded": "DROP TABLE guarded",
}


@pytest.fixture(scope="module")
def dsn(server, tmp_path_factory):
    files = {name: f"{up};\n-- ROLLBACK START\n{ROLLBACKS[name]};\n-- ROLLBACK END\n" for name, up in FILES.items()}
    yield from (server.dsn(name) for name in with_migrations(server, tmp_path_factory.mktemp("rows") / "m", files))


@pytest.fixture
def db(dsn):
    with mr.connect(dsn) as found:
        yield found


def test_of_a_dropped_table_twenty_whole_rows(db):
    (table,) = db.lost_rows("002_table").tables
    assert (table.relation, table.what, table.columns, table.lost_columns) == (
        "public.more", "table dropped", ('Odd "x', "b"), (),
    )  # fmt: skip
    assert table.rows == tuple((str(number), None) for number in range(1, 21))
    assert db.lost_rows("002_table.sql", limit=3).to_frame().shape == (3, 2)
    assert len(db.lost_rows("002_table", limit=5000).tables[0].rows) == 20


def test_of_dropped_columns_their_values_with_the_key_cut_where_long(db):
    (table,) = db.lost_rows("003_column").tables
    assert (table.columns, table.lost_columns) == (("id", "secret", "extra"), ("secret", "extra"))
    # updated rows lie at the end
    assert len(table.rows) == 20
    assert {(row[0], row[1], row[2]) for row in table.rows} >= {("4", "s" * 500, None), ("6", "s" * 500, None)}
    assert all(row[1] or row[2] for row in table.rows)


def test_rows_that_a_condition_picks_are_left_to_a_rehearsal(db):
    (table,) = db.lost_rows("004_some").tables
    assert (table.rows, table.remark) == ((), "only rows that meet a condition go: a rehearsal counts them")


def test_what_is_deleted_whole_and_what_loses_nothing(db):
    assert db.lost_rows("005_all").tables[0].rows == (("1",), (None,))
    assert db.lost_rows("006_none").tables == ()
    assert not db.lost_rows("006_none")
    with pytest.raises(mr.MigrationNotFound):
        db.lost_rows("no_such")


def test_no_one_waits_and_nothing_is_kept(db, dsn):
    before = db.events().shape
    with psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE more")
        (table,) = db.lost_rows("002_table").tables
        assert table.remark == "another session has locked the table: look again later"
    with psycopg.connect(dsn, options="-c default_transaction_read_only=on", autocommit=True) as reader:
        found = reader.execute(
            "SELECT count(*), max(jsonb_array_length(rows)) FROM migration_lost_rows('002_table', 7)"
        )
        assert found.fetchone() == (1, 7)
    assert db.events().shape == before


def test_who_sees_only_some_rows_is_shown_none(db, dsn):
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY")
        admin.execute("CREATE ROLE looks_at_rows; GRANT USAGE ON SCHEMA public TO looks_at_rows;"
                      " GRANT SELECT ON guarded, migration_history TO looks_at_rows;"
                      " GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO looks_at_rows")  # fmt: skip
        try:
            admin.execute("SET ROLE looks_at_rows")
            remarks = [
                admin.execute("SELECT remark FROM migration_lost_rows(%s)", [name]).fetchone()[0]
                for name in ("007_guarded", "002_table")
            ]
        finally:
            admin.execute("RESET ROLE; DROP OWNED BY looks_at_rows; DROP ROLE looks_at_rows")
    assert remarks == ["row security may hide rows from you: none are shown", "you may not read the table"]


def test_the_terminal_looks_when_asked(dsn):
    def told(*argv):
        out = io.StringIO()
        assert run([*argv, "--dsn", dsn], out, io.StringIO()) in (0, 3)
        return out.getvalue()

    assert "ssss" not in told("check", "003_column")
    text = told("check", "003_column", "--rows")
    assert "public.base (column dropped): values of secret, extra, 20 shown" in text
    assert "ssss" in text
    found = json.loads(told("check", "003_column", "--rows", "--format", "json"))
    assert found["lost_rows"][0]["rows"][0] == ["4", "s" * 500, None]


def test_what_rows_hold_is_escaped_and_stays_out_of_a_repr():
    evil = "<script>\u202e"
    found = mr.LostRows.from_rows(
        evil,
        [
            {
                "relation": evil,
                "what": evil,
                "columns": [evil],
                "lost_columns": [],
                "rows": [[evil], [None]],
                "remark": evil,
            }
        ],
    )
    assert "<script>" not in found._repr_html_()
    assert "NULL" in found._repr_html_()
    assert evil not in repr(
        mr.LostRows.from_rows("x", [{**found.to_dict()["tables"][0], "relation": "t", "what": "w"}])
    )


def test_the_panel_looks_at_a_click_and_forgets_with_the_choice(db):
    panel = RollbackPanel(db)
    button, view = part(panel, "rows_button"), part(panel, "rows_view")
    assert button.disabled
    assert view.value == ""
    part(panel, "choice").value = "005_all"
    button.click()
    assert panel.wait(30)
    assert "public.own (deleted): rows, 2 shown" in view.value
    before = db.events().shape
    part(panel, "choice").value = "002_table"
    assert view.value == ""
    part(panel, "rehearse_button").click()
    assert panel.wait(30)
    assert view.value == ""
    button.click()
    assert panel.wait(30)
    assert "public.more (table dropped): rows, 20 shown" in view.value
    assert db.events().shape[0] == before[0] + 1  # the rehearsal's


def test_what_a_view_shows_is_escaped():
    row = {
        "relation": "<b>",
        "what": "<i>",
        "columns": ["<u>"],
        "lost_columns": [],
        "rows": [["<script>"]],
        "remark": None,
    }
    html = _rows_html((mr.LostRows.from_rows("1_<a>", [row]), mr.LostRows.from_rows("2", [])))
    assert "1_&lt;a&gt;" in html
    assert not {"<b>", "<i>", "<u>", "<script>"} & set(re.findall(r"<\w+>", html))
