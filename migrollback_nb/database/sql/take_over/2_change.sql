-- Makes the two tables of the earlier tool what 0001_history.sql makes, in their places: views and foreign keys on them
-- stay. What undoes each step is kept for undo_take_over_sql(). Runs inside install.sql, after 1_look.sql.
DO $take_over$
DECLARE
    history constant regclass := to_regclass('migrollback_schema' || '.migration_history');
    needs   regclass := to_regclass('migrollback_schema' || '.migration_dependencies');
    told    jsonb := current_setting('migrollback.taken_over')::jsonb;
    undo    text[] := '{}';                 -- the last step first
    wanted  record;
    old     record;
    answer  jsonb;
    -- meant by us, and perhaps otherwise by the earlier tool
    ours    constant text[] := '{system,system_version,deploy,tool,previous_version,applied_at,applied_at_from,'
        'search_path,rollback,destroys,rollback_remark,tags,program,parents,captured,ledger_hash,trusted_ledger_owners,'
        'before_take_over}';
BEGIN
    -- The four functions, with all that a CREATE does not say ------------------------------------------------------
    FOR old IN
        SELECT p.oid::regprocedure::text AS identity, p.proowner::regrole AS owner, p.proacl, p.oid,
               CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) END AS definition
        FROM pg_proc p
         WHERE p.pronamespace = 'migrollback_schema'::regnamespace
           AND p.proname IN ('can_rollback_migration', 'execute_migration_rollback', 'list_rollbackable_migrations',
                             'create_migration_snapshot')
         ORDER BY p.proname = 'can_rollback_migration', p.oid::regprocedure::text
    LOOP
        undo := ARRAY[old.definition] || ARRAY(
                    SELECT format('ALTER FUNCTION %s OWNER TO %s', old.identity, old.owner)
                    UNION ALL SELECT format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', old.identity)
                     WHERE old.proacl IS NOT NULL)
                || ARRAY(SELECT format('GRANT EXECUTE ON FUNCTION %s TO %s%s', old.identity,
                                       CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                                       CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
                         FROM aclexplode(old.proacl) a)
                || ARRAY(SELECT format('COMMENT ON FUNCTION %s IS %L', old.identity, d.description)
                         FROM pg_description d WHERE d.objoid = old.oid AND d.classoid = 'pg_proc'::regclass)
                || undo;
        EXECUTE format('DROP ROUTINE %s', old.identity);
        told := jsonb_insert(told, '{functions,-1}', to_jsonb(old.identity), true);
    END LOOP;

    -- Rights and comments, which install changes afterwards -----------------------------------------------------------
    IF needs IS NULL THEN
        CREATE TABLE migrollback_schema.migration_dependencies (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), migration_name text NOT NULL, depends_on text NOT NULL,
            created_at timestamptz DEFAULT now());
        needs := to_regclass('migrollback_schema' || '.migration_dependencies');
        undo := ARRAY[format('DROP TABLE %s', needs)] || undo;
    END IF;
    undo := ARRAY(
        SELECT s.statement FROM (
            SELECT 1 AS place, format('ALTER TABLE %s %s ROW LEVEL SECURITY', c.oid::regclass,
                                      CASE WHEN c.relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END) AS statement
            FROM pg_class c WHERE c.oid IN (history, needs)
            UNION ALL
            SELECT 2, format('GRANT %s ON TABLE %s TO %s%s', a.privilege_type, c.oid::regclass,
                             CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                             CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
            WHERE c.oid IN (history, needs) AND a.grantee <> c.relowner
            UNION ALL
            SELECT 3, format('GRANT %s (%I) ON TABLE %s TO %s', x.privilege_type, a.attname, a.attrelid::regclass,
                             CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END)
            FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) x
            WHERE a.attrelid IN (history, needs) AND NOT a.attisdropped
            UNION ALL
            SELECT 4, CASE WHEN a.attname IS NULL THEN format('COMMENT ON TABLE %s IS %s', c.oid::regclass,
                                                              coalesce(quote_literal(d.description), 'NULL'))
                      ELSE format('COMMENT ON COLUMN %s.%I IS %s', c.oid::regclass, a.attname,
                                  coalesce(quote_literal(d.description), 'NULL')) END
            FROM pg_class c
            LEFT JOIN LATERAL (SELECT 0::int2 AS attnum, NULL::name AS attname UNION ALL
                               SELECT a.attnum, a.attname FROM pg_attribute a
                                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) a ON true
            LEFT JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass
                                      AND d.objsubid = a.attnum
            WHERE c.oid IN (history, needs)) s ORDER BY s.place, s.statement) || undo;

    -- The rows, before what holds them together ---------------------------------------------------------------------
    EXECUTE format('SELECT to_jsonb(h) FROM %s h WHERE h.migration_name = $1', history)
       INTO answer USING told ->> 'system';
    told := told || jsonb_build_object('system_row', answer);
    FOR old IN SELECT k.conrelid::regclass AS tab, k.conname, pg_get_constraintdef(k.oid) AS definition
               FROM pg_constraint k
               WHERE k.conrelid = history AND k.contype = 'c'
                 AND (k.conkey <@ ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = history
                                        AND a.attname IN ('migration_name', 'status', 'metadata'))
                      OR k.conname IN ('migration_history_migration_name_check', 'migration_history_status_check',
                                       'migration_history_metadata_check'))
                  OR k.conrelid = needs AND k.contype = 'c' AND k.conname IN ('migration_depends_on_another',
                                                                              'migration_dependencies_source_check')
                  OR k.conrelid = needs AND k.contype = 'f' AND k.confrelid = history
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', old.tab, old.conname);
        undo := format('ALTER TABLE %s ADD CONSTRAINT %I %s', old.tab, old.conname, old.definition) || undo;
    END LOOP;
    FOR old IN SELECT a.attrelid::regclass AS tab, a.attname FROM pg_attribute a
               WHERE a.attrelid IN (history, needs) AND a.attnotnull
                 AND a.attname IN ('applied_at', 'applied_by', 'rollback_sql', 'checksum', 'rollback_at', 'rollback_by',
                                   'notes', 'created_at')
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', old.tab, old.attname);
        undo := format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', old.tab, old.attname) || undo;
    END LOOP;
    EXECUTE format($query$
        WITH old AS (SELECT h.*, lower(regexp_replace(btrim(h.status), '[[:space:]-]+', '_', 'g')) AS new_status,
                            coalesce(h.metadata, '{}') AS new_metadata,
                            h.migration_name = $2 AS is_system FROM %1$s h),
        new AS (
            SELECT o.id, o.migration_name, o.is_system, o.new_status,
                   -- the earlier tool took the whole name
                   CASE WHEN o.migration_version IN (o.migration_name, o.migration_name || '.sql')
                        THEN coalesce(substring(o.migration_name FROM '^[0-9]+'), o.migration_version)
                        ELSE o.migration_version END AS new_version,
                   CASE WHEN o.new_status = 'rolled_back' THEN o.rollback_at END AS new_rollback_at,
                   CASE WHEN o.new_status = 'rolled_back' THEN o.rollback_by END AS new_rollback_by,
                   o.new_metadata - $3 || jsonb_build_object('search_path', $1)
                   || CASE WHEN o.new_metadata ?| $3 THEN jsonb_build_object('before_take_over', (
                          SELECT jsonb_object_agg(m.key, m.value) FROM jsonb_each(o.new_metadata) m
                           WHERE m.key = ANY ($3))) ELSE '{}' END AS new_metadata
            FROM old o),
        changed AS (
            UPDATE %1$s h
               SET status = CASE WHEN n.is_system THEN 'applied' ELSE n.new_status END,
                   migration_version = n.new_version,
                   metadata = CASE WHEN n.is_system THEN '{}' ELSE n.new_metadata END,
                   rollback_at = CASE WHEN NOT n.is_system THEN n.new_rollback_at END,
                   rollback_by = CASE WHEN NOT n.is_system THEN n.new_rollback_by END,
                   rollback_sql = CASE WHEN NOT n.is_system THEN h.rollback_sql END,
                   checksum = CASE WHEN NOT n.is_system THEN h.checksum END
              FROM new n WHERE n.migration_name = h.migration_name)
        -- what stood there otherwise
        SELECT jsonb_object_agg(w.migration_name, w.was) FROM (
            SELECT o.migration_name, jsonb_object_agg(c.name, c.before) AS was
            FROM old o JOIN new n USING (migration_name)
            CROSS JOIN LATERAL (VALUES
                ('status', to_jsonb(o.status), to_jsonb(n.new_status)),
                ('migration_version', to_jsonb(o.migration_version), to_jsonb(n.new_version)),
                ('rollback_at', to_jsonb(o.rollback_at), to_jsonb(n.new_rollback_at)),
                ('rollback_by', to_jsonb(o.rollback_by), to_jsonb(n.new_rollback_by)),
                ('metadata', CASE WHEN o.metadata IS NULL OR o.metadata ?| $3 THEN coalesce(o.metadata, 'null') END,
                 NULL)) AS c (name, before, after)
            WHERE c.before IS DISTINCT FROM c.after AND NOT o.is_system GROUP BY o.migration_name) w$query$, history)
       INTO answer USING told ->> 'path', told ->> 'system', ours;
    told := told || jsonb_build_object('was', coalesce(answer, '{}'));
    undo := ARRAY['rows'] || undo;          -- here undo_take_over_sql() puts their values back

    -- Columns, constraints, indexes -----------------------------------------------------------------------------------
    FOR wanted IN
        SELECT w.*, a.attnotnull, pg_get_expr(d.adbin, d.adrelid) AS old_default
        FROM (VALUES (history, 'id', 'gen_random_uuid()', true), (history, 'migration_name', NULL, true),
                     (history, 'migration_version', NULL, true), (history, 'applied_at', 'now()', false),
                     (history, 'applied_by', 'current_user', false), (history, 'rollback_sql', NULL, false),
                     (history, 'checksum', NULL, false), (history, 'status', '''applied''', true),
                     (history, 'rollback_at', NULL, false), (history, 'rollback_by', NULL, false),
                     (history, 'notes', NULL, false), (history, 'metadata', '''{}''', true),
                     (needs, 'id', 'gen_random_uuid()', true), (needs, 'migration_name', NULL, true),
                     (needs, 'depends_on', NULL, true), (needs, 'created_at', 'now()', false))
             AS w (tab, name, expression, not_null)
        JOIN pg_attribute a ON a.attrelid = w.tab AND a.attname = w.name
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I %s', wanted.tab, wanted.name,
                       coalesce('SET DEFAULT ' || wanted.expression, 'DROP DEFAULT'));
        undo := format('ALTER TABLE %s ALTER COLUMN %I %s', wanted.tab, wanted.name,
                       coalesce('SET DEFAULT ' || wanted.old_default, 'DROP DEFAULT')) || undo;
        IF wanted.not_null AND NOT wanted.attnotnull THEN
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', wanted.tab, wanted.name);
            undo := format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', wanted.tab, wanted.name) || undo;
        END IF;
    END LOOP;
    EXECUTE format('ALTER TABLE %s ADD COLUMN source text NOT NULL DEFAULT ''declared'' '
                   'CHECK (source IN (''declared'', ''inferred'')), ADD COLUMN because text', needs);
    undo := format('ALTER TABLE %s DROP COLUMN because, DROP COLUMN source', needs) || undo;
    FOR wanted IN
        SELECT w.*, k.conname AS old_name
        FROM (VALUES
            (history, 'migration_history_pkey', 'p', '{id}'::name[], 'PRIMARY KEY (id)'),
            (history, 'migration_history_migration_name_key', 'u', '{migration_name}', 'UNIQUE (migration_name)'),
            (history, 'migration_history_migration_name_check', 'c', NULL, 'CHECK (migration_name <> '''')'),
            (history, 'migration_history_status_check', 'c', NULL,
             'CHECK (status IN (''applied'', ''rolled_back'', ''failed''))'),
            (history, 'migration_history_metadata_check', 'c', NULL, 'CHECK (jsonb_typeof(metadata) = ''object'')'),
            (needs, 'migration_dependencies_pkey', 'p', '{id}', 'PRIMARY KEY (id)'),
            (needs, 'migration_dependencies_migration_name_depends_on_key', 'u', '{migration_name,depends_on}',
             'UNIQUE (migration_name, depends_on)'),
            (needs, 'migration_depends_on_another', 'c', NULL, 'CHECK (migration_name <> depends_on)'),
            (needs, 'migration_dependencies_migration_name_fkey', 'f', NULL,
             format('FOREIGN KEY (migration_name) REFERENCES %s (migration_name)', history)),
            (needs, 'migration_dependencies_depends_on_fkey', 'f', NULL,
             format('FOREIGN KEY (depends_on) REFERENCES %s (migration_name)', history)))
            AS w (tab, name, type, columns, definition)
        LEFT JOIN LATERAL (
            SELECT o.conname FROM pg_constraint o
             WHERE o.conrelid = w.tab AND o.contype = w.type::"char" AND NOT o.condeferrable
               AND w.columns = ARRAY(SELECT a.attname FROM unnest(o.conkey) WITH ORDINALITY AS c (n, place)
                                     JOIN pg_attribute a ON a.attrelid = w.tab AND a.attnum = c.n ORDER BY c.place)
             ORDER BY o.conname = w.name DESC, o.conname LIMIT 1) k ON true
    LOOP
        IF wanted.old_name IS NULL THEN
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', wanted.tab, wanted.name, wanted.definition);
            undo := format('ALTER TABLE %s DROP CONSTRAINT %I', wanted.tab, wanted.name) || undo;
        ELSIF wanted.old_name <> wanted.name THEN
            EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', wanted.tab, wanted.old_name, wanted.name);
            undo := format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', wanted.tab, wanted.name, wanted.old_name)
                || undo;
        END IF;
    END LOOP;
    FOR wanted IN
        SELECT w.*, i.indexrelid::regclass AS old_index, pg_get_indexdef(i.indexrelid) AS definition
        FROM (VALUES (history, 'idx_migration_history_version', 'migration_version'),
                     (history, 'idx_migration_history_status', 'status'),
                     (history, 'idx_migration_history_applied_at', 'applied_at'),
                     (needs, 'idx_migration_deps_migration', 'migration_name'),
                     (needs, 'idx_migration_deps_depends_on', 'depends_on')) AS w (tab, name, indexed)
        LEFT JOIN pg_index i ON i.indrelid = w.tab
              AND i.indexrelid = (SELECT c.oid FROM pg_class c WHERE c.relname = w.name
                                     AND c.relnamespace = 'migrollback_schema'::regnamespace)
    LOOP
        IF wanted.definition IS NOT NULL THEN
            EXECUTE format('DROP INDEX %s', wanted.old_index);
            undo := wanted.definition || undo;
        END IF;
        EXECUTE format('CREATE INDEX %I ON %s (%I)', wanted.name, wanted.tab, wanted.indexed);
        undo := format('DROP INDEX %s.%I', 'migrollback_schema'::regnamespace, wanted.name) || undo;
    END LOOP;
    PERFORM set_config('migrollback.taken_over', (told || jsonb_build_object('undo', undo))::text, true);
END $take_over$;
