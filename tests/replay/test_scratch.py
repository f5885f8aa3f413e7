"""Scratch databases: where they are made, and that nothing of them stays."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from pg_servers import find_servers
from watching import Background, eventually, value

import migrollback_nb as mr
from migrollback_nb.replay.scratch import PREFIX, scratch
from migrollback_nb.servers import embedded, programs
from migrollback_nb.servers.private import PrivateServer

pytestmark = pytest.mark.versions


def scratch_databases(connection):
    return {
        name
        for (name,) in connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,))
    }


def migration(sql, name="001_a"):
    return mr.parse(sql, name=name)


def test_a_named_server_gets_a_database_with_the_system_and_is_rid_of_it_afterwards(server, admin):
    before = scratch_databases(admin)
    with scratch(on=server.dsn()) as made:
        assert scratch_databases(admin) - before == {made.name}
        made.database.system.require_system()
    assert scratch_databases(admin) == before


def test_nothing_stays_after_an_error(server, admin):
    made = []
    with pytest.raises(ZeroDivisionError), scratch(on=server.dsn()) as database:
        made += [database.name, database.create(), 1 / 0]
    assert not scratch_databases(admin)


def test_what_goes_wrong_inside_is_not_mistaken_for_ours(server):
    with pytest.raises(psycopg.errors.InsufficientPrivilege), scratch(on=server.dsn()):
        raise psycopg.errors.InsufficientPrivilege


def test_nothing_stays_when_the_connections_were_ended(server, admin):
    with scratch(on=server.dsn()) as made:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrollback_nb%'"
        )
    assert made.name not in scratch_databases(admin)


def test_dropping_schema_public_does_the_system_no_harm(server):
    with scratch(on=server.dsn()) as made:
        made.database.connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        made.database.system.require_system()


def test_copies_hold_the_same_and_are_apart(server):
    with scratch(on=server.dsn()) as made:
        made.database.connection.execute("CREATE TABLE public.t AS SELECT 1 AS a")
        made.database.close()
        copy = made.create(template=made.name)
        other = made.connect(copy)
        other.connection.execute("DROP TABLE public.t")
        assert value(made.database.connection, "SELECT a FROM public.t") == 1
        made.drop(copy)


@pytest.mark.long
def test_several_at_once_leave_each_other_alone(server, admin):
    def use():
        with scratch(on=server.dsn()) as made:
            made.database.connection.execute("CREATE TABLE public.t ()")
            return made.name

    names = [background.result() for background in [Background(use) for _ in range(4)]]
    assert len(set(names)) == 4
    assert not set(names) & scratch_databases(admin)


def hold(dsn):
    """A process that makes a scratch database, tells its name and waits."""
    program = (
        "import sys\nfrom migrollback_nb.replay.scratch import scratch\nwith scratch(on=sys.argv[1]) as made:\n   "
        " print(made.name, flush=True)\n    sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, dsn],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, process.stdout.readline().strip()


@pytest.mark.long
def test_what_a_killed_process_left_is_dropped_by_the_next_and_what_is_in_use_is_not(server, admin):
    (killed, orphan), (living, kept) = hold(server.dsn()), hold(server.dsn())
    try:
        killed.kill()
        killed.wait()
        assert orphan in scratch_databases(admin)
        eventually(
            lambda: value(admin, "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", orphan) == 0,
            "its session ends",
        )
        eventually(
            lambda: (
                value(
                    admin,
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IN (SELECT pid FROM"
                    " pg_stat_activity WHERE application_name = 'migrollback_nb scratch')",
                )
                <= 1
            ),
            "its lock goes",
        )
        with scratch(on=server.dsn()):
            assert orphan not in scratch_databases(admin)
            assert kept in scratch_databases(admin)
    finally:
        living.communicate("")
        killed.stdin.close()
        killed.stdout.close()
    assert kept not in scratch_databases(admin)


@pytest.mark.long
def test_ctrl_c_leaves_nothing(server, admin):
    process, name = hold(server.dsn())
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.stdout.close()
    assert name not in scratch_databases(admin)


def test_who_may_not_create_databases_is_told_so(server, admin):
    admin.execute("DROP ROLE IF EXISTS scratch_poor")
    admin.execute("CREATE ROLE scratch_poor LOGIN")
    try:
        with (
            pytest.raises(mr.UsageError, match=r"No scratch database can be created(.|\n)*CREATEDB"),
            scratch(on=server.dsn(user="scratch_poor")),
        ):
            pass
    finally:
        admin.execute("DROP ROLE scratch_poor")


def test_an_ordinary_role_that_may_create_databases_is_enough(server, admin):
    admin.execute("DROP ROLE IF EXISTS scratch_maker")
    admin.execute("CREATE ROLE scratch_maker LOGIN CREATEDB")
    try:
        with scratch(on=server.dsn(user="scratch_maker")) as made:
            made.database.system.require_system()
        assert made.name not in scratch_databases(admin)
    finally:
        admin.execute("DROP ROLE scratch_maker")


def test_a_server_without_a_needed_extension_is_refused_with_its_name_and_place(server):
    file = migration("SELECT 1;\n\nCREATE EXTENSION no_such_extension;")
    with (
        pytest.raises(mr.UsageError, match=r"no_such_extension \(001_a\.sql:3\)(.|\n)*--on"),
        scratch([file], on=server.dsn()),
    ):
        pass


def test_roles_are_refused_on_a_shared_server_and_dropped_on_an_own_one(server, admin):
    file = migration("CREATE ROLE scratch_made;")
    with (
        pytest.raises(mr.UsageError, match=r"001_a\.sql:1: CREATE ROLE(.|\n)*--own-server"),
        scratch([file], on=server.dsn()),
    ):
        pass
    with scratch([file], on=server.dsn(), own_server=True) as made:
        made.database.connection.execute(
            "CREATE ROLE scratch_made; CREATE TABLE public.t (); ALTER TABLE public.t OWNER TO scratch_made"
        )
    assert value(admin, "SELECT count(*) FROM pg_roles WHERE rolname = 'scratch_made'") == 0


# -- without a server named --------------------------------------------------------------------------------------------


def test_the_embedded_server_is_the_default():
    with scratch([migration("CREATE EXTENSION citext;")]) as made:
        assert "embedded" in made.server
        assert (made.bin / "pg_dump").is_file()
        assert Path(made.database.target.host) == embedded.data_folder()
    with psycopg.connect(embedded.start()) as connection:
        assert not scratch_databases(connection)


@pytest.mark.long
def test_a_private_server_may_be_asked_for():
    with scratch(private=True) as made:
        assert Path(made.database.target.host) != embedded.data_folder()
        assert made.database.connection.execute("SHOW fsync").fetchone() == ("off",)


def test_what_changes_roles_gets_a_private_server_that_is_gone_afterwards():
    with scratch([migration("DO $$ BEGIN CREATE ROLE app; END $$;")]) as made:
        host = Path(made.database.target.host)
        assert host != embedded.data_folder()
        assert (host / "data").is_dir()
    assert not host.exists()


needs_own = pytest.mark.skipif(
    len(find_servers(every=False)[0]) < 2, reason="this machine has no PostgreSQL of its own"
)


@pytest.mark.long
@needs_own
def test_an_extension_that_the_embedded_server_lacks_brings_the_machines_own():
    file = migration('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"; CREATE EXTENSION pgcrypto;')
    with scratch([file]) as made:
        host = Path(made.database.target.host)
        for statement in file.up_statements():
            made.database.connection.execute(statement)
        assert str(made.bin) in made.server
    assert not host.exists()


def test_an_extension_that_is_nowhere_is_named_with_the_hint(monkeypatch):
    monkeypatch.setattr("migrollback_nb.servers.programs.programs_on_this_machine", lambda: iter(()))
    with (
        pytest.raises(mr.UsageError, match=r"extension pgcrypto \(001_a\.sql:1\).*embedded PostgreSQL(.|\n)*--on"),
        scratch([migration("CREATE EXTENSION pgcrypto;")]),
    ):
        pass


@pytest.mark.long
def test_programs_that_are_named_are_used_and_others_refused(monkeypatch, tmp_path):
    own = find_servers(every=False)[0][-1]
    monkeypatch.setenv(programs.VARIABLE, str(own.bin))
    with scratch() as made:
        assert made.database.target.server_version.split(".")[0] == str(own.major)
    with pytest.raises(mr.UsageError, match="holds no PostgreSQL server"), scratch(bin=tmp_path):
        pass


def test_a_private_server_ends_with_a_process_that_is_killed():
    program = (
        "import sys\nfrom pathlib import Path\nfrom migrollback_nb.servers.private import PrivateServer\n"
        "print(PrivateServer.start(Path(sys.argv[1])).folder, flush=True)\nsys.stdin.read()"
    )
    own = find_servers(every=False)[0][-1]
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(own.bin)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = Path(process.stdout.readline().strip())
    assert (folder / "data" / "postmaster.pid").exists()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    eventually(lambda: not folder.exists(), "the guardian has removed the server's folder")


@pytest.mark.long
def test_a_private_server_that_does_not_start_says_why_and_leaves_nothing(monkeypatch):
    own = find_servers(every=False)[0][-1]
    with tempfile.TemporaryDirectory(
        prefix="mr", dir="/var/tmp"
    ) as name:  # of this test alone: others start servers meanwhile
        Path(name).chmod(0o777)
        monkeypatch.setattr("migrollback_nb.servers.private._roomy_folder", lambda: name)
        with pytest.raises(mr.ConnectionFailed, match="no_such_setting"):
            PrivateServer.start(own.bin, {"no_such_setting": "1"})
        assert list(Path(name).iterdir()) == []
