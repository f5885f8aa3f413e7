"""A diff shows DDL: what came or went whole, of what stays the lines that differ, old beside new, the words marked."""

import copy
import pickle
import re

import pytest

from migrollback_nb.core.later import Later
from migrollback_nb.core.results import SchemaChange, SchemaDiff
from migrollback_nb.core.side_by_side import pairs, side_by_side, unified
from migrollback_nb.undo.ddl.definitions import definitions, with_definitions

HOSTILE = '<script>alert("x")</script>\u202e'


def change(what, kind, identity, old=None, new=None):
    return SchemaChange(change=what, kind=kind, identity=identity, old_definition=old, new_definition=new)


def column(**more):
    return {"type": "integer", "notnull": False} | more


TABLE = (
    change("created", "table", "public.t", new={"columns": ["a", "b"], "owner": "me", "persistence": "p"}),
    change("created", "column", "public.t.a", new=column(notnull=True)),
    change("created", "column", "public.t.b", new=column(type="text", default="'x'::text")),
    change("created", "constraint", "public.t t_pkey", new={"def": "PRIMARY KEY (a)", "validated": True}),
    change("created", "index", "public.t_b", new={"on": "public.t", "def": "CREATE INDEX t_b ON public.t (b)"}),
    change("created", "comment", "table public.t", new={"text": "it's"}),
)
CREATED = """\
CREATE TABLE public.t (
    a integer NOT NULL,
    b text DEFAULT 'x'::text,
    CONSTRAINT t_pkey PRIMARY KEY (a)
);
CREATE INDEX t_b ON public.t (b);
COMMENT ON TABLE public.t IS 'it''s';"""


def only(*changes):
    (one,) = definitions(changes)
    return one


def test_a_table_that_came_is_shown_whole():
    one = only(*TABLE)
    assert (one.change, one.heading, one.old, one.new) == ("created", "table public.t", "", CREATED)


def test_a_table_that_went_is_shown_as_it_was_and_its_statement_is_drop():
    went = [change("dropped", one.kind, one.identity, old=one.new_definition) for one in TABLE]
    one = only(*went)
    assert (one.change, one.old, one.new) == ("dropped", CREATED, "")
    assert one.statements == ("DROP TABLE public.t",)


def test_of_a_table_that_stays_the_lines_that_differ_are_shown():
    one = only(
        change("changed", "column", "public.t.a", old=column(notnull=True), new=column(type="bigint", notnull=True)),
        change("dropped", "column", "public.t.b", old=column(type="text")),
        change("created", "constraint", "public.t a_ok", new={"def": "CHECK (a > 0)", "validated": True}),
        change("changed", "comment", "table column public.t.a", old={"text": "x"}, new={"text": "y"}),
    )
    assert (one.change, one.heading) == ("changed", "public.t")
    assert one.lines() == [
        "@@ public.t @@",
        "-    a integer NOT NULL",
        "+    a bigint NOT NULL",
        "-    b text",
        "+    CONSTRAINT a_ok CHECK (a > 0)",
        "-COMMENT ON COLUMN public.t.a IS 'x';",
        "+COMMENT ON COLUMN public.t.a IS 'y';",
    ]
    assert "ALTER TABLE public.t DROP COLUMN b" in one.statements
    assert any(text.startswith("ALTER TABLE public.t ALTER COLUMN a TYPE bigint") for text in one.statements)


@pytest.mark.parametrize(
    ("now", "statements"),
    [
        (["sad", "ok", "fine"], ("ALTER TYPE public.mood ADD VALUE 'fine'",)),
        (["bad", "sad", "ok"], ("ALTER TYPE public.mood ADD VALUE 'bad' BEFORE 'sad'",)),
        (["sad", "so", "la", "ok"], (
            "ALTER TYPE public.mood ADD VALUE 'so' AFTER 'sad'",
            "ALTER TYPE public.mood ADD VALUE 'la' AFTER 'so'",
        )),
    ],
)  # fmt: skip
def test_values_are_added_to_an_enum(now, statements):
    was = ["sad", "ok"]
    one = only(change("changed", "enum", "public.mood", old={"labels": was}, new={"labels": now}))
    assert one.statements == statements


def test_what_has_no_ddl_is_shown_as_the_snapshot_has_it():
    one = only(change("changed", "setting", "work_mem of role *", old={"value": "4MB"}, new={"value": "5MB"}))
    assert one.lines()[1:] == [" -- setting work_mem of role *", "---     value: 4MB", "+--     value: 5MB"]


def test_a_change_that_ddl_does_not_say_is_said():
    one = only(
        change(
            "changed", "view", "public.v", old={"query": "SELECT 1;", "odd": 1}, new={"query": "SELECT 1;", "odd": 2}
        )
    )
    assert "---     odd: 1" in one.lines()
    assert "+--     odd: 2" in one.lines()


@pytest.mark.parametrize("kind", ["table", "column", "view", "function", "constraint", "index", "domain", "sequence"])
def test_a_definition_that_lacks_all_that_is_known_is_shown_all_the_same(kind):
    one = only(change("created", kind, "public.x", new={"of_another_version": HOSTILE}))
    assert one.new
    html = with_definitions(
        SchemaDiff(changes=(change("created", kind, HOSTILE, new={"of_another_version": HOSTILE}),), old=HOSTILE)
    )._repr_html_()
    assert "<script>" not in html
    assert "\u202e" not in html


def test_a_view_in_the_place_of_a_table_is_one_object_with_two_texts():
    one = only(
        change("dropped", "table", "public.t", old={"columns": []}),
        change("created", "view", "public.t", new={"query": "SELECT 1;", "columns": []}),
    )
    assert (one.change, one.old, one.new) == (
        "changed", "CREATE TABLE public.t ();", "CREATE VIEW public.t AS\nSELECT 1;",
    )  # fmt: skip


def test_changed_words_are_marked_and_escaped():
    html = side_by_side("a <b> int", "a <b> text", ("was", "is"))
    assert html.count("<del") == html.count("<ins") == 1
    assert ">int</del>" in html
    assert ">text</ins>" in html
    assert "<b>" not in html


def test_of_a_long_body_the_place_that_differs_is_shown():
    old = [f"line {number}" for number in range(10_000)]
    new = [*old[:5_000], "another", *old[5_001:]]
    lines = unified("\n".join(old), "\n".join(new))
    assert lines == [
        "     (4,997 lines that stay)", " line 4997", " line 4998", " line 4999", "-line 5000", "+another",
        " line 5001", " line 5002", " line 5003", "     (4,996 lines that stay)",
    ]  # fmt: skip


def test_a_line_stands_beside_the_likest():
    found = pairs("a integer\nb text", "zero bytea\na bigint\nb text NOT NULL")
    assert [(one.old, one.new) for one in found] == [
        (None, "zero bytea"), ("a integer", "a bigint"), ("b text", "b text NOT NULL"),
    ]  # fmt: skip


def test_each_ground_has_ink_that_reads_on_it_and_follows_the_page():
    for html in (
        side_by_side("a", "b", ("was", "is")),
        with_definitions(SchemaDiff(changes=TABLE))._repr_html_(),
    ):
        # the class by which a page in the dark says so
        assert 'class="migrollback-sql migrollback-diff"' in html
        grounds = re.findall(r'style="([^"]*background:light-dark[^"]*)"', html)
        assert grounds
        assert all("color:light-dark" in style or "color:inherit" in style for style in grounds)


LIBC = {"collprovider": "c", "collcollate": "C", "collctype": "C"}


@pytest.mark.parametrize(
    ("kind", "definition", "text"),
    [
        ("collation", LIBC, "CREATE COLLATION x.y (PROVIDER = libc, LOCALE = 'C');"),
        ("collation", {**LIBC, "collctype": "POSIX"},
         "CREATE COLLATION x.y (PROVIDER = libc, LC_COLLATE = 'C', LC_CTYPE = 'POSIX');"),
        ("collation", {"collprovider": "i", "colliculocale": "und-u-ks-level2", "collisdeterministic": False},
         "CREATE COLLATION x.y (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);"),
        ("conversion", {"for": "LATIN1", "to": "UTF8", "proc": "iso8859_1_to_utf8", "default": False},
         "CREATE CONVERSION x.y FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;"),
        ("language", {"trusted": True, "handler": "p.h", "inline": "p.i", "validator": None},
         "CREATE TRUSTED LANGUAGE x.y HANDLER p.h INLINE p.i;"),
        ("access method", {"type": "t", "handler": "heap_tableam_handler"},
         "CREATE ACCESS METHOD x.y TYPE TABLE HANDLER heap_tableam_handler;"),
    ],
)  # fmt: skip
def test_what_few_databases_have_is_written_too(kind, definition, text):
    assert only(change("created", kind, "x.y", new=definition)).new == text


def test_definitions_that_are_made_later_are_those_of_a_tuple():
    calls = []

    def make():
        calls.append(1)
        return ("a", "b")

    later = Later(make)
    kept = SchemaDiff(changes=(), definitions=later)
    assert not calls
    assert later == ("a", "b")
    assert later == Later(lambda: ("a", "b"))
    assert later != ("a",)
    assert (later[0], later[1:], len(later), list(later)) == ("a", ("b",), 2, ["a", "b"])
    assert repr(later) == "('a', 'b')"
    assert hash(later) == hash(("a", "b"))
    assert pickle.loads(pickle.dumps(kept)).definitions == ("a", "b")  # our own bytes
    assert copy.deepcopy(kept) == SchemaDiff(changes=(), definitions=("a", "b"))
    assert calls == [1]
