"""A diff reads like a list of changes: what belongs to a table that came or went is told with it."""

import pytest

from migrollback_nb.core.results import SchemaChange, SchemaDiff


def change(what, kind, identity, old=None, new=None):
    return SchemaChange(change=what, kind=kind, identity=identity, old_definition=old, new_definition=new)


@pytest.mark.parametrize(
    ("kind", "identity", "definition", "parent"),
    [
        ("column", "public.t.a", {}, "public.t"),
        ("column", 'public."odd.name"."a.b"', {}, 'public."odd.name"'),
        ("column", '"a ""b"".c".t."x y"', {}, '"a ""b"".c".t'),
        ("constraint", "public.t t_pkey", {}, "public.t"),
        ("constraint", '"S"."T x" "c y"', {}, '"S"."T x"'),
        ("trigger", "public.t fires", {}, "public.t"),
        ("policy", 'public.t "mine and yours"', {}, "public.t"),
        ("rule", "public.t r", {}, "public.t"),
        ("index", "public.i", {"on": "public.t"}, "public.t"),
        ("index", "public.i", {}, None),
        ("sequence", "public.t_id_seq", {"owned_by": "public.t.id a"}, "public.t"),
        ("sequence", "public.s", {}, None),
        ("comment", "table public.t", {}, "public.t"),
        ("comment", "column public.t.a", {}, "public.t"),
        ("comment", "table column public.t.a", {}, "public.t"),
        ("comment", "materialized view column public.m.a", {}, "public.m"),
        ("comment", "table constraint c on public.t", {}, "public.t"),
        ("comment", "domain constraint c on public.d", {}, "public.d"),
        ("domain constraint", "public.d positive", {}, "public.d"),
        ("comment", "materialized view public.m", {}, "public.m"),
        ("comment", "constraint c on public.t", {}, "public.t"),
        ("comment", 'policy "on x" on public."t on u"', {}, 'public."t on u"'),
        ("comment", "function public.f(integer)", {}, "public.f(integer)"),
        ("grant", "relation public.t", {}, "public.t"),
        ("grant", "column public.t.a", {}, "public.t"),
        ("grant", "routine public.f(integer)", {}, "public.f(integer)"),
        ("table", "public.t", {}, None),
        ("enum", "public.mood", {}, None),
    ],
)
def test_what_an_object_belongs_to(kind, identity, definition, parent):
    assert change("dropped", kind, identity, old=definition).parent == parent


def test_parts_of_what_came_or_went_are_not_told_apart():
    diff = SchemaDiff(
        changes=(
            change("dropped", "column", "public.t.a", old={"type": "integer"}),
            change("dropped", "index", "public.i", old={"on": "public.t"}),
            change("dropped", "table", "public.t", old={"columns": ["a"]}),
            change("dropped", "column", "public.other.b", old={"type": "integer"}),
            change("created", "comment", "table public.other", new={"text": "x"}),
        )
    )
    assert diff.lines() == (
        "+ comment table public.other",
        "- table public.t (with 2 of its parts)",
        "- column public.other.b",
    )
    assert diff.counts == "1 created, 4 dropped"


def test_old_and_new_stand_side_by_side():
    diff = SchemaDiff(
        changes=(
            change(
                "changed",
                "column",
                "public.t.a",
                old={"type": "integer", "notnull": True},
                new={"type": "bigint", "notnull": True},
            ),
        )
    )
    assert diff.lines() == ("~ column public.t.a", "    type: integer -> bigint")
    html = diff._repr_html_()
    assert "type: integer -&gt; bigint" in html
    assert "notnull" not in html


def test_long_definitions_are_cut_in_the_terminal_and_whole_in_json():
    diff = SchemaDiff(
        changes=(
            change("changed", "view", "public.v", old={"query": "SELECT 1"}, new={"query": "SELECT " + "x" * 500}),
        )
    )
    assert max(map(len, diff.lines())) < 200
    assert len(diff.to_dict()["changes"][0]["new_definition"]["query"]) == 507


def test_of_long_definitions_the_place_where_they_begin_to_differ_is_shown():
    body = "SELECT " + "x, " * 200
    diff = SchemaDiff(
        changes=(
            change("changed", "view", "public.v", old={"query": body + "1 AS one"}, new={"query": body + "2 AS two"}),
        )
    )
    assert diff.lines()[1] == "    query: ..." + ("x, " * 7)[-20:] + "1 AS one -> ..." + ("x, " * 7)[-20:] + "2 AS two"


def test_nothing_is_false_and_says_so():
    assert not SchemaDiff(changes=())
    assert "no difference" in repr(SchemaDiff(changes=()))
