"""The command ``fleet``: its arguments, what it does with many databases at once, and how that is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from migrollback_nb.cli.arguments import argument
from migrollback_nb.cli.command import Call, common, given_timeouts
from migrollback_nb.cli.listing import Listing
from migrollback_nb.core.errors import ConfirmationRequired, UsageError
from migrollback_nb.core.text import one_line

if TYPE_CHECKING:
    from migrollback_nb.fleet.fleet import Fleet
    from migrollback_nb.fleet.plan import FleetPlan
    from migrollback_nb.fleet.results import TargetResult

ACTIONS = ("status", "check", "rollback", "apply", "resume", "report", "install", "register")

ARGUMENTS = (
    argument(
        "action",
        metavar="ACTION",
        choices=ACTIONS,
        help="status, check, rollback, apply, resume, report, install or register",
    ),
    argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="the migrations of check, rollback, apply and register; the run's id for resume and report",
    ),
    argument("--targets", metavar="FILE", either="source", help="TOML file: [[target]] with name, and dsn or service"),
    argument("--services", metavar="PATTERN", either="source", help="all libpq services of such a name, as 'shop-*'"),
    argument(
        "--catalogue", metavar="DSN", either="source", help="database that knows the targets; --query asks it for them"
    ),
    argument(
        "--schemas",
        metavar="PATTERN",
        help="a target for each schema, as 'tenant_*', or a query for them; with --dsn too",
    ),
    argument("--query", metavar="SQL", help="with --catalogue: gives name and dsn of each target; only reads"),
    argument("--deploy", metavar="LABEL", help="instead of names: what the deploy of this label brought"),
    argument("--to", metavar="NAME", help="instead of names: all that was applied after this migration, which stays"),
    argument("--chain", action="store_true", help="with all that must be rolled back before it"),
    argument("--dry-run", action="store_true", help="show what would be done in each target, and do nothing"),
    argument(
        "--preview", metavar="FINGERPRINT", help="of a dry run: refused when any row of the plan is another since"
    ),
    argument("--confirm", metavar="NAME", help="confirm by the migration's name, the deploy's label or --to's name"),
    argument("--reason", metavar="TEXT", help="why; goes into each audit log"),
    argument("--accept-loss", action="store_true", help="accept that rows or values go, or do not come back"),
    argument(
        "--canary", metavar="N", type=int, default=1, help="how many go first, unless labels say which (default 1)"
    ),
    argument("--waves", metavar="N,N", default="", help="how many go then, and then; the rest goes last"),
    argument("--parallel", metavar="N", type=int, default=32, help="how many at a time (default 32)"),
    argument(
        "--max-failures",
        metavar="N",
        type=int,
        default=0,
        help="with more than so many no other is started (default 0)",
    ),
    argument("--run-id", metavar="UUID", help="id of the run; by default a new one"),
    argument("--state", metavar="DSN", help="database that keeps the run; by default a file of the user's"),
    argument(
        "--engine",
        choices=("asyncio", "dbos"),
        help="asyncio (default): this process; dbos: durable, in the database of --state, by several workers",
    ),
    argument("--output", metavar="FILE", help="of report: the file, by default a dated one here"),
)


def run(call: Call) -> Any:
    """Do what ``fleet ACTION`` says. Writes what that writes."""
    return _ACTIONS[call.args.action](call)


def status(call: Call, result: Any) -> int:
    """The exit status: 0 all done, 1 a failure, 3 refused; of check 3 where any may not."""
    action = call.args.action
    if action in ("rollback", "apply", "resume") and hasattr(result, "exit_code"):
        return int(result.exit_code)
    if action in ("rollback", "apply") and hasattr(result, "rows"):  # of a dry run
        return 1 if result.failed else 3 if result.refused else 0
    if action == "check" and isinstance(result, Listing):
        if any(row["status"] not in ("answered", "refused") for row in result.rows):
            return 1
        return 0 if all(row.get("can_rollback") for row in result.rows) else 3
    if action in ("install", "register") and isinstance(result, Listing):
        return 0 if all(row["status"] == "done" for row in result.rows) else 1
    if action == "status" and isinstance(result, Listing):
        return 0 if all(row["status"] == "answered" for row in result.rows) else 1
    return 0


def show(result: Any, out: TextIO, err: TextIO) -> None:
    """Show a result to people."""
    from migrollback_nb.cli.tables import show_table

    if isinstance(result, Listing):
        show_table(result, out)
        return
    out.write(f"{one_line(result.headline if hasattr(result, 'headline') else result.message)}\n\n")
    columns = (
        ("target", "status", "verdict", "headline", "steps")
        if hasattr(result, "headline")
        else ("target", "outcome", "wave", "verification", "message")
    )
    rows = [_shown(row.to_dict()) for row in result.rows]
    show_table(Listing(rows=rows, columns=columns), out)
    if hasattr(result, "headline"):
        err.write(f"\nFingerprint of this plan: {result.fingerprint}\n")


def fleet_of(call: Call, source: Mapping[str, str] | None = None) -> Fleet:
    """The fleet that the options name, else the one that a run began with.

    Raises
    ------
    UsageError
        When none is named.
    """
    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.fleet.fleet import Fleet

    args = call.args
    dsn = common(args, "dsn")
    if (dsn is not None and args.schemas is None) or common(args, "scope") is not None:
        raise UsageError(
            f"{'--dsn' if dsn is not None else '--scope'} is not for fleet",
            hint="Its databases are named by --targets, --services, --catalogue; or --dsn with --schemas.",
        )
    options: dict[str, Any] = {
        "dir": common(args, "dir"),
        "schema": common(args, "schema"),
        "timeouts": Timeouts(**given_timeouts(args)),
        "parallel": args.parallel,
        "interface": "cli" if call.terminal else "magic",
    }
    given = {name: getattr(args, name) for name in ("targets", "services", "catalogue", "query", "schemas")}
    named = {name: value for name, value in given.items() if value is not None} or dict(source or {})
    if bool(named.get("catalogue")) != bool(named.get("query")):
        raise UsageError("--catalogue and --query go together", hint="Give both.")
    options["schemas"] = named.get("schemas")
    if dsn is not None:
        return Fleet([{"name": "database", "dsn": dsn}], **options)
    if "targets" in named:
        return Fleet.from_file(named["targets"], **options)
    if "services" in named:
        return Fleet.from_services(named["services"], **options)
    if "catalogue" in named:
        return Fleet.from_catalogue(named["catalogue"], named["query"], **options)
    raise UsageError(
        "Which databases are meant is not said",
        hint="Give --targets FILE, --services PATTERN, or --catalogue DSN with --query SQL.",
    )


# -- the actions -------------------------------------------------------------------------------------------------------


def _status(call: Call) -> Any:
    fleet = fleet_of(call)
    if not call.terminal:
        return fleet.status()
    rows = fleet.status_rows()
    columns = ("target", "status", "message", "applied", "rolled_back", "failed", "last_applied", "last_applied_at")
    return Listing(rows=_whole(rows, columns), columns=columns, spare=("last_applied_at", "rolled_back"))


def _check(call: Call) -> Any:
    names = call.args.names
    if len(names) != 1:
        raise UsageError("fleet check needs one migration's name", hint="For example: fleet check 20250120_add_tags")
    fleet = fleet_of(call)
    name = names[0].removesuffix(".sql")
    if not call.terminal:
        return fleet.check(name)
    columns = ("target", "status", "can_rollback", "verdict", "headline", "reason", "message")
    return Listing(rows=_whole(fleet.check_rows(name), columns), columns=columns, spare=("message", "headline"))


def _rollback(call: Call) -> Any:
    from migrollback_nb.fleet.fleet import request_of

    args, fleet = call.args, fleet_of(call)
    options = _options(call)
    if args.dry_run:
        return fleet.plan(*args.names, **options)
    preview: FleetPlan | str | None = args.preview
    if args.confirm is None:
        if not call.stdin.isatty():
            wanted = request_of("rollback", args.names, options).confirmed_by
            raise ConfirmationRequired(
                "It was not confirmed", hint=f"Look with --dry-run, then confirm with --confirm {wanted}."
            )
        plan = fleet.plan(*args.names, **options)
        _ask(call, plan)
        preview = preview or plan
    return fleet.rollback(*args.names, confirm=args.confirm, preview=preview, **_carried(call), **options)


def _apply(call: Call) -> Any:
    args, fleet = call.args, fleet_of(call)
    options = {name: value for name, value in _options(call).items() if name not in ("to", "chain", "accept_loss")}
    if args.dry_run:
        return fleet.plan_apply(*args.names, **options)
    return fleet.apply(*args.names, confirm=args.confirm, preview=args.preview, **_carried(call), **options)


def _resume(call: Call) -> Any:
    from migrollback_nb.fleet.journal import open_journal

    run_id = _run_id(call)
    with open_journal(run_id, call.args.state, new=False) as journal:
        fleet = fleet_of(call, journal.entries()[0].get("source"))
    return fleet.resume(
        run_id,
        state=call.args.state,
        engine=call.args.engine,
        waiting=lambda: _remark(call, "Another process is at work on this run: waiting until that has ended."),
        progress=_reporter(call),
    )


def _report(call: Call) -> str:
    from migrollback_nb.fleet.journal import open_journal
    from migrollback_nb.fleet.report import write_report

    with open_journal(_run_id(call), call.args.state, new=False) as journal:
        return str(write_report(journal.run_id, journal.entries(), call.args.output))


def _install(call: Call) -> Any:
    fleet = fleet_of(call)
    if not call.terminal:
        return fleet.install()
    return Listing(rows=_whole(fleet.install_rows(), _INSTALLED), columns=_INSTALLED, spare=("message",))


def _register(call: Call) -> Any:
    fleet, names = fleet_of(call), [name.removesuffix(".sql") for name in call.args.names]
    if not call.terminal:
        return fleet.register(*names)
    rows = _whole(fleet.register_rows(*names), _REGISTERED)
    return Listing(rows=rows, columns=_REGISTERED, spare=("message",))


_INSTALLED = ("target", "status", "outcome", "message")
_REGISTERED = ("target", "status", "migration_name", "outcome", "message")

_ACTIONS: dict[str, Callable[[Call], Any]] = {
    "status": _status,
    "check": _check,
    "rollback": _rollback,
    "apply": _apply,
    "resume": _resume,
    "report": _report,
    "install": _install,
    "register": _register,
}


def _run_id(call: Call) -> str:
    if len(call.args.names) != 1:
        raise UsageError(f"fleet {call.args.action} needs the id of one run", hint="It was printed when the run began.")
    return str(call.args.names[0])


def _options(call: Call) -> dict[str, Any]:
    """What of the options says what is to be done, and how; those that were not given are left out."""
    args = call.args
    names = ("deploy", "to", "chain", "canary", "waves", "parallel", "max_failures", "reason", "accept_loss")
    return {name: getattr(args, name) for name in names if getattr(args, name) not in (None, False, "")}


def _carried(call: Call) -> dict[str, Any]:
    """How a run is carried and told."""
    args = call.args
    return {
        "engine": args.engine or "asyncio",
        "state": args.state,
        "run_id": args.run_id,
        "begun": lambda run_id: _remark(call, f"Run {run_id}"),
        "progress": _reporter(call),
    }


def _reporter(call: Call) -> Callable[[TargetResult], None]:
    def report(result: TargetResult) -> None:
        _remark(call, f"{one_line(result.target)}: {result.outcome}{f', {result.message}' if result.message else ''}")

    return report


def _remark(call: Call, text: str) -> None:
    call.err.write(f"{one_line(text)}\n")
    call.err.flush()


def _ask(call: Call, plan: FleetPlan) -> None:
    """Show the plan and have its confirmation typed. Writes to no database.

    Raises
    ------
    ConfirmationRequired
        When something else is typed.
    """
    asked = call.out if call.speaks else call.err
    show(plan, asked, call.err)
    asked.write(f"\nType {one_line(plan.confirm)} to go on: ")
    asked.flush()
    typed = call.stdin.readline().strip()
    if typed != plan.confirm:
        raise ConfirmationRequired("It was not confirmed", hint="No target was changed.")
    call.args.confirm = typed


def _whole(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    return [{column: row.get(column) for column in columns} for row in rows]


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value for key, value in row.items()}
