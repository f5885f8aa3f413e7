"""verify --record: grades kept in the database by the text that was tried, and quoted while that text holds."""

import io
import json

import pytest

from migrollback_nb import cli
from migrollback_nb.core.results import MigrationProof, Proof

pytestmark = pytest.mark.versions


@pytest.fixture
def connection(session):
    return session()


@pytest.fixture
def two(applied, write):
    """One that is applied, one that is not."""
    applied("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;", snapshots="none")
    write("002_b", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text;")


def proven(session, name):
    rows = session.execute("SELECT grade, effects, proven_at FROM migration_proof(%s)", (name,)).fetchall()
    return rows[0] if rows else None


def test_grades_are_kept_and_hold_for_what_is_registered(two, db, database_dsn, connection, server):
    out, err = io.StringIO(), io.StringIO()
    words = ["verify", "--dsn", database_dsn, "--dir", str(db.folder.path), "--on", server.dsn(), "--record"]
    assert cli.run(words, out, err) == 0
    assert "2 grades recorded in the database, 1 of them of what is registered there" in out.getvalue()
    assert proven(connection, "001_a")[:2] == ("restores", [])
    assert proven(connection, "002_b") is None, "it is not registered"
    db.apply("002_b", snapshots="none")
    grade, effects, _ = proven(connection, "002_b")
    assert (grade, [effect["identity"] for effect in effects]) == ("loses_data", ["public.a.n"])
    assert db.events()["event"].tolist()[-3:] == ["proven", "applied", "dependencies_recorded"]
    details = "SELECT details FROM migration_events WHERE event = 'proven'"
    assert connection.execute(details).fetchone()[0] == {"grades": {"001_a": "restores", "002_b": "loses_data"}}
    assert cli.run([*words, "--format", "json", "001_a"], out := io.StringIO(), err) == 0
    assert [row["registered"] for row in json.loads(out.getvalue())] == [True]


def proof_of(db, name, grade, **more):
    record = db.folder.read(name)
    found = MigrationProof(migration_name=name, grade=grade, checksum=record.checksum, **more)
    return Proof(migrations=(found,), server="PostgreSQL 18.6")


def test_a_proof_holds_only_for_the_very_text_and_rollback(two, db, connection, write):
    from hashlib import md5

    block = {"rollback_md5": md5(b"DROP TABLE a;").hexdigest()}
    assert db.record_proofs(proof_of(db, "001_a", "differs")).migrations[0].registered is False, "another rollback"
    assert proven(connection, "001_a") is None
    assert db.record_proofs(proof_of(db, "001_a", "restores", **block)).migrations[0].registered is True
    first = proven(connection, "001_a")
    assert first[0] == "restores"
    db.record_proofs(proof_of(db, "001_a", "loses_data", **block))
    assert proven(connection, "001_a")[0] == "loses_data", "the newest counts"
    assert proven(connection, "001_a")[2] > first[2]
    unknown = proof_of(db, "001_a", "unknown", **block)
    assert db.record_proofs(unknown).recorded is None, "nothing is learned of it"
    assert proven(connection, "001_a")[0] == "loses_data"
    connection.execute("UPDATE migration_history SET rollback_sql = 'SELECT 1;'")
    assert proven(connection, "001_a") is None, "changed by hand"
    connection.execute("UPDATE migration_history SET rollback_sql = 'DROP TABLE a;'")
    assert proven(connection, "001_a") is not None
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a CASCADE;")
    db.register("001_a")
    assert proven(connection, "001_a") is None, "another text"


def test_psql_records_too_and_reads_by_index(connection):
    connection.execute(
        "INSERT INTO migration_history (migration_name, migration_version, rollback_sql, checksum) SELECT format("
        "'%s_m', g), g, 'SELECT 1;', md5(g::text) FROM generate_series(1000, 3000) g"
    )
    rows = connection.execute(
        "SELECT count(*), bool_and(is_registered) FROM record_migration_proofs((SELECT jsonb_agg(jsonb_build_object("
        "'migration_name', migration_name, 'checksum', checksum, 'grade', 'restores', 'rollback_md5',"
        " md5(rollback_sql))) FROM migration_history))"
    ).fetchone()
    assert rows == (2002, True)
    connection.execute("ANALYZE migration_history, migration_proofs")
    plan = connection.execute("EXPLAIN SELECT * FROM migration_proof('1500_m')").fetchall()
    assert "Seq Scan" not in str(plan)
    assert connection.execute("SELECT * FROM record_migration_proofs('[]')").fetchall() == []
    count = "SELECT count(*) FROM migration_events WHERE event = 'proven'"
    assert connection.execute(count).fetchone() == (1,), "of nothing there is no event"


@pytest.mark.parametrize(
    ("grade", "effects", "words"),
    [
        ("restores", [], "restores what was there"),
        ("loses_data", [("values_not_restored", "public.a.n"), ("values_not_restored", "public.a.m")],
         "loses values of public.a.m, public.a.n"),
        ("loses_data", [("restarts_sequence", "public.s"), ("leaves_unpopulated", "public.v")],
         "restarts public.s, leaves unfilled public.v"),
        ("differs", [], "leaves differences in the schema"),
        ("differs", [("leaves_behind", "app")], "leaves differences: app"),
        ("cannot_reapply", [("leaves_behind", "app")], "the up migration does not run again after it"),
    ],
)  # fmt: skip
def test_check_quotes_a_proof_in_words(connection, grade, effects, words):
    listed = json.dumps([{"effect": effect, "identity": identity} for effect, identity in effects])
    said = connection.execute("SELECT migration_proof_words(%s, %s::jsonb, now())", (grade, listed)).fetchone()[0]
    assert said.endswith(f": {words}")


def test_check_says_what_was_proven(two, db, connection):
    from hashlib import md5

    block = {"rollback_md5": md5(b"DROP TABLE a;").hexdigest()}
    db.record_proofs(proof_of(db, "001_a", "cannot_reapply", **block))
    found = db.assess("001_a")
    assert "the up migration does not run again after it" in found.proof
    assert found.verdict != "ready"
