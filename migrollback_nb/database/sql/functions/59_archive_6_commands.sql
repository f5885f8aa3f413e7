-- ---------------------------------------------------------------------------------------------------
-- Archives: listing, restoring one later, throwing away, erasing what must be forgotten, reading them out.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_archive_list()
RETURNS TABLE (migration_name text, event bigint, direction text, tables text[], rows bigint, bytes bigint,
               age_seconds bigint, complete jsonb, kept_at timestamptz, restored_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT a.migration_name, a.event_number, a.direction,
           coalesce(array_agg(DISTINCT format('%I.%I', t.table_schema, t.table_name))
                        FILTER (WHERE t.data IS NOT NULL), '{}'),
           coalesce(sum(t.rows), 0)::bigint, coalesce(sum(t.bytes), 0)::bigint,
           extract(epoch FROM clock_timestamp() - a.kept_at)::bigint, coalesce(to_jsonb(a.why_not), 'true'), a.kept_at,
           a.restored_at
      FROM migrollback_schema.migration_archives a
      JOIN migrollback_schema.migration_archived_tables t USING (archive_id)
     GROUP BY a.archive_id, a.migration_name, a.event_number, a.direction, a.kept_at, a.why_not, a.restored_at
     ORDER BY a.archive_id DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_archive_list() IS
    'What is kept of destroyed values, the newest first: migration, event (which restore_migration_archive() takes), '
    'direction (what destroyed them: apply or rollback), tables, rows, bytes, age, complete (true, or why not), '
    'restored_at. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.restore_migration_archive(
    event bigint, reason text DEFAULT NULL, client text DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    kept   migrollback_schema.migration_archives;
    status text;
    since  bigint;
    part   bigint;
    report jsonb;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    SELECT a.* INTO kept FROM migrollback_schema.migration_archives a WHERE a.event_number = event
     ORDER BY a.archive_id DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'No archive is kept of event %', event
            USING ERRCODE = 'MR042', HINT = 'migrollback archives lists them.';
    END IF;
    status := (SELECT h.status FROM migrollback_schema.migration_history h
                WHERE h.migration_name = kept.migration_name);
    since := (SELECT max(e.event_number) FROM migrollback_schema.migration_events e
               WHERE e.migration_name = kept.migration_name AND e.event IN ('applied', 'applied_again'));
    IF kept.direction = 'rollback' AND (status IS NOT DISTINCT FROM 'rolled_back' OR since < event) THEN
        RAISE EXCEPTION '% is not applied again: there is nothing yet that its values could go into',
            kept.migration_name USING ERRCODE = 'MR043', HINT = format('Nothing was changed. First: migrollback apply '
                                                                      '%s', kept.migration_name);
    ELSIF kept.direction = 'apply' AND status IS DISTINCT FROM 'rolled_back' THEN
        RAISE EXCEPTION '% is applied: its rollback puts these values back', kept.migration_name
            USING ERRCODE = 'MR043', HINT = format('Nothing was changed. migrollback rollback %s',
                                                   kept.migration_name);
    END IF;
    FOR part IN SELECT t.part FROM migrollback_schema.migration_archived_tables t
                 WHERE t.archive_id = kept.archive_id AND t.data IS NOT NULL ORDER BY t.part LOOP
        PERFORM migrollback_schema.mark_conflicts(part, CASE kept.direction WHEN 'rollback' THEN since END);
    END LOOP;
    report := migrollback_schema.restore_archive(kept.archive_id);
    PERFORM migrollback_schema.add_migration_event('archive_restored', kept.migration_name, NULL::uuid, reason,
                                                   restore_migration_archive.client, report);
    RETURN report || jsonb_build_object('migration_name', kept.migration_name);
END $function$;
COMMENT ON FUNCTION migrollback_schema.restore_migration_archive(bigint, text, text) IS
    'Writes: puts back what an archive holds, with an event: what a rollback destroyed, when its migration is applied '
    'again; what a migration destroyed, when it is rolled back and not all came back. Conflicts, triggers and what it '
    'returns: as of restore_archive(). SQLSTATE MR042: there is no archive of this event; MR043: it is not applied '
    'again, or not rolled back.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_conflicts(event bigint, most int DEFAULT 1000)
RETURNS TABLE ("table" text, keys jsonb, count bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT t.*, format('%I.%I', t.table_schema, t.table_name) AS identity
          FROM migrollback_schema.migration_archives a
          JOIN migrollback_schema.migration_archived_tables t USING (archive_id)
         WHERE a.event_number = event AND t.conflicts > 0 AND t.key_columns IS NOT NULL ORDER BY t.part
    LOOP
        "table" := one.identity;
        count := one.conflicts;
        EXECUTE format('SELECT coalesce(jsonb_agg(k.key ORDER BY k.key), ''[]'') FROM (SELECT %s AS key '
                       'FROM migrollback_archive.%I a WHERE a.skip LIMIT %s) k',
            (SELECT CASE count(*) WHEN 1 THEN format('to_jsonb(%s)', min(k.place)) ELSE
                        format('jsonb_build_array(%s)', string_agg(k.place, ', ' ORDER BY k.number)) END
               FROM (SELECT format('a.c%s', c ->> 'number') AS place, n.place AS number
                       FROM unnest(one.key_columns) WITH ORDINALITY AS n (name, place)
                       JOIN jsonb_array_elements(one.columns) c ON c ->> 'name' = n.name) k), one.data, most)
           INTO keys;
        RETURN NEXT;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.archive_conflicts(bigint, int) IS
    'The rows of an archive that were left as they are, for another session has written them since: by key, of each '
    'table as many as `most`. For the owner of the archive. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.prune_migration_archives(
    older_than timestamptz, client text DEFAULT NULL, OUT pruned bigint, OUT bytes bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one record;
    events bigint[] := '{}';
BEGIN
    IF older_than IS NULL THEN
        RAISE EXCEPTION 'how old archives are to be was not said' USING ERRCODE = 'MR006';
    END IF;
    PERFORM migrollback_schema.lock_migrations();
    pruned := 0;
    bytes := 0;
    FOR one IN SELECT a.archive_id, a.event_number, t.data, t.bytes AS size FROM migrollback_schema.migration_archives a
                 LEFT JOIN migrollback_schema.migration_archived_tables t USING (archive_id)
                WHERE a.kept_at < older_than
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS migrollback_archive.%I', coalesce(one.data, 'none'));
        bytes := bytes + coalesce(one.size, 0);
        events := events || one.event_number;
    END LOOP;
    DELETE FROM migrollback_schema.migration_archived_tables t
     WHERE t.archive_id IN (SELECT a.archive_id FROM migrollback_schema.migration_archives a
                             WHERE a.kept_at < older_than);
    DELETE FROM migrollback_schema.migration_archives a WHERE a.kept_at < older_than;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    IF pruned > 0 THEN
        PERFORM migrollback_schema.add_migration_event('archives_pruned', NULL::text, NULL::uuid, NULL::text,
            prune_migration_archives.client, jsonb_build_object(
                'archives', (SELECT to_jsonb(array_agg(DISTINCT e ORDER BY e)) FROM unnest(events) AS e),
                'bytes', bytes, 'older_than', older_than));
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.prune_migration_archives(timestamptz, text) IS
    'Writes: throws away the archives that were kept before then, with an event: what they hold is gone for good. '
    'Returns how many, and the bytes. SQLSTATE MR006: no time.';

CREATE OR REPLACE FUNCTION migrollback_schema.erase_from_archives(
    from_table text, key text, reason text DEFAULT NULL, client text DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one    record;
    -- of several columns a JSON array
    keys   constant text[] := CASE WHEN key ~ '^\s*\[' THEN ARRAY(SELECT jsonb_array_elements_text(key::jsonb))
                                   ELSE ARRAY[key] END;
    parts  constant text[] := parse_ident(from_table, false);
    number bigint;
    erased bigint := 0;
    known  boolean := false;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    FOR one IN SELECT t.* FROM migrollback_schema.migration_archived_tables t
                WHERE t.table_name = parts[cardinality(parts)] AND t.data IS NOT NULL
                  AND (cardinality(parts) = 1 OR t.table_schema = parts[1])
                  AND cardinality(t.key_columns) = cardinality(keys)
    LOOP
        known := true;
        EXECUTE format('DELETE FROM migrollback_archive.%I a WHERE %s', one.data,
            (SELECT format('(%s)', string_agg(format('a.c%s::text = $1[%s]', c ->> 'number', n.place), ' AND '))
                    || CASE WHEN one.kind = 'rows' THEN format(' OR (%s)', string_agg(
                           format('a.n%s::text = $1[%1$s]', n.place), ' AND ')) ELSE '' END
               FROM unnest(one.key_columns) WITH ORDINALITY AS n (name, place)
               JOIN jsonb_array_elements(one.columns) c ON c ->> 'name' = n.name)) USING keys;
        GET DIAGNOSTICS number = ROW_COUNT;
        erased := erased + number;
        UPDATE migrollback_schema.migration_archived_tables t SET rows = t.rows - number WHERE t.part = one.part;
    END LOOP;
    IF NOT known THEN
        RAISE EXCEPTION 'No archive holds rows of % that are found by such a key', from_table
            USING ERRCODE = 'MR042', HINT = 'migrollback archives lists them; a key of several columns is a JSON '
                                            'array: ["1", "a"].';
    END IF;
    PERFORM migrollback_schema.add_migration_event('archive_erased', NULL::text, NULL::uuid, reason,
        erase_from_archives.client, jsonb_build_object('table', from_table, 'rows', erased));
    RETURN erased;
END $function$;
COMMENT ON FUNCTION migrollback_schema.erase_from_archives(text, text, text, text) IS
    'Writes: takes what archives hold of one row of a table out of them for good, with an event that does not name the '
    'row. key: of its primary key, of several columns a JSON array. Returns how many kept rows went. SQLSTATE MR042: '
    'no archive holds rows of this table.';

CREATE OR REPLACE FUNCTION migrollback_schema.export_archive_part(part bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    place constant migrollback_schema.migration_archived_tables := (
        SELECT t FROM migrollback_schema.migration_archived_tables t WHERE t.part = export_archive_part.part);
    names constant jsonb := (SELECT jsonb_object_agg('c' || (c ->> 'number'), c -> 'name')
                               FROM jsonb_array_elements(place.columns) c);
BEGIN
    IF place.data IS NULL THEN
        RETURN;
    END IF;
    -- each value as text, which loses nothing of a number
    RETURN QUERY EXECUTE format(
        'SELECT pg_catalog.jsonb_build_object(''migration_name'', m.migration_name, ''event'', m.event_number, '
        '''table'', $1::text, ''values'', (SELECT pg_catalog.jsonb_object_agg($2 ->> v.key, v.value) '
        'FROM pg_catalog.jsonb_each_text(pg_catalog.jsonb_build_object(%s)) v)) FROM migrollback_archive.%I a '
        'CROSS JOIN (SELECT x.migration_name, x.event_number FROM %s.migration_archives x '
        'WHERE x.archive_id = $3) m',
        (SELECT string_agg(format('''c%1$s'', CASE WHEN a.c%1$s IS DISTINCT FROM NULL THEN '
                                  'pg_catalog.concat(a.c%1$s) END', c ->> 'number'), ', ')
           FROM jsonb_array_elements(place.columns) c), place.data, 'migrollback_schema')
    USING format('%I.%I', place.table_schema, place.table_name), names, place.archive_id;
END $function$;
COMMENT ON FUNCTION migrollback_schema.export_archive_part(bigint) IS
    'What an archive holds of one table, a JSON object for each row: migration_name, event, table, values (as text). '
    'For the owner of the archive. Does not write.';
