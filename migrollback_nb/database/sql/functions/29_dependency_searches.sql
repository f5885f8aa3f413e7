-- ---------------------------------------------------------------------------------------------------
-- Whether it was looked for what depends on a migration though no file declares it.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.dependents_looked_for(name text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    -- Its own search counts too: a search that never read it does not know its work. metadata is read only where
    -- no one has looked: of ten thousand rows it takes most of the time.
    SELECT CASE WHEN bool_and(CASE WHEN s.migration_name IS NULL
                                   THEN coalesce(h.metadata ->> 'system', '') = 'true'
                                   ELSE s.searched_in <> 'nothing' AND s.searched_at >= h.applied_at END)
           THEN min(s.searched_at) END
    FROM migrollback_schema.migration_history b
    JOIN migrollback_schema.migration_history h ON h.applied_at >= b.applied_at AND h.status <> 'rolled_back'
    LEFT JOIN migrollback_schema.migration_dependency_searches s ON s.migration_name = h.migration_name
    WHERE b.migration_name = dependents_looked_for.name
$function$;
COMMENT ON FUNCTION migrollback_schema.dependents_looked_for(text) IS
    'Since when it is known what depends on a migration, declared or not: the oldest search over it and all that was '
    'applied after it. NULL: never, or not over all of these. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_to_search(names text[] DEFAULT '{}')
RETURNS TABLE (migration_name text, search_path text, rollback_sql text, checksum text, are_last boolean,
               all_of_them bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH placed AS (
        SELECT h.migration_name, row_number() OVER (ORDER BY h.applied_at, h.migration_name COLLATE "C") AS place,
               count(*) OVER () AS all_of_them,
               h.migration_name = ANY (names) OR CASE
                   WHEN s.migration_name IS NULL THEN h.metadata ->> 'system' IS DISTINCT FROM 'true'
                   ELSE s.searched_in = 'catalogs' END AS is_wanted
        FROM migrollback_schema.migration_history h
        LEFT JOIN migrollback_schema.migration_dependency_searches s ON s.migration_name = h.migration_name
         AND s.searched_at >= h.applied_at
        WHERE h.status <> 'rolled_back')
    SELECT p.migration_name, h.metadata ->> 'search_path', h.rollback_sql, h.checksum,
           min(p.place) OVER () = p.all_of_them - count(*) OVER () + 1, p.all_of_them
    FROM placed p JOIN migrollback_schema.migration_history h ON h.migration_name = p.migration_name
    WHERE p.is_wanted ORDER BY p.place
$function$;
COMMENT ON FUNCTION migrollback_schema.migrations_to_search(text[]) IS
    'The applied migrations of which no client has looked for what they need, and these, in order; are_last: nothing '
    'was applied after the first of them but they. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_objects_named(
    names text[], identities text[], words text[] DEFAULT '{}')
RETURNS TABLE (migration_name text, search_path text, applied_at timestamptz, action text, kind text, identity text,
               class_id oid, object_id oid, column_number int)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- scans of whole tables would grow with the history
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $function$
DECLARE
    here constant oid := ('migrollback_schema' || '.migration_objects')::regclass;
BEGIN
    -- what these words mean by way of an extension, of a trigger or of an enum
    identities := identities || ARRAY(
        SELECT CASE WHEN s.what = 'trigger' THEN format('%I.%I', s.other_schema, s.other_name)
                    WHEN s.what = 'label' THEN format('%I.%I', s.schema, s.name) ELSE quote_ident(s.other_name) END
        FROM migrollback_schema.migration_surroundings(coalesce(words, '{}')) s);
    RETURN QUERY
    WITH named AS MATERIALIZED (
        -- also its columns (a full stop), constraints and the like (a space), arguments (a bracket)
        SELECT o AS place, o.class_id AS class, o.object_id AS object, o.recorded_in
        FROM unnest(identities) AS w (name)
        JOIN migrollback_schema.migration_objects o
          ON left(o.identity, 400) COLLATE "C" >= left(w.name, 400) COLLATE "C"
         AND left(o.identity, 400) COLLATE "C"
             < left(w.name, 399) || CASE WHEN strpos(w.name, '.') > 0 THEN '/' ELSE ' ' END COLLATE "C"
        UNION
        SELECT o, o.class_id, o.object_id, o.recorded_in FROM migrollback_schema.migration_objects o
        WHERE o.migration_name = ANY (names)),
    -- and what these were called before and since
    found AS (
        SELECT n.place FROM named n
        UNION
        SELECT o FROM (SELECT DISTINCT n.class, n.object FROM named n WHERE n.recorded_in = here
                            AND n.object IS NOT NULL) n
        JOIN migrollback_schema.migration_objects o ON o.object_id = n.object AND o.class_id = n.class
         AND o.recorded_in = here)
    SELECT o.migration_name, h.metadata ->> 'search_path', h.applied_at, o.action, o.kind, o.identity,
           CASE WHEN o.recorded_in = here THEN o.class_id END, CASE WHEN o.recorded_in = here THEN o.object_id END,
           o.column_number
    FROM (SELECT (f.place).* FROM found f) o
    JOIN migrollback_schema.migration_history h ON h.migration_name = o.migration_name AND h.status <> 'rolled_back'
    ORDER BY h.applied_at, h.migration_name COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_objects_named(text[], text[], text[]) IS
    'What applied migrations did to the objects of these names and to their columns, constraints and the like, in '
    'order, also under their other names; and all that these migrations did. words: also the extensions, tables of '
    'triggers and enums that migration_surroundings() finds. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_rollbacks_naming(words text[], names text[])
RETURNS TABLE (migration_name text, search_path text, applied_at timestamptz, rollback_sql text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT h.migration_name, h.metadata ->> 'search_path', h.applied_at, h.rollback_sql
    FROM migrollback_schema.migration_history h
    WHERE h.status <> 'rolled_back' AND h.migration_name <> ALL (names)
      AND EXISTS (SELECT FROM unnest(words) AS w (word) WHERE strpos(lower(h.rollback_sql), w.word) > 0)
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_rollbacks_naming(text[], text[]) IS
    'The rollback SQL of applied migrations, in order, in which one of these words (in small letters) stands; names: '
    'but not of these. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_possible_dependents(name text)
RETURNS TABLE (migration_name text, because text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT s.migration_name, string_agg(r.because, ', ' ORDER BY r.because)
    FROM migrollback_schema.migration_dependency_searches s
    JOIN migrollback_schema.migration_history h ON h.migration_name = s.migration_name AND h.status <> 'rolled_back'
    CROSS JOIN LATERAL jsonb_to_recordset(s.remarks) AS r (depends_on text, because text)
    WHERE s.remarks <> '[]' AND r.depends_on = migration_possible_dependents.name
      AND NOT EXISTS (SELECT FROM migrollback_schema.migration_dependencies d
                      WHERE d.migration_name = s.migration_name AND d.depends_on = r.depends_on)
      AND NOT EXISTS (SELECT FROM migrollback_schema.migration_dismissed_dependencies d
                      WHERE d.migration_name = s.migration_name AND d.depends_on = r.depends_on)
    GROUP BY s.migration_name
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_possible_dependents(text) IS
    'Applied migrations whose text names this one''s objects where no one can be certain: in SQL that is built while '
    'it runs, or values of an enum in texts. They do not block. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_dependent_objects(name text)
RETURNS TABLE (migration_name text, source text, because text, objects text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT d.migration_name, d.source, d.because,
           -- where there are whole ones, no parts of any
           (SELECT coalesce(array_agg(o.identity ORDER BY o.identity) FILTER (WHERE NOT o.is_part),
                            array_agg(o.identity ORDER BY o.kind IN ('constraint', 'comment'), o.identity), '{}')
              FROM (SELECT m.identity, m.kind, m.kind IN ('column', 'constraint', 'trigger', 'policy', 'rule', 'index',
                                                          'sequence', 'comment') AS is_part
                      FROM migrollback_schema.migration_objects m
                     WHERE m.migration_name = d.migration_name AND m.action = 'created') o)
    FROM migrollback_schema.migration_dependencies d
    JOIN migrollback_schema.migration_history h ON h.migration_name = d.migration_name AND h.status <> 'rolled_back'
    WHERE d.depends_on = migration_dependent_objects.name
    ORDER BY h.applied_at, h.migration_name COLLATE "C"
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_dependent_objects(text) IS
    'Each applied migration that depends directly on this one, why, and what it created. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_surroundings(words text[] DEFAULT NULL)
RETURNS TABLE (what text, schema text, name text, other_schema text, other_name text, definition text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT 'trigger', s.nspname::text, p.proname::text, n.nspname::text, c.relname::text,
           CASE WHEN words IS NOT NULL THEN pg_get_functiondef(p.oid) END
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace s ON s.oid = p.pronamespace
    JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND (words IS NULL OR p.proname = ANY (words))
    UNION ALL
    -- of an extension what PostgreSQL itself has nothing of that name of
    SELECT 'routine', NULL, p.proname, NULL, x.extname, NULL
    FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid JOIN pg_proc p ON p.oid = d.objid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
      AND (words IS NULL OR p.proname = ANY (words))
      AND NOT EXISTS (SELECT FROM pg_proc b WHERE b.proname = p.proname AND b.pronamespace = 'pg_catalog'::regnamespace)
    UNION ALL
    SELECT 'operator', NULL, o.oprname, NULL, x.extname, NULL
    FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid JOIN pg_operator o ON o.oid = d.objid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_operator'::regclass AND d.deptype = 'e'
      AND (words IS NULL OR o.oprname = ANY (words))
      AND NOT EXISTS (SELECT FROM pg_operator b
                      WHERE b.oprname = o.oprname AND b.oprnamespace = 'pg_catalog'::regnamespace)
    UNION ALL
    SELECT 'type', NULL, y.typname, NULL, x.extname, NULL
    FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid JOIN pg_type y ON y.oid = d.objid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_type'::regclass AND d.deptype = 'e'
      AND (words IS NULL OR y.typname = ANY (words))
    UNION ALL
    -- a label that another transaction wrote than the first one was added
    SELECT 'label', s.nspname, y.typname, NULL, l.enumlabel, NULL
    FROM pg_enum l JOIN pg_type y ON y.oid = l.enumtypid JOIN pg_namespace s ON s.oid = y.typnamespace
    WHERE (words IS NULL OR l.enumlabel = ANY (words))
      AND l.xmin <> (SELECT f.xmin FROM pg_enum f WHERE f.enumtypid = l.enumtypid ORDER BY f.oid LIMIT 1)
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_surroundings(text[]) IS
    'What decides what names mean: trigger functions and their tables, what extensions brought (routine, operator, '
    'type: other_name is the extension), labels added to enums (other_name); by default all, else of these words, '
    'and then with the definitions of trigger functions. '
    'Does not write.';
