-- ---------------------------------------------------------------------------------------------------
-- A look at some of the rows and values that a rollback would lose: asked for, never recorded. Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.read_lost_rows(relation oid, columns text[], lost text[], row_limit int)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '50ms' SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    found jsonb;
BEGIN
    IF row_security_active(relation) THEN
        RETURN jsonb_build_object('remark', 'row security may hide rows from you: none are shown');
    END IF;
    BEGIN                               -- reading locks too, so it is undone
        -- format() asks a type for its text, and calls no cast that someone may have made
        EXECUTE (
            SELECT format('SELECT jsonb_agg(jsonb_build_array(%s)) FROM (SELECT * FROM (SELECT * FROM %s%s LIMIT '
                          '100000) r%s LIMIT %s) r',
                          string_agg(format('CASE WHEN num_nulls(r.%1$I) = 0 THEN left(format(''%%s'', r.%1$I), 500) '
                                            'END', c.name), ', ' ORDER BY c.place),
                          CASE WHEN (SELECT k.relkind FROM pg_class k WHERE k.oid = relation) = 'r' THEN 'ONLY ' END,
                          relation::regclass,
                          (SELECT format(' WHERE num_nonnulls(%s) > 0', string_agg(format('r.%I', l.name), ', '))
                             FROM unnest(lost) AS l (name) HAVING count(*) > 0), row_limit)
              FROM unnest(columns) WITH ORDINALITY AS c (name, place)) INTO found;
        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
    EXCEPTION
        WHEN SQLSTATE 'MR099' THEN
            RETURN jsonb_build_object('rows', coalesce(found, '[]'));
        WHEN lock_not_available THEN
            RETURN jsonb_build_object('remark', 'another session has locked the table: look again later');
        WHEN insufficient_privilege THEN
            RETURN jsonb_build_object('remark', 'you may not read the table');
    END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.read_lost_rows(oid, text[], text[], int) IS
    'Up to row_limit rows of one table: {"rows": [[value as text, at most 500 characters, or null ...] ...]}, or '
    '{"remark": why none}. lost: only rows in which one of these columns is not NULL, of the first 100,000; empty: '
    'any. Waits for no lock. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_lost_rows(
    name text, row_limit int DEFAULT 20,
    otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS TABLE (relation text, what text, columns text[], lost_columns text[], rows jsonb, remark text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    most  constant int := least(greatest(coalesce(row_limit, 20), 0), 20);
    drops jsonb;
    path  text;
    one   record;
    found jsonb;
BEGIN
    SELECT h.metadata #> '{rollback,drops}', migrollback_schema.migration_rollback_path(h.metadata, otherwise_path)
      INTO drops, path FROM migrollback_schema.migration_history h
     WHERE h.migration_name = migration_lost_rows.name
       AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8'))
       AND migrollback_schema.is_destroyed_list(h.metadata #> '{rollback,drops}');
    IF drops IS NULL THEN
        RETURN;
    END IF;
    FOR one IN
        SELECT t.relation AS oid, format('%I.%I', n.nspname, c.relname) AS identity,
               string_agg(DISTINCT t.what, ' and ') AS what,
               coalesce(bool_or(NOT t.is_partial) FILTER (WHERE t.column_number = 0), false) AS is_whole,
               coalesce(bool_or(t.is_partial), false) AS is_partial,
               coalesce(array_agg(DISTINCT t.column_number) FILTER (WHERE t.column_number > 0), '{}') AS numbers
          FROM migrollback_schema.destroyed_targets(drops, path) t
          JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE t.column_number >= 0
         GROUP BY t.relation, n.nspname, c.relname ORDER BY min(t.place), 2
    LOOP
        relation := one.identity;
        what := one.what;
        SELECT array_agg(a.attname::text ORDER BY a.attnum),
               coalesce(array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum = ANY (one.numbers)), '{}')
          INTO columns, lost_columns FROM pg_attribute a
         WHERE a.attrelid = one.oid AND a.attnum > 0 AND NOT a.attisdropped
           AND (one.is_whole OR cardinality(one.numbers) = 0 OR a.attnum = ANY (one.numbers)
                OR a.attnum = ANY (SELECT unnest(i.indkey::int2[]) FROM pg_index i
                                    WHERE i.indrelid = one.oid AND i.indisprimary));
        IF one.is_whole THEN
            lost_columns := '{}';
        END IF;
        IF columns IS NULL THEN         -- a table without columns
            found := '{"rows": []}';
        ELSIF NOT one.is_whole AND cardinality(one.numbers) = 0 THEN
            found := '{"remark": "only rows that meet a condition go: a rehearsal counts them"}';
        ELSE
            found := migrollback_schema.read_lost_rows(one.oid, columns, lost_columns, most);
            IF NOT one.is_whole AND one.is_partial THEN
                found := found || '{"remark": "perhaps only some of them: the rollback has a condition"}';
            END IF;
        END IF;
        rows := coalesce(found -> 'rows', '[]');
        remark := found ->> 'remark';
        RETURN NEXT;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_lost_rows(text, int, text) IS
    'A look at what rolling this migration back loses, by what was parsed of its rollback SQL: of each table up to '
    'row_limit rows (20 at most), all columns where rows go, else the primary key and lost_columns. rows: arrays of '
    'values as text, at most 500 characters each, in the order of columns; remark: why there are none, or not all are '
    'lost. Records nothing. Does not write.';
