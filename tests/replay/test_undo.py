"""What is suggested as the inverse of an up migration brings the schema back, on every server of the run."""

import json
import random

import psycopg
import pytest

from migrollback_nb import parse
from migrollback_nb.replay.definitions import state
from migrollback_nb.undo import suggest

pytestmark = pytest.mark.versions

#: What every case finds.
SETUP = """
CREATE SCHEMA app; CREATE ROLE_MAYBE;
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS int DEFAULT 1 CONSTRAINT above CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text COLLATE "C");
CREATE FUNCTION answer(question text DEFAULT '') RETURNS int LANGUAGE sql AS $$ SELECT 42 $$;
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION tells() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE PROCEDURE deed(a int) LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE SEQUENCE numbers START 7 INCREMENT 3; COMMENT ON SEQUENCE numbers IS 'counts';
CREATE TABLE parent (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL DEFAULT 'x', nick varchar(20),
      total int GENERATED ALWAYS AS (1 + 1) STORED, mood mood DEFAULT 'ok',
    number int DEFAULT nextval('numbers'), born date, score numeric(5,2), CONSTRAINT named CHECK (name <> ''),
      CONSTRAINT nicks UNIQUE (nick));
COMMENT ON TABLE parent IS 'it''s the \\ parent'; COMMENT ON COLUMN parent.name IS 'its name';
CREATE TABLE child (id serial PRIMARY KEY,
  parent int CONSTRAINT child_parent_fkey REFERENCES parent ON DELETE CASCADE DEFERRABLE, mood mood, place positive,
  "Odd ""Name" text, kept boolean NOT NULL);
CREATE INDEX child_parent ON child (parent) WHERE mood = 'ok';
CREATE UNIQUE INDEX child_odd ON child (lower("Odd ""Name")) WITH (fillfactor = 80);
COMMENT ON INDEX child_odd IS 'odd';
CREATE VIEW happy AS SELECT id, parent FROM child WHERE mood = 'ok'; COMMENT ON VIEW happy IS 'the happy ones';
GRANT SELECT ON happy TO pg_monitor;
CREATE VIEW happier AS SELECT id FROM happy;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM child; CREATE UNIQUE INDEX kept_id ON kept (id);
CREATE TRIGGER fires BEFORE INSERT ON child FOR EACH ROW WHEN (NEW.parent > 0) EXECUTE FUNCTION fires();
COMMENT ON TRIGGER fires ON child IS 'fires';
ALTER TABLE child ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON child FOR SELECT TO pg_monitor USING (parent > 0);
COMMENT ON POLICY mine ON child IS 'mine';
CREATE RULE nothing AS ON DELETE TO parent WHERE OLD.id < 0 DO INSTEAD NOTHING;
GRANT SELECT, UPDATE ON child TO pg_monitor WITH GRANT OPTION; GRANT INSERT (mood) ON child TO PUBLIC;
GRANT USAGE ON SCHEMA app TO PUBLIC;
REVOKE EXECUTE ON FUNCTION answer FROM PUBLIC; GRANT EXECUTE ON FUNCTION answer TO pg_monitor;
CREATE STATISTICS stat ON parent, mood FROM child;
CREATE TABLE parts (a int NOT NULL, b text) PARTITION BY RANGE (a); CREATE INDEX parts_a ON parts (a);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (9);
CREATE TABLE apart (a int NOT NULL, b text); CREATE TABLE base (x int); CREATE TABLE heir (y int) INHERITS (base);
CREATE AGGREGATE summed(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE FUNCTION same(a pair, b pair) RETURNS boolean LANGUAGE sql AS 'SELECT a.a = b.a';
CREATE OPERATOR === (LEFTARG = pair, RIGHTARG = pair, FUNCTION = same, COMMUTATOR = ===);
CREATE PUBLICATION told FOR TABLE parent;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP LANGUAGE') EXECUTE FUNCTION tells();
CREATE FOREIGN DATA WRAPPER wrapper; CREATE SERVER other FOREIGN DATA WRAPPER wrapper OPTIONS (host 'h');
CREATE FOREIGN TABLE far (a int NOT NULL) SERVER other OPTIONS (path 'p');
CREATE COLLATION german (provider = libc, locale = 'C');
""".replace(" CREATE ROLE_MAYBE;", "")

#: Up parts that leave nothing to do by hand. A schema change before the arrow is setup for this one alone.
CASES = [
    # made
    "CREATE TABLE t (a int PRIMARY KEY, b text UNIQUE, c serial)",
    "CREATE TABLE app.t (a int REFERENCES parent)",
    "CREATE TABLE IF NOT EXISTS t (a int)",
    "CREATE TABLE IF NOT EXISTS parent (a int)",
    "CREATE TABLE t AS SELECT 1 AS a",
    "SELECT 1 AS a INTO t",
    "CREATE TABLE t (LIKE child INCLUDING ALL)",
    (
        "CREATE TABLE t (); CREATE INDEX ON t ((1)); COMMENT ON TABLE t IS 'x'; GRANT SELECT ON t TO PUBLIC; ALTER"
        " TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (true)"
    ),
    (
        "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a); ALTER"
        " TABLE a ADD CONSTRAINT to_b FOREIGN KEY (b) REFERENCES b"
    ),
    (
        "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a); ALTER"
        " TABLE a ADD FOREIGN KEY (b) REFERENCES b"
    ),
    (
        "CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    ),
    "CREATE TABLE t (a int); CREATE SEQUENCE s OWNED BY t.a; ALTER TABLE t ALTER a SET DEFAULT nextval('s')",
    "CREATE SEQUENCE s; CREATE TABLE t (a int DEFAULT nextval('s')); ALTER SEQUENCE s OWNED BY t.a",
    (
        "CREATE TABLE t (a int); CREATE TYPE y AS ENUM ('a'); ALTER TABLE t ADD COLUMN y y; CREATE VIEW v AS SELECT *"
        " FROM t"
    ),
    "CREATE TABLE t (a int); ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME COLUMN a TO b; CREATE INDEX i ON u (b)",
    "CREATE TABLE t (a int); ALTER TABLE t SET SCHEMA app; CREATE INDEX i ON app.t (a)",
    "CREATE TABLE t (a int); INSERT INTO t VALUES (1); DROP TABLE t",
    "CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (9) TO (99)",
    "CREATE TABLE t (y int) INHERITS (base)",
    "CREATE UNLOGGED TABLE t (); CREATE TEMP TABLE passing (a int); INSERT INTO passing VALUES (1)",
    "CREATE INDEX i ON parent (born)",
    "CREATE INDEX ON parent (born)",
    "CREATE INDEX ON parent (lower(nick), (score + 1))",
    "CREATE INDEX IF NOT EXISTS child_parent ON child (id)",
    "CREATE INDEX IF NOT EXISTS i ON child (id)",
    "CREATE UNIQUE INDEX i ON app.t (a) => CREATE TABLE app.t (a int)",
    "CREATE INDEX i ON parts (b)",
    "CREATE INDEX CONCURRENTLY i ON parent (born)",
    "CREATE VIEW v AS SELECT 1 AS a",
    "CREATE OR REPLACE VIEW v AS SELECT 1 AS a",
    "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE INDEX ON m (a)",
    "CREATE RECURSIVE VIEW v (n) AS SELECT 1",
    (
        "CREATE FUNCTION f(a int, b text[] DEFAULT '{}', VARIADIC c int[] DEFAULT '{}') RETURNS int LANGUAGE sql AS"
        " 'SELECT 1'"
    ),
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION f(a int, OUT b int, INOUT c text) LANGUAGE sql AS 'SELECT 1, $2'",
    "CREATE FUNCTION f() RETURNS TABLE (a int) LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM parent; END",
    "CREATE PROCEDURE p(a int, INOUT b text) LANGUAGE plpgsql AS 'BEGIN NULL; END'",
    "CREATE FUNCTION answer(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TRIGGER tr AFTER UPDATE OF mood ON child EXECUTE FUNCTION fires()",
    "CREATE OR REPLACE TRIGGER fires BEFORE UPDATE ON child FOR EACH ROW EXECUTE FUNCTION fires()",
    "CREATE CONSTRAINT TRIGGER tr AFTER INSERT ON child DEFERRABLE FOR EACH ROW EXECUTE FUNCTION fires()",
    "CREATE TRIGGER tr BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION fires()",
    "CREATE POLICY other ON child USING (true)",
    "CREATE RULE r AS ON UPDATE TO child DO ALSO NOTHING",
    "CREATE OR REPLACE RULE nothing AS ON DELETE TO parent WHERE OLD.id < -1 DO INSTEAD NOTHING",
    "CREATE SEQUENCE s",
    "CREATE SEQUENCE IF NOT EXISTS numbers",
    "CREATE SCHEMA s",
    "CREATE SCHEMA IF NOT EXISTS app",
    "CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT a FROM t CREATE INDEX i ON t (a)",
    "CREATE TYPE e AS ENUM ('a')",
    "CREATE TYPE c AS (a int)",
    "CREATE TYPE r AS RANGE (SUBTYPE = float8)",
    "CREATE DOMAIN d AS text",
    "CREATE EXTENSION IF NOT EXISTS plpgsql",
    "CREATE AGGREGATE s(int) (SFUNC = int4pl, STYPE = int)",
    "CREATE AGGREGATE s(BASETYPE = int, SFUNC = int4pl, STYPE = int)",
    (
        "CREATE FUNCTION less(a pair, b pair) RETURNS boolean LANGUAGE sql AS 'SELECT a.a < b.a'; CREATE OPERATOR <<<"
        " (LEFTARG = pair, RIGHTARG = pair, FUNCTION = less)"
    ),
    "CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql AS 'SELECT ROW($1, NULL)::pair' => SELECT 1",
    "CREATE CAST (pair AS text) WITH INOUT",
    "CREATE COLLATION c (provider = libc, locale = 'C')",
    "CREATE STATISTICS s ON id, place FROM child",
    "CREATE PUBLICATION p FOR TABLE child",
    "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION tells()",
    "CREATE SERVER s FOREIGN DATA WRAPPER wrapper; CREATE USER MAPPING FOR PUBLIC SERVER s",
    "CREATE FOREIGN TABLE f (a int) SERVER other",
    "CREATE FOREIGN DATA WRAPPER w",
    "CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)",
    "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple)",
    "CREATE OPERATOR FAMILY f USING btree",
    "CREATE CONVERSION c FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "CREATE ACCESS METHOD h TYPE TABLE HANDLER heap_tableam_handler",
    # added to a table
    "ALTER TABLE parent ADD COLUMN a int",
    "ALTER TABLE parent ADD COLUMN a int, ADD COLUMN b text DEFAULT 'x', ADD CONSTRAINT c CHECK (a > 0)",
    "ALTER TABLE parent ADD COLUMN IF NOT EXISTS a int",
    "ALTER TABLE parent ADD COLUMN IF NOT EXISTS name int",
    "ALTER TABLE parent ADD COLUMN a bigserial",
    "ALTER TABLE parent ADD COLUMN a int GENERATED BY DEFAULT AS IDENTITY",
    "ALTER TABLE parent ADD COLUMN a int UNIQUE CHECK (a > 0) REFERENCES child",
    (
        "ALTER TABLE parent ADD COLUMN a int; UPDATE parent SET a = 1; ALTER TABLE parent ALTER a SET NOT NULL; CREATE"
        " INDEX ON parent (a); COMMENT ON COLUMN parent.a IS 'a'"
    ),
    "ALTER TABLE parent ADD COLUMN a int; ALTER TABLE parent DROP COLUMN a",
    "ALTER TABLE parent ADD COLUMN a int; ALTER TABLE parent RENAME COLUMN a TO b",
    "ALTER TABLE apart ADD PRIMARY KEY (a)",
    "ALTER TABLE base ADD PRIMARY KEY (x)",
    "ALTER TABLE base ADD CONSTRAINT pk PRIMARY KEY (x)",
    "ALTER TABLE parent ADD UNIQUE (born, score)",
    "ALTER TABLE parent ADD CHECK (score > 0)",
    "ALTER TABLE parent ADD CHECK (score > 0 AND born IS NOT NULL) NOT VALID",
    "ALTER TABLE parent ADD FOREIGN KEY (number) REFERENCES child ON DELETE SET NULL",
    "ALTER TABLE parent ADD CONSTRAINT e EXCLUDE USING btree (born WITH =)",
    "ALTER TABLE apart ADD CONSTRAINT u UNIQUE USING INDEX i => CREATE UNIQUE INDEX i ON apart (b)",
    "ALTER TABLE apart ADD PRIMARY KEY USING INDEX i => CREATE UNIQUE INDEX i ON apart (a)",
    "ALTER TABLE parent VALIDATE CONSTRAINT late => ALTER TABLE parent ADD CONSTRAINT late CHECK (score > 1) NOT VALID",
    "ALTER TYPE pair ADD ATTRIBUTE c int",
    "ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 9)",
    "ALTER PUBLICATION told ADD TABLE child",
    # altered
    "ALTER TABLE parent ALTER name SET DEFAULT 'y'",
    "ALTER TABLE parent ALTER name DROP DEFAULT",
    "ALTER TABLE parent ALTER born SET DEFAULT now()",
    "ALTER TABLE parent ALTER name DROP NOT NULL",
    "ALTER TABLE parent ALTER nick SET NOT NULL",
    "ALTER TABLE parent ALTER name TYPE varchar(9)",
    "ALTER TABLE parent ALTER nick TYPE text",
    "ALTER TABLE parent ALTER score TYPE text USING score::text || '!'",
    "ALTER TABLE parent ALTER mood DROP DEFAULT, ALTER mood TYPE text",
    "ALTER TABLE parent ALTER number TYPE bigint",
    'ALTER TABLE parent ALTER name TYPE text COLLATE "POSIX"',
    (
        "ALTER TABLE parent ALTER mood DROP DEFAULT; CREATE TYPE feeling AS ENUM ('sad', 'ok', 'glad'); ALTER TABLE"
        " parent ALTER mood TYPE feeling USING mood::text::feeling; ALTER TABLE parent ALTER mood SET DEFAULT 'glad'"
    ),
    "ALTER TABLE parent ALTER number DROP DEFAULT, ALTER number TYPE timestamptz USING to_timestamp(number)",
    "ALTER TABLE parent ALTER born TYPE int USING 1",
    "ALTER TABLE parent ALTER score TYPE boolean USING score > 0",
    "ALTER TABLE child ALTER kept TYPE jsonb USING to_jsonb(kept)",
    "ALTER TABLE parent ALTER nick TYPE text[] USING ARRAY[nick]",
    "ALTER TABLE parent ALTER id SET GENERATED BY DEFAULT",
    "ALTER TABLE parent ALTER id DROP IDENTITY",
    "ALTER TABLE child ALTER kept ADD GENERATED ALWAYS AS IDENTITY => ALTER TABLE child ALTER kept TYPE int USING 1",
    "ALTER TABLE parent ALTER total DROP EXPRESSION",
    "ALTER TABLE parent ALTER name SET STATISTICS 7",
    "ALTER TABLE parent ALTER name SET STORAGE EXTERNAL",
    "ALTER TABLE parent ALTER name SET COMPRESSION pglz",
    "ALTER TABLE parent ALTER name SET (n_distinct = 5)",
    "ALTER TABLE parent SET (fillfactor = 70, toast.autovacuum_enabled = false)",
    "ALTER TABLE child SET (fillfactor = 60) => ALTER TABLE child SET (fillfactor = 70, autovacuum_enabled = off)",
    "ALTER TABLE child RESET (fillfactor) => ALTER TABLE child SET (fillfactor = 70)",
    "ALTER TABLE parent SET UNLOGGED => ALTER TABLE child DROP CONSTRAINT child_parent_fkey; DROP PUBLICATION told",
    "ALTER TABLE parent OWNER TO pg_monitor",
    "ALTER TABLE child DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE parent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "ALTER TABLE child ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE child DISABLE TRIGGER fires",
    "ALTER TABLE child ENABLE ALWAYS TRIGGER fires",
    "ALTER TABLE parent DISABLE RULE nothing",
    "ALTER TABLE parent REPLICA IDENTITY FULL",
    "ALTER TABLE apart REPLICA IDENTITY USING INDEX i => CREATE UNIQUE INDEX i ON apart (a)",
    "ALTER TABLE child CLUSTER ON child_pkey",
    "CLUSTER child USING child_pkey",
    "ALTER TABLE child SET WITHOUT CLUSTER => ALTER TABLE child CLUSTER ON child_pkey",
    "ALTER TABLE parts ATTACH PARTITION apart FOR VALUES FROM (9) TO (99)",
    "ALTER TABLE parts DETACH PARTITION part1",
    "ALTER TABLE apart INHERIT base => ALTER TABLE apart ADD COLUMN x int",
    "ALTER TABLE child ALTER CONSTRAINT child_parent_fkey NOT DEFERRABLE",
    "ALTER TABLE parent OWNER TO CURRENT_USER",
    "ALTER INDEX child_odd SET (fillfactor = 50)",
    "ALTER INDEX child_odd ALTER COLUMN 1 SET STATISTICS 9",
    "ALTER VIEW happy SET (security_barrier = true)",
    "CREATE OR REPLACE VIEW happy AS SELECT id, parent FROM child WHERE mood = 'sad'",
    "CREATE OR REPLACE VIEW happy AS SELECT id, parent, mood FROM child",
    "ALTER MATERIALIZED VIEW kept SET (fillfactor = 50)",
    "ALTER VIEW happy ALTER COLUMN parent SET DEFAULT 7",
    "CREATE OR REPLACE FUNCTION answer(question text DEFAULT '') RETURNS int LANGUAGE sql AS 'SELECT 43'",
    "CREATE OR REPLACE FUNCTION answer(question text DEFAULT 'why') RETURNS int LANGUAGE sql STABLE AS 'SELECT 43'",
    (
        "CREATE OR REPLACE FUNCTION one(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 2' => CREATE"
        " FUNCTION one(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT 1'; COMMENT ON FUNCTION one IS 'one'; REVOKE"
        " ALL ON FUNCTION one FROM PUBLIC"
    ),
    "ALTER FUNCTION answer IMMUTABLE",
    "ALTER FUNCTION answer OWNER TO pg_monitor",
    "ALTER FUNCTION answer SET search_path = app",
    "CREATE OR REPLACE PROCEDURE deed(a int) LANGUAGE plpgsql AS 'BEGIN RETURN; END'",
    "ALTER SEQUENCE numbers INCREMENT 1 MAXVALUE 99 CYCLE",
    "ALTER SEQUENCE numbers OWNED BY parent.number",
    "ALTER SEQUENCE numbers AS int",
    "ALTER DOMAIN positive SET DEFAULT 2",
    "ALTER DOMAIN positive DROP DEFAULT",
    "ALTER DOMAIN positive SET NOT NULL",
    "ALTER DOMAIN positive DROP CONSTRAINT above",
    "ALTER POLICY mine ON child USING (parent > 1)",
    "ALTER POLICY mine ON child TO PUBLIC",
    "ALTER SCHEMA app OWNER TO pg_monitor",
    "ALTER TYPE mood OWNER TO pg_monitor",
    "ALTER TYPE pair ALTER ATTRIBUTE a TYPE bigint",
    "ALTER TYPE pair DROP ATTRIBUTE b",
    "ALTER STATISTICS stat SET STATISTICS 9",
    "ALTER EVENT TRIGGER watch DISABLE",
    "ALTER PUBLICATION told SET (publish = 'insert')",
    "ALTER PUBLICATION told SET TABLE child, base",
    "ALTER PUBLICATION told DROP TABLE parent",
    "ALTER SERVER other OPTIONS (SET host 'i', ADD port '1')",
    # comments and grants
    "COMMENT ON TABLE parent IS 'new'",
    "COMMENT ON TABLE child IS 'new'",
    "COMMENT ON TABLE parent IS NULL",
    "COMMENT ON COLUMN parent.name IS NULL",
    "COMMENT ON CONSTRAINT named ON parent IS 'c'",
    "COMMENT ON FUNCTION answer IS 'f'",
    "COMMENT ON TYPE mood IS 't'; COMMENT ON DOMAIN positive IS 'd'; COMMENT ON SCHEMA app IS 's'",
    (
        "COMMENT ON TRIGGER fires ON child IS NULL; COMMENT ON POLICY mine ON child IS NULL; COMMENT ON RULE nothing ON"
        " parent IS 'r'"
    ),
    "COMMENT ON CONSTRAINT above ON DOMAIN positive IS 'c'",
    (
        "COMMENT ON AGGREGATE summed(int) IS 'a'; COMMENT ON OPERATOR === (pair, pair) IS 'o'; COMMENT ON STATISTICS"
        " stat IS 's'; COMMENT ON MATERIALIZED VIEW kept IS 'k'; COMMENT ON PROCEDURE deed IS 'p'; COMMENT ON COLUMN"
        " happy.id IS 'i'; COMMENT ON EVENT TRIGGER watch IS 'w'; COMMENT ON PUBLICATION told IS 't'; COMMENT ON INDEX"
        " child_odd IS NULL"
    ),
    "GRANT SELECT ON parent TO PUBLIC",
    "GRANT ALL ON parent TO pg_monitor",
    "GRANT SELECT ON child TO pg_monitor",
    "GRANT SELECT (id), UPDATE (name) ON parent TO PUBLIC",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO pg_signal_backend",
    "REVOKE UPDATE ON child FROM pg_monitor",
    "REVOKE GRANT OPTION FOR SELECT ON child FROM pg_monitor",
    "GRANT SELECT ON parent TO pg_monitor WITH GRANT OPTION => GRANT SELECT ON parent TO pg_monitor",
    "REVOKE INSERT (mood) ON child FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION answer TO PUBLIC",
    "REVOKE ALL ON FUNCTION fires FROM PUBLIC",
    "GRANT USAGE ON SEQUENCE numbers TO PUBLIC",
    "GRANT CREATE ON SCHEMA app TO pg_monitor",
    "REVOKE USAGE ON SCHEMA app FROM PUBLIC",
    "REVOKE USAGE ON TYPE mood FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM PUBLIC => ALTER DEFAULT PRIVILEGES IN"
        " SCHEMA app GRANT SELECT ON TABLES TO PUBLIC"
    ),
    "GRANT USAGE ON FOREIGN SERVER other TO PUBLIC",
    "REVOKE ALL ON parent FROM CURRENT_USER",
    # renamed and moved
    "ALTER TABLE parent RENAME TO mother",
    "ALTER TABLE parent RENAME COLUMN name TO called",
    "ALTER TABLE parent RENAME CONSTRAINT named TO christened",
    "ALTER INDEX child_odd RENAME TO odd",
    "ALTER VIEW happy RENAME TO glad",
    "ALTER SEQUENCE numbers RENAME TO n",
    "ALTER FUNCTION answer(text) RENAME TO reply",
    "ALTER PROCEDURE deed RENAME TO act",
    "ALTER TYPE mood RENAME TO feeling",
    "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    "ALTER TYPE pair RENAME ATTRIBUTE a TO z",
    "ALTER DOMAIN positive RENAME TO p",
    "ALTER DOMAIN positive RENAME CONSTRAINT above TO over",
    "ALTER TRIGGER fires ON child RENAME TO shoots",
    "ALTER POLICY mine ON child RENAME TO ours",
    "ALTER RULE nothing ON parent RENAME TO n",
    "ALTER SCHEMA app RENAME TO apple",
    "ALTER TABLE IF EXISTS absent RENAME TO parent2",
    "ALTER MATERIALIZED VIEW kept RENAME TO k",
    "ALTER TABLE parent SET SCHEMA app",
    "ALTER FUNCTION fires SET SCHEMA app",
    "ALTER TYPE mood SET SCHEMA app",
    (
        "ALTER TABLE parent RENAME TO mother; ALTER TABLE mother RENAME COLUMN name TO called; ALTER TABLE mother DROP"
        " COLUMN born"
    ),
    "ALTER AGGREGATE summed(int) RENAME TO s",
    "ALTER STATISTICS stat RENAME TO s",
    "ALTER PUBLICATION told RENAME TO t",
    "ALTER EVENT TRIGGER watch RENAME TO w",
    "ALTER SERVER other RENAME TO o",
    "ALTER COLLATION german RENAME TO g",
    # dropped
    "DROP TABLE apart",
    "DROP TABLE child CASCADE",
    "DROP TABLE child, parent CASCADE",
    "DROP TABLE parts",
    "DROP TABLE part1",
    "DROP TABLE heir",
    "DROP TABLE base CASCADE",
    "DROP TABLE IF EXISTS absent",
    "ALTER TABLE parent DROP COLUMN nick",
    "ALTER TABLE parent DROP COLUMN name",
    "ALTER TABLE parent DROP COLUMN number, DROP COLUMN born",
    "ALTER TABLE parent DROP COLUMN total",
    "ALTER TABLE parent DROP COLUMN IF EXISTS absent",
    "ALTER TABLE child DROP COLUMN mood CASCADE",
    "ALTER TABLE child DROP COLUMN id CASCADE",
    'ALTER TABLE child DROP COLUMN "Odd ""Name"',
    "ALTER TABLE child DROP COLUMN kept",
    "ALTER TABLE parent DROP COLUMN id CASCADE",
    "ALTER TABLE parent DROP CONSTRAINT named",
    "ALTER TABLE child DROP CONSTRAINT child_parent_fkey",
    "ALTER TABLE parent DROP CONSTRAINT parent_pkey CASCADE",
    "ALTER TABLE parent DROP CONSTRAINT nicks",
    "DROP INDEX child_odd",
    "DROP INDEX child_parent, child_odd",
    "DROP INDEX CONCURRENTLY child_odd",
    "DROP INDEX parts_a",
    "DROP VIEW happier",
    "DROP VIEW happy CASCADE",
    "DROP MATERIALIZED VIEW kept",
    "DROP FUNCTION answer",
    "DROP FUNCTION fires CASCADE",
    "DROP PROCEDURE deed",
    "DROP AGGREGATE summed(int)",
    "DROP TRIGGER fires ON child",
    "DROP POLICY mine ON child",
    "DROP RULE nothing ON parent",
    "DROP SEQUENCE numbers CASCADE",
    "DROP SCHEMA app",
    (
        "DROP SCHEMA app CASCADE => CREATE TABLE app.t (a int PRIMARY KEY); CREATE VIEW app.v AS SELECT a FROM app.t;"
        " CREATE TYPE app.y AS ENUM ('b', 'a'); CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT a FROM"
        " app.t'"
    ),
    "DROP TYPE mood CASCADE",
    "DROP DOMAIN positive CASCADE",
    "DROP STATISTICS stat",
    "DROP PUBLICATION told",
    "DROP EVENT TRIGGER watch",
    "DROP FOREIGN TABLE far",
    "DROP SERVER other CASCADE",
    "DROP OPERATOR === (pair, pair)",
    'DROP TYPE app.c => CREATE TYPE app.c AS (a int, "B" text)',
    "DROP TYPE app.r => CREATE TYPE app.r AS RANGE (SUBTYPE = float8)",
    (
        "DROP SEQUENCE app.s => CREATE SEQUENCE app.s AS smallint INCREMENT -2 CACHE 5; GRANT USAGE ON SEQUENCE app.s"
        " TO PUBLIC"
    ),
    "DROP CAST (pair AS text) => CREATE CAST (pair AS text) WITH INOUT AS ASSIGNMENT",
    "DROP VIEW happier; DROP VIEW happy; CREATE VIEW happy AS SELECT id FROM child",
    (
        "DROP FUNCTION IF EXISTS answer(text); CREATE FUNCTION answer(question text) RETURNS text LANGUAGE sql AS"
        " 'SELECT 1::text'"
    ),
    "DROP TRIGGER IF EXISTS fires ON child; CREATE TRIGGER fires AFTER INSERT ON child EXECUTE FUNCTION fires()",
    "DROP POLICY IF EXISTS mine ON child; CREATE POLICY mine ON child USING (false)",
    "CREATE TABLE new (a int); DROP TABLE apart; ALTER TABLE new RENAME TO apart",
    "ALTER TABLE parent DROP CONSTRAINT named, ADD CONSTRAINT named CHECK (name <> 'y')",
    "DROP INDEX child_parent; CREATE INDEX child_parent ON child (parent, mood)",
    (
        'DROP TABLE app."T t" => CREATE TABLE app."T t" ("A a" int GENERATED BY DEFAULT AS IDENTITY (START 5 INCREMENT'
        ' 2), "order" text NOT NULL DEFAULT E\'a\\\\b\'\'c\', b bit(3)[], CONSTRAINT "x y" PRIMARY KEY ("A a")) WITH'
        ' (fillfactor = 60); CREATE INDEX "I i" ON app."T t" ("order"); ALTER TABLE app."T t" CLUSTER ON "I i"; COMMENT'
        ' ON COLUMN app."T t"."A a" IS \'x\''
    ),
    # partitions and heirs follow their parents
    "ALTER TABLE parts ALTER b TYPE varchar(9)",
    "ALTER TABLE parts ALTER b SET DEFAULT 'x'",
    "ALTER TABLE parts ALTER b SET NOT NULL",
    "ALTER TABLE parts ADD COLUMN c int DEFAULT 1",
    "ALTER TABLE parts DROP COLUMN b",
    "ALTER TABLE parts ADD CONSTRAINT c CHECK (a > 0)",
    "ALTER TABLE parts ADD PRIMARY KEY (a)",
    "ALTER TABLE parts RENAME COLUMN b TO c",
    "ALTER TABLE base ADD COLUMN z int",
    "ALTER TABLE base ALTER x TYPE bigint",
    "ALTER TABLE base ADD CONSTRAINT c CHECK (x > 0)",
    "ALTER TABLE base DROP CONSTRAINT c => ALTER TABLE base ADD CONSTRAINT c CHECK (x > 0)",
    (
        "CREATE TABLE sub PARTITION OF parts FOR VALUES FROM (20) TO (30) PARTITION BY LIST (b); CREATE TABLE subsub"
        " PARTITION OF sub DEFAULT"
    ),
    (
        "DROP TABLE sub => CREATE TABLE sub PARTITION OF parts FOR VALUES FROM (20) TO (30) PARTITION BY LIST (b);"
        " CREATE TABLE subsub PARTITION OF sub DEFAULT; CREATE TRIGGER tr AFTER INSERT ON parts FOR EACH ROW EXECUTE"
        " FUNCTION fires()"
    ),
    # there before or not, made and dropped again beside what stays
    (
        "CREATE TABLE IF NOT EXISTS parent (a int); ALTER TABLE parent ADD COLUMN IF NOT EXISTS name text; ALTER TABLE"
        " parent ADD COLUMN a int; CREATE INDEX IF NOT EXISTS child_parent ON child (id); COMMENT ON TABLE parent"
        " IS 'p'"
    ),
    (
        "CREATE TABLE IF NOT EXISTS t (a int); CREATE INDEX IF NOT EXISTS i ON t (a); ALTER TABLE t ADD COLUMN IF NOT"
        " EXISTS b int; COMMENT ON TABLE t IS 't'; GRANT SELECT ON t TO PUBLIC"
    ),
    "CREATE TABLE t (a int); DROP TABLE t, apart",
    "ALTER TABLE parent ADD COLUMN a int; ALTER TABLE parent DROP COLUMN a, DROP COLUMN born",
    "CREATE TABLE t (a text); CREATE TYPE e AS ENUM ('a'); ALTER TABLE t ALTER a TYPE e USING a::e",
    (
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OR REPLACE FUNCTION f() RETURNS"
        " int LANGUAGE sql AS 'SELECT 2'; CREATE VIEW v AS SELECT f()"
    ),
    (
        "CREATE VIEW v AS SELECT 1 AS a; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OR REPLACE"
        " VIEW v AS SELECT f() AS a"
    ),
    (
        "ALTER TABLE child RENAME TO kid; CREATE TABLE child (a int); INSERT INTO child SELECT 1; DROP TABLE child;"
        " ALTER TABLE kid RENAME TO child"
    ),
    (
        "CREATE SCHEMA s; CREATE TYPE s.e AS ENUM ('a'); CREATE TABLE s.t (a s.e); SET search_path = s; CREATE VIEW v"
        " AS SELECT a FROM t; CREATE FUNCTION f(t) RETURNS int LANGUAGE sql AS 'SELECT 1'"
    ),
    # under another search_path, and what a DO block did
    "SET search_path = app; CREATE TABLE t (a int); CREATE INDEX i ON t (a)",
    "SET LOCAL search_path = app, public; CREATE TABLE t (a int); ALTER TABLE parent ADD COLUMN a int",
    "CREATE TABLE x (); SET search_path = app; CREATE TABLE t (); ALTER TABLE t ADD COLUMN a int",
    "SELECT set_config('search_path', 'app', true); CREATE TABLE t (a int)",
    (
        "SELECT set_config('search_path', '', false); CREATE TABLE public.t (a int); ALTER TABLE public.parent ALTER"
        " name DROP NOT NULL"
    ),
    "DO $$ BEGIN ALTER TABLE parent DROP CONSTRAINT nicks, ADD CONSTRAINT nicks UNIQUE (nick, mood); END $$",
    (
        "DO $$ BEGIN ALTER TABLE ab DROP CONSTRAINT to_aa; ALTER TABLE aa ALTER id TYPE varchar(38); ALTER TABLE ab"
        ' ALTER "Id" TYPE varchar(38), ADD CONSTRAINT to_aa FOREIGN KEY ("Id") REFERENCES aa; END $$ => CREATE TABLE aa'
        ' (id int PRIMARY KEY); CREATE TABLE ab ("Id" int CONSTRAINT to_aa REFERENCES aa ON DELETE CASCADE)'
    ),
    (
        "DO $$ BEGIN ALTER TABLE ab DROP CONSTRAINT to_aa; ALTER TABLE aa ALTER id TYPE varchar(38); ALTER TABLE ab"
        ' ALTER "Id" TYPE varchar(38), ADD CONSTRAINT to_aa FOREIGN KEY ("Id") REFERENCES aa; END $$ => CREATE TABLE aa'
        ' (id int PRIMARY KEY); CREATE TABLE ab ("Id" int CONSTRAINT to_aa REFERENCES aa)'
    ),
    (
        "DO $$ BEGIN CREATE TABLE ab (id int PRIMARY KEY); CREATE TABLE aa (id int REFERENCES ab); ALTER TABLE ab ADD"
        " FOREIGN KEY (id) REFERENCES parent; END $$"
    ),
    (
        "DO $$ BEGIN CREATE TABLE aa (id int PRIMARY KEY); CREATE TABLE ab (id int PRIMARY KEY REFERENCES aa);"
        " ALTER TABLE aa ADD FOREIGN KEY (id) REFERENCES ab; END $$"
    ),
    "DO $$ BEGIN CREATE TABLE t (a int); ALTER TABLE parent ADD COLUMN a int DEFAULT 1; DROP VIEW happier; END $$",
    "BEGIN; CREATE TABLE t (a int); COMMIT",
    # what is created needs what it names, columns included
    (
        "ALTER TABLE child DROP COLUMN mood CASCADE => CREATE FUNCTION moods() RETURNS bigint BEGIN ATOMIC SELECT"
        " count(mood) FROM child; END; CREATE FUNCTION twice() RETURNS bigint BEGIN ATOMIC SELECT 2 * moods(); END;"
        " CREATE VIEW counted AS SELECT moods() AS n; CREATE TABLE t (a bigint DEFAULT moods(), b bigint DEFAULT"
        " twice())"
    ),
    "ALTER TABLE base DROP COLUMN x CASCADE => CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT x FROM base; END",
    (
        "DO $$ BEGIN CREATE OR REPLACE VIEW happy AS SELECT id, more AS parent FROM child; ALTER TABLE child DROP"
        " COLUMN parent CASCADE; END $$ => ALTER TABLE child ADD COLUMN more int"
    ),
    (
        "DO $$ BEGIN CREATE OR REPLACE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT 1::bigint; END; ALTER TABLE"
        " apart DROP COLUMN b; ALTER TABLE apart ADD COLUMN c int; END $$ => CREATE FUNCTION f() RETURNS bigint BEGIN"
        " ATOMIC SELECT count(b) FROM apart; END"
    ),
    # default privileges give rights that were not there
    *(
        f"{up} => {rights}"
        for up in (
            "DROP TABLE apart",
            "DROP TABLE child CASCADE",
            "DROP VIEW happier",
            "DROP SEQUENCE numbers CASCADE",
            "DROP FUNCTION answer(text)",
            "DROP PROCEDURE deed(int)",
            "DROP TYPE mood CASCADE",
            "DROP MATERIALIZED VIEW kept",
            "DROP VIEW happier; DROP VIEW happy; CREATE VIEW happy AS SELECT 1 AS a",
            "DROP SCHEMA app; CREATE SCHEMA other; DROP FOREIGN TABLE far",
        )
        for rights in (
            "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT ON TABLES TO pg_monitor WITH GRANT OPTION; ALTER DEFAULT"
            " PRIVILEGES IN SCHEMA public GRANT UPDATE ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT USAGE ON"
            " SEQUENCES TO pg_monitor; ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC; ALTER DEFAULT"
            " PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO"
            " pg_monitor; ALTER TABLE apart OWNER TO pg_monitor",
        )
    ),
    # foreign data
    (
        "DROP FOREIGN TABLE away => CREATE FOREIGN TABLE away (a text OPTIONS (name 'x', \"Other\" 'y''s') COLLATE"
        " \"C\" NOT NULL DEFAULT 'd') SERVER other"
    ),
    "ALTER FOREIGN TABLE far ALTER a OPTIONS (ADD name 'x')",
    "ALTER FOREIGN TABLE far DROP a => ALTER FOREIGN TABLE far ALTER a OPTIONS (ADD name 'x')",
    "ALTER FOREIGN TABLE far OPTIONS (SET path 'q', ADD more '1')",
    "ALTER FOREIGN DATA WRAPPER wrapper OPTIONS (ADD more '1')",
    (
        "DROP USER MAPPING FOR CURRENT_USER SERVER other => CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS"
        " (\"user\" 'u', password 'p')"
    ),
    (
        "ALTER USER MAPPING FOR PUBLIC SERVER other OPTIONS (SET \"user\" 'v', ADD more '1', DROP less) => CREATE USER"
        " MAPPING FOR PUBLIC SERVER other OPTIONS (\"user\" 'u', less '1', password 'p')"
    ),
    (
        'REVOKE USAGE ON FOREIGN SERVER "O s" FROM PUBLIC => CREATE SERVER "O s" FOREIGN DATA WRAPPER wrapper; GRANT'
        ' USAGE ON FOREIGN SERVER "O s" TO PUBLIC'
    ),
    # extensions
    "CREATE EXTENSION earthdistance CASCADE",
    "CREATE EXTENSION IF NOT EXISTS earthdistance CASCADE",
    "DROP EXTENSION cube CASCADE => CREATE EXTENSION earthdistance CASCADE",
    *(
        f"{up} => CREATE EXTENSION citext; ALTER {what} DEPENDS ON EXTENSION citext"
        for up, what in (
            ("DROP FUNCTION answer(text)", "FUNCTION answer(text)"),
            ("DROP MATERIALIZED VIEW kept", "MATERIALIZED VIEW kept"),
            ("DROP INDEX child_parent", "INDEX child_parent"),
            ("DROP TRIGGER fires ON child", "TRIGGER fires ON child"),
            ("DROP TABLE child CASCADE", "TRIGGER fires ON child"),
            ("ALTER INDEX child_parent NO DEPENDS ON EXTENSION citext", "INDEX child_parent"),
            ("DO $$ BEGIN ALTER FUNCTION answer(text) NO DEPENDS ON EXTENSION citext; END $$", "FUNCTION answer(text)"),
        )
    ),
    # types
    (
        'DROP TYPE app.r => CREATE TYPE app.r AS RANGE (SUBTYPE = text, COLLATION = "C", MULTIRANGE_TYPE_NAME ='
        " app.many)"
    ),
    "DROP TYPE app.r => CREATE TYPE app.r AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi)",
    "DROP DOMAIN app.d => CREATE DOMAIN app.d AS text COLLATE \"C\" DEFAULT 'x' NOT NULL",
    # what a partition has of its own
    (
        "DROP TABLE part1 => ALTER TABLE part1 ALTER b SET DEFAULT 'own', ALTER b SET STORAGE EXTERNAL, ALTER b SET NOT"
        " NULL, ALTER a SET STATISTICS 7"
    ),
    "DROP TABLE part1 => ALTER TABLE parts ALTER b SET DEFAULT 'x'; ALTER TABLE part1 ALTER b DROP DEFAULT",
    (
        "DROP TABLE part1 => CREATE TRIGGER tr AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION fires(); ALTER TABLE"
        " part1 DISABLE TRIGGER tr"
    ),
    "DROP TABLE heir => ALTER TABLE heir ALTER x SET DEFAULT 4",
    # an enum is created again without the value
    "ALTER TYPE mood ADD VALUE 'more'",
    "ALTER TYPE mood ADD VALUE 'more' BEFORE 'ok'; ALTER TYPE mood ADD VALUE IF NOT EXISTS 'sad'",
    (
        "ALTER TYPE app.\"E e\" ADD VALUE 'c' => CREATE TYPE app.\"E e\" AS ENUM ('a', 'b'); COMMENT ON TYPE"
        ' app."E e" IS \'x\'; GRANT USAGE ON TYPE app."E e" TO pg_monitor; CREATE TABLE t ("A a" app."E e" DEFAULT'
        " 'a' CHECK (\"A a\" <> 'b'), b app.\"E e\"[] DEFAULT '{a}', c int); INSERT INTO t VALUES ('a', '{b}');"
        " CREATE INDEX i ON t (c) WHERE \"A a\" = 'a'; COMMENT ON INDEX i IS 'i'; CREATE INDEX j ON t (\"A a\");"
        " CREATE POLICY p ON t USING (\"A a\" = 'a'); CREATE VIEW w AS SELECT * FROM t; CREATE VIEW x AS SELECT c FROM"
        " w; GRANT SELECT ON x TO pg_monitor; CREATE MATERIALIZED VIEW m AS SELECT 'a'::app.\"E e\" AS e; CREATE"
        ' FUNCTION f(a app."E e") RETURNS app."E e" LANGUAGE sql AS \'SELECT a\'; CREATE FUNCTION g() RETURNS bigint'
        ' BEGIN ATOMIC SELECT count(*) FROM t WHERE "A a" = \'a\'; END; CREATE TRIGGER fires BEFORE UPDATE OF "A a"'
        " ON t FOR EACH ROW WHEN (NEW.\"A a\" = 'a') EXECUTE FUNCTION fires(); CREATE TABLE heirs () INHERITS (t)"
    ),
    (
        "ALTER TYPE e ADD VALUE 'c' => CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE t (a e PRIMARY KEY); CREATE TABLE"
        " u (a e REFERENCES t, b e UNIQUE)"
    ),
    # columns that take no nulls, and rows
    (
        "ALTER TABLE t DROP a, DROP b, DROP c, DROP d, DROP e => CREATE TABLE t (keep int, a int NOT NULL UNIQUE, b"
        " mood NOT NULL, c positive NOT NULL, d varchar(4) PRIMARY KEY, e bigint NOT NULL CHECK (e IN (7, 8))); INSERT"
        " INTO t VALUES (1, 2, 'ok', 3, 'd', 7), (1, 3, 'ok', 3, 'e', 8)"
    ),
    (
        "ALTER TABLE t DROP parent => CREATE TABLE t (keep int, parent int NOT NULL REFERENCES parent); INSERT INTO"
        " parent DEFAULT VALUES; INSERT INTO t SELECT 1, max(id) FROM parent; INSERT INTO t TABLE t"
    ),
    "IMPORT_NOTHING",
]
CASES.remove("IMPORT_NOTHING")
#: What only PostgreSQL 18 has, or has a name for.
SINCE_18 = [
    "ALTER TABLE base ADD CONSTRAINT there NOT NULL x",
    "ALTER TABLE apart DROP CONSTRAINT apart_a_not_null",
    "ALTER TABLE apart ALTER z DROP NOT NULL => ALTER TABLE apart RENAME COLUMN a TO z",
    "ALTER TABLE apart DROP COLUMN z => ALTER TABLE apart RENAME COLUMN a TO z",
    "DROP TABLE apart => ALTER TABLE apart RENAME COLUMN a TO z",
    (
        "ALTER TABLE parent DROP COLUMN v => ALTER TABLE parent ADD COLUMN v text GENERATED ALWAYS AS (upper(name))"
        " VIRTUAL"
    ),
    "ALTER TABLE parent ALTER total SET EXPRESSION AS (3)",
    (
        "ALTER TABLE apart ALTER v SET EXPRESSION AS (a) => ALTER TABLE apart ADD COLUMN v int GENERATED ALWAYS AS (a +"
        " 1) VIRTUAL"
    ),
    "ALTER TABLE parent ADD CONSTRAINT c CHECK (score > 0) NOT ENFORCED",
    "ALTER TABLE parent DROP CONSTRAINT c => ALTER TABLE parent ADD CONSTRAINT c CHECK (score > 0) NOT ENFORCED",
    "ALTER TABLE child ALTER CONSTRAINT child_parent_fkey NOT ENFORCED",
    "ALTER TABLE parent RENAME COLUMN name TO called",
    "ALTER TABLE base ADD PRIMARY KEY (x)",
    "CREATE TABLE t (a int, during daterange, PRIMARY KEY (a, during WITHOUT OVERLAPS)) => CREATE EXTENSION btree_gist",
    "GRANT MAINTAIN ON parent TO PUBLIC",
    "REVOKE MAINTAIN ON parent FROM CURRENT_USER",
    "ALTER TABLE base ADD CONSTRAINT n NOT NULL x NOT VALID",
    *(
        f"{up} => CREATE TABLE t (a int, b int); ALTER TABLE t ADD CONSTRAINT n NOT NULL a {what}; INSERT INTO t"
        " VALUES (1, 1)"
        for up in (
            "ALTER TABLE t DROP CONSTRAINT n",
            "ALTER TABLE t ALTER a DROP NOT NULL",
            "ALTER TABLE t DROP COLUMN a",
            "DROP TABLE t",
        )
        for what in ("NOT VALID", "NO INHERIT", "NO INHERIT NOT VALID")
    ),
    "ALTER TABLE base VALIDATE CONSTRAINT n => ALTER TABLE base ADD CONSTRAINT n NOT NULL x NOT VALID",
]


def snapshot(connection):
    return connection.execute("SELECT public.schema_snapshot()").fetchone()[0]


def changes(connection, before):
    """(change, kind, identity) of all that differs now;
    the order of columns apart, which PostgreSQL cannot bring back."""
    rows = connection.execute(
        "SELECT change, kind, identity FROM public.schema_changes(%s::jsonb, public.schema_snapshot())",
        (json.dumps(before),),
    ).fetchall()
    return [row for row in rows if row[0] != "reordered"]


def undo_and_compare(connection, suggested, before):
    connection.execute("RESET ALL")
    for statement in suggested.statements:
        connection.execute(statement.encode())
    assert changes(connection, before) == [], suggested.statements


def suggestion_for(connection, up):
    """Run an up migration and return what is suggested to undo it."""
    file = parse(up, name="002_case")
    statements = file.up.statements[1:-1] if file.up.wrapped else file.up.statements
    wanted = suggest(file.up).needs_schema
    states = [None] * (len(file.up.statements) + 1)
    first = 1 if file.up.wrapped else 0
    for place, statement in enumerate(statements, first):
        if {place, place - 1} & wanted:
            states[place] = state(connection, "public")
        connection.execute(statement.text.encode())
    if first + len(statements) - 1 in wanted:
        states[first + len(statements)] = state(connection, "public")
    return suggest(file.up, states=states, major=connection.info.server_version // 10000)


@pytest.fixture(scope="module")
def shared(shared_database):
    """A session on a database with the setup, and what the schema is there. Every case leaves it as it was."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(SETUP)
        yield connection, snapshot(connection)


@pytest.mark.few(60)
@pytest.mark.parametrize("case", [*CASES, *SINCE_18], ids=range(len(CASES) + len(SINCE_18)))
def test_the_suggested_inverse_brings_the_schema_back(shared, case):
    connection, before = shared
    if case in SINCE_18 and connection.info.server_version < 180000:
        pytest.skip("PostgreSQL 18 brought it")
    up, _, setup = case.partition(" => ")
    together = "CONCURRENTLY" not in up
    if together:
        connection.execute("BEGIN")
    try:
        if setup:
            connection.execute(setup)
            before = snapshot(connection)
        suggested = suggestion_for(connection, up)
        assert not [todo for todo in suggested.todos if "by hand" in todo]
        undo_and_compare(connection, suggested, before)
    finally:
        if together:
            connection.execute("ROLLBACK")


@pytest.mark.few(5)
@pytest.mark.parametrize("seed", range(24))
def test_so_does_the_inverse_of_several_at_once(shared, seed):
    connection, before = shared
    alone = [
        case for case in CASES if not any(word in case for word in (" => ", "CONCURRENTLY", "BEGIN;", "search_path"))
    ]
    chance = random.Random(seed)
    while True:
        up = "; ".join(chance.sample(alone, chance.randint(2, 5)))
        connection.execute("BEGIN")
        try:
            suggested = suggestion_for(connection, up)
        except psycopg.Error:  # what one of them makes or drops is in the way of another
            connection.execute("ROLLBACK")
        else:
            break
    try:
        undo_and_compare(connection, suggested, before)
    finally:
        connection.execute("ROLLBACK")
