-- ---------------------------------------------------------------------------------------------------
-- The audit: the chain of hashes, and what a chain does not show.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.audit_event_chain(anchors text[] DEFAULT '{}')
RETURNS TABLE (finding text, identity text, event_number bigint, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH linked AS (
        SELECT e.*, lag(e.hash) OVER w AS hash_before, lag(e.event_number) OVER w AS number_before
        FROM migrollback_schema.migration_events e WINDOW w AS (ORDER BY e.event_number)),
    broken AS (
        SELECT l.event_number, CASE
            WHEN l.event_number <> coalesce(l.number_before, 0) + 1 THEN
                format('%s missing before it', CASE WHEN l.event_number - coalesce(l.number_before, 0) = 2
                    THEN format('event %s is', l.event_number - 1)
                    ELSE format('events %s to %s are', coalesce(l.number_before, 0) + 1, l.event_number - 1) END)
            WHEN l.previous_hash IS DISTINCT FROM l.hash_before THEN 'it does not follow the event before it'
            WHEN l.hash <> migrollback_schema.migration_event_hash(l.previous_hash, l.event_number, l.occurred_at,
                l.event, l.migration_name, l.attempt_id, l.database_user, l.client, l.reason, l.details) THEN
                'it was changed since it was written' END AS message
        FROM linked l)
    SELECT 'chain', NULL::text, b.event_number, format('event %s: %s', b.event_number, b.message)
    FROM broken b WHERE b.message IS NOT NULL
    UNION ALL
    SELECT 'anchor', a.anchor, split_part(a.anchor, ':', 1)::bigint, CASE
               WHEN e.event_number IS NULL THEN
                   format('event %s is not there: the audit log was cut', split_part(a.anchor, ':', 1))
               ELSE format('event %s has another hash than at the time of the anchor: the audit log was written anew',
                           e.event_number) END
    FROM unnest(anchors) AS a (anchor)
    LEFT JOIN migrollback_schema.migration_events e ON e.event_number = split_part(a.anchor, ':', 1)::bigint
    WHERE e.hash IS DISTINCT FROM split_part(a.anchor, ':', 2)
$function$;
COMMENT ON FUNCTION migrollback_schema.audit_event_chain(text[]) IS
    'One row for each event that does not fit the one before it, and for each anchor (number:hash of an event, kept '
    'outside the database) that does not hold: a cut tail, an audit log that was written anew. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.audit_history()
RETURNS TABLE (finding text, identity text, event_number bigint, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH telling AS MATERIALIZED (      -- of which row an event tells; of a new name, also that the old one is gone
        SELECT e.event_number, e.event, n.name, e.details, n.is_gone
        FROM migrollback_schema.migration_events e
        CROSS JOIN LATERAL (
            SELECT CASE WHEN e.event = 'ledger_trust_changed' THEN '20250120_migration_rollback_system'
                   ELSE e.migration_name END AS name,
                   e.event = 'history_changed' AND e.details ->> 'operation' = 'DELETE' AS is_gone
            UNION ALL
            SELECT e.details #>> '{old,migration_name}', true
             WHERE e.event = 'history_changed' AND e.details ->> 'operation' = 'UPDATE'
               AND e.details #> '{new,migration_name}' IS NOT NULL) n
        WHERE e.event IN ('registered', 'applied', 'applied_again', 'rolled_back', 'failed', 'resolved',
                          'history_changed', 'installed', 'upgraded', 'ledger_trust_changed', 'taken_over',
                          'scope_added')
          AND n.name IS NOT NULL
          AND (e.event <> 'history_changed' OR e.details ->> 'table' = 'migration_history')
          AND NOT (e.event = 'resolved' AND e.details ->> 'old' = 'half applied')),
    last AS MATERIALIZED (
        SELECT DISTINCT ON (t.name) t.* FROM telling t ORDER BY t.name, t.event_number DESC, t.is_gone),
    status AS MATERIALIZED (
        SELECT DISTINCT ON (s.migration_name) s.migration_name, s.status, s.event_number
        FROM migrollback_schema.migration_status_events() s
         ORDER BY s.migration_name, s.event_number DESC, s.since DESC),
    compared AS (
        SELECT coalesce(h.migration_name, l.name) AS name, l.event_number, CASE
            WHEN l.name IS NULL THEN 'no event tells of this row'
            WHEN h.migration_name IS NULL AND NOT l.is_gone THEN
                format('its row is gone, and no event tells of that (last: event %s, %s)', l.event_number, l.event)
            WHEN h.migration_name IS NOT NULL AND l.is_gone THEN
                format('event %s says that its row went, and it is there', l.event_number)
            WHEN s.status IS NOT NULL AND s.status <> h.status THEN
                format('its status is %s, and by event %s it is %s', h.status, s.event_number, s.status)
            WHEN l.details ->> 'history_hash' <> migrollback_schema.migration_history_hash(h.migration_name) THEN
                format('its row differs from what it was at event %s, %s', l.event_number, l.event)
            END AS message
        FROM migrollback_schema.migration_history h
        FULL JOIN last l ON l.name = h.migration_name
        LEFT JOIN status s ON s.migration_name = h.migration_name)
    SELECT 'history', c.name, c.event_number, format('migration_history %s: %s', c.name, c.message)
    FROM compared c WHERE c.message IS NOT NULL ORDER BY c.name COLLATE "C"
$function$;
COMMENT ON FUNCTION migrollback_schema.audit_history() IS
    'One row for each row of migration_history that is not as the last event about it left it, is gone, or is there '
    'without any event. Events from before 0.2.0 keep no hash of the row: then the status alone is compared. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.audit_dependencies()
RETURNS TABLE (finding text, identity text, event_number bigint, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH said AS MATERIALIZED (         -- all that the log says of an edge: its source from then on, NULL: it went
        SELECT e.event_number, e.migration_name, d.depends_on, 'declared' AS source, 1 AS way
        FROM migrollback_schema.migration_events e
        CROSS JOIN LATERAL jsonb_array_elements_text(e.details -> 'depends_on') AS d (depends_on)
        WHERE e.event IN ('registered', 'applied', 'applied_again', 'taken_over')
          AND jsonb_typeof(e.details -> 'depends_on') = 'array'
        UNION ALL
        SELECT e.event_number, e.migration_name, d.depends_on, 'inferred', 2
        FROM migrollback_schema.migration_events e CROSS JOIN LATERAL jsonb_object_keys(e.details -> 'because') AS
            d (depends_on)
        WHERE e.event = 'dependencies_recorded' AND jsonb_typeof(e.details -> 'because') = 'object'
        UNION ALL
        SELECT e.event_number, e.migration_name, d.depends_on, NULL, 2
        FROM migrollback_schema.migration_events e CROSS JOIN LATERAL jsonb_object_keys(e.details -> 'removed') AS
            d (depends_on)
        WHERE e.event = 'dependencies_recorded' AND jsonb_typeof(e.details -> 'removed') = 'object'
        UNION ALL
        SELECT e.event_number, e.migration_name, e.details ->> 'depends_on', NULL, 2
        FROM migrollback_schema.migration_events e WHERE e.event = 'dependency_dismissed'
        UNION ALL
        SELECT e.event_number, coalesce(e.details #>> '{new,migration_name}', e.migration_name),
               coalesce(e.details ->> 'depends_on', e.details #>> '{new,depends_on}', e.details #>> '{old,depends_on}'),
               CASE WHEN e.details ->> 'operation' <> 'DELETE' THEN
                   coalesce(e.details #>> '{new,source}', '') END, 3
        FROM migrollback_schema.migration_events e
        WHERE e.event = 'history_changed' AND e.details ->> 'table' = 'migration_dependencies'
        UNION ALL                       -- an edge that was changed into another one
        SELECT e.event_number, coalesce(e.details #>> '{old,migration_name}', e.migration_name),
               coalesce(e.details #>> '{old,depends_on}', e.details ->> 'depends_on'), NULL, 3
        FROM migrollback_schema.migration_events e
        WHERE e.event = 'history_changed' AND e.details ->> 'table' = 'migration_dependencies'
          AND e.details ->> 'operation' = 'UPDATE'
          AND (e.details -> 'old') ?| ARRAY['migration_name', 'depends_on']),
    registered AS MATERIALIZED (
        SELECT e.event_number, e.migration_name FROM migrollback_schema.migration_events e
        WHERE e.event IN ('registered', 'applied', 'applied_again')),
    dropped AS (                        -- declared, and not declared any more by the next registration
        SELECT (SELECT min(r.event_number) FROM registered r
                 WHERE r.migration_name = l.migration_name AND r.event_number > l.event_number) AS event_number,
               l.migration_name, l.depends_on
        FROM (SELECT s.migration_name, s.depends_on, max(s.event_number) AS event_number FROM said s
               WHERE s.way = 1 GROUP BY s.migration_name, s.depends_on) l),
    last AS MATERIALIZED (
        SELECT DISTINCT ON (s.migration_name, s.depends_on) s.* FROM (
            SELECT s.event_number, s.migration_name, s.depends_on, s.source FROM said s WHERE s.depends_on IS NOT NULL
            UNION ALL SELECT d.event_number, d.migration_name, d.depends_on, NULL FROM dropped d
             WHERE d.event_number IS NOT NULL) s
        ORDER BY s.migration_name, s.depends_on, s.event_number DESC),
    compared AS (
        SELECT coalesce(d.migration_name, l.migration_name) AS migration_name,
               coalesce(d.depends_on, l.depends_on) AS depends_on, l.event_number, CASE
            WHEN l.event_number IS NULL THEN 'no event tells of it'
            WHEN d.source IS NULL AND l.source IS NOT NULL THEN
                format('it is gone, and no event tells of that (last: event %s)', l.event_number)
            WHEN l.source IS NULL AND d.source IS NOT NULL THEN
                format('event %s took it away, and it is there', l.event_number)
            WHEN l.source <> '' AND l.source <> d.source THEN
                format('it is %s, and by event %s it is %s', d.source, l.event_number, l.source) END AS message
        FROM migrollback_schema.migration_dependencies d
        FULL JOIN last l ON l.migration_name = d.migration_name AND l.depends_on = d.depends_on)
    SELECT 'dependency', c.migration_name || ' > ' || c.depends_on, c.event_number,
           format('dependency of %s on %s: %s', c.migration_name, c.depends_on, c.message)
    FROM compared c WHERE c.message IS NOT NULL
    UNION ALL
    SELECT 'dependency', n.migration_name || ' > ' || n.depends_on, NULL,
           format('no event tells that the dependency of %s on %s was dismissed', n.migration_name, n.depends_on)
    FROM migrollback_schema.migration_dismissed_dependencies n
    WHERE NOT EXISTS (SELECT FROM migrollback_schema.migration_events e
                       WHERE e.migration_name = n.migration_name AND e.event = 'dependency_dismissed'
                         AND e.details ->> 'depends_on' = n.depends_on)
    ORDER BY 2
$function$;
COMMENT ON FUNCTION migrollback_schema.audit_dependencies() IS
    'One row for each dependency that is not as the events say: that no event tells of, that is gone, or of another '
    'source; and for each that was dismissed without an event. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.audit_snapshots()
RETURNS TABLE (finding text, identity text, event_number bigint, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH told AS MATERIALIZED (
        SELECT e.event_number, s.id, s.hash
        FROM migrollback_schema.migration_events e
        CROSS JOIN LATERAL (VALUES (e.details ->> 'snapshot', e.details ->> 'snapshot_hash'),
                                   (e.details ->> 'before', e.details ->> 'before_hash')) AS s (id, hash)
        WHERE e.event = 'snapshot_taken' AND s.id IS NOT NULL),
    first AS MATERIALIZED (
        SELECT DISTINCT ON (t.id) t.* FROM told t ORDER BY t.id, t.hash IS NULL, t.event_number),
    pruned AS MATERIALIZED (
        SELECT p.id FROM migrollback_schema.migration_events e
        CROSS JOIN LATERAL jsonb_array_elements_text(e.details -> 'snapshots') AS p (id)
        WHERE e.event = 'snapshots_pruned'),
    compared AS (
        SELECT coalesce(s.id::text, f.id) AS id, f.event_number, CASE
            WHEN f.id IS NULL THEN 'no event tells of it'
            WHEN s.id IS NULL AND f.id NOT IN (SELECT p.id FROM pruned p) THEN 'it is gone, and no event tells of that'
            WHEN f.hash <> migrollback_schema.migration_snapshot_hash(s.id) THEN
                format('it differs from what it was at event %s', f.event_number) END AS message
        FROM migrollback_schema.migration_snapshots s FULL JOIN first f ON f.id = s.id::text)
    SELECT 'snapshot', c.id, c.event_number, format('snapshot %s: %s', c.id, c.message)
    FROM compared c WHERE c.message IS NOT NULL
    UNION ALL
    SELECT 'snapshot', e.details ->> 'snapshot', e.event_number,
           format('states beside snapshot %s: %s', e.details ->> 'snapshot',
                  CASE WHEN t.event_number IS NULL THEN 'they are gone, and no event tells of that'
                       ELSE format('they differ from what they were at event %s', e.event_number) END)
    FROM migrollback_schema.migration_events e
    LEFT JOIN migrollback_schema.migration_states t ON t.event_number = e.event_number
    WHERE e.event = 'snapshot_taken' AND e.details ? 'states_hash'
      AND (t.event_number IS NOT NULL OR e.details ->> 'snapshot' NOT IN (SELECT p.id FROM pruned p))
      AND e.details ->> 'states_hash' IS DISTINCT FROM migrollback_schema.hash_of_fields(ARRAY[t.states::text])
    ORDER BY 3, 2
$function$;
COMMENT ON FUNCTION migrollback_schema.audit_snapshots() IS
    'One row for each snapshot, and each row of migration_states, that differs from what its event keeps the hash of, '
    'is gone without an event, or is there without one. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.audit_installation()
RETURNS TABLE (finding text, identity text, event_number bigint, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH trigger_list (table_name, name) AS (
        VALUES ('migration_events', 'chain_migration_event'), ('migration_events', 'refuse_event_change'),
               ('migration_events', 'refuse_event_truncate'), ('migration_history', 'guard_history_change'),
               ('migration_history', 'complete_history_change'), ('migration_history', 'record_history_change'),
               ('migration_history', 'refuse_history_truncate'), ('migration_dependencies', 'guard_history_change'),
               ('migration_dependencies', 'record_history_change'),
               ('migration_dependencies', 'refuse_history_truncate'),
               ('migration_events', 'refuse_kept_rehearsal'), ('migration_policies', 'guard_policy_change'),
               ('migration_policies', 'refuse_policy_truncate')),
    ours AS MATERIALIZED (SELECT o.tables, o.routines FROM migrollback_schema.migration_system_objects() o),
    relation AS MATERIALIZED (
        SELECT c.oid, migrollback_schema.scoped_definition(c.relname::text) AS relname, c.relkind
          FROM ours o JOIN pg_class c ON c.oid = ANY (o.tables)),
    installed AS (
        SELECT e.event_number, e.details -> 'system_state' AS state FROM migrollback_schema.migration_events e
        WHERE e.event IN ('installed', 'upgraded') ORDER BY e.event_number DESC LIMIT 1)
    SELECT 'trigger', l.name || ' on ' || l.table_name, NULL::bigint, format('trigger %s on %s %s', l.name,
               l.table_name, CASE WHEN t.oid IS NULL THEN 'is not there'
                                  WHEN t.tgenabled = 'D' THEN 'is disabled'
                                  WHEN t.tgfoid <> ALL (o.routines) THEN 'calls a function that is not this system''s'
                                  ELSE 'does not fire under session_replication_role = replica' END)
    FROM trigger_list l CROSS JOIN ours o
    LEFT JOIN relation c ON c.relname = l.table_name AND c.relkind = 'r'
    LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = l.name AND NOT t.tgisinternal
    WHERE t.oid IS NULL OR t.tgenabled <> 'A' OR t.tgfoid <> ALL (o.routines)
    UNION ALL
    SELECT 'trigger', format('%s on %s', t.tgname, c.relname), NULL,
           format('trigger %s on %s is not this system''s', t.tgname, c.relname)
    FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
    WHERE NOT EXISTS (SELECT FROM trigger_list l WHERE l.name = t.tgname AND l.table_name = c.relname)
    UNION ALL
    SELECT 'rule', format('%s on %s', w.rulename, c.relname), NULL,
           format('rule %s on %s is not this system''s', w.rulename, c.relname)
    FROM relation c JOIN pg_rewrite w ON w.ev_class = c.oid AND (c.relkind = 'r' OR w.rulename <> '_RETURN')
    UNION ALL
    SELECT 'table', i.inhrelid::regclass::text, NULL,
           format('table %s inherits from %s, so that its rows are read with it', i.inhrelid::regclass, c.relname)
    FROM relation c JOIN pg_inherits i ON i.inhparent = c.oid
    UNION ALL
    SELECT CASE p.part WHEN 'functions' THEN 'function' ELSE 'table' END, NULL, i.event_number,
           format('the system''s %s differ from what install left at event %s', p.part, i.event_number)
    FROM installed i CROSS JOIN LATERAL jsonb_each_text(i.state) AS p (part, hash)
    JOIN LATERAL jsonb_each_text(to_jsonb(migrollback_schema.migration_system_state())) AS n (part, hash)
      ON n.part = p.part
    WHERE p.hash IS DISTINCT FROM n.hash
    ORDER BY 1, 2
$function$;
COMMENT ON FUNCTION migrollback_schema.audit_installation() IS
    'One row for each trigger of this system that is not there, disabled or not ALWAYS, for each trigger or rule of '
    'others on its tables, and for functions or tables that differ from what install left. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.audit_proofs()
RETURNS TABLE (finding text, identity text, event_number bigint, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT 'proof', p.migration_name, NULL::bigint,
           format('no event tells that %s was proven to be %s', p.migration_name, p.grade)
    FROM migrollback_schema.migration_proofs p
    WHERE NOT EXISTS (SELECT FROM migrollback_schema.migration_events e
                       WHERE e.event = 'proven' AND e.details -> 'grades' ->> p.migration_name = p.grade)
    ORDER BY p.migration_name COLLATE "C"
$function$;
COMMENT ON FUNCTION migrollback_schema.audit_proofs() IS
    'One row for each proof that no event tells of. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.audit_migrations(
    anchors text[] DEFAULT '{}', chain boolean DEFAULT true)
RETURNS TABLE (finding text, identity text, event_number bigint, message text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    wrong text := (SELECT a.anchor FROM unnest(anchors) AS a (anchor)
                    WHERE a.anchor IS NULL OR a.anchor !~ '^[0-9]{1,18}:[0-9a-f]{64}$' LIMIT 1);
BEGIN
    IF wrong IS NOT NULL OR anchors IS NULL THEN
        RAISE EXCEPTION 'an anchor is NUMBER:HASH of an event, not %', coalesce(wrong, 'NULL')
            USING ERRCODE = 'MR006', HINT = 'As verify_migration_events() gives head_number and head_hash.';
    END IF;
    IF chain THEN
        RETURN QUERY SELECT * FROM migrollback_schema.audit_event_chain(anchors);
    END IF;
    RETURN QUERY SELECT * FROM migrollback_schema.audit_history();
    RETURN QUERY SELECT * FROM migrollback_schema.audit_dependencies();
    RETURN QUERY SELECT * FROM migrollback_schema.audit_snapshots();
    RETURN QUERY SELECT * FROM migrollback_schema.audit_proofs();
    RETURN QUERY SELECT * FROM migrollback_schema.audit_policies();
    RETURN QUERY SELECT * FROM migrollback_schema.audit_installation();
END $function$;
COMMENT ON FUNCTION migrollback_schema.audit_migrations(text[], boolean) IS
    'All that is wrong with the audit log and with what it tells of: audit_event_chain() (unless chain is false), '
    'audit_history(), audit_dependencies(), audit_snapshots(), audit_proofs(), audit_policies(), audit_installation(). '
    'No row: nothing was found. anchors: NUMBER:HASH of events, kept outside the database. An owner can replace this '
    'function: '
    'migrollback audit checks the chain and the functions by itself. SQLSTATE MR006: no anchor. Does not write.';
