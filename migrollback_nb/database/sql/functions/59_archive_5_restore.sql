-- ---------------------------------------------------------------------------------------------------
-- Archives: restoring one as a whole, in the transaction of the rollback.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.triggers_that_fire(relation oid) RETURNS TABLE (
    tgrelid oid, tgname name, tgenabled "char")
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT g.tgrelid, g.tgname, g.tgenabled FROM pg_trigger g
     WHERE g.tgrelid = ANY (migrollback_schema.table_members(relation)) AND NOT g.tgisinternal
       AND g.tgenabled IN ('O', 'A') AND g.tgtype & 20 > 0 ORDER BY g.tgrelid, g.tgname
$function$;
COMMENT ON FUNCTION migrollback_schema.triggers_that_fire(oid) IS
    'The user''s triggers that fire when rows of a table are inserted or updated. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.restore_part(
    which bigint, overwrite boolean, without_triggers boolean)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    place constant migrollback_schema.migration_archived_tables := (
        SELECT t FROM migrollback_schema.migration_archived_tables t WHERE t.part = which);
    relation   constant oid := migrollback_schema.relation_of_part(place.part);
    triggers   jsonb := '[]';
    one        record;
    done       record;
    problem    text := place.why_not;
    disabled   jsonb := '[]';           -- triggers, as they were
    over       bigint := 0;             -- rows written since, and overwritten by choice
    code       text;
    blocking   text;
BEGIN
    SELECT 0::bigint AS restored, 0::bigint AS conflicts, coalesce(place.rows, 0) AS differing INTO done;
    IF relation IS NULL THEN
        problem := 'the table is not there';
    ELSIF problem IS NULL AND place.data IS NOT NULL THEN
        triggers := (SELECT coalesce(jsonb_agg(DISTINCT g.tgname), '[]')
                       FROM migrollback_schema.triggers_that_fire(relation) g);
        BEGIN
            FOR one IN SELECT * FROM migrollback_schema.triggers_that_fire(relation) WHERE without_triggers LOOP
                EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', one.tgrelid::regclass, one.tgname);
                disabled := disabled || to_jsonb(one);
            END LOOP;
            IF overwrite THEN
                EXECUTE format('SELECT count(*) FROM migrollback_archive.%I a WHERE a.skip', place.data) INTO over;
            END IF;
            problem := migrollback_schema.write_kept_rows(place.part, relation, overwrite);
            SET CONSTRAINTS ALL IMMEDIATE;
            FOR one IN SELECT t.* FROM jsonb_to_recordset(disabled) AS t (tgrelid oid, tgname text, tgenabled text) LOOP
                EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', one.tgrelid::regclass,
                               CASE one.tgenabled WHEN 'A' THEN 'ALWAYS' ELSE '' END, one.tgname);
            END LOOP;
            done := migrollback_schema.compare_restored(place.part, relation);
            -- the number of this transaction: what it wrote is no other session's
            UPDATE migrollback_schema.migration_archived_tables t SET restored_at = clock_timestamp()
             WHERE t.part = place.part;
            UPDATE migrollback_schema.migration_archived_tables t
               SET restored_in = migrollback_schema.migration_row_xmin('migration_archived_tables', 'part',
                                                                       place.part)::text
             WHERE t.part = place.part;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
                RAISE;
            WHEN OTHERS THEN            -- what cannot come back is said, and stays in the archive
                GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, blocking = CONSTRAINT_NAME;
                problem := format('SQLSTATE %s%s', code, coalesce(', ' || nullif(blocking, ''), ''));
                SELECT 0::bigint AS restored, 0::bigint AS conflicts, coalesce(place.rows, 0) AS differing INTO done;
        END;
    END IF;
    UPDATE migrollback_schema.migration_archived_tables t
       SET restored = done.restored, conflicts = done.conflicts, differing = done.differing, failure = problem,
           restored_at = coalesce(t.restored_at, clock_timestamp())
     WHERE t.part = place.part;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'table', format('%I.%I', place.table_schema, place.table_name), 'what', array_to_string(place.what, ', '),
        'restored', done.restored, 'conflicts', done.conflicts, 'differing', nullif(done.differing, 0),
        'failure', problem, 'overwritten', nullif(over, 0),
        'triggers', nullif(triggers, '[]'), 'triggers_disabled', CASE WHEN without_triggers AND triggers <> '[]'
                                                                      THEN true END));
END $function$;
COMMENT ON FUNCTION migrollback_schema.restore_part(bigint, boolean, boolean) IS
    'Writes: puts back one archived table, or says why not; without values.';

CREATE OR REPLACE FUNCTION migrollback_schema.restore_sequences(archive bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one   record;
    now   jsonb;
    found jsonb := '[]';
BEGIN
    FOR one IN SELECT DISTINCT ON (b.key) b.key AS identity, b.value AS before, t.sequences -> 'after' -> b.key AS after
                 FROM migrollback_schema.migration_archived_tables t
                CROSS JOIN LATERAL jsonb_each(coalesce(t.sequences -> 'before', '{}')) b
                WHERE t.archive_id = archive AND to_regclass(b.key) IS NOT NULL ORDER BY b.key, t.part
    LOOP
        now := migrollback_schema.sequence_states(ARRAY[to_regclass(one.identity)::oid]) -> one.identity;
        CONTINUE WHEN now IS NULL OR now ->> 0 IS NULL OR one.before ->> 0 IS NULL
                   OR now -> 0 = one.before -> 0 AND now -> 1 = one.before -> 1;
        -- where numbers were given out since, only forward
        IF one.after IS NULL OR now -> 0 = one.after -> 0 AND now -> 1 = one.after -> 1
           OR (one.before ->> 0)::bigint > (now ->> 0)::bigint THEN
            -- a new file, so that it is undone with the rest
            EXECUTE format('ALTER SEQUENCE %s RESTART', to_regclass(one.identity));
            PERFORM setval(to_regclass(one.identity), (one.before ->> 0)::bigint, (one.before ->> 1)::boolean);
            found := found || to_jsonb(one.identity);
        END IF;
    END LOOP;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.restore_sequences(bigint) IS
    'Writes: sets the sequences of archived tables to where they stood, where no number was given out since. Returns '
    'which.';

CREATE OR REPLACE FUNCTION migrollback_schema.restore_archive(archive bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    overwrite        constant boolean := coalesce(migrollback_schema.archive_setting('on_conflict') = 'archive', false);
    without_triggers constant boolean := coalesce(migrollback_schema.archive_setting('disable_triggers')
                                                  IN ('on', 'true', 'yes', '1'), false);
    place     migrollback_schema.migration_archived_tables;
    tables    jsonb := '[]';
    sequences jsonb;
    before    jsonb;
BEGIN
    IF archive IS NULL THEN
        RETURN NULL;
    END IF;
    before := (SELECT coalesce(jsonb_object_agg(w.oid, jsonb_build_array(w.updated, w.deleted)), '{}')
                 FROM migrollback_schema.rows_written_in_transaction() w);
    -- what others refer to comes first
    FOR place IN
        WITH RECURSIVE kept AS (
            SELECT t.part, migrollback_schema.relation_of_part(t.part) AS oid
              FROM migrollback_schema.migration_archived_tables t WHERE t.archive_id = archive),
        depth (oid, level) AS (
            SELECT k.oid, 0 FROM kept k WHERE k.oid IS NOT NULL
            UNION
            SELECT f.conrelid, d.level + 1 FROM depth d
              JOIN pg_constraint f ON f.confrelid = d.oid AND f.contype = 'f' AND f.conrelid <> f.confrelid
               AND f.conrelid IN (SELECT k.oid FROM kept k) WHERE d.level < 30)
        SELECT t.* FROM migrollback_schema.migration_archived_tables t
          JOIN kept k ON k.part = t.part
          LEFT JOIN LATERAL (SELECT max(d.level) AS level FROM depth d WHERE d.oid = k.oid) l ON true
         WHERE t.archive_id = archive
         ORDER BY coalesce(l.level, 0), (t.kind = 'columns'), t.part
    LOOP
        tables := tables || migrollback_schema.restore_part(place.part, overwrite, without_triggers);
    END LOOP;
    sequences := migrollback_schema.restore_sequences(archive);
    UPDATE migrollback_schema.migration_archives a SET restored_at = clock_timestamp() WHERE a.archive_id = archive;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'event', (SELECT a.event_number FROM migrollback_schema.migration_archives a WHERE a.archive_id = archive),
        'tables', tables, 'sequences', nullif(sequences, '[]'),
        'written', (SELECT jsonb_object_agg(w.oid, jsonb_build_array(
                               w.updated - coalesce((before #>> ARRAY[w.oid::text, '0'])::bigint, 0),
                               w.deleted - coalesce((before #>> ARRAY[w.oid::text, '1'])::bigint, 0)))
                      FROM migrollback_schema.rows_written_in_transaction() w)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.restore_archive(bigint) IS
    'Writes: puts back what an archive holds, tables in the order of their foreign keys, then sequences; conflicts '
    'stay as they are unless the setting migrollback.on_conflict is archive; the user''s triggers fire unless '
    'migrollback.disable_triggers is on. Returns for the event, without values: event, tables (table, restored, '
    'conflicts, differing, failure, triggers), sequences. After prepare_archive().';

CREATE OR REPLACE FUNCTION migrollback_schema.with_restored_writes(counts jsonb, details jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT counts || coalesce(jsonb_object_agg(s.key, jsonb_build_array(
               s.updated + coalesce((counts #>> ARRAY[s.key, '0'])::bigint, 0),
               s.deleted + coalesce((counts #>> ARRAY[s.key, '1'])::bigint, 0))), '{}')
      FROM (SELECT w.key, sum((w.value ->> 0)::bigint) AS updated, sum((w.value ->> 1)::bigint) AS deleted
              FROM jsonb_each(details) d
             CROSS JOIN LATERAL jsonb_each(coalesce(d.value #> '{restored,written}', '{}')) w GROUP BY w.key) s
$function$;
COMMENT ON FUNCTION migrollback_schema.with_restored_writes(jsonb, jsonb) IS
    'Counts of rows ([updated, deleted] by table) with those that were written to put back what an archive held, by '
    'the details of events. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.effects_of_restoring(reports jsonb, known_by text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(migrollback_schema.migration_effect('values_not_restored', t ->> 'table',
                        (t ->> 'conflicts')::bigint + coalesce((t ->> 'differing')::bigint, 0),
                        coalesce(t ->> 'failure', CASE WHEN t ? 'differing' THEN 'not as they were' ELSE
                                                      'written or deleted since' END), known_by, NULL::text, false)
                              ORDER BY t ->> 'table'), '[]')
      FROM jsonb_array_elements(CASE jsonb_typeof(reports) WHEN 'array' THEN reports END) r
     CROSS JOIN LATERAL jsonb_array_elements(r -> 'tables') t
     WHERE (t ->> 'conflicts')::bigint + coalesce((t ->> 'differing')::bigint, 0) > 0 OR t ? 'failure');
END $function$;
COMMENT ON FUNCTION migrollback_schema.effects_of_restoring(jsonb, text) IS
    'Effects values_not_restored of what an archive did not put back, by what restore_archive() returned. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.left_of_archived(name text, what text, identity text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
DECLARE
    archive bigint;
    parts   text[];
    place   migrollback_schema.migration_archived_tables;
BEGIN
    -- the empty answer costs nothing where nothing is ever kept
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_archives a WHERE a.migration_name = name) THEN
        RETURN NULL;
    END IF;
    archive := migrollback_schema.archive_of_migration(name, 'apply');
    parts := parse_ident(identity, false);
    SELECT t.* INTO place FROM migrollback_schema.migration_archived_tables t
     WHERE t.archive_id = archive
       AND (t.table_schema = parts[1] AND t.table_name = parts[2]
            OR to_regclass(format('%I.%I', parts[1], parts[2]))::oid
                   = ANY (coalesce(migrollback_schema.table_members(t.relation), '{}')))
       AND (t.kind = 'table' OR t.kind = 'rows' AND left_of_archived.what IN ('updated', 'deleted')
            OR t.kind = 'columns' AND left_of_archived.what IN ('column dropped', 'rewritten')
               AND jsonb_path_exists(t.columns, '$[*] ? (@.name == $name)', jsonb_build_object('name', parts[3])))
     ORDER BY t.why_not NULLS FIRST LIMIT 1;
    IF place.part IS NULL AND left_of_archived.what = 'updated' AND cardinality(parts) = 2 THEN
        -- what was updated was dropped as well, as the text says
        SELECT t.* INTO place FROM migrollback_schema.migration_archived_tables t
         WHERE t.archive_id = archive AND t.table_schema = parts[1] AND t.table_name = parts[2] LIMIT 1;
    END IF;
    RETURN CASE WHEN place.part IS NOT NULL AND place.why_not IS NULL THEN 0 END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.left_of_archived(text, text, text) IS
    'Of what a migration destroyed, how much does not come back: 0 where the archive has it (what was not put back, '
    'effects_of_restoring() says); NULL where it was not kept. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.begin_rollback_archive(
    name text, otherwise_path text, session_path text, session_settings jsonb)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    planned constant migrollback_schema.migration_history := (
        SELECT h FROM migrollback_schema.migration_history h WHERE h.migration_name = name);
    parsed constant boolean := coalesce(planned.metadata #>> '{rollback,md5}'
                                            = md5(convert_to(planned.rollback_sql, 'UTF8')), false);
BEGIN
    IF NOT migrollback_schema.is_archiving() THEN
        RETURN NULL;
    END IF;
    RETURN migrollback_schema.begin_archive(
        planned.migration_name, 'rollback', CASE WHEN parsed THEN jsonb_build_object(
            'values', planned.metadata #> '{rollback,drops}',
            'writes', coalesce(planned.metadata #> '{rollback,writes}', '[]') <> '[]',
            'unseen', coalesce(planned.metadata #> '{rollback,unseen}', '[]') <> '[]',
            'calls', (SELECT coalesce(jsonb_agg(DISTINCT c ->> -1), '[]')
                        FROM jsonb_array_elements(coalesce(planned.metadata #> '{rollback,calls}', '[]')) c)) END,
        migrollback_schema.migration_rollback_statements(planned.rollback_sql, planned.metadata),
        migrollback_schema.migration_rollback_path(planned.metadata, otherwise_path), session_path, session_settings);
END $function$;
COMMENT ON FUNCTION migrollback_schema.begin_rollback_archive(
    text, text, text, jsonb) IS
    'Writes, where the setting migrollback.archive is on: begin_archive() of what the rollback of a migration '
    'destroys.';

CREATE OR REPLACE FUNCTION migrollback_schema.end_rollback_archive(archive bigint, to_restore bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'archive', migrollback_schema.end_archive(archive),
        'restored', migrollback_schema.restore_archive(to_restore)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.end_rollback_archive(bigint, bigint) IS
    'Writes: end_archive() of what the rollback destroyed, then restore_archive() of what its up migration had '
    'destroyed. Returns both for the event.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_words(names text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_archives a WHERE a.migration_name = ANY (names)) THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT nullif(concat_ws(', and ',
                   'brings back from the archive: ' || string_agg(
                       format('%s of %I.%I (%s%s)', migrollback_schema.counted_words(t.rows, false, 'row'::text),
                              t.table_schema, t.table_name,
                              array_to_string(t.what, ', '),
                              (SELECT ': ' || string_agg(quote_ident(c ->> 'name'), ', '
                                                         ORDER BY (c ->> 'number')::int)
                                 FROM jsonb_array_elements(t.columns) c
                                WHERE t.kind = 'columns' AND c ->> 'name' <> ALL (coalesce(t.key_columns, '{}')))),
                       '; ' ORDER BY t.part) FILTER (
                       WHERE t.rows > 0 AND t.why_not IS NULL AND t.data IS NOT NULL),
                   'has no archive of ' || string_agg(
                       format('%I.%I (%s): %s', t.table_schema, t.table_name, array_to_string(t.what, ', '),
                              t.why_not), '; ' ORDER BY t.part) FILTER (
                       WHERE t.data IS NULL AND t.why_not IS NOT NULL)), '')
          FROM unnest(names) AS n (name)
          JOIN migrollback_schema.migration_archived_tables t
            ON t.archive_id = migrollback_schema.archive_of_migration(n.name, 'apply'::text));
END $function$;
COMMENT ON FUNCTION migrollback_schema.archive_words(text[]) IS
    'What the rollbacks of these migrations bring back from archives, and of which tables nothing was kept, in words; '
    'NULL: nothing was. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.with_unarchived(archive bigint, name text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    lacking text;
BEGIN
    IF archive IS NULL THEN
        RETURN '{}';
    END IF;
    -- the event comes later: until then the archive has none
    UPDATE migrollback_schema.migration_archives a SET event_number = 9223372036854775807 WHERE a.archive_id = archive;
    SELECT string_agg(format('%s: %s, not foreseen', d.identity, d.what), '; ' ORDER BY d.identity) INTO lacking
      FROM migrollback_schema.migration_destroyed_values d
     WHERE d.migration_name = with_unarchived.name AND d.rows > 0
       AND migrollback_schema.left_of_archived(d.migration_name, d.what, d.identity) IS NULL
       AND NOT EXISTS (SELECT FROM migrollback_schema.migration_archived_tables t
                        WHERE t.archive_id = archive AND t.why_not IS NOT NULL
                          AND starts_with(d.identity || '.', format('%I.%I.', t.table_schema, t.table_name)));
    UPDATE migrollback_schema.migration_archives a
       SET event_number = NULL, why_not = coalesce(concat_ws('; ', a.why_not, lacking), a.why_not)
     WHERE a.archive_id = archive AND (lacking IS NOT NULL OR a.event_number IS NOT NULL);
    UPDATE migrollback_schema.migration_archives a SET why_not = nullif(a.why_not, '') WHERE a.archive_id = archive;
    RETURN jsonb_build_object('archive', migrollback_schema.archive_summary(archive));
END $function$;
COMMENT ON FUNCTION migrollback_schema.with_unarchived(bigint, text) IS
    'Writes: says of an archive what the migration destroyed that is not in it, as record_destroyed_values() found. '
    'Returns its summary anew.';
