"""Finding PostgreSQL's programs and running them."""

import sys
from pathlib import Path

import pytest

import migrollback_nb as mr
from migrollback_nb.servers import embedded, programs


def test_a_client_alone_is_no_server(tmp_path):
    (tmp_path / "psql").touch()
    assert programs.programs_in(tmp_path) is None
    assert programs.programs_in(embedded.bin_folder()).major >= 18


def test_programs_of_another_installation_are_not_copied(tmp_path):
    (tmp_path / "bin").mkdir()
    with pytest.raises(mr.UsageError, match="another user may not run the programs in"):
        programs.copy_of_wheel(tmp_path / "bin", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_program_that_fails_says_what_it_printed(tmp_path):
    with pytest.raises(programs.ProgramFailed, match="no such data"):
        programs.run(
            [sys.executable, "-c", "import sys; sys.exit('no such data')"], folder=tmp_path, account={}, timeout=30
        )


def test_a_program_that_does_not_end_is_given_up(tmp_path):
    with pytest.raises(programs.ProgramFailed, match=r"did not end within 0\.1 seconds"):
        programs.run([sys.executable, "-c", "import time; time.sleep(60)"], folder=tmp_path, account={}, timeout=0.1)


def test_libpqs_variables_are_left_out_but_for_those_that_are_kept(monkeypatch):
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGPASSFILE", "/p")
    found = programs.environment(keep=("PGPASSFILE",), PGSERVICEFILE="/s")
    assert "PGPORT" not in found
    assert (found["PGPASSFILE"], found["PGSERVICEFILE"]) == ("/p", "/s")


@pytest.mark.parametrize("root", [True, False])
def test_xdg_data_home_decides_where_the_embedded_server_lives_as_root_too(monkeypatch, tmp_path, root):
    monkeypatch.setattr(programs, "is_root", lambda: root)
    monkeypatch.delenv(embedded.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert embedded.base_folder() == tmp_path / "migrollback_nb"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert (embedded.base_folder() == embedded.ROOT_FOLDER) is root
    monkeypatch.setenv(embedded.FOLDER_VARIABLE, str(tmp_path / "own"))
    assert embedded.base_folder() == Path(tmp_path / "own")
