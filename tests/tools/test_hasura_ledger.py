"""Hasura's ledger, as its published source makes it: in the state of its CLI, or in the table from before that."""

import json

import pytest
from ledgers import HASURA, HASURA_TABLE
from watching import exists, last_event, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

NAMES = tuple(f"162000000000{n}_t" for n in (1, 2, 3))
STATE = "SELECT cli_state FROM hdb_catalog.hdb_version"


@pytest.fixture
def project(folder, database_dsn):
    """The folder of migrations of a database of a project, and its own connection."""

    def made(database):
        below = folder / "migrations" / database
        for number, name in enumerate(NAMES, 1):
            (below / name).mkdir(parents=True)
            (below / name / "up.sql").write_text(f"CREATE TABLE t{number} ();")
            (below / name / "down.sql").write_text(f"DROP TABLE t{number};")
        return mr.connect(database_dsn, dir=below)

    return made


def hold(connection, migrations):
    state = {"settings": {"migration_mode": "true"}, "migrations": migrations, "isStateCopyCompleted": True}
    connection.execute("UPDATE hdb_catalog.hdb_version SET cli_state = %s", (json.dumps(state),))


@pytest.mark.parametrize("database", ["default", "pg2"])
def test_the_state_of_its_cli_follows_apply_and_rollback(db, project, session, database):
    connection = session()
    connection.execute(f"{HASURA}; {HASURA_TABLE}; CREATE TABLE t1 (); CREATE TABLE t2 ()")
    held = {"1620000000001": False, "1620000000002": False}
    other = "pg2" if database == "default" else "default"
    hold(connection, {database: held, other: {"1620000000003": False}})
    with project(database) as beside:
        found = beside.adopt()
        assert (found.tools[0].tool, found.tools[0].how_sure, found.not_applied) == ("Hasura", "sure", NAMES[2:])
        assert beside.rollback(NAMES[0], confirm=NAMES[0]).success
        assert last_event(connection)["details"]["ledger"]["deleted"] == {
            "database": database,
            "version": "1620000000001",
        }
        assert value(connection, STATE) == {
            "settings": {"migration_mode": "true"},
            "migrations": {database: {"1620000000002": False}, other: {"1620000000003": False}},
            "isStateCopyCompleted": True,
        }
        assert beside.apply(NAMES[0]).applied == (NAMES[0],)
        assert value(connection, STATE)["migrations"][database] == held
        hold(connection, {database: held | {"1620000000003": True}})
        with pytest.raises(mr.Refused, match="did not come to its end"):
            beside.rollback(NAMES[1], confirm=NAMES[1])


def test_the_table_counts_where_its_state_was_not_copied(db, project, session):
    connection = session()
    connection.execute(f"{HASURA}; {HASURA_TABLE}; CREATE TABLE t1 (); CREATE TABLE t2 ()")
    connection.execute(
        "INSERT INTO hdb_catalog.schema_migrations VALUES (1620000000001, false), (1620000000002, false)"
    )
    with project("default") as beside:
        assert beside.sync().not_applied == NAMES[2:]
        assert beside.rollback(NAMES[1], confirm=NAMES[1]).success
        assert not exists(connection, "t2")
        assert beside.apply(NAMES[2]).applied == (NAMES[2],)
    kept = "SELECT array_agg(version ORDER BY version) FROM hdb_catalog.schema_migrations"
    assert value(connection, kept) == [1620000000001, 1620000000003]
    assert value(connection, STATE) == {}


def test_its_ledger_in_another_database_is_said_at_each_check(db, project):
    with project("default") as beside:
        found = beside.sync()
        assert any("No ledger of Hasura was found here" in warning for warning in found.warnings)
        (warning,) = beside.check(NAMES[2]).warnings
        assert warning == (
            "Hasura keeps its ledger in another database: it will take this one for applied after a rollback, until "
            "hasura migrate apply --version 1620000000003 --skip-execution --type down"
        )
