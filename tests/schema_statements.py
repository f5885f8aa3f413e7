"""Random DDL statements about what a database holds at the moment, for the rounds that compare schema_objects() with
pg_dump."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

#: What there is, with its names as SQL text: kind, name, and what more a statement about it needs.
WHAT_THERE_IS = """
WITH space AS MATERIALIZED (
  SELECT oid, quote_ident(nspname) AS id FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN
    ('information_schema', %(ours)s)),
member AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
rel AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relispartition, c.reloftype, c.relpersistence, s.id || '.' || quote_ident(c.relname) AS id
  FROM pg_class c JOIN space s ON s.oid = c.relnamespace
  WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)),
fn AS MATERIALIZED (
  SELECT f.oid, f.prokind, f.prorettype, s.id || '.' || quote_ident(f.proname) || '('
    || pg_get_function_identity_arguments(f.oid) || ')' AS id
  FROM pg_proc f JOIN space s ON s.oid = f.pronamespace
  WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = f.oid)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid
                    AND d.deptype = 'i')),
typ AS MATERIALIZED (
  SELECT t.oid, t.typtype, t.typrelid, t.typelem, s.id || '.' || quote_ident(t.typname) AS id
  FROM pg_type t JOIN space s ON s.oid = t.typnamespace
  WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid))
SELECT 'schema', id, '{}'::jsonb FROM space
UNION ALL SELECT CASE relkind WHEN 'r' THEN CASE WHEN relispartition THEN 'partition' ELSE 'table' END
  WHEN 'p' THEN 'partitioned' WHEN 'v' THEN 'view' WHEN 'm' THEN 'matview' WHEN 'S' THEN 'sequence'
  WHEN 'f' THEN 'foreign' WHEN 'c' THEN 'composite' END, id, '{}' FROM rel
  WHERE relkind IN ('r','p','v','m','S','f','c')
UNION ALL SELECT 'relation', id, '{}' FROM rel WHERE relkind IN ('r', 'p')
UNION ALL SELECT 'anyrel', id, '{}' FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
UNION ALL SELECT CASE WHEN r.relkind IN ('r', 'p') THEN 'column' WHEN r.relkind = 'v' THEN 'viewcolumn'
  WHEN r.relkind = 'f' THEN 'foreigncolumn' WHEN r.relkind = 'c' THEN 'attribute' ELSE 'matcolumn' END,
  quote_ident(a.attname), jsonb_build_object('of', r.id, 'type', format_type(a.atttypid, a.atttypmod))
  FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  WHERE r.relkind IN ('r', 'p', 'v', 'f', 'c', 'm')
UNION ALL SELECT 'constraint', quote_ident(k.conname), jsonb_build_object('of', r.id, 'type', k.contype)
  FROM pg_constraint k JOIN rel r ON r.oid = k.conrelid WHERE k.contype <> 't'
UNION ALL SELECT 'domainconstraint', quote_ident(k.conname), jsonb_build_object('of', t.id)
  FROM pg_constraint k JOIN typ t ON t.oid = k.contypid
UNION ALL SELECT 'index', c.id, jsonb_build_object('of', r.id, 'name', (
    SELECT quote_ident(relname) FROM pg_class p WHERE p.oid = c.oid))
  FROM pg_index i JOIN rel c ON c.oid = i.indexrelid JOIN rel r ON r.oid = i.indrelid
UNION ALL SELECT 'trigger', quote_ident(g.tgname), jsonb_build_object('of', r.id) FROM pg_trigger g
  JOIN rel r ON r.oid = g.tgrelid WHERE NOT g.tgisinternal
UNION ALL SELECT 'rule', quote_ident(w.rulename), jsonb_build_object('of', r.id) FROM pg_rewrite w
  JOIN rel r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
UNION ALL SELECT 'policy', quote_ident(p.polname), jsonb_build_object('of', r.id) FROM pg_policy p
  JOIN rel r ON r.oid = p.polrelid
UNION ALL SELECT CASE prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE
  'window' END, id, '{}' FROM fn
UNION ALL SELECT 'triggerfunction', replace(id, '()', ''), '{}' FROM fn WHERE prorettype = 'trigger'::regtype
UNION ALL SELECT CASE typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' WHEN 'm' THEN
  'multirange' WHEN 'p' THEN 'shell' ELSE 'base' END, id,
  jsonb_build_object('label', (SELECT quote_literal(min(enumlabel)) FROM pg_enum WHERE enumtypid = typ.oid))
  FROM typ WHERE typtype IN ('e', 'd', 'r', 'm', 'p') OR typtype = 'b' AND typelem = 0
UNION ALL SELECT 'anytype', id, '{}' FROM typ WHERE typtype IN ('e', 'd', 'r')
  OR typtype = 'c' AND EXISTS (SELECT FROM rel WHERE rel.oid = typrelid AND rel.relkind = 'c')
UNION ALL SELECT CASE i.type WHEN 'operator class' THEN 'opclass' WHEN 'operator family' THEN 'opfamily'
    WHEN 'text search configuration' THEN 'tsconfig' WHEN 'text search dictionary' THEN 'tsdict'
    WHEN 'text search parser' THEN 'tsparser' WHEN 'text search template' THEN 'tstemplate'
    WHEN 'statistics object' THEN 'statistics' WHEN 'foreign-data wrapper' THEN 'wrapper'
    WHEN 'access method' THEN 'method' WHEN 'event trigger' THEN 'eventtrigger' ELSE i.type END,
  CASE i.type WHEN 'cast' THEN i.identity ELSE i.identity END, '{}'
  FROM (SELECT 'pg_opclass'::regclass AS class, oid FROM pg_opclass UNION ALL SELECT 'pg_opfamily', oid FROM pg_opfamily
        UNION ALL SELECT 'pg_operator', oid FROM pg_operator UNION ALL SELECT 'pg_collation', oid FROM pg_collation
        UNION ALL SELECT 'pg_conversion', oid FROM pg_conversion UNION ALL SELECT 'pg_ts_config', oid FROM pg_ts_config
        UNION ALL SELECT 'pg_ts_dict', oid FROM pg_ts_dict UNION ALL SELECT 'pg_ts_parser', oid FROM pg_ts_parser
        UNION ALL SELECT 'pg_ts_template', oid FROM pg_ts_template UNION ALL SELECT 'pg_cast', oid FROM pg_cast
        UNION ALL SELECT 'pg_language', oid FROM pg_language UNION ALL SELECT 'pg_am', oid FROM pg_am
        UNION ALL SELECT 'pg_event_trigger', oid FROM pg_event_trigger UNION ALL SELECT 'pg_publication', oid FROM
          pg_publication
        UNION ALL SELECT 'pg_statistic_ext', oid FROM pg_statistic_ext UNION ALL SELECT 'pg_foreign_data_wrapper', oid
          FROM pg_foreign_data_wrapper UNION ALL SELECT 'pg_foreign_server', oid FROM pg_foreign_server
        UNION ALL SELECT 'pg_extension', oid FROM pg_extension) o
  CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i
  WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = o.class AND m.objid = o.oid)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'i')
UNION ALL SELECT 'mapping', CASE WHEN m.umuser = 0 THEN 'PUBLIC' ELSE quote_ident(m.usename) END,
  jsonb_build_object('of', quote_ident(m.srvname)) FROM pg_user_mappings m
UNION ALL SELECT 'subscription', quote_ident(subname), '{}' FROM pg_subscription WHERE subdbid = (
  SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1, 2, 3
"""

NAMES = ["a", "b1", "select", 'Weird "name', "ü", "MixedCase", "has space", "dot.ted", "order", "It's", "x" * 63, "$1"]
#: Roles that every server has.
ROLES = ["pg_monitor", "pg_read_all_data", "CURRENT_USER"]
TYPES = ["int", "bigint", "text", "varchar(9)", "numeric(8, 2)", "timestamptz", "date", "text[]", "jsonb", "boolean"]
#: Words from which a statement draws one: {word}.
WORDS: Mapping[str, Sequence[str]] = {
    "role": ROLES,
    "grantee": [*ROLES, "PUBLIC"],
    "small": ["0", "1", "7", "50", "100"],
    "storage": ["PLAIN", "EXTERNAL", "EXTENDED", "MAIN", "DEFAULT"],
    "compression": ["pglz", "default"],
    "text": ["NULL", "'x'", "'it''s \"fine\"'", "'two\nlines; -- no comment'", "'ü'"],
    "right": ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "ALL"],
    "colright": ["SELECT", "INSERT", "UPDATE", "REFERENCES"],
    "option": ["", " WITH GRANT OPTION"],
    "enabled": ["DISABLE", "ENABLE", "ENABLE ALWAYS", "ENABLE REPLICA"],
    "value": ["NULL", "1", "'1'", "now()", "current_date", "ARRAY['a']", "'{}'"],
    "many": ["TABLES", "SEQUENCES", "FUNCTIONS", "TYPES", "SCHEMAS"],
    "yes": ["true", "false"],
    "not": ["", "NOT "],
    "volatile": ["IMMUTABLE", "STABLE", "VOLATILE", "STRICT", "CALLED ON NULL INPUT", "SECURITY DEFINER", "LEAKPROOF",
                 "SECURITY INVOKER", "PARALLEL SAFE", "COST 5", "SET work_mem = '5MB'", "RESET ALL",
                 "SET search_path = \"select\", pg_temp", "NOT LEAKPROOF"],
    "tableoption": ["fillfactor = 60", "autovacuum_enabled = false", "toast.autovacuum_enabled = false",
                    "autovacuum_vacuum_scale_factor = 0.3", "parallel_workers = 2", "toast_tuple_target = 200"],
    "viewoption": ["security_barrier", "security_barrier = false", "security_invoker", "check_option = cascaded"],
    "columnoption": ["n_distinct = 5", "n_distinct_inherited = -0.5"],
    "using": ["btree", "hash", "gin", "gist", "brin", '"Tree"'],
    "order": ["", " DESC", " NULLS FIRST", " DESC NULLS LAST", ' COLLATE "C"', ' COLLATE "POSIX" DESC'],
    "with": ["", " WITH (fillfactor = 80)", " WHERE true", " NULLS NOT DISTINCT"],
    "command": ["SELECT", "INSERT", "UPDATE", "DELETE"],
    "of": ["INT", "BIGINT", "SMALLINT"],
    "identity": ["FULL", "NOTHING", "DEFAULT"],
    "level": ["TABLES IN SCHEMA"],
    "publish": ["insert", "insert, update", "insert, update, delete, truncate", ""],
}  # fmt: skip

#: From which server on -> statements. {kind} is something that is there, {kind.of} what it belongs to, {new} a name
#: that may be new, {word} one of WORDS; a digit behind it draws another one. One for each line; what is indented goes
#: on.
TEMPLATES: Mapping[int, str] = {
    15: r"""
CREATE SCHEMA {new}
CREATE SCHEMA {new} AUTHORIZATION {role}
ALTER SCHEMA {schema} RENAME TO {new}
ALTER SCHEMA {schema} OWNER TO {role}
DROP SCHEMA {schema}
DROP SCHEMA {schema} CASCADE
COMMENT ON SCHEMA {schema} IS {text}
GRANT USAGE ON SCHEMA {schema} TO {grantee}
GRANT ALL ON SCHEMA {schema} TO {role}{option}
REVOKE ALL ON SCHEMA {schema} FROM {grantee} CASCADE
CREATE TABLE {schema}.{new} ({name} int, {name2} {type} DEFAULT {value} {not}NULL)
CREATE TABLE {schema}.{new} ({name} int GENERATED BY DEFAULT AS IDENTITY (INCREMENT 3) PRIMARY KEY)
CREATE UNLOGGED TABLE {schema}.{new} ({name} serial UNIQUE, {name2} text COLLATE "C" CHECK ({name2} <> ''))
CREATE TABLE {schema}.{new} (LIKE {relation} INCLUDING ALL)
CREATE TABLE {schema}.{new} OF {composite}
CREATE TABLE {schema}.{new} (z int) INHERITS ({table})
CREATE TABLE {schema}.{new} ({name} int, {name2} text) PARTITION BY LIST ({name2})
CREATE TABLE {schema}.{new} PARTITION OF {partitioned} DEFAULT
CREATE TABLE {schema}.{new} PARTITION OF {partitioned} FOR VALUES IN ('a')
CREATE TABLE {schema}.{new} PARTITION OF {partitioned} FOR VALUES FROM (-9) TO (-1)
ALTER TABLE {partitioned} DETACH PARTITION {partition}
ALTER TABLE {partitioned} ATTACH PARTITION {table} DEFAULT
ALTER TABLE {relation} RENAME TO {new}
ALTER TABLE {relation} SET SCHEMA {schema}
ALTER TABLE {relation} OWNER TO {role}
ALTER TABLE {table} SET ({tableoption})
ALTER TABLE {table} RESET (fillfactor)
ALTER TABLE {table} SET UNLOGGED
ALTER TABLE {table} SET LOGGED
ALTER TABLE {table} INHERIT {table2}
ALTER TABLE {table} NO INHERIT {table2}
ALTER TABLE {table} OF {composite}
ALTER TABLE {table} NOT OF
ALTER TABLE {table} SET ACCESS METHOD heap_too
ALTER TABLE {table} SET ACCESS METHOD heap
ALTER TABLE {relation} ENABLE ROW LEVEL SECURITY
ALTER TABLE {relation} DISABLE ROW LEVEL SECURITY
ALTER TABLE {relation} FORCE ROW LEVEL SECURITY
ALTER TABLE {relation} REPLICA IDENTITY {identity}
ALTER TABLE {index.of} REPLICA IDENTITY USING INDEX {index.name}
ALTER TABLE {index.of} CLUSTER ON {index.name}
ALTER TABLE {table} SET WITHOUT CLUSTER
DROP TABLE {relation}
DROP TABLE {relation} CASCADE
ALTER TABLE {relation} ADD COLUMN {name} {type}
ALTER TABLE {relation} ADD COLUMN {name} {anytype}
ALTER TABLE {relation} ADD COLUMN {name} int DEFAULT 7 NOT NULL
ALTER TABLE {relation} ADD COLUMN {name} int GENERATED ALWAYS AS (2) STORED
ALTER TABLE {relation} ADD COLUMN {name} int GENERATED ALWAYS AS IDENTITY
ALTER TABLE {column.of} DROP COLUMN {column}
ALTER TABLE {column.of} DROP COLUMN {column} CASCADE
ALTER TABLE {column.of} RENAME COLUMN {column} TO {name}
ALTER TABLE {column.of} ALTER {column} TYPE {type}
ALTER TABLE {column.of} ALTER {column} TYPE text COLLATE "POSIX"
ALTER TABLE {column.of} ALTER {column} SET DEFAULT {value}
ALTER TABLE {column.of} ALTER {column} DROP DEFAULT
ALTER TABLE {column.of} ALTER {column} SET NOT NULL
ALTER TABLE {column.of} ALTER {column} DROP NOT NULL
ALTER TABLE ONLY {column.of} ALTER {column} SET DEFAULT {value}
ALTER TABLE ONLY {column.of} ALTER {column} SET NOT NULL
ALTER TABLE {column.of} ALTER {column} DROP EXPRESSION
ALTER TABLE {column.of} ALTER {column} ADD GENERATED ALWAYS AS IDENTITY
ALTER TABLE {column.of} ALTER {column} SET GENERATED BY DEFAULT SET INCREMENT 9
ALTER TABLE {column.of} ALTER {column} DROP IDENTITY
ALTER TABLE {column.of} ALTER {column} SET STATISTICS {small}
ALTER TABLE {column.of} ALTER {column} SET STORAGE {storage}
ALTER TABLE {column.of} ALTER {column} SET COMPRESSION {compression}
ALTER TABLE {column.of} ALTER {column} SET ({columnoption})
ALTER TABLE {column.of} ALTER {column} RESET (n_distinct)
COMMENT ON TABLE {relation} IS {text}
COMMENT ON COLUMN {column.of}.{column} IS {text}
COMMENT ON COLUMN {viewcolumn.of}.{viewcolumn} IS {text}
COMMENT ON COLUMN {attribute.of}.{attribute} IS {text}
COMMENT ON COLUMN {foreigncolumn.of}.{foreigncolumn} IS {text}
COMMENT ON COLUMN {matcolumn.of}.{matcolumn} IS {text}
GRANT {right} ON {anyrel} TO {grantee}
GRANT {right} ON {relation} TO {role}{option}
REVOKE {right} ON {anyrel} FROM {grantee} CASCADE
GRANT {colright} ({column}) ON {column.of} TO {grantee}{option}
REVOKE {colright} ({column}) ON {column.of} FROM {grantee}
GRANT {colright} ({viewcolumn}) ON {viewcolumn.of} TO {grantee}
ALTER TABLE {relation} ADD CONSTRAINT {name} CHECK (1 > 0)
ALTER TABLE {relation} ADD CONSTRAINT {name} CHECK (1 > 0) NOT VALID
ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (2 > 0) NO INHERIT
ALTER TABLE {column.of} ADD CONSTRAINT {name} UNIQUE ({column})
ALTER TABLE {column.of} ADD CONSTRAINT {name} UNIQUE NULLS NOT DISTINCT ({column}) DEFERRABLE
ALTER TABLE {column.of} ADD PRIMARY KEY ({column})
ALTER TABLE {column.of} ADD CONSTRAINT {name} EXCLUDE USING gist ({column} WITH =)
ALTER TABLE {column.of} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {column2.of} ({column2}) ON
    UPDATE CASCADE NOT VALID
ALTER TABLE {column.of} ADD FOREIGN KEY ({column}) REFERENCES {relation} ON DELETE SET NULL INITIALLY DEFERRED
ALTER TABLE {constraint.of} DROP CONSTRAINT {constraint}
ALTER TABLE {constraint.of} DROP CONSTRAINT {constraint} CASCADE
ALTER TABLE {constraint.of} RENAME CONSTRAINT {constraint} TO {name}
ALTER TABLE {constraint.of} VALIDATE CONSTRAINT {constraint}
ALTER TABLE {constraint.of} ALTER CONSTRAINT {constraint} DEFERRABLE INITIALLY DEFERRED
COMMENT ON CONSTRAINT {constraint} ON {constraint.of} IS {text}
CREATE INDEX {new} ON {column.of} USING {using} ({column}{order}){with}
CREATE UNIQUE INDEX {new} ON {column.of} ({column}{order}) INCLUDE ({column}){with}
CREATE INDEX {new} ON {column.of} (({column} IS NULL), lower({column}::text)) WHERE {column} IS NOT NULL
CREATE INDEX {new} ON ONLY {column.of} ({column})
CREATE INDEX {new} ON {matcolumn.of} ({matcolumn})
CREATE INDEX {new} ON {column.of} USING brin ({column}) WITH (pages_per_range = 9)
CREATE INDEX {new} ON {column.of} ({column} "Weird ""name"."Class")
ALTER INDEX {index} RENAME TO {new}
ALTER INDEX {index} SET (fillfactor = {small})
ALTER INDEX {index} ALTER COLUMN 1 SET STATISTICS {small}
ALTER INDEX {index} DEPENDS ON EXTENSION {extension}
ALTER INDEX {index} ATTACH PARTITION {index2}
DROP INDEX {index}
DROP INDEX {index} CASCADE
COMMENT ON INDEX {index} IS {text}
CREATE VIEW {schema}.{new} AS SELECT * FROM {anyrel}
CREATE VIEW {schema}.{new} ({name}) AS SELECT 1 UNION SELECT 2
CREATE OR REPLACE VIEW {view} AS SELECT 1 AS other
CREATE RECURSIVE VIEW {schema}.{new} (n) AS SELECT 1
CREATE VIEW {schema}.{new} WITH (security_invoker) AS SELECT {column} AS {name}, 'x' AS k FROM {column.of}
ALTER VIEW {view} SET ({viewoption})
ALTER VIEW {view} RESET (security_barrier)
ALTER VIEW {viewcolumn.of} ALTER {viewcolumn} SET DEFAULT {value}
ALTER VIEW {view} OWNER TO {role}
ALTER VIEW {viewcolumn.of} RENAME COLUMN {viewcolumn} TO {name}
ALTER VIEW {view} SET SCHEMA {schema}
ALTER VIEW {view} RENAME TO {new}
DROP VIEW {view}
DROP VIEW {view} CASCADE
COMMENT ON VIEW {view} IS {text}
CREATE MATERIALIZED VIEW {schema}.{new} WITH (fillfactor = 70) AS SELECT * FROM {anyrel} WITH NO DATA
CREATE MATERIALIZED VIEW {schema}.{new} AS SELECT 1 AS {name}
DROP MATERIALIZED VIEW {matview}
ALTER MATERIALIZED VIEW {matview} RENAME TO {new}
ALTER MATERIALIZED VIEW {matview} SET SCHEMA {schema}
ALTER MATERIALIZED VIEW {matview} SET (autovacuum_enabled = {yes})
ALTER MATERIALIZED VIEW {matview} SET ACCESS METHOD heap_too
ALTER MATERIALIZED VIEW {matcolumn.of} ALTER {matcolumn} SET STATISTICS {small}
ALTER MATERIALIZED VIEW {matcolumn.of} ALTER {matcolumn} SET STORAGE {storage}
ALTER MATERIALIZED VIEW {matview} DEPENDS ON EXTENSION {extension}
COMMENT ON MATERIALIZED VIEW {matview} IS {text}
ALTER MATERIALIZED VIEW {matview} OWNER TO {role}
CREATE SEQUENCE {schema}.{new} AS {of} START 9 MAXVALUE 900 CACHE 4
ALTER SEQUENCE {sequence} INCREMENT {small}
ALTER SEQUENCE {sequence} OWNED BY {column.of}.{column}
ALTER SEQUENCE {sequence} OWNED BY NONE
ALTER SEQUENCE {sequence} MAXVALUE 5000 CYCLE
ALTER SEQUENCE {sequence} SET SCHEMA {schema}
ALTER SEQUENCE {sequence} AS {of}
ALTER SEQUENCE {sequence} SET UNLOGGED
ALTER SEQUENCE {sequence} START 70
ALTER SEQUENCE {sequence} OWNER TO {role}
ALTER SEQUENCE {sequence} RENAME TO {new}
DROP SEQUENCE {sequence}
COMMENT ON SEQUENCE {sequence} IS {text}
GRANT USAGE ON SEQUENCE {sequence} TO {grantee}
CREATE RULE {name} AS ON UPDATE TO {relation} DO ALSO NOTHING
CREATE RULE {name} AS ON DELETE TO {view} DO INSTEAD SELECT 1
CREATE OR REPLACE RULE {rule} AS ON DELETE TO {rule.of} DO INSTEAD NOTHING
ALTER TABLE {rule.of} {enabled} RULE {rule}
ALTER RULE {rule} ON {rule.of} RENAME TO {name}
DROP RULE {rule} ON {rule.of}
COMMENT ON RULE {rule} ON {rule.of} IS {text}
CREATE TRIGGER {name} BEFORE UPDATE ON {relation} FOR EACH ROW EXECUTE FUNCTION {triggerfunction}('x')
CREATE TRIGGER {name} AFTER UPDATE OF {column} ON {column.of} FOR EACH STATEMENT EXECUTE FUNCTION
    {triggerfunction}()
CREATE TRIGGER {name} AFTER TRUNCATE ON {table} EXECUTE FUNCTION {triggerfunction}()
CREATE TRIGGER {name} AFTER UPDATE ON {table} REFERENCING NEW TABLE AS n EXECUTE FUNCTION {triggerfunction}()
CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW WHEN (NEW.* IS NOT NULL) EXECUTE FUNCTION
    {triggerfunction}()
CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON {table} FROM {table2} DEFERRABLE FOR EACH ROW EXECUTE FUNCTION
    {triggerfunction}()
CREATE TRIGGER {name} INSTEAD OF DELETE ON {view} FOR EACH ROW EXECUTE FUNCTION {triggerfunction}()
ALTER TABLE {trigger.of} {enabled} TRIGGER {trigger}
ALTER TABLE ONLY {trigger.of} {enabled} TRIGGER {trigger}
ALTER TRIGGER {trigger} ON {trigger.of} RENAME TO {name}
ALTER TRIGGER {trigger} ON {trigger.of} DEPENDS ON EXTENSION {extension}
ALTER TRIGGER {trigger} ON {trigger.of} NO DEPENDS ON EXTENSION {extension}
DROP TRIGGER {trigger} ON {trigger.of}
COMMENT ON TRIGGER {trigger} ON {trigger.of} IS {text}
CREATE POLICY {name} ON {relation} FOR {command} TO {grantee} USING (true)
CREATE POLICY {name} ON {relation} AS RESTRICTIVE TO {role}, {role2} USING (true) WITH CHECK (false)
ALTER POLICY {policy} ON {policy.of} USING (1 < 2)
ALTER POLICY {policy} ON {policy.of} TO {grantee}
ALTER POLICY {policy} ON {policy.of} RENAME TO {name}
DROP POLICY {policy} ON {policy.of}
COMMENT ON POLICY {policy} ON {policy.of} IS {text}
CREATE FUNCTION {schema}.{new}({name} int, {name2} text DEFAULT 'x''y') RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE FUNCTION {schema}.{new}({anytype}) RETURNS SETOF {anytype2} LANGUAGE plpgsql AS $$ BEGIN END $$
CREATE FUNCTION {schema}.{new}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'
CREATE FUNCTION {schema}.{new}() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM {anyrel}; END
CREATE FUNCTION {schema}.{new}(OUT {name} int, OUT {name2} text) LANGUAGE sql AS $$ SELECT 1, 'x' $$
CREATE FUNCTION {schema}.{new}(int) RETURNS int LANGUAGE sql WINDOW AS 'SELECT 1'
CREATE PROCEDURE {schema}.{new}({name} int) LANGUAGE sql AS 'SELECT 1'
ALTER FUNCTION {function} {volatile}
ALTER FUNCTION {function} OWNER TO {role}
ALTER FUNCTION {function} RENAME TO {new}
ALTER FUNCTION {function} SET SCHEMA {schema}
ALTER FUNCTION {function} DEPENDS ON EXTENSION {extension}
ALTER FUNCTION {function} NO DEPENDS ON EXTENSION citext
ALTER FUNCTION {function} SUPPORT generate_series_int4_support
ALTER FUNCTION {function} ROWS 9
ALTER PROCEDURE {procedure} SECURITY DEFINER
ALTER PROCEDURE {procedure} DEPENDS ON EXTENSION {extension}
DROP FUNCTION {function}
DROP FUNCTION {function} CASCADE
DROP PROCEDURE {procedure}
COMMENT ON FUNCTION {function} IS {text}
COMMENT ON PROCEDURE {procedure} IS {text}
GRANT EXECUTE ON FUNCTION {function} TO {grantee}
REVOKE EXECUTE ON FUNCTION {function} FROM {grantee}
REVOKE EXECUTE ON PROCEDURE {procedure} FROM {grantee}
CREATE AGGREGATE {schema}.{new}(int) (SFUNC = int4pl, STYPE = int, INITCOND = '{small}', SSPACE = 8)
CREATE AGGREGATE {schema}.{new}(ORDER BY int) (SFUNC = int4pl, STYPE = int, HYPOTHETICAL)
CREATE OR REPLACE AGGREGATE "Weird ""name"."Sum"(int) (SFUNC = int4pl, STYPE = int, FINALFUNC = int4abs, MSFUNC
    = int4pl, MINVFUNC = int4mi, MSTYPE = int, COMBINEFUNC = int4pl, SORTOP = >)
ALTER AGGREGATE {aggregate} RENAME TO {new}
ALTER AGGREGATE {aggregate} OWNER TO {role}
DROP AGGREGATE {aggregate}
COMMENT ON AGGREGATE {aggregate} IS {text}
GRANT EXECUTE ON FUNCTION {aggregate} TO {grantee}
CREATE OPERATOR {schema}.+@+ (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int, HASHES)
CREATE OPERATOR {schema}.!!~ (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int, RESTRICT = eqsel, JOIN =
    eqjoinsel, MERGES, COMMUTATOR = OPERATOR({schema}.!!~))
ALTER OPERATOR {operator} OWNER TO {role}
ALTER OPERATOR {operator} SET SCHEMA {schema}
ALTER OPERATOR {operator} SET (RESTRICT = contsel, JOIN = NONE)
DROP OPERATOR {operator}
COMMENT ON OPERATOR {operator} IS {text}
CREATE OPERATOR FAMILY {schema}.{new} USING hash
ALTER OPERATOR FAMILY {opfamily} RENAME TO {new}
ALTER OPERATOR FAMILY {opfamily} ADD OPERATOR 1 < (int, bigint), FUNCTION 1 (int, bigint) btint48cmp(int,
    bigint)
ALTER OPERATOR FAMILY {opfamily} DROP OPERATOR 1 (int, bigint)
ALTER OPERATOR FAMILY {opfamily} DROP FUNCTION 1 (int, bigint)
ALTER OPERATOR FAMILY {opfamily} OWNER TO {role}
ALTER OPERATOR FAMILY {opfamily} SET SCHEMA {schema}
DROP OPERATOR FAMILY {opfamily} CASCADE
COMMENT ON OPERATOR FAMILY {opfamily} IS {text}
CREATE OPERATOR CLASS {schema}.{new} FOR TYPE int USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int)
CREATE OPERATOR CLASS {schema}.{new} FOR TYPE point USING gist AS OPERATOR 1 <<, OPERATOR 15 <-> (point, point)
    FOR ORDER BY float_ops, FUNCTION 1 gist_point_consistent(internal, point, smallint, oid, internal), STORAGE
    box
ALTER OPERATOR CLASS {opclass} RENAME TO {new}
ALTER OPERATOR CLASS {opclass} OWNER TO {role}
ALTER OPERATOR CLASS {opclass} SET SCHEMA {schema}
DROP OPERATOR CLASS {opclass} CASCADE
COMMENT ON OPERATOR CLASS {opclass} IS {text}
CREATE CAST ({anytype} AS date) WITH INOUT
CREATE CAST (bigint AS {anytype}) WITH INOUT AS ASSIGNMENT
DROP CAST {cast}
COMMENT ON CAST {cast} IS {text}
CREATE COLLATION {schema}.{new} (PROVIDER = libc, LOCALE = 'POSIX')
CREATE COLLATION {schema}.{new} (PROVIDER = libc, LC_COLLATE = 'C', LC_CTYPE = 'POSIX')
ALTER COLLATION {collation} RENAME TO {new}
ALTER COLLATION {collation} OWNER TO {role}
ALTER COLLATION {collation} SET SCHEMA {schema}
DROP COLLATION {collation}
COMMENT ON COLLATION {collation} IS {text}
CREATE DEFAULT CONVERSION {schema}.{new} FOR 'LATIN2' TO 'UTF8' FROM iso8859_to_utf8
ALTER CONVERSION {conversion} RENAME TO {new}
ALTER CONVERSION {conversion} OWNER TO {role}
ALTER CONVERSION {conversion} SET SCHEMA {schema}
DROP CONVERSION {conversion}
COMMENT ON CONVERSION {conversion} IS {text}
CREATE TEXT SEARCH CONFIGURATION {schema}.{new} (COPY = english)
CREATE TEXT SEARCH CONFIGURATION {schema}.{new} (PARSER = {tsparser})
ALTER TEXT SEARCH CONFIGURATION {tsconfig} DROP MAPPING IF EXISTS FOR word, int
ALTER TEXT SEARCH CONFIGURATION {tsconfig} ALTER MAPPING FOR word WITH english_stem, simple
ALTER TEXT SEARCH CONFIGURATION {tsconfig} ADD MAPPING FOR tag WITH {tsdict}
ALTER TEXT SEARCH CONFIGURATION {tsconfig} RENAME TO {new}
ALTER TEXT SEARCH CONFIGURATION {tsconfig} SET SCHEMA {schema}
ALTER TEXT SEARCH CONFIGURATION {tsconfig} OWNER TO {role}
DROP TEXT SEARCH CONFIGURATION {tsconfig}
COMMENT ON TEXT SEARCH CONFIGURATION {tsconfig} IS {text}
CREATE TEXT SEARCH DICTIONARY {schema}.{new} (TEMPLATE = simple, STOPWORDS = english, ACCEPT = {yes})
ALTER TEXT SEARCH DICTIONARY {tsdict} (ACCEPT = {yes})
ALTER TEXT SEARCH DICTIONARY {tsdict} (STOPWORDS)
ALTER TEXT SEARCH DICTIONARY {tsdict} RENAME TO {new}
ALTER TEXT SEARCH DICTIONARY {tsdict} OWNER TO {role}
DROP TEXT SEARCH DICTIONARY {tsdict}
COMMENT ON TEXT SEARCH DICTIONARY {tsdict} IS {text}
ALTER TEXT SEARCH PARSER {tsparser} RENAME TO {new}
ALTER TEXT SEARCH PARSER {tsparser} SET SCHEMA {schema}
ALTER TEXT SEARCH TEMPLATE {tstemplate} RENAME TO {new}
ALTER TEXT SEARCH TEMPLATE {tstemplate} SET SCHEMA {schema}
COMMENT ON TEXT SEARCH PARSER {tsparser} IS {text}
COMMENT ON TEXT SEARCH TEMPLATE {tstemplate} IS {text}
DROP TEXT SEARCH PARSER {tsparser} CASCADE
DROP TEXT SEARCH TEMPLATE {tstemplate} CASCADE
CREATE TYPE {schema}.{new} AS ENUM ('a', 'B')
ALTER TYPE {enum} ADD VALUE IF NOT EXISTS {text} BEFORE {enum.label}
ALTER TYPE {enum} RENAME VALUE {enum.label} TO 'other'
CREATE TYPE {schema}.{new} AS RANGE (SUBTYPE = int)
CREATE TYPE {schema}.{new} AS RANGE (SUBTYPE = text, COLLATION = "C", MULTIRANGE_TYPE_NAME = {schema}.{name})
CREATE TYPE {schema}.{new} AS RANGE (SUBTYPE = date, SUBTYPE_OPCLASS = date_ops, CANONICAL =
    daterange_canonical)
CREATE TYPE {schema}.{new} AS ({name} int, {name2} {anytype})
CREATE TYPE {schema}.{new}
ALTER TYPE {anytype} RENAME TO {new}
ALTER TYPE {anytype} OWNER TO {role}
ALTER TYPE {anytype} SET SCHEMA {schema}
ALTER TYPE {multirange} RENAME TO {new}
ALTER TYPE {range} OWNER TO {role}
ALTER TYPE {composite} ADD ATTRIBUTE {name} {type}
ALTER TYPE {attribute.of} DROP ATTRIBUTE {attribute}
ALTER TYPE {attribute.of} RENAME ATTRIBUTE {attribute} TO {name}
ALTER TYPE {attribute.of} ALTER ATTRIBUTE {attribute} TYPE {type}
DROP TYPE {anytype}
DROP TYPE {anytype} CASCADE
COMMENT ON TYPE {anytype} IS {text}
GRANT USAGE ON TYPE {anytype} TO {grantee}
REVOKE USAGE ON TYPE {anytype} FROM {grantee}
COMMENT ON TYPE {base} IS {text}
ALTER TYPE {base} SET (STORAGE = plain)
DROP TYPE {shell}
ALTER TYPE plain.base SET (SEND = plain.base_send, RECEIVE = plain.base_recv)
CREATE DOMAIN {schema}.{new} AS {type} DEFAULT {value} CHECK (VALUE IS NOT NULL)
CREATE DOMAIN {schema}.{new} AS {anytype}
ALTER DOMAIN {domain} SET DEFAULT {value}
ALTER DOMAIN {domain} DROP DEFAULT
ALTER DOMAIN {domain} SET NOT NULL
ALTER DOMAIN {domain} DROP NOT NULL
ALTER DOMAIN {domain} ADD CONSTRAINT {name} CHECK (VALUE IS NOT NULL) NOT VALID
ALTER DOMAIN {domainconstraint.of} DROP CONSTRAINT {domainconstraint}
ALTER DOMAIN {domainconstraint.of} RENAME CONSTRAINT {domainconstraint} TO {name}
ALTER DOMAIN {domainconstraint.of} VALIDATE CONSTRAINT {domainconstraint}
COMMENT ON CONSTRAINT {domainconstraint} ON DOMAIN {domainconstraint.of} IS {text}
COMMENT ON DOMAIN {domain} IS {text}
DROP DOMAIN {domain} CASCADE
CREATE STATISTICS {schema}.{new} (ndistinct) ON {column}, ({column} IS NULL) FROM {column.of}
CREATE STATISTICS {schema}.{new} ON ({column} IS NULL) FROM {column.of}
ALTER STATISTICS {statistics} SET STATISTICS {small}
ALTER STATISTICS {statistics} RENAME TO {new}
ALTER STATISTICS {statistics} SET SCHEMA {schema}
ALTER STATISTICS {statistics} OWNER TO {role}
DROP STATISTICS {statistics}
COMMENT ON STATISTICS {statistics} IS {text}
CREATE LANGUAGE {new} HANDLER plain.handler INLINE plain.inline
ALTER LANGUAGE {language} RENAME TO {new}
ALTER LANGUAGE {language} OWNER TO {role}
DROP LANGUAGE {language} CASCADE
COMMENT ON LANGUAGE {language} IS {text}
CREATE OR REPLACE TRUSTED LANGUAGE {language} HANDLER plain.handler INLINE plain.inline
CREATE ACCESS METHOD {new} TYPE INDEX HANDLER bthandler
DROP ACCESS METHOD {method}
COMMENT ON ACCESS METHOD {method} IS {text}
DROP ACCESS METHOD {method} CASCADE
CREATE EVENT TRIGGER {new} ON sql_drop WHEN TAG IN ('DROP TABLE', 'DROP VIEW') EXECUTE FUNCTION plain.watches()
ALTER EVENT TRIGGER {eventtrigger} {enabled}
ALTER EVENT TRIGGER {eventtrigger} RENAME TO {new}
DROP EVENT TRIGGER {eventtrigger}
COMMENT ON EVENT TRIGGER {eventtrigger} IS {text}
CREATE PUBLICATION {new} FOR TABLE {column.of} ({column}) WHERE (true) WITH (publish = '{publish}')
CREATE PUBLICATION {new} FOR TABLES IN SCHEMA {schema}
ALTER PUBLICATION {publication} ADD TABLE {relation}
CREATE PUBLICATION {new} FOR TABLE {relation} WITH (publish_via_partition_root)
ALTER PUBLICATION {publication} SET TABLE {relation}, {relation2}
ALTER PUBLICATION {publication} DROP TABLE {relation}
ALTER PUBLICATION {publication} ADD TABLE {column.of} ({column})
ALTER PUBLICATION {publication} RENAME TO {new}
ALTER PUBLICATION {publication} SET TABLE {column.of} WHERE ({column} IS NOT NULL)
ALTER PUBLICATION {publication} ADD TABLES IN SCHEMA {schema}
ALTER PUBLICATION {publication} SET (publish = '{publish}')
ALTER PUBLICATION {publication} DROP TABLES IN SCHEMA {schema}
ALTER PUBLICATION {publication} OWNER TO {role}
DROP PUBLICATION {publication}
COMMENT ON PUBLICATION {publication} IS {text}
ALTER SUBSCRIPTION {subscription} SET (binary = {yes}, streaming = {yes}, synchronous_commit = 'local')
ALTER SUBSCRIPTION {subscription} SET PUBLICATION p3 WITH (refresh = false)
ALTER SUBSCRIPTION {subscription} SET (disable_on_error = {yes})
COMMENT ON SUBSCRIPTION {subscription} IS {text}
ALTER SUBSCRIPTION {subscription} SET (slot_name = 'other')
ALTER SUBSCRIPTION {subscription} RENAME TO {new}
CREATE FOREIGN DATA WRAPPER {new} OPTIONS (a 'b')
ALTER FOREIGN DATA WRAPPER {wrapper} OPTIONS (ADD x 'y')
ALTER FOREIGN DATA WRAPPER {wrapper} HANDLER postgres_fdw_handler
ALTER FOREIGN DATA WRAPPER {wrapper} RENAME TO {new}
GRANT USAGE ON FOREIGN DATA WRAPPER {wrapper} TO {grantee}
COMMENT ON FOREIGN DATA WRAPPER {wrapper} IS {text}
CREATE SERVER {new} FOREIGN DATA WRAPPER {wrapper}
ALTER SERVER {server} VERSION {text}
DROP SERVER {server} CASCADE
ALTER SERVER {server} OPTIONS (ADD host 'x')
ALTER SERVER {server} OPTIONS (SET host 'other')
ALTER SERVER {server} OPTIONS (DROP host)
ALTER SERVER {server} RENAME TO {new}
ALTER SERVER {server} OWNER TO {role}
GRANT USAGE ON FOREIGN SERVER {server} TO {grantee}
COMMENT ON SERVER {server} IS {text}
CREATE USER MAPPING FOR {grantee} SERVER {server} OPTIONS (user 'me')
ALTER USER MAPPING FOR {mapping} SERVER {mapping.of} OPTIONS (ADD user 'x')
ALTER USER MAPPING FOR {mapping} SERVER {mapping.of} OPTIONS (SET user 'other')
ALTER USER MAPPING FOR {mapping} SERVER {mapping.of} OPTIONS (ADD password 'secret')
DROP USER MAPPING FOR {mapping} SERVER {mapping.of}
CREATE FOREIGN TABLE {schema}.{new} ({name} int OPTIONS (column_name 'x')) SERVER {server}
ALTER FOREIGN TABLE {foreign} OPTIONS (ADD fetch_size '7')
ALTER FOREIGN TABLE {foreign} OPTIONS (SET table_name 'z')
ALTER FOREIGN TABLE {foreigncolumn.of} ALTER {foreigncolumn} OPTIONS (ADD column_name 'w')
ALTER FOREIGN TABLE {foreigncolumn.of} ALTER {foreigncolumn} SET NOT NULL
DROP FOREIGN TABLE {foreign}
ALTER FOREIGN TABLE {foreign} ADD CONSTRAINT {name} CHECK (true) NOT VALID
ALTER FOREIGN TABLE {foreign} OWNER TO {role}
ALTER FOREIGN TABLE {foreigncolumn.of} ALTER {foreigncolumn} SET STATISTICS {small}
ALTER FOREIGN TABLE {foreign} INHERIT {table}
COMMENT ON FOREIGN TABLE {foreign} IS {text}
CREATE FOREIGN TABLE {schema}.{new} PARTITION OF {partitioned} DEFAULT SERVER {server}
ALTER DEFAULT PRIVILEGES GRANT ALL ON {many} TO {grantee}
ALTER DEFAULT PRIVILEGES REVOKE ALL ON {many} FROM {grantee}
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT ALL ON {many} TO {grantee}{option}
ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA {schema} REVOKE ALL ON {many} FROM {grantee}
ALTER EXTENSION citext SET SCHEMA {schema}
ALTER EXTENSION {extension} ADD TABLE {table}
ALTER EXTENSION {extension} ADD FUNCTION {function}
ALTER EXTENSION {extension} ADD VIEW {view}
ALTER EXTENSION {extension} ADD TYPE {anytype}
ALTER EXTENSION {extension} ADD SCHEMA {schema}
ALTER EXTENSION {extension} ADD SERVER {server}
ALTER EXTENSION {extension} ADD COLLATION {collation}
ALTER EXTENSION {extension} ADD CAST {cast}
ALTER EXTENSION {extension} ADD OPERATOR {operator}
ALTER EXTENSION {extension} ADD TEXT SEARCH DICTIONARY {tsdict}
ALTER EXTENSION {extension} ADD SEQUENCE {sequence}
COMMENT ON EXTENSION {extension} IS {text}
DROP EXTENSION citext CASCADE
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {grantee}
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC
DROP OWNED BY pg_monitor
REASSIGN OWNED BY pg_monitor TO CURRENT_USER
SELECT 1
ANALYZE
GRANT SELECT ON pg_catalog.pg_class TO pg_monitor
GRANT EXECUTE ON FUNCTION pg_catalog.now() TO pg_monitor
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC
GRANT USAGE ON LANGUAGE sql TO pg_monitor
COMMENT ON TRANSFORM FOR int LANGUAGE {language} IS {text}
DROP TRANSFORM FOR int LANGUAGE {language}
CREATE TRANSFORM FOR int LANGUAGE {language} (FROM SQL WITH FUNCTION prsd_lextype(internal))
""",
    16: r"""
ALTER DOMAIN {domain} ADD CONSTRAINT {name} CHECK (true)
""",
    17: r"""
ALTER TABLE {column.of} ALTER {column} SET EXPRESSION AS (9)
ALTER TABLE {partitioned} SET ACCESS METHOD heap_too
GRANT MAINTAIN ON {relation} TO {grantee}
ALTER TABLE {relation} SET ACCESS METHOD DEFAULT
ALTER OPERATOR {operator} SET (HASHES)
ALTER SUBSCRIPTION {subscription} SET (origin = none)
""",
    18: r"""
ALTER TABLE {column.of} ADD CONSTRAINT {name} NOT NULL {column} NOT VALID
ALTER TABLE {column.of} ADD CONSTRAINT {name} NOT NULL {column}
ALTER TABLE {column.of} ADD NOT NULL {column} NO INHERIT
ALTER TABLE {relation} ADD COLUMN {name} int GENERATED ALWAYS AS (3) VIRTUAL
ALTER TABLE {relation} ADD CONSTRAINT {name} CHECK (3 > 2) NOT ENFORCED
ALTER TABLE {constraint.of} ALTER CONSTRAINT {constraint} NOT ENFORCED
ALTER TABLE {constraint.of} ALTER CONSTRAINT {constraint} ENFORCED
ALTER TABLE {constraint.of} ALTER CONSTRAINT {constraint} NO INHERIT
ALTER TABLE {constraint.of} ALTER CONSTRAINT {constraint} INHERIT
CREATE TABLE {schema}.{new} (id int, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS))
ALTER TABLE plain.booking ADD FOREIGN KEY (id, PERIOD during) REFERENCES "Weird ""name"."Room" (id, PERIOD
    during)
ALTER PUBLICATION {publication} SET (publish_generated_columns = stored)
ALTER DOMAIN {domain} ADD CONSTRAINT {name} NOT NULL
CREATE FOREIGN TABLE {schema}.{new} (LIKE {relation} INCLUDING ALL) SERVER {server}
""",
}


@cache
def _statements() -> dict[int, list[str]]:
    return {since: re.sub(r"\n +", " ", some).strip().splitlines() for since, some in TEMPLATES.items()}


class Thing:
    """A name as SQL text, with what belongs to it."""

    def __init__(self, name: str, more: dict[str, str]) -> None:
        self._name = name
        self._more = more

    def __format__(self, specification: str) -> str:
        return self._name

    def __getattr__(self, name: str) -> str:
        return self._more[name]


def what_there_is(connection: psycopg.Connection, ours: str) -> dict[str, list[Thing]]:
    """Kind -> what the database holds of it; `ours` is a schema to leave alone."""
    found: dict[str, list[Thing]] = {}
    for kind, name, more in connection.execute(WHAT_THERE_IS, {"ours": ours}):
        found.setdefault(kind, []).append(Thing(name, more))
    return found


def statement(choose: Callable[[Sequence[Any]], Any], there: Mapping[str, list[Thing]], major: int) -> str | None:
    """One statement about what is there; None where nothing of the kind that it needs is there."""
    template = choose([one for since, some in _statements().items() if major >= since for one in some])
    drawn: dict[str, Any] = {}
    for _, field, _, _ in string.Formatter().parse(template):
        if field is None:
            continue
        name = field.split(".")[0]
        kind = name.rstrip("0123456789")
        if name in drawn:
            continue
        if kind in ("new", "name"):
            drawn[name] = '"' + choose(NAMES).replace('"', '""') + '"'
        elif kind == "type":
            drawn[name] = choose(TYPES)
        elif kind in WORDS:
            drawn[name] = choose(WORDS[kind])
        elif there.get(kind):
            drawn[name] = choose(there[kind])
        else:
            return None
    return template.format(**drawn)
