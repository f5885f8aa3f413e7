-- ---------------------------------------------------------------------------------------------------
-- Deploys: what one sync or apply, or several with one label, brought. They stand in the audit log, and in metadata of
-- the migrations.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_deploys(label text DEFAULT NULL)
RETURNS TABLE (deploy_id text, label text, deployed_at timestamptz, deployed_by text, client text, migrations text[],
               applied text[], state text, ended_at timestamptz, failed int, rolled_back int,
               duration_ms double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH of_deploys AS MATERIALIZED (
        SELECT e.details ->> 'deploy' AS id, e.details ->> 'label' AS label, e.event_number, e.occurred_at,
               e.database_user, e.client, e.migration_name, e.event,
               CASE WHEN e.event = 'applied' THEN (e.details ->> 'duration_ms')::double precision END AS duration_ms
        FROM migrollback_schema.migration_events e
        WHERE e.details ? 'deploy' AND e.event IN ('deploy_recorded', 'registered', 'applied', 'applied_again',
                                                   'apply_failed')),
    deploy AS (                         -- one without a label has no event of its own
        SELECT DISTINCT ON (o.id) o.id, coalesce(o.label, o.id) AS label, o.event_number, o.occurred_at,
               o.database_user, o.client
        FROM of_deploys o ORDER BY o.id, o.event_number),
    brought AS (
        SELECT o.id, array_agg(o.migration_name ORDER BY o.event_number)
                       FILTER (WHERE o.event <> 'apply_failed' AND o.migration_name IS NOT NULL) AS names,
               max(o.occurred_at) AS ended_at, sum(o.duration_ms) AS duration_ms,
               count(DISTINCT o.migration_name) FILTER (WHERE o.event = 'apply_failed')::int AS failed
        FROM of_deploys o GROUP BY o.id),
    still AS (
        SELECT h.metadata ->> 'deploy' AS id, array_agg(h.migration_name
                                                        ORDER BY h.applied_at, h.migration_name COLLATE "C") AS names
        FROM migrollback_schema.migration_history h WHERE h.metadata ? 'deploy' AND h.status <> 'rolled_back'
          GROUP BY h.metadata ->> 'deploy')
    SELECT d.id, d.label, d.occurred_at, d.database_user, d.client, coalesce(b.names, '{}'), coalesce(s.names, '{}'),
           CASE WHEN b.names IS NULL THEN 'nothing brought'
                WHEN s.names IS NULL THEN 'rolled back'
                WHEN cardinality(s.names) < w.names THEN 'partly rolled back'
                ELSE 'applied' END,
           b.ended_at, b.failed, greatest(w.names - coalesce(cardinality(s.names), 0), 0), b.duration_ms
    FROM deploy d LEFT JOIN brought b ON b.id = d.id LEFT JOIN still s ON s.id = d.id
    CROSS JOIN LATERAL (SELECT count(DISTINCT n.name)::int AS names FROM unnest(b.names) AS n (name)) w
    WHERE migration_deploys.label IS NULL OR d.label = migration_deploys.label
    ORDER BY d.event_number DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_deploys(text) IS
    'Deploys, newest first, all or those of one label (a deploy without one goes by its id): what they brought '
    '(registered, applied, or found applied again), in order; what of that is still applied; state: applied, partly '
    'rolled back, rolled back, nothing brought; ended_at: its last event; failed: how many of its migrations could '
    'not be applied at first; rolled_back: how many of what it brought are not applied any more, as its own; '
    'duration_ms: of the SQL that it applied, in milliseconds, NULL where it only registered. A label that was used '
    'again after its rollback has several. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.begin_migration_deploy(label text, client text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    deploy text;
BEGIN
    IF label IS NULL OR btrim(label) = '' OR label <> btrim(label) OR length(label) > 200 OR label ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'the label of a deploy has 1 to 200 characters, none of them a control character, and no blank '
                        'at either end' USING ERRCODE = 'MR006',
            HINT = 'The commit''s hash or the number of the CI run are good labels.';
    END IF;
    PERFORM migrollback_schema.refuse_password_in_name(label);
    PERFORM migrollback_schema.lock_migrations();
    SELECT d.deploy_id INTO deploy FROM
        (SELECT n.deploy_id, n.state
         FROM migrollback_schema.migration_deploys(begin_migration_deploy.label) n LIMIT 1) d
     WHERE d.state <> 'rolled back';        -- after its rollback a label starts anew
    IF deploy IS NULL THEN
        deploy := gen_random_uuid()::text;
        PERFORM migrollback_schema.add_migration_event('deploy_recorded', NULL::text, NULL::uuid, NULL::text,
                                                       begin_migration_deploy.client,
                                                       jsonb_build_object('deploy', deploy,
                                                           'label', begin_migration_deploy.label));
    END IF;
    RETURN deploy;
END $function$;
COMMENT ON FUNCTION migrollback_schema.begin_migration_deploy(text, text) IS
    'Writes: records that a deploy begins, and returns its id, which register_migrations() and apply_migration() '
    'take in metadata (deploy). A label that is known already goes on with its deploy, unless that was rolled back. '
    'A deploy without a label needs no record: any new id in metadata makes one, and is its label. SQLSTATE MR006: a '
    'label that no one could type.';

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_of_deploy(label text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    latest record;
BEGIN
    SELECT * INTO latest FROM migrollback_schema.migration_deploys(migrations_of_deploy.label) d LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no deploy %', label
            USING ERRCODE = 'MR007', DETAIL = label, HINT = 'migrollback deploys lists them.';
    END IF;
    RETURN migrollback_schema.in_rollback_order(latest.applied);
END $function$;
COMMENT ON FUNCTION migrollback_schema.migrations_of_deploy(text) IS
    'What the newest deploy of this label brought and is still applied, in the order in which it is rolled back: '
    'newest first, dependents before what they depend on. Empty where there is nothing of it. SQLSTATE MR007: no '
    'such deploy. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.execute_deploy_rollback(
    label text, dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL,
    attempt_id uuid DEFAULT NULL, client text DEFAULT NULL,
    otherwise_path text DEFAULT migrollback_schema.effective_search_path(),
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}',
    accept_loss boolean DEFAULT false, break_glass boolean DEFAULT false)
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    names text[];
BEGIN
    IF NOT dry_run THEN
        PERFORM migrollback_schema.lock_migrations();
    END IF;
    names := migrollback_schema.migrations_of_deploy(label);
    IF cardinality(names) = 0 THEN
        RETURN QUERY
        SELECT true, CASE d.state
               WHEN 'rolled back' THEN format('Deploy %s is rolled back already: there is nothing to roll back',
                                              d.label)
                                  ELSE format('Deploy %s brought nothing: there is nothing to roll back', d.label) END,
                                      NULL::text, NULL::text
        FROM migrollback_schema.migration_deploys(execute_deploy_rollback.label) d LIMIT 1;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT r.success, r.message, r.sql_executed, r.migration_name
    FROM migrollback_schema.execute_migration_rollbacks(names, dry_run, reason, preview, attempt_id, client, NULL::text,
                                                        otherwise_path, false,
                                                        session_path, session_settings, accept_loss, break_glass) r;
END $function$;
COMMENT ON FUNCTION migrollback_schema.execute_deploy_rollback(text, boolean, text, text, uuid, text, text, text,
                                                               jsonb, boolean, boolean) IS
    'Writes, unless dry_run. Rolls back exactly what the deploy of this label brought and is still applied, newest '
    'first, in one transaction. A deploy that brought nothing rolls back nothing and says so. Arguments and results '
    'as of execute_migration_rollbacks(). SQLSTATE MR007: no such deploy.';
