-- ---------------------------------------------------------------------------------------------------
-- Ledgers of deploy tools: found by name, and neither read nor written unless their owners are trusted.
-- ---------------------------------------------------------------------------------------------------

-- A ledger is another role's table, and who writes to it runs the triggers, rules, policies, defaults and checks that
-- its owner put there, with the
-- writer's own rights. So it is neither read nor written unless all who could have put code there are trusted.

CREATE OR REPLACE FUNCTION migrollback_schema.trusted_ledger_owners() RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE granted (role_id) AS (
            SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user
            UNION
            -- Grants alone count: for pg_has_role() a superuser is a member of every role. From 16 on a grant may give
            -- no more than the right to grant it on.
            SELECT m.roleid FROM granted g JOIN pg_auth_members m ON m.member = g.role_id
             WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true)
               OR coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
        SELECT g.role_id FROM granted g
        UNION SELECT r.oid FROM pg_roles r WHERE r.rolsuper OR r.rolname = 'pg_database_owner'
        UNION SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()
        UNION SELECT r.oid FROM migrollback_schema.migration_history h
              CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(h.metadata -> 'trusted_ledger_owners',
                  '[]')) AS t (role_name)
              JOIN pg_roles r ON r.rolname = t.role_name
              -- by its name, which is indexed: a function would be asked for each of ten thousand
              WHERE h.migration_name = ANY ('{20250120_migration_rollback_system}'::text[])
                AND migrollback_schema.is_system_migration(h.migration_name));
END $function$;
COMMENT ON FUNCTION migrollback_schema.trusted_ledger_owners() IS
    'The roles whose ledgers the caller may write: the caller, roles granted to the caller, the owner of the '
    'database, superusers, and those named by trust_ledger_owner(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_ledger_parts(relations regclass[])
RETURNS TABLE (class regclass, object oid, owner oid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- pg_depend is large and rarely analyzed; compiling takes longer
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $function$
BEGIN
    RETURN QUERY
    WITH RECURSIVE reached (class, object) AS (
        SELECT 'pg_class'::regclass::oid, r.relation::oid FROM unnest(relations) AS r (relation)
        UNION
        SELECT n.class, n.object FROM reached r CROSS JOIN LATERAL (
            -- what belongs to a table or domain (triggers, rules, policies, defaults, checks, indexes), and foreign
            -- keys that point at the table
            SELECT d.classid, d.objid FROM pg_depend d
             WHERE d.refclassid = r.class AND d.refobjid = r.object
               AND r.class IN ('pg_class'::regclass, 'pg_type'::regclass)
               AND (d.deptype IN ('a', 'i', 'P', 'S') OR d.deptype = 'n' AND d.classid = 'pg_constraint'::regclass)
            UNION ALL                   -- what that uses: functions, types, operators, other tables
            SELECT d.refclassid, d.refobjid FROM pg_depend d WHERE d.classid = r.class AND d.objid = r.object
                   AND d.deptype <> 'e'
            UNION ALL                   -- partitions and other children, which are read and written with it
            SELECT 'pg_class'::regclass::oid, i.inhrelid FROM pg_inherits i WHERE r.class = 'pg_class'::regclass
                   AND i.inhparent = r.object
        ) AS n (class, object))
    SELECT r.class::regclass, r.object,
           coalesce((SELECT c.relowner FROM pg_class c WHERE r.class = 'pg_class'::regclass AND c.oid = r.object),
                    (SELECT p.proowner FROM pg_proc p WHERE r.class = 'pg_proc'::regclass AND p.oid = r.object),
                    (SELECT y.typowner FROM pg_type y WHERE r.class = 'pg_type'::regclass AND y.oid = r.object),
                    (SELECT o.oprowner FROM pg_operator o WHERE r.class = 'pg_operator'::regclass AND o.oid = r.object))
    FROM reached r;
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_ledger_parts(regclass[]) IS
    'Everything that can run code when one of these tables is read or written, with its owner (NULL: that of its '
    'table). What every database has from the start is left out. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.ledger_lock_table(
    tool text, ledger regclass, OUT lock_table regclass, OUT column_name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT k.oid::regclass, a.attname::text
      FROM (VALUES ('Knex', '_lock', 'is_locked'), ('Liquibase', 'lock', 'locked')) AS l (tool, suffix, name)
      JOIN pg_class c ON c.oid = ledger
      JOIN pg_class k ON k.relnamespace = c.relnamespace AND k.relname = c.relname || l.suffix
       AND k.relkind IN ('r', 'p')
      JOIN pg_attribute a ON a.attrelid = k.oid AND a.attname = l.name AND NOT a.attisdropped
       AND a.atttypid IN ('bool'::regtype, 'int4'::regtype)
     WHERE l.tool = ledger_lock_table.tool
$function$;
COMMENT ON FUNCTION migrollback_schema.ledger_lock_table(text, regclass) IS
    'The table in whose row Knex or Liquibase says that it is at work, by its ledger, and the column; NULLs where '
    'there is none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.ledger_is_locked(tool text, ledger regclass) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    place record;
    found boolean := false;
BEGIN
    SELECT l.lock_table, l.column_name INTO place FROM migrollback_schema.ledger_lock_table(tool, ledger) l;
    IF place.lock_table IS NOT NULL THEN    -- Knex keeps 0 or 1
        EXECUTE format('SELECT coalesce(bool_or(k.%I::boolean), false) FROM %s k', place.column_name, place.lock_table)
           INTO found;
    END IF;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.ledger_is_locked(text, regclass) IS
    'Whether Knex or Liquibase says that it is at work, or broke off, by its ledger. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_ledger_relations(tool text, ledger regclass) RETURNS regclass[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT array_remove(ARRAY[ledger] || CASE WHEN tool = 'Sqitch' THEN
        ARRAY[to_regclass('sqitch.tags'), to_regclass('sqitch.events'), to_regclass('sqitch.dependencies')]
        WHEN tool IN ('Knex', 'Liquibase') THEN ARRAY[(migrollback_schema.ledger_lock_table(tool, ledger)).lock_table]
        WHEN tool = 'Hasura' THEN ARRAY[nullif(to_regclass('hdb_catalog.schema_migrations'), ledger)] END, NULL)
$function$;
COMMENT ON FUNCTION migrollback_schema.deploy_ledger_relations(text,
    regclass) IS
    'A ledger and the tables of its tool that are read or written with it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.untrusted_ledger_reason(tool text, ledger regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    trusted   oid[] := migrollback_schema.trusted_ledger_owners();
    relations regclass[] := migrollback_schema.deploy_ledger_relations(tool, ledger);
    culprit   record;
    role_name text;
BEGIN
    -- A trigger has no owner, and its condition and arguments are code too: who may make one may have made it. The
    -- ledger's own owner first: that says most.
    WITH part AS MATERIALIZED (SELECT p.class, p.object, p.owner
                               FROM migrollback_schema.deploy_ledger_parts(relations) p)
    SELECT f.class, f.object, f.role_id, f.by_trigger INTO culprit
      FROM (SELECT p.class, p.object, p.owner AS role_id, false AS by_trigger FROM part p WHERE p.owner <> ALL (trusted)
            UNION ALL
            SELECT p.class, p.object, a.grantee, true FROM part p JOIN pg_class c ON p.class = 'pg_class'::regclass
                   AND c.oid = p.object
             CROSS JOIN LATERAL aclexplode(c.relacl) a
             WHERE a.privilege_type = 'TRIGGER' AND a.grantee <> ALL (trusted) AND EXISTS (SELECT FROM pg_trigger t
                 WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)) f
     ORDER BY f.by_trigger, f.object <> ledger, f.class <> 'pg_class'::regclass, f.object, f.role_id LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    role_name := CASE WHEN culprit.role_id = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(culprit.role_id) END;
    IF culprit.by_trigger THEN
        RETURN format('The ledger %s is not trusted: %s has triggers, and %s may have made them. Look at them, then '
                      'REVOKE TRIGGER ON %2$s FROM %s', ledger,
            culprit.object::regclass, role_name, CASE culprit.role_id WHEN 0 THEN 'PUBLIC'
                ELSE quote_ident(role_name) END);
    END IF;
    RETURN format('The ledger %s is not trusted: %s, or run migrollback install --trust-ledger-of %s', ledger,
        CASE WHEN culprit.object = ledger
                 THEN format('it belongs to %s. Drop it where your deploy tool did not make it', role_name)
             ELSE (SELECT format('with it goes the %s %s, which belongs to %s. Take that away', i.type, i.identity,
                                 role_name)
                     FROM pg_identify_object(culprit.class, culprit.object, 0) i) END,
        CASE WHEN role_name ~ '^[a-z0-9_]+$' THEN role_name ELSE quote_literal(role_name) END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.untrusted_ledger_reason(text, regclass) IS
    'Why a ledger may be neither read nor written, with its owner and the fix, or NULL where all are trusted whose '
    'code would run. tool: see deploy_tools(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_ledger(tool text, search_path text)
RETURNS TABLE (ledger regclass, known_by text, newest_only boolean, newest text, unfinished text, applied text,
               record text, forget text, untrusted text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- planned anew for each name it takes ten times as long
    SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    d       record;
    candidate regclass;
    named   text[];
    schemas name[];
BEGIN
    -- where the migration's own names are looked up, and where tools put it without a setting
    PERFORM set_config('search_path',
                       concat_ws(', ', CASE WHEN migrollback_schema.is_schema_list(deploy_ledger.search_path)
                                 THEN nullif(deploy_ledger.search_path, '') END,
                                                'public', 'pg_temp'), true);
    -- a stranger's schema may stand before pg_catalog there
    schemas := pg_catalog.current_schemas(false);
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    -- Our own format is Supabase's.
    FOR d IN SELECT * FROM migrollback_schema.deploy_tools() t WHERE t.tool = coalesce(deploy_ledger.tool, 'supabase')
        LOOP
        named := parse_ident(coalesce(nullif(current_setting('migrollback.deploy_ledger', true), ''), d.ledger_name));
        -- The first that fits: what bears the name and does not fit, a view of a stranger's for one, must not hide it.
        SELECT c.oid INTO candidate FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname = named[cardinality(named)]
           AND n.nspname = ANY (CASE WHEN cardinality(named) > 1 THEN ARRAY[named[cardinality(named) - 1]::name]
                                ELSE schemas END)
           AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
           AND NOT EXISTS (SELECT FROM unnest(d.has) AS h (name)
                            WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = h.name
                                              AND NOT a.attisdropped))
           AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY (d.has_not)
                           AND NOT a.attisdropped)
         ORDER BY array_position(schemas, n.nspname) LIMIT 1;
        IF candidate IS NOT NULL THEN
            RETURN QUERY SELECT candidate, d.known_by, d.newest_only, u.newest, u.unfinished, u.applied, u.record,
                u.forget, u.reason
                FROM (SELECT migrollback_schema.untrusted_ledger_reason(d.tool, candidate) AS reason OFFSET 0) r
                CROSS JOIN LATERAL (SELECT r.reason, d.newest, d.unfinished, d.applied, d.record, d.forget
                                    WHERE r.reason IS NULL
                                    UNION ALL SELECT r.reason, NULL, NULL, NULL, NULL, NULL
                                        WHERE r.reason IS NOT NULL) u;
            RETURN;
        END IF;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_ledger(text, text) IS
    'The table in which a deploy tool (NULL: Supabase) remembers what it applied, found by its usual name, or by the '
    'setting migrollback.deploy_ledger, under search_path and in public, and how to read and change it; no row where '
    'there is none. untrusted: why it may be neither read nor written; then without the statements that would. Does '
    'not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.untrusted_deploy_ledger(tool text, search_path text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF tool IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN     -- without a query: every check asks
        RETURN NULL;
    END IF;
    RETURN (SELECT l.untrusted FROM migrollback_schema.deploy_ledger(tool, search_path) l);
END $function$;
COMMENT ON FUNCTION migrollback_schema.untrusted_deploy_ledger(text, text) IS
    'Why the ledger of a deploy tool (NULL: Supabase) may be neither read nor written; NULL where it may, and where '
    'there is none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_untrusted_ledger(reason text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION '%', reason USING ERRCODE = 'MR024', HINT = 'Nothing was changed.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_untrusted_ledger(text) IS
    'Raises SQLSTATE MR024 with this reason of untrusted_deploy_ledger(), which names the owner and the fix; NULL: '
    'does nothing. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.trust_ledger_owner(
    role_name text, trusted boolean DEFAULT true, client text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    known   jsonb;
    is_new  boolean;
    system_name text;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    SELECT h.migration_name, coalesce(h.metadata -> 'trusted_ledger_owners', '[]') INTO system_name, known
      FROM migrollback_schema.migration_history h WHERE migrollback_schema.is_system_migration(h.migration_name)
        ORDER BY 1 LIMIT 1 FOR UPDATE;
    -- One that was dropped since can be taken out all the same.
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name)
        AND (trusted IS NOT FALSE OR NOT known ? role_name) THEN
        RAISE EXCEPTION 'there is no role %', coalesce(quote_ident(role_name), 'NULL')
            USING ERRCODE = 'MR006', HINT = 'Give the name of the role that owns the ledger, as it stands in pg_roles.';
    END IF;
    is_new := known ? role_name IS DISTINCT FROM trusted;
    IF is_new THEN
        PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
        UPDATE migrollback_schema.migration_history h
           SET metadata = h.metadata || jsonb_build_object('trusted_ledger_owners', CASE WHEN trusted THEN known
                                                           || to_jsonb(role_name) ELSE known - role_name END)
         WHERE h.migration_name = system_name;
        PERFORM set_config('migrollback.recording', '', true);
        PERFORM migrollback_schema.add_migration_event('ledger_trust_changed', NULL::text, NULL::uuid, NULL::text,
                                                       client, jsonb_build_object('role', role_name,
                                                           'trusted', trusted));
    END IF;
    RETURN is_new;
END $function$;
COMMENT ON FUNCTION migrollback_schema.trust_ledger_owner(text, boolean, text) IS
    'Writes: from now on ledgers of deploy tools that belong to this role are read and written, or no longer '
    '(trusted => false). Who has that role can then act with the rights of all who roll back. Returns whether that '
    'is new. SQLSTATE MR006: no such role.';

CREATE OR REPLACE FUNCTION migrollback_schema.supabase_ledger() RETURNS regclass
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF to_regnamespace('supabase_migrations') IS NULL THEN     -- without a query: every check asks
        RETURN NULL;
    END IF;
    RETURN (SELECT l.ledger FROM migrollback_schema.deploy_ledger(NULL::text, NULL::text) l);
END $function$;
COMMENT ON FUNCTION migrollback_schema.supabase_ledger() IS
    'The table in which Supabase remembers what it applied, or NULL. Does not write.';
