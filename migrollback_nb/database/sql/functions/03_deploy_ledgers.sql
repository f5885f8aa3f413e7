-- ---------------------------------------------------------------------------------------------------
-- Deploy ledgers: the tables in which other tools remember what they applied.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_tools()
RETURNS TABLE (tool text, ledger_name text, has text[], has_not text[], known_by text, newest_only boolean, newest text, unfinished text, applied text, record text, forget text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- PL/pgSQL and not SQL for its cached plan: planning this list takes longer than all that is asked of a ledger.
    -- In the statements %1$s is the ledger; $1 the migration's name, $2 its version, $3 its statements, $4 the version before it (in `newest`, $1 its version).
    -- `record` and `forget` are the list of a WITH; its last element has one column of jsonb: the rows that were written or taken out.
    -- Tables of one name are told apart by their columns; the first line that fits counts.
    RETURN QUERY VALUES
        ('supabase', 'supabase_migrations.schema_migrations', '{version,statements,name}'::text[], '{}'::text[], 'version', false, NULL, NULL,
            'SELECT coalesce(l.version || ''_'' || l.name, l.version) FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version, name, statements) VALUES ($2, regexp_replace($1, ''^[0-9]+_?'', ''''), $3) ON CONFLICT (version) DO NOTHING '
                'RETURNING to_jsonb(l) - ''statements'')',
            -- Two files may share their digits; the ledger's name tells whose row it is.
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 AND coalesce(l.name, regexp_replace($1, ''^[0-9]+_?'', '''')) = regexp_replace($1, ''^[0-9]+_?'', '''') '
                'RETURNING to_jsonb(l))'),
        ('supabase', 'supabase_migrations.schema_migrations', '{version,statements}', '{}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version, statements) VALUES ($2, $3) ON CONFLICT (version) DO NOTHING RETURNING to_jsonb(l) - ''statements'')',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('dbmate', 'schema_migrations', '{version}', '{dirty,statements}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version) VALUES ($2) ON CONFLICT (version) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('goose', 'goose_db_version', '{id,version_id,is_applied}', '{}', 'number', false, NULL, NULL,
            'SELECT v.version_id::text FROM (SELECT DISTINCT ON (l.version_id) l.version_id, l.is_applied FROM %1$s l ORDER BY l.version_id, l.id DESC) v WHERE v.is_applied',
            'done AS (INSERT INTO %1$s AS l (version_id, is_applied) SELECT $2::bigint, true '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.version_id = $2::bigint) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version_id = $2::bigint RETURNING to_jsonb(l))'),
        ('golang-migrate', 'schema_migrations', '{version,dirty}', '{}', 'number', true, 'SELECT max(l.version)::text FROM %1$s l', 'SELECT bool_or(l.dirty) FROM %1$s l',
            -- of a version that is dirty nobody knows how far it came
            'SELECT (l.version - l.dirty::int)::text FROM %1$s l',
            'moved AS (UPDATE %1$s AS l SET version = $2::bigint WHERE l.version < $2::bigint RETURNING to_jsonb(l) AS r), '
                'begun AS (INSERT INTO %1$s AS l (version, dirty) SELECT $2::bigint, false WHERE NOT EXISTS (SELECT FROM %1$s) RETURNING to_jsonb(l) AS r), '
                'done AS (SELECT r FROM moved UNION ALL SELECT r FROM begun)',
            'moved AS (UPDATE %1$s AS l SET version = nullif($4, '''')::bigint WHERE l.version = $2::bigint AND $4 <> '''' RETURNING to_jsonb(l) AS r), '
                'emptied AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint AND $4 = '''' RETURNING to_jsonb(l) AS r), '
                'done AS (SELECT r FROM moved UNION ALL SELECT r FROM emptied)'),
        -- sqlx and bun name their files as golang-migrate does; sqlx also keeps a checksum that only it can write.
        ('golang-migrate', '_sqlx_migrations', '{version,success,checksum}', '{}', 'number', false, NULL, 'SELECT bool_or(NOT l.success) FROM %1$s l',
            'SELECT l.version::text FROM %1$s l WHERE l.success', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint RETURNING to_jsonb(l))'),
        ('golang-migrate', 'bun_migrations', '{name,group_id,migrated_at}', '{}', 'version', false, NULL, NULL,
            'SELECT l.name FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (name, group_id, migrated_at) SELECT $2, coalesce((SELECT max(o.group_id) FROM %1$s o), 0) + 1, now() '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.name = $2) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.name = $2 RETURNING to_jsonb(l))'),
        ('tern', 'schema_version', '{version}', '{}', 'number', true, 'SELECT max(l.version)::text FROM %1$s l', NULL,
            'SELECT l.version::text FROM %1$s l',
            'done AS (UPDATE %1$s AS l SET version = $2::int WHERE l.version < $2::int RETURNING to_jsonb(l))',
            'done AS (UPDATE %1$s AS l SET version = coalesce(nullif($4, ''''), ''0'')::int WHERE l.version = $2::int RETURNING to_jsonb(l))'),
        ('sql-migrate', 'gorp_migrations', '{id,applied_at}', '{}', 'file', false, NULL, NULL,
            'SELECT l.id FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (id, applied_at) VALUES ($1 || ''.sql'', now()) ON CONFLICT (id) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.id = $1 || ''.sql'' RETURNING to_jsonb(l))'),
        ('node-pg-migrate', 'pgmigrations', '{name,run_on}', '{}', 'name', false, NULL, NULL,
            'SELECT l.name FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (name, run_on) SELECT $1, now() WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.name = $1) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.name = $1 RETURNING to_jsonb(l))'),
        ('MyBatis Migrations', 'changelog', '{id,applied_at,description}', '{}', 'number', false, NULL, NULL,
            'SELECT l.id::text FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (id, applied_at, description) SELECT $2::numeric, to_char(now(), ''YYYY-MM-DD HH24:MI:SS''), '
                'replace(regexp_replace($1, ''^[0-9]+_?'', ''''), ''_'', '' '') WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.id = $2::numeric) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.id = $2::numeric RETURNING to_jsonb(l))'),
        ('yoyo', '_yoyo_migration', '{migration_hash,migration_id,applied_at_utc}', '{}', 'name', false, NULL, NULL,
            'SELECT l.migration_id FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (migration_hash, migration_id, applied_at_utc) VALUES (encode(sha256(convert_to($1, ''UTF8'')), ''hex''), $1, now() AT TIME ZONE ''UTC'') '
                'ON CONFLICT (migration_hash) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.migration_id = $1 RETURNING to_jsonb(l))'),
        ('postgrator', 'schemaversion', '{version,name,md5,run_at}', '{}', 'number', true, 'SELECT max(l.version)::text FROM %1$s l', NULL,
            'SELECT l.version::text FROM %1$s l',
            -- without md5: postgrator compares none where there is none, and it is over the file as it lies on its machine
            'done AS (INSERT INTO %1$s AS l (version, name, run_at) VALUES ($2::bigint, regexp_replace($1, ''^[0-9]+\.do\.?'', '''', ''i''), now()) ON CONFLICT (version) DO NOTHING '
                'RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint RETURNING to_jsonb(l))'),
        ('diesel', '__diesel_schema_migrations', '{version,run_on}', '{}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version) VALUES ($2) ON CONFLICT (version) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        -- What these write besides (checksums, ranks, times of their own) nobody but they can write.
        ('Flyway', 'flyway_schema_history', '{installed_rank,version,script,success}', '{}', 'version', false, NULL, 'SELECT bool_or(NOT l.success) FROM %1$s l',
            'SELECT l.version FROM %1$s l WHERE l.success AND l.version IS NOT NULL', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('Prisma', '_prisma_migrations', '{migration_name,finished_at,rolled_back_at}', '{}', 'name', false, NULL, 'SELECT bool_or(l.finished_at IS NULL AND l.rolled_back_at IS NULL) FROM %1$s l',
            'SELECT l.migration_name FROM %1$s l WHERE l.finished_at IS NOT NULL AND l.rolled_back_at IS NULL', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.migration_name = $1 RETURNING to_jsonb(l))'),
        -- Its version is the change's id, one for each occurrence of a change that was reworked. Its log is to say that it was reverted.
        ('Sqitch', 'sqitch.changes', '{change_id,change,project,committed_at}', '{}', 'version', false,
            'SELECT l.change_id FROM %1$s l WHERE l.project = (SELECT o.project FROM %1$s o WHERE o.change_id = $1) ORDER BY l.committed_at DESC LIMIT 1', NULL,
            'SELECT l.change_id FROM %1$s l', NULL,
            -- registered before ids were known, or by hand: by name, the newest
            'l AS (SELECT c.* FROM %1$s c WHERE c.change_id = $2 OR ($2 !~ ''^[0-9a-f]{40}$'' AND c.change = regexp_replace($1, ''@.*'', '''')) '
                'ORDER BY c.committed_at DESC LIMIT 1), '
                'untagged AS (DELETE FROM sqitch.tags t USING l WHERE t.change_id = l.change_id RETURNING t.tag), '
                'logged AS (INSERT INTO sqitch.events (event, change_id, change, project, note, requires, tags, committer_name, committer_email, planned_at, planner_name, planner_email) '
                'SELECT ''revert'', l.change_id, l.change, l.project, l.note, '
                'coalesce((SELECT array_agg(d.dependency) FROM sqitch.dependencies d WHERE d.change_id = l.change_id AND d.type = ''require''), ''{}''), '
                'coalesce((SELECT array_agg(u.tag) FROM untagged u), ''{}''), current_user, '''', l.planned_at, l.planner_name, l.planner_email FROM l), '
                'done AS (DELETE FROM %1$s AS c USING l WHERE c.change_id = l.change_id RETURNING to_jsonb(c))');
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_tools() IS
    'The deploy tools whose ledgers are understood: the ledger''s usual name; columns that tell it (has, has_not); what it knows a migration by (version, '
    'or the name where that begins with it; number: the version as a number; name; file); whether it keeps only the newest; '
    'the statements that tell which it goes on from, where it looks at no other, whether one did not come to its end, and which are applied, and those that change it. Does not write.';

-- A ledger is a table of somebody's, and whoever writes to it runs the triggers, rules, policies, defaults and checks that its owner put there, with the
-- writer's own rights. So it is neither read nor written unless everybody who could have put code there is trusted.

CREATE OR REPLACE FUNCTION migrollback_schema.trusted_ledger_owners() RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE granted (role_id) AS (
            SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user
            UNION
            -- Grants alone count: for pg_has_role() a superuser is a member of every role. From 16 on a grant may give no more than the right to grant it on.
            SELECT m.roleid FROM granted g JOIN pg_auth_members m ON m.member = g.role_id
             WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true) OR coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
        SELECT g.role_id FROM granted g
        UNION SELECT r.oid FROM pg_roles r WHERE r.rolsuper OR r.rolname = 'pg_database_owner'
        UNION SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()
        UNION SELECT r.oid FROM migrollback_schema.migration_history h
              CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(h.metadata -> 'trusted_ledger_owners', '[]')) AS t (role_name)
              JOIN pg_roles r ON r.rolname = t.role_name
              -- by its name, which is indexed: a function would be asked for each of ten thousand
              WHERE h.migration_name = ANY ('{20250120_migration_rollback_system}'::text[]) AND migrollback_schema.is_system_migration(h.migration_name));
END $function$;
COMMENT ON FUNCTION migrollback_schema.trusted_ledger_owners() IS
    'The roles whose ledgers the caller may write: the caller, roles granted to the caller, the owner of the database, superusers, and those named by '
    'trust_ledger_owner(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_ledger_parts(relations regclass[])
RETURNS TABLE (class regclass, object oid, owner oid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $function$   -- pg_depend is large and rarely analyzed; compiling takes longer
BEGIN
    RETURN QUERY
    WITH RECURSIVE reached (class, object) AS (
        SELECT 'pg_class'::regclass::oid, r.relation::oid FROM unnest(relations) AS r (relation)
        UNION
        SELECT n.class, n.object FROM reached r CROSS JOIN LATERAL (
            -- what belongs to a table or domain (triggers, rules, policies, defaults, checks, indexes), and foreign keys that point at the table
            SELECT d.classid, d.objid FROM pg_depend d
             WHERE d.refclassid = r.class AND d.refobjid = r.object AND r.class IN ('pg_class'::regclass, 'pg_type'::regclass)
               AND (d.deptype IN ('a', 'i', 'P', 'S') OR d.deptype = 'n' AND d.classid = 'pg_constraint'::regclass)
            UNION ALL                   -- what that uses: functions, types, operators, other tables
            SELECT d.refclassid, d.refobjid FROM pg_depend d WHERE d.classid = r.class AND d.objid = r.object AND d.deptype <> 'e'
            UNION ALL                   -- partitions and other children, which are read and written with it
            SELECT 'pg_class'::regclass::oid, i.inhrelid FROM pg_inherits i WHERE r.class = 'pg_class'::regclass AND i.inhparent = r.object
        ) AS n (class, object))
    SELECT r.class::regclass, r.object,
           coalesce((SELECT c.relowner FROM pg_class c WHERE r.class = 'pg_class'::regclass AND c.oid = r.object),
                    (SELECT p.proowner FROM pg_proc p WHERE r.class = 'pg_proc'::regclass AND p.oid = r.object),
                    (SELECT y.typowner FROM pg_type y WHERE r.class = 'pg_type'::regclass AND y.oid = r.object),
                    (SELECT o.oprowner FROM pg_operator o WHERE r.class = 'pg_operator'::regclass AND o.oid = r.object))
    FROM reached r;
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_ledger_parts(regclass[]) IS
    'Everything that can run code when one of these tables is read or written, with its owner (NULL: that of its table). What every database has from the start is left out. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_ledger_relations(tool text, ledger regclass) RETURNS regclass[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT array_remove(ARRAY[ledger] || CASE WHEN tool = 'Sqitch' THEN
        ARRAY[to_regclass('sqitch.tags'), to_regclass('sqitch.events'), to_regclass('sqitch.dependencies')] END, NULL)
$function$;
COMMENT ON FUNCTION migrollback_schema.deploy_ledger_relations(text, regclass) IS 'A ledger and the tables of its tool that are read or written with it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.untrusted_ledger_reason(tool text, ledger regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    trusted   oid[] := migrollback_schema.trusted_ledger_owners();
    relations regclass[] := migrollback_schema.deploy_ledger_relations(tool, ledger);
    culprit   record;
    role_name text;
BEGIN
    -- A trigger has no owner, and its condition and arguments are code too: whoever may make one may have made it. The ledger's own owner first: that says most.
    WITH part AS MATERIALIZED (SELECT p.class, p.object, p.owner FROM migrollback_schema.deploy_ledger_parts(relations) p)
    SELECT f.class, f.object, f.role_id, f.by_trigger INTO culprit
      FROM (SELECT p.class, p.object, p.owner AS role_id, false AS by_trigger FROM part p WHERE p.owner <> ALL (trusted)
            UNION ALL
            SELECT p.class, p.object, a.grantee, true FROM part p JOIN pg_class c ON p.class = 'pg_class'::regclass AND c.oid = p.object
             CROSS JOIN LATERAL aclexplode(c.relacl) a
             WHERE a.privilege_type = 'TRIGGER' AND a.grantee <> ALL (trusted) AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)) f
     ORDER BY f.by_trigger, f.object <> ledger, f.class <> 'pg_class'::regclass, f.object, f.role_id LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    role_name := CASE WHEN culprit.role_id = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(culprit.role_id) END;
    IF culprit.by_trigger THEN
        RETURN format('The ledger %s is not trusted: %s has triggers, and %s may have made them. Look at them, then REVOKE TRIGGER ON %2$s FROM %s', ledger,
            culprit.object::regclass, role_name, CASE culprit.role_id WHEN 0 THEN 'PUBLIC' ELSE quote_ident(role_name) END);
    END IF;
    RETURN format('The ledger %s is not trusted: %s, or run migrollback install --trust-ledger-of %s', ledger,
        CASE WHEN culprit.object = ledger THEN format('it belongs to %s. Drop it where your deploy tool did not make it', role_name)
             ELSE (SELECT format('with it goes the %s %s, which belongs to %s. Take that away', i.type, i.identity, role_name)
                     FROM pg_identify_object(culprit.class, culprit.object, 0) i) END,
        CASE WHEN role_name ~ '^[a-z0-9_]+$' THEN role_name ELSE quote_literal(role_name) END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.untrusted_ledger_reason(text, regclass) IS
    'Why a ledger may be neither read nor written, with its owner and the fix, or NULL where everybody is trusted whose code would run. tool: see deploy_tools(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_ledger(tool text, search_path text)
RETURNS TABLE (ledger regclass, known_by text, newest_only boolean, newest text, unfinished text, applied text, record text, forget text, untrusted text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    d       record;
    candidate regclass;
    named   text[];
    schemas name[];
BEGIN
    -- where the migration's own names are looked up, and where tools put it that were told nothing
    PERFORM set_config('search_path', concat_ws(', ', CASE WHEN migrollback_schema.is_schema_list(deploy_ledger.search_path) THEN nullif(deploy_ledger.search_path, '') END,
                                                'public', 'pg_temp'), true);
    schemas := current_schemas(false);
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    -- Our own format is Supabase's.
    FOR d IN SELECT * FROM migrollback_schema.deploy_tools() t WHERE t.tool = coalesce(deploy_ledger.tool, 'supabase') LOOP
        named := parse_ident(coalesce(nullif(current_setting('migrollback.deploy_ledger', true), ''), d.ledger_name));
        -- The first that fits: what bears the name and does not fit, a view of a stranger's for one, must not hide it.
        SELECT c.oid INTO candidate FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname = named[cardinality(named)] AND n.nspname = ANY (CASE WHEN cardinality(named) > 1 THEN ARRAY[named[cardinality(named) - 1]::name] ELSE schemas END)
           AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
           AND NOT EXISTS (SELECT FROM unnest(d.has) AS h (name)
                            WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = h.name AND NOT a.attisdropped))
           AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY (d.has_not) AND NOT a.attisdropped)
         ORDER BY array_position(schemas, n.nspname) LIMIT 1;
        IF candidate IS NOT NULL THEN
            RETURN QUERY SELECT candidate, d.known_by, d.newest_only, u.newest, u.unfinished, u.applied, u.record, u.forget, u.reason
                FROM (SELECT migrollback_schema.untrusted_ledger_reason(d.tool, candidate) AS reason OFFSET 0) r
                CROSS JOIN LATERAL (SELECT r.reason, d.newest, d.unfinished, d.applied, d.record, d.forget WHERE r.reason IS NULL
                                    UNION ALL SELECT r.reason, NULL, NULL, NULL, NULL, NULL WHERE r.reason IS NOT NULL) u;
            RETURN;
        END IF;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_ledger(text, text) IS
    'The table in which a deploy tool (NULL: Supabase) remembers what it applied, found by its usual name, or by the setting migrollback.deploy_ledger, under search_path '
    'and in public, and how to read and change it; no row where there is none. untrusted: why it may be neither read nor written; then without the statements that would. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.untrusted_deploy_ledger(tool text, search_path text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF tool IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN     -- without a query: every check asks
        RETURN NULL;
    END IF;
    RETURN (SELECT l.untrusted FROM migrollback_schema.deploy_ledger(tool, search_path) l);
END $function$;
COMMENT ON FUNCTION migrollback_schema.untrusted_deploy_ledger(text, text) IS
    'Why the ledger of a deploy tool (NULL: Supabase) may be neither read nor written; NULL where it may, and where there is none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_untrusted_ledger(reason text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION '%', reason USING ERRCODE = 'MR024', HINT = 'Nothing was changed.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_untrusted_ledger(text) IS
    'Raises SQLSTATE MR024 with this reason of untrusted_deploy_ledger(), which names the owner and the fix; NULL: does nothing. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.trust_ledger_owner(role_name text, trusted boolean DEFAULT true, client text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    known   jsonb;
    is_new  boolean;
    system_name text;
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    SELECT h.migration_name, coalesce(h.metadata -> 'trusted_ledger_owners', '[]') INTO system_name, known
      FROM migrollback_schema.migration_history h WHERE migrollback_schema.is_system_migration(h.migration_name) ORDER BY 1 LIMIT 1 FOR UPDATE;
    -- One that was dropped meanwhile can be taken out all the same.
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name) AND (trusted IS NOT FALSE OR NOT known ? role_name) THEN
        RAISE EXCEPTION 'there is no role %', coalesce(quote_ident(role_name), 'NULL') USING ERRCODE = 'MR006', HINT = 'Give the name of the role that owns the ledger, as it stands in pg_roles.';
    END IF;
    is_new := known ? role_name IS DISTINCT FROM trusted;
    IF is_new THEN
        PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
        UPDATE migrollback_schema.migration_history h
           SET metadata = h.metadata || jsonb_build_object('trusted_ledger_owners', CASE WHEN trusted THEN known || to_jsonb(role_name) ELSE known - role_name END)
         WHERE h.migration_name = system_name;
        PERFORM set_config('migrollback.recording', '', true);
        PERFORM migrollback_schema.add_migration_event('ledger_trust_changed', NULL::text, NULL::uuid, NULL::text, client, jsonb_build_object('role', role_name, 'trusted', trusted));
    END IF;
    RETURN is_new;
END $function$;
COMMENT ON FUNCTION migrollback_schema.trust_ledger_owner(text, boolean, text) IS
    'Writes: from now on ledgers of deploy tools that belong to this role are read and written, or no longer (trusted => false). Whoever has that role can then act with the rights of '
    'everybody who rolls back. Returns whether that is new. SQLSTATE MR006: no such role.';

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

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_in_deploy_ledgers(migrations jsonb, search_path text, refuse_untrusted boolean DEFAULT true)
RETURNS TABLE (migration_name text, ledger regclass, is_applied boolean, newest_only boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    t      record;
    l      record;
    wanted text[];
    keys   text[];
    concerned boolean;
BEGIN
    FOR t IN SELECT DISTINCT m ->> 'tool' AS tool FROM jsonb_array_elements(migrations) AS m LOOP
        SELECT * INTO l FROM migrollback_schema.deploy_ledger(t.tool, migrations_in_deploy_ledgers.search_path);
        CONTINUE WHEN NOT FOUND OR l.untrusted IS NOT NULL AND NOT refuse_untrusted;
        PERFORM migrollback_schema.refuse_untrusted_ledger(l.untrusted);
        IF l.newest_only THEN
            EXECUTE format('SELECT ARRAY[max(a.key::numeric)::text] FROM (' || l.applied || ') AS a (key)', l.ledger) INTO keys;
        ELSE
            -- Only what is asked for is brought back: check asks for one, of a ledger of thousands.
            wanted := ARRAY(
                SELECT k.key FROM jsonb_array_elements(migrations) AS m CROSS JOIN LATERAL unnest(CASE l.known_by
                    WHEN 'number' THEN ARRAY[substring(m ->> 'version' FROM '^[0-9]{1,255}$')::numeric::text] WHEN 'version' THEN ARRAY[m ->> 'version', m ->> 'name']
                    WHEN 'file' THEN ARRAY[(m ->> 'name') || '.sql'] ELSE ARRAY[m ->> 'name'] END) AS k (key)
                 WHERE m ->> 'tool' IS NOT DISTINCT FROM t.tool AND k.key IS NOT NULL);
            EXECUTE format('SELECT coalesce(array_agg(f.key), ''{}'') FROM (SELECT ' || CASE WHEN l.known_by = 'number' THEN 'a.key::numeric::text' ELSE 'a.key' END
                           || ' FROM (' || l.applied || ') AS a (key)) AS f (key) WHERE f.key = ANY ($1)', l.ledger) INTO keys USING wanted;
        END IF;
        -- Our own format says nothing of Supabase: where its ledger knows none of them, and none that is registered, they are none of its concern.
        concerned := t.tool IS NOT NULL OR cardinality(keys) > 0;
        IF NOT concerned THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %2$s.migration_history h WHERE h.metadata ->> ''tool'' = ''supabase'' '
                           'UNION ALL SELECT FROM %2$s.migration_history h JOIN (' || l.applied || ') AS a (key) ON a.key = h.migration_name WHERE NOT h.metadata ? ''tool'' '
                           'UNION ALL SELECT FROM %2$s.migration_history h JOIN (' || l.applied || ') AS a (key) ON a.key = h.migration_version WHERE NOT h.metadata ? ''tool'')',
                           l.ledger, 'migrollback_schema'::regnamespace) INTO concerned;
        END IF;
        CONTINUE WHEN NOT concerned;
        RETURN QUERY
            SELECT a.name, l.ledger::regclass, coalesce(
                       CASE WHEN l.newest_only          THEN substring(a.version FROM '^[0-9]{1,255}$')::numeric <= keys[1]::numeric
                            WHEN l.known_by = 'number'  THEN substring(a.version FROM '^[0-9]{1,255}$')::numeric::text IN (SELECT unnest(keys))
                            WHEN l.known_by = 'version' THEN a.version IN (SELECT unnest(keys)) OR a.name IN (SELECT unnest(keys))
                            WHEN l.known_by = 'file'    THEN a.name || '.sql' IN (SELECT unnest(keys))
                            ELSE a.name IN (SELECT unnest(keys)) END, false), l.newest_only
              FROM (SELECT m ->> 'name' AS name, m ->> 'version' AS version FROM jsonb_array_elements(migrations) AS m WHERE m ->> 'tool' IS NOT DISTINCT FROM t.tool) a;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migrations_in_deploy_ledgers(jsonb, text, boolean) IS
    'Whether these migrations (an array of objects: name, version, tool) are applied, as the ledgers of their deploy tools say; no row where there is no ledger. '
    'newest_only: the ledger keeps only the newest version. search_path: where ledgers are looked for, besides public; refuse_untrusted: an untrusted one is refused '
    '(SQLSTATE MR024), otherwise it is left out. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_ledger_findings(names text[] DEFAULT NULL)
RETURNS TABLE (migration_name text, ledger text, finding text, tool text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    supabase boolean := to_regnamespace('supabase_migrations') IS NOT NULL;
BEGIN
    RETURN QUERY
    WITH registered AS (
        SELECT h.migration_name AS name, h.migration_version AS version, h.status, h.metadata ->> 'tool' AS tool, h.metadata ->> 'search_path' AS path
          FROM migrollback_schema.migration_history h
         WHERE (migration_ledger_findings.names IS NULL OR h.migration_name = ANY (migration_ledger_findings.names))
           AND h.metadata ->> 'system' IS DISTINCT FROM 'true' AND (supabase OR h.metadata ? 'tool')),
    asked AS (                          -- once for each path on which a ledger may be found
        SELECT r.path, jsonb_agg(jsonb_build_object('name', r.name, 'version', r.version, 'tool', r.tool)) AS migrations FROM registered r GROUP BY r.path),
    answered AS MATERIALIZED (
        SELECT n.migration_name AS name, n.ledger::text AS ledger, n.is_applied, n.newest_only
          FROM asked a CROSS JOIN LATERAL migrollback_schema.migrations_in_deploy_ledgers(a.migrations, a.path, false) n)
    SELECT r.name, a.ledger, found.finding, r.tool
      FROM registered r JOIN answered a ON a.name = r.name
      LEFT JOIN LATERAL (                -- what made it rolled back, and whether its row was taken out of the ledger then
          SELECT e.details, e.event_number FROM migrollback_schema.migration_events e
           WHERE r.status = 'rolled_back' AND a.is_applied AND e.migration_name = r.name
             AND (e.event = 'rolled_back' OR e.event = 'resolved' AND e.details ->> 'new' = 'rolled_back'
                  OR e.event = 'history_changed' AND e.details #>> '{new,status}' = 'rolled_back')
           ORDER BY e.event_number DESC LIMIT 1) undone ON true
     CROSS JOIN LATERAL (SELECT CASE
          WHEN r.status <> 'rolled_back' THEN CASE WHEN NOT a.is_applied THEN 'missing' END
          WHEN NOT a.is_applied THEN NULL
          -- A ledger of the newest version alone shows it only where it did not cover the version after the rollback, and nothing here moved it over that since.
          WHEN a.newest_only AND undone.details -> 'ledger' ? 'kept' THEN NULL
          WHEN a.newest_only AND EXISTS (
              SELECT FROM migrollback_schema.migration_events e JOIN migrollback_schema.migration_history h ON h.migration_name = e.migration_name
               WHERE e.event_number > undone.event_number AND e.event IN ('applied', 'resolved') AND e.details -> 'ledger' ? 'inserted'
                 AND h.metadata ->> 'tool' = r.tool
                 AND substring(h.migration_version FROM '^[0-9]{1,255}$')::numeric > substring(r.version FROM '^[0-9]{1,255}$')::numeric) THEN NULL
          WHEN undone.details ? 'ledger' THEN 'applied_again'
          ELSE 'contradiction' END AS finding) found
     WHERE found.finding IS NOT NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_ledger_findings(text[]) IS
    'What the ledgers of their deploy tools know better of registered migrations (names; NULL: of all): applied_again (rolled back here, its row taken out, and the '
    'ledger holds it again), contradiction (it is rolled_back here, the ledger holds it, and no rollback or resolution took its row out), missing (applied here, and the '
    'ledger does not hold it). No row for the others, where there is no ledger, and for a rollback that a ledger of the newest version alone cannot show. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.ledger_finding_warning(name text, ledger text, finding text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE finding
        WHEN 'missing' THEN format('The ledger %s does not hold it: its deploy tool has undone it, or never applied it', ledger)
        WHEN 'applied_again' THEN format('The ledger %s holds it again: its deploy tool applied it after its rollback. Run migrollback sync, which records that', ledger)
        WHEN 'contradiction' THEN
            format('The ledger %s holds it, though its status is rolled_back and no rollback took its row out. Look which is true, then: '
                   'migrollback resolve %s --as applied|rolled_back --reason TEXT', ledger, name)
    END
$function$;
COMMENT ON FUNCTION migrollback_schema.ledger_finding_warning(text, text, text) IS
    'A finding of migration_ledger_findings() in words, with what to do. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_ledgers_of_migrations(names text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT n.ledger::text
          FROM (SELECT h.metadata ->> 'search_path' AS search_path,
                       jsonb_agg(jsonb_build_object('name', h.migration_name, 'version', h.migration_version, 'tool', h.metadata ->> 'tool')) AS migrations
                  FROM migrollback_schema.migration_history h
                 WHERE h.migration_name = ANY (names) AND (h.metadata ? 'tool' OR to_regnamespace('supabase_migrations') IS NOT NULL)
                   AND h.metadata ->> 'system' IS DISTINCT FROM 'true' GROUP BY 1) m
         CROSS JOIN LATERAL migrollback_schema.migrations_in_deploy_ledgers(m.migrations, m.search_path, false) n
         ORDER BY 1);
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_ledgers_of_migrations(text[]) IS
    'The ledgers of deploy tools from which a rollback of these migrations takes them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.newest_in_deploy_ledger(tool text, version text, search_path text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l     record;
    found text;
BEGIN
    SELECT * INTO l FROM migrollback_schema.deploy_ledger(tool, search_path);
    IF l.newest IS NOT NULL THEN
        EXECUTE format(l.newest, l.ledger) INTO found USING version;
    END IF;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.newest_in_deploy_ledger(text, text, text) IS
    'The version that a deploy tool goes on from, for tools that look at nothing else (version: of a migration, whose project is meant where a ledger keeps several); '
    'NULL for the others and where there is no ledger. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.not_newest_in_deploy_ledger_warning(name text, version text, status text, metadata jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    newest text := migrollback_schema.newest_in_deploy_ledger(metadata ->> 'tool', version, metadata ->> 'search_path');
BEGIN
    IF status <> 'rolled_back'
       AND (CASE WHEN metadata ? 'previous_version' THEN newest::numeric > substring(version FROM '^[0-9]{1,255}$')::numeric ELSE newest <> version END) THEN
        RETURN format('%s goes on from the newest that it applied, %s: it will take this one for applied, and not apply it again', metadata ->> 'tool',
                      coalesce((SELECT h.migration_name FROM migrollback_schema.migration_history h
                                 WHERE NOT not_newest_in_deploy_ledger_warning.metadata ? 'previous_version' AND h.migration_version = newest LIMIT 1), newest));
    END IF;
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.not_newest_in_deploy_ledger_warning(text, text, text, jsonb) IS
    'What to say of a migration in place behind which its deploy tool does not look back; NULL of others. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.version_before(metadata jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before text := metadata ->> 'previous_version';
    rolled_back migrollback_schema.migration_history;
BEGIN
    LOOP
        SELECT * INTO rolled_back FROM migrollback_schema.migration_history h
         WHERE ltrim(h.migration_version, '0') = ltrim(before, '0') AND before <> '' AND h.metadata ->> 'tool' = version_before.metadata ->> 'tool' AND h.status = 'rolled_back';
        EXIT WHEN NOT FOUND;
        before := rolled_back.metadata ->> 'previous_version';
    END LOOP;
    RETURN before;
END $function$;
COMMENT ON FUNCTION migrollback_schema.version_before(jsonb) IS
    'The version of the nearest migration in the folder before this one that was not rolled back; metadata: that of this one. Empty before the first, NULL where nobody '
    'knows. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.write_deploy_ledger(
    tool text, ledger regclass, change text, name text, version text, statements text[], before text)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    written  jsonb;
    reason   text;
    runs_code boolean;
    role_before    name := current_user;
    session_before name := session_user;
    path_after text;
    deferrable_names text;
    ours     record;
    by_rows         boolean := current_setting('track_counts') = 'off';    -- nobody counts then
    writes_before   text;
    token_before    text;
    routines_before text;
BEGIN
    -- Under the lock nobody adds a trigger or changes the owner; what was put there until now is looked at once more.
    EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', ledger);
    reason := CASE WHEN to_regclass(ledger::text) = ledger THEN migrollback_schema.untrusted_ledger_reason(tool, ledger)
                   ELSE format('The ledger %s was replaced meanwhile', ledger) END;
    PERFORM migrollback_schema.refuse_untrusted_ledger(reason);

    ours := migrollback_schema.migration_system_objects();
    runs_code := EXISTS (SELECT FROM migrollback_schema.deploy_ledger_parts(migrollback_schema.deploy_ledger_relations(tool, ledger)) p
                          WHERE p.class IN ('pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass));
    IF runs_code THEN                   -- most ledgers have none, and a chain of hundreds would feel it
        token_before := migrollback_schema.migration_system_token();
        routines_before := (SELECT concat_ws(' ', count(*), sum(hashtextextended(f.ctid::text, f.xmin::text::bigint))) FROM pg_proc f WHERE f.oid = ANY (ours.routines));
        SELECT string_agg(DISTINCT format('%I.%I', n.nspname, k.conname), ', ') INTO deferrable_names
          FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE k.condeferrable AND k.conrelid = ledger AND has_schema_privilege(n.oid, 'USAGE');
        by_rows := true;                -- that code may stop the counting for a while
    END IF;
    writes_before := migrollback_schema.migration_system_writes(ours.tables, by_rows);

    EXECUTE format('WITH ' || change || ' SELECT jsonb_agg(d.r) FROM done AS d (r)', ledger) INTO written USING name, version, statements, before;
    IF deferrable_names IS NOT NULL THEN
        EXECUTE 'SET CONSTRAINTS ' || deferrable_names || ' IMMEDIATE';     -- now, and not at COMMIT, when nobody looks any more
    END IF;

    -- Written out: a path that was changed would choose whose functions and operators these are.
    path_after := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF current_user <> role_before OR session_user <> session_before OR path_after <> 'pg_catalog, pg_temp' THEN
        reason := 'leaves another role or search_path behind';
    ELSIF runs_code AND routines_before <> (SELECT concat_ws(' ', count(*), sum(hashtextextended(f.ctid::text, f.xmin::text::bigint))) FROM pg_proc f WHERE f.oid = ANY (ours.routines)) THEN
        reason := 'touches the tables or functions of the rollback system';     -- asked here: they can no longer be asked themselves
    ELSIF migrollback_schema.migration_system_writes(ours.tables, by_rows) <> writes_before
       OR runs_code AND migrollback_schema.migration_system_token() <> token_before THEN
        reason := 'touches the tables or functions of the rollback system';
    END IF;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'what runs when the ledger % is written %', ledger, reason
            USING ERRCODE = 'MR025', HINT = format('Look at the triggers and rules of %s.', ledger);
    END IF;
    RETURN written;
END $function$;
COMMENT ON FUNCTION migrollback_schema.write_deploy_ledger(text, regclass, text, text, text, text[], text) IS
    'Writes: runs one of the statements of deploy_tools() that change a ledger, and makes sure that what ran with it left our tables, our functions and the role alone (else SQLSTATE MR025). '
    'Returns the rows that were written or taken out. SQLSTATE MR024: untrusted.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_in_deploy_ledger(name text, version text, statements text[], metadata jsonb, search_path text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l       record;
    written jsonb;
BEGIN
    IF metadata ->> 'tool' IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN
        RETURN NULL;                    -- as deploy_ledger() says too, but without a query
    END IF;
    SELECT * INTO l FROM migrollback_schema.deploy_ledger(metadata ->> 'tool', search_path);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM migrollback_schema.refuse_untrusted_ledger(l.untrusted);
    IF l.record IS NULL THEN
        RAISE EXCEPTION 'nobody but its own tool can write the ledger %', l.ledger
            USING ERRCODE = '0A000', HINT = format('Apply it with that tool, and run migrollback register %s then.', name);
    END IF;
    written := migrollback_schema.write_deploy_ledger(metadata ->> 'tool', l.ledger, l.record, name, version, statements, NULL::text);
    RETURN jsonb_build_object('table', l.ledger::text, 'inserted', written -> 0);
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_in_deploy_ledger(text, text, text[], jsonb, text) IS
    'Writes: tells the ledger of the migration''s deploy tool (metadata: tool), where there is one, that the migration is applied. search_path: where it is looked for, besides '
    'public. Returns what it wrote, or NULL. SQLSTATE 0A000: a ledger that only its tool can write; MR024, MR025: as write_deploy_ledger().';

CREATE OR REPLACE FUNCTION migrollback_schema.forget_in_deploy_ledger(name text, version text, metadata jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l       record;
    before  text;
    removed jsonb;
    kept    boolean;
BEGIN
    IF metadata ->> 'tool' IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN
        RETURN NULL;                    -- as deploy_ledger() says too, but without a query
    END IF;
    SELECT * INTO l FROM migrollback_schema.deploy_ledger(metadata ->> 'tool', metadata ->> 'search_path');
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM migrollback_schema.refuse_untrusted_ledger(l.untrusted);
    IF l.newest_only THEN
        before := migrollback_schema.version_before(metadata);
        IF before IS NULL THEN
            RAISE EXCEPTION 'which version comes before % in the ledger % is not known', version, l.ledger
                USING ERRCODE = 'MR023', HINT = format('Register %s again from its folder, which tells.', name);
        END IF;
    END IF;
    removed := migrollback_schema.write_deploy_ledger(metadata ->> 'tool', l.ledger, l.forget, name, version, NULL::text[], before);
    IF l.newest_only AND removed IS NULL THEN       -- it was not the newest: the ledger goes on covering it, and cannot say more
        EXECUTE format('SELECT max(a.key::numeric) >= $1 FROM (' || l.applied || ') AS a (key)', l.ledger)
           INTO kept USING substring(version FROM '^[0-9]{1,255}$')::numeric;
    END IF;
    RETURN jsonb_build_object('table', l.ledger::text, CASE WHEN l.newest_only THEN 'now' ELSE 'deleted' END, removed -> 0,
                              'kept', CASE WHEN kept THEN true END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.forget_in_deploy_ledger(text, text, jsonb) IS
    'Writes: takes a migration out of the ledger of its deploy tool (metadata: tool), where there is one, so that the tool applies it again. One that keeps only the newest '
    'version goes back to the one before. Returns the row that it removed or wrote (kept: the ledger covers the version all the same), or NULL. SQLSTATE MR024, MR025: as write_deploy_ledger().';
