-- ---------------------------------------------------------------------------------------------------
-- Inferred dependencies: which migration needs which, by the objects that they created, changed or dropped.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.infer_migration_dependencies()
RETURNS TABLE (migration_name text, depends_on text, because text[], source text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    -- there are no statistics of what is put together here: it is thought to be small, and then each row is compared
    -- with each
    SET enable_nestloop = off AS $function$
    WITH history AS MATERIALIZED (
        SELECT o.*, row_number() OVER (PARTITION BY o.class_id, o.object_id, o.column_number ORDER BY o.place) AS step,
               lag(o.identity) OVER (PARTITION BY o.class_id, o.object_id, o.column_number
                                     ORDER BY o.place) AS identity_before
        FROM migrollback_schema.migration_object_history() o WHERE o.object_id IS NOT NULL),
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
    -- dependent -> what it needs, rules standing for their views, defaults for their columns, row types for their
    -- tables, arrays for their elements, members for their extensions
    edge AS MATERIALIZED (
        SELECT d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid
        FROM (SELECT CASE WHEN w.oid IS NOT NULL OR a.oid IS NOT NULL THEN 'pg_class'::regclass::oid
              ELSE d.classid END AS classid,
                     coalesce(w.ev_class, a.adrelid, d.objid) AS objid, coalesce(a.adnum, d.objsubid) AS objsubid,
                     CASE WHEN x.refobjid IS NOT NULL THEN x.refclassid WHEN t.typrelid <> 0
                               OR e.typrelid <> 0 THEN 'pg_class'::regclass::oid ELSE d.refclassid END AS refclassid,
                     coalesce(x.refobjid, nullif(t.typrelid, 0), nullif(e.typrelid, 0), e.oid, d.refobjid) AS refobjid,
                         d.refobjsubid
              FROM pg_depend d
              LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
                  AND w.rulename = '_RETURN'
              LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
              LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
              LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typelem <> 0
              LEFT JOIN pg_depend x ON x.classid = d.refclassid AND x.objid = d.refobjid AND x.objsubid = 0
                  AND x.deptype = 'e'
              WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S') AND d.objid >= 16384) d
        -- a column needs its table, whatever else created it
        UNION SELECT 'pg_class'::regclass, h.object_id, h.column_number, 'pg_class'::regclass, h.object_id, 0
            FROM history h WHERE h.column_number > 0
        -- an inherited column needs its parent's
        UNION SELECT 'pg_class'::regclass, i.inhrelid, c.attnum, 'pg_class'::regclass, i.inhparent, p.attnum
          FROM pg_inherits i JOIN pg_attribute p ON p.attrelid = i.inhparent AND p.attnum > 0 AND NOT p.attisdropped
          JOIN pg_attribute c ON c.attrelid = i.inhrelid AND c.attname = p.attname AND NOT c.attisdropped),
    needed AS (
        SELECT w.migration_name, w.place, p.migration_name AS depends_on, p.place AS base, p.kind, p.identity,
               p.class_id, p.object_id, p.column_number
        FROM edge e
        JOIN author w ON w.class_id = e.classid AND w.object_id = e.objid AND w.column_number = e.objsubid
        JOIN provider p ON p.class_id = e.refclassid AND p.object_id = e.refobjid AND p.column_number = e.refobjsubid
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
    FROM nearest n GROUP BY n.migration_name, n.depends_on, n.place, n.base ORDER BY n.place, n.base
$function$;
COMMENT ON FUNCTION migrollback_schema.infer_migration_dependencies() IS
    'Which applied migration needs which earlier one, by the objects that they created, changed or dropped and by '
    'what PostgreSQL knows of these. because: the objects. Names inside function bodies and in files are not seen '
    'here: migrollback deps --infer reads them too. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_migration_dependencies(
    dependencies jsonb DEFAULT NULL, client text DEFAULT NULL)
RETURNS TABLE (migration_name text, depends_on text, because text, recorded boolean, remark text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    wanted  record;
    reasons jsonb := '{}';
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    IF dependencies IS NULL THEN
        dependencies := (SELECT coalesce(jsonb_agg(jsonb_build_object('migration_name', i.migration_name,
            'depends_on', i.depends_on, 'because', array_to_string(i.because, '; '))), '[]')
                         FROM migrollback_schema.infer_migration_dependencies() i);
    END IF;
    FOR wanted IN
        SELECT w.migration_name, w.depends_on, w.because, h.status AS status, b.status AS base_status, d.source
        FROM ROWS FROM (jsonb_to_recordset(dependencies) AS (migration_name text, depends_on text,
                                                             because text)) WITH ORDINALITY AS w (migration_name,
                                                                 depends_on, because, place)
        LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = w.migration_name
        LEFT JOIN migrollback_schema.migration_history b ON b.migration_name = w.depends_on
        LEFT JOIN migrollback_schema.migration_dependencies d ON d.migration_name = w.migration_name
            AND d.depends_on = w.depends_on
        ORDER BY w.place
    LOOP
        migration_name := wanted.migration_name;
        depends_on := wanted.depends_on;
        because := wanted.because;
        remark := CASE
            WHEN wanted.status IS NULL OR wanted.base_status IS NULL THEN 'not registered'
            WHEN 'rolled_back' IN (wanted.status, wanted.base_status) THEN 'rolled back'
            WHEN wanted.source IS NOT NULL THEN wanted.source || ' already'
            WHEN wanted.migration_name = wanted.depends_on THEN 'depends on itself'
            WHEN EXISTS (SELECT FROM migrollback_schema.migration_dependents(wanted.migration_name) e
                         WHERE e.migration_name = wanted.depends_on) THEN
                'would close a cycle: ' || wanted.depends_on || ' depends on ' || wanted.migration_name END;
        recorded := remark IS NULL;
        IF recorded THEN
            PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
            INSERT INTO migrollback_schema.migration_dependencies (migration_name, depends_on, source, because)
            VALUES (wanted.migration_name, wanted.depends_on, 'inferred', wanted.because);
            PERFORM set_config('migrollback.recording', '', true);
            reasons := jsonb_set(reasons, ARRAY[wanted.migration_name],
                                 coalesce(reasons -> wanted.migration_name,
                                          '{}') || jsonb_build_object(wanted.depends_on, wanted.because));
        END IF;
        RETURN NEXT;
    END LOOP;
    INSERT INTO migrollback_schema.migration_events (event, migration_name, client, details)
    SELECT 'dependencies_recorded', r.key, record_migration_dependencies.client, jsonb_build_object('because', r.value)
      FROM jsonb_each(reasons) r ORDER BY r.key COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_migration_dependencies(jsonb, text) IS
    'Writes: keeps dependencies as inferred; from then on they block and order as declared ones do. dependencies: an '
    'array of objects (migration_name, depends_on, because); by default what infer_migration_dependencies() says. '
    'One row each; remark says why one was not recorded: declared already, rolled back, a cycle.';

CREATE OR REPLACE FUNCTION migrollback_schema.forget_migration_dependencies(
    dependencies jsonb, client text DEFAULT NULL)
RETURNS TABLE (migration_name text, depends_on text, because text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    gone jsonb := '[]';
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    FOR migration_name, depends_on, because IN
        DELETE FROM migrollback_schema.migration_dependencies d
         USING jsonb_to_recordset(forget_migration_dependencies.dependencies) AS w (migration_name text,
             depends_on text)
         WHERE d.migration_name = w.migration_name AND d.depends_on = w.depends_on AND d.source = 'inferred'
        RETURNING d.migration_name, d.depends_on, d.because
    LOOP
        gone := gone || jsonb_build_object('name', migration_name, 'base', depends_on, 'because', because);
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('migrollback.recording', '', true);
    INSERT INTO migrollback_schema.migration_events (event, migration_name, client, details)
    SELECT 'dependencies_recorded', g.name, forget_migration_dependencies.client,
           jsonb_build_object('removed', jsonb_object_agg(g.base, g.because))
      FROM jsonb_to_recordset(gone) AS g (name text, base text, because text) GROUP BY g.name
        ORDER BY g.name COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.forget_migration_dependencies(jsonb, text) IS
    'Writes: takes back dependencies that were recorded as inferred; declared ones stay. dependencies: an array of '
    'objects (migration_name, depends_on). One row for each that went.';
