"""What is offered while a selector is written."""

import time

import pytest

from migrollback_nb.core.selectors import Facts, complete, describe
from migrollback_nb.core.selectors.grammar import parse

FACTS = Facts(
    names=("004_two words", "003_orders", "002_users", "001_base"),
    tables=("public.users", 'public."Odd, Name"'),
    tags=("hotfix", "base"),
    deploys=("r2", "r1"),
)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("00", ['"004_two words"', "003_orders", "002_users", "001_base"]),
        ("us", ["002_users"]),
        ("USERS", ["002_users"]),
        ("ta", ["table:", "tag:"]),
        ("tag:", ["tag:hotfix", "tag:base"]),
        ("tag:x tag:b", ["tag:x tag:base"]),
        ("tag:x,+us", ["tag:x,+002_users"]),
        ("2+us", ["2+002_users"]),
        ("table:us", ["table:public.users"]),
        ("status:", ["status:applied", "status:rolled_back", "status:failed"]),
        ("verdict:lo", ["verdict:loses", "verdict:blocked"]),
        ("since:", ["since:1d", "since:7d", "since:4w"]),
        ("deploy:r1", []),
        ("002_users", ["002_users+", "+002_users"]),
        ("+002_users", ["+002_users+"]),
        ('"004_two', ['"004_two words"']),
        ('"004_two words', ['"004_two words"+', '+"004_two words"']),
        ("nothing:", []),
        ("zzz", []),
    ],
)
def test_what_is_offered(text, first):
    assert list(complete(text, FACTS)) == first


def test_an_empty_line_shows_what_there_is_to_write():
    offered = complete("", FACTS, most=20)
    assert offered[:2] == ('"004_two words"', "003_orders")
    assert {"table:", "last:"} <= set(offered)
    assert complete("002_users ", FACTS, most=20)[1] == "002_users 003_orders"


@pytest.mark.parametrize("text", ["", "0", "table:", "tag:h", "1+003", "x y,", '"', '"004', "object:", "+", "+ta"])
def test_all_that_is_offered_is_a_selector(text):
    for line in complete(text, FACTS, most=50):
        if not line.endswith(":"):
            assert parse(line, FACTS.names)


def test_ten_thousand_names_are_no_wait():
    facts = Facts(names=tuple(f"{number:05}_name" for number in range(10_000)))
    start = time.perf_counter()
    assert complete("0999", facts, most=2) == ("09990_name", "09991_name")
    complete('"' + "a" * 400 + " " + "," * 400, facts)
    complete("a " * 400, facts)
    assert time.perf_counter() - start < 1


def test_an_offer_says_what_it_means():
    assert describe("tag:x table:").startswith("those that touch the table")
    assert describe("002_users+") == "with what depends on it"
    assert describe("x,+002_users") == "with what it depends on"
    assert describe("002_users") == describe("table:users") == ""
