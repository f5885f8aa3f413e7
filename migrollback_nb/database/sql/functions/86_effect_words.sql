-- ---------------------------------------------------------------------------------------------------
-- Effects, proofs and verdicts in words: the same in every answer. Reads nothing.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.counted_words(number bigint, estimated boolean, one text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN number IS NULL THEN 'an unknown number of '
                WHEN estimated THEN '~' ELSE '' END
        || coalesce(btrim(to_char(number, '999G999G999G999G999G990')) || ' ', '')
        || CASE WHEN number = 1 THEN one
                WHEN one ~ '(x|s|ch|sh)$' THEN one || 'es'
                WHEN one ~ '[^aeiou]y$' THEN left(one, -1) || 'ies'
                ELSE one || 's' END
$function$;
COMMENT ON FUNCTION migrollback_schema.counted_words(bigint, boolean, text) IS
    'A number with its word: 1 row, 1,000 rows, ~2,000,000 values, 2 indexes, an unknown number of rows. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.joined_words(words text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN cardinality(words) > 1
                THEN array_to_string(words[:cardinality(words) - 1], ', ') || ' and ' || words[cardinality(words)]
                ELSE words[1] END
$function$;
COMMENT ON FUNCTION migrollback_schema.joined_words(text[]) IS 'a, b and c; NULL of none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.elapsed_words(moment timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN e.seconds < 60 THEN 'just now'
                WHEN e.seconds < 7200 THEN format('%s min ago', e.seconds / 60)
                WHEN e.seconds < 172800 THEN format('%s hours ago', e.seconds / 3600)
                ELSE format('%s days ago', e.seconds / 86400) END
    FROM (SELECT extract(epoch FROM clock_timestamp() - moment)::bigint AS seconds) e
$function$;
COMMENT ON FUNCTION migrollback_schema.elapsed_words(timestamptz) IS
    'How long ago a moment was: just now, 5 min ago, 2 days ago. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.effect_counts_rows(effect jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT effect ->> 'effect' = 'loses_rows'
        OR effect ->> 'effect' = 'values_not_restored' AND cardinality(parse_ident(effect ->> 'identity', false)) < 3
$function$;
COMMENT ON FUNCTION migrollback_schema.effect_counts_rows(jsonb) IS
    'Whether rows of an effect counts rows of a table and not values of a column. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_effect_words(effect jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN (effect ->> 'perhaps')::boolean THEN 'perhaps ' ELSE '' END
        || CASE effect ->> 'effect'
               WHEN 'loses_rows' THEN 'loses ' || k.counted
               WHEN 'loses_values' THEN CASE WHEN effect ->> 'detail' = 'rows overwritten' THEN 'overwrites '
                                             ELSE 'loses ' END || k.counted
               WHEN 'values_not_restored' THEN 'does not bring back ' || k.counted
               WHEN 'not_restored' THEN 'does not restore ' || k.identity
               WHEN 'restarts_sequence' THEN 'restarts sequence ' || k.identity
               WHEN 'leaves_unpopulated' THEN format('leaves %s unpopulated', k.identity)
               WHEN 'leaves_disabled' THEN format('leaves %s disabled', k.identity)
               WHEN 'leaves_invalid' THEN format('leaves %s invalid', k.identity)
               WHEN 'leaves_behind' THEN format('leaves %s behind', k.identity)
               WHEN 'takes_other' THEN 'takes ' || k.identity
               WHEN 'breaks' THEN 'breaks ' || k.identity
               WHEN 'locks' THEN k.identity
               ELSE (effect ->> 'effect') || ' ' || k.identity END
        -- a sentence goes on: public.big is rewritten under ACCESS EXCLUSIVE
        || coalesce(CASE WHEN effect ->> 'detail' LIKE 'is %' THEN ' '
                         WHEN effect ->> 'effect' = 'locks' THEN ', ' ELSE ': ' END
                    || nullif(effect ->> 'detail', ''), '')
        || coalesce(', of ' || nullif(effect ->> 'migration', ''), '')
      FROM (SELECT effect ->> 'identity' AS identity,
                   migrollback_schema.counted_words(
                       (effect ->> 'rows')::bigint, coalesce((effect ->> 'estimated')::boolean, false),
                       CASE WHEN migrollback_schema.effect_counts_rows(effect) THEN 'row' ELSE 'value' END)
                   || ' of ' || (effect ->> 'identity') AS counted) k
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_effect_words(jsonb) IS
    'One effect in words: does not bring back 1,000 values of public.customers.email: column dropped. The same in '
    'every answer. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_proof_words(
    grade text, effects jsonb, proven_at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT format('proven %s: ', migrollback_schema.elapsed_words(proven_at)) || CASE grade
        WHEN 'restores' THEN 'restores what was there'
        WHEN 'loses_data' THEN coalesce((
            SELECT string_agg(p.words, ', ' ORDER BY p.place)
              FROM (SELECT min(k.place) AS place,
                           k.words || string_agg(DISTINCT e.value ->> 'identity', ', ') AS words
                      FROM jsonb_array_elements(effects) e
                      JOIN (VALUES ('values_not_restored', 'loses values of ', 1),
                                   ('loses_values', 'loses values of ', 1),
                                   ('loses_rows', 'loses values of ', 1), ('restarts_sequence', 'restarts ', 2),
                                   ('leaves_unpopulated', 'leaves unfilled ', 3)) AS k (effect, words, place)
                        ON k.effect = e.value ->> 'effect'
                     GROUP BY k.words) p), 'loses values')
        WHEN 'cannot_reapply' THEN 'the up migration does not run again after it'
        WHEN 'differs' THEN 'leaves differences' || coalesce(': ' || (
            SELECT string_agg(DISTINCT e.value ->> 'identity', ', ') FROM jsonb_array_elements(effects) e
             WHERE e.value ->> 'effect' IN ('leaves_disabled', 'leaves_invalid', 'leaves_behind')), ' in the schema')
        WHEN 'fails' THEN 'fails'
        WHEN 'no_rollback' THEN 'has no rollback'
        ELSE grade END
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_proof_words(text, jsonb, timestamptz) IS
    'A recorded proof in words: proven 2 days ago: loses values of public.customers.email. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_effect_phrases(effects jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH one AS (
        SELECT e.value ->> 'effect' AS effect, e.value ->> 'identity' AS identity, (e.value ->> 'rows')::bigint AS rows,
               coalesce((e.value ->> 'estimated')::boolean, false) AS estimated,
               coalesce((e.value ->> 'perhaps')::boolean, false) AS perhaps,
               migrollback_schema.effect_counts_rows(e.value) AS is_rows,
               coalesce(nullif(e.value ->> 'migration', ''), 'another hand') AS migration,
               coalesce(nullif(substring(e.value ->> 'detail' FROM '^[a-z ]+'), ''), 'object') AS detail
          FROM jsonb_array_elements(effects) e WHERE e.value ->> 'effect' <> 'locks'),
    -- rows and values that go, and those that do not come back, with their tables where there are few
    counted AS (
        SELECT o.effect = 'values_not_restored' AS is_old, o.perhaps, o.is_rows,
               migrollback_schema.counted_words(
                      CASE WHEN bool_or(o.rows IS NULL) THEN NULL ELSE sum(o.rows)::bigint END, bool_or(o.estimated),
                      CASE WHEN o.is_rows THEN 'row' ELSE 'value' END)
               || ' of ' || CASE WHEN count(DISTINCT o.identity) <= 2
                                 THEN string_agg(DISTINCT o.identity, ' and ')
                                 ELSE count(DISTINCT o.identity)
                                      || CASE WHEN o.is_rows THEN ' tables' ELSE ' columns' END END AS words
          FROM one o WHERE o.effect IN ('loses_rows', 'loses_values', 'values_not_restored')
         GROUP BY 1, o.perhaps, o.is_rows),
    lost AS (
        SELECT CASE WHEN c.is_old THEN 2 ELSE 1 END AS place,
               CASE WHEN c.perhaps THEN 'perhaps ' ELSE '' END
               || CASE WHEN c.is_old THEN 'not bring back ' ELSE 'lose ' END
               || string_agg(c.words, ' and ' ORDER BY c.is_rows DESC) AS phrase
          FROM counted c GROUP BY c.is_old, c.perhaps),
    taken AS (
        SELECT 4 AS place, 'take ' || CASE
                   WHEN count(DISTINCT o.migration) > 2
                       THEN format('%s objects of %s others', count(*), count(DISTINCT o.migration))
                   ELSE (SELECT string_agg(t.words, ' and ' ORDER BY t.words)
                           FROM (SELECT migrollback_schema.counted_words(count(*), false, i.detail) || ' of '
                                        || i.migration AS words
                                   FROM one i WHERE i.effect = 'takes_other' GROUP BY i.detail, i.migration) t) END
          FROM one o WHERE o.effect = 'takes_other' HAVING count(*) > 0),
    harmed AS (
        SELECT 5 + k.place AS place,
               format(k.form, CASE WHEN count(DISTINCT o.identity) <= 2 THEN string_agg(DISTINCT o.identity, ' and ')
                                   ELSE count(DISTINCT o.identity) || ' ' || k.many END)
          FROM (VALUES (0, 'not_restored', 'not restore %s', 'objects of the schema'),
                       (1, 'breaks', 'break %s', 'functions or views'),
                       (2, 'restarts_sequence', 'start %s anew', 'sequences'),
                       (3, 'leaves_unpopulated', 'leave %s unpopulated', 'materialized views'),
                       (4, 'leaves_disabled', 'leave %s disabled', 'triggers'),
                       (5, 'leaves_invalid', 'leave %s invalid', 'indexes'),
                       (6, 'leaves_behind', 'leave %s behind', 'objects')) AS k (place, effect, form, many)
          JOIN one o ON o.effect = k.effect GROUP BY k.place, k.form, k.many)
    SELECT coalesce(array_agg(a.phrase ORDER BY a.place, a.phrase), '{}')
      FROM (SELECT * FROM lost UNION ALL SELECT * FROM taken UNION ALL SELECT * FROM harmed) AS a (place, phrase)
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_effect_phrases(jsonb) IS
    'Effects summed up, each as what a rollback would do: lose 1,000 rows of public.users, take 1 view of '
    '20250121_reports. Locks are left out. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.assessment_verdict(
    blockers text[], effects jsonb, is_known boolean, is_harmful boolean DEFAULT false) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE
        WHEN cardinality(blockers) > 0 THEN 'blocked'
        WHEN jsonb_path_exists(effects, '$[*] ? (@.effect == "loses_rows" || @.effect == "loses_values"
                                                 || @.effect == "values_not_restored")', '{}', true) THEN 'loses'
        WHEN jsonb_path_exists(effects, '$[*] ? (@.effect == "takes_other")', '{}', true) THEN 'takes_others'
        WHEN is_harmful OR jsonb_path_exists(effects, '$[*] ? (@.effect != "locks")', '{}', true) THEN 'harms'
        WHEN is_known THEN 'ready'
        ELSE 'not_rehearsed' END
$function$;
COMMENT ON FUNCTION migrollback_schema.assessment_verdict(text[], jsonb, boolean, boolean) IS
    'The verdict, the first that fits: blocked, loses, takes_others, harms, ready, not_rehearsed. is_known: rehearsed '
    'and unchanged since, or proven to restore; is_harmful: a rehearsal failed, or a proof says that the schema does '
    'not come back. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.assessment_headline(
    verdict text, blockers text[], effects jsonb, rehearsal text, failure text, rehearsed_at timestamptz, proof text,
    proven_at timestamptz)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE
        WHEN verdict = 'blocked' THEN blockers[1]
        WHEN rehearsal = 'fails' THEN
            format('Would fail, as rehearsed %s: %s', migrollback_schema.elapsed_words(rehearsed_at), failure)
        WHEN verdict = 'ready' AND rehearsal = 'current' THEN
            'Would succeed, and lose nothing: rehearsed ' || migrollback_schema.elapsed_words(rehearsed_at)
        WHEN verdict = 'ready' THEN
            'Would succeed, and lose nothing: proven to restore ' || migrollback_schema.elapsed_words(proven_at)
        WHEN proof = 'fails' AND rehearsal IS DISTINCT FROM 'current' THEN
            'Would fail, as a replay did ' || migrollback_schema.elapsed_words(proven_at)
        WHEN cardinality(p.phrases) > 0 THEN
            CASE WHEN rehearsal = 'current' THEN 'Would succeed, and '
                 ELSE 'Not rehearsed' || CASE WHEN rehearsal = 'outdated' THEN ' since something changed' ELSE '' END
                      || '; would ' END || migrollback_schema.joined_words(p.phrases)
        WHEN verdict = 'harms' THEN
            CASE WHEN proof = 'cannot_reapply' THEN 'Could not be applied again after it, as a replay showed '
                 ELSE 'Would not restore the schema, as a replay showed ' END
            || migrollback_schema.elapsed_words(proven_at)
        WHEN rehearsal = 'current' THEN
            format('Would succeed, as rehearsed %s; what its up migration destroyed is not known: register it again',
                   migrollback_schema.elapsed_words(rehearsed_at))
        WHEN rehearsal = 'stopped' THEN
            'Not known: a rehearsal here would stall others; rehearse it on a copy (rehearse --on scratch)'
        WHEN rehearsal = 'outdated' THEN
            'Not rehearsed since something changed: no rule forbids it, what it does now is not known'
        ELSE 'Not rehearsed: no rule forbids it, what it does is not known' END
    FROM (SELECT migrollback_schema.migration_effect_phrases(effects) AS phrases) p
$function$;
COMMENT ON FUNCTION migrollback_schema.assessment_headline(
    text, text[], jsonb, text, text, timestamptz, text, timestamptz) IS
    'The verdict in one line. rehearsal: current, outdated, stopped, fails or NULL; failure: why it fails; proof: its '
    'grade. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.merged_effects(known jsonb, more jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_agg(e.value ORDER BY e.place), '[]')
      FROM (SELECT DISTINCT ON (a.value ->> 'effect', a.value ->> 'identity') a.value, a.place
              FROM jsonb_array_elements(known || more) WITH ORDINALITY AS a (value, place)
             ORDER BY a.value ->> 'effect', a.value ->> 'identity', a.place) e
$function$;
COMMENT ON FUNCTION migrollback_schema.merged_effects(jsonb, jsonb) IS
    'Effects of both, each kind and object once: the first counts. Does not write.';
