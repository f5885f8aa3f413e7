-- The events that tell of what was taken over: one for the whole, and one for each migration. Runs inside install.sql,
-- when the system's functions and triggers are there.
DO $take_over$
DECLARE
    told  jsonb := current_setting('migrollback.taken_over')::jsonb;
    edges bigint := (SELECT count(*) FROM migrollback_schema.migration_dependencies);
    rows  bigint := (SELECT count(*) FROM migrollback_schema.migration_history h
                      WHERE h.migration_name <> told ->> 'system');
BEGIN
    PERFORM migrollback_schema.add_migration_event('taken_over', told ->> 'system', NULL::uuid, NULL::text,
        told ->> 'client', jsonb_strip_nulls(jsonb_build_object(
            'migrations', rows, 'dependencies', edges, 'functions', told -> 'functions', 'undo', told -> 'undo',
            'depends_on', (SELECT jsonb_agg(d.depends_on ORDER BY d.depends_on)
                           FROM migrollback_schema.migration_dependencies d
                           WHERE d.migration_name = told ->> 'system')))
            || CASE WHEN told ->> 'system_row' IS NULL THEN '{}'
               ELSE jsonb_build_object('old', told -> 'system_row') END);
    INSERT INTO migrollback_schema.migration_events (event, migration_name, client, details)
    SELECT 'taken_over', h.migration_name, told ->> 'client', jsonb_strip_nulls(jsonb_build_object(
               'status', h.status, 'applied_at', h.applied_at, 'applied_by', h.applied_by, 'rollback_at', h.rollback_at,
               'rollback_by', h.rollback_by, 'checksum', h.checksum,
               'rollback_md5', md5(convert_to(h.rollback_sql, 'UTF8')), 'depends_on', d.names))
           || CASE WHEN told -> 'was' ? h.migration_name
                   THEN jsonb_build_object('was', told -> 'was' -> h.migration_name) ELSE '{}' END
      FROM migrollback_schema.migration_history h
      LEFT JOIN (SELECT e.migration_name, jsonb_agg(e.depends_on ORDER BY e.depends_on) AS names
                 FROM migrollback_schema.migration_dependencies e GROUP BY e.migration_name) d USING (migration_name)
     WHERE h.migration_name <> told ->> 'system'
     ORDER BY h.applied_at NULLS FIRST, h.migration_name COLLATE "C";
    PERFORM set_config('migrollback.taken_over', jsonb_build_object(
        'migrations', rows, 'dependencies', edges, 'functions', told -> 'functions',
        'changed', (SELECT coalesce(jsonb_object_agg(w.key, w.value), '{}')
                    FROM jsonb_each(told -> 'was') WITH ORDINALITY AS w (key, value, place) WHERE w.place <= 50),
        'changes', (SELECT count(*) FROM jsonb_object_keys(told -> 'was')))::text, true);
END $take_over$;
