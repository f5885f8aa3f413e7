"""Turns the report of rehearse_migration_rollbacks() into a result. Does not write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import object_names
from migrollback_nb.core.errors import Refused, RehearsalStopped
from migrollback_nb.core.passwords import mask_passwords, mask_passwords_in
from migrollback_nb.core.results.assessment import effects_of
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
from migrollback_nb.parsing import routine_bodies, tokens

if TYPE_CHECKING:
    from migrollback_nb.core.results import Assessment, Foreseen, Notice, SchemaChange, Target
    from migrollback_nb.database import Database

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


def place_of_error(
    database: Database,
    names: Sequence[str],
    report: Mapping[str, Any],
    *,
    lock_timeout: str | None = None,
    statement_timeout: str,
    max_stall: str = "0",
) -> int | None:
    """Where in its statement a rehearsal met its error; None where a second try does not say. Does not write."""
    failure = report["failure"]
    if failure is None or not failure["sqlstate"].startswith("42") or not failure.get("statement_number"):
        return None
    if report["not_undone"]:  # it would not be undone the second time either
        return None
    with suppress(Exception):  # where it failed is known without the place in the line
        return database.rehearsals.place_of_error(
            names, lock_timeout=lock_timeout, statement_timeout=statement_timeout, max_stall=max_stall
        )
    return None


def broken_bodies(database: Database, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Functions whose bodies PostgreSQL cannot check and that name what is gone after the rollback. Does not write."""
    gone = routine_bodies.gone_from(report["changes"]) if report["bodies"] else []
    found = []
    for routine in report["bodies"]:
        known = {key: routine[key] for key in ("kind", "identity", "used_by")}
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
            found.append({**known, "because": f"{verb} {', '.join(because)}", "certain": certain, "sqlstate": None})
    return found


def add_broken(report: dict[str, Any], found: Sequence[Mapping[str, Any]]) -> None:
    """Put what `broken_bodies` found into the report, among its effects where it is certain; changes the report."""
    known = {effect["identity"] for effect in report["effects"] if effect["effect"] == "breaks"}
    report["broken"] += found
    report["effects"] += [
        {
            "effect": "breaks",
            "identity": routine["identity"],
            "rows": None,
            "detail": f"{routine['kind']}: {routine['because']}",
            "migration": None,
            "known_by": "rehearsal",
        }
        for routine in found
        if routine["certain"] and routine["identity"] not in known
    ]


def refusal(report: Mapping[str, Any]) -> Refused:
    """The error that a refused rehearsal becomes; pure."""
    if report.get("needs_consent"):
        effects = "\n".join(f"  {NotUndone(**found)}" for found in report["not_undone"])
        return Refused(
            f"Undoing a rehearsal would not undo all of this:\n{effects}",
            migration_name=report["migration_name"],
            hint=(
                "Nothing has run. Rehearse it on a copy of the schema with --on scratch (on='scratch'), or here all the"
                " same with --consent (consent=True)."
            ),
        )
    if report.get("would_stall"):
        return RehearsalStopped(
            report["message"],
            migration_name=report["migration_name"],
            hint="Nothing has run. Or let others wait for longer: --max-stall (max_stall=).",
        )
    return Refused(report["message"], migration_name=report["migration_name"])


def _column_of(change: SchemaChange, columns: Iterable[str]) -> str | None:
    """Of these columns the one that a constraint, or its index, came with: NOT NULL, or named after it. Pure."""
    if change.change != "dropped" or change.kind not in ("constraint", "index") or change.parent is None:
        return None
    definition = change.old_definition or {}
    if _is_not_null(change):
        column = f"{change.parent}.{str(definition['def']).removeprefix('NOT NULL ').removesuffix(' NOT VALID')}"
        return column if column in columns else None
    if change.kind == "index" and "constraint" not in definition:
        return None
    name = object_names.unquoted(
        change.identity.removeprefix(f"{change.parent} ") if change.kind == "constraint" else definition["constraint"]
    )
    for column in columns:
        relation, last = object_names.split_last(column)
        if relation == change.parent:
            begin = f"{object_names.unquoted(object_names.split_last(relation)[1])}_{object_names.unquoted(last)}"
            if name in (f"{begin}_key", f"{begin}_check", f"{begin}_fkey"):
                return column
    return None


def _is_not_null(change: SchemaChange) -> bool:
    return str((change.old_definition or {}).get("def", "")).startswith("NOT NULL ")


def _impacts(report: Mapping[str, Any], diff: SchemaDiff) -> list[Impact]:
    """Every object that is dropped or changed, and whose it is; pure."""
    names = report["migrations"]
    mentioned = frozenset().union(*(tokens.names_in(statement["statement"]) for statement in report["statements"]))
    renamed = {pair["old"] for pair in report["renamed"]}
    impacts = []
    columns = {
        change.identity: row["made_by"]
        for change, row in zip(diff.changes, report["changes"], strict=True)
        if change.kind == "column" and change.change != "created"
    }
    for change, row in zip(diff.changes, report["changes"], strict=True):
        if change.change == "created" or (renamed and (change.identity in renamed or change.parent in renamed)):
            continue
        column = None if row["made_by"] else _column_of(change, columns)
        made_by = tuple(row["made_by"] or columns.get(column or "") or ()) or None
        impacts.append(
            Impact(
                change=change,
                made_by=made_by,
                named=tokens.names_any(column or change.identity, mentioned),
                # to have changed it gives no right to drop it; NOT NULL is a change of its column
                foreign=made_by is not None
                and (
                    made_by[0] not in names
                    if change.change == "dropped" and not (column and _is_not_null(change))
                    else not set(made_by) & set(names)
                ),
            )
        )
    return impacts


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
    assessment: Assessment | None = None,
    foreseen: Foreseen | None = None,
) -> Rehearsal:
    """The result of a report, without passwords; pure."""
    report = mask_passwords_in(dict(report))
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
    impacts = _impacts(report, diff)
    locks = (Lock(**{**lock, "kind": _KINDS.get(lock["kind"], lock["kind"])}) for lock in report["locks"])
    return Rehearsal(
        success=report["success"],
        message=report["message"],
        steps=tuple((name, mask_passwords(sql[name])) for name in names),
        fingerprint=report["fingerprint"],
        target=target,
        where=where,
        failure=None if failure is None else _failure(failure, position, blocked_by),
        unchanged=report["unchanged"],
        diff=diff,
        impacts=tuple(impacts),
        rows=tuple(RowLoss(**row) for row in report["rows"]),
        broken=tuple(Broken(**{**broken, "used_by": tuple(broken["used_by"])}) for broken in report["broken"]),
        effects=effects_of(report.get("effects", ())),
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
        assessment=assessment,
        foreseen=foreseen,
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
