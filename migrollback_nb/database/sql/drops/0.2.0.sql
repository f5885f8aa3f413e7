-- What version 0.2.0 took away, or made anew with other arguments or result columns.

DROP FUNCTION IF EXISTS migrollback_schema.schema_token();
DROP FUNCTION IF EXISTS migrollback_schema.migration_not_undone(text[], text);
DROP FUNCTION IF EXISTS migrollback_schema.migration_object_makers();
DROP FUNCTION IF EXISTS migrollback_schema.migration_apply_windows(text[]);
DROP FUNCTION IF EXISTS migrollback_schema.close_migration_rights(boolean);
DROP FUNCTION IF EXISTS migrollback_schema.is_passing_error(text);
-- the argument trail_head is called chain_head now
DROP FUNCTION IF EXISTS migrollback_schema.execute_migration_rollback(
    text, boolean, text, text, uuid, text, text, text, text, jsonb);
DROP FUNCTION IF EXISTS migrollback_schema.execute_migration_rollbacks(
    text[], boolean, text, text, uuid, text, text, text, boolean, text, jsonb);
-- one look at the schema between two migrations
DROP FUNCTION IF EXISTS migrollback_schema.create_migration_snapshot(text, text, text, text[], text);
-- what was written is looked for where the SQL may have written it
DROP FUNCTION IF EXISTS migrollback_schema.migration_catalog_writes(oid, bigint[]);
DROP FUNCTION IF EXISTS migrollback_schema.record_migration_objects(text, oid, bigint[], jsonb);
-- a rehearsal is bounded by max_stall_ms, and found by watch
DROP FUNCTION IF EXISTS migrollback_schema.rehearse_migration_rollback(text, boolean, text, int, text);
DROP FUNCTION IF EXISTS migrollback_schema.rehearse_migration_rollbacks(
    text[], boolean, text, int, boolean, boolean, text);
-- a rollback takes accept_loss too
DROP FUNCTION IF EXISTS migrollback_schema.execute_deploy_rollback(
    text, boolean, text, text, uuid, text, text, text, jsonb);
-- has an argument more, force
DROP FUNCTION IF EXISTS migrollback_schema.resolve_migration(text, text, text, text);
-- verdict schema_restored, and effects
DROP FUNCTION IF EXISTS migrollback_schema.verify_migration_rollback(text[], uuid, uuid, text);
DROP FUNCTION IF EXISTS migrollback_schema.verify_last_rollback(text, text);
DROP FUNCTION IF EXISTS migrollback_schema.infer_migration_dependencies();
-- looks for approvals where a rollback runs outside a transaction
DROP FUNCTION IF EXISTS migrollback_schema.start_migration_rollback(text[], uuid, text, text, jsonb);
-- tells more of each deploy
DROP FUNCTION IF EXISTS migrollback_schema.migration_deploys(text);
-- has an argument more, tries
DROP FUNCTION IF EXISTS migrollback_schema.journal_migration_statement(text, uuid, int, double precision, text, text);
