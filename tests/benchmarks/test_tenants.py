"""One rollback among many tenants of one system beside one with a single tenant, whole processes and within one.

TENANTS=1000 .venv/bin/pytest tests/benchmarks/test_tenants.py -n 0 -s
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from time import perf_counter

import psycopg
import pytest

import migrollback_nb as mr

TENANTS = int(os.environ.get("TENANTS", "100"))  #: schemas of five tables, keys and a view each
NAME = "002_users_plan"
ROUNDS = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "001_users.sql").write_text(
        "CREATE TABLE users (id int PRIMARY KEY);\n-- ROLLBACK START\nDROP TABLE users;\n-- ROLLBACK END\n"
    )
    (folder / f"{NAME}.sql").write_text(
        "-- Depends on: 001_users\nALTER TABLE users ADD plan text;\n"
        "-- ROLLBACK START\nALTER TABLE users DROP COLUMN plan;\n-- ROLLBACK END\n"
    )
    return folder


def database(server, folder, tenants):
    name = server.create_database()
    tables = "".join(
        f"CREATE TABLE t{n} (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL,"
        f" at timestamptz DEFAULT now(), other int {'REFERENCES t0' if n else ''});"
        for n in range(5)
    )
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        for tenant in range(tenants):
            connection.execute(
                f"CREATE SCHEMA tenant_{tenant}; SET search_path = tenant_{tenant}; {tables}"
                "CREATE VIEW v AS SELECT t0.id, t1.name FROM t0 JOIN t1 ON t1.other = t0.id"
            )
        connection.execute("VACUUM ANALYZE")
    began = perf_counter()
    fleet = mr.Fleet([{"name": "shop", "dsn": server.dsn(name)}], schemas="tenant_*", dir=folder)
    assert set(fleet.install()["outcome"]) == {"added"}
    added = perf_counter()
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        for tenant in range(1, tenants):
            connection.execute(f"SET search_path = tenant_{tenant}; CREATE TABLE users (id int PRIMARY KEY, plan text)")
        began_registering = perf_counter()
        if tenants > 1:
            fleet = mr.Fleet([{"name": "shop", "dsn": server.dsn(name)}], schemas="tenant_[1-9]*", dir=folder)
            assert set(fleet.register("001_users", NAME)["outcome"]) == {"registered"}
            print(
                f"\n{tenants} scopes added in {added - began:.1f} s, two migrations registered in each in"
                f" {perf_counter() - began_registering:.1f} s"
            )
        connection.execute("VACUUM ANALYZE")
    with mr.connect(server.dsn(name), scope="tenant_0", dir=folder) as db:
        db.apply()
    return name


def within(dsn, folder):
    with mr.connect(dsn, scope="tenant_0", dir=folder) as db:
        began = perf_counter()
        result = db.rollback(NAME, confirm=NAME)
        taken = perf_counter() - began
        assert result.verification.verdict == "restored"
        db.apply(NAME)
    return taken


def process(dsn, folder):
    where = ["--dsn", dsn, "--scope", "tenant_0", "--dir", str(folder)]
    command = [sys.executable, "-m", "migrollback_nb.cli"]
    began = perf_counter()
    subprocess.run([*command, "rollback", NAME, "--confirm", NAME, *where], check=True, capture_output=True)
    taken = perf_counter() - began
    subprocess.run([*command, "apply", NAME, *where], check=True, capture_output=True)
    return taken


def test_one_rollback_among_many_tenants(server, folder):
    names = [database(server, folder, 1), database(server, folder, TENANTS)]
    for what, run in (("whole process", process), ("within one", within)):
        taken = [[], []]
        for number in range(ROUNDS + 1):
            for name, times in zip(names, taken, strict=True):
                seconds = run(server.dsn(name), folder)
                if number:
                    times.append(seconds)
        alone, among = map(median, taken)
        print(f"\n{what}: 1 tenant {alone:.3f} s, {TENANTS} tenants {among:.3f} s: {among / alone:.2f}")
    for name in names:
        server.drop_database(name)
