-- ---------------------------------------------------------------------------------------------------
-- Hashes of rows beside the audit log, which the event that tells of a row keeps.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.hash_of_fields(fields text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT encode(sha256(convert_to(string_agg(
               coalesce(octet_length(convert_to(f.field, 'UTF8')) || ':' || f.field, '-') || ',', '' ORDER BY f.place),
               'UTF8')), 'hex')
    FROM unnest(fields) WITH ORDINALITY AS f (field, place)
$function$;
COMMENT ON FUNCTION migrollback_schema.hash_of_fields(text[]) IS
    'SHA-256 (hex) over texts, each as its length in bytes, a colon, itself and a comma, NULL as "-,": as '
    'migration_event_hash() counts. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_history_hash(name text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
BEGIN
    RETURN (SELECT migrollback_schema.hash_of_fields(ARRAY[
                h.id::text, h.migration_name, h.migration_version,
                ((extract(epoch FROM h.applied_at) * 1000000)::bigint)::text, h.applied_by, h.rollback_sql, h.checksum,
                h.status, ((extract(epoch FROM h.rollback_at) * 1000000)::bigint)::text, h.rollback_by, h.notes,
                h.metadata::text])
            FROM migrollback_schema.migration_history h
            WHERE h.migration_name = migration_history_hash.name);
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_history_hash(text) IS
    'hash_of_fields() over the history row of a migration: id, migration_name, migration_version, applied_at and '
    'rollback_at in epoch microseconds, the other columns as text, in the order of the table, rollback_at before '
    'rollback_by. NULL: there is no such row. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_snapshot_hash(snapshot uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT migrollback_schema.hash_of_fields(ARRAY[
               s.id::text, s.migration_name, s.description,
               ((extract(epoch FROM s.taken_at) * 1000000)::bigint)::text, s.taken_by, s.token, s.objects::text])
    FROM migrollback_schema.migration_snapshots s WHERE s.id = snapshot
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_snapshot_hash(uuid) IS
    'hash_of_fields() over a snapshot: id, migration_name, description, taken_at in epoch microseconds, taken_by, '
    'token, objects. NULL: there is none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_system_state(OUT functions text, OUT tables text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    ours record := migrollback_schema.migration_system_objects();
BEGIN
    -- Not by pg_get_functiondef(): what that prints depends on the version of the server.
    SELECT migrollback_schema.hash_of_fields(array_agg(concat_ws('|', p.proname, oidvectortypes(p.proargtypes),
               format_type(p.prorettype, NULL), l.lanname, p.prosecdef, p.provolatile, p.proisstrict,
               p.proleakproof, p.proconfig, p.prosrc) ORDER BY p.proname COLLATE "C")) INTO functions
      FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = ANY (ours.routines);
    SELECT migrollback_schema.hash_of_fields(array_agg(d.part ORDER BY d.part COLLATE "C")) INTO tables
      FROM (SELECT concat_ws('|', 'column', migrollback_schema.scoped_definition(c.relname::text), a.attname,
                             format_type(a.atttypid, a.atttypmod), a.attnotnull) AS part
              FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.oid = ANY (ours.tables) AND c.relkind = 'r'
               AND (a.attname <> 'scope' OR c.relname !~ '_of_scopes$')
            UNION ALL
            -- NOT NULL is a constraint of its own since PostgreSQL 18
            SELECT concat_ws('|', 'constraint', migrollback_schema.scoped_definition(c.relname::text), k.conname,
                             k.convalidated, migrollback_schema.scoped_definition(pg_get_constraintdef(k.oid)))
              FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype <> 'n'
             WHERE c.oid = ANY (ours.tables)
            UNION ALL
            SELECT concat_ws('|', 'trigger', migrollback_schema.scoped_definition(c.relname::text), t.tgname, p.proname,
                             t.tgtype, t.tgenabled)
              FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
              JOIN pg_proc p ON p.oid = t.tgfoid AND p.oid = ANY (ours.routines)
             WHERE c.oid = ANY (ours.tables)) d;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_system_state() IS
    'Hashes over this system''s functions (their text and settings) and tables (columns, constraints, triggers): what '
    'install keeps in its event. Does not write.';
