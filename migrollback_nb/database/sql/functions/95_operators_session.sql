-- ---------------------------------------------------------------------------------------------------
-- What an operator's session may bring with it: nothing that could act with the rights of the gate's owner.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.operator_gate() RETURNS TABLE (migration_name text, version text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
    SELECT h.migration_name, coalesce(h.metadata ->> 'system_version', '0.1.0')
    FROM migrollback_schema.migration_history h
    WHERE h.metadata ->> 'system' = 'true' AND h.status <> 'rolled_back' ORDER BY h.migration_name
$function$;
COMMENT ON FUNCTION migrollback_schema.operator_gate() IS
    'Of which version the system is. Who may call it is an operator. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.operator_session_refusal() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    gate  constant oid := to_regprocedure('migrollback_schema' || '.operator_gate()');
    our_owner constant oid := (SELECT p.proowner FROM pg_proc p WHERE p.oid = gate);
    here  constant oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
    found text;
BEGIN
    -- All kinds of them: a function or an operator of pg_temp can stand in for another as well as a table can.
    IF pg_my_temp_schema() <> 0 AND EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass
                                             AND d.refobjid = pg_my_temp_schema()) THEN
        RETURN 'This session holds temporary objects, which could stand in for what the rollback SQL names: DISCARD '
               'TEMP, or open another session';
    ELSIF pg_has_role(session_user, our_owner, 'MEMBER') THEN
        RETURN NULL;                    -- it has the owner's rights anyway
    END IF;
    SELECT string_agg(o.what, ', ' ORDER BY o.what) INTO found
      FROM (SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS what FROM pg_shdepend d
             WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
               AND (d.dbid = here OR d.dbid = 0 AND d.classid = 'pg_database'::regclass AND d.objid = here)
               AND pg_has_role(session_user, d.refobjid, 'MEMBER') LIMIT 3) o;
    IF found IS NOT NULL THEN
        RETURN format('%s owns what could run with the rights of %s, when the rollback SQL meets it: %s. REASSIGN '
                      'OWNED, or take the membership away', session_user, our_owner::regrole, found);
    ELSIF has_database_privilege(session_user, here, 'CREATE') THEN
        RETURN format('%s may create schemas in this database, and so what the rollback SQL would take for something '
                      'else: REVOKE CREATE ON DATABASE %I FROM %1$s', session_user, current_database());
    END IF;
    -- who calls such a function is not the operator whose rights it uses
    SELECT p.oid::regprocedure::text INTO found FROM pg_proc p
     WHERE p.prosecdef AND p.oid >= 16384 AND NOT pg_has_role(p.proowner, our_owner, 'MEMBER')
       AND has_function_privilege(p.proowner, gate, 'EXECUTE')
     LIMIT 1;
    RETURN 'An operator owns ' || found || ', which lends the operator''s rights to others (SECURITY DEFINER): DROP it';
END $function$;
COMMENT ON FUNCTION migrollback_schema.operator_session_refusal() IS
    'Why nothing of this session''s person is run with the rights of the gate''s owner: it holds temporary objects, '
    'owns something here, or may create it. NULL where nothing stands against it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.operator_refusal(names text[]) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    reason  text := migrollback_schema.operator_session_refusal();
    stored  record;
    trusted constant boolean := pg_has_role(session_user, current_user, 'MEMBER');
    open_schema text;
BEGIN
    IF reason IS NOT NULL THEN
        RETURN reason;
    END IF;
    FOR stored IN
        SELECT h.migration_name, h.rollback_sql, h.metadata,
               coalesce(h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8')), false) AS is_parsed
        FROM migrollback_schema.migration_history h WHERE h.migration_name = ANY (names)
    LOOP
        IF migrollback_schema.is_system_migration(stored.migration_name) THEN
            RETURN 'The rollback system itself is rolled back by its owner alone';
        ELSIF stored.metadata #>> '{rollback,transaction}' = 'false' AND stored.is_parsed THEN
            RETURN format('%s is rolled back outside a transaction, which needs the rights to its objects: its owner '
                          'rolls it back', stored.migration_name);
        ELSIF (CASE WHEN stored.is_parsed
                   THEN stored.metadata #> '{rollback,set_session}' ?| '{role,session_authorization}'
                        OR stored.metadata #> '{rollback,set_local}' ?| '{role,session_authorization}'
                   ELSE stored.rollback_sql ~* '\m(set|reset)\s+((session|local)\s+)?(role|session\s+authorization)\M'
               END) THEN
            RETURN format('The rollback SQL of %s sets a role, which PostgreSQL refuses within the operators'' gate: '
                          'its owner rolls it back', stored.migration_name);
        END IF;
        CONTINUE WHEN trusted;
        PERFORM set_config('search_path', coalesce(stored.metadata ->> 'search_path', 'pg_catalog'), true);
        open_schema := (SELECT s.name FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS s (name)
                         WHERE pg_catalog.has_schema_privilege(session_user, s.name, 'CREATE') LIMIT 1);
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        IF open_schema IS NOT NULL THEN
            RETURN format('%s may create objects in schema %s, where the rollback SQL of %s looks for its own: REVOKE '
                          'CREATE ON SCHEMA %2$s FROM %1$s, or from PUBLIC', session_user, quote_ident(open_schema),
                          stored.migration_name);
        END IF;
    END LOOP;
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.operator_refusal(text[]) IS
    'Why these migrations are not rolled back or rehearsed through the operators'' gate: what the session brings, and '
    'what their rollback SQL is. NULL where nothing stands against it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_operator_session() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    reason constant text := migrollback_schema.operator_session_refusal();
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION '%', reason USING ERRCODE = 'MR030', HINT = 'Nothing was changed.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_operator_session() IS
    'Raises SQLSTATE MR030 with what operator_session_refusal() says, where it says something. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.operator_settings() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    WITH here AS (
        SELECT DISTINCT ON (lower(split_part(c.text, '=', 1))) lower(split_part(c.text, '=', 1)) AS name,
               substr(c.text, strpos(c.text, '=') + 1) AS value
        FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (text)
        WHERE s.setrole = 0 AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database d
                                                      WHERE d.datname = current_database()))
        ORDER BY 1, s.setdatabase DESC)
    -- What steers this system, or what SQL means: as the database has it, not as the person set it.
    SELECT coalesce(jsonb_object_agg(w.name, coalesce(h.value, g.boot_val, '')), '{}')
    FROM unnest('{
        migrollback.changeable_settings, migrollback.dependencies, migrollback.deploy_ledger,
        migrollback.exclude_schemas, migrollback.recording, migrollback.rehearsal, migrollback.rethrow,
        array_nulls, backslash_quote, bytea_output, check_function_bodies, createrole_self_grant, datestyle,
        default_table_access_method, default_tablespace, default_text_search_config, default_toast_compression,
        extra_float_digits, intervalstyle, quote_all_identifiers, restrict_nonsystem_relation_kind, row_security,
        standard_conforming_strings, timezone, timezone_abbreviations, transform_null_equals, xmlbinary, xmloption
        }'::text[]) AS w (name)
    LEFT JOIN pg_settings g ON lower(g.name) = w.name
    LEFT JOIN here h ON h.name = w.name
    WHERE CASE WHEN g.name IS NULL THEN w.name LIKE 'migrollback.%'
               ELSE g.source IN ('client', 'user', 'database user', 'interactive', 'session') END
$function$;
COMMENT ON FUNCTION migrollback_schema.operator_settings() IS
    'Under which settings an operator''s rollback runs (name -> value) in place of those that the person has set: what '
    'steers this system or changes what SQL means. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.without_row_values(failure jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- In DETAIL stand keys and rows; only what depends on an object is listed there without any. A message of another
    -- class may quote a value.
    SELECT CASE WHEN failure ->> 'sqlstate' IS NULL THEN failure
                ELSE failure - CASE WHEN failure ->> 'sqlstate' LIKE '2B%' THEN '{}'::text[] ELSE '{detail}' END
                     || CASE WHEN failure ->> 'sqlstate' ~ '^(0A|23|2B|2D|3D|3F|40|42|53|54|55|57|58|MR)'
                                 THEN '{}'::jsonb
                             ELSE jsonb_build_object('message', format('error of SQLSTATE %s: an auditor can read '
                                  'PostgreSQL''s words in the audit log', failure ->> 'sqlstate')) END END
$function$;
COMMENT ON FUNCTION migrollback_schema.without_row_values(jsonb) IS
    'What is known of a failure (sqlstate, message, detail ...) without what may hold values of rows. Does not write.';
