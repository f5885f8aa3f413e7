"""A schema with every kind of object in it, under names that need quotes, and single statements that change one thing:
what a snapshot must see because `pg_dump -s` shows it."""

from __future__ import annotations

#: Runs on every server from PostgreSQL 15; roles that any server has, so that none need be made.
SCHEMA = r"""
CREATE SCHEMA "Weird ""name"; CREATE SCHEMA "select"; CREATE SCHEMA plain; CREATE SCHEMA "ü.ü" AUTHORIZATION pg_monitor;
CREATE EXTENSION citext SCHEMA plain; CREATE EXTENSION hstore; CREATE EXTENSION btree_gist;
CREATE EXTENSION postgres_fdw; CREATE EXTENSION file_fdw;
SET search_path = "Weird ""name", pg_catalog;
CREATE TYPE "Mood" AS ENUM ('sad', 'ok', 'it''s "fine"'); CREATE TYPE plain.level AS ENUM ('low', 'high');
CREATE DOMAIN "positive" AS int DEFAULT 1 CONSTRAINT "more than 0" CHECK (VALUE > 0);
CREATE DOMAIN plain.word AS text COLLATE "C" NOT NULL;
CREATE TYPE "Pair" AS (a int, "B" text COLLATE "C"); CREATE TYPE plain.triple AS (a "Pair", b int, c int);
CREATE TYPE "Span" AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi, MULTIRANGE_TYPE_NAME = "Spans");
CREATE TYPE plain.inet_range AS RANGE (SUBTYPE = inet);
CREATE TYPE plain.hollow;
CREATE TYPE plain.base;
CREATE FUNCTION plain.base_in(cstring) RETURNS plain.base IMMUTABLE STRICT LANGUAGE internal AS 'int4in';
CREATE FUNCTION plain.base_out(plain.base) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'int4out';
CREATE FUNCTION plain.base_recv(internal) RETURNS plain.base IMMUTABLE STRICT LANGUAGE internal AS 'int4recv';
CREATE FUNCTION plain.base_send(plain.base) RETURNS bytea IMMUTABLE STRICT LANGUAGE internal AS 'int4send';
CREATE FUNCTION plain.base_modin(cstring[]) RETURNS int IMMUTABLE STRICT LANGUAGE internal AS 'numerictypmodin';
CREATE FUNCTION plain.base_modout(int) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'numerictypmodout';
CREATE TYPE plain.base (INPUT = plain.base_in, OUTPUT = plain.base_out, LIKE = int4);
CREATE COLLATION "Sorted" (PROVIDER = libc, LOCALE = 'C'); CREATE COLLATION plain.posix FROM "POSIX";

CREATE FUNCTION "Answer"(question text DEFAULT '', VARIADIC "More" int[] DEFAULT '{}') RETURNS int LANGUAGE sql
  IMMUTABLE AS 'SELECT 42';
CREATE FUNCTION plain.same_word(a text, b text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT a = b';
CREATE FUNCTION plain.modern(n int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC SELECT n + 1; END;
CREATE FUNCTION plain."table"() RETURNS TABLE (a int, "B" text) LANGUAGE plpgsql COST 7 ROWS 3 SECURITY DEFINER
  SET search_path = pg_catalog AS $$ BEGIN RETURN; END $$;
CREATE FUNCTION "Fires"() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION plain.watches() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE FUNCTION plain.to_pair(int) RETURNS "Pair" LANGUAGE sql AS $$ SELECT ROW($1, 'x')::"Pair" $$;
CREATE FUNCTION plain.plus(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT a + b';
CREATE FUNCTION plain.less(a "Mood", b text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION plain.more(a text, b "Mood") RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE PROCEDURE "Deed"(INOUT a int) LANGUAGE plpgsql AS $$ BEGIN a := 1; END $$;
CREATE AGGREGATE "Sum"(int) (SFUNC = plain.plus, STYPE = int, INITCOND = '0', PARALLEL = SAFE);
CREATE OPERATOR plain.@@+ (FUNCTION = plain.plus, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR plain.<<| (FUNCTION = plain.less, LEFTARG = "Mood", RIGHTARG = text, COMMUTATOR = OPERATOR(plain.|>>));
CREATE OPERATOR plain.|>> (FUNCTION = plain.more, LEFTARG = text, RIGHTARG = "Mood", RESTRICT = eqsel);
CREATE OPERATOR FAMILY "Family" USING btree;
CREATE OPERATOR CLASS "Class" FOR TYPE int USING btree FAMILY "Family" AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,
  OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
CREATE CAST (int AS "Pair") WITH FUNCTION plain.to_pair(int) AS ASSIGNMENT;
CREATE CONVERSION plain."Latin" FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE FUNCTION plain.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION plain.inline(internal) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE LANGUAGE "Own" HANDLER plain.handler INLINE plain.inline;
CREATE TRANSFORM FOR int LANGUAGE "Own" (FROM SQL WITH FUNCTION prsd_lextype(internal));
CREATE ACCESS METHOD "Tree" TYPE INDEX HANDLER bthandler; CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER
  heap_tableam_handler;
CREATE TEXT SEARCH PARSER plain."Parser" (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end,
  LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE plain."Template" (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY "Dictionary" (TEMPLATE = simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION plain."Configuration" (COPY = simple);

CREATE SEQUENCE "Numbers" AS smallint START 7 INCREMENT 3 CYCLE; CREATE UNLOGGED SEQUENCE plain.numbers;
CREATE TABLE "Parent" (id int GENERATED ALWAYS AS IDENTITY (START 5) CONSTRAINT "Key" PRIMARY KEY,
  "Name" text COLLATE "C" NOT NULL DEFAULT 'x' CONSTRAINT "not empty" CHECK ("Name" <> ''), "select" int UNIQUE,
  total int GENERATED ALWAYS AS (1) STORED, mood "Mood" DEFAULT 'ok', span "Span", pair "Pair", p "positive",
  b plain.base, UNIQUE NULLS NOT DISTINCT ("Name", "select") INCLUDE (total));
CREATE TABLE plain.child (id bigserial, parent int REFERENCES "Parent" ON DELETE CASCADE DEFERRABLE, at timestamptz
  DEFAULT now(), during daterange, note text, EXCLUDE USING gist (parent WITH =, during WITH &&) WHERE (parent > 0));
ALTER TABLE plain.child ADD CONSTRAINT "later" CHECK (id > 0) NOT VALID;
ALTER TABLE plain.child ADD CONSTRAINT "also later" FOREIGN KEY (parent) REFERENCES "Parent" ("select") NOT VALID;
CREATE UNLOGGED TABLE "select"."from" ("where" int, "ü" text) WITH (fillfactor = 70);
ALTER TABLE "select"."from" ALTER "ü" SET STORAGE EXTERNAL;
CREATE TABLE "select".heir ("extra" int) INHERITS ("select"."from");
CREATE TABLE plain.of_type OF plain.triple (PRIMARY KEY (b));
CREATE TABLE "Parts" (a int NOT NULL, "B" text DEFAULT 'b', c int CHECK (c > 0)) PARTITION BY RANGE (a);
CREATE TABLE "Part 1" PARTITION OF "Parts" FOR VALUES FROM (0) TO (9);
CREATE TABLE plain.part2 PARTITION OF "Parts" ("B" DEFAULT 'own') FOR VALUES FROM (9) TO (MAXVALUE);
CREATE TABLE plain.by_list (a text, b int) PARTITION BY LIST (lower(a));
CREATE TABLE plain.by_list_rest PARTITION OF plain.by_list DEFAULT PARTITION BY HASH (b);
CREATE TABLE plain.hash0 PARTITION OF plain.by_list_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
ALTER TABLE "Parts" ADD CONSTRAINT "Parts key" PRIMARY KEY (a); CREATE INDEX "Parts B" ON "Parts" ("B");
CREATE INDEX "some only" ON plain.child (lower(note) text_pattern_ops DESC NULLS LAST) INCLUDE (at) WHERE note <> '';
CREATE INDEX of_child ON plain.child USING hash (note); CREATE UNIQUE INDEX "Unique" ON "Parent" (mood, p);
CREATE INDEX in_parent ON "Parent" (("select" + 1), "Name" COLLATE "POSIX") WITH (fillfactor = 50);
CREATE VIEW "Happy" AS SELECT id, "Name", mood FROM "Parent" WHERE mood = 'ok';
CREATE VIEW plain.checked WITH (security_barrier) AS SELECT * FROM "select"."from" WHERE "where" > 0
  WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW "Kept" AS SELECT "where" AS "select", 1 AS one FROM "select"."from";
CREATE UNIQUE INDEX "Kept one" ON "Kept" ("select"); CREATE MATERIALIZED VIEW plain.kept AS SELECT 1 AS a WITH NO DATA;
CREATE RULE "No delete" AS ON DELETE TO plain.child DO INSTEAD NOTHING;
CREATE RULE also AS ON INSERT TO "Happy" DO INSTEAD INSERT INTO "Parent" ("Name") VALUES (NEW."Name");
CREATE TRIGGER "Fires first" BEFORE INSERT OR UPDATE OF note ON plain.child FOR EACH ROW
  WHEN (NEW.id > 0) EXECUTE FUNCTION "Fires"('x', 'y''z');
CREATE CONSTRAINT TRIGGER fires_last AFTER UPDATE ON plain.child DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  EXECUTE FUNCTION "Fires"();
CREATE TRIGGER "On parts" AFTER INSERT ON "Parts" FOR EACH ROW EXECUTE FUNCTION "Fires"();
CREATE TRIGGER tables AFTER DELETE ON "Parent" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
  EXECUTE FUNCTION "Fires"();
CREATE TRIGGER of_view INSTEAD OF UPDATE ON plain.checked FOR EACH ROW EXECUTE FUNCTION "Fires"();
ALTER TABLE plain.child ENABLE ROW LEVEL SECURITY; CREATE POLICY "Mine" ON plain.child USING (id > 0);
CREATE POLICY more ON plain.child AS RESTRICTIVE FOR UPDATE TO pg_monitor USING (true) WITH CHECK (note <> 'x');
CREATE STATISTICS "Stat" (dependencies, mcv) ON "Name", "select" FROM "Parent";
CREATE STATISTICS plain.stat ON (lower(note)), id FROM plain.child;
CREATE FOREIGN DATA WRAPPER "Wrapper" OPTIONS (debug 'true'); CREATE SERVER "Server" TYPE 'x' VERSION '1'
  FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h', dbname 'd'); CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE SERVER "any" FOREIGN DATA WRAPPER "Wrapper";
CREATE USER MAPPING FOR CURRENT_USER SERVER "Server" OPTIONS (user 'u', password 'hunter2');
CREATE USER MAPPING FOR PUBLIC SERVER "any";
CREATE FOREIGN TABLE "Far" (id int OPTIONS (column_name 'Id') NOT NULL, "Name" text DEFAULT 'f') SERVER "Server"
  OPTIONS (schema_name 's', table_name 't');
CREATE FOREIGN TABLE plain.file (line text) SERVER files OPTIONS (filename '/dev/null');
CREATE PUBLICATION "All" FOR ALL TABLES; CREATE PUBLICATION "some" FOR TABLE "Parent" (id, "Name") WHERE (id > 0)
  WITH (publish = 'insert'); CREATE PUBLICATION schemas FOR TABLES IN SCHEMA "select"; CREATE PUBLICATION empty;
CREATE EVENT TRIGGER "Watch" ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION plain.watches();
ALTER EVENT TRIGGER "Watch" DISABLE;
COMMENT ON SCHEMA "Weird ""name" IS 'needs quotes'; COMMENT ON TABLE "Parent" IS 'seen'; COMMENT ON COLUMN
  "Parent"."Name" IS 'it''s'; COMMENT ON FUNCTION "Answer"(text, int[]) IS 'the answer';
GRANT SELECT ON "Parent" TO pg_monitor; GRANT UPDATE ("Name") ON "Parent" TO PUBLIC; GRANT USAGE ON SCHEMA "select" TO
  pg_monitor WITH GRANT OPTION; REVOKE EXECUTE ON FUNCTION "Answer"(text, int[]) FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA "select" GRANT SELECT ON TABLES TO pg_monitor;
RESET search_path;
"""

#: A copy of a database has none of its subscriptions, and while it has one it cannot be dropped.
SUBSCRIPTION = """CREATE SUBSCRIPTION "Sub" CONNECTION 'host=nowhere dbname=x' PUBLICATION p1, "P2"
WITH (connect = false, slot_name = NONE)"""

#: What else newer servers know: from which major version on -> SQL.
SINCE = {
    17: """
CREATE TABLE plain.parts_tree (a int) PARTITION BY RANGE (a) USING heap_too;
""",
    18: r"""
SET search_path = "Weird ""name", plain, pg_catalog;
CREATE TABLE "Room" (id int, during daterange, area int, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL,
  CONSTRAINT "Room key" PRIMARY KEY (id, during WITHOUT OVERLAPS));
CREATE TABLE plain.booking (id int, during daterange, who text, CONSTRAINT "in Room" FOREIGN KEY (id, PERIOD during)
  REFERENCES "Room" (id, PERIOD during), CONSTRAINT who CHECK (who <> '') NOT ENFORCED);
ALTER TABLE "Room" ADD CONSTRAINT "Room area" NOT NULL area NOT VALID;
CREATE TABLE plain.lonely (a int CONSTRAINT lonely_a NOT NULL NO INHERIT);
RESET search_path;
""",
}

#: One change each: from which server on, statement.
CHANGES = [
    (15, """COMMENT ON TABLE "Weird ""name"."Parent" IS NULL"""),
    (15, """COMMENT ON COLUMN "Weird ""name"."Parent"."Name" IS 'other'"""),
    (15, """COMMENT ON FUNCTION "Weird ""name"."Answer"(text, int[]) IS NULL"""),
    (15, """COMMENT ON TYPE "Weird ""name"."Mood" IS 'x'"""),
    (15, """COMMENT ON INDEX "Weird ""name"."Unique" IS 'x'"""),
    (15, """COMMENT ON CONSTRAINT "not empty" ON "Weird ""name"."Parent" IS 'x'"""),
    (15, """COMMENT ON CONSTRAINT "more than 0" ON DOMAIN "Weird ""name"."positive" IS 'x'"""),
    (15, """COMMENT ON POLICY "Mine" ON plain.child IS 'x'"""),
    (15, """COMMENT ON OPERATOR CLASS "Weird ""name"."Class" USING btree IS 'x'"""),
    (15, """COMMENT ON TEXT SEARCH DICTIONARY "Weird ""name"."Dictionary" IS 'x'"""),
    (15, """COMMENT ON STATISTICS "Weird ""name"."Stat" IS 'x'"""),
    (15, """ALTER FUNCTION plain.same_word(text, text) DEPENDS ON EXTENSION citext"""),
    (15, """ALTER FUNCTION plain.same_word(text, text) DEPENDS ON EXTENSION hstore"""),
    (15, """ALTER FUNCTION plain.same_word(text, text) NO DEPENDS ON EXTENSION citext"""),
    (15, """ALTER PROCEDURE "Weird ""name"."Deed"(int) DEPENDS ON EXTENSION citext"""),
    (15, """ALTER INDEX "Weird ""name"."Unique" DEPENDS ON EXTENSION citext"""),
    (15, """ALTER MATERIALIZED VIEW "Weird ""name"."Kept" DEPENDS ON EXTENSION citext"""),
    (15, """ALTER TRIGGER "Fires first" ON plain.child DEPENDS ON EXTENSION citext"""),
    (15, """ALTER USER MAPPING FOR CURRENT_USER SERVER "Server" OPTIONS (SET user 'other')"""),
    (15, """ALTER USER MAPPING FOR CURRENT_USER SERVER "Server" OPTIONS (DROP user)"""),
    (15, """ALTER USER MAPPING FOR CURRENT_USER SERVER "Server" OPTIONS (DROP password)"""),
    (15, """ALTER USER MAPPING FOR PUBLIC SERVER "any" OPTIONS (ADD x 'y')"""),
    (15, """ALTER TYPE "Weird ""name"."Spans" RENAME TO "Spanning\""""),
    (15, """ALTER TYPE plain.base SET (TYPMOD_IN = plain.base_modin, TYPMOD_OUT = plain.base_modout)"""),
    (15, """ALTER TYPE plain.base SET (SUBSCRIPT = raw_array_subscript_handler)"""),
    (15, """ALTER TYPE plain.base SET (ANALYZE = range_typanalyze)"""),
    (15, """ALTER TABLE plain.part2 ALTER "B" SET DEFAULT 'another'"""),
    (15, """ALTER TABLE plain.part2 ALTER "B" DROP DEFAULT"""),
    (15, """ALTER TABLE "Weird ""name"."Part 1" DISABLE TRIGGER "On parts\""""),
    (15, """ALTER TABLE "Weird ""name"."Part 1" ENABLE ALWAYS TRIGGER "On parts\""""),
    (15, """ALTER EXTENSION citext ADD COLLATION plain.posix"""),
    (15, """ALTER EXTENSION citext ADD CONVERSION plain."Latin\""""),
    (15, """ALTER EXTENSION citext ADD SERVER files"""),
    (15, """ALTER EXTENSION citext ADD SCHEMA "select\""""),
    (15, """COMMENT ON TABLE "select"."from" IS 'in a schema of an extension'"""),
    (15, """ALTER TABLE "Weird ""name"."Parent" SET (toast.autovacuum_enabled = false)"""),
    (15, """CREATE OR REPLACE LANGUAGE "Own" HANDLER plain.handler"""),
    (18, """ALTER TABLE "Weird ""name"."Room" VALIDATE CONSTRAINT "Room area\""""),
    (18, """ALTER TABLE plain.booking ALTER CONSTRAINT "in Room" DEFERRABLE"""),
    (18, """ALTER TABLE plain.lonely ALTER CONSTRAINT lonely_a INHERIT"""),
]
