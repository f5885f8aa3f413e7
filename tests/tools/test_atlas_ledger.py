"""Atlas' ledger, as its published source makes it: read and kept in step, and only Atlas writes it."""

import base64
import hashlib

import pytest
from ledgers import ATLAS, ATLAS_TABLE
from watching import exists

import migrollback_nb as mr

pytestmark = pytest.mark.versions

FILES = {
    f"{n}_t.sql": f"CREATE TABLE t{n} ();\n-- ROLLBACK START\n-- DROP TABLE t{n};\n-- ROLLBACK END\n" for n in (1, 2, 3)
}


def write_with_sum(folder):
    running, lines = b"", []
    for name, text in FILES.items():
        (folder / name).write_text(text)
        running += name.encode() + text.encode()
        lines.append((name, base64.b64encode(hashlib.sha256(running).digest()).decode()))
    total = base64.b64encode(hashlib.sha256("".join(map("".join, lines)).encode()).digest()).decode()
    (folder / "atlas.sum").write_text(f"h1:{total}\n" + "".join(f"{name} h1:{sum_}\n" for name, sum_ in lines))


def applied(connection, table, *versions):
    for version in versions:
        connection.execute(f"CREATE TABLE t{version} ()")
        connection.execute(
            f"INSERT INTO {table} (version, description, applied, total, executed_at, execution_time, hash,"
            f" operator_version) VALUES ('{version}', 't', 1, 1, '2026-01-0{version}Z', 1, 'h', 'Atlas CLI v1')"
        )


@pytest.mark.parametrize("schema", ["atlas_schema_revisions", "public"])
def test_sync_asks_it_and_a_rollback_takes_the_row_out(db, folder, session, schema):
    connection, table = session(), f"{schema}.atlas_schema_revisions"
    connection.execute(ATLAS if schema != "public" else ATLAS_TABLE.format(table))
    connection.execute(
        f"INSERT INTO {table} VALUES ('.atlas_cloud_identifier', 'id', 2, 0, 0, now(), 0, NULL, NULL, '', NULL, '')"
    )
    write_with_sum(folder)
    applied(connection, table, 1, 2)
    found = db.adopt()
    assert (found.tools[0].tool, found.tools[0].how_sure, found.not_applied) == ("Atlas", "sure", ("3_t",))
    assert [moment.day for moment in db.history()["applied_at"]] == [2, 1]
    with pytest.raises(mr.MigrollbackError, match="only its own tool can write"):
        db.apply("3_t")
    (warning,) = db.check("1_t").warnings
    assert warning.startswith("Atlas has applied later ones, up to 2: it will refuse to apply anything")
    assert db.check("2_t").warnings == ()
    assert db.rollback("2_t", confirm="2_t").success
    assert not exists(session(), "t2")
    assert connection.execute(f"SELECT array_agg(version::text ORDER BY version) FROM {table}").fetchone() == (
        [".atlas_cloud_identifier", "1"],
    )
    assert db.check("1_t").warnings == ()
    applied(connection, table, 2)
    assert db.sync().applied_again == ("2_t",)


def test_one_that_atlas_did_not_bring_to_its_end_blocks_and_its_lock_too(db, folder, session):
    connection = session()
    connection.execute(ATLAS)
    write_with_sum(folder)
    applied(connection, "atlas_schema_revisions.atlas_schema_revisions", 1)
    db.sync()
    other = session()
    other.execute("SELECT pg_advisory_lock(2686470616)")
    assert "holds the lock of Atlas" in db.check("1_t").reason
    other.execute("SELECT pg_advisory_unlock_all()")
    connection.execute("UPDATE atlas_schema_revisions.atlas_schema_revisions SET total = 2")
    with pytest.raises(mr.Refused, match="did not come to its end"):
        db.rollback("1_t", confirm="1_t")
