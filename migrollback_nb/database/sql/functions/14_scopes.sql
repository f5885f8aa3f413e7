-- ---------------------------------------------------------------------------------------------------
-- Scopes: several histories in one installation, one for each tenant's schema: choosing, locking, adding them.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_scope_name() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(current_setting('migrollback.scope', true), '')
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_scope_name() IS
    'The scope of this session, which its setting migrollback.scope names; empty: the history of the whole database. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_gate_name(gate text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT gate || coalesce('_' || left(md5(nullif(current_setting('migrollback.scope', true), '')), 12), '')
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_gate_name(text) IS
    'The table that is locked in place of this one (migration_gate, migration_event_gate) in the scope of this '
    'session: so that tenants do not wait for each other. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.require_migration_scope() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF to_regclass(format('%s.%I', 'migrollback_schema', migrollback_schema.migration_gate_name('migration_gate')))
       IS NULL THEN
        RAISE EXCEPTION 'there is no scope % here', migrollback_schema.migration_scope_name()
            USING ERRCODE = 'MR006', HINT = 'migrollback install --scope NAME adds it, add_migration_scopes() in SQL. '
                'Without a scope: RESET migrollback.scope.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.require_migration_scope() IS
    'SQLSTATE MR006 where the setting migrollback.scope names a scope that was not added. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.lock_gate(gate text, mode text, wait boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF migrollback_schema.migration_scope_name() <> '' THEN
        PERFORM migrollback_schema.require_migration_scope();
        -- what changes all scopes, as install does, takes this one in a mode that waits for it
        IF gate = 'migration_gate' THEN
            EXECUTE format('LOCK TABLE %s.%I IN ROW SHARE MODE%s', 'migrollback_schema', gate,
                           CASE WHEN NOT wait THEN ' NOWAIT' END);
        END IF;
    END IF;
    EXECUTE format('LOCK TABLE %s.%I IN %s MODE%s', 'migrollback_schema', migrollback_schema.migration_gate_name(gate),
                   mode, CASE WHEN NOT wait THEN ' NOWAIT' END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.lock_gate(text, text, boolean) IS
    'Locks a gate of this session''s scope until the transaction ends. A scope waits for the history of the whole '
    'database and for install, and they for it; scopes do not wait for each other. SQLSTATE MR006: no such scope. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.system_migration_of_scope() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (SELECT jsonb_build_object('name', h.migration_name, 'version', h.migration_version, 'checksum', h.checksum,
                       'metadata', h.metadata - 'rollback' || jsonb_build_object(
                           'rollback_remark', 'one system serves all scopes: it is removed without one'))
              FROM migrollback_schema.migration_history h
             WHERE migrollback_schema.is_system_migration(h.migration_name));
END $function$;
COMMENT ON FUNCTION migrollback_schema.system_migration_of_scope() IS
    'The system''s own row of this session''s scope as it is to stand in another one: name, version, checksum, '
    'metadata; without rollback SQL. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.begin_migration_scope(own jsonb, production boolean, client text)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.save_migration(own ->> 'name', own ->> 'version', NULL::text, own ->> 'checksum',
                                              '{}'::text[], own -> 'metadata');
    PERFORM migrollback_schema.add_migration_event('installed'::text, own ->> 'name', NULL::uuid, NULL::text, client,
        jsonb_build_object('version', own #>> '{metadata,system_version}', 'system_state',
                           to_jsonb(migrollback_schema.migration_system_state())));
    IF production THEN
        PERFORM migrollback_schema.mark_production_database(true, 'the database was marked when the scope was added',
                                                            client);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.begin_migration_scope(jsonb, boolean, text) IS
    'Writes: the first row and event of the history of the session''s scope. own: system_migration_of_scope() of the '
    'history of the whole database.';

CREATE OR REPLACE FUNCTION migrollback_schema.upgrade_migration_scopes(from_version text, client text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    own constant jsonb := migrollback_schema.system_migration_of_scope();
    one text;
BEGIN
    FOR one IN SELECT s.scope FROM migrollback_schema.migration_scopes s ORDER BY s.scope LOOP
        PERFORM set_config('migrollback.scope', one, true);
        PERFORM migrollback_schema.save_migration(own ->> 'name', own ->> 'version', NULL::text, own ->> 'checksum',
                                                  '{}'::text[], own -> 'metadata');
        PERFORM migrollback_schema.add_migration_event('upgraded'::text, own ->> 'name', NULL::uuid, NULL::text,
            upgrade_migration_scopes.client, jsonb_build_object(
                'from', from_version, 'to', own #>> '{metadata,system_version}', 'system_state',
                to_jsonb(migrollback_schema.migration_system_state())));
    END LOOP;
    PERFORM set_config('migrollback.scope', '', true);
END $function$;
COMMENT ON FUNCTION migrollback_schema.upgrade_migration_scopes(text, text) IS
    'Writes: tells each scope that the system was upgraded. The caller holds the gate of the whole database, and its '
    'scope is empty.';

CREATE OR REPLACE FUNCTION migrollback_schema.add_migration_scopes(
    scopes text[], more_schemas text[] DEFAULT '{}', client text DEFAULT NULL)
RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before  constant text := migrollback_schema.migration_scope_name();
    added   text[];
    missing text;
    kept    text[];
    own     jsonb;
    marked  boolean;
    one     text;
    gate    text;
    fresh   text[] := '{}';
BEGIN
    IF coalesce(cardinality(scopes), 0) = 0 OR array_position(scopes || more_schemas, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'no schema was named' USING ERRCODE = 'MR006', HINT = 'Name the tenants'' schemas.';
    ELSIF cardinality(scopes) > 1 AND cardinality(more_schemas) > 0 THEN
        RAISE EXCEPTION 'of which of % scopes the other schemas are was not said', cardinality(scopes)
            USING ERRCODE = 'MR006', HINT = 'Add the scope that has several schemas by a call of its own.';
    END IF;
    SELECT s.name INTO missing FROM unnest(scopes || more_schemas) AS s (name)
     WHERE to_regnamespace(quote_ident(s.name)) IS NULL OR s.name ~ '^pg_' OR s.name = 'information_schema'
        OR s.name = 'migrollback_archive' LIMIT 1;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'there is no schema % of one''s own here', quote_ident(missing) USING ERRCODE = 'MR006',
            HINT = 'Create the schema first.';
    END IF;
    PERFORM set_config('migrollback.scope', '', true);
    PERFORM migrollback_schema.lock_migrations();
    added := ARRAY(SELECT DISTINCT s.name FROM unnest(scopes) AS s (name)
                    WHERE NOT EXISTS (SELECT FROM migrollback_schema.migration_scopes m WHERE m.scope = s.name)
                    ORDER BY 1);
    IF added = '{}' THEN
        SELECT m.schemas INTO kept FROM migrollback_schema.migration_scopes m WHERE m.scope = scopes[1];
        IF cardinality(more_schemas) > 0 AND NOT (kept @> more_schemas AND more_schemas || scopes @> kept) THEN
            RAISE EXCEPTION 'the scope % has other schemas: %', quote_ident(scopes[1]), array_to_string(kept, ', ')
                USING ERRCODE = 'MR006', HINT = 'Its snapshots hold no others, and could not be compared.';
        END IF;
        PERFORM set_config('migrollback.scope', before, true);
        RETURN added;
    END IF;
    PERFORM migrollback_schema.divide_migration_tables();
    own := migrollback_schema.system_migration_of_scope();
    marked := migrollback_schema.is_production_database();
    INSERT INTO migrollback_schema.migration_scopes (scope, schemas)
    SELECT a.name, ARRAY(SELECT DISTINCT n.name FROM unnest(a.name || more_schemas) AS n (name) ORDER BY 1)
      FROM unnest(added) AS a (name);
    FOREACH one IN ARRAY added LOOP
        PERFORM set_config('migrollback.scope', one, true);
        FOREACH gate IN ARRAY '{migration_gate,migration_event_gate}'::text[] LOOP
            gate := format('%s.%I', 'migrollback_schema', migrollback_schema.migration_gate_name(gate));
            EXECUTE format('CREATE TABLE %s ()', gate);
            EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', gate);
            EXECUTE format('COMMENT ON TABLE %s IS %L', gate, format('Has no rows: is locked in place of the one '
                           'without a number in scope %s.', one));
            fresh := fresh || format('TABLE %s', gate::regclass);
        END LOOP;
        PERFORM migrollback_schema.begin_migration_scope(own, marked, add_migration_scopes.client);
    END LOOP;
    PERFORM set_config('migrollback.scope', '', true);
    PERFORM migrollback_schema.revoke_public_privileges(fresh || ARRAY(
        SELECT format('TABLE %s', to_regclass(format('%s.%I', 'migrollback_schema', t.name)))
          FROM unnest(migrollback_schema.divided_table_names()) AS t (name)));
    PERFORM migrollback_schema.set_migration_row_security();
    PERFORM migrollback_schema.restore_migration_roles();
    PERFORM migrollback_schema.adapt_system_rollback();
    PERFORM migrollback_schema.add_migration_event('scope_added'::text, own ->> 'name', NULL::uuid, NULL::text,
        add_migration_scopes.client, jsonb_build_object('scopes', added, 'schemas', added || more_schemas));
    PERFORM set_config('migrollback.scope', before, true);
    RETURN added;
END $function$;
COMMENT ON FUNCTION migrollback_schema.add_migration_scopes(text[], text[], text) IS
    'Writes: gives each of these schemas a history of its own, which SET migrollback.scope chooses, and returns those '
    'that had none. Snapshots, tokens, verification, drift and inferred dependencies of a scope look at its schema, '
    'at more_schemas (of a single scope), and at what these depend on; what a migration or a rollback writes to the '
    'schema outside of it is told apart (migration_outside_writes()). SQLSTATE MR006: no such schema.';

CREATE OR REPLACE FUNCTION migrollback_schema.register_migrations_in_scopes(
    scopes text[], migrations jsonb, client text DEFAULT NULL)
RETURNS TABLE (scope text, migration_name text, verdict text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before constant text := migrollback_schema.migration_scope_name();
    one    text;
BEGIN
    FOREACH one IN ARRAY ARRAY(SELECT DISTINCT s.name FROM unnest(scopes) AS s (name) ORDER BY 1) LOOP
        PERFORM set_config('migrollback.scope', one, true);
        RETURN QUERY
            SELECT one, r.migration_name, r.verdict
              FROM migrollback_schema.register_migrations(register_migrations_in_scopes.migrations,
                   register_migrations_in_scopes.client, concat_ws(', ', quote_ident(one), 'public')) r;
    END LOOP;
    PERFORM set_config('migrollback.scope', before, true);
END $function$;
COMMENT ON FUNCTION migrollback_schema.register_migrations_in_scopes(text[], jsonb, text) IS
    'Writes: register_migrations() in each of these scopes, in all or in none. Their rollback SQL runs with the '
    'scope''s schema first in the path, then public. SQLSTATE MR006: no such scope; else as register_migrations().';
