"""A table of peers: what deploying a folder of migrations takes, ours beside psql, a bare loop and other tools.

    .venv/bin/python tests/benchmarks/peers.py [--rounds 5] [--folders generated,graph-node] [--only dbmate,sqitch]

prints the table that stands in docs/explanation/performance.md. GRAPH_NODE_MIGRATIONS names graph-node's
store/postgres/migrations and CONCOURSE_MIGRATIONS concourse's atc/db/migration/migrations, which are no part of this
project; a generated folder of 300 is always measured. Each tool is a process of its own on a fresh database of one
embedded server (fsync on), in turn; tools that are not installed are left out. Time is wall time; processor time is
user and system time of the process, of those that it starts, and of the server's backends, which a machine that does
other things changes least.
"""

from __future__ import annotations

import argparse
import compileall
import datetime as dt
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import psycopg

import migrollback_nb as mr
from migrollback_nb.files.formats import find_folder
from migrollback_nb.servers import embedded

BIN = Path(sys.executable).parent
TESTS = Path(__file__).parents[1]
DBMATE = TESTS / "deploy_tools" / "node_modules" / ".bin" / "dbmate"
#: In a transaction of the tool's own these end it too early.
ENDS = re.compile(r"^[ \t]*(?:BEGIN|COMMIT)[ \t]*;[ \t]*$", re.IGNORECASE | re.MULTILINE)
#: Seconds: what takes longer is measured once.
SLOW = 5.0
LOOP = """
import pathlib, sys
import psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
        with connection.transaction():
            connection.execute(path.read_bytes())
"""
ALEMBIC = """
from pathlib import Path
from alembic import op
revision, down_revision = {name!r}, {before!r}
def upgrade():
    op.get_bind().connection.cursor().execute(Path({path!r}).read_bytes())
"""

Command = Callable[[dict[str, str]], tuple[list[str], dict[str, str]]]


def url(dsn: dict[str, str], scheme: str) -> str:
    return f"{scheme}://{dsn['user']}@/{dsn['dbname']}?host={dsn['host']}&port={dsn['port']}"


def peers(folder: Path, root: Path) -> dict[str, Command]:
    """What each tool is called with, once its own folder is written below `root`."""
    files = find_folder(folder).read_all().files
    plain = root / "plain"
    plain.mkdir(parents=True)
    texts = {f"{place:04}_m": ENDS.sub("", file.up.text) for place, file in enumerate(files)}
    for name, text in texts.items():
        (plain / f"{name}.sql").write_text(text, encoding="utf-8")
    whole = root / "all.sql"
    whole.write_text("".join(f"BEGIN;\n{text}\n;COMMIT;\n" for text in texts.values()), encoding="utf-8")
    found: dict[str, Command] = {
        "psql, one process": lambda dsn: (
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(whole), psycopg.conninfo.make_conninfo(**dsn)],
            {},
        ),
        "a bare psycopg loop": lambda dsn: (
            [sys.executable, "-c", LOOP, psycopg.conninfo.make_conninfo(**dsn), str(plain)],
            {},
        ),
        "migrollback apply": lambda dsn: (
            [str(BIN / "migrollback"), "--dsn", psycopg.conninfo.make_conninfo(**dsn), "--dir", str(folder), "apply"],
            {},
        ),
    }
    if DBMATE.exists():
        found["dbmate"] = dbmate(texts, root / "dbmate")
    if (BIN / "alembic").exists():
        found["alembic"] = alembic(texts, plain, root / "alembic")
    if (BIN / "yoyo").exists():
        found["yoyo"] = yoyo(texts, root / "yoyo")
    if shutil.which("sqitch"):
        found["sqitch"] = sqitch(texts, root / "sqitch")
    return found


def dbmate(texts: dict[str, str], root: Path) -> Command:
    root.mkdir()
    for name, text in texts.items():
        (root / f"{name}.sql").write_text(f"-- migrate:up\n{text}\n-- migrate:down\n", encoding="utf-8")
    words = [str(DBMATE), "--migrations-dir", str(root), "--no-dump-schema"]
    return lambda dsn: ([*words, "--url", url(dsn, "postgres").replace("?", "?sslmode=disable&"), "up"], {})


def alembic(texts: dict[str, str], plain: Path, root: Path) -> Command:
    from program_tools import ALEMBIC_ENV

    (root / "alembic" / "versions").mkdir(parents=True)
    (root / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\npath_separator = os\n")
    # as its documentation recommends for many: a transaction for each migration
    (root / "alembic" / "env.py").write_text(
        ALEMBIC_ENV.replace("connection=connection", "connection=connection, transaction_per_migration=True")
    )
    before = None
    for name in texts:
        text = ALEMBIC.format(name=name, before=before, path=str(plain / f"{name}.sql"))
        (root / "alembic" / "versions" / f"{name}.py").write_text(text)
        before = name
    words = [str(BIN / "alembic"), "-c", str(root / "alembic.ini"), "upgrade", "heads"]
    return lambda dsn: (words, {"DATABASE_URL": url(dsn, "postgresql+psycopg")})


def yoyo(texts: dict[str, str], root: Path) -> Command:
    root.mkdir()
    before = ""
    for name, text in texts.items():
        (root / f"{name}.sql").write_text(f"-- depends: {before}\n\n{text}\n", encoding="utf-8")
        before = name
    words = [str(BIN / "yoyo"), "apply", "--batch", "--no-config-file", "--database"]
    return lambda dsn: ([*words, url(dsn, "postgresql+psycopg"), str(root)], {})


def sqitch(texts: dict[str, str], root: Path) -> Command:
    (root / "deploy").mkdir(parents=True)
    (root / "sqitch.conf").write_text("[core]\n\tengine = pg\n[user]\n\tname = Me\n\temail = me@example.com\n")
    plan = "%syntax-version=1.0.0\n%project=shop\n\n"
    for name, text in texts.items():
        plan += f"{name} 2024-01-01T00:00:00Z Me <me@example.com> # one\n"
        script = f"-- Deploy shop:{name} to pg\n\nBEGIN;\n{text}\n;COMMIT;\n"  # no two may be alike
        (root / "deploy" / f"{name}.sql").write_text(script, encoding="utf-8")
    (root / "sqitch.plan").write_text(plan)
    return lambda dsn: (["sqitch", "--chdir", str(root), "deploy", "--no-verify", url(dsn, "db:pg")], {})


class Server:
    """The embedded server, and fresh databases on it."""

    def __init__(self) -> None:
        found = psycopg.conninfo.conninfo_to_dict(embedded.start())
        self.dsn = {key: str(value) for key, value in found.items()}
        self.admin = psycopg.connect(**self.dsn, autocommit=True)
        self._postmaster = Path(self.dsn["host"], "postmaster.pid").read_text().split("\n")[0]
        with self.database("peers_system") as system, mr.connect(psycopg.conninfo.make_conninfo(**system)) as db:
            db.install()
            self.admin.execute("DROP DATABASE IF EXISTS peers_template")
            db.close()
            self.admin.execute("CREATE DATABASE peers_template TEMPLATE peers_system")

    def database(self, name: str, template: str = "template0") -> Database:
        return Database(self, name, template)

    def processor(self) -> float:
        """Seconds of processor time of all backends that have ended."""
        fields = Path(f"/proc/{self._postmaster}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


class Database:
    """A fresh database, dropped at the end."""

    def __init__(self, server: Server, name: str, template: str) -> None:
        self._server, self._name, self._template = server, name, template

    def __enter__(self) -> dict[str, str]:
        self._drop()
        self._server.admin.execute(f"CREATE DATABASE {self._name} TEMPLATE {self._template}")
        self._server.admin.execute("CHECKPOINT")
        return {**self._server.dsn, "dbname": self._name}

    def __exit__(self, *_: object) -> None:
        self._drop()

    def _drop(self) -> None:
        self._server.admin.execute(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")


def run(server: Server, name: str, command: Command) -> tuple[float, float]:
    """Seconds of wall and of processor time of one run."""
    template = "peers_template" if name.startswith("migrollback") else "template0"
    with server.database("peers", template) as dsn:
        words, more = command(dsn)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        at_server, children = server.processor(), resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        done = subprocess.run(words, env=environment | more, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        time.sleep(0.1)  # until its backend has ended
        client = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
        return took, client + server.processor() - at_server


def folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Title and folder of each that is measured, written below `root`."""
    from benchmarks.test_releases import concourse, graph_node
    from benchmarks.test_speed import write_files

    write_files(root / "generated", 300)
    yield "300 small ones, generated", root / "generated"
    for variable, name, make in (
        ("GRAPH_NODE_MIGRATIONS", "graph-node", graph_node),
        ("CONCOURSE_MIGRATIONS", "concourse", concourse),
    ):
        if source := os.environ.get(variable):
            make(Path(source), root / name)
            yield name, root / name


def measure(rounds: int, only: set[str], which: set[str]) -> None:
    compileall.compile_dir(str(Path(mr.__file__).parent), quiet=1)  # as pip leaves an installed package
    server = Server()
    print(
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, PostgreSQL"
        f" {server.admin.info.server_version // 10000}, Python {platform.python_version()}, median of {rounds}\n"
    )
    print("| folder | tool | time | of psql's | of the loop's | processor time | of psql's | of the loop's |")
    print("|" + " --- |" * 8)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for title, folder in folders(root):
            if which and folder.name not in which:
                continue
            tools = peers(folder, root / f"{folder.name}_of_peers")
            tools = {name: command for name, command in tools.items() if not only or name.split(",")[0] in only}
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in tools}
            for turn in range(rounds + 1):
                for name, command in tools.items():
                    if turn > 1 and found[name][0][0] > SLOW:
                        continue
                    took = run(server, name, command)
                    if turn:  # the first warms what is read
                        found[name].append(took)
            medians = {name: tuple(map(median, zip(*times, strict=True))) for name, times in found.items()}
            count = len(find_folder(folder).read_all().files)
            for name, (wall, processor) in medians.items():
                cells = [f"{title} ({count})", name]
                for place, value in enumerate((wall, processor)):
                    cells.append(f"{value:.2f} s")
                    cells += [
                        f"{value / medians[beside][place]:.2f}" if beside in medians else ""
                        for beside in ("psql, one process", "a bare psycopg loop")
                    ]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="which tools, between commas: psql, dbmate ...")
    parser.add_argument("--folders", default="", help="which of generated, graph-node and concourse, between commas")
    given = parser.parse_args()
    tools, which = ({word.strip() for word in text.split(",")} - {""} for text in (given.only, given.folders))
    measure(given.rounds, tools, which)
