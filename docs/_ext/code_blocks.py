"""The code blocks of the pages: finds them, runs them as a reader would, and compares what they print.

A mark stands on the line before a block, and shows on no page:

    <!-- run -->                  it runs, in the page's world, after the blocks before it
    <!-- run: exit 3 -->          ... and ends with this status
    <!-- not run: REASON -->      it cannot run here
    <!-- output -->               what the block before prints; a line … stands for any lines,
                                  … at a line's end for the rest of it
    <!-- file: NAME -->           its text is the file NAME of the working folder

`<!-- world: NAME -->` says once what a page's reader has: see `world`. What differs from run to run (times, ids,
hashes) is not compared. ``python docs/_ext/code_blocks.py PAGE ...`` runs pages and writes their output blocks anew.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1]
_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[a-z ]+?)(?:: (?P<detail>[^>]*?))? -->\n)?"
    r"(?P<fence>`{3,})(?P<language>[a-z]*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_WORLD = re.compile(r"^<!-- world: (\w+) -->$", re.MULTILINE)
#: Languages that a reader types or runs; blocks of others only show something.
RUNNABLE = ("sh", "python", "sql")

#: What differs from run to run -> what it is compared as.
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?( UTC|Z|[+-]\d\d(:\d\d)?)?"), "TIME"),
    (re.compile(r"\d{1,2}/\d{1,2}/\d\d, \d{1,2}:\d\d [AP]M"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DATE"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "HASH"),
    (re.compile(r"migrollback_nb/(\w+) \S+"), r"migrollback_nb/\1 CLIENT"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|kB|bytes)\b"), "AMOUNT"),
    (re.compile(r"^ +\d+\.\d  ", re.MULTILINE), "  MS  "),
    (re.compile(r"(/\S+)?/(migrations|runbook_)"), r"…/\2"),
    (re.compile(r"[ ─-]{3,}"), " "),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One code block of a page."""

    line: int  #: of its fence, counted from 1
    language: str
    text: str
    mark: str | None  #: run, not run, output, file, or None
    detail: str | None  #: what stands behind the mark's colon
    span: tuple[int, int]  #: of its text within the page


def pages() -> list[Path]:
    """All pages that people write."""
    return [page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order; reads it only."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            line=text.count("\n", 0, found.start("fence")) + 1,
            language=found["language"],
            text=found["text"],
            mark=found["mark"],
            detail=found["detail"],
            span=found.span("text"),
        )
        for found in _BLOCK.finditer(text)
    ]


def world_of(page: Path) -> str | None:
    """What the page's reader has, or None where nothing of the page runs."""
    found = _WORLD.search(page.read_text(encoding="utf-8"))
    return found.group(1) if found else None


def comparable(text: str) -> str:
    """Output without what differs from run to run; pure."""
    for pattern, put in _VARYING:
        text = pattern.sub(put, text)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def difference(expected: str, printed: str) -> str | None:
    """How what was printed differs from what the page shows, or None; pure."""
    said, shown = comparable(printed), comparable(expected)
    pattern = "".join(
        (
            r"(?:.*\n)*"
            if line == "…"
            else re.escape(line).replace("\\…", "…").removesuffix("…") + (".*\n" if line.endswith("…") else "\n")
        )
        for line in shown.splitlines()
    )
    if re.fullmatch(pattern, said + "\n"):
        return None
    return "\n".join(
        difflib.unified_diff(shown.splitlines(), said.splitlines(), "the page shows", "it prints", lineterm="", n=2)
    )


class Reader:
    """A reader at work: a folder, an environment that lasts from block to block, names of Python."""

    def __init__(self, folder: Path, environment: dict[str, str], connect: Callable[[], str]) -> None:
        self.folder = folder
        self._state = folder.parent / f"{folder.name}.state"
        self._environment = os.environ | environment
        self._connect = connect
        self._names: dict[str, object] = {}

    def run(self, block: Block, page: Path) -> str:
        """Run one block and return what it printed."""
        ends = int((block.detail or "exit 0").removeprefix("exit "))
        where = f"{page.name}:{block.line}"
        if block.language == "python":
            return self._python(block, where)
        if block.language == "sql":
            return self._shell(
                f"psql -X -q -v ON_ERROR_STOP=1 -d '{self._connect()}' <<'END_OF_SQL'\n{block.text}END_OF_SQL\n",
                ends,
                where,
            )
        return self._shell(block.text, ends, where)

    def _shell(self, text: str, ends: int, where: str) -> str:
        before = f". {self._state}\n" if self._state.exists() else ""
        script = f"{before}trap 'export -p > {self._state}; echo cd \"$PWD\" >> {self._state}' EXIT\n{text}"
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],  # noqa: S607  # the reader's own shell
            check=False,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        if done.returncode != ends:
            raise AssertionError(f"{where} ended with {done.returncode}, not {ends}:\n{text}\n{done.stdout}")
        return done.stdout

    def _python(self, block: Block, where: str) -> str:
        code = compile("\n" * block.line + block.text, where, "exec")
        before, here = dict(os.environ), Path.cwd()
        said = io.StringIO()
        os.environ.update(self._environment)
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(said):
                exec(code, self._names)  # noqa: S102  # the pages are ours
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
        return said.getvalue()

    def close(self) -> None:
        """Close what Python blocks left open."""
        for thing in self._names.values():
            if hasattr(thing, "close") and type(thing).__name__ == "Migrations":
                thing.close()


def play(page: Path, reader: Reader, found: Callable[[Block, str], None]) -> None:
    """Run a page from top to bottom; `found` is told of each output block what was really printed."""
    printed = ""
    for block in blocks(page):
        if block.mark == "run":
            printed = reader.run(block, page)
        elif block.mark == "output":
            found(block, printed)
        elif block.mark == "file":
            file = reader.folder / (block.detail or "")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")


@contextmanager
def world(name: str, work: Path, server: Callable[[str], str], programs: list[Path]) -> Iterator[Reader]:
    """What a page's reader has at the start.

    Parameters
    ----------
    name : str
        ``shop``: the demo's database, and its migrations in the folder `migrations`. ``empty``: an empty database,
        named by DATABASE_URL. ``installed``: the same with the system in it. ``supabase``: an empty database with
        Supabase's ledger.
        ``embedded``: no database is named.
    work : Path
        An empty folder.
    server : callable
        Makes an empty database of a name and returns its DSN.
    programs : list of Path
        Folders that come first in PATH.
    """
    import psycopg

    from migrollback_nb import connect
    from migrollback_nb.cli import demo

    folder = work / name
    folder.mkdir()
    environment = {
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "COLUMNS": "160",
        "PYTHONIOENCODING": "utf-8",
        "TZ": "UTC",
        "MIGROLLBACK_STATE": str(work / "runs"),
    }
    dsn = ""
    if name != "embedded":
        dsn = server(f"docs_{name}")
        environment["DATABASE_URL"] = dsn
    if name == "shop":
        demo.load(dsn, folder / "migrations").close()
    elif name == "installed":
        with connect(dsn) as db:
            db.install()
    elif name == "supabase":
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "CREATE SCHEMA supabase_migrations;CREATE TABLE supabase_migrations.schema_migrations (version text"
                " PRIMARY KEY, statements text[], name text)"
            )
    reader = Reader(folder, environment, lambda: dsn)
    try:
        yield reader
    finally:
        reader.close()


def main(names: list[str]) -> None:
    """Run pages and write their output blocks anew where they differ. Writes the pages."""
    import psycopg
    from facts import own_server

    from migrollback_nb.servers import embedded

    for page in [Path(name).resolve() for name in names] or [page for page in pages() if world_of(page)]:
        with own_server() as work:

            def server(database: str) -> str:
                with psycopg.connect(embedded.start(), autocommit=True) as connection:
                    connection.execute(f'CREATE DATABASE "{database}"')
                return embedded.start(database)

            new: list[tuple[Block, str]] = []

            def found(block: Block, printed: str) -> None:
                if difference(block.text, printed) is not None:
                    new.append((block, printed))  # noqa: B023  # it is called within this turn of the loop

            with world(
                world_of(page) or "", work, server, [Path(sys.executable).parent, embedded.programs_for_others()]
            ) as reader:
                play(page, reader, found)
            text = page.read_text(encoding="utf-8")
            for block, printed in reversed(new):
                text = text[: block.span[0]] + printed.rstrip("\n") + "\n" + text[block.span[1] :]
            page.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(DOCS)}: {len(new)} output blocks written anew\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1:])
