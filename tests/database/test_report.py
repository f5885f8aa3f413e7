"""The report: one file that tells all, loads nothing, runs nothing, and lets no text of the database become markup."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.display import dot
from migrollback_nb.runbook.report import report_html

NAME = "001_a"
HOSTILE = "002_</td><script>alert(1)</script><img src=x onerror=\"alert('2')\">\u202e\x1b[31m&amp;"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: What the package and graphviz write themselves; none of them loads or runs anything.
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "nav",
    "main",
    "section",
    "h1",
    "h2",
    "h3",
    "p",
    "ul",
    "li",
    "a",
    "div",
    "span",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "pre",
    "figure",
    "details",
    "summary",
    "svg",
    "g",
    "polygon",
    "path",
    "text",
    "rect",
    "colgroup",
    "col",
    "h4",
    "del",
    "ins",
}


class Inert(HTMLParser):
    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attributes:
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "action", "formaction", "data", "poster", "background"), (tag, name)
            if name in ("href", "xlink:href"):
                assert value is not None
                assert re.fullmatch(r"#s\d+", value), value
            assert "url(" not in (value or "").lower(), (tag, name, value)
            assert "javascript:" not in (value or "").lower()


def assert_self_contained(text: str) -> None:
    parser = Inert()
    parser.feed(text)
    parser.close()
    assert not UNSAFE.search(text)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    # names of name spaces are no addresses that anybody fetches
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text)) - {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert addresses == set()


def section(text: str, title: str) -> str:
    """The part of the page under this heading."""
    start = text.index(f". {title}</h2>")
    return text[start : text.index("</section>", start)]


@pytest.fixture
def told(db: mr.Migrations, applied: Callable[..., str]) -> str:
    """A story from apply to rollback, of a migration on which another rests, with hostile words wherever a person
    can write some."""
    applied(
        NAME,
        "CREATE TABLE a (id int);\nINSERT INTO a SELECT generate_series(1, 7);",
        f"DROP TABLE a; -- {HOSTILE.replace(chr(27), '')}",
    )
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=[NAME])
    checklist = db.checklist(
        NAME,
        chain=True,
        scratch=None,
        ticket=HOSTILE,
        smoke_tests=[("SELECT to_regclass('a') IS NULL", True)],
        notification=lambda _: HOSTILE,
    )
    checklist.answer("dependents")
    checklist.answer("staging")
    checklist.answer("notified")
    checklist.confirm_manually("reason", HOSTILE)
    checklist.skip_open(HOSTILE)
    checklist.answer("dry_run")
    db.rollback(NAME, chain=True, confirm=NAME, reason=HOSTILE)
    checklist.answer("verify")
    checklist.answer("smoke")
    return report_html(db, NAME)


def test_it_tells_the_whole_story(told: str, db: mr.Migrations) -> None:
    for title in (
        "Summary",
        "History",
        "Dependencies",
        "Preview",
        "Rehearsals",
        "Checklist",
        "Execution",
        "Verification",
        "Events",
    ):
        assert f". {title}</h2>" in told
    summary = section(told, "Summary")
    assert "rolled_back" in summary
    assert "Known before it ran" in summary
    assert summary.index("Outcome") < summary.index("Known before it ran") < summary.index("Status")
    assert "002_b" in section(told, "Dependencies")
    assert "DROP" in section(told, "Preview")
    assert "the rollback would succeed" in section(told, "Rehearsals")
    checklist = section(told, "Checklist")
    assert checklist.count("↷ skipped") >= 4
    assert "Tested rollback in staging environment" in checklist
    assert "started" in section(told, "Execution")
    assert "Restored" in section(told, "Verification")
    events = db.database.queries.events()
    changed = section(told, "Verification")
    assert "What the rollback changed in the schema" in changed
    assert "CREATE TABLE public.a (" in changed
    assert "DROP TABLE public.a" not in changed  # as it was is enough of what went
    rehearsals = section(told, "Rehearsals")
    assert re.search(r"<td>dropped</td><td>table</td><td>public\.a</td>", rehearsals)
    assert re.search(r"<td>public\.a</td><td>ACCESS EXCLUSIVE</td><td>readers and writers wait</td>", rehearsals)
    assert "loses 7 rows of table public.a, which is dropped" in rehearsals
    assert "longest lock: ACCESS EXCLUSIVE on public." in summary
    assert all(event["hash"] in section(told, "Events") for event in events if event["migration_name"] == NAME)
    head = section(told, "Head of the audit log")
    assert events[-1]["hash"] in head
    assert "intact" in head


def test_it_is_self_contained_and_inert(told: str) -> None:
    assert_self_contained(told)
    assert "<script" not in told
    assert "default-src &#x27;none&#x27;" in told or "default-src 'none'" in told
    assert "prefers-color-scheme: dark" in told
    assert "@media print" in told


def test_a_hostile_name_is_inert_too(db: mr.Migrations, session: Callable[..., object]) -> None:
    connection = session()
    connection.execute("SELECT register_migration(%s, '2', 'DROP TABLE x', NULL)", (HOSTILE,))
    connection.execute("SELECT register_migration('003_c', '3', 'DROP TABLE y', NULL, ARRAY[%s])", (HOSTILE,))
    text = report_html(db, HOSTILE)
    assert_self_contained(text)
    assert "&lt;U+202E&gt;" in text


@pytest.mark.long
def test_the_graph_is_drawn_where_dot_is_and_the_table_stands_always(
    told: str, db: mr.Migrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dot.find_dot() is not None:
        assert "<svg" in section(told, "Dependencies")
        assert "<!DOCTYPE svg" not in told
    monkeypatch.setattr(dot, "find_dot", lambda: None)
    without = section(report_html(db, NAME), "Dependencies")
    assert "<svg" not in without
    assert "<td" in without
    assert "002_b" in without


def test_a_migration_that_no_one_touched_has_a_short_story(db: mr.Migrations, applied: Callable[..., str]) -> None:
    applied(NAME, "CREATE TABLE a ();", "DROP TABLE a;")
    text = report_html(db, NAME)
    assert "never rehearsed" in text
    assert "No rollback of it was tried" in text
    assert "Nothing was verified" in text
    assert "DROP" in section(text, "Preview")
    assert "Not rehearsed: no rule forbids it, what it does is not known" in section(text, "Summary")


def test_why_it_cannot_be_rolled_back_is_told(db: mr.Migrations, applied: Callable[..., str]) -> None:
    applied(NAME, "CREATE TABLE a ();", None)
    assert "No rollback SQL" in section(report_html(db, NAME), "Preview")


@pytest.mark.long
def test_a_broken_audit_log_is_loud(told: str, db: mr.Migrations, session: Callable[..., object]) -> None:
    connection = session()
    connection.execute("ALTER TABLE migration_events DISABLE TRIGGER ALL")
    connection.execute("UPDATE migration_events SET reason = 'another' WHERE event_number = 3")
    assert "BROKEN at event 3" in section(report_html(db, NAME), "Head of the audit log")


@pytest.mark.long
def test_it_reads_only(told: str, db: mr.Migrations) -> None:
    before = len(db.database.queries.events())
    report_html(db, NAME)
    assert len(db.database.queries.events()) == before


@pytest.mark.long
def test_no_file_is_overwritten(told: str, db: mr.Migrations, tmp_path: Path) -> None:
    file = db.report(NAME, tmp_path / "r.html")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = file.read_bytes()
    with pytest.raises(mr.UsageError, match="never overwritten"):
        db.report(NAME, file)
    assert file.read_bytes() == kept
    with pytest.raises(mr.UsageError, match="cannot be written"):
        db.report(NAME, tmp_path / "nowhere" / "r.html")
    with pytest.raises(mr.MigrationNotFound):
        db.report("nothing", tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_the_command_writes_it_and_says_where(
    told: str, database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["report", NAME, "--dsn", database_dsn]) == 0
    written = Path(capsys.readouterr().out.strip())
    assert written.name.startswith(f"report_{NAME}_")
    assert "<h1>Rollback of 001_a</h1>" in written.read_text(encoding="utf-8")
    assert cli.run(["report", NAME, "--dsn", database_dsn, "--file", str(written)]) == 2


@pytest.mark.long
def test_an_earlier_run_can_be_told(told: str, db: mr.Migrations) -> None:
    run = db.checklist(NAME).run
    db.apply(NAME)
    assert "skipped" not in section(report_html(db, NAME), "Checklist")
    assert f"since the events {run}" in section(report_html(db, NAME), "Checklist")
    assert "skipped" in section(report_html(db, NAME, run=run), "Checklist")
