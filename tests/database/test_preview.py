"""What was previewed is what runs: a preview that is no longer true is refused."""

import pytest
from watching import events, exists, intercepted, last_event, schema_of, status

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture
def two(applied):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])


def test_a_preview_shows_what_runs_and_writes_nothing(db, two, session):
    before = schema_of(session()), events(session())
    preview = db.preview("002_b")
    assert preview.steps == (("002_b", "DROP TABLE b;"),)
    assert preview.checks[0].can_rollback
    assert preview.target == db.target
    assert (schema_of(session()), events(session())) == before
    result = db.rollback("002_b", confirm="002_b", preview=preview)
    assert result.sql_executed == preview.sql


CHANGES = {
    "rollback SQL": "UPDATE migration_history SET rollback_sql = 'DROP TABLE a, b' WHERE migration_name = '002_b'",
    "status": "UPDATE migration_history SET status = 'failed' WHERE migration_name = '002_b'",
    "search_path": (
        'UPDATE migration_history SET metadata = metadata || \'{"search_path": "elsewhere"}\' WHERE migration_name ='
        " '002_b'"
    ),
    "how it is cut": (
        "UPDATE migration_history SET metadata = jsonb_set(metadata, '{rollback,set_local}', '[\"work_mem\"]') WHERE"
        " migration_name = '002_b'"
    ),
    "a new dependent": "SELECT register_migration('003_c', '3', depends_on => '{002_b}')",
    "rolled back and applied again": (
        "UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = '002_b'"
    ),
    "deleted": "DELETE FROM migration_dependencies; DELETE FROM migration_history WHERE migration_name = '002_b'",
}


@pytest.mark.few(2)
@pytest.mark.parametrize("what", CHANGES)
def test_refused_after_a_change(db, two, session, what):
    preview = db.preview("002_b")
    session().execute(CHANGES[what])
    with pytest.raises((mr.Refused, mr.MigrationNotFound)):
        db.rollback("002_b", confirm="002_b", preview=preview)
    assert exists(session(), "b")


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (CHANGES["rollback SQL"], "The rollback SQL has changed"),
        (CHANGES["how it is cut"], "The rollback SQL has changed"),
        (CHANGES["a new dependent"], "what depends on it, has changed"),
        ("CREATE TABLE somebody_elses ()", "The schema has changed"),
        ("ALTER TABLE b ADD COLUMN more int", "The schema has changed"),
        ("CREATE INDEX ON b ((1))", "The schema has changed"),
    ],
)
def test_the_refusal_says_what_has_changed(db, two, session, change, said):
    preview = db.preview("002_b")
    session().execute(change)
    with pytest.raises(mr.Refused, match=said):
        db.rollback("002_b", confirm="002_b", preview=preview)
    assert exists(session(), "b")


@pytest.mark.long
def test_rows_do_not_matter(db, two, session):
    preview = db.preview("002_b")
    session().execute("CREATE TEMPORARY TABLE passing (a int); INSERT INTO b DEFAULT VALUES; TRUNCATE b")
    session().execute("VACUUM ANALYZE b")
    assert db.rollback("002_b", confirm="002_b", preview=preview).success


@pytest.mark.long
def test_the_refusal_says_to_look_again(db, two, session):
    preview = db.preview("002_b")
    session().execute(CHANGES["rollback SQL"])
    with pytest.raises(mr.Refused, match="changed since the preview"):
        db.rollback("002_b", confirm="002_b", preview=preview)
    assert last_event(session())["event"] == "refused"
    assert db.rollback("002_b", confirm="002_b", preview=db.preview("002_b")).success


@pytest.mark.long
def test_notes_and_other_migrations_do_not_matter(db, two, session):
    preview = db.preview("002_b")
    session().execute("UPDATE migration_history SET notes = 'seen'; SELECT register_migration('009_z', '9')")
    assert db.rollback("002_b", confirm="002_b", preview=preview).success


def test_a_preview_of_something_else_is_refused(db, two, applied, session):
    applied("003_c", "CREATE TABLE c ();", "DROP TABLE c;")
    with pytest.raises(mr.Refused):
        db.rollback("002_b", confirm="002_b", preview=db.preview("003_c"))
    with pytest.raises(mr.Refused):
        db.rollback("002_b", confirm="002_b", preview="made up")
    assert exists(session(), "b")


@pytest.mark.long
def test_a_preview_of_another_database_is_refused(db, two, server, folder):
    # the notebook was connected to staging when it previewed, and to production when it ran
    name = server.create_database(template=server.template)
    try:
        with mr.connect(server.dsn(name), dir=folder) as other:
            other.apply()
            preview = other.preview("002_b")
            assert preview.sql == db.preview("002_b").sql
            with pytest.raises(mr.Refused, match=f"of another database: .*/{name} "):
                db.rollback("002_b", confirm="002_b", preview=preview)
            with pytest.raises(mr.Refused, match="not of these migrations in this database"):
                db.rollback("002_b", confirm="002_b", preview=preview.fingerprint)
    finally:
        server.drop_database(name)


def test_a_preview_of_one_does_not_allow_the_chain(db, two, session):
    with pytest.raises(mr.Refused):
        db.rollback("001_a", confirm="001_a", chain=True, preview=db.preview("002_b"))
    assert exists(session(), "b")


def test_a_chain_is_previewed_as_it_runs(db, two, session):
    preview = db.preview("001_a", chain=True)
    assert [name for name, _ in preview.steps] == ["002_b", "001_a"]
    result = db.rollback("001_a", confirm="001_a", chain=True, preview=preview)
    assert [(one.migration_name, one.sql_executed) for one in result.results] == list(preview.steps)


@pytest.mark.long
def test_a_chain_that_has_grown_is_refused(db, two, session):
    preview = db.preview("001_a", chain=True)
    session().execute("SELECT register_migration('003_c', '3', rollback_sql => 'SELECT 1', depends_on => '{002_b}')")
    with pytest.raises(mr.Refused):
        db.rollback("001_a", confirm="001_a", chain=True, preview=preview)
    assert status(session(), "002_b") == "applied"


def test_what_cannot_run_cannot_be_previewed(db, two, session):
    with pytest.raises(mr.Refused) as caught:
        db.preview("001_a")
    assert caught.value.dependents == ("002_b",)
    assert [name for name, _ in db.preview(["001_a", "002_b"]).steps] == ["002_b", "001_a"]  # in any order
    success = session().execute("SELECT success FROM execute_migration_rollbacks('{001_a,002_b}', true)").fetchall()
    assert success == [(False,)]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_sql_and_fingerprint_are_of_one_moment(db, two, session, number):
    # another session registers other SQL before the nth message of the preview
    sent = []

    def around(_, text, send):
        sent.append(text)
        if len(sent) == number:
            session().execute(CHANGES["rollback SQL"])
        return send()

    with intercepted(around):
        preview = db.preview("002_b")
    everything = "".join(sent)
    assert everything.index("migration_fingerprint") < everything.index("execute_migration_rollbacks")
    try:
        result = db.rollback("002_b", confirm="002_b", preview=preview)
    except mr.Refused:
        assert exists(session(), "b")
    else:
        assert result.sql_executed == preview.sql


def test_a_fingerprint_is_the_same_in_every_session(db, two, session):
    fingerprint = db.preview("002_b").fingerprint
    other = session(options="-c timezone=UTC -c datestyle=german -c search_path=pg_temp -c extra_float_digits=-2")
    assert other.execute("SELECT public.migration_fingerprint('{002_b}')").fetchone() == (fingerprint,)
