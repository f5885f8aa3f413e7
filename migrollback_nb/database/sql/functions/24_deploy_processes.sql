-- ---------------------------------------------------------------------------------------------------
-- Deploy tools that are at work now: by the locks that they hold, and by what they left half done.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.crc32_of(data bytea) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    crc bigint := 4294967295;
BEGIN
    -- crc32() comes with PostgreSQL 18 only. The polynomial of IEEE 802.3, bit by bit: the names hashed here are short.
    FOR place IN 0 .. octet_length(data) - 1 LOOP
        crc := crc # get_byte(data, place);
        FOR bit IN 1 .. 8 LOOP
            crc := CASE WHEN crc & 1 = 1 THEN (crc >> 1) # 3988292384 ELSE crc >> 1 END;
        END LOOP;
    END LOOP;
    RETURN crc # 4294967295;
END $function$;
COMMENT ON FUNCTION migrollback_schema.crc32_of(bytea) IS
    'CRC-32 (IEEE 802.3), from which golang-migrate and sqlx make the keys of their advisory locks. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_lock_keys(tool text, ledger regclass)
RETURNS TABLE (lowest bigint, highest bigint) LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    schema_name text;
    table_name  text;
BEGIN
    SELECT n.nspname, c.relname INTO schema_name, table_name FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ledger;
    -- Each as the tool's own code has it.
    RETURN QUERY SELECT k.lowest, k.highest FROM (VALUES
        ('node-pg-migrate', 7241865325823964, 7241865325823964),
        ('Prisma', 72707369, 72707369),
        ('tern', 9628173550095224, 9628173550095224),
        ('goose', 4097083626, 4097083626),
        ('postgres-migrations', -8525285245963000605, -8525285245963000605),
        -- FNV-1 (32 bits) of atlas_migrate_execute
        ('Atlas', 2686470616, 2686470616),
        ('Sqitch', 75474063, 75474063),
        -- the letters of Flyway, and a hash of its table's name of 32 bits, with its sign
        ('Flyway', 77431708279161 - 2147483648, 77431708279161 + 2147483647),
        ('Rails', 2053462845 * migrollback_schema.crc32_of(convert_to(current_database()::text, 'UTF8')),
                  2053462845 * migrollback_schema.crc32_of(convert_to(current_database()::text, 'UTF8'))),
        ('golang-migrate', CASE WHEN table_name <> '_sqlx_migrations'
         THEN migrollback_schema.golang_migrate_lock_key(schema_name, table_name) END,
                           CASE WHEN table_name <> '_sqlx_migrations'
                                    THEN migrollback_schema.golang_migrate_lock_key(schema_name, table_name) END),
        ('golang-migrate', CASE WHEN table_name = '_sqlx_migrations'
         THEN 1026731422 * migrollback_schema.crc32_of(convert_to(current_database()::text, 'UTF8')) END,
                           CASE WHEN table_name = '_sqlx_migrations'
                                    THEN 1026731422 * migrollback_schema.crc32_of(convert_to(current_database()::text,
                                        'UTF8')) END)
    ) AS k (tool, lowest, highest) WHERE k.tool = deploy_lock_keys.tool AND k.lowest IS NOT NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_lock_keys(text, regclass) IS
    'The keys (of 64 bits, from lowest to highest) of the advisory locks that a deploy tool holds in this database '
    'while it runs; no row for tools that take none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.golang_migrate_lock_key(schema_name text, table_name text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- CRC-32 over the names, a zero byte between them, times a constant, in 32 bits
    SELECT ((migrollback_schema.crc32_of(convert_to(schema_name, 'UTF8') || '\x00'::bytea || convert_to(table_name,
        'UTF8') || '\x00'::bytea
             || convert_to(current_database()::text, 'UTF8'))::numeric * 1486364155) % 4294967296)::bigint
$function$;
COMMENT ON FUNCTION migrollback_schema.golang_migrate_lock_key(text, text) IS
    'The key of the advisory lock that golang-migrate holds while it runs with this table as its ledger. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.deploy_in_progress(
    tool text, search_path text)
RETURNS TABLE (reason text, pid int)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l     record;
    busy  record;
    unfinished boolean;
BEGIN
    -- as deploy_ledger() says too, but without a query
    IF tool IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO l FROM migrollback_schema.deploy_ledger(deploy_in_progress.tool, deploy_in_progress.search_path);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF l.untrusted IS NOT NULL THEN
        RETURN QUERY SELECT l.untrusted, NULL::int;
        RETURN;
    END IF;
    SELECT p.pid, p.advisory, a.application_name INTO busy FROM (
        SELECT k.pid, k.locktype = 'advisory' AS advisory FROM pg_locks k
         WHERE k.granted AND k.pid <> pg_backend_pid() AND k.database = (SELECT d.oid FROM pg_database d
             WHERE d.datname = current_database())
           -- who holds our gate's lock is one of us, and is waited for there
           AND NOT EXISTS (SELECT FROM pg_locks g WHERE g.pid = k.pid AND g.granted AND g.locktype = 'relation'
                           AND g.relation = to_regclass('migrollback_schema' || '.migration_gate')
                           AND g.mode IN ('ExclusiveLock', 'RowShareLock'))
           -- its own lock, or a row of the ledger that it has written and not committed
           AND (k.locktype = 'relation' AND k.relation = l.ledger::oid
                AND k.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                OR k.locktype = 'advisory' AND k.objsubid = 1 AND EXISTS (
                    SELECT FROM migrollback_schema.deploy_lock_keys(coalesce(deploy_in_progress.tool, 'supabase'),
                        l.ledger) q
                     WHERE (k.classid::bigint << 32) | k.objid::bigint BETWEEN q.lowest AND q.highest))) p
      LEFT JOIN pg_stat_activity a ON a.pid = p.pid
     WHERE a.backend_type IS DISTINCT FROM 'autovacuum worker'
     ORDER BY p.advisory DESC, p.pid LIMIT 1;
    IF FOUND THEN
        RETURN QUERY SELECT format('A deploy is running: process %s%s %s. Wait for it, or end it', busy.pid,
                                   ' (' || nullif(busy.application_name, '') || ')',
                      CASE WHEN busy.advisory THEN format('holds the lock of %s', coalesce(deploy_in_progress.tool,
                          'Supabase'))
                           ELSE format('is writing the ledger %s', l.ledger::regclass) END), busy.pid;
        RETURN;
    END IF;
    IF l.unfinished IS NOT NULL THEN
        EXECUTE format(l.unfinished, l.ledger) INTO unfinished;
    END IF;
    IF unfinished THEN
        RETURN QUERY SELECT format('The ledger %s says that a migration did not come to its end, and no process is at '
                                   'work on it: look at that first, with %s',
                                   l.ledger::regclass, deploy_in_progress.tool), NULL::int;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.deploy_in_progress(text, text) IS
    'Why the ledger of a deploy tool (NULL: Supabase) cannot be relied on now, in words, or no row: the tool is '
    'running (its lock is held, or its ledger written and not committed; pid is its process), or broke off in the '
    'middle of a migration (golang-migrate: dirty; pid is NULL), or is untrusted (pid is NULL). search_path: where '
    'the ledger is looked for, besides public. Does not write.';
