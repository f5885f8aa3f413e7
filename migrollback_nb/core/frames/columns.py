"""The one table of all frames: which columns each has, of which kind, and what each means. Pure; needs no pandas."""

from __future__ import annotations

from dataclasses import dataclass

#: Kinds of columns; `build` says which dtype each is.
TEXT = "text"
SET = "set"  #: one of a closed set of texts
TIME = "time"
SPAN = "span"
MS = "ms"
COUNT = "count"
COUNT_IF_KNOWN = "count if known"
FLAG = "flag"
FLAG_IF_KNOWN = "flag if known"
OBJECT = "object"  #: tuples, dicts

STATUSES = ("applied", "rolled_back", "failed")
VERDICTS = ("ready", "not_rehearsed", "harms", "takes_others", "loses", "blocked")
GRADES = ("restores", "loses_data", "cannot_reapply", "differs", "fails", "unknown", "no_rollback")
EVENTS = (
    "registered", "applied", "apply_failed", "rehearsed", "started", "statement_completed", "rolled_back", "failed",
    "refused", "resolved", "checklist_item", "history_changed", "snapshot_taken", "verified", "dependencies_recorded",
    "installed", "upgraded", "applied_again", "missing_in_ledger", "deploy_recorded", "marked_production",
    "unmarked_production", "ledger_trust_changed", "proven", "dependency_dismissed", "snapshots_pruned",
    "policy_changed", "approval_requested", "approval_given", "request_withdrawn", "broke_glass", "role_granted",
    "role_revoked",
    "archive_restored", "archives_pruned", "archive_erased", "archive_kept", "taken_over", "scope_added",
)  # fmt: skip
CHANGES = ("created", "changed", "reordered", "dropped")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a frame."""

    kind: str  #: one of the kinds above
    meaning: str  #: what it says; ``=table.column``: what COMMENT ON COLUMN of that column says
    words: tuple[str, ...] = ()  #: of a closed set: all of them, in the order in which they sort
    unit: str = ""  #: ms, bytes ...

    @property
    def comment_of(self) -> tuple[str, str] | None:
        """(table, column) whose comment is its meaning; None where it is said here."""
        if not self.meaning.startswith("="):
            return None
        table, _, column = self.meaning[1:].partition(".")
        return table, column


#: What identifies a row, or what it belongs to: frames are merged on these.
KEYS = ("migration_name", "deploy_id", "event_number", "attempt_id", "snapshot_id")

#: One name has one meaning in all frames that hold it, but for `EXCEPTIONS`.
COLUMNS = {
    # keys
    "migration_name": Column(TEXT, "=migration_history.migration_name"),
    "deploy_id": Column(TEXT, "The deploy that brought the migration last; missing where none did."),
    "event_number": Column(COUNT, "=migration_events.event_number"),
    "attempt_id": Column(TEXT, "=migration_events.attempt_id"),
    "snapshot_id": Column(TEXT, "=migration_snapshots.id"),
    # who did what a row tells of, and why
    "actor": Column(TEXT, "Database role that did it (session_user: SET ROLE does not hide it)."),
    "interface": Column(TEXT, "Program at the other end: python, notebook, cli ...; another's application_name."),
    "os_user": Column(TEXT, "User of the machine at the other end, as our own programs say."),
    "host": Column(TEXT, "Name of that machine."),
    "reason": Column(TEXT, "=migration_events.reason"),
    "started_at": Column(TIME, "When it began."),
    "ended_at": Column(TIME, "When it ended; where only its beginning is known, that."),
    "duration_ms": Column(MS, "How long it took; of an attempt, its SQL.", unit="ms"),
    # of a migration
    "migration_version": Column(TEXT, "=migration_history.migration_version"),
    "status": Column(SET, "=migration_history.status", STATUSES),
    "description": Column(TEXT, "What its file says that it is for."),
    "tool": Column(TEXT, "The deploy tool that its file is written for; missing: our own format."),
    "applied_at": Column(TIME, "=migration_history.applied_at"),
    "applied_by": Column(TEXT, "=migration_history.applied_by"),
    "first_applied_at": Column(TIME, "When it was applied or registered for the first time, by the audit log."),
    "apply_count": Column(COUNT, "How often it was applied; the first registration counts."),
    "rollback_at": Column(TIME, "When it was rolled back last; also where it is applied again."),
    "rollback_by": Column(TEXT, "Database role that did so."),
    "rollback_count": Column(COUNT, "How often it was rolled back."),
    "failure_count": Column(COUNT, "How often its rollback failed."),
    "dependents": Column(COUNT, "How many applied migrations depend on it, directly or through others."),
    "file_state": Column(
        SET,
        "Its file beside what was registered of it; unknown where there is no folder or no checksum.",
        ("same", "differs", "missing", "unknown"),
    ),
    "proven": Column(
        SET,
        "The best that is known to have been done with its rollback: it ran; verify graded it `restores`, for this very"
        " text; a rehearsal of it succeeded; nothing.",
        ("rolled_back", "verified", "rehearsed", "never"),
    ),
    "proven_at": Column(TIME, "When that was done last."),
    "verdict": Column(SET, "What is known of its rollback, in one word; missing where it is not applied.", VERDICTS),
    "headline": Column(TEXT, "The verdict in one line."),
    "notes": Column(TEXT, "=migration_history.notes"),
    "checksum": Column(TEXT, "=migration_history.checksum"),
    "rollback_sql": Column(TEXT, "=migration_history.rollback_sql"),
    "can_rollback": Column(FLAG, "Whether no rule forbids to roll it back now."),
    "has_rollback_sql": Column(FLAG, "Whether there is SQL that undoes it."),
    "blocking_reason": Column(TEXT, "Why it may not be rolled back; missing where it may."),
    "dependent_migrations": Column(OBJECT, "Names of the nearest applied dependents, which block it."),
    # dependencies
    "depends_on": Column(TEXT, "=migration_dependencies.depends_on"),
    "depends_on_status": Column(SET, "Status of the dependency.", STATUSES),
    "created_at": Column(TIME, "=migration_dependencies.created_at"),
    "source": Column(SET, "=migration_dependencies.source", ("declared", "inferred")),
    "because": Column(TEXT, "The objects that are the reason of an inferred dependency."),
    "found_in": Column(
        SET,
        "catalog: PostgreSQL knows it; parsed: the up migration names it; rollback: the rollback SQL of the earlier one"
        " names what this one creates, drops or renames; body: it is named inside a function or DO block.",
        ("catalog", "parsed", "rollback", "body"),
    ),
    "recorded": Column(
        SET,
        "How it is recorded; missing where it is not; inferred, no longer found: the registered files give no reason.",
        ("declared", "inferred", "inferred, no longer found"),
    ),
    # graphs
    "tables": Column(OBJECT, "The tables and views that it touched."),
    "mark": Column(
        SET,
        "Its part in the choice: what falls is rolled back with it, what is needed it depends on; missing: none.",
        ("chosen", "falls", "needed"),
    ),
    "step": Column(COUNT_IF_KNOWN, "Its place in the plan of the choice, counted from 1; missing where it stays."),
    "requires": Column(COUNT, "On how many migrations it depends, directly or through others."),
    "newer_outside": Column(COUNT, "How many of its edges lead to dependents that are not shown."),
    "older_outside": Column(COUNT, "How many of its edges lead to dependencies that are not shown."),
    "schema_only": Column(FLAG, "Whether the only reason of the dependency is a schema."),
    "drawn": Column(FLAG, "Whether the picture has a line for it; others follow from lines, or are of no line there."),
    # deploys
    "label": Column(TEXT, "What the deploy was called; without a label, its id."),
    "migrations": Column(COUNT, "How many migrations it brought."),
    "failed": Column(COUNT, "How many migrations could not be applied at first."),
    "rolled_back": Column(COUNT, "How many of what it brought are not applied any more, as its own."),
    "state": Column(
        SET,
        "What is left of it.",
        ("applied", "partly rolled back", "rolled back", "nothing brought"),
    ),
    # events
    "occurred_at": Column(TIME, "=migration_events.occurred_at"),
    "event": Column(SET, "=migration_events.event", EVENTS),
    "details": Column(OBJECT, "=migration_events.details"),
    "hash": Column(TEXT, "=migration_events.hash"),
    # attempts
    "operation": Column(SET, "What was tried.", ("apply", "rollback", "rehearsal")),
    "outcome": Column(
        SET,
        "How it ended; rehearsed: the rollback would succeed; unknown: only its beginning was recorded.",
        ("applied", "rolled_back", "rehearsed", "failed", "refused", "stopped", "unknown"),
    ),
    "in_place": Column(SPAN, "From the apply before it to this rollback."),
    "sqlstate": Column(TEXT, "PostgreSQL's code of the error."),
    # snapshots
    "purpose": Column(TEXT, "=migration_snapshots.description"),
    "taken_at": Column(TIME, "=migration_snapshots.taken_at"),
    "taken_by": Column(TEXT, "=migration_snapshots.taken_by"),
    "objects": Column(COUNT, "How many objects it holds."),
    "bytes": Column(COUNT, "How large it is, as stored.", unit="bytes"),
    # objects of a schema
    "change": Column(SET, "What became of the object; reordered: its columns, nothing else.", CHANGES),
    "kind": Column(TEXT, "Kind of the object: table, column, index, function ..."),
    "identity": Column(TEXT, "The object, schema-qualified and quoted."),
    "old_definition": Column(OBJECT, "What defined it before; missing where it was created."),
    "new_definition": Column(OBJECT, "What defines it after; missing where it was dropped."),
    "schema": Column(TEXT, "The schema of the object, without quotes; missing where none holds it."),
    "table": Column(
        TEXT,
        "The table or view that the object is or belongs to, as schema.name; also of an index, constraint, trigger.",
    ),
    "object": Column(TEXT, "The object's own name, without quotes."),
    "action": Column(SET, "=migration_objects.action", ("created", "changed", "dropped")),
    "recorded_at": Column(TIME, "=migration_objects.recorded_at"),
    "recorded_by": Column(SET, "=migration_objects.source", ("apply", "parsed")),
    # moments
    "status_at": Column(TIME, "From when on it stood so."),
    "earliest_at": Column(TIME, "The snapshot before it: it happened after this."),
    "latest_at": Column(TIME, "The snapshot that has it, or now: it happened before this."),
    # two databases
    "difference": Column(
        SET,
        "Where it is, or what is not alike; text: its file or its rollback SQL.",
        ("only in a", "only in b", "status", "text"),
    ),
    "a_status": Column(SET, "Status in the first database; missing where it is not there.", STATUSES),
    "b_status": Column(SET, "Status in the second.", STATUSES),
    "a_applied_at": Column(TIME, "When it was applied in the first database."),
    "b_applied_at": Column(TIME, "When it was applied in the second."),
    "a_checksum": Column(TEXT, "Of its file, in the first database."),
    "b_checksum": Column(TEXT, "Of its file, in the second."),
    # checklists
    "run": Column(COUNT, "Number of the event that applied the migration: each apply has a run of its own."),
    "ticket": Column(TEXT, "The ticket that was named last."),
    "rolled_back_at": Column(TIME, "The rollback that the checklist was for; missing where none followed."),
    "complete": Column(FLAG, "Whether no item is missing."),
    "answered": Column(COUNT, "How many items are done or skipped."),
    "missing": Column(OBJECT, "Items that are neither done nor skipped, in order."),
    # rehearsals
    "rehearsed_at": Column(TIME, "When it was rehearsed."),
    "message": Column(TEXT, "How it ended, in words."),
    "failed_migration": Column(TEXT, "The migration whose rollback would fail."),
    "steps": Column(OBJECT, "The migrations that it is about, in the order of their rollback."),
    "longest_lock_ms": Column(
        MS, "How long the longest of its locks was held; missing where none was kept.", unit="ms"
    ),
    "rows_lost": Column(COUNT_IF_KNOWN, "How many rows the rollback would destroy."),
    "created": Column(COUNT, "How many schema objects it would create."),
    "changed": Column(COUNT, "How many it would change."),
    "dropped": Column(COUNT, "How many it would drop."),
    "broken": Column(COUNT, "How many functions and views would no longer work."),
    "fingerprint": Column(TEXT, "Of SQL, schema and dependents: the argument preview of a rollback."),
    "made_by": Column(OBJECT, "The migrations that created or changed the object."),
    "named": Column(OBJECT, "Whether the rollback SQL names it."),
    "foreign": Column(OBJECT, "Whether it belongs to another migration."),
    "relation": Column(TEXT, "The table, view or index."),
    "column": Column(TEXT, "The column that is dropped; missing where whole rows are meant."),
    "what": Column(TEXT, "By which operation rows or values go."),
    "rows": Column(COUNT_IF_KNOWN, "How many rows, of a column how many values that are not NULL."),
    "exact": Column(FLAG, "Whether they were counted; else it is what the statistics say."),
    "mode": Column(TEXT, "The lock, as PostgreSQL's manual names it: ACCESS EXCLUSIVE."),
    "statement_number": Column(COUNT, "The statement of its rollback SQL, counted from 1."),
    "held_ms": Column(MS, "From when that statement began until the end of the SQL.", unit="ms"),
    "statement": Column(TEXT, "Its text."),
    "line": Column(COUNT_IF_KNOWN, "Line of the migration's file."),
    "certain": Column(FLAG, "Whether it certainly breaks; else it names what goes."),
    "used_by": Column(OBJECT, "What calls it: views, policies, triggers ..."),
    "pid": Column(COUNT, "Process of the server."),
    "application_name": Column(TEXT, "What its program calls itself."),
    "waits": Column(FLAG, "Whether it waits for a lock."),
    "for_us": Column(FLAG, "Whether it waits for one that the rehearsal holds."),
    # approvals
    "request": Column(COUNT, "Number of the request: that of its event."),
    "command": Column(SET, "What is to be approved; resolve: by force.", ("rollback", "resolve")),
    "needed": Column(COUNT_IF_KNOWN, "How many approvals it takes."),
    "has": Column(COUNT_IF_KNOWN, "How many of them hold now; missing once it has ended."),
    "approved_by": Column(OBJECT, "The roles whose approvals hold."),
    "expires_at": Column(TIME, "Until when they are as many."),
    "requested_by": Column(TEXT, "Database role that asked."),
    "requested_at": Column(TIME, "When it asked."),
    "policies": Column(OBJECT, "The policies that ask for approvals."),
    "policy": Column(TEXT, "=migration_policies.policy_name"),
    "says": Column(TEXT, "The policy in one line."),
    "approvals": Column(COUNT, "=migration_policies.approvals"),
    "approvers": Column(OBJECT, "=migration_policies.approvers"),
    "targets": Column(OBJECT, "=migration_policies.targets"),
    "conditions": Column(OBJECT, "=migration_policies.conditions"),
    "commands": Column(OBJECT, "=migration_policies.commands"),
    "break_glass_by": Column(OBJECT, "=migration_policies.break_glass_by"),
    "valid_for": Column(SPAN, "How long an approval holds."),
    "changed_by": Column(TEXT, "Database role that changed it last."),
    "changed_at": Column(TIME, "When that was."),
    # roles
    "role_name": Column(TEXT, "The database role, as it was called when it was granted."),
    "granted_by": Column(TEXT, "Database role that granted it."),
    "granted_at": Column(TIME, "When it was granted."),
    "finding": Column(TEXT, "What of it is not so any more; missing where all of it is."),
    # proofs
    "is_registered": Column(FLAG, "Whether it is about the text and rollback SQL that are registered now: it counts."),
    "server_version": Column(TEXT, "=migration_proofs.server_version"),
    "grade": Column(SET, "=migration_proofs.grade", GRADES),
    "differences": Column(OBJECT, "Schema objects that were not as before."),
    "effects": Column(OBJECT, "What else was not as before after the rollback."),
    "remarks": Column(OBJECT, "What else there is to say of the proof."),
    "reapplies": Column(FLAG_IF_KNOWN, "Whether it can be applied again after its rollback; missing: not tried."),
}

#: (frame, column) -> the column, where another word would help no one.
EXCEPTIONS = {
    ("approvals", "state"): Column(
        SET,
        "How the request stands now; void: something has changed since.",
        ("waiting", "approved", "expired", "used", "withdrawn", "void"),
    ),
    ("dependencies", "status"): Column(SET, "Status of the dependent.", STATUSES),
    ("graph edges", "status"): Column(SET, "Status of the dependent.", STATUSES),
    ("roles", "kind"): Column(SET, "What it was granted to be.", ("auditor", "operator", "approver", "requester")),
    ("proofs", "proven_at"): Column(TIME, "=migration_proofs.proven_at"),
    ("rehearsal broken", "because"): Column(TEXT, "Why it would no longer work."),
    ("rehearsal sessions", "state"): Column(TEXT, "What the session does: active, idle in transaction ..."),
}

#: Frame -> its columns, in order.
FRAMES = {
    "list": (
        "migration_name", "migration_version", "applied_at", "status", "can_rollback", "has_rollback_sql",
        "blocking_reason", "dependent_migrations", "verdict", "headline",
    ),
    "history": (
        "migration_name", "migration_version", "status", "applied_at", "applied_by", "rollback_at", "rollback_by",
        "notes", "verdict", "proven", "proven_at", "dependents", "file_state", "deploy_id", "first_applied_at",
        "apply_count", "rollback_count", "failure_count", "description", "tool", "checksum", "rollback_sql",
    ),
    "deploys": (
        "deploy_id", "label", "started_at", "ended_at", "actor", "interface", "migrations", "failed", "rolled_back",
        "state", "duration_ms",
    ),
    "roles": ("kind", "role_name", "granted_by", "granted_at", "finding"),
    "dependencies": (
        "migration_name", "depends_on", "status", "depends_on_status", "created_at", "source", "because",
    ),
    "inferred": ("migration_name", "depends_on", "because", "found_in", "recorded"),
    "events": (
        "event_number", "occurred_at", "event", "migration_name", "attempt_id", "actor", "interface", "os_user",
        "host", "reason", "details", "hash",
    ),
    "attempts": (
        "attempt_id", "operation", "migration_name", "outcome", "started_at", "ended_at", "in_place", "duration_ms",
        "sqlstate", "actor", "interface", "os_user", "host", "reason",
    ),
    "approvals": (
        "request", "state", "migration_name", "steps", "command", "needed", "has", "approved_by", "expires_at",
        "requested_by", "requested_at", "reason", "policies", "verdict", "headline", "fingerprint",
    ),
    "policy": (
        "policy", "says", "approvals", "approvers", "targets", "conditions", "commands", "valid_for", "break_glass_by",
        "changed_by", "changed_at", "reason",
    ),
    "snapshots": ("snapshot_id", "migration_name", "purpose", "taken_at", "taken_by", "objects", "bytes"),
    "graph nodes": (
        "migration_name", "status", "applied_at", "applied_by", "tables", "mark", "step", "dependents", "requires",
        "newer_outside", "older_outside", "has_rollback_sql",
    ),
    "graph edges": (
        "migration_name", "depends_on", "status", "depends_on_status", "source", "because", "schema_only", "recorded",
        "drawn",
    ),
    "schema changes": ("change", "kind", "identity", "old_definition", "new_definition"),
    "rehearsal changes": (
        "change", "kind", "identity", "made_by", "named", "foreign", "old_definition", "new_definition",
    ),
    "rehearsal rows": ("relation", "column", "what", "rows", "exact", "sqlstate"),
    "rehearsal locks": ("relation", "kind", "mode", "migration_name", "statement_number", "held_ms"),
    "rehearsal statements": ("migration_name", "statement_number", "statement", "line", "duration_ms"),
    "rehearsal broken": ("kind", "identity", "because", "certain", "sqlstate", "used_by"),
    "rehearsal sessions": (
        "pid", "actor", "application_name", "state", "relation", "mode", "waits", "for_us",
    ),
    "objects": (
        "migration_name", "action", "kind", "schema", "table", "object", "identity", "recorded_at", "recorded_by",
    ),
    "rehearsals": (
        "event_number", "migration_name", "rehearsed_at", "outcome", "message", "sqlstate", "failed_migration", "steps",
        "duration_ms", "longest_lock_ms", "rows_lost", "created", "changed", "dropped", "broken", "fingerprint",
        "actor", "interface", "os_user", "host",
    ),
    "rehearsals locks": (
        "event_number", "rehearsed_at", "migration_name", "relation", "kind", "mode", "statement_number", "held_ms",
    ),
    "rehearsals rows": (
        "event_number", "rehearsed_at", "migration_name", "relation", "column", "what", "rows", "exact",
    ),
    "rehearsals changes": (
        "event_number", "rehearsed_at", "migration_name", "change", "kind", "schema", "table", "object", "identity",
    ),
    "checklists": (
        "migration_name", "run", "ticket", "started_at", "ended_at", "rolled_back_at", "complete", "answered",
        "missing", "actor", "interface", "os_user", "host",
    ),
    "proofs": (
        "migration_name", "grade", "is_registered", "proven_at", "server_version", "effects", "differences", "actor",
        "interface", "os_user", "host", "checksum",
    ),
    "at": (
        "migration_name", "status", "status_at", "event", "event_number", "deploy_id", "actor", "interface", "os_user",
        "host",
    ),
    "changes": (
        "change", "kind", "schema", "table", "object", "identity", "made_by", "old_definition", "new_definition",
    ),
    "drift": (
        "change", "kind", "schema", "table", "object", "identity", "earliest_at", "latest_at", "old_definition",
        "new_definition",
    ),
    "comparison": (
        "migration_name", "difference", "a_status", "b_status", "a_applied_at", "b_applied_at", "a_checksum",
        "b_checksum",
    ),
    "schema comparison": (
        "change", "kind", "schema", "table", "object", "identity", "old_definition", "new_definition",
    ),
    "proof": (
        "migration_name", "grade", "sqlstate", "statement", "differences", "effects", "remarks", "reapplies",
        "duration_ms",
    ),
}  # fmt: skip


def columns_of(frame: str) -> dict[str, Column]:
    """Name -> column of a frame, in order; pure.

    Examples
    --------
    >>> columns_of("snapshots")["bytes"].unit
    'bytes'
    """
    return {name: EXCEPTIONS.get((frame, name), COLUMNS[name]) for name in FRAMES[frame]}
