-- ---------------------------------------------------------------------------------------------------
-- What an up migration destroys: counted before and after it runs, and recorded; from its text where it is registered.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.named_objects(
    kinds text[], schemas text[], names text[], search_path text)
RETURNS oid[] LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- planned anew for other names it takes ten times as long
    SET plan_cache_mode = force_generic_plan AS $function$
BEGIN
    -- On the path of the migration a stranger's schema may stand even before pg_catalog: hence all is written out.
    PERFORM set_config('search_path', coalesce(nullif(CASE WHEN migrollback_schema.is_schema_list(search_path)
                                                           THEN search_path END, ''), 'pg_catalog') || ', pg_temp',
                       true);
    RETURN (
        SELECT pg_catalog.array_agg(CASE
                   WHEN n.kind OPERATOR(pg_catalog.=) 'table' THEN pg_catalog.to_regclass(n.title)::pg_catalog.oid
                   WHEN n.kind OPERATOR(pg_catalog.=) 'type text' THEN pg_catalog.to_regtype(n.name)::pg_catalog.oid
                   WHEN n.kind OPERATOR(pg_catalog.=) ANY ('{type,attribute}'::pg_catalog.text[])
                       THEN pg_catalog.to_regtype(n.title)::pg_catalog.oid
                   WHEN n.kind OPERATOR(pg_catalog.=) 'collation'
                       THEN pg_catalog.to_regcollation(n.title)::pg_catalog.oid
                   WHEN n.kind OPERATOR(pg_catalog.=) 'schema'
                       THEN pg_catalog.to_regnamespace(n.title)::pg_catalog.oid
                   WHEN n.kind OPERATOR(pg_catalog.=) 'extension'
                       THEN (SELECT x.oid FROM pg_catalog.pg_extension x
                              WHERE x.extname OPERATOR(pg_catalog.=) n.name::pg_catalog.name)
                   WHEN n.kind OPERATOR(pg_catalog.=) 'role' THEN pg_catalog.to_regrole(n.title)::pg_catalog.oid
                   END ORDER BY n.place)
        FROM (SELECT g.kind, g.name, g.place,
                     pg_catalog.concat_ws('.'::pg_catalog.text, pg_catalog.quote_ident(g.schema),
                                          pg_catalog.quote_ident(g.name)) AS title
              FROM ROWS FROM (pg_catalog.unnest(kinds), pg_catalog.unnest(schemas), pg_catalog.unnest(names))
                   WITH ORDINALITY AS g (kind, schema, name, place)) n);
END $function$;
COMMENT ON FUNCTION migrollback_schema.named_objects(text[], text[], text[], text) IS
    'What these names mean under a search_path: an oid or NULL for each. kinds: table, type, type text (the name is '
    'written as SQL has it), attribute (the composite type), collation, schema, extension, role. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.type_modifier(type oid, mods int[]) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN coalesce(cardinality(mods), 0) = 0 THEN -1
                WHEN type IN ('varchar'::regtype, 'bpchar'::regtype, 'varchar[]'::regtype, 'bpchar[]'::regtype)
                    THEN mods[1] + 4
                WHEN type IN ('numeric'::regtype, 'numeric[]'::regtype)
                    THEN (mods[1] << 16 | (coalesce(mods[2], 0) & 2047)) + 4
                WHEN type IN ('bit'::regtype, 'varbit'::regtype, 'time'::regtype, 'timetz'::regtype,
                              'timestamp'::regtype, 'timestamptz'::regtype) THEN mods[1]
                ELSE -1 END
$function$;
COMMENT ON FUNCTION migrollback_schema.type_modifier(oid, int[]) IS
    'What pg_attribute.atttypmod is for a type written with these numbers in parentheses; -1 where there are none, or '
    'they are not understood. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.base_type(
    declared oid, declared_modifier int, OUT type oid, OUT modifier int, OUT is_array boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    found record;
BEGIN
    type := declared;
    modifier := declared_modifier;
    is_array := false;
    LOOP
        SELECT t.typtype, t.typbasetype, t.typtypmod, t.typelem, t.typcategory INTO found FROM pg_type t
          WHERE t.oid = type;
        IF found.typtype = 'd' THEN
            type := found.typbasetype;
            modifier := found.typtypmod;
        ELSIF found.typcategory = 'A' AND found.typelem <> 0 THEN
            type := found.typelem;
            is_array := true;
        ELSE
            EXIT;
        END IF;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.base_type(oid, int) IS
    'The type behind domains and arrays, with its modifier. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.type_keeps_values(
    old oid, old_modifier int, new oid, new_modifier int, is_explicit boolean DEFAULT false)
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    texts constant oid[] := ARRAY['text'::regtype, 'varchar'::regtype, 'name'::regtype];
    a     record := migrollback_schema.base_type(old, old_modifier);
    b     record := migrollback_schema.base_type(new, new_modifier);
    precise_old int;
    precise_new int;
BEGIN
    IF a.is_array <> b.is_array THEN
        RETURN b.type = ANY (texts) AND b.modifier = -1;
    ELSIF b.type IN ('text'::regtype, 'varchar'::regtype) AND b.modifier = -1 THEN
        RETURN true;                    -- every type reads again what it writes
    ELSIF a.type = b.type AND (b.modifier = -1 OR a.modifier = b.modifier) THEN
        RETURN true;
    ELSIF b.type = 'varchar'::regtype AND a.type IN ('varchar'::regtype, 'text'::regtype, 'bpchar'::regtype)
        OR b.type = 'bpchar'::regtype AND a.type = 'bpchar'::regtype OR b.type = 'varbit'::regtype AND a.type = b.type
    THEN
        -- too long a value is an error, unless a cast in the SQL cuts it
        RETURN NOT is_explicit OR a.modifier BETWEEN 0 AND b.modifier;
    ELSIF a.type = b.type AND a.type = 'numeric'::regtype THEN
        precise_old := (a.modifier - 4) & 2047;
        precise_new := (b.modifier - 4) & 2047;
        RETURN a.modifier >= 0 AND precise_new >= precise_old;  -- too large a number is an error
    ELSIF a.type = b.type AND a.type IN ('time'::regtype, 'timetz'::regtype, 'timestamp'::regtype,
                                         'timestamptz'::regtype) THEN
        RETURN b.modifier >= CASE WHEN a.modifier = -1 THEN 6 ELSE a.modifier END;
    ELSIF a.type <> b.type AND a.type IN ('timestamp'::regtype, 'timestamptz'::regtype)
        AND b.type IN ('timestamp'::regtype, 'timestamptz'::regtype) THEN
        -- where no hour comes twice a year
        RETURN b.modifier IN (-1, 6, a.modifier) AND current_setting('TimeZone') ~* '^(etc/)?(utc|uct|gmt|zulu)$';
    ELSIF b.type IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN
        RETURN a.type IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
            OR a.type = 'bool'::regtype AND b.type = 'int4'::regtype;
    ELSIF EXISTS (SELECT FROM pg_type t WHERE t.oid = b.type AND t.typtype = 'e') THEN
        -- a label that the enum does not have is an error
        RETURN a.type = ANY (texts) OR EXISTS (SELECT FROM pg_type t WHERE t.oid = a.type AND t.typtype = 'e');
    ELSIF EXISTS (SELECT FROM pg_type t WHERE t.oid = b.type AND t.typname = 'citext') THEN
        RETURN a.type = ANY (texts);
    END IF;
    RETURN b.modifier = -1 AND (a.type::regtype::text, b.type::regtype::text) IN (
        ('smallint', 'numeric'), ('integer', 'numeric'), ('bigint', 'numeric'), ('smallint', 'real'),
        ('smallint', 'double precision'), ('integer', 'double precision'), ('real', 'double precision'),
        ('jsonb', 'json'), ('cidr', 'inet'), ('bit', 'bit varying'), ('macaddr', 'macaddr8'),
        ('date', 'timestamp without time zone'), ('citext', 'text'));
END $function$;
COMMENT ON FUNCTION migrollback_schema.type_keeps_values(oid, int, oid, int, boolean) IS
    'Whether a column whose type changes keeps what its values say, so that the old type brings them back: wider '
    'types, and text. is_explicit: a cast in the SQL, which may cut. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.table_members(relation oid) RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
BEGIN
    IF NOT (SELECT c.relhassubclass FROM pg_class c WHERE c.oid = relation) THEN
        RETURN ARRAY[relation];
    END IF;
    RETURN ARRAY(
        WITH RECURSIVE member (oid) AS (
            SELECT relation UNION SELECT i.inhrelid FROM member m JOIN pg_inherits i ON i.inhparent = m.oid)
        SELECT m.oid FROM member m);
END $function$;
COMMENT ON FUNCTION migrollback_schema.table_members(oid) IS
    'A table with its partitions and the tables that inherit from it, and theirs. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_empty_and_readable(members oid[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN (SELECT bool_and(c.relkind IN ('r', 'p') AND pg_relation_size(c.oid) = 0
                            AND has_table_privilege(c.oid, 'SELECT'))
              FROM unnest(members) AS m (oid) LEFT JOIN pg_class c ON c.oid = m.oid);
END $function$;
COMMENT ON FUNCTION migrollback_schema.is_empty_and_readable(oid[]) IS
    'Whether none of these tables has a page, and the caller may read each: then nothing need be counted. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.estimated_values(members oid[], columns text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    -- a few rows of large catalogs
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $function$
DECLARE
    -- what ANALYZE found the last time, or what was counted in writing
    known real := (SELECT sum(CASE WHEN c.reltuples > 0 THEN c.reltuples
                                   WHEN pg_stat_get_live_tuples(c.oid) > 0 THEN pg_stat_get_live_tuples(c.oid) END)
                   FROM pg_class c WHERE c.oid = ANY (members));
    table_schema name;
    table_name   name;
    nulls        jsonb;                 -- column -> share of its rows that are NULL
BEGIN
    -- Of partitions the first that was analyzed stands for all. By name: joined, pg_stats reads all tables.
    FOR table_schema, table_name IN
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = ANY (members) ORDER BY c.reltuples DESC LIMIT 3
    LOOP
        EXIT WHEN nulls IS NOT NULL OR cardinality(columns) = 0;
        nulls := (SELECT jsonb_object_agg(v.attname, v.null_frac) FROM pg_stats v
                   WHERE v.schemaname = table_schema AND v.tablename = table_name AND NOT v.inherited
                     AND v.attname = ANY (columns));
    END LOOP;
    RETURN jsonb_build_object('exact', false, 'rows', known::bigint, 'values', (
        SELECT jsonb_agg((known * (1 - coalesce((nulls ->> c.name)::real, 0)))::bigint ORDER BY c.place)
        FROM unnest(columns) WITH ORDINALITY AS c (name, place)));
END $function$;
COMMENT ON FUNCTION migrollback_schema.estimated_values(oid[], text[]) IS
    'What the statistics say of the rows of these tables, and of the values that are not NULL of each column: what '
    'count_values_within() returns where it does not count. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.count_values_within(
    relation oid, columns text[], checks text[], most int DEFAULT 100000)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    members constant oid[] := migrollback_schema.table_members(relation);
    counts  bigint[];
BEGIN
    IF most >= 0 AND NOT row_security_active(relation)  -- who sees only some of the rows cannot count them
        -- 100,000 rows of a table as large as this one would take longer than anyone waits for
        AND (SELECT sum(c.relpages) FROM pg_class c WHERE c.oid = ANY (members)) < 131072 THEN
        IF migrollback_schema.is_empty_and_readable(members) THEN
            RETURN jsonb_build_object('exact', true, 'rows', 0, 'values',
                                      array_fill(0::bigint, ARRAY[cardinality(columns)]));
        END IF;
        BEGIN
            EXECUTE format('SELECT ARRAY[count(*)%s] FROM (SELECT %s FROM %s LIMIT %s) AS x',
                           (SELECT string_agg(', ' || CASE WHEN c.test IS NULL THEN format('count(x.%I)', c.name)
                                                   ELSE format('count(*) FILTER (WHERE %s)', c.test) END, ''
                                              ORDER BY c.place)
                            FROM unnest(columns, checks) WITH ORDINALITY AS c (name, test, place)),
                           coalesce((SELECT string_agg(DISTINCT quote_ident(c.name), ', ')
                                     FROM unnest(columns) AS c (name)), ''),
                           relation::regclass, most::bigint + 1) INTO counts;
        EXCEPTION
            WHEN lock_not_available OR query_canceled THEN
                RAISE;
            WHEN OTHERS THEN            -- no right to look; a cast that fails
                IF array_remove(checks, NULL) <> '{}' THEN
                    RETURN migrollback_schema.count_values_within(relation, columns,
                                                                  array_fill(NULL::text, ARRAY[cardinality(columns)]),
                                                                  most) || '{"unchecked": true}';
                END IF;
        END;
        IF counts[1] <= most THEN
            RETURN jsonb_build_object('exact', true, 'rows', counts[1], 'values', counts[2:]);
        END IF;
    END IF;
    RETURN migrollback_schema.estimated_values(members, columns);
END $function$;
COMMENT ON FUNCTION migrollback_schema.count_values_within(oid, text[], text[], int) IS
    'How many rows a table has, its partitions and children included, and how many values that are not NULL each of '
    'these columns, or how many rows for which a check (an expression over x.column) holds. exact: counted; false '
    'when there are more rows than `most` (-1: do not look), row security hides some, or the caller has no right to '
    'look: then what the statistics say, NULL where they say nothing. unchecked: a check is an error, and values '
    'were counted. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.dropped_along(class oid, object oid)
RETURNS TABLE (relation oid, column_number int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
    WITH RECURSIVE gone (classid, objid, objsubid) AS (
        SELECT class, object, 0
        UNION
        SELECT d.classid, d.objid, d.objsubid FROM gone g
          JOIN pg_depend d ON d.refclassid = g.classid AND d.refobjid = g.objid
              AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid) AND d.deptype IN ('n', 'a', 'i', 'e', 'P', 'S'))
    SELECT c.oid, g.objsubid FROM gone g JOIN pg_class c ON c.oid = g.objid
     WHERE g.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p')
$function$;
COMMENT ON FUNCTION migrollback_schema.dropped_along(oid, oid) IS
    'Tables (column 0) and columns that go when an object is dropped with CASCADE. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.destroyed_targets("values" jsonb, search_path text)
RETURNS TABLE (place int, statement_number int, what text, relation oid, column_number int, is_certain boolean,
               is_partial boolean, new_type oid, new_modifier int, is_cast boolean, is_explicit boolean)
LANGUAGE plpgsql VOLATILE ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
    -- a few tables: looked up, not hashed with all the others; planned once
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
    objects oid[];
    types   oid[];
BEGIN
    SELECT migrollback_schema.named_objects(array_agg(coalesce(v."of", 'table') ORDER BY v.place),
                                            array_agg(v.schema ORDER BY v.place), array_agg(v."table" ORDER BY v.place),
                                            search_path),
           migrollback_schema.named_objects(array_agg('type text'::text ORDER BY v.place),
                                            array_agg(NULL::text ORDER BY v.place), array_agg(v.type ORDER BY v.place),
                                            search_path)
      INTO objects, types
      FROM ROWS FROM (jsonb_to_recordset("values") AS (schema text, "table" text, "of" text, type text))
           WITH ORDINALITY AS v (schema, "table", "of", type, place);
    RETURN QUERY
    WITH said AS (
        SELECT v.place::int AS place, v.statement, v.what, coalesce(v."of", 'table') AS "of", v."column",
               coalesce(v.certain, true) AS certain, coalesce(v."where", false) AS partial, v.mods,
               coalesce(v."cast", true) AS "cast", coalesce(v.explicit, false) AS explicit,
               coalesce(v.cascade, false) AS cascade, coalesce(v.new, false) AS new,
               o.object, o.type
        FROM ROWS FROM (jsonb_to_recordset("values") AS (
                 statement int, what text, "of" text, "column" text, certain boolean, "where" boolean, mods int[],
                 "cast" boolean, explicit boolean, cascade boolean, new boolean), unnest(objects, types))
             WITH ORDINALITY AS v (statement, what, "of", "column", certain, "where", mods, "cast", explicit, cascade,
                                   new, object, type, place)
        CROSS JOIN LATERAL (SELECT v.object, v.type) o
        WHERE o.object IS NOT NULL),
    found AS (
        SELECT s.place, s.what, s.object AS relation, 0 AS column_number FROM said s
         WHERE s."of" = 'table' AND s."column" IS NULL
        UNION ALL
        SELECT s.place, s.what, s.object, -1 FROM said s WHERE s.new
        UNION ALL
        SELECT s.place, s.what, a.attrelid, a.attnum::int FROM said s
          JOIN pg_attribute a ON a.attrelid = s.object AND a.attname = s."column" AND a.attnum > 0
                             AND a.attgenerated = ''
         WHERE s."of" = 'table' AND NOT s.new
        UNION ALL
        SELECT s.place, 'rewritten', a.attrelid, a.attnum::int FROM said s
          JOIN pg_attribute a ON a.atttypid = s.object AND a.attnum > 0 AND NOT a.attisdropped
         WHERE s."of" = 'attribute'
        UNION ALL
        SELECT s.place, CASE WHEN d.column_number = 0 THEN 'table dropped' ELSE 'column dropped' END, d.relation,
               d.column_number
          FROM said s
         CROSS JOIN LATERAL (
             SELECT CASE s."of" WHEN 'schema' THEN 'pg_namespace'::regclass WHEN 'type' THEN 'pg_type'::regclass
                                WHEN 'collation' THEN 'pg_collation'::regclass
                                WHEN 'extension' THEN 'pg_extension'::regclass END::oid AS class, s.object
              WHERE s."of" <> 'role'
             UNION ALL SELECT 'pg_class'::regclass, c.oid FROM pg_class c
              WHERE s."of" = 'role' AND c.relowner = s.object AND c.relkind IN ('r', 'p')
             UNION ALL SELECT 'pg_namespace'::regclass, n.oid FROM pg_namespace n
              WHERE s."of" = 'role' AND n.nspowner = s.object
             UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t
              WHERE s."of" = 'role' AND t.typowner = s.object AND t.typtype IN ('e', 'd', 'c', 'r')) e
         CROSS JOIN LATERAL migrollback_schema.dropped_along(e.class, e.object) d
         WHERE s."of" IN ('schema', 'type', 'collation', 'extension', 'role')
        UNION ALL                       -- what refers to a table goes with it when it is truncated with CASCADE
        SELECT s.place, s.what, r.oid, 0 FROM said s
         CROSS JOIN LATERAL (
             WITH RECURSIVE refers (oid) AS (
                 SELECT s.object UNION SELECT k.conrelid FROM refers f
                   JOIN pg_constraint k ON k.confrelid = f.oid AND k.contype = 'f')
             SELECT f.oid FROM refers f WHERE f.oid <> s.object) r
         WHERE s.cascade)
    SELECT DISTINCT ON (f.what, f.relation, f.column_number, s.statement)
           s.place, s.statement, f.what, f.relation, f.column_number, s.certain OR s."of" <> 'table', s.partial,
           s.type, migrollback_schema.type_modifier(s.type, s.mods),
           CASE WHEN s."of" <> 'attribute' THEN s."cast" END, s.explicit
      FROM found f JOIN said s ON s.place = f.place
      JOIN pg_class c ON c.oid = f.relation AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
     ORDER BY f.what, f.relation, f.column_number, s.statement, s.place;
END $function$;
COMMENT ON FUNCTION migrollback_schema.destroyed_targets(jsonb, text) IS
    'Which tables and columns (column_number 0: the table; -1: a column of it that is added and filled, which destroys '
    'nothing) that are there now an up migration or a rollback names as destroyed; "values": as the parser wrote them '
    'to migration_history.metadata (destroys, or drops of the rollback); what goes with a schema, type, extension or '
    'role is resolved. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.count_destroyed_targets("values" jsonb, search_path text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
    -- a few tables: looked up, not hashed with all the others
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $function$
DECLARE
    until   constant timestamptz := clock_timestamp() + interval '2 s';
    counted jsonb;
    one     record;
    targets jsonb := '[]';
BEGIN
    IF jsonb_array_length("values") = 0 THEN
        RETURN targets;
    END IF;
    FOR one IN
        SELECT t.relation, format('%I.%I', n.nspname, c.relname) AS identity,
               array_agg(coalesce(a.attname, '') ORDER BY t.place, t.column_number)::text[] AS columns,
               -- which values come back if the old type does
               array_agg(CASE WHEN t.what = 'rewritten' AND t.is_cast AND t.new_type IS NOT NULL
                              THEN format('x.%1$I::%2$s::%3$s::text COLLATE "C" IS DISTINCT FROM x.%1$I::text',
                                          a.attname, format_type(t.new_type, t.new_modifier),
                                          format_type(a.atttypid, a.atttypmod)) END
                         ORDER BY t.place, t.column_number) AS checks,
               jsonb_agg(jsonb_build_object(
                   'statement', t.statement_number, 'what', t.what, 'relation', t.relation,
                   'column', t.column_number, 'certain', t.is_certain, 'partial', t.is_partial,
                   'identity', format('%I.%I', n.nspname, c.relname) || coalesce('.' || quote_ident(a.attname), ''),
                   'type', a.atttypid, 'modifier', a.atttypmod, 'cast', t.is_cast, 'explicit', t.is_explicit,
                   'file', c.relfilenode, 'kind', c.relkind)
                         ORDER BY t.place, t.column_number) AS targets
          FROM migrollback_schema.destroyed_targets("values", search_path) t
          JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum = t.column_number AND t.column_number > 0
         GROUP BY t.relation, n.nspname, c.relname ORDER BY min(t.place)
    LOOP
        counted := migrollback_schema.count_values_within(
            one.relation, ARRAY(SELECT c FROM unnest(one.columns) AS c WHERE c <> ''),
            ARRAY(SELECT x.test FROM unnest(one.columns, one.checks) AS x (name, test) WHERE x.name <> ''),
            CASE WHEN clock_timestamp() < until THEN 100000 ELSE -1 END);
        targets := targets || (
            SELECT jsonb_agg(e.target || jsonb_build_object(
                       'rows', CASE WHEN (e.target ->> 'column')::int = 0 THEN counted -> 'rows'
                                    ELSE counted #> ARRAY['values', (e.number - 1)::text] END,
                       'total', counted -> 'rows', 'exact', counted -> 'exact',
                       'checked', one.checks[e.place] IS NOT NULL AND NOT counted ? 'unchecked'
                           AND (counted ->> 'exact')::boolean) ORDER BY e.place)
              FROM (SELECT t.target, t.place,
                           count(*) FILTER (WHERE (t.target ->> 'column')::int > 0) OVER (ORDER BY t.place) AS number
                      FROM jsonb_array_elements(one.targets) WITH ORDINALITY AS t (target, place)) e);
    END LOOP;
    RETURN targets;
END $function$;
COMMENT ON FUNCTION migrollback_schema.count_destroyed_targets(jsonb, text) IS
    'destroyed_targets() with their rows and values, counted now, after 2 s estimated: an array of objects. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.unseen_baseline(mentioned text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    our_tables constant oid[] := migrollback_schema.migration_system_tables();
    until      constant timestamptz := clock_timestamp() + interval '300 ms';
    one        record;
    counted    jsonb;
    relations  jsonb[] := '{}';
BEGIN
    FOR one IN
        SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS identity, c.relfilenode, c.relkind, c.relispartition,
               strpos(lower(mentioned), lower(c.relname)) > 0 AS is_named,
               nullif(c.reltuples, -1)::bigint AS known,
               array_agg(a.attname::text ORDER BY a.attnum) AS columns,
               array_agg(a.attnum ORDER BY a.attnum) AS numbers, array_agg(a.atttypid ORDER BY a.attnum) AS types,
               array_agg(a.atttypmod ORDER BY a.attnum) AS modifiers
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
         WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384 AND c.oid <> ALL (our_tables) AND c.relpersistence <> 't'
           AND n.nspname !~ '^pg_' AND n.nspname <> 'migrollback_archive'
         GROUP BY c.oid, n.nspname
    LOOP
        counted := NULL;
        IF one.is_named AND NOT one.relispartition AND clock_timestamp() < until THEN
            counted := migrollback_schema.count_values_within(
                one.oid, one.columns, array_fill(NULL::text, ARRAY[cardinality(one.columns)]), 100000);
        END IF;
        relations := relations || jsonb_build_object(
            'relation', one.oid, 'identity', one.identity, 'file', one.relfilenode, 'kind', one.relkind,
            'rows', coalesce(counted -> 'rows', to_jsonb(one.known)), 'exact', coalesce((counted ->> 'exact')::boolean,
                                                                                       false),
            'columns', to_jsonb(one.columns), 'numbers', to_jsonb(one.numbers), 'types', to_jsonb(one.types),
            'modifiers', to_jsonb(one.modifiers), 'values', counted -> 'values');
    END LOOP;
    RETURN to_jsonb(relations);
END $function$;
COMMENT ON FUNCTION migrollback_schema.unseen_baseline(text) IS
    'All tables but ours with their columns, to compare with after SQL has run of which no text says what it does; '
    'mentioned: texts, tables named in them are counted, others estimated. Does not write.';
