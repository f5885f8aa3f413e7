"""The table of commands is whole: each says what parser, reference and terminal need, and each result can be shown."""

import inspect
import json
import re

import pytest

from migrollback_nb import Migrations
from migrollback_nb.cli import magics, terminal
from migrollback_nb.cli.command import Call
from migrollback_nb.cli.commands import COMMANDS, describe_commands, get_parser
from migrollback_nb.core import results


def test_the_description_is_plain_data():
    assert json.loads(json.dumps(describe_commands()))["commands"][0]["name"] == "list"


@pytest.mark.parametrize("command", describe_commands()["commands"], ids=lambda command: command["name"])
def test_the_description_says_what_the_parser_takes(command):
    assert command["help"]
    assert all(argument["help"] for argument in command["arguments"])
    parsers = next(action for action in get_parser(command["name"])._actions if action.dest == "command")
    taken = {tuple(action.option_strings) or (action.dest,) for action in parsers.choices[command["name"]]._actions} - {
        ("-h", "--help")
    }
    common = describe_commands()["common"] if command["common_options"] else []
    assert taken == {tuple(argument["names"]) for argument in (*command["arguments"], *common)}


def test_a_required_and_a_repeatable_argument_are_said_to_be():
    of = {
        command["name"]: {argument["names"][0]: argument for argument in command["arguments"]}
        for command in describe_commands()["commands"]
    }
    assert (of["check"]["name"]["required"], of["rollback"]["names"]["required"]) == (True, False)
    assert (of["resolve"]["--as"]["required"], of["resolve"]["--as"]["choices"]) == (True, ("applied", "rolled_back"))
    assert (of["verify"]["names"]["repeatable"], of["verify"]["--prelude"]["repeatable"]) == (True, True)
    assert (of["deps"]["--depth"]["default"], of["rollback"]["--dry-run"]["default"]) == (2, None)
    assert (of["diff"]["new"]["takes_migrations"], of["diff"]["new"]["default"]) == (True, "now")


def test_whatever_the_facade_returns_can_be_shown():
    returned = {
        name
        for _, method in inspect.getmembers(Migrations, inspect.isfunction)
        for name in re.findall(r"\w+", str(inspect.signature(method).return_annotation))
        if name in results.__all__
    }
    assert {"CheckResult", "Preview", "ChainResult", "NothingToRollBack", "SchemaDiff", "Proof"} <= returned
    # Target, ClosedSelection and LostRows stand in other results; of the last one `last` prints the name alone
    assert returned - {"Target", "ClosedSelection", "LostRows", "LastApplied"} <= set(terminal._SHOWN)
    assert set(terminal._SHOWN) - {"Listing"} <= set(results.__all__)


def test_tab_offers_what_the_table_has():
    event = type("Event", (), {"line": "%migrollback "})()
    offered = magics.Magic().complete(None, event)
    assert {name for name, command in COMMANDS.items() if not command.by_itself} <= set(offered)
    assert not {"demo", "lab"} & set(offered)
    event.line = "%migrollback rollback x "
    assert {*COMMANDS["rollback"].options, "--dsn", "--help"} <= set(magics.Magic().complete(None, event))


def test_a_call_connects_once_and_only_when_the_database_is_asked_for():
    opened = []

    def connect(args):
        opened.append(args)
        return object()

    call = Call(args=get_parser().parse_args(["check", "001_a"]), connect=connect)
    assert not opened
    assert call.db is call.db
    assert opened == [call.args]


def test_the_command_of_another_program_stands_after_two_dashes():
    args = magics._parse("capture --each 1_a --empty -- npx knex migrate:up --env x")
    assert (args.name, args.each, args.passed_on) == ("1_a", True, ["npx", "knex", "migrate:up", "--env", "x"])
    assert magics._parse("check 1_a").passed_on == []
