-- ---------------------------------------------------------------------------------------------------
-- Applying a migration: its SQL, its record and its event, whole or not at all.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_not_applied(names text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- a plan for each array takes longer than looking a few names up
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
BEGIN
    RETURN ARRAY(SELECT d.name FROM unnest(names) AS d (name)
                  WHERE NOT EXISTS (SELECT FROM migrollback_schema.migration_history h WHERE h.migration_name = d.name
                                    AND h.status <> 'rolled_back') ORDER BY d.name);
END $function$;
COMMENT ON FUNCTION migrollback_schema.migrations_not_applied(text[]) IS
    'Of these names those that are not registered, or rolled back, in order. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.apply_migration(
    name text, version text, statements text[], rollback_sql text DEFAULT NULL, checksum text DEFAULT NULL,
    depends_on text[] DEFAULT '{}', metadata jsonb DEFAULT '{}', attempt_id uuid DEFAULT NULL,
    client text DEFAULT NULL, search_path text DEFAULT migrollback_schema.effective_search_path(),
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    missing text[];
    outcome jsonb;
    before  record;
    shared  jsonb;                      -- roles, settings ... from before
    destroyed jsonb;                    -- what its text destroys, counted
    hint    text;
    archive bigint;                     -- what is kept of that
    is_whole boolean := false;          -- it came to its end, and nothing of it was undone
    path_touched boolean := false;
    may_grant constant boolean := migrollback_schema.statements_may_grant(statements);
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    IF EXISTS (SELECT FROM migrollback_schema.migration_history h WHERE h.migration_name = apply_migration.name
               AND h.status <> 'rolled_back') THEN
        RETURN QUERY SELECT false, 'Already applied'::text;
        RETURN;
    END IF;
    missing := migrollback_schema.migrations_not_applied(depends_on);
    IF cardinality(missing) > 0 THEN
        RETURN QUERY SELECT false, 'Depends on migrations that are not applied: ' || array_to_string(missing, ', ');
        RETURN;
    END IF;
    PERFORM migrollback_schema.refuse_untrusted_ledger(migrollback_schema.untrusted_deploy_ledger(metadata ->>
        'tool', apply_migration.search_path));
    before := migrollback_schema.mark_migration_objects();
    shared := migrollback_schema.shared_states();
    BEGIN
        IF cardinality(statements) > 0 THEN
            destroyed := migrollback_schema.count_destroyed_values(metadata -> 'destroys', statements,
                                                                   apply_migration.search_path);
            archive := migrollback_schema.begin_archive(
                name, 'apply', metadata -> 'destroys', statements, apply_migration.search_path,
                apply_migration.session_path, apply_migration.session_settings);
        END IF;
        -- Not guarded: an up part may grant rights on this system, or upgrade it; the guard is for what undoes.
        outcome := migrollback_schema.run_migration_sql(statements, search_path, apply_migration.session_path,
                                                        apply_migration.session_settings,
            '{}'::text[], '{}'::text[], '{}'::oid[], false, '{}'::text[]);
        path_touched := outcome ? 'path_touched';
        outcome := outcome - 'path_touched';
        IF outcome ? 'sqlstate' THEN
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        END IF;
        outcome := outcome || jsonb_strip_nulls(jsonb_build_object('archive', migrollback_schema.end_archive(archive)));
        IF cardinality(statements) > 0 THEN
            PERFORM migrollback_schema.record_migration_objects(
                name, before.since, before.counts, before.written, may_grant);
        END IF;
        PERFORM migrollback_schema.save_migration(name, version, rollback_sql, checksum, depends_on,
            jsonb_build_object('search_path', apply_migration.search_path) || metadata);
        IF cardinality(statements) > 0 THEN
            PERFORM migrollback_schema.record_destroyed_values(name, destroyed);
            outcome := outcome || migrollback_schema.with_unarchived(archive, name);
        ELSE
            PERFORM migrollback_schema.record_destroyed_by_text(ARRAY[name], true);
        END IF;
        PERFORM migrollback_schema.add_migration_event('applied', name, attempt_id, NULL::text, client,
                                                       jsonb_strip_nulls(outcome || jsonb_build_object(
            'checksum', checksum, 'depends_on', nullif(to_jsonb(depends_on), '[]'),
            'rollback_md5', md5(convert_to(rollback_sql, 'UTF8')),
            'deploy', metadata ->> 'deploy',
            'shared_changes', migrollback_schema.shared_changes(shared),
            'ledger', migrollback_schema.record_in_deploy_ledger(name, version, statements, metadata, search_path))));
        PERFORM migrollback_schema.set_archive_event(archive, name);
        IF coalesce(current_setting('migrollback.dependencies', true), '') <> 'client' THEN
            PERFORM migrollback_schema.search_migration_dependencies(name, apply_migration.client);
        END IF;
        is_whole := true;
    EXCEPTION
        WHEN SQLSTATE 'MR099' THEN
            NULL;
        WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
            outcome := jsonb_strip_nulls(jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM,
                                                            'hint', nullif(hint, '')));
    END;
    IF outcome ->> 'sqlstate' IN ('MR040', 'MR041') THEN       -- it was not to run without an archive
        RETURN QUERY SELECT false, outcome ->> 'message';
    ELSIF outcome ? 'sqlstate' THEN
        PERFORM migrollback_schema.add_migration_event(
            'apply_failed', name, attempt_id, NULL::text, client,
            outcome || jsonb_strip_nulls(jsonb_build_object('deploy', metadata ->> 'deploy')));
        RETURN QUERY SELECT false, 'Migration failed: ' || (outcome ->> 'message');
    ELSIF NOT is_whole THEN
        RAISE EXCEPTION 'everything was undone for an unknown reason'
            USING ERRCODE = 'XX000', HINT = 'This is a fault of migrollback: please report it.';
    ELSE
        RETURN QUERY SELECT true, 'Migration applied successfully'::text;
        IF path_touched THEN
            -- at the very end: until here nothing runs under it
            PERFORM set_config('search_path', session_path, true);
        END IF;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.apply_migration(text, text, text[], text, text, text[], jsonb, uuid, text, text,
                                                       text, jsonb) IS
    'Writes: runs the up part of a migration and registers it, whole or not at all. statements: the up part, one '
    'statement each; empty when it ran already, statement by statement. The other arguments as of '
    'register_migration(). A refusal or a failure comes back with success = false; SQLSTATE MR024: the ledger of its '
    'deploy tool is not trusted.';
