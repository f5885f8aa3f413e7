"""The table of commands: help, arguments, what each does, exit status. Alone it knows demo and lab.

Parser, dispatch, output, %migrollback and completion are made of it, and `describe_commands` gives all of it to a
reference page.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from migrollback_nb.cli import (
    approving_arguments,
    archive_arguments,
    arguments,
    fleet,
    program_arguments,
    range_arguments,
)
from migrollback_nb.cli.command import FORMATS, Call, Command
from migrollback_nb.cli.loading import later
from migrollback_nb.cli.parser import build_parser
from migrollback_nb.core.text import one_line


def _titled(text: str) -> Callable[[argparse.Namespace], str]:
    return lambda args: text.format(name=one_line(getattr(args, "name", "")))


def _rollback_title(args: argparse.Namespace) -> str:
    from migrollback_nb.cli import actions

    did = "🔍 DRY RUN: Rolling back" if args.dry_run else "⚠️ Rolling back"
    return f"{did}: {one_line(actions.what_is_meant(args).words)}\n\n"


def _rehearse_title(args: argparse.Namespace) -> str:
    from migrollback_nb.cli import actions

    return f"🔍 Rehearsing the rollback of: {one_line(actions.what_is_meant(args).words)}\n\n"


def _always(_: argparse.Namespace) -> bool:
    return True


def _unless(good: Callable[[Any], bool], status: int = 1) -> Callable[[Call, Any], int]:
    """The exit status of a result that is not good."""
    return lambda _, result: 0 if good(result) else status


def _verify_status(call: Call, proof: Any) -> int:
    required = call.args.require
    if required is not None and not proof.migrations:  # a slip in --dir would pass the gate for ever
        call.err.write(f"❌ There was nothing to grade, so nothing reaches {required}\n")
        return 1
    if required is not None and (worse := proof.below(required)):
        call.err.write(f"❌ {len(worse)} of {len(proof.migrations)} do not reach {required}\n")
        return 1
    return 0


def _demo(call: Call) -> int:
    from migrollback_nb.cli import demo

    assert call.run is not None  # noqa: S101  # it runs by itself, in a terminal only
    return demo.run(call.out, call.run)


def _lab(call: Call) -> int:
    from migrollback_nb.cli import lab

    return lab.run(call.args.passed_on, call.out)


_TABLE = (
    Command(
        name="list",
        help="list the applied migrations and whether each may be rolled back",
        task="know",
        example="migrollback list --select table:users",
        arguments=arguments.LIST,
        run=later("listings", "list_migrations"),
        show=later("tables", "show_list"),
    ),
    Command(
        name="check",
        help="check whether a migration may be rolled back",
        more="Exit status 3: it may not.",
        task="know",
        example="migrollback check 20250120_add_user_settings",
        arguments=arguments.CHECK,
        title=_titled("🔍 Checking rollback status for: {name}\n\n"),
        run=later("actions", "check"),
        status=_unless(lambda check: check.can_rollback, 3),
    ),
    Command(
        name="plan",
        help="show in which order a migration and all that depends on it, or a range, would be rolled back",
        task="know",
        example="migrollback plan 20250119_add_analytics_queue",
        arguments=range_arguments.PLAN,
        run=later("actions", "plan"),
    ),
    Command(
        name="rehearse",
        help="run a rollback for real, undo it, and show what it did",
        more=(
            "Exit status 1: it would fail; 3: it was stopped, because others would have waited for too long, and"
            " nothing is known."
        ),
        task="know",
        example="migrollback rehearse 20250119_add_analytics_queue --chain",
        arguments=range_arguments.REHEARSE,
        title=_rehearse_title,
        run=later("actions", "rehearse"),
        status=_unless(lambda rehearsed: getattr(rehearsed, "success", True)),
        needs_system=_always,
    ),
    Command(
        name="deps",
        help="show which migration depends on which",
        task="know",
        example="migrollback deps 20250119_add_analytics_queue",
        arguments=arguments.DEPS,
        run=later("listings", "dependencies"),
        needs_system=lambda args: (args.record and args.infer and args.name is None) or args.dismiss is not None,
        formats=(*FORMATS, "dot", "svg"),
    ),
    Command(
        name="graph",
        help="draw migrations and what they depend on",
        task="know",
        example="migrollback graph 20250119_add_analytics_queue+ --output chain.svg",
        arguments=arguments.GRAPH,
        run=later("listings", "graph"),
        formats=(*FORMATS, "dot", "svg", "mermaid"),
    ),
    Command(
        name="template",
        help="write the rollback block of a migration: what undoes its up migration",
        more="It needs no database; one that --dsn names says in which form it is written.",
        task="know",
        example="migrollback template 20251019232120_ai_routing_metadata --prove",
        arguments=arguments.TEMPLATE,
        title=_titled("📝 Generating rollback template for: {name}\n\n"),
        run=later("actions", "template"),
        status=_unless(lambda made: made.proof is None or made.proof.grade in ("restores", "loses_data")),
    ),
    Command(
        name="render",
        help="write the SQL of migrations of Alembic or Django, as the tool itself renders it, both ways",
        more=(
            "It writes NAME.up.sql and NAME.rollback.sql where --rollbacks says. After -- may stand how the tool is"
            " called: -- poetry run alembic. It needs no database."
        ),
        task="set up",
        example="migrollback render --dir alembic/versions --rollbacks rollbacks",
        arguments=program_arguments.RENDER,
        run=later("actions", "render"),
        status=_unless(lambda written: written.success),
        runs_another=True,
    ),
    Command(
        name="capture",
        help="write what undoes a migration that is a program, from what it does to a scratch database",
        more=(
            "After -- stands the tool's command that applies one migration. It finds the scratch database, a copy of"
            " the schema, in PGHOST, PGPORT, PGUSER, PGDATABASE and DATABASE_URL, or instead of {url}, {host}, {port},"
            " {user}, {password}, {database}."
        ),
        task="set up",
        example="migrollback capture --each --empty -- npx knex migrate:up",
        arguments=program_arguments.CAPTURE,
        run=later("actions", "capture"),
        status=_unless(lambda written: written.success),
        runs_another=True,
    ),
    Command(
        name="verify",
        help="try every rollback of the folder on a scratch database and grade what it restores",
        task="know",
        example="migrollback verify --require restores --junit rollbacks.xml",
        arguments=arguments.VERIFY,
        run=later("actions", "verify"),
        status=_verify_status,
        needs_system=lambda args: args.record,
    ),
    Command(
        name="rollback",
        help="roll back migrations, a range, a deploy or a selection, after showing what runs and asking",
        more=(
            "It runs in one transaction, whole or not at all; with --each in one for each; statement by statement only"
            " where its block says transaction:false."
        ),
        task="do",
        example="migrollback rollback 20250120_add_user_settings --dry-run",
        arguments=range_arguments.ROLLBACK,
        title=_rollback_title,
        run=later("actions", "rollback"),
        needs_system=lambda args: not args.dry_run,
    ),
    Command(
        name="converge",
        help="roll back what is applied and a folder does not hold, asking no one: for a release that went back",
        more=(
            "The SQL is the database's own copy. Exit status 3 unless each verdict is ready or not_rehearsed, or the"
            " loss is accepted; and when the folder is empty, holds nothing that is applied, or lacks too many."
        ),
        task="do",
        example="migrollback converge --to-files migrations --confirm shop",
        arguments=range_arguments.CONVERGE,
        run=later("actions", "converge"),
        needs_system=_always,
    ),
    Command(
        name="request",
        help="ask other people to approve a rollback, where a policy wants that",
        task="do",
        example='migrollback request 20250120_add_user_settings --reason "INC-42"',
        arguments=approving_arguments.REQUEST,
        run=later("approving", "request"),
        show=later("approvals_shown", "show_outcome"),
    ),
    Command(
        name="approve",
        help="approve another person's request, after showing what it is and asking",
        more="Exit status 3: it is your own, is void, or you are none of the approvers.",
        task="do",
        example="migrollback approve 42",
        arguments=approving_arguments.APPROVE,
        run=later("approving", "approve"),
        show=later("approvals_shown", "show_outcome"),
    ),
    Command(
        name="approvals",
        help="list the requests for approval and how each stands, or withdraw one",
        task="do",
        example="migrollback approvals --open",
        arguments=approving_arguments.APPROVALS,
        run=later("approving", "approvals"),
    ),
    Command(
        name="apply",
        help="run up migrations and register them",
        task="do",
        example="migrollback apply --deploy 2025-01-20",
        arguments=arguments.APPLY,
        run=later("actions", "apply"),
        needs_system=_always,
    ),
    Command(
        name="around",
        help="run another tool's command, and keep what the pending files destroy",
        more="After -- stands the command. Exit status 1: it failed; 3: the archive would take more than its budget.",
        task="do",
        example="migrollback around -- dbmate up",
        arguments=archive_arguments.AROUND,
        run=later("archive_actions", "around"),
        status=_unless(lambda found: found.success),
        needs_system=_always,
        runs_another=True,
    ),
    Command(
        name="restore-archive",
        help="put back what a rollback destroyed, once its migration is applied again",
        more="Exit status 3: it is not applied again; 1: not all came back.",
        task="do",
        example="migrollback restore-archive 42",
        arguments=archive_arguments.RESTORE_ARCHIVE,
        run=later("archive_actions", "restore_archive"),
        status=_unless(lambda found: found.success),
        needs_system=_always,
    ),
    Command(
        name="resolve",
        help="record how a failed migration stands, once you have looked",
        task="do",
        example='migrollback resolve 20250124_add_gift_cards --as applied --reason "Looked"',
        arguments=arguments.RESOLVE,
        run=lambda call: call.db.resolve(
            call.args.name, status=call.args.status, reason=call.args.reason, force=call.args.force
        ),
        needs_system=_always,
    ),
    Command(
        name="verify-rollback",
        help="verify the last rollback of a migration now, where that could not be done at once",
        more="Exit status 1: it did not restore what was there.",
        task="do",
        example="migrollback verify-rollback 20250120_add_user_settings",
        arguments=arguments.VERIFY_ROLLBACK,
        title=_titled("🔍 Verifying the rollback of: {name}\n"),
        run=later("actions", "verify_rollback"),
        status=_unless(lambda found: found.verdict not in ("differs", "not as rehearsed")),
        needs_system=_always,
    ),
    Command(
        name="runbook",
        help="copy the runbook's notebooks for a migration, filled in, into a dated folder",
        task="do",
        example="migrollback runbook 20250120_add_user_settings --ticket INC-42",
        arguments=arguments.RUNBOOK,
        run=later("actions", "runbook"),
    ),
    Command(
        name="snapshot",
        help="store the schema as it stands",
        task="do",
        example='migrollback snapshot 20250120_add_user_settings "before the incident"',
        arguments=arguments.SNAPSHOT,
        run=later("actions", "snapshot"),
        needs_system=_always,
    ),
    Command(
        name="history",
        help="show the history of all migrations",
        task="look back",
        example="migrollback history --since 7d --status rolled_back",
        arguments=arguments.HISTORY,
        run=later("listings", "history"),
    ),
    Command(
        name="last",
        help="print the name of the migration that was applied last, for scripts",
        task="look back",
        example="migrollback last --deploy 2025-01-20",
        arguments=arguments.LAST,
        run=later("listings", "last"),
        # a deploy of nothing is no failure: a script goes on with an empty name
        status=lambda call, name: 0 if name is not None or call.args.deploy is not None else 1,
    ),
    Command(
        name="deploys",
        arguments=arguments.DEPLOYS,
        help="list the deploys: label, time, person, migrations, state",
        task="look back",
        example="migrollback deploys",
        run=later("listings", "deploys"),
    ),
    Command(
        name="events",
        help="show the audit log, or check that it is intact",
        task="look back",
        example="migrollback events --since yesterday --event rolled_back",
        arguments=arguments.EVENTS,
        formats=(*FORMATS, "jsonl"),
        run=later("listings", "events"),
        status=_unless(lambda found: getattr(found, "success", True)),
    ),
    Command(
        name="audit",
        help="check the audit log against what there is",
        more="Exit status 1: something does not fit.",
        task="look back",
        example="migrollback audit --export audit.json",
        arguments=arguments.AUDIT,
        run=later("actions", "audit"),
        status=_unless(lambda found: found.success),
        needs_system=lambda args: args.check is None,
    ),
    Command(
        name="snapshots",
        help="list the snapshots of the schema",
        task="look back",
        example="migrollback snapshots 20250120_add_user_settings",
        arguments=arguments.SNAPSHOTS,
        run=later("listings", "snapshots"),
        needs_system=lambda args: args.prune is not None,
    ),
    Command(
        name="archives",
        help="list what is kept of destroyed values, throw it away, erase a row of it, or write it to a file",
        task="look back",
        example="migrollback archives --prune 90d",
        arguments=archive_arguments.ARCHIVES,
        run=later("archive_actions", "archives"),
        needs_system=_always,
    ),
    Command(
        name="diff",
        help="show what differs between two snapshots, or between one and now",
        more="Exit status 0: nothing differs; 1: something does.",
        task="look back",
        example="migrollback diff 20250120_add_user_settings now",
        arguments=arguments.DIFF,
        run=lambda call: call.db.diff(call.args.old, call.args.new),
        status=_unless(lambda found: not found.changes),
    ),
    Command(
        name="report",
        help="write the whole story of a migration's rollback as one HTML file",
        task="look back",
        example="migrollback report 20250120_add_user_settings",
        arguments=arguments.REPORT,
        run=lambda call: str(call.db.report(call.args.name, call.args.file)),
    ),
    Command(
        name="fleet",
        help="ask many databases at once, and roll back or apply in all of them, wave after wave",
        more=(
            "A wave starts only when the one before is done and verified. Exit status: 0 all done, 1 a failure, 3"
            " refused."
        ),
        task="many",
        example="migrollback fleet status --targets targets.toml",
        arguments=fleet.ARGUMENTS,
        run=later("fleet", "run"),
        show=later("fleet", "show"),
        status=later("fleet", "status"),
    ),
    Command(
        name="adopt",
        help="take over a database that a deploy tool has filled: install, and register what is applied",
        more="It says which tool, folder and ledger were found, how sure that is, and what does not fit.",
        task="set up",
        example="migrollback adopt --dir db/migrations --dry-run",
        arguments=arguments.ADOPT,
        run=later("actions", "adopt"),
        status=_unless(lambda found: not found.failed),
    ),
    Command(
        name="install",
        help="install the rollback system into the database, or bring an older one up to date",
        task="set up",
        example="migrollback install --dsn postgresql://user@host/database",
        arguments=arguments.INSTALL,
        run=later("actions", "install"),
    ),
    Command(
        name="policy",
        help="list, set or remove the policies by which other people have to approve",
        task="set up",
        example="migrollback policy losses --approvals 2 --by dbas --if loses",
        arguments=approving_arguments.POLICY,
        run=later("approving", "policy"),
    ),
    Command(
        name="grant",
        help="let a role audit (read everything), operate (roll back what is registered), approve or request",
        more="As the owner of the system. Each is an event of the audit log.",
        task="set up",
        example="migrollback grant operator alice",
        arguments=arguments.GRANT,
        run=lambda call: call.db.grant(call.args.kind, call.args.role),
        needs_system=_always,
    ),
    Command(
        name="revoke",
        help="take from a role what grant gave it",
        task="set up",
        example="migrollback revoke operator alice",
        arguments=arguments.GRANT,
        run=lambda call: call.db.revoke(call.args.kind, call.args.role),
        needs_system=_always,
    ),
    Command(
        name="roles",
        help="list the roles that may audit, operate, approve or request",
        task="set up",
        example="migrollback roles",
        arguments=arguments.ROLES,
        run=later("listings", "roles"),
    ),
    Command(
        name="doctor",
        help="look for what endangers a rollback here, with the fix of each",
        more="Exit status 1: there is a problem.",
        task="set up",
        example="migrollback doctor",
        run=lambda call: call.db.doctor(),
        status=_unless(lambda found: found.success),
    ),
    Command(
        name="sync",
        help="register the migrations of the folder that are not registered yet, and record what the deploy tool did",
        task="set up",
        example="migrollback sync --dir supabase/migrations",
        arguments=arguments.SYNC,
        title=_titled("🔄 Syncing migration files with database...\n\n"),
        run=later("actions", "sync"),
        status=_unless(lambda synced: not synced.failed),
        needs_system=_always,
    ),
    Command(
        name="register",
        help="register a migration that is applied, or update what is registered of it",
        task="set up",
        example="migrollback register 20250120_add_user_settings",
        arguments=arguments.REGISTER,
        title=_titled("📝 Registering migration: {name}\n"),
        run=lambda call: call.db.register(call.args.name),
        needs_system=_always,
    ),
    Command(
        name="demo",
        help="see it work, on the embedded server with a small shop",
        task="set up",
        example="migrollback demo",
        run=_demo,
        by_itself=True,
    ),
    Command(
        name="lab",
        help="open JupyterLab on the notebooks, with the embedded server and the demo",
        more="Further arguments go to jupyter lab.",
        task="set up",
        example="migrollback lab --port 8890",
        run=_lab,
        by_itself=True,
    ),
)

#: Name -> command, in the order of the help.
COMMANDS = {command.name: command for command in _TABLE}


def get_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Build the parser; reads nothing and writes nothing.

    Parameters
    ----------
    only : str, optional
        The one command that is going to be parsed: building all of them takes longer than `check` takes to ask the
        database.
    """
    return build_parser(COMMANDS.values() if only is None else (COMMANDS[only],), lambda: COMMANDS)


def describe_commands() -> dict[str, Any]:
    """Describe the command line for a reference page and for tests: common options, and every command. Reads nothing.

    Returns
    -------
    dict
        ``common``: the options that stand before or after any command; ``commands``: of each, in the order of the help,
        name, help, more, task, example, arguments (names, metavar, help, choices, default, required, repeatable,
        takes_migrations), formats and common_options (whether they are for it).

    Examples
    --------
    >>> [command["name"] for command in describe_commands()["commands"]][:3]
    ['list', 'check', 'plan']
    """
    return {
        "common": [argument.to_dict() for argument in arguments.COMMON],
        "commands": [command.to_dict() for command in COMMANDS.values()],
    }
