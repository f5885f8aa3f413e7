"""The pages are whole: everything that a reader can name has its place, every command line parses, every block says
whether it runs."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import migrollback_nb as mr
from migrollback_nb.cli.commands import get_parser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import code_blocks  # noqa: E402  # needs the path above
import from_source  # noqa: E402

PAGES = code_blocks.pages()


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_everything_that_is_made_from_the_source_has_its_place() -> None:
    placed = [name for names in from_source.places().values() for name in names]
    assert sorted(placed) == sorted({*from_source.MAKERS, *from_source.FROM_FACTS})


def test_every_command_and_option_is_in_the_reference() -> None:
    made = from_source.cli_reference()
    for command, parser in parsers().items():
        assert f"\n## {command}\n" in made
        section = made.split(f"\n## {command}\n", 1)[1].split("\n## ", 1)[0]
        for action in parser._actions:
            names = action.option_strings or [str(action.metavar or action.dest)]
            shown = (
                made if {"--dsn", "--dir", "--rollbacks", "--schema", "--scope", "--format"} & set(names) else section
            )
            assert "-h" in names or all(name in shown for name in names), (command, names)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Command -> what really parses it, whatever is described."""
    action = next(action for action in get_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(action.choices)


def test_every_command_is_shown_as_json_or_prints_none() -> None:
    from facts import COMMANDS

    shown = {words[0] for words in COMMANDS.values()}
    told = {"demo", "lab", "render", "capture"}  # a story, a browser, and what runs other programs
    assert set(from_source.commands()) - shown == told


def test_every_public_name_is_in_the_reference() -> None:
    made = "\n".join(
        from_source.MAKERS[name]() for name in ("python", "python results", "python errors", "python panels")
    )
    for name in mr.__all__:
        if name != "panels":
            assert f":: migrollback_nb.{name}\n" in made, name
    for name in mr.panels.__all__:
        assert f":: migrollback_nb.panels.{name}\n" in made, name


def test_a_class_brings_the_methods_that_it_inherits_from_ours() -> None:
    assert ":: migrollback_nb.Migrations\n   :inherited-members:\n" in from_source.python_main()
    assert ":: migrollback_nb.Status\n```" in from_source.python_results(), "the methods of str are not ours to explain"


@pytest.mark.parametrize("name", ["MigrationNotFound", "connect", "RollbackPanel"])
def test_a_name_stands_where_its_kind_stands(name: str) -> None:
    kinds = {"MigrationNotFound": "python errors", "connect": "python", "RollbackPanel": "python panels"}
    assert f".{name}\n" in from_source.MAKERS[kinds[name]]()


def test_every_event_is_explained_and_no_other() -> None:
    told = re.findall(r"^\| `([a-z_]+)` \|", text_of("reference/events.md"), re.MULTILINE)
    assert sorted(told) == sorted(from_source.events())


def test_every_sqlstate_of_ours_is_in_the_reference() -> None:
    made = from_source.sqlstate_reference()
    assert set(re.findall(r"`(MR\d{3})`", made)) == set(from_source.sqlstates())
    assert "MR001" in made
    assert "MR010" in made


def test_every_variable_and_setting_is_explained() -> None:
    told = text_of("reference/settings.md")
    missing = [name for name in from_source.variables() if f"`{name}`" not in told]
    missing += [name for name in from_source.settings() if f"`migrollback.{name}`" not in told]
    assert missing == []
    assert {"MIGROLLBACK_DSN", "MIGROLLBACK_CONFIRM"} <= from_source.variables(), "it is looked for at all"
    assert {"progress", "deploy_ledger"} <= from_source.settings()


def command_lines(text: str) -> list[str]:
    """Lines of sh blocks that call migrollback with arguments that do not depend on the shell."""
    lines = []
    for block in re.findall(r"^```(?:sh|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:run: )?(?:\.venv/bin/)?migrollback (?!demo\b)(.*)", line)
            if found:
                lines.append(re.split(r" \|\|? | && | > | >> | -- ", found.group(1))[0])
    return lines


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_that_is_shown_parses(page: Path) -> None:
    for line in command_lines(page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        if words:
            with suppress(SystemExit):  # the script of a shell was printed
                get_parser().parse_args(words)  # raises where it does not


def test_command_lines_are_found() -> None:
    assert len([line for page in PAGES for line in command_lines(page.read_text(encoding="utf-8"))]) > 40


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name == "how-to" or page.stem == "tutorial"],
    ids=lambda page: page.stem,
)
def test_every_block_of_a_page_to_follow_says_whether_it_runs(page: Path) -> None:
    for block in code_blocks.blocks(page):
        if block.language in code_blocks.RUNNABLE:
            assert block.mark in ("run", "not run", "file"), f"{page.name}:{block.line}"
        if block.mark == "not run":
            assert block.detail, f"{page.name}:{block.line}: why does it not run?"
        if block.mark == "run":
            assert code_blocks.world_of(page), f"{page.name} says of no world"


def test_what_differs_from_run_to_run_is_not_compared_and_the_rest_is() -> None:
    shown = "✅ Applied\n…\ntaken 2026-01-01T10:00:00+00:00 in 1.5 ms\n"
    assert code_blocks.difference(shown, "✅ Applied\na\nb\ntaken 2027-02-03T11:12:13+00:00 in 20 ms\n") is None
    assert code_blocks.difference("✅ Applied", "❌ Applied") is not None
    assert code_blocks.difference("2 of 3 …", "2 of 3 on this machine") is None
    assert code_blocks.difference("2 of 3 …", "1 of 3 on this machine") is not None
    assert code_blocks.difference("first\n…", "second\nfirst") is not None


def test_no_page_asks_the_network() -> None:
    for file in [*PAGES, DOCS / "conf.py", *(DOCS / "_static").iterdir()]:
        text = file.read_text(encoding="utf-8")
        assert "intersphinx" not in text, file
        assert not re.search(r"<(script|link|img)[^>]+https?://|@import|url\(https?:", text), file


def test_each_page_stands_in_a_table_of_contents() -> None:
    listed = set()
    for index in [page for page in PAGES if page.stem == "index"]:
        text = index.read_text(encoding="utf-8")
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            listed |= {(index.parent / f"{line}.md").resolve() for line in tree.split() if not line.startswith(":")}
    assert {page.resolve() for page in PAGES} - listed == {(DOCS / "index.md").resolve()}


def test_an_incident_is_two_clicks_away() -> None:
    assert "](how-to/incident.md)" in text_of("index.md")
    assert "docs/how-to/incident.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def paths(text: str) -> set[str]:
    """Files, folders and `file:name`s of the project that a page names."""
    named = set(re.findall(r"`([\w./-]+\.py(?::\w+)?)`", text))
    return named | set(re.findall(r"`((?:migrollback_nb|tests|docs|database/sql)/[\w./-]+)`", text))


@pytest.mark.parametrize("page", ["architecture.md", "contributing.md"])
def test_every_file_and_function_that_a_page_names_is_there(page: str) -> None:
    named = paths(text_of(page))
    assert named
    for path in named:
        file, _, name = path.partition(":")
        found = [place for place in (ROOT / file, ROOT / "migrollback_nb" / file) if place.exists()]
        assert found, path
        if name:
            assert re.search(
                rf"^\s*(?:async )?(?:def|class) {name}\b", found[0].read_text(encoding="utf-8"), re.MULTILINE
            ), path
