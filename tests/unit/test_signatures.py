"""Calls of our functions write out all arguments:
one that is left out, or whose type is left open, may be answered by a planted function of the same name."""

import re

import pytest

from migrollback_nb.database.signatures import _parts, identities, qualified_type, signatures
from migrollback_nb.database.system_files import install_template, system_text

TEXT = system_text() + install_template()
CALL = re.compile(r"(?<!FUNCTION )(?<!EXISTS )migrollback_schema\.(\w+)\(")


def calls():
    """(Line, function, arguments as written) of every call of one of our functions by another."""
    for call in CALL.finditer(TEXT):
        if call[1] in signatures():
            yield TEXT[: call.start()].count("\n") + 1, call[1], list(_parts(TEXT, call.end()))


def test_internal_calls_write_out_all_arguments():
    written = list(calls())
    assert len(written) > 200
    assert [
        (line, name, arguments) for line, name, arguments in written if len(arguments) != len(signatures()[name])
    ] == []


def test_internal_calls_leave_no_type_open():
    open_types = []
    for line, name, arguments in calls():
        for argument, given in zip(signatures()[name], arguments, strict=True):
            bare = given.rpartition(" => ")[2]
            # text is what PostgreSQL takes a bare literal for, whatever else there is
            if bare == "NULL" or (bare.startswith("'") and bare.endswith("'") and argument.type != "pg_catalog.text"):
                open_types.append((line, name, given))
    assert open_types == []


def test_signatures_are_read_as_they_stand():
    found = {argument.name: (argument.type, argument.default) for argument in signatures()["apply_migration"]}
    assert list(found)[:3] == ["name", "version", "statements"]
    assert found["depends_on"] == ("pg_catalog.text[]", "'{{}}'")
    assert found["search_path"] == ("pg_catalog.text", "{schema}.effective_search_path()")
    assert found["session_path"] == ("pg_catalog.text", "pg_catalog.current_setting('search_path')")
    assert signatures()["list_rollbackable_migrations"] == ()
    assert signatures()["mark_migration_objects"] == ()  # what it gives back is no argument
    assert "journal_migration_statement(text, uuid, integer, double precision, text, text, integer)" in identities()


@pytest.mark.parametrize(
    ("spelled", "qualified"),
    [
        ("int", "pg_catalog.int4"),
        ("int[]", "pg_catalog.int4[]"),
        ("double precision", "pg_catalog.float8"),
        ("text", "pg_catalog.text"),
    ],
)
def test_types_are_qualified(spelled, qualified):
    assert qualified_type(spelled) == qualified
