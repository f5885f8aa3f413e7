"""A difference of two states of a database is DDL, of each kind of object, and in each place that shows it."""

import io
import re

import every_kind
import psycopg
import pytest
from every_kind import SCHEMA

from migrollback_nb.cli import run
from migrollback_nb.core.results import SchemaChange
from migrollback_nb.undo.ddl.definitions import definitions


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
        assert not one.new.startswith("-- "), one.heading
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


def test_every_kind_is_shown_as_a_statement(db, session):
    before = db.snapshot("before")
    session().execute(SCHEMA)
    found = db.diff(before).definitions
    assert len({one.kind for one in found}) > 30
    assert [f"{one.kind} {one.identity}\n{one.new}" for one in found if one.new.startswith("-- ")] == []
    texts = "\n".join(one.new for one in found)
    for words in (
        "CREATE TYPE plain.base (\n    INPUT = plain.base_in,\n    OUTPUT = plain.base_out,\n    INTERNALLENGTH = 4,",
        'CREATE OPERATOR CLASS "Weird ""name"."Class" FOR TYPE integer USING btree FAMILY "Family" AS',
        "ADD\n    OPERATOR 1 <(integer,integer),",
        'CREATE TEXT SEARCH CONFIGURATION plain."Configuration" (PARSER = "default");',
        "ADD MAPPING FOR asciiword WITH simple;",
        "TEMPLATE = simple,\n    stopwords = 'english'",
        "START = prsd_start",
        "LEXIZE = dsimple_lexize",
        'CREATE TRANSFORM FOR integer LANGUAGE "Own" (\n    FROM SQL WITH FUNCTION prsd_lextype(internal)',
    ):
        assert words in texts, words


def test_what_changed_of_a_rare_kind_is_shown_by_its_statement(db, session):
    session().execute(SCHEMA)
    before = db.snapshot("before")
    session().execute(
        'ALTER TEXT SEARCH CONFIGURATION plain."Configuration" DROP MAPPING FOR uint;'
        ' ALTER OPERATOR FAMILY "Weird ""name"."Family" USING btree ADD FUNCTION 4 (int, int) btequalimage(oid)'
    )
    lines = db.diff(before).unified()
    assert '-ALTER TEXT SEARCH CONFIGURATION plain."Configuration" ADD MAPPING FOR uint WITH simple;' in lines
    assert "+    FUNCTION 4 (integer, integer) btequalimage;" in lines
