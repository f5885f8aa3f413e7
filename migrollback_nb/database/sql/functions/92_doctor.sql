-- ---------------------------------------------------------------------------------------------------
-- The doctor: what of an installation and its database endangers a rollback, and the fix of each.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.diagnose_server()
RETURNS TABLE (severity text, finding text, identity text, message text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH setting AS MATERIALIZED (SELECT s.name, s.reset_val AS value FROM pg_settings s),
    database AS (SELECT quote_ident(current_database()) AS name)
    SELECT v.* FROM (
        SELECT 'problem', 'standby', NULL::text, 'this server is a standby: nothing can be written here',
               'Connect to its primary.'
        WHERE pg_is_in_recovery()
        UNION ALL
        SELECT 'problem', 'read only', NULL, 'transactions are read only here by default: nothing can be rolled back',
               format('ALTER DATABASE %s RESET default_transaction_read_only, or that of the role.', d.name)
        FROM setting s, database d WHERE s.name = 'default_transaction_read_only' AND s.value = 'on'
        UNION ALL
        SELECT 'problem', 'isolation', s.value, format('the isolation of transactions is %s by default: sessions that '
                   'roll back at the same time can fail with 40001', s.value),
               format('ALTER DATABASE %s SET default_transaction_isolation = ''read committed''', d.name)
        FROM setting s, database d WHERE s.name = 'default_transaction_isolation' AND s.value <> 'read committed'
        UNION ALL
        SELECT 'problem', 'durability', s.name, format('%s is %s: a crash can undo a rollback that was reported as '
                   'done', s.name, s.value),
               CASE s.name WHEN 'synchronous_commit' THEN format('ALTER DATABASE %s SET synchronous_commit = on; '
                   'migrollback sets it itself, a call in psql does not.', d.name)
               ELSE format('Set %s = on in postgresql.conf.', s.name) END
        FROM setting s, database d
        WHERE s.name IN ('synchronous_commit', 'fsync', 'full_page_writes') AND s.value = 'off'
        UNION ALL
        SELECT 'problem', 'replicas', s.value, format('synchronous_standby_names is %s, and no synchronous standby is '
                   'connected: each COMMIT waits', s.value), 'Connect the standby, or change synchronous_standby_names.'
        FROM setting s WHERE s.name = 'synchronous_standby_names' AND s.value <> ''
          AND NOT EXISTS (SELECT FROM pg_stat_replication r WHERE r.sync_state IN ('sync', 'quorum'))
        UNION ALL
        SELECT 'note', 'replicas', r.application_name, format('%s is a replica (%s): a rollback reaches it later',
                   r.application_name, coalesce(r.sync_state, 'its state is not shown to this role')),
               'Look at its lag before and after a rollback.'
        FROM pg_stat_replication r
        UNION ALL
        SELECT 'note', 'replicas', p.pubname, format('publication %s publishes %s', p.pubname,
                   string_agg(p.tablename, ', ' ORDER BY p.tablename)),
               'A subscriber keeps these events as they are; leave the tables out where it has a history of its own.'
        FROM pg_publication_tables p WHERE p.schemaname = (SELECT n.nspname FROM pg_namespace n
                                                            WHERE n.oid = 'migrollback_schema'::regnamespace)
          AND p.tablename IN (SELECT c.relname FROM migrollback_schema.migration_system_objects() o
                              JOIN pg_class c ON c.oid = ANY (o.tables))
        GROUP BY p.pubname
        UNION ALL
        SELECT 'note', 'replicas', s.subname, format('subscription %s brings rows from another database', s.subname),
               'A rollback here does not change that database: roll back there too.'
        FROM pg_subscription s JOIN pg_database b ON b.oid = s.subdbid AND b.datname = current_database()
        UNION ALL
        SELECT 'note', 'archives', 'migrollback_archive', format('values that were destroyed are kept in schema '
                   'migrollback_archive: %s in %s tables', pg_size_pretty(sum(pg_total_relation_size(c.oid))),
                   count(*)),
               'Leave them out of dumps by pg_dump --exclude-schema=migrollback_archive; migrollback archives --prune '
               '90d throws old ones away.'
        FROM pg_class c WHERE c.relnamespace = to_regnamespace('migrollback_archive') AND c.relkind = 'r'
        HAVING count(*) > 0
        UNION ALL
        SELECT 'problem', 'archives', 'migrollback_archive', p.text,
               'Look who made it: values are kept there only where its owner alone has rights.'
        FROM migrollback_schema.archive_schema_problem() AS p (text) WHERE p.text IS NOT NULL
        UNION ALL
        SELECT 'problem', 'counters', NULL, 'track_counts is off: what an up migration writes is not counted',
               'Set track_counts = on in postgresql.conf.'
        FROM setting s WHERE s.name = 'track_counts' AND s.value = 'off') AS v
$function$;
COMMENT ON FUNCTION migrollback_schema.diagnose_server() IS
    'What of the server and its settings endangers a rollback: standby, read only, isolation, durability, replicas, '
    'publications, subscriptions. Rows as those of diagnose_migrations(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.diagnose_rights()
RETURNS TABLE (severity text, finding text, identity text, message text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH opened AS (
        SELECT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END AS grantee,
               count(DISTINCT g.object) AS objects
        FROM migrollback_schema.migration_grants() g WHERE g.is_ours_to_close GROUP BY g.grantee),
    owner AS (SELECT c.relowner AS oid FROM pg_class c
               WHERE c.oid = to_regclass('migrollback_schema' || '.migration_history'))
    SELECT 'problem'::text, 'grants'::text, o.grantee,
           format('%s may use %s of the system''s tables and functions', o.grantee, o.objects),
           'migrollback install closes them, as their owner.'::text
    FROM opened o
    UNION ALL
    SELECT 'problem', 'grants', NULL, r.remark, 'Take the membership away, unless that is meant.'
    FROM unnest(migrollback_schema.open_migration_rights()) AS r (remark) WHERE r.remark LIKE '%belongs to%'
    UNION ALL
    SELECT 'problem', 'roles', k.role_name, k.finding,
           format('migrollback grant %s %s, or revoke: as the owner of the system.', k.kind, k.role_name)
    FROM migrollback_schema.migration_roles() k WHERE k.finding IS NOT NULL
    UNION ALL
    SELECT 'note', 'roles', k.role_name, format('%s is an %s, granted by %s', k.role_name, k.kind, k.granted_by),
           format('migrollback revoke %s %s, when it is to be none any more.', k.kind, k.role_name)
    FROM migrollback_schema.migration_roles() k WHERE k.finding IS NULL
    UNION ALL
    SELECT CASE WHEN r.more THEN 'problem' ELSE 'note' END, 'roles', r.role_name,
           CASE WHEN r.more THEN format('%s may run functions with the rights of %s, and that was not granted by '
                                        'migrollback grant', r.role_name, (SELECT w.oid::regrole FROM owner w))
                ELSE format('%s has rights to %s of the system''s tables and functions that are not recorded',
                            r.role_name, r.objects) END,
           'migrollback grant records what is meant; REVOKE takes the rest.'
    FROM migrollback_schema.unrecorded_migration_grants() r
    UNION ALL
    SELECT DISTINCT 'note', 'default privileges', CASE WHEN x.grantee = 0 THEN 'PUBLIC'
               ELSE x.grantee::regrole::text END,
           format('default privileges of %s give %s to %s on each new %s', d.defaclrole::regrole, x.privilege_type,
                  CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
                  CASE d.defaclobjtype WHEN 'r' THEN 'table' ELSE 'function' END),
           'install closes what it makes; what else is made in this schema stays open: ALTER DEFAULT PRIVILEGES.'
    FROM owner w JOIN pg_default_acl d ON d.defaclrole = w.oid AND d.defaclobjtype IN ('r', 'f')
         AND d.defaclnamespace IN (0, 'migrollback_schema'::regnamespace)
    CROSS JOIN LATERAL aclexplode(d.defaclacl) x
    LEFT JOIN pg_roles r ON r.oid = x.grantee
    WHERE x.grantee = 0 OR r.rolname IN ('anon', 'authenticated', 'service_role')
    UNION ALL
    SELECT 'problem', 'row security', NULL, 'Supabase''s roles exist here, and row security of the system''s tables is '
               'off', 'migrollback install turns it on.'
    WHERE EXISTS (SELECT FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role'))
      AND EXISTS (SELECT FROM migrollback_schema.migration_system_objects() o
                  JOIN pg_class c ON c.oid = ANY (o.tables) AND NOT c.relrowsecurity)
$function$;
COMMENT ON FUNCTION migrollback_schema.diagnose_rights() IS
    'Who may use the system''s tables and functions that should not: grants, memberships, default privileges, row '
    'security. Rows as those of diagnose_migrations(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.diagnose_history()
RETURNS TABLE (severity text, finding text, identity text, message text, fix text)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH applied AS MATERIALIZED (
        SELECT h.migration_name, h.status, h.rollback_sql, h.checksum, h.metadata
        FROM migrollback_schema.migration_history h
        WHERE h.status <> 'rolled_back' AND h.metadata ->> 'system' IS DISTINCT FROM 'true'),
    newest AS MATERIALIZED (
        SELECT s.id, s.token FROM migrollback_schema.migration_snapshots s ORDER BY s.taken_at DESC LIMIT 1),
    counted AS MATERIALIZED (
        SELECT count(*) AS applied,
               count(*) FILTER (WHERE NOT EXISTS (
                   SELECT FROM migrollback_schema.migration_dependency_searches s
                    WHERE s.migration_name = a.migration_name AND s.searched_in <> 'nothing')) AS unsearched,
               count(*) FILTER (WHERE btrim(coalesce(a.rollback_sql, ''), E' \t\r\n') = '') AS without_sql,
               count(*) FILTER (WHERE btrim(coalesce(a.rollback_sql, ''), E' \t\r\n') <> '' AND NOT EXISTS (
                   SELECT FROM migrollback_schema.migration_proofs p
                    WHERE p.migration_name = a.migration_name AND p.checksum = a.checksum)
                   AND NOT EXISTS (SELECT FROM migrollback_schema.migration_events e
                                    WHERE e.migration_name = a.migration_name AND e.event = 'rehearsed'
                                      AND e.details ->> 'success' = 'true')) AS unproven
        FROM applied a)
    SELECT v.* FROM (
        SELECT 'problem', 'failed', a.migration_name, format('%s has status failed: it is applied, and a person must '
                   'act', a.migration_name),
               format('Fix its rollback SQL, register it, then: migrollback resolve %s --as applied --reason TEXT',
                      a.migration_name)
        FROM applied a WHERE a.status = 'failed'
        UNION ALL
        SELECT 'problem', 'live rollback block', a.migration_name, format('the rollback block of %s is live, and '
                   'Supabase runs whole files: applied again, it undoes itself', a.migration_name),
               'Comment the block out, line by line: migrollback template prints that form.'
        FROM applied a WHERE a.metadata #>> '{rollback,live}' = 'true'
          AND migrollback_schema.supabase_ledger() IS NOT NULL
        UNION ALL
        SELECT 'problem', 'ledger', f.migration_name, migrollback_schema.ledger_finding_warning(f.migration_name,
                   f.ledger, f.finding), 'migrollback sync records what the deploy tool did; else migrollback resolve.'
        FROM migrollback_schema.migration_ledger_findings(NULL::text[]) f
        UNION ALL
        SELECT 'problem', 'ledger', t.tool, u.reason,
               'migrollback install --trust-ledger-of ROLE, if that role is trusted.'
        FROM (SELECT a.metadata ->> 'tool' AS tool, min(a.metadata ->> 'search_path') AS path FROM applied a
               GROUP BY 1) t
        CROSS JOIN LATERAL (SELECT migrollback_schema.untrusted_deploy_ledger(t.tool, t.path) AS reason) u
        WHERE u.reason IS NOT NULL
        UNION ALL
        SELECT 'note', 'drift', n.id::text, format('the schema has changed since the last snapshot (%s)', n.id),
               format('migrollback diff %s shows what; migrollback sync takes a new one.', left(n.id::text, 8))
        FROM newest n WHERE n.token IS DISTINCT FROM migrollback_schema.snapshot_token()
        UNION ALL
        SELECT 'note', 'drift', NULL, 'there is no snapshot of the schema: a rollback of what is applied cannot be '
                   'compared with what was before', 'migrollback sync takes one.'
        FROM counted c WHERE c.applied > 0 AND NOT EXISTS (SELECT FROM newest)
        UNION ALL
        SELECT 'note', 'dependencies', NULL, format('of %s of %s applied migrations no one has looked for '
                   'dependencies that their files do not declare', c.unsearched, c.applied), 'migrollback sync looks.'
        FROM counted c WHERE c.unsearched > 0
        UNION ALL
        SELECT 'note', 'proofs', NULL, format('%s of %s applied migrations have a rollback that was neither proven nor '
                   'rehearsed', c.unproven, c.applied), 'migrollback verify --record'
        FROM counted c WHERE c.unproven > 0
        UNION ALL
        SELECT 'note', 'rollback SQL', NULL, format('%s of %s applied migrations have no rollback SQL', c.without_sql,
                   c.applied), 'migrollback history --without-rollback lists them, migrollback template writes one.'
        FROM counted c WHERE c.without_sql > 0
        UNION ALL
        SELECT 'note', 'size', s.relname, format('%s: %s', s.relname, pg_size_pretty(pg_total_relation_size(s.oid))),
               CASE WHEN s.relname LIKE 'migration_snapshots%' THEN 'migrollback snapshots --prune 30d'
               ELSE 'It grows by a few hundred bytes for each event; it is never cut.' END
        FROM pg_class s WHERE s.oid IN (migrollback_schema.migration_table('migration_snapshots'),
                                        migrollback_schema.migration_table('migration_events'))
          AND pg_total_relation_size(s.oid) > 256 * 1024 * 1024) AS v
$function$;
COMMENT ON FUNCTION migrollback_schema.diagnose_history() IS
    'What of the history endangers a rollback: failed ones, live rollback blocks beside Supabase''s ledger, ledgers '
    'that contradict it or are not trusted, drift, dependencies and rollbacks that no one has looked at, size. Rows as '
    'those of diagnose_migrations(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.diagnose_migrations()
RETURNS TABLE (severity text, finding text, identity text, message text, fix text)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT * FROM (
        SELECT * FROM migrollback_schema.diagnose_server()
        UNION ALL
        SELECT 'problem', a.finding, a.identity, a.message,
               'Find out who did it and why; migrollback install repairs triggers and functions.'
        FROM migrollback_schema.audit_installation() a
        UNION ALL
        SELECT * FROM migrollback_schema.diagnose_rights()
        UNION ALL
        SELECT * FROM migrollback_schema.diagnose_policies()
        UNION ALL
        SELECT * FROM migrollback_schema.diagnose_history()) d
    ORDER BY d.severity DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.diagnose_migrations() IS
    'What of this installation and its database endangers a rollback, problems first, each with its fix. severity: '
    'problem, or note (nothing is wrong, and it is worth knowing). migrollback doctor adds what only a client sees. '
    'Does not write.';
