-- ---------------------------------------------------------------------------------------------------
-- Running migration SQL: in a subtransaction, with the caller's rights, and nothing may be left behind.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION migrollback_schema.migration_system_objects() RETURNS TABLE (classid oid, objid oid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT 'pg_class'::regclass::oid, c.oid FROM pg_class c
    WHERE c.relnamespace = 'migrollback_schema'::regnamespace AND c.relkind = 'r'
      AND c.relname IN ('migration_history', 'migration_dependencies', 'migration_events', 'migration_snapshots')
    UNION ALL
    SELECT 'pg_proc'::regclass::oid, p.oid FROM pg_proc p
    WHERE p.pronamespace = 'migrollback_schema'::regnamespace AND p.proname IN (
        'add_migration_event', 'apply_migration', 'can_rollback_migration', 'chain_migration_event', 'close_migration_rights',
        'complete_history_change', 'create_migration_snapshot', 'effective_search_path', 'execute_migration_rollback', 'execute_migration_rollbacks',
        'fail_migration_rollback', 'finish_migration_rollback', 'forget_in_deploy_ledger', 'guard_history_change', 'is_passing_error',
        'journal_migration_statement', 'list_rollbackable_migrations', 'lock_migrations', 'mark_rolled_back', 'migration_attempt',
        'migration_blocking_reason', 'migration_dependents', 'migration_event_hash', 'migration_fingerprint', 'migration_rollback_path',
        'migration_rollback_statements', 'migration_statements_completed', 'migration_system_objects', 'migration_system_token',
        'migration_warnings', 'migrations_to_roll_back_first', 'record_history_change', 'record_in_deploy_ledger', 'refuse_event_change',
        'refuse_history_truncate', 'register_migration', 'register_migrations', 'resolve_migration', 'run_migration_sql', 'save_migration',
        'schema_objects', 'start_migration_rollback', 'supabase_ledger', 'transaction_changes', 'verify_migration_events')
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_system_objects() IS
    'The tables and functions of this system: what migration SQL may not touch and whose rights are closed. Does not write.';

CREATE FUNCTION migrollback_schema.migration_system_token() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    -- (ctid, xmin) names one version of a catalog row, so any DDL on our objects changes the token; DML is counted beside it.
    WITH ours AS MATERIALIZED (SELECT o.classid, o.objid FROM migrollback_schema.migration_system_objects() o),
    version (place, row_version) AS (
        SELECT 'c' || c.oid, c.ctid || ' ' || c.xmin FROM ours o JOIN pg_class c ON c.oid = o.objid WHERE o.classid = 'pg_class'::regclass
        UNION ALL SELECT 'i' || i.indexrelid, i.ctid || ' ' || i.xmin FROM ours o JOIN pg_index i ON i.indrelid = o.objid WHERE o.classid = 'pg_class'::regclass
        UNION ALL SELECT 'a' || a.attrelid || '.' || a.attnum, a.ctid || ' ' || a.xmin FROM ours o JOIN pg_attribute a ON a.attrelid = o.objid WHERE o.classid = 'pg_class'::regclass
        UNION ALL SELECT 't' || t.oid, t.ctid || ' ' || t.xmin FROM ours o JOIN pg_trigger t ON t.tgrelid = o.objid WHERE o.classid = 'pg_class'::regclass
        UNION ALL SELECT 'k' || k.oid, k.ctid || ' ' || k.xmin FROM ours o JOIN pg_constraint k ON k.conrelid = o.objid WHERE o.classid = 'pg_class'::regclass
        UNION ALL SELECT 'r' || p.oid, p.ctid || ' ' || p.xmin FROM ours o JOIN pg_policy p ON p.polrelid = o.objid WHERE o.classid = 'pg_class'::regclass
        UNION ALL SELECT 'f' || f.oid, f.ctid || ' ' || f.xmin FROM ours o JOIN pg_proc f ON f.oid = o.objid WHERE o.classid = 'pg_proc'::regclass
        UNION ALL SELECT 'n' || o.objid, concat_ws(' ', pg_stat_get_xact_tuples_inserted(o.objid), pg_stat_get_xact_tuples_updated(o.objid),
                                                   pg_stat_get_xact_tuples_deleted(o.objid)) FROM ours o WHERE o.classid = 'pg_class'::regclass
        UNION ALL SELECT 'e', coalesce(max(e.event_number), 0)::text FROM migrollback_schema.migration_events e)
    SELECT md5(string_agg(v.place || '=' || v.row_version, ',' ORDER BY v.place)) FROM version v
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_system_token() IS
    'Differs as soon as this transaction has touched a table or function of this system. Does not write.';

CREATE FUNCTION migrollback_schema.transaction_changes() RETURNS numeric
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    -- Catalogs are tables too: DDL shows here as rows written to them. Needs track_counts, which is on unless somebody turned it off.
    SELECT sum(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid))
    FROM pg_class c WHERE c.relkind IN ('r', 'm')
$function$;
COMMENT ON FUNCTION migrollback_schema.transaction_changes() IS
    'How many rows, of catalogs and tables, this transaction has written so far; compare two answers. Does not write.';

CREATE FUNCTION migrollback_schema.migration_rollback_statements(rollback_sql text, metadata jsonb) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    bytes bytea;
BEGIN
    IF metadata #>> '{rollback,md5}' IS DISTINCT FROM md5(rollback_sql) OR jsonb_typeof(metadata #> '{rollback,statements}') IS DISTINCT FROM 'array' THEN
        RETURN ARRAY[rollback_sql];     -- nobody has parsed this text: it runs as one
    END IF;
    bytes := convert_to(rollback_sql, 'UTF8');
    RETURN coalesce((SELECT array_agg(convert_from(substring(bytes FROM (s.statement ->> 0)::int + 1 FOR (s.statement ->> 1)::int), 'UTF8') ORDER BY s.place)
                     FROM jsonb_array_elements(metadata #> '{rollback,statements}') WITH ORDINALITY AS s (statement, place)), '{}');
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_rollback_statements(text, jsonb) IS
    'The rollback SQL cut into statements where the parser found them at registration, or in one piece when the text is another. Does not write.';

CREATE FUNCTION migrollback_schema.is_passing_error(sqlstate_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- 40: deadlock, serialization; 53: out of resources; 57: cancelled, shut down; 55P03: lock not available; 55006: object in use;
    -- 42501: not this role. The same SQL may succeed another time, so the migration is not marked failed.
    SELECT left(sqlstate_code, 2) IN ('08', '40', '53', '57') OR sqlstate_code IN ('55P03', '55006', '42501')
$function$;
COMMENT ON FUNCTION migrollback_schema.is_passing_error(text) IS
    'Whether an error with this SQLSTATE may go away by itself (lock timeout, deadlock, cancel ...). Does not write.';

CREATE FUNCTION migrollback_schema.run_migration_sql(
    statements text[], search_path text, set_local text[] DEFAULT '{}', restore_settings boolean DEFAULT false, guarded boolean DEFAULT true)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    began            timestamptz := clock_timestamp();
    statement_began  timestamptz;
    statement        text;
    statement_ms     numeric[] := '{}';
    place            int := 0;
    role_before      name := current_user;
    session_before   name := session_user;
    path_asked       text;
    path_left        text;
    settings_before  jsonb;
    changed_settings text[];
    token_before     text;
    changes_before   numeric;
    unchanged        boolean;
    deferred         text;
    outcome          jsonb;
    code text; message text; detail text; hint text; context text; schema_name text; table_name text; constraint_name text;
BEGIN
    IF guarded THEN
        token_before := migrollback_schema.migration_system_token();
    END IF;
    SELECT jsonb_object_agg(s.name, s.setting) INTO settings_before FROM pg_settings s WHERE s.name <> 'search_path';
    changes_before := migrollback_schema.transaction_changes();
    BEGIN
        -- Set here, not on the function: a function's own path would reach EXECUTE, and DROP TABLE IF EXISTS users would drop nothing.
        PERFORM set_config('search_path', run_migration_sql.search_path, true);
        path_asked := current_setting('search_path');
        FOREACH statement IN ARRAY statements LOOP
            place := place + 1;
            statement_began := clock_timestamp();
            EXECUTE statement;
            statement_ms := statement_ms || round(extract(epoch FROM clock_timestamp() - statement_began)::numeric * 1000, 3);
        END LOOP;
        place := NULL;
        path_left := current_setting('search_path');
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);

        IF current_user <> role_before OR session_user <> session_before THEN
            RAISE EXCEPTION 'the SQL leaves role % behind (it began as %)', current_user, role_before
                USING ERRCODE = 'MR020', HINT = 'End the block with RESET ROLE, or use SET LOCAL ROLE in a function.';
        END IF;

        -- Success may not be claimed while a deferred constraint is still to be checked.
        SET CONSTRAINTS ALL IMMEDIATE;
        SELECT string_agg(DISTINCT format('%I.%I', n.nspname, k.conname), ', ') INTO deferred
          FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE k.condeferred;
        IF deferred IS NOT NULL THEN    -- as they were, for what comes after us in this transaction
            EXECUTE 'SET CONSTRAINTS ' || deferred || ' DEFERRED';
        END IF;

        SELECT coalesce(array_agg(s.name ORDER BY s.name), '{}') INTO changed_settings FROM pg_settings s
         WHERE s.name <> 'search_path' AND s.setting IS DISTINCT FROM settings_before ->> s.name;
        IF path_left <> path_asked THEN
            changed_settings := changed_settings || 'search_path'::text;
        END IF;
        IF NOT restore_settings THEN
            SELECT array_agg(c.name) INTO changed_settings FROM unnest(changed_settings) AS c (name) WHERE c.name <> ALL (coalesce(set_local, '{}'));
            IF cardinality(changed_settings) > 0 THEN
                RAISE EXCEPTION 'the SQL leaves changed settings behind: %', array_to_string(changed_settings, ', ')
                    USING ERRCODE = 'MR021', HINT = 'Use SET LOCAL, which ends with the transaction.';
            END IF;
        END IF;
        SELECT array_agg(s.name) INTO changed_settings FROM pg_settings s
         WHERE s.name <> 'search_path' AND s.setting IS DISTINCT FROM settings_before ->> s.name;
        IF changed_settings IS NOT NULL THEN
            -- Both ways: at the end of the transaction a SET of the session would come back from under a SET LOCAL.
            PERFORM set_config(c.name, settings_before ->> c.name, NOT restore_settings) FROM unnest(changed_settings) AS c (name);
        END IF;

        IF guarded THEN
            IF migrollback_schema.migration_system_token() <> token_before THEN
                RAISE EXCEPTION 'the SQL touches the tables or functions of the rollback system'
                    USING ERRCODE = 'MR022', HINT = 'Leave migration_history and its neighbours to migrollback.';
            END IF;
            unchanged := migrollback_schema.transaction_changes() = changes_before;
        END IF;
    EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN     -- OTHERS leaves out the first two
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
            context = PG_EXCEPTION_CONTEXT, schema_name = SCHEMA_NAME, table_name = TABLE_NAME, constraint_name = CONSTRAINT_NAME;
        outcome := jsonb_build_object('sqlstate', code, 'message', message, 'detail', nullif(detail, ''), 'hint', nullif(hint, ''),
            'schema', nullif(schema_name, ''), 'table', nullif(table_name, ''), 'constraint', nullif(constraint_name, ''),
            'statement_number', place, 'statement', left(statements[place], 2000));
    END;
    RETURN jsonb_strip_nulls(coalesce(outcome, '{}') || jsonb_build_object(
        'duration_ms', round(extract(epoch FROM clock_timestamp() - began)::numeric * 1000, 3),
        'statement_ms', to_jsonb(statement_ms), 'unchanged', CASE WHEN outcome IS NULL AND unchanged THEN true END));
END $function$;
COMMENT ON FUNCTION migrollback_schema.run_migration_sql(text[], text, text[], boolean, boolean) IS
    'Writes. Runs statements by server-side EXECUTE under the given search_path, all or none. set_local: settings that the SQL may change until the '
    'transaction ends; restore_settings: put changed settings back instead of refusing them; guarded: refuse to touch this system. '
    'Returns duration_ms, statement_ms (of each), unchanged (true: it ran and wrote nothing), and where it failed sqlstate, message, detail, hint, '
    'statement_number (from 1; none when the failure came after the last), statement. An error is returned, not raised.';
