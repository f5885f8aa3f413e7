-- ---------------------------------------------------------------------------------------------------
-- Digests of values: taken before an up migration destroys them, they tell afterwards whether they came back.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.value_digest(relation oid, keys text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    -- values are compared as text, which these settings change
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = 'hex' SET lc_monetary = 'C' AS $function$
DECLARE
    -- short enough to be read under locks
    limit_bytes constant bigint := 8 * 1024 * 1024;
    names       text[];
    key         text;
    number      bigint;
    sums        text[];
BEGIN
    -- a policy would hide rows
    IF row_security_active(relation) OR (
           SELECT sum(pg_relation_size(m.oid)) FROM unnest(migrollback_schema.table_members(relation)) AS m (oid))
           > limit_bytes THEN
        RETURN NULL;
    END IF;
    names := ARRAY(SELECT a.attname::text FROM pg_attribute a
                    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum);
    keys := coalesce(keys, ARRAY(
        SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.number
         WHERE i.indrelid = relation AND i.indisprimary ORDER BY k.place));
    IF NOT keys <@ names OR cardinality(names) = 0 THEN
        RETURN NULL;
    END IF;
    IF migrollback_schema.is_empty_and_readable(migrollback_schema.table_members(relation)) THEN
        RETURN jsonb_build_object('rows', 0, 'keys', to_jsonb(keys), 'columns', (
            SELECT jsonb_object_agg(n.name, '') FROM unnest(names) AS n (name)));
    END IF;
    -- A value counts with the key of its row, so that two rows that change places are seen; a sum, because rows have
    -- no order.
    key := coalesce((SELECT string_agg(format('x.%I::text', k.name), ', ' ORDER BY k.place)
                       FROM unnest(keys) WITH ORDINALITY AS k (name, place)), '''''');
    EXECUTE format('SELECT count(*), ARRAY[%s]::text[] FROM %s x', (
        SELECT string_agg(format('sum(hashtextextended(concat_ws(chr(31), %s,
                                  coalesce(''='' || x.%I::text, ''-'')), 0))', key, c.name), ', ' ORDER BY c.place)
          FROM unnest(names) WITH ORDINALITY AS c (name, place)), relation::regclass) INTO number, sums;
    RETURN jsonb_build_object('rows', number, 'keys', to_jsonb(keys), 'columns', (
        SELECT jsonb_object_agg(c.name, coalesce(c.sum, '')) FROM unnest(names, sums) AS c (name, sum)));
EXCEPTION
    -- another session's lock, a role that may not read it, a value that has no text: then no one can tell
    WHEN lock_not_available OR insufficient_privilege OR undefined_function OR undefined_table THEN
        RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.value_digest(oid, text[]) IS
    'What the values of a table are, as sums of hashes: rows (how many), keys (the columns by which rows are told '
    'apart, by default the primary key; none: a value that moves to another row is not seen), columns (name -> sum). '
    'NULL of a table over 8 MB, without one of these keys, or that cannot be read as a whole. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.value_digests(relations oid[], until timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    relation oid;
    digest   jsonb;
    found    jsonb := '{}';
BEGIN
    FOREACH relation IN ARRAY relations LOOP
        EXIT WHEN clock_timestamp() > until;
        digest := migrollback_schema.value_digest(relation, NULL::text[]);
        IF digest IS NOT NULL THEN
            found := found || jsonb_build_object((SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
                                                    JOIN pg_namespace n ON n.oid = c.relnamespace
                                                   WHERE c.oid = relation), digest);
        END IF;
    END LOOP;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.value_digests(oid[], timestamptz) IS
    'value_digest() of these tables, by identity, as many as are read until then. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.digest_part(digests jsonb, identity text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    parts constant text[] := parse_ident(identity, false);
    whole constant jsonb := digests -> format('%I.%I', parts[1], parts[2]);
BEGIN
    RETURN CASE cardinality(parts)
        WHEN 2 THEN whole
        WHEN 3 THEN whole || jsonb_build_object('columns',
                                                jsonb_build_object(parts[3], whole #> ARRAY['columns', parts[3]])) END;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN NULL;                        -- no name of a table or column
END $function$;
COMMENT ON FUNCTION migrollback_schema.digest_part(jsonb, text) IS
    'Of value_digests() what belongs to a table or column; NULL where there is none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.keep_value_digests(name text, before jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    WITH after (digests) AS (
        SELECT migrollback_schema.value_digests(ARRAY(
                   SELECT to_regclass(k)::oid FROM jsonb_object_keys(before) k WHERE to_regclass(k) IS NOT NULL),
               clock_timestamp() + interval '1 s'))
    UPDATE migrollback_schema.migration_destroyed_values d
       SET digest = jsonb_build_object('before', migrollback_schema.digest_part(before, d.identity),
                                       'after', migrollback_schema.digest_part(a.digests, d.identity))
      FROM after a
     WHERE d.migration_name = keep_value_digests.name
       -- for columns_filled_anew(): of a column without values how many rows there were
       AND (d.rows IS DISTINCT FROM 0 OR d.what = 'column dropped')
       AND migrollback_schema.digest_part(before, d.identity) IS NOT NULL
$function$;
COMMENT ON FUNCTION migrollback_schema.keep_value_digests(text, jsonb) IS
    'Writes: keeps the digests of what an up migration destroyed that has just run in this transaction. before: '
    'value_digests() from before it ran.';

CREATE OR REPLACE FUNCTION migrollback_schema.values_as_they_were(names text[], moment text, until timestamptz)
RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    one   record;
    now   jsonb;
    found text[] := '{}';
BEGIN
    FOR one IN
        SELECT t.relation, d.digest #> ARRAY[moment, 'keys'] AS keys,
               jsonb_agg(jsonb_build_array(d.identity, d.digest -> moment)) AS destroyed
          FROM migrollback_schema.migration_destroyed_values d
         CROSS JOIN LATERAL parse_ident(d.identity, false) AS p (parts)
         CROSS JOIN LATERAL to_regclass(format('%I.%I', p.parts[1], p.parts[2])) AS t (relation)
         WHERE d.migration_name = ANY (names) AND jsonb_typeof(d.digest -> moment) = 'object' AND t.relation IS NOT NULL
         GROUP BY 1, 2
    LOOP
        EXIT WHEN clock_timestamp() > until;
        now := migrollback_schema.value_digest(one.relation, ARRAY(SELECT jsonb_array_elements_text(one.keys)));
        found := found || ARRAY(
            SELECT e ->> 0 FROM jsonb_array_elements(one.destroyed) e
             WHERE now -> 'rows' = e #> '{1,rows}' AND now -> 'columns' @> (e #> '{1,columns}'));
    END LOOP;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.values_as_they_were(text[], text, timestamptz) IS
    'Of what these migrations destroyed when they were applied, identities of the tables and columns whose values are '
    'now what they were then, as digests show, as many as are read until then. moment: before (the up migration) or '
    'after. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.columns_filled_anew(names text[], known_by text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off SET lock_timeout = '50ms' AS $function$
DECLARE
    one    record;
    number bigint;
    found  jsonb := '[]';
BEGIN
    FOR one IN
        SELECT d.identity, c.oid AS relation, a.attname
          FROM migrollback_schema.migration_destroyed_values d
         CROSS JOIN LATERAL parse_ident(d.identity, false) AS p (parts)
          JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', p.parts[1], p.parts[2])) AND c.relkind = 'r'
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = p.parts[3] AND NOT a.attisdropped
           AND a.attgenerated = ''
         WHERE d.migration_name = ANY (names) AND d.what = 'column dropped' AND d.rows = 0
           AND (d.digest #>> '{before,rows}')::bigint > 0 AND pg_relation_size(c.oid) <= 8 * 1024 * 1024
         ORDER BY d.identity
    LOOP
        BEGIN
            EXECUTE format('SELECT count(x.%I) FROM %s x', one.attname, one.relation::regclass) INTO number;
            IF number > 0 THEN
                found := found || migrollback_schema.migration_effect('leaves_behind', one.identity, number,
                    'values in rows that had none', known_by, NULL::text, false);
            END IF;
        EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
            NULL;                       -- no one can tell
        END;
    END LOOP;
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.columns_filled_anew(text[], text) IS
    'Effects leaves_behind of columns that these migrations dropped when no row had a value there, and that hold '
    'values now: their rollback gave them a default. Tables of at most 8 MB. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.without_values_put_back(effects jsonb, came_back jsonb, unchanged jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    WITH one AS (
        SELECT e.value, e.place, e.value ->> 'effect' AS effect,
               ARRAY[e.value ->> 'identity', regexp_replace(e.value ->> 'identity', '\.("([^"]|"")+"|[^".]+)$', '')]
               AS identities
          FROM jsonb_array_elements(effects) WITH ORDINALITY AS e (value, place))
    SELECT coalesce(jsonb_agg(CASE WHEN coalesce(came_back, '[]') ?| o.identities
                                   THEN o.value || '{"restored": true}' ELSE o.value END ORDER BY o.place), '[]')
      FROM one o
     WHERE NOT (coalesce(came_back, '[]') ?| o.identities
                AND (o.effect IN ('values_not_restored', 'leaves_behind')
                     -- What went was what the migration had written, unless it was written since.
                     OR o.effect IN ('loses_rows', 'loses_values') AND coalesce(unchanged, '[]') ?| o.identities))
$function$;
COMMENT ON FUNCTION migrollback_schema.without_values_put_back(jsonb, jsonb, jsonb) IS
    'Effects without those on values that are as before the migration again; of what may have been written since, and '
    'went, marked as restored. came_back: identities of '
    'values_as_they_were() before it was applied; unchanged: of those that no one wrote since. Does not write.';
