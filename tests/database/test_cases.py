"""The inputs of tests/cases, each for a kind of fault: applied, assessed, rehearsed, rolled back; with --long graded
and written by template as well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.replay.proof import prove_folder

if TYPE_CHECKING:
    from pg_servers import Server

CASES = Path(__file__).parents[1] / "cases"
ROLES = ("case_app", "case_ro", "case_own")
TARGETS = {"trigger-names-new-column": "20260102_aisle", "extension-named-pg": "20260102_search"}

Case = Callable[..., mr.Migrations]


@pytest.fixture
def roles(server: Server) -> Iterator[None]:
    """The cluster's roles that the cases name; those that a case makes go with it."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for role in ROLES:
            admin.execute(f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        yield
        admin.execute("DROP ROLE IF EXISTS case_made_here")
        admin.execute("ALTER ROLE case_ro CONNECTION LIMIT -1")


@pytest.fixture
def case(roles: None, database_dsn: str) -> Iterator[Case]:
    """Applies the migrations of a case, all in one run or one by one, and gives the facade."""
    opened = []

    def prepare(name: str, *, together: bool = False) -> mr.Migrations:
        folder = CASES / "sql" / name
        db = mr.connect(database_dsn, dir=folder / "migrations")
        opened.append(db)
        if together:
            db.apply()
        for file in sorted((folder / "migrations").glob("*.sql")) if not together else ():
            db.apply(file.stem)
        if (folder / "data.sql").exists():
            db.database.connection.execute((folder / "data.sql").read_text().encode())
        return db

    yield prepare
    for db in opened:
        db.close()


def last(name: str) -> str:
    """The migration that a case is about."""
    files = sorted((CASES / "sql" / name / "migrations").glob("*.sql"))
    return TARGETS.get(name, files[-1].stem)


def roll_back(db: mr.Migrations, name: str) -> mr.Verification:
    """The verification of its rollback."""
    done = db.rollback(name, confirm=name)
    assert done.verification is not None
    return done.verification


def kinds_of(assessment: mr.Assessment | None) -> dict[str, str]:
    """Effect -> its words, a line each."""
    assert assessment is not None
    said: dict[str, str] = {}
    for one in assessment.effects:
        said[one.effect] = f"{said.get(one.effect, '')}{one}\n"
    return said


@pytest.mark.long
@pytest.mark.versions
def test_comments_in_a_quoted_schema(case: Case) -> None:
    db = case("comments-in-quoted-schema")
    found = roll_back(db, last("comments-in-quoted-schema"))
    assert found.verdict == "differs"
    assert [change.kind for change in found.differences.changes].count("comment") == 3


@pytest.mark.versions
def test_depends_on_extension(case: Case) -> None:
    db = case("depends-on-extension")
    assert roll_back(db, last("depends-on-extension")).verdict == "differs"


@pytest.mark.long
@pytest.mark.versions
def test_an_extension_named_pg(case: Case) -> None:
    db = case("extension-named-pg")
    check = db.check("20260102_search")
    assert (check.can_rollback, check.dependent_migrations) == (False, ("20260103_index",))
    roll_back(db, "20260103_index")
    assert "had not touched" not in roll_back(db, "20260102_search").message


@pytest.mark.long
@pytest.mark.versions
def test_a_grant_on_a_table_of_another_in_one_run(case: Case) -> None:
    db = case("grant-on-table-not-touched", together=True)
    found = roll_back(db, last("grant-on-table-not-touched"))
    assert (found.verdict, found.unexpected.changes) == ("restored", ())


@pytest.mark.long
def test_if_not_exists_over_an_invalid_index(roles: None, database_dsn: str) -> None:
    with mr.connect(database_dsn, dir=CASES / "sql" / "invalid-index-if-not-exists" / "migrations") as db:
        db.apply("20260101_base")
        for _ in range(2):
            with pytest.raises(mr.MigrollbackError) as caught:
                db.apply("20260102_idx")
            assert "big_code" in str(caught.value)
        assert "DROP INDEX CONCURRENTLY" in str(caught.value)
        assert db.check("20260102_idx").can_rollback is False


@pytest.mark.long
@pytest.mark.versions
def test_a_materialized_view_left_unpopulated(case: Case) -> None:
    db = case("matview-unpopulated")
    name = last("matview-unpopulated")
    assert "reading_sum" in kinds_of(db.rehearse(name).assessment)["leaves_unpopulated"]
    found = roll_back(db, name)
    assert found.verdict == "schema_restored"
    assert "reading_sum" in found.message


@pytest.mark.long
def test_a_dump_of_pg_dump_is_applied(case: Case) -> None:
    db = case("pg-dump-restrict")
    assert db.check("20260101_baseline").can_rollback


@pytest.mark.long
@pytest.mark.versions
def test_a_role_left_behind(case: Case) -> None:
    db = case("role-left-behind")
    name = last("role-left-behind")
    assert "case_made_here" in kinds_of(db.rehearse(name).assessment)["leaves_behind"]
    assert roll_back(db, name).verdict != "restored"


@pytest.mark.long
@pytest.mark.versions
def test_a_sequence_that_starts_anew(case: Case) -> None:
    db = case("serial-sequence-restarts")
    name = last("serial-sequence-restarts")
    said = kinds_of(db.rehearse(name).assessment)["restarts_sequence"]
    assert "ticket_id_seq" in said
    assert "stood at 5, starts at 1" in said
    found = roll_back(db, name)
    assert (found.verdict, "stood at 5" in found.message) == ("schema_restored", True)


@pytest.mark.versions
def test_a_dependent_by_new_in_a_trigger(case: Case) -> None:
    db = case("trigger-names-new-column")
    check = db.check("20260102_aisle")
    assert (check.can_rollback, check.dependent_migrations) == (False, ("20260103_aisle_default",))


@pytest.mark.long
@pytest.mark.versions
def test_values_that_a_narrower_type_changes(case: Case) -> None:
    db = case("type-narrowing-loses-values")
    effects = db.rehearse(last("type-narrowing-loses-values")).assessment
    assert effects is not None
    assert sorted(one.identity for one in effects.effects if one.effect == "loses_values") == [
        "public.item.at",
        "public.item.code",
        "public.item.price",
    ]


@pytest.mark.long
@pytest.mark.versions
def test_attribute_versions_of_15_20(case: Case) -> None:
    db = case("pg15-attver-alter")
    for name in ("20260105_view", "20260104_dropcol", "20260103_type"):
        assert roll_back(db, name).verdict == "restored", name


# -- graded, and written by template -----------------------------------------------------------------------------------

#: Case -> the grade of its target, on each server.
GRADES = {
    "comments-in-quoted-schema": {"differs"},
    "depends-on-extension": {"differs"},
    "matview-unpopulated": {"loses_data"},
    "role-left-behind": {"cannot_reapply", "differs"},
    "serial-sequence-restarts": {"loses_data"},
}
#: Case -> what the suggested block must say.
TEMPLATES = {
    "comments-in-quoted-schema": ("COMMENT ON TABLE", "COMMENT ON COLUMN", "COMMENT ON FUNCTION"),
    "depends-on-extension": ("DEPENDS ON EXTENSION citext",),
    "template-begin-atomic-order": ("BEGIN ATOMIC",),
    "template-default-privileges": ("REVOKE",),
}


@pytest.mark.long
@pytest.mark.parametrize("name", GRADES)
def test_its_grade(name: str, roles: None, server: Server) -> None:
    # roles are all databases' own: what makes them is tried on a private server
    proof = prove_folder(CASES / "sql" / name / "migrations", on=None if name == "role-left-behind" else server.dsn())
    grade = {one.migration_name: one.grade for one in proof.migrations}[last(name)]
    assert grade in GRADES[name]
    assert last(name) in {one.migration_name for one in proof.below("restores")}


@pytest.mark.long
def test_grades_on_15_20(roles: None, server: Server) -> None:
    proof = prove_folder(CASES / "sql" / "pg15-attver-alter" / "migrations", on=server.dsn())
    assert {one.migration_name: one.grade for one in proof.migrations} == {
        "20260101_base": "restores",
        "20260102_add": "restores",
        "20260103_type": "restores",
        "20260104_dropcol": "loses_data",
        "20260105_view": "restores",
    }


@pytest.mark.long
@pytest.mark.parametrize("name", TEMPLATES)
def test_its_template(name: str, roles: None, server: Server) -> None:
    made = mr.template(CASES / "sql" / name / "migrations", last(name), prove=True, on=server.dsn())
    assert made.proof is not None
    assert made.proof.grade in ("restores", "loses_data"), made.proof
    for words in TEMPLATES[name]:
        assert words in made.text


@pytest.mark.long
def test_the_template_of_a_constraint_that_is_not_valid(roles: None, server: Server) -> None:
    if server.major < 18:
        pytest.skip("NOT NULL ... NOT VALID came with PostgreSQL 18")
    name = "template-not-null-not-valid"
    made = mr.template(CASES / "sql" / name / "migrations", last(name), on=server.dsn())
    assert "ADD CONSTRAINT room_area_nn NOT NULL area NOT VALID" in made.text


# -- walks at the command line -----------------------------------------------------------------------------------------

#: Walk -> its exit status, and what its output must hold and must not.
WALKS = {
    "attribute_versions_15_20": (0, ("Restored",), ("Not restored",)),
    "ci_fails_twice": (0, ("\norders\n",), ("ORDERS IS GONE",)),
    "renamed_file": (0, ("\n1\n",), ()),
    "sync_twice": (0, ("20260101000000_t1|applied", "does not hold it"), ("_t2|applied",)),
    "undeclared_dependents": (3, ("Cannot rollback: other migrations depend on this one", "002_b", "003_c"), ()),
}


@pytest.mark.long
@pytest.mark.parametrize("name", WALKS)
def test_a_walk(name: str, empty_dsn: str, server: Server) -> None:
    status, present, absent = WALKS[name]
    psql = server.bin if (server.bin / "psql").exists() else Path(shutil.which("psql") or "/usr/bin/psql").parent
    if not (psql / "psql").exists():
        pytest.skip("there is no psql on this machine")
    parts = psycopg.conninfo.conninfo_to_dict(empty_dsn)
    dsn = f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}"
    path = os.pathsep.join((str(Path(sys.executable).parent), str(psql), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path}
    command = ["sh", str(CASES / "walks" / f"{name}.sh"), dsn]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert all(words in said for words in present), said
    assert not any(words in said for words in absent), said
