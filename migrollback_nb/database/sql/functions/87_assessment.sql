-- ---------------------------------------------------------------------------------------------------
-- The assessment: what is known of a rollback before it runs, in one verdict. Every answer is made from it. Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.schema_fingerprint() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT left(encode(sha256(convert_to(migrollback_schema.schema_hash(), 'UTF8')), 'hex'), 16)
$function$;
COMMENT ON FUNCTION migrollback_schema.schema_fingerprint() IS
    'What schema_hash() is in a fingerprint: its last 16 digits. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.rehearsal_of_migrations(
    names text[], otherwise_path text, schema_now text,
    OUT details jsonb, OUT rehearsed_at timestamptz, OUT is_current boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
BEGIN
    SELECT e.details, e.occurred_at INTO details, rehearsed_at FROM migrollback_schema.migration_events e
     WHERE e.event = 'rehearsed' AND e.migration_name = names[cardinality(names)]
       AND coalesce(e.details -> 'chain', jsonb_build_array(e.migration_name)) = to_jsonb(names)
     ORDER BY e.event_number DESC LIMIT 1;
    is_current := false;
    IF FOUND THEN
        -- dear where the schema is large, so only where there is something to compare with
        is_current := coalesce(details ->> 'outcome', '') <> 'stopped'
            AND coalesce(right(details ->> 'fingerprint', 16) = schema_now, true)
            AND details ->> 'fingerprint' = migrollback_schema.migration_fingerprint(names, otherwise_path);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.rehearsal_of_migrations(text[], text, text) IS
    'The last rehearsal of just these rollbacks, in this order: details of its event, when, and whether nothing has '
    'changed since (migration_fingerprint()). NULLs where there is none. schema_now: schema_fingerprint(), where it is '
    'known. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_blockers(names text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    blockers text[] := '{}';
    handled  text[] := '{}';
    name     text;
    reason   text;
    planned  migrollback_schema.migration_history;
BEGIN
    FOREACH name IN ARRAY names LOOP
        SELECT * INTO planned FROM migrollback_schema.migration_history h WHERE h.migration_name = name;
        IF planned.id IS NULL THEN
            reason := 'Migration not found';
        ELSE
            reason := coalesce(
                migrollback_schema.migration_blocking_reason(
                    planned.status, cardinality(migrollback_schema.migrations_to_roll_back_first(
                        ARRAY[name], handled)) > 0, planned.rollback_sql, planned.metadata),
                (SELECT p.reason FROM migrollback_schema.deploy_in_progress(
                     planned.metadata ->> 'tool', planned.metadata ->> 'search_path') p),
                -- those before it move the ledger
                CASE WHEN cardinality(handled) = 0 THEN migrollback_schema.not_a_head_reason(
                    name, planned.migration_version, planned.metadata) END);
        END IF;
        handled := handled || name;
        IF reason IS NOT NULL THEN
            blockers := blockers || CASE WHEN cardinality(names) > 1 THEN name || ': ' || reason ELSE reason END;
        END IF;
    END LOOP;
    RETURN blockers;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_blockers(text[]) IS
    'Why these migrations may not be rolled back in this order, in the words of can_rollback_migration(); none where '
    'they may. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.system_rollback_losses(name text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce((
        SELECT jsonb_build_array(jsonb_build_object(
                   'effect', 'loses_rows', 'identity', format('%I.migration_events', n.nspname),
                   -- numbered without a gap: the last number is how many there are, without counting them
                   'rows', (SELECT coalesce(max(e.event_number), 0) FROM migrollback_schema.migration_events e),
                   'detail', 'the history and the audit log end', 'migration', NULL, 'known_by', 'catalog'))
          FROM migrollback_schema.migration_history h
          JOIN pg_class c ON c.oid = ('migrollback_schema' || '.migration_history')::regclass
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE h.migration_name = system_rollback_losses.name AND h.metadata ->> 'system' = 'true'), '[]')
$function$;
COMMENT ON FUNCTION migrollback_schema.system_rollback_losses(text) IS
    'What rolling back the rollback system itself loses: the audit log, as an array of one effect; of any other '
    'migration nothing. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_effects_known(
    names text[], otherwise_path text, rehearsal jsonb)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    effects jsonb := coalesce(rehearsal -> 'effects', '[]');
    name    text;
BEGIN
    FOREACH name IN ARRAY names LOOP
        IF rehearsal IS NULL THEN
            effects := migrollback_schema.merged_effects(
                effects, (
                    -- values that the archive replaces are no loss
                    SELECT coalesce(jsonb_agg(e.value ORDER BY e.place), '[]')
                      FROM jsonb_array_elements(migrollback_schema.migration_loss_by_text(name, otherwise_path))
                           WITH ORDINALITY AS e (value, place)
                     WHERE NOT (e.value ->> 'detail' = 'rewritten' AND coalesce(migrollback_schema.left_of_archived(
                                    name, 'rewritten', e.value ->> 'identity') = 0, false))));
        END IF;
        effects := migrollback_schema.merged_effects(effects, migrollback_schema.system_rollback_losses(name));
        effects := migrollback_schema.merged_effects(effects, migrollback_schema.without_values_put_back(
            migrollback_schema.migration_values_not_restored(name), rehearsal -> 'came_back', NULL::jsonb));
        effects := migrollback_schema.merged_effects(effects, coalesce(
            (SELECT p.effects FROM migrollback_schema.migration_proof(name) p), '[]'));
    END LOOP;
    -- with sizes and times, which a rehearsal tells of its own locks only
    effects := jsonb_path_query_array(effects, '$[*] ? (@.effect != "locks")') || migrollback_schema.merged_effects(
        migrollback_schema.foreseen_lock_effects(names, otherwise_path),
        jsonb_path_query_array(effects, '$[*] ? (@.effect == "locks")'));
    -- in a chain what one takes of another goes with it
    RETURN coalesce((SELECT jsonb_agg(e.value || jsonb_build_object(
                                'words', migrollback_schema.migration_effect_words(e.value)) ORDER BY e.place)
                       FROM jsonb_array_elements(effects) WITH ORDINALITY AS e (value, place)
                      WHERE NOT (e.value ->> 'effect' = 'takes_other' AND e.value ->> 'migration' = ANY (names))),
                    '[]');
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_effects_known(text[], text, jsonb) IS
    'What is known of the effects of these rollbacks: rehearsal (details of its event, NULL where there is none that '
    'still holds), else parsed text and catalogs; what the up migrations destroyed; proofs. Each with words. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.assess_migrations(
    names text[], otherwise_path text DEFAULT migrollback_schema.effective_search_path(),
    rehearsed jsonb DEFAULT NULL, schema_now text DEFAULT NULL)
RETURNS TABLE (verdict text, headline text, blockers text[], effects jsonb, known_by text, known_at timestamptz,
               proof text, approvals jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    rehearsal record;
    state     text;                     -- of the rehearsal: current, outdated, stopped, fails
    failure   text;                     -- why it fails
    proofs    record;                   -- of these very texts, the worst of several
    proven    boolean;                  -- each is proven to restore
    captured  boolean;                  -- one was written from a schema alone: what became of rows no one knows
    unread    boolean;                  -- of one it is not known what its up migration destroyed
    undone    text;                     -- by their deploy tool, as its ledger says
BEGIN
    blockers := migrollback_schema.migration_blockers(names);
    IF rehearsed IS NULL THEN
        rehearsal := migrollback_schema.rehearsal_of_migrations(names, otherwise_path, schema_now);
    ELSE
        SELECT rehearsed AS details, clock_timestamp() AS rehearsed_at, true AS is_current INTO rehearsal;
    END IF;
    state := CASE WHEN rehearsal.details IS NULL THEN NULL
                  WHEN rehearsal.details ->> 'outcome' = 'stopped' THEN 'stopped'
                  WHEN NOT rehearsal.is_current THEN 'outdated'
                  WHEN rehearsal.details ->> 'success' = 'true' THEN 'current'
                  -- a lock or a cancel says nothing of the rollback
                  WHEN migrollback_schema.is_transient_error(rehearsal.details ->> 'sqlstate') THEN NULL
                  ELSE 'fails' END;
    failure := CASE WHEN state = 'fails' THEN format('%s (SQLSTATE %s)', regexp_replace(
        rehearsal.details ->> 'message', '^Rehearsal: the rollback would fail: ', ''),
        rehearsal.details ->> 'sqlstate') END;
    SELECT count(p.grade) AS number, min(p.proven_at) AS proven_at,
           (array_agg(p.grade ORDER BY array_position(
               ARRAY['fails', 'cannot_reapply', 'differs', 'loses_data', 'restores'], p.grade)))[1] AS grade,
           string_agg(DISTINCT p.words, '; ') AS words, bool_and(p.grade = 'restores') AS restores
      INTO proofs
      FROM unnest(names) AS n (name)
     CROSS JOIN LATERAL (SELECT m.grade, m.proven_at, migrollback_schema.migration_proof_words(m.grade, m.effects,
                                m.proven_at) AS words FROM migrollback_schema.migration_proof(n.name) m) p;
    -- of what was captured from a schema no replay knows what became of the rows
    captured := EXISTS (SELECT FROM migrollback_schema.migration_history h
                         WHERE h.migration_name = ANY (names) AND h.metadata ? 'captured');
    proven := proofs.number = cardinality(names) AND proofs.restores AND NOT captured;
    proof := proofs.words;
    unread := captured OR NOT proven AND EXISTS (
        SELECT FROM migrollback_schema.migration_history h WHERE h.migration_name = ANY (names)
           AND NOT h.metadata ? 'destroys' AND h.metadata ->> 'system' IS DISTINCT FROM 'true');
    -- what it undid would be undone twice
    undone := (SELECT format('Undone by its deploy tool, or never applied: the ledger %s does not hold %s',
                             string_agg(DISTINCT f.ledger, ' and '),
                             CASE WHEN cardinality(names) = 1 THEN 'it' WHEN count(*) = 1 THEN min(f.migration_name)
                                  ELSE format('%s of them', count(*)) END)
                 FROM migrollback_schema.migration_ledger_findings(names) f WHERE f.finding = 'missing'
               HAVING count(*) > 0);
    effects := migrollback_schema.migration_effects_known(
        names, otherwise_path, CASE WHEN state = 'current' THEN rehearsal.details END);
    verdict := migrollback_schema.assessment_verdict(
        blockers, effects, state = 'current' AND NOT unread OR proven AND state IS DISTINCT FROM 'fails',
        state = 'fails' OR proofs.grade IN ('differs', 'cannot_reapply')
            OR proofs.grade = 'fails' AND state IS DISTINCT FROM 'current');
    headline := migrollback_schema.assessment_headline(
        verdict, blockers, effects, state, failure, rehearsal.rehearsed_at, proofs.grade, proofs.proven_at);
    IF undone IS NOT NULL AND verdict <> 'blocked' THEN
        headline := format('%s; %s%s', undone, lower(left(headline, 1)), substr(headline, 2));
        verdict := CASE WHEN verdict IN ('ready', 'not_rehearsed') THEN 'harms' ELSE verdict END;
    END IF;
    headline := headline || coalesce('; it ' || migrollback_schema.archive_words(names), '');
    known_by := CASE WHEN state IN ('current', 'fails') THEN 'rehearsal'
                     WHEN proofs.number = cardinality(names) THEN 'proof'
                     WHEN jsonb_path_exists(effects, '$[*] ? (@.known_by == "catalog" && @.effect != "locks")', '{}',
                                            true) THEN 'catalog'
                     WHEN jsonb_path_exists(effects, '$[*] ? (@.effect != "locks")', '{}', true) THEN 'text'
                     ELSE 'nothing' END;
    known_at := CASE known_by WHEN 'rehearsal' THEN rehearsal.rehearsed_at WHEN 'proof' THEN proofs.proven_at END;
    -- beside the verdict: that says what a rollback does, and not who has to agree
    approvals := migrollback_schema.migration_approvals('rollback'::text, names, otherwise_path, verdict, effects,
                                                        known_by);
    IF approvals IS NOT NULL AND verdict <> 'blocked' THEN
        headline := headline || '; ' || (approvals ->> 'words');
    END IF;
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION migrollback_schema.assess_migrations(text[], text, jsonb, text) IS
    'What is known of rolling these migrations back, in this order, before it runs: verdict (blocked, loses, '
    'takes_others, harms, not_rehearsed, ready: the first that fits), headline (it in one line), blockers, effects (an '
    'array of objects: effect, identity, rows, detail, migration, known_by, words), known_by (rehearsal, proof, '
    'catalog, text or nothing), known_at, what a recorded proof of these very texts says, and approvals, as '
    'migration_approvals() gives them (NULL: no policy asks for any). rehearsed: what a '
    'rehearsal elsewhere has just found (success, effects), in place of the last one here; schema_now: '
    'schema_fingerprint(), of who assesses many. Always one row. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.assess_migration(
    name text, otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS TABLE (verdict text, headline text, blockers text[], effects jsonb, known_by text, known_at timestamptz,
               proof text, approvals jsonb)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT a.* FROM migrollback_schema.assess_migrations(
        ARRAY[name], otherwise_path, NULL::jsonb, NULL::text) a
$function$;
COMMENT ON FUNCTION migrollback_schema.assess_migration(text, text) IS
    'What is known of rolling this migration back before it runs: assess_migrations() of one. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.production_losses(
    names text[], otherwise_path text, accept_loss boolean, OUT refusal text, OUT accepted jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    production constant boolean := migrollback_schema.is_production_database();
    losses     jsonb;
BEGIN
    -- A rehearsal is undone, and elsewhere no one need accept: what is known of it is not asked then.
    IF coalesce(current_setting('migrollback.rehearsal', true), '')
           = coalesce(pg_current_xact_id_if_assigned()::text, 'none') OR NOT (production OR accept_loss) THEN
        RETURN;
    END IF;
    SELECT jsonb_agg(e.value) INTO losses
      FROM migrollback_schema.assess_migrations(names, otherwise_path, NULL::jsonb, NULL::text) a
     CROSS JOIN LATERAL jsonb_array_elements(a.effects) e
     WHERE e.value ->> 'effect' IN ('loses_rows', 'loses_values', 'values_not_restored');
    IF losses IS NOT NULL AND accept_loss THEN
        accepted := losses;
    ELSIF losses IS NOT NULL THEN
        refusal := format('This database is marked as production, and this rollback would %s: that is to be accepted '
                          '(argument accept_loss)', migrollback_schema.joined_words(
                              migrollback_schema.migration_effect_phrases(losses)));
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.production_losses(text[], text, boolean) IS
    'What rolling these migrations back would lose: refusal, why that is refused where the database is marked as '
    'production and it was not accepted, in words; accepted, the effects of loss where it was. NULLs where nothing is '
    'lost. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_with_known_effects() RETURNS SETOF text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT e.migration_name FROM migrollback_schema.migration_events e WHERE e.event = 'rehearsed'
    UNION SELECT p.migration_name FROM migrollback_schema.migration_proofs p
    UNION SELECT v.migration_name FROM migrollback_schema.migration_destroyed_values v
    UNION SELECT h.migration_name FROM migrollback_schema.migration_history h WHERE h.metadata ->> 'system' = 'true'
    UNION SELECT f.migration_name FROM migrollback_schema.migration_ledger_findings(NULL::text[]) f
           WHERE f.finding = 'missing'
    UNION
    -- whose rollback drops or writes, by its text, a table of a name that one with rows has
    SELECT s.migration_name
      FROM (SELECT h.migration_name, e.value ->> 'table' AS relation
              FROM migrollback_schema.migration_history h
             CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(h.metadata #> '{rollback,drops}')
                                                     WHEN 'array' THEN h.metadata #> '{rollback,drops}' END) e
             WHERE h.status <> 'rolled_back') s
      JOIN (SELECT DISTINCT c.relname::text AS relation FROM pg_class c
             WHERE c.relkind IN ('r', 'p', 'f') AND c.oid >= 16384
               AND (c.relkind <> 'r' OR pg_relation_size(c.oid) > 0)) r ON r.relation = s.relation
$function$;
COMMENT ON FUNCTION migrollback_schema.migrations_with_known_effects() IS
    'Names of the migrations of whose rollback more may be known than that no one looked: rehearsed, proven, known to '
    'have destroyed values, undone by their deploy tool, or dropping or writing tables with rows. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.list_assessed_migrations(
    otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS TABLE (migration_name text, migration_version text, applied_at timestamptz, status text, can_rollback boolean,
               has_rollback_sql boolean, blocking_reason text, dependent_migrations text[], verdict text,
               headline text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    unknown   constant text := migrollback_schema.assessment_headline(
        'not_rehearsed', '{}'::text[], '[]'::jsonb, NULL::text, NULL::text, NULL::timestamptz, NULL::text,
        NULL::timestamptz);
    is_known  boolean;
    -- dear where the schema is large: once for all of them
    schema_now constant text := CASE WHEN EXISTS (
        SELECT FROM migrollback_schema.migration_events e WHERE e.event = 'rehearsed')
        THEN migrollback_schema.schema_fingerprint() END;
BEGIN
    -- one by one only where there is something to find: ten thousand would last for many seconds
    FOR migration_name, migration_version, applied_at, status, can_rollback, has_rollback_sql, blocking_reason,
        dependent_migrations, is_known IN
        SELECT l.migration_name, l.migration_version, l.applied_at, l.status, l.can_rollback, l.has_rollback_sql,
               l.blocking_reason, l.dependent_migrations, k.name IS NOT NULL
          FROM migrollback_schema.list_rollbackable_migrations() WITH ORDINALITY AS l
          LEFT JOIN migrollback_schema.migrations_with_known_effects() AS k (name) ON k.name = l.migration_name
         ORDER BY l.ordinality
    LOOP
        verdict := CASE WHEN NOT can_rollback THEN 'blocked' ELSE 'not_rehearsed' END;
        headline := CASE WHEN NOT can_rollback THEN blocking_reason ELSE unknown END;
        IF can_rollback AND is_known THEN
            SELECT a.verdict, a.headline INTO verdict, headline FROM migrollback_schema.assess_migrations(
                ARRAY[list_assessed_migrations.migration_name], otherwise_path, NULL::jsonb, schema_now) a;
        END IF;
        RETURN NEXT;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.list_assessed_migrations(text) IS
    'list_rollbackable_migrations() with the verdict of each and its headline, as assess_migration() gives them. Does '
    'not write.';
