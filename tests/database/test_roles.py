"""Auditors read everything and change nothing; operators execute what is registered, and have no other right."""

import io

import psycopg
import pytest
from watching import exists, value

import migrollback_nb as mr
from migrollback_nb import cli

UP, DOWN = "CREATE TABLE t (a int);", "DROP TABLE t;"
CALL = "SELECT success, message FROM public.execute_migration_rollback('001_t', reason => 'INC-1')"


@pytest.fixture
def people(server, database_dsn):
    """Two login roles of this test's own, as DSNs: bob and eve, and what they are called."""
    names = {}
    for person in ("bob", "eve"):
        names[person] = f"{person}_{database_dsn.rpartition('dbname=')[2].split()[0]}".lower()
        server.execute(f'CREATE ROLE "{names[person]}" LOGIN')
    yield names
    for name in names.values():
        with psycopg.connect(database_dsn, autocommit=True) as connection:
            connection.execute(f'DROP OWNED BY "{name}" CASCADE')
        server.execute(f'DROP ROLE "{name}"')


@pytest.fixture
def as_person(database_dsn, people):
    """Open a session of a person."""
    opened = []

    def connect(person, **options):
        dsn = psycopg.conninfo.make_conninfo(database_dsn, user=people[person])
        opened.append(psycopg.connect(dsn, autocommit=True, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def grant(session, kind, name):
    return value(session, f"SELECT public.grant_migration_role('{name}', '{kind}')")


def test_an_operator_rolls_back_in_psql_what_is_not_its_own(session, applied, people, as_person):
    applied("001_t", UP, DOWN)
    assert grant(session(), "operator", people["bob"]) is True
    assert grant(session(), "operator", people["bob"]) is False
    bob = as_person("bob")
    assert bob.execute(CALL).fetchone() == (True, "Migration rolled back successfully")
    assert not exists(session(), "t")
    assert session().execute("SELECT rollback_by FROM migration_history WHERE migration_name = '001_t'").fetchone() == (
        people["bob"],
    )
    assert session().execute(
        "SELECT DISTINCT database_user FROM migration_events WHERE event = 'rolled_back'"
    ).fetchall() == [(people["bob"],)]


def test_an_operator_has_no_right_to_our_tables_and_few_functions(session, people):
    grant(session(), "operator", people["bob"])
    rights = """SELECT c.relname FROM migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)
                WHERE has_any_column_privilege(%(role)s, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
                   OR has_table_privilege(%(role)s, c.oid, 'DELETE, TRUNCATE, TRIGGER')"""
    assert session().execute(rights, {"role": people["bob"]}).fetchall() == []


@pytest.fixture
def db_of(database_dsn, people, folder):
    """Connect as a person."""
    opened = []

    def connect(person):
        dsn = psycopg.conninfo.make_conninfo(database_dsn, user=people[person])
        opened.append(mr.connect(dsn, dir=folder))
        return opened[-1]

    yield connect
    for db in opened:
        db.close()


def test_an_operator_rolls_back_in_python(session, applied, people, db_of):
    applied("001_t", UP, DOWN)
    applied("002_u", "CREATE TABLE u (a int);", "DROP TABLE u;", depends_on=["001_t"])
    grant(session(), "operator", people["bob"])
    bob = db_of("bob")
    assert not bob.check("001_t").can_rollback
    assert bob.plan("001_t").steps == ("002_u", "001_t")
    shown = bob.preview("001_t", chain=True)
    done = bob.rollback("001_t", confirm="001_t", chain=True, preview=shown, reason="INC-1")
    assert done.success
    assert done.verification.verdict == "restored"
    assert not exists(session(), "t")
    told = session().execute(
        "SELECT event, migration_name, database_user FROM migration_events WHERE event_number > (SELECT"
        " max(event_number) FROM migration_events WHERE event IN ('role_granted')) ORDER BY event_number"
    )
    found = told.fetchall()
    assert sorted(found) == sorted(
        (event, name, people["bob"])
        for event, name in [
            ("snapshot_taken", "001_t"),
            ("started", "002_u"),
            ("started", "001_t"),
            ("rolled_back", "002_u"),
            ("rolled_back", "001_t"),
            ("snapshot_taken", "001_t"),
            ("verified", "001_t"),
        ]
    )


def test_an_operator_rolls_back_a_range_and_its_job_runs_once(session, applied, people, db_of):
    for name in ("001_t", "002_u", "003_v"):
        applied(name, f"CREATE TABLE {name[-1]} (a int);", f"DROP TABLE {name[-1]};", snapshots="none")
    for person in people.values():
        grant(session(), "operator", person)
    bob, attempt = db_of("bob"), "6d3e0b3f-d5a1-4f0b-9a53-6d1c2a7c9e10"
    assert [name for name, _ in bob.preview(to="001_t").steps] == ["003_v", "002_u"]
    assert [name for name, _ in bob.preview(since="1h").steps] == ["003_v", "002_u", "001_t"]
    assert bob.plan(last=2).steps == ("003_v", "002_u")
    options = {"confirm": "003_v", "attempt_id": attempt, "reason": "INC-1", "snapshots": "none"}
    assert bob.rollback(last=2, **options).success
    again = bob.rollback(last=2, **options)
    assert again.before
    assert exists(session(), "t")
    with pytest.raises(mr.Refused, match="begun for something else"):
        bob.rollback(last=1, **options | {"confirm": "001_t"})
    with pytest.raises(mr.Refused, match="another person"):
        db_of("eve").rollback(last=1, **options | {"confirm": "001_t"})
    assert exists(session(), "t")
    applied("004_w", "CREATE TABLE w (a int);", "DROP TABLE w;", snapshots="none")
    options |= {"confirm": "004_w", "attempt_id": attempt.replace("6", "7"), "each": True}
    shown = bob.preview(last=2, each=True)
    assert bob.rollback(last=2, preview=shown, **options).success
    assert bob.rollback(last=2, preview=shown, **options).before
    assert not exists(session(), "t")


def test_roles_are_granted_listed_and_revoked(db, people, session):
    bob = people["bob"]
    assert db.grant("auditor", bob).changed
    assert repr(db.grant("auditor", bob)) == f"<RoleResult {bob} is an auditor already>"
    assert db.grant("operator", bob).changed
    frame = db.roles()
    assert list(zip(frame["kind"], frame["role_name"], frame["finding"].isna(), strict=True)) == [
        ("auditor", bob, True),
        ("operator", bob, True),
    ]
    assert db.revoke("operator", bob).changed
    assert not db.revoke("operator", bob).changed
    reads = f"SELECT has_table_privilege('{bob}', 'migration_history', 'SELECT')"
    assert value(session(), reads)
    assert not value(session(), f"SELECT has_function_privilege('{bob}', 'operator_gate()', 'EXECUTE')")
    assert value(session(), f"SELECT has_function_privilege('{bob}', 'effective_search_path()', 'EXECUTE')")
    db.revoke("auditor", bob)
    assert not value(session(), reads)
    assert not value(session(), "SELECT EXISTS (SELECT FROM migration_grants() g WHERE g.grantee <> g.owner)")
    assert list(db.events(event=["role_granted", "role_revoked"])["event"]) == (
        ["role_granted"] * 2 + ["role_revoked"] * 2
    )


@pytest.mark.parametrize(
    ("kind", "role", "said"),
    [
        ("auditor", "nobody_here", "there is no role nobody_here"),
        ("boss", "postgres", "a role is granted to be approver or auditor or operator or requester, not boss"),
        ("auditor", "postgres", "postgres may do all of it already: it is a superuser"),
    ],
)
def test_what_cannot_be_granted_is_said(db, kind, role, said):
    with pytest.raises(mr.UsageError) as caught:
        db.grant(kind, role)
    assert caught.value.message == said


def test_grants_outlast_a_repeated_install_and_functions_that_are_dropped_and_made_again(db, people, session):
    for kind in ("auditor", "operator"):
        db.grant(kind, people["bob"])
    assert db.install().rights_closed == 0
    session().execute("DROP FUNCTION operator_gate() CASCADE; DROP FUNCTION migration_warnings(text)")
    assert db.install().upgraded_from == mr.__version__
    assert db.roles()["finding"].isna().all()


def test_what_is_not_as_it_was_granted_is_found_and_granted_again(db, people, session):
    bob = people["bob"]
    db.grant("auditor", bob)
    session().execute(
        f"REVOKE SELECT ON migration_events FROM {bob}; REVOKE EXECUTE ON FUNCTION can_rollback_migration FROM {bob}"
    )
    assert list(db.roles()["finding"]) == [f"{bob} lacks 2 of the rights of an auditor"]
    assert f"{bob} lacks 2" in "\n".join(map(str, db.doctor().problems))
    assert db.grant("auditor", bob).changed
    assert db.roles()["finding"].isna().all()


def test_a_system_that_is_dropped_and_made_again_is_closed(db, people, session, tmp_path):
    db.grant("operator", people["bob"])
    name = "20250120_migration_rollback_system"
    db.rollback(name, confirm=name, trail=tmp_path / "log.json")
    db.install()
    assert db.roles().empty
    assert not value(session(), "SELECT EXISTS (SELECT FROM migration_grants() g WHERE g.grantee <> g.owner)")
    assert db.grant("operator", people["bob"]).changed


def test_an_operator_rehearses_and_only_the_event_stays(session, applied, people, db_of):
    applied("001_t", UP + "INSERT INTO t VALUES (1);", DOWN)
    grant(session(), "operator", people["bob"])
    rehearsed = db_of("bob").rehearse("001_t")
    assert rehearsed.success
    assert [(loss.relation, loss.rows) for loss in rehearsed.rows] == [("public.t", 1)]
    assert rehearsed.assessment.verdict == "loses"
    assert exists(session(), "t")
    told = "SELECT database_user FROM migration_events WHERE event = 'rehearsed'"
    assert session().execute(told).fetchall() == [(people["bob"],)]


def test_an_operator_works_in_the_terminal(session, applied, people, database_dsn, folder):
    applied("001_t", UP, DOWN)
    grant(session(), "operator", people["bob"])
    where = ["--dsn", psycopg.conninfo.make_conninfo(database_dsn, user=people["bob"]), "--dir", str(folder)]

    def run(*words):
        out, err = io.StringIO(), io.StringIO()
        return cli.run([*words, *where], out, err), out.getvalue() + err.getvalue()

    assert run("check", "001_t")[0] == 0
    assert run("plan", "001_t")[0] == 0
    assert run("rollback", "001_t", "--dry-run")[0] == 0
    assert run("rehearse", "001_t")[0] == 0
    for words in (["history"], ["list"], ["events"], ["roles"], ["snapshots"], ["deps"]):
        status, said = run(*words)
        assert status == 1, words
        assert f"migrollback grant auditor {people['bob']}" in said
    for words in (["register", "001_t"], ["apply"], ["sync"], ["snapshot", "001_t"], ["grant", "operator", "x"]):
        status, said = run(*words)
        assert status == 1, (words, said)
        assert "is an operator" in said, words
    status, said = run("rollback", "001_t", "--confirm", "001_t", "--reason", "INC-1")
    assert status == 0, said
    assert not exists(session(), "t")


def test_an_auditor_reads_everything_and_changes_nothing(session, applied, people, database_dsn, folder):
    applied("001_t", UP, DOWN)
    applied("002_u", "CREATE TABLE u (a int);", "DROP TABLE u;", depends_on=["001_t"])
    session().execute("SELECT create_migration_snapshot('001_t')")
    (folder / "003_new.sql").write_text("CREATE TABLE n ();", encoding="utf-8")
    grant(session(), "auditor", people["bob"])
    where = ["--dsn", psycopg.conninfo.make_conninfo(database_dsn, user=people["bob"]), "--dir", str(folder)]

    def run(*words):
        out, err = io.StringIO(), io.StringIO()
        return cli.run([*words, *where], out, err), out.getvalue() + err.getvalue()

    before = value(session(), "SELECT count(*) FROM migration_events")
    report = str(folder.parent / "r.html")
    for words, expected in [
        (["list"], 0), (["check", "002_u"], 0), (["check", "001_t"], 3), (["history"], 0), (["events"], 0),
        (["audit"], 0), (["snapshots"], 0), (["diff", "001_t"], 0), (["deps"], 0), (["deps", "--infer"], 0),
        (["graph"], 0), (["plan", "001_t"], 0), (["rollback", "002_u", "--dry-run"], 0), (["roles"], 0),
        (["rollback", "001_t", "--chain", "--dry-run"], 0), (["deploys"], 0), (["last"], 0), (["approvals"], 0),
        (["policy"], 0), (["report", "001_t", "--file", report], 0),
    ]:  # fmt: skip
        status, said = run(*words)
        assert status == expected, (words, said)
    assert "permission denied" not in run("doctor")[1]
    for words in (
        ["register", "001_t"], ["apply"], ["sync"], ["snapshot", "001_t"], ["rehearse", "002_u"],
        ["grant", "operator", people["eve"]], ["resolve", "001_t", "--as", "applied", "--reason", "x"],
        ["rollback", "002_u", "--confirm", "002_u"], ["install", "--production"], ["snapshots", "--prune", "1d"],
    ):  # fmt: skip
        status, said = run(*words)
        assert status in (1, 3), (words, said)
        assert "is an auditor" in said, (words, said)
    assert value(session(), "SELECT count(*) FROM migration_events") == before


def test_the_person_is_named_and_not_the_role_that_was_set(session, people):
    connection = session()
    bob = people["bob"]
    connection.execute(
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {bob}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {bob};"
        f" SET ROLE {bob}"
    )
    connection.execute("SELECT register_migration('001_x', '001', 'SELECT 1'); SELECT create_migration_snapshot('x')")
    connection.execute("SELECT execute_migration_rollback('001_x')")
    connection.execute("RESET ROLE")
    named = "SELECT applied_by, rollback_by FROM migration_history WHERE migration_name = '001_x'"
    assert connection.execute(named).fetchall() == [("postgres", "postgres")]
    assert connection.execute("SELECT DISTINCT taken_by FROM migration_snapshots").fetchall() == [("postgres",)]


def test_the_panels_of_an_auditor_show_and_what_it_may_not_is_said(session, applied, people, db_of):
    applied("001_t", UP, DOWN)
    grant(session(), "auditor", people["bob"])
    bob = db_of("bob")
    panels = [mr.panels.HistoryPanel(bob), mr.panels.GraphPanel(bob), mr.panels.RollbackPanel(bob)]
    for panel in panels:
        assert "permission denied" not in repr(panel.layout) + str(getattr(panel, "message", ""))
        panel.close()
    assert not bob.history().empty
    assert bob.preview("001_t").fingerprint
    assert bob.sql("SELECT count(*) FROM migration_events").iat[0, 0] > 0
    with pytest.raises(mr.DatabaseError, match="is an auditor"):
        bob.rollback("001_t", confirm="001_t")


def test_an_operator_brings_values_back_and_does_not_read_them(session, db, write, people, as_person):
    owner = session()
    owner.execute("CREATE TABLE notes (id int PRIMARY KEY, v text); INSERT INTO notes VALUES (1, 'a'), (2, 'b')")
    write("001_t", "UPDATE notes SET v = 'x';", "SELECT 1;")
    db.apply("001_t", archive=True)
    grant(owner, "operator", people["bob"])
    bob = as_person("bob")
    assert bob.execute(CALL).fetchone() == (True, "Migration rolled back successfully")
    assert owner.execute("SELECT v FROM notes ORDER BY id").fetchall() == [("a",), ("b",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        bob.execute("SELECT * FROM migrollback_archive.batches")
