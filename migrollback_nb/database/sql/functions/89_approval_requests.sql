-- ---------------------------------------------------------------------------------------------------
-- Asking for approvals and giving them. SECURITY DEFINER: who may call these needs no right on our tables.
-- Who asks and who approves is session_user, as the trigger of migration_events stamps it.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.request_migration_approval(
    names text[], reason text DEFAULT NULL, preview text DEFAULT NULL, client text DEFAULT NULL,
    command text DEFAULT 'rollback', otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    fingerprint text;
    assessed    record;
    approvals   jsonb;
    refusal     text;
BEGIN
    IF coalesce(cardinality(names), 0) = 0 OR array_position(names, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'no migration was named' USING ERRCODE = 'MR006';
    ELSIF command IS NULL OR command NOT IN ('rollback', 'resolve') THEN
        RAISE EXCEPTION 'what is requested is rollback or resolve, not %', command USING ERRCODE = 'MR006';
    END IF;
    -- first of all: what changes after this must show as a change
    fingerprint := migrollback_schema.migration_fingerprint(names, otherwise_path);
    SELECT a.verdict, a.headline, a.blockers, a.effects, a.known_by, a.approvals INTO assessed
      FROM migrollback_schema.assess_migrations(names, otherwise_path, NULL::jsonb, NULL::text) a;
    refusal := CASE WHEN preview IS NOT NULL
                    THEN migrollback_schema.changed_since_preview(preview, fingerprint) END;
    IF refusal IS NULL AND command = 'rollback' THEN
        refusal := coalesce(assessed.blockers[1], migrollback_schema.production_refusal(reason));
    ELSIF refusal IS NULL AND NOT EXISTS (SELECT FROM migrollback_schema.migration_history h
                                           WHERE h.migration_name = ALL (names)) THEN
        RAISE EXCEPTION 'Migration not found' USING ERRCODE = 'MR001', DETAIL = names[1];
    END IF;
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION '%', refusal USING ERRCODE = 'MR002', HINT = 'Nothing was requested.';
    END IF;
    approvals := CASE WHEN command = 'rollback' THEN assessed.approvals
                      ELSE migrollback_schema.migration_approvals(command, names, otherwise_path, assessed.verdict,
                                                                  assessed.effects, assessed.known_by) END;
    IF approvals IS NULL THEN
        RETURN NULL;
    ELSIF approvals ->> 'requested_by' = session_user::text THEN
        RETURN (approvals ->> 'request')::bigint;   -- asked for already, and nothing has changed since
    END IF;
    RETURN migrollback_schema.add_migration_event(
        'approval_requested'::text, names[cardinality(names)], NULL::uuid, reason, client, jsonb_build_object(
            'command', command, 'names', names, 'fingerprint', fingerprint, 'otherwise_path', otherwise_path,
            'verdict', assessed.verdict, 'headline', CASE
                -- how many there are says the request itself
                WHEN command = 'rollback' THEN left(assessed.headline, -length('; ' || (approvals ->> 'words')))
                ELSE assessed.headline END, 'known_by', assessed.known_by,
            'effects', assessed.effects, 'policies', approvals -> 'policies'));
END $function$;
COMMENT ON FUNCTION migrollback_schema.request_migration_approval(text[], text, text, text, text, text) IS
    'Writes an event, and returns its number, which is that of the request: session_user asks for approvals of the '
    'rollback of these migrations, in this order (command resolve: of a forced resolve), as it stands now. NULL: no '
    'policy asks for any, and nothing is written. The number of an open request of the same role for the same is '
    'returned again. preview: fingerprint of what was looked at. SQLSTATE MR002: it may not run anyway.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_request_now(request bigint)
RETURNS TABLE (command text, names text[], fingerprint text, verdict text, effects jsonb, policies jsonb, state text,
               words text, needed int, has int, approved_by text[], expires_at timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
DECLARE
    asked    migrollback_schema.migration_events;
    assessed record;
    judged   record;
BEGIN
    SELECT * INTO asked FROM migrollback_schema.migration_events e
     WHERE e.event_number = request AND e.event = 'approval_requested';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    command := asked.details ->> 'command';
    names := ARRAY(SELECT jsonb_array_elements_text(asked.details -> 'names'));
    verdict := asked.details ->> 'verdict';
    effects := asked.details -> 'effects';
    policies := asked.details -> 'policies';
    -- most requests have ended, or are void: nothing need be assessed then
    judged := migrollback_schema.judge_migration_request(request, asked.details ->> 'fingerprint',
                                                         '[]'::jsonb, '[]'::jsonb);
    IF judged.state NOT IN ('used', 'withdrawn') THEN
        fingerprint := migrollback_schema.migration_fingerprint(names, asked.details ->> 'otherwise_path');
        IF fingerprint = asked.details ->> 'fingerprint' THEN
            SELECT a.verdict, a.effects, a.known_by INTO assessed FROM migrollback_schema.assess_migrations(
                names, asked.details ->> 'otherwise_path', NULL::jsonb, NULL::text) a;
            policies := migrollback_schema.migration_policies_for(command, names, assessed.verdict, assessed.effects,
                                                                  assessed.known_by);
            effects := assessed.effects;
        END IF;
        judged := migrollback_schema.judge_migration_request(request, fingerprint, policies, effects);
    END IF;
    fingerprint := asked.details ->> 'fingerprint';
    policies := coalesce(policies, asked.details -> 'policies');
    state := judged.state;
    words := judged.words;
    needed := coalesce(judged.needed, (policies #>> '{0,approvals}')::int);
    has := judged.has;
    approved_by := judged.approved_by;
    expires_at := judged.expires_at;
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_request_now(bigint) IS
    'A request, and how it stands at this moment. No row: there is none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.approve_migration_request(
    request bigint, preview text DEFAULT NULL, reason text DEFAULT NULL, client text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    asked   migrollback_schema.migration_events;
    stands  record;
    refusal text;
BEGIN
    SELECT * INTO asked FROM migrollback_schema.migration_events e
     WHERE e.event_number = request AND e.event = 'approval_requested';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no request %', request
            USING ERRCODE = 'MR006', HINT = 'migrollback approvals lists them.';
    END IF;
    SELECT * INTO stands FROM migrollback_schema.migration_request_now(request);
    refusal := CASE
        WHEN asked.database_user = session_user THEN
            format('Request %s is of %s, who does not approve it as well', request, session_user)
        WHEN stands.state IN ('used', 'withdrawn', 'void') THEN
            format('Request %s is %s: %s', request, stands.state, stands.words)
        WHEN preview IS NOT NULL AND preview <> stands.fingerprint THEN
            format('What was looked at is not what request %s asks for', request)
        WHEN NOT EXISTS (SELECT FROM jsonb_array_elements(stands.policies) AS p (value)
                          WHERE p.value -> 'approvers' = '[]' OR migrollback_schema.role_is_one_of(
                                    session_user::text,
                                    ARRAY(SELECT jsonb_array_elements_text(p.value -> 'approvers')))) THEN
            format('%s is none of the approvers of request %s (%s)', session_user, request, (
                SELECT string_agg(DISTINCT r.name, ', ') FROM jsonb_array_elements(stands.policies) AS p (value)
                 CROSS JOIN LATERAL jsonb_array_elements_text(p.value -> 'approvers') AS r (name)))
        WHEN session_user = ANY (stands.approved_by) THEN
            format('%s has approved request %s already', session_user, request) END;
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION '%', refusal USING ERRCODE = 'MR029', HINT = 'Nothing was approved.';
    END IF;
    PERFORM migrollback_schema.add_migration_event(
        'approval_given'::text, asked.migration_name, NULL::uuid, reason, client,
        jsonb_build_object('request', request, 'fingerprint', stands.fingerprint, 'requested_by', asked.database_user));
    RETURN (SELECT n.words FROM migrollback_schema.migration_request_now(request) n);
END $function$;
COMMENT ON FUNCTION migrollback_schema.approve_migration_request(bigint, text, text, text) IS
    'Writes an event: session_user approves this request, as it stands. preview: the fingerprint of what was looked '
    'at, which has to be that of the request. Returns how it stands now, in words. SQLSTATE MR029: it is of the same '
    'role, has ended, is void, or the role is none of the approvers; MR006: there is none.';

CREATE OR REPLACE FUNCTION migrollback_schema.withdraw_migration_request(
    request bigint, reason text DEFAULT NULL, client text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    asked migrollback_schema.migration_events;
    ended text;
BEGIN
    SELECT * INTO asked FROM migrollback_schema.migration_events e
     WHERE e.event_number = request AND e.event = 'approval_requested';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no request %', request
            USING ERRCODE = 'MR006', HINT = 'migrollback approvals lists them.';
    ELSIF asked.database_user <> session_user AND NOT migrollback_schema.owns_migration_system(session_user::text)
          AND NOT EXISTS (SELECT FROM migrollback_schema.migration_events e
                           WHERE e.event = 'approval_given' AND e.details ->> 'request' = request::text
                             AND e.database_user = session_user) THEN
        RAISE EXCEPTION 'request % is of %: who asked, who approved it and the owner can withdraw it', request,
            asked.database_user USING ERRCODE = 'MR029', HINT = 'Nothing was withdrawn.';
    END IF;
    -- a rollback that has counted its approvals comes first
    PERFORM migrollback_schema.lock_migrations();
    ended := (SELECT j.state FROM migrollback_schema.judge_migration_request(request, asked.details ->> 'fingerprint',
        '[]'::jsonb, '[]'::jsonb) j);
    IF ended = 'used' THEN
        RAISE EXCEPTION 'request % was used already', request USING ERRCODE = 'MR029';
    ELSIF ended = 'withdrawn' THEN
        RETURN false;
    END IF;
    PERFORM migrollback_schema.add_migration_event(
        'request_withdrawn'::text, asked.migration_name, NULL::uuid, reason, client,
        jsonb_build_object('request', request));
    RETURN true;
END $function$;
COMMENT ON FUNCTION migrollback_schema.withdraw_migration_request(bigint, text, text) IS
    'Writes an event: the request is no more, with the approvals that it had. For who asked, who approved it and the '
    'owner. Waits for a rollback that is running. Returns whether it was open.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_requests(
    request bigint DEFAULT NULL, only_open boolean DEFAULT false)
RETURNS TABLE (request_number bigint, state text, words text, command text, migration_name text, migrations text[],
               requested_by text, requested_at timestamptz, reason text, needed int, has int, approved_by text[],
               expires_at timestamptz, policies text[], verdict text, headline text, effects jsonb,
               fingerprint text, rollback_sql text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
    SELECT e.event_number, n.state, n.words, n.command, e.migration_name, n.names, e.database_user, e.occurred_at,
           e.reason, n.needed, n.has, coalesce(n.approved_by, '{}'), n.expires_at,
           ARRAY(SELECT p.value ->> 'policy_name' FROM jsonb_array_elements(n.policies) AS p (value)),
           n.verdict, e.details ->> 'headline', n.effects, n.fingerprint,
           -- only while it is what was asked for
           CASE WHEN migration_requests.request IS NOT NULL AND n.state IN ('waiting', 'approved', 'expired') THEN (
               SELECT string_agg(CASE WHEN cardinality(n.names) > 1 THEN format(E'-- %s\n', m.name) ELSE '' END
                                 || migrollback_schema.mask_passwords(h.rollback_sql), E'\n\n' ORDER BY m.place)
                 FROM unnest(n.names) WITH ORDINALITY AS m (name, place)
                 JOIN migrollback_schema.migration_history h ON h.migration_name = m.name) END
      FROM migrollback_schema.migration_events e
     CROSS JOIN LATERAL migrollback_schema.migration_request_now(e.event_number) n
     WHERE e.event = 'approval_requested'
       AND e.event_number = coalesce(migration_requests.request, e.event_number)
       AND NOT (only_open AND n.state IN ('used', 'withdrawn', 'void'))
     ORDER BY e.event_number DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_requests(bigint, boolean) IS
    'The requests, newest first, and how each stands now (state: waiting, approved, expired, used, withdrawn or void; '
    'words); of a single one also the SQL that would run. only_open: without those that have ended or are void. Does '
    'not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.audit_policies()
RETURNS TABLE (finding text, identity text, event_number bigint, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH last AS MATERIALIZED (
        SELECT DISTINCT ON (e.details ->> 'policy') e.details ->> 'policy' AS name, e.event_number,
               e.details -> 'new' AS after
        FROM migrollback_schema.migration_events e WHERE e.event = 'policy_changed'
        ORDER BY e.details ->> 'policy', e.event_number DESC),
    compared AS (
        SELECT coalesce(p.policy_name, l.name) AS name, l.event_number, CASE
            WHEN l.name IS NULL THEN 'no event tells of it'
            WHEN p.policy_name IS NULL AND l.after <> 'null' THEN 'it is gone, and no event tells of that'
            WHEN p.policy_name IS NOT NULL AND l.after = 'null' THEN
                format('event %s says that it was removed, and it is there', l.event_number)
            WHEN to_jsonb(p) - 'event_number' <> l.after OR p.event_number <> l.event_number THEN
                format('it differs from what it was at event %s', l.event_number) END AS message
        FROM migrollback_schema.migration_policies p FULL JOIN last l ON l.name = p.policy_name)
    SELECT 'policy', c.name, c.event_number, format('policy %s: %s', c.name, c.message)
    FROM compared c WHERE c.message IS NOT NULL
    UNION ALL
    SELECT 'approval', g.migration_name, g.event_number, format('approval %s of request %s: %s', g.event_number,
               g.details ->> 'request', w.message)
    FROM migrollback_schema.migration_events g
    LEFT JOIN migrollback_schema.migration_events a
      ON a.event_number::text = g.details ->> 'request' AND a.event = 'approval_requested'
    CROSS JOIN LATERAL (SELECT CASE
        WHEN a.event_number IS NULL OR a.event_number > g.event_number THEN 'there is no such request before it'
        WHEN a.database_user = g.database_user THEN format('it is of %s, who asked for it', g.database_user)
        WHEN a.details ->> 'fingerprint' IS DISTINCT FROM g.details ->> 'fingerprint' THEN
            'it is of something else than was asked for' END AS message) w
    WHERE g.event = 'approval_given' AND w.message IS NOT NULL
    UNION ALL
    SELECT 'approval', r.migration_name, r.event_number, format('event %s says that it was approved by %s, and no '
               'event tells of that', r.event_number, m.name)
    FROM migrollback_schema.migration_events r
    CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(r.details #> '{approval,approved_by}')
        WHEN 'array' THEN r.details #> '{approval,approved_by}' END) AS m (name)
    WHERE r.details ? 'approval'
      AND NOT EXISTS (SELECT FROM migrollback_schema.migration_events g
                       WHERE g.event = 'approval_given' AND g.details ->> 'request' = r.details #>> '{approval,request}'
                         AND g.database_user = m.name AND g.event_number < r.event_number)
    ORDER BY 3, 2
$function$;
COMMENT ON FUNCTION migrollback_schema.audit_policies() IS
    'One row for each policy that is not as the last event about it left it, and for each approval that cannot be one: '
    'of no request, of who asked, of something else; and for each rollback whose approvals no event tells of. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.diagnose_policies()
RETURNS TABLE (severity text, finding text, identity text, message text, fix text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off AS $function$
    SELECT 'problem', 'policy', p.policy_name, format('policy %s needs %s approvals, and %s roles that can log in are '
               'or belong to %s', p.policy_name, p.approvals, n.people, array_to_string(p.approvers, ' or ')),
           'Grant its approvers to more roles, or change it: no request can be approved.'
    FROM migrollback_schema.migration_policies p
    CROSS JOIN LATERAL (SELECT count(*) AS people FROM pg_roles r
                         WHERE r.rolcanlogin AND migrollback_schema.role_is_one_of(r.rolname::text, p.approvers)) n
    WHERE cardinality(p.approvers) > 0 AND n.people < p.approvals
    UNION ALL
    SELECT 'problem', 'break glass', e.migration_name, format('%s rolled %s back without the approvals that a policy '
               'asks for (%s), %s: %s', e.database_user, e.migration_name, e.details ->> 'policies',
               migrollback_schema.elapsed_words(e.occurred_at), e.reason),
           format('Look at it together: migrollback report %s. This is said for 30 days.', e.migration_name)
    FROM migrollback_schema.migration_events e
    WHERE e.event = 'broke_glass' AND e.occurred_at > clock_timestamp() - interval '30 days'
$function$;
COMMENT ON FUNCTION migrollback_schema.diagnose_policies() IS
    'What of the policies endangers a rollback: approvers who are too few; and rollbacks of the last 30 days that ran '
    'without their approvals. Rows as those of diagnose_migrations(). Does not write.';
