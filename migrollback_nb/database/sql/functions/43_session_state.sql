-- ---------------------------------------------------------------------------------------------------
-- What SQL leaves in the session beside settings: through a pooler the next client would find it.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.session_state() RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT jsonb_build_object(
        'locks', (SELECT coalesce(jsonb_agg(jsonb_build_array(l.classid::bigint, l.objid::bigint, l.objsubid, l.mode)
                                            ORDER BY l.classid, l.objid, l.objsubid, l.mode), '[]')
                    FROM pg_locks l
                   WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory' AND l.granted
                     AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())),
        'channels', (SELECT coalesce(jsonb_agg(c.channel ORDER BY c.channel), '[]')
                       FROM pg_listening_channels() AS c (channel)),
        'prepared', (SELECT coalesce(jsonb_agg(p.name ORDER BY p.name), '[]') FROM pg_prepared_statements p),
        'cursors', (SELECT coalesce(jsonb_agg(c.name ORDER BY c.name), '[]') FROM pg_cursors c WHERE c.is_holdable),
        -- most sessions have none, and then nothing is scanned
        'tables', (SELECT coalesce(jsonb_agg(c.oid::bigint ORDER BY c.oid), '[]') FROM pg_class c
                    WHERE pg_my_temp_schema() <> 0 AND c.relnamespace = pg_my_temp_schema()
                      AND c.relkind IN ('r', 'p', 'v', 'S', 'm')))
$function$;
COMMENT ON FUNCTION migrollback_schema.session_state() IS
    'What this session holds that ends with it, and not with the transaction: advisory locks (those of the transaction '
    'too: they cannot be told apart), channels, prepared statements, cursors WITH HOLD, temporary relations. Does not '
    'write.';

CREATE OR REPLACE FUNCTION migrollback_schema.free_advisory_lock(lock jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- that a lock of the transaction is no lock of the session is no warning to anyone
    SET client_min_messages = error AS $function$
DECLARE
    high   constant bigint := (lock ->> 0)::bigint;
    low    constant bigint := (lock ->> 1)::bigint;
    one    constant bigint := high << 32 | low;
    first  constant int := high::bit(32)::int;
    second constant int := low::bit(32)::int;
    shared constant boolean := lock ->> 3 = 'ShareLock';
    freed  boolean := false;
BEGIN
    WHILE CASE WHEN lock ->> 2 = '1'
               THEN CASE WHEN shared THEN pg_advisory_unlock_shared(one) ELSE pg_advisory_unlock(one) END
               ELSE CASE WHEN shared THEN pg_advisory_unlock_shared(first, second)
                         ELSE pg_advisory_unlock(first, second) END END
    LOOP
        freed := true;                  -- it may have been taken several times
    END LOOP;
    RETURN freed;
END $function$;
COMMENT ON FUNCTION migrollback_schema.free_advisory_lock(jsonb) IS
    'Frees an advisory lock of the session, as session_state() names it, however often it was taken; returns whether '
    'there was one. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.put_session_back(before jsonb, mentions_locks boolean) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    now_there constant jsonb := migrollback_schema.session_state();
    one       jsonb;
    name      text;
    cursor    refcursor;
    words     text[] := '{}';
BEGIN
    IF now_there <> before THEN
        FOR one IN SELECT l.value FROM jsonb_array_elements(now_there -> 'locks') l
                    WHERE NOT before -> 'locks' @> jsonb_build_array(l.value) LOOP
            IF migrollback_schema.free_advisory_lock(one) THEN
                words := words || format('advisory lock %s', CASE WHEN one ->> 2 = '1'
                    THEN ((one ->> 0)::bigint << 32 | (one ->> 1)::bigint)::text
                    ELSE format('(%s, %s)', (one ->> 0)::bigint::bit(32)::int, (one ->> 1)::bigint::bit(32)::int) END);
            END IF;
        END LOOP;
        FOR name IN SELECT p.name FROM jsonb_array_elements_text(now_there -> 'prepared') AS p (name)
                     WHERE NOT before -> 'prepared' ? p.name LOOP
            EXECUTE format('DEALLOCATE %I', name);
            words := words || format('prepared statement %I', name);
        END LOOP;
        FOR name IN SELECT c.name FROM jsonb_array_elements_text(now_there -> 'cursors') AS c (name)
                     WHERE NOT before -> 'cursors' ? c.name LOOP
            cursor := name;
            CLOSE cursor;
            words := words || format('cursor %I', name);
        END LOOP;
        FOR name IN SELECT format('%s %s', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE'
                                                          WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
                                  c.oid::regclass)
                      FROM pg_class c
                     WHERE pg_my_temp_schema() <> 0 AND c.relnamespace = pg_my_temp_schema()
                       AND c.relkind IN ('r', 'p', 'v', 'S', 'm')
                       AND NOT before -> 'tables' @> to_jsonb(c.oid::bigint)
                       -- what belongs to another goes with it
                       AND NOT EXISTS (SELECT FROM pg_depend d
                                       WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                         AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass)
                     ORDER BY c.oid LOOP
            EXECUTE format('DROP %s CASCADE', name);
            words := words || ('temporary ' || lower(split_part(name, ' ', 1)) || substr(name, strpos(name, ' ')));
        END LOOP;
    END IF;
    -- a LISTEN of this transaction shows nowhere yet
    EXECUTE 'UNLISTEN *';
    FOR name IN SELECT c.name FROM jsonb_array_elements_text(before -> 'channels') AS c (name) LOOP
        EXECUTE format('LISTEN %I', name);
    END LOOP;
    IF mentions_locks AND jsonb_array_length(before -> 'locks') > 0 THEN
        RAISE NOTICE 'This session held advisory locks before; whether the SQL has taken one of them once more cannot '
                     'be seen: %', (SELECT string_agg(DISTINCT CASE WHEN l.value ->> 2 = '1'
                THEN ((l.value ->> 0)::bigint << 32 | (l.value ->> 1)::bigint)::text
                ELSE format('(%s, %s)', (l.value ->> 0)::bigint::bit(32)::int,
                            (l.value ->> 1)::bigint::bit(32)::int) END, ', ')
            FROM jsonb_array_elements(before -> 'locks') l);
    END IF;
    RETURN words;
END $function$;
COMMENT ON FUNCTION migrollback_schema.put_session_back(jsonb, boolean) IS
    'Frees what the session holds since session_state() gave this: advisory locks, prepared statements, cursors WITH '
    'HOLD, temporary relations, channels. Returns it in words, channels apart. mentions_locks: a notice names the '
    'locks that were held before, of which it cannot be seen whether they were taken once more. Does not write.';
