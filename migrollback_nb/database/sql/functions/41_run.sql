-- ---------------------------------------------------------------------------------------------------
-- Running migration SQL: in a subtransaction, with the caller's rights, and nothing may be left behind.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_rollback_statements(
    rollback_sql text, metadata jsonb)
RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    bytes   bytea;
    problem text;
BEGIN
    IF metadata #>> '{rollback,md5}' IS DISTINCT FROM md5(convert_to(rollback_sql, 'UTF8'))
        OR metadata #> '{rollback,statements}' IS NULL THEN
        RETURN ARRAY[rollback_sql];     -- this text was not parsed: it runs as one
    END IF;
    -- The gate has said so already; who comes here without it gets nothing else to run than what is shown.
    problem := coalesce(migrollback_schema.migration_metadata_problem(metadata),
                        migrollback_schema.migration_coverage_problem(rollback_sql,
                            metadata #> '{rollback,statements}'));
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'The stored statements do not cover the rollback SQL (%)', problem
            USING ERRCODE = 'MR026', HINT = 'Register the migration again from its file.';
    END IF;
    bytes := convert_to(rollback_sql, 'UTF8');
    RETURN coalesce((SELECT array_agg(convert_from(substring(bytes
                                                             FROM (s.statement ->> 0)::int
                                                             + 1 FOR (s.statement ->> 1)::int), 'UTF8')
                                                             ORDER BY s.place)
                     FROM jsonb_array_elements(metadata #> '{rollback,statements}') WITH ORDINALITY AS s (statement,
                         place)), '{}');
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_rollback_statements(text, jsonb) IS
    'The rollback SQL cut into statements where the parser found them at registration, or in one piece when the text '
    'is another. SQLSTATE MR026: what is stored of them leaves something out. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_progress_notices(
    names text[], place int, rollback_sql text, metadata jsonb)
RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    asked      text := coalesce(current_setting('migrollback.progress', true), '');
    statements text[];
    parsed     boolean;
    known      jsonb;
BEGIN
    IF asked = '' THEN
        RETURN '{}';
    END IF;
    statements := migrollback_schema.migration_rollback_statements(rollback_sql, metadata);
    parsed := metadata #>> '{rollback,md5}' = md5(convert_to(rollback_sql, 'UTF8'));
    -- Texts in hex: a notice that cannot be said in the client's encoding is an error, and would make the rollback
    -- fail.
    known := jsonb_build_object('asked', encode(convert_to(asked, 'UTF8'), 'hex'),
                                'migration', encode(convert_to(names[place], 'UTF8'), 'hex'),
                                'migration_number', place, 'migrations', cardinality(names),
                                'statements', cardinality(statements));
    RETURN ARRAY(SELECT (known || jsonb_build_object('statement_number', s.place,
                                                     'text', encode(convert_to(left(s.statement, 500), 'UTF8'), 'hex'),
                                                     'line', CASE WHEN parsed THEN metadata #> ARRAY['rollback',
                                                         'statements', (s.place - 1)::text, '2'] END))::text
                 FROM unnest(statements) WITH ORDINALITY AS s (statement, place) ORDER BY s.place) || known::text;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_progress_notices(text[], int, text, jsonb) IS
    'What run_migration_sql() says before each statement of the migration names[place], and after the last, to a '
    'client that has asked for it by the setting migrollback.progress: JSON, texts in hex; nothing to others. Does '
    'not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_transient_error(sqlstate_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- 40: deadlock, serialization; 53: out of resources; 57: cancelled, shut down; 55P03: lock not available; 55006:
    -- object in use;
    -- 42501: not this role; MR023, MR024, MR025, MR031: the deploy ledger cannot be written yet. The same SQL may
    -- succeed another time, so the migration is not marked failed.
    SELECT left(sqlstate_code, 2) IN ('08', '40', '53', '57') OR sqlstate_code IN ('55P03', '55006', '42501', 'MR023',
        'MR024', 'MR025', 'MR031')
$function$;
COMMENT ON FUNCTION migrollback_schema.is_transient_error(text) IS
    'Whether an error with this SQLSTATE is transient (lock timeout, deadlock, cancel ...). Does not write.';

-- Over 120 lines: what it set before the SQL it puts back after it, and behind the SQL it may call nothing that
-- the SQL could have replaced.
CREATE OR REPLACE FUNCTION migrollback_schema.run_migration_sql(
    statements text[], search_path text, session_path text, session_settings jsonb DEFAULT '{}',
    set_local text[] DEFAULT '{}', set_session text[] DEFAULT '{}', system_tables oid[] DEFAULT '{}',
    more_follows boolean DEFAULT false, announced text[] DEFAULT '{}')
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
    path_found text; path_left text; path_set text;     -- after a statement, for the next one, as the SQL set it
    names            text[] := '{}';
    values_before    text[];
    setting          record;
    put_back         text[] := '{}';
    messages_before  constant text := current_setting('client_min_messages');
    encoding_before  constant text := current_setting('client_encoding');
    client_settings  text[] := '{}';
    not_counted    boolean := current_setting('track_counts') = 'off'
        OR array_to_string(statements, ' ') ~* 'track_counts';
    writes_before    text := migrollback_schema.migration_system_writes(system_tables, not_counted);
    dependencies_before bigint;
    catalogs_before  numeric;
    changes_before   numeric;
    our_tables       oid[];
    written_before   jsonb;             -- table -> rows inserted, updated, deleted by this transaction so far
    written          jsonb;
    -- DDL always shows in the catalogs; other statements need a look at every table
    only_ddl constant boolean := (SELECT coalesce(bool_and(s.statement !~ ';'
        AND s.statement ~* '^\s*(create|alter|drop|comment|grant|revoke)\M'), true)
        FROM unnest(statements) AS s (statement));
    may_change_settings boolean;
    path_touched     boolean := false;
    session_before_it jsonb;            -- where the SQL may leave something in the session
    left_in_session  text[] := '{}';
    unchanged        boolean;
    deferred         text;
    outcome          jsonb;
    announces        boolean := cardinality(announced) = cardinality(statements) + 1;
    statement_count  int := cardinality(statements);
    -- A rehearsal also wants to know the locks and at which statement they came. Only within its transaction: a setting
    -- that was left over says nothing.
    rehearsed        boolean := coalesce(current_setting('migrollback.rehearsal', true),
                                         '') = coalesce(pg_current_xact_id_if_assigned()::text, 'none');
    locks            jsonb := '{}';
    looked_at        int := 0;          -- the last statement after which the locks were looked at
    looking_ms       numeric := 0;
    this_database    oid;
    code text; message text; detail text; hint text; schema_name text; table_name text; constraint_name text;
BEGIN
    IF rehearsed THEN                   -- what is locked already has nothing to do with the SQL
        this_database := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
        SELECT coalesce(jsonb_object_agg(l.relation || ' ' || l.mode, 0), '{}') INTO locks
          FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
              AND l.relation >= 16384 AND l.database = this_database;
    END IF;
    -- Looking at all settings takes longer than a small migration does. An event trigger runs code of its own, whatever
    -- the SQL says.
    may_change_settings := EXISTS (SELECT FROM pg_event_trigger e WHERE e.evtenabled <> 'D')
        OR CASE WHEN cardinality(system_tables) > 0
                THEN NOT (SELECT coalesce(bool_and(s.statement !~ ';'
                    AND s.statement ~* E'^\\s*(drop|comment|revoke|alter\\s+table\\s[^;()'']*\\sdrop)\\M'), false)
                          FROM unnest(statements) AS s (statement))
                ELSE migrollback_schema.statements_may_set(statements) END;
    IF may_change_settings THEN
        names := migrollback_schema.changeable_settings(set_local || set_session, statements);
        values_before := ARRAY(SELECT coalesce(current_setting(n.name, true), '')
                               FROM unnest(names) WITH ORDINALITY AS n (name, place) ORDER BY n.place);
        session_before_it := migrollback_schema.session_state();
    END IF;
    IF cardinality(system_tables) > 0 THEN
        dependencies_before := pg_stat_get_xact_tuples_inserted('pg_depend'::regclass)
            + pg_stat_get_xact_tuples_deleted('pg_depend'::regclass);
        catalogs_before := migrollback_schema.transaction_changes(true);
        IF NOT only_ddl THEN
            changes_before := migrollback_schema.transaction_changes(false);
        END IF;
    END IF;
    IF NOT only_ddl AND NOT not_counted THEN
        our_tables := migrollback_schema.migration_system_tables();
        written_before := (
            SELECT coalesce(jsonb_object_agg(c.oid, jsonb_build_array(
                       pg_stat_get_xact_tuples_inserted(c.oid), pg_stat_get_xact_tuples_updated(c.oid),
                       pg_stat_get_xact_tuples_deleted(c.oid))), '{}')
            FROM pg_class c WHERE c.relkind = 'r' AND c.oid >= 16384 AND c.oid <> ALL (our_tables)
              AND pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
                  + pg_stat_get_xact_tuples_deleted(c.oid) > 0);
    END IF;
    BEGIN
        -- Set here, not on the function: a function's own path would reach EXECUTE, and DROP TABLE IF EXISTS users
        -- would drop nothing.
        -- pg_temp last: unnamed it comes first, and a temporary table would stand in for the one that is meant.
        PERFORM set_config('search_path', coalesce(nullif(run_migration_sql.search_path, ''), 'pg_catalog')
                           || ', pg_temp', true);
        path_asked := pg_catalog.current_setting('search_path');
        path_left := path_asked; path_set := path_asked;
        -- Only for the statements: on that path `numeric * int` may be an operator that was planted, and would run as
        -- the caller.
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        FOREACH statement IN ARRAY statements LOOP
            place := place + 1;
            IF announces THEN           -- sent at once; for programs in a field that psql does not print
                RAISE NOTICE 'statement % of %', place, statement_count
                    USING ERRCODE = 'MR100', DATATYPE = announced[place];
            END IF;
            statement_began := clock_timestamp();
            PERFORM pg_catalog.set_config('search_path', path_left, true);
            EXECUTE statement;
            path_found := pg_catalog.current_setting('search_path');
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            IF path_found <> path_left THEN
                path_set := path_found;
                -- pg_temp last, after a SET of the SQL too
                path_left := CASE WHEN path_found ~ '\mpg_temp\M' THEN path_found
                                  ELSE coalesce(nullif(path_found, ''), 'pg_catalog') || ', pg_temp' END;
            END IF;
            statement_ms := statement_ms || round(extract(epoch
                                                          FROM clock_timestamp() - statement_began)::numeric * 1000, 3);
            -- What is said to the client, and in which encoding, is no matter of the SQL: "... does not exist,
            -- skipping" must reach it, and be readable.
            IF pg_catalog.current_setting('client_min_messages') OPERATOR(pg_catalog.<>) messages_before THEN
                PERFORM pg_catalog.set_config('client_min_messages', messages_before, true);
                client_settings := pg_catalog.array_append(client_settings, 'client_min_messages');
            END IF;
            IF pg_catalog.current_setting('client_encoding') OPERATOR(pg_catalog.<>) encoding_before THEN
                PERFORM pg_catalog.set_config('client_encoding', encoding_before, true);
                client_settings := pg_catalog.array_append(client_settings, 'client_encoding');
            END IF;
            IF rehearsed AND (place = cardinality(statements) OR looking_ms < 20 + extract(epoch
                FROM clock_timestamp() - began) * 250) THEN
                -- Looking costs more the more locks there are: where it would cost too much, a lock is put down to the
                -- first statement that may have taken it.
                statement_began := clock_timestamp();
                -- no function of ours: the SQL may have another role now, and its own search_path
                BEGIN
                    locks := coalesce((SELECT pg_catalog.jsonb_object_agg(l.relation || ' ' || l.mode, looked_at + 1)
                                       FROM pg_catalog.pg_locks l
                                        WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
                                          AND l.granted AND l.relation >= 16384
                                          AND l.database = this_database), '{}') || locks;
                EXCEPTION WHEN insufficient_privilege THEN
                    NULL;               -- a role that may not look at locks; the next one may
                END;
                looked_at := place;
                looking_ms := looking_ms + extract(epoch FROM clock_timestamp() - statement_began)::numeric * 1000;
            END IF;
        END LOOP;
        place := NULL;
        IF announces THEN
            RAISE NOTICE '% statements have run', statement_count
                USING ERRCODE = 'MR100', DATATYPE = announced[statement_count + 1];
        END IF;

        IF current_user <> role_before OR session_user <> session_before THEN
            RAISE EXCEPTION 'the SQL leaves role % behind (it began as %)', current_user, role_before
                USING ERRCODE = 'MR020', HINT = 'End the block with RESET ROLE.';
        END IF;

        -- Success may not be claimed while a deferred constraint is still to be checked.
        SET CONSTRAINTS ALL IMMEDIATE;
        -- As they were, for the next migration in this transaction. Whether there are any is asked first: grouping them
        -- all takes half as long as a small migration does.
        IF more_follows AND EXISTS (SELECT FROM pg_constraint k WHERE k.condeferred) THEN
            -- by name, so only where all constraints of one name are alike, and where the caller may look
            SELECT string_agg(c.name, ', ') INTO deferred
              FROM (SELECT format('%I.%I', n.nspname, k.conname) AS name FROM pg_constraint k
                    JOIN pg_namespace n ON n.oid = k.connamespace
                     WHERE has_schema_privilege(n.oid, 'USAGE') GROUP BY n.nspname, k.conname
                       HAVING bool_and(k.condeferred)) c;
            IF deferred IS NOT NULL THEN
                EXECUTE 'SET CONSTRAINTS ' || deferred || ' DEFERRED';
            END IF;
        END IF;

        IF NOT not_counted AND current_setting('track_counts') = 'off' THEN
            RAISE EXCEPTION 'the SQL switches track_counts off in a function that it calls, so that nothing shows what '
                            'it writes'
                USING ERRCODE = 'MR021', HINT = 'Write SET track_counts in the block itself, or leave it out.';
        END IF;
        -- Whatever the SQL set holds until here. Of what it set for longer than the transaction, two values go back:
        -- the session's, and that of this
        -- transaction, which ours comes from. A SET to the value that a SET LOCAL of ours has shows nowhere: hence
        -- those that the SQL names. No others: through a
        -- pooler that lends sessions for a transaction, the next client has this one.
        FOR setting IN
            SELECT f.name, f.value, f.changed, NOT f.local AS for_longer,
                   coalesce(session_settings ->> f.name, f.value) AS session_value
            FROM (SELECT n.name, n.value, n.place, coalesce(current_setting(n.name, true), '') <> n.value
                  OR n.name = ANY (client_settings) AS changed,
                         lower(n.name) = ANY (set_local) AND lower(n.name) <> ALL (set_session) AS local
                  FROM unnest(names, values_before) WITH ORDINALITY AS n (name, value, place)) f
            WHERE f.changed OR lower(f.name) = ANY (set_session)
               OR session_settings ? f.name AND array_to_string(statements, ' ') ~* ('reset|' || f.name)
            ORDER BY f.place
        LOOP
            BEGIN
                IF setting.for_longer THEN
                    PERFORM set_config(setting.name, setting.session_value, false);
                END IF;
                IF NOT setting.for_longer OR setting.session_value <> setting.value THEN
                    PERFORM set_config(setting.name, setting.value, true);
                END IF;
            EXCEPTION WHEN OTHERS THEN
                RAISE EXCEPTION 'the SQL changes the setting %, which cannot be put back: %', setting.name, SQLERRM
                    USING ERRCODE = 'MR021', HINT = 'Take it out of the block.';
            END;
            IF setting.for_longer AND (setting.changed OR setting.session_value <> setting.value
                                       AND lower(setting.name) = ANY (set_session)) THEN
                put_back := put_back || setting.name;
            END IF;
        END LOOP;
        IF may_change_settings AND (path_set <> path_asked OR array_to_string(statements, ' ') ~* 'search_path') THEN
            -- The SET of this function, and of those that call it, no longer puts it back: the caller has to, see
            -- effective_search_path().
            PERFORM set_config('search_path', session_path, false), set_config('search_path', 'pg_catalog, pg_temp',
                true);
            path_touched := true;
            IF path_set <> path_asked AND 'search_path' <> ALL (set_local) THEN
                put_back := put_back || 'search_path'::text;
            END IF;
        END IF;

        IF NOT not_counted THEN
            written := '{}';
            IF NOT only_ddl THEN
                written := coalesce((
                    SELECT jsonb_object_agg(w.oid::regclass::text, jsonb_build_array(w.inserted, w.updated, w.deleted))
                    FROM (SELECT c.oid, pg_stat_get_xact_tuples_inserted(c.oid) - coalesce(
                                     (written_before #>> ARRAY[c.oid::text, '0'])::bigint, 0) AS inserted,
                                 pg_stat_get_xact_tuples_updated(c.oid) - coalesce(
                                     (written_before #>> ARRAY[c.oid::text, '1'])::bigint, 0) AS updated,
                                 pg_stat_get_xact_tuples_deleted(c.oid) - coalesce(
                                     (written_before #>> ARRAY[c.oid::text, '2'])::bigint, 0) AS deleted
                          FROM pg_class c WHERE c.relkind = 'r' AND c.oid >= 16384 AND c.relpersistence <> 't'
                           AND c.relnamespace IS DISTINCT FROM to_regnamespace('migrollback_archive')
                           AND c.oid <> ALL (our_tables)) w
                    WHERE w.inserted > 0 OR w.updated > 0 OR w.deleted > 0), '{}');
            END IF;
        END IF;
        IF cardinality(system_tables) > 0 THEN
            IF migrollback_schema.migration_system_writes(system_tables, not_counted) <> writes_before THEN
                RAISE EXCEPTION 'the SQL touches the tables or functions of the rollback system'
                    USING ERRCODE = 'MR022', HINT = 'Leave migration_history and its neighbours to migrollback.';
            END IF;
            -- what sequences and large objects hold is counted nowhere
            -- pg_depend first: most of what DDL makes or drops shows there, and then nothing else need be asked
            unchanged := NOT not_counted
                     AND pg_stat_get_xact_tuples_inserted('pg_depend'::regclass)
                         + pg_stat_get_xact_tuples_deleted('pg_depend'::regclass) = dependencies_before
                     AND array_to_string(statements, ' ') !~* '(setval|nextval|\mlo_)';
            IF unchanged THEN
                unchanged := migrollback_schema.transaction_changes(true) = catalogs_before;
            END IF;
            IF unchanged AND NOT only_ddl THEN
                unchanged := migrollback_schema.transaction_changes(false) = changes_before;
            END IF;
        END IF;
    EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN     -- OTHERS leaves out the first two
        IF rehearsed AND current_setting('migrollback.rethrow', true) = 'on' THEN
            RAISE;                      -- only a client that gets the error itself sees the place in the statement
        END IF;
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
            hint = PG_EXCEPTION_HINT,
            schema_name = SCHEMA_NAME, table_name = TABLE_NAME, constraint_name = CONSTRAINT_NAME;
        IF code = '57014' THEN
            -- Before 18 PostgreSQL sends a cancel to the process and once more to its group: the echo would end us
            -- before this one is recorded.
            BEGIN
                PERFORM pg_sleep(0.05);
            EXCEPTION WHEN query_canceled THEN
                NULL;
            END;
        END IF;
        outcome := jsonb_build_object('sqlstate', code, 'message', message, 'detail', nullif(detail, ''), 'hint',
                                      nullif(hint, ''),
            'schema', nullif(schema_name, ''), 'table', nullif(table_name, ''), 'constraint',
                nullif(constraint_name, ''),
            'statement_number', place, 'statement', left(statements[place], 2000));
    END;
    -- also where it failed: locks and prepared statements are not undone with the rest
    IF session_before_it IS NOT NULL THEN
        left_in_session := migrollback_schema.put_session_back(
            session_before_it, array_to_string(statements, ' ') ~* 'advisory');
        IF cardinality(left_in_session) > 0 THEN
            RAISE NOTICE 'The SQL left in the session, and it was freed: %', array_to_string(left_in_session, ', ');
        END IF;
    END IF;
    RETURN jsonb_strip_nulls(coalesce(outcome, '{}') || jsonb_build_object(
        'duration_ms', round(extract(epoch FROM clock_timestamp() - began)::numeric * 1000, 3),
        'statement_ms', to_jsonb(statement_ms), 'written', CASE WHEN outcome IS NULL THEN written END,
        'unchanged', CASE WHEN outcome IS NULL AND unchanged THEN true END,
        'settings_put_back', CASE WHEN outcome IS NULL THEN nullif(to_jsonb(put_back), '[]') END,
        'path_touched', CASE WHEN outcome IS NULL AND path_touched THEN true END,
        'locks', CASE WHEN rehearsed THEN locks END));
END $function$;
COMMENT ON FUNCTION migrollback_schema.run_migration_sql(text[], text, text, jsonb, text[], text[], oid[], boolean,
                                                         text[]) IS
    'Writes. Runs statements by server-side EXECUTE under the given search_path, all or none; settings that they '
    'change are put back, for the session and for the transaction. session_path: the caller''s search_path; '
    'session_settings: what the session has where this transaction has a SET LOCAL; set_local, set_session: settings '
    'that the parser saw changed until the transaction ends, or for longer; system_tables: our tables, whose rows it '
    'may not write; empty: neither that nor what it changed is looked at; more_follows: another run in this '
    'transaction; announced: migration_progress_notices(). Returns duration_ms, statement_ms (of each), unchanged '
    '(true: it ran and wrote nothing), written (table -> [rows inserted, updated, deleted]), settings_put_back '
    '(names; not of those that end with the transaction), '
    'path_touched (true: the caller has to put search_path back for the transaction when it ends), and where it '
    'failed sqlstate, message, detail, hint, statement_number (from 1; none when the failure came after the last), '
    'statement. In a rehearsal also locks ("oid mode" -> the first statement that may have taken it; 0: held '
    'before). An error is returned, not raised. MR020: it leaves another role behind; MR021: a setting that cannot '
    'be put back; MR022: it touches this system.';
