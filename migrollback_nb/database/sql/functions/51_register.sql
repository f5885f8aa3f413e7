-- ---------------------------------------------------------------------------------------------------
-- Recording: events, registration, resolution.
-- ---------------------------------------------------------------------------------------------------
CREATE OR REPLACE FUNCTION migrollback_schema.add_migration_event(
    event text, migration_name text, attempt_id uuid DEFAULT NULL, reason text DEFAULT NULL, client text DEFAULT NULL,
    details jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    number bigint;
BEGIN
    INSERT INTO migrollback_schema.migration_events AS e (event, migration_name, attempt_id, reason, client, details)
    VALUES (add_migration_event.event, add_migration_event.migration_name, add_migration_event.attempt_id,
            add_migration_event.reason, add_migration_event.client, coalesce(add_migration_event.details, '{}'))
    -- A transaction that still sees what was before the lock gets the number of another event: SQLSTATE 40001 then, and
    -- not 23505. Otherwise there is no conflict.
    ON CONFLICT DO NOTHING
    RETURNING e.event_number INTO STRICT number;
    RETURN number;
END $function$;
COMMENT ON FUNCTION migrollback_schema.add_migration_event(text, text, uuid, text, text, jsonb) IS
    'Writes one event of the audit log and returns its number.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_system_migration(name text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT name = ANY ('{20250120_migration_rollback_system}')
$function$;
COMMENT ON FUNCTION migrollback_schema.is_system_migration(text) IS
    'Whether a migration of this name is one of this system''s own: no other may call itself so. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.save_migration(
    name text, version text, rollback_sql text, checksum text, depends_on text[], metadata jsonb)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full; each is made once
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    old     migrollback_schema.migration_history;
    missing text[];
    cycle   text[];
    recorded text[];
    verdict text;
    came_at timestamptz;
    -- What was read from a file says all of these, also by leaving them out.
    from_file text[] := '{rollback_remark}' || CASE WHEN metadata ? 'rollback' THEN
        '{tool, previous_version, destroys, tags, program, parents, captured, ledger_hash}'::text[] END;
BEGIN
    PERFORM migrollback_schema.refuse_system_migration(name) WHERE NOT metadata ? 'system_version';
    SELECT * INTO old FROM migrollback_schema.migration_history h
      WHERE h.migration_name = save_migration.name FOR UPDATE;
    IF save_migration.name = ANY (depends_on) THEN
        RAISE EXCEPTION 'migration % depends on itself', name
            USING ERRCODE = 'MR004', HINT = 'Take its own name out of "-- Depends on:".';
    END IF;
    missing := migrollback_schema.migrations_not_applied(depends_on);
    IF cardinality(missing) > 0 THEN
        RAISE EXCEPTION 'migration % depends on migrations that are not registered, or rolled back: %', name,
            array_to_string(missing, ', ')
            USING ERRCODE = 'MR003', DETAIL = array_to_json(missing),
                HINT = 'Register them first, or run sync, which keeps the order.';
    END IF;
    -- A new migration closes no cycle: nothing can depend on it yet.
    IF old.id IS NOT NULL AND cardinality(depends_on) > 0 THEN
        SELECT array_agg(DISTINCT e.migration_name) INTO cycle
          FROM migrollback_schema.migration_dependents(save_migration.name) e
         WHERE e.migration_name = ANY (save_migration.depends_on);
        IF cycle IS NOT NULL THEN
            RAISE EXCEPTION 'migration % cannot depend on %, which depends on it', name, array_to_string(cycle, ', ')
                USING ERRCODE = 'MR005', DETAIL = array_to_json(cycle), HINT = 'Take one of the two "-- Depends on:" '
                    'away; one that was inferred: migrollback deps --dismiss.';
        END IF;
    END IF;

    IF NOT migrollback_schema.is_system_migration(name) THEN
        metadata := metadata - 'system';
    END IF;
    IF old.status <> 'rolled_back' THEN -- it stays with the deploy that brought it
        metadata := metadata - '{deploy, applied_at, applied_at_from}'::text[];
    END IF;
    -- clock_timestamp(): several of one transaction keep the order in which they come
    came_at := coalesce((metadata ->> 'applied_at')::timestamptz, clock_timestamp());
    metadata := metadata - 'applied_at';
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    IF old.id IS NULL THEN
        verdict := 'registered';
        INSERT INTO migrollback_schema.migration_history (migration_name, migration_version, applied_at, rollback_sql,
                                                          checksum, metadata)
        VALUES (save_migration.name, version, came_at, save_migration.rollback_sql, save_migration.checksum,
                save_migration.metadata);
    ELSE
        SELECT coalesce(array_agg(d.depends_on ORDER BY d.depends_on), '{}') INTO recorded
          FROM migrollback_schema.migration_dependencies d
         WHERE d.migration_name = name AND d.source = 'declared';
        verdict := CASE
            WHEN old.status = 'rolled_back' THEN 'applied again'
            WHEN (old.migration_version, old.rollback_sql, old.checksum) IS DISTINCT FROM (version,
                save_migration.rollback_sql, save_migration.checksum)
              OR (old.metadata - from_file) || save_migration.metadata IS DISTINCT FROM old.metadata
              OR recorded IS DISTINCT FROM (SELECT coalesce(array_agg(DISTINCT d.name ORDER BY d.name), '{}')
                                            FROM unnest(save_migration.depends_on) AS d (name)) THEN 'updated'
            ELSE 'unchanged' END;
        IF verdict <> 'unchanged' THEN
            UPDATE migrollback_schema.migration_history h
               SET migration_version = version, rollback_sql = save_migration.rollback_sql,
                   checksum = save_migration.checksum,
                   metadata = (CASE WHEN h.status = 'rolled_back' THEN h.metadata - '{deploy, applied_at_from}'::text[]
                               ELSE h.metadata END - from_file) || save_migration.metadata,
                   status = CASE WHEN h.status = 'rolled_back' THEN 'applied' ELSE h.status END,
                   applied_at = CASE WHEN h.status = 'rolled_back' THEN came_at ELSE h.applied_at END,
                   applied_by = CASE WHEN h.status = 'rolled_back' THEN session_user ELSE h.applied_by END
             WHERE h.id = old.id;
            DELETE FROM migrollback_schema.migration_dependencies d
             WHERE d.migration_name = save_migration.name AND d.depends_on <> ALL (save_migration.depends_on)
               AND d.source = 'declared';
        END IF;
    END IF;
    IF verdict <> 'unchanged' AND cardinality(depends_on) > 0 THEN
        -- not ON CONFLICT (columns): in a scope the key has one more
        UPDATE migrollback_schema.migration_dependencies d SET source = 'declared', because = NULL
         WHERE d.migration_name = save_migration.name AND d.depends_on = ANY (save_migration.depends_on);
        INSERT INTO migrollback_schema.migration_dependencies (migration_name, depends_on)
        SELECT DISTINCT save_migration.name, d.name FROM unnest(save_migration.depends_on) AS d (name)
        ON CONFLICT DO NOTHING;
        -- what a person dismissed and a file declares is declared
        DELETE FROM migrollback_schema.migration_dismissed_dependencies n
         WHERE n.migration_name = save_migration.name AND n.depends_on = ANY (save_migration.depends_on);
    END IF;
    PERFORM set_config('migrollback.recording', '', true);
    RETURN verdict;
END $function$;
COMMENT ON FUNCTION migrollback_schema.save_migration(text, text, text, text, text[], jsonb) IS
    'Writes the history row of a migration and its dependencies, without an event; the caller holds '
    'lock_migrations(). Returns registered, updated, unchanged, or applied again (it had been rolled back). SQLSTATE '
    'MR003: depends on unregistered migrations; MR004: on itself; MR005: in a cycle.';

CREATE OR REPLACE FUNCTION migrollback_schema.register_migration(
    name text, version text, rollback_sql text DEFAULT NULL, checksum text DEFAULT NULL,
    depends_on text[] DEFAULT '{}', metadata jsonb DEFAULT '{}', client text DEFAULT NULL,
    search_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
DECLARE
    verdict text;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    verdict := migrollback_schema.save_migration(name, version, rollback_sql, checksum, coalesce(depends_on, '{}'),
        jsonb_build_object('search_path', coalesce(register_migration.search_path, '')) || metadata);
    IF verdict <> 'unchanged' THEN
        PERFORM migrollback_schema.record_destroyed_by_text(ARRAY[name], verdict = 'applied again');
        PERFORM migrollback_schema.add_migration_event(
            event => CASE WHEN verdict = 'applied again' THEN 'applied_again'
                ELSE 'registered' END, migration_name => name, attempt_id => NULL::uuid, reason => NULL::text,
            client => register_migration.client, details => jsonb_strip_nulls(jsonb_build_object(
                'what', verdict, 'checksum', checksum, 'depends_on', nullif(to_jsonb(depends_on), '[]'),
                'rollback_md5', md5(convert_to(rollback_sql, 'UTF8')),
                'deploy', CASE WHEN verdict IN ('registered', 'applied again') THEN metadata ->> 'deploy' END,
                'applied_at', CASE WHEN verdict IN ('registered', 'applied again')
                                   THEN metadata ->> 'applied_at' END)));
        IF coalesce(current_setting('migrollback.dependencies', true), '') <> 'client' THEN
            PERFORM migrollback_schema.search_migration_dependencies(name, register_migration.client);
        END IF;
    END IF;
    RETURN verdict;
END $function$;
COMMENT ON FUNCTION migrollback_schema.register_migration(text, text, text, text, text[], jsonb, text, text) IS
    'Writes: records a migration that is applied. name: stem of its file; version: its leading digits; checksum: '
    'SHA-256 of the file; depends_on: names that must be registered already; metadata: see migration_history, and '
    'applied_at, when it was applied, where that is known; '
    'search_path: what the rollback SQL runs under, by default the schemas of the caller''s. Again: updates. After a '
    'rollback: says that it is applied again (event applied_again). Returns registered, updated, unchanged or '
    'applied again. SQLSTATE MR003, MR004, MR005 for bad dependencies.';

CREATE OR REPLACE FUNCTION migrollback_schema.register_migrations(
    migrations jsonb, client text DEFAULT NULL, search_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS TABLE (migration_name text, verdict text) LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
DECLARE
    m       record;
    missing text;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    IF EXISTS (SELECT FROM jsonb_array_elements(migrations) e
               JOIN migrollback_schema.migration_history h ON h.migration_name = e ->> 'name') THEN
        FOR m IN SELECT e.name, e.version, e.rollback_sql, e.checksum, coalesce(e.depends_on, '{}') AS depends_on,
            coalesce(e.metadata, '{}') AS metadata
                 FROM jsonb_to_recordset(migrations) AS e (name text, version text, rollback_sql text, checksum text,
                                                           depends_on text[], metadata jsonb)
        LOOP
            migration_name := m.name;
            verdict := migrollback_schema.register_migration(m.name, m.version, m.rollback_sql, m.checksum,
                                                             m.depends_on, m.metadata,
                register_migrations.client, register_migrations.search_path);
            RETURN NEXT;
        END LOOP;
        RETURN;
    END IF;

    -- All are new, so they close no cycle among what is registered, and go in as sets: ten thousand files in seconds.
    SELECT e ->> 'name' AS migration, d.name AS dependency INTO m
      FROM jsonb_array_elements(migrations) WITH ORDINALITY AS a (e, place)
     CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(nullif(e -> 'depends_on', 'null'), '[]')) AS d (name)
     LEFT JOIN (SELECT x.e ->> 'name' AS name, x.place
                FROM jsonb_array_elements(migrations) WITH ORDINALITY AS x (e, place)) earlier
            ON earlier.name = d.name AND earlier.place < a.place
     WHERE earlier.name IS NULL
       AND NOT EXISTS (SELECT FROM migrollback_schema.migration_history h WHERE h.migration_name = d.name
                       AND h.status <> 'rolled_back') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'migration % depends on a migration that is not registered before it: %', m.migration,
            m.dependency
            USING ERRCODE = 'MR003', DETAIL = json_build_array(m.dependency),
                HINT = 'Register it first, or run sync, which keeps the order.';
    END IF;
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    -- A microsecond apart: in the order in which they are given, which need not be that of their names (2 before 10).
    INSERT INTO migrollback_schema.migration_history (migration_name, migration_version, applied_at, rollback_sql,
                                                      checksum, metadata)
    SELECT e.name, e.version,
           coalesce((e.metadata ->> 'applied_at')::timestamptz, now() + e.place * interval '1 microsecond'),
           e.rollback_sql, e.checksum,
           jsonb_build_object('search_path', coalesce(register_migrations.search_path, ''))
           || CASE WHEN migrollback_schema.is_system_migration(e.name) THEN coalesce(e.metadata, '{}')
               ELSE coalesce(e.metadata, '{}') - '{system, applied_at}'::text[] END
      FROM ROWS FROM (jsonb_to_recordset(migrations) AS (name text, version text, rollback_sql text, checksum text,
                                                         metadata jsonb))
           WITH ORDINALITY AS e (name, version, rollback_sql, checksum, metadata, place);
    INSERT INTO migrollback_schema.migration_dependencies (migration_name, depends_on)
    SELECT DISTINCT e ->> 'name', d.name FROM jsonb_array_elements(migrations) AS e
      CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(nullif(e -> 'depends_on', 'null'), '[]')) AS d (name);
    PERFORM set_config('migrollback.recording', '', true);
    PERFORM migrollback_schema.record_destroyed_by_text(ARRAY(SELECT e ->> 'name'
                                                              FROM jsonb_array_elements(migrations) AS e), true);
    INSERT INTO migrollback_schema.migration_events (event, migration_name, client, details)
    SELECT 'registered', a.e ->> 'name', register_migrations.client, jsonb_strip_nulls(jsonb_build_object(
               'what', 'registered', 'checksum', a.e -> 'checksum', 'depends_on', nullif(a.e -> 'depends_on', '[]'),
               'rollback_md5', md5(convert_to(a.e ->> 'rollback_sql', 'UTF8')), 'deploy', a.e #>> '{metadata,deploy}',
               'applied_at', a.e #>> '{metadata,applied_at}'))
      FROM jsonb_array_elements(migrations) WITH ORDINALITY AS a (e, place) ORDER BY a.place;
    RETURN QUERY SELECT e ->> 'name', 'registered'::text FROM jsonb_array_elements(migrations) AS e;
END $function$;
COMMENT ON FUNCTION migrollback_schema.register_migrations(jsonb, text, text) IS
    'Writes: register_migration() for each element of an array of objects (name, version, rollback_sql, checksum, '
    'depends_on, metadata), dependencies before dependents; what is new is taken for applied in this order. All or '
    'none.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_applied_again(
    name text, deploy text DEFAULT NULL, client text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    again migrollback_schema.migration_history;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    SELECT * INTO again FROM migrollback_schema.migration_history h WHERE h.migration_name = record_applied_again.name;
    PERFORM migrollback_schema.register_migration(
        again.migration_name, again.migration_version, again.rollback_sql, again.checksum,
        ARRAY(SELECT d.depends_on FROM migrollback_schema.migration_dependencies d
              WHERE d.migration_name = again.migration_name AND d.source = 'declared'),
        again.metadata - '{deploy, applied_at_from}'::text[] || CASE WHEN record_applied_again.deploy IS NULL THEN '{}'
            ELSE jsonb_build_object('deploy', record_applied_again.deploy) END,
        record_applied_again.client, coalesce(again.metadata ->> 'search_path', ''));
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_applied_again(text, text, text) IS
    'Writes: a migration that was rolled back is applied again, by its deploy tool, and nothing but what is '
    'registered of it is known here (its file is gone). deploy: id of the deploy that brought it.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_missing_in_ledger(names text[], client text DEFAULT NULL)
RETURNS SETOF text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    f record;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    FOR f IN SELECT * FROM migrollback_schema.migration_ledger_findings(record_missing_in_ledger.names) m
        WHERE m.finding = 'missing' ORDER BY m.migration_name LOOP
        -- once for each time that it went: not again until it was applied, or its state resolved, after that
        CONTINUE WHEN 'missing_in_ledger' = (
            SELECT e.event FROM migrollback_schema.migration_events e
             WHERE e.migration_name = f.migration_name AND e.event IN ('missing_in_ledger', 'registered', 'applied',
                 'applied_again', 'resolved', 'taken_over')
             ORDER BY e.event_number DESC LIMIT 1);
        PERFORM migrollback_schema.add_migration_event('missing_in_ledger', f.migration_name, NULL::uuid, NULL::text,
                                                       record_missing_in_ledger.client,
                                                       jsonb_build_object('ledger', f.ledger));
        RETURN NEXT f.migration_name;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_missing_in_ledger(text[], text) IS
    'Writes an event missing_in_ledger for each of these migrations that is applied here and that its deploy tool''s '
    'ledger does not hold, once for each time that it went. Returns those for which it wrote one.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_still_there(name text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    RETURN (
        WITH standing AS MATERIALIZED (
            SELECT c.kind, c.identity, c.kind LIKE '%table' AS is_table
              FROM migrollback_schema.migration_object_creators() c
             WHERE c.migration_name = migration_still_there.name)
        SELECT coalesce(array_agg(s.kind || ' ' || s.identity ORDER BY s.is_table DESC, s.kind, s.identity), '{}')
          FROM standing s
         -- what comes and goes with a table says no more than the table
         WHERE s.kind NOT IN ('column', 'constraint', 'index', 'sequence', 'default', 'trigger', 'policy', 'rule')
            OR NOT EXISTS (SELECT FROM standing t WHERE t.is_table));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_still_there(text) IS
    'What this migration created and still stands, tables first, as kind and identity. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.resolve_migration(
    name text, status text, reason text, client text DEFAULT NULL, force boolean DEFAULT false)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    old        migrollback_schema.migration_history;
    blocking   text[];
    finding    text;
    ledger     jsonb;
    is_half    boolean;
    standing   text[] := '{}';
    approved   jsonb := '{}';
BEGIN
    IF resolve_migration.status IS NULL OR resolve_migration.status NOT IN ('applied', 'rolled_back') THEN
        RAISE EXCEPTION 'a migration is resolved as applied or rolled_back, not as %', resolve_migration.status
            USING ERRCODE = 'MR006';
    END IF;
    IF coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION 'resolving needs a reason'
            USING ERRCODE = 'MR006', HINT = 'Say what was found and done: it goes into the audit log.';
    END IF;
    PERFORM migrollback_schema.lock_migrations();
    SELECT * INTO old FROM migrollback_schema.migration_history h
      WHERE h.migration_name = resolve_migration.name FOR UPDATE;
    is_half := resolve_migration.status = 'rolled_back' AND coalesce(old.status, 'rolled_back') = 'rolled_back'
        AND EXISTS (SELECT FROM migrollback_schema.half_applied_migrations(resolve_migration.name) f
                    WHERE f.direction = 'apply');
    IF is_half THEN                     -- undone by hand: the next run of it begins at its first statement
        PERFORM migrollback_schema.add_migration_event('resolved', resolve_migration.name, NULL::uuid,
            resolve_migration.reason, resolve_migration.client,
            jsonb_build_object('old', 'half applied', 'new', 'rolled_back'));
        RETURN 'half applied';
    END IF;
    IF old.id IS NULL THEN
        RAISE EXCEPTION 'Migration not found' USING ERRCODE = 'MR001', DETAIL = name;
    END IF;
    SELECT f.finding INTO finding FROM migrollback_schema.migration_ledger_findings(ARRAY[old.migration_name]) f;
    IF old.status = resolve_migration.status AND finding IS NULL THEN
        RAISE EXCEPTION 'migration % is % already', name, old.status USING ERRCODE = 'MR002';
    END IF;
    IF resolve_migration.status = 'rolled_back' THEN
        blocking := migrollback_schema.migrations_to_roll_back_first(ARRAY[old.migration_name], '{}'::text[]);
        IF cardinality(blocking) > 0 THEN
            RAISE EXCEPTION 'Cannot rollback: other migrations depend on this one'
                USING ERRCODE = 'MR002', DETAIL = array_to_json(blocking);
        END IF;
        ledger := migrollback_schema.forget_in_deploy_ledger(old.migration_name, old.migration_version, old.metadata);
        standing := migrollback_schema.migration_still_there(old.migration_name);
        IF cardinality(standing) > 0 AND force IS NOT TRUE THEN
            RAISE EXCEPTION 'what % created still stands: %', name, array_to_string(standing[:5], ', ')
                || CASE WHEN cardinality(standing) > 5 THEN format(' and %s more', cardinality(standing) - 5)
                   ELSE '' END
                USING ERRCODE = 'MR002', HINT = 'Nothing was changed. Where it is to go, drop it by hand or roll the '
                    'migration back, then resolve it. To record it as rolled back all the same: --force (force => '
                    'true), which the audit log keeps.';
        ELSIF cardinality(standing) > 0 THEN
            approved := migrollback_schema.approval_of_forced_resolve(old.migration_name);
        END IF;
    ELSE
        SELECT array_agg(d.depends_on ORDER BY d.depends_on) INTO blocking
          FROM migrollback_schema.migration_dependencies d
            JOIN migrollback_schema.migration_history h ON h.migration_name = d.depends_on
         WHERE d.migration_name = name AND h.status = 'rolled_back';
        IF blocking IS NOT NULL THEN
            RAISE EXCEPTION 'cannot be applied: it depends on migrations that are rolled back'
                USING ERRCODE = 'MR002', DETAIL = array_to_json(blocking);
        END IF;
        -- what the ledger holds already need not be written, and a ledger that only its own tool can write could not be
        IF EXISTS (SELECT FROM migrollback_schema.migrations_in_deploy_ledgers(
                       jsonb_build_array(jsonb_build_object('name', old.migration_name,
                                                            'version', old.migration_version,
                                                            'tool', old.metadata ->> 'tool')),
                       old.metadata ->> 'search_path', true) n WHERE NOT n.is_applied) THEN
            ledger := migrollback_schema.record_in_deploy_ledger(old.migration_name, old.migration_version,
                NULL::text[], old.metadata, old.metadata ->> 'search_path');
        END IF;
    END IF;
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    UPDATE migrollback_schema.migration_history h SET status = resolve_migration.status, notes = reason
      WHERE h.id = old.id;
    PERFORM set_config('migrollback.recording', '', true);
    PERFORM migrollback_schema.add_migration_event('resolved', old.migration_name, NULL::uuid, resolve_migration.reason,
                                                   resolve_migration.client,
        jsonb_strip_nulls(jsonb_build_object('old', old.status, 'new', resolve_migration.status, 'ledger', ledger,
                                             'still_there', nullif(to_jsonb(standing), '[]'))) || approved);
    RETURN old.status;
END $function$;
COMMENT ON FUNCTION migrollback_schema.resolve_migration(text, text, text, text, boolean) IS
    'Writes: the fix for status failed, and for what the ledger of the deploy tool contradicts, once a person has '
    'looked. status: applied or rolled_back; reason: goes into the audit log. The ledger is written, in both '
    'directions. As rolled_back it is refused while something that it created still stands, unless force is true. What '
    'is half applied can be resolved as rolled_back too. Runs no migration SQL. Returns the status before. SQLSTATE '
    'MR001: not found; MR002: refused, DETAIL names those that block it; MR006: bad argument; MR029: approvals';
