"""verify puts rows into empty tables: of every type, under every constraint, and such as the migrations ask for."""

import pytest

from migrollback_nb.replay import synthetic_rows, table_contents

pytestmark = pytest.mark.versions

TYPES = [
    "smallint",
    "integer",
    "bigint",
    "numeric(3,1)",
    "numeric",
    "real",
    "double precision",
    "money",
    "boolean",
    "text",
    "varchar(2)",
    "char(1)",
    '"char"',
    "name",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "bytea",
    "inet",
    "cidr",
    "macaddr",
    "tsvector",
    "tsquery",
    "point",
    "box",
    "circle",
    "int4range",
    "tstzrange",
    "bit(1)",
    "text[]",
    "integer[]",
    "mood",
    "mood[]",
    "email",
    "short",
    "oid",
]


@pytest.mark.long
def test_a_table_with_rows_of_its_own_gets_more(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE a (id int PRIMARY KEY, flag boolean DEFAULT false); INSERT INTO a VALUES (1);",
        "DROP TABLE a;",
    )
    write("002_b", "ALTER TABLE a DROP flag;", "ALTER TABLE a ADD flag boolean DEFAULT false;")
    assert verdicts()["002_b"].grade == "loses_data"


@pytest.mark.long
def test_a_table_that_is_meant_to_have_one_row_is_no_reason_to_do_without_the_others(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE version (n int); INSERT INTO version VALUES (1); CREATE TABLE a (id serial, n text);",
        "DROP TABLE version, a;",
    )
    write(
        "002_b",
        "DO $$ DECLARE v int; BEGIN SELECT n INTO STRICT v FROM version; END $$; ALTER TABLE a DROP n;",
        "ALTER TABLE a ADD n text;",
    )
    verdict = verdicts()["002_b"]
    assert verdict.grade == "loses_data"
    assert verdict.remarks == (
        (
            "graded without synthetic rows in tables with rows of their own: with them the up migration fails:"
            " query returned more than one row (P0003)"
        ),
    )


def test_every_common_type_is_filled(write, verdicts):
    write(
        "001_a",
        "CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE DOMAIN email AS text CHECK (VALUE ~ '@'); CREATE DOMAIN"
        " short AS varchar(3) CHECK (VALUE IN ('abc', 'def'));CREATE TABLE a"
        f" ({', '.join(f'c{place} {type_}, d{place} {type_} NOT NULL' for place, type_ in enumerate(TYPES))});",
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
    (
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY, p int NOT NULL REFERENCES p (id),"
        " lost text);"
    ),
    (
        "CREATE TABLE p (x int, y text, PRIMARY KEY (x, y)); CREATE TABLE a (x int, y text, FOREIGN KEY (x, y)"
        " REFERENCES p (x, y), lost text);"
    ),
    "CREATE TABLE a (id serial PRIMARY KEY, parent int REFERENCES a (id), lost text);",
    (
        "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a"
        " (id)); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id), ADD lost text;"
    ),
    (
        "CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, twice int GENERATED ALWAYS AS (7) STORED,"
        " lost text);"
    ),
    (
        "CREATE TABLE a (kind text NOT NULL CHECK (kind IN ('red', 'blue')), n int CHECK (n BETWEEN 10 AND 20), m int"
        " CHECK (m < 0), lost text);"
    ),
    "CREATE TABLE a (x int, y int, CHECK ((x IS NULL) <> (y IS NULL)), lost text);",
    "CREATE TABLE a (flag boolean UNIQUE NOT NULL, lost text);",
    (
        "CREATE TABLE p (at date NOT NULL, lost text) PARTITION BY RANGE (at); CREATE TABLE a PARTITION OF p FOR VALUES"
        " FROM ('2030-01-01') TO ('2031-01-01');"
    ),
    (
        "CREATE TABLE p (k text NOT NULL, lost text) PARTITION BY LIST (k); CREATE TABLE a PARTITION OF p FOR VALUES IN"
        " ('one', 'two');"
    ),
    "CREATE TABLE a (during int4range, lost text, EXCLUDE USING gist (during WITH &&));",
    'CREATE SCHEMA "o dd"; CREATE TABLE "o dd"."We""ird%s{x}" (lost text, "c ol%" int NOT NULL);',
    (
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE q (id int PRIMARY KEY); CREATE TABLE a (id int NOT NULL"
        " REFERENCES p (id), p int NOT NULL, FOREIGN KEY (p) REFERENCES q (id) DEFERRABLE INITIALLY DEFERRED, lost"
        " text);"
    ),
]


@pytest.mark.long
def test_constraints_are_met_where_they_can_be(write, verdicts):
    for place, tables in enumerate(CONSTRAINED):
        target = '"o dd"."We""ird%s{x}"' if "o dd" in tables else "p" if "PARTITION" in tables else "a"
        schemas = f's{place}, "o dd"' if "o dd" in tables else f"s{place}"
        path = f"CREATE SCHEMA IF NOT EXISTS s{place}; SET LOCAL search_path = s{place};"
        write(
            f"{place:02}1_a", f"{path} {tables}", f"DROP SCHEMA {schemas} CASCADE;"
        )  # restores: the next one needs no copy
        write(
            f"{place:02}2_b",
            f"{path} ALTER TABLE {target} DROP COLUMN lost;",
            f"SET LOCAL search_path = s{place}; ALTER TABLE {target} ADD COLUMN lost text;",
        )
    found = verdicts()
    assert {
        CONSTRAINED[int(name[:2])]: verdict.grade for name, verdict in found.items() if name.endswith("2_b")
    } == dict.fromkeys(CONSTRAINED, "loses_data")


@pytest.mark.long
def test_a_value_that_is_taken_from_elsewhere_is_not_the_one_that_was_lost(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE b (id int PRIMARY KEY, n int, t text, d date); CREATE TABLE a (id int PRIMARY KEY, n int, t text,"
        " d date);",
        "DROP TABLE a, b;",
    )
    write(
        "002_b",
        "ALTER TABLE a DROP n, DROP t, DROP d;",
        "ALTER TABLE a ADD n int, ADD t text, ADD d date; WITH o AS (SELECT *, row_number() OVER (ORDER BY id) AS i"
        " FROM b), r AS (SELECT id, row_number() OVER (ORDER BY id) AS i FROM a) UPDATE a SET n = o.n, t = o.t, d = o.d"
        " FROM o JOIN r USING (i) WHERE r.id = a.id;",
    )
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.differences[0].columns) == ("loses_data", ("n", "t", "d"))


def test_no_value_is_made_twice(session):
    connection = session()
    columns = ", ".join(f"c{number} text" for number in range(40))
    connection.execute(f"CREATE TABLE a ({columns}); CREATE TABLE b ({columns})")
    assert (
        synthetic_rows.fill(
            connection, [table for table in table_contents.tables(connection, besides=[]) if table.name in "ab"]
        )
        == []
    )
    values = [value for table in "ab" for row in connection.execute(f"SELECT * FROM {table}") for value in row]
    assert len(set(values)) == len(values) == 2 * 40 * synthetic_rows.ROWS


def test_a_default_does_not_pass_for_the_value_that_was_lost(write, verdicts):
    write(
        "001_a",
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE a (one boolean PRIMARY KEY CHECK (one), f boolean DEFAULT"
        " false, t boolean DEFAULT true, m mood DEFAULT 'sad');",
        "DROP TABLE a; DROP TYPE mood;",
    )
    write(
        "002_b",
        "ALTER TABLE a DROP f, DROP t, DROP m;",
        "ALTER TABLE a ADD f boolean DEFAULT false, ADD t boolean DEFAULT true, ADD m mood DEFAULT 'sad';",
    )
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.differences[0].columns) == ("loses_data", ("f", "t", "m"))


@pytest.mark.long
def test_every_label_of_an_enum_occurs(write, verdicts):
    write(
        "001_a",
        "CREATE TYPE state AS ENUM ('new', 'started', 'done', 'aborted'); CREATE TABLE a (id serial, s state, f"
        " boolean);",
        "DROP TABLE a; DROP TYPE state;",
    )
    write("002_b", "UPDATE a SET f = NULL WHERE s = 'aborted';", "SELECT 1;")
    assert verdicts()["002_b"].grade == "loses_data"


@pytest.mark.long
def test_values_that_a_migration_asks_for_occur_with_a_flag_and_without(write, verdicts):
    write(
        "001_a",
        "CREATE TYPE state AS ENUM ('new', 'running', 'ended', 'gone'); CREATE TABLE job (id serial PRIMARY KEY, state"
        " state, done boolean NOT NULL DEFAULT false);CREATE TABLE task (id serial PRIMARY KEY, kind text NOT NULL,"
        " closed boolean NOT NULL DEFAULT false, ended timestamptz, note text);",
        "DROP TABLE job, task; DROP TYPE state;",
    )
    write(
        "002_enum",
        "ALTER TABLE job ADD gone boolean; UPDATE job SET gone = true, done = true WHERE state = 'gone';",
        "ALTER TABLE job DROP gone;",
    )
    write("003_flag", "UPDATE job SET done = false WHERE state = 'new';", "SELECT 1;")
    write("004_text", "UPDATE task SET closed = true WHERE kind = 'odd';", "SELECT 1;")
    write("005_null", "UPDATE task SET note = 'open' WHERE ended IS NULL;", "SELECT 1;")
    write("006_case", "UPDATE task SET note = CASE kind WHEN 'rare' THEN 'x' ELSE note END;", "SELECT 1;")
    write("007_do", "DO $$ BEGIN UPDATE task SET closed = false WHERE kind IN ('some', 'other'); END $$;", "SELECT 1;")
    write(
        "008_cast",
        "ALTER TABLE task ALTER note TYPE text USING CASE WHEN kind = 'cut'::text THEN left(note, 1) ELSE note END;",
        "SELECT 1;",
    )
    assert {name: verdict.grade for name, verdict in verdicts().items()} == {"001_a": "restores"} | dict.fromkeys(
        ("002_enum", "003_flag", "004_text", "005_null", "006_case", "007_do", "008_cast"), "loses_data"
    )


@pytest.mark.long
def test_what_a_migration_puts_in_and_its_rollback_takes_out_by_name_is_its_own(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE setting (name text PRIMARY KEY, value text); CREATE TABLE kind (name text);",
        "DROP TABLE setting, kind;",
    )
    write(
        "002_b",
        "INSERT INTO setting VALUES ('colour', 'red'); INSERT INTO kind VALUES ('odd');",
        "DELETE FROM setting WHERE name = 'colour'; DELETE FROM kind WHERE name = 'odd';",
    )
    write(
        "003_c", "UPDATE kind SET name = 'new' WHERE name = 'old';", "UPDATE kind SET name = 'old' WHERE name = 'new';"
    )
    write(
        "004_d",
        "UPDATE kind SET name = 'newer' WHERE name = 'new';",
        "UPDATE kind SET name = 'new' WHERE name = 'newer';",
    )
    assert {verdict.grade for verdict in verdicts().values()} == {"restores"}


@pytest.mark.long
def test_a_column_that_was_added_to_a_table_with_rows_holds_values_when_it_is_dropped(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE own (id int); INSERT INTO own SELECT generate_series(1, 5);",
        "DROP TABLE a, own;",
    )
    write(
        "002_b",
        "ALTER TABLE a ADD n text; ALTER TABLE own ADD n text NOT NULL DEFAULT 'x';",
        "ALTER TABLE a DROP n; ALTER TABLE own DROP n;",
    )
    write("003_c", "ALTER TABLE a DROP n;", "ALTER TABLE a ADD n text;")
    write("004_d", "ALTER TABLE own DROP n;", "ALTER TABLE own ADD n text NOT NULL DEFAULT 'x';")
    found = verdicts()
    assert [verdict.grade for verdict in found.values()] == ["restores", "restores", "loses_data", "loses_data"]


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE u (id serial PRIMARY KEY, name text UNIQUE);"
        " CREATE TABLE p (id serial PRIMARY KEY, u_id int NOT NULL UNIQUE REFERENCES u);",
        "CREATE TABLE u (id uuid PRIMARY KEY); CREATE TABLE p (id uuid PRIMARY KEY REFERENCES u);",
        "CREATE TABLE v (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY REFERENCES v);"
        " CREATE TABLE p (id int PRIMARY KEY REFERENCES u);",
    ],
    ids=["unique", "the key itself", "of one that is so too"],
)
def test_where_each_row_is_referred_to_once_a_dropped_column_is_lost(write, verdicts, tables):
    write("001_tables", tables)
    write("002_flag", "ALTER TABLE p ADD b boolean NOT NULL DEFAULT false;", "ALTER TABLE p DROP COLUMN b;")
    write("003_no_flag", "ALTER TABLE p DROP COLUMN b;", "ALTER TABLE p ADD COLUMN b boolean NOT NULL DEFAULT false;")
    assert verdicts()["003_no_flag"].grade == "loses_data"


@pytest.mark.long
def test_a_table_that_no_more_rows_fit_into_is_filled_again_in_the_next_copy(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE a (flag boolean UNIQUE NOT NULL, n text, always int NOT NULL CHECK (always = 1));",
        "DROP TABLE a;",
    )
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
        "CREATE TABLE a (id serial PRIMARY KEY, b_id int); CREATE TABLE b (id serial PRIMARY KEY, a_id int REFERENCES"
        " a); ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b;",
        "DROP TABLE a, b;",
    )
    write("002_b", f"ALTER TABLE {lost} DROP {other}_id;", f"ALTER TABLE {lost} ADD {other}_id int REFERENCES {other};")
    assert verdicts()["002_b"].grade == "loses_data"


@pytest.mark.long
def test_synthetic_texts_can_be_read_as_numbers_and_json(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial, n text, j text, h text, keep text);", "DROP TABLE a;")
    write(
        "002_b",
        "ALTER TABLE a ALTER n TYPE int USING n::int, ALTER j TYPE json USING j::json, ALTER h TYPE bytea USING"
        " decode(h, 'hex'), DROP keep;",
        "ALTER TABLE a ALTER n TYPE text, ALTER j TYPE text, ALTER h TYPE text USING encode(h, 'hex'), ADD keep text;",
    )
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.differences[0].columns) == ("loses_data", ("keep",))


@pytest.mark.long
def test_a_trigger_that_lets_no_row_in_is_done_without(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE a (id int PRIMARY KEY, n text); CREATE TABLE log (said text NOT NULL);CREATE FUNCTION note()"
        " RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (NULL); RETURN NEW; END $$;CREATE TRIGGER"
        " note AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION note();",
        "DROP TABLE a; DROP TABLE log; DROP FUNCTION note;",
    )
    write("002_b", "ALTER TABLE a DROP n;", "ALTER TABLE a ADD n text;")
    write("003_c", "CREATE INDEX ON a (id);", "DROP INDEX a_id_idx;")
    found = verdicts()
    assert (found["002_b"].grade, found["002_b"].differences[0].columns) == ("loses_data", ("n",))
    assert (found["003_c"].grade, found["003_c"].remarks) == ("restores", ())  # the trigger is on again
