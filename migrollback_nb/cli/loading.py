"""Loads the modules of a command when they are needed, those of its answer while the server is at work. Pure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

#: Command -> modules that its answer takes and its first question does not, in the order in which they are needed: of
#: the commands that people wait for.
MEANWHILE = {
    "check": ("operations.preview", "core.results.check", "cli.terminal"),
    "list": ("cli.listings", "history.frames", "cli.tables", "cli.terminal"),
    "rollback": (
        "operations.rollback",
        "cli.confirmation",
        "cli.terminal",
        "core.results.check",
        "core.results.foreseen",
        "operations.rollback_of_range",
        "operations.each",
    ),
}


def later(module: str, function: str) -> Callable[..., Any]:
    """What a command does, whose module is loaded when it runs: loading those of all takes as long as asking."""
    return partial(_call, module, function)


def _call(module: str, function: str, *arguments: Any) -> Any:
    return getattr(import_module(f"migrollback_nb.cli.{module}"), function)(*arguments)


def load_meanwhile(command: str) -> None:
    """Begin to load what the answer of a command takes; returns at once."""
    if modules := MEANWHILE.get(command):
        import_module("migrollback_nb.database")  # what connects goes first
        threading.Thread(target=_load, args=(modules,), name="migrollback-load").start()


def _load(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(f"migrollback_nb.{module}")
