-- ---------------------------------------------------------------------------------------------------
-- Throwing away snapshots that nothing needs any more.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.snapshots_still_needed() RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT coalesce(array_agg(DISTINCT n.id), '{}') FROM (
        -- with which a rollback of what is applied, or was, is compared
        SELECT s.id FROM migrollback_schema.migration_apply_intervals(
                   ARRAY(SELECT h.migration_name FROM migrollback_schema.migration_history h)) i
        CROSS JOIN LATERAL (VALUES (i.old_snapshot), (i.new_snapshot)) AS s (id)
        UNION ALL
        -- around a rollback that is not verified yet
        SELECT (e.details ->> 'snapshot')::uuid
        FROM migrollback_schema.migration_events e
        CROSS JOIN LATERAL jsonb_array_elements_text(e.details -> 'migrations') AS m (name)
        JOIN migrollback_schema.migration_history h ON h.migration_name = m.name AND h.status = 'rolled_back'
        WHERE e.event = 'snapshot_taken' AND e.details ->> 'moment' IN ('before rollback', 'after rollback')
          AND NOT EXISTS (SELECT FROM migrollback_schema.migration_events v
                           WHERE v.event = 'verified' AND v.event_number > e.event_number
                             AND (v.migration_name = m.name OR v.details -> 'migrations' ? m.name))
        UNION ALL
        -- what was before the next apply, and what drift is counted from
        (SELECT s.id FROM migrollback_schema.migration_snapshots s ORDER BY s.taken_at DESC LIMIT 1)) n
    WHERE n.id IS NOT NULL
$function$;
COMMENT ON FUNCTION migrollback_schema.snapshots_still_needed() IS
    'Ids of the snapshots that a verification of a rollback still needs, and of the newest. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.prune_migration_snapshots(
    older_than timestamptz, client text DEFAULT NULL)
RETURNS TABLE (pruned bigint, needed bigint, bytes bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    kept uuid[];
    gone uuid[];
BEGIN
    IF older_than IS NULL THEN
        RAISE EXCEPTION 'how old snapshots are to be was not said' USING ERRCODE = 'MR006';
    END IF;
    PERFORM migrollback_schema.lock_migrations();
    kept := migrollback_schema.snapshots_still_needed();
    SELECT count(*) FILTER (WHERE s.id = ANY (kept)),
           coalesce(sum(pg_column_size(s.objects)) FILTER (WHERE s.id <> ALL (kept)), 0)::bigint
      INTO needed, bytes
      FROM migrollback_schema.migration_snapshots s WHERE s.taken_at < older_than;
    WITH deleted AS (
        DELETE FROM migrollback_schema.migration_snapshots s
         WHERE s.taken_at < older_than AND s.id <> ALL (kept) RETURNING s.id)
    SELECT coalesce(array_agg(d.id), '{}') INTO gone FROM deleted d;
    pruned := cardinality(gone);
    IF pruned > 0 THEN
        DELETE FROM migrollback_schema.migration_states t WHERE t.snapshot = ANY (gone);
        PERFORM migrollback_schema.add_migration_event('snapshots_pruned', NULL::text, NULL::uuid, NULL::text,
            prune_migration_snapshots.client,
            jsonb_build_object('snapshots', to_jsonb(gone), 'older_than', older_than));
    END IF;
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION migrollback_schema.prune_migration_snapshots(timestamptz, text) IS
    'Writes: throws away the snapshots that were taken before then, but for snapshots_still_needed(), with an event. '
    'Returns how many went, how many as old are still needed, and the bytes that went. SQLSTATE MR006: no time.';
