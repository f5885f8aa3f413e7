"""The production checklist of the specification as data: its phases, its items, and what can answer each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from migrollback_nb.core.errors import UsageError


class Phase(StrEnum):
    """The three parts of the checklist."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Evidence(StrEnum):
    """Who or what can answer an item. A person may confirm any but `AUDIT_LOG` manually, with a note."""

    PERSON = "person"  #: a person's word, with a note
    CHECK = "check"  #: db.check and db.plan
    REHEARSAL = "rehearsal"  #: the rollback run for real and undone
    PREVIEW = "preview"  #: the dry run
    BACKUP = "backup"  #: a file of pg_dump, or the id of a backup of the user's own
    FILE = "file"  #: the migration's file: still there to be applied again
    FIXED_FILE = "fixed file"  #: the migration's file: changed since
    MAINTENANCE = "maintenance"  #: a hook that switches maintenance mode
    NOTIFICATION = "notification"  #: a hook that notifies people
    AUDIT_LOG = "audit log"  #: only the audit log
    SCHEMA = "schema"  #: the schema, compared with what it was before
    SMOKE_TESTS = "smoke tests"  #: the user's SQL with expected results
    ERROR_RATES = "error rates"  #: pg_stat_database before and after


class Outcome(StrEnum):
    """How an item was answered; spelled as in the events."""

    DONE = "done"  #: it is as it should be
    FAILED = "failed"  #: it was tried, and it is not
    SKIPPED = "skipped"  #: a person skipped it, and said why
    NOTED = "noted"  #: a first half: kept for the other half to be compared with


#: Outcome -> sign and word: no reader has to know colours apart.
WORDS = {
    None: ("○", "open"),
    Outcome.DONE: ("✔", "done"),
    Outcome.FAILED: ("✘", "not in order"),
    Outcome.SKIPPED: ("↷", "skipped"),
    Outcome.NOTED: ("◐", "half done"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the checklist."""

    key: str  #: what events call it
    phase: Phase  #: where it stands
    text: str  #: as the specification words it
    evidence: Evidence  #: who or what can answer it
    help: str  #: what answering it does, in words


def _item(key: str, phase: Phase, text: str, evidence: Evidence, help: str) -> Item:
    return Item(key=key, phase=phase, text=text, evidence=evidence, help=help)


#: The specification's checklist, to the letter and in its order: 8 before, 8 during, 5 after.
ITEMS = (
    _item(
        "staging",
        Phase.BEFORE,
        "Tested rollback in staging environment",
        Evidence.REHEARSAL,
        "Runs the rollback on a copy of the schema, then on the target, where it is undone; nothing stays",
    ),
    _item(
        "application",
        Phase.BEFORE,
        "Verified application code compatible with rolled-back schema",
        Evidence.PERSON,
        "Which version of the application, and who has looked",
    ),
    _item(
        "dependents",
        Phase.BEFORE,
        "Checked for dependent migrations",
        Evidence.CHECK,
        "Asks the database whether it may be rolled back, and what depends on it",
    ),
    _item(
        "backup",
        Phase.BEFORE,
        "Created database backup",
        Evidence.BACKUP,
        "Runs pg_dump into a file, or records the id of your own backup",
    ),
    _item("window", Phase.BEFORE, "Scheduled maintenance window", Evidence.PERSON, "From when to when, and who agreed"),
    _item(
        "notified",
        Phase.BEFORE,
        "Notified team/users of downtime",
        Evidence.NOTIFICATION,
        "Runs your notification hook",
    ),
    _item(
        "reapply",
        Phase.BEFORE,
        "Prepared rollback of rollback plan (re-apply migration)",
        Evidence.FILE,
        "Looks whether the migration's file is here, is the one that was registered, and could be applied again",
    ),
    _item("reason", Phase.BEFORE, "Documented reason for rollback", Evidence.PERSON, "Why; your note is the reason"),
    _item(
        "maintenance_on", Phase.DURING, "Enable maintenance mode", Evidence.MAINTENANCE, "Runs your maintenance hook"
    ),
    _item(
        "dry_run",
        Phase.DURING,
        "Execute dry-run first",
        Evidence.PREVIEW,
        "Asks the database what would run; nothing runs",
    ),
    _item(
        "final_backup",
        Phase.DURING,
        "Take final backup",
        Evidence.BACKUP,
        "Runs pg_dump into a file, or records the id of your own backup",
    ),
    _item(
        "execute",
        Phase.DURING,
        "Execute rollback",
        Evidence.AUDIT_LOG,
        "Looks into the audit log; to roll back, use the rollback panel or the command line",
    ),
    _item(
        "verify",
        Phase.DURING,
        "Verify database state",
        Evidence.SCHEMA,
        "Compares the schema with what it was before the migration",
    ),
    _item(
        "deploy",
        Phase.DURING,
        "Deploy matching application version",
        Evidence.PERSON,
        "Which version, deployed by whom",
    ),
    _item(
        "smoke",
        Phase.DURING,
        "Run smoke tests",
        Evidence.SMOKE_TESTS,
        "Runs your SQL read-only and compares what comes with what you expect",
    ),
    _item(
        "errors",
        Phase.DURING,
        "Monitor error rates",
        Evidence.ERROR_RATES,
        "Before the rollback: keeps the counters of pg_stat_database. After it: compares the rates since with those"
        " before",
    ),
    _item(
        "documented",
        Phase.AFTER,
        "Document what went wrong",
        Evidence.PERSON,
        "What went wrong, or where it is written",
    ),
    _item(
        "mended",  # stored in the audit log: it stays
        Phase.AFTER,
        "Update migration with fixes",
        Evidence.FIXED_FILE,
        "Looks whether the migration's file was changed since it was registered",
    ),
    _item("redeploy", Phase.AFTER, "Plan re-deployment", Evidence.PERSON, "When, and by whom"),
    _item(
        "maintenance_off", Phase.AFTER, "Disable maintenance mode", Evidence.MAINTENANCE, "Runs your maintenance hook"
    ),
    _item("notified_after", Phase.AFTER, "Notify team/users", Evidence.NOTIFICATION, "Runs your notification hook"),
)
_BY_KEY = {item.key: item for item in ITEMS}


def item_of(key: str) -> Item:
    """The item of that key; does not write.

    Raises
    ------
    UsageError
        When there is none.
    """
    if key not in _BY_KEY:
        raise UsageError(f"The checklist has no item {key}", hint=f"Its items: {', '.join(_BY_KEY)}.")
    return _BY_KEY[key]


def items_of(phase: Phase) -> tuple[Item, ...]:
    """The items of one phase, in order; does not write."""
    return tuple(item for item in ITEMS if item.phase == phase)
