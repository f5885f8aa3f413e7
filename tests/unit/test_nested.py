"""Migrations in folders below the folder: read in their tool's order, each file that is left out named once."""

from pathlib import Path

from migrollback_nb.files.formats import MigrationFolder

UP, DOWN = "CREATE TABLE t ();", "DROP TABLE t;"


def put(folder, **files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def shown(contents):
    return [(file.name, file.rollback is not None) for file in contents.files]


def test_flyway_reads_its_folder_and_all_below_it_by_version(tmp_path):
    put(
        tmp_path,
        **{
            "V10__last.sql": UP,
            "2024/V2__b.sql": UP,
            "2024/undo/U2__b.sql": DOWN,
            "2023/q1/V1.1__a.sql": UP,
            "2023/q1/R__views.sql": UP,
            "2023/notes.sql": UP,
            "afterMigrate.sql": UP,
        },
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert shown(contents) == [("V1.1__a", False), ("V2__b", True), ("V10__last", False)]
    assert {file.tool for file in contents.files} == {"Flyway"}
    assert contents.files[1].rollback.path == str(tmp_path / "2024" / "undo" / "U2__b.sql")
    assert contents.files[0].rollback_path == str(tmp_path / "2023" / "q1" / "U1.1__a.sql")
    assert contents.errors == ()
    assert sorted(warning.partition(" is left out")[0] for warning in contents.warnings) == [
        "2023/q1/R__views.sql",
        "Left out, because Flyway names no migration so: 2023/notes.sql",
        "afterMigrate.sql",
    ]
    assert MigrationFolder(tmp_path).read("V2__b").checksum == MigrationFolder(tmp_path).checksum("V2__b")


def test_of_folders_named_by_databases_those_of_postgresql_are_read(tmp_path):
    names = ("mysql/V1__a.sql", "postgresql/V1__a.sql", "common/V2__b.sql", "h2/V1__a.sql")
    put(tmp_path, **dict.fromkeys(names, UP))
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.path for file in contents.files] == [
        str(tmp_path / "postgresql" / "V1__a.sql"),
        str(tmp_path / "common" / "V2__b.sql"),
    ]
    assert contents.errors == ()
    assert contents.warnings == ("2 files for H2, MySQL are left out, among them h2/V1__a.sql",)


def test_flyway_files_of_one_name_in_two_folders_are_refused(tmp_path):
    put(tmp_path, **{"a/V1__x.sql": UP, "b/V1__x.sql": UP})
    contents = MigrationFolder(tmp_path).read_all()
    assert shown(contents) == [("V1__x", False)]
    ((path, problem),) = [(Path(error.path), error.problem) for error in contents.errors]
    assert (path, problem) == (tmp_path / "b" / "V1__x.sql", "is called as a/V1__x.sql is: Flyway runs neither")


def test_numbered_folders_are_read_one_after_the_other(tmp_path):
    put(
        tmp_path,
        **{f"{name}.up.sql": UP for name in ("0/01_x", "0/02_y", "2/01_x", "10/01_z")},
        **{f"{name}.down.sql": DOWN for name in ("0/01_x", "2/01_x", "10/01_z", "10/02_lost")},
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert shown(contents) == [("0/01_x", True), ("0/02_y", False), ("2/01_x", True), ("10/01_z", True)]
    assert [file.version for file in contents.files] == ["0.01", "0.02", "2.01", "10.01"]
    assert [Path(error.path).name for error in contents.errors] == ["02_lost.down.sql"]
    (warning,) = contents.warnings
    assert "no ledger is kept in step" in warning
    assert MigrationFolder(tmp_path).read("2/01_x").up_statements() == ("CREATE TABLE t ()",)


def test_folders_of_prisma_may_be_called_as_files(tmp_path):
    put(
        tmp_path,
        **{"20240101_a.sql/migration.sql": UP, "20240102_b/migration.sql": UP, "20240101_a.sql/down.sql": DOWN},
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert (shown(contents), contents.errors) == ([("20240101_a", True), ("20240102_b", False)], ())
    assert {file.tool for file in contents.files} == {"Prisma"}


def test_what_is_left_out_of_a_mixed_folder_is_named_once(tmp_path):
    put(
        tmp_path,
        **{
            "1_a.up.sql": UP,
            "1_a.down.sql": DOWN,
            "2_b.go": "",
            "2_b.down.sql": DOWN,
            "3_c.mysql.up.sql": UP,
            "4_d/do.sql": UP,
            "undo/x.sql": DOWN,
        },
    )
    contents = MigrationFolder(tmp_path).read_all()
    said = "\n".join((*contents.warnings, *(str(error) for error in contents.errors)))
    assert shown(contents) == [("1_a", True)]
    assert {name: said.count(name) for name in ("2_b.go", "2_b.down.sql", "3_c.mysql.up.sql", "4_d/", "undo/")} == {
        "2_b.go": 1,
        "2_b.down.sql": 1,
        "3_c.mysql.up.sql": 1,
        "4_d/": 1,
        "undo/": 1,
    }
