"""A migration and all that rests on it, in one transaction: whole or not at all."""

import pytest
from watching import events, exists, schema_of, status, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture
def chain(applied):
    def make(**rollbacks):
        applied("001_a", "CREATE TABLE a (id int PRIMARY KEY);", rollbacks.get("a", "DROP TABLE a;"))
        applied(
            "002_b",
            "CREATE TABLE b (id int PRIMARY KEY REFERENCES a);",
            rollbacks.get("b", "DROP TABLE b;"),
            depends_on=["001_a"],
        )
        applied(
            "003_c", "CREATE TABLE c (id int REFERENCES b);", rollbacks.get("c", "DROP TABLE c;"), depends_on=["002_b"]
        )
        applied(
            "004_d",
            "CREATE TABLE d (id int REFERENCES a);",
            rollbacks.get("d", "DROP TABLE d;"),
            depends_on=["001_a", "002_b"],
        )

    return make


@pytest.mark.each_server
def test_dependents_first(db, chain, session):
    chain()
    assert db.plan("001_a").steps == ("004_d", "003_c", "002_b", "001_a")
    result = db.rollback("001_a", confirm="001_a", chain=True, reason="incident 7")
    assert result.success
    assert [one.migration_name for one in result.results] == ["004_d", "003_c", "002_b", "001_a"]
    assert not exists(session(), "a")
    assert len(set(db.events().query("event == 'rolled_back'")["attempt_id"])) == 1
    assert set(db.events().query("event == 'rolled_back'")["reason"]) == {"incident 7"}
    assert (
        value(session(), "SELECT count(DISTINCT rollback_at) FROM migration_history WHERE status = 'rolled_back'") == 1
    )


@pytest.mark.few(2)
@pytest.mark.parametrize("failing", ["a", "b", "c", "d"])
def test_one_that_fails_undoes_the_others(db, chain, session, failing):
    chain(**{failing: f"DROP TABLE {failing}; SELECT 1/0;"})
    before = schema_of(session())
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_a", confirm="001_a", chain=True)
    assert caught.value.migration_name.endswith(failing)
    assert caught.value.statement_number == 2
    assert schema_of(session()) == before
    statuses = {name: status(session(), name) for name in ("001_a", "002_b", "003_c", "004_d")}
    assert statuses.pop(caught.value.migration_name) == "failed"
    assert set(statuses.values()) == {"applied"}
    assert "rolled_back" not in events(session())


def test_one_that_may_not_refuses_the_whole(db, chain, session):
    chain(d=None)
    with pytest.raises(mr.Refused) as caught:
        db.rollback("001_a", confirm="001_a", chain=True)
    assert caught.value.migration_name == "004_d"
    assert exists(session(), "c")
    chain_by_hand = (
        session()
        .execute(
            "SELECT success, message, migration_name FROM execute_migration_rollbacks('{003_c,004_d,002_b,001_a}')"
        )
        .fetchall()
    )
    assert chain_by_hand == [(False, "No rollback SQL defined for this migration", "004_d")]
    assert exists(session(), "c")
    assert status(session(), "003_c") == "applied"


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("names", "confirm"),
    [
        (["001_a", "002_b", "003_c"], "003_c"),
        (["001_a", "003_c"], "003_c"),
        (["003_c", "nowhere"], "003_c"),
        (["002_b"], "002_b"),
    ],
)
def test_names_that_leave_dependents_behind_are_refused_whole(db, chain, session, names, confirm):
    chain()
    with pytest.raises((mr.Refused, mr.MigrationNotFound)) as caught:
        db.rollback(names, confirm=confirm)
    assert not isinstance(caught.value, mr.ConfirmationRequired)
    assert all(status(session(), name) == "applied" for name in ("001_a", "002_b", "003_c", "004_d"))
    assert exists(session(), "c")
    by_hand = session().execute("SELECT success FROM execute_migration_rollbacks('{001_a,002_b,003_c,004_d}')")
    assert by_hand.fetchall() == [(False,)]  # SQL takes the order as it is given


@pytest.mark.long
def test_those_that_are_rolled_back_already_are_left_out(db, chain, session):
    chain()
    db.rollback("003_c", confirm="003_c")
    assert db.plan("001_a").steps == ("004_d", "002_b", "001_a")
    assert db.rollback("001_a", confirm="001_a", chain=True).success


@pytest.mark.long
def test_a_chain_of_one(db, chain):
    chain()
    result = db.rollback("003_c", confirm="003_c", chain=True)
    assert result.success
    assert result.migration_name == "003_c"


def test_several_that_do_not_rest_on_each_other(db, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;")
    assert db.rollback(["001_a", "002_b"], confirm="002_b").success
    assert not exists(session(), "a")


@pytest.mark.long
def test_each_part_runs_under_its_own_path(database_dsn, folder, write_migration, session):
    session().execute("CREATE SCHEMA one; CREATE SCHEMA two")
    for number, schema in enumerate(("one", "two"), 1):
        needs = "-- Depends on: 001_t\n" if number == 2 else ""
        write_migration(
            f"00{number}_t", f"{needs}CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END"
        )
        with mr.connect(f"{database_dsn} options='-c search_path={schema}'", dir=folder) as db:
            db.database.connection.execute("SET search_path = " + schema)
            db.apply(f"00{number}_t")
    with mr.connect(database_dsn, dir=folder) as db:
        assert db.rollback("001_t", confirm="001_t", chain=True).success
    assert not exists(session(), "one.t")
    assert not exists(session(), "two.t")


@pytest.mark.long
def test_applied_again_and_back_once_more(db, chain, session):
    chain()
    before = schema_of(session())
    for _ in range(2):
        db.rollback("001_a", confirm="001_a", chain=True)
        assert db.apply("001_a", "002_b", "003_c", "004_d").applied == ("001_a", "002_b", "003_c", "004_d")
        assert schema_of(session()) == before
    assert db.verify_events().intact
