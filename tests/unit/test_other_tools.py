"""Files written for other tools: what undoes there must not run here with what it undoes."""

import pytest

import migrollback_nb as mr
from migrollback_nb import migration_file
from migrollback_nb.formats import MigrationFolder

#: Tool -> a file as its documentation shows it.
FILES = {
    "dbmate": "-- migrate:up\nCREATE TABLE t ();\n\n-- migrate:down transaction:false\nDROP TABLE t;\n",
    "goose": "-- +goose Up\n-- +goose StatementBegin\nCREATE TABLE t ();\n-- +goose StatementEnd\n\n-- +goose Down\nDROP TABLE t;\n",
    "sql-migrate": "-- +migrate Up\nCREATE TABLE t ();\n\n-- +migrate Down\nDROP TABLE t;\n",
    "tern": "create table t ();\n\n---- create above / drop below ----\n\ndrop table t;\n",
    "node-pg-migrate": "-- Up Migration\nCREATE TABLE t ();\n\n-- Down Migration\nDROP TABLE t;\n",
    "MyBatis Migrations": "-- // make t\nCREATE TABLE t ();\n\n-- //@UNDO\nDROP TABLE t;\n",
}


@pytest.mark.parametrize("tool", FILES)
def test_an_undo_part_is_not_run_with_what_it_undoes(tool):
    file = migration_file.parse(FILES[tool], name="001_t")
    mark = next(number for number, line in enumerate(FILES[tool].split("\n"), 1) if "own" in line or "UNDO" in line or "drop below" in line)
    assert file.up_refusal[0].startswith(f"001_t.sql:{mark}:1: the up part cannot run: ")
    assert tool in file.up_refusal[0]
    (remark,) = file.remarks
    assert remark.startswith(f"001_t.sql:{mark}: ")
    assert tool in remark


@pytest.mark.parametrize("tool", FILES)
def test_with_its_undo_part_inside_the_rollback_block_a_file_serves_both_tools(tool):
    head, mark, undo = FILES[tool].rpartition(next(line for line in FILES[tool].split("\n") if "own" in line or "UNDO" in line or "drop below" in line))
    file = migration_file.parse(f"{head}{mark}\n-- ROLLBACK START{undo}-- ROLLBACK END\n", name="001_t")
    assert file.up_refusal is None
    assert file.remarks == ()
    assert [text.lower() for text in file.rollback.statement_texts()] == ["drop table t"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '-- migrate:down'; SELECT 1;",
        "/* -- +goose Down */ SELECT 1;",
        "DO $$ BEGIN\n-- migrate:down\nPERFORM 1; END $$;",
        "-- Down migration is impossible here\nDROP TABLE t;",
        "CREATE TABLE t ();\n-- migrate:down\n-- nothing\n",
    ],
)
def test_what_only_looks_like_a_mark(text):
    file = migration_file.parse(text, name="001_t")
    assert file.up_refusal is None
    assert file.remarks == ()


@pytest.mark.parametrize("name", ["000001_users.down", "0001.users.rollback", "001_users.UNDO"])
def test_a_file_that_only_undoes_is_no_migration(tmp_path, name):
    (tmp_path / "000001_users.up.sql").write_text("CREATE TABLE users ();")
    (tmp_path / f"{name}.sql").write_text("DROP TABLE users;")
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["000001_users.up"]
    (error,) = contents.errors
    assert error.path.endswith(f"{name}.sql")
    assert "undoes another migration" in error.problem
    assert "-- ROLLBACK START" in error.hint
    with pytest.raises(mr.MigrationFileError):
        MigrationFolder(tmp_path).read(name)
