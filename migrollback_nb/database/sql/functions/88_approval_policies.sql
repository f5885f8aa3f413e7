-- ---------------------------------------------------------------------------------------------------
-- Policies: for which rollbacks other people have to approve. Only the owner of this system changes them.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.guard_policy_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Ours; or rows of another database, restored or replicated, whose events come with them: audit_policies()
    -- compares.
    IF TG_OP <> 'TRUNCATE' AND (
        current_setting('migrollback.recording', true) = pg_current_xact_id()::text
        OR current_setting('session_replication_role') = 'replica'
           AND (TG_OP = 'INSERT' OR (SELECT a.backend_type LIKE 'logical replication%'
                                     FROM pg_stat_get_activity(pg_backend_pid()) a))) THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION '% of migration_policies is refused', TG_OP
        USING ERRCODE = 'MR010',
            HINT = 'set_migration_policy() and remove_migration_policy() change it, with an event.';
END $function$;
COMMENT ON FUNCTION migrollback_schema.guard_policy_change() IS
    'Trigger: refuses what changes migration_policies by hand (SQLSTATE MR010).';

CREATE OR REPLACE FUNCTION migrollback_schema.role_is_one_of(role_name text, role_names text[]) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN EXISTS (
        WITH RECURSIVE granted (role_id) AS (
            SELECT r.oid FROM pg_roles r WHERE r.rolname = role_is_one_of.role_name
            UNION
            -- Grants alone count: for pg_has_role() a superuser is a member of every role. From 16 on a grant may give
            -- no more than the right to grant it on.
            SELECT m.roleid FROM granted g JOIN pg_auth_members m ON m.member = g.role_id
             WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true)
               OR coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
        SELECT FROM granted g JOIN pg_roles r ON r.oid = g.role_id
         WHERE r.rolname = ANY (role_is_one_of.role_names));
END $function$;
COMMENT ON FUNCTION migrollback_schema.role_is_one_of(text, text[]) IS
    'Whether a role is one of these, or a member of one of them by grants: a superuser is a member of none by that '
    'alone. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.owns_migration_system(role_name text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (SELECT pg_has_role(r.oid, c.relowner, 'MEMBER')
              FROM pg_class c, pg_roles r
             WHERE c.oid = ('migrollback_schema' || '.migration_policies')::regclass
               AND r.rolname = owns_migration_system.role_name);
END $function$;
COMMENT ON FUNCTION migrollback_schema.owns_migration_system(text) IS
    'Whether a role owns this system: is the owner of its tables, a member of that role, or a superuser. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_policy_words(
    approvals int, approvers text[], targets text[], conditions text[], commands text[], valid_minutes numeric)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT format('%s of %s%s needs %s by %s, each valid for %s min',
                  CASE commands WHEN '{rollback}' THEN 'a rollback' WHEN '{resolve}' THEN 'a forced resolve'
                                ELSE 'a rollback or forced resolve' END,
                  CASE targets WHEN '{*}' THEN 'any migration' ELSE array_to_string(targets, ', ') END,
                  CASE WHEN cardinality(conditions) > 0 THEN ' with ' || array_to_string(conditions, ' or ')
                       ELSE '' END,
                  migrollback_schema.counted_words(approvals::bigint, false, 'approval'::text),
                  CASE WHEN cardinality(approvers) > 0 THEN array_to_string(approvers, ' or ')
                       ELSE 'any other role' END,
                  trim_scale(valid_minutes))
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_policy_words(int, text[], text[], text[], text[], numeric) IS
    'A policy in one line. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_policy_change(
    policy text, before jsonb, after jsonb, reason text, client text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN migrollback_schema.add_migration_event('policy_changed'::text, NULL::text, NULL::uuid,
        record_policy_change.reason, record_policy_change.client, jsonb_build_object(
            'policy', policy, 'operation', CASE WHEN before IS NULL THEN 'created' WHEN after IS NULL THEN 'removed'
                                                ELSE 'changed' END, 'old', before, 'new', after));
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_policy_change(text, jsonb, jsonb, text, text) IS
    'Writes the event of a change of a policy and returns its number.';

CREATE OR REPLACE FUNCTION migrollback_schema.require_owner_of_policies() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF NOT coalesce(migrollback_schema.owns_migration_system(session_user::text), false) THEN
        RAISE EXCEPTION 'only the owner of the rollback system changes its policies, and % is not', session_user
            USING ERRCODE = '42501', HINT = format('Connect as %s, or as a member of that role.', (
                SELECT c.relowner::regrole FROM pg_class c
                 WHERE c.oid = ('migrollback_schema' || '.migration_policies')::regclass));
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.require_owner_of_policies() IS
    'SQLSTATE 42501 where session_user does not own this system. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.set_migration_policy(
    policy text, approvals int DEFAULT 1, approvers text[] DEFAULT '{}', targets text[] DEFAULT '{*}',
    conditions text[] DEFAULT '{}', commands text[] DEFAULT '{rollback}', valid_minutes numeric DEFAULT 60,
    break_glass_by text[] DEFAULT '{}', reason text DEFAULT NULL, client text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    known constant text[] := '{loses,takes_others,harms,not_rehearsed,ready,loses_rows,loses_values,'
                             'values_not_restored,not_restored,takes_other,breaks,restarts_sequence,'
                             'leaves_unpopulated,leaves_disabled,leaves_invalid,leaves_behind,locks}';
    wrong  text;
    before jsonb;
    after  jsonb;
    number bigint;
BEGIN
    PERFORM migrollback_schema.require_owner_of_policies();
    wrong := CASE
        WHEN policy IS NULL OR policy !~ '^[[:alnum:]_][[:alnum:]_.-]{0,62}$' THEN
            'a policy''s name is made of letters, digits, _, . and -'
        WHEN approvals IS NULL OR approvals NOT BETWEEN 1 AND 9 THEN 'a policy needs 1 to 9 approvals'
        WHEN valid_minutes IS NULL OR valid_minutes <= 0 OR valid_minutes > 43200 THEN
            'an approval is valid for more than 0 and at most 43200 minutes'
        WHEN coalesce(cardinality(targets), 0) = 0 OR array_position(targets, NULL) IS NOT NULL THEN
            'a policy needs names of migrations, * for any'
        WHEN coalesce(cardinality(commands), 0) = 0 OR NOT commands <@ '{rollback,resolve}'::text[] THEN
            'the commands of a policy are rollback and resolve'
        WHEN NOT coalesce(conditions, '{}') <@ known THEN format('%s is no verdict and no effect: %s',
            (SELECT coalesce(c.word, 'NULL') FROM unnest(conditions) AS c (word)
              WHERE c.word IS NULL OR c.word <> ALL (known) LIMIT 1), array_to_string(known, ', '))
        ELSE (SELECT format('there is no role %s', coalesce(r.name, 'NULL'))
                FROM unnest(coalesce(approvers, '{}') || coalesce(break_glass_by, '{}')) AS r (name)
               WHERE NOT EXISTS (SELECT FROM pg_roles k WHERE k.rolname = r.name) LIMIT 1) END;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'MR006';
    END IF;
    PERFORM migrollback_schema.lock_migrations();   -- a rollback that is running ends under the rule it began under
    SELECT to_jsonb(p) - 'event_number' INTO before FROM migrollback_schema.migration_policies p
     WHERE p.policy_name = set_migration_policy.policy;
    after := jsonb_build_object(
        'policy_name', policy, 'commands', commands, 'targets', targets, 'conditions', coalesce(conditions, '{}'),
        'approvals', approvals, 'approvers', coalesce(approvers, '{}'),
        'break_glass_by', coalesce(break_glass_by, '{}'), 'valid_minutes', trim_scale(valid_minutes));
    IF before IS NOT DISTINCT FROM after THEN
        RETURN false;
    END IF;
    number := migrollback_schema.record_policy_change(policy, before, after, reason, client);
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    DELETE FROM migrollback_schema.migration_policies p WHERE p.policy_name = set_migration_policy.policy;
    INSERT INTO migrollback_schema.migration_policies
    SELECT p.* FROM jsonb_populate_record(NULL::migrollback_schema.migration_policies,
                                          after || jsonb_build_object('event_number', number)) p;
    PERFORM set_config('migrollback.recording', '', true);
    RETURN true;
END $function$;
COMMENT ON FUNCTION migrollback_schema.set_migration_policy(text, int, text[], text[], text[], text[], numeric, text[],
    text, text) IS
    'Writes: makes a policy or changes it, with an event; for the owner of this system alone. From then on a command '
    '(rollback; resolve: one that is forced) of a migration whose name fits one of targets (* and ? as in a shell), '
    'and of which one of conditions holds (verdicts and effects as of assess_migration(); none: always), needs so many '
    'approvals, of roles that are among approvers or members of one (none: any other), each valid for so many minutes. '
    'break_glass_by: who may do without, besides the owner. Returns whether anything was changed. SQLSTATE MR006: '
    'something of it cannot be; 42501: not the owner.';

CREATE OR REPLACE FUNCTION migrollback_schema.remove_migration_policy(
    policy text, reason text, client text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before jsonb;
BEGIN
    PERFORM migrollback_schema.require_owner_of_policies();
    IF coalesce(btrim(reason, E' \t\r\n'), '') = '' THEN
        RAISE EXCEPTION 'why the policy is removed was not said'
            USING ERRCODE = 'MR006', HINT = 'Give a reason: it goes into the audit log.';
    END IF;
    PERFORM migrollback_schema.lock_migrations();
    SELECT to_jsonb(p) - 'event_number' INTO before FROM migrollback_schema.migration_policies p
     WHERE p.policy_name = remove_migration_policy.policy;
    IF before IS NULL THEN
        RETURN false;
    END IF;
    PERFORM migrollback_schema.record_policy_change(policy, before, NULL::jsonb, reason, client);
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    DELETE FROM migrollback_schema.migration_policies p WHERE p.policy_name = remove_migration_policy.policy;
    PERFORM set_config('migrollback.recording', '', true);
    RETURN true;
END $function$;
COMMENT ON FUNCTION migrollback_schema.remove_migration_policy(text, text, text) IS
    'Writes: removes a policy, with an event; for the owner of this system alone, with a reason. Returns whether it '
    'was there.';

-- SECURITY DEFINER, as are those of requests: who may ask or approve needs no right on our tables, and forges nothing.
CREATE OR REPLACE FUNCTION migrollback_schema.list_migration_policies()
RETURNS TABLE (policy_name text, words text, commands text[], targets text[], conditions text[], approvals int,
               approvers text[], break_glass_by text[], valid_minutes numeric, changed_by text,
               changed_at timestamptz, reason text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
    SELECT p.policy_name,
           migrollback_schema.migration_policy_words(p.approvals, p.approvers, p.targets, p.conditions, p.commands,
                                                     p.valid_minutes),
           p.commands, p.targets, p.conditions, p.approvals, p.approvers, p.break_glass_by, p.valid_minutes,
           e.database_user, e.occurred_at, e.reason
      FROM migrollback_schema.migration_policies p
      LEFT JOIN migrollback_schema.migration_events e ON e.event_number = p.event_number
     ORDER BY p.policy_name COLLATE "C"
$function$;
COMMENT ON FUNCTION migrollback_schema.list_migration_policies() IS
    'The policies, each in one line of words, and who changed it last. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_condition_holds(
    condition text, verdict text, effects jsonb, known_by text)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE condition
        WHEN 'loses' THEN jsonb_path_exists(effects, '$[*] ? (@.effect == "loses_rows" || @.effect == "loses_values"
                                                              || @.effect == "values_not_restored")', '{}', true)
        WHEN 'takes_others' THEN jsonb_path_exists(effects, '$[*] ? (@.effect == "takes_other")', '{}', true)
        WHEN 'harms' THEN verdict = 'harms' OR jsonb_path_exists(effects, '$[*] ? (
            @.effect != "locks" && @.effect != "loses_rows" && @.effect != "loses_values"
            && @.effect != "values_not_restored" && @.effect != "takes_other")', '{}', true)
        WHEN 'not_rehearsed' THEN verdict = 'not_rehearsed' OR known_by NOT IN ('rehearsal', 'proof')
        WHEN 'ready' THEN verdict = 'ready'
        ELSE jsonb_path_exists(effects, '$[*] ? (@.effect == $effect)', jsonb_build_object('effect', condition), true)
        END
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_condition_holds(text, text, jsonb, text) IS
    'Whether a condition of a policy holds of what is known of a rollback: verdict, effects and known_by as of '
    'assess_migration(). A verdict holds also where a worse one is shown: it is found by the effects. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_policies_for(
    command text, names text[], verdict text, effects jsonb, known_by text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (
        SELECT jsonb_agg(to_jsonb(p) ORDER BY p.approvals DESC, p.policy_name COLLATE "C")
          FROM migrollback_schema.migration_policies p
         WHERE command = ANY (p.commands)
           AND EXISTS (SELECT FROM unnest(names) AS n (name), unnest(p.targets) AS t (pattern)
                        WHERE n.name LIKE translate(replace(replace(replace(t.pattern, '\', '\\'), '%', '\%'), '_',
                                                            '\_'), '*?', '%_'))
           AND (cardinality(p.conditions) = 0
                OR EXISTS (SELECT FROM unnest(p.conditions) AS c (word)
                            WHERE migrollback_schema.migration_condition_holds(c.word, verdict, effects, known_by))));
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_policies_for(text, text[], text, jsonb, text) IS
    'The policies that apply to a command with these migrations, by what is known of it, as an array of their rows; '
    'NULL: none does. Does not write.';
