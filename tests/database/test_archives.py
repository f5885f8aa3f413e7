"""Values that a migration destroys are kept in its own transaction, and its rollback puts them back."""

import io
import re

import pytest
from lossy_migrations import CASES

import migrollback_nb as mr
from migrollback_nb import cli

CUSTOMERS = """
    CREATE TABLE customers (id int PRIMARY KEY, email text, plan text, born timestamptz, code text, note varchar(10));
    INSERT INTO customers SELECT n, n || '@example.org', CASE WHEN n % 2 = 0 THEN 'free' ELSE 'paid' END,
        '2025-01-01 10:00+00', CASE WHEN n <= 10 THEN '00' || n ELSE n::text END, 'note'
      FROM generate_series(1, 1000) AS n;
"""


@pytest.fixture
def customers(db, session):
    connection = session()
    connection.execute(CUSTOMERS)
    return connection


def rows(connection, columns="id, email, plan", table="customers"):
    return connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()


def test_dropped_and_updated_values_come_back(db, write, customers):
    before = rows(customers)
    write(
        "001_up",
        "ALTER TABLE customers DROP COLUMN email; UPDATE customers SET plan = 'free' WHERE plan = 'paid';",
        "ALTER TABLE customers ADD COLUMN email text;",
    )
    kept = db.apply("001_up", archive=True).archived[0]
    assert (kept.tables, kept.rows, kept.complete) == (("public.customers",), 1500, True)
    assert db.check("001_up").assessment.verdict == "not_rehearsed"
    assert "brings back from the archive: 1,000 rows of public.customers" in db.check("001_up").assessment.headline
    assert db.rehearse("001_up").assessment.verdict == "ready"
    result = db.rollback("001_up", confirm="001_up")
    assert rows(customers) == before
    assert result.verification.verdict == "restored"
    assert result.to_dict()["conflicts"] == []


def test_what_was_written_since_is_a_conflict(db, write, customers):
    before = rows(customers)
    write("001_up", "UPDATE customers SET plan = 'free' WHERE plan = 'paid';", "SELECT 1;")
    db.apply("001_up", archive=True)
    customers.execute("UPDATE customers SET plan = 'gold' WHERE id IN (7, 8)")
    customers.execute("UPDATE customers SET note = 'x' WHERE id = 9")
    customers.execute("DELETE FROM customers WHERE id = 11")
    result = db.rollback("001_up", confirm="001_up")
    assert result.to_dict()["conflicts"] == [{"table": "public.customers", "keys": [7, 9, 11], "count": 3}]
    assert result.verification.verdict == "schema_restored"
    assert [row for row in rows(customers) if row not in before] == [
        (7, "7@example.org", "gold"),
        (8, "8@example.org", "gold"),
        (9, "9@example.org", "free"),
    ]


def run(dsn, folder, *words):
    out, err = io.StringIO(), io.StringIO()
    return cli.run([*words, "--dsn", dsn, "--dir", str(folder)], out, err), out.getvalue(), err.getvalue()


def test_the_budget_is_asked_before_anything_runs(database_dsn, folder, write, customers):
    write("001_up", "ALTER TABLE customers DROP COLUMN email;", "ALTER TABLE customers ADD COLUMN email text;")
    before = rows(customers)
    status, _, err = run(database_dsn, folder, "apply", "001_up", "--archive", "--archive-rows", "10")
    assert status == 3, err
    assert "would take 1000 rows" in err
    assert rows(customers) == before


def test_a_policy_leaves_tables_out_and_says_so(db, write, customers):
    customers.execute("CREATE TABLE plan_log (id int PRIMARY KEY, v text); INSERT INTO plan_log VALUES (1, 'a')")
    customers.execute(f"ALTER DATABASE {customers.info.dbname} SET migrollback.archive_tables = 'public.*, !*_log'")
    db.database.session.reconnect()
    before = rows(customers)
    write("001_up", "DELETE FROM customers; DELETE FROM plan_log;", "SELECT 1;")
    kept = db.apply("001_up", archive=True).archived[0]
    left_out = "public.plan_log: left out by migrollback.archive_tables"
    assert (kept.tables, kept.rows, kept.complete) == (("public.customers",), 1000, left_out)
    assert [(row["tables"], row["complete"]) for row in db.archive_rows()] == [(["public.customers"], left_out)]
    known = db.check("001_up").assessment
    assert "has no archive of public.plan_log (deleted): left out by" in known.headline
    assert [(one.identity, one.rows) for one in known.losses] == [("public.plan_log", 1)]
    assert db.rollback("001_up", confirm="001_up").verification.verdict == "schema_restored"
    assert rows(customers) == before


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ("", "public.a public.a_log audit.a audit.b1"),
        ("public.*", "public.a public.a_log"),
        ("a", "public.a audit.a"),
        ("!*_log, !audit.*", "public.a"),
        ("public.* audit.b1 !a", "public.a_log audit.b1"),
        ("*.a_*", "public.a_log"),
        ("audit.b_", ""),
    ],
)
def test_which_tables_patterns_mean(patterns, kept, db, session):
    connection = session()
    connection.execute("SELECT set_config('migrollback.archive_tables', %s, false)", (patterns,))
    found = connection.execute(
        "SELECT string_agg(t, ' ' ORDER BY n) FILTER (WHERE is_table_archived(split_part(t, '.', 1),"
        " split_part(t, '.', 2))) FROM unnest('{public.a,public.a_log,audit.a,audit.b1}'::text[])"
        " WITH ORDINALITY AS u (t, n)"
    ).fetchone()[0]
    assert (found or "") == kept


def contents(connection, schema):
    """Table -> its rows as text, columns in the order of their names, and where its sequences stand."""
    found = {}
    tables = connection.execute(
        "SELECT c.relname, c.relkind FROM pg_class c WHERE c.relnamespace = %s::regnamespace"
        " AND c.relkind IN ('r', 'p', 'S') ORDER BY 1",
        (schema,),
    )
    for name, kind in tables.fetchall():
        if kind == "S":
            found[name] = connection.execute(f'SELECT last_value, is_called FROM {schema}."{name}"').fetchall()
            continue
        columns = connection.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            (f'{schema}."{name}"',),
        ).fetchone()[0]
        rows = connection.execute(f'SELECT ROW({columns})::text FROM ONLY {schema}."{name}" ORDER BY 1')
        found[name] = rows.fetchall() if kind == "r" else []
    return found


def dropped_columns(up):
    return re.findall(r"^ALTER TABLE .*? DROP COLUMN (\w+)", up)


def test_a_column_that_is_not_null_needs_a_default(db, write, customers):
    customers.execute("ALTER TABLE customers ALTER plan SET NOT NULL")
    before = rows(customers)
    write("001_up", "ALTER TABLE customers DROP COLUMN plan;", "ALTER TABLE customers ADD COLUMN plan text NOT NULL;")
    db.apply("001_up", archive=True)
    failed = db.rehearse("001_up").failure
    assert (failed.sqlstate, "add the column with a DEFAULT" in failed.hint) == ("23502", True)
    with pytest.raises(mr.RollbackFailed, match="add the column with a DEFAULT, or without NOT NULL"):
        db.rollback("001_up", confirm="001_up")
    write(
        "001_up",
        "ALTER TABLE customers DROP COLUMN plan;",
        "ALTER TABLE customers ADD COLUMN plan text NOT NULL DEFAULT '';"
        " ALTER TABLE customers ALTER plan DROP DEFAULT;",
    )
    db.register("001_up")
    db.resolve("001_up", status="applied", reason="now with a default")
    assert db.rollback("001_up", confirm="001_up").verification.verdict == "restored"
    assert rows(customers) == before


#: What changes keys, of rows 1 to 10 that lie in the other order; SQL of its rollback where it inserts rows.
KEYS = {
    "all": ("UPDATE t SET id = id + 1", None),
    "and then values": ("UPDATE t SET id = id + 100; UPDATE t SET v = 'x'; DELETE FROM t WHERE id = 103", None),
    "twice": (
        "UPDATE t SET v = 'a' WHERE id < 4; UPDATE t SET id = id + 100 WHERE id > 2; UPDATE t SET v = v || 'b';"
        " UPDATE t SET id = id - 50 WHERE id > 100; DELETE FROM t WHERE v LIKE '%b' AND id = 2",
        None,
    ),
    "to that of one that went": (
        "DELETE FROM t WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2; INSERT INTO t VALUES (2, 'new');"
        " UPDATE t SET v = v || '!'",
        "DELETE FROM t WHERE v LIKE 'new%'",
    ),
    "and one that came again": (
        "DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4, 'new'); UPDATE t SET id = 40 WHERE id = 4;"
        " UPDATE t SET v = 'x' WHERE id > 5",
        None,
    ),
}
TWO_TABLES = """
    CREATE TABLE t (id int PRIMARY KEY, v text);
    INSERT INTO t SELECT n, 'v' || n FROM generate_series(10, 1, -1) n;
    CREATE TABLE u (t int REFERENCES t ON UPDATE CASCADE ON DELETE SET NULL, id int PRIMARY KEY);
    INSERT INTO u SELECT n, n FROM generate_series(1, 10) n;
"""


@pytest.mark.parametrize("what", KEYS)
def test_rows_are_followed_through_changes_of_their_keys(db, write, session, what):
    connection = session()
    connection.execute(TWO_TABLES)
    before = rows(connection, "*", "t"), rows(connection, "id, t", "u")
    up, rollback = KEYS[what]
    write("001_keys", f"{up};", f"{rollback or 'SELECT 1'};")
    db.apply("001_keys", archive=True)
    assert rows(connection, "*", "t") != before[0]
    result = db.rollback("001_keys", confirm="001_keys")
    assert (rows(connection, "*", "t"), rows(connection, "id, t", "u")) == before
    assert result.verification.verdict == "restored"


def test_keys_that_were_exchanged_are_said_to_stay(db, write, session):
    connection = session()
    connection.execute(TWO_TABLES)
    exchange = "UPDATE t SET id = -1 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2; UPDATE t SET id = 2 WHERE id = -1;"
    write("001_keys", exchange, "SELECT 1;")
    db.apply("001_keys", archive=True)
    result = db.rollback("001_keys", confirm="001_keys")
    assert result.verification.verdict == "schema_restored"
    (effect,) = [effect for effect in result.verification.effects if effect.effect == "values_not_restored"]
    assert (effect.identity, "23505" in effect.detail) == ("public.t", True)


def names_column(headline, column):
    return re.search(rf"\([^()]*column dropped[^()]*: [^()]*\b{column}\b", headline) is not None


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 5))])
def test_lossy_migrations(part, db, write, session):
    connection = session()
    wrong = {}
    for number, case in enumerate(CASES[part * 12 : part * 12 + 12], part * 12):
        schema = f"s{number}"
        connection.execute(f"CREATE SCHEMA {schema}; " + case.setup.replace("{s}", schema))
        before = contents(connection, schema)
        name = f"{number:03}_case"
        write(name, case.up.replace("{s}", schema), case.rollback.replace("{s}", schema))
        try:
            kept = db.apply(name, archive=True).archived
            lost = {table for table, found in contents(connection, schema).items() if found != before.get(table, found)}
            lost |= {table for table in before if table not in contents(connection, schema)}
            known = db.assess(name)
            unnamed = [table for table in lost if f"{schema}.{table} (" not in known.headline]
            unnamed = [] if "rename" in case.name else unnamed  # a new name has lost nothing
            if f"{schema}.p (" in known.headline:  # its partitions are named with it
                unnamed = [table for table in unnamed if table not in ("p1", "p2")]
            unnamed = [table for table in unnamed if before[table] and not table.endswith("_seq")]
            dropped = [column for column in dropped_columns(case.up) if not names_column(known.headline, column)]
            result = db.rollback(name, confirm=name)
        except mr.MigrollbackError as error:
            wrong[case.name] = str(error)[:600]
            continue
        if unnamed or dropped:
            wrong[case.name] = ("not named before", unnamed, dropped, known.headline)
            continue
        after = contents(connection, schema)
        differing = {
            table: sum(a != b for a, b in zip(before[table], after.get(table, []), strict=False))
            + abs(len(before[table]) - len(after.get(table, [])))
            for table in before
        }
        if any(differing.values()) or result.verification.verdict != "restored" or known.losses:
            wrong[case.name] = (
                differing,
                result.verification.message,
                [one.words for one in kept],
                [str(e) for e in known.losses],
                result.restored and result.restored.message,
            )
    assert not wrong
