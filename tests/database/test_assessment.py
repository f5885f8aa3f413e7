"""One verdict behind every answer: the same in SQL, in Python and in each command, and never green without a look."""

import io
import json

import pytest
from watching import exists, last_event, status, value

import migrollback_nb as mr
from migrollback_nb import cli

pytestmark = pytest.mark.versions


@pytest.fixture
def shop(db, applied):
    """1,000 customers, whose e-mail and plan the second migration destroys; its rollback brings a column back."""
    applied(
        "001_customers",
        "CREATE TABLE customers (id int PRIMARY KEY, email text, plan text);"
        " INSERT INTO customers SELECT n, 'e' || n, 'p' FROM generate_series(1, 1000) n;",
        "DROP TABLE customers;",
    )
    applied(
        "002_no_email",
        "ALTER TABLE customers DROP COLUMN email; UPDATE customers SET plan = 'free' WHERE id <= 500;",
        "ALTER TABLE customers ADD COLUMN email text;",
        depends_on=["001_customers"],
    )
    return db


LOST = "not bring back 1,500 values of public.customers.email and public.customers.plan"
LINES = (
    "does not bring back 1,000 values of public.customers.email: column dropped",
    "does not bring back 500 values of public.customers.plan: updated",
)


def run(db, dsn, *argv):
    out, err = io.StringIO(), io.StringIO()
    code = cli.run(["--dsn", dsn, *argv], out, err)
    return code, out.getvalue(), err.getvalue()


@pytest.mark.long
def test_the_same_words_in_every_answer(shop, database_dsn, session):
    unknown = f"Not rehearsed; would {LOST}"
    row = session().execute("SELECT verdict, headline, known_by FROM assess_migration('002_no_email')").fetchone()
    assert row == ("loses", unknown, "catalog")
    known = shop.assess("002_no_email")
    assert (known.verdict, known.headline, known.known_by, known.lines()) == ("loses", unknown, "catalog", LINES)
    assert shop.check("002_no_email").assessment == known
    assert shop.preview("002_no_email").assessment == known
    assert shop.plan("002_no_email").assessment == known
    listed = shop.list().set_index("migration_name")
    assert (listed.verdict["002_no_email"], listed.headline["002_no_email"]) == ("loses", unknown)
    assert (listed.verdict["001_customers"], listed.headline["001_customers"]) == (
        "blocked",
        "Cannot rollback: other migrations depend on this one",
    )
    for command in (["check", "002_no_email"], ["rollback", "002_no_email", "--dry-run"], ["plan", "002_no_email"]):
        code, out, _ = run(shop, database_dsn, *command)
        assert code == 0
        assert f"⚠️ {unknown}\n   {LINES[0]}\n   {LINES[1]}\n" in out, command
        answer = json.loads(run(shop, database_dsn, *command, "--format", "json")[1])
        assert (answer["verdict"], answer["known_by"]) == ("loses", "catalog"), command
        assert [(one["effect"], one["identity"], one["rows"]) for one in answer["effects"][:2]] == [
            ("values_not_restored", "public.customers.email", 1000),
            ("values_not_restored", "public.customers.plan", 500),
        ]
        assert set(answer["effects"][0]) == {"effect", "identity", "rows", "detail", "migration", "known_by"}


def test_a_rehearsal_is_known_until_something_changes(shop, session):
    rehearsed = shop.rehearse("002_no_email").assessment
    assert (rehearsed.headline, rehearsed.known_by) == (f"Would succeed, and {LOST}", "rehearsal")
    assert shop.check("002_no_email").assessment.headline == rehearsed.headline
    session().execute("CREATE TABLE other ()")
    outdated = shop.assess("002_no_email")
    assert (outdated.headline, outdated.known_by) == (f"Not rehearsed since something changed; would {LOST}", "catalog")


def test_only_a_rehearsal_or_a_proof_makes_it_green(db, applied, session):
    applied("001_v", "CREATE VIEW v AS SELECT 1 AS one;", "DROP VIEW v;")
    before = db.assess("001_v")
    assert (before.verdict, before.mark, before.known_by) == ("not_rehearsed", "❔", "nothing")
    checksum = value(session(), "SELECT checksum FROM migration_history WHERE migration_name = '001_v'")
    prove = (
        "SELECT record_migration_proofs(jsonb_build_array(jsonb_build_object('migration_name', '001_v', 'checksum',"
        " %s::text, 'grade', %s::text, 'rollback_md5', md5('DROP VIEW v;'))))"
    )
    session().execute(prove, ("another", "restores"))
    assert db.assess("001_v").verdict == "not_rehearsed", "a proof of another text is none"
    session().execute(prove, (checksum, "restores"))
    proven = db.assess("001_v")
    assert (proven.verdict, proven.known_by, proven.mark) == ("ready", "proof", "✅")
    assert proven.headline == "Would succeed, and lose nothing: proven to restore just now"
    session().execute("UPDATE migration_proofs SET grade = 'differs', proven_at = now() - interval '2 days'")
    assert (db.assess("001_v").verdict, db.assess("001_v").headline) == (
        "harms",
        "Would not restore the schema, as a replay showed 2 days ago",
    )
    assert db.rehearse("001_v").assessment.verdict == "harms", "what the replay showed is no better for a rehearsal"


def test_what_a_rehearsal_met_is_said(db, applied):
    applied("001_x", "SELECT 1;", "DROP TABLE nowhere;")
    failed = db.rehearse("001_x").assessment
    assert (failed.verdict, failed.headline) == (
        "harms",
        'Would fail, as rehearsed just now: table "nowhere" does not exist (SQLSTATE 42P01)',
    )
    assert db.check("001_x").assessment.headline == failed.headline


@pytest.mark.long
def test_a_chain_is_assessed_as_a_whole(shop):
    whole = shop.assess("001_customers", chain=True)
    assert (whole.verdict, whole.migration_name) == ("loses", "001_customers")
    assert shop.plan("001_customers").assessment.headline == whole.headline
    with pytest.raises(mr.MigrationNotFound):
        shop.assess("003_nowhere")


# -- production --------------------------------------------------------------------------------------------------------


def test_production_refuses_a_loss_that_was_not_accepted(shop, database_dsn, session):
    shop.install(production=True)
    connection = session()
    refused = (
        f"This database is marked as production, and this rollback would {LOST}: that is to be accepted (argument"
        " accept_loss)"
    )
    call = "SELECT success, message FROM execute_migration_rollback('002_no_email', reason => 'INC-1'"
    assert connection.execute(f"{call})").fetchone() == (False, refused)
    with pytest.raises(mr.Refused, match="on production that is to be accepted") as caught:
        shop.rollback("002_no_email", confirm="002_no_email", reason="INC-1")
    assert LINES[0] in caught.value.hint
    argv = ("rollback", "002_no_email", "--confirm", "002_no_email", "--reason", "INC-1")
    code, _, err = run(shop, database_dsn, *argv)
    assert (code, "--accept-loss" in err) == (3, True)
    assert status(connection, "002_no_email") == "applied"
    code, out, err = run(shop, database_dsn, *argv, "--accept-loss", "--format", "json")
    assert (code, json.loads(out)["verdict"]) == (0, "loses"), err
    event = shop.events("002_no_email").query("event == 'rolled_back'").iloc[-1]
    assert [one["identity"] for one in event["details"]["accepted_loss"]] == [
        "public.customers.email",
        "public.customers.plan",
    ]


@pytest.mark.long
def test_elsewhere_a_loss_is_said_and_not_refused(shop, session):
    result = shop.rollback("002_no_email", confirm="002_no_email")
    assert (result.success, result.assessment.verdict) == (True, "loses")
    assert "accepted_loss" not in last_event(session())["details"]


@pytest.mark.long
def test_outside_a_transaction_too(db, write_migration, session):
    write_migration(
        "001_t",
        "CREATE TABLE t (n int);\n-- ROLLBACK START transaction:false\nDROP TABLE t;\nVACUUM;\n-- ROLLBACK END\n",
    )
    db.apply("001_t")
    connection = session()
    connection.execute(
        "INSERT INTO migration_destroyed_values (migration_name, what, identity, rows, source)"
        " VALUES ('001_t', 'deleted', 'public.t', 7, 'apply')"
    )
    db.install(production=True)
    with pytest.raises(mr.Refused, match="to be accepted"):
        db.rollback("001_t", confirm="001_t", reason="INC-2")
    assert exists(connection, "t")
    assert db.rollback("001_t", confirm="001_t", reason="INC-2", accept_loss=True).success
    assert db.events("001_t").query("event == 'rolled_back'").iloc[-1]["details"]["accepted_loss"]


def test_the_variable_alone_refuses_it_too(shop, monkeypatch):
    monkeypatch.setenv("MIGROLLBACK_PRODUCTION", "*")
    with pytest.raises(mr.Refused, match="to be accepted"):
        shop.rollback("002_no_email", confirm="002_no_email", reason="INC-3")


def test_what_no_one_read_is_not_green(db, session):
    """Registered in psql: no file says what its up migration did."""
    session().execute("CREATE VIEW v AS SELECT 1 AS one")
    session().execute("SELECT register_migration('001_v', '1', 'DROP VIEW v;')")
    known = db.rehearse("001_v").assessment
    assert (known.verdict, known.known_by) == ("not_rehearsed", "rehearsal")
    assert known.headline == (
        "Would succeed, as rehearsed just now; what its up migration destroyed is not known: register it again"
    )


def test_psql_hears_it_too(shop, session):
    connection = session()
    heard = []
    connection.add_notice_handler(lambda said: heard.append(said.message_primary))
    connection.execute("SELECT * FROM execute_migration_rollback('002_no_email', dry_run => true)")
    assert heard == [f"Not rehearsed; would {LOST}"]
