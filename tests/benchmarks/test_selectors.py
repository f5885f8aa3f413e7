"""Selectors over 10,000 migrations with 30,000 objects: each fetches only what it needs."""

from __future__ import annotations

from collections.abc import Callable

from psycopg.types.json import Jsonb

import migrollback_nb as mr

from .conftest import Measure, seconds

COUNT = 10_000
#: Selector -> how many are meant (None: whatever is found), and the bound.
SELECTORS = {
    "005000_m": (1, "20 ms"),
    "005000_m,status:applied": (1, "100 ms"),
    "+005000_m": (None, "50 ms"),
    "2+005000_m+2": (None, "50 ms"),
    "009000_m+": (1_000, "150 ms"),
    "00500?_m": (10, "50 ms"),
    "last:3": (3, "50 ms"),
    "table:t42": (100, "150 ms"),
    "schema:s3": (1_000, "400 ms"),
    "tag:hotfix": (100, "100 ms"),
    "by:postgres": (COUNT, "200 ms"),
}


def test_selectors(table: list[Measure], new_database: Callable[[], str]) -> None:
    """The time of each selector."""
    with mr.connect(new_database()) as db:
        register(db)
        for select, (count, bound) in SELECTORS.items():
            found = db.selected(select)
            assert count is None or len(found) == count, select
            taken = seconds(lambda select=select: db.selected(select))
            what = f"selector {select}, {COUNT:,} registered"
            table.append(Measure(what=what, ours=taken, compared_with="", other=None, bound=bound))
        what = f"what may be completed, {COUNT:,} registered"
        taken = seconds(db.selector_facts)
        table.append(Measure(what=what, ours=taken, compared_with="", other=None, bound="1000 ms"))


def register(db: mr.Migrations) -> None:
    """Many migrations: a tenth of them one long chain; three objects each, ten schemas, a hundred tables."""
    db.install()
    run = db.database.connection.execute
    run(
        "INSERT INTO migration_history (migration_name, migration_version, rollback_sql, metadata, applied_at) SELECT"
        " lpad(n::text, 6, '0') || '_m', lpad(n::text, 6, '0'), 'SELECT 1', %s || CASE WHEN n %% 100 = 0 THEN"
        " '{\"tags\": [\"hotfix\"]}'::jsonb ELSE '{}' END, now() - (20000 - n) * interval '1 minute' FROM"
        " generate_series(0, %s - 1) n",
        (Jsonb({"search_path": "public"}), COUNT),
    )
    run(
        "INSERT INTO migration_dependencies (migration_name, depends_on) SELECT lpad(n::text, 6, '0') || '_m', lpad((n"
        " - 1)::text, 6, '0') || '_m' FROM generate_series(9001, 9999) n UNION SELECT lpad(n::text, 6, '0') || '_m',"
        " lpad((n - d)::text, 6, '0') || '_m' FROM generate_series(1, 8999) n, unnest(ARRAY[7, 11]) d WHERE n % 100"
        " >= d"
    )
    run(
        "INSERT INTO migration_objects (migration_name, action, kind, identity, table_identity) SELECT lpad(n::text, 6,"
        " '0') || '_m', 'created', k.kind, format(k.form, n %% 10, n %% 100, n), CASE k.kind WHEN 'index' THEN"
        " format('s%%s.t%%s', n %% 10, n %% 100) END FROM generate_series(0, %s - 1) n, (VALUES ('column',"
        " 's%%1$s.t%%2$s.c%%3$s'), ('constraint', 's%%1$s.t%%2$s k%%3$s'), ('index', 's%%1$s.i%%3$s')) k (kind, form)",
        (COUNT,),
    )
    run("ANALYZE migration_history, migration_dependencies, migration_objects")
