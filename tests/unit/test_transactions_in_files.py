"""Up files that end their transaction and begin another: what to do is named for every tool, and it works."""

import pytest

from migrollback_nb.files.formats import MigrationFolder

UP = "CREATE TABLE a (id int);\n{0}CREATE INDEX CONCURRENTLY i ON a (id);\n{1}CREATE TABLE b ();"
DOWN = "DROP TABLE b;\nDROP TABLE a;"
SQITCH = "%syntax-version=1.0.0\n%project=x\n\na 2025-01-01T00:00:00Z A <a@b.c> # a\n"
DRIZZLE = (
    '{"version": "7", "dialect": "postgresql", "entries": [{"idx": 0, "version": "7", "when": 1, "tag": "0000_a"}]}'
)
#: Tool -> its files: {up} and {down} stand for the SQL, {top} for where a header of ours goes.
LAYOUTS = {
    None: {"001_a.sql": "{top}{up}\n-- ROLLBACK START\n{down}\n-- ROLLBACK END\n"},
    "dbmate": {"001_a.sql": "{top}-- migrate:up\n{up}\n-- migrate:down\n{down}\n"},
    "goose": {"001_a.sql": "{top}-- +goose Up\n{up}\n-- +goose Down\n{down}\n"},
    "sql-migrate": {"001_a.sql": "{top}-- +migrate Up\n{up}\n-- +migrate Down\n{down}\n"},
    "golang-migrate": {"001_a.up.sql": "{top}{up}", "001_a.down.sql": "{down}"},
    "Flyway": {"V1__a.sql": "{top}{up}", "U1__a.sql": "{down}"},
    "Sqitch": {"sqitch.plan": SQITCH, "deploy/a.sql": "{top}{up}", "revert/a.sql": "{down}"},
    "Prisma": {
        "migration_lock.toml": 'provider = "postgresql"\n',
        "20250101000000_a/migration.sql": "{top}{up}",
        "20250101000000_a/down.sql": "{down}",
    },
    "tern": {"001_a.sql": "{top}{up}\n---- create above / drop below ----\n{down}\n"},
    "node-pg-migrate": {"1_a.sql": "{top}-- Up Migration\n{up}\n-- Down Migration\n{down}\n"},
    "MyBatis Migrations": {"20250101000000_a.sql": "{top}-- // a\n{up}\n-- //@UNDO\n{down}\n"},
    "Play": {"1.sql": "{top}# --- !Ups\n{up}\n# --- !Downs\n{down}\n"},
    "rambler": {"001_a.sql": "{top}-- rambler up\n{up}\n-- rambler down\n{down}\n"},
    "diesel": {"2025-01-01-000000_a/up.sql": "{top}{up}", "2025-01-01-000000_a/down.sql": "{down}"},
    "yoyo": {"001_a.sql": "{top}{up}", "001_a.rollback.sql": "{down}"},
    "Hasura": {"1500000000000_a/up.sql": "{top}{up}", "1500000000000_a/down.sql": "{down}"},
    "drizzle": {"meta/_journal.json": DRIZZLE, "0000_a.sql": "{top}{up}", "0000_a.rollback.sql": "{down}"},
    "Liquibase": {"001_a.sql": "--liquibase formatted sql\n--changeset a:1{top}\n{up}\n--rollback DROP TABLE b;\n"},
}


def read(folder, layout, *, top, up):
    for name, text in layout.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {"top": top, "up": up, "down": DOWN}
        path.write_text(text if name == "meta/_journal.json" else text.format(**values))
    contents = MigrationFolder(folder).read_all()
    assert contents.errors == ()
    (file,) = contents.files
    return file


@pytest.mark.parametrize("tool", LAYOUTS, ids=str)
def test_the_way_is_named_and_works(tmp_path, tool):
    file = read(tmp_path, LAYOUTS[tool], top="", up=UP.format("COMMIT;\n", "BEGIN;\n"))
    assert file.tool == tool
    message, sqlstate, hint = file.up_refusal
    assert "COMMIT cannot be run: a migration runs in one transaction, or in none" in message
    assert sqlstate is None
    assert f"Apply it as it is with {tool or 'the tool that it was written for'}, then migrollback register" in hint
    words = "runInTransaction:false behind the id" if tool == "Liquibase" else "-- Transaction: false at the top"
    assert words in hint

    top = " runInTransaction:false" if tool == "Liquibase" else "-- Transaction: false\n"
    file = read(tmp_path, LAYOUTS[tool], top=top, up=UP.format("", ""))
    assert file.up_refusal is None
    assert not file.transaction
    assert file.tool == tool
