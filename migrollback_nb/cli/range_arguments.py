"""What plan, rollback, rehearse and converge take: which migrations are meant, and how they go. Writes nothing."""

from __future__ import annotations

from migrollback_nb.cli.archive_arguments import DISABLE_TRIGGERS, ON_CONFLICT, kept
from migrollback_nb.cli.arguments import CHAIN, TIMEOUTS, argument, deploy, select, several, snapshots
from migrollback_nb.cli.command import Argument


def _range(*, of_deploy: str) -> tuple[Argument, ...]:
    """--to, --last, --since and --deploy: what is meant besides names."""
    return (
        argument(
            "--to",
            metavar="NAME",
            migration=True,
            help="instead of names: all that was applied after this migration, which stays applied",
        ),
        argument("--last", type=int, metavar="N", help="instead of names: the last N that were applied"),
        argument(
            "--since",
            metavar="TIME",
            help="instead of names: all that was applied since: 2h, 7d, yesterday, or an ISO time",
        ),
        deploy(of_deploy),
    )


_EACH = argument(
    "--each",
    action="store_true",
    help="each in a transaction of its own, up to the first that fails; what was rolled back before it stays so",
)
_ATTEMPT = argument(
    "--attempt",
    metavar="ID",
    help="a UUID of your own: a job that runs again with it does nothing twice, and says how the first one ended",
)
_CLOSED = "instead of a name: what a selector means, and all that depends on it"

PLAN = (
    several("the migrations: names, or paths of their files, in any order; or selectors"),
    *_range(of_deploy="instead of names: what the deploy of this label brought and is still applied"),
    *select(_CLOSED, without="with --select: leave these out"),
    argument("--chain", action="store_true", help="of a range: with all that depends on it"),
)

ROLLBACK = (
    several("the migrations: names, or paths of their files, in any order; the last applied goes first"),
    *_range(
        of_deploy="instead of names: exactly what the deploy of this label brought, newest first, in one transaction"
        " (exit status 0 when that is nothing, as of any range)"
    ),
    *select(_CLOSED, without="with --select: leave these out"),
    argument("--dry-run", action="store_true", help="show the SQL and run nothing"),
    argument("--chain", action="store_true", help="with all that must be rolled back before it, in one transaction"),
    _EACH,
    argument(
        "--confirm",
        metavar="NAME",
        help=(
            "confirm without being asked: by the migration's name; NAME of --to; LABEL of --deploy; of several names,"
            " --last and --since by the name of the newest (variable MIGROLLBACK_CONFIRM: one or more)"
        ),
    ),
    _ATTEMPT,
    argument("--reason", metavar="TEXT", help="why; goes into the audit log; on production there must be one"),
    argument(
        "--accept-loss",
        action="store_true",
        help="accept that rows or values go, or do not come back; on production it is refused otherwise",
    ),
    argument(
        "--break-glass",
        action="store_true",
        help="without the approvals that a policy asks for, where it lets you: needs --reason, and is loud ever after",
    ),
    snapshots(
        "one before and one after; each: also between the migrations of a chain; none: none, and nothing is verified"
    ),
    argument(
        "--preview", metavar="FINGERPRINT", help="fingerprint of a dry run: refused when anything has changed since"
    ),
    argument(
        "--trail",
        metavar="FILE",
        help="where the audit log is saved before the rollback system itself is rolled back",
    ),
    *kept("what the rollback destroys, for restore-archive"),
    ON_CONFLICT,
    DISABLE_TRIGGERS,
    *TIMEOUTS,
)

REHEARSE = (
    several("the migrations: names, or paths of their files, in any order"),
    *_range(of_deploy="instead of names: exactly what the deploy of this label brought"),
    *select(_CLOSED, without="with --select: leave these out"),
    CHAIN,
    argument(
        "--on",
        metavar="scratch|DSN",
        help="on a copy of the schema, without rows: in a database on this machine, or on another server",
    ),
    argument(
        "--consent",
        action="store_true",
        help="also when undoing does not undo all that the SQL does (nextval, COPY to a file ...)",
    ),
    argument("--lock-timeout", metavar="TIME", help="longest wait for one lock; there is one try (default 500ms)"),
    argument("--statement-timeout", metavar="TIME", help="longest time for all of it (default 30s; 0: no limit)"),
    argument(
        "--max-stall",
        metavar="TIME",
        help=(
            "longest time that others wait behind it; then it is ended, and nothing is known (exit status 3; default"
            " 1s; 0: no limit)"
        ),
    ),
)

CONVERGE = (
    argument(
        "--to-files",
        metavar="DIR",
        nargs="?",
        const="",
        required=True,
        help="the folder of the release that is there now: what it does not hold and is applied is rolled back"
        " (without DIR: the folder of migrations)",
    ),
    argument("--dry-run", action="store_true", help="show what would go and run nothing"),
    argument("--confirm", metavar="DATABASE", help="confirm, by the name of the database"),
    argument(
        "--max",
        type=int,
        default=5,
        metavar="N",
        help="refuse it, exit status 3, when more than N would go (default 5)",
    ),
    argument(
        "--accept-loss",
        action="store_true",
        help="accept that rows or values go, or do not come back: it is refused otherwise",
    ),
    _EACH,
    argument("--preview", metavar="FINGERPRINT", help="fingerprint of a dry run: refused when anything has changed"),
    _ATTEMPT,
    argument("--reason", metavar="TEXT", help="why; goes into the audit log (default: the folder that lacks them)"),
    snapshots("one before and one after; each: also between each two; none: none, and nothing is verified"),
    *TIMEOUTS,
)
