"""Frames of a made-up history of 400 migrations, each beside its own SQL: dtypes, filters, counts, order, attrs."""

import json
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg.rows import dict_row

import migrollback_nb as mr
from migrollback_nb.core.frames import columns, exchange
from migrollback_nb.core.frames.build import dtype_of, frame_of

SYSTEM = "20250120_migration_rollback_system"


@pytest.fixture(scope="module")
def ask(history_database):
    with psycopg.connect(history_database, autocommit=True, row_factory=dict_row) as connection:
        yield lambda query, *values: connection.execute(query, values).fetchall()


@pytest.fixture(scope="module")
def past(history_database):
    with mr.connect(history_database) as db:
        yield db


@pytest.fixture(scope="module")
def history(past):
    return past.history()


@pytest.fixture(scope="module")
def events(past):
    return past.events()


FRAMES = {
    "list": lambda db: db.list(),
    "history": lambda db: db.history(),
    "deploys": lambda db: db.deploys(),
    "dependencies": lambda db: db.dependencies(),
    "events": lambda db: db.events(),
    "attempts": lambda db: db.attempts(kind=None),
    "snapshots": lambda db: db.snapshots(),
}


@pytest.fixture(scope="module")
def frames(past):
    return {name: asked(past) for name, asked in FRAMES.items()}


@pytest.mark.parametrize("name", FRAMES)
def test_each_has_the_columns_and_dtypes_of_the_table_and_says_whence_it_is(frames, past, name):
    frame = frames[name]
    for column, dtype in frame.dtypes.items():
        assert dtype == dtype_of(columns.columns_of(name)[column]), column
    assert list(frame.columns) == list(columns.FRAMES[name])
    assert isinstance(frame.index, pd.RangeIndex)
    assert not frame.empty
    assert frame.attrs["frame"] == name
    assert frame.attrs["target"] == str(past.target)
    assert datetime.now(UTC) - datetime.fromisoformat(frame.attrs["asked_at"]) < timedelta(minutes=5)
    assert json.loads(json.dumps(frame.attrs))["schema"] == "public"
    assert pd.concat([frame, frame_of(name, [])]).dtypes.equals(frame.dtypes)


def test_frames_merge_on_what_they_share(frames):
    for one in frames:
        for two in frames:
            left, right = (frames[name].loc[:, frames[name].dtypes != np.dtype(object)] for name in (one, two))
            if one < two and set(left.columns) & set(right.columns):
                merged = left.head(50).merge(right.head(50))
                assert not [name for name in merged.columns if name.endswith(("_x", "_y"))]
    keyed = [name for name in frames if "migration_name" in columns.FRAMES[name] and name not in ("history", "list")]
    for name in keyed:
        shared = set(columns.FRAMES[name]) & set(columns.FRAMES["history"])
        assert shared - {"status"} == {"migration_name"}, name
    assert set(columns.FRAMES["deploys"]) & set(columns.FRAMES["history"]) == {"deploy_id"}


# -- history -----------------------------------------------------------------------------------------------------------


def test_the_system_is_left_out_unless_it_is_asked_for(past, history, frames, ask):
    assert len(history) == len(ask("SELECT FROM migration_history")) - 1 == 400
    assert SYSTEM not in set(history["migration_name"]) | set(frames["list"]["migration_name"])
    assert SYSTEM in set(past.history(system=True)["migration_name"])
    assert SYSTEM in set(past.list(system=True)["migration_name"])
    assert past.history(SYSTEM)["migration_name"].tolist() == [SYSTEM]
    assert past.list(SYSTEM)["migration_name"].tolist() == [SYSTEM]


def test_rolled_back_ones_are_found_by_the_time_of_their_rollback(past, ask):
    since = datetime.now(UTC) - timedelta(days=60)
    wanted = ask(
        "SELECT migration_name FROM migration_history WHERE status = 'rolled_back' AND rollback_at >= %s"
        " ORDER BY rollback_at DESC",
        since,
    )
    assert wanted
    found = past.history(status="rolled_back", since=since)
    assert found["migration_name"].tolist() == [row["migration_name"] for row in wanted]
    assert past.history(status="rolled_back", since="60d", until="30d").shape[0] == int(
        found["rollback_at"].lt(datetime.now(UTC) - timedelta(days=30)).sum()
    )


def test_what_was_rolled_back_and_applied_again_is_not_new(history, ask):
    counted = {
        (row["migration_name"], row["event"]): row["n"]
        for row in ask("SELECT migration_name, event, count(*)::int AS n FROM migration_events GROUP BY 1, 2")
    }
    again = history[(history["status"] == "applied") & (history["rollback_count"] > 0)]
    assert len(again) > 3
    for row in again.to_dict("records"):
        name = row["migration_name"]
        assert row["rollback_at"] < row["applied_at"]
        assert row["first_applied_at"] < row["rollback_at"]
        assert row["apply_count"] > 1
        assert row["rollback_by"]
        assert row["failure_count"] == counted.get((name, "failed"), 0)
        assert row["rollback_count"] >= counted.get((name, "rolled_back"), 0)
    assert history["apply_count"].min() == 1


@pytest.mark.parametrize("on", ["applied", "rolled_back", "last"])
def test_on_chooses_the_time_that_counts_and_by_the_person_of_it(past, history, on):
    last = history[["applied_at", "rollback_at"]].max(axis=1)
    moment = {"applied": history["applied_at"], "rolled_back": history["rollback_at"], "last": last}[on]
    since, until = datetime.now(UTC) - timedelta(days=200), datetime.now(UTC) - timedelta(days=20)
    wanted = history[(moment >= since) & (moment < until)]
    found = past.history(since=since, until=until, on=on)
    assert set(found["migration_name"]) == set(wanted["migration_name"])
    assert len(found) > 5
    who = "rollback_by" if on == "rolled_back" else "applied_by"
    if on != "last":
        person = found[who].mode()[0]
        assert set(past.history(since=since, until=until, on=on, by=person)[who]) == {person}
    assert past.history(on=on, limit=3)["migration_name"].tolist() == past.history(on=on)["migration_name"].tolist()[:3]


def test_what_is_not_understood_is_said_with_what_is_near(past):
    for wrong in (
        {"status": "rolled"},
        {"on": "applyed"},
        {"limit": -1},
        {"since": "soon"},
        {"until": "later"},
        {"as_": "arrows"},
    ):
        with pytest.raises(mr.UsageError) as caught:
            past.history(**wrong)
        assert caught.value.hint, wrong
    with pytest.raises(mr.UsageError, match="There is no event roled_back") as caught:
        past.events(event="roled_back")
    assert "rolled_back" in caught.value.hint
    with pytest.raises(mr.UsageError):
        past.events(chunksize=0)
    with pytest.raises(mr.UsageError):
        past.attempts(kind="reapply")


def test_dependents_are_those_that_plan_would_roll_back(past, history):
    counts = history.set_index("migration_name")["dependents"]
    for name in counts.sort_values(ascending=False).index[[0, 1, 5, 20, 100, 399]]:
        assert counts[name] == len([step for step in past.plan(name).steps if step != name]), name


def test_proven_is_the_best_that_is_known_of_this_very_rollback(history, ask):
    assert set(history["proven"]) == {"rolled_back", "verified", "rehearsed", "never"}
    proven = history.set_index("migration_name")
    for row in ask(
        "SELECT DISTINCT e.migration_name FROM migration_events e JOIN migration_history h USING (migration_name) WHERE"
        " e.event = 'rolled_back' AND coalesce(e.details ->> 'rollback_md5', md5(convert_to(h.rollback_sql, 'UTF8')))"
        " = md5(convert_to(coalesce(h.rollback_sql, ''), 'UTF8'))"
    ):
        assert proven.loc[row["migration_name"], "proven"] == "rolled_back"
    assert (history["proven_at"].isna() == (history["proven"] == "never")).all()


def test_the_verdict_is_that_of_the_list(history, frames):
    both = history.merge(frames["list"][["migration_name", "verdict"]], on="migration_name", suffixes=("", "_listed"))
    assert len(both) == len(frames["list"])
    assert (both["verdict"].astype(str) == both["verdict_listed"].astype(str)).all()
    assert history.loc[history["status"] == "rolled_back", "verdict"].isna().all()


def test_files_beside_what_was_registered(db, applied, folder):
    for number in range(4):
        applied(f"00{number}_t", f"CREATE TABLE t{number} ();", f"DROP TABLE t{number};")
    (folder / "001_t.sql").unlink()
    (folder / "002_t.sql").write_text("-- changed\n", encoding="utf-8")
    db.database.connection.execute("UPDATE migration_history SET checksum = NULL WHERE migration_name = '003_t'")
    found = db.history(system=True).set_index("migration_name")["file_state"]
    assert found.to_dict() == {
        "000_t": "same", "001_t": "missing", "002_t": "differs", "003_t": "unknown", SYSTEM: "unknown",
    }  # fmt: skip
    with mr.connect(connection=db.database.connection, dir=folder / "nowhere") as other:
        assert set(other.history()["file_state"]) == {"unknown"}


# -- deploys -----------------------------------------------------------------------------------------------------------


def test_deploys_count_what_they_brought(past, frames, history, ask):
    deploys = frames["deploys"]
    assert len(deploys) == 125
    assert deploys["started_at"].is_monotonic_decreasing
    assert (deploys["ended_at"] >= deploys["started_at"]).all()
    found = history.groupby("deploy_id").size()
    together = deploys.set_index("deploy_id")["migrations"]
    assert (together.loc[found.index] >= found).all()
    month = past.deploys(since="2mo", until="1mo")
    limit = datetime.now(UTC) - timedelta(days=20)
    assert 0 < len(month) < 125
    assert (month["started_at"] < limit).all()


# -- events ------------------------------------------------------------------------------------------------------------


def test_events_are_the_rows_of_the_table_and_in_its_order(events, ask):
    rows = ask("SELECT * FROM migration_events ORDER BY event_number")
    assert events["event_number"].tolist() == [row["event_number"] for row in rows]
    assert events["occurred_at"].tolist() == [row["occurred_at"] for row in rows]
    assert events["event"].tolist() == [row["event"] for row in rows]
    assert events["details"].tolist() == [row["details"] for row in rows]
    for ours, theirs in (
        ("migration_name", "migration_name"),
        ("attempt_id", "attempt_id"),
        ("actor", "database_user"),
        ("reason", "reason"),
        ("hash", "hash"),
    ):
        found = [None if isinstance(value, float) else value for value in events[ours]]
        assert found == [None if row[theirs] is None else str(row[theirs]) for row in rows], ours
    parts = events[["interface", "os_user", "host"]].drop_duplicates().to_dict("records")
    assert {"interface": "cli", "os_user": "ana", "host": "ci-3"} in parts


def test_events_are_filtered_as_the_frame_would_be(past, events):
    since, until = datetime.now(UTC) - timedelta(days=300), datetime.now(UTC) - timedelta(days=100)
    kinds, person = ["rolled_back", "failed"], events["actor"].mode()[0]
    wanted = events[events["event"].isin(kinds) & (events["occurred_at"] >= since) & (events["occurred_at"] < until)]
    found = past.events(event=kinds, since=since, until=until)
    assert 3 < len(found) < len(events)
    assert found["event_number"].tolist() == wanted["event_number"].tolist()
    by = past.events(event="applied", actor=person)
    assert len(by) == int(((events["event"] == "applied") & (events["actor"] == person)).sum()) > 0
    name = wanted["migration_name"].iloc[0]
    assert len(past.events(name)) == int((events["migration_name"] == name).sum())
    assert past.events(since=np.datetime64(since.replace(tzinfo=None)), until=pd.Timestamp(until)).equals(
        past.events(since=since, until=until)
    )


def test_limit_and_the_newest_first_and_parts(past, events):
    assert past.events(limit=5)["event_number"].tolist() == [1, 2, 3, 4, 5]
    last = int(events["event_number"].iloc[-1])
    assert past.events(limit=3, newest_first=True)["event_number"].tolist() == [last, last - 1, last - 2]
    assert past.events(limit=0).dtypes.equals(events.dtypes)
    parts = []
    for part in past.events(chunksize=1000):
        assert past.list().shape[0] > 0, "the connection is free between two parts"
        parts.append(part)
    assert [len(part) for part in parts[:-1]] == [1000] * (len(parts) - 1)
    assert pd.concat(parts, ignore_index=True)["hash"].equals(events["hash"])
    numbers = [part["event_number"].tolist() for part in past.events(chunksize=2, limit=5, newest_first=True)]
    assert numbers == [[last, last - 1], [last - 2, last - 3], [last - 4]]
    assert "details" not in past.events(details=False, limit=1)


def test_texts_of_events_come_as_they_were_written(db, session):
    texts = ["", " ", "NULL", "NaN", "\\N", 'say "no", then\nnew line\r\nand\ttab', "Kč €", "1", "true", "None", "a,b"]
    for text in texts:
        session().execute(
            "SELECT add_migration_event('checklist_item', %s, NULL, %s, %s, jsonb_build_object('text', %s::text))",
            (text or "x", text, text or "c", text),
        )
    found = db.events(event="checklist_item")
    assert found["reason"].tolist() == texts
    assert [details["text"] for details in found["details"]] == texts
    assert found["migration_name"].tolist() == [text or "x" for text in texts]
    assert found["interface"].tolist() == [text or "c" for text in texts]


def test_events_inside_a_transaction_of_the_lender(database_dsn):
    with psycopg.connect(database_dsn, autocommit=True) as connection, mr.connect(connection=connection) as db:
        connection.execute("BEGIN; SET LOCAL search_path = public")
        assert len(db.events()) == len(db.database.queries.events())
        assert connection.execute("SHOW search_path").fetchone() == ("public",)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


def test_nothing_of_another_schema_is_called(db, session):
    session().execute(
        "CREATE SCHEMA planted; CREATE FUNCTION planted.round(double precision) RETURNS double precision LANGUAGE sql"
        " AS 'SELECT 1/0::double precision'; CREATE FUNCTION planted.date_part(text, timestamptz) RETURNS double"
        " precision LANGUAGE sql AS 'SELECT 1/0::double precision'"
    )
    db.database.connection.execute("SET search_path = planted, pg_catalog, public")
    assert not db.events().empty
    assert db.attempts().empty
    assert db.history().empty


# -- attempts ----------------------------------------------------------------------------------------------------------


def test_attempts_are_those_of_sql_and_know_how_long_it_was_applied(past, ask):
    frame = past.attempts()
    rows = list(reversed(ask("SELECT * FROM migration_attempts()")))
    assert frame["migration_name"].tolist() == [row["migration_name"] for row in rows]
    assert frame["outcome"].tolist() == [row["outcome"] for row in rows]
    assert frame["started_at"].tolist() == [row["started_at"] for row in rows]
    assert frame["ended_at"].tolist() == [row["ended_at"] for row in rows]
    assert set(frame["operation"]) == {"rollback"}
    done = frame[frame["outcome"] == "rolled_back"]
    assert (done["in_place"] > pd.Timedelta(0)).all()
    assert frame.loc[frame["outcome"] != "rolled_back", "in_place"].isna().all()
    one = done.iloc[len(done) // 2]
    (row,) = ask(
        "SELECT max(since) AS since FROM migration_status_events() WHERE migration_name = %s AND status = 'applied' AND"
        " since < %s",
        one["migration_name"],
        one["ended_at"],
    )
    assert one["in_place"] == one["ended_at"] - row["since"]


def test_attempts_of_each_kind_are_those_of_the_events(past, events):
    counts = events["event"].value_counts()
    applies, rehearsals = past.attempts(kind="apply"), past.attempts(kind="rehearsal")
    assert len(applies) == counts["applied"] + counts["apply_failed"]
    assert (applies["outcome"] == "failed").sum() == counts["apply_failed"] > 0
    assert len(rehearsals) == counts["rehearsed"] > 0
    assert set(rehearsals["outcome"]) <= {"rehearsed", "failed", "stopped"}
    whole = past.attempts(kind=None)
    assert len(whole) == len(applies) + len(rehearsals) + len(past.attempts())
    assert whole["operation"].value_counts().to_dict() == {
        "apply": len(applies), "rollback": len(past.attempts()), "rehearsal": len(rehearsals),
    }  # fmt: skip


def test_attempts_of_a_time_know_the_apply_before_it(past):
    whole = past.attempts()
    since, until = datetime.now(UTC) - timedelta(days=120), datetime.now(UTC) - timedelta(days=10)
    wanted = whole[(whole["started_at"] >= since) & (whole["ended_at"] < until)].reset_index(drop=True)
    found = past.attempts(since=since, until=until)
    assert len(found) > 2
    pd.testing.assert_frame_equal(found, wanted)


# -- forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "module"), [("arrow", "pyarrow"), ("polars", "polars")])
def test_without_the_extra_it_says_what_to_install(past, monkeypatch, form, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(mr.UsageError, match=f"{module} is not installed here") as caught:
        past.deploys(as_=form)
    assert "migrollback-nb[arrow]" in caught.value.hint


@pytest.mark.parametrize("name", FRAMES)
def test_the_same_rows_for_pyarrow_and_polars(frames, name):
    frame = frames[name]
    table, polars = exchange.as_arrow(frame), exchange.as_polars(frame)
    assert table.column_names == polars.columns == list(columns.FRAMES[name])
    assert table.num_rows == polars.height == len(frame)
    texts = [key for key, dtype in frame.dtypes.items() if str(dtype) in ("str", "category")]
    for key in texts:
        wanted = [None if pd.isna(value) else value for value in frame[key]]
        assert table[key].to_pylist() == polars[key].cast(str).to_list() == wanted, key
    numbers = [key for key, dtype in frame.dtypes.items() if str(dtype) in ("int64", "Int64", "bool")]
    for key in numbers:
        assert table[key].to_pylist() == [None if pd.isna(value) else value for value in frame[key]], key


def test_a_method_gives_the_form_that_is_asked_for(past):
    assert past.deploys(as_="arrow").num_rows == past.deploys(as_="polars").height == len(past.deploys())
