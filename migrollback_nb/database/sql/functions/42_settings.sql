-- ---------------------------------------------------------------------------------------------------
-- Settings that migration SQL may change, so that they can be put back.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.changeable_settings(
    besides text[] DEFAULT '{}', statements text[] DEFAULT '{}')
RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- planned anew in each call otherwise
    SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    -- Settings that are not declared (app.tenant) are in no list: they are looked for where SQL or the body of a
    -- function sets them.
    named constant text := E'\\m(?:set\\s+(?:session\\s+|local\\s+)?|set_config\\s*\\(\\s*'')"?'
                            '([[:alpha:]_][[:alnum:]_$]*\\.[[:alpha:]_][[:alnum:]_$.]*)';
    names text := current_setting('migrollback.changeable_settings', true);
BEGIN
    IF coalesce(names, '') = '' THEN
        -- Kept for the transaction: pg_settings takes a millisecond each time, which a chain of hundreds would feel.
        -- Those of the transaction itself end with the subtransaction that the SQL runs in; PostgreSQL lets no one set
        -- them back in one.
        SELECT string_agg(s.name, ',' ORDER BY s.name) INTO names
          FROM (SELECT g.name FROM pg_settings g WHERE g.context IN ('user', 'superuser')
                   AND g.name <> ALL ('{search_path, transaction_isolation, transaction_read_only, '
                                      'transaction_deferrable}')
                UNION SELECT unnest('{
                    migrollback.changeable_settings, migrollback.dependencies, migrollback.deploy_ledger,
                    migrollback.exclude_schemas, migrollback.progress, migrollback.recording, migrollback.rehearsal,
                    migrollback.rethrow}'::text[])
                UNION SELECT lower(m.found[1]) FROM pg_proc p
                    CROSS JOIN LATERAL regexp_matches(p.prosrc, named, 'gi') AS m (found)
                       -- looked for by the cheapest means first: of thousands of functions hardly one sets any, and
                       -- ours set none but those above
                       WHERE p.oid >= 16384 AND strpos(lower(p.prosrc COLLATE "C"), 'set') > 0
                         AND NOT (p.pronamespace = 'migrollback_schema'::regnamespace
                                  AND coalesce(p.proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}')) s;
        PERFORM set_config('migrollback.changeable_settings', names, true);
    END IF;
    RETURN ARRAY(SELECT unnest(string_to_array(names, ','))
                 UNION SELECT b.name FROM unnest(besides) AS b (name) WHERE b.name LIKE '%.%'
                 UNION SELECT lower(m.found[1]) FROM unnest(statements) AS s (statement)
                     CROSS JOIN LATERAL regexp_matches(s.statement, named, 'gi') AS m (found));
END $function$;
COMMENT ON FUNCTION migrollback_schema.changeable_settings(text[], text[]) IS
    'Names of the settings that SQL can change, search_path apart: those that are declared, our own, those that '
    'functions set, and those that `besides` names or `statements` set. Writes nothing but a setting of the '
    'transaction.';

CREATE OR REPLACE FUNCTION migrollback_schema.statement_runs_nothing(statement text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    quote text;
    parts text[];
BEGIN
    IF statement ~* '^\s*(drop|comment|create\s+(or\s+replace\s+)?((constraint\s+)?trigger|view))\M[^;]*$' THEN
        RETURN true;
    ELSIF statement !~* '^\s*create\s+(or\s+replace\s+)?(function|procedure)\M' THEN
        RETURN false;
    END IF;
    -- its body between two dollar quotes, and nothing behind it but its options
    quote := substring(statement FROM '\$[[:alnum:]_]*\$');
    parts := string_to_array(statement, quote);
    RETURN quote IS NOT NULL AND cardinality(parts) = 3 AND parts[1] !~ '[;'']' AND parts[3] !~ ';';
END $function$;
COMMENT ON FUNCTION migrollback_schema.statement_runs_nothing(text) IS
    'Whether this text is one statement that only keeps or drops what is run later: a function, a trigger, a view. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.statements_may_set(statements text[]) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    words constant text := '\m(set|reset|discard|do|call|select|execute|with|insert|update|delete|merge|copy|load|'
                           'trigger|listen|temp|temporary)\M';
    -- what these words also mean, in DDL
    ddl   constant text := '\m(on\s+(delete|update)|start\s+with|with\s+time\s+zone|set\s+(not\s+null|default|null|'
                           'schema|data\s+type|statistics|storage))\M';
    one   text;
BEGIN
    FOREACH one IN ARRAY statements LOOP
        IF one ~* words AND NOT migrollback_schema.statement_runs_nothing(one)
           AND (one !~* '^\s*(create|alter)\M[^;]*$' OR regexp_replace(one, ddl, '', 'gi') ~* words) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $function$;
COMMENT ON FUNCTION migrollback_schema.statements_may_set(text[]) IS
    'Whether these statements may change a setting, or leave something in the session: by their words. Functions that '
    'DDL calls, and event triggers, are not looked at. Does not write.';
