"""The suggested rollback block."""

import pytest

from migrollback_nb import parse
from migrollback_nb.replay.template import rollback_text

BLANK = parse("CREATE TABLE t ();", name="001_t")

SPECIFIED = """\
-- ROLLBACK START

-- TODO: Add SQL to undo this migration
-- Common patterns:

-- DROP TABLE IF EXISTS table_name CASCADE;
-- ALTER TABLE table_name DROP COLUMN IF EXISTS column_name;
-- DROP INDEX IF EXISTS index_name;
-- DROP FUNCTION IF EXISTS function_name;

-- ROLLBACK END"""


def test_the_specified_words():
    assert rollback_text(BLANK) == SPECIFIED


@pytest.mark.parametrize("commented", [False, True])
def test_an_unfilled_template_is_no_rollback(commented):
    file = BLANK.with_rollback(rollback_text(BLANK, commented=commented))
    file.validate()
    assert file.rollback is None
    assert file.up_statements() == ("CREATE TABLE t ()",)


def test_the_commented_form_can_be_filled_in():
    text = rollback_text(BLANK, commented=True)
    filled = text.replace("-- -- DROP TABLE IF EXISTS table_name CASCADE;", "-- DROP TABLE IF EXISTS t CASCADE;")
    assert filled != text
    file = parse(f"CREATE TABLE t ();\n{filled}\n", name="001_t")
    assert file.rollback.statement_texts() == ("DROP TABLE IF EXISTS t CASCADE",)
    assert not file.rollback.live
    # what a tool that runs the whole file would run besides the up migration: nothing
    from migrollback_nb.parsing.statements import SqlText

    assert [statement.text for statement in SqlText(file.text).statements] == ["CREATE TABLE t ()"]
