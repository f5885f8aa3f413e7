-- ---------------------------------------------------------------------------------------------------
-- Tables. The columns are the specified ones; what else is known of a migration stands in `metadata`.
-- ---------------------------------------------------------------------------------------------------

CREATE TABLE migrollback_schema.migration_history (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    migration_name    text NOT NULL UNIQUE CHECK (migration_name <> ''),
    migration_version text NOT NULL,
    applied_at        timestamptz DEFAULT now(),
    applied_by        text DEFAULT current_user,
    rollback_sql      text,
    checksum          text,
    status            text NOT NULL DEFAULT 'applied' CHECK (status IN ('applied', 'rolled_back', 'failed')),
    rollback_at       timestamptz,
    rollback_by       text,
    notes             text,
    metadata          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object')
);

COMMENT ON TABLE migrollback_schema.migration_history IS
    'One row for each migration that was ever registered: what undoes it, and whether it is in place.';
COMMENT ON COLUMN migrollback_schema.migration_history.id IS 'Identifier of the row.';
COMMENT ON COLUMN migrollback_schema.migration_history.migration_name IS 'Stem of the migration''s file, for example 20250120_add_user_settings.';
COMMENT ON COLUMN migrollback_schema.migration_history.migration_version IS 'What its deploy tool calls its version, kept as text: leading digits of the name, for Sqitch the id of the change.';
COMMENT ON COLUMN migrollback_schema.migration_history.applied_at IS 'When it was applied by us, or registered after another tool had applied it.';
COMMENT ON COLUMN migrollback_schema.migration_history.applied_by IS 'Database role that applied or registered it.';
COMMENT ON COLUMN migrollback_schema.migration_history.rollback_sql IS 'SQL that undoes the migration; NULL or empty when there is none.';
COMMENT ON COLUMN migrollback_schema.migration_history.checksum IS 'SHA-256 (hex) of the file''s text, BOM dropped and CRLF read as LF; NULL when registered without a file.';
COMMENT ON COLUMN migrollback_schema.migration_history.status IS
    'applied: in place; rolled_back: undone; failed: its rollback failed for a lasting reason and was undone, so it is still in place and a person must act.';
COMMENT ON COLUMN migrollback_schema.migration_history.rollback_at IS 'When it was rolled back; NULL while it is in place.';
COMMENT ON COLUMN migrollback_schema.migration_history.rollback_by IS 'Database role that rolled it back; NULL while it is in place.';
COMMENT ON COLUMN migrollback_schema.migration_history.notes IS 'Free text: the reason given with the last rollback or resolution.';
COMMENT ON COLUMN migrollback_schema.migration_history.metadata IS
    'Keys of ours: description; tool (that the file is written for; none for our own format); previous_version (that of the migration before it in the folder, where the tool keeps only the newest); system (true for our own migrations); deploy (id of the deploy that brought it, see migration_deploys()); search_path (schemas the rollback SQL runs under); '
    'rollback (what parsing found in rollback_sql: md5 of the text it was found in, statements as [start byte, bytes, line of the file], '
    'transaction, refused_in_transaction, no_transaction_words (what the file would say so that they run), error, set_local and set_session (settings that it changes, for the transaction or for longer: all are put back when it ends), live, '
    'not_undone, calls, writes, unseen (each [statement, ...]: what undoing a transaction does not undo, functions, tables, SQL that is built while it runs)); rollback_remark (why a block of comments is no SQL). Other keys are yours.';

CREATE INDEX idx_migration_history_version ON migrollback_schema.migration_history (migration_version);
CREATE INDEX idx_migration_history_status ON migrollback_schema.migration_history (status);
CREATE INDEX idx_migration_history_applied_at ON migrollback_schema.migration_history (applied_at);

-- A migration does not depend on itself, and on another one at most once.
CREATE TABLE migrollback_schema.migration_dependencies (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    migration_name text NOT NULL REFERENCES migrollback_schema.migration_history (migration_name),
    depends_on     text NOT NULL REFERENCES migrollback_schema.migration_history (migration_name),
    created_at     timestamptz DEFAULT now(),
    source         text NOT NULL DEFAULT 'declared' CHECK (source IN ('declared', 'inferred')),
    because        text,
    UNIQUE (migration_name, depends_on),
    CONSTRAINT migration_depends_on_another CHECK (migration_name <> depends_on)
);

COMMENT ON TABLE migrollback_schema.migration_dependencies IS
    'Which migration needs which: migration_name cannot stay in place without depends_on.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.id IS 'Identifier of the row.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.migration_name IS 'The dependent: must be rolled back first.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.depends_on IS 'The dependency: must be applied first.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.created_at IS 'When the dependency was recorded.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.source IS
    'declared: by -- Depends on: of the file; inferred: by record_migration_dependencies(). Both block and order alike.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.because IS 'The objects that are the reason of an inferred dependency.';

CREATE INDEX idx_migration_deps_migration ON migrollback_schema.migration_dependencies (migration_name);
CREATE INDEX idx_migration_deps_depends_on ON migrollback_schema.migration_dependencies (depends_on);

CREATE TABLE migrollback_schema.migration_snapshots (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    migration_name text NOT NULL,
    description    text,
    taken_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_by       text NOT NULL DEFAULT current_user,
    token          text,
    objects        jsonb NOT NULL
);

COMMENT ON TABLE migrollback_schema.migration_snapshots IS 'The schema as it stood at a moment, taken before a risky operation.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.id IS 'Identifier of the snapshot.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.migration_name IS 'The migration that the snapshot was taken for; it need not be registered yet.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.description IS 'Why it was taken.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.taken_at IS 'When it was taken.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.taken_by IS 'Database role that took it.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.token IS 'schema_token() at that moment: the same token, the same schema.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.objects IS 'kind -> identity -> definition, as schema_objects() gives them.';

CREATE INDEX idx_migration_snapshots_migration ON migrollback_schema.migration_snapshots (migration_name);
CREATE INDEX idx_migration_snapshots_taken_at ON migrollback_schema.migration_snapshots (taken_at);
