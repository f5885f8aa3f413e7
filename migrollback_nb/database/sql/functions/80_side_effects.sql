-- ---------------------------------------------------------------------------------------------------
-- Side effects: what undoing the transaction of a rollback does not undo. Looked for before it runs.
-- ---------------------------------------------------------------------------------------------------

-- Over 120 lines: one recursive query from what the SQL calls to what those bodies call in turn.
CREATE OR REPLACE FUNCTION migrollback_schema.migration_side_effects(
    names text[], otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS TABLE (migration_name text, statement_number int, what text, inside text, outside boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    -- What stands before a parenthesis may be a function. Bodies are looked at by these words, comments left out: to
    -- ask in vain does less harm than not to ask.
    word    constant text := '([[:alpha:]_][[:alnum:]_$]*|"[^"]+")\s*\(';
    remark  constant text := '--[^\n]*|/\*.*?\*/';
    target  constant text := '\minsert\s+into\s+([[:alpha:]_][[:alnum:]_$]*(?:\.[[:alpha:]_][[:alnum:]_$]*)?)';
    ours    oid[] := (SELECT o.routines FROM migrollback_schema.migration_system_objects() o);
    planned record;
    parsed  boolean;
    plain   text;                       -- the SQL of a migration that was not parsed, without comments
    listed  jsonb;
    written jsonb;
BEGIN
    FOR planned IN SELECT h.migration_name, h.rollback_sql, h.metadata
        FROM unnest(names) WITH ORDINALITY AS n (name, place)
                   JOIN migrollback_schema.migration_history h ON h.migration_name = n.name ORDER BY n.place
    LOOP
        parsed := planned.metadata #> '{rollback,calls}' IS NOT NULL
            AND planned.metadata #>> '{rollback,md5}' = md5(convert_to(planned.rollback_sql, 'UTF8'));
        plain := CASE WHEN NOT parsed THEN regexp_replace(planned.rollback_sql, remark, ' ', 'g') END;
        listed := CASE WHEN parsed THEN planned.metadata #> '{rollback,writes}' ELSE '[]' END;
        -- Tables are found as the SQL will find them: under its own path, on which a stranger's schema may stand even
        -- before pg_catalog: hence all is written out.
        PERFORM set_config('search_path',
                           coalesce(nullif(migrollback_schema.migration_rollback_path(planned.metadata, otherwise_path),
                                           ''), 'pg_catalog') || ', pg_temp', true);
        SELECT jsonb_agg(pg_catalog.jsonb_build_array(w.statement, w.action, w.oid)) INTO written
          FROM (SELECT (e OPERATOR(pg_catalog.->>) 0)::pg_catalog.int4 AS statement,
                       e OPERATOR(pg_catalog.->>) 1 AS action,
                       pg_catalog.to_regclass(pg_catalog.concat_ws('.'::pg_catalog.text,
                           pg_catalog.quote_ident(e OPERATOR(pg_catalog.->>) 2),
                           pg_catalog.quote_ident(e OPERATOR(pg_catalog.->>) 3)))::pg_catalog.oid AS oid
                FROM pg_catalog.jsonb_array_elements(listed) e
                UNION ALL
                SELECT NULL, 'insert', pg_catalog.to_regclass(m.found[1])::pg_catalog.oid
                  FROM pg_catalog.regexp_matches(plain, target, 'gi') AS m (found)) w
         WHERE w.oid IS NOT NULL;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

        RETURN QUERY
        WITH RECURSIVE danger (pattern, what, outside) AS (VALUES
            ('^nextval$', 'uses up a number of a sequence', false), ('^setval$', 'sets a sequence', false),
                ('^dblink', 'talks to another server', true),
            ('^lo_export$|^pg_file_|^query_export_to_s3$', 'writes files', true),
                ('^pg_(try_)?advisory_(un)?lock(_shared|_all)?$', 'takes or frees locks of the session', false),
            ('^pg_(terminate|cancel)_backend$', 'ends what another session does', true),
                ('^pg_stat_(reset|statements_reset)', 'forgets statistics', false),
            ('^pg_(reload_conf|rotate_logfile|switch_wal|create_restore_point|promote|wal_replay_pause|'
                 'wal_replay_resume|backup_start|backup_stop|start_backup|stop_backup)$',
                 'acts on the whole server', true),
            ('^pg_(create|drop|copy)_.*replication_slot$|^pg_replication_slot_advance$|^pg_replication_origin_|'
                 '^pg_logical_emit_message$|^pg_logical_slot_get', 'acts on replication', true),
            ('^https?(_|$)', 'calls out over HTTP', true), ('^pg_background_', 'runs in another transaction', true),
                ('^heap_force_|^pg_truncate_visibility_map$', 'changes files directly', true)),
        root AS (                       -- what the SQL itself calls
            SELECT (e ->> 0)::int AS statement, e ->> 1 AS schema, e ->> 2 AS name
            FROM jsonb_array_elements(CASE WHEN parsed THEN planned.metadata #> '{rollback,calls}' ELSE '[]' END) e
            UNION SELECT NULL, NULL, CASE WHEN m.found[1] LIKE '"%' THEN btrim(m.found[1], '"')
                ELSE lower(m.found[1]) END FROM regexp_matches(plain, word, 'g') AS m (found)),
        relation AS (SELECT (e ->> 0)::int AS statement, e ->> 1 AS action, (e ->> 2)::oid AS oid
                     FROM jsonb_array_elements(written) e),
        filled AS (                     -- what a row of them is filled with
            SELECT r.statement, r.oid, bool_or(a.attidentity <> '') AS numbers,
                   string_agg(pg_get_expr(d.adbin, d.adrelid), ' ') AS defaults
            FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE r.action = 'insert'
              GROUP BY r.statement, r.oid),
        reached (statement, oid) AS (
            SELECT s.statement, s.oid FROM (
                SELECT r.statement, p.oid FROM root r JOIN pg_proc p ON p.proname = r.name
                    AND (r.schema IS NULL OR p.pronamespace = to_regnamespace(quote_ident(r.schema)))
                UNION SELECT r.statement, g.tgfoid FROM relation r
                      JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'
                                       AND g.tgtype & CASE r.action WHEN 'insert' THEN 4 WHEN 'delete' THEN 8
                                           WHEN 'update' THEN 16 ELSE 32 END <> 0
                UNION SELECT f.statement, p.oid FROM filled f
                    CROSS JOIN LATERAL regexp_matches(f.defaults, word, 'g') AS m (found)
                      JOIN pg_proc p ON p.proname = lower(m.found[1])
                UNION SELECT NULL, v.evtfoid FROM pg_event_trigger v WHERE v.evtenabled <> 'D') s
            JOIN pg_proc p ON p.oid = s.oid AND p.pronamespace <> 'pg_catalog'::regnamespace AND p.oid <> ALL (ours)
            UNION
            SELECT c.statement, p.oid FROM reached c JOIN pg_proc f ON f.oid = c.oid
            CROSS JOIN LATERAL regexp_matches(regexp_replace(coalesce(pg_get_function_sqlbody(f.oid), f.prosrc), remark,
                                                             ' ', 'g'), word, 'g') AS m (found)
            JOIN pg_proc p ON p.proname = CASE WHEN m.found[1] LIKE '"%' THEN btrim(m.found[1], '"')
                ELSE lower(m.found[1]) END
                          AND p.pronamespace <> 'pg_catalog'::regnamespace AND p.oid <> ALL (ours)),
        body AS (
            SELECT c.statement, c.oid::regprocedure::text AS inside, l.lanname, l.lanpltrusted,
                   regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), remark, ' ', 'g') AS text
            FROM reached c JOIN pg_proc p ON p.oid = c.oid JOIN pg_language l ON l.oid = p.prolang),
        known (statement, what, inside, outside) AS (
            SELECT (e ->> 0)::int, e ->> 1, NULL, true
              FROM jsonb_array_elements(CASE WHEN parsed THEN planned.metadata #> '{rollback,not_undone}'
                                        ELSE '[]' END) e
            UNION SELECT r.statement, format('%s (%s)', d.what, r.name), NULL, d.outside FROM root r
                JOIN danger d ON r.name ~ d.pattern
            UNION SELECT b.statement, format('%s (%s)', d.what, lower(m.found[1])), b.inside, d.outside FROM body b
                  CROSS JOIN LATERAL regexp_matches(b.text, word, 'g') AS m (found)
                    JOIN danger d ON lower(m.found[1]) ~ d.pattern
            UNION SELECT f.statement, format('uses up a number of a sequence (INSERT into %s)', f.oid::regclass), NULL,
                false FROM filled f WHERE f.numbers OR f.defaults ~ '\mnextval\('
            UNION SELECT f.statement, format('%s (default of %s)', d.what, f.oid::regclass), NULL, d.outside
                FROM filled f
                  CROSS JOIN LATERAL regexp_matches(f.defaults, word, 'g') AS m (found)
                    JOIN danger d ON lower(m.found[1]) ~ d.pattern AND m.found[1] <> 'nextval'
            UNION SELECT b.statement, format('uses up a number of a sequence (INSERT into %s)', c.oid::regclass),
                b.inside, false FROM body b
                  CROSS JOIN LATERAL regexp_matches(b.text, target, 'gi') AS m (found)
                    JOIN pg_class c ON c.relname = lower(regexp_replace(m.found[1], '^.*\.', ''))
                  WHERE c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_attribute a
                                                            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid
                                                                AND d.adnum = a.attnum
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                          AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) ~ '\mnextval\('))
            UNION SELECT t.statement, CASE
                WHEN t.text ~* '\mcopy\M[^;]*\m(to|from)\s+program\M'
                    THEN 'runs a program on the server (COPY ... PROGRAM)'
                        ELSE 'writes a file on the server (COPY)' END, t.inside, true
                  FROM (SELECT b.statement, b.text, b.inside FROM body b UNION ALL SELECT NULL, plain, NULL) t
                  WHERE t.text ~* '\mcopy\M[^;]*\m(to|from)\s+program\M|\mcopy\M[^;]*\mto\s+(e?''|%l|\$)'
            UNION SELECT b.statement, format('runs code in %s, which can do anything outside the database', b.lanname),
                b.inside, true FROM body b WHERE NOT b.lanpltrusted AND b.lanname NOT IN ('c', 'internal')
            UNION SELECT r.statement, format('writes to another server (foreign table %s)', r.oid::regclass), NULL, true
                  FROM relation r JOIN pg_foreign_table t ON t.ftrelid = r.oid
                    JOIN pg_foreign_server s ON s.oid = t.ftserver JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
                  WHERE w.fdwname <> 'postgres_fdw')    -- that one undoes with us
        SELECT planned.migration_name, t.statement, t.what, t.inside, t.outside FROM known t
          ORDER BY t.statement, t.what, t.inside;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_side_effects(text[], text) IS
    'What the rollback SQL of these migrations does, as far as can be seen before it runs, that undoing its '
    'transaction does not undo: what (in words); inside: the function that does it, when it is not the statement '
    'itself; outside: it reaches beyond this database and session. Looks at what was parsed at registration, and at '
    'the words in the bodies of the functions and triggers that are reached. SQL that is built while it runs cannot '
    'be seen. Does not write.';
