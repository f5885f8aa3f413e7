-- ---------------------------------------------------------------------------------------------------
-- Archives: putting back what was kept, and never over what another session has written since.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.archive_of_migration(name text, direction text DEFAULT 'apply')
RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
    SELECT max(a.archive_id) FROM migrollback_schema.migration_archives a
     WHERE a.migration_name = name AND a.direction = archive_of_migration.direction AND a.event_number >= coalesce((
           SELECT max(e.event_number) FROM migrollback_schema.migration_events e
            WHERE e.migration_name = name AND e.event = ANY (CASE archive_of_migration.direction
                      WHEN 'apply' THEN '{applied,applied_again,archive_kept}' ELSE '{rolled_back}' END::text[])), 0)
$function$;
COMMENT ON FUNCTION migrollback_schema.archive_of_migration(text, text) IS
    'The archive of what a migration destroyed when it was applied the last time, or (direction rollback) of what its '
    'last rollback destroyed; NULL where none was kept then. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.relation_of_part(which bigint)
RETURNS oid LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT c.oid FROM migrollback_schema.migration_archived_tables t
      JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', t.table_schema, t.table_name)) AND c.relkind IN ('r', 'p')
     WHERE t.part = which
$function$;
COMMENT ON FUNCTION migrollback_schema.relation_of_part(bigint) IS
    'The table that has the name of an archived one now, or NULL. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_written_here(row_version text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    top  constant bigint := pg_current_xact_id()::text::bigint;
    away constant bigint := ((row_version::bigint - (top & 4294967295) + 2147483648) & 4294967295) - 2147483648;
BEGIN
    -- what is seen, and is not committed, this transaction has written
    RETURN top + away > 2 AND coalesce(pg_xact_status((top + away)::text::xid8) = 'in progress', false);
END $function$;
COMMENT ON FUNCTION migrollback_schema.is_written_here(text) IS
    'Whether a row with this xmin was written by this transaction. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.mark_conflicts(which bigint, since_event bigint DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    place constant migrollback_schema.migration_archived_tables := (
        SELECT t FROM migrollback_schema.migration_archived_tables t WHERE t.part = which);
    relation constant oid := migrollback_schema.relation_of_part(place.part);
    matching constant text := migrollback_schema.archive_join(place.part, relation, place.kind = 'rows');
    source   constant text := format('%s %s t', CASE WHEN place.only_this THEN 'ONLY' ELSE '' END, relation::regclass);
    versions text[];
    put_back text[];                    -- written by a rollback of ours
BEGIN
    EXECUTE format('UPDATE migrollback_archive.%I SET skip = NULL WHERE skip', place.data);
    IF relation IS NULL OR matching IS NULL OR since_event IS NULL AND relation <> place.relation
       OR since_event IS NULL AND place.kind = 'columns' AND 'rewritten' <> ALL (place.what) THEN
        RETURN;                         -- what is not there cannot have been written
    END IF;
    -- until the transaction ends no one else writes it
    EXECUTE format('LOCK TABLE %s %s IN SHARE ROW EXCLUSIVE MODE', CASE WHEN place.only_this THEN 'ONLY' ELSE '' END,
                   relation::regclass);
    IF since_event IS NOT NULL THEN     -- what its own SQL wrote when it was applied again is no conflict
        EXECUTE format('UPDATE migrollback_archive.%I a SET skip = true FROM %s WHERE %s AND age(t.xmin) < $1',
                       place.data, source, migrollback_schema.archive_join(place.part, relation, false))
        USING age(migrollback_schema.migration_row_xmin('migration_events', 'event_number', since_event));
        RETURN;
    END IF;
    EXECUTE format('SELECT array_agg(DISTINCT t.xmin::text) FROM %s JOIN migrollback_archive.%I a ON %s', source,
                   place.data, matching) INTO versions;
    versions := ARRAY(SELECT v FROM unnest(versions) AS v WHERE v <> ALL (place.written_in));
    IF versions = '{}' THEN
        RETURN;
    END IF;
    put_back := ARRAY(SELECT v FROM unnest(versions) AS v
                       WHERE migrollback_schema.is_written_here(v)
                          OR v IN (SELECT p.restored_in FROM migrollback_schema.migration_archived_tables p
                                    WHERE p.restored_in IS NOT NULL));
    EXECUTE format(
        'UPDATE migrollback_archive.%I a SET skip = true FROM %s WHERE %s AND t.xmin::text <> ALL ($1) '
        'AND NOT (t.xmin::text = ANY ($2) AND %s)', place.data, source, matching,
        CASE WHEN place.kind = 'table' OR NOT place.hashed <@ ARRAY(
                 SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = relation AND NOT a.attisdropped
                    -- a type that cannot be hashed in place of one that can
                    AND (place.kind <> 'rows' OR place.columns @> jsonb_build_array(jsonb_build_object(
                             'name', a.attname, 'type_id', a.atttypid::text))))
             THEN 'false' ELSE format('coalesce(a.h = %s, false)',
            migrollback_schema.row_hash_expression('t', place.hashed, place.kind = 'rows'
                AND migrollback_schema.is_plainly_hashed(place.columns, place.hashed))) END)
    USING place.written_in, put_back;
END $function$;
COMMENT ON FUNCTION migrollback_schema.mark_conflicts(bigint, bigint) IS
    'Writes: marks the kept rows whose row another session has written since, and locks the table against more of it. '
    'To be called before the rollback SQL runs. since_event: since that event, whatever wrote it before.';

CREATE OR REPLACE FUNCTION migrollback_schema.prepare_archive(archive bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    place migrollback_schema.migration_archived_tables;
BEGIN
    FOR place IN SELECT t.* FROM migrollback_schema.migration_archived_tables t
                  WHERE t.archive_id = archive AND t.data IS NOT NULL ORDER BY t.part LOOP
        PERFORM migrollback_schema.mark_conflicts(place.part, NULL::bigint);
    END LOOP;
    RETURN archive;
END $function$;
COMMENT ON FUNCTION migrollback_schema.prepare_archive(bigint) IS
    'Writes: mark_conflicts() of every table of an archive. Returns the archive.';

CREATE OR REPLACE FUNCTION migrollback_schema.columns_to_restore(
    which bigint, relation oid)
RETURNS TABLE (name text, number int, value text, kept text, differs text, is_key boolean, always boolean,
               elsewhere bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT c ->> 'name', (c ->> 'number')::int, format('a.c%s::%s', c ->> 'number', n.type), k.kept,
           CASE WHEN a.atttypid = (c ->> 'type_id')::oid AND (c ->> 'native')::boolean
                    -- those of which no two are equal and look different, as 1 and 1.0 do
                    AND y.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype,
                                  'varchar'::regtype, 'bool'::regtype, 'date'::regtype, 'timestamp'::regtype,
                                  'timestamptz'::regtype, 'uuid'::regtype, 'bytea'::regtype)
                THEN format('%s IS DISTINCT FROM a.c%s', k.kept, c ->> 'number')
                ELSE format('(pg_catalog.concat(%s) IS DISTINCT FROM pg_catalog.concat(a.c%s) OR (%1$s IS NULL) <> '
                            '(a.c%2$s IS NULL))',
                            CASE WHEN (c ->> 'native')::boolean AND a.atttypid = (c ->> 'type_id')::oid THEN k.kept
                                 ELSE format('CASE WHEN t.%1$I IS DISTINCT FROM NULL THEN pg_catalog.concat(t.%1$I) '
                                             'END', a.attname) END, c ->> 'number') END,
           coalesce(c ->> 'name' = ANY (place.key_columns), false), a.attidentity = 'a',
           -- of a column that was dropped or rewritten the values from before all statements are elsewhere
           CASE WHEN place.kind = 'rows' AND NOT coalesce(c ->> 'name' = ANY (place.key_columns), false) THEN (
               SELECT o.part FROM migrollback_schema.migration_archived_tables o
                WHERE o.archive_id = place.archive_id AND o.kind = 'columns' AND o.relation = place.relation
                  AND o.data IS NOT NULL AND o.why_not IS NULL AND c ->> 'name' <> ALL (o.key_columns)
                  AND jsonb_path_exists(o.columns, '$[*] ? (@.name == $name)',
                                        jsonb_build_object('name', c -> 'name')) LIMIT 1) END
      FROM migrollback_schema.migration_archived_tables place
     CROSS JOIN LATERAL jsonb_array_elements(place.columns) c
      JOIN pg_attribute a ON a.attrelid = columns_to_restore.relation AND a.attname = c ->> 'name'
       AND NOT a.attisdropped AND a.attgenerated = ''
      JOIN pg_type y ON y.oid = a.atttypid
     CROSS JOIN LATERAL (SELECT format_type(a.atttypid, a.atttypmod) AS type) n
     CROSS JOIN LATERAL (SELECT migrollback_schema.kept_expression(c, 't', c ->> 'name') AS kept) k
     WHERE place.part = which AND NOT (c ->> 'generated')::boolean
$function$;
COMMENT ON FUNCTION migrollback_schema.columns_to_restore(bigint, oid) IS
    'The columns of an archived table that are there now: SQL of the kept value (of a), of whether the row (t) differs '
    'from it; elsewhere: the part that has its values. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.move_rows_back(data text, change text, is_blocked text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    rest    tid[];
    waiting tid[];
    place   tid;
    number  bigint;
BEGIN
    -- what was moved last goes back first: its key is free, and then is the one that it leaves
    EXECUTE format('SELECT array_agg(a.ctid ORDER BY a.ctid DESC) FROM migrollback_archive.%I a WHERE EXISTS '
                   '(SELECT FROM migrollback_archive.%I a WHERE a.op = ''U'' AND %s)', data, data, is_blocked)
       INTO rest;
    -- no block that catches errors: what it writes would have the number of a transaction of its own, and be taken for
    -- another's work later
    WHILE cardinality(rest) > 0 LOOP
        waiting := '{}';
        FOREACH place IN ARRAY rest LOOP
            EXECUTE format('%s AND a.ctid = $1 AND NOT (%s)', change, is_blocked) USING place;
            GET DIAGNOSTICS number = ROW_COUNT;
            IF number = 0 THEN
                waiting := waiting || place;
            END IF;
        END LOOP;
        EXIT WHEN cardinality(waiting) = cardinality(rest);
        rest := waiting;
    END LOOP;
    EXECUTE change || ' AND ($1 IS NULL OR a.ctid = ANY ($1))' USING rest;
END $function$;
COMMENT ON FUNCTION migrollback_schema.move_rows_back(text, text, text) IS
    'Writes: runs an UPDATE that puts kept rows back, for one row after the other where another row has the key of '
    'one, each as soon as it has not. is_blocked: SQL of whether it has. SQLSTATE 23505: of those that wait for each '
    'other.';

CREATE OR REPLACE FUNCTION migrollback_schema.write_kept_rows(
    which bigint, relation oid, overwrite boolean)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    place constant migrollback_schema.migration_archived_tables := (
        SELECT t FROM migrollback_schema.migration_archived_tables t WHERE t.part = which);
    target   constant text := relation::regclass::text;
    only_it  constant text := CASE WHEN place.only_this THEN 'ONLY' ELSE '' END;
    found    constant text := migrollback_schema.archive_join(place.part, relation, place.kind = 'rows');
    mine     constant text := CASE WHEN overwrite THEN 'true' ELSE 'a.skip IS NOT TRUE' END;
    every    constant jsonb := (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.number), '[]')
                                  FROM migrollback_schema.columns_to_restore(place.part, relation) c);
    always   text[] := '{}';
    sets     text;
    fills    text;
    change   text;
    moved    text;
    name     text;
    is_filled boolean;
    sibling  migrollback_schema.migration_archived_tables;
BEGIN
    -- rows that are there
    IF place.kind = 'columns' THEN
        always := ARRAY(SELECT c ->> 'name' FROM jsonb_array_elements(every) c
                         WHERE (c ->> 'always')::boolean AND NOT (c ->> 'is_key')::boolean);
        FOREACH name IN ARRAY always LOOP
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET GENERATED BY DEFAULT', target, name);
        END LOOP;
    END IF;
    SELECT string_agg(format('%I = %s', c ->> 'name', c ->> 'value'), ', '),
           '(' || string_agg(c ->> 'differs', ' OR ') || ')'
      INTO sets, fills FROM jsonb_array_elements(every) c
     WHERE (NOT (c ->> 'is_key')::boolean OR place.keys_changed) AND c ->> 'elsewhere' IS NULL
       AND (NOT (c ->> 'always')::boolean OR place.kind = 'columns');
    IF found IS NOT NULL AND sets IS NOT NULL THEN
        change := format('UPDATE %s %s t SET %s FROM migrollback_archive.%I a WHERE %s AND %s%s%s', only_it, target,
                         sets, place.data, found, mine, CASE WHEN place.kind = 'rows' AND NOT overwrite THEN ''
                                                             ELSE ' AND ' || fills END,
            -- where a row has the key of one that went, it is not that one
            CASE WHEN place.keys_changed THEN format(
                ' AND (a.op = ''U'' OR NOT EXISTS (SELECT FROM migrollback_archive.%I o WHERE o.op = ''U'' AND %s))',
                place.data, (SELECT string_agg(format('o.n%1$s = a.n%1$s', k), ' AND ')
                               FROM generate_subscripts(place.key_columns, 1) AS k)) END);
        IF place.keys_changed THEN
            moved := (SELECT string_agg(format('a.n%s IS DISTINCT FROM a.c%s', k.place, c ->> 'number'), ' OR ')
                        FROM unnest(place.key_columns) WITH ORDINALITY AS k (name, place)
                        JOIN jsonb_array_elements(place.columns) c ON c ->> 'name' = k.name);
            PERFORM migrollback_schema.move_rows_back(place.data, change, format(
                '(%s) AND EXISTS (SELECT FROM %s %s t WHERE %s)', moved, only_it, target,
                migrollback_schema.archive_join(place.part, relation, false)));
        ELSE
            EXECUTE change;
        END IF;
    END IF;
    FOREACH name IN ARRAY always LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET GENERATED ALWAYS', target, name);
    END LOOP;
    -- rows that went
    IF place.kind = 'columns' OR place.kind = 'rows' AND 'deleted' <> ALL (place.what) THEN
        RETURN NULL;
    END IF;
    IF found IS NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s %s t WHERE %s.is_written_here(t.xmin::text))',
                       only_it, target, 'migrollback_schema') INTO is_filled;
        IF is_filled THEN               -- which of them are the same no one can tell
            RETURN 'it has no key, and the SQL writes rows of it itself';
        END IF;
    END IF;
    SELECT o.* INTO sibling FROM migrollback_schema.migration_archived_tables o
     WHERE o.part = (SELECT max((c ->> 'elsewhere')::bigint) FROM jsonb_array_elements(every) c);
    EXECUTE format(
        'INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM migrollback_archive.%I a%s WHERE %s%s%s '
        'ON CONFLICT DO NOTHING', target,
        (SELECT string_agg(quote_ident(c ->> 'name'), ', ' ORDER BY (c ->> 'number')::int)
           FROM jsonb_array_elements(every) c),
        (SELECT string_agg(CASE WHEN c ->> 'elsewhere' IS NULL THEN c ->> 'value'
                                ELSE regexp_replace(c ->> 'value', '^a\.', 'b.') END, ', '
                           ORDER BY (c ->> 'number')::int) FROM jsonb_array_elements(every) c),
        place.data,
        CASE WHEN sibling.part IS NULL THEN '' ELSE format(
            ' LEFT JOIN migrollback_archive.%I b ON %s', sibling.data,
            (SELECT string_agg(format('b.c%1$s = a.c%1$s', c ->> 'number'), ' AND ')
               FROM jsonb_array_elements(sibling.columns) c WHERE c ->> 'name' = ANY (sibling.key_columns))) END,
        mine, CASE WHEN place.kind = 'rows' THEN ' AND a.op = ''D''' ELSE '' END,
        CASE WHEN found IS NULL THEN ''
             ELSE format(' AND NOT EXISTS (SELECT FROM %s %s t WHERE %s)', only_it, target, found) END);
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.write_kept_rows(bigint, oid, boolean) IS
    'Writes: puts back the values and rows of one archived table, but for conflicts, unless overwrite. '
    'Returns why the rows that went were not put back, or NULL.';

CREATE OR REPLACE FUNCTION migrollback_schema.compare_restored(
    which bigint, relation oid, OUT restored bigint, OUT conflicts bigint,
    OUT differing bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    place constant migrollback_schema.migration_archived_tables := (
        SELECT t FROM migrollback_schema.migration_archived_tables t WHERE t.part = which);
    found   constant text := migrollback_schema.archive_join(place.part, relation, false);
    differs constant text := (SELECT string_agg(c.differs, ' OR ')
                                FROM migrollback_schema.columns_to_restore(place.part, relation) c
                               WHERE c.elsewhere IS NULL AND NOT (c.is_key AND place.kind = 'columns'));
    -- a column that is there no more, or is generated now
    lacking constant boolean := (SELECT count(*) FROM jsonb_array_elements(place.columns) c
                                  WHERE NOT (c ->> 'generated')::boolean)
        > (SELECT count(*) FROM migrollback_schema.columns_to_restore(place.part, relation));
BEGIN
    IF found IS NULL THEN               -- no key: all was inserted
        EXECUTE format('SELECT count(*) FROM migrollback_archive.%I', place.data) INTO restored;
        conflicts := 0;
        differing := 0;
    ELSE
        IF place.kind <> 'columns' THEN
            -- a row that was deleted since stays away, and one that another row stands in the way of
            EXECUTE format('UPDATE migrollback_archive.%I a SET skip = true WHERE skip IS NOT TRUE AND NOT EXISTS '
                           '(SELECT FROM %s %s t WHERE %s)', place.data,
                           CASE WHEN place.only_this THEN 'ONLY' ELSE '' END, relation::regclass, found);
        END IF;
        EXECUTE format(
            'SELECT count(*) FILTER (WHERE t.tableoid IS NOT NULL AND NOT (%1$s)), count(*) FILTER (WHERE a.skip '
            'AND (t.tableoid IS NULL OR (%1$s))), count(*) FILTER (WHERE a.skip IS NOT TRUE AND (%1$s)) '
            'FROM migrollback_archive.%2$I a LEFT JOIN %3$s %4$s t ON %5$s WHERE t.tableoid IS NOT NULL OR a.skip',
            coalesce(differs, 'false'), place.data, CASE WHEN place.only_this THEN 'ONLY' ELSE '' END,
            relation::regclass, found) INTO restored, conflicts, differing;
    END IF;
    IF lacking THEN
        differing := greatest(differing, restored);
        restored := 0;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.compare_restored(bigint, oid) IS
    'Writes marks of conflicts; compares an archived table with what is there now: rows that are as they were, '
    'conflicts (that were written or deleted since), and others.';
