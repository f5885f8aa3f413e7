-- Version 0.2.0: what was kept of values that a migration or its rollback destroyed. The values are in tables of schema
-- migrollback_archive, which the first archive makes; here is where each of them came from.

CREATE TABLE migrollback_schema.migration_archives (
    archive_id     bigint PRIMARY KEY,
    migration_name text NOT NULL,
    direction      text NOT NULL CHECK (direction IN ('apply', 'rollback')),
    event_number   bigint,
    kept_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    kept_by        text NOT NULL DEFAULT session_user,
    why_not        text,
    restored_at    timestamptz
);
CREATE INDEX idx_migration_archives_migration ON migrollback_schema.migration_archives (migration_name, event_number);

CREATE TABLE migrollback_schema.migration_archived_tables (
    part           bigint PRIMARY KEY,
    archive_id     bigint NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('table', 'columns', 'rows', 'compared')),
    relation       oid NOT NULL,
    only_this      boolean NOT NULL DEFAULT false,
    table_schema   text NOT NULL,
    table_name     text NOT NULL,
    what           text[] NOT NULL,
    columns        jsonb NOT NULL CHECK (jsonb_typeof(columns) = 'array'),
    key_columns    text[],
    hashed         text[],
    data           text,
    rows           bigint,
    bytes          bigint,
    keys_changed   boolean NOT NULL DEFAULT false,
    why_not        text,
    sequences      jsonb,
    written_in     text[] NOT NULL DEFAULT '{}',
    restored_at    timestamptz,
    restored_in    text,
    restored       bigint,
    conflicts      bigint,
    differing      bigint,
    failure        text
);
CREATE INDEX idx_migration_archived_tables_archive ON migrollback_schema.migration_archived_tables (archive_id);

CREATE POLICY granted_roles ON migrollback_schema.migration_archives
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
CREATE POLICY granted_roles ON migrollback_schema.migration_archived_tables
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));

ALTER TABLE migrollback_schema.migration_events DROP CONSTRAINT migration_events_event_check;
ALTER TABLE migrollback_schema.migration_events ADD CONSTRAINT migration_events_event_check CHECK (event IN (
    'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed', 'rolled_back', 'failed',
    'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken', 'verified', 'dependencies_recorded',
    'installed', 'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production', 'unmarked_production',
    'ledger_trust_changed', 'upgraded', 'proven', 'dependency_dismissed', 'snapshots_pruned', 'policy_changed',
    'approval_requested', 'approval_given', 'request_withdrawn', 'broke_glass', 'role_granted', 'role_revoked',
    'archive_restored', 'archives_pruned', 'archive_erased', 'archive_kept'));
