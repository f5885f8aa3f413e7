-- Version 0.2.0: for which rollbacks other people have to approve. A request and an approval are events: so no second
-- copy of them can be forged, and who gave one is stamped by the trigger of that table.

CREATE TABLE migrollback_schema.migration_policies (
    policy_name    text PRIMARY KEY CHECK (policy_name ~ '^[[:alnum:]_][[:alnum:]_.-]{0,62}$'),
    commands       text[] NOT NULL CHECK (commands <@ '{rollback,resolve}' AND cardinality(commands) > 0),
    targets        text[] NOT NULL CHECK (cardinality(targets) > 0 AND array_position(targets, NULL) IS NULL),
    conditions     text[] NOT NULL CHECK (array_position(conditions, NULL) IS NULL),
    approvals      int NOT NULL CHECK (approvals BETWEEN 1 AND 9),
    approvers      text[] NOT NULL CHECK (array_position(approvers, NULL) IS NULL),
    break_glass_by text[] NOT NULL CHECK (array_position(break_glass_by, NULL) IS NULL),
    valid_minutes  numeric NOT NULL CHECK (valid_minutes > 0 AND valid_minutes <= 43200),
    event_number   bigint NOT NULL
);
CREATE POLICY granted_roles ON migrollback_schema.migration_policies
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));

CREATE INDEX idx_migration_events_requests ON migrollback_schema.migration_events ((details -> 'names'))
    WHERE event = 'approval_requested';
CREATE INDEX idx_migration_events_approvals ON migrollback_schema.migration_events ((details ->> 'request'))
    WHERE event IN ('approval_given', 'request_withdrawn');
CREATE INDEX idx_migration_events_approved ON migrollback_schema.migration_events ((details #>> '{approval,request}'))
    WHERE details ? 'approval';
CREATE INDEX idx_migration_events_broken_glass ON migrollback_schema.migration_events (event_number)
    WHERE event = 'broke_glass';
CREATE INDEX idx_migration_events_policies ON migrollback_schema.migration_events ((details ->> 'policy'), event_number)
    WHERE event = 'policy_changed';

ALTER TABLE migrollback_schema.migration_events DROP CONSTRAINT migration_events_event_check;
ALTER TABLE migrollback_schema.migration_events ADD CONSTRAINT migration_events_event_check CHECK (event IN (
    'registered', 'applied', 'apply_failed', 'rehearsed', 'started', 'statement_completed', 'rolled_back', 'failed',
    'refused', 'resolved', 'checklist_item', 'history_changed', 'snapshot_taken', 'verified', 'dependencies_recorded',
    'installed', 'applied_again', 'missing_in_ledger', 'deploy_recorded', 'marked_production', 'unmarked_production',
    'ledger_trust_changed', 'upgraded', 'proven', 'dependency_dismissed', 'snapshots_pruned', 'policy_changed',
    'approval_requested', 'approval_given', 'request_withdrawn', 'broke_glass'));
