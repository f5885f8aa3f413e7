-- ---------------------------------------------------------------------------------------------------
-- What selectors ask: which migrations are reached from some by dependencies. Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_reached(
    names text[], dependents boolean, depth int DEFAULT NULL)
RETURNS TABLE (migration_name text, applied_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- the planner guesses too few rows for a recursion and scans whole tables at each level
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $function$
DECLARE
    found text[];
BEGIN
    -- Without a depth each name comes once, whatever its level; UNION ends a cycle that was made by hand.
    IF dependents THEN
        found := ARRAY(
            WITH RECURSIVE reached (name, level) AS (
                SELECT n.name, 0 FROM unnest(names) AS n (name)
                UNION
                SELECT d.migration_name, CASE WHEN depth IS NULL THEN 0 ELSE r.level + 1 END
                FROM reached r JOIN migrollback_schema.migration_dependencies d ON d.depends_on = r.name
                WHERE depth IS NULL OR r.level < depth)
            SELECT DISTINCT r.name FROM reached r);
    ELSE
        found := ARRAY(
            WITH RECURSIVE reached (name, level) AS (
                SELECT n.name, 0 FROM unnest(names) AS n (name)
                UNION
                SELECT d.depends_on, CASE WHEN depth IS NULL THEN 0 ELSE r.level + 1 END
                FROM reached r JOIN migrollback_schema.migration_dependencies d ON d.migration_name = r.name
                WHERE depth IS NULL OR r.level < depth)
            SELECT DISTINCT r.name FROM reached r);
    END IF;
    RETURN QUERY
        SELECT h.migration_name, h.applied_at FROM migrollback_schema.migration_history h
         WHERE h.migration_name = ANY (found)
         ORDER BY h.applied_at, h.migration_name COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.migrations_reached(text[], boolean, int) IS
    'These migrations and, where dependents is true, those that depend on them, else those that they depend on, '
    'directly or through others, at most depth dependencies far (NULL: however far), in the order of the history. '
    'Those that are rolled back are among them. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migrations_touching(what text, pattern text, part text DEFAULT '')
RETURNS TABLE (migration_name text, applied_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT h.migration_name, h.applied_at FROM migrollback_schema.migration_history h
        WHERE EXISTS (
            SELECT FROM (
                SELECT o.kind, o.identity, o.table_identity FROM migrollback_schema.migration_objects o
                 WHERE o.migration_name = h.migration_name
                UNION ALL               -- what it updated, deleted ...: a table or its column
                SELECT 'column', v.identity, NULL FROM migrollback_schema.migration_destroyed_values v
                 WHERE v.migration_name = h.migration_name) t
            -- parsing each identity takes most of the time
            CROSS JOIN LATERAL (
                SELECT n.schema, n.object, replace(n."table", '"', '') AS full_name
                  FROM migrollback_schema.object_names(t.kind, t.identity, t.table_identity) n
                 WHERE part = '' OR strpos(replace(concat_ws(' ', t.identity, t.table_identity), '"', ''), part) > 0) n
            WHERE CASE what
                  WHEN 'table' THEN n.full_name ~ pattern OR substr(n.full_name, length(n.schema) + 2) ~ pattern
                  WHEN 'schema' THEN n.schema ~ pattern
                  ELSE replace(t.identity, '"', '') ~ pattern OR n.object ~ pattern END)
        ORDER BY h.applied_at, h.migration_name COLLATE "C";
END $function$;
COMMENT ON FUNCTION migrollback_schema.migrations_touching(text, text, text) IS
    'The migrations that created, changed or dropped something of this, or wrote its rows, in the order of the '
    'history. what: table (also its columns, indexes, constraints, triggers), schema or object; pattern: a regular '
    'expression for its name without quotes, with or without its schema; part: a text that the name holds, for speed. '
    'Does not write.';
