-- ---------------------------------------------------------------------------------------------------
-- Archives: the schema that holds what was kept, closed to others, and how a column is kept and found again.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.archive_setting(name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT nullif(btrim(current_setting('migrollback.' || name, true)), '')
$function$;
COMMENT ON FUNCTION migrollback_schema.archive_setting(text) IS
    'A setting of ours (archive, archive_tables, archive_budget, archive_rows, on_conflict, disable_triggers), NULL '
    'where it is not set. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_archiving() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(lower(migrollback_schema.archive_setting('archive')) IN ('on', 'true', 'yes', '1'), false)
$function$;
COMMENT ON FUNCTION migrollback_schema.is_archiving() IS
    'Whether the setting migrollback.archive is on. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.is_table_archived(table_schema text, table_name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(bool_or(m.matches) FILTER (WHERE NOT p.leaves_out), bool_and(p.leaves_out), true)
           AND NOT coalesce(bool_or(m.matches) FILTER (WHERE p.leaves_out), false)
      FROM (SELECT starts_with(w, '!') AS leaves_out, ltrim(w, '!') AS pattern
              FROM regexp_split_to_table(migrollback_schema.archive_setting('archive_tables'), '[,[:space:]]+') AS w
             WHERE w <> '') p
     CROSS JOIN LATERAL (
         -- without a schema: in any
         SELECT CASE WHEN strpos(p.pattern, '.') > 0 THEN table_schema || '.' ELSE '' END || table_name
                LIKE replace(regexp_replace(p.pattern, '([\\%_])', '\\\1', 'g'), '*', '%') AS matches) m
$function$;
COMMENT ON FUNCTION migrollback_schema.is_table_archived(text, text) IS
    'Whether the setting migrollback.archive_tables keeps what is destroyed of this table: patterns (public.*, '
    'orders), one of which must match, and !patterns, none of which may. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.system_owner() RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT c.relowner FROM pg_class c WHERE c.oid = to_regclass('migrollback_schema' || '.migration_history')
$function$;
COMMENT ON FUNCTION migrollback_schema.system_owner() IS 'The role that owns the system''s tables. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_schema_problem() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE
        WHEN n.nspowner <> migrollback_schema.system_owner() THEN format(
            'Schema migrollback_archive belongs to %s and not to %s, who owns the rollback system', n.nspowner::regrole,
            migrollback_schema.system_owner()::regrole)
        WHEN g.others IS NOT NULL THEN format('Schema migrollback_archive is open to %s', g.others) END
      FROM pg_namespace n
     CROSS JOIN LATERAL (
         SELECT string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, ', ')
             AS others
           FROM aclexplode(n.nspacl) a WHERE a.grantee <> n.nspowner) g
     WHERE n.nspname = 'migrollback_archive'
$function$;
COMMENT ON FUNCTION migrollback_schema.archive_schema_problem() IS
    'Why nothing may be kept in schema migrollback_archive: another role owns it, or has rights in it; NULL where '
    'nothing is wrong, or there is no such schema. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.close_archive(kind text, object oid, identity text, owner oid)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    holder oid;
BEGIN
    -- what default privileges have opened
    FOR holder IN
        SELECT DISTINCT a.grantee FROM (SELECT c.relacl AS acl, c.relowner AS owner FROM pg_class c
                                         WHERE kind = 'TABLE' AND c.oid = object
                                        UNION ALL SELECT n.nspacl, n.nspowner FROM pg_namespace n
                                         WHERE kind = 'SCHEMA' AND n.oid = object) o
         CROSS JOIN LATERAL aclexplode(o.acl) a WHERE a.grantee <> o.owner
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', kind, identity,
                       CASE WHEN holder = 0 THEN 'PUBLIC' ELSE holder::regrole::text END);
    END LOOP;
    IF owner <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) THEN
        EXECUTE format('ALTER %s %s OWNER TO %s', kind, identity, owner::regrole);
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.close_archive(text, oid, text, oid) IS
    'Writes: takes every right on a table or schema that this transaction has made from all but its owner, and gives '
    'it to the owner of the system.';

CREATE OR REPLACE FUNCTION migrollback_schema.ensure_archive_schema() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    problem text;
BEGIN
    IF to_regnamespace('migrollback_archive') IS NULL THEN
        CREATE SCHEMA migrollback_archive;
        -- in which order statements wrote
        CREATE SEQUENCE migrollback_archive.batches;
        PERFORM migrollback_schema.close_archive('TABLE', 'migrollback_archive.batches'::regclass,
                                                 'migrollback_archive.batches', migrollback_schema.system_owner());
        PERFORM migrollback_schema.close_archive('SCHEMA', 'migrollback_archive'::regnamespace, 'migrollback_archive',
                                                 migrollback_schema.system_owner());
    END IF;
    problem := migrollback_schema.archive_schema_problem();
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem
            USING ERRCODE = 'MR040', HINT = 'Nothing was changed. Look who made it, and what is in it: drop it, or '
                'REVOKE ALL ON SCHEMA migrollback_archive from them, and try again.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.ensure_archive_schema() IS
    'Writes where it must: makes schema migrollback_archive, with rights for its owner alone. SQLSTATE MR040: there is '
    'one that another role owns, or has rights in.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_columns(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    -- Kept as it is only what PostgreSQL itself brings: a type of the user's could not be dropped by the migration.
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'number', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
               'type_id', a.atttypid, 'modifier', a.atttypmod, 'native', b.native,
               'stored', CASE WHEN b.native THEN format_type(b.oid, -1) ELSE 'text' END,
               'domain', b.oid <> a.atttypid, 'collated', b.native AND a.attcollation <> 0,
               'generated', a.attgenerated <> '', 'always', a.attidentity = 'a') ORDER BY a.attnum), '[]')
      FROM pg_attribute a
     CROSS JOIN LATERAL (
         WITH RECURSIVE step (oid, kind, base) AS (
             SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
             UNION ALL SELECT t.oid, t.typtype, t.typbasetype FROM step s JOIN pg_type t ON t.oid = s.base
              WHERE s.kind = 'd')
         SELECT t.oid, t.oid < 16384 AND t.typtype IN ('b', 'r', 'm') AND t.typnamespace = 'pg_catalog'::regnamespace
             AS native
           FROM step s JOIN pg_type t ON t.oid = s.oid WHERE s.kind <> 'd') b
     WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
$function$;
COMMENT ON FUNCTION migrollback_schema.archive_columns(oid) IS
    'The columns of a table and how an archive keeps each: number, name, type, type_id, modifier, native (as it is; '
    'else as text), stored (the type there), domain, collated, generated, always (an identity that is always '
    'generated). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.kept_expression(col jsonb, alias text, name text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- concat() calls the type's output function, and never a cast that a user has made
    SELECT CASE WHEN (col ->> 'native')::boolean
                THEN format('%s.%I', alias, name)
                     || CASE WHEN (col ->> 'domain')::boolean THEN '::' || (col ->> 'stored') ELSE '' END
                     || CASE WHEN (col ->> 'collated')::boolean THEN ' COLLATE pg_catalog."C"' ELSE '' END
                ELSE format('CASE WHEN %1$s.%2$I IS DISTINCT FROM NULL THEN pg_catalog.concat(%1$s.%2$I) END', alias,
                            name) END
$function$;
COMMENT ON FUNCTION migrollback_schema.kept_expression(jsonb, text, text) IS
    'SQL of what is kept of a column (of archive_columns()) that is called `name` there. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_key(relation oid, without text[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
    SELECT k.names FROM pg_index i
     CROSS JOIN LATERAL (
         SELECT array_agg(a.attname::text ORDER BY u.place) AS names, bool_and(a.attnotnull) AS filled
           FROM unnest(i.indkey) WITH ORDINALITY AS u (number, place)
           JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = u.number AND u.place <= i.indnkeyatts) k
     WHERE i.indrelid = relation AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
       AND i.indexprs IS NULL AND k.filled AND NOT k.names && coalesce(without, '{}')
     ORDER BY i.indisprimary DESC, cardinality(k.names), i.indexrelid LIMIT 1
$function$;
COMMENT ON FUNCTION migrollback_schema.archive_key(oid, text[]) IS
    'The columns by which rows of a table are found again: primary key, or a unique one that is not null, that has '
    'none of these columns; NULL where there is none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.archive_size(relation oid, columns text[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off AS $function$
DECLARE
    counted bigint[];
BEGIN
    EXECUTE format('SELECT ARRAY[count(*), coalesce(sum(28 + %s), 0)::bigint] FROM %s x', coalesce(
        (SELECT string_agg(format('coalesce(pg_column_size(x.%I), 0)', c.name), ' + ') FROM unnest(columns) AS c
          (name)), '0'), relation::regclass) INTO counted;
    RETURN counted;
END $function$;
COMMENT ON FUNCTION migrollback_schema.archive_size(oid, text[]) IS
    'How many rows a table has, and how many bytes these columns of it take. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_large_archive(rows bigint, bytes bigint) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    most_rows  constant bigint := migrollback_schema.archive_setting('archive_rows')::bigint;
    most_bytes constant bigint := pg_size_bytes(migrollback_schema.archive_setting('archive_budget'));
BEGIN
    IF rows > most_rows OR bytes > most_bytes THEN
        RAISE EXCEPTION 'The archive would take % rows and %, more than the budget of %', rows, pg_size_pretty(bytes),
            concat_ws(' and ', most_rows || ' rows', pg_size_pretty(most_bytes))
            USING ERRCODE = 'MR041', HINT = 'Nothing was changed. Give it more (--archive-budget, --archive-rows), or '
                'apply it without --archive: then what it destroys is lost.';
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_large_archive(bigint, bigint) IS
    'Refuses an archive of this size (SQLSTATE MR041) where migrollback.archive_budget or migrollback.archive_rows is '
    'less. Does not write.';
