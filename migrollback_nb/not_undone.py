"""What SQL does that undoing its transaction does not undo, and whom it calls: found by parsing, before it runs. Pure.

Of functions only the names are found here: which of them are dangerous, and what those do that are no more than names here, the
database knows (`migration_not_undone()` in SQL), because their bodies are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import postgast
from postgast.pg_query_pb2 import (
    AlterTableType,
    CreateTrigStmt,
    DeleteStmt,
    DiscardMode,
    FuncCall,
    InsertStmt,
    MergeStmt,
    Node,
    RangeVar,
    UpdateStmt,
)

#: Schema or None, and name, of a function or a table.
Name = tuple[str | None, str]
_CALL = re.compile(r"[\w\"$]\s*\(")
_WORD = re.compile(r"([A-Za-z_][\w$]*)\s*\(")
_ASSIGNMENT = re.compile(r"\s*([\w\".\[\]$]+)\s*:?=\s*", re.DOTALL)
_TRUSTED = frozenset({"plpgsql", "sql", "plperl", "pltcl", "plv8"})


@dataclass(slots=True)
class Found:
    """What one text of SQL does."""

    effects: set[str] = field(default_factory=set)  #: what is not undone, in words
    calls: set[Name] = field(default_factory=set)  #: functions
    writes: set[tuple[str, str | None, str]] = field(default_factory=set)  #: (insert, update, delete or truncate, schema, table)
    unseen: bool = False  #: it builds SQL while it runs
    bodies: dict[str, tuple[str, str]] = field(default_factory=dict)  #: name -> (language, body) of functions that it creates
    fires: set[str] = field(default_factory=set)  #: names of functions that it makes triggers of


def look(statements: Sequence[str]) -> dict[str, Any]:
    """What `migration_history.metadata` keeps of it, beside the statements: each as a list that begins with the statement's number.

    Examples
    --------
    >>> look(["SELECT setval('s', 1)", "COPY t TO '/tmp/t'"])
    {'not_undone': [[2, 'writes a file on the server (COPY)']], 'calls': [[1, None, 'setval']], 'writes': [], 'unseen': []}
    """
    found = [_look_at(statement) for statement in statements]
    called = {name for one in found for _, name in one.calls} | {name for one in found for name in one.fires}
    for one in found:
        for name, (language, body) in one.bodies.items():
            if name in called:  # a function of its own that it also calls: nobody else knows its body yet
                inside = _look_at_body(language, body)
                one.effects |= inside.effects
                one.calls |= inside.calls
                one.writes |= inside.writes
                one.unseen |= inside.unseen
    return {
        "not_undone": [[number, effect] for number, one in enumerate(found, 1) for effect in sorted(one.effects)],
        "calls": [[number, *name] for number, one in enumerate(found, 1) for name in sorted(one.calls, key=lambda name: (name[0] or "", name[1]))],
        "writes": [
            [number, *write] for number, one in enumerate(found, 1) for write in sorted(one.writes, key=lambda write: (write[0], write[1] or "", write[2]))
        ],
        "unseen": [number for number, one in enumerate(found, 1) if one.unseen],
    }


def _look_at(text: str) -> Found:
    found = Found()
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError:
        return found  # nothing of it will run
    for raw in parsed.stmts:
        _look_at_node(raw.stmt, text, found)
    return found


def _look_at_node(node: Node, text: str, found: Found) -> None:
    kind = node.WhichOneof("node")
    match kind:
        case "drop_stmt" | "comment_stmt" | "grant_stmt" | "rename_stmt":
            return  # DROP FUNCTION f(int) calls nothing
        case "create_stmt" | "view_stmt" | "create_policy_stmt" | "alter_policy_stmt" | "rule_stmt" | "create_domain_stmt":
            return  # nor does what will be called one day: DEFAULT nextval('s')
        case "alter_table_stmt":
            for command in node.alter_table_stmt.cmds:
                # ADD COLUMN ... DEFAULT fills the rows that are there, SET DEFAULT does not
                if command.alter_table_cmd.subtype != AlterTableType.AT_ColumnDefault:
                    _add_calls(command, found)
            return
        case "copy_stmt":
            copy = node.copy_stmt
            if copy.is_program:
                found.effects.add("runs a program on the server (COPY ... PROGRAM)")
            elif not copy.is_from and copy.filename:
                found.effects.add("writes a file on the server (COPY)")
            if copy.is_from and copy.HasField("relation"):
                found.writes.add(("insert", copy.relation.schemaname or None, copy.relation.relname))
        case "prepare_stmt" | "deallocate_stmt":
            found.effects.add("changes the session's prepared statements (PREPARE, DEALLOCATE)")
        case "load_stmt":
            found.effects.add("loads a library into the session (LOAD)")
        case "check_point_stmt":
            found.effects.add("makes the whole server write to disk (CHECKPOINT)")
        case "discard_stmt" if node.discard_stmt.target != DiscardMode.DISCARD_TEMP:
            found.effects.add("forgets what the session keeps (DISCARD)")
        case "do_stmt":
            options = {argument.def_elem.defname: argument.def_elem.arg.string.sval for argument in node.do_stmt.args}
            inside = _look_at_body(options.get("language", "plpgsql"), options.get("as", ""))
            found.effects |= inside.effects
            found.calls |= inside.calls
            found.writes |= inside.writes
            found.unseen |= inside.unseen
            return
        case "create_function_stmt":
            made = node.create_function_stmt
            options = {option.def_elem.defname: option.def_elem.arg for option in made.options}
            language = options["language"].string.sval if "language" in options else "sql"
            body = options["as"].list.items[0].string.sval if "as" in options and options["as"].list.items else ""
            found.bodies[made.funcname[-1].string.sval] = (language, body)
            return
        case "truncate_stmt":
            found.writes |= {("truncate", item.range_var.schemaname or None, item.range_var.relname) for item in node.truncate_stmt.relations}
        case "call_stmt":
            pass  # its call is a FuncCall too
    if kind in ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "select_stmt") or "with" in text.lower():
        for deed, tree in (("insert", InsertStmt), ("update", UpdateStmt), ("delete", DeleteStmt)):
            found.writes |= {_target(deed, one.relation) for one in postgast.find_nodes(node, tree)}
        for merge in postgast.find_nodes(node, MergeStmt):
            found.writes |= {_target(deed, merge.relation) for deed in ("insert", "update", "delete")}
    if kind == "create_trig_stmt":
        found.fires |= {one.funcname[-1].string.sval for one in postgast.find_nodes(node, CreateTrigStmt)}
    if _CALL.search(text):
        _add_calls(node, found)


def _add_calls(node: Node, found: Found) -> None:
    for call in postgast.find_nodes(node, FuncCall):
        names = [part.string.sval for part in call.funcname]
        if names:
            found.calls.add((names[-2] if len(names) > 1 else None, names[-1]))


def _target(deed: str, relation: RangeVar) -> tuple[str, str | None, str]:
    return deed, relation.schemaname or None, relation.relname


def _look_at_body(language: str, body: str) -> Found:
    if language.lower() == "sql":
        return _look_at(body)
    found = Found()
    if language.lower() == "plpgsql":
        read = plpgsql_tree(body) is not None
        for query, dynamic in plpgsql_queries(body):
            inside = _look_at(query)
            found.effects |= inside.effects
            found.calls |= inside.calls | (_words(query) if dynamic else set())
            found.writes |= inside.writes
            found.unseen |= dynamic
        if not read:
            found.calls |= _words(body)
            found.unseen = True
    elif language.lower() not in _TRUSTED:
        found.effects.add(f"runs code in {language}, which can do anything outside the database")
    return found


def _words(text: str) -> set[Name]:
    """What stands before a parenthesis, in a text that cannot be parsed."""
    return {(None, word.lower()) for word in _WORD.findall(text)}


def plpgsql_queries(body: str, *, arguments: str = "", returns: str = "int") -> Iterator[tuple[str, bool]]:
    """(SQL, whether it is built while it runs) of every statement and expression in the body of a PL/pgSQL function or DO block.

    An expression comes as ``SELECT expression``; of SQL that is built while it runs, the constant texts that it is built of, one by one.
    Nothing comes of a body that cannot be read.

    Parameters
    ----------
    body : str
        What stands between the dollar quotes.
    arguments : str
        Declarations of the function's arguments, as in ``a int, b text``: the parser wants to know what is assigned to.
    returns : str
        What it returns.
    """
    yield from _queries(plpgsql_tree(body, arguments=arguments, returns=returns))


def plpgsql_types(body: str, *, arguments: str = "", returns: str = "int") -> Iterator[str]:
    """The type of every variable that the body of a PL/pgSQL function declares, as it stands there; parameters as of `plpgsql_queries`."""
    yield from _types(plpgsql_tree(body, arguments=arguments, returns=returns))


def plpgsql_tree(body: str, *, arguments: str = "", returns: str = "int") -> Any:
    """The body as the parser gives it, or None when it cannot be read; parameters as of `plpgsql_queries`."""
    tag = "migrollback"
    while f"${tag}$" in body:
        tag += "_"
    # A block around it declares what only triggers have; a function that RETURNS trigger is written as broken JSON by the parser.
    block = body.rstrip().rstrip(";").rstrip()
    outside = "int" if returns in ("trigger", "event_trigger") else returns
    for kind in (outside, "void", "SETOF record"):  # RETURN with a value, without, RETURN NEXT
        wrapped = f"DECLARE new record; old record; tg_argv text[]; BEGIN {block}; END" if kind == "int" else block
        with suppress(postgast.PgQueryError, ValueError):
            return postgast.parse_plpgsql(f"CREATE FUNCTION f({arguments}) RETURNS {kind} LANGUAGE plpgsql AS ${tag}${wrapped}${tag}$")
    return None


def _types(tree: Any) -> Iterator[str]:
    if isinstance(tree, list):
        for item in tree:
            yield from _types(item)
    elif isinstance(tree, dict):
        for key, item in tree.items():
            if key == "PLpgSQL_type" and isinstance(item, dict) and "typname" in item:
                yield item["typname"]
            else:
                yield from _types(item)


_DYNAMIC = frozenset({"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"})


def _queries(tree: Any, *, dynamic: bool = False) -> Iterator[tuple[str, bool]]:
    if isinstance(tree, list):
        for item in tree:
            yield from _queries(item)
    elif isinstance(tree, dict):
        for key, item in tree.items():
            if key == "PLpgSQL_expr" and isinstance(item, dict) and "query" in item:
                mode = item.get("parseMode", 0)
                query = item["query"]
                if mode in (3, 4, 5) and (assigned := _ASSIGNMENT.match(query)):
                    yield f"SELECT {assigned[1]}", False  # NEW.a := ... names a column
                    query = query[assigned.end() :]
                if mode:
                    query = f"SELECT {query}"
                if dynamic:
                    yield from ((text, True) for text in _constants(query))
                yield query, False
            elif key in _DYNAMIC and isinstance(item, dict):
                yield from _queries(item.get("query"), dynamic=True)
                yield from _queries({name: other for name, other in item.items() if name != "query"})
            elif key == "query" and dynamic:
                yield from _queries(item, dynamic=True)
            else:
                yield from _queries(item, dynamic=dynamic and key == "PLpgSQL_expr")


def _constants(query: str) -> Iterable[str]:
    """The constant texts of an expression; an empty one where there are none."""
    try:
        found = [one.sval.sval for one in postgast.find_nodes(postgast.parse(query), postgast.pg_query_pb2.A_Const) if one.HasField("sval")]
    except postgast.PgQueryError:
        found = []
    # format()'s places become a name that no function has
    return [re.sub(r"%(?:\d+\$)?-?\d*[sIL]", " x ", text) for text in found] or [""]
