"""What the report makes of one event: words, and no row that contradicts another."""

from datetime import UTC, datetime

from migrollback_nb.runbook import report_parts

LOSS = {
    "effect": "loses_values", "identity": "public.t.a", "rows": 7, "detail": "rows overwritten", "known_by": "catalog",
}  # fmt: skip


def event(**details):
    return {
        "event": "rehearsed", "migration_name": "1_a", "occurred_at": datetime(2026, 1, 2, tzinfo=UTC),
        "database_user": "dba", "client": "psql", "details": details,
    }  # fmt: skip


def test_what_is_restored_has_no_row_that_says_otherwise():
    details = {
        "message": "Restored (columns stand in another order)",
        "differences": ["~ table public.t"],
        "effects": [LOSS],
    }
    assert report_parts.verification({"verdict": "restored", **details}) == [("Outcome", details["message"])]
    assert report_parts.verification({"verdict": "differs", **details}) == [
        ("Outcome", details["message"]),
        ("Schema, not as before", "~ table public.t"),
        ("Beside the schema", "Overwrites 7 values of public.t.a (rows overwritten)"),
    ]


def test_a_rehearsal_names_objects_rows_and_locks_as_the_manual_does():
    locks = [
        {"relation": "public.t", "kind": "r", "mode": "AccessExclusiveLock", "held_ms": 12.34},
        {"relation": "public.u", "kind": "r", "mode": "ROW EXCLUSIVE", "held_ms": 99},
    ]
    rows = [
        {"relation": "public.t", "what": "dropped", "rows": 3, "exact": True},
        {"relation": "public.u", "what": "updated", "rows": 2, "exact": True},
        {"relation": "public.v", "what": "emptied", "rows": 0, "exact": True},
    ]
    told = event(success=True, locks=locks, rows=rows, foretold=[["dropped", "table", "public.t", "md5"]] * 201)
    part = report_parts.rehearsal(told)
    assert part.locks == (
        ("public.u", "ROW EXCLUSIVE", "DDL waits", "99.0"),
        ("public.t", "ACCESS EXCLUSIVE", "readers and writers wait", "12.3"),
    )
    assert part.rows == ("loses 3 rows of table public.t, which is dropped", "overwrites 2 rows of table public.u")
    assert len(part.objects) == 200
    assert part.more == "1 more objects"
    summary = report_parts.last_rehearsal([told])
    assert summary is not None
    assert "longest lock: ACCESS EXCLUSIVE on public.t, 12.3 ms, readers and writers wait" in summary[1]
    assert report_parts.last_rehearsal([]) is None


def test_one_that_was_stopped_says_nothing_of_the_rollback():
    part = report_parts.rehearsal(event(success=False, outcome="stopped", message="would stall others"))
    assert part.title.endswith(": not known")
    assert part.rows == part.objects == part.locks == ()
