-- ---------------------------------------------------------------------------------------------------
-- Deploy tools: where each remembers what it applied, and how that table is read and changed.
-- ---------------------------------------------------------------------------------------------------

-- Over 120 lines: one list, a few lines for each tool; PL/pgSQL keeps its plan whole.
CREATE OR REPLACE FUNCTION migrollback_schema.deploy_tools()
RETURNS TABLE (tool text, ledger_name text, has text[], has_not text[], known_by text, newest_only boolean, newest text,
               unfinished text, applied text, record text, forget text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- PL/pgSQL and not SQL for its cached plan: planning this list takes longer than all that is asked of a ledger.
    -- In the statements %1$s is the ledger; $1 the migration's name, $2 its version, $3 its statements, $4 the version
    -- before it (in `newest`, $1 its version; of drizzle, the hash of its file).
    -- `record` and `forget` are the list of a WITH; its last element has one column of jsonb: the rows that were
    -- written or taken out.
    -- Tables of one name are told apart by their columns; the first line that fits counts.
    RETURN QUERY VALUES
        ('supabase', 'supabase_migrations.schema_migrations', '{version,statements,name}'::text[], '{}'::text[],
         'version', false, NULL, NULL,
            'SELECT coalesce(l.version || ''_'' || l.name, l.version) FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version, name, statements) VALUES ($2, regexp_replace($1, ''^[0-9]+_?'', '
            '''''), $3) ON CONFLICT (version) DO NOTHING '
                'RETURNING to_jsonb(l) - ''statements'')',
            -- Two files may share their digits; the ledger's name tells whose row it is.
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 AND coalesce(l.name, regexp_replace($1, '
            '''^[0-9]+_?'', '''')) = regexp_replace($1, ''^[0-9]+_?'', '''') '
                'RETURNING to_jsonb(l))'),
        ('supabase', 'supabase_migrations.schema_migrations', '{version,statements}', '{}',
         'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version, statements) VALUES ($2, $3) ON CONFLICT (version) DO NOTHING '
            'RETURNING to_jsonb(l) - ''statements'')',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('dbmate', 'schema_migrations', '{version}', '{dirty,statements}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version) VALUES ($2) ON CONFLICT (version) DO NOTHING RETURNING '
            'to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('goose', 'goose_db_version', '{id,version_id,is_applied}', '{}', 'number', false, NULL, NULL,
            'SELECT v.version_id::text FROM (SELECT DISTINCT ON (l.version_id) l.version_id, l.is_applied FROM %1$s l '
            'ORDER BY l.version_id, l.id DESC) v WHERE v.is_applied',
            'done AS (INSERT INTO %1$s AS l (version_id, is_applied) SELECT $2::bigint, true '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.version_id = $2::bigint) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version_id = $2::bigint RETURNING to_jsonb(l))'),
        ('golang-migrate', 'schema_migrations', '{version,dirty}', '{}', 'number', true,
         'SELECT max(l.version)::text FROM %1$s l', 'SELECT bool_or(l.dirty) FROM %1$s l',
            -- of a version that is dirty it is not known how far it came
            'SELECT (l.version - l.dirty::int)::text FROM %1$s l',
            'moved AS (UPDATE %1$s AS l SET version = $2::bigint WHERE l.version < $2::bigint RETURNING to_jsonb(l) AS '
            'r), '
                'begun AS (INSERT INTO %1$s AS l (version, dirty) SELECT $2::bigint, false WHERE NOT EXISTS (SELECT '
                'FROM %1$s) RETURNING to_jsonb(l) AS r), '
                'done AS (SELECT r FROM moved UNION ALL SELECT r FROM begun)',
            'moved AS (UPDATE %1$s AS l SET version = nullif($4, '''')::bigint WHERE l.version = $2::bigint AND $4 <> '
            ''''' RETURNING to_jsonb(l) AS r), '
                'emptied AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint AND $4 = '''' RETURNING to_jsonb(l) AS '
                'r), '
                'done AS (SELECT r FROM moved UNION ALL SELECT r FROM emptied)'),
        -- sqlx, bun and pop name their files as golang-migrate does; sqlx also keeps a checksum that only it can write.
        ('golang-migrate', '_sqlx_migrations', '{version,success,checksum}', '{}', 'number', false, NULL,
         'SELECT bool_or(NOT l.success) FROM %1$s l',
            'SELECT l.version::text FROM %1$s l WHERE l.success', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint RETURNING to_jsonb(l))'),
        ('golang-migrate', 'bun_migrations', '{name,group_id,migrated_at}', '{}', 'version', false, NULL, NULL,
            'SELECT l.name FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (name, group_id, migrated_at) SELECT $2, coalesce((SELECT max(o.group_id) '
            'FROM %1$s o), 0) + 1, now() '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.name = $2) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.name = $2 RETURNING to_jsonb(l))'),
        ('golang-migrate', 'schema_migration', '{version}', '{dirty,statements}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version) SELECT $2 WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.version = '
            '$2) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('tern', 'schema_version', '{version}', '{}', 'number', true, 'SELECT max(l.version)::text FROM %1$s l', NULL,
            'SELECT l.version::text FROM %1$s l',
            'done AS (UPDATE %1$s AS l SET version = $2::int WHERE l.version < $2::int RETURNING to_jsonb(l))',
            'done AS (UPDATE %1$s AS l SET version = coalesce(nullif($4, ''''), ''0'')::int WHERE l.version = $2::int '
            'RETURNING to_jsonb(l))'),
        ('sql-migrate', 'gorp_migrations', '{id,applied_at}', '{}', 'file', false, NULL, NULL,
            'SELECT l.id FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (id, applied_at) VALUES ($1 || ''.sql'', now()) ON CONFLICT (id) DO '
            'NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.id = $1 || ''.sql'' RETURNING to_jsonb(l))'),
        ('node-pg-migrate', 'pgmigrations', '{name,run_on}', '{}', 'name', false, NULL, NULL,
            'SELECT l.name FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (name, run_on) SELECT $1, now() WHERE NOT EXISTS (SELECT FROM %1$s o WHERE '
            'o.name = $1) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.name = $1 RETURNING to_jsonb(l))'),
        ('MyBatis Migrations', 'changelog', '{id,applied_at,description}', '{}', 'number', false, NULL, NULL,
            'SELECT l.id::text FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (id, applied_at, description) SELECT $2::numeric, to_char(now(), '
            '''YYYY-MM-DD HH24:MI:SS''), '
                'replace(regexp_replace($1, ''^[0-9]+_?'', ''''), ''_'', '' '') WHERE NOT EXISTS (SELECT FROM %1$s o '
                'WHERE o.id = $2::numeric) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.id = $2::numeric RETURNING to_jsonb(l))'),
        ('yoyo', '_yoyo_migration', '{migration_hash,migration_id,applied_at_utc}', '{}', 'name', false, NULL, NULL,
            'SELECT l.migration_id FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (migration_hash, migration_id, applied_at_utc) VALUES '
            '(encode(sha256(convert_to($1, ''UTF8'')), ''hex''), $1, now() AT TIME ZONE ''UTC'') '
                'ON CONFLICT (migration_hash) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.migration_id = $1 RETURNING to_jsonb(l))'),
        ('postgrator', 'schemaversion', '{version,name,md5,run_at}', '{}', 'number', true,
         'SELECT max(l.version)::text FROM %1$s l', NULL,
            'SELECT l.version::text FROM %1$s l',
            -- without md5: postgrator compares none where there is none, and it is over the file as it lies on its
            -- machine
            'done AS (INSERT INTO %1$s AS l (version, name, run_at) VALUES ($2::bigint, regexp_replace($1, '
            '''^[0-9]+\.do\.?'', '''', ''i''), now()) ON CONFLICT (version) DO NOTHING '
                'RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint RETURNING to_jsonb(l))'),
        ('diesel', '__diesel_schema_migrations', '{version,run_on}', '{}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version) VALUES ($2) ON CONFLICT (version) DO NOTHING RETURNING '
            'to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('rambler', 'migrations', '{migration}', '{id,batch}', 'file', false, NULL, NULL,
            'SELECT l.migration FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (migration) SELECT $1 || ''.sql'' WHERE NOT EXISTS (SELECT FROM %1$s o '
                'WHERE o.migration = $1 || ''.sql'') RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.migration = $1 || ''.sql'' RETURNING to_jsonb(l))'),
        -- It keeps a hash of both parts, and undoes and applies again what has another: only it can write that.
        ('Play', 'play_evolutions', '{id,hash,apply_script,revert_script,state}', '{}', 'number', false,
         'SELECT max(l.id)::text FROM %1$s l', 'SELECT bool_or(l.state <> ''applied'') FROM %1$s l',
            'SELECT l.id::text FROM %1$s l WHERE l.state = ''applied''', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.id = $2::int RETURNING to_jsonb(l))'),
        -- Those whose migrations are programs, which only they can apply; drizzle's are SQL.
        ('drizzle', 'drizzle.__drizzle_migrations', '{id,hash,created_at}', '{}', 'version', false,
         'SELECT max(l.created_at)::text FROM %1$s l', NULL,
            'SELECT l.created_at::text FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (hash, created_at) SELECT $4, $2::bigint '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.created_at = $2::bigint) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.created_at = $2::bigint RETURNING to_jsonb(l))'),
        -- Only the newest of each branch: $4 are those that become the newest again, see revisions_after_undoing().
        ('Alembic', 'alembic_version', '{version_num}', '{}', 'heads', false, NULL, NULL,
            'SELECT l.version_num FROM %1$s l', NULL,
            'gone AS (DELETE FROM %1$s AS l WHERE l.version_num = $2 RETURNING to_jsonb(l) AS r), '
                'newest_again AS (INSERT INTO %1$s AS l (version_num) SELECT n.version FROM unnest($4::text[]) AS n '
                '(version) WHERE EXISTS (SELECT FROM gone) RETURNING l.version_num), '
                'done AS (SELECT r FROM gone WHERE (SELECT count(*) FROM newest_again) >= 0)'),
        ('Django', 'django_migrations', '{app,name,applied}', '{}', 'name', false, NULL, NULL,
            'SELECT l.app || ''.'' || l.name FROM %1$s l', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.app || ''.'' || l.name = $1 RETURNING to_jsonb(l))'),
        -- by the file's name without its ending: it may have been compiled since
        ('Knex', 'knex_migrations', '{id,name,batch,migration_time}', '{}', 'name', false, NULL,
         'SELECT ' || replace('migrollback_schema', '%', '%%') || '.ledger_is_locked(''Knex'', %1$L::regclass)',
            'SELECT regexp_replace(l.name, ''\.[^.]*$'', '''') FROM %1$s l', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE regexp_replace(l.name, ''\.[^.]*$'', '''') = $1 RETURNING '
            'to_jsonb(l))'),
        ('TypeORM', 'migrations', '{id,timestamp,name}', '{}', 'number', false, NULL, NULL,
            'SELECT l."timestamp"::text FROM %1$s l', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l."timestamp" = $2::bigint RETURNING to_jsonb(l))'),
        ('Rails', 'schema_migrations', '{version}', '{dirty,statements,inserted_at}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        -- A changeset is known by its file, id and author; what it only marked as run did nothing here.
        ('Liquibase', 'databasechangelog', '{id,author,filename,orderexecuted,exectype,md5sum}', '{}', 'name', false,
         NULL,
         'SELECT ' || replace('migrollback_schema', '%', '%%') || '.ledger_is_locked(''Liquibase'', %1$L::regclass)',
            'SELECT regexp_replace(l.filename, ''^.*/'', '''') || ''::'' || l.id || ''::'' || l.author FROM %1$s l '
            'WHERE l.exectype IN (''EXECUTED'', ''RERAN'')', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE regexp_replace(l.filename, ''^.*/'', '''') || ''::'' || l.id || '
            '''::'' || l.author = $1 RETURNING to_jsonb(l))'),
        -- What these write besides (checksums, ranks, times of their own) only they can write.
        ('Flyway', 'flyway_schema_history', '{installed_rank,version,script,success}', '{}', 'version', false, NULL,
         'SELECT bool_or(NOT l.success) FROM %1$s l',
            'SELECT l.version FROM %1$s l WHERE l.success AND l.version IS NOT NULL', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        -- refinery names its files as Flyway does
        ('Flyway', 'refinery_schema_history', '{version,name,applied_on,checksum}', '{}', 'number', false, NULL, NULL,
            'SELECT l.version::text FROM %1$s l', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint RETURNING to_jsonb(l))'),
        -- in the schema of its name, or in the one that its connection names; a baseline stands for what is before it
        ('Atlas', 'atlas_schema_revisions.atlas_schema_revisions', '{version,description,type,applied,total,hash}',
         '{}', 'version', false, 'SELECT max(l.version) FROM %1$s l WHERE l.version NOT LIKE ''.%%''',
         'SELECT bool_or(l.applied < l.total) FROM %1$s l',
            'SELECT l.version FROM %1$s l WHERE l.applied = l.total AND l.version NOT LIKE ''.%%''', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('Atlas', 'atlas_schema_revisions', '{version,description,type,applied,total,hash}',
         '{}', 'version', false, 'SELECT max(l.version) FROM %1$s l WHERE l.version NOT LIKE ''.%%''',
         'SELECT bool_or(l.applied < l.total) FROM %1$s l',
            'SELECT l.version FROM %1$s l WHERE l.applied = l.total AND l.version NOT LIKE ''.%%''', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        -- a folder of golang-migrate's that Atlas deploys
        ('golang-migrate', 'atlas_schema_revisions.atlas_schema_revisions',
         '{version,description,type,applied,total,hash}', '{}', 'version', false, NULL,
         'SELECT bool_or(l.applied < l.total) FROM %1$s l',
            'SELECT l.version FROM %1$s l WHERE l.applied = l.total AND l.version NOT LIKE ''.%%''', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        -- the state of its CLI as JSON, or the table from before that: see hasura_versions()
        ('Hasura', 'hdb_catalog.hdb_version', '{version,upgraded_on,cli_state}', '{}', 'version', false, NULL,
         'SELECT bool_or(v.dirty) FROM ' || replace('migrollback_schema', '%', '%%')
             || '.hasura_versions(%1$L::regclass) v',
            'SELECT v.version FROM ' || replace('migrollback_schema', '%', '%%')
             || '.hasura_versions(%1$L::regclass) v WHERE NOT v.dirty',
            'done AS (SELECT s.r FROM ' || replace('migrollback_schema', '%', '%%')
             || '.set_hasura_version(%1$L::regclass, $2, true) AS s (r) WHERE s.r IS NOT NULL)',
            'done AS (SELECT s.r FROM ' || replace('migrollback_schema', '%', '%%')
             || '.set_hasura_version(%1$L::regclass, $2, false) AS s (r) WHERE s.r IS NOT NULL)'),
        ('Hasura', 'hdb_catalog.schema_migrations', '{version,dirty}', '{}', 'version', false, NULL,
         'SELECT bool_or(l.dirty) FROM %1$s l',
            'SELECT l.version::text FROM %1$s l WHERE NOT l.dirty',
            'done AS (INSERT INTO %1$s AS l (version, dirty) VALUES ($2::bigint, false) ON CONFLICT (version) DO '
            'NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version::text = $2 RETURNING to_jsonb(l))'),
        -- each row points at the one before it
        ('graphile-migrate', 'graphile_migrate.migrations', '{hash,previous_hash,filename,date}', '{}', 'version',
         false, 'SELECT regexp_replace(max(l.filename), ''\.sql$'', '''') FROM %1$s l', NULL,
            'SELECT regexp_replace(l.filename, ''\.sql$'', '''') FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (hash, previous_hash, filename) SELECT $4, (SELECT o.hash FROM %1$s o '
                'ORDER BY o.filename DESC LIMIT 1), $2 || ''.sql'' '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.filename = $2 || ''.sql'') RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.filename = $2 || ''.sql'' RETURNING to_jsonb(l))'),
        -- it compares files and rows place by place, the first of its own
        ('postgres-migrations', 'migrations', '{id,name,hash,executed_at}', '{}', 'number', false,
         'SELECT max(l.id)::text FROM %1$s l', NULL,
            'SELECT l.id::text FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (id, name, hash) SELECT $2::int, coalesce(nullif(regexp_replace($1, '
            '''^[0-9]+[-_]?'', ''''), ''''), $1 || ''.sql''), $4 '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.id = $2::int) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.id = $2::int RETURNING to_jsonb(l))'),
        -- its names begin with a slash, behind which another scope would stand
        ('db-migrate', 'migrations', '{id,name,run_on}', '{}', 'name', false, NULL, NULL,
            'SELECT substr(l.name, 2) FROM %1$s l WHERE l.name LIKE ''/%%''',
            'done AS (INSERT INTO %1$s AS l (name, run_on) SELECT ''/'' || $1, now() '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.name = ''/'' || $1) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.name = ''/'' || $1 RETURNING to_jsonb(l))'),
        ('Prisma', '_prisma_migrations', '{migration_name,finished_at,rolled_back_at}', '{}', 'name', false, NULL,
         'SELECT bool_or(l.finished_at IS NULL AND l.rolled_back_at IS NULL) FROM %1$s l',
            -- a folder may be called *.sql, and a name here never ends so
            'SELECT regexp_replace(l.migration_name, ''\.sql$'', '''') FROM %1$s l WHERE l.finished_at IS NOT NULL AND '
            'l.rolled_back_at IS NULL', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE regexp_replace(l.migration_name, ''\.sql$'', '''') = $1 RETURNING '
            'to_jsonb(l))'),
        -- Its version is the change's id, one for each occurrence of a change that was reworked. Its log is to say that
        -- it was reverted.
        ('Sqitch', 'sqitch.changes', '{change_id,change,project,committed_at}', '{}', 'version', false,
            'SELECT l.change_id FROM %1$s l WHERE l.project = (SELECT o.project FROM %1$s o WHERE o.change_id = $1) '
            'ORDER BY l.committed_at DESC LIMIT 1', NULL,
            'SELECT l.change_id FROM %1$s l', NULL,
            -- registered before ids were known, or by hand: by name, the newest
            'l AS (SELECT c.* FROM %1$s c WHERE c.change_id = $2 OR ($2 !~ ''^[0-9a-f]{40}$'' AND c.change = '
            'regexp_replace($1, ''@.*'', '''')) '
                'ORDER BY c.committed_at DESC LIMIT 1), '
                'untagged AS (DELETE FROM sqitch.tags t USING l WHERE t.change_id = l.change_id RETURNING t.tag), '
                'logged AS (INSERT INTO sqitch.events (event, change_id, change, project, note, requires, tags, '
                'committer_name, committer_email, planned_at, planner_name, planner_email) '
                'SELECT ''revert'', l.change_id, l.change, l.project, l.note, '
                'coalesce((SELECT array_agg(d.dependency) FROM sqitch.dependencies d WHERE d.change_id = l.change_id '
                'AND d.type = ''require''), ''{}''), '
                'coalesce((SELECT array_agg(u.tag) FROM untagged u), ''{}''), current_user, '''', l.planned_at, '
                'l.planner_name, l.planner_email FROM l), '
                'done AS (DELETE FROM %1$s AS c USING l WHERE c.change_id = l.change_id RETURNING to_jsonb(c))');
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_tools() IS
    'The deploy tools whose ledgers are understood: the ledger''s usual name; columns that tell it (has, has_not); '
    'what it knows a migration by (version, or the name where that begins with it; number: the version as a number; '
    'name; file; heads: the ledger holds the versions that no other applied '
    'one comes after); whether it keeps only the newest; the statements that tell which it goes on from, where it '
    'looks '
    'at no other, whether one did not come to its end, and which are applied, and those that change it. Does not '
    'write.';
