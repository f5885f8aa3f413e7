-- ---------------------------------------------------------------------------------------------------
-- A rehearsal stalls no one: who waits behind it is watched from a second session, which has it cancelled in time.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.sessions_stalled_by(holder int)
RETURNS TABLE (pid int, "user" text, application_name text, relation text, mode text, waits_since timestamptz,
               directly boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    PERFORM pg_stat_clear_snapshot();   -- else a transaction sees the sessions of its first look
    RETURN QUERY
    WITH RECURSIVE waiting AS MATERIALIZED (
        SELECT l.pid, l.relation, l.mode, (to_jsonb(l) ->> 'waitstart')::timestamptz AS since,     -- from 14 on
               pg_blocking_pids(l.pid) AS behind
          FROM pg_locks l WHERE NOT l.granted AND l.pid <> holder),
    stalled AS (
        SELECT w.pid, true AS directly FROM waiting w WHERE holder = ANY (w.behind)
        UNION
        SELECT w.pid, false FROM waiting w JOIN stalled s ON s.pid = ANY (w.behind))
    SELECT w.pid, a.usename::text, nullif(a.application_name, ''),
           (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = w.relation),
           migrollback_schema.lock_mode_words(w.mode), w.since, s.directly
      FROM (SELECT f.pid, bool_or(f.directly) AS directly FROM stalled f GROUP BY f.pid) s
      JOIN waiting w ON w.pid = s.pid
      -- autovacuum has no user, and comes again by itself
      JOIN pg_stat_activity a ON a.pid = w.pid AND a.usesysid IS NOT NULL
     ORDER BY w.since, w.pid;
END $function$;
COMMENT ON FUNCTION migrollback_schema.sessions_stalled_by(int) IS
    'Sessions that wait for a lock behind this process, or behind one that does; autovacuum does not count. '
    'waits_since: NULL before PostgreSQL 14; directly: behind the process itself. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.watch_rehearsal(
    watch bigint, max_stall_ms int, patience_ms int DEFAULT 60000)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    -- what a cancel may take until the locks are gone
    bound_ms constant numeric := max_stall_ms - least(60, max_stall_ms / 5.0);
    patience constant timestamptz := clock_timestamp() + make_interval(secs => patience_ms / 1000.0);
    here     constant oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
    gate     constant oid := to_regclass(format(
        '%s.%I', 'migrollback_schema', migrollback_schema.migration_gate_name('migration_gate')));
    holder   int;
    waiting  bigint;
    began    timestamptz;               -- when the rehearsal was first seen
    looked   timestamptz := clock_timestamp();
    before   timestamptz;               -- the look before this one
    known    jsonb := '{}';             -- process -> since when it is stalled
    now_known jsonb;
    stalled  record;
    since    timestamptz;
    found    jsonb;
    again    timestamptz;               -- when the cancel is sent once more
BEGIN
    LOOP
        before := looked;
        looked := clock_timestamp();
        -- Any role can read the number in pg_locks and take the lock too: the rehearsal is who has the gate besides,
        -- which is one at a time and no stranger.
        WITH held AS MATERIALIZED (SELECT l.* FROM pg_locks l)
        SELECT max(l.pid) FILTER (WHERE l.locktype = 'advisory' AND l.granted AND l.database = here AND l.objsubid = 1
                                  AND (l.classid::bigint << 32 | l.objid::bigint) = watch
                                  AND l.pid IN (SELECT g.pid FROM held g WHERE g.locktype = 'relation' AND g.granted
                                                AND g.database = here AND g.relation = gate
                                                AND g.mode = 'ExclusiveLock')),
               count(*) FILTER (WHERE NOT l.granted)
          INTO holder, waiting FROM held l;
        EXIT WHEN holder IS NULL AND (began IS NOT NULL OR looked > patience);
        began := coalesce(began, CASE WHEN holder IS NOT NULL THEN looked END);
        now_known := '{}';
        IF found IS NOT NULL THEN
            IF looked > again THEN      -- SQL may catch a cancel, and go on
                PERFORM pg_cancel_backend(holder);
                again := looked + interval '200 ms';
            END IF;
        ELSIF holder IS NOT NULL AND waiting > 0 THEN
            FOR stalled IN SELECT s.* FROM migrollback_schema.sessions_stalled_by(holder) s LOOP
                since := greatest(coalesce(CASE WHEN stalled.directly THEN stalled.waits_since END,
                                           (known ->> stalled.pid::text)::timestamptz, before), began);
                now_known := now_known || jsonb_build_object(stalled.pid, since);
                IF extract(epoch FROM clock_timestamp() - since) * 1000 >= bound_ms THEN
                    PERFORM pg_cancel_backend(holder);
                    again := looked + interval '200 ms';
                    found := jsonb_build_object(
                        'pid', stalled.pid, 'user', stalled."user", 'application_name', stalled.application_name,
                        'relation', stalled.relation, 'mode', stalled.mode,
                        'waited_ms', round(extract(epoch FROM clock_timestamp() - since)::numeric * 1000));
                    EXIT;
                END IF;
            END LOOP;
        END IF;
        known := now_known;
        -- where there are very many locks, looking takes no more than a fifth of the time
        PERFORM pg_sleep(least(greatest(0.02, extract(epoch FROM clock_timestamp() - looked) * 4), 0.2));
    END LOOP;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.watch_rehearsal(bigint, int, int) IS
    'Watches from a second session over rehearse_migration_rollbacks(watch => the same number), and cancels it before '
    'anyone has waited behind it for longer than max_stall_ms; waits for it no longer than patience_ms. Returns when '
    'the rehearsal no longer holds its locks: whom it was cancelled for (pid, user, application_name, relation, mode, '
    'waited_ms), or NULL. Does not write.';
