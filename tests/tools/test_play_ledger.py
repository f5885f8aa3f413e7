"""Play's ledger, as its published source makes it: read and kept in step, and only Play writes it."""

import pytest
from ledgers import PLAY
from watching import exists

import migrollback_nb as mr


@pytest.fixture
def played(db, folder, session):
    """Three evolutions, of which Play has applied two and begun the third."""
    connection = session()
    connection.execute(PLAY)
    for number in (2, 10, 11):
        (folder / f"{number}.sql").write_text(
            f"# --- !Ups\nCREATE TABLE t{number} ();\n\n# --- !Downs\nDROP TABLE t{number};\n"
        )
    for number in (2, 10):
        connection.execute(f"CREATE TABLE t{number} ()")
        connection.execute(
            f"INSERT INTO play_evolutions VALUES ({number}, 'h', '2026-01-0{number % 7}', 'u', 'd', 'applied', '')"
        )
    return db


def test_sync_asks_it_and_a_rollback_takes_the_row_out(played, session):
    found = played.sync()
    assert ([one.migration_name for one in found.registered], found.not_applied) == (["2", "10"], ("11",))
    with pytest.raises(mr.MigrollbackError, match="only its own tool can write"):
        played.apply("11")
    (warning,) = played.check("2").warnings
    assert warning.startswith("Play compares its evolutions with its ledger place by place")
    assert played.check("10").warnings == ()
    assert played.rollback("10", confirm="10").success
    assert session().execute("SELECT array_agg(id) FROM play_evolutions").fetchone() == ([2],)
    assert not exists(session(), "t10")
    assert played.check("2").warnings == ()


def test_one_that_play_did_not_bring_to_its_end_blocks(played, session):
    played.sync()
    session().execute("UPDATE play_evolutions SET state = 'applying_up' WHERE id = 10")
    with pytest.raises(mr.Refused):
        played.rollback("2", confirm="2")
