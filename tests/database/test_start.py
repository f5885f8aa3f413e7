"""What a process loads for one command: each module that it does not need is time before the answer."""

from __future__ import annotations

import subprocess
import sys

#: Half of what a rollback's process took went into these, for a text that no one read.
HEAVY = {"postgast", "google.protobuf", "pandas", "numpy", "difflib", "html.entities", "migrollback_nb.undo"}


def loaded(*words: str) -> set[str]:
    """The modules that a command line has loaded at its end."""
    program = (
        "import sys\nfrom migrollback_nb.cli import run\n"
        "status = run(sys.argv[1:])\nprint(*sorted(sys.modules), sep='\\n', file=sys.stderr)\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


def test_check_list_and_a_verified_rollback_load_no_parser(database_dsn, folder, applied):
    name = applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")
    common = ("--dsn", database_dsn, "--dir", str(folder))
    assert not loaded(*common, "check", name) & HEAVY
    assert not loaded(*common, "list") & HEAVY
    assert not loaded(*common, "rollback", name, "--confirm", name) & HEAVY
