-- The triggers of the tables.

CREATE OR REPLACE TRIGGER chain_migration_event BEFORE INSERT ON migrollback_schema.migration_events
    FOR EACH ROW EXECUTE FUNCTION migrollback_schema.chain_migration_event();
CREATE OR REPLACE TRIGGER refuse_event_change BEFORE UPDATE OR DELETE ON migrollback_schema.migration_events
    FOR EACH ROW EXECUTE FUNCTION migrollback_schema.refuse_event_change();
CREATE OR REPLACE TRIGGER refuse_event_truncate BEFORE TRUNCATE ON migrollback_schema.migration_events
    FOR EACH STATEMENT EXECUTE FUNCTION migrollback_schema.refuse_event_change();
-- ALWAYS: session_replication_role = replica must not switch the audit log off.
ALTER TABLE migrollback_schema.migration_events ENABLE ALWAYS TRIGGER chain_migration_event;
ALTER TABLE migrollback_schema.migration_events ENABLE ALWAYS TRIGGER refuse_event_change;
ALTER TABLE migrollback_schema.migration_events ENABLE ALWAYS TRIGGER refuse_event_truncate;

CREATE OR REPLACE TRIGGER guard_history_change BEFORE INSERT OR UPDATE OR DELETE ON migrollback_schema.migration_history
    FOR EACH STATEMENT EXECUTE FUNCTION migrollback_schema.guard_history_change();
CREATE OR REPLACE TRIGGER complete_history_change BEFORE INSERT OR UPDATE ON migrollback_schema.migration_history
    FOR EACH ROW EXECUTE FUNCTION migrollback_schema.complete_history_change();
CREATE OR REPLACE TRIGGER record_history_change AFTER INSERT OR UPDATE OR DELETE ON migrollback_schema.migration_history
    FOR EACH ROW EXECUTE FUNCTION migrollback_schema.record_history_change();
CREATE OR REPLACE TRIGGER refuse_history_truncate BEFORE TRUNCATE ON migrollback_schema.migration_history
    FOR EACH STATEMENT EXECUTE FUNCTION migrollback_schema.refuse_history_truncate();
CREATE OR REPLACE TRIGGER guard_history_change BEFORE INSERT OR UPDATE
    OR DELETE ON migrollback_schema.migration_dependencies
    FOR EACH STATEMENT EXECUTE FUNCTION migrollback_schema.guard_history_change();
CREATE OR REPLACE TRIGGER record_history_change AFTER INSERT OR UPDATE
    OR DELETE ON migrollback_schema.migration_dependencies
    FOR EACH ROW EXECUTE FUNCTION migrollback_schema.record_history_change();
CREATE OR REPLACE TRIGGER refuse_history_truncate BEFORE TRUNCATE ON migrollback_schema.migration_dependencies
    FOR EACH STATEMENT EXECUTE FUNCTION migrollback_schema.refuse_history_truncate();
ALTER TABLE migrollback_schema.migration_history ENABLE ALWAYS TRIGGER guard_history_change;
ALTER TABLE migrollback_schema.migration_history ENABLE ALWAYS TRIGGER complete_history_change;
ALTER TABLE migrollback_schema.migration_history ENABLE ALWAYS TRIGGER record_history_change;
ALTER TABLE migrollback_schema.migration_history ENABLE ALWAYS TRIGGER refuse_history_truncate;
ALTER TABLE migrollback_schema.migration_dependencies ENABLE ALWAYS TRIGGER guard_history_change;
ALTER TABLE migrollback_schema.migration_dependencies ENABLE ALWAYS TRIGGER record_history_change;
ALTER TABLE migrollback_schema.migration_dependencies ENABLE ALWAYS TRIGGER refuse_history_truncate;
