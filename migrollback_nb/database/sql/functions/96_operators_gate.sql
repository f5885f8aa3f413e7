-- ---------------------------------------------------------------------------------------------------
-- The operators' gate: registered rollbacks, run with the rights of the system's owner. Each function here is SECURITY
-- DEFINER, takes nothing that steers what runs, and says itself who asks: session_user.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.operator_client(client text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT nullif(left(regexp_replace(client, '[^[:print:]]+', ' ', 'g'), 200), '')
$function$;
COMMENT ON FUNCTION migrollback_schema.operator_client(text) IS
    'What an operator''s program calls itself, in one line of at most 200 characters. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_others_attempt(attempt_id uuid) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF EXISTS (SELECT FROM migrollback_schema.migration_events e WHERE e.attempt_id = refuse_others_attempt.attempt_id
                AND e.database_user <> session_user) THEN
        RAISE EXCEPTION 'attempt % is another person''s', attempt_id
            USING ERRCODE = 'MR030', HINT = 'Make a new id for each attempt. Nothing was changed.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_others_attempt(uuid) IS
    'Raises SQLSTATE MR030 where an attempt of this id was made by another than session_user. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.start_through_gate(
    names text[], attempt_id uuid, reason text DEFAULT NULL, client text DEFAULT NULL, preview text DEFAULT NULL,
    asked jsonb DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.refuse_others_attempt(attempt_id);
    IF migrollback_schema.operator_refusal(names) IS NOT NULL THEN
        RETURN NULL;                    -- it does not begin: roll_back_through_gate() says why
    END IF;
    RETURN migrollback_schema.start_migration_rollback(
        names, attempt_id, reason, migrollback_schema.operator_client(client),
        (SELECT jsonb_strip_nulls(jsonb_build_object(
                    'database', current_database(), 'user', session_user, 'schema', 'migrollback_schema'::text,
                    'host', host(inet_server_addr()), 'port', inet_server_port()::text,
                    'server_version', current_setting('server_version'), 'fingerprint', preview,
                    'verdict', a.verdict, 'headline', a.headline, 'gate', 'operators'))
                || CASE WHEN pg_column_size(asked) <= 100000 THEN (
                       SELECT coalesce(jsonb_object_agg(k.key, k.value), '{}') FROM jsonb_each(asked) k
                        WHERE k.key IN ('asked', 'names', 'parts')) ELSE '{}' END
           FROM migrollback_schema.assess_migrations(names, 'pg_catalog', NULL::jsonb, NULL::text) a), false);
END $function$;
COMMENT ON FUNCTION migrollback_schema.start_through_gate(text[], uuid, text, text, text, jsonb) IS
    'Writes the events started of an operator''s rollback, to be committed before it begins; what they say of the '
    'database and of what is known beforehand, the database says itself. asked: what the attempt is for '
    '(asked, names, parts). '
    'Returns the number of the last, or NULL where '
    'it is refused, which roll_back_through_gate() then says.';

CREATE OR REPLACE FUNCTION migrollback_schema.roll_back_through_gate(
    names text[], dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL,
    attempt_id uuid DEFAULT NULL, client text DEFAULT NULL, snapshot_each boolean DEFAULT false,
    accept_loss boolean DEFAULT false, session_path text DEFAULT pg_catalog.current_setting('search_path'),
    session_settings jsonb DEFAULT '{}', break_glass boolean DEFAULT false)
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- so that it is seen below whether the path was put back, and nothing of ours runs under the person's
    marked_path constant text := 'pg_catalog, pg_temp, pg_catalog';
    attempt   constant uuid := coalesce(attempt_id, gen_random_uuid());
    asked_by  constant text := migrollback_schema.operator_client(client);
    refusal   text;
    settings  jsonb;
    before    jsonb;
    failure   jsonb;
    path_touched boolean;
BEGIN
    PERFORM migrollback_schema.refuse_others_attempt(attempt);
    refusal := migrollback_schema.operator_refusal(names);
    IF refusal IS NOT NULL THEN
        migration_name := (SELECT n.name FROM unnest(names) WITH ORDINALITY AS n (name, place)
                             JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
                            ORDER BY n.place LIMIT 1);
        IF NOT dry_run AND migration_name IS NOT NULL THEN
            PERFORM migrollback_schema.add_migration_event('refused', migration_name, attempt,
                roll_back_through_gate.reason, asked_by, jsonb_build_object('message', refusal));
        END IF;
        RETURN QUERY SELECT false, refusal, NULL::text, coalesce(migration_name, names[1]);
        RETURN;
    END IF;
    settings := migrollback_schema.operator_settings();
    before := (SELECT coalesce(jsonb_object_agg(s.name, coalesce(current_setting(s.name, true), '')), '{}')
               FROM jsonb_object_keys(settings) AS s (name));
    PERFORM set_config(s.key, s.value, true) FROM jsonb_each_text(settings) s;
    -- session_settings: what our client sets, and what was set above; no other is put to a value that a person names
    FOR success, message, sql_executed, migration_name IN
        SELECT r.success, r.message, r.sql_executed, r.migration_name
        FROM migrollback_schema.execute_migration_rollbacks(
            names, dry_run, roll_back_through_gate.reason, preview, attempt, asked_by, NULL::text, 'pg_catalog',
            snapshot_each, marked_path,
            (SELECT coalesce(jsonb_object_agg(g.key, g.value), '{}') FROM jsonb_each(session_settings) g
              WHERE g.key IN ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout',
                              'synchronous_commit', 'client_min_messages', 'client_connection_check_interval'))
            || before, accept_loss, break_glass) r
    LOOP
        IF NOT success AND NOT dry_run THEN
            SELECT e.details INTO failure FROM migrollback_schema.migration_events e
             WHERE e.attempt_id = attempt AND e.event = 'failed' ORDER BY e.event_number DESC LIMIT 1;
            IF failure ? 'sqlstate' THEN
                message := 'Rollback failed: ' || (migrollback_schema.without_row_values(failure) ->> 'message');
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    path_touched := current_setting('search_path') = marked_path;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    PERFORM set_config(s.key, s.value, true) FROM jsonb_each_text(before) s;
    IF path_touched THEN
        -- at the very end: until here nothing runs under it
        PERFORM set_config('search_path', session_path, false), set_config('search_path', session_path, true);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.roll_back_through_gate(text[], boolean, text, text, uuid, text, boolean, boolean,
    text, jsonb, boolean) IS
    'Writes, unless dry_run. execute_migration_rollbacks() for an operator, with the rights of the system''s owner: '
    'what is registered, and nothing else. Refused (success = false, message): what operator_refusal() says. Settings '
    'that change what SQL means are those of the database meanwhile. Messages quote no row; the audit log does. '
    'SQLSTATE MR030: the attempt is another person''s.';

CREATE OR REPLACE FUNCTION migrollback_schema.attempt_through_gate(attempt_id uuid, wait boolean DEFAULT true)
RETURNS TABLE (migration_name text, event text, event_number bigint, hash text, details jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.refuse_others_attempt(attempt_id);
    IF wait THEN                        -- while a lost COMMIT is still at work, "not found" would be a wrong answer
        PERFORM migrollback_schema.lock_migrations();
    END IF;
    RETURN QUERY
    SELECT e.migration_name, e.event, e.event_number, e.hash, migrollback_schema.without_row_values(e.details)
    FROM migrollback_schema.migration_events e
    WHERE e.attempt_id = attempt_through_gate.attempt_id AND e.event <> 'started' ORDER BY e.event_number;
END $function$;
COMMENT ON FUNCTION migrollback_schema.attempt_through_gate(uuid, boolean) IS
    'How an attempt of this person ended: its events but for the first. No row: nothing of it was committed. wait: for '
    'a running attempt. SQLSTATE MR030: it is another person''s. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.lost_through_gate(
    attempt_id uuid, cancelled boolean DEFAULT false, client text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    started record;
BEGIN
    PERFORM migrollback_schema.refuse_others_attempt(attempt_id);
    PERFORM migrollback_schema.lock_migrations();
    SELECT e.migration_name, e.reason INTO started FROM migrollback_schema.migration_events e
     WHERE e.attempt_id = lost_through_gate.attempt_id AND e.event = 'started' ORDER BY e.event_number DESC LIMIT 1;
    IF NOT FOUND OR EXISTS (SELECT FROM migrollback_schema.migration_events e
                             WHERE e.attempt_id = lost_through_gate.attempt_id AND e.event <> 'started') THEN
        RETURN NULL;                    -- it never began, or its end is known
    END IF;
    RETURN migrollback_schema.add_migration_event('failed', started.migration_name, attempt_id, started.reason,
        migrollback_schema.operator_client(client), jsonb_build_object('passing', true,
            'sqlstate', CASE WHEN cancelled THEN '57014' ELSE '08006' END,
            'message', CASE WHEN cancelled THEN 'interrupted by the user'
                            ELSE 'the connection was lost; nothing was committed' END));
END $function$;
COMMENT ON FUNCTION migrollback_schema.lost_through_gate(uuid, boolean, text) IS
    'Writes that nothing of this person''s attempt was committed, where it began and has no other end: the connection '
    'was lost, or it was cancelled. The status of the migration stays. Returns the number of the event, or NULL.';

CREATE OR REPLACE FUNCTION migrollback_schema.snapshot_through_gate(names text[], client text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.refuse_operator_session();
    IF EXISTS (SELECT FROM unnest(names) AS n (name) WHERE NOT EXISTS (
                   SELECT FROM migrollback_schema.migration_history h WHERE h.migration_name = n.name)) THEN
        RETURN NULL;
    END IF;
    RETURN migrollback_schema.create_migration_snapshot(names[cardinality(names)], NULL::text, 'before rollback', names,
                                                        migrollback_schema.operator_client(client), NULL::text[]);
END $function$;
COMMENT ON FUNCTION migrollback_schema.snapshot_through_gate(text[], text) IS
    'Writes a snapshot before an operator''s rollback, unless nothing has changed since the last one; returns its id. '
    'NULL: one of the migrations is not registered.';

CREATE OR REPLACE FUNCTION migrollback_schema.verify_through_gate(name text, client text DEFAULT NULL)
RETURNS TABLE (verdict text, message text, changes jsonb, differences jsonb, unexpected jsonb, migrations text[],
               effects jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.refuse_operator_session();
    RETURN QUERY SELECT v.* FROM migrollback_schema.verify_last_rollback(
        name, migrollback_schema.operator_client(client)) v;
END $function$;
COMMENT ON FUNCTION migrollback_schema.verify_through_gate(text, text) IS
    'Writes the event verified, and a snapshot where none was taken since: verify_last_rollback() for an operator.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearse_through_gate(
    names text[], consent boolean DEFAULT false, client text DEFAULT NULL, max_stall_ms int DEFAULT 1000,
    watch bigint DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    refusal  constant text := migrollback_schema.operator_refusal(names);
    settings constant jsonb := migrollback_schema.operator_settings();
    before   jsonb;
    report   jsonb;
BEGIN
    IF refusal IS NOT NULL THEN
        RETURN jsonb_build_object('success', false, 'refused', true, 'migrations', names, 'migration_name',
                                  names[cardinality(names)], 'message', refusal);
    END IF;
    before := (SELECT coalesce(jsonb_object_agg(s.name, coalesce(current_setting(s.name, true), '')), '{}')
               FROM jsonb_object_keys(settings) AS s (name));
    PERFORM set_config(s.key, s.value, true) FROM jsonb_each_text(settings) s;
    report := migrollback_schema.rehearse_migration_rollbacks(
        names, consent, migrollback_schema.operator_client(client), 2000, true, false, 'pg_catalog', max_stall_ms,
        watch);
    PERFORM set_config(s.key, s.value, true) FROM jsonb_each_text(before) s;
    IF report ? 'failure' AND jsonb_typeof(report -> 'failure') = 'object' THEN
        report := report || jsonb_build_object(
            'failure', migrollback_schema.without_row_values(report -> 'failure'),
            'message', CASE WHEN (report #> '{failure,passing}')::boolean
                                THEN 'Rehearsal: it did not get to its end: '
                            ELSE 'Rehearsal: the rollback would fail: ' END
                       || (migrollback_schema.without_row_values(report -> 'failure') ->> 'message'));
    END IF;
    RETURN report - '{values,states,bodies,up_written,unchanged_since}'::text[];
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearse_through_gate(text[], boolean, text, int, bigint) IS
    'Writes one event and nothing else. rehearse_migration_rollbacks() for an operator, with the rights of the '
    'system''s owner; refused where operator_refusal() says why. What it reports holds no value of a row.';

CREATE OR REPLACE FUNCTION migrollback_schema.preview_through_gate(names text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    fingerprint text;
    refusal     text;
BEGIN
    PERFORM migrollback_schema.refuse_operator_session();
    -- first of all: what changes between these must show as a change
    fingerprint := migrollback_schema.migration_fingerprint(names, 'pg_catalog');
    refusal := migrollback_schema.operator_refusal(names);
    RETURN jsonb_build_object(
        'fingerprint', fingerprint,
        'dry_run', CASE WHEN refusal IS NOT NULL THEN jsonb_build_array(jsonb_build_object('success', false,
                'message', refusal, 'sql_executed', NULL, 'migration_name', names[cardinality(names)]))
            ELSE (SELECT jsonb_agg(to_jsonb(r)) FROM migrollback_schema.execute_migration_rollbacks(
                      names, true, NULL::text, NULL::text, NULL::uuid, NULL::text, NULL::text, 'pg_catalog', false,
                      'pg_catalog', '{}'::jsonb, false, false) r) END,
        'ledgers', migrollback_schema.deploy_ledgers_of_migrations(names),
        'production', migrollback_schema.is_production_database(),
        'assessed', (SELECT to_jsonb(a) FROM migrollback_schema.assess_migrations(names, 'pg_catalog', NULL::jsonb,
                                                                                  NULL::text) a),
        'foreseen', migrollback_schema.foreseen_locks(names, 'pg_catalog'),
        'known', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'migration_name', h.migration_name, 'status', h.status,
                      'warnings', migrollback_schema.migration_warnings(h.migration_name), 'checksum', h.checksum,
                      'rollback_sha256', encode(sha256(convert_to(coalesce(h.rollback_sql, ''), 'UTF8')), 'hex'),
                      'in_transaction', h.metadata #> '{rollback,transaction}', 'tool', h.metadata -> 'tool',
                      'system', coalesce(h.metadata ->> 'system' = 'true', false),
                      'nontransactional', coalesce(h.metadata #>> '{rollback,transaction}' = 'false'
                          AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8')), false),
                      'check', (SELECT to_jsonb(c) FROM migrollback_schema.can_rollback_migration(h.migration_name)
                                c))), '[]')
                  FROM migrollback_schema.migration_history h WHERE h.migration_name = ANY (names)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.preview_through_gate(text[]) IS
    'What an operator sees of these rollbacks before they run: fingerprint, the SQL (dry_run), ledgers, production, '
    'assessment, foreseen locks, and what is stored of each. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.chain_through_gate(name text)
RETURNS TABLE (place int, migration_name text, status text, assessed jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    names text[];
BEGIN
    PERFORM migrollback_schema.refuse_operator_session();
    names := ARRAY(SELECT c.migration_name FROM migrollback_schema.migration_chain(name) c ORDER BY c.place);
    RETURN QUERY
    SELECT n.place::int, n.name, h.status, CASE WHEN n.place = cardinality(names) THEN (
               SELECT to_jsonb(a) FROM migrollback_schema.assess_migrations(names, 'pg_catalog', NULL::jsonb,
                                                                            NULL::text) a) END
    FROM unnest(names) WITH ORDINALITY AS n (name, place)
    JOIN migrollback_schema.migration_history h ON h.migration_name = n.name ORDER BY n.place;
END $function$;
COMMENT ON FUNCTION migrollback_schema.chain_through_gate(text) IS
    'A migration with all that must be rolled back before it, in rollback order: migration_chain() for an operator; '
    'assessed, at the last: the assessment of all. Does not write.';
