-- ---------------------------------------------------------------------------------------------------
-- Rolling back in one transaction: whole or not at all.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.mark_rolled_back(
    name text, attempt_id uuid, reason text, client text, details jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
DECLARE
    marked migrollback_schema.migration_history;
BEGIN
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    UPDATE migrollback_schema.migration_history h
      SET status = 'rolled_back', notes = coalesce(mark_rolled_back.reason, h.notes)
     WHERE h.migration_name = mark_rolled_back.name RETURNING * INTO marked;
    PERFORM set_config('migrollback.recording', '', true);
    PERFORM migrollback_schema.add_migration_event('rolled_back', name, attempt_id, reason, client,
                                                   jsonb_strip_nulls(details || jsonb_build_object(
        'rollback_md5', md5(convert_to(marked.rollback_sql, 'UTF8')),
        'ledger', migrollback_schema.forget_in_deploy_ledger(name, marked.migration_version, marked.metadata))));
END $function$;
COMMENT ON FUNCTION migrollback_schema.mark_rolled_back(text, uuid, text, text, jsonb) IS
    'Writes status, event and the deploy tool''s ledger of a migration whose rollback SQL has run in this '
    'transaction.';

CREATE OR REPLACE FUNCTION migrollback_schema.fail_migration_rollback(
    name text, attempt_id uuid, reason text, client text, details jsonb)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- A planted function that makes a call of ours ambiguous is not the migration's fault, and goes when it is dropped.
    is_transient boolean := migrollback_schema.is_transient_error(details ->> 'sqlstate') OR details ? 'bookkeeping'
        AND details ->> 'sqlstate' = '42725';
BEGIN
    IF NOT is_transient THEN
        PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
        UPDATE migrollback_schema.migration_history h SET status = 'failed'
          WHERE h.migration_name = fail_migration_rollback.name AND h.status = 'applied';
        PERFORM set_config('migrollback.recording', '', true);
    END IF;
    PERFORM migrollback_schema.add_migration_event('failed', name, attempt_id, reason, client,
                                                   details || jsonb_build_object('passing', is_transient));
    RETURN CASE WHEN is_transient THEN 'applied' ELSE 'failed' END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.fail_migration_rollback(text, uuid, text, text, jsonb) IS
    'Writes the event of a rollback that failed, and status failed unless details.sqlstate is of a transient error. '
    'Returns the status.';

-- Over 120 lines: its variables outlive the subtransaction that is undone, and it compares our functions itself,
-- because those that were replaced can no longer be asked.
CREATE OR REPLACE FUNCTION migrollback_schema.execute_migration_rollbacks(
    names text[], dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL,
    attempt_id uuid DEFAULT NULL, client text DEFAULT NULL, chain_head text DEFAULT NULL,
    otherwise_path text DEFAULT migrollback_schema.effective_search_path(), snapshot_each boolean DEFAULT false,
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}',
    accept_loss boolean DEFAULT false, break_glass boolean DEFAULT false)
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    migration   text;
    planned   migrollback_schema.migration_history;
    refusal   text;
    blocking text[];
    handled   text[] := '{}';
    is_system boolean := false;
    is_whole  boolean := false;         -- it came to its end, and nothing of it was undone
    our_tables oid[];
    -- run after the SQL, which may have replaced what would be called
    token_query constant text := migrollback_schema.migration_system_token_query();
    token     text;
    token_now text;
    check_each boolean;
    touched   constant jsonb := '{"sqlstate": "MR022", "message": "the SQL touches the tables or functions of the '
                                'rollback system", "hint": "Leave migration_history and its neighbours to '
                                'migrollback."}';
    outcome   jsonb;
    hint      text;
    sqls      text[] := '{}';           -- of the steps so far
    effectless boolean[] := '{}';       -- which of them ran and wrote nothing
    put_back  jsonb := '{}';            -- name -> settings that its SQL had changed
    changed   record;
    unclear   boolean;
    path_touched boolean := false;
    loss_refusal text;
    to_restore bigint;                  -- archive of what its up migration destroyed
    archive   bigint;                   -- of what its rollback destroys
    outside   jsonb;                    -- where the installation is limited: what tells what was written beyond
    accepted  jsonb;                    -- losses that are known, and accepted
    approval_refusal text;
    approved  jsonb;                    -- by whom, or that the glass was broken
BEGIN
    IF NOT dry_run THEN
        PERFORM migrollback_schema.lock_migrations();
        -- In order of name, so that two chains cannot lock each other out; a change by hand that is under way is waited
        -- for.
        PERFORM FROM migrollback_schema.migration_history h WHERE h.migration_name = ANY (names)
            ORDER BY h.migration_name FOR UPDATE;
    END IF;
    IF cardinality(names) = 0 OR names IS NULL THEN
        RAISE EXCEPTION 'no migration was named' USING ERRCODE = 'MR006';
    END IF;
    IF NOT dry_run AND attempt_id IS NOT NULL THEN
        -- asked for again, by a job that was started twice: nothing runs twice
        RETURN QUERY SELECT * FROM migrollback_schema.ended_attempt(attempt_id, names);
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    IF preview IS NOT NULL THEN
        refusal := migrollback_schema.changed_since_preview(preview, migrollback_schema.migration_fingerprint(names,
            otherwise_path));
        migration := names[1];
    END IF;

    IF NOT dry_run THEN
        our_tables := migrollback_schema.migration_system_tables();
        token := migrollback_schema.migration_system_token();
        SELECT l.refusal, l.accepted INTO loss_refusal, accepted
          FROM migrollback_schema.production_losses(names, otherwise_path, accept_loss) l;
        SELECT a.refusal, a.details INTO approval_refusal, approved
          FROM migrollback_schema.approval_of_rollback(names, otherwise_path, break_glass,
                                                       execute_migration_rollbacks.reason) a;
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
                    SELECT * INTO planned FROM migrollback_schema.migration_history h
                      WHERE h.migration_name = migration;
                    is_system := migrollback_schema.is_system_migration(migration)
                        AND coalesce(planned.metadata ->> 'system' = 'true', false);
                    -- under the locks once more; what this chain has dealt with already need not be looked behind
                    blocking := migrollback_schema.migrations_to_roll_back_first(ARRAY[migration], handled);
                    refusal := CASE
                        WHEN planned.id IS NULL THEN 'Migration not found'
                        WHEN is_system AND cardinality(names) > 1 THEN 'The rollback system itself is rolled back alone'
                        WHEN is_system AND NOT dry_run AND chain_head IS DISTINCT FROM (SELECT v.head_hash
                            FROM migrollback_schema.verify_migration_events() v) THEN
                            'Save migration_history and migration_events first, then give the hash of the last event '
                            'as chain_head'
                        WHEN planned.metadata #>> '{rollback,transaction}' = 'false'
                             AND (NOT dry_run OR cardinality(names) > 1)
                             AND planned.metadata #>> '{rollback,md5}' = md5(convert_to(planned.rollback_sql,
                                 'UTF8')) THEN
                            'This rollback runs outside a transaction: use migrollback rollback, alone, which runs it '
                            'statement by statement'
                        WHEN NOT dry_run AND cardinality(handled) = 0
                            THEN coalesce(
                                migrollback_schema.production_refusal(execute_migration_rollbacks.reason),
                                loss_refusal, approval_refusal)
                        END;
                    IF planned.id IS NOT NULL THEN
                        refusal := coalesce(
                            migrollback_schema.migration_blocking_reason(planned.status, cardinality(blocking) > 0,
                                planned.rollback_sql, planned.metadata), refusal,
                            (SELECT p.reason FROM migrollback_schema.deploy_in_progress(planned.metadata ->>
                                'tool', planned.metadata ->> 'search_path') p),
                            -- of a dry run the ledger stands where it stood
                            CASE WHEN NOT dry_run OR cardinality(handled) = 0 THEN migrollback_schema.not_a_head_reason(
                                planned.migration_name, planned.migration_version, planned.metadata) END);
                    END IF;
                    handled := handled || migration;
                    EXIT WHEN refusal IS NOT NULL;
                    sqls := sqls || planned.rollback_sql;
                    CONTINUE WHEN dry_run;
                    to_restore := migrollback_schema.prepare_archive(migrollback_schema.archive_of_migration(
                        migration, 'apply'));
                    archive := migrollback_schema.begin_rollback_archive(migration, otherwise_path, session_path,
                                                                         session_settings);
                    outside := migrollback_schema.mark_outside_of_scope();
                    outcome := migrollback_schema.run_migration_sql(
                        migrollback_schema.migration_rollback_statements(planned.rollback_sql, planned.metadata),
                        migrollback_schema.migration_rollback_path(planned.metadata, otherwise_path),
                        session_path => execute_migration_rollbacks.session_path,
                            session_settings => execute_migration_rollbacks.session_settings,
                        set_local => ARRAY(SELECT jsonb_array_elements_text(coalesce(planned.metadata #>
                            '{rollback,set_local}', '[]'))),
                        set_session => ARRAY(SELECT jsonb_array_elements_text(coalesce(planned.metadata #>
                            '{rollback,set_session}', '[]'))),
                        system_tables => CASE WHEN is_system THEN '{}'::oid[]
                            ELSE our_tables END, more_follows => migration <> names[cardinality(names)],
                        announced => migrollback_schema.migration_progress_notices(names, cardinality(handled),
                            planned.rollback_sql, planned.metadata));
                    -- apart from the next: there our functions may be gone
                    IF check_each AND NOT is_system AND NOT outcome ? 'sqlstate' THEN
                        EXECUTE token_query INTO token_now;
                        IF token_now IS DISTINCT FROM token THEN
                            outcome := touched;
                        ELSIF migrollback_schema.is_history_written_here(CASE WHEN cardinality(names) > 1 THEN names
                                                                         ELSE '{}' END) THEN
                            outcome := touched;
                        END IF;
                    END IF;
                    IF outcome ? 'sqlstate' THEN
                        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                    END IF;
                    path_touched := path_touched OR outcome ? 'path_touched';
                    outcome := outcome - 'path_touched' - CASE WHEN to_restore IS NOT NULL THEN 'unchanged' ELSE '' END;
                    IF outcome ? 'settings_put_back' THEN
                        put_back := put_back || jsonb_build_object(migration, outcome -> 'settings_put_back');
                    END IF;
                    effectless := effectless || (outcome ? 'unchanged');
                    IF accepted IS NOT NULL THEN
                        outcome := outcome || jsonb_build_object('accepted_loss', accepted);
                    END IF;
                    outcome := outcome || coalesce(approved, '{}');
                    IF NOT is_system THEN
                        IF outside IS NOT NULL THEN
                            outcome := outcome || jsonb_build_object(
                                'outside', migrollback_schema.migration_outside_writes(outside));
                        END IF;
                        outcome := outcome || migrollback_schema.end_rollback_archive(archive, to_restore);
                        PERFORM migrollback_schema.mark_rolled_back(migration, attempt_id,
                            migrollback_schema.reason_with_broken_glass(reason, approved), client, outcome);
                        PERFORM migrollback_schema.set_archive_event(archive, migration);
                        IF snapshot_each AND migration <> names[cardinality(names)] THEN
                            PERFORM migrollback_schema.create_migration_snapshot(migration, NULL::text,
                                'after rollback', ARRAY[migration], client, NULL::text[]);
                        END IF;
                    END IF;
                END LOOP;
            END IF;
            IF refusal IS NULL AND approved ?| '{break_glass,rehearsal}' AND NOT is_system THEN
                PERFORM migrollback_schema.record_run_without_approval(names, attempt_id, reason, client, approved);
            END IF;
            IF refusal IS NULL AND NOT dry_run AND NOT check_each THEN
                EXECUTE token_query INTO token_now;
                IF token_now IS DISTINCT FROM token THEN
                    outcome := touched;
                ELSIF migrollback_schema.is_history_written_here(names) THEN
                    outcome := touched;
                END IF;
                IF outcome = touched THEN
                    RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                END IF;
            END IF;
            IF refusal IS NOT NULL AND cardinality(effectless) > 0 THEN
                -- refused halfway through a chain: whole or not at all
                RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
            END IF;
            is_whole := true;
        EXCEPTION
            WHEN SQLSTATE 'MR099' THEN
                NULL;                       -- what ran is undone; the variables say why
            WHEN query_canceled OR OTHERS THEN  -- our own bookkeeping failed, the deploy tool's ledger for one
                IF dry_run OR current_setting('migrollback.rethrow', true) = 'on'
                    AND current_setting('migrollback.rehearsal', true) = pg_current_xact_id()::text THEN
                    RAISE;                  -- a dry run has run nothing that could have failed
                END IF;
                GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                IF SQLSTATE = '42725' THEN
                    hint := 'A function that is not this system''s has the name of one of its own: migrollback install '
                            'lists such functions. Drop them, or have their owner do it.';
                END IF;
                outcome := jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM, 'hint', nullif(hint, ''),
                                              'bookkeeping', true);
        END;
        -- A chain is looked at once, at its end; only when something of ours was touched it runs again, undone as it
        -- is, to find out by which.
        EXIT attempts WHEN check_each OR NOT coalesce(outcome ->> 'sqlstate' = 'MR022'
                                                      OR outcome ? 'bookkeeping', false);
        check_each := true;
        outcome := NULL;
    END LOOP;

    IF is_whole AND put_back <> '{}' THEN
        -- A rehearsal is undone: it leaves no doubt.
        unclear := session_settings = '{}' AND transaction_timestamp() <> statement_timestamp()
               AND coalesce(current_setting('migrollback.rehearsal', true),
                            '') <> coalesce(pg_current_xact_id_if_assigned()::text, 'none');
        FOR changed IN SELECT n.name, array_to_string(ARRAY(SELECT jsonb_array_elements_text(put_back -> n.name)),
                                                      ', ') AS settings
                         FROM unnest(names) WITH ORDINALITY AS n (name, place) WHERE put_back ? n.name ORDER BY n.place
        LOOP
            IF unclear THEN
                RAISE NOTICE 'Settings that the rollback SQL of % had changed were put back: %', changed.name,
                    changed.settings
                    USING DETAIL = 'What SET LOCAL has set of them in this transaction cannot be told from what SET '
                                   'has: after COMMIT the session keeps it.';
            ELSE
                RAISE NOTICE 'Settings that the rollback SQL of % had changed were put back: %', changed.name,
                    changed.settings;
            END IF;
        END LOOP;
    END IF;
    IF refusal IS NOT NULL THEN
        IF NOT dry_run THEN
            PERFORM migrollback_schema.add_migration_event('refused', migration, attempt_id,
                                                           execute_migration_rollbacks.reason,
                                                           execute_migration_rollbacks.client,
                                                            jsonb_build_object('message', refusal));
        END IF;
        RETURN QUERY SELECT false, refusal, NULL::text, migration;
    ELSIF outcome ? 'sqlstate' THEN
        PERFORM migrollback_schema.fail_migration_rollback(migration, attempt_id, execute_migration_rollbacks.reason,
                                                           execute_migration_rollbacks.client, outcome);
        RETURN QUERY SELECT false, 'Rollback failed: ' || (outcome ->> 'message'), NULL::text, migration;
    ELSIF NOT is_whole THEN
        RAISE EXCEPTION 'everything was undone for an unknown reason'
            USING ERRCODE = 'XX000', HINT = 'This is a fault of migrollback: please report it.';
    ELSIF is_system AND NOT dry_run THEN
        -- Nothing of ours is left to call.
        RETURN QUERY SELECT true,
            'Migration rolled back successfully. The rollback system is gone and its audit log ends here'::text,
            sqls[1], names[1];
    ELSE
        RETURN QUERY
        SELECT true,
               CASE WHEN dry_run THEN 'Dry run: rollback SQL shown below (not executed)'
                    WHEN n.effectless THEN
                        'Rollback SQL ran, but changed nothing: look at its object names and at the search_path ('
                        || (SELECT migrollback_schema.migration_rollback_path(h.metadata, otherwise_path)
                            FROM migrollback_schema.migration_history h
                             WHERE h.migration_name = n.name) || ')'
                    ELSE 'Migration rolled back successfully' END,
               n.rollback_sql, n.name
        FROM unnest(names, sqls, effectless) WITH ORDINALITY AS n (name, rollback_sql, effectless, place)
          ORDER BY n.place;
    END IF;
    IF path_touched THEN
        PERFORM set_config('search_path', session_path, true);      -- at the very end: until here nothing runs under it
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.execute_migration_rollbacks(text[], boolean, text, text, uuid, text, text, text,
    boolean, text, jsonb, boolean, boolean) IS
    'Writes, unless dry_run. Rolls several migrations back in the given order, dependents first, in one transaction: '
    'all or none. snapshot_each: takes a snapshot between each two, while the locks are held. Arguments and results '
    'as of execute_migration_rollback(), one row each; after a refusal or a failure one row, of the migration it met.';

CREATE OR REPLACE FUNCTION migrollback_schema.execute_migration_rollback(
    name text, dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL,
    attempt_id uuid DEFAULT NULL, client text DEFAULT NULL, chain_head text DEFAULT NULL,
    otherwise_path text DEFAULT migrollback_schema.effective_search_path(),
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}',
    accept_loss boolean DEFAULT false, break_glass boolean DEFAULT false)
RETURNS TABLE (success boolean, message text, sql_executed text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- An operator has no right to the history, and rolls back all the same.
    IF NOT has_table_privilege('migrollback_schema' || '.migration_history', 'UPDATE')
       AND has_function_privilege('migrollback_schema' || '.operator_gate()', 'EXECUTE') THEN
        RETURN QUERY
        SELECT r.success, r.message, r.sql_executed FROM migrollback_schema.roll_back_through_gate(
            ARRAY[name], dry_run, reason, preview, attempt_id, client, false, accept_loss, session_path,
            session_settings, break_glass) r;
        RETURN;
    END IF;
    -- The specified columns have no room for the verdict; clients of ours show it themselves and call the other one.
    IF dry_run THEN
        RAISE NOTICE '%', (SELECT a.headline FROM migrollback_schema.assess_migration(name, otherwise_path) a);
    END IF;
    RETURN QUERY
    SELECT r.success, r.message, r.sql_executed
    FROM migrollback_schema.execute_migration_rollbacks(ARRAY[name], dry_run, reason, preview, attempt_id, client,
                                                        chain_head, otherwise_path, false, session_path,
                                                        session_settings, accept_loss, break_glass) r;
END $function$;
COMMENT ON FUNCTION migrollback_schema.execute_migration_rollback(text, boolean, text, text, uuid, text, text, text,
    text, jsonb, boolean, boolean) IS
    'Writes, unless dry_run. Rolls one migration back, whole or not at all. reason: goes into the audit log; '
    'preview: migration_fingerprint() of what was looked at, refused when it differs now; attempt_id: made by the '
    'client, see migration_attempt(); client: who asks; chain_head: hash of the last event, needed only for our own '
    'migration; otherwise_path: search_path where none was recorded; session_path: the search_path of the session, '
    'which is put back when the SQL changes it; session_settings: what the session has (name -> value) where this '
    'transaction has a SET LOCAL; accept_loss: that rows or values go, or do not come back, is known and accepted: a '
    'database that is marked as production refuses it otherwise, and the event keeps what was accepted; break_glass: '
    'without the approvals that a policy asks for, which needs a reason and leaves an event of its own. For an '
    'operator, see grant_migration_role(), it calls roll_back_through_gate(). A refusal '
    '(message: the reason) or a failure (message: "Rollback failed: ...") comes back with success = false; a permanent '
    'error leaves status failed. A notice of a dry run says what assess_migration() says.';
