"""What a folder without SQL migrations holds instead: programs of other tools, or further folders. Reads only."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from migrollback_nb.core.text import first_few
from migrollback_nb.files.not_read import Refusal

#: How deep and how far it is looked: this is for a line of help, not for an inventory.
_DEPTH = 3
_MOST = 5000
_NOT_LOOKED_INTO = frozenset(("node_modules", "vendor", "target", "build", "dist", "venv", "__pycache__"))
#: What to do with those that are read where they lie.
_IS_READ = "name the folder in which they lie with --dir"
#: Tool -> (what its files are called, a word that stands in them, what writes out their SQL).
_TOOLS: dict[str, tuple[re.Pattern[str], bytes, str]] = {
    "Alembic": (
        re.compile(r".+\.py"),
        b"down_revision",
        _IS_READ,
    ),
    "Django": (
        re.compile(r"[0-9].*\.py"),
        b"migrations.Migration",
        _IS_READ,
    ),
    "yoyo": (re.compile(r"[0-9].*\.py"), b"step(", ""),
    "Rails": (re.compile(r"[0-9]+_.*\.rb"), b"", ""),
    "Ecto": (re.compile(r"[0-9]+_.*\.exs"), b"", "mix ecto.migrate --log-migrations-sql"),
    "Laravel": (
        re.compile(r"[0-9]{4}_[0-9]{2}_[0-9]{2}_[0-9]+_.*\.php"),
        b"",
        "php artisan migrate --pretend, and migrate:rollback --pretend",
    ),
    "Doctrine": (re.compile(r"Version[0-9]+\.php"), b"", "doctrine:migrations:execute --up (--down) --write-sql"),
    "Phinx": (re.compile(r"[0-9]+_.*\.php"), b"", "phinx migrate --dry-run"),
    "Liquibase": (
        re.compile(r".+\.(?:xml|ya?ml|json)"),
        b"databaseChangeLog",
        "liquibase update-sql, and rollback-sql",
    ),
    "Entity Framework": (re.compile(r"[0-9]+_(?!.*\.Designer).*\.cs"), b"", "dotnet ef migrations script FROM TO"),
    "JavaScript or TypeScript": (re.compile(r"[0-9].*(?<!\.d)\.(?:[cm]?js|[cm]?ts)"), b"", ""),
    "Go": (re.compile(r"[0-9].*(?<!_test)\.go"), b"", ""),
    "pop": (re.compile(r"[0-9].*\.fizz"), b"", ""),
    "Java or Kotlin": (re.compile(r"[VUR][0-9].*\.(?:java|kt)"), b"", ""),
    # numbered programs in any language: an end without a word would look as if there were nothing to do
    "another tool": (
        re.compile(
            r"(?:m|Migration|[VURB])?_?[0-9].*(?<!_test)(?<!\.Designer)(?<!\.d)"
            r"\.(?:py|rb|php|[cm]?[jt]s|cs|fs|java|kts?|scala|groovy|clj|go|rs|exs?|erl|pl|lua|swift|hs|ml|cpp|sh)"
        ),
        b"",
        "",
    ),
}


def instead(folder: Path) -> Refusal | None:
    """Why a folder without SQL migrations is refused, and what to do; None where there is no migration. Reads only."""
    programs: dict[str, list[str]] = defaultdict(list)
    sql: dict[str, int] = defaultdict(int)
    for path in _files(folder):
        inside = path.relative_to(folder).parts[:-1]
        if path.suffix == ".sql":
            if inside:
                sql["/".join(inside)] += 1
        elif (tool := _tool_of(path)) is not None:
            programs[tool].append(path.name)
    if programs:
        held = "; ".join(
            f"{len(names)} in the manner of {tool} ({min(names)}{', ...' if len(names) > 1 else ''})"
            for tool, names in programs.items()
        )
        ways = "; ".join(dict.fromkeys(f"{tool}: {_TOOLS[tool][2]}" for tool in programs if _TOOLS[tool][2]))
        written = f" {ways}." if ways else " The tool's own log shows it."
        written += " migrollback capture -- COMMAND writes such a file from what the tool does to a copy of the schema."
        return Refusal(
            problem=f"holds migrations that are programs, and only SQL is read: {held}",
            hint=(
                "Write the SQL of each in a file NUMBER_what_it_does.sql, with what undoes it between -- ROLLBACK"
                f" START and -- ROLLBACK END.{written}"
            ),
        )
    if sql:
        shown = first_few(sorted(sql))
        names = {name.rpartition("/")[2].lower() for name in sql}
        both = bool(names & {"up", "ups"}) and bool(names & {"down", "downs"})
        one_folder = "Put both parts of a migration into one folder, as NUMBER_name.up.sql and NUMBER_name.down.sql."
        hint = one_folder if both else "Name the folder of the migrations itself with --dir or MIGROLLBACK_DIR."
        return Refusal(
            problem=f"holds no migrations itself, but files *.sql in {shown}, which are not read from here", hint=hint
        )
    return None


def _files(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, files in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(
            name for name in folders if depth < _DEPTH and not name.startswith(".") and name not in _NOT_LOOKED_INTO
        )
        for name in sorted(files):
            seen += 1
            if seen > _MOST:
                return
            yield Path(place) / name


def _tool_of(path: Path) -> str | None:
    text: bytes | None = None
    for tool, (name, word, _) in _TOOLS.items():
        if name.fullmatch(path.name) is None:
            continue
        if word and text is None:
            text = _head(path)
        if word in (text or b""):
            return tool
    return None


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():  # reading a pipe would wait for ever
            return b""
        with path.open("rb") as file:
            return file.read(20_000)
    except OSError:
        return b""
