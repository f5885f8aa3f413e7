"""Functions of others with the names of ours:
none of them runs when somebody uses the system, whatever their arguments are."""

from __future__ import annotations

import io
import re

import psycopg
import pytest
from watching import value

import migrollback_nb as mr
from migrollback_nb.cli import run
from migrollback_nb.database.signatures import identities, signatures
from migrollback_nb.replay import schema_copy

#: Types that an argument of a type is mistaken for.
LIKE = {
    "text": ("varchar", "name", "anyelement"),
    "text[]": ("varchar[]", "name[]", "anyarray", "text"),
    "int4": ("smallint", "bigint", "numeric"),
    "int4[]": ("smallint[]", "bigint[]", "anyarray"),
    "int8": ("smallint", "integer", "numeric"),
    "bool": ("text", "anyelement"),
    "jsonb": ("json", "text", "anyelement"),
    "uuid": ("text", "varchar"),
    "uuid[]": ("text[]", "anyarray"),
    "float8": ("numeric", "real", "smallint"),
    "numeric": ("float8", "bigint", "integer"),
    "oid": ("bigint", "regclass", "integer"),
    "oid[]": ("bigint[]", "anyarray"),
    "timestamptz": ("timestamp", "date", "text"),
    "regclass": ("oid", "text"),
    "regclass[]": ("oid[]", "anyarray"),
    "int8[]": ("integer[]", "anyarray"),
    "bytea": ("text",),
    "jsonb[]": ("json[]", "anyarray"),
}
BODY = "LANGUAGE plpgsql AS $$ BEGIN PERFORM setval('public.theirs_ran', {}); RAISE EXCEPTION 'theirs ran'; END $$"


def overloads():
    """(Function, its arguments as SQL) of everything that is planted:
    one argument of a like type, all of them, fewer arguments, and any number."""
    for name, arguments in signatures().items():
        names = [argument.name.strip('"') for argument in arguments]
        types = tuple(argument.type.removeprefix("pg_catalog.") for argument in arguments)
        lists = {(*types[:place], like, *types[place + 1 :]) for place, own in enumerate(types) for like in LIKE[own]}
        lists |= {types[:count] for count in range(len(types))} | {tuple(LIKE[own][0] for own in types)}
        lists |= {(*types[:place], "VARIADIC text[]") for place, own in enumerate(types) if own != "text[]"}
        for listed in sorted(lists - {types}):
            yield (
                name,
                ", ".join(
                    f'{"VARIADIC " if "VARIADIC" in kind else ""}"{argument}" {kind.removeprefix("VARIADIC ")}'
                    for argument, kind in zip(names, listed, strict=False)
                ),
            )


#: Operators of pg_catalog -> the type of their result, and types between which pg_catalog has some of them and not
#: others.
OPERATORS = (
    dict.fromkeys(("=", "<>", "<", ">", "<=", ">=", "?", "~", "@>"), "boolean")
    | dict.fromkeys(("->>", "#>>", "||"), "text")
    | {"->": "jsonb", "#>": "jsonb", "+": "numeric", "-": "numeric", "*": "numeric"}
)
TYPES = (
    "text",
    "varchar",
    "name",
    '"char"',
    "integer",
    "bigint",
    "numeric",
    "boolean",
    "jsonb",
    "oid",
    "regclass",
    "timestamptz",
    "interval",
    "uuid",
    "text[]",
    "name[]",
)
#: Functions of pg_catalog that take anything, any number of it, or another type than they are given: an exact match
#: comes before them.
SHADOWS = {
    "count": ["integer", "text", "bigint"],
    "format": ["text, text", "text, bigint", "text, name, text", "text, name, name, text"],
    "concat_ws": ["text, text, text", "text, name, text"],
    "jsonb_build_object": ["text, timestamptz", "text, text", "text, bigint", "text, jsonb"],
    "to_jsonb": ["text", "bigint", "numeric", "name"],
    "coalesce": ["text, text"],
    "max": ["varchar"],
    "to_regclass": ["varchar", "name"],
    "current_setting": ["varchar", "name"],
    "lower": ["varchar", "name"],
    "btrim": ["varchar, text", "name, text"],
    "starts_with": ["varchar, text", "name, text"],
    "jsonb_array_elements_text": ["json"],
    "md5": ["varchar", "name"],
    "pg_column_size": ["jsonb", "text"],
    "unnest": ["text[]", "name[]"],
    "cardinality": ["text[]", "name[]"],
}


@pytest.fixture
def planting(session, server):
    """A session of the role that plants, and what notes that something of it has run."""
    server.execute("DO $$ BEGIN IF to_regrole('mallory') IS NULL THEN CREATE ROLE mallory LOGIN; END IF; END $$")
    connection = session()
    connection.execute(
        "CREATE SEQUENCE public.theirs_ran; GRANT ALL ON SEQUENCE public.theirs_ran TO mallory; GRANT CREATE ON SCHEMA"
        " public TO mallory; SET ROLE mallory"
    )
    return connection


@pytest.fixture
def planted(planting):
    """All overloads, put into public by another role: how many."""
    made = [
        f"CREATE FUNCTION public.{name}({arguments}) RETURNS text {BODY.format(place)}"
        for place, (name, arguments) in enumerate(overloads(), 1)
    ]
    planting.execute("; ".join(made))
    return len(made)


def last_that_ran(connection):
    """Number of the one of theirs that ran last, also where its error was caught; None where none did."""
    return value(connection, "SELECT CASE WHEN is_called THEN last_value END FROM public.theirs_ran")


@pytest.fixture
def use_everything(db, database_dsn, session, tmp_path):
    """Uses all that the terminal and Python have, in ways that succeed; returns what `install` said.
    `name` says which of theirs ran."""

    def use(name):
        folder = db.folder.path
        watching = session()

        def write(name, up, down, *, header="", options=""):
            (folder / f"{name}.sql").write_text(f"{header}{up}\n-- ROLLBACK START{options}\n{down}\n-- ROLLBACK END\n")

        def nothing_ran(what):
            place = last_that_ran(watching)
            assert place is None, f"{what} runs {name(place)}"

        def cli(*words):
            out, err = io.StringIO(), io.StringIO()
            exit_code = run([*words, "--dsn", database_dsn, "--dir", str(folder)], out, err, io.StringIO())
            nothing_ran(words)
            assert (words, exit_code) == (words, 0), out.getvalue() + err.getvalue()
            return out.getvalue() + err.getvalue()

        up = (
            "CREATE TABLE a (id int PRIMARY KEY, n text); CREATE FUNCTION reads() RETURNS bigint LANGUAGE sql AS"
            " 'SELECT count(*) FROM a';"
        )
        write("001_a", up, "DROP FUNCTION reads(); DROP TABLE a;")
        write(
            "002_b",
            "CREATE TABLE b (a int REFERENCES a); INSERT INTO a VALUES (1);",
            "DROP TABLE b;",
            header="-- Depends on: 001_a\n",
        )
        write(
            "003_c",
            "CREATE INDEX CONCURRENTLY c ON a (n);",
            "DROP INDEX CONCURRENTLY c;\nSELECT 1;",
            header="-- Transaction: false\n",
            options=" transaction:false",
        )
        said = cli("install")
        watching.execute("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
        for words in (
            ("apply",),
            ("sync",),
            ("check", "002_b"),
            ("check", "003_c"),
            ("list",),
            ("history",),
            ("last",),
            ("register", "002_b"),
            ("rehearse", "002_b"),
            ("rollback", "002_b", "--dry-run"),
            ("deps", "001_a"),
            ("deps", "--infer"),
            ("deps", "--infer", "--record"),
            ("rollback", "003_c", "--confirm", "003_c"),
            ("rehearse", "001_a", "--chain"),
            ("rollback", "001_a", "--chain", "--confirm", "001_a", "--reason", "x"),
            ("apply", "001_a"),
            ("resolve", "001_a", "--as", "rolled_back", "--reason", "x", "--force"),  # its table still stands
            ("history", "--status", "rolled_back"),
            ("history", "--since", "7d", "--without-rollback"),
        ):
            cli(*words)
        for call in (
            db.verify_events,
            lambda: db.events("001_a"),
            db.database.queries.unfinished,
            lambda: db.diff(db.snapshot("here")),
            lambda: db.lost_rows("003_c"),
            db.snapshots,
            db.attempts,
            lambda: db.report("001_a", tmp_path / "report.html"),
            lambda: db.checklist("002_b"),
            lambda: db.install(trust_ledger_of="mallory", distrust_ledger_of="mallory"),
            db.database.queries.error_counters,
            db.database.rehearsals.standbys,
            lambda: db.database.rehearsals.sessions_on(["public.a"]),
            lambda: db.database.rehearsals.estimated_rows([("public.a", None), ("public.a", "n")]),
            lambda: db.database.rehearsals.meant_relations("public", [(None, "a")]),
            db.graph,
            db.pending,
            lambda: schema_copy._roles(db.database),
        ):
            call()
            nothing_ran(call)
        return said

    return use


@pytest.mark.long
def test_none_of_theirs_is_called_by_anything(planted, use_everything):
    assert planted > 1000
    said = use_everything(lambda place: list(overloads())[place - 1])
    assert len(re.findall("not ours: function ", said)) == planted


def stand_ins(connection):
    """Put operators into public for types between which pg_catalog has none, and functions that fit better than
    those of pg_catalog: their names, in order."""
    # by type, and not by name: format_type() has other names for some
    query = (
        "SELECT o.oprname, l.name, r.name FROM pg_operator o JOIN unnest(%s::text[]) AS l (name) ON l.name::regtype ="
        " o.oprleft JOIN unnest(%s::text[]) AS r (name) ON r.name::regtype = o.oprright"
    )
    there = set(connection.execute(query, (list(TYPES), list(TYPES))).fetchall())
    made, names = [], []
    for result in sorted(set(OPERATORS.values())):
        for left in TYPES:
            for right in TYPES:
                operators = [
                    operator
                    for operator, given in OPERATORS.items()
                    if given == result and (operator, left, right) not in there
                ]
                names.append(f"{left} {' '.join(operators)} {right}")
                function = f"public.theirs_{len(names)}"
                made.append(f"CREATE FUNCTION {function}({left}, {right}) RETURNS {result} {BODY.format(len(names))}")
                made += [
                    f"CREATE OPERATOR public.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {function})"
                    for operator in operators
                ]
    for name, lists in SHADOWS.items():
        for arguments in lists:
            names.append(f"{name}({arguments})")
            made.append(f'CREATE FUNCTION public."{name}"({arguments}) RETURNS text {BODY.format(len(names))}')
    connection.execute("; ".join(made))
    return names


@pytest.mark.long
def test_no_operator_or_function_of_theirs_stands_in_for_one_of_postgresql(planting, use_everything):
    names = stand_ins(planting)
    use_everything(lambda place: names[place - 1])


def test_none_of_them_gets_into_what_is_installed(empty_dsn):
    with psycopg.connect(empty_dsn, autocommit=True) as connection, mr.connect(empty_dsn) as migrations:
        connection.execute("CREATE SEQUENCE public.theirs_ran")
        stand_ins(connection)
        migrations.install()
        assert last_that_ran(connection) is None
        # what a table's checks, policies and defaults mean is settled when they are made
        used = (
            "SELECT count(*) FROM pg_depend d WHERE d.refclassid IN ('pg_operator'::regclass, 'pg_proc'::regclass) AND"
            " d.classid IN ('pg_constraint'::regclass, 'pg_policy'::regclass, 'pg_class'::regclass)"
        )
        assert value(connection, used) == 0


def test_our_functions_are_told_from_theirs(db, planted, session):
    connection = session()
    ours = {f"public.{identity}" for identity in identities()}
    found = {
        name
        for (name,) in connection.execute(
            "SELECT format('public.%s(%s)', p.proname, oidvectortypes(p.proargtypes)) FROM pg_proc p WHERE p.oid = ANY"
            " ((migration_system_objects()).routines)"
        )
    }
    assert found == ours  # also: every function of ours is in the list
    result = db.install()
    assert (len(result.not_ours), {one.owner for one in result.not_ours}) == (planted, {"mallory"})
    assert result.to_dict()["not_ours"][0].keys() == {"kind", "identity", "owner"}
    assert "not ours: function public.add_migration_event(" in result._repr_html_()
    # theirs keep their rights, and are part of the schema that is watched
    assert (
        value(connection, "SELECT count(*) FROM pg_proc WHERE proowner = 'mallory'::regrole AND proacl IS NOT NULL")
        == 0
    )
    assert (
        value(connection, "SELECT count(*) FROM schema_objects() o WHERE o.identity ~ 'public.can_rollback_migration'")
        > 0
    )


@pytest.mark.long
def test_by_hand_a_literal_is_text(applied, planted, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    connection = session()
    for call in (
        "can_rollback_migration('001_t')", "list_rollbackable_migrations()",
    ):  # fmt: skip
        connection.execute(f"SELECT * FROM public.{call}").fetchall()
    for call in (
        "execute_migration_rollback('001_t', true)",
        "execute_migration_rollback('001_t')",
        "create_migration_snapshot('001_t', 'why')",
    ):
        with pytest.raises(psycopg.errors.AmbiguousFunction):  # an error, and nothing of theirs
            connection.execute(f"SELECT * FROM public.{call}")
    assert last_that_ran(connection) is None
    assert planted


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "function",
    ["migrations_to_roll_back_first", "migration_fingerprint", "revoke_public_privileges", "start_migration_rollback"],
)
def test_what_is_ambiguous_runs_nothing_and_install_names_it(db, applied, session, function):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    connection = session()
    types = [argument.type for argument in signatures()[function]]
    connection.execute("CREATE SEQUENCE public.theirs_ran")
    connection.execute(
        f"CREATE FUNCTION {function}({', '.join([*types, 'more int DEFAULT 0'])}) RETURNS text {BODY.format(1)}"
    )
    if function != "revoke_public_privileges":
        with pytest.raises(mr.DatabaseError) as caught:
            db.rollback("001_t", confirm="001_t")
        assert caught.value.sqlstate == "42725"
        assert "migrollback install lists such functions" in caught.value.hint
        assert f"function public.{function}(" in str(db.install().not_ours[0])
    else:
        with pytest.raises(mr.Refused, match=f"not ours: function public.{function}\\(.*, owner postgres"):
            db.install()
    assert value(connection, "SELECT NOT is_called FROM theirs_ran")
    connection.execute(f"DROP FUNCTION {function}({', '.join([*types, 'int'])})")
    assert db.install().not_ours == ()
    assert db.rollback("001_t", confirm="001_t").success


def test_a_function_that_is_there_before_install_is_named(empty_dsn):
    with psycopg.connect(empty_dsn, autocommit=True) as connection, mr.connect(empty_dsn) as migrations:
        connection.execute("CREATE FUNCTION is_transient_error(text) RETURNS int LANGUAGE sql AS 'SELECT 1'")
        with pytest.raises(mr.Refused, match=r"not ours: function public.is_transient_error\(text\), owner postgres"):
            migrations.install()
        connection.execute("DROP FUNCTION is_transient_error(text)")
        assert migrations.install().not_ours == ()


def test_triggers_and_rules_on_our_tables_are_named(db, session):
    connection = session()
    connection.execute(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t AFTER"
        " INSERT ON migration_events FOR EACH ROW EXECUTE FUNCTION theirs()"
    )
    connection.execute("CREATE RULE r AS ON INSERT TO migration_dependencies DO ALSO SELECT 1")
    assert [str(one) for one in db.install().not_ours] == [
        "not ours: rule r on public.migration_dependencies, owner postgres",
        "not ours: trigger t on public.migration_events, which runs public.theirs(), owner postgres",
    ]
