"""What a rollback does beyond the schema: foretold by its rehearsal, and told by its own result."""

import pytest
from watching import dismiss_all, last_event

pytestmark = pytest.mark.versions


def told(found, *kinds):
    """(kind, identity, rows, detail) of effects, those of `kinds` or all but locks."""
    return [
        (one["effect"], one["identity"], one["rows"], one["detail"])
        for one in found
        if (one["effect"] in kinds if kinds else one["effect"] != "locks")
    ]


def rolled_back(db, name):
    """Verdict, message and effects that a rollback's own answer gives."""
    found = db.rollback(name, confirm=name).verification
    return found.verdict, found.message, told([one.to_dict() for one in found.effects])


def rehearsed(db, session, name):
    """The effects that a rehearsal found, as its event keeps them."""
    found = db.rehearse(name)
    kept = last_event(session(), around=False)["details"]["effects"]
    assert [one.to_dict() for one in found.effects] == kept
    return kept


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
    verdict, message, effects = rolled_back(db, "002_s")
    assert (verdict, effects) == ("schema_restored", [effect])
    assert message.startswith("Schema restored, not all else: ")
    assert "public.ticket_id_seq" in message


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
    effects = [
        ("loses_values", "public.item.price", 1, "rounded"),
        ("loses_values", "public.item.code", 1, "cut off"),
        ("loses_values", "public.item.at", 1, "time of day lost"),
    ]
    assert told(rehearsed(db, session, "001_w")) == effects
    assert rolled_back(db, "001_w")[::2] == ("schema_restored", effects)


@pytest.mark.long
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
    effects = [
        ("leaves_behind", f"role {role}", None, "stays"),
        ("leaves_disabled", "public.u u_t_fkey", None, "not checked: its triggers are disabled"),
        ("leaves_unpopulated", "public.m", None, "SELECT fails until it is refreshed"),
    ]
    try:
        assert told(rehearsed(db, session, "001_t")) == effects
        verdict, _, found = rolled_back(db, "001_t")
        assert verdict in ("schema_restored", "differs")  # whether it is populated stands in the snapshot
        assert found == effects
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
    dismiss_all(db)
    found = rehearsed(db, session, "002_aisle")
    assert told(found, "takes_other", "breaks") == [
        ("takes_other", "public.aisles", None, "view"),
        ("takes_other", "public.by_hand", None, "view, not known who made it"),
        ("breaks", "public.fill()", None, "function: names column public.shelf.aisle"),
    ]
    assert [one["migration"] for one in found if one["effect"] == "takes_other"] == ["003_fill", None]
    in_psql = session().execute("SELECT report -> 'effects' FROM rehearse_migration_rollback('002_aisle')").fetchone()
    assert told(in_psql[0], "breaks") == told(found, "breaks")


@pytest.mark.each_server
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
    effects = [
        ("loses_rows", "public.b", 1, "table dropped"),
        ("loses_rows", "public.a", 1, "rows deleted"),
        ("loses_values", "public.a.name", 2, "letter case changed"),
    ]
    assert told(rehearsed(db, session, "001_a")) == effects
    verdict, _, found = rolled_back(db, "001_a")
    assert verdict == "schema_restored"
    assert found[:-1] == [*effects, ("leaves_behind", "public.kept", 4, "rows that the migration inserted")]
    assert found[-1][:3] == (
        "values_not_restored",
        "public.a.old",
        4,
    )  # written back, but by which values no one looked


def test_restored_means_values_and_state_too(db, applied, session):
    connection = session()
    connection.execute("CREATE TABLE kind (id int PRIMARY KEY, name text); INSERT INTO kind VALUES (1, 'a')")
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")
    connection.execute("INSERT INTO t VALUES (1), (2)")
    db.rehearse("001_t")
    verdict, message, effects = rolled_back(db, "001_t")
    assert (verdict, effects) == ("restored", [("loses_rows", "public.t", 2, "table dropped")])
    assert message == (
        "Restored: schema, values and state are as before it was applied (gone with it: 2 rows of public.t)"
    )
    applied("002_k", "INSERT INTO kind VALUES (2, 'b'), (3, 'c');", "DELETE FROM kind WHERE id IN (2, 3);")
    assert told(rehearsed(db, session, "002_k")) == []
    assert rolled_back(db, "002_k")[::2] == ("restored", [])
    applied("003_k", "INSERT INTO kind VALUES (2, 'b'), (3, 'c');", "DELETE FROM kind WHERE id = 2;")
    assert rolled_back(db, "003_k")[::2] == (
        "schema_restored",
        [("leaves_behind", "public.kind", 1, "rows that the migration inserted")],
    )
    applied("004_k", "INSERT INTO kind VALUES (4, 'd');", "DELETE FROM kind; UPDATE kind SET name = 'x';")
    assert rolled_back(db, "004_k")[::2] == (
        "schema_restored",
        [("loses_rows", "public.kind", 2, "rows deleted")],
    )


def test_without_a_rehearsal_what_is_not_known_is_said(db, applied, session):
    connection = session()
    connection.execute("CREATE TABLE w (id int, v int, z text); INSERT INTO w VALUES (1, 1, 'z')")
    applied(
        "001_w",
        "ALTER TABLE w ALTER v TYPE numeric; ALTER TABLE w ALTER z TYPE varchar;",
        "ALTER TABLE w ALTER v TYPE int; ALTER TABLE w ALTER z TYPE text;",
    )
    assert rolled_back(db, "001_w")[::2] == (
        "schema_restored",
        [("loses_values", "public.w.v", None, "type changed from numeric to integer, values not compared")],
    )
    applied("002_u", "ALTER TABLE w ADD x int;", "ALTER TABLE w DROP x; UPDATE w SET v = v + 1; TRUNCATE w;")
    assert rolled_back(db, "002_u")[::2] == (
        "schema_restored",
        [("loses_rows", "public.w", None, "table emptied")],
    )


def test_rows_that_leave_a_parent(db, applied, session):
    connection = session()
    connection.execute(
        "CREATE TABLE part (at int) PARTITION BY RANGE (at); CREATE TABLE part_1 (at int); CREATE TABLE heir (at int);"
        " CREATE TABLE whole (at int)"
    )
    applied(
        "001_p",
        "ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES FROM (0) TO (9); ALTER TABLE heir INHERIT whole;",
        "ALTER TABLE part DETACH PARTITION part_1; ALTER TABLE heir NO INHERIT whole; CREATE INDEX ON ONLY part (at);",
    )
    connection.execute("INSERT INTO part VALUES (1), (2); INSERT INTO heir VALUES (3)")
    connection.execute("CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20)")
    assert told(rehearsed(db, session, "001_p")) == [
        ("loses_rows", "public.part", 2, "rows leave it with public.part_1"),
        ("loses_rows", "public.whole", 1, "rows leave it with public.heir"),
        ("leaves_invalid", "public.part_at_idx", None, "unused"),
    ]


@pytest.mark.long
def test_sequences_that_stand_further_or_were_never_asked_are_none(db, applied, session):
    connection = session()
    connection.execute("CREATE TABLE s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY); CREATE SEQUENCE down")
    connection.execute("CREATE SEQUENCE low INCREMENT -1; SELECT nextval('low') FROM generate_series(1, 3)")
    applied(
        "001_s",
        "ALTER TABLE s ALTER id DROP IDENTITY; CREATE TABLE own (id serial);",
        "ALTER TABLE s ALTER id ADD GENERATED ALWAYS AS IDENTITY; SELECT setval('down', 1, false); DROP TABLE own;",
    )
    found = db.rehearse("001_s", consent=True)
    assert not [one for one in found.effects if one.effect == "restarts_sequence"]
    connection.execute("INSERT INTO s SELECT generate_series(1, 4)")
    applied("002_s", "SELECT 1;", "ALTER SEQUENCE low RESTART; ALTER SEQUENCE down RESTART WITH 7;")
    assert told(rehearsed(db, session, "002_s")) == [
        ("restarts_sequence", "public.low", None, "stood at -3, starts at -1")
    ]
    found = db.rehearse("001_s", consent=True)  # rows came since
    assert [one.detail for one in found.effects if one.effect == "restarts_sequence"] == [
        "starts at 1, public.s.id holds numbers up to 4"
    ]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (
            "DROP INDEX by_v; CREATE INDEX by_v ON shelf (v DESC);",
            "DROP INDEX by_v; CREATE INDEX by_v ON shelf (v);",
        ),
        ("ALTER TABLE shelf RENAME TO rack;", "ALTER TABLE rack RENAME TO shelf;"),
        ("ALTER SEQUENCE shelf_id_seq RENAME TO s;", "ALTER SEQUENCE s RENAME TO shelf_id_seq;"),
        (
            "CREATE TYPE more AS ENUM ('a', 'b', 'c'); ALTER TABLE shelf ALTER k DROP DEFAULT, ALTER k TYPE more USING"
            " k::text::more; DROP TYPE kind;",
            "CREATE TYPE kind AS ENUM ('a', 'b'); ALTER TABLE shelf ALTER k TYPE kind USING k::text::kind, ALTER k SET"
            " DEFAULT 'a'; DROP TYPE more;",
        ),
        (
            "ALTER TABLE shelf RENAME v TO x; ALTER TABLE shelf RENAME note TO v;",
            "ALTER TABLE shelf RENAME v TO note; ALTER TABLE shelf RENAME x TO v;",
        ),
    ],
    ids=["index made anew", "table renamed", "sequence renamed", "type replaced", "names exchanged"],
)
def test_what_is_anothers_and_as_before_is_not_taken(db, applied, session, up, down):
    applied(
        "001_t",
        "CREATE TYPE kind AS ENUM ('a', 'b'); CREATE TABLE shelf (id serial PRIMARY KEY, v int, note text, k kind"
        " DEFAULT 'a'); CREATE INDEX by_v ON shelf (v);",
        "DROP TABLE shelf; DROP TYPE kind;",
    )
    session().execute("INSERT INTO shelf (v, note) SELECT g, g FROM generate_series(1, 5) g")
    applied("002_c", up, down)
    assert told(rehearsed(db, session, "002_c"), "takes_other", "not_restored", "loses_values", "breaks") == []
    assert db.assess("002_c").verdict == "ready"
    assert rolled_back(db, "002_c")[0] == "restored"


@pytest.mark.long
def test_many_tables_of_every_size_and_a_role_that_may_not_look(db, applied, session):
    connection = session()
    connection.execute(
        "DO $$ BEGIN FOR i IN 1..120 LOOP EXECUTE format('CREATE TABLE s%s (id serial PRIMARY KEY, v text)', i); END"
        " LOOP; END $$; ANALYZE pg_class; ANALYZE pg_sequence; CREATE TABLE plain (a int, b numeric, c text);"
        " INSERT INTO plain SELECT g, g / 2.0, repeat('x', 300) || g FROM generate_series(1, 3000) g"
    )
    assert len(connection.execute("SELECT schema_states() -> 'sequence'").fetchone()[0]) == 120
    applied(
        "001_p",
        "ALTER TABLE plain ADD d int;",
        "ALTER TABLE plain DROP d; ALTER TABLE plain ALTER b TYPE int; UPDATE plain SET c = c; DELETE FROM plain WHERE"
        " a > 2990;",
    )
    assert told(rehearsed(db, session, "001_p")) == [
        ("loses_rows", "public.plain", 10, "rows deleted"),
        ("loses_values", "public.plain.b", 1495, "other values"),
        ("not_restored", "public.plain.b", None, "column is not as before"),
    ]


def test_values_of_a_table_too_large_to_compare_are_not_known(db, applied, session):
    connection = session()
    connection.execute(
        "CREATE TABLE wide (id int PRIMARY KEY, v numeric, n bigint, t text);"
        " INSERT INTO wide SELECT g, g, g, repeat('x', 1000) FROM generate_series(1, 9000) g"
    )
    applied(
        "001_w",
        "ALTER TABLE wide ADD x int;",
        "ALTER TABLE wide DROP x; ALTER TABLE wide ALTER v TYPE int, ALTER n TYPE int;",
    )
    assert told(rehearsed(db, session, "001_w")) == [
        ("loses_values", "public.wide.v", None, "type changed from numeric to integer, values not compared"),
        ("not_restored", "public.wide.n", None, "column is not as before"),
        ("not_restored", "public.wide.v", None, "column is not as before"),
    ]


@pytest.mark.long
def test_roles_memberships_settings_and_jobs_that_stay(db, applied, session):
    connection = session()
    name = connection.info.dbname
    connection.execute(
        f"CREATE ROLE {name}_ro NOLOGIN; CREATE ROLE {name}_app NOLOGIN; CREATE SCHEMA cron; CREATE TABLE cron.job"
        " (jobid bigint, schedule text, command text, database text, username text, active boolean, jobname text);"
        " SET allow_system_table_mods = on; INSERT INTO pg_extension (oid, extname, extowner, extnamespace,"
        " extrelocatable, extversion) SELECT 99999, 'pg_cron', 10, n.oid, false, '1' FROM pg_namespace n WHERE"
        " nspname = 'cron'; RESET allow_system_table_mods; ALTER EXTENSION pg_cron ADD TABLE cron.job"
    )
    try:
        applied(
            "001_r",
            f"CREATE ROLE {name}_new NOLOGIN; GRANT {name}_new TO {name}_app; ALTER ROLE {name}_ro CONNECTION LIMIT 7;"
            f" GRANT {name}_ro TO {name}_app; ALTER DATABASE {name} SET work_mem = '5MB'; ALTER ROLE {name}_ro SET"
            " statement_timeout = '1s'; INSERT INTO cron.job VALUES (1, '* * * * *', 'secret', '', '', true,"
            " 'nightly'); CREATE TABLE desk (id int);",
            f"DROP TABLE desk; ALTER ROLE {name}_ro RESET statement_timeout;",
        )
        connection.execute(f"CREATE ROLE {name}_else NOLOGIN")  # of other hands
        effects = [
            ("leaves_behind", "job nightly", None, "stays"),
            ("leaves_behind", f"membership {name}_app in {name}_ro", None, "stays"),
            ("leaves_behind", f"role {name}_new", None, "stays"),
            ("leaves_behind", f"role {name}_ro", None, "stays as the migration changed it"),
            ("leaves_behind", "setting work_mem of this database", None, "stays"),
        ]
        assert told(rehearsed(db, session, "001_r"), "leaves_behind") == effects
        found = db.rollback("001_r", confirm="001_r").verification
        assert [one for one in told([one.to_dict() for one in found.effects]) if one[0] == "leaves_behind"][
            :5
        ] == effects
        assert found.verdict != "restored"
    finally:
        connection.execute(f"DROP OWNED BY {name}_ro, {name}_app")
        for role in ("new", "ro", "app", "else"):
            connection.execute(f"DROP ROLE IF EXISTS {name}_{role}")


def test_a_schema_that_does_not_come_back_is_foretold(db, applied, session):
    applied(
        "001_t",
        "CREATE TABLE paper (id int, note text DEFAULT 'x'); CREATE FUNCTION folded() RETURNS int LANGUAGE sql"
        " AS 'SELECT 1'; CREATE VIEW stack AS SELECT id FROM paper;",
        "DROP VIEW stack; DROP TABLE paper;",
    )
    applied(
        "002_change",
        "ALTER TABLE paper DROP COLUMN note; DROP FUNCTION folded; CREATE TABLE bin (id int, at date);"
        " CREATE OR REPLACE VIEW stack AS SELECT id FROM paper WHERE id > 0;",
        "ALTER TABLE paper ADD COLUMN note text;",
    )
    expected = [
        ("not_restored", "public.bin", None, "table stays that was not there before"),
        ("not_restored", "public.folded()", None, "function does not come back"),
        ("not_restored", "public.paper.note", None, "column is not as before"),
        ("not_restored", "public.stack", None, "view is not as before"),
    ]
    assert told(rehearsed(db, session, "002_change")) == expected
    known = db.assess("002_change")
    assert (known.verdict, known.headline) == ("harms", "Would succeed, and not restore 4 objects of the schema")
    found = db.rollback("002_change", confirm="002_change").verification
    assert found.verdict == "differs"
    assert len(found.differences.changes) >= len(expected)


def test_an_object_of_another_that_goes_is_told_once(db, applied, session):
    applied("001_t", "CREATE TABLE paper (id int);", "DROP TABLE paper CASCADE;")
    session().execute("CREATE VIEW theirs AS SELECT id FROM paper")
    assert told(rehearsed(db, session, "001_t")) == [
        ("takes_other", "public.theirs", None, "view, not known who made it")
    ]


def test_what_cannot_be_compared_is_not_called_unrestored(db, applied, session):
    applied("001_t", "CREATE TABLE paper (id int);", "CREATE TABLE other (id int);", snapshots="none")
    assert told(rehearsed(db, session, "001_t")) == []


ARCHIVED = """CREATE TABLE account_archive AS SELECT id, email, plan FROM account;
ALTER TABLE account DROP COLUMN email;
UPDATE account SET plan = 'none';"""
PUT_BACK = """ALTER TABLE account ADD COLUMN email text;
UPDATE account SET email = a.email, plan = a.plan FROM account_archive a WHERE a.id = account.id;
DROP TABLE account_archive;"""


def accounts(session):
    connection = session()
    connection.execute(
        "CREATE TABLE account (id int PRIMARY KEY, email text, plan text DEFAULT 'free');"
        " INSERT INTO account SELECT g, 'u' || g, CASE WHEN g % 2 = 0 THEN 'paid' END FROM generate_series(1, 100) g"
    )
    return connection


def test_values_that_the_rollback_brings_back_are_seen_in_the_rehearsal(db, applied, session):
    accounts(session)
    applied("001_a", ARCHIVED, PUT_BACK)
    assert db.assess("001_a").verdict == "loses"  # nobody has looked yet
    assert told(rehearsed(db, session, "001_a")) == [("loses_rows", "public.account_archive", 100, "table dropped")]
    assert "account.email" not in db.assess("001_a").headline
    found = db.rollback("001_a", confirm="001_a", accept_loss=True).verification
    assert found.verdict == "restored", found.message


@pytest.mark.parametrize(
    "since",
    [
        "UPDATE account_archive SET email = 'x' WHERE id = 7",
        "INSERT INTO account (id) VALUES (101)",
        "UPDATE account_archive SET email = CASE id WHEN 1 THEN 'u2' ELSE 'u1' END WHERE id IN (1, 2)",
    ],
    ids=["another value", "a row since", "two values change places"],
)
def test_values_that_come_back_otherwise_are_not_called_restored(db, applied, session, since):
    connection = accounts(session)
    applied("001_a", ARCHIVED, PUT_BACK)
    connection.execute(since)
    db.rehearse("001_a")
    assert "public.account.email" in [one.identity for one in db.assess("001_a").effects]
    assert db.rollback("001_a", confirm="001_a").verification.verdict == "schema_restored"


def test_a_table_that_is_dropped_and_filled_again_comes_back(db, applied, session):
    accounts(session)
    applied(
        "001_a",
        "ALTER TABLE account RENAME TO kept; CREATE TABLE account AS SELECT id FROM kept; DROP TABLE account;",
        "ALTER TABLE kept RENAME TO account;",
    )
    applied(
        "002_b",
        "CREATE TABLE copy_of_kept AS TABLE kept; DELETE FROM kept WHERE id > 50;",
        "INSERT INTO kept SELECT * FROM copy_of_kept WHERE id > 50; DROP TABLE copy_of_kept;",
    )
    found = db.rollback("002_b", confirm="002_b").verification
    assert found.verdict == "restored", found.message


def test_text_of_values_does_not_depend_on_settings(db, applied, session):
    connection = session()
    connection.execute(
        "CREATE TABLE odd (id int PRIMARY KEY, at timestamptz, took interval, x float8, b bytea, n json);"
        " INSERT INTO odd VALUES (1, now(), '1 day 2 hours', 0.1 + 0.2, '\\x00ff', '{}'),"
        " (2, NULL, NULL, NULL, '', '1')"
    )
    applied(
        "001_o",
        "CREATE TABLE odd_archive AS TABLE odd; TRUNCATE odd;",
        "INSERT INTO odd TABLE odd_archive; DROP TABLE odd_archive;",
    )
    db.database.connection.execute(
        "SET timezone = 'Asia/Kathmandu'; SET datestyle = 'German'; SET intervalstyle = 'iso_8601'; SET"
        " extra_float_digits = -5; SET bytea_output = 'escape'"
    )
    found = db.rollback("001_o", confirm="001_o").verification
    assert found.verdict == "restored", found.message


@pytest.mark.parametrize(
    ("rows", "left"),
    [("SELECT g FROM generate_series(1, 3) g", 3), ("SELECT 1 WHERE false", None)],
    ids=["rows without a value", "no rows"],
)
def test_a_default_in_rows_that_had_no_value_is_left_behind(db, applied, session, rows, left):
    connection = session()
    connection.execute(f"CREATE TABLE worker (id int PRIMARY KEY, addr text); INSERT INTO worker (id) {rows}")
    applied("001_w", "ALTER TABLE worker DROP COLUMN addr;", "ALTER TABLE worker ADD addr text;")
    assert db.rollback("001_w", confirm="001_w").verification.verdict == "restored"
    applied(
        "002_w",
        "ALTER TABLE worker ALTER addr SET DEFAULT ''; ALTER TABLE worker DROP COLUMN addr;",
        "ALTER TABLE worker ADD addr text DEFAULT ''; ALTER TABLE worker ALTER addr DROP DEFAULT;",
    )
    connection.execute("INSERT INTO worker (id) VALUES (10)")
    effects = [("leaves_behind", "public.worker.addr", left + 1, "values in rows that had none")] if left else []
    assert told(rehearsed(db, session, "002_w")) == effects
    verdict, _, found = rolled_back(db, "002_w")
    assert (verdict, found) == (("schema_restored" if left else "restored"), effects)
