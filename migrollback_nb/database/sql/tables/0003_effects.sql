-- Version 0.2.0: what a migration destroyed, what a replay of it has proven, and inferred dependencies that a person
-- has dismissed: what an assessment is made from.

CREATE TABLE migrollback_schema.migration_destroyed_values (
    migration_name   text NOT NULL,
    statement_number int,
    what             text NOT NULL CHECK (what IN (
                         'column dropped', 'table dropped', 'updated', 'deleted', 'truncated', 'rewritten')),
    identity         text NOT NULL,
    rows             bigint CHECK (rows >= 0),
    estimated        boolean NOT NULL DEFAULT false,
    certain          boolean NOT NULL DEFAULT true,
    source           text NOT NULL CHECK (source IN ('text', 'apply')),
    digest           jsonb CHECK (jsonb_typeof(digest) = 'object'),
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE migrollback_schema.migration_destroyed_values REPLICA IDENTITY FULL;
CREATE INDEX idx_migration_destroyed_values_migration
    ON migrollback_schema.migration_destroyed_values (migration_name);

CREATE TABLE migrollback_schema.migration_proofs (
    migration_name text NOT NULL,
    checksum       text NOT NULL,
    grade          text NOT NULL,
    effects        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(effects) = 'array'),
    differences    jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(differences) = 'array'),
    server_version text,
    -- Where what undoes a file lies in another, or was changed by hand in the history, the checksum does not tell.
    rollback_md5   text,
    client         text,
    proven_by      text NOT NULL DEFAULT current_user,
    proven_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration_name, checksum)
);

CREATE TABLE migrollback_schema.migration_dismissed_dependencies (
    migration_name text NOT NULL,
    depends_on     text NOT NULL,
    reason         text NOT NULL CHECK (btrim(reason, E' \t\r\n') <> ''),
    client         text,
    dismissed_by   text NOT NULL DEFAULT current_user,
    dismissed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration_name, depends_on)
);

CREATE POLICY granted_roles ON migrollback_schema.migration_destroyed_values
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON migrollback_schema.migration_proofs
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON migrollback_schema.migration_dismissed_dependencies
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));

-- The last rehearsal of each migration is asked about by every check and list.
CREATE INDEX idx_migration_events_rehearsed ON migrollback_schema.migration_events (migration_name, event_number)
    WHERE event = 'rehearsed';

ALTER TABLE migrollback_schema.migration_events DROP CONSTRAINT migration_events_event_check;
ALTER TABLE migrollback_schema.migration_events ADD CONSTRAINT migration_events_event_check CHECK (event IN (
    'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed', 'rolled_back', 'failed',
    'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken', 'verified', 'dependencies_recorded',
    'installed', 'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production', 'unmarked_production',
    'ledger_trust_changed', 'upgraded', 'proven', 'dependency_dismissed'));
