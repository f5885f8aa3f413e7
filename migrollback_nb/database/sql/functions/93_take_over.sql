-- ---------------------------------------------------------------------------------------------------
-- What undoes install --take-over: the earlier tool's tables and functions as they were.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_system_migration(name text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF migrollback_schema.is_system_migration(name) THEN
        RAISE EXCEPTION '% is the rollback system''s own migration, which install alone writes', name
            USING ERRCODE = 'MR002', HINT = 'A file of that name makes the tables of the earlier tool. Leave it alone, '
                'or delete it: run again, it would replace functions of this system.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_system_migration(text) IS
    'Refuses the name of this system''s own migration, which a file may have (SQLSTATE MR002). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.undo_take_over_rows(details jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- Rows that came since stay, and so does what was rolled back since: that is how the schema stands.
    WITH was AS (SELECT jsonb_object_agg(e.migration_name, e.details -> 'was') AS rows
                 FROM migrollback_schema.migration_events e WHERE e.event = 'taken_over' AND e.details ? 'was')
    SELECT concat(
        format('UPDATE %s.migration_history SET metadata = (metadata - ''{search_path,before_take_over}''::text[]) '
               '|| coalesce(metadata -> ''before_take_over'', ''{}'') WHERE migration_name <> %L;',
               'migrollback_schema', '20250120_migration_rollback_system'),
        format(E'\nUPDATE %s.migration_history h SET migration_version = coalesce(w.value ->> ''migration_version'', '
               'h.migration_version),\n    status = CASE WHEN lower(regexp_replace(btrim(w.value ->> ''status''), '
               '''[[:space:]-]+'', ''_'', ''g'')) = h.status THEN w.value ->> ''status'' ELSE h.status END,\n    '
               'rollback_at = coalesce(h.rollback_at, (w.value ->> ''rollback_at'')::timestamptz),\n    '
               'rollback_by = coalesce(h.rollback_by, w.value ->> ''rollback_by'')\n    '
               'FROM jsonb_each(%L) w WHERE w.key = h.migration_name;', 'migrollback_schema', was.rows::text),
        E'\n', CASE WHEN details ? 'old'
            THEN format('UPDATE %1$s.migration_history h SET (migration_version, applied_at, applied_by, rollback_sql, '
                        'checksum, status, rollback_at, rollback_by, notes, metadata) = (o.migration_version, '
                        'o.applied_at, o.applied_by, o.rollback_sql, o.checksum, o.status, o.rollback_at, '
                        'o.rollback_by, o.notes, o.metadata)'
                        ' FROM jsonb_populate_record(NULL::%1$s.migration_history, %2$L) o WHERE h.id = o.id;',
                        'migrollback_schema', details ->> 'old')
            ELSE format('DELETE FROM %s.migration_history WHERE migration_name = %L;', 'migrollback_schema',
                        '20250120_migration_rollback_system') END)
    FROM was
$function$;
COMMENT ON FUNCTION migrollback_schema.undo_take_over_rows(jsonb) IS
    'The statements of undo_take_over_sql() that put values of rows back. details: of the event. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.undo_take_over_sql() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    told     migrollback_schema.migration_events;
    space    constant text := 'migrollback_schema';
    ours     constant oid[] := ARRAY[(space || '.migration_history')::regclass,
                                     (space || '.migration_dependencies')::regclass];
    drops    text[];
    lines    text[];
BEGIN
    SELECT * INTO told FROM migrollback_schema.migration_events e
     WHERE e.event = 'taken_over' AND e.details ? 'undo' ORDER BY e.event_number DESC LIMIT 1;
    IF told.event_number IS NULL THEN
        RAISE EXCEPTION 'Nothing was taken over in schema %', space
            USING ERRCODE = 'MR002', HINT = 'install --take-over found no tables of the earlier tool here.';
    END IF;
    SELECT string_to_array(h.rollback_sql, E';\n') INTO drops FROM migrollback_schema.migration_history h
     WHERE h.migration_name = '20250120_migration_rollback_system';
    lines := ARRAY(
        SELECT format('DROP TRIGGER %I ON %s;', t.tgname, t.tgrelid::regclass)
        FROM pg_trigger t
         WHERE t.tgrelid = ANY (ours) AND NOT t.tgisinternal
           AND t.tgfoid = ANY ((SELECT s.routines FROM migrollback_schema.migration_system_objects() s)::oid[])
        UNION ALL
        SELECT format('DROP POLICY %I ON %s;', p.polname, p.polrelid::regclass) FROM pg_policy p
         WHERE p.polrelid = ANY (ours) AND p.polname = 'granted_roles'
        ORDER BY 1)
        || ARRAY(SELECT rtrim(d.statement, ';') || ';' FROM unnest(drops) WITH ORDINALITY AS d (statement, place)
                  WHERE d.statement NOT IN (format('DROP TABLE IF EXISTS %s.migration_history', space),
                                            format('DROP TABLE IF EXISTS %s.migration_dependencies', space))
                  ORDER BY d.place)
        || ARRAY[format('DELETE FROM %s.migration_dependencies WHERE source = ''inferred'';', space)]
        || ARRAY(SELECT CASE WHEN u.statement = 'rows' THEN migrollback_schema.undo_take_over_rows(told.details)
                             ELSE rtrim(u.statement, E' \n;') || ';' END
                 FROM jsonb_array_elements_text(told.details -> 'undo') WITH ORDINALITY AS u (statement, place)
                 WHERE u.statement IS NOT NULL ORDER BY u.place);
    RETURN concat_ws(E'\n',
        format('-- Puts back what stood in schema %s before its tables were taken over (event %s, %s):', space,
               told.event_number, told.occurred_at),
        '-- the earlier tool''s functions, and its tables with the rows as they are now. It drops this system with its',
        '-- audit log: export that first (migrollback audit --export FILE).',
        '-- For psql -v ON_ERROR_STOP=1 -f, as the owner of the tables.',
        'BEGIN;', 'SET LOCAL search_path = pg_catalog, pg_temp;', array_to_string(lines, E'\n'), 'COMMIT;', '');
END $function$;
COMMENT ON FUNCTION migrollback_schema.undo_take_over_sql() IS
    'The script that undoes install --take-over: drops this system and its audit log, makes the two tables what they '
    'were, with the rows as they are now, and puts the earlier tool''s functions back. Does not write, nor run it. '
    'SQLSTATE MR002: nothing was taken over.';
