-- ---------------------------------------------------------------------------------------------------
-- What a rollback does to the state beside the schema, or does not bring back: compared before the up, before the
-- rollback and after it.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_effect(
    effect text, identity text, rows bigint, detail text, known_by text, migration text DEFAULT NULL,
    estimated boolean DEFAULT false)
RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT jsonb_build_object('effect', effect, 'identity', identity, 'rows', rows, 'detail', detail,
                              'migration', migration, 'known_by', known_by)
        || CASE WHEN estimated AND rows IS NOT NULL THEN '{"estimated": true}'::jsonb ELSE '{}' END
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_effect(text, text, bigint, text, text, text, boolean) IS
    'One effect of a rollback, as assess_migration() gives them. Where more than its words must tell losses apart, '
    'a key "how" is added: deleted, detached or retyped. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.next_of_sequence(state jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT (state ->> 0)::numeric + CASE WHEN (state ->> 1)::boolean THEN (state ->> 2)::numeric ELSE 0 END
$function$;
COMMENT ON FUNCTION migrollback_schema.next_of_sequence(jsonb) IS
    'The number that a sequence gives next, by what sequence_states() says of it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.furthest_of_column(owner text, step numeric) RETURNS numeric
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    parts    constant text[] := parse_ident(owner, false);
    relation constant regclass := to_regclass(format('%I.%I', parts[1], parts[2]));
    furthest numeric;
BEGIN
    -- Only where an index answers at once, and where reading it runs no code of others.
    IF relation IS NULL OR row_security_active(relation::oid) OR NOT EXISTS (
        SELECT FROM pg_attribute a JOIN pg_index i ON i.indrelid = a.attrelid AND i.indkey[0] = a.attnum
         WHERE a.attrelid = relation AND a.attname = parts[3] AND NOT a.attisdropped AND i.indisvalid
           AND i.indpred IS NULL AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT %s(%I) FROM %s', CASE WHEN step < 0 THEN 'min' ELSE 'max' END, parts[3], relation)
       INTO furthest;
    RETURN furthest;
EXCEPTION WHEN insufficient_privilege OR lock_not_available OR undefined_table OR undefined_column THEN
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.furthest_of_column(text, numeric) IS
    'The number in this column that its sequence would have given last; NULL where no index tells it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.restarted_sequences(
    old_states jsonb, new_states jsonb, up_states jsonb, known_by text)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- from before the ups of which it is known, the oldest first
    ups      constant jsonb := jsonb_path_query_array(up_states, '$[*].old.sequence');
    one      record;
    was      jsonb;                     -- the sequence as it stood: before the rollback, else before the up
    before   jsonb;
    furthest numeric;
    is_behind  boolean;
    meets_rows boolean;
    found    jsonb := '[]';
BEGIN
    FOR one IN SELECT s.key AS identity, s.value AS state, migrollback_schema.next_of_sequence(s.value) AS next,
                      (s.value ->> 2)::numeric AS step FROM jsonb_each(new_states -> 'sequence') s
                WHERE s.value IS DISTINCT FROM old_states #> ARRAY['sequence', s.key]
                   OR EXISTS (          -- the up set it back, and the rollback leaves it there
                       SELECT FROM jsonb_array_elements(up_states) u
                        WHERE (migrollback_schema.next_of_sequence(u.value #> ARRAY['old', 'sequence', s.key])
                               - migrollback_schema.next_of_sequence(u.value #> ARRAY['new', 'sequence', s.key]))
                              * (s.value ->> 2)::numeric > 0)
                ORDER BY s.key
    LOOP
        before := (SELECT u.value -> one.identity FROM jsonb_array_elements(ups) WITH ORDINALITY AS u (value, place)
                   WHERE u.value ? one.identity ORDER BY u.place LIMIT 1);
        was := coalesce(nullif(old_states #> ARRAY['sequence', one.identity], one.state), before,
                        -- another name, the same column
                        (SELECT s.value FROM jsonb_array_elements(jsonb_build_array(old_states -> 'sequence') || ups)
                             WITH ORDINALITY AS l (value, place) CROSS JOIN LATERAL jsonb_each(l.value) s
                          WHERE s.value ->> 3 = one.state ->> 3 ORDER BY l.place LIMIT 1));
        is_behind := coalesce((migrollback_schema.next_of_sequence(was) - one.next) * one.step > 0, false);
        CONTINUE WHEN NOT is_behind AND old_states -> 'sequence' ? one.identity;
        furthest := CASE WHEN one.state ->> 3 IS NOT NULL
                         THEN migrollback_schema.furthest_of_column(one.state ->> 3, one.step) END;
        meets_rows := coalesce((furthest - one.next) * one.step >= 0, false);
        -- Where it stands as it stood before the up, only rows written since that have these numbers say that it
        -- starts too early.
        CONTINUE WHEN NOT meets_rows
            AND (NOT is_behind OR migrollback_schema.next_of_sequence(before) IS NOT DISTINCT FROM one.next);
        found := found || migrollback_schema.migration_effect('restarts_sequence', one.identity, NULL::bigint,
            concat_ws(', ', CASE WHEN is_behind THEN format('stood at %s', was ->> 0) END,
            'starts at ' || one.next,
            CASE WHEN meets_rows
                 THEN format('%s holds numbers up to %s', one.state ->> 3, furthest) END), known_by, NULL::text, false);
    END LOOP;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.restarted_sequences(jsonb, jsonb, jsonb, text) IS
    'Effects restarts_sequence: sequences that give after a rollback (new_states) what they had given before it '
    '(old_states) or before the up (up_states, see states_around_apply()). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.state_effects(
    old_states jsonb, new_states jsonb, up_states jsonb, known_by text)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF old_states IS NULL OR new_states IS NULL THEN
        RETURN '[]';
    END IF;
    RETURN migrollback_schema.restarted_sequences(old_states, new_states, up_states, known_by) || coalesce((
        WITH kind (kind, effect) AS (VALUES ('unpopulated', 'leaves_unpopulated'), ('disabled', 'leaves_disabled'),
                                            ('invalid', 'leaves_invalid')),
        up AS (SELECT u.value -> 'old' AS old, u.value -> 'new' AS new FROM jsonb_array_elements(up_states) u),
        -- the rollback did it, or the up did and the rollback does not take it back
        wrong AS (
            SELECT k.effect, k.kind, s.key AS identity, s.value #>> '{}' AS what
            FROM kind k CROSS JOIN LATERAL jsonb_each(new_states -> k.kind) s
            WHERE CASE WHEN old_states -> k.kind ? s.key
                       THEN EXISTS (SELECT FROM up WHERE NOT up.old -> k.kind ? s.key AND up.new -> k.kind ? s.key)
                       ELSE NOT EXISTS (SELECT FROM up WHERE up.old -> k.kind ? s.key) END),
        left_behind AS (
            SELECT DISTINCT k.kind, s.key AS identity, up.old -> k.kind ? s.key AS was_there
            FROM up CROSS JOIN (VALUES ('role'), ('membership'), ('setting'), ('job')) AS k (kind)
            CROSS JOIN LATERAL jsonb_each(up.new -> k.kind) s
            WHERE s.value IS DISTINCT FROM up.old -> k.kind -> s.key
              AND new_states -> k.kind -> s.key IS NOT DISTINCT FROM s.value
            UNION
            SELECT k.kind, s.key, NULL
            FROM up CROSS JOIN (VALUES ('role'), ('membership'), ('setting'), ('job')) AS k (kind)
            CROSS JOIN LATERAL jsonb_each(up.old -> k.kind) s
            WHERE NOT up.new -> k.kind ? s.key AND NOT new_states -> k.kind ? s.key),
        effect AS (
            SELECT w.effect, w.identity, CASE w.kind
                WHEN 'unpopulated' THEN 'SELECT fails until it is refreshed'
                WHEN 'invalid' THEN CASE w.what WHEN 'unique' THEN 'unused, and uniqueness is not sure' ELSE 'unused'
                                    END
                ELSE CASE w.what WHEN 'constraint' THEN 'not checked: its triggers are disabled'
                                 ELSE w.what || ' does not fire' END END AS detail
            FROM wrong w
            UNION ALL
            SELECT 'leaves_behind', l.kind || ' ' || l.identity, CASE
                WHEN l.was_there THEN 'stays as the migration changed it' WHEN l.was_there IS NULL
                THEN 'is not brought back' ELSE 'stays' END
            FROM left_behind l
            -- of a role that stays, its memberships need not be told
            WHERE NOT (l.kind = 'membership' AND EXISTS (
                SELECT FROM left_behind r WHERE r.kind = 'role' AND r.was_there IS NOT TRUE
                   AND r.identity IN (split_part(l.identity, ' in ', 1), split_part(l.identity, ' in ', 2)))))
        SELECT jsonb_agg(migrollback_schema.migration_effect(e.effect, e.identity, NULL::bigint, e.detail, known_by,
                                                             NULL::text, false)
                         ORDER BY e.effect, e.identity) FROM effect e), '[]');
END $function$;
COMMENT ON FUNCTION migrollback_schema.state_effects(jsonb, jsonb, jsonb, text) IS
    'What a rollback does to the state beside the schema: effects, from schema_states() before and after it, and '
    'around the up (states_around_apply()). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.states_around_apply(names text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object('migration_name', n.name, 'old', CASE
                   -- of a run of several, roles and the like are known from what each apply itself recorded
                   WHEN i.alone THEN o.states
                   ELSE coalesce(o.states - '{role,membership,setting,job}'::text[], '{}') END
                   || coalesce(a.details #> '{shared_changes,old}', '{}'),
                   'new', CASE WHEN i.alone THEN w.states
                               ELSE '{}' END || coalesce(a.details #> '{shared_changes,new}', '{}'))
                   ORDER BY a.event_number)
        FROM unnest(names) AS n (name)
        CROSS JOIN LATERAL (SELECT e.event_number, e.details FROM migrollback_schema.migration_events e
                             WHERE e.migration_name = n.name AND e.event = 'applied'
                             ORDER BY e.event_number DESC LIMIT 1) a
        LEFT JOIN migrollback_schema.migration_apply_intervals(names) i ON i.applied_number = a.event_number
        LEFT JOIN LATERAL (SELECT s.states FROM migrollback_schema.migration_states s
                            WHERE s.snapshot = i.old_snapshot AND s.event_number < a.event_number
                              AND s.moment = 'before apply' ORDER BY s.event_number DESC LIMIT 1) o ON true
        LEFT JOIN LATERAL (SELECT s.states FROM migrollback_schema.migration_states s
                            WHERE s.snapshot = i.new_snapshot AND s.event_number > a.event_number
                              AND s.moment = 'after apply' ORDER BY s.event_number LIMIT 1) w ON true
        WHERE o.states IS NOT NULL AND w.states IS NOT NULL OR a.details ? 'shared_changes'), '[]');
END $function$;
COMMENT ON FUNCTION migrollback_schema.states_around_apply(text[]) IS
    'schema_states() before and after each of these migrations was applied, the oldest first: an array of '
    '{migration_name, old, new}; of one that was applied in a run with others, new holds only what is known to be '
    'its own. Does not write.';
