-- Installs the rollback system, or brings an older one up to date: one statement, so that it happens whole or not at
-- all, whichever client sends it. What <<...>> stands for, installation.py writes in.
DO $install$
DECLARE
    -- qualified: until the path is pinned below, the caller's path would choose
    path_before    constant pg_catalog.text := pg_catalog.current_setting('search_path');
    role_before    constant pg_catalog.text := pg_catalog.current_setting('role');
    strings_before constant pg_catalog.text := pg_catalog.current_setting('standard_conforming_strings');
    schemas_before constant pg_catalog.name[] := pg_catalog.current_schemas(false);
    scope_before   constant pg_catalog.text := pg_catalog.current_setting('migrollback.scope', true);
    our_version    constant pg_catalog.text := <<version>>;
    our_checksum   constant pg_catalog.text := <<checksum>>;
    our_signatures constant pg_catalog.text[] := <<functions>>;
    system_name    constant pg_catalog.text := <<name>>;
    our_client     constant pg_catalog.text := <<client>>;
    take_over      constant pg_catalog.text[] := <<take over>>;    -- what takes the earlier tool's tables over
    is_earlier     pg_catalog.bool := false;  -- they are here, and are to be
    from_version   pg_catalog.text;           -- NULL: there is none yet
    unknown        pg_catalog.text;
    our_owner      pg_catalog.oid;
    recorded       pg_catalog.record;
    is_current     pg_catalog.bool := false;
    is_divided     pg_catalog.bool := false;  -- into scopes
    routines_before pg_catalog.oid[] := '{}'; -- ours, before
    tables_before  pg_catalog.oid[] := '{}';
    in_the_way     pg_catalog.text;
    callers        pg_catalog.oid[];          -- roles that were granted every function
    readers        pg_catalog.oid[];          -- roles that were granted to read every table
    new_objects    pg_catalog.text[];
    revoked        pg_catalog.int4 := 0;
    step           pg_catalog.record;
    ran            pg_catalog.text[] := '{}';
    state          pg_catalog.text;
    sqlstate_of    pg_catalog.text;
    message_of     pg_catalog.text;
    detail_of      pg_catalog.text;
    hint_of        pg_catalog.text;
    -- what the catalogs hold of our functions and triggers
    state_query    constant pg_catalog.text := $query$
        SELECT md5(string_agg(d.definition, E'\n' ORDER BY d.definition COLLATE "C"))
        FROM (SELECT pg_get_functiondef(p.oid) AS definition FROM pg_proc p
               WHERE p.pronamespace = 'migrollback_schema'::regnamespace AND p.proowner = $1
                 AND format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) = ANY ($2)
              UNION ALL
              SELECT regexp_replace(pg_get_triggerdef(t.oid), '_of_scopes\M', '') || t.tgenabled::text
                FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
               WHERE c.relnamespace = 'migrollback_schema'::regnamespace AND NOT t.tgisinternal
                 AND p.pronamespace = c.relnamespace AND p.proowner = $1
                 AND format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) = ANY ($2)) d$query$;
BEGIN
    -- what is made here means the same whatever the session has set
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    PERFORM set_config('standard_conforming_strings', 'on', true);
    PERFORM set_config('check_function_bodies', 'on', true);
    PERFORM set_config('migrollback.scope', '', true);
    IF current_setting('lock_timeout') = '0' THEN
        PERFORM set_config('lock_timeout', '30s', true);
    END IF;
    -- our own function that takes this lock may not be there yet
    IF to_regclass('migrollback_schema' || '.migration_gate') IS NOT NULL THEN
        LOCK TABLE migrollback_schema.migration_gate IN EXCLUSIVE MODE;
    END IF;
    -- two that install for the first time, and an older system, whose functions take this one
    PERFORM pg_advisory_xact_lock(hashtextextended('migrollback_nb gate', 0));

    -- What is here? ---------------------------------------------------------------------------------------------
    IF to_regclass('migrollback_schema' || '.migration_history') IS NOT NULL THEN
        BEGIN
            SELECT coalesce(h.metadata ->> 'system_version', '0.1.0') INTO from_version
              FROM migrollback_schema.migration_history h
             WHERE h.migration_name = system_name AND h.metadata ->> 'system' = 'true' AND h.status <> 'rolled_back';
            SELECT string_agg(h.migration_name, ', ' ORDER BY h.migration_name) INTO unknown
              FROM migrollback_schema.migration_history h
             WHERE h.migration_name <> system_name AND h.metadata ->> 'system' = 'true' AND h.status <> 'rolled_back';
        EXCEPTION WHEN undefined_column OR undefined_function OR datatype_mismatch THEN
            NULL;                           -- a table of that name with other columns
        END;
        IF from_version IS NULL AND cardinality(take_over) > 0 THEN
            is_earlier := true;
        ELSIF from_version IS NULL THEN
            RAISE EXCEPTION 'Schema % has a table migration_history that is not this system''s', 'migrollback_schema'
                USING ERRCODE = 'MR027', HINT = CASE
                    -- those that only the specified table has together
                    WHEN (SELECT count(*) FROM pg_attribute a
                           WHERE a.attrelid = to_regclass('migrollback_schema' || '.migration_history')
                             AND NOT a.attisdropped
                             AND a.attname IN ('migration_name', 'migration_version', 'rollback_sql', 'rollback_at',
                                               'rollback_by')) = 5
                    THEN 'It has the columns of the earlier tool: migrollback install --take-over makes its tables '
                         'this system''s and keeps what they hold (--dry-run says first what it changes). Or install '
                         'into another schema: migrollback install --schema migrollback'
                    ELSE 'Install into another schema: migrollback install --schema migrollback' END;
        ELSIF from_version !~ '^[0-9]{1,5}([.][0-9]{1,5}){2}$' THEN
            RAISE EXCEPTION 'The system of this database says that its version is %, which is none', from_version
                USING ERRCODE = 'MR027', HINT = 'Put metadata.system_version of its own row right.';
        ELSIF unknown IS NOT NULL OR string_to_array(from_version, '.')::int[] > string_to_array(our_version,
            '.')::int[] THEN
            RAISE EXCEPTION 'The rollback system of this database is newer than this package: it has %',
                coalesce(unknown, format('version %s, and this is %s', from_version, our_version))
                USING ERRCODE = 'MR028', HINT = 'Install a newer migrollback-nb. Nothing was changed.';
        END IF;
        our_owner := (SELECT c.relowner FROM pg_class c
                      WHERE c.oid = to_regclass('migrollback_schema' || '.migration_history'));
    END IF;
    IF to_regclass('migrollback_schema' || '.migration_system_files') IS NOT NULL
       AND (SELECT c.relowner FROM pg_class c
            WHERE c.oid = to_regclass('migrollback_schema' || '.migration_system_files'))
           IS DISTINCT FROM our_owner THEN
        RAISE EXCEPTION 'Schema % has a table migration_system_files that is not this system''s', 'migrollback_schema'
            USING ERRCODE = 'MR027', HINT = 'Look whose it is, and drop it or have its owner do it.';
    END IF;
    IF from_version = our_version AND to_regclass('migrollback_schema' || '.migration_system_files') IS NOT NULL THEN
        -- who may not read which files have run cannot run any either
        is_current := NOT has_table_privilege(to_regclass('migrollback_schema' || '.migration_system_files'), 'SELECT');
        IF NOT is_current THEN
            SELECT f.checksum, f.catalog_state INTO recorded
              FROM migrollback_schema.migration_system_files f WHERE f.file = 'functions';
            EXECUTE state_query INTO state USING our_owner, our_signatures;
            is_current := coalesce(recorded.checksum = our_checksum AND recorded.catalog_state = state, false);
        END IF;
    END IF;

    IF NOT is_current THEN
        -- Who may, and what stands in the way? ------------------------------------------------------------------
        IF our_owner IS NULL THEN
            our_owner := (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
        ELSIF our_owner <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) THEN
            IF NOT pg_has_role(our_owner, 'MEMBER') THEN
                RAISE EXCEPTION '%', CASE WHEN is_earlier
                    THEN format('The tables of the earlier tool belong to %s, and only that role can have them taken '
                                'over', our_owner::regrole)
                    ELSE format('The system of this database has version %s, and only its owner, %s, can bring it to '
                                '%s', from_version, our_owner::regrole, our_version) END
                    USING ERRCODE = 'MR027', HINT = 'Run migrollback install as that role. Nothing was changed.';
            END IF;
            EXECUTE format('SET LOCAL ROLE %s', our_owner::regrole);    -- what it makes is its owner's, as the rest is
        END IF;
        IF to_regnamespace('migrollback_schema') IS NULL THEN
            CREATE SCHEMA migrollback_schema;
        END IF;
        IF is_earlier THEN
            PERFORM set_config('migrollback.taken_over', jsonb_build_object(
                'client', our_client, 'system', system_name, 'functions', '[]'::jsonb,
                'path', (SELECT coalesce(string_agg(quote_ident(s.name), ', ' ORDER BY s.place), '')
                         FROM unnest(schemas_before) WITH ORDINALITY AS s (name, place)))::text, true);
            FOR i IN 1 .. cardinality(take_over) LOOP
                BEGIN
                    EXECUTE take_over[i];
                EXCEPTION WHEN OTHERS THEN      -- without the context, which is the whole text
                    GET STACKED DIAGNOSTICS sqlstate_of = RETURNED_SQLSTATE, message_of = MESSAGE_TEXT,
                        detail_of = PG_EXCEPTION_DETAIL, hint_of = PG_EXCEPTION_HINT;
                    RAISE EXCEPTION USING ERRCODE = sqlstate_of, MESSAGE = message_of, DETAIL = detail_of,
                        HINT = hint_of;
                END;
            END LOOP;
        END IF;
        -- IF EXISTS (its owner's alone): a function that others put there is not asked
        IF EXISTS (SELECT FROM pg_proc p
                   WHERE p.oid = to_regprocedure('migrollback_schema' || '.migration_system_objects()')
                      AND p.proowner = our_owner) THEN
            SELECT o.tables, o.routines INTO tables_before, routines_before
              FROM migrollback_schema.migration_system_objects() o;
        ELSIF from_version IS NOT NULL THEN
            -- damaged: the owner's own functions with our arguments are taken for ours
            routines_before := ARRAY(SELECT p.oid FROM pg_proc p
                                      WHERE p.pronamespace = 'migrollback_schema'::regnamespace
                                        AND p.proowner = our_owner);
        END IF;
        SELECT string_agg(format('not ours: function %s, owner %s', p.oid::regprocedure, p.proowner::regrole), '; '
                          ORDER BY p.oid::regprocedure::text) INTO in_the_way
          FROM pg_proc p
         WHERE p.pronamespace = 'migrollback_schema'::regnamespace AND p.oid <> ALL (routines_before)
           AND format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) = ANY (our_signatures);
        IF in_the_way IS NOT NULL THEN
            RAISE EXCEPTION 'Functions have the names and arguments of this system''s: %', in_the_way
                USING ERRCODE = 'MR027',
                    HINT = 'Drop what is not this system''s, or have its owner do it, and install again.';
        END IF;
        -- A role that was granted all that there was, is granted what comes.
        callers := ARRAY(
            SELECT a.grantee FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
             WHERE p.oid = ANY (routines_before) AND a.grantee NOT IN (0, our_owner) AND a.privilege_type = 'EXECUTE'
               AND NOT p.prosecdef
             GROUP BY a.grantee HAVING count(DISTINCT p.oid) = (SELECT count(*) FROM pg_proc o
                                                                 WHERE o.oid = ANY (routines_before)
                                                                   AND NOT o.prosecdef));
        readers := ARRAY(
            SELECT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
             WHERE c.oid = ANY (tables_before) AND a.grantee NOT IN (0, our_owner) AND a.privilege_type = 'SELECT'
             GROUP BY a.grantee HAVING count(DISTINCT c.oid) = cardinality(tables_before));

        -- Tables, drops, functions, triggers --------------------------------------------------------------------
        is_divided := EXISTS (SELECT FROM pg_class c WHERE c.relkind = 'v'
                                 AND c.oid = to_regclass('migrollback_schema' || '.migration_history'));
        IF is_divided THEN
            PERFORM migrollback_schema.unite_migration_tables();
        END IF;
        FOR step IN
            SELECT s.kind, s.file, s.checksum, s.since, s.body
            FROM (VALUES
<<steps>>
            ) AS s (place, kind, file, checksum, since, body)
            ORDER BY s.place
        LOOP
            -- of the earlier tool's tables all but what makes them; the events when the rest is there
            CONTINUE WHEN is_earlier AND step.file = 'tables/0001_history.sql' AND step.kind = 'table'
                       OR NOT is_earlier AND step.kind LIKE '%taken over';
            IF step.kind = 'table' THEN
                IF to_regclass('migrollback_schema' || '.migration_system_files') IS NOT NULL THEN
                    CONTINUE WHEN EXISTS (SELECT FROM migrollback_schema.migration_system_files f
                                          WHERE f.file = step.file);
                    -- version 0.1.0 kept no list of its files
                    IF from_version IS NOT NULL AND step.since = '0.1.0' THEN
                        INSERT INTO migrollback_schema.migration_system_files (file, checksum, version)
                        VALUES (step.file, step.checksum, '0.1.0');
                        CONTINUE;
                    END IF;
                END IF;
            ELSIF step.kind = 'drop' THEN
                CONTINUE WHEN from_version IS NULL
                           OR string_to_array(from_version, '.')::int[] >= string_to_array(step.since, '.')::int[];
            END IF;
            BEGIN
                EXECUTE step.body;
            EXCEPTION WHEN OTHERS THEN          -- without the context, which is the whole file
                GET STACKED DIAGNOSTICS sqlstate_of = RETURNED_SQLSTATE, message_of = MESSAGE_TEXT,
                    detail_of = PG_EXCEPTION_DETAIL, hint_of = PG_EXCEPTION_HINT;
                RAISE EXCEPTION USING ERRCODE = sqlstate_of, MESSAGE = format('%s (in %s)', message_of, step.file),
                    DETAIL = detail_of, HINT = hint_of;
            END;
            ran := ran || step.file;
            IF step.kind IN ('table', 'table taken over') THEN
                INSERT INTO migrollback_schema.migration_system_files (file, checksum, version)
                VALUES (step.file, step.checksum, step.since);
            END IF;
        END LOOP;

        IF is_divided THEN
            PERFORM migrollback_schema.divide_migration_tables();
        END IF;

        -- Rights ------------------------------------------------------------------------------------------------
        SELECT array_agg(format('FUNCTION %s', p.oid::regprocedure)) INTO new_objects
          FROM migrollback_schema.migration_system_objects() o JOIN pg_proc p ON p.oid = ANY (o.routines)
         WHERE p.oid <> ALL (routines_before);
        new_objects := coalesce(new_objects, '{}') || ARRAY(
            SELECT format('TABLE %s', c.oid::regclass)
              FROM migrollback_schema.migration_system_objects() o JOIN pg_class c ON c.oid = ANY (o.tables)
             WHERE c.oid <> ALL (tables_before));
        revoked := migrollback_schema.revoke_public_privileges(new_objects);
        FOR step IN
            SELECT format('GRANT %s ON %s TO %s', CASE WHEN n.object LIKE 'TABLE %' THEN 'SELECT' ELSE 'EXECUTE' END,
                          n.object, g.grantee::regrole) AS body
            FROM unnest(new_objects) AS n (object)
            CROSS JOIN LATERAL unnest(CASE WHEN n.object LIKE 'TABLE %' THEN readers ELSE callers END) AS g (grantee)
            WHERE cardinality(routines_before) > 0
              -- what runs with the owner's rights is granted by grant_migration_role() alone
              AND NOT EXISTS (SELECT FROM pg_proc p
                              WHERE p.prosecdef AND 'FUNCTION ' || p.oid::regprocedure::text = n.object
                                AND p.pronamespace = 'migrollback_schema'::regnamespace)
        LOOP
            EXECUTE step.body;
        END LOOP;
        PERFORM migrollback_schema.restore_migration_roles();

        -- The system's own row, its list of files, and the event ----------------------------------------------------
        FOR step IN
            SELECT v.version, v.rollback_sql, v.checksum, v.metadata
            FROM (VALUES (<<migration version>>, <<rollback SQL>>, <<migration checksum>>, <<metadata>>))
                 AS v (version, rollback_sql, checksum, metadata)
        LOOP
            IF from_version IS NULL THEN
                PERFORM migrollback_schema.register_migration(system_name, step.version, step.rollback_sql,
                                                              step.checksum,
                    '{}'::text[], step.metadata, our_client, 'migrollback_schema'::text);
                PERFORM migrollback_schema.add_migration_event('installed', system_name, NULL::uuid, NULL::text,
                                                               our_client,
                    jsonb_build_object('version', our_version, 'system_state',
                                       to_jsonb(migrollback_schema.migration_system_state())));
            ELSE
                PERFORM migrollback_schema.save_migration(system_name, step.version, step.rollback_sql, step.checksum,
                    '{}'::text[], step.metadata || jsonb_build_object('search_path', 'migrollback_schema'::text));
                IF is_divided THEN
                    PERFORM migrollback_schema.adapt_system_rollback();
                END IF;
                PERFORM migrollback_schema.add_migration_event('upgraded', system_name, NULL::uuid, NULL::text,
                                                               our_client,
                    jsonb_build_object('from', from_version, 'to', our_version, 'system_state',
                                       to_jsonb(migrollback_schema.migration_system_state())));
                PERFORM migrollback_schema.upgrade_migration_scopes(from_version, our_client);
            END IF;
        END LOOP;
        EXECUTE state_query INTO state USING our_owner, our_signatures;
        INSERT INTO migrollback_schema.migration_system_files AS f (file, checksum, version, catalog_state)
        VALUES ('functions', our_checksum, our_version, state)
        ON CONFLICT (file) DO UPDATE SET checksum = excluded.checksum, version = excluded.version,
            run_at = excluded.run_at, catalog_state = excluded.catalog_state;
    END IF;

    -- for the client that sent it, until its transaction ends
    PERFORM set_config('migrollback.installation', jsonb_build_object(
        'from', from_version, 'to', our_version, 'changed', NOT is_current, 'revoked', revoked, 'files', ran,
        'taken_over', CASE WHEN is_earlier THEN current_setting('migrollback.taken_over')::jsonb END)::text, true);
    PERFORM set_config('migrollback.taken_over', '', true);
    PERFORM set_config('migrollback.scope', coalesce(scope_before, ''), true);
    PERFORM set_config('role', role_before, true);
    PERFORM set_config('standard_conforming_strings', strings_before, true);
    PERFORM pg_catalog.set_config('search_path', path_before, true);
END $install$;
