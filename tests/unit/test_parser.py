"""The command line says what was perhaps meant, and its help is in tasks, examples and whole words."""

from __future__ import annotations

import io
import re
import shlex

import pytest

from migrollback_nb import cli
from migrollback_nb.cli import magics
from migrollback_nb.cli.app import split_off
from migrollback_nb.cli.command import TASKS
from migrollback_nb.cli.commands import COMMANDS, get_parser
from migrollback_nb.core.errors import UsageError


def ran(line: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    status = cli.run(shlex.split(line), out, err, io.StringIO())
    return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("hstory", "There is no command hstory", "Did you mean history?"),
        ("roll", "There is no command roll", "Did you mean rollback, roles or verify-rollback?"),
        ("undo 001_a", "There is no command undo", "Did you mean rollback?"),
        ("zzz", "There is no command zzz", "migrollback --help shows all commands."),
        ("--dsn x hstory", "There is no command hstory", "Did you mean history?"),
        ("history --staus applied", "history has no option --staus", "Did you mean --status?"),
        ("history --staus=applied", "history has no option --staus", "Did you mean --status?"),
        ("rollback 001_a --chian", "rollback has no option --chian", "Did you mean --chain?"),
        ("check --chian", "check has no option --chian", "check --help"),
        # before what is missing, which is there but misspelt
        ("resolve 001_a --as applied --resaon x", "resolve has no option --resaon", "Did you mean --reason?"),
        (
            "list --chain",
            "list has no option --chain",
            "an option of plan, rehearse, rollback, request, runbook and fleet.",
        ),
        ("--chain rollback 001_a", "migrollback has no option --chain", "stands after the command"),
        ("events -x", "events has no option -x", "events --help"),
        ("resolve 001_a --as aplied --reason x", "--as cannot be aplied", "Did you mean applied?"),
        ("list --format svg", "--format cannot be svg", "It takes table, json or tsv."),
        ("--format svg list", "--format svg is for deps and graph only", "Use table, json or tsv."),
        ("--format mermaid list", "--format mermaid is for graph only", "Use table, json or tsv."),
        ("check", "check needs NAME", "For example: migrollback check "),
        ("resolve 001_a", "resolve needs --as and --reason", "For example: migrollback resolve "),
        ("history --since", "--since needs a value", "--since WHEN: only from then on"),
        ("history --limit few", "--limit is 'few', which is no number", "--limit N: "),
        ("deps --dismiss 001_a", "--dismiss needs 2 values", "--dismiss"),
        ("install --production --not-production", "--not-production and --production exclude each other", "one of"),
        ("check 001_a 002_b", "check takes no more arguments, and 002_b is left over", "Quote what holds blanks."),
        ("history 001_a", "history takes no argument, and 001_a is left over", "history --help"),
        ("--schema public", "No command is given", "migrollback --help shows the commands."),
    ],
)
def test_what_is_mistyped_is_told_with_what_was_perhaps_meant(line: str, message: str, hint: str) -> None:
    status, out, err = ran(line)
    told, _, advice = err.partition("\n")
    assert (status, out, told) == (2, "", f"❌ {message}")
    assert hint in advice


@pytest.mark.parametrize(
    "line",
    [
        "rollback 001_a --reason '--chian is misspelt' --dry-run",  # a value that holds blanks
        "history --stat applied",  # a beginning that fits one option alone
        "graph -ofile.svg 001_a",
        "check -- --odd-name",
        "snapshot 001_a 'why --not'",
        "history --limit -1",  # a negative number is a value
    ],
)
def test_what_argparse_takes_is_not_called_unknown(line: str) -> None:
    assert get_parser().parse_args(shlex.split(line)).command == line.split(maxsplit=1)[0]


def test_what_the_magic_says_of_a_slip_names_the_magic() -> None:
    with pytest.raises(UsageError, match="history has no option --staus") as caught:
        magics.Magic()("history --staus applied")
    assert caught.value.hint == "Did you mean --status? %migrollback history --help shows what it takes."


def test_without_a_word_the_help_is_shown_and_nothing_was_done() -> None:
    status, out, err = ran("")
    assert (status, out, err) == (2, get_parser().format_help(), "")
    assert ran("--help")[:2] == (0, out)
    assert ran("--help check")[1] == out


def test_the_help_has_each_command_once_under_its_task() -> None:
    out = ran("--help")[1]
    for title, example in TASKS.values():
        assert f"\n{title}:\n" in out
        assert f"  Example: {example}\n" in out
    for name, command in COMMANDS.items():
        assert command.task in TASKS
        assert len(re.findall(rf"^  {name} ", out, re.MULTILINE)) == 1


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
@pytest.mark.parametrize("columns", [80, 120])
def test_the_help_of_a_command_fits_and_breaks_no_word(command, columns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    status, out, _ = ran(f"{command.name} --help")
    assert status == 0
    assert out.endswith(f"\nExample:\n  {command.example}\n")
    assert max(len(line) for line in out.splitlines()) <= columns
    words = set(out.split())
    for text in (argument.settings["help"] for argument in command.arguments):
        assert set(text.split()) <= words, "a word is broken"


def test_examples_parse() -> None:
    for line in [*(command.example for command in COMMANDS.values()), *(example for _, example in TASKS.values())]:
        words = shlex.split(line)
        assert words[0] == "migrollback"
        if words[1] != "lab":  # whose options are jupyter's
            ours, _ = split_off(words[1:], words[1])
            get_parser(words[1]).parse_args(ours)
