"""Hooks, which switch maintenance mode and notify people: a Python callable or a shell command. Runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: A callable takes one mapping: event, migration, ticket, host, port, database, user. What it returns is kept as text.
Hook = Callable[[Mapping[str, str]], object] | str

#: Variables with shell commands, used where no hook is given.
MAINTENANCE_VARIABLE = "MIGROLLBACK_MAINTENANCE_HOOK"
NOTIFICATION_VARIABLE = "MIGROLLBACK_NOTIFICATION_HOOK"

#: How much of what a hook says is kept, in characters.
_KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HookResult:
    """How a hook went."""

    hook: str  #: what was run, in words. Not the command itself: it may hold a token
    event: str  #: what it was run for: maintenance_on, notified ...
    success: bool  #: whether it said so
    exit_status: int | None  #: of a shell command
    output: str  #: the end of what it said, or what the callable returned
    seconds: float  #: how long it took

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON and for the audit log."""
        return asdict(self)

    def __str__(self) -> str:
        how = "succeeded" if self.success else "failed"
        status = f", exit status {self.exit_status}" if self.exit_status else ""
        return f"{self.hook} {how} after {self.seconds:.1f} s{status}{f': {self.output}' if self.output else ''}"


def configured(given: Hook | None, variable: str) -> tuple[Hook | None, str]:
    """The hook that is to be run, and what it is in words; does not run it."""
    if given is None and os.environ.get(variable):
        return os.environ[variable], f"the shell command in {variable}"
    if given is None:
        return None, ""
    if isinstance(given, str):
        return given, "the shell command that was given"
    return given, f"the function {getattr(given, '__name__', type(given).__name__)}"


def run_hook(hook: Hook, words: str, facts: Mapping[str, str], *, timeout: float = 60) -> HookResult:
    """Run a hook. Writes whatever the hook writes; its failure is an answer, no error.

    Parameters
    ----------
    hook : callable or str
        A callable gets `facts`; a shell command gets them as MIGROLLBACK_EVENT, MIGROLLBACK_MIGRATION ... in its
        environment, never in its text.
    words : str
        What it is, in words.
    facts : mapping
        What is known: event, migration, ticket, host, port, database, user.
    timeout : float
        Longest run of a shell command, in seconds.
    """
    began = time.monotonic()
    status: int | None = None
    if callable(hook):
        try:
            answer = hook(dict(facts))
        except Exception as error:  # noqa: BLE001  # the user's code: how it ended is what is asked
            success, output = False, f"{type(error).__name__}: {error}"
        else:
            success, output = answer is not False, "" if answer is None or answer is True else str(answer)
    else:
        variables = {f"MIGROLLBACK_{name.upper()}": value.replace("\x00", "") for name, value in facts.items()}
        # the user's own command, as a shell reads it: that is what a hook is. In a group of its own, so that its
        # children can be stopped with it
        process = subprocess.Popen(  # noqa: S602  # a shell is what the user's command is written for
            hook,
            shell=True,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            success, output = False, f"it had not ended after {timeout:g} s and was stopped"
        else:
            status = process.returncode
            success, output = status == 0, said.decode(errors="replace").strip()
    return HookResult(
        hook=words,
        event=facts.get("event", ""),
        success=success,
        exit_status=status,
        output=output[-_KEPT:],
        seconds=round(time.monotonic() - began, 3),
    )
