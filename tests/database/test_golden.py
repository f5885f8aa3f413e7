"""What a person sees at 80 and at 120 columns, and what a pipe gets, as files to read: tests/golden.

After a change that is meant, write them anew and read the difference:

    WRITE_GOLDEN=1 pytest tests/database/test_golden.py -n 0
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pg_servers import Server, with_system
from rich.cells import cell_len

import migrollback_nb as mr
from migrollback_nb import cli

GOLDEN = Path(__file__).parents[1] / "golden"
LONG = "20250123_rename_the_column_that_holds_the_addresses_of_customers_who_ordered_before_2020"
FILES = {
    "20250110_base_shop": """\
CREATE TABLE public.users (id int PRIMARY KEY, email text);
INSERT INTO public.users SELECT i, i || '@example.com' FROM generate_series(1, 1000) i;
-- ROLLBACK START
DROP TABLE public.users;
-- ROLLBACK END
""",
    "20250119_add_analytics_queue": """\
-- Depends on: 20250110_base_shop
CREATE TABLE public.analytics_queue (id int PRIMARY KEY, user_id int REFERENCES public.users);
-- ROLLBACK START
DROP TABLE IF EXISTS public.analytics_queue;
-- ROLLBACK END
""",
    "20250120_add_project_analytics": """\
-- Depends on: 20250119_add_analytics_queue
CREATE TABLE public.project_analytics (id int PRIMARY KEY, job int REFERENCES public.analytics_queue);
-- ROLLBACK START
DROP TABLE IF EXISTS public.project_analytics;
-- ROLLBACK END
""",
    "20250121_add_routing_metadata": "CREATE TABLE public.routing_metadata (id int);\n",
    "20250122_add_gift_cards": """\
CREATE TABLE public.gift_cards (id int);
-- ROLLBACK START
DROP TABLE public.gift_cards;
DROP TABLE public.gift_card_ledger;
-- ROLLBACK END
""",
    LONG: """\
-- Depends on: 20250110_base_shop
ALTER TABLE public.users RENAME COLUMN email TO address;
-- ROLLBACK START
ALTER TABLE public.users RENAME COLUMN address TO email;
-- ROLLBACK END
""",
}
#: File -> what is typed.
COMMANDS = {
    "help": "--help",
    "help-of-rollback": "rollback --help",
    "list": "list",
    "list-system": "list --system",
    "list-wide": "list --wide",
    "history": "history",
    "history-failed": "history --status failed",
    "events": "events --since 7d --limit 12",
    "events-of-one-kind": "events --event failed --event rolled_back --reverse",
    "snapshots": "snapshots",
    "deploys": "deploys",
    "deps": "deps",
    "check": "check 20250120_add_project_analytics",
    "check-blocked": "check 20250110_base_shop",
    "check-failed": "check 20250122_add_gift_cards",
    "plan": "plan 20250119_add_analytics_queue",
    "dry-run": "rollback 20250120_add_project_analytics --dry-run",
    "refused": "rollback 20250110_base_shop --confirm 20250110_base_shop",
    "mistyped-command": "hstory",
    "mistyped-option": "history --staus applied",
    "mistyped-name": "check 20250120_add_project_analytic",
}
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "2025-01-20 14:30:05 UTC"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "0b3fd5a1-6d3e-4f0b-9a53-6d1c2a7c9e10"),
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])"), "0" * 64),
    (re.compile(r"  [0-9a-f]{8}  "), "  0b3fd5a1  "),
    # pg_column_size, of what the server compresses
    (re.compile(r"(?<=  )\d,\d{3}(?=  (?:after|before) )"), "9,999"),
)


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def shop(first_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The words that name a database in which some things have happened, and its folder."""
    folder = tmp_path_factory.mktemp("golden") / "migrations"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / f"{name}.sql").write_text(text, encoding="utf-8")
    database = first_server.create_database(template=with_system(first_server))
    dsn = first_server.dsn(database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "desk")
        patch.setattr("getpass.getuser", lambda: "ann")
        with mr.connect(dsn, dir=folder, interface="cli") as db:
            db.apply(deploy="release-42")
            done, failing = "20250120_add_project_analytics", "20250122_add_gift_cards"
            db.rollback(done, confirm=done, reason="The queue overloads the database, see INC-42")
            db.apply(done)
            with suppress(mr.RollbackFailed):
                db.rollback(failing, confirm=failing, reason="Legal has not agreed yet")
            db.snapshot(done, "before the incident")
    yield ["--dsn", dsn, "--dir", str(folder)]
    first_server.drop_database(database)


def shown(words: str, where: list[str], *, columns: int | None) -> str:
    """What is typed, and what comes of it."""
    out = io.StringIO() if columns is None else Terminal()
    status = cli.run([*where, *shlex.split(words)], out, out, io.StringIO())
    text = f"$ migrollback {words}\n{out.getvalue().replace(where[-1], 'migrations')}"
    for pattern, constant in _VARYING:
        text = pattern.sub(constant, text)
    return text + (f"(exit status {status})\n" if status else "")


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(80, id="80"),
        pytest.param(120, id="120", marks=pytest.mark.long),
        pytest.param(None, id="pipe", marks=pytest.mark.long),
    ],
)
def test_what_is_shown(columns: int | None, shop: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns or 80))
    monkeypatch.setenv("NO_COLOR", "1")
    folder = GOLDEN / str(columns or "pipe")
    if os.environ.get("WRITE_GOLDEN"):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.txt"):
            old.unlink()
        for name, words in COMMANDS.items():
            (folder / f"{name}.txt").write_text(shown(words, shop, columns=columns), encoding="utf-8")
    assert {file.stem for file in folder.glob("*.txt")} == set(COMMANDS)
    for name, words in COMMANDS.items():
        expected = (folder / f"{name}.txt").read_text(encoding="utf-8")
        assert shown(words, shop, columns=columns) == expected, f"{folder.name}/{name}.txt"


@pytest.mark.parametrize("columns", [80, 120])
def test_no_table_is_wider_than_the_terminal(columns: int) -> None:
    for name in ("list", "history", "events", "snapshots", "deploys", "deps", "help", "help-of-rollback"):
        lines = (GOLDEN / str(columns) / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        wide = [line for line in lines if cell_len(line) > columns]
        assert all(len(line.split()) == 1 for line in wide), "only one word that is longer than the terminal"
