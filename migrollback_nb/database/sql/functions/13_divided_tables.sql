-- ---------------------------------------------------------------------------------------------------
-- Tables that hold the rows of several scopes, and the views in their places that show those of the session's scope.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.divided_table_names() RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT ARRAY(SELECT t.name FROM unnest(<<tables>>) AS t (name)
                  WHERE t.name <> ALL ('{migration_system_files,migration_gate,migration_event_gate,migration_scopes}'))
$function$;
COMMENT ON FUNCTION migrollback_schema.divided_table_names() IS
    'The tables of this system of which each scope has rows of its own. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_table(name text) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(to_regclass(format('%s.%I', 'migrollback_schema', name || '_of_scopes')),
                    to_regclass(format('%s.%I', 'migrollback_schema', name)))
$function$;
COMMENT ON FUNCTION migrollback_schema.migration_table(text) IS
    'The table of this system that holds the rows of this name, where a view may have the name. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.migration_row_xmin(name text, key text, value bigint) RETURNS xid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    rows  constant regclass := migrollback_schema.migration_table(name);
    found xid;
BEGIN
    -- a view has no xmin
    EXECUTE format('SELECT t.xmin FROM %s t WHERE t.%I = $1%s', rows, key,
                   CASE WHEN rows <> to_regclass(format('%s.%I', 'migrollback_schema', name))
                        THEN ' AND t.scope = $2' END)
       INTO found USING value, migrollback_schema.migration_scope_name();
    RETURN found;
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_row_xmin(text, text, bigint) IS
    'By which transaction, or part of one, a row of one of this system''s tables was written. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.scoped_definition(definition text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT replace(regexp_replace(definition, '_of_scopes\M', '', 'g'), '(scope, ', '(')
$function$;
COMMENT ON FUNCTION migrollback_schema.scoped_definition(text) IS
    'The definition of a constraint, index or trigger of a table of this system as it is where there are no scopes: '
    'what install compares. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.add_scope_to_keys(tables regclass[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one   record;
    again text[] := '{}';               -- foreign keys, when the keys that they refer to are there
BEGIN
    FOR one IN
        SELECT k.conrelid::regclass AS relation, k.conname, k.contype, t.columns, f.columns AS referred,
               k.confrelid::regclass AS target
          FROM pg_constraint k
         CROSS JOIN LATERAL (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY x.place) AS columns,
                                    bool_or(a.attname = 'scope') AS is_scoped
                               FROM unnest(k.conkey) WITH ORDINALITY AS x (number, place)
                               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.number) t
         CROSS JOIN LATERAL (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY x.place) AS columns
                               FROM unnest(k.confkey) WITH ORDINALITY AS x (number, place)
                               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.number) f
         WHERE k.conrelid = ANY (tables) AND k.contype IN ('p', 'u', 'f') AND NOT t.is_scoped
         ORDER BY k.contype, k.conname  -- foreign keys first
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.relation, one.conname);
        IF one.contype = 'f' THEN
            again := again || format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (scope, %s) REFERENCES %s (scope, '
                                     '%s)', one.relation, one.conname, one.columns, one.target, one.referred);
        ELSE
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s (scope, %s)', one.relation, one.conname,
                           CASE one.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, one.columns);
        END IF;
    END LOOP;
    FOR one IN
        SELECT i.indexrelid::regclass AS index, pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
         WHERE i.indrelid = ANY (tables) AND pg_get_indexdef(i.indexrelid) !~ ' USING btree \(scope[,)]'
           AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))
    LOOP
        EXECUTE format('DROP INDEX %s', one.index);
        EXECUTE regexp_replace(one.definition, ' USING btree \(', ' USING btree (scope, ');
    END LOOP;
    FOR one IN SELECT s.statement FROM unnest(again) AS s (statement) LOOP
        EXECUTE one.statement;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.add_scope_to_keys(regclass[]) IS
    'Writes: puts the column scope before the columns of the keys and indexes of these tables that lack it.';

CREATE OR REPLACE FUNCTION migrollback_schema.divide_migration_tables() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    space  constant text := 'migrollback_schema';
    tables regclass[] := ARRAY(SELECT c.oid::regclass FROM pg_class c
                                WHERE c.relnamespace = space::regnamespace AND c.relkind = 'r'
                                  AND c.relname = ANY (migrollback_schema.divided_table_names()));
    one    record;
    part   record;
    found  oid;
BEGIN
    FOR one IN SELECT t.oid FROM unnest(tables) AS t (oid)
                WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'scope')
    LOOP
        EXECUTE format('ALTER TABLE %s ADD COLUMN scope text NOT NULL DEFAULT ''''', one.oid);
        EXECUTE format('ALTER TABLE %s ALTER COLUMN scope SET DEFAULT coalesce(current_setting(''migrollback.scope'', '
                       'true), '''')', one.oid);
    END LOOP;
    PERFORM migrollback_schema.add_scope_to_keys(tables);
    FOR one IN
        SELECT c.oid, c.relname AS name, c.relowner, c.relacl, obj_description(c.oid, 'pg_class') AS comment,
               (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'scope') AS columns
          FROM pg_class c WHERE c.oid = ANY (tables) ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE %s.%I RENAME TO %I', space, one.name, one.name || '_of_scopes');
        found := to_regclass(format('%s.%I', space, one.name || '_of_one'));
        IF found IS NOT NULL THEN
            EXECUTE format('ALTER VIEW %s RENAME TO %I', found::regclass, one.name);
        END IF;
        -- a view reads with its owner's rights, past the policies of the table
        EXECUTE format('CREATE OR REPLACE VIEW %s.%I AS SELECT %s FROM %s.%I WHERE scope = '
                       'coalesce(current_setting(''migrollback.scope'', true), '''') '
                       'AND current_user <> ALL (''{anon,authenticated,service_role}''::name[])', space, one.name,
                       one.columns, space, one.name || '_of_scopes');
        EXECUTE format('COMMENT ON VIEW %s.%I IS %L', space, one.name, one.comment);
        EXECUTE format('COMMENT ON COLUMN %s.%I.scope IS ''Of which scope the row is; empty: of the whole database.''',
                       space, one.name || '_of_scopes');
        FOR part IN SELECT a.attname, col_description(one.oid, a.attnum) AS comment FROM pg_attribute a
                     WHERE a.attrelid = one.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'scope' LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I.%I IS %L', space, one.name, part.attname, part.comment);
        END LOOP;
        CONTINUE WHEN found IS NOT NULL;
        -- what was granted to read the table reads the view
        FOR part IN SELECT a.grantee, a.privilege_type, a.is_grantable FROM aclexplode(one.relacl) a
                     WHERE a.grantee NOT IN (0, one.relowner) LOOP
            EXECUTE format('GRANT %s ON %s.%I TO %s%s', part.privilege_type, space, one.name, part.grantee::regrole,
                           CASE WHEN part.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
        END LOOP;
        -- where it was recorded is known by the name's oid
        IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = one.oid AND a.attname = 'recorded_in') THEN
            EXECUTE format('UPDATE %s SET recorded_in = %L::regclass WHERE recorded_in = %s', one.oid::regclass,
                           format('%s.%I', space, one.name), one.oid);
        END IF;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.divide_migration_tables() IS
    'Writes: gives each of divided_table_names() that is a table a column scope, another name (with _of_scopes), and a '
    'view in its place, which shows the rows of the session''s scope. What was there is of the empty scope. The caller '
    'holds the gate of the whole database. Again: does nothing.';

CREATE OR REPLACE FUNCTION migrollback_schema.unite_migration_tables() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    space constant text := 'migrollback_schema';
    one   record;
BEGIN
    FOR one IN
        SELECT c.relname AS name FROM pg_class c
         WHERE c.relnamespace = space::regnamespace AND c.relkind = 'v'
           AND c.relname = ANY (migrollback_schema.divided_table_names()) ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER VIEW %s.%I RENAME TO %I', space, one.name, one.name || '_of_one');
        EXECUTE format('ALTER TABLE %s.%I RENAME TO %I', space, one.name || '_of_scopes', one.name);
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.unite_migration_tables() IS
    'Writes: gives the tables of divide_migration_tables() their names back, with the rows of all scopes: for install, '
    'whose files change tables and not views, and which divides them again.';

CREATE OR REPLACE FUNCTION migrollback_schema.adapt_system_rollback() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    space constant text := 'migrollback_schema';
    own   migrollback_schema.migration_history;
    parts text[];
BEGIN
    SELECT * INTO STRICT own FROM migrollback_schema.migration_history h
     WHERE migrollback_schema.is_system_migration(h.migration_name);
    parts := ARRAY(
        SELECT p.part FROM (
            SELECT 0 AS place, 0 AS step, format('DROP TABLE IF EXISTS %s.%I', space, c.relname) AS part
              FROM pg_class c
             WHERE c.relnamespace = space::regnamespace AND c.relkind = 'r'
               AND c.relname ~ '^migration_(event_)?gate_[0-9a-f]{12}$'
            UNION ALL
            SELECT o.place, v.step, v.part
              FROM (SELECT s.place, convert_from(substring(convert_to(own.rollback_sql, 'UTF8')
                               FROM (s.span ->> 0)::int + 1 FOR (s.span ->> 1)::int), 'UTF8') AS part
                      FROM jsonb_array_elements(own.metadata #> '{rollback,statements}') WITH ORDINALITY
                           AS s (span, place)) o
              LEFT JOIN unnest(migrollback_schema.divided_table_names()) AS t (name)
                     ON o.part = format('DROP TABLE IF EXISTS %s.%I', space, t.name)
             CROSS JOIN LATERAL (VALUES
                 (1, CASE WHEN t.name IS NULL THEN o.part
                          ELSE format('DROP VIEW IF EXISTS %s.%I', space, t.name) END),
                 (2, CASE WHEN t.name IS NOT NULL
                          THEN format('DROP TABLE IF EXISTS %s.%I', space, t.name || '_of_scopes') END)
                 ) AS v (step, part)
             WHERE v.part <> '') p
         ORDER BY p.place, p.step, p.part COLLATE "C");
    -- what is there already of an earlier scope
    parts := ARRAY(SELECT f.part FROM (SELECT u.part, min(u.place) AS place
                                         FROM unnest(parts) WITH ORDINALITY AS u (part, place) GROUP BY u.part) f
                    ORDER BY f.place);
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    UPDATE migrollback_schema.migration_history h
       SET rollback_sql = n.text, metadata = jsonb_set(jsonb_set(h.metadata, '{rollback,md5}', to_jsonb(md5(
               convert_to(n.text, 'UTF8')))), '{rollback,statements}', n.statements)
      FROM (SELECT string_agg(s.part || ';', E'\n' ORDER BY s.place) AS text,
                   jsonb_agg(jsonb_build_array(s.start - s.size - 2, s.size, s.line) ORDER BY s.place) AS statements
              FROM (SELECT u.part, u.place, octet_length(convert_to(u.part, 'UTF8')) AS size,
                           sum(octet_length(convert_to(u.part, 'UTF8')) + 2) OVER (ORDER BY u.place) AS start,
                           1 + sum(1 + length(u.part) - length(replace(u.part, E'\n', ''))) OVER (ORDER BY u.place)
                               - (1 + length(u.part) - length(replace(u.part, E'\n', ''))) AS line
                      FROM unnest(parts) WITH ORDINALITY AS u (part, place)) s) n
     WHERE h.id = own.id;
    PERFORM set_config('migrollback.recording', '', true);
END $function$;
COMMENT ON FUNCTION migrollback_schema.adapt_system_rollback() IS
    'Writes: what rolls the system itself back, where its tables are divided into scopes: drops their views, the '
    'tables behind them and what is locked for each scope. Without an event: its caller writes one.';
