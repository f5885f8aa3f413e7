-- ---------------------------------------------------------------------------------------------------
-- Values that a rollback changes: kept before it, looked at after it, compared; never shown.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.tables_to_compare(names text[], otherwise_path text) RETURNS oid[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    part    constant text := '(?:"[^"]+"|[[:alpha:]_][[:alnum:]_$]*)';
    name_of constant text := format('(%s(?:\s*\.\s*%s)?)', part, part);
    ours    constant oid[] := (SELECT o.tables FROM migrollback_schema.migration_system_objects() o);
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

CREATE OR REPLACE FUNCTION migrollback_schema.read_values(
    relation oid, columns text[], key text[], row_limit int, until timestamptz, OUT rows jsonb, OUT complete boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    step  constant int := 100;          -- pages looked at between two looks at the clock
    pages constant bigint := pg_relation_size(relation) / current_setting('block_size')::int;
    page  bigint := 0;
    more  jsonb;
    known bigint := 0;
    parts jsonb[] := '{}';
    -- format() asks a type for its text, and calls no cast that someone may have made
    one_value constant text := 'CASE WHEN num_nulls(%1$s) = 0 THEN CASE WHEN length(format(''%%s'', %1$s)) > 200'
        ' THEN left(format(''%%s'', %1$s), 200) || md5(format(''%%s'', %1$s)) ELSE format(''%%s'', %1$s) END END';
    list  constant text := (SELECT string_agg(CASE WHEN c.name IS NULL THEN 'NULL::text'
                                                   ELSE format(one_value, quote_ident(c.name)) END, ', '
                                              ORDER BY c.place)
                            FROM unnest(columns) WITH ORDINALITY AS c (name, place));
    keys  constant text := (SELECT string_agg(format('format(''%%s'', %I)', k.name), ', ' ORDER BY k.place)
                            FROM unnest(key) WITH ORDINALITY AS k (name, place));
BEGIN
    complete := false;
    WHILE page < pages LOOP
        EXIT WHEN clock_timestamp() > until OR known > row_limit;
        EXECUTE format('SELECT jsonb_agg(jsonb_build_array(%s, %s)) FROM ONLY %s WHERE ctid >= %L AND ctid < %L',
                       CASE WHEN keys IS NULL THEN 'NULL::text' ELSE format('jsonb_build_array(%s)::text', keys) END,
                       format('jsonb_build_array(%s)', list), relation::regclass, format('(%s,0)', page),
                       format('(%s,0)', page + step)) INTO more;
        IF more IS NOT NULL THEN
            parts := parts || more;
            known := known + jsonb_array_length(more);
        END IF;
        page := page + step;
    END LOOP;
    complete := page >= pages;
    rows := (SELECT coalesce(jsonb_agg(r.value), '[]') FROM unnest(parts) AS p (part)
             CROSS JOIN LATERAL jsonb_array_elements(p.part) r);
END $function$;
COMMENT ON FUNCTION migrollback_schema.read_values(oid, text[], text[], int, timestamptz) IS
    'Rows of one table as [key, [value, ...]], all as text, the long ones shortened with a hash; complete: whether '
    'these are all rows, read within row_limit and until this moment. Does not write.';

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
    relation oid;
    layout   record;
    read     record;
    kept     jsonb := '{}';
BEGIN
    FOREACH relation IN ARRAY migrollback_schema.tables_to_compare(names, otherwise_path) LOOP
        CONTINUE WHEN row_security_active(relation) OR NOT has_table_privilege(relation, 'SELECT');
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
            read := migrollback_schema.read_values(relation, layout.names, layout.key, 20000, until);
        EXCEPTION WHEN OTHERS THEN      -- another's lock, no right to a column: then it is not compared
            CONTINUE;
        END;
        CONTINUE WHEN NOT read.complete;
        kept := kept || jsonb_build_object(relation::text, jsonb_build_object(
            'relation', relation::regclass::text, 'names', layout.names, 'numbers', layout.numbers,
            'types', layout.types, 'key', layout.key, 'rows', read.rows));
    END LOOP;
    RETURN kept;
END $function$;
COMMENT ON FUNCTION migrollback_schema.keep_values(text[], text, timestamptz) IS
    'The rows of tables_to_compare(), for keep_values_again() and compare_values(): oid -> relation, names, numbers '
    'and types of its columns, key (primary key), rows. Leaves out tables that are too large to be read until this '
    'moment. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.keep_values_again(kept jsonb, until timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    one    record;
    layout record;
    read   record;
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
        CONTINUE WHEN NULL = ANY (layout.key) OR array_position(layout.key, NULL) IS NOT NULL;
        BEGIN
            read := migrollback_schema.read_values(one.oid, layout.names, layout.key, 40000, until);
        EXCEPTION WHEN OTHERS THEN
            CONTINUE;
        END;
        IF read.complete THEN
            again := again || jsonb_build_object(one.oid::text, jsonb_build_object(
                'names', layout.names, 'types', layout.types, 'rows', read.rows));
        END IF;
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

CREATE OR REPLACE FUNCTION migrollback_schema.compare_values(kept jsonb, again jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    one      record;
    place    int;
    of_type  text;
    to_type  text;
    identity text;
    missing  bigint;
    counted  record;
    compared jsonb := '[]';
    same     jsonb := '[]';             -- columns that were dropped, and stand there again with the same values
    effects  jsonb := '[]';
BEGIN
    FOR one IN SELECT k.value ->> 'relation' AS relation, k.value AS was, a.value AS is_now,
                      jsonb_typeof(k.value -> 'key') = 'array' AS has_key
                 FROM jsonb_each(kept) k JOIN jsonb_each(again) a ON a.key = k.key ORDER BY 1
    LOOP
        missing := migrollback_schema.missing_rows(one.was, one.is_now, one.has_key);
        compared := compared || to_jsonb(one.relation);
        IF missing > 0 THEN
            effects := effects || migrollback_schema.migration_effect('loses_rows', one.relation, missing,
                CASE WHEN missing = jsonb_array_length(one.was -> 'rows') THEN 'all rows deleted'
                     ELSE 'rows deleted' END, 'rehearsal');
        END IF;
        FOR place IN 0..jsonb_array_length(one.was -> 'names') - 1 LOOP
            CONTINUE WHEN one.is_now #>> ARRAY['names', place::text] IS NULL;
            of_type := one.was #>> ARRAY['types', place::text];
            to_type := one.is_now #>> ARRAY['types', place::text];
            identity := one.relation || '.' || quote_ident(one.was #>> ARRAY['names', place::text]);
            counted := migrollback_schema.changed_values(one.was -> 'rows', one.is_now -> 'rows', one.has_key, place,
                                                         of_type, to_type);
            IF counted.changed > 0 THEN
                effects := effects || migrollback_schema.migration_effect('loses_values', identity, counted.changed,
                    counted.kinds, 'rehearsal');
            END IF;
            same := same || to_jsonb(identity);
        END LOOP;
    END LOOP;
    RETURN jsonb_build_object('compared', compared, 'kept', same, 'effects', effects);
END $function$;
COMMENT ON FUNCTION migrollback_schema.compare_values(jsonb, jsonb) IS
    'What differs between keep_values() and keep_values_again(): effects (loses_rows, loses_values: how many, and in '
    'which way, never a value), compared (tables), kept (columns that were compared). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.missing_rows(was jsonb, is_now jsonb, has_key boolean) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    RETURN CASE WHEN has_key THEN (
        SELECT count(*) FROM jsonb_array_elements(was -> 'rows') o
         WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(is_now -> 'rows') n WHERE n ->> 0 = o ->> 0))
        -- without a key only their number tells
        ELSE greatest(0, jsonb_array_length(was -> 'rows') - jsonb_array_length(is_now -> 'rows')) END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.missing_rows(jsonb, jsonb, boolean) IS
    'How many rows that keep_values() kept are no longer there, by their key. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.changed_values(
    old_rows jsonb, new_rows jsonb, has_key boolean, place int, of_type text, to_type text, OUT changed bigint,
    OUT kinds text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    IF has_key THEN
        WITH pair AS MATERIALIZED (
            SELECT o -> 1 ->> place AS was, n -> 1 ->> place AS is_now FROM jsonb_array_elements(old_rows) o
            JOIN jsonb_array_elements(new_rows) n ON n ->> 0 = o ->> 0),
        differing AS MATERIALIZED (
            SELECT p.* FROM pair p WHERE p.was IS DISTINCT FROM p.is_now),
        kind AS (
            SELECT migrollback_schema.kind_of_change(d.was, d.is_now, of_type, to_type) AS kind, count(*) AS count
            FROM differing d
            WHERE migrollback_schema.comparable_value(d.was, of_type, to_type)
                  IS DISTINCT FROM migrollback_schema.comparable_value(d.is_now, to_type, of_type) GROUP BY 1)
        SELECT coalesce(sum(k.count), 0), string_agg(k.kind, ', ' ORDER BY k.count DESC, k.kind)
          INTO changed, kinds FROM kind k;
        RETURN;
    END IF;
    -- Without a key: how many times each value is there. With a letter before it no value is NULL, so that the join
    -- goes by =, and thousands of values are not each compared with all others.
    WITH old AS MATERIALIZED (
        SELECT coalesce('v' || migrollback_schema.comparable_value(o -> 1 ->> place, of_type, to_type), '') AS value,
               count(*) AS count FROM jsonb_array_elements(old_rows) o GROUP BY 1),
    new AS MATERIALIZED (
        SELECT coalesce('v' || migrollback_schema.comparable_value(n -> 1 ->> place, to_type, of_type), '') AS value,
               count(*) AS count FROM jsonb_array_elements(new_rows) n GROUP BY 1)
    SELECT greatest(0, coalesce(sum(greatest(0, old.count - coalesce(new.count, 0))), 0)
                       - greatest(0, jsonb_array_length(old_rows) - jsonb_array_length(new_rows))), 'other values'
      INTO changed, kinds FROM old LEFT JOIN new ON new.value = old.value;
END $function$;
COMMENT ON FUNCTION migrollback_schema.changed_values(jsonb, jsonb, boolean, int, text, text) IS
    'How many values of one column differ between the rows of keep_values() and keep_values_again(), and in which '
    'ways. place: of the column, from 0. Does not write.';
