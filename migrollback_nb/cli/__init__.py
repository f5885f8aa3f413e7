"""The words of the terminal and of ``%migrollback``: `run` for one command line, `main` for the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

__all__ = ["main", "run"]


def run(argv: Sequence[str], out: TextIO | None = None, err: TextIO | None = None, stdin: TextIO | None = None) -> int:
    """Run one command line, as `migrollback_nb.cli.app.run`. Writes what the command writes."""
    from migrollback_nb.cli import app

    return app.run(argv, out, err, stdin)


def main() -> None:
    """Run the process's command line and exit; the console script. Writes what the command writes."""
    import gc

    # Loading what a command needs makes a hundred thousand objects and no garbage: looking for it takes ten
    # milliseconds. What runs for long meets it all the same.
    gc.set_threshold(100_000, 10, 10)
    from migrollback_nb.cli import app

    app.main()
