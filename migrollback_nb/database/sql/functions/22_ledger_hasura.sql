-- ---------------------------------------------------------------------------------------------------
-- Hasura's ledger: JSON in the row of its catalog, or a table where its state was not copied there yet.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.hasura_versions(ledger regclass)
RETURNS TABLE (version text, dirty boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    state jsonb;
BEGIN
    EXECUTE format('SELECT l.cli_state -> ''migrations'' FROM %s l LIMIT 1', ledger) INTO state;
    IF jsonb_typeof(state) = 'object' AND state <> '{}' THEN
        RETURN QUERY
            SELECT CASE d.key WHEN 'default' THEN '' ELSE d.key || ':' END || m.key, m.value = 'true'::jsonb
              FROM jsonb_each(state) AS d (key, value)
             CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(d.value) = 'object' THEN d.value END) AS m;
    ELSIF to_regclass('hdb_catalog.schema_migrations') IS NOT NULL THEN
        RETURN QUERY EXECUTE 'SELECT l.version::text, l.dirty FROM hdb_catalog.schema_migrations l';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.hasura_versions(regclass) IS
    'What Hasura''s ledger holds: versions, of another database than its default one as DATABASE:VERSION, and '
    'whether it did not come to its end. ledger: hdb_catalog.hdb_version. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.set_hasura_version(ledger regclass, version text, applied boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    place   text[] := ARRAY['migrations', CASE WHEN strpos(version, ':') > 0
                                               THEN regexp_replace(version, ':[^:]*$', '') ELSE 'default' END,
                            regexp_replace(version, '^.*:', '')];
    state   jsonb;
    written jsonb;
BEGIN
    EXECUTE format('SELECT l.cli_state FROM %s l LIMIT 1 FOR UPDATE', ledger) INTO state;
    IF coalesce(state -> 'migrations', '{}') = '{}' AND to_regclass('hdb_catalog.schema_migrations') IS NOT NULL THEN
        EXECUTE CASE WHEN applied
            THEN 'INSERT INTO hdb_catalog.schema_migrations AS l (version, dirty) VALUES ($1::bigint, false) '
                 'ON CONFLICT (version) DO NOTHING RETURNING to_jsonb(l)'
            ELSE 'DELETE FROM hdb_catalog.schema_migrations AS l WHERE l.version = $1::bigint RETURNING to_jsonb(l)' END
           INTO written USING place[3];
        RETURN written;
    END IF;
    IF (state #> place IS NOT NULL) = applied THEN
        RETURN NULL;
    END IF;
    IF applied THEN
        state := jsonb_set(coalesce(state, '{}'), place[1:1], coalesce(state -> 'migrations', '{}'));
        state := jsonb_set(state, place[1:2], coalesce(state #> place[1:2], '{}'));
        state := jsonb_set(state, place, 'false');
    ELSE
        state := state #- place;
    END IF;
    EXECUTE format('UPDATE %s SET cli_state = $1', ledger) USING state;
    RETURN jsonb_build_object('database', place[2], 'version', place[3]);
END $function$;
COMMENT ON FUNCTION migrollback_schema.set_hasura_version(regclass, text, boolean) IS
    'Writes: puts a version into Hasura''s ledger (hdb_catalog.hdb_version), or takes it out. Returns what was '
    'written or taken out; NULL where it was so already.';
