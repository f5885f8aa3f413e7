"""Rollback SQL may leave no other role behind: refused before commit.
Settings that it changes are put back, and named."""

import io

import psycopg
import pytest
from watching import exists, last_event, status, value

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.replay.proof import prove_folder

pytestmark = pytest.mark.versions


@pytest.fixture(autouse=True)
def role(session):
    session().execute(
        "DO $$ BEGIN IF to_regrole('left_role') IS NULL THEN CREATE ROLE left_role; END IF; END $$; CREATE FUNCTION"
        " takes_role() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET ROLE left_role; END $$"
    )


def settings(connection):
    connection.execute("DO $$ BEGIN END $$")  # which brings PL/pgSQL's own settings
    return dict(
        connection.execute("SELECT name, setting FROM pg_settings WHERE context IN ('user', 'superuser')").fetchall()
    )


def failure(db, name):
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback(name, confirm=name)
    return caught.value


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE left_role",
        "SET LOCAL ROLE left_role",
        "SET SESSION AUTHORIZATION left_role",
        "SELECT takes_role()",
        "SELECT set_config('role', 'left_role', false)",
    ],
)
def test_another_role(db, applied, session, statement):
    applied("001_t", "CREATE TABLE t ();", f"DROP TABLE t; {statement};")
    error = failure(db, "001_t")
    assert error.sqlstate == "MR020"
    assert "RESET" in error.hint
    assert exists(session(), "t")
    assert db.database.connection.execute("SELECT current_user, session_user").fetchone() == ("postgres", "postgres")
    assert list(session().execute("SELECT DISTINCT database_user FROM migration_events")) == [("postgres",)]


def test_a_role_that_is_given_back_is_fine(db, applied):
    applied(
        "001_t",
        "CREATE TABLE t (); GRANT ALL ON t TO left_role; ALTER TABLE t OWNER TO left_role;",
        "SET ROLE left_role; DROP TABLE t; RESET ROLE;",
    )
    assert db.rollback("001_t", confirm="001_t").success


#: What a block says -> the settings that are put back, as the notice names them.
CHANGED = {
    "SET work_mem = '7MB'": ["work_mem"],
    "SET SESSION statement_timeout = 0": ["statement_timeout"],
    "SET lock_timeout = '2s'": ["lock_timeout"],
    "SET search_path = pg_catalog": ["search_path"],
    "SET search_path = pg_catalog, public; SET LOCAL search_path = public": ["search_path"],
    "SELECT pg_catalog.set_config('search_path', '', false)": ["search_path"],
    "SELECT set_config('work_mem', '7MB', false)": ["work_mem"],
    "DO $$ BEGIN SET work_mem = '7MB'; END $$": ["work_mem"],
    "DO $$ BEGIN EXECUTE 'SET work_mem = ''7MB'''; END $$": ["work_mem"],
    "SELECT public.sets()": ["app.hidden", "enable_seqscan", "work_mem"],
    "SET session_replication_role = replica": ["session_replication_role"],
    "SET TIME ZONE 'UTC'": ["TimeZone"],
    "SET DateStyle = german": ["DateStyle"],
    "SET check_function_bodies = off": ["check_function_bodies"],
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY": ["default_transaction_read_only"],
    "SET default_tablespace = pg_default": ["default_tablespace"],
    "SET row_security = off": ["row_security"],
    "SET track_counts = off": ["track_counts"],
    "SET client_min_messages = error": ["client_min_messages"],
    "SET client_encoding = 'LATIN1'": ["client_encoding"],
    "SET NAMES 'SQL_ASCII'": ["client_encoding"],
    "SET xmloption = document; SET work_mem = '7MB'": ["work_mem", "xmloption"],
    "SET LOCAL work_mem = '9MB'; SET work_mem = '7MB'": ["work_mem"],
    "SET work_mem = '7MB'; SET LOCAL work_mem = '9MB'": ["work_mem"],
    "SET app.tenant = '7'": ["app.tenant"],
    "SELECT set_config('app.tenant', '7', false)": ["app.tenant"],
    "SET migrollback.recording = 'on'": ["migrollback.recording"],
    "SET migrollback.rethrow = 'on'": ["migrollback.rethrow"],
}
#: A session of its own for the client: values that are neither PostgreSQL's nor ours.
OPTIONS = (
    "-c work_mem=6MB -c timezone=Asia/Tokyo -c statement_timeout=77s -c client_min_messages=warning -c lock_timeout=3s"
    " -c search_path=public,pg_catalog"
)
SETS = """CREATE FUNCTION sets() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    SET work_mem = '7MB'; PERFORM set_config('enable_seqscan', 'off', true), set_config('app.hidden', '7', false);
    END $$"""


def of_ours(connection):
    """Settings that no list shows."""
    names = "{app.tenant,app.hidden,migrollback.recording,migrollback.rethrow,search_path}"
    return connection.execute(
        "SELECT coalesce(current_setting(n, true), '') FROM unnest(%s::text[]) AS s (n)", (names,)
    ).fetchall()


@pytest.fixture
def odd(database_dsn, folder):
    """A client whose session has settings of its own."""
    with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, options=OPTIONS), dir=folder) as migrations:
        yield migrations


@pytest.fixture
def blocks(db, write_migration, session):
    """Apply a migration for each of these blocks; name -> block."""

    def apply(texts):
        named = {f"{number:03}_t": text for number, text in enumerate(texts, 1)}
        for name, text in named.items():
            write_migration(
                name,
                f"CREATE TABLE public.t{name} ();\n-- ROLLBACK START\n{text}; DROP TABLE public.t{name};\n-- ROLLBACK"
                " END\n",
            )
        session().execute(SETS)
        db.apply()
        return named

    return apply


@pytest.mark.long
def test_settings_are_put_back_and_named(odd, blocks, session):
    # SET to the value that ours has in the rollback's transaction would show nowhere; RESET ALL brings what it finds
    changed = CHANGED | {"SET lock_timeout = '500ms'": ["lock_timeout"]}
    named = blocks([*changed, "RESET ALL"])
    connection = odd.database.connection
    before = settings(connection), of_ours(connection)
    for name, block in named.items():
        result = odd.rollback(name, confirm=name, snapshots="none")
        assert not exists(session(), f"t{name}"), block
        told = f"Settings that the rollback SQL of {name} had changed were put back: "
        assert [warning[: len(told)] for warning in result.warnings] == [told], block
        names = sorted(result.warnings[0][len(told) :].split(", "))
        if block == "RESET ALL":
            assert {"statement_timeout", "lock_timeout", "client_min_messages"} <= set(names)
        else:
            assert names == changed[block], block
        assert result.warnings[0] in [notice.message for notice in result.notices], block
        assert result._repr_html_().count("were put back") == 1, block
        assert (settings(connection), of_ours(connection)) == before, block
        event = last_event(session())
        assert (event["event"], sorted(event["details"]["settings_put_back"])) == ("rolled_back", names), block
    assert odd.verify_events().intact


def test_a_rehearsal_says_so_too_and_leaves_none(odd, blocks):
    named = blocks(
        [
            "SET work_mem = '7MB'",
            "SELECT public.sets()",
            "RESET ALL",
            "SET client_min_messages = error",
            "SET search_path = public",
        ]
    )
    connection = odd.database.connection
    before = settings(connection), of_ours(connection)
    for name, block in named.items():
        rehearsed = odd.rehearse(name)
        assert rehearsed.success, block
        assert any(f"of {name} had changed were put back" in notice.message for notice in rehearsed.notices), block
        assert (settings(connection), of_ours(connection)) == before, block


@pytest.mark.long
def test_settings_are_put_back_when_psql_calls(blocks, session):
    named = blocks([*CHANGED, "RESET ALL"])
    connection = session(options=OPTIONS.replace("client_min_messages=warning", "client_min_messages=notice"))
    heard = []
    connection.add_notice_handler(lambda said: heard.append((said.message_primary, said.message_detail)))
    before = settings(connection), of_ours(connection)
    for name, block in named.items():
        heard.clear()
        with connection.transaction():
            assert value(connection, "SELECT success FROM execute_migration_rollback(%s)", name), block
            assert value(connection, "SHOW search_path") == "public,pg_catalog", block
            assert (
                value(connection, "SELECT status FROM migration_history WHERE migration_name = %s", name)
                == "rolled_back"
            ), block
            assert (settings(connection), of_ours(connection)) == before, block
        assert "put back: " in heard[0][0], block
        assert "SET LOCAL" in heard[0][1], block
        assert (settings(connection), of_ours(connection)) == before, block


def test_of_a_call_by_hand_outside_a_transaction_nothing_is_unclear(blocks, session):
    blocks(["SET work_mem = '7MB'"])
    heard = []
    connection = session()
    connection.add_notice_handler(lambda said: heard.append(said.message_detail))
    connection.execute("SELECT execute_migration_rollback('001_t')")
    assert heard == [None]


def test_who_has_set_locally_says_what_the_session_has(blocks, session):
    (name,) = blocks(["SET lock_timeout = 0"])
    connection = session(options="-c lock_timeout=3s")
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '2s'")
        connection.execute(
            'SELECT execute_migration_rollback(%s, session_settings => \'{"lock_timeout": "3s"}\')', (name,)
        )
        assert value(connection, "SHOW lock_timeout") == "2s"
    assert value(connection, "SHOW lock_timeout") == "3s"


def test_settings_hold_for_the_statements_that_follow(db, applied, session):
    session().execute("CREATE TABLE seen (name text, value text); CREATE SCHEMA apart; CREATE TABLE apart.here ()")
    names = "{timezone,statement_timeout,app.tenant,session_replication_role}"
    note = (
        f"INSERT INTO public.seen SELECT n, coalesce(current_setting(n, true), '') FROM unnest('{names}'::text[]) AS s"
        " (n);"
    )
    sets = (
        "SET TIME ZONE 'UTC'; SET statement_timeout = '99s'; SET app.tenant = '7'; SET session_replication_role ="
        " replica; SET search_path = apart;"
    )
    applied("001_u", "SELECT 1;", note)
    applied("002_t", "SELECT 1;", f"{sets} {note} DROP TABLE here;")
    db.rollback(["001_u", "002_t"], confirm="002_t")  # the last applied goes first
    seen = session().execute("SELECT * FROM seen").fetchall()
    assert seen[:4] == [
        ("timezone", "UTC"),
        ("statement_timeout", "99s"),
        ("app.tenant", "7"),
        ("session_replication_role", "replica"),
    ]
    assert seen[4:] == [
        ("timezone", "Asia/Kathmandu"),
        ("statement_timeout", "10min"),
        ("app.tenant", ""),
        ("session_replication_role", "origin"),
    ]
    assert not exists(session(), "apart.here")


HEADER = """SET statement_timeout = 0; SET lock_timeout = 0; SET client_encoding = 'LATIN1';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false); SET check_function_bodies = false;
SET client_min_messages = warning; SET row_security = off;"""


def test_what_was_not_there_is_noticed_whatever_the_block_sets(db, applied):
    applied(
        "001_t",
        "CREATE TABLE t ();",
        f'{HEADER} DROP TABLE public.t; DROP TABLE IF EXISTS public."gönn", public."日本";',
    )
    result = db.rollback("001_t", confirm="001_t")
    assert [notice.message for notice in result.notices if notice.skipped] == [
        'table "gönn" does not exist, skipping',
        'table "日本" does not exist, skipping',
    ]


def test_the_command_line_names_them(applied, database_dsn, folder):
    applied("001_t", "CREATE TABLE t ();", "SET work_mem = '7MB'; DROP TABLE t;")
    applied("002_u", "CREATE TABLE u ();", "SET TIME ZONE 'UTC'; DROP TABLE u;", depends_on=["001_t"])
    out, err = io.StringIO(), io.StringIO()
    assert (
        cli.run(
            ["rollback", "001_t", "--chain", "--confirm", "001_t", "--dsn", database_dsn, "--dir", str(folder)],
            out,
            err,
        )
        == 0
    )
    assert [line for line in err.getvalue().splitlines() if not line.startswith("Audit log: ")] == [
        "⚠️  Settings that the rollback SQL of 002_u had changed were put back: TimeZone",
        "⚠️  Settings that the rollback SQL of 001_t had changed were put back: work_mem",
    ]


@pytest.mark.parametrize(
    ("block", "setting"),
    [
        ("SET temp_buffers = 200; CREATE TEMPORARY TABLE passing AS SELECT 1; DROP TABLE passing", "temp_buffers"),
        ("SELECT uncounted()", "track_counts"),
    ],
)
def test_what_cannot_be_put_back_is_refused(db, applied, session, block, setting):
    session().execute(
        "CREATE FUNCTION uncounted() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET track_counts = off; END $$"
    )
    applied("001_t", "CREATE TABLE t ();", f"DROP TABLE t; {block};")
    error = failure(db, "001_t")
    assert error.sqlstate == "MR021"
    assert setting in error.message
    assert exists(session(), "t")
    assert value(db.database.connection, "SHOW temp_buffers") == "8MB"
    assert value(db.database.connection, "SHOW track_counts") == "on"


def test_a_transaction_that_may_only_read_from_then_on_may_write_again_after_the_block(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; SET TRANSACTION READ ONLY;")
    assert db.rollback("001_t", confirm="001_t").success
    assert status(session(), "001_t") == "rolled_back"


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "rest",
    [
        "SET work_mem = '7MB'",
        "SELECT set_config('work_mem', '7MB', false)",
        "SET search_path = pg_catalog",
        "SET app.tenant = '7'",
    ],
)
def test_behind_a_drop_in_sql_that_was_set_by_hand(db, session, rest):
    # nobody has cut this text into statements: its first word says nothing about the rest
    connection = session()
    connection.execute("CREATE TABLE t ()")
    connection.execute("SELECT register_migration('001_t', '001', rollback_sql => %s)", (f"DROP TABLE t; {rest}",))
    before = settings(db.database.connection), of_ours(db.database.connection)
    warnings = db.rollback("001_t", confirm="001_t").warnings
    assert [warning for warning in warnings if "were put back" in warning]
    assert (settings(db.database.connection), of_ours(db.database.connection)) == before


def test_behind_a_drop_in_sql_that_was_set_by_hand_a_role_is_refused(db, session):
    connection = session()
    connection.execute("CREATE TABLE t ()")
    connection.execute("SELECT register_migration('001_t', '001', rollback_sql => 'DROP TABLE t; SET ROLE left_role')")
    assert failure(db, "001_t").sqlstate == "MR020"
    assert exists(connection, "t")


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "statement",
    [
        "SET LOCAL work_mem = '7MB'",
        "SET LOCAL search_path = pg_catalog, public",
        "SET LOCAL TIME ZONE 'UTC'",
        "SET LOCAL DateStyle = german",
        "SET LOCAL IntervalStyle = iso_8601",
        "SET LOCAL lock_timeout = '9s'",
        "SET LOCAL statement_timeout = '9s'",
        "SET LOCAL app.tenant = '7'",
        "SET LOCAL session_replication_role = replica",
        "SET LOCAL \"WORK_MEM\" = '7MB'",
        "SELECT set_config('work_mem', '7MB', true)",
        "DO $$ BEGIN SET LOCAL work_mem = '7MB'; END $$",
        "SET work_mem = '7MB'; RESET work_mem",
        "SET CONSTRAINTS ALL DEFERRED",
        "DO $$ BEGIN PERFORM set_config('work_mem', '7MB', true); END $$",
    ],
)
def test_what_ends_with_the_transaction_is_fine(db, applied, session, statement):
    connection = db.database.connection
    before = settings(connection)
    applied("001_t", "CREATE TABLE t ();", f"{statement}; DROP TABLE public.t;")
    assert db.rollback("001_t", confirm="001_t").success
    assert settings(connection) == before


@pytest.mark.long
def test_our_own_record_is_written_under_the_settings_from_before(db, applied, session):
    applied(
        "001_t",
        "CREATE TABLE t ();",
        "SET LOCAL session_replication_role = replica; SET LOCAL TimeZone = 'UTC'; DROP TABLE t;",
    )
    applied("002_u", "CREATE TABLE u ();", "DROP TABLE u;")
    db.rollback(["001_t", "002_u"], confirm="002_u")
    assert status(session(), "001_t") == "rolled_back"
    assert db.verify_events().intact


DUMPED = (
    "SET statement_timeout = 0; SET client_encoding = 'UTF8'; SELECT pg_catalog.set_config('search_path', '', false);"
    " SET row_security = off; SET check_function_bodies = false;"
)


def test_an_up_migration_as_pg_dump_writes_it_leaves_no_setting_either(db, applied, session):
    connection = db.database.connection
    before = settings(connection)
    applied("001_dump", f"{DUMPED} CREATE TABLE public.t ();", "DROP TABLE t;")
    assert settings(connection) == before
    applied("002_next", "CREATE TABLE u ();", "DROP TABLE u;")  # finds public, as it would have without the first
    assert exists(session(), "public.u")
    assert (
        value(
            session(),
            "SELECT count(DISTINCT metadata ->> 'search_path') FROM migration_history WHERE metadata ->> 'system' IS"
            " NULL",
        )
        == 1
    )


def test_an_up_migration_may_not_leave_a_role(db, write_migration, session):
    write_migration("001_t", "CREATE TABLE t (); SET ROLE left_role;")
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply("001_t")
    assert caught.value.sqlstate == "MR020"
    assert not exists(session(), "t")


def test_settings_of_a_failed_rollback_are_gone_with_it(db, applied):
    connection = db.database.connection
    applied("001_t", "CREATE TABLE t ();", "SET work_mem = '7MB'; SET ROLE left_role; SELECT 1/0;")
    failure(db, "001_t")
    assert connection.execute("SELECT current_user").fetchone() == ("postgres",)
    assert value(connection, "SHOW work_mem") != "7MB"


@pytest.mark.long
def test_a_proof_grades_what_sets_as_what_does_not(write_migration, folder, server):
    write_migration(
        "001_t",
        f"{HEADER}\nCREATE TABLE public.t ();\n-- ROLLBACK START\n{HEADER}\nDROP TABLE public.t;\n-- ROLLBACK END\n",
    )
    write_migration(
        "002_u",
        "CREATE TABLE u ();\n-- ROLLBACK START transaction:false\nSET search_path = public; DROP TABLE u;\n-- ROLLBACK"
        " END\n",
    )
    proof = prove_folder(folder, on=server.dsn())
    assert [(one.migration_name, one.grade, one.remarks) for one in proof.migrations] == [
        ("001_t", "restores", ()),
        ("002_u", "restores", ()),
    ]
