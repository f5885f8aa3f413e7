-- Version 0.2.0: the limit of what an installation looks at, as an event; the limit itself is in metadata of the
-- system's own row.

ALTER TABLE migrollback_schema.migration_events DROP CONSTRAINT migration_events_event_check;
ALTER TABLE migrollback_schema.migration_events ADD CONSTRAINT migration_events_event_check CHECK (event IN (
    'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed', 'rolled_back', 'failed',
    'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken', 'verified', 'dependencies_recorded',
    'installed', 'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production', 'unmarked_production',
    'ledger_trust_changed', 'upgraded', 'proven', 'dependency_dismissed', 'snapshots_pruned', 'policy_changed',
    'approval_requested', 'approval_given', 'request_withdrawn', 'broke_glass', 'role_granted', 'role_revoked',
    'archive_restored', 'archives_pruned', 'archive_erased', 'archive_kept', 'taken_over', 'scope_changed'));

CREATE TABLE migrollback_schema.migration_scope_members (
    class_id    oid NOT NULL,
    object_id   oid NOT NULL,
    recorded_in oid NOT NULL,
    PRIMARY KEY (class_id, object_id, recorded_in)
);
CREATE POLICY granted_roles ON migrollback_schema.migration_scope_members
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
