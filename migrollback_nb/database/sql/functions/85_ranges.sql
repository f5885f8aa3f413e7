-- ---------------------------------------------------------------------------------------------------
-- Ranges: several migrations that are rolled back together, by name or by when they were applied, and their order.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.in_rollback_order(names text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    waiting text[];
    turn    text;
    ordered text[] := '{}';
    -- each of these and those of these that depend on it, directly or through others: place by place
    bases   text[];
    above   text[];
BEGIN
    waiting := ARRAY(SELECT n.name FROM (SELECT DISTINCT u.name FROM unnest(names) AS u (name)) n
                       LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = n.name
                      ORDER BY h.applied_at DESC NULLS LAST, n.name COLLATE "C" DESC);
    WITH RECURSIVE reached (base, name) AS (
        SELECT d.depends_on, d.migration_name FROM migrollback_schema.migration_dependencies d
         WHERE d.depends_on = ANY (waiting)
        UNION                           -- not UNION ALL: a cycle made by hand must not run for ever
        SELECT r.base, d.migration_name FROM reached r
          JOIN migrollback_schema.migration_dependencies d ON d.depends_on = r.name
         WHERE r.name <> ALL (waiting))  -- behind one of these the order follows from its own
    SELECT array_agg(r.base), array_agg(r.name) INTO bases, above
      FROM reached r WHERE r.name = ANY (waiting) AND r.name <> r.base;
    IF NOT EXISTS (
        SELECT FROM unnest(bases, above) AS e (base, dependent)
          JOIN unnest(waiting) WITH ORDINALITY AS b (name, place) ON b.name = e.base
          JOIN unnest(waiting) WITH ORDINALITY AS d (name, place) ON d.name = e.dependent
         WHERE d.place > b.place) THEN
        RETURN waiting;
    END IF;
    -- The times contradict the dependencies (clocks, changes by hand): the newest of those on which none of the others
    -- depends, again and again.
    WHILE cardinality(waiting) > 0 LOOP
        SELECT m.name INTO turn FROM unnest(waiting) WITH ORDINALITY AS m (name, place)
         ORDER BY m.name IN (SELECT e.base FROM unnest(bases, above) AS e (base, dependent)
                              WHERE e.dependent = ANY (waiting)), m.place LIMIT 1;
        ordered := ordered || turn;
        waiting := array_remove(waiting, turn);
    END LOOP;
    RETURN ordered;
END $function$;
COMMENT ON FUNCTION migrollback_schema.in_rollback_order(text[]) IS
    'These migrations, each once, in the order in which they are rolled back together: the last applied first, '
    'dependents before what they depend on; one that is not registered comes last. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_of_range(
    names text[] DEFAULT NULL, back_to text DEFAULT NULL, last int DEFAULT NULL, since timestamptz DEFAULT NULL,
    deploy text DEFAULT NULL, chain boolean DEFAULT false)
RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    meant text[];
    kept  migrollback_schema.migration_history;
BEGIN
    IF num_nonnulls(names, back_to, last, since, deploy) <> 1 THEN
        RAISE EXCEPTION 'a range is given by names, back_to, last, since or deploy, one of them'
            USING ERRCODE = 'MR006';
    ELSIF last < 1 THEN
        RAISE EXCEPTION 'the last % migrations were asked for', last
            USING ERRCODE = 'MR006', HINT = 'The number of the latest migrations is 1 or more.';
    END IF;
    IF back_to IS NOT NULL THEN
        SELECT * INTO kept FROM migrollback_schema.migration_history h WHERE h.migration_name = back_to;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'migration % is not registered', back_to USING ERRCODE = 'MR001', DETAIL = back_to;
        ELSIF kept.status = 'rolled_back' THEN
            RAISE EXCEPTION '% is rolled back: there is no going back to it', back_to
                USING ERRCODE = 'MR002', HINT = 'Name one that is applied: migrollback list shows them.';
        END IF;
    END IF;
    IF names IS NOT NULL THEN
        meant := names;
    ELSIF deploy IS NOT NULL THEN
        meant := migrollback_schema.migrations_of_deploy(deploy);
    ELSE
        meant := ARRAY(
            SELECT h.migration_name FROM migrollback_schema.migration_history h
             WHERE h.status <> 'rolled_back' AND h.metadata ->> 'system' IS DISTINCT FROM 'true'
               AND (back_to IS NULL OR h.applied_at > kept.applied_at OR kept.applied_at IS NULL
                    OR h.applied_at = kept.applied_at AND h.migration_name > kept.migration_name COLLATE "C")
               AND h.migration_name IS DISTINCT FROM back_to
               AND (since IS NULL OR h.applied_at >= since)
             ORDER BY h.applied_at DESC NULLS LAST, h.migration_name COLLATE "C" DESC LIMIT last);
    END IF;
    IF chain AND cardinality(meant) > 0 THEN
        meant := meant || migrollback_schema.migrations_to_roll_back_first(meant, '{}'::text[]);
    END IF;
    RETURN migrollback_schema.in_rollback_order(meant);
END $function$;
COMMENT ON FUNCTION migrollback_schema.migrations_of_range(text[], text, int, timestamptz, text, boolean) IS
    'Which migrations a range means, in the order in which they are rolled back: these names; what was applied after '
    'back_to, which stays; the last so many; what was applied since then; or what is left of a deploy. chain: with all '
    'that depends on them. The system''s own is in none but by its name; what was applied again counts from then. '
    'Empty where nothing is meant. What execute_migration_rollbacks() takes. SQLSTATE MR006: not one of them is given, '
    'or last is no positive number; MR001, MR002: back_to is not registered, or rolled back; MR007: no such deploy. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.execute_range_rollback(
    names text[] DEFAULT NULL, back_to text DEFAULT NULL, last int DEFAULT NULL, since timestamptz DEFAULT NULL,
    deploy text DEFAULT NULL, chain boolean DEFAULT false, dry_run boolean DEFAULT false, reason text DEFAULT NULL,
    preview text DEFAULT NULL, attempt_id uuid DEFAULT NULL, client text DEFAULT NULL,
    otherwise_path text DEFAULT migrollback_schema.effective_search_path(),
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}',
    accept_loss boolean DEFAULT false, break_glass boolean DEFAULT false)
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    asked constant jsonb := jsonb_strip_nulls(jsonb_build_object(
        'names', CASE WHEN names IS NOT NULL THEN (SELECT to_jsonb(array_agg(DISTINCT n.name))
                                                     FROM unnest(names) AS n (name)) END,
        'to', back_to, 'last', last, 'since', since, 'deploy', deploy, 'chain', nullif(chain, false)));
    begun jsonb;                        -- what this attempt was begun for
    meant text[];
BEGIN
    IF NOT dry_run THEN
        PERFORM migrollback_schema.lock_migrations();
        -- before the range is asked for: the last two are others by now
        begun := migrollback_schema.attempt_asked(attempt_id) -> 'asked';
    END IF;
    IF begun = asked THEN
        meant := migrollback_schema.attempt_names(attempt_id);
    ELSIF begun IS NOT NULL THEN
        RETURN QUERY SELECT false, format('Attempt %s was begun for something else: nothing was run', attempt_id),
                            NULL::text, (migrollback_schema.attempt_names(attempt_id))[1];
        RETURN;
    ELSE
        meant := migrollback_schema.migrations_of_range(names, back_to, last, since, deploy, chain);
    END IF;
    IF cardinality(meant) = 0 THEN
        RETURN QUERY SELECT true, 'Nothing that is applied is in this range: there is nothing to roll back'::text,
                            NULL::text, NULL::text;
        RETURN;
    END IF;
    IF NOT dry_run AND attempt_id IS NOT NULL AND begun IS NULL THEN
        PERFORM migrollback_schema.start_migration_rollback(meant, attempt_id, reason, client,
                                                            jsonb_build_object('asked', asked), false);
    END IF;
    RETURN QUERY
    SELECT r.success, r.message, r.sql_executed, r.migration_name
      FROM migrollback_schema.execute_migration_rollbacks(meant, dry_run, reason, preview, attempt_id, client,
                                                          NULL::text, otherwise_path, false, session_path,
                                                          session_settings, accept_loss, break_glass) r;
END $function$;
COMMENT ON FUNCTION migrollback_schema.execute_range_rollback(text[], text, int, timestamptz, text, boolean, boolean,
    text, text, uuid, text, text, text, jsonb, boolean, boolean) IS
    'Writes, unless dry_run. Rolls back what migrations_of_range() finds, in one transaction, all or none. A range '
    'that is empty rolls back nothing and says so. attempt_id: of one that has ended nothing runs, and the rows say '
    'how it ended; it is looked up before the range. Arguments and results as of execute_migration_rollbacks().';

CREATE OR REPLACE FUNCTION migrollback_schema.dry_run_of_each(names text[])
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    planned migrollback_schema.migration_history;
    name    text;
    handled text[] := '{}';
    sqls    text[] := '{}';
    refusal text;
BEGIN
    FOREACH name IN ARRAY names LOOP
        SELECT * INTO planned FROM migrollback_schema.migration_history h WHERE h.migration_name = name;
        refusal := CASE WHEN planned.id IS NULL THEN 'Migration not found'
                        WHEN cardinality(names) > 1 AND migrollback_schema.is_system_migration(name)
                             AND planned.metadata ->> 'system' = 'true'
                            THEN 'The rollback system itself is rolled back alone'
                        ELSE coalesce(
                            migrollback_schema.migration_blocking_reason(planned.status,
                                cardinality(migrollback_schema.migrations_to_roll_back_first(ARRAY[name], handled)) > 0,
                                planned.rollback_sql, planned.metadata),
                            (SELECT p.reason FROM migrollback_schema.deploy_in_progress(planned.metadata ->> 'tool',
                                 planned.metadata ->> 'search_path') p)) END;
        IF refusal IS NOT NULL THEN
            RETURN QUERY SELECT false, refusal, NULL::text, name;
            RETURN;
        END IF;
        handled := handled || name;
        sqls := sqls || planned.rollback_sql;
    END LOOP;
    RETURN QUERY
    SELECT true, 'Dry run: rollback SQL shown below (not executed)'::text, n.rollback_sql, n.name
      FROM unnest(names, sqls) WITH ORDINALITY AS n (name, rollback_sql, place) ORDER BY n.place;
END $function$;
COMMENT ON FUNCTION migrollback_schema.dry_run_of_each(text[]) IS
    'The dry run of execute_migration_rollbacks() for migrations that are rolled back one after another, each in a '
    'transaction of its own: one that runs outside a transaction is none to refuse then. Does not write.';
