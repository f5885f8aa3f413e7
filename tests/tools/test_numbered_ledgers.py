"""Ledgers of db-migrate and postgres-migrations, both called migrations: kept in step, and gaps told before."""

import hashlib

import pytest
from watching import exists, value

pytestmark = pytest.mark.versions


def test_postgres_migrations_ledger_keeps_the_hash_and_check_tells_of_a_gap(db, folder, session):
    connection = session()
    connection.execute(
        "CREATE TABLE migrations (id int PRIMARY KEY, name varchar(100) UNIQUE NOT NULL, hash varchar(40) NOT NULL,"
        " executed_at timestamp DEFAULT current_timestamp); INSERT INTO migrations VALUES (0, 'create', 'h', now())"
    )
    (folder / "package.json").write_text('{"dependencies": {"postgres-migrations": "5"}}')
    texts = {}
    for number, name in ((1, "1_a"), (2, "2-b")):
        texts[name] = f"CREATE TABLE t{number} ();\n-- ROLLBACK START\n-- DROP TABLE t{number};\n-- ROLLBACK END\n"
        (folder / f"{name}.sql").write_text(texts[name])
    assert db.apply().applied == ("1_a", "2-b")
    rows = connection.execute("SELECT id, name, hash FROM migrations WHERE id > 0 ORDER BY 1").fetchall()
    assert rows == [
        (number, name[2:], hashlib.sha1(f"{name}.sql{text}".encode(), usedforsecurity=False).hexdigest())
        for number, (name, text) in enumerate(texts.items(), 1)
    ]
    (warning,) = db.check("1_a").warnings
    assert "compares its files with its ledger place by place" in warning
    assert db.check("2-b").warnings == ()
    assert db.rollback("2-b", confirm="2-b").success
    assert value(connection, "SELECT max(id) FROM migrations") == 1
    assert db.check("1_a").warnings == ()
    other = session()
    other.execute("SELECT pg_advisory_lock(-8525285245963000605)")
    assert "holds the lock of postgres-migrations" in db.check("1_a").reason


def test_db_migrates_ledger_leaves_other_scopes_alone(db, folder, session):
    connection = session()
    connection.execute(
        "CREATE TABLE migrations (id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL);"
        " INSERT INTO migrations (name, run_on) VALUES ('/20250120000000-a', '2026-06-01'), ('/scope/20250120000000-a',"
        " '2026-06-01'); CREATE TABLE a ()"
    )
    name = "20250120000000-a"
    (folder / "sqls").mkdir()
    (folder / f"{name}.js").write_text(
        f"exports.up = (db) => read('sqls/{name}-up.sql').then((data) => db.runSql(data));\n"
        f"exports.down = (db) => read('sqls/{name}-down.sql').then((data) => db.runSql(data));\n"
    )
    (folder / "sqls" / f"{name}-up.sql").write_text("CREATE TABLE a ();")
    (folder / "sqls" / f"{name}-down.sql").write_text("DROP TABLE a;")
    found = db.adopt()
    assert (found.tools[0].tool, found.tools[0].how_sure) == ("db-migrate", "sure")
    assert db.history()["applied_at"][0].year == 2026
    assert db.rollback(name, confirm=name).success
    assert not exists(connection, "a")
    assert connection.execute("SELECT name FROM migrations").fetchall() == [(f"/scope/{name}",)]
    assert db.apply(name).applied == (name,)
    assert value(connection, "SELECT count(*) FROM migrations") == 2
