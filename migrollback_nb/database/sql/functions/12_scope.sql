-- ---------------------------------------------------------------------------------------------------
-- What is looked at in a scope: its schemas, and what these depend on.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_scope() RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- most have none, and who may only call functions looks at the whole database
    IF coalesce(current_setting('migrollback.scope', true), '') = ''
       OR NOT has_table_privilege('migrollback_schema' || '.migration_scopes', 'SELECT') THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT s.schemas FROM migrollback_schema.migration_scopes s
             WHERE s.scope = current_setting('migrollback.scope', true));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_scope() IS
    'The schemas of this session''s scope; NULL: it has none, and looks at the whole database. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_scope_spaces() RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    names constant text[] := migrollback_schema.migration_scope();
BEGIN
    IF names IS NULL THEN
        RETURN NULL;
    END IF;
    -- one that is gone is none: what was in it shows as dropped
    RETURN ARRAY(SELECT n.oid FROM pg_namespace n WHERE n.nspname = ANY (names));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_scope_spaces() IS
    'The oids of the schemas of migration_scope(), those that are there; NULL: all. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.plan_for_scope() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- a small part of large catalogs is read by index alone, so that it grows with the scope and not with the database
    IF migrollback_schema.migration_scope() IS NOT NULL THEN
        PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
                set_config('enable_mergejoin', 'off', true);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.plan_for_scope() IS
    'To be called by a function that sets enable_seqscan, enable_hashjoin and enable_mergejoin itself: in a scope, '
    'plans use indexes from then on, until that function ends. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_scope_objects()
RETURNS TABLE (class_id oid, object_id oid, space_id oid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- by index alone, so that it grows with the scope and not with the database
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off AS $function$
DECLARE
    spaces   constant oid[] := migrollback_schema.migration_scope_spaces();
    ours     record;
    classes  oid[];
    objects  oid[];
    new_classes oid[];
    new_objects oid[];
BEGIN
    IF spaces IS NULL THEN
        RETURN;
    END IF;
    ours := migrollback_schema.migration_system_objects();
    SELECT array_agg(m.class), array_agg(m.oid) INTO new_classes, new_objects
      FROM (SELECT d.classid AS class, d.objid AS oid FROM pg_depend d
             WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = ANY (spaces)
               AND NOT (d.classid = 'pg_class'::regclass AND d.objid = ANY (ours.tables))
               AND NOT (d.classid = 'pg_proc'::regclass AND d.objid = ANY (ours.routines))
            UNION
            -- outside of it, what our own migrations have created or changed, and what a snapshot held before
            SELECT o.class, o.oid
              FROM (SELECT DISTINCT r.class_id, r.object_id FROM migrollback_schema.migration_objects r
                     WHERE r.recorded_in = ('migrollback_schema' || '.migration_objects')::regclass
                       AND r.object_id >= 16384
                    UNION SELECT s.class_id, s.object_id FROM migrollback_schema.migration_scope_members s
                     WHERE s.recorded_in = ('migrollback_schema' || '.migration_scope_members')::regclass) w
             CROSS JOIN LATERAL (
                   SELECT w.class_id AS class, c.oid FROM pg_class c
                    WHERE w.class_id = 'pg_class'::regclass AND c.oid = w.object_id
                   UNION ALL SELECT w.class_id, t.oid FROM pg_type t
                    WHERE w.class_id = 'pg_type'::regclass AND t.oid = w.object_id
                   UNION ALL SELECT w.class_id, f.oid FROM pg_proc f
                    WHERE w.class_id = 'pg_proc'::regclass AND f.oid = w.object_id
                   UNION ALL SELECT 'pg_class'::regclass, k.conrelid FROM pg_constraint k
                    WHERE w.class_id = 'pg_constraint'::regclass AND k.oid = w.object_id AND k.conrelid <> 0
                   UNION ALL SELECT 'pg_class'::regclass, g.tgrelid FROM pg_trigger g
                    WHERE w.class_id = 'pg_trigger'::regclass AND g.oid = w.object_id
                   UNION ALL SELECT 'pg_class'::regclass, y.polrelid FROM pg_policy y
                    WHERE w.class_id = 'pg_policy'::regclass AND y.oid = w.object_id
                   UNION ALL SELECT 'pg_class'::regclass, e.ev_class FROM pg_rewrite e
                    WHERE w.class_id = 'pg_rewrite'::regclass AND e.oid = w.object_id) o) m;
    WHILE new_objects IS NOT NULL LOOP
        classes := classes || new_classes;
        objects := objects || new_objects;
        -- what these and their parts depend on, step by step
        SELECT array_agg(n.class), array_agg(n.oid) INTO new_classes, new_objects
          FROM (WITH known AS (SELECT k.class, k.oid FROM unnest(new_classes, new_objects) AS k (class, oid)),
                relation AS (SELECT k.oid FROM known k WHERE k.class = 'pg_class'::regclass),
                part (class, oid) AS MATERIALIZED (
                    SELECT k.class, k.oid FROM known k
                    -- OFFSET: from what is known to the catalog's index; where no statistics are, as in a database that
                    -- is new, the catalog would be read first, and all that is known compared with each of its rows
                    UNION ALL SELECT 'pg_constraint'::regclass, x.oid FROM relation r CROSS JOIN LATERAL (
                        SELECT c.oid FROM pg_constraint c WHERE c.conrelid = r.oid OFFSET 0) x
                    UNION ALL SELECT 'pg_constraint'::regclass, x.oid FROM known k CROSS JOIN LATERAL (
                        SELECT c.oid FROM pg_constraint c WHERE c.contypid = k.oid OFFSET 0) x
                        WHERE k.class = 'pg_type'::regclass
                    UNION ALL SELECT 'pg_attrdef'::regclass, x.oid FROM relation r CROSS JOIN LATERAL (
                        SELECT c.oid FROM pg_attrdef c WHERE c.adrelid = r.oid OFFSET 0) x
                    UNION ALL SELECT 'pg_rewrite'::regclass, x.oid FROM relation r CROSS JOIN LATERAL (
                        SELECT c.oid FROM pg_rewrite c WHERE c.ev_class = r.oid OFFSET 0) x
                    UNION ALL SELECT 'pg_trigger'::regclass, x.oid FROM relation r CROSS JOIN LATERAL (
                        SELECT c.oid FROM pg_trigger c WHERE c.tgrelid = r.oid AND NOT c.tgisinternal OFFSET 0) x
                    UNION ALL SELECT 'pg_policy'::regclass, x.oid FROM relation r CROSS JOIN LATERAL (
                        SELECT c.oid FROM pg_policy c WHERE c.polrelid = r.oid OFFSET 0) x
                    UNION ALL SELECT 'pg_class'::regclass, x.oid FROM relation r CROSS JOIN LATERAL (
                        SELECT c.indexrelid AS oid FROM pg_index c WHERE c.indrelid = r.oid OFFSET 0) x)
                SELECT d.class, d.oid FROM part p CROSS JOIN LATERAL (
                    SELECT e.refclassid AS class, e.refobjid AS oid FROM pg_depend e
                     WHERE e.classid = p.class AND e.objid = p.oid
                       AND e.refclassid IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass)
                       AND e.refobjid >= 16384 OFFSET 0) d
                EXCEPT SELECT k.class, k.oid FROM unnest(classes, objects) AS k (class, oid)
                -- of an extension the extension is described, and not its members
                EXCEPT SELECT e.classid, e.objid FROM pg_depend e
                        WHERE e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e') n;
    END LOOP;
    RETURN QUERY
    WITH known AS (
        SELECT k.class, k.oid FROM unnest(classes, objects) AS k (class, oid)
        -- of a composite type the relation depends on the type
        UNION SELECT 'pg_class'::regclass::oid, t.typrelid FROM unnest(classes, objects) AS k (class, oid)
            JOIN pg_type t ON k.class = 'pg_type'::regclass AND t.oid = k.oid AND t.typtype = 'c')
    SELECT k.class, k.oid, coalesce(c.relnamespace, t.typnamespace, f.pronamespace)
      FROM known k
      LEFT JOIN pg_class c ON k.class = 'pg_class'::regclass AND c.oid = k.oid
      LEFT JOIN pg_type t ON k.class = 'pg_type'::regclass AND t.oid = k.oid
      LEFT JOIN pg_proc f ON k.class = 'pg_proc'::regclass AND f.oid = k.oid;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_scope_objects() IS
    'Addresses, as in pg_depend, of what is in the schemas of migration_scope(), of the relations, types and routines '
    'that these depend on, step by step, and of those outside that migrations of this history have written or that '
    'remember_scope_objects() has kept. Parts of relations are not among them. space_id: the schema of relations, '
    'types and routines. Nothing where there is no limit. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.remember_scope_objects() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    spaces constant oid[] := migrollback_schema.migration_scope_spaces();
BEGIN
    IF spaces IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO migrollback_schema.migration_scope_members (class_id, object_id, recorded_in)
    SELECT o.class_id, o.object_id, ('migrollback_schema' || '.migration_scope_members')::regclass
      FROM migrollback_schema.migration_scope_objects() o WHERE o.space_id <> ALL (spaces)
        ON CONFLICT DO NOTHING;
END $function$;
COMMENT ON FUNCTION migrollback_schema.remember_scope_objects() IS
    'Writes: keeps what of migration_scope_objects() lies outside of the scope. When nothing depends on it any more, '
    'it would else look dropped. Nothing where there is no limit.';

CREATE OR REPLACE FUNCTION migrollback_schema.described_in_scope() RETURNS TABLE (class_id oid, object_id oid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off AS $function$
BEGIN
    IF migrollback_schema.migration_scope() IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH near AS MATERIALIZED (SELECT o.class_id, o.object_id FROM migrollback_schema.migration_scope_objects() o),
    rel AS MATERIALIZED (SELECT w.object_id AS oid FROM near w WHERE w.class_id = 'pg_class'::regclass)
    SELECT w.class_id, w.object_id FROM near w
    UNION SELECT 'pg_class'::regclass, i.indexrelid FROM rel r JOIN pg_index i ON i.indrelid = r.oid
    UNION SELECT 'pg_constraint'::regclass, k.oid FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid
    UNION SELECT 'pg_constraint'::regclass, k.oid FROM near w JOIN pg_constraint k ON k.contypid = w.object_id
              WHERE w.class_id = 'pg_type'::regclass
    UNION SELECT 'pg_trigger'::regclass, g.oid FROM rel r JOIN pg_trigger g ON g.tgrelid = r.oid
    UNION SELECT 'pg_rewrite'::regclass, x.oid FROM rel r JOIN pg_rewrite x ON x.ev_class = r.oid
    UNION SELECT 'pg_policy'::regclass, y.oid FROM rel r JOIN pg_policy y ON y.polrelid = r.oid
    UNION SELECT 'pg_namespace'::regclass, s.oid FROM unnest(migrollback_schema.migration_scope_spaces()) AS s (oid)
    UNION SELECT 'pg_extension'::regclass, x.oid FROM pg_extension x
    UNION SELECT 'pg_language'::regclass, x.oid FROM pg_language x
    UNION SELECT 'pg_event_trigger'::regclass, x.oid FROM pg_event_trigger x
    UNION SELECT 'pg_publication'::regclass, x.oid FROM pg_publication x
    UNION SELECT 'pg_foreign_data_wrapper'::regclass, x.oid FROM pg_foreign_data_wrapper x
    UNION SELECT 'pg_foreign_server'::regclass, x.oid FROM pg_foreign_server x
    UNION SELECT 'pg_cast'::regclass, x.oid FROM pg_cast x WHERE x.oid >= 16384
    UNION SELECT 'pg_am'::regclass, x.oid FROM pg_am x WHERE x.oid >= 16384
    UNION SELECT 'pg_transform'::regclass, x.oid FROM pg_transform x;
END $function$;
COMMENT ON FUNCTION migrollback_schema.described_in_scope() IS
    'Addresses of what may have a comment that a snapshot of a scope holds: migration_scope_objects(), '
    'parts of relations, and what is in no schema. Nothing where there is no limit. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_hash_of_scope() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    -- By what it says: what a row's version would say as well takes a fraction of the time only where there is much.
    RETURN (SELECT md5(string_agg(concat_ws(' ', o.kind, o.identity, md5(o.definition::text)), ' '
                                  ORDER BY o.kind COLLATE "C", o.identity COLLATE "C"))
              FROM (SELECT unnest(a.kinds) AS kind, unnest(a.identities) AS identity,
                           unnest(a.definitions) AS definition FROM migrollback_schema.schema_object_arrays() a) o);
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_hash_of_scope() IS
    'The part of schema_hash() in a scope: of all that schema_objects() gives. Does not '
    'write.';
