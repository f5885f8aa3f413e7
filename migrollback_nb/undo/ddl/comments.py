"""COMMENT ON: from the identity under which PostgreSQL knows a comment. Pure."""

from __future__ import annotations

import re

from migrollback_nb.core.object_names import NAME, split_table
from migrollback_nb.undo.ddl.objects import ROUTINES, Step, by_hand
from migrollback_nb.undo.ddl.quoting import argument_types, literal

_SUBJECTS = (
    (re.compile(r"(?:table|view|materialized view|foreign table|composite type) column (.*)", re.DOTALL), "COLUMN {0}"),
    (re.compile(rf"(?:table )constraint ({NAME}) on (.*)", re.DOTALL), "CONSTRAINT {0} ON {1}"),
    (re.compile(rf"domain constraint ({NAME}) on (.*)", re.DOTALL), "CONSTRAINT {0} ON DOMAIN {1}"),
    (re.compile(rf"policy ({NAME}) on (?:table )?(.*)", re.DOTALL), "POLICY {0} ON {1}"),
    (re.compile(rf"trigger ({NAME}) on (?:table )?(.*)", re.DOTALL), "TRIGGER {0} ON {1}"),
    (re.compile(rf"rule ({NAME}) on (?:table )?(.*)", re.DOTALL), "RULE {0} ON {1}"),
    (re.compile(r"composite type (.*)", re.DOTALL), "TYPE {0}"),
    (re.compile(r"statistics object (.*)", re.DOTALL), "STATISTICS {0}"),
    (re.compile(r"foreign-data wrapper (.*)", re.DOTALL), "FOREIGN DATA WRAPPER {0}"),
    (re.compile(r"transform for (.*) on language (.*)", re.DOTALL), "TRANSFORM FOR {0} LANGUAGE {1}"),
    (
        re.compile(
            r"(table|view|materialized view|foreign"
            r" table|index|sequence|type|schema|extension|function|procedure|aggregate|operator class|operator"
            r" family|operator|cast|collation"
            r"|conversion|publication|subscription|event trigger|text search configuration|text search dictionary|text"
            r" search parser|text search template|language|server"
            r"|access method) (.*)",
            re.DOTALL,
        ),
        "{0} {1}",
    ),
)


def comment_steps(identity: str, text: str | None) -> list[Step]:
    """Bring a comment back; text None: take it away."""
    subject = _subject(identity)
    if subject is None:
        return [by_hand("comment", identity, "was changed")]
    return [Step(sql=f"COMMENT ON {subject} IS {'NULL' if text is None else literal(text)}")]


def _subject(identity: str) -> str | None:
    """What stands between COMMENT ON and IS, for an identity of pg_identify_object(); None where nothing does."""
    for pattern, text in _SUBJECTS:
        found = pattern.fullmatch(identity)
        if found:
            parts = found.groups()
            return text.format(parts[0].upper(), *parts[1:]) if text.startswith("{0} ") else text.format(*parts)
    return None


def is_about(comment: str, kind: str, identity: str) -> bool:
    """Whether a comment is on this object or on a part of it."""
    if kind in ROUTINES:
        return (
            comment.startswith(f"{kind} {identity.split('(', maxsplit=1)[0]}(")
            and comment.split("(", 1)[1] == argument_types(identity) + ")"
        )
    if kind == "policy":
        table, name = split_table(identity)
        return comment in (f"policy {name} on {table}", f"policy {name} on table {table}")
    return (
        comment == f"{kind} {identity}"
        or comment.startswith(f"{kind} column {identity}.")
        or comment.endswith((f" on {identity}", f" on table {identity}"))
    )
