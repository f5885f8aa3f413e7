"""The specification's workflows, troubleshooting entries, batch script and CI job, with `migrollback` for the old
script."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import migrollback_nb as mr

pytestmark = pytest.mark.versions

BATCH = """\
#!/bin/bash
MIGRATIONS=(
    "20250122_feature_c"
    "20250121_feature_b"
    "20250120_feature_a"
)

for migration in "${MIGRATIONS[@]}"; do
    echo "Rolling back $migration..."
    migrollback rollback "$migration"
    if [ $? -ne 0 ]; then
        echo "Rollback failed at $migration"
        exit 1
    fi
done
"""


@pytest.fixture
def environment(database_dsn: str, folder: Path) -> dict[str, str]:
    """A shell's environment in which `migrollback` is this package's and finds this test's database and folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "MIGROLLBACK_DSN": database_dsn,
        "MIGROLLBACK_DIR": str(folder),
        "PYTHONUTF8": "1",
    }


@pytest.fixture
def shell(environment: dict[str, str]) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a line of shell as a script would: no terminal."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def on_terminal(command: list[str], environment: dict[str, str], answer: str) -> tuple[int, str]:
    """Run a command on a pseudo-terminal and answer its questions. Returns (exit status, what it printed)."""
    pid, terminal = pty.fork()
    if pid == 0:  # the child: nothing of pytest may run here
        os.execvpe(command[0], command, environment)
    printed = b""
    answered = 0
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        printed += read
        while printed.count(b"(yes/no): ") > answered:
            answered += 1
            os.write(terminal, answer.encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), printed.decode()


@pytest.fixture
def features(db: mr.Migrations, write_migration: Callable[[str, str], Path]) -> mr.Migrations:
    """Three migrations, each depending on the one before."""
    before = ""
    for name in ("20250120_feature_a", "20250121_feature_b", "20250122_feature_c"):
        write_migration(
            name,
            f"{before}CREATE TABLE t_{name} ();\n-- ROLLBACK START\nDROP TABLE IF EXISTS t_{name};\n-- ROLLBACK END\n",
        )
        before = f"-- Depends on: {name}.sql\n"
    db.apply()
    return db


def test_workflow_1_new_migration(
    shell: Callable, db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    write_migration(
        "20250120_add_user_preferences",
        "-- UP migration\nCREATE TABLE public.user_preferences (id uuid PRIMARY KEY);\n\n"
        "-- ROLLBACK START\nDROP TABLE IF EXISTS public.user_preferences CASCADE;\n-- ROLLBACK END\n",
    )
    db.database.connection.execute(
        "CREATE TABLE public.user_preferences (id uuid PRIMARY KEY)"
    )  # what the deploy tool does
    ran = shell("migrollback register 20250120_add_user_preferences")
    assert ran.returncode == 0, ran.stderr
    assert "Rollback SQL: ✅ Available" in ran.stdout


@pytest.mark.each_server
def test_workflow_2_roll_back_recent(shell: Callable, features: mr.Migrations, environment: dict[str, str]) -> None:
    assert "20250122_feature_c" in shell("migrollback list").stdout
    assert "✅ Can rollback" in shell("migrollback check 20250122_feature_c").stdout
    assert "DROP TABLE IF EXISTS" in shell("migrollback rollback 20250122_feature_c --dry-run").stdout
    status, printed = on_terminal(["migrollback", "rollback", "20250122_feature_c"], environment, "yes")
    assert status == 0, printed
    assert "Migration rolled back successfully" in printed


@pytest.mark.long
def test_workflow_3_add_rollback_to_existing(
    shell: Callable, db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    name = "20251019232120_ai_routing_metadata"
    write_migration(name, "CREATE TABLE ai_routing_metadata ();\n")
    db.apply()
    assert shell(f"migrollback check {name}").returncode == 3
    assert "-- ROLLBACK START" in shell(f"migrollback template {name}").stdout
    write_migration(
        name,
        "CREATE TABLE ai_routing_metadata ();\n\n-- ROLLBACK START\nDROP TABLE IF EXISTS ai_routing_metadata"
        " CASCADE;\n-- ROLLBACK END\n",
    )
    assert shell(f"migrollback register {name}").returncode == 0
    assert shell(f"migrollback check {name}").returncode == 0


@pytest.mark.long
def test_workflow_4_chain(shell: Callable, features: mr.Migrations) -> None:
    assert "  - 20250121_feature_b\n  - 20250122_feature_c\n" in shell("migrollback check 20250120_feature_a").stdout
    for name in ("20250122_feature_c", "20250121_feature_b", "20250120_feature_a"):
        assert shell(f"migrollback rollback {name} --confirm {name}").returncode == 0
    assert set(features.history(status="rolled_back").migration_name) == {
        "20250120_feature_a",
        "20250121_feature_b",
        "20250122_feature_c",
    }


@pytest.mark.long
def test_batch_script_on_a_terminal(features: mr.Migrations, environment: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "rollback-batch.sh"
    script.write_text(BATCH, encoding="utf-8")
    status, printed = on_terminal(["bash", str(script)], environment, "yes")
    assert status == 0, printed
    assert len(features.history(status="rolled_back")) == 3


def test_batch_script_stops_at_the_first_refusal(
    features: mr.Migrations, environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "rollback-batch.sh"
    script.write_text(BATCH, encoding="utf-8")
    status, printed = on_terminal(["bash", str(script)], environment, "no")
    assert status == 1
    assert "Rollback failed at 20250122_feature_c" in printed
    assert "feature_b..." not in printed


def test_ci_job(shell: Callable, features: mr.Migrations, environment: dict[str, str], tmp_path: Path) -> None:
    """The steps of "Automated Rollback on Deploy Failure", the deployment failing."""
    output = tmp_path / "github_output"
    ran = shell(f'migrollback sync >/dev/null && echo "last_migration=$(migrollback last)" >> {output}')
    assert ran.returncode == 0, ran.stderr
    last = output.read_text(encoding="utf-8").strip().split("=", 1)[1]
    assert last == "20250122_feature_c"
    ran = shell(f"MIGROLLBACK_CONFIRM={last} migrollback rollback {last}")
    assert ran.returncode == 0, ran.stderr
    assert features.history(status="rolled_back").migration_name.tolist() == [last]


@pytest.mark.long
def test_reapply_to_verify(shell: Callable, features: mr.Migrations) -> None:
    name = "20250122_feature_c"
    assert shell(f"migrollback rollback {name} --confirm {name}").returncode == 0
    assert "1 applied" in shell(f"migrollback apply {name}").stdout
    assert shell(f"migrollback check {name}").returncode == 0


def test_troubleshooting_failed_status_is_updated_by_hand(
    shell: Callable, db: mr.Migrations, write_migration: Callable[[str, str], Path]
) -> None:
    """The specification's way out of `failed`: an UPDATE in psql. It works, and leaves an event."""
    name = "20250120_failed_migration"
    write_migration(name, "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE nix;\n-- ROLLBACK END\n")
    db.apply()
    assert shell(f"migrollback rollback {name} --confirm {name}").returncode == 1
    assert db.history(status="failed").migration_name.tolist() == [name]
    db.database.connection.execute(
        "UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = %s", (name,)
    )
    assert shell(f"migrollback check {name}").returncode == 3
    assert db.events(name).event.tolist()[-1] == "history_changed"
