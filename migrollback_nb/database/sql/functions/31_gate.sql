-- ---------------------------------------------------------------------------------------------------
-- The gate: may this migration be rolled back? Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_dependents(name text)
RETURNS TABLE (migration_name text, depends_on text, status text, applied_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    -- The planner guesses too few rows for a recursion and scans whole tables at each level: a chain of 300 took 44 ms,
    -- so 3.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $function$
    WITH RECURSIVE reached (migration_name) AS (
        SELECT migration_dependents.name
        UNION                           -- not UNION ALL: a cycle made by hand must not run for ever
        SELECT d.migration_name FROM reached r
          JOIN migrollback_schema.migration_dependencies d ON d.depends_on = r.migration_name)
    SELECT d.migration_name, d.depends_on, h.status, h.applied_at
    FROM reached r
    JOIN migrollback_schema.migration_dependencies d ON d.depends_on = r.migration_name
    JOIN migrollback_schema.migration_history h ON h.migration_name = d.migration_name
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_dependents(text) IS
    'Every dependency by which another migration depends on this one, directly or through others: one row for each '
    'edge. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_to_roll_back_first(
    names text[], done text[] DEFAULT '{}')
RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- The planner guesses too few rows for a recursion and scans whole tables at each level: a chain of 300 took 44 ms,
    -- so 3.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_dependencies d WHERE d.depends_on = ANY (names)
                   AND d.migration_name <> ALL (done)) THEN
        RETURN '{}';
    END IF;
    RETURN (
        WITH RECURSIVE reached (migration_name) AS (
            SELECT unnest(names)
            UNION
            SELECT d.migration_name FROM reached r
              JOIN migrollback_schema.migration_dependencies d ON d.depends_on = r.migration_name
            WHERE d.migration_name <> ALL (done))
        SELECT coalesce(array_agg(r.migration_name ORDER BY r.migration_name COLLATE "C"), '{}')
        FROM reached r JOIN migrollback_schema.migration_history h ON h.migration_name = r.migration_name
        WHERE h.status <> 'rolled_back' AND h.migration_name <> ALL (names));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migrations_to_roll_back_first(text[], text[]) IS
    'Names of all migrations that are not rolled back and depend on one of these, directly or through others, in '
    'order of name. done: migrations that were asked about before, so that what depends on them is known to be '
    'rolled back. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_blocking_reason(
    status text, has_dependents boolean, rollback_sql text, metadata jsonb)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    reason  text;
    problem text;
BEGIN
    reason := CASE
        WHEN status = 'rolled_back' THEN 'Already rolled back, cannot rollback again'
        WHEN status = 'failed'      THEN 'Rollback failed, manual intervention required'
        WHEN status <> 'applied'    THEN format('Status is %s, not applied', status)
        WHEN has_dependents         THEN 'Cannot rollback: other migrations depend on this one'
        WHEN coalesce(btrim(rollback_sql, E' \t\r\n'), '') = '' THEN 'No rollback SQL defined for this migration'
    END;
    IF reason IS NOT NULL THEN
        RETURN reason;
    END IF;
    -- What steers the run is looked at before any of it is used: a preview that trusts it would show one thing, and
    -- another would run.
    problem := migrollback_schema.migration_metadata_problem(metadata);
    IF problem IS NOT NULL THEN
        RETURN format('What is stored of the rollback cannot be right (%s): register the migration again from its file',
                      problem);
    END IF;
    IF metadata #>> '{rollback,md5}' IS DISTINCT FROM md5(convert_to(rollback_sql, 'UTF8')) THEN
        RETURN NULL;                    -- set by hand: nothing is known of it, and it runs in one piece
    END IF;
    reason := CASE
        WHEN metadata #> '{rollback,error}' IS NOT NULL THEN
            format('Rollback SQL is not valid: line %s, column %s: %s',
                   metadata #>> '{rollback,error,line}', metadata #>> '{rollback,error,column}', metadata #>>
                       '{rollback,error,message}')
        WHEN metadata #>> '{rollback,transaction}' <> 'false'
             AND jsonb_array_length(metadata #> '{rollback,refused_in_transaction}') > 0 THEN
            format('Rollback SQL cannot run inside a transaction: line %s: %s (write %s)',
                   metadata #>> '{rollback,refused_in_transaction,0,line}', metadata #>>
                       '{rollback,refused_in_transaction,0,statement}',
                   coalesce(metadata #>> '{rollback,no_transaction_words}', '-- ROLLBACK START transaction:false'))
    END;
    IF reason IS NULL AND metadata #> '{rollback,statements}' IS NOT NULL THEN
        problem := migrollback_schema.migration_coverage_problem(rollback_sql, metadata #> '{rollback,statements}');
        IF problem IS NOT NULL THEN
            reason := format('The stored statements do not cover the rollback SQL (%s): register the migration again '
                             'from its file', problem);
        END IF;
    END IF;
    RETURN reason;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_blocking_reason(text, boolean, text, jsonb) IS
    'The first rule that forbids a rollback, in words, or NULL: status, then dependents, then rollback SQL and what '
    'is stored of it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.can_rollback_migration(name text)
RETURNS TABLE (can_rollback boolean, reason text, dependent_migrations text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT found.reason IS NULL, coalesce(found.reason, 'Migration can be safely rolled back'), found.dependents
    FROM (SELECT CASE WHEN coalesce(h.status, 'rolled_back') = 'rolled_back' THEN coalesce(
                          -- what is half there is neither unknown nor rolled back
                          (SELECT f.remark
                             FROM migrollback_schema.half_applied_migrations(can_rollback_migration.name) f
                            WHERE f.direction = 'apply'),
                          CASE WHEN h.id IS NULL THEN 'Migration not found'
                               ELSE migrollback_schema.migration_blocking_reason(h.status, false, h.rollback_sql,
                                                                                 h.metadata) END)
                      ELSE coalesce(migrollback_schema.migration_blocking_reason(h.status, cardinality(first.names) > 0,
                          h.rollback_sql, h.metadata),
                                    (SELECT p.reason FROM migrollback_schema.deploy_in_progress(h.metadata ->>
                                        'tool', h.metadata ->> 'search_path') p),
                                    migrollback_schema.not_a_head_reason(h.migration_name, h.migration_version,
                                                                         h.metadata)) END AS reason,
                 first.names AS dependents
          FROM (SELECT migrollback_schema.migrations_to_roll_back_first(ARRAY[can_rollback_migration.name],
              '{}'::text[]) AS names) first
          LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = can_rollback_migration.name) found
$function$;
COMMENT ON FUNCTION migrollback_schema.can_rollback_migration(text) IS
    'May this migration be rolled back now? can_rollback; reason, in words; dependent_migrations: all that must be '
    'rolled back first. Always one row, also for an unknown name and for one that is half applied. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.list_rollbackable_migrations()
RETURNS TABLE (migration_name text, migration_version text, applied_at timestamptz, status text, can_rollback boolean,
               has_rollback_sql boolean, blocking_reason text, dependent_migrations text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    -- The planner takes `blocked` for a few rows and loops over it for every migration: seconds at 10,000. Compiling
    -- takes longer than running.
    SET enable_nestloop = off SET jit = off AS $function$
    WITH RECURSIVE edge AS MATERIALIZED (
        SELECT d.depends_on AS base, d.migration_name AS dependent, h.status <> 'rolled_back' AS applied
        FROM migrollback_schema.migration_dependencies d
        JOIN migrollback_schema.migration_history h ON h.migration_name = d.migration_name),
    -- what was rolled back blocks nothing, but what depends on it does: linear, where a closure is not
    beyond AS (
        SELECT e.base, e.dependent FROM edge e JOIN migrollback_schema.migration_history b ON b.migration_name = e.base
               AND b.status <> 'rolled_back'
         WHERE NOT e.applied
        UNION
        SELECT n.base, e.dependent FROM beyond n JOIN edge e ON e.base = n.dependent WHERE NOT e.applied),
    blocked AS (
        SELECT x.base, array_agg(DISTINCT x.dependent COLLATE "C" ORDER BY x.dependent COLLATE "C") AS names
        FROM (SELECT e.base, e.dependent FROM edge e WHERE e.applied
              UNION ALL SELECT n.base, e.dependent FROM beyond n JOIN edge e ON e.base = n.dependent WHERE e.applied) x
        WHERE x.dependent <> x.base GROUP BY x.base),
    running AS MATERIALIZED (           -- once for each ledger, not for each migration
        SELECT p.tool, p.path, p.reason
        FROM (SELECT t.tool, t.path, d.reason
              FROM (SELECT DISTINCT h.metadata ->> 'tool' AS tool, h.metadata ->> 'search_path' AS path
                    FROM migrollback_schema.migration_history h
                    WHERE h.status <> 'rolled_back') t
                      CROSS JOIN LATERAL migrollback_schema.deploy_in_progress(t.tool, t.path) d) p)
    SELECT h.migration_name, h.migration_version, h.applied_at, h.status, r.reason IS NULL,
           coalesce(btrim(h.rollback_sql, E' \t\r\n'), '') <> '', r.reason, coalesce(b.names, '{}')
    FROM migrollback_schema.migration_history h
    LEFT JOIN blocked b ON b.base = h.migration_name
    LEFT JOIN running ON (running.tool,
                          running.path) IS NOT DISTINCT FROM (h.metadata ->> 'tool', h.metadata ->> 'search_path')
    -- OFFSET: pulled up it would be asked twice for each row
    CROSS JOIN LATERAL (SELECT coalesce(migrollback_schema.migration_blocking_reason(h.status, b.names IS NOT NULL,
        h.rollback_sql, h.metadata), running.reason) AS reason
                        OFFSET 0) r
    WHERE h.status <> 'rolled_back'
    ORDER BY h.applied_at DESC, h.migration_name COLLATE "C" DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.list_rollbackable_migrations() IS
    'All migrations that are not rolled back (status applied or failed), newest first, and whether each may be '
    'rolled back. blocking_reason is NULL when it may. dependent_migrations holds the nearest that block; '
    'can_rollback_migration() gives all. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_warnings(name text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(array_agg(w.warning ORDER BY w.place), '{}')
    FROM migrollback_schema.migration_history h
    CROSS JOIN LATERAL (VALUES
        (1, CASE WHEN h.metadata ->> 'system' = 'true' THEN format(
                'This removes the rollback system itself: the audit log ends here and %s other migrations lose their '
                'history',
                (SELECT count(*) FROM migrollback_schema.migration_history o
                 WHERE o.migration_name <> h.migration_name)) END),
        (2, CASE WHEN h.metadata #>> '{rollback,live}' = 'true'
         AND migrollback_schema.supabase_ledger() IS NOT NULL THEN
                'The rollback block is live SQL: supabase db push runs it as well. Comment it out line by line' END),
        (3, CASE WHEN h.metadata #>> '{rollback,transaction}' = 'false' THEN
                'The rollback runs statement by statement outside a transaction: when it stops halfway, what ran '
                'stays; a second run resumes' END),
        (4, CASE WHEN coalesce(h.rollback_sql, '') <> ''
         AND h.metadata #>> '{rollback,md5}' IS DISTINCT FROM md5(convert_to(h.rollback_sql, 'UTF8')) THEN
                'The rollback SQL was set by hand, not read from a file' END),
        (5, CASE WHEN coalesce(h.rollback_sql, '') = '' THEN
                'The file''s rollback block holds only comments; read as commented-out SQL it fails in '
                    || (h.metadata ->> 'rollback_remark') END),
        (6, CASE WHEN h.metadata ? 'tool' OR to_regnamespace('supabase_migrations') IS NOT NULL THEN (
                SELECT migrollback_schema.ledger_finding_warning(f.migration_name, f.ledger, f.finding)
                  FROM migrollback_schema.migration_ledger_findings(ARRAY[h.migration_name]) f) END),
        (7, CASE WHEN h.metadata ? 'tool' THEN migrollback_schema.not_newest_in_deploy_ledger_warning(h.migration_name,
            h.migration_version, h.status, h.metadata) END),
        (8, CASE WHEN h.metadata #>> '{rollback,transaction}' = 'false' AND h.status <> 'rolled_back' THEN (
                SELECT f.remark FROM migrollback_schema.half_applied_migrations(h.migration_name) f
                 WHERE f.direction = 'rollback') END),
        (9, CASE WHEN h.status = 'failed' THEN format(
                'Its rollback failed and was undone, so it is still applied, unless a person undid it since. Fix its '
                'rollback SQL, then: migrollback register %s, and migrollback resolve %1$s --as applied --reason TEXT. '
                'Once it is undone by hand: --as rolled_back', h.migration_name) END),
        (10, CASE WHEN h.status = 'applied' AND h.metadata ->> 'system' IS DISTINCT FROM 'true'
         AND migrollback_schema.dependents_looked_for(h.migration_name) IS NULL THEN
                'Dependents that no file declares were not looked for: migrollback sync looks for them' END),
        (12, CASE WHEN h.metadata ? 'captured' AND h.status <> 'rolled_back' THEN
                'Its rollback SQL was captured from what its program did to a schema without rows: which rows it '
                'wrote, changed or took away is not known, and is not undone' END),
        (11, (SELECT 'Others may depend on it, which is not certain: '
                     || string_agg(p.migration_name || ': ' || p.because, '; ' ORDER BY p.migration_name COLLATE "C")
                FROM migrollback_schema.migration_possible_dependents(h.migration_name) p))
    ) AS w (place, warning)
    WHERE h.migration_name = migration_warnings.name AND w.warning IS NOT NULL
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_warnings(text) IS
    'What a person should know before rolling this migration back, besides the rules of can_rollback_migration(). '
    'Does not write.';
