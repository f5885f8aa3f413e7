"""Ledgers of tools whose migrations are programs, as those tools leave them."""

from __future__ import annotations

import hashlib
import random
import sys
import types

import pytest
from watching import exists

import migrollback_nb as mr

REVISION = "revision = {0!r}\ndown_revision = {1!r}\ndepends_on = {2!r}\n"


@pytest.fixture
def revisions(tmp_path, session):
    """Writes a folder of revisions (id, down, needs), each of one table, and the heads of the ledger."""

    def write(heads, *known):
        for revision, down, needs in known:
            (tmp_path / f"{revision}_x.py").write_text(REVISION.format(revision, down, needs))
            (tmp_path / f"{revision}_x.rollback.sql").write_text(f"DROP TABLE {revision};")
            session().execute(f"CREATE TABLE {revision} ()")
        session().execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)")
        for head in heads:
            session().execute("INSERT INTO alembic_version VALUES (%s)", (head,))
        return tmp_path

    return write


def heads_of(session):
    return sorted(head for (head,) in session().execute("SELECT version_num FROM alembic_version"))


DIAMOND = (("a1", None, None), ("b2", "a1", None), ("c3", "a1", None), ("d4", ("b2", "c3"), None))


def test_heads_say_what_is_applied_and_go_back_as_alembic_moves_them(revisions, session, database_dsn):
    folder = revisions(["d4"], *DIAMOND, ("e5", "d4", None), ("o6", None, "b2"))
    with mr.connect(database_dsn, dir=folder) as db:
        found = db.sync()
        assert found.not_applied == ("e5_x", "o6_x")
        assert len(found.registered) == 4
        assert db.check("d4_x").can_rollback
        assert not db.check("b2_x").can_rollback
        assert db.rollback("d4_x", confirm="d4_x").success
        assert heads_of(session) == ["b2", "c3"]
        assert db.rollback("b2_x", confirm="b2_x").success
        assert heads_of(session) == ["c3"]  # a1 is before c3
        assert db.rollback("c3_x", confirm="c3_x").success
        assert heads_of(session) == ["a1"]
        assert db.rollback("a1_x", confirm="a1_x").success
        assert heads_of(session) == []
        assert exists(session(), "e5")
        assert db.list().attrs["warnings"] == ()


def test_what_is_not_the_newest_of_its_ledger_is_refused_with_what_to_do(revisions, session, database_dsn):
    folder = revisions(["c3"], ("a1", None, None), ("b2", "a1", None), ("c3", "b2", None))
    (folder / "c3_x.py").rename(folder.parent / "c3_x.py")
    with mr.connect(database_dsn, dir=folder) as db:
        assert len(db.sync().registered) == 2
        check = db.check("b2_x")
        assert not check.can_rollback
        assert "is at c3, which comes after it: run migrollback sync and roll that back first" in check.reason
        with pytest.raises(mr.Refused, match="is at c3"):
            db.rollback("b2_x", confirm="b2_x")
        assert exists(session(), "b2")
        assert heads_of(session) == ["c3"]
        # and where it is passed over, the ledger's writer itself refuses
        with pytest.raises(Exception, match="is at c3") as caught:
            session().execute(
                'SELECT forget_in_deploy_ledger(\'b2_x\', \'b2\', \'{"tool": "Alembic", "parents": ["a1"]}\')'
            )
        assert caught.value.sqlstate == "MR031"


def test_programs_without_a_ledger_are_taken_for_applied_by_no_folders_word(tmp_path, database_dsn):
    (tmp_path / "a1_x.py").write_text(REVISION.format("a1", None, None))
    with mr.connect(database_dsn, dir=tmp_path) as db:
        found = db.sync()
        (failure,) = found.failed
        assert failure.error.startswith("No ledger of Alembic was found here, so none of its 1 migrations is taken")
        assert found.registered == ()
        with pytest.raises(mr.Refused, match="is a program of Alembic") as caught:
            db.apply("a1_x")
        assert "Apply it with alembic upgrade" in caught.value.hint


KNEX = (
    "CREATE TABLE knex_migrations (id serial PRIMARY KEY, name varchar(255), batch int, migration_time timestamptz);"
    "CREATE TABLE knex_migrations_lock (index serial PRIMARY KEY, is_locked int)"
)


def test_the_lock_row_of_knex_blocks(tmp_path, session, database_dsn):
    session().execute(f"{KNEX}; INSERT INTO knex_migrations (name, batch, migration_time) VALUES ('1_a.js', 1, now())")
    session().execute("INSERT INTO knex_migrations_lock (is_locked) VALUES (0)")
    (tmp_path / "1_a.js").write_text("exports.up = (knex) => 0")
    (tmp_path / "1_a.rollback.sql").write_text("SELECT 1;")
    with mr.connect(database_dsn, dir=tmp_path) as db:
        assert [one.migration_name for one in db.sync().registered] == ["1_a"]
        assert db.check("1_a").can_rollback
        session().execute("UPDATE knex_migrations_lock SET is_locked = 1")
        assert "did not come to its end" in db.check("1_a").reason


#: What stands for a tool: applies the first program whose table is not there, and keeps it in Knex's ledger.
TOOL = """
import sys, psycopg
with psycopg.connect("", autocommit=True) as c:
    c.execute("CREATE TABLE IF NOT EXISTS knex_migrations (id serial PRIMARY KEY, name text, batch int, "
              "migration_time timestamptz)")
    done = [name for (name,) in c.execute("SELECT name FROM knex_migrations")]
    todo = [one for one in (("1_a.js", "CREATE TABLE a (id serial PRIMARY KEY, b text DEFAULT 'x')"),
                            ("2_b.js", "ALTER TABLE a DROP COLUMN b")) if one[0] not in done]
    if todo:
        c.execute(todo[0][1])
        c.execute("INSERT INTO knex_migrations (name, batch, migration_time) VALUES (%s, 1, now())", (todo[0][0],))
"""


def test_what_a_program_does_is_captured_tried_and_marked(tmp_path, database_dsn):
    for name in ("1_a.js", "2_b.js"):
        (tmp_path / name).write_text("exports.up = (knex) => 0")
    (tmp_path / "tool.py").write_text(TOOL)
    found = mr.capture([sys.executable, str(tmp_path / "tool.py")], tmp_path, each=True)
    assert [one.migration_name for one in found.migrations] == ["1_a", "2_b"]
    statements = [
        line
        for one in found.migrations
        for line in (tmp_path / f"{one.migration_name}.rollback.sql").read_text().splitlines()
        if not line.startswith("--")
    ]
    assert [line for line in statements if line] == [
        "DROP TABLE IF EXISTS public.a;",
        "ALTER TABLE public.a ADD COLUMN b text DEFAULT 'x'::text;",
    ]
    assert "DROP COLUMN IF EXISTS b;" in (tmp_path / "2_b.up.sql").read_text()


@pytest.mark.long
def test_of_a_tool_whose_ledger_is_not_known_a_file_of_our_own_is_written(tmp_path, session, database_dsn):
    (tmp_path / "20250101_x.exs").write_text("defmodule X do end")
    (tmp_path / "tool.py").write_text(TOOL.replace("knex_migrations", "schema_migrations"))
    command = [sys.executable, str(tmp_path / "tool.py")]
    with mr.connect(database_dsn, dir=tmp_path, rollbacks=tmp_path / "sql") as db:
        with pytest.raises(mr.UsageError, match="whose ledger is known"):
            db.capture(command)
        (one,) = db.capture(command, name="20250101_x").migrations
        assert "it will not hear of a rollback" in one.remarks[-1]
        assert not exists(session(), "a")
    with mr.connect(database_dsn, dir=tmp_path / "sql") as db:
        assert db.apply("20250101_x").applied
        assert db.assess("20250101_x").verdict == "not_rehearsed"
        db.rehearse("20250101_x")
        assert db.assess("20250101_x").verdict == "not_rehearsed"  # what became of rows was not seen
        assert "schema_migrations" not in (tmp_path / "sql" / "20250101_x.sql").read_text()
        assert db.rollback("20250101_x", confirm="20250101_x").success
    with pytest.raises(mr.UsageError, match="changed nothing on the scratch database"):
        mr.capture(["true"], tmp_path, name="20250101_y")


def test_the_ledger_of_rails_as_its_source_makes_it_is_kept_in_step(tmp_path, session, database_dsn):
    session().execute(
        "CREATE TABLE schema_migrations (version varchar NOT NULL PRIMARY KEY); CREATE TABLE ar_internal_metadata (key"
        " varchar NOT NULL PRIMARY KEY, value varchar, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT"
        " NULL); INSERT INTO schema_migrations VALUES ('20250101000000'); CREATE TABLE a ()"
    )
    for name, word in (("20250101000000_a", "A"), ("20250102000000_b", "B")):
        (tmp_path / f"{name}.rb").write_text(f"class {word} < ActiveRecord::Migration[7.1]\nend\n")
    (tmp_path / "20250101000000_a.rollback.sql").write_text("DROP TABLE a;")
    with mr.connect(database_dsn, dir=tmp_path) as db:
        found = db.sync()
        assert ([one.migration_name for one in found.registered], found.not_applied) == (
            ["20250101000000_a"],
            ("20250102000000_b",),
        )
        assert db.rollback("20250101000000_a", confirm="20250101000000_a").success
        assert session().execute("SELECT count(*) FROM schema_migrations").fetchone() == (0,)
        # while Rails migrates it holds a lock of its own: MIGRATOR_SALT times the CRC-32 of the database's name
        session().execute("INSERT INTO schema_migrations VALUES ('20250101000000'); CREATE TABLE a ()")
        assert db.sync().applied_again == ("20250101000000_a",)
        with session() as rails:
            rails.execute(
                "SELECT pg_advisory_lock(2053462845 * crc32_of(convert_to(current_database()::text, 'UTF8')))"
            )
            assert "holds the lock of Rails" in db.check("20250101000000_a").reason


def test_drizzle_hears_of_what_is_applied_and_rolled_back_here(tmp_path, session, database_dsn):
    session().execute(
        "CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL,"
        " created_at bigint)"
    )
    (tmp_path / "meta").mkdir()
    entries = ", ".join(f'{{"idx": {at}, "when": {at + 5}, "tag": "000{at}_x"}}' for at in (0, 1))
    (tmp_path / "meta" / "_journal.json").write_text(f'{{"entries": [{entries}]}}')
    for at, table in enumerate("ab"):
        block = f"-- ROLLBACK START\n-- DROP TABLE {table};\n-- ROLLBACK END\n"
        (tmp_path / f"000{at}_x.sql").write_text(f"CREATE TABLE {table} ();\n--> statement-breakpoint\n{block}")
    with mr.connect(database_dsn, dir=tmp_path) as db:
        assert db.sync().not_applied == ("0000_x", "0001_x")
        assert db.apply().applied == ("0000_x", "0001_x")
        kept = session().execute("SELECT hash, created_at FROM drizzle.__drizzle_migrations ORDER BY 2").fetchall()
        assert kept == [
            (hashlib.sha256((tmp_path / f"000{at}_x.sql").read_bytes()).hexdigest(), at + 5) for at in (0, 1)
        ]
        (warning,) = db.check("0000_x").warnings
        assert "drizzle goes on from the newest that it applied, 0001_x" in warning
        assert db.rollback("0001_x", confirm="0001_x").success
        assert session().execute("SELECT created_at FROM drizzle.__drizzle_migrations").fetchall() == [(5,)]
        # what drizzle would run with the rest is said
        (tmp_path / "0001_x.sql").write_text("CREATE TABLE b ();\n-- ROLLBACK START\nDROP TABLE b;\n-- ROLLBACK END\n")
        assert any("drizzle runs the whole file" in remark for remark in db.folder.read("0001_x").remarks)


@pytest.mark.long
def test_heads_of_any_graph_go_back_as_alembics_own_code_moves_them(session):
    """Alembic's own HeadMaintainer says what the ledger holds after each step down, in graphs made by chance."""
    from alembic.runtime.migration import HeadMaintainer, RevisionStep
    from alembic.script.revision import Revision, RevisionMap

    class Program(Revision):
        module = types.SimpleNamespace(upgrade=None, downgrade=None)

    class Kept(HeadMaintainer):  # only the set of heads: there is no database
        def _insert_version(self, version):
            self.heads.add(version)

        def _delete_version(self, version):
            self.heads.remove(version)

        def _update_version(self, from_, to_):
            self.heads = self.heads - {from_} | {to_}

    run = session()
    run.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)")
    compared = 0
    for seed in range(60):
        chance = random.Random(seed)
        names = [f"s{seed}r{number}" for number in range(8)]
        graph, before = {}, {}
        for number, name in enumerate(names):
            # none of them comes before another: of such a graph Alembic itself leaves a version too many
            wanted = chance.sample(names[:number], min(number, chance.choice((0, 1, 1, 1, 2, 3))))
            apart = [one for one in wanted if not any(one in before[other] for other in wanted)]
            down = apart[: chance.choice((1, 1, 2))]
            graph[name] = (down, apart[len(down) :])
            before[name] = set(apart).union(*(before[one] for one in apart))
        known = RevisionMap(
            lambda graph=graph: [
                Program(name, tuple(d) or None, dependencies=tuple(n) or None) for name, (d, n) in graph.items()
            ]
        )
        for name, (down, needs) in graph.items():
            run.execute(
                "INSERT INTO migration_history (migration_name, migration_version, status, metadata) VALUES (%s, %s,"
                " 'applied', jsonb_build_object('tool', 'Alembic', 'parents', %s::text[]))",
                (name, name, [*down, *needs]),
            )
        kept = Kept(types.SimpleNamespace(impl=None), ())
        for name in names:
            kept.update_to_step(RevisionStep(known, known.get_revision(name), True))
        left = set(names)
        while left:
            free = sorted(one for one in left if not any(one in (*graph[o][0], *graph[o][1]) for o in left))
            assert kept.heads <= set(free)
            going = chance.choice(sorted(kept.heads))
            (ours,) = run.execute(
                "SELECT revisions_after_undoing(%s, %s, metadata) FROM migration_history WHERE migration_name = %s",
                (going, sorted(kept.heads), going),
            ).fetchone()
            expected = kept.heads - {going} | set(ours)
            kept.update_to_step(RevisionStep(known, known.get_revision(going), False))
            assert kept.heads == expected, (seed, graph, going)
            left.remove(going)
            compared += 1
            run.execute("UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = %s", (going,))
    assert compared == 480


def test_a_program_whose_sql_is_not_known_stops_the_proof_of_no_other(tmp_path):
    for revision, down in (("a1", None), ("b2", "a1"), ("c3", "b2")):
        (tmp_path / f"{revision}_x.py").write_text(REVISION.format(revision, down, None))
    for revision in ("a1", "c3"):
        (tmp_path / f"{revision}_x.up.sql").write_text(f"CREATE TABLE {revision} ();")
        (tmp_path / f"{revision}_x.rollback.sql").write_text(f"DROP TABLE {revision};")
    proof = mr.verify(tmp_path)
    assert list(proof["grade"]) == ["restores", "no_rollback", "restores"]
    assert "the SQL that it runs is not known" in proof["remarks"][1][0]
    (tmp_path / "b2_x.rollback.sql").write_text("DROP TABLE b2;")
    assert list(mr.verify(tmp_path)["grade"]) == ["restores", "unknown", "restores"]
