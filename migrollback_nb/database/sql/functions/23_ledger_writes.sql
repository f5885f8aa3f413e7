-- ---------------------------------------------------------------------------------------------------
-- Writing the ledger of a deploy tool, so that it knows what was applied and rolled back here.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.write_deploy_ledger(
    tool text, ledger regclass, change text, name text, version text, statements text[], before text)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    written  jsonb;
    reason   text;
    runs_code boolean;
    role_before    name := current_user;
    session_before name := session_user;
    path_after text;
    deferrable_names text;
    our_tables oid[];
    by_rows         boolean := current_setting('track_counts') = 'off';    -- nothing counts then
    writes_before   text;
    token_query     text;
    token_before    text;
    token_after     text;
BEGIN
    -- Under the lock no other session adds a trigger or changes the owner; what was put there until now is looked at
    -- once more.
    EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', ledger);
    reason := CASE WHEN to_regclass(ledger::text) = ledger THEN migrollback_schema.untrusted_ledger_reason(tool, ledger)
                   ELSE format('The ledger %s was replaced since', ledger) END;
    PERFORM migrollback_schema.refuse_untrusted_ledger(reason);

    our_tables := migrollback_schema.migration_system_tables();
    runs_code := EXISTS (SELECT
                         FROM migrollback_schema.deploy_ledger_parts(migrollback_schema.deploy_ledger_relations(tool,
                             ledger)) p
                          WHERE p.class IN ('pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_policy'::regclass,
                                            'pg_proc'::regclass));
    IF runs_code THEN                   -- most ledgers have none, and a chain of hundreds would feel it
        token_query := migrollback_schema.migration_system_token_query();
        token_before := migrollback_schema.migration_system_token();
        SELECT string_agg(DISTINCT format('%I.%I', n.nspname, k.conname), ', ') INTO deferrable_names
          FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
            WHERE k.condeferrable AND k.conrelid = ledger AND has_schema_privilege(n.oid, 'USAGE');
        by_rows := true;                -- that code may stop the counting for a while
    END IF;
    writes_before := migrollback_schema.migration_system_writes(our_tables, by_rows);

    EXECUTE format('WITH ' || change || ' SELECT jsonb_agg(d.r) FROM done AS d (r)', ledger) INTO written
        USING name, version, statements, before;
    IF deferrable_names IS NOT NULL THEN
        -- now, and not at COMMIT, when nothing looks any more
        EXECUTE 'SET CONSTRAINTS ' || deferrable_names || ' IMMEDIATE';
    END IF;

    -- Written out: a path that was changed would choose whose functions and operators these are.
    path_after := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF runs_code THEN                   -- the query itself: our functions can no longer be asked
        EXECUTE token_query INTO token_after;
    END IF;
    IF current_user <> role_before OR session_user <> session_before OR path_after <> 'pg_catalog, pg_temp' THEN
        reason := 'leaves another role or search_path behind';
    ELSIF runs_code AND token_after IS DISTINCT FROM token_before
       OR migrollback_schema.migration_system_writes(our_tables, by_rows) <> writes_before THEN
        reason := 'touches the tables or functions of the rollback system';
    END IF;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'what runs when the ledger % is written %', ledger, reason
            USING ERRCODE = 'MR025', HINT = format('Look at the triggers and rules of %s.', ledger);
    END IF;
    RETURN written;
END $function$;
COMMENT ON FUNCTION migrollback_schema.write_deploy_ledger(text, regclass, text, text, text, text[], text) IS
    'Writes: runs one of the statements of deploy_tools() that change a ledger, and makes sure that what ran with it '
    'left our tables, our functions and the role alone (else SQLSTATE MR025). Returns the rows that were written or '
    'taken out. SQLSTATE MR024: untrusted.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_in_deploy_ledger(
    name text, version text, statements text[], metadata jsonb, search_path text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l       record;
    written jsonb;
BEGIN
    IF metadata ->> 'tool' IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN
        RETURN NULL;                    -- as deploy_ledger() says too, but without a query
    END IF;
    SELECT * INTO l FROM migrollback_schema.deploy_ledger(metadata ->> 'tool', search_path);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM migrollback_schema.refuse_untrusted_ledger(l.untrusted);
    IF l.record IS NULL THEN
        RAISE EXCEPTION 'only its own tool can write the ledger %', l.ledger
            USING ERRCODE = '0A000', HINT = format('Apply it with that tool, and run migrollback register %s then.',
                                                   name);
    END IF;
    written := migrollback_schema.write_deploy_ledger(metadata ->> 'tool', l.ledger, l.record, name, version,
                                                      statements, metadata ->> 'ledger_hash');
    RETURN jsonb_build_object('table', l.ledger::text, 'inserted', written -> 0);
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_in_deploy_ledger(text, text, text[], jsonb, text) IS
    'Writes: records in the ledger of the migration''s deploy tool (metadata: tool), where there is one, that the '
    'migration is applied. search_path: where it is looked for, besides public. Returns what it wrote, or NULL. '
    'SQLSTATE 0A000: a ledger that only its tool can write; MR024, MR025: as write_deploy_ledger().';

CREATE OR REPLACE FUNCTION migrollback_schema.forget_in_deploy_ledger(
    name text, version text, metadata jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l       record;
    before  text;
    removed jsonb;
    kept    boolean;
    reason  text;
    heads   text[];
BEGIN
    IF metadata ->> 'tool' IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN
        RETURN NULL;                    -- as deploy_ledger() says too, but without a query
    END IF;
    SELECT * INTO l FROM migrollback_schema.deploy_ledger(metadata ->> 'tool', metadata ->> 'search_path');
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM migrollback_schema.refuse_untrusted_ledger(l.untrusted);
    IF l.newest_only THEN
        before := migrollback_schema.version_before(metadata);
        IF before IS NULL THEN
            RAISE EXCEPTION 'which version comes before % in the ledger % is not known', version, l.ledger
                USING ERRCODE = 'MR023', HINT = format('Register %s again from its folder, where it stands.', name);
        END IF;
    END IF;
    IF l.known_by = 'heads' THEN
        reason := migrollback_schema.not_a_head_reason(name, version, metadata);
        IF reason IS NOT NULL THEN
            RAISE EXCEPTION '%', reason USING ERRCODE = 'MR031', HINT = 'Nothing was changed.';
        END IF;
        EXECUTE format('SELECT coalesce(array_agg(a.key), ''{}'') FROM (' || l.applied || ') AS a (key)', l.ledger)
           INTO heads;
        before := migrollback_schema.revisions_after_undoing(version, heads, metadata)::text;
    END IF;
    removed := migrollback_schema.write_deploy_ledger(metadata ->> 'tool', l.ledger, l.forget, name, version,
                                                      NULL::text[], before);
    -- it was not the newest: the ledger goes on covering it, and cannot say more
    IF l.newest_only AND removed IS NULL THEN
        EXECUTE format('SELECT max(a.key::numeric) >= $1 FROM (' || l.applied || ') AS a (key)', l.ledger)
           INTO kept USING substring(version FROM '^[0-9]{1,255}$')::numeric;
    END IF;
    RETURN jsonb_build_object('table', l.ledger::text, CASE WHEN l.newest_only THEN 'now'
                              ELSE 'deleted' END, removed -> 0,
                              'kept', CASE WHEN kept THEN true END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.forget_in_deploy_ledger(text, text, jsonb) IS
    'Writes: takes a migration out of the ledger of its deploy tool (metadata: tool), where there is one, so that '
    'the tool applies it again. One that keeps only the newest version goes back to the one before. Returns the row '
    'that it removed or wrote (kept: the ledger covers the version all the same), or NULL. SQLSTATE MR024, MR025: as '
    'write_deploy_ledger(); MR031: the ledger is at a later version.';
