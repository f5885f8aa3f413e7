-- ---------------------------------------------------------------------------------------------------
-- The schema objects of the database, each with a definition that can be compared.
-- ---------------------------------------------------------------------------------------------------

-- Over 120 lines: one query with a branch for each kind of object, so that all are read under one snapshot.
CREATE OR REPLACE FUNCTION migrollback_schema.schema_objects() RETURNS TABLE (kind text, identity text,
    definition jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    -- what the session shows dates, bytes and names like is no part of a definition
    SET datestyle = 'ISO, MDY' SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex'
        SET extra_float_digits = 1
    SET quote_all_identifiers = off SET standard_conforming_strings = on
    SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on AS $function$
#variable_conflict use_column
BEGIN
    IF migrollback_schema.migration_scope() IS NOT NULL THEN
        PERFORM migrollback_schema.plan_for_scope();    -- until the end of this function, which sets the same above
    END IF;
    -- PL/pgSQL keeps the plan for the session; before 18, LANGUAGE sql made it anew in each call, which took two thirds
    -- of the time on a small schema.
    -- jit = off: else seconds of compiling. The empty-handed search_path makes every pg_get_*def() schema-qualified.
    -- Version-dependent columns are read through to_jsonb(row) -> key, so the text parses on 15 to 18; only of rare
    -- kinds, because it is slow.
    -- Options that begin with pg_ are PostgreSQL's own (15.20 stamps each column with pg_attver=N, which its pg_dump
    -- leaves out): no part of the schema.
    RETURN QUERY
    WITH RECURSIVE
    scope AS MATERIALIZED (SELECT migrollback_schema.migration_scope_spaces() AS spaces),       -- NULL: all
    near AS MATERIALIZED (           -- what is in it, and what that depends on; of all nothing need be found before
      SELECT o.class_id AS c, o.object_id AS o, o.space_id FROM migrollback_schema.migration_scope_objects() o
      WHERE (TABLE scope) IS NOT NULL),
    ext AS MATERIALIZED (            -- objects owned by an extension: described by the extension row only; and our own
      SELECT d.classid, d.objid, false AS ours FROM pg_depend d
       WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
      -- of a composite type the extension owns the type, and that its relation
      UNION ALL SELECT 'pg_class'::regclass, t.typrelid, false FROM pg_depend d JOIN pg_type t ON t.oid = d.objid
          AND t.typtype = 'c' WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
          AND d.classid = 'pg_type'::regclass
      -- of a range type its constructors and casts, which come and go with it: pg_dump leaves them out too
      UNION ALL SELECT d.classid, d.objid, true FROM pg_range g CROSS JOIN LATERAL unnest(ARRAY[g.rngtypid,
          g.rngmultitypid]) AS y (oid) JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = y.oid
          AND d.deptype = 'i' AND d.classid IN ('pg_proc'::regclass, 'pg_cast'::regclass)
      UNION ALL SELECT m.class, m.oid, true FROM migrollback_schema.migration_system_objects() o
          CROSS JOIN LATERAL (SELECT 'pg_class'::regclass::oid, unnest(o.tables)
                              UNION ALL SELECT 'pg_proc'::regclass, unnest(o.routines)) AS m (class, oid)),
    members AS (SELECT e.classid AS c, e.objid AS o FROM ext e WHERE e.objid >= 16384 AND NOT e.ours),
    ns AS MATERIALIZED (             -- an extension's own schema may hold what others put there
      SELECT n.oid, n.nspname, n.nspowner, n.nspacl, EXISTS (SELECT FROM ext WHERE classid = 'pg_namespace'::regclass
                                                             AND objid = n.oid) AS brought,
             coalesce(n.oid = ANY ((SELECT s.spaces FROM scope s)::oid[]), true) AS inside FROM pg_namespace n
      WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrollback_archive')
        AND n.nspname <> ALL (coalesce(nullif(current_setting('migrollback.exclude_schemas', true), '')::text[], '{}'))
        -- where TimescaleDB keeps the chunks that it makes while rows come in
        AND NOT starts_with(n.nspname, '_timescaledb_')
        AND ((SELECT s.spaces FROM scope s) IS NULL OR n.oid = ANY ((SELECT s.spaces FROM scope s)::oid[])
             OR n.oid IN (SELECT w.space_id FROM near w))),
    needs AS MATERIALIZED (          -- DEPENDS ON EXTENSION
      SELECT d.classid, d.objid, jsonb_agg(DISTINCT x.extname) AS names FROM pg_depend d
        JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
      WHERE d.deptype = 'x' GROUP BY 1, 2),
    rel AS MATERIALIZED (
      SELECT c.oid, c.relname, c.relkind, c.relowner, c.relacl, c.relpersistence, c.reloptions, c.relrowsecurity,
             c.relforcerowsecurity, c.relreplident, c.relispartition, c.relam, c.reltablespace, c.reloftype,
             c.relpartbound, c.relispopulated, ns.nspname, ns.oid AS nspoid,
                 format('%I.%I', ns.nspname, c.relname) AS id
      FROM (SELECT a.* FROM pg_class a WHERE (SELECT s.spaces FROM scope s) IS NULL
            UNION ALL SELECT a.* FROM near w JOIN pg_class a ON w.c = 'pg_class'::regclass AND a.oid = w.o) c
        JOIN ns ON ns.oid = c.relnamespace
      WHERE c.relkind IN ('r','p','v','m','S','f','c')
        -- IN, which is hashed whatever the plan: here and below
        AND c.oid NOT IN (SELECT e.objid FROM ext e WHERE e.classid = 'pg_class'::regclass)),
    typ AS MATERIALIZED (
      SELECT t.*, ns.nspname, format('%I.%I', ns.nspname, t.typname) AS id
        FROM (SELECT a.* FROM pg_type a WHERE (SELECT s.spaces FROM scope s) IS NULL
              UNION ALL SELECT a.* FROM near w JOIN pg_type a ON w.c = 'pg_type'::regclass AND a.oid = w.o) t
        JOIN ns ON ns.oid = t.typnamespace
      WHERE (t.typtype IN ('e','d','r') OR (t.typtype = 'b' AND t.typelem = 0)
             OR (t.typtype = 'b' AND t.typsubscript::oid <> 'array_subscript_handler'::regproc)
             OR (t.typtype = 'p') OR (t.typtype = 'c' AND EXISTS (SELECT FROM rel
                 WHERE rel.oid = t.typrelid AND rel.relkind = 'c')))
        AND t.oid NOT IN (SELECT e.objid FROM ext e WHERE e.classid = 'pg_type'::regclass)),
    fn AS MATERIALIZED (
      SELECT p.*, ns.nspname, format('%I.%I(%s)', ns.nspname, p.proname,
                                     pg_get_function_identity_arguments(p.oid)) AS id
      FROM (SELECT a.* FROM pg_proc a WHERE (SELECT s.spaces FROM scope s) IS NULL
            UNION ALL SELECT a.* FROM near w JOIN pg_proc a ON w.c = 'pg_proc'::regclass AND a.oid = w.o) p
        JOIN ns ON ns.oid = p.pronamespace
      WHERE p.oid NOT IN (SELECT e.objid FROM ext e WHERE e.classid = 'pg_proc'::regclass)),
    described AS (                   -- comments, of a scope those of what is in it and of what is in no schema
      SELECT c.* FROM pg_description c WHERE (SELECT s.spaces FROM scope s) IS NULL
      UNION ALL SELECT c.* FROM migrollback_schema.described_in_scope() a
          JOIN pg_description c ON c.classoid = a.class_id AND c.objoid = a.object_id
          WHERE (TABLE scope) IS NOT NULL),
    obj(kind, identity, def) AS (
      SELECT 'schema', quote_ident(nspname), jsonb_build_object('owner', nspowner::regrole) FROM ns
        WHERE NOT brought AND inside
      -- relations ------------------------------------------------------------------------------------
      UNION ALL
      SELECT CASE r.relkind
                 WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                 WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
                 ELSE 'composite type' END,
             r.id,
             jsonb_strip_nulls(jsonb_build_object(
               'owner', r.relowner::regrole, 'persistence', r.relpersistence,
               -- the order in which they were set means nothing
               'options', CASE WHEN r.reloptions IS NOT NULL THEN (
                   SELECT jsonb_agg(x ORDER BY x) FROM unnest(r.reloptions) x WHERE NOT starts_with(x, 'pg_')) END,
               'am', (SELECT amname FROM pg_am WHERE oid = r.relam),
               'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = r.reltablespace),
               -- live columns in order: add+drop leaves no trace
               'columns', CASE WHEN r.relkind <> 'S' THEN cl.cols END,
               'of', CASE WHEN r.reloftype <> 0 THEN r.reloftype::regtype END,
               'rls', nullif(r.relrowsecurity, false), 'rls_forced', nullif(r.relforcerowsecurity, false),
               'replica_identity', CASE WHEN r.relkind IN ('r','p','m') THEN nullif(r.relreplident, 'd') END,
               'toast_options', CASE WHEN r.relkind IN ('r','m') THEN (
                   SELECT jsonb_agg(x ORDER BY x)
                   FROM pg_class t JOIN pg_class o ON o.reltoastrelid = t.oid, unnest(t.reloptions) x
                   WHERE o.oid = r.oid AND NOT starts_with(x, 'pg_')) END,
               'inherits', CASE WHEN r.relkind IN ('r','p','f') THEN (
                   SELECT jsonb_agg(i.inhparent::regclass ORDER BY i.inhseqno)
                   FROM pg_inherits i WHERE i.inhrelid = r.oid) END,
               'partition_key', CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
               'partition_bound', CASE WHEN r.relispartition THEN pg_get_expr(r.relpartbound, r.oid) END,
               'query', CASE WHEN r.relkind IN ('v','m') THEN pg_get_viewdef(r.oid) END,
               'depends_on_extension', CASE WHEN r.relkind = 'm' THEN (
                   SELECT n.names FROM needs n WHERE n.classid = 'pg_class'::regclass AND n.objid = r.oid) END,
               'foreign', CASE WHEN r.relkind = 'f' THEN (
                   SELECT jsonb_build_object('server', s.srvname, 'options', (
                       SELECT jsonb_agg(x ORDER BY x) FROM unnest(f.ftoptions) x))
                   FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = r.oid) END,
               'sequence', CASE WHEN r.relkind = 'S' THEN (
                   SELECT jsonb_build_object('type', format_type(s.seqtypid, NULL), 'start', s.seqstart,
                              'inc', s.seqincrement, 'max', s.seqmax, 'min', s.seqmin, 'cache', s.seqcache,
                              'cycle', s.seqcycle)
                   FROM pg_sequence s WHERE s.seqrelid = r.oid) END,
               'owned_by', CASE WHEN r.relkind = 'S' THEN (
                   SELECT d.refobjid::regclass || '.' || quote_ident(a.attname) || ' ' || d.deptype::text
                   FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                   WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
                     AND d.refobjsubid > 0 AND d.deptype IN ('a','i') LIMIT 1) END))
      FROM rel r
      LEFT JOIN (SELECT a.attrelid, jsonb_agg(a.attname ORDER BY a.attnum) AS cols
                 FROM rel x JOIN pg_attribute a ON a.attrelid = x.oid
                 WHERE a.attnum > 0 AND NOT a.attisdropped GROUP BY 1) cl ON cl.attrelid = r.oid
      UNION ALL
      SELECT 'column', r.id || '.' || quote_ident(a.attname),
             -- most columns are nothing but a type: said apart, because building and stripping the whole takes most of
             -- the time of a large schema
             CASE WHEN NOT a.attnotnull AND d.oid IS NULL AND a.attidentity = '' AND a.attgenerated = ''
                       AND a.attcollation = t.typcollation AND a.attstorage = t.typstorage
                       AND a.attcompression = '' AND coalesce(a.attstattarget, -1) < 0 AND a.attfdwoptions IS NULL
                       AND a.attinhcount = 0
                       AND (a.attoptions IS NULL OR NOT EXISTS (SELECT FROM unnest(a.attoptions) x
                                                                WHERE NOT starts_with(x, 'pg_')))
             THEN jsonb_build_object('type', format_type(a.atttypid, a.atttypmod))
             ELSE jsonb_strip_nulls(jsonb_build_object(
               'type', format_type(a.atttypid, a.atttypmod),
               'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation END,
               'notnull', nullif(a.attnotnull, false),
               'default', pg_get_expr(d.adbin, d.adrelid), 'identity', nullif(a.attidentity, ''),
               'generated', nullif(a.attgenerated, ''),
               'storage', CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END,
               'compression', nullif(a.attcompression, ''),
               'stats', CASE WHEN coalesce(a.attstattarget, -1) >= 0 THEN a.attstattarget END,
               'options', CASE WHEN a.attoptions IS NOT NULL THEN (SELECT jsonb_agg(x ORDER BY x)
                   FROM unnest(a.attoptions) x WHERE NOT starts_with(x, 'pg_')) END,
               'fdw', CASE WHEN a.attfdwoptions IS NOT NULL THEN (
                   SELECT jsonb_agg(x ORDER BY x) FROM unnest(a.attfdwoptions) x) END,
               'inherited', CASE WHEN a.attinhcount > 0 THEN NOT a.attislocal END)) END
      FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE r.relkind IN ('r','p','v','m','f','c')
      UNION ALL
      SELECT CASE WHEN k.contypid <> 0 THEN 'domain constraint' ELSE 'constraint' END,
             k.id || ' ' || quote_ident(k.conname),
             jsonb_strip_nulls(jsonb_build_object('def', pg_get_constraintdef(k.oid), 'validated', k.convalidated,
                                                  'local', k.conislocal,
                                                  'noinherit', CASE WHEN k.contype IN ('c','n')
                                                  THEN nullif(k.connoinherit, false) END))
      FROM (SELECT r.id, x.* FROM rel r JOIN pg_constraint x ON x.conrelid = r.oid
            UNION ALL SELECT y.id, x.* FROM typ y JOIN pg_constraint x ON x.contypid = y.oid) k
      WHERE k.contype <> 't'
      UNION ALL
      SELECT 'index', format('%I.%I', ns.nspname, ic.relname),
             jsonb_strip_nulls(jsonb_build_object('on', r.id, 'def', pg_get_indexdef(i.indexrelid),
                                                  'valid', i.indisvalid, 'clustered', nullif(i.indisclustered, false),
               'replident', nullif(i.indisreplident, false), 'tablespace', (SELECT spcname FROM pg_tablespace
                   WHERE oid = ic.reltablespace),
               'parent', (SELECT h.inhparent::regclass FROM pg_inherits h WHERE h.inhrelid = ic.oid),
               'constraint', quote_ident(kx.conname),
               'depends_on_extension', (SELECT n.names FROM needs n
                                        WHERE n.classid = 'pg_class'::regclass AND n.objid = ic.oid),
               'col_stats', (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum)
                             FROM pg_attribute a WHERE a.attrelid = ic.oid AND coalesce(a.attstattarget, -1) >= 0)))
      FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN ns ON ns.oid = ic.relnamespace
        JOIN rel r ON r.oid = i.indrelid
      LEFT JOIN (SELECT k.conindid, min(k.conname::text) AS conname FROM rel x
                 JOIN pg_constraint k ON k.conrelid = x.oid WHERE k.contype IN ('p','u','x')
                 GROUP BY 1) kx ON kx.conindid = ic.oid
      UNION ALL
      SELECT 'trigger', r.id || ' ' || quote_ident(g.tgname), jsonb_strip_nulls(jsonb_build_object(
                 'def', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled,
                 'depends_on_extension', (SELECT n.names FROM needs n
                                          WHERE n.classid = 'pg_trigger'::regclass AND n.objid = g.oid)))
      -- OFFSET 0, here and below: else the planner, which knows how rare such a row is, reads the whole catalog first
      FROM rel r CROSS JOIN LATERAL (SELECT * FROM pg_trigger x WHERE x.tgrelid = r.oid OFFSET 0) g
      WHERE NOT g.tgisinternal
      UNION ALL
      SELECT 'rule', r.id || ' ' || quote_ident(w.rulename), jsonb_build_object('def', pg_get_ruledef(w.oid),
          'enabled', w.ev_enabled)
      FROM pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE NOT (w.rulename = '_RETURN' AND r.relkind IN ('v','m'))
      UNION ALL
      SELECT 'policy', r.id || ' ' || quote_ident(p.polname),
             jsonb_strip_nulls(jsonb_build_object('cmd', p.polcmd, 'permissive', p.polpermissive,
                                                  'using', pg_get_expr(p.polqual, p.polrelid),
                                                  'check', pg_get_expr(p.polwithcheck, p.polrelid),
               'roles', (SELECT jsonb_agg(CASE WHEN x = 0 THEN 'public' ELSE x::regrole::text END
                                          ORDER BY CASE WHEN x = 0 THEN 'public' ELSE x::regrole::text END)
                                          FROM unnest(p.polroles) x)))
      FROM pg_policy p JOIN rel r ON r.oid = p.polrelid
      UNION ALL
      SELECT 'statistics', format('%I.%I', ns.nspname, s.stxname),
             jsonb_strip_nulls(jsonb_build_object('def', pg_get_statisticsobjdef(s.oid), 'owner', s.stxowner::regrole,
                                                  'target', CASE WHEN coalesce(s.stxstattarget,
                                                      -1) >= 0 THEN s.stxstattarget END))
      FROM pg_statistic_ext s JOIN ns ON ns.oid = s.stxnamespace JOIN rel r ON r.oid = s.stxrelid
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_statistic_ext'::regclass AND objid = s.oid)
      -- routines -------------------------------------------------------------------------------------
      UNION ALL
      SELECT CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, f.id,
             jsonb_strip_nulls(jsonb_build_object('owner', f.proowner::regrole,
               'def', CASE WHEN f.prokind <> 'a' THEN pg_get_functiondef(f.oid) END,
               'depends_on_extension', (SELECT n.names FROM needs n
                                        WHERE n.classid = 'pg_proc'::regclass AND n.objid = f.oid),
               'agg', CASE WHEN f.prokind = 'a'
                   THEN (SELECT to_jsonb(g) - 'aggfnoid' - 'aggtranstype' - 'aggmtranstype' - 'aggsortop'
                       || jsonb_build_object('ret', pg_get_function_result(f.oid),
                                             'args', pg_get_function_arguments(f.oid), 'stype', g.aggtranstype::regtype,
                                             'mstype', g.aggmtranstype::regtype, 'sortop', g.aggsortop::regoperator,
                                             'parallel', f.proparallel) FROM pg_aggregate g
                                             WHERE g.aggfnoid = f.oid) END))
      FROM fn f
      -- types ----------------------------------------------------------------------------------------
      UNION ALL
      SELECT CASE y.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' WHEN 'c' THEN 'row type'
             ELSE 'base type' END, y.id,
             jsonb_strip_nulls(jsonb_build_object('owner', y.typowner::regrole,
               'labels', CASE WHEN y.typtype = 'e' THEN (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)
                                                         FROM pg_enum e WHERE e.enumtypid = y.oid) END,
               'domain', CASE WHEN y.typtype = 'd' THEN jsonb_build_object('base', format_type(y.typbasetype,
                   y.typtypmod), 'notnull', y.typnotnull, 'default', pg_get_expr(y.typdefaultbin, 0),
                   'collation', y.typcollation::regcollation) END,
               'range', CASE WHEN y.typtype = 'r' THEN (SELECT jsonb_build_object('sub', g.rngsubtype::regtype,
                   'coll', g.rngcollation::regcollation, 'opc', (SELECT opcname FROM pg_opclass
                       WHERE oid = g.rngsubopc), 'canon', g.rngcanonical, 'diff', g.rngsubdiff,
                       'multirange', g.rngmultitypid::regtype) FROM pg_range g
                       WHERE g.rngtypid = y.oid) END,
               'base', CASE WHEN y.typtype = 'b' THEN jsonb_build_object('in', y.typinput, 'out', y.typoutput,
                   'recv', y.typreceive, 'send', y.typsend, 'len', y.typlen, 'align', y.typalign,
                   'storage', y.typstorage, 'cat', y.typcategory, 'pref', y.typispreferred, 'delim', y.typdelim,
                   'default', y.typdefault, 'byval', y.typbyval, 'element', CASE WHEN y.typelem <> 0
                       THEN y.typelem::regtype END, 'modin', CASE WHEN y.typmodin <> 0 THEN y.typmodin END,
                   'modout', CASE WHEN y.typmodout <> 0 THEN y.typmodout END,
                   'analyze', CASE WHEN y.typanalyze <> 0 THEN y.typanalyze END,
                   'subscript', CASE WHEN y.typsubscript <> 0 THEN y.typsubscript END,
                   'collatable', nullif(y.typcollation <> 0, false)) END))
      FROM typ y
      UNION ALL
      SELECT 'extension', quote_ident(o.extname), jsonb_build_object('version', o.extversion,
          'schema', o.extnamespace::regnamespace, 'config', (SELECT jsonb_agg(x::regclass ORDER BY x::regclass::text)
                                                             FROM unnest(o.extconfig) x)) FROM pg_extension o
      -- what few databases have
      UNION ALL
      SELECT o.kind, o.identity, o.definition FROM migrollback_schema.rare_schema_objects() o
      -- rights, comments, labels ----------------------------------------------------------------------
      UNION ALL
      SELECT 'grant', g.id, jsonb_build_object('acl', (SELECT jsonb_agg(e ORDER BY e)
                                                       FROM (SELECT format('%s %s%s by %s', CASE WHEN x.grantee = 0
                                                           THEN 'public' ELSE x.grantee::regrole::text END,
                                                           x.privilege_type, CASE WHEN x.is_grantable THEN ' *'
                                                           ELSE '' END, x.grantor::regrole) e
                                                           FROM aclexplode(g.acl) x) q))
             || CASE WHEN g.brought THEN jsonb_build_object('initial', (SELECT jsonb_agg(e ORDER BY e)
                 FROM (SELECT format('%s %s%s by %s', CASE WHEN x.grantee = 0 THEN 'public'
                                     ELSE x.grantee::regrole::text END, x.privilege_type,
                                     CASE WHEN x.is_grantable THEN ' *' ELSE '' END, x.grantor::regrole) e
                                     FROM aclexplode(nullif(g.dflt, '{}')) x) q)) ELSE '{}' END
      FROM (SELECT o.*, false FROM (
                      SELECT 'schema ' || quote_ident(nspname), nspacl, acldefault('n', nspowner) FROM ns
                          WHERE NOT brought AND inside
            UNION ALL SELECT 'relation ' || id, relacl, acldefault(CASE WHEN relkind = 'S' THEN 's'::"char"
                ELSE 'r'::"char" END, relowner) FROM rel
            UNION ALL SELECT 'column ' || r.id || '.' || quote_ident(a.attname), a.attacl, '{}'::aclitem[]
                FROM rel r CROSS JOIN LATERAL (SELECT * FROM pg_attribute x WHERE x.attrelid = r.oid OFFSET 0) a
                WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
            UNION ALL SELECT 'routine ' || id, proacl, acldefault('f', proowner) FROM fn
            UNION ALL SELECT 'type ' || id, typacl, acldefault('T', typowner) FROM typ
            UNION ALL SELECT 'language ' || quote_ident(lanname), lanacl, acldefault('l', lanowner) FROM pg_language
            UNION ALL SELECT 'server ' || quote_ident(srvname), srvacl, acldefault('S', srvowner) FROM pg_foreign_server
            UNION ALL SELECT 'fdw ' || quote_ident(fdwname), fdwacl, acldefault('F', fdwowner)
                FROM pg_foreign_data_wrapper
            UNION ALL SELECT 'database', datacl, acldefault('d', datdba) FROM pg_database
                WHERE datname = current_database()) o
            -- what PostgreSQL or an extension brought: as pg_dump, only what was granted or revoked since
            UNION ALL SELECT b.*, true FROM (
                      SELECT 'schema ' || quote_ident(n.nspname), n.nspacl,
                             coalesce(v.initprivs, acldefault('n', n.nspowner))
                      FROM pg_namespace n LEFT JOIN pg_init_privs v ON v.objoid = n.oid
                          AND v.classoid = 'pg_namespace'::regclass
                      WHERE n.nspname IN ('pg_catalog', 'information_schema') OR EXISTS (SELECT FROM ext e
                          WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid)
            UNION ALL SELECT format('relation %I.%I', n.nspname, c.relname), c.relacl,
                coalesce(v.initprivs, acldefault(CASE WHEN c.relkind = 'S' THEN 's'::"char"
                                                 ELSE 'r'::"char" END, c.relowner))
                      FROM (SELECT x.* FROM pg_class x WHERE x.oid < 16384
                UNION ALL SELECT x.* FROM members m JOIN pg_class x ON m.c = 'pg_class'::regclass AND x.oid = m.o) c
                        JOIN pg_namespace n ON n.oid = c.relnamespace
                        LEFT JOIN pg_init_privs v ON v.objoid = c.oid AND v.classoid = 'pg_class'::regclass
                        AND v.objsubid = 0
                      WHERE c.relacl IS NOT NULL
            UNION ALL SELECT format('column %I.%I.%I', n.nspname, c.relname, a.attname), a.attacl, coalesce(v.initprivs,
                '{}'::aclitem[])
                      FROM (SELECT x.* FROM pg_class x WHERE x.oid < 16384
                UNION ALL SELECT x.* FROM members m JOIN pg_class x ON m.c = 'pg_class'::regclass AND x.oid = m.o) c
                        CROSS JOIN LATERAL (SELECT * FROM pg_attribute x WHERE x.attrelid = c.oid OFFSET 0) a
                        JOIN pg_namespace n ON n.oid = c.relnamespace
                      LEFT JOIN pg_init_privs v ON v.objoid = c.oid AND v.classoid = 'pg_class'::regclass
                          AND v.objsubid = a.attnum
                      WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
            UNION ALL SELECT format('routine %I.%I(%s)', n.nspname, p.proname,
                                    pg_get_function_identity_arguments(p.oid)), p.proacl,
                                    coalesce(v.initprivs, acldefault('f', p.proowner))
                      FROM (SELECT x.* FROM pg_proc x WHERE x.oid < 16384
                UNION ALL SELECT x.* FROM members m JOIN pg_proc x ON m.c = 'pg_proc'::regclass AND x.oid = m.o) p
                        JOIN pg_namespace n ON n.oid = p.pronamespace
                        LEFT JOIN pg_init_privs v ON v.objoid = p.oid AND v.classoid = 'pg_proc'::regclass
                      WHERE p.proacl IS NOT NULL
            UNION ALL SELECT format('type %I.%I', n.nspname, t.typname), t.typacl,
                coalesce(v.initprivs, acldefault('T', t.typowner))
                      FROM (SELECT x.* FROM pg_type x WHERE x.oid < 16384
                UNION ALL SELECT x.* FROM members m JOIN pg_type x ON m.c = 'pg_type'::regclass AND x.oid = m.o) t
                        JOIN pg_namespace n ON n.oid = t.typnamespace
                        LEFT JOIN pg_init_privs v ON v.objoid = t.oid AND v.classoid = 'pg_type'::regclass
                      WHERE t.typacl IS NOT NULL) b) g(id, acl, dflt, brought)
      -- an ACL that only spells out the default is no grant
      WHERE g.acl IS NOT NULL AND NOT (g.acl @> g.dflt AND g.acl <@ g.dflt)
      UNION ALL
      SELECT 'default grant', format('%s in %s on %s', d.defaclrole::regrole, CASE WHEN d.defaclnamespace = 0 THEN '*'
                                     ELSE d.defaclnamespace::regnamespace::text END, d.defaclobjtype),
             jsonb_build_object('acl', (SELECT jsonb_agg(e ORDER BY e)
                                        FROM (SELECT format('%s %s%s by %s', CASE WHEN x.grantee = 0 THEN 'public'
                                                            ELSE x.grantee::regrole::text END, x.privilege_type,
                                                            CASE WHEN x.is_grantable THEN ' *'
                                                                 ELSE '' END, x.grantor::regrole) e
                                                                 FROM aclexplode(d.defaclacl) x) q))
        FROM pg_default_acl d WHERE (TABLE scope) IS NULL OR d.defaclnamespace = ANY (0::oid || (TABLE scope))
      UNION ALL
      SELECT 'comment', i.type || ' ' || i.identity, jsonb_build_object('text', c.description)
      FROM described c CROSS JOIN LATERAL pg_identify_object(c.classoid, c.objoid, c.objsubid) i
      WHERE c.objoid >= 16384
        -- IN, which is hashed: an extension has hundreds of members, we have hundreds of functions
        AND (c.classoid, c.objoid) NOT IN (SELECT e.classid, e.objid FROM ext e)
        AND (i.schema IS NULL OR i.schema IN (SELECT quote_ident(nspname) FROM ns))
        AND CASE c.classoid
            WHEN 'pg_class'::regclass THEN EXISTS (SELECT FROM rel WHERE rel.oid = c.objoid) OR EXISTS (SELECT
                FROM pg_index x JOIN rel ON rel.oid = x.indrelid WHERE x.indexrelid = c.objoid)
            WHEN 'pg_constraint'::regclass THEN EXISTS (
                SELECT FROM pg_constraint k WHERE k.oid = c.objoid AND (
                    EXISTS (SELECT FROM rel WHERE rel.oid = k.conrelid)
                    OR EXISTS (SELECT FROM typ WHERE typ.oid = k.contypid)))
            WHEN 'pg_trigger'::regclass THEN EXISTS (
                SELECT FROM pg_trigger g JOIN rel ON rel.oid = g.tgrelid WHERE g.oid = c.objoid)
            WHEN 'pg_rewrite'::regclass THEN EXISTS (
                SELECT FROM pg_rewrite w JOIN rel ON rel.oid = w.ev_class WHERE w.oid = c.objoid)
            WHEN 'pg_policy'::regclass THEN EXISTS (
                SELECT FROM pg_policy p JOIN rel ON rel.oid = p.polrelid WHERE p.oid = c.objoid)
            WHEN 'pg_statistic_ext'::regclass THEN EXISTS (
                SELECT FROM pg_statistic_ext s JOIN rel ON rel.oid = s.stxrelid WHERE s.oid = c.objoid)
            ELSE true END
      UNION ALL
      SELECT 'comment', 'schema public', jsonb_build_object('text', obj_description(oid, 'pg_namespace')) FROM ns
        WHERE oid = 2200 AND obj_description(oid, 'pg_namespace') IS NOT NULL
      UNION ALL
      SELECT 'security label', s.objtype || ' ' || s.objname, jsonb_build_object('p', s.provider, 'l', s.label)
        FROM pg_seclabels s WHERE s.objtype NOT IN ('role','database','tablespace','large object') AND s.objoid >= 16384
      -- one row each, so that a change of one does not show the others; of an application's own
      -- (app.settings.jwt_secret ...) only enough to see a change
      UNION ALL
      SELECT 'setting', format('%s of role %s', split_part(c.setting, '=', 1), CASE WHEN s.setrole = 0 THEN '*'
                               ELSE s.setrole::regrole::text END),
             jsonb_build_object('value', CASE WHEN split_part(c.setting, '=', 1) LIKE '%.%' THEN 'md5 ' ||
                                left(md5(c.setting), 8) ELSE substr(c.setting, strpos(c.setting, '=') + 1) END)
      FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
        WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT kind, identity, def AS definition FROM obj ORDER BY kind, identity;
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_objects() IS
    'One row for each schema object of this database: kind, identity, definition. Extension members and this '
    'system''s own objects are left out, and so are the connections of subscriptions, which hold passwords, and what '
    'all databases share (roles, tablespaces). Of what PostgreSQL or an extension brought, only rights that were '
    'granted or revoked since. An application''s own settings of the database and the options of user mappings show '
    'as a hash, and an option that looks like a secret only as being there. Does not write.';
