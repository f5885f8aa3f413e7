-- ---------------------------------------------------------------------------------------------------
-- Rehearsal: the rollback runs for real, in a subtransaction that is then undone, and what it did is reported.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.record_migration_rehearsal(
    report jsonb, client text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN migrollback_schema.add_migration_event('rehearsed', report #>> '{migrations,-1}', NULL::uuid, NULL::text,
                                                  record_migration_rehearsal.client, jsonb_strip_nulls(
        jsonb_build_object(
            'success', report -> 'success', 'message', report -> 'message', 'fingerprint', report -> 'fingerprint',
            -- stopped: it was ended before it could say anything of the rollback
            'outcome', report -> 'outcome', 'stalled', report -> 'stalled',
            'duration_ms', report -> 'duration_ms',
            -- for foreseen_locks(): of which SQL, and how long each of its statements took
            'statement_ms', (SELECT jsonb_object_agg(h.migration_name, jsonb_build_object(
                                        'md5', md5(convert_to(h.rollback_sql, 'UTF8')), 'ms', s.ms))
                               FROM (SELECT e ->> 'migration_name' AS name,
                                            jsonb_agg(e -> 'ms' ORDER BY (e ->> 'number')::int) AS ms
                                       FROM jsonb_array_elements(report -> 'statements') e GROUP BY 1) s
                               JOIN migrollback_schema.migration_history h ON h.migration_name = s.name
                              WHERE report ->> 'success' = 'true'),
            'chain', CASE WHEN jsonb_array_length(report -> 'migrations') > 1 THEN report -> 'migrations' END,
            'consent', nullif(report -> 'consent', 'false'),
            'sqlstate', report #> '{failure,sqlstate}', 'statement_number', report #> '{failure,statement_number}',
            'failed', report #> '{failure,migration_name}',
            'where', report -> 'where',
            -- what it foretold, for the verification of a rollback that has no snapshot from before the migration was
            -- applied
            'foretold', CASE WHEN NOT report ? 'outcome' THEN (
                SELECT coalesce(jsonb_agg(jsonb_build_array(e ->> 'change', e ->> 'kind', e ->> 'identity',
                                                            md5((e -> 'new_definition')::text))
                                          ORDER BY e ->> 'kind', e ->> 'identity'), '[]')
                  FROM jsonb_array_elements(report -> 'changes') e) END,
            'changes', (SELECT jsonb_object_agg(c.change, c.count) FROM (SELECT e ->> 'change' AS change, count(*)
                FROM jsonb_array_elements(report -> 'changes') e GROUP BY 1) c),
            -- what is overwritten stays
            'rows_lost', (SELECT sum((e ->> 'rows')::bigint) FROM jsonb_array_elements(report -> 'rows') e
                           WHERE e ->> 'what' <> 'updated'),
            'rows', nullif(report -> 'rows', '[]'),
            -- the longest held of them
            'locks', (SELECT jsonb_agg(l.value ORDER BY l.place)
                        FROM (SELECT e.value, row_number() OVER (ORDER BY (e.value ->> 'held_ms')::numeric DESC,
                                                                 e.place) AS place
                                FROM jsonb_array_elements(report -> 'locks') WITH ORDINALITY AS e (value, place)) l
                       WHERE l.place <= 200),
            'locks_in_all', nullif(jsonb_array_length(report -> 'locks'), 0),
            'rows_not_counted', nullif((SELECT count(*) FROM jsonb_array_elements(report -> 'rows') e
                                        WHERE jsonb_typeof(e -> 'rows') IS DISTINCT FROM 'number'), 0),
            -- what another migration created, and this one would drop; parts of what goes as a whole need not be named
            'others', (WITH o AS (SELECT e ->> 'identity' AS identity FROM jsonb_array_elements(report -> 'changes') e
                                   WHERE e ->> 'change' = 'dropped'
                                     AND NOT report -> 'migrations' ? (e #>> '{made_by,0}'))
                       SELECT jsonb_agg(o.identity ORDER BY o.identity) FROM o
                        WHERE regexp_replace(o.identity, '\.("([^"]|"")+"|[^".]+)$', '') NOT IN (SELECT i.identity
                            FROM o i)),
            -- what the up migration destroyed, and the rollback brings back
            'came_back', nullif(report -> 'came_back', '[]'),
            'broken', nullif(jsonb_array_length(report -> 'broken'), 0)))
        -- whole with its nulls: an assessment gives them again
        || CASE WHEN report ? 'effects' THEN jsonb_build_object('effects', report -> 'effects') ELSE '{}' END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_migration_rehearsal(jsonb, text) IS
    'Writes the one event that a rehearsal leaves, from what rehearse_migration_rollbacks() reports. Returns its '
    'number.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_outcome(
    names text[], details jsonb, ended_at text, success boolean)
RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT jsonb_build_object(
        'unseen', (SELECT coalesce(jsonb_agg(jsonb_build_array(h.migration_name, u) ORDER BY n.place, u), '[]')
                   FROM unnest(names) WITH ORDINALITY AS n (name, place)
                   JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
                   CROSS JOIN LATERAL jsonb_array_elements(coalesce(h.metadata #> '{rollback,unseen}', '[]')) AS u
                   WHERE h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8'))),
        'success', success,
        'message', CASE
            WHEN NOT success THEN CASE WHEN (details #> ARRAY[ended_at, 'passing'])::boolean
                                           THEN 'Rehearsal: it did not get to its end: '
                                       ELSE 'Rehearsal: the rollback would fail: ' END || (details #>> ARRAY[ended_at,
                                           'message'])
            WHEN every.one_changed_nothing THEN 'Rehearsal: the rollback SQL would run, but change nothing'
            ELSE 'Rehearsal: the rollback would succeed' END,
        'unchanged', success AND every.one_changed_nothing,
        'restored', (SELECT jsonb_agg(d.value -> 'restored') FROM jsonb_each(details) d WHERE d.value ? 'restored'),
        'duration_ms', (SELECT round(sum((d.value ->> 'duration_ms')::numeric), 3) FROM jsonb_each(details) d),
        'failure', CASE WHEN NOT success THEN
            (details -> ended_at) - 'locks' - 'statement_ms' || jsonb_build_object('migration_name', ended_at) END)
    FROM (SELECT bool_and(d.value ? 'unchanged') AS one_changed_nothing FROM jsonb_each(details) d) every
$function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_outcome(text[], jsonb, text, boolean) IS
    'How a rehearsal ended: success, message, unchanged, duration_ms, failure, unseen, restored (from archives). '
    'details: of the events of the '
    'run; ended_at: the migration that it met. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_refusal(
    names text[], otherwise_path text, unwatched_ms int, OUT message text, OUT migration_name text,
    OUT would_stall boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    foreseen jsonb;
BEGIN
    SELECT r.message, r.migration_name INTO message, migration_name FROM migrollback_schema.execute_migration_rollbacks(
        names, true, NULL::text, NULL::text, NULL::uuid, NULL::text, NULL::text, rehearsal_refusal.otherwise_path,
            false,
        current_setting('search_path'), '{}'::jsonb, false, false) r WHERE NOT r.success;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT CASE WHEN migrollback_schema.is_system_migration(h.migration_name) AND h.metadata ->> 'system' = 'true'
                    THEN 'The rollback system itself cannot be rehearsed: it would have to go on when it is gone'
                ELSE 'This rollback runs outside a transaction, so what it does cannot be undone: rehearse it on a '
                     'copy of '
                     'the schema (migrollback rehearse --on scratch)' END,
           h.migration_name
      INTO message, migration_name FROM migrollback_schema.migration_history h
     WHERE h.migration_name = ANY (names)
       AND (migrollback_schema.is_system_migration(h.migration_name) AND h.metadata ->> 'system' = 'true'
            OR h.metadata #>> '{rollback,transaction}' = 'false'
               AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8')))
     LIMIT 1;
    IF FOUND OR unwatched_ms IS NULL THEN
        RETURN;
    END IF;
    foreseen := migrollback_schema.foreseen_locks(names, otherwise_path);
    IF (foreseen ->> 'longest_ms')::numeric > unwatched_ms THEN
        message := format('Not known: the rehearsal would stall others for longer than %s ms, and no one watches who '
                          'waits behind it (%s): rehearse on a copy (migrollback rehearse --on scratch)',
                          unwatched_ms, foreseen #>> '{locks,0,words}');
        migration_name := foreseen #>> '{locks,0,migration_name}';
        would_stall := true;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_refusal(text[], text, int) IS
    'Why these rollbacks cannot be rehearsed, in words, and because of which of them; NULL where they can. '
    'unwatched_ms: others may wait no longer, and no one looks who does; would_stall: that is why. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_relations(findings jsonb, emptied oid[], locks jsonb)
RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT jsonb_build_object(
        'sessions', (SELECT coalesce(jsonb_agg(s || jsonb_build_object(
                         'relation', (s ->> 'relation')::oid::regclass::text)), '[]')
                     FROM jsonb_array_elements(findings -> 'sessions') s),
        'rewritten', (SELECT coalesce(jsonb_agg(r.oid::oid::regclass::text ORDER BY r.oid::oid::regclass::text), '[]')
                      FROM jsonb_array_elements_text((findings -> 'rewritten') || (findings -> 'emptied')) AS r (oid)
                      WHERE r.oid::oid <> ALL (emptied)),
        'replicas', CASE WHEN jsonb_path_exists(locks, '$[*] ? (@.mode == "ACCESS EXCLUSIVE")', '{}', true)
                         THEN migrollback_schema.streaming_replicas() ELSE '[]' END)
$function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_relations(jsonb, oid[], jsonb) IS
    'By what rehearsal_findings() reports: sessions (that hold or await what is locked), rewritten (tables), replicas '
    '(that replay the strongest locks). emptied: emptied_tables(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearse_migration_rollbacks(
    names text[], consent boolean DEFAULT false, client text DEFAULT NULL, count_ms int DEFAULT 2000,
    record boolean DEFAULT true, rethrow boolean DEFAULT false,
    otherwise_path text DEFAULT migrollback_schema.effective_search_path(), max_stall_ms int DEFAULT 1000,
    watch bigint DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    attempt     constant uuid := gen_random_uuid();
    fingerprint text;
    refusal     record;
    undone      jsonb;
    before      record;                 -- the objects of the schema
    states      record;                 -- what stands beside it, and values that the SQL may change
    after       jsonb := '{}';          -- the same, when it has run
    there       record;                 -- the relations, with their names and files
    truncated   text[];
    outcomes    jsonb;
    details     jsonb;
    success     boolean;
    findings    jsonb := '{"changes": [], "renamed": [], "sessions": [], "rewritten": [], "emptied": [], '
                         '"columns_after": {}}';
    routines    jsonb := '{"suspects": [], "bodies": []}';
    emptied     oid[];
    statements  jsonb;
    locks       jsonb;
    renamed     jsonb;
    rows_lost   jsonb;
    report      jsonb;
BEGIN
    IF cardinality(names) = 0 OR names IS NULL THEN
        RAISE EXCEPTION 'no migration was named' USING ERRCODE = 'MR006';
    END IF;
    -- before all else: what changes from now on must show as a change
    fingerprint := migrollback_schema.migration_fingerprint(names, otherwise_path);
    report := jsonb_build_object('success', false, 'migrations', names, 'migration_name', names[cardinality(names)],
                                 'fingerprint', fingerprint, 'consent', consent);
    refusal := migrollback_schema.rehearsal_refusal(
        names, otherwise_path, CASE WHEN watch IS NULL THEN max_stall_ms END);
    IF refusal.message IS NOT NULL THEN
        RETURN report || jsonb_build_object('refused', true) || to_jsonb(refusal);
    END IF;

    undone := (SELECT coalesce(jsonb_agg(to_jsonb(u)), '[]')
               FROM migrollback_schema.migration_side_effects(names, otherwise_path) u);
    report := report || jsonb_build_object('not_undone', undone);
    IF jsonb_array_length(undone) > 0 AND NOT coalesce(consent, false) THEN
        RETURN report || jsonb_build_object('refused', true, 'needs_consent', true, 'message',
            'Undoing the rehearsal would not undo all that the SQL does: '
            || (SELECT string_agg(DISTINCT e ->> 'what', '; ') FROM jsonb_array_elements(undone) e));
    END IF;

    truncated := migrollback_schema.truncated_tables(names);
    BEGIN
        -- who comes later waits behind it: a rehearsal is not worth that
        IF current_setting('lock_timeout') = '0' THEN
            PERFORM set_config('lock_timeout', '500ms', true);
        END IF;
        PERFORM pg_advisory_xact_lock_shared(watch), migrollback_schema.lock_migrations(),
                migrollback_schema.remember_scope_objects();
        -- undone too: it locks every view, and the SQL is to meet the locks that it will meet
        BEGIN
            before := migrollback_schema.schema_object_arrays();
            states := migrollback_schema.states_before_rehearsal(names, otherwise_path, count_ms);
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        EXCEPTION WHEN SQLSTATE 'MR099' THEN NULL;
        END;
        there := migrollback_schema.rehearsal_baseline();
        PERFORM set_config('migrollback.rehearsal', pg_current_xact_id()::text, true),
                set_config('migrollback.rethrow', CASE WHEN rethrow THEN 'on' ELSE 'off' END, true);

        outcomes := (SELECT jsonb_agg(to_jsonb(r)) FROM migrollback_schema.execute_migration_rollbacks(
                         names, false, 'rehearsal', NULL::text, attempt, rehearse_migration_rollbacks.client,
                         NULL::text, rehearse_migration_rollbacks.otherwise_path, false, current_setting('search_path'),
                         '{}'::jsonb, false, false) r);
        success := (outcomes #>> '{0,success}')::boolean;
        details := (SELECT coalesce(jsonb_object_agg(e.migration_name, e.details), '{}')
                    FROM migrollback_schema.migration_events e WHERE e.attempt_id = attempt);
        IF success THEN
            findings := migrollback_schema.rehearsal_findings(
                details, truncated, there.relations, there.titles, there.files, there.counts, before.kinds,
                before.identities, before.definitions);
            routines := migrollback_schema.rehearsal_routines(
                findings -> 'changes', names[cardinality(names)], otherwise_path);
            after := migrollback_schema.states_after_rehearsal(names, states.stood, states.up, states.kept,
                                                               least(count_ms, max_stall_ms));
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
    EXCEPTION WHEN SQLSTATE 'MR099' THEN
        NULL;                           -- undone; the variables keep what was found
    END;
    -- it was allowed a moment ago
    IF NOT success AND NOT details -> (outcomes #>> '{0,migration_name}') ? 'sqlstate' THEN
        RETURN report || jsonb_build_object('refused', true, 'message', outcomes #> '{0,message}',
                                            'migration_name', outcomes #> '{0,migration_name}');
    END IF;

    statements := migrollback_schema.rehearsal_statements(names, details);
    locks := migrollback_schema.rehearsal_locks(statements, details);
    renamed := (findings -> 'renamed') || migrollback_schema.renamed_columns(
        findings -> 'changes', findings -> 'columns_after', findings -> 'renamed');
    -- one that had no rows before has lost none
    emptied := migrollback_schema.emptied_tables(findings, truncated);
    rows_lost := CASE WHEN success THEN migrollback_schema.rehearsal_losses(findings, emptied, count_ms) ELSE '[]' END;

    report := report || migrollback_schema.rehearsal_outcome(names, details, outcomes #>> '{0,migration_name}', success)
        || jsonb_build_object(
        'statements', statements, 'locks', locks, 'rows', rows_lost, 'renamed', renamed,
        'broken', migrollback_schema.with_routine_users(migrollback_schema.broken_routines(routines -> 'suspects')),
        'bodies', migrollback_schema.with_routine_users(routines -> 'bodies'),
        'changes', migrollback_schema.with_migration_owners(findings -> 'changes'))
        || migrollback_schema.rehearsal_relations(findings, emptied, locks)
        || migrollback_schema.rehearsed_beside(
               names, migrollback_schema.objects_of_arrays(before.kinds, before.identities, before.definitions),
               findings -> 'changes', states.kept, states.unchanged, after, count_ms);
    report := migrollback_schema.with_rehearsal_effects(report, details);
    IF record THEN
        PERFORM migrollback_schema.record_migration_rehearsal(report, client);
    END IF;
    RETURN report;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearse_migration_rollbacks(text[], boolean, text, int, boolean, boolean,
    text, int, bigint) IS
    'Writes one event and nothing else. Runs the rollbacks of these migrations, in this order, exactly as '
    'execute_migration_rollbacks() would, undoes them, and reports what they did: success, message, failure '
    '(sqlstate, statement_number ...), changes, rows (that would be lost), locks, sessions (who held or awaited '
    'them), statements (with their time), effects (see rehearsal_effects()), rewritten, broken (functions that would '
    'no longer work), bodies (functions in other languages than SQL that may name what is gone: for a parser), '
    'replicas. fingerprint: for the argument '
    'preview of execute_migration_rollback(). consent: also when undoing does not undo all of it (not_undone says '
    'what). count_ms: how long rows may be counted; record: false writes no event; rethrow: an error of the SQL is '
    'raised instead of reported. watch: a number by which watch_rehearsal(), in another session, finds it; without '
    'one it is refused (would_stall) where foreseen_locks() says more than max_stall_ms; NULL: no bound. Waits for a '
    'lock no longer than lock_timeout, or 500 ms where that is 0; how long it may last in all, statement_timeout says, '
    'set before the call.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearse_migration_rollback(
    name text, consent boolean DEFAULT false, client text DEFAULT NULL, count_ms int DEFAULT 2000,
    otherwise_path text DEFAULT migrollback_schema.effective_search_path(), max_stall_ms int DEFAULT 1000,
    watch bigint DEFAULT NULL)
RETURNS TABLE (success boolean, message text, report jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    report := migrollback_schema.rehearse_migration_rollbacks(ARRAY[name], consent, client, count_ms, record => true,
                                                              rethrow => false, otherwise_path =>
                                                              rehearse_migration_rollback.otherwise_path,
                                                              max_stall_ms => rehearse_migration_rollback.max_stall_ms,
                                                              watch => rehearse_migration_rollback.watch);
    success := (report -> 'success')::boolean;
    message := report ->> 'message';
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearse_migration_rollback(text, boolean, text, int, text, int, bigint) IS
    'Writes one event and nothing else. rehearse_migration_rollbacks() for one migration: would its rollback '
    'succeed, and what would it do?';
