"""What undoing does not undo is named before it runs, also inside functions, and needs consent."""

import itertools

import psycopg
import pytest
from pg_servers import with_migrations
from watching import events, last_event, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

SETUP = """
CREATE SEQUENCE seq;
CREATE TABLE plain (a int);
CREATE TABLE numbered (id serial, a int);
CREATE TABLE identified (id int GENERATED ALWAYS AS IDENTITY, a int);
CREATE FUNCTION harmless() RETURNS int LANGUAGE sql AS 'SELECT 1 -- nextval(1)';
CREATE FUNCTION draws() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN nextval('seq'); END $$;
CREATE FUNCTION calls_it() RETURNS bigint LANGUAGE sql AS 'SELECT draws()';
CREATE FUNCTION "Odd Name"() RETURNS bigint LANGUAGE sql AS 'SELECT calls_it()';
CREATE FUNCTION atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT nextval('seq'); END;
CREATE FUNCTION inserts() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO numbered (a) VALUES (1); END $$;
CREATE FUNCTION copies() RETURNS void LANGUAGE plpgsql AS $$ BEGIN COPY plain TO '/nonexistent/x'; END $$;
CREATE TABLE watched (a int);
CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM setval('seq', 100); RETURN NULL; END $$;
CREATE TRIGGER t AFTER DELETE ON watched FOR EACH STATEMENT EXECUTE FUNCTION on_write();
"""
#: SQL -> (what, the function inside which it is)
FOUND = {
    "SELECT nextval('seq')": ("uses up a number of a sequence (nextval)", None),
    "SELECT setval('seq', 7)": ("sets a sequence (setval)", None),
    "DO $$ BEGIN PERFORM nextval('seq'); END $$": ("uses up a number of a sequence (nextval)", None),
    "SELECT draws()": ("uses up a number of a sequence (nextval)", "public.draws()"),
    'SELECT "Odd Name"()': ("uses up a number of a sequence (nextval)", "public.draws()"),
    "SELECT public.atomic()": ("uses up a number of a sequence (nextval)", "public.atomic()"),
    "INSERT INTO numbered (a) VALUES (1)": ("uses up a number of a sequence (INSERT into public.numbered)", None),
    "INSERT INTO identified (a) VALUES (1)": ("uses up a number of a sequence (INSERT into public.identified)", None),
    "SELECT inserts()": ("uses up a number of a sequence (INSERT into public.numbered)", "public.inserts()"),
    "DELETE FROM watched": ("sets a sequence (setval)", "public.on_write()"),
    "SELECT pg_advisory_lock(1)": ("takes or frees locks of the session (pg_advisory_lock)", None),
    "SELECT pg_stat_reset()": ("forgets statistics (pg_stat_reset)", None),
    "COPY plain TO '/nonexistent/x'": ("writes a file on the server (COPY)", None),
    "SELECT copies()": ("writes a file on the server (COPY)", "public.copies()"),
    "DO $$ BEGIN EXECUTE 'SELECT dblink_exec(''x'')'; END $$": ("talks to another server (dblink_exec)", None),
    "SELECT lo_export(1, '/nonexistent/x')": ("writes files (lo_export)", None),
}


@pytest.fixture
def rollback(applied):
    """Apply a migration with this rollback SQL."""
    return lambda sql: applied("001_t", SETUP, sql)


@pytest.fixture(scope="module")
def shared(server, tmp_path_factory):
    """One database with all of SETUP, for rehearsals, which leave nothing but events:
    apply(sql) brings a migration with this rollback SQL."""
    folder = tmp_path_factory.mktemp("side_effects") / "migrations"
    numbers = itertools.count(2)
    for database in with_migrations(server, folder, {"001_setup": SETUP}):
        with mr.connect(server.dsn(database), dir=folder) as db:

            def apply(sql):
                name = f"{next(numbers):03}_t"
                text = f"SELECT 1;\n-- ROLLBACK START\n{sql}\n-- ROLLBACK END\n"
                (folder / f"{name}.sql").write_text(text, encoding="utf-8")
                db.apply(name, snapshots="none")
                return name

            with psycopg.connect(server.dsn(database), autocommit=True) as look:
                yield db, look, apply


@pytest.mark.few(4)
@pytest.mark.parametrize("sql", FOUND)
def test_named_before_it_runs(shared, sql):
    what, inside = FOUND[sql]
    db, look, apply = shared
    name = apply(f"DROP VIEW IF EXISTS nothing; {sql};")
    before = events(look), value(look, "SELECT last_value FROM seq")
    with pytest.raises(mr.Refused) as caught:
        db.rehearse(name)
    assert what in str(caught.value)
    assert f"statement 2 of {name}" in str(caught.value)
    assert "--consent" in caught.value.hint
    found = look.execute("SELECT what, inside FROM migration_side_effects(%s)", ([name],)).fetchall()
    assert (what, inside) in found
    assert (events(look), value(look, "SELECT last_value FROM seq")) == before


NOT_FOUND = [
    "SELECT harmless()",
    "DROP FUNCTION draws() CASCADE",
    "INSERT INTO plain VALUES (1)",
    "INSERT INTO watched VALUES (1)",
    "TRUNCATE numbered RESTART IDENTITY",
    "SELECT pg_advisory_xact_lock(1)",
    "NOTIFY something",
    "COMMENT ON TABLE plain IS 'nextval(1)'",
    "SELECT 'setval(''seq'', 1)'",
    "CREATE FUNCTION later() RETURNS bigint LANGUAGE sql AS 'SELECT nextval(''seq'')'",
]


@pytest.mark.few(3)
@pytest.mark.parametrize("sql", NOT_FOUND)
def test_what_is_undone_needs_no_consent(shared, sql):
    db, _, apply = shared
    assert db.rehearse(apply(f"{sql};")).success


def test_with_consent_it_runs_and_says_so(db, rollback, session):
    rollback("SELECT setval('seq', 41);")
    rehearsed = db.rehearse("001_t", consent=True)
    assert rehearsed.success
    assert [str(done) for done in rehearsed.not_undone] == ["sets a sequence (setval) (statement 1 of 001_t)"]
    assert "was not undone: sets a sequence (setval) (statement 1 of 001_t)" in rehearsed.dangers
    assert value(session(), "SELECT last_value FROM seq") == 41, "so it is true"
    assert last_event(session())["details"]["consent"] is True


@pytest.mark.long
def test_psql_is_protected_too(db, rollback, session):
    rollback("SELECT setval('seq', 41);")
    success, message, report = session().execute("SELECT * FROM rehearse_migration_rollback('001_t')").fetchone()
    assert (success, report["needs_consent"]) == (False, True)
    assert "sets a sequence (setval)" in message
    assert value(session(), "SELECT last_value FROM seq") == 1
    assert session().execute(
        "SELECT success FROM rehearse_migration_rollback('001_t', consent => true)"
    ).fetchone() == (True,)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT setval ('seq', 41)",
        'DO $$ BEGIN PERFORM "Odd Name"(); END $$',
        "COPY plain TO '/nonexistent/x'",
        "INSERT INTO public.numbered (a) VALUES (1)",
    ],
)
def test_sql_that_was_set_by_hand_is_looked_at_by_its_words(db, rollback, session, sql):
    rollback("DROP TABLE plain;")
    session().execute("UPDATE migration_history SET rollback_sql = %s WHERE migration_name = '001_t'", (sql,))
    with pytest.raises(mr.Refused, match="would not undo all"):
        db.rehearse("001_t")


def test_an_event_trigger_counts(db, rollback, session):
    rollback("DROP TABLE plain;")
    session().execute(
        "CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('seq'); END $$; "
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION on_ddl()"
    )
    with pytest.raises(mr.Refused, match="on_ddl"):
        db.rehearse("001_t")
    session().execute("ALTER EVENT TRIGGER e DISABLE")
    assert db.rehearse("001_t").success


@pytest.mark.long
def test_sql_that_is_built_while_it_runs_is_said_to_be_unseen(db, rollback):
    rollback("DROP TABLE plain; DO $$ BEGIN EXECUTE 'DROP TABLE ' || quote_ident('numbered'); END $$;")
    rehearsed = db.rehearse("001_t")
    assert rehearsed.remarks[0].startswith("Statement 2 of 001_t builds SQL while it runs")
