"""What the table of commands names, and loads later, is there."""

from functools import partial
from importlib import import_module

import pytest

from migrollback_nb.cli.commands import COMMANDS
from migrollback_nb.cli.loading import MEANWHILE


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_what_a_command_does_is_there(command):
    for named in (command.run, command.show, command.status):
        if isinstance(named, partial):
            module, function = named.args
            assert callable(getattr(import_module(f"migrollback_nb.cli.{module}"), function))


@pytest.mark.parametrize("command", MEANWHILE)
def test_what_is_loaded_meanwhile_is_there(command):
    assert command in COMMANDS
    for module in MEANWHILE[command]:
        import_module(f"migrollback_nb.{module}")
