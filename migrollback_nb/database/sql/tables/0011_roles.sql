-- Version 0.2.0: who audits and who operates, as events; and the person, not the role that was set, in each row.

ALTER TABLE migrollback_schema.migration_events DROP CONSTRAINT migration_events_event_check;
ALTER TABLE migrollback_schema.migration_events ADD CONSTRAINT migration_events_event_check CHECK (event IN (
    'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed', 'rolled_back', 'failed',
    'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken', 'verified', 'dependencies_recorded',
    'installed', 'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production', 'unmarked_production',
    'ledger_trust_changed', 'upgraded', 'proven', 'dependency_dismissed', 'snapshots_pruned', 'policy_changed',
    'approval_requested', 'approval_given', 'request_withdrawn', 'broke_glass', 'role_granted', 'role_revoked'));
CREATE INDEX idx_migration_events_roles ON migrollback_schema.migration_events (event_number)
    WHERE event IN ('role_granted', 'role_revoked');

-- SET ROLE, and a function that runs with its owner's rights, change current_user.
ALTER TABLE migrollback_schema.migration_history ALTER COLUMN applied_by SET DEFAULT session_user;
ALTER TABLE migrollback_schema.migration_snapshots ALTER COLUMN taken_by SET DEFAULT session_user;
ALTER TABLE migrollback_schema.migration_proofs ALTER COLUMN proven_by SET DEFAULT session_user;
ALTER TABLE migrollback_schema.migration_dismissed_dependencies ALTER COLUMN dismissed_by SET DEFAULT session_user;
