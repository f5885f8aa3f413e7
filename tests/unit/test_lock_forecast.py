"""Which locks a text of SQL takes, and what it rewrites or scans: PostgreSQL's manual, as far as the text tells."""

from __future__ import annotations

import postgast
import pytest

from migrollback_nb.parsing import lock_forecast

AE, SRE, SHARE, SUE = "ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "SHARE", "SHARE UPDATE EXCLUSIVE"


def locks(text: str) -> list[tuple[str, str, str | None]]:
    parsed = postgast.parse(text).stmts
    found = lock_forecast.look([text] * len(parsed), [raw.stmt for raw in parsed])
    return [(f"{one['schema']}.{one['name']}" if one["schema"] else one["name"], one["mode"], one["work"])
            for one in found]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALTER TABLE a.t ALTER x TYPE bigint", [("a.t", AE, "rewrite")]),
        ("ALTER TABLE t ADD x int", [("t", AE, None)]),
        ("ALTER TABLE t ADD x int DEFAULT 7", [("t", AE, None)]),
        ("ALTER TABLE t ADD x uuid DEFAULT gen_random_uuid()", [("t", AE, "rewrite")]),
        ("ALTER TABLE t ADD x bigserial", [("t", AE, "rewrite")]),
        ("ALTER TABLE t ADD x int GENERATED ALWAYS AS IDENTITY", [("t", AE, "rewrite")]),
        ("ALTER TABLE t ADD x int GENERATED ALWAYS AS (y * 2) STORED", [("t", AE, "rewrite")]),
        ("ALTER TABLE t ADD x int UNIQUE", [("t", AE, None), ("t", AE, "build")]),
        ("ALTER TABLE t ADD x int REFERENCES o (id)", [("t", AE, None), ("o", SRE, None)]),
        ("ALTER TABLE t DROP COLUMN x", [("t", AE, None)]),
        ("ALTER TABLE t ALTER x SET NOT NULL", [("t", AE, "scan")]),
        ("ALTER TABLE t ALTER x DROP NOT NULL", [("t", AE, None)]),
        ("ALTER TABLE t ALTER x SET STATISTICS 10", []),
        ("ALTER TABLE t SET (fillfactor = 70)", []),
        ("ALTER TABLE t ADD CHECK (x > 0)", [("t", AE, "scan")]),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (x > 0) NOT VALID", [("t", AE, None)]),
        ("ALTER TABLE t VALIDATE CONSTRAINT c", [("t", SUE, "scan")]),
        ("ALTER TABLE t ADD FOREIGN KEY (x) REFERENCES o (id)", [("t", SRE, "scan"), ("o", SRE, None)]),
        ("ALTER TABLE t ADD PRIMARY KEY (x)", [("t", AE, "build")]),
        ("ALTER TABLE t ADD PRIMARY KEY USING INDEX i", [("t", AE, None)]),
        ("ALTER TABLE t DROP CONSTRAINT c", [("t", AE, None)]),
        ("ALTER TABLE t SET LOGGED", [("t", AE, "rewrite")]),
        ("ALTER TABLE t SET TABLESPACE s", [("t", AE, "rewrite")]),
        ("ALTER TABLE t SET ACCESS METHOD m", [("t", AE, "rewrite")]),
        ("ALTER TABLE t DISABLE TRIGGER ALL", [("t", SRE, None)]),
        ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", [("t", AE, None)]),
        ("ALTER TABLE t ATTACH PARTITION p DEFAULT", [("t", SUE, None), ("p", AE, "scan")]),
        ("ALTER TABLE t DETACH PARTITION p", [("t", AE, None), ("p", AE, None)]),
        ("ALTER TABLE t RENAME TO u", [("t", AE, None)]),
        ("ALTER TABLE t RENAME x TO y", [("t", AE, None)]),
        ("ALTER TABLE t SET SCHEMA s", [("t", AE, None)]),
        ("CREATE INDEX ON t (x)", [("t", SHARE, "build")]),
        ("CREATE INDEX CONCURRENTLY ON t (x)", [("t", SUE, "build")]),
        ("DROP INDEX a.i", [("a.i", AE, None)]),
        ("DROP TABLE a.t, u", [("a.t", AE, None), ("u", AE, None)]),
        ("DROP VIEW v", [("v", AE, None)]),
        ("DROP TRIGGER r ON a.t", [("a.t", AE, None)]),
        ("DROP POLICY r ON t", [("t", AE, None)]),
        ("TRUNCATE t, a.u", [("t", AE, None), ("a.u", AE, None)]),
        ("REFRESH MATERIALIZED VIEW m", [("m", AE, "rewrite")]),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY m", [("m", "EXCLUSIVE", "rewrite")]),
        ("CLUSTER t USING i", [("t", AE, "rewrite")]),
        ("VACUUM (FULL) t", [("t", AE, "rewrite")]),
        ("VACUUM t", []),
        ("REINDEX TABLE t", [("t", AE, "build")]),
        ("LOCK TABLE t", [("t", AE, None)]),
        ("LOCK TABLE t IN SHARE MODE", [("t", SHARE, None)]),
        ("LOCK TABLE t IN ROW EXCLUSIVE MODE", []),
        ("CREATE TRIGGER r BEFORE INSERT ON t EXECUTE FUNCTION f()", [("t", SRE, None)]),
        ("CREATE TABLE n (x int REFERENCES a.o (id))", [("a.o", SRE, None)]),
        ("CREATE TABLE p PARTITION OF t DEFAULT", [("t", AE, None)]),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", [("v", AE, None)]),
        ("UPDATE t SET x = 1", [("t", "ROW EXCLUSIVE", "rewrite")]),
        ("UPDATE t SET x = 1 WHERE y", []),
        ("SELECT 1; DO $$ BEGIN IF true THEN ALTER TABLE t SET LOGGED; END IF; END $$", [("t", AE, "rewrite")]),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE t'; END $$", [("t", AE, None)]),
        ("ALTER TYPE e ADD VALUE 'x'", []),
    ],
)
def test_each_form(text: str, expected: list[tuple[str, str, str | None]]) -> None:
    if text.startswith("SELECT 1; "):
        second = text.removeprefix("SELECT 1; ")
        nodes = [raw.stmt for raw in postgast.parse(text).stmts]
        (found,) = lock_forecast.look(["SELECT 1", second], nodes)
        assert (found["statement"], found["name"], found["mode"], found["work"]) == (2, *expected[0])
        return
    assert locks(text) == expected


def test_what_only_the_catalogs_know_is_asked() -> None:
    (one,) = lock_forecast.look(["x"], [postgast.parse("ALTER TABLE t ALTER x TYPE varchar(20)").stmts[0].stmt])
    assert (one["column"], one["type"], one["modifiers"]) == ("x", ["pg_catalog", "varchar"], [20])
    (one,) = lock_forecast.look(["x"], [postgast.parse("ALTER TABLE t ALTER x TYPE text USING f(x)").stmts[0].stmt])
    assert "type" not in one, "an expression is run for each row"
