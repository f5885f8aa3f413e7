-- ---------------------------------------------------------------------------------------------------
-- What an up migration destroyed: compared before and after it has run, recorded, and told.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.count_destroyed_values(
    destroys jsonb, statements text[] DEFAULT '{}',
    search_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    -- a few rows of large catalogs; planned once
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    is_parsed constant boolean := coalesce(migrollback_schema.is_destroyed_list(destroys -> 'values'), false);
    calls     text[] := CASE WHEN is_parsed AND jsonb_typeof(destroys -> 'calls') = 'array'
                             THEN ARRAY(SELECT jsonb_array_elements_text(destroys -> 'calls')) END;
    called    oid[];                    -- functions that are no part of PostgreSQL
    is_unseen boolean := NOT is_parsed OR coalesce((destroys -> 'unseen')::boolean, true);
    before    jsonb;
BEGIN
    IF cardinality(calls) > 0 THEN
        called := ARRAY(SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                         WHERE p.proname = ANY (calls) AND p.pronamespace <> 'pg_catalog'::regnamespace
                           AND l.lanname NOT IN ('c', 'internal'));
    END IF;
    -- a table that is not found where the text says it is: renamed by what no text says, or on another path
    is_unseen := is_unseen OR coalesce(cardinality(called) > 0, false) OR destroys -> 'values' <> '[]' AND coalesce((
        SELECT array_position(migrollback_schema.named_objects(
                   array_agg('table'::text), array_agg(v.schema), array_agg(v."table"), search_path), NULL) IS NOT NULL
          FROM jsonb_to_recordset(destroys -> 'values') AS v (schema text, "table" text, "of" text, if_there boolean,
                                                              if_exists boolean)
         WHERE v."of" IS NULL AND v.if_there IS NOT TRUE AND v.if_exists IS NOT TRUE), false);
    IF NOT is_unseen AND destroys -> 'values' = '[]' AND (
           destroys -> 'writes' = 'false' OR NOT EXISTS (      -- rows are only added, and nothing else follows from it
               SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
                WHERE NOT g.tgisinternal AND NOT (
                    p.pronamespace = 'migrollback_schema'::regnamespace
                    AND p.proname ~ '^(chain_migration|refuse|guard_history|complete_history|record_history)_'))) THEN
        RETURN NULL;
    END IF;
    BEGIN                               -- counting locks too, so it is undone
        before := jsonb_build_object(
            'targets', CASE WHEN is_parsed THEN migrollback_schema.count_destroyed_targets(destroys -> 'values',
                                                                                          search_path)
                       ELSE '[]' END,
            'since', (SELECT max(c.oid) FROM pg_class c), 'counted', current_setting('track_counts') = 'on',
            'relations', CASE WHEN is_unseen THEN migrollback_schema.unseen_baseline(
                array_to_string(statements, ' ')
                || coalesce((SELECT string_agg(p.prosrc, ' ') FROM pg_proc p WHERE p.oid = ANY (called)), '')) END);
        before := before || jsonb_build_object('digests', migrollback_schema.value_digests(ARRAY(
            SELECT (t.value ->> 'relation')::oid FROM jsonb_array_elements(before -> 'targets') t
            UNION SELECT (r.value ->> 'relation')::oid
              FROM jsonb_array_elements(CASE jsonb_typeof(before -> 'relations') WHEN 'array'
                                        THEN before -> 'relations' END) r WHERE r.value -> 'exact' = 'true'),
            clock_timestamp() + interval '1 s'));
        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
    EXCEPTION WHEN SQLSTATE 'MR099' THEN
        NULL;
    END;
    -- what this session wrote before may still be counted, that of an earlier transaction too
    RETURN before || jsonb_build_object('written', (
        SELECT coalesce(jsonb_object_agg(w.oid, jsonb_build_array(w.updated, w.deleted)), '{}')
          FROM migrollback_schema.rows_written_in_transaction() w));
END $function$;
COMMENT ON FUNCTION migrollback_schema.count_destroyed_values(jsonb, text[], text) IS
    'To be called before an up migration runs; record_destroyed_values() takes what it returns. destroys: '
    'migration_history.metadata -> destroys, NULL where it was not parsed; statements: its SQL, for the names in it. '
    'Counts up to 100,000 rows of each table that the text says loses something; of what no text says (SQL that is '
    'built while it runs, functions of the database), also of the tables named there. NULL: nothing can be lost. Does '
    'not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rows_written_in_transaction()
RETURNS TABLE (oid oid, updated bigint, deleted bigint)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT w.* FROM (
        SELECT c.oid, pg_stat_get_xact_tuples_updated(c.oid) AS updated, pg_stat_get_xact_tuples_deleted(c.oid)
               AS deleted
          FROM pg_class c
         WHERE c.relkind = 'r' AND c.oid >= 16384 AND c.relpersistence <> 't'
           AND c.relnamespace <> 'pg_toast'::regnamespace
           AND c.relnamespace IS DISTINCT FROM to_regnamespace('migrollback_archive')) w
     WHERE w.updated > 0 OR w.deleted > 0
$function$;
COMMENT ON FUNCTION migrollback_schema.rows_written_in_transaction() IS
    'Of each table, temporary ones left out, how many rows this session has updated and deleted that the server has '
    'not yet added to its statistics: compare two answers of one transaction. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.destroyed_by_text(before jsonb, written jsonb)
RETURNS TABLE (statement_number int, what text, identity text, rows bigint, estimated boolean, certain boolean,
               relation oid, column_number int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    -- a few tables: looked up, not hashed with all the others
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $function$
    WITH target AS (
        SELECT t.*, c.oid IS NULL AS is_gone, c.relfilenode AS new_file, a.attisdropped AS column_gone,
               a.atttypid AS new_type, a.atttypmod AS new_modifier,
               -- the server counts rows of a table, not of each statement
               min(t.statement) OVER same <> max(t.statement) OVER same AS is_repeated,
               CASE WHEN (before -> 'counted')::boolean AND t.what IN ('updated', 'deleted') THEN (
                   SELECT coalesce(sum((written #>> ARRAY[m.oid::text, CASE t.what WHEN 'updated' THEN '0' ELSE '1' END]
                                       )::bigint), 0)
                     FROM unnest(migrollback_schema.table_members(t.relation)) AS m (oid)) END AS changed
          FROM jsonb_to_recordset(before -> 'targets') AS t (
                   statement int, what text, relation oid, "column" int, certain boolean, partial boolean,
                   identity text, type oid, modifier int, "cast" boolean, explicit boolean, file oid, kind "char",
                   rows bigint, total bigint, exact boolean, checked boolean)
          LEFT JOIN pg_class c ON c.oid = t.relation
          LEFT JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum = t."column" AND t."column" > 0
        WINDOW same AS (PARTITION BY t.relation, t.what)),
    happened AS (
        SELECT t.*,
               CASE t.what
                   WHEN 'table dropped' THEN t.is_gone
                   WHEN 'column dropped' THEN t.column_gone AND NOT t.is_gone
                   WHEN 'truncated' THEN t.is_gone OR t.kind = 'p' OR t.new_file <> t.file
                   -- of a composite type an attribute went
                   WHEN 'rewritten' THEN NOT t.is_gone AND NOT t.column_gone AND (t."cast" IS NULL
                       OR (t.type, t.modifier) IS DISTINCT FROM (t.new_type, t.new_modifier)
                       AND NOT (t."cast" AND NOT t.checked AND migrollback_schema.type_keeps_values(
                                    t.type, t.modifier, t.new_type, t.new_modifier, t.explicit)))
                   ELSE NOT t.is_gone AND coalesce(NOT t.column_gone, true) END AS is_so
          FROM target t)
    SELECT DISTINCT ON (h.what, h.relation, h."column")
           h.statement, h.what, h.identity,
           CASE WHEN NOT h.is_so OR h."column" < 0 THEN 0
                WHEN h.what NOT IN ('updated', 'deleted') THEN h.rows
                WHEN h.changed IS NULL THEN CASE WHEN NOT h.partial THEN h.total END
                -- a row that is written twice is one row
                WHEN h.exact THEN least(h.changed, h.total) ELSE h.changed END,
           h.is_so AND CASE WHEN h.what IN ('updated', 'deleted') AND h.changed IS NOT NULL
                            THEN h.is_repeated AND h.changed > 0
                            ELSE NOT h.exact AND h.rows IS NOT NULL END,
           true, h.relation, h."column"
      FROM happened h ORDER BY h.what, h.relation, h."column", h.is_so DESC, h.statement
$function$;
COMMENT ON FUNCTION migrollback_schema.destroyed_by_text(jsonb, jsonb) IS
    'What has become of the targets that count_destroyed_values() counted: rows 0 where nothing went. written: rows '
    'that the migration has written, by oid of their table ([updated, deleted]). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.destroyed_beyond_text(before jsonb, written jsonb, known jsonb)
RETURNS TABLE (what text, identity text, rows bigint, estimated boolean)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH named AS MATERIALIZED (        -- what the text says already, partitions included
        SELECT k.what, m.oid AS relation, k.column_number
          FROM jsonb_to_recordset(known) AS k (what text, relation oid, column_number int)
         CROSS JOIN LATERAL unnest(coalesce(migrollback_schema.table_members(k.relation), ARRAY[k.relation]))
                            AS m (oid)),
    relation AS MATERIALIZED (
        SELECT r.*, c.oid IS NULL AS is_gone, c.relfilenode AS new_file
          FROM jsonb_to_recordset(coalesce(nullif(before -> 'relations', 'null'), '[]')) AS r (
                   relation oid, identity text, file oid, kind "char", rows bigint, exact boolean, columns text[],
                   numbers int[], types oid[], modifiers int[], "values" bigint[])
          LEFT JOIN pg_class c ON c.oid = r.relation),
    found AS (
        SELECT w.what, w.relation, 0 AS column_number, format('%I.%I', n.nspname, c.relname) AS identity, w.rows,
               false AS estimated
          FROM (SELECT x.what, e.key::oid AS relation, (e.value ->> x.place)::bigint AS rows
                  FROM jsonb_each(written) e CROSS JOIN (VALUES ('updated', 0), ('deleted', 1)) AS x (what, place)) w
          JOIN pg_class c ON c.oid = w.relation JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE w.rows > 0 AND w.relation <= (before ->> 'since')::oid
        UNION ALL
        SELECT 'table dropped', r.relation, 0, r.identity, r.rows, NOT r.exact FROM relation r WHERE r.is_gone
        UNION ALL
        SELECT 'truncated', r.relation, 0, r.identity, r.rows, NOT r.exact FROM relation r
         WHERE NOT r.is_gone AND r.new_file <> r.file AND r.kind = 'r' AND pg_relation_size(r.relation) = 0
        UNION ALL
        SELECT CASE WHEN a.attisdropped THEN 'column dropped' ELSE 'rewritten' END, r.relation, a.attnum,
               r.identity || '.' || quote_ident(c.name), coalesce(r."values"[c.place], r.rows), NOT r.exact
          FROM relation r
         CROSS JOIN LATERAL unnest(r.columns, r.numbers, r.types, r.modifiers)
                            WITH ORDINALITY AS c (name, number, type, modifier, place)
          JOIN pg_attribute a ON a.attrelid = r.relation AND a.attnum = c.number
         WHERE a.attisdropped OR (a.atttypid, a.atttypmod) IS DISTINCT FROM (c.type, c.modifier)
           AND NOT migrollback_schema.type_keeps_values(c.type, c.modifier, a.atttypid, a.atttypmod, true))
    SELECT f.what, f.identity, f.rows, f.estimated AND f.rows IS NOT NULL FROM found f
     WHERE f.rows IS DISTINCT FROM 0
       AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = f.relation AND f.column_number > 0)
       AND NOT EXISTS (SELECT FROM named k WHERE k.what = f.what AND k.relation = f.relation
                           AND (f.column_number = 0 OR k.column_number = f.column_number))
       AND NOT EXISTS (SELECT FROM named k WHERE k.what IN ('table dropped', 'truncated') AND k.relation = f.relation)
$function$;
COMMENT ON FUNCTION migrollback_schema.destroyed_beyond_text(jsonb, jsonb, jsonb) IS
    'What an up migration destroyed that its text does not say, by what the server has counted and what is gone from '
    'the catalogs since count_destroyed_values(); known: what destroyed_by_text() says. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_destroyed_values(name text, before jsonb)
RETURNS int LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full; each is made once
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    our_tables oid[] := '{}';
    written    jsonb;
    known      jsonb;
    recorded   int;
BEGIN
    DELETE FROM migrollback_schema.migration_destroyed_values d
     WHERE d.migration_name = record_destroyed_values.name;
    IF before IS NULL THEN
        RETURN 0;
    END IF;
    written := (
        SELECT coalesce(jsonb_object_agg(w.oid, jsonb_build_array(
                   w.updated - coalesce((before #>> ARRAY['written', w.oid::text, '0'])::bigint, 0),
                   w.deleted - coalesce((before #>> ARRAY['written', w.oid::text, '1'])::bigint, 0))), '{}')
          FROM migrollback_schema.rows_written_in_transaction() w);
    IF EXISTS (SELECT FROM jsonb_object_keys(written) w JOIN pg_class c ON c.oid = w::oid
                WHERE c.relnamespace = 'migrollback_schema'::regnamespace AND starts_with(c.relname, 'migration_'))
    THEN
        our_tables := migrollback_schema.migration_system_tables();
        written := written - our_tables::text[];
    END IF;
    known := CASE WHEN before -> 'targets' = '[]' THEN '[]'
                  ELSE (SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')
                          FROM migrollback_schema.destroyed_by_text(before, written) t) END;
    IF known = '[]' AND written = '{}' AND jsonb_typeof(before -> 'relations') <> 'array' THEN
        RETURN 0;
    END IF;
    INSERT INTO migrollback_schema.migration_destroyed_values (migration_name, statement_number, what, identity, rows,
                                                               estimated, certain, source)
    SELECT record_destroyed_values.name, k.statement_number, k.what, k.identity, k.rows, coalesce(k.estimated, false),
           true, 'apply'
      FROM jsonb_to_recordset(known) AS k (statement_number int, what text, identity text, rows bigint,
                                           estimated boolean, column_number int)
     WHERE k.column_number >= 0
    UNION ALL
    SELECT record_destroyed_values.name, NULL, b.what, b.identity, b.rows, coalesce(b.estimated, false), true, 'apply'
      FROM migrollback_schema.destroyed_beyond_text(before, written, known) b;
    GET DIAGNOSTICS recorded = ROW_COUNT;
    IF recorded > 0 THEN
        PERFORM migrollback_schema.keep_value_digests(name, before -> 'digests');
    END IF;
    RETURN recorded;
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_destroyed_values(text, jsonb) IS
    'Writes: keeps what an up migration destroyed that has just run in this transaction, in place of what was kept of '
    'it before. before: from count_destroyed_values(). Returns how many things.';

CREATE OR REPLACE FUNCTION migrollback_schema.qualified_identity(path text, schema text, name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- the first schema of a path is quoted as it stands there
    SELECT coalesce(quote_ident(schema), (regexp_match(path, '^\s*("(?:[^"]|"")*"|[^,\s]+)'))[1], 'public')
           || '.' || quote_ident(name)
$function$;
COMMENT ON FUNCTION migrollback_schema.qualified_identity(text, text, text) IS
    'Identity of a table that is not there, by its name in SQL: in the first schema of the search_path where the SQL '
    'names none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_surely_empty(relation oid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $function$
BEGIN
    RETURN pg_relation_size(relation) = 0;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $function$;
COMMENT ON FUNCTION migrollback_schema.is_surely_empty(oid) IS
    'Whether a table has not a single page; false where another session''s lock is in the way. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_destroyed_by_text(names text[], anew boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
DECLARE
    path    text;
    entries jsonb;
    objects oid[];
    types   oid[];
    before  oid[];
BEGIN
    DELETE FROM migrollback_schema.migration_destroyed_values d
     WHERE d.migration_name = ANY (names) AND (anew OR d.source = 'text');
    FOR path, entries IN
        SELECT coalesce(h.metadata ->> 'search_path', ''), jsonb_agg(v.value || jsonb_build_object(
                   'migration', h.migration_name,
                   -- what the rollback makes of it again is what it was
                   'old', (SELECT jsonb_build_object('type', r ->> 'type', 'mods', r -> 'mods')
                             FROM jsonb_array_elements(CASE WHEN v.value ->> 'what' = 'rewritten'
                                                            THEN h.metadata #> '{rollback,drops}' END) r
                            WHERE r ->> 'what' = 'rewritten' AND r ->> 'table' = v.value ->> 'table'
                              AND r ->> 'column' = v.value ->> 'column' LIMIT 1)))
          FROM migrollback_schema.migration_history h
         CROSS JOIN LATERAL jsonb_array_elements(h.metadata #> '{destroys,values}') AS v (value)
         WHERE h.migration_name = ANY (names)
           AND migrollback_schema.is_destroyed_list(h.metadata #> '{destroys,values}')
           AND coalesce(migrollback_schema.is_destroyed_list(h.metadata #> '{rollback,drops}'), true)
           AND migrollback_schema.is_schema_list(coalesce(h.metadata ->> 'search_path', ''))
           AND NOT v.value ?| '{if_there,new}'
           AND NOT EXISTS (SELECT FROM migrollback_schema.migration_destroyed_values d
                           WHERE d.migration_name = h.migration_name AND d.source = 'apply')
         GROUP BY 1
    LOOP
        SELECT migrollback_schema.named_objects(
                   array_agg(coalesce(v."of", 'table') ORDER BY v.place), array_agg(v.schema ORDER BY v.place),
                   array_agg(v."table" ORDER BY v.place), path),
               migrollback_schema.named_objects(
                   array_agg('type text'::text ORDER BY v.place), array_agg(NULL::text ORDER BY v.place),
                   array_agg(v.type ORDER BY v.place), path),
               migrollback_schema.named_objects(
                   array_agg('type text'::text ORDER BY v.place), array_agg(NULL::text ORDER BY v.place),
                   array_agg(v.old ->> 'type' ORDER BY v.place), path)
          INTO objects, types, before
          FROM ROWS FROM (jsonb_to_recordset(entries) AS (schema text, "table" text, "of" text, type text, old jsonb))
               WITH ORDINALITY AS v (schema, "table", "of", type, old, place);
        INSERT INTO migrollback_schema.migration_destroyed_values (migration_name, statement_number, what, identity,
                                                                   rows, estimated, certain, source)
        SELECT v.migration, v.statement, v.what,
               CASE WHEN v."of" IN ('schema', 'extension', 'role') THEN quote_ident(v."table")
                    WHEN c.oid IS NOT NULL THEN format('%I.%I', n.nspname, c.relname)
                    ELSE migrollback_schema.qualified_identity(path, v.schema, v."table") END
               || coalesce('.' || quote_ident(v."column"), ''),
               -- no row of today has lost a value where there is none
               CASE WHEN v.what IN ('column dropped', 'updated', 'rewritten') AND c.relkind = 'r'
                    AND migrollback_schema.is_surely_empty(c.oid) THEN 0 END,
               false, coalesce(v.certain, true) AND NOT (v.what = 'rewritten' AND v.was IS NULL), 'text'
          FROM ROWS FROM (jsonb_to_recordset(entries) AS (
                   migration text, statement int, what text, schema text, "table" text, "of" text, "column" text,
                   certain boolean, mods int[], "cast" boolean, explicit boolean, old jsonb),
                   unnest(objects, types, before))
               WITH ORDINALITY AS v (migration, statement, what, schema, "table", "of", "column", certain, mods, "cast",
                                     explicit, old, object, new, was, place)
          LEFT JOIN pg_class c ON c.oid = v.object AND coalesce(v."of", 'table') = 'table'
          LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE (c.relkind IS NULL OR c.relkind IN ('r', 'p', 'v'))
           AND NOT (v.what = 'rewritten' AND coalesce(v."cast", true) AND v.new IS NOT NULL
                    AND migrollback_schema.type_keeps_values(
                            coalesce(v.was, 'text'::regtype),
                            migrollback_schema.type_modifier(v.was, ARRAY(
                                SELECT m::int FROM jsonb_array_elements_text(nullif(v.old -> 'mods', 'null')) m)),
                            v.new, migrollback_schema.type_modifier(v.new, v.mods), coalesce(v.explicit, false)));
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_destroyed_by_text(text[], boolean) IS
    'Writes: keeps what the text of these registered migrations says that they destroyed, rows not counted; of those '
    'that were counted when they were applied nothing, unless anew: they were applied again, by another.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_values_not_restored(name text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
DECLARE
    proof  record;
    writes jsonb;
BEGIN
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_destroyed_values d
                   WHERE d.migration_name = migration_values_not_restored.name AND d.rows IS DISTINCT FROM 0) THEN
        RETURN '[]';
    END IF;
    SELECT p.grade, p.effects INTO proof FROM migrollback_schema.migration_history h
      JOIN migrollback_schema.migration_proofs p ON p.migration_name = h.migration_name AND p.checksum = h.checksum
     WHERE h.migration_name = migration_values_not_restored.name;
    IF proof.grade = 'restores' THEN
        RETURN '[]';
    END IF;
    writes := (SELECT h.metadata #> '{rollback,writes}' FROM migrollback_schema.migration_history h
                WHERE h.migration_name = migration_values_not_restored.name
                  AND migrollback_schema.migration_metadata_problem(h.metadata) IS NULL);
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                   'estimated', nullif(g.estimated, false), 'perhaps', nullif(g.perhaps, false)))
                   || jsonb_build_object(
                   'effect', 'values_not_restored', 'identity', g.identity, 'rows', g.rows, 'detail', g.detail,
                   'migration', NULL, 'known_by', CASE WHEN g.counted THEN 'catalog' ELSE 'text' END)
                   ORDER BY g.place, g.identity), '[]')
        FROM (SELECT d.identity, CASE WHEN bool_or(v.left_over IS NOT NULL) THEN max(v.left_over)
                                      WHEN bool_or(d.rows IS NULL) THEN NULL ELSE max(d.rows) END AS rows,
                     bool_or(d.estimated) AS estimated, bool_or(d.source = 'apply') AS counted,
                     min(d.statement_number) AS place, bool_or(w.again) OR NOT bool_or(d.certain) AS perhaps,
                     CASE WHEN bool_or(d.certain) THEN '' ELSE 'perhaps ' END
                     || string_agg(DISTINCT d.what, ' and ')
                     || CASE WHEN bool_or(w.again) THEN ', the rollback writes it again: whether the same values come '
                                                        'back, a rehearsal tells' ELSE '' END AS detail
                FROM migrollback_schema.migration_destroyed_values d
               CROSS JOIN LATERAL (
                   SELECT EXISTS (SELECT FROM jsonb_array_elements(writes) e
                                   WHERE e ->> 1 IN ('insert', 'update')
                                     AND e ->> 3 = i.parts[2] AND coalesce(e ->> 2, i.parts[1]) = i.parts[1]) AS again
                     FROM (SELECT parse_ident(d.identity, false) AS parts) i) w
               CROSS JOIN LATERAL (SELECT migrollback_schema.left_of_archived(
                                              d.migration_name, d.what, d.identity) AS left_over) v
               WHERE d.migration_name = migration_values_not_restored.name AND d.rows IS DISTINCT FROM 0
                 AND v.left_over IS DISTINCT FROM 0
                 -- a proof of this very text says which do not come back
                 AND (proof.grade IS DISTINCT FROM 'loses_data' OR proof.effects = '[]'
                      OR proof.effects @> jsonb_build_array(jsonb_build_object('identity', d.identity)))
               GROUP BY d.identity) g);
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_values_not_restored(text) IS
    'Values and rows that a migration destroyed when it was applied, and that its rollback does not bring back as far '
    'as is known: an array of effects (values_not_restored). None where a proof of this very text says that all come '
    'back; of one that loses data, those that it names. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_loss_by_text(
    name text, otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
DECLARE
    budget  bigint := 512;              -- pages that are read, in all
    drops   jsonb;
    path    text;
    one     record;
    counted jsonb;
    effects jsonb := '[]';
BEGIN
    SELECT h.metadata #> '{rollback,drops}', migrollback_schema.migration_rollback_path(h.metadata, otherwise_path)
      INTO drops, path FROM migrollback_schema.migration_history h
     WHERE h.migration_name = migration_loss_by_text.name
       AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8'))
       AND migrollback_schema.is_destroyed_list(h.metadata #> '{rollback,drops}');
    IF drops IS NULL OR drops = '[]' THEN
        RETURN effects;
    END IF;
    FOR one IN
        SELECT t.relation, min(t.place) AS place, format('%I.%I', n.nspname, c.relname) AS identity,
               (SELECT sum(greatest(k.relpages, 8)) FROM pg_class k
                 WHERE k.oid = ANY (migrollback_schema.table_members(t.relation))) AS pages,
               jsonb_agg(jsonb_build_object('what', t.what, 'column', a.attname, 'partial', t.is_partial,
                                            'certain', t.is_certain) ORDER BY t.place, t.column_number) AS lost,
               bool_or(t.column_number = 0 AND t.what <> 'deleted') AS is_whole
          FROM migrollback_schema.destroyed_targets(drops, path) t
          JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum = t.column_number AND t.column_number > 0
         WHERE t.column_number >= 0
           AND (t.what = 'rewritten' AND t.is_cast AND CASE
                    -- made by the rollback itself: an enum that takes the place of another
                    WHEN t.new_type IS NULL THEN EXISTS (SELECT FROM pg_type y
                                                          WHERE y.oid = a.atttypid AND y.typtype = 'e')
                    ELSE migrollback_schema.type_keeps_values(a.atttypid, a.atttypmod, t.new_type, t.new_modifier,
                                                              t.is_explicit) END) IS NOT TRUE
         GROUP BY t.relation, n.nspname, c.relname ORDER BY min(t.place)
    LOOP
        counted := migrollback_schema.count_without_waiting(
            one.relation, ARRAY(SELECT DISTINCT e ->> 'column' FROM jsonb_array_elements(one.lost) e
                                 WHERE e ->> 'column' IS NOT NULL ORDER BY 1),
            one.pages <= least(256, budget));
        budget := budget - one.pages;
        effects := effects || (
            SELECT coalesce(jsonb_agg(
                       CASE WHEN (counted ->> 'exact')::boolean OR s.rows IS NULL THEN '{}'
                            ELSE '{"estimated": true}' END::jsonb
                       || jsonb_build_object(
                       'effect', CASE WHEN s."column" IS NULL THEN 'loses_rows' ELSE 'loses_values' END,
                       'identity', one.identity || coalesce('.' || quote_ident(s."column"), ''), 'rows', s.rows,
                       'detail', s.detail, 'migration', NULL, 'known_by', 'catalog') ORDER BY s.place), '[]')
            FROM (SELECT l."column", min(l.place) AS place,
                         CASE WHEN bool_and(l.certain) THEN '' ELSE 'perhaps ' END
                         || string_agg(DISTINCT l.what, ' and ') AS detail,
                         CASE WHEN bool_and(l.partial) AND (counted ->> 'rows')::bigint > 0 THEN NULL
                              WHEN l."column" IS NULL OR bool_or(l.what = 'updated') THEN (counted ->> 'rows')::bigint
                              ELSE (counted #>> ARRAY['columns', l."column"])::bigint END AS rows
                    FROM ROWS FROM (jsonb_to_recordset(one.lost) AS (what text, "column" text, partial boolean,
                                                                     certain boolean))
                         WITH ORDINALITY AS l (what, "column", partial, certain, place)
                   -- what goes with its table is not said once more
                   WHERE l."column" IS NULL AND (l.what <> 'deleted' OR NOT one.is_whole)
                      OR l."column" IS NOT NULL AND NOT one.is_whole
                   GROUP BY l."column") s
            WHERE s.rows IS DISTINCT FROM 0);
    END LOOP;
    RETURN effects;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_loss_by_text(text, text) IS
    'Rows and values that the rollback SQL of a migration loses, by what was parsed of it and what the catalogs say: '
    'an array of effects (loses_rows, loses_values). Tables of at most 256 pages, 512 in all, are counted where no '
    'lock is in the way; of others what the statistics say, marked estimated. Nothing where the SQL was registered by '
    'a version before 0.2.0. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.count_without_waiting(
    relation oid, columns text[], is_small boolean)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '50ms' AS $function$
DECLARE
    counted jsonb;
BEGIN
    BEGIN                               -- counting locks too, so it is undone
        counted := migrollback_schema.count_values_within(relation, columns,
                                                          array_fill(NULL::text, ARRAY[cardinality(columns)]),
                                                          CASE WHEN is_small THEN 25000 ELSE -1 END);
        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
    EXCEPTION
        WHEN SQLSTATE 'MR099' THEN
            NULL;
        WHEN lock_not_available THEN
            counted := migrollback_schema.count_values_within(relation, columns, NULL::text[], -1);
    END;
    RETURN jsonb_build_object('exact', counted -> 'exact', 'rows', counted -> 'rows', 'columns', (
        SELECT coalesce(jsonb_object_agg(c.name, counted #> ARRAY['values', (c.place - 1)::text]), '{}')
          FROM unnest(columns) WITH ORDINALITY AS c (name, place)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.count_without_waiting(oid, text[], boolean) IS
    'count_values_within() where the table is small and no lock is in the way, else what the statistics say: exact, '
    'rows, columns (name -> values that are not NULL). Does not write.';
