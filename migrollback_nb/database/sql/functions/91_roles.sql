-- ---------------------------------------------------------------------------------------------------
-- Roles: auditors read everything and change nothing; operators roll back through functions that run as the owner.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_role_rights()
RETURNS TABLE (kind text, object text, object_kind text, object_id oid, privilege text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT 'auditor', format('TABLE %s', c.oid::regclass), 'table', c.oid, 'SELECT'
    FROM migrollback_schema.migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
    UNION ALL
    -- With no right to write a table none of them changes anything; what runs as its owner is another matter.
    SELECT 'auditor', format('FUNCTION %s', p.oid::regprocedure), 'function', p.oid, 'EXECUTE'
    FROM migrollback_schema.migration_system_objects() s JOIN pg_proc p ON p.oid = ANY (s.routines)
    WHERE p.prorettype <> 'trigger'::regtype
      AND (NOT p.prosecdef OR p.proname IN ('list_migration_policies', 'migration_requests'))
    UNION ALL
    SELECT 'operator', format('FUNCTION %s', p.oid::regprocedure), 'function', p.oid, 'EXECUTE'
    FROM migrollback_schema.migration_system_objects() s JOIN pg_proc p ON p.oid = ANY (s.routines)
    -- the specified one hands over to the gate, effective_search_path() is a default of its arguments
    WHERE p.prosecdef AND p.proname ~ '_gate$'
       OR p.proname IN ('execute_migration_rollback', 'effective_search_path', 'request_migration_approval',
                        'withdraw_migration_request', 'migration_requests', 'list_migration_policies')
    UNION ALL
    SELECT k.kind, format('FUNCTION %s', p.oid::regprocedure), 'function', p.oid, 'EXECUTE'
    FROM (VALUES ('approver', 'approve_migration_request'),
                 ('requester', 'request_migration_approval')) AS k (kind, own)
    CROSS JOIN migrollback_schema.migration_system_objects() s JOIN pg_proc p ON p.oid = ANY (s.routines)
    WHERE p.proname IN (k.own, 'withdraw_migration_request', 'migration_requests', 'list_migration_policies',
                        'effective_search_path')
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_role_rights() IS
    'What an auditor, an operator, an approver and a requester are granted: object as in GRANT, and privilege; on the '
    'schema also USAGE. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.recorded_migration_roles()
RETURNS TABLE (role_oid oid, role_name text, kind text, granted_by text, granted_at timestamptz, with_schema boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- The last event of a kind about a role is the record: it cannot be changed without a trace. By name and by id: a
    -- role that was renamed is granted once more under its new name, and one of a restored database has another id.
    WITH told AS MATERIALIZED (
        SELECT e.event_number, e.event, e.database_user, e.occurred_at, e.details ->> 'kind' AS kind,
               e.details ->> 'role' AS role_name, (e.details ->> 'role_oid')::oid AS role_oid,
               coalesce((e.details ->> 'with_schema')::boolean, false) AS with_schema
        FROM migrollback_schema.migration_events e WHERE e.event IN ('role_granted', 'role_revoked'))
    SELECT t.role_oid, t.role_name, t.kind, t.database_user, t.occurred_at, t.with_schema
    FROM told t
    WHERE t.event = 'role_granted'
      AND NOT EXISTS (SELECT FROM told o WHERE o.event_number > t.event_number AND o.kind = t.kind
                      AND (o.role_oid = t.role_oid OR o.role_name = t.role_name))
$function$;
COMMENT ON FUNCTION migrollback_schema.recorded_migration_roles() IS
    'Which role was granted to be auditor or operator and was not revoked since, as the audit log tells. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_roles()
RETURNS TABLE (role_name text, kind text, granted_by text, granted_at timestamptz, finding text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT k.role_name, k.kind, k.granted_by, k.granted_at,
           CASE WHEN r.oid IS NULL AND n.oid IS NULL THEN format('There is no role %s any more', k.role_name)
                WHEN r.oid IS NULL THEN format('The role %s is another one than the one that was granted', k.role_name)
                WHEN r.rolname <> k.role_name THEN format('%s was renamed to %s', k.role_name, r.rolname)
                WHEN l.missing > 0 THEN format('%s lacks %s of the rights of an %s', k.role_name, l.missing, k.kind)
           END
    FROM migrollback_schema.recorded_migration_roles() k
    LEFT JOIN pg_roles r ON r.oid = k.role_oid
    LEFT JOIN pg_roles n ON n.rolname = k.role_name
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE NOT CASE w.object_kind
                   WHEN 'table' THEN has_table_privilege(r.oid, w.object_id, w.privilege)
                   ELSE has_function_privilege(r.oid, w.object_id, w.privilege) END)
               + (NOT has_schema_privilege(r.oid, 'migrollback_schema'::regnamespace, 'USAGE'))::int AS missing
        FROM migrollback_schema.migration_role_rights() w WHERE w.kind = k.kind) l
    ORDER BY k.kind, k.role_name COLLATE "C"
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_roles() IS
    'Who was granted to be auditor or operator, by whom and when; finding: what of it is not so, NULL where all is. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_unknown_role_kind(kind text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF kind IS NULL OR kind NOT IN (SELECT r.kind FROM migrollback_schema.migration_role_rights() r) THEN
        RAISE EXCEPTION 'a role is granted to be %, not %',
            (SELECT string_agg(DISTINCT r.kind, ' or ') FROM migrollback_schema.migration_role_rights() r),
            coalesce(kind, 'NULL') USING ERRCODE = 'MR006';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_unknown_role_kind(text) IS
    'Raises SQLSTATE MR006 for what no role can be granted to be. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.grantable_role(role_name text, kind text) RETURNS oid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    role pg_roles;
    our_owner oid := (SELECT c.relowner FROM pg_class c
                       WHERE c.oid = to_regclass('migrollback_schema' || '.migration_history'));
BEGIN
    PERFORM migrollback_schema.refuse_unknown_role_kind(kind);
    SELECT * INTO role FROM pg_roles r WHERE r.rolname = role_name;
    IF role.oid IS NULL THEN
        RAISE EXCEPTION 'there is no role %', coalesce(quote_ident(role_name), 'NULL')
            USING ERRCODE = 'MR006', HINT = 'Give its name as it stands in pg_roles. Nothing was changed.';
    ELSIF role.rolname IN ('anon', 'authenticated', 'service_role') THEN
        RAISE EXCEPTION '% serves the world, and is granted nothing', role_name
            USING ERRCODE = 'MR006', HINT = 'Grant a role of its own.';
    ELSIF role.rolsuper OR pg_has_role(role.oid, our_owner, 'MEMBER') THEN
        RAISE EXCEPTION '% may do all of it already: it is %', role_name,
            CASE WHEN role.rolsuper THEN 'a superuser'
                 WHEN role.oid = our_owner THEN 'the owner of the system' ELSE 'a member of the owner of the system' END
            USING ERRCODE = 'MR006', HINT = 'Grant another role, with no right to the system of its own.';
    END IF;
    RETURN role.oid;
END $function$;
COMMENT ON FUNCTION migrollback_schema.grantable_role(text, text) IS
    'The role of this name, where it can be granted to be that. SQLSTATE MR006: there is none, it is no such kind, or '
    'it has all rights already. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.give_migration_role(role_oid oid, kind text) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    lacking record;
    given   int := 0;
BEGIN
    FOR lacking IN
        SELECT r.object, r.privilege FROM migrollback_schema.migration_role_rights() r
         WHERE r.kind = give_migration_role.kind
        EXCEPT SELECT g.object, g.privilege FROM migrollback_schema.migration_grants() g WHERE g.grantee = role_oid
    LOOP
        EXECUTE format('GRANT %s ON %s TO %s', lacking.privilege, lacking.object, role_oid::regrole);
        given := given + 1;
    END LOOP;
    RETURN given;
END $function$;
COMMENT ON FUNCTION migrollback_schema.give_migration_role(oid, text) IS
    'Grants what a role of this kind lacks of its rights; returns how many. Writes rights, no event: '
    'grant_migration_role() does both.';

CREATE OR REPLACE FUNCTION migrollback_schema.grant_migration_role(
    role_name text, kind text, client text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    wanted      constant oid := migrollback_schema.grantable_role(role_name, kind);
    with_schema boolean := false;
    given       int;
    is_recorded boolean;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    SELECT bool_or(true), coalesce(bool_or(k.with_schema), false) INTO is_recorded, with_schema
      FROM migrollback_schema.recorded_migration_roles() k
     WHERE k.role_oid = wanted AND k.role_name = grant_migration_role.role_name
       AND k.kind = grant_migration_role.kind;
    IF NOT has_schema_privilege(wanted, 'migrollback_schema'::regnamespace, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO %s', 'migrollback_schema', wanted::regrole);
        IF NOT has_schema_privilege(wanted, 'migrollback_schema'::regnamespace, 'USAGE') THEN
            RAISE EXCEPTION '% has no right to use schema %, and only the schema''s owner can grant that', role_name,
                'migrollback_schema'
                USING ERRCODE = 'MR006', HINT = format('GRANT USAGE ON SCHEMA %s TO %s, as its owner. Nothing was '
                    'changed.', 'migrollback_schema', wanted::regrole);
        END IF;
        with_schema := true;
    END IF;
    given := migrollback_schema.give_migration_role(wanted, kind);
    IF is_recorded AND given = 0 THEN
        RETURN false;
    END IF;
    PERFORM migrollback_schema.add_migration_event('role_granted', NULL::text, NULL::uuid, NULL::text, client,
        jsonb_build_object('role', role_name, 'role_oid', wanted::bigint, 'kind', kind, 'with_schema', with_schema,
                           'rights', given));
    RETURN true;
END $function$;
COMMENT ON FUNCTION migrollback_schema.grant_migration_role(text, text, text) IS
    'Writes: from now on this role is an auditor (reads everything, changes nothing), an operator (executes '
    'registered rollbacks and asks for approvals, and has no other right), an approver (sees and approves requests) or '
    'a requester (asks for approvals). One event. Returns whether anything was granted. SQLSTATE MR006: '
    'no such role or kind, or one that has all rights already.';

CREATE OR REPLACE FUNCTION migrollback_schema.revoke_migration_role(
    role_name text, kind text, client text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    known   record;
    revoked int := 0;
    held    record;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    PERFORM migrollback_schema.refuse_unknown_role_kind(kind);
    -- by its id where it was renamed since; what was dropped since is forgotten all the same
    SELECT k.*, r.oid AS now_oid INTO known
      FROM migrollback_schema.recorded_migration_roles() k LEFT JOIN pg_roles r ON r.oid = k.role_oid
     WHERE k.kind = revoke_migration_role.kind
       AND (k.role_name = revoke_migration_role.role_name OR r.rolname = revoke_migration_role.role_name)
     ORDER BY r.rolname = revoke_migration_role.role_name DESC NULLS LAST LIMIT 1;
    IF known.role_name IS NULL AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name) THEN
        RAISE EXCEPTION 'there is no role %', coalesce(quote_ident(role_name), 'NULL')
            USING ERRCODE = 'MR006', HINT = 'Give its name as it stands in pg_roles. Nothing was changed.';
    ELSIF known.role_name IS NULL THEN
        RETURN false;
    END IF;
    -- what another kind that it holds needs stays
    FOR held IN
        (SELECT r.object, r.privilege FROM migrollback_schema.migration_role_rights() r
          WHERE r.kind = revoke_migration_role.kind
         INTERSECT SELECT g.object, g.privilege FROM migrollback_schema.migration_grants() g
                    WHERE g.grantee = known.now_oid)
        EXCEPT SELECT o.object, o.privilege FROM migrollback_schema.recorded_migration_roles() k
                 JOIN migrollback_schema.migration_role_rights() o ON o.kind = k.kind
                WHERE k.role_oid = known.role_oid AND k.kind <> revoke_migration_role.kind
    LOOP
        EXECUTE format('REVOKE %s ON %s FROM %s CASCADE', held.privilege, held.object, known.now_oid::regrole);
        revoked := revoked + 1;
    END LOOP;
    IF known.with_schema AND known.now_oid IS NOT NULL
       AND NOT EXISTS (SELECT FROM migrollback_schema.recorded_migration_roles() k
                        WHERE k.role_oid = known.role_oid AND k.kind <> revoke_migration_role.kind) THEN
        EXECUTE format('REVOKE USAGE ON SCHEMA %s FROM %s', 'migrollback_schema', known.now_oid::regrole);
    END IF;
    PERFORM migrollback_schema.add_migration_event('role_revoked', NULL::text, NULL::uuid, NULL::text, client,
        jsonb_build_object('role', known.role_name, 'role_oid', known.role_oid::bigint, 'kind', kind,
                           'with_schema', known.with_schema, 'rights', revoked));
    RETURN true;
END $function$;
COMMENT ON FUNCTION migrollback_schema.revoke_migration_role(text, text, text) IS
    'Writes: takes from a role what grant_migration_role() gave it as an auditor or operator. One event. Returns '
    'whether it was one. SQLSTATE MR006: no such role or kind.';

CREATE OR REPLACE FUNCTION migrollback_schema.unrecorded_migration_grants()
RETURNS TABLE (role_name text, objects bigint, more boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT g.grantee::regrole::text, count(DISTINCT g.object),
           bool_or(g.object IN (SELECT format('FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
                                 WHERE p.pronamespace = 'migrollback_schema'::regnamespace AND p.prosecdef
                                   AND p.proname ~ '_gate$'))
    FROM migrollback_schema.migration_grants() g
    WHERE g.grantee NOT IN (0, g.owner) AND NOT g.is_ours_to_close
      AND NOT EXISTS (SELECT FROM migrollback_schema.recorded_migration_roles() k
                      JOIN migrollback_schema.migration_role_rights() r ON r.kind = k.kind
                       WHERE k.role_oid = g.grantee AND r.object = g.object AND r.privilege = g.privilege)
    GROUP BY g.grantee
$function$;
COMMENT ON FUNCTION migrollback_schema.unrecorded_migration_grants() IS
    'Roles with rights that no recorded grant explains: on how many objects, and whether among them is a function of '
    'the operators'' gate (more). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.restore_migration_roles() RETURNS int
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    -- Only the very role: one of the same name that was made since, or in another cluster, is another.
    SELECT coalesce(sum(migrollback_schema.give_migration_role(k.role_oid, k.kind)), 0)::int
    FROM migrollback_schema.recorded_migration_roles() k
    JOIN pg_roles r ON r.oid = k.role_oid AND r.rolname = k.role_name
$function$;
COMMENT ON FUNCTION migrollback_schema.restore_migration_roles() IS
    'Writes rights: grants again what recorded auditors and operators lack, as after an upgrade; returns how many. '
    'install calls it.';
