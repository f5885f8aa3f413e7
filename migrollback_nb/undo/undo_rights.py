"""Undoes GRANT, REVOKE, owners and roles. Pure."""

from __future__ import annotations

from typing import Any

from migrollback_nb.parsing.parse_tree import PB, copy_of, deparse, role
from migrollback_nb.undo.ddl import Step
from migrollback_nb.undo.position import Position


def undo_grant(at: Position, m: Any) -> list[Step]:
    """A REVOKE for a GRANT, and the other way round."""
    if m.targtype == PB.GrantTargetType.ACL_TARGET_OBJECT and all(
        at.is_on_created(m.objtype, node) for node in m.objects
    ):
        return []
    return at.by_state("GRANT" if m.is_grant else "REVOKE", [Step(sql=deparse("grant_stmt", _turned(m)))])


def undo_default_privileges(at: Position, m: Any) -> list[Step]:
    """A REVOKE for a GRANT, and the other way round."""
    back = copy_of(m)
    back.action.CopyFrom(_turned(m.action))
    return at.by_state("ALTER DEFAULT PRIVILEGES", [Step(sql=deparse("alter_default_privileges_stmt", back))])


def _turned(m: Any) -> Any:
    """A GRANT as a REVOKE, and the other way round."""
    back = copy_of(m)
    back.is_grant = not m.is_grant
    if m.is_grant:
        back.grant_option = False
    back.behavior = PB.DropBehavior.DROP_RESTRICT
    return back


def undo_owner(at: Position, m: Any) -> list[Step]:
    """Give something back to its owner."""
    if (m.relation.relname and at.relation_key(m.relation) in at.created) or (
        m.HasField("object") and at.is_on_created(m.object_type, m.object)
    ):
        return []
    return at.by_state("OWNER TO")


def undo_grant_role(at: Position, m: Any) -> list[Step]:
    """Take a role's membership back, or give it again."""
    back = copy_of(m)
    back.is_grant = not m.is_grant
    del back.opt[:]
    verb = "GRANT" if m.is_grant else "REVOKE"
    todo = (
        f"line {at.now.line}, {verb} of a role: check this; memberships belong to the whole server and are not"
        " looked at"
    )
    return [Step(sql=deparse("grant_role_stmt", back), todo=todo)]


def undo_alter_role(at: Position, m: Any) -> list[Step]:
    """Leave roles to a person."""
    return at.todo(f"ALTER ROLE {role(m.role)}: roles belong to the whole server, and what this one was is not kept")


def undo_drop_role(at: Position, m: Any) -> list[Step]:
    """Leave roles to a person."""
    return at.todo(
        f"DROP ROLE {', '.join(role(node.role_spec) for node in m.roles)}: roles belong to the whole server; write"
        " CREATE ROLE and its grants by hand"
    )
