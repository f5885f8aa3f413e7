-- ---------------------------------------------------------------------------------------------------
-- Rights and other parts of objects: what a transaction has granted, changed and taken of them.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.statements_may_grant(statements text[]) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- An event trigger runs code of its own, whatever the SQL says; so does what is no plain DDL.
    RETURN EXISTS (SELECT FROM pg_event_trigger e WHERE e.evtenabled <> 'D')
        OR (SELECT coalesce(bool_or(s.statement ~ ';' OR s.statement !~* '^\s*(create|alter|drop|comment)\M'
                                    OR s.statement ~* '\m(grant|revoke|extension)\M'
                                    OR s.statement ~* '^\s*drop\M.*\mowned\M'), true)
              FROM unnest(statements) AS s (statement));
END $function$;
COMMENT ON FUNCTION migrollback_schema.statements_may_grant(text[]) IS
    'Whether these statements may write rights on relations and columns that they do not lock: GRANT, REVOKE, DROP '
    'OWNED, an extension''s script, or code that no text here says. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_grant_writes(
    since oid, created oid[], locked oid[], counted bigint[], top bigint, ours int, alone boolean)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = on AS $function$
BEGIN
    -- GRANT on a relation locks none, so a row that this transaction wrote of one that it has not locked is a GRANT.
    -- Of what it has locked, and of what is no relation, the object itself is known to be changed.
    IF counted[2] > 0 AND (SELECT count(*) FROM pg_class c WHERE c.oid = ANY (created || locked)
                            AND CASE WHEN age(c.xmin) <= ours THEN alone
                            OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END)
                          -- each of its writes left one row of these, so it wrote no other
                          IS DISTINCT FROM counted[1] + counted[2] THEN
        RETURN QUERY
        WITH granted AS MATERIALIZED (
            SELECT c.oid, c.relkind, c.ctid, format('%I.%I', n.nspname, c.relname) AS id
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relacl IS NOT NULL AND c.oid >= 16384 AND c.relpersistence <> 't'
              AND CASE WHEN age(c.xmin) <= ours THEN alone
              OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END
              AND c.oid <> ALL (created) AND c.oid <> ALL (locked))
        SELECT 'changed', CASE g.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
               WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'foreign table' END, g.id,
               'pg_class'::regclass::oid, g.oid, 0, g.ctid FROM granted g
        UNION ALL SELECT 'changed', 'grant', 'relation ' || g.id, NULL::oid, NULL::oid, 0, g.ctid FROM granted g;
    END IF;
    IF counted[4] > 0 AND (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = ANY (created || locked)
                            AND CASE WHEN age(a.xmin) <= ours THEN alone
                            OR pg_xact_status((top + ours - age(a.xmin))::text::xid8) = 'in progress' ELSE false END)
                          IS DISTINCT FROM counted[3] + counted[4] THEN
        RETURN QUERY
        WITH granted AS MATERIALIZED (
            SELECT c.oid, a.attnum, a.ctid, format('%I.%I.%I', n.nspname, c.relname, a.attname) AS id
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relpersistence <> 't'
              JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384
              AND CASE WHEN age(a.xmin) <= ours THEN alone
              OR pg_xact_status((top + ours - age(a.xmin))::text::xid8) = 'in progress' ELSE false END
              AND a.attrelid <> ALL (created) AND a.attrelid <> ALL (locked))
        SELECT 'changed', 'column', g.id, 'pg_class'::regclass::oid, g.oid, g.attnum::int, g.ctid FROM granted g
        UNION ALL SELECT 'changed', 'grant', 'column ' || g.id, NULL::oid, NULL::oid, 0, g.ctid FROM granted g;
    END IF;
    IF counted[29] > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN d.oid > since THEN 'created' ELSE 'changed' END, 'default grant',
               format('%s in %s on %s', d.defaclrole::regrole, CASE WHEN d.defaclnamespace = 0 THEN '*'
                      ELSE d.defaclnamespace::regnamespace::text END, d.defaclobjtype),
               'pg_default_acl'::regclass::oid, d.oid, 0, d.ctid
          FROM pg_default_acl d
         WHERE CASE WHEN age(d.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(d.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_grant_writes(oid, oid[], oid[], bigint[], bigint, int, boolean) IS
    'The part of migration_catalog_writes() about rights on relations and columns that it has not locked, and about '
    'rights by default. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_membership_writes(
    altered oid[], gone oid[], counted bigint[], top bigint, ours int, alone boolean)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF counted[28] > 0 THEN             -- CLUSTER ON, REPLICA IDENTITY USING INDEX
        RETURN QUERY
        SELECT 'changed', 'index', format('%I.%I', n.nspname, c.relname), 'pg_class'::regclass::oid, c.oid, 0, x.ctid
          FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid AND c.relpersistence <> 't'
            JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE x.indrelid = ANY (altered) AND age(c.xmin) > ours
           AND CASE WHEN age(x.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(x.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
    IF counted[30] > 0 THEN             -- what a publication publishes: ALTER locks it as DROP does
        RETURN QUERY
        SELECT 'changed', 'publication', quote_ident(p.pubname), 'pg_publication'::regclass::oid, p.oid, 0, p.ctid
          FROM pg_publication p WHERE p.oid = ANY (gone) AND age(p.xmin) > ours;
    END IF;
    IF counted[31] > 0 THEN
        RETURN QUERY
        SELECT 'changed', 'foreign table', format('%I.%I', n.nspname, c.relname), 'pg_class'::regclass::oid, c.oid, 0,
               f.ctid
          FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE f.ftrelid = ANY (altered) AND age(c.xmin) > ours
           AND CASE WHEN age(f.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(f.xmin))::text::xid8) = 'in progress' ELSE false END;
        RETURN QUERY
        SELECT DISTINCT ON (o.cfg) 'changed', 'text search configuration', i.identity, 'pg_ts_config'::regclass::oid,
               o.cfg, 0, o.version
          FROM (SELECT m.mapcfg AS cfg, m.ctid AS version FROM pg_ts_config_map m
                WHERE m.mapcfg >= 16384 AND CASE WHEN age(m.xmin) <= ours THEN alone
                  OR pg_xact_status((top + ours - age(m.xmin))::text::xid8) = 'in progress' ELSE false END) o
          CROSS JOIN LATERAL pg_identify_object('pg_ts_config'::regclass, o.cfg, 0) i
         WHERE EXISTS (SELECT FROM pg_ts_config c WHERE c.oid = o.cfg AND age(c.xmin) > ours);
        RETURN QUERY
        SELECT DISTINCT ON (o.family) 'changed', 'operator family', i.identity, 'pg_opfamily'::regclass::oid,
               o.family, 0, o.version
          FROM (SELECT m.amopfamily AS family, m.ctid AS version FROM pg_amop m
                WHERE m.oid >= 16384 AND CASE WHEN age(m.xmin) <= ours THEN alone
                  OR pg_xact_status((top + ours - age(m.xmin))::text::xid8) = 'in progress' ELSE false END
                UNION ALL
                SELECT m.amprocfamily, m.ctid FROM pg_amproc m
                WHERE m.oid >= 16384 AND CASE WHEN age(m.xmin) <= ours THEN alone
                  OR pg_xact_status((top + ours - age(m.xmin))::text::xid8) = 'in progress' ELSE false END) o
          CROSS JOIN LATERAL pg_identify_object('pg_opfamily'::regclass, o.family, 0) i
         WHERE EXISTS (SELECT FROM pg_opfamily c WHERE c.oid = o.family AND age(c.xmin) > ours);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_membership_writes(oid[], oid[], bigint[], bigint, int, boolean) IS
    'The part of migration_catalog_writes() about objects that change while their own catalog row does not: indexes '
    'that are clustered on, publications, foreign tables, text search configurations, operator families. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_dropped_comments()
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    -- only what a known migration had written has a name left
    SELECT DISTINCT ON (o.object_id, o.column_number) 'dropped', o.kind, o.identity, o.class_id, o.object_id,
           o.column_number, NULL::tid
      FROM migrollback_schema.migration_objects o
      JOIN migrollback_schema.migration_history h ON h.migration_name = o.migration_name AND h.status <> 'rolled_back'
     WHERE o.class_id = 'pg_description'::regclass AND o.action <> 'dropped'
       AND o.recorded_in = ('migrollback_schema' || '.migration_objects')::regclass
       AND NOT EXISTS (SELECT FROM pg_description d WHERE d.objoid = o.object_id AND d.objsubid = o.column_number)
       AND NOT EXISTS (SELECT FROM migrollback_schema.migration_objects p
                       JOIN migrollback_schema.migration_history q ON q.migration_name = p.migration_name
                        WHERE p.object_id = o.object_id AND p.class_id = o.class_id
                          AND p.column_number = o.column_number
                          AND p.action = 'dropped' AND q.status <> 'rolled_back')
     ORDER BY o.object_id, o.column_number, h.applied_at DESC, o.recorded_at DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_dropped_comments() IS
    'The part of migration_catalog_writes() about comments that are no more. Does not write.';
