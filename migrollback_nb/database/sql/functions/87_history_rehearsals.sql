-- ---------------------------------------------------------------------------------------------------
-- Rehearsals as the audit log keeps them: how they ended, what they locked, lost and changed.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.recorded_rehearsals()
RETURNS TABLE (event_number bigint, migration_name text, rehearsed_at timestamptz, outcome text, message text,
               sqlstate text, failed_migration text, migrations text[], duration_ms double precision,
               longest_lock_ms double precision, rows_lost bigint, created int, changed int, dropped int, broken int,
               fingerprint text, database_user text, client text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT e.event_number, e.migration_name, e.occurred_at,
           CASE WHEN e.details ->> 'outcome' = 'stopped' THEN 'stopped'
                WHEN e.details ->> 'success' = 'true' THEN 'would succeed' ELSE 'would fail' END,
           e.details ->> 'message', e.details ->> 'sqlstate', e.details ->> 'failed',
           coalesce((SELECT array_agg(c.name ORDER BY c.place)
                       FROM jsonb_array_elements_text(e.details -> 'chain') WITH ORDINALITY AS c (name, place)),
                    ARRAY[e.migration_name]),
           (e.details ->> 'duration_ms')::double precision,
           (SELECT max((l.value ->> 'held_ms')::double precision)
              FROM jsonb_array_elements(coalesce(e.details -> 'locks', '[]')) l),
           (e.details ->> 'rows_lost')::bigint, coalesce((e.details #>> '{changes,created}')::int, 0),
           coalesce((e.details #>> '{changes,changed}')::int, 0), coalesce((e.details #>> '{changes,dropped}')::int, 0),
           coalesce((e.details ->> 'broken')::int, 0), e.details ->> 'fingerprint', e.database_user, e.client
    FROM migrollback_schema.migration_events e WHERE e.event = 'rehearsed'
    ORDER BY e.event_number
$function$;
COMMENT ON FUNCTION migrollback_schema.recorded_rehearsals() IS
    'Rehearsals of the audit log, in order. outcome: would succeed, would fail, or stopped (others would have waited); '
    'migrations: in the order of their rollback; duration_ms, longest_lock_ms: milliseconds; rows_lost: how many rows '
    'the rollback would destroy; created, changed, dropped: how many schema objects. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.recorded_rehearsal_locks()
RETURNS TABLE (event_number bigint, rehearsed_at timestamptz, migration_name text, relation text, kind text, mode text,
               statement_number int, held_ms double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT e.event_number, e.occurred_at, coalesce(l.value ->> 'migration_name', e.migration_name),
           l.value ->> 'relation',
           CASE l.value ->> 'kind' WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'I' THEN 'partitioned index'
                WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type'
                ELSE l.value ->> 'kind' END,
           migrollback_schema.lock_mode_words(l.value ->> 'mode'), (l.value ->> 'statement_number')::int,
           (l.value ->> 'held_ms')::double precision
    FROM migrollback_schema.migration_events e
    CROSS JOIN LATERAL jsonb_array_elements(coalesce(e.details -> 'locks', '[]')) WITH ORDINALITY AS l (value, place)
    WHERE e.event = 'rehearsed'
    ORDER BY e.event_number, l.place
$function$;
COMMENT ON FUNCTION migrollback_schema.recorded_rehearsal_locks() IS
    'Locks that rehearsals held, as the audit log keeps them: of each rehearsal the 200 that were held longest. '
    'migration_name and statement_number: which took it; held_ms: until the end, in milliseconds. Rehearsals before '
    '0.2.0 kept none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.recorded_rehearsal_rows()
RETURNS TABLE (event_number bigint, rehearsed_at timestamptz, migration_name text, relation text, "column" text,
               what text, rows bigint, exact boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT e.event_number, e.occurred_at, e.migration_name, r.value ->> 'relation', r.value ->> 'column',
           r.value ->> 'what', (r.value ->> 'rows')::bigint, coalesce((r.value ->> 'exact')::boolean, false)
    FROM migrollback_schema.migration_events e
    CROSS JOIN LATERAL jsonb_array_elements(coalesce(e.details -> 'rows', '[]')) WITH ORDINALITY AS r (value, place)
    WHERE e.event = 'rehearsed'
    ORDER BY e.event_number, r.place
$function$;
COMMENT ON FUNCTION migrollback_schema.recorded_rehearsal_rows() IS
    'Rows and values that rehearsals found would be lost, as the audit log keeps them. migration_name: the one that '
    'was to be rolled back; rows: how many, NULL where no one counted; exact: counted, not estimated. Rehearsals '
    'before 0.2.0 kept none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.recorded_rehearsal_changes()
RETURNS TABLE (event_number bigint, rehearsed_at timestamptz, migration_name text, change text, kind text,
               schema text, "table" text, object text, identity text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT e.event_number, e.occurred_at, e.migration_name, c.value ->> 0, c.value ->> 1, n.schema, n."table",
           n.object, c.value ->> 2
    FROM migrollback_schema.migration_events e
    CROSS JOIN LATERAL jsonb_array_elements(coalesce(e.details -> 'foretold', '[]')) WITH ORDINALITY AS c (value, place)
    CROSS JOIN LATERAL migrollback_schema.object_names(
        c.value ->> 1, c.value ->> 2,
        CASE WHEN c.value ->> 1 IN ('index', 'statistics', 'sequence') THEN (
            SELECT o.table_identity FROM migrollback_schema.migration_objects o
             WHERE left(o.identity, 400) COLLATE "C" = left(c.value ->> 2, 400) AND o.identity = c.value ->> 2
               AND o.kind = c.value ->> 1 AND o.table_identity IS NOT NULL LIMIT 1) END) n
    WHERE e.event = 'rehearsed'
    ORDER BY e.event_number, c.place
$function$;
COMMENT ON FUNCTION migrollback_schema.recorded_rehearsal_changes() IS
    'What rehearsals did to schema objects, as the audit log keeps it: change: created, changed, dropped, reordered. '
    'migration_name: the one that was to be rolled back. Does not write.';
