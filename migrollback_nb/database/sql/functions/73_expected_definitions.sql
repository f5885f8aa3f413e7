-- ---------------------------------------------------------------------------------------------------
-- What should be there after a rollback: definitions and rights, without what the migration changed of them.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.undo_definition_change(
    now jsonb, old_definition jsonb, new_definition jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- Only what the migration changed goes back: what others changed of the same object since stays.
    SELECT CASE
        WHEN old_definition IS NULL THEN NULL
        WHEN new_definition IS NULL OR now IS NULL THEN old_definition
        ELSE (SELECT now - coalesce(array_agg(k.key), '{}') FROM jsonb_object_keys(new_definition) AS k (key)
               WHERE old_definition -> k.key IS DISTINCT FROM new_definition -> k.key)
             || (SELECT coalesce(jsonb_object_agg(k.key, k.value), '{}') FROM jsonb_each(old_definition) k
                  WHERE k.value IS DISTINCT FROM new_definition -> k.key)
    END
$function$;
COMMENT ON FUNCTION migrollback_schema.undo_definition_change(jsonb, jsonb, jsonb) IS
    'A definition as it would be without one change: now, with what differs between old and new put back to old. '
    'NULL: the object would not be there. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.expected_of_shared_run(
    name text, old_objects jsonb, new_objects jsonb, objects_now jsonb, OUT expected jsonb, OUT uncompared int)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- The snapshots show all migrations of the run at once, so what counts is what was recorded of this one.
    WITH touched AS (
        SELECT o.kind, o.identity, jsonb_build_array(o.kind, o.identity)::text AS key,
               bool_or(o.action = 'created') AS created, bool_or(o.action = 'dropped') AS dropped,
               bool_or(o.action = 'changed') AS changed, objects_now #> ARRAY[o.kind, o.identity] AS is,
               EXISTS (SELECT FROM migrollback_schema.migration_objects x
                        WHERE (x.kind, x.identity) = (o.kind, o.identity)
                          AND x.migration_name <> expected_of_shared_run.name) AS shared
        FROM migrollback_schema.migration_objects o
        WHERE o.migration_name = expected_of_shared_run.name AND o.source = 'apply'
          AND o.kind NOT IN ('grant', 'default grant')
          -- of what it only granted on, nothing else is changed
          AND NOT (o.action = 'changed' AND EXISTS (
                  SELECT FROM migrollback_schema.migration_objects g
                  WHERE g.migration_name = o.migration_name AND g.kind = 'grant'
                    AND g.identity = CASE WHEN o.kind = 'column' THEN 'column ' ELSE 'relation ' END || o.identity))
        GROUP BY o.kind, o.identity)
    SELECT coalesce(jsonb_object_agg(t.key, CASE
               WHEN t.created AND NOT t.dropped THEN NULL
               WHEN t.changed AND NOT t.shared AND c.change = 'changed'
                   THEN migrollback_schema.undo_definition_change(t.is, c.old_definition, c.new_definition)
               ELSE coalesce(t.is, '{}') END), '{}'),
           count(*) FILTER (WHERE t.dropped OR t.changed AND t.shared)
      INTO expected, uncompared
      FROM touched t
      LEFT JOIN migrollback_schema.schema_changes(old_objects, new_objects) c ON (c.kind, c.identity) = (t.kind,
          t.identity);
    SELECT g.expected || expected_of_shared_run.expected, expected_of_shared_run.uncompared + g.uncompared
      INTO expected, uncompared
      FROM migrollback_schema.expected_grants_of_shared_run(name, old_objects, new_objects, objects_now) g;
END $function$;
COMMENT ON FUNCTION migrollback_schema.expected_of_shared_run(text, jsonb, jsonb, jsonb) IS
    'What should be there after the rollback of a migration that was applied in one run with others that stay: '
    '[kind, identity] as text -> definition, NULL of what should not be there; uncompared: of how many objects no '
    'definition from before is known. Objects: of the schema before and after the run, and now. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.grant_holder_kinds(identity text) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE split_part(identity, ' ', 1)
        WHEN 'relation' THEN '{table,partitioned table,view,materialized view,sequence,foreign table}'::text[]
        WHEN 'column' THEN '{column}'
        WHEN 'routine' THEN '{function,procedure,aggregate}'
        WHEN 'type' THEN '{enum,domain,range,base type,row type}'
        WHEN 'fdw' THEN '{foreign data wrapper}'
        ELSE ARRAY[split_part(identity, ' ', 1)] END
$function$;
COMMENT ON FUNCTION migrollback_schema.grant_holder_kinds(text) IS
    'Of which kinds the object is that a grant is on: the first word of the grant''s identity says it, and what '
    'follows it is the identity of that object. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.grant_holder_in(objects jsonb, identity text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT EXISTS (SELECT FROM unnest(migrollback_schema.grant_holder_kinds(identity)) AS k (kind)
                   WHERE objects #> ARRAY[k.kind, substr(identity, strpos(identity, ' ') + 1)] IS NOT NULL)
$function$;
COMMENT ON FUNCTION migrollback_schema.grant_holder_in(jsonb, text) IS
    'Whether the object that a grant is on stands in a schema_snapshot(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_grant_on(change jsonb, expected jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT change ->> 'kind' = 'grant' AND change ->> 'change' <> 'dropped' AND EXISTS (
        SELECT FROM unnest(migrollback_schema.grant_holder_kinds(change ->> 'identity')) AS k (kind)
         WHERE jsonb_typeof(expected -> jsonb_build_array(
                   k.kind, substr(change ->> 'identity', strpos(change ->> 'identity', ' ') + 1))::text) = 'object')
$function$;
COMMENT ON FUNCTION migrollback_schema.is_grant_on(jsonb, jsonb) IS
    'Whether a row of schema_changes() is about rights on one of the objects that a rollback should have brought '
    'back. expected: [kind, identity] as text -> definition. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.undo_grant_change(
    identity text, now jsonb, old_definition jsonb, new_definition jsonb)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- Where nothing differs from the default, schema_objects() has no row: then the owner has its rights, and
    -- everybody those that a routine, a type and a language give.
    usual    text[] := ARRAY(
        SELECT DISTINCT e.entry
        FROM unnest(ARRAY[now, old_definition, new_definition]) AS d (definition)
        CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(nullif(d.definition -> 'acl', 'null'), '[]')) AS e (entry)
        WHERE identity !~ ' in (?!\* on )' AND e.entry ~ '^(.*) [A-Z]+ by \1$'
           OR identity ~ '^(routine|type|language) | in \* on [fT]$' AND e.entry ~ '^public (EXECUTE|USAGE) by ');
    was      text[] := CASE WHEN old_definition IS NULL THEN usual
                            ELSE ARRAY(SELECT jsonb_array_elements_text(nullif(old_definition -> 'acl', 'null'))) END;
    became   text[] := CASE WHEN new_definition IS NULL THEN usual
                            ELSE ARRAY(SELECT jsonb_array_elements_text(nullif(new_definition -> 'acl', 'null'))) END;
    found    text[] := CASE WHEN now IS NULL THEN usual
                            ELSE ARRAY(SELECT jsonb_array_elements_text(nullif(now -> 'acl', 'null'))) END;
    expected text[];
BEGIN
    expected := ARRAY(
        SELECT e FROM unnest(found) e WHERE e = ANY (was) OR e <> ALL (became)
        UNION SELECT e FROM unnest(was) e WHERE e <> ALL (became) ORDER BY 1);
    IF expected <@ usual AND usual <@ expected AND NOT coalesce(now, old_definition, new_definition) ? 'initial' THEN
        RETURN NULL;
    END IF;
    RETURN coalesce(now, old_definition, new_definition) || jsonb_build_object('acl', to_jsonb(expected));
END $function$;
COMMENT ON FUNCTION migrollback_schema.undo_grant_change(text, jsonb, jsonb, jsonb) IS
    'The rights on an object, or by default, as they would be without one change: now, without what differs between '
    'old and new; what others granted stays. NULL: those that each such object has. identity: of the grant. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.expected_grants_of_shared_run(
    name text, old_objects jsonb, new_objects jsonb, objects_now jsonb, OUT expected jsonb, OUT uncompared int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    WITH recorded AS MATERIALIZED (
        SELECT o.migration_name = expected_grants_of_shared_run.name AS own, o.action, o.kind, o.identity
        FROM migrollback_schema.migration_objects o WHERE o.source = 'apply'),
    candidate AS (
        SELECT r.kind, r.identity, bool_or(r.action = 'created') AS created, true AS exact, false AS dropped
        FROM recorded r WHERE r.own AND r.kind IN ('grant', 'default grant') GROUP BY r.kind, r.identity
        UNION ALL
        -- what it created brings its own rights, and of what it changed it may have changed them
        SELECT 'grant', w.word || ' ' || r.identity, bool_or(r.action = 'created'), false,
               bool_or(r.action = 'dropped')
        FROM recorded r
        JOIN unnest('{relation,column,routine,type,schema,language,server,fdw}'::text[]) AS w (word)
          ON r.kind = ANY (migrollback_schema.grant_holder_kinds(w.word || ' '))
        WHERE r.own GROUP BY w.word, r.identity),
    touched AS (
        SELECT c.kind, c.identity, bool_or(c.created) AS created, bool_or(c.exact) AS exact,
               bool_or(c.dropped) AS dropped,
               objects_now #> ARRAY[c.kind, c.identity] AS is, old_objects #> ARRAY[c.kind, c.identity] AS was,
               new_objects #> ARRAY[c.kind, c.identity] AS became,
               c.kind = 'default grant' OR migrollback_schema.grant_holder_in(old_objects, c.identity) AS known,
               EXISTS (SELECT FROM recorded x
                        WHERE NOT x.own AND (x.kind = c.kind AND x.identity = c.identity
                              OR c.kind = 'grant' AND x.action = 'changed'
                              AND x.identity = substr(c.identity, strpos(c.identity, ' ') + 1)
                              AND x.kind = ANY (migrollback_schema.grant_holder_kinds(c.identity)))) AS shared
        FROM candidate c GROUP BY c.kind, c.identity),
    judged AS (
        SELECT t.*, CASE
                   -- what another of the run had made, and this one dropped: its rights are not known
                   WHEN t.dropped AND NOT t.known THEN 'open'
                   WHEN t.created AND NOT t.shared THEN 'gone'
                   WHEN t.was IS NOT DISTINCT FROM t.became THEN CASE WHEN t.shared THEN 'open' END
                   WHEN t.known AND NOT t.shared THEN 'undone'
                   WHEN t.is IS NULL THEN 'gone'
                   WHEN t.exact AND NOT t.shared AND t.is = t.became THEN 'gone'
                   ELSE 'open' END AS should
        FROM touched t)
    SELECT coalesce(jsonb_object_agg(jsonb_build_array(j.kind, j.identity)::text, CASE j.should
                        WHEN 'undone' THEN migrollback_schema.undo_grant_change(j.identity, j.is, j.was, j.became)
                        WHEN 'open' THEN j.is END) FILTER (WHERE j.should IS NOT NULL), '{}'),
           count(*) FILTER (WHERE j.should = 'open' AND j.exact)
    FROM judged j
$function$;
COMMENT ON FUNCTION migrollback_schema.expected_grants_of_shared_run(text, jsonb, jsonb, jsonb) IS
    'The part of expected_of_shared_run() about rights: those that the migration granted or revoked, and those on '
    'what it created or changed. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.expected_of_unrecorded(
    old_objects jsonb, new_objects jsonb, changes jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- dropped by the migration, where no known one had created it, or of a kind that no one records
    SELECT coalesce(jsonb_object_agg(jsonb_build_array(c.kind, c.identity)::text, c.old_definition), '{}')
    FROM migrollback_schema.schema_changes(old_objects, new_objects) c
    WHERE c.change <> 'reordered'
      AND changes @> jsonb_build_array(jsonb_build_object('kind', c.kind, 'identity', c.identity))
      AND NOT EXISTS (SELECT FROM migrollback_schema.migration_objects o
                      WHERE o.kind = c.kind AND o.identity = c.identity)
$function$;
COMMENT ON FUNCTION migrollback_schema.expected_of_unrecorded(jsonb, jsonb, jsonb) IS
    'What a run of several migrations changed, the rollback of one of them changes again (changes), and none is known '
    'to have touched: [kind, identity] as text -> the definition from before the run. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.renames_in_its_run(name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT EXISTS (
        SELECT FROM migrollback_schema.migration_objects o
        JOIN migrollback_schema.migration_objects x
          ON x.object_id = o.object_id AND x.class_id = o.class_id AND x.column_number = o.column_number
         AND x.kind = o.kind AND x.identity <> o.identity
        WHERE o.migration_name = renames_in_its_run.name AND o.source = 'apply' AND o.action = 'changed'
          AND x.migration_name <> o.migration_name AND x.source = 'apply')
$function$;
COMMENT ON FUNCTION migrollback_schema.renames_in_its_run(text) IS
    'Whether a migration changed what another one knows under another name: where both were applied in one run, '
    'nothing says what stood between them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.undone_definition(change jsonb, now jsonb, old_objects jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE
        WHEN c.kind = 'grant' AND c.old_definition IS NULL
             AND NOT migrollback_schema.grant_holder_in(old_objects, c.identity) THEN NULL
        WHEN c.kind IN ('grant', 'default grant')
            THEN migrollback_schema.undo_grant_change(c.identity, now, c.old_definition, c.new_definition)
        ELSE migrollback_schema.undo_definition_change(now, c.old_definition, c.new_definition) END
    FROM (SELECT change ->> 'kind' AS kind, change ->> 'identity' AS identity,
                 nullif(change -> 'old_definition', 'null') AS old_definition,
                 nullif(change -> 'new_definition', 'null') AS new_definition) c
$function$;
COMMENT ON FUNCTION migrollback_schema.undone_definition(jsonb, jsonb, jsonb) IS
    'The definition that an object should have without one change, a row of schema_changes(); old_objects: the schema '
    'before it. NULL: the object should not be there. Does not write.';
