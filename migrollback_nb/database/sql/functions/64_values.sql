-- ---------------------------------------------------------------------------------------------------
-- Values that a rollback changes: kept before it, looked at after it, compared; never shown.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.tables_to_compare(names text[], otherwise_path text) RETURNS oid[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    part    constant text := '(?:"[^"]+"|[[:alpha:]_][[:alnum:]_$]*)';
    name_of constant text := format('(%s(?:\s*\.\s*%s)?)', part, part);
    ours    constant oid[] := migrollback_schema.migration_system_tables();
    planned record;
    named   text[];
    one     text;
    oids    oid[] := '{}';
BEGIN
    FOR planned IN SELECT h.rollback_sql, h.metadata FROM unnest(names) AS n (name)
                   JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
    LOOP
        -- By its words, also inside DO and function bodies: to keep some in vain does no harm.
        CONTINUE WHEN planned.rollback_sql !~* '\m(type|update|merge|delete|truncate|set\s+not\s+null)\M';
        named := ARRAY(SELECT m.found[1] FROM regexp_matches(planned.rollback_sql,
            '\m(?:alter\s+table|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+(?:if\s+exists\s+)?'
            '(?:only\s+)?' || name_of, 'gi') AS m (found));
        -- As the SQL will find them: under its own path, on which no operator is that could be another's.
        PERFORM set_config('search_path', coalesce(nullif(migrollback_schema.migration_rollback_path(planned.metadata,
                               otherwise_path), ''), 'pg_catalog') || ', pg_temp', true);
        FOREACH one IN ARRAY named LOOP
            oids := pg_catalog.array_append(oids, pg_catalog.to_regclass(one)::oid);
        END LOOP;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    END LOOP;
    RETURN ARRAY(
        WITH RECURSIVE whole (oid) AS (SELECT unnest(oids) UNION
                                       SELECT i.inhrelid FROM whole w JOIN pg_inherits i ON i.inhparent = w.oid)
        SELECT c.oid FROM whole w JOIN pg_class c ON c.oid = w.oid
         WHERE c.relkind = 'r' AND c.oid >= 16384 AND c.oid <> ALL (ours) AND c.relpersistence <> 't'
         ORDER BY c.oid LIMIT 50);
END $function$;
COMMENT ON FUNCTION migrollback_schema.tables_to_compare(text[], text) IS
    'Tables, with their partitions, whose rows the rollback SQL of these migrations may change in place: whose types '
    'it changes, that it updates, deletes from or empties, by the words of the SQL. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.read_values(relation oid, columns text[], key text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    rows jsonb;
BEGIN
    -- format() asks a type for its text, and calls no cast that someone may have made
    EXECUTE (
        SELECT format('SELECT jsonb_agg(jsonb_build_array(%s, jsonb_build_array(%s))) FROM ONLY %s',
                      coalesce((SELECT format('jsonb_build_array(%s)::text',
                                              string_agg(format('format(''%%s'', %I)', k.name), ', ' ORDER BY k.place))
                                FROM unnest(key) WITH ORDINALITY AS k (name, place) HAVING count(*) > 0), 'NULL::text'),
                      string_agg(CASE WHEN c.name IS NULL THEN 'NULL::text'
                                      ELSE format('CASE WHEN num_nulls(%1$I) = 0 THEN format(''%%s'', %1$I) END',
                                                  c.name) END, ', ' ORDER BY c.place), relation::regclass)
        FROM unnest(columns) WITH ORDINALITY AS c (name, place)) INTO rows;
    RETURN coalesce(rows, '[]');
END $function$;
COMMENT ON FUNCTION migrollback_schema.read_values(oid, text[], text[]) IS
    'All rows of one table as [key, [value, ...]], each as text. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.kind_of_type(type_id oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE
        WHEN t.base IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype, 'float4'::regtype,
                        'float8'::regtype) THEN 'number'
        WHEN t.base = 'date'::regtype THEN 'date' WHEN t.base = 'timestamp'::regtype THEN 'timestamp'
        WHEN t.base = 'timestamptz'::regtype THEN 'timestamptz' WHEN t.base = 'bool'::regtype THEN 'boolean'
        WHEN t.base IN ('json'::regtype, 'jsonb'::regtype) THEN 'json' ELSE 'text' END
    FROM (SELECT coalesce(nullif(y.typbasetype, 0), y.oid) AS base FROM pg_type y WHERE y.oid = type_id) t
$function$;
COMMENT ON FUNCTION migrollback_schema.kind_of_type(oid) IS
    'As what values of this type are compared: number, date, timestamp, timestamptz, boolean, json or text. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.keep_values(names text[], otherwise_path text, until timestamptz)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    most constant bigint := 8 * 1024 * 1024;    -- 50,000 narrow rows: read twice, once of that under locks
    relation oid;
    layout   record;
    rows     jsonb;
    kept     jsonb := '{}';
BEGIN
    FOREACH relation IN ARRAY migrollback_schema.tables_to_compare(names, otherwise_path) LOOP
        CONTINUE WHEN row_security_active(relation) OR NOT has_table_privilege(relation, 'SELECT')
            OR pg_table_size(relation) > most OR clock_timestamp() > until;
        SELECT array_agg(a.attname::text ORDER BY a.attnum) AS names, array_agg(a.attnum ORDER BY a.attnum) AS numbers,
               array_agg(migrollback_schema.kind_of_type(a.atttypid) ORDER BY a.attnum) AS types,
               (SELECT array_agg(k.attname::text ORDER BY u.place) FROM pg_index i
                CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
                JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = u.attnum
                WHERE i.indrelid = relation AND i.indisprimary AND u.place <= i.indnkeyatts) AS key
          INTO layout
          FROM pg_attribute a
         WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND to_jsonb(a) ->> 'attgenerated' <> 'v';
        CONTINUE WHEN layout.names IS NULL OR cardinality(layout.names) > 90;
        BEGIN
            rows := migrollback_schema.read_values(relation, layout.names, layout.key);
        EXCEPTION WHEN OTHERS THEN      -- another's lock, no right to a column: then it is not compared
            CONTINUE;
        END;
        kept := kept || jsonb_build_object(relation::text, jsonb_build_object(
            'relation', relation::regclass::text, 'names', layout.names, 'numbers', layout.numbers,
            'types', layout.types, 'key', layout.key, 'rows', rows));
    END LOOP;
    RETURN kept;
END $function$;
COMMENT ON FUNCTION migrollback_schema.keep_values(text[], text, timestamptz) IS
    'The rows of tables_to_compare(), for keep_values_again() and compare_values(): oid -> relation, names, numbers '
    'and types of its columns, key (primary key), rows. Leaves out tables of more than 8 MB, and begins none after '
    'this moment. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.keep_values_again(kept jsonb, until timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    one    record;
    layout record;
    rows   jsonb;
    again  jsonb := '{}';
BEGIN
    FOR one IN SELECT k.key::oid AS oid, k.value AS was FROM jsonb_each(kept) k
                JOIN pg_class c ON c.oid = k.key::oid
    LOOP
        -- by number: a column that was renamed is the same; by name: one that was made anew under it stands for it
        SELECT array_agg(coalesce(a.attname, b.attname)::text ORDER BY n.place) AS names,
               array_agg(migrollback_schema.kind_of_type(coalesce(a.atttypid, b.atttypid)) ORDER BY n.place) AS types,
               array_agg(coalesce(a.attname, b.attname)::text ORDER BY k.place)
                   FILTER (WHERE k.place IS NOT NULL) AS key
          INTO layout
          FROM jsonb_array_elements_text(one.was -> 'numbers') WITH ORDINALITY AS n (number, place)
          LEFT JOIN pg_attribute a ON a.attrelid = one.oid AND a.attnum = n.number::int AND NOT a.attisdropped
          LEFT JOIN pg_attribute b ON b.attrelid = one.oid AND NOT b.attisdropped AND b.attnum > 0
              AND a.attnum IS NULL AND b.attname = one.was #>> ARRAY['names', (n.place - 1)::text]
          LEFT JOIN jsonb_array_elements_text(CASE WHEN jsonb_typeof(one.was -> 'key') = 'array'
                                                   THEN one.was -> 'key' ELSE '[]' END)
              WITH ORDINALITY AS k (name, place) ON k.name = one.was #>> ARRAY['names', (n.place - 1)::text];
        CONTINUE WHEN array_position(layout.key, NULL) IS NOT NULL OR clock_timestamp() > until;
        BEGIN
            rows := migrollback_schema.read_values(one.oid, layout.names, layout.key);
        EXCEPTION WHEN OTHERS THEN
            CONTINUE;
        END;
        again := again || jsonb_build_object(one.oid::text, jsonb_build_object(
            'names', layout.names, 'types', layout.types, 'rows', rows));
    END LOOP;
    RETURN again;
END $function$;
COMMENT ON FUNCTION migrollback_schema.keep_values_again(jsonb, timestamptz) IS
    'The same tables and columns as keep_values() kept, as they are now; NULL for the name of a column that is gone. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.comparable_value(value text, of_type text, other_type text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF of_type = other_type AND of_type <> 'number' AND of_type <> 'json' OR value IS NULL THEN
        RETURN value;
    END IF;
    RETURN CASE
        WHEN of_type = 'number' AND other_type IN ('number', 'text') THEN trim_scale(value::numeric)::text
        WHEN of_type = 'text' AND other_type = 'number' THEN trim_scale(value::numeric)::text
        WHEN of_type = 'boolean' AND other_type = 'number' THEN CASE value WHEN 't' THEN '1' ELSE '0' END
        WHEN of_type = 'boolean' AND other_type = 'text' THEN value::boolean::text
        WHEN of_type = 'text' AND other_type = 'boolean' THEN value::boolean::text
        WHEN 'timestamptz' IN (of_type, other_type) AND ARRAY[of_type, other_type] <@ '{date, timestamp, timestamptz}'
            THEN value::timestamptz::text
        WHEN ARRAY[of_type, other_type] <@ '{date, timestamp}' THEN value::timestamp::text
        WHEN 'json' IN (of_type, other_type) THEN value::jsonb::text
        ELSE value END;
EXCEPTION WHEN OTHERS THEN              -- text that is no such value, or shortened
    RETURN value;
END $function$;
COMMENT ON FUNCTION migrollback_schema.comparable_value(text, text, text) IS
    'A value as text in a form in which the same value of another type is the same: 10.00 and 10, a date and its '
    'midnight. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.kind_of_change(was text, is_now text, of_type text, to_type text)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN CASE
        WHEN was IS NULL THEN 'filled, NULL before'
        WHEN is_now IS NULL THEN 'NULL now'
        WHEN of_type = 'number' AND to_type = 'number' AND abs(was::numeric - is_now::numeric) < 1 THEN 'rounded'
        WHEN of_type = 'number' AND to_type = 'number' THEN 'another number'
        WHEN of_type IN ('timestamp', 'timestamptz') AND to_type = 'date' THEN 'time of day lost'
        WHEN of_type IN ('timestamp', 'timestamptz', 'date') AND to_type IN ('timestamp', 'timestamptz', 'date')
            THEN 'another time'
        WHEN starts_with(was, is_now) THEN 'cut off'
        WHEN lower(was) = lower(is_now) THEN 'letter case changed'
        ELSE 'another value' END;
EXCEPTION WHEN OTHERS THEN
    RETURN 'another value';
END $function$;
COMMENT ON FUNCTION migrollback_schema.kind_of_change(text, text, text, text) IS
    'In which way a value changed, in words that do not tell the value. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_same_value(was text, is_now text, of_type text, to_type text)
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN migrollback_schema.comparable_value(was, of_type, to_type)
           IS NOT DISTINCT FROM migrollback_schema.comparable_value(is_now, to_type, of_type);
END $function$;
COMMENT ON FUNCTION migrollback_schema.is_same_value(text, text, text, text) IS
    'Whether two values of different types say the same. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.changed_columns(was jsonb, is_now jsonb)
RETURNS TABLE (place int, changed bigint, kinds text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    IF jsonb_typeof(was -> 'key') = 'array' THEN
        RETURN QUERY
        WITH o AS MATERIALIZED (SELECT e ->> 0 AS key, e -> 1 AS v FROM jsonb_array_elements(was -> 'rows') e),
        n AS MATERIALIZED (SELECT e ->> 0 AS key, e -> 1 AS v FROM jsonb_array_elements(is_now -> 'rows') e),
        pair AS MATERIALIZED (SELECT o.v AS was, n.v AS is_now FROM o JOIN n ON n.key = o.key WHERE o.v <> n.v),
        col AS (SELECT (c.place - 1)::int AS place, c.type AS of_type,
                       is_now #>> ARRAY['types', (c.place - 1)::text] AS to_type
                FROM jsonb_array_elements_text(was -> 'types') WITH ORDINALITY AS c (type, place)
                WHERE is_now #>> ARRAY['names', (c.place - 1)::text] IS NOT NULL),
        differing AS MATERIALIZED (
            SELECT c.place, c.of_type, c.to_type, p.was ->> c.place AS was, p.is_now ->> c.place AS is_now,
                   row_number() OVER (PARTITION BY c.place) AS number
            FROM pair p CROSS JOIN col c
            WHERE p.was -> c.place <> p.is_now -> c.place
              AND NOT CASE WHEN c.of_type = 'number' AND c.to_type = 'number'
                           THEN coalesce((p.was ->> c.place)::numeric = (p.is_now ->> c.place)::numeric, false)
                           WHEN c.of_type = c.to_type AND c.of_type <> 'json' THEN false
                           ELSE migrollback_schema.is_same_value(p.was ->> c.place, p.is_now ->> c.place, c.of_type,
                                                                 c.to_type) END)
        SELECT d.place, max(d.number), (
            -- of the first hundreds: enough to know in which ways
            SELECT string_agg(k.kind, ', ' ORDER BY k.count DESC, k.kind)
            FROM (SELECT migrollback_schema.kind_of_change(x.was, x.is_now, x.of_type, x.to_type) AS kind,
                         count(*) AS count FROM differing x WHERE x.place = d.place AND x.number <= 500 GROUP BY 1) k)
        FROM differing d GROUP BY d.place ORDER BY d.place;
        RETURN;
    END IF;
    -- Without a key: how many times each value is there.
    RETURN QUERY
    WITH col AS (SELECT (c.place - 1)::int AS place, c.type AS of_type,
                        is_now #>> ARRAY['types', (c.place - 1)::text] AS to_type
                 FROM jsonb_array_elements_text(was -> 'types') WITH ORDINALITY AS c (type, place)
                 WHERE is_now #>> ARRAY['names', (c.place - 1)::text] IS NOT NULL),
    seen AS (
        SELECT c.place, CASE WHEN c.of_type = c.to_type AND c.of_type NOT IN ('number', 'json') THEN e -> 1 ->> c.place
                             ELSE migrollback_schema.comparable_value(e -> 1 ->> c.place, c.of_type, c.to_type)
                        END AS value, 1 AS times FROM jsonb_array_elements(was -> 'rows') e CROSS JOIN col c
        UNION ALL
        SELECT c.place, CASE WHEN c.of_type = c.to_type AND c.of_type NOT IN ('number', 'json') THEN e -> 1 ->> c.place
                             ELSE migrollback_schema.comparable_value(e -> 1 ->> c.place, c.to_type, c.of_type)
                        END, -1 FROM jsonb_array_elements(is_now -> 'rows') e CROSS JOIN col c),
    counted AS (SELECT s.place, s.value, sum(s.times) AS missing FROM seen s GROUP BY 1, 2)
    SELECT c.place, (sum(c.missing) - greatest(0, jsonb_array_length(was -> 'rows')
                                                  - jsonb_array_length(is_now -> 'rows')))::bigint, 'other values'
    FROM counted c WHERE c.missing > 0 GROUP BY c.place ORDER BY c.place;
END $function$;
COMMENT ON FUNCTION migrollback_schema.changed_columns(jsonb, jsonb) IS
    'Of one table of keep_values() and keep_values_again(): columns (their place, from 0) of which values differ, how '
    'many, and in which ways. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.missing_rows(was jsonb, is_now jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    IF jsonb_typeof(was -> 'key') = 'array' THEN
        RETURN (
            SELECT count(*) FROM (SELECT e ->> 0 FROM jsonb_array_elements(was -> 'rows') e
                                  EXCEPT SELECT e ->> 0 FROM jsonb_array_elements(is_now -> 'rows') e) m);
    END IF;
    -- without a key only their number tells
    RETURN greatest(0, jsonb_array_length(was -> 'rows') - jsonb_array_length(is_now -> 'rows'));
END $function$;
COMMENT ON FUNCTION migrollback_schema.missing_rows(jsonb, jsonb) IS
    'How many rows of one table of keep_values() are no longer there, by their key. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.compare_values(kept jsonb, again jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    one      record;
    missing  bigint;
    compared jsonb := '[]';
    same     jsonb := '[]';             -- columns that were compared, also those that were dropped and made again
    effects  jsonb := '[]';
BEGIN
    FOR one IN SELECT k.value ->> 'relation' AS relation, k.value AS was, a.value AS is_now
                 FROM jsonb_each(kept) k JOIN jsonb_each(again) a ON a.key = k.key ORDER BY 1
    LOOP
        compared := compared || to_jsonb(one.relation);
        same := same || (
            SELECT coalesce(jsonb_agg(one.relation || '.' || quote_ident(n.name)), '[]')
            FROM jsonb_array_elements_text(one.was -> 'names') WITH ORDINALITY AS n (name, place)
            WHERE one.is_now #>> ARRAY['names', (n.place - 1)::text] IS NOT NULL);
        CONTINUE WHEN one.was -> 'rows' = one.is_now -> 'rows' AND one.was -> 'types' = one.is_now -> 'types';
        missing := migrollback_schema.missing_rows(one.was, one.is_now);
        IF missing > 0 THEN
            effects := effects || (migrollback_schema.migration_effect('loses_rows', one.relation, missing,
                CASE WHEN missing = jsonb_array_length(one.was -> 'rows') THEN 'all rows deleted'
                     ELSE 'rows deleted' END, 'rehearsal', NULL::text, false)
                || '{"how": "deleted"}'::jsonb);
        END IF;
        effects := effects || (
            SELECT coalesce(jsonb_agg(migrollback_schema.migration_effect('loses_values',
                       one.relation || '.' || quote_ident(one.was #>> ARRAY['names', c.place::text]), c.changed,
                       c.kinds, 'rehearsal', NULL::text, false) ORDER BY c.place), '[]')
            FROM migrollback_schema.changed_columns(one.was, one.is_now) c WHERE c.changed > 0);
    END LOOP;
    RETURN jsonb_build_object('compared', compared, 'kept', same, 'effects', effects);
END $function$;
COMMENT ON FUNCTION migrollback_schema.compare_values(jsonb, jsonb) IS
    'What differs between keep_values() and keep_values_again(): effects (loses_rows, loses_values: how many, and in '
    'which ways, never a value), compared (tables), kept (columns that were compared). Does not write.';
