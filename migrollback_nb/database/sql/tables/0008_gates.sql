-- Version 0.2.0: what is locked while migrations change, and while an event is written. Tables, and not advisory locks:
-- these any role may take, and so stop every rollback.

CREATE TABLE migrollback_schema.migration_gate ();
ALTER TABLE migrollback_schema.migration_gate REPLICA IDENTITY FULL;
CREATE POLICY granted_roles ON migrollback_schema.migration_gate
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));

CREATE TABLE migrollback_schema.migration_event_gate ();
ALTER TABLE migrollback_schema.migration_event_gate REPLICA IDENTITY FULL;
CREATE POLICY granted_roles ON migrollback_schema.migration_event_gate
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
