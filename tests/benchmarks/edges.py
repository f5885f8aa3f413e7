"""How many inferred dependencies a rollback confirms: python tests/benchmarks/edges.py DSN FOLDER [PRELUDE].

DSN is of a server where databases may be created. All migrations of the folder are applied, as far as they can be. For
each inferred dependency (A needs B) everything after B is rolled back except A and what A needs in turn; then B alone.
It is confirmed when that fails, drops or changes an object that is the reason, or one that A created. And for each B:
all its dependents are rolled back and then B, which must neither fail nor drop what another later one created.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

import migrollback_nb as mr
from migrollback_nb.core.errors import MigrollbackError

Edge = tuple[str, str]


def fresh(dsn: str, name: str) -> str:
    """DSN of a new database of this name."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        identifier = sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
    return psycopg.conninfo.make_conninfo(dsn, dbname=name)


class Folder:
    """A folder of migrations, applied to a database of its own."""

    def __init__(self, dsn: str, folder: Path, prelude: Path | None) -> None:
        self.dsn = fresh(dsn, "edges")
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            if prelude is not None:
                connection.execute(prelude.read_text().encode())
        self.failed: dict[str, str] = {}
        with mr.connect(self.dsn, dir=folder, schema="rollback_system") as db:
            db.install()
            for name in db.pending():
                try:
                    db.apply(name, snapshots="none")
                except MigrollbackError as error:
                    self.failed[name] = str(error).splitlines()[0][:150]
            self.edges: dict[Edge, tuple[str, str]] = {
                (edge["migration_name"], edge["depends_on"]): (edge["because"], edge["source"])
                for edge in db.inferred_rows()[0]
            }
            self.recorded = {(row["migration_name"], row["depends_on"]) for row in db.database.queries.dependencies()}
            applied = db.database.queries.applied()
        self.names = [row["migration_name"] for row in applied]
        self.undo = {row["migration_name"]: row["rollback_sql"] or "" for row in applied}
        self.path = {row["migration_name"]: row["search_path"] for row in applied}
        self.place = {name: place for place, name in enumerate(self.names)}
        self.connection = psycopg.connect(self.dsn)
        self.connection.execute("SET search_path = rollback_system")
        self.creators: dict[tuple[str, str], str] = {
            (kind, identity): name
            for kind, identity, name in self.connection.execute(
                "SELECT kind, identity, migration_name FROM migration_object_creators()"
            )
        }

    def needs(self, name: str) -> set[str]:
        """What it needs, and what that needs."""
        found: set[str] = set()
        ahead = [name]
        while ahead:
            one = ahead.pop()
            for dependent, base in self.edges:
                if dependent == one and base not in found:
                    found.add(base)
                    ahead.append(base)
        return found

    def dependents(self, name: str) -> set[str]:
        """What depends on it, directly or not."""
        found: set[str] = set()
        ahead = [name]
        while ahead:
            one = ahead.pop()
            for dependent, base in self.edges:
                if base == one and dependent not in found:
                    found.add(dependent)
                    ahead.append(dependent)
        return found

    def objects(self) -> dict[tuple[str, str], str]:
        """(kind, identity) -> definition."""
        rows = self.connection.execute("SELECT kind, identity, definition::text FROM rollback_system.schema_objects()")
        return {(kind, identity): definition for kind, identity, definition in rows}

    def run_undo(self, name: str) -> str | None:
        """Roll one back inside the open transaction; the error, where it fails."""
        text = self.undo[name].replace("CONCURRENTLY", "").replace("concurrently", "")
        try:
            with self.connection.transaction():
                self.connection.execute(
                    sql.SQL("SELECT set_config('search_path', {}, true)").format(sql.Literal(self.path[name]))
                )
                self.connection.execute(text.encode())
                self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                self.connection.execute("SELECT set_config('search_path', 'rollback_system', true)")
        except psycopg.Error as error:
            return str(error).splitlines()[0]
        return None

    def confirmed(self, dependent: str, base: str) -> str | None:
        """Why the one needs the other, as a rollback of the base alone shows it; None where nothing does."""
        keep = self.needs(dependent) | {dependent}
        with suppress(psycopg.errors.Error), self.connection.transaction(force_rollback=True):
            for name in reversed(self.names[self.place[base] + 1 :]):
                if name not in keep:
                    self.run_undo(name)
            before = self.objects()
            if (error := self.run_undo(base)) is not None:
                return f"fails: {error}"
            after = self.objects()
        changed = {key for key in before if before[key] != after.get(key)}
        shown = {f"{kind} {identity}" for kind, identity in changed}
        for one in self.edges[dependent, base][0].split("; "):
            if one.split(" and ")[0] in shown:
                return f"changes {one}"
        for key in changed:
            if self.creators.get(key) == dependent:
                return f"takes {key}"
        return None

    def missing(self, base: str) -> tuple[str, Sequence[str]] | None:
        """What fails, or whose objects go, when a migration is rolled back after all its known dependents."""
        gone = self.dependents(base)
        with suppress(psycopg.errors.Error), self.connection.transaction(force_rollback=True):
            for name in reversed(self.names):
                if name in gone and (error := self.run_undo(name)) is not None:
                    return f"{name} fails: {error}", ()
            before = self.objects()
            if (error := self.run_undo(base)) is not None:
                return f"fails: {error}", ()
            after = self.objects()
        taken = sorted(
            f"{' '.join(key)} of {creator}"
            for key in before.keys() - after.keys()
            if (creator := self.creators.get(key)) is not None
            and creator not in gone
            and self.place.get(creator, -1) > self.place[base]
        )
        return ("takes", taken) if taken else None


def implied(folder: Folder, confirmed: set[Edge], edge: Edge) -> bool:
    """Whether confirmed edges lead from the one to the other by a detour."""
    ahead, seen = [edge[0]], {edge[0]}
    while ahead:
        one = ahead.pop()
        for dependent, base in confirmed:
            if dependent == one and base not in seen:
                if base == edge[1]:
                    return True
                seen.add(base)
                ahead.append(base)
    return False


def main(dsn: str, path: str, prelude: str | None = None) -> None:
    folder = Folder(dsn, Path(path), None if prelude is None else Path(prelude))
    print(f"{path}: {len(folder.names)} applied, {len(folder.failed)} failed, {len(folder.edges)} edges inferred")
    print(f"  recorded by apply, one by one: {len(folder.recorded)}; differ: {folder.recorded ^ folder.edges.keys()}")
    for name, error in folder.failed.items():
        print(f"  failed: {name}: {error}")
    why = {edge: folder.confirmed(*edge) for edge in folder.edges}
    confirmed = {edge for edge, reason in why.items() if reason is not None}
    unconfirmed: dict[str, list[Any]] = defaultdict(list)
    for edge in folder.edges:
        if edge not in confirmed:
            unconfirmed["implied" if implied(folder, confirmed, edge) else "unconfirmed"].append(edge)
    for edge in unconfirmed["unconfirmed"]:
        print(f"  not confirmed: {edge[0]} needs {edge[1]}: {folder.edges[edge]}")
    missing = {name: found for name in folder.names if (found := folder.missing(name)) is not None}
    for name, found in missing.items():
        print(f"  missing: {name}: {found}")
    count = max(len(folder.names), 1)
    print(
        f"{path}: {len(confirmed)} confirmed, {len(unconfirmed['implied'])} implied, "
        f"{len(unconfirmed['unconfirmed'])} not confirmed: {len(unconfirmed['unconfirmed']) / count:.2f} for each "
        f"migration; {len(missing)} rollbacks fail or take more"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
