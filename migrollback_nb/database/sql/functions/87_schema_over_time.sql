-- ---------------------------------------------------------------------------------------------------
-- The schema over time, by its snapshots: what changed between two moments, and what no migration did.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.snapshots_in_order()
RETURNS TABLE (event_number bigint, occurred_at timestamptz, snapshot uuid, moment text, migrations text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT e.event_number, e.occurred_at, s.id, e.details ->> 'moment',
           ARRAY(SELECT m.name
                   FROM jsonb_array_elements_text(coalesce(nullif(e.details -> 'migrations', 'null'), '[]'))
                        WITH ORDINALITY AS m (name, place) ORDER BY m.place)
    FROM migrollback_schema.migration_events e
    JOIN migrollback_schema.migration_snapshots s ON s.id::text = e.details ->> 'snapshot'
    WHERE e.event = 'snapshot_taken' AND e.details ->> 'moment' IS DISTINCT FROM 'apply, replayed'
    ORDER BY e.event_number
$function$;
COMMENT ON FUNCTION migrollback_schema.snapshots_in_order() IS
    'Each time that a snapshot of this schema was taken, or found to be as the one before, in order. moment: "before '
    'apply" and the like, NULL for one that was asked for. Those of replays elsewhere are left out. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.snapshot_at(moment timestamptz)
RETURNS TABLE (snapshot uuid, taken_at timestamptz, is_exact boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH taken AS MATERIALIZED (SELECT t.* FROM migrollback_schema.snapshots_in_order() t),
    candidate AS (
        (SELECT t.*, 1 AS place FROM taken t WHERE t.occurred_at <= snapshot_at.moment
          ORDER BY t.event_number DESC LIMIT 1)
        UNION ALL
        (SELECT t.*, 2 FROM taken t WHERE t.occurred_at > snapshot_at.moment ORDER BY t.event_number LIMIT 1)),
    judged AS (
        SELECT c.*, NOT EXISTS (
            SELECT FROM migrollback_schema.migration_status_events() s
             WHERE s.status <> 'failed'
               AND s.occurred_at > least(c.occurred_at, snapshot_at.moment)
               AND s.occurred_at <= greatest(c.occurred_at, snapshot_at.moment)) AS is_exact
        FROM candidate c)
    SELECT j.snapshot, j.occurred_at, j.is_exact FROM judged j ORDER BY j.is_exact DESC, j.place LIMIT 1
$function$;
COMMENT ON FUNCTION migrollback_schema.snapshot_at(timestamptz) IS
    'The snapshot that tells best how the schema was at a moment: the last before it, or the next after it where only '
    'before that one no migration came or went. is_exact: none did between the snapshot and the moment. No row: there '
    'is no snapshot. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.changes_with_names(old_schema jsonb, new_schema jsonb)
RETURNS TABLE (change text, kind text, schema text, "table" text, object text, identity text, old_definition jsonb,
               new_definition jsonb)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT c.change, c.kind, n.schema, n."table", n.object, c.identity, c.old_definition, c.new_definition
    FROM migrollback_schema.schema_changes(old_schema, new_schema) c
    CROSS JOIN LATERAL migrollback_schema.object_names(
        c.kind, c.identity, coalesce(c.new_definition ->> 'on', c.old_definition ->> 'on')) n
$function$;
COMMENT ON FUNCTION migrollback_schema.changes_with_names(jsonb, jsonb) IS
    'schema_changes(), and what the identities say: schema, "table", object. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_changes_between(
    since timestamptz, until timestamptz DEFAULT NULL)
RETURNS TABLE (change text, kind text, schema text, "table" text, object text, identity text, migrations text[],
               old_definition jsonb, new_definition jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    old_one record;
    new_one record;
    moved   text[];
BEGIN
    SELECT * INTO old_one FROM migrollback_schema.snapshot_at(schema_changes_between.since);
    IF old_one.snapshot IS NULL THEN
        RAISE EXCEPTION 'there is no snapshot of the schema' USING ERRCODE = 'MR001',
            HINT = 'apply and sync take them; migrollback snapshot takes one now.';
    END IF;
    SELECT * INTO new_one FROM migrollback_schema.snapshot_at(schema_changes_between.until);
    moved := ARRAY(SELECT DISTINCT s.migration_name FROM migrollback_schema.migration_status_events() s
                    WHERE s.occurred_at >= least(schema_changes_between.since, old_one.taken_at)
                      AND s.occurred_at <= coalesce(greatest(schema_changes_between.until, new_one.taken_at),
                                                    'infinity'));
    RETURN QUERY
    SELECT c.change, c.kind, c.schema, c."table", c.object, c.identity,
           ARRAY(SELECT DISTINCT o.migration_name FROM migrollback_schema.migration_objects o
                  WHERE o.migration_name = ANY (moved) AND left(o.identity, 400) COLLATE "C" = left(c.identity, 400)
                    AND o.identity = c.identity AND o.kind = c.kind ORDER BY 1),
           c.old_definition, c.new_definition
    FROM migrollback_schema.changes_with_names(
        migrollback_schema.snapshot_objects(old_one.snapshot),
        CASE WHEN schema_changes_between.until IS NULL THEN migrollback_schema.schema_snapshot()
             ELSE migrollback_schema.snapshot_objects(new_one.snapshot) END) c
    ORDER BY c.kind COLLATE "C", c.identity COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_changes_between(timestamptz, timestamptz) IS
    'What differs between the schema at two moments, by the snapshots that snapshot_at() gives; until NULL: now. '
    'migrations: which, of those that came or went between them, did something to the object. SQLSTATE MR001: there '
    'is no snapshot. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_drift(since timestamptz DEFAULT NULL)
RETURNS TABLE (change text, kind text, schema text, "table" text, object text, identity text, earliest_at timestamptz,
               latest_at timestamptz, old_definition jsonb, new_definition jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    pair  record;
    moved text[];                       -- migrations that came or went between the two
    moves constant jsonb := (
        SELECT coalesce(jsonb_agg(jsonb_build_array(s.event_number, s.migration_name)), '[]')
        FROM migrollback_schema.migration_status_events() s WHERE s.status <> 'failed');
BEGIN
    FOR pair IN
        WITH taken AS (
            SELECT t.event_number, t.occurred_at, t.snapshot, t.moment FROM migrollback_schema.snapshots_in_order() t
            UNION ALL SELECT NULL, clock_timestamp(), NULL, 'now'),
        pairs AS (
            SELECT t.*, lag(t.snapshot) OVER w AS snapshot_before, lag(t.event_number) OVER w AS number_before,
                   lag(t.occurred_at) OVER w AS before_at
            FROM taken t WINDOW w AS (ORDER BY t.event_number NULLS LAST))
        SELECT p.* FROM pairs p
         WHERE p.snapshot_before IS NOT NULL AND p.snapshot IS DISTINCT FROM p.snapshot_before
           -- what came while a migration ran is its own
           AND coalesce(p.moment, '') NOT IN ('after apply', 'after rollback')
           AND (schema_drift.since IS NULL OR p.occurred_at > schema_drift.since)
         ORDER BY p.event_number NULLS LAST
    LOOP
        moved := ARRAY(SELECT DISTINCT m.value ->> 1 FROM jsonb_array_elements(moves) m
                        WHERE (m.value ->> 0)::bigint > pair.number_before
                          AND (pair.event_number IS NULL OR (m.value ->> 0)::bigint < pair.event_number));
        RETURN QUERY
        WITH touched AS MATERIALIZED (
            SELECT o.kind, o.identity, o.action, n."table"
            FROM migrollback_schema.migration_objects o
            CROSS JOIN LATERAL migrollback_schema.object_names(o.kind, o.identity, o.table_identity) n
            WHERE o.migration_name = ANY (moved)),
        -- with a table comes and goes all that is part of it; with a schema, all that is in it
        whole AS MATERIALIZED (
            SELECT t.identity FROM touched t WHERE t.action <> 'changed' AND t.identity = t."table"),
        spaces AS MATERIALIZED (
            SELECT migrollback_schema.unquoted_identifier(t.identity) AS name FROM touched t
             WHERE t.action <> 'changed' AND t.kind = 'schema')
        SELECT c.change, c.kind, c.schema, c."table", c.object, c.identity, pair.before_at, pair.occurred_at,
               c.old_definition, c.new_definition
        FROM migrollback_schema.changes_with_names(
            migrollback_schema.snapshot_objects(pair.snapshot_before),
            CASE WHEN pair.snapshot IS NULL THEN migrollback_schema.schema_snapshot()
                 ELSE migrollback_schema.snapshot_objects(pair.snapshot) END) c
        WHERE NOT EXISTS (SELECT FROM touched t WHERE t.identity = c.identity)
          AND NOT EXISTS (SELECT FROM whole w WHERE w.identity = c."table")
          AND NOT EXISTS (SELECT FROM spaces s WHERE s.name = c.schema)
        ORDER BY c.kind COLLATE "C", c.identity COLLATE "C";
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_drift(timestamptz) IS
    'What changed in the schema and no migration did, by each two snapshots that follow each other, and by the schema '
    'as it stands now; earliest_at, latest_at: between these two it happened. What an apply or a rollback brought is '
    'left out, and so is what a migration touched that came or went between the two. Empty where there is no snapshot '
    'yet. Does not write.';
