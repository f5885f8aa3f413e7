-- ---------------------------------------------------------------------------------------------------
-- The schema objects that few databases have: apart, so that the others need not plan queries for them.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.has_rare_objects() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    -- A catalog that has no page has no row. Those that PostgreSQL fills itself: what lies in a schema depends on that,
    -- members of a family on the family; a cast and an access method may depend on nothing.
    RETURN (SELECT bool_or(pg_relation_size(c.oid) > 0) FROM unnest('{
                pg_event_trigger, pg_default_acl, pg_statistic_ext, pg_publication, pg_publication_rel,
                pg_publication_namespace, pg_foreign_table, pg_foreign_server, pg_foreign_data_wrapper, pg_user_mapping,
                pg_seclabel, pg_transform}'::regclass[]) AS c (oid))
        -- that catalog is one for all databases of the server
        OR EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
                    WHERE d.datname = current_database())
        OR EXISTS (SELECT FROM pg_depend d WHERE d.objid >= 16384 AND d.classid = ANY ('{
                pg_operator, pg_opclass, pg_opfamily, pg_collation, pg_conversion, pg_ts_config, pg_ts_dict,
                pg_ts_parser, pg_ts_template, pg_amop, pg_amproc, pg_language}'::regclass[]))
        OR EXISTS (SELECT FROM pg_cast k WHERE k.oid >= 16384) OR EXISTS (SELECT FROM pg_am m WHERE m.oid >= 16384)
        OR EXISTS (SELECT FROM pg_language l WHERE l.oid >= 16384);
END $function$;
COMMENT ON FUNCTION migrollback_schema.has_rare_objects() IS
    'Whether there may be anything that rare_schema_objects() tells, or rare_schema_hashes() counts. Does not write.';

-- Over 120 lines: one query with a branch for each kind of object, as in schema_objects().
CREATE OR REPLACE FUNCTION migrollback_schema.rare_schema_objects() RETURNS TABLE (kind text, identity text,
    definition jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
#variable_conflict use_column
BEGIN
    IF NOT migrollback_schema.has_rare_objects() THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH ext AS MATERIALIZED (       -- as in schema_objects(), of what is told here
      SELECT d.classid, d.objid FROM pg_depend d
       WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
      UNION ALL SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'i'
          AND d.refclassid = 'pg_type'::regclass AND d.classid = 'pg_cast'::regclass),
    ns AS MATERIALIZED (
      SELECT n.oid, n.nspname FROM pg_namespace n CROSS JOIN migrollback_schema.migration_scope() AS s (schemas)
      WHERE (s.schemas IS NULL OR n.nspname = ANY (s.schemas))
        AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrollback_archive')
        AND n.nspname <> ALL (coalesce(nullif(current_setting('migrollback.exclude_schemas', true), '')::text[], '{}'))
        AND NOT starts_with(n.nspname, '_timescaledb_'))
      -- identity from pg_identify_object, definition from the catalog row, oids resolved
      SELECT 'collation', format('%I.%I', ns.nspname, o.collname),
             to_jsonb(o) - 'oid' - 'collnamespace' - 'collowner' - 'collversion' - 'collencoding'
             || jsonb_build_object('owner', o.collowner::regrole) FROM pg_collation o
             JOIN ns ON ns.oid = o.collnamespace
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_collation'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'operator', i.identity, jsonb_build_object('proc', o.oprcode, 'owner', o.oprowner::regrole,
                                                        'com', o.oprcom::regoperator, 'neg', o.oprnegate::regoperator,
                                                        'rest', o.oprrest, 'join', o.oprjoin, 'hash', o.oprcanhash,
                                                        'merge', o.oprcanmerge)
      FROM pg_operator o JOIN ns ON ns.oid = o.oprnamespace, pg_identify_object('pg_operator'::regclass, o.oid, 0) i
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_operator'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'operator class', i.identity, jsonb_build_object('owner', o.opcowner::regrole,
                                                              'intype', o.opcintype::regtype,
                                                              'keytype', CASE WHEN o.opckeytype <> 0
                                                              THEN o.opckeytype::regtype END, 'default', o.opcdefault,
                                                              'family', (SELECT opfname FROM pg_opfamily
                                                                  WHERE oid = o.opcfamily))
      FROM pg_opclass o JOIN ns ON ns.oid = o.opcnamespace, pg_identify_object('pg_opclass'::regclass, o.oid, 0) i
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_opclass'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'operator family', i.identity, jsonb_build_object('owner', o.opfowner::regrole,
         'ops', (SELECT jsonb_agg(jsonb_build_array(a.amopstrategy, a.amoplefttype::regtype, a.amoprighttype::regtype,
                                                    a.amopopr::regoperator, a.amoppurpose)
                                                    ORDER BY a.amopstrategy, a.amoplefttype::regtype::text,
                                                    a.amoprighttype::regtype::text) FROM pg_amop a
                                                    WHERE a.amopfamily = o.oid),
         'procs', (SELECT jsonb_agg(jsonb_build_array(a.amprocnum, a.amproclefttype::regtype,
                                                      a.amprocrighttype::regtype, a.amproc)
                                                      ORDER BY a.amprocnum, a.amproclefttype::regtype::text,
                                                      a.amprocrighttype::regtype::text) FROM pg_amproc a
                                                      WHERE a.amprocfamily = o.oid))
      FROM pg_opfamily o JOIN ns ON ns.oid = o.opfnamespace, pg_identify_object('pg_opfamily'::regclass, o.oid, 0) i
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_opfamily'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'conversion', format('%I.%I', ns.nspname, o.conname),
             jsonb_build_object('for', pg_encoding_to_char(o.conforencoding),
                                'to', pg_encoding_to_char(o.contoencoding), 'proc', o.conproc, 'default', o.condefault,
                                'owner', o.conowner::regrole) FROM pg_conversion o JOIN ns ON ns.oid = o.connamespace
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_conversion'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'text search configuration', format('%I.%I', ns.nspname, o.cfgname),
             jsonb_build_object('owner', o.cfgowner::regrole, 'parser', (SELECT prsname FROM pg_ts_parser
                 WHERE oid = o.cfgparser),
         'map', (SELECT jsonb_agg(jsonb_build_array(m.maptokentype, m.mapseqno, m.mapdict::regdictionary)
                                  ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = o.oid))
                                  FROM pg_ts_config o JOIN ns ON ns.oid = o.cfgnamespace
                                  WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_ts_config'::regclass
                                                    AND objid = o.oid)
      UNION ALL
      SELECT 'text search dictionary', format('%I.%I', ns.nspname, o.dictname),
             jsonb_build_object('owner', o.dictowner::regrole, 'template', (SELECT tmplname FROM pg_ts_template
                 WHERE oid = o.dicttemplate), 'options', o.dictinitoption) FROM pg_ts_dict o
                   JOIN ns ON ns.oid = o.dictnamespace
                   WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_ts_dict'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'text search parser/template', i.identity, to_jsonb(o) - 'oid' - 'prsnamespace' FROM pg_ts_parser o
        JOIN ns ON ns.oid = o.prsnamespace, pg_identify_object('pg_ts_parser'::regclass, o.oid, 0) i
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_ts_parser'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'text search parser/template', i.identity, to_jsonb(o) - 'oid' - 'tmplnamespace' FROM pg_ts_template o
        JOIN ns ON ns.oid = o.tmplnamespace, pg_identify_object('pg_ts_template'::regclass, o.oid, 0) i
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_ts_template'::regclass AND objid = o.oid)
      -- not in a schema -------------------------------------------------------------------------------
      UNION ALL
      SELECT 'cast', i.identity, jsonb_build_object('func', CASE WHEN o.castfunc <> 0 THEN o.castfunc::regprocedure END,
                                                    'context', o.castcontext, 'method', o.castmethod)
      FROM pg_cast o, pg_identify_object('pg_cast'::regclass, o.oid, 0) i WHERE o.oid >= 16384 AND NOT EXISTS (SELECT
          FROM ext WHERE classid = 'pg_cast'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'transform', i.identity, jsonb_build_object('from', o.trffromsql, 'to', o.trftosql)
        FROM pg_transform o, pg_identify_object('pg_transform'::regclass, o.oid, 0) i
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_transform'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'language', quote_ident(o.lanname), jsonb_build_object('owner', o.lanowner::regrole,
          'trusted', o.lanpltrusted, 'handler', CASE WHEN o.lanplcallfoid <> 0 THEN o.lanplcallfoid::regproc END,
          'inline', CASE WHEN o.laninline <> 0 THEN o.laninline::regproc END,
          'validator', CASE WHEN o.lanvalidator <> 0 THEN o.lanvalidator::regproc END)
          FROM pg_language o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM ext
              WHERE classid = 'pg_language'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'access method', quote_ident(o.amname), jsonb_build_object('handler', o.amhandler, 'type', o.amtype)
        FROM pg_am o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_am'::regclass
                                                          AND objid = o.oid)
      UNION ALL
      SELECT 'event trigger', quote_ident(o.evtname), jsonb_build_object('event', o.evtevent,
          'func', o.evtfoid::regprocedure, 'enabled', o.evtenabled, 'tags', o.evttags, 'owner', o.evtowner::regrole)
          FROM pg_event_trigger o WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_event_trigger'::regclass
                                                    AND objid = o.oid)
      UNION ALL
      SELECT 'foreign data wrapper', quote_ident(o.fdwname), jsonb_build_object('owner', o.fdwowner::regrole,
          'handler', CASE WHEN o.fdwhandler <> 0 THEN o.fdwhandler::regproc END,
          'validator', CASE WHEN o.fdwvalidator <> 0 THEN o.fdwvalidator::regproc END, 'options', (
              SELECT jsonb_agg(migrollback_schema.option_without_secret(x) ORDER BY x) FROM unnest(o.fdwoptions) x))
          FROM pg_foreign_data_wrapper o
          WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_foreign_data_wrapper'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'server', quote_ident(o.srvname), jsonb_build_object('owner', o.srvowner::regrole, 'fdw', (SELECT fdwname
          FROM pg_foreign_data_wrapper WHERE oid = o.srvfdw), 'type', o.srvtype, 'version', o.srvversion,
          'options', (SELECT jsonb_agg(migrollback_schema.option_without_secret(x) ORDER BY x)
                      FROM unnest(o.srvoptions) x)) FROM pg_foreign_server o
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_foreign_server'::regclass AND objid = o.oid)
      -- of its options a hash, and of those that look like secrets only that they are there; nothing where the caller
      -- may not read them
      UNION ALL
      SELECT 'user mapping', format('%I for %s', s.srvname, CASE WHEN o.umuser = 0 THEN 'public'
                                    ELSE o.umuser::regrole::text END),
             CASE WHEN o.umoptions IS NOT NULL OR (SELECT w.rolsuper FROM pg_roles w WHERE w.rolname = current_user)
                       OR pg_has_role(s.srvowner, 'USAGE') AND (o.umuser = 0 OR o.usename = current_user)
                       OR o.usename = current_user AND has_server_privilege(s.oid, 'USAGE')
                 THEN jsonb_build_object('options', coalesce((
                 SELECT jsonb_agg(split_part(x, '=', 1) || CASE
                     WHEN split_part(x, '=', 1) ~* 'pass|secret|token|key|cred' THEN '=set'
                     ELSE '=md5 ' || left(md5(x), 8) END ORDER BY x COLLATE "C") FROM unnest(o.umoptions) x), '[]'))
                 ELSE '{}' END
      FROM pg_user_mappings o JOIN pg_foreign_server s ON s.oid = o.srvid
      UNION ALL
      SELECT 'publication', quote_ident(o.pubname), to_jsonb(o) - 'oid' - 'pubowner'
          || jsonb_build_object('owner', o.pubowner::regrole,
         'tables', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('schemaname', n.nspname,
             'tablename', c.relname, 'rowfilter', pg_get_expr(p.prqual, p.prrelid),
                      'attnames', (SELECT jsonb_agg(a.attname ORDER BY a.attname) FROM pg_attribute a
                                   WHERE a.attrelid = p.prrelid AND a.attnum = ANY (p.prattrs))))
                                     ORDER BY n.nspname, c.relname)
                    FROM pg_publication_rel p JOIN pg_class c ON c.oid = p.prrelid
                      JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.prpubid = o.oid),
         'schemas', (SELECT jsonb_agg(quote_ident(n.nspname) ORDER BY n.nspname) FROM pg_publication_namespace p
                     JOIN pg_namespace n ON n.oid = p.pnnspid WHERE p.pnpubid = o.oid)) FROM pg_publication o
        WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_publication'::regclass AND objid = o.oid)
      -- of all databases, and its connection, which may hold a password, is readable by superusers only; a name that a
      -- version lacks is taken from `later`
      UNION ALL
      SELECT 'subscription', quote_ident(o.subname), jsonb_strip_nulls(jsonb_build_object('owner', o.subowner::regrole,
          'binary', o.subbinary, 'streaming', o.substream, 'two_phase', o.subtwophasestate <> 'd',
         'disable_on_error', o.subdisableonerr, 'slot', o.subslotname, 'synchronous_commit', o.subsynccommit,
         'publications', o.subpublications, 'origin', o.suborigin,
         'password_required', o.subpasswordrequired, 'run_as_owner', o.subrunasowner, 'failover', o.subfailover))
      FROM (SELECT NULL::text AS suborigin, NULL::boolean AS subpasswordrequired, NULL::boolean AS subrunasowner,
            NULL::boolean AS subfailover) later
      CROSS JOIN LATERAL (SELECT s.subname, s.subowner, s.subbinary, s.substream, s.subtwophasestate, s.subdisableonerr,
                          s.subslotname, s.subsynccommit, s.subpublications,
                                 suborigin, subpasswordrequired, subrunasowner, subfailover
                          FROM pg_subscription s WHERE s.subdbid = (SELECT d.oid FROM pg_database d
                              WHERE d.datname = current_database())) o;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rare_schema_objects() IS
    'The rows of schema_objects() of collations, operators, casts, publications and what else few databases have. '
    'Does not write.';

-- One query with a line for each catalog, as in schema_hash().
CREATE OR REPLACE FUNCTION migrollback_schema.rare_schema_hashes()
RETURNS TABLE (place int, number bigint, hash numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
#variable_conflict use_column
BEGIN
    IF NOT migrollback_schema.has_rare_objects() THEN
        RETURN QUERY SELECT p.place, 0::bigint, NULL::numeric FROM unnest('{
            17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 34,
            37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47}'::int[]) AS p (place);
        RETURN;
    END IF;
    RETURN QUERY
        SELECT 17, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_event_trigger x
        UNION ALL SELECT 18, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_default_acl x
        UNION ALL SELECT 19, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_statistic_ext x
        UNION ALL SELECT 20, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_publication x
        UNION ALL SELECT 21, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint))
            FROM pg_publication_rel x
        UNION ALL SELECT 22, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint))
            FROM pg_publication_namespace x
        UNION ALL SELECT 23, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_operator x
            WHERE x.oid >= 16384
        UNION ALL SELECT 24, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_opclass x
            WHERE x.oid >= 16384
        UNION ALL SELECT 25, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_opfamily x
            WHERE x.oid >= 16384
        UNION ALL SELECT 26, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_cast x
            WHERE x.oid >= 16384
        UNION ALL SELECT 27, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_collation x
            WHERE x.oid >= 16384
        UNION ALL SELECT 28, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_foreign_table x
        UNION ALL SELECT 29, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_foreign_server x
        UNION ALL SELECT 30, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_config x
            WHERE x.oid >= 16384
        UNION ALL SELECT 31, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_dict x
            WHERE x.oid >= 16384
        UNION ALL SELECT 34, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_seclabel x
        UNION ALL SELECT 37, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint))
            FROM pg_foreign_data_wrapper x
        UNION ALL SELECT 38, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_transform x
        UNION ALL SELECT 39, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_conversion x
            WHERE x.oid >= 16384
        UNION ALL SELECT 40, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_am x
            WHERE x.oid >= 16384
        UNION ALL SELECT 41, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_parser x
            WHERE x.oid >= 16384
        UNION ALL SELECT 42, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_template x
            WHERE x.oid >= 16384
        UNION ALL SELECT 43, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_amop x
            WHERE x.oid >= 16384
        UNION ALL SELECT 44, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_amproc x
            WHERE x.oid >= 16384
        UNION ALL SELECT 45, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_config_map x
            WHERE x.mapcfg >= 16384
        UNION ALL SELECT 46, count(*), sum(hashtextextended(concat_ws(',', x.umid, x.srvid, x.umuser), 0))
            FROM pg_user_mappings x
        UNION ALL SELECT 47, count(*), sum(hashtextextended(concat_ws(',', o.*), 0))
          FROM (SELECT NULL::text AS suborigin, NULL::boolean AS subpasswordrequired,
                NULL::boolean AS subrunasowner, NULL::boolean AS subfailover) later
          CROSS JOIN LATERAL (SELECT s.oid, s.subname, s.subowner, s.subbinary, s.substream,
                              s.subtwophasestate <> 'd', s.subdisableonerr, s.subslotname, s.subsynccommit,
                              s.subpublications::text,
                                     suborigin, subpasswordrequired, subrunasowner, subfailover
                              FROM pg_subscription s WHERE s.subdbid = (SELECT d.oid FROM pg_database d
                                  WHERE d.datname = current_database())) o;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rare_schema_hashes() IS
    'The part of schema_hash() that counts collations, operators, casts, publications and what else few databases '
    'have: without any of them, what counting them would find. Does not write.';
