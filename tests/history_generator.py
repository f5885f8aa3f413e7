"""A handful of migrations, really applied, rehearsed, rolled back and applied again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psycopg

import migrollback_nb as mr

SMALL = {
    "001_shop": ("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, total numeric);",
                 "DROP TABLE shop.orders; DROP SCHEMA shop;"),
    "002_index_total": ("CREATE INDEX orders_total ON shop.orders (total);", "DROP INDEX shop.orders_total;"),
    "003_customers": ("CREATE TABLE shop.customers (id int PRIMARY KEY, email text);", "DROP TABLE shop.customers;"),
    "004_view": ("CREATE VIEW shop.totals AS SELECT sum(total) AS total FROM shop.orders;", "DROP VIEW shop.totals;"),
    "005_seed": ("INSERT INTO shop.customers VALUES (1, 'a@example.org');", None),
    "006_broken": ("SELECT 1;", "DROP TABLE shop.nothing;"),
    "007_note": ("ALTER TABLE shop.orders ADD COLUMN note text;", "ALTER TABLE shop.orders DROP COLUMN note;"),
}  # fmt: skip


def small_history(dsn: str, folder: Path) -> None:
    """Really apply, rehearse, roll back and apply again a handful of migrations. Writes the database and the folder."""
    folder.mkdir(exist_ok=True)
    for name, (up, rollback) in SMALL.items():
        block = "" if rollback is None else f"\n-- ROLLBACK START\n{rollback}\n-- ROLLBACK END\n"
        (folder / f"{name}.sql").write_text(f"{up}\n{block}", encoding="utf-8")
    with mr.connect(dsn, dir=folder) as db:
        db.apply("001_shop", "002_index_total", deploy="first")
        db.apply("003_customers", "004_view", "005_seed", deploy="second")
        db.rehearse("004_view")
        db.rollback("004_view", confirm="004_view", reason="INC-42: too slow")
        db.apply("004_view", deploy="third")
        db.apply("006_broken", deploy="third")
        with suppress(mr.RollbackFailed):
            db.rollback("006_broken", confirm="006_broken", reason="to try")
        db.apply("007_note", deploy="third")
        db.rollback("007_note", confirm="007_note", reason="INC-43: not wanted")
        checklist = mr.Checklist(db, "002_index_total", ticket="INC-44")
        checklist.skip("staging", "there is none")
        checklist.answer("dependents")
        db.snapshot("002_index_total", "before a change by hand")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE shop.by_hand (id int)")
