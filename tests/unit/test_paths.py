"""A path, as a shell completes it, is understood where a migration is named: its file, what undoes it, its folder."""

import pytest

from migrollback_nb import UsageError
from migrollback_nb.cli.commands import COMMANDS, get_parser
from migrollback_nb.cli.paths import migration_at, take_names


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIGROLLBACK_DIR", raising=False)
    for path in (
        "supabase/migrations/20250120_x.sql",
        "pairs/1_users.up.sql",
        "pairs/1_users.down.sql",
        "prisma/20250120_init/migration.sql",
        "prisma/20250120_init/down.sql",
        "flyway/V1__users.sql",
        "sqitch/deploy/users.sql",
        "sqitch/revert/users.sql",
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("CREATE TABLE t ();\n")
    (tmp_path / "sqitch/sqitch.plan").write_text(
        "%syntax-version=1.0.0\n%project=p\n\nusers 2025-01-20T00:00:00Z A B <a@b.c> # users\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("path", "folder", "name"),
    [
        ("supabase/migrations/20250120_x.sql", "supabase/migrations", "20250120_x"),
        ("./supabase/migrations/20250120_x.sql", "supabase/migrations", "20250120_x"),
        ("supabase/migrations/20250119_whose_file_is_gone.sql", "supabase/migrations", "20250119_whose_file_is_gone"),
        ("pairs/1_users.up.sql", "pairs", "1_users"),
        ("pairs/1_users.down.sql", "pairs", "1_users"),
        ("prisma/20250120_init/migration.sql", "prisma", "20250120_init"),
        ("prisma/20250120_init/down.sql", "prisma", "20250120_init"),
        ("prisma/20250120_init/", "prisma", "20250120_init"),
        ("flyway/V1__users.sql", "flyway", "V1__users"),
        ("sqitch/deploy/users.sql", "sqitch", "users"),
        ("sqitch/revert/users.sql", "sqitch", "users"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_path_means_a_migration_in_a_folder(path, folder, name):
    found = migration_at(path)
    assert found is not None
    assert (found[0].as_posix(), found[1]) == (folder, name)


@pytest.mark.parametrize("text", ["20250120_x", "20250120_x.sql", "a/b", "nowhere/x.sql", "flyway/", "now", ""])
@pytest.mark.usefixtures("here")
def test_what_is_no_path_stays_a_name(text):
    assert migration_at(text) is None


#: What else a command asks for.
BESIDES = {"resolve": ["--as", "applied", "--reason", "looked"]}


@pytest.mark.parametrize("command", [command for command in COMMANDS.values() if command.takes_migrations])
@pytest.mark.usefixtures("here")
def test_every_command_that_takes_names_understands_paths(command):
    path = "supabase/migrations/20250120_x.sql"
    for argument in command.arguments:
        if not argument.is_option and argument.settings["metavar"] in ("NAME", "A", "B"):
            assert argument.migration
    args = get_parser().parse_args([command.name, path, *BESIDES.get(command.name, ())])
    take_names(args, command.arguments)
    several = [*(getattr(args, "names", None) or ()), *(getattr(args, "select", None) or ())]
    names = {getattr(args, name, None) for name in ("name", "old")} | set(several)
    assert "20250120_x" in names
    assert args.dir == "supabase/migrations"


@pytest.mark.usefixtures("here")
def test_a_path_into_another_folder_than_the_one_that_is_named_is_refused(monkeypatch):
    for words, variable in ((["--dir", "pairs"], None), ([], "pairs")):
        if variable is not None:
            monkeypatch.setenv("MIGROLLBACK_DIR", variable)
        args = get_parser().parse_args(["check", "flyway/V1__users.sql", *words])
        with pytest.raises(UsageError, match=r"flyway/V1__users\.sql does not lie in pairs") as caught:
            take_names(args, COMMANDS["check"].arguments)
        assert "--dir" in caught.value.hint
    args = get_parser().parse_args(["apply", "pairs/1_users.up.sql", "flyway/V1__users.sql", "--dir", "./pairs/"])
    with pytest.raises(UsageError, match="does not lie in"):
        take_names(args, COMMANDS["apply"].arguments)
