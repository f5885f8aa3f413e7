"""Rehearses rollbacks on a copy of the target's schema. Writes nothing to the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import Refused
from migrollback_nb.core.results.assessment import Assessment
from migrollback_nb.database.rehearsal_report import add_broken, broken_bodies, from_report, place_of_error, refusal
from migrollback_nb.database.rehearsals import STATEMENT_TIMEOUT
from migrollback_nb.files.stored_effects import refuse_hidden_effects
from migrollback_nb.replay.schema_copy import copied

if TYPE_CHECKING:
    from migrollback_nb.core.results import Notice, Rehearsal
    from migrollback_nb.database import Database


def rehearse_on_copy(
    target: Database, names: Sequence[str], *, on: str, consent: bool = False, statement_timeout: str | None = None
) -> Rehearsal:
    """Rehearse rollbacks, in this order, on a copy of the target's schema. Writes nothing to the target.

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
    timeout = statement_timeout or STATEMENT_TIMEOUT
    fingerprint = target.queries.fingerprint(names)
    dry_run = target.queries.dry_run(names)
    if not dry_run[0]["success"]:
        raise Refused(dry_run[0]["message"], migration_name=dry_run[0]["migration_name"])
    if not consent:
        refuse_hidden_effects(target.queries.stored(names))
    with copied(target, on=on, timeouts=target.session.timeouts) as copy:
        database = copy.database
        needed = [row for row in database.rehearsals.not_undone(names) if row["outside"]]
        if needed and not consent:
            raise refusal({"needs_consent": True, "not_undone": needed, "migration_name": needed[0]["migration_name"]})
        history = database.queries.stored(names)
        blocked_by = position = None
        if len(names) == 1 and database.queries.warnings(names)[names[0]]["nontransactional"]:
            report, notices = _statement_by_statement(database, names[0], history[names[0]])
        else:
            run = database.rehearsals.rehearse(names, consent=True, statement_timeout=timeout)
            report, notices, blocked_by = run.report, run.notices, run.blocked_by
            if report.get("refused"):
                raise refusal(report)
            position = place_of_error(database, names, report, statement_timeout=timeout)
        broken = broken_bodies(database, report)
    report["fingerprint"] = fingerprint
    report["rows"] = _estimated_rows(target, report, history)
    report["effects"] = target.rehearsals.effects(report)
    add_broken(report, broken)
    locked = sorted({lock["relation"] for lock in report["locks"]})
    report["sessions"] = target.rehearsals.sessions_on(locked)
    if any(lock["mode"] == "ACCESS EXCLUSIVE" for lock in report["locks"]):
        report["replicas"] = target.rehearsals.standbys()
    remarks = (
        *copy.remarks,
        (
            "The copy has no rows: how long the statements last, what constraints say to the rows, and how many rows"
            " DELETE and UPDATE would meet could not be seen. Numbers of rows are what the target's statistics say"
        ),
    )
    found = from_report(
        report,
        sql={name: row.get("rollback_sql") or "" for name, row in history.items()},
        target=target.target,
        notices=notices,
        where=f"on a copy of the schema on {copy.server}",
        position=position,
        blocked_by=blocked_by,
        remarks=remarks,
        assessment=Assessment.from_row(
            names[-1],
            target.queries.assess(names, {"success": report["success"], "effects": report.get("effects", [])}),
        ),
    )
    from migrollback_nb.undo.ddl.definitions import with_definitions

    return replace(found, diff=with_definitions(found.diff))


def _statement_by_statement(
    database: Database, name: str, history: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Notice]]:
    """Roll one migration back outside a transaction, and report it as a rehearsal does. Writes to the copy."""
    before, states = database.rehearsals.schema_snapshot(), database.rehearsals.states()
    execution = database.nontransactional.rollback(name)
    row = execution.rows[0]
    failure = None if execution.rows[0]["success"] else execution.details.get(name)
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
        "states": database.rehearsals.state_effects([name], states),
        "effects": [],
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
        for _, action, schema, table in (found["metadata"].get("rollback") or {}).get("writes", []):
            if action in words:
                relation = f"{schema}.{table}" if schema else table
                lost.append(
                    {
                        "relation": relation,
                        "column": None,
                        "what": words[action],
                        "rows": None,
                        "exact": False,
                        "sqlstate": None,
                    }
                )
    return lost
