-- ---------------------------------------------------------------------------------------------------
-- What a rollback will lock, and what it rewrites or scans meanwhile: parsed text, joined with the catalogs.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.type_change_rewrites(
    relation oid, column_name text, type_name jsonb, modifiers int[])
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    old      record;
    new_type oid;
    given    constant int := modifiers[1];
BEGIN
    SELECT a.atttypid AS type, a.atttypmod AS modifier, t.typname AS name INTO old
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = relation AND a.attname = column_name AND NOT a.attisdropped;
    new_type := (SELECT t.oid FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
                  WHERE t.typname = type_name ->> -1 AND (jsonb_array_length(type_name) = 1
                                                          OR n.nspname = type_name ->> -2)
                  ORDER BY (n.nspname = 'pg_catalog') DESC LIMIT 1);
    IF old IS NULL OR new_type IS NULL THEN
        RETURN true;
    ELSIF new_type <> old.type AND NOT EXISTS (SELECT FROM pg_cast c WHERE c.castsource = old.type
                                                  AND c.casttarget = new_type AND c.castmethod = 'b') THEN
        RETURN true;
    ELSIF given IS NULL THEN            -- no limit, which no value exceeds
        RETURN old.name = 'bpchar';
    END IF;
    RETURN NOT coalesce(CASE (SELECT t.typname FROM pg_type t WHERE t.oid = new_type)
        WHEN 'varchar' THEN old.modifier >= 4 AND given >= old.modifier - 4
        WHEN 'varbit' THEN old.modifier >= 0 AND given >= old.modifier
        WHEN 'numeric' THEN old.modifier >= 4 AND given >= ((old.modifier - 4) >> 16 & 65535)
            AND coalesce(modifiers[2], 0) = ((old.modifier - 4) & 2047)
        WHEN 'timestamp' THEN given >= coalesce(nullif(old.modifier, -1), 6)
        WHEN 'timestamptz' THEN given >= coalesce(nullif(old.modifier, -1), 6)
        WHEN 'time' THEN given >= coalesce(nullif(old.modifier, -1), 6)
        WHEN 'timetz' THEN given >= coalesce(nullif(old.modifier, -1), 6)
        WHEN 'bpchar' THEN given = old.modifier - 4
        WHEN 'bit' THEN given = old.modifier
    END, false);
END $function$;
COMMENT ON FUNCTION migrollback_schema.type_change_rewrites(oid, text, jsonb, int[]) IS
    'Whether ALTER COLUMN TYPE to this type (its name in parts, and its modifiers) writes the table anew; true where '
    'it is not known. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.foreseen_work(relation oid, lock jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    work     constant text := lock ->> 'work';
    col      constant text := lock ->> 'column';
BEGIN
    IF work IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(lock -> 'type') = 'array' AND jsonb_typeof(lock -> 'modifiers') = 'array' THEN
        RETURN CASE WHEN migrollback_schema.type_change_rewrites(
            relation, col, lock -> 'type',
            ARRAY(SELECT m::int FROM jsonb_array_elements_text(lock -> 'modifiers') AS m)) THEN work END;
    ELSIF jsonb_typeof(lock -> 'volatile') = 'array' THEN
        -- a default that is one value for all rows is kept once
        RETURN CASE WHEN EXISTS (
            SELECT FROM jsonb_array_elements(lock -> 'volatile') f
              LEFT JOIN pg_proc p ON p.proname = f ->> 1
               AND (f ->> 0 IS NULL OR p.pronamespace = to_regnamespace(quote_ident(f ->> 0)))
             WHERE p.provolatile = 'v' OR p.oid IS NULL) THEN work END;
    ELSIF lock ? 'validates' THEN
        RETURN CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = relation
                                    AND k.conname = lock ->> 'validates' AND k.convalidated) THEN NULL ELSE work END;
    ELSIF col IS NOT NULL AND work = 'scan' THEN    -- SET NOT NULL, of which a constraint that is valid is proof
        RETURN CASE WHEN EXISTS (
            SELECT FROM pg_attribute a
             WHERE a.attrelid = relation AND a.attname = col AND (a.attnotnull OR EXISTS (
                   SELECT FROM pg_constraint k WHERE k.conrelid = relation AND k.contype = 'c' AND k.convalidated
                      AND k.conkey = ARRAY[a.attnum]
                      AND pg_get_constraintdef(k.oid) = format('CHECK ((%I IS NOT NULL))', col))))
            THEN NULL ELSE work END;
    END IF;
    RETURN work;
END $function$;
COMMENT ON FUNCTION migrollback_schema.foreseen_work(oid, jsonb) IS
    'What the parser took for a rewrite, a scan or a build of an index, where the catalogs do not say that PostgreSQL '
    'needs none. lock: of metadata.rollback.locks. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.foreseen_lock_entries(names text[], otherwise_path text)
RETURNS TABLE (place bigint, migration_name text, statement_number int, relation oid, mode text, work text, why text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    RETURN QUERY
    WITH RECURSIVE said AS MATERIALIZED (
        SELECT n.place, n.name, l.value AS lock, p.schemas
          FROM unnest(names) WITH ORDINALITY AS n (name, place)
          JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
           AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8'))
           AND migrollback_schema.migration_metadata_problem(h.metadata) IS NULL
          JOIN LATERAL jsonb_array_elements(coalesce(h.metadata #> '{rollback,locks}', '[]')) AS l (value)
            ON jsonb_typeof(l.value -> 'statement') = 'number'
         CROSS JOIN LATERAL (
             SELECT array_agg(CASE WHEN m.part[1] IS NULL THEN lower(m.part[2])
                                   ELSE replace(m.part[1], '""', '"') END ORDER BY m.place) AS schemas
               FROM regexp_matches(migrollback_schema.migration_rollback_path(h.metadata, otherwise_path),
                                   '"((?:[^"]|"")+)"|([^",\s]+)', 'g') WITH ORDINALITY AS m (part, place)) p),
    named AS MATERIALIZED (
        SELECT s.place, s.name, s.lock, c.oid
          FROM said s
         CROSS JOIN LATERAL (
             SELECT coalesce(i.indrelid, r.oid) AS oid
               FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
               LEFT JOIN pg_index i ON i.indexrelid = r.oid AND s.lock ->> 'of' = 'index'
              WHERE s.lock ->> 'of' IS DISTINCT FROM 'schema' AND r.relname = s.lock ->> 'name'
                AND (n.nspname = s.lock ->> 'schema'
                     OR s.lock ->> 'schema' IS NULL AND n.nspname = ANY (s.schemas || 'pg_catalog'::text))
              ORDER BY array_position(s.schemas, n.nspname::text) LIMIT 1) c
        UNION ALL
        SELECT s.place, s.name, s.lock, r.oid
          FROM said s JOIN pg_namespace n ON n.nspname = s.lock ->> 'schema' AND s.lock ->> 'of' = 'schema'
          JOIN pg_class r ON r.relnamespace = n.oid AND r.relkind IN ('r', 'p', 'm', 'v', 'f')),
    tree AS (
        SELECT d.place, d.name, d.lock, d.oid FROM named d
        UNION
        SELECT t.place, t.name, t.lock, i.inhrelid
          FROM tree t JOIN pg_class c ON c.oid = t.oid AND c.relhassubclass
          JOIN pg_inherits i ON i.inhparent = t.oid
         WHERE NOT t.lock ? 'only')
    SELECT t.place, t.name, (t.lock ->> 'statement')::int, t.oid, t.lock ->> 'mode',
           CASE WHEN c.relkind IN ('r', 'm') THEN migrollback_schema.foreseen_work(t.oid, t.lock) END, t.lock ->> 'why'
      FROM tree t JOIN pg_class c ON c.oid = t.oid
    UNION ALL                           -- what a foreign key refers to has triggers of it
    SELECT t.place, t.name, (t.lock ->> 'statement')::int,
           CASE WHEN k.conrelid = t.oid THEN k.confrelid ELSE k.conrelid END, t.lock ->> 'mode', NULL, t.lock ->> 'why'
      FROM tree t JOIN pg_constraint k ON k.contype = 'f' AND k.conrelid <> k.confrelid
       AND (k.conrelid = t.oid AND (t.lock ? 'dropped' OR k.conname = t.lock ->> 'constraint')
            OR k.confrelid = t.oid AND t.lock ? 'dropped' AND t.lock ? 'cascade');
END $function$;
COMMENT ON FUNCTION migrollback_schema.foreseen_lock_entries(text[], text) IS
    'The locks that the parser found in the rollback SQL of these migrations, on relations that are there: those of '
    'partitions and of what foreign keys refer to included. place: of the migration in names; work: rewrite, scan, '
    'build or NULL. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.foreseen_ms(work text, why text, heap_bytes bigint, all_bytes bigint)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- bytes in a millisecond; docs/explanation/performance.md says where these come from
    SELECT round(CASE work WHEN 'rewrite' THEN all_bytes / 120000.0
                           WHEN 'build' THEN heap_bytes / 100000.0
                           WHEN 'scan' THEN heap_bytes / CASE why WHEN 'ADD FOREIGN KEY' THEN 150000.0 ELSE 500000.0 END
                           ELSE 0 END)
$function$;
COMMENT ON FUNCTION migrollback_schema.foreseen_ms(text, text, bigint, bigint) IS
    'How long a rewrite, a scan or the build of an index takes, in milliseconds, by assumed throughputs. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.lock_mode_words(mode text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT upper(regexp_replace(regexp_replace(mode, 'Lock$', ''), '([a-z])([A-Z])', '\1 \2', 'g'))
$function$;
COMMENT ON FUNCTION migrollback_schema.lock_mode_words(text) IS
    'A lock mode of pg_locks as PostgreSQL''s manual names it: ACCESS EXCLUSIVE for AccessExclusiveLock. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.time_words(ms numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN ms < 950 THEN 'less than 1 s'
                WHEN ms < 90000 THEN format('about %s s', round(ms / 1000))
                WHEN ms < 5400000 THEN format('about %s min', round(ms / 60000))
                ELSE format('about %s h', round(ms / 3600000)) END
$function$;
COMMENT ON FUNCTION migrollback_schema.time_words(numeric) IS
    'A foreseen time in words: about 3 s. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.foreseen_lock_words(lock jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    own  constant numeric := coalesce((lock ->> 'ms')::numeric, 0);
    held constant numeric := coalesce((lock ->> 'held_ms')::numeric, 0);
BEGIN
    RETURN concat(
        CASE WHEN (lock ->> 'bytes')::bigint > 0 THEN pg_size_pretty((lock ->> 'bytes')::bigint) || ', ' END,
        CASE lock ->> 'work' WHEN 'rewrite' THEN 'is rewritten' WHEN 'scan' THEN 'is scanned'
                             WHEN 'build' THEN 'gets an index built' ELSE 'is locked' END,
        ' under ', lock ->> 'mode',
        CASE WHEN lock ->> 'work' IS NOT NULL THEN
                 ', ' || migrollback_schema.time_words(own) || ' here'
                 || CASE WHEN held >= 1000 AND held >= own * 1.5
                         THEN ', and held ' || migrollback_schema.time_words(held) ELSE '' END
             WHEN held >= 1000 THEN ', ' || migrollback_schema.time_words(held) || ' here' END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.foreseen_lock_words(jsonb) IS
    'One lock of foreseen_locks() in words, without the name: 352 MB, is rewritten under ACCESS EXCLUSIVE, about 3 s '
    'here. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.foreseen_locks(
    names text[], otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    -- asked twice for a preview, by what is assessed and for itself: planned once
    SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    modes    constant text[] := '{SHARE,SHARE ROW EXCLUSIVE,EXCLUSIVE,ACCESS EXCLUSIVE}';
    measured jsonb;                     -- of the last rehearsal here: migration -> md5, ms of each statement
    busy     oid[];
    locks    jsonb;
BEGIN
    measured := (SELECT e.details -> 'statement_ms'
                   -- one that was rehearsed a thousand times in vain is not read a thousand times
                   FROM (SELECT r.details, r.event_number FROM migrollback_schema.migration_events r
                          WHERE r.event = 'rehearsed' AND r.migration_name = names[cardinality(names)]
                          ORDER BY r.event_number DESC LIMIT 20) e
                  WHERE e.details ->> 'success' = 'true' AND e.details ? 'statement_ms' AND NOT e.details ? 'where'
                  ORDER BY e.event_number DESC LIMIT 1);
    -- asking for the size of one that another session has locked would wait for it
    busy := ARRAY(SELECT l.relation FROM pg_locks l
                   WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' AND l.pid <> pg_backend_pid());
    locks := (
        WITH entry AS MATERIALIZED (
            SELECT e.* FROM migrollback_schema.foreseen_lock_entries(names, otherwise_path) e),
        sized AS MATERIALIZED (
            SELECT r.relation, s.heap, s.whole
              FROM (SELECT DISTINCT e.relation, e.work IS NOT NULL AS works FROM entry e) r
              JOIN pg_class c ON c.oid = r.relation
             CROSS JOIN LATERAL (
                 SELECT CASE WHEN m.exact THEN pg_relation_size(c.oid) ELSE m.known END AS heap,
                        CASE WHEN m.exact THEN pg_total_relation_size(c.oid) ELSE m.known END AS whole
                   FROM (SELECT r.works AND c.oid <> ALL (busy) AS exact,
                                c.relpages::bigint * current_setting('block_size')::int AS known) m) s
             WHERE r.works OR NOT EXISTS (SELECT FROM entry o WHERE o.relation = r.relation AND o.work IS NOT NULL)),
        timed AS MATERIALIZED (
            SELECT e.*, z.whole, migrollback_schema.foreseen_ms(e.work, e.why, z.heap, z.whole) AS ms
              FROM entry e JOIN sized z ON z.relation = e.relation),
        -- of each statement: as measured, else the most that it does to each relation
        statement AS MATERIALIZED (
            SELECT coalesce(f.place, s.place) AS place, coalesce(f.number, s.statement_number) AS number,
                   coalesce(f.ms, s.ms) AS ms, f.ms IS NOT NULL AS measured
              FROM (SELECT t.place, t.statement_number, sum(t.ms) AS ms
                      FROM (SELECT x.place, x.statement_number, x.relation, max(x.ms) AS ms FROM timed x
                             GROUP BY 1, 2, 3) t GROUP BY 1, 2) s
              FULL JOIN (SELECT n.place, m.number::int AS number, m.ms::numeric AS ms
                           FROM unnest(names) WITH ORDINALITY AS n (name, place)
                           JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
                            AND measured #>> ARRAY[n.name, 'md5'] = md5(convert_to(h.rollback_sql, 'UTF8'))
                          CROSS JOIN LATERAL jsonb_array_elements_text(measured #> ARRAY[n.name, 'ms'])
                                             WITH ORDINALITY AS m (ms, number)) f
                ON f.place = s.place AND f.number = s.statement_number),
        held AS (
            SELECT s.*, sum(s.ms) OVER (ORDER BY s.place DESC, s.number DESC) AS held_ms FROM statement s),
        strong AS (
            SELECT t.relation, t.migration_name, t.statement_number, t.mode, t.work, t.why, t.whole, h.measured,
                   CASE WHEN t.work IS NULL THEN 0 WHEN h.measured THEN h.ms ELSE t.ms END AS ms,
                   max(h.held_ms) OVER (PARTITION BY t.relation) AS held_ms,
                   row_number() OVER (PARTITION BY t.relation
                                      ORDER BY t.work IS NULL, array_position(modes, t.mode) DESC, t.ms DESC,
                                               t.place, t.statement_number) AS rank
              FROM timed t JOIN held h ON h.place = t.place AND h.number = t.statement_number
             WHERE t.mode = ANY (modes)),
        lock AS (
            SELECT s.relation AS oid, s.held_ms, array_position(modes, s.mode) AS strength, jsonb_build_object(
                       'relation', format('%I.%I', n.nspname, c.relname), 'mode', s.mode, 'work', s.work, 'why', s.why,
                       'bytes', s.whole, 'ms', round(s.ms), 'held_ms', round(s.held_ms), 'measured', s.measured,
                       'migration_name', s.migration_name, 'statement_number', s.statement_number) AS lock
              FROM strong s JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE s.rank = 1)
        SELECT jsonb_agg(l.lock || jsonb_build_object('words', concat(
                   l.lock ->> 'relation', ', ', migrollback_schema.foreseen_lock_words(l.lock)))
                         ORDER BY l.lock ->> 'work' IS NULL, (l.lock ->> 'ms')::numeric DESC, l.held_ms DESC,
                                  l.strength DESC, l.lock ->> 'relation')
          FROM lock l);
    RETURN jsonb_build_object(
        'locks', coalesce(locks, '[]'),
        'longest_ms', coalesce((SELECT max((l ->> 'held_ms')::numeric) FROM jsonb_array_elements(locks) l), 0),
        'unknown', (SELECT coalesce(jsonb_agg(n.name ORDER BY n.place), '[]')
                      FROM unnest(names) WITH ORDINALITY AS n (name, place)
                      JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
                     WHERE NOT coalesce(h.metadata -> 'rollback' ? 'locks'
                                        AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8')),
                                        false)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.foreseen_locks(text[], text) IS
    'What these rollbacks, in this order, will lock so that readers or writers wait, before they run: locks (relation, '
    'mode as in PostgreSQL''s manual, work: rewrite, scan, build of an index or null, why, bytes, ms, held_ms: until '
    'the end of the SQL, measured: in the last rehearsal here, migration_name, statement_number, words), longest_ms, '
    'unknown: migrations whose SQL was not parsed for it. One for each relation, the longest work first. Times are '
    'estimates: sizes by assumed throughputs. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.foreseen_lock_effects(
    names text[], otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'effect', 'locks', 'identity', l.value ->> 'relation', 'rows', NULL,
               'detail', migrollback_schema.foreseen_lock_words(l.value), 'migration', NULL,
               'known_by', CASE WHEN (l.value ->> 'measured')::boolean THEN 'rehearsal' ELSE 'catalog' END)
                              ORDER BY l.place), '[]')
      FROM jsonb_array_elements(migrollback_schema.foreseen_locks(names, otherwise_path) -> 'locks')
           WITH ORDINALITY AS l (value, place)
$function$;
COMMENT ON FUNCTION migrollback_schema.foreseen_lock_effects(text[], text) IS
    'foreseen_locks() as effects of an assessment: known by the rehearsal that measured them, else by the catalogs. '
    'Does not write.';
