"""A session whose search_path begins with a stranger's schema, which has all that pg_catalog has and our names:
nothing of it runs in any question or command."""

from __future__ import annotations

import inspect
import io
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from watching import value

import migrollback_nb as mr
from migrollback_nb.cli import run
from migrollback_nb.database.signatures import identities

#: Raises, and says that it ran, also where its error is caught.
RAN = "BEGIN PERFORM pg_catalog.setval('public.theirs_ran', {}); RAISE EXCEPTION 'theirs ran'; END"
#: Functions of pg_catalog that no other schema can have: their arguments or results are pseudo-types.
_PLAIN = (
    "NOT EXISTS (SELECT FROM unnest(p.proargtypes::oid[]) a JOIN pg_type t ON t.oid = a WHERE t.typtype = 'p' AND"
    " t.typname !~ '^any(element|array|nonarray|enum|range|compatible|compatiblearray)$')"
)
_FUNCTIONS = (
    "SELECT DISTINCT p.proname, oidvectortypes(p.proargtypes), CASE WHEN r.typtype = 'p' THEN 'pg_catalog.text' ELSE"
    " format_type(r.oid, NULL) END, p.proretset FROM pg_proc p JOIN pg_type r ON r.oid = p.prorettype WHERE"
    " p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'w') AND " + _PLAIN
)
_AGGREGATES = (
    "SELECT p.proname, oidvectortypes(p.proargtypes) FROM pg_proc p WHERE p.pronamespace ="
    " 'pg_catalog'::regnamespace AND p.prokind = 'a' AND NOT EXISTS (SELECT FROM pg_aggregate a WHERE a.aggfnoid ="
    " p.oid AND a.aggkind <> 'n') AND " + _PLAIN
)
_OPERATORS = (
    "SELECT o.oprname, CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END, format_type(o.oprright, NULL),"
    " format_type(o.oprresult, NULL) FROM pg_operator o JOIN pg_type l ON l.oid IN (o.oprleft, o.oprright) WHERE"
    " o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprright <> 0 AND format_type(o.oprresult, NULL) !~ '^any'"
    " GROUP BY 1, 2, 3, 4 HAVING bool_and(l.typtype <> 'p' OR l.typname ~ '^any(element|array|nonarray|range)$')"
)
#: Functions that take anything, and as what they are given: an exact match comes first.
_OF_ANYTHING = {
    "format": ["text, text", "text, bigint", "text, name, text", "text, name, name, text", "text, text, text"],
    "concat": ["text, text"],
    "concat_ws": ["text, text, text", "text, name, text"],
    "jsonb_build_object": ["text, timestamptz", "text, text", "text, bigint", "text, jsonb"],
    "json_build_array": ["text"],
    "jsonb_build_array": ["text", "text, text"],
    "count": ["integer", "text", "bigint"],
}


def planted(connection):
    """Put all into schema evil: what each number stands for."""
    names: list[str] = []
    made = ["CREATE SEQUENCE public.theirs_ran", "CREATE SCHEMA evil"]

    def add(name):
        names.append(name)
        return "LANGUAGE plpgsql AS $$ " + RAN.format(len(names)) + " $$"

    kinds = connection.execute(
        "SELECT format_type(t.oid, NULL), quote_ident(t.typname) FROM pg_type t WHERE t.typnamespace ="
        " 'pg_catalog'::regnamespace AND t.typtype = 'b' AND t.typname !~ '^(_|pg_|reg|cstring)'"
    ).fetchall()
    functions = connection.execute(_FUNCTIONS).fetchall()
    functions += [(name, listed, "text", False) for name, lists in _OF_ANYTHING.items() for listed in lists]
    for name, arguments, result, is_set in functions:
        returns = f"{'SETOF ' if is_set else ''}{result}"
        body = add(f"{name}({arguments})")
        made.append(f'CREATE FUNCTION evil."{name}"({arguments}) RETURNS {returns} {body}')
    for number, (name, arguments) in enumerate(connection.execute(_AGGREGATES).fetchall()):
        body = add(f"aggregate {name}({arguments})")
        state = f"evil.state_{number}"
        made.append(f"CREATE FUNCTION {state}({', '.join(filter(None, ('text', arguments)))}) RETURNS text {body}")
        made.append(f'CREATE AGGREGATE evil."{name}"({arguments or "*"}) (SFUNC = {state}, STYPE = text)')
    for number, (name, left, right, result) in enumerate(connection.execute(_OPERATORS).fetchall()):
        body = add(f"{left} {name} {right}")
        made.append(
            f"CREATE FUNCTION evil.operator_{number}({left or ''}{',' * bool(left)}{right}) RETURNS {result} {body}"
        )
        sides = f"{f'LEFTARG = {left}, ' if left else ''}RIGHTARG = {right}"
        made.append(f"CREATE OPERATOR evil.{name} ({sides}, FUNCTION = evil.operator_{number})")
    made += [f"CREATE FUNCTION evil.{identity} RETURNS text {add(identity)}" for identity in sorted(identities())]
    for written, name in kinds:
        body = add(f"type {name}")
        made.append(f"CREATE FUNCTION evil.check_{len(names)}({written}) RETURNS boolean {body}")
        made.append(f"CREATE DOMAIN evil.{name} AS pg_catalog.{name} CHECK (evil.check_{len(names)}(VALUE))")
    for (name,) in connection.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace)"
        " AND c.relkind IN ('r', 'v') AND (c.relname ~ '^migration_' OR c.relnamespace ="
        " 'pg_catalog'::regnamespace) AND has_table_privilege(c.oid, 'SELECT')"
    ).fetchall():
        body = add(f"relation {name}")
        made.append(f"CREATE FUNCTION evil.look_{len(names)}() RETURNS boolean {body}")
        made.append(f"CREATE VIEW evil.{name} AS SELECT 1 AS a WHERE evil.look_{len(names)}()")
    connection.execute("SET search_path = pg_catalog; " + "; ".join(made) + "; RESET search_path")
    return names


@pytest.fixture
def hostile(db, applied, database_dsn, session, folder):
    """Migrations asked by such a session, and what says which of theirs has run."""
    applied("001_a", "CREATE TABLE public.a (id integer PRIMARY KEY, n text)", "DROP TABLE public.a")
    applied("002_b", "CREATE TABLE public.b (a integer REFERENCES a)", "DROP TABLE public.b", depends_on=["001_a"])
    applied("003_c", "CREATE INDEX c ON public.a (n)", "DROP INDEX public.c", header="-- Tags: x\n")
    applied("004_d", "CREATE VIEW public.d AS SELECT n FROM a", "DROP VIEW public.d")
    db.rehearse("003_c")
    db.rollback("003_c", confirm="003_c", reason="x")
    db.apply("003_c", deploy="one")
    db.checklist("002_b")
    (folder / "005_e.sql").write_text(
        "CREATE TABLE public.e (id integer);\n-- ROLLBACK START\nDROP TABLE public.e;\n-- ROLLBACK END\n"
    )
    names = planted(session())
    watching = session()

    def nothing_ran(what):
        place = value(watching, "SELECT CASE WHEN is_called THEN last_value END FROM public.theirs_ran")
        assert place is None, f"{what} runs {names[place - 1]}"

    dsn = f"{database_dsn} options='-c search_path=evil,pg_catalog,public'"
    with mr.connect(dsn, dir=folder) as migrations:
        yield migrations, dsn, nothing_ran


#: How each question is asked: with what there is to be said.
def refused_in_words(ask):
    """What is asked about is not there, or may not be."""
    with suppress(mr.MigrollbackError):
        ask()


QUESTIONS = {
    "assess": lambda db: db.assess(["002_b", "001_a"]),
    "approval_request": lambda db: refused_in_words(lambda: db.approval_request(1)),
    "approval_rows": lambda db: db.approval_rows(),
    "approvals": lambda db: db.approvals(),
    "archive_rows": lambda db: db.archive_rows(),
    "at": lambda db: db.at("now"),
    "attempted": lambda db: db.attempted("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "001_a"),
    "attempts": lambda db: db.attempts("001_a+", kind="apply", since="7d", until="now"),
    "audit": lambda db: db.audit(),
    "changes": lambda db: db.changes("7d"),
    "check": lambda db: db.check("001_a"),
    "checklist": lambda db: db.checklist("002_b"),
    "checklists": lambda db: db.checklists(open=True),
    "chosen": lambda db: db.chosen("tag:x", None),
    "dependencies": lambda db: db.dependencies("table:a"),
    "dependency_rows": lambda db: db.dependency_rows([]),
    "deploy_rows": lambda db: db.deploy_rows(since="7d"),
    "deploys": lambda db: db.deploys(since="1mo", until="now"),
    "diff": lambda db: db.diff("001_a"),
    "doctor": lambda db: db.doctor(),
    "drift": lambda db: db.drift(),
    "event_rows": lambda db: db.event_rows(since="7d", limit=3),
    "events": lambda db: db.events("002_b", event="applied", since="7d", until="now", actor="postgres", limit=3),
    "export_audit_log": lambda db: db.export_audit_log(Path(tempfile.mkdtemp()) / "log.json"),
    "graph": lambda db: [db.graph(view=view) for view in ("plan", "dag", "lanes", "tables")],
    "half_applied_warnings": lambda db: db.half_applied_warnings(),
    "history": lambda db: db.history("since:7d status:applied", since="7d", until="now", by="postgres", on="applied"),
    "history_rows": lambda db: db.history_rows(since="2020-01-01", on="last", deploy="one"),
    "history_warnings": lambda db: db.history_warnings(),
    "infer_dependencies": lambda db: db.infer_dependencies(),
    "inferred_rows": lambda db: db.inferred_rows("001_a"),
    "last": lambda db: db.last(deploy="one"),
    "ledger_warnings": lambda db: db.ledger_warnings(),
    "list": lambda db: db.list("verdict:blocked grade:restores by:postgres"),
    "list_with_warnings": lambda db: db.list_with_warnings("verdict:blocked", None),
    "list_rows": lambda db: db.list_rows("1+002_b+1"),
    "look_up_target": lambda db: db.look_up_target(),
    "lost_rows": lambda db: db.lost_rows("001_a"),
    "objects": lambda db: db.objects("001_a", table="a"),
    "pending": lambda db: db.pending(),
    "plan": lambda db: db.plan("001_a"),
    "policy": lambda db: db.policy(),
    "policy_rows": lambda db: db.policy_rows(),
    "preview": lambda db: db.preview("001_a", chain=True),
    "preview_converge": lambda db: refused_in_words(db.preview_converge),
    "proofs": lambda db: db.proofs(),
    "registered_rows": lambda db: db.registered_rows(),
    "rehearsals": lambda db: [db.rehearsals(part) for part in (None, "locks", "rows", "changes")],
    "require_system": lambda db: db.require_system(),
    "require_target": lambda db: db.require_target(None),
    "roles": lambda db: db.roles(),
    "selected": lambda db: db.selected("last:2 schema:public object:public.a deploy:one"),
    "selector_facts": lambda db: db.selector_facts(),
    "snapshot_rows": lambda db: db.snapshot_rows("001_a"),
    "snapshots": lambda db: db.snapshots(),
    "undo_take_over_sql": lambda db: refused_in_words(db.undo_take_over_sql),
    "verify_events": lambda db: db.verify_events(),
}
#: What is asked on the caller's own path, by intention, and what asks nothing.
NOT_ASKED = {"sql", "close", "export_archives"}  # the last writes a file of rows that `archive_rows` asks for


def test_every_question_is_asked_here():
    """Of all that says that it does not write."""
    for name, method in inspect.getmembers(mr.Migrations, inspect.isfunction):
        first = (inspect.getdoc(method) or "").split("\n")[0]
        if not name.startswith("_") and "Does not write" in first:
            assert name in QUESTIONS or name in NOT_ASKED, name


@pytest.mark.long
def test_nothing_of_theirs_runs(hostile, tmp_path):
    migrations, dsn, nothing_ran = hostile
    for name, ask in QUESTIONS.items():
        ask(migrations)
        nothing_ran(name)

    for words in (
        ("list",),
        ("history", "--since", "7d", "--until", "now", "--on", "applied"),
        ("events", "--since", "1mo", "--format", "jsonl"),
        ("doctor",),
        ("audit", "--export", str(tmp_path / "audit.json")),
        ("report", "001_a", "--file", str(tmp_path / "report.html")),
        ("snapshot", "here"),
        ("snapshots", "--prune", "30d"),
        ("deps", "--infer", "--record"),
        ("register", "002_b"),
        ("apply",),
        ("sync", "--deploy", "two"),
        ("rollback", "005_e", "--confirm", "005_e", "--reason", "x"),
        ("verify-rollback", "005_e"),
        ("rollback", "001_a", "--chain", "--confirm", "001_a", "--reason", "x"),
        ("apply", "001_a"),
        ("install",),
    ):
        out = io.StringIO()
        code = run([*words, "--dsn", dsn, "--dir", str(migrations.folder.path)], out, out, io.StringIO())
        nothing_ran(words)
        assert code in (0, 3) if words[0] != "doctor" else code in (0, 1), (words, out.getvalue())


def test_the_callers_path_is_read_without_a_type_of_theirs(session):
    connection = session()
    connection.execute(
        "CREATE SCHEMA evil; CREATE FUNCTION evil.f(pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'theirs ran'; END$$; CREATE DOMAIN evil.name AS pg_catalog.name CHECK"
        " (evil.f(VALUE::pg_catalog.text)); CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.f(VALUE))"
    )
    connection.execute("SET search_path = evil, pg_catalog")
    assert value(connection, "SELECT public.effective_search_path()") == "evil, pg_catalog"


def test_each_function_of_ours_has_a_path_of_its_own(shared_database):
    """But the one whose answer is the caller's path: it qualifies all that it calls, and has no operator."""
    with psycopg.connect(shared_database) as connection:
        bare = connection.execute(
            "SELECT p.proname FROM pg_proc p WHERE p.oid = ANY ((migration_system_objects()).routines) AND NOT EXISTS"
            " (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%')"
        )
        assert bare.fetchall() == [("effective_search_path",)]
