-- ---------------------------------------------------------------------------------------------------
-- What a preview showed: the path that the SQL runs under, and a fingerprint of all that steers the run.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.effective_search_path() RETURNS text
LANGUAGE plpgsql STABLE AS $function$
DECLARE
    schema_name pg_catalog.name;
    path        pg_catalog.text;
BEGIN
    -- No pinned path, on purpose: what the caller's own path comes to is the answer. Hence every name is written out,
    -- those of types too (a domain of the name runs its check), and there is no operator (nullif() has one).
    FOREACH schema_name IN ARRAY pg_catalog.current_schemas(false) LOOP
        path := pg_catalog.concat_ws(', ', path, pg_catalog.quote_ident(schema_name));
    END LOOP;
    RETURN coalesce(path, '');
END $function$;
COMMENT ON FUNCTION migrollback_schema.effective_search_path() IS
    'The schemas of the caller''s search_path that exist, quoted, in order: "$user" resolved. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_schema_list(search_path text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    SET standard_conforming_strings = on AS $function$
DECLARE
    name constant text := '("([^"]|"")*"|[^ \t\n\r\f\v,"][^ \t\n\r\f\v,]*)[ \t\n\r\f\v]*';
BEGIN
    -- names, quoted or not, between commas
    RETURN is_schema_list.search_path ~ ('^[ \t\n\r\f\v]*(' || name || '(,[ \t\n\r\f\v]*' || name || ')*)?$');
END $function$;
COMMENT ON FUNCTION migrollback_schema.is_schema_list(text) IS
    'Whether this can be a search_path, so that setting it is no error; NULL of NULL. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_rollback_path(metadata jsonb, otherwise text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(metadata ->> 'search_path', otherwise)
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_rollback_path(jsonb, text) IS
    'The search_path that the rollback SQL runs under: the one recorded at registration, otherwise the given one. '
    'Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_fingerprint(
    names text[], otherwise_path text DEFAULT migrollback_schema.effective_search_path())
RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Hexadecimal digits in four groups, so that a refusal can say what has changed: which migrations of which database
    -- (12), their rollback SQL and all that
    -- steers how it runs (24),
    -- their status and what depends on them (12), the schema (16). Each over netstrings: no two lists share one text.
    RETURN (
    WITH part (place, width, value) AS (
        SELECT g.place, g.width, string_agg(coalesce(octet_length(convert_to(p.value, 'UTF8')) || ':' || p.value,
                                                     '-') || ',', '' ORDER BY n.place, p.place)
        FROM unnest(names) WITH ORDINALITY AS n (migration_name, place)
        LEFT JOIN migrollback_schema.migration_history h ON h.migration_name = n.migration_name
        CROSS JOIN LATERAL (VALUES (1, 12, ARRAY[n.migration_name, current_database()::text, h.id::text]),
                                   (2, 24, ARRAY[h.rollback_sql, migrollback_schema.migration_rollback_path(h.metadata,
                                       otherwise_path), (h.metadata -> 'rollback')::text,
                                                 h.migration_version, (h.metadata -> 'tool')::text,
                                                     (h.metadata -> 'previous_version')::text,
                                                     (h.metadata -> 'system')::text,
                                                     (h.metadata -> 'destroys')::text,
                                                 CASE WHEN h.metadata ? 'previous_version'
                                                          THEN migrollback_schema.version_before(h.metadata) END]),
                                   (3, 12, ARRAY[h.status])) AS g (place, width, "values")
        CROSS JOIN LATERAL unnest(g."values") WITH ORDINALITY AS p (value, place)
        GROUP BY g.place, g.width)
    SELECT string_agg(left(encode(sha256(convert_to(p.value
        || CASE WHEN p.place = 3 THEN array_to_json(migrollback_schema.migrations_to_roll_back_first(names,
            '{}'::text[]))::text ELSE '' END, 'UTF8')), 'hex'),
                           p.width), '' ORDER BY p.place)
           || migrollback_schema.schema_fingerprint()
    FROM part p);
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_fingerprint(text[], text) IS
    'Of what a preview showed: the migrations; their rollback SQL and all that is stored of how it runs: search_path '
    '(otherwise_path where none is recorded), rollback with all its keys, migration_version, tool, previous_version '
    'and the version that a ledger goes back to, system, destroys; their status; what depends on them; and the '
    'schema. Not description, rollback_remark, tags, deploy, notes and keys of the user''s own. '
    'execute_migration_rollback() refuses when it '
    'differs. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.changed_since_preview(preview text, now text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE
        WHEN preview = now THEN NULL
        WHEN length(preview) <> 64 OR left(preview, 12) <>
            left(now, 12) THEN 'The preview is not of these migrations in this database: look at a new one first'
        WHEN substr(preview, 13, 24) <> substr(now, 13, 24) THEN 'The rollback SQL has changed since the preview, or '
            'what is stored of how it runs: look at a new one first'
        WHEN substr(preview, 37, 12) <> substr(now, 37,
            12) THEN 'The status, or what depends on it, has changed since the preview: look at a new one first'
        ELSE 'The schema has changed since the preview: look at a new one first'
    END
$function$;
COMMENT ON FUNCTION migrollback_schema.changed_since_preview(text, text) IS
    'Why a preview with this fingerprint no longer holds, in words, or NULL when it does. now: '
    'migration_fingerprint() of this moment. Does not write.';
