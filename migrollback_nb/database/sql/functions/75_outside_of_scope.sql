-- ---------------------------------------------------------------------------------------------------
-- What a transaction has written to the schema outside of the session's scope, where no snapshot looks.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_dropped_addresses(OUT classes oid[], OUT objects oid[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- DROP locks every single object that goes, and keeps the lock
    SELECT array_agg(g.class), array_agg(g.oid) INTO classes, objects
      FROM (SELECT CASE l.locktype WHEN 'relation' THEN 'pg_class'::regclass::oid ELSE l.classid END AS class,
                   coalesce(l.relation, l.objid) AS oid
              FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype IN ('relation', 'object')
               AND l.mode = 'AccessExclusiveLock' AND l.database = (SELECT d.oid FROM pg_database d
                                                                     WHERE d.datname = current_database())) g
     WHERE (pg_identify_object(g.class, g.oid, 0)).identity IS NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_dropped_addresses() IS
    'Addresses, as in pg_depend, of what this transaction has dropped so far, as far as its locks tell. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.mark_outside_of_scope(OUT marked jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off AS $function$
DECLARE
    gone   record;
BEGIN
    IF migrollback_schema.migration_scope() IS NULL THEN
        RETURN;
    END IF;
    gone := migrollback_schema.migration_dropped_addresses();
    -- what goes when something of the scope is dropped: its parts, and theirs; a partition elsewhere is none
    WITH RECURSIVE inside (class, oid) AS (
        SELECT 'pg_namespace'::regclass::oid, s.oid FROM unnest(migrollback_schema.migration_scope_spaces()) AS s (oid)
        UNION
        SELECT o.class_id, o.object_id FROM migrollback_schema.migration_scope_objects() o
        UNION
        -- OFFSET: by the index, also where no statistics say that this is better
        SELECT d.classid, d.objid FROM inside i CROSS JOIN LATERAL (
            SELECT e.classid, e.objid FROM pg_depend e
             WHERE e.refclassid = i.class AND e.refobjid = i.oid AND e.deptype IN ('a', 'i', 'P', 'S') OFFSET 0) d
         WHERE i.class <> 'pg_namespace'::regclass
           AND (d.classid <> 'pg_class'::regclass
                OR EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND c.relkind IN ('i', 'I', 't', 'S', 'c'))))
    SELECT jsonb_build_object('since', migrollback_schema.newest_catalog_oid(),
                              'counts', to_jsonb(migrollback_schema.catalog_row_counts()),
                              'inside', coalesce(jsonb_object_agg(i.class, i.oids), '{}'),
                              'gone', (SELECT coalesce(jsonb_agg(g.oid), '[]') FROM unnest(gone.objects) AS g (oid)))
      INTO marked
      FROM (SELECT n.class, jsonb_agg(n.oid) AS oids FROM inside n GROUP BY n.class) i;
END $function$;
COMMENT ON FUNCTION migrollback_schema.mark_outside_of_scope() IS
    'To be called before SQL runs: what migration_outside_writes() takes after it. NULL without a scope. '
    ' Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_outside_writes(marked jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off AS $function$
DECLARE
    spaces  constant oid[] := migrollback_schema.migration_scope_spaces();
    since   constant oid := (marked ->> 'since')::oid;
    counts  constant bigint[] := CASE WHEN jsonb_typeof(marked -> 'counts') = 'array'
                                      THEN ARRAY(SELECT jsonb_array_elements_text(marked -> 'counts')::bigint) END;
    inside  constant jsonb := marked -> 'inside';
    gone    record;
    near_classes oid[];
    near_objects oid[];
    found   jsonb;
BEGIN
    IF marked IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(o.class_id), array_agg(o.object_id) INTO near_classes, near_objects
      FROM migrollback_schema.migration_scope_objects() o;
    WITH written AS (
        SELECT w.action, w.kind, w.identity, w.class_id, w.object_id,
               -- the relation or type whose part it is
               coalesce((SELECT coalesce(nullif(k.conrelid, 0), k.contypid) FROM pg_constraint k
                          WHERE w.class_id IN ('pg_constraint'::regclass, 'pg_description'::regclass)
                            AND k.oid = w.object_id),
                        (SELECT g.tgrelid FROM pg_trigger g
                          WHERE w.class_id IN ('pg_trigger'::regclass, 'pg_description'::regclass)
                            AND g.oid = w.object_id),
                        (SELECT y.polrelid FROM pg_policy y
                          WHERE w.class_id IN ('pg_policy'::regclass, 'pg_description'::regclass)
                            AND y.oid = w.object_id),
                        (SELECT r.ev_class FROM pg_rewrite r
                          WHERE w.class_id IN ('pg_rewrite'::regclass, 'pg_description'::regclass)
                            AND r.oid = w.object_id),
                        (SELECT i.indrelid FROM pg_index i
                          WHERE w.class_id IN ('pg_class'::regclass, 'pg_description'::regclass)
                            AND i.indexrelid = w.object_id),
                        w.object_id) AS whole
          FROM migrollback_schema.migration_catalog_writes(since, counts, true) w
         WHERE w.class_id IS NOT NULL
        UNION
        -- a column that is dropped leaves only its row behind
        SELECT 'dropped', 'column', format('%I.%I column %s', n.nspname, c.relname, a.attnum), 'pg_class'::regclass,
               c.oid, c.oid
          FROM pg_locks l JOIN pg_class c ON c.oid = l.relation AND c.oid >= 16384 AND c.relpersistence <> 't'
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attisdropped
         WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
           AND CASE WHEN age(a.xmin) <= age(pg_current_xact_id()::xid)
               THEN pg_xact_status((pg_current_xact_id()::text::bigint + age(pg_current_xact_id()::xid)
                                    - age(a.xmin))::text::xid8) = 'in progress' ELSE false END),
    alien AS (
        SELECT DISTINCT w.action, w.kind, w.identity FROM written w
         WHERE w.identity <> 'migrollback_archive' AND w.identity !~ 'migrollback_archive\.'
           -- what every snapshot holds, whatever the scope
           AND w.kind NOT IN ('extension', 'language', 'cast', 'transform', 'access method', 'event trigger',
                              'foreign data wrapper', 'server', 'publication')
           AND NOT (w.class_id = 'pg_namespace'::regclass AND w.object_id = ANY (spaces))
           AND NOT EXISTS (SELECT FROM pg_default_acl d WHERE w.class_id = 'pg_default_acl'::regclass
                           AND d.oid = w.object_id AND (d.defaclnamespace = 0 OR d.defaclnamespace = ANY (spaces)))
           AND NOT EXISTS (SELECT FROM unnest(near_classes, near_objects) AS o (class, oid)
                            WHERE o.oid IN (w.whole, w.object_id))
           AND NOT EXISTS (SELECT FROM jsonb_each(inside) i
                            WHERE i.key <> 'pg_namespace'::regclass::oid::text AND i.value @> to_jsonb(w.whole))
           -- the rollback itself may have made it anew in the scope
           AND NOT EXISTS (SELECT FROM pg_type t WHERE t.oid = w.object_id AND w.class_id = 'pg_type'::regclass
                           AND t.typnamespace = ANY (spaces))
           AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.whole AND c.relnamespace = ANY (spaces)))
    SELECT jsonb_agg(jsonb_build_object('change', a.action, 'kind', a.kind, 'identity', a.identity)
                     ORDER BY a.kind, a.identity COLLATE "C") INTO found FROM alien a;
    gone := migrollback_schema.migration_dropped_addresses();
    RETURN coalesce(found, '[]') || coalesce((
        WITH unknown AS (
            SELECT g.class, g.oid FROM unnest(gone.classes, gone.objects) AS g (class, oid)
             WHERE g.oid <= since AND NOT coalesce(inside -> g.class::text @> to_jsonb(g.oid), false)
               AND NOT marked -> 'gone' @> to_jsonb(g.oid)
               -- by what is known of whose they were, their names are told above
               AND NOT EXISTS (SELECT FROM migrollback_schema.migration_objects o WHERE o.object_id = g.oid
                               AND o.class_id = g.class
                               AND o.recorded_in = ('migrollback_schema' || '.migration_objects')::regclass))
        -- of what goes as a whole not each part
        SELECT jsonb_agg(jsonb_build_object(
                   'change', 'dropped', 'kind', CASE u.class WHEN 'pg_class'::regclass THEN 'relation'
                       WHEN 'pg_proc'::regclass THEN 'routine' WHEN 'pg_namespace'::regclass THEN 'schema'
                       WHEN 'pg_type'::regclass THEN 'type' ELSE substr(u.class::regclass::text, 4) END,
                   'identity', format('oid %s, which no snapshot of this scope names', u.oid),
                   'address', jsonb_build_array(u.class, u.oid))
                   ORDER BY u.class, u.oid)
          FROM unknown u
         WHERE u.class IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass)
            OR NOT EXISTS (SELECT FROM unknown w WHERE w.class IN ('pg_class'::regclass, 'pg_proc'::regclass,
                                                                   'pg_namespace'::regclass))), '[]');
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_outside_writes(jsonb) IS
    'What this transaction has created, changed and dropped since mark_outside_of_scope() (marked) of what no '
    'snapshot of this scope holds: an array of change, kind and identity; of what was dropped often without a '
    'name. NULL without a scope. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.outside_changes(details jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_agg(o.value - 'address' || '{"old_definition": null, "new_definition": null}'::jsonb
                              ORDER BY e.place, o.place), '[]')
      FROM jsonb_array_elements(details) WITH ORDINALITY AS e (value, place)
     CROSS JOIN LATERAL jsonb_array_elements(coalesce(e.value -> 'outside', '[]')) WITH ORDINALITY AS o (value, place)
$function$;
COMMENT ON FUNCTION migrollback_schema.outside_changes(jsonb) IS
    'Rows as of schema_changes() for what rollbacks wrote outside of the scope, by an array of details of their '
    'events. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.named_outside_changes(details jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (
        WITH one AS (
            SELECT e.place, o.value, (o.value #>> '{address,0}')::oid AS class, (o.value #>> '{address,1}')::oid AS oid
              FROM jsonb_array_elements(details) WITH ORDINALITY AS e (value, place)
             CROSS JOIN LATERAL jsonb_array_elements(coalesce(e.value -> 'outside', '[]')) AS o (value))
        SELECT coalesce(jsonb_agg(o.value - 'address'
                                  || CASE WHEN i.identity IS NULL THEN '{}'
                                          ELSE jsonb_build_object('kind', i.type, 'identity', i.identity) END
                                  ORDER BY o.place, coalesce(i.identity, o.value ->> 'identity') COLLATE "C"), '[]')
          FROM one o
          LEFT JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i ON o.class IS NOT NULL
         WHERE i.schema IS DISTINCT FROM 'pg_toast'
           -- an index goes with its table
           AND NOT EXISTS (SELECT FROM pg_index x JOIN one t ON t.oid = x.indrelid AND t.class = o.class
                            WHERE o.class = 'pg_class'::regclass AND x.indexrelid = o.oid));
END $function$;
COMMENT ON FUNCTION migrollback_schema.named_outside_changes(jsonb) IS
    'What rollbacks that have been undone had written outside of the scope, by an array of details of their events: '
    'what they had dropped is there again, and so has a name. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.outside_of_rollbacks(names text[], OUT changes jsonb, OUT unknown text[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    changes := '[]';
    unknown := '{}';
    IF migrollback_schema.migration_scope() IS NULL THEN
        RETURN;
    END IF;
    SELECT migrollback_schema.outside_changes(jsonb_agg(l.details ORDER BY n.place)
                                              FILTER (WHERE l.details IS NOT NULL)),
           coalesce(array_agg(n.name ORDER BY n.place) FILTER (WHERE NOT coalesce(l.details ? 'outside', false)), '{}')
      INTO changes, unknown
      FROM unnest(names) WITH ORDINALITY AS n (name, place)
      LEFT JOIN LATERAL (SELECT e.details FROM migrollback_schema.migration_events e
                          WHERE e.migration_name = n.name AND e.event = 'rolled_back'
                          ORDER BY e.event_number DESC LIMIT 1) l ON true;
END $function$;
COMMENT ON FUNCTION migrollback_schema.outside_of_rollbacks(text[]) IS
    'What the last rollbacks of these migrations wrote to the schema outside of the scope (changes), as '
    'migration_outside_writes() gives it, and of which migrations that is not known (unknown): those that ran outside '
    'a transaction. Nothing without a scope. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.seen_late_outside(
    names text[], expected jsonb, objects_before jsonb, objects_now jsonb, OUT keys text[], OUT uncompared text[],
    OUT remark text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    schemas constant text[] := migrollback_schema.migration_scope();
BEGIN
    keys := '{}';
    uncompared := '{}';
    remark := '';
    IF schemas IS NULL THEN
        RETURN;
    END IF;
    -- The snapshot from before a migration does not hold what it was the first to depend on or to change: that it was
    -- not there means nothing, unless the migration is known to have created it.
    SELECT coalesce(array_agg(o.key), '{}'),
           coalesce(array_agg(o.key) FILTER (
               WHERE objects_before #> ARRAY[k.kind, k.identity]
                     IS DISTINCT FROM objects_now #> ARRAY[k.kind, k.identity]
                 AND EXISTS (SELECT FROM migrollback_schema.migration_objects m WHERE m.migration_name = ANY (names)
                             AND m.kind = k.kind AND m.identity = k.identity)), '{}')
      INTO keys, uncompared
      FROM jsonb_each(expected) o
     CROSS JOIN LATERAL (SELECT o.key::jsonb ->> 0 AS kind, o.key::jsonb ->> 1 AS identity) k
     WHERE o.value = 'null'
       AND (migrollback_schema.object_names(k.kind, k.identity, NULL::text)).schema <> ALL (schemas)
       AND NOT EXISTS (SELECT FROM migrollback_schema.migration_objects m WHERE m.migration_name = ANY (names)
                       AND m.action = 'created' AND m.kind = k.kind AND m.identity = k.identity);
    IF uncompared <> '{}' THEN
        remark := format('not compared: %s outside of the scope', CASE cardinality(uncompared)
                         WHEN 1 THEN '1 definition' ELSE cardinality(uncompared) || ' definitions' END);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.seen_late_outside(text[], jsonb, jsonb, jsonb) IS
    'Of what schema_after_rollback() expects not to be there (keys), what lies outside of the scope and was not '
    'created by these migrations: the snapshot from before just did not hold it. uncompared: which of that they and '
    'their rollbacks changed, which can be compared with nothing; remark: that in words, empty where there is none. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.with_rehearsal_effects(report jsonb, details jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    events constant jsonb := (SELECT coalesce(jsonb_agg(d.value), '[]') FROM jsonb_each(details) d
                               WHERE (report ->> 'success')::boolean);
BEGIN
    -- what lies outside of the scope has effects of its own, so its changes come after
    report := report || jsonb_build_object('outside', migrollback_schema.named_outside_changes(events));
    RETURN report || jsonb_build_object(
        'effects', migrollback_schema.rehearsal_effects(report),
        'changes', (report -> 'changes') || coalesce((
            SELECT jsonb_agg(o.value || '{"made_by": null}' ORDER BY o.place)
              FROM jsonb_array_elements(migrollback_schema.outside_changes(events))
                   WITH ORDINALITY AS o (value, place)), '[]'));
END $function$;
COMMENT ON FUNCTION migrollback_schema.with_rehearsal_effects(jsonb, jsonb) IS
    'The report of a rehearsal that has been undone, with its effects, and with what it would write outside of the '
    'scope (outside; also among changes). details: of the events of the run, by migration. Does not write.';
