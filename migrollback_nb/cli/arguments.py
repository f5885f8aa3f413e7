"""What the command line takes: commands, their arguments, and the help to each. Reads nothing and writes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from migrollback_nb.core.version import __version__

_EPILOG = """\
exit status: 0 done, or nothing to do; 1 failed; 2 wrong usage; 3 refused by a safety rule, nothing was changed.
Results go to standard output, remarks to standard error.

The database is named by --dsn, else by the first of MIGROLLBACK_DSN, DATABASE_URL, SUPABASE_DB_URL, PGSERVICE, PGHOST ... that is set.

A database is production when install --production has marked it, or when MIGROLLBACK_PRODUCTION matches its host, its database or host:port/database
(patterns as *.prod.example.com, shop_live, separated by commas). There a rollback needs a reason, and a person types its name.
"""


def _common_options(parser: argparse.ArgumentParser) -> None:
    # SUPPRESS: given before or after the command, the one that is given counts and the other's default does not undo it
    group = parser.add_argument_group("common options, before or after the command")
    group.add_argument(
        "--dsn",
        default=argparse.SUPPRESS,
        metavar="DSN",
        help="connection URI or key=value string, or embedded[/DATABASE] (variable MIGROLLBACK_DSN)",
    )
    group.add_argument(
        "--dir",
        default=argparse.SUPPRESS,
        metavar="FOLDER",
        help="folder of migrations (variable MIGROLLBACK_DIR; else supabase/migrations or migrations)",
    )
    group.add_argument(
        "--schema",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="schema of the rollback system (variable MIGROLLBACK_SCHEMA; else public)",
    )
    group.add_argument(
        "--format",
        default=argparse.SUPPRESS,
        choices=("table", "json", "tsv", "dot", "svg"),
        help="how results are printed; dot and svg only by deps",
    )


def _name(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", help="the migration, with or without .sql")


def _timeouts(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--lock-timeout", metavar="TIME", help="longest wait for one lock, before it is tried again (default 500ms)"
    )
    made.add_argument("--statement-timeout", metavar="TIME", help="longest run of the SQL (default 10min; 0: no limit)")


def _snapshots(made: argparse.ArgumentParser, text: str) -> None:
    made.add_argument(
        "--snapshots",
        choices=("ends", "each", "none"),
        default="ends",
        help=f"snapshots of the schema: {text} (default ends)",
    )


def _snapshot_arguments(made: argparse.ArgumentParser) -> None:
    _name(made)
    made.add_argument("description", metavar="TEXT", nargs="?", help="why it is taken")


def _snapshots_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", nargs="?", help="only those taken for this migration")


def _diff_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "old", metavar="A", help="id of a snapshot or its beginning, or a migration: the newest taken for it"
    )
    made.add_argument("new", metavar="B", nargs="?", default="now", help="another one, or now (default)")


def _deploy(made: argparse.ArgumentParser, text: str) -> None:
    made.add_argument("--deploy", metavar="LABEL", help=text)


_DEPLOY_TO = (
    "label of the deploy that these belong to, for rollback --deploy; several calls with one label add to one deploy"
)


def _sync_arguments(made: argparse.ArgumentParser) -> None:
    _deploy(made, _DEPLOY_TO)


def _last_arguments(made: argparse.ArgumentParser) -> None:
    _deploy(made, "the last of what this deploy brought and is still applied; prints nothing when there is none")


def _rollback_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", nargs="?", help="the migration, with or without .sql")
    _deploy(
        made,
        "instead of a name: exactly what the deploy of this label brought, newest first, in one transaction (exit"
        " status 0 when that is nothing)",
    )
    made.add_argument("--dry-run", action="store_true", help="show the SQL and run nothing")
    made.add_argument(
        "--chain", action="store_true", help="with all that must be rolled back before it, in one transaction"
    )
    made.add_argument(
        "--confirm",
        metavar="NAME",
        help=(
            "confirm without being asked, by the migration's name or the deploy's label (variable MIGROLLBACK_CONFIRM:"
            " one or more)"
        ),
    )
    made.add_argument(
        "--reason", metavar="TEXT", help="why; goes into the audit trail; on production there must be one"
    )
    _snapshots(made, "one before and one after; also between the migrations of a chain; none, and nothing is verified")
    made.add_argument(
        "--preview", metavar="FINGERPRINT", help="fingerprint of a dry run: refused when anything has changed since"
    )
    made.add_argument(
        "--trail",
        metavar="FILE",
        help="where the audit trail is saved before the rollback system itself is rolled back",
    )
    _timeouts(made)


def _rehearse_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", nargs="?", help="the migration, with or without .sql")
    _deploy(made, "instead of a name: exactly what the deploy of this label brought")
    made.add_argument("--chain", action="store_true", help="with all that must be rolled back before it")
    made.add_argument(
        "--on",
        metavar="scratch|DSN",
        help="on a copy of the schema, without rows: in a database on this machine, or on another server",
    )
    made.add_argument(
        "--consent",
        action="store_true",
        help="also when undoing does not undo all that the SQL does (nextval, COPY to a file ...)",
    )
    made.add_argument(
        "--lock-timeout", metavar="TIME", help="longest wait for one lock; there is one try (default 500ms)"
    )
    made.add_argument(
        "--statement-timeout", metavar="TIME", help="longest time for all of it (default 30s; 0: no limit)"
    )


def _install_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--print", dest="print_sql", action="store_true", help="print its SQL for psql instead; needs no database"
    )
    mark = made.add_mutually_exclusive_group()
    mark.add_argument(
        "--production",
        dest="production",
        action="store_true",
        default=None,
        help=(
            "mark the database as production: a rollback there needs a reason, and a person types the migration's name"
        ),
    )
    mark.add_argument(
        "--not-production",
        dest="production",
        action="store_false",
        default=None,
        help="take that mark away; needs --reason",
    )
    made.add_argument(
        "--reason", metavar="TEXT", help="why it is marked, or is not production any more; goes into the audit trail"
    )
    made.add_argument(
        "--trust-ledger-of",
        metavar="ROLE",
        action="append",
        default=[],
        help="read and write ledgers of deploy tools that belong to this role; may be repeated",
    )
    made.add_argument("--distrust-ledger-of", metavar="ROLE", action="append", default=[], help="... no longer")


def _apply_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="migrations; none: all that were never registered, or rolled back and changed since",
    )
    made.add_argument("--again", action="store_true", help="also all that were rolled back")
    _deploy(made, _DEPLOY_TO)
    _snapshots(
        made,
        "one before the first, one after the last, and around one that runs outside a transaction; also between each"
        " two; none",
    )
    _timeouts(made)


def _history_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("--status", choices=("applied", "rolled_back", "failed"), help="only those of this status")
    made.add_argument("--since", metavar="WHEN", help="only those applied since: 7d, 36h, 90m, 2w or an ISO date")
    made.add_argument("--without-rollback", action="store_true", help="only those in place without rollback SQL")
    _deploy(made, "only what the newest deploy of this label brought")


def _resolve_arguments(made: argparse.ArgumentParser) -> None:
    _name(made)
    made.add_argument(
        "--as",
        dest="status",
        required=True,
        choices=("applied", "rolled_back"),
        help="what is true of the database now",
    )
    made.add_argument(
        "--reason", required=True, metavar="TEXT", help="what you found and did; goes into the audit trail"
    )


def _deps_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", nargs="?", help="only this migration and its neighbourhood")
    made.add_argument(
        "--depth",
        type=int,
        default=2,
        metavar="N",
        help="how many dependencies away the neighbourhood reaches (default 2)",
    )
    made.add_argument("--hide-rolled-back", action="store_true", help="leave out what is rolled back")
    made.add_argument(
        "--infer",
        action="store_true",
        help="find dependencies by the objects that migrations made, changed, dropped or name",
    )
    made.add_argument(
        "--record",
        action="store_true",
        help="with --infer: keep them; from then on they block and order as declared ones do",
    )


def _prelude(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--prelude",
        metavar="FILE|supabase",
        action="append",
        help=(
            "SQL that runs there first, for what the platform makes before the first migration; can be given several"
            " times. supabase: a stand-in for Supabase's schemas, roles and extensions (variable MIGROLLBACK_PRELUDE)"
        ),
    )


def _verify_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("names", metavar="NAME", nargs="*", help="migrations to grade; none: all of the folder")
    made.add_argument(
        "--on",
        metavar="DSN",
        help=(
            "server on which a database is made for it and dropped again; else the embedded server, or this machine's"
            " PostgreSQL for extensions that it lacks"
        ),
    )
    made.add_argument(
        "--own-server",
        action="store_true",
        help="the server named by --on is there for this alone: its roles and settings may change",
    )
    _prelude(made)
    made.add_argument(
        "--require",
        choices=("restores", "loses_data"),
        help="exit status 1 when a rollback is worse than this or missing, or there is none to grade",
    )
    made.add_argument("--junit", metavar="FILE", help="write the verdicts as JUnit XML too")


def _template_arguments(made: argparse.ArgumentParser) -> None:
    _name(made)
    made.add_argument(
        "--prove", action="store_true", help="try the suggested block on a scratch database and print its grade"
    )
    made.add_argument(
        "--on",
        metavar="DSN",
        help="server for the scratch database, as for verify; without --dsn the block is written for its version",
    )
    made.add_argument(
        "--own-server",
        action="store_true",
        help="the server named by --on is there for this alone: its roles and settings may change",
    )
    _prelude(made)


def _events_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", nargs="?", help="only events of this migration")
    made.add_argument(
        "--verify", action="store_true", help="check its chain of hashes and print its head (exit status 1: broken)"
    )


def _runbook_arguments(made: argparse.ArgumentParser) -> None:
    _name(made)
    made.add_argument("--ticket", metavar="ID", help="goes with each answer into the audit trail")
    made.add_argument("--chain", action="store_true", help="with all that must be rolled back before it")
    made.add_argument("--into", metavar="FOLDER", help="where the dated folder goes (default: the current one)")


def _report_arguments(made: argparse.ArgumentParser) -> None:
    _name(made)
    made.add_argument(
        "--file",
        metavar="FILE",
        help="where it goes; over no file that is there (default: a dated name in the current folder)",
    )


def _no_arguments(_: argparse.ArgumentParser) -> None:
    """Nothing besides the common options."""


#: Command -> what it does, and its own arguments.
COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "list": ("list the migrations in place and whether each may be rolled back", _no_arguments),
    "check": ("check whether a migration may be rolled back (exit status 3: it may not)", _name),
    "rollback": ("roll a migration or a deploy back, after showing what it is and asking", _rollback_arguments),
    "rehearse": (
        "run a rollback for real, undo it, and show what it did (exit status 1: it would fail)",
        _rehearse_arguments,
    ),
    "register": ("register a migration that is in place, or update what is registered of it", _name),
    "template": (
        (
            "write the rollback block of a migration: what undoes its up part (needs no database; one named by --dsn"
            " says how it is to be written)"
        ),
        _template_arguments,
    ),
    "sync": (
        "register all migrations of the folder that are not registered yet, and record what the deploy tool did",
        _sync_arguments,
    ),
    "install": ("install the rollback system into the database, or what is missing of it", _install_arguments),
    "apply": ("run the up part of migrations and register them", _apply_arguments),
    "history": ("show the history of all migrations", _history_arguments),
    "last": ("print the name of the migration that was applied last, for scripts", _last_arguments),
    "deploys": ("list the deploys: label, time, person, migrations, state", _no_arguments),
    "resolve": ("say how a failed migration stands, once you have looked after it", _resolve_arguments),
    "deps": ("show dependencies", _deps_arguments),
    "plan": ("show in which order a migration and all that rests on it would be rolled back", _name),
    "snapshot": ("store the schema as it stands", _snapshot_arguments),
    "snapshots": ("list the snapshots of the schema", _snapshots_arguments),
    "diff": (
        "show what differs between two snapshots, or between one and now (exit status 0: nothing, 1: something)",
        _diff_arguments,
    ),
    "events": ("show the audit trail", _events_arguments),
    "verify": (
        "try every rollback of the folder on a scratch database and grade whether it restores what was there",
        _verify_arguments,
    ),
    "verify-rollback": (
        "verify the last rollback of a migration later, where its connection was lost (exit status 1: not restored)",
        _name,
    ),
    "runbook": ("copy the runbook's notebooks for a migration, filled in, into a dated folder", _runbook_arguments),
    "report": ("write the whole story of a migration's rollback as one HTML file", _report_arguments),
    "demo": ("see it work, on the embedded server with a small shop", _no_arguments),
    "lab": (
        "open JupyterLab on the notebooks, with the embedded server and the demo; further arguments go to jupyter lab",
        _no_arguments,
    ),
}

#: Commands with a database, a folder and words of their own: the common options are not for them.
BY_THEMSELVES = ("demo", "lab")


def get_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Build the parser; reads nothing and writes nothing.

    Parameters
    ----------
    only : str, optional
        The one command that is going to be parsed: building all of them takes longer than `check` takes to ask the
        database.
    """
    parser = argparse.ArgumentParser(
        prog="migrollback",
        description="Roll back PostgreSQL migrations safely.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"migrollback {__version__}")
    _common_options(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in [only] if only else COMMANDS:
        text, add_arguments = COMMANDS[name]
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name not in BY_THEMSELVES:
            _common_options(made)
        add_arguments(made)
    return parser
