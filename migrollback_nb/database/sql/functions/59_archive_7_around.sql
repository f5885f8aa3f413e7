-- ---------------------------------------------------------------------------------------------------
-- Archives around another tool: kept before it runs, compared when it has run.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.begin_archive_around(
    name text, destroys jsonb, statements text[],
    search_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    PERFORM set_config('migrollback.archive', 'on', true), set_config('migrollback.archive_compared', 'on', true);
    RETURN migrollback_schema.begin_archive(
        begin_archive_around.name, 'apply'::text, destroys, statements, begin_archive_around.search_path,
        current_setting('search_path'), '{}'::jsonb);
END $function$;
COMMENT ON FUNCTION migrollback_schema.begin_archive_around(text, jsonb, text[], text) IS
    'Writes: keeps whole what another tool is about to destroy, for end_archive_around(). Returns the archive. Between '
    'the two others may write what is then taken for the tool''s.';

CREATE OR REPLACE FUNCTION migrollback_schema.end_archive_around(
    archive bigint, name text, client text DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one     record;
    summary jsonb;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    IF EXISTS (SELECT FROM migrollback_schema.migration_history h
                WHERE h.migration_name = name AND h.status <> 'rolled_back') THEN
        summary := migrollback_schema.end_archive(archive);
        PERFORM migrollback_schema.add_migration_event('archive_kept', name, NULL::uuid, NULL::text,
                                                       end_archive_around.client,
                                                       jsonb_build_object('archive', summary));
        PERFORM migrollback_schema.set_archive_event(archive, name);
        RETURN summary;
    END IF;
    -- it was not applied: nothing of it was destroyed
    FOR one IN SELECT t.data FROM migrollback_schema.migration_archived_tables t
                WHERE t.archive_id = archive AND t.data IS NOT NULL LOOP
        EXECUTE format('DROP TABLE migrollback_archive.%I', one.data);
    END LOOP;
    DELETE FROM migrollback_schema.migration_archived_tables t WHERE t.archive_id = archive;
    DELETE FROM migrollback_schema.migration_archives a WHERE a.archive_id = archive;
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.end_archive_around(bigint, text, text) IS
    'Writes: leaves in an archive of begin_archive_around() what the migration destroyed, with an event, or throws it '
    'away where it was not applied (then it returns NULL).';
