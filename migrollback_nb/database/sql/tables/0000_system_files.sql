-- Version 0.2.0: which files of this system have run in this database. Before all others, because install asks it.

CREATE TABLE migrollback_schema.migration_system_files (
    file          text PRIMARY KEY,
    checksum      text NOT NULL,
    version       text NOT NULL,
    run_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    catalog_state text
);

CREATE POLICY granted_roles ON migrollback_schema.migration_system_files
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));
