-- ---------------------------------------------------------------------------------------------------
-- Rolling back and applying.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.mark_rolled_back(
    name text, attempt_id uuid, reason text, client text, details jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- a plan kept from when the table was empty would scan it whole when it is full
DECLARE
    marked migrollback_schema.migration_history;
BEGIN
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    UPDATE migrollback_schema.migration_history h SET status = 'rolled_back', notes = coalesce(mark_rolled_back.reason, h.notes)
     WHERE h.migration_name = mark_rolled_back.name RETURNING * INTO marked;
    PERFORM set_config('migrollback.recording', '', true);
    PERFORM migrollback_schema.add_migration_event('rolled_back', name, attempt_id, reason, client, jsonb_strip_nulls(details || jsonb_build_object(
        'rollback_md5', md5(convert_to(marked.rollback_sql, 'UTF8')), 'ledger', migrollback_schema.forget_in_deploy_ledger(name, marked.migration_version, marked.metadata))));
END $function$;
COMMENT ON FUNCTION migrollback_schema.mark_rolled_back(text, uuid, text, text, jsonb) IS
    'Writes status, event and the deploy tool''s ledger of a migration whose rollback SQL has run in this transaction.';

CREATE OR REPLACE FUNCTION migrollback_schema.fail_migration_rollback(
    name text, attempt_id uuid, reason text, client text, details jsonb)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- A planted function that makes a call of ours ambiguous is not the migration's fault, and goes when it is dropped.
    passing boolean := migrollback_schema.is_transient_error(details ->> 'sqlstate') OR details ? 'bookkeeping' AND details ->> 'sqlstate' = '42725';
BEGIN
    IF NOT passing THEN
        PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
        UPDATE migrollback_schema.migration_history h SET status = 'failed' WHERE h.migration_name = fail_migration_rollback.name AND h.status = 'applied';
        PERFORM set_config('migrollback.recording', '', true);
    END IF;
    PERFORM migrollback_schema.add_migration_event('failed', name, attempt_id, reason, client, details || jsonb_build_object('passing', passing));
    RETURN CASE WHEN passing THEN 'applied' ELSE 'failed' END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.fail_migration_rollback(text, uuid, text, text, jsonb) IS
    'Writes the event of a rollback that failed, and status failed unless details.sqlstate is of an error that may pass. Returns the status.';

CREATE OR REPLACE FUNCTION migrollback_schema.execute_migration_rollbacks(
    names text[], dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL, attempt_id uuid DEFAULT NULL,
    client text DEFAULT NULL, chain_head text DEFAULT NULL, otherwise_path text DEFAULT migrollback_schema.effective_search_path(),
    snapshot_each boolean DEFAULT false, session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    migration   text;
    planned   migrollback_schema.migration_history;
    refusal   text;
    in_the_way text[];
    handled   text[] := '{}';
    is_system boolean := false;
    is_whole  boolean := false;         -- it came to its end, and nothing of it was undone
    ours      record;
    token     text;
    check_each boolean;
    touched   constant jsonb := '{"sqlstate": "MR022", "message": "the SQL touches the tables or functions of the rollback system", "hint": "Leave migration_history and its neighbours to migrollback."}';
    outcome   jsonb;
    hint      text;
    sqls      text[] := '{}';           -- of the steps so far
    effectless boolean[] := '{}';       -- which of them ran and wrote nothing
    put_back  jsonb := '{}';            -- name -> settings that its SQL had changed
    changed   record;
    unclear   boolean;
    path_touched boolean := false;
BEGIN
    IF NOT dry_run THEN
        PERFORM migrollback_schema.lock_migrations();
        -- In order of name, so that two chains cannot lock each other out; a change by hand that is under way is waited for.
        PERFORM FROM migrollback_schema.migration_history h WHERE h.migration_name = ANY (names) ORDER BY h.migration_name FOR UPDATE;
    END IF;
    IF cardinality(names) = 0 OR names IS NULL THEN
        RAISE EXCEPTION 'no migration was named' USING ERRCODE = 'MR006';
    END IF;
    IF preview IS NOT NULL THEN
        refusal := migrollback_schema.changed_since_preview(preview, migrollback_schema.migration_fingerprint(names, otherwise_path));
        migration := names[1];
    END IF;

    IF NOT dry_run THEN
        ours := migrollback_schema.migration_system_objects();
        token := migrollback_schema.migration_system_token();
    END IF;
    check_each := cardinality(names) = 1;
    <<attempts>>
    LOOP
        sqls := '{}';
        effectless := '{}';
        put_back := '{}';
        path_touched := false;
        handled := '{}';
        is_whole := false;
        BEGIN
            IF refusal IS NULL THEN
                FOREACH migration IN ARRAY names LOOP
                    SELECT * INTO planned FROM migrollback_schema.migration_history h WHERE h.migration_name = migration;
                    is_system := migrollback_schema.is_system_migration(migration) AND coalesce(planned.metadata ->> 'system' = 'true', false);
                    -- under the locks once more; what this chain has dealt with already need not be looked behind
                    in_the_way := migrollback_schema.migrations_to_roll_back_first(ARRAY[migration], handled);
                    refusal := CASE
                        WHEN planned.id IS NULL THEN 'Migration not found'
                        WHEN is_system AND cardinality(names) > 1 THEN 'The rollback system itself is rolled back alone'
                        WHEN is_system AND NOT dry_run AND chain_head IS DISTINCT FROM (SELECT v.head_hash FROM migrollback_schema.verify_migration_events() v) THEN
                            'Save migration_history and migration_events first, then give the hash of the last event as chain_head'
                        WHEN planned.metadata #>> '{rollback,transaction}' = 'false' AND (NOT dry_run OR cardinality(names) > 1)
                             AND planned.metadata #>> '{rollback,md5}' = md5(convert_to(planned.rollback_sql, 'UTF8')) THEN
                            'This rollback runs outside a transaction: use migrollback rollback, alone, which runs it statement by statement'
                        WHEN NOT dry_run AND cardinality(handled) = 0 THEN migrollback_schema.production_refusal(execute_migration_rollbacks.reason)
                        END;
                    IF planned.id IS NOT NULL THEN
                        refusal := coalesce(
                            migrollback_schema.migration_blocking_reason(planned.status, cardinality(in_the_way) > 0, planned.rollback_sql, planned.metadata), refusal,
                            (SELECT p.reason FROM migrollback_schema.deploy_in_progress(planned.metadata ->> 'tool', planned.metadata ->> 'search_path') p));
                    END IF;
                    handled := handled || migration;
                    EXIT WHEN refusal IS NOT NULL;
                    sqls := sqls || planned.rollback_sql;
                    CONTINUE WHEN dry_run;
                    outcome := migrollback_schema.run_migration_sql(
                        migrollback_schema.migration_rollback_statements(planned.rollback_sql, planned.metadata),
                        migrollback_schema.migration_rollback_path(planned.metadata, otherwise_path),
                        session_path => execute_migration_rollbacks.session_path, session_settings => execute_migration_rollbacks.session_settings,
                        set_local => ARRAY(SELECT jsonb_array_elements_text(coalesce(planned.metadata #> '{rollback,set_local}', '[]'))),
                        set_session => ARRAY(SELECT jsonb_array_elements_text(coalesce(planned.metadata #> '{rollback,set_session}', '[]'))),
                        system_tables => CASE WHEN is_system THEN '{}'::oid[] ELSE ours.tables END, more_follows => migration <> names[cardinality(names)],
                        announced => migrollback_schema.migration_progress_notices(names, cardinality(handled), planned.rollback_sql, planned.metadata));
                    IF check_each AND NOT is_system AND NOT outcome ? 'sqlstate' THEN   -- apart from the next: there our functions may be gone
                        -- what was replaced can no longer be asked: our functions by the versions of their rows, from here
                        IF EXISTS (SELECT FROM pg_proc f WHERE f.oid = ANY (ours.routines) AND age(f.xmin) <= 0)
                           OR EXISTS (SELECT FROM migrollback_schema.migration_history h WHERE age(h.xmin) <= 0 AND (cardinality(names) = 1 OR h.migration_name <> ALL (names))) THEN
                            outcome := touched;
                        ELSIF migrollback_schema.migration_system_token() <> token THEN
                            outcome := touched;
                        END IF;
                    END IF;
                    IF outcome ? 'sqlstate' THEN
                        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                    END IF;
                    path_touched := path_touched OR outcome ? 'path_touched';
                    outcome := outcome - 'path_touched';
                    IF outcome ? 'settings_put_back' THEN
                        put_back := put_back || jsonb_build_object(migration, outcome -> 'settings_put_back');
                    END IF;
                    effectless := effectless || (outcome ? 'unchanged');
                    IF NOT is_system THEN
                        PERFORM migrollback_schema.mark_rolled_back(migration, attempt_id, reason, client, outcome);
                        IF snapshot_each AND migration <> names[cardinality(names)] THEN
                            PERFORM migrollback_schema.create_migration_snapshot(migration, NULL::text, 'after rollback', ARRAY[migration], client);
                        END IF;
                    END IF;
                END LOOP;
            END IF;
            IF refusal IS NULL AND NOT dry_run AND NOT check_each THEN
                IF EXISTS (SELECT FROM pg_proc f WHERE f.oid = ANY (ours.routines) AND age(f.xmin) <= 0)
                   OR EXISTS (SELECT FROM migrollback_schema.migration_history h WHERE age(h.xmin) <= 0 AND h.migration_name <> ALL (names)) THEN
                    outcome := touched;
                    RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                END IF;
                IF migrollback_schema.migration_system_token() <> token THEN
                    outcome := touched;
                    RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                END IF;
            END IF;
            IF refusal IS NOT NULL AND cardinality(effectless) > 0 THEN
                RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';  -- refused halfway through a chain: whole or not at all
            END IF;
            is_whole := true;
        EXCEPTION
            WHEN SQLSTATE 'MR099' THEN
                NULL;                       -- what ran is undone; the variables say why
            WHEN query_canceled OR OTHERS THEN  -- our own bookkeeping failed, the deploy tool's ledger for one
                IF current_setting('migrollback.rethrow', true) = 'on' AND current_setting('migrollback.rehearsal', true) = pg_current_xact_id()::text THEN
                    RAISE;
                END IF;
                GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                IF SQLSTATE = '42725' THEN
                    hint := 'A function that is not this system''s has the name of one of its own: migrollback install lists such functions. Drop them, or have their owner do it.';
                END IF;
                outcome := jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM, 'hint', nullif(hint, ''), 'bookkeeping', true);
        END;
        -- A chain is looked at once, at its end; only when something of ours was touched it runs again, undone as it is, to find out by whom.
        EXIT attempts WHEN check_each OR NOT coalesce(outcome ->> 'sqlstate' = 'MR022' OR outcome ? 'bookkeeping', false);
        check_each := true;
        outcome := NULL;
    END LOOP;

    IF is_whole AND put_back <> '{}' THEN
        -- A rehearsal is undone: it leaves no doubt.
        unclear := session_settings = '{}' AND transaction_timestamp() <> statement_timestamp()
               AND coalesce(current_setting('migrollback.rehearsal', true), '') <> coalesce(pg_current_xact_id_if_assigned()::text, 'none');
        FOR changed IN SELECT n.name, array_to_string(ARRAY(SELECT jsonb_array_elements_text(put_back -> n.name)), ', ') AS settings
                         FROM unnest(names) WITH ORDINALITY AS n (name, place) WHERE put_back ? n.name ORDER BY n.place
        LOOP
            IF unclear THEN
                RAISE NOTICE 'Settings that the rollback SQL of % had changed were put back: %', changed.name, changed.settings
                    USING DETAIL = 'What SET LOCAL has set of them in this transaction cannot be told from what SET has: after COMMIT the session keeps it.';
            ELSE
                RAISE NOTICE 'Settings that the rollback SQL of % had changed were put back: %', changed.name, changed.settings;
            END IF;
        END LOOP;
    END IF;
    IF refusal IS NOT NULL THEN
        IF NOT dry_run THEN
            PERFORM migrollback_schema.add_migration_event('refused', migration, attempt_id, execute_migration_rollbacks.reason, execute_migration_rollbacks.client,
                                                            jsonb_build_object('message', refusal));
        END IF;
        RETURN QUERY SELECT false, refusal, NULL::text, migration;
    ELSIF outcome ? 'sqlstate' THEN
        PERFORM migrollback_schema.fail_migration_rollback(migration, attempt_id, execute_migration_rollbacks.reason, execute_migration_rollbacks.client, outcome);
        RETURN QUERY SELECT false, 'Rollback failed: ' || (outcome ->> 'message'), NULL::text, migration;
    ELSIF NOT is_whole THEN
        RAISE EXCEPTION 'everything was undone, and nobody knows why' USING ERRCODE = 'XX000', HINT = 'This is a fault of migrollback: please report it.';
    ELSIF is_system AND NOT dry_run THEN
        -- Nothing of ours is left to call.
        RETURN QUERY SELECT true, 'Migration rolled back successfully. The rollback system is gone and its audit trail ends here'::text, sqls[1], names[1];
    ELSE
        RETURN QUERY
        SELECT true,
               CASE WHEN dry_run THEN 'Dry run: rollback SQL shown below (not executed)'
                    WHEN n.effectless THEN
                        'Rollback SQL ran, but changed nothing: look at its object names and at the search_path ('
                        || (SELECT migrollback_schema.migration_rollback_path(h.metadata, otherwise_path) FROM migrollback_schema.migration_history h
                             WHERE h.migration_name = n.name) || ')'
                    ELSE 'Migration rolled back successfully' END,
               n.rollback_sql, n.name
        FROM unnest(names, sqls, effectless) WITH ORDINALITY AS n (name, rollback_sql, effectless, place) ORDER BY n.place;
    END IF;
    IF path_touched THEN
        PERFORM set_config('search_path', session_path, true);      -- at the very end: until here nothing runs under it
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.execute_migration_rollbacks(text[], boolean, text, text, uuid, text, text, text, boolean, text, jsonb) IS
    'Writes, unless dry_run. Rolls several migrations back in the given order, dependents first, in one transaction: all or none. '
    'snapshot_each: takes a snapshot between each two, while the locks are held. '
    'Arguments and results as of execute_migration_rollback(), one row each; after a refusal or a failure one row, of the migration it met.';

CREATE OR REPLACE FUNCTION migrollback_schema.execute_migration_rollback(
    name text, dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL, attempt_id uuid DEFAULT NULL,
    client text DEFAULT NULL, chain_head text DEFAULT NULL, otherwise_path text DEFAULT migrollback_schema.effective_search_path(),
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text, sql_executed text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN QUERY
    SELECT r.success, r.message, r.sql_executed
    FROM migrollback_schema.execute_migration_rollbacks(ARRAY[name], dry_run, reason, preview, attempt_id, client, chain_head, otherwise_path, false, session_path,
                                                        session_settings) r;
END $function$;
COMMENT ON FUNCTION migrollback_schema.execute_migration_rollback(text, boolean, text, text, uuid, text, text, text, text, jsonb) IS
    'Writes, unless dry_run. Rolls one migration back, whole or not at all. reason: goes into the audit trail; preview: migration_fingerprint() of what was '
    'looked at, refused when it differs now; attempt_id: made by the client, see migration_attempt(); client: who asks; chain_head: hash of the last '
    'event, needed only for our own migration; otherwise_path: search_path where none was recorded; session_path: the search_path of the session, which is put back when '
    'the SQL changes it; session_settings: what the session has (name -> value) where this transaction has a SET LOCAL. A refusal (message: the reason) or a failure (message: '
    '"Rollback failed: ...") comes back with success = false; a lasting failure leaves status failed.';

CREATE OR REPLACE FUNCTION migrollback_schema.start_migration_rollback(
    names text[], attempt_id uuid, reason text DEFAULT NULL, client text DEFAULT NULL, target jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT max(migrollback_schema.add_migration_event('started', n.name, start_migration_rollback.attempt_id, start_migration_rollback.reason,
               start_migration_rollback.client, target || jsonb_build_object('rollback_md5', md5(convert_to(h.rollback_sql, 'UTF8')), 'chain', nullif(cardinality(names), 1))))
    FROM unnest(names) WITH ORDINALITY AS n (name, place)
    JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
$function$;
COMMENT ON FUNCTION migrollback_schema.start_migration_rollback(text[], uuid, text, text, jsonb) IS
    'Writes an event for each migration, to be committed before the rollback begins: if the connection is lost, the attempt is known. '
    'Returns the number of the last one, or NULL when none of the names is registered.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_attempt(attempt_id uuid)
RETURNS TABLE (migration_name text, event text, event_number bigint, details jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Under the lock: while the lost COMMIT is still at work, "not found" would be a wrong answer.
    PERFORM migrollback_schema.lock_migrations();
    RETURN QUERY
    SELECT e.migration_name, e.event, e.event_number, e.details FROM migrollback_schema.migration_events e
    WHERE e.attempt_id = migration_attempt.attempt_id AND e.event IN ('rolled_back', 'failed', 'refused', 'applied', 'apply_failed')
    ORDER BY e.event_number;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_attempt(uuid) IS
    'How an attempt ended: the events rolled_back, failed, refused, applied, apply_failed that carry its id. No row: nothing of it was committed. '
    'Waits for a running attempt. Does not write.';

-- Statement by statement, for rollbacks that PostgreSQL refuses inside a transaction. The client holds lock_migrations() in a second,
-- open transaction meanwhile, runs each statement by itself, and journals it.

CREATE OR REPLACE FUNCTION migrollback_schema.migration_statements_completed(name text, direction text DEFAULT 'rollback') RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(max((e.details ->> 'statement_number')::int), 0)
    FROM migrollback_schema.migration_events e
    WHERE e.migration_name = migration_statements_completed.name AND e.event = 'statement_completed'
      AND e.details ->> 'direction' = migration_statements_completed.direction
      AND e.event_number > coalesce((
          SELECT max(o.event_number) FROM migrollback_schema.migration_events o
          WHERE o.migration_name = migration_statements_completed.name
            AND (o.event IN ('applied', 'applied_again', 'registered', 'rolled_back')
                 OR o.event = 'history_changed' AND ((o.details -> 'new') ?| ARRAY['rollback_sql', 'status']
                      -- counted by another cut, a statement would be left out
                      OR o.details #> '{old,metadata,rollback,statements}' IS DISTINCT FROM o.details #> '{new,metadata,rollback,statements}'))), 0)
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_statements_completed(text, text) IS
    'How many statements of an interrupted run (direction: rollback or apply) are done: the next run resumes after them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.journal_migration_statement(
    name text, attempt_id uuid, statement_number int, duration_ms double precision, direction text DEFAULT 'rollback', client text DEFAULT NULL)
RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT migrollback_schema.add_migration_event('statement_completed', name, attempt_id, NULL::text, client,
        jsonb_build_object('direction', direction, 'statement_number', statement_number, 'duration_ms', duration_ms))
$function$;
COMMENT ON FUNCTION migrollback_schema.journal_migration_statement(text, uuid, int, double precision, text, text) IS
    'Writes: statement statement_number (from 1) of a run outside a transaction is done; duration_ms in milliseconds.';

CREATE OR REPLACE FUNCTION migrollback_schema.finish_migration_rollback(
    name text, attempt_id uuid, reason text DEFAULT NULL, client text DEFAULT NULL, details jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text, sql_executed text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    finished migrollback_schema.migration_history;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    SELECT * INTO finished FROM migrollback_schema.migration_history h WHERE h.migration_name = finish_migration_rollback.name FOR UPDATE;
    IF finished.metadata #>> '{rollback,transaction}' IS DISTINCT FROM 'false'
       OR migrollback_schema.migration_statements_completed(name, 'rollback') < cardinality(migrollback_schema.migration_rollback_statements(finished.rollback_sql, finished.metadata)) THEN
        RAISE EXCEPTION 'the rollback of % is not finished', name USING ERRCODE = 'MR002', HINT = 'Every statement must be journalled first.';
    END IF;
    PERFORM migrollback_schema.mark_rolled_back(name, attempt_id, reason, client, details);
    RETURN QUERY SELECT true, 'Migration rolled back successfully'::text, finished.rollback_sql;
END $function$;
COMMENT ON FUNCTION migrollback_schema.finish_migration_rollback(text, uuid, text, text, jsonb) IS
    'Writes the end of a rollback that ran outside a transaction, once all its statements are journalled (else SQLSTATE MR002).';

CREATE OR REPLACE FUNCTION migrollback_schema.apply_migration(
    name text, version text, statements text[], rollback_sql text DEFAULT NULL, checksum text DEFAULT NULL, depends_on text[] DEFAULT '{}',
    metadata jsonb DEFAULT '{}', attempt_id uuid DEFAULT NULL, client text DEFAULT NULL,
    search_path text DEFAULT migrollback_schema.effective_search_path(), session_path text DEFAULT pg_catalog.current_setting('search_path'),
    session_settings jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    missing text[];
    outcome jsonb;
    before  record;
    hint    text;
    is_whole boolean := false;          -- it came to its end, and nothing of it was undone
    path_touched boolean := false;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    IF EXISTS (SELECT FROM migrollback_schema.migration_history h WHERE h.migration_name = apply_migration.name AND h.status <> 'rolled_back') THEN
        RETURN QUERY SELECT false, 'Already applied'::text;
        RETURN;
    END IF;
    SELECT array_agg(d.name ORDER BY d.name) INTO missing FROM unnest(depends_on) AS d (name)
     WHERE NOT EXISTS (SELECT FROM migrollback_schema.migration_history h WHERE h.migration_name = d.name AND h.status <> 'rolled_back');
    IF missing IS NOT NULL THEN
        RETURN QUERY SELECT false, 'Depends on migrations that are not applied: ' || array_to_string(missing, ', ');
        RETURN;
    END IF;
    PERFORM migrollback_schema.refuse_untrusted_ledger(migrollback_schema.untrusted_deploy_ledger(metadata ->> 'tool', apply_migration.search_path));
    before := migrollback_schema.mark_migration_objects();
    BEGIN
        -- Not guarded: an up part may grant rights on this system, or upgrade it; the guard is for what undoes.
        outcome := migrollback_schema.run_migration_sql(statements, search_path, apply_migration.session_path, apply_migration.session_settings,
            '{}'::text[], '{}'::text[], '{}'::oid[], false, '{}'::text[]);
        path_touched := outcome ? 'path_touched';
        outcome := outcome - 'path_touched';
        IF outcome ? 'sqlstate' THEN
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        END IF;
        IF cardinality(statements) > 0 THEN
            PERFORM migrollback_schema.record_migration_objects(name, before.since, before.counts, before.written);
        END IF;
        PERFORM migrollback_schema.save_migration(name, version, rollback_sql, checksum, depends_on,
            jsonb_build_object('search_path', apply_migration.search_path) || metadata);
        PERFORM migrollback_schema.add_migration_event('applied', name, attempt_id, NULL::text, client, jsonb_strip_nulls(outcome || jsonb_build_object(
            'checksum', checksum, 'depends_on', nullif(to_jsonb(depends_on), '[]'), 'rollback_md5', md5(convert_to(rollback_sql, 'UTF8')),
            'deploy', metadata ->> 'deploy',
            'ledger', migrollback_schema.record_in_deploy_ledger(name, version, statements, metadata, search_path))));
        is_whole := true;
    EXCEPTION
        WHEN SQLSTATE 'MR099' THEN
            NULL;
        WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
            outcome := jsonb_strip_nulls(jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM, 'hint', nullif(hint, '')));
    END;
    IF outcome ? 'sqlstate' THEN
        PERFORM migrollback_schema.add_migration_event('apply_failed', name, attempt_id, NULL::text, client, outcome);
        RETURN QUERY SELECT false, 'Migration failed: ' || (outcome ->> 'message');
    ELSIF NOT is_whole THEN
        RAISE EXCEPTION 'everything was undone, and nobody knows why' USING ERRCODE = 'XX000', HINT = 'This is a fault of migrollback: please report it.';
    ELSE
        RETURN QUERY SELECT true, 'Migration applied successfully'::text;
        IF path_touched THEN
            PERFORM set_config('search_path', session_path, true);      -- at the very end: until here nothing runs under it
        END IF;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.apply_migration(text, text, text[], text, text, text[], jsonb, uuid, text, text, text, jsonb) IS
    'Writes: runs the up part of a migration and registers it, whole or not at all. statements: the up part, one statement each; empty when it ran '
    'already, statement by statement. The other arguments as of register_migration(). A refusal or a failure comes back with success = false; '
    'SQLSTATE MR024: the ledger of its deploy tool is not trusted.';
