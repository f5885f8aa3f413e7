-- ---------------------------------------------------------------------------------------------------
-- Inferred dependencies: which migration needs which, by the objects that they created, changed or dropped.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_object_references(
    classes oid[] DEFAULT NULL, objects oid[] DEFAULT NULL)
RETURNS TABLE (class_id oid, object_id oid, column_number int, needed_class oid, needed_object oid, needed_column int)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    SET enable_nestloop = on SET enable_hashjoin = on SET enable_mergejoin = on SET enable_seqscan = on AS $function$
DECLARE
    ours text := 'pg_depend d';
    all_of_them constant boolean := objects IS NULL;
BEGIN
    IF all_of_them THEN
        -- there are no statistics of what is put together here: it is thought to be small, and then each row is
        -- compared with each
        PERFORM set_config('enable_nestloop', 'off', true);
    ELSE
        -- a scan of a whole catalog would grow with the schema
        PERFORM set_config(s, 'off', true) FROM unnest('{enable_hashjoin, enable_mergejoin, enable_seqscan}'::text[]) s;
        SELECT array_agg(o.class), array_agg(o.object) INTO classes, objects FROM (
            SELECT u.class, u.object FROM unnest(classes, objects) AS u (class, object)
            UNION SELECT 'pg_rewrite'::regclass, w.oid FROM pg_rewrite w WHERE w.ev_class = ANY (objects)
            UNION SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a WHERE a.adrelid = ANY (objects)
            UNION SELECT 'pg_publication_rel'::regclass, r.oid FROM pg_publication_rel r
                   WHERE r.prpubid = ANY (objects)) o;
        -- OFFSET: one look at the index for each
        ours := 'unnest($1, $2) AS o (class, object) CROSS JOIN LATERAL (
                     SELECT * FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.object OFFSET 0) d';
    END IF;
    -- rules standing for their views, defaults for their columns, row types for their tables, arrays for their
    -- elements, members for their extensions, what a publication has of a table for the publication
    RETURN QUERY EXECUTE format($query$
        SELECT CASE WHEN w.oid IS NOT NULL OR a.oid IS NOT NULL THEN 'pg_class'::regclass::oid
                    WHEN b.oid IS NOT NULL THEN 'pg_publication'::regclass::oid ELSE d.classid END,
               coalesce(w.ev_class, a.adrelid, b.prpubid, d.objid),
               coalesce(a.adnum, CASE WHEN b.oid IS NULL THEN d.objsubid ELSE 0 END)::int,
               CASE WHEN x.refobjid IS NOT NULL THEN x.refclassid
                    WHEN t.typrelid <> 0 OR e.typrelid <> 0 THEN 'pg_class'::regclass::oid ELSE d.refclassid END,
               coalesce(x.refobjid, nullif(t.typrelid, 0), nullif(e.typrelid, 0), e.oid, d.refobjid), d.refobjsubid
        FROM %s
        LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid AND w.rulename = '_RETURN'
        LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
        LEFT JOIN pg_publication_rel b ON d.classid = 'pg_publication_rel'::regclass AND b.oid = d.objid
        LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
        LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typelem <> 0
        LEFT JOIN pg_depend x ON x.classid = d.refclassid AND x.objid = d.refobjid AND x.objsubid = 0
            AND x.deptype = 'e'
        WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S') AND d.objid >= 16384
        -- an inherited column needs its parent's
        UNION SELECT 'pg_class'::regclass, i.inhrelid, c.attnum::int, 'pg_class'::regclass, i.inhparent, p.attnum::int
          FROM pg_inherits i JOIN pg_attribute p ON p.attrelid = i.inhparent AND p.attnum > 0 AND NOT p.attisdropped
          JOIN pg_attribute c ON c.attrelid = i.inhrelid AND c.attname = p.attname AND NOT c.attisdropped
         WHERE %s$query$, ours, CASE WHEN all_of_them THEN 'true' ELSE 'i.inhrelid = ANY ($2)' END)
    USING classes, objects;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_object_references(oid[], oid[]) IS
    'Which object or column needs which other one, as PostgreSQL knows it; by default of all objects, else of those '
    'at these addresses. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_object_history_of(names text[])
RETURNS TABLE (migration_name text, place bigint, action text, kind text, identity text, source text, class_id oid,
               object_id oid, column_number int, now_kind text, now_identity text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- scans of whole tables would grow with the history
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $function$
DECLARE
    classes oid[];
    objects oid[];
    here    constant oid := ('migrollback_schema' || '.migration_objects')::regclass;
BEGIN
    SELECT array_agg(o.class_id), array_agg(o.object_id) INTO classes, objects
      FROM (SELECT DISTINCT o.class_id, o.object_id FROM migrollback_schema.migration_objects o
             WHERE o.migration_name = ANY (names) AND o.recorded_in = here AND o.object_id IS NOT NULL) o;
    RETURN QUERY
    WITH needed AS MATERIALIZED (
        SELECT DISTINCT r.needed_class AS class, r.needed_object AS object, r.needed_column AS part
        FROM migrollback_schema.migration_object_references(coalesce(classes, '{}'), coalesce(objects, '{}')) r
        WHERE r.needed_object >= 16384 OR r.needed_class = 'pg_namespace'::regclass),
    at_address AS MATERIALIZED (
        SELECT o.*, o.class_id AS class, o.object_id AS object, o.column_number AS part
        FROM migrollback_schema.migration_objects o
        WHERE o.object_id = ANY (objects || ARRAY(SELECT n.object FROM needed n)) AND o.recorded_in = here),
    -- by its name where nothing stands at its address: after a restore from a dump, or where a rollback made it anew
    named AS MATERIALIZED (
        SELECT n.*, CASE WHEN n.class = 'pg_class'::regclass
                         THEN (SELECT quote_ident(s.nspname) || '.' || quote_ident(c.relname)
                                      || coalesce('.' || quote_ident(a.attname), '')
                                 FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
                                 LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = n.part AND n.part > 0
                                WHERE c.oid = n.object)
                         WHEN n.class = 'pg_proc'::regclass
                         THEN (SELECT quote_ident(s.nspname) || '.' || quote_ident(p.proname) || '('
                                      || pg_get_function_identity_arguments(p.oid) || ')'
                                 FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace WHERE p.oid = n.object)
                         ELSE (pg_identify_object(n.class, n.object, n.part)).identity END AS name
        FROM needed n
        WHERE NOT EXISTS (SELECT FROM at_address o WHERE o.class = n.class AND o.object = n.object
                          AND o.part = n.part AND o.action = 'created')),
    found AS (
        SELECT o.* FROM at_address o
        UNION
        SELECT o.*, n.class, n.object, n.part FROM named n
        JOIN migrollback_schema.migration_objects o ON left(o.identity, 400) COLLATE "C" = left(n.name, 400)
         AND o.identity = n.name AND o.action = 'created')
    SELECT f.migration_name, dense_rank() OVER (ORDER BY h.applied_at, h.migration_name COLLATE "C"), f.action, f.kind,
           f.identity, f.source, f.class, f.object, f.part, NULL::text, NULL::text
    FROM found f JOIN migrollback_schema.migration_history h ON h.migration_name = f.migration_name
     AND h.status <> 'rolled_back';
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_object_history_of(text[]) IS
    'The part of migration_object_history() about what these migrations created, changed and dropped, and what that '
    'needs. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.infer_migration_dependencies(names text[] DEFAULT NULL)
RETURNS TABLE (migration_name text, depends_on text, because text[], source text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    -- there are no statistics of what is put together here: it is thought to be small, and then each row is compared
    -- with each
    SET enable_nestloop = off AS $function$
    WITH history AS MATERIALIZED (
        SELECT o.*, row_number() OVER (PARTITION BY o.class_id, o.object_id, o.column_number ORDER BY o.place) AS step,
               lag(o.identity) OVER (PARTITION BY o.class_id, o.object_id, o.column_number
                                     ORDER BY o.place) AS identity_before
        FROM (SELECT * FROM migrollback_schema.migration_object_history() WHERE names IS NULL
              UNION ALL SELECT * FROM migrollback_schema.migration_object_history_of(names) WHERE names IS NOT NULL) o
        WHERE o.object_id IS NOT NULL),
    -- Whose work an object is: its creator's, and that of the last that changed more of it than its name.
    author AS MATERIALIZED (
        SELECT h.class_id, h.object_id, h.column_number, h.migration_name, h.place FROM history h
          WHERE h.action = 'created' AND h.class_id <> 'pg_description'::regclass
        UNION SELECT * FROM (SELECT DISTINCT ON (h.class_id, h.object_id, h.column_number) h.class_id, h.object_id,
                             h.column_number, h.migration_name, h.place FROM history h
               WHERE h.action = 'changed'
                 AND (h.column_number > 0 OR h.kind NOT IN ('table', 'partitioned table', 'foreign table', 'index',
                                                            'constraint'))
               ORDER BY h.class_id, h.object_id, h.column_number, h.place DESC) c),
    -- What the users of an object need: its creator, the one that gave it its name, and the one that changed a column
    -- or an enum last.
    provider AS MATERIALIZED (
        SELECT h.class_id, h.object_id, h.column_number, h.migration_name, h.place,
               coalesce(h.now_kind, h.kind) AS kind, coalesce(h.now_identity, h.identity) AS identity FROM history h
        WHERE h.class_id <> 'pg_description'::regclass AND (h.action = 'created'
              OR h.action = 'changed' AND (h.identity <> h.identity_before OR h.kind IN ('column', 'enum', 'domain')))),
    -- dependent -> what it needs
    edge AS MATERIALIZED (
        SELECT * FROM migrollback_schema.migration_object_references(NULL::oid[], NULL::oid[]) WHERE names IS NULL
        UNION ALL SELECT r.* FROM (
            SELECT array_agg(a.class_id) AS classes, array_agg(a.object_id) AS objects
            FROM (SELECT DISTINCT a.class_id, a.object_id FROM author a WHERE a.migration_name = ANY (names)) a) a
            CROSS JOIN LATERAL migrollback_schema.migration_object_references(a.classes, a.objects) r
            WHERE names IS NOT NULL AND a.objects IS NOT NULL
        -- a column needs its table, whatever else created it
        UNION ALL SELECT 'pg_class'::regclass, h.object_id, h.column_number, 'pg_class'::regclass, h.object_id, 0
            FROM history h WHERE h.column_number > 0),
    needed AS (
        SELECT w.migration_name, w.place, p.migration_name AS depends_on, p.place AS base, p.kind, p.identity,
               p.class_id, p.object_id, p.column_number
        FROM edge e
        JOIN author w ON w.class_id = e.class_id AND w.object_id = e.object_id AND w.column_number = e.column_number
        JOIN provider p ON p.class_id = e.needed_class AND p.object_id = e.needed_object
            AND p.column_number = e.needed_column
        -- what one changed or dropped: all that changed it before; of a table only its creator and who named it, for
        -- the others may have altered other sides of it
        UNION ALL
        SELECT h.migration_name, h.place, b.migration_name, b.place, coalesce(h.now_kind, h.kind),
               coalesce(h.now_identity, h.identity), class_id, object_id, column_number
        FROM history h JOIN history b USING (class_id, object_id, column_number)
        WHERE h.action <> 'created' AND (b.action = 'created' OR b.identity <> b.identity_before OR h.action = 'dropped'
              OR b.action = 'changed' AND h.kind NOT IN ('table', 'partitioned table', 'foreign table', 'index',
                                                         'constraint'))
          -- only built anew
          AND NOT (h.action = 'changed' AND h.kind IN ('index', 'constraint')
                   AND h.identity IS NOT DISTINCT FROM h.identity_before)
        UNION ALL                       -- a comment is about something
        SELECT h.migration_name, h.place, p.migration_name, p.place, p.kind, p.identity, p.class_id, p.object_id,
               p.column_number
        FROM history h JOIN provider p USING (object_id, column_number) WHERE h.class_id = 'pg_description'::regclass),
    -- Only the last one before it: that one needs those before it in turn.
    nearest AS (
        SELECT DISTINCT ON (n.place, n.class_id, n.object_id, n.column_number) n.* FROM needed n
        WHERE n.base < n.place ORDER BY n.place, n.class_id, n.object_id, n.column_number, n.base DESC)
    SELECT n.migration_name, n.depends_on,
           array_agg(DISTINCT n.kind || ' ' || n.identity ORDER BY n.kind || ' ' || n.identity), 'catalog'
    FROM nearest n WHERE names IS NULL OR n.migration_name = ANY (names)
    GROUP BY n.migration_name, n.depends_on, n.place, n.base ORDER BY n.place, n.base
$function$;
COMMENT ON FUNCTION migrollback_schema.infer_migration_dependencies(text[]) IS
    'Which applied migration needs which earlier one, by the objects that they created, changed or dropped and by '
    'what PostgreSQL knows of these; names: only what these migrations need. because: the objects. Names inside '
    'function bodies and in files are not seen here: sync, apply and deps --infer read them too. Does not write.';
