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

CREATE OR REPLACE TRIGGER guard_policy_change BEFORE INSERT OR UPDATE OR DELETE ON migrollback_schema.migration_policies
    FOR EACH ROW EXECUTE FUNCTION migrollback_schema.guard_policy_change();
CREATE OR REPLACE TRIGGER refuse_policy_truncate BEFORE TRUNCATE ON migrollback_schema.migration_policies
    FOR EACH STATEMENT EXECUTE FUNCTION migrollback_schema.guard_policy_change();
ALTER TABLE migrollback_schema.migration_policies ENABLE ALWAYS TRIGGER guard_policy_change;
ALTER TABLE migrollback_schema.migration_policies ENABLE ALWAYS TRIGGER refuse_policy_truncate;

-- There is no CREATE OR REPLACE of one that is deferred.
DO $trigger$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_trigger t
                WHERE t.tgname = 'refuse_kept_rehearsal'
                  AND t.tgrelid = ('migrollback_schema' || '.migration_events')::regclass
                  AND NOT (t.tginitdeferred
                           AND t.tgfoid = ('migrollback_schema' || '.refuse_kept_rehearsal()')::regprocedure)) THEN
        DROP TRIGGER refuse_kept_rehearsal ON migrollback_schema.migration_events;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t
                    WHERE t.tgname = 'refuse_kept_rehearsal'
                      AND t.tgrelid = ('migrollback_schema' || '.migration_events')::regclass) THEN
        CREATE CONSTRAINT TRIGGER refuse_kept_rehearsal AFTER INSERT ON migrollback_schema.migration_events
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (NEW.event = 'broke_glass' AND NEW.details ? 'rehearsal')
            EXECUTE FUNCTION migrollback_schema.refuse_kept_rehearsal();
    END IF;
END $trigger$;
ALTER TABLE migrollback_schema.migration_events ENABLE ALWAYS TRIGGER refuse_kept_rehearsal;
