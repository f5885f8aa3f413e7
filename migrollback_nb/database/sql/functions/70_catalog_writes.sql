-- ---------------------------------------------------------------------------------------------------
-- What a transaction has created, changed and dropped, read from the catalogs and its locks.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.catalog_row_counts() RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF current_setting('track_counts') = 'off' THEN
        RETURN NULL;
    END IF;
    -- One expression and no query: this runs for every migration.
    RETURN ARRAY[
        pg_stat_get_xact_tuples_inserted('pg_class'::regclass), pg_stat_get_xact_tuples_updated('pg_class'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_attribute'::regclass),
            pg_stat_get_xact_tuples_updated('pg_attribute'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_constraint'::regclass),
            pg_stat_get_xact_tuples_updated('pg_constraint'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_trigger'::regclass),
            pg_stat_get_xact_tuples_updated('pg_trigger'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_rewrite'::regclass),
            pg_stat_get_xact_tuples_updated('pg_rewrite'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_policy'::regclass), pg_stat_get_xact_tuples_updated('pg_policy'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_sequence'::regclass),
            pg_stat_get_xact_tuples_updated('pg_sequence'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_proc'::regclass), pg_stat_get_xact_tuples_updated('pg_proc'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_type'::regclass), pg_stat_get_xact_tuples_updated('pg_type'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_enum'::regclass), pg_stat_get_xact_tuples_updated('pg_enum'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_description'::regclass),
            pg_stat_get_xact_tuples_updated('pg_description'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_extension'::regclass),
            pg_stat_get_xact_tuples_updated('pg_extension'::regclass),
        -- the rarer kinds together
        pg_stat_get_xact_tuples_inserted('pg_namespace'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_namespace'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_statistic_ext'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_statistic_ext'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_collation'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_collation'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_operator'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_operator'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_opclass'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_opclass'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_opfamily'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_opfamily'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_cast'::regclass) + pg_stat_get_xact_tuples_updated('pg_cast'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_conversion'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_conversion'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_config'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_ts_config'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_dict'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_ts_dict'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_parser'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_ts_parser'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_template'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_ts_template'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_transform'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_transform'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_language'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_language'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_am'::regclass) + pg_stat_get_xact_tuples_updated('pg_am'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_event_trigger'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_event_trigger'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_foreign_data_wrapper'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_foreign_data_wrapper'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_foreign_server'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_foreign_server'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_publication'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_publication'::regclass),
        pg_stat_get_xact_tuples_deleted('pg_depend'::regclass),
            pg_stat_get_xact_tuples_deleted('pg_attribute'::regclass),
        pg_stat_get_xact_tuples_updated('pg_index'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_default_acl'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_default_acl'::regclass),
        -- parts of objects whose own rows do not change
        pg_stat_get_xact_tuples_inserted('pg_publication_rel'::regclass)
            + pg_stat_get_xact_tuples_deleted('pg_publication_rel'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_publication_namespace'::regclass)
            + pg_stat_get_xact_tuples_deleted('pg_publication_namespace'::regclass),
        pg_stat_get_xact_tuples_updated('pg_foreign_table'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_config_map'::regclass)
            + pg_stat_get_xact_tuples_updated('pg_ts_config_map'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_amop'::regclass)
            + pg_stat_get_xact_tuples_inserted('pg_amproc'::regclass),
        pg_stat_get_xact_tuples_deleted('pg_description'::regclass)];
END $function$;
COMMENT ON FUNCTION migrollback_schema.catalog_row_counts() IS
    'How many rows were inserted into and updated in the catalogs that migration_catalog_writes() looks at, in its '
    'order; they count on from transaction to transaction, so compare two answers. NULL where nothing counts them. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_relation_part_writes(
    since oid, created oid[], altered oid[], touched oid[], extending boolean, counted bigint[], top bigint, ours int,
    alone boolean)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    constraint_inserted  constant bigint := counted[5];
    constraint_updated   constant bigint := counted[6];
    trigger_inserted     constant bigint := counted[7];
    trigger_updated      constant bigint := counted[8];
    rewrite_inserted     constant bigint := counted[9];
    rewrite_updated      constant bigint := counted[10];
    policy_inserted      constant bigint := counted[11];
    policy_updated       constant bigint := counted[12];
    sequence_updated     constant bigint := counted[14];
BEGIN
    IF constraint_inserted + constraint_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN k.oid > since OR constraint_updated = 0 OR k.conrelid = ANY (created) THEN 'created'
               ELSE 'changed' END,
               CASE WHEN k.contypid <> 0 THEN 'domain constraint' ELSE 'constraint' END,
               format('%I.%I %I', n.nspname, coalesce(c.relname, t.typname), k.conname), 'pg_constraint'::regclass::oid,
                   k.oid, 0, k.ctid
          FROM (SELECT x.oid FROM pg_constraint x WHERE x.conrelid = ANY (altered || created)
                UNION ALL SELECT x.oid FROM pg_constraint x WHERE x.contypid > 0) w
          JOIN pg_constraint k ON k.oid = w.oid AND k.contype <> 't'
           AND CASE WHEN age(k.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(k.xmin))::text::xid8) = 'in progress' ELSE false END
          LEFT JOIN pg_class c ON c.oid = k.conrelid AND k.conrelid <> 0
          LEFT JOIN pg_type t ON t.oid = k.contypid AND k.contypid <> 0
          JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace)
         WHERE coalesce(c.relpersistence, 'p') <> 't'
           AND NOT (extending AND EXISTS (SELECT FROM pg_depend e WHERE e.objid IN (c.oid, t.oid) AND e.deptype = 'e'));
    END IF;
    IF trigger_inserted + trigger_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN g.oid > since OR trigger_updated = 0 OR g.tgrelid = ANY (created) THEN 'created'
               ELSE 'changed' END,
               'trigger', format('%I.%I %I', n.nspname, c.relname, g.tgname), 'pg_trigger'::regclass::oid, g.oid, 0,
                   g.ctid
          FROM (SELECT x.oid FROM pg_trigger x WHERE x.oid > since
                UNION SELECT x.oid FROM pg_trigger x WHERE x.tgrelid = ANY (touched || created)
                   AND (trigger_updated > 0 OR trigger_inserted > (SELECT count(*) FROM pg_trigger y
                       WHERE y.oid > since))) w
          JOIN pg_trigger g ON g.oid = w.oid AND NOT g.tgisinternal
          JOIN pg_class c ON c.oid = g.tgrelid AND c.relpersistence <> 't' JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE CASE WHEN age(g.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(g.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
    IF rewrite_inserted + rewrite_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN w.rulename <> '_RETURN' AND (w.oid > since OR rewrite_updated = 0
                                                      OR w.ev_class = ANY (created)) THEN 'created' ELSE 'changed' END,
               CASE WHEN w.rulename <> '_RETURN' THEN 'rule' WHEN c.relkind = 'm' THEN 'materialized view'
                    ELSE 'view' END,
               CASE WHEN w.rulename <> '_RETURN' THEN format('%I.%I %I', n.nspname, c.relname, w.rulename)
                    ELSE format('%I.%I', n.nspname, c.relname) END,
               CASE WHEN w.rulename <> '_RETURN' THEN 'pg_rewrite'::regclass::oid ELSE 'pg_class'::regclass::oid END,
               CASE WHEN w.rulename <> '_RETURN' THEN w.oid ELSE c.oid END, 0, w.ctid
          FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class AND c.relpersistence <> 't'
            JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE w.ev_class = ANY (altered || created) AND NOT (w.rulename = '_RETURN' AND w.ev_class = ANY (created))
           AND CASE WHEN age(w.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(w.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
    IF policy_inserted + policy_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN p.oid > since OR policy_updated = 0 OR p.polrelid = ANY (created) THEN 'created'
               ELSE 'changed' END,
               'policy', format('%I.%I %I', n.nspname, c.relname, p.polname), 'pg_policy'::regclass::oid, p.oid, 0,
                   p.ctid
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE p.polrelid = ANY (altered || created)
           AND CASE WHEN age(p.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(p.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
    IF sequence_updated > 0 THEN
        RETURN QUERY
        SELECT 'changed', 'sequence', format('%I.%I', n.nspname, c.relname), 'pg_class'::regclass::oid, c.oid, 0, s.ctid
          FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid AND c.relpersistence <> 't'
            JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE s.seqrelid = ANY (touched) AND s.seqrelid <> ALL (created)
           AND CASE WHEN age(s.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(s.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_relation_part_writes(
    oid, oid[], oid[], oid[], boolean, bigint[], bigint, int, boolean) IS
    'The part of migration_catalog_writes() about constraints, triggers, rules, policies and sequences. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_other_writes(
    since oid, counted bigint[], top bigint, ours int, alone boolean)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    catalog regclass;
BEGIN
    IF counted[25] + counted[23] + counted[24] > 0 THEN
    FOREACH catalog IN ARRAY '{
        pg_namespace, pg_extension, pg_statistic_ext, pg_collation, pg_operator, pg_opclass, pg_opfamily, pg_cast,
        pg_conversion, pg_ts_config, pg_ts_dict, pg_ts_parser, pg_ts_template, pg_transform, pg_language, pg_am,
        pg_event_trigger, pg_foreign_data_wrapper, pg_foreign_server, pg_publication}'::regclass[] LOOP
        -- planning takes longer than reading one of them: those to which nothing was written are left out
        CONTINUE WHEN current_setting('track_counts') = 'on' AND counted[25] < 1000000000000
                  AND pg_stat_get_xact_tuples_inserted(catalog) + pg_stat_get_xact_tuples_updated(catalog) = 0;
        RETURN QUERY EXECUTE format($query$
            SELECT CASE WHEN x.oid > $1 THEN 'created' ELSE 'changed' END,
                   CASE i.type WHEN 'statistics object' THEN 'statistics'
                       WHEN 'text search parser' THEN 'text search parser/template'
                        WHEN 'text search template' THEN 'text search parser/template'
                            WHEN 'foreign-data wrapper' THEN 'foreign data wrapper' ELSE i.type END,
                   i.identity, $2::oid, x.oid, 0, x.ctid
              FROM %s x CROSS JOIN LATERAL pg_identify_object($2, x.oid, 0) i
             WHERE (x.oid >= 16384 OR $2 = 'pg_namespace'::regclass)
               AND CASE WHEN age(x.xmin) <= $3 THEN $5
               OR pg_xact_status(($4 + $3 - age(x.xmin))::text::xid8) = 'in progress' ELSE false END
               -- of schemas PostgreSQL's own; an extension, a server or a wrapper may be called pg_something
               AND coalesce(i.schema, CASE WHEN $2 = 'pg_namespace'::regclass THEN i.name END, '') !~ '^pg_'
               AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = $2 AND e.objid = x.oid
                               AND e.deptype = 'e')$query$, catalog)
        USING since, catalog::oid, ours, top, alone;
    END LOOP;
    END IF;
    IF counted[21] + counted[22] > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN counted[22] = 0 THEN 'created' ELSE 'changed' END,
               'comment', i.type || ' ' || i.identity, 'pg_description'::regclass::oid, d.objoid, d.objsubid, d.ctid
          FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
         WHERE d.objoid >= 2200 AND CASE WHEN age(d.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(d.xmin))::text::xid8) = 'in progress' ELSE false END
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid
                           AND e.deptype = 'e')
           AND NOT EXISTS (SELECT FROM pg_class t WHERE t.oid = d.objoid AND d.classoid = 'pg_class'::regclass
                           AND t.relpersistence = 't');
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_other_writes(oid, bigint[], bigint, int, boolean) IS
    'The part of migration_catalog_writes() about schemas, extensions, the rarer kinds, and comments. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_dropped_objects(gone oid[])
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- only what a known migration had created has a name left
    RETURN QUERY
    SELECT DISTINCT ON (o.class_id, o.object_id, o.column_number) 'dropped', o.kind, o.identity, o.class_id,
           o.object_id, o.column_number, NULL::tid
      FROM migrollback_schema.migration_objects o
      JOIN migrollback_schema.migration_history h ON h.migration_name = o.migration_name AND h.status <> 'rolled_back'
     WHERE o.object_id = ANY (gone) AND o.action <> 'dropped'
       AND o.recorded_in = ('migrollback_schema' || '.migration_objects')::regclass
       AND o.class_id <> 'pg_description'::regclass
       AND CASE WHEN o.column_number > 0 THEN
                NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = o.object_id AND a.attnum = o.column_number
                            AND NOT a.attisdropped)
                ELSE (pg_identify_object(o.class_id, o.object_id, 0)).identity IS NULL END
       AND NOT EXISTS (SELECT FROM migrollback_schema.migration_objects p
                       JOIN migrollback_schema.migration_history q ON q.migration_name = p.migration_name
                        WHERE p.object_id = o.object_id AND p.class_id = o.class_id
                          AND p.column_number = o.column_number
                          AND p.action = 'dropped' AND q.status <> 'rolled_back')
     ORDER BY o.class_id, o.object_id, o.column_number, h.applied_at DESC, o.recorded_at DESC;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_dropped_objects(oid[]) IS
    'The part of migration_catalog_writes() about what is no more. gone: oids that this transaction locks as DROP '
    'does. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_catalog_writes(
    since oid, counts bigint[] DEFAULT NULL, may_grant boolean DEFAULT true)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- Scans and joins of whole catalogs would grow with the schema, and planning takes longer than running. jit: a
    -- forbidden scan looks expensive.
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
        SET plan_cache_mode = force_generic_plan SET jit = off AS $function$
DECLARE
    -- Written by this transaction is what is as young as it. What others have committed since is so too, where there is
    -- any: then each row's own
    -- transaction is asked, for a row that is seen while its transaction is still in progress is ours.
    top       bigint  := pg_current_xact_id()::text::bigint;
    ours      int     := age(pg_current_xact_id()::xid);
    alone     boolean := pg_snapshot_xmax(pg_current_snapshot())::text::bigint <= top;
    -- How many rows of each catalog were written meanwhile, in the order of catalog_row_counts(): inserted and updated
    -- of pg_class, pg_attribute, pg_constraint, pg_trigger, pg_rewrite, pg_policy, pg_sequence, pg_proc, pg_type,
    -- pg_enum, pg_description, pg_extension; then the rarer kinds, deleted of pg_depend and pg_attribute, updated of
    -- pg_index, pg_default_acl, members of publications and of other objects, and deleted of pg_description. Where
    -- nothing counted them, as many as there may be.
    now_counted constant bigint[] := migrollback_schema.catalog_row_counts();
    counted   bigint[];
    extending boolean;
    created      oid[];    -- relations of any kind that are new
    -- relations whose definition may have changed, for such DDL takes one of these locks and keeps it
    altered   oid[];
    touched   oid[];    -- and those whose triggers or sequence may have
    gone      oid[];    -- what was dropped: DROP locks every single object that goes
BEGIN
    FOR place IN 1 .. 32 LOOP
        counted[place] := coalesce(now_counted[place] - counts[place], 1000000000000);
    END LOOP;
    extending := counted[23] + counted[24] > 0;
    SELECT array_agg(l.relation) FILTER (WHERE l.locktype = 'relation' AND l.mode <> 'ShareRowExclusiveLock'),
           array_agg(l.relation) FILTER (WHERE l.locktype = 'relation'),
           array_agg(coalesce(l.relation, l.objid)) FILTER (WHERE l.mode = 'AccessExclusiveLock')
      INTO altered, touched, gone
      FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype IN ('relation', 'object')
       AND l.mode IN ('AccessExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock');

    -- relations --------------------------------------------------------------------------------------
    IF counted[1] > 0 THEN
        SELECT array_agg(c.oid) INTO created FROM pg_class c
         WHERE c.oid > since AND CASE WHEN age(c.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END;
        IF coalesce(cardinality(created), 0) < counted[1] THEN
            -- Some went again, or oids began anew from the lowest one. A relation that was there before has older rows
            -- in pg_depend.
            SELECT array_agg(c.oid) INTO created FROM pg_class c
             WHERE c.oid >= 16384 AND CASE WHEN age(c.xmin) <= ours THEN alone
               OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                               AND d.objsubid = 0 AND age(d.xmin) > ours);
        END IF;
    END IF;
    created := coalesce(created, '{}');
    altered := ARRAY(SELECT a FROM unnest(altered) a WHERE a <> ALL (created));
    RETURN QUERY
    SELECT CASE WHEN r.new THEN 'created' ELSE 'changed' END,
           CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                WHEN 'm' THEN 'materialized view'
                WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type' ELSE 'index' END,
           format('%I.%I', n.nspname, r.relname), 'pg_class'::regclass::oid, r.oid, 0, r.ctid
      FROM (SELECT true AS new, c.oid, c.relname, c.relnamespace, c.relkind, c.relpersistence, c.reltype, c.ctid
            FROM pg_class c WHERE c.oid = ANY (created)
            UNION ALL
            SELECT false, c.oid, c.relname, c.relnamespace, c.relkind, c.relpersistence, c.reltype, c.ctid
              FROM pg_class c
             WHERE c.oid = ANY (altered) AND CASE WHEN age(c.xmin) <= ours THEN alone
               OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END) r
      JOIN pg_namespace n ON n.oid = r.relnamespace
     WHERE r.relpersistence <> 't' AND n.nspname <> 'pg_toast'
       -- of a composite type the extension owns the type, and that its relation
       AND NOT (extending AND (EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass
                                       AND e.objid = r.oid AND e.deptype = 'e')
                OR EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = r.reltype
                           AND e.deptype = 'e')));

    IF counted[3] + counted[4] > 0 THEN
        RETURN QUERY SELECT *
            FROM migrollback_schema.migration_column_writes(since, created, altered, extending, counted, top, ours,
                                                            alone);
    END IF;
    IF counted[5] + counted[6] + counted[7] + counted[8] + counted[9] + counted[10] + counted[11] + counted[12]
        + counted[14] > 0 THEN
        RETURN QUERY SELECT * FROM migrollback_schema.migration_relation_part_writes(
            since, created, altered, touched, extending, counted, top, ours, alone);
    END IF;
    IF counted[15] + counted[16] + counted[17] + counted[18] + counted[19] + counted[20] > 0 THEN
        RETURN QUERY SELECT *
            FROM migrollback_schema.migration_routine_and_type_writes(since, created, extending, counted, top, ours,
                alone);
    END IF;
    IF counted[21] + counted[22] + counted[23] + counted[24] + counted[25] > 0 THEN
        RETURN QUERY SELECT * FROM migrollback_schema.migration_other_writes(since, counted, top, ours, alone);
    END IF;
    IF may_grant AND counted[2] + counted[4] + counted[29] > 0 THEN
        RETURN QUERY SELECT * FROM migrollback_schema.migration_grant_writes(
            since, created, coalesce(touched, '{}'), counted, top, ours, alone);
    END IF;
    IF counted[28] + counted[30] + counted[31] > 0 THEN
        RETURN QUERY SELECT * FROM migrollback_schema.migration_membership_writes(altered, gone, counted, top, ours,
                                                                                  alone);
    END IF;
    IF counted[26] + counted[4] > 0 THEN
        RETURN QUERY SELECT * FROM migrollback_schema.migration_dropped_objects(gone);
    END IF;
    IF counted[32] > 0 THEN
        RETURN QUERY SELECT * FROM migrollback_schema.migration_dropped_comments();
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_catalog_writes(oid, bigint[], boolean) IS
    'What this transaction has created, changed and dropped so far, as far as catalogs and locks tell: settings do '
    'not show. since: an oid that was given out before; what lies above it '
    'is new. counts: catalog_row_counts() from before, which says where to look. may_grant: false where '
    'statements_may_grant() says so, for looking for rights takes longer the larger the schema is. version: which '
    'version of the catalog row. Does not write.';
