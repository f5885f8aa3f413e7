"""Makes up the history of a busy database: people, deploys, failures, rollbacks, re-applies, rehearsals, checklists.

`write_history` writes the tables in bulk, hundreds of migrations in a second, and chains the audit log as the system
does. `load` gives notebooks a small one, in a database of its own on the embedded server.
"""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from migrollback_nb.servers import embedded

PEOPLE = ("ana", "ben", "chen", "dora", "emil", "fatima")
CLIENTS = ("migrollback_nb/cli {}@ci-3", "migrollback_nb/notebook {}@laptop", "psql")
REASONS = ("INC-{}: the queue stood still", "INC-{}: wrong default", "slower than before", "wrong order of deploys")
BY_HAND = (9, 25)  #: before which deploys someone makes a table by hand
ITEMS = (
    "staging",
    "application",
    "dependents",
    "backup",
    "window",
    "notified",
    "reapply",
    "reason",
    "dry_run",
    "smoke",
)


@dataclass(kw_only=True)
class Made:
    """One migration of the history that is made up."""

    name: str
    version: str
    rollback_sql: str | None
    checksum: str
    depends_on: dict[str, str | None]  #: dependency -> the objects that are the reason; None: declared
    objects: list[tuple[str, str, str, str | None]]  #: action, kind, identity, table of an index
    status: str = "new"
    comes_back: bool = False  #: it will be applied again, once it is rolled back
    applied_at: datetime | None = None
    applied_by: str = ""
    rollback_at: datetime | None = None
    rollback_by: str | None = None
    notes: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def md5_of(text: str) -> str:
    """The MD5 of a text, as the system keeps it of rollback SQL."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def text_of(name: str, rollback_sql: str | None) -> str:
    """The text of the file of a migration that is made up."""
    block = "" if rollback_sql is None else f"\n-- ROLLBACK START\n{rollback_sql}\n-- ROLLBACK END\n"
    return f"-- Description: {name}\nSELECT '{name}';\n{block}"


def write_files(connection: psycopg.Connection, folder: Path, *, differing: int = 3, missing: int = 2) -> None:
    """Write the files of a history that `write_history` wrote; of the newest some are missing, some differ. Writes."""
    folder.mkdir(exist_ok=True)
    rows = connection.execute(
        "SELECT migration_name, rollback_sql FROM migration_history WHERE metadata ->> 'system' IS NULL AND status ="
        " 'applied' ORDER BY applied_at DESC"
    ).fetchall()
    for place, (name, rollback_sql) in enumerate(rows):
        if place >= missing:
            more = "-- changed since\n" if place < missing + differing else ""
            (folder / f"{name}.sql").write_text(text_of(name, rollback_sql) + more, encoding="utf-8")


class History:
    """Migrations and events in the order in which they come."""

    def __init__(self, *, migrations: int, deploys: int, months: float, seed: int, now: datetime) -> None:
        self.random = random.Random(seed)  # noqa: S311  # no secret: a history that is the same each time
        self.made: list[Made] = []
        self.events: list[tuple[datetime, str, str | None, str | None, str, str, str | None, dict[str, Any]]] = []
        self.created_by: dict[str, Made] = {}  # table or schema -> what created it
        self.snapshots: list[tuple[str, datetime, str, tuple[str, ...]]] = []  # id, when, for what, tables there
        self.by_hand: list[str] = []
        self.touched: dict[str, list[Made]] = {}  # table -> what did something to it
        self.touches = ""
        self.start = self.clock = now - timedelta(days=30.44 * months)
        room = now - timedelta(hours=1) - self.start
        moments = sorted(self.start + room * self.random.random() for _ in range(deploys))
        for number, moment in enumerate(moments):
            left, to_come = migrations - len(self.made), deploys - number
            count = left if to_come == 1 else min(left, max(1, round(self.random.expovariate(to_come / max(left, 1)))))
            end = moments[number + 1] if number + 1 < len(moments) else now
            self._deploy(number, moment, count, end)

    # -- what happens ----------------------------------------------------------------------------------------------

    def _deploy(self, number: int, moment: datetime, count: int, end: datetime) -> None:
        choose = self.random
        who = choose.choice(PEOPLE)
        client = choose.choice(CLIENTS).format(who)
        moment = max(moment, self.clock + timedelta(seconds=1))
        if number % 8 == 1:
            if number in BY_HAND:
                self.by_hand.append(f"public.by_hand_{len(self.by_hand) + 1}")
            self._snapshot(moment, "before apply", who, client)
        deploy = str(uuid.UUID(int=choose.getrandbits(128)))
        if choose.random() < 0.8:
            self.add(moment, "deploy_recorded", None, who, client, deploy=deploy, label=f"release-{number:03}")
        again = [one for one in self.made if one.comes_back and choose.random() < 0.25]
        for one in [*again, *(self._migration(moment) for _ in range(count))]:
            moment += timedelta(seconds=choose.uniform(1, 30))
            if any(base.status not in ("applied", "failed") for base in self._bases(one)):
                continue
            if choose.random() < 0.04:
                failed = {"sqlstate": "42P07", "message": "relation exists already", "deploy": deploy}
                self.add(moment, "apply_failed", one.name, who, client, **failed)
                moment += timedelta(minutes=choose.uniform(1, 20))
            one.status, one.applied_at, one.applied_by = "applied", moment, who
            one.comes_back, one.rollback_at, one.rollback_by = False, None, None
            one.metadata |= {"deploy": deploy}
            took = round(choose.lognormvariate(3, 1.5), 3)
            self.add(moment, "applied", one.name, who, client, checksum=one.checksum, deploy=deploy, duration_ms=took)
        if number % 8 == 0:
            self._snapshot(moment + timedelta(seconds=31), "after apply", who, client)
        room = max((end - moment) / timedelta(minutes=1) * 0.8, 0.1)
        after = iter(sorted(moment + timedelta(minutes=room * choose.random()) for _ in range(40)))
        self._between_deploys(after)

    def _between_deploys(self, after: Iterator[datetime]) -> None:
        choose = self.random
        in_place = [one for one in self.made if one.status == "applied"]
        for one in choose.sample(in_place, min(len(in_place), choose.choice((0, 0, 1, 2)))):
            if one.rollback_sql is not None:
                self._rehearse(next(after), one)
        if in_place and choose.random() < 0.5:
            one = choose.choice(in_place[-30:])
            if choose.random() < 0.4:
                for item in ITEMS[: choose.randrange(1, len(ITEMS) + 1)]:
                    self._checklist_item(next(after), one, item)
            self._roll_back(next(after), one)
        for one in [one for one in self.made if one.status == "failed" and choose.random() < 0.3]:
            one.status = "applied"
            details = {"old": "failed", "new": "applied"}
            self.add(next(after), "resolved", one.name, choose.choice(PEOPLE), "psql", reason="looked at", **details)

    def _rehearse(self, moment: datetime, one: Made) -> None:
        choose = self.random
        table = one.objects[0][3] or ".".join(one.objects[0][2].split(" ")[0].split(".")[:2])
        success = choose.random() < 0.9
        held = round(choose.lognormvariate(2, 1.2), 3)
        details: dict[str, Any] = {
            "success": success,
            "message": "Rehearsal: the rollback would succeed" if success else "Rehearsal: the rollback would fail: no",
            "fingerprint": md5_of(one.name),
            "duration_ms": held + 1,
            "where": "on the target itself",
        }
        if success:
            details |= {
                "foretold": [["dropped", kind, identity, md5_of("")] for _, kind, identity, _ in
                             one.objects],
                "changes": {"dropped": len(one.objects)},
                "rows_lost": choose.randrange(1000),
                "rows": [{"relation": table, "what": "dropped", "rows": 7, "exact": True}],
                "statement_ms": {
                    one.name: {"md5": md5_of(one.rollback_sql or ""), "ms": [held]}
                },
                "locks": [
                    {"relation": table, "kind": "table", "mode": "AccessExclusiveLock", "migration_name": one.name,
                     "statement_number": 1, "held_ms": held},
                ],
            }  # fmt: skip
        else:
            details |= {"sqlstate": "2BP01", "statement_number": 1, "failed": one.name}
        who = choose.choice(PEOPLE)
        self.add(moment, "rehearsed", one.name, who, f"migrollback_nb/cli {who}@ci-3", **details)

    def _checklist_item(self, moment: datetime, one: Made, item: str) -> None:
        who = self.random.choice(PEOPLE)
        run = max(number for number, event in enumerate(self.events, 1) if event[1:3] == ("applied", one.name))
        details: dict[str, Any] = {
            "item": item,
            "outcome": self.random.choice(("done", "done", "done", "failed", "skipped")),
        }
        details |= {"phase": "before", "text": item, "summary": "looked at", "evidence": {}, "attested": True}
        client = f"migrollback_nb/notebook {who}@laptop"
        self.add(moment, "checklist_item", one.name, who, client, reason="seen", **details, run=-run, ticket="INC-7")

    def _roll_back(self, moment: datetime, one: Made) -> None:
        choose = self.random
        who = choose.choice(PEOPLE)
        said: dict[str, Any] = {
            "client": choose.choice(CLIENTS).format(who),
            "attempt": str(uuid.UUID(int=choose.getrandbits(128))),
        }
        said["reason"] = choose.choice(REASONS).format(choose.randrange(100, 999))
        dependents = [other for other in self.made if other.status == "applied" and one.name in other.depends_on]
        if dependents or one.rollback_sql is None:
            why = "others depend on it" if dependents else "it has no rollback SQL"
            self.add(moment, "refused", one.name, who, **said, message=why)
            return
        self.add(moment - timedelta(milliseconds=900), "started", one.name, who, **said)
        took: dict[str, Any] = {"duration_ms": round(choose.lognormvariate(3, 1), 3)}
        if choose.random() < 0.2:
            transient = choose.random() < 0.5
            one.status = "applied" if transient else "failed"
            sqlstate = "55P03" if transient else "2BP01"
            self.add(
                moment, "failed", one.name, who, **said, **took, sqlstate=sqlstate, message="no", passing=transient
            )
            return
        one.status, one.rollback_at, one.rollback_by, one.notes = "rolled_back", moment, who, said["reason"]
        one.comes_back = choose.random() < 0.6
        self.add(moment, "rolled_back", one.name, who, **said, **took)

    def _snapshot(self, moment: datetime, kind: str, who: str, client: str) -> None:
        there = (*self.tables_in_place(), *self.by_hand)
        newest = self.made[-1].name
        if (
            not self.snapshots or self.snapshots[-1][3] != there
        ):  # as the system does: one that tells nothing new is none
            identity = str(uuid.UUID(int=self.random.getrandbits(128)))
            self.snapshots.append((identity, moment, newest, there))
        self.add(
            moment,
            "snapshot_taken",
            newest,
            who,
            client,
            snapshot=self.snapshots[-1][0],
            moment=kind,
            migrations=[newest],
        )

    def tables_in_place(self) -> tuple[str, ...]:
        """The tables that are there, by the migrations that are."""
        in_place = (name for name, one in self.created_by.items() if one.status in ("applied", "failed"))
        return tuple(name for name in in_place if "." in name)

    def add(
        self, moment: datetime, event: str, name: str | None, who: str, /, client: str, *, reason: str | None = None,
        attempt: str | None = None, **details: Any,
    ) -> None:  # fmt: skip
        """Let an event happen, done by this person."""
        self.clock = max(self.clock, moment)
        self.events.append((moment, event, name, attempt, who, client, reason, details))

    # -- migrations ------------------------------------------------------------------------------------------------

    def _bases(self, one: Made) -> list[Made]:
        return [other for other in self.made if other.name in one.depends_on]

    def _migration(self, moment: datetime) -> Made:
        choose = self.random
        number = len(self.made) + 1
        depends_on: dict[str, str | None] = {}
        objects: list[tuple[str, str, str, str | None]]
        tables = self.tables_in_place()
        if number in (1, 3):
            schema = "app" if number == 1 else "billing"
            words, objects = f"create_{schema}", [("created", "schema", schema, None)]
            creates = schema
        elif len(tables) < 3 or choose.random() < 0.1:
            in_place = [name for name, one in self.created_by.items() if one.status in ("applied", "failed")]
            schema = choose.choice(["public", *(name for name in in_place if "." not in name)])
            short = f"t{number:03}"
            creates, words, key = f"{schema}.{short}", f"create_{short}", f"{short}_pkey"
            objects = [
                ("created", "table", creates, None),
                ("created", "constraint", f"{creates} {key}", None),
                ("created", "index", f"{schema}.{key}", creates),
            ]
            if schema in self.created_by:
                depends_on[self.created_by[schema].name] = f"schema {schema}"
        else:
            creates = None
            words, objects = self._alteration(number, choose.choices(tables, range(len(tables), 0, -1))[0], depends_on)
        name = f"{moment:%Y%m%d%H%M}{number % 60:02}_{words}_{number}"
        rollback = None if choose.random() < 0.06 else f"DROP {objects[0][1].upper()} {objects[0][2]};"
        made = Made(
            name=name,
            version=name.partition("_")[0],
            rollback_sql=rollback,
            checksum=hashlib.sha256(text_of(name, rollback).encode()).hexdigest(),
            depends_on=depends_on,
            objects=objects,
            metadata={"description": f"Says what {words} is for", "search_path": "public"},
        )
        self.made.append(made)
        if creates is None:
            self.touched[self.touches].append(made)
        else:
            self.created_by[creates] = made
            self.touched[creates] = [made]
        return made

    def _alteration(
        self, number: int, table: str, depends_on: dict[str, str | None]
    ) -> tuple[str, list[tuple[str, str, str, str | None]]]:
        choose = self.random
        schema, short = table.split(".")
        depends_on[self.created_by[table].name] = choose.choice((None, f"table {table}"))
        others = [one for one in self.touched[table] if one.status in ("applied", "failed")]
        if choose.random() < 0.2 and others:
            depends_on.setdefault(others[-1].name, None)
        self.touches = table
        changed = ("changed", "table", table, None)
        match choose.choice(("column", "column", "index", "index", "constraint", "view", "trigger")):
            case "column":
                column = ("created", "column", f"{table}.c{number}", None)
                return f"add_c{number}_to_{short}", [column, changed]
            case "index":
                return f"index_{short}", [("created", "index", f"{schema}.{short}_{number}_idx", table)]
            case "constraint":
                return f"check_{short}", [("created", "constraint", f"{table} {short}_{number}_check", None), changed]
            case "view":
                return f"view_{short}", [("created", "view", f"{schema}.v{number}", None)]
        return f"watch_{short}", [("created", "trigger", f"{table} watch_{number}", None), changed]


def write_history(
    connection: psycopg.Connection,
    *,
    migrations: int = 400,
    deploys: int = 125,
    months: float = 18,
    seed: int = 13,
    events: int = 0,
    now: datetime | None = None,
) -> History:
    """Write the history of these months into a database that has the system, and nothing but it. Writes in bulk.

    Parameters
    ----------
    connection : psycopg.Connection
        Of a superuser, in autocommit mode: triggers rest while it writes.
    migrations, deploys, months, seed
        How large it is, and which one: the same numbers make the same history.
    events : int
        At least so many events: rehearsals fill it up.
    now : datetime, optional
        When it ends; by default now.
    """
    now = now or datetime.now(UTC)
    history = History(migrations=migrations, deploys=deploys, months=months, seed=seed, now=now)
    for number in range(len(history.events), events):
        moment = history.start + (now - history.start) * ((number + 1) / (events + 1))
        name = history.made[number % len(history.made)].name
        history.add(moment, "rehearsed", name, "ana", "migrollback_nb/cli ana@ci-3", success=True, duration_ms=1.5)
    with connection.transaction(), connection.cursor() as cursor:
        for name in sorted(history.created_by):
            if "." not in name:
                cursor.execute(f"CREATE SCHEMA {name}")
        for name in (*history.tables_in_place(), *history.by_hand):
            cursor.execute(f"CREATE TABLE {name} (id int PRIMARY KEY)")
        # this once the triggers that watch the history and chain the audit log rest
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "SELECT t.tgrelid::regclass::text, quote_ident(t.tgname) FROM pg_trigger t WHERE NOT t.tgisinternal"
            " AND t.tgrelid IN ('migration_history'::regclass, 'migration_dependencies'::regclass,"
            " 'migration_events'::regclass)"
        )
        triggers = cursor.fetchall()
        for table, trigger in triggers:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        _copy_migrations(cursor, history)
        _write_snapshots(cursor, history)
        _chain_events(cursor, history)
        for table, trigger in triggers:
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    connection.execute("ANALYZE")
    return history


def _copy_migrations(cursor: psycopg.Cursor, history: History) -> None:
    cursor.execute("UPDATE migration_history SET applied_at = %s", (history.start - timedelta(days=1),))
    of_history = (
        "migration_name, migration_version, applied_at, applied_by, rollback_sql, checksum, status, rollback_at"
    )
    registered = [one for one in history.made if one.status != "new"]
    with cursor.copy(f"COPY migration_history ({of_history}, rollback_by, notes, metadata) FROM STDIN") as copy:
        for one in registered:
            row = (one.name, one.version, one.applied_at, one.applied_by, one.rollback_sql, one.checksum, one.status)
            copy.write_row((*row, one.rollback_at, one.rollback_by, one.notes, Jsonb(one.metadata)))
    known = {one.name for one in registered}
    with cursor.copy("COPY migration_dependencies (migration_name, depends_on, source, because) FROM STDIN") as copy:
        for one in registered:
            for base, because in one.depends_on.items():
                if base in known:
                    copy.write_row((one.name, base, "declared" if because is None else "inferred", because))
    columns = "migration_name, action, kind, identity, table_identity, source, recorded_at"
    with cursor.copy(f"COPY migration_objects ({columns}) FROM STDIN") as copy:
        for one in registered:
            for action, kind, identity, table in one.objects:
                copy.write_row((one.name, action, kind, identity, table, "apply", one.applied_at))
    with cursor.copy("COPY migration_dependency_searches (migration_name, searched_in) FROM STDIN") as copy:
        for one in registered:
            copy.write_row((one.name, "catalogs"))
    with cursor.copy(
        "COPY migration_proofs (migration_name, checksum, grade, rollback_md5, client, proven_by, proven_at) FROM STDIN"
    ) as copy:
        for one in history.random.sample(registered, len(registered) // 3):
            if one.rollback_sql is not None:
                grade = history.random.choice(("restores", "restores", "restores", "loses_data", "differs"))
                md5 = md5_of(one.rollback_sql)
                client = "migrollback_nb/cli ana@ci-3"
                copy.write_row((one.name, one.checksum, grade, md5, client, "ana", one.applied_at))


def _write_snapshots(cursor: psycopg.Cursor, history: History) -> None:
    found = cursor.execute("SELECT schema_snapshot(), snapshot_token()").fetchone()
    now, token = found or ({}, None)
    tables = {name for name in (*history.created_by, *history.by_hand) if "." in name}

    def table_of(identity: str) -> str | None:
        """The table of ours that an object is, or belongs to: a column, a constraint, the index of its key."""
        name = ".".join(identity.partition(" ")[0].removesuffix("_pkey").split(".")[:2])
        return name if name in tables else None

    owners = {(kind, one): table_of(one) for kind, of_kind in now.items() for one in of_kind}
    for place, (identity, moment, name, there) in enumerate(history.snapshots, 1):
        gone = tables - {*there}
        objects = {
            kind: {one: definition for one, definition in of_kind.items() if owners[kind, one] not in gone}
            for kind, of_kind in now.items()
        }
        cursor.execute(
            "INSERT INTO migration_snapshots (id, migration_name, description, taken_at, token, objects)"
            " VALUES (%s, %s, 'after apply', %s, %s, %s)",
            (identity, name, moment, token if place == len(history.snapshots) else None, Jsonb(objects)),
        )


def _chain_events(cursor: psycopg.Cursor, history: History) -> None:
    """The audit log: what the system itself left comes first, and each event carries the hash of the one before."""
    cursor.execute(
        "CREATE TEMP TABLE made_events (occurred_at timestamptz, event text, migration_name text, attempt_id uuid,"
        " database_user text, client text, reason text, details jsonb, place bigint)"
    )
    cursor.execute(
        "INSERT INTO made_events SELECT %s + event_number * interval '1 second', event, migration_name, attempt_id,"
        " database_user, client, reason, details, -1 FROM migration_events",
        (history.start - timedelta(days=1),),
    )
    cursor.execute("DELETE FROM migration_events")
    with cursor.copy("COPY made_events FROM STDIN") as copy:
        for place, (*row, details) in enumerate(history.events, 1):
            copy.write_row((*row, json.dumps(details), place))
    # a run of a checklist is named by the event that applied the migration, whose number is known only now
    cursor.execute(resources.files(__package__).joinpath("chain_events.sql").read_bytes())
    cursor.execute("DROP TABLE made_events")


#: The database of the small history on the embedded server.
DATABASE = "migrollback_history"


def load(folder: Path) -> str:
    """Make a small history on the embedded server, and its files, unless they are there. Returns the DSN. Writes.

    Parameters
    ----------
    folder : Path
        Where the files go; made when it is not there.
    """
    from migrollback_nb.migrations import connect

    dsn = embedded.start(DATABASE)
    with connect(dsn, schema="public", interface="demo") as db:
        db.install()
        empty = not len(db.list())
    with psycopg.connect(dsn, autocommit=True) as connection:
        if empty:
            write_history(connection, migrations=60, deploys=24, months=6, seed=4)
        if not folder.exists():
            write_files(connection, folder)
    return dsn
