"""Selectors, asked of a database: `Workspace.selected`."""

import pytest

import migrollback_nb as mr

HOSTILE = ("010 two words", "011+", "+012", "013:a", "014,b", "015*", "016[x]", "table:users", '017"q')


@pytest.fixture(scope="module")
def shop(shared_database):
    """Registered: 001 <- 002 <- 003 <- 004, 001 <- 005, and names that hold signs of the grammar."""
    with mr.connect(shared_database) as migrations:
        connection = migrations.database.connection
        bases = {
            "002_b": ["001_a"],
            "003_c": ["002_b"],
            "004_d": ["003_c"],
            "005_e": ["001_a"],
            "010 two words": ["001_a"],
        }
        for place, name in enumerate(["001_a", *bases, *HOSTILE[1:]]):
            connection.execute(
                "SELECT register_migration(%s, %s, 'SELECT 1', depends_on => %s)", (name, name[:3], bases.get(name, []))
            )
            connection.execute(
                "UPDATE migration_history SET applied_at = timestamptz '2025-01-01 UTC' + %s * interval '1 day'"
                " WHERE migration_name = %s",
                (place, name),
            )
        yield migrations


def test_without_a_selector_it_is_every_migration(shop):
    names = shop.selected(None)
    assert set(names) == set(shop.database.queries.names())
    assert names[:3] == ("001_a", "002_b", "003_c")  # oldest first


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("002_b", "2"),
        ("002_b.sql", "2"),
        ("003_c 001_a", "13"),
        (["003_c", "001_a"], "13"),
        ([], ""),
        ("002_b+", "234"),
        ("002_b+1", "23"),
        ("+003_c", "123"),
        ("1+003_c+1", "234"),
        ("00[1-3]*", "123"),
        ("00[!1-3]_?", "45"),
        ("00*,002_b+", "234"),
        ("001_a+,+004_d", "1234"),
        ("003_*+", "34"),
    ],
)
def test_what_is_selected(shop, select, expected):
    assert "".join(name[2] for name in shop.selected(select)) == expected


def test_what_is_excluded(shop):
    assert shop.selected("00*", exclude="002_b+") == ("001_a", "005_e")
    assert shop.selected("00*", exclude=["001_a", "002_b+"]) == ("005_e",)
    assert "001_a" not in shop.selected(None, exclude="001_a")
    assert shop.selected("002_b", "002_b") == ()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_wins_before_parsing(shop, name):
    assert shop.selected(name) == (name,)
    assert shop.selected([name]) == (name,)
    assert shop.selected(f"001_a {name}") == ("001_a", name)
    assert shop.selected(f"{name},{name}+") == (name,)


def test_what_a_hostile_name_depends_on(shop):
    assert shop.selected("+010 two words") == ("001_a", "010 two words")
    assert shop.selected('+"010 two words"') == ("001_a", "010 two words")


def test_the_systems_own_is_selected_by_its_name_alone(shop):
    own = {name for name in shop.database.queries.names() if "rollback_system" in name}
    assert own
    assert not own & set(shop.selected("*"))
    assert own <= set(shop.selected(list(own)))


@pytest.mark.parametrize("select", ["002_x", "002_b 002_x", "002_b,002_x", "002_x+", ["002_b", "002_x"]])
def test_a_name_that_is_not_registered_says_what_is_near(shop, select):
    with pytest.raises(mr.MigrationNotFound) as caught:
        shop.selected(select)
    assert caught.value.name == "002_x"
    assert "002_b" in caught.value.similar
    with pytest.raises(mr.MigrationNotFound):
        shop.selected("00*", exclude=select)


def test_a_pattern_that_fits_none_says_what_is_near(shop):
    with pytest.raises(mr.UsageError, match=r"No registered migration is named like 0001_a\*") as caught:
        shop.selected("0001_a*")
    assert "001_a" in caught.value.hint


def test_one_message_for_a_name_and_two_for_what_depends_on_it(shop, monkeypatch):
    sent = []
    send = type(shop.database.session)._send
    monkeypatch.setattr(type(shop.database.session), "_send", lambda self, *a: sent.append(a) or send(self, *a))
    shop.selected("002_b 003_c 004_d")
    assert len(sent) == 1
