-- ---------------------------------------------------------------------------------------------------
-- Ownership: which migration created, changed or dropped which object.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.newest_catalog_oid() RETURNS oid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (SELECT greatest(16383::oid, (SELECT max(c.oid) FROM pg_class c), (SELECT max(p.oid) FROM pg_proc p),
                              (SELECT max(k.oid) FROM pg_constraint k),
                              (SELECT max(t.oid) FROM pg_type t), (SELECT max(g.oid) FROM pg_trigger g),
                                  (SELECT max(w.oid) FROM pg_rewrite w),
                              (SELECT max(y.oid) FROM pg_policy y), (SELECT max(n.oid) FROM pg_namespace n),
                                  (SELECT max(d.oid) FROM pg_attrdef d)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.newest_catalog_oid() IS
    'The highest oid of the schema objects that there are: what is made from now on lies above it, until oids begin '
    'anew. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.mark_migration_objects(
    OUT since oid, OUT counts bigint[], OUT written jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    since := migrollback_schema.newest_catalog_oid();
    counts := migrollback_schema.catalog_row_counts();
    -- inside the caller's own transaction: what it did before is not the migration's
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        written := (SELECT jsonb_agg(jsonb_build_array(w.class_id, w.object_id, w.column_number, w.version::text))
                      FROM migrollback_schema.migration_catalog_writes(16383::oid, NULL::bigint[], true) w);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.mark_migration_objects() IS
    'To be called before the SQL of a migration runs; record_migration_objects() takes what it returns. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_migration_objects(
    name text, since oid, counts bigint[], written jsonb DEFAULT NULL, may_grant boolean DEFAULT true)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full; each is made once
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    recorded bigint;
BEGIN
    DELETE FROM migrollback_schema.migration_objects o WHERE o.migration_name = record_migration_objects.name;
    INSERT INTO migrollback_schema.migration_objects (migration_name, action, kind, identity, class_id, object_id,
                                                      column_number, recorded_in, table_identity)
    SELECT record_migration_objects.name, w.action, w.kind, w.identity, w.class_id, w.object_id, w.column_number,
           ('migrollback_schema' || '.migration_objects')::regclass,
           CASE WHEN w.kind IN ('index', 'statistics', 'sequence', 'comment')
                THEN migrollback_schema.table_of_object(w.kind, w.identity, w.class_id, w.object_id) END
      FROM migrollback_schema.migration_catalog_writes(since, counts, may_grant) w
     WHERE (w.identity <> 'migrollback_archive' AND w.identity !~ 'migrollback_archive\.')
       AND (written IS NULL
       OR NOT written @> jsonb_build_array(jsonb_build_array(w.class_id, w.object_id, w.column_number,
                                                             w.version::text)));
    GET DIAGNOSTICS recorded = ROW_COUNT;
    -- A column that changes its type has its indexes and constraints built anew: they are still the work of their
    -- creator.
    IF EXISTS (SELECT FROM migrollback_schema.migration_objects o WHERE o.migration_name = record_migration_objects.name
               AND o.action = 'dropped' AND o.kind IN ('index', 'constraint')) THEN
        WITH rebuilt AS (
            DELETE FROM migrollback_schema.migration_objects o WHERE o.migration_name = record_migration_objects.name
                AND o.action = 'dropped' AND o.kind IN ('index', 'constraint')
               AND EXISTS (SELECT FROM migrollback_schema.migration_objects n
                           WHERE n.migration_name = record_migration_objects.name
                              AND n.action = 'created' AND n.kind = o.kind AND n.identity = o.identity)
                                  RETURNING o.kind, o.identity)
        UPDATE migrollback_schema.migration_objects o SET action = 'changed' FROM rebuilt r
         WHERE o.migration_name = record_migration_objects.name AND o.action = 'created' AND o.kind = r.kind
           AND o.identity = r.identity;
    END IF;
    RETURN recorded;
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_migration_objects(text, oid, bigint[], jsonb, boolean) IS
    'Writes: keeps what this transaction created, changed and dropped as the work of a migration, in place of what '
    'was kept of it before. since, counts, written: from mark_migration_objects(); may_grant: statements_may_grant(). '
    'Returns how many objects.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_object_addresses()
RETURNS TABLE (kind text, identity text, class_id oid, object_id oid, column_number int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH space AS MATERIALIZED (
        SELECT n.oid, quote_ident(n.nspname) AS id FROM pg_namespace n
          WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrollback_archive')),
    relation AS MATERIALIZED (
        SELECT c.oid, c.relkind, s.id || '.' || quote_ident(c.relname) AS id FROM pg_class c
          JOIN space s ON s.oid = c.relnamespace WHERE c.relkind <> 't')
    SELECT CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
           WHEN 'm' THEN 'materialized view'
                WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type'
                ELSE 'index' END, r.id, 'pg_class'::regclass::oid, r.oid, 0 FROM relation r
    UNION ALL SELECT 'column', r.id || '.' || quote_ident(a.attname), 'pg_class'::regclass, r.oid, a.attnum
      FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
    UNION ALL SELECT 'constraint', r.id || ' ' || quote_ident(k.conname), 'pg_constraint'::regclass, k.oid, 0
        FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid WHERE k.contype <> 't'
    UNION ALL SELECT 'domain constraint', s.id || '.' || quote_ident(t.typname) || ' ' || quote_ident(k.conname),
        'pg_constraint'::regclass, k.oid, 0
      FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN space s ON s.oid = t.typnamespace
    UNION ALL SELECT 'trigger', r.id || ' ' || quote_ident(g.tgname), 'pg_trigger'::regclass, g.oid, 0 FROM pg_trigger g
        JOIN relation r ON r.oid = g.tgrelid WHERE NOT g.tgisinternal
    UNION ALL SELECT 'rule', r.id || ' ' || quote_ident(w.rulename), 'pg_rewrite'::regclass, w.oid, 0 FROM pg_rewrite w
        JOIN relation r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
    UNION ALL SELECT 'policy', r.id || ' ' || quote_ident(y.polname), 'pg_policy'::regclass, y.oid, 0 FROM pg_policy y
        JOIN relation r ON r.oid = y.polrelid
    UNION ALL SELECT CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
                     s.id || '.' || quote_ident(f.proname) || '(' || pg_get_function_identity_arguments(f.oid) || ')',
                         'pg_proc'::regclass, f.oid, 0
      FROM pg_proc f JOIN space s ON s.oid = f.pronamespace
    UNION ALL SELECT CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range'
        ELSE 'base type' END, s.id || '.' || quote_ident(t.typname), 'pg_type'::regclass, t.oid, 0
      FROM pg_type t JOIN space s ON s.oid = t.typnamespace
     WHERE t.typtype IN ('e', 'd', 'r', 'p') OR t.typtype = 'b'
       AND t.typsubscript::oid <> 'array_subscript_handler'::regproc
    UNION ALL SELECT CASE i.type WHEN 'statistics object' THEN 'statistics'
        WHEN 'text search parser' THEN 'text search parser/template'
                          WHEN 'text search template' THEN 'text search parser/template'
                          WHEN 'foreign-data wrapper' THEN 'foreign data wrapper' ELSE i.type END,
                     i.identity, o.class, o.oid, 0
      FROM (SELECT 'pg_namespace'::regclass::oid, s.oid FROM space s
            UNION ALL SELECT 'pg_extension'::regclass, x.oid FROM pg_extension x
                UNION ALL SELECT 'pg_statistic_ext'::regclass, x.oid FROM pg_statistic_ext x
            UNION ALL SELECT 'pg_collation'::regclass, x.oid FROM pg_collation x
                UNION ALL SELECT 'pg_operator'::regclass, x.oid FROM pg_operator x
            UNION ALL SELECT 'pg_opclass'::regclass, x.oid FROM pg_opclass x
                UNION ALL SELECT 'pg_opfamily'::regclass, x.oid FROM pg_opfamily x
            UNION ALL SELECT 'pg_cast'::regclass, x.oid FROM pg_cast x UNION ALL SELECT 'pg_conversion'::regclass, x.oid
                FROM pg_conversion x
            UNION ALL SELECT 'pg_ts_config'::regclass, x.oid FROM pg_ts_config x
                UNION ALL SELECT 'pg_ts_dict'::regclass, x.oid FROM pg_ts_dict x
            UNION ALL SELECT 'pg_ts_parser'::regclass, x.oid FROM pg_ts_parser x
                UNION ALL SELECT 'pg_ts_template'::regclass, x.oid FROM pg_ts_template x
            UNION ALL SELECT 'pg_transform'::regclass, x.oid FROM pg_transform x
                UNION ALL SELECT 'pg_language'::regclass, x.oid FROM pg_language x
            UNION ALL SELECT 'pg_am'::regclass, x.oid FROM pg_am x UNION ALL SELECT 'pg_event_trigger'::regclass, x.oid
                FROM pg_event_trigger x
            UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, x.oid FROM pg_foreign_data_wrapper x
                UNION ALL SELECT 'pg_foreign_server'::regclass, x.oid FROM pg_foreign_server x
            UNION ALL SELECT 'pg_publication'::regclass, x.oid FROM pg_publication x) o (class, oid)
      CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i
        WHERE o.oid >= 16384 OR o.class = 'pg_namespace'::regclass AND o.oid = 2200
    UNION ALL SELECT 'default grant', format('%s in %s on %s', d.defaclrole::regrole,
                     CASE WHEN d.defaclnamespace = 0 THEN '*' ELSE d.defaclnamespace::regnamespace::text END,
                     d.defaclobjtype), 'pg_default_acl'::regclass, d.oid, 0
      FROM pg_default_acl d
$function$;
COMMENT ON FUNCTION migrollback_schema.schema_object_addresses() IS
    'Kind and identity of the schema objects, as in schema_objects(), with their addresses, as in pg_depend. Members '
    'of extensions are among them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_object_history()
RETURNS TABLE (migration_name text, place bigint, action text, kind text, identity text, source text, class_id oid,
               object_id oid, column_number int,
               now_kind text, now_identity text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH placed AS MATERIALIZED (
        SELECT h.migration_name, row_number() OVER (ORDER BY h.applied_at, h.migration_name COLLATE "C") AS place
        FROM migrollback_schema.migration_history h WHERE h.status <> 'rolled_back'),
    there AS MATERIALIZED (SELECT * FROM migrollback_schema.schema_object_addresses()),
    recorded AS MATERIALIZED (
        SELECT p.migration_name, p.place, o.action, o.kind, o.identity, o.source, o.object_id, o.column_number,
               CASE WHEN o.recorded_in = ('migrollback_schema' || '.migration_objects')::regclass
                    THEN o.class_id END AS class_id
        FROM migrollback_schema.migration_objects o JOIN placed p ON p.migration_name = o.migration_name)
    -- By its address, for a later migration may have renamed it; by its name where the address is none any more: after
    -- a restore from a dump, or where a rollback created it anew.
    SELECT r.migration_name, r.place, r.action, r.kind, r.identity, r.source,
           coalesce(a.class_id, n.class_id, r.class_id),
           CASE WHEN coalesce(a.class_id, n.class_id, r.class_id) IS NOT NULL THEN coalesce(a.object_id, n.object_id,
               r.object_id) END,
           coalesce(a.column_number, n.column_number, r.column_number), coalesce(a.kind, n.kind),
               coalesce(a.identity, n.identity)
    FROM recorded r
    LEFT JOIN there a ON a.class_id = r.class_id AND a.object_id = r.object_id AND a.column_number = r.column_number
    LEFT JOIN there n ON a.class_id IS NULL AND n.identity = r.identity AND n.kind = r.kind
          AND NOT (r.action <> 'created' AND r.class_id IS NOT NULL)
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_object_history() IS
    'What the applied migrations did to which object, in order (place), with its present address and name; now_kind '
    'is NULL for what is no more. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_object_creators()
RETURNS TABLE (kind text, identity text, migration_name text, source text, class_id oid, object_id oid,
               column_number int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT DISTINCT ON (o.now_kind, o.now_identity) o.now_kind, o.now_identity, o.migration_name, o.source, o.class_id,
           o.object_id, o.column_number
    FROM migrollback_schema.migration_object_history() o
    WHERE o.action = 'created' AND o.now_kind IS NOT NULL
    ORDER BY o.now_kind, o.now_identity, o.place DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_object_creators() IS
    'Which applied migration created which object that is there, by kind and identity as in schema_objects(). Does '
    'not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_owners(kind text, identity text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET jit = off AS $function$
DECLARE
    -- schema, relation or routine, column; other kinds have other forms and are known by name only
    names    text[] := CASE WHEN kind IN ('table', 'partitioned table', 'view', 'materialized view', 'sequence',
                                          'foreign table', 'composite type', 'index', 'column', 'constraint',
                                          'trigger', 'policy', 'rule', 'function', 'procedure', 'aggregate', 'enum',
                                          'domain', 'range', 'base type')
                            THEN parse_ident(identity, strict => false) END;
    relation oid    := to_regclass(quote_ident(names[1]) || '.' || quote_ident(names[2]));
    class    oid;
    object   oid;
    number   int    := 0;
    found_in text[];
BEGIN
    -- By its address, which outlives a change of its name or of its owner.
    CASE kind
        WHEN 'column' THEN
            SELECT 'pg_class'::regclass, a.attrelid, a.attnum INTO class, object, number FROM pg_attribute a
             WHERE a.attrelid = relation AND a.attname = names[3] AND NOT a.attisdropped;
        WHEN 'constraint' THEN
            SELECT 'pg_constraint'::regclass, k.oid INTO class, object FROM pg_constraint k
             WHERE k.conrelid = relation AND quote_ident(names[1]) || '.' || quote_ident(names[2]) || ' '
                 || quote_ident(k.conname) = identity;
        WHEN 'trigger' THEN
            SELECT 'pg_trigger'::regclass, g.oid INTO class, object FROM pg_trigger g
             WHERE g.tgrelid = relation AND quote_ident(names[1]) || '.' || quote_ident(names[2]) || ' '
                 || quote_ident(g.tgname) = identity;
        WHEN 'policy' THEN
            SELECT 'pg_policy'::regclass, y.oid INTO class, object FROM pg_policy y
             WHERE y.polrelid = relation AND quote_ident(names[1]) || '.' || quote_ident(names[2]) || ' '
                 || quote_ident(y.polname) = identity;
        WHEN 'rule' THEN
            SELECT 'pg_rewrite'::regclass, w.oid INTO class, object FROM pg_rewrite w
             WHERE w.ev_class = relation AND quote_ident(names[1]) || '.' || quote_ident(names[2]) || ' '
                 || quote_ident(w.rulename) = identity;
        WHEN 'function', 'procedure', 'aggregate' THEN
            SELECT 'pg_proc'::regclass, f.oid INTO class, object FROM pg_proc f
              JOIN pg_namespace n ON n.oid = f.pronamespace
             WHERE f.proname = names[2] AND n.nspname = names[1]
               AND quote_ident(n.nspname) || '.' || quote_ident(f.proname) || '('
                   || pg_get_function_identity_arguments(f.oid) || ')' = identity;
        WHEN 'enum', 'domain', 'range', 'base type' THEN
            SELECT 'pg_type'::regclass, t.oid INTO class, object FROM pg_type t
              JOIN pg_namespace n ON n.oid = t.typnamespace
             WHERE t.typname = names[2] AND n.nspname = names[1];
        ELSE
            SELECT 'pg_class'::regclass, relation INTO class, object WHERE relation IS NOT NULL;
    END CASE;
    IF object IS NOT NULL THEN
        SELECT array_agg(o.migration_name ORDER BY o.applied_at, o.migration_name COLLATE "C") INTO found_in
          FROM (SELECT DISTINCT h.migration_name, h.applied_at FROM migrollback_schema.migration_objects r
                  JOIN migrollback_schema.migration_history h ON h.migration_name = r.migration_name
                      AND h.status <> 'rolled_back'
                 WHERE r.object_id = object AND r.class_id = class AND r.column_number = number
                   AND r.action <> 'dropped'
                   AND r.recorded_in = ('migrollback_schema' || '.migration_objects')::regclass) o;
    END IF;
    IF found_in IS NULL THEN            -- known by name only
        SELECT array_agg(o.migration_name ORDER BY o.applied_at, o.migration_name COLLATE "C") INTO found_in
          FROM (SELECT DISTINCT h.migration_name, h.applied_at FROM migrollback_schema.migration_objects r
                  JOIN migrollback_schema.migration_history h ON h.migration_name = r.migration_name
                      AND h.status <> 'rolled_back'
                 WHERE r.identity = migration_owners.identity AND r.kind = migration_owners.kind
                   AND r.action <> 'dropped') o;
    END IF;
    RETURN found_in;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_owners(text, text) IS
    'Which applied migrations created or changed this object, in the order in which they were applied; NULL when '
    'nothing is recorded of it. kind, identity: as schema_objects() gives them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_parsed_objects(objects jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    recorded bigint;
BEGIN
    DELETE FROM migrollback_schema.migration_objects o
      WHERE o.source = 'parsed' AND o.migration_name IN (SELECT e ->> 'migration_name'
                                                         FROM jsonb_array_elements(objects) e);
    INSERT INTO migrollback_schema.migration_objects (migration_name, action, kind, identity, class_id, object_id,
                                                      column_number, source, recorded_in, table_identity)
    SELECT DISTINCT ON (n.migration_name, n.identity, coalesce(a.kind, n.kind)) n.migration_name,
           n.action, coalesce(a.kind, n.kind), n.identity, a.class_id, a.object_id,
           coalesce(a.column_number, 0), 'parsed', ('migrollback_schema' || '.migration_objects')::regclass,
           CASE WHEN n.kind IN ('index', 'statistics', 'sequence', 'comment')
                THEN migrollback_schema.table_of_object(n.kind, n.identity, a.class_id, a.object_id) END
      FROM (SELECT e.migration_name, e.kind, coalesce(e.action, 'created') AS action,
                   CASE WHEN e.kind IN ('schema', 'extension') THEN quote_ident(e.name)
                        WHEN e.kind IN ('function', 'procedure', 'aggregate') THEN coalesce(
                             (SELECT min(quote_ident(s.nspname) || '.' || quote_ident(f.proname) || '('
                                         || pg_get_function_identity_arguments(f.oid) || ')')
                                FROM pg_proc f JOIN pg_namespace s ON s.oid = f.pronamespace
                               WHERE s.nspname = e.schema AND f.proname = e.name AND f.pronargs = e.argument_count
                                 HAVING count(*) = 1),
                             format('%I.%I(%s)', e.schema, e.name, e.arguments))
                        WHEN e.part IS NULL THEN quote_ident(e.schema) || '.' || quote_ident(e.name)
                        WHEN e.kind = 'column' THEN quote_ident(e.schema) || '.' || quote_ident(e.name) || '.'
                            || quote_ident(e.part)
                        ELSE quote_ident(e.schema) || '.' || quote_ident(e.name) || ' '
                            || quote_ident(e.part) END AS identity
              FROM jsonb_to_recordset(objects) AS e (migration_name text, action text, kind text, schema text,
                                                     name text, part text, arguments text, argument_count int)
             WHERE NOT EXISTS (SELECT FROM migrollback_schema.migration_objects o
                               WHERE o.migration_name = e.migration_name AND o.source = 'apply')) n
      LEFT JOIN migrollback_schema.schema_object_addresses() a ON a.identity = n.identity
            AND (a.kind = n.kind OR n.kind IN ('table', 'partitioned table', 'view', 'materialized view')
                 AND a.kind IN ('table', 'partitioned table', 'view', 'materialized view'))
     WHERE n.identity IS NOT NULL ORDER BY n.migration_name, n.identity, coalesce(a.kind, n.kind), n.action DESC;
    GET DIAGNOSTICS recorded = ROW_COUNT;
    RETURN recorded;
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_parsed_objects(jsonb) IS
    'Writes: keeps what the SQL of files says that migrations created, where nothing was recorded while they were '
    'applied. objects: an array of objects (migration_name, action, kind, schema, name, part, arguments, '
    'argument_count); action: created, or changed (renamed too). '
    'Returns how many were kept.';
