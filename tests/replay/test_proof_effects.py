"""verify: what is not as before beside schema and rows, up migrations that cannot run again, a server in trouble."""

import threading

import psycopg
import pytest

from migrollback_nb.core.results import Proof
from migrollback_nb.database.settings import Timeouts
from migrollback_nb.replay import patience
from migrollback_nb.replay.proof import prove_folder

pytestmark = pytest.mark.versions


def effects(verdict):
    return [(effect.effect, effect.identity, effect.detail) for effect in verdict.effects]


def test_sequences_that_start_anew_and_views_left_unfilled_lose_data(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE t (id serial PRIMARY KEY, n text); INSERT INTO t (n) SELECT g FROM generate_series(1, 5) g;"
        ' CREATE SEQUENCE "Down" INCREMENT -2; SELECT nextval(\'"Down"\') FROM generate_series(1, 3);'
        " CREATE SEQUENCE later; CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t;"
        " CREATE MATERIALIZED VIEW empty AS SELECT 1 AS n WITH NO DATA;",
        'DROP MATERIALIZED VIEW v, empty; DROP SEQUENCE later, "Down"; DROP TABLE t;',
    )
    write(
        "002_b",
        "ALTER TABLE t ALTER id DROP DEFAULT; DROP SEQUENCE t_id_seq;",
        "CREATE SEQUENCE t_id_seq AS integer OWNED BY t.id; ALTER TABLE t ALTER id SET DEFAULT nextval('t_id_seq');",
    )
    write("003_c", "SELECT 1;", "ALTER SEQUENCE \"Down\" RESTART; SELECT nextval('later');")
    write("004_d", "SELECT 1;", "REFRESH MATERIALIZED VIEW v WITH NO DATA; REFRESH MATERIALIZED VIEW empty;")
    write(
        "005_e",
        "DROP MATERIALIZED VIEW v, empty;",
        "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t;"
        " CREATE MATERIALIZED VIEW empty AS SELECT 1 AS n WITH NO DATA;",
    )
    found = verdicts()
    assert effects(found["002_b"]) == [
        ("restarts_sequence", "public.t_id_seq", "stood at 5 in the replay, starts at 1")
    ]
    assert effects(found["003_c"]) == [
        ("restarts_sequence", 'public."Down"', "stood at -5 in the replay, starts at -1")
    ]
    assert effects(found["004_d"]) == [("leaves_unpopulated", "public.v", "cannot be read until it is refreshed")]
    assert effects(found["005_e"]) == []
    assert [verdict.grade for verdict in found.values()] == [
        "restores", "loses_data", "loses_data", "loses_data", "restores",
    ]  # fmt: skip
    assert found["002_b"].lines() == ("! public.t_id_seq: stood at 5 in the replay, starts at 1",)
    assert found["002_b"].to_dict()["effects"] == [
        {
            "effect": "restarts_sequence",
            "identity": "public.t_id_seq",
            "rows": None,
            "detail": "stood at 5 in the replay, starts at 1",
            "migration": None,
            "known_by": "proof",
        }
    ]


@pytest.mark.long
def test_what_is_left_switched_off_differs_although_pg_dump_hides_it(write, verdicts):
    write(
        "001_a",
        'CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE "C" (id int CONSTRAINT "to P" REFERENCES p);'
        " CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER g BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION f();",
        'DROP TABLE "C", p; DROP FUNCTION f;',
    )
    write("002_b", "SELECT 1;", 'ALTER TABLE "C" DISABLE TRIGGER ALL;')
    write("003_c", "SELECT 1;", "ALTER TABLE p DISABLE TRIGGER g;")
    write("004_d", "ALTER TABLE p DISABLE TRIGGER ALL;", "ALTER TABLE p ENABLE TRIGGER ALL;")
    found = verdicts()
    assert effects(found["002_b"]) == [("leaves_disabled", 'public."C" "to P"', "is switched off and checks nothing")]
    assert effects(found["003_c"]) == [("leaves_disabled", "public.p g", "does not fire")]
    assert [verdict.grade for verdict in found.values()] == ["restores", "differs", "differs", "restores"]


def test_lost_values_are_effects_without_a_number(write, verdicts):
    write(
        "001_a", 'CREATE TABLE t (id int PRIMARY KEY, "Mail" text, n int); CREATE TABLE u (n int);', "DROP TABLE t, u;"
    )
    write("002_b", 'ALTER TABLE t DROP "Mail"; DROP TABLE u;', 'ALTER TABLE t ADD "Mail" text; CREATE TABLE u (n int);')
    verdict = verdicts()["002_b"]
    assert verdict.grade == "loses_data"
    assert effects(verdict) == [
        ("values_not_restored", 'public.t."Mail"', "in the replay"),
        ("values_not_restored", "public.u", "in the replay"),
    ]
    assert {effect.rows for effect in verdict.effects} == {None}


@pytest.mark.long
def test_an_up_migration_that_cannot_run_again_does_not_restore(write, verdicts):
    write("001_a", "CREATE TABLE t (id int PRIMARY KEY, n text);", "DROP TABLE t;")
    write("002_b", "INSERT INTO t VALUES (-7, 'fixed');", "SELECT 1;")
    write("003_c", "CREATE TABLE IF NOT EXISTS u (n int); COMMENT ON TABLE u IS 'new';", "COMMENT ON TABLE u IS NULL;")
    found = verdicts()
    assert (found["002_b"].grade, found["002_b"].reapplies, found["002_b"].differences) == ("cannot_reapply", False, ())
    assert found["003_c"].grade == "differs", "what is left of the schema is said first"
    proof = Proof(migrations=tuple(found.values()), server="")
    assert [worse.migration_name for worse in proof.below("restores")] == ["002_b", "003_c"]
    assert [worse.migration_name for worse in proof.below("loses_data")] == ["002_b", "003_c"]


@pytest.mark.long
def test_roles_that_stay_are_seen_and_those_that_go_break_no_other(write, folder):
    write(
        "001_a",
        "CREATE ROLE proof_one; CREATE TABLE t (id int, n text); GRANT SELECT ON t TO proof_one;",
        "DROP TABLE t; DROP ROLE proof_one;",
    )
    write("002_b", "ALTER TABLE t DROP n;", "ALTER TABLE t ADD n text;")
    write(
        "003_c",
        "CREATE ROLE proof_two; ALTER ROLE proof_one CONNECTION LIMIT 3; GRANT proof_one TO proof_two;",
        "SELECT 1;",
    )
    write(
        "004_d",
        "DO $$ BEGIN IF to_regrole('proof_three') IS NULL THEN CREATE ROLE proof_three; END IF; END $$;"
        " ALTER ROLE proof_one SET work_mem = '8MB'; GRANT pg_monitor TO proof_one;",
        "SELECT 1;",
    )
    write("005_e", "GRANT SELECT ON t TO proof_one, proof_two, proof_three;", "REVOKE SELECT ON t FROM proof_three;")
    write("006_f", "DROP ROLE proof_nobody;", "SELECT 1;")
    write("007_g", "ALTER TABLE t ADD n text;", "ALTER TABLE t DROP n;")
    found = {verdict.migration_name: verdict for verdict in prove_folder(folder).migrations}
    assert [verdict.grade for verdict in found.values()] == [
        "restores", "loses_data", "cannot_reapply", "differs", "differs", "cannot_reapply", "restores",
    ]  # fmt: skip
    assert effects(found["003_c"]) == [
        ("leaves_behind", "proof_one", "the role keeps other attributes: connlimit"),
        ("leaves_behind", "proof_two", "the role stays"),
    ]
    assert effects(found["004_d"]) == [
        ("leaves_behind", "proof_three", "the role stays"),
        ("leaves_behind", "proof_one in pg_monitor", "the membership stays"),
        ("leaves_behind", "work_mem of role proof_one", "the setting is another one"),
    ]


@pytest.mark.long
def test_roles_of_a_server_of_others_are_not_looked_at(write, folder, server):
    write("001_a", "CREATE TABLE t (n int);", "DROP TABLE t;")
    write("002_b", "DO $$ BEGIN EXECUTE 'CREATE ' || 'ROLE proof_hidden'; END $$;", "SELECT 1;")
    try:
        found = prove_folder(folder, on=server.dsn()).migrations
        assert [(verdict.grade, verdict.effects) for verdict in found] == [("restores", ()), ("cannot_reapply", ())]
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute("DROP ROLE IF EXISTS proof_hidden")


# -- a server in trouble -----------------------------------------------------------------------------------------------


@pytest.fixture
def crowded(server):
    """Logs in as a role that may hold five connections: (DSN, a superuser)."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS proof_crowded")
        admin.execute("CREATE ROLE proof_crowded LOGIN CREATEDB CONNECTION LIMIT 5")
        dsn = psycopg.conninfo.make_conninfo(server.dsn(), user="proof_crowded")
        yield dsn, admin
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'proof_crowded'")
        admin.execute("DROP OWNED BY proof_crowded; DROP ROLE proof_crowded")


@pytest.mark.long
def test_a_server_without_room_is_asked_again_and_loses_no_other_verdict(write, folder, crowded, monkeypatch):
    dsn, admin = crowded
    for number, sql in enumerate(("SELECT 1;", "ALTER TABLE t ADD m int;", "VACUUM t;", "ALTER TABLE t ADD k int;")):
        header = "-- Transaction: false\n" if "VACUUM" in sql else ""
        write(f"00{number + 2}_b", sql, "ALTER TABLE t DROP m;" if " m " in sql else "SELECT 1;", header=header)
    write("001_a", "CREATE TABLE t (n int);", "DROP TABLE t;")
    monkeypatch.setattr(patience, "WAITS", (0.05, 0.05))
    limit = "ALTER ROLE proof_crowded CONNECTION LIMIT {}"

    def progress(done, _, name):
        # what runs outside a transaction takes one connection more
        admin.execute(limit.format(2 if name == "004_b" else 5))

    found = prove_folder(folder, on=dsn, progress=progress)
    assert [verdict.grade for verdict in found.migrations] == [
        "restores",
        "restores",
        "restores",
        "unknown",
        "differs",
    ], found.migrations[3].remarks

    def soon(done, _, name):
        if name == "004_b":
            admin.execute(limit.format(2))
            threading.Timer(0.4, admin.execute, [limit.format(5)]).start()

    monkeypatch.setattr(patience, "WAITS", (0.2, 0.5, 2.0))
    found = prove_folder(folder, on=dsn, progress=soon)
    assert [verdict.grade for verdict in found.migrations] == ["restores"] * 4 + ["differs"], found


@pytest.mark.long
def test_a_server_without_room_at_first_is_asked_again(write, folder, crowded):
    dsn, _ = crowded
    write("001_a", "CREATE TABLE t (n int);", "DROP TABLE t;")
    others = [psycopg.connect(dsn, dbname="postgres") for _ in range(5)]

    def leave():
        for other in others:
            other.close()

    threading.Timer(0.3, leave).start()
    assert [verdict.grade for verdict in prove_folder(folder, on=dsn).migrations] == ["restores"]
    assert all(other.closed for other in others)


def test_what_the_sql_itself_raises_is_no_trouble_of_the_server(write, folder, server):
    write("001_a", "DO $$ BEGIN RAISE 'again' USING ERRCODE = '40001'; END $$;", "SELECT 1;")
    write("002_b", "CREATE TABLE t (n int);", "DROP TABLE t;")
    first, second = prove_folder(folder, on=server.dsn(), timeouts=Timeouts(retries=0)).migrations
    assert (first.grade, first.sqlstate, second.grade) == ("fails", "40001", "restores")
