"""Selectors: how a text is read."""

import re
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.selectors import methods
from migrollback_nb.core.selectors.evaluation import evaluate, reach_by
from migrollback_nb.core.selectors.grammar import Term, parse, possible_names, quoted, texts_of


def read(text, *registered):
    """A list of alternatives, each a list of (before, method, value, after)."""
    return [[(one.before, one.method, one.value, one.after) for one in terms] for terms in parse(text, set(registered))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("001_a", [[(0, None, "001_a", 0)]]),
        ("001_a.sql", [[(0, None, "001_a", 0)]]),
        ("001_a+", [[(0, None, "001_a", inf)]]),
        ("+001_a", [[(inf, None, "001_a", 0)]]),
        ("1+001_a+2", [[(1, None, "001_a", 2)]]),
        ("20250101+", [[(0, None, "20250101", inf)]]),  # a name may be all digits
        ("2+", [[(0, None, "2", inf)]]),
        ("3+20250101+", [[(3, None, "20250101", inf)]]),
        ("a b", [[(0, None, "a", 0)], [(0, None, "b", 0)]]),
        ("  a \n b ", [[(0, None, "a", 0)], [(0, None, "b", 0)]]),
        ("a,b c", [[(0, None, "a", 0), (0, None, "b", 0)], [(0, None, "c", 0)]]),
        ("table:users", [[(0, "table", "users", 0)]]),
        ("+table:users+", [[(inf, "table", "users", inf)]]),
        ('"two words"+', [[(0, None, "two words", inf)]]),
        ('"say ""no"""', [[(0, None, 'say "no"', 0)]]),
        ('table:"my table",status:applied', [[(0, "table", "my table", 0), (0, "status", "applied", 0)]]),
        ('object:shop."my table"+1', [[(0, "object", 'shop."my table"', 1)]]),
        ('table:"Shop".orders', [[(0, "table", '"Shop".orders', 0)]]),
        ('object:"f(integer, text)"', [[(0, "object", "f(integer, text)", 0)]]),
        ("since:2026-11-30T14:30+01:00", [[(0, "since", "2026-11-30T14:30+01:00", 0)]]),
        ("deploy:a+b", [[(0, "deploy", "a+b", 0)]]),
    ],
)
def test_a_text_is_read(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize("text", ["a,", ",a", "a, b", "a ,b", "a,,b", "+", "++", "table:", '"open', '""', "table:+"])
def test_what_is_not_understood_is_said(text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "name", ["001 a", "001_a+", "+001_a", "001:a", "001,a", "table:users", '001"a', "1+a+2", "a b,c"]
)
def test_a_registered_name_wins_before_parsing(name):
    assert read(name, name) == [[(0, None, name, 0)]]
    assert read(f"{name}+2", name) == [[(0, None, name, 2)]]
    assert read(f"1+{name}", name) == [[(1, None, name, 0)]]
    assert read(f"{name}.sql", name) == [[(0, None, name, 0)]]
    assert read(f"x {name},status:applied", name) == [
        [(0, None, "x", 0)],
        [(0, None, name, 0), (0, "status", "applied", 0)],
    ]
    assert read(quoted(name) + "+", name) == [[(0, None, name, inf)]]
    for text in (name, f"x {name} y", f"{name},a", f"1+{name}+2", f"{name}.sql", quoted(name), f"a {quoted(name)}+"):
        assert name in possible_names(text)[0]


def test_the_longest_registered_name_wins():
    assert read("a b c", "a b", "a b c") == [[(0, None, "a b c", 0)]]
    assert read("a+", "a", "a+") == [[(0, None, "a+", 0)]]
    assert read("a++", "a", "a+") == [[(0, None, "a+", inf)]]
    assert read('"a"+', "a", "a+") == [[(0, None, "a", inf)]]
    assert read("a bc", "a b") == [[(0, None, "a", 0)], [(0, None, "bc", 0)]]  # not in the middle of a word


def test_a_registered_name_is_no_pattern():
    [[term]] = parse("001_a*", {"001_a*"})
    assert not term.is_pattern
    [[term]] = parse("001_a*", {"001_a"})
    assert term.is_pattern


@pytest.mark.parametrize("select", ["", " ", ["a", ""], [1], 3.5])
def test_an_empty_selector_is_an_error(select):
    with pytest.raises((UsageError, TypeError)):
        texts_of(select)


def test_no_selector_of_several_selects_nothing():
    assert texts_of([]) == ()
    assert evaluate([], lambda _: [], lambda *_: set()) == set()


def test_a_long_text_is_not_taken_apart():
    names, is_all = possible_names(" ".join(f"{number:05}" for number in range(1000)))
    assert len(names) == 1001
    assert not is_all


@pytest.mark.parametrize(
    ("value", "fits", "does_not"),
    [
        ("2025*users", ["2025_users", "2025users"], ["2025_user", "x2025_users"]),
        ("00?_a", ["001_a"], ["0011_a"]),
        ("00[12]_a", ["001_a", "002_a"], ["003_a"]),
        ("00[!12]_a", ["003_a"], ["001_a"]),
        ("a.b(*)", ["a.b(int)"], ["axb(int)"]),
        ("[]a]x", ["]x", "ax"], ["bx"]),
        ("a[b", ["a[b"], ["ab"]),
        ("a[[:x", ["a[[:x"], ["a:x"]),
        ("*\n", ["a\n"], ["a"]),
    ],
)
def test_a_pattern(value, fits, does_not):
    found = re.compile(methods.pattern(value), re.DOTALL)
    assert all(found.fullmatch(text) for text in fits)
    assert not any(found.fullmatch(text) for text in does_not)


def test_a_bad_pattern_is_said():
    with pytest.raises(UsageError):
        methods.pattern("[z-a]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tabel:users", "Did you mean table?"),
        ("xyz:users", "Methods are table,"),
        ("status:aplied", "Did you mean applied"),
        ("grade:restore", "Did you mean restores?"),
        ("verdict:loss", "Did you mean loses?"),
        ("last:0", "last:1"),
        ("last:three", "last:1"),
    ],
)
def test_an_unknown_method_or_value_says_what_is_near(text, said):
    [[term]] = parse(text)
    with pytest.raises(UsageError) as caught:
        methods.check(term)
    assert said in caught.value.hint


def test_what_terms_mean_together():
    edges = {("b", "a"), ("c", "b"), ("d", "c")}

    def reach(names, dependents, depth):
        def steps(front):
            return {(d if dependents else b) for d, b in edges if (b if dependents else d) in front}

        return reach_by(steps, names, depth)

    def meant(text):
        return "".join(sorted(evaluate([parse(text)], lambda term: {term.value}, reach)))

    assert meant("b") == "b"
    assert meant("b+") == "bcd"
    assert meant("+b") == "ab"
    assert meant("1+c+1") == "bcd"
    assert meant("b+1") == "bc"
    assert meant("a+,+c") == "abc"
    assert meant("a d") == "ad"
    assert meant("a,d") == ""
    assert meant("b+0") == "b"


def test_terms_keep_what_was_written():
    [[first, second]] = parse("1+a+2,table:users")
    assert (first.text, second.text) == ("1+a+2", "table:users")
    assert Term(value="a").text == ""


NAMES = st.text(alphabet='ab1+,:"*[] \n', min_size=1, max_size=8).filter(str.strip)


@given(text=st.text(alphabet='ab1+,:"*[]? \n.', max_size=12), names=st.sets(NAMES, max_size=4))
@settings(max_examples=60)
def test_any_text_is_read_or_refused_in_words(text, names):
    try:
        parsed = parse(text, names)
    except UsageError:
        return
    assert "".join(term.text for terms in parsed for term in terms) or not text.strip()


@given(name=NAMES, names=st.sets(NAMES, max_size=4), before=st.sampled_from(["", "x ", "x,"]))
@settings(max_examples=60)
def test_whatever_is_registered_can_be_selected(name, names, before):
    every = {name, *names, "x"}
    assert [[(one.value, one.registered) for one in terms] for terms in parse(name, every)] == [[(name, True)]]
    # in quotes also beside others, unless another name holds these very quotes
    if not any('"' in one for one in every):
        [*_, last] = [one for terms in parse(before + quoted(name), every) for one in terms]
        assert (last.value, last.registered) == (name, True)
    assert name in possible_names(name)[0]
    assert name in possible_names(before + quoted(name))[0]
