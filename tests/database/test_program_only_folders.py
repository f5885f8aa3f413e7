"""A folder that holds programs only: sync names them and what to do, and never ends as if all were well."""

import io

import pytest

from migrollback_nb.cli import run

#: Tool as it is named -> a file of it.
FILES = {
    "Ecto": ("20250101000000_a.exs", "defmodule A do\n  use Ecto.Migration\nend\n"),
    "Laravel": ("2025_01_01_000000_create_a.php", "<?php return new class extends Migration {};\n"),
    "Doctrine": ("Version20250101000000.php", "<?php final class V extends AbstractMigration {}\n"),
    "Phinx": ("20250101000000_a.php", "<?php class A extends AbstractMigration {}\n"),
    "Liquibase": ("changelog.xml", "<databaseChangeLog></databaseChangeLog>\n"),
    "Entity Framework": ("20250101000000_A.cs", "public partial class A : Migration {}\n"),
    "yoyo": ("0001_a.py", 'from yoyo import step\nsteps = [step("CREATE TABLE a ()")]\n'),
    "Kysely": ("2025-01-01-a.ts", "export async function up(db: Kysely<any>) {}\n"),
    "Sequelize": ("20250101000000-a.js", "module.exports = {up: async (q, s) => q.createTable('a', {})};\n"),
    "MikroORM": ("Migration20250101000000.ts", "export class Migration20250101000000 extends Migration {}\n"),
    "goose": ("00001_a.go", "package migrations\nfunc init() { goose.AddMigrationContext(up, down) }\n"),
    "Flyway": ("V1__a.java", "public class V1__a extends BaseJavaMigration {}\n"),
    "Exposed": ("V2__b.kt", "class V2__b : BaseJavaMigration()\n"),
    "peewee": ("001_a.py", "def migrate(migrator, database, fake=False, **kwargs): pass\n"),
    "Aerich": ("0_20250101_init.py", "async def upgrade(db) -> str: return ''\n"),
    "Yii": ("m250101_000000_a.php", "<?php class m250101_000000_a extends Migration {}\n"),
    "Clojure": ("001-a.clj", "(ns migrations.a)\n"),
    "Rust": ("m20250101_000001_a.rs", "impl MigrationTrait for Migration {}\n"),
    "Scala": ("V1__A.scala", "class V1__A extends BaseJavaMigration\n"),
    "Perl": ("001_a.pl", "use strict;\n"),
    # these are read where they lie, and have no ledger here
    "Alembic": ("a1_x.py", "revision = 'a1'\ndown_revision = None\n"),
    "Knex": ("20250101000000_a.js", "exports.up = (knex) => knex.schema.createTable('a', () => {});\n"),
    "TypeORM": ("1737331200000-A.ts", "export class A1737331200000 implements MigrationInterface {}\n"),
    "Rails": ("20250101000000_a.rb", "class A < ActiveRecord::Migration[7.1]\nend\n"),
}


@pytest.mark.parametrize("tool", FILES)
def test_sync_names_them_and_what_to_do(shared_database, tmp_path, tool):
    name, text = FILES[tool]
    (tmp_path / name).write_text(text)
    out, err = io.StringIO(), io.StringIO()
    status = run(["sync", "--dsn", shared_database, "--dir", str(tmp_path)], out=out, err=err)
    said = out.getvalue() + err.getvalue()
    assert status == 1, said
    assert "✅" not in said
    assert name in said or name.partition(".")[0] in said
    assert any(word in said for word in ("migrollback capture", "--log-migrations-sql", "Apply them with", "ledger")), (
        said
    )


def test_an_empty_folder_is_no_green_end_either(shared_database, tmp_path):
    out = io.StringIO()
    assert run(["sync", "--dsn", shared_database, "--dir", str(tmp_path)], out=out, err=out) == 0
    assert "✅" not in out.getvalue()
    assert "holds no file *.sql" in out.getvalue()
