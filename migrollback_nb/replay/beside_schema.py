"""What stands beside the schema: sequences, filled views, what is switched off, roles. Does not write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrollback_nb.core.object_names import quote
from migrollback_nb.core.results import Effect

if TYPE_CHECKING:
    import psycopg

    from migrollback_nb.core.results import DataLoss, SchemaChange
    from migrollback_nb.core.results.assessment import EffectKind

#: Sequences that are read by one query.
_BATCH = 100

# What the snapshot of the schema does not show. Triggers that carry out a foreign key are switched off by DISABLE
# TRIGGER ALL, and pg_dump says nothing of it.
_STATE = """
SELECT pg_catalog.jsonb_build_object(
  'sequences', (SELECT coalesce(pg_catalog.jsonb_agg(
                           pg_catalog.jsonb_build_array(r.schema, r.name, r.id, s.seqincrement) ORDER BY r.id), '[]')
                FROM rel r JOIN pg_catalog.pg_sequence s ON s.seqrelid = r.oid),
  'unpopulated', (SELECT coalesce(pg_catalog.jsonb_agg(r.id), '[]') FROM rel r
                  WHERE r.relkind = 'm' AND NOT r.relispopulated),
  'filled', (SELECT coalesce(pg_catalog.jsonb_agg(r.id), '[]') FROM rel r
             WHERE r.relkind = 'm' AND r.relispopulated),
  'off', (SELECT coalesce(pg_catalog.jsonb_agg(DISTINCT r.id || ' ' || pg_catalog.quote_ident(
                              coalesce(k.conname, g.tgname))), '[]')
          FROM pg_catalog.pg_trigger g LEFT JOIN pg_catalog.pg_constraint k ON k.oid = g.tgconstraint
            JOIN rel r ON r.oid = coalesce(k.conrelid, g.tgrelid)
          WHERE g.tgisinternal AND g.tgenabled = 'D'),
  'roles', (SELECT coalesce(pg_catalog.jsonb_object_agg(
                       pg_catalog.quote_ident(a.rolname),
                       pg_catalog.to_jsonb(a) - '{oid,rolname,rolpassword,rolconfig}'::text[]), '{}')
            FROM pg_catalog.pg_roles a WHERE a.rolname !~ '^pg_'),
  'members', (SELECT coalesce(pg_catalog.jsonb_agg(DISTINCT m.member::pg_catalog.regrole || ' in '
                                                   || m.roleid::pg_catalog.regrole), '[]')
              FROM pg_catalog.pg_auth_members m),
  'settings', (SELECT coalesce(pg_catalog.jsonb_object_agg(
                          pg_catalog.split_part(c.setting, '=', 1) || ' of role ' || s.setrole::pg_catalog.regrole,
                          pg_catalog.md5(c.setting)), '{}')
               FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c (setting)
               WHERE s.setdatabase = 0))
"""
_RELATIONS = """
WITH rel AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relispopulated, n.nspname AS schema, c.relname AS name,
         pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS id
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm', 'S', 'f') AND c.relpersistence <> 't' AND n.nspname <> ALL (%s)
    AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                                       AND d.objid = c.oid AND d.deptype = 'e'))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a sequence has come."""

    last: int
    is_called: bool  #: last was given out
    increment: int

    @property
    def next(self) -> int:
        """What it gives out next, unless it ends or begins anew there."""
        return self.last + self.increment if self.is_called else self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideSchema:
    """What stands beside the schema at one moment."""

    sequences: Mapping[str, Reached]
    unpopulated: frozenset[str]  #: materialized views
    filled: frozenset[str]  #: materialized views
    off: frozenset[str]  #: foreign keys and internal triggers that do nothing, as "table name"
    roles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  #: with their attributes, of the whole server
    members: frozenset[str] = frozenset()  #: "role in role", of the whole server
    settings: Mapping[str, str] = field(default_factory=dict)  #: of roles, for all databases; a hash of each


def read(connection: psycopg.Connection, *, besides: Sequence[str], roles: bool) -> BesideSchema:
    """What stands beside the schema, but for what is in some schemas. Does not write.

    roles: the server's roles too; on a server of others they come and go for other reasons.
    """
    row = connection.execute(_RELATIONS + _STATE, ([*besides, "information_schema"],)).fetchone()
    assert row is not None, "one row"  # noqa: S101  # for mypy
    found = row[0]
    return BesideSchema(
        sequences=dict(_sequences(connection, found["sequences"])),
        unpopulated=frozenset(found["unpopulated"]),
        filled=frozenset(found["filled"]),
        off=frozenset(found["off"]),
        roles=found["roles"] if roles else {},
        members=frozenset(found["members"] if roles else ()),
        settings=found["settings"] if roles else {},
    )


def _sequences(connection: psycopg.Connection, found: Sequence[Sequence[Any]]) -> Iterator[tuple[str, Reached]]:
    for begin in range(0, len(found), _BATCH):
        batch = found[begin : begin + _BATCH]
        query = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, last_value, is_called FROM {}").format(sql.Literal(place), sql.Identifier(schema, name))
            for place, (schema, name, _, _) in enumerate(batch)
        )
        for place, last, is_called in connection.execute(query).fetchall():
            _, _, identity, increment = batch[place]
            yield identity, Reached(last=last, is_called=is_called, increment=increment)


# -- what is other than before -----------------------------------------------------------------------------------------


def compare(was: BesideSchema, now: BesideSchema) -> list[Effect]:
    """What is other than before, of what was there before. Pure."""
    return [
        *_restarted(was.sequences, now.sequences),
        *(
            _effect("leaves_unpopulated", view, "cannot be read until it is refreshed")
            for view in sorted(now.unpopulated & was.filled)
        ),
        *(
            _effect("leaves_disabled", constraint, "is switched off and checks nothing")
            for constraint in sorted(now.off - was.off)
        ),
        *_roles(was, now),
    ]


def _restarted(was: Mapping[str, Reached], now: Mapping[str, Reached]) -> Iterator[Effect]:
    for identity, before in was.items():
        after = now.get(identity)
        if after is not None and (after.next - before.next) * (1 if before.increment > 0 else -1) < 0:
            stood = f"stood at {before.last}" if before.is_called else f"would have started at {before.last}"
            yield _effect("restarts_sequence", identity, f"{stood} in the replay, starts at {after.next}")


def _roles(was: BesideSchema, now: BesideSchema) -> Iterator[Effect]:
    """Of the whole server: roles, their attributes and settings, and who is a member of whom."""
    for role, attributes in now.roles.items():
        if role not in was.roles:
            yield _effect("leaves_behind", role, "the role stays")
        elif attributes != was.roles[role]:
            changed = sorted(
                name.removeprefix("rol") for name in attributes if attributes[name] != was.roles[role][name]
            )
            yield _effect("leaves_behind", role, f"the role keeps other attributes: {', '.join(changed)}")
    for role in was.roles.keys() - now.roles.keys():
        yield _effect("leaves_behind", role, "the role does not come back")
    both = was.roles.keys() & now.roles.keys()
    for text, what in (
        *((text, "stays") for text in sorted(now.members - was.members)),
        *((text, "does not come back") for text in sorted(was.members - now.members)),
    ):
        if all(role in both or role.startswith("pg_") for role in text.split(" in ", 1)):
            yield _effect("leaves_behind", text, f"the membership {what}")
    for name in sorted({**was.settings, **now.settings}):
        if was.settings.get(name) != now.settings.get(name) and name.split(" of role ")[-1] in both:
            yield _effect("leaves_behind", name, "the setting is another one")


def _effect(effect: EffectKind, identity: str, detail: str) -> Effect:
    return Effect(effect=effect, identity=identity, detail=detail, known_by="proof")


# -- what a comparison of schemas and rows says in the same form -------------------------------------------------------


def effects_of_losses(losses: Iterable[DataLoss]) -> Iterator[Effect]:
    """Rows and values that did not come back. How many rows there are in a replay says nothing of other databases."""
    for loss in losses:
        for column in loss.columns or (None,):
            identity = loss.identity if column is None else f"{loss.identity}.{quote(column)}"
            yield _effect("values_not_restored", identity, "in the replay")


def effects_of_changes(changes: Iterable[SchemaChange]) -> Iterator[Effect]:
    """Triggers that are left disabled, indexes that are left invalid."""
    for change in changes:
        now, was = change.new_definition or {}, change.old_definition or {}
        if change.kind == "trigger" and now.get("enabled") == "D" and was.get("enabled", "O") != "D":
            yield _effect("leaves_disabled", change.identity, "does not fire")
        elif change.kind == "index" and now.get("valid") is False and was.get("valid") is not False:
            yield _effect("leaves_invalid", change.identity, "is not used, and has to be built anew")
