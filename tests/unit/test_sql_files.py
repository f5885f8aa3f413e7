"""The SQL files of the package: how they are laid out, and lines, functions and files that one can keep in mind."""

import re
from pathlib import Path

import pytest

import migrollback_nb
from migrollback_nb.database import system_files

PACKAGE = Path(migrollback_nb.__file__).parent
SQL = PACKAGE / "database" / "sql"
FILES = sorted(PACKAGE.rglob("*.sql"))
#: From its head to its end; a body ends as it begins.
FUNCTION = re.compile(
    r"((?:^--[^\n]*\n)*)^CREATE OR REPLACE FUNCTION migrollback_schema\.(\w+)\(.*?\$function\$.*?\$function\$;",
    re.MULTILINE | re.DOTALL,
)
REASON = "-- Over 120 lines: "


def functions(path):
    """(Comment before it, name, how many lines) of the functions of a file."""
    for found in FUNCTION.finditer(path.read_text(encoding="utf-8")):
        yield found[1], found[2], found[0].removeprefix(found[1]).count("\n") + 1


def test_the_files_are_found():
    assert len(FILES) > 40
    assert len([one for path in FILES for one in functions(path)]) > 110


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_fits(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    assert [(number, line) for number, line in enumerate(lines, 1) if len(line) > 120] == []
    assert len(lines) <= 550
    assert not [number for number, line in enumerate(lines, 1) if line != line.rstrip()]


def test_few_files_are_long():
    long = [path.name for path in SQL.rglob("*.sql") if path.read_text(encoding="utf-8").count("\n") > 400]
    assert len(long) <= 4, long


def test_a_long_function_says_why():
    silent = [name for path in FILES for before, name, lines in functions(path) if lines > 120 and REASON not in before]
    assert silent == []
    needless = [name for path in FILES for before, name, lines in functions(path) if lines <= 120 and REASON in before]
    assert needless == []


def test_table_files_are_numbered_and_say_their_version():
    names = [file.path.removeprefix("tables/") for file in system_files.table_files()]
    assert [name[:4] for name in names] == sorted({name[:4] for name in names})
    for file in system_files.table_files():
        assert re.match(r"-- Version \d+\.\d+\.\d+: ", file.text), file.path
    assert [file.path for file in system_files.table_files() if file.since == "0.1.0"] == ["tables/0001_history.sql"]


def test_what_runs_again_can_run_again():
    for file in system_files.repeated_files():
        created = set(re.findall(r"^(CREATE \w+ \w+|CREATE \w+)", file.text, re.MULTILINE))
        assert created <= {"CREATE OR REPLACE"}, file.path


def test_no_file_holds_the_quotes_that_it_is_put_between():
    for file in (*system_files.table_files(), *system_files.drop_files(), *system_files.repeated_files()):
        assert "$file$" not in file.text
        assert "$install$" not in file.text


def test_what_a_version_drops_is_not_there_any_more():
    present = {identity.replace(", ", ",") for identity in migrollback_nb.database.signatures.identities()}
    for file in system_files.drop_files():
        for name, arguments in re.findall(r"DROP FUNCTION IF EXISTS migrollback_schema\.(\w+)\(([^)]*)\)", file.text):
            assert (
                f"{name}({','.join(part.strip() for part in arguments.split(','))})" not in present
                # made anew with other result columns, or another name of an argument
                or name.startswith(("execute_", "verify_"))
                or name == "migration_deploys"
            )
