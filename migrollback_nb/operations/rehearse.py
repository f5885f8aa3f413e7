"""Puts a rehearsal together: runs it, asks what only the parser or a second try can tell, and keeps the one event."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from migrollback_nb.core.errors import Refused
from migrollback_nb.core.results.rehearsal import (
    Broken,
    Failure,
    Impact,
    Lock,
    NotUndone,
    OtherSession,
    Rehearsal,
    RowLoss,
    Statement,
)
from migrollback_nb.core.results.schema import SchemaDiff
from migrollback_nb.operations import rejection, stored_sql
from migrollback_nb.parsing import routine_bodies, tokens

if TYPE_CHECKING:
    from migrollback_nb.core.results import Notice, Target
    from migrollback_nb.database import Database
    from migrollback_nb.database.progress import RollbackCallback

#: How long a rehearsal may last, where nobody says otherwise: it holds the locks that the rollback would hold.
STATEMENT_TIMEOUT = "30s"
#: pg_class.relkind in words.
_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "i": "index",
    "I": "index",
    "v": "view",
    "m": "materialized view",
    "S": "sequence",
    "f": "foreign table",
    "c": "type",
}


class RehearsalOptions(TypedDict, total=False):
    """The options of `Migrations.rehearse`, whatever is rehearsed."""

    on: str | None
    chain: bool
    consent: bool
    lock_timeout: str | None
    statement_timeout: str | None
    progress: RollbackCallback | None


def rehearse_by(
    database: Database,
    run: Callable[[Sequence[str]], Rehearsal],
    names: Sequence[str],
    *,
    folder: Path | None,
) -> Rehearsal:
    """Rehearse by a function that gets the migrations, on the target or on a copy. Writes what that function writes.

    Parameters
    ----------
    run : callable
        Rehearses these migrations, in this order.
    names : sequence of str
        The migrations. What is known of them beforehand goes into the result, and into the error when a rule forbids
        it.
    folder : Path, optional
        Where their files are looked for.

    Raises
    ------
    MigrationNotFound, Refused
        When one is not registered, or may not be rolled back.
    """
    known = database.queries.warnings(names)
    for name in names:
        if name not in known:
            raise rejection.not_found(database, name)
    try:
        rehearsed = run(names)
    except Refused as error:
        if error.migration_name is not None and not error.dependents:
            raise rejection.refusal(database, names, error.migration_name, error.reason, hint=error.hint) from None
        raise
    warnings = [
        text
        for name in names
        for text in (
            *known[name]["warnings"],
            *stored_sql.warnings_of(database, folder, name, known[name], thorough=True),
        )
    ]
    return replace(rehearsed, warnings=(*warnings, *database.session.remarks))


def rehearse(
    database: Database,
    names: Sequence[str],
    *,
    consent: bool = False,
    lock_timeout: str | None = None,
    statement_timeout: str | None = None,
) -> Rehearsal:
    """Rehearse the rollbacks of these migrations, in this order, on the target itself. Writes one event and nothing else.

    Raises
    ------
    Refused
        When the gate refuses the rollback, or undoing would not undo all of it and nobody has consented.
    """
    if not consent:
        _require_stored_effects(database, names)
    report, notices, blocked_by = database.rehearsals.rehearse(
        names, consent=consent, lock_timeout=lock_timeout, statement_timeout=statement_timeout or STATEMENT_TIMEOUT
    )
    if report.get("refused"):
        raise refusal(report)
    failure = report["failure"]
    position = None
    if (
        failure is not None
        and failure["sqlstate"].startswith("42")
        and failure.get("statement_number")
        and not report["not_undone"]
    ):
        with suppress(Exception):  # where it failed is known without the place in the line
            position = database.rehearsals.place_of_error(
                names, lock_timeout=lock_timeout, statement_timeout=statement_timeout or STATEMENT_TIMEOUT
            )
    database.rehearsals.record_rehearsal(report)
    history = {name: database.queries.find(name) or {} for name in names}
    report["broken"] += broken_bodies(database, report)
    return from_report(
        report,
        sql={name: row.get("rollback_sql") or "" for name, row in history.items()},
        target=database.target,
        notices=notices,
        where="on the target itself",
        position=position,
        blocked_by=blocked_by,
    )


def rehearse_on_copy(
    target: Database, names: Sequence[str], *, on: str, consent: bool = False, statement_timeout: str | None = None
) -> Rehearsal:
    """Rehearse the rollbacks of these migrations, in this order, on a copy of the target's schema. Writes nothing to the target.

    Parameters
    ----------
    on : str
        ``scratch`` for a database on this machine, or the DSN of a server.

    Raises
    ------
    Refused
        As `rehearse`; consent is needed only for what reaches beyond the copy.
    UsageError
        When the schema cannot be copied, and why.
    """
    from migrollback_nb.replay.schema_copy import copied

    fingerprint = target.queries.fingerprint(names)
    asked = target.queries.dry_run(names)
    if not asked[0]["success"]:
        raise Refused(asked[0]["message"], migration_name=asked[0]["migration_name"])
    if not consent:
        _require_stored_effects(target, names)
    with copied(target, on=on, timeouts=target.session.timeouts) as copy:
        database = copy.database
        needed = [row for row in database.rehearsals.not_undone(names) if row["outside"]]
        if needed and not consent:
            raise refusal({"needs_consent": True, "not_undone": needed, "migration_name": needed[0]["migration_name"]})
        history = {name: database.queries.find(name) or {} for name in names}
        in_steps = len(names) == 1 and database.queries.warnings(names)[names[0]]["in_steps"]
        blocked_by = position = None
        if in_steps:
            report, notices = _in_steps(database, names[0], history[names[0]])
        else:
            report, notices, blocked_by = database.rehearsals.rehearse(
                names, consent=True, statement_timeout=statement_timeout or STATEMENT_TIMEOUT
            )
            if report.get("refused"):
                raise refusal(report)
            failure = report["failure"]
            if (
                failure is not None
                and failure["sqlstate"].startswith("42")
                and failure.get("statement_number")
                and not report["not_undone"]
            ):
                with suppress(Exception):  # where it failed is known without the place in the line
                    position = database.rehearsals.place_of_error(
                        names, statement_timeout=statement_timeout or STATEMENT_TIMEOUT
                    )
        report["broken"] += broken_bodies(database, report)
    report["fingerprint"] = fingerprint
    report["rows"] = _estimated_rows(target, report, history)
    locked = sorted({lock["relation"] for lock in report["locks"]})
    report["sessions"] = target.rehearsals.sessions_on(locked)
    if any(lock["mode"] == "AccessExclusiveLock" for lock in report["locks"]):
        report["replicas"] = target.rehearsals.standbys()
    remarks = (
        *copy.remarks,
        (
            "The copy has no rows: how long the statements last, what constraints say to the rows, and how many rows"
            " DELETE and UPDATE would meet could not be seen. Numbers of rows are what the target's statistics say"
        ),
    )
    return from_report(
        report,
        sql={name: row.get("rollback_sql") or "" for name, row in history.items()},
        target=target.target,
        notices=notices,
        where=f"on a copy of the schema on {copy.server}",
        position=position,
        blocked_by=blocked_by,
        remarks=remarks,
    )


def _require_stored_effects(database: Database, names: Sequence[str]) -> None:
    """Refuse where the parser finds other effects in the rollback SQL than are stored of it: consent is asked for by those that are stored. Does not write."""
    for name in names:
        if stored_sql.hides_effects(database.queries.find(name)):
            raise Refused(
                f"What is stored of the effects of {name}'s rollback SQL is not what the parser finds in it: it was"
                " changed in the database, or registered by another version",
                migration_name=name,
                hint=(
                    f"Nothing has run. Register it again: migrollback register {shlex.quote(name)}. Or rehearse all the"
                    " same with --consent (consent=True)."
                ),
            )


def _in_steps(database: Database, name: str, history: Mapping[str, Any]) -> tuple[dict[str, Any], list[Notice]]:
    """Roll one migration back on the copy, outside a transaction, and tell it as a rehearsal does. Writes, to the copy."""
    before = database.rehearsals.schema_snapshot()
    execution = database.nontransactional.rollback(name)
    row = execution.rows[0]
    failure = execution.details.get(name)
    if not row["success"] and failure is None:
        raise Refused(row["message"], migration_name=name)
    journal = {
        event["details"]["statement_number"]: event["details"]["duration_ms"]
        for event in database.queries.events(name)
        if event["event"] == "statement_completed"
        and event["attempt_id"] is not None
        and str(event["attempt_id"]) == execution.attempt_id
    }
    cut = (history["metadata"].get("rollback") or {}).get("statements") or []
    text = history["rollback_sql"].encode()
    statements = [
        {
            "migration_name": name,
            "number": number,
            "statement": text[start : start + length].decode(),
            "line": line,
            "ms": journal.get(number),
        }
        for number, (start, length, line) in enumerate(cut, 1)
    ]
    changes = [{**change, "made_by": None} for change in database.rehearsals.changes_since(before)]
    report: dict[str, Any] = {
        "success": row["success"],
        "message": (
            "Rehearsal: the rollback would succeed"
            if row["success"]
            else f"Rehearsal: the rollback would fail: {failure['message'] if failure else ''}"
        ),
        "migrations": [name],
        "failure": None if failure is None else {"passing": False, "migration_name": name, **failure},
        "unchanged": row["success"] and not changes,
        "not_undone": [],
        "unseen": [],
        "changes": changes,
        "rows": [],
        "broken": [],
        "bodies": [],
        "locks": [],
        "sessions": [],
        "replicas": [],
        "renamed": [],
        "rewritten": [],
        "statements": statements,
        "duration_ms": sum(journal.values()),
    }
    return report, execution.notices


def _estimated_rows(
    target: Database, report: Mapping[str, Any], history: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What data would be lost, with the target's statistics for numbers. Does not write."""
    lost = [
        {**row, "exact": False} for row in report["rows"] if row["what"] in ("dropped", "column dropped", "emptied")
    ]
    known = target.rehearsals.estimated_rows([(row["relation"], row["column"]) for row in lost])
    for row, rows in zip(lost, known, strict=True):
        row["rows"] = rows
    words = {"delete": "deleted", "update": "updated"}
    for found in history.values():
        for _, deed, schema, table in (found["metadata"].get("rollback") or {}).get("writes", []):
            if deed in words:
                relation = f"{schema}.{table}" if schema else table
                lost.append(
                    {
                        "relation": relation,
                        "column": None,
                        "what": words[deed],
                        "rows": None,
                        "exact": False,
                        "sqlstate": None,
                    }
                )
    return lost


def broken_bodies(database: Database, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Functions whose bodies PostgreSQL cannot check and that name what is gone after the rollback. Does not write."""
    gone = routine_bodies.gone_from(report["changes"]) if report["bodies"] else []
    found = []
    for routine in report["bodies"]:
        told = {key: routine[key] for key in ("kind", "identity", "used_by")}
        used = None
        if routine["language"] == "plpgsql":
            with suppress(Exception):  # one body that cannot be read ends no rehearsal: its words are looked at
                used = routine_bodies.uses(routine["definition"])
        certain = False
        if used is not None:
            meant = database.rehearsals.meant_relations(routine["search_path"], routine_bodies.names_of(used))
            trigger_on = frozenset(
                user.split(" on ", 1)[1]
                for user in routine["used_by"]
                if user.startswith("trigger ") and " on " in user
            )
            named = list(routine_bodies.broken_by(used, gone, meant, trigger_on=trigger_on))
            certain = any(sure for _, sure in named)
            because = [
                f"{one.kind} {one.identity}" + ("" if sure or not certain else " (perhaps)") for one, sure in named
            ]
        else:
            # a language, or a body, that cannot be read: by its words
            words = frozenset(re.findall(r"\w+", routine["body"].lower()))
            because = [
                f"{one.kind} {one.identity}" for one in gone if one.kind != "column" and one.name.lower() in words
            ]
        if because:
            verb = "names" if certain or used is not None else f"(in {routine['language']}) has in its text"
            found.append({**told, "because": f"{verb} {', '.join(because)}", "certain": certain, "sqlstate": None})
    return found


def refusal(report: Mapping[str, Any]) -> Refused:
    """The error that a refused rehearsal becomes; pure."""
    if report.get("needs_consent"):
        told = "\n".join(f"  {NotUndone(**found)}" for found in report["not_undone"])
        return Refused(
            f"Undoing a rehearsal would not undo all of this:\n{told}",
            migration_name=report["migration_name"],
            hint=(
                "Nothing has run. Rehearse it on a copy of the schema with --on scratch (on='scratch'), or here all the"
                " same with --consent (consent=True)."
            ),
        )
    return Refused(report["message"], migration_name=report["migration_name"])


def from_report(
    report: Mapping[str, Any],
    *,
    sql: Mapping[str, str],
    target: Target,
    notices: Sequence[Notice],
    where: str,
    position: int | None = None,
    blocked_by: str | None = None,
    remarks: tuple[str, ...] = (),
) -> Rehearsal:
    """What rehearse_migration_rollbacks() told, as a result; pure."""
    names = report["migrations"]
    failure = report["failure"]
    diff = SchemaDiff.from_rows(
        (
            {key: row[key] for key in ("change", "kind", "identity", "old_definition", "new_definition")}
            for row in report["changes"]
        ),
        old="now",
        new="after the rollback",
    )
    mentioned = frozenset().union(*(tokens.names_in(statement["statement"]) for statement in report["statements"]))
    renamed = {pair["old"] for pair in report["renamed"]}
    impacts = []
    for change, row in zip(diff.changes, report["changes"], strict=True):
        if change.change == "created" or (renamed and (change.identity in renamed or change.parent in renamed)):
            continue
        made_by = tuple(row["made_by"]) if row["made_by"] else None
        impacts.append(
            Impact(
                change=change,
                made_by=made_by,
                named=tokens.names_any(change.identity, mentioned),
                # to have changed it gives no right to drop it
                foreign=made_by is not None
                and (made_by[0] not in names if change.change == "dropped" else not set(made_by) & set(names)),
            )
        )
    locks = (Lock(**{**lock, "kind": _KINDS.get(lock["kind"], lock["kind"])}) for lock in report["locks"])
    return Rehearsal(
        success=report["success"],
        message=report["message"],
        steps=tuple((name, sql[name]) for name in names),
        fingerprint=report["fingerprint"],
        target=target,
        where=where,
        failure=None if failure is None else _failure(failure, position, blocked_by),
        unchanged=report["unchanged"],
        diff=diff,
        impacts=tuple(impacts),
        rows=tuple(RowLoss(**row) for row in report["rows"]),
        broken=tuple(Broken(**{**broken, "used_by": tuple(broken["used_by"])}) for broken in report["broken"]),
        not_undone=tuple(NotUndone(**found) for found in report["not_undone"]),
        locks=tuple(sorted(locks, key=lambda lock: (-lock.strength, lock.relation))),
        sessions=tuple(OtherSession(**session) for session in report["sessions"]),
        replicas=tuple(
            f"{r['application_name'] or 'no name'} ({r['client_addr'] or 'local'}, {r['state'] or 'state not visible'},"
            f" {r['sync_state'] or '?'})"
            for r in report["replicas"]
        ),
        renamed=tuple((pair["old"], pair["new"]) for pair in report["renamed"]),
        rewritten=tuple(report["rewritten"]),
        statements=tuple(Statement(**statement) for statement in report["statements"]),
        notices=tuple(notices),
        remarks=(
            *remarks,
            *(
                f"Statement {number} of {name} builds SQL while it runs: what that does could not be seen before"
                for name, number in report["unseen"]
            ),
        ),
        duration_ms=report["duration_ms"],
    )


def _failure(found: Mapping[str, Any], position: int | None, blocked_by: str | None) -> Failure:
    return Failure(
        migration_name=found["migration_name"],
        sqlstate=found["sqlstate"],
        message=found["message"],
        detail=found.get("detail"),
        hint=found.get("hint"),
        statement_number=found.get("statement_number"),
        statement=found.get("statement"),
        position=position,
        passing=found["passing"],
        blocked_by=blocked_by if found["sqlstate"] in ("55P03", "40P01", "40001") else None,
    )
