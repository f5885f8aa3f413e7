-- ---------------------------------------------------------------------------------------------------
-- Half done outside a transaction: migrations that stopped between two statements, and what they left. Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.unfinished_schema_objects()
RETURNS TABLE (kind text, identity text, object_id oid, name text, table_id oid, remark text, fix text,
               in_progress boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    -- An index of a partitioned table is invalid until each partition has its own: that is no leftover.
    SELECT 'index', format('%I.%I', n.nspname, c.relname), c.oid, c.relname::text, i.indrelid,
           format('index %I.%I of %I.%I is invalid: no query uses it', n.nspname, c.relname, m.nspname, t.relname)
               || CASE WHEN NOT i.indisunique THEN ''
                       WHEN i.indisready THEN ', and rows that are there already may not be unique'
                       ELSE ', and unique is not enforced' END,
           CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid)
                THEN format('REINDEX INDEX CONCURRENTLY %I.%I;', n.nspname, c.relname)
                ELSE format('DROP INDEX CONCURRENTLY %I.%I;', n.nspname, c.relname) END,
           EXISTS (SELECT FROM pg_stat_progress_create_index p
                    WHERE p.index_relid = c.oid AND p.datname = current_database())
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace m ON m.oid = t.relnamespace
     WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relpersistence <> 't'
    UNION ALL
    SELECT 'partition', format('%I.%I', n.nspname, c.relname), c.oid, c.relname::text, h.inhparent,
           format('partition %I.%I is not yet detached from %I.%I', n.nspname, c.relname, m.nspname, p.relname),
           format('ALTER TABLE %I.%I DETACH PARTITION %I.%I FINALIZE;', m.nspname, p.relname, n.nspname, c.relname),
           false
      FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class p ON p.oid = h.inhparent JOIN pg_namespace m ON m.oid = p.relnamespace
     WHERE h.inhdetachpending
     ORDER BY 1, 2
$function$;
COMMENT ON FUNCTION migrollback_schema.unfinished_schema_objects() IS
    'What statements with CONCURRENTLY left when they failed or were broken off: invalid indexes, partitions of which '
    'the detaching is pending. remark: what that means; fix: the statement that ends it; in_progress: another session '
    'builds it now, as far as the caller may see that. table_id: its table, or the partitioned one. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.half_applied_migrations(name text DEFAULT NULL)
RETURNS TABLE (migration_name text, direction text, statements_completed int, statements int,
               stopped_at timestamptz, message text, left_unfinished text[], remark text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    RETURN QUERY
    WITH tried AS (
        SELECT DISTINCT e.migration_name AS of, CASE e.event WHEN 'apply_failed' THEN 'apply' WHEN 'failed'
            THEN 'rollback' ELSE e.details ->> 'direction' END AS way
          FROM migrollback_schema.migration_events e
         WHERE (half_applied_migrations.name IS NULL OR e.migration_name = half_applied_migrations.name)
           AND (e.event = 'statement_completed' OR e.event IN ('apply_failed', 'failed') AND e.details ? 'left')),
    stopped AS (
        SELECT t.of, t.way, h.status, migrollback_schema.migration_statements_completed(t.of, t.way) AS completed,
               migrollback_schema.last_whole_event(t.of, t.way) AS whole,
               CASE WHEN t.way = 'rollback' THEN jsonb_array_length(h.metadata #> '{rollback,statements}') END AS known
          FROM tried t LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = t.of
         WHERE CASE t.way WHEN 'apply' THEN coalesce(h.status, 'rolled_back') = 'rolled_back'
                    ELSE h.status <> 'rolled_back' END),
    failure AS (
        SELECT s.*, f.details, f.occurred_at
          FROM stopped s LEFT JOIN LATERAL (
              SELECT e.details, e.occurred_at FROM migrollback_schema.migration_events e
               WHERE e.migration_name = s.of AND e.event_number > s.whole
                 AND (e.event = CASE s.way WHEN 'apply' THEN 'apply_failed' ELSE 'failed' END
                      OR e.event = 'statement_completed' AND e.details ->> 'direction' = s.way)
               ORDER BY e.event_number DESC LIMIT 1) f ON true),
    found AS (
        SELECT f.*, u.identities, u.remarks, u.fixes
          FROM failure f CROSS JOIN LATERAL (
              SELECT array_agg(o.identity ORDER BY o.identity) AS identities,
                     string_agg(o.remark, '; ' ORDER BY o.identity) AS remarks,
                     -- what the statement that stopped ends itself when it runs again needs no other
                     string_agg(o.fix, ' ' ORDER BY o.identity) FILTER (WHERE NOT (l ->> 'again')::boolean) AS fixes
                FROM jsonb_array_elements(f.details -> 'left') l
                JOIN migrollback_schema.unfinished_schema_objects() o ON o.object_id = (l ->> 'object_id')::oid) u
         WHERE f.completed > 0 OR u.identities IS NOT NULL)
    SELECT f.of, f.way, f.completed, coalesce((f.details ->> 'statements')::int, f.known), f.occurred_at,
           f.details ->> 'message', coalesce(f.identities, '{}'),
           migrollback_schema.half_applied_words(f.of, f.way, f.status, f.completed,
                                                 coalesce((f.details ->> 'statements')::int, f.known), f.remarks,
                                                 f.fixes)
      FROM found f ORDER BY f.occurred_at DESC, f.of COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.half_applied_migrations(text) IS
    'Migrations (one, or all) that run outside a transaction and stopped on the way, the newest first. direction: '
    'apply (not registered, or rolled back, and some statements of it ran) or rollback (still applied or failed, and '
    'some statements of its rollback ran); statements: how many it has, NULL where that is not known; message: the '
    'error that stopped it; left_unfinished: what of unfinished_schema_objects() it left and is still there; remark: '
    'all this in words, with the fix. Another session may be at work on it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.half_applied_words(
    name text, direction text, status text, completed int, statements int, remarks text, fixes text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE direction WHEN 'apply' THEN 'Half applied: ' ELSE 'Half rolled back: ' END
        || CASE WHEN statements IS NULL THEN format('%s statement%s ran and stay%s', completed,
                                                    CASE WHEN completed <> 1 THEN 's' END,
                                                    CASE WHEN completed = 1 THEN 's' END)
                ELSE format('%s of %s statements ran', completed, statements) END
        || coalesce('; ' || remarks, '') || '. '
        || coalesce('Run ' || fixes || ' Then: ', 'To go on: ')
        || CASE WHEN direction = 'apply' THEN 'migrollback apply ' || name
                WHEN status = 'failed' THEN format('migrollback resolve %s --as applied --reason TEXT, then '
                                                   'migrollback rollback %1$s', name)
                ELSE 'migrollback rollback ' || name END
        || CASE WHEN completed > 0 THEN ', which resumes' ELSE '' END
        || CASE WHEN direction = 'apply' THEN format('. Or undo it by hand, then: migrollback resolve %s --as '
                                                     'rolled_back --reason TEXT', name) ELSE '' END
$function$;
COMMENT ON FUNCTION migrollback_schema.half_applied_words(text, text, text, int, int, text, text) IS
    'A row of half_applied_migrations() in words. remarks, fixes: of what it left unfinished, NULL where nothing. Does '
    'not write.';
