"""All that the catalogs hold of a schema: to compare two databases, or one with itself later."""

import psycopg
from psycopg import sql

from migrollback_nb.database.installation import quoted_schema

SYSTEM = "20250120_migration_rollback_system"

#: All that the catalogs hold of a schema, by name: what, which, how.
CATALOG = """
WITH ours AS (SELECT n.oid FROM pg_namespace n WHERE n.nspname = %(schema)s),
relation AS (SELECT c.* FROM pg_class c JOIN ours ON c.relnamespace = ours.oid),
routine AS (SELECT p.* FROM pg_proc p JOIN ours ON p.pronamespace = ours.oid)
SELECT 'relation' AS what, c.relname::text AS which, jsonb_build_object(
           'kind', c.relkind, 'owner', c.relowner::regrole, 'acl', c.relacl, 'row security', c.relrowsecurity,
           'replica identity', c.relreplident, 'options', c.reloptions)::text AS how FROM relation c
UNION ALL SELECT 'column', c.relname || '.' || a.attname, jsonb_build_object(
           'number', a.attnum, 'type', format_type(a.atttypid, a.atttypmod), 'not null', a.attnotnull,
           'default', pg_get_expr(d.adbin, d.adrelid), 'acl', a.attacl)::text
  FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
UNION ALL SELECT 'constraint', c.relname || ' ' || k.conname, pg_get_constraintdef(k.oid) || k.convalidated
  FROM pg_constraint k JOIN relation c ON c.oid = k.conrelid
UNION ALL SELECT 'index', c.relname::text, pg_get_indexdef(c.oid) FROM relation c WHERE c.relkind = 'i'
UNION ALL SELECT 'policy', c.relname || ' ' || p.polname,
           concat(p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, p.polrelid))
  FROM pg_policy p JOIN relation c ON c.oid = p.polrelid
UNION ALL SELECT 'trigger', c.relname || ' ' || t.tgname, pg_get_triggerdef(t.oid) || t.tgenabled::text
  FROM pg_trigger t JOIN relation c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL SELECT 'rule', c.relname || ' ' || w.rulename, pg_get_ruledef(w.oid)
  FROM pg_rewrite w JOIN relation c ON c.oid = w.ev_class
UNION ALL SELECT 'function', f.oid::regprocedure::text, jsonb_build_object(
           'definition', pg_get_functiondef(f.oid), 'owner', f.proowner::regrole, 'acl', f.proacl)::text FROM routine f
UNION ALL SELECT 'comment', i.type || ' ' || i.identity, d.description
  FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
 WHERE i.schema = %(schema)s OR d.objoid IN (SELECT oid FROM relation UNION SELECT oid FROM routine)
ORDER BY 1, 2
"""


def ask(dsn, query, schema):
    with psycopg.connect(dsn) as connection:
        composed = sql.SQL(query).format(s=sql.SQL(quoted_schema(schema)), system=SYSTEM)
        return connection.execute(composed, {"schema": schema} if "%(schema)s" in query else None).fetchall()
