"""A notebook's kernel that is killed in the middle of a rollback: a real one, in a process of its own."""

import os
import signal

import pytest
from watching import events, eventually, exists, status, value

import migrollback_nb as mr

ATTEMPT = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


@pytest.fixture
def kernel():
    manager = pytest.importorskip("jupyter_client").KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()
    client.context.destroy(linger=0)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_kernel_that_is_killed_leaves_it_as_before(kernel, db, applied, *, session, latch, database_dsn):
    manager, client = kernel
    look = session()
    look.execute("CREATE TABLE ran ()")
    applied("001_t", "CREATE TABLE t ();", "INSERT INTO ran DEFAULT VALUES; DROP TABLE t; " + latch.wait)
    cell = (
        f"import migrollback_nb as mr; db = mr.connect({database_dsn!r})\n"
        f"db.rollback('001_t', confirm='001_t', attempt_id='{ATTEMPT}')"
    )
    client.execute(cell)
    pid = latch.eventually_reached()
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    is_there = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    eventually(lambda: value(look, is_there, pid) == 0, "the server saw that its client is gone", seconds=5)
    assert look.execute("SELECT * FROM migration_attempt(%s)", (ATTEMPT,)).fetchall() == []
    assert (status(look, "001_t"), exists(look, "t")) == ("applied", True)
    latch.release()
    for _ in range(2):
        assert db.rollback("001_t", confirm="001_t", attempt_id=ATTEMPT).success
    assert value(look, "SELECT count(*) FROM ran") == 1
    assert events(look).count("rolled_back") == 1


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_kernel_that_is_interrupted_says_what_it_undid(kernel, db, applied, *, session, latch, database_dsn):
    manager, client = kernel
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; " + latch.wait)
    client.execute(f"import migrollback_nb as mr; db = mr.connect({database_dsn!r})", reply=True, timeout=60)
    told = []
    client.execute("db.rollback('001_t', confirm='001_t')")
    latch.eventually_reached()
    manager.interrupt_kernel()
    while not told:
        message = client.get_iopub_msg(timeout=30)
        if message["msg_type"] == "error":
            told.append(message["content"])
    assert told[0]["ename"] == "Interrupted"
    assert "cancelled on the server and undone" in told[0]["evalue"]
    assert (status(session(), "001_t"), exists(session(), "t")) == ("applied", True)
    answer = client.execute("assert db.check('001_t').can_rollback", reply=True, timeout=60)
    assert answer["content"]["status"] == "ok"
    assert isinstance(db, mr.Migrations)
