-- ---------------------------------------------------------------------------------------------------
-- What a transaction has created and changed of columns, routines and types: parts of migration_catalog_writes().
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_column_writes(
    since oid, created oid[], altered oid[], extending boolean, counted bigint[], top bigint, ours int, alone boolean)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    attribute_inserted   constant bigint := counted[3];
    attribute_deleted    constant bigint := counted[27];
    added    bigint := 0;
    stamped  tid[] := '{}';  -- rows of columns that were written and not changed
BEGIN
    IF cardinality(altered) > 0 THEN
        -- PostgreSQL 15.20 stamps, with the column whose type changes, all behind it (pg_attver in attoptions): written
        -- by one command, but not changed.
        stamped := ARRAY(
            SELECT a.ctid FROM pg_attribute a
             WHERE a.attrelid = ANY (altered) AND a.attnum > 0 AND a.attoptions IS NOT NULL AND age(a.xmin) <= ours
               AND EXISTS (SELECT FROM unnest(a.attoptions) AS o (stamp)
                             JOIN pg_attribute b ON b.attrelid = a.attrelid AND b.attnum > 0 AND b.attnum <> a.attnum
                                 AND o.stamp = ANY (b.attoptions)
                                                AND b.xmin = a.xmin AND b.cmin = a.cmin
                             JOIN pg_attribute f ON f.attrelid = a.attrelid AND f.attnum > 0 AND f.attnum < a.attnum
                                 AND o.stamp = ANY (f.attoptions)
                            WHERE starts_with(o.stamp, 'pg_')));
        -- where a table was rewritten its columns were inserted once more, and their number says nothing
        added := CASE WHEN attribute_deleted > 0 THEN 1000000000000
                      ELSE attribute_inserted - (SELECT count(*) FROM pg_attribute a
                                                 WHERE a.attrelid = ANY (created)) END;
    END IF;
    RETURN QUERY
    SELECT CASE WHEN w.new OR w.known = 'table' THEN 'created' WHEN w.known = 'column' THEN 'changed'
                -- of a table of which no known migration is the creator: the last columns, behind all that are older,
                -- as many as were added
                WHEN NOT w.before AND row_number() OVER (ORDER BY w.new, w.known IS NOT NULL,
                                                         a.attnum DESC) <= added
                                                         - count(*) FILTER (WHERE w.known = 'table') OVER ()
                                                         THEN 'created'
                ELSE 'changed' END,
           'column', format('%I.%I.%I', n.nspname, c.relname, a.attname), 'pg_class'::regclass::oid, c.oid,
               a.attnum::int, a.ctid
      FROM (SELECT true AS new, m AS relation, NULL::int2 AS attnum, NULL AS known, false AS before
            FROM unnest(created) m
            UNION ALL
            SELECT false, a.attrelid, a.attnum,
                   (SELECT CASE WHEN bool_or(o.column_number = a.attnum) THEN 'column'
                    WHEN bool_or(o.column_number = 0 AND o.action = 'created') THEN 'table' END
                      FROM migrollback_schema.migration_objects o
                     WHERE o.object_id = a.attrelid AND o.class_id = 'pg_class'::regclass
                       AND o.column_number IN (0, a.attnum)),
                   EXISTS (SELECT FROM pg_attribute b WHERE b.attrelid = a.attrelid AND b.attnum > a.attnum
                           AND (age(b.xmin) > ours OR b.ctid = ANY (stamped)))
              FROM pg_attribute a WHERE a.attrelid = ANY (altered) AND a.attnum > 0
               -- A table that was rewritten forgets which columns were added with a default: their rows are written
               -- though nothing of them has changed.
               AND NOT (a.atthasdef AND EXISTS (SELECT FROM pg_class f
                                                WHERE f.oid = a.attrelid AND f.relfilenode > since)
                        AND NOT EXISTS (SELECT FROM pg_attrdef e WHERE e.adrelid = a.attrelid AND e.adnum = a.attnum
                                        AND e.oid > since))
               AND a.ctid <> ALL (stamped)
               AND CASE WHEN age(a.xmin) <= ours THEN alone
               OR pg_xact_status((top + ours - age(a.xmin))::text::xid8) = 'in progress' ELSE false END) w
      JOIN pg_class c ON c.oid = w.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't'
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = w.relation AND a.attnum > 0 AND NOT a.attisdropped
          AND (w.new OR a.attnum = w.attnum)
     WHERE NOT (extending AND (EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass
                                       AND e.objid = c.oid AND e.deptype = 'e')
                OR EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = c.reltype
                           AND e.deptype = 'e')));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_column_writes(oid, oid[], oid[], boolean, bigint[], bigint, int,
                                                               boolean) IS
    'The part of migration_catalog_writes() about columns: of new relations all, of others those that were added '
    '(their rows are new) or changed. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_routine_and_type_writes(
    since oid, created oid[], extending boolean, counted bigint[], top bigint, ours int, alone boolean)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    proc_inserted        constant bigint := counted[15];
    proc_updated         constant bigint := counted[16];
    type_inserted        constant bigint := counted[17];
    type_updated         constant bigint := counted[18];
    enum_inserted        constant bigint := counted[19];
    enum_updated         constant bigint := counted[20];
    lowest  oid;
    wrapped boolean;
BEGIN
    -- by their oid, and all of them where one was replaced or oids began anew
    IF proc_inserted + proc_updated > 0 THEN
        wrapped := (SELECT count(*) FROM pg_proc p WHERE p.oid > since AND age(p.xmin) <= ours) < proc_inserted;
        lowest := CASE WHEN wrapped OR proc_updated > 0 THEN 16383::oid ELSE since END;
        RETURN QUERY
        SELECT CASE WHEN p.oid > since OR proc_updated = 0 OR wrapped AND NOT EXISTS (SELECT
            FROM migrollback_schema.migration_objects o WHERE o.object_id = p.oid AND o.class_id = 'pg_proc'::regclass)
                    THEN 'created' ELSE 'changed' END,
               CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
               format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
                   'pg_proc'::regclass::oid, p.oid, 0, p.ctid
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname !~ '^pg_temp_'
         WHERE p.oid > lowest
           AND CASE WHEN age(p.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(p.xmin))::text::xid8) = 'in progress' ELSE false END
           AND NOT (extending AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass
                                          AND e.objid = p.oid AND e.deptype = 'e'));
    END IF;
    -- a relation brings its row type and the array of that; only what is more is a type of its own
    IF type_updated > 0
       OR type_inserted > (SELECT count(*) FROM pg_class c WHERE c.oid = ANY (created) AND c.reltype <> 0) * 2 THEN
        wrapped := (SELECT count(*) FROM pg_type t WHERE t.oid > since AND age(t.xmin) <= ours) < type_inserted;
        lowest := CASE WHEN wrapped OR type_updated > 0 THEN 16383::oid ELSE since END;
        RETURN QUERY
        SELECT CASE WHEN t.oid > since OR type_updated = 0 OR wrapped AND NOT EXISTS (SELECT
            FROM migrollback_schema.migration_objects o WHERE o.object_id = t.oid AND o.class_id = 'pg_type'::regclass)
                    THEN 'created' ELSE 'changed' END,
               CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'base type' END,
               format('%I.%I', n.nspname, t.typname), 'pg_type'::regclass::oid, t.oid, 0, t.ctid
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace AND n.nspname !~ '^pg_temp_'
         WHERE t.oid > lowest AND (t.typtype IN ('e', 'd', 'r', 'p') OR t.typtype = 'b'
                                   AND t.typsubscript::oid <> 'array_subscript_handler'::regproc)
           AND CASE WHEN age(t.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(t.xmin))::text::xid8) = 'in progress' ELSE false END
           AND NOT (extending AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass
                                          AND e.objid = t.oid AND e.deptype = 'e'));
    END IF;
    IF enum_inserted + enum_updated > 0 THEN
        RETURN QUERY
        SELECT DISTINCT ON (t.oid) 'changed', 'enum', format('%I.%I', n.nspname, t.typname),
               'pg_type'::regclass::oid, t.oid, 0, l.ctid
          FROM pg_enum l JOIN pg_type t ON t.oid = l.enumtypid AND age(t.xmin) > ours
            JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE CASE WHEN age(l.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(l.xmin))::text::xid8) = 'in progress' ELSE false END
           AND NOT (extending AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass
                                          AND e.objid = t.oid AND e.deptype = 'e'));
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_routine_and_type_writes(oid, oid[], boolean, bigint[], bigint, int,
    boolean) IS
    'The part of migration_catalog_writes() about routines, types and labels of enums. Does not write.';
