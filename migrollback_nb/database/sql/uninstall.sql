-- What rolls the system's own migration back. The line with migrollback_function stands for one line for each
-- function, the last one first: a default of an argument may call another function.
DROP TABLE IF EXISTS migrollback_schema.migration_dependencies;
DROP TABLE IF EXISTS migrollback_schema.migration_dependency_searches;
DROP TABLE IF EXISTS migrollback_schema.migration_history;
DROP TABLE IF EXISTS migrollback_schema.migration_objects;
DROP TABLE IF EXISTS migrollback_schema.migration_destroyed_values;
DROP TABLE IF EXISTS migrollback_schema.migration_proofs;
DROP TABLE IF EXISTS migrollback_schema.migration_dismissed_dependencies;
DROP TABLE IF EXISTS migrollback_schema.migration_policies;
DROP TABLE IF EXISTS migrollback_schema.migration_scope_members;
DROP TABLE IF EXISTS migrollback_schema.migration_scopes;
DROP TABLE IF EXISTS migrollback_schema.migration_event_gate;
DROP TABLE IF EXISTS migrollback_schema.migration_gate;
DROP TABLE IF EXISTS migrollback_schema.migration_states;
DROP TABLE IF EXISTS migrollback_schema.migration_archived_tables;
DROP TABLE IF EXISTS migrollback_schema.migration_archives;
DROP TABLE IF EXISTS migrollback_schema.migration_snapshots;
DROP TABLE IF EXISTS migrollback_schema.migration_events;
DROP TABLE IF EXISTS migrollback_schema.migration_system_files;
DROP FUNCTION IF EXISTS migrollback_schema.migrollback_function;
