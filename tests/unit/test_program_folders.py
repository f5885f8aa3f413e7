"""Folders whose migrations are programs: names, order and dependencies, read without running any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migrollback_nb.files.formats import MigrationFolder
from migrollback_nb.files.location import folder_path

REVISION = "revision = {0!r}\ndown_revision = {1!r}\ndepends_on = {2!r}\nbranch_labels = {3!r}\n"


def revisions(folder: Path, *known: tuple[str, object, object, object]) -> MigrationFolder:
    for name, down, needs, labels in known:
        (folder / f"{name}.py").write_text(REVISION.format(name.partition("_")[0], down, needs, labels))
    return MigrationFolder(folder)


def read(folder: MigrationFolder) -> dict[str, tuple[str, ...]]:
    contents = folder.read_all()
    assert contents.errors == ()
    return {file.name: file.depends_on for file in contents.files}


def test_revisions_of_alembic_come_in_the_order_of_their_graph(tmp_path):
    folder = revisions(
        tmp_path,
        ("z1_first", None, None, None),
        ("b2_left", "z1", None, None),
        ("c3_right", ("z1",), None, None),
        ("a4_merge", ("b2", "c3"), None, None),
        ("d5_other", None, None, ("other",)),
        ("e6_needs", "a4", "other", None),
    )
    (tmp_path / "__init__.py").write_text("")
    found = read(folder)
    assert list(found) == ["d5_other", "z1_first", "b2_left", "c3_right", "a4_merge", "e6_needs"]
    assert found["a4_merge"] == ("b2_left", "c3_right")
    assert found["e6_needs"] == ("a4_merge", "d5_other")
    file = folder.read("e6_needs")
    assert (file.version, file.tool, file.metadata()["parents"]) == ("e6", "Alembic", ["a4", "d5"])
    assert file.rollback is None
    (warning,) = folder.read_all().warnings
    assert warning.startswith("6 of 6 migrations are programs of Alembic without SQL that undoes them: a4_merge, ")
    assert "migrollback render" in warning


def test_the_folder_of_alembic_itself_leads_to_its_versions(tmp_path):
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text("from alembic import context\n")
    (tmp_path / "versions" / "a1_x.py").write_text(REVISION.format("a1", None, None, None))
    assert MigrationFolder(tmp_path).read("a1_x").path == str(tmp_path / "versions" / "a1_x.py")


def test_a_revision_that_is_not_written_out_is_an_error_with_its_line(tmp_path):
    (tmp_path / "a1_x.py").write_text("import os\nrevision = os.environ['R']\ndown_revision = None\n")
    (error,) = MigrationFolder(tmp_path).read_all().errors
    assert "a1_x.py:2" in str(error)
    assert "programs are not run here" in str(error)


def test_rollback_sql_lies_where_rollbacks_says(tmp_path):
    (tmp_path / "down").mkdir()
    folder = revisions(tmp_path, ("a1_x", None, None, None))
    folder = MigrationFolder(folder_path(tmp_path, tmp_path / "down"))
    (tmp_path / "down" / "a1_x.rollback.sql").write_text("DROP TABLE x;\n")
    file = folder.read("a1_x")
    assert file.rollback.sql == "DROP TABLE x;"
    assert folder.checksum("a1_x") == file.checksum
    assert folder.read_all().warnings == ()


def test_paths_may_be_relative(tmp_path, monkeypatch):
    (tmp_path / "versions").mkdir()
    revisions(tmp_path / "versions", ("a1_x", None, None, None))
    monkeypatch.chdir(tmp_path)
    for rollbacks in ("versions", "down"):
        (tmp_path / rollbacks).mkdir(exist_ok=True)
        (tmp_path / rollbacks / "a1_x.rollback.sql").write_text("DROP TABLE x;\n")
        folder = MigrationFolder(folder_path("versions", None if rollbacks == "versions" else rollbacks))
        assert folder.read("a1_x").rollback.sql == "DROP TABLE x;"
        assert folder.checksum("a1_x") == folder.read("a1_x").checksum
        assert folder.migration_of(Path("a1_x.py")) == "a1_x"


def test_what_was_made_from_another_program_is_said(tmp_path):
    folder = revisions(tmp_path, ("a1_x", None, None, None))
    (tmp_path / "a1_x.rollback.sql").write_text("-- Program: a1_x.py sha256 0000\nDROP TABLE x;\n")
    (remark,) = folder.read("a1_x").remarks
    assert "was changed after" in remark


def test_migrations_of_django_carry_their_app_and_depend_across_apps(tmp_path):
    (tmp_path / "manage.py").write_text("")
    form = "from django.db import migrations\nclass Migration(migrations.Migration):\n    dependencies = {0}\n{1}"
    for app, name, needs, more in (
        ("shop", "0001_a", "[('auth', '0001_initial'), migrations.swappable_dependency('x')]", ""),
        (
            "shop",
            "0002_b",
            "[('shop', '0001_a'), ('stock', '__first__')]",
            "    operations = [migrations.RunPython(f)]\n",
        ),
        ("stock", "0001_a", "[]", "    run_before = [('shop', '0001_a')]\n"),
    ):
        folder = tmp_path / app / "migrations"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("")
        (folder / f"{name}.py").write_text(form.format(needs, more))
    (tmp_path / "stock" / "apps.py").write_text("class Stock(AppConfig):\n    label = 'warehouse'\n")
    for app in ("shop",):
        path = tmp_path / app / "migrations" / "0002_b.py"
        path.write_text(path.read_text().replace("'stock'", "'warehouse'"))
    (tmp_path / "dump.sql").write_text("SELECT 1;")  # nothing of Django's
    installed = tmp_path / "venv" / "lib" / "other" / "migrations"
    installed.mkdir(parents=True)
    (installed / "0001_a.py").write_text(form.format("[]", ""))
    whole = MigrationFolder(tmp_path)
    assert read(whole) == {
        "warehouse.0001_a": (),
        "shop.0001_a": ("warehouse.0001_a",),
        "shop.0002_b": ("shop.0001_a", "warehouse.0001_a"),
    }
    assert any("shop.0002_b (RunPython in line 4)" in warning for warning in whole.read_all().warnings)
    assert list(read(MigrationFolder(tmp_path / "shop" / "migrations"))) == ["shop.0001_a", "shop.0002_b"]


@pytest.mark.parametrize(
    ("files", "tool", "versions"),
    [
        (
            {"20250101000000_a.js": "exports.up = (knex) => 0", "20250101000000_a.d.ts": ""},
            "Knex",
            ["20250101000000_a"],
        ),
        (
            {"1737331200000-A.ts": "class A implements MigrationInterface {}", "1737331200000-A.js": "queryRunner"},
            "TypeORM",
            ["1737331200000"],
        ),
        ({"B.ts": "export class B1737331200001 implements MigrationInterface {}"}, "TypeORM", ["1737331200001"]),
        ({"20250101000000_a.rb": "class A < ActiveRecord::Migration[7.0]"}, "Rails", ["20250101000000"]),
    ],
    ids=["knex", "typeorm", "typeorm by class", "rails"],
)
def test_other_tools_are_told_by_what_stands_in_their_files(tmp_path, files, tool, versions):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = MigrationFolder(tmp_path).read_all().files
    assert [(file.tool, file.version) for file in found] == [(tool, version) for version in versions]
    assert not found[0].is_up_known


def test_a_journal_of_drizzle_gives_the_order_and_leaves_out_what_it_does_not_name(tmp_path):
    (tmp_path / "meta").mkdir()
    entries = [{"idx": 0, "when": 20, "tag": "0001_z"}, {"idx": 1, "when": 30, "tag": "0000_a"}]
    (tmp_path / "meta" / "_journal.json").write_text(json.dumps({"entries": entries}))
    for name in ("0000_a", "0001_z", "0002_not"):
        (tmp_path / f"{name}.sql").write_text("SELECT 1;\n--> statement-breakpoint\nSELECT 2;")
    contents = MigrationFolder(tmp_path).read_all()
    assert [(file.name, file.version, file.tool) for file in contents.files] == [
        ("0001_z", "20", "drizzle"),
        ("0000_a", "30", "drizzle"),
    ]
    assert "ledger_hash" in contents.files[0].metadata()
    assert contents.warnings == (
        "0002_not.sql is left out: meta/_journal.json does not name it, and drizzle never runs it",
    )
    (tmp_path / "0000_a.sql").unlink()
    (error,) = MigrationFolder(tmp_path).read_all().errors
    assert "0000_a.sql: is named by meta/_journal.json, and there is no such file" in str(error)
