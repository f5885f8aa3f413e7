"""Whatever message of the protocol a connection is cut at: the answer never contradicts the database."""

import os
import signal
import time

import psycopg
import pytest
from watching import eventually, exists, status

import migrollback_nb as mr
from migrollback_nb.servers.private import PrivateServer


def outcome_of(call):
    """As `outcome`, for what asks the database itself."""
    try:
        return call()
    except psycopg.Error as error:
        return error


def outcome(call):
    """The result of a call, or the error that it ended with."""
    try:
        return call()
    except mr.MigrollbackError as error:
        return error


def cut_everywhere(cutter, call, check, *, every=1):
    """Make a call again and again, cut at each of its messages:
    before the server has it, when it has answered, and so that nobody is let in again.

    `check` is called with how the call ended and where it was cut. every: only at each so manieth message, each time at
    others. Returns how many cuts there were.
    """
    cuts = 0
    for first, (before, for_good) in enumerate(((True, False), (False, False), (False, True)), 1):
        for number in range(min(first, every), 200, every):
            cutter.arm(number, before=before, for_good=for_good)
            answer = outcome(call)
            cut = cutter.cut
            where = cutter.messages[number - 1][:300] if cut else None
            cutter.arm(0, before=False)
            check(
                answer,
                f"cut {'before' if before else 'after'} {where} ({'for good' if for_good else 'once'}): {answer!r}",
            )
            if not cut:
                break
            cuts += 1
    return cuts


def again(migrations):
    """The connection, new where it was lost."""
    if migrations.database.connection.closed:
        migrations.database.session.reconnect()
    return migrations


def is_honest(error, where):
    """Whether an error says that what it is about may be done all the same."""
    assert isinstance(error, mr.ConnectionFailed | mr.RollbackFailed | mr.ApplyFailed), where
    return "not known" in error.message


def checks_rollback(cuttable, look):
    """What an answer of the rollback of 001_t may say; afterwards it is applied again."""

    def check(answer, where):
        is_gone = status(look, "001_t") == "rolled_back"
        assert exists(look, "t") is not is_gone, where
        if isinstance(answer, mr.RollbackResult):
            assert answer.success, where
            assert is_gone, where
            if answer.verification is None:
                assert any("verify-rollback 001_t" in warning for warning in answer.warnings), where
                assert again(cuttable).verify_rollback("001_t").verdict == "restored", where
            else:
                assert answer.verification.verdict == "restored", where
        else:
            assert is_honest(answer, where) or not is_gone, where
        if is_gone:
            again(cuttable).apply("001_t")

    return check


@pytest.mark.long
def test_whatever_is_cut_the_answer_of_a_rollback_never_contradicts_the_database(cuttable, cutter, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    assert (
        cut_everywhere(
            cutter, lambda: again(cuttable).rollback("001_t", confirm="001_t"), checks_rollback(cuttable, session())
        )
        > 20
    )


@pytest.mark.long
def test_whenever_the_servers_process_is_ended_the_answer_of_a_rollback_never_contradicts_the_database(
    cuttable, cutter, applied, session
):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    look = session()
    check = checks_rollback(cuttable, look)

    def end():
        pid = cuttable.database.connection.info.backend_pid
        look.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))

    for number in range(1, 200):
        cutter.arm(number, before=True, strike=end)
        answer = outcome(lambda: again(cuttable).rollback("001_t", confirm="001_t"))
        cut, where = cutter.cut, f"ended before {cutter.messages[min(number, len(cutter.messages)) - 1][:300]}: "
        cutter.arm(0, before=False)
        check(answer, where + repr(answer))
        if not cut:
            break
    assert number > 7


def test_when_the_server_crashes_the_answer_of_a_rollback_never_contradicts_the_database(
    server, cutter_of, folder, write_migration
):
    write_migration("001_t", "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    crashing = PrivateServer.start(server.bin)
    try:
        cutter = cutter_of(crashing)
        with mr.connect(f"host={cutter.folder} dbname=postgres user=postgres", dir=folder) as db:
            db.install()

            def look():
                with psycopg.connect(crashing.dsn(), autocommit=True) as connection:
                    return status(connection, "001_t") == "rolled_back"

            def crash():
                os.kill(
                    db.database.connection.info.backend_pid, signal.SIGKILL
                )  # which brings down all others, and the server recovers
                time.sleep(0.1)

            db.apply("001_t")
            cutter.arm(0, before=False)
            db.rollback("001_t", confirm="001_t")
            last_call = max(
                number for number, message in enumerate(cutter.messages, 1) if b"execute_migration_rollbacks" in message
            )
            commit = next(
                number
                for number, message in enumerate(cutter.messages, 1)
                if number > last_call and b"COMMIT" in message
            )
            for number, is_gone in ((commit, False), (commit + 1, True), (commit + 3, True)):
                again(db).apply("001_t")
                cutter.arm(number, before=True, strike=crash)
                answer = outcome(lambda: db.rollback("001_t", confirm="001_t"))
                assert cutter.cut
                cutter.arm(0, before=False)
                eventually(lambda: not isinstance(outcome_of(look), psycopg.Error), "the server is back")
                assert look() is is_gone, (number, answer)
                if is_gone:
                    assert answer.success, answer
                else:
                    assert "nothing of it was committed" in answer.message, answer
                    assert again(db).rollback("001_t", confirm="001_t").success
    finally:
        crashing.stop()


@pytest.mark.long
def test_whatever_is_cut_the_answer_of_apply_never_contradicts_the_database(cuttable, cutter, write_migration, session):
    for name in ("001_t", "002_u"):
        write_migration(
            name, f"CREATE TABLE {name[-1]} ();\n-- ROLLBACK START\nDROP TABLE {name[-1]};\n-- ROLLBACK END"
        )
    look = session()

    def check(answer, where):
        applied = {
            name
            for (name,) in look.execute(
                "SELECT migration_name FROM migration_history WHERE status = 'applied' AND metadata ->> 'system' IS"
                " NULL"
            )
        }
        assert {name for name in ("001_t", "002_u") if exists(look, name[-1])} == applied, where
        if isinstance(answer, mr.ApplyResult):
            assert set(answer.applied) == applied == {"001_t", "002_u"}, where
        else:
            assert set(answer.done) <= applied, where
            assert is_honest(answer, where) or set(answer.done) == applied, where
        for name in applied:
            look.execute("SELECT execute_migration_rollback(%s)", (name,))

    assert cut_everywhere(cutter, lambda: again(cuttable).apply("001_t", "002_u"), check, every=3) > 12


@pytest.fixture
def in_steps(db, applied):
    """A migration that is applied and rolled back outside a transaction; what has run may run again."""
    return applied(
        "001_t",
        "CREATE TABLE IF NOT EXISTS t (a int); CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a);",
        "DROP INDEX CONCURRENTLY IF EXISTS i; DROP TABLE IF EXISTS t;",
        options=" transaction:false",
        header="-- Transaction: false\n",
    )


@pytest.mark.long
def test_whatever_is_cut_outside_a_transaction_the_answer_of_a_rollback_never_contradicts_the_database(
    cuttable, cutter, in_steps, session
):
    look = session()

    def check(answer, where):
        is_gone = status(look, in_steps) == "rolled_back"
        if isinstance(answer, mr.RollbackResult):
            assert (is_gone, exists(look, "t")) == (True, False), where
            assert answer.verification is not None or any(
                "verify-rollback" in warning for warning in answer.warnings
            ), where
        else:
            assert is_honest(answer, where) or not is_gone, where
            if "Nothing was changed" in str(answer):
                assert exists(look, "i"), where
            if "1 of 2 statements" in answer.message:
                assert not exists(look, "i"), where
        if not is_gone:  # it resumes
            assert again(cuttable).rollback(in_steps, confirm=in_steps, snapshots="none").success, where
        again(cuttable).apply(in_steps, snapshots="none")

    assert cut_everywhere(cutter, lambda: again(cuttable).rollback(in_steps, confirm=in_steps), check, every=5) > 25


@pytest.mark.long
def test_whatever_is_cut_outside_a_transaction_the_answer_of_apply_never_contradicts_the_database(
    cuttable, cutter, in_steps, session
):
    look = session()
    again(cuttable).rollback(in_steps, confirm=in_steps, snapshots="none")

    def check(answer, where):
        is_there = status(look, in_steps) == "applied"
        if isinstance(answer, mr.ApplyResult):
            assert (is_there, exists(look, "i")) == (True, True), where
        else:
            assert is_honest(answer, where) or not is_there, where
            if "Nothing was changed" in str(answer):
                assert not exists(look, "t"), where
        if not is_there:  # it resumes
            assert again(cuttable).apply(in_steps, snapshots="none").applied, where
        again(cuttable).rollback(in_steps, confirm=in_steps, snapshots="none")

    assert cut_everywhere(cutter, lambda: again(cuttable).apply(in_steps, snapshots="none"), check, every=5) > 12


@pytest.mark.long
def test_whatever_is_cut_what_is_registered_and_resolved_is_said_as_it_is(cuttable, cutter, write_migration, session):
    look = session()
    for name in ("001_t", "002_u"):
        write_migration(name, "SELECT 1;\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END")

    def known():
        return {
            name
            for (name,) in look.execute(
                "SELECT migration_name FROM migration_history WHERE metadata ->> 'system' IS NULL"
            ).fetchall()
        }

    def check_sync(answer, where):
        if isinstance(answer, mr.SyncResult):
            assert {one.migration_name: one.outcome for one in answer.registered} == dict.fromkeys(
                ("001_t", "002_u"), "registered"
            ), where
            assert len(known()) == 2, where
        else:
            assert is_honest(answer, where) or not known(), where
        look.execute("DELETE FROM migration_history WHERE metadata ->> 'system' IS NULL")

    assert cut_everywhere(cutter, lambda: again(cuttable).sync(), check_sync, every=3) > 5

    def check_register(answer, where):
        if isinstance(answer, mr.RegisterResult):
            assert (answer.outcome, known()) == ("registered", {"001_t"}), where
        else:
            assert is_honest(answer, where) or not known(), where
        look.execute("DELETE FROM migration_history WHERE metadata ->> 'system' IS NULL")

    assert cut_everywhere(cutter, lambda: again(cuttable).register("001_t"), check_register, every=2) > 4
    again(cuttable).register("001_t")

    def check_resolve(answer, where):
        resolved = status(look, "001_t") == "rolled_back"
        if isinstance(answer, mr.RegisterResult):
            assert (answer.outcome, resolved) == ("applied -> rolled_back", True), where
        else:
            assert is_honest(answer, where) or not resolved, where
        if resolved:
            again(cuttable).register("001_t")

    assert (
        cut_everywhere(
            cutter,
            lambda: again(cuttable).resolve("001_t", status="rolled_back", reason="by hand", force=True),
            check_resolve,
        )
        > 5
    )


@pytest.mark.long
@pytest.mark.usefixtures("impatient")
def test_whatever_is_cut_what_is_installed_is_said_as_it_is(cutter, empty_dsn):
    dsn = psycopg.conninfo.make_conninfo(empty_dsn, host=cutter.folder)
    with psycopg.connect(empty_dsn, autocommit=True) as look, mr.connect(dsn, schema="apart") as db:

        def check(answer, where):
            there = exists(look, "apart.migration_history")
            if isinstance(answer, mr.InstallResult):
                assert (there, len(answer.installed)) == (True, 1), where
            else:
                assert is_honest(answer, where) or ("committed already" in answer.message) is there, where
            look.execute("DROP SCHEMA IF EXISTS apart CASCADE")

        assert cut_everywhere(cutter, lambda: again(db).install(), check, every=4) > 6
