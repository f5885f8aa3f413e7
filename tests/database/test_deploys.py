"""Deploys with a label: what one brought is what its rollback takes back, no more and no less, and in the order that
holds."""

from __future__ import annotations

import io
import json
import re

import pytest
from watching import events, eventually, exists, status, value

import migrollback_nb as mr
from migrollback_nb import cli

DBMATE = "-- migrate:up\nCREATE TABLE {table} ();\n-- migrate:down\nDROP TABLE {table};\n"


@pytest.fixture
def write(write_migration):
    """Write a migration of one table: write("001_a", depends_on=[...])."""

    def write_one(name, *, depends_on=()):
        needs = "".join(f"-- Depends on: {base}\n" for base in depends_on)
        table = name.split("_", 1)[1]
        write_migration(
            name, f"{needs}CREATE TABLE {table} ();\n-- ROLLBACK START\n-- DROP TABLE {table};\n-- ROLLBACK END\n"
        )
        return name

    return write_one


@pytest.fixture
def run(database_dsn, folder):
    """Run the command line on this test's database and folder: (exit status, standard output, standard error)."""

    def run_command(*argv):
        out, err = io.StringIO(), io.StringIO()
        exit_status = cli.run(["--dsn", database_dsn, "--dir", str(folder), *argv], out, err, io.StringIO())
        return exit_status, out.getvalue(), err.getvalue()

    return run_command


def states(db):
    return [
        (row["label"], tuple(row["migrations"]), tuple(row["applied"]), row["state"])
        for row in db.database.queries.deploys()
    ]


def test_exactly_what_the_deploy_brought_goes_back_newest_first_in_one_transaction(db, write, session):
    write("001_a")
    db.apply(deploy="monday")
    write("002_b")
    write("003_c", depends_on=["002_b"])
    write("004_d")
    db.apply("002_b", deploy="tuesday")
    db.apply(deploy="tuesday")
    write("005_e")
    db.apply()
    preview = db.preview(deploy="tuesday")
    assert [name for name, _ in preview.steps] == ["004_d", "003_c", "002_b"]
    assert preview.to_dict()["confirm"] == "tuesday"
    done = db.rollback(deploy="tuesday", confirm="tuesday", reason="it failed", preview=preview)
    assert [result.migration_name for result in done.results] == ["004_d", "003_c", "002_b"]
    assert [exists(session(), table) for table in "abcde"] == [True, False, False, False, True]
    assert states(db)[1:] == [
        ("tuesday", ("002_b", "003_c", "004_d"), (), "rolled back"),
        ("monday", ("001_a",), ("001_a",), "applied"),
    ]
    assert states(db)[0][1:] == (("005_e",), ("005_e",), "applied")
    by_id = states(db)[0][0]
    assert db.rollback(deploy=by_id, confirm=by_id).success, "a deploy without a label goes by its id"
    assert not exists(session(), "e")


@pytest.mark.long
def test_a_dependent_goes_first_whatever_the_times_say(db, write, session):
    names = [
        write("001_a"),
        write("002_b", depends_on=["001_a"]),
        write("003_c", depends_on=["001_a", "002_b"]),
        write("004_d"),
    ]
    db.apply(deploy="one")
    session().execute(
        "UPDATE migration_history SET applied_at = applied_at + interval '1 hour' WHERE migration_name = '001_a'"
    )  # it looks like the newest
    assert [name for name, _ in db.preview(deploy="one").steps] == ["004_d", "003_c", "002_b", "001_a"]
    assert db.rollback(deploy="one", confirm="one").success
    assert {status(session(), name) for name in names} == {"rolled_back"}


def test_a_large_deploy_of_many_dependencies_is_put_in_order_at_once(db, session):
    session().execute(
        "SELECT count(*) FROM register_migrations((SELECT jsonb_agg(jsonb_build_object('name', lpad(i::text, 3, '0') ||"
        " '_m', 'version', lpad(i::text, 3, '0'), 'rollback_sql', 'SELECT 1;', 'metadata', '{\"deploy\":"
        " \"d\"}'::jsonb, 'depends_on', (SELECT coalesce(jsonb_agg(lpad(j::text, 3, '0') || '_m'), '[]') FROM"
        " generate_series(1, i - 1) j)) ORDER BY i) FROM generate_series(1, 60) i))"
    )
    assert db.database.queries.migrations_of_deploy("d") == [f"{number:03}_m" for number in range(60, 0, -1)]


def test_a_deploy_is_rehearsed_as_it_would_be_rolled_back(db, write, session, run):
    write("001_a")
    write("002_b")
    db.apply(deploy="one")
    rehearsed = db.rehearse(deploy="one")
    assert (rehearsed.success, [name for name, _ in rehearsed.steps]) == (True, ["002_b", "001_a"])
    exit_status, out, _ = run("rehearse", "--deploy", "one")
    assert exit_status == 0
    assert "Rehearsing the rollback of: deploy one" in out
    assert [exists(session(), table) for table in "ab"] == [True, True]
    assert run("rehearse")[0] == 2
    assert run("rehearse", "--deploy", "two")[0] == 2
    assert db.rollback(deploy="one", confirm="one", preview=rehearsed).success
    assert "is rolled back already" in run("rehearse", "--deploy", "one")[1]


def test_it_runs_whole_or_not_at_all(db, write, write_migration, session):
    write_migration("001_a", "CREATE TABLE a ();\n-- ROLLBACK START\n-- SELECT 1/0;\n-- ROLLBACK END\n")
    write("002_b")
    db.apply(deploy="one")
    with pytest.raises(mr.RollbackFailed):
        db.rollback(deploy="one", confirm="one")
    assert exists(session(), "b")


def test_a_later_dependent_of_another_deploy_stands_in_the_way(db, write, session):
    write("001_a")
    db.apply(deploy="one")
    write("002_b", depends_on=["001_a"])
    db.apply(deploy="two")
    with pytest.raises(mr.Refused, match="other migrations depend on this one"):
        db.rollback(deploy="one", confirm="one")
    assert exists(session(), "a")


def test_a_deploy_that_brought_nothing_rolls_back_nothing_and_says_so(db, write, session, run):
    write("001_a")
    db.apply(deploy="one")
    assert db.sync(deploy="nothing").deploy == "nothing"
    before = events(session())
    assert states(db)[0] == ("nothing", (), (), "nothing brought")
    for arguments in (
        ("rollback", "--deploy", "nothing", "--dry-run"),
        ("rollback", "--deploy", "nothing", "--confirm", "nothing"),
    ):
        exit_status, out, _ = run(*arguments)
        assert exit_status == 0
        assert "Deploy nothing brought nothing: there is nothing to roll back" in out
    assert json.loads(run("rollback", "--deploy", "nothing", "--confirm", "nothing", "--format", "json")[1])["success"]
    assert run("last", "--deploy", "nothing") == (0, "", "Nothing that deploy nothing brought is applied\n")
    assert run("rollback", "--deploy", "one", "--confirm", "one")[0] == 0
    assert "is rolled back already" in run("rollback", "--deploy", "one", "--confirm", "one")[1]
    assert events(session())[: len(before)] == before
    assert not exists(session(), "a")


@pytest.mark.parametrize(
    "arguments",
    [
        ("rollback", "--confirm", "no", "--deploy"),
        ("rollback", "--dry-run", "--deploy"),
        ("last", "--deploy"),
        ("history", "--deploy"),
    ],
)
def test_an_unknown_label_is_wrong_usage(run, db, arguments):
    exit_status, _, err = run(*arguments, "no")
    assert exit_status == 2
    assert "here is no deploy no" in err
    assert "migrollback deploys lists them" in err


@pytest.mark.parametrize("arguments", [("rollback",), ("rollback", "001_a", "--deploy", "one", "--confirm", "one")])
def test_a_name_or_a_label(run, db, arguments):
    exit_status, _, err = run(*arguments)
    assert exit_status == 2
    assert "one of them" in err


def test_an_empty_confirmation_confirms_nothing(db, write, session, run):
    write("001_a")
    db.apply()
    exit_status, _, err = run("rollback", "001_a", "--confirm", "")
    assert (exit_status, "was not confirmed" in err) == (2, True)
    assert exists(session(), "a")


def test_the_label_confirms_and_nothing_else(db, write, session, run):
    write("001_a")
    db.apply(deploy="one")
    for wrong in ("001_a", "One", ""):
        exit_status, _, err = run("rollback", "--deploy", "one", "--confirm", wrong)
        assert exit_status == 2, err
    with pytest.raises(mr.ConfirmationRequired):
        db.rollback(deploy="one", confirm="001_a")
    assert exists(session(), "a")
    assert json.loads(run("rollback", "--deploy", "one", "--dry-run", "--format", "json")[1])["confirm"] == "one"
    assert json.loads(run("rollback", "001_a", "--dry-run", "--format", "json")[1])["confirm"] == "001_a"


@pytest.mark.parametrize("label", ["", " ", " a", "a\n", "x" * 201])
def test_a_label_that_no_one_could_type_is_refused(db, label):
    with pytest.raises(mr.UsageError, match="label of a deploy"):
        db.sync(deploy=label)


def test_after_its_rollback_a_label_starts_anew(db, write, session):
    write("001_a")
    write("002_b")
    db.apply(deploy="job 7")
    db.rollback(deploy="job 7", confirm="job 7")
    db.apply("002_b", deploy="job 7")
    assert states(db) == [
        ("job 7", ("002_b",), ("002_b",), "applied"),
        ("job 7", ("001_a", "002_b"), (), "rolled back"),
    ]
    db.rollback(deploy="job 7", confirm="job 7")
    assert status(session(), "002_b") == "rolled_back"


def test_what_was_brought_again_belongs_to_the_deploy_that_did(db, write):
    write("001_a")
    write("002_b")
    db.apply(deploy="one")
    db.rollback("002_b", confirm="002_b")
    assert states(db)[0][2:] == (("001_a",), "partly rolled back")
    db.apply("002_b", deploy="two")
    assert [row[2:] for row in states(db)] == [(("002_b",), "applied"), (("001_a",), "partly rolled back")]
    write("003_c")
    db.register("002_b")  # an update of what is registered moves nothing
    assert states(db)[0][2] == ("002_b",)


def test_history_deploys_and_last_by_label(db, write, run):
    write("001_a")
    write("002_b")
    db.apply(deploy="one")
    assert list(db.history(deploy="one")["migration_name"]) == ["002_b", "001_a"]
    assert run("last", "--deploy", "one")[:2] == (0, "002_b\n")
    (row,) = json.loads(run("deploys", "--format", "json")[1])
    assert {
        "label": "one",
        "migrations": ["001_a", "002_b"],
        "state": "applied",
        "deployed_by": "postgres",
    }.items() <= row.items()
    assert re.search(r"one +applied +\S+ \S+ UTC +postgres +001_a, 002_b", run("deploys")[1])


def test_psql_rolls_a_deploy_back(db, write, session):
    write("001_a")
    write("002_b")
    db.apply(deploy="one")
    connection = session()
    assert connection.execute(
        "SELECT migration_name, success FROM execute_deploy_rollback('one', true)"
    ).fetchall() == [("002_b", True), ("001_a", True)]
    assert exists(connection, "a")
    connection.execute("SELECT * FROM execute_deploy_rollback('one', reason => 'by hand')")
    assert [exists(connection, table) for table in "ab"] == [False, False]
    assert (
        value(connection, "SELECT message FROM execute_deploy_rollback('one')")
        == "Deploy one is rolled back already: there is nothing to roll back"
    )
    with pytest.raises(mr.UsageError, match="no deploy two"):
        db.database.queries.migrations_of_deploy("two")


# -- sync asks about every file, every time ----------------------------------------------------------------------------

SUPABASE = (
    "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY,"
    " statements text[], name text)"
)


@pytest.fixture
def supabase(tmp_path, database_dsn, session):
    """A folder that Supabase deploys, with migrations t1 and t2, and its ledger, which holds nothing."""
    session().execute(SUPABASE)
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"2026010{number}000000_t{number}.sql").write_text(
            f"create table public.t{number} (id int);\n-- ROLLBACK START\n-- drop table public.t{number};\n-- ROLLBACK"
            " END\n"
        )
    with mr.connect(database_dsn, dir=folder) as migrations:
        yield migrations


T1, T2 = "20260101000000_t1", "20260102000000_t2"


def push(connection, *names):
    for name in names:
        version, rest = name.split("_")
        connection.execute(
            "INSERT INTO supabase_migrations.schema_migrations (version, name) VALUES (%s, %s)", (version, rest)
        )
        connection.execute(f"CREATE TABLE {rest} (id int)")


def test_what_the_ledger_does_not_hold_is_left_out_by_the_second_sync_too(supabase, session):
    assert supabase.sync().not_applied == (T1, T2), "an empty ledger holds nothing of the folder"
    push(session(), T1)
    for _ in range(2):
        assert supabase.sync().not_applied == (T2,)
    assert [
        row["migration_name"] for row in supabase.database.queries.registered() if "_t" in row["migration_name"]
    ] == [T1]
    session().execute(
        "DELETE FROM supabase_migrations.schema_migrations"
    )  # as `supabase migration repair --status reverted`
    known = supabase.check(T1)
    assert "does not hold it" in known.warnings[0]
    # the first line, for it would be undone twice
    assert known.assessment.headline.startswith("Undone by its deploy tool, or never applied: the ledger ")
    assert supabase.rehearse(T1).assessment.verdict == "harms"
    assert dict(zip(*(supabase.list()[name] for name in ("migration_name", "verdict")), strict=True))[T1] == "harms"
    assert "does not hold them" in supabase.sync().warnings[1]


def test_where_its_ledger_is_not_there_the_word_of_the_folder_is_taken_and_said_so(supabase, session):
    session().execute("DROP SCHEMA supabase_migrations CASCADE")
    found = supabase.sync()
    assert len(found.registered) == 2
    (warning,) = found.warnings
    assert "the folder's word was taken" in warning
    (
        supabase.rollback(T2, confirm=T2)
        if exists(session(), "t2")
        else supabase.resolve(T2, status="rolled_back", reason="not there")
    )
    (warning,) = supabase.apply(T2).warnings
    assert "supabase will not know what is applied by migrollback" in warning


def test_a_plain_folder_beside_the_ledger_is_none_of_its_concern_until_it_knows_one(db, write, session):
    session().execute(SUPABASE)
    write("20260101000000_a")
    assert len(db.sync().registered) == 1
    write("20260102000000_b")
    push(session(), "20260102000000_x2")
    session().execute("UPDATE supabase_migrations.schema_migrations SET name = 'b'")
    assert [one.migration_name for one in db.sync().registered] == ["20260102000000_b"]
    write("20260103000000_c")
    assert db.sync().not_applied == ("20260103000000_c",)


@pytest.mark.long
def test_dependents_of_a_migration_that_is_applied_again_protect_their_base(supabase, session, tmp_path):
    file = tmp_path / "supabase" / "migrations" / f"{T2}.sql"
    file.write_text(f"-- Depends on: {T1}\n" + file.read_text())
    push(session(), T1, T2)
    supabase.sync()
    supabase.rollback(T2, confirm=T2)
    push(session(), T2)
    supabase.sync()
    assert supabase.check(T1).dependent_migrations == (T2,)


@pytest.mark.long
def test_applied_again_without_its_file_is_recorded_from_what_is_registered(supabase, session, tmp_path):
    push(session(), T1, T2)
    supabase.sync()
    supabase.rollback(T2, confirm=T2)
    push(session(), T2)
    (tmp_path / "supabase" / "migrations" / f"{T2}.sql").unlink()
    assert supabase.sync(deploy="two").applied_again == (T2,)
    assert supabase.rollback(deploy="two", confirm="two").success
    assert (exists(session(), "t1"), exists(session(), "t2")) == (True, False)


def test_applied_again_from_a_changed_file_takes_the_change_over(supabase, session, tmp_path):
    push(session(), T1, T2)
    supabase.sync()
    supabase.rollback(T2, confirm=T2)
    (tmp_path / "supabase" / "migrations" / f"{T2}.sql").write_text(
        "create table public.t2 ();\n-- ROLLBACK START\n-- drop table if exists public.t2;\n-- ROLLBACK END\n"
    )
    push(session(), T2)
    supabase.sync()
    assert supabase.preview(T2).sql == "drop table if exists public.t2;"


@pytest.mark.long
def test_the_order_of_a_deploy_holds_whatever_is_new_and_what_is_again(supabase, session, tmp_path):
    push(session(), T1)
    supabase.sync()
    supabase.rollback(T1, confirm=T1)
    push(session(), T1, T2)
    supabase.sync(deploy="both")
    assert [name for name, _ in supabase.preview(deploy="both").steps] == [T2, T1]
    assert supabase.last().migration_name == T2


# -- a deploy that is running ------------------------------------------------------------------------------------------


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("tool", "ledger", "lock"),
    [
        (
            "node-pg-migrate",
            "CREATE TABLE pgmigrations (id serial, name text, run_on timestamp)",
            "SELECT pg_advisory_lock(7241865325823964)",
        ),
        ("tern", "CREATE TABLE schema_version (version int4)", "SELECT pg_advisory_lock(9628173550095224)"),
        ("Sqitch", None, "SELECT pg_advisory_lock(75474063)"),
        (
            "dbmate",
            "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)",
            "BEGIN; INSERT INTO schema_migrations VALUES ('9')",
        ),
        (
            "Flyway",
            "CREATE TABLE flyway_schema_history (installed_rank int, version text, script text, success boolean)",
            "SELECT pg_advisory_lock(77431708279161 - 12345)",
        ),
        (
            "Prisma",
            (
                "CREATE TABLE _prisma_migrations (migration_name text, finished_at timestamptz, rolled_back_at"
                " timestamptz)"
            ),
            "SELECT pg_advisory_lock(72707369)",
        ),
    ],
)
def test_a_deploy_tool_that_is_running_blocks_with_its_process(db, session, tool, ledger, lock):
    connection = session()
    if ledger is None:
        connection.execute(
            "CREATE SCHEMA sqitch; CREATE TABLE sqitch.changes (change_id text, change text, project text, committed_at"
            " timestamptz); CREATE TABLE sqitch.tags (tag text, change_id text)"
        )
    else:
        connection.execute(ledger)
    connection.execute(
        "SELECT register_migration('001_a', '001', 'SELECT 1;', metadata => jsonb_build_object('tool', %s::text))",
        (tool,),
    )
    other = session(application_name="deploy-tool")
    other.execute(lock)
    reason = db.check("001_a").reason
    assert f"process {other.info.backend_pid} (deploy-tool)" in reason
    with pytest.raises(mr.Refused, match=f"process {other.info.backend_pid}"):
        db.rollback("001_a", confirm="001_a")
    assert db.list().set_index("migration_name")["blocking_reason"]["001_a"] == reason
    with pytest.raises(mr.Refused, match=f"process {other.info.backend_pid}"):
        db.sync()
    other.close()
    eventually(lambda: db.check("001_a").can_rollback, "the deploy has ended")


def test_a_rollback_of_a_colleague_is_no_deploy(db, session):
    connection = session()
    connection.execute("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
    connection.execute("""SELECT register_migration('001_a', '001', 'SELECT 1;', metadata => '{"tool": "dbmate"}')""")
    colleague = session()
    colleague.execute("BEGIN; INSERT INTO schema_migrations VALUES ('001')")
    assert "is writing the ledger" in db.check("001_a").reason
    colleague.execute("SELECT lock_migrations()")
    assert db.check("001_a").can_rollback


@pytest.mark.parametrize(
    ("table", "ledger", "key"),
    [
        # values as golang-migrate's GenerateAdvisoryLockId and sqlx's generate_lock_id compute them, here by Python's
        # own CRC
        (
            "schema_migrations",
            "CREATE TABLE schema_migrations (version bigint, dirty boolean)",
            lambda crc, name: crc(f"public\0schema_migrations\0{name}") * 1486364155 % 2**32,
        ),
        (
            "_sqlx_migrations",
            "CREATE TABLE _sqlx_migrations (version bigint, success boolean, checksum bytea)",
            lambda crc, name: crc(name) * 0x3D32AD9E,
        ),
    ],
    ids=["golang-migrate", "sqlx"],
)
def test_keys_that_are_made_from_the_names_of_database_and_table(db, session, table, ledger, key):
    from zlib import crc32

    connection = session()
    connection.execute(ledger)
    lowest, highest = connection.execute(
        "SELECT * FROM deploy_lock_keys('golang-migrate', to_regclass(%s))", (table,)
    ).fetchone()
    assert lowest == highest == key(lambda text: crc32(text.encode()), connection.info.dbname)


# -- renamed, deleted, left rolled back --------------------------------------------------------------------------------


def test_a_renamed_file_does_not_run_again(db, write_migration, folder, session):
    write_migration("001_o", "CREATE TABLE o (id int);")
    write_migration("003_seed", "INSERT INTO o VALUES (1);")
    db.apply()
    (folder / "003_seed.sql").rename(folder / "003_seed_orders.sql")
    write_migration("004_next", "-- Depends on: 003_seed_orders\nCREATE TABLE n ();")
    for call in (db.sync, db.apply):
        assert any("003_seed_orders is 003_seed under another name" in warning for warning in call().warnings)
    assert value(session(), "SELECT count(*) FROM o") == 1
    assert db.apply("003_seed_orders").skipped == ("003_seed_orders",)
    assert value(session(), "SELECT count(*) FROM o") == 1
    assert db.check("003_seed").dependent_migrations == ("004_next",)
    (folder / "001_o.sql").unlink()
    assert any("Applied, but without a file" in warning and "001_o" in warning for warning in db.sync().warnings)


@pytest.mark.long
def test_renamed_and_changed_no_one_can_tell_so_it_is_asked(db, write_migration, folder, session):
    write_migration("001_a", "CREATE TABLE a ();")
    db.apply()
    (folder / "001_a.sql").unlink()
    write_migration("001_b", "CREATE TABLE a (); -- and more")
    with pytest.raises(mr.Refused, match="001_b has the version of 001_a"):
        db.apply()
    found = db.sync()
    assert found.registered == ()
    assert any("001_b has the version of 001_a" in warning for warning in found.warnings)
    session().execute("DROP TABLE a")
    assert db.apply("001_b").applied == ("001_b",)


def test_apply_names_what_it_leaves_rolled_back_and_how_to_bring_it_back(db, write, run, session):
    write("001_a")
    write("002_b")
    db.apply()
    db.rollback("002_b", confirm="002_b", reason="INC-7")
    exit_status, out, _ = run("apply")
    assert exit_status == 0
    assert "0 applied, 0 skipped, 1 left rolled back" in out
    assert re.search(r"Left rolled back: 002_b \(since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, by postgres: INC-7\)", out)
    assert "migrollback apply 002_b, or all of them: migrollback apply --again" in out
    (left,) = json.loads(run("apply", "--format", "json")[1])["left_rolled_back"]
    assert {"migration_name": "002_b", "rolled_back_by": "postgres", "reason": "INC-7"}.items() <= left.items()
    write("003_c", depends_on=["002_b"])
    with pytest.raises(mr.DependencyError, match=r"depends on what is rolled back: 002_b .*INC-7"):
        db.apply()
    assert db.apply(again=True).applied == ("002_b", "003_c")
    assert exists(session(), "b")
    with pytest.raises(mr.UsageError):
        db.apply("001_a", again=True)


@pytest.mark.long
def test_a_rolled_back_file_that_was_changed_is_applied_again_and_said_so(db, write, write_migration, session):
    write("001_a")
    db.apply()
    db.rollback("001_a", confirm="001_a")
    write_migration("001_a", "CREATE TABLE a (id int);\n-- ROLLBACK START\n-- DROP TABLE a;\n-- ROLLBACK END\n")
    done = db.apply()
    assert done.applied == ("001_a",)
    assert any("was rolled back and has been changed since" in warning for warning in done.warnings)
    assert exists(session(), "a")


@pytest.mark.long
def test_all_of_it_in_a_schema_of_an_odd_name(empty_dsn, folder, write):
    with mr.connect(empty_dsn, dir=folder, schema='it\'s 100% "mine"') as there:
        there.install()
        there.database.connection.execute(
            f"{SUPABASE}; INSERT INTO supabase_migrations.schema_migrations (version, name) VALUES ('9', 'x')"
        )
        write("20260101000000_a")
        there.apply(deploy="one")
        there.database.connection.execute("DELETE FROM supabase_migrations.schema_migrations")
        write("20260102000000_b")
        assert len(there.sync().registered) == 1
        assert there.rollback(deploy="one", confirm="one").success
        assert states(there)[0][3] == "applied"
