"""The tests of one database once more beside a scope: then each table of the system is a view for the session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
#: Of what they try nothing names the system's tables themselves.
FILES = (
    "archives", "archive_commands", "assessment", "attempts", "chain", "confirmation", "converge", "deploys",
    "dump_and_restore", "effects", "fingerprint", "gate", "inferred_dependencies", "left_behind", "lost_rows",
    "ownership", "preview", "production", "ranges", "recorded_proofs", "rehearsal", "rights_after_rollback",
    "selected_rollbacks", "side_effects", "snapshots", "specified_functions", "system_rollback", "verify_rollback",
)  # fmt: skip


@pytest.mark.long
def test_what_holds_for_one_database_holds_beside_a_scope():
    files = [str(TESTS / "database" / f"test_{name}.py") for name in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, env=os.environ | {"SCOPES": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
