"""Work of ours while the server works: it is done, in order, before the answer is there; an answer loses nothing."""

import psycopg
import pytest

from migrollback_nb.database.connection import open_connection
from migrollback_nb.database.meanwhile import working


@pytest.fixture
def connection(database_dsn):
    with open_connection(database_dsn) as opened:
        yield opened


def test_pieces_are_done_while_an_answer_is_waited_for(connection):
    done = []
    with working(connection, (lambda n=n: done.append(n) for n in range(5))):
        assert connection.execute("SELECT pg_sleep(0.2), 7").fetchone()[1] == 7
        assert done == [0, 1, 2, 3, 4]
        assert connection.execute("SELECT repeat('x', 5000000)").fetchone()[0] == "x" * 5000000
    assert connection.work is None


def test_no_more_is_done_than_there_is_time_for(connection):
    done = []
    with working(connection, (lambda n=n: (done.append(n), connection.pgconn.socket) for n in range(10**9))):
        assert connection.execute("SELECT pg_sleep(0.05), 7").fetchone()[1] == 7
    assert done


def test_errors_of_the_server_come_as_ever(connection):
    with working(connection, (lambda: None for _ in range(3))):
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT pg_sleep(0.05), 1 / 0")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_another_connection_does_none_of_it(database_dsn):
    done = []
    with psycopg.connect(database_dsn) as borrowed, working(borrowed, (done.append(n) for n in range(2))):
        borrowed.execute("SELECT pg_sleep(0.05)")
    assert not done
