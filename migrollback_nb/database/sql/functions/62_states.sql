-- ---------------------------------------------------------------------------------------------------
-- State beside the schema: where sequences stand, what is switched off or not filled, roles, jobs and settings.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.shared_states() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    found jsonb;
    jobs  jsonb := '{}';
BEGIN
    -- Of a role its rights, never its password; of a setting a hash, for it may be a secret. Our own database and what
    -- holds for all of them, not those of others.
    SELECT jsonb_build_object(
        'role', (SELECT coalesce(jsonb_object_agg(quote_ident(r.rolname), left(md5(concat_ws(' ', r.rolsuper,
                     r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls,
                     r.rolconnlimit, r.rolvaliduntil)), 8)), '{}') FROM pg_roles r WHERE r.rolname !~ '^pg_'),
        'membership', (SELECT coalesce(jsonb_object_agg(format('%I in %I', m.rolname, g.rolname), ''), '{}')
                         FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
                        WHERE m.rolname !~ '^pg_'),
        'setting', (SELECT coalesce(jsonb_object_agg(format('%s of %s', split_part(c.setting, '=', 1), CASE
                               WHEN s.setrole = 0 THEN 'this database' WHEN s.setdatabase = 0 THEN 'role ' || r.rolname
                               ELSE format('role %I in this database', r.rolname) END), left(md5(c.setting), 8)), '{}')
                      FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
                      LEFT JOIN pg_roles r ON r.oid = s.setrole
                     WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database d
                                                 WHERE d.datname = current_database()))
                       AND (s.setrole = 0 OR r.oid IS NOT NULL))) INTO found;
    IF EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
               JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_cron'
               WHERE n.nspname = 'cron' AND c.relname = 'job' AND c.relkind = 'r') THEN
        BEGIN
            EXECUTE 'SELECT coalesce(jsonb_object_agg(coalesce(nullif(j.jobname::text, ''''), j.jobid::text),'
                    ' left(md5(concat_ws('' '', j.schedule::text, j.command::text, j.database::text,'
                    ' j.username::text, j.active::text)), 8)), ''{}'') FROM cron.job j' INTO jobs;
        EXCEPTION WHEN insufficient_privilege OR undefined_column OR undefined_table THEN
            NULL;                       -- what this role may not see is not known
        END;
    END IF;
    RETURN found || jsonb_build_object('job', jobs);
END $function$;
COMMENT ON FUNCTION migrollback_schema.shared_states() IS
    'The part of schema_states() that is no part of a dump of this database: role, membership, setting (ALTER '
    'DATABASE, ALTER ROLE ... SET) and job (of pg_cron), each name -> hash of what it says. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.sequence_states(relations oid[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    by_function constant boolean := to_regprocedure('pg_catalog.pg_get_sequence_data(regclass)') IS NOT NULL;   -- 18
    chunk     oid[];
    first     int := 1;
    step      int := CASE WHEN by_function THEN 100000 ELSE 100 END;
    batch     jsonb;
    values_of jsonb := '[]';            -- [oid, last value, whether it was given out]
BEGIN
    -- Not pg_sequence_last_value(): it keeps a lock until the transaction ends, also where a subtransaction is undone,
    -- and tells one that was set and not yet asked from one that was never asked only by NULL.
    WHILE first <= cardinality(relations) LOOP
        chunk := relations[first:first + step - 1];
        BEGIN
            EXECUTE 'SELECT jsonb_agg(jsonb_build_array(q.oid, q.last_value, q.is_called)) FROM (' || CASE
                WHEN by_function THEN 'SELECT r.oid, d.last_value, d.is_called FROM unnest($1) AS r (oid)'
                                      ' CROSS JOIN LATERAL pg_get_sequence_data(r.oid) d'
                ELSE (SELECT string_agg(format('SELECT %s::oid AS oid, last_value, is_called FROM %s', r.oid,
                                               r.oid::regclass), ' UNION ALL ') FROM unnest(chunk) AS r (oid)) END
                || ') q' INTO batch USING chunk;
            values_of := values_of || coalesce(batch, '[]');
            first := first + step;
        EXCEPTION WHEN undefined_table OR lock_not_available OR insufficient_privilege OR internal_error
                       OR syntax_error THEN
            -- one is gone meanwhile, another session is at it, or this role may not look: the others one by one
            first := first + CASE WHEN step = 1 THEN 1 ELSE 0 END;
            step := 1;
        END;
    END LOOP;
    RETURN (
        SELECT coalesce(jsonb_object_agg(format('%I.%I', n.nspname, c.relname), jsonb_build_array(
                   v.value -> 1, v.value -> 2, s.seqincrement, o.owner)), '{}')
        FROM jsonb_array_elements(values_of) v JOIN pg_class c ON c.oid = (v.value ->> 0)::oid
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
        LEFT JOIN LATERAL (
            SELECT format('%I.%I.%I', tn.nspname, t.relname, a.attname) AS owner FROM pg_depend d
              JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
              JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
               AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') LIMIT 1) o ON true
        WHERE v.value ->> 1 IS NOT NULL);
END $function$;
COMMENT ON FUNCTION migrollback_schema.sequence_states(oid[]) IS
    'Where these sequences stand: identity -> [last value, whether it was given out, step, column that owns it]; '
    'those that this role may read. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_states() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on AS $function$
DECLARE
    ours      constant oid[] := migrollback_schema.migration_system_tables();
    hidden    constant text[] := coalesce(nullif(current_setting('migrollback.exclude_schemas', true), '')::text[],
                                          '{}');
    sequences oid[];
    found     jsonb;
BEGIN
    IF migrollback_schema.migration_scope() IS NOT NULL THEN
        PERFORM migrollback_schema.plan_for_scope();    -- until the end of this function, which sets the same above
    END IF;
    WITH scope AS MATERIALIZED (SELECT migrollback_schema.migration_scope() AS schemas),
    rel AS MATERIALIZED (
        SELECT c.oid, c.relkind, c.relispopulated, format('%I.%I', n.nspname, c.relname) AS identity
        FROM (SELECT a.* FROM pg_class a WHERE (SELECT s.schemas FROM scope s) IS NULL
              UNION ALL SELECT a.* FROM migrollback_schema.migration_scope_objects() w
                  JOIN pg_class a ON w.class_id = 'pg_class'::regclass AND a.oid = w.object_id
                  WHERE (TABLE scope) IS NOT NULL) c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'S', 'v', 'f') AND c.relpersistence <> 't'
          AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrollback_archive')
          AND n.nspname <> ALL (hidden)
          AND c.oid <> ALL (ours)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')),
    disabled AS (
        -- DISABLE TRIGGER ALL also switches off what checks foreign keys: by the constraint, which has a name
        SELECT r.identity || ' ' || quote_ident(coalesce(k.conname, g.tgname)) AS identity,
               CASE WHEN k.oid IS NOT NULL THEN 'constraint' ELSE 'trigger' END AS kind, g.tgenabled AS enabled
        FROM (SELECT a.* FROM pg_trigger a WHERE (SELECT s.schemas FROM scope s) IS NULL
              UNION ALL SELECT a.* FROM rel w
                  CROSS JOIN LATERAL (SELECT * FROM pg_trigger x WHERE x.tgrelid = w.oid OFFSET 0) a
                  WHERE (SELECT s.schemas FROM scope s) IS NOT NULL) g
        LEFT JOIN pg_constraint k ON k.oid = g.tgconstraint
        JOIN rel r ON r.oid = coalesce(nullif(k.conrelid, 0), g.tgrelid) WHERE g.tgenabled <> 'O'
        UNION ALL
        SELECT r.identity || ' ' || quote_ident(w.rulename), 'rule', w.ev_enabled
        FROM pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE w.ev_enabled <> 'O'
        UNION ALL
        SELECT quote_ident(e.evtname), 'event trigger', e.evtenabled FROM pg_event_trigger e WHERE e.evtenabled <> 'O')
    SELECT ARRAY(SELECT r.oid FROM rel r WHERE r.relkind = 'S'), jsonb_build_object(
        'unpopulated', (SELECT coalesce(jsonb_object_agg(r.identity, ''), '{}') FROM rel r
                         WHERE r.relkind = 'm' AND NOT r.relispopulated),
        'disabled', (SELECT coalesce(jsonb_object_agg(d.identity, d.kind), '{}') FROM disabled d
                      -- R: fires for replication only; A, of what is said to fire always, is more and not less
                      WHERE d.enabled IN ('D', 'R')),
        'invalid', (SELECT coalesce(jsonb_object_agg(format('%I.%I', n.nspname, x.relname), CASE
                               WHEN i.indisunique THEN 'unique' ELSE '' END), '{}')
                      FROM pg_index i JOIN rel r ON r.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
                      JOIN pg_namespace n ON n.oid = x.relnamespace WHERE NOT (i.indisvalid AND i.indisready)))
      INTO sequences, found;
    RETURN found || migrollback_schema.shared_states()
        || jsonb_build_object('sequence', migrollback_schema.sequence_states(sequences));
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_states() IS
    'State that a schema does not show, or that hides in it, kind -> identity -> state: sequence (see '
    'sequence_states()), unpopulated (materialized views), disabled (triggers, rules, and constraints whose own '
    'triggers are), invalid (indexes), and those of shared_states(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.shared_changes(old_states jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    now jsonb;
    old jsonb := '{}';
    new jsonb := '{}';
    one record;
BEGIN
    -- What this transaction did not write is as before; what another one wrote is none of its work.
    IF current_setting('track_counts') = 'on' AND to_regclass('cron.job') IS NULL AND old_states -> 'job' = '{}'
       AND (SELECT bool_and(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
                            + pg_stat_get_xact_tuples_deleted(c.oid) = 0)
              FROM unnest('{pg_authid, pg_auth_members, pg_db_role_setting}'::regclass[]) AS c (oid)) THEN
        RETURN NULL;
    END IF;
    now := migrollback_schema.shared_states();
    IF now = old_states THEN
        RETURN NULL;
    END IF;
    FOR one IN
        SELECT k.key AS kind, i.key AS identity, old_states -> k.key -> i.key AS was, now -> k.key -> i.key AS is
        FROM jsonb_object_keys(now) AS k (key)
        CROSS JOIN LATERAL (SELECT jsonb_object_keys(now -> k.key) AS key
                            UNION SELECT jsonb_object_keys(old_states -> k.key)) i
        WHERE old_states -> k.key -> i.key IS DISTINCT FROM now -> k.key -> i.key
    LOOP
        old := jsonb_build_object(one.kind, '{}'::jsonb) || old;
        new := jsonb_build_object(one.kind, '{}'::jsonb) || new;
        IF one.was IS NOT NULL THEN
            old := jsonb_set(old, ARRAY[one.kind, one.identity], one.was);
        END IF;
        IF one.is IS NOT NULL THEN
            new := jsonb_set(new, ARRAY[one.kind, one.identity], one.is);
        END IF;
    END LOOP;
    RETURN jsonb_build_object('old', old, 'new', new);
END $function$;
COMMENT ON FUNCTION migrollback_schema.shared_changes(jsonb) IS
    'What differs between shared_states() from before and now: {old, new}, each kind -> name -> state; NULL where '
    'nothing does. Does not write.';
