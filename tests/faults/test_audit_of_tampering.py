"""What the audit finds of what an owner did behind the rules: everything with an anchor, all but two without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import psycopg
import pytest
from pg_servers import Server, with_migrations

import migrollback_nb as mr

OFF, ON = (
    "; ".join(
        f"ALTER TABLE {table} {how} TRIGGER {name}"
        for table, names in {
            "migration_events": ("chain_migration_event", "refuse_event_change", "refuse_event_truncate"),
            "migration_history": ("guard_history_change", "complete_history_change", "record_history_change"),
            "migration_dependencies": ("guard_history_change", "record_history_change"),
        }.items()
        for name in names
    )
    for how in ("DISABLE", "ENABLE ALWAYS")
)
REHASHED = """
DO $$ DECLARE e record; before text; number bigint := 0; BEGIN
  FOR e IN SELECT * FROM migration_events ORDER BY event_number LOOP
    number := number + 1;
    UPDATE migration_events n SET event_number = number, previous_hash = before,
           hash = migration_event_hash(before, number, e.occurred_at, e.event, e.migration_name, e.attempt_id,
                                       e.database_user, e.client, e.reason, e.details)
     WHERE n.event_number = e.event_number RETURNING n.hash INTO before;
  END LOOP; END $$
"""
LAST = "(SELECT max(event_number) FROM migration_events)"


class Kind(NamedTuple):
    sql: str  #: what is done, with the triggers off and then on again
    finding: str  #: what the audit calls it without an anchor; "": nothing is found then
    anchored: str = ""  #: what it calls it with one, where that is something else


#: With the triggers that would refuse or record it switched off, and back on afterwards.
SILENT = {
    "event reworded": Kind("UPDATE migration_events SET reason = 'x' WHERE event_number = 4", "chain"),
    "event of another person": Kind("UPDATE migration_events SET database_user = 'x' WHERE event_number = 4", "chain"),
    "event at another time": Kind("UPDATE migration_events SET occurred_at = now() WHERE event_number = 4", "chain"),
    "event with other details": Kind("UPDATE migration_events SET details = '{}' WHERE event_number = 4", "chain"),
    "event taken out": Kind("DELETE FROM migration_events WHERE event_number = 4", "chain"),
    "first events taken out": Kind("DELETE FROM migration_events WHERE event_number < 4", "chain"),
    "events swapped": Kind(
        "UPDATE migration_events SET event_number = 900 WHERE event_number = 4; UPDATE migration_events SET"
        " event_number = 4 WHERE event_number = 5; UPDATE migration_events SET event_number = 5 WHERE event_number ="
        " 900",
        "chain",
    ),
    "event put in": Kind(
        "INSERT INTO migration_events (event_number, occurred_at, event, database_user, previous_hash, hash) SELECT"
        " max(event_number) + 1, now(), 'resolved', 'x', 'x', 'x' FROM migration_events",
        "chain",
    ),
    "all events taken out": Kind("DELETE FROM migration_events", "history"),
    "events emptied": Kind("TRUNCATE migration_events", "history"),
    "last event cut off": Kind(f"DELETE FROM migration_events WHERE event_number = {LAST}", "", "anchor"),
    "log written anew": Kind(
        f"UPDATE migration_events SET reason = 'x' WHERE event_number = 4; {REHASHED}", "", "anchor"
    ),
    "rollback cut off": Kind(
        "DELETE FROM migration_events WHERE event_number >= (SELECT event_number FROM migration_events WHERE event ="
        " 'rolled_back')",
        "history",
    ),
    "rollback taken out, log written anew": Kind(
        f"DELETE FROM migration_events WHERE event IN ('rolled_back', 'verified'); {REHASHED}", "history"
    ),
    "status": Kind("UPDATE migration_history SET status = 'applied' WHERE migration_name = '002_b'", "history"),
    "who rolled back": Kind("UPDATE migration_history SET rollback_by = 'x' WHERE migration_name = '002_b'", "history"),
    "when it was applied": Kind("UPDATE migration_history SET applied_at = now() - interval '1 y'", "history"),
    "rollback SQL": Kind("UPDATE migration_history SET rollback_sql = 'DROP TABLE c CASCADE'", "history"),
    "checksum": Kind("UPDATE migration_history SET checksum = 'x' WHERE migration_name = '001_a'", "history"),
    "notes": Kind("UPDATE migration_history SET notes = 'x' WHERE migration_name = '001_a'", "history"),
    "metadata": Kind('UPDATE migration_history SET metadata = metadata || \'{"search_path": "x"}\'', "history"),
    "trusted ledger": Kind(
        'UPDATE migration_history SET metadata = metadata || \'{"trusted_ledger_owners": ["x"]}\' WHERE'
        " metadata ->> 'system' = 'true'",
        "history",
    ),
    "history row taken out": Kind("DELETE FROM migration_history WHERE migration_name = '004_d'", "history"),
    "history row put in": Kind(
        "INSERT INTO migration_history (migration_name, migration_version) VALUES ('009_x', '009')", "history"
    ),
    "history row renamed": Kind(
        "UPDATE migration_history SET migration_name = '009_x' WHERE migration_name = '004_d'", "history"
    ),
    "dependency taken out": Kind("DELETE FROM migration_dependencies", "dependency"),
    "dependency put in": Kind(
        "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('004_d', '001_a')", "dependency"
    ),
    "dependency of another source": Kind("UPDATE migration_dependencies SET source = 'inferred'", "dependency"),
}
#: As it stands: what no trigger refuses.
PLAIN = {
    "change under a spoofed setting": Kind(
        "SELECT set_config('migrollback.recording', pg_current_xact_id()::text, true); UPDATE migration_history SET"
        " notes = 'x' WHERE migration_name = '001_a'",
        "history",
    ),
    "row put in as a replica": Kind(
        "SET LOCAL session_replication_role = replica; INSERT INTO migration_history (migration_name,"
        " migration_version) VALUES ('009_x', '009')",
        "history",
    ),
    "snapshot changed": Kind(
        "UPDATE migration_snapshots SET objects = '{}' WHERE taken_at = (SELECT max(taken_at) FROM"
        " migration_snapshots)",
        "snapshot",
    ),
    "snapshot taken out": Kind("DELETE FROM migration_snapshots", "snapshot"),
    "snapshot put in": Kind("INSERT INTO migration_snapshots (migration_name, objects) VALUES ('x', '{}')", "snapshot"),
    "states changed": Kind("UPDATE migration_states SET states = '{\"x\": 1}'", "snapshot"),
    "states taken out": Kind("DELETE FROM migration_states", "snapshot"),
    "proof put in": Kind(
        "INSERT INTO migration_proofs (migration_name, checksum, grade) SELECT migration_name, checksum, 'restores'"
        " FROM migration_history WHERE migration_name = '001_a'",
        "proof",
    ),
    "dismissal put in": Kind(
        "INSERT INTO migration_dismissed_dependencies (migration_name, depends_on, reason) VALUES ('004_d', '001_a',"
        " 'x')",
        "dependency",
    ),
    "policy put in": Kind(
        "SELECT set_config('migrollback.recording', pg_current_xact_id()::text, true); INSERT INTO migration_policies"
        " VALUES ('x', '{rollback}', '{*}', '{}', 1, '{}', '{}', 60, 1)",
        "policy",
    ),
    "approval put in": Kind(
        "INSERT INTO migration_events (event, migration_name, details) VALUES ('approval_given', '001_a',"
        ' \'{"request": 2, "fingerprint": "x"}\')',
        "approval",
    ),
    "policy trigger off": Kind("ALTER TABLE migration_policies DISABLE TRIGGER guard_policy_change", "trigger"),
    "trigger off": Kind("ALTER TABLE migration_events DISABLE TRIGGER refuse_event_change", "trigger"),
    "trigger not always": Kind("ALTER TABLE migration_history ENABLE TRIGGER record_history_change", "trigger"),
    "trigger dropped": Kind("DROP TRIGGER record_history_change ON migration_dependencies", "trigger"),
    "trigger of theirs": Kind(
        "CREATE FUNCTION x() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER a BEFORE"
        " INSERT ON migration_events FOR EACH ROW EXECUTE FUNCTION x()",
        "trigger",
    ),
    "rule": Kind("CREATE RULE x AS ON INSERT TO migration_events DO INSTEAD NOTHING", "rule"),
    "table inherited from": Kind("CREATE TABLE x () INHERITS (migration_history)", "table"),
    "constraint dropped": Kind("ALTER TABLE migration_history DROP CONSTRAINT migration_history_status_check", "table"),
    "gate replaced": Kind(
        "CREATE OR REPLACE FUNCTION is_transient_error(sqlstate_code text) RETURNS boolean LANGUAGE sql AS 'SELECT"
        " true'",
        "function",
    ),
    "audit replaced": Kind(
        "CREATE OR REPLACE FUNCTION audit_history() RETURNS TABLE (finding text, identity text, event_number bigint,"
        " message text) LANGUAGE sql AS 'SELECT NULL::text, NULL::text, NULL::bigint, NULL::text WHERE false'; SELECT"
        " set_config('migrollback.recording', pg_current_xact_id()::text, true); UPDATE migration_history SET notes ="
        " 'x'",
        "function",
    ),
    "function another's": Kind("ALTER FUNCTION lock_migrations() SECURITY DEFINER", "function"),
    "function's path": Kind("ALTER FUNCTION lock_migrations() SET search_path = public", "function"),
    "function dropped": Kind("DROP FUNCTION migration_checklists()", "function"),
}


def _file(name: str, up: str, *, header: str = "") -> tuple[str, str]:
    table = name.partition("_")[2]
    return name, f"{header}{up}\n-- ROLLBACK START\nDROP TABLE {table};\n-- ROLLBACK END\n"


@pytest.fixture(scope="module")
def template(first_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A database with some history, and its head."""
    folder = tmp_path_factory.mktemp("tampered") / "migrations"
    files = dict(
        _file(name, f"CREATE TABLE {name[4:]} (id int);", header=header)
        for name, header in (("001_a", ""), ("002_b", ""), ("003_c", "-- Depends on: 001_a\n"), ("004_d", ""))
    )
    for name in with_migrations(first_server, folder, files):
        with mr.connect(first_server.dsn(name), dir=folder) as db:
            db.rollback("002_b", confirm="002_b", reason="why")
            db.snapshot("001_a", "kept")
            db.database.commands.add_event("checklist_item", "001_a", {"item": "staging"})
            found = db.audit()
            assert found.success, found.findings
            anchor = found.anchor
        yield name, anchor


@pytest.fixture(scope="module")
def open_session(first_server: Server, template: tuple[str, str]) -> Iterator[psycopg.Connection]:
    copy = first_server.create_database(template=template[0])
    with closing(psycopg.connect(first_server.dsn(copy))) as connection:
        yield connection
    first_server.drop_database(copy)


@pytest.mark.parametrize("what", [*SILENT, *PLAIN])
def test_sql_finds_it(open_session: psycopg.Connection, template: tuple[str, str], what: str) -> None:
    kind = SILENT.get(what) or PLAIN[what]
    query = "SELECT finding FROM audit_migrations(%s)"
    try:
        open_session.execute(f"{OFF}; {kind.sql}; {ON}" if what in SILENT else kind.sql)
        plain = {finding for (finding,) in open_session.execute(query, [[]])}
        anchored = [finding for (finding,) in open_session.execute(query, [[template[1]]])]
    finally:
        open_session.rollback()
    assert kind.finding in plain or not (kind.finding or plain)
    assert anchored == [kind.anchored] if kind.anchored else kind.finding in anchored


@pytest.mark.long
@pytest.mark.parametrize("what", [*SILENT, *PLAIN])
def test_python_finds_it(first_server: Server, template: tuple[str, str], what: str) -> None:
    name, anchor = template
    kind = SILENT.get(what) or PLAIN[what]
    copy = first_server.create_database(template=name)
    try:
        with closing(psycopg.connect(first_server.dsn(copy))) as connection:
            connection.execute(f"{OFF}; {kind.sql}; {ON}" if what in SILENT else kind.sql)
            connection.commit()
        with mr.connect(first_server.dsn(copy)) as db:
            plain, anchored = db.audit(), db.audit(anchors=anchor)
            if kind.finding:
                assert kind.finding in {found.finding for found in plain.findings}, plain.findings
                assert not plain.success
            else:
                assert plain.success, "as much as it says of itself"
            assert not anchored.success
            if kind.anchored:
                assert [found.finding for found in anchored.findings] == [kind.anchored]
            if kind.finding not in ("", "function", "trigger", "rule"):  # those change what SQL asks
                rows = db.database.session.call_in_transaction("audit_migrations", anchors=[anchor], chain=True)
                assert {row["message"] for row in rows} >= {found.message for found in anchored.findings}
    finally:
        first_server.drop_database(copy)


def test_python_finds_what_sql_can_no_longer_say(first_server: Server, template: tuple[str, str]) -> None:
    test_python_finds_it(first_server, template, "audit replaced")


def test_only_two_kinds_need_an_anchor() -> None:
    assert len([one for one in (*SILENT.values(), *PLAIN.values()) if not one.finding]) == 2
    assert len(SILENT) + len(PLAIN) >= 30
