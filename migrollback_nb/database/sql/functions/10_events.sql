-- ---------------------------------------------------------------------------------------------------
-- Audit log. Append-only, and each row carries the hash of the row before it.
-- ---------------------------------------------------------------------------------------------------

-- A netstring for each field (its length in bytes, a colon, its text, a comma) and '-,' for NULL: no two rows share a
-- payload,
-- and a reader in any language can build it. Time is epoch microseconds, because text of a timestamp depends on
-- TimeZone.
CREATE OR REPLACE FUNCTION migrollback_schema.migration_event_hash(
    previous_hash text, event_number bigint, occurred_at timestamptz, event text, migration_name text,
    attempt_id uuid, database_user text, client text, reason text, details jsonb)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    field   text;
    payload text := '';
BEGIN
    FOREACH field IN ARRAY ARRAY[previous_hash, event_number::text,
                                 ((extract(epoch FROM occurred_at) * 1000000)::bigint)::text, event, migration_name,
                                 attempt_id::text, database_user, client, reason, details::text] LOOP
        payload := payload || coalesce(octet_length(convert_to(field, 'UTF8')) || ':' || field, '-') || ',';
    END LOOP;
    RETURN encode(sha256(convert_to(payload, 'UTF8')), 'hex');
END $function$;
COMMENT ON FUNCTION migrollback_schema.migration_event_hash(text, bigint, timestamptz, text, text, uuid, text, text,
                                                            text, jsonb) IS
    'SHA-256 (hex) over the fields of one event and the hash of the event before it. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.chain_migration_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    -- a plan kept from when the table was empty would scan it whole when it is full
    SET enable_seqscan = off AS $function$
BEGIN
    IF NEW.hash IS NOT NULL THEN
        -- A row that is an event already: pg_dump --data-only restores such rows, logical replication applies them.
        -- Whether it also fits the row before it, which may come later, audit_migrations() sees.
        IF current_setting('session_replication_role') <> 'replica' THEN
            RAISE EXCEPTION 'migration_events is append-only: a row that has its hash already is refused'
                USING ERRCODE = 'MR010', HINT = 'To restore data only, as it was: '
                    'PGOPTIONS=''-c session_replication_role=replica''. A new event: add_migration_event().';
        ELSIF NEW.hash IS DISTINCT FROM migrollback_schema.migration_event_hash(NEW.previous_hash, NEW.event_number,
                NEW.occurred_at, NEW.event, NEW.migration_name, NEW.attempt_id, NEW.database_user, NEW.client,
                NEW.reason, NEW.details) THEN
            RAISE EXCEPTION 'migration_events: event % does not fit its hash and is refused', NEW.event_number
                USING ERRCODE = 'MR010', HINT = 'It was changed since it was written.';
        END IF;
        RETURN NEW;
    END IF;
    -- Without a lock two writers read the same last row and the chain forks. Held until COMMIT, because only then the
    -- row is visible.
    PERFORM migrollback_schema.lock_gate('migration_event_gate', 'EXCLUSIVE', true);
    SELECT e.event_number + 1, e.hash INTO NEW.event_number, NEW.previous_hash
      FROM migrollback_schema.migration_events e ORDER BY e.event_number DESC LIMIT 1;
    NEW.event_number  := coalesce(NEW.event_number, 1);
    NEW.occurred_at   := clock_timestamp();
    NEW.database_user := session_user;
    NEW.client        := coalesce(NEW.client, nullif(current_setting('application_name'), ''));
    NEW.reason  := migrollback_schema.mask_passwords(NEW.reason);
    NEW.details := migrollback_schema.mask_passwords_in(NEW.details);
    -- the row of the history that the event tells of, as it stands now: audit_migrations() compares
    NEW.details := NEW.details - 'history_hash';
    IF NEW.event IN ('registered', 'applied', 'applied_again', 'rolled_back', 'failed', 'resolved', 'history_changed',
                     'installed', 'upgraded', 'taken_over', 'scope_added') THEN
        NEW.details := NEW.details || jsonb_strip_nulls(jsonb_build_object(
            'history_hash', migrollback_schema.migration_history_hash(NEW.migration_name)));
    ELSIF NEW.event = 'ledger_trust_changed' THEN
        NEW.details := NEW.details || jsonb_strip_nulls(jsonb_build_object(
            'history_hash', migrollback_schema.migration_history_hash('20250120_migration_rollback_system')));
    END IF;
    NEW.hash := migrollback_schema.migration_event_hash(NEW.previous_hash, NEW.event_number, NEW.occurred_at, NEW.event,
                                                        NEW.migration_name,
                    NEW.attempt_id, NEW.database_user, NEW.client, NEW.reason, NEW.details);
    RETURN NEW;
END $function$;
COMMENT ON FUNCTION migrollback_schema.chain_migration_event()
    IS 'Trigger: numbers a new event, stamps it, links it to the one before and adds the hash of the history row that '
    'it tells of. An event that has its hash already is kept as it is under session_replication_role = replica, where '
    'the hash fits, and refused otherwise (SQLSTATE MR010).';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_event_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RAISE EXCEPTION 'migration_events is append-only: % is refused', TG_OP
        USING ERRCODE = 'MR010', HINT = 'Record what should be said as a new event.';
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_event_change()
    IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE (SQLSTATE MR010).';

CREATE OR REPLACE FUNCTION migrollback_schema.verify_migration_events()
RETURNS TABLE (intact boolean, events bigint, head_number bigint, head_hash text, first_bad_number bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    WITH linked AS (
        SELECT e.*, lag(e.hash) OVER w AS hash_before, row_number() OVER w AS place
        FROM migrollback_schema.migration_events e WINDOW w AS (ORDER BY e.event_number)),
    bad AS (
        SELECT min(l.event_number) AS number FROM linked l
        WHERE l.event_number <> l.place OR l.previous_hash IS DISTINCT FROM l.hash_before
           OR l.hash <> migrollback_schema.migration_event_hash(l.previous_hash, l.event_number, l.occurred_at, l.event,
                                                                l.migration_name,
                            l.attempt_id, l.database_user, l.client, l.reason, l.details))
    SELECT bad.number IS NULL, (SELECT count(*) FROM linked), head.event_number, head.hash, bad.number
    FROM bad LEFT JOIN (SELECT l.event_number, l.hash FROM linked l ORDER BY l.event_number DESC LIMIT 1) head ON true
$function$;
COMMENT ON FUNCTION migrollback_schema.verify_migration_events() IS
    'Checks the chain of hashes. intact; events: how many; head_number and head_hash: the last event, to be kept '
    'outside the database, because a chain alone cannot show that its tail was cut; first_bad_number: the first '
    'event that does not fit. Does not write.';

-- ---------------------------------------------------------------------------------------------------
-- Changes made to the history by hand leave an event too.
-- ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION migrollback_schema.lock_migrations() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    asked text := current_setting('lock_timeout');
BEGIN
    -- Never without an end: a session that waits here holds a snapshot, and a CREATE INDEX CONCURRENTLY of the lock's
    -- holder waits for it.
    IF asked = '0' THEN
        PERFORM set_config('lock_timeout', '10s', true);
    END IF;
    PERFORM migrollback_schema.lock_gate('migration_gate', 'EXCLUSIVE', true);
    PERFORM set_config('lock_timeout', asked, true);
END $function$;
COMMENT ON FUNCTION migrollback_schema.lock_migrations() IS
    'Takes the one lock under which migrations are registered, applied, rolled back and resolved, until the '
    'transaction ends. Waits lock_timeout, or 10 s where that is 0; then SQLSTATE 55P03. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.hold_migrations() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- ROW SHARE keeps out all that want lock_migrations(), and not a VACUUM of the whole database, which such a run may
    -- do. It does not keep out another that holds it: hence the lock itself, for a moment. One that waits holds
    -- neither: who holds it needs lock_migrations() at its end, and the two would wait for each other.
    LOOP
        BEGIN
            PERFORM migrollback_schema.lock_gate('migration_gate', 'ROW SHARE', false);
            BEGIN
                PERFORM migrollback_schema.lock_gate('migration_gate', 'EXCLUSIVE', false);
                RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
            EXCEPTION WHEN SQLSTATE 'MR099' THEN
                RETURN;                 -- with the subtransaction its lock is gone, and the weaker one stays
            END;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
        BEGIN
            PERFORM migrollback_schema.lock_migrations();
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        EXCEPTION WHEN SQLSTATE 'MR099' THEN
            NULL;
        END;
    END LOOP;
END $function$;
COMMENT ON FUNCTION migrollback_schema.hold_migrations() IS
    'Waits for lock_migrations() and keeps others from it until the transaction ends, by a weaker lock: for what runs '
    'outside a transaction meanwhile. Does not write.';

CREATE OR REPLACE FUNCTION migrollback_schema.guard_history_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- our own functions hold it already
    IF current_setting('migrollback.recording', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
        PERFORM migrollback_schema.lock_migrations();
    END IF;
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.guard_history_change() IS
    'Trigger: a change of the history waits for a rollback that is running. By statement, so that it locks before '
    'any row is locked.';

CREATE OR REPLACE FUNCTION migrollback_schema.complete_history_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF NEW.status = 'rolled_back' THEN
        NEW.rollback_at := coalesce(NEW.rollback_at, now());
        NEW.rollback_by := coalesce(NEW.rollback_by, session_user);
    ELSE
        NEW.rollback_at := NULL;
        NEW.rollback_by := NULL;
    END IF;
    RETURN NEW;
END $function$;
COMMENT ON FUNCTION migrollback_schema.complete_history_change() IS
    'Trigger: rollback_at and rollback_by are set exactly while the status is rolled_back, also after an UPDATE of '
    'the status by hand.';

CREATE OR REPLACE FUNCTION migrollback_schema.record_history_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before jsonb;
    after  jsonb;
BEGIN
    IF current_setting('migrollback.recording', true) = pg_current_xact_id()::text THEN
        RETURN NULL;                    -- one of our functions, which writes the event itself
    END IF;
    -- Rows of another database, restored or replicated, whose events come with them: audit_migrations() compares.
    IF current_setting('session_replication_role') = 'replica'
       AND (TG_OP = 'INSERT' OR (SELECT a.backend_type LIKE 'logical replication%'
                                 FROM pg_stat_get_activity(pg_backend_pid()) a)) THEN
        RETURN NULL;
    END IF;
    before := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - '{id,scope}'::text[] END;
    after := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - '{id,scope}'::text[] END;
    IF TG_OP = 'UPDATE' THEN            -- only what differs
        SELECT jsonb_object_agg(b.key, b.value), jsonb_object_agg(b.key, after -> b.key) INTO before, after
          FROM jsonb_each(before) b WHERE b.value IS DISTINCT FROM after -> b.key;
    END IF;
    INSERT INTO migrollback_schema.migration_events (event, migration_name, details)
    VALUES ('history_changed', CASE WHEN TG_OP = 'DELETE' THEN OLD.migration_name ELSE NEW.migration_name END,
            jsonb_strip_nulls(jsonb_build_object('table', migrollback_schema.scoped_definition(TG_TABLE_NAME::text),
                                                 'operation', TG_OP, 'depends_on',
                                                 CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD)
                                                      ELSE to_jsonb(NEW) END -> 'depends_on'))
                || jsonb_build_object('old', before, 'new', after));
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION migrollback_schema.record_history_change() IS
    'Trigger: a change of migration_history or migration_dependencies that none of our functions made becomes an '
    'event history_changed. What logical replication applies, and what is inserted under session_replication_role = '
    'replica, becomes none: it brings its events with it.';

CREATE OR REPLACE FUNCTION migrollback_schema.refuse_history_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % is refused: it would leave no trace', TG_TABLE_NAME
        USING ERRCODE = 'MR010', HINT = 'DELETE leaves an event for each row.';
END $function$;
COMMENT ON FUNCTION migrollback_schema.refuse_history_truncate()
    IS 'Trigger: refuses TRUNCATE (SQLSTATE MR010), which no row trigger sees.';
