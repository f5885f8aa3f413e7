-- ---------------------------------------------------------------------------------------------------
-- What the identity of a schema object says: its schema, its table, its own name.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.unquoted_identifier(identifier text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE WHEN left(identifier, 1) = '"' THEN replace(substr(identifier, 2, length(identifier) - 2), '""', '"')
           ELSE identifier END
$function$;
COMMENT ON FUNCTION migrollback_schema.unquoted_identifier(text) IS
    'An identifier without its quotes, the inverse of quote_ident(). Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.object_names(
    kind text, identity text, table_identity text DEFAULT NULL,
    OUT schema text, OUT "table" text, OUT object text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- one identifier, quoted or not: schema.name, schema.name.part, "schema.name part", and what else follows
    pattern constant text := '^(N)(?:\.(N))?(?:\.(N))?(?: (N))?';
    name    constant text := '"(?:[^"]|"")*"|[^[:space:].,()"]+';
    plain   text := identity;               -- of a comment, a grant or a label: what it is about
    about   text := kind;
    parts   text[];
    place   int;
BEGIN
    IF kind IN ('comment', 'security label', 'grant') THEN
        -- as pg_identify_object() says it: "table column public.t.c", "trigger x on public.t"
        parts := regexp_match(identity, '^((?:table column|view column|materialized view column|foreign table column'
                              '|composite type column|table constraint|domain constraint|materialized view'
                              '|foreign table|event trigger|text search [a-z]+|operator class|operator family'
                              '|access method|foreign-data wrapper|user mapping|[a-z]+)) (.*)$');
        about := CASE WHEN parts[1] LIKE '%column' THEN 'column' WHEN parts[1] = 'relation' THEN 'table'
                      ELSE coalesce(parts[1], kind) END;
        plain := coalesce(parts[2], identity);
        place := strpos(plain, ' on ');
        IF place > 0 AND about IN ('table constraint', 'trigger', 'rule', 'policy') THEN
            plain := substr(plain, place + 4) || ' ' || left(plain, place - 1);
        END IF;
    END IF;
    IF about IN ('cast', 'transform', 'operator', 'operator class', 'operator family', 'user mapping', 'setting',
                 'default grant', 'database') THEN
        object := plain;
        RETURN;
    END IF;
    parts := regexp_match(plain, replace(pattern, 'N', name));
    IF parts IS NULL THEN
        object := plain;
    ELSIF parts[2] IS NULL THEN             -- a schema, an extension, a role ...: no schema holds it
        schema := CASE WHEN about = 'schema' THEN migrollback_schema.unquoted_identifier(parts[1]) END;
        object := migrollback_schema.unquoted_identifier(parts[1]);
    ELSE
        schema := migrollback_schema.unquoted_identifier(parts[1]);
        object := migrollback_schema.unquoted_identifier(coalesce(parts[4], parts[3], parts[2]));
        "table" := CASE
            WHEN about IN ('column', 'constraint', 'table constraint', 'trigger', 'rule', 'policy', 'table', 'view',
                           'partitioned table', 'foreign table', 'materialized view')
                THEN parts[1] || '.' || parts[2]
            ELSE table_identity END;
    END IF;
END $function$;
COMMENT ON FUNCTION migrollback_schema.object_names(text, text, text) IS
    'What the identity of an object of schema_objects() says: schema and object, without quotes; "table": the table '
    'or view that it is or belongs to, as schema.name, quoted where it needs that. table_identity: of an index, '
    'statistics or sequence the table, which the identity does not name. NULL where there is none. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.table_of_object(kind text, identity text, class_id oid, object_id oid)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    relation oid;
BEGIN
    IF kind IN ('index', 'comment') THEN
        relation := (SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = object_id
                        AND class_id IN ('pg_class'::regclass, 'pg_description'::regclass)
                        AND (kind = 'index' OR identity LIKE 'index %'));
    ELSIF kind = 'statistics' THEN
        relation := (SELECT s.stxrelid FROM pg_statistic_ext s WHERE s.oid = object_id);
    ELSIF kind = 'sequence' THEN
        relation := (SELECT d.refobjid FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = object_id AND d.deptype IN ('a', 'i')
                        AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 LIMIT 1);
    ELSE
        RETURN NULL;
    END IF;
    RETURN coalesce(
        (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.oid = relation),
        -- it is no more: as the migration that made it knew it
        (SELECT o.table_identity FROM migrollback_schema.migration_objects o
          WHERE o.object_id = table_of_object.object_id AND o.class_id = table_of_object.class_id
            AND o.recorded_in = ('migrollback_schema' || '.migration_objects')::regclass
            AND o.table_identity IS NOT NULL
          ORDER BY o.recorded_at DESC LIMIT 1));
END $function$;
COMMENT ON FUNCTION migrollback_schema.table_of_object(text, text, oid, oid) IS
    'The table of an index, of statistics, of a sequence that a column owns, or of a comment on an index, as '
    'schema.name; NULL for what names its table itself, or has none. Does not write.';
