"""Beside real tools whose migrations are programs: what they applied is registered, what is rolled back they apply
again, and their own status agrees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from program_tools import (
    PROGRAMS,
    TOOLS,
    Alembic,
    DbMigrate,
    Django,
    Drizzle,
    Graphile,
    Knex,
    PostgresMigrations,
    ProgramTool,
    Rails,
    TypeOrm,
)
from watching import exists

import migrollback_nb as mr
from migrollback_nb.files.location import folder_path

#: Those whose migrations are SQL.
SQL_TOOLS = (Drizzle, Graphile, DbMigrate, PostgresMigrations)
#: Programs whose migrations say which comes before which.
CHAINED = ("alembic", "django-admin", "graphile-migrate")


def made(kind: type[ProgramTool], root: Path, dsn: str) -> ProgramTool:
    required = os.environ.get("REQUIRE_DEPLOY_TOOLS") and kind.comes_with_ci
    if not required and (lacks := kind.lacks(kind.program)) is not None:
        pytest.skip(lacks)
    return kind(root, dsn)


@pytest.fixture(params=TOOLS, ids=lambda kind: kind.program)
def tool(request: pytest.FixtureRequest, tmp_path: Path, database_dsn: str) -> ProgramTool:
    return made(request.param, tmp_path, database_dsn)


@pytest.fixture
def beside(tool: ProgramTool, database_dsn: str) -> Iterator[mr.Migrations]:
    """The migrations of the tool's folder."""
    with mr.connect(database_dsn, dir=tool.folder, rollbacks=tool.rollbacks) as migrations:
        yield migrations


@pytest.mark.long
def test_what_is_rolled_back_the_tool_calls_pending_and_applies_again(tool, beside, session):
    first = tool.write(0)
    tool.up()
    second = tool.write(1)
    found = beside.sync()
    assert [one.migration_name for one in found.registered] == [first]
    assert (found.not_applied, found.failed) == ((second,), ())
    tool.up()
    assert [one.migration_name for one in beside.sync().registered] == [second]
    assert beside.check(second).can_rollback
    assert beside.check(second).warnings == ()
    assert beside.rollback(second, confirm=second).success
    assert (exists(session(), "a"), exists(session(), "b")) == (True, False)
    assert tool.applied() == [first]
    assert beside.sync().applied_again == ()
    tool.up()
    assert exists(session(), "b")
    assert beside.sync().applied_again == (second,)
    assert tool.applied() == [first, second]
    done = beside.rollback(first, confirm=first, chain=True) if tool.program in CHAINED else None
    if done is not None:
        assert done.success
        assert tool.applied() == []
        tool.up()
        assert tool.applied() == [first, second]


@pytest.mark.long
@pytest.mark.parametrize("tool", SQL_TOOLS, ids=lambda kind: kind.program, indirect=True)
def test_what_is_applied_here_the_tool_leaves_alone(tool, beside):
    first = tool.write(0)
    tool.up()
    beside.adopt()
    second = tool.write(1)
    assert beside.apply().applied == (second,)
    assert tool.applied() == [first, second]
    tool.up()  # would fail: the table is there
    assert beside.check(second).warnings == ()


@pytest.fixture
def alembic(tmp_path: Path, database_dsn: str) -> Alembic:
    return made(Alembic, tmp_path, database_dsn)


@pytest.fixture
def django(tmp_path: Path, database_dsn: str) -> Django:
    return made(Django, tmp_path, database_dsn)


FETCH = 'op.get_bind().execute(sa.text("select 1")).fetchall()'


def branches(alembic: Alembic) -> None:
    """A diamond, a branch of its own, one that depends on that, and what cannot be rendered."""
    alembic.revision("a1_a", None, 'op.create_table("a", sa.Column("id", sa.Integer))', 'op.drop_table("a")')
    alembic.revision("b2_b", "a1", 'op.execute("CREATE TABLE b ()")', 'op.execute("DROP TABLE b")')
    alembic.revision("c3_c", "a1", FETCH, FETCH)
    alembic.revision("d4_d", ("b2", "c3"), 'op.execute("CREATE TABLE d ()")', 'op.execute("DROP TABLE d")')
    alembic.revision("e5_e", None, 'op.execute("CREATE TABLE e ()")', 'raise ValueError("no way")', labels="other")
    alembic.revision(
        "f6_f",
        "d4",
        'with op.get_context().autocommit_block(): op.create_index("i", "a", ["id"], postgresql_concurrently=True)',
        'op.drop_index("i")',
        needs="other",
    )


@pytest.mark.long
def test_alembic_renders_each_revision_and_says_why_not(alembic):
    branches(alembic)
    found = mr.render(alembic.folder, rollbacks=alembic.rollbacks)
    by_name = {one.migration_name: one for one in found.migrations}
    assert list(by_name) == ["a1_a", "b2_b", "c3_c", "d4_d", "e5_e", "f6_f"]
    assert "fetchall" in by_name["c3_c"].reason
    assert by_name["e5_e"].reason == "ValueError: no way"
    texts = {
        name: [line for line in Path(one.rollback).read_text().splitlines() if line and not line.startswith("--")]
        for name, one in by_name.items()
        if one.rollback
    }
    assert texts == {
        "a1_a": ["DROP TABLE a;"],
        "b2_b": ["DROP TABLE b;"],
        "d4_d": ["DROP TABLE d;"],
        "f6_f": ["DROP INDEX i;"],
    }
    assert "CREATE INDEX CONCURRENTLY i" in Path(by_name["f6_f"].up).read_text()
    assert "version_num" not in Path(by_name["d4_d"].up).read_text()
    # what was written by hand is left alone
    (alembic.rollbacks / "c3_c.rollback.sql").write_text("SELECT 1;\n")
    again = {one.migration_name: one for one in mr.render(alembic.folder, rollbacks=alembic.rollbacks).migrations}
    assert "written by hand" in again["c3_c"].remarks[-1]
    assert (alembic.rollbacks / "c3_c.rollback.sql").read_text() == "SELECT 1;\n"


@pytest.mark.long
def test_a_revision_that_changes_nothing_is_undone_by_nothing(alembic, session, database_dsn):
    alembic.revision("a1_a", None, 'op.execute("CREATE TABLE a ()")', 'op.execute("DROP TABLE a")')
    alembic.revision("b2_b", "a1", 'op.execute("CREATE TABLE b ()")', 'op.execute("DROP TABLE b")')
    alembic.revision("c3_c", "a1", 'op.execute("CREATE TABLE c ()")', 'op.execute("DROP TABLE c")')
    alembic.revision("d4_d", ("b2", "c3"), "pass", "pass")
    alembic.revision("e5_e", "d4", 'op.execute("CREATE TABLE e ()")', "pass")
    found = {one.migration_name: one for one in mr.render(alembic.folder, rollbacks=alembic.rollbacks).migrations}
    assert found["d4_d"].reason is None
    assert found["e5_e"].reason == "its downgrade does nothing that Alembic writes out"
    proof = mr.verify(folder_path(alembic.folder, alembic.rollbacks)).set_index("migration_name")
    assert proof["grade"].to_dict() == {
        "a1_a": "restores",
        "b2_b": "restores",
        "c3_c": "restores",
        "d4_d": "restores",
        "e5_e": "no_rollback",
    }
    alembic.alembic("upgrade", "d4")
    with mr.connect(database_dsn, dir=alembic.folder, rollbacks=alembic.rollbacks) as db:
        db.sync()
        assert db.rollback("c3_c", confirm="c3_c", chain=True).success
    assert alembic.heads() == {"b2"}
    assert (exists(session(), "b"), exists(session(), "c")) == (True, False)


@pytest.mark.long
def test_heads_after_each_rollback_are_those_of_alembic_itself(alembic, session, database_dsn):
    for name, down, needs in (
        ("a1_a", None, None),
        ("b2_b", "a1", None),
        ("c3_c", "a1", None),
        ("d4_d", ("b2", "c3"), None),
        ("e5_e", None, None),
        ("f6_f", "e5", "b2"),
        ("g7_g", "d4", "e5"),
    ):
        table = name[-1]
        alembic.revision(
            name, down, f'op.execute("CREATE TABLE {table} ()")', f'op.execute("DROP TABLE {table}")', needs=needs
        )
        (alembic.rollbacks / f"{name}.rollback.sql").write_text(f"DROP TABLE {table};\n")
    alembic.up()
    undone = []
    with mr.connect(database_dsn, dir=alembic.folder, rollbacks=alembic.rollbacks) as db:
        assert len(db.sync().registered) == 7
        for name in ("g7_g", "f6_f", "d4_d", "c3_c", "e5_e", "b2_b", "a1_a"):
            assert db.rollback(name, confirm=name).success
            undone.append(alembic.heads())
    alembic.up()
    theirs = []
    for step in ("g7:d4", "f6:e5", None, None, None, None, None):
        if step is None:
            break
        before = alembic.heads()
        alembic.alembic("downgrade", f"{step.partition(':')[0]}-1" if step != "f6:e5" else "f6-1")
        theirs.append(alembic.heads())
        assert theirs[-1] != before
    assert undone[: len(theirs)] == theirs
    assert undone[2:] == [{"b2", "c3", "e5"}, {"b2", "e5"}, {"b2"}, {"a1"}, set()]


@pytest.mark.long
def test_django_renders_both_ways_and_names_what_runs_python(django, session, database_dsn):
    django.write(0)
    django.migration(
        "0002_b",
        [("shop", "0001_a")],
        'migrations.AddField("a", "name", models.CharField(max_length=20, unique=True, null=True)),'
        " migrations.RunPython(lambda apps, editor: None, migrations.RunPython.noop)",
    )
    django.migration(
        "0003_c",
        [("shop", "0002_b")],
        'migrations.AlterField("a", "name", models.CharField(max_length=20, null=True))',  # looks the constraint up
    )
    django.migration(
        "0004_d", [("shop", "0003_c")], "migrations.RunPython(lambda apps, editor: None, lambda apps, editor: None)"
    )
    django.migration("0005_e", [("shop", "0004_d")], "migrations.RunPython(lambda apps, editor: None)")
    django.up()
    for path in django.rollbacks.iterdir():
        path.unlink()
    found = {one.migration_name: one for one in mr.render(django.folder, rollbacks=django.rollbacks).migrations}
    assert found["shop.0004_d"].reason == "RunPython in line 6 is to be undone by Python"
    assert "is not reversible" in found["shop.0005_e"].reason
    assert "RunPython in line 6: what it does to rows is in no SQL" in found["shop.0002_b"].remarks
    assert 'DROP COLUMN "name"' in Path(found["shop.0002_b"].rollback).read_text()
    assert "ADD CONSTRAINT" in Path(found["shop.0003_c"].rollback).read_text()
    with mr.connect(database_dsn, dir=django.folder, rollbacks=django.rollbacks) as db:
        synced = db.sync()
        assert [one.has_rollback_sql for one in synced.registered] == [True, True, True, False, False]
        assert any("shop.0004_d (RunPython in line 6)" in warning for warning in synced.warnings)
        session().execute("DELETE FROM django_migrations WHERE name IN ('0004_d', '0005_e')")
        for name in ("shop.0005_e", "shop.0004_d"):
            db.resolve(name, status="rolled_back", reason="trial", force=True)
        assert db.rollback("shop.0002_b", confirm="shop.0002_b", chain=True).success
        assert django.applied() == ["shop.0001_a"]
        django.up()
        assert django.applied()[-1] == "shop.0005_e"
        assert set(db.sync().applied_again) == {"shop.0002_b", "shop.0003_c", "shop.0004_d", "shop.0005_e"}


@pytest.mark.long
def test_a_migration_of_django_that_writes_no_sql_is_undone_by_nothing(django, session, database_dsn):
    django.write(0)
    first = [("shop", "0001_a")]
    django.migration("0002_b", first, 'migrations.AlterModelOptions("a", options={"ordering": ["id"]})')
    django.migration(
        "0003_c", [("shop", "0002_b")], "migrations.RunPython(lambda apps, e: None, migrations.RunPython.noop)"
    )
    django.up()
    found = {one.migration_name: one for one in mr.render(django.folder, rollbacks=django.rollbacks).migrations}
    assert found["shop.0002_b"].reason is None
    assert found["shop.0003_c"].reason == "RunPython in line 6 is all that it does, and nothing undoes that"
    (django.rollbacks / "shop.0003_c.rollback.sql").write_text("SELECT 1;\n")
    with mr.connect(database_dsn, dir=django.folder, rollbacks=django.rollbacks) as db:
        db.sync()
        assert db.rollback("shop.0001_a", confirm="shop.0001_a", chain=True).success
    assert django.applied() == []
    assert not exists(session(), "a")


@pytest.mark.long
def test_what_installed_apps_create_is_there_when_a_project_of_django_is_verified(django):
    settings = django.root / "settings.py"
    text = settings.read_text().replace(
        "['shop']", "['django.contrib.contenttypes', 'django.contrib.auth', 'django.contrib.admin', 'shop']"
    )
    settings.write_text(f"{text}AUTH_USER_MODEL = 'shop.User'\n")
    django.migration(
        "0001_user",
        [("auth", "0012_alter_user_first_name_max_length")],
        'migrations.CreateModel("User", [("id", models.BigAutoField(primary_key=True)), ("groups",'
        ' models.ManyToManyField("auth.group")), ("name", models.CharField(max_length=9, unique=True))])',
    )
    (django.root / "shop" / "models.py").write_text(
        "from django.contrib.auth.base_user import AbstractBaseUser\nfrom django.db import models\n\n\n"
        "class User(AbstractBaseUser):\n    USERNAME_FIELD = 'name'\n    REQUIRED_FIELDS = []\n"
        "    name = models.CharField(max_length=9, unique=True)\n"
    )
    written = mr.render(django.folder, rollbacks=django.rollbacks)
    assert "installed_apps.prelude.sql holds what installed apps create" in written.warnings[0]
    text = (django.rollbacks / "installed_apps.prelude.sql").read_text()
    assert 'CREATE TABLE "auth_group"' in text
    assert "shop_user" not in text, "admin's log comes after the user of the project"
    proof = mr.verify(folder_path(django.folder, django.rollbacks))
    assert list(proof["grade"]) == ["restores"]


@pytest.fixture
def knex(tmp_path: Path, database_dsn: str) -> Knex:
    return made(Knex, tmp_path, database_dsn)


def knex_programs(knex: Knex) -> None:
    (knex.folder / "1_people.js").write_text(
        "exports.up = async (knex) => {\n"
        "  await knex.schema.createTable('people', (t) => { t.increments(); t.string('name').index(); });\n"
        "  await knex.raw('CREATE VIEW names AS SELECT name FROM people');\n};\n"
        "exports.down = async (knex) => {\n"
        "  await knex.raw('DROP VIEW names');\n  await knex.schema.dropTable('people');\n};\n"
    )
    (knex.folder / "2_fewer.js").write_text(
        "exports.up = async (knex) => {\n"
        "  await knex.raw('DROP VIEW names');\n"
        "  await knex.schema.alterTable('people', (t) => { t.dropColumn('name'); t.integer('age').notNullable(); });\n"
        "};\n"
        "exports.down = async (knex) => knex.schema.alterTable('people', (t) => { t.dropColumn('age'); });\n"
    )
    (knex.folder / "3_rows.js").write_text(
        "exports.up = (knex) => knex('people').insert({age: 3});\nexports.down = () => {};\n"
    )


@pytest.mark.long
def test_what_knex_does_is_captured_one_by_one_from_an_empty_database(knex, session, database_dsn):
    knex_programs(knex)
    command = [str(PROGRAMS / "knex"), "migrate:up"]
    found = mr.capture(command, knex.folder, rollbacks=knex.rollbacks, each=True)
    people, fewer, rows = found.migrations
    assert [one.migration_name for one in found.migrations] == ["1_people", "2_fewer", "3_rows"]
    assert rows.reason == "it changed nothing of the schema, and what it did to rows is not known"
    text = Path(fewer.rollback).read_text()
    assert "\n-- Captured from: " in text
    assert "-- Effect: rows that it wrote, changed or took away are not known" in text
    assert "CREATE VIEW" in text
    assert "knex_migrations" not in Path(people.rollback).read_text() + Path(people.up).read_text()
    with mr.connect(database_dsn, dir=knex.folder, rollbacks=knex.rollbacks) as db:
        knex.up()
        assert [one.has_rollback_sql for one in db.sync().registered] == [True, True, False]
        db.resolve("3_rows", status="rolled_back", reason="rows alone", force=True)
        assert any("was captured from what its program did" in warning for warning in db.check("2_fewer").warnings)
        assert db.assess("2_fewer").verdict == "loses"  # the column that the program dropped
        assert db.rollback("2_fewer", confirm="2_fewer", accept_loss=True).success
        assert exists(session(), "names")
    proof = mr.verify(folder_path(knex.folder, knex.rollbacks), "1_people")
    assert list(proof["grade"]) == ["restores"]


@pytest.mark.long
def test_what_is_pending_is_captured_on_a_copy_and_the_tools_own_way_back_tried(knex, session, database_dsn):
    knex_programs(knex)
    second = (knex.folder / "2_fewer.js").rename(knex.root / "2_fewer.js")
    third = (knex.folder / "3_rows.js").rename(knex.root / "3_rows.js")
    knex.up()
    with mr.connect(database_dsn, dir=knex.folder, rollbacks=knex.rollbacks) as db:
        db.sync()
        for path in (second, third):
            path.rename(knex.folder / path.name)
        up, down = ([str(PROGRAMS / "knex"), word] for word in ("migrate:up", "migrate:down"))
        (one,) = db.capture(up, down=down).migrations
        assert one.migration_name == "2_fewer"
        assert any("the tool's own way back leaves" in remark and "is missing" in remark for remark in one.remarks)
        assert exists(session(), "names")  # nothing ran here
        with pytest.raises(mr.UsageError, match="applied 2 migrations at once"):
            db.capture([str(PROGRAMS / "knex"), "migrate:latest"])
        with pytest.raises(mr.UsageError, match="applied no migration of Knex"):
            db.capture(["true"])
        with pytest.raises(mr.UsageError, match="fails on the scratch database"):
            db.capture(["false"])


@pytest.mark.long
def test_what_rails_does_is_captured_and_its_own_way_back_tried(tmp_path, session, database_dsn):
    rails = made(Rails, tmp_path, database_dsn)
    rails.write_program(0, rails.names[0], "a")
    with mr.connect(database_dsn, dir=rails.folder, rollbacks=rails.rollbacks) as db:
        rails.up()
        db.sync()
        (rails.folder / f"{rails.names[1]}.rb").write_text(
            "class CreateB < ActiveRecord::Migration[6.1]\n  def change\n"
            "    create_table(:b) { |t| t.references :a, foreign_key: {to_table: :a} }\n"
            "    add_index :a, :name, unique: true\n    add_column :a, :age, :integer, null: false, default: 0\n"
            "  end\nend\n"
        )
        up, down = (["ruby", str(rails.root / "migrate.rb"), word] for word in ("next", "down"))
        (one,) = db.capture(up, down=down).migrations
        assert one.migration_name == rails.names[1]
        assert not any("own way back leaves" in remark for remark in one.remarks)
        rails.up()
        assert [found.migration_name for found in db.sync().registered] == [rails.names[1]]
        assert db.rollback(rails.names[1], confirm=rails.names[1], accept_loss=True).success
        assert rails.applied() == [rails.names[0]]
        assert not exists(session(), "b")
        rails.up()
        assert db.sync().applied_again == (rails.names[1],)


@pytest.mark.long
def test_what_typeorm_does_is_captured_one_by_one_by_the_program_of_its_page(tmp_path, database_dsn):
    typeorm = made(TypeOrm, tmp_path, database_dsn)
    page = (Path(__file__).parents[2] / "docs" / "tools" / "typeorm.md").read_text()
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "one.js").write_text(page.partition("```js\n")[2].partition("```")[0])
    names = [typeorm.write(0), typeorm.write(1)]
    for path in typeorm.rollbacks.iterdir():
        path.unlink()
    found = mr.capture(["node", "one.js", "source.js"], typeorm.folder, rollbacks=typeorm.rollbacks, each=True)
    assert [one.migration_name for one in found.migrations] == names
    assert "DROP TABLE IF EXISTS public.b" in Path(found.migrations[1].rollback).read_text()
