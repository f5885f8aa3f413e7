"""Sixty migrations that destroy values, each with the rollback that restores the schema and none of the values."""

from __future__ import annotations

from dataclasses import dataclass

#: Of a case: a table t of 200 rows in the schema that {s} stands for.
T = """
CREATE TABLE {s}.t (id int PRIMARY KEY, name text, amount numeric(12,3), flag boolean DEFAULT false, at timestamptz,
    data jsonb, tags text[], raw bytea, share double precision, note varchar(20));
INSERT INTO {s}.t SELECT n, 'name ' || n, n * 1.125, n % 3 = 0, '2025-01-01 10:00+00'::timestamptz + n * interval '1 h',
    jsonb_build_object('n', n, 'x', n / 7.0), ARRAY['a' || n, NULL, 'q"uo,te'], decode(md5(n::text), 'hex'),
    n / 3.0::double precision, CASE WHEN n % 5 > 0 THEN 'note' END FROM generate_series(1, 200) n;
"""


@dataclass(frozen=True)
class Lossy:
    """One migration; {s} stands for the schema of its own."""

    name: str
    up: str
    rollback: str
    setup: str = T
    whole: bool = True  #: every row is expected back, and the verdict restored


def add(column: str, type: str, table: str = "t") -> str:
    return f"ALTER TABLE {{s}}.{table} ADD COLUMN {column} {type};"


def drop(column: str, table: str = "t") -> str:
    return f"ALTER TABLE {{s}}.{table} DROP COLUMN {column};"


SHAPES = T.replace("{s}.t ", "{s}.shape ").replace("INTO {s}.t", "INTO {s}.shape")
ENUM = (
    "CREATE TYPE {s}.mood AS ENUM ('sad', 'it''s \"ok\"', 'happy'); "
    + T
    + """
ALTER TABLE {s}.t ADD COLUMN m {s}.mood, ADD COLUMN ms {s}.mood[];
UPDATE {s}.t SET m = (enum_range(NULL::{s}.mood))[1 + id % 3], ms = enum_range(NULL::{s}.mood);
"""
)
COMPOSITE = (
    "CREATE TYPE {s}.place AS (x double precision, label text); "
    + T
    + """
ALTER TABLE {s}.t ADD COLUMN p {s}.place; UPDATE {s}.t SET p = ROW(id / 3.0, 'a,"b"') WHERE id % 4 > 0;
"""
)
DOMAIN = (
    "CREATE DOMAIN {s}.cents AS numeric CHECK (VALUE >= 0); "
    + T
    + """
ALTER TABLE {s}.t ADD COLUMN d {s}.cents; UPDATE {s}.t SET d = id;
"""
)
PARENT = """
CREATE TABLE {s}.a (id int PRIMARY KEY, name text); CREATE TABLE {s}.b (id int PRIMARY KEY,
    a int REFERENCES {s}.a ON DELETE CASCADE, v text);
CREATE TABLE {s}.c (id int PRIMARY KEY, b int REFERENCES {s}.b ON DELETE SET NULL);
INSERT INTO {s}.a SELECT n, 'a' || n FROM generate_series(1, 20) n;
INSERT INTO {s}.b SELECT n, 1 + n % 20, 'b' || n FROM generate_series(1, 100) n;
INSERT INTO {s}.c SELECT n, 1 + n % 100 FROM generate_series(1, 150) n;
"""
PARTS = """
CREATE TABLE {s}.p (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE {s}.p1 PARTITION OF {s}.p FOR VALUES FROM ('2025-01-01') TO ('2025-07-01');
CREATE TABLE {s}.p2 PARTITION OF {s}.p FOR VALUES FROM ('2025-07-01') TO ('2026-01-01');
INSERT INTO {s}.p SELECT n, '2025-01-01'::date + n, 'v' || n FROM generate_series(1, 300) n;
"""
SERIAL = """
CREATE TABLE {s}.q (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, twice text GENERATED ALWAYS AS (v || v)
    STORED); INSERT INTO {s}.q (v) SELECT 'v' || n FROM generate_series(1, 50) n;
CREATE TABLE {s}.r (id serial PRIMARY KEY, v text); INSERT INTO {s}.r (v) SELECT 'r' || n FROM generate_series(1, 50) n;
"""
VIEW = (
    T
    + """
CREATE VIEW {s}.v AS SELECT id, name FROM {s}.t WHERE id <= 100;
CREATE VIEW {s}.w AS SELECT id, upper(name) AS loud FROM {s}.t;
CREATE FUNCTION {s}.through() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE {s}.t SET name = lower(NEW.loud) WHERE id = NEW.id; RETURN NEW; END $$;
CREATE TRIGGER through INSTEAD OF UPDATE ON {s}.w FOR EACH ROW EXECUTE FUNCTION {s}.through();
"""
)
LOGGED = (
    T
    + """
CREATE TABLE {s}.last (id int PRIMARY KEY, at text);
INSERT INTO {s}.last SELECT n, 'old' FROM generate_series(1, 200) n;
CREATE FUNCTION {s}.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE {s}.last SET at = 'new' WHERE id = OLD.id; RETURN NULL; END $$;
CREATE TRIGGER touch AFTER DELETE ON {s}.t FOR EACH ROW EXECUTE FUNCTION {s}.touch();
"""
)
CLEAN = (
    T
    + """
CREATE FUNCTION {s}.clean(most int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN DELETE FROM {s}.t WHERE id > most; UPDATE {s}.t SET note = NULL; END $$;
"""
)
INHERIT = """
CREATE TABLE {s}.i (id int PRIMARY KEY, v text); CREATE TABLE {s}.j (w text, PRIMARY KEY (id)) INHERITS ({s}.i);
INSERT INTO {s}.i SELECT n, 'i' || n FROM generate_series(1, 30) n;
INSERT INTO {s}.j SELECT n, 'j' || n, 'w' || n FROM generate_series(31, 60) n;
"""
UNIQUE = """
CREATE TABLE {s}.u (a text NOT NULL, b int NOT NULL, v text, UNIQUE (a, b));
INSERT INTO {s}.u SELECT 'a' || n % 7, n, 'v' || n FROM generate_series(1, 100) n;
"""
KEYLESS = "CREATE TABLE {s}.k (v text); INSERT INTO {s}.k SELECT 'v' || n % 10 FROM generate_series(1, 100) n;"
RLS = T + "ALTER TABLE {s}.t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON {s}.t USING (id < 50);"
LARGE = """
CREATE TABLE {s}.l (id int PRIMARY KEY, v text);
INSERT INTO {s}.l SELECT n, repeat(md5(n::text), 20000) FROM generate_series(1, 5) n;
"""

CASES = (
    Lossy("drop text", drop("name"), add("name", "text")),
    Lossy("update all", "UPDATE {s}.t SET name = 'x';", "SELECT 1;"),
    Lossy("delete some", "DELETE FROM {s}.t WHERE id > 50;", "SELECT 1;"),
    Lossy("truncate", "TRUNCATE {s}.t;", "SELECT 1;"),
    Lossy("retype", "ALTER TABLE {s}.t ALTER amount TYPE int USING round(amount);",
          "ALTER TABLE {s}.t ALTER amount TYPE numeric(12,3);"),
    Lossy("do block", "DO $$ BEGIN EXECUTE 'UPDATE {s}.t SET note = ' || quote_literal('y'); END $$;", "SELECT 1;"),
    Lossy("cascade", "DELETE FROM {s}.a WHERE id <= 10;", "SELECT 1;", PARENT),
    Lossy("drop enum", drop("m") + drop("ms") + "DROP TYPE {s}.mood;",
          "CREATE TYPE {s}.mood AS ENUM ('sad', 'it''s \"ok\"', 'happy');" + add("m", "{s}.mood")
          + add("ms", "{s}.mood[]"), ENUM),
    Lossy("partitions updated", "UPDATE {s}.p SET v = 'x' WHERE id % 2 = 0;", "SELECT 1;", PARTS),
    Lossy("restart identity", "TRUNCATE {s}.q, {s}.r RESTART IDENTITY;", "SELECT 1;", SERIAL),
    Lossy("view with trigger", "UPDATE {s}.w SET loud = 'GONE' WHERE id < 30;", "SELECT 1;", VIEW),
    Lossy("drop table", "DROP TABLE {s}.r;", "CREATE TABLE {s}.r (id serial PRIMARY KEY, v text);", SERIAL),
    # -- all of them with --long ---------------------------------------------------------------------------------
    Lossy("drop numeric", drop("amount"), add("amount", "numeric(12,3)")),
    Lossy("drop jsonb", drop("data"), add("data", "jsonb")),
    Lossy("drop array", drop("tags"), add("tags", "text[]")),
    Lossy("drop bytea", drop("raw"), add("raw", "bytea")),
    Lossy("drop double", drop("share"), add("share", "double precision")),
    Lossy("drop time", drop("at"), add("at", "timestamptz")),
    Lossy("drop several", drop("name") + drop("at") + drop("flag"),
          add("name", "text") + add("at", "timestamptz") + add("flag", "boolean DEFAULT false")),
    Lossy("drop with default", drop("flag"), add("flag", "boolean NOT NULL DEFAULT true") +
          "ALTER TABLE {s}.t ALTER flag DROP NOT NULL, ALTER flag SET DEFAULT false;"),
    Lossy("drop domain", drop("d"), add("d", "{s}.cents"), DOMAIN),
    Lossy("drop domain and type", drop("d") + "DROP DOMAIN {s}.cents;",
          "CREATE DOMAIN {s}.cents AS numeric CHECK (VALUE >= 0);" + add("d", "{s}.cents"), DOMAIN),
    Lossy("drop composite", drop("p") + "DROP TYPE {s}.place;",
          "CREATE TYPE {s}.place AS (x double precision, label text);" + add("p", "{s}.place"), COMPOSITE),
    Lossy("drop type cascade", "DROP TYPE {s}.place CASCADE;",
          "CREATE TYPE {s}.place AS (x double precision, label text);" + add("p", "{s}.place"), COMPOSITE),
    Lossy("enum to text short", "ALTER TABLE {s}.t ALTER m TYPE text USING left(m::text, 1);",
          "ALTER TABLE {s}.t ALTER m TYPE {s}.mood USING NULL;", ENUM),
    Lossy("shorten", "ALTER TABLE {s}.t ALTER name TYPE varchar(3) USING left(name, 3);",
          "ALTER TABLE {s}.t ALTER name TYPE text;"),
    Lossy("retype to date", "ALTER TABLE {s}.t ALTER at TYPE date;", "ALTER TABLE {s}.t ALTER at TYPE timestamptz;"),
    Lossy("retype implicit", "ALTER TABLE {s}.t ALTER share TYPE int;",
          "ALTER TABLE {s}.t ALTER share TYPE double precision;"),
    Lossy("update where", "UPDATE {s}.t SET amount = 0, note = NULL WHERE id < 20;", "SELECT 1;"),
    Lossy("update twice", "UPDATE {s}.t SET name = 'a' WHERE id < 100; UPDATE {s}.t SET name = 'b', flag = true;",
          "SELECT 1;"),
    Lossy("update then delete", "UPDATE {s}.t SET name = 'a'; DELETE FROM {s}.t WHERE id % 2 = 0;", "SELECT 1;"),
    Lossy("update then drop", "UPDATE {s}.t SET name = upper(name); ALTER TABLE {s}.t DROP COLUMN name;",
          add("name", "text")),
    Lossy("drop then delete", drop("name") + "DELETE FROM {s}.t WHERE id > 100;", add("name", "text")),
    Lossy("delete then drop", "DELETE FROM {s}.t WHERE id > 100;" + drop("name"),
          add("name", "text NOT NULL DEFAULT ''")
          + "ALTER TABLE {s}.t ALTER name DROP NOT NULL, ALTER name DROP DEFAULT;"),
    Lossy("rename then update", "ALTER TABLE {s}.t RENAME name TO title; UPDATE {s}.t SET title = 'x';",
          "ALTER TABLE {s}.t RENAME title TO name;"),
    Lossy("rename table and update", "ALTER TABLE {s}.t RENAME TO t2; UPDATE {s}.t2 SET name = 'x';",
          "ALTER TABLE {s}.t2 RENAME TO t;"),
    Lossy("update keys", "UPDATE {s}.t SET id = id + 1000;", "SELECT 1;"),
    Lossy("upsert", "INSERT INTO {s}.t (id, name) VALUES (1, 'x'), (2, 'y') ON CONFLICT (id) DO UPDATE SET name = "
          "excluded.name;", "SELECT 1;"),
    Lossy("merge", "MERGE INTO {s}.t USING (SELECT 3 AS id) m ON m.id = t.id WHEN MATCHED THEN DELETE;", "SELECT 1;"),
    Lossy("with", "WITH gone AS (DELETE FROM {s}.t WHERE id < 10 RETURNING id) UPDATE {s}.t SET note = 'z' WHERE id > "
          "190;", "SELECT 1;"),
    Lossy("do loop", "DO $$ DECLARE i int; BEGIN FOR i IN 1..50 LOOP UPDATE {s}.t SET name = 'l' || i WHERE id = i; "
          "END LOOP; END $$;", "SELECT 1;"),
    Lossy("do with error inside", "DO $$ BEGIN UPDATE {s}.t SET name = 'x' WHERE id = 1; BEGIN DELETE FROM {s}.t; "
          "RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; "
          "UPDATE {s}.t SET note = 'n' WHERE id = 2; END $$;", "SELECT 1;"),
    Lossy("function", "SELECT {s}.clean(100);", "SELECT 1;", CLEAN),
    Lossy("do drops a column", "DO $$ BEGIN EXECUTE 'ALTER TABLE {s}.t DROP COLUMN data'; END $$;",
          add("data", "jsonb")),
    Lossy("do truncates", "DO $$ BEGIN EXECUTE format('TRUNCATE %I.t', '{s}'); END $$;", "SELECT 1;"),
    Lossy("trigger writes elsewhere", "DELETE FROM {s}.t WHERE id < 40;", "SELECT 1;", LOGGED),
    Lossy("set null", "DELETE FROM {s}.b WHERE id <= 30;", "SELECT 1;", PARENT),
    Lossy("truncate cascade", "TRUNCATE {s}.a CASCADE;", "SELECT 1;", PARENT),
    Lossy("drop child and parent", "DROP TABLE {s}.c; DROP TABLE {s}.b; DROP TABLE {s}.a;",
          "CREATE TABLE {s}.a (id int PRIMARY KEY, name text); CREATE TABLE {s}.b (id int PRIMARY KEY,"
          " a int REFERENCES {s}.a ON DELETE CASCADE, v text);"
          " CREATE TABLE {s}.c (id int PRIMARY KEY, b int REFERENCES {s}.b ON DELETE SET NULL);", PARENT),
    Lossy("partition dropped", "DROP TABLE {s}.p2;", "CREATE TABLE {s}.p2 PARTITION OF {s}.p FOR VALUES FROM "
          "('2025-07-01') TO ('2026-01-01');", PARTS),
    Lossy("one partition", "DELETE FROM {s}.p1 WHERE id < 100;", "SELECT 1;", PARTS),
    Lossy("row moves", "UPDATE {s}.p SET day = day + 150 WHERE id < 20;", "SELECT 1;", PARTS),
    Lossy("partitioned column", "ALTER TABLE {s}.p DROP COLUMN v;", "ALTER TABLE {s}.p ADD COLUMN v text;", PARTS),
    Lossy("identity rows", "DELETE FROM {s}.q WHERE id > 25; UPDATE {s}.q SET v = 'x';", "SELECT 1;", SERIAL),
    Lossy("view", "UPDATE {s}.v SET name = 'x'; DELETE FROM {s}.v WHERE id < 10;", "SELECT 1;", VIEW),
    Lossy("inherited", "UPDATE {s}.i SET v = 'x' WHERE id % 2 = 0; DELETE FROM {s}.i WHERE id % 5 = 0;", "SELECT 1;",
          INHERIT),
    Lossy("unique key", "UPDATE {s}.u SET v = NULL; DELETE FROM {s}.u WHERE b > 80;", "SELECT 1;", UNIQUE),
    Lossy("keyless table", "DROP TABLE {s}.k;", "CREATE TABLE {s}.k (v text);", KEYLESS),
    Lossy("row security", "UPDATE {s}.t SET name = 'x'; ALTER TABLE {s}.t DROP COLUMN at;", add("at", "timestamptz"),
          RLS),
    Lossy("large values", "UPDATE {s}.l SET v = '';", "SELECT 1;", LARGE),
)  # fmt: skip
