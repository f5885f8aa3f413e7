-- What stands in the way of taking the tables of the earlier tool over: all of it is named, and nothing is changed.
-- Runs inside install.sql, as the owner of the tables.
DO $take_over$
DECLARE
    history   constant regclass := to_regclass('migrollback_schema' || '.migration_history');
    needs     regclass := to_regclass('migrollback_schema' || '.migration_dependencies');
    our_owner constant oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = history);
    four      constant name[] := '{can_rollback_migration,execute_migration_rollback,list_rollbackable_migrations,'
        'create_migration_snapshot}';
    problems  text[] := '{}';
    found     record;
    bad       text;
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', concat_ws(', ', history, needs));
    -- a policy would hide rows: an error is better
    PERFORM set_config('row_security', 'off', true);

    -- The tables ------------------------------------------------------------------------------------------------
    SELECT array_agg(format('%s is no plain table', c.oid::regclass)) INTO problems FROM pg_class c
     WHERE c.oid IN (history, needs)
       AND (c.relkind <> 'r' OR c.relispartition OR c.relpersistence <> 'p'
            OR EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)));
    problems := coalesce(problems, '{}') || ARRAY(
        SELECT format('%s belongs to %s, and migration_history to %s: ALTER TABLE %s OWNER TO %s', c.oid::regclass,
                      c.relowner::regrole, our_owner::regrole, c.oid::regclass, our_owner::regrole)
        FROM pg_class c WHERE c.oid = needs AND c.relowner <> our_owner);
    problems := problems || ARRAY(
        SELECT format('%s exists, and this system makes one of that name', c.oid::regclass) FROM pg_class c
         WHERE c.relnamespace = 'migrollback_schema'::regnamespace
           AND c.relname = ANY (<<tables>>) AND c.oid <> history AND c.oid IS DISTINCT FROM needs ORDER BY 1);
    FOR found IN
        SELECT e.tab, e.name, e.type, a.attnum, a.attgenerated <> '' OR a.attidentity <> '' AS is_made,
               format_type(a.atttypid, a.atttypmod) AS has
        FROM (VALUES (history, 'id', 'uuid'), (history, 'migration_name', 'text'),
                     (history, 'migration_version', 'text'), (history, 'applied_at', 'timestamp with time zone'),
                     (history, 'applied_by', 'text'), (history, 'rollback_sql', 'text'), (history, 'checksum', 'text'),
                     (history, 'status', 'text'), (history, 'rollback_at', 'timestamp with time zone'),
                     (history, 'rollback_by', 'text'), (history, 'notes', 'text'), (history, 'metadata', 'jsonb'),
                     (needs, 'id', 'uuid'), (needs, 'migration_name', 'text'), (needs, 'depends_on', 'text'),
                     (needs, 'created_at', 'timestamp with time zone')) AS e (tab, name, type)
        LEFT JOIN pg_attribute a ON a.attrelid = e.tab AND a.attname = e.name AND NOT a.attisdropped
        WHERE e.tab IS NOT NULL
    LOOP
        IF found.attnum IS NULL THEN
            problems := problems || format('%s has no column %s', found.tab, found.name);
        ELSIF found.is_made THEN
            problems := problems || format('column %s of %s is generated', found.name, found.tab);
        ELSIF found.has <> found.type THEN
            problems := problems || format('column %s of %s has type %s: ALTER TABLE %s ALTER COLUMN %s TYPE %s',
                                           found.name, found.tab, found.has, found.tab, found.name, found.type);
        END IF;
    END LOOP;
    problems := problems || ARRAY(
        SELECT format('column %I of %s must have a value, and this system gives it none: ALTER TABLE %s ALTER COLUMN '
                      '%I SET DEFAULT ..., or DROP NOT NULL', a.attname, a.attrelid::regclass, a.attrelid::regclass,
                      a.attname)
        FROM pg_attribute a
         WHERE a.attrelid IN (history, needs) AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
           AND NOT a.atthasdef AND a.attidentity = ''
           AND a.attname <> ALL ('{id,migration_name,migration_version,applied_at,applied_by,rollback_sql,checksum,'
                                 'status,rollback_at,rollback_by,notes,metadata,depends_on,created_at}'::name[]));
    problems := problems || ARRAY(
        SELECT format('column %I of %s: this system adds one of that name', a.attname, needs) FROM pg_attribute a
         WHERE a.attrelid = needs AND a.attname IN ('source', 'because') AND NOT a.attisdropped);
    problems := problems || ARRAY(
        SELECT format('the primary key of %s is not id', k.conrelid::regclass) FROM pg_constraint k
         WHERE k.conrelid IN (history, needs) AND k.contype = 'p'
           AND k.conkey <> ARRAY(SELECT a.attnum FROM pg_attribute a
                                  WHERE a.attrelid = k.conrelid AND a.attname = 'id'));

    -- The four functions ------------------------------------------------------------------------------------------
    problems := problems || ARRAY(
        SELECT format('function %s belongs to %s, and the tables to %s: drop it, or ALTER FUNCTION %s OWNER TO %s',
                      p.oid::regprocedure, p.proowner::regrole, our_owner::regrole, p.oid::regprocedure,
                      our_owner::regrole)
        FROM pg_proc p
         WHERE p.pronamespace = 'migrollback_schema'::regnamespace AND p.proowner <> our_owner
           AND p.proname = ANY (four)
         ORDER BY p.oid::regprocedure::text);

    problems := problems || ARRAY(
        SELECT format('%s uses function %s, which goes: drop it, and make it again afterwards',
                      pg_describe_object(d.classid, d.objid, d.objsubid), p.oid::regprocedure)
        FROM pg_proc p JOIN pg_depend d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
        LEFT JOIN pg_proc other ON d.classid = 'pg_proc'::regclass AND other.oid = d.objid
         WHERE p.pronamespace = 'migrollback_schema'::regnamespace
           AND p.proname = ANY (four) AND (other.proname = ANY (four)) IS NOT TRUE
         ORDER BY 1);

    -- The rows: only where the columns are there to be asked ------------------------------------------------------
    IF cardinality(problems) = 0 THEN
        FOR found IN EXECUTE format($query$
            SELECT r.why, count(*) AS rows,
                   string_agg(r.name, ', ' ORDER BY r.place) FILTER (WHERE r.place <= 5) AS names
            FROM (
                SELECT w.why, coalesce(quote_literal(h.migration_name), 'no name') AS name,
                       row_number() OVER (PARTITION BY w.why ORDER BY h.migration_name) AS place
                FROM %s h CROSS JOIN LATERAL (VALUES
                    (CASE WHEN coalesce(h.migration_name, '') = '' THEN 'no name' END),
                    (CASE WHEN h.id IS NULL THEN 'no id' END),
                    (CASE WHEN h.migration_version IS NULL THEN 'no migration_version' END),
                    (CASE WHEN isfinite(h.applied_at) IS NOT TRUE THEN 'no applied_at, or an endless one' END),
                    (CASE WHEN NOT isfinite(h.rollback_at) THEN 'an endless rollback_at' END),
                    (CASE WHEN h.status IS NULL THEN 'no status'
                          WHEN lower(regexp_replace(btrim(h.status), '[[:space:]-]+', '_', 'g'))
                               NOT IN ('applied', 'rolled_back', 'failed')
                          THEN format('status %%L, which is none of applied, rolled_back and failed', h.status) END),
                    (CASE WHEN jsonb_typeof(h.metadata) <> 'object' THEN 'metadata that is no object' END),
                    (CASE WHEN h.migration_name <> '' AND same_name > 1 THEN 'a name that another row has' END))
                    AS w (why)
                WHERE w.why IS NOT NULL) r
            GROUP BY r.why ORDER BY r.why$query$,
            format('(SELECT *, row_number() OVER (PARTITION BY migration_name ORDER BY id) AS same_name FROM %s)',
                   history))
        LOOP
            problems := problems || format('migration_history, %s: %s', found.why,
                concat(found.names, CASE WHEN found.rows > 5 THEN format(' and %s more', found.rows - 5) END));
        END LOOP;
    END IF;
    IF cardinality(problems) = 0 AND needs IS NOT NULL THEN
        FOR found IN EXECUTE format($query$
            SELECT r.why, string_agg(r.name, ', ' ORDER BY r.name) AS names FROM (
                SELECT w.why, concat_ws(' > ', quote_nullable(d.migration_name), quote_nullable(d.depends_on)) AS name
                FROM (SELECT *, row_number() OVER (PARTITION BY migration_name, depends_on ORDER BY id) AS place
                      FROM %s) d
                CROSS JOIN LATERAL (VALUES (CASE
                    WHEN d.migration_name = d.depends_on THEN 'of itself'
                    WHEN NOT EXISTS (SELECT FROM %s h WHERE h.migration_name = d.migration_name)
                      OR NOT EXISTS (SELECT FROM %s h WHERE h.migration_name = d.depends_on)
                    THEN 'of a migration that is not in migration_history'
                    WHEN d.id IS NULL THEN 'without id'
                    WHEN d.place > 1 THEN 'there twice' END)) AS w (why)
                WHERE w.why IS NOT NULL) r
            GROUP BY r.why ORDER BY r.why$query$, needs, history, history)
        LOOP
            problems := problems || format('migration_dependencies, %s: %s', found.why, found.names);
        END LOOP;
        -- A cycle has an edge to what came no earlier: of these there are few.
        EXECUTE format($query$
            WITH later AS (
                SELECT d.migration_name, d.depends_on FROM %1$s d
                JOIN %2$s h ON h.migration_name = d.migration_name JOIN %2$s b ON b.migration_name = d.depends_on
                WHERE (h.applied_at, h.migration_name) <= (b.applied_at, b.migration_name)
                   OR h.applied_at IS NULL OR b.applied_at IS NULL)
            SELECT string_agg(format('%%L > %%L', l.migration_name, l.depends_on), ', ' ORDER BY l.migration_name)
            FROM later l
            WHERE l.migration_name IN (
                WITH RECURSIVE reached (name) AS (
                    SELECT l.depends_on
                    UNION SELECT d.depends_on FROM reached r JOIN %1$s d ON d.migration_name = r.name)
                SELECT r.name FROM reached r)$query$, needs, history) INTO bad;
        IF bad IS NOT NULL THEN
            problems := problems || format('migration_dependencies, in a cycle: %s', bad);
        END IF;
    END IF;
    IF cardinality(problems) > 0 THEN
        RAISE EXCEPTION 'The tables of the earlier tool in schema % cannot be taken over as they are: %',
            'migrollback_schema', array_to_string(problems, '; ')
            USING ERRCODE = 'MR027', HINT = 'Put these right, and take them over again. Nothing was changed.';
    END IF;
END $take_over$;
