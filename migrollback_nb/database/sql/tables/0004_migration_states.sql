-- Version 0.2.0: what stands beside the schema around an apply or a rollback: sequences, what is switched off, roles.

CREATE TABLE migrollback_schema.migration_states (
    event_number bigint PRIMARY KEY,
    snapshot     uuid NOT NULL,
    moment       text,
    migrations   text[] NOT NULL,
    states       jsonb NOT NULL CHECK (jsonb_typeof(states) = 'object')
);
CREATE INDEX idx_migration_states_snapshot ON migrollback_schema.migration_states (snapshot, event_number);

CREATE POLICY granted_roles ON migrollback_schema.migration_states
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
