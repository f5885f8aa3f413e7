-- Generated, never edited: `migrollback install --print --schema Ops1` of version 0.1.0 (commit 0ab4906). tests/upgrade puts another schema for "Ops1".
-- The rollback system of migrollback_nb, for psql -1 -v ON_ERROR_STOP=1 -f
CREATE SCHEMA IF NOT EXISTS "Ops1";

-- Migration: 20250120_migration_rollback_system.sql
-- Description: the rules for rolling migrations back: history, dependencies, audit trail, gate
--
-- `"Ops1"` stands for the schema that the system is installed into; `migrollback install`
-- replaces it by the quoted name, and `migrollback install --print` prints the result for psql.

-- ---------------------------------------------------------------------------------------------------
-- Tables. The columns are the specified ones; what else is known of a migration stands in `metadata`.
-- ---------------------------------------------------------------------------------------------------

CREATE TABLE "Ops1".migration_history (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    migration_name    text NOT NULL UNIQUE CHECK (migration_name <> ''),
    migration_version text NOT NULL,
    applied_at        timestamptz DEFAULT now(),
    applied_by        text DEFAULT current_user,
    rollback_sql      text,
    checksum          text,
    status            text NOT NULL DEFAULT 'applied' CHECK (status IN ('applied', 'rolled_back', 'failed')),
    rollback_at       timestamptz,
    rollback_by       text,
    notes             text,
    metadata          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object')
);

COMMENT ON TABLE "Ops1".migration_history IS
    'One row for each migration that was ever registered: what undoes it, and whether it is in place.';
COMMENT ON COLUMN "Ops1".migration_history.id IS 'Identifier of the row.';
COMMENT ON COLUMN "Ops1".migration_history.migration_name IS 'Stem of the migration''s file, for example 20250120_add_user_settings.';
COMMENT ON COLUMN "Ops1".migration_history.migration_version IS 'What its deploy tool calls its version, kept as text: leading digits of the name, for Sqitch the id of the change.';
COMMENT ON COLUMN "Ops1".migration_history.applied_at IS 'When it was applied by us, or registered after another tool had applied it.';
COMMENT ON COLUMN "Ops1".migration_history.applied_by IS 'Database role that applied or registered it.';
COMMENT ON COLUMN "Ops1".migration_history.rollback_sql IS 'SQL that undoes the migration; NULL or empty when there is none.';
COMMENT ON COLUMN "Ops1".migration_history.checksum IS 'SHA-256 (hex) of the file''s text, BOM dropped and CRLF read as LF; NULL when registered without a file.';
COMMENT ON COLUMN "Ops1".migration_history.status IS
    'applied: in place; rolled_back: undone; failed: its rollback failed for a lasting reason and was undone, so it is still in place and a person must act.';
COMMENT ON COLUMN "Ops1".migration_history.rollback_at IS 'When it was rolled back; NULL while it is in place.';
COMMENT ON COLUMN "Ops1".migration_history.rollback_by IS 'Database role that rolled it back; NULL while it is in place.';
COMMENT ON COLUMN "Ops1".migration_history.notes IS 'Free text: the reason given with the last rollback or resolution.';
COMMENT ON COLUMN "Ops1".migration_history.metadata IS
    'Keys of ours: description; tool (that the file is written for; none for our own format); previous_version (that of the migration before it in the folder, where the tool keeps only the newest); system (true for our own migrations); deploy (id of the deploy that brought it, see migration_deploys()); search_path (schemas the rollback SQL runs under); '
    'rollback (what parsing found in rollback_sql: md5 of the text it was found in, statements as [start byte, bytes, line of the file], '
    'transaction, refused_in_transaction, no_transaction_words (what the file would say so that they run), error, set_local and set_session (settings that it changes, for the transaction or for longer: all are put back when it ends), live, '
    'not_undone, calls, writes, unseen (each [statement, ...]: what undoing a transaction does not undo, functions, tables, SQL that is built while it runs)); rollback_remark (why a block of comments is no SQL). Other keys are yours.';

CREATE INDEX idx_migration_history_version ON "Ops1".migration_history (migration_version);
CREATE INDEX idx_migration_history_status ON "Ops1".migration_history (status);
CREATE INDEX idx_migration_history_applied_at ON "Ops1".migration_history (applied_at);

-- A migration does not depend on itself, and on another one at most once.
CREATE TABLE "Ops1".migration_dependencies (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    migration_name text NOT NULL REFERENCES "Ops1".migration_history (migration_name),
    depends_on     text NOT NULL REFERENCES "Ops1".migration_history (migration_name),
    created_at     timestamptz DEFAULT now(),
    source         text NOT NULL DEFAULT 'declared' CHECK (source IN ('declared', 'inferred')),
    because        text,
    UNIQUE (migration_name, depends_on),
    CONSTRAINT migration_depends_on_another CHECK (migration_name <> depends_on)
);

COMMENT ON TABLE "Ops1".migration_dependencies IS
    'Which migration needs which: migration_name cannot stay in place without depends_on.';
COMMENT ON COLUMN "Ops1".migration_dependencies.id IS 'Identifier of the row.';
COMMENT ON COLUMN "Ops1".migration_dependencies.migration_name IS 'The dependent: must be rolled back first.';
COMMENT ON COLUMN "Ops1".migration_dependencies.depends_on IS 'The dependency: must be applied first.';
COMMENT ON COLUMN "Ops1".migration_dependencies.created_at IS 'When the dependency was recorded.';
COMMENT ON COLUMN "Ops1".migration_dependencies.source IS
    'declared: by -- Depends on: of the file; inferred: by record_migration_dependencies(). Both block and order alike.';
COMMENT ON COLUMN "Ops1".migration_dependencies.because IS 'The objects that are the reason of an inferred dependency.';

CREATE INDEX idx_migration_deps_migration ON "Ops1".migration_dependencies (migration_name);
CREATE INDEX idx_migration_deps_depends_on ON "Ops1".migration_dependencies (depends_on);

CREATE TABLE "Ops1".migration_snapshots (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    migration_name text NOT NULL,
    description    text,
    taken_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_by       text NOT NULL DEFAULT current_user,
    token          text,
    objects        jsonb NOT NULL
);

COMMENT ON TABLE "Ops1".migration_snapshots IS 'The schema as it stood at a moment, taken before a risky operation.';
COMMENT ON COLUMN "Ops1".migration_snapshots.id IS 'Identifier of the snapshot.';
COMMENT ON COLUMN "Ops1".migration_snapshots.migration_name IS 'The migration that the snapshot was taken for; it need not be registered yet.';
COMMENT ON COLUMN "Ops1".migration_snapshots.description IS 'Why it was taken.';
COMMENT ON COLUMN "Ops1".migration_snapshots.taken_at IS 'When it was taken.';
COMMENT ON COLUMN "Ops1".migration_snapshots.taken_by IS 'Database role that took it.';
COMMENT ON COLUMN "Ops1".migration_snapshots.token IS 'schema_token() at that moment: the same token, the same schema.';
COMMENT ON COLUMN "Ops1".migration_snapshots.objects IS 'kind -> identity -> definition, as schema_objects() gives them.';

CREATE INDEX idx_migration_snapshots_migration ON "Ops1".migration_snapshots (migration_name);
CREATE INDEX idx_migration_snapshots_taken_at ON "Ops1".migration_snapshots (taken_at);

-- ---------------------------------------------------------------------------------------------------
-- Audit trail. Append-only, and each row carries the hash of the row before it.
-- ---------------------------------------------------------------------------------------------------

CREATE TABLE "Ops1".migration_events (
    event_number   bigint PRIMARY KEY,
    occurred_at    timestamptz NOT NULL,
    event          text NOT NULL CHECK (event IN (
                       'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed', 'rolled_back',
                       'failed', 'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken', 'verified', 'dependencies_recorded', 'installed',
                       'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production', 'unmarked_production', 'ledger_trust_changed')),
    migration_name text,
    attempt_id     uuid,
    database_user  text NOT NULL,
    client         text,
    reason         text,
    details        jsonb NOT NULL DEFAULT '{}',
    previous_hash  text,
    hash           text NOT NULL
);

COMMENT ON TABLE "Ops1".migration_events IS
    'Audit trail: one row for each thing done or tried. UPDATE, DELETE and TRUNCATE are refused. verify_migration_events() checks the chain of hashes.';
COMMENT ON COLUMN "Ops1".migration_events.event_number IS 'Counts from 1 without gaps.';
COMMENT ON COLUMN "Ops1".migration_events.occurred_at IS 'When it happened (clock time, not the start of the transaction).';
COMMENT ON COLUMN "Ops1".migration_events.event IS
    'registered, applied, apply_failed, rehearsed, started, statement_completed, rolled_back, failed, refused, resolved, checklist_item, history_changed (by hand), snapshot_taken, verified (after a rollback), dependencies_recorded, installed, applied_again (by its deploy tool, after a rollback), missing_in_ledger (its deploy tool no longer holds it), deploy_recorded (a deploy with a label), marked_production, unmarked_production (see mark_production_database()), ledger_trust_changed (see trust_ledger_owner()).';
COMMENT ON COLUMN "Ops1".migration_events.migration_name IS 'The migration it is about; NULL when it is about the system.';
COMMENT ON COLUMN "Ops1".migration_events.attempt_id IS 'Made by the client for one attempt, so that a connection lost at COMMIT can be resolved.';
COMMENT ON COLUMN "Ops1".migration_events.database_user IS 'session_user: SET ROLE does not hide it.';
COMMENT ON COLUMN "Ops1".migration_events.client IS 'Who or what was at the other end, as the client says; else its application_name.';
COMMENT ON COLUMN "Ops1".migration_events.reason IS 'The reason that was given.';
COMMENT ON COLUMN "Ops1".migration_events.details IS
    'What else is known: sqlstate, message, statement_number, statement, duration_ms, statement_ms (of each), unchanged, ledger, old and new values, deploy (id of the deploy that brought the migration).';
COMMENT ON COLUMN "Ops1".migration_events.previous_hash IS 'hash of the event before; NULL for the first.';
COMMENT ON COLUMN "Ops1".migration_events.hash IS 'migration_event_hash() of this row.';

CREATE INDEX idx_migration_events_migration ON "Ops1".migration_events (migration_name, event_number);
CREATE INDEX idx_migration_events_snapshots ON "Ops1".migration_events (event_number) WHERE event = 'snapshot_taken';
CREATE INDEX idx_migration_events_deploy ON "Ops1".migration_events ((details ->> 'deploy')) WHERE details ? 'deploy';
CREATE INDEX idx_migration_events_production ON "Ops1".migration_events (event_number) WHERE event IN ('marked_production', 'unmarked_production');
CREATE INDEX idx_migration_events_attempt ON "Ops1".migration_events (attempt_id) WHERE attempt_id IS NOT NULL;

-- A netstring for each field (its length in bytes, a colon, its text, a comma) and '-,' for NULL: no two rows share a payload,
-- and a reader in any language can build it. Time is epoch microseconds, because text of a timestamp depends on TimeZone.
CREATE FUNCTION "Ops1".migration_event_hash(
    previous_hash text, event_number bigint, occurred_at timestamptz, event text, migration_name text, attempt_id uuid,
    database_user text, client text, reason text, details jsonb)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    field   text;
    payload text := '';
BEGIN
    FOREACH field IN ARRAY ARRAY[previous_hash, event_number::text, ((extract(epoch FROM occurred_at) * 1000000)::bigint)::text, event, migration_name,
                                 attempt_id::text, database_user, client, reason, details::text] LOOP
        payload := payload || coalesce(octet_length(convert_to(field, 'UTF8')) || ':' || field, '-') || ',';
    END LOOP;
    RETURN encode(sha256(convert_to(payload, 'UTF8')), 'hex');
END $function$;
COMMENT ON FUNCTION "Ops1".migration_event_hash(text, bigint, timestamptz, text, text, uuid, text, text, text, jsonb) IS
    'SHA-256 (hex) over the fields of one event and the hash of the event before it. Does not write.';

CREATE FUNCTION "Ops1".chain_migration_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- a plan kept from when the table was empty would scan it whole when it is full
BEGIN
    -- Without a lock two writers read the same last row and the chain forks. Held until COMMIT, because only then the row is visible.
    PERFORM pg_advisory_xact_lock(hashtextextended('migrollback_nb events', 0));
    SELECT e.event_number + 1, e.hash INTO NEW.event_number, NEW.previous_hash
      FROM "Ops1".migration_events e ORDER BY e.event_number DESC LIMIT 1;
    NEW.event_number  := coalesce(NEW.event_number, 1);
    NEW.occurred_at   := clock_timestamp();
    NEW.database_user := session_user;
    NEW.client        := coalesce(NEW.client, nullif(current_setting('application_name'), ''));
    NEW.hash := "Ops1".migration_event_hash(NEW.previous_hash, NEW.event_number, NEW.occurred_at, NEW.event, NEW.migration_name,
                    NEW.attempt_id, NEW.database_user, NEW.client, NEW.reason, NEW.details);
    RETURN NEW;
END $function$;
COMMENT ON FUNCTION "Ops1".chain_migration_event() IS 'Trigger: numbers a new event, stamps it and links it to the one before.';

CREATE FUNCTION "Ops1".refuse_event_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RAISE EXCEPTION 'migration_events is append-only: % is refused', TG_OP
        USING ERRCODE = 'MR010', HINT = 'Record what should be said as a new event.';
END $function$;
COMMENT ON FUNCTION "Ops1".refuse_event_change() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE (SQLSTATE MR010).';

CREATE TRIGGER chain_migration_event BEFORE INSERT ON "Ops1".migration_events
    FOR EACH ROW EXECUTE FUNCTION "Ops1".chain_migration_event();
CREATE TRIGGER refuse_event_change BEFORE UPDATE OR DELETE ON "Ops1".migration_events
    FOR EACH ROW EXECUTE FUNCTION "Ops1".refuse_event_change();
CREATE TRIGGER refuse_event_truncate BEFORE TRUNCATE ON "Ops1".migration_events
    FOR EACH STATEMENT EXECUTE FUNCTION "Ops1".refuse_event_change();
-- ALWAYS: session_replication_role = replica must not switch the audit trail off.
ALTER TABLE "Ops1".migration_events ENABLE ALWAYS TRIGGER chain_migration_event;
ALTER TABLE "Ops1".migration_events ENABLE ALWAYS TRIGGER refuse_event_change;
ALTER TABLE "Ops1".migration_events ENABLE ALWAYS TRIGGER refuse_event_truncate;

CREATE FUNCTION "Ops1".verify_migration_events()
RETURNS TABLE (intact boolean, events bigint, head_number bigint, head_hash text, first_bad_number bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    WITH linked AS (
        SELECT e.*, lag(e.hash) OVER w AS hash_before, row_number() OVER w AS place
        FROM "Ops1".migration_events e WINDOW w AS (ORDER BY e.event_number)),
    bad AS (
        SELECT min(l.event_number) AS number FROM linked l
        WHERE l.event_number <> l.place OR l.previous_hash IS DISTINCT FROM l.hash_before
           OR l.hash <> "Ops1".migration_event_hash(l.previous_hash, l.event_number, l.occurred_at, l.event, l.migration_name,
                            l.attempt_id, l.database_user, l.client, l.reason, l.details))
    SELECT bad.number IS NULL, (SELECT count(*) FROM linked), head.event_number, head.hash, bad.number
    FROM bad LEFT JOIN (SELECT l.event_number, l.hash FROM linked l ORDER BY l.event_number DESC LIMIT 1) head ON true
$function$;
COMMENT ON FUNCTION "Ops1".verify_migration_events() IS
    'Checks the chain of hashes. intact; events: how many; head_number and head_hash: the last event, to be kept outside the database, because '
    'a chain alone cannot show that its tail was cut; first_bad_number: the first event that does not fit. Does not write.';

-- ---------------------------------------------------------------------------------------------------
-- Changes made to the history by hand leave an event too.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".lock_migrations() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    asked text := current_setting('lock_timeout');
BEGIN
    -- Never without an end: a session that waits here holds a snapshot, and a CREATE INDEX CONCURRENTLY of the lock's holder waits for it.
    IF asked = '0' THEN
        PERFORM set_config('lock_timeout', '10s', true);
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('migrollback_nb gate', 0));
    PERFORM set_config('lock_timeout', asked, true);
END $function$;
COMMENT ON FUNCTION "Ops1".lock_migrations() IS
    'Takes the one lock under which migrations are registered, applied, rolled back and resolved, until the transaction ends. '
    'Waits lock_timeout, or 10 s where that is 0; then SQLSTATE 55P03. Does not write.';

CREATE FUNCTION "Ops1".guard_history_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF current_setting('migrollback.recording', true) IS DISTINCT FROM pg_current_xact_id()::text THEN  -- our own functions hold it already
        PERFORM "Ops1".lock_migrations();
    END IF;
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION "Ops1".guard_history_change() IS
    'Trigger: a change of the history waits for a rollback that is running. By statement, so that it locks before any row is locked.';

CREATE FUNCTION "Ops1".complete_history_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF NEW.status = 'rolled_back' THEN
        NEW.rollback_at := coalesce(NEW.rollback_at, now());
        NEW.rollback_by := coalesce(NEW.rollback_by, current_user);
    ELSE
        NEW.rollback_at := NULL;
        NEW.rollback_by := NULL;
    END IF;
    RETURN NEW;
END $function$;
COMMENT ON FUNCTION "Ops1".complete_history_change() IS
    'Trigger: rollback_at and rollback_by are set exactly while the status is rolled_back, also after an UPDATE of the status by hand.';

CREATE FUNCTION "Ops1".record_history_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before jsonb;
    after  jsonb;
BEGIN
    IF current_setting('migrollback.recording', true) = pg_current_xact_id()::text THEN
        RETURN NULL;                    -- one of our functions, which writes the event itself
    END IF;
    before := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - 'id' END;
    after := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - 'id' END;
    IF TG_OP = 'UPDATE' THEN            -- only what differs
        SELECT jsonb_object_agg(b.key, b.value), jsonb_object_agg(b.key, after -> b.key) INTO before, after
          FROM jsonb_each(before) b WHERE b.value IS DISTINCT FROM after -> b.key;
    END IF;
    INSERT INTO "Ops1".migration_events (event, migration_name, details)
    VALUES ('history_changed', CASE WHEN TG_OP = 'DELETE' THEN OLD.migration_name ELSE NEW.migration_name END,
            jsonb_strip_nulls(jsonb_build_object('table', TG_TABLE_NAME, 'operation', TG_OP)) || jsonb_build_object('old', before, 'new', after));
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION "Ops1".record_history_change() IS
    'Trigger: a change of migration_history or migration_dependencies that none of our functions made becomes an event history_changed.';

CREATE FUNCTION "Ops1".refuse_history_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % is refused: it would leave no trace', TG_TABLE_NAME
        USING ERRCODE = 'MR010', HINT = 'DELETE leaves an event for each row.';
END $function$;
COMMENT ON FUNCTION "Ops1".refuse_history_truncate() IS 'Trigger: refuses TRUNCATE (SQLSTATE MR010), which no row trigger sees.';

CREATE TRIGGER guard_history_change BEFORE INSERT OR UPDATE OR DELETE ON "Ops1".migration_history
    FOR EACH STATEMENT EXECUTE FUNCTION "Ops1".guard_history_change();
CREATE TRIGGER complete_history_change BEFORE INSERT OR UPDATE ON "Ops1".migration_history
    FOR EACH ROW EXECUTE FUNCTION "Ops1".complete_history_change();
CREATE TRIGGER record_history_change AFTER INSERT OR UPDATE OR DELETE ON "Ops1".migration_history
    FOR EACH ROW EXECUTE FUNCTION "Ops1".record_history_change();
CREATE TRIGGER refuse_history_truncate BEFORE TRUNCATE ON "Ops1".migration_history
    FOR EACH STATEMENT EXECUTE FUNCTION "Ops1".refuse_history_truncate();
CREATE TRIGGER guard_history_change BEFORE INSERT OR UPDATE OR DELETE ON "Ops1".migration_dependencies
    FOR EACH STATEMENT EXECUTE FUNCTION "Ops1".guard_history_change();
CREATE TRIGGER record_history_change AFTER INSERT OR UPDATE OR DELETE ON "Ops1".migration_dependencies
    FOR EACH ROW EXECUTE FUNCTION "Ops1".record_history_change();
CREATE TRIGGER refuse_history_truncate BEFORE TRUNCATE ON "Ops1".migration_dependencies
    FOR EACH STATEMENT EXECUTE FUNCTION "Ops1".refuse_history_truncate();
ALTER TABLE "Ops1".migration_history ENABLE ALWAYS TRIGGER guard_history_change;
ALTER TABLE "Ops1".migration_history ENABLE ALWAYS TRIGGER complete_history_change;
ALTER TABLE "Ops1".migration_history ENABLE ALWAYS TRIGGER record_history_change;
ALTER TABLE "Ops1".migration_history ENABLE ALWAYS TRIGGER refuse_history_truncate;
ALTER TABLE "Ops1".migration_dependencies ENABLE ALWAYS TRIGGER guard_history_change;
ALTER TABLE "Ops1".migration_dependencies ENABLE ALWAYS TRIGGER record_history_change;
ALTER TABLE "Ops1".migration_dependencies ENABLE ALWAYS TRIGGER refuse_history_truncate;

-- ---------------------------------------------------------------------------------------------------
-- Deploy ledgers: the tables in which other tools remember what they applied.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".deploy_tools()
RETURNS TABLE (tool text, ledger_name text, has text[], has_not text[], known_by text, newest_only boolean, newest text, unfinished text, applied text, record text, forget text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- PL/pgSQL and not SQL for its cached plan: planning this list takes longer than all that is asked of a ledger.
    -- In the statements %1$s is the ledger; $1 the migration's name, $2 its version, $3 its statements, $4 the version before it (in `newest`, $1 its version).
    -- `record` and `forget` are the list of a WITH; its last element has one column of jsonb: the rows that were written or taken out.
    -- Tables of one name are told apart by their columns; the first line that fits counts.
    RETURN QUERY VALUES
        ('supabase', 'supabase_migrations.schema_migrations', '{version,statements,name}'::text[], '{}'::text[], 'version', false, NULL, NULL,
            'SELECT coalesce(l.version || ''_'' || l.name, l.version) FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version, name, statements) VALUES ($2, regexp_replace($1, ''^[0-9]+_?'', ''''), $3) ON CONFLICT (version) DO NOTHING '
                'RETURNING to_jsonb(l) - ''statements'')',
            -- Two files may share their digits; the ledger's name tells whose row it is.
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 AND coalesce(l.name, regexp_replace($1, ''^[0-9]+_?'', '''')) = regexp_replace($1, ''^[0-9]+_?'', '''') '
                'RETURNING to_jsonb(l))'),
        ('supabase', 'supabase_migrations.schema_migrations', '{version,statements}', '{}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version, statements) VALUES ($2, $3) ON CONFLICT (version) DO NOTHING RETURNING to_jsonb(l) - ''statements'')',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('dbmate', 'schema_migrations', '{version}', '{dirty,statements}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version) VALUES ($2) ON CONFLICT (version) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('goose', 'goose_db_version', '{id,version_id,is_applied}', '{}', 'number', false, NULL, NULL,
            'SELECT v.version_id::text FROM (SELECT DISTINCT ON (l.version_id) l.version_id, l.is_applied FROM %1$s l ORDER BY l.version_id, l.id DESC) v WHERE v.is_applied',
            'done AS (INSERT INTO %1$s AS l (version_id, is_applied) SELECT $2::bigint, true '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.version_id = $2::bigint) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version_id = $2::bigint RETURNING to_jsonb(l))'),
        ('golang-migrate', 'schema_migrations', '{version,dirty}', '{}', 'number', true, 'SELECT max(l.version)::text FROM %1$s l', 'SELECT bool_or(l.dirty) FROM %1$s l',
            -- of a version that is dirty nobody knows how far it came
            'SELECT (l.version - l.dirty::int)::text FROM %1$s l',
            'moved AS (UPDATE %1$s AS l SET version = $2::bigint WHERE l.version < $2::bigint RETURNING to_jsonb(l) AS r), '
                'begun AS (INSERT INTO %1$s AS l (version, dirty) SELECT $2::bigint, false WHERE NOT EXISTS (SELECT FROM %1$s) RETURNING to_jsonb(l) AS r), '
                'done AS (SELECT r FROM moved UNION ALL SELECT r FROM begun)',
            'moved AS (UPDATE %1$s AS l SET version = nullif($4, '''')::bigint WHERE l.version = $2::bigint AND $4 <> '''' RETURNING to_jsonb(l) AS r), '
                'emptied AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint AND $4 = '''' RETURNING to_jsonb(l) AS r), '
                'done AS (SELECT r FROM moved UNION ALL SELECT r FROM emptied)'),
        -- sqlx and bun name their files as golang-migrate does; sqlx also keeps a checksum that only it can write.
        ('golang-migrate', '_sqlx_migrations', '{version,success,checksum}', '{}', 'number', false, NULL, 'SELECT bool_or(NOT l.success) FROM %1$s l',
            'SELECT l.version::text FROM %1$s l WHERE l.success', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint RETURNING to_jsonb(l))'),
        ('golang-migrate', 'bun_migrations', '{name,group_id,migrated_at}', '{}', 'version', false, NULL, NULL,
            'SELECT l.name FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (name, group_id, migrated_at) SELECT $2, coalesce((SELECT max(o.group_id) FROM %1$s o), 0) + 1, now() '
                'WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.name = $2) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.name = $2 RETURNING to_jsonb(l))'),
        ('tern', 'schema_version', '{version}', '{}', 'number', true, 'SELECT max(l.version)::text FROM %1$s l', NULL,
            'SELECT l.version::text FROM %1$s l',
            'done AS (UPDATE %1$s AS l SET version = $2::int WHERE l.version < $2::int RETURNING to_jsonb(l))',
            'done AS (UPDATE %1$s AS l SET version = coalesce(nullif($4, ''''), ''0'')::int WHERE l.version = $2::int RETURNING to_jsonb(l))'),
        ('sql-migrate', 'gorp_migrations', '{id,applied_at}', '{}', 'file', false, NULL, NULL,
            'SELECT l.id FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (id, applied_at) VALUES ($1 || ''.sql'', now()) ON CONFLICT (id) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.id = $1 || ''.sql'' RETURNING to_jsonb(l))'),
        ('node-pg-migrate', 'pgmigrations', '{name,run_on}', '{}', 'name', false, NULL, NULL,
            'SELECT l.name FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (name, run_on) SELECT $1, now() WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.name = $1) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.name = $1 RETURNING to_jsonb(l))'),
        ('MyBatis Migrations', 'changelog', '{id,applied_at,description}', '{}', 'number', false, NULL, NULL,
            'SELECT l.id::text FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (id, applied_at, description) SELECT $2::numeric, to_char(now(), ''YYYY-MM-DD HH24:MI:SS''), '
                'replace(regexp_replace($1, ''^[0-9]+_?'', ''''), ''_'', '' '') WHERE NOT EXISTS (SELECT FROM %1$s o WHERE o.id = $2::numeric) RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.id = $2::numeric RETURNING to_jsonb(l))'),
        ('yoyo', '_yoyo_migration', '{migration_hash,migration_id,applied_at_utc}', '{}', 'name', false, NULL, NULL,
            'SELECT l.migration_id FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (migration_hash, migration_id, applied_at_utc) VALUES (encode(sha256(convert_to($1, ''UTF8'')), ''hex''), $1, now() AT TIME ZONE ''UTC'') '
                'ON CONFLICT (migration_hash) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.migration_id = $1 RETURNING to_jsonb(l))'),
        ('postgrator', 'schemaversion', '{version,name,md5,run_at}', '{}', 'number', true, 'SELECT max(l.version)::text FROM %1$s l', NULL,
            'SELECT l.version::text FROM %1$s l',
            -- without md5: postgrator compares none where there is none, and it is over the file as it lies on its machine
            'done AS (INSERT INTO %1$s AS l (version, name, run_at) VALUES ($2::bigint, regexp_replace($1, ''^[0-9]+\.do\.?'', '''', ''i''), now()) ON CONFLICT (version) DO NOTHING '
                'RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2::bigint RETURNING to_jsonb(l))'),
        ('diesel', '__diesel_schema_migrations', '{version,run_on}', '{}', 'version', false, NULL, NULL,
            'SELECT l.version FROM %1$s l',
            'done AS (INSERT INTO %1$s AS l (version) VALUES ($2) ON CONFLICT (version) DO NOTHING RETURNING to_jsonb(l))',
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        -- What these write besides (checksums, ranks, times of their own) nobody but they can write.
        ('Flyway', 'flyway_schema_history', '{installed_rank,version,script,success}', '{}', 'version', false, NULL, 'SELECT bool_or(NOT l.success) FROM %1$s l',
            'SELECT l.version FROM %1$s l WHERE l.success AND l.version IS NOT NULL', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.version = $2 RETURNING to_jsonb(l))'),
        ('Prisma', '_prisma_migrations', '{migration_name,finished_at,rolled_back_at}', '{}', 'name', false, NULL, 'SELECT bool_or(l.finished_at IS NULL AND l.rolled_back_at IS NULL) FROM %1$s l',
            'SELECT l.migration_name FROM %1$s l WHERE l.finished_at IS NOT NULL AND l.rolled_back_at IS NULL', NULL,
            'done AS (DELETE FROM %1$s AS l WHERE l.migration_name = $1 RETURNING to_jsonb(l))'),
        -- Its version is the change's id, one for each occurrence of a change that was reworked. Its log is to say that it was reverted.
        ('Sqitch', 'sqitch.changes', '{change_id,change,project,committed_at}', '{}', 'version', false,
            'SELECT l.change_id FROM %1$s l WHERE l.project = (SELECT o.project FROM %1$s o WHERE o.change_id = $1) ORDER BY l.committed_at DESC LIMIT 1', NULL,
            'SELECT l.change_id FROM %1$s l', NULL,
            -- registered before ids were known, or by hand: by name, the newest
            'l AS (SELECT c.* FROM %1$s c WHERE c.change_id = $2 OR ($2 !~ ''^[0-9a-f]{40}$'' AND c.change = regexp_replace($1, ''@.*'', '''')) '
                'ORDER BY c.committed_at DESC LIMIT 1), '
                'untagged AS (DELETE FROM sqitch.tags t USING l WHERE t.change_id = l.change_id RETURNING t.tag), '
                'logged AS (INSERT INTO sqitch.events (event, change_id, change, project, note, requires, tags, committer_name, committer_email, planned_at, planner_name, planner_email) '
                'SELECT ''revert'', l.change_id, l.change, l.project, l.note, '
                'coalesce((SELECT array_agg(d.dependency) FROM sqitch.dependencies d WHERE d.change_id = l.change_id AND d.type = ''require''), ''{}''), '
                'coalesce((SELECT array_agg(u.tag) FROM untagged u), ''{}''), current_user, '''', l.planned_at, l.planner_name, l.planner_email FROM l), '
                'done AS (DELETE FROM %1$s AS c USING l WHERE c.change_id = l.change_id RETURNING to_jsonb(c))');
END $function$;
COMMENT ON FUNCTION "Ops1".deploy_tools() IS
    'The deploy tools whose ledgers are understood: the ledger''s usual name; columns that tell it (has, has_not); what it knows a migration by (version, '
    'or the name where that begins with it; number: the version as a number; name; file); whether it keeps only the newest; '
    'the statements that tell which it goes on from, where it looks at no other, whether one did not come to its end, and which are applied, and those that change it. Does not write.';

-- A ledger is a table of somebody's, and whoever writes to it runs the triggers, rules, policies, defaults and checks that its owner put there, with the
-- writer's own rights. So it is neither read nor written unless everybody who could have put code there is trusted.

CREATE FUNCTION "Ops1".trusted_ledger_owners() RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE granted (role_id) AS (
            SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user
            UNION
            -- Grants alone count: for pg_has_role() a superuser is a member of every role. From 16 on a grant may give no more than the right to grant it on.
            SELECT m.roleid FROM granted g JOIN pg_auth_members m ON m.member = g.role_id
             WHERE coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true) OR coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
        SELECT g.role_id FROM granted g
        UNION SELECT r.oid FROM pg_roles r WHERE r.rolsuper OR r.rolname = 'pg_database_owner'
        UNION SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()
        UNION SELECT r.oid FROM "Ops1".migration_history h
              CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(h.metadata -> 'trusted_ledger_owners', '[]')) AS t (role_name)
              JOIN pg_roles r ON r.rolname = t.role_name
              -- by its name, which is indexed: a function would be asked for each of ten thousand
              WHERE h.migration_name = ANY ('{20250120_migration_rollback_system}'::text[]) AND "Ops1".is_system_migration(h.migration_name));
END $function$;
COMMENT ON FUNCTION "Ops1".trusted_ledger_owners() IS
    'The roles whose ledgers the caller may write: the caller, roles granted to the caller, the owner of the database, superusers, and those named by '
    'trust_ledger_owner(). Does not write.';

CREATE FUNCTION "Ops1".deploy_ledger_parts(relations regclass[])
RETURNS TABLE (class regclass, object oid, owner oid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off AS $function$   -- pg_depend is large and rarely analyzed; compiling takes longer
BEGIN
    RETURN QUERY
    WITH RECURSIVE reached (class, object) AS (
        SELECT 'pg_class'::regclass::oid, r.relation::oid FROM unnest(relations) AS r (relation)
        UNION
        SELECT n.class, n.object FROM reached r CROSS JOIN LATERAL (
            -- what belongs to a table or domain (triggers, rules, policies, defaults, checks, indexes), and foreign keys that point at the table
            SELECT d.classid, d.objid FROM pg_depend d
             WHERE d.refclassid = r.class AND d.refobjid = r.object AND r.class IN ('pg_class'::regclass, 'pg_type'::regclass)
               AND (d.deptype IN ('a', 'i', 'P', 'S') OR d.deptype = 'n' AND d.classid = 'pg_constraint'::regclass)
            UNION ALL                   -- what that uses: functions, types, operators, other tables
            SELECT d.refclassid, d.refobjid FROM pg_depend d WHERE d.classid = r.class AND d.objid = r.object AND d.deptype <> 'e'
            UNION ALL                   -- partitions and other children, which are read and written with it
            SELECT 'pg_class'::regclass::oid, i.inhrelid FROM pg_inherits i WHERE r.class = 'pg_class'::regclass AND i.inhparent = r.object
        ) AS n (class, object))
    SELECT r.class::regclass, r.object,
           coalesce((SELECT c.relowner FROM pg_class c WHERE r.class = 'pg_class'::regclass AND c.oid = r.object),
                    (SELECT p.proowner FROM pg_proc p WHERE r.class = 'pg_proc'::regclass AND p.oid = r.object),
                    (SELECT y.typowner FROM pg_type y WHERE r.class = 'pg_type'::regclass AND y.oid = r.object),
                    (SELECT o.oprowner FROM pg_operator o WHERE r.class = 'pg_operator'::regclass AND o.oid = r.object))
    FROM reached r;
END $function$;
COMMENT ON FUNCTION "Ops1".deploy_ledger_parts(regclass[]) IS
    'Everything that can run code when one of these tables is read or written, with its owner (NULL: that of its table). What every database has from the start is left out. Does not write.';

CREATE FUNCTION "Ops1".deploy_ledger_relations(tool text, ledger regclass) RETURNS regclass[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT array_remove(ARRAY[ledger] || CASE WHEN tool = 'Sqitch' THEN
        ARRAY[to_regclass('sqitch.tags'), to_regclass('sqitch.events'), to_regclass('sqitch.dependencies')] END, NULL)
$function$;
COMMENT ON FUNCTION "Ops1".deploy_ledger_relations(text, regclass) IS 'A ledger and the tables of its tool that are read or written with it. Does not write.';

CREATE FUNCTION "Ops1".untrusted_ledger_reason(tool text, ledger regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    trusted   oid[] := "Ops1".trusted_ledger_owners();
    relations regclass[] := "Ops1".deploy_ledger_relations(tool, ledger);
    culprit   record;
    role_name text;
BEGIN
    -- A trigger has no owner, and its condition and arguments are code too: whoever may make one may have made it. The ledger's own owner first: that says most.
    WITH part AS MATERIALIZED (SELECT p.class, p.object, p.owner FROM "Ops1".deploy_ledger_parts(relations) p)
    SELECT f.class, f.object, f.role_id, f.by_trigger INTO culprit
      FROM (SELECT p.class, p.object, p.owner AS role_id, false AS by_trigger FROM part p WHERE p.owner <> ALL (trusted)
            UNION ALL
            SELECT p.class, p.object, a.grantee, true FROM part p JOIN pg_class c ON p.class = 'pg_class'::regclass AND c.oid = p.object
             CROSS JOIN LATERAL aclexplode(c.relacl) a
             WHERE a.privilege_type = 'TRIGGER' AND a.grantee <> ALL (trusted) AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)) f
     ORDER BY f.by_trigger, f.object <> ledger, f.class <> 'pg_class'::regclass, f.object, f.role_id LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    role_name := CASE WHEN culprit.role_id = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(culprit.role_id) END;
    IF culprit.by_trigger THEN
        RETURN format('The ledger %s is not trusted: %s has triggers, and %s may have made them. Look at them, then REVOKE TRIGGER ON %2$s FROM %s', ledger,
            culprit.object::regclass, role_name, CASE culprit.role_id WHEN 0 THEN 'PUBLIC' ELSE quote_ident(role_name) END);
    END IF;
    RETURN format('The ledger %s is not trusted: %s, or run migrollback install --trust-ledger-of %s', ledger,
        CASE WHEN culprit.object = ledger THEN format('it belongs to %s. Drop it where your deploy tool did not make it', role_name)
             ELSE (SELECT format('with it goes the %s %s, which belongs to %s. Take that away', i.type, i.identity, role_name)
                     FROM pg_identify_object(culprit.class, culprit.object, 0) i) END,
        CASE WHEN role_name ~ '^[a-z0-9_]+$' THEN role_name ELSE quote_literal(role_name) END);
END $function$;
COMMENT ON FUNCTION "Ops1".untrusted_ledger_reason(text, regclass) IS
    'Why a ledger may be neither read nor written, with its owner and the fix, or NULL where everybody is trusted whose code would run. tool: see deploy_tools(). Does not write.';

CREATE FUNCTION "Ops1".deploy_ledger(tool text, search_path text)
RETURNS TABLE (ledger regclass, known_by text, newest_only boolean, newest text, unfinished text, applied text, record text, forget text, untrusted text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    d       record;
    candidate regclass;
    named   text[];
    schemas name[];
BEGIN
    -- where the migration's own names are looked up, and where tools put it that were told nothing
    PERFORM set_config('search_path', concat_ws(', ', CASE WHEN "Ops1".is_schema_list(deploy_ledger.search_path) THEN nullif(deploy_ledger.search_path, '') END,
                                                'public', 'pg_temp'), true);
    schemas := current_schemas(false);
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    -- Our own format is Supabase's.
    FOR d IN SELECT * FROM "Ops1".deploy_tools() t WHERE t.tool = coalesce(deploy_ledger.tool, 'supabase') LOOP
        named := parse_ident(coalesce(nullif(current_setting('migrollback.deploy_ledger', true), ''), d.ledger_name));
        -- The first that fits: what bears the name and does not fit, a view of a stranger's for one, must not hide it.
        SELECT c.oid INTO candidate FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname = named[cardinality(named)] AND n.nspname = ANY (CASE WHEN cardinality(named) > 1 THEN ARRAY[named[cardinality(named) - 1]::name] ELSE schemas END)
           AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
           AND NOT EXISTS (SELECT FROM unnest(d.has) AS h (name)
                            WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = h.name AND NOT a.attisdropped))
           AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY (d.has_not) AND NOT a.attisdropped)
         ORDER BY array_position(schemas, n.nspname) LIMIT 1;
        IF candidate IS NOT NULL THEN
            RETURN QUERY SELECT candidate, d.known_by, d.newest_only, u.newest, u.unfinished, u.applied, u.record, u.forget, u.reason
                FROM (SELECT "Ops1".untrusted_ledger_reason(d.tool, candidate) AS reason OFFSET 0) r
                CROSS JOIN LATERAL (SELECT r.reason, d.newest, d.unfinished, d.applied, d.record, d.forget WHERE r.reason IS NULL
                                    UNION ALL SELECT r.reason, NULL, NULL, NULL, NULL, NULL WHERE r.reason IS NOT NULL) u;
            RETURN;
        END IF;
    END LOOP;
END $function$;
COMMENT ON FUNCTION "Ops1".deploy_ledger(text, text) IS
    'The table in which a deploy tool (NULL: Supabase) remembers what it applied, found by its usual name, or by the setting migrollback.deploy_ledger, under search_path '
    'and in public, and how to read and change it; no row where there is none. untrusted: why it may be neither read nor written; then without the statements that would. Does not write.';

CREATE FUNCTION "Ops1".untrusted_deploy_ledger(tool text, search_path text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF tool IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN     -- without a query: every check asks
        RETURN NULL;
    END IF;
    RETURN (SELECT l.untrusted FROM "Ops1".deploy_ledger(tool, search_path) l);
END $function$;
COMMENT ON FUNCTION "Ops1".untrusted_deploy_ledger(text, text) IS
    'Why the ledger of a deploy tool (NULL: Supabase) may be neither read nor written; NULL where it may, and where there is none. Does not write.';

CREATE FUNCTION "Ops1".refuse_untrusted_ledger(reason text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION '%', reason USING ERRCODE = 'MR024', HINT = 'Nothing was changed.';
    END IF;
END $function$;
COMMENT ON FUNCTION "Ops1".refuse_untrusted_ledger(text) IS
    'Raises SQLSTATE MR024 with this reason of untrusted_deploy_ledger(), which names the owner and the fix; NULL: does nothing. Does not write.';

CREATE FUNCTION "Ops1".trust_ledger_owner(role_name text, trusted boolean DEFAULT true, client text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    known   jsonb;
    is_new  boolean;
    system_name text;
BEGIN
    PERFORM "Ops1".lock_migrations();
    SELECT h.migration_name, coalesce(h.metadata -> 'trusted_ledger_owners', '[]') INTO system_name, known
      FROM "Ops1".migration_history h WHERE "Ops1".is_system_migration(h.migration_name) ORDER BY 1 LIMIT 1 FOR UPDATE;
    -- One that was dropped meanwhile can be taken out all the same.
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name) AND (trusted IS NOT FALSE OR NOT known ? role_name) THEN
        RAISE EXCEPTION 'there is no role %', coalesce(quote_ident(role_name), 'NULL') USING ERRCODE = 'MR006', HINT = 'Give the name of the role that owns the ledger, as it stands in pg_roles.';
    END IF;
    is_new := known ? role_name IS DISTINCT FROM trusted;
    IF is_new THEN
        PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
        UPDATE "Ops1".migration_history h
           SET metadata = h.metadata || jsonb_build_object('trusted_ledger_owners', CASE WHEN trusted THEN known || to_jsonb(role_name) ELSE known - role_name END)
         WHERE h.migration_name = system_name;
        PERFORM set_config('migrollback.recording', '', true);
        PERFORM "Ops1".add_migration_event('ledger_trust_changed', NULL::text, NULL::uuid, NULL::text, client, jsonb_build_object('role', role_name, 'trusted', trusted));
    END IF;
    RETURN is_new;
END $function$;
COMMENT ON FUNCTION "Ops1".trust_ledger_owner(text, boolean, text) IS
    'Writes: from now on ledgers of deploy tools that belong to this role are read and written, or no longer (trusted => false). Whoever has that role can then act with the rights of '
    'everybody who rolls back. Returns whether that is new. SQLSTATE MR006: no such role.';

CREATE FUNCTION "Ops1".supabase_ledger() RETURNS regclass
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF to_regnamespace('supabase_migrations') IS NULL THEN     -- without a query: every check asks
        RETURN NULL;
    END IF;
    RETURN (SELECT l.ledger FROM "Ops1".deploy_ledger(NULL::text, NULL::text) l);
END $function$;
COMMENT ON FUNCTION "Ops1".supabase_ledger() IS
    'The table in which Supabase remembers what it applied, or NULL. Does not write.';

CREATE FUNCTION "Ops1".migrations_in_deploy_ledgers(migrations jsonb, search_path text, refuse_untrusted boolean DEFAULT true)
RETURNS TABLE (migration_name text, ledger regclass, is_applied boolean, newest_only boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    t      record;
    l      record;
    wanted text[];
    keys   text[];
    concerned boolean;
BEGIN
    FOR t IN SELECT DISTINCT m ->> 'tool' AS tool FROM jsonb_array_elements(migrations) AS m LOOP
        SELECT * INTO l FROM "Ops1".deploy_ledger(t.tool, migrations_in_deploy_ledgers.search_path);
        CONTINUE WHEN NOT FOUND OR l.untrusted IS NOT NULL AND NOT refuse_untrusted;
        PERFORM "Ops1".refuse_untrusted_ledger(l.untrusted);
        IF l.newest_only THEN
            EXECUTE format('SELECT ARRAY[max(a.key::numeric)::text] FROM (' || l.applied || ') AS a (key)', l.ledger) INTO keys;
        ELSE
            -- Only what is asked for is brought back: check asks for one, of a ledger of thousands.
            wanted := ARRAY(
                SELECT k.key FROM jsonb_array_elements(migrations) AS m CROSS JOIN LATERAL unnest(CASE l.known_by
                    WHEN 'number' THEN ARRAY[substring(m ->> 'version' FROM '^[0-9]{1,255}$')::numeric::text] WHEN 'version' THEN ARRAY[m ->> 'version', m ->> 'name']
                    WHEN 'file' THEN ARRAY[(m ->> 'name') || '.sql'] ELSE ARRAY[m ->> 'name'] END) AS k (key)
                 WHERE m ->> 'tool' IS NOT DISTINCT FROM t.tool AND k.key IS NOT NULL);
            EXECUTE format('SELECT coalesce(array_agg(f.key), ''{}'') FROM (SELECT ' || CASE WHEN l.known_by = 'number' THEN 'a.key::numeric::text' ELSE 'a.key' END
                           || ' FROM (' || l.applied || ') AS a (key)) AS f (key) WHERE f.key = ANY ($1)', l.ledger) INTO keys USING wanted;
        END IF;
        -- Our own format says nothing of Supabase: where its ledger knows none of them, and none that is registered, they are none of its concern.
        concerned := t.tool IS NOT NULL OR cardinality(keys) > 0;
        IF NOT concerned THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %2$s.migration_history h WHERE h.metadata ->> ''tool'' = ''supabase'' '
                           'UNION ALL SELECT FROM %2$s.migration_history h JOIN (' || l.applied || ') AS a (key) ON a.key = h.migration_name WHERE NOT h.metadata ? ''tool'' '
                           'UNION ALL SELECT FROM %2$s.migration_history h JOIN (' || l.applied || ') AS a (key) ON a.key = h.migration_version WHERE NOT h.metadata ? ''tool'')',
                           l.ledger, '"Ops1"'::regnamespace) INTO concerned;
        END IF;
        CONTINUE WHEN NOT concerned;
        RETURN QUERY
            SELECT a.name, l.ledger::regclass, coalesce(
                       CASE WHEN l.newest_only          THEN substring(a.version FROM '^[0-9]{1,255}$')::numeric <= keys[1]::numeric
                            WHEN l.known_by = 'number'  THEN substring(a.version FROM '^[0-9]{1,255}$')::numeric::text IN (SELECT unnest(keys))
                            WHEN l.known_by = 'version' THEN a.version IN (SELECT unnest(keys)) OR a.name IN (SELECT unnest(keys))
                            WHEN l.known_by = 'file'    THEN a.name || '.sql' IN (SELECT unnest(keys))
                            ELSE a.name IN (SELECT unnest(keys)) END, false), l.newest_only
              FROM (SELECT m ->> 'name' AS name, m ->> 'version' AS version FROM jsonb_array_elements(migrations) AS m WHERE m ->> 'tool' IS NOT DISTINCT FROM t.tool) a;
    END LOOP;
END $function$;
COMMENT ON FUNCTION "Ops1".migrations_in_deploy_ledgers(jsonb, text, boolean) IS
    'Whether these migrations (an array of objects: name, version, tool) are applied, as the ledgers of their deploy tools say; no row where there is no ledger. '
    'newest_only: the ledger keeps only the newest version. search_path: where ledgers are looked for, besides public; refuse_untrusted: an untrusted one is refused '
    '(SQLSTATE MR024), otherwise it is left out. Does not write.';

CREATE FUNCTION "Ops1".migration_ledger_findings(names text[] DEFAULT NULL)
RETURNS TABLE (migration_name text, ledger text, finding text, tool text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    supabase boolean := to_regnamespace('supabase_migrations') IS NOT NULL;
BEGIN
    RETURN QUERY
    WITH registered AS (
        SELECT h.migration_name AS name, h.migration_version AS version, h.status, h.metadata ->> 'tool' AS tool, h.metadata ->> 'search_path' AS path
          FROM "Ops1".migration_history h
         WHERE (migration_ledger_findings.names IS NULL OR h.migration_name = ANY (migration_ledger_findings.names))
           AND h.metadata ->> 'system' IS DISTINCT FROM 'true' AND (supabase OR h.metadata ? 'tool')),
    asked AS (                          -- once for each path on which a ledger may be found
        SELECT r.path, jsonb_agg(jsonb_build_object('name', r.name, 'version', r.version, 'tool', r.tool)) AS migrations FROM registered r GROUP BY r.path),
    answered AS MATERIALIZED (
        SELECT n.migration_name AS name, n.ledger::text AS ledger, n.is_applied, n.newest_only
          FROM asked a CROSS JOIN LATERAL "Ops1".migrations_in_deploy_ledgers(a.migrations, a.path, false) n)
    SELECT r.name, a.ledger, found.finding, r.tool
      FROM registered r JOIN answered a ON a.name = r.name
      LEFT JOIN LATERAL (                -- what made it rolled back, and whether its row was taken out of the ledger then
          SELECT e.details, e.event_number FROM "Ops1".migration_events e
           WHERE r.status = 'rolled_back' AND a.is_applied AND e.migration_name = r.name
             AND (e.event = 'rolled_back' OR e.event = 'resolved' AND e.details ->> 'new' = 'rolled_back'
                  OR e.event = 'history_changed' AND e.details #>> '{new,status}' = 'rolled_back')
           ORDER BY e.event_number DESC LIMIT 1) undone ON true
     CROSS JOIN LATERAL (SELECT CASE
          WHEN r.status <> 'rolled_back' THEN CASE WHEN NOT a.is_applied THEN 'missing' END
          WHEN NOT a.is_applied THEN NULL
          -- A ledger of the newest version alone shows it only where it did not cover the version after the rollback, and nothing here moved it over that since.
          WHEN a.newest_only AND undone.details -> 'ledger' ? 'kept' THEN NULL
          WHEN a.newest_only AND EXISTS (
              SELECT FROM "Ops1".migration_events e JOIN "Ops1".migration_history h ON h.migration_name = e.migration_name
               WHERE e.event_number > undone.event_number AND e.event IN ('applied', 'resolved') AND e.details -> 'ledger' ? 'inserted'
                 AND h.metadata ->> 'tool' = r.tool
                 AND substring(h.migration_version FROM '^[0-9]{1,255}$')::numeric > substring(r.version FROM '^[0-9]{1,255}$')::numeric) THEN NULL
          WHEN undone.details ? 'ledger' THEN 'applied_again'
          ELSE 'contradiction' END AS finding) found
     WHERE found.finding IS NOT NULL;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_ledger_findings(text[]) IS
    'What the ledgers of their deploy tools know better of registered migrations (names; NULL: of all): applied_again (rolled back here, its row taken out, and the '
    'ledger holds it again), contradiction (it is rolled_back here, the ledger holds it, and no rollback or resolution took its row out), missing (applied here, and the '
    'ledger does not hold it). No row for the others, where there is no ledger, and for a rollback that a ledger of the newest version alone cannot show. Does not write.';

CREATE FUNCTION "Ops1".ledger_finding_warning(name text, ledger text, finding text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE finding
        WHEN 'missing' THEN format('The ledger %s does not hold it: its deploy tool has undone it, or never applied it', ledger)
        WHEN 'applied_again' THEN format('The ledger %s holds it again: its deploy tool applied it after its rollback. Run migrollback sync, which records that', ledger)
        WHEN 'contradiction' THEN
            format('The ledger %s holds it, though its status is rolled_back and no rollback took its row out. Look which is true, then: '
                   'migrollback resolve %s --as applied|rolled_back --reason TEXT', ledger, name)
    END
$function$;
COMMENT ON FUNCTION "Ops1".ledger_finding_warning(text, text, text) IS
    'A finding of migration_ledger_findings() in words, with what to do. Does not write.';

CREATE FUNCTION "Ops1".deploy_ledgers_of_migrations(names text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT n.ledger::text
          FROM (SELECT h.metadata ->> 'search_path' AS search_path,
                       jsonb_agg(jsonb_build_object('name', h.migration_name, 'version', h.migration_version, 'tool', h.metadata ->> 'tool')) AS migrations
                  FROM "Ops1".migration_history h
                 WHERE h.migration_name = ANY (names) AND (h.metadata ? 'tool' OR to_regnamespace('supabase_migrations') IS NOT NULL)
                   AND h.metadata ->> 'system' IS DISTINCT FROM 'true' GROUP BY 1) m
         CROSS JOIN LATERAL "Ops1".migrations_in_deploy_ledgers(m.migrations, m.search_path, false) n
         ORDER BY 1);
END $function$;
COMMENT ON FUNCTION "Ops1".deploy_ledgers_of_migrations(text[]) IS
    'The ledgers of deploy tools from which a rollback of these migrations takes them. Does not write.';

CREATE FUNCTION "Ops1".newest_in_deploy_ledger(tool text, version text, search_path text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l     record;
    found text;
BEGIN
    SELECT * INTO l FROM "Ops1".deploy_ledger(tool, search_path);
    IF l.newest IS NOT NULL THEN
        EXECUTE format(l.newest, l.ledger) INTO found USING version;
    END IF;
    RETURN found;
END $function$;
COMMENT ON FUNCTION "Ops1".newest_in_deploy_ledger(text, text, text) IS
    'The version that a deploy tool goes on from, for tools that look at nothing else (version: of a migration, whose project is meant where a ledger keeps several); '
    'NULL for the others and where there is no ledger. Does not write.';

CREATE FUNCTION "Ops1".not_newest_in_deploy_ledger_warning(name text, version text, status text, metadata jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    newest text := "Ops1".newest_in_deploy_ledger(metadata ->> 'tool', version, metadata ->> 'search_path');
BEGIN
    IF status <> 'rolled_back'
       AND (CASE WHEN metadata ? 'previous_version' THEN newest::numeric > substring(version FROM '^[0-9]{1,255}$')::numeric ELSE newest <> version END) THEN
        RETURN format('%s goes on from the newest that it applied, %s: it will take this one for applied, and not apply it again', metadata ->> 'tool',
                      coalesce((SELECT h.migration_name FROM "Ops1".migration_history h
                                 WHERE NOT not_newest_in_deploy_ledger_warning.metadata ? 'previous_version' AND h.migration_version = newest LIMIT 1), newest));
    END IF;
    RETURN NULL;
END $function$;
COMMENT ON FUNCTION "Ops1".not_newest_in_deploy_ledger_warning(text, text, text, jsonb) IS
    'What to say of a migration in place behind which its deploy tool does not look back; NULL of others. Does not write.';

CREATE FUNCTION "Ops1".version_before(metadata jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    before text := metadata ->> 'previous_version';
    rolled_back "Ops1".migration_history;
BEGIN
    LOOP
        SELECT * INTO rolled_back FROM "Ops1".migration_history h
         WHERE ltrim(h.migration_version, '0') = ltrim(before, '0') AND before <> '' AND h.metadata ->> 'tool' = version_before.metadata ->> 'tool' AND h.status = 'rolled_back';
        EXIT WHEN NOT FOUND;
        before := rolled_back.metadata ->> 'previous_version';
    END LOOP;
    RETURN before;
END $function$;
COMMENT ON FUNCTION "Ops1".version_before(jsonb) IS
    'The version of the nearest migration in the folder before this one that was not rolled back; metadata: that of this one. Empty before the first, NULL where nobody '
    'knows. Does not write.';

CREATE FUNCTION "Ops1".write_deploy_ledger(
    tool text, ledger regclass, change text, name text, version text, statements text[], before text)
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    written  jsonb;
    reason   text;
    runs_code boolean;
    role_before    name := current_user;
    session_before name := session_user;
    path_after text;
    deferrable_names text;
    ours     record;
    by_rows         boolean := current_setting('track_counts') = 'off';    -- nobody counts then
    writes_before   text;
    token_before    text;
    routines_before text;
BEGIN
    -- Under the lock nobody adds a trigger or changes the owner; what was put there until now is looked at once more.
    EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', ledger);
    reason := CASE WHEN to_regclass(ledger::text) = ledger THEN "Ops1".untrusted_ledger_reason(tool, ledger)
                   ELSE format('The ledger %s was replaced meanwhile', ledger) END;
    PERFORM "Ops1".refuse_untrusted_ledger(reason);

    ours := "Ops1".migration_system_objects();
    runs_code := EXISTS (SELECT FROM "Ops1".deploy_ledger_parts("Ops1".deploy_ledger_relations(tool, ledger)) p
                          WHERE p.class IN ('pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass));
    IF runs_code THEN                   -- most ledgers have none, and a chain of hundreds would feel it
        token_before := "Ops1".migration_system_token();
        routines_before := (SELECT concat_ws(' ', count(*), sum(hashtextextended(f.ctid::text, f.xmin::text::bigint))) FROM pg_proc f WHERE f.oid = ANY (ours.routines));
        SELECT string_agg(DISTINCT format('%I.%I', n.nspname, k.conname), ', ') INTO deferrable_names
          FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE k.condeferrable AND k.conrelid = ledger AND has_schema_privilege(n.oid, 'USAGE');
        by_rows := true;                -- that code may stop the counting for a while
    END IF;
    writes_before := "Ops1".migration_system_writes(ours.tables, by_rows);

    EXECUTE format('WITH ' || change || ' SELECT jsonb_agg(d.r) FROM done AS d (r)', ledger) INTO written USING name, version, statements, before;
    IF deferrable_names IS NOT NULL THEN
        EXECUTE 'SET CONSTRAINTS ' || deferrable_names || ' IMMEDIATE';     -- now, and not at COMMIT, when nobody looks any more
    END IF;

    -- Written out: a path that was changed would choose whose functions and operators these are.
    path_after := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF current_user <> role_before OR session_user <> session_before OR path_after <> 'pg_catalog, pg_temp' THEN
        reason := 'leaves another role or search_path behind';
    ELSIF runs_code AND routines_before <> (SELECT concat_ws(' ', count(*), sum(hashtextextended(f.ctid::text, f.xmin::text::bigint))) FROM pg_proc f WHERE f.oid = ANY (ours.routines)) THEN
        reason := 'touches the tables or functions of the rollback system';     -- asked here: they can no longer be asked themselves
    ELSIF "Ops1".migration_system_writes(ours.tables, by_rows) <> writes_before
       OR runs_code AND "Ops1".migration_system_token() <> token_before THEN
        reason := 'touches the tables or functions of the rollback system';
    END IF;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'what runs when the ledger % is written %', ledger, reason
            USING ERRCODE = 'MR025', HINT = format('Look at the triggers and rules of %s.', ledger);
    END IF;
    RETURN written;
END $function$;
COMMENT ON FUNCTION "Ops1".write_deploy_ledger(text, regclass, text, text, text, text[], text) IS
    'Writes: runs one of the statements of deploy_tools() that change a ledger, and makes sure that what ran with it left our tables, our functions and the role alone (else SQLSTATE MR025). '
    'Returns the rows that were written or taken out. SQLSTATE MR024: untrusted.';

CREATE FUNCTION "Ops1".record_in_deploy_ledger(name text, version text, statements text[], metadata jsonb, search_path text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l       record;
    written jsonb;
BEGIN
    IF metadata ->> 'tool' IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN
        RETURN NULL;                    -- as deploy_ledger() says too, but without a query
    END IF;
    SELECT * INTO l FROM "Ops1".deploy_ledger(metadata ->> 'tool', search_path);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM "Ops1".refuse_untrusted_ledger(l.untrusted);
    IF l.record IS NULL THEN
        RAISE EXCEPTION 'nobody but its own tool can write the ledger %', l.ledger
            USING ERRCODE = '0A000', HINT = format('Apply it with that tool, and run migrollback register %s then.', name);
    END IF;
    written := "Ops1".write_deploy_ledger(metadata ->> 'tool', l.ledger, l.record, name, version, statements, NULL::text);
    RETURN jsonb_build_object('table', l.ledger::text, 'inserted', written -> 0);
END $function$;
COMMENT ON FUNCTION "Ops1".record_in_deploy_ledger(text, text, text[], jsonb, text) IS
    'Writes: tells the ledger of the migration''s deploy tool (metadata: tool), where there is one, that the migration is applied. search_path: where it is looked for, besides '
    'public. Returns what it wrote, or NULL. SQLSTATE 0A000: a ledger that only its tool can write; MR024, MR025: as write_deploy_ledger().';

CREATE FUNCTION "Ops1".forget_in_deploy_ledger(name text, version text, metadata jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l       record;
    before  text;
    removed jsonb;
    kept    boolean;
BEGIN
    IF metadata ->> 'tool' IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN
        RETURN NULL;                    -- as deploy_ledger() says too, but without a query
    END IF;
    SELECT * INTO l FROM "Ops1".deploy_ledger(metadata ->> 'tool', metadata ->> 'search_path');
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM "Ops1".refuse_untrusted_ledger(l.untrusted);
    IF l.newest_only THEN
        before := "Ops1".version_before(metadata);
        IF before IS NULL THEN
            RAISE EXCEPTION 'which version comes before % in the ledger % is not known', version, l.ledger
                USING ERRCODE = 'MR023', HINT = format('Register %s again from its folder, which tells.', name);
        END IF;
    END IF;
    removed := "Ops1".write_deploy_ledger(metadata ->> 'tool', l.ledger, l.forget, name, version, NULL::text[], before);
    IF l.newest_only AND removed IS NULL THEN       -- it was not the newest: the ledger goes on covering it, and cannot say more
        EXECUTE format('SELECT max(a.key::numeric) >= $1 FROM (' || l.applied || ') AS a (key)', l.ledger)
           INTO kept USING substring(version FROM '^[0-9]{1,255}$')::numeric;
    END IF;
    RETURN jsonb_build_object('table', l.ledger::text, CASE WHEN l.newest_only THEN 'now' ELSE 'deleted' END, removed -> 0,
                              'kept', CASE WHEN kept THEN true END);
END $function$;
COMMENT ON FUNCTION "Ops1".forget_in_deploy_ledger(text, text, jsonb) IS
    'Writes: takes a migration out of the ledger of its deploy tool (metadata: tool), where there is one, so that the tool applies it again. One that keeps only the newest '
    'version goes back to the one before. Returns the row that it removed or wrote (kept: the ledger covers the version all the same), or NULL. SQLSTATE MR024, MR025: as write_deploy_ledger().';

-- ---------------------------------------------------------------------------------------------------
-- Deploy tools that are at work now: by the locks that they hold, and by what they left half done.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".crc32_of(data bytea) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    crc bigint := 4294967295;
BEGIN
    -- crc32() comes with PostgreSQL 18 only. The polynomial of IEEE 802.3, bit by bit: the names hashed here are short.
    FOR place IN 0 .. octet_length(data) - 1 LOOP
        crc := crc # get_byte(data, place);
        FOR bit IN 1 .. 8 LOOP
            crc := CASE WHEN crc & 1 = 1 THEN (crc >> 1) # 3988292384 ELSE crc >> 1 END;
        END LOOP;
    END LOOP;
    RETURN crc # 4294967295;
END $function$;
COMMENT ON FUNCTION "Ops1".crc32_of(bytea) IS
    'CRC-32 (IEEE 802.3), from which golang-migrate and sqlx make the keys of their advisory locks. Does not write.';

CREATE FUNCTION "Ops1".deploy_lock_keys(tool text, ledger regclass)
RETURNS TABLE (lowest bigint, highest bigint) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    schema_name text;
    table_name  text;
BEGIN
    SELECT n.nspname, c.relname INTO schema_name, table_name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ledger;
    -- Each as the tool's own code has it.
    RETURN QUERY SELECT k.lowest, k.highest FROM (VALUES
        ('node-pg-migrate', 7241865325823964, 7241865325823964),
        ('Prisma', 72707369, 72707369),
        ('tern', 9628173550095224, 9628173550095224),
        ('goose', 4097083626, 4097083626),
        ('Sqitch', 75474063, 75474063),
        -- the letters of Flyway, and a hash of its table's name of 32 bits, with its sign
        ('Flyway', 77431708279161 - 2147483648, 77431708279161 + 2147483647),
        ('golang-migrate', CASE WHEN table_name <> '_sqlx_migrations' THEN "Ops1".golang_migrate_lock_key(schema_name, table_name) END,
                           CASE WHEN table_name <> '_sqlx_migrations' THEN "Ops1".golang_migrate_lock_key(schema_name, table_name) END),
        ('golang-migrate', CASE WHEN table_name = '_sqlx_migrations' THEN 1026731422 * "Ops1".crc32_of(convert_to(current_database()::text, 'UTF8')) END,
                           CASE WHEN table_name = '_sqlx_migrations' THEN 1026731422 * "Ops1".crc32_of(convert_to(current_database()::text, 'UTF8')) END)
    ) AS k (tool, lowest, highest) WHERE k.tool = deploy_lock_keys.tool AND k.lowest IS NOT NULL;
END $function$;
COMMENT ON FUNCTION "Ops1".deploy_lock_keys(text, regclass) IS
    'The keys (of 64 bits, from lowest to highest) of the advisory locks that a deploy tool holds in this database while it runs; no row for tools that take none. '
    'Does not write.';

CREATE FUNCTION "Ops1".golang_migrate_lock_key(schema_name text, table_name text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    -- CRC-32 over the names, a zero byte between them, times a constant, in 32 bits
    SELECT (("Ops1".crc32_of(convert_to(schema_name, 'UTF8') || '\x00'::bytea || convert_to(table_name, 'UTF8') || '\x00'::bytea
             || convert_to(current_database()::text, 'UTF8'))::numeric * 1486364155) % 4294967296)::bigint
$function$;
COMMENT ON FUNCTION "Ops1".golang_migrate_lock_key(text, text) IS
    'The key of the advisory lock that golang-migrate holds while it runs with this table as its ledger. Does not write.';

CREATE FUNCTION "Ops1".deploy_in_progress(tool text, search_path text) RETURNS TABLE (reason text, pid int)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    l     record;
    busy  record;
    unfinished boolean;
BEGIN
    IF tool IS NULL AND to_regnamespace('supabase_migrations') IS NULL THEN    -- as deploy_ledger() says too, but without a query
        RETURN;
    END IF;
    SELECT * INTO l FROM "Ops1".deploy_ledger(deploy_in_progress.tool, deploy_in_progress.search_path);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF l.untrusted IS NOT NULL THEN
        RETURN QUERY SELECT l.untrusted, NULL::int;
        RETURN;
    END IF;
    SELECT p.pid, p.advisory, a.application_name INTO busy FROM (
        SELECT k.pid, k.locktype = 'advisory' AS advisory FROM pg_locks k
         WHERE k.granted AND k.pid <> pg_backend_pid() AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
           -- whoever holds our gate's lock is one of us, and is waited for there
           AND NOT EXISTS (SELECT FROM pg_locks g WHERE g.pid = k.pid AND g.granted AND g.locktype = 'advisory' AND g.objsubid = 1
                              AND (g.classid::bigint << 32 | g.objid::bigint) = hashtextextended('migrollback_nb gate', 0))
           -- its own lock, or a row of the ledger that it has written and not committed
           AND (k.locktype = 'relation' AND k.relation = l.ledger::oid
                AND k.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                OR k.locktype = 'advisory' AND k.objsubid = 1 AND EXISTS (
                    SELECT FROM "Ops1".deploy_lock_keys(coalesce(deploy_in_progress.tool, 'supabase'), l.ledger) q
                     WHERE (k.classid::bigint << 32) | k.objid::bigint BETWEEN q.lowest AND q.highest))) p
      LEFT JOIN pg_stat_activity a ON a.pid = p.pid
     WHERE a.backend_type IS DISTINCT FROM 'autovacuum worker'
     ORDER BY p.advisory DESC, p.pid LIMIT 1;
    IF FOUND THEN
        RETURN QUERY SELECT format('A deploy is running: process %s%s %s. Wait for it, or end it', busy.pid, ' (' || nullif(busy.application_name, '') || ')',
                      CASE WHEN busy.advisory THEN format('holds the lock of %s', coalesce(deploy_in_progress.tool, 'Supabase'))
                           ELSE format('is writing the ledger %s', l.ledger::regclass) END), busy.pid;
        RETURN;
    END IF;
    IF l.unfinished IS NOT NULL THEN
        EXECUTE format(l.unfinished, l.ledger) INTO unfinished;
    END IF;
    IF unfinished THEN
        RETURN QUERY SELECT format('The ledger %s says that a migration did not come to its end, and no process is at work on it: look at that first, with %s',
                                   l.ledger::regclass, deploy_in_progress.tool), NULL::int;
    END IF;
END $function$;
COMMENT ON FUNCTION "Ops1".deploy_in_progress(text, text) IS
    'Why the ledger of a deploy tool (NULL: Supabase) cannot be relied on now, in words, or no row: the tool is running (its lock is held, or its ledger written and not '
    'committed; pid is its process), or broke off in the middle of a migration (golang-migrate: dirty; pid is NULL), or is untrusted (pid is NULL). search_path: where the ledger is looked for, besides public. '
    'Does not write.';

-- ---------------------------------------------------------------------------------------------------
-- What runs is what is shown: the stored cut of a rollback into statements leaves nothing out but blanks, semicolons and comments.
-- ---------------------------------------------------------------------------------------------------

-- standard_conforming_strings: the expressions of a function are read as the session has it, and these hold backslashes.
CREATE FUNCTION "Ops1".scan_migration_sql(sql text, OUT ends_in text, OUT words text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $function$
DECLARE
    -- As PostgreSQL's own scanner has it: a letter, _ or any character beyond ASCII begins a name; digits and $ go on with it. Written by what is left out.
    other     constant text := '[\u0001-\u0023\u0025-\u002F\u003A-\u0040\u005B-\u005E\u0060\u007B-\u007F]';
    begins    constant text := '[^\u0001-\u0040\u005B-\u005E\u0060\u007B-\u007F]';
    goes_on   constant text := '[^\u0001-\u0023\u0025-\u002F\u003A-\u0040\u005B-\u005E\u0060\u007B-\u007F]';
    in_tag    constant text := '[^\u0001-\u002F\u003A-\u0040\u005B-\u005E\u0060\u007B-\u007F]';
    name_end  constant text := '(^|' || other || ')' || begins || goes_on || '*$';
    name_only constant text := '^' || goes_on || '*$';
    tag_only  constant text := '^(' || begins || in_tag || '*)?$';
    e_alone   constant text := '(^|' || other || ')[eE]$';
    -- Of a line that begins in code: it ends in code too, and no string ends it.
    plain     constant text := '^([^''"$\\/*-]|''[^''\\]*''|"[^"]*"|-[^''"$\\/*-]|[/*][^''"$\\/*-])*[^''"$\\/* \t\f\v-][ \t\f\v]*(--[^\r]*\r?)?$';
    lines     text[] := string_to_array(sql, E'\n');
    line      text;
    number    int := 0;
    piece     text[];
    before    text;                     -- what stands before a sign that may change the state
    sign      text;
    first     text;                     -- character of the sign
    state     text := 'code';
    depth     int;                      -- of comments within comments
    tag       text;                     -- of a dollar quote
    dollar    boolean := false;         -- the sign before was a $: within a dollar quote, or one that may begin one
    in_name   boolean := false;         -- the sign before was a $ within a name
    escaped   boolean := false;         -- the sign before was a backslash that makes the next character a plain one
    after_e   text := '';               -- how far behind the end of an E'' string this is, where it may go on: next to it, on its line, or on another line
    place     int;
    ending    int;
BEGIN
    words := '';
    FOREACH line IN ARRAY lines LOOP
        number := number + 1;
        IF number < cardinality(lines) THEN     -- most lines need no closer look
            CONTINUE WHEN line = '';
            CASE state
                WHEN 'code' THEN
                    CONTINUE WHEN line ~ '^[ \t\f\v]*(--[^\r]*\r?)?$';
                    IF line ~ plain THEN
                        after_e := '';
                        IF length(words) < 200 THEN
                            words := words || regexp_replace(line, '--.*$', '') || ' ';
                        END IF;
                        CONTINUE;
                    END IF;
                WHEN 'dollar quote' THEN
                    CONTINUE WHEN strpos(line, '$') = 0;
                WHEN 'comment' THEN
                    CONTINUE WHEN strpos(line, '/*') = 0 AND strpos(line, '*/') = 0;
                WHEN 'quoted name' THEN
                    CONTINUE WHEN strpos(line, '"') = 0;
                ELSE
                    CONTINUE WHEN strpos(line, '''') = 0;
            END CASE;
        END IF;
        -- The signs that matter and what stands between them, in one pass: it may be long.
        FOR piece IN SELECT regexp_matches(line, '([^-/*''"$\\\r]*)(-+|[*/]+|[''"$]|\\+|\r+|$)', 'g') LOOP
            before := piece[1];
            sign := piece[2];
            first := left(sign, 1);
            CASE state
                WHEN 'code' THEN
                    IF after_e <> '' THEN
                        after_e := CASE WHEN before ~ '[^ \t\f\v]' OR sign !~ '^(\r|''|--|/\*|$)' THEN '' WHEN after_e = 'next' AND before = '' THEN 'next'
                                        WHEN after_e = 'next' THEN 'same line' ELSE after_e END;
                    END IF;
                    IF dollar THEN          -- $1 is a parameter, and what follows is another word
                        before := regexp_replace(before, '^[0-9]+', ' ');
                    END IF;
                    IF first = '''' THEN
                        state := CASE WHEN after_e IN ('next', 'other line') OR before ~ e_alone AND NOT (in_name AND length(before) = 1) THEN 'escaped string' ELSE 'string' END;
                        escaped := false;
                    ELSIF first = '"' THEN
                        state := 'quoted name';
                    ELSIF first = '-' AND sign <> '-' THEN
                        state := 'line comment';
                    ELSIF first = '$' AND dollar AND before ~ tag_only THEN
                        state := 'dollar quote';
                        tag := before;
                    END IF;
                    IF first = '$' THEN
                        in_name := state = 'code' AND (before ~ name_end OR in_name AND before ~ name_only);
                        dollar := state = 'code' AND NOT in_name;
                    ELSE
                        in_name := false;
                        dollar := false;
                    END IF;
                    IF after_e <> '' THEN
                        after_e := CASE first WHEN '''' THEN '' WHEN E'\r' THEN 'other line' WHEN '' THEN after_e ELSE 'same line' END;
                    END IF;
                    IF length(words) < 200 THEN     -- enough to tell BEGIN and COMMIT from anything else
                        words := words || before || CASE WHEN first IN ('', E'\r') OR state = 'line comment' THEN ' ' WHEN first IN ('*', '/') THEN '' ELSE sign END;
                    END IF;
                WHEN 'line comment' THEN
                    IF first = E'\r' THEN
                        state := 'code';
                        after_e := CASE WHEN after_e <> '' THEN 'other line' ELSE '' END;
                    END IF;
                WHEN 'string' THEN
                    IF first = '''' THEN
                        state := 'code';
                    END IF;
                WHEN 'escaped string' THEN
                    IF first = '''' AND NOT (escaped AND before = '') THEN
                        after_e := 'next';
                        state := 'code';
                    END IF;
                    escaped := first = '\' AND length(sign) % 2 = 1;
                WHEN 'quoted name' THEN
                    IF first = '"' THEN
                        state := 'code';
                    END IF;
                WHEN 'dollar quote' THEN
                    IF first = '$' AND dollar AND before = tag THEN
                        state := 'code';
                        dollar := false;
                    ELSE
                        dollar := first = '$';
                    END IF;
                ELSE
                    NULL;                   -- a comment between /* and */
            END CASE;
            WHILE left(sign, 1) IN ('*', '/') AND state IN ('code', 'comment') LOOP    -- a run of these may end a comment, and begin the next
                place := strpos(sign, '/*');
                ending := strpos(sign, '*/');
                IF state = 'comment' AND ending > 0 AND (place = 0 OR ending < place) THEN
                    depth := depth - 1;
                    state := CASE WHEN depth = 0 THEN 'code' ELSE 'comment' END;
                    place := ending;
                ELSE
                    IF state = 'code' THEN
                        words := words || CASE WHEN place <> 1 THEN '*' ELSE ' ' END;       -- an operator
                    END IF;
                    EXIT WHEN place = 0;
                    depth := CASE WHEN state = 'code' THEN 1 ELSE depth + 1 END;
                    state := 'comment';
                END IF;
                sign := substr(sign, place + 2);
            END LOOP;
        END LOOP;
        IF number < cardinality(lines) AND state = 'line comment' THEN
            state := 'code';
        END IF;
        after_e := CASE WHEN after_e <> '' THEN 'other line' ELSE '' END;
        dollar := false;
        in_name := false;
        escaped := false;
    END LOOP;
    ends_in := state;
END $function$;
COMMENT ON FUNCTION "Ops1".scan_migration_sql(text) IS
    'Reads SQL as PostgreSQL''s own scanner does. ends_in: code, or what is open at its end: line comment, comment, string, escaped string (E''...), quoted name, dollar quote. '
    'words: the first of what stands outside of comments; of strings and quoted names no more than their signs. Does not write.';

CREATE FUNCTION "Ops1".migration_coverage_problem(rollback_sql text, statements jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $function$
DECLARE
    bytes   bytea := convert_to(rollback_sql, 'UTF8');
    size    int := octet_length(bytes);
    count   int := jsonb_array_length(statements);
    behind  int := 0;                   -- first byte after the statement before
    place   int := 0;
    is_plain boolean := count <= 20 AND rollback_sql !~ '[''"$\\]|--|/\*|[^\u0001-\u007F]';   -- no strings, no comments, and each character is a byte
    start   int;
    length  int;
    text    text;
    between text;
    scanned record;
    wrapped boolean := false;
    blank   constant text := '[ \t\n\r\f\v;]*';
    -- Strings and quoted names that all end; a backslash only in E'' strings, which have no '' then.
    simple  constant text := '^([^''"\\]|''[^''\\]*''|"[^"]*"|[\u0001-\u0023\u0025-\u002F\u003A-\u0040\u005B-\u005E\u0060\u007B-\u007F][eE]''([^''\\]|\\.)*'')*$';
BEGIN
    -- Most are plain and short, and a list asks for each of thousands: without a query. What does not fit is looked at below, which says why.
    WHILE is_plain LOOP
        start := coalesce((statements -> place -> 0)::int, size);
        is_plain := start >= behind AND substr(rollback_sql, behind + 1, start - behind) ~ CASE WHEN place IN (0, count) THEN '^[ \t\n\r\f\v;]*$' ELSE '^[ \t\n\r\f\v]*;[ \t\n\r\f\v;]*$' END;
        IF is_plain AND place = count THEN
            RETURN NULL;
        END IF;
        behind := start + coalesce((statements -> place -> 1)::int, 0);
        is_plain := is_plain AND behind <= size;
        place := place + 1;
    END LOOP;
    behind := 0;
    place := 0;
    FOR start, length IN SELECT (s ->> 0)::int, (s ->> 1)::int FROM jsonb_array_elements(statements) AS s UNION ALL SELECT NULL, 0 LOOP
        place := place + 1;
        start := coalesce(start, size);             -- the last time round: what stands after the last statement
        IF start < behind OR length > size - start THEN
            RETURN format('statement %s is at bytes %s to %s: %s', place, start, start::bigint + length,
                          CASE WHEN start < behind THEN 'it overlaps the one before' ELSE format('the SQL has %s', size) END);
        END IF;
        -- 10xxxxxx goes on with a character
        IF start < size AND get_byte(bytes, start) & 192 = 128 OR start + length < size AND get_byte(bytes, start + length) & 192 = 128 THEN
            RETURN format('statement %s is at bytes %s to %s, which cuts a character', place, start, start + length);
        END IF;
        between := convert_from(substring(bytes FROM behind + 1 FOR start - behind), 'UTF8');
        IF between !~ ('^' || blank || '$') THEN
            scanned := "Ops1".scan_migration_sql(between);
            IF scanned.ends_in NOT IN ('code', 'line comment') OR scanned.ends_in = 'line comment' AND start < size THEN
                RETURN format('statement %s begins inside a %s', place, scanned.ends_in);
            END IF;
            between := scanned.words;
            IF between !~ ('^' || blank || '$') THEN
                -- A text that is one BEGIN ... COMMIT says no more than that it is to run in a transaction.
                IF place = 1 AND count > 0 AND between ~* ('^' || blank || '(begin([ \t\n\r\f\v]+(work|transaction))?|start[ \t\n\r\f\v]+transaction)[ \t\n\r\f\v]*;' || blank || '$') THEN
                    wrapped := true;
                ELSIF wrapped AND place = count + 1 AND between ~* (
                        '^[ \t\n\r\f\v]*;' || blank || '(commit|end)([ \t\n\r\f\v]+(work|transaction))?([ \t\n\r\f\v]+and[ \t\n\r\f\v]+no[ \t\n\r\f\v]+chain)?' || blank || '$') THEN
                    wrapped := false;
                ELSE
                    RETURN format('%s stands more than blanks, semicolons and comments: %s',
                                  CASE WHEN count = 0 THEN 'there are none, and in it' WHEN place > count THEN 'after the last' ELSE format('before statement %s', place) END,
                                  left(btrim(between, E' \t\n\r\f\v;'), 60));
                END IF;
            END IF;
        END IF;
        IF place BETWEEN 2 AND count AND strpos(between, ';') = 0 THEN
            RETURN format('no semicolon stands between statements %s and %s', place - 1, place);
        END IF;
        EXIT WHEN place > count;
        text := convert_from(substring(bytes FROM start + 1 FOR length), 'UTF8');
        -- Most have nothing that needs a closer look.
        IF text ~ '--|/\*|\$' OR text !~ simple THEN
            scanned := "Ops1".scan_migration_sql(text);
            -- a comment after a statement may go with it, to the end of its line
            IF scanned.ends_in NOT IN ('code', 'line comment')
               OR scanned.ends_in = 'line comment' AND start + length < size AND get_byte(bytes, start + length) NOT IN (10, 13) THEN
                RETURN format('statement %s ends inside a %s', place, scanned.ends_in);
            END IF;
        END IF;
        behind := start + length;
    END LOOP;
    RETURN CASE WHEN wrapped THEN 'BEGIN is left out and COMMIT is not' END;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_coverage_problem(text, jsonb) IS
    'Why these statements ([first byte, bytes, line] of the UTF-8 text) are not all of the SQL, or NULL: between them, and before and after, may stand only blanks, semicolons and comments, '
    'at least one semicolon between two, and BEGIN and COMMIT around them all. Their numbers must be sound: migration_metadata_problem() looks. Does not write.';

CREATE FUNCTION "Ops1".is_schema_list(search_path text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $function$
DECLARE
    name constant text := '("([^"]|"")*"|[^ \t\n\r\f\v,"][^ \t\n\r\f\v,]*)[ \t\n\r\f\v]*';
BEGIN
    RETURN is_schema_list.search_path ~ ('^[ \t\n\r\f\v]*(' || name || '(,[ \t\n\r\f\v]*' || name || ')*)?$');    -- names, quoted or not, between commas
END $function$;
COMMENT ON FUNCTION "Ops1".is_schema_list(text) IS
    'Whether this can be a search_path, so that setting it is no error; NULL of NULL. Does not write.';

CREATE FUNCTION "Ops1".migration_metadata_problem(metadata jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    rollback jsonb := nullif(metadata -> 'rollback', 'null');
BEGIN
    -- One expression, for it is asked for each migration of a list. A number is that of a statement, a byte or a line.
    RETURN CASE
        WHEN jsonb_typeof(metadata -> 'tool') NOT IN ('string', 'null') THEN 'tool is no text'
        WHEN jsonb_typeof(metadata -> 'previous_version') NOT IN ('string', 'null') THEN 'previous_version is no text'
        WHEN metadata ->> 'previous_version' !~ '^[0-9]{0,18}$' THEN 'previous_version is no number'
        WHEN jsonb_typeof(metadata -> 'system') NOT IN ('boolean', 'null') THEN 'system is neither true nor false'
        WHEN jsonb_typeof(metadata -> 'search_path') NOT IN ('string', 'null') THEN 'search_path is no text'
        WHEN NOT "Ops1".is_schema_list(metadata ->> 'search_path') THEN 'search_path is no list of schemas'
        WHEN jsonb_typeof(rollback) <> 'object' THEN 'rollback is no object'
        WHEN jsonb_typeof(rollback -> 'md5') <> 'string' THEN 'rollback.md5 is no text'
        WHEN jsonb_typeof(rollback -> 'transaction') <> 'boolean' THEN 'rollback.transaction is neither true nor false'
        WHEN jsonb_typeof(rollback -> 'live') <> 'boolean' THEN 'rollback.live is neither true nor false'
        WHEN jsonb_typeof(rollback -> 'error') <> 'object' THEN 'rollback.error is no object'
        WHEN jsonb_typeof(rollback -> 'no_transaction_words') <> 'string' THEN 'rollback.no_transaction_words is no text'
        WHEN rollback -> 'statements' <> '[]' AND (jsonb_typeof(rollback -> 'statements') <> 'array' OR jsonb_path_exists(rollback -> 'statements', 'strict $[*] ? (@.type() != "array" || @.size() != 3 || exists(@[*] ? (
                       @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())) || @[1] < 1)', '{}', true))
            THEN 'rollback.statements is no list of what belongs there'
        WHEN rollback -> 'refused_in_transaction' <> '[]' AND (jsonb_typeof(rollback -> 'refused_in_transaction') <> 'array' OR jsonb_path_exists(rollback -> 'refused_in_transaction', 'strict $[*] ? (@.type() != "object")', '{}', true))
            THEN 'rollback.refused_in_transaction is no list of what belongs there'
        WHEN rollback -> 'set_local' <> '[]' AND (jsonb_typeof(rollback -> 'set_local') <> 'array' OR jsonb_path_exists(rollback -> 'set_local', 'strict $[*] ? (@.type() != "string")', '{}', true))
            THEN 'rollback.set_local is no list of what belongs there'
        WHEN rollback -> 'set_session' <> '[]' AND (jsonb_typeof(rollback -> 'set_session') <> 'array' OR jsonb_path_exists(rollback -> 'set_session', 'strict $[*] ? (@.type() != "string")', '{}', true))
            THEN 'rollback.set_session is no list of what belongs there'
        WHEN rollback -> 'unseen' <> '[]' AND (jsonb_typeof(rollback -> 'unseen') <> 'array' OR jsonb_path_exists(rollback -> 'unseen', 'strict $[*] ? (@.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())', '{}', true))
            THEN 'rollback.unseen is no list of what belongs there'
        WHEN rollback -> 'not_undone' <> '[]' AND (jsonb_typeof(rollback -> 'not_undone') <> 'array' OR jsonb_path_exists(rollback -> 'not_undone', 'strict $[*] ? (@.type() != "array" || @.size() != 2 || exists(@[0] ? (
                       @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())) || @[1].type() != "string")', '{}', true))
            THEN 'rollback.not_undone is no list of what belongs there'
        WHEN rollback -> 'calls' <> '[]' AND (jsonb_typeof(rollback -> 'calls') <> 'array' OR jsonb_path_exists(rollback -> 'calls', 'strict $[*] ? (@.type() != "array" || @.size() != 3 || exists(@[0] ? (
                       @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())) ||
                       @[2].type() != "string" || (@[1].type() != "string" && @[1].type() != "null"))', '{}', true))
            THEN 'rollback.calls is no list of what belongs there'
        WHEN rollback -> 'writes' <> '[]' AND (jsonb_typeof(rollback -> 'writes') <> 'array' OR jsonb_path_exists(rollback -> 'writes', 'strict $[*] ? (@.type() != "array" || @.size() != 4 || exists(@[0] ? (
                       @.type() != "number" || @ < 0 || @ > 1073741823 || @ != @.floor())) ||
                       @[1].type() != "string" || @[3].type() != "string" || (@[2].type() != "string" && @[2].type() != "null"))', '{}', true))
            THEN 'rollback.writes is no list of what belongs there'
    END;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_metadata_problem(jsonb) IS
    'What in migration_history.metadata cannot be what a registration wrote, so that nothing may be read from it, in words; NULL where all is sound. Does not write.';

-- ---------------------------------------------------------------------------------------------------
-- The gate: may this migration be rolled back? Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".migration_dependents(name text)
RETURNS TABLE (migration_name text, depends_on text, status text, applied_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    -- The planner guesses too few rows for a recursion and scans whole tables at each level: a chain of 300 took 44 ms, so 3.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $function$
    WITH RECURSIVE reached (migration_name) AS (
        SELECT migration_dependents.name
        UNION                           -- not UNION ALL: a cycle made by hand must not run for ever
        SELECT d.migration_name FROM reached r JOIN "Ops1".migration_dependencies d ON d.depends_on = r.migration_name)
    SELECT d.migration_name, d.depends_on, h.status, h.applied_at
    FROM reached r
    JOIN "Ops1".migration_dependencies d ON d.depends_on = r.migration_name
    JOIN "Ops1".migration_history h ON h.migration_name = d.migration_name
$function$;
COMMENT ON FUNCTION "Ops1".migration_dependents(text) IS
    'Every dependency by which another migration rests on this one, directly or through others: one row for each edge. Does not write.';

CREATE FUNCTION "Ops1".migrations_to_roll_back_first(names text[], done text[] DEFAULT '{}') RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    -- The planner guesses too few rows for a recursion and scans whole tables at each level: a chain of 300 took 44 ms, so 3.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM "Ops1".migration_dependencies d WHERE d.depends_on = ANY (names) AND d.migration_name <> ALL (done)) THEN
        RETURN '{}';
    END IF;
    RETURN (
        WITH RECURSIVE reached (migration_name) AS (
            SELECT unnest(names)
            UNION
            SELECT d.migration_name FROM reached r JOIN "Ops1".migration_dependencies d ON d.depends_on = r.migration_name
            WHERE d.migration_name <> ALL (done))
        SELECT coalesce(array_agg(r.migration_name ORDER BY r.migration_name COLLATE "C"), '{}')
        FROM reached r JOIN "Ops1".migration_history h ON h.migration_name = r.migration_name
        WHERE h.status <> 'rolled_back' AND h.migration_name <> ALL (names));
END $function$;
COMMENT ON FUNCTION "Ops1".migrations_to_roll_back_first(text[], text[]) IS
    'Names of all migrations still in place that depend on one of these, directly or through others, in order of name. '
    'done: migrations that were asked about before, so that what rests on them is known to be gone. Does not write.';

CREATE FUNCTION "Ops1".migration_blocking_reason(
    status text, has_dependents boolean, rollback_sql text, metadata jsonb)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    reason  text;
    problem text;
BEGIN
    reason := CASE
        WHEN status = 'rolled_back' THEN 'Already rolled back, cannot rollback again'
        WHEN status = 'failed'      THEN 'Rollback failed, manual intervention required'
        WHEN status <> 'applied'    THEN format('Status is %s, not applied', status)
        WHEN has_dependents         THEN 'Cannot rollback: other migrations depend on this one'
        WHEN coalesce(btrim(rollback_sql, E' \t\r\n'), '') = '' THEN 'No rollback SQL defined for this migration'
    END;
    IF reason IS NOT NULL THEN
        RETURN reason;
    END IF;
    -- What steers the run is looked at before any of it is used: a preview that trusts it would show one thing, and another would run.
    problem := "Ops1".migration_metadata_problem(metadata);
    IF problem IS NOT NULL THEN
        RETURN format('What is stored of the rollback cannot be right (%s): register the migration again from its file', problem);
    END IF;
    IF metadata #>> '{rollback,md5}' IS DISTINCT FROM md5(convert_to(rollback_sql, 'UTF8')) THEN
        RETURN NULL;                    -- set by hand: nothing is known of it, and it runs in one piece
    END IF;
    reason := CASE
        WHEN metadata #> '{rollback,error}' IS NOT NULL THEN
            format('Rollback SQL is not valid: line %s, column %s: %s',
                   metadata #>> '{rollback,error,line}', metadata #>> '{rollback,error,column}', metadata #>> '{rollback,error,message}')
        WHEN metadata #>> '{rollback,transaction}' <> 'false' AND jsonb_array_length(metadata #> '{rollback,refused_in_transaction}') > 0 THEN
            format('Rollback SQL cannot run inside a transaction: line %s: %s (write %s)',
                   metadata #>> '{rollback,refused_in_transaction,0,line}', metadata #>> '{rollback,refused_in_transaction,0,statement}',
                   coalesce(metadata #>> '{rollback,no_transaction_words}', '-- ROLLBACK START transaction:false'))
    END;
    IF reason IS NULL AND metadata #> '{rollback,statements}' IS NOT NULL THEN
        problem := "Ops1".migration_coverage_problem(rollback_sql, metadata #> '{rollback,statements}');
        IF problem IS NOT NULL THEN
            reason := format('The stored statements do not cover the rollback SQL (%s): register the migration again from its file', problem);
        END IF;
    END IF;
    RETURN reason;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_blocking_reason(text, boolean, text, jsonb) IS
    'The first rule that forbids a rollback, in words, or NULL: status, then dependents, then rollback SQL and what is stored of it. Does not write.';

CREATE FUNCTION "Ops1".can_rollback_migration(name text)
RETURNS TABLE (can_rollback boolean, reason text, dependent_migrations text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT found.reason IS NULL, coalesce(found.reason, 'Migration can be safely rolled back'), found.dependents
    FROM (SELECT CASE WHEN h.id IS NULL THEN 'Migration not found'
                      ELSE coalesce("Ops1".migration_blocking_reason(h.status, cardinality(first.names) > 0, h.rollback_sql, h.metadata),
                                    (SELECT p.reason FROM "Ops1".deploy_in_progress(h.metadata ->> 'tool', h.metadata ->> 'search_path') p)) END AS reason,
                 first.names AS dependents
          FROM (SELECT "Ops1".migrations_to_roll_back_first(ARRAY[can_rollback_migration.name], '{}'::text[]) AS names) first
          LEFT JOIN "Ops1".migration_history h ON h.migration_name = can_rollback_migration.name) found
$function$;
COMMENT ON FUNCTION "Ops1".can_rollback_migration(text) IS
    'May this migration be rolled back now? can_rollback; reason, in words; dependent_migrations: all that must be rolled back first. '
    'Always one row, also for an unknown name. Does not write.';

CREATE FUNCTION "Ops1".list_rollbackable_migrations()
RETURNS TABLE (migration_name text, migration_version text, applied_at timestamptz, status text, can_rollback boolean,
               has_rollback_sql boolean, blocking_reason text, dependent_migrations text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    -- The planner takes `blocked` for a few rows and loops over it for every migration: seconds at 10,000. Compiling takes longer than running.
    SET enable_nestloop = off SET jit = off AS $function$
    WITH RECURSIVE edge AS MATERIALIZED (
        SELECT d.depends_on AS base, d.migration_name AS dependent, h.status <> 'rolled_back' AS in_place
        FROM "Ops1".migration_dependencies d
        JOIN "Ops1".migration_history h ON h.migration_name = d.migration_name),
    beyond AS (                         -- what was rolled back blocks nothing, but what rests on it does: linear, where a closure is not
        SELECT e.base, e.dependent FROM edge e JOIN "Ops1".migration_history b ON b.migration_name = e.base AND b.status <> 'rolled_back'
         WHERE NOT e.in_place
        UNION
        SELECT n.base, e.dependent FROM beyond n JOIN edge e ON e.base = n.dependent WHERE NOT e.in_place),
    blocked AS (
        SELECT x.base, array_agg(DISTINCT x.dependent COLLATE "C" ORDER BY x.dependent COLLATE "C") AS names
        FROM (SELECT e.base, e.dependent FROM edge e WHERE e.in_place
              UNION ALL SELECT n.base, e.dependent FROM beyond n JOIN edge e ON e.base = n.dependent WHERE e.in_place) x
        WHERE x.dependent <> x.base GROUP BY x.base),
    running AS MATERIALIZED (           -- once for each ledger, not for each migration
        SELECT p.tool, p.path, p.reason
        FROM (SELECT t.tool, t.path, d.reason
              FROM (SELECT DISTINCT h.metadata ->> 'tool' AS tool, h.metadata ->> 'search_path' AS path FROM "Ops1".migration_history h
                    WHERE h.status <> 'rolled_back') t CROSS JOIN LATERAL "Ops1".deploy_in_progress(t.tool, t.path) d) p)
    SELECT h.migration_name, h.migration_version, h.applied_at, h.status, r.reason IS NULL,
           coalesce(btrim(h.rollback_sql, E' \t\r\n'), '') <> '', r.reason, coalesce(b.names, '{}')
    FROM "Ops1".migration_history h
    LEFT JOIN blocked b ON b.base = h.migration_name
    LEFT JOIN running ON (running.tool, running.path) IS NOT DISTINCT FROM (h.metadata ->> 'tool', h.metadata ->> 'search_path')
    -- OFFSET: pulled up it would be asked twice for each row
    CROSS JOIN LATERAL (SELECT coalesce("Ops1".migration_blocking_reason(h.status, b.names IS NOT NULL, h.rollback_sql, h.metadata), running.reason) AS reason
                        OFFSET 0) r
    WHERE h.status <> 'rolled_back'
    ORDER BY h.applied_at DESC, h.migration_name COLLATE "C" DESC
$function$;
COMMENT ON FUNCTION "Ops1".list_rollbackable_migrations() IS
    'All migrations in place (status applied or failed), newest first, and whether each may be rolled back. blocking_reason is NULL when it may. '
    'dependent_migrations holds the nearest that block; can_rollback_migration() gives all. Does not write.';

CREATE FUNCTION "Ops1".migration_warnings(name text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(array_agg(w.warning ORDER BY w.place), '{}')
    FROM "Ops1".migration_history h
    CROSS JOIN LATERAL (VALUES
        (1, CASE WHEN h.metadata ->> 'system' = 'true' THEN format(
                'This removes the rollback system itself: the audit trail ends here and %s other migrations lose their history',
                (SELECT count(*) FROM "Ops1".migration_history o WHERE o.migration_name <> h.migration_name)) END),
        (2, CASE WHEN h.metadata #>> '{rollback,live}' = 'true' AND "Ops1".supabase_ledger() IS NOT NULL THEN
                'The rollback block is live SQL: supabase db push runs it as well. Comment it out line by line' END),
        (3, CASE WHEN h.metadata #>> '{rollback,transaction}' = 'false' THEN
                'The rollback runs statement by statement outside a transaction: when it stops halfway, what ran stays; a second run resumes' END),
        (4, CASE WHEN coalesce(h.rollback_sql, '') <> '' AND h.metadata #>> '{rollback,md5}' IS DISTINCT FROM md5(convert_to(h.rollback_sql, 'UTF8')) THEN
                'The rollback SQL was set by hand, not read from a file' END),
        (5, CASE WHEN coalesce(h.rollback_sql, '') = '' THEN
                'The file''s rollback block holds only comments; read as commented-out SQL it fails in ' || (h.metadata ->> 'rollback_remark') END),
        (6, CASE WHEN h.metadata ? 'tool' OR to_regnamespace('supabase_migrations') IS NOT NULL THEN (
                SELECT "Ops1".ledger_finding_warning(f.migration_name, f.ledger, f.finding)
                  FROM "Ops1".migration_ledger_findings(ARRAY[h.migration_name]) f) END),
        (7, CASE WHEN h.metadata ? 'tool' THEN "Ops1".not_newest_in_deploy_ledger_warning(h.migration_name, h.migration_version, h.status, h.metadata) END)
    ) AS w (place, warning)
    WHERE h.migration_name = migration_warnings.name AND w.warning IS NOT NULL
$function$;
COMMENT ON FUNCTION "Ops1".migration_warnings(text) IS
    'What a person should know before rolling this migration back, besides the rules of can_rollback_migration(). Does not write.';

CREATE FUNCTION "Ops1".effective_search_path() RETURNS text
LANGUAGE plpgsql STABLE AS $function$
DECLARE
    schema_name name;
    path        text;
BEGIN
    -- No pinned path, on purpose: what the caller's own path comes to is what it tells. Hence every name is written out, and there is no operator (nullif() has one).
    FOREACH schema_name IN ARRAY pg_catalog.current_schemas(false) LOOP
        path := pg_catalog.concat_ws(', ', path, pg_catalog.quote_ident(schema_name));
    END LOOP;
    RETURN coalesce(path, '');
END $function$;
COMMENT ON FUNCTION "Ops1".effective_search_path() IS
    'The schemas of the caller''s search_path that exist, quoted, in order: "$user" resolved. Does not write.';

CREATE FUNCTION "Ops1".migration_rollback_path(metadata jsonb, otherwise text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(metadata ->> 'search_path', otherwise)
$function$;
COMMENT ON FUNCTION "Ops1".migration_rollback_path(jsonb, text) IS
    'The search_path that the rollback SQL runs under: the one recorded at registration, otherwise the given one. Does not write.';

CREATE FUNCTION "Ops1".migration_fingerprint(names text[], otherwise_path text DEFAULT "Ops1".effective_search_path()) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Hexadecimal digits in four groups, so that a refusal can say what has changed: which migrations of which database (12), their rollback SQL and all that
    -- steers how it runs (24),
    -- their status and what depends on them (12), the schema (16). Each over netstrings: no two lists share one text.
    RETURN (
    WITH part (place, width, value) AS (
        SELECT g.place, g.width, string_agg(coalesce(octet_length(convert_to(p.value, 'UTF8')) || ':' || p.value, '-') || ',', '' ORDER BY n.place, p.place)
        FROM unnest(names) WITH ORDINALITY AS n (migration_name, place)
        LEFT JOIN "Ops1".migration_history h ON h.migration_name = n.migration_name
        CROSS JOIN LATERAL (VALUES (1, 12, ARRAY[n.migration_name, current_database()::text, h.id::text]),
                                   (2, 24, ARRAY[h.rollback_sql, "Ops1".migration_rollback_path(h.metadata, otherwise_path), (h.metadata -> 'rollback')::text,
                                                 h.migration_version, (h.metadata -> 'tool')::text, (h.metadata -> 'previous_version')::text, (h.metadata -> 'system')::text,
                                                 CASE WHEN h.metadata ? 'previous_version' THEN "Ops1".version_before(h.metadata) END]),
                                   (3, 12, ARRAY[h.status])) AS g (place, width, "values")
        CROSS JOIN LATERAL unnest(g."values") WITH ORDINALITY AS p (value, place)
        GROUP BY g.place, g.width)
    SELECT string_agg(left(encode(sha256(convert_to(p.value || CASE WHEN p.place = 3 THEN array_to_json("Ops1".migrations_to_roll_back_first(names, '{}'::text[]))::text ELSE '' END, 'UTF8')), 'hex'),
                           p.width), '' ORDER BY p.place)
           || left(encode(sha256(convert_to("Ops1".schema_token(), 'UTF8')), 'hex'), 16)
    FROM part p);
END $function$;
COMMENT ON FUNCTION "Ops1".migration_fingerprint(text[], text) IS
    'Of what a preview showed: the migrations; their rollback SQL and all that is stored of how it runs: search_path (otherwise_path where none is recorded), rollback with all its keys, '
    'migration_version, tool, previous_version and the version that a ledger goes back to, system; their status; what depends on them; and the schema. Not description, rollback_remark, notes and keys '
    'of the user''s own. execute_migration_rollback() refuses when it differs. Does not write.';

CREATE FUNCTION "Ops1".changed_since_preview(preview text, now text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT CASE
        WHEN preview = now THEN NULL
        WHEN length(preview) <> 64 OR left(preview, 12) <> left(now, 12) THEN 'The preview is not of these migrations in this database: look at a new one first'
        WHEN substr(preview, 13, 24) <> substr(now, 13, 24) THEN 'The rollback SQL has changed since the preview, or what is stored of how it runs: look at a new one first'
        WHEN substr(preview, 37, 12) <> substr(now, 37, 12) THEN 'The status, or what depends on it, has changed since the preview: look at a new one first'
        ELSE 'The schema has changed since the preview: look at a new one first'
    END
$function$;
COMMENT ON FUNCTION "Ops1".changed_since_preview(text, text) IS
    'Why a preview with this fingerprint no longer holds, in words, or NULL when it does. now: migration_fingerprint() of this moment. Does not write.';

-- ---------------------------------------------------------------------------------------------------
-- Running migration SQL: in a subtransaction, with the caller's rights, and nothing may be left behind.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".migration_system_objects(OUT tables oid[], OUT routines oid[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    tables := ARRAY(
        SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = '"Ops1"'::regnamespace AND c.relkind = 'r'
          AND c.relname = ANY ('{migration_history, migration_dependencies, migration_events, migration_snapshots, migration_objects}'));
    routines := ARRAY(
        SELECT p.oid FROM pg_proc p
        -- Of one owner with our tables: what others give the same name is theirs.
        WHERE p.pronamespace = '"Ops1"'::regnamespace AND p.proowner = (SELECT c.relowner FROM pg_class c WHERE c.relnamespace = '"Ops1"'::regnamespace AND c.relname = 'migration_history')
          AND p.proname = ANY (ARRAY[
        'add_migration_event',
        'apply_migration',
        'begin_migration_deploy',
        'can_rollback_migration',
        'catalog_row_counts',
        'chain_migration_event',
        'changeable_settings',
        'changed_schema_objects',
        'changed_since_preview',
        'close_migration_rights',
        'complete_history_change',
        'count_rows_within',
        'crc32_of',
        'create_migration_snapshot',
        'deploy_in_progress',
        'deploy_ledger',
        'deploy_ledger_parts',
        'deploy_ledger_relations',
        'deploy_ledgers_of_migrations',
        'deploy_lock_keys',
        'deploy_tools',
        'diff_migration_snapshots',
        'effective_search_path',
        'execute_deploy_rollback',
        'execute_migration_rollback',
        'execute_migration_rollbacks',
        'fail_migration_rollback',
        'finish_migration_rollback',
        'forget_in_deploy_ledger',
        'forget_migration_dependencies',
        'golang_migrate_lock_key',
        'guard_history_change',
        'infer_migration_dependencies',
        'is_passing_error',
        'is_schema_list',
        'is_production_database',
        'is_system_migration',
        'journal_migration_statement',
        'ledger_finding_warning',
        'list_rollbackable_migrations',
        'lock_migrations',
        'mark_migration_objects',
        'mark_production_database',
        'mark_rolled_back',
        'migration_apply_windows',
        'migration_attempt',
        'migration_blocking_reason',
        'migration_catalog_writes',
        'migration_coverage_problem',
        'migration_dependents',
        'migration_deploys',
        'migration_event_hash',
        'migration_fingerprint',
        'migration_grants',
        'migration_ledger_findings',
        'migration_metadata_problem',
        'migration_not_undone',
        'migration_object_history',
        'migration_object_makers',
        'migration_owners',
        'migration_progress_notices',
        'migration_rollback_path',
        'migration_rollback_statements',
        'migration_statements_completed',
        'migration_system_objects',
        'migration_system_token',
        'migration_system_writes',
        'migration_warnings',
        'migrations_in_deploy_ledgers',
        'migrations_of_deploy',
        'migrations_to_roll_back_first',
        'newest_in_deploy_ledger',
        'not_newest_in_deploy_ledger_warning',
        'open_migration_rights',
        'production_refusal',
        'record_applied_again',
        'record_history_change',
        'record_in_deploy_ledger',
        'record_migration_dependencies',
        'record_migration_objects',
        'record_migration_rehearsal',
        'record_missing_in_ledger',
        'record_parsed_objects',
        'refuse_event_change',
        'refuse_history_truncate',
        'refuse_untrusted_ledger',
        'register_migration',
        'register_migrations',
        'rehearse_migration_rollback',
        'rehearse_migration_rollbacks',
        'resolve_migration',
        'routine_users',
        'run_migration_sql',
        'save_migration',
        'scan_migration_sql',
        'schema_changes',
        'schema_object_addresses',
        'schema_object_arrays',
        'schema_objects',
        'schema_snapshot',
        'schema_token',
        'set_migration_row_security',
        'start_migration_rollback',
        'supabase_ledger',
        'transaction_changes',
        'trust_ledger_owner',
        'trusted_ledger_owners',
        'undo_definition_change',
        'untrusted_deploy_ledger',
        'untrusted_ledger_reason',
        'verify_last_rollback',
        'verify_migration_events',
        'verify_migration_rollback',
        'version_before',
        'write_deploy_ledger']));
END $function$;
COMMENT ON FUNCTION "Ops1".migration_system_objects() IS
    'The tables and functions of this system: what migration SQL may not touch and whose rights are closed. Does not write.';

CREATE FUNCTION "Ops1".migration_system_token() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- catalogs are rarely analyzed: the planner would scan them whole, and this grows with the schema
DECLARE
    tables   oid[];
    routines oid[];
BEGIN
    SELECT o.tables, o.routines INTO tables, routines FROM "Ops1".migration_system_objects() o;
    -- (ctid, xmin) names one version of a catalog row, so any DDL on our objects changes the sum.
    -- PL/pgSQL and not SQL for its cached plan: this runs for every migration.
    RETURN (
        SELECT concat_ws(' ', count(*), sum(hashtidextended(v.place, v.xid::text::bigint)))
        FROM (SELECT c.ctid AS place, c.xmin AS xid FROM pg_class c WHERE c.oid = ANY (tables)
              UNION ALL SELECT i.ctid, i.xmin FROM pg_index i WHERE i.indrelid = ANY (tables)
              UNION ALL SELECT a.ctid, a.xmin FROM pg_attribute a WHERE a.attrelid = ANY (tables)
              UNION ALL SELECT t.ctid, t.xmin FROM pg_trigger t WHERE t.tgrelid = ANY (tables)
              UNION ALL SELECT k.ctid, k.xmin FROM pg_constraint k WHERE k.conrelid = ANY (tables)
              UNION ALL SELECT r.ctid, r.xmin FROM pg_policy r WHERE r.polrelid = ANY (tables)
              UNION ALL SELECT f.ctid, f.xmin FROM pg_proc f WHERE f.oid = ANY (routines)) v);
END $function$;
COMMENT ON FUNCTION "Ops1".migration_system_token() IS
    'Differs as soon as DDL has touched one of migration_system_objects(), or added a function of the same name. Does not write.';

CREATE FUNCTION "Ops1".migration_system_writes(tables oid[], rows boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF rows THEN                        -- nobody counts: look at the rows themselves
        RETURN (SELECT concat_ws(' ', count(*), sum(hashtidextended(r.place, r.xid::text::bigint)))
                FROM (SELECT h.ctid AS place, h.xmin AS xid FROM "Ops1".migration_history h
                      UNION ALL SELECT d.ctid, d.xmin FROM "Ops1".migration_dependencies d
                      UNION ALL SELECT s.ctid, s.xmin FROM "Ops1".migration_snapshots s
                      UNION ALL SELECT o.ctid, o.xmin FROM "Ops1".migration_objects o
                      UNION ALL SELECT e.ctid, e.xmin FROM "Ops1".migration_events e) r);
    END IF;
    RETURN (SELECT string_agg(concat_ws('.', pg_stat_get_xact_tuples_inserted(o.oid), pg_stat_get_xact_tuples_updated(o.oid), pg_stat_get_xact_tuples_deleted(o.oid)), ' ')
            FROM unnest(tables) AS o (oid));
END $function$;
COMMENT ON FUNCTION "Ops1".migration_system_writes(oid[], boolean) IS
    'Differs as soon as this transaction has written a row of one of these tables. rows: look at the rows, where nothing counts them. Does not write.';

CREATE FUNCTION "Ops1".transaction_changes(catalogs_only boolean) RETURNS numeric
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Catalogs are tables too: DDL shows as rows written to them. Needs track_counts, which is on unless somebody turned it off.
    IF catalogs_only THEN
        RETURN (SELECT sum(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid))
                FROM unnest('{pg_class, pg_attribute, pg_attrdef, pg_type, pg_proc, pg_constraint, pg_depend, pg_shdepend, pg_index, pg_trigger, pg_rewrite, pg_policy,
                              pg_namespace, pg_description, pg_enum, pg_sequence, pg_inherits, pg_extension, pg_default_acl, pg_auth_members, pg_authid,
                              pg_db_role_setting, pg_init_privs, pg_operator, pg_cast, pg_collation, pg_publication, pg_publication_rel, pg_statistic_ext,
                              pg_event_trigger, pg_foreign_table, pg_foreign_server, pg_foreign_data_wrapper, pg_user_mapping, pg_seclabel, pg_shseclabel,
                              pg_shdescription, pg_am, pg_amop, pg_amproc, pg_opclass, pg_opfamily, pg_aggregate, pg_language, pg_conversion, pg_range,
                              pg_transform, pg_ts_config, pg_ts_config_map, pg_ts_dict, pg_ts_parser, pg_ts_template, pg_subscription, pg_subscription_rel,
                              pg_tablespace, pg_database, pg_partitioned_table, pg_largeobject, pg_largeobject_metadata, pg_publication_namespace,
                              pg_parameter_acl, pg_replication_origin, pg_statistic_ext_data}'::regclass[]) AS c (oid));
    END IF;
    RETURN (SELECT sum(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid))
            FROM pg_class c WHERE c.relkind IN ('r', 'm'));
END $function$;
COMMENT ON FUNCTION "Ops1".transaction_changes(boolean) IS
    'How many rows this transaction has written so far, to the catalogs that DDL writes to, or to all tables; compare two answers. Does not write.';

CREATE FUNCTION "Ops1".migration_rollback_statements(rollback_sql text, metadata jsonb) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    bytes   bytea;
    problem text;
BEGIN
    IF metadata #>> '{rollback,md5}' IS DISTINCT FROM md5(convert_to(rollback_sql, 'UTF8')) OR metadata #> '{rollback,statements}' IS NULL THEN
        RETURN ARRAY[rollback_sql];     -- nobody has parsed this text: it runs as one
    END IF;
    -- The gate has said so already; who comes here without it gets nothing else to run than what is shown.
    problem := coalesce("Ops1".migration_metadata_problem(metadata),
                        "Ops1".migration_coverage_problem(rollback_sql, metadata #> '{rollback,statements}'));
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'The stored statements do not cover the rollback SQL (%)', problem USING ERRCODE = 'MR026', HINT = 'Register the migration again from its file.';
    END IF;
    bytes := convert_to(rollback_sql, 'UTF8');
    RETURN coalesce((SELECT array_agg(convert_from(substring(bytes FROM (s.statement ->> 0)::int + 1 FOR (s.statement ->> 1)::int), 'UTF8') ORDER BY s.place)
                     FROM jsonb_array_elements(metadata #> '{rollback,statements}') WITH ORDINALITY AS s (statement, place)), '{}');
END $function$;
COMMENT ON FUNCTION "Ops1".migration_rollback_statements(text, jsonb) IS
    'The rollback SQL cut into statements where the parser found them at registration, or in one piece when the text is another. SQLSTATE MR026: what is stored of '
    'them leaves something out. Does not write.';

CREATE FUNCTION "Ops1".migration_progress_notices(names text[], place int, rollback_sql text, metadata jsonb) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    asked      text := coalesce(current_setting('migrollback.progress', true), '');
    statements text[];
    parsed     boolean;
    known      jsonb;
BEGIN
    IF asked = '' THEN
        RETURN '{}';
    END IF;
    statements := "Ops1".migration_rollback_statements(rollback_sql, metadata);
    parsed := metadata #>> '{rollback,md5}' = md5(convert_to(rollback_sql, 'UTF8'));
    -- Texts in hex: a notice that cannot be said in the client's encoding is an error, and would make the rollback fail.
    known := jsonb_build_object('asked', encode(convert_to(asked, 'UTF8'), 'hex'), 'migration', encode(convert_to(names[place], 'UTF8'), 'hex'),
                                'migration_number', place, 'migrations', cardinality(names), 'statements', cardinality(statements));
    RETURN ARRAY(SELECT (known || jsonb_build_object('statement_number', s.place, 'text', encode(convert_to(left(s.statement, 500), 'UTF8'), 'hex'),
                                                     'line', CASE WHEN parsed THEN metadata #> ARRAY['rollback', 'statements', (s.place - 1)::text, '2'] END))::text
                 FROM unnest(statements) WITH ORDINALITY AS s (statement, place) ORDER BY s.place) || known::text;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_progress_notices(text[], int, text, jsonb) IS
    'What run_migration_sql() says before each statement of the migration names[place], and after the last, to a client that has asked for it by the setting '
    'migrollback.progress: JSON, texts in hex; nothing to others. Does not write.';

CREATE FUNCTION "Ops1".is_passing_error(sqlstate_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- 40: deadlock, serialization; 53: out of resources; 57: cancelled, shut down; 55P03: lock not available; 55006: object in use;
    -- 42501: not this role; MR023, MR024, MR025: the deploy ledger cannot be told yet. The same SQL may succeed another time, so the migration is not marked failed.
    SELECT left(sqlstate_code, 2) IN ('08', '40', '53', '57') OR sqlstate_code IN ('55P03', '55006', '42501', 'MR023', 'MR024', 'MR025')
$function$;
COMMENT ON FUNCTION "Ops1".is_passing_error(text) IS
    'Whether an error with this SQLSTATE may go away by itself (lock timeout, deadlock, cancel ...). Does not write.';

CREATE FUNCTION "Ops1".changeable_settings(besides text[] DEFAULT '{}', statements text[] DEFAULT '{}') RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- Settings that nobody has declared (app.tenant) are in no list: they are looked for where SQL or the body of a function sets them.
    named constant text := E'\\m(?:set\\s+(?:session\\s+|local\\s+)?|set_config\\s*\\(\\s*'')"?([[:alpha:]_][[:alnum:]_$]*\\.[[:alpha:]_][[:alnum:]_$.]*)';
    names text := current_setting('migrollback.changeable_settings', true);
BEGIN
    IF coalesce(names, '') = '' THEN
        -- Kept for the transaction: pg_settings takes a millisecond each time, which a chain of hundreds would feel.
        -- Those of the transaction itself end with the subtransaction that the SQL runs in; PostgreSQL lets nobody set them back in one.
        SELECT string_agg(s.name, ',' ORDER BY s.name) INTO names
          FROM (SELECT g.name FROM pg_settings g WHERE g.context IN ('user', 'superuser')
                   AND g.name <> ALL ('{search_path, transaction_isolation, transaction_read_only, transaction_deferrable}')
                UNION SELECT unnest('{migrollback.changeable_settings, migrollback.deploy_ledger, migrollback.exclude_schemas, migrollback.progress,
                                      migrollback.recording, migrollback.rehearsal, migrollback.rethrow}'::text[])
                UNION SELECT lower(m.found[1]) FROM pg_proc p CROSS JOIN LATERAL regexp_matches(p.prosrc, named, 'gi') AS m (found)
                       -- looked for by the cheapest means first: of thousands of functions hardly one sets any, and ours set none but those above
                       WHERE p.oid >= 16384 AND strpos(lower(p.prosrc COLLATE "C"), 'set') > 0
                         AND NOT (p.pronamespace = '"Ops1"'::regnamespace AND coalesce(p.proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}')) s;
        PERFORM set_config('migrollback.changeable_settings', names, true);
    END IF;
    RETURN ARRAY(SELECT unnest(string_to_array(names, ','))
                 UNION SELECT b.name FROM unnest(besides) AS b (name) WHERE b.name LIKE '%.%'
                 UNION SELECT lower(m.found[1]) FROM unnest(statements) AS s (statement) CROSS JOIN LATERAL regexp_matches(s.statement, named, 'gi') AS m (found));
END $function$;
COMMENT ON FUNCTION "Ops1".changeable_settings(text[], text[]) IS
    'Names of the settings that SQL can change, search_path apart: those that are declared, our own, those that functions set, and those that `besides` names or '
    '`statements` set. Writes nothing but a setting of the transaction.';

CREATE FUNCTION "Ops1".run_migration_sql(
    statements text[], search_path text, session_path text, session_settings jsonb DEFAULT '{}', set_local text[] DEFAULT '{}',
    set_session text[] DEFAULT '{}', system_tables oid[] DEFAULT '{}', more_follows boolean DEFAULT false, announced text[] DEFAULT '{}')
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    began            timestamptz := clock_timestamp();
    statement_began  timestamptz;
    statement        text;
    statement_ms     numeric[] := '{}';
    place            int := 0;
    role_before      name := current_user;
    session_before   name := session_user;
    path_asked       text;
    path_left        text;
    names            text[] := '{}';
    values_before    text[];
    setting          record;
    put_back         text[] := '{}';
    heard            constant text := current_setting('client_min_messages');
    spoken           constant text := current_setting('client_encoding');
    misheard         text[] := '{}';
    nobody_counts    boolean := current_setting('track_counts') = 'off' OR array_to_string(statements, ' ') ~* 'track_counts';
    writes_before    text := "Ops1".migration_system_writes(system_tables, nobody_counts);
    dependencies_before bigint;
    catalogs_before  numeric;
    changes_before   numeric;
    only_ddl         boolean;
    may_change_settings boolean;
    path_touched     boolean := false;
    unchanged        boolean;
    deferred         text;
    outcome          jsonb;
    announces        boolean := cardinality(announced) = cardinality(statements) + 1;
    statement_count  int := cardinality(statements);
    -- A rehearsal also wants to know the locks and at which statement they came. Only within its transaction: a setting left by somebody else says nothing.
    rehearsed        boolean := coalesce(current_setting('migrollback.rehearsal', true), '') = coalesce(pg_current_xact_id_if_assigned()::text, 'none');
    locks            jsonb := '{}';
    looked_at        int := 0;          -- the last statement after which the locks were looked at
    looking_ms       numeric := 0;
    this_database    oid;
    code text; message text; detail text; hint text; schema_name text; table_name text; constraint_name text;
BEGIN
    IF rehearsed THEN                   -- what is locked already has nothing to do with the SQL
        this_database := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
        SELECT coalesce(jsonb_object_agg(l.relation || ' ' || l.mode, 0), '{}') INTO locks
          FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384 AND l.database = this_database;
    END IF;
    -- Looking at all settings takes longer than a small migration does. An event trigger runs code of its own, whatever the SQL says.
    may_change_settings := EXISTS (SELECT FROM pg_event_trigger e WHERE e.evtenabled <> 'D')
        OR CASE WHEN cardinality(system_tables) > 0
                THEN NOT (SELECT coalesce(bool_and(s.statement !~ ';' AND s.statement ~* E'^\\s*(drop|comment|revoke|alter\\s+table\\s[^;()'']*\\sdrop)\\M'), false)
                          FROM unnest(statements) AS s (statement))
                ELSE array_to_string(statements, ' ') ~* E'\\m(set|reset|discard|do|call|select|execute|with|insert|update|delete|merge|copy|load|trigger)\\M' END;
    IF may_change_settings THEN
        names := "Ops1".changeable_settings(set_local || set_session, statements);
        values_before := ARRAY(SELECT coalesce(current_setting(n.name, true), '') FROM unnest(names) WITH ORDINALITY AS n (name, place) ORDER BY n.place);
    END IF;
    IF cardinality(system_tables) > 0 THEN
        -- DDL always shows in the catalogs; other statements need a look at every table
        only_ddl := (SELECT bool_and(s.statement !~ ';' AND s.statement ~* '^\s*(create|alter|drop|comment|grant|revoke)\M') FROM unnest(statements) AS s (statement));
        dependencies_before := pg_stat_get_xact_tuples_inserted('pg_depend'::regclass) + pg_stat_get_xact_tuples_deleted('pg_depend'::regclass);
        catalogs_before := "Ops1".transaction_changes(true);
        IF NOT only_ddl THEN
            changes_before := "Ops1".transaction_changes(false);
        END IF;
    END IF;
    BEGIN
        -- Set here, not on the function: a function's own path would reach EXECUTE, and DROP TABLE IF EXISTS users would drop nothing.
        -- pg_temp last: unnamed it comes first, and a temporary table would stand in for the one that is meant.
        PERFORM set_config('search_path', coalesce(nullif(run_migration_sql.search_path, ''), 'pg_catalog') || ', pg_temp', true);
        path_asked := pg_catalog.current_setting('search_path');
        path_left := path_asked;
        -- Only for the statements: on that path `numeric * int` may be an operator that somebody planted, and would run as the caller.
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        FOREACH statement IN ARRAY statements LOOP
            place := place + 1;
            IF announces THEN           -- sent at once; for programs in a field that psql does not print
                RAISE NOTICE 'statement % of %', place, statement_count USING ERRCODE = 'MR100', DATATYPE = announced[place];
            END IF;
            statement_began := clock_timestamp();
            PERFORM pg_catalog.set_config('search_path', path_left, true);
            EXECUTE statement;
            path_left := pg_catalog.current_setting('search_path');
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            statement_ms := statement_ms || round(extract(epoch FROM clock_timestamp() - statement_began)::numeric * 1000, 3);
            -- What is said to the client, and in which encoding, is no matter of the SQL: "... does not exist, skipping" must be heard, and understood.
            IF pg_catalog.current_setting('client_min_messages') OPERATOR(pg_catalog.<>) heard THEN
                PERFORM pg_catalog.set_config('client_min_messages', heard, true);
                misheard := pg_catalog.array_append(misheard, 'client_min_messages');
            END IF;
            IF pg_catalog.current_setting('client_encoding') OPERATOR(pg_catalog.<>) spoken THEN
                PERFORM pg_catalog.set_config('client_encoding', spoken, true);
                misheard := pg_catalog.array_append(misheard, 'client_encoding');
            END IF;
            IF rehearsed AND (place = cardinality(statements) OR looking_ms < 20 + extract(epoch FROM clock_timestamp() - began) * 250) THEN
                -- Looking costs more the more locks there are: where it would cost too much, a lock is put down to the first statement that may have taken it.
                statement_began := clock_timestamp();
                BEGIN                   -- no function of ours: the SQL may have another role now, and its own search_path
                    locks := coalesce((SELECT pg_catalog.jsonb_object_agg(l.relation || ' ' || l.mode, looked_at + 1) FROM pg_catalog.pg_locks l
                                        WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
                                          AND l.database = this_database), '{}') || locks;
                EXCEPTION WHEN insufficient_privilege THEN
                    NULL;               -- a role that may not look at locks; the next one may
                END;
                looked_at := place;
                looking_ms := looking_ms + extract(epoch FROM clock_timestamp() - statement_began)::numeric * 1000;
            END IF;
        END LOOP;
        place := NULL;
        IF announces THEN
            RAISE NOTICE '% statements have run', statement_count USING ERRCODE = 'MR100', DATATYPE = announced[statement_count + 1];
        END IF;

        IF current_user <> role_before OR session_user <> session_before THEN
            RAISE EXCEPTION 'the SQL leaves role % behind (it began as %)', current_user, role_before
                USING ERRCODE = 'MR020', HINT = 'End the block with RESET ROLE.';
        END IF;

        -- Success may not be claimed while a deferred constraint is still to be checked.
        SET CONSTRAINTS ALL IMMEDIATE;
        -- As they were, for the next migration in this transaction. Whether there are any is asked first: grouping them all takes half as long as a small migration does.
        IF more_follows AND EXISTS (SELECT FROM pg_constraint k WHERE k.condeferred) THEN
            -- by name, so only where all constraints of one name are alike, and where the caller may look
            SELECT string_agg(c.name, ', ') INTO deferred
              FROM (SELECT format('%I.%I', n.nspname, k.conname) AS name FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
                     WHERE has_schema_privilege(n.oid, 'USAGE') GROUP BY n.nspname, k.conname HAVING bool_and(k.condeferred)) c;
            IF deferred IS NOT NULL THEN
                EXECUTE 'SET CONSTRAINTS ' || deferred || ' DEFERRED';
            END IF;
        END IF;

        IF NOT nobody_counts AND current_setting('track_counts') = 'off' THEN
            RAISE EXCEPTION 'the SQL switches track_counts off in a function that it calls, so that nothing shows what it writes'
                USING ERRCODE = 'MR021', HINT = 'Write SET track_counts in the block itself, or leave it out.';
        END IF;
        -- Whatever the SQL set holds until here. Of what it set for longer than the transaction, two values go back: the session's, and that of this
        -- transaction, which ours comes from. A SET to the value that a SET LOCAL of ours has shows nowhere: hence those that the SQL names. No others: through a
        -- pooler that lends sessions for a transaction, the next client has this one.
        FOR setting IN
            SELECT f.name, f.value, f.changed, NOT f.local AS for_longer, coalesce(session_settings ->> f.name, f.value) AS session_value
            FROM (SELECT n.name, n.value, n.place, coalesce(current_setting(n.name, true), '') <> n.value OR n.name = ANY (misheard) AS changed,
                         lower(n.name) = ANY (set_local) AND lower(n.name) <> ALL (set_session) AS local
                  FROM unnest(names, values_before) WITH ORDINALITY AS n (name, value, place)) f
            WHERE f.changed OR lower(f.name) = ANY (set_session)
               OR session_settings ? f.name AND array_to_string(statements, ' ') ~* ('reset|' || f.name)
            ORDER BY f.place
        LOOP
            BEGIN
                IF setting.for_longer THEN
                    PERFORM set_config(setting.name, setting.session_value, false);
                END IF;
                IF NOT setting.for_longer OR setting.session_value <> setting.value THEN
                    PERFORM set_config(setting.name, setting.value, true);
                END IF;
            EXCEPTION WHEN OTHERS THEN
                RAISE EXCEPTION 'the SQL changes the setting %, which cannot be put back: %', setting.name, SQLERRM
                    USING ERRCODE = 'MR021', HINT = 'Take it out of the block.';
            END;
            IF setting.for_longer AND (setting.changed OR setting.session_value <> setting.value AND lower(setting.name) = ANY (set_session)) THEN
                put_back := put_back || setting.name;
            END IF;
        END LOOP;
        IF may_change_settings AND (path_left <> path_asked OR array_to_string(statements, ' ') ~* 'search_path') THEN
            -- The SET of this function, and of those that call it, no longer puts it back: whoever calls them has to, see effective_search_path().
            PERFORM set_config('search_path', session_path, false), set_config('search_path', 'pg_catalog, pg_temp', true);
            path_touched := true;
            IF path_left <> path_asked AND 'search_path' <> ALL (set_local) THEN
                put_back := put_back || 'search_path'::text;
            END IF;
        END IF;

        IF cardinality(system_tables) > 0 THEN
            IF "Ops1".migration_system_writes(system_tables, nobody_counts) <> writes_before THEN
                RAISE EXCEPTION 'the SQL touches the tables or functions of the rollback system'
                    USING ERRCODE = 'MR022', HINT = 'Leave migration_history and its neighbours to migrollback.';
            END IF;
            -- what sequences and large objects hold is counted nowhere
            -- pg_depend first: most of what DDL makes or drops shows there, and then nothing else need be asked
            unchanged := NOT nobody_counts
                     AND pg_stat_get_xact_tuples_inserted('pg_depend'::regclass) + pg_stat_get_xact_tuples_deleted('pg_depend'::regclass) = dependencies_before
                     AND array_to_string(statements, ' ') !~* '(setval|nextval|\mlo_)';
            IF unchanged THEN
                unchanged := "Ops1".transaction_changes(true) = catalogs_before;
            END IF;
            IF unchanged AND NOT only_ddl THEN
                unchanged := "Ops1".transaction_changes(false) = changes_before;
            END IF;
        END IF;
    EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN     -- OTHERS leaves out the first two
        IF rehearsed AND current_setting('migrollback.rethrow', true) = 'on' THEN
            RAISE;                      -- the place in the statement reaches nobody but a client that gets the error itself
        END IF;
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
            schema_name = SCHEMA_NAME, table_name = TABLE_NAME, constraint_name = CONSTRAINT_NAME;
        IF code = '57014' THEN
            -- Before 18 PostgreSQL sends a cancel to the process and once more to its group: the echo would end us before this one is recorded.
            BEGIN
                PERFORM pg_sleep(0.05);
            EXCEPTION WHEN query_canceled THEN
                NULL;
            END;
        END IF;
        outcome := jsonb_build_object('sqlstate', code, 'message', message, 'detail', nullif(detail, ''), 'hint', nullif(hint, ''),
            'schema', nullif(schema_name, ''), 'table', nullif(table_name, ''), 'constraint', nullif(constraint_name, ''),
            'statement_number', place, 'statement', left(statements[place], 2000));
    END;
    RETURN jsonb_strip_nulls(coalesce(outcome, '{}') || jsonb_build_object(
        'duration_ms', round(extract(epoch FROM clock_timestamp() - began)::numeric * 1000, 3),
        'statement_ms', to_jsonb(statement_ms), 'unchanged', CASE WHEN outcome IS NULL AND unchanged THEN true END,
        'settings_put_back', CASE WHEN outcome IS NULL THEN nullif(to_jsonb(put_back), '[]') END,
        'path_touched', CASE WHEN outcome IS NULL AND path_touched THEN true END,
        'locks', CASE WHEN rehearsed THEN locks END));
END $function$;
COMMENT ON FUNCTION "Ops1".run_migration_sql(text[], text, text, jsonb, text[], text[], oid[], boolean, text[]) IS
    'Writes. Runs statements by server-side EXECUTE under the given search_path, all or none; settings that they change are put back, for the session and for the '
    'transaction. session_path: the caller''s search_path; session_settings: what the session has where this transaction has a SET LOCAL; set_local, set_session: '
    'settings that the parser saw changed until the transaction ends, or for longer; system_tables: our tables, whose rows it may not write; empty: neither that nor '
    'what it changed is looked at; more_follows: another run in this transaction; announced: migration_progress_notices(). '
    'Returns duration_ms, statement_ms (of each), unchanged (true: it ran and wrote nothing), settings_put_back (names; not of those that end with the transaction), '
    'path_touched (true: the caller has to put search_path back for the transaction when it ends), and where it failed sqlstate, message, detail, hint, '
    'statement_number (from 1; none when the failure came after the last), statement. In a rehearsal also locks ("oid mode" -> the first statement that may have '
    'taken it; 0: held before). An error is returned, not raised. MR020: it leaves another role behind; MR021: a setting that cannot be put back; MR022: it touches this system.';

-- ---------------------------------------------------------------------------------------------------
-- Production: a database that is marked so is rolled back only with a reason, for every caller and client.
-- ---------------------------------------------------------------------------------------------------

-- The mark is the last event of its kind: only who may write the audit trail can set it, and who took it away, when and why stays readable.
-- Not a setting of the database: any session could set that otherwise. It goes along with a copy of the database, which is the safe side.
CREATE FUNCTION "Ops1".is_production_database() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- a plan kept from when the table was empty would scan it whole when it is full
BEGIN
    RETURN coalesce((SELECT e.event = 'marked_production' FROM "Ops1".migration_events e
                      WHERE e.event IN ('marked_production', 'unmarked_production') ORDER BY e.event_number DESC LIMIT 1), false);
END $function$;
COMMENT ON FUNCTION "Ops1".is_production_database() IS
    'Whether this database is marked as production by mark_production_database(). Does not write.';

CREATE FUNCTION "Ops1".mark_production_database(
    production boolean DEFAULT true, reason text DEFAULT NULL, client text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF production IS NULL THEN
        RAISE EXCEPTION 'whether this database is production was not said' USING ERRCODE = 'MR006', HINT = 'Say true or false.';
    ELSIF NOT production AND coalesce(btrim(reason, E' \t\r\n'), '') = '' THEN
        RAISE EXCEPTION 'why this database is not production was not said' USING ERRCODE = 'MR006', HINT = 'Give a reason: it goes into the audit trail.';
    END IF;
    PERFORM "Ops1".lock_migrations();   -- a rollback that is running ends under the rule it began under
    IF "Ops1".is_production_database() = production THEN
        RETURN false;
    END IF;
    PERFORM "Ops1".add_migration_event(
        CASE WHEN production THEN 'marked_production' ELSE 'unmarked_production' END, NULL::text, NULL::uuid, mark_production_database.reason,
        mark_production_database.client, '{}'::jsonb);
    RETURN true;
END $function$;
COMMENT ON FUNCTION "Ops1".mark_production_database(boolean, text, text) IS
    'Writes: marks this database as production, where a rollback needs a reason; or, with false and a reason, takes the mark away. One event of the audit trail, '
    'which is the mark. Returns whether anything was changed.';

CREATE FUNCTION "Ops1".production_refusal(reason text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN CASE WHEN coalesce(btrim(reason, E' \t\r\n'), '') = '' AND "Ops1".is_production_database() THEN
                'This database is marked as production: a rollback here needs a reason (argument reason)' END;
END $function$;
COMMENT ON FUNCTION "Ops1".production_refusal(text) IS
    'Why a rollback with this reason, or without any, is refused where the database is marked as production; NULL when it is not. Does not write.';

-- ---------------------------------------------------------------------------------------------------
-- Recording: events, registration, resolution.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".add_migration_event(
    event text, migration_name text, attempt_id uuid DEFAULT NULL, reason text DEFAULT NULL, client text DEFAULT NULL, details jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    number bigint;
BEGIN
    INSERT INTO "Ops1".migration_events AS e (event, migration_name, attempt_id, reason, client, details)
    VALUES (add_migration_event.event, add_migration_event.migration_name, add_migration_event.attempt_id, add_migration_event.reason,
            add_migration_event.client, coalesce(add_migration_event.details, '{}'))
    RETURNING e.event_number INTO number;
    RETURN number;
END $function$;
COMMENT ON FUNCTION "Ops1".add_migration_event(text, text, uuid, text, text, jsonb) IS
    'Writes one event of the audit trail and returns its number.';

CREATE FUNCTION "Ops1".is_system_migration(name text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT name = ANY ('{20250120_migration_rollback_system}')
$function$;
COMMENT ON FUNCTION "Ops1".is_system_migration(text) IS
    'Whether a migration of this name is one of this system''s own: no other may call itself so. Does not write.';

CREATE FUNCTION "Ops1".save_migration(
    name text, version text, rollback_sql text, checksum text, depends_on text[], metadata jsonb)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- a plan kept from when the table was empty would scan it whole when it is full
DECLARE
    old     "Ops1".migration_history;
    missing text[];
    cycle   text[];
    recorded text[];
    verdict text;
    -- What was read from a file says all of these, also by leaving them out.
    told    text[] := CASE WHEN metadata ? 'rollback' THEN '{rollback_remark, tool, previous_version}' ELSE '{rollback_remark}' END;
BEGIN
    SELECT * INTO old FROM "Ops1".migration_history h WHERE h.migration_name = save_migration.name FOR UPDATE;
    IF save_migration.name = ANY (depends_on) THEN
        RAISE EXCEPTION 'migration % depends on itself', name USING ERRCODE = 'MR004', HINT = 'Take its own name out of "-- Depends on:".';
    END IF;
    SELECT array_agg(d.name ORDER BY d.name) INTO missing FROM unnest(depends_on) AS d (name)
     WHERE NOT EXISTS (SELECT FROM "Ops1".migration_history h WHERE h.migration_name = d.name AND h.status <> 'rolled_back');
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'migration % depends on migrations that are not registered, or rolled back: %', name, array_to_string(missing, ', ')
            USING ERRCODE = 'MR003', DETAIL = array_to_json(missing), HINT = 'Register them first, or run sync, which keeps the order.';
    END IF;
    -- A new migration closes no cycle: nothing can depend on it yet.
    IF old.id IS NOT NULL AND cardinality(depends_on) > 0 THEN
        SELECT array_agg(DISTINCT e.migration_name) INTO cycle FROM "Ops1".migration_dependents(save_migration.name) e
         WHERE e.migration_name = ANY (save_migration.depends_on);
        IF cycle IS NOT NULL THEN
            RAISE EXCEPTION 'migration % cannot depend on %, which depends on it', name, array_to_string(cycle, ', ')
                USING ERRCODE = 'MR005', DETAIL = array_to_json(cycle), HINT = 'Take one of the two "-- Depends on:" away; one that was inferred is a row of migration_dependencies.';
        END IF;
    END IF;

    IF NOT "Ops1".is_system_migration(name) THEN
        metadata := metadata - 'system';
    END IF;
    IF old.status <> 'rolled_back' THEN -- it stays with the deploy that brought it
        metadata := metadata - 'deploy';
    END IF;
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    IF old.id IS NULL THEN
        verdict := 'registered';
        -- clock_timestamp(): several of one transaction keep the order in which they come
        INSERT INTO "Ops1".migration_history (migration_name, migration_version, applied_at, rollback_sql, checksum, metadata)
        VALUES (save_migration.name, version, clock_timestamp(), save_migration.rollback_sql, save_migration.checksum, save_migration.metadata);
    ELSE
        SELECT coalesce(array_agg(d.depends_on ORDER BY d.depends_on), '{}') INTO recorded FROM "Ops1".migration_dependencies d
         WHERE d.migration_name = name AND d.source = 'declared';
        verdict := CASE
            WHEN old.status = 'rolled_back' THEN 'applied again'
            WHEN (old.migration_version, old.rollback_sql, old.checksum) IS DISTINCT FROM (version, save_migration.rollback_sql, save_migration.checksum)
              OR (old.metadata - told) || save_migration.metadata IS DISTINCT FROM old.metadata
              OR recorded IS DISTINCT FROM (SELECT coalesce(array_agg(DISTINCT d.name ORDER BY d.name), '{}') FROM unnest(save_migration.depends_on) AS d (name)) THEN 'updated'
            ELSE 'unchanged' END;
        IF verdict <> 'unchanged' THEN
            UPDATE "Ops1".migration_history h
               SET migration_version = version, rollback_sql = save_migration.rollback_sql, checksum = save_migration.checksum,
                   metadata = (CASE WHEN h.status = 'rolled_back' THEN h.metadata - 'deploy' ELSE h.metadata END - told) || save_migration.metadata,
                   status = CASE WHEN h.status = 'rolled_back' THEN 'applied' ELSE h.status END,
                   applied_at = CASE WHEN h.status = 'rolled_back' THEN clock_timestamp() ELSE h.applied_at END,
                   applied_by = CASE WHEN h.status = 'rolled_back' THEN current_user ELSE h.applied_by END
             WHERE h.id = old.id;
            DELETE FROM "Ops1".migration_dependencies d
             WHERE d.migration_name = save_migration.name AND d.depends_on <> ALL (save_migration.depends_on) AND d.source = 'declared';
        END IF;
    END IF;
    IF verdict <> 'unchanged' AND cardinality(depends_on) > 0 THEN
        INSERT INTO "Ops1".migration_dependencies (migration_name, depends_on)
        SELECT DISTINCT save_migration.name, d.name FROM unnest(save_migration.depends_on) AS d (name)
        ON CONFLICT ON CONSTRAINT migration_dependencies_migration_name_depends_on_key DO UPDATE SET source = 'declared', because = NULL;
    END IF;
    PERFORM set_config('migrollback.recording', '', true);
    RETURN verdict;
END $function$;
COMMENT ON FUNCTION "Ops1".save_migration(text, text, text, text, text[], jsonb) IS
    'Writes the history row of a migration and its dependencies, without an event; the caller holds lock_migrations(). '
    'Returns registered, updated, unchanged, or applied again (it had been rolled back). '
    'SQLSTATE MR003: depends on unregistered migrations; MR004: on itself; MR005: in a circle.';

CREATE FUNCTION "Ops1".register_migration(
    name text, version text, rollback_sql text DEFAULT NULL, checksum text DEFAULT NULL, depends_on text[] DEFAULT '{}', metadata jsonb DEFAULT '{}',
    client text DEFAULT NULL,
    search_path text DEFAULT "Ops1".effective_search_path())
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- a plan kept from when the table was empty would scan it whole when it is full
DECLARE
    verdict text;
BEGIN
    PERFORM "Ops1".lock_migrations();
    verdict := "Ops1".save_migration(name, version, rollback_sql, checksum, coalesce(depends_on, '{}'),
        jsonb_build_object('search_path', coalesce(register_migration.search_path, '')) || metadata);
    IF verdict <> 'unchanged' THEN
        PERFORM "Ops1".add_migration_event(
            event => CASE WHEN verdict = 'applied again' THEN 'applied_again' ELSE 'registered' END, migration_name => name, attempt_id => NULL::uuid, reason => NULL::text,
            client => register_migration.client, details => jsonb_strip_nulls(jsonb_build_object(
                'what', verdict, 'checksum', checksum, 'depends_on', nullif(to_jsonb(depends_on), '[]'), 'rollback_md5', md5(convert_to(rollback_sql, 'UTF8')),
                'deploy', CASE WHEN verdict IN ('registered', 'applied again') THEN metadata ->> 'deploy' END)));
    END IF;
    RETURN verdict;
END $function$;
COMMENT ON FUNCTION "Ops1".register_migration(text, text, text, text, text[], jsonb, text, text) IS
    'Writes: records a migration that is in place. name: stem of its file; version: its leading digits; checksum: SHA-256 of the file; '
    'depends_on: names that must be registered already; metadata: see migration_history; search_path: what the rollback SQL runs under, by default '
    'the schemas of the caller''s. Again: updates. After a rollback: says that it is applied again (event applied_again). '
    'Returns registered, updated, unchanged or applied again. SQLSTATE MR003, MR004, MR005 for bad dependencies.';

CREATE FUNCTION "Ops1".register_migrations(
    migrations jsonb, client text DEFAULT NULL, search_path text DEFAULT "Ops1".effective_search_path())
RETURNS TABLE (migration_name text, verdict text) LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- a plan kept from when the table was empty would scan it whole when it is full
DECLARE
    m       record;
    missing text;
BEGIN
    PERFORM "Ops1".lock_migrations();
    IF EXISTS (SELECT FROM jsonb_array_elements(migrations) e JOIN "Ops1".migration_history h ON h.migration_name = e ->> 'name') THEN
        FOR m IN SELECT e.name, e.version, e.rollback_sql, e.checksum, coalesce(e.depends_on, '{}') AS depends_on, coalesce(e.metadata, '{}') AS metadata
                 FROM jsonb_to_recordset(migrations) AS e (name text, version text, rollback_sql text, checksum text, depends_on text[], metadata jsonb)
        LOOP
            migration_name := m.name;
            verdict := "Ops1".register_migration(m.name, m.version, m.rollback_sql, m.checksum, m.depends_on, m.metadata,
                                                             register_migrations.client, register_migrations.search_path);
            RETURN NEXT;
        END LOOP;
        RETURN;
    END IF;

    -- All are new, so they close no circle among what is registered, and go in as sets: ten thousand files in seconds.
    SELECT e ->> 'name' AS migration, d.name AS dependency INTO m FROM jsonb_array_elements(migrations) WITH ORDINALITY AS a (e, place)
     CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(nullif(e -> 'depends_on', 'null'), '[]')) AS d (name)
     LEFT JOIN (SELECT x.e ->> 'name' AS name, x.place FROM jsonb_array_elements(migrations) WITH ORDINALITY AS x (e, place)) earlier
            ON earlier.name = d.name AND earlier.place < a.place
     WHERE earlier.name IS NULL
       AND NOT EXISTS (SELECT FROM "Ops1".migration_history h WHERE h.migration_name = d.name AND h.status <> 'rolled_back') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'migration % depends on a migration that is not registered before it: %', m.migration, m.dependency
            USING ERRCODE = 'MR003', DETAIL = json_build_array(m.dependency), HINT = 'Register it first, or run sync, which keeps the order.';
    END IF;
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    -- A microsecond apart: in the order in which they are given, which need not be that of their names (2 before 10).
    INSERT INTO "Ops1".migration_history (migration_name, migration_version, applied_at, rollback_sql, checksum, metadata)
    SELECT e.name, e.version, now() + e.place * interval '1 microsecond', e.rollback_sql, e.checksum,
           jsonb_build_object('search_path', coalesce(register_migrations.search_path, ''))
           || CASE WHEN "Ops1".is_system_migration(e.name) THEN coalesce(e.metadata, '{}') ELSE coalesce(e.metadata, '{}') - 'system' END
      FROM ROWS FROM (jsonb_to_recordset(migrations) AS (name text, version text, rollback_sql text, checksum text, metadata jsonb))
           WITH ORDINALITY AS e (name, version, rollback_sql, checksum, metadata, place);
    INSERT INTO "Ops1".migration_dependencies (migration_name, depends_on)
    SELECT DISTINCT e ->> 'name', d.name FROM jsonb_array_elements(migrations) AS e
      CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(nullif(e -> 'depends_on', 'null'), '[]')) AS d (name);
    PERFORM set_config('migrollback.recording', '', true);
    INSERT INTO "Ops1".migration_events (event, migration_name, client, details)
    SELECT 'registered', a.e ->> 'name', register_migrations.client, jsonb_strip_nulls(jsonb_build_object(
               'what', 'registered', 'checksum', a.e -> 'checksum', 'depends_on', nullif(a.e -> 'depends_on', '[]'), 'rollback_md5', md5(convert_to(a.e ->> 'rollback_sql', 'UTF8')), 'deploy', a.e #>> '{metadata,deploy}'))
      FROM jsonb_array_elements(migrations) WITH ORDINALITY AS a (e, place) ORDER BY a.place;
    RETURN QUERY SELECT e ->> 'name', 'registered'::text FROM jsonb_array_elements(migrations) AS e;
END $function$;
COMMENT ON FUNCTION "Ops1".register_migrations(jsonb, text, text) IS
    'Writes: register_migration() for each element of an array of objects (name, version, rollback_sql, checksum, depends_on, metadata), '
    'dependencies before dependents; what is new is taken for applied in this order. All or none.';

CREATE FUNCTION "Ops1".record_applied_again(name text, deploy text DEFAULT NULL, client text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    again "Ops1".migration_history;
BEGIN
    PERFORM "Ops1".lock_migrations();
    SELECT * INTO again FROM "Ops1".migration_history h WHERE h.migration_name = record_applied_again.name;
    PERFORM "Ops1".register_migration(
        again.migration_name, again.migration_version, again.rollback_sql, again.checksum,
        ARRAY(SELECT d.depends_on FROM "Ops1".migration_dependencies d WHERE d.migration_name = again.migration_name AND d.source = 'declared'),
        again.metadata - 'deploy' || CASE WHEN record_applied_again.deploy IS NULL THEN '{}' ELSE jsonb_build_object('deploy', record_applied_again.deploy) END,
        record_applied_again.client, coalesce(again.metadata ->> 'search_path', ''));
END $function$;
COMMENT ON FUNCTION "Ops1".record_applied_again(text, text, text) IS
    'Writes: a migration that was rolled back is applied again, by its deploy tool, and nothing but what is registered of it is known here (its file is gone). '
    'deploy: id of the deploy that brought it.';

CREATE FUNCTION "Ops1".record_missing_in_ledger(names text[], client text DEFAULT NULL)
RETURNS SETOF text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    f record;
BEGIN
    PERFORM "Ops1".lock_migrations();
    FOR f IN SELECT * FROM "Ops1".migration_ledger_findings(record_missing_in_ledger.names) m WHERE m.finding = 'missing' ORDER BY m.migration_name LOOP
        -- once for each time that it went: not again until it was applied, or its state resolved, after that
        CONTINUE WHEN 'missing_in_ledger' = (
            SELECT e.event FROM "Ops1".migration_events e
             WHERE e.migration_name = f.migration_name AND e.event IN ('missing_in_ledger', 'registered', 'applied', 'applied_again', 'resolved')
             ORDER BY e.event_number DESC LIMIT 1);
        PERFORM "Ops1".add_migration_event('missing_in_ledger', f.migration_name, NULL::uuid, NULL::text, record_missing_in_ledger.client,
                                                       jsonb_build_object('ledger', f.ledger));
        RETURN NEXT f.migration_name;
    END LOOP;
END $function$;
COMMENT ON FUNCTION "Ops1".record_missing_in_ledger(text[], text) IS
    'Writes an event missing_in_ledger for each of these migrations that is applied here and that its deploy tool''s ledger does not hold, once for each time that it '
    'went. Returns those for which it wrote one.';

CREATE FUNCTION "Ops1".resolve_migration(name text, status text, reason text, client text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    old        "Ops1".migration_history;
    in_the_way text[];
    finding    text;
    ledger     jsonb;
BEGIN
    IF resolve_migration.status IS NULL OR resolve_migration.status NOT IN ('applied', 'rolled_back') THEN
        RAISE EXCEPTION 'a migration is resolved as applied or rolled_back, not as %', resolve_migration.status USING ERRCODE = 'MR006';
    END IF;
    IF coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION 'resolving needs a reason' USING ERRCODE = 'MR006', HINT = 'Say what was found and done: it goes into the audit trail.';
    END IF;
    PERFORM "Ops1".lock_migrations();
    SELECT * INTO old FROM "Ops1".migration_history h WHERE h.migration_name = resolve_migration.name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Migration not found' USING ERRCODE = 'MR001', DETAIL = name;
    END IF;
    SELECT f.finding INTO finding FROM "Ops1".migration_ledger_findings(ARRAY[old.migration_name]) f;
    IF old.status = resolve_migration.status AND finding IS NULL THEN
        RAISE EXCEPTION 'migration % is % already', name, old.status USING ERRCODE = 'MR002';
    END IF;
    IF resolve_migration.status = 'rolled_back' THEN
        in_the_way := "Ops1".migrations_to_roll_back_first(ARRAY[old.migration_name], '{}'::text[]);
        IF cardinality(in_the_way) > 0 THEN
            RAISE EXCEPTION 'Cannot rollback: other migrations depend on this one' USING ERRCODE = 'MR002', DETAIL = array_to_json(in_the_way);
        END IF;
        ledger := "Ops1".forget_in_deploy_ledger(old.migration_name, old.migration_version, old.metadata);
    ELSE
        SELECT array_agg(d.depends_on ORDER BY d.depends_on) INTO in_the_way
          FROM "Ops1".migration_dependencies d JOIN "Ops1".migration_history h ON h.migration_name = d.depends_on
         WHERE d.migration_name = name AND h.status = 'rolled_back';
        IF in_the_way IS NOT NULL THEN
            RAISE EXCEPTION 'cannot be applied: it depends on migrations that are rolled back' USING ERRCODE = 'MR002', DETAIL = array_to_json(in_the_way);
        END IF;
        -- what the ledger holds already need not be told, which a ledger that only its own tool can write could not be
        IF EXISTS (SELECT FROM "Ops1".migrations_in_deploy_ledgers(
                       jsonb_build_array(jsonb_build_object('name', old.migration_name, 'version', old.migration_version, 'tool', old.metadata ->> 'tool')),
                       old.metadata ->> 'search_path', true) n WHERE NOT n.is_applied) THEN
            ledger := "Ops1".record_in_deploy_ledger(old.migration_name, old.migration_version, NULL::text[], old.metadata, old.metadata ->> 'search_path');
        END IF;
    END IF;
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    UPDATE "Ops1".migration_history h SET status = resolve_migration.status, notes = reason WHERE h.id = old.id;
    PERFORM set_config('migrollback.recording', '', true);
    PERFORM "Ops1".add_migration_event('resolved', old.migration_name, NULL::uuid, resolve_migration.reason, resolve_migration.client,
        jsonb_strip_nulls(jsonb_build_object('old', old.status, 'new', resolve_migration.status, 'ledger', ledger)));
    RETURN old.status;
END $function$;
COMMENT ON FUNCTION "Ops1".resolve_migration(text, text, text, text) IS
    'Writes: the way out of status failed, and of what the ledger of the deploy tool contradicts, once a person has looked. status: applied or rolled_back; reason: goes '
    'into the audit trail. The ledger is told, in both directions. Runs no migration SQL. '
    'Returns the status before. SQLSTATE MR001: not found; MR002: refused, DETAIL names the migrations in the way; MR006: bad argument.';

-- ---------------------------------------------------------------------------------------------------
-- Rolling back and applying.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".mark_rolled_back(
    name text, attempt_id uuid, reason text, client text, details jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- a plan kept from when the table was empty would scan it whole when it is full
DECLARE
    marked "Ops1".migration_history;
BEGIN
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    UPDATE "Ops1".migration_history h SET status = 'rolled_back', notes = coalesce(mark_rolled_back.reason, h.notes)
     WHERE h.migration_name = mark_rolled_back.name RETURNING * INTO marked;
    PERFORM set_config('migrollback.recording', '', true);
    PERFORM "Ops1".add_migration_event('rolled_back', name, attempt_id, reason, client, jsonb_strip_nulls(details || jsonb_build_object(
        'rollback_md5', md5(convert_to(marked.rollback_sql, 'UTF8')), 'ledger', "Ops1".forget_in_deploy_ledger(name, marked.migration_version, marked.metadata))));
END $function$;
COMMENT ON FUNCTION "Ops1".mark_rolled_back(text, uuid, text, text, jsonb) IS
    'Writes status, event and the deploy tool''s ledger of a migration whose rollback SQL has run in this transaction.';

CREATE FUNCTION "Ops1".fail_migration_rollback(
    name text, attempt_id uuid, reason text, client text, details jsonb)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    -- A planted function that makes a call of ours ambiguous is not the migration's fault, and goes when it is dropped.
    passing boolean := "Ops1".is_passing_error(details ->> 'sqlstate') OR details ? 'bookkeeping' AND details ->> 'sqlstate' = '42725';
BEGIN
    IF NOT passing THEN
        PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
        UPDATE "Ops1".migration_history h SET status = 'failed' WHERE h.migration_name = fail_migration_rollback.name AND h.status = 'applied';
        PERFORM set_config('migrollback.recording', '', true);
    END IF;
    PERFORM "Ops1".add_migration_event('failed', name, attempt_id, reason, client, details || jsonb_build_object('passing', passing));
    RETURN CASE WHEN passing THEN 'applied' ELSE 'failed' END;
END $function$;
COMMENT ON FUNCTION "Ops1".fail_migration_rollback(text, uuid, text, text, jsonb) IS
    'Writes the event of a rollback that failed, and status failed unless details.sqlstate is of an error that may pass. Returns the status.';

CREATE FUNCTION "Ops1".execute_migration_rollbacks(
    names text[], dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL, attempt_id uuid DEFAULT NULL,
    client text DEFAULT NULL, trail_head text DEFAULT NULL, otherwise_path text DEFAULT "Ops1".effective_search_path(),
    snapshot_each boolean DEFAULT false, session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    migration   text;
    planned   "Ops1".migration_history;
    refusal   text;
    in_the_way text[];
    handled   text[] := '{}';
    is_system boolean := false;
    is_whole  boolean := false;         -- it came to its end, and nothing of it was undone
    ours      record;
    token     text;
    check_each boolean;
    touched   constant jsonb := '{"sqlstate": "MR022", "message": "the SQL touches the tables or functions of the rollback system", "hint": "Leave migration_history and its neighbours to migrollback."}';
    outcome   jsonb;
    hint      text;
    sqls      text[] := '{}';           -- of the steps so far
    effectless boolean[] := '{}';       -- which of them ran and wrote nothing
    put_back  jsonb := '{}';            -- name -> settings that its SQL had changed
    changed   record;
    unclear   boolean;
    path_touched boolean := false;
BEGIN
    IF NOT dry_run THEN
        PERFORM "Ops1".lock_migrations();
        -- In order of name, so that two chains cannot lock each other out; a change by hand that is under way is waited for.
        PERFORM FROM "Ops1".migration_history h WHERE h.migration_name = ANY (names) ORDER BY h.migration_name FOR UPDATE;
    END IF;
    IF cardinality(names) = 0 OR names IS NULL THEN
        RAISE EXCEPTION 'no migration was named' USING ERRCODE = 'MR006';
    END IF;
    IF preview IS NOT NULL THEN
        refusal := "Ops1".changed_since_preview(preview, "Ops1".migration_fingerprint(names, otherwise_path));
        migration := names[1];
    END IF;

    IF NOT dry_run THEN
        ours := "Ops1".migration_system_objects();
        token := "Ops1".migration_system_token();
    END IF;
    check_each := cardinality(names) = 1;
    <<attempts>>
    LOOP
        sqls := '{}';
        effectless := '{}';
        put_back := '{}';
        path_touched := false;
        handled := '{}';
        is_whole := false;
        BEGIN
            IF refusal IS NULL THEN
                FOREACH migration IN ARRAY names LOOP
                    SELECT * INTO planned FROM "Ops1".migration_history h WHERE h.migration_name = migration;
                    is_system := "Ops1".is_system_migration(migration) AND coalesce(planned.metadata ->> 'system' = 'true', false);
                    -- under the locks once more; what this chain has dealt with already need not be looked behind
                    in_the_way := "Ops1".migrations_to_roll_back_first(ARRAY[migration], handled);
                    refusal := CASE
                        WHEN planned.id IS NULL THEN 'Migration not found'
                        WHEN is_system AND cardinality(names) > 1 THEN 'The rollback system itself is rolled back alone'
                        WHEN is_system AND NOT dry_run AND trail_head IS DISTINCT FROM (SELECT v.head_hash FROM "Ops1".verify_migration_events() v) THEN
                            'Save migration_history and migration_events first, then give the hash of the last event as trail_head'
                        WHEN planned.metadata #>> '{rollback,transaction}' = 'false' AND (NOT dry_run OR cardinality(names) > 1)
                             AND planned.metadata #>> '{rollback,md5}' = md5(convert_to(planned.rollback_sql, 'UTF8')) THEN
                            'This rollback runs outside a transaction: use migrollback rollback, alone, which runs it statement by statement'
                        WHEN NOT dry_run AND cardinality(handled) = 0 THEN "Ops1".production_refusal(execute_migration_rollbacks.reason)
                        END;
                    IF planned.id IS NOT NULL THEN
                        refusal := coalesce(
                            "Ops1".migration_blocking_reason(planned.status, cardinality(in_the_way) > 0, planned.rollback_sql, planned.metadata), refusal,
                            (SELECT p.reason FROM "Ops1".deploy_in_progress(planned.metadata ->> 'tool', planned.metadata ->> 'search_path') p));
                    END IF;
                    handled := handled || migration;
                    EXIT WHEN refusal IS NOT NULL;
                    sqls := sqls || planned.rollback_sql;
                    CONTINUE WHEN dry_run;
                    outcome := "Ops1".run_migration_sql(
                        "Ops1".migration_rollback_statements(planned.rollback_sql, planned.metadata),
                        "Ops1".migration_rollback_path(planned.metadata, otherwise_path),
                        session_path => execute_migration_rollbacks.session_path, session_settings => execute_migration_rollbacks.session_settings,
                        set_local => ARRAY(SELECT jsonb_array_elements_text(coalesce(planned.metadata #> '{rollback,set_local}', '[]'))),
                        set_session => ARRAY(SELECT jsonb_array_elements_text(coalesce(planned.metadata #> '{rollback,set_session}', '[]'))),
                        system_tables => CASE WHEN is_system THEN '{}'::oid[] ELSE ours.tables END, more_follows => migration <> names[cardinality(names)],
                        announced => "Ops1".migration_progress_notices(names, cardinality(handled), planned.rollback_sql, planned.metadata));
                    IF check_each AND NOT is_system AND NOT outcome ? 'sqlstate' THEN   -- apart from the next: there our functions may be gone
                        -- what was replaced can no longer be asked: our functions by the versions of their rows, from here
                        IF EXISTS (SELECT FROM pg_proc f WHERE f.oid = ANY (ours.routines) AND age(f.xmin) <= 0)
                           OR EXISTS (SELECT FROM "Ops1".migration_history h WHERE age(h.xmin) <= 0 AND (cardinality(names) = 1 OR h.migration_name <> ALL (names))) THEN
                            outcome := touched;
                        ELSIF "Ops1".migration_system_token() <> token THEN
                            outcome := touched;
                        END IF;
                    END IF;
                    IF outcome ? 'sqlstate' THEN
                        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                    END IF;
                    path_touched := path_touched OR outcome ? 'path_touched';
                    outcome := outcome - 'path_touched';
                    IF outcome ? 'settings_put_back' THEN
                        put_back := put_back || jsonb_build_object(migration, outcome -> 'settings_put_back');
                    END IF;
                    effectless := effectless || (outcome ? 'unchanged');
                    IF NOT is_system THEN
                        PERFORM "Ops1".mark_rolled_back(migration, attempt_id, reason, client, outcome);
                        IF snapshot_each AND migration <> names[cardinality(names)] THEN
                            PERFORM "Ops1".create_migration_snapshot(migration, NULL::text, 'after rollback', ARRAY[migration], client);
                        END IF;
                    END IF;
                END LOOP;
            END IF;
            IF refusal IS NULL AND NOT dry_run AND NOT check_each THEN
                IF EXISTS (SELECT FROM pg_proc f WHERE f.oid = ANY (ours.routines) AND age(f.xmin) <= 0)
                   OR EXISTS (SELECT FROM "Ops1".migration_history h WHERE age(h.xmin) <= 0 AND h.migration_name <> ALL (names)) THEN
                    outcome := touched;
                    RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                END IF;
                IF "Ops1".migration_system_token() <> token THEN
                    outcome := touched;
                    RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                END IF;
            END IF;
            IF refusal IS NOT NULL AND cardinality(effectless) > 0 THEN
                RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';  -- refused halfway through a chain: whole or not at all
            END IF;
            is_whole := true;
        EXCEPTION
            WHEN SQLSTATE 'MR099' THEN
                NULL;                       -- what ran is undone; the variables say why
            WHEN query_canceled OR OTHERS THEN  -- our own bookkeeping failed, the deploy tool's ledger for one
                IF current_setting('migrollback.rethrow', true) = 'on' AND current_setting('migrollback.rehearsal', true) = pg_current_xact_id()::text THEN
                    RAISE;
                END IF;
                GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                IF SQLSTATE = '42725' THEN
                    hint := 'A function that is not this system''s has the name of one of its own: migrollback install lists such functions. Drop them, or have their owner do it.';
                END IF;
                outcome := jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM, 'hint', nullif(hint, ''), 'bookkeeping', true);
        END;
        -- A chain is looked at once, at its end; only when something of ours was touched it runs again, undone as it is, to find out by whom.
        EXIT attempts WHEN check_each OR NOT coalesce(outcome ->> 'sqlstate' = 'MR022' OR outcome ? 'bookkeeping', false);
        check_each := true;
        outcome := NULL;
    END LOOP;

    IF is_whole AND put_back <> '{}' THEN
        -- A rehearsal is undone: it leaves no doubt.
        unclear := session_settings = '{}' AND transaction_timestamp() <> statement_timestamp()
               AND coalesce(current_setting('migrollback.rehearsal', true), '') <> coalesce(pg_current_xact_id_if_assigned()::text, 'none');
        FOR changed IN SELECT n.name, array_to_string(ARRAY(SELECT jsonb_array_elements_text(put_back -> n.name)), ', ') AS settings
                         FROM unnest(names) WITH ORDINALITY AS n (name, place) WHERE put_back ? n.name ORDER BY n.place
        LOOP
            IF unclear THEN
                RAISE NOTICE 'Settings that the rollback SQL of % had changed were put back: %', changed.name, changed.settings
                    USING DETAIL = 'What SET LOCAL has set of them in this transaction cannot be told from what SET has: after COMMIT the session keeps it.';
            ELSE
                RAISE NOTICE 'Settings that the rollback SQL of % had changed were put back: %', changed.name, changed.settings;
            END IF;
        END LOOP;
    END IF;
    IF refusal IS NOT NULL THEN
        IF NOT dry_run THEN
            PERFORM "Ops1".add_migration_event('refused', migration, attempt_id, execute_migration_rollbacks.reason, execute_migration_rollbacks.client,
                                                            jsonb_build_object('message', refusal));
        END IF;
        RETURN QUERY SELECT false, refusal, NULL::text, migration;
    ELSIF outcome ? 'sqlstate' THEN
        PERFORM "Ops1".fail_migration_rollback(migration, attempt_id, execute_migration_rollbacks.reason, execute_migration_rollbacks.client, outcome);
        RETURN QUERY SELECT false, 'Rollback failed: ' || (outcome ->> 'message'), NULL::text, migration;
    ELSIF NOT is_whole THEN
        RAISE EXCEPTION 'everything was undone, and nobody knows why' USING ERRCODE = 'XX000', HINT = 'This is a fault of migrollback: please report it.';
    ELSIF is_system AND NOT dry_run THEN
        -- Nothing of ours is left to call.
        RETURN QUERY SELECT true, 'Migration rolled back successfully. The rollback system is gone and its audit trail ends here'::text, sqls[1], names[1];
    ELSE
        RETURN QUERY
        SELECT true,
               CASE WHEN dry_run THEN 'Dry run: rollback SQL shown below (not executed)'
                    WHEN n.effectless THEN
                        'Rollback SQL ran, but changed nothing: look at its object names and at the search_path ('
                        || (SELECT "Ops1".migration_rollback_path(h.metadata, otherwise_path) FROM "Ops1".migration_history h
                             WHERE h.migration_name = n.name) || ')'
                    ELSE 'Migration rolled back successfully' END,
               n.rollback_sql, n.name
        FROM unnest(names, sqls, effectless) WITH ORDINALITY AS n (name, rollback_sql, effectless, place) ORDER BY n.place;
    END IF;
    IF path_touched THEN
        PERFORM set_config('search_path', session_path, true);      -- at the very end: until here nothing runs under it
    END IF;
END $function$;
COMMENT ON FUNCTION "Ops1".execute_migration_rollbacks(text[], boolean, text, text, uuid, text, text, text, boolean, text, jsonb) IS
    'Writes, unless dry_run. Rolls several migrations back in the given order, dependents first, in one transaction: all or none. '
    'snapshot_each: takes a snapshot between each two, while the locks are held. '
    'Arguments and results as of execute_migration_rollback(), one row each; after a refusal or a failure one row, of the migration it met.';

CREATE FUNCTION "Ops1".execute_migration_rollback(
    name text, dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL, attempt_id uuid DEFAULT NULL,
    client text DEFAULT NULL, trail_head text DEFAULT NULL, otherwise_path text DEFAULT "Ops1".effective_search_path(),
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text, sql_executed text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN QUERY
    SELECT r.success, r.message, r.sql_executed
    FROM "Ops1".execute_migration_rollbacks(ARRAY[name], dry_run, reason, preview, attempt_id, client, trail_head, otherwise_path, false, session_path,
                                                        session_settings) r;
END $function$;
COMMENT ON FUNCTION "Ops1".execute_migration_rollback(text, boolean, text, text, uuid, text, text, text, text, jsonb) IS
    'Writes, unless dry_run. Rolls one migration back, whole or not at all. reason: goes into the audit trail; preview: migration_fingerprint() of what was '
    'looked at, refused when it differs now; attempt_id: made by the client, see migration_attempt(); client: who asks; trail_head: hash of the last '
    'event, needed only for our own migration; otherwise_path: search_path where none was recorded; session_path: the search_path of the session, which is put back when '
    'the SQL changes it; session_settings: what the session has (name -> value) where this transaction has a SET LOCAL. A refusal (message: the reason) or a failure (message: '
    '"Rollback failed: ...") comes back with success = false; a lasting failure leaves status failed.';

CREATE FUNCTION "Ops1".start_migration_rollback(
    names text[], attempt_id uuid, reason text DEFAULT NULL, client text DEFAULT NULL, target jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT max("Ops1".add_migration_event('started', n.name, start_migration_rollback.attempt_id, start_migration_rollback.reason,
               start_migration_rollback.client, target || jsonb_build_object('rollback_md5', md5(convert_to(h.rollback_sql, 'UTF8')), 'chain', nullif(cardinality(names), 1))))
    FROM unnest(names) WITH ORDINALITY AS n (name, place)
    JOIN "Ops1".migration_history h ON h.migration_name = n.name
$function$;
COMMENT ON FUNCTION "Ops1".start_migration_rollback(text[], uuid, text, text, jsonb) IS
    'Writes an event for each migration, to be committed before the rollback begins: if the connection is lost, the attempt is known. '
    'Returns the number of the last one, or NULL when none of the names is registered.';

CREATE FUNCTION "Ops1".migration_attempt(attempt_id uuid)
RETURNS TABLE (migration_name text, event text, event_number bigint, details jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    -- Under the lock: while the lost COMMIT is still at work, "not found" would be a wrong answer.
    PERFORM "Ops1".lock_migrations();
    RETURN QUERY
    SELECT e.migration_name, e.event, e.event_number, e.details FROM "Ops1".migration_events e
    WHERE e.attempt_id = migration_attempt.attempt_id AND e.event IN ('rolled_back', 'failed', 'refused', 'applied', 'apply_failed')
    ORDER BY e.event_number;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_attempt(uuid) IS
    'How an attempt ended: the events rolled_back, failed, refused, applied, apply_failed that carry its id. No row: nothing of it was committed. '
    'Waits for a running attempt. Does not write.';

-- Statement by statement, for rollbacks that PostgreSQL refuses inside a transaction. The client holds lock_migrations() in a second,
-- open transaction meanwhile, runs each statement by itself, and journals it.

CREATE FUNCTION "Ops1".migration_statements_completed(name text, direction text DEFAULT 'rollback') RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(max((e.details ->> 'statement_number')::int), 0)
    FROM "Ops1".migration_events e
    WHERE e.migration_name = migration_statements_completed.name AND e.event = 'statement_completed'
      AND e.details ->> 'direction' = migration_statements_completed.direction
      AND e.event_number > coalesce((
          SELECT max(o.event_number) FROM "Ops1".migration_events o
          WHERE o.migration_name = migration_statements_completed.name
            AND (o.event IN ('applied', 'applied_again', 'registered', 'rolled_back')
                 OR o.event = 'history_changed' AND ((o.details -> 'new') ?| ARRAY['rollback_sql', 'status']
                      -- counted by another cut, a statement would be left out
                      OR o.details #> '{old,metadata,rollback,statements}' IS DISTINCT FROM o.details #> '{new,metadata,rollback,statements}'))), 0)
$function$;
COMMENT ON FUNCTION "Ops1".migration_statements_completed(text, text) IS
    'How many statements of an interrupted run (direction: rollback or apply) are done: the next run resumes after them. Does not write.';

CREATE FUNCTION "Ops1".journal_migration_statement(
    name text, attempt_id uuid, statement_number int, duration_ms double precision, direction text DEFAULT 'rollback', client text DEFAULT NULL)
RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT "Ops1".add_migration_event('statement_completed', name, attempt_id, NULL::text, client,
        jsonb_build_object('direction', direction, 'statement_number', statement_number, 'duration_ms', duration_ms))
$function$;
COMMENT ON FUNCTION "Ops1".journal_migration_statement(text, uuid, int, double precision, text, text) IS
    'Writes: statement statement_number (from 1) of a run outside a transaction is done; duration_ms in milliseconds.';

CREATE FUNCTION "Ops1".finish_migration_rollback(
    name text, attempt_id uuid, reason text DEFAULT NULL, client text DEFAULT NULL, details jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text, sql_executed text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    finished "Ops1".migration_history;
BEGIN
    PERFORM "Ops1".lock_migrations();
    SELECT * INTO finished FROM "Ops1".migration_history h WHERE h.migration_name = finish_migration_rollback.name FOR UPDATE;
    IF finished.metadata #>> '{rollback,transaction}' IS DISTINCT FROM 'false'
       OR "Ops1".migration_statements_completed(name, 'rollback') < cardinality("Ops1".migration_rollback_statements(finished.rollback_sql, finished.metadata)) THEN
        RAISE EXCEPTION 'the rollback of % is not finished', name USING ERRCODE = 'MR002', HINT = 'Every statement must be journalled first.';
    END IF;
    PERFORM "Ops1".mark_rolled_back(name, attempt_id, reason, client, details);
    RETURN QUERY SELECT true, 'Migration rolled back successfully'::text, finished.rollback_sql;
END $function$;
COMMENT ON FUNCTION "Ops1".finish_migration_rollback(text, uuid, text, text, jsonb) IS
    'Writes the end of a rollback that ran outside a transaction, once all its statements are journalled (else SQLSTATE MR002).';

CREATE FUNCTION "Ops1".apply_migration(
    name text, version text, statements text[], rollback_sql text DEFAULT NULL, checksum text DEFAULT NULL, depends_on text[] DEFAULT '{}',
    metadata jsonb DEFAULT '{}', attempt_id uuid DEFAULT NULL, client text DEFAULT NULL,
    search_path text DEFAULT "Ops1".effective_search_path(), session_path text DEFAULT pg_catalog.current_setting('search_path'),
    session_settings jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    missing text[];
    outcome jsonb;
    before  record;
    hint    text;
    is_whole boolean := false;          -- it came to its end, and nothing of it was undone
    path_touched boolean := false;
BEGIN
    PERFORM "Ops1".lock_migrations();
    IF EXISTS (SELECT FROM "Ops1".migration_history h WHERE h.migration_name = apply_migration.name AND h.status <> 'rolled_back') THEN
        RETURN QUERY SELECT false, 'Already applied'::text;
        RETURN;
    END IF;
    SELECT array_agg(d.name ORDER BY d.name) INTO missing FROM unnest(depends_on) AS d (name)
     WHERE NOT EXISTS (SELECT FROM "Ops1".migration_history h WHERE h.migration_name = d.name AND h.status <> 'rolled_back');
    IF missing IS NOT NULL THEN
        RETURN QUERY SELECT false, 'Depends on migrations that are not applied: ' || array_to_string(missing, ', ');
        RETURN;
    END IF;
    PERFORM "Ops1".refuse_untrusted_ledger("Ops1".untrusted_deploy_ledger(metadata ->> 'tool', apply_migration.search_path));
    before := "Ops1".mark_migration_objects();
    BEGIN
        -- Not guarded: an up part may grant rights on this system, or upgrade it; the guard is for what undoes.
        outcome := "Ops1".run_migration_sql(statements, search_path, apply_migration.session_path, apply_migration.session_settings,
            '{}'::text[], '{}'::text[], '{}'::oid[], false, '{}'::text[]);
        path_touched := outcome ? 'path_touched';
        outcome := outcome - 'path_touched';
        IF outcome ? 'sqlstate' THEN
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        END IF;
        IF cardinality(statements) > 0 THEN
            PERFORM "Ops1".record_migration_objects(name, before.since, before.counts, before.written);
        END IF;
        PERFORM "Ops1".save_migration(name, version, rollback_sql, checksum, depends_on,
            jsonb_build_object('search_path', apply_migration.search_path) || metadata);
        PERFORM "Ops1".add_migration_event('applied', name, attempt_id, NULL::text, client, jsonb_strip_nulls(outcome || jsonb_build_object(
            'checksum', checksum, 'depends_on', nullif(to_jsonb(depends_on), '[]'), 'rollback_md5', md5(convert_to(rollback_sql, 'UTF8')),
            'deploy', metadata ->> 'deploy',
            'ledger', "Ops1".record_in_deploy_ledger(name, version, statements, metadata, search_path))));
        is_whole := true;
    EXCEPTION
        WHEN SQLSTATE 'MR099' THEN
            NULL;
        WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
            outcome := jsonb_strip_nulls(jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM, 'hint', nullif(hint, '')));
    END;
    IF outcome ? 'sqlstate' THEN
        PERFORM "Ops1".add_migration_event('apply_failed', name, attempt_id, NULL::text, client, outcome);
        RETURN QUERY SELECT false, 'Migration failed: ' || (outcome ->> 'message');
    ELSIF NOT is_whole THEN
        RAISE EXCEPTION 'everything was undone, and nobody knows why' USING ERRCODE = 'XX000', HINT = 'This is a fault of migrollback: please report it.';
    ELSE
        RETURN QUERY SELECT true, 'Migration applied successfully'::text;
        IF path_touched THEN
            PERFORM set_config('search_path', session_path, true);      -- at the very end: until here nothing runs under it
        END IF;
    END IF;
END $function$;
COMMENT ON FUNCTION "Ops1".apply_migration(text, text, text[], text, text, text[], jsonb, uuid, text, text, text, jsonb) IS
    'Writes: runs the up part of a migration and registers it, whole or not at all. statements: the up part, one statement each; empty when it ran '
    'already, statement by statement. The other arguments as of register_migration(). A refusal or a failure comes back with success = false; '
    'SQLSTATE MR024: the ledger of its deploy tool is not trusted.';

-- ---------------------------------------------------------------------------------------------------
-- Snapshots of the schema.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".schema_objects() RETURNS TABLE (kind text, identity text, definition jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    -- what the session shows dates, bytes and names like is no part of a definition
    SET datestyle = 'ISO, MDY' SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1
    SET quote_all_identifiers = off SET standard_conforming_strings = on AS $function$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan for the session; before 18, LANGUAGE sql made it anew in each call, which took two thirds of the time on a small schema.
    -- jit = off: else seconds of compiling. The empty-handed search_path makes every pg_get_*def() schema-qualified.
    -- Version-dependent columns are read through to_jsonb(row) -> key, so the text parses on 15 to 18; only of rare kinds, because it is slow.
    -- Options that begin with pg_ are PostgreSQL's own (15.20 stamps each column with pg_attver=N, which its pg_dump leaves out): no part of the schema.
    RETURN QUERY
    WITH RECURSIVE
    ext AS MATERIALIZED (            -- objects owned by an extension: described by the extension row only; and our own
      SELECT d.classid, d.objid, false AS ours FROM pg_depend d WHERE d.deptype = 'e'
      -- of a composite type the extension owns the type, and that its relation
      UNION ALL SELECT 'pg_class'::regclass, t.typrelid, false FROM pg_depend d JOIN pg_type t ON t.oid = d.objid AND t.typtype = 'c' WHERE d.deptype = 'e' AND d.classid = 'pg_type'::regclass
      UNION ALL SELECT 'pg_class'::regclass, unnest(o.tables), true FROM "Ops1".migration_system_objects() o
      UNION ALL SELECT 'pg_proc'::regclass, unnest(o.routines), true FROM "Ops1".migration_system_objects() o),
    ns AS MATERIALIZED (
      SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_namespace n
      WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND n.nspname <> ALL (coalesce(nullif(current_setting('migrollback.exclude_schemas', true), '')::text[], '{}'))
        AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_namespace'::regclass AND objid = n.oid)),
    rel AS MATERIALIZED (
      SELECT c.oid, c.relname, c.relkind, c.relowner, c.relacl, c.relpersistence, c.reloptions, c.relrowsecurity,
             c.relforcerowsecurity, c.relreplident, c.relispartition, c.relam, c.reltablespace, c.reloftype,
             c.relpartbound, c.relispopulated, ns.nspname, ns.oid AS nspoid, format('%I.%I', ns.nspname, c.relname) AS id
      FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
      WHERE c.relkind IN ('r','p','v','m','S','f','c')
        AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_class'::regclass AND objid = c.oid)),
    typ AS MATERIALIZED (
      SELECT t.*, ns.nspname, format('%I.%I', ns.nspname, t.typname) AS id FROM pg_type t JOIN ns ON ns.oid = t.typnamespace
      WHERE (t.typtype IN ('e','d','r') OR (t.typtype = 'b' AND t.typelem = 0) OR (t.typtype = 'b' AND t.typsubscript::oid <> 'array_subscript_handler'::regproc)
             OR (t.typtype = 'p') OR (t.typtype = 'c' AND EXISTS (SELECT FROM rel WHERE rel.oid = t.typrelid AND rel.relkind = 'c')))
        AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_type'::regclass AND objid = t.oid)),
    fn AS MATERIALIZED (
      SELECT p.*, ns.nspname, format('%I.%I(%s)', ns.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS id
      FROM pg_proc p JOIN ns ON ns.oid = p.pronamespace
      WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_proc'::regclass AND objid = p.oid)),
    obj(kind, identity, def) AS (
      SELECT 'schema', quote_ident(nspname), jsonb_build_object('owner', nspowner::regrole) FROM ns
      -- relations ------------------------------------------------------------------------------------
      UNION ALL
      SELECT CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
               WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'composite type' END,
             r.id,
             jsonb_strip_nulls(jsonb_build_object(
               'owner', r.relowner::regrole, 'persistence', r.relpersistence, 'options', CASE WHEN r.reloptions IS NOT NULL THEN (SELECT jsonb_agg(x ORDER BY x) FROM unnest(r.reloptions) x WHERE NOT starts_with(x, 'pg_')) END,  -- the order in which they were set means nothing
               'am', (SELECT amname FROM pg_am WHERE oid = r.relam), 'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = r.reltablespace),
               'columns', CASE WHEN r.relkind <> 'S' THEN cl.cols END,   -- live columns in order: add+drop leaves no trace
               'of', CASE WHEN r.reloftype <> 0 THEN r.reloftype::regtype END,
               'rls', nullif(r.relrowsecurity, false), 'rls_forced', nullif(r.relforcerowsecurity, false),
               'replica_identity', CASE WHEN r.relkind IN ('r','p','m') THEN nullif(r.relreplident, 'd') END,
               'toast_options', CASE WHEN r.relkind IN ('r','m') THEN (SELECT jsonb_agg(x ORDER BY x) FROM pg_class t JOIN pg_class o ON o.reltoastrelid = t.oid, unnest(t.reloptions) x WHERE o.oid = r.oid AND NOT starts_with(x, 'pg_')) END,
               'inherits', CASE WHEN r.relkind IN ('r','p','f') THEN (SELECT jsonb_agg(i.inhparent::regclass ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = r.oid) END,
               'partition_key', CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
               'partition_bound', CASE WHEN r.relispartition THEN pg_get_expr(r.relpartbound, r.oid) END,
               'query', CASE WHEN r.relkind IN ('v','m') THEN pg_get_viewdef(r.oid) END,
               'foreign', CASE WHEN r.relkind = 'f' THEN (SELECT jsonb_build_object('server', s.srvname, 'options', f.ftoptions)
                           FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = r.oid) END,
               'sequence', CASE WHEN r.relkind = 'S' THEN (SELECT jsonb_build_object('type', format_type(s.seqtypid, NULL), 'start', s.seqstart,
                           'inc', s.seqincrement, 'max', s.seqmax, 'min', s.seqmin, 'cache', s.seqcache, 'cycle', s.seqcycle) FROM pg_sequence s WHERE s.seqrelid = r.oid) END,
               'owned_by', CASE WHEN r.relkind = 'S' THEN (SELECT d.refobjid::regclass || '.' || quote_ident(a.attname) || ' ' || d.deptype::text FROM pg_depend d
                           JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                           WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a','i') LIMIT 1) END))
      FROM rel r LEFT JOIN (SELECT attrelid, jsonb_agg(attname ORDER BY attnum) AS cols FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped GROUP BY 1) cl ON cl.attrelid = r.oid
      UNION ALL
      SELECT 'column', r.id || '.' || quote_ident(a.attname),
             -- most columns are nothing but a type: said apart, because building and stripping the whole takes most of the time of a large schema
             CASE WHEN NOT a.attnotnull AND d.oid IS NULL AND a.attidentity = '' AND a.attgenerated = '' AND a.attcollation = t.typcollation AND a.attstorage = t.typstorage
                       AND a.attcompression = '' AND coalesce(a.attstattarget, -1) < 0 AND a.attfdwoptions IS NULL AND a.attinhcount = 0
                       AND (a.attoptions IS NULL OR NOT EXISTS (SELECT FROM unnest(a.attoptions) x WHERE NOT starts_with(x, 'pg_')))
             THEN jsonb_build_object('type', format_type(a.atttypid, a.atttypmod)) ELSE jsonb_strip_nulls(jsonb_build_object(
               'type', format_type(a.atttypid, a.atttypmod),
               'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation END, 'notnull', nullif(a.attnotnull, false),
               'default', pg_get_expr(d.adbin, d.adrelid), 'identity', nullif(a.attidentity, ''), 'generated', nullif(a.attgenerated, ''),
               'storage', CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END, 'compression', nullif(a.attcompression, ''),
               'stats', CASE WHEN coalesce(a.attstattarget, -1) >= 0 THEN a.attstattarget END, 'options', CASE WHEN a.attoptions IS NOT NULL THEN (SELECT jsonb_agg(x ORDER BY x) FROM unnest(a.attoptions) x WHERE NOT starts_with(x, 'pg_')) END, 'fdw', a.attfdwoptions,
               'inherited', CASE WHEN a.attinhcount > 0 THEN NOT a.attislocal END)) END
      FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE r.relkind IN ('r','p','v','m','f','c')
      UNION ALL
      SELECT CASE WHEN k.contypid <> 0 THEN 'domain constraint' ELSE 'constraint' END,
             coalesce(r.id, y.id) || ' ' || quote_ident(k.conname),
             jsonb_strip_nulls(jsonb_build_object('def', pg_get_constraintdef(k.oid), 'validated', k.convalidated, 'local', k.conislocal, 'noinherit', CASE WHEN k.contype IN ('c','n') THEN nullif(k.connoinherit, false) END))
      FROM pg_constraint k LEFT JOIN rel r ON r.oid = k.conrelid LEFT JOIN typ y ON y.oid = k.contypid
      WHERE (r.oid IS NOT NULL OR y.oid IS NOT NULL) AND k.contype <> 't'
      UNION ALL
      SELECT 'index', format('%I.%I', ns.nspname, ic.relname),
             jsonb_strip_nulls(jsonb_build_object('on', r.id, 'def', pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid, 'clustered', nullif(i.indisclustered, false),
               'replident', nullif(i.indisreplident, false), 'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = ic.reltablespace),
               'parent', (SELECT h.inhparent::regclass FROM pg_inherits h WHERE h.inhrelid = ic.oid), 'constraint', quote_ident(kx.conname),
               'col_stats', (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = ic.oid AND coalesce(a.attstattarget, -1) >= 0)))
      FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN ns ON ns.oid = ic.relnamespace JOIN rel r ON r.oid = i.indrelid
      LEFT JOIN (SELECT conindid, min(conname::text) AS conname FROM pg_constraint WHERE contype IN ('p','u','x') GROUP BY 1) kx ON kx.conindid = ic.oid
      UNION ALL
      SELECT 'trigger', r.id || ' ' || quote_ident(g.tgname), jsonb_build_object('def', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled)
      FROM pg_trigger g JOIN rel r ON r.oid = g.tgrelid WHERE NOT g.tgisinternal
      UNION ALL
      SELECT 'rule', r.id || ' ' || quote_ident(w.rulename), jsonb_build_object('def', pg_get_ruledef(w.oid), 'enabled', w.ev_enabled)
      FROM pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE NOT (w.rulename = '_RETURN' AND r.relkind IN ('v','m'))
      UNION ALL
      SELECT 'policy', r.id || ' ' || quote_ident(p.polname),
             jsonb_strip_nulls(jsonb_build_object('cmd', p.polcmd, 'permissive', p.polpermissive, 'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
               'roles', (SELECT jsonb_agg(CASE WHEN x = 0 THEN 'public' ELSE x::regrole::text END ORDER BY CASE WHEN x = 0 THEN 'public' ELSE x::regrole::text END) FROM unnest(p.polroles) x)))
      FROM pg_policy p JOIN rel r ON r.oid = p.polrelid
      UNION ALL
      SELECT 'statistics', format('%I.%I', ns.nspname, s.stxname), jsonb_strip_nulls(jsonb_build_object('def', pg_get_statisticsobjdef(s.oid), 'owner', s.stxowner::regrole, 'target', CASE WHEN coalesce(s.stxstattarget, -1) >= 0 THEN s.stxstattarget END))
      FROM pg_statistic_ext s JOIN ns ON ns.oid = s.stxnamespace
      -- routines -------------------------------------------------------------------------------------
      UNION ALL
      SELECT CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, f.id,
             jsonb_strip_nulls(jsonb_build_object('owner', f.proowner::regrole,
               'def', CASE WHEN f.prokind <> 'a' THEN pg_get_functiondef(f.oid) END,
               'agg', CASE WHEN f.prokind = 'a' THEN (SELECT to_jsonb(g) - 'aggfnoid' - 'aggtranstype' - 'aggmtranstype' - 'aggsortop'
                       || jsonb_build_object('ret', pg_get_function_result(f.oid), 'args', pg_get_function_arguments(f.oid), 'stype', g.aggtranstype::regtype, 'mstype', g.aggmtranstype::regtype, 'sortop', g.aggsortop::regoperator, 'parallel', f.proparallel) FROM pg_aggregate g WHERE g.aggfnoid = f.oid) END))
      FROM fn f
      -- types ----------------------------------------------------------------------------------------
      UNION ALL
      SELECT CASE y.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' WHEN 'c' THEN 'row type' ELSE 'base type' END, y.id,
             jsonb_strip_nulls(jsonb_build_object('owner', y.typowner::regrole,
               'labels', CASE WHEN y.typtype = 'e' THEN (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = y.oid) END,
               'domain', CASE WHEN y.typtype = 'd' THEN jsonb_build_object('base', format_type(y.typbasetype, y.typtypmod), 'notnull', y.typnotnull, 'default', pg_get_expr(y.typdefaultbin, 0), 'collation', y.typcollation::regcollation) END,
               'range', CASE WHEN y.typtype = 'r' THEN (SELECT jsonb_build_object('sub', g.rngsubtype::regtype, 'coll', g.rngcollation::regcollation, 'opc', (SELECT opcname FROM pg_opclass WHERE oid = g.rngsubopc), 'canon', g.rngcanonical, 'diff', g.rngsubdiff, 'multi', to_jsonb(g) ->> 'rngmultitypid') - 'multi' FROM pg_range g WHERE g.rngtypid = y.oid) END,
               'base', CASE WHEN y.typtype = 'b' THEN jsonb_build_object('in', y.typinput, 'out', y.typoutput, 'recv', y.typreceive, 'send', y.typsend, 'len', y.typlen, 'align', y.typalign, 'storage', y.typstorage, 'cat', y.typcategory, 'pref', y.typispreferred, 'delim', y.typdelim, 'default', y.typdefault, 'byval', y.typbyval) END))
      FROM typ y
      -- everything else: identity from pg_identify_object, definition from the catalog row with oids resolved -------------
      UNION ALL
      SELECT 'collation', format('%I.%I', ns.nspname, o.collname), to_jsonb(o) - 'oid' - 'collnamespace' - 'collowner' - 'collversion' - 'collencoding' || jsonb_build_object('owner', o.collowner::regrole) FROM pg_collation o JOIN ns ON ns.oid = o.collnamespace
      UNION ALL
      SELECT 'operator', i.identity, jsonb_build_object('proc', o.oprcode, 'owner', o.oprowner::regrole, 'com', o.oprcom::regoperator, 'neg', o.oprnegate::regoperator, 'rest', o.oprrest, 'join', o.oprjoin, 'hash', o.oprcanhash, 'merge', o.oprcanmerge)
      FROM pg_operator o JOIN ns ON ns.oid = o.oprnamespace, pg_identify_object('pg_operator'::regclass, o.oid, 0) i WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_operator'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'operator class', i.identity, jsonb_build_object('owner', o.opcowner::regrole, 'intype', o.opcintype::regtype, 'keytype', CASE WHEN o.opckeytype <> 0 THEN o.opckeytype::regtype END, 'default', o.opcdefault, 'family', (SELECT opfname FROM pg_opfamily WHERE oid = o.opcfamily))
      FROM pg_opclass o JOIN ns ON ns.oid = o.opcnamespace, pg_identify_object('pg_opclass'::regclass, o.oid, 0) i WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_opclass'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'operator family', i.identity, jsonb_build_object('owner', o.opfowner::regrole,
         'ops', (SELECT jsonb_agg(jsonb_build_array(a.amopstrategy, a.amoplefttype::regtype, a.amoprighttype::regtype, a.amopopr::regoperator, a.amoppurpose) ORDER BY a.amopstrategy, a.amoplefttype::regtype::text, a.amoprighttype::regtype::text) FROM pg_amop a WHERE a.amopfamily = o.oid),
         'procs', (SELECT jsonb_agg(jsonb_build_array(a.amprocnum, a.amproclefttype::regtype, a.amprocrighttype::regtype, a.amproc) ORDER BY a.amprocnum, a.amproclefttype::regtype::text, a.amprocrighttype::regtype::text) FROM pg_amproc a WHERE a.amprocfamily = o.oid))
      FROM pg_opfamily o JOIN ns ON ns.oid = o.opfnamespace, pg_identify_object('pg_opfamily'::regclass, o.oid, 0) i WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_opfamily'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'conversion', format('%I.%I', ns.nspname, o.conname), jsonb_build_object('for', pg_encoding_to_char(o.conforencoding), 'to', pg_encoding_to_char(o.contoencoding), 'proc', o.conproc, 'default', o.condefault, 'owner', o.conowner::regrole) FROM pg_conversion o JOIN ns ON ns.oid = o.connamespace
      UNION ALL
      SELECT 'text search configuration', format('%I.%I', ns.nspname, o.cfgname), jsonb_build_object('owner', o.cfgowner::regrole, 'parser', (SELECT prsname FROM pg_ts_parser WHERE oid = o.cfgparser),
         'map', (SELECT jsonb_agg(jsonb_build_array(m.maptokentype, m.mapseqno, m.mapdict::regdictionary) ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = o.oid)) FROM pg_ts_config o JOIN ns ON ns.oid = o.cfgnamespace WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_ts_config'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'text search dictionary', format('%I.%I', ns.nspname, o.dictname), jsonb_build_object('owner', o.dictowner::regrole, 'template', (SELECT tmplname FROM pg_ts_template WHERE oid = o.dicttemplate), 'options', o.dictinitoption) FROM pg_ts_dict o JOIN ns ON ns.oid = o.dictnamespace WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_ts_dict'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'text search parser/template', i.identity, to_jsonb(o) - 'oid' - 'prsnamespace' FROM pg_ts_parser o JOIN ns ON ns.oid = o.prsnamespace, pg_identify_object('pg_ts_parser'::regclass, o.oid, 0) i
      UNION ALL
      SELECT 'text search parser/template', i.identity, to_jsonb(o) - 'oid' - 'tmplnamespace' FROM pg_ts_template o JOIN ns ON ns.oid = o.tmplnamespace, pg_identify_object('pg_ts_template'::regclass, o.oid, 0) i
      -- not in a schema -------------------------------------------------------------------------------
      UNION ALL
      SELECT 'cast', i.identity, jsonb_build_object('func', CASE WHEN o.castfunc <> 0 THEN o.castfunc::regprocedure END, 'context', o.castcontext, 'method', o.castmethod)
      FROM pg_cast o, pg_identify_object('pg_cast'::regclass, o.oid, 0) i WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_cast'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'transform', i.identity, jsonb_build_object('from', o.trffromsql, 'to', o.trftosql) FROM pg_transform o, pg_identify_object('pg_transform'::regclass, o.oid, 0) i WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_transform'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'extension', quote_ident(o.extname), jsonb_build_object('version', o.extversion, 'schema', o.extnamespace::regnamespace, 'config', (SELECT jsonb_agg(x::regclass ORDER BY x::regclass::text) FROM unnest(o.extconfig) x)) FROM pg_extension o
      UNION ALL
      SELECT 'language', quote_ident(o.lanname), jsonb_build_object('owner', o.lanowner::regrole, 'trusted', o.lanpltrusted, 'handler', CASE WHEN o.lanplcallfoid <> 0 THEN o.lanplcallfoid::regproc END) FROM pg_language o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_language'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'access method', quote_ident(o.amname), jsonb_build_object('handler', o.amhandler, 'type', o.amtype) FROM pg_am o WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_am'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'event trigger', quote_ident(o.evtname), jsonb_build_object('event', o.evtevent, 'func', o.evtfoid::regprocedure, 'enabled', o.evtenabled, 'tags', o.evttags, 'owner', o.evtowner::regrole) FROM pg_event_trigger o WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_event_trigger'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'foreign data wrapper', quote_ident(o.fdwname), jsonb_build_object('owner', o.fdwowner::regrole, 'handler', CASE WHEN o.fdwhandler <> 0 THEN o.fdwhandler::regproc END, 'validator', CASE WHEN o.fdwvalidator <> 0 THEN o.fdwvalidator::regproc END, 'options', o.fdwoptions) FROM pg_foreign_data_wrapper o WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_foreign_data_wrapper'::regclass AND objid = o.oid)
      UNION ALL
      SELECT 'server', quote_ident(o.srvname), jsonb_build_object('owner', o.srvowner::regrole, 'fdw', (SELECT fdwname FROM pg_foreign_data_wrapper WHERE oid = o.srvfdw), 'type', o.srvtype, 'version', o.srvversion, 'options', o.srvoptions) FROM pg_foreign_server o
      UNION ALL  -- options may hold passwords: existence only
      SELECT 'user mapping', format('%I for %s', s.srvname, CASE WHEN o.umuser = 0 THEN 'public' ELSE o.umuser::regrole::text END), jsonb_build_object() FROM pg_user_mappings o JOIN pg_foreign_server s ON s.oid = o.srvid
      UNION ALL
      SELECT 'publication', quote_ident(o.pubname), to_jsonb(o) - 'oid' - 'pubowner' || jsonb_build_object('owner', o.pubowner::regrole,
         'tables', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('schemaname', n.nspname, 'tablename', c.relname, 'rowfilter', pg_get_expr(p.prqual, p.prrelid),
                      'attnames', (SELECT jsonb_agg(a.attname ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = p.prrelid AND a.attnum = ANY (p.prattrs)))) ORDER BY n.nspname, c.relname)
                    FROM pg_publication_rel p JOIN pg_class c ON c.oid = p.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.prpubid = o.oid),
         'schemas', (SELECT jsonb_agg(quote_ident(n.nspname) ORDER BY n.nspname) FROM pg_publication_namespace p JOIN pg_namespace n ON n.oid = p.pnnspid WHERE p.pnpubid = o.oid)) FROM pg_publication o
      UNION ALL  -- of all databases, and its connection, which may hold a password, is readable by superusers only; a name that a version lacks is taken from `later`
      SELECT 'subscription', quote_ident(o.subname), jsonb_strip_nulls(jsonb_build_object('owner', o.subowner::regrole, 'binary', o.subbinary, 'streaming', o.substream, 'two_phase', o.subtwophasestate <> 'd',
         'disable_on_error', o.subdisableonerr, 'slot', o.subslotname, 'synchronous_commit', o.subsynccommit, 'publications', o.subpublications, 'origin', o.suborigin,
         'password_required', o.subpasswordrequired, 'run_as_owner', o.subrunasowner, 'failover', o.subfailover))
      FROM (SELECT NULL::text AS suborigin, NULL::boolean AS subpasswordrequired, NULL::boolean AS subrunasowner, NULL::boolean AS subfailover) later
      CROSS JOIN LATERAL (SELECT s.subname, s.subowner, s.subbinary, s.substream, s.subtwophasestate, s.subdisableonerr, s.subslotname, s.subsynccommit, s.subpublications,
                                 suborigin, subpasswordrequired, subrunasowner, subfailover
                          FROM pg_subscription s WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) o
      -- rights, comments, labels ----------------------------------------------------------------------
      UNION ALL
      SELECT 'grant', g.id, jsonb_build_object('acl', (SELECT jsonb_agg(e ORDER BY e) FROM (SELECT format('%s %s%s by %s', CASE WHEN x.grantee = 0 THEN 'public' ELSE x.grantee::regrole::text END, x.privilege_type, CASE WHEN x.is_grantable THEN ' *' ELSE '' END, x.grantor::regrole) e FROM aclexplode(g.acl) x) q))
             || CASE WHEN g.brought THEN jsonb_build_object('initial', (SELECT jsonb_agg(e ORDER BY e) FROM (SELECT format('%s %s%s by %s', CASE WHEN x.grantee = 0 THEN 'public' ELSE x.grantee::regrole::text END, x.privilege_type, CASE WHEN x.is_grantable THEN ' *' ELSE '' END, x.grantor::regrole) e FROM aclexplode(nullif(g.dflt, '{}')) x) q)) ELSE '{}' END
      FROM (SELECT o.*, false FROM (
                      SELECT 'schema ' || quote_ident(nspname), nspacl, acldefault('n', nspowner) FROM ns
            UNION ALL SELECT 'relation ' || id, relacl, acldefault(CASE WHEN relkind = 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner) FROM rel
            UNION ALL SELECT 'column ' || r.id || '.' || quote_ident(a.attname), a.attacl, '{}'::aclitem[] FROM pg_attribute a JOIN rel r ON r.oid = a.attrelid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
            UNION ALL SELECT 'routine ' || id, proacl, acldefault('f', proowner) FROM fn
            UNION ALL SELECT 'type ' || id, typacl, acldefault('T', typowner) FROM typ
            UNION ALL SELECT 'language ' || lanname, lanacl, acldefault('l', lanowner) FROM pg_language
            UNION ALL SELECT 'server ' || srvname, srvacl, acldefault('S', srvowner) FROM pg_foreign_server
            UNION ALL SELECT 'fdw ' || fdwname, fdwacl, acldefault('F', fdwowner) FROM pg_foreign_data_wrapper
            UNION ALL SELECT 'database', datacl, acldefault('d', datdba) FROM pg_database WHERE datname = current_database()) o
            -- what PostgreSQL or an extension brought: as pg_dump, only what was granted or revoked since
            UNION ALL SELECT b.*, true FROM (
                      SELECT 'schema ' || quote_ident(n.nspname), n.nspacl, coalesce(v.initprivs, acldefault('n', n.nspowner))
                      FROM pg_namespace n LEFT JOIN pg_init_privs v ON v.objoid = n.oid AND v.classoid = 'pg_namespace'::regclass
                      WHERE n.nspname IN ('pg_catalog', 'information_schema') OR EXISTS (SELECT FROM ext e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid)
            UNION ALL SELECT format('relation %I.%I', n.nspname, c.relname), c.relacl, coalesce(v.initprivs, acldefault(CASE WHEN c.relkind = 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner))
                      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_init_privs v ON v.objoid = c.oid AND v.classoid = 'pg_class'::regclass AND v.objsubid = 0
                      WHERE c.relacl IS NOT NULL AND (c.oid < 16384 OR EXISTS (SELECT FROM ext e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND NOT e.ours))
            UNION ALL SELECT format('column %I.%I.%I', n.nspname, c.relname, a.attname), a.attacl, coalesce(v.initprivs, '{}'::aclitem[])
                      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                      LEFT JOIN pg_init_privs v ON v.objoid = c.oid AND v.classoid = 'pg_class'::regclass AND v.objsubid = a.attnum
                      WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND (c.oid < 16384 OR EXISTS (SELECT FROM ext e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND NOT e.ours))
            UNION ALL SELECT format('routine %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proacl, coalesce(v.initprivs, acldefault('f', p.proowner))
                      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_init_privs v ON v.objoid = p.oid AND v.classoid = 'pg_proc'::regclass
                      WHERE p.proacl IS NOT NULL AND (p.oid < 16384 OR EXISTS (SELECT FROM ext e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND NOT e.ours))
            UNION ALL SELECT format('type %I.%I', n.nspname, t.typname), t.typacl, coalesce(v.initprivs, acldefault('T', t.typowner))
                      FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_init_privs v ON v.objoid = t.oid AND v.classoid = 'pg_type'::regclass
                      WHERE t.typacl IS NOT NULL AND (t.oid < 16384 OR EXISTS (SELECT FROM ext e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND NOT e.ours))) b) g(id, acl, dflt, brought)
      WHERE g.acl IS NOT NULL AND NOT (g.acl @> g.dflt AND g.acl <@ g.dflt)   -- an ACL that only spells out the default is no grant
      UNION ALL
      SELECT 'default grant', format('%s in %s on %s', d.defaclrole::regrole, CASE WHEN d.defaclnamespace = 0 THEN '*' ELSE d.defaclnamespace::regnamespace::text END, d.defaclobjtype),
             jsonb_build_object('acl', (SELECT jsonb_agg(e ORDER BY e) FROM (SELECT format('%s %s%s by %s', CASE WHEN x.grantee = 0 THEN 'public' ELSE x.grantee::regrole::text END, x.privilege_type, CASE WHEN x.is_grantable THEN ' *' ELSE '' END, x.grantor::regrole) e FROM aclexplode(d.defaclacl) x) q)) FROM pg_default_acl d
      UNION ALL
      SELECT 'comment', i.type || ' ' || i.identity, jsonb_build_object('text', c.description)
      FROM pg_description c CROSS JOIN LATERAL pg_identify_object(c.classoid, c.objoid, c.objsubid) i
      WHERE c.objoid >= 16384 AND NOT EXISTS (SELECT FROM ext WHERE classid = c.classoid AND objid = c.objoid) AND (i.schema IS NULL OR i.schema IN (SELECT nspname FROM ns))
        AND (c.classoid <> 'pg_class'::regclass OR EXISTS (SELECT FROM rel WHERE rel.oid = c.objoid) OR EXISTS (SELECT FROM pg_index x JOIN rel ON rel.oid = x.indrelid WHERE x.indexrelid = c.objoid))
      UNION ALL
      SELECT 'comment', 'schema public', jsonb_build_object('text', obj_description(oid, 'pg_namespace')) FROM ns WHERE oid = 2200 AND obj_description(oid, 'pg_namespace') IS NOT NULL
      UNION ALL
      SELECT 'security label', s.objtype || ' ' || s.objname, jsonb_build_object('p', s.provider, 'l', s.label) FROM pg_seclabels s WHERE s.objtype NOT IN ('role','database','tablespace','large object') AND s.objoid >= 16384
      UNION ALL  -- one row each, so that a change of one does not show the others; of an application's own (app.settings.jwt_secret ...) only enough to see a change
      SELECT 'setting', format('%s of role %s', split_part(c.setting, '=', 1), CASE WHEN s.setrole = 0 THEN '*' ELSE s.setrole::regrole::text END),
             jsonb_build_object('value', CASE WHEN split_part(c.setting, '=', 1) LIKE '%.%' THEN 'md5 ' || left(md5(c.setting), 8) ELSE substr(c.setting, strpos(c.setting, '=') + 1) END)
      FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting) WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT kind, identity, def AS definition FROM obj ORDER BY kind, identity;
END $function$;
COMMENT ON FUNCTION "Ops1".schema_objects() IS
    'One row for each schema object of this database: kind, identity, definition. Extension members and this system''s own objects are left out, and so '
    'are the options of user mappings and the connections of subscriptions, which hold passwords, and what all databases share (roles, tablespaces). Of what '
    'PostgreSQL or an extension brought, only rights that were granted or revoked since. An application''s own settings of the database show as a hash: they may '
    'be secrets. Does not write.';

-- Two states of a schema that are only compared need not become one value each: half the time of two schema_snapshot() and schema_changes().
CREATE FUNCTION "Ops1".schema_object_arrays(OUT kinds text[], OUT identities text[], OUT definitions jsonb[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    FOR tries_left IN REVERSE 9..0 LOOP
        BEGIN
            SELECT array_agg(o.kind), array_agg(o.identity), array_agg(o.definition) INTO kinds, identities, definitions FROM "Ops1".schema_objects() o;
            RETURN;
        EXCEPTION
            -- An object went between the reading of its catalog row and the asking for its definition: look again. No such error is anybody's fault.
            WHEN internal_error OR undefined_table OR undefined_object OR undefined_function OR undefined_column OR invalid_schema_name THEN
                IF tries_left = 0 OR current_setting('transaction_isolation') <> 'read committed' THEN
                    RAISE;
                END IF;
                PERFORM pg_sleep(0.02);
        END;
    END LOOP;
END $function$;
COMMENT ON FUNCTION "Ops1".schema_object_arrays() IS
    'schema_objects() as three arrays, looking again when somebody else changes the schema meanwhile. Waits for locks no longer than lock_timeout. Does not write.';

CREATE FUNCTION "Ops1".schema_snapshot() RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}')
    FROM (SELECT o.kind, jsonb_object_agg(o.identity, o.definition) AS objects
          FROM "Ops1".schema_object_arrays() a CROSS JOIN LATERAL unnest(a.kinds, a.identities, a.definitions) AS o (kind, identity, definition)
          GROUP BY o.kind) k
$function$;
COMMENT ON FUNCTION "Ops1".schema_snapshot() IS
    'schema_objects() as one value: kind -> identity -> definition. Looks again when somebody else changes the schema meanwhile. Waits for locks no longer '
    'than lock_timeout. Does not write.';

CREATE FUNCTION "Ops1".schema_token() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 AS $function$
BEGIN
    -- (ctid, xmin) names one version of a catalog row; a sum, because their order is not stable. What sessions keep in temporary tables is no schema.
    RETURN (
        WITH passing AS MATERIALIZED (SELECT c.oid FROM pg_class c WHERE c.relpersistence = 't'),
        spaces AS MATERIALIZED (SELECT n.oid FROM pg_namespace n WHERE n.nspname ~ '^pg_(toast_)?temp_'),
        part (place, rows, hash) AS (
            -- by what they say and not by version: TRUNCATE, REINDEX, CLUSTER and VACUUM FULL write a new version with another file
            SELECT 1, count(*), sum(hashtextextended(concat_ws(',', c.oid, c.relname, c.relnamespace, c.reloftype, c.relowner, c.relam, c.reltablespace, c.relpersistence,
                       c.relkind, c.relnatts, c.relchecks, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relispartition, c.relacl::text,
                       CASE WHEN c.reloptions IS NOT NULL THEN (SELECT string_agg(x, ',' ORDER BY x) FROM unnest(c.reloptions) x WHERE NOT starts_with(x, 'pg_')) END,
                       c.relpartbound::text), 0))
              FROM pg_class c WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND c.relkind <> 't'
            UNION ALL SELECT 2, count(*), sum(hashtidextended(a.ctid, (a.xmin::text)::bigint)) FROM pg_attribute a
             WHERE a.attrelid >= 16384 AND NOT EXISTS (SELECT FROM passing p WHERE p.oid = a.attrelid)
            UNION ALL SELECT 3, count(*), sum(hashtidextended(k.ctid, (k.xmin::text)::bigint)) FROM pg_constraint k
             WHERE k.oid >= 16384 AND NOT EXISTS (SELECT FROM passing p WHERE p.oid = k.conrelid)
            UNION ALL SELECT 4, count(*), sum(hashtidextended(f.ctid, (f.xmin::text)::bigint)) FROM pg_proc f
             WHERE f.oid >= 16384 AND NOT EXISTS (SELECT FROM spaces n WHERE n.oid = f.pronamespace)
            UNION ALL SELECT 5, count(*), sum(hashtidextended(t.ctid, (t.xmin::text)::bigint)) FROM pg_type t
             WHERE t.oid >= 16384 AND NOT EXISTS (SELECT FROM spaces n WHERE n.oid = t.typnamespace)
            UNION ALL SELECT 6, count(*), sum(hashtidextended(g.ctid, (g.xmin::text)::bigint)) FROM pg_trigger g
             WHERE g.oid >= 16384 AND NOT EXISTS (SELECT FROM passing p WHERE p.oid = g.tgrelid)
            UNION ALL SELECT 7, count(*), sum(hashtidextended(o.ctid, (o.xmin::text)::bigint)) FROM pg_policy o
            UNION ALL SELECT 8, count(*), sum(hashtidextended(w.ctid, (w.xmin::text)::bigint)) FROM pg_rewrite w
             WHERE w.oid >= 16384 AND NOT EXISTS (SELECT FROM passing p WHERE p.oid = w.ev_class)
            UNION ALL SELECT 9, count(*), sum(hashtidextended(d.ctid, (d.xmin::text)::bigint)) FROM pg_attrdef d WHERE NOT EXISTS (SELECT FROM passing p WHERE p.oid = d.adrelid)
            UNION ALL SELECT 10, count(*), sum(hashtidextended(i.ctid, (i.xmin::text)::bigint)) FROM pg_index i
             WHERE i.indexrelid >= 16384 AND NOT EXISTS (SELECT FROM passing p WHERE p.oid = i.indexrelid)
            UNION ALL SELECT 11, count(*), sum(hashtidextended(h.ctid, (h.xmin::text)::bigint)) FROM pg_inherits h WHERE NOT EXISTS (SELECT FROM passing p WHERE p.oid = h.inhrelid)
            UNION ALL SELECT 12, count(*), sum(hashtidextended(e.ctid, (e.xmin::text)::bigint)) FROM pg_enum e
            UNION ALL SELECT 13, count(*), sum(hashtidextended(q.ctid, (q.xmin::text)::bigint)) FROM pg_sequence q WHERE NOT EXISTS (SELECT FROM passing p WHERE p.oid = q.seqrelid)
            UNION ALL SELECT 14, count(*), sum(hashtidextended(n.ctid, (n.xmin::text)::bigint)) FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast_)?temp_'
            UNION ALL SELECT 15, count(*), sum(hashtidextended(d.ctid, (d.xmin::text)::bigint)) FROM pg_description d WHERE d.objoid >= 16384 OR d.objoid = 2200 AND d.classoid = 'pg_namespace'::regclass  -- public
            UNION ALL SELECT 16, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_extension x
            UNION ALL SELECT 17, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_event_trigger x
            UNION ALL SELECT 18, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_default_acl x
            UNION ALL SELECT 19, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_statistic_ext x
            UNION ALL SELECT 20, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_publication x
            UNION ALL SELECT 21, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_publication_rel x
            UNION ALL SELECT 22, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_publication_namespace x
            UNION ALL SELECT 23, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_operator x WHERE x.oid >= 16384
            UNION ALL SELECT 24, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_opclass x WHERE x.oid >= 16384
            UNION ALL SELECT 25, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_opfamily x WHERE x.oid >= 16384
            UNION ALL SELECT 26, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_cast x WHERE x.oid >= 16384
            UNION ALL SELECT 27, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_collation x WHERE x.oid >= 16384
            UNION ALL SELECT 28, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_foreign_table x
            UNION ALL SELECT 29, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_foreign_server x
            UNION ALL SELECT 30, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_config x WHERE x.oid >= 16384
            UNION ALL SELECT 31, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_dict x WHERE x.oid >= 16384
            UNION ALL SELECT 32, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_aggregate x WHERE x.aggfnoid >= 16384
            UNION ALL SELECT 33, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_language x
            UNION ALL SELECT 34, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_seclabel x
            -- all databases share it: only what is set for this one or for all of them, and by what it says, because VACUUM FULL may come from any
            UNION ALL SELECT 35, count(*), sum(hashtextextended(concat_ws(',', x.setdatabase, x.setrole, x.setconfig::text), 0)) FROM pg_db_role_setting x
             WHERE x.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
            -- what hardly anybody makes, by number and version
            UNION ALL SELECT 37, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_foreign_data_wrapper x
            UNION ALL SELECT 38, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_transform x
            UNION ALL SELECT 39, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_conversion x WHERE x.oid >= 16384
            UNION ALL SELECT 40, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_am x WHERE x.oid >= 16384
            UNION ALL SELECT 41, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_parser x WHERE x.oid >= 16384
            UNION ALL SELECT 42, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_template x WHERE x.oid >= 16384
            UNION ALL SELECT 43, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_amop x WHERE x.oid >= 16384
            UNION ALL SELECT 44, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_amproc x WHERE x.oid >= 16384
            UNION ALL SELECT 45, count(*), sum(hashtidextended(x.ctid, (x.xmin::text)::bigint)) FROM pg_ts_config_map x WHERE x.mapcfg >= 16384
            UNION ALL SELECT 46, count(*), sum(hashtextextended(concat_ws(',', x.umid, x.srvid, x.umuser), 0)) FROM pg_user_mappings x
            UNION ALL SELECT 47, count(*), sum(hashtextextended(concat_ws(',', o.*), 0))
              FROM (SELECT NULL::text AS suborigin, NULL::boolean AS subpasswordrequired, NULL::boolean AS subrunasowner, NULL::boolean AS subfailover) later
              CROSS JOIN LATERAL (SELECT s.oid, s.subname, s.subowner, s.subbinary, s.substream, s.subtwophasestate <> 'd', s.subdisableonerr, s.subslotname, s.subsynccommit, s.subpublications::text,
                                         suborigin, subpasswordrequired, subrunasowner, subfailover
                                  FROM pg_subscription s WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) o
            -- rights on what PostgreSQL brought
            UNION ALL SELECT 48, count(*), sum(hashtextextended(c.relacl::text, c.oid::bigint)) FROM pg_class c WHERE c.oid < 16384 AND c.relacl IS NOT NULL
            UNION ALL SELECT 49, count(*), sum(hashtextextended(f.proacl::text, f.oid::bigint)) FROM pg_proc f WHERE f.oid < 16384 AND f.proacl IS NOT NULL
            UNION ALL SELECT 50, count(*), sum(hashtextextended(t.typacl::text, t.oid::bigint)) FROM pg_type t WHERE t.oid < 16384 AND t.typacl IS NOT NULL
            UNION ALL SELECT 51, count(*), sum(hashtextextended(a.attacl::text, a.attrelid::bigint * 10000 + a.attnum)) FROM pg_attribute a WHERE a.attrelid < 16384 AND a.attacl IS NOT NULL
            UNION ALL SELECT 36, 1, hashtextextended(coalesce(d.datacl::text, '') || d.datdba, 0) FROM pg_database d WHERE d.datname = current_database())
        SELECT md5(string_agg(p.rows || ':' || coalesce(p.hash, 0), ' ' ORDER BY p.place)) FROM part p);
END $function$;
COMMENT ON FUNCTION "Ops1".schema_token() IS
    'Changes whenever a schema object does, and costs a fraction of schema_objects(). Rows, TRUNCATE, ANALYZE, VACUUM, REINDEX and temporary tables do not count; '
    'REINDEX CONCURRENTLY, CLUSTER, and VACUUM FULL of a catalog change it without a change to the schema. Compares within one database only. Does not write.';

CREATE FUNCTION "Ops1".schema_changes(old_schema jsonb, new_schema jsonb)
RETURNS TABLE (change text, kind text, identity text, old_definition jsonb, new_definition jsonb)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH old AS (SELECT k.key AS kind, o.key AS identity, o.value AS definition FROM jsonb_each(old_schema) k CROSS JOIN LATERAL jsonb_each(k.value) o
                 WHERE k.value IS DISTINCT FROM new_schema -> k.key),
    new AS (SELECT k.key AS kind, o.key AS identity, o.value AS definition FROM jsonb_each(new_schema) k CROSS JOIN LATERAL jsonb_each(k.value) o
            WHERE k.value IS DISTINCT FROM old_schema -> k.key),
    differing AS (
        SELECT kind, identity, old.definition AS was, new.definition AS is
        FROM old FULL JOIN new USING (kind, identity) WHERE old.definition IS DISTINCT FROM new.definition),
    -- A snapshot that was taken before schema_objects() left PostgreSQL's own options out still holds them.
    plain AS (
        SELECT d.kind, d.identity, d.was - 'options' || coalesce(nullif(jsonb_build_object('options', jsonb_path_query_array(d.was, own)), '{"options": []}'), '{}') AS was,
               d.is - 'options' || coalesce(nullif(jsonb_build_object('options', jsonb_path_query_array(d.is, own)), '{"options": []}'), '{}') AS is
        FROM differing d, CAST('$.options[*] ? (!(@ starts with "pg_"))' AS jsonpath) AS own
        WHERE d.kind IN ('column', 'table', 'partitioned table', 'view', 'materialized view')
        UNION ALL
        SELECT d.kind, d.identity, d.was, d.is FROM differing d WHERE d.kind NOT IN ('column', 'table', 'partitioned table', 'view', 'materialized view')),
    judged AS (
        SELECT CASE
                   WHEN d.was IS NULL THEN 'created'
                   WHEN d.is IS NULL THEN 'dropped'
                   WHEN d.was - 'columns' IS DISTINCT FROM d.is - 'columns' THEN 'changed'
                   -- Columns have rows of their own. Here only their order counts, of those that both have: PostgreSQL cannot put one back in its place.
                   WHEN (SELECT jsonb_agg(c.name ORDER BY c.place) FROM jsonb_array_elements_text(coalesce(nullif(d.was -> 'columns', 'null'), '[]')) WITH ORDINALITY AS c (name, place) WHERE d.is -> 'columns' ? c.name)
                        IS DISTINCT FROM
                        (SELECT jsonb_agg(c.name ORDER BY c.place) FROM jsonb_array_elements_text(coalesce(nullif(d.is -> 'columns', 'null'), '[]')) WITH ORDINALITY AS c (name, place) WHERE d.was -> 'columns' ? c.name)
                       THEN 'reordered'
               END AS change, d.kind, d.identity, d.was, d.is
        FROM plain d WHERE d.was IS DISTINCT FROM d.is)
    SELECT j.change, j.kind, j.identity, j.was, j.is FROM judged j WHERE j.change IS NOT NULL ORDER BY j.kind, j.identity COLLATE "C"
$function$;
COMMENT ON FUNCTION "Ops1".schema_changes(jsonb, jsonb) IS
    'What differs between two values of schema_snapshot(): one row for each object. change: created, dropped, changed, or reordered (a table whose columns '
    'stand in another order and nothing else). Does not write.';

CREATE FUNCTION "Ops1".create_migration_snapshot(
    name text, description text DEFAULT NULL, moment text DEFAULT NULL, migrations text[] DEFAULT NULL, client text DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    token_now text := "Ops1".schema_token();
    snapshot  uuid;
BEGIN
    IF moment IS NOT NULL THEN
        -- Taken by itself: where nothing has changed since the last one, that one says it all.
        SELECT s.id INTO snapshot FROM (SELECT l.id, l.token FROM "Ops1".migration_snapshots l ORDER BY l.taken_at DESC LIMIT 1) s
         WHERE s.token = token_now;
    END IF;
    IF snapshot IS NULL THEN
        INSERT INTO "Ops1".migration_snapshots (migration_name, description, token, objects)
        VALUES (create_migration_snapshot.name, coalesce(create_migration_snapshot.description, moment), token_now, "Ops1".schema_snapshot())
        RETURNING id INTO snapshot;
    END IF;
    PERFORM "Ops1".add_migration_event('snapshot_taken', name, NULL::uuid, create_migration_snapshot.description,
        create_migration_snapshot.client, jsonb_strip_nulls(jsonb_build_object(
            'snapshot', snapshot, 'moment', moment, 'migrations', to_jsonb(CASE WHEN moment IS NOT NULL THEN coalesce(migrations, ARRAY[name]) END))));
    RETURN snapshot;
END $function$;
COMMENT ON FUNCTION "Ops1".create_migration_snapshot(text, text, text, text[], text) IS
    'Writes: stores the schema as it stands, for a migration that need not be registered yet. moment: for one that is taken around a deed ("before apply", '
    '"after apply", "before rollback", "after rollback") of these migrations; where nothing has changed since the last snapshot, that one is given again. '
    'Returns the snapshot''s id.';

CREATE FUNCTION "Ops1".diff_migration_snapshots(old_snapshot uuid, new_snapshot uuid DEFAULT NULL)
RETURNS TABLE (change text, kind text, identity text, old_definition jsonb, new_definition jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    old_objects jsonb;
    new_objects jsonb;
BEGIN
    SELECT s.objects || '{}' INTO old_objects FROM "Ops1".migration_snapshots s WHERE s.id = old_snapshot;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no snapshot %', old_snapshot USING ERRCODE = 'MR001';
    END IF;
    IF new_snapshot IS NULL THEN
        new_objects := "Ops1".schema_snapshot();
    ELSE
        SELECT s.objects || '{}' INTO new_objects FROM "Ops1".migration_snapshots s WHERE s.id = new_snapshot;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no snapshot %', new_snapshot USING ERRCODE = 'MR001';
        END IF;
    END IF;
    RETURN QUERY SELECT * FROM "Ops1".schema_changes(old_objects, new_objects);
END $function$;
COMMENT ON FUNCTION "Ops1".diff_migration_snapshots(uuid, uuid) IS
    'schema_changes() from a snapshot to another one, or to the schema as it stands now. SQLSTATE MR001: no such snapshot. Does not write.';

-- ---------------------------------------------------------------------------------------------------
-- Ownership: which migration made, changed or dropped which object.
-- ---------------------------------------------------------------------------------------------------

CREATE TABLE "Ops1".migration_objects (
    migration_name text NOT NULL,
    action         text NOT NULL CHECK (action IN ('created', 'changed', 'dropped')),
    kind           text NOT NULL,
    identity       text NOT NULL,
    class_id       oid,
    object_id      oid,
    column_number  int NOT NULL DEFAULT 0,
    source         text NOT NULL DEFAULT 'apply' CHECK (source IN ('apply', 'parsed')),
    recorded_in    oid,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE "Ops1".migration_objects IS
    'What each migration did to which schema object. Rows of a migration that was rolled back stay, until it is applied again: join migration_history.status.';
COMMENT ON COLUMN "Ops1".migration_objects.migration_name IS 'The migration.';
COMMENT ON COLUMN "Ops1".migration_objects.action IS
    'created; changed: its catalog row was written, though another migration or nobody known made it; dropped: only of objects that a known migration had made.';
COMMENT ON COLUMN "Ops1".migration_objects.kind IS 'Kind of the object, in the words of schema_objects().';
COMMENT ON COLUMN "Ops1".migration_objects.identity IS 'Its name as it was then, in the form of schema_objects().';
COMMENT ON COLUMN "Ops1".migration_objects.class_id IS 'Catalog that holds it, as in pg_depend.classid; a renamed object is found by it. NULL where it is known by name only.';
COMMENT ON COLUMN "Ops1".migration_objects.object_id IS 'Its oid, as in pg_depend.objid. Of a comment: the oid of what it is about.';
COMMENT ON COLUMN "Ops1".migration_objects.column_number IS 'Number of the column, as in pg_depend.objsubid; 0 for whole objects.';
COMMENT ON COLUMN "Ops1".migration_objects.source IS 'apply: seen in the catalogs while it was applied; parsed: read from the SQL of its file.';
COMMENT ON COLUMN "Ops1".migration_objects.recorded_in IS
    'oid of this table at that time: where it is another one now, the database was restored from a dump and the oids mean nothing.';
COMMENT ON COLUMN "Ops1".migration_objects.recorded_at IS 'When it was recorded.';

-- Without a key, and where a publication FOR ALL TABLES publishes it, PostgreSQL refuses to delete or update rows of a table with no identity at all.
ALTER TABLE "Ops1".migration_objects REPLICA IDENTITY FULL;
CREATE INDEX idx_migration_objects_migration ON "Ops1".migration_objects (migration_name);
CREATE INDEX idx_migration_objects_object ON "Ops1".migration_objects (object_id);

CREATE FUNCTION "Ops1".catalog_row_counts() RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF current_setting('track_counts') = 'off' THEN
        RETURN NULL;
    END IF;
    -- One expression and no query: this runs for every migration.
    RETURN ARRAY[
        pg_stat_get_xact_tuples_inserted('pg_class'::regclass), pg_stat_get_xact_tuples_updated('pg_class'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_attribute'::regclass), pg_stat_get_xact_tuples_updated('pg_attribute'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_constraint'::regclass), pg_stat_get_xact_tuples_updated('pg_constraint'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_trigger'::regclass), pg_stat_get_xact_tuples_updated('pg_trigger'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_rewrite'::regclass), pg_stat_get_xact_tuples_updated('pg_rewrite'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_policy'::regclass), pg_stat_get_xact_tuples_updated('pg_policy'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_sequence'::regclass), pg_stat_get_xact_tuples_updated('pg_sequence'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_proc'::regclass), pg_stat_get_xact_tuples_updated('pg_proc'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_type'::regclass), pg_stat_get_xact_tuples_updated('pg_type'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_enum'::regclass), pg_stat_get_xact_tuples_updated('pg_enum'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_description'::regclass), pg_stat_get_xact_tuples_updated('pg_description'::regclass),
        pg_stat_get_xact_tuples_inserted('pg_extension'::regclass), pg_stat_get_xact_tuples_updated('pg_extension'::regclass),
        -- the rarer kinds together
        pg_stat_get_xact_tuples_inserted('pg_namespace'::regclass) + pg_stat_get_xact_tuples_updated('pg_namespace'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_statistic_ext'::regclass) + pg_stat_get_xact_tuples_updated('pg_statistic_ext'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_collation'::regclass) + pg_stat_get_xact_tuples_updated('pg_collation'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_operator'::regclass) + pg_stat_get_xact_tuples_updated('pg_operator'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_opclass'::regclass) + pg_stat_get_xact_tuples_updated('pg_opclass'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_opfamily'::regclass) + pg_stat_get_xact_tuples_updated('pg_opfamily'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_cast'::regclass) + pg_stat_get_xact_tuples_updated('pg_cast'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_conversion'::regclass) + pg_stat_get_xact_tuples_updated('pg_conversion'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_config'::regclass) + pg_stat_get_xact_tuples_updated('pg_ts_config'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_dict'::regclass) + pg_stat_get_xact_tuples_updated('pg_ts_dict'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_parser'::regclass) + pg_stat_get_xact_tuples_updated('pg_ts_parser'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_ts_template'::regclass) + pg_stat_get_xact_tuples_updated('pg_ts_template'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_transform'::regclass) + pg_stat_get_xact_tuples_updated('pg_transform'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_language'::regclass) + pg_stat_get_xact_tuples_updated('pg_language'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_am'::regclass) + pg_stat_get_xact_tuples_updated('pg_am'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_event_trigger'::regclass) + pg_stat_get_xact_tuples_updated('pg_event_trigger'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_foreign_data_wrapper'::regclass) + pg_stat_get_xact_tuples_updated('pg_foreign_data_wrapper'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_foreign_server'::regclass) + pg_stat_get_xact_tuples_updated('pg_foreign_server'::regclass)
        + pg_stat_get_xact_tuples_inserted('pg_publication'::regclass) + pg_stat_get_xact_tuples_updated('pg_publication'::regclass),
        pg_stat_get_xact_tuples_deleted('pg_depend'::regclass), pg_stat_get_xact_tuples_deleted('pg_attribute'::regclass)];
END $function$;
COMMENT ON FUNCTION "Ops1".catalog_row_counts() IS
    'How many rows were inserted into and updated in the catalogs that migration_catalog_writes() looks at, in its order; they count on from transaction to '
    'transaction, so compare two answers. NULL where nobody counts. Does not write.';

CREATE FUNCTION "Ops1".migration_catalog_writes(since oid, counts bigint[] DEFAULT NULL)
RETURNS TABLE (action text, kind text, identity text, class_id oid, object_id oid, column_number int, version tid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    -- Scans and joins of whole catalogs would grow with the schema, and planning takes longer than running. jit: a forbidden scan looks expensive.
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off AS $function$
DECLARE
    -- Written by this transaction is what is as young as it. What others committed meanwhile is so too, where there is any: then each row's own
    -- transaction is asked, for a row that is seen while its transaction is still in progress is ours.
    top       bigint  := pg_current_xact_id()::text::bigint;
    ours      int     := age(pg_current_xact_id()::xid);
    alone     boolean := pg_snapshot_xmax(pg_current_snapshot())::text::bigint <= top;
    -- how many rows were written meanwhile; where nobody counted, as many as there may be
    now_counted bigint[] := "Ops1".catalog_row_counts();
    class_inserted         bigint := coalesce(now_counted[1] - counts[1], 1000000000000);
    class_updated          bigint := coalesce(now_counted[2] - counts[2], 1000000000000);
    attribute_inserted     bigint := coalesce(now_counted[3] - counts[3], 1000000000000);
    attribute_updated      bigint := coalesce(now_counted[4] - counts[4], 1000000000000);
    constraint_inserted    bigint := coalesce(now_counted[5] - counts[5], 1000000000000);
    constraint_updated     bigint := coalesce(now_counted[6] - counts[6], 1000000000000);
    trigger_inserted       bigint := coalesce(now_counted[7] - counts[7], 1000000000000);
    trigger_updated        bigint := coalesce(now_counted[8] - counts[8], 1000000000000);
    rewrite_inserted       bigint := coalesce(now_counted[9] - counts[9], 1000000000000);
    rewrite_updated        bigint := coalesce(now_counted[10] - counts[10], 1000000000000);
    policy_inserted        bigint := coalesce(now_counted[11] - counts[11], 1000000000000);
    policy_updated         bigint := coalesce(now_counted[12] - counts[12], 1000000000000);
    sequence_inserted      bigint := coalesce(now_counted[13] - counts[13], 1000000000000);
    sequence_updated       bigint := coalesce(now_counted[14] - counts[14], 1000000000000);
    proc_inserted          bigint := coalesce(now_counted[15] - counts[15], 1000000000000);
    proc_updated           bigint := coalesce(now_counted[16] - counts[16], 1000000000000);
    type_inserted          bigint := coalesce(now_counted[17] - counts[17], 1000000000000);
    type_updated           bigint := coalesce(now_counted[18] - counts[18], 1000000000000);
    enum_inserted          bigint := coalesce(now_counted[19] - counts[19], 1000000000000);
    enum_updated           bigint := coalesce(now_counted[20] - counts[20], 1000000000000);
    description_inserted   bigint := coalesce(now_counted[21] - counts[21], 1000000000000);
    description_updated    bigint := coalesce(now_counted[22] - counts[22], 1000000000000);
    extension_inserted     bigint := coalesce(now_counted[23] - counts[23], 1000000000000);
    extension_updated      bigint := coalesce(now_counted[24] - counts[24], 1000000000000);
    rarer_written          bigint := coalesce(now_counted[25] - counts[25], 1000000000000);
    depend_deleted         bigint := coalesce(now_counted[26] - counts[26], 1000000000000);
    attribute_deleted      bigint := coalesce(now_counted[27] - counts[27], 1000000000000);
    extending boolean := extension_inserted + extension_updated > 0;
    made      oid[];    -- relations of any kind that are new
    altered   oid[];    -- relations whose definition may have changed, for such DDL takes one of these locks and keeps it
    touched   oid[];    -- and those whose triggers or sequence may have
    gone      oid[];    -- what was dropped: DROP locks every single object that goes
    added     bigint;
    stamped   tid[] := '{}';  -- rows of columns that were written and not changed
    lowest    oid;
    wrapped   boolean;
    catalog   regclass;
BEGIN
    SELECT array_agg(l.relation) FILTER (WHERE l.locktype = 'relation' AND l.mode <> 'ShareRowExclusiveLock'),
           array_agg(l.relation) FILTER (WHERE l.locktype = 'relation'),
           array_agg(coalesce(l.relation, l.objid)) FILTER (WHERE l.mode = 'AccessExclusiveLock')
      INTO altered, touched, gone
      FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype IN ('relation', 'object')
       AND l.mode IN ('AccessExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock');

    -- relations --------------------------------------------------------------------------------------
    IF class_inserted > 0 THEN
        SELECT array_agg(c.oid) INTO made FROM pg_class c
         WHERE c.oid > since AND CASE WHEN age(c.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END;
        IF coalesce(cardinality(made), 0) < class_inserted THEN
            -- Some went again, or oids began anew from the lowest one. A relation that was there before has older rows in pg_depend.
            SELECT array_agg(c.oid) INTO made FROM pg_class c
             WHERE c.oid >= 16384 AND CASE WHEN age(c.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND age(d.xmin) > ours);
        END IF;
    END IF;
    made := coalesce(made, '{}');
    altered := ARRAY(SELECT a FROM unnest(altered) a WHERE a <> ALL (made));
    IF class_updated > 0 AND altered = '{}' AND made = '{}' THEN
        -- GRANT on a relation locks none. Where it is all that was done, all relations are looked through.
        altered := ARRAY(SELECT c.oid FROM pg_class c
                          WHERE c.oid >= 16384 AND CASE WHEN age(c.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END);
    END IF;
    RETURN QUERY
    SELECT CASE WHEN r.new THEN 'created' ELSE 'changed' END,
           CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type' ELSE 'index' END,
           format('%I.%I', n.nspname, r.relname), 'pg_class'::regclass::oid, r.oid, 0, r.ctid
      FROM (SELECT true AS new, c.oid, c.relname, c.relnamespace, c.relkind, c.relpersistence, c.reltype, c.ctid FROM pg_class c WHERE c.oid = ANY (made)
            UNION ALL
            SELECT false, c.oid, c.relname, c.relnamespace, c.relkind, c.relpersistence, c.reltype, c.ctid FROM pg_class c
             WHERE c.oid = ANY (altered) AND CASE WHEN age(c.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(c.xmin))::text::xid8) = 'in progress' ELSE false END) r
      JOIN pg_namespace n ON n.oid = r.relnamespace
     WHERE r.relpersistence <> 't' AND n.nspname <> 'pg_toast'
       -- of a composite type the extension owns the type, and that its relation
       AND NOT (extending AND (EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = r.oid AND e.deptype = 'e')
                OR EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = r.reltype AND e.deptype = 'e')));

    -- columns: of new relations all, of others those that were added (their rows are new) or changed ----
    IF attribute_inserted + attribute_updated > 0 THEN
        added := 0;
        IF cardinality(altered) > 0 THEN
            -- PostgreSQL 15.20 stamps, with the column whose type changes, all behind it (pg_attver in attoptions): written by one command, but not changed.
            stamped := ARRAY(
                SELECT a.ctid FROM pg_attribute a
                 WHERE a.attrelid = ANY (altered) AND a.attnum > 0 AND a.attoptions IS NOT NULL AND age(a.xmin) <= ours
                   AND EXISTS (SELECT FROM unnest(a.attoptions) AS o (stamp)
                                 JOIN pg_attribute b ON b.attrelid = a.attrelid AND b.attnum > 0 AND b.attnum <> a.attnum AND o.stamp = ANY (b.attoptions)
                                                    AND b.xmin = a.xmin AND b.cmin = a.cmin
                                 JOIN pg_attribute f ON f.attrelid = a.attrelid AND f.attnum > 0 AND f.attnum < a.attnum AND o.stamp = ANY (f.attoptions)
                                WHERE starts_with(o.stamp, 'pg_')));
            -- where a table was rewritten its columns were inserted once more, and nobody can tell by number
            added := CASE WHEN attribute_deleted > 0 THEN 1000000000000
                          ELSE attribute_inserted - (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = ANY (made)) END;
        END IF;
        RETURN QUERY
        SELECT CASE WHEN w.new OR w.known = 'table' THEN 'created' WHEN w.known = 'column' THEN 'changed'
                    -- of a table that nobody known made: the last columns, behind all that are older, as many as were added
                    WHEN NOT w.before AND row_number() OVER (ORDER BY w.new, w.known IS NOT NULL, a.attnum DESC) <= added - count(*) FILTER (WHERE w.known = 'table') OVER () THEN 'created'
                    ELSE 'changed' END,
               'column', format('%I.%I.%I', n.nspname, c.relname, a.attname), 'pg_class'::regclass::oid, c.oid, a.attnum::int, a.ctid
          FROM (SELECT true AS new, m AS relation, NULL::int2 AS attnum, NULL AS known, false AS before FROM unnest(made) m
                UNION ALL
                SELECT false, a.attrelid, a.attnum,
                       (SELECT CASE WHEN bool_or(o.column_number = a.attnum) THEN 'column' WHEN bool_or(o.column_number = 0 AND o.action = 'created') THEN 'table' END
                          FROM "Ops1".migration_objects o
                         WHERE o.object_id = a.attrelid AND o.class_id = 'pg_class'::regclass AND o.column_number IN (0, a.attnum)),
                       EXISTS (SELECT FROM pg_attribute b WHERE b.attrelid = a.attrelid AND b.attnum > a.attnum AND (age(b.xmin) > ours OR b.ctid = ANY (stamped)))
                  FROM pg_attribute a WHERE a.attrelid = ANY (altered) AND a.attnum > 0
                   -- A table that was rewritten forgets which columns were added with a default: their rows are written though nothing of them has changed.
                   AND NOT (a.atthasdef AND EXISTS (SELECT FROM pg_class f WHERE f.oid = a.attrelid AND f.relfilenode > since)
                            AND NOT EXISTS (SELECT FROM pg_attrdef e WHERE e.adrelid = a.attrelid AND e.adnum = a.attnum AND e.oid > since))
                   AND a.ctid <> ALL (stamped)
                   AND CASE WHEN age(a.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(a.xmin))::text::xid8) = 'in progress' ELSE false END) w
          JOIN pg_class c ON c.oid = w.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't'
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = w.relation AND a.attnum > 0 AND NOT a.attisdropped AND (w.new OR a.attnum = w.attnum)
         WHERE NOT (extending AND (EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
                    OR EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = c.reltype AND e.deptype = 'e')));
    END IF;

    -- what belongs to relations ------------------------------------------------------------------------
    IF constraint_inserted + constraint_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN k.oid > since OR constraint_updated = 0 OR k.conrelid = ANY (made) THEN 'created' ELSE 'changed' END,
               CASE WHEN k.contypid <> 0 THEN 'domain constraint' ELSE 'constraint' END,
               format('%I.%I %I', n.nspname, coalesce(c.relname, t.typname), k.conname), 'pg_constraint'::regclass::oid, k.oid, 0, k.ctid
          FROM (SELECT x.oid FROM pg_constraint x WHERE x.conrelid = ANY (altered || made)
                UNION ALL SELECT x.oid FROM pg_constraint x WHERE x.contypid > 0) w
          JOIN pg_constraint k ON k.oid = w.oid AND k.contype <> 't'
           AND CASE WHEN age(k.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(k.xmin))::text::xid8) = 'in progress' ELSE false END
          LEFT JOIN pg_class c ON c.oid = k.conrelid AND k.conrelid <> 0
          LEFT JOIN pg_type t ON t.oid = k.contypid AND k.contypid <> 0
          JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace)
         WHERE coalesce(c.relpersistence, 'p') <> 't'
           AND NOT (extending AND EXISTS (SELECT FROM pg_depend e WHERE e.objid IN (c.oid, t.oid) AND e.deptype = 'e'));
    END IF;
    IF trigger_inserted + trigger_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN g.oid > since OR trigger_updated = 0 OR g.tgrelid = ANY (made) THEN 'created' ELSE 'changed' END,
               'trigger', format('%I.%I %I', n.nspname, c.relname, g.tgname), 'pg_trigger'::regclass::oid, g.oid, 0, g.ctid
          FROM (SELECT x.oid FROM pg_trigger x WHERE x.oid > since
                UNION SELECT x.oid FROM pg_trigger x WHERE x.tgrelid = ANY (touched || made)
                   AND (trigger_updated > 0 OR trigger_inserted > (SELECT count(*) FROM pg_trigger y WHERE y.oid > since))) w
          JOIN pg_trigger g ON g.oid = w.oid AND NOT g.tgisinternal
          JOIN pg_class c ON c.oid = g.tgrelid AND c.relpersistence <> 't' JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE CASE WHEN age(g.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(g.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
    IF rewrite_inserted + rewrite_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN w.rulename <> '_RETURN' AND (w.oid > since OR rewrite_updated = 0 OR w.ev_class = ANY (made)) THEN 'created' ELSE 'changed' END,
               CASE WHEN w.rulename <> '_RETURN' THEN 'rule' WHEN c.relkind = 'm' THEN 'materialized view' ELSE 'view' END,
               CASE WHEN w.rulename <> '_RETURN' THEN format('%I.%I %I', n.nspname, c.relname, w.rulename) ELSE format('%I.%I', n.nspname, c.relname) END,
               CASE WHEN w.rulename <> '_RETURN' THEN 'pg_rewrite'::regclass::oid ELSE 'pg_class'::regclass::oid END,
               CASE WHEN w.rulename <> '_RETURN' THEN w.oid ELSE c.oid END, 0, w.ctid
          FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class AND c.relpersistence <> 't' JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE w.ev_class = ANY (altered || made) AND NOT (w.rulename = '_RETURN' AND w.ev_class = ANY (made))
           AND CASE WHEN age(w.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(w.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
    IF policy_inserted + policy_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN p.oid > since OR policy_updated = 0 OR p.polrelid = ANY (made) THEN 'created' ELSE 'changed' END,
               'policy', format('%I.%I %I', n.nspname, c.relname, p.polname), 'pg_policy'::regclass::oid, p.oid, 0, p.ctid
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE p.polrelid = ANY (altered || made)
           AND CASE WHEN age(p.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(p.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;
    IF sequence_updated > 0 THEN
        RETURN QUERY
        SELECT 'changed', 'sequence', format('%I.%I', n.nspname, c.relname), 'pg_class'::regclass::oid, c.oid, 0, s.ctid
          FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid AND c.relpersistence <> 't' JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE s.seqrelid = ANY (touched) AND s.seqrelid <> ALL (made)
           AND CASE WHEN age(s.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(s.xmin))::text::xid8) = 'in progress' ELSE false END;
    END IF;

    -- routines and types: by their oid, and all of them where one was replaced or oids began anew --------
    IF proc_inserted + proc_updated > 0 THEN
        wrapped := (SELECT count(*) FROM pg_proc p WHERE p.oid > since AND age(p.xmin) <= ours) < proc_inserted;
        lowest := CASE WHEN wrapped OR proc_updated > 0 THEN 16383::oid ELSE since END;
        RETURN QUERY
        SELECT CASE WHEN p.oid > since OR proc_updated = 0 OR wrapped AND NOT EXISTS (SELECT FROM "Ops1".migration_objects o WHERE o.object_id = p.oid AND o.class_id = 'pg_proc'::regclass)
                    THEN 'created' ELSE 'changed' END,
               CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
               format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), 'pg_proc'::regclass::oid, p.oid, 0, p.ctid
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname !~ '^pg_temp_'
         WHERE p.oid > lowest
           AND CASE WHEN age(p.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(p.xmin))::text::xid8) = 'in progress' ELSE false END
           AND NOT (extending AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e'));
    END IF;
    -- a relation brings its row type and the array of that; only what is more is a type of its own
    IF type_updated > 0
       OR type_inserted > (SELECT count(*) FROM pg_class c WHERE c.oid = ANY (made) AND c.reltype <> 0) * 2 THEN
        wrapped := (SELECT count(*) FROM pg_type t WHERE t.oid > since AND age(t.xmin) <= ours) < type_inserted;
        lowest := CASE WHEN wrapped OR type_updated > 0 THEN 16383::oid ELSE since END;
        RETURN QUERY
        SELECT CASE WHEN t.oid > since OR type_updated = 0 OR wrapped AND NOT EXISTS (SELECT FROM "Ops1".migration_objects o WHERE o.object_id = t.oid AND o.class_id = 'pg_type'::regclass)
                    THEN 'created' ELSE 'changed' END,
               CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'base type' END,
               format('%I.%I', n.nspname, t.typname), 'pg_type'::regclass::oid, t.oid, 0, t.ctid
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace AND n.nspname !~ '^pg_temp_'
         WHERE t.oid > lowest AND (t.typtype IN ('e', 'd', 'r', 'p') OR t.typtype = 'b' AND t.typsubscript::oid <> 'array_subscript_handler'::regproc)
           AND CASE WHEN age(t.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(t.xmin))::text::xid8) = 'in progress' ELSE false END
           AND NOT (extending AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e'));
    END IF;
    IF enum_inserted + enum_updated > 0 THEN
        RETURN QUERY
        SELECT DISTINCT ON (t.oid) 'changed', 'enum', format('%I.%I', n.nspname, t.typname), 'pg_type'::regclass::oid, t.oid, 0, l.ctid
          FROM pg_enum l JOIN pg_type t ON t.oid = l.enumtypid AND age(t.xmin) > ours JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE CASE WHEN age(l.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(l.xmin))::text::xid8) = 'in progress' ELSE false END
           AND NOT (extending AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e'));
    END IF;

    -- the rarer kinds ----------------------------------------------------------------------------------
    IF rarer_written + extension_inserted + extension_updated > 0 THEN
    FOREACH catalog IN ARRAY '{pg_namespace, pg_extension, pg_statistic_ext, pg_collation, pg_operator, pg_opclass, pg_opfamily, pg_cast, pg_conversion, pg_ts_config,
                               pg_ts_dict, pg_ts_parser, pg_ts_template, pg_transform, pg_language, pg_am, pg_event_trigger, pg_foreign_data_wrapper,
                               pg_foreign_server, pg_publication}'::regclass[] LOOP
        RETURN QUERY EXECUTE format($query$
            SELECT CASE WHEN x.oid > $1 THEN 'created' ELSE 'changed' END,
                   CASE i.type WHEN 'statistics object' THEN 'statistics' WHEN 'text search parser' THEN 'text search parser/template'
                        WHEN 'text search template' THEN 'text search parser/template' WHEN 'foreign-data wrapper' THEN 'foreign data wrapper' ELSE i.type END,
                   i.identity, $2::oid, x.oid, 0, x.ctid
              FROM %s x CROSS JOIN LATERAL pg_identify_object($2, x.oid, 0) i
             WHERE (x.oid >= 16384 OR $2 = 'pg_namespace'::regclass)
               AND CASE WHEN age(x.xmin) <= $3 THEN $5 OR pg_xact_status(($4 + $3 - age(x.xmin))::text::xid8) = 'in progress' ELSE false END
               AND i.identity !~ '^pg_'
               AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = $2 AND e.objid = x.oid AND e.deptype = 'e')$query$, catalog)
        USING since, catalog::oid, ours, top, alone;
    END LOOP;
    END IF;
    IF description_inserted + description_updated > 0 THEN
        RETURN QUERY
        SELECT CASE WHEN description_updated = 0 THEN 'created' ELSE 'changed' END,
               'comment', i.type || ' ' || i.identity, 'pg_description'::regclass::oid, d.objoid, d.objsubid, d.ctid
          FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
         WHERE d.objoid >= 2200 AND CASE WHEN age(d.xmin) <= ours THEN alone OR pg_xact_status((top + ours - age(d.xmin))::text::xid8) = 'in progress' ELSE false END
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')
           AND NOT EXISTS (SELECT FROM pg_class t WHERE t.oid = d.objoid AND d.classoid = 'pg_class'::regclass AND t.relpersistence = 't');
    END IF;

    -- what is no more: only what a known migration had made has a name left ----------------------------
    IF depend_deleted + attribute_updated > 0 THEN
        RETURN QUERY
        SELECT DISTINCT ON (o.class_id, o.object_id, o.column_number) 'dropped', o.kind, o.identity, o.class_id, o.object_id, o.column_number, NULL::tid
          FROM "Ops1".migration_objects o
          JOIN "Ops1".migration_history h ON h.migration_name = o.migration_name AND h.status <> 'rolled_back'
         WHERE o.object_id = ANY (gone) AND o.action <> 'dropped' AND o.recorded_in = o.tableoid
           AND o.class_id <> 'pg_description'::regclass
           AND CASE WHEN o.column_number > 0 THEN
                    NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = o.object_id AND a.attnum = o.column_number AND NOT a.attisdropped)
                    ELSE (pg_identify_object(o.class_id, o.object_id, 0)).identity IS NULL END
           AND NOT EXISTS (SELECT FROM "Ops1".migration_objects p JOIN "Ops1".migration_history q ON q.migration_name = p.migration_name
                            WHERE p.object_id = o.object_id AND p.class_id = o.class_id AND p.column_number = o.column_number
                              AND p.action = 'dropped' AND q.status <> 'rolled_back')
         ORDER BY o.class_id, o.object_id, o.column_number, h.applied_at DESC, o.recorded_at DESC;
    END IF;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_catalog_writes(oid, bigint[]) IS
    'What this transaction has made, changed and dropped so far, as far as catalogs and locks tell: grants on tables, rights by default and settings do not show. '
    'since: an oid that was given out before; what lies above it is new. counts: catalog_row_counts() from before, which says where to look. version: which version of the catalog row. Does not write.';

CREATE FUNCTION "Ops1".mark_migration_objects(OUT since oid, OUT counts bigint[], OUT written jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    since := (SELECT greatest(16383::oid, (SELECT max(c.oid) FROM pg_class c), (SELECT max(p.oid) FROM pg_proc p), (SELECT max(k.oid) FROM pg_constraint k),
                              (SELECT max(t.oid) FROM pg_type t), (SELECT max(g.oid) FROM pg_trigger g), (SELECT max(w.oid) FROM pg_rewrite w),
                              (SELECT max(y.oid) FROM pg_policy y), (SELECT max(n.oid) FROM pg_namespace n), (SELECT max(d.oid) FROM pg_attrdef d)));
    counts := "Ops1".catalog_row_counts();
    -- inside somebody's own transaction: what it did before us is not the migration's
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        written := (SELECT jsonb_agg(jsonb_build_array(w.class_id, w.object_id, w.column_number, w.version::text))
                      FROM "Ops1".migration_catalog_writes(16383::oid, NULL::bigint[]) w);
    END IF;
END $function$;
COMMENT ON FUNCTION "Ops1".mark_migration_objects() IS
    'To be called before the SQL of a migration runs; record_migration_objects() takes what it returns. Does not write.';

CREATE FUNCTION "Ops1".record_migration_objects(name text, since oid, counts bigint[], written jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off AS $function$   -- a plan kept from when the table was empty would scan it whole when it is full
DECLARE
    recorded bigint;
BEGIN
    DELETE FROM "Ops1".migration_objects o WHERE o.migration_name = record_migration_objects.name;
    INSERT INTO "Ops1".migration_objects (migration_name, action, kind, identity, class_id, object_id, column_number, recorded_in)
    SELECT record_migration_objects.name, w.action, w.kind, w.identity, w.class_id, w.object_id, w.column_number, ('"Ops1"' || '.migration_objects')::regclass
      FROM "Ops1".migration_catalog_writes(since, counts) w
     WHERE written IS NULL OR NOT written @> jsonb_build_array(jsonb_build_array(w.class_id, w.object_id, w.column_number, w.version::text));
    GET DIAGNOSTICS recorded = ROW_COUNT;
    -- A column that changes its type has its indexes and constraints built anew: they are still the work of whoever made them.
    IF EXISTS (SELECT FROM "Ops1".migration_objects o WHERE o.migration_name = record_migration_objects.name AND o.action = 'dropped' AND o.kind IN ('index', 'constraint')) THEN
        WITH rebuilt AS (
            DELETE FROM "Ops1".migration_objects o WHERE o.migration_name = record_migration_objects.name AND o.action = 'dropped' AND o.kind IN ('index', 'constraint')
               AND EXISTS (SELECT FROM "Ops1".migration_objects n WHERE n.migration_name = record_migration_objects.name
                              AND n.action = 'created' AND n.kind = o.kind AND n.identity = o.identity) RETURNING o.kind, o.identity)
        UPDATE "Ops1".migration_objects o SET action = 'changed' FROM rebuilt r
         WHERE o.migration_name = record_migration_objects.name AND o.action = 'created' AND o.kind = r.kind AND o.identity = r.identity;
    END IF;
    RETURN recorded;
END $function$;
COMMENT ON FUNCTION "Ops1".record_migration_objects(text, oid, bigint[], jsonb) IS
    'Writes: keeps what this transaction made, changed and dropped as the work of a migration, in place of what was kept of it before. '
    'since, counts, written: from mark_migration_objects(). Returns how many objects.';

CREATE FUNCTION "Ops1".schema_object_addresses()
RETURNS TABLE (kind text, identity text, class_id oid, object_id oid, column_number int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH space AS MATERIALIZED (
        SELECT n.oid, quote_ident(n.nspname) AS id FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
    relation AS MATERIALIZED (
        SELECT c.oid, c.relkind, s.id || '.' || quote_ident(c.relname) AS id FROM pg_class c JOIN space s ON s.oid = c.relnamespace WHERE c.relkind <> 't')
    SELECT CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type' ELSE 'index' END, r.id, 'pg_class'::regclass::oid, r.oid, 0 FROM relation r
    UNION ALL SELECT 'column', r.id || '.' || quote_ident(a.attname), 'pg_class'::regclass, r.oid, a.attnum
      FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
    UNION ALL SELECT 'constraint', r.id || ' ' || quote_ident(k.conname), 'pg_constraint'::regclass, k.oid, 0 FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid WHERE k.contype <> 't'
    UNION ALL SELECT 'domain constraint', s.id || '.' || quote_ident(t.typname) || ' ' || quote_ident(k.conname), 'pg_constraint'::regclass, k.oid, 0
      FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN space s ON s.oid = t.typnamespace
    UNION ALL SELECT 'trigger', r.id || ' ' || quote_ident(g.tgname), 'pg_trigger'::regclass, g.oid, 0 FROM pg_trigger g JOIN relation r ON r.oid = g.tgrelid WHERE NOT g.tgisinternal
    UNION ALL SELECT 'rule', r.id || ' ' || quote_ident(w.rulename), 'pg_rewrite'::regclass, w.oid, 0 FROM pg_rewrite w JOIN relation r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
    UNION ALL SELECT 'policy', r.id || ' ' || quote_ident(y.polname), 'pg_policy'::regclass, y.oid, 0 FROM pg_policy y JOIN relation r ON r.oid = y.polrelid
    UNION ALL SELECT CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
                     s.id || '.' || quote_ident(f.proname) || '(' || pg_get_function_identity_arguments(f.oid) || ')', 'pg_proc'::regclass, f.oid, 0
      FROM pg_proc f JOIN space s ON s.oid = f.pronamespace
    UNION ALL SELECT CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'base type' END, s.id || '.' || quote_ident(t.typname), 'pg_type'::regclass, t.oid, 0
      FROM pg_type t JOIN space s ON s.oid = t.typnamespace
     WHERE t.typtype IN ('e', 'd', 'r', 'p') OR t.typtype = 'b' AND t.typsubscript::oid <> 'array_subscript_handler'::regproc
    UNION ALL SELECT CASE i.type WHEN 'statistics object' THEN 'statistics' WHEN 'text search parser' THEN 'text search parser/template'
                          WHEN 'text search template' THEN 'text search parser/template' WHEN 'foreign-data wrapper' THEN 'foreign data wrapper' ELSE i.type END,
                     i.identity, o.class, o.oid, 0
      FROM (SELECT 'pg_namespace'::regclass::oid, s.oid FROM space s
            UNION ALL SELECT 'pg_extension'::regclass, x.oid FROM pg_extension x UNION ALL SELECT 'pg_statistic_ext'::regclass, x.oid FROM pg_statistic_ext x
            UNION ALL SELECT 'pg_collation'::regclass, x.oid FROM pg_collation x UNION ALL SELECT 'pg_operator'::regclass, x.oid FROM pg_operator x
            UNION ALL SELECT 'pg_opclass'::regclass, x.oid FROM pg_opclass x UNION ALL SELECT 'pg_opfamily'::regclass, x.oid FROM pg_opfamily x
            UNION ALL SELECT 'pg_cast'::regclass, x.oid FROM pg_cast x UNION ALL SELECT 'pg_conversion'::regclass, x.oid FROM pg_conversion x
            UNION ALL SELECT 'pg_ts_config'::regclass, x.oid FROM pg_ts_config x UNION ALL SELECT 'pg_ts_dict'::regclass, x.oid FROM pg_ts_dict x
            UNION ALL SELECT 'pg_ts_parser'::regclass, x.oid FROM pg_ts_parser x UNION ALL SELECT 'pg_ts_template'::regclass, x.oid FROM pg_ts_template x
            UNION ALL SELECT 'pg_transform'::regclass, x.oid FROM pg_transform x UNION ALL SELECT 'pg_language'::regclass, x.oid FROM pg_language x
            UNION ALL SELECT 'pg_am'::regclass, x.oid FROM pg_am x UNION ALL SELECT 'pg_event_trigger'::regclass, x.oid FROM pg_event_trigger x
            UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, x.oid FROM pg_foreign_data_wrapper x UNION ALL SELECT 'pg_foreign_server'::regclass, x.oid FROM pg_foreign_server x
            UNION ALL SELECT 'pg_publication'::regclass, x.oid FROM pg_publication x) o (class, oid)
      CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i WHERE o.oid >= 16384 OR o.class = 'pg_namespace'::regclass AND o.oid = 2200
$function$;
COMMENT ON FUNCTION "Ops1".schema_object_addresses() IS
    'Kind and identity of the schema objects, as in schema_objects(), with their addresses, as in pg_depend. Members of extensions are among them. Does not write.';

CREATE FUNCTION "Ops1".migration_object_history()
RETURNS TABLE (migration_name text, place bigint, action text, kind text, identity text, source text, class_id oid, object_id oid, column_number int,
               now_kind text, now_identity text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH placed AS MATERIALIZED (
        SELECT h.migration_name, row_number() OVER (ORDER BY h.applied_at, h.migration_name COLLATE "C") AS place
        FROM "Ops1".migration_history h WHERE h.status <> 'rolled_back'),
    there AS MATERIALIZED (SELECT * FROM "Ops1".schema_object_addresses()),
    recorded AS MATERIALIZED (
        SELECT p.migration_name, p.place, o.action, o.kind, o.identity, o.source, o.object_id, o.column_number,
               CASE WHEN o.recorded_in = o.tableoid THEN o.class_id END AS class_id
        FROM "Ops1".migration_objects o JOIN placed p ON p.migration_name = o.migration_name)
    -- By its address, for a later migration may have renamed it; by its name where the address is none any more: after a restore from a dump, or where a rollback made it anew.
    SELECT r.migration_name, r.place, r.action, r.kind, r.identity, r.source, coalesce(a.class_id, n.class_id, r.class_id),
           CASE WHEN coalesce(a.class_id, n.class_id, r.class_id) IS NOT NULL THEN coalesce(a.object_id, n.object_id, r.object_id) END,
           coalesce(a.column_number, n.column_number, r.column_number), coalesce(a.kind, n.kind), coalesce(a.identity, n.identity)
    FROM recorded r
    LEFT JOIN there a ON a.class_id = r.class_id AND a.object_id = r.object_id AND a.column_number = r.column_number
    LEFT JOIN there n ON a.class_id IS NULL AND n.identity = r.identity AND n.kind = r.kind
          AND NOT (r.action <> 'created' AND r.class_id IS NOT NULL)
$function$;
COMMENT ON FUNCTION "Ops1".migration_object_history() IS
    'What the migrations in place did to which object, in order (place), with its present address and name; now_kind is NULL for what is no more. Does not write.';

CREATE FUNCTION "Ops1".migration_object_makers()
RETURNS TABLE (kind text, identity text, migration_name text, source text, class_id oid, object_id oid, column_number int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT DISTINCT ON (o.now_kind, o.now_identity) o.now_kind, o.now_identity, o.migration_name, o.source, o.class_id, o.object_id, o.column_number
    FROM "Ops1".migration_object_history() o
    WHERE o.action = 'created' AND o.now_kind IS NOT NULL
    ORDER BY o.now_kind, o.now_identity, o.place DESC
$function$;
COMMENT ON FUNCTION "Ops1".migration_object_makers() IS
    'Which migration in place made which object that is there, by kind and identity as in schema_objects(). Does not write.';

CREATE FUNCTION "Ops1".migration_owners(kind text, identity text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET jit = off AS $function$
DECLARE
    -- schema, relation or routine, column; other kinds have other forms and are known by name only
    names    text[] := CASE WHEN kind IN ('table', 'partitioned table', 'view', 'materialized view', 'sequence', 'foreign table', 'composite type', 'index', 'column', 'constraint',
                                          'trigger', 'policy', 'rule', 'function', 'procedure', 'aggregate', 'enum', 'domain', 'range', 'base type')
                            THEN parse_ident(identity, strict => false) END;
    relation oid    := to_regclass(quote_ident(names[1]) || '.' || quote_ident(names[2]));
    class    oid;
    object   oid;
    number   int    := 0;
    found_in text[];
BEGIN
    -- By its address, which outlives a change of its name or of what it belongs to.
    CASE kind
        WHEN 'column' THEN
            SELECT 'pg_class'::regclass, a.attrelid, a.attnum INTO class, object, number FROM pg_attribute a
             WHERE a.attrelid = relation AND a.attname = names[3] AND NOT a.attisdropped;
        WHEN 'constraint' THEN
            SELECT 'pg_constraint'::regclass, k.oid INTO class, object FROM pg_constraint k
             WHERE k.conrelid = relation AND quote_ident(names[1]) || '.' || quote_ident(names[2]) || ' ' || quote_ident(k.conname) = identity;
        WHEN 'trigger' THEN
            SELECT 'pg_trigger'::regclass, g.oid INTO class, object FROM pg_trigger g
             WHERE g.tgrelid = relation AND quote_ident(names[1]) || '.' || quote_ident(names[2]) || ' ' || quote_ident(g.tgname) = identity;
        WHEN 'policy' THEN
            SELECT 'pg_policy'::regclass, y.oid INTO class, object FROM pg_policy y
             WHERE y.polrelid = relation AND quote_ident(names[1]) || '.' || quote_ident(names[2]) || ' ' || quote_ident(y.polname) = identity;
        WHEN 'rule' THEN
            SELECT 'pg_rewrite'::regclass, w.oid INTO class, object FROM pg_rewrite w
             WHERE w.ev_class = relation AND quote_ident(names[1]) || '.' || quote_ident(names[2]) || ' ' || quote_ident(w.rulename) = identity;
        WHEN 'function', 'procedure', 'aggregate' THEN
            SELECT 'pg_proc'::regclass, f.oid INTO class, object FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
             WHERE f.proname = names[2] AND n.nspname = names[1]
               AND quote_ident(n.nspname) || '.' || quote_ident(f.proname) || '(' || pg_get_function_identity_arguments(f.oid) || ')' = identity;
        WHEN 'enum', 'domain', 'range', 'base type' THEN
            SELECT 'pg_type'::regclass, t.oid INTO class, object FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
             WHERE t.typname = names[2] AND n.nspname = names[1];
        ELSE
            SELECT 'pg_class'::regclass, relation INTO class, object WHERE relation IS NOT NULL;
    END CASE;
    IF object IS NOT NULL THEN
        SELECT array_agg(o.migration_name ORDER BY o.applied_at, o.migration_name COLLATE "C") INTO found_in
          FROM (SELECT DISTINCT h.migration_name, h.applied_at FROM "Ops1".migration_objects r
                  JOIN "Ops1".migration_history h ON h.migration_name = r.migration_name AND h.status <> 'rolled_back'
                 WHERE r.object_id = object AND r.class_id = class AND r.column_number = number AND r.action <> 'dropped'
                   AND r.recorded_in = r.tableoid) o;
    END IF;
    IF found_in IS NULL THEN            -- known by name only
        SELECT array_agg(o.migration_name ORDER BY o.applied_at, o.migration_name COLLATE "C") INTO found_in
          FROM (SELECT DISTINCT h.migration_name, h.applied_at FROM "Ops1".migration_objects r
                  JOIN "Ops1".migration_history h ON h.migration_name = r.migration_name AND h.status <> 'rolled_back'
                 WHERE r.identity = migration_owners.identity AND r.kind = migration_owners.kind AND r.action <> 'dropped') o;
    END IF;
    RETURN found_in;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_owners(text, text) IS
    'Which migrations in place made or changed this object, in the order in which they were applied; NULL when nothing is recorded of it. kind, identity: as '
    'schema_objects() gives them. Does not write.';

CREATE FUNCTION "Ops1".record_parsed_objects(objects jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    recorded bigint;
BEGIN
    DELETE FROM "Ops1".migration_objects o WHERE o.source = 'parsed' AND o.migration_name IN (SELECT e ->> 'migration_name' FROM jsonb_array_elements(objects) e);
    INSERT INTO "Ops1".migration_objects (migration_name, action, kind, identity, class_id, object_id, column_number, source, recorded_in)
    SELECT DISTINCT ON (n.migration_name, n.identity, coalesce(a.kind, n.kind)) n.migration_name, 'created', coalesce(a.kind, n.kind), n.identity, a.class_id, a.object_id,
           coalesce(a.column_number, 0), 'parsed', ('"Ops1"' || '.migration_objects')::regclass
      FROM (SELECT e.migration_name, e.kind,
                   CASE WHEN e.kind IN ('schema', 'extension') THEN quote_ident(e.name)
                        WHEN e.kind IN ('function', 'procedure', 'aggregate') THEN coalesce(
                             (SELECT min(quote_ident(s.nspname) || '.' || quote_ident(f.proname) || '(' || pg_get_function_identity_arguments(f.oid) || ')')
                                FROM pg_proc f JOIN pg_namespace s ON s.oid = f.pronamespace
                               WHERE s.nspname = e.schema AND f.proname = e.name AND f.pronargs = e.argument_count HAVING count(*) = 1),
                             format('%I.%I(%s)', e.schema, e.name, e.arguments))
                        WHEN e.part IS NULL THEN quote_ident(e.schema) || '.' || quote_ident(e.name)
                        WHEN e.kind = 'column' THEN quote_ident(e.schema) || '.' || quote_ident(e.name) || '.' || quote_ident(e.part)
                        ELSE quote_ident(e.schema) || '.' || quote_ident(e.name) || ' ' || quote_ident(e.part) END AS identity
              FROM jsonb_to_recordset(objects) AS e (migration_name text, kind text, schema text, name text, part text, arguments text, argument_count int)
             WHERE NOT EXISTS (SELECT FROM "Ops1".migration_objects o WHERE o.migration_name = e.migration_name AND o.source = 'apply')) n
      LEFT JOIN "Ops1".schema_object_addresses() a ON a.identity = n.identity
            AND (a.kind = n.kind OR n.kind IN ('table', 'partitioned table', 'view', 'materialized view') AND a.kind IN ('table', 'partitioned table', 'view', 'materialized view'))
     WHERE n.identity IS NOT NULL ORDER BY n.migration_name, n.identity, coalesce(a.kind, n.kind);
    GET DIAGNOSTICS recorded = ROW_COUNT;
    RETURN recorded;
END $function$;
COMMENT ON FUNCTION "Ops1".record_parsed_objects(jsonb) IS
    'Writes: keeps what the SQL of files says that migrations made, where nothing was recorded while they were applied. objects: an array of objects (migration_name, kind, '
    'schema, name, part, arguments, argument_count). Returns how many were kept.';

-- ---------------------------------------------------------------------------------------------------
-- Rehearsal: the rollback runs for real, in a subtransaction that is then undone, and what it did is told.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".count_rows_within(relation oid, columns text[], until timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    step   constant int := 2000;        -- pages looked at between two looks at the clock: 16 MB
    pages  bigint := pg_relation_size(relation) / current_setting('block_size')::int;
    page   bigint := 0;
    counts bigint[];
    totals bigint[] := array_fill(0::bigint, ARRAY[cardinality(columns) + 1]);
    known  real := (SELECT c.reltuples FROM pg_class c WHERE c.oid = relation);
BEGIN
    IF row_security_active(relation) THEN
        pages := NULL;                  -- who sees only some of the rows cannot count them
    END IF;
    WHILE page < pages LOOP
        IF clock_timestamp() > until THEN
            pages := NULL;
            EXIT;
        END IF;
        EXECUTE format('SELECT ARRAY[count(*)%s] FROM ONLY %s WHERE ctid >= %L AND ctid < %L',
                       (SELECT string_agg(format(', count(%I)', c.name), '' ORDER BY c.place) FROM unnest(columns) WITH ORDINALITY AS c (name, place)),
                       relation::regclass, format('(%s,0)', page), format('(%s,0)', page + step)) INTO counts;
        totals := ARRAY(SELECT t.total + t.more FROM unnest(totals, counts) WITH ORDINALITY AS t (total, more, place) ORDER BY t.place);
        page := page + step;
    END LOOP;
    IF pages IS NOT NULL THEN
        RETURN jsonb_build_object('exact', true, 'rows', totals[1], 'columns',
            (SELECT coalesce(jsonb_object_agg(c.name, totals[c.place + 1]), '{}') FROM unnest(columns) WITH ORDINALITY AS c (name, place)));
    END IF;
    -- what ANALYZE found the last time; -1: never
    RETURN jsonb_build_object('exact', false, 'rows', CASE WHEN known >= 0 THEN known::bigint END, 'columns',
        (SELECT coalesce(jsonb_object_agg(c.name, CASE WHEN known >= 0 THEN (known * (1 - s.null_frac))::bigint END), '{}')
         FROM unnest(columns) AS c (name)
         LEFT JOIN (SELECT a.attname, v.null_frac FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace JOIN pg_attribute a ON a.attrelid = k.oid
                    JOIN pg_stats v ON v.schemaname = n.nspname AND v.tablename = k.relname AND v.attname = a.attname AND NOT v.inherited
                    WHERE k.oid = relation) s ON s.attname = c.name));
END $function$;
COMMENT ON FUNCTION "Ops1".count_rows_within(oid, text[], timestamptz) IS
    'How many rows one table has, and how many values that are not NULL each of these columns. exact: whether they were counted; false when that would last '
    'beyond this moment, or row security hides some: then what the statistics say, NULL where they say nothing. Does not write.';

CREATE FUNCTION "Ops1".changed_schema_objects(kinds text[], identities text[], definitions jsonb[])
RETURNS TABLE (change text, kind text, identity text, old_definition jsonb, new_definition jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    now        record;
    old_schema jsonb;
    new_schema jsonb;
BEGIN
    now := "Ops1".schema_object_arrays();
    WITH differing AS MATERIALIZED (
        SELECT coalesce(o.sort, n.sort) AS kind, coalesce(o.name, n.name) AS identity, o.definition AS was, n.definition AS is
        FROM unnest(kinds, identities, definitions) AS o (sort, name, definition)
        FULL JOIN unnest(now.kinds, now.identities, now.definitions) AS n (sort, name, definition) ON n.sort = o.sort AND n.name = o.name
        WHERE o.definition IS DISTINCT FROM n.definition)
    SELECT (SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}') FROM (SELECT d.kind, jsonb_object_agg(d.identity, d.was) AS objects FROM differing d WHERE d.was IS NOT NULL GROUP BY d.kind) k),
           (SELECT coalesce(jsonb_object_agg(k.kind, k.objects), '{}') FROM (SELECT d.kind, jsonb_object_agg(d.identity, d.is) AS objects FROM differing d WHERE d.is IS NOT NULL GROUP BY d.kind) k)
      INTO old_schema, new_schema;
    RETURN QUERY SELECT * FROM "Ops1".schema_changes(old_schema, new_schema);
END $function$;
COMMENT ON FUNCTION "Ops1".changed_schema_objects(text[], text[], jsonb[]) IS
    'schema_changes() from what schema_object_arrays() gave until now. Does not write.';

CREATE FUNCTION "Ops1".routine_users(routine oid) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    SELECT coalesce(array_agg(DISTINCT i.type || ' ' || i.identity ORDER BY i.type || ' ' || i.identity), '{}')
    FROM pg_depend d
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid            -- a view's rule stands for the view
    LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid            -- a default for its column
    CROSS JOIN LATERAL pg_identify_object(CASE WHEN w.oid IS NOT NULL OR a.oid IS NOT NULL THEN 'pg_class'::regclass ELSE d.classid END,
                                          coalesce(w.ev_class, a.adrelid, d.objid), coalesce(a.adnum, 0)) i
    WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = routine AND d.deptype IN ('n', 'a') AND d.classid <> 'pg_proc'::regclass
$function$;
COMMENT ON FUNCTION "Ops1".routine_users(oid) IS
    'Views, policies, triggers, defaults, indexes ... that call this function, as far as PostgreSQL tracks it. Does not write.';

CREATE FUNCTION "Ops1".migration_not_undone(names text[], otherwise_path text DEFAULT "Ops1".effective_search_path())
RETURNS TABLE (migration_name text, statement_number int, what text, inside text, outside boolean)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    -- What stands before a parenthesis may be a function. Bodies are looked at by these words, comments left out: to ask in vain does less harm than not to ask.
    word    constant text := '([[:alpha:]_][[:alnum:]_$]*|"[^"]+")\s*\(';
    remark  constant text := '--[^\n]*|/\*.*?\*/';
    target  constant text := '\minsert\s+into\s+([[:alpha:]_][[:alnum:]_$]*(?:\.[[:alpha:]_][[:alnum:]_$]*)?)';
    ours    oid[] := (SELECT o.routines FROM "Ops1".migration_system_objects() o);
    planned record;
    parsed  boolean;
    plain   text;                       -- the SQL of a migration that nobody has parsed, without comments
    listed  jsonb;
    written jsonb;
BEGIN
    FOR planned IN SELECT h.migration_name, h.rollback_sql, h.metadata FROM unnest(names) WITH ORDINALITY AS n (name, place)
                   JOIN "Ops1".migration_history h ON h.migration_name = n.name ORDER BY n.place
    LOOP
        parsed := planned.metadata #> '{rollback,calls}' IS NOT NULL AND planned.metadata #>> '{rollback,md5}' = md5(convert_to(planned.rollback_sql, 'UTF8'));
        plain := CASE WHEN NOT parsed THEN regexp_replace(planned.rollback_sql, remark, ' ', 'g') END;
        listed := CASE WHEN parsed THEN planned.metadata #> '{rollback,writes}' ELSE '[]' END;
        -- Tables are found as the SQL will find them: under its own path, on which no operator is that could be another's.
        PERFORM set_config('search_path', coalesce(nullif("Ops1".migration_rollback_path(planned.metadata, otherwise_path), ''), 'pg_catalog') || ', pg_temp', true);
        SELECT jsonb_agg(pg_catalog.jsonb_build_array(w.statement, w.deed, w.oid)) INTO written
          FROM (SELECT (e ->> 0)::int AS statement, e ->> 1 AS deed, pg_catalog.to_regclass(pg_catalog.concat_ws('.', pg_catalog.quote_ident(e ->> 2), pg_catalog.quote_ident(e ->> 3)))::oid AS oid
                FROM pg_catalog.jsonb_array_elements(listed) e
                UNION ALL
                SELECT NULL, 'insert', pg_catalog.to_regclass(m.found[1])::oid FROM pg_catalog.regexp_matches(plain, target, 'gi') AS m (found)) w
         WHERE w.oid IS NOT NULL;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

        RETURN QUERY
        WITH RECURSIVE danger (pattern, what, outside) AS (VALUES
            ('^nextval$', 'uses up a number of a sequence', false), ('^setval$', 'sets a sequence', false), ('^dblink', 'talks to another server', true),
            ('^lo_export$|^pg_file_|^query_export_to_s3$', 'writes files', true), ('^pg_(try_)?advisory_(un)?lock(_shared|_all)?$', 'takes or frees locks of the session', false),
            ('^pg_(terminate|cancel)_backend$', 'ends what another session does', true), ('^pg_stat_(reset|statements_reset)', 'forgets statistics', false),
            ('^pg_(reload_conf|rotate_logfile|switch_wal|create_restore_point|promote|wal_replay_pause|wal_replay_resume|backup_start|backup_stop|start_backup|stop_backup)$', 'acts on the whole server', true),
            ('^pg_(create|drop|copy)_.*replication_slot$|^pg_replication_slot_advance$|^pg_replication_origin_|^pg_logical_emit_message$|^pg_logical_slot_get', 'acts on replication', true),
            ('^https?(_|$)', 'calls out over HTTP', true), ('^pg_background_', 'runs in another transaction', true), ('^heap_force_|^pg_truncate_visibility_map$', 'changes files directly', true)),
        root AS (                       -- what the SQL itself calls
            SELECT (e ->> 0)::int AS statement, e ->> 1 AS schema, e ->> 2 AS name
            FROM jsonb_array_elements(CASE WHEN parsed THEN planned.metadata #> '{rollback,calls}' ELSE '[]' END) e
            UNION SELECT NULL, NULL, CASE WHEN m.found[1] LIKE '"%' THEN btrim(m.found[1], '"') ELSE lower(m.found[1]) END FROM regexp_matches(plain, word, 'g') AS m (found)),
        relation AS (SELECT (e ->> 0)::int AS statement, e ->> 1 AS deed, (e ->> 2)::oid AS oid FROM jsonb_array_elements(written) e),
        filled AS (                     -- what a row of them is filled with
            SELECT r.statement, r.oid, bool_or(a.attidentity <> '') AS numbers, string_agg(pg_get_expr(d.adbin, d.adrelid), ' ') AS defaults
            FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE r.deed = 'insert' GROUP BY r.statement, r.oid),
        reached (statement, oid) AS (
            SELECT s.statement, s.oid FROM (
                SELECT r.statement, p.oid FROM root r JOIN pg_proc p ON p.proname = r.name AND (r.schema IS NULL OR p.pronamespace = to_regnamespace(quote_ident(r.schema)))
                UNION SELECT r.statement, g.tgfoid FROM relation r
                      JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'
                                       AND g.tgtype & CASE r.deed WHEN 'insert' THEN 4 WHEN 'delete' THEN 8 WHEN 'update' THEN 16 ELSE 32 END <> 0
                UNION SELECT f.statement, p.oid FROM filled f CROSS JOIN LATERAL regexp_matches(f.defaults, word, 'g') AS m (found) JOIN pg_proc p ON p.proname = lower(m.found[1])
                UNION SELECT NULL, v.evtfoid FROM pg_event_trigger v WHERE v.evtenabled <> 'D') s
            JOIN pg_proc p ON p.oid = s.oid AND p.pronamespace <> 'pg_catalog'::regnamespace AND p.oid <> ALL (ours)
            UNION
            SELECT c.statement, p.oid FROM reached c JOIN pg_proc f ON f.oid = c.oid
            CROSS JOIN LATERAL regexp_matches(regexp_replace(coalesce(pg_get_function_sqlbody(f.oid), f.prosrc), remark, ' ', 'g'), word, 'g') AS m (found)
            JOIN pg_proc p ON p.proname = CASE WHEN m.found[1] LIKE '"%' THEN btrim(m.found[1], '"') ELSE lower(m.found[1]) END
                          AND p.pronamespace <> 'pg_catalog'::regnamespace AND p.oid <> ALL (ours)),
        body AS (
            SELECT c.statement, c.oid::regprocedure::text AS inside, l.lanname, l.lanpltrusted,
                   regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), remark, ' ', 'g') AS text
            FROM reached c JOIN pg_proc p ON p.oid = c.oid JOIN pg_language l ON l.oid = p.prolang),
        told (statement, what, inside, outside) AS (
            SELECT (e ->> 0)::int, e ->> 1, NULL, true FROM jsonb_array_elements(CASE WHEN parsed THEN planned.metadata #> '{rollback,not_undone}' ELSE '[]' END) e
            UNION SELECT r.statement, format('%s (%s)', d.what, r.name), NULL, d.outside FROM root r JOIN danger d ON r.name ~ d.pattern
            UNION SELECT b.statement, format('%s (%s)', d.what, lower(m.found[1])), b.inside, d.outside FROM body b
                  CROSS JOIN LATERAL regexp_matches(b.text, word, 'g') AS m (found) JOIN danger d ON lower(m.found[1]) ~ d.pattern
            UNION SELECT f.statement, format('uses up a number of a sequence (INSERT into %s)', f.oid::regclass), NULL, false FROM filled f WHERE f.numbers OR f.defaults ~ '\mnextval\('
            UNION SELECT f.statement, format('%s (default of %s)', d.what, f.oid::regclass), NULL, d.outside FROM filled f
                  CROSS JOIN LATERAL regexp_matches(f.defaults, word, 'g') AS m (found) JOIN danger d ON lower(m.found[1]) ~ d.pattern AND m.found[1] <> 'nextval'
            UNION SELECT b.statement, format('uses up a number of a sequence (INSERT into %s)', c.oid::regclass), b.inside, false FROM body b
                  CROSS JOIN LATERAL regexp_matches(b.text, target, 'gi') AS m (found) JOIN pg_class c ON c.relname = lower(regexp_replace(m.found[1], '^.*\.', ''))
                  WHERE c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) ~ '\mnextval\('))
            UNION SELECT t.statement, CASE WHEN t.text ~* '\mcopy\M[^;]*\m(to|from)\s+program\M' THEN 'runs a program on the server (COPY ... PROGRAM)' ELSE 'writes a file on the server (COPY)' END, t.inside, true
                  FROM (SELECT b.statement, b.text, b.inside FROM body b UNION ALL SELECT NULL, plain, NULL) t
                  WHERE t.text ~* '\mcopy\M[^;]*\m(to|from)\s+program\M|\mcopy\M[^;]*\mto\s+(e?''|%l|\$)'
            UNION SELECT b.statement, format('runs code in %s, which can do anything outside the database', b.lanname), b.inside, true FROM body b WHERE NOT b.lanpltrusted AND b.lanname NOT IN ('c', 'internal')
            UNION SELECT r.statement, format('writes to another server (foreign table %s)', r.oid::regclass), NULL, true
                  FROM relation r JOIN pg_foreign_table t ON t.ftrelid = r.oid JOIN pg_foreign_server s ON s.oid = t.ftserver JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
                  WHERE w.fdwname <> 'postgres_fdw')    -- that one undoes with us
        SELECT planned.migration_name, t.statement, t.what, t.inside, t.outside FROM told t ORDER BY t.statement, t.what, t.inside;
    END LOOP;
END $function$;
COMMENT ON FUNCTION "Ops1".migration_not_undone(text[], text) IS
    'What the rollback SQL of these migrations does, as far as can be seen before it runs, that undoing its transaction does not undo: what (in words); inside: the function that does it, '
    'when it is not the statement itself; outside: it reaches beyond this database and session. Looks at what was parsed at registration, and at the words in the bodies of the functions and triggers that are reached. '
    'SQL that is built while it runs cannot be seen. Does not write.';

CREATE FUNCTION "Ops1".record_migration_rehearsal(report jsonb, client text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    RETURN "Ops1".add_migration_event('rehearsed', report #>> '{migrations,-1}', NULL::uuid, NULL::text, record_migration_rehearsal.client, jsonb_strip_nulls(
        jsonb_build_object(
            'success', report -> 'success', 'message', report -> 'message', 'fingerprint', report -> 'fingerprint', 'duration_ms', report -> 'duration_ms',
            'chain', CASE WHEN jsonb_array_length(report -> 'migrations') > 1 THEN report -> 'migrations' END, 'consent', nullif(report -> 'consent', 'false'),
            'sqlstate', report #> '{failure,sqlstate}', 'statement_number', report #> '{failure,statement_number}', 'failed', report #> '{failure,migration_name}',
            'where', report -> 'where',
            -- what it foretold, for the verification of a rollback that has no snapshot from before the migration was applied
            'foretold', (SELECT coalesce(jsonb_agg(jsonb_build_array(e ->> 'change', e ->> 'kind', e ->> 'identity', md5((e -> 'new_definition')::text)) ORDER BY e ->> 'kind', e ->> 'identity'), '[]')
                           FROM jsonb_array_elements(report -> 'changes') e),
            'changes', (SELECT jsonb_object_agg(c.change, c.count) FROM (SELECT e ->> 'change' AS change, count(*) FROM jsonb_array_elements(report -> 'changes') e GROUP BY 1) c),
            'rows_lost', (SELECT sum((e ->> 'rows')::bigint) FROM jsonb_array_elements(report -> 'rows') e),
            'rows_not_counted', nullif((SELECT count(*) FROM jsonb_array_elements(report -> 'rows') e WHERE jsonb_typeof(e -> 'rows') IS DISTINCT FROM 'number'), 0),
            -- what another migration made, and this one would drop; parts of what goes as a whole need not be named
            'others', (WITH o AS (SELECT e ->> 'identity' AS identity FROM jsonb_array_elements(report -> 'changes') e
                                   WHERE e ->> 'change' = 'dropped' AND NOT report -> 'migrations' ? (e #>> '{made_by,0}'))
                       SELECT jsonb_agg(o.identity ORDER BY o.identity) FROM o
                        WHERE regexp_replace(o.identity, '\.("([^"]|"")+"|[^".]+)$', '') NOT IN (SELECT i.identity FROM o i)),
            'broken', nullif(jsonb_array_length(report -> 'broken'), 0))));
END $function$;
COMMENT ON FUNCTION "Ops1".record_migration_rehearsal(jsonb, text) IS
    'Writes the one event that a rehearsal leaves, from what rehearse_migration_rollbacks() told. Returns its number.';

CREATE FUNCTION "Ops1".rehearse_migration_rollbacks(
    names text[], consent boolean DEFAULT false, client text DEFAULT NULL, count_ms int DEFAULT 2000, record boolean DEFAULT true, rethrow boolean DEFAULT false,
    otherwise_path text DEFAULT "Ops1".effective_search_path())
RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    attempt       constant uuid := gen_random_uuid();
    fingerprint   text;
    refusal       record;
    ours          record;
    undone        jsonb;
    before        record;
    relations     oid[];                -- all there are before, with their names and files
    titles        text[];
    files         oid[];
    gone          oid[] := '{}';        -- tables that are dropped, not merely renamed
    gone_columns  jsonb := '[]';        -- [table, number] of columns that are no longer there, whenever they went
    renamed       jsonb := '[]';
    columns_after jsonb := '{}';        -- "table.number" -> name, of the tables that no longer have a column of some name
    counts        jsonb;
    outcomes      jsonb;
    details       jsonb;
    success       boolean;
    changes       jsonb := '[]';
    rewritten     oid[] := '{}';
    emptied       oid[] := '{}';
    truncated     name[];
    written       jsonb := '[]';
    sessions      jsonb := '[]';
    different     text[];               -- bare names of what is dropped or changed
    routine       record;
    suspects      jsonb := '[]';        -- SQL functions that do not hold up after the rollback
    bodies        jsonb := '[]';        -- other functions that name it
    broken        jsonb := '[]';
    rows_lost     jsonb := '[]';
    locks         jsonb := '[]';
    statements    jsonb := '[]';
    duration      numeric;
    path          text;
    lossy         record;
    counted       jsonb;
    until         timestamptz;
    dropped       text[];               -- what goes with all its parts
    owned         text[];               -- what migrations are known to have made
    report        jsonb;
BEGIN
    IF cardinality(names) = 0 OR names IS NULL THEN
        RAISE EXCEPTION 'no migration was named' USING ERRCODE = 'MR006';
    END IF;
    fingerprint := "Ops1".migration_fingerprint(names, otherwise_path);     -- before all else: what changes meanwhile must show as a change
    report := jsonb_build_object('success', false, 'migrations', names, 'migration_name', names[cardinality(names)], 'fingerprint', fingerprint, 'consent', consent);

    SELECT r.message, r.migration_name INTO refusal FROM "Ops1".execute_migration_rollbacks(
        names, true, NULL::text, NULL::text, NULL::uuid, NULL::text, NULL::text, rehearse_migration_rollbacks.otherwise_path, false,
        current_setting('search_path'), '{}'::jsonb) r WHERE NOT r.success;
    IF NOT FOUND THEN
        SELECT CASE WHEN "Ops1".is_system_migration(h.migration_name) AND h.metadata ->> 'system' = 'true'
                        THEN 'The rollback system itself cannot be rehearsed: it would have to go on when it is gone'
                    ELSE 'This rollback runs outside a transaction, so what it does cannot be undone: rehearse it on a copy of the schema (migrollback rehearse --on scratch)' END AS message,
               h.migration_name
          INTO refusal FROM "Ops1".migration_history h
         WHERE h.migration_name = ANY (names)
           AND ("Ops1".is_system_migration(h.migration_name) AND h.metadata ->> 'system' = 'true'
                OR h.metadata #>> '{rollback,transaction}' = 'false' AND h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8')))
         LIMIT 1;
    END IF;
    IF FOUND THEN
        RETURN report || jsonb_build_object('refused', true, 'message', refusal.message, 'migration_name', refusal.migration_name);
    END IF;

    undone := (SELECT coalesce(jsonb_agg(to_jsonb(u)), '[]') FROM "Ops1".migration_not_undone(names, otherwise_path) u);
    report := report || jsonb_build_object('not_undone', undone);
    IF jsonb_array_length(undone) > 0 AND NOT coalesce(consent, false) THEN
        RETURN report || jsonb_build_object('refused', true, 'needs_consent', true, 'message', 'Undoing the rehearsal would not undo all that the SQL does: '
            || (SELECT string_agg(DISTINCT e ->> 'what', '; ') FROM jsonb_array_elements(undone) e));
    END IF;

    ours := "Ops1".migration_system_objects();
    truncated := ARRAY(SELECT w ->> 3 FROM "Ops1".migration_history h CROSS JOIN LATERAL jsonb_array_elements(coalesce(h.metadata #> '{rollback,writes}', '[]')) w
                        WHERE h.migration_name = ANY (names) AND w ->> 1 = 'truncate');
    BEGIN
        IF current_setting('lock_timeout') = '0' THEN   -- whoever comes later waits behind it: a rehearsal is not worth that
            PERFORM set_config('lock_timeout', '500ms', true);
        END IF;
        PERFORM "Ops1".lock_migrations();
        BEGIN                           -- undone too: it locks every view, and the SQL is to meet the locks that it will meet
            before := "Ops1".schema_object_arrays();
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        EXCEPTION WHEN SQLSTATE 'MR099' THEN
            NULL;
        END;
        SELECT array_agg(c.oid), array_agg(c.oid::regclass::text), array_agg(c.relfilenode) INTO relations, titles, files
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'm', 'p', 'v', 'f', 'S') AND c.oid >= 16384 AND c.oid <> ALL (ours.tables) AND n.nspname !~ '^pg_(toast|temp)';
        counts := (SELECT coalesce(jsonb_object_agg(w.oid, jsonb_build_array(w.updated, w.deleted)), '{}')
                   FROM (SELECT t.oid, pg_stat_get_xact_tuples_updated(t.oid) AS updated, pg_stat_get_xact_tuples_deleted(t.oid) AS deleted FROM unnest(relations) AS t (oid)) w
                   WHERE w.updated > 0 OR w.deleted > 0);
        PERFORM set_config('migrollback.rehearsal', pg_current_xact_id()::text, true), set_config('migrollback.rethrow', CASE WHEN rethrow THEN 'on' ELSE 'off' END, true);

        outcomes := (SELECT jsonb_agg(to_jsonb(r)) FROM "Ops1".execute_migration_rollbacks(
                         names, false, 'rehearsal', NULL::text, attempt, rehearse_migration_rollbacks.client, NULL::text, rehearse_migration_rollbacks.otherwise_path, false,
                         current_setting('search_path'), '{}'::jsonb) r);
        success := (outcomes #>> '{0,success}')::boolean;
        details := (SELECT coalesce(jsonb_object_agg(e.migration_name, e.details), '{}') FROM "Ops1".migration_events e WHERE e.attempt_id = attempt);
        IF success THEN
            sessions := (
                SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.waits DESC, s.pid), '[]')
                FROM (SELECT DISTINCT a.pid, a.usename AS "user", a.application_name, a.state, l.relation, l.mode, NOT l.granted AS waits,
                             NOT l.granted AND pg_backend_pid() = ANY (pg_blocking_pids(a.pid)) AS for_us
                      FROM jsonb_each(details) d CROSS JOIN LATERAL jsonb_object_keys(coalesce(d.value -> 'locks', '{}')) k (key)
                      JOIN pg_locks l ON l.relation = split_part(k.key, ' ', 1)::oid AND l.locktype = 'relation'
                                     AND l.database = (SELECT o.oid FROM pg_database o WHERE o.datname = current_database())
                      JOIN pg_stat_activity a ON a.pid = l.pid AND a.pid <> pg_backend_pid()) s);
            written := (
                SELECT coalesce(jsonb_agg(to_jsonb(w)), '[]')
                FROM (SELECT c.oid, pg_stat_get_xact_tuples_updated(c.oid) - coalesce((counts #>> ARRAY[c.oid::text, '0'])::bigint, 0) AS updated,
                             pg_stat_get_xact_tuples_deleted(c.oid) - coalesce((counts #>> ARRAY[c.oid::text, '1'])::bigint, 0) AS deleted
                      FROM pg_class c WHERE c.oid = ANY (relations)) w
                WHERE w.updated > 0 OR w.deleted > 0);
            SELECT coalesce(array_agg(c.oid) FILTER (WHERE NOT r.emptied), '{}'), coalesce(array_agg(c.oid) FILTER (WHERE r.emptied), '{}') INTO rewritten, emptied
              FROM unnest(relations, files) AS t (oid, file) JOIN pg_class c ON c.oid = t.oid AND c.relfilenode <> t.file AND c.relkind IN ('r', 'm')
             CROSS JOIN LATERAL (SELECT pg_relation_size(c.oid) = 0 OR c.relname = ANY (truncated)) AS r (emptied);     -- TRUNCATE is counted nowhere, but gives the table a new, empty file
            gone := ARRAY(SELECT t.oid FROM unnest(relations) AS t (oid) WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.oid));
            gone_columns := (SELECT coalesce(jsonb_agg(jsonb_build_array(a.attrelid, a.attnum)), '[]') FROM pg_attribute a WHERE a.attrelid = ANY (relations) AND a.attnum > 0 AND a.attisdropped);
            renamed := (SELECT coalesce(jsonb_agg(jsonb_build_object('old', t.title, 'new', c.oid::regclass::text)), '[]')
                        FROM unnest(relations, titles) AS t (oid, title) JOIN pg_class c ON c.oid = t.oid WHERE c.oid::regclass::text <> t.title);
            changes := (SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') FROM "Ops1".changed_schema_objects(before.kinds, before.identities, before.definitions) c);
            columns_after := (SELECT coalesce(jsonb_object_agg(a.attrelid || '.' || a.attnum, a.attname), '{}') FROM unnest(relations, titles) AS t (oid, title)
                              JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
                              WHERE t.title IN (SELECT format('%I.%I', i.parts[1], i.parts[2]) FROM jsonb_array_elements(changes) e CROSS JOIN LATERAL (SELECT parse_ident(e ->> 'identity', false) AS parts) i
                                                 WHERE e ->> 'change' = 'dropped' AND e ->> 'kind' = 'column'));
            -- PostgreSQL does not track what stands in the body of a function as text. What is not named there cannot break it; of very many names the body needs not be searched.
            different := ARRAY(SELECT DISTINCT lower(i.parts[cardinality(i.parts)]) FROM jsonb_array_elements(changes) e CROSS JOIN LATERAL (SELECT parse_ident(e ->> 'identity', false) AS parts) i
                                WHERE e ->> 'change' <> 'created' AND e ->> 'kind' IN ('table', 'partitioned table', 'foreign table', 'view', 'materialized view', 'composite type', 'sequence', 'column',
                                                                                      'function', 'procedure', 'aggregate', 'enum', 'domain', 'range', 'base type', 'schema'));
            FOR routine IN
                SELECT p.oid, p.oid::regprocedure::text AS identity, l.lanname, p.prosrc, p.prokind, pg_get_functiondef(p.oid) AS definition,
                       coalesce((SELECT substr(c, 13) FROM unnest(p.proconfig) AS c WHERE c LIKE 'search\_path=%'), "Ops1".migration_rollback_path(h.metadata, otherwise_path)) AS path,
                       (cardinality(different) > 500 OR EXISTS (SELECT FROM unnest(different) AS x (name) WHERE strpos(lower(p.prosrc), x.name) > 0)) AS names_it
                FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
                JOIN "Ops1".migration_history h ON h.migration_name = names[cardinality(names)]
                WHERE p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND p.prokind <> 'a' AND p.oid <> ALL (ours.routines) AND cardinality(different) > 0
                  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
                ORDER BY p.oid
            LOOP
                CONTINUE WHEN NOT routine.names_it;
                IF routine.lanname <> 'sql' THEN
                    bodies := bodies || jsonb_build_object('oid', routine.oid, 'identity', routine.identity, 'kind', CASE routine.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
                        'language', routine.lanname, 'body', routine.prosrc, 'definition', routine.definition, 'search_path', routine.path);
                    CONTINUE;
                END IF;
                BEGIN
                    PERFORM set_config('search_path', coalesce(nullif(routine.path, ''), 'pg_catalog') || ', pg_temp', true), set_config('check_function_bodies', 'on', true);
                    PERFORM pg_catalog.fmgr_sql_validator(routine.oid);
                    RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
                EXCEPTION
                    WHEN SQLSTATE 'MR099' OR insufficient_privilege THEN
                        NULL;
                    WHEN OTHERS THEN
                        suspects := suspects || jsonb_build_object('oid', routine.oid, 'kind', CASE routine.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
                                                                   'identity', routine.identity, 'search_path', routine.path, 'sqlstate', SQLSTATE, 'because', SQLERRM);
                END;
            END LOOP;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
    EXCEPTION WHEN SQLSTATE 'MR099' THEN
        NULL;                           -- undone; the variables keep what was found
    END;

    IF NOT success AND NOT details -> (outcomes #>> '{0,migration_name}') ? 'sqlstate' THEN    -- it was allowed a moment ago
        RETURN report || jsonb_build_object('refused', true, 'message', outcomes #> '{0,message}', 'migration_name', outcomes #> '{0,migration_name}');
    END IF;

    statements := (
        SELECT coalesce(jsonb_agg(jsonb_build_object('migration_name', n.name, 'number', s.place, 'statement', s.statement, 'line', h.metadata #> ARRAY['rollback', 'statements', (s.place - 1)::text, '2'],
                                                     'ms', details #> ARRAY[n.name, 'statement_ms', (s.place - 1)::text]) ORDER BY n.place, s.place), '[]')
        FROM unnest(names) WITH ORDINALITY AS n (name, place)
        JOIN "Ops1".migration_history h ON h.migration_name = n.name
        CROSS JOIN LATERAL unnest("Ops1".migration_rollback_statements(h.rollback_sql, h.metadata)) WITH ORDINALITY AS s (statement, place));
    duration := (SELECT round(sum((d.value ->> 'duration_ms')::numeric), 3) FROM jsonb_each(details) d);
    locks := (
        WITH statement AS MATERIALIZED (
            SELECT s.value ->> 'migration_name' AS migration_name, (s.value ->> 'number')::int AS number, s.place,
                   sum((s.value ->> 'ms')::numeric) OVER (ORDER BY s.place DESC) AS until_the_end
            FROM jsonb_array_elements(statements) WITH ORDINALITY AS s (value, place)),
        held AS MATERIALIZED (          -- by itself: joined at once, each statement would read all locks anew
            SELECT d.key AS migration_name, l.value::int AS number, split_part(l.key, ' ', 1)::oid AS oid, split_part(l.key, ' ', 2) AS mode
            FROM jsonb_each(details) d CROSS JOIN LATERAL jsonb_each_text(coalesce(d.value -> 'locks', '{}')) l),
        lock AS (
            SELECT DISTINCT ON (h.oid, h.mode) h.oid, h.mode, s.migration_name, s.number, s.until_the_end
            FROM held h JOIN statement s ON s.migration_name = h.migration_name AND s.number = h.number
            ORDER BY h.oid, h.mode, s.place),
        named AS MATERIALIZED (         -- a name is looked up once: what was undone has emptied the caches
            SELECT l.*, c.oid::regclass::text AS relation, c.relkind
            FROM lock l JOIN pg_class c ON c.oid = l.oid        -- what the SQL made is gone again, and nobody else could have met it
            WHERE c.relnamespace <> 'pg_toast'::regnamespace
              AND c.oid <> ALL (ours.tables) AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indrelid = ANY (ours.tables)))
        SELECT coalesce(jsonb_agg(jsonb_build_object('relation', l.relation, 'kind', l.relkind, 'mode', l.mode, 'migration_name', l.migration_name,
                                                     'statement_number', l.number, 'held_ms', l.until_the_end) ORDER BY l.relation, l.mode), '[]')
        FROM named l);

    FOR routine IN SELECT (e ->> 'oid')::oid AS oid, e AS suspect, e ->> 'search_path' AS path FROM jsonb_array_elements(suspects) e LOOP
        BEGIN                           -- one that does not hold up now either is not broken by this
            PERFORM set_config('search_path', coalesce(nullif(routine.path, ''), 'pg_catalog') || ', pg_temp', true), set_config('check_function_bodies', 'on', true);
            PERFORM pg_catalog.fmgr_sql_validator(routine.oid);
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        EXCEPTION
            WHEN SQLSTATE 'MR099' THEN
                broken := broken || (routine.suspect - 'search_path' || jsonb_build_object('certain', true));
            WHEN OTHERS THEN
                NULL;
        END;
    END LOOP;
    -- who calls them, as PostgreSQL tracks it
    broken := (
        SELECT coalesce(jsonb_agg(b.value - 'oid' || jsonb_build_object('used_by', "Ops1".routine_users((b.value ->> 'oid')::oid)) ORDER BY b.place), '[]')
        FROM jsonb_array_elements(broken) WITH ORDINALITY AS b (value, place));
    bodies := (
        SELECT coalesce(jsonb_agg(b.value - 'oid' || jsonb_build_object('used_by', "Ops1".routine_users((b.value ->> 'oid')::oid)) ORDER BY b.place), '[]')
        FROM jsonb_array_elements(bodies) WITH ORDINALITY AS b (value, place) JOIN pg_proc p ON p.oid = (b.value ->> 'oid')::oid);      -- what the SQL made is gone again

    IF columns_after <> '{}' THEN
        renamed := renamed || (
            SELECT coalesce(jsonb_agg(jsonb_build_object('old', e ->> 'identity', 'new', format('%I.%I.%I', i.parts[1], i.parts[2], columns_after ->> (a.attrelid || '.' || a.attnum)))), '[]')
            FROM jsonb_array_elements(changes) e CROSS JOIN LATERAL (SELECT parse_ident(e ->> 'identity', false) AS parts) i
            JOIN pg_attribute a ON a.attrelid = to_regclass(format('%I.%I', i.parts[1], i.parts[2])) AND a.attname = i.parts[3] AND NOT a.attisdropped
            WHERE e ->> 'change' = 'dropped' AND e ->> 'kind' = 'column' AND columns_after ? (a.attrelid || '.' || a.attnum)
              AND NOT EXISTS (SELECT FROM jsonb_array_elements(renamed) r WHERE r ->> 'old' = format('%I.%I', i.parts[1], i.parts[2])));     -- with its table
    END IF;
    -- one that had no rows before has lost none
    rewritten := rewritten || ARRAY(SELECT c.oid FROM unnest(emptied) AS e (oid) JOIN pg_class c ON c.oid = e.oid WHERE pg_relation_size(c.oid) = 0 AND c.relname <> ALL (truncated));
    emptied := ARRAY(SELECT e.oid FROM unnest(emptied) AS e (oid) WHERE NOT e.oid = ANY (rewritten));

    IF success THEN
        until := clock_timestamp() + make_interval(secs => count_ms / 1000.0);
        BEGIN                           -- counting locks too
            FOR lossy IN
                SELECT c.oid, c.oid::regclass::text AS relation, c.relkind,
                       bool_or(k.what = 'dropped table') AS dropped, bool_or(k.what = 'emptied') AS emptied,
                       coalesce(array_agg(k.name ORDER BY k.name) FILTER (WHERE k.what = 'dropped column'), '{}') AS columns
                FROM (SELECT unnest(gone) AS oid, 'dropped table' AS what, NULL AS name
                      UNION ALL
                      SELECT a.attrelid, 'dropped column', a.attname FROM jsonb_array_elements(gone_columns) g
                        JOIN pg_attribute a ON a.attrelid = (g ->> 0)::oid AND a.attnum = (g ->> 1)::int AND NOT a.attisdropped     -- here it is there again
                      UNION ALL
                      SELECT unnest(emptied), 'emptied', NULL) k
                JOIN pg_class c ON c.oid = k.oid AND c.relkind IN ('r', 'f')
                GROUP BY c.oid ORDER BY c.oid
            LOOP
                BEGIN
                    counted := CASE WHEN lossy.relkind = 'f' THEN '{"exact": false}' ELSE "Ops1".count_rows_within(lossy.oid, lossy.columns::text[], until) END;
                EXCEPTION WHEN OTHERS THEN      -- no right to look, or somebody's lock
                    counted := jsonb_build_object('exact', false, 'sqlstate', SQLSTATE);
                END;
                IF lossy.dropped OR lossy.emptied THEN
                    rows_lost := rows_lost || jsonb_build_object('relation', lossy.relation, 'column', NULL, 'what', CASE WHEN lossy.dropped THEN 'dropped' ELSE 'emptied' END,
                                                                 'rows', counted -> 'rows', 'exact', counted -> 'exact', 'sqlstate', counted -> 'sqlstate');
                END IF;
                rows_lost := rows_lost || (
                    SELECT coalesce(jsonb_agg(jsonb_build_object('relation', lossy.relation, 'column', c.name, 'what', 'column dropped', 'rows', counted #> ARRAY['columns', c.name],
                                                                 'exact', counted -> 'exact', 'sqlstate', counted -> 'sqlstate')), '[]')
                    FROM unnest(lossy.columns) AS c (name));
            END LOOP;
            RAISE EXCEPTION USING ERRCODE = 'MR099', MESSAGE = 'undo';
        EXCEPTION WHEN SQLSTATE 'MR099' THEN
            NULL;
        END;
        rows_lost := rows_lost || (
            SELECT coalesce(jsonb_agg(jsonb_build_object('relation', (w ->> 'oid')::oid::regclass::text, 'column', NULL, 'what', k.what, 'rows', k.rows, 'exact', true)), '[]')
            FROM jsonb_array_elements(written) w
            CROSS JOIN LATERAL (VALUES ('deleted', (w ->> 'deleted')::bigint), ('updated', (w ->> 'updated')::bigint)) AS k (what, rows)
            WHERE k.rows > 0 AND NOT (w ->> 'oid')::oid = ANY (emptied) AND EXISTS (SELECT FROM pg_class c WHERE c.oid = (w ->> 'oid')::oid AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)));
    END IF;

    dropped := ARRAY(SELECT e ->> 'identity' FROM jsonb_array_elements(changes) e WHERE e ->> 'change' = 'dropped' AND e ->> 'kind' IN ('table', 'partitioned table', 'view', 'materialized view'));
    owned := ARRAY(SELECT DISTINCT o.identity FROM "Ops1".migration_objects o WHERE o.action <> 'dropped');
    report := report || jsonb_build_object(
        'unseen', (SELECT coalesce(jsonb_agg(jsonb_build_array(h.migration_name, u) ORDER BY n.place, u), '[]')
                   FROM unnest(names) WITH ORDINALITY AS n (name, place) JOIN "Ops1".migration_history h ON h.migration_name = n.name
                   CROSS JOIN LATERAL jsonb_array_elements(coalesce(h.metadata #> '{rollback,unseen}', '[]')) AS u
                   WHERE h.metadata #>> '{rollback,md5}' = md5(convert_to(h.rollback_sql, 'UTF8'))),
        'success', success,
        'message', CASE WHEN NOT success THEN CASE WHEN (details #> ARRAY[outcomes #>> '{0,migration_name}', 'passing'])::boolean
                                                       THEN 'Rehearsal: it did not get to its end: ' ELSE 'Rehearsal: the rollback would fail: ' END
                                                  || (details #>> ARRAY[outcomes #>> '{0,migration_name}', 'message'])
                        WHEN (SELECT bool_and(d.value ? 'unchanged') FROM jsonb_each(details) d) THEN 'Rehearsal: the rollback SQL would run, but change nothing'
                        ELSE 'Rehearsal: the rollback would succeed' END,
        'unchanged', success AND (SELECT bool_and(d.value ? 'unchanged') FROM jsonb_each(details) d),
        'duration_ms', duration,
        'failure', CASE WHEN NOT success THEN (details -> (outcomes #>> '{0,migration_name}')) - 'locks' - 'statement_ms' || jsonb_build_object('migration_name', outcomes #> '{0,migration_name}') END,
        'statements', statements, 'locks', locks, 'rows', rows_lost, 'broken', broken, 'bodies', bodies, 'renamed', renamed,
        'sessions', (SELECT coalesce(jsonb_agg(s || jsonb_build_object('relation', (s ->> 'relation')::oid::regclass::text)), '[]') FROM jsonb_array_elements(sessions) s),
        'rewritten', (SELECT coalesce(jsonb_agg(r.oid::regclass::text ORDER BY r.oid::regclass::text), '[]') FROM unnest(rewritten) AS r (oid)),
        'replicas', CASE WHEN EXISTS (SELECT FROM jsonb_array_elements(locks) l WHERE l ->> 'mode' = 'AccessExclusiveLock')
                         THEN (SELECT coalesce(jsonb_agg(jsonb_build_object('application_name', r.application_name, 'client_addr', r.client_addr, 'state', r.state, 'sync_state', r.sync_state)), '[]')
                               FROM pg_stat_replication r WHERE r.state IS DISTINCT FROM 'backup'
                                AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')) ELSE '[]' END,
        'changes', (SELECT coalesce(jsonb_agg(e || jsonb_build_object('made_by', CASE WHEN e ->> 'change' <> 'created' AND (
                                -- of the parts of what goes as a whole, only those that a migration is known by name to have made: asking costs more than all the rest
                                e ->> 'kind' NOT IN ('column', 'index', 'constraint', 'comment', 'grant', 'trigger', 'policy') OR e ->> 'change' = 'changed' OR e ->> 'identity' = ANY (owned)
                                OR NOT coalesce(CASE e ->> 'kind' WHEN 'comment' THEN true WHEN 'grant' THEN true WHEN 'index' THEN e #>> '{old_definition,on}' = ANY (dropped)
                                                ELSE (SELECT format('%I.%I', i.parts[1], i.parts[2]) FROM parse_ident(e ->> 'identity', false) AS i (parts)) = ANY (dropped) END, false))
                            THEN "Ops1".migration_owners(e ->> 'kind', e ->> 'identity') END) ORDER BY e.place), '[]')
                    FROM jsonb_array_elements(changes) WITH ORDINALITY AS e (e, place)));
    IF record THEN
        PERFORM "Ops1".record_migration_rehearsal(report, client);
    END IF;
    RETURN report;
END $function$;
COMMENT ON FUNCTION "Ops1".rehearse_migration_rollbacks(text[], boolean, text, int, boolean, boolean, text) IS
    'Writes one event and nothing else. Runs the rollbacks of these migrations, in this order, exactly as execute_migration_rollbacks() would, undoes them, and tells what '
    'they did: success, message, failure (sqlstate, statement_number ...), changes, rows (that would be lost), locks, sessions (who held or awaited them), statements (with '
    'their time), rewritten, broken (functions that would no longer work), bodies (functions in other languages than SQL that may name what is gone: for a parser), replicas. fingerprint: for the argument preview of execute_migration_rollback(). consent: also when undoing does not undo all of it '
    '(not_undone says what). count_ms: how long rows may be counted; record: false writes no event; rethrow: an error of the SQL is raised instead of told. Waits for '
    'a lock no longer than lock_timeout, or 500 ms where that is 0; how long it may last in all, statement_timeout says, set before the call.';

CREATE FUNCTION "Ops1".rehearse_migration_rollback(
    name text, consent boolean DEFAULT false, client text DEFAULT NULL, count_ms int DEFAULT 2000,
    otherwise_path text DEFAULT "Ops1".effective_search_path())
RETURNS TABLE (success boolean, message text, report jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    report := "Ops1".rehearse_migration_rollbacks(ARRAY[name], consent, client, count_ms, record => true, rethrow => false, otherwise_path => rehearse_migration_rollback.otherwise_path);
    success := (report -> 'success')::boolean;
    message := report ->> 'message';
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION "Ops1".rehearse_migration_rollback(text, boolean, text, int, text) IS
    'Writes one event and nothing else. rehearse_migration_rollbacks() for one migration: would its rollback succeed, and what would it do?';

-- ---------------------------------------------------------------------------------------------------
-- Verification: is the schema, after a rollback, as it was before the migration was applied? Reads only.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".migration_apply_windows(names text[])
RETURNS TABLE (migration_name text, applied_number bigint, old_snapshot uuid, new_snapshot uuid, alone boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH applied AS (
        SELECT e.migration_name, max(e.event_number) AS event_number FROM "Ops1".migration_events e
         WHERE e.migration_name = ANY (names) AND e.event = 'applied'
           -- applied since by its deploy tool from another text: what was before and after that, nobody took down
           AND NOT EXISTS (SELECT FROM "Ops1".migration_events o
                            WHERE o.migration_name = e.migration_name AND o.event = 'applied_again' AND o.event_number > e.event_number
                              AND o.details ->> 'checksum' IS DISTINCT FROM e.details ->> 'checksum')
         GROUP BY e.migration_name),
    taken AS MATERIALIZED (
        SELECT s.event_number, s.details ->> 'moment' AS moment, (s.details ->> 'snapshot')::uuid AS snapshot, s.details -> 'migrations' AS migrations,
               s.details -> 'migrations' <@ to_jsonb(names) AS alone
        FROM "Ops1".migration_events s
        WHERE s.event = 'snapshot_taken' AND s.details ->> 'moment' IN ('before apply', 'after apply') AND s.details -> 'migrations' ?| names),
    around AS (SELECT t.event_number, t.moment, t.snapshot, t.alone, m.name AS migration_name FROM taken t CROSS JOIN LATERAL jsonb_array_elements_text(t.migrations) AS m (name)),
    before AS (
        SELECT DISTINCT ON (a.migration_name) a.migration_name, a.event_number AS applied_number, t.snapshot, t.alone
        FROM applied a JOIN around t ON t.migration_name = a.migration_name AND t.moment = 'before apply' AND t.event_number < a.event_number
        ORDER BY a.migration_name, t.event_number DESC),
    after AS (
        SELECT DISTINCT ON (a.migration_name) a.migration_name, t.snapshot
        FROM applied a JOIN around t ON t.migration_name = a.migration_name AND t.moment = 'after apply' AND t.event_number > a.event_number
        ORDER BY a.migration_name, t.event_number)
    SELECT b.migration_name, b.applied_number, b.snapshot, a.snapshot, b.alone FROM before b JOIN after a USING (migration_name)
$function$;
COMMENT ON FUNCTION "Ops1".migration_apply_windows(text[]) IS
    'The snapshots that were taken before and after the run in which each of these migrations was applied last; alone: whether that run was of these migrations only. '
    'No row where there are none. Does not write.';

CREATE FUNCTION "Ops1".undo_definition_change(now jsonb, old_definition jsonb, new_definition jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
    -- Only what the migration changed goes back: what others changed of the same object since stays.
    SELECT CASE
        WHEN old_definition IS NULL THEN NULL
        WHEN new_definition IS NULL OR now IS NULL THEN old_definition
        ELSE (SELECT now - coalesce(array_agg(k.key), '{}') FROM jsonb_object_keys(new_definition) AS k (key)
               WHERE old_definition -> k.key IS DISTINCT FROM new_definition -> k.key)
             || (SELECT coalesce(jsonb_object_agg(k.key, k.value), '{}') FROM jsonb_each(old_definition) k
                  WHERE k.value IS DISTINCT FROM new_definition -> k.key)
    END
$function$;
COMMENT ON FUNCTION "Ops1".undo_definition_change(jsonb, jsonb, jsonb) IS
    'A definition as it would be without one change: now, with what differs between old and new put back to old. NULL: the object would not be there. Does not write.';

CREATE FUNCTION "Ops1".verify_migration_rollback(names text[], old_snapshot uuid DEFAULT NULL, new_snapshot uuid DEFAULT NULL, fingerprint text DEFAULT NULL)
RETURNS TABLE (verdict text, message text, changes jsonb, differences jsonb, unexpected jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    run           record;
    runs          jsonb := '[]';
    unknown       text[] := '{}';
    objects_before jsonb;               -- all four unpacked once (|| '{}'), and read by #>, which copies no part that is only passed through
    objects_now   jsonb;
    old_objects   jsonb;
    new_objects   jsonb;
    expected      jsonb := '{}';        -- [kind, identity] as text -> the definition that should be there, or null
    told          text := CASE WHEN cardinality(names) = 1 THEN 'it was' ELSE 'they were' END;
    reordered     text;
    foretold      jsonb;
    apart         boolean := false;     -- some were applied together with others that stay
    uncompared    int := 0;             -- objects of theirs of which no definition from before is known
BEGIN
    IF old_snapshot IS NOT NULL THEN
        SELECT s.objects || '{}' INTO objects_before FROM "Ops1".migration_snapshots s WHERE s.id = old_snapshot;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no snapshot %', old_snapshot USING ERRCODE = 'MR001';
        END IF;
    END IF;
    IF new_snapshot IS NOT NULL THEN
        SELECT s.objects || '{}' INTO objects_now FROM "Ops1".migration_snapshots s WHERE s.id = new_snapshot;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no snapshot %', new_snapshot USING ERRCODE = 'MR001';
        END IF;
    ELSE
        objects_now := "Ops1".schema_snapshot();
    END IF;
    changes := coalesce((SELECT jsonb_agg(to_jsonb(c)) FROM "Ops1".schema_changes(objects_before, objects_now) c WHERE objects_before IS NOT NULL), '[]');
    differences := '[]';
    unexpected := '[]';

    SELECT coalesce(jsonb_agg(jsonb_build_object('number', w.applied_number, 'old', w.old_snapshot, 'new', w.new_snapshot,
                                                 'only', CASE WHEN NOT w.alone THEN n.name END)) FILTER (WHERE w.known), '[]'),
           coalesce(array_agg(n.name ORDER BY n.place) FILTER (WHERE w.known IS NOT TRUE), '{}')
      INTO runs, unknown
      FROM unnest(names) WITH ORDINALITY AS n (name, place)
      LEFT JOIN (SELECT f.*, f.alone OR EXISTS (SELECT FROM "Ops1".migration_objects o WHERE o.migration_name = f.migration_name AND o.source = 'apply') AS known
                   FROM "Ops1".migration_apply_windows(names) f) w ON w.migration_name = n.name;
    IF cardinality(unknown) > 0 THEN
        foretold := (SELECT e.details -> 'foretold' FROM "Ops1".migration_events e
                      WHERE e.event = 'rehearsed' AND e.migration_name = names[cardinality(names)] AND e.details ->> 'fingerprint' = fingerprint AND e.details ->> 'success' = 'true'
                      ORDER BY e.event_number DESC LIMIT 1);
        IF foretold IS NOT NULL AND objects_before IS NOT NULL THEN
            unexpected := coalesce((SELECT jsonb_agg(c.value) FROM jsonb_array_elements(changes) c
                                     WHERE NOT foretold @> jsonb_build_array(jsonb_build_array(c.value ->> 'change', c.value ->> 'kind', c.value ->> 'identity',
                                                                                              md5((c.value -> 'new_definition')::text)))), '[]');
            verdict := CASE WHEN unexpected = '[]' AND jsonb_array_length(foretold) = jsonb_array_length(changes) THEN 'as rehearsed' ELSE 'not as rehearsed' END;
            message := CASE WHEN verdict = 'as rehearsed' THEN 'As rehearsed: the rollback changed what its rehearsal had foretold (there is no snapshot from before '
                            ELSE 'Not as rehearsed: the rollback changed something else than its rehearsal had foretold (there is no snapshot from before ' END
                       || array_to_string(unknown, ', ') || CASE WHEN cardinality(unknown) = 1 THEN ' was' ELSE ' were' END || ' applied)';
            RETURN NEXT;
            RETURN;
        END IF;
        verdict := 'unknown';
        message := 'Not verified: there is no snapshot from before ' || array_to_string(unknown, ', ') || CASE WHEN cardinality(unknown) = 1 THEN ' was' ELSE ' were' END || ' applied';
        RETURN NEXT;
        RETURN;
    END IF;

    -- From the newest run to the oldest, each undone on paper. Runs that meet in one snapshot are one.
    FOR run IN
        WITH one AS (
            SELECT r ->> 'old' AS old, r ->> 'new' AS new, r ->> 'only' AS only, max((r ->> 'number')::bigint) AS number
            FROM jsonb_array_elements(runs) r GROUP BY 1, 2, 3),
        edge AS (SELECT o.*, o.only IS NULL AND lag(o.only) OVER ordered IS NULL AND o.old = lag(o.new) OVER ordered AS joins FROM one o WINDOW ordered AS (ORDER BY o.number)),
        grouped AS (SELECT e.*, count(*) FILTER (WHERE e.joins IS NOT TRUE) OVER (ORDER BY e.number) AS grp FROM edge e)
        SELECT (array_agg(g.old ORDER BY g.number))[1]::uuid AS old, (array_agg(g.new ORDER BY g.number DESC))[1]::uuid AS new, max(g.only) AS only
        FROM grouped g GROUP BY g.grp ORDER BY max(g.number) DESC
    LOOP
        SELECT s.objects || '{}' INTO STRICT old_objects FROM "Ops1".migration_snapshots s WHERE s.id = run.old;
        SELECT s.objects || '{}' INTO STRICT new_objects FROM "Ops1".migration_snapshots s WHERE s.id = run.new;
        IF run.only IS NOT NULL THEN
            -- Applied together with others that stay: the snapshots show all of them at once, so what counts is what was recorded of this one.
            apart := true;
            expected := expected || coalesce((
                SELECT jsonb_object_agg(t.key, CASE
                           WHEN t.created AND NOT t.dropped THEN NULL
                           WHEN t.changed AND NOT t.shared AND c.change = 'changed' THEN "Ops1".undo_definition_change(t.is, c.old_definition, c.new_definition)
                           ELSE coalesce(t.is, '{}') END)
                FROM (SELECT o.kind, o.identity, jsonb_build_array(o.kind, o.identity)::text AS key, bool_or(o.action = 'created') AS created, bool_or(o.action = 'dropped') AS dropped, bool_or(o.action = 'changed') AS changed,
                             objects_now #> ARRAY[o.kind, o.identity] AS is,
                             EXISTS (SELECT FROM "Ops1".migration_objects x
                                      WHERE (x.kind, x.identity) = (o.kind, o.identity) AND x.migration_name <> run.only) AS shared
                        FROM "Ops1".migration_objects o WHERE o.migration_name = run.only AND o.source = 'apply' GROUP BY o.kind, o.identity) t
                LEFT JOIN "Ops1".schema_changes(old_objects, new_objects) c ON (c.kind, c.identity) = (t.kind, t.identity)), '{}');
            uncompared := uncompared + (SELECT count(DISTINCT (o.kind, o.identity)) FROM "Ops1".migration_objects o
                                         WHERE o.migration_name = run.only AND o.source = 'apply'
                                           AND (o.action = 'dropped' OR o.action = 'changed' AND EXISTS (
                                                    SELECT FROM "Ops1".migration_objects x WHERE (x.kind, x.identity) = (o.kind, o.identity) AND x.migration_name <> run.only)));
            CONTINUE;
        END IF;
        expected := expected || coalesce((
            SELECT jsonb_object_agg(k.key, "Ops1".undo_definition_change(
                       CASE WHEN expected ? k.key THEN nullif(expected -> k.key, 'null')
                            ELSE coalesce(objects_before #> ARRAY[c.kind, c.identity], CASE WHEN objects_before IS NULL THEN c.new_definition END) END,
                       c.old_definition, c.new_definition))
            FROM "Ops1".schema_changes(old_objects, new_objects) c
            CROSS JOIN LATERAL (SELECT jsonb_build_array(c.kind, c.identity)::text AS key) k
            WHERE c.change <> 'reordered'), '{}');
        -- A column that was dropped and comes back stands at the end: the order that was there is worth a remark.
        expected := coalesce((
            SELECT jsonb_object_agg(jsonb_build_array(t.kind, r.key)::text,
                                    coalesce(objects_before #> ARRAY[t.kind, r.key], objects_now #> ARRAY[t.kind, r.key]) || jsonb_build_object('columns', r.value -> 'columns'))
            FROM (VALUES ('table'), ('partitioned table'), ('foreign table')) AS t (kind)
            CROSS JOIN LATERAL jsonb_each(old_objects -> t.kind) r
            WHERE new_objects #> ARRAY[t.kind, r.key, 'columns'] <> r.value -> 'columns' AND objects_now #> ARRAY[t.kind, r.key] IS NOT NULL), '{}') || expected;
    END LOOP;

    differences := coalesce((
        WITH wanted AS (SELECT e.key::jsonb ->> 0 AS kind, e.key::jsonb ->> 1 AS identity, nullif(e.value, 'null') AS definition FROM jsonb_each(expected) e),
        found AS (SELECT k.kind, k.identity, objects_now #> ARRAY[k.kind, k.identity] AS definition FROM wanted k)
        SELECT jsonb_agg(to_jsonb(c)) FROM "Ops1".schema_changes(
            (SELECT jsonb_object_agg(g.kind, g.objects) FROM (SELECT kind, jsonb_object_agg(identity, definition) AS objects FROM wanted WHERE definition IS NOT NULL GROUP BY kind) g),
            (SELECT jsonb_object_agg(g.kind, g.objects) FROM (SELECT kind, jsonb_object_agg(identity, definition) AS objects FROM found WHERE definition IS NOT NULL GROUP BY kind) g)) c), '[]');
    unexpected := coalesce((SELECT jsonb_agg(c) FROM jsonb_array_elements(changes) c
                             WHERE c ->> 'change' <> 'reordered' AND NOT expected ? jsonb_build_array(c ->> 'kind', c ->> 'identity')::text), '[]');
    reordered := (SELECT string_agg(DISTINCT c ->> 'identity', ', ') FROM jsonb_array_elements(differences || changes) c WHERE c ->> 'change' = 'reordered');
    IF EXISTS (SELECT FROM jsonb_array_elements(differences) c WHERE c ->> 'change' <> 'reordered') OR unexpected <> '[]' THEN
        verdict := 'differs';
        message := (SELECT concat_ws('; ',
                CASE n.wrong WHEN 0 THEN NULL WHEN 1 THEN 'Not restored: 1 object is not as before ' || told || ' applied'
                             ELSE format('Not restored: %s objects are not as before %s applied', n.wrong, told) END,
                CASE n.more WHEN 0 THEN NULL WHEN 1 THEN 'Also changed: 1 object' ELSE format('Also changed: %s objects', n.more) END
                    || CASE WHEN cardinality(names) = 1 THEN ' that the migration had not touched' ELSE ' that these migrations had not touched' END)
            FROM (SELECT (SELECT count(*) FROM jsonb_array_elements(differences) c WHERE c ->> 'change' <> 'reordered') AS wrong, jsonb_array_length(unexpected) AS more) n);
    ELSE
        verdict := 'restored';
        message := CASE WHEN apart THEN 'Restored: what ' || CASE WHEN cardinality(names) = 1 THEN 'it' ELSE 'they' END || ' made is gone, what '
                                        || CASE WHEN cardinality(names) = 1 THEN 'it' ELSE 'they' END || ' dropped is back'
                                        || CASE WHEN uncompared > 0 THEN format(' (applied in one run with others: %s could not be compared)', CASE uncompared WHEN 1 THEN '1 definition' ELSE uncompared || ' definitions' END) ELSE '' END
                        ELSE 'Restored: the schema is as it was before ' || told || ' applied' END
                   || coalesce(' (columns stand in another order: ' || reordered || ')', '');
    END IF;
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION "Ops1".verify_migration_rollback(text[], uuid, uuid, text) IS
    'Compares the schema after a rollback of these migrations with what it was before they were applied; what others changed since counts as it is. '
    'old_snapshot, new_snapshot: from before and after the rollback, by default none and now. verdict: restored, differs, or, without a snapshot from before they were applied: as rehearsed, not as rehearsed (with the fingerprint of a rehearsal), unknown. '
    'changes: all that the rollback changed; differences: what should be there, and what is; unexpected: changes of what these migrations had not touched; '
    'each an array of rows of schema_changes(). Rows of tables are not compared. Does not write.';

CREATE FUNCTION "Ops1".verify_last_rollback(name text, client text DEFAULT NULL)
RETURNS TABLE (verdict text, message text, changes jsonb, differences jsonb, unexpected jsonb, migrations text[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    ended       record;
    state       text;
    begun       bigint;                 -- the first event of the attempt
    old_snapshot uuid;
    new_snapshot uuid;
    fingerprint text;
    signs       constant jsonb := '{"created": "+", "changed": "~", "reordered": "~", "dropped": "-"}';
BEGIN
    SELECT h.status INTO state FROM "Ops1".migration_history h WHERE h.migration_name = verify_last_rollback.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Migration not found' USING ERRCODE = 'MR001', DETAIL = verify_last_rollback.name;
    END IF;
    SELECT e.event_number, e.attempt_id INTO ended FROM "Ops1".migration_events e
     WHERE e.migration_name = verify_last_rollback.name AND e.event = 'rolled_back' ORDER BY e.event_number DESC LIMIT 1;
    IF NOT FOUND OR state <> 'rolled_back' THEN
        RAISE EXCEPTION 'there is no rollback of % to verify: its status is %', verify_last_rollback.name, state USING ERRCODE = 'MR002';
    END IF;
    -- A chain is verified as a whole; what was applied again since has no part in it any more.
    SELECT coalesce(array_agg(e.migration_name ORDER BY e.event_number), ARRAY[verify_last_rollback.name]), coalesce(max(e.event_number), ended.event_number)
      INTO migrations, ended.event_number
      FROM "Ops1".migration_events e JOIN "Ops1".migration_history h ON h.migration_name = e.migration_name AND h.status = 'rolled_back'
     WHERE e.attempt_id = ended.attempt_id AND e.event = 'rolled_back';
    SELECT coalesce(min(e.event_number), ended.event_number), max(e.details ->> 'fingerprint') INTO begun, fingerprint
      FROM "Ops1".migration_events e WHERE e.attempt_id = ended.attempt_id AND e.event = 'started';
    -- From before: the last one before this attempt, unless another attempt came between.
    SELECT (e.details ->> 'snapshot')::uuid INTO old_snapshot FROM "Ops1".migration_events e
     WHERE e.event = 'snapshot_taken' AND e.details ->> 'moment' = 'before rollback' AND e.details -> 'migrations' ? verify_last_rollback.name AND e.event_number < begun
       AND e.event_number > coalesce((SELECT max(o.event_number) FROM "Ops1".migration_events o
                                       WHERE o.migration_name = verify_last_rollback.name AND o.event_number < begun AND o.event IN ('started', 'rolled_back', 'applied')), 0)
     ORDER BY e.event_number DESC LIMIT 1;
    -- From after: the first one since, of whatever; what was done later is no matter of this rollback.
    SELECT (e.details ->> 'snapshot')::uuid INTO new_snapshot FROM "Ops1".migration_events e
     WHERE e.event = 'snapshot_taken' AND e.event_number > ended.event_number ORDER BY e.event_number LIMIT 1;
    IF NOT EXISTS (SELECT FROM "Ops1".migration_snapshots s WHERE s.id = old_snapshot) THEN
        old_snapshot := NULL;           -- deleted since
    END IF;
    IF NOT EXISTS (SELECT FROM "Ops1".migration_snapshots s WHERE s.id = new_snapshot) THEN
        new_snapshot := "Ops1".create_migration_snapshot(verify_last_rollback.name, NULL::text, 'after rollback', migrations, verify_last_rollback.client);
    END IF;
    SELECT v.verdict, v.message, v.changes, v.differences, v.unexpected INTO verdict, message, changes, differences, unexpected
      FROM "Ops1".verify_migration_rollback(migrations, old_snapshot, new_snapshot, fingerprint) v;
    PERFORM "Ops1".add_migration_event('verified', verify_last_rollback.name, NULL::uuid, NULL::text, verify_last_rollback.client, jsonb_build_object(
        'verdict', verdict, 'message', message, 'migrations', migrations,
        'differences', (SELECT coalesce(jsonb_agg(concat_ws(' ', signs ->> (c.value ->> 'change'), c.value ->> 'kind', c.value ->> 'identity') ORDER BY c.place), '[]')
                          FROM jsonb_array_elements(differences) WITH ORDINALITY AS c (value, place) WHERE c.place <= 50),
        'unexpected', (SELECT coalesce(jsonb_agg(concat_ws(' ', signs ->> (c.value ->> 'change'), c.value ->> 'kind', c.value ->> 'identity') ORDER BY c.place), '[]')
                         FROM jsonb_array_elements(unexpected) WITH ORDINALITY AS c (value, place) WHERE c.place <= 50)));
    RETURN NEXT;
END $function$;
COMMENT ON FUNCTION "Ops1".verify_last_rollback(text, text) IS
    'Writes the event verified, and a snapshot where none was taken since. Verifies the last rollback of this migration, with those that were rolled back together with it '
    '(migrations), as verify_migration_rollback() does, for a rollback that could not be verified when it was made: it finds the snapshots from before and after by itself. '
    'SQLSTATE MR001: not found; MR002: it is not rolled back.';

-- ---------------------------------------------------------------------------------------------------
-- Inferred dependencies: which migration needs which, by the objects that they made, changed or dropped.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".infer_migration_dependencies()
RETURNS TABLE (migration_name text, depends_on text, because text[], source text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    -- nobody has statistics of what is put together here: it is thought to be small, and then each row is compared with each
    SET enable_nestloop = off AS $function$
    WITH history AS MATERIALIZED (
        SELECT o.*, row_number() OVER (PARTITION BY o.class_id, o.object_id, o.column_number ORDER BY o.place) AS step,
               lag(o.identity) OVER (PARTITION BY o.class_id, o.object_id, o.column_number ORDER BY o.place) AS identity_before
        FROM "Ops1".migration_object_history() o WHERE o.object_id IS NOT NULL),
    -- Whose work an object is: of its maker, and of whoever last changed more of it than its name.
    worker AS MATERIALIZED (
        SELECT h.class_id, h.object_id, h.column_number, h.migration_name, h.place FROM history h WHERE h.action = 'created' AND h.class_id <> 'pg_description'::regclass
        UNION SELECT * FROM (SELECT DISTINCT ON (h.class_id, h.object_id, h.column_number) h.class_id, h.object_id, h.column_number, h.migration_name, h.place FROM history h
               WHERE h.action = 'changed' AND (h.column_number > 0 OR h.kind NOT IN ('table', 'partitioned table', 'foreign table', 'index', 'constraint'))
               ORDER BY h.class_id, h.object_id, h.column_number, h.place DESC) c),
    -- Whom the users of an object need: its maker, who gave it its name, and who made a column or an enum what it is.
    provider AS MATERIALIZED (
        SELECT h.class_id, h.object_id, h.column_number, h.migration_name, h.place, coalesce(h.now_kind, h.kind) AS kind, coalesce(h.now_identity, h.identity) AS identity FROM history h
        WHERE h.class_id <> 'pg_description'::regclass AND (h.action = 'created'
              OR h.action = 'changed' AND (h.identity <> h.identity_before OR h.kind IN ('column', 'enum', 'domain')))),
    -- dependent -> what it needs, rules standing for their views, defaults for their columns, row types for their tables, arrays for their elements, members for their extensions
    edge AS MATERIALIZED (
        SELECT d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid
        FROM (SELECT CASE WHEN w.oid IS NOT NULL OR a.oid IS NOT NULL THEN 'pg_class'::regclass::oid ELSE d.classid END AS classid,
                     coalesce(w.ev_class, a.adrelid, d.objid) AS objid, coalesce(a.adnum, d.objsubid) AS objsubid,
                     CASE WHEN x.refobjid IS NOT NULL THEN x.refclassid WHEN t.typrelid <> 0 OR e.typrelid <> 0 THEN 'pg_class'::regclass::oid ELSE d.refclassid END AS refclassid,
                     coalesce(x.refobjid, nullif(t.typrelid, 0), nullif(e.typrelid, 0), e.oid, d.refobjid) AS refobjid, d.refobjsubid
              FROM pg_depend d
              LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid AND w.rulename = '_RETURN'
              LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
              LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
              LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typelem <> 0
              LEFT JOIN pg_depend x ON x.classid = d.refclassid AND x.objid = d.refobjid AND x.objsubid = 0 AND x.deptype = 'e'
              WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S') AND d.objid >= 16384) d
        -- a column needs its table, whatever else made it
        UNION SELECT 'pg_class'::regclass, h.object_id, h.column_number, 'pg_class'::regclass, h.object_id, 0 FROM history h WHERE h.column_number > 0
        -- an inherited column needs its parent's
        UNION SELECT 'pg_class'::regclass, i.inhrelid, c.attnum, 'pg_class'::regclass, i.inhparent, p.attnum
          FROM pg_inherits i JOIN pg_attribute p ON p.attrelid = i.inhparent AND p.attnum > 0 AND NOT p.attisdropped
          JOIN pg_attribute c ON c.attrelid = i.inhrelid AND c.attname = p.attname AND NOT c.attisdropped),
    needed AS (
        SELECT w.migration_name, w.place, p.migration_name AS depends_on, p.place AS base, p.kind, p.identity, p.class_id, p.object_id, p.column_number
        FROM edge e
        JOIN worker w ON w.class_id = e.classid AND w.object_id = e.objid AND w.column_number = e.objsubid
        JOIN provider p ON p.class_id = e.refclassid AND p.object_id = e.refobjid AND p.column_number = e.refobjsubid
        -- what somebody changed or dropped: whoever had a hand in it before; of a table only its maker and who named it, for the others may have altered other sides of it
        UNION ALL
        SELECT h.migration_name, h.place, b.migration_name, b.place, coalesce(h.now_kind, h.kind), coalesce(h.now_identity, h.identity), class_id, object_id, column_number
        FROM history h JOIN history b USING (class_id, object_id, column_number)
        WHERE h.action <> 'created' AND (b.action = 'created' OR b.identity <> b.identity_before OR h.action = 'dropped'
              OR b.action = 'changed' AND h.kind NOT IN ('table', 'partitioned table', 'foreign table', 'index', 'constraint'))
          AND NOT (h.action = 'changed' AND h.kind IN ('index', 'constraint') AND h.identity IS NOT DISTINCT FROM h.identity_before)     -- only built anew
        UNION ALL                       -- a comment is about something
        SELECT h.migration_name, h.place, p.migration_name, p.place, p.kind, p.identity, p.class_id, p.object_id, p.column_number
        FROM history h JOIN provider p USING (object_id, column_number) WHERE h.class_id = 'pg_description'::regclass),
    -- Only the last one before it: that one needs those before it in turn.
    nearest AS (
        SELECT DISTINCT ON (n.place, n.class_id, n.object_id, n.column_number) n.* FROM needed n
        WHERE n.base < n.place ORDER BY n.place, n.class_id, n.object_id, n.column_number, n.base DESC)
    SELECT n.migration_name, n.depends_on,
           array_agg(DISTINCT n.kind || ' ' || n.identity ORDER BY n.kind || ' ' || n.identity), 'catalog'
    FROM nearest n GROUP BY n.migration_name, n.depends_on, n.place, n.base ORDER BY n.place, n.base
$function$;
COMMENT ON FUNCTION "Ops1".infer_migration_dependencies() IS
    'Which migration in place needs which earlier one, by the objects that they made, changed or dropped and by what PostgreSQL knows of these. '
    'because: the objects. Names inside function bodies and in files are not seen here: migrollback deps --infer reads them too. Does not write.';

CREATE FUNCTION "Ops1".record_migration_dependencies(dependencies jsonb DEFAULT NULL, client text DEFAULT NULL)
RETURNS TABLE (migration_name text, depends_on text, because text, recorded boolean, remark text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    wanted  record;
    reasons jsonb := '{}';
BEGIN
    PERFORM "Ops1".lock_migrations();
    IF dependencies IS NULL THEN
        dependencies := (SELECT coalesce(jsonb_agg(jsonb_build_object('migration_name', i.migration_name, 'depends_on', i.depends_on, 'because', array_to_string(i.because, '; '))), '[]')
                         FROM "Ops1".infer_migration_dependencies() i);
    END IF;
    FOR wanted IN
        SELECT w.migration_name, w.depends_on, w.because, h.status AS status, b.status AS base_status, d.source
        FROM ROWS FROM (jsonb_to_recordset(dependencies) AS (migration_name text, depends_on text, because text)) WITH ORDINALITY AS w (migration_name, depends_on, because, place)
        LEFT JOIN "Ops1".migration_history h ON h.migration_name = w.migration_name
        LEFT JOIN "Ops1".migration_history b ON b.migration_name = w.depends_on
        LEFT JOIN "Ops1".migration_dependencies d ON d.migration_name = w.migration_name AND d.depends_on = w.depends_on
        ORDER BY w.place
    LOOP
        migration_name := wanted.migration_name;
        depends_on := wanted.depends_on;
        because := wanted.because;
        remark := CASE
            WHEN wanted.status IS NULL OR wanted.base_status IS NULL THEN 'not registered'
            WHEN 'rolled_back' IN (wanted.status, wanted.base_status) THEN 'rolled back'
            WHEN wanted.source IS NOT NULL THEN wanted.source || ' already'
            WHEN wanted.migration_name = wanted.depends_on THEN 'depends on itself'
            WHEN EXISTS (SELECT FROM "Ops1".migration_dependents(wanted.migration_name) e WHERE e.migration_name = wanted.depends_on) THEN
                'would close a circle: ' || wanted.depends_on || ' depends on ' || wanted.migration_name END;
        recorded := remark IS NULL;
        IF recorded THEN
            PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
            INSERT INTO "Ops1".migration_dependencies (migration_name, depends_on, source, because)
            VALUES (wanted.migration_name, wanted.depends_on, 'inferred', wanted.because);
            PERFORM set_config('migrollback.recording', '', true);
            reasons := jsonb_set(reasons, ARRAY[wanted.migration_name],
                                 coalesce(reasons -> wanted.migration_name, '{}') || jsonb_build_object(wanted.depends_on, wanted.because));
        END IF;
        RETURN NEXT;
    END LOOP;
    INSERT INTO "Ops1".migration_events (event, migration_name, client, details)
    SELECT 'dependencies_recorded', r.key, record_migration_dependencies.client, jsonb_build_object('because', r.value) FROM jsonb_each(reasons) r ORDER BY r.key COLLATE "C";
END $function$;
COMMENT ON FUNCTION "Ops1".record_migration_dependencies(jsonb, text) IS
    'Writes: keeps dependencies as inferred; from then on they block and order as declared ones do. dependencies: an array of objects (migration_name, depends_on, because); '
    'by default what infer_migration_dependencies() says. One row each; remark says why one was not recorded: declared already, rolled back, a circle.';

CREATE FUNCTION "Ops1".forget_migration_dependencies(dependencies jsonb, client text DEFAULT NULL)
RETURNS TABLE (migration_name text, depends_on text, because text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    gone jsonb := '[]';
BEGIN
    PERFORM "Ops1".lock_migrations();
    PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true);
    FOR migration_name, depends_on, because IN
        DELETE FROM "Ops1".migration_dependencies d
         USING jsonb_to_recordset(forget_migration_dependencies.dependencies) AS w (migration_name text, depends_on text)
         WHERE d.migration_name = w.migration_name AND d.depends_on = w.depends_on AND d.source = 'inferred'
        RETURNING d.migration_name, d.depends_on, d.because
    LOOP
        gone := gone || jsonb_build_object('name', migration_name, 'base', depends_on, 'because', because);
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('migrollback.recording', '', true);
    INSERT INTO "Ops1".migration_events (event, migration_name, client, details)
    SELECT 'dependencies_recorded', g.name, forget_migration_dependencies.client, jsonb_build_object('removed', jsonb_object_agg(g.base, g.because))
      FROM jsonb_to_recordset(gone) AS g (name text, base text, because text) GROUP BY g.name ORDER BY g.name COLLATE "C";
END $function$;
COMMENT ON FUNCTION "Ops1".forget_migration_dependencies(jsonb, text) IS
    'Writes: takes back dependencies that were recorded as inferred; declared ones stay. dependencies: an array of objects (migration_name, depends_on). One row for each that went.';

-- ---------------------------------------------------------------------------------------------------
-- Deploys: what one sync or apply, or several with one label, brought. They stand in the audit trail, and in metadata of the migrations.
-- ---------------------------------------------------------------------------------------------------

CREATE FUNCTION "Ops1".migration_deploys(label text DEFAULT NULL)
RETURNS TABLE (deploy_id text, label text, deployed_at timestamptz, deployed_by text, client text, migrations text[], applied text[], state text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
    WITH of_deploys AS MATERIALIZED (
        SELECT e.details ->> 'deploy' AS id, e.details ->> 'label' AS label, e.event_number, e.occurred_at, e.database_user, e.client, e.migration_name
        FROM "Ops1".migration_events e
        WHERE e.details ? 'deploy' AND e.event IN ('deploy_recorded', 'registered', 'applied', 'applied_again')),
    deploy AS (                         -- one without a label has no event of its own
        SELECT DISTINCT ON (o.id) o.id, coalesce(o.label, o.id) AS label, o.event_number, o.occurred_at, o.database_user, o.client
        FROM of_deploys o ORDER BY o.id, o.event_number),
    brought AS (
        SELECT o.id, array_agg(o.migration_name ORDER BY o.event_number) AS names FROM of_deploys o WHERE o.migration_name IS NOT NULL GROUP BY o.id),
    still AS (
        SELECT h.metadata ->> 'deploy' AS id, array_agg(h.migration_name ORDER BY h.applied_at, h.migration_name COLLATE "C") AS names
        FROM "Ops1".migration_history h WHERE h.metadata ? 'deploy' AND h.status <> 'rolled_back' GROUP BY h.metadata ->> 'deploy')
    SELECT d.id, d.label, d.occurred_at, d.database_user, d.client, coalesce(b.names, '{}'), coalesce(s.names, '{}'),
           CASE WHEN b.names IS NULL THEN 'nothing brought'
                WHEN s.names IS NULL THEN 'rolled back'
                WHEN cardinality(s.names) < (SELECT count(DISTINCT n.name) FROM unnest(b.names) AS n (name)) THEN 'partly rolled back'
                ELSE 'applied' END
    FROM deploy d LEFT JOIN brought b ON b.id = d.id LEFT JOIN still s ON s.id = d.id
    WHERE migration_deploys.label IS NULL OR d.label = migration_deploys.label
    ORDER BY d.event_number DESC
$function$;
COMMENT ON FUNCTION "Ops1".migration_deploys(text) IS
    'Deploys, newest first, all or those of one label (a deploy without one goes by its id): what they brought (registered, applied, or found applied again), in order; '
    'what of that is still applied; state: applied, partly rolled back, rolled back, nothing brought. A label that was used again after its rollback has several. Does not write.';

CREATE FUNCTION "Ops1".begin_migration_deploy(label text, client text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    deploy text;
BEGIN
    IF label IS NULL OR btrim(label) = '' OR label <> btrim(label) OR length(label) > 200 OR label ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'the label of a deploy has 1 to 200 characters, none of them a control character, and no blank at either end' USING ERRCODE = 'MR006',
            HINT = 'The commit''s hash or the number of the CI run are good labels.';
    END IF;
    PERFORM "Ops1".lock_migrations();
    SELECT d.deploy_id INTO deploy FROM
        (SELECT n.deploy_id, n.state FROM "Ops1".migration_deploys(begin_migration_deploy.label) n LIMIT 1) d
     WHERE d.state <> 'rolled back';        -- after its rollback a label starts anew
    IF deploy IS NULL THEN
        deploy := gen_random_uuid()::text;
        PERFORM "Ops1".add_migration_event('deploy_recorded', NULL::text, NULL::uuid, NULL::text, begin_migration_deploy.client,
                                                       jsonb_build_object('deploy', deploy, 'label', begin_migration_deploy.label));
    END IF;
    RETURN deploy;
END $function$;
COMMENT ON FUNCTION "Ops1".begin_migration_deploy(text, text) IS
    'Writes: records that a deploy begins, and returns its id, which register_migrations() and apply_migration() take in metadata (deploy). A label that is known '
    'already goes on with its deploy, unless that was rolled back. A deploy without a label needs no record: any new id in metadata makes one, and is its label. SQLSTATE MR006: a label that nobody could type.';

CREATE FUNCTION "Ops1".migrations_of_deploy(label text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $function$
DECLARE
    latest  record;
    waiting text[];
    turn    text;
    ordered text[] := '{}';
BEGIN
    SELECT * INTO latest FROM "Ops1".migration_deploys(migrations_of_deploy.label) d LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no deploy %', label USING ERRCODE = 'MR007', DETAIL = label, HINT = 'migrollback deploys lists them.';
    END IF;
    waiting := ARRAY(SELECT m.name FROM unnest(latest.applied) WITH ORDINALITY AS m (name, place) ORDER BY m.place DESC);
    IF NOT EXISTS (
        SELECT FROM "Ops1".migration_dependencies d
          JOIN unnest(waiting) WITH ORDINALITY AS base (name, place) ON base.name = d.depends_on
          JOIN unnest(waiting) WITH ORDINALITY AS dependent (name, place) ON dependent.name = d.migration_name
         WHERE dependent.place > base.place) THEN
        RETURN waiting;
    END IF;
    -- The times contradict the dependencies (clocks, changes by hand): the newest of those on which none of the others depends, again and again.
    WHILE cardinality(waiting) > 0 LOOP
        SELECT m.name INTO turn FROM unnest(waiting) WITH ORDINALITY AS m (name, place)
         ORDER BY EXISTS (SELECT FROM "Ops1".migration_dependencies d WHERE d.depends_on = m.name AND d.migration_name = ANY (waiting)), m.place LIMIT 1;
        ordered := ordered || turn;
        waiting := array_remove(waiting, turn);
    END LOOP;
    RETURN ordered;
END $function$;
COMMENT ON FUNCTION "Ops1".migrations_of_deploy(text) IS
    'What the newest deploy of this label brought and is still applied, in the order in which it is rolled back: newest first, dependents before what they depend on. '
    'Empty where there is nothing of it. SQLSTATE MR007: no such deploy. Does not write.';

CREATE FUNCTION "Ops1".execute_deploy_rollback(
    label text, dry_run boolean DEFAULT false, reason text DEFAULT NULL, preview text DEFAULT NULL, attempt_id uuid DEFAULT NULL,
    client text DEFAULT NULL, otherwise_path text DEFAULT "Ops1".effective_search_path(),
    session_path text DEFAULT pg_catalog.current_setting('search_path'), session_settings jsonb DEFAULT '{}')
RETURNS TABLE (success boolean, message text, sql_executed text, migration_name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    names text[];
BEGIN
    IF NOT dry_run THEN
        PERFORM "Ops1".lock_migrations();
    END IF;
    names := "Ops1".migrations_of_deploy(label);
    IF cardinality(names) = 0 THEN
        RETURN QUERY
        SELECT true, CASE d.state WHEN 'rolled back' THEN format('Deploy %s is rolled back already: there is nothing to roll back', d.label)
                                  ELSE format('Deploy %s brought nothing: there is nothing to roll back', d.label) END, NULL::text, NULL::text
        FROM "Ops1".migration_deploys(execute_deploy_rollback.label) d LIMIT 1;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT r.success, r.message, r.sql_executed, r.migration_name
    FROM "Ops1".execute_migration_rollbacks(names, dry_run, reason, preview, attempt_id, client, NULL::text, otherwise_path, false,
                                                        session_path, session_settings) r;
END $function$;
COMMENT ON FUNCTION "Ops1".execute_deploy_rollback(text, boolean, text, text, uuid, text, text, text, jsonb) IS
    'Writes, unless dry_run. Rolls back exactly what the deploy of this label brought and is still applied, newest first, in one transaction. A deploy that brought nothing '
    'rolls back nothing and says so. Arguments and results as of execute_migration_rollbacks(). SQLSTATE MR007: no such deploy.';

-- ---------------------------------------------------------------------------------------------------
-- Rights: nobody but the owner, and whom the owner grants.
-- ---------------------------------------------------------------------------------------------------

-- Whom the owner grants sees all rows; the roles under which Supabase serves the world see none, whatever is granted to them later.
-- These count only where set_migration_row_security() turns row security on.
CREATE POLICY granted_roles ON "Ops1".migration_history USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON "Ops1".migration_dependencies USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON "Ops1".migration_snapshots USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON "Ops1".migration_objects USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON "Ops1".migration_events USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));

CREATE FUNCTION "Ops1".migration_grants()
RETURNS TABLE (object text, kind text, owner oid, grantor oid, grantee oid, privilege text, is_ours_to_close boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    SELECT o.object, o.kind, o.owner, x.grantor, x.grantee, x.privilege_type,
           x.grantee = 0 OR x.grantee IN (SELECT r.oid FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role') AND r.oid <> o.owner)
    FROM (SELECT format('TABLE %s', c.oid::regclass) AS object, 'table' AS kind, c.relowner AS owner, coalesce(c.relacl, acldefault('r', c.relowner)) AS acl
          FROM "Ops1".migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
          UNION ALL     -- rights on columns go with those on the table
          SELECT format('TABLE %s', c.oid::regclass), 'table', c.relowner, a.attacl
          FROM "Ops1".migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
          UNION ALL
          SELECT format('FUNCTION %s', p.oid::regprocedure), 'function', p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
          FROM "Ops1".migration_system_objects() s JOIN pg_proc p ON p.oid = ANY (s.routines)) o
    CROSS JOIN LATERAL aclexplode(o.acl) x
$function$;
COMMENT ON FUNCTION "Ops1".migration_grants() IS
    'Every right on this system''s tables (their columns included) and functions: object, owner, who gave it, to whom (0: PUBLIC), privilege; '
    'is_ours_to_close: it is PUBLIC''s, anon''s, authenticated''s or service_role''s. Does not write.';

CREATE FUNCTION "Ops1".close_migration_rights(at_install boolean DEFAULT false) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    opened record;
    before text[];
BEGIN
    -- PostgreSQL itself lets PUBLIC call each new function: at install that is no grant that anybody made.
    before := ARRAY(SELECT DISTINCT g.object || ' ' || g.grantee FROM "Ops1".migration_grants() g
                     WHERE (g.is_ours_to_close AND NOT (at_install AND g.grantee = 0 AND g.kind = 'function'))
                        OR (at_install AND g.grantee NOT IN (0, g.owner) AND NOT g.is_ours_to_close AND NOT (g.kind = 'table' AND g.privilege = 'SELECT')));
    -- A revoke from PUBLIC leaves anon its own grant (Supabase's default privileges make one), and DROP + CREATE brings both back.
    -- A revoke takes back what the owner gave, and no more: who passed a right on to one of these loses the right to pass it on, and what was passed on with it.
    FOR opened IN
        WITH RECURSIVE granted AS MATERIALIZED (SELECT * FROM "Ops1".migration_grants()),
        chain AS (
            SELECT g.object, g.owner, g.grantor, g.grantee, false AS passed_on FROM granted g WHERE g.is_ours_to_close
            UNION
            SELECT g.object, g.owner, g.grantor, g.grantee, true FROM chain c JOIN granted g ON g.object = c.object AND g.grantee = c.grantor
             WHERE c.grantor <> c.owner)
        SELECT c.object, CASE WHEN c.grantee = 0 THEN 'PUBLIC' ELSE c.grantee::regrole::text END AS grantee,
               CASE WHEN bool_and(c.passed_on) THEN 'GRANT OPTION FOR ALL' ELSE 'ALL' END AS privileges
        FROM chain c WHERE c.grantor = c.owner AND c.grantee <> c.owner GROUP BY c.object, c.grantee
        UNION ALL
        -- Right after CREATE nobody has granted anything by hand: what others may do besides reading, default privileges gave to them.
        -- Reading stays with them: a backup by a role that reads by default privileges would break.
        SELECT g.object, g.grantee::regrole::text, string_agg(DISTINCT g.privilege, ', ')
        FROM granted g JOIN pg_roles r ON r.oid = g.grantee AND NOT r.rolsuper
        WHERE at_install AND NOT g.is_ours_to_close AND g.grantee <> g.owner AND NOT (g.kind = 'table' AND g.privilege = 'SELECT')
        GROUP BY g.object, g.grantee
    LOOP
        EXECUTE format('REVOKE %s ON %s FROM %s CASCADE', opened.privileges, opened.object, opened.grantee);
    END LOOP;
    RETURN (SELECT count(*) FROM unnest(before) AS b (grant_before)     -- who does not own them revokes nothing, with no more than a warning
             WHERE b.grant_before NOT IN (SELECT g.object || ' ' || g.grantee FROM "Ops1".migration_grants() g
                                           WHERE g.is_ours_to_close OR NOT (g.kind = 'table' AND g.privilege = 'SELECT')));
END $function$;
COMMENT ON FUNCTION "Ops1".close_migration_rights(boolean) IS
    'Writes: takes every right on this system''s tables and functions from PUBLIC and, where they exist, from anon, authenticated and service_role, whichever role granted it. '
    'at_install: and from all others, but for reading tables, what default privileges gave to them. Returns how many grants it closed.';

CREATE FUNCTION "Ops1".set_migration_row_security() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    roles     text := (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role'));
    protected record;
    changed   boolean := false;
    kept      text[] := '{}';
    names     text[] := '{}';
BEGIN
    -- Where it is on, pg_dump by a role that only reads stops with an error: not where grants alone keep others out.
    FOR protected IN
        SELECT c.oid, c.relname, c.relrowsecurity, c.relowner, EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname <> 'granted_roles') AS has_others
        FROM "Ops1".migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables) ORDER BY c.relname
    LOOP
        names := names || regexp_replace(protected.relname, '^migration_', '');
        IF NOT protected.relrowsecurity AND roles IS NOT NULL OR protected.relrowsecurity AND roles IS NULL AND NOT protected.has_others THEN
            IF NOT pg_has_role(protected.relowner, 'USAGE') THEN
                RETURN format('Row security of the system''s tables is to be turned %s, and only their owner, %s, can do that: run install as that role',
                              CASE WHEN roles IS NULL THEN 'off' ELSE 'on' END, protected.relowner::regrole);
            END IF;
            EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY', protected.oid::regclass, CASE WHEN roles IS NULL THEN 'DISABLE' ELSE 'ENABLE' END);
            changed := true;
        ELSIF roles IS NULL AND protected.has_others THEN
            kept := kept || protected.oid::regclass::text;
        END IF;
    END LOOP;
    RETURN CASE
        WHEN roles IS NOT NULL THEN format(
            'Row security %s for the system''s tables, because Supabase''s roles exist here (%s). pg_dump by a role that is not their owner and has no BYPASSRLS stops there '
            '("query would be affected by row-level security policy"): ALTER ROLE ... BYPASSRLS, or pg_dump -T ''%s''',
            CASE WHEN changed THEN 'was turned on' ELSE 'is on' END, roles,
            replace(format('%s.migration_(%s)', '"Ops1"'::regnamespace, array_to_string(names, '|')), '''', E'\'\\\'\'')) -- as a shell wants it
        WHEN cardinality(kept) > 0 THEN format('Row security was left as it is for %s, which has policies that are not ours', array_to_string(kept, ', '))
        WHEN changed THEN 'Row security was turned off for the system''s tables: none of Supabase''s roles exists here, and grants alone keep others out' END;
END $function$;
COMMENT ON FUNCTION "Ops1".set_migration_row_security() IS
    'Writes where it must: turns row security of this system''s tables on where anon, authenticated or service_role exists, and off elsewhere, unless somebody has given '
    'them policies. Returns what a person should know of it, or NULL.';

CREATE FUNCTION "Ops1".open_migration_rights() RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $function$
    WITH granted AS MATERIALIZED (SELECT * FROM "Ops1".migration_grants()),
    holder (oid) AS (SELECT g.grantee FROM granted g WHERE g.grantee <> 0 AND NOT g.is_ours_to_close UNION SELECT g.owner FROM granted g
                     UNION SELECT r.oid FROM pg_roles r WHERE r.rolname IN ('pg_read_all_data', 'pg_write_all_data')),
    remark (text) AS (
        SELECT format('%s of the system''s tables and functions are still open to %s: only their owner, %s, can close them', count(DISTINCT g.object),
                      CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.owner::regrole)
        FROM granted g WHERE g.is_ours_to_close GROUP BY g.grantee, g.owner
        UNION ALL
        SELECT format('%I belongs to %I, whose rights on the system''s tables it can use: REVOKE %I FROM %I, unless that is meant', r.rolname, o.rolname, o.rolname, r.rolname)
        FROM pg_roles r JOIN holder h ON h.oid <> r.oid JOIN pg_roles o ON o.oid = h.oid
        WHERE r.rolname IN ('anon', 'authenticated', 'service_role') AND NOT r.rolsuper AND pg_has_role(r.oid, h.oid, 'MEMBER'))
    SELECT coalesce(array_agg(r.text ORDER BY r.text), '{}') FROM remark r
$function$;
COMMENT ON FUNCTION "Ops1".open_migration_rights() IS
    'What close_migration_rights() cannot close, in words: grants of an owner who does not run it, and roles to whose rights anon, authenticated or service_role come as members. '
    'Does not write.';

SELECT "Ops1".close_migration_rights(true) AS rights_closed;
SELECT "Ops1".set_migration_row_security() AS row_security;
SELECT unnest("Ops1".open_migration_rights()) AS still_open;

-- ROLLBACK START
-- DROP TABLE IF EXISTS "Ops1".migration_dependencies;
-- DROP TABLE IF EXISTS "Ops1".migration_history;
-- DROP TABLE IF EXISTS "Ops1".migration_objects;
-- DROP TABLE IF EXISTS "Ops1".migration_snapshots;
-- DROP TABLE IF EXISTS "Ops1".migration_events;
-- DROP FUNCTION IF EXISTS "Ops1".open_migration_rights;
-- DROP FUNCTION IF EXISTS "Ops1".set_migration_row_security;
-- DROP FUNCTION IF EXISTS "Ops1".close_migration_rights;
-- DROP FUNCTION IF EXISTS "Ops1".migration_grants;
-- DROP FUNCTION IF EXISTS "Ops1".execute_deploy_rollback;
-- DROP FUNCTION IF EXISTS "Ops1".migrations_of_deploy;
-- DROP FUNCTION IF EXISTS "Ops1".begin_migration_deploy;
-- DROP FUNCTION IF EXISTS "Ops1".migration_deploys;
-- DROP FUNCTION IF EXISTS "Ops1".forget_migration_dependencies;
-- DROP FUNCTION IF EXISTS "Ops1".record_migration_dependencies;
-- DROP FUNCTION IF EXISTS "Ops1".infer_migration_dependencies;
-- DROP FUNCTION IF EXISTS "Ops1".verify_last_rollback;
-- DROP FUNCTION IF EXISTS "Ops1".verify_migration_rollback;
-- DROP FUNCTION IF EXISTS "Ops1".undo_definition_change;
-- DROP FUNCTION IF EXISTS "Ops1".migration_apply_windows;
-- DROP FUNCTION IF EXISTS "Ops1".rehearse_migration_rollback;
-- DROP FUNCTION IF EXISTS "Ops1".rehearse_migration_rollbacks;
-- DROP FUNCTION IF EXISTS "Ops1".record_migration_rehearsal;
-- DROP FUNCTION IF EXISTS "Ops1".migration_not_undone;
-- DROP FUNCTION IF EXISTS "Ops1".routine_users;
-- DROP FUNCTION IF EXISTS "Ops1".changed_schema_objects;
-- DROP FUNCTION IF EXISTS "Ops1".count_rows_within;
-- DROP FUNCTION IF EXISTS "Ops1".record_parsed_objects;
-- DROP FUNCTION IF EXISTS "Ops1".migration_owners;
-- DROP FUNCTION IF EXISTS "Ops1".migration_object_makers;
-- DROP FUNCTION IF EXISTS "Ops1".migration_object_history;
-- DROP FUNCTION IF EXISTS "Ops1".schema_object_addresses;
-- DROP FUNCTION IF EXISTS "Ops1".record_migration_objects;
-- DROP FUNCTION IF EXISTS "Ops1".mark_migration_objects;
-- DROP FUNCTION IF EXISTS "Ops1".migration_catalog_writes;
-- DROP FUNCTION IF EXISTS "Ops1".catalog_row_counts;
-- DROP FUNCTION IF EXISTS "Ops1".diff_migration_snapshots;
-- DROP FUNCTION IF EXISTS "Ops1".create_migration_snapshot;
-- DROP FUNCTION IF EXISTS "Ops1".schema_changes;
-- DROP FUNCTION IF EXISTS "Ops1".schema_token;
-- DROP FUNCTION IF EXISTS "Ops1".schema_snapshot;
-- DROP FUNCTION IF EXISTS "Ops1".schema_object_arrays;
-- DROP FUNCTION IF EXISTS "Ops1".schema_objects;
-- DROP FUNCTION IF EXISTS "Ops1".apply_migration;
-- DROP FUNCTION IF EXISTS "Ops1".finish_migration_rollback;
-- DROP FUNCTION IF EXISTS "Ops1".journal_migration_statement;
-- DROP FUNCTION IF EXISTS "Ops1".migration_statements_completed;
-- DROP FUNCTION IF EXISTS "Ops1".migration_attempt;
-- DROP FUNCTION IF EXISTS "Ops1".start_migration_rollback;
-- DROP FUNCTION IF EXISTS "Ops1".execute_migration_rollback;
-- DROP FUNCTION IF EXISTS "Ops1".execute_migration_rollbacks;
-- DROP FUNCTION IF EXISTS "Ops1".fail_migration_rollback;
-- DROP FUNCTION IF EXISTS "Ops1".mark_rolled_back;
-- DROP FUNCTION IF EXISTS "Ops1".resolve_migration;
-- DROP FUNCTION IF EXISTS "Ops1".record_missing_in_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".record_applied_again;
-- DROP FUNCTION IF EXISTS "Ops1".register_migrations;
-- DROP FUNCTION IF EXISTS "Ops1".register_migration;
-- DROP FUNCTION IF EXISTS "Ops1".save_migration;
-- DROP FUNCTION IF EXISTS "Ops1".is_system_migration;
-- DROP FUNCTION IF EXISTS "Ops1".add_migration_event;
-- DROP FUNCTION IF EXISTS "Ops1".production_refusal;
-- DROP FUNCTION IF EXISTS "Ops1".mark_production_database;
-- DROP FUNCTION IF EXISTS "Ops1".is_production_database;
-- DROP FUNCTION IF EXISTS "Ops1".run_migration_sql;
-- DROP FUNCTION IF EXISTS "Ops1".changeable_settings;
-- DROP FUNCTION IF EXISTS "Ops1".is_passing_error;
-- DROP FUNCTION IF EXISTS "Ops1".migration_progress_notices;
-- DROP FUNCTION IF EXISTS "Ops1".migration_rollback_statements;
-- DROP FUNCTION IF EXISTS "Ops1".transaction_changes;
-- DROP FUNCTION IF EXISTS "Ops1".migration_system_writes;
-- DROP FUNCTION IF EXISTS "Ops1".migration_system_token;
-- DROP FUNCTION IF EXISTS "Ops1".migration_system_objects;
-- DROP FUNCTION IF EXISTS "Ops1".changed_since_preview;
-- DROP FUNCTION IF EXISTS "Ops1".migration_fingerprint;
-- DROP FUNCTION IF EXISTS "Ops1".migration_rollback_path;
-- DROP FUNCTION IF EXISTS "Ops1".effective_search_path;
-- DROP FUNCTION IF EXISTS "Ops1".migration_warnings;
-- DROP FUNCTION IF EXISTS "Ops1".list_rollbackable_migrations;
-- DROP FUNCTION IF EXISTS "Ops1".can_rollback_migration;
-- DROP FUNCTION IF EXISTS "Ops1".migration_blocking_reason;
-- DROP FUNCTION IF EXISTS "Ops1".migrations_to_roll_back_first;
-- DROP FUNCTION IF EXISTS "Ops1".migration_dependents;
-- DROP FUNCTION IF EXISTS "Ops1".migration_metadata_problem;
-- DROP FUNCTION IF EXISTS "Ops1".migration_coverage_problem;
-- DROP FUNCTION IF EXISTS "Ops1".is_schema_list;
-- DROP FUNCTION IF EXISTS "Ops1".scan_migration_sql;
-- DROP FUNCTION IF EXISTS "Ops1".deploy_in_progress;
-- DROP FUNCTION IF EXISTS "Ops1".golang_migrate_lock_key;
-- DROP FUNCTION IF EXISTS "Ops1".deploy_lock_keys;
-- DROP FUNCTION IF EXISTS "Ops1".crc32_of;
-- DROP FUNCTION IF EXISTS "Ops1".forget_in_deploy_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".record_in_deploy_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".write_deploy_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".version_before;
-- DROP FUNCTION IF EXISTS "Ops1".not_newest_in_deploy_ledger_warning;
-- DROP FUNCTION IF EXISTS "Ops1".newest_in_deploy_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".deploy_ledgers_of_migrations;
-- DROP FUNCTION IF EXISTS "Ops1".ledger_finding_warning;
-- DROP FUNCTION IF EXISTS "Ops1".migration_ledger_findings;
-- DROP FUNCTION IF EXISTS "Ops1".migrations_in_deploy_ledgers;
-- DROP FUNCTION IF EXISTS "Ops1".supabase_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".trust_ledger_owner;
-- DROP FUNCTION IF EXISTS "Ops1".refuse_untrusted_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".untrusted_deploy_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".deploy_ledger;
-- DROP FUNCTION IF EXISTS "Ops1".untrusted_ledger_reason;
-- DROP FUNCTION IF EXISTS "Ops1".deploy_ledger_relations;
-- DROP FUNCTION IF EXISTS "Ops1".deploy_ledger_parts;
-- DROP FUNCTION IF EXISTS "Ops1".trusted_ledger_owners;
-- DROP FUNCTION IF EXISTS "Ops1".deploy_tools;
-- DROP FUNCTION IF EXISTS "Ops1".refuse_history_truncate;
-- DROP FUNCTION IF EXISTS "Ops1".record_history_change;
-- DROP FUNCTION IF EXISTS "Ops1".complete_history_change;
-- DROP FUNCTION IF EXISTS "Ops1".guard_history_change;
-- DROP FUNCTION IF EXISTS "Ops1".lock_migrations;
-- DROP FUNCTION IF EXISTS "Ops1".verify_migration_events;
-- DROP FUNCTION IF EXISTS "Ops1".refuse_event_change;
-- DROP FUNCTION IF EXISTS "Ops1".chain_migration_event;
-- DROP FUNCTION IF EXISTS "Ops1".migration_event_hash;
-- ROLLBACK END

SELECT "Ops1".register_migration('20250120_migration_rollback_system'::pg_catalog.text, '20250120'::pg_catalog.text, 'DROP TABLE IF EXISTS "Ops1".migration_dependencies;
DROP TABLE IF EXISTS "Ops1".migration_history;
DROP TABLE IF EXISTS "Ops1".migration_objects;
DROP TABLE IF EXISTS "Ops1".migration_snapshots;
DROP TABLE IF EXISTS "Ops1".migration_events;
DROP FUNCTION IF EXISTS "Ops1".open_migration_rights;
DROP FUNCTION IF EXISTS "Ops1".set_migration_row_security;
DROP FUNCTION IF EXISTS "Ops1".close_migration_rights;
DROP FUNCTION IF EXISTS "Ops1".migration_grants;
DROP FUNCTION IF EXISTS "Ops1".execute_deploy_rollback;
DROP FUNCTION IF EXISTS "Ops1".migrations_of_deploy;
DROP FUNCTION IF EXISTS "Ops1".begin_migration_deploy;
DROP FUNCTION IF EXISTS "Ops1".migration_deploys;
DROP FUNCTION IF EXISTS "Ops1".forget_migration_dependencies;
DROP FUNCTION IF EXISTS "Ops1".record_migration_dependencies;
DROP FUNCTION IF EXISTS "Ops1".infer_migration_dependencies;
DROP FUNCTION IF EXISTS "Ops1".verify_last_rollback;
DROP FUNCTION IF EXISTS "Ops1".verify_migration_rollback;
DROP FUNCTION IF EXISTS "Ops1".undo_definition_change;
DROP FUNCTION IF EXISTS "Ops1".migration_apply_windows;
DROP FUNCTION IF EXISTS "Ops1".rehearse_migration_rollback;
DROP FUNCTION IF EXISTS "Ops1".rehearse_migration_rollbacks;
DROP FUNCTION IF EXISTS "Ops1".record_migration_rehearsal;
DROP FUNCTION IF EXISTS "Ops1".migration_not_undone;
DROP FUNCTION IF EXISTS "Ops1".routine_users;
DROP FUNCTION IF EXISTS "Ops1".changed_schema_objects;
DROP FUNCTION IF EXISTS "Ops1".count_rows_within;
DROP FUNCTION IF EXISTS "Ops1".record_parsed_objects;
DROP FUNCTION IF EXISTS "Ops1".migration_owners;
DROP FUNCTION IF EXISTS "Ops1".migration_object_makers;
DROP FUNCTION IF EXISTS "Ops1".migration_object_history;
DROP FUNCTION IF EXISTS "Ops1".schema_object_addresses;
DROP FUNCTION IF EXISTS "Ops1".record_migration_objects;
DROP FUNCTION IF EXISTS "Ops1".mark_migration_objects;
DROP FUNCTION IF EXISTS "Ops1".migration_catalog_writes;
DROP FUNCTION IF EXISTS "Ops1".catalog_row_counts;
DROP FUNCTION IF EXISTS "Ops1".diff_migration_snapshots;
DROP FUNCTION IF EXISTS "Ops1".create_migration_snapshot;
DROP FUNCTION IF EXISTS "Ops1".schema_changes;
DROP FUNCTION IF EXISTS "Ops1".schema_token;
DROP FUNCTION IF EXISTS "Ops1".schema_snapshot;
DROP FUNCTION IF EXISTS "Ops1".schema_object_arrays;
DROP FUNCTION IF EXISTS "Ops1".schema_objects;
DROP FUNCTION IF EXISTS "Ops1".apply_migration;
DROP FUNCTION IF EXISTS "Ops1".finish_migration_rollback;
DROP FUNCTION IF EXISTS "Ops1".journal_migration_statement;
DROP FUNCTION IF EXISTS "Ops1".migration_statements_completed;
DROP FUNCTION IF EXISTS "Ops1".migration_attempt;
DROP FUNCTION IF EXISTS "Ops1".start_migration_rollback;
DROP FUNCTION IF EXISTS "Ops1".execute_migration_rollback;
DROP FUNCTION IF EXISTS "Ops1".execute_migration_rollbacks;
DROP FUNCTION IF EXISTS "Ops1".fail_migration_rollback;
DROP FUNCTION IF EXISTS "Ops1".mark_rolled_back;
DROP FUNCTION IF EXISTS "Ops1".resolve_migration;
DROP FUNCTION IF EXISTS "Ops1".record_missing_in_ledger;
DROP FUNCTION IF EXISTS "Ops1".record_applied_again;
DROP FUNCTION IF EXISTS "Ops1".register_migrations;
DROP FUNCTION IF EXISTS "Ops1".register_migration;
DROP FUNCTION IF EXISTS "Ops1".save_migration;
DROP FUNCTION IF EXISTS "Ops1".is_system_migration;
DROP FUNCTION IF EXISTS "Ops1".add_migration_event;
DROP FUNCTION IF EXISTS "Ops1".production_refusal;
DROP FUNCTION IF EXISTS "Ops1".mark_production_database;
DROP FUNCTION IF EXISTS "Ops1".is_production_database;
DROP FUNCTION IF EXISTS "Ops1".run_migration_sql;
DROP FUNCTION IF EXISTS "Ops1".changeable_settings;
DROP FUNCTION IF EXISTS "Ops1".is_passing_error;
DROP FUNCTION IF EXISTS "Ops1".migration_progress_notices;
DROP FUNCTION IF EXISTS "Ops1".migration_rollback_statements;
DROP FUNCTION IF EXISTS "Ops1".transaction_changes;
DROP FUNCTION IF EXISTS "Ops1".migration_system_writes;
DROP FUNCTION IF EXISTS "Ops1".migration_system_token;
DROP FUNCTION IF EXISTS "Ops1".migration_system_objects;
DROP FUNCTION IF EXISTS "Ops1".changed_since_preview;
DROP FUNCTION IF EXISTS "Ops1".migration_fingerprint;
DROP FUNCTION IF EXISTS "Ops1".migration_rollback_path;
DROP FUNCTION IF EXISTS "Ops1".effective_search_path;
DROP FUNCTION IF EXISTS "Ops1".migration_warnings;
DROP FUNCTION IF EXISTS "Ops1".list_rollbackable_migrations;
DROP FUNCTION IF EXISTS "Ops1".can_rollback_migration;
DROP FUNCTION IF EXISTS "Ops1".migration_blocking_reason;
DROP FUNCTION IF EXISTS "Ops1".migrations_to_roll_back_first;
DROP FUNCTION IF EXISTS "Ops1".migration_dependents;
DROP FUNCTION IF EXISTS "Ops1".migration_metadata_problem;
DROP FUNCTION IF EXISTS "Ops1".migration_coverage_problem;
DROP FUNCTION IF EXISTS "Ops1".is_schema_list;
DROP FUNCTION IF EXISTS "Ops1".scan_migration_sql;
DROP FUNCTION IF EXISTS "Ops1".deploy_in_progress;
DROP FUNCTION IF EXISTS "Ops1".golang_migrate_lock_key;
DROP FUNCTION IF EXISTS "Ops1".deploy_lock_keys;
DROP FUNCTION IF EXISTS "Ops1".crc32_of;
DROP FUNCTION IF EXISTS "Ops1".forget_in_deploy_ledger;
DROP FUNCTION IF EXISTS "Ops1".record_in_deploy_ledger;
DROP FUNCTION IF EXISTS "Ops1".write_deploy_ledger;
DROP FUNCTION IF EXISTS "Ops1".version_before;
DROP FUNCTION IF EXISTS "Ops1".not_newest_in_deploy_ledger_warning;
DROP FUNCTION IF EXISTS "Ops1".newest_in_deploy_ledger;
DROP FUNCTION IF EXISTS "Ops1".deploy_ledgers_of_migrations;
DROP FUNCTION IF EXISTS "Ops1".ledger_finding_warning;
DROP FUNCTION IF EXISTS "Ops1".migration_ledger_findings;
DROP FUNCTION IF EXISTS "Ops1".migrations_in_deploy_ledgers;
DROP FUNCTION IF EXISTS "Ops1".supabase_ledger;
DROP FUNCTION IF EXISTS "Ops1".trust_ledger_owner;
DROP FUNCTION IF EXISTS "Ops1".refuse_untrusted_ledger;
DROP FUNCTION IF EXISTS "Ops1".untrusted_deploy_ledger;
DROP FUNCTION IF EXISTS "Ops1".deploy_ledger;
DROP FUNCTION IF EXISTS "Ops1".untrusted_ledger_reason;
DROP FUNCTION IF EXISTS "Ops1".deploy_ledger_relations;
DROP FUNCTION IF EXISTS "Ops1".deploy_ledger_parts;
DROP FUNCTION IF EXISTS "Ops1".trusted_ledger_owners;
DROP FUNCTION IF EXISTS "Ops1".deploy_tools;
DROP FUNCTION IF EXISTS "Ops1".refuse_history_truncate;
DROP FUNCTION IF EXISTS "Ops1".record_history_change;
DROP FUNCTION IF EXISTS "Ops1".complete_history_change;
DROP FUNCTION IF EXISTS "Ops1".guard_history_change;
DROP FUNCTION IF EXISTS "Ops1".lock_migrations;
DROP FUNCTION IF EXISTS "Ops1".verify_migration_events;
DROP FUNCTION IF EXISTS "Ops1".refuse_event_change;
DROP FUNCTION IF EXISTS "Ops1".chain_migration_event;
DROP FUNCTION IF EXISTS "Ops1".migration_event_hash;'::pg_catalog.text, 'd17df086f25a4d2d61d2c3fd1c8db3f6ac305707e07acd9700750b09603878d9'::pg_catalog.text, '{}'::pg_catalog.text[], '{"description": "the rules for rolling migrations back: history, dependencies, audit trail, gate", "rollback": {"md5": "7dca23f94b4224be02d675aeab389227", "statements": [[0, 50, 4983], [52, 45, 4984], [99, 45, 4985], [146, 47, 4986], [195, 44, 4987], [241, 52, 4988], [295, 57, 4989], [354, 53, 4990], [409, 47, 4991], [458, 54, 4992], [514, 51, 4993], [567, 53, 4994], [622, 48, 4995], [672, 60, 4996], [734, 60, 4997], [796, 59, 4998], [857, 51, 4999], [910, 56, 5000], [968, 53, 5001], [1023, 54, 5002], [1079, 58, 5003], [1139, 59, 5004], [1200, 57, 5005], [1259, 51, 5006], [1312, 44, 5007], [1358, 53, 5008], [1413, 48, 5009], [1463, 52, 5010], [1517, 47, 5011], [1566, 54, 5012], [1622, 55, 5013], [1679, 54, 5014], [1735, 55, 5015], [1792, 53, 5016], [1847, 55, 5017], [1904, 49, 5018], [1955, 55, 5019], [2012, 56, 5020], [2070, 45, 5021], [2117, 43, 5022], [2162, 46, 5023], [2210, 51, 5024], [2263, 45, 5025], [2310, 46, 5026], [2358, 56, 5027], [2416, 58, 5028], [2476, 61, 5029], [2539, 48, 5030], [2589, 55, 5031], [2646, 57, 5032], [2705, 58, 5033], [2765, 54, 5034], [2821, 47, 5035], [2870, 48, 5036], [2920, 55, 5037], [2977, 51, 5038], [3030, 50, 5039], [3082, 49, 5040], [3133, 45, 5041], [3180, 50, 5042], [3232, 50, 5043], [3284, 49, 5044], [3335, 55, 5045], [3392, 53, 5046], [3447, 48, 5047], [3497, 50, 5048], [3549, 47, 5049], [3598, 57, 5050], [3657, 60, 5051], [3719, 50, 5052], [3771, 54, 5053], [3827, 53, 5054], [3882, 55, 5055], [3939, 52, 5056], [3993, 52, 5057], [4047, 54, 5058], [4103, 52, 5059], [4157, 49, 5060], [4208, 59, 5061], [4269, 53, 5062], [4324, 56, 5063], [4382, 60, 5064], [4444, 51, 5065], [4497, 57, 5066], [4556, 57, 5067], [4615, 45, 5068], [4662, 49, 5069], [4713, 49, 5070], [4764, 54, 5071], [4820, 47, 5072], [4869, 39, 5073], [4910, 54, 5074], [4966, 54, 5075], [5022, 50, 5076], [5074, 45, 5077], [5121, 66, 5078], [5189, 54, 5079], [5245, 59, 5080], [5306, 53, 5081], [5361, 56, 5082], [5419, 59, 5083], [5480, 46, 5084], [5528, 49, 5085], [5579, 54, 5086], [5635, 54, 5087], [5691, 44, 5088], [5737, 54, 5089], [5793, 54, 5090], [5849, 50, 5091], [5901, 52, 5092], [5955, 43, 5093], [6000, 54, 5094], [6056, 52, 5095], [6110, 54, 5096], [6166, 51, 5097], [6219, 46, 5098], [6267, 54, 5099], [6323, 50, 5100], [6375, 52, 5101], [6429, 51, 5102]], "transaction": true, "refused_in_transaction": [], "set_local": [], "set_session": [], "live": false, "not_undone": [], "calls": [], "writes": [], "unseen": []}, "system": true}'::pg_catalog.jsonb, 'psql'::pg_catalog.text, '"Ops1"'::pg_catalog.text);
