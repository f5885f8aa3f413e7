"""The words of the terminal and of ``%migrollback``: `run` for one command line, `main` for the process."""

from __future__ import annotations

from migrollback_nb.cli.app import main, run

__all__ = ["main", "run"]
