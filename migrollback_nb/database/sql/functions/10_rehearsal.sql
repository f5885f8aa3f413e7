-- ---------------------------------------------------------------------------------------------------
-- Rehearsal: the rollback runs for real, in a subtransaction that is then undone, and what it did is told.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.count_rows_within(relation oid, columns text[], until timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    step   constant int := 2000;        -- pages looked at between two looks at the clock: 16 MB
    pages  bigint := pg_relation_size(relation) / current_setting('block_size')::int;
    page   bigint := 0;
    counts bigint[];
    totals bigint[] := array_fill(0::bigint, ARRAY[cardinality(columns) + 1]);
    known  real := (SELECT c.reltuples FROM pg_class c WHERE c.oid = relation);
BEGIN
    IF row_security_active(relation) THEN
        pages := NULL;                  -- who sees only some of the rows cannot count them
    END IF;
    WHILE page < pages LOOP
        IF clock_timestamp() > until THEN
            pages := NULL;
            EXIT;
        END IF;
        EXECUTE format('SELECT ARRAY[count(*)%s] FROM ONLY %s WHERE ctid >= %L AND ctid < %L',
                       (SELECT string_agg(format(', count(%I)', c.name), '' ORDER BY c.place) FROM unnest(columns) WITH ORDINALITY AS c (name, place)),
                       relation::regclass, format('(%s,0)', page), format('(%s,0)', page + step)) INTO counts;
        totals := ARRAY(SELECT t.total + t.more FROM unnest(totals, counts) WITH ORDINALITY AS t (total, more, place) ORDER BY t.place);
        page := page + step;
    END LOOP;
    IF pages IS NOT NULL THEN
        RETURN jsonb_build_object('exact', true, 'rows', totals[1], 'columns',
            (SELECT coalesce(jsonb_object_agg(c.name, totals[c.place + 1]), '{}') FROM unnest(columns) WITH ORDINALITY AS c (name, place)));
    END IF;
    -- what ANALYZE found the last time; -1: never
    RETURN jsonb_build_object('exact', false, 'rows', CASE WHEN known >= 0 THEN known::bigint END, 'columns',
        (SELECT coalesce(jsonb_object_agg(c.name, CASE WHEN known >= 0 THEN (known * (1 - s.null_frac))::bigint END), '{}')
         FROM unnest(columns) AS c (name)
         LEFT JOIN (SELECT a.attname, v.null_frac FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace JOIN pg_attribute a ON a.attrelid = k.oid
                    JOIN pg_stats v ON v.schemaname = n.nspname AND v.tablename = k.relname AND v.attname = a.attname AND NOT v.inherited
                    WHERE k.oid = relation) s ON s.attname = c.name));
END $function$;
COMMENT ON FUNCTION migrollback_schema.count_rows_within(oid, text[], timestamptz) IS
    'How many rows one table has, and how many values that are not NULL each of these columns. exact: whether they were counted; false when that would last '
    'beyond this moment, or row security hides some: then what the statistics say, NULL where they say nothing. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.changed_schema_objects(kinds text[], identities text[], definitions jsonb[])
RETURNS TABLE (change text, kind text, identity text, old_definition jsonb, new_definition jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    now        record;
    old_schema jsonb;
    new_schema jsonb;
BEGIN
    now := migrollback_schema.schema_object_arrays();
    WITH differing AS MATERIALIZED (
        SELECT coalesce(o.sort, n.sort) AS kind, coalesce(o.name, n.name) AS identity, o.definition AS was, n.definition AS is
        FROM unnest(kinds, identities, definitions) AS o (sort, name, definition)
        FULL JOIN unnest(now.kinds, now.identities, now.definitions) AS n (sort, name, definition) ON n.sort = o.sort AND n.name = o.name
        WHERE o.definition IS DISTINCT FROM n.definition)
    SELECT (SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}') FROM (SELECT d.kind, jsonb_object_agg(d.identity, d.was) AS objects FROM differing d WHERE d.was IS NOT NULL GROUP BY d.kind) k),
           (SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}') FROM (SELECT d.kind, jsonb_object_agg(d.identity, d.is) AS objects FROM differing d WHERE d.is IS NOT NULL GROUP BY d.kind) k)
      INTO old_schema, new_schema;
    RETURN QUERY SELECT * FROM migrollback_schema.schema_changes(old_schema, new_schema);
END $function$;
COMMENT ON FUNCTION migrollback_schema.changed_schema_objects(text[], text[], jsonb[]) IS
    'schema_changes() from what schema_object_arrays() gave until now. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.routine_users(routine oid) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT coalesce(array_agg(DISTINCT i.type || ' ' || i.identity ORDER BY i.type || ' ' || i.identity), '{}')
    FROM pg_depend d
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid            -- a view's rule stands for the view
    LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid            -- a default for its column
    CROSS JOIN LATERAL pg_identify_object(CASE WHEN w.oid IS NOT NULL OR a.oid IS NOT NULL THEN 'pg_class'::regclass ELSE d.classid END,
                                          coalesce(w.ev_class, a.adrelid, d.objid), coalesce(a.adnum, 0)) i
    WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = routine AND d.deptype IN ('n', 'a') AND d.classid <> 'pg_proc'::regclass
$function$;
COMMENT ON FUNCTION migrollback_schema.routine_users(oid) IS
    'Views, policies, triggers, defaults, indexes ... that call this function, as far as PostgreSQL tracks it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_side_effects(names text[], otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS TABLE (migration_name text, statement_number int, what text, inside text, outside boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    -- What stands before a parenthesis may be a function. Bodies are looked at by these words, comments left out: to ask in vain does less harm than not to ask.
    word    constant text := '([[:alpha:]_][[:alnum:]_$]*|"[^"]+")\s*\(';
    remark  constant text := '--[^\n]*|/\*.*?\*/';
    target  constant text := '\minsert\s+into\s+([[:alpha:]_][[:alnum:]_$]*(?:\.[[:alpha:]_][[:alnum:]_$]*)?)';
    ours    oid[] := (SELECT o.routines FROM migrollback_schema.migration_system_objects() o);
    planned record;
    parsed  boolean;
    plain   text;                       -- the SQL of a migration that nobody has parsed, without comments
    listed  jsonb;
    written jsonb;
BEGIN
    FOR planned IN SELECT h.migration_name, h.rollback_sql, h.metadata FROM unnest(names) WITH ORDINALITY AS n (name, place)
                   JOIN migrollback_schema.migration_history h ON h.migration_name = n.name ORDER BY n.place
    LOOP
        parsed := planned.metadata #> '{rollback,calls}' IS NOT NULL AND planned.metadata #>> '{rollback,md5}' = md5(convert_to(planned.rollback_sql, 'UTF8'));
        plain := CASE WHEN NOT parsed THEN regexp_replace(planned.rollback_sql, remark, ' ', 'g') END;
        listed := CASE WHEN parsed THEN planned.metadata #> '{rollback,writes}' ELSE '[]' END;
        -- Tables are found as the SQL will find them: under its own path, on which no operator is that could be another's.
        PERFORM set_config('search_path', coalesce(nullif(migrollback_schema.migration_rollback_path(planned.metadata, otherwise_path), ''), 'pg_catalog') || ', pg_temp', true);
        SELECT jsonb_agg(pg_catalog.jsonb_build_array(w.statement, w.deed, w.oid)) INTO written
          FROM (SELECT (e ->> 0)::int AS statement, e ->> 1 AS deed, pg_catalog.to_regclass(pg_catalog.concat_ws('.', pg_catalog.quote_ident(e ->> 2), pg_catalog.quote_ident(e ->> 3)))::oid AS oid
                FROM pg_catalog.jsonb_array_elements(listed) e
                UNION ALL
                SELECT NULL, 'insert', pg_catalog.to_regclass(m.found[1])::oid FROM pg_catalog.regexp_matches(plain, target, 'gi') AS m (found)) w
         WHERE w.oid IS NOT NULL;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

        RETURN QUERY
        WITH RECURSIVE danger (pattern, what, outside) AS (VALUES
            ('^nextval$', 'uses up a number of a sequence', false), ('^setval$', 'sets a sequence', false), ('^dblink', 'talks to another server', true),
            ('^lo_export$|^pg_file_|^query_export_to_s3$', 'writes files', true), ('^pg_(try_)?advisory_(un)?lock(_shared|_all)?$', 'takes or frees locks of the session', false),
            ('^pg_(terminate|cancel)_backend$', 'ends what another session does', true), ('^pg_stat_(reset|statements_reset)', 'forgets statistics', false),
            ('^pg_(reload_conf|rotate_logfile|switch_wal|create_restore_point|promote|wal_replay_pause|wal_replay_resume|backup_start|backup_stop|start_backup|stop_backup)$', 'acts on the whole server', true),
            ('^pg_(create|drop|copy)_.*replication_slot$|^pg_replication_slot_advance$|^pg_replication_origin_|^pg_logical_emit_message$|^pg_logical_slot_get', 'acts on replication', true),
            ('^https?(_|$)', 'calls out over HTTP', true), ('^pg_background_', 'runs in another transaction', true), ('^heap_force_|^pg_truncate_visibility_map$', 'changes files directly', true)),
        root AS (                       -- what the SQL itself calls
            SELECT (e ->> 0)::int AS statement, e ->> 1 AS schema, e ->> 2 AS name
            FROM jsonb_array_elements(CASE WHEN parsed THEN planned.metadata #> '{rollback,calls}' ELSE '[]' END) e
            UNION SELECT NULL, NULL, CASE WHEN m.found[1] LIKE '"%' THEN btrim(m.found[1], '"') ELSE lower(m.found[1]) END FROM regexp_matches(plain, word, 'g') AS m (found)),
        relation AS (SELECT (e ->> 0)::int AS statement, e ->> 1 AS deed, (e ->> 2)::oid AS oid FROM jsonb_array_elements(written) e),
        filled AS (                     -- what a row of them is filled with
            SELECT r.statement, r.oid, bool_or(a.attidentity <> '') AS numbers, string_agg(pg_get_expr(d.adbin, d.adrelid), ' ') AS defaults
            FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE r.deed = 'insert' GROUP BY r.statement, r.oid),
        reached (statement, oid) AS (
            SELECT s.statement, s.oid FROM (
                SELECT r.statement, p.oid FROM root r JOIN pg_proc p ON p.proname = r.name AND (r.schema IS NULL OR p.pronamespace = to_regnamespace(quote_ident(r.schema)))
                UNION SELECT r.statement, g.tgfoid FROM relation r
                      JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'
                                       AND g.tgtype & CASE r.deed WHEN 'insert' THEN 4 WHEN 'delete' THEN 8 WHEN 'update' THEN 16 ELSE 32 END <> 0
                UNION SELECT f.statement, p.oid FROM filled f CROSS JOIN LATERAL regexp_matches(f.defaults, word, 'g') AS m (found) JOIN pg_proc p ON p.proname = lower(m.found[1])
                UNION SELECT NULL, v.evtfoid FROM pg_event_trigger v WHERE v.evtenabled <> 'D') s
            JOIN pg_proc p ON p.oid = s.oid AND p.pronamespace <> 'pg_catalog'::regnamespace AND p.oid <> ALL (ours)
            UNION
            SELECT c.statement, p.oid FROM reached c JOIN pg_proc f ON f.oid = c.oid
            CROSS JOIN LATERAL regexp_matches(regexp_replace(coalesce(pg_get_function_sqlbody(f.oid), f.prosrc), remark, ' ', 'g'), word, 'g') AS m (found)
            JOIN pg_proc p ON p.proname = CASE WHEN m.found[1] LIKE '"%' THEN btrim(m.found[1], '"') ELSE lower(m.found[1]) END
                          AND p.pronamespace <> 'pg_catalog'::regnamespace AND p.oid <> ALL (ours)),
        body AS (
            SELECT c.statement, c.oid::regprocedure::text AS inside, l.lanname, l.lanpltrusted,
                   regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), remark, ' ', 'g') AS text
            FROM reached c JOIN pg_proc p ON p.oid = c.oid JOIN pg_language l ON l.oid = p.prolang),
        told (statement, what, inside, outside) AS (
            SELECT (e ->> 0)::int, e ->> 1, NULL, true FROM jsonb_array_elements(CASE WHEN parsed THEN planned.metadata #> '{rollback,not_undone}' ELSE '[]' END) e
            UNION SELECT r.statement, format('%s (%s)', d.what, r.name), NULL, d.outside FROM root r JOIN danger d ON r.name ~ d.pattern
            UNION SELECT b.statement, format('%s (%s)', d.what, lower(m.found[1])), b.inside, d.outside FROM body b
                  CROSS JOIN LATERAL regexp_matches(b.text, word, 'g') AS m (found) JOIN danger d ON lower(m.found[1]) ~ d.pattern
            UNION SELECT f.statement, format('uses up a number of a sequence (INSERT into %s)', f.oid::regclass), NULL, false FROM filled f WHERE f.numbers OR f.defaults ~ '\mnextval\('
            UNION SELECT f.statement, format('%s (default of %s)', d.what, f.oid::regclass), NULL, d.outside FROM filled f
                  CROSS JOIN LATERAL regexp_matches(f.defaults, word, 'g') AS m (found) JOIN danger d ON lower(m.found[1]) ~ d.pattern AND m.found[1] <> 'nextval'
            UNION SELECT b.statement, format('uses up a number of a sequence (INSERT into %s)', c.oid::regclass), b.inside, false FROM body b
                  CROSS JOIN LATERAL regexp_matches(b.text, target, 'gi') AS m (found) JOIN pg_class c ON c.relname = lower(regexp_replace(m.found[1], '^.*\.', ''))
                  WHERE c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) ~ '\mnextval\('))
            UNION SELECT t.statement, CASE WHEN t.text ~* '\mcopy\M[^;]*\m(to|from)\s+program\M' THEN 'runs a program on the server (COPY ... PROGRAM)' ELSE 'writes a file on the server (COPY)' END, t.inside, true
                  FROM (SELECT b.statement, b.text, b.inside FROM body b UNION ALL SELECT NULL, plain, NULL) t
                  WHERE t.text ~* '\mcopy\M[^;]*\m(to|from)\s+program\M|\mcopy\M[^;]*\mto\s+(e?''|%l|\$)'
            UNION SELECT b.statement, format('runs code in %s, which can do anything outside the database', b.lanname), b.inside, true FROM body b WHERE NOT b.lanpltrusted AND b.lanname NOT IN ('c', 'internal')
            UNION SELECT r.statement, format('writes to another server (foreign table %s)', r.oid::regclass), NULL, true
                  FROM relation r JOIN pg_foreign_table t ON t.ftrelid = r.oid JOIN pg_foreign_server s ON s.oid = t.ftserver JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
                  WHERE w.fdwname <> 'postgres_fdw')    -- that one undoes with us
        SELECT planned.migration_name, t.statement, t.what, t.inside, t.outside FROM told t ORDER BY t.statement, t.what, t.inside;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_side_effects(text[], text) IS
    'What the rollback SQL of these migrations does, as far as can be seen before it runs, that undoing its transaction does not undo: what (in words); inside: the function that does it, '
    'when it is not the statement itself; outside: it reaches beyond this database and session. Looks at what was parsed at registration, and at the words in the bodies of the functions and triggers that are reached. '
    'SQL that is built while it runs cannot be seen. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_migration_rehearsal(report jsonb, client text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN migrollback_schema.add_migration_event('rehearsed', report #>> '{migrations,-1}', NULL::uuid, NULL::text, record_migration_rehearsal.client, jsonb_strip_nulls(
        jsonb_build_object(
            'success', report -> 'success', 'message', report -> 'message', 'fingerprint', report -> 'fingerprint', 'duration_ms', report -> 'duration_ms',
            'chain', CASE WHEN jsonb_array_length(report -> 'migrations') > 1 THEN report -> 'migrations' END, 'consent', nullif(report -> 'consent', 'false'),
            'sqlstate', report #> '{failure,sqlstate}', 'statement_number', report #> '{failure,statement_number}', 'failed', report #> '{failure,migration_name}',
            'where', report -> 'where',
            -- what it foretold, for the verification of a rollback that has no snapshot from before the migration was applied
            'foretold', (SELECT coalesce(jsonb_agg(jsonb_build_array(e ->> 'change', e ->> 'kind', e ->> 'identity', md5((e -> 'new_definition')::text)) ORDER BY e ->> 'kind', e ->> 'identity'), '[]')
                           FROM jsonb_array_elements(report -> 'changes') e),
            'changes', (SELECT jsonb_object_agg(c.change, c.count) FROM (SELECT e ->> 'change' AS change, count(*) FROM jsonb_array_elements(report -> 'changes') e GROUP BY 1) c),
            'rows_lost', (SELECT sum((e ->> 'rows')::bigint) FROM jsonb_array_elements(report -> 'rows') e),
            'rows_not_counted', nullif((SELECT count(*) FROM jsonb_array_elements(report -> 'rows') e WHERE jsonb_typeof(e -> 'rows') IS DISTINCT FROM 'number'), 0),
            -- what another migration made, and this one would drop; parts of what goes as a whole need not be named
            'others', (WITH o AS (SELECT e ->> 'identity' AS identity FROM jsonb_array_elements(report -> 'changes') e
                                   WHERE e ->> 'change' = 'dropped' AND NOT report -> 'migrations' ? (e #>> '{made_by,0}'))
                       SELECT jsonb_agg(o.identity ORDER BY o.identity) FROM o
                        WHERE regexp_replace(o.identity, '\.("([^"]|"")+"|[^".]+)$', '') NOT IN (SELECT i.identity FROM o i)),
            'broken', nullif(jsonb_array_length(report -> 'broken'), 0))));
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_migration_rehearsal(jsonb, text) IS
    'Writes the one event that a rehearsal leaves, from what rehearse_migration_rollbacks() told. Returns its number.';

CREATE OR REPLACE FUNCTION migrollback_schema.streaming_replicas() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_agg(jsonb_build_object('application_name', r.application_name, 'client_addr', r.client_addr,
                                                 'state', r.state, 'sync_state', r.sync_state)), '[]')
    FROM pg_stat_replication r
    WHERE r.state IS DISTINCT FROM 'backup'
      AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
$function$;
COMMENT ON FUNCTION migrollback_schema.streaming_replicas() IS
    'The standbys that replay what is locked here: application_name, client_addr, state, sync_state. Does not write.';

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
                                       ELSE 'Rehearsal: the rollback would fail: ' END || (details #>> ARRAY[ended_at, 'message'])
            WHEN every.one_changed_nothing THEN 'Rehearsal: the rollback SQL would run, but change nothing'
            ELSE 'Rehearsal: the rollback would succeed' END,
        'unchanged', success AND every.one_changed_nothing,
        'duration_ms', (SELECT round(sum((d.value ->> 'duration_ms')::numeric), 3) FROM jsonb_each(details) d),
        'failure', CASE WHEN NOT success THEN
            (details -> ended_at) - 'locks' - 'statement_ms' || jsonb_build_object('migration_name', ended_at) END)
    FROM (SELECT bool_and(d.value ? 'unchanged') AS one_changed_nothing FROM jsonb_each(details) d) every
$function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_outcome(text[], jsonb, text, boolean) IS
    'How a rehearsal ended: success, message, unchanged, duration_ms, failure, unseen. details: of the events of the run; '
    'ended_at: the migration that it met. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_refusal(
    names text[], otherwise_path text, OUT message text, OUT migration_name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    SELECT r.message, r.migration_name INTO message, migration_name FROM migrollback_schema.execute_migration_rollbacks(
        names, true, NULL::text, NULL::text, NULL::uuid, NULL::text, NULL::text, rehearsal_refusal.otherwise_path, false,
        current_setting('search_path'), '{}'::jsonb) r WHERE NOT r.success;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT CASE WHEN migrollback_schema.is_system_migration(h.migration_name) AND h.metadata ->> 'system' = 'true'
                    THEN 'The rollback system itself cannot be rehearsed: it would have to go on when it is gone'
                ELSE 'This rollback runs outside a transaction, so what it does cannot be undone: rehearse it on a copy of '
                     'the schema (migrollback rehearse --on scratch)' END,
           h.migration_name
      INTO message, migration_name FROM migrollback_schema.migration_history h
     WHERE h.migration_name = ANY (names)
       AND (migrollback_schema.is_system_migration(h.migration_name) AND h.metadata ->> 'system' = 'true'
            OR h.metadata #>> '{rollback,transaction}' = 'false'
               AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8')))
     LIMIT 1;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_refusal(text[], text) IS
    'Why these rollbacks cannot be rehearsed, in words, and because of which of them; NULL where they can. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_baseline(
    OUT relations oid[], OUT titles text[], OUT files oid[], OUT counts jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    our_tables constant oid[] := (SELECT o.tables FROM migrollback_schema.migration_system_objects() o);
BEGIN
    SELECT array_agg(c.oid), array_agg(c.oid::regclass::text), array_agg(c.relfilenode) INTO relations, titles, files
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm', 'p', 'v', 'f', 'S') AND c.oid >= 16384 AND c.oid <> ALL (our_tables)
       AND n.nspname !~ '^pg_(toast|temp)';
    counts := (SELECT coalesce(jsonb_object_agg(w.oid, jsonb_build_array(w.updated, w.deleted)), '{}')
               FROM (SELECT t.oid, pg_stat_get_xact_tuples_updated(t.oid) AS updated,
                            pg_stat_get_xact_tuples_deleted(t.oid) AS deleted FROM unnest(relations) AS t (oid)) w
               WHERE w.updated > 0 OR w.deleted > 0);
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_baseline() IS
    'What a rehearsal compares with: all relations but ours, with their names and files, and the rows of each that this '
    'transaction has written already ([updated, deleted]). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_findings(
    details jsonb, truncated text[], relations oid[], titles text[], files oid[], counts jsonb,
    kinds text[], identities text[], definitions jsonb[])
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    sessions      jsonb;
    written       jsonb;
    rewritten     jsonb;
    emptied       jsonb;
    changes       jsonb;
    columns_after jsonb;
BEGIN
    sessions := (
        SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.waits DESC, s.pid), '[]')
        FROM (SELECT DISTINCT a.pid, a.usename AS "user", a.application_name, a.state, l.relation, l.mode, NOT l.granted AS waits,
                     NOT l.granted AND pg_backend_pid() = ANY (pg_blocking_pids(a.pid)) AS for_us
              FROM jsonb_each(details) d CROSS JOIN LATERAL jsonb_object_keys(coalesce(d.value -> 'locks', '{}')) k (key)
              JOIN pg_locks l ON l.relation = split_part(k.key, ' ', 1)::oid AND l.locktype = 'relation'
                             AND l.database = (SELECT o.oid FROM pg_database o WHERE o.datname = current_database())
              JOIN pg_stat_activity a ON a.pid = l.pid AND a.pid <> pg_backend_pid()) s);
    written := (
        SELECT coalesce(jsonb_agg(to_jsonb(w)), '[]')
        FROM (SELECT c.oid,
                     pg_stat_get_xact_tuples_updated(c.oid) - coalesce((counts #>> ARRAY[c.oid::text, '0'])::bigint, 0) AS updated,
                     pg_stat_get_xact_tuples_deleted(c.oid) - coalesce((counts #>> ARRAY[c.oid::text, '1'])::bigint, 0) AS deleted
              FROM pg_class c WHERE c.oid = ANY (relations)) w
        WHERE w.updated > 0 OR w.deleted > 0);
    -- TRUNCATE is counted nowhere, but gives the table a new, empty file
    SELECT coalesce(jsonb_agg(c.oid) FILTER (WHERE NOT r.emptied), '[]'), coalesce(jsonb_agg(c.oid) FILTER (WHERE r.emptied), '[]')
      INTO rewritten, emptied
      FROM unnest(relations, files) AS t (oid, file)
      JOIN pg_class c ON c.oid = t.oid AND c.relfilenode <> t.file AND c.relkind IN ('r', 'm')
     CROSS JOIN LATERAL (SELECT pg_relation_size(c.oid) = 0 OR c.relname = ANY (truncated)) AS r (emptied);
    changes := (SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]')
                FROM migrollback_schema.changed_schema_objects(kinds, identities, definitions) c);
    -- "table.number" -> name, of the tables that no longer have a column of some name
    columns_after := (
        SELECT coalesce(jsonb_object_agg(a.attrelid || '.' || a.attnum, a.attname), '{}')
        FROM unnest(relations, titles) AS t (oid, title)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE t.title IN (SELECT format('%I.%I', i.parts[1], i.parts[2])
                          FROM jsonb_array_elements(changes) e
                          CROSS JOIN LATERAL (SELECT parse_ident(e ->> 'identity', false) AS parts) i
                          WHERE e ->> 'change' = 'dropped' AND e ->> 'kind' = 'column'));
    RETURN jsonb_build_object(
        'sessions', sessions, 'written', written, 'rewritten', rewritten, 'emptied', emptied, 'changes', changes,
        'columns_after', columns_after,
        'gone', (SELECT coalesce(jsonb_agg(t.oid), '[]') FROM unnest(relations) AS t (oid)
                 WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.oid)),
        'gone_columns', (SELECT coalesce(jsonb_agg(jsonb_build_array(a.attrelid, a.attnum)), '[]') FROM pg_attribute a
                         WHERE a.attrelid = ANY (relations) AND a.attnum > 0 AND a.attisdropped),
        'renamed', (SELECT coalesce(jsonb_agg(jsonb_build_object('old', t.title, 'new', c.oid::regclass::text)), '[]')
                    FROM unnest(relations, titles) AS t (oid, title) JOIN pg_class c ON c.oid = t.oid
                    WHERE c.oid::regclass::text <> t.title));
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_findings(
    jsonb, text[], oid[], text[], oid[], jsonb, text[], text[], jsonb[]) IS
    'What rollbacks that have just run in this transaction did, compared with rehearsal_baseline() and schema_object_arrays() '
    'from before: changes (of the schema), written (rows updated and deleted), rewritten, emptied and gone (oids of tables), '
    'gone_columns ([table, number], whenever they went), renamed, columns_after, sessions (that hold or await what is locked). '
    'details: of the events of the run; truncated: bare names that the SQL truncates. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_routines(changes jsonb, name text, otherwise_path text)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    our_routines constant oid[] := (SELECT o.routines FROM migrollback_schema.migration_system_objects() o);
    different    text[];                -- bare names of what is dropped or changed
    routine      record;
    what         text;
    suspects     jsonb := '[]';         -- SQL functions that do not hold up after the rollback
    bodies       jsonb := '[]';         -- other functions that name it
BEGIN
    -- PostgreSQL does not track what stands in the body of a function as text. What is not named there cannot break it; of
    -- very many names the body needs not be searched.
    different := ARRAY(
        SELECT DISTINCT lower(i.parts[cardinality(i.parts)])
        FROM jsonb_array_elements(changes) e CROSS JOIN LATERAL (SELECT parse_ident(e ->> 'identity', false) AS parts) i
        WHERE e ->> 'change' <> 'created'
          AND e ->> 'kind' IN ('table', 'partitioned table', 'foreign table', 'view', 'materialized view', 'composite type',
                               'sequence', 'column', 'function', 'procedure', 'aggregate', 'enum', 'domain', 'range',
                               'base type', 'schema'));
    FOR routine IN
        SELECT p.oid, p.oid::regprocedure::text AS identity, l.lanname, p.prosrc, p.prokind,
               pg_get_functiondef(p.oid) AS definition,
               coalesce((SELECT substr(c, 13) FROM unnest(p.proconfig) AS c WHERE c LIKE 'search\_path=%'),
                        migrollback_schema.migration_rollback_path(h.metadata, otherwise_path)) AS path,
               (cardinality(different) > 500 OR EXISTS (
                   SELECT FROM unnest(different) AS x (name) WHERE strpos(lower(p.prosrc), x.name) > 0)) AS names_it
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN migrollback_schema.migration_history h ON h.migration_name = rehearsal_routines.name
        WHERE p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND p.prokind <> 'a' AND p.oid <> ALL (our_routines)
          AND cardinality(different) > 0 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND NOT EXISTS (SELECT FROM pg_depend d
                           WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        ORDER BY p.oid
    LOOP
        CONTINUE WHEN NOT routine.names_it;
        what := CASE routine.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END;
        IF routine.lanname <> 'sql' THEN
            bodies := bodies || jsonb_build_object(
                'oid', routine.oid, 'identity', routine.identity, 'kind', what, 'language', routine.lanname,
                'body', routine.prosrc, 'definition', routine.definition, 'search_path', routine.path);
            CONTINUE;
        END IF;
        BEGIN
            PERFORM set_config('search_path', coalesce(nullif(routine.path, ''), 'pg_catalog') || ', pg_temp', true),
                    set_config('check_function_bodies', 'on', true);
            PERFORM pg_catalog.fmgr_sql_validator(routine.oid);
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        EXCEPTION
            WHEN SQLSTATE 'MR099' OR insufficient_privilege THEN
                NULL;
            WHEN OTHERS THEN
                suspects := suspects || jsonb_build_object(
                    'oid', routine.oid, 'kind', what, 'identity', routine.identity, 'search_path', routine.path,
                    'sqlstate', SQLSTATE, 'because', SQLERRM);
        END;
    END LOOP;
    RETURN jsonb_build_object('suspects', suspects, 'bodies', bodies);
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_routines(jsonb, text, text) IS
    'Which functions these changes of the schema may break: suspects, in SQL, which PostgreSQL itself finds wrong now; bodies, '
    'in other languages, which name what is gone: for a parser. name: the migration under whose search_path, otherwise_path '
    'where none is recorded, functions without one of their own are read. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.broken_routines(suspects jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    routine record;
    broken  jsonb := '[]';
BEGIN
    FOR routine IN
        SELECT (e ->> 'oid')::oid AS oid, e AS suspect, e ->> 'search_path' AS path FROM jsonb_array_elements(suspects) e
    LOOP
        BEGIN                           -- one that does not hold up now either is not broken by this
            PERFORM set_config('search_path', coalesce(nullif(routine.path, ''), 'pg_catalog') || ', pg_temp', true),
                    set_config('check_function_bodies', 'on', true);
            PERFORM pg_catalog.fmgr_sql_validator(routine.oid);
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        EXCEPTION
            WHEN SQLSTATE 'MR099' THEN
                broken := broken || (routine.suspect - 'search_path' || jsonb_build_object('certain', true));
            WHEN OTHERS THEN
                NULL;
        END;
    END LOOP;
    RETURN broken;
END $function$;
COMMENT ON FUNCTION migrollback_schema.broken_routines(jsonb) IS
    'Those suspects of rehearsal_routines() that hold up now, when the rollback is undone: it is what breaks them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.with_routine_users(routines jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- who calls them, as PostgreSQL tracks it; what the SQL made is gone again
    SELECT coalesce(jsonb_agg(r.value - 'oid' || jsonb_build_object(
               'used_by', migrollback_schema.routine_users((r.value ->> 'oid')::oid)) ORDER BY r.place), '[]')
    FROM jsonb_array_elements(routines) WITH ORDINALITY AS r (value, place) JOIN pg_proc p ON p.oid = (r.value ->> 'oid')::oid
$function$;
COMMENT ON FUNCTION migrollback_schema.with_routine_users(jsonb) IS
    'These functions (an array of objects with oid) without their oid, each with routine_users() as used_by; those that are '
    'there. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_statements(names text[], details jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'migration_name', n.name, 'number', s.place, 'statement', s.statement,
               'line', h.metadata #> ARRAY['rollback', 'statements', (s.place - 1)::text, '2'],
               'ms', details #> ARRAY[n.name, 'statement_ms', (s.place - 1)::text]) ORDER BY n.place, s.place), '[]')
    FROM unnest(names) WITH ORDINALITY AS n (name, place)
    JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
    CROSS JOIN LATERAL unnest(migrollback_schema.migration_rollback_statements(h.rollback_sql, h.metadata))
               WITH ORDINALITY AS s (statement, place)
$function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_statements(text[], jsonb) IS
    'The statements of these rollbacks, in order, with the time that each took (details: of the events of the run). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_locks(statements jsonb, details jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    our_tables constant oid[] := (SELECT o.tables FROM migrollback_schema.migration_system_objects() o);
BEGIN
    RETURN (
        WITH statement AS MATERIALIZED (
            SELECT s.value ->> 'migration_name' AS migration_name, (s.value ->> 'number')::int AS number, s.place,
                   sum((s.value ->> 'ms')::numeric) OVER (ORDER BY s.place DESC) AS until_the_end
            FROM jsonb_array_elements(statements) WITH ORDINALITY AS s (value, place)),
        held AS MATERIALIZED (          -- by itself: joined at once, each statement would read all locks anew
            SELECT d.key AS migration_name, l.value::int AS number, split_part(l.key, ' ', 1)::oid AS oid,
                   split_part(l.key, ' ', 2) AS mode
            FROM jsonb_each(details) d CROSS JOIN LATERAL jsonb_each_text(coalesce(d.value -> 'locks', '{}')) l),
        lock AS (
            SELECT DISTINCT ON (h.oid, h.mode) h.oid, h.mode, s.migration_name, s.number, s.until_the_end
            FROM held h JOIN statement s ON s.migration_name = h.migration_name AND s.number = h.number
            ORDER BY h.oid, h.mode, s.place),
        named AS MATERIALIZED (         -- a name is looked up once: what was undone has emptied the caches
            SELECT l.*, c.oid::regclass::text AS relation, c.relkind
            FROM lock l JOIN pg_class c ON c.oid = l.oid        -- what the SQL made is gone again: no other session met it
            WHERE c.relnamespace <> 'pg_toast'::regnamespace AND c.oid <> ALL (our_tables)
              AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indrelid = ANY (our_tables)))
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'relation', l.relation, 'kind', l.relkind, 'mode', l.mode, 'migration_name', l.migration_name,
                   'statement_number', l.number, 'held_ms', l.until_the_end) ORDER BY l.relation, l.mode), '[]')
        FROM named l);
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_locks(jsonb, jsonb) IS
    'The locks that a rehearsal held on relations that are there, ours left out: mode, the statement that took it, and how long '
    'it was held, from rehearsal_statements() and the details of the events of the run. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.renamed_columns(changes jsonb, columns_after jsonb, renamed jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'old', e ->> 'identity',
               'new', format('%I.%I.%I', i.parts[1], i.parts[2], columns_after ->> (a.attrelid || '.' || a.attnum)))), '[]')
    FROM jsonb_array_elements(changes) e CROSS JOIN LATERAL (SELECT parse_ident(e ->> 'identity', false) AS parts) i
    JOIN pg_attribute a ON a.attrelid = to_regclass(format('%I.%I', i.parts[1], i.parts[2])) AND a.attname = i.parts[3]
                       AND NOT a.attisdropped
    WHERE e ->> 'change' = 'dropped' AND e ->> 'kind' = 'column' AND columns_after ? (a.attrelid || '.' || a.attnum)
      AND NOT EXISTS (SELECT FROM jsonb_array_elements(renamed) r      -- with its table
                       WHERE r ->> 'old' = format('%I.%I', i.parts[1], i.parts[2]))
$function$;
COMMENT ON FUNCTION migrollback_schema.renamed_columns(jsonb, jsonb, jsonb) IS
    'Columns of which only the name went, by what rehearsal_findings() told: old and new name. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_losses(findings jsonb, emptied oid[], count_ms int) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    until     constant timestamptz := clock_timestamp() + make_interval(secs => count_ms / 1000.0);
    lossy     record;
    counted   jsonb;
    rows_lost jsonb := '[]';
BEGIN
    BEGIN                               -- counting locks too, so it is undone
        FOR lossy IN
            SELECT c.oid, c.oid::regclass::text AS relation, c.relkind,
                   bool_or(k.what = 'dropped table') AS dropped, bool_or(k.what = 'emptied') AS emptied,
                   coalesce(array_agg(k.name ORDER BY k.name) FILTER (WHERE k.what = 'dropped column'), '{}') AS columns
            FROM (SELECT g.oid::oid AS oid, 'dropped table' AS what, NULL AS name
                    FROM jsonb_array_elements_text(findings -> 'gone') AS g (oid)
                  UNION ALL             -- here it is there again
                  SELECT a.attrelid, 'dropped column', a.attname FROM jsonb_array_elements(findings -> 'gone_columns') g
                    JOIN pg_attribute a ON a.attrelid = (g ->> 0)::oid AND a.attnum = (g ->> 1)::int AND NOT a.attisdropped
                  UNION ALL
                  SELECT unnest(rehearsal_losses.emptied), 'emptied', NULL) k
            JOIN pg_class c ON c.oid = k.oid AND c.relkind IN ('r', 'f')
            GROUP BY c.oid ORDER BY c.oid
        LOOP
            BEGIN
                counted := CASE WHEN lossy.relkind = 'f' THEN '{"exact": false}'
                                ELSE migrollback_schema.count_rows_within(lossy.oid, lossy.columns::text[], until) END;
            EXCEPTION WHEN OTHERS THEN  -- no right to look, or another session's lock
                counted := jsonb_build_object('exact', false, 'sqlstate', SQLSTATE);
            END;
            IF lossy.dropped OR lossy.emptied THEN
                rows_lost := rows_lost || jsonb_build_object(
                    'relation', lossy.relation, 'column', NULL, 'what', CASE WHEN lossy.dropped THEN 'dropped' ELSE 'emptied' END,
                    'rows', counted -> 'rows', 'exact', counted -> 'exact', 'sqlstate', counted -> 'sqlstate');
            END IF;
            rows_lost := rows_lost || (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                           'relation', lossy.relation, 'column', c.name, 'what', 'column dropped',
                           'rows', counted #> ARRAY['columns', c.name], 'exact', counted -> 'exact',
                           'sqlstate', counted -> 'sqlstate')), '[]')
                FROM unnest(lossy.columns) AS c (name));
        END LOOP;
        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
    EXCEPTION WHEN SQLSTATE 'MR099' THEN
        NULL;
    END;
    RETURN rows_lost || (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'relation', (w ->> 'oid')::oid::regclass::text, 'column', NULL, 'what', k.what, 'rows', k.rows,
                   'exact', true)), '[]')
        FROM jsonb_array_elements(findings -> 'written') w
        CROSS JOIN LATERAL (VALUES ('deleted', (w ->> 'deleted')::bigint), ('updated', (w ->> 'updated')::bigint)) AS k (what, rows)
        WHERE k.rows > 0 AND NOT (w ->> 'oid')::oid = ANY (rehearsal_losses.emptied)
          AND EXISTS (SELECT FROM pg_class c
                       WHERE c.oid = (w ->> 'oid')::oid
                         AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_losses(jsonb, oid[], int) IS
    'Rows and values that would be lost, by what rehearsal_findings() told: of dropped and emptied tables and dropped columns '
    'counted for at most count_ms, of what was deleted and updated as the server counted it. emptied: tables. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.with_migration_owners(changes jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    dropped text[];                     -- what goes with all its parts
    owned   text[];                     -- what migrations are known to have created
BEGIN
    dropped := ARRAY(
        SELECT e ->> 'identity' FROM jsonb_array_elements(changes) e
         WHERE e ->> 'change' = 'dropped' AND e ->> 'kind' IN ('table', 'partitioned table', 'view', 'materialized view'));
    owned := ARRAY(SELECT DISTINCT o.identity FROM migrollback_schema.migration_objects o WHERE o.action <> 'dropped');
    -- Of the parts of what goes as a whole, only those that a migration is known by name to have created: asking costs more
    -- than all the rest.
    RETURN (
        SELECT coalesce(jsonb_agg(e || jsonb_build_object('made_by', CASE
                   WHEN e ->> 'change' <> 'created' AND (
                        e ->> 'kind' NOT IN ('column', 'index', 'constraint', 'comment', 'grant', 'trigger', 'policy')
                        OR e ->> 'change' = 'changed' OR e ->> 'identity' = ANY (owned)
                        OR NOT coalesce(CASE e ->> 'kind'
                                            WHEN 'comment' THEN true
                                            WHEN 'grant' THEN true
                                            WHEN 'index' THEN e #>> '{old_definition,on}' = ANY (dropped)
                                            ELSE (SELECT format('%I.%I', i.parts[1], i.parts[2])
                                                  FROM parse_ident(e ->> 'identity', false) AS i (parts)) = ANY (dropped)
                                        END, false))
                   THEN migrollback_schema.migration_owners(e ->> 'kind', e ->> 'identity') END) ORDER BY e.place), '[]')
        FROM jsonb_array_elements(changes) WITH ORDINALITY AS e (e, place));
END $function$;
COMMENT ON FUNCTION migrollback_schema.with_migration_owners(jsonb) IS
    'These changes (rows of schema_changes()), each with migration_owners() as made_by. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearse_migration_rollbacks(
    names text[], consent boolean DEFAULT false, client text DEFAULT NULL, count_ms int DEFAULT 2000, record boolean DEFAULT true,
    rethrow boolean DEFAULT false, otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    attempt     constant uuid := gen_random_uuid();
    fingerprint text;
    refusal     record;
    undone      jsonb;
    before      record;                 -- the objects of the schema
    there       record;                 -- the relations, with their names and files
    truncated   text[];
    outcomes    jsonb;
    details     jsonb;
    success     boolean;
    findings    jsonb := '{"changes": [], "renamed": [], "sessions": [], "rewritten": [], "emptied": [], "columns_after": {}}';
    routines    jsonb := '{"suspects": [], "bodies": []}';
    rewritten   oid[];
    emptied     oid[];
    statements  jsonb;
    locks       jsonb;
    renamed     jsonb;
    rows_lost   jsonb := '[]';
    report      jsonb;
BEGIN
    IF cardinality(names) = 0 OR names IS NULL THEN
        RAISE EXCEPTION 'no migration was named' USING ERRCODE = 'MR006';
    END IF;
    -- before all else: what changes meanwhile must show as a change
    fingerprint := migrollback_schema.migration_fingerprint(names, otherwise_path);
    report := jsonb_build_object('success', false, 'migrations', names, 'migration_name', names[cardinality(names)],
                                 'fingerprint', fingerprint, 'consent', consent);
    refusal := migrollback_schema.rehearsal_refusal(names, otherwise_path);
    IF refusal.message IS NOT NULL THEN
        RETURN report || jsonb_build_object('refused', true, 'message', refusal.message, 'migration_name', refusal.migration_name);
    END IF;

    undone := (SELECT coalesce(jsonb_agg(to_jsonb(u)), '[]')
               FROM migrollback_schema.migration_side_effects(names, otherwise_path) u);
    report := report || jsonb_build_object('not_undone', undone);
    IF jsonb_array_length(undone) > 0 AND NOT coalesce(consent, false) THEN
        RETURN report || jsonb_build_object('refused', true, 'needs_consent', true, 'message',
            'Undoing the rehearsal would not undo all that the SQL does: '
            || (SELECT string_agg(DISTINCT e ->> 'what', '; ') FROM jsonb_array_elements(undone) e));
    END IF;

    truncated := ARRAY(
        SELECT w ->> 3 FROM migrollback_schema.migration_history h
         CROSS JOIN LATERAL jsonb_array_elements(coalesce(h.metadata #> '{rollback,writes}', '[]')) w
         WHERE h.migration_name = ANY (names) AND w ->> 1 = 'truncate');
    BEGIN
        IF current_setting('lock_timeout') = '0' THEN   -- who comes later waits behind it: a rehearsal is not worth that
            PERFORM set_config('lock_timeout', '500ms', true);
        END IF;
        PERFORM migrollback_schema.lock_migrations();
        BEGIN                           -- undone too: it locks every view, and the SQL is to meet the locks that it will meet
            before := migrollback_schema.schema_object_arrays();
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        EXCEPTION WHEN SQLSTATE 'MR099' THEN
            NULL;
        END;
        there := migrollback_schema.rehearsal_baseline();
        PERFORM set_config('migrollback.rehearsal', pg_current_xact_id()::text, true),
                set_config('migrollback.rethrow', CASE WHEN rethrow THEN 'on' ELSE 'off' END, true);

        outcomes := (SELECT jsonb_agg(to_jsonb(r)) FROM migrollback_schema.execute_migration_rollbacks(
                         names, false, 'rehearsal', NULL::text, attempt, rehearse_migration_rollbacks.client, NULL::text,
                         rehearse_migration_rollbacks.otherwise_path, false, current_setting('search_path'), '{}'::jsonb) r);
        success := (outcomes #>> '{0,success}')::boolean;
        details := (SELECT coalesce(jsonb_object_agg(e.migration_name, e.details), '{}')
                    FROM migrollback_schema.migration_events e WHERE e.attempt_id = attempt);
        IF success THEN
            findings := migrollback_schema.rehearsal_findings(details, truncated, there.relations, there.titles, there.files,
                there.counts, before.kinds, before.identities, before.definitions);
            routines := migrollback_schema.rehearsal_routines(findings -> 'changes', names[cardinality(names)], otherwise_path);
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
    EXCEPTION WHEN SQLSTATE 'MR099' THEN
        NULL;                           -- undone; the variables keep what was found
    END;
    IF NOT success AND NOT details -> (outcomes #>> '{0,migration_name}') ? 'sqlstate' THEN    -- it was allowed a moment ago
        RETURN report || jsonb_build_object('refused', true, 'message', outcomes #> '{0,message}',
                                            'migration_name', outcomes #> '{0,migration_name}');
    END IF;

    statements := migrollback_schema.rehearsal_statements(names, details);
    locks := migrollback_schema.rehearsal_locks(statements, details);
    renamed := findings -> 'renamed';
    IF findings -> 'columns_after' <> '{}' THEN
        renamed := renamed || migrollback_schema.renamed_columns(findings -> 'changes', findings -> 'columns_after', renamed);
    END IF;
    -- one that had no rows before has lost none
    rewritten := ARRAY(SELECT r.oid::oid FROM jsonb_array_elements_text(findings -> 'rewritten') AS r (oid))
        || ARRAY(SELECT c.oid FROM jsonb_array_elements_text(findings -> 'emptied') AS e (oid) JOIN pg_class c ON c.oid = e.oid::oid
                  WHERE pg_relation_size(c.oid) = 0 AND c.relname <> ALL (truncated));
    emptied := ARRAY(SELECT e.oid::oid FROM jsonb_array_elements_text(findings -> 'emptied') AS e (oid)
                      WHERE NOT e.oid::oid = ANY (rewritten));
    IF success THEN
        rows_lost := migrollback_schema.rehearsal_losses(findings, emptied, count_ms);
    END IF;

    report := report || migrollback_schema.rehearsal_outcome(names, details, outcomes #>> '{0,migration_name}', success)
        || jsonb_build_object(
        'statements', statements, 'locks', locks, 'rows', rows_lost, 'renamed', renamed,
        'broken', migrollback_schema.with_routine_users(migrollback_schema.broken_routines(routines -> 'suspects')),
        'bodies', migrollback_schema.with_routine_users(routines -> 'bodies'),
        'sessions', (SELECT coalesce(jsonb_agg(s || jsonb_build_object('relation', (s ->> 'relation')::oid::regclass::text)), '[]')
                     FROM jsonb_array_elements(findings -> 'sessions') s),
        'rewritten', (SELECT coalesce(jsonb_agg(r.oid::regclass::text ORDER BY r.oid::regclass::text), '[]')
                      FROM unnest(rewritten) AS r (oid)),
        'replicas', CASE WHEN EXISTS (SELECT FROM jsonb_array_elements(locks) l WHERE l ->> 'mode' = 'AccessExclusiveLock')
                         THEN migrollback_schema.streaming_replicas() ELSE '[]' END,
        'changes', migrollback_schema.with_migration_owners(findings -> 'changes'));
    IF record THEN
        PERFORM migrollback_schema.record_migration_rehearsal(report, client);
    END IF;
    RETURN report;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearse_migration_rollbacks(text[], boolean, text, int, boolean, boolean, text) IS
    'Writes one event and nothing else. Runs the rollbacks of these migrations, in this order, exactly as execute_migration_rollbacks() would, undoes them, and tells what '
    'they did: success, message, failure (sqlstate, statement_number ...), changes, rows (that would be lost), locks, sessions (who held or awaited them), statements (with '
    'their time), rewritten, broken (functions that would no longer work), bodies (functions in other languages than SQL that may name what is gone: for a parser), replicas. fingerprint: for the argument preview of execute_migration_rollback(). consent: also when undoing does not undo all of it '
    '(not_undone says what). count_ms: how long rows may be counted; record: false writes no event; rethrow: an error of the SQL is raised instead of told. Waits for '
    'a lock no longer than lock_timeout, or 500 ms where that is 0; how long it may last in all, statement_timeout says, set before the call.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearse_migration_rollback(
    name text, consent boolean DEFAULT false, client text DEFAULT NULL, count_ms int DEFAULT 2000,
    otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS TABLE (success boolean, message text, report jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    report := migrollback_schema.rehearse_migration_rollbacks(ARRAY[name], consent, client, count_ms, record => true, rethrow => false, otherwise_path => rehearse_migration_rollback.otherwise_path);
    success := (report -> 'success')::boolean;
    message := report ->> 'message';
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearse_migration_rollback(text, boolean, text, int, text) IS
    'Writes one event and nothing else. rehearse_migration_rollbacks() for one migration: would its rollback succeed, and what would it do?';
