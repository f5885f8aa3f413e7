-- ---------------------------------------------------------------------------------------------------
-- Proofs: what a replay on a scratch database has shown of a rollback, kept by the text that it has run.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.record_migration_proofs(proofs jsonb, client text DEFAULT NULL)
RETURNS TABLE (migration_name text, grade text, is_registered boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
#variable_conflict use_column
DECLARE
    grades jsonb;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    DELETE FROM migrollback_schema.migration_proofs p
     USING jsonb_to_recordset(record_migration_proofs.proofs) AS w (migration_name text, checksum text)
     WHERE p.migration_name = w.migration_name AND p.checksum = w.checksum;
    INSERT INTO migrollback_schema.migration_proofs AS p (migration_name, checksum, grade, effects, differences,
                                                          server_version, client, rollback_md5)
    SELECT DISTINCT ON (w.migration_name, w.checksum)
           w.migration_name, w.checksum, w.grade, coalesce(w.effects, '[]'), coalesce(w.differences, '[]'),
           w.server_version, record_migration_proofs.client, w.rollback_md5
    FROM jsonb_to_recordset(record_migration_proofs.proofs) AS w (migration_name text, checksum text, grade text,
        effects jsonb, differences jsonb, server_version text, rollback_md5 text)
    ORDER BY w.migration_name, w.checksum;
    SELECT jsonb_object_agg(w.migration_name, w.grade) INTO grades
      FROM jsonb_to_recordset(record_migration_proofs.proofs) AS w (migration_name text, grade text);
    IF grades IS NOT NULL THEN
        PERFORM migrollback_schema.add_migration_event('proven', NULL::text, NULL::uuid, NULL::text,
                                                       record_migration_proofs.client,
                                                       jsonb_build_object('grades', grades));
    END IF;
    RETURN QUERY
        SELECT w.migration_name, w.grade,
               EXISTS (SELECT FROM migrollback_schema.migration_history h
                        WHERE h.migration_name = w.migration_name AND h.checksum = w.checksum
                          AND md5(convert_to(h.rollback_sql, 'UTF8')) IS NOT DISTINCT FROM w.rollback_md5)
        FROM ROWS FROM (jsonb_to_recordset(record_migration_proofs.proofs) AS (
            migration_name text, checksum text, grade text, rollback_md5 text)) WITH ORDINALITY
            AS w (migration_name, checksum, grade, rollback_md5, place)
        ORDER BY w.place;
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_migration_proofs(jsonb, text) IS
    'Writes: keeps grades of verify, and one event (proven) with all of them. proofs: an array of objects '
    '(migration_name, checksum, grade, effects, differences, server_version, rollback_md5); the newest of a name and '
    'checksum stays. One row each; is_registered: the migration is registered with this very text and rollback SQL, '
    'so that check quotes it.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_proof(name text)
RETURNS TABLE (grade text, effects jsonb, proven_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT p.grade, p.effects, p.proven_at
    FROM migrollback_schema.migration_history h
    JOIN migrollback_schema.migration_proofs p ON p.migration_name = h.migration_name AND p.checksum = h.checksum
    WHERE h.migration_name = migration_proof.name
      AND p.rollback_md5 IS NOT DISTINCT FROM md5(convert_to(h.rollback_sql, 'UTF8'))
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_proof(text) IS
    'What a replay has proven of the registered text of a migration and its rollback SQL, unchanged since; no row '
    'where nothing is proven. Does not write.';
