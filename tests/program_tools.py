"""Real tools whose migrations are programs, each with two migrations of one table each, for the tests beside them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

import psycopg

DEPLOY_TOOLS = Path(__file__).parent / "deploy_tools"
PROGRAMS = DEPLOY_TOOLS / "node_modules" / ".bin"


class ProgramTool(ABC):
    """One tool and a folder of its own with two migrations, `a` and `b`, each of one table."""

    program: str
    names: tuple[str, str]
    comes_with_ci = True  #: whether .ci/run installs it
    undone_by_file = True  #: whether what undoes them is a file NAME.rollback.sql

    def __init__(self, root: Path, dsn: str) -> None:
        self.root = root
        self.folder = root / "migrations"
        self.rollbacks = root / "rollbacks"
        self.rollbacks.mkdir()
        self.dsn = {"port": "5432"} | {key: str(value) for key, value in psycopg.conninfo.conninfo_to_dict(dsn).items()}

    @staticmethod
    def lacks(program: str) -> str | None:
        """Why it cannot run here; None where it can."""
        found = (PROGRAMS / program).exists() or shutil.which(program, path=Path(sys.executable).parent)
        return None if found else f"this machine has no {program} (npm install --prefix tests/deploy_tools)"

    @property
    def url(self) -> str:
        """As SQLAlchemy and Node's pg read it."""
        dsn = self.dsn
        return f"{dsn['user']}@/{dsn['dbname']}?host={dsn['host']}&port={dsn['port']}"

    @property
    def environment(self) -> dict[str, str]:
        """libpq's variables for its database."""
        dsn = self.dsn
        return {"PGHOST": dsn["host"], "PGPORT": dsn["port"], "PGUSER": dsn["user"], "PGDATABASE": dsn["dbname"]}

    def write(self, place: int) -> str:
        """Write the first or the second migration, and what undoes it; its name."""
        name, table = self.names[place], "ab"[place]
        self.write_program(place, name, table)
        if self.undone_by_file:
            (self.rollbacks / f"{name}.rollback.sql").write_text(f"DROP TABLE {table};\n")
        return name

    @abstractmethod
    def write_program(self, place: int, name: str, table: str) -> None:
        """Write the program."""

    @abstractmethod
    def up(self) -> None:
        """Let the tool apply all that it takes for pending."""

    @abstractmethod
    def applied(self) -> list[str]:
        """The migrations that the tool's own status calls applied, in order."""

    def run(self, *arguments: str, **environment: str) -> str:
        """What one call of the tool prints."""
        done = subprocess.run(
            arguments,
            check=False,
            cwd=self.root,
            env=os.environ | self.environment | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout


ALEMBIC_ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(os.environ.get("DATABASE_URL") or "postgresql+psycopg://").connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
ALEMBIC_REVISION = """\
from alembic import op
import sqlalchemy as sa

revision = {revision!r}
down_revision = {down!r}
branch_labels = {labels!r}
depends_on = {needs!r}


def upgrade():
    {up}


def downgrade():
    {back}
"""


class Alembic(ProgramTool):
    """Alembic, from PyPI."""

    program = "alembic"
    names = ("a1_a", "b2_b")

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        self.folder.mkdir()
        (root / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\npath_separator = os\n")
        (root / "alembic").mkdir()
        self.folder = self.folder.rename(root / "alembic" / "versions")
        (root / "alembic" / "env.py").write_text(ALEMBIC_ENV)

    def revision(
        self,
        name: str,
        down: object,
        up: str,
        back: str,
        *,
        needs: object = None,
        labels: object = None,
    ) -> str:
        """Write a revision; its id is what stands before the first underscore of the name."""
        revision = name.partition("_")[0]
        (self.folder / f"{name}.py").write_text(
            ALEMBIC_REVISION.format(revision=revision, down=down, needs=needs, labels=labels, up=up, back=back)
        )
        return name

    def write_program(self, place, name, table):
        self.revision(
            name,
            "a1" if place else None,
            f'op.create_table("{table}", sa.Column("id", sa.Integer))',
            f'op.drop_table("{table}")',
        )

    def alembic(self, *arguments: str) -> str:
        """What `alembic ...` prints."""
        return self.run(str(Path(sys.executable).parent / "alembic"), *arguments)

    def up(self):
        self.alembic("upgrade", "heads")

    def heads(self) -> set[str]:
        """The revisions that `alembic current` names."""
        return {line.split()[0] for line in self.alembic("current").splitlines() if line}

    def applied(self):
        current = self.heads()
        return list(self.names[: 2 if "b2" in current else 1 if "a1" in current else 0])


class Django(ProgramTool):
    """Django, from PyPI."""

    program = "django-admin"
    names = ("shop.0001_a", "shop.0002_b")

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        self.folder = root
        (root / "shop" / "migrations").mkdir(parents=True)
        for package in ("shop", "shop/migrations"):
            (root / package / "__init__.py").write_text("")
        (root / "settings.py").write_text(
            "import os\n"
            "INSTALLED_APPS = ['shop']\nUSE_TZ = True\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
            "said = os.environ.get\n"
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': said('PGDATABASE', 'none'),\n"
            "    'USER': said('PGUSER'), 'HOST': said('PGHOST'), 'PORT': said('PGPORT')}}\n"
        )
        (root / "manage.py").write_text(
            "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'settings')\n"
            "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
        )

    def migration(self, name: str, needs: object, operations: str) -> str:
        """Write a migration of the app shop."""
        (self.root / "shop" / "migrations" / f"{name}.py").write_text(
            "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
            f"    dependencies = {needs!r}\n    operations = [{operations}]\n"
        )
        return f"shop.{name}"

    def write_program(self, place, name, table):
        self.migration(
            name.partition(".")[2],
            [("shop", "0001_a")] if place else [],
            f'migrations.CreateModel("{table}", [("id", models.BigAutoField(primary_key=True))],'
            f' options={{"db_table": "{table}"}})',
        )

    def manage(self, *arguments: str) -> str:
        """What `manage.py ...` prints."""
        return self.run(sys.executable, "manage.py", *arguments)

    def up(self):
        self.manage("migrate", "--verbosity", "0")

    def applied(self):
        shown = self.manage("showmigrations", "shop")
        return [f"shop.{line.split()[-1]}" for line in shown.splitlines() if line.strip().startswith("[X]")]


class Knex(ProgramTool):
    """Knex, from npm."""

    program = "knex"
    names = ("20250120000000_a", "20250121000000_b")

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        self.folder.mkdir()
        (root / "node_modules").symlink_to(DEPLOY_TOOLS / "node_modules")
        (root / "knexfile.js").write_text(
            "module.exports = {client: 'pg', connection: {host: process.env.PGHOST, port: process.env.PGPORT, user:"
            " process.env.PGUSER, database: process.env.PGDATABASE}, migrations: {directory: './migrations'}};\n"
        )

    def write_program(self, place, name, table):  # noqa: ARG002  # each tool asks for what it needs
        (self.folder / f"{name}.js").write_text(
            f"exports.up = (knex) => knex.schema.createTable('{table}', (t) => t.increments());\n"
            f"exports.down = (knex) => knex.schema.dropTable('{table}');\n"
        )

    def up(self):
        self.run(str(PROGRAMS / "knex"), "migrate:latest")

    def applied(self):
        said = self.run(str(PROGRAMS / "knex"), "migrate:list")
        completed = said.partition("ending Migration")[0].rpartition("No P")[0] or said.partition("ending Migration")[0]
        return [name for name in self.names if name in completed]


class TypeOrm(ProgramTool):
    """TypeORM, from npm."""

    program = "typeorm"
    names = ("1737331200000-A", "1737417600000-B")

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        self.folder.mkdir()
        (root / "node_modules").symlink_to(DEPLOY_TOOLS / "node_modules")
        (root / "source.js").write_text(
            "const { DataSource } = require('typeorm');\n"
            "module.exports = new DataSource({type: 'postgres', host: process.env.PGHOST, port: +process.env.PGPORT,"
            " username: process.env.PGUSER, database: process.env.PGDATABASE, migrations: ['migrations/*.js']});\n"
        )

    def write_program(self, place, name, table):  # noqa: ARG002  # each tool asks for what it needs
        digits, _, word = name.partition("-")
        (self.folder / f"{name}.js").write_text(
            f"module.exports = class {word}{digits} {{\n"
            f"  async up(queryRunner) {{ await queryRunner.query('CREATE TABLE {table} (id int)'); }}\n"
            f"  async down(queryRunner) {{ await queryRunner.query('DROP TABLE {table}'); }}\n}};\n"
        )

    def up(self):
        self.run(str(PROGRAMS / "typeorm"), "migration:run", "-d", "source.js")

    def applied(self):
        said = subprocess.run(
            [str(PROGRAMS / "typeorm"), "migration:show", "-d", "source.js"],
            check=False,  # 1 where some are pending
            cwd=self.root,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        done = [line for line in said.splitlines() if "[X]" in line]
        words = {name: "".join(reversed(name.split("-"))) for name in self.names}
        return [name for name, word in words.items() if any(word in line for line in done)]


class Drizzle(ProgramTool):
    """drizzle-orm's migrator, from npm, on a folder as drizzle-kit writes it."""

    program = "drizzle-kit"
    names = ("0000_calm_otter", "0001_late_heron")

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        self.folder.mkdir()
        (self.folder / "meta").mkdir()
        (root / "node_modules").symlink_to(DEPLOY_TOOLS / "node_modules")
        (root / "migrate.mjs").write_text(
            "import pg from 'pg';\nimport { drizzle } from 'drizzle-orm/node-postgres';\n"
            "import { migrate } from 'drizzle-orm/node-postgres/migrator';\n"
            "const pool = new pg.Pool();\nawait migrate(drizzle(pool), {migrationsFolder: './migrations'});\n"
            "await pool.end();\n"
        )

    def write_program(self, place, name, table):
        (self.folder / f"{name}.sql").write_text(f"CREATE TABLE {table} (id int);\n")
        entries = [
            f'{{"idx": {at}, "version": "7", "when": {1737331200000 + at}, "tag": "{self.names[at]}"}}'
            for at in range(place + 1)
        ]
        (self.folder / "meta" / "_journal.json").write_text(
            f'{{"version": "7", "dialect": "postgresql", "entries": [{", ".join(entries)}]}}'
        )

    def up(self):
        self.run("node", "migrate.mjs")

    def applied(self):
        with psycopg.connect(psycopg.conninfo.make_conninfo(**self.dsn)) as session:
            rows = session.execute("SELECT created_at FROM drizzle.__drizzle_migrations ORDER BY 1").fetchall()
        return [self.names[when - 1737331200000] for (when,) in rows]


class Graphile(ProgramTool):
    """graphile-migrate, from npm, on committed migrations as it writes them."""

    program = "graphile-migrate"
    names = ("000001-a", "000002-b")

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        (self.folder / "committed").mkdir(parents=True)
        (self.folder / "current.sql").write_text("-- Enter migration here\n")
        (root / ".gmrc").write_text("{}")
        self.hash: str | None = None

    def write_program(self, place, name, table):  # noqa: ARG002  # each tool asks for what it needs
        body = f"CREATE TABLE {table} (id int);"
        previous, text = self.hash or "-", f"{self.hash or ''}\n{body}".strip() + "\n"
        self.hash = f"sha1:{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}"
        (self.folder / "committed" / f"{name}.sql").write_text(
            f"--! Previous: {previous}\n--! Hash: {self.hash}\n--! Message: {table}\n\n{body}\n"
        )

    @property
    def database(self) -> dict[str, str]:
        """Its variables for its database; no command here goes to the shadow."""
        dsn = self.dsn
        url = f"postgres://{dsn['user']}@localhost:{dsn['port']}/{dsn['dbname']}?host={dsn['host']}"
        return {"DATABASE_URL": url, "SHADOW_DATABASE_URL": url.replace(f"/{dsn['dbname']}?", "/shadow?")}

    def up(self):
        self.run(str(PROGRAMS / "graphile-migrate"), "migrate", **self.database)

    def applied(self):
        said = subprocess.run(
            [str(PROGRAMS / "graphile-migrate"), "status"],
            check=False,  # 1 where some are pending
            cwd=self.root,
            env=os.environ | self.database,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert said.stdout, said.stderr
        written = sorted(path.name for path in (self.folder / "committed").iterdir())
        return [name.removesuffix(".sql") for name in written if f"{name[:6]}.sql" not in said.stdout]


class DbMigrate(ProgramTool):
    """db-migrate, from npm, on files as its `create --sql-file` writes them."""

    program = "db-migrate"
    names = ("20250120000000-a", "20250121000000-b")
    undone_by_file = False

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        self.folder.mkdir()
        (root / "node_modules").symlink_to(DEPLOY_TOOLS / "node_modules")
        variables = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "database": "PGDATABASE"}
        said = {key: {"ENV": name} for key, name in variables.items()}
        (root / "database.json").write_text(json.dumps({"dev": {"driver": "pg", **said}, "sql-file": True}))

    def db_migrate(self, *arguments: str) -> str:
        """What `db-migrate ...` prints."""
        return self.run(str(PROGRAMS / "db-migrate"), *arguments)

    def write_program(self, place, name, table):  # noqa: ARG002  # each tool asks for what it needs
        before = set(self.folder.iterdir())
        self.db_migrate("create", table)
        (made,) = (path for path in set(self.folder.iterdir()) - before if path.suffix == ".js")
        made.with_name(f"{name}.js").write_text(made.read_text().replace(made.stem, name))
        made.unlink()
        for way, text in (("up", f"CREATE TABLE {table} (id int);"), ("down", f"DROP TABLE {table};")):
            (self.folder / "sqls" / f"{made.stem}-{way}.sql").unlink()
            (self.folder / "sqls" / f"{name}-{way}.sql").write_text(f"{text}\n")

    def up(self):
        self.db_migrate("up")

    def applied(self):
        said = self.db_migrate("check")
        return [name for name in self.names if (self.folder / f"{name}.js").exists() and name not in said]


class PostgresMigrations(ProgramTool):
    """postgres-migrations, from npm."""

    program = "pg-validate-migrations"
    names = ("1_a", "2-b")

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        self.folder.mkdir()
        (root / "node_modules").symlink_to(DEPLOY_TOOLS / "node_modules")
        (root / "package.json").write_text('{"dependencies": {"postgres-migrations": "5.3.0"}}')
        (root / "migrate.js").write_text(
            "const { Client } = require('pg');\nconst { migrate } = require('postgres-migrations');\n"
            "(async () => {\n  const client = new Client();\n  await client.connect();\n"
            "  await migrate({ client }, './migrations');\n  await client.end();\n})();\n"
        )

    def write_program(self, place, name, table):  # noqa: ARG002  # each tool asks for what it needs
        (self.folder / f"{name}.sql").write_text(f"CREATE TABLE {table} (id int);\n")

    def up(self):
        self.run("node", "migrate.js")

    def applied(self):
        # it has no command that says so: its table, whose first row is its own
        with psycopg.connect(psycopg.conninfo.make_conninfo(**self.dsn)) as session:
            rows = session.execute("SELECT id FROM migrations WHERE id > 0 ORDER BY 1").fetchall()
        return [self.names[number - 1] for (number,) in rows]


RAILS = """\
require "active_record"
ActiveRecord::Base.establish_connection(adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"],
                                        username: ENV["PGUSER"], database: ENV["PGDATABASE"])
ActiveRecord::Migration.verbose = false
ActiveRecord::Migrator.migrations_paths = [File.join(__dir__, "db", "migrate")]
base = ActiveRecord::Base
where = base.connection.respond_to?(:migration_context) ? base.connection : base.connection_pool
context = where.migration_context
case ARGV[0]
when "up" then context.migrate
when "next" then context.up(context.migrations.map(&:version).reject { |v| context.get_all_versions.include?(v) }.first)
when "down" then context.rollback(1)
else context.migrations_status.each { |state, version, _| puts [state, version].join(" ") }
end
"""


class Rails(ProgramTool):
    """ActiveRecord's migrations, as `rails db:migrate` runs them, from the machine's Ruby."""

    program = "ruby"
    names = ("20250120000000_create_a", "20250121000000_create_b")
    comes_with_ci = False

    def __init__(self, root: Path, dsn: str) -> None:
        super().__init__(root, dsn)
        self.folder = root / "db" / "migrate"
        self.folder.mkdir(parents=True)
        (root / "migrate.rb").write_text(RAILS)

    @staticmethod
    def lacks(program: str) -> str | None:
        command = [program, "-e", 'require "active_record"; require "pg"']
        if shutil.which(program) and subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return None
        return "this machine has no ActiveRecord (apt-get install ruby ruby-activerecord ruby-pg)"

    def write_program(self, place, name, table):  # noqa: ARG002  # each tool asks for what it needs
        (self.folder / f"{name}.rb").write_text(
            f"class Create{table.upper()} < ActiveRecord::Migration[6.1]\n"
            f"  def change\n    create_table(:{table}) {{ |t| t.string :name }}\n  end\nend\n"
        )

    def up(self):
        self.run("ruby", "migrate.rb", "up")

    def applied(self):
        rows = [line.split() for line in self.run("ruby", "migrate.rb").splitlines()]
        return [name for name in self.names if ["up", name.partition("_")[0]] in rows]


TOOLS = (Alembic, Django, Knex, TypeOrm, Drizzle, Graphile, DbMigrate, PostgresMigrations, Rails)
