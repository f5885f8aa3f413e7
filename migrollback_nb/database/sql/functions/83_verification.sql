-- ---------------------------------------------------------------------------------------------------
-- Verification: is the schema, after a rollback, as it was before the migration was applied? Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.was_there_before(name text, old_snapshot uuid, new_snapshot uuid)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    -- Registered late: a file that was bad before, or a ledger that could not be read. By the ledger's time where that
    -- is beyond doubt; else by what its file says that it created, of which nothing came in between.
    SELECT coalesce((SELECT h.metadata ->> 'applied_at_from' = 'ledger' AND h.applied_at < s.taken_at
                       FROM migrollback_schema.migration_history h, migrollback_schema.migration_snapshots s
                      WHERE h.migration_name = was_there_before.name AND s.id = old_snapshot), false)
        OR coalesce((SELECT bool_and(o.objects #> ARRAY[m.kind, m.identity]
                                     IS NOT DISTINCT FROM n.objects #> ARRAY[m.kind, m.identity])
                       FROM migrollback_schema.migration_objects m, migrollback_schema.migration_snapshots o,
                            migrollback_schema.migration_snapshots n
                      WHERE m.migration_name = was_there_before.name AND m.source = 'parsed' AND m.action = 'created'
                        AND o.id = old_snapshot AND n.id = new_snapshot), false)
$function$;
COMMENT ON FUNCTION migrollback_schema.was_there_before(text, uuid, uuid) IS
    'Whether a migration that was registered between these two snapshots had been applied before the older of them '
    'already, as far as that can be told. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_apply_intervals(names text[])
RETURNS TABLE (migration_name text, applied_number bigint, old_snapshot uuid, new_snapshot uuid, alone boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH came AS (                      -- each time that one of them was applied
        SELECT e.migration_name, e.event_number, e.event = 'applied' AS by_us, e.event = 'registered' AS is_new,
               lead(e.event_number) OVER (PARTITION BY e.migration_name ORDER BY e.event_number) AS next_number
          FROM migrollback_schema.migration_events e
         WHERE e.migration_name = ANY (names)
           AND (e.event IN ('applied', 'applied_again')
                OR e.event = 'registered' AND e.details ->> 'what' = 'registered')
           -- applied since by its deploy tool from another text: what was before and after that was another change
           AND NOT EXISTS (SELECT FROM migrollback_schema.migration_events o
                            WHERE o.migration_name = e.migration_name AND o.event = 'applied_again'
                              AND o.event_number > e.event_number
                              AND o.details ->> 'checksum' IS DISTINCT FROM e.details ->> 'checksum')),
    taken AS MATERIALIZED (
        SELECT s.event_number, s.details ->> 'moment' AS moment, (s.details ->> 'snapshot')::uuid AS snapshot,
               s.details -> 'migrations' AS migrations,
               s.details -> 'migrations' <@ to_jsonb(names) AS alone
        FROM migrollback_schema.migration_events s
        WHERE s.event = 'snapshot_taken' AND s.details ->> 'moment' IN ('before apply', 'after apply', 'after sync')
          AND s.details -> 'migrations' ?| names),
    intervals AS (
        SELECT c.migration_name, c.event_number, b.snapshot AS old_snapshot, a.snapshot AS new_snapshot, b.alone,
               false AS is_replayed
          FROM came c
          CROSS JOIN LATERAL (SELECT t.* FROM taken t
                               WHERE t.moment = 'before apply' AND t.event_number < c.event_number
                                 AND t.migrations ? c.migration_name ORDER BY t.event_number DESC LIMIT 1) b
          CROSS JOIN LATERAL (SELECT t.* FROM taken t
                               WHERE t.moment = 'after apply' AND t.event_number > c.event_number
                                 AND t.migrations ? c.migration_name ORDER BY t.event_number LIMIT 1) a
         WHERE c.by_us
        UNION ALL
        SELECT c.migration_name, c.event_number, b.snapshot, a.snapshot, a.alone, false
          FROM came c
          CROSS JOIN LATERAL (SELECT t.* FROM taken t
                               WHERE t.moment = 'after sync' AND t.event_number > c.event_number
                                 AND t.event_number < coalesce(c.next_number, t.event_number + 1)
                                 AND t.migrations ? c.migration_name ORDER BY t.event_number LIMIT 1) a
          CROSS JOIN LATERAL (SELECT s.event_number, (s.details ->> 'snapshot')::uuid AS snapshot
                                FROM migrollback_schema.migration_events s
                               WHERE s.event = 'snapshot_taken' AND s.event_number < c.event_number
                                 AND s.details ->> 'moment' IS DISTINCT FROM 'apply, replayed'
                               ORDER BY s.event_number DESC LIMIT 1) b
         -- who of several did what was recorded of none
         WHERE NOT c.by_us AND a.alone
           -- what others did in between would be taken for its
           AND NOT EXISTS (SELECT FROM migrollback_schema.migration_events o
                            WHERE o.event_number > b.event_number AND o.event_number < a.event_number
                              AND (o.event IN ('applied', 'rolled_back', 'statement_completed')
                                   OR o.event IN ('registered', 'applied_again')
                                      AND NOT a.migrations ? o.migration_name))
           AND NOT (c.is_new AND migrollback_schema.was_there_before(c.migration_name, b.snapshot, a.snapshot))
        UNION ALL                       -- a replay of the folder, where nothing better is known
        SELECT c.migration_name, c.event_number, (r.details ->> 'before')::uuid, (r.details ->> 'snapshot')::uuid, true,
               true
          FROM came c
          JOIN LATERAL (SELECT s.details FROM migrollback_schema.migration_events s
                         WHERE s.event = 'snapshot_taken' AND s.migration_name = c.migration_name
                           AND s.details ->> 'moment' = 'apply, replayed' AND s.event_number > c.event_number
                         ORDER BY s.event_number DESC LIMIT 1) r ON true)
    SELECT DISTINCT ON (i.migration_name) i.migration_name, i.event_number, i.old_snapshot, i.new_snapshot, i.alone
      FROM intervals i
     WHERE (SELECT count(*) FROM migrollback_schema.migration_snapshots s
             WHERE s.id IN (i.old_snapshot, i.new_snapshot))
           = CASE WHEN i.old_snapshot = i.new_snapshot THEN 1 ELSE 2 END
     ORDER BY i.migration_name, i.is_replayed, i.event_number DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_apply_intervals(text[]) IS
    'The snapshots that were taken before and after the run in which each of these migrations was applied last, by us '
    'or, as the snapshots at the ends of two syncs show it, by its deploy tool; alone: whether that run was of these '
    'migrations only. Else those of a replay of the folder (store_replayed_schema()). No row where there are none. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.verify_by_rehearsal(
    unknown text[], foretold jsonb, changes jsonb, OUT verdict text, OUT message text, OUT unexpected jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    why constant text := 'there is no snapshot from before ' || array_to_string(unknown, ', ')
        || CASE WHEN cardinality(unknown) = 1 THEN ' was' ELSE ' were' END || ' applied';
BEGIN
    unexpected := '[]';
    IF foretold IS NULL OR changes IS NULL THEN
        verdict := 'unknown';
        message := 'Not verified: ' || why;
        RETURN;
    END IF;
    unexpected := coalesce((
        SELECT jsonb_agg(c.value) FROM jsonb_array_elements(changes) c
         WHERE NOT foretold @> jsonb_build_array(jsonb_build_array(
                   c.value ->> 'change', c.value ->> 'kind', c.value ->> 'identity',
                   md5((c.value -> 'new_definition')::text)))), '[]');
    verdict := CASE WHEN unexpected = '[]' AND jsonb_array_length(foretold) = jsonb_array_length(changes)
                    THEN 'as rehearsed' ELSE 'not as rehearsed' END;
    message := CASE verdict
        WHEN 'as rehearsed' THEN format('As rehearsed: the rollback changed what its rehearsal had foretold (%s)', why)
        ELSE format('Not as rehearsed: the rollback changed something else than its rehearsal had foretold (%s)',
                    why) END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.verify_by_rehearsal(text[], jsonb, jsonb) IS
    'verify_migration_rollback() where there is no snapshot from before some migrations (unknown) were applied: '
    'foretold: what the rehearsal of this very rollback changed; changes: what the rollback changed, NULL where that '
    'is not known. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.unmet_expectations(expected jsonb, objects_now jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH wanted AS (
        SELECT e.key::jsonb ->> 0 AS kind, e.key::jsonb ->> 1 AS identity, nullif(e.value, 'null') AS definition
        FROM jsonb_each(expected) e),
    found AS (SELECT k.kind, k.identity, objects_now #> ARRAY[k.kind, k.identity] AS definition FROM wanted k)
    SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') FROM migrollback_schema.schema_changes(
        (SELECT jsonb_object_agg(g.kind, g.objects)
         FROM (SELECT kind, jsonb_object_agg(identity, definition) AS objects FROM wanted
               WHERE definition IS NOT NULL GROUP BY kind) g),
        (SELECT jsonb_object_agg(g.kind, g.objects)
         FROM (SELECT kind, jsonb_object_agg(identity, definition) AS objects FROM found
               WHERE definition IS NOT NULL GROUP BY kind) g)) c
$function$;
COMMENT ON FUNCTION migrollback_schema.unmet_expectations(jsonb, jsonb) IS
    'Rows of schema_changes() from what should be there to what is. expected: [kind, identity] as text -> definition, '
    'null of what should not be there. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_after_rollback(
    names text[], objects_before jsonb, objects_now jsonb, changes jsonb, OUT unknown text[], OUT differences jsonb,
    OUT unexpected jsonb, OUT remarks text, OUT apart boolean, OUT uncompared int, OUT replayed boolean,
    OUT unseen int)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    run           record;
    runs          jsonb;
    -- all four unpacked once (|| '{}'), and read by #>, which copies no part that is only passed through
    old_objects   jsonb;
    new_objects   jsonb;
    expected      jsonb := '{}';        -- [kind, identity] as text -> the definition that should be there, or null
    shared        record;
    late          record;               -- outside of the scope
BEGIN
    differences := '[]';
    unexpected := '[]';
    apart := false;                     -- some were applied together with others that stay
    uncompared := 0;                    -- objects of theirs of which no definition from before is known
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'number', w.applied_number, 'old', w.old_snapshot, 'new', w.new_snapshot,
               'only', CASE WHEN NOT w.alone THEN n.name END)) FILTER (WHERE w.migration_name IS NOT NULL), '[]'),
           coalesce(array_agg(n.name ORDER BY n.place) FILTER (WHERE w.migration_name IS NULL), '{}')
      INTO runs, unknown
      FROM unnest(names) WITH ORDINALITY AS n (name, place)
      LEFT JOIN migrollback_schema.migration_apply_intervals(names) w ON w.migration_name = n.name
        AND (w.alone OR NOT migrollback_schema.renames_in_its_run(n.name));
    IF cardinality(unknown) > 0 THEN
        RETURN;
    END IF;

    -- From the newest run to the oldest, each undone on paper. Runs that meet in one snapshot are one.
    FOR run IN
        WITH one AS (
            SELECT r ->> 'old' AS old, r ->> 'new' AS new, r ->> 'only' AS only, max((r ->> 'number')::bigint) AS number
            FROM jsonb_array_elements(runs) r GROUP BY 1, 2, 3),
        edge AS (
            SELECT o.*, o.only IS NULL AND lag(o.only) OVER ordered IS NULL AND o.old = lag(o.new) OVER ordered AS joins
            FROM one o WINDOW ordered AS (ORDER BY o.number)),
        grouped AS (SELECT e.*, count(*) FILTER (WHERE e.joins IS NOT TRUE) OVER (ORDER BY e.number) AS grp FROM edge e)
        SELECT (array_agg(g.old ORDER BY g.number))[1]::uuid AS old,
               (array_agg(g.new ORDER BY g.number DESC))[1]::uuid AS new, max(g.only) AS only
        FROM grouped g GROUP BY g.grp ORDER BY max(g.number) DESC
    LOOP
        SELECT s.objects || '{}' INTO STRICT old_objects FROM migrollback_schema.migration_snapshots s
          WHERE s.id = run.old;
        SELECT s.objects || '{}' INTO STRICT new_objects FROM migrollback_schema.migration_snapshots s
          WHERE s.id = run.new;
        IF run.only IS NOT NULL THEN
            shared := migrollback_schema.expected_of_shared_run(run.only, old_objects, new_objects, objects_now);
            apart := true;
            expected := migrollback_schema.expected_of_unrecorded(old_objects, new_objects, changes) || expected
                || shared.expected;
            uncompared := uncompared + shared.uncompared;
            CONTINUE;
        END IF;
        expected := expected || coalesce((
            SELECT jsonb_object_agg(k.key, migrollback_schema.undone_definition(to_jsonb(c), k.now, old_objects))
            FROM migrollback_schema.schema_changes(old_objects, new_objects) c
            CROSS JOIN LATERAL (
                SELECT o.key, CASE WHEN expected ? o.key THEN nullif(expected -> o.key, 'null')
                                   ELSE coalesce(objects_before #> ARRAY[c.kind, c.identity],
                                                 CASE WHEN objects_before IS NULL THEN c.new_definition END) END AS now
                FROM (SELECT jsonb_build_array(c.kind, c.identity)::text AS key) o) k
            WHERE c.change <> 'reordered'), '{}');
        -- A column that was dropped and comes back stands at the end: the order that was there is worth a remark.
        expected := coalesce((
            SELECT jsonb_object_agg(jsonb_build_array(t.kind, r.key)::text,
                       coalesce(objects_before #> ARRAY[t.kind, r.key], objects_now #> ARRAY[t.kind, r.key])
                       || jsonb_build_object('columns', r.value -> 'columns'))
            FROM (VALUES ('table'), ('partitioned table'), ('foreign table')) AS t (kind)
            CROSS JOIN LATERAL jsonb_each(old_objects -> t.kind) r
            WHERE new_objects #> ARRAY[t.kind, r.key, 'columns'] <> r.value -> 'columns'
              AND objects_now #> ARRAY[t.kind, r.key] IS NOT NULL), '{}') || expected;
    END LOOP;

    late := migrollback_schema.seen_late_outside(names, expected, objects_before, objects_now);
    expected := expected - late.keys;
    unseen := cardinality(late.uncompared);
    uncompared := uncompared + unseen;
    SELECT j.differences, j.unexpected, j.remarks || late.remark INTO differences, unexpected, remarks
      FROM migrollback_schema.judge_rollback(expected, objects_now, CASE WHEN late.uncompared = '{}' THEN changes ELSE (
               SELECT coalesce(jsonb_agg(c.value ORDER BY c.place), '[]')
                 FROM jsonb_array_elements(changes) WITH ORDINALITY AS c (value, place)
                WHERE jsonb_build_array(c.value ->> 'kind', c.value ->> 'identity')::text <> ALL (late.uncompared))
               END) j;
    replayed := EXISTS (SELECT FROM jsonb_array_elements(runs) r
                          JOIN migrollback_schema.migration_snapshots s ON s.id = (r ->> 'old')::uuid
                         WHERE s.description = 'replay of the folder');
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_after_rollback(text[], jsonb, jsonb, jsonb) IS
    'Compares a schema after a rollback of these migrations (objects_now, as schema_snapshot() gives them) with what '
    'it was before they were applied. objects_before: the schema before the rollback, or NULL; changes: rows of '
    'schema_changes() from it. unknown: those of which no snapshot from before is there, and then nothing is '
    'compared; differences and unexpected as verify_migration_rollback() gives them; remarks: on what means nothing; '
    'apart: some were applied together with others that stay; uncompared: definitions of which nothing is known; '
    'replayed: compared with a replay of the folder; unseen: how many of the uncompared lie outside of the scope. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.verify_migration_rollback(
    names text[], old_snapshot uuid DEFAULT NULL, new_snapshot uuid DEFAULT NULL, fingerprint text DEFAULT NULL)
RETURNS TABLE (verdict text, message text, changes jsonb, differences jsonb, unexpected jsonb, effects jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    objects_before jsonb;
    objects_now   jsonb;
    found         record;
    reordered     text;
    outside       record;
BEGIN
    IF old_snapshot IS NOT NULL THEN
        objects_before := migrollback_schema.snapshot_objects(old_snapshot);
    END IF;
    objects_now := CASE WHEN new_snapshot IS NULL THEN migrollback_schema.schema_snapshot()
                        ELSE migrollback_schema.snapshot_objects(new_snapshot) END;
    changes := coalesce((SELECT jsonb_agg(to_jsonb(c))
                         FROM migrollback_schema.schema_changes(objects_before, objects_now) c
                          WHERE objects_before IS NOT NULL), '[]');
    outside := migrollback_schema.outside_of_rollbacks(names);
    changes := changes || outside.changes;
    effects := migrollback_schema.effects_after_rollback(names, old_snapshot, new_snapshot, fingerprint, changes);
    found := migrollback_schema.schema_after_rollback(names, objects_before, objects_now, changes);
    differences := found.differences;
    unexpected := found.unexpected;
    IF cardinality(found.unknown) > 0 THEN
        SELECT v.verdict, v.message, v.unexpected INTO verdict, message, unexpected
          FROM migrollback_schema.verify_by_rehearsal(found.unknown, (
                   SELECT e.details -> 'foretold' FROM migrollback_schema.migration_events e
                    WHERE e.event = 'rehearsed' AND e.migration_name = names[cardinality(names)]
                      AND e.details ->> 'fingerprint' = fingerprint AND e.details ->> 'success' = 'true'
                    ORDER BY e.event_number DESC LIMIT 1),
                   CASE WHEN objects_before IS NOT NULL THEN changes END) v;
        RETURN NEXT;
        RETURN;
    END IF;
    IF differences || unexpected = '[]' AND found.uncompared = 0 THEN
        -- what was another's is as it was: the migration itself had changed it
        effects := (SELECT coalesce(jsonb_agg(e.value ORDER BY e.place), '[]')
                      FROM jsonb_array_elements(effects) WITH ORDINALITY AS e (value, place)
                     WHERE e.value ->> 'effect' <> 'takes_other');
    END IF;
    reordered := (SELECT string_agg(DISTINCT c ->> 'identity', ', ') FROM jsonb_array_elements(differences || changes) c
                   WHERE c ->> 'change' = 'reordered');
    verdict := CASE WHEN unexpected <> '[]' OR EXISTS (
                        SELECT FROM jsonb_array_elements(differences) c WHERE c ->> 'change' <> 'reordered')
                    THEN 'differs'
                    WHEN migrollback_schema.effects_that_remain(effects) <> '[]'
                         OR outside.unknown <> '{}' OR found.unseen > 0 THEN 'schema_restored'
                    ELSE 'restored' END;
    message := migrollback_schema.verification_message(cardinality(names), differences, unexpected, reordered,
                                                       found.apart, found.uncompared, effects)
        || coalesce(' (' || nullif(found.remarks, '') || ')', '')
        || CASE WHEN found.replayed THEN ' (compared with a replay of the folder)' ELSE '' END
        || CASE WHEN outside.unknown <> '{}' THEN ' (not known: what it did outside of the scope)' ELSE '' END;
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION migrollback_schema.verify_migration_rollback(text[], uuid, uuid, text) IS
    'Compares the schema after a rollback of these migrations with what it was before they were applied; what others '
    'changed since counts as it is. old_snapshot, new_snapshot: from before and after the rollback, by default none '
    'and now. verdict: restored (schema, values and state), schema_restored, differs, or, without a snapshot from '
    'before they were applied: as rehearsed, not as rehearsed (with the fingerprint of a rehearsal), unknown. changes: '
    'all that the rollback changed; differences: '
    'what should be there, and what is; unexpected: changes of what these migrations had not touched; each an array '
    'of rows of schema_changes(). effects: what else remains, and what went (effects_after_rollback()). Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.verify_last_rollback(name text, client text DEFAULT NULL)
RETURNS TABLE (verdict text, message text, changes jsonb, differences jsonb, unexpected jsonb, migrations text[],
               effects jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    ended       record;
    state       text;
    begun       bigint;                 -- the first event of the attempt
    old_snapshot uuid;
    new_snapshot uuid;
    fingerprint text;
    signs       constant jsonb := '{"created": "+", "changed": "~", "reordered": "~", "dropped": "-"}';
BEGIN
    SELECT h.status INTO state FROM migrollback_schema.migration_history h
      WHERE h.migration_name = verify_last_rollback.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Migration not found' USING ERRCODE = 'MR001', DETAIL = verify_last_rollback.name;
    END IF;
    SELECT e.event_number, e.attempt_id INTO ended FROM migrollback_schema.migration_events e
     WHERE e.migration_name = verify_last_rollback.name AND e.event = 'rolled_back'
       ORDER BY e.event_number DESC LIMIT 1;
    IF NOT FOUND OR state <> 'rolled_back' THEN
        RAISE EXCEPTION 'there is no rollback of % to verify: its status is %', verify_last_rollback.name, state
            USING ERRCODE = 'MR002';
    END IF;
    -- A chain is verified as a whole; what was applied again since has no part in it any more.
    SELECT coalesce(array_agg(e.migration_name ORDER BY e.event_number), ARRAY[verify_last_rollback.name]),
           coalesce(max(e.event_number), ended.event_number)
      INTO migrations, ended.event_number
      FROM migrollback_schema.migration_events e
        JOIN migrollback_schema.migration_history h ON h.migration_name = e.migration_name AND h.status = 'rolled_back'
     WHERE e.attempt_id = ended.attempt_id AND e.event = 'rolled_back';
    SELECT coalesce(min(e.event_number), ended.event_number), max(e.details ->> 'fingerprint') INTO begun, fingerprint
      FROM migrollback_schema.migration_events e WHERE e.attempt_id = ended.attempt_id AND e.event = 'started';
    -- From before: the last one before this attempt, unless another attempt came between.
    SELECT (e.details ->> 'snapshot')::uuid INTO old_snapshot FROM migrollback_schema.migration_events e
     WHERE e.event = 'snapshot_taken' AND e.details ->> 'moment' = 'before rollback'
       AND e.details -> 'migrations' ? verify_last_rollback.name AND e.event_number < begun
       AND e.event_number > coalesce((SELECT max(o.event_number) FROM migrollback_schema.migration_events o
                                       WHERE o.migration_name = verify_last_rollback.name AND o.event_number < begun
                                         AND o.event IN ('started', 'rolled_back', 'applied')), 0)
     ORDER BY e.event_number DESC LIMIT 1;
    -- From after: the first one since, of whatever; what was done later is no matter of this rollback.
    SELECT (e.details ->> 'snapshot')::uuid INTO new_snapshot FROM migrollback_schema.migration_events e
     WHERE e.event = 'snapshot_taken' AND e.event_number > ended.event_number
       AND e.details ->> 'moment' IS DISTINCT FROM 'apply, replayed' ORDER BY e.event_number LIMIT 1;
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_snapshots s WHERE s.id = old_snapshot) THEN
        old_snapshot := NULL;           -- deleted since
    END IF;
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_snapshots s WHERE s.id = new_snapshot) THEN
        new_snapshot := migrollback_schema.create_migration_snapshot(verify_last_rollback.name, NULL::text,
            'after rollback', migrations, verify_last_rollback.client, NULL::text[]);
    END IF;
    SELECT v.verdict, v.message, v.changes, v.differences, v.unexpected, v.effects
      INTO verdict, message, changes, differences, unexpected, effects
      FROM migrollback_schema.verify_migration_rollback(migrations, old_snapshot, new_snapshot, fingerprint) v;
    PERFORM migrollback_schema.add_migration_event('verified', verify_last_rollback.name, NULL::uuid, NULL::text,
                                                   verify_last_rollback.client, jsonb_build_object(
        'verdict', verdict, 'message', message, 'migrations', migrations, 'effects', effects,
        'differences', (SELECT coalesce(jsonb_agg(concat_ws(' ', signs ->> (c.value ->> 'change'),
                                                            c.value ->> 'kind', c.value ->> 'identity')
                                                            ORDER BY c.place), '[]')
                          FROM jsonb_array_elements(differences) WITH ORDINALITY AS c (value, place)
                            WHERE c.place <= 50),
        'unexpected', (SELECT coalesce(jsonb_agg(concat_ws(' ', signs ->> (c.value ->> 'change'),
                                                           c.value ->> 'kind', c.value ->> 'identity')
                                                           ORDER BY c.place), '[]')
                         FROM jsonb_array_elements(unexpected) WITH ORDINALITY AS c (value, place)
                           WHERE c.place <= 50)));
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION migrollback_schema.verify_last_rollback(text, text) IS
    'Writes the event verified, and a snapshot where none was taken since. Verifies the last rollback of this '
    'migration, with those that were rolled back together with it (migrations), as verify_migration_rollback() does, '
    'for a rollback that could not be verified when it was made: it finds the snapshots from before and after. '
    'SQLSTATE MR001: not found; MR002: it is not rolled back.';
