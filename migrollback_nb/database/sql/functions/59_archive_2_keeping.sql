-- ---------------------------------------------------------------------------------------------------
-- Archives: keeping what SQL destroys, in the transaction that runs it.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.text_tells_all(destroys jsonb, statements text[], search_path text)
RETURNS boolean LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    said constant text := lower(array_to_string(statements, ' '));
BEGIN
    IF NOT coalesce(migrollback_schema.is_destroyed_list(destroys -> 'values'), false)
       OR coalesce((destroys -> 'unseen')::boolean, true) THEN
        RETURN false;
    END IF;
    -- functions of the database, and tables that are not found where the text says they are
    IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                WHERE p.proname = ANY (ARRAY(SELECT jsonb_array_elements_text(coalesce(destroys -> 'calls', '[]'))))
                  AND p.pronamespace <> 'pg_catalog'::regnamespace AND l.lanname NOT IN ('c', 'internal'))
       OR coalesce((SELECT array_position(migrollback_schema.named_objects(
                        array_agg('table'::text), array_agg(v.schema), array_agg(v."table"), search_path), NULL)
                        IS NOT NULL
                      FROM jsonb_to_recordset(destroys -> 'values') AS v (schema text, "table" text, "of" text)
                     WHERE v."of" IS NULL), false) THEN
        RETURN false;
    END IF;
    -- what rows that are written set off: triggers and rules write where no text says it
    RETURN NOT coalesce((destroys -> 'writes')::boolean, true) OR NOT EXISTS (
        SELECT FROM pg_class c
         WHERE c.relkind IN ('r', 'p', 'v', 'f') AND c.oid >= 16384 AND strpos(said, lower(c.relname)) > 0
           AND (c.relkind = 'v' OR c.relhasrules
                OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.text_tells_all(jsonb, text[], text) IS
    'Whether the parsed text of SQL says all that it destroys: it builds none while it runs, calls no function of the '
    'database, and sets off no trigger or rule. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.destroyed_in_trial(
    destroys jsonb, statements text[], search_path text, session_path text, session_settings jsonb DEFAULT '{}',
    watch bigint DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before  jsonb;
    outcome jsonb;
    written jsonb;
    known   jsonb;
    found   jsonb := '[]';
BEGIN
    IF migrollback_schema.text_tells_all(destroys, statements, destroyed_in_trial.search_path) THEN
        RETURN found;
    END IF;
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(watch);
        before := coalesce(migrollback_schema.count_destroyed_values(destroys, statements,
                                                                     destroyed_in_trial.search_path),
                           '{"targets": [], "written": {}}');
        outcome := migrollback_schema.run_migration_sql(
            statements, destroyed_in_trial.search_path, destroyed_in_trial.session_path, session_settings,
            '{}'::text[], '{}'::text[], '{}'::oid[], false, '{}'::text[]);
        IF NOT outcome ? 'sqlstate' THEN
            written := (
                SELECT coalesce(jsonb_object_agg(w.oid, jsonb_build_array(
                           w.updated - coalesce((before #>> ARRAY['written', w.oid::text, '0'])::bigint, 0),
                           w.deleted - coalesce((before #>> ARRAY['written', w.oid::text, '1'])::bigint, 0))), '{}')
                  FROM migrollback_schema.rows_written_in_transaction() w);
            known := (SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')
                        FROM migrollback_schema.destroyed_by_text(before, written) t);
            found := (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_array(d.what, d.identity)), '[]')
                        FROM (SELECT k.what, k.identity FROM jsonb_to_recordset(known) AS k (what text, identity text)
                              UNION ALL
                              SELECT b.what, b.identity
                                FROM migrollback_schema.destroyed_beyond_text(before, written, known) b) d);
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
    EXCEPTION WHEN SQLSTATE 'MR099' THEN
        NULL;                           -- undone; the variable keeps what was found
    END;
    IF (outcome ->> 'sqlstate') IN ('57014', '55P03', '40P01') THEN
        RAISE EXCEPTION '%', outcome ->> 'message' USING ERRCODE = outcome ->> 'sqlstate';
    END IF;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.destroyed_in_trial(jsonb, text[], text, text, jsonb, bigint) IS
    'Does not write: where the text does not tell what SQL destroys, runs it once, undoes that, and returns what it '
    'destroyed: an array of [what, identity]. watch: as of rehearse_migration_rollbacks().';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_targets("values" jsonb, found jsonb, search_path text)
RETURNS TABLE (relation oid, is_table boolean, columns text[], is_rows boolean, is_whole boolean, what text[])
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH RECURSIVE one AS MATERIALIZED (
        SELECT t.relation, t.what, a.attname::text AS col, NOT t.is_partial AS is_whole
          FROM migrollback_schema.destroyed_targets("values", search_path) t
          LEFT JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum = t.column_number AND t.column_number > 0
         WHERE t.column_number >= 0
           AND NOT coalesce(t.what = 'rewritten' AND t.is_cast AND t.new_type IS NOT NULL
                            AND migrollback_schema.type_keeps_values(a.atttypid, a.atttypmod, t.new_type,
                                                                     t.new_modifier, t.is_explicit), false)
        UNION ALL
        SELECT coalesce(CASE WHEN f.what IN ('updated', 'deleted') THEN pg_partition_root(c.oid)::oid END, c.oid),
               f.what, i.parts[3], false
          FROM jsonb_array_elements(found) e
         CROSS JOIN LATERAL (SELECT e ->> 0 AS what, e ->> 1 AS identity) f
         CROSS JOIN LATERAL (SELECT parse_ident(f.identity, false) AS parts) i
          JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', i.parts[1], i.parts[2])) AND c.relkind IN ('r', 'p')),
    reached (relation, what) AS (       -- rows that go, or change, with those that they refer to
        SELECT o.relation, o.what FROM one o WHERE o.what IN ('updated', 'deleted')
        UNION
        SELECT coalesce(pg_partition_root(k.conrelid)::oid, k.conrelid),
               CASE WHEN r.what = 'deleted' AND k.confdeltype = 'c' THEN 'deleted' ELSE 'updated' END
          FROM reached r JOIN pg_constraint k ON k.confrelid = r.relation AND k.contype = 'f'
           AND (r.what = 'deleted' AND k.confdeltype IN ('c', 'n', 'd')
                OR r.what = 'updated' AND k.confupdtype IN ('c', 'n', 'd'))),
    every AS (
        SELECT o.* FROM one o
        UNION ALL SELECT r.relation, r.what, NULL, false FROM reached r
         WHERE NOT EXISTS (SELECT FROM one o WHERE o.relation = r.relation AND o.what = r.what))
    SELECT e.relation, bool_or(e.what IN ('table dropped', 'truncated')),
           coalesce(array_agg(DISTINCT e.col) FILTER (WHERE e.what IN ('column dropped', 'rewritten')
                                                      AND e.col IS NOT NULL), '{}'),
           bool_or(e.what IN ('updated', 'deleted')),
           coalesce(bool_or(e.is_whole) FILTER (WHERE e.what IN ('updated', 'deleted')), false),
           array_agg(DISTINCT e.what)
      FROM every e JOIN pg_class c ON c.oid = e.relation
     WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
       AND c.relnamespace IS DISTINCT FROM to_regnamespace('migrollback_archive')
       AND e.relation <> ALL ((SELECT migrollback_schema.migration_system_tables())::oid[])
     GROUP BY e.relation
$function$;
COMMENT ON FUNCTION migrollback_schema.archive_targets(jsonb, jsonb, text) IS
    'What is to be kept of which table: all of it (dropped, emptied), columns (dropped, rewritten), rows as they '
    'change; is_whole: all its rows change. "values": as the parser found them; found: of destroyed_in_trial(). Does '
    'not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.keep_table(
    archive bigint, kind text, relation oid, only_this boolean, column_names text[], what text[],
    unhashed text[] DEFAULT '{}')
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
    -- values are kept as text where their type is not PostgreSQL's own
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    every  constant jsonb := migrollback_schema.archive_columns(relation);
    keys   constant text[] := migrollback_schema.archive_key(relation, CASE WHEN kind = 'columns' THEN column_names
                                                                       END);
    source record;
    kept   jsonb := (SELECT coalesce(jsonb_agg(c ORDER BY (c ->> 'number')::int), '[]')
                       FROM jsonb_array_elements(every) c
                      WHERE column_names IS NULL OR c ->> 'name' = ANY (column_names || keys));
    data   constant text := 'a_' || left(replace(gen_random_uuid()::text, '-', ''), 20);
    place  bigint;
    number bigint;
    why    text;
    member oid;
BEGIN
    SELECT n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) AS identity, c.relkind INTO source
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
    why := CASE WHEN kind = 'columns' AND keys IS NULL
                THEN 'without a primary key, or a unique one that is not null, no value finds its row again'
                WHEN kind = 'rows' AND 'updated' = ANY (what) AND keys IS NULL
                THEN 'without a primary key, or a unique one that is not null, no updated row is found again' END;
    -- no sequence: it would be one more object of the schema; the gate lets one in at a time
    INSERT INTO migrollback_schema.migration_archived_tables (part, archive_id, kind, relation, only_this,
            table_schema, table_name, what, columns, key_columns, hashed, data, why_not, sequences)
    VALUES ((SELECT coalesce(max(t.part), 0) + 1 FROM migrollback_schema.migration_archived_tables t), archive,
            kind, relation, only_this, source.nspname, source.relname, what, kept, keys,
            ARRAY(SELECT c ->> 'name' FROM jsonb_array_elements(every) c
                   WHERE NOT (c ->> 'generated')::boolean AND c ->> 'name' <> ALL (unhashed)), data, why,
            jsonb_build_object('before', migrollback_schema.sequence_states(
                migrollback_schema.sequences_of_table(relation))))
    RETURNING part INTO place;
    BEGIN
        -- before it is read: what was committed meanwhile is read, too
        EXECUTE format('LOCK TABLE %s %s IN %s MODE', CASE WHEN only_this THEN 'ONLY' ELSE '' END, source.identity,
                       CASE WHEN kind = 'rows' THEN 'SHARE ROW EXCLUSIVE' ELSE 'ACCESS EXCLUSIVE' END);
        IF kind = 'rows' THEN
            EXECUTE format('CREATE TABLE migrollback_archive.%I (batch bigint, op "char", h bigint, skip boolean%s%s)',
                data,
                (SELECT string_agg(format(', n%s %s', k.place, c ->> 'stored'), '' ORDER BY k.place)
                   FROM unnest(keys) WITH ORDINALITY AS k (name, place)
                   JOIN jsonb_array_elements(every) c ON c ->> 'name' = k.name),
                (SELECT string_agg(format(', c%s %s', c ->> 'number', c ->> 'stored'), ''
                                   ORDER BY (c ->> 'number')::int) FROM jsonb_array_elements(kept) c));
            FOREACH member IN ARRAY migrollback_schema.table_members(relation) LOOP
                PERFORM migrollback_schema.watch_rows(member, place);
            END LOOP;
        ELSE
            EXECUTE format('CREATE TABLE migrollback_archive.%I AS SELECT NULL::boolean AS skip, NULL::bigint AS h%s '
                           'FROM %s %s x', data,
                (SELECT string_agg(format(', %s AS c%s', migrollback_schema.kept_expression(c, 'x', c ->> 'name'),
                                          c ->> 'number'), '' ORDER BY (c ->> 'number')::int)
                   FROM jsonb_array_elements(kept) c),
                CASE WHEN only_this THEN 'ONLY' ELSE '' END, source.identity);
            GET DIAGNOSTICS number = ROW_COUNT;
        END IF;
        PERFORM migrollback_schema.close_archive('TABLE', format('migrollback_archive.%I', data)::regclass,
                                                 format('migrollback_archive.%I', data),
                                                 migrollback_schema.system_owner());
    EXCEPTION WHEN insufficient_privilege THEN
        why := 'this role may not read all rows of it: a right is missing, or row security hides them';
    END;
    UPDATE migrollback_schema.migration_archived_tables t
       SET rows = number, why_not = why,
           data = CASE WHEN to_regclass(format('migrollback_archive.%I', t.data)) IS NOT NULL THEN t.data END,
           bytes = coalesce(pg_table_size(to_regclass(format('migrollback_archive.%I', t.data))), 0)
     WHERE t.part = place;
END $function$;
COMMENT ON FUNCTION migrollback_schema.keep_table(bigint, text, oid, boolean, text[], text[], text[]) IS
    'Writes: locks a table, and keeps of it all (kind table; compared: to see afterwards what changed), these columns '
    'with their key (columns), or makes triggers that keep rows as they change (rows). unhashed: columns that it will '
    'not have afterwards as they are.';

CREATE OR REPLACE FUNCTION migrollback_schema.sequences_of_table(relation oid) RETURNS oid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
    SELECT coalesce(array_agg(DISTINCT s.oid), '{}')
      FROM (SELECT d.objid AS oid FROM pg_depend d
             WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.refobjsubid > 0
               AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
            UNION SELECT u.refobjid FROM pg_attrdef f
              JOIN pg_depend u ON u.classid = 'pg_attrdef'::regclass AND u.objid = f.oid
               AND u.refclassid = 'pg_class'::regclass AND u.refobjid <> relation
             WHERE f.adrelid = relation) d
      JOIN pg_class s ON s.oid = d.oid AND s.relkind = 'S'
$function$;
COMMENT ON FUNCTION migrollback_schema.sequences_of_table(oid) IS
    'The sequences that a table owns, or takes its defaults from. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.watch_rows(relation oid, part bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    event   text;
    trigger text;
BEGIN
    FOREACH event IN ARRAY '{UPDATE,DELETE}'::text[] LOOP
        -- the last of their moment: what other triggers did is to be seen
        trigger := format('zzzz_migrollback_archive_%s_%s', lower(event), part);
        EXECUTE format(
            'CREATE TRIGGER %I AFTER %s ON %s REFERENCING OLD TABLE AS migrollback_old%s FOR EACH STATEMENT '
            'EXECUTE FUNCTION %s.archive_changed_rows(%L)', trigger, event, relation::regclass,
            CASE event WHEN 'UPDATE' THEN ' NEW TABLE AS migrollback_new' ELSE '' END, 'migrollback_schema', part);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation::regclass, trigger);
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.watch_rows(oid, bigint) IS
    'Writes: makes the triggers that keep rows of a table as they change, until forget_watches().';

CREATE OR REPLACE FUNCTION migrollback_schema.forget_watches() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT g.tgname, g.tgrelid FROM pg_trigger g
                WHERE g.tgfoid = to_regprocedure('migrollback_schema' || '.archive_changed_rows()')
                  AND starts_with(g.tgname, 'zzzz_migrollback_archive_') AND g.tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', one.tgname, one.tgrelid::regclass);
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.forget_watches() IS
    'Writes: drops the triggers of watch_rows(). No others can be there: they never outlive their transaction.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_changed_rows() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    -- the rows of a large statement meet in memory
    SET work_mem = '64MB' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC'
    SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    place   record;
    present jsonb;                      -- name from before -> name now, of the columns that are there as they were
    batch   bigint;
    number  bigint;
BEGIN
    SELECT t.* INTO place FROM migrollback_schema.migration_archived_tables t
     WHERE t.part = TG_ARGV[0]::bigint AND t.data IS NOT NULL;
    IF NOT FOUND OR place.relation <> ALL (ARRAY[TG_RELID] || ARRAY(
               WITH RECURSIVE up (oid) AS (
                   SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = TG_RELID
                   UNION SELECT i.inhparent FROM up u JOIN pg_inherits i ON i.inhrelid = u.oid)
               SELECT u.oid FROM up u)) THEN
        RETURN NULL;                    -- not one of watch_rows()
    END IF;
    present := (SELECT coalesce(jsonb_object_agg(c ->> 'name', a.attname), '{}')
                  FROM jsonb_array_elements(place.columns) c
                  JOIN pg_attribute a ON a.attrelid = TG_RELID AND NOT a.attisdropped
                   AND a.atttypid = (c ->> 'type_id')::oid
                   AND CASE WHEN TG_RELID = place.relation THEN a.attnum = (c ->> 'number')::int
                            ELSE a.attname = c ->> 'name' END);
    batch := nextval('migrollback_archive.batches');
    EXECUTE format('INSERT INTO migrollback_archive.%I (batch, op%s%s%s) SELECT $1, $2%s%s%s FROM %s', place.data,
        (SELECT string_agg(format(', n%s', k.place), '' ORDER BY k.place)
           FROM unnest(place.key_columns) WITH ORDINALITY AS k (name, place) WHERE present ? k.name),
        CASE WHEN TG_OP = 'UPDATE' THEN ', h' ELSE '' END,
        (SELECT string_agg(format(', c%s', c ->> 'number'), '' ORDER BY (c ->> 'number')::int)
           FROM jsonb_array_elements(place.columns) c WHERE present ? (c ->> 'name')),
        (SELECT string_agg(', ' || migrollback_schema.kept_expression(
                    c, CASE WHEN TG_OP = 'UPDATE' THEN 'n' ELSE 'o' END, present ->> k.name), '' ORDER BY k.place)
           FROM unnest(place.key_columns) WITH ORDINALITY AS k (name, place)
           JOIN jsonb_array_elements(place.columns) c ON c ->> 'name' = k.name WHERE present ? k.name),
        CASE WHEN TG_OP = 'UPDATE' THEN ', ' || coalesce(migrollback_schema.row_hash_expression(
                 'n', ARRAY(SELECT present ->> h.name FROM unnest(place.hashed) WITH ORDINALITY AS h (name, place)
                             WHERE present ? h.name ORDER BY h.place),
                 migrollback_schema.is_plainly_hashed(place.columns, place.hashed)), 'NULL')
             ELSE '' END,
        (SELECT string_agg(', ' || migrollback_schema.kept_expression(c, 'o', present ->> (c ->> 'name')), ''
                           ORDER BY (c ->> 'number')::int)
           FROM jsonb_array_elements(place.columns) c WHERE present ? (c ->> 'name')),
        CASE WHEN TG_OP = 'UPDATE' THEN
            -- a row stands at the same place in both
            '(SELECT pg_catalog.row_number() OVER () AS migrollback_place, x.* FROM migrollback_old x) o JOIN '
            '(SELECT pg_catalog.row_number() OVER () AS migrollback_place, x.* FROM migrollback_new x) n '
            'USING (migrollback_place)'
            ELSE 'migrollback_old o' END)
    USING batch, left(TG_OP, 1);
    GET DIAGNOSTICS number = ROW_COUNT;
    IF number > 0 THEN
        PERFORM migrollback_schema.refuse_large_archive(
            number, pg_relation_size(format('migrollback_archive.%I', place.data)::regclass));
    END IF;
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.archive_changed_rows() IS
    'Trigger function of watch_rows(): writes the rows of a statement, as they were, to their archive; calls no '
    'function of a user''s.';

CREATE OR REPLACE FUNCTION migrollback_schema.row_hash_expression(alias text, columns text[], plain boolean)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT format(CASE WHEN plain THEN 'pg_catalog.hash_record_extended(ROW(%s), 0)'
                       ELSE 'pg_catalog.hashtextextended(ROW(%s)::text, 0)' END,
                  string_agg(format('%s.%I', alias, c.name), ', ' ORDER BY c.place))
      FROM unnest(columns) WITH ORDINALITY AS c (name, place)
$function$;
COMMENT ON FUNCTION migrollback_schema.row_hash_expression(text, text[], boolean) IS
    'SQL of a hash of these values of a row, by which it is seen whether they are the same later. plain: all of types '
    'that can be hashed as they are, which takes half as long. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_plainly_hashed(part_columns jsonb, hashed text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT cardinality(hashed) > 0 AND bool_and((c ->> 'type_id')::oid IN (
               'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype, 'varchar'::regtype, 'bool'::regtype,
               'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'uuid'::regtype, 'numeric'::regtype))
           AND count(*) = cardinality(hashed)
      FROM jsonb_array_elements(part_columns) c WHERE c ->> 'name' = ANY (hashed)
$function$;
COMMENT ON FUNCTION migrollback_schema.is_plainly_hashed(jsonb, text[]) IS
    'Whether all of these columns have types that can be hashed as they are. Does not write.';
