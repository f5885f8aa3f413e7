-- ---------------------------------------------------------------------------------------------------
-- Rights and other parts of objects: what a transaction has granted, changed and taken of them, and what rights should
-- be once that is undone.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migration_grant_writes(
    since oid, created oid[], locked oid[], counted bigint[], top bigint, ours int, alone boolean)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = on AS $function$
BEGIN
    -- GRANT on a relation locks none, so a row that this transaction wrote of one that it has not locked is a GRANT.
    -- Of what it has locked, and of what is no relation, the object itself is known to be changed.
    IF counted[2] > 0 THEN
        RETURN QUERY
        WITH granted AS MATERIALIZED (
            SELECT c.oid, c.relkind, c.ctid, format('%I.%I', n.nspname, c.relname) AS id
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relacl IS NOT NULL AND c.oid >= 16384 AND c.relpersistence <> 't'
              AND CASE WHEN age(c.xmin) <= ours THEN alone
              OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END
              AND c.oid <> ALL (created) AND c.oid <> ALL (locked))
        SELECT 'changed', CASE g.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
               WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'foreign table' END, g.id,
               'pg_class'::regclass::oid, g.oid, 0, g.ctid FROM granted g
        UNION ALL SELECT 'changed', 'grant', 'relation ' || g.id, NULL::oid, NULL::oid, 0, g.ctid FROM granted g;
    END IF;
    IF counted[4] > 0 THEN
        RETURN QUERY
        WITH granted AS MATERIALIZED (
            SELECT c.oid, a.attnum, a.ctid, format('%I.%I.%I', n.nspname, c.relname, a.attname) AS id
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relpersistence <> 't'
              JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384
              AND CASE WHEN age(a.xmin) <= ours THEN alone
              OR pg_xact_status((top + ours - age(a.xmin))::text::xid8) = 'in progress' ELSE false END
              AND a.attrelid <> ALL (created) AND a.attrelid <> ALL (locked))
        SELECT 'changed', 'column', g.id, 'pg_class'::regclass::oid, g.oid, g.attnum::int, g.ctid FROM granted g
        UNION ALL SELECT 'changed', 'grant', 'column ' || g.id, NULL::oid, NULL::oid, 0, g.ctid FROM granted g;
    END IF;
    IF counted[29] > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN d.oid > since THEN 'created' ELSE 'changed' END, 'default grant',
               format('%s in %s on %s', d.defaclrole::regrole, CASE WHEN d.defaclnamespace = 0 THEN '*'
                      ELSE d.defaclnamespace::regnamespace::text END, d.defaclobjtype),
               'pg_default_acl'::regclass::oid, d.oid, 0, d.ctid
          FROM pg_default_acl d
         WHERE CASE WHEN age(d.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(d.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_grant_writes(oid, oid[], oid[], bigint[], bigint, int, boolean) IS
    'The part of migration_catalog_writes() about rights on relations and columns that it has not locked, and about '
    'rights by default. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_membership_writes(
    altered oid[], gone oid[], counted bigint[], top bigint, ours int, alone boolean)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF counted[28] > 0 THEN             -- CLUSTER ON, REPLICA IDENTITY USING INDEX
        RETURN QUERY
        SELECT 'changed', 'index', format('%I.%I', n.nspname, c.relname), 'pg_class'::regclass::oid, c.oid, 0, x.ctid
          FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid AND c.relpersistence <> 't'
            JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE x.indrelid = ANY (altered) AND age(c.xmin) > ours
           AND CASE WHEN age(x.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(x.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
    IF counted[30] > 0 THEN             -- what a publication publishes: ALTER locks it as DROP does
        RETURN QUERY
        SELECT 'changed', 'publication', quote_ident(p.pubname), 'pg_publication'::regclass::oid, p.oid, 0, p.ctid
          FROM pg_publication p WHERE p.oid = ANY (gone) AND age(p.xmin) > ours;
    END IF;
    IF counted[31] > 0 THEN
        RETURN QUERY
        SELECT 'changed', 'foreign table', format('%I.%I', n.nspname, c.relname), 'pg_class'::regclass::oid, c.oid, 0,
               f.ctid
          FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE f.ftrelid = ANY (altered) AND age(c.xmin) > ours
           AND CASE WHEN age(f.xmin) <= ours THEN alone
           OR pg_xact_status((top + ours - age(f.xmin))::text::xid8) = 'in progress' ELSE false END;
        RETURN QUERY
        SELECT DISTINCT ON (o.cfg) 'changed', 'text search configuration', i.identity, 'pg_ts_config'::regclass::oid,
               o.cfg, 0, o.version
          FROM (SELECT m.mapcfg AS cfg, m.ctid AS version FROM pg_ts_config_map m
                WHERE m.mapcfg >= 16384 AND CASE WHEN age(m.xmin) <= ours THEN alone
                  OR pg_xact_status((top + ours - age(m.xmin))::text::xid8) = 'in progress' ELSE false END) o
          CROSS JOIN LATERAL pg_identify_object('pg_ts_config'::regclass, o.cfg, 0) i
         WHERE EXISTS (SELECT FROM pg_ts_config c WHERE c.oid = o.cfg AND age(c.xmin) > ours);
        RETURN QUERY
        SELECT DISTINCT ON (o.family) 'changed', 'operator family', i.identity, 'pg_opfamily'::regclass::oid,
               o.family, 0, o.version
          FROM (SELECT m.amopfamily AS family, m.ctid AS version FROM pg_amop m
                WHERE m.oid >= 16384 AND CASE WHEN age(m.xmin) <= ours THEN alone
                  OR pg_xact_status((top + ours - age(m.xmin))::text::xid8) = 'in progress' ELSE false END
                UNION ALL
                SELECT m.amprocfamily, m.ctid FROM pg_amproc m
                WHERE m.oid >= 16384 AND CASE WHEN age(m.xmin) <= ours THEN alone
                  OR pg_xact_status((top + ours - age(m.xmin))::text::xid8) = 'in progress' ELSE false END) o
          CROSS JOIN LATERAL pg_identify_object('pg_opfamily'::regclass, o.family, 0) i
         WHERE EXISTS (SELECT FROM pg_opfamily c WHERE c.oid = o.family AND age(c.xmin) > ours);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_membership_writes(oid[], oid[], bigint[], bigint, int, boolean) IS
    'The part of migration_catalog_writes() about objects that change while their own catalog row does not: indexes '
    'that are clustered on, publications, foreign tables, text search configurations, operator families. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_dropped_comments()
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    -- only what a known migration had written has a name left
    SELECT DISTINCT ON (o.object_id, o.column_number) 'dropped', o.kind, o.identity, o.class_id, o.object_id,
           o.column_number, NULL::tid
      FROM migrollback_schema.migration_objects o
      JOIN migrollback_schema.migration_history h ON h.migration_name = o.migration_name AND h.status <> 'rolled_back'
     WHERE o.class_id = 'pg_description'::regclass AND o.action <> 'dropped' AND o.recorded_in = o.tableoid
       AND NOT EXISTS (SELECT FROM pg_description d WHERE d.objoid = o.object_id AND d.objsubid = o.column_number)
       AND NOT EXISTS (SELECT FROM migrollback_schema.migration_objects p
                       JOIN migrollback_schema.migration_history q ON q.migration_name = p.migration_name
                        WHERE p.object_id = o.object_id AND p.class_id = o.class_id
                          AND p.column_number = o.column_number
                          AND p.action = 'dropped' AND q.status <> 'rolled_back')
     ORDER BY o.object_id, o.column_number, h.applied_at DESC, o.recorded_at DESC
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_dropped_comments() IS
    'The part of migration_catalog_writes() about comments that are no more. Does not write.';

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
        SELECT r.kind, r.identity, bool_or(r.action = 'created') AS created, true AS exact
        FROM recorded r WHERE r.own AND r.kind IN ('grant', 'default grant') GROUP BY r.kind, r.identity
        UNION ALL
        -- what it created brings its own rights, and of what it changed it may have changed them
        SELECT 'grant', w.word || ' ' || r.identity, bool_or(r.action = 'created'), false
        FROM recorded r
        JOIN unnest('{relation,column,routine,type,schema,language,server,fdw}'::text[]) AS w (word)
          ON r.kind = ANY (migrollback_schema.grant_holder_kinds(w.word || ' '))
        WHERE r.own AND r.action <> 'dropped' GROUP BY w.word, r.identity),
    touched AS (
        SELECT c.kind, c.identity, bool_or(c.created) AS created, bool_or(c.exact) AS exact,
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
    -- dropped by the migration, where no known one had created it, or of a kind that nobody records
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
