-- ---------------------------------------------------------------------------------------------------
-- Archives: what is done before SQL runs that is to be kept from destroying, and after it has run.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.begin_archive(
    name text, direction text, destroys jsonb, statements text[], search_path text,
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    found   jsonb;
    archive bigint;
    one     record;
    total   bigint[] := '{0,0}';
    most    constant text := coalesce(migrollback_schema.archive_setting('archive_rows'),
                                      migrollback_schema.archive_setting('archive_budget'));
BEGIN
    IF NOT migrollback_schema.is_archiving() OR migrollback_schema.is_system_migration(name) THEN
        RETURN NULL;
    END IF;
    -- a client has looked already, where others can be seen to wait behind it
    found := coalesce(migrollback_schema.archive_setting('archive_found')::jsonb, migrollback_schema.destroyed_in_trial(
        destroys, statements, begin_archive.search_path, begin_archive.session_path, session_settings, NULL::bigint));
    PERFORM migrollback_schema.ensure_archive_schema();
    INSERT INTO migrollback_schema.migration_archives (archive_id, migration_name, direction)
    VALUES ((SELECT coalesce(max(a.archive_id), 0) + 1 FROM migrollback_schema.migration_archives a), name,
            begin_archive.direction) RETURNING archive_id INTO archive;
    FOR one IN
        SELECT t.*, c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = t.relation) AS is_tree,
               n.nspname, c.relname
          FROM migrollback_schema.archive_targets(
                   CASE WHEN migrollback_schema.is_destroyed_list(destroys -> 'values') THEN destroys -> 'values'
                        ELSE '[]' END, found, begin_archive.search_path) t
          JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY t.relation
    LOOP
        IF NOT migrollback_schema.is_table_archived(one.nspname, one.relname) THEN
            INSERT INTO migrollback_schema.migration_archived_tables (part, archive_id, kind, relation, table_schema,
                    table_name, what, columns, why_not)
            VALUES ((SELECT coalesce(max(t.part), 0) + 1 FROM migrollback_schema.migration_archived_tables t), archive,
                    'table', one.relation, one.nspname, one.relname, one.what, '[]',
                    'left out by migrollback.archive_tables');
            CONTINUE;
        END IF;
        IF most IS NOT NULL AND (one.is_table OR one.columns <> '{}' OR one.is_whole) THEN
            total := (SELECT ARRAY[total[1] + s.size[1], total[2] + s.size[2]] FROM (
                SELECT migrollback_schema.archive_size(one.relation, CASE
                           WHEN one.is_table OR one.is_whole THEN ARRAY(
                               SELECT c ->> 'name' FROM jsonb_array_elements(
                                   migrollback_schema.archive_columns(one.relation)) c)
                           ELSE one.columns || migrollback_schema.archive_key(one.relation, one.columns) END)
                       AS size) s);
            PERFORM migrollback_schema.refuse_large_archive(total[1], total[2]);
        END IF;
        PERFORM migrollback_schema.keep_target(archive, to_jsonb(one));
    END LOOP;
    RETURN archive;
END $function$;
COMMENT ON FUNCTION migrollback_schema.begin_archive(text, text, jsonb, text[], text, text, jsonb) IS
    'Writes, where the setting migrollback.archive is on: keeps what these statements of a migration (direction apply) '
    'or its rollback will destroy, and makes the triggers that keep rows as they change. Returns the archive, for '
    'end_archive(); NULL: nothing is kept. SQLSTATE MR040, MR041: as of ensure_archive_schema() and '
    'refuse_large_archive().';

CREATE OR REPLACE FUNCTION migrollback_schema.keep_target(archive bigint, target jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    relation constant oid := (target ->> 'relation')::oid;
    what     constant text[] := ARRAY(SELECT jsonb_array_elements_text(target -> 'what'));
    columns  constant text[] := ARRAY(SELECT jsonb_array_elements_text(target -> 'columns'));
    is_tree  constant boolean := (target -> 'is_tree')::boolean;
    member   oid;
BEGIN
    FOREACH member IN ARRAY CASE WHEN is_tree THEN migrollback_schema.table_members(relation) ELSE ARRAY[relation] END
    LOOP
        IF (target -> 'is_table')::boolean AND (member = relation OR 'truncated' = ANY (what)) THEN
            PERFORM migrollback_schema.keep_table(archive, 'table'::text, member, is_tree, NULL::text[], what,
                                                  '{}'::text[]);
            CONTINUE;
        END IF;
        IF cardinality(columns) > 0 THEN
            PERFORM migrollback_schema.keep_table(archive, 'columns'::text, member, is_tree, columns, ARRAY(
                SELECT w FROM unnest(what) AS w WHERE w IN ('column dropped', 'rewritten')), '{}'::text[]);
        END IF;
        IF (target -> 'is_rows')::boolean THEN
            -- of tables that inherit no trigger of the parent's tells the rows
            PERFORM migrollback_schema.keep_table(
                archive, CASE WHEN is_tree OR migrollback_schema.archive_setting('archive_compared') = 'on'
                              THEN 'compared' ELSE 'rows' END, member, is_tree, NULL::text[],
                ARRAY(SELECT w FROM unnest(what) AS w WHERE w IN ('updated', 'deleted')), columns);
        END IF;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.keep_target(bigint, jsonb) IS
    'Writes: keep_table() for what archive_targets() says of one table.';

CREATE OR REPLACE FUNCTION migrollback_schema.compare_kept_table(which bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    place constant migrollback_schema.migration_archived_tables := (
        SELECT t FROM migrollback_schema.migration_archived_tables t WHERE t.part = which);
    fresh constant text := 'a_' || left(replace(gen_random_uuid()::text, '-', ''), 20);
    there constant boolean := EXISTS (SELECT FROM pg_class c WHERE c.oid = place.relation);
BEGIN
    IF place.key_columns IS NULL OR NOT there THEN
        RETURN;
    END IF;
    -- only what went or is another now
    EXECUTE format(
        'CREATE TABLE migrollback_archive.%I AS SELECT 1::bigint AS batch, '
        'CASE WHEN t.tableoid IS NULL THEN ''D'' ELSE ''U'' END::"char" AS op, '
        'CASE WHEN t.tableoid IS NOT NULL THEN %s END AS h, NULL::boolean AS skip%s%s '
        'FROM migrollback_archive.%I a LEFT JOIN %s %s t ON %s WHERE t.tableoid IS NULL OR %s', fresh,
        migrollback_schema.row_hash_expression('t', place.hashed,
            migrollback_schema.is_plainly_hashed(place.columns, place.hashed)),
        (SELECT string_agg(format(', a.c%s AS n%s', c ->> 'number', k.place), '' ORDER BY k.place)
           FROM unnest(place.key_columns) WITH ORDINALITY AS k (name, place)
           JOIN jsonb_array_elements(place.columns) c ON c ->> 'name' = k.name),
        (SELECT string_agg(format(', a.c%s', c ->> 'number'), '' ORDER BY (c ->> 'number')::int)
           FROM jsonb_array_elements(place.columns) c),
        place.data, CASE WHEN place.only_this THEN 'ONLY' ELSE '' END, place.relation::regclass,
        migrollback_schema.archive_join(place.part, place.relation, false),
        coalesce((SELECT string_agg(format('pg_catalog.concat(%s) IS DISTINCT FROM pg_catalog.concat(a.c%s)',
                                           migrollback_schema.kept_expression(c, 't', c ->> 'name'), c ->> 'number'),
                                    ' OR ')
                    FROM jsonb_array_elements(place.columns) c
                    JOIN pg_attribute x ON x.attrelid = place.relation AND x.attname = c ->> 'name'
                     AND x.atttypid = (c ->> 'type_id')::oid AND NOT x.attisdropped), 'false'));
    PERFORM migrollback_schema.close_archive('TABLE', format('migrollback_archive.%I', fresh)::regclass,
                                             format('migrollback_archive.%I', fresh),
                                             migrollback_schema.system_owner());
    EXECUTE format('DROP TABLE migrollback_archive.%I', place.data);
    EXECUTE format('UPDATE %s.migration_archived_tables p SET data = $2, kind = ''rows'', written_in = '
                   'ARRAY(SELECT DISTINCT t.xmin::text FROM %s %s t '
                   'JOIN migrollback_archive.%I a ON %s) WHERE p.part = $1', 'migrollback_schema',
                   CASE WHEN place.only_this THEN 'ONLY' ELSE '' END, place.relation::regclass, fresh,
                   migrollback_schema.archive_join(place.part, place.relation, false))
    USING which, fresh;
END $function$;
COMMENT ON FUNCTION migrollback_schema.compare_kept_table(bigint) IS
    'Writes: of a table that was kept whole leaves in the archive only the rows that went or are others now.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_join(
    which bigint, relation oid, by_new boolean)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT string_agg(format('t.%I = a.%s%s::%s%s', k.name, CASE WHEN by_new THEN 'n' ELSE 'c' END,
                             CASE WHEN by_new THEN k.place::text ELSE c ->> 'number' END,
                             format_type(a.atttypid, a.atttypmod),
                             coalesce((SELECT format(' COLLATE %I.%I', n.nspname, l.collname) FROM pg_collation l
                                         JOIN pg_namespace n ON n.oid = l.collnamespace
                                        WHERE l.oid = a.attcollation), '')), ' AND ' ORDER BY k.place)
      FROM migrollback_schema.migration_archived_tables p
     CROSS JOIN LATERAL unnest(p.key_columns) WITH ORDINALITY AS k (name, place)
      JOIN jsonb_array_elements(p.columns) c ON c ->> 'name' = k.name
      JOIN pg_attribute a ON a.attrelid = archive_join.relation AND a.attname = k.name AND NOT a.attisdropped
     WHERE p.part = which
     GROUP BY p.key_columns HAVING count(*) = cardinality(p.key_columns)
$function$;
COMMENT ON FUNCTION migrollback_schema.archive_join(bigint, oid, boolean) IS
    'SQL that finds the row (t) of a kept one (a), by its key before, or by_new: after the migration; NULL where the '
    'table has no such columns. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.folded_rows(which bigint, keys_changed boolean)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT format(
        CASE WHEN NOT folded_rows.keys_changed THEN
        'SELECT l.batch, l.op, l.h, f.skip%5$s%6$s FROM '
        '(SELECT DISTINCT ON (%3$s) * FROM migrollback_archive.%1$I ORDER BY %3$s, batch) f JOIN '
        '(SELECT DISTINCT ON (%3$s) * FROM migrollback_archive.%1$I ORDER BY %3$s, batch DESC) l USING (%3$s)'
        ELSE
        -- a row is followed from statement to statement by its keys: each uses the key that the one before left
        'WITH RECURSIVE kept AS MATERIALIZED (SELECT row_number() OVER (ORDER BY x.batch, x.ctid) AS place, x.* '
        'FROM migrollback_archive.%1$I x), '
        'key (place, batch, is_left, %2$s) AS ('
        'SELECT place, batch, false, %3$s FROM kept '
        'UNION ALL SELECT place, batch, true, %4$s FROM kept), '
        'link AS MATERIALIZED (SELECT k.place, k.is_left, '
        'CASE WHEN lag(k.is_left) OVER along THEN lag(k.place) OVER along END AS before '
        'FROM key k WINDOW along AS (PARTITION BY %2$s ORDER BY k.batch, k.is_left)), '
        'chain (first, place) AS ('
        'SELECT l.place, l.place FROM link l WHERE NOT l.is_left AND l.before IS NULL '
        'UNION ALL SELECT c.first, l.place FROM chain c JOIN link l ON l.before = c.place AND NOT l.is_left), '
        -- of two that begin with one key the later was inserted meanwhile
        'ends AS (SELECT DISTINCT ON (%3$s) e.first, e.last FROM (SELECT c.first, max(c.place) AS last FROM chain c '
        'GROUP BY c.first) e JOIN kept f ON f.place = e.first ORDER BY %3$s, e.first) '
        'SELECT l.batch, l.op, l.h, f.skip%5$s%6$s '
        'FROM ends e JOIN kept f ON f.place = e.first JOIN kept l ON l.place = e.last ORDER BY f.place' END,
        part.data, string_agg(format('k%s', k.place), ', ' ORDER BY k.place),
        string_agg(format('c%s', c ->> 'number'), ', ' ORDER BY k.place),
        string_agg(format('CASE WHEN op = ''U'' THEN n%s ELSE c%s END', k.place, c ->> 'number'), ', '
                   ORDER BY k.place),
        -- a row that went is looked for under the key that it had at first
        string_agg(format(', CASE WHEN l.op = ''U'' THEN l.n%1$s ELSE f.c%2$s END AS n%1$s', k.place,
                          c ->> 'number'), '' ORDER BY k.place),
        (SELECT string_agg(format(', f.c%s', o ->> 'number'), '' ORDER BY (o ->> 'number')::int)
           FROM jsonb_array_elements(part.columns) o))
      FROM migrollback_schema.migration_archived_tables part
     CROSS JOIN LATERAL unnest(part.key_columns) WITH ORDINALITY AS k (name, place)
      JOIN jsonb_array_elements(part.columns) c ON c ->> 'name' = k.name
     WHERE part.part = which
     GROUP BY part.data, part.columns
$function$;
COMMENT ON FUNCTION migrollback_schema.folded_rows(bigint, boolean) IS
    'SQL of one row for what several statements kept of the same row, also where they changed its key: as it was '
    'before the first, with the key and the hash that the last left. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.fold_kept_rows(which bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    place constant migrollback_schema.migration_archived_tables := (
        SELECT t FROM migrollback_schema.migration_archived_tables t WHERE t.part = which);
    moved   constant text := (SELECT string_agg(format('n%s IS DISTINCT FROM c%s', k.place, c ->> 'number'), ' OR ')
                                FROM unnest(place.key_columns) WITH ORDINALITY AS k (name, place)
                                JOIN jsonb_array_elements(place.columns) c ON c ->> 'name' = k.name);
    fresh   constant text := 'a_' || left(replace(gen_random_uuid()::text, '-', ''), 20);
    batches bigint;
    changed boolean;
BEGIN
    -- who writes a row leaves the number of the transaction in it: by that it is seen who wrote it last
    EXECUTE format('UPDATE %s.migration_archived_tables t SET written_in = coalesce('
                   '(SELECT array_agg(DISTINCT x.xmin::text) FROM migrollback_archive.%I x), ''{}'') '
                   'WHERE t.part = $1', 'migrollback_schema', place.data) USING which;
    IF moved IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT count(*), coalesce(bool_or(b.changed), false) FROM (SELECT batch, bool_or(%s) AS changed '
                   'FROM migrollback_archive.%I GROUP BY batch) b', moved, place.data) INTO batches, changed;
    IF batches > 1 THEN
        EXECUTE format('CREATE TABLE migrollback_archive.%I AS %s', fresh,
                       migrollback_schema.folded_rows(which, changed));
        PERFORM migrollback_schema.close_archive('TABLE', format('migrollback_archive.%I', fresh)::regclass,
                                                 format('migrollback_archive.%I', fresh),
                                                 migrollback_schema.system_owner());
        EXECUTE format('DROP TABLE migrollback_archive.%I', place.data);
        IF changed THEN
            EXECUTE format('SELECT coalesce(bool_or(%s), false) FROM migrollback_archive.%I', moved, fresh)
               INTO changed;
        END IF;
    END IF;
    UPDATE migrollback_schema.migration_archived_tables t
       SET keys_changed = changed, data = CASE WHEN batches > 1 THEN fresh ELSE t.data END
     WHERE t.part = place.part;
END $function$;
COMMENT ON FUNCTION migrollback_schema.fold_kept_rows(bigint) IS
    'Writes: makes one of what several statements kept of the same row.';

CREATE OR REPLACE FUNCTION migrollback_schema.mark_kept_rows(which bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    place constant migrollback_schema.migration_archived_tables := (
        SELECT t FROM migrollback_schema.migration_archived_tables t WHERE t.part = which);
    xids     text[] := place.written_in;
    more     text[];
    names    text[];
    matching text;
BEGIN
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = place.relation)
       AND (place.kind = 'table' OR 'rewritten' = ANY (place.what)) THEN
        EXECUTE format('SELECT array_agg(DISTINCT x.xmin::text) FROM %s %s x',
                       CASE WHEN place.only_this THEN 'ONLY' ELSE '' END, place.relation::regclass) INTO more;
        xids := coalesce(xids, '{}') || coalesce(more, '{}');
        matching := migrollback_schema.archive_join(place.part, place.relation, false);
        names := ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = place.relation AND a.attnum > 0
                        AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum);
        IF place.kind = 'columns' AND matching IS NOT NULL THEN
            EXECUTE format('UPDATE migrollback_archive.%I a SET h = %s FROM %s %s t WHERE %s', place.data,
                           migrollback_schema.row_hash_expression('t', names, false),
                           CASE WHEN place.only_this THEN 'ONLY' ELSE '' END, place.relation::regclass, matching);
        END IF;
    END IF;
    UPDATE migrollback_schema.migration_archived_tables t
       SET written_in = coalesce(xids, '{}'),
           hashed = coalesce(names, place.hashed)
     WHERE t.part = place.part;
END $function$;
COMMENT ON FUNCTION migrollback_schema.mark_kept_rows(bigint) IS
    'Writes: keeps by what it is seen later whether another session has written a row since.';

CREATE OR REPLACE FUNCTION migrollback_schema.end_archive(archive bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    place  migrollback_schema.migration_archived_tables;
    number bigint;
BEGIN
    IF archive IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM migrollback_schema.forget_watches();
    FOR place IN SELECT t.* FROM migrollback_schema.migration_archived_tables t
                  WHERE t.archive_id = archive ORDER BY t.part LOOP
        IF place.data IS NOT NULL THEN
            IF place.kind = 'compared' THEN
                PERFORM migrollback_schema.compare_kept_table(place.part);
            ELSIF place.kind = 'rows' THEN
                PERFORM migrollback_schema.fold_kept_rows(place.part);
            END IF;
            SELECT t.* INTO place FROM migrollback_schema.migration_archived_tables t WHERE t.part = place.part;
            PERFORM migrollback_schema.mark_kept_rows(place.part);
            number := place.rows;       -- of a copy it is known
            IF number IS NULL OR place.kind = 'rows' THEN
                EXECUTE format('SELECT count(*) FROM migrollback_archive.%I', place.data) INTO number;
            END IF;
            UPDATE migrollback_schema.migration_archived_tables t
               SET rows = number, bytes = pg_table_size(format('migrollback_archive.%I', place.data)::regclass),
                   sequences = t.sequences || jsonb_build_object('after', migrollback_schema.sequence_states(
                       CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.oid = place.relation)
                            THEN migrollback_schema.sequences_of_table(place.relation) ELSE '{}' END))
             WHERE t.part = place.part;
            IF number = 0 AND place.kind <> 'table' THEN
                EXECUTE format('DROP TABLE migrollback_archive.%I', place.data);
                DELETE FROM migrollback_schema.migration_archived_tables t WHERE t.part = place.part;
            END IF;
        END IF;
    END LOOP;
    UPDATE migrollback_schema.migration_archives a SET why_not = (
        SELECT string_agg(format('%I.%I: %s', t.table_schema, t.table_name, t.why_not), '; ' ORDER BY t.part)
          FROM migrollback_schema.migration_archived_tables t
         WHERE t.archive_id = archive AND t.why_not IS NOT NULL) WHERE a.archive_id = archive;
    PERFORM migrollback_schema.refuse_large_archive(s.rows, s.bytes)
       FROM (SELECT sum(t.rows)::bigint AS rows, sum(t.bytes)::bigint AS bytes
               FROM migrollback_schema.migration_archived_tables t WHERE t.archive_id = archive) s;
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_archived_tables t WHERE t.archive_id = archive) THEN
        DELETE FROM migrollback_schema.migration_archives a WHERE a.archive_id = archive;
    END IF;
    RETURN migrollback_schema.archive_summary(archive);
END $function$;
COMMENT ON FUNCTION migrollback_schema.end_archive(bigint) IS
    'Writes: ends what begin_archive() began, when the SQL has run. Returns what was kept (tables, rows, bytes, '
    'complete: true, or why not) for the event, after which set_archive_event() is called.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_summary(archive bigint) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT jsonb_build_object(
               'tables', coalesce(jsonb_agg(DISTINCT format('%I.%I', t.table_schema, t.table_name)) FILTER (
                   WHERE t.data IS NOT NULL), '[]'),
               'rows', coalesce(sum(t.rows), 0), 'bytes', coalesce(sum(t.bytes), 0),
               'complete', coalesce(to_jsonb(max(a.why_not)), 'true'))
      FROM (SELECT archive AS id) g
      LEFT JOIN migrollback_schema.migration_archives a ON a.archive_id = g.id
      LEFT JOIN migrollback_schema.migration_archived_tables t ON t.archive_id = g.id
$function$;
COMMENT ON FUNCTION migrollback_schema.archive_summary(bigint) IS
    'What an archive holds: tables, rows, bytes, complete (true, or why not). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.set_archive_event(archive bigint, name text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    UPDATE migrollback_schema.migration_archives a
       SET event_number = (SELECT max(e.event_number) FROM migrollback_schema.migration_events e
                            WHERE e.migration_name = name AND e.event IN ('applied', 'rolled_back', 'archive_kept'))
     WHERE a.archive_id = archive
$function$;
COMMENT ON FUNCTION migrollback_schema.set_archive_event(bigint, text) IS
    'Writes: says of which event an archive is, when that has been written.';
