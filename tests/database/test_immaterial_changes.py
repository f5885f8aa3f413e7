"""What differs after a rollback and means nothing: a constant that is the time of creation, a generated name."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.versions

#: What there was by hand, and a migration that takes it and brings it back: the constant is of another moment.
TIMES = {
    "view": (
        "CREATE VIEW v AS SELECT 'now'::timestamp AS at, 'today'::date AS day, '2020-01-01'::date AS born",
        "DROP VIEW v;",
        "CREATE VIEW v AS SELECT 'now'::timestamp AS at, 'today'::date AS day, '2020-01-01'::date AS born;",
    ),
    "default": (
        "CREATE TABLE t (id int, at timestamptz DEFAULT 'now'::timestamptz)",
        "ALTER TABLE t ALTER at DROP DEFAULT;",
        "ALTER TABLE t ALTER at SET DEFAULT 'now'::timestamptz;",
    ),
}


@pytest.mark.parametrize("kind", TIMES)
def test_a_constant_that_is_the_time_of_creation_is_remarked(db, write, session, kind):
    before, up, rollback = TIMES[kind]
    session().execute(before)
    write("1_gone", up, rollback)
    db.apply()
    found = db.rollback("1_gone", confirm="1_gone").verification
    assert (found.verdict, len(found.differences), len(found.unexpected)) == ("restored", 0, 0)
    assert "is the time of its creation" in found.message


def test_another_constant_is_a_difference(db, write, session):
    session().execute("CREATE VIEW v AS SELECT '2020-01-01 10:00:00'::timestamp AS at")
    write("1_gone", "DROP VIEW v;", "CREATE VIEW v AS SELECT '2021-01-01 10:00:00'::timestamp AS at;")
    db.apply()
    assert db.rollback("1_gone", confirm="1_gone").verification.verdict == "differs"


def test_a_generated_name_of_a_not_null_constraint_is_remarked(db, write, session, server):
    if server.major < 18:
        pytest.skip("there NOT NULL is no constraint")
    # a name that PostgreSQL 18 made while the table was called packages
    session().execute("CREATE TABLE packages (x int NOT NULL, y int NOT NULL); ALTER TABLE packages RENAME TO crates")
    write("1_null", "ALTER TABLE crates ALTER x DROP NOT NULL;", "ALTER TABLE crates ALTER x SET NOT NULL;")
    write(
        "2_other",
        "ALTER TABLE crates ALTER y DROP NOT NULL;",
        "ALTER TABLE crates ADD CONSTRAINT own NOT NULL y;",
    )
    db.apply("1_null")
    db.apply("2_other")
    named_by_hand = db.rollback("2_other", confirm="2_other").verification
    found = db.rollback("1_null", confirm="1_null").verification
    assert (found.verdict, len(found.differences), len(found.unexpected)) == ("restored", 0, 0)
    assert "NOT NULL of public.crates has another generated name: crates_x_not_null" in found.message
    assert named_by_hand.verdict == "differs"


@pytest.mark.long
def test_verify_remarks_both(write, verdicts, server):
    write(
        "1_base",
        "CREATE TABLE packages (x int NOT NULL); ALTER TABLE packages RENAME TO crates; CREATE VIEW v AS SELECT"
        " 'now'::timestamp AS at;",
        "DROP VIEW v; DROP TABLE crates;",
    )
    write(
        "2_gone",
        "ALTER TABLE crates ALTER x DROP NOT NULL; DROP VIEW v;",
        "ALTER TABLE crates ALTER x SET NOT NULL; CREATE VIEW v AS SELECT 'now'::timestamp AS at;",
    )
    found = verdicts()
    assert {name: one.grade for name, one in found.items()} == {"1_base": "restores", "2_gone": "restores"}
    assert server.major < 18 or any("generated name" in remark for remark in found["2_gone"].remarks)
    assert any("time of its creation" in remark for remark in found["2_gone"].remarks)


def test_what_comes_with_a_column_of_a_registered_migration_alarms_nobody(db, write, session):
    base = "CREATE TABLE t (id int PRIMARY KEY, b int);"
    up = (
        "ALTER TABLE t ADD COLUMN e int NOT NULL CHECK (e > 0) UNIQUE REFERENCES t; ALTER TABLE t ALTER b SET NOT NULL;"
    )
    session().execute(base + up + "ALTER TABLE t ADD CONSTRAINT by_hand CHECK (e < 9)")
    write("1_base", base, "DROP TABLE t;")
    write("2_columns", up, "ALTER TABLE t DROP COLUMN e; ALTER TABLE t ALTER b DROP NOT NULL;")
    db.register("1_base")
    db.register("2_columns")
    assert db.rehearse("2_columns").dangers == (
        "also drops constraint public.t by_hand, not known which migration made it",
    )
