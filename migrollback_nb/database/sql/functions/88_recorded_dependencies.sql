-- ---------------------------------------------------------------------------------------------------
-- Inferred dependencies that are kept, taken back or dismissed.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.record_migration_dependencies(
    dependencies jsonb DEFAULT NULL, client text DEFAULT NULL)
RETURNS TABLE (migration_name text, depends_on text, because text, recorded boolean, remark text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    wanted  record;
    reasons jsonb := '{}';
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    IF dependencies IS NULL THEN
        dependencies := (SELECT coalesce(jsonb_agg(jsonb_build_object('migration_name', i.migration_name,
            'depends_on', i.depends_on, 'because', array_to_string(i.because, '; '))), '[]')
                         FROM migrollback_schema.infer_migration_dependencies(NULL::text[]) i);
    END IF;
    FOR wanted IN
        SELECT w.migration_name, w.depends_on, w.because, h.status AS status, b.status AS base_status, d.source,
               n.reason AS dismissed
        FROM ROWS FROM (jsonb_to_recordset(dependencies) AS (migration_name text, depends_on text,
                                                             because text)) WITH ORDINALITY AS w (migration_name,
                                                                 depends_on, because, place)
        LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = w.migration_name
        LEFT JOIN migrollback_schema.migration_history b ON b.migration_name = w.depends_on
        LEFT JOIN migrollback_schema.migration_dependencies d ON d.migration_name = w.migration_name
            AND d.depends_on = w.depends_on
        LEFT JOIN migrollback_schema.migration_dismissed_dependencies n ON n.migration_name = w.migration_name
            AND n.depends_on = w.depends_on
        ORDER BY w.place
    LOOP
        migration_name := wanted.migration_name;
        depends_on := wanted.depends_on;
        because := wanted.because;
        remark := CASE
            WHEN wanted.status IS NULL OR wanted.base_status IS NULL THEN 'not registered'
            WHEN 'rolled_back' IN (wanted.status, wanted.base_status) THEN 'rolled back'
            WHEN wanted.source IS NOT NULL THEN wanted.source || ' already'
            WHEN wanted.migration_name = wanted.depends_on THEN 'depends on itself'
            WHEN wanted.dismissed IS NOT NULL THEN 'dismissed: ' || wanted.dismissed
            -- first by one look at the index: mostly nothing depends on it yet
            WHEN EXISTS (SELECT FROM migrollback_schema.migration_dependencies e
                         WHERE e.depends_on = wanted.migration_name)
             AND EXISTS (SELECT FROM migrollback_schema.migration_dependents(wanted.migration_name) e
                         WHERE e.migration_name = wanted.depends_on) THEN
                'would close a cycle: ' || wanted.depends_on || ' depends on ' || wanted.migration_name END;
        recorded := remark IS NULL;
        IF recorded THEN
            PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
            INSERT INTO migrollback_schema.migration_dependencies (migration_name, depends_on, source, because)
            VALUES (wanted.migration_name, wanted.depends_on, 'inferred', wanted.because);
            PERFORM set_config('migrollback.recording', '', true);
            reasons := jsonb_set(reasons, ARRAY[wanted.migration_name],
                                 coalesce(reasons -> wanted.migration_name,
                                          '{}') || jsonb_build_object(wanted.depends_on, wanted.because));
        END IF;
        RETURN NEXT;
    END LOOP;
    INSERT INTO migrollback_schema.migration_events (event, migration_name, client, details)
    SELECT 'dependencies_recorded', r.key, record_migration_dependencies.client, jsonb_build_object('because', r.value)
      FROM jsonb_each(reasons) r ORDER BY r.key COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_migration_dependencies(jsonb, text) IS
    'Writes: keeps dependencies as inferred; from then on they block and order as declared ones do. dependencies: an '
    'array of objects (migration_name, depends_on, because); by default what infer_migration_dependencies() says. '
    'One row each; remark says why one was not recorded: declared already, dismissed, rolled back, a cycle.';

CREATE OR REPLACE FUNCTION migrollback_schema.forget_migration_dependencies(
    dependencies jsonb, client text DEFAULT NULL)
RETURNS TABLE (migration_name text, depends_on text, because text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    gone jsonb := '[]';
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    FOR migration_name, depends_on, because IN
        DELETE FROM migrollback_schema.migration_dependencies d
         USING jsonb_to_recordset(forget_migration_dependencies.dependencies) AS w (migration_name text,
             depends_on text)
         WHERE d.migration_name = w.migration_name AND d.depends_on = w.depends_on AND d.source = 'inferred'
        RETURNING d.migration_name, d.depends_on, d.because
    LOOP
        gone := gone || jsonb_build_object('name', migration_name, 'base', depends_on, 'because', because);
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('migrollback.recording', '', true);
    INSERT INTO migrollback_schema.migration_events (event, migration_name, client, details)
    SELECT 'dependencies_recorded', g.name, forget_migration_dependencies.client,
           jsonb_build_object('removed', jsonb_object_agg(g.base, g.because))
      FROM jsonb_to_recordset(gone) AS g (name text, base text, because text) GROUP BY g.name
        ORDER BY g.name COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.forget_migration_dependencies(jsonb, text) IS
    'Writes: takes back dependencies that were recorded as inferred; declared ones stay. dependencies: an array of '
    'objects (migration_name, depends_on). One row for each that went.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_dependency_searches(searches jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    PERFORM migrollback_schema.lock_migrations();
    DELETE FROM migrollback_schema.migration_dependency_searches s
     USING jsonb_to_recordset(searches) AS w (migration_name text) WHERE s.migration_name = w.migration_name;
    INSERT INTO migrollback_schema.migration_dependency_searches AS s (migration_name, searched_in, remarks)
    SELECT w.migration_name, CASE WHEN w.searched_in = 'files' OR EXISTS (
               SELECT FROM migrollback_schema.migration_objects o WHERE o.migration_name = w.migration_name)
               THEN w.searched_in ELSE 'nothing' END, coalesce(w.remarks, '[]')
      FROM jsonb_to_recordset(searches) AS w (migration_name text, searched_in text, remarks jsonb);
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_dependency_searches(jsonb) IS
    'Writes: keeps that it was looked for what each of these migrations needs. searches: an array of objects '
    '(migration_name; searched_in: files, bodies, catalogs; remarks: an array of what may be needed and is not '
    'certain, objects with depends_on and because). Where neither a file nor a recorded object told of it, '
    'searched_in is kept as nothing.';

CREATE OR REPLACE FUNCTION migrollback_schema.search_migration_dependencies(name text, client text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    found    jsonb;
    recorded bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM migrollback_schema.migration_objects o
                   WHERE o.migration_name = search_migration_dependencies.name) THEN
        RETURN 0;
    END IF;
    SELECT jsonb_agg(jsonb_build_object('migration_name', i.migration_name, 'depends_on', i.depends_on,
                                        'because', array_to_string(i.because, '; '))) INTO found
      FROM migrollback_schema.infer_migration_dependencies(ARRAY[name]) i;
    IF found IS NOT NULL THEN
        SELECT count(*) FILTER (WHERE r.recorded) INTO recorded
          FROM migrollback_schema.record_migration_dependencies(found, search_migration_dependencies.client) r;
    END IF;
    PERFORM migrollback_schema.record_dependency_searches(
        jsonb_build_array(jsonb_build_object('migration_name', name, 'searched_in', 'catalogs')));
    RETURN recorded;
END $function$;
COMMENT ON FUNCTION migrollback_schema.search_migration_dependencies(text, text) IS
    'Writes: records what one migration that was just applied or registered needs, as far as the catalogs know, and '
    'that it was looked for; nothing where no object of it is recorded. apply_migration() and register_migration() '
    'call it, unless the client looks itself (setting migrollback.dependencies). Returns how many were recorded.';

CREATE OR REPLACE FUNCTION migrollback_schema.dismiss_migration_dependency(
    name text, depends_on text, reason text, client text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    source_of text;
    was       text;
BEGIN
    IF coalesce(btrim(dismiss_migration_dependency.reason, E' \t\r\n'), '') = '' THEN
        RAISE EXCEPTION 'dismissing a dependency needs a reason'
            USING ERRCODE = 'MR006', HINT = 'Say why it is none: it goes into the audit log.';
    END IF;
    PERFORM migrollback_schema.lock_migrations();
    SELECT d.source, d.because INTO source_of, was FROM migrollback_schema.migration_dependencies d
     WHERE d.migration_name = dismiss_migration_dependency.name
       AND d.depends_on = dismiss_migration_dependency.depends_on;
    IF source_of IS NULL THEN
        IF EXISTS (SELECT FROM migrollback_schema.migration_dismissed_dependencies n
                   WHERE n.migration_name = dismiss_migration_dependency.name
                     AND n.depends_on = dismiss_migration_dependency.depends_on) THEN
            RETURN false;
        END IF;
        RAISE EXCEPTION 'no dependency of % on % is recorded', name, dismiss_migration_dependency.depends_on
            USING ERRCODE = 'MR006', HINT = 'migrollback deps NAME lists those that are.';
    ELSIF source_of = 'declared' THEN
        RAISE EXCEPTION 'that % depends on % is declared by its file', name, dismiss_migration_dependency.depends_on
            USING ERRCODE = 'MR006',
                HINT = format('Correct "-- Depends on:" of the file, then: migrollback register %s', name);
    END IF;
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    DELETE FROM migrollback_schema.migration_dependencies d
     WHERE d.migration_name = dismiss_migration_dependency.name
       AND d.depends_on = dismiss_migration_dependency.depends_on;
    PERFORM set_config('migrollback.recording', '', true);
    INSERT INTO migrollback_schema.migration_dismissed_dependencies (migration_name, depends_on, reason, client)
    VALUES (name, dismiss_migration_dependency.depends_on, btrim(dismiss_migration_dependency.reason, E' \t\r\n'),
            dismiss_migration_dependency.client);
    PERFORM migrollback_schema.add_migration_event('dependency_dismissed', name, NULL::uuid,
        dismiss_migration_dependency.reason, dismiss_migration_dependency.client,
        jsonb_strip_nulls(jsonb_build_object('depends_on', dismiss_migration_dependency.depends_on,
                                             'because', was)));
    RETURN true;
END $function$;
COMMENT ON FUNCTION migrollback_schema.dismiss_migration_dependency(text, text, text, text) IS
    'Writes: takes an inferred dependency away for good, with an event; what is inferred later does not bring it '
    'back, a declaration of the file does. Returns whether it was there; false: dismissed already. SQLSTATE MR006: no '
    'reason, declared by its file, or not there.';
