"""A name with a line break, ESC, a C1 control and a bidi mark reaches no terminal and no $GITHUB_OUTPUT as it is,
by any command, form, str or repr."""

import contextlib
import io
import json
import re

import pytest

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.cli.commands import COMMANDS
from migrollback_nb.core.results import to_json

#: What a line of $GITHUB_OUTPUT, and a terminal, would take for theirs.
EVIL = "002_a\nINJECTED=1\x1b[31m\x9b2J\u202e"
OBJECT = "t\nINJECTED=2\x1b[31m\x9b2J\u202e"
#: Commands, most with a name; without form they are asked for in each.
ASKED = [
    ["list", "--system"],
    ["check", EVIL],
    ["check", EVIL, "--rows"],
    ["plan", EVIL],
    ["rehearse", EVIL],
    ["deps"],
    ["deps", EVIL],
    ["deps", "--infer"],
    ["graph"],
    ["graph", "--view", "plan", EVIL],
    ["graph", "--format", "dot"],
    ["graph", "--format", "mermaid"],
    ["graph", "--format", "svg"],
    ["deps", "--format", "dot"],
    ["template", EVIL],
    ["rollback", EVIL, "--dry-run"],
    ["rollback", EVIL, "--confirm", "no"],
    ["rollback", "001_base"],
    ["rollback", "001_base", "--chain", "--dry-run"],
    ["apply", EVIL],
    ["resolve", EVIL, "--as", "applied", "--reason", "x"],
    ["verify-rollback", EVIL],
    ["runbook", EVIL, "--into", "{folder}"],
    ["snapshot", EVIL, EVIL],
    ["history"],
    ["history", "--by", EVIL],
    ["last"],
    ["deploys"],
    ["events"],
    ["events", "--format", "jsonl"],
    ["audit"],
    ["snapshots"],
    ["diff", EVIL],
    ["report", EVIL, "--file", "{folder}/report.html"],
    ["doctor"],
    ["sync", "--deploy", EVIL],
    ["register", EVIL],
    ["policy", EVIL, "--approvals", "1", "--by", EVIL, "--reason", "x"],
    ["request", EVIL, "--reason", EVIL],
    ["approve", EVIL],
    ["approvals"],
    ["grant", "auditor", EVIL],
    ["revoke", "auditor", EVIL],
    ["roles"],
    ["archives"],
    ["adopt", "--dry-run"],
    ["archives", "--erase", EVIL, "--reason", "x"],
    ["restore-archive", EVIL],
    ["converge", "--to-files", "{folder}", "--dry-run"],
    [EVIL],
    ["check", "--" + EVIL],
    ["rollback", EVIL, "--confirm", EVIL, "--reason", EVIL],
    ["list"],
]
#: What has no name of a migration to print, or runs on a scratch server, or on many: their own tests.
ELSEWHERE = {"around", "capture", "render", "verify", "fleet", "install", "demo", "lab"}
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def evil(db, applied, session):
    applied("001_base", "CREATE TABLE base (id int PRIMARY KEY)", "DROP TABLE base")
    connection = session()
    quoted = '"' + OBJECT + '"'
    connection.execute(f"CREATE TABLE {quoted} (a int); INSERT INTO {quoted} VALUES (1)")
    connection.execute(
        "SELECT register_migration(%s, '002', rollback_sql => %s, depends_on => '{001_base}')",
        (EVIL, f"DROP TABLE {quoted};"),
    )
    return db


def leaks(text):
    """What of a text would be taken for a line or a control of its own."""
    found = RAW.findall(text)
    # of SQL all lines are shown
    lines = [line for line in text.split("\n") if not line.endswith('";')]
    return [*found, *(line for line in lines if line.lstrip(" -│├└🔍⚠️✅❌📝").startswith("INJECTED"))]


def test_each_command_is_asked():
    assert {words[0] for words in ASKED} | ELSEWHERE >= set(COMMANDS)


@pytest.mark.parametrize("form", ["table", *(pytest.param(one, marks=pytest.mark.long) for one in ("json", "tsv"))])
def test_no_command_passes_it_on(evil, database_dsn, tmp_path, form):
    folder = evil.folder.path
    leaked = []
    for words in ASKED:
        given = [word.format(folder=tmp_path / "out") if "{folder}" in word else word for word in words]
        (tmp_path / "out").mkdir(exist_ok=True)
        for file in (tmp_path / "out").glob("*.html"):
            file.unlink()
        out = io.StringIO()
        argv = ["--dsn", database_dsn, "--dir", str(folder), *given]
        with contextlib.redirect_stderr(out):
            cli.run(argv if "--format" in words else [*argv, "--format", form], out, out, io.StringIO())
        if found := leaks(out.getvalue()):
            leaked.append((words[:2], found[:3], out.getvalue()))
    assert not leaked, "\n".join(f"{one[:2]}\n{one[2]!r}" for one in leaked)


def test_no_result_does(evil):
    results = [
        evil.check(EVIL),
        evil.plan(EVIL),
        evil.preview(EVIL),
        evil.assess(EVIL),
        evil.last(),
        evil.doctor(),
        evil.audit(),
        evil.diff(evil.snapshot(EVIL)),
        evil.graph(),
        evil.lost_rows(EVIL),
        evil.rehearse(EVIL),
        evil.rollback(EVIL, confirm=EVIL, reason=EVIL),
    ]
    for ask in (lambda: evil.check(EVIL + "x"), lambda: evil.rollback(EVIL, confirm=EVIL)):
        with pytest.raises(mr.MigrollbackError) as caught:
            ask()
        results.append(caught.value)
    for result in results:
        for text in (str(result), repr(result)):
            assert not RAW.search(text), type(result)
    assert json.loads(to_json({"a": EVIL}))["a"] == EVIL
    assert not RAW.search(to_json({"a": EVIL}))
