-- Version 0.2.0: when it was looked for what each migration needs though no file declares it, and where.

CREATE TABLE migrollback_schema.migration_dependency_searches (
    migration_name text PRIMARY KEY,
    searched_in    text NOT NULL CHECK (searched_in IN ('files', 'bodies', 'catalogs', 'nothing')),
    remarks        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(remarks) = 'array'),
    searched_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE POLICY granted_roles ON migrollback_schema.migration_dependency_searches
    USING (current_user NOT IN ('anon', 'authenticated', 'service_role'));

CREATE INDEX idx_migration_dependency_searches_remarks
    ON migrollback_schema.migration_dependency_searches (migration_name) WHERE remarks <> '[]';

-- Cut, for the identity of a function with many arguments is longer than an index takes.
CREATE INDEX idx_migration_objects_identity ON migrollback_schema.migration_objects (left(identity, 400) COLLATE "C");
