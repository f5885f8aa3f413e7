"""The fingerprint of a preview changes with each key of metadata that steers the run or what was shown of it, and no
other key does either."""

import copy
import json

import pytest

#: Keys that the fingerprint leaves out.
NOT_STEERING = {"description", "rollback_remark", "deploy", "applied_at_from", "tags", "mine"}
#: Metadata with every key of ours; those of parsing come from the file.
MORE = {
    "description": "x",
    "rollback_remark": "x",
    "deploy": "x",
    "applied_at_from": "sync",
    "tags": ["x"],
    "mine": {"a": 1},
    "tool": "golang-migrate",
    "previous_version": "1",
    "system": False,
}


@pytest.fixture
def stored(db, applied, session):
    """A migration with all of it, and what sets its metadata."""
    applied(
        "002_a",
        "CREATE TABLE a (id int, n text); INSERT INTO a VALUES (1, 'x'); ALTER TABLE a DROP COLUMN n;",
        "SET LOCAL lock_timeout = '5s'; SET statement_timeout = '9s'; DELETE FROM a; SELECT lower('x'); DROP TABLE a;",
    )
    connection = session()
    connection.execute(
        "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);"
        " INSERT INTO schema_migrations VALUES (2, false)"
    )

    def save(metadata):
        connection.execute(
            "UPDATE migration_history SET metadata = %s WHERE migration_name = '002_a'", (json.dumps(metadata),)
        )

    def fingerprint():
        return connection.execute("SELECT migration_fingerprint(ARRAY['002_a'], 'other')").fetchone()[0]

    (metadata,) = connection.execute("SELECT metadata FROM migration_history WHERE migration_name = '002_a'").fetchone()
    metadata = metadata | MORE
    save(metadata)
    return metadata, save, fingerprint


def paths(value, begin=()):
    """Each key, and of a list what is in its first place."""
    yield begin
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(min(len(value), 1)):
            yield from paths(value[key], (*begin, key))


def changed(value, path, *, gone):
    """A copy with another value at a path, or none."""
    found = copy.deepcopy(value)
    inside = found
    for key in path[:-1]:
        inside = inside[key]
    if gone:
        del inside[path[-1]]
    else:
        old = inside[path[-1]]
        inside[path[-1]] = (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int) else "other"
    return found


def test_each_key_that_steers_is_in_it(stored):
    metadata, save, fingerprint = stored
    before = fingerprint()
    rollback = metadata["rollback"]
    assert {"statements", "transaction", "set_local", "set_session", "writes", "calls", "drops", "md5"} <= set(rollback)
    seen = 0
    for path in list(paths(metadata))[1:]:
        for gone in (False, True):
            save(changed(metadata, path, gone=gone))
            assert (fingerprint() == before) is (path[0] in NOT_STEERING), path
            seen += 1
    assert seen > 40
    save(metadata | {"rollback": rollback | {"new_key_of_ours": 1}})
    assert fingerprint() != before


def test_what_is_left_out_steers_nothing(db, stored, session):
    """What is shown and what runs is the same, whatever it says."""
    metadata, save, _ = stored
    look = session()

    def outcome():
        shown = db.preview("002_a").to_dict()
        with look.transaction(force_rollback=True):
            ran = look.execute(
                "SELECT success, message, sql_executed FROM execute_migration_rollback('002_a', reason => 'x')"
            ).fetchone()
            (details,) = look.execute(
                "SELECT details - '{statement_ms,duration_ms,anchor,history_hash}'::text[] FROM"
                " migration_events WHERE event = 'rolled_back' ORDER BY event_number DESC LIMIT 1"
            ).fetchone()
            ledger = look.execute("SELECT array_agg(version) FROM schema_migrations").fetchone()
        return shown, ran, details, ledger

    expected = outcome()
    for key in sorted(NOT_STEERING):
        for value in ("other", {"a": 1}):
            save(metadata | {key: value})
            assert outcome() == expected, (key, value)
        save({name: kept for name, kept in metadata.items() if name != key})
        assert outcome() == expected, key
