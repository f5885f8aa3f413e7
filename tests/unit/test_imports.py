"""Importing the package stays cheap, and no module of it imports the whole.
Which room imports which, lint-imports checks."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import migrollback_nb

ROOT = Path(migrollback_nb.__file__).parent

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
    if path != ROOT / "__init__.py"
}


def test_no_module_imports_the_package_itself():
    root = "migrollback_nb"  # its names are loaded on first use: from inside this would be a way around the floors
    rooms = {path.stem for path in ROOT.iterdir()}
    asked = {
        f"{module} imports {alias.name}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name == root for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == root)
        for alias in node.names
        if alias.name not in rooms
    }
    assert not asked


def test_only_two_modules_talk_to_postgresql():
    # composing SQL or a DSN is no talk: psycopg.sql and psycopg.conninfo need no server
    talking = {
        module
        for module, path in MODULES.items()
        if ".connect(" in (text := path.read_text(encoding="utf-8")) and "psycopg.connect(" in text
    }
    assert talking <= {"database.blockers", "database.connection", "servers.embedded", "cli.demo", "cli.demo.history"}


def imported_by(code):
    program = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        .stdout.split("\n")[-2]
        .split()
    )


def test_importing_the_package_brings_nothing_heavy():
    assert not imported_by("import migrollback_nb") & {
        "pandas",
        "numpy",
        "ipywidgets",
        "graphviz",
        "psycopg",
        "IPython",
        "postgast",
        "anywidget",
    }


def test_parsing_brings_no_database_and_no_display():
    assert not imported_by("import migrollback_nb as mr; mr.parse('SELECT 1', name='1_a').record()") & {
        "pandas",
        "ipywidgets",
        "graphviz",
        "psycopg",
        "IPython",
    }


def test_connecting_brings_no_display_and_no_parser():
    brought = imported_by(
        "import migrollback_nb as mr\ntry: mr.connect('host=/nonexistent')\nexcept mr.ConnectionFailed: pass"
    )
    assert "psycopg" in brought
    assert not brought & {"pandas", "ipywidgets", "graphviz", "IPython", "postgast"}


@pytest.mark.parametrize("name", sorted(migrollback_nb.__all__))
def test_every_public_name_is_there_and_says_what_it_is(name):
    assert getattr(migrollback_nb, name).__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = migrollback_nb.no_such_name


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_says_its_job_in_its_first_line(module):
    text = ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    if module == "sql":
        return  # a folder of .sql files
    assert text
    assert text.splitlines()[0].endswith((".", ":"))
