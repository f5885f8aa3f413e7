"""The pages tell the truth: their code blocks run as printed, and every SQL function and table has its place."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import migrollback_nb as mr
from migrollback_nb.servers import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pg_servers import Server

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import code_blocks  # noqa: E402  # needs the path above
import facts  # noqa: E402
import from_source  # noqa: E402

#: Runs with every `pytest`: the page that must be right in the worst hour. The others take longer, and run with --long.
ALWAYS = "incident"
TO_PLAY = [page for page in code_blocks.pages() if code_blocks.world_of(page)]


@pytest.fixture
def make_database(first_server: Server) -> Iterator[Callable[[str], str]]:
    made: list[str] = []

    def make(name: str) -> str:
        first_server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        first_server.execute(f"CREATE DATABASE {name}")
        made.append(name)
        return first_server.dsn(name)

    yield make
    for name in made:
        first_server.drop_database(name)
    first_server.execute("DROP ROLE IF EXISTS auditor, deployer, dbas, erin, agent, alice")


@pytest.mark.few(8)
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.stem, marks=() if page.stem == ALWAYS else pytest.mark.long) for page in TO_PLAY],
)
def test_a_page_does_what_it_shows(page: Path, make_database: Callable[[str], str], tmp_path: Path) -> None:
    found: list[str] = []

    def compare(block: code_blocks.Block, printed: str) -> None:
        if differs := code_blocks.difference(block.text, printed):
            found.append(f"{page.name}:{block.line}\n{differs}")

    programs = [Path(sys.executable).parent, embedded.programs_for_others()]
    with code_blocks.world(str(code_blocks.world_of(page)), tmp_path, make_database, programs) as reader:
        code_blocks.play(page, reader, compare)
    assert not found, "\n".join([*found, f"python docs/_ext/code_blocks.py {page} writes them anew"])


def test_pages_to_play_are_found() -> None:
    assert ALWAYS in {page.stem for page in TO_PLAY}
    assert sum(block.mark == "run" for page in TO_PLAY for block in code_blocks.blocks(page)) > 40


def test_every_function_and_table_has_its_place(first_server: Server, make_database: Callable[[str], str]) -> None:
    dsn = make_database("docs_catalog")
    with mr.connect(dsn) as db:
        db.install()
        connection = db.database.connection
        known = facts.catalog(connection)
        functions = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchall()
    made = from_source.sql_reference(known)
    placed = re.findall(r"^### (\w+)$", made, re.MULTILINE)
    assert sorted(placed) == sorted(name for (name,) in functions)
    assert sorted(re.findall(r"^## (\w+)$", from_source.table_reference(known), re.MULTILINE)) == sorted(
        name for (name,) in tables
    )
    assert known["events"] == from_source.events()
