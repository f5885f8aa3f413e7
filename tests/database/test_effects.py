"""What a rollback does beyond the schema: foretold by its rehearsal, and told by its own result."""

import pytest
from watching import last_event

pytestmark = pytest.mark.older


def told(found, *kinds):
    """(kind, identity, rows, detail) of effects, those of `kinds` or all but locks."""
    return [
        (one["effect"], one["identity"], one["rows"], one["detail"])
        for one in found
        if (one["effect"] in kinds if kinds else one["effect"] != "locks")
    ]


def rehearsed(db, session, name):
    """The effects that a rehearsal found, as its event keeps them."""
    found = db.rehearse(name)
    kept = last_event(session(), around=False)["details"]["effects"]
    assert [one.to_dict() for one in found.effects] == kept
    return kept


@pytest.mark.versions
def test_a_sequence_that_starts_anew(db, applied, session):
    applied("001_t", "CREATE TABLE ticket (id serial PRIMARY KEY, note text);", "DROP TABLE ticket;")
    session().execute("INSERT INTO ticket (note) SELECT 'n' FROM generate_series(1, 5)")
    applied(
        "002_s",
        "ALTER TABLE ticket ALTER COLUMN id DROP DEFAULT; DROP SEQUENCE ticket_id_seq;",
        "CREATE SEQUENCE ticket_id_seq AS integer OWNED BY ticket.id;"
        " ALTER TABLE ticket ALTER COLUMN id SET DEFAULT nextval('ticket_id_seq');",
    )
    effect = (
        "restarts_sequence",
        "public.ticket_id_seq",
        None,
        "stood at 5, starts at 1, public.ticket.id holds numbers up to 5",
    )
    assert told(rehearsed(db, session, "002_s")) == [effect]


@pytest.mark.versions
def test_values_that_a_change_of_type_narrows(db, applied, session):
    session().execute("CREATE TABLE item (id int PRIMARY KEY, price int, code varchar(5), at date, same int)")
    session().execute("INSERT INTO item VALUES (1, 10, 'abcde', '2026-01-01', 1)")
    applied(
        "001_w",
        "ALTER TABLE item ALTER price TYPE numeric(12,2), ALTER code TYPE text, ALTER at TYPE timestamptz, ALTER same"
        " TYPE bigint;",
        "ALTER TABLE item ALTER price TYPE int USING price::int, ALTER code TYPE varchar(5) USING left(code, 5),"
        " ALTER at TYPE date USING at::date, ALTER same TYPE int;",
    )
    session().execute("INSERT INTO item VALUES (2, 10.75, 'abcdefgh', '2026-01-02 10:00', 2), (3, 11, 'x', NULL, 3)")
    assert told(rehearsed(db, session, "001_w")) == [
        ("loses_values", "public.item.price", 1, "rounded"),
        ("loses_values", "public.item.code", 1, "cut off"),
        ("loses_values", "public.item.at", 1, "time of day lost"),
    ]


@pytest.mark.versions
def test_what_is_left_unpopulated_disabled_invalid_or_behind(db, applied, session):
    connection = session()
    connection.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t);"
        " CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t"
    )
    role = f"left_{connection.info.dbname}"
    applied(
        "001_t",
        f"CREATE ROLE {role} NOLOGIN; ALTER TABLE u ADD COLUMN x int; DROP MATERIALIZED VIEW m;"
        " ALTER TABLE t ALTER v TYPE bigint; CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, max(v) AS v FROM t;",
        "ALTER TABLE u DISABLE TRIGGER ALL; ALTER TABLE u DROP COLUMN x; DROP MATERIALIZED VIEW m;"
        " ALTER TABLE t ALTER v TYPE int;"
        " CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t WITH NO DATA;",
    )
    try:
        assert told(rehearsed(db, session, "001_t")) == [
            ("leaves_behind", f"role {role}", None, "stays"),
            ("leaves_disabled", "public.u u_t_fkey", None, "not checked: its triggers are disabled"),
            ("leaves_unpopulated", "public.m", None, "SELECT fails until it is refreshed"),
        ]
    finally:
        connection.execute(f"DROP ROLE {role}")


def test_objects_of_others_and_routines(db, applied, session):
    applied("001_shelf", "CREATE TABLE shelf (id int PRIMARY KEY, label text);", "DROP TABLE shelf;")
    applied("002_aisle", "ALTER TABLE shelf ADD aisle int;", "ALTER TABLE shelf DROP aisle CASCADE;")
    applied(
        "003_fill",
        "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.aisle := coalesce(new.aisle, 1);"
        " RETURN new; END $$; CREATE TRIGGER fill BEFORE INSERT ON shelf FOR EACH ROW EXECUTE FUNCTION fill();"
        " CREATE VIEW aisles AS SELECT DISTINCT aisle FROM shelf;",
        "DROP VIEW aisles; DROP TRIGGER fill ON shelf; DROP FUNCTION fill();",
    )
    session().execute("CREATE VIEW by_hand AS SELECT aisle FROM shelf")
    found = rehearsed(db, session, "002_aisle")
    assert told(found, "takes_other", "breaks") == [
        ("takes_other", "public.aisles", None, "view"),
        ("takes_other", "public.by_hand", None, "view, not known who made it"),
        ("breaks", "public.fill()", None, "function: names column public.shelf.aisle"),
    ]
    assert [one["migration"] for one in found if one["effect"] == "takes_other"] == ["003_fill", None]


def test_rows_and_values_that_go_and_those_that_come_back(db, applied, session):
    session().execute(
        "CREATE TABLE a (id int PRIMARY KEY, name text, old text); INSERT INTO a SELECT g, 'n' || g, 'o' FROM"
        " generate_series(1, 4) g; CREATE TABLE kept (id int PRIMARY KEY, old text)"
    )
    applied(
        "001_a",
        "INSERT INTO kept SELECT id, old FROM a; ALTER TABLE a DROP old; CREATE TABLE b AS SELECT 1 AS x;",
        "ALTER TABLE a ADD old text; UPDATE a SET old = k.old FROM kept k WHERE k.id = a.id;"
        " UPDATE a SET name = upper(name) WHERE id < 3; DELETE FROM a WHERE id = 4; DROP TABLE b;",
    )
    assert told(rehearsed(db, session, "001_a")) == [
        ("loses_rows", "public.b", 1, "table dropped"),
        ("loses_rows", "public.a", 1, "rows deleted"),
        ("loses_values", "public.a.name", 2, "letter case changed"),
    ]
