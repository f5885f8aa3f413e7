"""A difference of two states of a database is DDL, of each kind of object, and in each place that shows it."""

import io
import re

import every_kind
import psycopg
import pytest

from migrollback_nb.cli import run
from migrollback_nb.core.results import SchemaChange
from migrollback_nb.undo.ddl.definitions import definitions

#: Kinds whose CREATE is not written; they are shown as a snapshot has them.
NOT_WRITTEN = (
    "base type", "operator class", "operator family",
    "text search configuration", "text search dictionary", "text search parser/template", "transform",
)  # fmt: skip


def test_a_rehearsal_a_verification_and_the_terminal_show_ddl(db, applied, database_dsn):
    applied(
        "001_shop",
        "CREATE TABLE shop (id int PRIMARY KEY, name varchar(20)); CREATE INDEX by_name ON shop (name)",
        "DROP TABLE shop",
    )
    before = db.snapshot("001_shop")
    applied(
        "002_names",
        "ALTER TABLE shop ALTER name TYPE text, ADD CONSTRAINT named CHECK (name <> '')",
        "ALTER TABLE shop DROP CONSTRAINT named; ALTER TABLE shop ALTER name TYPE varchar(20)",
    )
    out = io.StringIO()
    assert run(["diff", before, "--dsn", database_dsn], out, io.StringIO()) == 1
    assert out.getvalue().splitlines()[3:] == [
        "@@ public.shop @@",
        "-    name character varying(20)",
        "+    name text",
        "+    CONSTRAINT named CHECK ((name <> ''::text))",
    ]
    assert db.diff(before).sql == (
        "ALTER TABLE public.shop ALTER COLUMN name TYPE text USING name::text;\n"
        "ALTER TABLE public.shop ADD CONSTRAINT named CHECK ((name <> ''::text));"
    )
    html = db.rehearse("002_names")._repr_html_()
    assert re.search(r"<del [^>]*>text</del>", html)
    assert re.search(r"<ins [^>]*>character varying\(20\)</ins>", html)
    done = db.rollback("001_shop", chain=True, confirm="001_shop")
    (gone,) = done.verification.changes.definitions
    assert gone.old == (
        "CREATE TABLE public.shop (\n    id integer NOT NULL,\n    name text,\n"
        "    CONSTRAINT named CHECK ((name <> ''::text)),\n"
        "    CONSTRAINT shop_pkey PRIMARY KEY (id)\n);\nCREATE INDEX by_name ON public.shop USING btree (name);"
    )


@pytest.mark.long
@pytest.mark.versions
def test_each_kind_of_object_and_each_change_has_a_text_of_its_own(db, database_dsn):
    empty = db.snapshot("empty")
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        major = connection.info.server_version // 10000
        connection.execute(every_kind.SCHEMA)
        for since, more in every_kind.SINCE.items():
            if since <= major:
                connection.execute(more)
    for one in db.diff(empty).definitions:
        assert one.change == "created" or one.kind in ("schema", None), one.heading
        assert one.new, one.heading
        assert one.new.startswith("-- ") == (one.kind in NOT_WRITTEN), one.heading
    full = db.snapshot("full")
    with psycopg.connect(database_dsn) as connection:
        for since, statement in every_kind.CHANGES:
            if since > major:
                continue
            connection.execute(statement)
            rows = connection.execute("SELECT * FROM diff_migration_snapshots(%s::uuid)", [full]).fetchall()
            connection.rollback()
            keys = ("change", "kind", "identity", "old_definition", "new_definition")
            changes = [SchemaChange(**dict(zip(keys, row, strict=True))) for row in rows]
            for one in definitions(changes):
                assert one.old != one.new, (statement, one.heading)
                assert any(line[0] in "+-" for line in one.lines()), statement
