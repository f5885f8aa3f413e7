-- ---------------------------------------------------------------------------------------------------
-- What a rehearsal finds: changes, locks, losses, and functions that would no longer work.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.count_rows_within(
    relation oid, columns text[], until timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    SET max_parallel_workers_per_gather = 0 AS $function$
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
                       (SELECT string_agg(format(', count(%I)', c.name), '' ORDER BY c.place)
                        FROM unnest(columns) WITH ORDINALITY AS c (name, place)),
                       relation::regclass, format('(%s,0)', page), format('(%s,0)', page + step)) INTO counts;
        totals := ARRAY(SELECT t.total + t.more FROM unnest(totals, counts) WITH ORDINALITY AS t (total, more, place)
                        ORDER BY t.place);
        page := page + step;
    END LOOP;
    IF pages IS NOT NULL THEN
        RETURN jsonb_build_object('exact', true, 'rows', totals[1], 'columns',
            (SELECT coalesce(jsonb_object_agg(c.name, totals[c.place + 1]), '{}')
             FROM unnest(columns) WITH ORDINALITY AS c (name, place)));
    END IF;
    -- what ANALYZE found the last time; -1: never
    RETURN jsonb_build_object('exact', false, 'rows', CASE WHEN known >= 0 THEN known::bigint END, 'columns',
        (SELECT coalesce(jsonb_object_agg(c.name, CASE WHEN known >= 0 THEN (known * (1 - s.null_frac))::bigint END),
                         '{}')
         FROM unnest(columns) AS c (name)
         LEFT JOIN (SELECT a.attname, v.null_frac FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace
                    JOIN pg_attribute a ON a.attrelid = k.oid
                    JOIN pg_stats v ON v.schemaname = n.nspname AND v.tablename = k.relname AND v.attname = a.attname
                        AND NOT v.inherited
                    WHERE k.oid = relation) s ON s.attname = c.name));
END $function$;
COMMENT ON FUNCTION migrollback_schema.count_rows_within(oid, text[], timestamptz) IS
    'How many rows one table has, and how many values that are not NULL each of these columns. exact: whether they '
    'were counted; false when that would last beyond this moment, or row security hides some: then what the '
    'statistics say, NULL where they say nothing. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.changed_schema_objects(
    kinds text[], identities text[], definitions jsonb[])
RETURNS TABLE (change text, kind text, identity text, old_definition jsonb, new_definition jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    now        record;
    old_schema jsonb;
    new_schema jsonb;
BEGIN
    now := migrollback_schema.schema_object_arrays();
    WITH differing AS MATERIALIZED (
        SELECT coalesce(o.sort, n.sort) AS kind, coalesce(o.name, n.name) AS identity, o.definition AS was,
               n.definition AS is
        FROM unnest(kinds, identities, definitions) AS o (sort, name, definition)
        FULL JOIN unnest(now.kinds, now.identities, now.definitions) AS n (sort, name, definition) ON n.sort = o.sort
            AND n.name = o.name
        WHERE o.definition IS DISTINCT FROM n.definition)
    SELECT (SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}')
            FROM (SELECT d.kind, jsonb_object_agg(d.identity, d.was) AS objects FROM differing d WHERE d.was IS NOT NULL
                  GROUP BY d.kind) k),
           (SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}')
            FROM (SELECT d.kind, jsonb_object_agg(d.identity, d.is) AS objects FROM differing d WHERE d.is IS NOT NULL
                  GROUP BY d.kind) k)
      INTO old_schema, new_schema;
    RETURN QUERY SELECT * FROM migrollback_schema.schema_changes(old_schema, new_schema);
END $function$;
COMMENT ON FUNCTION migrollback_schema.changed_schema_objects(text[], text[], jsonb[]) IS
    'schema_changes() from what schema_object_arrays() gave until now. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.routine_users(routine oid) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT coalesce(array_agg(DISTINCT i.type || ' ' || i.identity ORDER BY i.type || ' ' || i.identity), '{}')
    FROM pg_depend d
    -- a view's rule stands for the view
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    -- a default for its column
    LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
    CROSS JOIN LATERAL pg_identify_object(CASE WHEN w.oid IS NOT NULL OR a.oid IS NOT NULL THEN 'pg_class'::regclass
                                          ELSE d.classid END,
                                          coalesce(w.ev_class, a.adrelid, d.objid), coalesce(a.adnum, 0)) i
    WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = routine AND d.deptype IN ('n', 'a')
      AND d.classid <> 'pg_proc'::regclass
$function$;
COMMENT ON FUNCTION migrollback_schema.routine_users(oid) IS
    'Views, policies, triggers, defaults, indexes ... that call this function, as far as PostgreSQL tracks it. Does '
    'not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.truncated_tables(names text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(
        SELECT w ->> 3 FROM migrollback_schema.migration_history h
         CROSS JOIN LATERAL jsonb_array_elements(coalesce(h.metadata #> '{rollback,writes}', '[]')) w
         WHERE h.migration_name = ANY (names) AND w ->> 1 = 'truncate');
END $function$;
COMMENT ON FUNCTION migrollback_schema.truncated_tables(text[]) IS
    'Bare names of the tables that the rollback SQL of these migrations truncates, as it was parsed. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_baseline(
    OUT relations oid[], OUT titles text[], OUT files oid[], OUT counts jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    our_tables constant oid[] := migrollback_schema.migration_system_tables();
BEGIN
    SELECT array_agg(c.oid), array_agg(c.oid::regclass::text), array_agg(c.relfilenode) INTO relations, titles, files
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm', 'p', 'v', 'f', 'S') AND c.oid >= 16384 AND c.oid <> ALL (our_tables)
       AND n.nspname !~ '^pg_(toast|temp)' AND n.nspname <> 'migrollback_archive';
    counts := (SELECT coalesce(jsonb_object_agg(w.oid, jsonb_build_array(w.updated, w.deleted)), '{}')
               FROM (SELECT t.oid, pg_stat_get_xact_tuples_updated(t.oid) AS updated,
                            pg_stat_get_xact_tuples_deleted(t.oid) AS deleted FROM unnest(relations) AS t (oid)) w
               WHERE w.updated > 0 OR w.deleted > 0);
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_baseline() IS
    'What a rehearsal compares with: all relations but ours, with their names and files, and the rows of each that '
    'this transaction has written already ([updated, deleted]). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_findings(
    details jsonb, truncated text[], relations oid[], titles text[], files oid[], counts jsonb, kinds text[],
    identities text[], definitions jsonb[])
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    sessions      jsonb;
    written       jsonb;
    rewritten     jsonb;
    emptied       jsonb;
    changes       jsonb;
    columns_after jsonb;
    -- what was put back from an archive is no loss
    known constant jsonb := migrollback_schema.with_restored_writes(counts, details);
BEGIN
    sessions := (
        SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.waits DESC, s.pid), '[]')
        FROM (SELECT DISTINCT a.pid, a.usename AS "user", a.application_name, a.state, l.relation,
                     migrollback_schema.lock_mode_words(l.mode) AS mode,
              NOT l.granted AS waits,
                     NOT l.granted AND pg_backend_pid() = ANY (pg_blocking_pids(a.pid)) AS for_us
              FROM jsonb_each(details) d
                CROSS JOIN LATERAL jsonb_object_keys(coalesce(d.value -> 'locks', '{}')) k (key)
              JOIN pg_locks l ON l.relation = split_part(k.key, ' ', 1)::oid AND l.locktype = 'relation'
                             AND l.database = (SELECT o.oid FROM pg_database o WHERE o.datname = current_database())
              JOIN pg_stat_activity a ON a.pid = l.pid AND a.pid <> pg_backend_pid()) s);
    written := (
        SELECT coalesce(jsonb_agg(to_jsonb(w)), '[]')
        FROM (SELECT c.oid,
                     pg_stat_get_xact_tuples_updated(c.oid) - coalesce((known #>> ARRAY[c.oid::text, '0'])::bigint,
                         0) AS updated,
                     pg_stat_get_xact_tuples_deleted(c.oid) - coalesce((known #>> ARRAY[c.oid::text, '1'])::bigint,
                         0) AS deleted
              FROM pg_class c WHERE c.oid = ANY (relations)) w
        WHERE w.updated > 0 OR w.deleted > 0);
    -- TRUNCATE is counted nowhere, but gives the table a new, empty file
    SELECT coalesce(jsonb_agg(c.oid) FILTER (WHERE NOT r.emptied), '[]'),
           coalesce(jsonb_agg(c.oid) FILTER (WHERE r.emptied), '[]')
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
    'What rollbacks that have just run in this transaction did, compared with rehearsal_baseline() and '
    'schema_object_arrays() from before: changes (of the schema), written (rows updated and deleted), rewritten, '
    'emptied and gone (oids of tables), gone_columns ([table, number], whenever they went), renamed, columns_after, '
    'sessions (that hold or await what is locked). details: of the events of the run; truncated: bare names that the '
    'SQL truncates. Does not write.';

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
    -- PostgreSQL does not track what stands in the body of a function as text. What is not named there cannot break it;
    -- of
    -- very many names the body needs not be searched.
    different := ARRAY(
        SELECT DISTINCT lower(i.parts[cardinality(i.parts)])
        FROM jsonb_array_elements(changes) e CROSS JOIN LATERAL (SELECT parse_ident(e ->> 'identity', false) AS parts) i
        WHERE e ->> 'change' <> 'created'
          AND e ->> 'kind' IN ('table', 'partitioned table', 'foreign table', 'view', 'materialized view',
                               'composite type',
                               'sequence', 'column', 'function', 'procedure', 'aggregate', 'enum', 'domain', 'range',
                               'base type', 'schema'));
    FOR routine IN
        SELECT p.oid, p.oid::regprocedure::text AS identity, l.lanname, p.prosrc, p.prokind,
               pg_get_functiondef(p.oid) AS definition,
               coalesce((SELECT substr(c, 13) FROM unnest(p.proconfig) AS c WHERE c LIKE 'search\_path=%'),
                        migrollback_schema.migration_rollback_path(h.metadata, otherwise_path)) AS path,
               (cardinality(different) > 500 OR EXISTS (
                   SELECT FROM unnest(different) AS d (raw)
                   -- within quotes a quote stands twice
                   CROSS JOIN LATERAL (SELECT replace(d.raw, '"', '""')) AS x (name)
                   WHERE strpos(lower(p.prosrc), x.name) > 0
                      -- as a word, or after an escape such as \n: not every body with an "a" names a table called "a"
                      AND lower(p.prosrc) ~ ('(?:(?<![[:alnum:]_$])|(?<=\\[bfnrt]))'
                          || regexp_replace(x.name, '([^[:alnum:]_])', '\\\1', 'g') || '(?![[:alnum:]_$])')
                   )) AS names_it
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN migrollback_schema.migration_history h ON h.migration_name = rehearsal_routines.name
        WHERE p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND p.prokind <> 'a'
          AND p.oid <> ALL (our_routines)
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
    'Which functions these changes of the schema may break: suspects, in SQL, which PostgreSQL itself finds wrong '
    'now; bodies, in other languages, which name what is gone: for a parser. name: the migration under whose '
    'search_path, otherwise_path where none is recorded, functions without one of their own are read. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.broken_routines(suspects jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    routine record;
    broken  jsonb := '[]';
BEGIN
    FOR routine IN
        SELECT (e ->> 'oid')::oid AS oid, e AS suspect, e ->> 'search_path' AS path
          FROM jsonb_array_elements(suspects) e
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
    'Those suspects of rehearsal_routines() that hold up now, when the rollback is undone: it is what breaks them. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.with_routine_users(routines jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- who calls them, as PostgreSQL tracks it; what the SQL made is gone again
    SELECT coalesce(jsonb_agg(r.value - 'oid' || jsonb_build_object(
               'used_by', migrollback_schema.routine_users((r.value ->> 'oid')::oid)) ORDER BY r.place), '[]')
    FROM jsonb_array_elements(routines) WITH ORDINALITY AS r (value, place)
      JOIN pg_proc p ON p.oid = (r.value ->> 'oid')::oid
$function$;
COMMENT ON FUNCTION migrollback_schema.with_routine_users(jsonb) IS
    'These functions (an array of objects with oid) without their oid, each with routine_users() as used_by; those '
    'that are there. Does not write.';

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
    'The statements of these rollbacks, in order, with the time that each took (details: of the events of the run). '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_locks(statements jsonb, details jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    our_tables constant oid[] := migrollback_schema.migration_system_tables();
BEGIN
    RETURN (
        WITH statement AS MATERIALIZED (
            SELECT s.value ->> 'migration_name' AS migration_name, (s.value ->> 'number')::int AS number, s.place,
                   sum((s.value ->> 'ms')::numeric) OVER (ORDER BY s.place DESC) AS until_the_end
            FROM jsonb_array_elements(statements) WITH ORDINALITY AS s (value, place)),
        held AS MATERIALIZED (          -- apart: joined at once, each statement would read all locks anew
            SELECT d.key AS migration_name, l.value::int AS number, split_part(l.key, ' ', 1)::oid AS oid,
                   split_part(l.key, ' ', 2) AS mode
            FROM jsonb_each(details) d CROSS JOIN LATERAL jsonb_each_text(coalesce(d.value -> 'locks', '{}')) l),
        lock AS (
            SELECT DISTINCT ON (h.oid, h.mode) h.oid, h.mode, s.migration_name, s.number, s.until_the_end
            FROM held h JOIN statement s ON s.migration_name = h.migration_name AND s.number = h.number
            ORDER BY h.oid, h.mode, s.place),
        named AS MATERIALIZED (         -- a name is looked up once: what was undone has emptied the caches
            SELECT l.*, c.oid::regclass::text AS relation, c.relkind
            -- what the SQL made is gone again: no other session met it
            FROM lock l JOIN pg_class c ON c.oid = l.oid
            WHERE c.relnamespace <> 'pg_toast'::regnamespace AND c.oid <> ALL (our_tables)
              AND c.relnamespace IS DISTINCT FROM to_regnamespace('migrollback_archive')
              AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indrelid = ANY (our_tables)))
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'relation', l.relation, 'kind', l.relkind, 'mode', migrollback_schema.lock_mode_words(l.mode),
                   'migration_name', l.migration_name,
                   'statement_number', l.number, 'held_ms', l.until_the_end) ORDER BY l.relation, l.mode), '[]')
        FROM named l);
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_locks(jsonb, jsonb) IS
    'The locks that a rehearsal held on relations that are there, ours left out: mode, the statement that took it, '
    'and how long it was held, from rehearsal_statements() and the details of the events of the run. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.renamed_columns(
    changes jsonb, columns_after jsonb, renamed jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'old', e ->> 'identity',
               'new', format('%I.%I.%I', i.parts[1], i.parts[2], columns_after ->> (a.attrelid || '.' || a.attnum)))),
               '[]')
    FROM jsonb_array_elements(changes) e CROSS JOIN LATERAL (SELECT parse_ident(e ->> 'identity', false) AS parts) i
    JOIN pg_attribute a ON a.attrelid = to_regclass(format('%I.%I', i.parts[1], i.parts[2])) AND a.attname = i.parts[3]
                       AND NOT a.attisdropped
    WHERE e ->> 'change' = 'dropped' AND e ->> 'kind' = 'column' AND columns_after ? (a.attrelid || '.' || a.attnum)
      AND NOT EXISTS (SELECT FROM jsonb_array_elements(renamed) r      -- with its table
                       WHERE r ->> 'old' = format('%I.%I', i.parts[1], i.parts[2]))
$function$;
COMMENT ON FUNCTION migrollback_schema.renamed_columns(jsonb, jsonb, jsonb) IS
    'Columns of which only the name went, by what rehearsal_findings() reports: old and new name. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.emptied_tables(findings jsonb, truncated text[]) RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(
        SELECT e.oid::oid FROM jsonb_array_elements_text(findings -> 'emptied') AS e (oid)
         WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = e.oid::oid AND pg_relation_size(c.oid) = 0
                              AND c.relname <> ALL (truncated)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.emptied_tables(jsonb, text[]) IS
    'Tables that rehearsal_findings() reports as emptied, without those that are empty anyway: these were only '
    'rewritten. truncated: truncated_tables(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_losses(
    findings jsonb, emptied oid[], count_ms int)
RETURNS jsonb
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
                    JOIN pg_attribute a ON a.attrelid = (g ->> 0)::oid AND a.attnum = (g ->> 1)::int
                        AND NOT a.attisdropped
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
                    'relation', lossy.relation, 'column', NULL, 'what', CASE WHEN lossy.dropped THEN 'dropped'
                        ELSE 'emptied' END,
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
        CROSS JOIN LATERAL (VALUES ('deleted', (w ->> 'deleted')::bigint),
                            ('updated', (w ->> 'updated')::bigint)) AS k (what, rows)
        WHERE k.rows > 0 AND NOT (w ->> 'oid')::oid = ANY (rehearsal_losses.emptied)
          AND EXISTS (SELECT FROM pg_class c
                       WHERE c.oid = (w ->> 'oid')::oid
                         AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_losses(jsonb, oid[], int) IS
    'Rows and values that would be lost, by what rehearsal_findings() reports: of dropped and emptied tables and '
    'dropped columns counted for at most count_ms, of what was deleted and updated as the server counted it. '
    'emptied: tables. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.with_migration_owners(changes jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    dropped text[];                     -- what goes with all its parts
    owned   text[];                     -- what migrations are known to have created
BEGIN
    dropped := ARRAY(
        SELECT e ->> 'identity' FROM jsonb_array_elements(changes) e
         WHERE e ->> 'change' = 'dropped' AND e ->> 'kind' IN ('table', 'partitioned table', 'view',
                                                               'materialized view'));
    owned := ARRAY(SELECT DISTINCT o.identity FROM migrollback_schema.migration_objects o WHERE o.action <> 'dropped');
    -- Of the parts of what goes as a whole, only those that a migration is known by name to have created: asking costs
    -- more
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
                                                  FROM parse_ident(e ->> 'identity', false) AS i (parts)) = ANY
                                                      (dropped)
                                        END, false))
                   THEN migrollback_schema.migration_owners(e ->> 'kind', e ->> 'identity') END)
                       ORDER BY e.place), '[]')
        FROM jsonb_array_elements(changes) WITH ORDINALITY AS e (e, place));
END $function$;
COMMENT ON FUNCTION migrollback_schema.with_migration_owners(jsonb) IS
    'These changes (rows of schema_changes()), each with migration_owners() as made_by. Does not write.';

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
