"""Runs the command line: ``python -m migrollback_nb.cli``."""

from __future__ import annotations

from migrollback_nb.cli import main

main()
