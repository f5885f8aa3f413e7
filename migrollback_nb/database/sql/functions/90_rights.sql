-- ---------------------------------------------------------------------------------------------------
-- Rights: the owner, and those whom the owner grants; no one else.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_grants()
RETURNS TABLE (object text, kind text, owner oid, grantor oid, grantee oid, privilege text, is_ours_to_close boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT o.object, o.kind, o.owner, x.grantor, x.grantee, x.privilege_type,
           x.grantee = 0 OR x.grantee IN (SELECT r.oid FROM pg_roles r
                                          WHERE r.rolname IN ('anon', 'authenticated', 'service_role')
                                            AND r.oid <> o.owner)
    FROM (SELECT format('TABLE %s', c.oid::regclass) AS object, 'table' AS kind, c.relowner AS owner,
          coalesce(c.relacl, acldefault('r', c.relowner)) AS acl
          FROM migrollback_schema.migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
          UNION ALL     -- rights on columns go with those on the table
          SELECT format('TABLE %s', c.oid::regclass), 'table', c.relowner, a.attacl
          FROM migrollback_schema.migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
          UNION ALL
          SELECT format('FUNCTION %s', p.oid::regprocedure),
                 'function', p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
          FROM migrollback_schema.migration_system_objects() s JOIN pg_proc p ON p.oid = ANY (s.routines)) o
    CROSS JOIN LATERAL aclexplode(o.acl) x
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_grants() IS
    'Every right on this system''s tables (their columns included) and functions: object, owner, who gave it, to '
    'whom (0: PUBLIC), privilege; is_ours_to_close: it is PUBLIC''s, anon''s, authenticated''s or service_role''s. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.revoke_public_privileges(new_objects text[] DEFAULT '{}') RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    opened record;
    before text[];
BEGIN
    -- PostgreSQL itself lets PUBLIC call each new function: right after CREATE that is no grant of anyone.
    before := ARRAY(SELECT DISTINCT g.object || ' ' || g.grantee FROM migrollback_schema.migration_grants() g
                     WHERE (g.is_ours_to_close AND NOT (g.object = ANY (new_objects) AND g.grantee = 0
                                                        AND g.kind = 'function'))
                        OR (g.object = ANY (new_objects) AND g.grantee NOT IN (0, g.owner) AND NOT g.is_ours_to_close
                            AND NOT (g.kind = 'table' AND g.privilege = 'SELECT')));
    -- A revoke from PUBLIC leaves anon its own grant (Supabase's default privileges make one), and DROP + CREATE brings
    -- both back.
    -- A revoke takes back what the owner gave, and no more: who passed a right on to one of these loses the right to
    -- pass it on, and what was passed on with it.
    FOR opened IN
        WITH RECURSIVE granted AS MATERIALIZED (SELECT * FROM migrollback_schema.migration_grants()),
        chain AS (
            SELECT g.object, g.owner, g.grantor, g.grantee, false AS passed_on FROM granted g WHERE g.is_ours_to_close
            UNION
            SELECT g.object, g.owner, g.grantor, g.grantee, true FROM chain c JOIN granted g ON g.object = c.object
                   AND g.grantee = c.grantor
             WHERE c.grantor <> c.owner)
        SELECT c.object, CASE WHEN c.grantee = 0 THEN 'PUBLIC' ELSE c.grantee::regrole::text END AS grantee,
               CASE WHEN bool_and(c.passed_on) THEN 'GRANT OPTION FOR ALL' ELSE 'ALL' END AS privileges
        FROM chain c WHERE c.grantor = c.owner AND c.grantee <> c.owner GROUP BY c.object, c.grantee
        UNION ALL
        -- Right after CREATE nothing was granted by hand: what others may do besides reading, default privileges gave
        -- to them.
        -- Reading stays with them: a backup by a role that reads by default privileges would break.
        SELECT g.object, g.grantee::regrole::text, string_agg(DISTINCT g.privilege, ', ')
        FROM granted g JOIN pg_roles r ON r.oid = g.grantee AND NOT r.rolsuper
        WHERE g.object = ANY (new_objects) AND NOT g.is_ours_to_close AND g.grantee <> g.owner
          AND NOT (g.kind = 'table' AND g.privilege = 'SELECT')
        GROUP BY g.object, g.grantee
    LOOP
        EXECUTE format('REVOKE %s ON %s FROM %s CASCADE', opened.privileges, opened.object, opened.grantee);
    END LOOP;
    -- who does not own them revokes nothing, with no more than a warning
    RETURN (SELECT count(*) FROM unnest(before) AS b (grant_before)
             WHERE b.grant_before NOT IN (SELECT g.object || ' ' || g.grantee
                                          FROM migrollback_schema.migration_grants() g
                                           WHERE g.is_ours_to_close
                                             OR NOT (g.kind = 'table' AND g.privilege = 'SELECT')));
END $function$;
COMMENT ON FUNCTION migrollback_schema.revoke_public_privileges(text[]) IS
    'Writes: takes every right on this system''s tables and functions from PUBLIC and, where they exist, from anon, '
    'authenticated and service_role, whichever role granted it. new_objects: what was just created, as '
    'migration_grants() names it: there also from all others, but for reading tables, what default privileges gave '
    'to them. Returns how many grants it revoked.';

CREATE OR REPLACE FUNCTION migrollback_schema.set_migration_row_security() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    roles     text := (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) FROM pg_roles r
                       WHERE r.rolname IN ('anon', 'authenticated', 'service_role'));
    protected record;
    changed   boolean := false;
    kept      text[] := '{}';
    names     text[] := '{}';
BEGIN
    -- Where it is on, pg_dump by a role that only reads stops with an error: not where grants alone keep others out.
    FOR protected IN
        SELECT c.oid, c.relname, c.relrowsecurity, c.relowner, EXISTS (SELECT FROM pg_policy p
            WHERE p.polrelid = c.oid AND p.polname <> 'granted_roles') AS has_others
        FROM migrollback_schema.migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
         WHERE c.relkind = 'r' ORDER BY c.relname
    LOOP
        names := names || regexp_replace(protected.relname, '^migration_', '');
        IF NOT protected.relrowsecurity AND roles IS NOT NULL OR protected.relrowsecurity AND roles IS NULL
            AND NOT protected.has_others THEN
            IF NOT pg_has_role(protected.relowner, 'USAGE') THEN
                RETURN format('Row security of the system''s tables is to be turned %s, and only their owner, %s, can '
                              'do that: run install as that role',
                              CASE WHEN roles IS NULL THEN 'off' ELSE 'on' END, protected.relowner::regrole);
            END IF;
            EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY', protected.oid::regclass,
                           CASE WHEN roles IS NULL THEN 'DISABLE' ELSE 'ENABLE' END);
            changed := true;
        ELSIF roles IS NULL AND protected.has_others THEN
            kept := kept || protected.oid::regclass::text;
        END IF;
    END LOOP;
    RETURN CASE
        WHEN roles IS NOT NULL THEN format(
            'Row security %s for the system''s tables, because Supabase''s roles exist here (%s). pg_dump by a role '
            'that is not their owner and has no BYPASSRLS stops there '
            '("query would be affected by row-level security policy"): ALTER ROLE ... BYPASSRLS, or pg_dump -T ''%s''',
            CASE WHEN changed THEN 'was turned on' ELSE 'is on' END, roles,
            -- as a shell wants it
            replace(format('%s.migration_(%s)', 'migrollback_schema'::regnamespace, array_to_string(names, '|')), '''',
                    E'\'\\\'\''))
        WHEN cardinality(kept) > 0
            THEN format('Row security was left as it is for %s, which has policies that are not ours',
                        array_to_string(kept, ', '))
        WHEN changed THEN 'Row security was turned off for the system''s tables: none of Supabase''s roles exists '
                          'here, and grants alone keep others out' END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.set_migration_row_security() IS
    'Writes where it must: turns row security of this system''s tables on where anon, authenticated or service_role '
    'exists, and off elsewhere, unless they were given policies. Returns what a person should know of it, or NULL.';

CREATE OR REPLACE FUNCTION migrollback_schema.open_migration_rights() RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    WITH granted AS MATERIALIZED (SELECT * FROM migrollback_schema.migration_grants()),
    holder (oid) AS (SELECT g.grantee FROM granted g WHERE g.grantee <> 0 AND NOT g.is_ours_to_close
                     UNION SELECT g.owner FROM granted g
                     UNION SELECT r.oid FROM pg_roles r WHERE r.rolname IN ('pg_read_all_data', 'pg_write_all_data')),
    remark (text) AS (
        SELECT format('%s of the system''s tables and functions are still open to %s: only their owner, %s, can close '
                      'them', count(DISTINCT g.object),
                      CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.owner::regrole)
        FROM granted g WHERE g.is_ours_to_close GROUP BY g.grantee, g.owner
        UNION ALL
        SELECT format('%I belongs to %I, whose rights on the system''s tables it can use: REVOKE %I FROM %I, unless '
                      'that is meant', r.rolname, o.rolname, o.rolname, r.rolname)
        FROM pg_roles r JOIN holder h ON h.oid <> r.oid JOIN pg_roles o ON o.oid = h.oid
        WHERE r.rolname IN ('anon', 'authenticated', 'service_role') AND NOT r.rolsuper
          AND pg_has_role(r.oid, h.oid, 'MEMBER'))
    SELECT coalesce(array_agg(r.text ORDER BY r.text), '{}') FROM remark r
$function$;
COMMENT ON FUNCTION migrollback_schema.open_migration_rights() IS
    'What revoke_public_privileges() cannot close, in words: grants of an owner who does not run it, and roles to '
    'whose rights anon, authenticated or service_role come as members. Does not write.';
