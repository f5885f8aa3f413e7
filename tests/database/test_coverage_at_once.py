"""Most rollbacks are looked at by two patterns for all statements: the answer is that of the look at each."""

import json
import random

import psycopg

PIECES = ["a", "'", "'", '"', '"', "-", "--", "/", "/*", "*/", "*", "$", "\\", ";", ";", " ", "\n", "\r", "E'", "''"]
PIECES += ["DROP", "BEGIN", "COMMIT", "é", "\x01", "x'y'", "-- c\n", "/* c */", "$$", "; ", ";\n", "SELECT 1", "a-b"]


def cut(chance, text):
    """Statements of a text, as [first byte, bytes, line]: most where a semicolon is, some anywhere."""
    size, places = len(text.encode()), []
    if chance.random() < 0.7:
        at = 0
        for part in text.split(";"):
            begin = at + len(part.encode()) - len(part.lstrip(" \n\r").encode())
            length = len(part.strip(" \n\r").encode())
            at += len(part.encode()) + 1
            if length:
                places.append([begin, length, 1])
        if places and chance.random() < 0.3:
            chance.choice(places)[chance.randrange(2)] += chance.choice((-1, 1))
    else:
        marks = sorted(chance.sample(range(size + 1), k=min(size + 1, 2 * chance.randint(0, 2))))
        places = [[a, b - a, 1] for a, b in zip(marks[::2], marks[1::2], strict=False)]
    return [[max(begin, 0), max(length, 1), line] for begin, length, line in places]


def test_the_short_way_says_what_the_long_one_says(shared_database):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    cases = []
    for _ in range(3000):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, 14)))
        cases.append({"sql": text, "statements": cut(chance, text)})
    with psycopg.connect(shared_database) as connection:
        connection.execute(
            "DO $do$ BEGIN EXECUTE replace(replace(pg_get_functiondef("
            "'migration_coverage_problem(text, jsonb)'::regprocedure), 'migration_coverage_problem', 'long_way'),"
            " 'WHILE is_plain', 'WHILE false'); END $do$"
        )
        rows = connection.execute(
            "SELECT c ->> 'sql', c -> 'statements', migration_coverage_problem(c ->> 'sql', c -> 'statements'),"
            " long_way(c ->> 'sql', c -> 'statements') FROM jsonb_array_elements(%s::jsonb) c",
            (json.dumps(cases),),
        ).fetchall()
        connection.rollback()
    assert [row for row in rows if row[2] != row[3]] == [], f"seed {seed}"
    covered = sum(row[2] is None for row in rows)
    assert covered > 100, "some are right"
    assert len(rows) - covered > 100, "some are not"


def test_the_list_says_of_each_what_is_said_of_it_alone(session):
    """Over random graphs: whether, why not, and which of those that block are the nearest."""
    connection = session()
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    names = [f"{number:03}_m" for number in range(60)]
    sql, statuses = ("SELECT 1", "SELECT 1", None), ("applied", "applied", "applied", "rolled_back")
    connection.execute(
        "INSERT INTO migration_history (migration_name, migration_version, rollback_sql, status, metadata) SELECT"
        " m ->> 0, left(m ->> 0, 3), m ->> 1, m ->> 2, '{}' FROM jsonb_array_elements(%s::jsonb) m",
        (
            json.dumps(
                [
                    (
                        name,
                        chance.choice(sql),
                        chance.choice(statuses),
                    )
                    for name in names
                ]
            ),
        ),
    )
    connection.execute(
        "INSERT INTO migration_dependencies (migration_name, depends_on) SELECT e ->> 0, e ->> 1 FROM"
        " jsonb_array_elements(%s::jsonb) e",
        (json.dumps(list({tuple(sorted(chance.sample(names, 2), reverse=True)) for _ in range(60)})),),
    )
    rows = connection.execute(
        "SELECT l.migration_name, l.can_rollback, coalesce(l.blocking_reason, 'Migration can be safely rolled back'),"
        " l.dependent_migrations, c.can_rollback, c.reason, c.dependent_migrations FROM list_rollbackable_migrations()"
        " l CROSS JOIN LATERAL can_rollback_migration(l.migration_name) c"
    ).fetchall()
    assert len(rows) > 20
    for name, listed, reason, nearest, alone, because, every in rows:
        assert (listed, reason) == (alone, because), f"{name}, seed {seed}"
        assert set(nearest) <= set(every), f"{name}, seed {seed}"
        assert bool(nearest) is bool(every), f"{name}, seed {seed}"
