"""The methods of selectors, each asked of a history where more than one answer is wrong."""

import json

import pytest
from pg_servers import with_migrations

import migrollback_nb as mr

TEXTS = {
    "001_shop": (
        "-- Tags: billing, base\nCREATE SCHEMA shop;\nCREATE TABLE shop.orders (id int PRIMARY KEY, note text);\n"
        "-- ROLLBACK START\nDROP SCHEMA shop CASCADE;\n-- ROLLBACK END\n"
    ),
    "002_index": (
        "-- Depends on: 001_shop\nCREATE INDEX notes ON shop.orders (note);\n"
        "-- ROLLBACK START\nDROP INDEX shop.notes;\n-- ROLLBACK END\n"
    ),
    "003_users": (
        '-- Tags: base\nCREATE TABLE public.users (id int PRIMARY KEY, email text);\nCREATE TABLE "Odd Name" ();\n'
        '-- ROLLBACK START\nDROP TABLE public.users; DROP TABLE "Odd Name";\n-- ROLLBACK END\n'
    ),
    "004_view": "CREATE VIEW public.mails AS SELECT email FROM public.users;\n",
    "005_no_index": (
        "-- Depends on: 002_index\nDROP INDEX shop.notes;\n"
        "-- ROLLBACK START\nCREATE INDEX notes ON shop.orders (note);\n-- ROLLBACK END\n"
    ),
    "006_late": "CREATE FUNCTION public.late(int) RETURNS int LANGUAGE sql RETURN 1;\n",
}


@pytest.fixture(scope="module")
def asked(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods") / "migrations"
    for dsn in map(server.dsn, with_migrations(server, folder, TEXTS)):
        with mr.connect(dsn, dir=folder) as db:
            run = db.database.connection.execute
            for place, name in enumerate(TEXTS):
                run(
                    "UPDATE migration_history SET applied_at = clock_timestamp() - %s * interval '1 day', applied_by ="
                    " %s WHERE migration_name = %s",
                    (10 - place, "anna" if place < 3 else "bert", name),
                )
            db.rollback("005_no_index", confirm="005_no_index", snapshots="none")
            run("UPDATE migration_history SET status = 'failed' WHERE migration_name = '006_late'")
            run(
                "SELECT record_migration_proofs((SELECT jsonb_agg(jsonb_build_object('migration_name', migration_name,"
                " 'checksum', checksum, 'grade', CASE WHEN migration_name ~ '1|2' THEN 'restores' ELSE 'fails' END,"
                " 'rollback_md5', md5(convert_to(rollback_sql, 'UTF8')))) FROM migration_history WHERE migration_name ~"
                " '^00[123]'))"
            )
            yield db


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("status:rolled_back", "5"),
        ("status:failed", "6"),
        ("status:applied", "1234"),
        ("by:anna", "123"),
        ("by:b*", "456"),
        ("by:anna,status:applied 006_late", "1236"),
        ("since:7d12h", None),
        ("since:180h", "456"),
        ("since:2100-01-01", ""),
        ("grade:restores", "12"),
        ("grade:fails", "3"),
        ("grade:none", "456"),
        ("verdict:blocked", "1346"),
        ("tag:base", "13"),
        ("tag:bill*", "1"),
        ("tag:base,tag:billing", "1"),
        ("last:1", "6"),
        ("last:3", "346"),
        ("last:100", "12346"),
        ("tag:billing+", "125"),
        ("1+status:rolled_back", "25"),
        ("last:3,by:anna", "3"),
        ("table:orders", "125"),
        ("table:shop.orders", "125"),
        ("table:shop.*", "125"),
        ("table:users", "3"),
        ("table:mails", "4"),
        ('table:"Odd Name"', "3"),
        ("schema:shop", "125"),
        ("schema:public", "346"),
        ("object:shop.notes", "25"),
        ("object:*late*", "6"),
        ("object:notes", "25"),
    ],
)
def test_what_a_method_selects(asked, select, expected):
    if expected is None:
        with pytest.raises(mr.UsageError):
            asked.selected(select)
        return
    assert "".join(name[2] for name in asked.selected(select)) == expected


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("by:ana", "Did you mean anna?"),
        ("tag:bese", "Did you mean base?"),
        ("deploy:x", None),
        ("table:order", "Did you mean"),
        ("schema:shops", "Did you mean shop"),
        ("object:shop.note", "Did you mean"),
        ("since:yesterdayish", "Write"),
    ],
)
def test_what_no_migration_has_says_what_is_near(asked, select, said):
    with pytest.raises(mr.UsageError) as caught:
        asked.selected(select)
    assert said is None or said in caught.value.hint


def test_deploys(db, write_migration):
    for number, label in enumerate(["r1", "r1", "r2+a"], 1):
        write_migration(f"00{number}_a", "SELECT 1;")
        db.apply(f"00{number}_a", deploy=label, snapshots="none")
    write_migration("004_a", "SELECT 1;")
    db.apply("004_a", snapshots="none")
    assert db.selected("deploy:r1") == ("001_a", "002_a")
    assert db.selected("deploy:r2+a") == ("003_a",)
    assert db.selected("deploy:r*") == ("001_a", "002_a", "003_a")
    # a later deploy of a label that was rolled back is the newest
    names = db.selected("deploy:r1", exclude="002_a")
    assert names == ("001_a",)
    with pytest.raises(mr.UsageError, match="No registered migration was brought by a deploy r3") as caught:
        db.selected("deploy:r3")
    assert "r1" in caught.value.hint


def test_tags_of_the_file_count_where_none_were_registered(db, write_migration):
    write_migration("001_a", "-- Tags: old\nSELECT 1;")
    write_migration("002_b", "SELECT 1;")
    write_migration("003_c", "SELECT 1;")
    db.apply(snapshots="none")
    write_migration("001_a", "-- Tags: new\nSELECT 1;")
    write_migration("002_b", "-- Description: x\n-- tags: new, hot fix\n-- Tags: new\nSELECT 1;")
    write_migration("003_c", "SELECT '-- Tags: new';\n-- Tags: new\n")  # behind the first statement it is no header
    assert db.selected("tag:new") == ("002_b",)
    assert db.selected("tag:fix") == ("002_b",)
    assert db.selected("tag:old") == ("001_a",)
    db.register("001_a")
    assert db.selected("tag:new") == ("001_a", "002_b")
    write_migration("001_a", "SELECT 1;")
    db.register("001_a")
    assert db.selected("tag:new") == ("002_b",)
    stored = db.database.queries.find("001_a")["metadata"]
    assert "tags" not in stored, json.dumps(stored)


def test_what_no_one_looked_for_is_said(asked):
    from migrollback_nb.operations.selection import find

    assert find(asked.database, "001_shop").remarks == ()
    asked.database.connection.execute("BEGIN")
    asked.database.connection.execute("DELETE FROM migration_dependency_searches WHERE migration_name = '003_users'")
    (remark,) = find(asked.database, "001_shop+").remarks
    asked.database.connection.execute("ROLLBACK")
    assert "For 1 migration no one has looked" in remark


def test_what_may_be_completed(asked):
    from migrollback_nb.core.selectors import complete

    facts = asked.selector_facts()
    assert facts.names[0] == "20250120_migration_rollback_system"
    assert {"001_shop", "006_late"} <= set(facts.names)
    assert {"shop.orders", "public.users", 'public."Odd Name"'} <= set(facts.tables)
    assert {"shop", "public"} <= set(facts.schemas)
    assert {"anna", "bert"} <= set(facts.roles)
    assert facts.tags == ("base", "billing")
    for method in ("table", "schema", "object", "by", "tag"):
        lines = complete(f"{method}:", facts, most=1000)
        assert lines
        for line in lines[:5]:
            assert asked.selected(line) or "system" in line or method in ("by", "schema"), line
