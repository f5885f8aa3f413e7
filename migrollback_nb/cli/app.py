"""The command line: do (`perform`), show (`run`), exit (`main`). The same words as the specification."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from migrollback_nb.cli.arguments import BY_THEMSELVES, COMMANDS, get_parser
from migrollback_nb.cli.terminal import show, show_ledgers, show_list, show_order, show_table, show_tsv
from migrollback_nb.core import results
from migrollback_nb.core.errors import (
    ConfirmationRequired,
    Interrupted,
    MigrationNotFound,
    MigrollbackError,
    Refused,
    SqlFailed,
    UsageError,
)
from migrollback_nb.core.html import visible

if TYPE_CHECKING:
    from migrollback_nb.core.results import ApplyResult, RollbackProgress, SyncResult, Template
    from migrollback_nb.database.progress import Progress, RollbackCallback
    from migrollback_nb.migrations import Migrations


def open_migrations(args: argparse.Namespace, *, interface: str = "cli") -> Migrations:
    """Connect as the common options say; writes nothing."""
    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.migrations import connect

    given = {
        name: value
        for name in ("lock_timeout", "statement_timeout")
        if (value := getattr(args, name, None)) is not None
    }
    return connect(
        getattr(args, "dsn", None),
        schema=getattr(args, "schema", None),
        dir=getattr(args, "dir", None),
        timeouts=Timeouts(**given),
        interface=interface,
    )


def perform(args: argparse.Namespace, db: Migrations, *, progress: RollbackCallback | None = None) -> Any:
    """Do what a parsed command says and return the result of the public method. Writes what that method writes; asks nothing."""
    match args.command:
        case "list":
            return db.list()
        case "check":
            return db.check(args.name)
        case "rollback" if args.dry_run:
            return db.preview(args.name, chain=args.chain, deploy=args.deploy)
        case "rollback":
            db.require_system()
            confirmed = args.confirm
            name = args.deploy if args.deploy is not None else (args.name or "").removesuffix(".sql")
            if confirmed is None and _confirmed_by_variable(name):
                confirmed = name
            if confirmed is None:
                raise ConfirmationRequired(
                    f"{name} was not confirmed",
                    migration_name=name,
                    hint=f"Confirm with --confirm {shlex.quote(name)}.",
                )
            return db.rollback(
                args.name,
                deploy=args.deploy,
                confirm=confirmed,
                reason=args.reason,
                preview=args.preview,
                chain=args.chain,
                trail=args.trail,
                snapshots=args.snapshots,
                progress=progress,
            )
        case "rehearse":
            db.require_system()
            return db.rehearse(
                args.name,
                deploy=args.deploy,
                chain=args.chain,
                on=args.on,
                consent=args.consent,
                lock_timeout=args.lock_timeout,
                statement_timeout=args.statement_timeout,
                progress=progress,
            )
        case "register":
            db.require_system()
            return db.register(args.name)
        case "template":  # of a database that was named: see run
            return db.template(
                args.name, prove=args.prove, on=args.on, own_server=args.own_server, prelude=args.prelude
            )
        case "sync":
            db.require_system()
            return db.sync(deploy=args.deploy)
        case "install":
            return db.install(
                production=args.production,
                reason=args.reason,
                trust_ledger_of=args.trust_ledger_of,
                distrust_ledger_of=args.distrust_ledger_of,
            )
        case "apply":
            db.require_system()
            return db.apply(*args.names, again=args.again, deploy=args.deploy, snapshots=args.snapshots)
        case "history":
            return db.history(
                status=args.status, since=args.since, without_rollback=args.without_rollback, deploy=args.deploy
            )
        case "last":
            return db.last(deploy=args.deploy).migration_name
        case "deploys":
            return db.deploys()
        case "resolve":
            db.require_system()
            return db.resolve(args.name, status=args.status, reason=args.reason)
        case "deps" if args.record:
            _refuse_record_alone(args)
            db.require_system()
            return db.record_dependencies()
        case "deps" if args.infer:
            return db.infer_dependencies(args.name)
        case "deps":
            return db.graph(args.name, depth=args.depth, hide_rolled_back=args.hide_rolled_back)
        case "plan":
            return db.plan(args.name)
        case "verify":
            return db.proof(*args.names, on=args.on, own_server=args.own_server, prelude=args.prelude)
        case "verify-rollback":
            db.require_system()
            return db.verify_rollback(args.name)
        case "snapshot":
            db.require_system()
            return db.snapshot(args.name, args.description)
        case "snapshots":
            return db.snapshots(args.name)
        case "diff":
            return db.diff(args.old, args.new)
        case "runbook":
            return db.runbook(
                args.name,
                ticket=args.ticket,
                chain=args.chain,
                into=args.into,
                dsn_given=getattr(args, "dsn", None) is not None,
            )
        case "report":
            return str(db.report(args.name, args.file))
        case "events" if args.verify:
            return db.verify_events()
        case "events":
            return db.events(args.name)
    raise UsageError(f"{args.command} cannot be run here", hint="Run it in a terminal.")


# -- rows --------------------------------------------------------------------------------------------------------------

#: Commands that ask for rows: how to get them without pandas, and the columns of a table on a terminal.
_ROWS: dict[
    str,
    tuple[Callable[[argparse.Namespace, Migrations], Sequence[Mapping[str, Any]]], tuple[str, ...], tuple[str, ...]],
] = {
    "list": (
        lambda _, db: db.database.queries.list_rollbackable(),
        ("migration_name", "can_rollback", "applied_at", "has_rollback_sql", "blocking_reason"),
        (
            "migration_name",
            "migration_version",
            "applied_at",
            "status",
            "can_rollback",
            "has_rollback_sql",
            "blocking_reason",
            "dependent_migrations",
        ),
    ),
    "history": (
        lambda args, db: db.history_rows(
            status=args.status, since=args.since, without_rollback=args.without_rollback, deploy=args.deploy
        ),
        ("migration_name", "status", "applied_at", "applied_by", "rollback_at", "rollback_by", "notes"),
        (
            "migration_name",
            "migration_version",
            "status",
            "applied_at",
            "applied_by",
            "rollback_at",
            "rollback_by",
            "notes",
            "checksum",
            "rollback_sql",
        ),
    ),
    "deploys": (
        lambda _, db: db.database.queries.deploys(),
        ("label", "deployed_at", "deployed_by", "migrations", "state"),
        ("label", "deployed_at", "deployed_by", "client", "migrations", "applied", "state"),
    ),
    "events": (
        lambda args, db: db.database.queries.events(None if args.name is None else args.name.removesuffix(".sql")),
        ("event_number", "occurred_at", "event", "migration_name", "database_user", "client", "reason"),
        (
            "event_number",
            "occurred_at",
            "event",
            "migration_name",
            "attempt_id",
            "database_user",
            "client",
            "reason",
            "details",
            "previous_hash",
            "hash",
        ),
    ),
    "snapshots": (
        lambda args, db: db.database.queries.snapshots(None if args.name is None else args.name.removesuffix(".sql")),
        ("id", "migration_name", "description", "taken_at", "taken_by", "objects", "bytes"),
        ("id", "migration_name", "description", "taken_at", "taken_by", "objects", "bytes"),
    ),
    "deps": (
        lambda args, db: _dependency_rows(args, db),  # noqa: PLW0108  # it is defined below
        ("migration_name", "depends_on", "status", "depends_on_status", "source", "because"),
        ("migration_name", "depends_on", "status", "depends_on_status", "created_at", "source", "because"),
    ),
}
_INFERRED = ("migration_name", "depends_on", "because", "source", "recorded")


def _refuse_record_alone(args: argparse.Namespace) -> None:
    if not args.infer:
        raise UsageError("--record alone says nothing", hint="Write deps --infer --record.")
    if args.name is not None:
        raise UsageError("--record is for all migrations", hint="Leave the name out.")


def _dependency_rows(args: argparse.Namespace, db: Migrations) -> Sequence[Mapping[str, Any]]:
    rows = db.database.queries.dependencies()
    if args.name is not None:
        from migrollback_nb.core import ordering

        name = db.check(args.name).migration_name
        near = ordering.neighbourhood(
            name, ((row["migration_name"], row["depends_on"]) for row in rows), depth=args.depth
        )
        rows = [row for row in rows if row["migration_name"] in near and row["depends_on"] in near]
    if args.hide_rolled_back:
        rows = [row for row in rows if "rolled_back" not in (row["status"], row["depends_on_status"])]
    return rows


_TITLES = {
    "check": "🔍 Checking rollback status for: {name}\n\n",
    "rehearse": "🔍 Rehearsing the rollback of: {name}\n\n",
    "register": "📝 Registering migration: {name}\n",
    "verify-rollback": "🔍 Verifying the rollback of: {name}\n",
    "template": "📝 Generating rollback template for: {name}\n\n",
    "sync": "🔄 Syncing migration files with database...\n\n",
}


def _confirmed_by_variable(name: str) -> bool:
    """Whether ``MIGROLLBACK_CONFIRM`` is this name, or several of which it is one."""
    given = os.environ.get("MIGROLLBACK_CONFIRM", "")
    return name in (given, *given.replace(",", " ").split())


def _what(args: argparse.Namespace) -> str:
    """What rollback or rehearse is asked for, as its heading says."""
    if (args.name is None) == (args.deploy is None):
        raise UsageError(
            f"{args.command} takes a migration's name or --deploy LABEL, one of them",
            hint="migrollback list and migrollback deploys show them.",
        )
    return args.name if args.deploy is None else f"deploy {args.deploy}"


def _rollback(args: argparse.Namespace, db: Migrations, out: TextIO, err: TextIO, stdin: TextIO, *, talk: bool) -> Any:
    """Show, ask, and roll back what was shown."""
    _what(args)
    preview = db.preview(args.name, chain=args.chain, deploy=args.deploy)
    if args.dry_run or isinstance(preview, results.NothingToRollBack):
        return preview
    db.require_system()
    from migrollback_nb.cli import confirmation
    from migrollback_nb.core.production import is_production

    asked = out if talk else err  # a question among JSON could neither be seen through a pipe nor be read by a program
    production = is_production(preview.target)
    if args.confirm is None and _confirmed_by_variable(
        preview.confirm
    ):  # an empty one is a name that is wrong, not one that was left out
        args.confirm = preview.confirm
    with confirmation.nothing_has_run():
        if args.confirm is None and stdin.isatty():
            confirmation.show_what_runs(db, preview, asked, production=production)
        elif talk or stdin.isatty():
            show_order([name for name, _ in preview.steps], asked)
            show_ledgers(preview.deploy_ledgers, asked)
            if production:
                confirmation.show_target(preview.target, err, production=True)
        if talk or stdin.isatty():
            asked.flush()
            for warning in preview.warnings:
                err.write(f"⚠️  {visible(warning)}\n")
            err.flush()
        if args.confirm is None:
            args.confirm, args.reason = confirmation.ask(
                preview, asked, stdin, production=production, reason=args.reason
            )
    args.preview = args.preview or preview.fingerprint
    with _statement_bar(err) as progress:
        return perform(args, db, progress=progress)


def _as_rows(result: Any) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
    """A result's rows and columns: of a diff one row for each change, of any other result one row."""
    if isinstance(result, results.SchemaDiff):
        return [change.to_dict() for change in result.changes], (
            "change",
            "kind",
            "identity",
            "old_definition",
            "new_definition",
        )
    row = result.to_dict()
    return [row], list(row)


def _print_error(error: MigrollbackError | Interrupted, args: argparse.Namespace, out: TextIO, err: TextIO) -> None:
    err.write(
        f"\n❌ Interrupted. {visible(error.message)}\n"
        if isinstance(error, Interrupted)
        else f"❌ {visible(str(error))}\n"
    )
    if getattr(args, "format", "table") != "json":
        return
    if args.command == "rollback":
        name = getattr(error, "migration_name", None) or getattr(args, "name", None)
        body: dict[str, Any] = {
            "success": False,
            "message": error.message,
            "sql_executed": None,
            "migration_name": name,
        }
        if isinstance(error, Refused):
            body |= {"dependent_migrations": list(error.dependents)}
        elif isinstance(error, Interrupted):
            body |= {"rolled_back": list(error.done)}
    elif args.command == "check" and isinstance(error, MigrationNotFound):
        body = results.CheckResult(
            migration_name=error.name, can_rollback=False, reason="Migration not found"
        ).to_dict()
    else:
        body = {"error": type(error).__name__, "message": error.message, "hint": getattr(error, "hint", None)}
        if args.command == "apply":
            body |= {"migration_name": getattr(error, "migration_name", None), "applied": list(error.done)}
    if isinstance(error, SqlFailed):
        body |= {"sqlstate": error.sqlstate, "statement_number": error.statement_number}
    out.write(results.to_json(body) + "\n")


def run(argv: Sequence[str], out: TextIO | None = None, err: TextIO | None = None, stdin: TextIO | None = None) -> int:
    """Run one command line. Writes what the command writes.

    Parameters
    ----------
    argv : sequence of str
        Without the program's name.
    out, err, stdin : TextIO, optional
        Where results and remarks go and where answers come from; by default the process's own.

    Returns
    -------
    int
        The exit status: 0 done, 1 failed, 2 usage, 3 refused by a safety rule.
    """
    out = out if out is not None else sys.stdout
    err = err if err is not None else sys.stderr
    stdin = stdin if stdin is not None else sys.stdin
    if strange := [word for word in argv if any("\ud800" <= sign <= "\udfff" for sign in word)]:
        # Python keeps bytes that are no UTF-8 as lone surrogates, which no database can hold
        shown = strange[0].encode(errors="backslashreplace").decode()
        err.write(f"❌ {visible(shown)} is not UTF-8\nSet the terminal to UTF-8, or write it in other words.\n")
        return UsageError.exit_code
    place, command = _find_command(argv)
    for_lab: list[str] = []
    if command == "lab" and argv[place + 1 : place + 2] not in (["-h"], ["--help"]):
        argv, for_lab = argv[: place + 1], list(argv[place + 1 :])  # argparse would take jupyter's options for ours
    try:
        args = get_parser(command).parse_args(argv)
    except SystemExit as ended:  # argparse has printed the usage
        return ended.code if isinstance(ended.code, int) else 2
    args.arguments = for_lab
    try:
        try:
            status = _run(args, out, err, stdin)
        except (MigrollbackError, Interrupted) as error:
            out.flush()
            _print_error(error, args, out, err)
            status = error.exit_code
        out.flush()
    except KeyboardInterrupt:
        err.write("\n❌ Interrupted. What was running was cancelled on the server; what was committed before stays.\n")
        return 1
    except BrokenPipeError:
        _write_no_more()  # the reader has seen enough
        return 0
    except OSError as error:
        if error.filename is not None:
            err.write(f"❌ {visible(str(error.filename))}: {error.strerror}\n")
            return 1
        _write_no_more()
        err.write(
            f"❌ The output cannot be written: {error.strerror}\nWhat was asked for may be done all the same:"
            " migrollback history tells.\n"
        )
        return 1
    return status


def _write_no_more() -> None:
    """Without this Python complains once more when it exits."""
    with suppress(OSError, ValueError):  # tests have put something else in its place
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _find_command(argv: Sequence[str]) -> tuple[int, str | None]:
    """Place and name of the command among the arguments; None for a name where there is none or it is unknown."""
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if argv[place] in ("--dsn", "--dir", "--schema", "--format") else 1
    return place, argv[place] if place < len(argv) and argv[place] in COMMANDS else None


def _run(args: argparse.Namespace, out: TextIO, err: TextIO, stdin: TextIO) -> int:
    form = getattr(args, "format", "table")
    if form in ("dot", "svg") and args.command != "deps":
        raise UsageError(f"--format {form} is for deps only", hint="Use table, json or tsv.")
    if args.command in BY_THEMSELVES and (
        given := [name for name in ("dsn", "dir", "schema", "format") if hasattr(args, name)]
    ):
        raise UsageError(
            f"--{given[0]} is not for {args.command}",
            hint=f"Leave it out: {args.command} has a database and a folder of its own.",
        )
    if args.command == "demo":
        from migrollback_nb.cli import demo

        return demo.run(out)
    if args.command == "lab":
        from migrollback_nb.cli import lab

        return lab.run(args.arguments, out)
    if args.command == "install" and args.print_sql:
        from migrollback_nb.database.installation import installation_sql

        if args.production is False or (args.reason is not None and args.production is None):
            raise UsageError(
                "What is printed is a first installation",
                hint="Beside --print leave out --not-production, and --reason without --production.",
            )
        out.write(
            installation_sql(
                getattr(args, "schema", None) or os.environ.get("MIGROLLBACK_SCHEMA") or "public",
                production=bool(args.production),
                reason=args.reason,
            )
        )
        return 0
    if args.command == "verify":
        return _verify(args, form, out, err)
    talk = form == "table"
    if args.command == "template" and not hasattr(args, "dsn"):
        if talk:
            out.write(_TITLES["template"].format(name=visible(args.name)))
        out.flush()
        _print_result(template_by_itself(args), form, out, err)
        return 0
    if talk and args.command in _TITLES:
        named = _what(args) if args.command == "rehearse" else getattr(args, "name", "")
        out.write(_TITLES[args.command].format(name=visible(named)))
    if talk and args.command == "rollback":
        out.write(f"{'🔍 DRY RUN: Rolling back' if args.dry_run else '⚠️ Rolling back'}: {visible(_what(args))}\n\n")
    out.flush()
    with open_migrations(args) as db:
        if args.command == "deps" and (args.infer or args.record) and form in ("dot", "svg"):
            raise UsageError(
                "What is inferred is drawn once it is recorded",
                hint="deps --infer --record, then deps --format " + form,
            )
        if args.command == "deps" and args.infer and not args.record:
            return _print_inferred(args, db, form, out, err)
        if args.command in _ROWS and not getattr(args, "verify", False) and not getattr(args, "record", False):
            return _print_rows(args, db, form, out, err)
        if args.command == "last":
            return _print_last(args, db, form, out, err)
        if args.command == "rollback":
            result = _rollback(args, db, out, err, stdin, talk=talk)
        elif args.command in ("sync", "apply"):
            result = _with_progress(args, db, err)
        elif args.command == "rehearse":
            with _statement_bar(err) as progress:
                result = perform(args, db, progress=progress)
        else:
            result = perform(args, db)
    if result is None:
        err.write("No migration is applied\n")
        return 1
    _print_result(result, form, out, err)
    match result:
        case results.CheckResult(can_rollback=False):
            return 3
        case results.SyncResult() if result.failed:
            return 1
        case results.AuditResult(intact=False) | results.Rehearsal(success=False) | results.SchemaDiff(changes=(_, *_)):
            return 1
        case results.Verification(verdict="differs" | "not as rehearsed"):
            return 1
    return 0


def template_by_itself(args: argparse.Namespace) -> Template:
    """Suggest a rollback block where no database is named: a variable that names one, production perhaps, is not taken for this. Writes only on a scratch database."""
    from migrollback_nb.replay.folder import template

    return template(
        getattr(args, "dir", None),
        args.name,
        prove=args.prove,
        on=args.on,
        own_server=args.own_server,
        prelude=args.prelude,
    )


def _print_result(result: Any, form: str, out: TextIO, err: TextIO) -> None:
    if form == "json":
        out.write(results.to_json(result.to_dict() if hasattr(result, "to_dict") else result) + "\n")
    elif form == "tsv" and not isinstance(result, str):
        show_tsv(*_as_rows(result), out)
    else:
        show(result, out, err)


def _verify(args: argparse.Namespace, form: str, out: TextIO, err: TextIO) -> int:
    """Grade a folder's rollbacks; needs no connection but to the scratch database."""
    from migrollback_nb.cli.junit import junit_xml
    from migrollback_nb.replay.proof import prove_folder

    report = None if args.junit is None else Path(args.junit)
    if report is not None and not report.parent.is_dir():  # said before the work and not after it
        raise UsageError(
            f"{report} cannot be written: there is no folder {report.parent}",
            hint="Make it first, or name another file with --junit.",
        )
    folder = getattr(args, "dir", None)
    with _bar(err) as progress:
        proof = prove_folder(
            folder, args.names, on=args.on, own_server=args.own_server, prelude=args.prelude, progress=progress
        )
    if report is not None:
        try:
            report.write_bytes(junit_xml(proof, suite=str(folder or "migrations"), required=args.require))
        except OSError as error:
            raise UsageError(
                f"{report} cannot be written: {error.strerror}", hint="Name another file with --junit."
            ) from error
    if form == "json":
        out.write(results.to_json(proof.to_dict()) + "\n")
    elif form == "tsv":
        columns = ("migration_name", "grade", "sqlstate", "statement", "differences", "remarks", "reapplies", "seconds")
        rows = [
            migration.to_dict() | {"differences": [str(found) for found in migration.differences]}
            for migration in proof.migrations
        ]
        show_tsv(rows, columns, out)
    else:
        show(proof, out, err)
    if args.require is not None and not proof.migrations:  # a slip in --dir would pass the gate for ever
        err.write(f"❌ There was nothing to grade, so nothing reaches {args.require}\n")
        return 1
    if args.require is not None and (worse := proof.below(args.require)):
        err.write(f"❌ {len(worse)} of {len(proof.migrations)} do not reach {args.require}\n")
        return 1
    return 0


def _print_inferred(args: argparse.Namespace, db: Migrations, form: str, out: TextIO, err: TextIO) -> int:
    rows, remarks = db.inferred_rows(args.name)
    if form == "json":
        out.write(results.to_json(list(rows)) + "\n")
    elif form == "tsv":
        show_tsv(rows, _INFERRED, out)
    else:
        show_table(rows, _INFERRED, out)
    for remark in remarks:
        err.write(f"⚠️  {visible(remark)}\n")
    return 0


def _print_rows(args: argparse.Namespace, db: Migrations, form: str, out: TextIO, err: TextIO) -> int:
    if form in ("dot", "svg"):
        graph = db.graph(args.name, depth=args.depth, hide_rolled_back=args.hide_rolled_back)
        if form == "dot":
            out.write(graph.source)
            return 0
        from migrollback_nb.display import graphs

        if graphs.find_dot() is None:
            raise UsageError(
                "There is no dot to draw with",
                hint='Install Graphviz, or pip install "migrollback-nb[lab]", which brings one.',
            )
        out.write(graphs.svg(graph))
        return 0
    get, short, full = _ROWS[args.command]
    rows = get(args, db)
    if form == "json":
        out.write(results.to_json([{column: row[column] for column in full} for row in rows]) + "\n")
    elif form == "tsv":
        show_tsv(rows, full, out)
    elif args.command == "list":
        show_list(rows, out)
    else:
        show_table(rows, short, out)
    if args.command == "list":
        for warning in db.ledger_warnings():
            err.write(f"⚠️  {visible(warning)}\n")
    return 0


def _print_last(args: argparse.Namespace, db: Migrations, form: str, out: TextIO, err: TextIO) -> int:
    found = db.last(deploy=args.deploy)
    if found.migration_name is not None:
        out.write((results.to_json(found.migration_name) if form == "json" else found.migration_name) + "\n")
    for warning in found.warnings:
        err.write(f"⚠️  {visible(warning)}\n" if found.migration_name is not None else f"{visible(warning)}\n")
    # a deploy of nothing is no failure: a script goes on with an empty name
    return 0 if found.migration_name is not None or args.deploy is not None else 1


@contextmanager
def _bar(err: TextIO) -> Iterator[Progress]:
    """A bar on standard error where that is a terminal, and what moves it."""
    from tqdm import tqdm

    with tqdm(total=0, file=err, disable=not err.isatty(), leave=False, unit=" migrations") as bar:

        def progress(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.n = done
            bar.set_description_str(visible(name)[:40], refresh=True)

        yield progress


@contextmanager
def _statement_bar(err: TextIO) -> Iterator[RollbackCallback | None]:
    """A bar on standard error where that is a terminal, and what moves it; elsewhere nobody asks how far it is."""
    if not err.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=1, file=err, leave=False, dynamic_ncols=True, bar_format="{bar:20} {elapsed} {desc}") as bar:

        def progress(at: RollbackProgress) -> None:
            bar.n = at.fraction or 0
            bar.set_description_str(visible(at.message)[:120], refresh=True)

        yield progress


def _with_progress(args: argparse.Namespace, db: Migrations, err: TextIO) -> SyncResult | ApplyResult:
    """sync or apply, with a bar."""
    db.require_system()
    with _bar(err) as progress:
        if args.command == "sync":
            return db.sync(deploy=args.deploy, progress=progress)
        return db.apply(*args.names, again=args.again, deploy=args.deploy, progress=progress, snapshots=args.snapshots)


def main() -> None:
    """Run the process's command line and exit; the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows question marks instead of a traceback
    sys.exit(run(sys.argv[1:]))
