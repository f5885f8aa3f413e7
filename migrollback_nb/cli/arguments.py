"""What the commands take: their arguments as data, of which `parser` makes a parser. Writes nothing."""

from __future__ import annotations

import argparse
from typing import Any

from migrollback_nb.cli.archive_arguments import kept
from migrollback_nb.cli.command import Argument


def argument(*names: str, migration: bool = False, either: str | None = None, **settings: Any) -> Argument:
    """An argument, written as argparse's ``add_argument`` takes it; pure."""
    return Argument(names=names, settings=settings, migration=migration, either=either)


# SUPPRESS: given before or after the command, the one that is given counts and the other's default does not undo it
COMMON = (
    argument(
        "--dsn",
        default=argparse.SUPPRESS,
        metavar="DSN",
        help="connection URI or key=value string, or embedded[/DATABASE] (variable MIGROLLBACK_DSN)",
    ),
    argument(
        "--dir",
        default=argparse.SUPPRESS,
        metavar="FOLDER",
        help="folder of migrations (variable MIGROLLBACK_DIR; else supabase/migrations or migrations)",
    ),
    argument(
        "--rollbacks",
        default=argparse.SUPPRESS,
        metavar="FOLDER",
        help="where the SQL lies that undoes migrations which are programs, as NAME.rollback.sql (variable"
        " MIGROLLBACK_ROLLBACKS; else beside them)",
    ),
    argument(
        "--schema",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="schema of the rollback system (variable MIGROLLBACK_SCHEMA; else public)",
    ),
    argument(
        "--scope",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="a tenant's schema: first in the path, with a history of its own, which install adds",
    ),
    argument(
        "--format",
        default=argparse.SUPPRESS,
        choices=("table", "json", "tsv", "dot", "svg", "mermaid", "jsonl"),
        metavar="FORM",
        help=(
            "how results are printed: table (default), json or tsv; of deps and graph also dot or svg, of graph"
            " mermaid, of events jsonl"
        ),
    ),
)

_NAME = argument("name", metavar="NAME", migration=True, help="the migration: its name, or the path of its file")
CHAIN = argument("--chain", action="store_true", help="with all that must be rolled back before it")
_OWN_SERVER = argument(
    "--own-server",
    action="store_true",
    help="the server named by --on is there for this alone: its roles and settings may change",
)
_PRELUDE = argument(
    "--prelude",
    metavar="FILE|supabase",
    action="append",
    help=(
        "SQL that runs there first, for what the platform makes before the first migration; can be given several times."
        " supabase: a stand-in for Supabase's schemas, roles and extensions (variable MIGROLLBACK_PRELUDE)"
    ),
)
TIMEOUTS = (
    argument(
        "--lock-timeout", metavar="TIME", help="longest wait for one lock, before it is tried again (default 500ms)"
    ),
    argument("--statement-timeout", metavar="TIME", help="longest run of the SQL (default 10min; 0: no limit)"),
)


def _optional(help: str) -> Argument:
    return argument("name", metavar="NAME", nargs="?", migration=True, help=help)


def several(help: str) -> Argument:
    """Names of migrations, any number of them; pure."""
    return argument("names", metavar="NAME", nargs="*", migration=True, help=help)


def deploy(help: str) -> Argument:
    """--deploy; pure."""
    return argument("--deploy", metavar="LABEL", help=help)


def snapshots(help: str) -> Argument:
    """--snapshots; pure."""
    return argument(
        "--snapshots",
        choices=("ends", "each", "none"),
        default="ends",
        help=f"snapshots of the schema. ends (default): {help}",
    )


def select(help: str, *, without: str = "leave these out") -> tuple[Argument, ...]:
    """--select and --exclude, each given once or several times."""
    settings: dict[str, Any] = {"metavar": "SELECTOR", "action": "append", "migration": True}
    words = f"{help}, such as NAME+, table:users or status:applied,tag:hotfix; several times: any of them"
    return argument("--select", help=words, **settings), argument("--exclude", help=without, **settings)


_TO_DEPLOY = deploy(
    "label of the deploy that these belong to, for rollback --deploy; several calls with one label add to one deploy"
)

REGISTER = (_NAME,)

CHECK = (
    _NAME,
    argument(
        "--rows", action="store_true", help="look at up to 20 rows of each table that would go; nothing of it is kept"
    ),
)


_SYSTEM = argument("--system", action="store_true", help="also the migration of the rollback system itself")
_WIDE = argument("--wide", action="store_true", help="all columns, and each row in one line, however long that is")
_SINCE = argument("--since", metavar="WHEN", help="only from then on: 7d, 36h, 3mo, yesterday, 2026-11 or an ISO time")
_UNTIL = argument("--until", metavar="WHEN", help="only before then; of a day or month, up to its end")

LIST = (*select("only what a selector means"), _SYSTEM, _WIDE)

DEPLOYS = (_WIDE,)

ROLES = (_WIDE,)
_KIND = argument(
    "kind",
    metavar="KIND",
    choices=("auditor", "operator", "approver", "requester"),
    help="auditor, operator, approver or requester",
)
GRANT = (_KIND, argument("role", metavar="ROLE", help="the database role, as it stands in pg_roles"))

VERIFY_ROLLBACK = (
    _NAME,
    argument(
        "--replay",
        action="store_true",
        help="where no snapshot from before it was applied is known, compare with a replay of the folder on a scratch"
        " database",
    ),
    argument("--on", metavar="DSN", help="with --replay: server on which that database is made; else the embedded one"),
    _PRELUDE,
)

TEMPLATE = (
    _NAME,
    argument(
        "--prove",
        action="store_true",
        help=(
            "try the suggested block on a scratch database and print its grade (exit status 1: it does not restore what"
            " was there)"
        ),
    ),
    argument(
        "--on",
        metavar="DSN",
        help="server for the scratch database, as for verify; without --dsn the block is written for its version",
    ),
    _OWN_SERVER,
    _PRELUDE,
)

SYNC = (
    _TO_DEPLOY,
    argument(
        "--snapshots",
        choices=("ends", "none"),
        default="ends",
        help="snapshot of the schema. ends (default): one at the end, unless nothing has changed: what was before the"
        " next deploy; none: none",
    ),
)

_TAKE_OVER = argument(
    "--take-over",
    action="store_true",
    help="make tables of the tool that came before this system's: rows, dependencies and users stay",
)

INSTALL = (
    argument(
        "--print", dest="print_sql", action="store_true", help="print its SQL for psql instead; needs no database"
    ),
    argument(
        "--production",
        dest="production",
        action="store_true",
        default=None,
        either="mark",
        help=(
            "mark the database as production: a rollback there needs a reason, and a person types the migration's name"
        ),
    ),
    argument(
        "--not-production",
        dest="production",
        action="store_false",
        default=None,
        either="mark",
        help="take that mark away; needs --reason",
    ),
    argument(
        "--reason", metavar="TEXT", help="why it is marked, or is not production any more; goes into the audit log"
    ),
    argument(
        "--trust-ledger-of",
        metavar="ROLE",
        action="append",
        default=[],
        help="read and write ledgers of deploy tools that belong to this role; may be repeated",
    ),
    argument(
        "--distrust-ledger-of",
        metavar="ROLE",
        action="append",
        default=[],
        help="take that trust away; may be repeated",
    ),
    _TAKE_OVER,
    argument("--dry-run", action="store_true", help="do all of it, undo it again, and say what it did"),
    argument(
        "--undo-take-over",
        action="store_true",
        help="with --print: what puts back what the tool that came before had, as it was before --take-over",
    ),
)

APPLY = (
    several(
        "the migrations; without any: all that were never registered, and those rolled back whose file changed since"
    ),
    argument("--again", action="store_true", help="also all that were rolled back"),
    _TO_DEPLOY,
    snapshots(
        "one before the first, one after the last, and around each that runs outside a transaction; each: also between"
        " every two; none: none"
    ),
    *kept("what they destroy; their rollbacks put it back"),
    argument(
        "--max-stall",
        metavar="TIME",
        help="longest time that others wait while a trial finds out what is destroyed (default 1s; 0: no limit)",
    ),
    *TIMEOUTS,
)

HISTORY = (
    *select("only what a selector means"),
    argument("--status", choices=("applied", "rolled_back", "failed"), help="only those of this status"),
    _SINCE,
    _UNTIL,
    argument(
        "--on",
        choices=("applied", "rolled_back", "last"),
        help="which time counts: applied last, rolled back last (the default with --status rolled_back), or what came"
        " last (the default)",
    ),
    argument("--by", metavar="ROLE", help="only where this database role did that"),
    argument("--limit", type=int, metavar="N", help="no more than N"),
    argument("--without-rollback", action="store_true", help="only applied ones without rollback SQL"),
    deploy("only what the newest deploy of this label brought"),
    _SYSTEM,
    _WIDE,
)

LAST = (deploy("the last of what this deploy brought and is still applied; prints nothing when there is none"),)

RESOLVE = (
    _NAME,
    argument(
        "--as",
        dest="status",
        required=True,
        choices=("applied", "rolled_back"),
        help="what is true of the database now",
    ),
    argument("--reason", required=True, metavar="TEXT", help="what you found and did; goes into the audit log"),
    argument(
        "--force",
        action="store_true",
        help="record rolled_back although something that it created still exists; the audit log keeps what",
    ),
)

DEPS = (
    _optional("only this migration and its neighbourhood"),
    *select("only of what a selector means"),
    argument(
        "--depth",
        type=int,
        default=2,
        metavar="N",
        help="how many dependencies away the neighbourhood reaches (default 2)",
    ),
    argument("--hide-rolled-back", action="store_true", help="leave out what is rolled back"),
    _WIDE,
    argument(
        "--dismiss",
        nargs=2,
        metavar=("MIGRATION", "DEPENDS_ON"),
        help="take an inferred dependency away for good; it needs --reason",
    ),
    argument("--reason", metavar="TEXT", help="with --dismiss: why it is none; goes into the audit log"),
    argument("--dismissed", action="store_true", help="show those that were dismissed, with the reason"),
    argument(
        "--infer",
        action="store_true",
        help="find dependencies by the objects that migrations create, change, drop or name",
    ),
    argument(
        "--record",
        action="store_true",
        help="with --infer: keep them; from then on they block and order as declared ones do",
    ),
)

GRAPH = (
    argument(
        "select",
        metavar="SELECT",
        nargs="*",
        migration=True,
        help="selectors such as NAME+ for what falls with it; a name alone: it and what is around it (default all)",
    ),
    select("")[1],
    argument(
        "--view",
        choices=("auto", "dag", "plan", "lanes", "tables", "objects", "er"),
        default="auto",
        help="which picture. plan: the steps of a rollback, with reasons; dag: boxes and arrows; lanes: a row for each"
        " table, by time; tables: what depends on what, by table; objects: with the objects between; er: the tables and"
        " what refers to them; auto (default): plan for NAME+, dag up to 30 migrations, else lanes",
    ),
    argument(
        "--direction",
        choices=("dependents", "dependencies", "both"),
        help="add what depends on these, what they depend on, or both",
    ),
    argument("--depth", type=int, metavar="N", help="how many steps --direction goes (default: to the end)"),
    argument(
        "--edges",
        choices=("all", "recorded"),
        default="all",
        help="all (default): where no one looked for dependencies, look now; recorded: only what is recorded",
    ),
    argument(
        "--group",
        choices=("table", "schema", "deploy", "actor"),
        help="in the views lanes and tables: what has a row or a box of its own (default table)",
    ),
    argument("--no-reduce", action="store_true", help="draw also the dependencies that follow from others"),
    argument(
        "--labels",
        choices=("auto", "short", "full"),
        default="auto",
        help="names without their number or date, or in full (default auto)",
    ),
    argument(
        "--rank",
        choices=("auto", "LR", "TB"),
        default="auto",
        help="left to right, or top to bottom (default auto: whichever takes less area)",
    ),
    argument("--theme", choices=("auto", "light", "dark"), default="auto", help="colours (default auto: the page's)"),
    argument(
        "--limit",
        default="150",
        metavar="N",
        help="no more than N boxes, or all (default 150; what is left out is counted)",
    ),
    argument(
        "-o", "--output", dest="output", metavar="FILE", help="write the picture there: .svg, .html, .mmd, .dot, .txt"
    ),
)

SNAPSHOT = (_NAME, argument("description", metavar="TEXT", nargs="?", help="why it is taken"))

SNAPSHOTS = (
    _optional("only those taken for this migration"),
    _WIDE,
    argument(
        "--prune",
        metavar="AGE",
        help="throw away those that are older (30d, 3mo), but for those that a verification still needs",
    ),
)

DIFF = (
    argument(
        "old",
        metavar="A",
        migration=True,
        help="id of a snapshot or its beginning, or a migration: the newest taken for it",
    ),
    argument("new", metavar="B", nargs="?", default="now", migration=True, help="another one, or now (default)"),
)

EVENTS = (
    _optional("only events of this migration"),
    *select("only of what a selector means"),
    argument(
        "--event",
        metavar="KIND",
        action="append",
        help="only events of this kind, such as rolled_back or failed; several times: of any of them",
    ),
    _SINCE,
    _UNTIL,
    argument("--limit", type=int, metavar="N", help="no more than N, the newest"),
    argument("--reverse", action="store_true", help="newest first"),
    _WIDE,
    argument(
        "--verify", action="store_true", help="check it, as audit does, and print its head (exit status 1: broken)"
    ),
    argument("--after", type=int, metavar="NUMBER", help="only events of a higher number: where a collector goes on"),
    argument("--follow", action="store_true", help="with --format jsonl: go on with what comes, until interrupted"),
)

AUDIT = (
    argument(
        "--anchor",
        dest="anchors",
        metavar="NUMBER:HASH",
        action="append",
        default=[],
        help="an event that was kept outside the database, as audit prints the head: shows an end that was cut off, and"
        " a log that was written anew; can be given several times",
    ),
    argument(
        "--export",
        metavar="FILE",
        either="file",
        help="save history, dependencies and audit log; over no file that is there",
    ),
    argument("--check", metavar="FILE", either="file", help="check a file that --export wrote; needs no database"),
)

VERIFY = (
    several("the migrations to grade; without any: all of the folder"),
    *select("only what a selector means"),
    argument(
        "--on",
        metavar="DSN",
        help=(
            "server on which a database is made for it and dropped again; else the embedded server, or this machine's"
            " PostgreSQL for extensions that it lacks"
        ),
    ),
    _OWN_SERVER,
    _PRELUDE,
    argument(
        "--require",
        choices=("restores", "loses_data"),
        help="exit status 1 when a rollback is worse than this or missing, or there is none to grade",
    ),
    argument("--junit", metavar="FILE", help="write the verdicts as JUnit XML too"),
    argument(
        "--record",
        action="store_true",
        help="keep the grades in the database too (--dsn, or the variables), so that check quotes them",
    ),
)

RUNBOOK = (
    _NAME,
    argument("--ticket", metavar="ID", help="goes with each answer into the audit log"),
    CHAIN,
    argument(
        "--into", metavar="FOLDER", help="the folder in which the dated one is made (default: the current folder)"
    ),
)

REPORT = (
    _NAME,
    argument(
        "--file",
        metavar="FILE",
        help="where it goes; over no file that is there (default: a dated name in the current folder)",
    ),
)

ADOPT = (
    argument("--dry-run", action="store_true", help="say what was found and would be done, and do nothing"),
    _TAKE_OVER,
)
