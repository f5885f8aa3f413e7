-- ---------------------------------------------------------------------------------------------------
-- Attempts: how one ended whose connection was lost, and how far one came that runs statement by statement.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.start_migration_rollback(
    names text[], attempt_id uuid, reason text DEFAULT NULL, client text DEFAULT NULL, target jsonb DEFAULT '{}',
    break_glass boolean DEFAULT false)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    allowed jsonb := '{}';
    gate    record;
    number  bigint;
BEGIN
    IF EXISTS (SELECT FROM migrollback_schema.migration_events e
                WHERE e.attempt_id = start_migration_rollback.attempt_id AND e.event = 'rolled_back') THEN
        RETURN NULL;                    -- another job of the same id was faster
    END IF;
    -- One that runs in a transaction meets the gate there; statement by statement it meets it here.
    IF cardinality(names) = 1 AND EXISTS (
        SELECT FROM migrollback_schema.migration_history h
         WHERE h.migration_name = names[1] AND h.metadata #>> '{rollback,transaction}' = 'false'
           AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8'))) THEN
        gate := migrollback_schema.approval_of_start(names[1], break_glass, reason);
        IF gate.refusal IS NOT NULL THEN
            RAISE EXCEPTION '%', gate.refusal USING ERRCODE = 'MR029', HINT = 'Nothing was changed.';
        END IF;
        allowed := coalesce(gate.details, '{"unasked": true}');
    END IF;
    number := (
        SELECT max(migrollback_schema.add_migration_event(
                   'started'::text, n.name, start_migration_rollback.attempt_id,
                   migrollback_schema.reason_with_broken_glass(start_migration_rollback.reason, allowed),
                   start_migration_rollback.client,
                   target - '{approval,break_glass,unasked}'::text[] || allowed || jsonb_build_object(
                       'rollback_md5', md5(convert_to(n.rollback_sql, 'UTF8')),
                       'chain', nullif(cardinality(names), 1))))
          -- in this order, which is that of the rollback
          FROM (SELECT u.name, h.rollback_sql FROM unnest(names) WITH ORDINALITY AS u (name, place)
                  JOIN migrollback_schema.migration_history h ON h.migration_name = u.name ORDER BY u.place) n);
    IF allowed ? 'break_glass' THEN
        PERFORM migrollback_schema.record_run_without_approval(names, attempt_id, reason, client, allowed);
    END IF;
    RETURN number;
END $function$;
COMMENT ON FUNCTION migrollback_schema.start_migration_rollback(text[], uuid, text, text, jsonb, boolean) IS
    'Writes an event for each migration, to be committed before the rollback begins: if the connection is lost, the '
    'attempt is known. Of one that runs outside a transaction it keeps the approval that a policy asks for '
    '(break_glass: without), under which the run goes on when it is interrupted; SQLSTATE MR029: there is none. '
    'Returns the number of the last one, or NULL when none of the names is registered, or the attempt has rolled back '
    'already.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_attempt(attempt_id uuid)
RETURNS TABLE (migration_name text, event text, event_number bigint, details jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Under the lock: while the lost COMMIT is still at work, "not found" would be a wrong answer.
    PERFORM migrollback_schema.lock_migrations();
    RETURN QUERY
    SELECT e.migration_name, e.event, e.event_number, e.details FROM migrollback_schema.migration_events e
    WHERE e.attempt_id = migration_attempt.attempt_id AND e.event IN ('rolled_back', 'failed', 'refused', 'applied',
        'apply_failed')
    ORDER BY e.event_number;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_attempt(uuid) IS
    'How an attempt ended: the events rolled_back, failed, refused, applied, apply_failed that carry its id. No row: '
    'nothing of it was committed. Waits for a running attempt. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.attempt_asked(attempt_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
BEGIN
    RETURN (SELECT e.details FROM migrollback_schema.migration_events e
             WHERE e.attempt_id = attempt_asked.attempt_id AND e.event = 'started' ORDER BY e.event_number LIMIT 1);
END $function$;
COMMENT ON FUNCTION migrollback_schema.attempt_asked(uuid) IS
    'Details of the first event started of this attempt: asked, what it was begun for, as it was asked; names, of one '
    'that takes a transaction for each. NULL where it never began. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.attempt_names(attempt_id uuid) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- as above
    SET enable_seqscan = off AS $function$
BEGIN
    RETURN ARRAY(SELECT e.migration_name FROM migrollback_schema.migration_events e
                  WHERE e.attempt_id = attempt_names.attempt_id AND e.event = 'started'
                  GROUP BY e.migration_name ORDER BY min(e.event_number));
END $function$;
COMMENT ON FUNCTION migrollback_schema.attempt_names(uuid) IS
    'The migrations for which this attempt was begun, in the order of their rollback. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.ended_attempt(attempt_id uuid, names text[])
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- as above
    SET enable_seqscan = off AS $function$
DECLARE
    done   text[];
    ended  timestamptz;
    failed migrollback_schema.migration_events;
BEGIN
    SELECT array_agg(e.migration_name ORDER BY e.event_number), max(e.occurred_at) INTO done, ended
      FROM migrollback_schema.migration_events e
     WHERE e.attempt_id = ended_attempt.attempt_id AND e.event = 'rolled_back';
    IF done @> names AND names @> done THEN
        RETURN QUERY
        SELECT true, format('Rolled back by this attempt already, at %s: nothing ran now',
                            to_char(ended AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')), NULL::text, n.name
          FROM unnest(names) WITH ORDINALITY AS n (name, place) ORDER BY n.place;
        RETURN;
    ELSIF done IS NOT NULL THEN
        RETURN QUERY SELECT false, format('Attempt %s has rolled back %s: for anything else it takes another id',
                                          attempt_id, array_to_string(done, ', ')), NULL::text, names[1];
        RETURN;
    END IF;
    SELECT * INTO failed FROM migrollback_schema.migration_events e
     WHERE e.attempt_id = ended_attempt.attempt_id AND e.event = 'failed' ORDER BY e.event_number DESC LIMIT 1;
    IF failed.details ->> 'passing' = 'false' THEN
        RETURN QUERY SELECT false, format('This attempt failed already, at %s, and nothing ran now: %s',
                                          to_char(failed.occurred_at AT TIME ZONE 'UTC',
                                                  'YYYY-MM-DD HH24:MI:SS "UTC"'),
                                          failed.details ->> 'message'), NULL::text, failed.migration_name;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.ended_attempt(uuid, text[]) IS
    'How an attempt to roll these migrations back ended, as rows of execute_migration_rollbacks(); none where it has '
    'not: it never began, nothing of it was committed, it was refused, or it met an error that passes. An attempt that '
    'has rolled back others is refused. Call it under lock_migrations(). Does not write.';

-- Statement by statement, for rollbacks that PostgreSQL refuses inside a transaction. The client holds
-- lock_migrations() in a second,
-- open transaction all the while, runs each statement alone, and journals it.

CREATE OR REPLACE FUNCTION migrollback_schema.last_whole_event(name text, direction text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce((
        SELECT max(o.event_number) FROM migrollback_schema.migration_events o
        WHERE o.migration_name = last_whole_event.name
          AND (o.event IN ('applied', 'applied_again', 'registered', 'rolled_back', 'taken_over')
               -- undone by hand
               OR o.event = 'resolved' AND direction = 'apply' AND o.details ->> 'new' = 'rolled_back'
               OR o.event = 'history_changed' AND ((o.details -> 'new') ?| ARRAY['rollback_sql', 'status']
                    -- counted by another cut, a statement would be left out
                    OR o.details #> '{old,metadata,rollback,statements}' IS DISTINCT FROM o.details #>
                        '{new,metadata,rollback,statements}'))), 0)
$function$;
COMMENT ON FUNCTION migrollback_schema.last_whole_event(text, text) IS
    'Number of the last event at which this migration was whole, applied or not: statements that were completed before '
    'it are no part of an interrupted run in this direction (rollback or apply). 0: there was none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_statements_completed(
    name text, direction text DEFAULT 'rollback')
RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(max((e.details ->> 'statement_number')::int), 0)
    FROM migrollback_schema.migration_events e
    WHERE e.migration_name = migration_statements_completed.name AND e.event = 'statement_completed'
      AND e.details ->> 'direction' = migration_statements_completed.direction
      AND e.event_number > migrollback_schema.last_whole_event(name, migration_statements_completed.direction)
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_statements_completed(text, text) IS
    'How many statements of an interrupted run (direction: rollback or apply) are done: the next run resumes after '
    'them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.journal_migration_statement(
    name text, attempt_id uuid, statement_number int, duration_ms double precision, direction text DEFAULT 'rollback',
    client text DEFAULT NULL, tries int DEFAULT 1)
RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT migrollback_schema.add_migration_event('statement_completed', name, attempt_id, NULL::text, client,
        jsonb_strip_nulls(jsonb_build_object('direction', direction, 'statement_number', statement_number,
                                             'duration_ms', duration_ms, 'tries', nullif(tries, 1))))
$function$;
COMMENT ON FUNCTION migrollback_schema.journal_migration_statement(
    text, uuid, int, double precision, text, text, int) IS
    'Writes: statement statement_number (from 1) of a run outside a transaction is done; duration_ms in milliseconds, '
    'of its last try; tries: how many it took, for a lock undid the others.';

CREATE OR REPLACE FUNCTION migrollback_schema.finish_migration_rollback(
    name text, attempt_id uuid, reason text DEFAULT NULL, client text DEFAULT NULL, details jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text, sql_executed text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    finished migrollback_schema.migration_history;
    approved jsonb;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    SELECT * INTO finished FROM migrollback_schema.migration_history h
      WHERE h.migration_name = finish_migration_rollback.name FOR UPDATE;
    IF finished.metadata #>> '{rollback,transaction}' IS DISTINCT FROM 'false'
       OR migrollback_schema.migration_statements_completed(name,
           'rollback') < cardinality(migrollback_schema.migration_rollback_statements(finished.rollback_sql,
               finished.metadata)) THEN
        RAISE EXCEPTION 'the rollback of % is not finished', name
            USING ERRCODE = 'MR002', HINT = 'Every statement must be journalled first.';
    END IF;
    approved := migrollback_schema.approval_of_finish(name);
    PERFORM migrollback_schema.mark_rolled_back(name, attempt_id,
        migrollback_schema.reason_with_broken_glass(reason, approved), client,
        details - '{approval,break_glass}'::text[] || approved);
    RETURN QUERY SELECT true, 'Migration rolled back successfully'::text, finished.rollback_sql;
END $function$;
COMMENT ON FUNCTION migrollback_schema.finish_migration_rollback(text, uuid, text, text, jsonb) IS
    'Writes the end of a rollback that ran outside a transaction, once all its statements are journalled (else '
    'SQLSTATE MR002), and where it began with the approvals that a policy asks for (else MR029).';
