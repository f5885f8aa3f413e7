"""A database of the tool that came before, with the specification's tables: install --take-over, and what undoes it."""

import json
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row
from schema_catalog import CATALOG, SYSTEM, ask
from watching import value

import migrollback_nb as mr
from migrollback_nb.cli import run
from migrollback_nb.database.installation import installation_sql

EARLIER = Path(__file__).with_name("earlier.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def template(server):
    name = server.create_database()
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(EARLIER)
    yield name
    server.drop_database(name)


@pytest.fixture
def dsn(server, template):
    """DSN of a database of the earlier tool."""
    name = server.create_database(template=template)
    yield server.dsn(name)
    server.drop_database(name)


@pytest.fixture
def change(dsn):
    """Run SQL in it."""

    def run(statement):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement)

    return run


def rows(dsn, table="migration_history"):
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        found = connection.execute(f"SELECT * FROM public.{table} ORDER BY migration_name").fetchall()
    return {row["migration_name"]: row for row in found}


def catalog(dsn):
    """Its catalogs, grants in one order."""

    def sorted_grants(how):
        return (how | {"acl": sorted(how.get("acl") or [])}) if isinstance(how, dict) else how

    found = [
        (*row[:2], json.loads(row[2]) if row[2].startswith("{") else row[2]) for row in ask(dsn, CATALOG, "public")
    ]
    return [(*row[:2], sorted_grants(row[2])) for row in found]


def by_psql(server, dsn, text):
    command = [server.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def take_over(dsn, **options):
    with mr.connect(dsn) as db:
        return db.install(take_over=True, **options)


def refusal(dsn):
    """What stands in the way; makes sure that nothing was changed."""
    before = ask(dsn, CATALOG, "public"), rows(dsn), rows(dsn, "migration_dependencies")
    with mr.connect(dsn) as db, pytest.raises(mr.Refused) as refused:
        db.install(take_over=True)
    assert (ask(dsn, CATALOG, "public"), rows(dsn), rows(dsn, "migration_dependencies")) == before
    return refused.value.message


def test_without_being_asked_for_it_is_refused_and_named(dsn):
    with mr.connect(dsn) as db, pytest.raises(mr.Refused, match="install --take-over"):
        db.install()
    assert not [row for row in ask(dsn, CATALOG, "public") if row[1] == "migration_events"]


def test_a_table_of_that_name_with_other_columns_is_not_said_to_be_the_earlier_tools(empty_dsn):
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.migration_history (version text, installed_on date)")
    with mr.connect(empty_dsn) as db:
        with pytest.raises(mr.Refused) as refused:
            db.install()
        assert "--take-over" not in str(refused.value)
        with pytest.raises(mr.Refused, match="has no column migration_name"):
            db.install(take_over=True)


@pytest.mark.versions
@pytest.mark.parametrize("way", ["python", "psql"])
def test_all_of_it_becomes_ours(server, dsn, empty_dsn, tmp_path, way):
    old, edges = rows(dsn), rows(dsn, "migration_dependencies")
    if way == "python":
        result = take_over(dsn)
        assert (result.taken_over.migrations, result.taken_over.dependencies, len(result.taken_over.functions)) == (
            5,
            2,
            4,
        )
    else:
        done = by_psql(server, dsn, installation_sql("public", take_over=True))
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    with mr.connect(empty_dsn) as db:
        db.install()
    new = rows(dsn)
    assert new.keys() == old.keys()
    for name, row in old.items():
        if name != SYSTEM:
            same = {"id", "migration_name", "applied_at", "applied_by", "rollback_sql", "checksum", "notes", "status"}
            assert {key: new[name][key] for key in same} == {key: row[key] for key in same}
    assert {name: row["migration_version"] for name, row in new.items()} == {
        "20250119_users": "20250119", SYSTEM: "20250120", "20250121_settings": "20250121", "20250122_gone": "20250122",
        "20250124_orders": "20250124", "by_hand": "7",
    }  # fmt: skip
    assert (new["20250122_gone"]["rollback_at"], new["20250122_gone"]["rollback_by"]) == (
        old["20250122_gone"]["rollback_at"],
        "anna",
    )
    assert new["20250121_settings"]["rollback_at"] is None
    assert new["20250119_users"]["metadata"]["snapshot"] == old["20250119_users"]["metadata"]["snapshot"]
    assert new["20250122_gone"]["metadata"]["before_take_over"] == {"system": True, "tool": "x"}
    assert {name: (edge["id"], edge["created_at"], edge["source"]) for name, edge in rows(
        dsn, "migration_dependencies").items()} == {
        name: (edge["id"], edge["created_at"], "declared") for name, edge in edges.items()}  # fmt: skip
    theirs = ("users", "settings", "orders", "uuid_generate_v4")
    found, fresh = (
        {
            row[:2]: row[2]
            for row in ask(one, CATALOG, "public")
            if not row[1].removeprefix("public.").startswith(theirs)
        }
        for one in (dsn, empty_dsn)
    )
    assert found == fresh

    with mr.connect(dsn) as db:
        events = [event for event in db.events().to_dict("records") if event["event"] == "taken_over"]
        assert {event["migration_name"] for event in events} == old.keys()
        of = {event["migration_name"]: event["details"] for event in events}
        assert of["20250121_settings"]["was"]["rollback_by"] == "anna"
        assert of["20250122_gone"]["was"]["metadata"] == {"system": True, "tool": "x"}
        assert of[SYSTEM]["old"]["rollback_sql"] == old[SYSTEM]["rollback_sql"]
        assert db.verify_events().intact
        assert db.audit().success, db.audit().findings
        db.export_audit_log(tmp_path / "log.json")
        assert mr.check_audit_log(tmp_path / "log.json").success
        assert not db.install(take_over=True).installed, "the second time it does nothing"


def test_the_gate_counts_for_what_was_taken_over(dsn):
    take_over(dsn)
    with mr.connect(dsn) as db:
        assert db.check("20250119_users").dependent_migrations == ("20250121_settings", "20250124_orders")
        assert db.rollback("20250121_settings", confirm="20250121_settings").success
        with psycopg.connect(dsn) as connection:
            assert value(connection, "SELECT to_regclass('public.settings')::text") is None
            answer = connection.execute(
                "SELECT can_rollback, reason FROM can_rollback_migration('20250124_orders')"
            ).fetchone()
            assert answer == (False, "Rollback failed, manual intervention required")
            connection.execute("UPDATE migration_history SET notes = 'x' WHERE migration_name = 'by_hand'")
            with pytest.raises(psycopg.Error, match="append-only"):
                connection.execute("DELETE FROM migration_events")
        assert db.audit().success
        at = db.at("2025-01-22 12:00Z").set_index("migration_name")["status"]
        assert at["20250122_gone"] == "applied"
        assert db.at("2025-01-23 12:00Z").set_index("migration_name")["status"]["20250122_gone"] == "rolled_back"


def test_a_dry_run_says_all_of_it_and_changes_nothing(dsn):
    before = ask(dsn, CATALOG, "public"), rows(dsn), rows(dsn, "migration_dependencies")
    result = take_over(dsn, dry_run=True)
    assert "nothing was changed" in result.what
    assert result.taken_over.migrations == 5
    assert result.taken_over.changed["20250121_settings"]["rollback_by"] == "anna"
    assert (ask(dsn, CATALOG, "public"), rows(dsn), rows(dsn, "migration_dependencies")) == before
    assert take_over(dsn).taken_over == result.taken_over


@pytest.mark.versions
def test_what_was_there_is_put_back_by_the_printed_script(server, dsn, change):
    change("""
        CREATE ROLE earlier_reader; GRANT SELECT ON migration_history TO earlier_reader;
        GRANT EXECUTE ON FUNCTION list_rollbackable_migrations() TO earlier_reader;
        REVOKE ALL ON FUNCTION create_migration_snapshot(text, text) FROM PUBLIC;
        ALTER TABLE migration_history RENAME CONSTRAINT migration_history_migration_name_key TO only_once;
        ALTER TABLE migration_dependencies DROP CONSTRAINT migration_dependencies_depends_on_fkey;
        ALTER TABLE migration_dependencies ADD CONSTRAINT needs FOREIGN KEY (depends_on)
            REFERENCES migration_history (migration_name) ON DELETE CASCADE;
        CREATE VIEW newest AS SELECT * FROM migration_history ORDER BY applied_at DESC LIMIT 1""")
    try:
        before, old = catalog(dsn), rows(dsn)
        take_over(dsn)
        with mr.connect(dsn) as db:
            script = db.undo_take_over_sql()
            db.rollback("20250121_settings", confirm="20250121_settings")
        done = by_psql(server, dsn, script)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        now = rows(dsn)
        settings, was = now.pop("20250121_settings"), old.pop("20250121_settings")
        assert settings["status"] == "rolled_back", "what was rolled back since stays so"
        assert (was["status"], settings["migration_version"]) == ("applied", was["migration_version"])
        assert now == old
        found = catalog(dsn)
        came = [row for row in found if row not in before]
        assert [row for row in came if "pg.dropped" not in row[1]] == [], came
        gone = [row for row in before if row not in found]
        assert {row[1].split(".")[0] for row in gone} <= {"settings"}, gone
        with psycopg.connect(dsn) as connection:
            assert (
                value(connection, "SELECT reason FROM can_rollback_migration('by_hand')") == "as the earlier tool says"
            )
    finally:
        change("DROP OWNED BY earlier_reader; DROP ROLE earlier_reader")


def test_nothing_that_was_taken_over_is_nothing_to_undo(db):
    with pytest.raises(mr.Refused, match="Nothing was taken over"):
        db.undo_take_over_sql()


def test_views_keys_columns_and_policies_of_others_stay(dsn, change):
    change("""
        ALTER TABLE migration_history ADD COLUMN team text DEFAULT 'ours';
        UPDATE migration_history SET team = 'core' WHERE migration_name = 'by_hand';
        CREATE VIEW applied AS SELECT migration_name, team FROM migration_history WHERE status = 'applied';
        CREATE TABLE tickets (migration text REFERENCES migration_history (migration_name));
        INSERT INTO tickets VALUES ('by_hand');
        ALTER TABLE migration_history ENABLE ROW LEVEL SECURITY;
        CREATE POLICY theirs ON migration_history USING (true)""")
    take_over(dsn)
    with psycopg.connect(dsn) as connection:
        assert value(connection, "SELECT team FROM applied WHERE migration_name = 'by_hand'") == "core"
        with pytest.raises(errors.ForeignKeyViolation):
            connection.execute("DELETE FROM migration_history WHERE migration_name = 'by_hand'")
    with mr.connect(dsn) as db:
        assert db.audit().success
        assert db.rollback("20250121_settings", confirm="20250121_settings").success


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE migration_history SET status = 'pending' WHERE migration_name = 'by_hand'",
         "migration_history, status 'pending', which is none of applied, rolled_back and failed: 'by_hand'"),
        ("UPDATE migration_history SET status = NULL WHERE migration_name = 'by_hand'",
         "migration_history, no status: 'by_hand'"),
        ("UPDATE migration_history SET metadata = '[]' WHERE migration_name LIKE '%s'",
         "migration_history, metadata that is no object: '20250119_users', '20250121_settings', '20250124_orders'"),
        ("INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('by_hand', 'by_hand')",
         "migration_dependencies, of itself: 'by_hand' > 'by_hand'"),
        ("INSERT INTO migration_dependencies (migration_name, depends_on) VALUES"
         " ('20250119_users', '20250121_settings')",
         "migration_dependencies, in a cycle: '20250119_users' > '20250121_settings'"),
        ("ALTER TABLE migration_dependencies DROP CONSTRAINT migration_dependencies_depends_on_fkey;"
         "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('by_hand', 'gone')",
         "migration_dependencies, of a migration that is not in migration_history: 'by_hand' > 'gone'"),
        ("ALTER TABLE migration_history ALTER COLUMN notes TYPE varchar(500)",
         "column notes of public.migration_history has type character varying(500): ALTER TABLE"
         " public.migration_history ALTER COLUMN notes TYPE text"),
        ("UPDATE migration_history SET applied_at = NULL WHERE migration_name = 'by_hand'",
         "migration_history, no applied_at, or an endless one: 'by_hand'"),
        ("ALTER TABLE migration_history DROP COLUMN notes", "public.migration_history has no column notes"),
        ("ALTER TABLE migration_history ADD COLUMN team text NOT NULL DEFAULT ''; ALTER TABLE migration_history"
         " ALTER team DROP DEFAULT", "column team of public.migration_history must have a value"),
        ("CREATE TABLE migration_events (id int)",
         "public.migration_events exists, and this system makes one of that name"),
        ("CREATE VIEW v AS SELECT * FROM list_rollbackable_migrations()",
         "view public.v uses function public.list_rollbackable_migrations(), which goes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_before_anything_changes(dsn, change, statement, named):
    if "pending" in statement or "= NULL" in statement:
        change("ALTER TABLE migration_history DROP CONSTRAINT migration_history_status_check")
    change(statement)
    assert named in refusal(dsn)


def test_words_for_a_status_that_mean_ours_are_put_right(dsn, change):
    change("ALTER TABLE migration_history DROP CONSTRAINT migration_history_status_check;"
           "UPDATE migration_history SET status = ' Rolled back' WHERE migration_name = '20250122_gone'")  # fmt: skip
    result = take_over(dsn)
    assert result.taken_over.changed["20250122_gone"]["status"] == " Rolled back"
    assert rows(dsn)["20250122_gone"]["status"] == "rolled_back"


def test_tables_of_another_role_become_that_roles_system_or_are_refused(server, dsn, change):
    change("""CREATE ROLE earlier_owner LOGIN; CREATE ROLE earlier_other LOGIN;
        GRANT CREATE ON SCHEMA public TO earlier_owner;
        ALTER TABLE migration_history OWNER TO earlier_owner; ALTER TABLE migration_dependencies OWNER TO earlier_owner;
        GRANT SELECT ON migration_history TO earlier_other""")
    try:
        named = (
            "function public.can_rollback_migration(text) belongs to postgres, and the tables to earlier_owner: drop it"
        )
        assert named in refusal(dsn)
        change("ALTER FUNCTION can_rollback_migration(text) OWNER TO earlier_owner;"
               "ALTER FUNCTION execute_migration_rollback(text, boolean) OWNER TO earlier_owner;"
               "ALTER FUNCTION list_rollbackable_migrations() OWNER TO earlier_owner;"
               "ALTER FUNCTION create_migration_snapshot(text, text) OWNER TO earlier_owner")  # fmt: skip
        other = dsn.replace("user=postgres", "user=earlier_other")
        with mr.connect(other) as db, pytest.raises(mr.Refused, match="belong to earlier_owner, and only that role"):
            db.install(take_over=True)
        take_over(dsn)
        with psycopg.connect(dsn) as connection:
            owner = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'can_rollback_migration'"
            assert value(connection, owner) == "earlier_owner"
            found = connection.execute("SELECT has_table_privilege('earlier_other', 'migration_history', 'INSERT')")
            assert found.fetchone() == (False,)
        with mr.connect(dsn) as db:
            assert db.audit().success
    finally:
        change("REASSIGN OWNED BY earlier_owner TO postgres; DROP OWNED BY earlier_owner, earlier_other;"
               "DROP ROLE earlier_owner, earlier_other")  # fmt: skip


def test_in_another_schema(server, dsn, change):
    change("""CREATE SCHEMA "Odd's"; ALTER TABLE migration_history SET SCHEMA "Odd's";
        ALTER TABLE migration_dependencies SET SCHEMA "Odd's";
        DROP FUNCTION list_rollbackable_migrations(), can_rollback_migration(text)""")
    with mr.connect(dsn, schema="Odd's") as db:
        assert len(db.install(take_over=True).taken_over.functions) == 0
        assert db.audit().success
        script = db.undo_take_over_sql()
    done = by_psql(server, dsn, script)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_adopt_offers_it(dsn, folder, write_migration):
    write_migration("20250126_more", "CREATE TABLE more ();\n-- ROLLBACK START\nDROP TABLE more;\n-- ROLLBACK END\n")
    with mr.connect(dsn, dir=folder) as db:
        found = db.adopt(dry_run=True)
        assert found.taken_over.migrations == 5
        assert any("--take-over" in step for step in found.steps)
        assert found.to_register == ("20250126_more",)
        with pytest.raises(mr.Refused, match="--take-over"):
            db.adopt()
        done = db.adopt(take_over=True)
        assert [one.migration_name for one in done.sync.registered] == ["20250126_more"]
        assert db.audit().success


def test_the_file_that_made_the_earlier_tools_tables_is_left_alone(dsn, folder, write_migration):
    write_migration(SYSTEM, EARLIER + "\n-- ROLLBACK START\nDROP TABLE migration_history CASCADE;\n-- ROLLBACK END\n")
    take_over(dsn)
    with mr.connect(dsn, dir=folder) as db:
        before = rows(dsn)[SYSTEM]
        assert any("it is left alone" in warning for warning in db.sync().warnings)
        with pytest.raises(mr.Refused, match="which install alone writes"):
            db.register(SYSTEM)
        assert rows(dsn)[SYSTEM] == before


def test_in_the_terminal(dsn, capsys, tmp_path):
    assert run(["install", "--take-over", "--dry-run", "--dsn", dsn]) == 0
    said = capsys.readouterr()
    assert "To be taken over: 5 migrations and 2 dependencies of the earlier tool; 4 functions" in said.out
    assert "20250121_settings: " in said.err
    for words in (["check", "by_hand"], ["list"], ["sync", "--dir", str(tmp_path)]):
        assert run([*words, "--dsn", dsn]) == 1
        assert "migrollback install --take-over" in capsys.readouterr().err
    assert run(["install", "--dsn", dsn]) == 3
    assert run(["install", "--take-over", "--dsn", dsn]) == 0
    said = capsys.readouterr()
    assert "Taken over: 5 migrations" in said.out
    assert "not ours" not in said.err
    assert run(["install", "--undo-take-over", "--dsn", dsn]) == 2
    assert run(["install", "--undo-take-over", "--print", "--dsn", dsn]) == 0
    assert "CREATE OR REPLACE FUNCTION public.can_rollback_migration" in capsys.readouterr().out


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE migration_history ADD CONSTRAINT twice UNIQUE (migration_name)",
        "ALTER TABLE migration_dependencies DROP CONSTRAINT migration_dependencies_migration_name_fkey,"
        " DROP CONSTRAINT migration_dependencies_depends_on_fkey, DROP CONSTRAINT migration_dependencies_pkey;"
        "ALTER TABLE migration_history DROP CONSTRAINT migration_history_pkey,"
        " DROP CONSTRAINT migration_history_migration_name_key",
        "DROP TABLE migration_dependencies",
        "ALTER TABLE migration_history ADD CONSTRAINT no_failures CHECK (status <> 'nothing')",
        "ALTER TABLE migration_history ALTER checksum SET NOT NULL",
        "CREATE TRIGGER t BEFORE UPDATE ON migration_history FOR EACH ROW EXECUTE FUNCTION"
        " suppress_redundant_updates_trigger()",
    ],
    ids=["two unique", "no keys", "no dependencies", "own check", "not null", "trigger"],
)
def test_tables_that_are_put_together_otherwise(server, dsn, change, statement):
    if "checksum" in statement:
        change("UPDATE migration_history SET checksum = coalesce(checksum, '')")
    change(statement)
    before = catalog(dsn)
    take_over(dsn)
    with mr.connect(dsn) as db:
        # a trigger of others is named, and left alone
        assert [one.identity for one in db.audit().findings] == ["t on migration_history"] * ("TRIGGER" in statement)
        script = db.undo_take_over_sql()
    done = by_psql(server, dsn, script)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert [row for row in before if row not in catalog(dsn)] == []


def test_a_time_without_end_is_named(dsn, change):
    change("UPDATE migration_history SET rollback_at = 'infinity' WHERE migration_name = '20250122_gone'")
    with mr.connect(dsn) as db, pytest.raises(mr.Refused, match="an endless rollback_at: '20250122_gone'"):
        db.install(take_over=True)
