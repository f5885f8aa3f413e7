"""Names with capitals, quotes, spaces, dots, other scripts: through files, functions, frames, graph and back."""

import pytest
from watching import AROUND, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

NAMES = [
    "001_Capitals",
    '002_"quoted"',
    "003 with spaces",
    "004.dots.v1.2",
    "005_ěščřžýáíé",
    "006_日本語",
    "007_🐎",
    "008_it's",
    "009_back\\slash",
    "010_100%",
    "011_%s_%(name)s",
    "012_{curly}",
    "013_$1_$$",
    "014_;DROP TABLE x;--",
    "015_<b>bold<b>",
    "016_&amp;",
    "017_a:b",
    "018_tab\there",
    "019_line\nbreak",
    "020_comma,comma",
    "021_%TYPE",
    "022_\u202eevil",
    "023_" + "x" * 180,
    "024_[a]*?",
    "025-dash",
    "026_select",
    "027_null",
    "028_NULL",
    "029_{}",
    "030_trailing ",
    "031_.",
    "032_~",
    "033_#",
    "034_`tick`",
]


@pytest.mark.long
def test_every_name_goes_the_whole_way(db, write_migration, session):
    for name in NAMES:
        table = '"' + name.replace('"', '""')[:40] + '"'
        write_migration(name, f"CREATE TABLE {table} ();\n-- ROLLBACK START\nDROP TABLE {table};\n-- ROLLBACK END")
    assert db.apply().applied == tuple(sorted(NAMES))
    assert set(NAMES) <= set(db.list()["migration_name"])
    assert set(NAMES) <= set(db.graph().names)
    for name in NAMES:
        check = db.check(name)
        assert check.can_rollback, check
        assert check.warnings == ()
        assert check.migration_name == name
        assert db.rollback(name, confirm=name, preview=db.preview(name), reason=name).success
        assert [event for event in db.events(name)["event"] if event not in AROUND] == [
            "applied",
            "started",
            "rolled_back",
        ]
    assert value(session(), "SELECT count(*) FROM pg_class WHERE relname ~ '^0' AND relkind = 'r'") == 0
    assert db.verify_events().intact
    assert db.apply(*NAMES).applied == tuple(sorted(NAMES))  # and once more


def test_dependencies_between_them(db, write_migration):
    names = [
        name for name in NAMES if "," not in name and "\n" not in name and not name.endswith(" ") and "\t" not in name
    ]
    for place, name in enumerate(names):
        needs = f"-- Depends on: {names[place - 1]}.sql\n" if place else ""
        write_migration(name, f"{needs}SELECT 1;\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END")
    assert db.sync().failed == ()
    assert db.check(names[0]).dependent_migrations == tuple(sorted(names[1:], key=lambda name: name.encode()))
    assert db.plan(names[0]).steps == tuple(reversed(names))
    assert len(db.rollback(names[0], confirm=names[0], chain=True).results) == len(names)


def test_a_name_that_needs_quoting_in_an_error(db, write_migration, session):
    name = '001_"; DROP TABLE migration_history; --'
    write_migration(name, "SELECT 1;\n-- ROLLBACK START\nSELECT 1/0;\n-- ROLLBACK END")
    db.apply()
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback(name, confirm=name)
    assert name in str(caught.value)
    assert value(session(), "SELECT count(*) FROM migration_history") == 2


def test_a_name_with_a_comma_in_a_refusal(db, session):
    connection = session()
    connection.execute(
        "SELECT register_migration('001_a', '1', rollback_sql => 'SELECT 1'), register_migration('002_b, or c', '2',"
        " depends_on => '{001_a}')"
    )
    with pytest.raises(mr.Refused) as caught:
        db.resolve("001_a", status="rolled_back", reason="gone")
    assert caught.value.dependents == ("002_b, or c",)


@pytest.mark.parametrize("name", ["", "nowhere", "\0", "a\0b", "x" * 5000, "../001"])
def test_names_that_cannot_be(db, name):
    for question in (
        lambda: db.check(name),
        lambda: db.plan(name),
        lambda: db.preview(name),
        lambda: db.rollback(name, confirm=name),
    ):
        with pytest.raises(mr.MigrollbackError):
            question()
