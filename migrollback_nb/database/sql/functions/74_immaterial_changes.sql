-- ---------------------------------------------------------------------------------------------------
-- Differences that are worth a remark, and nothing to act on.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.differs_by_time_of_creation(was jsonb, is_now jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, MDY' AS $function$
DECLARE
    -- as pg_get_viewdef() and its like write the constant that 'now' or 'today' became
    moment constant text := '''(\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d(?::\d\d)*)?)?)''::'
        || '(?:timestamp with(?:out)? time zone|date)';
BEGIN
    IF was IS NULL OR is_now IS NULL OR was::text !~ moment
       OR regexp_replace(was::text, moment, '', 'g') <> regexp_replace(is_now::text, moment, '', 'g') THEN
        RETURN false;
    END IF;
    -- of today, whichever time zone it was told in; what differs and is older was written by hand
    RETURN NOT EXISTS (
        SELECT FROM regexp_matches(was::text, moment, 'g') WITH ORDINALITY AS o (found, place)
        JOIN regexp_matches(is_now::text, moment, 'g') WITH ORDINALITY AS n (found, place) USING (place)
        WHERE o.found <> n.found
          AND abs(extract(epoch FROM n.found[1]::timestamptz - clock_timestamp())) > 50 * 3600);
EXCEPTION
    WHEN datetime_field_overflow OR invalid_datetime_format THEN
        RETURN false;
END $function$;
COMMENT ON FUNCTION migrollback_schema.differs_by_time_of_creation(jsonb, jsonb) IS
    'Whether two definitions differ only in constants that are points in time, and those of the newer one are of these '
    'days: what ''now''::timestamp becomes in a view, a default or a check. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.without_immaterial_changes(
    changes jsonb, OUT material jsonb, OUT remarks text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    WITH row AS MATERIALIZED (
        SELECT c.value, c.place, c.value ->> 'change' AS change, c.value ->> 'kind' AS kind,
               c.value ->> 'identity' AS identity, c.value -> 'old_definition' AS was,
               c.value -> 'new_definition' AS is_now,
               regexp_replace(c.value ->> 'identity', ' ("([^"]|"")*"|[^" ]+)$', '') AS relation,
               coalesce(c.value #>> '{old_definition,def}', c.value #>> '{new_definition,def}') AS def
        FROM jsonb_array_elements(coalesce(changes, '[]')) WITH ORDINALITY AS c (value, place)),
    -- From PostgreSQL 18 NOT NULL is a constraint, with a name after the table's of that moment.
    renamed AS (
        SELECT o.place AS old_place, n.place AS new_place, o.relation,
               substr(o.identity, length(o.relation) + 2) AS old_name,
               substr(n.identity, length(n.relation) + 2) AS new_name
        FROM row o JOIN row n ON n.relation = o.relation AND n.def = o.def AND n.was IS NOT DISTINCT FROM 'null'
         AND n.kind = 'constraint' AND n.change = 'created' AND n.is_now = o.was
        WHERE o.kind = 'constraint' AND o.change = 'dropped' AND o.def LIKE 'NOT NULL %'
          AND o.identity ~ '_not_null\d*"?$' AND n.identity ~ '_not_null\d*"?$'),
    timed AS (
        SELECT r.place, r.kind, r.identity FROM row r
         WHERE r.change = 'changed' AND migrollback_schema.differs_by_time_of_creation(r.was, r.is_now))
    SELECT coalesce((SELECT jsonb_agg(r.value ORDER BY r.place) FROM row r
                     WHERE r.place NOT IN (SELECT m.old_place FROM renamed m UNION ALL SELECT m.new_place FROM renamed m
                                           UNION ALL SELECT t.place FROM timed t)), '[]'),
           (SELECT coalesce(array_agg(s.remark ORDER BY s.remark), '{}')
            FROM (SELECT format('NOT NULL of %s has another generated name: %s, before %s', m.relation, m.new_name,
                                m.old_name) AS remark FROM renamed m
                  UNION ALL
                  SELECT format('a constant in %s %s is the time of its creation', t.kind, t.identity)
                  FROM timed t) s)
$function$;
COMMENT ON FUNCTION migrollback_schema.without_immaterial_changes(jsonb) IS
    'Rows of schema_changes(), as an array, without those that mean nothing: a NOT NULL constraint under another '
    'generated name, a constant that is the time of creation. remarks: these in words. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.judge_rollback(
    expected jsonb, objects_now jsonb, changes jsonb, OUT differences jsonb, OUT unexpected jsonb, OUT remarks text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    immaterial text[];
BEGIN
    unexpected := coalesce((SELECT jsonb_agg(c) FROM jsonb_array_elements(changes) c
                             WHERE c ->> 'change' <> 'reordered'
                               AND NOT expected ? jsonb_build_array(c ->> 'kind', c ->> 'identity')::text), '[]');
    -- The rights that default privileges give to an object that was dropped and comes back: it is not as it was.
    differences := migrollback_schema.unmet_expectations(expected, objects_now) || coalesce((
        SELECT jsonb_agg(c) FROM jsonb_array_elements(unexpected) c
         WHERE migrollback_schema.is_grant_on(c, expected)), '[]');
    unexpected := coalesce((SELECT jsonb_agg(c) FROM jsonb_array_elements(unexpected) c
                             WHERE NOT migrollback_schema.is_grant_on(c, expected)), '[]');
    -- both at once: a constraint under another name is dropped from what was expected, and created by nobody
    SELECT m.material, m.remarks INTO differences, immaterial
      FROM migrollback_schema.without_immaterial_changes(differences || coalesce((
               SELECT jsonb_agg(c || '{"unexpected": true}') FROM jsonb_array_elements(unexpected) c), '[]')) m;
    unexpected := coalesce((SELECT jsonb_agg(c - 'unexpected') FROM jsonb_array_elements(differences) c
                             WHERE c ? 'unexpected'), '[]');
    differences := coalesce((SELECT jsonb_agg(c) FROM jsonb_array_elements(differences) c
                              WHERE NOT c ? 'unexpected'), '[]');
    remarks := array_to_string(immaterial, '; ');
END $function$;
COMMENT ON FUNCTION migrollback_schema.judge_rollback(jsonb, jsonb, jsonb) IS
    'What is not as expected after a rollback, and what of its changes no one expected, as arrays of rows of '
    'schema_changes(); remarks: on what means nothing, empty where there is none. Does not write.';
