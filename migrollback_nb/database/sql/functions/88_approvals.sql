-- ---------------------------------------------------------------------------------------------------
-- Requests and approvals: events, of which the gate counts those that hold at its own moment, by the server's clock.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_request_approvals(request bigint, policies jsonb)
RETURNS TABLE (policy text, needed int, approved_by text, approved_at timestamptz, expires_at timestamptz,
               is_valid boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
DECLARE
    moment constant timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    SELECT p.value ->> 'policy_name', (p.value ->> 'approvals')::int, g.database_user, g.occurred_at,
           g.occurred_at + (p.value ->> 'valid_minutes')::float8 * interval '1 minute',
           g.occurred_at <= moment
           AND g.occurred_at + (p.value ->> 'valid_minutes')::float8 * interval '1 minute' > moment
      FROM jsonb_array_elements(policies) AS p (value)
      JOIN migrollback_schema.migration_events a
        ON a.event_number = request AND a.event = 'approval_requested'
      JOIN migrollback_schema.migration_events g
        ON g.event = 'approval_given' AND g.details ->> 'request' = request::text
       AND g.event_number > a.event_number AND g.database_user <> a.database_user
       AND g.details ->> 'fingerprint' = a.details ->> 'fingerprint'
     WHERE EXISTS (SELECT FROM pg_roles r WHERE r.rolname = g.database_user)
       -- as it is now: who is no longer a member does not count any more
       AND (p.value -> 'approvers' = '[]' OR migrollback_schema.role_is_one_of(
            g.database_user, ARRAY(SELECT jsonb_array_elements_text(p.value -> 'approvers'))));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_request_approvals(bigint, jsonb) IS
    'The approvals of a request that count for these policies (rows of migration_policies as an array), and until '
    'when: of another role than the one that asked, which is or belongs to one of the approvers now. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.judge_migration_request(
    request bigint, fingerprint text, policies jsonb, effects jsonb, OUT state text, OUT words text, OUT needed int,
    OUT has int, OUT approved_by text[], OUT expires_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$
DECLARE
    asked migrollback_schema.migration_events;
    ended record;
    lapsed boolean;
BEGIN
    SELECT * INTO asked FROM migrollback_schema.migration_events e
     WHERE e.event_number = request AND e.event = 'approval_requested';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT e.database_user, e.event_number INTO ended FROM migrollback_schema.migration_events e
     WHERE e.details #>> '{approval,request}' = request::text AND e.details ? 'approval'
       AND e.event IN ('rolled_back', 'resolved') ORDER BY e.event_number LIMIT 1;
    IF FOUND THEN
        state := 'used';
        words := format('used by %s at event %s', ended.database_user, ended.event_number);
        RETURN;
    END IF;
    SELECT e.database_user, e.reason INTO ended FROM migrollback_schema.migration_events e
     WHERE e.event = 'request_withdrawn' AND e.details ->> 'request' = request::text ORDER BY e.event_number LIMIT 1;
    IF FOUND THEN
        state := 'withdrawn';
        words := format('withdrawn by %s', ended.database_user);
        RETURN;
    END IF;
    words := CASE
        WHEN fingerprint IS DISTINCT FROM asked.details ->> 'fingerprint' THEN
            split_part(replace(migrollback_schema.changed_since_preview(asked.details ->> 'fingerprint', fingerprint),
                               'preview', 'request'), ':', 1)
        WHEN policies IS NULL THEN 'No policy asks for it any more'
        -- a policy that applies and that was not there, or was another one
        ELSE coalesce((SELECT format('Policy %s has changed since the request, or applies only since then',
                                     p.value ->> 'policy_name')
                FROM jsonb_array_elements(policies) AS p (value)
               WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(asked.details -> 'policies') AS o (value)
                                  WHERE o.value -> 'event_number' = p.value -> 'event_number') LIMIT 1),
             -- what was approved is what was shown
             (SELECT format('It does more than when it was asked for: %s',
                            migrollback_schema.migration_effect_words(n.value))
                FROM jsonb_array_elements(effects) AS n (value)
               WHERE n.value ->> 'effect' <> 'locks'
                 AND NOT EXISTS (SELECT FROM jsonb_array_elements(asked.details -> 'effects') AS o (value)
                                  WHERE o.value -> 'effect' = n.value -> 'effect'
                                    AND o.value -> 'identity' = n.value -> 'identity') LIMIT 1)) END;
    IF words IS NOT NULL THEN
        state := 'void';
        RETURN;
    END IF;
    -- of several policies, the one that lacks most
    WITH given AS MATERIALIZED (
        SELECT g.* FROM migrollback_schema.migration_request_approvals(request, policies) g),
    counted AS (
        SELECT p.value ->> 'policy_name' AS policy, (p.value ->> 'approvals')::int AS needed,
               count(DISTINCT g.approved_by) FILTER (WHERE g.is_valid)::int AS has,
               count(DISTINCT g.approved_by)::int AS ever
          FROM jsonb_array_elements(policies) AS p (value)
          LEFT JOIN given g ON g.policy = p.value ->> 'policy_name'
         GROUP BY p.value ->> 'policy_name', p.value ->> 'approvals'),
    worst AS (SELECT c.* FROM counted c ORDER BY c.needed - c.has DESC, c.needed DESC, c.policy LIMIT 1)
    SELECT w.needed, w.has, w.ever > w.has,
           (SELECT array_agg(DISTINCT g.approved_by) FROM given g WHERE g.is_valid),
           (SELECT min(u.until) FROM (SELECT max(g.expires_at) AS until FROM given g WHERE g.is_valid
                                       GROUP BY g.policy, g.approved_by) u)
      INTO needed, has, lapsed, approved_by, expires_at FROM worst w;
    approved_by := coalesce(approved_by, '{}');
    state := CASE WHEN has >= needed THEN 'approved' WHEN lapsed THEN 'expired' ELSE 'waiting' END;
    words := CASE state WHEN 'approved' THEN format('approved by %s', migrollback_schema.joined_words(approved_by))
                        WHEN 'expired' THEN format('expired: %s of %s still hold', has, needed)
                        ELSE format('waiting: %s of %s', has, needed) END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.judge_migration_request(bigint, text, jsonb, jsonb) IS
    'How a request stands, with the fingerprint, the policies and the effects of this moment: used, withdrawn, void '
    '(something has changed since), approved, expired or waiting; how many approvals it needs and has by the policy '
    'that lacks most; by whom; until when. NULLs: there is no such request. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_approvals(
    command text, names text[], otherwise_path text, verdict text, effects jsonb, known_by text)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$
DECLARE
    policies    jsonb;
    fingerprint text;
    asked       record;
    judged      record;
    best        jsonb;
    needed      int;
BEGIN
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_policies) THEN
        RETURN NULL;
    END IF;
    policies := migrollback_schema.migration_policies_for(command, names, verdict, effects, known_by);
    IF policies IS NULL THEN
        RETURN NULL;
    END IF;
    needed := (policies #>> '{0,approvals}')::int;  -- the highest number comes first
    FOR asked IN
        SELECT e.event_number, e.database_user, e.occurred_at, e.details FROM migrollback_schema.migration_events e
         WHERE e.event = 'approval_requested' AND e.details -> 'names' = to_jsonb(names)
           AND e.details ->> 'command' = migration_approvals.command
         ORDER BY e.event_number DESC LIMIT 20
    LOOP
        fingerprint := coalesce(fingerprint, migrollback_schema.migration_fingerprint(
            names, coalesce(otherwise_path, asked.details ->> 'otherwise_path')));
        CONTINUE WHEN fingerprint <> asked.details ->> 'fingerprint';
        judged := migrollback_schema.judge_migration_request(asked.event_number, fingerprint, policies, effects);
        CONTINUE WHEN judged.state NOT IN ('approved', 'expired', 'waiting');
        IF best IS NULL OR judged.state = 'approved' OR judged.has > (best ->> 'has')::int THEN
            best := jsonb_build_object(
                'needed', judged.needed, 'has', judged.has, 'satisfied', judged.state = 'approved',
                'request', asked.event_number, 'requested_by', asked.database_user, 'state', judged.state,
                'approved_by', judged.approved_by, 'expires_at', judged.expires_at);
        END IF;
        EXIT WHEN judged.state = 'approved';
    END LOOP;
    best := coalesce(best, jsonb_build_object('needed', needed, 'has', 0, 'satisfied', false, 'request', NULL,
                                              'requested_by', NULL, 'state', 'not requested', 'approved_by',
                                              '[]'::jsonb, 'expires_at', NULL));
    RETURN best || jsonb_build_object(
        'policies', policies,
        'words', CASE WHEN (best -> 'satisfied')::boolean THEN format('approved by %s',
                          migrollback_schema.joined_words(ARRAY(
                              SELECT jsonb_array_elements_text(best -> 'approved_by'))))
                      ELSE format('needs %s, has %s', migrollback_schema.counted_words(
                          (best ->> 'needed')::bigint, false, 'approval'::text), best ->> 'has') END);
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_approvals(text, text[], text, text, jsonb, text) IS
    'What the policies ask of a command with these migrations, by what is known of it: needed, has, satisfied, '
    'request (the one that comes nearest), requested_by, state, approved_by, expires_at, policies, words. NULL: no '
    'policy applies. otherwise_path: as of migration_fingerprint(); NULL: that of the request. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.approval_refusal(
    command text, names text[], approvals jsonb, break_glass boolean, reason text, OUT refusal text,
    OUT details jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    list    text := (SELECT migrollback_schema.joined_words(array_agg(p.value ->> 'policy_name' ORDER BY p.place))
                       FROM jsonb_array_elements(approvals -> 'policies') WITH ORDINALITY AS p (value, place));
    barred  text;
BEGIN
    IF approvals IS NULL THEN
        RETURN;
    ELSIF (approvals -> 'satisfied')::boolean THEN
        details := jsonb_build_object('approval', jsonb_build_object(
            'request', approvals -> 'request', 'requested_by', approvals -> 'requested_by',
            'approved_by', approvals -> 'approved_by', 'policies', list,
            'approvals', (SELECT jsonb_agg(DISTINCT jsonb_build_object('approved_by', g.approved_by, 'approved_at',
                                                                       g.approved_at))
                            FROM migrollback_schema.migration_request_approvals(
                                (approvals ->> 'request')::bigint, approvals -> 'policies') g WHERE g.is_valid)));
        RETURN;
    END IF;
    IF break_glass IS TRUE THEN
        barred := (SELECT p.value ->> 'policy_name' FROM jsonb_array_elements(approvals -> 'policies') AS p (value)
                    WHERE NOT migrollback_schema.role_is_one_of(session_user::text, ARRAY(
                              SELECT jsonb_array_elements_text(p.value -> 'break_glass_by'))) LIMIT 1);
        IF barred IS NOT NULL AND NOT migrollback_schema.owns_migration_system(session_user::text) THEN
            refusal := format('Policy %s does not let %s break the glass', barred, session_user);
        ELSIF coalesce(btrim(reason, E' \t\r\n'), '') = '' THEN
            refusal := 'Breaking the glass needs a reason (argument reason)';
        ELSE
            details := jsonb_build_object('break_glass', jsonb_build_object(
                'policies', list, 'needed', approvals -> 'needed', 'has', approvals -> 'has', 'request',
                approvals -> 'request'));
        END IF;
        RETURN;
    END IF;
    refusal := format('It %s (policy %s): ', approvals ->> 'words', list)
        || CASE WHEN approvals ->> 'request' IS NULL THEN 'ask for them first, with migrollback request'
                ELSE format('have request %s approved, with migrollback approve %1$s', approvals ->> 'request') END;
END $function$;
COMMENT ON FUNCTION migrollback_schema.approval_refusal(text, text[], jsonb, boolean, text) IS
    'What the gate makes of migration_approvals(): refusal, in words, or details for the event: approval (request, '
    'requested_by, approved_by, approvals, policies), or break_glass where a reason is given and the policies, or the '
    'ownership of this system, let session_user do without. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.approval_of_rollback(
    names text[], otherwise_path text, break_glass boolean, reason text, OUT refusal text, OUT details jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    assessed record;
BEGIN
    IF coalesce(current_setting('migrollback.rehearsal', true), '')
       = coalesce(pg_current_xact_id_if_assigned()::text, 'none') THEN
        -- Nothing is asked of a rehearsal, no approval and no acceptance of losses, for it is undone. Any caller can
        -- call a rollback one: hence the event that no COMMIT survives.
        details := '{"rehearsal": true}';
        RETURN;
    ELSIF NOT EXISTS (SELECT FROM migrollback_schema.migration_policies) THEN
        RETURN;
    END IF;
    SELECT a.approvals INTO assessed
      FROM migrollback_schema.assess_migrations(names, otherwise_path, NULL::jsonb, NULL::text) a;
    SELECT r.refusal, r.details INTO refusal, details FROM migrollback_schema.approval_refusal(
        'rollback'::text, names, assessed.approvals, break_glass, reason) r;
END $function$;
COMMENT ON FUNCTION migrollback_schema.approval_of_rollback(text[], text, boolean, text) IS
    'What the gate makes of the policies, under its locks: refusal, in words, or details for the event. NULLs: no '
    'policy asks for anything. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.reason_with_broken_glass(reason text, approved jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN approved ? 'break_glass' THEN 'BREAK-GLASS: ' || reason ELSE reason END
$function$;
COMMENT ON FUNCTION migrollback_schema.reason_with_broken_glass(text, jsonb) IS
    'The reason as history and audit log show it: loud where a rollback went without its approvals. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_run_without_approval(
    names text[], attempt_id uuid, reason text, client text, approved jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF approved ? 'rehearsal' THEN
        SET CONSTRAINTS migrollback_schema.refuse_kept_rehearsal DEFERRED;
    END IF;
    -- by its details alone of the attempt, whose own events say how it ended
    PERFORM migrollback_schema.add_migration_event('broke_glass'::text, names[cardinality(names)], NULL::uuid, reason,
        client, jsonb_strip_nulls(coalesce(approved -> 'break_glass', approved) || jsonb_build_object(
            'attempt', attempt_id, 'chain', CASE WHEN cardinality(names) > 1 THEN to_jsonb(names) END)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_run_without_approval(text[], uuid, text, text, jsonb) IS
    'Writes the event broke_glass of a rollback that ran without the approvals that a policy asks for. Of a rehearsal '
    'no COMMIT survives it.';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_kept_rehearsal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RAISE EXCEPTION 'what ran as a rehearsal is not committed'
        USING ERRCODE = 'MR029', HINT = 'Nothing was changed. migrollback.rehearsal is set by rehearsals alone.';
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_kept_rehearsal() IS
    'Trigger: at COMMIT, refuses what was called a rehearsal, and so was asked for no approval (SQLSTATE MR029).';

CREATE OR REPLACE FUNCTION migrollback_schema.approval_of_start(
    name text, break_glass boolean, reason text, OUT refusal text, OUT details jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
DECLARE
    planned migrollback_schema.migration_history;
BEGIN
    SELECT * INTO planned FROM migrollback_schema.migration_history h
     WHERE h.migration_name = approval_of_start.name;
    -- An interrupted run goes on under what it began with: its first statements have changed the schema since.
    IF migrollback_schema.migration_statements_completed(name, 'rollback'::text) > 0 THEN
        details := (SELECT jsonb_strip_nulls(jsonb_build_object('approval', e.details -> 'approval', 'break_glass',
                                                                e.details -> 'break_glass'))
                      FROM migrollback_schema.migration_events e
                     WHERE e.migration_name = approval_of_start.name AND e.event = 'started'
                       AND e.event_number > migrollback_schema.last_whole_event(name, 'rollback'::text)
                       AND e.details ?| '{approval,break_glass}'
                       AND e.details ->> 'rollback_md5' = md5(convert_to(planned.rollback_sql, 'UTF8'))
                     ORDER BY e.event_number DESC LIMIT 1);
        IF details IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    SELECT a.refusal, a.details INTO refusal, details FROM migrollback_schema.approval_of_rollback(
        ARRAY[name], migrollback_schema.migration_rollback_path(planned.metadata, ''::text), break_glass, reason) a;
    details := details - 'rehearsal';
END $function$;
COMMENT ON FUNCTION migrollback_schema.approval_of_start(text, boolean, text) IS
    'What the gate makes of the policies before a rollback outside a transaction: as approval_of_rollback(); a run '
    'that goes on has the approval with which it began. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.approval_of_finish(name text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
DECLARE
    begun jsonb;
BEGIN
    begun := (SELECT e.details FROM migrollback_schema.migration_events e
               WHERE e.migration_name = approval_of_finish.name AND e.event = 'started'
                 AND e.event_number > migrollback_schema.last_whole_event(name, 'rollback'::text)
               ORDER BY e.details ?| '{approval,break_glass,unasked}' DESC, e.event_number DESC LIMIT 1);
    IF EXISTS (SELECT FROM migrollback_schema.migration_policies)
       AND NOT coalesce(begun ?| '{approval,break_glass,unasked}', false) THEN
        RAISE EXCEPTION 'the rollback of % did not begin with start_migration_rollback(), which looks for approvals',
            name USING ERRCODE = 'MR029', HINT = 'migrollback rollback runs it.';
    END IF;
    RETURN coalesce((SELECT jsonb_object_agg(k.key, k.value) FROM jsonb_each(begun) k
                      WHERE k.key IN ('approval', 'break_glass')), '{}');
END $function$;
COMMENT ON FUNCTION migrollback_schema.approval_of_finish(text) IS
    'With which approval a rollback outside a transaction began, for the event of its end. SQLSTATE MR029: it did not '
    'begin by the rules, and there are policies. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.approval_of_forced_resolve(name text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    assessed  record;
    approvals jsonb;
    gate      record;
BEGIN
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_policies p WHERE 'resolve' = ANY (p.commands)) THEN
        RETURN '{}';
    END IF;
    SELECT a.* INTO assessed
      FROM migrollback_schema.assess_migrations(ARRAY[name], ''::text, NULL::jsonb, NULL::text) a;
    -- nothing runs: the search_path is the one that was asked for
    approvals := migrollback_schema.migration_approvals('resolve'::text, ARRAY[name], NULL::text, assessed.verdict,
                                                        assessed.effects, assessed.known_by);
    SELECT r.refusal, r.details INTO gate FROM migrollback_schema.approval_refusal(
        'resolve'::text, ARRAY[name], approvals, false, NULL::text) r;
    IF gate.refusal IS NOT NULL THEN
        RAISE EXCEPTION '%', gate.refusal USING ERRCODE = 'MR029', HINT = 'Nothing was changed.';
    END IF;
    RETURN coalesce(gate.details, '{}');
END $function$;
COMMENT ON FUNCTION migrollback_schema.approval_of_forced_resolve(text) IS
    'What the gate makes of the policies where a migration is resolved by force: details for the event. SQLSTATE '
    'MR029: a policy asks for approvals that are not there. Does not write.';
