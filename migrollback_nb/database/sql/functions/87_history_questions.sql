-- ---------------------------------------------------------------------------------------------------
-- What people ask of the history: which objects, how it stood on a day, checklists, proofs.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.objects_of_migrations(names text[] DEFAULT NULL)
RETURNS TABLE (migration_name text, action text, kind text, schema text, "table" text, object text, identity text,
               recorded_at timestamptz, recorded_by text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT o.migration_name, o.action, o.kind, n.schema, n."table", n.object, o.identity, o.recorded_at, o.source
    FROM migrollback_schema.migration_objects o
    CROSS JOIN LATERAL migrollback_schema.object_names(o.kind, o.identity, o.table_identity) n
    WHERE objects_of_migrations.names IS NULL OR o.migration_name = ANY (objects_of_migrations.names)
    ORDER BY o.recorded_at, o.migration_name COLLATE "C", o.kind COLLATE "C", o.identity COLLATE "C",
             o.action COLLATE "C"
$function$;
COMMENT ON FUNCTION migrollback_schema.objects_of_migrations(text[]) IS
    'What migrations did to which schema objects (names: only these), oldest first. schema, "table" (that it is or '
    'belongs to: also of an index, a constraint, a trigger, a column) and object: from its identity; recorded_by: '
    'apply (seen in the catalogs) or parsed (read from the file). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_status_events()
RETURNS TABLE (event_number bigint, migration_name text, since timestamptz, status text, event text, deploy_id text,
               occurred_at timestamptz, database_user text, client text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH changing AS (
        SELECT e.*, CASE
                   WHEN e.event IN ('applied', 'applied_again') THEN 'applied'
                   WHEN e.event = 'registered' AND coalesce(e.details ->> 'what', '') <> 'updated' THEN 'applied'
                   WHEN e.event = 'rolled_back' THEN 'rolled_back'
                   WHEN e.event = 'failed' AND e.details ->> 'passing' = 'false' THEN 'failed'
                   WHEN e.event = 'resolved' THEN e.details ->> 'new'
                   WHEN e.event = 'taken_over' THEN e.details ->> 'status'
                   WHEN e.event = 'history_changed' AND e.details ->> 'table' = 'migration_history'
                        THEN CASE WHEN e.details ->> 'operation' = 'DELETE' THEN 'deleted'
                             ELSE e.details #>> '{new,status}' END END AS status
        FROM migrollback_schema.migration_events e
        WHERE e.event IN ('applied', 'applied_again', 'registered', 'rolled_back', 'failed', 'resolved',
                          'history_changed', 'taken_over') AND e.migration_name IS NOT NULL
        UNION ALL                       -- it had been applied before that
        SELECT e.*, 'applied' FROM migrollback_schema.migration_events e
        WHERE e.event = 'taken_over' AND e.details ->> 'status' IN ('rolled_back', 'failed')
          AND e.details ? 'applied_at'),
    -- registered after it was applied: before 0.2.0 only the history says when that was
    alone AS (
        SELECT c.migration_name, min(c.event_number) AS event_number FROM changing c WHERE c.status = 'applied'
         GROUP BY c.migration_name HAVING count(*) = 1 AND bool_and(c.event = 'registered'))
    SELECT c.event_number, c.migration_name,
           CASE WHEN c.event = 'taken_over'
                THEN coalesce((c.details ->> CASE c.status WHEN 'applied' THEN 'applied_at' WHEN 'rolled_back'
                                             THEN 'rollback_at' END)::timestamptz, c.occurred_at)
                WHEN c.event IN ('registered', 'applied_again')
                THEN least(coalesce((c.details ->> 'applied_at')::timestamptz, h.applied_at, c.occurred_at),
                           c.occurred_at) ELSE c.occurred_at END,
           c.status, c.event, CASE WHEN c.status = 'applied' THEN c.details ->> 'deploy' END,
           c.occurred_at, c.database_user, c.client
    FROM changing c
    LEFT JOIN alone a ON a.event_number = c.event_number
    LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = a.migration_name
    WHERE c.status IS NOT NULL
    ORDER BY c.event_number, 3
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_status_events() IS
    'The events after which a migration stands otherwise, in order. status: applied, rolled_back, failed, or deleted '
    '(its row of the history, by hand); since: from when on, which is before the event where a migration was '
    'registered that had been applied already. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_at(moment timestamptz)
RETURNS TABLE (migration_name text, status text, since timestamptz, event_number bigint, event text, deploy_id text,
               database_user text, client text, is_system boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT l.migration_name, l.status, l.since, l.event_number, l.event, l.deploy_id, l.database_user, l.client,
           EXISTS (SELECT FROM migrollback_schema.migration_history h
                    WHERE h.migration_name = l.migration_name AND h.metadata ->> 'system' = 'true')
    FROM (SELECT DISTINCT ON (s.migration_name) s.* FROM migrollback_schema.migration_status_events() s
           WHERE s.since <= moment
           ORDER BY s.migration_name, s.event_number DESC, s.since DESC) l
    WHERE l.status <> 'deleted'
    ORDER BY l.since, l.event_number
$function$;
COMMENT ON FUNCTION migrollback_schema.migrations_at(timestamptz) IS
    'How each migration stood at a moment, by the audit log: applied, rolled_back or failed; since when, and by which '
    'event. No row: it was not there yet. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.checklist_items()
RETURNS TABLE (place int, item text, phase text, words text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    VALUES (1, 'staging', 'before', 'Tested rollback in staging environment'),
           (2, 'application', 'before', 'Verified application code compatible with rolled-back schema'),
           (3, 'dependents', 'before', 'Checked for dependent migrations'),
           (4, 'backup', 'before', 'Created database backup'),
           (5, 'window', 'before', 'Scheduled maintenance window'),
           (6, 'notified', 'before', 'Notified team/users of downtime'),
           (7, 'reapply', 'before', 'Prepared rollback of rollback plan (re-apply migration)'),
           (8, 'reason', 'before', 'Documented reason for rollback'),
           (9, 'maintenance_on', 'during', 'Enable maintenance mode'),
           (10, 'dry_run', 'during', 'Execute dry-run first'),
           (11, 'final_backup', 'during', 'Take final backup'),
           (12, 'execute', 'during', 'Execute rollback'),
           (13, 'verify', 'during', 'Verify database state'),
           (14, 'deploy', 'during', 'Deploy matching application version'),
           (15, 'smoke', 'during', 'Run smoke tests'),
           (16, 'errors', 'during', 'Monitor error rates'),
           (17, 'documented', 'after', 'Document what went wrong'),
           (18, 'mended', 'after', 'Update migration with fixes'),
           (19, 'redeploy', 'after', 'Plan re-deployment'),
           (20, 'maintenance_off', 'after', 'Disable maintenance mode'),
           (21, 'notified_after', 'after', 'Notify team/users')
$function$;
COMMENT ON FUNCTION migrollback_schema.checklist_items() IS
    'The items of the production checklist, in order. phase: before, during or after the rollback; words: as the '
    'specification words it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_checklists()
RETURNS TABLE (migration_name text, run bigint, ticket text, started_at timestamptz, ended_at timestamptz,
               rolled_back_at timestamptz, answered int, missing text[], database_user text, client text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH answer AS MATERIALIZED (
        SELECT e.migration_name, (e.details ->> 'run')::bigint AS run, e.details ->> 'item' AS item,
               e.details ->> 'outcome' AS outcome, e.details ->> 'ticket' AS ticket, e.event_number, e.occurred_at,
               e.database_user, e.client
        FROM migrollback_schema.migration_events e
        WHERE e.event = 'checklist_item' AND jsonb_typeof(e.details -> 'run') = 'number'),
    runs AS (
        SELECT a.migration_name, a.run, min(a.occurred_at) AS started_at, max(a.occurred_at) AS ended_at,
               (array_agg(a.ticket ORDER BY a.event_number DESC) FILTER (WHERE a.ticket IS NOT NULL))[1] AS ticket,
               (array_agg(a.database_user ORDER BY a.event_number DESC))[1] AS database_user,
               (array_agg(a.client ORDER BY a.event_number DESC))[1] AS client
        FROM answer a GROUP BY a.migration_name, a.run),
    complete AS MATERIALIZED (
        SELECT DISTINCT ON (a.migration_name, a.run, a.item) a.migration_name, a.run, a.item,
               a.outcome IN ('done', 'skipped') AS is_complete
        FROM answer a ORDER BY a.migration_name, a.run, a.item, a.event_number DESC),
    moves AS MATERIALIZED (
        SELECT s.* FROM migrollback_schema.migration_status_events() s
         WHERE s.migration_name IN (SELECT a.migration_name FROM answer a)),
    ended AS (                          -- the rollback that ended it, unless it was applied again before that
        SELECT r.migration_name, r.run, (
            SELECT CASE WHEN m.status = 'rolled_back' THEN m.occurred_at END FROM moves m
             WHERE m.migration_name = r.migration_name AND m.event_number > r.run AND m.status <> 'failed'
               AND (m.status = 'rolled_back' OR m.event IN ('applied', 'applied_again'))
             ORDER BY m.event_number LIMIT 1) AS rolled_back_at
        FROM runs r)
    SELECT r.migration_name, r.run, r.ticket, r.started_at, r.ended_at, n.rolled_back_at,
           (SELECT count(*) FROM complete c
             WHERE c.migration_name = r.migration_name AND c.run = r.run AND c.is_complete)::int,
           ARRAY(SELECT i.item FROM migrollback_schema.checklist_items() i
                  WHERE NOT EXISTS (SELECT FROM complete c WHERE c.migration_name = r.migration_name AND c.run = r.run
                                       AND c.item = i.item AND c.is_complete)
                    AND NOT (i.item = 'execute' AND n.rolled_back_at IS NOT NULL)
                  ORDER BY i.place),
           r.database_user, r.client
    FROM runs r JOIN ended n ON n.migration_name = r.migration_name AND n.run = r.run
    ORDER BY r.started_at, r.migration_name COLLATE "C", r.run
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_checklists() IS
    'Runs of the production checklist, oldest first. run: number of the event that applied the migration; started_at, '
    'ended_at: first and last answer; rolled_back_at: the rollback that it was for; answered: items that are done or '
    'skipped; missing: the others, in order; database_user, client: who answered last. Whether an answer still holds '
    'is not asked here. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.recorded_proofs()
RETURNS TABLE (migration_name text, checksum text, grade text, is_registered boolean, effects jsonb, differences jsonb,
               server_version text, proven_at timestamptz, proven_by text, client text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT p.migration_name, p.checksum, p.grade,
           h.migration_name IS NOT NULL AND p.checksum IS NOT DISTINCT FROM h.checksum
           AND p.rollback_md5 IS NOT DISTINCT FROM md5(convert_to(h.rollback_sql, 'UTF8')),
           p.effects, p.differences, p.server_version, p.proven_at, p.proven_by, p.client
    FROM migrollback_schema.migration_proofs p
    LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = p.migration_name
    ORDER BY p.proven_at, p.migration_name COLLATE "C", p.checksum
$function$;
COMMENT ON FUNCTION migrollback_schema.recorded_proofs() IS
    'Every grade that verify --record has kept, oldest first. is_registered: it is about the text and the rollback '
    'SQL that are registered now, so it counts. Does not write.';
