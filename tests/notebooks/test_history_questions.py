"""The 25 questions of notebook 02 on a history of 400 migrations: each answer equals one that SQL of its own gives."""

import ast
import json
import math
import re
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from migrollback_nb.cli.demo.history import write_files
from pg_servers import with_system

import migrollback_nb as mr

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_history_questions.ipynb"


def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def questions():
    """Number -> code of the answer."""
    found = {}
    for heading, answer in zip(cells(), cells()[1:], strict=False):
        number = re.match(r"### (\d+)\. .+\?", "".join(heading["source"]))
        if number:
            found[int(number[1])] = "".join(answer["source"])
    return found


def test_25_questions_in_32_lines_by_public_names():
    assert list(questions()) == list(range(1, 26))
    lines = [line for code in questions().values() for line in code.splitlines()]
    assert len(lines) <= 32
    assert max(map(len, lines)) <= 125
    for code in questions().values():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_") and node.attr != "database", code


@pytest.fixture(scope="module")
def world(server, history_database, tmp_path_factory):
    """What the notebook's names mean after all cells, its answers by number, and a way to ask SQL."""
    folder = tmp_path_factory.mktemp("questions") / "migrations"
    other = server.create_database(template=with_system(server))
    with psycopg.connect(history_database, autocommit=True) as connection:
        write_files(connection, folder)
        with mr.connect(history_database, dir=folder) as db, mr.connect(server.dsn(other), dir=folder) as empty:
            names = {"pd": pd, "mr": mr, "db": db, "other": empty, "span": "90d", "zone": "Europe/Berlin"}
            names |= {"day": "2026-03-01T12:00", "table": "t009"}
            names["migration"] = connection.execute(
                "SELECT h.migration_name FROM migration_history h JOIN (SELECT metadata ->> 'deploy' AS deploy FROM"
                " migration_history GROUP BY 1 HAVING count(*) > 3) d ON d.deploy = h.metadata ->> 'deploy' ORDER BY 1"
                " LIMIT 1"
            ).fetchone()[0]
            answers = {}
            for number, code in questions().items():
                *before, last = ast.parse(code).body
                exec(compile(ast.Module(before, []), "cell", "exec"), names)
                answers[number] = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            yield answers, names, lambda query, values=None: connection.execute(query, values).fetchall()
    server.drop_database(other)


NOT_OURS = "metadata ->> 'system' IS NULL"
IN_PLACE = f"status <> 'rolled_back' AND {NOT_OURS}"
#: How long each rollback's migration stood, by an attempt each.
ROLLED_BACK = """
    SELECT r.*, r.occurred_at - (
        SELECT min(a.occurred_at) FROM migration_events a
         WHERE a.migration_name = r.migration_name AND a.event IN ('applied', 'registered')
           AND a.event_number < r.event_number AND a.event_number > coalesce((
               SELECT max(p.event_number) FROM migration_events p WHERE p.migration_name = r.migration_name
                  AND p.event = 'rolled_back' AND p.event_number < r.event_number), 0)) AS in_place
    FROM migration_events r WHERE r.event = 'rolled_back'"""
MONTH = "date_trunc('month', occurred_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
DEPENDENTS = f"""
    WITH RECURSIVE up (base, name) AS (
        SELECT depends_on, migration_name FROM migration_dependencies
        UNION SELECT up.base, d.migration_name FROM up JOIN migration_dependencies d ON d.depends_on = up.name)
    SELECT h.migration_name, count(x.migration_name)::int FROM migration_history h
    LEFT JOIN up ON up.base = h.migration_name
    LEFT JOIN migration_history x ON x.migration_name = up.name AND x.status <> 'rolled_back'
    WHERE h.{NOT_OURS} GROUP BY 1"""

#: Number -> SQL, and which columns of the answer (None: index and values).
ANSWERS = {
    1: (
        "SELECT h.migration_name, h.applied_at, h.applied_by, (SELECT count(*)::int FROM migration_events e WHERE"
        " e.migration_name = h.migration_name AND e.event = 'applied') FROM migration_history h WHERE h.applied_at >="
        f" now() - interval '90 days' AND h.{NOT_OURS}",
        None,
    ),
    3: (f"SELECT {MONTH}, avg(in_place) FROM ({ROLLED_BACK}) r GROUP BY 1", "series"),
    4: (
        "SELECT h.applied_by, avg((e.event = 'failed')::int)::float8 FROM migration_events e JOIN migration_history h"
        " USING (migration_name) WHERE e.event IN ('rolled_back', 'failed') GROUP BY 1",
        "series",
    ),
    5: (
        """SELECT t.t, avg(t.failed)::float8, avg(t.rolled_back)::float8 FROM (
            SELECT DISTINCT o.migration_name, coalesce(o.table_identity, CASE WHEN o.kind <> 'schema' THEN
                   concat_ws('.', split_part(o.identity, '.', 1), split_part(split_part(o.identity, '.', 2), ' ', 1))
                   END) AS t,
                   (SELECT count(*) FROM migration_events e WHERE e.migration_name = o.migration_name
                     AND e.event = 'failed') AS failed,
                   (SELECT count(*) FROM migration_events e WHERE e.migration_name = o.migration_name
                     AND e.event = 'rolled_back') AS rolled_back
            FROM migration_objects o) t WHERE t.t IS NOT NULL GROUP BY 1""",
        "indexed",
    ),
    6: (
        "SELECT l ->> 'relation', (l ->> 'held_ms')::float8 FROM migration_events e, jsonb_array_elements(e.details ->"
        " 'locks') l WHERE e.event = 'rehearsed' AND e.occurred_at >= now() - interval '3 months' ORDER BY 2 DESC LIMIT"
        " 10",
        ["relation", "held_ms"],
    ),
    7: (f"SELECT migration_name, applied_at FROM migration_history WHERE {IN_PLACE} AND rollback_sql IS NULL", None),
    9: (
        "SELECT h.migration_name, h.applied_at FROM migration_history h WHERE "
        f"{IN_PLACE} AND NOT EXISTS (SELECT FROM migration_events e WHERE e.migration_name = h.migration_name AND"
        " (e.event = 'rolled_back' OR e.event = 'rehearsed' AND e.details ->> 'success' = 'true')) AND NOT EXISTS"
        " (SELECT FROM migration_proofs p WHERE p.migration_name = h.migration_name AND p.checksum = h.checksum AND"
        " p.grade = 'restores')",
        None,
    ),
    10: (
        "SELECT migration_name, action, identity FROM migration_objects WHERE table_identity ~ '^[a-z]+\\.t009$' OR"
        " identity ~ '^[a-z]+\\.t009($|[. ])'",
        ["migration_name", "action", "identity"],
    ),
    11: (
        "SELECT o.migration_name FROM migration_history h JOIN migration_history o ON o.metadata ->> 'deploy' ="
        " h.metadata ->> 'deploy' WHERE h.migration_name = %(migration)s",
        ["migration_name"],
    ),
    12: (
        f"SELECT migration_name, occurred_at FROM ({ROLLED_BACK}) r, LATERAL (SELECT occurred_at AT TIME ZONE"
        " 'Europe/Berlin' AS t) l WHERE extract(isodow FROM t) > 5 OR extract(hour FROM t) NOT BETWEEN 8 AND 17",
        ["migration_name", "ended_at"],
    ),
    14: (
        "SELECT min(e.occurred_at), count(DISTINCT e.migration_name) FILTER (WHERE e.event = 'applied')::int FROM"
        " migration_events e WHERE e.details ? 'deploy' GROUP BY e.details ->> 'deploy'",
        "deploys",
    ),
    16: (
        f"SELECT migration_name, applied_at FROM migration_history h WHERE status = 'applied' AND {NOT_OURS} AND NOT"
        " EXISTS (SELECT FROM migration_events e WHERE e.migration_name = h.migration_name AND e.event ="
        " 'rolled_back') ORDER BY applied_at LIMIT 1",
        None,
    ),
    21: (f"SELECT migration_name FROM migration_history WHERE {NOT_OURS}", ["migration_name"]),
    23: (
        f"SELECT {MONTH}, percentile_cont(0.95) WITHIN GROUP (ORDER BY (details ->> 'duration_ms')::float8) FROM"
        " migration_events WHERE event = 'applied' GROUP BY 1",
        "series",
    ),
    24: (
        "SELECT migration_name FROM (SELECT DISTINCT ON (migration_name) migration_name, CASE event WHEN 'resolved'"
        " THEN details ->> 'new' ELSE event END AS status FROM migration_events WHERE occurred_at <= '2026-03-01"
        " 12:00Z' AND (event IN ('applied', 'rolled_back', 'resolved') OR event = 'failed' AND details ->> 'passing' ="
        " 'false') ORDER BY migration_name, event_number DESC) s WHERE status <> 'rolled_back'",
        ["migration_name"],
    ),
    25: (
        "SELECT migration_name, rollback_at, substring(notes FROM '[A-Z]+-[0-9]+') FROM migration_history WHERE status"
        f" = 'rolled_back' AND {NOT_OURS}",
        ["migration_name", "rollback_at", "ticket"],
    ),
}


def plain(value):
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime()
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    if isinstance(value, pd.Timedelta | timedelta):
        return round(value.total_seconds(), 3)
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return None if value is pd.NaT else value


def rows_of(answer, columns):
    if columns == "series":
        answer = answer.dropna().reset_index()
    elif columns == "indexed":
        answer = answer.reset_index()
    elif columns == "deploys":
        answer = answer.reset_index()[["started_at", "migrations"]]
    elif columns is not None:
        answer = answer[columns]
    return sorted((tuple(map(plain, row)) for row in answer.itertuples(index=False)), key=str)


@pytest.mark.few(6)
@pytest.mark.parametrize("number", ANSWERS)
def test_an_answer_equals_that_of_sql(world, number):
    answers, names, ask = world
    query, columns = ANSWERS[number]
    values = {"migration": names["migration"]} if "%(" in query else None
    wanted = sorted((tuple(map(plain, row)) for row in ask(query, values)), key=str)
    assert wanted, "there is something to find"
    assert rows_of(answers[number], columns) == wanted


def test_2_the_most_rollbacks(world):
    answers, _, ask = world
    counts = dict(ask("SELECT migration_name, count(*)::int FROM migration_events WHERE event = 'rolled_back' GROUP BY 1"))
    answer = answers[2]
    assert answer.rollback_count.tolist() == sorted(counts.values(), reverse=True)[:10]
    assert all(counts[name] == count for name, count in zip(answer.migration_name, answer.rollback_count, strict=True))


def test_8_files_that_differ(world):
    answers, _, ask = world
    newest = ask(f"SELECT migration_name FROM migration_history WHERE status = 'applied' AND {NOT_OURS} ORDER BY applied_at DESC")
    assert set(answers[8].migration_name) == {name for (name,) in newest[2:5]}


def test_13_20_and_22_the_schema(world):
    answers, _, ask = world
    assert {identity.split(".")[1].split(" ")[0].removesuffix("_pkey") for identity in answers[13].identity} == {
        "by_hand_1", "by_hand_2",
    }  # fmt: skip
    tables = {row[0] for row in ask("SELECT format('%s.%s', schemaname, tablename) FROM pg_tables WHERE tablename ~ '^(t[0-9]{3}|by_hand_.)$'")}
    assert set(answers[22].query("kind == 'table'").identity) == tables
    (then,) = ask(
        "SELECT s.objects -> 'table' FROM migration_snapshots s WHERE taken_at <= now() - interval '90 days' ORDER BY"
        " taken_at DESC LIMIT 1"
    )
    created = {one for one in tables if one not in then[0]}
    assert set(answers[20].query("kind == 'table' and change == 'created'").identity) == created != set()


def test_15_dependents(world):
    answers, _, ask = world
    counts = dict(ask(DEPENDENTS))
    assert answers[15].dependents.tolist() == sorted(counts.values(), reverse=True)[:10]
    assert all(counts[row.migration_name] == row.dependents for row in answers[15].itertuples())


def test_17_checklists(world):
    answers, _, ask = world
    done = ask(
        "SELECT migration_name, array_agg(item) FROM (SELECT DISTINCT ON (migration_name, details ->> 'run', details ->>"
        " 'item') migration_name, details ->> 'run' AS run, details ->> 'item' AS item, details ->> 'outcome' AS outcome"
        " FROM migration_events WHERE event = 'checklist_item' ORDER BY 1, 2, 3, event_number DESC) d WHERE outcome IN"
        " ('done', 'skipped') GROUP BY migration_name, run"
    )
    assert len(answers[17]) >= len(done) > 5
    by_name = {}
    for name, items in done:
        by_name.setdefault(name, []).append(set(items))
    for row in answers[17].itertuples():
        assert any(not items & set(row.missing) for items in by_name.get(row.migration_name, [set()]))


def test_18_the_audit_log_by_month_and_actor(world):
    answers, _, ask = world
    counts = ask(f"SELECT {MONTH}, database_user, count(*)::int FROM migration_events GROUP BY 1, 2")
    found = answers[18].stack()
    assert sorted((plain(month), who, count) for (month, who), count in found[found > 0].items()) == sorted(
        (plain(month), who, count) for month, who, count in counts
    )


def test_19_a_row_for_each_migration(world):
    answers, _, ask = world
    counts = ask(
        "SELECT h.migration_name, (SELECT count(*)::int FROM migration_events e WHERE e.migration_name ="
        " h.migration_name), (SELECT count(*)::int FROM migration_objects o WHERE o.migration_name = h.migration_name)"
        f" FROM migration_history h WHERE h.{NOT_OURS}"
    )
    assert rows_of(answers[19], ["migration_name", "events", "objects"]) == sorted(counts, key=str)
    assert len(answers[19].columns) > 12


def test_a_database_to_which_nothing_happened_answers_nothing(world):
    _, names, _ = world
    own = {**names, "db": names["other"], "migration": "none", "span": "7d"}
    for number, code in questions().items():
        *before, last = ast.parse(code).body
        exec(compile(ast.Module(before, []), "cell", "exec"), own)
        answer = eval(compile(ast.Expression(last.value), "cell", "eval"), own)
        if number != 18:  # the installation is in the audit log
            assert answer is None or len(answer) == 0, number


def test_nothing_rolled_back_is_no_row(world):
    _, names, _ = world
    applied = names["history"].query("status == 'applied'")
    (code,) = ast.parse(questions()[25]).body
    assert len(eval(compile(ast.Expression(code.value), "cell", "eval"), names | {"history": applied})) == 0


def test_all_25_are_compared():
    beside = {2, 8, 13, 15, 17, 18, 19, 20, 22}
    assert set(ANSWERS) | beside == set(range(1, 26))
    assert not set(ANSWERS) & beside
