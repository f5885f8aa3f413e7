"""The checklist as data, and how a run of it is read from events."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import migrollback_nb as mr
from migrollback_nb.runbook import error_rates, hooks, items, smoke_tests
from migrollback_nb.runbook.items import ITEMS, Outcome, Phase, items_of
from migrollback_nb.runbook.run import read_run, runs_of

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def trail(*events: tuple[str, dict[str, Any]], name: str = "1_a") -> list[dict[str, Any]]:
    return [
        {
            "event_number": number,
            "occurred_at": BEGAN + timedelta(minutes=number),
            "event": event,
            "migration_name": name,
            "attempt_id": None,
            "database_user": "dba",
            "client": "test",
            "reason": details.pop("reason", None),
            "details": details,
        }
        for number, (event, details) in enumerate(events, 1)
    ]


def item(key: str, outcome: str = "done", run: int = 1, **more: Any) -> tuple[str, dict[str, Any]]:
    return "checklist_item", {"item": key, "outcome": outcome, "run": run, "summary": "", "evidence": {}, **more}


def test_the_checklist_is_the_specifications() -> None:
    # its text, word for word; the specification itself does not ship
    assert [len(items_of(phase)) for phase in Phase] == [8, 8, 5]
    assert [one.text for one in ITEMS] == [
        "Tested rollback in staging environment",
        "Verified application code compatible with rolled-back schema",
        "Checked for dependent migrations",
        "Created database backup",
        "Scheduled maintenance window",
        "Notified team/users of downtime",
        "Prepared rollback of rollback plan (re-apply migration)",
        "Documented reason for rollback",
        "Enable maintenance mode",
        "Execute dry-run first",
        "Take final backup",
        "Execute rollback",
        "Verify database state",
        "Deploy matching application version",
        "Run smoke tests",
        "Monitor error rates",
        "Document what went wrong",
        "Update migration with fixes",
        "Plan re-deployment",
        "Disable maintenance mode",
        "Notify team/users",
    ]
    assert len({one.key for one in ITEMS}) == 21
    assert all(one.help and not one.help.endswith(".") for one in ITEMS)


def test_an_unknown_item_is_named_with_those_there_are() -> None:
    with pytest.raises(mr.UsageError, match=r"no item nap\n.*staging"):
        items.item_of("nap")


def test_a_run_begins_when_the_migration_is_applied() -> None:
    assert read_run("1_a", []).run == 0
    assert read_run("1_a", trail(("registered", {}))).run == 1
    # what is registered anew while it is in place begins nothing
    assert read_run("1_a", trail(("applied", {}), ("registered", {"what": "updated"}))).run == 1
    again = trail(("applied", {}), ("rolled_back", {}), ("applied", {}))
    assert read_run("1_a", again).run == 3
    assert read_run("1_a", again).rolled_back is None
    assert read_run("1_a", again, run=1).rolled_back["event_number"] == 2


def test_other_ways_in_and_out_of_place_count_too() -> None:
    resolved = trail(("applied", {}), ("resolved", {"old": "failed", "new": "rolled_back"}))
    assert read_run("1_a", resolved).rolled_back["event"] == "resolved"
    by_hand = trail(
        ("applied", {}),
        ("history_changed", {"table": "migration_history", "new": {"status": "rolled_back"}}),
        ("registered", {}),
    )
    assert read_run("1_a", by_hand).run == 3
    notes_only = trail(("applied", {}), ("history_changed", {"table": "migration_history", "new": {"notes": "x"}}))
    assert read_run("1_a", notes_only).rolled_back is None


def test_after_the_rollback_the_run_goes_on_until_it_is_applied_again() -> None:
    state = read_run("1_a", trail(("applied", {}), item("backup"), ("rolled_back", {}), item("documented")))
    assert state.run == 1
    assert [entry.item for entry in state.entries] == ["backup", "documented"]
    assert state.outcome("execute") == Outcome.DONE


def test_events_of_other_migrations_and_runs_are_left_aside() -> None:
    events = trail(("applied", {}), item("backup", run=7), item("window"))
    assert [entry.item for entry in read_run("1_a", events + trail(item("reason"), name="2_b")).entries] == ["window"]
    assert runs_of("1_a", events) == (1, 7)


def test_the_last_answer_counts() -> None:
    state = read_run("1_a", trail(("applied", {}), item("smoke", "failed"), item("smoke", reason="second try")))
    assert state.outcome("smoke") == Outcome.DONE
    assert state.latest("smoke").note == "second try"
    assert len(state.entries) == 2


def test_what_is_left_before_is_said() -> None:
    answered = [
        item(one.key, "skipped" if one.key == "window" else "done", reason="r") for one in items_of(Phase.BEFORE)
    ]
    assert read_run("1_a", trail(("applied", {}), *answered)).missing_before == ""
    left = read_run("1_a", trail(("applied", {}), *answered[1:])).missing_before
    assert left == "1 of the checklist's items before the rollback are open: Tested rollback in staging environment"
    failed = read_run("1_a", trail(("applied", {}), *answered, item("backup", "failed")))
    assert "Created database backup" in failed.missing_before


@pytest.mark.parametrize(
    "details",
    [{}, {"item": "nap", "outcome": "done"}, {"item": "backup", "outcome": "perhaps"}, {"item": None}],
)
def test_an_event_that_is_no_answer_is_passed_over(details: dict[str, Any]) -> None:
    assert read_run("1_a", trail(("applied", {}), ("checklist_item", details))).entries == ()


def test_odd_details_of_an_answer_do_no_harm() -> None:
    state = read_run(
        "1_a", trail(("applied", {}), item("backup", evidence="none", summary=None, ticket=4, attested="yes"))
    )
    entry = state.latest("backup")
    assert (entry.evidence, entry.summary, entry.ticket, entry.attested) == ({}, "", None, False)


def test_it_shows_as_text_html_and_json_with_nothing_live() -> None:
    hostile = '<script>alert(1)</script>"\u202e\x1b[31m'
    events = trail(("applied", {}), item("backup", summary=hostile, reason=hostile, ticket=hostile), name=hostile)
    state = read_run(hostile, events)
    shown = state._repr_html_()
    assert "<script" not in shown
    assert not re.search("[\u202e\x1b]", shown)
    assert "&lt;U+202E&gt;" in shown
    assert "before 1 done, 7 open; during" in repr(state)
    as_dict = state.to_dict()
    assert len(as_dict["items"]) == 21
    assert as_dict["items"][3]["answer"]["note"] == hostile


# -- hooks ------------------------------------------------------------------------------------------------------------

FACTS = {"event": "notified", "migration": "1_a'; rm -rf /", "ticket": "INC-1"}


def test_a_shell_command_gets_the_facts_in_its_environment_and_says_how_it_went(tmp_path: Path) -> None:
    told = tmp_path / "told"
    result = hooks.run_hook(f'printf %s "$MIGROLLBACK_MIGRATION" > {told}; echo said', "hook", FACTS)
    assert (result.success, result.exit_status, result.output) == (True, 0, "said")
    assert told.read_text() == FACTS["migration"]
    failed = hooks.run_hook("echo no >&2; exit 7", "hook", FACTS)
    assert (failed.success, failed.exit_status, failed.output) == (False, 7, "no")
    assert "failed" in str(failed)


def test_a_command_that_does_not_end_is_stopped() -> None:
    result = hooks.run_hook(
        "sleep 600; true", "hook", FACTS, timeout=0.2
    )  # the shell has a child that holds its output open
    assert not result.success
    assert "had not ended" in result.output


def test_a_callable_gets_them_too_and_its_error_is_an_answer() -> None:
    got: list[Any] = []
    assert hooks.run_hook(got.append, "hook", FACTS).success
    assert got == [FACTS]
    assert hooks.run_hook(lambda _: "id 5", "hook", FACTS).output == "id 5"
    assert not hooks.run_hook(lambda _: False, "hook", FACTS).success

    def fails(_: object) -> None:
        raise OSError("no network")

    result = hooks.run_hook(fails, "hook", FACTS)
    assert (result.success, result.output) == (False, "OSError: no network")


def test_which_hook_is_configured_is_said_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hooks.configured(None, hooks.NOTIFICATION_VARIABLE) == (None, "")
    monkeypatch.setenv(hooks.NOTIFICATION_VARIABLE, "curl -H 'Authorization: secret'")
    assert "secret" not in hooks.configured(None, hooks.NOTIFICATION_VARIABLE)[1]
    assert hooks.configured("given", hooks.NOTIFICATION_VARIABLE)[0] == "given"


# -- smoke tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "rows", "matches"),
    [
        (1, [(1,)], True),
        (1, [(2,)], False),
        (1, [], False),
        (None, [(None,)], True),
        ((1, "a"), [(1, "a")], True),
        ([(1,), (2,)], [(1,), (2,)], True),
        ([1, 2], [(1,), (2,)], True),
        ([(1,), (2,)], [(2,), (1,)], False),
        ([], [], True),
        ("2026-01-01 00:00:00+00:00", [(BEGAN,)], True),
        (True, [(True,)], True),
        ("1", [(1,)], False),
    ],
)
def test_a_result_matches_what_is_expected(expected: Any, rows: list[Any], matches: bool) -> None:
    assert smoke_tests.SmokeTest(name="t", sql="SELECT", expected=expected).matches(rows) is matches


def test_smoke_tests_are_read_as_people_write_them() -> None:
    first, second = smoke_tests.read_tests([("SELECT 1", 1), {"name": "two", "sql": "SELECT 2", "expected": 2}])
    assert (first.name, second.name) == ("SELECT 1", "two")
    with pytest.raises(mr.UsageError, match="no smoke test"):
        smoke_tests.read_tests(["SELECT 1"])


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1; SELECT 2", "COMMIT", "SET TRANSACTION READ WRITE", "", "-- nothing", "SELECT 1; COMMIT; DROP TABLE t"],
)
def test_a_smoke_test_is_one_question(sql: str) -> None:
    with pytest.raises(mr.UsageError, match="not one question"):
        smoke_tests.read_tests([(sql, 1)])


def test_a_smoke_test_that_is_no_sql_is_refused() -> None:
    with pytest.raises(mr.UsageError, match="is no SQL"):
        smoke_tests.read_tests([("SELEC 1", 1)])


# -- error rates ------------------------------------------------------------------------------------------------------


def reading(minutes: float, commits: int, rollbacks: int, **counters: Any) -> dict[str, Any]:
    at = (BEGAN + timedelta(minutes=minutes)).isoformat()
    return {
        "at": at,
        "stats_reset": BEGAN.isoformat(),
        "xact_commit": commits,
        "xact_rollback": rollbacks,
        "deadlocks": 0,
        **counters,
    }


def test_a_share_of_rolled_back_transactions_that_grows_has_risen() -> None:
    before = reading(1000, 100_000, 100)
    assert error_rates.compare(before, reading(1010, 101_000, 101))["risen"] == []
    assert error_rates.compare(before, reading(1010, 101_000, 200))["risen"] == ["xact_rollback"]


def test_a_rate_beyond_the_usual_has_risen() -> None:
    before = reading(1000, 100_000, 100, deadlocks=100)  # one in ten minutes
    assert error_rates.compare(before, reading(1010, 101_000, 100, deadlocks=102))["risen"] == []
    assert error_rates.compare(before, reading(1010, 101_000, 100, deadlocks=106))["risen"] == ["deadlocks"]


def test_counters_that_were_reset_compare_with_nothing() -> None:
    compared = error_rates.compare(reading(1, 100, 1), reading(2, 50, 1))
    assert compared["reset"]
    assert "reset" in compared["lines"][0]


def test_nothing_counted_is_said() -> None:
    assert error_rates.compare(reading(1, 100, 1), reading(2, 100, 1))["quiet"]
    assert not error_rates.compare(reading(1, 100, 1), reading(2, 101, 1))["quiet"]
