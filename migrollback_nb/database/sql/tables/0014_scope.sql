-- Version 0.2.0: scopes, each with a history of its own: tenants in schemas of one database. An installation without
-- any has one history, of the whole database.

ALTER TABLE migrollback_schema.migration_events DROP CONSTRAINT migration_events_event_check;
ALTER TABLE migrollback_schema.migration_events ADD CONSTRAINT migration_events_event_check CHECK (event IN (
    'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed', 'rolled_back', 'failed',
    'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken', 'verified', 'dependencies_recorded',
    'installed', 'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production', 'unmarked_production',
    'ledger_trust_changed', 'upgraded', 'proven', 'dependency_dismissed', 'snapshots_pruned', 'policy_changed',
    'approval_requested', 'approval_given', 'request_withdrawn', 'broke_glass', 'role_granted', 'role_revoked',
    'archive_restored', 'archives_pruned', 'archive_erased', 'archive_kept', 'taken_over', 'scope_added'));

CREATE TABLE migrollback_schema.migration_scope_members (
    class_id    oid NOT NULL,
    object_id   oid NOT NULL,
    recorded_in oid NOT NULL,
    PRIMARY KEY (class_id, object_id, recorded_in)
);
CREATE POLICY granted_roles ON migrollback_schema.migration_scope_members
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));

CREATE TABLE migrollback_schema.migration_scopes (
    scope    text PRIMARY KEY CHECK (scope <> ''),
    schemas  text[] NOT NULL CHECK (cardinality(schemas) > 0 AND array_position(schemas, NULL) IS NULL),
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    added_by text NOT NULL DEFAULT session_user
);
CREATE POLICY granted_roles ON migrollback_schema.migration_scopes
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
