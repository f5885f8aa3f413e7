-- Version 0.2.0: migrations of the earlier tool that were taken over leave an event.

ALTER TABLE migrollback_schema.migration_events DROP CONSTRAINT migration_events_event_check;
ALTER TABLE migrollback_schema.migration_events ADD CONSTRAINT migration_events_event_check CHECK (event IN (
    'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed', 'rolled_back', 'failed',
    'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken', 'verified', 'dependencies_recorded',
    'installed', 'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production', 'unmarked_production',
    'ledger_trust_changed', 'upgraded', 'proven', 'dependency_dismissed', 'snapshots_pruned', 'policy_changed',
    'approval_requested', 'approval_given', 'request_withdrawn', 'broke_glass', 'role_granted', 'role_revoked',
    'archive_restored', 'archives_pruned', 'archive_erased', 'archive_kept', 'taken_over'));
