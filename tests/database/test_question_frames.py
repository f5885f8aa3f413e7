"""What else is asked of the history as frames: objects, rehearsals, checklists, proofs, moments, drift, SQL, export.

What their SQL functions tell is tried in test_history_questions; here: columns, filters, words, files."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import migrollback_nb as mr
from migrollback_nb.core.frames import columns
from migrollback_nb.core.frames.build import frame_of
from migrollback_nb.history.questions import EXPORTED

#: Frame -> how it is asked for.
ASKED = {
    "objects": lambda db: db.objects(),
    "rehearsals": lambda db: db.rehearsals(),
    "rehearsals locks": lambda db: db.rehearsals("locks"),
    "rehearsals rows": lambda db: db.rehearsals("rows"),
    "rehearsals changes": lambda db: db.rehearsals("changes"),
    "checklists": lambda db: db.checklists(),
    "proofs": lambda db: db.proofs(),
    "at": lambda db: db.at("now"),
    "changes": lambda db: db.changes("200d"),
    "drift": lambda db: db.drift(),
    "deploys": lambda db: db.deploys(),
}


@pytest.fixture(scope="module")
def long(history_database, tmp_path_factory):
    with mr.connect(history_database, dir=tmp_path_factory.mktemp("none")) as db:
        yield db


@pytest.mark.parametrize("name", ASKED)
def test_a_frame_has_its_columns_and_dtypes(long, name):
    frame = ASKED[name](long)
    assert len(frame) > 5
    assert frame.dtypes.equals(frame_of(name, []).dtypes), "no value is outside its closed set"
    assert list(frame.columns) == list(columns.columns_of(name))
    assert isinstance(frame.index, pd.RangeIndex)
    assert ASKED[name](long).equals(frame), "the order is total"


def test_where_nothing_happened_frames_are_empty_and_alike(db):
    for name, asked in ASKED.items():
        if name == "changes":
            with pytest.raises(mr.UsageError, match="no snapshot"):
                asked(db)
            continue
        frame = asked(db)
        assert len(frame) == 0, (name, frame)
        assert frame.dtypes.equals(frame_of(name, []).dtypes)


def test_objects_by_table_kind_and_migration(long):
    everything = long.objects()
    table = everything.table.value_counts().index[0]
    found = long.objects(table=table)
    assert found.equals(everything[everything.table == table].reset_index(drop=True))
    assert long.objects(table=table.split(".")[1]).equals(found)
    assert set(found.kind) > {"table", "index"}
    assert set(long.objects(table=table, kind="index").kind) == {"index"}
    name = found.migration_name.iloc[-1]
    assert set(long.objects(name).migration_name) == {name}
    assert len(long.objects(table="no_such")) == 0
    assert not everything.table[everything.kind == "index"].isna().any()


@pytest.mark.long
def test_a_table_in_capitals_is_found_by_its_name(db, applied):
    applied("001_t", 'CREATE SCHEMA "A b"; CREATE TABLE "A b"."My.Table" (id int PRIMARY KEY);', "SELECT 1;")
    assert set(db.objects(table="My.Table").kind) >= {"table", "index", "constraint"}
    assert len(db.objects(table='"A b"."My.Table"')) == len(db.objects(table="My.Table"))


def test_a_part_that_is_not_kept_is_named(long):
    with pytest.raises(mr.UsageError, match="keeps no sessions") as told:
        long.rehearsals("sessions")
    assert told.value.hint == "Use locks, rows, changes, or nothing."


def test_open_and_complete_checklists(long):
    everything = long.checklists()
    assert len(long.checklists(open=True)) == (~everything.complete).sum()
    assert len(long.checklists(open=False)) == everything.complete.sum()
    assert everything.missing.map(len).eq(0).equals(everything.complete)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 5, tzinfo=UTC),
        datetime(2026, 1, 5),  # noqa: DTZ001  # read as UTC
        "2026-01-05",
        np.datetime64("2026-01-05"),
        pd.Timestamp("2026-01-05T01:00:00+01:00"),
    ],
    ids=str,
)
def test_a_moment_may_be_said_in_many_ways(long, moment):
    assert long.at(moment).equals(long.at("2026-01-05T00:00:00Z"))


def test_of_our_own_migration_only_who_asks_hears(long):
    own = set(long.at("now", system=True).migration_name) - set(long.at("now").migration_name)
    assert own == {"20250120_migration_rollback_system"}


@pytest.mark.long
def test_changes_say_where_no_snapshot_tells_exactly(db, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", snapshots="none")
    between = session().execute("SELECT clock_timestamp()").fetchone()[0]
    applied("003_c", "CREATE TABLE c ();", "DROP TABLE c;")
    frame = db.changes(between)
    assert list(frame.query("kind == 'table'").identity) == ["public.c"]
    assert frame.made_by.iloc[-1] == ("003_c",)
    assert frame.attrs["warnings"] == (), "that of before 003 has it"
    frame = db.changes("2020", between - timedelta(seconds=0.001))
    assert len(frame.attrs["warnings"]) == 1


# -- two databases -----------------------------------------------------------------------------------------------------


@pytest.fixture
def other(server, tmp_path, folder):
    from pg_servers import with_system

    name = server.create_database(template=with_system(server))
    with mr.connect(server.dsn(name), dir=folder) as db:
        yield db
    server.drop_database(name)


@pytest.mark.long
def test_two_databases_are_compared(db, other, write, session):
    for name, table in (("001_a", "a"), ("002_b", "b"), ("003_c", "c"), ("004_d", "d")):
        write(name, f"CREATE TABLE {table} ();", f"DROP TABLE {table};")
    db.apply()
    other.apply("001_a", "002_b", "004_d")
    other.rollback("002_b", confirm="002_b")
    write("004_d", "CREATE TABLE d ();", "DROP TABLE IF EXISTS d;")
    other.register("004_d")
    frame = mr.compare(db, other)
    assert list(zip(frame.migration_name, frame.difference, strict=True)) == [
        ("002_b", "status"), ("003_c", "only in a"), ("004_d", "text"),
    ]  # fmt: skip
    assert frame.dtypes.equals(frame_of("comparison", []).dtypes)
    assert frame.a_status.tolist()[:2] == ["applied", "applied"]
    assert pd.isna(frame.b_status[1])
    assert list(mr.compare(other, db).difference) == ["status", "only in b", "text"]
    schema = mr.compare(db, other, schema=True)
    assert set(zip(schema.change, schema.identity, strict=True)) == {("dropped", "public.b"), ("dropped", "public.c")}
    assert schema.dtypes.equals(frame_of("schema comparison", []).dtypes)
    assert len(mr.compare(db, db)) == len(mr.compare(db, db, schema=True)) == 0
    assert frame.attrs == {"frame": "comparison", "a": str(db.target), "b": str(other.target)}
    assert schema.attrs["frame"] == "schema comparison"  # by which it shows as our frames do


# -- SQL of one's own --------------------------------------------------------------------------------------------------


def test_sql_has_the_dtypes_of_our_frames(long):
    frame = long.sql(
        "SELECT 1 AS i, NULL::int AS n, 1.5 AS d, 'x' AS t, true AS b, now() AS at, interval '1 day' AS s,"
        " gen_random_uuid() AS u, ARRAY[1, 2] AS a, '{\"k\": 1}'::jsonb AS j, date '2026-01-05' AS day, 2 AS i"
    )
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "i": "int64", "n": "Int64", "d": "float64", "t": "str", "b": "bool", "at": "datetime64[us, UTC]",
        "s": "timedelta64[us]", "u": "str", "a": "object", "j": "object", "day": "datetime64[us, UTC]", "i_2": "int64",
    }  # fmt: skip
    assert (frame.a[0], frame.j[0], frame.day[0]) == ((1, 2), {"k": 1}, pd.Timestamp("2026-01-05", tz="UTC"))
    empty = long.sql("SELECT event, event_number, occurred_at FROM migration_events WHERE false")
    assert [str(dtype) for dtype in empty.dtypes] == ["str", "int64", "datetime64[us, UTC]"]


def test_values_of_sql_are_bound(long):
    assert long.sql("SELECT %(a)s::text AS a", {"a": "'; DROP TABLE x"}).a[0] == "'; DROP TABLE x"
    assert long.sql("SELECT %s::int AS a", [7]).a[0] == 7
    assert long.sql("SELECT '100%' AS a").a[0] == "100%"


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM migration_history", "CREATE TABLE x ()", "COMMIT; CREATE TABLE x ()", "SELECT nextval('x')",
     "SELECT add_migration_event('installed', NULL)"],
)  # fmt: skip
def test_sql_writes_nothing(db, session, statement):
    session().execute("CREATE SEQUENCE x")
    before = db.database.queries.events()
    with pytest.raises(mr.DatabaseError) as told:
        db.sql(statement)
    assert told.value.sqlstate in ("25006", "42601", "25001", "42P07"), told.value
    assert db.database.queries.events() == before
    assert session().execute("SELECT is_called FROM x").fetchone() == (False,)


def test_an_error_in_sql_is_told_as_postgresql_tells_it(long):
    with pytest.raises(mr.DatabaseError, match='relation "no_such" does not exist'):
        long.sql("SELECT * FROM no_such")


# -- export ------------------------------------------------------------------------------------------------------------


def test_an_export_has_every_frame_with_its_dtypes(long, tmp_path, monkeypatch):
    given = []

    def keeping(method):
        def ask(*args, **options):
            given.append(method(*args, **options))
            return given[-1]

        return ask

    for method in {method for method, _ in EXPORTED.values()}:  # asked for once: the verdicts of 400 take their time
        monkeypatch.setattr(long, method, keeping(getattr(long, method)), raising=False)
    files = long.export(tmp_path / "trail" / "today")
    assert [path.stem for path in files] == list(EXPORTED)
    for path, own in zip(files, given, strict=True):
        back = pd.read_parquet(path)
        if own.empty:  # of a closed set without a row Parquet keeps no values
            assert back.dtypes.map(str).equals(own.dtypes.map(str)), path.stem
            continue
        assert back.dtypes.equals(own.dtypes), path.stem
        plain = [name for name, dtype in own.dtypes.items() if str(dtype) != "object"]
        assert back[plain].equals(own[plain]), path.stem
    with pytest.raises(mr.UsageError, match="exists already"):
        long.export(tmp_path / "trail" / "today")


@pytest.mark.long
def test_an_export_of_nothing_has_the_same_dtypes(db, tmp_path):
    for path in db.export(tmp_path / "trail"):
        method, given = EXPORTED[path.stem]
        # of a closed set without a row Parquet keeps no values
        assert pd.read_parquet(path).dtypes.map(str).equals(getattr(db, method)(**given).dtypes.map(str)), path.stem


def test_without_pyarrow_it_says_what_to_install(db, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(mr.UsageError, match="Parquet needs pyarrow"):
        db.export(tmp_path / "trail")
    assert not (tmp_path / "trail").exists()
