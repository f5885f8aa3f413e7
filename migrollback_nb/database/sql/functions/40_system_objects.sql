-- ---------------------------------------------------------------------------------------------------
-- Our own objects, and what a transaction has written: what the guard of the system compares.
-- ---------------------------------------------------------------------------------------------------

-- install writes into these functions what the files of its version create: <<tables>>, and the <<functions>> with the
-- types of their arguments. Not a table: who may call it need not be granted one more, and the check of our functions
-- sees when it is replaced.
CREATE OR REPLACE FUNCTION migrollback_schema.migration_system_tables() RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- The names stand in the queries: of variables a plan would be made anew in each of a session's first calls, and an
    -- array that is no constant is searched from its begin for each row.
    -- In the history of the whole database also what is locked for each scope; in that of a scope, its own.
    RETURN ARRAY(SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'migrollback_schema'::regnamespace
                 AND c.relkind IN ('r', 'v') AND c.relname = ANY (<<relations>>))
        || CASE WHEN current_setting('migrollback.scope', true) <> '' THEN ARRAY(
               SELECT c.oid FROM pg_class c
                WHERE c.relnamespace = 'migrollback_schema'::regnamespace AND c.relkind = 'r'
                  AND c.relname IN (migrollback_schema.migration_gate_name('migration_gate'),
                                    migrollback_schema.migration_gate_name('migration_event_gate')))
           ELSE ARRAY(
               SELECT c.oid FROM pg_class c
                WHERE c.relnamespace = 'migrollback_schema'::regnamespace AND c.relkind = 'r'
                  -- '`' follows '_'
                  AND (c.relname >= 'migration_gate_' AND c.relname < 'migration_gate`'
                       OR c.relname >= 'migration_event_gate_' AND c.relname < 'migration_event_gate`')
                  AND c.relname ~ '^migration_(event_)?gate_[0-9a-f]{12}$') END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_system_tables() IS
    'The tables that install made, and the views of scopes in place of them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_system_objects(OUT tables oid[], OUT routines oid[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    tables := migrollback_schema.migration_system_tables();
    -- Of one owner with our tables, and with the very arguments: what else has one of the names is not ours. Not also
    -- by the bare names: hundreds of them, each looked up in the statistics, took five times as long to plan as to run.
    routines := ARRAY(
        SELECT p.oid FROM pg_proc p
         WHERE p.oid >= 16384 AND p.pronamespace = 'migrollback_schema'::regnamespace
           AND p.proowner = (SELECT c.relowner FROM pg_class c
                              WHERE c.relnamespace = 'migrollback_schema'::regnamespace
                                AND c.relname = 'migration_history')
           AND format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) = ANY (<<functions>>));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_system_objects() IS
    'The tables, views and functions that install made: what migration SQL may not touch, and whose rights are '
    'revoked. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_system_token_query() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- Tables and functions by name, because what has the name of one of ours may be called in its place.
    -- (ctid, xmin) names one version of a catalog row, so any DDL on our objects changes the sum, and what was dropped
    -- and made again is another row.
    SELECT $query$
        WITH ours AS MATERIALIZED (
            SELECT c.oid, c.relowner FROM pg_catalog.pg_class c
             WHERE c.relnamespace = 'migrollback_schema'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v')
               AND c.relname = ANY (<<relations>>)),
        tables AS MATERIALIZED (SELECT pg_catalog.array_agg(o.oid) AS oids FROM ours o)
        SELECT pg_catalog.concat_ws(' ', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtidextended(
                   v.place, v.xid::pg_catalog.text::pg_catalog.int8)))
        FROM (SELECT c.ctid AS place, c.xmin AS xid FROM tables t JOIN pg_catalog.pg_class c ON c.oid = ANY (t.oids)
              UNION ALL SELECT i.ctid, i.xmin FROM tables t JOIN pg_catalog.pg_index i ON i.indrelid = ANY (t.oids)
              UNION ALL SELECT a.ctid, a.xmin FROM tables t JOIN pg_catalog.pg_attribute a ON a.attrelid = ANY (t.oids)
              UNION ALL SELECT g.ctid, g.xmin FROM tables t JOIN pg_catalog.pg_trigger g ON g.tgrelid = ANY (t.oids)
              UNION ALL SELECT k.ctid, k.xmin FROM tables t JOIN pg_catalog.pg_constraint k ON k.conrelid = ANY (t.oids)
              UNION ALL SELECT r.ctid, r.xmin FROM tables t JOIN pg_catalog.pg_policy r ON r.polrelid = ANY (t.oids)
              UNION ALL SELECT f.ctid, f.xmin FROM pg_catalog.pg_proc f
                         WHERE f.oid >= 16384
                           AND f.pronamespace = 'migrollback_schema'::pg_catalog.regnamespace
                           -- as text, of which there are no statistics: each name would be looked up in them
                           AND f.proname::pg_catalog.text = ANY (<<function names>>)
                           AND f.proowner = (SELECT c.relowner FROM ours o JOIN pg_catalog.pg_class c USING (oid)
                                              WHERE c.relname = 'migration_history')) v
    $query$
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_system_token_query() IS
    'The query of migration_system_token(): who runs SQL that may replace our functions fetches its text before, and '
    'runs that text after. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_system_token() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- catalogs are rarely analyzed: the planner would scan them whole, and this grows with the schema
    SET enable_seqscan = off AS $function$
DECLARE
    token text;
BEGIN
    EXECUTE migrollback_schema.migration_system_token_query() INTO token;
    RETURN token;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_system_token() IS
    'Differs as soon as DDL has touched one of migration_system_objects(), or added a function of the same name. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_system_writes(
    tables oid[], rows boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    found text;
BEGIN
    IF rows THEN                        -- nothing counts: look at the rows themselves
        EXECUTE (SELECT format('SELECT concat_ws('' '', count(*), sum(hashtidextended(r.place, r.xid::text::bigint))) '
                               'FROM (%s) r', string_agg(format('SELECT t.ctid AS place, t.xmin AS xid FROM %s t',
                                                                c.oid::regclass), ' UNION ALL '))
                   FROM pg_class c
                  WHERE c.oid = ANY (coalesce(nullif(tables, '{}'),
                                              migrollback_schema.migration_system_tables()))
                    AND c.relkind = 'r') INTO found;
        RETURN found;
    END IF;
    RETURN (SELECT string_agg(concat_ws('.', pg_stat_get_xact_tuples_inserted(o.oid),
                                        pg_stat_get_xact_tuples_updated(o.oid), pg_stat_get_xact_tuples_deleted(o.oid)),
                                        ' ')
            FROM unnest(tables) AS o (oid));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_system_writes(oid[], boolean) IS
    'Differs as soon as this transaction has written a row of one of these tables. rows: look at the rows, where '
    'nothing counts them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_history_written_here(others text[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    history constant regclass := migrollback_schema.migration_table('migration_history');
    found   boolean;
BEGIN
    -- a view has no xmin
    EXECUTE format('SELECT EXISTS (SELECT FROM %s h WHERE age(h.xmin) <= 0 AND h.migration_name <> ALL ($1)%s)',
                   history, CASE WHEN history <> ('migrollback_schema' || '.migration_history')::regclass
                                 THEN ' AND h.scope = $2' END)
       INTO found USING others, migrollback_schema.migration_scope_name();
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.is_history_written_here(text[]) IS
    'Whether this transaction has written a row of the history, but for those of these migrations. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.transaction_changes(catalogs_only boolean) RETURNS numeric
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Catalogs are tables too: DDL shows as rows written to them. Needs track_counts, which is on unless it was turned
    -- off.
    IF catalogs_only THEN
        RETURN (SELECT sum(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
                           + pg_stat_get_xact_tuples_deleted(c.oid))
                FROM unnest('{
                    pg_class, pg_attribute, pg_attrdef, pg_type, pg_proc, pg_constraint, pg_depend, pg_shdepend,
                    pg_index, pg_trigger, pg_rewrite, pg_policy, pg_namespace, pg_description, pg_enum, pg_sequence,
                    pg_inherits,
                    pg_extension, pg_default_acl, pg_auth_members, pg_authid, pg_db_role_setting, pg_init_privs,
                    pg_operator, pg_cast, pg_collation, pg_publication, pg_publication_rel, pg_statistic_ext,
                    pg_event_trigger, pg_foreign_table, pg_foreign_server, pg_foreign_data_wrapper, pg_user_mapping,
                    pg_seclabel, pg_shseclabel, pg_shdescription, pg_am, pg_amop, pg_amproc, pg_opclass, pg_opfamily,
                    pg_aggregate, pg_language, pg_conversion, pg_range, pg_transform, pg_ts_config, pg_ts_config_map,
                    pg_ts_dict, pg_ts_parser, pg_ts_template, pg_subscription, pg_subscription_rel, pg_tablespace,
                    pg_database, pg_partitioned_table, pg_largeobject, pg_largeobject_metadata,
                    pg_publication_namespace, pg_parameter_acl, pg_replication_origin, pg_statistic_ext_data
                }'::regclass[]) AS c (oid));
    END IF;
    RETURN (SELECT sum(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
                       + pg_stat_get_xact_tuples_deleted(c.oid))
            FROM pg_class c WHERE c.relkind IN ('r', 'm'));
END $function$;
COMMENT ON FUNCTION migrollback_schema.transaction_changes(boolean) IS
    'How many rows this transaction has written so far, to the catalogs that DDL writes to, or to all tables; '
    'compare two answers. Does not write.';
