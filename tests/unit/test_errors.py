"""SQLSTATE -> class, facts as attributes, and what to do next."""

import inspect
import re

import pytest

from migrollback_nb.core import errors
from migrollback_nb.database import progress
from migrollback_nb.database.system_files import system_text


@pytest.mark.parametrize("sqlstate", sorted(errors.FOR_SQLSTATE))
def test_each_sqlstate_has_its_class(sqlstate):
    made = errors.from_sqlstate(sqlstate, "what happened", detail='["1_a", "2_b"]', hint="do this")
    assert type(made) is errors.FOR_SQLSTATE[sqlstate]
    assert str(made)


@pytest.mark.parametrize("sqlstate", ["23505", "XX000", "MR010", "MR999", None])
def test_any_other_is_a_database_error_that_keeps_it(sqlstate):
    made = errors.from_sqlstate(sqlstate, "what happened", detail="D", hint="H")
    assert type(made) is errors.DatabaseError
    assert (made.sqlstate, made.detail, made.hint) == (sqlstate, "D", "H")
    assert "what happened" in str(made)
    assert sqlstate is None or sqlstate in str(made)


def test_a_refusal_carries_the_dependents():
    made = errors.from_sqlstate("MR002", "no", detail='["1_a", "2_b"]')
    assert made.dependents == ("1_a", "2_b")
    assert "Roll back first: 1_a, 2_b; or all in one transaction, with --chain" in str(made)


def test_a_missing_migration_carries_its_name():
    assert errors.from_sqlstate("MR001", "Migration not found", detail="1_a").name == "1_a"


@pytest.mark.parametrize("sqlstate", ["MR003", "MR004", "MR005"])
def test_a_dependency_error_carries_its_names(sqlstate):
    assert errors.from_sqlstate(sqlstate, "no", detail='["1_a", "2_b, or c"]').names == ("1_a", "2_b, or c")


def test_a_detail_of_postgresql_itself_is_not_read_for_meaning():
    made = errors.from_sqlstate("23505", "no", detail='["looks", "like", "names"]')
    assert made.detail == '["looks", "like", "names"]'


def test_a_lock_keeps_its_sqlstate():
    assert errors.from_sqlstate("55P03", "busy").sqlstate == "55P03"


def test_the_sql_raises_no_code_that_no_one_knows():
    text = system_text()
    raised = set(re.findall(r"ERRCODE = '(MR\d\d\d)'", text))
    assert raised
    inside = {"MR099", "MR010", "MR020", "MR021", "MR022", "MR023", "MR025"}  # an undo, and what comes back in a result
    assert raised - inside - {progress.PROGRESS} <= set(errors.FOR_SQLSTATE)


def test_the_sql_handles_no_code_that_stands_for_a_whole_class():
    # PL/pgSQL takes a condition that ends in 000 for every code of its class: what was meant for one of ours swallowed
    # all of them
    text = system_text()
    handled = set(re.findall(r"SQLSTATE '(\w{5})'", text))
    assert handled
    assert {code for code in handled if code.endswith("000")} == set()


CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_one_base_an_exit_code_and_its_place_in_the_tree(kind):
    assert issubclass(kind, errors.MigrollbackError)
    assert kind.exit_code in (1, 2, 3)
    assert kind.__name__ in (errors.__doc__ or "") or kind.__name__ == "SqlFailed"  # the common part of two of them


def test_refusals_and_failures_are_told_apart_by_exit_code():
    assert errors.Refused("no").exit_code == 3
    assert errors.UsageError("no").exit_code == 2
    assert errors.DatabaseError("no").exit_code == 1


def test_a_file_error_names_file_line_and_column():
    made = errors.MigrationFileError("a/001_x.sql", "is off", line=3, column=7, hint="mend it")
    assert str(made) == "a/001_x.sql:3:7: is off\nmend it"
    assert str(errors.MigrationFileError("a/001_x.sql", "is off", hint="mend it")).startswith("a/001_x.sql: is off")


def test_a_failure_shows_its_statement():
    made = errors.RollbackFailed(
        "no", migration_name="1_a", sqlstate="42P01", statement_number=2, statement="DROP TABLE t", hint="do this"
    )
    assert made.migration_name == "1_a"
    assert "statement 2 of 1_a: DROP TABLE t" in str(made)
    assert str(made).endswith("do this")


def test_a_notebook_shows_the_message_without_a_traceback():
    assert errors.UsageError("off", hint="mend")._render_traceback_() == ["UsageError: off\nmend"]


@pytest.mark.parametrize(
    ("sqlstate", "word"), [("42501", "have the owner grant it"), ("25006", "connect to the primary server")]
)
def test_a_right_or_a_server_that_is_missing_has_a_hint(sqlstate, word):
    assert word in str(errors.from_sqlstate(sqlstate, "no"))
    assert str(errors.from_sqlstate(sqlstate, "no", hint="the server's own")).endswith("the server's own")


def test_a_refusal_of_another_migration_begins_with_its_name():
    of_another = errors.Refused("No rollback SQL", migration_name="2_b", asked="1_a")
    assert (of_another.message, of_another.reason) == ("2_b: No rollback SQL", "No rollback SQL")
    assert errors.Refused("No rollback SQL", migration_name="1_a", asked="1_a").message == "No rollback SQL"


def test_a_cell_shows_what_happened_and_what_leads_on():
    shown = errors.Refused("<b>no</b>", hint="do\nthis")._repr_html_()
    assert "❌ &lt;b&gt;no&lt;/b&gt;" in shown
    assert "do\nthis" in shown
    assert "<div" not in errors.Refused("no")._repr_html_().split("</div>", 1)[1]
