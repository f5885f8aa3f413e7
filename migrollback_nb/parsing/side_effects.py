"""What SQL does that undoing its transaction does not undo, and whom it calls: found by parsing, before it runs. Pure.

Of functions only the names are found here: which of them are dangerous, and what those do that are no more than names
here, the database knows (`migration_side_effects()` in SQL), because their bodies are there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
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

from migrollback_nb.parsing import plpgsql
from migrollback_nb.parsing.parse_tree import Name, qualified, strings

_CALL = re.compile(r"[\w\"$]\s*\(")
_WORD = re.compile(r"([A-Za-z_][\w$]*)\s*\(")
_TRUSTED = frozenset({"plpgsql", "sql", "plperl", "pltcl", "plv8"})


@dataclass(slots=True)
class Found:
    """What one text of SQL does."""

    effects: set[str] = field(default_factory=set)  #: what is not undone, in words
    calls: set[Name] = field(default_factory=set)  #: functions
    #: (insert, update, delete or truncate, schema, table)
    writes: set[tuple[str, str | None, str]] = field(default_factory=set)
    unseen: bool = False  #: it builds SQL while it runs
    bodies: dict[str, Found] = field(default_factory=dict)  #: name -> what a function that it creates would do
    fires: set[str] = field(default_factory=set)  #: names of functions that it creates triggers of

    def take_in(self, inside: Found) -> None:
        """Adds what a part of it does."""
        self.effects |= inside.effects
        self.calls |= inside.calls
        self.writes |= inside.writes
        self.unseen |= inside.unseen


def look(statements: Sequence[str], nodes: Sequence[Node] | None = None) -> dict[str, Any]:
    """What `migration_history.metadata` keeps of it: lists that begin with the number of a statement. Pure.

    Parameters
    ----------
    statements : sequence of str
        Statements that parse, one in each text.
    nodes : sequence of Node, optional
        What the parser made of them, where the caller has parsed them already.

    Examples
    --------
    >>> look(["SELECT setval('s', 1)", "COPY t TO '/tmp/t'"])  # doctest: +NORMALIZE_WHITESPACE
    {'not_undone': [[2, 'writes a file on the server (COPY)']],
     'calls': [[1, None, 'setval']], 'writes': [], 'unseen': []}
    """
    if nodes is None:
        nodes = [
            raw.stmt for raw in postgast.parse("\n;\n".join(statements)).stmts
        ]  # in one go: reading each by itself takes twice as long
    found = [Found() for _ in statements]
    for one, node, text in zip(found, nodes, statements, strict=True):
        _look_at_node(node, text, one)
    called = {name for one in found for _, name in one.calls} | {name for one in found for name in one.fires}
    for one in found:
        for name, inside in one.bodies.items():
            if name in called:  # a function of its own that it also calls: only this text knows its body yet
                one.take_in(inside)
    return {
        "not_undone": [[number, effect] for number, one in enumerate(found, 1) for effect in sorted(one.effects)],
        "calls": [
            [number, *name]
            for number, one in enumerate(found, 1)
            for name in sorted(one.calls, key=lambda name: (name[0] or "", name[1]))
        ],
        "writes": [
            [number, *write]
            for number, one in enumerate(found, 1)
            for write in sorted(one.writes, key=lambda write: (write[0], write[1] or "", write[2]))
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
    kind = node.WhichOneof("node") or ""
    if kind in _CALLS_NOTHING:
        return
    if kind in _PARTS:
        _PARTS[kind](node, text, found)
        return
    if kind in _EFFECTS:
        found.effects.add(_EFFECTS[kind])
    if kind in _MORE:
        _MORE[kind](node, found)
    if kind in _MAY_WRITE or "with" in text.lower():
        _add_writes(node, found)
    if _CALL.search(text):
        _add_calls(node, found)


# -- statements of which only parts run now ----------------------------------------------------------------------------


def _alter_table(node: Node, _: str, found: Found) -> None:
    for command in node.alter_table_stmt.cmds:
        # ADD COLUMN ... DEFAULT fills the rows that are there, SET DEFAULT does not
        if command.alter_table_cmd.subtype != AlterTableType.AT_ColumnDefault:
            _add_calls(command, found)


def _do(node: Node, text: str, found: Found) -> None:
    found.take_in(_look_at_body(text, node.do_stmt.args, "plpgsql"))


def _create_function(node: Node, text: str, found: Found) -> None:
    created = node.create_function_stmt
    found.bodies[created.funcname[-1].string.sval] = _look_at_body(text, created.options, "sql")


# -- what a statement does besides calling functions -------------------------------------------------------------------


def _copy(node: Node, found: Found) -> None:
    copy = node.copy_stmt
    if copy.is_program:
        found.effects.add("runs a program on the server (COPY ... PROGRAM)")
    elif not copy.is_from and copy.filename:
        found.effects.add("writes a file on the server (COPY)")
    if copy.is_from and copy.HasField("relation"):
        found.writes.add(_target("insert", copy.relation))


def _discard(node: Node, found: Found) -> None:
    if node.discard_stmt.target != DiscardMode.DISCARD_TEMP:
        found.effects.add("forgets what the session keeps (DISCARD)")


def _truncate(node: Node, found: Found) -> None:
    found.writes |= {_target("truncate", item.range_var) for item in node.truncate_stmt.relations}


def _create_trigger(node: Node, found: Found) -> None:
    found.fires |= {one.funcname[-1].string.sval for one in postgast.find_nodes(node, CreateTrigStmt)}


def _add_writes(node: Node, found: Found) -> None:
    for operation, tree in (("insert", InsertStmt), ("update", UpdateStmt), ("delete", DeleteStmt)):
        found.writes |= {_target(operation, one.relation) for one in postgast.find_nodes(node, tree)}
    for merge in postgast.find_nodes(node, MergeStmt):
        found.writes |= {_target(operation, merge.relation) for operation in ("insert", "update", "delete")}


#: DROP FUNCTION f(int) calls nothing; nor does what will be called one day: DEFAULT nextval('s').
_CALLS_NOTHING = frozenset({
    "drop_stmt", "comment_stmt", "grant_stmt", "rename_stmt", "create_stmt", "view_stmt", "create_policy_stmt",
    "alter_policy_stmt", "rule_stmt", "create_domain_stmt",
})  # fmt: skip
_PARTS: dict[str, Callable[[Node, str, Found], None]] = {
    "alter_table_stmt": _alter_table,
    "do_stmt": _do,
    "create_function_stmt": _create_function,
}
_EFFECTS = {
    "prepare_stmt": "changes the session's prepared statements (PREPARE, DEALLOCATE)",
    "deallocate_stmt": "changes the session's prepared statements (PREPARE, DEALLOCATE)",
    "load_stmt": "loads a library into the session (LOAD)",
    "check_point_stmt": "makes the whole server write to disk (CHECKPOINT)",
}
_MORE: dict[str, Callable[[Node, Found], None]] = {
    "copy_stmt": _copy,
    "discard_stmt": _discard,
    "truncate_stmt": _truncate,
    "create_trig_stmt": _create_trigger,
}
_MAY_WRITE = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "select_stmt"})


def _add_calls(node: Node, found: Found) -> None:
    for call in postgast.find_nodes(node, FuncCall):
        if call.funcname:
            found.calls.add(qualified(strings(call.funcname)))


def _target(operation: str, relation: RangeVar) -> tuple[str, str | None, str]:
    return operation, relation.schemaname or None, relation.relname


def _look_at_body(statement: str, given: Iterable[Node], language: str) -> Found:
    """What the body of a function or DO block does; given: the statement's options; language: where they name none."""
    options = {option.def_elem.defname: option.def_elem.arg for option in given}
    if "language" in options:
        language = options["language"].string.sval.lower()
    body = options["as"] if "as" in options else Node()
    text = body.string.sval or "".join(part.string.sval for part in body.list.items[:1])
    if language == "sql":
        return _look_at(text)
    found = Found()
    if language == "plpgsql":
        read = plpgsql.parse_body(statement)
        for query in read.queries if read else ():
            inside = _look_at(query.sql)
            if query.built:
                inside.calls |= _words(query.sql)
                inside.unseen = True
            found.take_in(inside)
        if read is None:
            found.calls |= _words(text)
            found.unseen = True
    elif language not in _TRUSTED:
        found.effects.add(f"runs code in {language}, which can do anything outside the database")
    return found


def _words(text: str) -> set[Name]:
    """What stands before a parenthesis, in a text that cannot be parsed."""
    return {(None, word.lower()) for word in _WORD.findall(text)}
