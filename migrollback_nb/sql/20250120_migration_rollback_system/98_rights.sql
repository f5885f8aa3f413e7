-- ---------------------------------------------------------------------------------------------------
-- Rights: nobody but the owner, and whom the owner grants.
-- ---------------------------------------------------------------------------------------------------

ALTER TABLE migrollback_schema.migration_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE migrollback_schema.migration_dependencies ENABLE ROW LEVEL SECURITY;
ALTER TABLE migrollback_schema.migration_snapshots ENABLE ROW LEVEL SECURITY;
ALTER TABLE migrollback_schema.migration_objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE migrollback_schema.migration_events ENABLE ROW LEVEL SECURITY;

-- Whom the owner grants sees all rows; the roles under which Supabase serves the world see none, whatever is granted to them later.
CREATE POLICY granted_roles ON migrollback_schema.migration_history USING (current_user NOT IN ('anon', 'authenticated'));
CREATE POLICY granted_roles ON migrollback_schema.migration_dependencies USING (current_user NOT IN ('anon', 'authenticated'));
CREATE POLICY granted_roles ON migrollback_schema.migration_snapshots USING (current_user NOT IN ('anon', 'authenticated'));
CREATE POLICY granted_roles ON migrollback_schema.migration_objects USING (current_user NOT IN ('anon', 'authenticated'));
CREATE POLICY granted_roles ON migrollback_schema.migration_events USING (current_user NOT IN ('anon', 'authenticated'));

CREATE FUNCTION migrollback_schema.close_migration_rights() RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    opened record;
    closed int := 0;
BEGIN
    -- A revoke from PUBLIC leaves anon its own grant (Supabase's default privileges make one), and DROP + CREATE brings both back.
    FOR opened IN
        SELECT DISTINCT g.what, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS grantee
        FROM migrollback_schema.migration_system_objects() o
        CROSS JOIN LATERAL unnest(o.tables || o.routines) AS u (objid)
        LEFT JOIN pg_class c ON c.oid = u.objid AND c.oid = ANY (o.tables)
        LEFT JOIN pg_proc p ON p.oid = u.objid AND p.oid = ANY (o.routines)
        CROSS JOIN LATERAL (SELECT CASE WHEN c.oid IS NOT NULL THEN 'TABLE ' || c.oid::regclass ELSE 'FUNCTION ' || p.oid::regprocedure END AS what,
                                   coalesce(c.relacl, p.proacl, acldefault(CASE WHEN c.oid IS NOT NULL THEN 'r'::"char" ELSE 'f'::"char" END,
                                                                           coalesce(c.relowner, p.proowner))) AS acl) g
        CROSS JOIN LATERAL (SELECT x.grantee FROM aclexplode(g.acl) x
                            UNION ALL SELECT x.grantee FROM pg_attribute t, aclexplode(t.attacl) x WHERE t.attrelid = c.oid) a   -- rights on columns go with it
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE a.grantee = 0 OR r.rolname IN ('anon', 'authenticated')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', opened.what, opened.grantee);
        closed := closed + 1;
    END LOOP;
    RETURN closed;
END $function$;
COMMENT ON FUNCTION migrollback_schema.close_migration_rights() IS
    'Writes: takes every right on this system''s tables and functions from PUBLIC and, where they exist, from anon and authenticated. '
    'Returns how many grants it closed.';

SELECT migrollback_schema.close_migration_rights();
