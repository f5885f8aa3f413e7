"""The verdict card: the verdict once, with the migration's name; what goes and whose it is; a table of several."""

from __future__ import annotations

from dataclasses import replace

import pytest
from panel_states import HOSTILE, HOSTILE_REHEARSAL, REHEARSED, TARGET, UNSAFE, Strict, preview_of

from migrollback_nb.core import html
from migrollback_nb.core.results import Assessment, CheckResult, Effect, Foreseen, ForeseenLock
from migrollback_nb.core.results.rehearsal import Failure, Impact, Lock, Statement
from migrollback_nb.core.results.schema import SchemaChange, SchemaDiff
from migrollback_nb.core.results.verdict_cards import card_of, card_of_event

NAME = "20250120_tags"
LOSES = Effect(effect="loses_rows", identity="public.tags", rows=50, detail="table dropped", known_by="rehearsal")
TAKES = Effect(effect="takes_other", identity="public.v", detail="view", migration="20250121_v", known_by="rehearsal")
BREAKS = Effect(effect="breaks", identity="public.f()", detail="function: names table tags", known_by="rehearsal")
KNOWN = Assessment(
    migration_name=NAME,
    verdict="loses",
    headline="Would succeed, and lose 50 rows of public.tags",
    effects=(LOSES, TAKES, BREAKS),
    known_by="rehearsal",
)


def dropped(kind: str, identity: str, made_by: tuple[str, ...] | None, *, named: bool = True) -> Impact:
    change = SchemaChange(change="dropped", kind=kind, identity=identity, old_definition={}, new_definition=None)
    return Impact(change=change, made_by=made_by, named=named, foreign=made_by is not None and NAME not in made_by)


def lock(relation: str, held: float, name: str = NAME) -> Lock:
    return Lock(
        relation=relation,
        kind="table",
        mode="AccessExclusiveLock",
        migration_name=name,
        statement_number=1,
        held_ms=held,
    )


IMPACTS = (
    dropped("table", "public.tags", (NAME,)),
    dropped("column", "public.tags.id", (NAME,)),
    dropped("view", "public.v", ("20250121_v",), named=False),
)
FOUND = replace(
    REHEARSED,
    steps=((NAME, "DROP TABLE tags CASCADE;"),),
    assessment=KNOWN,
    diff=SchemaDiff(changes=tuple(impact.change for impact in IMPACTS)),
    impacts=IMPACTS,
    locks=(lock("public.tags", 4.25), lock("public.users", 1.0)),
    statements=(Statement(migration_name=NAME, number=1, statement="DROP TABLE tags CASCADE", line=3, ms=4.25),),
    duration_ms=5.5,
)
UNKNOWN = replace(KNOWN, headline="Not rehearsed; would lose 50 rows of public.tags", known_by="catalog")
CHECK = CheckResult(migration_name=NAME, can_rollback=True, reason="Migration can be safely rolled back")


def test_a_rehearsal_says_what_goes_whose_it_is_what_breaks_and_what_waits() -> None:
    assert card_of(FOUND).to_lines() == (
        f"⚠️ {NAME}: Would succeed, and lose 50 rows of public.tags",
        "   Loses: 50 rows of public.tags (table dropped)",
        "   Takes from others: public.v (view), of 20250121_v",
        "   Breaks: public.f() (function: names table tags)",
        "   Drops: view public.v, made by 20250121_v, not named by the SQL",
        "   Drops: table public.tags with 1 of its parts",
        "   Longest lock: ACCESS EXCLUSIVE on public.tags for 4.2 ms: readers and writers wait;"
        " 1 more relation is locked",
        "   Time: 5.5 ms for 1 statement; rehearsed on the target, undone",
    )


def test_the_verdict_is_said_once() -> None:
    for answer in (replace(CHECK, assessment=KNOWN), replace(preview_of(NAME), assessment=KNOWN), FOUND):
        assert answer._repr_html_().count(KNOWN.headline) == 1, type(answer).__name__


def test_a_loss_is_amber_until_it_was_rehearsed_or_proven() -> None:
    assert card_of(replace(CHECK, assessment=UNKNOWN)).style == html.CAREFUL
    assert card_of(replace(CHECK, assessment=replace(KNOWN, known_by="proof"))).style == html.BAD
    assert card_of(FOUND).style == html.BAD
    assert card_of(CHECK) is None


@pytest.mark.parametrize("code", ["57014", "55P03"])
def test_what_was_cancelled_or_met_a_lock_says_nothing_of_the_rollback(code: str) -> None:
    failure = Failure(migration_name=NAME, sqlstate=code, message="canceling statement", passing=True)
    ended = replace(FOUND, success=False, failure=failure, message="Rehearsal: it did not get to its end: canceling")
    card = card_of(ended)
    assert (card.verdict, card.style) == ("unknown", html.CAREFUL)
    assert ("Cancelled" in card.headline) is (code == "57014")
    assert "known" in card.headline
    assert "would fail" not in card.to_html().lower()


def test_what_fails_says_why_and_where() -> None:
    failure = Failure(
        migration_name=NAME, sqlstate="42P01", message="no such table", statement_number=1, statement="DROP TABLE u"
    )
    card = card_of(replace(FOUND, success=False, failure=failure))
    assert card.heading == f"❌ {NAME}: Would fail: no such table"
    assert "in statement 1" in card.lines[0].texts[0]


def test_several_are_one_table_with_totals() -> None:
    other = "20250119_users"
    several = replace(
        FOUND,
        steps=((NAME, "DROP TABLE tags;"), (other, "DROP TABLE users;")),
        impacts=(*IMPACTS, dropped("table", "public.users", (other,))),
        assessment=replace(KNOWN, effects=(*KNOWN.effects, replace(LOSES, identity="public.users", rows=4))),
        locks=(lock("public.tags", 4.0), lock("public.users", 2.0, other)),
        statements=(*FOUND.statements, replace(FOUND.statements[0], migration_name=other, ms=1.0)),
    )
    card = card_of(several)
    rows = [
        (step.migration_name, step.verdict, step.rows_lost, step.others, step.ms, step.locks) for step in card.steps
    ]
    # nobody recorded which of the two the function names
    assert rows == [
        (NAME, "loses", 50, 0, 4.25, 1),
        (other, "loses", 4, 0, 1.0, 1),
        (None, "takes_others", 0, 1, None, 0),
    ]
    shown = card.to_html()
    assert "2 migrations down to" in shown
    assert ">54<" in shown
    assert ">5.2<" in shown


def test_before_a_rehearsal_the_locks_foreseen_tell_the_steps_apart() -> None:
    foreseen = Foreseen(
        locks=(
            ForeseenLock(
                relation="public.tags", mode="ACCESS EXCLUSIVE", work=None, why="DROP TABLE", bytes=8192, ms=0,
                held_ms=0, measured=False, migration_name=NAME, statement_number=1, words="",
            ),
        )
    )  # fmt: skip
    preview = replace(preview_of(NAME, "1_a"), assessment=replace(UNKNOWN, effects=(LOSES,)), foreseen=foreseen)
    assert [(step.rows_lost, step.locks) for step in card_of(preview).steps] == [(50, 1), (0, 0)]


def test_three_hundred_effects_are_counted() -> None:
    many = tuple(replace(LOSES, identity=f"public.t{number}", rows=number) for number in range(300))
    card = card_of(replace(FOUND, assessment=replace(KNOWN, effects=many)))
    assert len(card.harms) == 1
    assert card.to_lines()[1:6] == (
        *(f"   Loses: {299 - number} rows of public.t{299 - number} (table dropped)" for number in range(4)),
        "   Loses: and 296 more",
    )


@pytest.mark.parametrize(
    ("details", "heading"),
    [
        (
            {"success": True, "effects": [LOSES.to_dict()], "duration_ms": 3.5},
            f"⚠️ {NAME}: Would succeed; loses 50 rows of public.tags (table dropped)",
        ),
        ({"success": True, "effects": []}, f"✅ {NAME}: Would succeed, and lose nothing"),
        ({"success": True, "chain": ["2_b", NAME]}, f"✅ 2 migrations down to {NAME}: Would succeed, and lose nothing"),
        (
            {"success": False, "sqlstate": "42P01", "message": "Rehearsal: the rollback would fail: no such table"},
            f"❌ {NAME}: Would fail: no such table",
        ),
        (
            {"success": False, "sqlstate": "57014", "message": "canceling statement due to user request"},
            f"❔ {NAME}: Cancelled or ended before its end: nothing is known",
        ),
        (
            {"outcome": "stopped", "message": "Not known: it would have stalled others"},
            f"❔ {NAME}: Not known, it did not get to its end: it would have stalled others",
        ),
    ],
)
def test_the_event_of_a_rehearsal_makes_the_same_card(details: dict, heading: str) -> None:
    assert card_of_event(NAME, details).heading == heading


def test_a_hostile_name_is_text() -> None:
    hostile = replace(LOSES, identity=HOSTILE, detail=HOSTILE, migration=HOSTILE)
    known = replace(
        KNOWN, migration_name=HOSTILE, headline=HOSTILE, effects=(hostile,), blockers=(HOSTILE,), proof=HOSTILE
    )
    for card in (
        card_of(replace(HOSTILE_REHEARSAL, assessment=known)),
        card_of(replace(preview_of(HOSTILE, HOSTILE + "2", target=TARGET), assessment=known)),
        card_of_event(HOSTILE, {"success": False, "message": HOSTILE, "sqlstate": HOSTILE, "where": HOSTILE}),
    ):
        parser = Strict()
        parser.feed(card.to_html(details="<b>x</b>"))
        parser.close()
        assert not UNSAFE.search(card.to_html())
