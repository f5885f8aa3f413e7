-- ---------------------------------------------------------------------------------------------------
-- What the ledgers of deploy tools say of the migrations here. Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_in_deploy_ledgers(
    migrations jsonb, search_path text, refuse_untrusted boolean DEFAULT true)
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
            EXECUTE format('SELECT ARRAY[max(a.key::numeric)::text] FROM (' || l.applied || ') AS a (key)', l.ledger)
                INTO keys;
        ELSIF l.known_by = 'heads' THEN
            EXECUTE format('SELECT coalesce(array_agg(a.key), ''{}'') FROM (' || l.applied || ') AS a (key)', l.ledger)
               INTO keys;
            keys := migrollback_schema.revisions_before(keys, migrations);
        ELSE
            -- Only what is asked for is brought back: check asks for one, of a ledger of thousands.
            wanted := ARRAY(
                SELECT k.key FROM jsonb_array_elements(migrations) AS m CROSS JOIN LATERAL unnest(CASE l.known_by
                    WHEN 'number' THEN ARRAY[substring(m ->> 'version' FROM '^[0-9]{1,255}$')::numeric::text]
                    WHEN 'version' THEN ARRAY[m ->> 'version', m ->> 'name']
                    WHEN 'file' THEN ARRAY[(m ->> 'name') || '.sql'] ELSE ARRAY[m ->> 'name'] END) AS k (key)
                 WHERE m ->> 'tool' IS NOT DISTINCT FROM t.tool AND k.key IS NOT NULL);
            EXECUTE format('SELECT coalesce(array_agg(f.key), ''{}'') FROM (SELECT '
                           || CASE WHEN l.known_by = 'number' THEN 'a.key::numeric::text' ELSE 'a.key' END
                           || ' FROM (' || l.applied || ') AS a (key)) AS f (key) WHERE f.key = ANY ($1)', l.ledger)
                               INTO keys USING wanted;
        END IF;
        -- Our own format says nothing of Supabase: where its ledger knows none of them, and none that is registered,
        -- they are none of its concern.
        concerned := t.tool IS NOT NULL OR cardinality(keys) > 0;
        IF NOT concerned THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %2$s.migration_history h WHERE h.metadata ->> ''tool'' = '
                           '''supabase'' '
                           'UNION ALL SELECT FROM %2$s.migration_history h JOIN (' || l.applied
                               || ') AS a (key) ON a.key = h.migration_name WHERE NOT h.metadata ? ''tool'' '
                           'UNION ALL SELECT FROM %2$s.migration_history h JOIN (' || l.applied
                               || ') AS a (key) ON a.key = h.migration_version WHERE NOT h.metadata ? ''tool'')',
                           l.ledger, 'migrollback_schema'::regnamespace) INTO concerned;
        END IF;
        CONTINUE WHEN NOT concerned;
        RETURN QUERY
            SELECT a.name, l.ledger::regclass, coalesce(
                       CASE WHEN l.newest_only          THEN substring(a.version
                           FROM '^[0-9]{1,255}$')::numeric <= keys[1]::numeric
                            WHEN l.known_by = 'number'  THEN substring(a.version
                                FROM '^[0-9]{1,255}$')::numeric::text IN (SELECT unnest(keys))
                            WHEN l.known_by = 'heads'   THEN a.version IN (SELECT unnest(keys))
                            WHEN l.known_by = 'version' THEN a.version IN (SELECT unnest(keys))
                                 OR a.name IN (SELECT unnest(keys))
                            WHEN l.known_by = 'file'    THEN a.name || '.sql' IN (SELECT unnest(keys))
                            ELSE a.name IN (SELECT unnest(keys)) END, false), l.newest_only
              FROM (SELECT m ->> 'name' AS name, m ->> 'version' AS version FROM jsonb_array_elements(migrations) AS m
                    WHERE m ->> 'tool' IS NOT DISTINCT FROM t.tool AND m ->> 'name' IS NOT NULL) a;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migrations_in_deploy_ledgers(jsonb, text, boolean) IS
    'Whether these migrations (an array of objects: name, version, tool, of Alembic parents too) are applied, as the '
    'ledgers of their deploy tools say; no row where there is no ledger, and for an object without a name. '
    'newest_only: the ledger keeps only the newest version. search_path: '
    'where ledgers are looked for, besides public; refuse_untrusted: an untrusted one is refused (SQLSTATE MR024), '
    'otherwise it is left out. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_ledger_findings(names text[] DEFAULT NULL)
RETURNS TABLE (migration_name text, ledger text, finding text, tool text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    supabase boolean := to_regnamespace('supabase_migrations') IS NOT NULL;
BEGIN
    RETURN QUERY
    WITH registered AS (
        SELECT h.migration_name AS name, h.migration_version AS version, h.status, h.metadata ->> 'tool' AS tool,
               h.metadata ->> 'search_path' AS path
          FROM migrollback_schema.migration_history h
         WHERE (migration_ledger_findings.names IS NULL OR h.migration_name = ANY (migration_ledger_findings.names))
           AND h.metadata ->> 'system' IS DISTINCT FROM 'true' AND (supabase OR h.metadata ? 'tool')),
    asked AS (                          -- once for each path on which a ledger may be found
        SELECT r.path, jsonb_agg(jsonb_build_object('name', r.name, 'version', r.version, 'tool', r.tool)) AS migrations
          FROM registered r GROUP BY r.path),
    answered AS MATERIALIZED (
        SELECT n.migration_name AS name, n.ledger::text AS ledger, n.is_applied, n.newest_only
          FROM asked a CROSS JOIN LATERAL migrollback_schema.migrations_in_deploy_ledgers(a.migrations, a.path,
              false) n)
    SELECT r.name, a.ledger, found.finding, r.tool
      FROM registered r JOIN answered a ON a.name = r.name
      -- what made it rolled back, and whether its row was taken out of the ledger then
      LEFT JOIN LATERAL (
          SELECT e.details, e.event_number FROM migrollback_schema.migration_events e
           WHERE r.status = 'rolled_back' AND a.is_applied AND e.migration_name = r.name
             AND (e.event = 'rolled_back' OR e.event = 'resolved' AND e.details ->> 'new' = 'rolled_back'
                  OR e.event = 'history_changed' AND e.details #>> '{new,status}' = 'rolled_back')
           ORDER BY e.event_number DESC LIMIT 1) undone ON true
     CROSS JOIN LATERAL (SELECT CASE
          WHEN r.status <> 'rolled_back' THEN CASE WHEN NOT a.is_applied THEN 'missing' END
          WHEN NOT a.is_applied THEN NULL
          -- A ledger of the newest version alone shows it only where it did not cover the version after the rollback,
          -- and nothing here moved it over that since.
          WHEN a.newest_only AND undone.details -> 'ledger' ? 'kept' THEN NULL
          WHEN a.newest_only AND EXISTS (
              SELECT FROM migrollback_schema.migration_events e
                JOIN migrollback_schema.migration_history h ON h.migration_name = e.migration_name
               WHERE e.event_number > undone.event_number AND e.event IN ('applied', 'resolved')
                 AND e.details -> 'ledger' ? 'inserted'
                 AND h.metadata ->> 'tool' = r.tool
                 AND substring(h.migration_version FROM '^[0-9]{1,255}$')::numeric > substring(r.version
                     FROM '^[0-9]{1,255}$')::numeric) THEN NULL
          WHEN undone.details ? 'ledger' THEN 'applied_again'
          ELSE 'contradiction' END AS finding) found
     WHERE found.finding IS NOT NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_ledger_findings(text[]) IS
    'What the ledgers of their deploy tools know better of registered migrations (names; NULL: of all): '
    'applied_again (rolled back here, its row taken out, and the ledger holds it again), contradiction (it is '
    'rolled_back here, the ledger holds it, and no rollback or resolution took its row out), missing (applied here, '
    'and the ledger does not hold it). No row for the others, where there is no ledger, and for a rollback that a '
    'ledger of the newest version alone cannot show. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.ledger_finding_warning(name text, ledger text, finding text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE finding
        WHEN 'missing' THEN format('The ledger %s does not hold it: its deploy tool has undone it, or never applied it',
                                   ledger)
        WHEN 'applied_again' THEN format('The ledger %s holds it again: its deploy tool applied it after its rollback. '
                                         'Run migrollback sync, which records that', ledger)
        WHEN 'contradiction' THEN
            format('The ledger %s holds it, though its status is rolled_back and no rollback took its row out. Look '
                   'which is true, then: '
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
                       jsonb_agg(jsonb_build_object('name', h.migration_name, 'version', h.migration_version,
                                                    'tool', h.metadata ->> 'tool')) AS migrations
                  FROM migrollback_schema.migration_history h
                 WHERE h.migration_name = ANY (names)
                   AND (h.metadata ? 'tool' OR to_regnamespace('supabase_migrations') IS NOT NULL)
                   AND h.metadata ->> 'system' IS DISTINCT FROM 'true' GROUP BY 1) m
         CROSS JOIN LATERAL migrollback_schema.migrations_in_deploy_ledgers(m.migrations, m.search_path, false) n
         ORDER BY 1);
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_ledgers_of_migrations(text[]) IS
    'The ledgers of deploy tools from which a rollback of these migrations takes them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.newest_in_deploy_ledger(
    tool text, version text, search_path text)
RETURNS text
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
    'The version that a deploy tool goes on from, for tools that look at nothing else (version: of a migration, '
    'whose project is meant where a ledger keeps several); NULL for the others and where there is no ledger. Does '
    'not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.not_newest_in_deploy_ledger_warning(
    name text, version text, status text, metadata jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    newest text := migrollback_schema.newest_in_deploy_ledger(metadata ->> 'tool', version, metadata ->> 'search_path');
BEGIN
    IF metadata ->> 'tool' = 'Hasura' AND status <> 'rolled_back'
       AND NOT EXISTS (SELECT FROM migrollback_schema.deploy_ledger('Hasura', metadata ->> 'search_path')) THEN
        RETURN format('Hasura keeps its ledger in another database: it will take this one for applied after a '
                      'rollback, until hasura migrate apply --version %s --skip-execution --type down',
                      regexp_replace(version, '^.*:', ''));
    ELSIF metadata ->> 'tool' = 'Play' AND status <> 'rolled_back' AND newest::numeric > substring(version
           FROM '^[0-9]{1,255}$')::numeric THEN
        RETURN format('Play compares its evolutions with its ledger place by place: without this one below the '
                      'newest, %s, it will run the Downs of what comes after, and all their Ups again', newest);
    ELSIF metadata ->> 'tool' = 'Atlas' AND status <> 'rolled_back' AND newest COLLATE "C" > version THEN
        RETURN format('Atlas has applied later ones, up to %s: it will refuse to apply anything once this one is '
                      'out of its ledger, unless told --exec-order non-linear', newest);
    ELSIF metadata ->> 'tool' = 'postgres-migrations' AND status <> 'rolled_back'
       AND newest::numeric > substring(version FROM '^[0-9]{1,255}$')::numeric THEN
        RETURN format('postgres-migrations compares its files with its ledger place by place: without this one below '
                      'the newest, %s, it will refuse to run until those are rolled back too', newest);
    ELSIF status <> 'rolled_back' AND metadata ->> 'tool' NOT IN ('Play', 'Atlas', 'postgres-migrations')
       AND (CASE WHEN metadata ? 'previous_version' THEN newest::numeric > substring(version
           FROM '^[0-9]{1,255}$')::numeric ELSE newest <> version END) THEN
        RETURN format('%s goes on from the newest that it applied, %s: it will take this one for applied, and not '
                      'apply it again', metadata ->> 'tool',
                      coalesce((SELECT h.migration_name FROM migrollback_schema.migration_history h
                                 WHERE NOT not_newest_in_deploy_ledger_warning.metadata ? 'previous_version'
                                   AND h.migration_version = newest LIMIT 1), newest));
    END IF;
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.not_newest_in_deploy_ledger_warning(text, text, text, jsonb) IS
    'What to say of an applied migration behind which its deploy tool does not look back, or whose ledger is in '
    'another database; NULL of others. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.version_before(metadata jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before text := metadata ->> 'previous_version';
    rolled_back migrollback_schema.migration_history;
BEGIN
    LOOP
        SELECT * INTO rolled_back FROM migrollback_schema.migration_history h
         WHERE ltrim(h.migration_version, '0') = ltrim(before, '0') AND before <> ''
           AND h.metadata ->> 'tool' = version_before.metadata ->> 'tool' AND h.status = 'rolled_back';
        EXIT WHEN NOT FOUND;
        before := rolled_back.metadata ->> 'previous_version';
    END LOOP;
    RETURN before;
END $function$;
COMMENT ON FUNCTION migrollback_schema.version_before(jsonb) IS
    'The version of the nearest migration in the folder before this one that was not rolled back; metadata: that of '
    'this one. Empty before the first, NULL where it is not known. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_times_in_deploy_ledgers(migrations jsonb, search_path text)
RETURNS TABLE (migration_name text, applied_at timestamptz, is_local boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    t     record;
    l     record;
    kept  record;
    times jsonb;
BEGIN
    FOR t IN SELECT DISTINCT m ->> 'tool' AS tool FROM jsonb_array_elements(migrations) AS m LOOP
        SELECT * INTO l FROM migrollback_schema.deploy_ledger(t.tool, migration_times_in_deploy_ledgers.search_path);
        CONTINUE WHEN NOT FOUND OR l.untrusted IS NOT NULL;
        -- golang-migrate, tern, dbmate, Supabase, Alembic, drizzle, TypeORM and Rails keep no time; MyBatis and
        -- postgrator that of whatever machine they ran on, without saying which
        SELECT k.key, k.moment, a.atttypid = 'timestamptz'::regtype OR k.is_utc AS zoned INTO kept
          FROM (VALUES ('goose', 'l.version_id::text', 'tstamp', 'l.tstamp', false),
                       ('Flyway', 'l.version', 'installed_on', 'l.installed_on', false),
                       ('Prisma', 'regexp_replace(l.migration_name, ''\.sql$'', '''')', 'finished_at', 'l.finished_at',
                        false),
                       ('Sqitch', 'l.change_id', 'committed_at', 'l.committed_at', false),
                       ('node-pg-migrate', 'l.name', 'run_on', 'l.run_on', false),
                       ('yoyo', 'l.migration_id', 'applied_at_utc', 'l.applied_at_utc AT TIME ZONE ''UTC''', true),
                       ('golang-migrate', 'l.version::text', 'installed_on', 'l.installed_on', false),    -- sqlx
                       ('golang-migrate', 'l.name', 'migrated_at', 'l.migrated_at', false),               -- bun
                       ('diesel', 'l.version', 'run_on', 'l.run_on', false),
                       ('Liquibase',
                        'regexp_replace(l.filename, ''^.*/'', '''') || ''::'' || l.id || ''::'' || l.author',
                        'dateexecuted', 'l.dateexecuted', false),
                       ('Atlas', 'l.version', 'executed_at', 'l.executed_at', false),
                       ('golang-migrate', 'l.version', 'executed_at', 'l.executed_at', false),            -- Atlas
                       ('graphile-migrate', 'regexp_replace(l.filename, ''\.sql$'', '''')', 'date', 'l.date', false),
                       ('db-migrate', 'substr(l.name, 2)', 'run_on', 'l.run_on', false),
                       ('postgres-migrations', 'l.id::text', 'executed_at', 'l.executed_at', false),
                       ('Play', 'l.id::text', 'applied_at', 'l.applied_at', false),
                       ('Django', 'l.app || ''.'' || l.name', 'applied', 'l.applied', false),
                       ('Knex', 'regexp_replace(l.name, ''\.[^.]*$'', '''')', 'migration_time', 'l.migration_time',
                        false),
                       ('sql-migrate', 'l.id', 'applied_at', 'l.applied_at', false))
               AS k (tool, key, column_name, moment, is_utc)
          JOIN pg_attribute a ON a.attrelid = l.ledger AND a.attname = k.column_name AND NOT a.attisdropped
         WHERE k.tool = t.tool;
        CONTINUE WHEN NOT FOUND;
        EXECUTE format('SELECT jsonb_object_agg(f.key, f.moment) FROM (SELECT %1$s AS key, max((%2$s)::timestamptz) AS '
                       'moment FROM %3$s l GROUP BY 1) f WHERE f.key IS NOT NULL', kept.key, kept.moment, l.ledger)
            INTO times;
        RETURN QUERY
            SELECT m.name, least((times ->> k.key)::timestamptz, now()), NOT kept.zoned
              FROM (SELECT x ->> 'name' AS name, x ->> 'version' AS version FROM jsonb_array_elements(migrations) AS x
                     WHERE x ->> 'tool' = t.tool) m
             CROSS JOIN LATERAL (
                 SELECT c.key FROM unnest(CASE l.known_by
                     WHEN 'number' THEN ARRAY[substring(m.version FROM '^[0-9]{1,255}$')::numeric::text]
                     WHEN 'version' THEN ARRAY[m.version, m.name]
                     WHEN 'file' THEN ARRAY[m.name || '.sql'] ELSE ARRAY[m.name] END) AS c (key)
                  WHERE times ->> c.key IS NOT NULL LIMIT 1) k;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_times_in_deploy_ledgers(jsonb, text) IS
    'When these migrations (an array of objects: name, version, tool) were applied, as the ledgers of their deploy '
    'tools keep it, never later than now; no row where none does. is_local: it is kept without a time zone, and read '
    'in that of the session. search_path: where ledgers are looked for, besides public. Does not write.';
