-- ---------------------------------------------------------------------------------------------------
-- Snapshots of the schema, and what differs between two.
-- ---------------------------------------------------------------------------------------------------

-- Two states of a schema that are only compared need not become one value each: half the time of two schema_snapshot()
-- and schema_changes().
CREATE OR REPLACE FUNCTION migrollback_schema.schema_object_arrays(
    OUT kinds text[], OUT identities text[], OUT definitions jsonb[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    FOR tries_left IN REVERSE 9..0 LOOP
        BEGIN
            SELECT array_agg(o.kind), array_agg(o.identity), array_agg(o.definition) INTO kinds, identities, definitions
              FROM migrollback_schema.schema_objects() o;
            RETURN;
        EXCEPTION
            -- An object went between the reading of its catalog row and the asking for its definition: look again. No
            -- such error is a fault.
            WHEN internal_error OR undefined_table OR undefined_object OR undefined_function OR undefined_column
                 OR invalid_schema_name THEN
                IF tries_left = 0 OR current_setting('transaction_isolation') <> 'read committed' THEN
                    RAISE;
                END IF;
                PERFORM pg_sleep(0.02);
        END;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_object_arrays() IS
    'schema_objects() as three arrays, looking again when another session changes the schema. Waits for locks no '
    'longer than lock_timeout. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.objects_of_arrays(
    kinds text[], identities text[], definitions jsonb[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}')
    FROM (SELECT o.kind, jsonb_object_agg(o.identity, o.definition) AS objects
          FROM unnest(kinds, identities, definitions) AS o (kind, identity, definition) GROUP BY o.kind) k
$function$;
COMMENT ON FUNCTION migrollback_schema.objects_of_arrays(text[], text[], jsonb[]) IS
    'schema_object_arrays() as one value: kind -> identity -> definition. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_snapshot() RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT migrollback_schema.objects_of_arrays(a.kinds, a.identities, a.definitions)
      FROM migrollback_schema.schema_object_arrays() a
$function$;
COMMENT ON FUNCTION migrollback_schema.schema_snapshot() IS
    'schema_objects() as one value: kind -> identity -> definition. Looks again when another session changes the '
    'schema. Waits for locks no longer than lock_timeout. Does not write.';

-- One query with a line for each catalog, so that all are read under one snapshot.
CREATE OR REPLACE FUNCTION migrollback_schema.schema_hash() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    SET max_parallel_workers_per_gather = 0 AS $function$
BEGIN
    IF migrollback_schema.migration_scope() IS NOT NULL THEN
        RETURN migrollback_schema.schema_hash_of_scope();
    END IF;
    -- (ctid, xmin) names one version of a catalog row; a sum, because their order is not stable. What sessions keep in
    -- temporary tables is no schema.
    RETURN (
        WITH temporary AS MATERIALIZED (SELECT c.oid FROM pg_class c WHERE c.relpersistence = 't'),
        spaces AS MATERIALIZED (SELECT n.oid FROM pg_namespace n WHERE n.nspname ~ '^pg_(toast_)?temp_'),
        part (place, rows, hash) AS (
            -- by what they say and not by version: TRUNCATE, REINDEX, CLUSTER and VACUUM FULL write a new version with
            -- another file
            SELECT 1, count(*), sum(hashtextextended(concat_ws(',', c.oid, c.relname, c.relnamespace, c.reloftype,
                                                               c.relowner, c.relam, c.reltablespace, c.relpersistence,
                       c.relkind, c.relchecks, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
                           c.relispartition, c.relacl::text,
                       CASE WHEN c.reloptions IS NOT NULL THEN (SELECT string_agg(x, ',' ORDER BY x)
                                                                FROM unnest(c.reloptions) x
                                                                WHERE NOT starts_with(x, 'pg_')) END,
                       c.relpartbound::text), 0))
              FROM pg_class c WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND c.relkind <> 't'
            -- a column that was added and dropped again leaves a row that says so, and counts in relnatts: no trace in
            -- schema_objects()
            UNION ALL SELECT 2, count(*), sum(hashtidextended(a.ctid, (a.xmin::text)::bigint)) FROM pg_attribute a
             WHERE a.attrelid >= 16384 AND NOT a.attisdropped
               AND NOT EXISTS (SELECT FROM temporary p WHERE p.oid = a.attrelid)
            UNION ALL SELECT 3, count(*), sum(hashtidextended(k.ctid, (k.xmin::text)::bigint)) FROM pg_constraint k
             WHERE k.oid >= 16384 AND NOT EXISTS (SELECT FROM temporary p WHERE p.oid = k.conrelid)
            UNION ALL SELECT 4, count(*), sum(hashtidextended(f.ctid, (f.xmin::text)::bigint)) FROM pg_proc f
             WHERE f.oid >= 16384 AND NOT EXISTS (SELECT FROM spaces n WHERE n.oid = f.pronamespace)
            UNION ALL SELECT 5, count(*), sum(hashtidextended(t.ctid, (t.xmin::text)::bigint)) FROM pg_type t
             WHERE t.oid >= 16384 AND NOT EXISTS (SELECT FROM spaces n WHERE n.oid = t.typnamespace)
            UNION ALL SELECT 6, count(*), sum(hashtidextended(g.ctid, (g.xmin::text)::bigint)) FROM pg_trigger g
             WHERE g.oid >= 16384 AND NOT EXISTS (SELECT FROM temporary p WHERE p.oid = g.tgrelid)
            UNION ALL SELECT 7, count(*), sum(hashtidextended(o.ctid, (o.xmin::text)::bigint)) FROM pg_policy o
            UNION ALL SELECT 8, count(*), sum(hashtidextended(w.ctid, (w.xmin::text)::bigint)) FROM pg_rewrite w
             WHERE w.oid >= 16384 AND NOT EXISTS (SELECT FROM temporary p WHERE p.oid = w.ev_class)
            UNION ALL SELECT 9, count(*), sum(hashtidextended(d.ctid, (d.xmin::text)::bigint)) FROM pg_attrdef d
                WHERE NOT EXISTS (SELECT FROM temporary p WHERE p.oid = d.adrelid)
            UNION ALL SELECT 10, count(*), sum(hashtidextended(i.ctid, (i.xmin::text)::bigint)) FROM pg_index i
             WHERE i.indexrelid >= 16384 AND NOT EXISTS (SELECT FROM temporary p WHERE p.oid = i.indexrelid)
            UNION ALL SELECT 11, count(*), sum(hashtidextended(h.ctid, (h.xmin::text)::bigint)) FROM pg_inherits h
                WHERE NOT EXISTS (SELECT FROM temporary p WHERE p.oid = h.inhrelid)
            UNION ALL SELECT 12, count(*), sum(hashtidextended(e.ctid, (e.xmin::text)::bigint)) FROM pg_enum e
            UNION ALL SELECT 13, count(*), sum(hashtidextended(q.ctid, (q.xmin::text)::bigint)) FROM pg_sequence q
                WHERE NOT EXISTS (SELECT FROM temporary p WHERE p.oid = q.seqrelid)
            UNION ALL SELECT 14, count(*), sum(hashtidextended(n.ctid, (n.xmin::text)::bigint)) FROM pg_namespace n
                WHERE n.nspname !~ '^pg_(toast_)?temp_'
            -- public
            UNION ALL SELECT 15, count(*), sum(hashtidextended(d.ctid, (d.xmin::text)::bigint)) FROM pg_description d
                WHERE d.objoid >= 16384 OR d.objoid = 2200 AND d.classoid = 'pg_namespace'::regclass
            UNION ALL SELECT 16, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_extension x
            UNION ALL SELECT 32, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_aggregate x
                WHERE x.aggfnoid >= 16384
            UNION ALL SELECT 33, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_language x
            -- all databases share it: only what is set for this one or for all of them, and by what it says, because
            -- VACUUM FULL may come from any
            UNION ALL SELECT 35, count(*),
                sum(hashtextextended(concat_ws(',', x.setdatabase, x.setrole, x.setconfig::text), 0))
                FROM pg_db_role_setting x
             WHERE x.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
            -- what few databases have
            UNION ALL SELECT r.place, r.number, r.hash FROM migrollback_schema.rare_schema_hashes() r
            -- members of extensions, and what depends on one
            UNION ALL SELECT 52, count(*),
                sum(hashtextextended(concat_ws(',', e.oid, d.classid, d.objid, d.deptype), 0))
                FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                WHERE d.deptype IN ('e', 'x')
            -- options that a table's TOAST table has; a rewrite makes another one of those
            UNION ALL SELECT 53, count(*), sum(hashtextextended(own.options, o.oid::bigint))
                FROM pg_class t JOIN pg_class o ON o.reltoastrelid = t.oid
                CROSS JOIN LATERAL (SELECT string_agg(x, ',' ORDER BY x) AS options FROM unnest(t.reloptions) x
                                    WHERE NOT starts_with(x, 'pg_')) own
                WHERE t.relkind = 't' AND t.reloptions IS NOT NULL AND o.relpersistence <> 't'
                  AND own.options IS NOT NULL  -- none but PostgreSQL's own: as without options
            -- rights on what PostgreSQL brought
            UNION ALL SELECT 48, count(*), sum(hashtextextended(c.relacl::text, c.oid::bigint)) FROM pg_class c
                WHERE c.oid < 16384 AND c.relacl IS NOT NULL
            UNION ALL SELECT 49, count(*), sum(hashtextextended(f.proacl::text, f.oid::bigint)) FROM pg_proc f
                WHERE f.oid < 16384 AND f.proacl IS NOT NULL
            UNION ALL SELECT 50, count(*), sum(hashtextextended(t.typacl::text, t.oid::bigint)) FROM pg_type t
                WHERE t.oid < 16384 AND t.typacl IS NOT NULL
            UNION ALL SELECT 51, count(*), sum(hashtextextended(a.attacl::text, a.attrelid::bigint * 10000 + a.attnum))
                FROM pg_attribute a WHERE a.attrelid < 16384 AND a.attacl IS NOT NULL
            UNION ALL SELECT 36, 1, hashtextextended(coalesce(d.datacl::text, '') || d.datdba, 0) FROM pg_database d
                WHERE d.datname = current_database())
        SELECT md5(string_agg(p.rows || ':' || coalesce(p.hash, 0), ' ' ORDER BY p.place)) FROM part p);
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_hash() IS
    'Changes whenever a schema object does, and costs a fraction of schema_objects(). Rows, TRUNCATE, ANALYZE, '
    'VACUUM, REINDEX and temporary tables do not count; REINDEX CONCURRENTLY, CLUSTER, and VACUUM FULL of a catalog '
    'change it without a change to the schema. Compares within one database only. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.snapshot_token() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    -- 2: what schema_objects() tells since 0.2.0; a snapshot from before does not stand for one of today
    SELECT concat_ws(' ', '2', migrollback_schema.schema_hash(),
                     (SELECT md5(string_agg(concat_ws(',', m.umid, m.umoptions::text), ';' ORDER BY m.umid))
                      FROM pg_user_mappings m WHERE m.umoptions IS NOT NULL))
$function$;
COMMENT ON FUNCTION migrollback_schema.snapshot_token() IS
    'The same value, the same schema_snapshot(): schema_hash(), and the options of those user mappings that the '
    'caller may read. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_changes(old_schema jsonb, new_schema jsonb)
RETURNS TABLE (change text, kind text, identity text, old_definition jsonb, new_definition jsonb)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    -- Each looked up in the other: most are alike, and a join of all takes twice as long. OFFSET 0: a kind is looked up
    -- once, and not for each object.
    WITH differing AS (
        SELECT k.key AS kind, o.key AS identity, o.value AS was, there.objects -> o.key AS is
        FROM jsonb_each(old_schema) k
        CROSS JOIN LATERAL (SELECT new_schema -> k.key AS objects OFFSET 0) there
        CROSS JOIN LATERAL jsonb_each(k.value) o
        WHERE k.value IS DISTINCT FROM there.objects AND o.value IS DISTINCT FROM there.objects -> o.key
        UNION ALL
        SELECT k.key, o.key, NULL, o.value
        FROM jsonb_each(new_schema) k
        CROSS JOIN LATERAL (SELECT old_schema -> k.key AS objects OFFSET 0) there
        CROSS JOIN LATERAL jsonb_each(k.value) o
        WHERE k.value IS DISTINCT FROM there.objects AND there.objects ? o.key IS NOT TRUE),
    -- A snapshot that was taken before schema_objects() left PostgreSQL's own options out still holds them. The options
    -- of a user mapping are compared where both times they could be read.
    plain AS (
        SELECT d.kind, d.identity,
               d.was - 'options' || coalesce(nullif(jsonb_build_object('options', jsonb_path_query_array(d.was, own)),
                                                    '{"options": []}'), '{}') AS was,
               d.is - 'options' || coalesce(nullif(jsonb_build_object('options', jsonb_path_query_array(d.is, own)),
                                                   '{"options": []}'), '{}') AS is
        FROM differing d, CAST('$.options[*] ? (!(@ starts with "pg_"))' AS jsonpath) AS own
        WHERE d.kind IN ('column', 'table', 'partitioned table', 'view', 'materialized view')
        UNION ALL
        SELECT d.kind, d.identity, CASE WHEN d.is ? 'options' THEN d.was ELSE d.was - 'options' END,
               CASE WHEN d.was ? 'options' THEN d.is ELSE d.is - 'options' END
        FROM differing d WHERE d.kind = 'user mapping' AND d.was IS NOT NULL AND d.is IS NOT NULL
        UNION ALL
        SELECT d.kind, d.identity, d.was, d.is FROM differing d
          WHERE (d.kind <> 'user mapping' OR d.was IS NULL OR d.is IS NULL)
            AND d.kind NOT IN ('column', 'table', 'partitioned table', 'view', 'materialized view')),
    judged AS (
        SELECT CASE
                   WHEN d.was IS NULL THEN 'created'
                   WHEN d.is IS NULL THEN 'dropped'
                   -- statistics name their columns in the order of the table's
                   WHEN d.kind = 'statistics' AND d.was - 'def' = d.is - 'def'
                        AND (SELECT array_agg(w.word ORDER BY w.word)
                             FROM regexp_split_to_table(d.was ->> 'def', '[ ,]+') AS w (word))
                          = (SELECT array_agg(w.word ORDER BY w.word)
                             FROM regexp_split_to_table(d.is ->> 'def', '[ ,]+') AS w (word)) THEN 'reordered'
                   WHEN d.was - 'columns' IS DISTINCT FROM d.is - 'columns' THEN 'changed'
                   -- Columns have rows of their own. Here only their order counts, of those that both have: PostgreSQL
                   -- cannot put one back in its place.
                   WHEN (SELECT jsonb_agg(c.name ORDER BY c.place)
                         FROM jsonb_array_elements_text(coalesce(nullif(d.was -> 'columns', 'null'),
                             '[]')) WITH ORDINALITY AS c (name, place) WHERE d.is -> 'columns' ? c.name)
                        IS DISTINCT FROM
                        (SELECT jsonb_agg(c.name ORDER BY c.place)
                         FROM jsonb_array_elements_text(coalesce(nullif(d.is -> 'columns', 'null'),
                             '[]')) WITH ORDINALITY AS c (name, place) WHERE d.was -> 'columns' ? c.name)
                       THEN 'reordered'
               END AS change, d.kind, d.identity, d.was, d.is
        FROM plain d WHERE d.was IS DISTINCT FROM d.is)
    SELECT j.change, j.kind, j.identity, j.was, j.is FROM judged j WHERE j.change IS NOT NULL
      ORDER BY j.kind, j.identity COLLATE "C"
$function$;
COMMENT ON FUNCTION migrollback_schema.schema_changes(jsonb, jsonb) IS
    'What differs between two values of schema_snapshot(): one row for each object. change: created, dropped, '
    'changed, or reordered (a table whose columns stand in another order and nothing else). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.snapshot_objects(snapshot uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    found_objects jsonb;
BEGIN
    SELECT s.objects || '{}' INTO found_objects FROM migrollback_schema.migration_snapshots s WHERE s.id = snapshot;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no snapshot %', snapshot USING ERRCODE = 'MR001';
    END IF;
    RETURN found_objects;               -- unpacked once (|| '{}')
END $function$;
COMMENT ON FUNCTION migrollback_schema.snapshot_objects(uuid) IS
    'The objects of one snapshot, as schema_snapshot() gives them. SQLSTATE MR001: no such snapshot. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.create_migration_snapshot(
    name text, description text DEFAULT NULL, moment text DEFAULT NULL, migrations text[] DEFAULT NULL,
    client text DEFAULT NULL, next_migrations text[] DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    token_now text;
    states    jsonb;
    snapshot  uuid;
    number    bigint;
    is_new    boolean := false;
BEGIN
    PERFORM migrollback_schema.refuse_password_in_name(name);
    PERFORM migrollback_schema.remember_scope_objects();
    -- before the lock that events take: others need not wait for it
    token_now := migrollback_schema.snapshot_token();
    states := migrollback_schema.schema_states();
    IF moment IS NOT NULL THEN
        -- Taken automatically: where nothing has changed since the last one, that one says it all.
        SELECT s.id INTO snapshot FROM (SELECT l.id, l.token FROM migrollback_schema.migration_snapshots l
                                        ORDER BY l.taken_at DESC LIMIT 1) s
         WHERE s.token = token_now;
    END IF;
    IF snapshot IS NULL THEN
        INSERT INTO migrollback_schema.migration_snapshots (migration_name, description, token, objects)
        VALUES (create_migration_snapshot.name, coalesce(create_migration_snapshot.description, moment), token_now,
                migrollback_schema.schema_snapshot())
        RETURNING id INTO snapshot;
        is_new := true;
    END IF;
    number := migrollback_schema.add_migration_event('snapshot_taken', name, NULL::uuid,
                                                     create_migration_snapshot.description,
        create_migration_snapshot.client, jsonb_strip_nulls(jsonb_build_object(
            'snapshot', snapshot, 'moment', moment,
            'snapshot_hash', CASE WHEN is_new THEN migrollback_schema.migration_snapshot_hash(snapshot) END,
            'states_hash', migrollback_schema.hash_of_fields(ARRAY[states::text]),
            'migrations', to_jsonb(CASE WHEN moment IS NOT NULL THEN coalesce(migrations, ARRAY[name]) END))));
    INSERT INTO migrollback_schema.migration_states (event_number, snapshot, moment, migrations, states)
    VALUES (number, snapshot, create_migration_snapshot.moment, coalesce(create_migration_snapshot.migrations,
            ARRAY[create_migration_snapshot.name]), states);
    IF cardinality(next_migrations) > 0 THEN
        number := migrollback_schema.add_migration_event(
            'snapshot_taken', next_migrations[cardinality(next_migrations)], NULL::uuid, NULL::text,
            create_migration_snapshot.client, jsonb_build_object(
                'snapshot', snapshot, 'moment', 'before apply', 'migrations', to_jsonb(next_migrations),
                'states_hash', migrollback_schema.hash_of_fields(ARRAY[states::text])));
        INSERT INTO migrollback_schema.migration_states (event_number, snapshot, moment, migrations, states)
        VALUES (number, snapshot, 'before apply', next_migrations, states);
    END IF;
    RETURN snapshot;
END $function$;
COMMENT ON FUNCTION migrollback_schema.create_migration_snapshot(text, text, text, text[], text, text[]) IS
    'Writes: stores the schema and schema_states() as they stand, for a migration that need not be registered yet. '
    'moment: for one that is taken around an operation ("before apply", "after apply", "before rollback", "after '
    'rollback", "after sync") of these migrations; where nothing has changed since the last snapshot, that one is '
    'given again. next_migrations: what is applied next, which this snapshot is before, too: looked at once for both. '
    'Returns the snapshot''s id. SQLSTATE MR006: the name holds a password.';

CREATE OR REPLACE FUNCTION migrollback_schema.diff_migration_snapshots(
    old_snapshot uuid, new_snapshot uuid DEFAULT NULL)
RETURNS TABLE (change text, kind text, identity text, old_definition jsonb, new_definition jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    old_objects jsonb;
    new_objects jsonb;
BEGIN
    old_objects := migrollback_schema.snapshot_objects(old_snapshot);
    new_objects := CASE WHEN new_snapshot IS NULL THEN migrollback_schema.schema_snapshot()
                        ELSE migrollback_schema.snapshot_objects(new_snapshot) END;
    RETURN QUERY SELECT * FROM migrollback_schema.schema_changes(old_objects, new_objects);
END $function$;
COMMENT ON FUNCTION migrollback_schema.diff_migration_snapshots(uuid, uuid) IS
    'schema_changes() from a snapshot to another one, or to the schema as it stands now. SQLSTATE MR001: no such '
    'snapshot. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.snapshot_after_sync(names text[] DEFAULT '{}', client text DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    newest record;
BEGIN
    SELECT l.id, l.token INTO newest FROM migrollback_schema.migration_snapshots l
     WHERE l.token IS NOT NULL ORDER BY l.taken_at DESC LIMIT 1;
    IF cardinality(names) = 0 AND newest.token = migrollback_schema.snapshot_token() THEN
        RETURN NULL;
    END IF;
    RETURN migrollback_schema.create_migration_snapshot(
        coalesce(names[cardinality(names)], (SELECT h.migration_name FROM migrollback_schema.migration_history h
                                              WHERE h.status <> 'rolled_back'
                                              ORDER BY h.applied_at DESC, h.migration_name COLLATE "C" DESC LIMIT 1),
                 '20250120_migration_rollback_system'),
        NULL::text, 'after sync',
        -- of what was there before the first snapshot nothing can be said: thousands of names would be kept for nothing
        CASE WHEN newest.id IS NULL THEN '{}'::text[] ELSE names END, snapshot_after_sync.client, NULL::text[]);
END $function$;
COMMENT ON FUNCTION migrollback_schema.snapshot_after_sync(text[], text) IS
    'Writes a snapshot at the end of a sync that registered these migrations or found them applied again: what came '
    'after them, and what was before the next deploy. Returns its id; NULL, with nothing written, where there are '
    'none and the schema is as at the last snapshot.';

CREATE OR REPLACE FUNCTION migrollback_schema.store_replayed_schema(
    name text, schema_before jsonb, schema_after jsonb, owner_there text DEFAULT NULL, client text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    ids uuid[] := '{}';
    one jsonb;
    id  uuid;
BEGIN
    FOREACH one IN ARRAY ARRAY[schema_before, schema_after] LOOP
        -- what the replay's role owns is, here, whose the migrations are
        INSERT INTO migrollback_schema.migration_snapshots AS s (migration_name, description, objects)
        VALUES (store_replayed_schema.name, 'replay of the folder',
                CASE WHEN owner_there IS NULL THEN one
                     ELSE replace(one::text, '"owner": ' || to_jsonb(owner_there)::text,
                                  '"owner": ' || to_jsonb(quote_ident(current_user))::text)::jsonb END)
        RETURNING s.id INTO id;
        ids := ids || id;
    END LOOP;
    PERFORM migrollback_schema.add_migration_event('snapshot_taken', name, NULL::uuid, NULL::text,
        store_replayed_schema.client, jsonb_build_object('before', ids[1], 'snapshot', ids[2],
            'moment', 'apply, replayed', 'migrations', jsonb_build_array(name),
            'snapshot_hash', migrollback_schema.migration_snapshot_hash(ids[2]),
            'before_hash', migrollback_schema.migration_snapshot_hash(ids[1])));
END $function$;
COMMENT ON FUNCTION migrollback_schema.store_replayed_schema(text, jsonb, jsonb, text, text) IS
    'Writes the schema before and after a migration, as a replay of its folder elsewhere has it, for '
    'verify_last_rollback() where no snapshot from before it was applied is known. owner_there: the role that the '
    'replay ran as.';
