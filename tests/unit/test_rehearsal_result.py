"""What a rehearsal says: the dangerous first, in plain words, safe to show. The standbys here are made up:
a test server has none."""

import io
import json
from html.parser import HTMLParser

import pytest

from migrollback_nb.cli import terminal
from migrollback_nb.core import results
from migrollback_nb.core.frames.columns import FRAMES
from migrollback_nb.core.results.rehearsal import Broken, Failure, Lock, NotUndone, OtherSession, Rehearsal, RowLoss
from migrollback_nb.core.results.target import Notice, Target
from migrollback_nb.database import rehearsal_report

TARGET = Target(host="db", port=5432, database="shop", user="dba", server_version="18.6", schema="public")
REPORT = {
    "success": True,
    "message": "Rehearsal: the rollback would succeed",
    "migrations": ["001_users"],
    "fingerprint": "f" * 64,
    "failure": None,
    "unchanged": False,
    "changes": [
        {
            "change": "dropped",
            "kind": "table",
            "identity": "public.users",
            "old_definition": {"owner": "a"},
            "new_definition": None,
            "made_by": ["001_users"],
        },
        {
            "change": "dropped",
            "kind": "view",
            "identity": "public.daily_totals",
            "old_definition": {"owner": "a"},
            "new_definition": None,
            "made_by": ["20250121_reports"],
        },
        {
            "change": "dropped",
            "kind": "view",
            "identity": "public.<b>",
            "old_definition": {"owner": "a"},
            "new_definition": None,
            "made_by": None,
        },
        {
            "change": "dropped",
            "kind": "comment",
            "identity": "table public.users",
            "old_definition": {"text": "x"},
            "new_definition": None,
            "made_by": None,
        },
    ],
    "rows": [
        {"relation": "public.users", "column": None, "what": "dropped", "rows": 12345, "exact": True, "sqlstate": None}
    ],
    "broken": [],
    "not_undone": [],
    "unseen": [["001_users", 1]],
    "locks": [
        {
            "relation": "public.users",
            "kind": "r",
            "mode": "ACCESS EXCLUSIVE",
            "migration_name": "001_users",
            "statement_number": 1,
            "held_ms": 1234.5,
        },
        {
            "relation": "public.users_pkey",
            "kind": "i",
            "mode": "ACCESS EXCLUSIVE",
            "migration_name": "001_users",
            "statement_number": 1,
            "held_ms": 1234.5,
        },
        {
            "relation": "public.orders",
            "kind": "r",
            "mode": "ACCESS SHARE",
            "migration_name": "001_users",
            "statement_number": 1,
            "held_ms": 1234.5,
        },
    ],
    "sessions": [],
    "replicas": [
        {"application_name": "standby1", "client_addr": "10.0.0.2", "state": "streaming", "sync_state": "async"}
    ],
    "renamed": [],
    "rewritten": [],
    "statements": [
        {"migration_name": "001_users", "number": 1, "statement": "DROP TABLE users CASCADE", "line": 9, "ms": 1234.5}
    ],
    "duration_ms": 1240.0,
}


def rehearsal(**changed):
    notices = changed.pop("notices", ())
    return rehearsal_report.from_report(
        {**REPORT, **changed},
        sql={"001_users": "DROP TABLE users CASCADE;"},
        target=TARGET,
        notices=notices,
        where="on the target itself",
    )


def shown(rehearsed):
    out, err = io.StringIO(), io.StringIO()
    terminal.show(rehearsed, out, err)
    return out.getvalue(), err.getvalue()


def test_the_dangerous_stands_first():
    out, err = shown(rehearsal())
    lines = out.splitlines()
    assert lines[0] == "⚠️ Rehearsal: the rollback would succeed"
    assert lines[1] == "   ⚠️  also drops view public.daily_totals, made by 20250121_reports"
    assert lines[2] == "   ⚠️  also drops view public.<b>, not known which migration made it"
    assert lines[3] == "   ⚠️  loses 12,345 rows of table public.users, which is dropped"
    assert "f" * 64 in err


def test_standbys_whose_readers_would_wait():
    out, _ = shown(rehearsal())
    assert "Readers on standbys wait as long:\n  standby1 (10.0.0.2, streaming, async)" in out
    assert "standby1" in rehearsal()._repr_html_()


def test_locks_say_who_waits_and_for_how_long():
    out, _ = shown(rehearsal())
    assert "1,234.5  public.users: ACCESS EXCLUSIVE, readers and writers wait" in out
    assert "users_pkey" not in out, "an index goes with its table"
    assert [lock.relation for lock in rehearsal().longest_locks] == ["public.users"]


def test_what_could_not_be_seen_is_said():
    assert (
        "Remark: Statement 1 of 001_users builds SQL while it runs: what that does could not be seen before"
        in shown(rehearsal())[0]
    )


def test_nothing_dangerous_is_a_plain_success():
    plain = rehearsal(changes=[], rows=[], locks=[], replicas=[], unseen=[])
    assert (plain.mark, plain.dangers) == ("✅", ())
    assert "The schema stays as it is." in shown(plain)[0]


def test_a_failure_with_a_caret_under_tabs_and_many_lines():
    failure = Failure(
        migration_name="1_a",
        sqlstate="42703",
        message="no",
        statement_number=2,
        statement="SELECT 'ä',\n\tmissing\nFROM t",
        position=14,
    )
    assert failure.lines()[-4:] == ("    SELECT 'ä',", "    \tmissing", "    \t^", "    FROM t")
    assert "^" not in "".join(
        Failure(
            migration_name="1_a", sqlstate="2BP01", message="no", statement_number=1, statement="DROP TABLE t"
        ).lines()
    )
    assert "after the last statement" in "".join(Failure(migration_name="1_a", sqlstate="23503", message="no").lines())


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (
            RowLoss(relation="t", column=None, what="dropped", rows=1, exact=True),
            "loses 1 row of table t, which is dropped",
        ),
        (
            RowLoss(relation="t", column="c", what="column dropped", rows=5, exact=False),
            "loses about 5 values (an estimate) of column t.c, which is dropped",
        ),
        (
            RowLoss(relation="t", column=None, what="emptied", rows=None, exact=False),
            "loses an unknown number of rows of table t, which is emptied",
        ),
        (RowLoss(relation="t", column=None, what="deleted", rows=2, exact=True), "deletes 2 rows of table t"),
        (RowLoss(relation="t", column=None, what="updated", rows=2, exact=True), "overwrites 2 rows of table t"),
        (
            NotUndone(migration_name="1_a", statement_number=None, what="sets a sequence", inside="f()"),
            "sets a sequence (1_a, in f())",
        ),
        (
            Broken(kind="function", identity="f()", because="names table t", certain=False),
            "may break function f(): names table t",
        ),
        (
            OtherSession(
                pid=7,
                user=None,
                application_name=None,
                state=None,
                relation="t",
                mode="ACCESS SHARE",
                waits=False,
                for_us=False,
            ),
            "process 7 (?, no name, state not visible) holds ACCESS SHARE on t",
        ),
    ],
)
def test_words(loss, words):
    assert str(loss) == words


def test_a_lock_of_a_later_postgresql_has_no_strength():
    assert (
        Lock(
            relation="t", kind="table", mode="NewLock", migration_name="1_a", statement_number=1, held_ms=None
        ).strength
        == 0
    )


def test_json_has_all_of_it_and_frames_their_columns():
    told = json.loads(results.to_json(rehearsal().to_dict()))
    assert told["success"] is True
    assert told["changes"][1]["made_by"] == ["20250121_reports"]
    assert told["dangers"][0].startswith("also drops view")
    parts = {name.removeprefix("rehearsal "): of for name, of in FRAMES.items() if name.startswith("rehearsal ")}
    assert len(parts) == 6
    for what, columns in parts.items():
        assert list(rehearsal().to_frame(what).columns) == list(columns)


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_html_is_escaped_closed_and_has_headings():
    notices = (Notice(severity="WARNING", message="<script>\u202e", skipped=False),)
    page = Tags(rehearsal(notices=notices, message="<img src=x>")._repr_html_())
    assert page.open == []
    assert not {"script", "img", "b"} & {tag for tag, _ in page.seen}
    assert "<script><U+202E>" in page.words
    assert all(attributes.get("scope") for tag, attributes in page.seen if tag == "th")
    assert [tag for tag, _ in page.seen].count("summary") >= 4, "parts open and close by keyboard"
    assert any(attributes.get("role") == "status" for _, attributes in page.seen)


def test_it_is_a_result():
    assert isinstance(rehearsal(), Rehearsal)
    assert results.Rehearsal is Rehearsal
    assert repr(rehearsal()).startswith("<Rehearsal of 001_users on dba@db:5432/shop")
