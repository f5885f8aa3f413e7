"""Which values a migration's statements ask which columns for."""

import pytest

from migrollback_nb.parsing.comparisons import compared_values


def found(text):
    return {(one.table, one.column, one.value) for one in compared_values(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UPDATE t SET a = 1 WHERE b = 'x'", {("t", "b", "x")}),
        ("UPDATE app.t SET a = 1 WHERE 'x'::text <> t.b", {("t", "b", "x")}),
        ("DELETE FROM t WHERE b IN ('x', 'y')", {("t", "b", "x"), ("t", "b", "y")}),
        ("DELETE FROM t WHERE b = ANY (ARRAY['x'])", {("t", "b", "x")}),
        ("DELETE FROM t WHERE a IS NULL OR b IS NOT NULL", {("t", "a", None), ("t", "b", None)}),
        ("UPDATE t SET a = CASE b WHEN 1 THEN 2 WHEN 1.5 THEN 3 END", {("t", "b", "1"), ("t", "b", "1.5")}),
        ("UPDATE t SET a = CASE WHEN b = true THEN 2 END", {("t", "b", "t")}),
        ("INSERT INTO t SELECT a FROM u WHERE u.b = 'x'", {("t", "b", "x"), ("u", "b", "x")}),
        ("ALTER TABLE t ALTER a TYPE int USING CASE WHEN a = 'x' THEN 1 END", {("t", "a", "x")}),
        ("DO $$ BEGIN UPDATE t SET a = 1 WHERE b = 'x'; END $$", {("t", "b", "x")}),
        ("INSERT INTO t VALUES (1, 'x'); UPDATE t SET b = 'x'", set()),
        ("UPDATE t SET a = 1 WHERE b = c AND d > 'x'", set()),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'UPDATE t SET a = 1 WHERE b = 2'", set()),
        ("CREATE POLICY p ON t USING (a = 'x')", set()),
        ("no SQL", set()),
    ],
)
def test_comparisons_with_constants_are_found_and_nothing_else_is(text, expected):
    assert found(text) == expected
