-- ---------------------------------------------------------------------------------------------------
-- The effects that a rehearsal finds: what the rollback does beyond the schema, each with its words.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.effects_on_rows(report jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Of tables whose rows were compared (values), the comparison counts: what was written back is no loss.
    RETURN (
        WITH effect AS (
        SELECT migrollback_schema.migration_effect(
                   CASE WHEN r.what IN ('column dropped', 'updated') THEN 'loses_values' ELSE 'loses_rows' END,
                   r.relation || coalesce('.' || quote_ident(r."column"), ''),
                   -- that a table had no rows when it was last analyzed says little
                   CASE WHEN r.exact OR r.rows > 0 THEN r.rows END,
                   CASE r.what WHEN 'dropped' THEN 'table dropped' WHEN 'column dropped' THEN 'column dropped'
                               WHEN 'emptied' THEN 'table emptied' WHEN 'updated' THEN 'rows overwritten'
                               ELSE 'rows deleted' END, 'rehearsal', NULL::text, NOT r.exact)
                   || CASE WHEN r.what = 'deleted' THEN '{"how": "deleted"}'::jsonb ELSE '{}' END AS value, r.place
        FROM (SELECT l.value ->> 'relation' AS relation, l.value ->> 'column' AS "column", l.value ->> 'what' AS what,
                     (l.value ->> 'rows')::bigint AS rows, coalesce((l.value ->> 'exact')::boolean, false) AS exact,
                     l.place FROM jsonb_array_elements(report -> 'rows') WITH ORDINALITY AS l (value, place)) r
        WHERE (r.rows IS NULL OR r.rows > 0 OR NOT r.exact)
          AND NOT (r.what IN ('updated', 'deleted', 'emptied')
                   AND coalesce(report #> '{values,compared}' ? r.relation, false))
          AND NOT (r.what = 'column dropped' AND coalesce(
                   report #> '{values,kept}' ? (r.relation || '.' || quote_ident(r."column")), false))
        UNION ALL
        SELECT v.value, 1000000 + v.place
        FROM jsonb_array_elements(coalesce(report -> 'detached', '[]') || coalesce(report #> '{values,effects}', '[]')
                                  || coalesce(report -> 'retyped', '[]')) WITH ORDINALITY AS v (value, place)
        -- compared above, or not: then it is not known
        WHERE NOT (coalesce(v.value ->> 'how', '') = 'retyped'
                   AND coalesce(report #> '{values,kept}' ? (v.value ->> 'identity'), false)))
        SELECT coalesce(jsonb_agg(e.value ORDER BY e.place), '[]') FROM effect e
        -- as many rows as the migration itself had inserted there: these it takes back
        WHERE NOT (coalesce(e.value ->> 'how', '') = 'deleted' AND coalesce((e.value ->> 'rows')::bigint
                   <= (report #>> ARRAY['up_written', e.value ->> 'identity', '0'])::bigint, false)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.effects_on_rows(jsonb) IS
    'Effects loses_rows and loses_values by the report of a rehearsal: its rows and its compared values. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.effects_on_others(report jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- the words of the SQL: what it names is meant to go
    words  constant text[] := ARRAY(
        SELECT DISTINCT CASE WHEN m.found[1] LIKE '"%' THEN replace(btrim(m.found[1], '"'), '""', '"')
                             ELSE lower(m.found[1]) END
        FROM jsonb_array_elements(report -> 'statements') s
        CROSS JOIN LATERAL regexp_matches(s ->> 'statement', '("(?:[^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)', 'g')
                   AS m (found));
    renamed constant text[] := ARRAY(SELECT r ->> 'old' FROM jsonb_array_elements(report -> 'renamed') r);
BEGIN
    IF (report ->> 'schema_is_back')::boolean THEN
        RETURN '[]';                    -- the migration had changed what is another's, and that is as it was
    END IF;
    RETURN (
        WITH change AS MATERIALIZED (
            SELECT c.value ->> 'change' AS change, c.value ->> 'kind' AS kind, c.value ->> 'identity' AS identity,
                   c.value #>> '{made_by,0}' AS maker, c.value -> 'made_by' AS makers, c.place,
                   -- what it is part of: on names an index's table, a constraint has its table before a blank
                   CASE WHEN c.value ->> 'kind' = 'index' THEN c.value #>> '{old_definition,on}'
                        WHEN c.value ->> 'kind' = 'column'
                        THEN regexp_replace(c.value ->> 'identity', '\.("([^"]|"")+"|[^".]+)$', '')
                        WHEN c.value ->> 'kind' IN ('constraint', 'trigger', 'rule', 'policy')
                        THEN regexp_replace(c.value ->> 'identity', ' ("([^"]|"")+"|[^" ]+)$', '') END AS whole
            FROM jsonb_array_elements(report -> 'changes') WITH ORDINALITY AS c (value, place)
            WHERE c.value ->> 'change' IN ('dropped', 'changed')
              AND c.value ->> 'kind' NOT IN ('comment', 'grant', 'security label', 'default privileges')),
        alien AS (
            SELECT c.*, w.maker AS whole_maker, w.identity IS NOT NULL AS goes_with,
                   report -> 'migrations' ?| ARRAY(SELECT jsonb_array_elements_text(
                       CASE jsonb_typeof(c.makers) WHEN 'array' THEN c.makers ELSE '[]' END)) AS is_ours,
                   -- the last part of its name
                   ARRAY(SELECT replace(btrim(m.found[1], '"'), '""', '"')
                         FROM regexp_matches(c.identity, '("(?:[^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)', 'g')
                              AS m (found)) AS names
            FROM change c LEFT JOIN change w ON w.identity = c.whole AND w.change = 'dropped'
             AND w.kind IN ('table', 'partitioned table', 'foreign table', 'view', 'materialized view')
            WHERE c.identity <> ALL (renamed) AND coalesce(c.whole, '') <> ALL (renamed))
        SELECT coalesce(jsonb_agg(migrollback_schema.migration_effect('takes_other', a.identity, NULL::bigint,
                   CASE WHEN a.change = 'changed' THEN a.kind || ', changed with what is dropped'
                        WHEN a.maker IS NULL THEN a.kind || ', not known who made it' ELSE a.kind END,
                   'rehearsal', a.maker, false) ORDER BY a.place), '[]')
        FROM alien a
        WHERE CASE
            WHEN a.change = 'changed' THEN a.maker IS NOT NULL AND NOT a.is_ours AND NOT a.goes_with
                AND NOT words && a.names[2:]
            WHEN a.maker IS NOT NULL THEN NOT report -> 'migrations' ? a.maker
                -- parts of what goes as a whole need not be named
                AND (NOT a.goes_with OR a.maker IS DISTINCT FROM coalesce(a.whole_maker, a.maker))
            ELSE NOT a.goes_with AND NOT words && a.names[cardinality(a.names):] END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.effects_on_others(jsonb) IS
    'Effects takes_other by the report of a rehearsal: objects of other migrations that are dropped, or that lose '
    'what hung on something dropped; and objects of no known migration that the SQL does not name. Their parts are '
    'not named; none where the schema is as it was before the migrations (schema_is_back). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rows_of_detached(changes jsonb, count_ms int) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    until   constant timestamptz := clock_timestamp() + make_interval(secs => count_ms / 4000.0);
    one     record;
    member  oid;
    counted jsonb;
    known   bigint;
    exact   boolean;
    found   jsonb := '[]';
BEGIN
    FOR one IN
        SELECT c ->> 'identity' AS child, p.name AS parent, to_regclass(c ->> 'identity')::oid AS oid
        FROM jsonb_array_elements(changes) c
        CROSS JOIN LATERAL jsonb_array_elements_text(c #> '{old_definition,inherits}') AS p (name)
        WHERE c ->> 'change' = 'changed' AND c ->> 'kind' IN ('table', 'partitioned table')
          AND jsonb_typeof(c #> '{old_definition,inherits}') = 'array'
          AND NOT coalesce(c #> '{new_definition,inherits}' ? p.name, false) ORDER BY 2, 1
    LOOP
        known := 0;
        exact := true;
        FOR member IN WITH RECURSIVE m (oid) AS (SELECT one.oid UNION SELECT i.inhrelid FROM m JOIN pg_inherits i
                                                 ON i.inhparent = m.oid)
                      SELECT m.oid FROM m JOIN pg_class c ON c.oid = m.oid AND c.relkind = 'r'
        LOOP
            BEGIN                       -- counting locks, so it is undone
                counted := migrollback_schema.count_rows_within(member, '{}'::text[], until);
                RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
            EXCEPTION WHEN SQLSTATE 'MR099' THEN
                known := known + (counted ->> 'rows')::bigint;
                exact := exact AND (counted ->> 'exact')::boolean;
            WHEN OTHERS THEN
                known := NULL;
            END;
        END LOOP;
        IF known > 0 OR known IS NULL OR NOT exact THEN
            found := found || (migrollback_schema.migration_effect('loses_rows', one.parent, known,
                'rows leave it with ' || one.child, 'rehearsal', NULL::text, NOT exact)
                || '{"how": "detached"}'::jsonb);
        END IF;
    END LOOP;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rows_of_detached(jsonb, int) IS
    'Effects loses_rows of tables that rows leave because a partition is detached, or a table no longer inherits: it '
    'stays with its rows, but the parent no longer shows them. changes: of the report of a rehearsal; counted for at '
    'most a quarter of count_ms. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.broken_triggers(report jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Comments and texts are no names. What else a body names, a parser knows that SQL has not: see the client.
    RETURN (
        SELECT coalesce(jsonb_agg(migrollback_schema.migration_effect('breaks', b.identity, NULL::bigint,
                   format('%s: names column %s', b.kind, b.columns), 'rehearsal', NULL::text, false)
                                 ORDER BY b.identity), '[]')
        FROM (SELECT r ->> 'identity' AS identity, r ->> 'kind' AS kind,
                     string_agg(DISTINCT c ->> 'identity', ', column ') AS columns
              FROM jsonb_array_elements(report -> 'bodies') r
              CROSS JOIN LATERAL regexp_matches(regexp_replace(
                  r ->> 'body', '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/|''[^'']*''', ' ', 'g'),
                  '\m(?:new|old)\s*\.\s*("(?:[^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)', 'gi') AS m (found)
              JOIN jsonb_array_elements(report -> 'changes') c ON c ->> 'change' = 'dropped' AND c ->> 'kind' = 'column'
               AND (parse_ident(c ->> 'identity', false))[3] = CASE WHEN m.found[1] LIKE '"%'
                   THEN replace(btrim(m.found[1], '"'), '""', '"') ELSE lower(m.found[1]) END
              CROSS JOIN LATERAL (SELECT regexp_replace(c ->> 'identity', '\.("([^"]|"")+"|[^".]+)$', '') AS whole) t
              CROSS JOIN LATERAL jsonb_array_elements_text(r -> 'used_by') AS u (name)
              WHERE r ->> 'language' = 'plpgsql' AND u.name LIKE 'trigger %'
                AND right(u.name, length(' on ' || t.whole)) = ' on ' || t.whole
              GROUP BY 1, 2) b);
END $function$;
COMMENT ON FUNCTION migrollback_schema.broken_triggers(jsonb) IS
    'Effects breaks of trigger functions in PL/pgSQL that name a column of NEW or OLD that the rollback drops, by the '
    'report of a rehearsal. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.schema_not_restored(
    names text[], objects_before jsonb, changes jsonb, OUT effects jsonb, OUT is_back boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    found record;
BEGIN
    -- the rollback is undone by now: what stood after it are the objects from before, with its changes
    found := migrollback_schema.schema_after_rollback(names, objects_before, (
        SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}')
        FROM (SELECT o.kind, jsonb_object_agg(o.identity, o.definition) AS objects
                FROM (SELECT b.key AS kind, i.key AS identity, i.value AS definition
                        FROM jsonb_each(objects_before) b CROSS JOIN LATERAL jsonb_each(b.value) i
                       WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(changes) c
                                          WHERE c ->> 'kind' = b.key AND c ->> 'identity' = i.key)
                      UNION ALL
                      SELECT c ->> 'kind', c ->> 'identity', c -> 'new_definition' FROM jsonb_array_elements(changes) c
                       WHERE jsonb_typeof(c -> 'new_definition') <> 'null') o
               GROUP BY o.kind) k), changes);
    effects := (
        WITH one AS (
            SELECT DISTINCT ON (c ->> 'kind', c ->> 'identity') c ->> 'kind' AS kind, c ->> 'identity' AS identity,
                   c ->> 'change' AS change
              FROM jsonb_array_elements(found.differences || found.unexpected) c
             WHERE c ->> 'change' <> 'reordered')
        SELECT coalesce(jsonb_agg(migrollback_schema.migration_effect('not_restored', o.identity, NULL::bigint,
                   o.kind || CASE o.change WHEN 'created' THEN ' stays that was not there before'
                                           WHEN 'dropped' THEN ' does not come back'
                                           ELSE ' is not as before' END, 'rehearsal', NULL::text, false)
                                  ORDER BY o.identity, o.kind), '[]')
          FROM one o
         -- parts of what goes or stays as a whole need not be named
         WHERE NOT EXISTS (SELECT FROM one w WHERE w.change = o.change AND w.identity <> o.identity
                              AND starts_with(o.identity, w.identity || '.')));
    is_back := effects = '[]' AND cardinality(found.unknown) = 0 AND found.uncompared = 0;
END $function$;
COMMENT ON FUNCTION migrollback_schema.schema_not_restored(text[], jsonb, jsonb) IS
    'Effects not_restored: what would not be in the schema as it was before these migrations were applied, by the '
    'changes of a rehearsal and the schema before it; none where there is no snapshot from before. is_back: whether '
    'all of it is known to be as it was. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_effects(report jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF (report ->> 'success')::boolean IS NOT TRUE THEN
        RETURN '[]';
    END IF;
    RETURN migrollback_schema.without_values_put_back(
               migrollback_schema.effects_on_rows(report), report -> 'came_back', report -> 'unchanged_since')
        || migrollback_schema.effects_of_restoring(report -> 'restored', 'rehearsal'::text)
        || migrollback_schema.effects_on_others(report)
        || coalesce((
            SELECT jsonb_agg(migrollback_schema.migration_effect('breaks', b ->> 'identity', NULL::bigint,
                       format('%s: %s', b ->> 'kind', b ->> 'because'), 'rehearsal', NULL::text, false)
                             ORDER BY b ->> 'identity')
            FROM jsonb_array_elements(report -> 'broken') b WHERE (b ->> 'certain')::boolean), '[]')
        || coalesce(migrollback_schema.broken_triggers(report), '[]')
        -- what is said of an object already, as another's or of its state, is said once
        || coalesce((
            SELECT jsonb_agg(n.value ORDER BY n.place)
              FROM jsonb_array_elements(report -> 'not_restored') WITH ORDINALITY AS n (value, place)
             WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(migrollback_schema.effects_on_others(report)
                                                                || coalesce(report -> 'states', '[]')) o
                                WHERE o ->> 'identity' = n.value ->> 'identity'
                                   OR starts_with(n.value ->> 'identity', (o ->> 'identity') || '.'))), '[]')
        || coalesce(report -> 'states', '[]')
        || coalesce((
            -- no snapshot would show it, and what another installation knows of it is not known here
            SELECT jsonb_agg(migrollback_schema.migration_effect(
                       CASE o.value ->> 'change' WHEN 'created' THEN 'leaves_behind' ELSE 'takes_other' END,
                       o.value ->> 'identity', NULL::bigint,
                       format('%s, %s outside of the scope', o.value ->> 'kind', o.value ->> 'change'),
                       'rehearsal', NULL::text, false) ORDER BY o.place)
              FROM jsonb_array_elements(report -> 'outside') WITH ORDINALITY AS o (value, place)), '[]')
        || coalesce((
            SELECT jsonb_agg(migrollback_schema.migration_effect('locks', k.relation, NULL::bigint,
                       format('is locked under %s, %s ms', k.mode,
                              round(k.held, 1)),
                       'rehearsal', NULL::text, false) ORDER BY k.held DESC, k.relation)
            FROM (SELECT DISTINCT ON (l ->> 'relation') l ->> 'relation' AS relation, l ->> 'mode' AS mode,
                         coalesce((l ->> 'held_ms')::numeric, 0) AS held
                  FROM jsonb_array_elements(report -> 'locks') l
                  JOIN unnest('{SHARE,SHARE ROW EXCLUSIVE,EXCLUSIVE,ACCESS EXCLUSIVE}'::text[])
                       WITH ORDINALITY AS m (mode, place) ON m.mode = l ->> 'mode'
                  WHERE l ->> 'kind' NOT IN ('i', 'I', 'index') ORDER BY l ->> 'relation', m.place DESC) k), '[]');
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_effects(jsonb) IS
    'What a rollback does beyond the schema, by the report of rehearse_migration_rollbacks(): an array of effects as '
    'assess_migration() gives them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.states_before_rehearsal(
    names text[], otherwise_path text, count_ms int, OUT stood jsonb, OUT up jsonb, OUT kept jsonb,
    OUT unchanged text[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    stood := migrollback_schema.schema_states();
    up := migrollback_schema.states_around_apply(names);
    kept := migrollback_schema.keep_values(names, otherwise_path,
                                           clock_timestamp() + make_interval(secs => count_ms / 4000.0));
    unchanged := migrollback_schema.values_as_they_were(
        names, 'after', clock_timestamp() + make_interval(secs => count_ms / 4000.0));
END $function$;
COMMENT ON FUNCTION migrollback_schema.states_before_rehearsal(text[], text, int) IS
    'What a rehearsal compares with beside the schema: schema_states(), states_around_apply(), keep_values() '
    'within a quarter of count_ms, and what of the written values is as after the apply. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.states_after_rehearsal(
    names text[], old_states jsonb, up_states jsonb, kept jsonb, count_ms int)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Under the locks of the rollback: short.
    RETURN jsonb_build_object(
        'kept', migrollback_schema.keep_values_again(kept, clock_timestamp()
                                                           + make_interval(secs => count_ms / 4000.0)),
        'came_back', migrollback_schema.values_as_they_were(
            names, 'before', clock_timestamp() + make_interval(secs => count_ms / 4000.0)),
        'states', migrollback_schema.state_effects(old_states, migrollback_schema.schema_states(), up_states,
                                                   'rehearsal')
                  || migrollback_schema.columns_filled_anew(names, 'rehearsal'));
END $function$;
COMMENT ON FUNCTION migrollback_schema.states_after_rehearsal(text[], jsonb, jsonb, jsonb, int) IS
    'What a rollback that has just run in this transaction did beside the schema: kept (keep_values_again()), '
    'came_back (values_as_they_were()), states (state_effects()). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsed_beside(
    names text[], objects_before jsonb, changes jsonb, kept jsonb, unchanged text[], after jsonb, count_ms int)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    schema_after record;
BEGIN
    SELECT s.effects, s.is_back INTO schema_after
      FROM migrollback_schema.schema_not_restored(names, objects_before, changes) s WHERE after <> '{}';
    RETURN jsonb_build_object(
        'not_restored', schema_after.effects, 'schema_is_back', schema_after.is_back,
        'states', after -> 'states', 'came_back', after -> 'came_back',
        'unchanged_since', to_jsonb(unchanged), 'values', migrollback_schema.compare_values(kept, after -> 'kept'),
        'retyped', migrollback_schema.retyped_columns(changes, names),
        'up_written', migrollback_schema.rows_written_by(names, 'applied'),
        'detached', migrollback_schema.rows_of_detached(changes, count_ms));
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsed_beside(text[], jsonb, jsonb, jsonb, text[], jsonb, int) IS
    'What a rehearsal knows beside the schema, for rehearsal_effects(), when the rollback is undone: '
    'not_restored and schema_is_back (schema_not_restored()), states, came_back (values), unchanged_since (values), '
    'values (compared), retyped (columns whose type changes), up_written (rows that the ups wrote), detached (rows '
    'that leave a parent). Does not write.';
