"""Beside Liquibase itself: what it applied is registered, what is rolled back it calls pending and applies again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from program_tools import DEPLOY_TOOLS
from watching import exists

import migrollback_nb as mr

pytestmark = pytest.mark.long
OF_NPM = DEPLOY_TOOLS / "node_modules" / "liquibase" / "dist" / "liquibase" / "liquibase"

BOATS = """--liquibase formatted sql

--changeset ann:1 labels:sea
CREATE TABLE boats (id int PRIMARY KEY, name text);
--rollback DROP TABLE boats;

--changeset ann:2
--preconditions onFail:MARK_RAN
--precondition-sql-check expectedResult:0 SELECT count(*) FROM information_schema.tables WHERE table_name = 'never'
ALTER TABLE boats ADD COLUMN length int;
--rollback ALTER TABLE boats DROP COLUMN length;

--changeset ann:3 context:test
INSERT INTO boats (id) VALUES (1);
--rollback DELETE FROM boats WHERE id = 1;

--changeset ann:4 dbms:mysql
SELECT nothing_here;
--rollback not required
"""
SAILS = """--liquibase formatted sql

--changeset ben:1 splitStatements:false
CREATE FUNCTION double(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 2 * n; END $$;
--rollback DROP FUNCTION double(int);

--changeset ben:2 endDelimiter:/ rollbackEndDelimiter:/
CREATE TABLE sails (id int)
/
CREATE INDEX sails_id ON sails (id)
/
/* liquibase rollback
DROP INDEX sails_id
/
DROP TABLE sails
/
*/

--changeset ben:3 runOnChange:true
CREATE OR REPLACE VIEW many AS SELECT double(id) AS twice FROM sails;
--rollback DROP VIEW many;

--changeset ben:4 runInTransaction:false
CREATE INDEX CONCURRENTLY sails_again ON sails (id);
--rollback DROP INDEX CONCURRENTLY sails_again;
"""
MASTER = """<?xml version="1.0" encoding="UTF-8"?>
<databaseChangeLog xmlns="http://www.liquibase.org/xml/ns/dbchangelog"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.liquibase.org/xml/ns/dbchangelog
                        http://www.liquibase.org/xml/ns/dbchangelog/dbchangelog-latest.xsd">
  <includeAll path="changes" relativeToChangelogFile="true"/>
</databaseChangeLog>
"""


def program() -> str | None:
    """Liquibase, where it is and Java too."""
    found = shutil.which("liquibase") or (str(OF_NPM) if OF_NPM.exists() else None)
    return found if shutil.which("java") else None


@pytest.fixture
def port(server) -> Iterator[int]:
    """A port that leads to the server's socket: Java's driver knows no sockets of files."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened = [listener]

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                upstream = socket.socket(socket.AF_UNIX)
                opened.extend((client, upstream))
                upstream.connect(f"{server.folder}/.s.PGSQL.5432")
                for pair in ((client, upstream), (upstream, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    for one in opened:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@pytest.fixture
def liquibase(tmp_path, folder, port, database_dsn):
    """Run it: liquibase("update") -> what it printed."""
    found = program()
    if found is None:
        pytest.skip("this machine has no Liquibase (npm install --prefix tests/deploy_tools liquibase, and a Java)")
    changes = folder / "changes"
    changes.mkdir()
    (changes / "001_boats.sql").write_text(BOATS)
    (changes / "002_sails.sql").write_text(SAILS)
    (folder / "master.xml").write_text(MASTER)
    database = psycopg.conninfo.conninfo_to_dict(database_dsn)["dbname"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [
                found,
                "--show-banner=false",
                f"--url=jdbc:postgresql://127.0.0.1:{port}/{database}",
                "--username=postgres",
                f"--search-path={folder}",
                "--changelog-file=master.xml",
                *arguments,
            ],
            check=False,
            cwd=tmp_path,
            env=os.environ | {"LIQUIBASE_ANALYTICS_ENABLED": "false"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def beside(database_dsn, folder) -> Iterator[mr.Migrations]:
    with mr.connect(database_dsn, dir=folder / "changes") as migrations:
        yield migrations


def pending(liquibase) -> set[str]:
    """The changesets that `liquibase status` names, without the path of the file."""
    lines = liquibase("status", "--verbose", "--contexts=prod").splitlines()
    return {line.strip().removeprefix("changes/") for line in lines if "::" in line}


def test_what_is_rolled_back_liquibase_calls_pending_and_applies_again(liquibase, beside, session):
    liquibase("update", "--contexts=prod")
    liquibase("tag", "v1")
    found = beside.sync()
    names = [one.migration_name for one in found.registered]
    assert names == [
        "001_boats.sql::1::ann",
        "001_boats.sql::2::ann",
        *(f"002_sails.sql::{number}::ben" for number in (1, 2, 3, 4)),
    ]
    assert all(one.has_rollback_sql for one in found.registered)
    assert found.not_applied == ("001_boats.sql::3::ann",)
    assert pending(liquibase) == set()
    rows = "SELECT id, author, md5sum FROM databasechangelog ORDER BY orderexecuted"
    before = session().execute(rows).fetchall()

    for name in reversed(names):
        result = beside.rollback(name, confirm=name, accept_loss=True)
        assert result.success, result.message
        assert name in pending(liquibase)
    assert not exists(session(), "boats")
    assert pending(liquibase) == set(names)
    liquibase("update", "--contexts=prod")
    assert set(beside.sync().applied_again) == set(names)
    assert session().execute(rows).fetchall() == before, "its checksums are its own"
    assert beside.audit().success, beside.audit().findings


def test_its_own_rollback_and_ours_know_of_each_other(liquibase, beside, session):
    liquibase("update", "--contexts=prod")
    beside.sync()
    liquibase("rollback-count", "2", "--contexts=prod")
    said = " ".join(beside.sync().warnings)
    assert "002_sails.sql::4::ben" in said
    assert "002_sails.sql::3::ben" in said
    assert any("does not hold it" in warning for warning in beside.check("002_sails.sql::4::ben").warnings)
    liquibase("update", "--contexts=prod")
    assert not any("does not hold it" in warning for warning in beside.check("002_sails.sql::4::ben").warnings)


def test_while_it_runs_nothing_is_rolled_back(liquibase, beside, session):
    liquibase("update", "--contexts=prod")
    beside.sync()
    session().execute(
        "UPDATE databasechangeloglock SET locked = true, lockgranted = now(), lockedby = 'me' WHERE id = 1"
    )
    check = beside.check("002_sails.sql::2::ben")
    assert not check.can_rollback, check
    liquibase("release-locks")
    assert beside.check("002_sails.sql::1::ben") is not None
