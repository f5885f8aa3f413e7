"""The chain of hashes, counted in Python."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrollback_nb.operations.event_chain import event_hash, verify

FIELDS = (
    "previous_hash",
    "event_number",
    "epoch_us",
    "event",
    "migration_name",
    "attempt_id",
    "database_user",
    "client",
    "reason",
    "details_text",
)


def chain(*reasons):
    events = []
    for number, reason in enumerate(reasons, 1):
        event = dict.fromkeys(FIELDS) | {
            "event_number": number,
            "epoch_us": 1737383400123456 + number,
            "event": "registered",
            "database_user": "ops",
            "reason": reason,
            "details_text": "{}",
            "previous_hash": events[-1]["hash"] if events else None,
        }
        events.append(event | {"hash": event_hash(event)})
    return events


def test_the_payload_is_a_netstring_for_each_field_in_a_fixed_order():
    (event,) = chain("ř")
    payload = b"-,1:1,16:1737383400123457,10:registered,-,-,3:ops,-,2:\xc5\x99,2:{},"
    assert event["hash"] == hashlib.sha256(payload).hexdigest()


def test_a_whole_chain_is_intact_and_shows_its_head():
    events = chain("a", None, "c")
    found = verify(events)
    assert (found.intact, found.events, found.head_number, found.head_hash, found.first_bad_number) == (
        True,
        3,
        3,
        events[-1]["hash"],
        None,
    )


def test_no_events():
    found = verify([])
    assert (found.intact, found.events, found.head_number, found.head_hash) == (True, 0, None, None)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("field", [field for field in FIELDS if field != "previous_hash"] + ["hash", "previous_hash"])
def test_any_change_is_found_where_it_was_made(place, field):
    events = chain("a", "b", "c")
    events[place] = events[place] | {field: 99 if field in ("event_number", "epoch_us") else "forged"}
    found = verify(events)
    assert not found.intact
    assert found.first_bad_number == events[place]["event_number"]


def test_a_changed_event_with_a_new_hash_is_found_at_the_next():
    events = chain("a", "b", "c")
    events[1] = events[1] | {"reason": "forged"}
    events[1]["hash"] = event_hash(events[1])
    assert verify(events).first_bad_number == 3


@pytest.mark.parametrize("gone", [0, 1])
def test_a_missing_event_is_found(gone):
    events = chain("a", "b", "c")
    del events[gone]
    assert not verify(events).intact


def test_a_chain_that_was_hashed_anew_over_a_gap_is_found():
    first, _, third = chain("a", "b", "c")
    third = third | {"previous_hash": first["hash"]}
    third["hash"] = event_hash(third)
    found = verify([first, third])
    assert (found.intact, found.first_bad_number) == (False, 3)


def test_a_swap_is_found():
    first, second, third = chain("a", "b", "c")
    assert not verify([first, third, second]).intact


def test_a_tail_that_was_cut_shows_only_in_the_head():
    whole, cut = verify(chain("a", "b", "c")), verify(chain("a", "b"))
    assert cut.intact
    assert cut.head_hash != whole.head_hash


_values = st.one_of(st.none(), st.text(max_size=5))


@given(st.lists(_values, min_size=3, max_size=3), st.lists(_values, min_size=3, max_size=3))
def test_no_two_events_share_a_payload(one, other):
    base = dict.fromkeys(FIELDS) | {
        "event_number": 1,
        "epoch_us": 1,
        "event": "registered",
        "database_user": "u",
        "details_text": "{}",
    }
    keys = ("migration_name", "client", "reason")
    hashes = [event_hash(base | dict(zip(keys, values, strict=True))) for values in (one, other)]
    assert (hashes[0] == hashes[1]) == (one == other)
