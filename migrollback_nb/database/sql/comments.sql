-- What the tables and their columns mean.

COMMENT ON TABLE migrollback_schema.migration_history IS
    'One row for each migration that was ever registered: what undoes it, and whether it is applied.';
COMMENT ON COLUMN migrollback_schema.migration_history.id IS 'Identifier of the row.';
COMMENT ON COLUMN migrollback_schema.migration_history.migration_name IS
    'Stem of the migration''s file, for example 20250120_add_user_settings.';
COMMENT ON COLUMN migrollback_schema.migration_history.migration_version IS
    'What its deploy tool calls its version, kept as text: leading digits of the name, for Sqitch the id of the '
    'change.';
COMMENT ON COLUMN migrollback_schema.migration_history.applied_at IS
    'When it was applied by us, or registered after another tool had applied it.';
COMMENT ON COLUMN migrollback_schema.migration_history.applied_by IS 'Database role that applied or registered it.';
COMMENT ON COLUMN migrollback_schema.migration_history.rollback_sql IS
    'SQL that undoes the migration; NULL or empty when there is none.';
COMMENT ON COLUMN migrollback_schema.migration_history.checksum IS
    'SHA-256 (hex) of the file''s text, BOM dropped and CRLF read as LF; NULL when registered without a file.';
COMMENT ON COLUMN migrollback_schema.migration_history.status IS
    'applied; rolled_back: undone; failed: its rollback failed with a permanent error and was undone, so it is still '
    'applied and a person must act.';
COMMENT ON COLUMN migrollback_schema.migration_history.rollback_at IS
    'When it was rolled back; NULL while it is applied.';
COMMENT ON COLUMN migrollback_schema.migration_history.rollback_by IS
    'Database role that rolled it back; NULL while it is applied.';
COMMENT ON COLUMN migrollback_schema.migration_history.notes IS
    'Free text: the reason given with the last rollback or resolution.';
COMMENT ON COLUMN migrollback_schema.migration_history.metadata IS
    'Keys of ours: description; tool (that the file is written for; none for our own format); previous_version (that '
    'of the migration before it in the folder, where the tool keeps only the newest); system (true for our own '
    'migrations), system_version (what is installed); deploy (id of the deploy that brought it, see '
    'migration_deploys()); applied_at_from (where applied_at is not from a run of our own: ledger, the deploy tool''s '
    'own time; ledger, local time, kept without a zone; sync, the time of its registration, for no ledger keeps one); '
    'search_path (schemas the rollback SQL runs under); rollback (what parsing found in '
    'rollback_sql: md5 of the text it was found in, statements as [start byte, bytes, line of the file], '
    'transaction, refused_in_transaction, no_transaction_words (what the file would say so that they run), error, '
    'set_local and set_session (settings that it changes, for the transaction or for longer: all are put back when '
    'it ends), live, not_undone, calls, writes, unseen (each [statement, ...]: what undoing a transaction does not '
    'undo, functions, tables, SQL that is built while it runs), drops (objects: what it destroys)); destroys (what '
    'the up migration destroys: values, objects like those of drops; writes, calls, unseen: whether to look for more '
    'than the text says); rollback_remark (why a block of comments is no '
    'SQL). Other keys are yours.';

COMMENT ON TABLE migrollback_schema.migration_dependencies IS
    'Which migration needs which: migration_name cannot stay applied without depends_on.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.id IS 'Identifier of the row.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.migration_name IS
    'The dependent: must be rolled back first.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.depends_on IS 'The dependency: must be applied first.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.created_at IS 'When the dependency was recorded.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.source IS
    'declared: by -- Depends on: of the file; inferred: by record_migration_dependencies(). Both block and order '
    'alike.';
COMMENT ON COLUMN migrollback_schema.migration_dependencies.because IS
    'The objects that are the reason of an inferred dependency.';

COMMENT ON TABLE migrollback_schema.migration_snapshots IS
    'The schema as it stood at a moment, taken before a risky operation.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.id IS 'Identifier of the snapshot.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.migration_name IS
    'The migration that the snapshot was taken for; it need not be registered yet.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.description IS 'Why it was taken.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.taken_at IS 'When it was taken.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.taken_by IS 'Database role that took it.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.token IS
    'snapshot_token() at that moment: the same token, the same schema.';
COMMENT ON COLUMN migrollback_schema.migration_snapshots.objects IS
    'kind -> identity -> definition, as schema_objects() gives them.';

COMMENT ON TABLE migrollback_schema.migration_events IS
    'Audit log: one row for each thing done or tried. UPDATE, DELETE and TRUNCATE are refused. '
    'verify_migration_events() checks the chain of hashes.';
COMMENT ON COLUMN migrollback_schema.migration_events.event_number IS 'Counts from 1 without gaps.';
COMMENT ON COLUMN migrollback_schema.migration_events.occurred_at IS
    'When it happened (clock time, not the start of the transaction).';
COMMENT ON COLUMN migrollback_schema.migration_events.event IS
    'registered, applied, apply_failed, rehearsed, started, statement_completed, rolled_back, failed, refused, '
    'resolved, checklist_item, history_changed (by hand), snapshot_taken, verified (after a rollback), '
    'dependencies_recorded, installed, upgraded (the system: details from, to), applied_again (by its deploy tool, '
    'after a rollback), missing_in_ledger (its deploy tool no longer holds it), deploy_recorded (a deploy with a '
    'label), marked_production, unmarked_production (see mark_production_database()), ledger_trust_changed (see '
    'trust_ledger_owner()), proven (verify --record), dependency_dismissed (an inferred one), taken_over (of the '
    'earlier tool, by install --take-over).';
COMMENT ON COLUMN migrollback_schema.migration_events.migration_name IS
    'The migration it is about; NULL when it is about the system.';
COMMENT ON COLUMN migrollback_schema.migration_events.attempt_id IS
    'Made by the client for one attempt, so that a connection lost at COMMIT can be resolved.';
COMMENT ON COLUMN migrollback_schema.migration_events.database_user IS 'session_user: SET ROLE does not hide it.';
COMMENT ON COLUMN migrollback_schema.migration_events.client IS
    'Who or what was at the other end, as the client says; else its application_name.';
COMMENT ON COLUMN migrollback_schema.migration_events.reason IS 'The reason that was given.';
COMMENT ON COLUMN migrollback_schema.migration_events.details IS
    'What else is known: sqlstate, message, statement_number, statement, duration_ms, statement_ms (of each), '
    'unchanged, ledger, old and new values, deploy (id of the deploy that brought the migration).';
COMMENT ON COLUMN migrollback_schema.migration_events.previous_hash IS 'hash of the event before; NULL for the first.';
COMMENT ON COLUMN migrollback_schema.migration_events.hash IS 'migration_event_hash() of this row.';

COMMENT ON TABLE migrollback_schema.migration_objects IS
    'What each migration did to which schema object. Rows of a migration that was rolled back stay, until it is '
    'applied again: join migration_history.status.';
COMMENT ON COLUMN migrollback_schema.migration_objects.migration_name IS 'The migration.';
COMMENT ON COLUMN migrollback_schema.migration_objects.action IS
    'created; changed: its catalog row was written, though another migration created it, or it is not known which; '
    'dropped: only of objects that a known migration had created.';
COMMENT ON COLUMN migrollback_schema.migration_objects.kind IS 'Kind of the object, in the words of schema_objects().';
COMMENT ON COLUMN migrollback_schema.migration_objects.identity IS
    'Its name as it was then, in the form of schema_objects().';
COMMENT ON COLUMN migrollback_schema.migration_objects.class_id IS
    'Catalog that holds it, as in pg_depend.classid; a renamed object is found by it. NULL where it is known by name '
    'only.';
COMMENT ON COLUMN migrollback_schema.migration_objects.object_id IS
    'Its oid, as in pg_depend.objid. Of a comment: the oid of what it is about.';
COMMENT ON COLUMN migrollback_schema.migration_objects.column_number IS
    'Number of the column, as in pg_depend.objsubid; 0 for whole objects.';
COMMENT ON COLUMN migrollback_schema.migration_objects.source IS
    'apply: seen in the catalogs while it was applied; parsed: read from the SQL of its file.';
COMMENT ON COLUMN migrollback_schema.migration_objects.recorded_in IS
    'oid of this table at that time: where it is another one now, the database was restored from a dump and the oids '
    'mean nothing.';
COMMENT ON COLUMN migrollback_schema.migration_objects.recorded_at IS 'When it was recorded.';

COMMENT ON COLUMN migrollback_schema.migration_objects.table_identity IS
    'The table that an index, statistics or a sequence belongs to, as it was then; NULL for what names its table '
    'itself, or has none.';

COMMENT ON TABLE migrollback_schema.migration_system_files IS
    'Which files of this system have run here, so that install runs each table file once, and the others again when '
    'they have changed.';
COMMENT ON COLUMN migrollback_schema.migration_system_files.file IS
    'Path of the file in the package; functions stands for all that is run again: functions, triggers, comments.';
COMMENT ON COLUMN migrollback_schema.migration_system_files.checksum IS 'SHA-256 (hex) of its text in the package.';
COMMENT ON COLUMN migrollback_schema.migration_system_files.version IS 'The version of the system that brought it.';
COMMENT ON COLUMN migrollback_schema.migration_system_files.run_at IS 'When it ran, or was found to have run.';
COMMENT ON COLUMN migrollback_schema.migration_system_files.catalog_state IS
    'Hash of the functions and triggers as the catalogs held them after install: where it differs, they were changed '
    'or lost since.';

COMMENT ON TABLE migrollback_schema.migration_destroyed_values IS
    'What the up migration destroyed: rows and values that its rollback does not bring back by itself.';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.migration_name IS 'The migration.';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.statement_number IS
    'Statement of the up migration, counted from 1; NULL where it was found by what the whole of it did.';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.what IS
    'column dropped, table dropped, updated, deleted, truncated, or rewritten (by a change of type).';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.identity IS
    'The table or column, in the form of schema_objects().';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.rows IS
    'How many rows, of a column how many values that are not NULL; NULL where no one counted.';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.estimated IS
    'Whether rows is what the statistics say; false: counted.';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.certain IS
    'false: the text says that it may, for it is decided or built while it runs.';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.source IS
    'text: read from the SQL of its file; apply: seen while it was applied.';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.digest IS
    'Of the values before and after the up migration, where the table had at most 8 MB: rows, keys, columns as '
    'value_digest() gives them. Tells after a rollback whether they came back.';
COMMENT ON COLUMN migrollback_schema.migration_destroyed_values.recorded_at IS 'When it was recorded.';

COMMENT ON TABLE migrollback_schema.migration_proofs IS
    'How verify graded each migration on a scratch database: the newest proof of each text (checksum).';
COMMENT ON COLUMN migrollback_schema.migration_proofs.migration_name IS
    'The migration; it need not be registered here.';
COMMENT ON COLUMN migrollback_schema.migration_proofs.checksum IS
    'Of the file that was replayed, as in migration_history.checksum.';
COMMENT ON COLUMN migrollback_schema.migration_proofs.grade IS
    'As verify calls it: restores, loses_data, differs, fails ...';
COMMENT ON COLUMN migrollback_schema.migration_proofs.effects IS
    'What was not as before after the rollback, as assess_migration() gives effects.';
COMMENT ON COLUMN migrollback_schema.migration_proofs.differences IS 'Schema objects that were not as before.';
COMMENT ON COLUMN migrollback_schema.migration_proofs.server_version IS 'PostgreSQL on which it was replayed.';
COMMENT ON COLUMN migrollback_schema.migration_proofs.rollback_md5 IS
    'md5 of the rollback SQL that ran: the proof counts while that is the registered one.';
COMMENT ON COLUMN migrollback_schema.migration_proofs.client IS 'Program that recorded it.';
COMMENT ON COLUMN migrollback_schema.migration_proofs.proven_by IS 'Database role that recorded it.';
COMMENT ON COLUMN migrollback_schema.migration_proofs.proven_at IS 'When it was recorded.';

COMMENT ON TABLE migrollback_schema.migration_dismissed_dependencies IS
    'Inferred dependencies that a person has found to be none: they are not recorded again.';
COMMENT ON COLUMN migrollback_schema.migration_dismissed_dependencies.migration_name IS 'The dependent.';
COMMENT ON COLUMN migrollback_schema.migration_dismissed_dependencies.depends_on IS 'What it does not depend on.';
COMMENT ON COLUMN migrollback_schema.migration_dismissed_dependencies.reason IS 'Why, in the person''s words.';
COMMENT ON COLUMN migrollback_schema.migration_dismissed_dependencies.client IS 'Program that recorded it.';
COMMENT ON COLUMN migrollback_schema.migration_dismissed_dependencies.dismissed_by IS 'Database role of the person.';
COMMENT ON COLUMN migrollback_schema.migration_dismissed_dependencies.dismissed_at IS 'When it was dismissed.';

COMMENT ON TABLE migrollback_schema.migration_states IS
    'What schema_states() gave when a snapshot was taken around an apply or a rollback: state beside the schema.';
COMMENT ON COLUMN migrollback_schema.migration_states.event_number IS
    'The event snapshot_taken that it belongs to.';
COMMENT ON COLUMN migrollback_schema.migration_states.snapshot IS
    'The snapshot of that event, which several may share: the schema had not changed.';
COMMENT ON COLUMN migrollback_schema.migration_states.moment IS
    'before apply, after apply, before rollback, after rollback; NULL: taken by hand.';
COMMENT ON COLUMN migrollback_schema.migration_states.migrations IS 'The migrations that it was taken for.';
COMMENT ON COLUMN migrollback_schema.migration_states.states IS
    'kind -> identity -> state, as schema_states() gives it.';

COMMENT ON TABLE migrollback_schema.migration_dependency_searches IS
    'When it was looked for what each migration needs though no file declares it.';
COMMENT ON COLUMN migrollback_schema.migration_dependency_searches.migration_name IS
    'The migration that may need others.';
COMMENT ON COLUMN migrollback_schema.migration_dependency_searches.searched_in IS
    'files: its text and the catalogs; bodies: its text is not at hand, and the catalogs and the bodies of its '
    'routines were read; catalogs: these alone, by the database itself; nothing: nothing is known of it.';
COMMENT ON COLUMN migrollback_schema.migration_dependency_searches.remarks IS
    'What it may need and is not certain, as objects with depends_on and because.';
COMMENT ON COLUMN migrollback_schema.migration_dependency_searches.searched_at IS 'When it was looked for.';

COMMENT ON TABLE migrollback_schema.migration_gate IS
    'Has no rows: lock_migrations() locks it, so that one at a time changes migrations. A role without rights here '
    'cannot lock it.';
COMMENT ON TABLE migrollback_schema.migration_event_gate IS
    'Has no rows: it is locked while an event is written, so that the chain of hashes does not fork.';

COMMENT ON TABLE migrollback_schema.migration_policies IS
    'For which commands other people have to approve. set_migration_policy() and remove_migration_policy() alone write '
    'here; a request and an approval are events.';
COMMENT ON COLUMN migrollback_schema.migration_policies.policy_name IS 'By what it is called.';
COMMENT ON COLUMN migrollback_schema.migration_policies.commands IS
    'Of which commands: rollback; resolve, where it is forced.';
COMMENT ON COLUMN migrollback_schema.migration_policies.targets IS
    'Of which migrations: names, with * and ? as in a shell.';
COMMENT ON COLUMN migrollback_schema.migration_policies.conditions IS
    'Verdicts and effects as of assess_migration(), of which one has to hold; none: always.';
COMMENT ON COLUMN migrollback_schema.migration_policies.approvals IS 'How many approvals it takes.';
COMMENT ON COLUMN migrollback_schema.migration_policies.approvers IS
    'Roles that approve, and whose members do; none: any role but the one that asks.';
COMMENT ON COLUMN migrollback_schema.migration_policies.break_glass_by IS
    'Roles that may do without, besides the owner, with a reason.';
COMMENT ON COLUMN migrollback_schema.migration_policies.valid_minutes IS 'How long an approval holds, in minutes.';
COMMENT ON COLUMN migrollback_schema.migration_policies.event_number IS
    'The event policy_changed that made it as it is.';

COMMENT ON TABLE migrollback_schema.migration_archives IS
    'One row for each time that destroyed values were kept: of which event, and what destroyed them. No values.';
COMMENT ON COLUMN migrollback_schema.migration_archives.archive_id IS 'Identifier of the row.';
COMMENT ON COLUMN migrollback_schema.migration_archives.migration_name IS 'The migration.';
COMMENT ON COLUMN migrollback_schema.migration_archives.direction IS
    'What destroyed them: apply (the up migration) or rollback.';
COMMENT ON COLUMN migrollback_schema.migration_archives.event_number IS
    'The event of that in migration_events, which restore_migration_archive() takes.';
COMMENT ON COLUMN migrollback_schema.migration_archives.kept_at IS 'When they were kept.';
COMMENT ON COLUMN migrollback_schema.migration_archives.kept_by IS 'Database role that kept them.';
COMMENT ON COLUMN migrollback_schema.migration_archives.why_not IS
    'Why not all that was destroyed was kept, or can be put back; NULL: all can.';
COMMENT ON COLUMN migrollback_schema.migration_archives.restored_at IS
    'When it was put back the last time; NULL: never.';

COMMENT ON TABLE migrollback_schema.migration_archived_tables IS
    'One row for each table of which something is kept, and where: a table of schema migrollback_archive. No values.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.part IS 'Identifier of the row.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.archive_id IS 'The archive that it is part of.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.kind IS
    'table: all of it; columns: some with the key; rows: those that changed, as they were; compared: all of it, until '
    'it is seen which rows changed.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.relation IS 'Oid of the table when it was kept.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.only_this IS
    'Whether tables that inherit from it are left out, for they are kept apart.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.table_schema IS 'Its schema then.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.table_name IS 'Its name then.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.what IS
    'How it was destroyed: as in migration_destroyed_values.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.columns IS
    'Which columns are kept, and how: see archive_columns(). A column with number 3 is c3 there.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.key_columns IS
    'By which columns its rows are found again; NULL: by none.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.hashed IS
    'Of which columns the hash h is, by which it is seen whether a row is as the migration left it.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.data IS
    'The table of schema migrollback_archive that holds them; NULL: they could not be read.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.rows IS 'How many rows are kept.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.bytes IS 'What they take.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.keys_changed IS
    'Whether the migration changed keys: n1 ... are the new ones.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.why_not IS
    'Why this was not kept, or cannot be put back.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.sequences IS
    'Where its sequences stood before and after.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.written_in IS
    'The transaction''s numbers (xmin) that the migration left in rows that it wrote.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.restored_at IS
    'When it was put back the last time.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.restored_in IS
    'The number (xmin) of the transaction that put it back.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.restored IS 'How many rows are as they were since.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.conflicts IS
    'How many rows were written since, and left as they were.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.differing IS
    'How many rows are not as they were, although they were put back.';
COMMENT ON COLUMN migrollback_schema.migration_archived_tables.failure IS 'Why it could not be put back.';

COMMENT ON TABLE migrollback_schema.migration_scopes IS
    'One row for each scope: a history of its own, of one tenant''s schema. None: the history is of the whole '
    'database.';
COMMENT ON COLUMN migrollback_schema.migration_scopes.scope IS
    'Its name, which the setting migrollback.scope of a session chooses: that of its schema.';
COMMENT ON COLUMN migrollback_schema.migration_scopes.schemas IS
    'The schemas that its snapshots look at, with what these depend on.';
COMMENT ON COLUMN migrollback_schema.migration_scopes.added_at IS 'When it was added.';
COMMENT ON COLUMN migrollback_schema.migration_scopes.added_by IS 'Database role that added it.';

COMMENT ON TABLE migrollback_schema.migration_scope_members IS
    'What snapshots hold beyond the schemas that the installation is limited to, because something of them depended on '
    'it once.';
COMMENT ON COLUMN migrollback_schema.migration_scope_members.class_id IS 'Its catalog, as in pg_depend.';
COMMENT ON COLUMN migrollback_schema.migration_scope_members.object_id IS 'Its oid in that catalog.';
COMMENT ON COLUMN migrollback_schema.migration_scope_members.recorded_in IS
    'Oid of this table then: after a restore from a dump it is another, and the oids mean nothing.';
