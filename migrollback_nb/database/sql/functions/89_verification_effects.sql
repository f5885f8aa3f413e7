-- ---------------------------------------------------------------------------------------------------
-- What remains after a rollback beside the schema: state, values and rows, told by its verification. Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.rows_written_by(names text[], event text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_object_agg(w.relation, jsonb_build_array(w.inserted, w.updated, w.deleted)), '{}')
    FROM (SELECT r.key AS relation, sum((r.value ->> 0)::bigint) AS inserted, sum((r.value ->> 1)::bigint) AS updated,
                 sum((r.value ->> 2)::bigint) AS deleted
          FROM unnest(names) AS n (name)
          CROSS JOIN LATERAL (SELECT e.details FROM migrollback_schema.migration_events e
                               WHERE e.migration_name = n.name AND e.event = rows_written_by.event
                               ORDER BY e.event_number DESC LIMIT 1) l
          CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(l.details -> 'written') = 'object'
                                             THEN l.details -> 'written' ELSE '{}' END) r
          GROUP BY r.key) w
$function$;
COMMENT ON FUNCTION migrollback_schema.rows_written_by(text[], text) IS
    'Rows that these migrations wrote when they were last applied (event applied) or rolled back (rolled_back): table '
    '-> [inserted, updated, deleted]. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.stands_now(identity text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    parts constant text[] := parse_ident(identity, false);
BEGIN
    RETURN CASE cardinality(parts)
        WHEN 2 THEN to_regclass(format('%I.%I', parts[1], parts[2])) IS NOT NULL
        WHEN 3 THEN EXISTS (SELECT FROM pg_attribute a
                             WHERE a.attrelid = to_regclass(format('%I.%I', parts[1], parts[2]))
                               AND a.attname = parts[3] AND a.attnum > 0 AND NOT a.attisdropped)
        ELSE true END;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN true;                        -- no name of a table or column
END $function$;
COMMENT ON FUNCTION migrollback_schema.stands_now(text) IS
    'Whether the table or column of this identity is there; true of what is neither. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.changed_rows_effects(names text[], foretold jsonb, proven boolean)
RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    up   constant jsonb := migrollback_schema.rows_written_by(names, 'applied');
    back constant jsonb := migrollback_schema.rows_written_by(names, 'rolled_back');
    -- what a rehearsal of this very rollback compared row by row
    lost jsonb := coalesce((
        SELECT jsonb_agg(e.value ORDER BY e.place)
        FROM jsonb_array_elements(foretold) WITH ORDINALITY AS e (value, place)
        WHERE e.value ->> 'effect' IN ('loses_values', 'loses_rows')
          -- rows that are deleted again are counted below
          AND NOT (coalesce(e.value ->> 'how', '') = 'deleted'
                   AND coalesce((up -> (e.value ->> 'identity') ->> 0)::bigint, 0) > 0)), '[]');
BEGIN
    RETURN lost || coalesce((
        WITH one AS (
            SELECT t.relation, coalesce((up -> t.relation ->> 0)::bigint, 0) AS up_inserted,
                   coalesce((up -> t.relation ->> 2)::bigint, 0) AS up_deleted,
                   coalesce((back -> t.relation ->> 0)::bigint, 0) AS inserted,
                   coalesce((back -> t.relation ->> 1)::bigint, 0) AS updated,
                   coalesce((back -> t.relation ->> 2)::bigint, 0) AS deleted
            FROM (SELECT jsonb_object_keys(up || back) AS relation) t
            WHERE to_regclass(t.relation) IS NOT NULL),
        effect AS (
            -- Rows that the up inserted and the rollback deletes are no loss: as many as were inserted.
            SELECT o.relation, 'loses_rows' AS effect, o.deleted - o.up_inserted AS rows, 'rows deleted' AS detail
              FROM one o
             WHERE o.deleted > o.up_inserted AND NOT proven AND (foretold IS NULL OR o.up_inserted > 0)
            UNION ALL
            SELECT o.relation, 'loses_values', o.updated, 'rows overwritten' FROM one o
             WHERE o.updated > 0 AND NOT proven AND foretold IS NULL
            UNION ALL
            SELECT o.relation, 'leaves_behind', o.up_inserted - o.deleted, 'rows that the migration inserted' FROM one o
             WHERE o.up_inserted > o.deleted
            UNION ALL
            SELECT o.relation, 'leaves_behind', o.inserted - o.up_deleted, 'rows that the rollback inserts' FROM one o
             WHERE o.inserted > o.up_deleted
            UNION ALL
            -- counted nowhere
            SELECT DISTINCT c.oid::regclass::text, 'loses_rows', NULL::bigint, 'table emptied'
              FROM unnest(names) AS n (name)
              JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
             CROSS JOIN LATERAL regexp_matches(h.rollback_sql,
                  '\mtruncate\s+(?:table\s+)?(?:only\s+)?(?:\w+\.)?"?(\w+)', 'gi') AS m (found)
              JOIN pg_class c ON lower(c.relname) = lower(m.found[1]) AND c.relkind IN ('r', 'p') AND c.oid >= 16384
             WHERE foretold IS NULL AND NOT proven)
        SELECT jsonb_agg(migrollback_schema.migration_effect(e.effect, e.relation, e.rows, e.detail, 'catalog',
                                                             NULL::text, false)
                         ORDER BY e.relation, e.effect) FROM effect e), '[]');
END $function$;
COMMENT ON FUNCTION migrollback_schema.changed_rows_effects(text[], jsonb, boolean) IS
    'What the rollbacks of these migrations did to rows of tables that are still there, by what was counted when they '
    'were applied and rolled back. foretold: effects of a rehearsal of this very rollback, NULL where there is none; '
    'proven: a replay has shown that rows come back. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.retyped_columns(changes jsonb, names text[])
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one    record;
    parts  text[];
    filled boolean;
    found  jsonb := '[]';
    sqls   constant text := (SELECT string_agg(h.rollback_sql, ' ') FROM migrollback_schema.migration_history h
                              WHERE h.migration_name = ANY (names));
    -- the SQL says USING, which may make any value of another
    by_expression constant boolean := sqls ~* '\musing\M';
BEGIN
    -- Columns that only take each other's names change no value.
    IF sqls ~* '\mrename\M' AND sqls !~* '\m(type|do|call|select|execute)\M' THEN
        RETURN found;
    END IF;
    FOR one IN SELECT c ->> 'identity' AS identity, c #>> '{old_definition,type}' AS old,
                      c #>> '{new_definition,type}' AS new FROM jsonb_array_elements(changes) c
                WHERE c ->> 'change' = 'changed' AND c ->> 'kind' = 'column'
                  AND c #>> '{old_definition,type}' <> c #>> '{new_definition,type}'
                  -- what keeps every value
                  AND (by_expression OR c #>> '{new_definition,type}' NOT IN ('text', 'character varying'))
                  AND (by_expression OR NOT (c #>> '{old_definition,type}', c #>> '{new_definition,type}') IN (
                      ('smallint', 'integer'), ('smallint', 'bigint'), ('integer', 'bigint'), ('smallint', 'numeric'),
                      ('integer', 'numeric'), ('bigint', 'numeric'), ('real', 'double precision'),
                      -- what is too large is an error
                      ('bigint', 'integer'), ('bigint', 'smallint'), ('integer', 'smallint')))
    LOOP
        parts := parse_ident(one.identity, false);
        -- of a table, and where no policy of others would be asked
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_class c WHERE c.relkind IN ('r', 'p')
                                  AND c.oid = to_regclass(format('%I.%I', parts[1], parts[2])));
        filled := true;
        BEGIN
            IF NOT row_security_active(format('%I.%I', parts[1], parts[2])) THEN
                EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I)', parts[1], parts[2]) INTO filled;
            END IF;
        EXCEPTION WHEN OTHERS THEN      -- not known, so it may be
            NULL;
        END;
        IF filled THEN
            found := found || (migrollback_schema.migration_effect('loses_values', one.identity, NULL::bigint,
                format('type changed from %s to %s, values not compared', one.old, one.new), 'catalog', NULL::text,
                false) || '{"how": "retyped"}'::jsonb);
        END IF;
    END LOOP;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.retyped_columns(jsonb, text[]) IS
    'Effects loses_values of columns whose type a rollback changed to one that does not hold all values of the old '
    'one: how many differ is not known. changes: rows of schema_changes(); names: the migrations, whose SQL says '
    'whether any value may be made of another. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.effects_after_rollback(
    names text[], old_snapshot uuid, new_snapshot uuid, fingerprint text, changes jsonb)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    ended    constant bigint := (SELECT max(e.event_number) FROM migrollback_schema.migration_events e
                                  WHERE e.migration_name = ANY (names) AND e.event = 'rolled_back');
    old      jsonb;
    new      jsonb;
    foretold jsonb;
    proven   constant boolean := NOT EXISTS (
        SELECT FROM unnest(names) AS n (name) WHERE NOT EXISTS (
            SELECT FROM migrollback_schema.migration_history h
              JOIN migrollback_schema.migration_proofs p USING (migration_name, checksum)
             WHERE h.migration_name = n.name AND p.grade = 'restores'));
    found    jsonb;
    name     text;
    came_back constant jsonb := to_jsonb(migrollback_schema.values_as_they_were(
                                    names, 'before', clock_timestamp() + interval '1 s'));
BEGIN
    SELECT s.states INTO old FROM migrollback_schema.migration_states s
     WHERE s.snapshot = old_snapshot AND s.moment = 'before rollback' AND s.event_number < ended
       AND s.migrations @> names ORDER BY s.event_number DESC LIMIT 1;
    SELECT s.states INTO new FROM migrollback_schema.migration_states s
     WHERE s.snapshot = new_snapshot AND s.event_number > ended ORDER BY s.event_number LIMIT 1;
    SELECT e.details -> 'effects' INTO foretold FROM migrollback_schema.migration_events e
     WHERE e.event = 'rehearsed' AND e.migration_name = names[cardinality(names)]
       AND e.details ->> 'fingerprint' = effects_after_rollback.fingerprint AND e.details ->> 'success' = 'true'
     ORDER BY e.event_number DESC LIMIT 1;
    found := migrollback_schema.state_effects(old, coalesce(new, migrollback_schema.schema_states()),
                                              migrollback_schema.states_around_apply(names), 'catalog')
        || CASE WHEN proven THEN '[]' ELSE migrollback_schema.columns_filled_anew(names, 'catalog') END
        || migrollback_schema.changed_rows_effects(names, foretold, proven)
        || CASE WHEN foretold IS NULL AND NOT proven THEN migrollback_schema.retyped_columns(changes, names)
                ELSE '[]' END
        || coalesce((SELECT jsonb_agg(e) FROM jsonb_array_elements(foretold) e
                      WHERE e ->> 'effect' IN ('takes_other', 'breaks')), '[]');
    FOREACH name IN ARRAY names LOOP
        found := found || coalesce(migrollback_schema.migration_values_not_restored(name), '[]');
    END LOOP;
    RETURN (SELECT coalesce(jsonb_agg(e.value || jsonb_build_object(
                       'words', migrollback_schema.migration_effect_words(e.value)) ORDER BY e.place), '[]')
            FROM jsonb_array_elements(migrollback_schema.without_values_put_back(
                     migrollback_schema.merged_effects(found, '[]'::jsonb), came_back, NULL::jsonb)
                     || migrollback_schema.effects_of_restoring((
                            SELECT jsonb_agg(v.details -> 'restored') FROM unnest(names) AS n (name)
                             CROSS JOIN LATERAL (
                                 SELECT x.details FROM migrollback_schema.migration_events x
                                  WHERE x.migration_name = n.name AND x.event = 'rolled_back'
                                  ORDER BY x.event_number DESC LIMIT 1) v WHERE v.details ? 'restored'),
                            'catalog'::text))
                 WITH ORDINALITY AS e (value, place));
END $function$;
COMMENT ON FUNCTION migrollback_schema.effects_after_rollback(text[], uuid, uuid, text, jsonb) IS
    'What remains after these rollbacks beside the schema, and what went with them: effects as assess_migration() '
    'gives them, with words. Snapshots from before and after, or NULL; fingerprint: finds what a rehearsal of this '
    'very rollback foretold; changes: of the schema. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.effects_that_remain(effects jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- what went as a whole had come with the migration; what had not shows in the schema
    SELECT coalesce(jsonb_agg(e.value ORDER BY e.place), '[]')
    FROM jsonb_array_elements(effects) WITH ORDINALITY AS e (value, place)
    WHERE NOT (e.value ->> 'effect' IN ('loses_rows', 'loses_values')
               AND (coalesce(e.value ->> 'restored', '') = 'true'
                    OR NOT migrollback_schema.stands_now(e.value ->> 'identity')
                    -- they stand in a table of its own, as the schema says
                    OR coalesce(e.value ->> 'how', '') = 'detached'))
$function$;
COMMENT ON FUNCTION migrollback_schema.effects_that_remain(jsonb) IS
    'Without the rows and values of tables and columns that are gone with the migration: these are lost, but were not '
    'there before it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.verified_words(effects jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT string_agg(migrollback_schema.migration_effect_words(e.value), '; ' ORDER BY e.place)
               FILTER (WHERE e.place <= 4)
        || CASE WHEN count(*) > 4 THEN format('; and %s more', count(*) - 4) ELSE '' END
    FROM jsonb_array_elements(effects) WITH ORDINALITY AS e (value, place)
$function$;
COMMENT ON FUNCTION migrollback_schema.verified_words(jsonb) IS
    'Effects in words, the first four. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.gone_words(effects jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT string_agg(format('%s of %s', CASE
               WHEN e.value ->> 'rows' IS NULL THEN e.what
               ELSE btrim(to_char((e.value ->> 'rows')::bigint, '999G999G999G999G990')) || ' ' || CASE
                        WHEN e.value ->> 'rows' = '1' THEN left(e.what, -1) ELSE e.what END END,
               e.value ->> 'identity'), ', ' ORDER BY e.place)
    FROM (SELECT l.value, l.place, CASE l.value ->> 'effect' WHEN 'loses_rows' THEN 'rows' ELSE 'values' END AS what
          FROM jsonb_array_elements(effects) WITH ORDINALITY AS l (value, place)) e
$function$;
COMMENT ON FUNCTION migrollback_schema.gone_words(jsonb) IS
    'Rows and values that went with what the migration had made: 1,000 rows of public.t. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.verification_message(
    migration_count int, differences jsonb, unexpected jsonb, reordered text, apart boolean, uncompared int,
    effects jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one    constant boolean := migration_count = 1;
    it     constant text := CASE WHEN one THEN 'it' ELSE 'they' END;
    it_was constant text := CASE WHEN one THEN 'it was' ELSE 'they were' END;
    wrong  constant bigint := (SELECT count(*) FROM jsonb_array_elements(differences) c
                               WHERE c ->> 'change' <> 'reordered');
    more   constant int := jsonb_array_length(unexpected);
    remain constant jsonb := migrollback_schema.effects_that_remain(effects);
BEGIN
    IF wrong > 0 OR more > 0 THEN
        RETURN concat_ws('; ',
            CASE wrong WHEN 0 THEN NULL
                       WHEN 1 THEN 'Not restored: 1 object is not as before ' || it_was || ' applied'
                       ELSE format('Not restored: %s objects are not as before %s applied', wrong, it_was) END,
            CASE more WHEN 0 THEN NULL WHEN 1 THEN 'Also changed: 1 object'
                ELSE format('Also changed: %s objects', more) END
                || CASE WHEN one THEN ' that the migration had not touched'
                    ELSE ' that these migrations had not touched' END);
    END IF;
    RETURN CASE
        WHEN remain <> '[]' THEN 'Schema restored, not all else: ' || migrollback_schema.verified_words(remain)
        WHEN apart THEN format('Restored: what %s created is gone, what %1$s dropped is back', it) || CASE
            WHEN uncompared > 0 THEN format(' (applied in one run with others: %s could not be compared)',
                CASE uncompared WHEN 1 THEN '1 definition' ELSE uncompared || ' definitions' END)
            ELSE '' END
        ELSE format('Restored: schema, values and state are as before %s applied', it_was) END
        || CASE WHEN remain = '[]' AND effects <> '[]'
                THEN ' (gone with it: ' || migrollback_schema.gone_words(effects) || ')'
                ELSE '' END
        || coalesce(' (columns stand in another order: ' || reordered || ')', '');
END $function$;
COMMENT ON FUNCTION migrollback_schema.verification_message(int, jsonb, jsonb, text, boolean, int, jsonb) IS
    'The message of verify_migration_rollback() in words. apart: applied in one run with others; uncompared: '
    'definitions of which nothing is known from before; reordered: tables; effects: effects_after_rollback(). Does not '
    'write.';
