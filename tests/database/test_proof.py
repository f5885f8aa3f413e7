"""verify: every grade and every remark, on each server; what it prints, and that it leaves nothing behind."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from xml.etree import ElementTree as ET

import psycopg
import pytest
from watching import eventually

import migrollback_nb as mr
from migrollback_nb import cli, frames
from migrollback_nb.proof import prove_folder
from migrollback_nb.results import MigrationProof, Proof
from migrollback_nb.scratch import PREFIX

KEYS = ["migration_name", "grade", "sqlstate", "statement", "differences", "remarks", "reapplies", "seconds"]


@pytest.fixture
def write(write_migration):
    """Write a migration: write("001_a", up, rollback or None, options)."""

    def write_one(name, up, rollback=None, *, header="", options=""):
        block = "" if rollback is None else f"\n-- ROLLBACK START{options}\n{rollback}\n-- ROLLBACK END\n"
        write_migration(name, f"{header}{up}\n{block}")

    return write_one


@pytest.fixture
def verdicts(server, folder):
    """Grades the folder of this test: name -> verdict."""

    def grade(*names):
        return {verdict.migration_name: verdict for verdict in prove_folder(folder, names, on=server.dsn()).migrations}

    return grade


def differing(verdict):
    return [(found.to_dict()["change"], found.to_dict()["kind"], found.identity) for found in verdict.differences]


# -- grades ----------------------------------------------------------------------------------------------------------


def test_what_comes_and_goes_restores_and_reapplies(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text NOT NULL);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a ADD COLUMN m int DEFAULT 3; CREATE INDEX ON a (m);", "ALTER TABLE a DROP COLUMN m;")
    found = verdicts()
    assert [(v.grade, v.reapplies, v.differences, v.remarks, v.sqlstate) for v in found.values()] == [("restores", True, (), (), None)] * 2


def test_a_column_that_comes_back_empty_loses_data_and_its_place_is_a_remark(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text, m int);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text;")
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.reapplies) == ("loses_data", True)
    assert verdict.differences[0].to_dict() == {
        "change": "lost",
        "kind": "rows",
        "identity": "public.a",
        "old_definition": {"rows": 3},
        "new_definition": {"rows": 0, "columns": ["n"]},
    }
    assert verdict.remarks == ("the columns of public.a stand in another order",)


def test_a_column_that_only_comes_back_last_restores(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text, m int);", "DROP TABLE a;")
    write(
        "002_b",
        "ALTER TABLE a ADD COLUMN kept text; UPDATE a SET kept = n; ALTER TABLE a DROP COLUMN n;",
        "ALTER TABLE a ADD COLUMN n text; UPDATE a SET n = kept; ALTER TABLE a DROP COLUMN kept;",
    )
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.reapplies, verdict.remarks) == ("restores", True, ("the columns of public.a stand in another order",))


@pytest.mark.parametrize(
    ("up", "rollback"),
    [
        ("DROP TABLE a;", "CREATE TABLE a (id int PRIMARY KEY, n text);"),
        ("TRUNCATE a;", "SELECT 1;"),
        ("DELETE FROM a WHERE id = (SELECT min(id) FROM a);", "SELECT 1;"),
        ("UPDATE a SET n = n || '!';", "UPDATE a SET n = n;"),
        ("ALTER TABLE a ALTER n TYPE varchar(2) USING left(n, 2);", "ALTER TABLE a ALTER n TYPE text;"),
    ],
    ids=["dropped table", "truncated", "deleted", "updated", "cut"],
)
def test_rows_and_values_that_are_gone_are_seen(write, verdicts, up, rollback):
    write("001_a", "CREATE TABLE a (id int PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", up, rollback)
    verdict = verdicts()["002_b"]
    assert (verdict.grade, differing(verdict)) == ("loses_data", [("lost", "rows", "public.a")])


@pytest.mark.parametrize("column", ["t", "row", "s", "q", "row_"])
def test_no_name_of_a_column_hides_the_others(write, verdicts, column):
    write("001_a", f'CREATE TABLE a ("{column}" int, "row" int, lost text);'.replace('"row" int, "row" int', '"row" int'), "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP lost;", "ALTER TABLE a ADD lost text;")
    assert verdicts()["002_b"].differences[0].columns == ("lost",)


def test_rows_that_the_up_part_made_are_not_lost_and_those_it_leaves_are_a_remark(write, verdicts):
    write("001_a", "CREATE TABLE a (id int, n text); INSERT INTO a VALUES (1, 'own');", "DROP TABLE a;")
    write("002_b", "INSERT INTO a VALUES (2, 'more');", "DELETE FROM a WHERE id = 2;")
    write("003_c", "INSERT INTO a VALUES (3, 'more');", "SELECT 1;")
    found = verdicts()
    assert (found["002_b"].grade, found["002_b"].remarks) == ("restores", ())
    assert (found["003_c"].grade, found["003_c"].remarks) == ("restores", ("1 row that the up part made is left in public.a",))


def test_what_is_left_differs_and_whether_it_reapplies_is_told_apart(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "SELECT 1;")
    write("002_b", "CREATE TABLE IF NOT EXISTS b (n int);", "SELECT 1;")
    write("003_c", "CREATE INDEX ON b (n);", "SELECT 1;")
    write("004_d", "DROP TABLE b;", "CREATE TABLE b (n bigint);")
    found = verdicts()
    assert [v.grade for v in found.values()] == ["differs"] * 4
    assert [v.reapplies for v in found.values()] == [False, True, False, True]
    assert ("created", "table", "public.a") in differing(found["001_a"])
    assert found["001_a"].remarks == ('up part, again: relation "a" already exists (42P07)',)
    assert found["003_c"].remarks == ("up part, again: it runs, but does not lead to the same schema",)
    assert ("changed", "column", "public.b.n") in differing(found["004_d"])


def test_a_rollback_that_fails_names_sqlstate_and_statement(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "SELECT 1; DROP TABLE no_such_table; DROP TABLE a;")
    verdict = verdicts()["001_a"]
    assert (verdict.grade, verdict.sqlstate, verdict.statement, verdict.reapplies) == ("fails", "42P01", "DROP TABLE no_such_table", None)
    assert verdict.remarks == ('rollback: table "no_such_table" does not exist',)


def test_a_rollback_that_is_no_sql_fails(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "DROP TABEL a;")
    verdict = verdicts()["001_a"]
    assert (verdict.grade, verdict.sqlstate) == ("fails", "42601")
    assert verdict.remarks[0].startswith("rollback: ")


def test_a_rollback_that_fails_only_on_rows_says_so(write, verdicts):
    write("001_a", "CREATE TABLE a (id int, n text NOT NULL);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text NOT NULL;")
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.sqlstate) == ("fails", "23502")
    assert verdict.remarks[0] == "fails only because the tables hold rows (made up for this)"


def test_a_rollback_that_fails_for_what_made_up_rows_say_is_graded_without_them(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a ADD COLUMN m int;", "UPDATE a SET n = n::uuid::text; ALTER TABLE a DROP COLUMN m;")
    verdict = verdicts()["002_b"]
    assert verdict.grade == "restores"
    assert verdict.remarks[0].startswith("graded without the rows that were made up: with them the rollback fails: invalid input syntax for type uuid")


def test_without_a_rollback_there_is_nothing_to_grade(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);")
    write("002_b", "SELECT 1;", "-- nothing to do")
    assert [(v.grade, v.reapplies) for v in verdicts().values()] == [("no_rollback", None)] * 2


# -- up parts that do not run ----------------------------------------------------------------------------------------


def test_an_up_part_that_fails_is_reported_and_stops_no_other(write, verdicts, folder):
    write("001_a", "CREATE TABLE a (n int);", "DROP TABLE a;")
    write("002_b", "SELECT 1; ALTER TABLE no_such_table ADD COLUMN m int;", "SELECT 1;")
    write("003_c", "SELECT 1;", "SELECT 1;", header="-- Depends on: 002_b.sql\n")
    write("004_d", "VACUUM a;", "SELECT 1;")
    write("005_e", "THIS IS NOT SQL;", "SELECT 1;")
    (folder / "006_f.sql").write_bytes(b"SELECT '\xff';")
    write("007_g", "SELECT 1;", "SELECT 1;", header="-- Depends on: 008_h.sql\n")
    write("008_h", "SELECT 1;", "SELECT 1;", header="-- Depends on: 007_g.sql\n")
    write("009_i", "CREATE TABLE i (n int);", "DROP TABLE i;")
    found = verdicts()
    assert found.pop("001_a").grade == found.pop("009_i").grade == "restores"
    assert {v.grade for v in found.values()} == {"fails"}
    assert all(v.remarks[0].startswith("up part: ") for v in found.values())
    assert (found["002_b"].sqlstate, found["002_b"].statement) == ("42P01", "ALTER TABLE no_such_table ADD COLUMN m int")
    assert "002_b" in found["003_c"].remarks[0]
    assert found["004_d"].sqlstate == "25001"
    assert found["005_e"].sqlstate == "42601"
    assert "UTF-8" in found["006_f"].remarks[0]
    assert "circle" in found["007_g"].remarks[0]
    assert list(found) >= ["002_b"]


def test_an_up_part_that_ends_its_own_connection_stops_no_other(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "DROP TABLE a;")
    write("002_b", "SELECT pg_terminate_backend(pg_backend_pid());", "SELECT 1;")
    write("003_c", "CREATE TABLE c (n int);", "SELECT pg_terminate_backend(pg_backend_pid());")
    write("004_d", "ALTER TABLE c ADD m int;", "ALTER TABLE c DROP m;")
    assert [v.grade for v in verdicts().values()] == ["restores", "fails", "fails", "restores"]


# -- rows that are made up -------------------------------------------------------------------------------------------


def test_rows_that_break_an_up_part_are_left_out_and_said_so(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a ADD COLUMN m int NOT NULL;", "ALTER TABLE a DROP COLUMN m;")
    write("003_c", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text;")
    found = verdicts()
    assert found["002_b"].grade == "restores"
    assert found["002_b"].remarks == (
        'graded without the rows that were made up: with them the up part fails: column "m" of relation "a" contains null values (23502)',
    )
    assert found["003_c"].grade == "loses_data", "the next one has rows again"


def test_an_up_part_that_fails_with_and_without_rows_fails_for_its_own_reason(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a ADD COLUMN m int NOT NULL; SELECT 1 / 0;", "SELECT 1;")
    assert verdicts()["002_b"].sqlstate == "22012"


def test_a_table_that_nothing_can_be_put_into_is_named_where_it_matters(write, verdicts):
    write("001_a", "CREATE TABLE a (n int CHECK (n IS NULL), m text NOT NULL CHECK (m ~ '^zz[0-9]{7}yy$')); CREATE TABLE b (n int);", "DROP TABLE a, b;")
    write("002_b", "ALTER TABLE a ADD k int;", "ALTER TABLE a DROP k;")
    write("003_c", "ALTER TABLE b ADD k int;", "ALTER TABLE b DROP k;")
    found = verdicts()
    assert found["003_c"].remarks == ()
    assert len(found["002_b"].remarks) == 1
    assert found["002_b"].remarks[0].startswith("public.a stayed empty, so nothing is proven of its rows (23514")


TYPES = [
    "smallint", "integer", "bigint", "numeric(3,1)", "numeric", "real", "double precision", "money", "boolean", "text", "varchar(2)", "char(1)", '"char"', "name", "date", "time",
    "timetz", "timestamp", "timestamptz", "interval", "uuid", "json", "jsonb", "bytea", "inet", "cidr", "macaddr", "tsvector", "tsquery", "point", "box", "circle", "int4range",
    "tstzrange", "bit(1)", "text[]", "integer[]", "mood", "mood[]", "email", "short", "oid"
]  # fmt: skip


def test_a_table_with_rows_of_its_own_gets_more(write, verdicts):
    write("001_a", "CREATE TABLE a (id int PRIMARY KEY, flag boolean DEFAULT false); INSERT INTO a VALUES (1);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP flag;", "ALTER TABLE a ADD flag boolean DEFAULT false;")
    assert verdicts()["002_b"].grade == "loses_data"


def test_a_table_that_is_meant_to_have_one_row_is_no_reason_to_do_without_the_others(write, verdicts):
    write("001_a", "CREATE TABLE version (n int); INSERT INTO version VALUES (1); CREATE TABLE a (id serial, n text);", "DROP TABLE version, a;")
    write("002_b", "DO $$ DECLARE v int; BEGIN SELECT n INTO STRICT v FROM version; END $$; ALTER TABLE a DROP n;", "ALTER TABLE a ADD n text;")
    verdict = verdicts()["002_b"]
    assert verdict.grade == "loses_data"
    assert verdict.remarks == (
        "graded without the rows that were made up for tables with rows of their own: with them the up part fails: query returned more than one row (P0003)",
    )


def test_every_common_type_is_filled(write, verdicts):
    write(
        "001_a",
        "CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE DOMAIN email AS text CHECK (VALUE ~ '@'); CREATE DOMAIN short AS varchar(3) CHECK (VALUE IN ('abc', 'def'));"
        f"CREATE TABLE a ({', '.join(f'c{place} {type_}, d{place} {type_} NOT NULL' for place, type_ in enumerate(TYPES))});",
        "SELECT 1;",
    )
    names = [f"c{place}" for place in range(len(TYPES))]
    write(
        "002_b",
        f"ALTER TABLE a {', '.join(f'DROP {name}' for name in names)};",
        f"ALTER TABLE a {', '.join(f'ADD {name} {type_}' for name, type_ in zip(names, TYPES, strict=True))};",
    )
    verdict = verdicts()["002_b"]
    assert verdict.grade == "loses_data"
    assert [TYPES[int(name[1:])] for name in verdict.differences[0].columns] == TYPES


CONSTRAINED = [
    "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY, p int NOT NULL REFERENCES p (id), lost text);",
    "CREATE TABLE p (x int, y text, PRIMARY KEY (x, y)); CREATE TABLE a (x int, y text, FOREIGN KEY (x, y) REFERENCES p (x, y), lost text);",
    "CREATE TABLE a (id serial PRIMARY KEY, parent int REFERENCES a (id), lost text);",
    "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a (id)); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id), ADD lost text;",
    "CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, twice int GENERATED ALWAYS AS (7) STORED, lost text);",
    "CREATE TABLE a (kind text NOT NULL CHECK (kind IN ('red', 'blue')), n int CHECK (n BETWEEN 10 AND 20), m int CHECK (m < 0), lost text);",
    "CREATE TABLE a (x int, y int, CHECK ((x IS NULL) <> (y IS NULL)), lost text);",
    "CREATE TABLE a (flag boolean UNIQUE NOT NULL, lost text);",
    "CREATE TABLE p (at date NOT NULL, lost text) PARTITION BY RANGE (at); CREATE TABLE a PARTITION OF p FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');",
    "CREATE TABLE p (k text NOT NULL, lost text) PARTITION BY LIST (k); CREATE TABLE a PARTITION OF p FOR VALUES IN ('one', 'two');",
    "CREATE TABLE a (during int4range, lost text, EXCLUDE USING gist (during WITH &&));",
    'CREATE SCHEMA "o dd"; CREATE TABLE "o dd"."We""ird%s{x}" (lost text, "c ol%" int NOT NULL);',
    "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE q (id int PRIMARY KEY); CREATE TABLE a (id int NOT NULL REFERENCES p (id), p int NOT NULL, FOREIGN KEY (p) REFERENCES q (id) DEFERRABLE INITIALLY DEFERRED, lost text);",
]


def test_constraints_are_met_where_they_can_be(write, verdicts):
    for place, tables in enumerate(CONSTRAINED):
        target = '"o dd"."We""ird%s{x}"' if "o dd" in tables else "p" if "PARTITION" in tables else "a"
        path = f"CREATE SCHEMA IF NOT EXISTS s{place}; SET LOCAL search_path = s{place};"
        write(f"{place:02}1_a", f"{path} {tables}", "SELECT 1;")
        write(
            f"{place:02}2_b", f"{path} ALTER TABLE {target} DROP COLUMN lost;", f"SET LOCAL search_path = s{place}; ALTER TABLE {target} ADD COLUMN lost text;"
        )
    found = verdicts()
    assert {CONSTRAINED[int(name[:2])]: verdict.grade for name, verdict in found.items() if name.endswith("2_b")} == dict.fromkeys(CONSTRAINED, "loses_data")


def test_a_value_that_is_taken_from_elsewhere_is_not_the_one_that_was_lost(write, verdicts):
    write(
        "001_a", "CREATE TABLE b (id int PRIMARY KEY, n int, t text, d date); CREATE TABLE a (id int PRIMARY KEY, n int, t text, d date);", "DROP TABLE a, b;"
    )
    write(
        "002_b",
        "ALTER TABLE a DROP n, DROP t, DROP d;",
        "ALTER TABLE a ADD n int, ADD t text, ADD d date; WITH o AS (SELECT *, row_number() OVER (ORDER BY id) AS i FROM b), r AS (SELECT id, row_number() OVER (ORDER BY id) AS i FROM a) "
        "UPDATE a SET n = o.n, t = o.t, d = o.d FROM o JOIN r USING (i) WHERE r.id = a.id;",
    )
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.differences[0].columns) == ("loses_data", ("n", "t", "d"))


def test_a_default_does_not_pass_for_the_value_that_was_lost(write, verdicts):
    write(
        "001_a",
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE a (one boolean PRIMARY KEY CHECK (one), f boolean DEFAULT false, t boolean DEFAULT true, m mood DEFAULT 'sad');",
        "DROP TABLE a; DROP TYPE mood;",
    )
    write("002_b", "ALTER TABLE a DROP f, DROP t, DROP m;", "ALTER TABLE a ADD f boolean DEFAULT false, ADD t boolean DEFAULT true, ADD m mood DEFAULT 'sad';")
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.differences[0].columns) == ("loses_data", ("f", "t", "m"))


def test_every_label_of_an_enum_occurs(write, verdicts):
    write(
        "001_a",
        "CREATE TYPE state AS ENUM ('new', 'started', 'done', 'aborted'); CREATE TABLE a (id serial, s state, f boolean);",
        "DROP TABLE a; DROP TYPE state;",
    )
    write("002_b", "UPDATE a SET f = NULL WHERE s = 'aborted';", "SELECT 1;")
    assert verdicts()["002_b"].grade == "loses_data"


def test_values_that_a_migration_asks_for_occur_with_a_flag_and_without(write, verdicts):
    write(
        "001_a",
        "CREATE TYPE state AS ENUM ('new', 'running', 'ended', 'gone'); CREATE TABLE job (id serial PRIMARY KEY, state state, done boolean NOT NULL DEFAULT false);"
        "CREATE TABLE task (id serial PRIMARY KEY, kind text NOT NULL, closed boolean NOT NULL DEFAULT false, ended timestamptz, note text);",
        "DROP TABLE job, task; DROP TYPE state;",
    )
    write("002_enum", "ALTER TABLE job ADD gone boolean; UPDATE job SET gone = true, done = true WHERE state = 'gone';", "ALTER TABLE job DROP gone;")
    write("003_flag", "UPDATE job SET done = false WHERE state = 'new';", "SELECT 1;")
    write("004_text", "UPDATE task SET closed = true WHERE kind = 'odd';", "SELECT 1;")
    write("005_null", "UPDATE task SET note = 'open' WHERE ended IS NULL;", "SELECT 1;")
    write("006_case", "UPDATE task SET note = CASE kind WHEN 'rare' THEN 'x' ELSE note END;", "SELECT 1;")
    write("007_do", "DO $$ BEGIN UPDATE task SET closed = false WHERE kind IN ('some', 'other'); END $$;", "SELECT 1;")
    write("008_cast", "ALTER TABLE task ALTER note TYPE text USING CASE WHEN kind = 'cut'::text THEN left(note, 1) ELSE note END;", "SELECT 1;")
    assert {name: verdict.grade for name, verdict in verdicts().items()} == {"001_a": "restores"} | dict.fromkeys(
        ("002_enum", "003_flag", "004_text", "005_null", "006_case", "007_do", "008_cast"), "loses_data"
    )


def test_what_a_migration_puts_in_and_its_rollback_takes_out_by_name_is_its_own(write, verdicts):
    write("001_a", "CREATE TABLE setting (name text PRIMARY KEY, value text); CREATE TABLE kind (name text);", "DROP TABLE setting, kind;")
    write(
        "002_b",
        "INSERT INTO setting VALUES ('colour', 'red'); INSERT INTO kind VALUES ('odd');",
        "DELETE FROM setting WHERE name = 'colour'; DELETE FROM kind WHERE name = 'odd';",
    )
    write("003_c", "UPDATE kind SET name = 'new' WHERE name = 'old';", "UPDATE kind SET name = 'old' WHERE name = 'new';")
    write("004_d", "UPDATE kind SET name = 'newer' WHERE name = 'new';", "UPDATE kind SET name = 'new' WHERE name = 'newer';")
    assert {verdict.grade for verdict in verdicts().values()} == {"restores"}


def test_a_column_that_was_added_to_a_table_with_rows_holds_values_when_it_is_dropped(write, verdicts):
    write("001_a", "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE own (id int); INSERT INTO own SELECT generate_series(1, 5);", "DROP TABLE a, own;")
    write("002_b", "ALTER TABLE a ADD n text; ALTER TABLE own ADD n text NOT NULL DEFAULT 'x';", "ALTER TABLE a DROP n; ALTER TABLE own DROP n;")
    write("003_c", "ALTER TABLE a DROP n;", "ALTER TABLE a ADD n text;")
    write("004_d", "ALTER TABLE own DROP n;", "ALTER TABLE own ADD n text NOT NULL DEFAULT 'x';")
    found = verdicts()
    assert [verdict.grade for verdict in found.values()] == ["restores", "restores", "loses_data", "loses_data"]


def test_a_table_that_no_more_rows_fit_into_is_filled_again_in_the_next_copy(write, verdicts):
    write("001_a", "CREATE TABLE a (flag boolean UNIQUE NOT NULL, n text, always int NOT NULL CHECK (always = 1));", "DROP TABLE a;")
    write("002_b", "CREATE TABLE b ();", "SELECT 1;")  # differs: the next one goes on in a copy
    write("003_c", "CREATE TABLE c ();", "SELECT 1;")
    write("004_d", "ALTER TABLE a DROP n;", "ALTER TABLE a ADD n text;")
    verdict = verdicts()["004_d"]
    assert (verdict.grade, verdict.differences[0].columns) == ("loses_data", ("n",))


@pytest.mark.parametrize("lost", ["a", "b"])
def test_tables_that_refer_to_each_other_hold_references(write, verdicts, lost):
    other = "b" if lost == "a" else "a"
    write(
        "001_a",
        "CREATE TABLE a (id serial PRIMARY KEY, b_id int); CREATE TABLE b (id serial PRIMARY KEY, a_id int REFERENCES a); ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b;",
        "DROP TABLE a, b;",
    )
    write("002_b", f"ALTER TABLE {lost} DROP {other}_id;", f"ALTER TABLE {lost} ADD {other}_id int REFERENCES {other};")
    assert verdicts()["002_b"].grade == "loses_data"


def test_made_up_texts_can_be_read_as_numbers_and_json(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial, n text, j text, h text, keep text);", "DROP TABLE a;")
    write(
        "002_b",
        "ALTER TABLE a ALTER n TYPE int USING n::int, ALTER j TYPE json USING j::json, ALTER h TYPE bytea USING decode(h, 'hex'), DROP keep;",
        "ALTER TABLE a ALTER n TYPE text, ALTER j TYPE text, ALTER h TYPE text USING encode(h, 'hex'), ADD keep text;",
    )
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.differences[0].columns) == ("loses_data", ("keep",))


def test_what_a_trigger_makes_of_a_row_belongs_to_the_schema_before(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE team (id serial PRIMARY KEY); CREATE FUNCTION make() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN EXECUTE format('CREATE TABLE team_%s (n int)', NEW.id); RETURN NEW; END $$; CREATE TRIGGER t AFTER INSERT ON team FOR EACH ROW EXECUTE FUNCTION make();",
        "DROP TABLE team; DROP FUNCTION make;",
    )
    write("002_b", "ALTER TABLE team_1 ADD COLUMN m int;", "ALTER TABLE team_1 DROP COLUMN m;")
    assert verdicts()["002_b"].grade == "restores"
    write(
        "002_b",
        "DO $$ BEGIN IF to_regclass('team_1') IS NOT NULL THEN ALTER TABLE team_1 ADD COLUMN m int; END IF; END $$;",
        "ALTER TABLE team DROP COLUMN IF EXISTS m;",
    )
    write("003_c", "ALTER TABLE team ADD COLUMN k int NOT NULL;", "ALTER TABLE team DROP COLUMN k;")
    write("004_d", "ALTER TABLE team ADD COLUMN l int;", "ALTER TABLE team DROP COLUMN l;")
    found = verdicts()
    assert (found["002_b"].grade, differing(found["002_b"])) == ("differs", [("created", "column", "public.team_1.m")])
    assert found["002_b"].remarks[0] == "differs only where tables hold rows (made up for this)"
    assert (found["003_c"].grade, found["003_c"].differences) == ("restores", ()), "without rows there is no team_1"
    assert (found["004_d"].grade, found["004_d"].differences) == ("restores", ())


def test_a_trigger_that_lets_no_row_in_is_done_without(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE a (id int PRIMARY KEY, n text); CREATE TABLE log (said text NOT NULL);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (NULL); RETURN NEW; END $$;"
        "CREATE TRIGGER note AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION note();",
        "DROP TABLE a; DROP TABLE log; DROP FUNCTION note;",
    )
    write("002_b", "ALTER TABLE a DROP n;", "ALTER TABLE a ADD n text;")
    write("003_c", "CREATE INDEX ON a (id);", "DROP INDEX a_id_idx;")
    found = verdicts()
    assert (found["002_b"].grade, found["002_b"].differences[0].columns) == ("loses_data", ("n",))
    assert (found["003_c"].grade, found["003_c"].remarks) == ("restores", ())  # the trigger is on again


@pytest.mark.parametrize(
    ("up", "kind"),
    [
        ("CREATE FOREIGN DATA WRAPPER w;", "foreign data wrapper"),
        ("COMMENT ON TABLE a IS 'x';", "comment"),
        ("GRANT SELECT ON a TO PUBLIC;", "grant"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2';", "function"),
        ("CREATE TYPE mood AS ENUM ('sad');", "enum"),
        ("DO $$ BEGIN EXECUTE 'A' || 'LTER TABLE a DROP n'; END $$;", "column"),
    ],
    ids=lambda value: value if len(value) < 25 else "",
)
def test_what_a_rollback_leaves_is_seen_where_nothing_is_altered(write, verdicts, up, kind):
    write("001_a", "CREATE TABLE a (n int, m int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';", "DROP TABLE a; DROP FUNCTION f;")
    write("002_b", up, "SELECT 1;")
    verdict = verdicts()["002_b"]
    assert verdict.grade == "differs"
    assert kind in {found.to_dict()["kind"] for found in verdict.differences}


def test_sequences_are_no_data(write, verdicts):
    write("001_a", "CREATE SEQUENCE s;", "DROP SEQUENCE s;")
    write("002_b", "SELECT nextval('s');", "SELECT nextval('s');")
    assert verdicts()["002_b"].grade == "restores"


# -- outside a transaction ---------------------------------------------------------------------------------------------


def test_what_runs_outside_a_transaction_is_graded_too(write, verdicts):
    steps = {"header": "-- Transaction: false\n", "options": " transaction:false"}
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n int);", "DROP TABLE a;")
    write("002_b", "CREATE INDEX CONCURRENTLY a_n ON a (n);", "DROP INDEX CONCURRENTLY a_n;", **steps)
    write("003_c", "CREATE INDEX CONCURRENTLY a_m ON a (n);", "DROP INDEX CONCURRENTLY no_such_index;", **steps)
    write("004_d", "CREATE TABLE d (n int); SELECT 1 / 0;", "DROP TABLE d;", **steps)
    write("005_e", "UPDATE a SET n = -1;", "SELECT 1;", **steps)
    write("006_f", "CREATE TABLE d (n int);", "DROP TABLE d;")
    found = verdicts()
    assert [v.grade for v in found.values()] == ["restores", "restores", "fails", "fails", "loses_data", "restores"]
    assert [v.sqlstate for v in found.values()] == [None, None, "42704", "22012", None, None]


def test_enum_values_and_what_needs_them_are_no_trouble(write, verdicts):
    write("001_a", "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (m mood);", "DROP TABLE t; DROP TYPE mood;")
    write("002_b", "ALTER TYPE mood ADD VALUE 'b';", "SELECT 1;")
    write("003_c", "UPDATE t SET m = 'b';", "UPDATE t SET m = 'a';")
    assert [v.grade for v in verdicts().values()] == ["restores", "differs", "loses_data"]


def test_dropping_schema_public_is_survived(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    write("002_b", "CREATE TABLE b (n int);", "DROP TABLE b;")
    found = verdicts()
    assert found["001_a"].grade in ("restores", "differs")
    assert found["002_b"].grade == "restores"


@pytest.fixture
def three(write):
    """One that restores, one that loses data, one without a rollback."""
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text;")
    write("003_c", "SELECT 1;")


def run(server, folder, *arguments):
    out, err = io.StringIO(), io.StringIO()
    code = cli.run(["verify", "--dir", str(folder), "--on", server.dsn(), *arguments], out, err)
    return code, out.getvalue(), err.getvalue()


# -- names, and what it leaves -----------------------------------------------------------------------------------------


def test_named_ones_are_graded_on_top_of_those_before(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "SELECT 1 / 0;")
    write("002_b", "ALTER TABLE a ADD m int;", "ALTER TABLE a DROP m;")
    write("003_c", "SELECT 1 / 0;")
    assert list(verdicts("002_b.sql")) == ["002_b"]
    assert verdicts("002_b")["002_b"].grade == "restores"


def test_a_name_that_is_not_in_the_folder_is_refused_before_anything_is_made(write, verdicts):
    write("001_a", "SELECT 1;")
    with pytest.raises(mr.MigrationNotFound, match="Did you mean 001_a"):
        verdicts("001_b")


HOSTILE = "001_<img src=x onerror=alert(1)>\x1b[31m'\";--"


def test_hostile_names_are_harmless(write, verdicts, server, folder):
    write(HOSTILE, 'CREATE TABLE "<b>%s{x}\x1b" (n int);', "SELECT 1;")
    proof = prove_folder(folder, on=server.dsn())
    assert proof.migrations[0].grade == "differs"
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["verify", "--dir", str(folder), "--on", server.dsn(), "--junit", str(folder / "report.xml")], out, err) == 0
    assert "\x1b" not in out.getvalue() + err.getvalue()
    for page in (proof._repr_html_(), proof.migrations[0]._repr_html_()):
        assert "<img" not in page
        assert "<b>%s" not in page
        assert "\x1b" not in page
    assert ET.parse(folder / "report.xml").find(".//testcase").get("name").startswith("001_<img")


def scratch_databases(server):
    with psycopg.connect(server.dsn()) as connection:
        return connection.execute("SELECT count(*) FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,)).fetchone()[0]


def test_nothing_is_left_on_the_server(write, verdicts, server):
    write("001_a", "CREATE TABLE a (n int);", "SELECT 1;")
    verdicts()
    assert scratch_databases(server) == 0


def test_an_ordinary_role_that_may_create_databases_sees_the_same(three, server, folder):
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS proof_maker")
        connection.execute("CREATE ROLE proof_maker LOGIN CREATEDB")
        try:
            graded = prove_folder(folder, on=server.dsn(user="proof_maker"))
        finally:
            connection.execute("DROP ROLE proof_maker")
    assert [(v.grade, v.remarks) for v in graded.migrations] == [(v.grade, v.remarks) for v in prove_folder(folder, on=server.dsn()).migrations]


def test_a_folder_with_nothing_in_it_has_nothing_to_prove(server, folder):
    code, out, _ = run(server, folder, "--require", "restores")
    assert (code, out.splitlines()[-1].startswith("0 migrations: nothing to prove")) == (0, True)


def test_a_missing_extension_is_named_and_nothing_is_graded(write, server, folder):
    write("001_a", "CREATE EXTENSION no_such_extension;", "DROP EXTENSION no_such_extension;")
    code, out, err = run(server, folder)
    assert (code, out) == (2, "")
    assert "no_such_extension" in err
    assert "001_a.sql:1" in err


def test_roles_need_a_server_of_their_own(write, server, folder):
    write("001_a", "CREATE ROLE proof_app; CREATE TABLE a (n int); GRANT SELECT ON a TO proof_app;", "DROP TABLE a; DROP ROLE proof_app;")
    code, _, err = run(server, folder)
    assert (code, "--own-server" in err) == (2, True)
    code, out, _ = run(server, folder, "--own-server")
    assert (code, "✅ 001_a  restores" in out) == (0, True)
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'proof_app'").fetchone() == (0,)


def test_an_interrupted_run_leaves_nothing(write, server, folder):
    write("001_a", "SELECT pg_sleep(600);", "SELECT 1;")
    process = subprocess.Popen(
        [sys.executable, "-m", "migrollback_nb.cli", "verify", "--dir", str(folder), "--on", server.dsn()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND starts_with(datname, %s)"
        eventually(lambda: connection.execute(asleep, (PREFIX,)).fetchone()[0] == 1, "the migration sleeps")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Interrupted" in said[1]
    assert scratch_databases(server) == 0


# -- what it prints ----------------------------------------------------------------------------------------------------


def test_it_prints_a_verdict_for_each_and_a_summary(three, server, folder):
    code, out, err = run(server, folder)
    assert (code, err) == (0, "")
    assert "✅ 001_a  restores" in out
    assert "⚠️ 002_b  loses_data\n     ! values of n in 3 of 3 rows of public.a" in out
    assert "3 migrations: 1 restores, 1 loses_data, 1 no_rollback (on PostgreSQL" in out


def test_json_is_an_array_with_the_promised_keys(three, server, folder):
    code, out, _ = run(server, folder, "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert [list(row) for row in rows] == [KEYS] * 3
    assert [row["grade"] for row in rows] == ["restores", "loses_data", "no_rollback"]
    assert [row["reapplies"] for row in rows] == [True, True, None]


def test_tab_separated_text_has_the_same_columns(three, server, folder):
    _, out, _ = run(server, folder, "--format", "tsv")
    lines = out.splitlines()
    assert lines[0].split("\t") == KEYS
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("001_a --require restores", 0),
        ("002_b --require restores", 1),
        ("002_b --require loses_data", 0),
        ("003_c --require loses_data", 1),
        ("--require restores", 1),
    ],
)
def test_the_exit_code_is_a_gate(three, server, folder, arguments, code):
    found, _, err = run(server, folder, *arguments.split())
    assert found == code
    assert ("do not reach" in err) == bool(code)


def test_junit_reads_back(three, server, folder, tmp_path):
    report = tmp_path / "report.xml"
    run(server, folder, "--junit", str(report))
    root = ET.parse(report).getroot()
    suite = root.find("testsuite")
    assert root.tag == "testsuites"
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped"), suite.get("errors")) == ("3", "1", "1", "0")
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {"001_a": [], "002_b": ["failure"], "003_c": ["skipped"]}
    assert suite.find(".//failure").get("type") == "loses_data"
    assert "values of n" in suite.find(".//failure").text
    run(server, folder, "--junit", str(report), "--require", "loses_data")
    cases = {case.get("name"): [child.tag for child in case] for case in ET.parse(report).getroot().find("testsuite")}
    assert cases == {"001_a": [], "002_b": ["system-out"], "003_c": ["failure"]}


def test_a_report_that_cannot_be_written_is_said_before_the_work(three, server, folder, tmp_path):
    code, out, err = run(server, folder, "--junit", str(tmp_path / "no" / "report.xml"))
    assert (code, out) == (2, "")
    assert "there is no folder" in err


def test_a_terminal_gets_a_bar(three, server, folder):
    ours, theirs = pty.openpty()
    seen = []

    def watch():
        while True:
            try:
                data = os.read(ours, 10000)
            except OSError:
                return
            seen.append(data)

    thread = threading.Thread(target=watch)
    thread.start()
    with os.fdopen(theirs, "w") as terminal:
        assert cli.run(["verify", "--dir", str(folder), "--on", server.dsn()], io.StringIO(), terminal) == 0
    thread.join(10)
    os.close(ours)
    assert b"migrations" in b"".join(seen)


def test_no_password_is_printed(three, server, folder):
    dsn = f"{server.dsn()} password=hunter2"
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["verify", "--dir", str(folder), "--on", dsn], out, err) == 0
    assert cli.run(["verify", "--dir", str(folder), "--on", "host=/nonexistent password=hunter2"], out, err) == 1
    assert "hunter2" not in out.getvalue() + err.getvalue()
    assert "hunter2" not in repr(prove_folder(folder, on=dsn))


def test_the_frame_has_fixed_columns_and_dtypes(three, server, folder):
    frame = mr.verify(folder, on=server.dsn())
    expected = {
        "migration_name": "string",
        "grade": "string",
        "sqlstate": "string",
        "statement": "string",
        "differences": "object",
        "remarks": "object",
        "reapplies": "boolean",
        "seconds": "float64",
    }
    assert frame.dtypes.astype(str).to_dict() == expected
    assert frames.proof([]).dtypes.astype(str).to_dict() == expected
    assert list(frame["grade"]) == ["restores", "loses_data", "no_rollback"]
    assert frame["differences"][1][0]["identity"] == "public.a"


def test_a_connected_user_asks_without_touching_that_database(three, server, db):
    before = db.database.schema_text()
    assert list(db.verify("001_a", on=server.dsn())["grade"]) == ["restores"]
    proof = db.proof(on=server.dsn())
    assert isinstance(proof, Proof)
    assert isinstance(proof.migrations[0], MigrationProof)
    assert "loses_data" in repr(proof)
    assert set(proof.shares) == {"sql", "schema", "rows", "scratch"}
    assert db.database.schema_text() == before
    assert list(db.list()["migration_name"]) == ["20250120_migration_rollback_system"]


def test_the_magic_needs_no_connection(three, server, folder):
    from migrollback_nb.magics import Magic

    proof = Magic()(f"verify 002_b --dir {folder} --on '{server.dsn()}'")
    assert [verdict.grade for verdict in proof.migrations] == ["loses_data"]
