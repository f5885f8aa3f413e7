"""verify from outside: names, what it prints and writes, its exit status, and that it leaves nothing behind."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from xml.etree import ElementTree as ET

import psycopg
import pytest
from watching import eventually

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.core.frames.build import frame_of
from migrollback_nb.core.results import MigrationProof, Proof
from migrollback_nb.replay.proof import prove_folder
from migrollback_nb.replay.scratch import PREFIX

pytestmark = pytest.mark.versions

KEYS = [
    "migration_name", "grade", "sqlstate", "statement", "differences", "effects", "remarks", "reapplies", "seconds",
]  # fmt: skip


@pytest.fixture
def three(write):
    """One that restores, one that loses data, one without a rollback."""
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text;")
    write("003_c", "SELECT 1;")


def run(server, folder, *arguments):
    out, err = io.StringIO(), io.StringIO()
    code = cli.run(["verify", "--dir", str(folder), "--on", server.dsn(), *arguments], out, err)
    return code, out.getvalue(), err.getvalue()


# -- names, and what it leaves -----------------------------------------------------------------------------------------


@pytest.mark.long
def test_named_ones_are_graded_on_top_of_those_before(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "SELECT 1 / 0;")
    write("002_b", "ALTER TABLE a ADD m int;", "ALTER TABLE a DROP m;")
    write("003_c", "SELECT 1 / 0;")
    assert list(verdicts("002_b.sql")) == ["002_b"]
    assert verdicts("002_b")["002_b"].grade == "restores"


def test_a_name_that_is_not_in_the_folder_is_refused_before_anything_is_made(write, verdicts):
    write("001_a", "SELECT 1;")
    with pytest.raises(mr.MigrationNotFound, match="Did you mean 001_a"):
        verdicts("001_b")


HOSTILE = "001_<img src=x onerror=alert(1)>\x1b[31m'\";--"


@pytest.mark.long
def test_hostile_names_are_harmless(write, verdicts, server, folder):
    write(HOSTILE, 'CREATE TABLE "<b>%s{x}\x1b" (n int);', "SELECT 1;")
    proof = prove_folder(folder, on=server.dsn())
    assert proof.migrations[0].grade == "differs"
    out, err = io.StringIO(), io.StringIO()
    assert (
        cli.run(["verify", "--dir", str(folder), "--on", server.dsn(), "--junit", str(folder / "report.xml")], out, err)
        == 0
    )
    assert "\x1b" not in out.getvalue() + err.getvalue()
    for page in (proof._repr_html_(), proof.migrations[0]._repr_html_()):
        assert "<img" not in page
        assert "<b>%s" not in page
        assert "\x1b" not in page
    assert ET.parse(folder / "report.xml").find(".//testcase").get("name").startswith("001_<img")


def scratch_databases(server):
    with psycopg.connect(server.dsn()) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,)
        ).fetchone()[0]


@pytest.mark.long
def test_nothing_is_left_on_the_server(write, verdicts, server):
    write("001_a", "CREATE TABLE a (n int);", "SELECT 1;")
    verdicts()
    assert scratch_databases(server) == 0


@pytest.mark.long
def test_an_ordinary_role_that_may_create_databases_sees_the_same(three, server, folder):
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS proof_maker")
        connection.execute("CREATE ROLE proof_maker LOGIN CREATEDB")
        try:
            graded = prove_folder(folder, on=server.dsn(user="proof_maker"))
        finally:
            connection.execute("DROP ROLE proof_maker")
    assert [(v.grade, v.remarks) for v in graded.migrations] == [
        (v.grade, v.remarks) for v in prove_folder(folder, on=server.dsn()).migrations
    ]


def test_a_folder_with_nothing_in_it_has_nothing_to_prove(server, folder):
    code, out, err = run(server, folder)
    assert (code, out.splitlines()[-1].startswith("0 migrations: nothing to prove")) == (0, True)
    assert f"⚠️  {folder} holds no file *.sql" in err


def test_a_folder_with_nothing_in_it_passes_no_gate(server, folder):
    code, _, err = run(server, folder, "--require", "restores")
    assert (code, err.splitlines()[-1]) == (1, "❌ There was nothing to grade, so nothing reaches restores")


def test_a_missing_extension_is_named_and_nothing_is_graded(write, server, folder):
    write("001_a", "CREATE EXTENSION no_such_extension;", "DROP EXTENSION no_such_extension;")
    code, out, err = run(server, folder)
    assert (code, out) == (2, "")
    assert "no_such_extension" in err
    assert "001_a.sql:1" in err


@pytest.mark.long
def test_roles_need_a_server_of_their_own(write, server, folder):
    write(
        "001_a",
        "CREATE ROLE proof_app; CREATE TABLE a (n int); GRANT SELECT ON a TO proof_app;",
        "DROP TABLE a; DROP ROLE proof_app;",
    )
    code, _, err = run(server, folder)
    assert (code, "--own-server" in err) == (2, True)
    code, out, _ = run(server, folder, "--own-server")
    assert (code, "✅ 001_a  restores" in out) == (0, True)
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'proof_app'").fetchone() == (0,)


@pytest.mark.long
def test_an_interrupted_run_leaves_nothing(write, server, folder):
    write("001_a", "SELECT pg_sleep(600);", "SELECT 1;")
    process = subprocess.Popen(
        [sys.executable, "-m", "migrollback_nb.cli", "verify", "--dir", str(folder), "--on", server.dsn()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND starts_with(datname, %s)"
        eventually(lambda: connection.execute(asleep, (PREFIX,)).fetchone()[0] == 1, "the migration sleeps")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Interrupted" in said[1]
    assert scratch_databases(server) == 0


# -- what it prints ----------------------------------------------------------------------------------------------------


def test_it_prints_a_verdict_for_each_and_a_summary(three, server, folder):
    code, out, err = run(server, folder)
    assert (code, err) == (0, "")
    assert "✅ 001_a  restores" in out
    assert "⚠️ 002_b  loses_data\n     ! values of n in 3 of 3 rows of public.a" in out
    assert "3 migrations: 1 restores, 1 loses_data, 1 no_rollback (on PostgreSQL" in out


def test_json_is_an_array_with_the_promised_keys(three, server, folder):
    code, out, _ = run(server, folder, "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert [list(row) for row in rows] == [KEYS] * 3
    assert [row["grade"] for row in rows] == ["restores", "loses_data", "no_rollback"]
    assert [row["reapplies"] for row in rows] == [True, True, None]


@pytest.mark.long
def test_tab_separated_text_has_the_same_columns(three, server, folder):
    _, out, _ = run(server, folder, "--format", "tsv")
    lines = out.splitlines()
    assert lines[0].split("\t") == KEYS
    assert len(lines) == 4


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("001_a --require restores", 0),
        ("002_b --require restores", 1),
        ("002_b --require loses_data", 0),
        ("003_c --require loses_data", 1),
        ("--require restores", 1),
    ],
)
def test_the_exit_code_is_a_gate(three, server, folder, arguments, code):
    found, _, err = run(server, folder, *arguments.split())
    assert found == code
    assert ("do not reach" in err) == bool(code)


@pytest.mark.long
def test_junit_reads_back(three, server, folder, tmp_path):
    report = tmp_path / "report.xml"
    run(server, folder, "--junit", str(report))
    root = ET.parse(report).getroot()
    suite = root.find("testsuite")
    assert root.tag == "testsuites"
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped"), suite.get("errors")) == (
        "3",
        "1",
        "1",
        "0",
    )
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {"001_a": [], "002_b": ["failure"], "003_c": ["skipped"]}
    assert suite.find(".//failure").get("type") == "loses_data"
    assert "values of n" in suite.find(".//failure").text
    run(server, folder, "--junit", str(report), "--require", "loses_data")
    cases = {case.get("name"): [child.tag for child in case] for case in ET.parse(report).getroot().find("testsuite")}
    assert cases == {"001_a": [], "002_b": ["system-out"], "003_c": ["failure"]}


def test_a_report_that_cannot_be_written_is_said_before_the_work(three, server, folder, tmp_path):
    code, out, err = run(server, folder, "--junit", str(tmp_path / "no" / "report.xml"))
    assert (code, out) == (2, "")
    assert "there is no folder" in err


@pytest.mark.long
def test_a_terminal_gets_a_bar(three, server, folder):
    ours, theirs = pty.openpty()
    seen = []

    def watch():
        while True:
            try:
                data = os.read(ours, 10000)
            except OSError:
                return
            seen.append(data)

    thread = threading.Thread(target=watch)
    thread.start()
    with os.fdopen(theirs, "w") as terminal:
        assert cli.run(["verify", "--dir", str(folder), "--on", server.dsn()], io.StringIO(), terminal) == 0
    thread.join(10)
    os.close(ours)
    assert b"migrations" in b"".join(seen)


@pytest.mark.long
def test_no_password_is_printed(three, server, folder):
    dsn = f"{server.dsn()} password=hunter2"
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["verify", "--dir", str(folder), "--on", dsn], out, err) == 0
    assert cli.run(["verify", "--dir", str(folder), "--on", "host=/nonexistent password=hunter2"], out, err) == 1
    assert "hunter2" not in out.getvalue() + err.getvalue()
    assert "hunter2" not in repr(prove_folder(folder, on=dsn))


def test_the_frame_has_fixed_columns_and_dtypes(three, server, folder):
    frame = mr.verify(folder, on=server.dsn())
    expected = {
        "migration_name": "str",
        "grade": "category",
        "sqlstate": "str",
        "statement": "str",
        "differences": "object",
        "effects": "object",
        "remarks": "object",
        "reapplies": "boolean",
        "duration_ms": "float64",
    }
    assert frame.dtypes.astype(str).to_dict() == expected
    assert frame_of("proof", []).dtypes.astype(str).to_dict() == expected
    assert list(frame["grade"]) == ["restores", "loses_data", "no_rollback"]
    assert frame["differences"][1][0]["identity"] == "public.a"


@pytest.mark.long
def test_a_connected_user_asks_without_touching_that_database(three, server, db):
    before = db.database.queries.schema_text()
    assert list(db.verify("001_a", on=server.dsn())["grade"]) == ["restores"]
    proof = db.proof(on=server.dsn())
    assert isinstance(proof, Proof)
    assert isinstance(proof.migrations[0], MigrationProof)
    assert "loses_data" in repr(proof)
    assert set(proof.shares) == {"sql", "schema", "rows", "scratch"}
    assert db.database.queries.schema_text() == before
    assert db.list().empty


@pytest.mark.long
def test_the_magic_needs_no_connection(three, server, folder):
    from migrollback_nb.cli.magics import Magic

    proof = Magic()(f"verify 002_b --dir {folder} --on '{server.dsn()}'")
    assert [verdict.grade for verdict in proof.migrations] == ["loses_data"]
