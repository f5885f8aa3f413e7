-- ---------------------------------------------------------------------------------------------------
-- What a DBA asks who has psql alone: the order of a chain, attempts, what is unfinished, what came last. Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_chain(name text)
RETURNS TABLE (place int, migration_name text, migration_version text, status text, applied_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    waiting text[];                     -- in the order in which they were applied
    ordered text[] := '{}';
    bases   text[];
    needing text[];
    turn    text;
BEGIN
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_history h
                   WHERE h.migration_name = migration_chain.name) THEN
        RAISE EXCEPTION 'Migration not found' USING ERRCODE = 'MR001', DETAIL = migration_chain.name;
    END IF;
    SELECT array_agg(e.migration_name), array_agg(e.depends_on) INTO needing, bases
      FROM migrollback_schema.migration_dependents(migration_chain.name) e;
    waiting := ARRAY(
        SELECT h.migration_name FROM migrollback_schema.migration_history h
         WHERE h.migration_name = migration_chain.name OR h.migration_name = ANY (needing)
         ORDER BY h.applied_at, h.migration_name COLLATE "C");
    -- In the order of applying, each after all that it depends on: that order turned round. What is rolled back already
    -- orders the others and is left out.
    WHILE cardinality(waiting) > 0 LOOP
        SELECT w.name INTO turn FROM unnest(waiting) WITH ORDINALITY AS w (name, place)
         WHERE NOT EXISTS (SELECT FROM unnest(needing, bases) AS e (dependent, base)
                            WHERE e.dependent = w.name AND e.base = ANY (waiting))
         ORDER BY w.place LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'these migrations depend on each other in a cycle: %', array_to_string(waiting, ', ')
                USING ERRCODE = 'MR005', DETAIL = array_to_json(waiting), HINT = 'Take one of the dependencies away.';
        END IF;
        ordered := turn || ordered;
        waiting := array_remove(waiting, turn);
    END LOOP;
    RETURN QUERY
        SELECT row_number() OVER (ORDER BY o.place)::int, h.migration_name, h.migration_version, h.status, h.applied_at
          FROM unnest(ordered) WITH ORDINALITY AS o (name, place)
          JOIN migrollback_schema.migration_history h ON h.migration_name = o.name
         WHERE h.status <> 'rolled_back' OR h.migration_name = migration_chain.name
         ORDER BY o.place;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_chain(text) IS
    'This migration and all that must be rolled back before it, in the order in which they are rolled back (place): '
    'dependents first, the migration itself last, the latest first where the order is open. Its names, in this '
    'order, are what execute_migration_rollbacks() takes. SQLSTATE MR001: not found; MR005: a cycle. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_attempts(name text DEFAULT NULL)
RETURNS TABLE (attempt_id uuid, migration_name text, outcome text, started_at timestamptz, ended_at timestamptz,
               duration_ms double precision, sqlstate text, message text, database_user text, client text, reason text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH about AS MATERIALIZED (
        SELECT e.* FROM migrollback_schema.migration_events e
         WHERE e.event IN ('started', 'rolled_back', 'failed', 'refused')
           AND (migration_attempts.name IS NULL OR e.migration_name = migration_attempts.name)),
    paired AS (
        SELECT s.event_number, s.occurred_at AS started_at, f.*
        FROM about s CROSS JOIN LATERAL (
            SELECT coalesce(max(f.event_number), s.event_number) AS last_number FROM about f
             WHERE f.attempt_id = s.attempt_id AND f.migration_name = s.migration_name AND f.event <> 'started') f
        WHERE s.event = 'started'
        UNION ALL                       -- by hand, without a start
        SELECT f.event_number, f.occurred_at, f.event_number FROM about f
        WHERE f.event <> 'started' AND NOT EXISTS (
            SELECT FROM about s
             WHERE s.event = 'started' AND s.attempt_id = f.attempt_id AND s.migration_name = f.migration_name))
    SELECT e.attempt_id, e.migration_name, CASE e.event WHEN 'started' THEN 'unknown' ELSE e.event END, p.started_at,
           e.occurred_at, (e.details ->> 'duration_ms')::double precision, e.details ->> 'sqlstate',
           e.details ->> 'message', e.database_user, e.client, e.reason
    FROM paired p JOIN about e ON e.event_number = p.last_number
    ORDER BY p.event_number DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_attempts(text) IS
    'Attempts to roll this migration back, by default all, the newest first, also those that were refused or failed. '
    'outcome: rolled_back, failed, refused, or unknown where only the start was recorded. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.unfinished_migration_rollbacks()
RETURNS TABLE (migration_name text, attempt_id uuid, started_at timestamptz, database_user text, client text,
               reason text, completed int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT s.migration_name, s.attempt_id, s.occurred_at, s.database_user, s.client, s.reason,
           migrollback_schema.migration_statements_completed(s.migration_name, 'rollback')
    FROM migrollback_schema.migration_events s
    JOIN migrollback_schema.migration_history h ON h.migration_name = s.migration_name AND h.status <> 'rolled_back'
    WHERE s.event = 'started' AND s.occurred_at > now() - interval '7 days'
      AND NOT EXISTS (SELECT FROM migrollback_schema.migration_events e
                       WHERE e.attempt_id = s.attempt_id AND e.event IN ('rolled_back', 'failed', 'refused'))
      AND NOT EXISTS (SELECT FROM migrollback_schema.migration_events l
                       WHERE l.migration_name = s.migration_name AND l.event_number > s.event_number
                         AND l.event IN ('started', 'rolled_back', 'failed', 'resolved', 'applied'))
    ORDER BY s.event_number DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.unfinished_migration_rollbacks() IS
    'Rollbacks of the last seven days that were begun and whose end was not recorded, the newest first. While '
    'another session holds lock_migrations() it may be at work on them; otherwise nothing of them was committed, but '
    'for statements that ran outside a transaction: completed says how many. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.last_applied_migration()
RETURNS TABLE (migration_name text, migration_version text, status text, applied_at timestamptz, warning text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH found AS MATERIALIZED (SELECT f.* FROM migrollback_schema.migration_ledger_findings(NULL::text[]) f)
    SELECT h.migration_name, h.migration_version, h.status, h.applied_at,
           migrollback_schema.ledger_finding_warning(f.migration_name, f.ledger, f.finding)
    FROM migrollback_schema.migration_history h LEFT JOIN found f ON f.migration_name = h.migration_name
    WHERE h.metadata ->> 'system' IS DISTINCT FROM 'true'
      AND (h.status <> 'rolled_back' OR f.finding = 'applied_again')
    -- its tool applies in order, so the one that it applied again came last
    ORDER BY f.finding IS DISTINCT FROM 'applied_again', h.applied_at DESC, h.migration_name COLLATE "C" DESC LIMIT 1
$function$;
COMMENT ON FUNCTION migrollback_schema.last_applied_migration() IS
    'Which migration was applied last, as the history and the ledgers of deploy tools say together, the system''s '
    'own aside; no row where none is. warning: what a ledger knows better of it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_apply_problems(name text, depends_on text[] DEFAULT '{}')
RETURNS TABLE (problem text, migration_name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT 'already applied', h.migration_name FROM migrollback_schema.migration_history h
     WHERE h.migration_name = migration_apply_problems.name AND h.status <> 'rolled_back'
    UNION ALL
    SELECT CASE WHEN h.migration_name IS NULL THEN 'dependency not registered' ELSE 'dependency rolled back' END, d.name
      FROM unnest(depends_on) AS d (name)
      LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = d.name
     WHERE h.status IS NULL OR h.status = 'rolled_back'
     ORDER BY 1, 2
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_apply_problems(text, text[]) IS
    'Why apply_migration() would refuse this migration with these dependencies: it is applied already, or it depends '
    'on migrations that are not registered or are rolled back (migration_name). No row: it would not. Does not write.';
