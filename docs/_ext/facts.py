"""Reads functions, tables, events and JSON for the reference from a fresh installation, on a server of its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

import migrollback_nb
from migrollback_nb import cli, connect
from migrollback_nb.cli import demo
from migrollback_nb.servers import embedded

PACKAGE = Path(migrollback_nb.__file__).parent

Facts: TypeAlias = dict[str, Any]

_FUNCTIONS = """
SELECT p.proname AS name, pg_catalog.pg_get_function_arguments(p.oid) AS arguments,
       pg_catalog.pg_get_function_result(p.oid) AS result, pg_catalog.obj_description(p.oid, 'pg_proc') AS comment
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'public' AND pg_catalog.obj_description(p.oid, 'pg_proc') IS NOT NULL ORDER BY 1, 2
"""
_TABLES = """
SELECT c.relname AS name, pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
       coalesce(jsonb_agg(jsonb_build_object('name', a.attname, 'type',
                                             pg_catalog.format_type(a.atttypid, a.atttypmod),
                                             'comment', pg_catalog.col_description(c.oid, a.attnum))
                          ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL), '[]') AS columns
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname LIKE 'migration\\_%' GROUP BY c.oid, c.relname ORDER BY 1
"""
_EVENTS = """
SELECT pg_catalog.pg_get_constraintdef(c.oid) AS definition FROM pg_catalog.pg_constraint c
WHERE c.conrelid = 'public.migration_events'::regclass AND c.contype = 'c'
  AND pg_catalog.pg_get_constraintdef(c.oid) LIKE '%rolled_back%'
"""

SETTINGS, TAGS = "20250120_add_user_settings", "20250120_add_project_tags"

#: Command -> its arguments, as they are run one after another on the demo with --format json.
COMMANDS: dict[str, list[str]] = {
    "install": ["install"],
    "sync": ["sync"],
    "adopt": ["adopt", "--dry-run"],
    "list": ["list"],
    "check": ["check", "20250119_add_analytics_queue"],
    "plan": ["plan", "20250119_add_analytics_queue"],
    "deps": ["deps", TAGS],
    "graph": ["graph", f"{TAGS}+"],
    "snapshot": ["snapshot", SETTINGS, "before the switch"],
    "snapshots": ["snapshots", SETTINGS],
    "archives": ["archives"],
    "around": ["around", "--", "true"],
    "restore-archive": ["restore-archive", "1"],
    "rollback --dry-run": ["rollback", SETTINGS, "--dry-run"],
    "converge --dry-run": ["converge", "--to-files", "--dry-run"],
    "rehearse": ["rehearse", SETTINGS],
    "rollback": ["rollback", SETTINGS, "--confirm", SETTINGS, "--reason", "INC-42"],
    "verify-rollback": ["verify-rollback", SETTINGS],
    "diff": ["diff", SETTINGS],
    "apply": ["apply", SETTINGS, "--deploy", "1234"],
    "deploys": ["deploys"],
    "last": ["last"],
    "history": ["history", "--since", "1d"],
    "register": ["register", "20250123_add_order_notes"],
    "rollback (refused)": ["rollback", "20250110_base_shop", "--confirm", "20250110_base_shop"],
    "rollback (failed)": ["rollback", demo.FAILING, "--confirm", demo.FAILING],
    "resolve": ["resolve", demo.FAILING, "--as", "applied", "--reason", "Looked: nothing was changed"],
    "policy": ["policy", "losses", "--approvals", "1", "--if", "loses", "--target", "*tags"],
    "request": ["request", TAGS, "--reason", "INC-42"],
    "approve": ["approve", "{request}", "--confirm", TAGS],
    "approvals": ["approvals"],
    "events": ["events", demo.FAILING],
    "events --verify": ["events", "--verify"],
    "audit": ["audit"],
    "grant": ["grant", "auditor", "pg_monitor"],
    "roles": ["roles"],
    "revoke": ["revoke", "auditor", "pg_monitor"],
    "doctor": ["doctor"],
    "template": ["template", demo.WITHOUT_ROLLBACK],
    "verify": ["verify", TAGS],
    "runbook": ["runbook", TAGS, "--ticket", "INC-42", "--into", "{work}"],
    "report": ["report", SETTINGS, "--file", "{work}/report.html"],
    "fleet status": ["fleet", "status", "--targets", "{work}/targets.toml"],
    "fleet rollback --dry-run": ["fleet", "rollback", TAGS, "--targets", "{work}/targets.toml", "--dry-run"],
    "fleet rollback": ["fleet", "rollback", TAGS, "--targets", "{work}/targets.toml", "--confirm", TAGS],
}


@contextmanager
def own_server() -> Iterator[Path]:
    """The embedded server in a folder of its own, gone afterwards; yields a working folder."""
    # below /var/tmp and open to others: as root the server runs as another user; a socket's path must be short
    # a short path, for it holds a socket, that root's system user may enter
    short = "/var/tmp"  # noqa: S108  # mkdtemp makes a folder of its own in it
    base = Path(tempfile.mkdtemp(prefix="mrd", dir=short if Path(short).is_dir() else None))
    base.chmod(0o755)
    own = {embedded.FOLDER_VARIABLE: str(base), "MIGROLLBACK_STATE": str(base / "runs")}
    before = {name: os.environ.get(name) for name in own}
    os.environ |= own
    work = base / "work"
    work.mkdir()
    try:
        yield work
    finally:
        embedded.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(base)


def catalog(connection: Any) -> Facts:
    """What the catalogs of a database with the system in it say of its functions, tables and events. Does not write."""
    return {
        "functions": _rows(connection, _FUNCTIONS),
        "tables": _rows(connection, _TABLES),
        "events": re.findall(r"'([a-z_]+)'", _rows(connection, _EVENTS)[0]["definition"]),
    }


def collect() -> Facts:
    """Load the demo on a server of its own and ask it."""
    with own_server() as work:
        folder = work / "migrations"
        demo.load("embedded", folder).close()
        common = ["--dir", str(folder), "--format", "json"]
        dsn = embedded.start(demo.DATABASE)
        (work / "targets.toml").write_text(f'[[target]]\nname = "shop-eu"\ndsn = "{dsn}"\n', encoding="utf-8")
        outputs: dict[str, Any] = {}
        for title, words in COMMANDS.items():
            out, err = io.StringIO(), io.StringIO()
            request = json.loads(outputs["request"]["output"])["request"] if "request" in outputs else ""
            given = [word.format(work=work, request=request) for word in words]
            where = ["--dsn", _of_another(dsn) if title == "approve" else dsn]
            # the file of targets names its databases
            status = cli.run([*common, *([] if words[0] == "fleet" else where), *given], out, err)
            place = words.index("--") if "--" in words else len(words)  # behind it stands another program's command
            typed = [*words[:place], "--format", "json", *words[place:]]
            shown = " ".join(_quoted(word.format(work=".", request=request)) for word in typed)
            outputs[title] = {
                "command": f"migrollback {shown}",
                "exit": status,
                "output": _of_any_machine(out.getvalue(), work),
            }
        with connect(embedded.start(demo.DATABASE)) as db:
            return catalog(db.database.connection) | {"outputs": outputs}


def _of_another(dsn: str) -> str:
    """DSN of the same database for another person, who may approve there. Writes the role."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE bob LOGIN SUPERUSER")
    return psycopg.conninfo.make_conninfo(dsn, user="bob")


def _rows(connection: Any, query: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) if isinstance(row, tuple) else dict(row) for row in cursor]


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _of_any_machine(text: str, work: Path) -> str:
    """Output without what tells of the machine that built the pages."""
    text = text.replace(str(work), ".")
    text = re.sub(r'(migrollback_nb/\w+) [^"\s]+', r"\1 ann@desk", text)
    return re.sub(r"/\S*?/postgres-18\b|/var/tmp/mrd\w*[^\"\s]*", "/run/postgresql", text)


def facts(cache: Path) -> Facts:
    """The facts of this very source, from the cache where it has been asked before. Writes the cache."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for file in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sql")]):
        digest.update(file.read_bytes())
    file = cache / f"facts-{digest.hexdigest()[:16]}.json"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob("facts-*.json"):
            old.unlink()
        file.write_text(json.dumps(collect(), indent=1, default=str), encoding="utf-8")
    found: Facts = json.loads(file.read_text(encoding="utf-8"))
    return found
