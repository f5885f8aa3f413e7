-- Version 0.1.0: its tables. What they mean, and their triggers, stand in comments.sql and triggers.sql.

CREATE TABLE migrollback_schema.migration_history (
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

CREATE INDEX idx_migration_history_version ON migrollback_schema.migration_history (migration_version);
CREATE INDEX idx_migration_history_status ON migrollback_schema.migration_history (status);
CREATE INDEX idx_migration_history_applied_at ON migrollback_schema.migration_history (applied_at);

-- A migration does not depend on itself, and on another one at most once.
CREATE TABLE migrollback_schema.migration_dependencies (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    migration_name text NOT NULL REFERENCES migrollback_schema.migration_history (migration_name),
    depends_on     text NOT NULL REFERENCES migrollback_schema.migration_history (migration_name),
    created_at     timestamptz DEFAULT now(),
    source         text NOT NULL DEFAULT 'declared' CHECK (source IN ('declared', 'inferred')),
    because        text,
    UNIQUE (migration_name, depends_on),
    CONSTRAINT migration_depends_on_another CHECK (migration_name <> depends_on)
);

CREATE INDEX idx_migration_deps_migration ON migrollback_schema.migration_dependencies (migration_name);
CREATE INDEX idx_migration_deps_depends_on ON migrollback_schema.migration_dependencies (depends_on);

CREATE TABLE migrollback_schema.migration_snapshots (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    migration_name text NOT NULL,
    description    text,
    taken_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_by       text NOT NULL DEFAULT current_user,
    token          text,
    objects        jsonb NOT NULL
);

CREATE INDEX idx_migration_snapshots_migration ON migrollback_schema.migration_snapshots (migration_name);
CREATE INDEX idx_migration_snapshots_taken_at ON migrollback_schema.migration_snapshots (taken_at);

CREATE TABLE migrollback_schema.migration_events (
    event_number   bigint PRIMARY KEY,
    occurred_at    timestamptz NOT NULL,
    event          text NOT NULL CHECK (event IN (
                       'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed',
                           'rolled_back',
                       'failed', 'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken',
                           'verified', 'dependencies_recorded', 'installed',
                       'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production',
                           'unmarked_production', 'ledger_trust_changed')),
    migration_name text,
    attempt_id     uuid,
    database_user  text NOT NULL,
    client         text,
    reason         text,
    details        jsonb NOT NULL DEFAULT '{}',
    previous_hash  text,
    hash           text NOT NULL
);

CREATE INDEX idx_migration_events_migration ON migrollback_schema.migration_events (migration_name, event_number);
CREATE INDEX idx_migration_events_snapshots ON migrollback_schema.migration_events (event_number)
    WHERE event = 'snapshot_taken';
CREATE INDEX idx_migration_events_deploy ON migrollback_schema.migration_events ((details ->> 'deploy'))
    WHERE details ? 'deploy';
CREATE INDEX idx_migration_events_production ON migrollback_schema.migration_events (event_number)
    WHERE event IN ('marked_production', 'unmarked_production');
CREATE INDEX idx_migration_events_attempt ON migrollback_schema.migration_events (attempt_id)
    WHERE attempt_id IS NOT NULL;

CREATE TABLE migrollback_schema.migration_objects (
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

-- Without a key, and where a publication FOR ALL TABLES publishes it, PostgreSQL refuses to delete or update rows of a
-- table with no identity at all.
ALTER TABLE migrollback_schema.migration_objects REPLICA IDENTITY FULL;
CREATE INDEX idx_migration_objects_migration ON migrollback_schema.migration_objects (migration_name);
CREATE INDEX idx_migration_objects_object ON migrollback_schema.migration_objects (object_id);

-- Whom the owner grants sees all rows; the roles under which Supabase serves the world see none, whatever is granted to
-- them later.
-- These count only where set_migration_row_security() turns row security on.
CREATE POLICY granted_roles ON migrollback_schema.migration_history
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON migrollback_schema.migration_dependencies
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON migrollback_schema.migration_snapshots
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON migrollback_schema.migration_objects
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON migrollback_schema.migration_events
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
