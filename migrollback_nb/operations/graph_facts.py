"""What pictures of dependencies are drawn from; looks for dependencies where no one did. Does not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import object_names
from migrollback_nb.core.dependency_graph import DependencyGraph, Edge
from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.display.graph.facts import GraphFacts, Reference, Touched
from migrollback_nb.operations.dependencies import files_of, infer_dependencies

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrollback_nb.database import Database
    from migrollback_nb.files.formats import MigrationFolder

#: Kinds that are tables to a reader, or hold rows as tables do.
_TABLES = frozenset({"table", "partitioned table", "foreign table", "view", "materialized view"})
_PARTS = frozenset({"constraint", "trigger", "policy", "rule"})
#: Of a rollback these spoil more than the schema, the worst first.
_HARM = (
    ("loses", frozenset({"loses_rows", "loses_values", "values_not_restored"})),
    ("takes_others", frozenset({"takes_other"})),
)


def graph_facts(
    database: Database,
    folder: Callable[[], MigrationFolder | None] = lambda: None,
    *,
    edges: str = "all",
    objects: bool = False,
    deploys: bool = False,
    references: bool = False,
) -> GraphFacts:
    """What is known of the migrations, their dependencies and their objects. Does not write.

    Parameters
    ----------
    database : Database
        Where it is recorded.
    folder : callable
        Gives the folder whose files are read where no one has looked for dependencies yet.
    edges : {'all', 'recorded'}
        all: where it was not looked for what a migration depends on, it is now, and not kept.
    objects, deploys, references : bool
        Also which objects each touched, which deploy brought each, which tables refer to which.
    """
    rows = database.graph.rows(objects=objects, deploys=deploys, references=references)
    labels = {row["deploy_id"]: row["label"] for row in rows.deploys}
    known = [Edge.of(row) for row in rows.dependencies]
    not_looked = sum(row["not_looked"] and row["status"] != "rolled_back" for row in rows.migrations)
    remarks: tuple[str, ...] = ()
    if not_looked and edges == "all":
        try:
            found, remarks = _looked_for(database, folder)
        except MigrollbackError as error:
            remarks = (f"It could not be looked for dependencies: {error.message}",)
        else:
            known += found
            not_looked = 0
    return GraphFacts(
        graph=DependencyGraph({row["migration_name"]: row["status"] for row in rows.migrations}, known),
        applied_at={row["migration_name"]: row["applied_at"] for row in rows.migrations},
        actors={row["migration_name"]: row["applied_by"] or "" for row in rows.migrations},
        deploys={
            row["migration_name"]: labels[row["deploy_id"]] for row in rows.migrations if row["deploy_id"] in labels
        },
        objects=tuple(_touched(row) for row in rows.objects),
        references=tuple(
            Reference(table=row["relation"], referenced=row["referenced"], constraint=row["constraint_name"])
            for row in rows.references
        ),
        bare=frozenset(row["migration_name"] for row in rows.migrations if row["bare"]),
        not_looked=not_looked,
        remarks=remarks,
    )


def with_verdicts(database: Database, facts: GraphFacts, steps: Sequence[str]) -> GraphFacts:
    """The facts with the verdict of each of these steps, as it is when all before it are done. Does not write."""
    path = database.queries.effective_search_path()
    known = {row["migration_name"]: row for row in database.graph.step_effects(steps, path)}
    verdicts = {name: _verdict(facts.graph.statuses[name], known.get(name)) for name in steps if name in facts.graph}
    return replace(facts, verdicts={**facts.verdicts, **verdicts})


def _looked_for(database: Database, folder: Callable[[], MigrationFolder | None]) -> tuple[list[Edge], tuple[str, ...]]:
    """What is inferred and neither recorded nor dismissed, and which files could not be read."""
    found = infer_dependencies(database, files_of(folder()))
    dismissed = {(row["migration_name"], row["depends_on"]) for row in database.dependencies.dismissed()}
    new = [
        Edge(edge.migration_name, edge.depends_on, "inferred", edge.because, recorded=False)
        for edge in found.edges
        if (edge.migration_name, edge.depends_on) not in found.known | dismissed
    ]
    if new:
        note = f"{len(new):,} of the dependencies were inferred just now and are not recorded (migrollback sync does)"
        return new, (note, *found.remarks)
    return new, found.remarks


def _touched(row: Mapping[str, Any]) -> Touched:
    kind, identity = row["kind"], row["identity"]
    if kind in _TABLES:
        table: str | None = identity
    elif kind == "column":
        table = object_names.split_last(identity)[0]
    elif kind in _PARTS:
        table = object_names.split_table(identity)[0]
    else:
        table = row["table_identity"]
    return Touched(
        migration_name=row["migration_name"], action=row["action"], kind=kind, identity=identity, table=table or None
    )


def _verdict(status: str, known: Mapping[str, Any] | None) -> str:
    """The verdict of one step of a chain; its dependents do not block it, for they are rolled back before."""
    if status == "failed":
        return "blocked"
    if known is None:
        return "not_rehearsed"
    effects = {effect["effect"] for effect in known["effects"]}
    for verdict, harmful in _HARM:
        if effects & harmful:
            return verdict
    if effects - {"locks"} or known["grade"] not in (None, "restores"):
        return "harms"
    return "not_rehearsed" if known["grade"] is None else "ready"
