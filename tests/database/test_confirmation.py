"""The question before a rollback: where, what and what is known stand above it;
on production the name is typed and a reason given."""

import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from watching import dismiss_all, exists, last_event, status, value

from migrollback_nb import cli
from migrollback_nb.cli.confirmation import QUESTION

RULE = "─" * 76


@pytest.fixture
def chain(db, applied):
    """A table with rows, and one that refers to it."""
    applied(
        "001_a",
        "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 1204);",
        "DROP TABLE a CASCADE;",
    )
    applied("002_b", "CREATE TABLE b (a int REFERENCES a);", "DROP TABLE b;", depends_on=["001_a"])
    return db


class Terminal(io.StringIO):
    """Standard input that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def run(database_dsn):
    """Run the command line in this process: (exit status, what is printed, remarks)."""

    def run_command(*argv, typed=None):
        out, err = io.StringIO(), io.StringIO()
        code = cli.run(["--dsn", database_dsn, *argv], out, err, io.StringIO() if typed is None else Terminal(typed))
        return code, out.getvalue(), err.getvalue()

    return run_command


# -- what stands above it ----------------------------------------------------------------------------------------------


def test_target_sql_and_what_is_not_known(chain, run):
    target = chain.target
    code, out, _ = run("rollback", "002_b", typed="no\n")
    assert code == 3
    assert (
        out
        == f"⚠️ Rolling back: 002_b\n\nSQL that will run (1 line):\n{RULE}\nDROP TABLE b;\n{RULE}\n\nTarget: database"
        f" {target.database} on {target.host}:{target.port}\n        as user postgres (PostgreSQL"
        f" {target.server_version}, schema public)\n❔ Not rehearsed: no rule forbids it, what it does is not known\n"
        "   public.a is locked under ACCESS EXCLUSIVE\n   public.b is locked under ACCESS EXCLUSIVE\n"
        f"  migrollback rehearse 002_b finds out\n\n{QUESTION}"
    )


def test_a_chain_in_its_order_with_what_its_rehearsal_found(chain, run):
    rehearsed = ("rollback", "001_a", "--chain")
    assert chain.rehearse("001_a", chain=True).success
    _, out, _ = run(*rehearsed, typed="no\n")
    assert "Order of the rollback, in one transaction:\n  1. 002_b\n  2. 001_a\n" in out
    assert "SQL that will run (2 migrations, 5 lines):" in out
    assert "⚠️ Would succeed, and lose 1,204 rows of public.a\n   loses 1,204 rows of public.a" in out
    _, out, _ = run("rollback", "002_b", typed="no\n")
    assert "Not rehearsed" in out, "a rehearsal of the chain is none of its part"


@pytest.mark.long
def test_a_rehearsal_of_another_state_is_no_knowledge(chain, run, session):
    chain.rehearse("002_b")
    session().execute("ALTER TABLE b ADD COLUMN c int")
    assert (
        "❔ Not rehearsed since something changed: no rule forbids it, what it does now is not known\n"
        in run("rollback", "002_b", typed="no\n")[1]
    )


@pytest.mark.long
def test_what_is_others_and_what_would_fail(db, applied, run):
    applied("001_a", "CREATE TABLE a (id int PRIMARY KEY);", "DROP TABLE a CASCADE;")
    applied("002_v", "CREATE VIEW v AS SELECT * FROM a;", "DROP VIEW v;")
    applied("003_x", "SELECT 1;", "DROP TABLE nowhere;")
    dismiss_all(db)
    db.rehearse("001_a")
    assert "⚠️ Would succeed, and take 1 view of 002_v\n" in run("rollback", "001_a", typed="no\n")[1]
    db.rehearse("003_x")
    assert (
        '⚠️ Would fail, as rehearsed just now: table "nowhere" does not exist (SQLSTATE 42P01)\n'
        in run("rollback", "003_x", typed="no\n")[1]
    )


def test_long_sql_is_shown_whole_and_hostile_signs_are_visible(db, applied, run, monkeypatch):
    monkeypatch.setenv("LINES", "24")
    applied(
        "001_a",
        "CREATE TABLE a ();",
        "-- \x1b[2J\u202e\nDROP TABLE a;\n" + "\n".join(f"SELECT {number};" for number in range(300)),
    )
    _, out, _ = run("rollback", "001_a", typed="no\n")
    assert "SQL that will run (302 lines):" in out
    assert all(f"\nSELECT {number};\n" in out for number in range(300))
    assert "-- <U+001B>[2J<U+202E>\n" in out
    assert "longer than this window: scroll up, or read it with\n  migrollback rollback 001_a --dry-run | less\n" in out
    assert out.index("SELECT 299;") < out.index("Target: database"), "where stands beside the question"


@pytest.mark.long
def test_warnings_of_the_preview_and_an_effect_that_cannot_be_asked(chain, run, session, monkeypatch):
    session().execute("UPDATE migration_history SET rollback_sql = 'DROP TABLE b' WHERE migration_name = '002_b'")

    monkeypatch.setattr("migrollback_nb.operations.preview.assessment_of", lambda *_: None)
    code, out, err = run("rollback", "002_b", typed="yes\n")
    assert (code, "Effects: unknown, for this role may not ask." in out) == (0, True)
    assert "⚠️  The rollback SQL was set by hand, not read from a file\n" in err


# -- production --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["marked", "by the variable"])
def production(request, chain, monkeypatch):
    if request.param == "marked":
        chain.install(production=True)
    else:
        monkeypatch.setenv("MIGROLLBACK_PRODUCTION", chain.target.database)
    return chain


def test_production_is_loud_the_name_is_typed_and_a_reason_given(production, run, session):
    code, out, _ = run("rollback", "002_b", typed="002_b\nINC-42 \n")
    assert code == 0
    assert "\n⚠️  PRODUCTION  ⚠️\nTarget: database " in out
    assert "This is PRODUCTION. To roll back, type the name exactly:\n  002_b\n> Reason, for the audit log: \n" in out
    assert QUESTION not in out
    assert last_event(session())["reason"] == "INC-42"


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("yes\n", "Not confirmed, that is not 002_b: nothing was changed"),
        ("001_a\n", "that is not 002_b"),
        ("\n", "nothing was typed"),
        ("", "nothing was typed"),
        ("002_b\n", "no reason was given"),
        ("002_b\n\n \n\t\n", "no reason was given"),
    ],
)
def test_any_other_answer_changes_nothing(chain, run, session, monkeypatch, typed, says):  # noqa: PLR0917  # fixtures
    monkeypatch.setenv("MIGROLLBACK_PRODUCTION", chain.target.database)
    code, _, err = run("rollback", "002_b", typed=typed)
    assert (code, says in err, status(session(), "002_b")) == (3, True, "applied")


@pytest.mark.long
def test_an_empty_fingerprint_is_one_of_nothing(chain, run, session):
    # a script whose search for the fingerprint finds nothing passes it so
    code, _, err = run("rollback", "002_b", "--confirm", "002_b", "--preview", "")
    assert (code, "The preview is not of these migrations" in err, status(session(), "002_b")) == (3, True, "applied")


@pytest.mark.long
def test_a_reason_that_was_given_is_not_asked_for_and_signs_are_kept_visible(production, run, session):
    code, out, _ = run("rollback", "002_b", "--reason", "INC-1", typed="002_b\n")
    assert (code, "Reason, for" in out) == (0, False)
    code, _, _ = run("rollback", "001_a", "--accept-loss", typed="001_a\n\nup \x1b[A\0\n")
    assert (code, last_event(session())["reason"]) == (0, "up <U+001B>[A<U+0000>")


def test_json_asks_on_standard_error_and_scripts_confirm_with_a_reason(production, run):
    code, out, err = run("rollback", "002_b", "--format", "json")
    assert (code, "--confirm 002_b --reason TEXT" in err) == (2, True)
    code, out, err = run("rollback", "002_b", "--format", "json", "--confirm", "002_b")
    assert (code, "needs a reason" in err) == (2, True)
    code, out, err = run("rollback", "002_b", "--format", "json", typed="002_b\nINC-42\n")
    assert (code, out.startswith("{"), "type the name exactly" in err, "PRODUCTION" in out) == (0, True, True, False)
    code, out, err = run("rollback", "001_a", "--confirm", "001_a", "--reason", "INC-43", "--accept-loss")
    assert (code, "PRODUCTION" in err) == (0, True)


def test_a_name_with_signs_that_no_one_can_type(db, run, monkeypatch, session):
    monkeypatch.setenv("MIGROLLBACK_PRODUCTION", db.target.database)
    name = "001_odd\u202e "
    session().execute("SELECT register_migration(%s, '001', rollback_sql => 'SELECT 1')", (name,))
    assert run("rollback", name, typed="001_odd<U+202E>\nINC-42\n")[0] == 0


def test_control_c_before_the_question_says_that_nothing_was_changed(chain, run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("migrollback_nb.cli.confirmation.known_effects", interrupted)
    code, _, err = run("rollback", "002_b", typed="yes\n")
    assert (code, "Not confirmed: nothing was changed." in err) == (1, True)


# -- a real terminal ---------------------------------------------------------------------------------------------------


class Person:
    """The command line in a terminal of its own, and who types there."""

    def __init__(self, *argv, columns=80, environment=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # a width in the environment, as a shell or another test leaves there, counts more than the terminal's own
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [
                "setsid",
                "--ctty",
                sys.executable,
                "-m",
                "migrollback_nb.cli",
                *argv,
            ],  # its own terminal: Ctrl-C goes to it and to nobody else
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**inherited, "TERM": "xterm-256color", **(environment or {})},
        )
        os.close(slave)
        self.screen = ""

    def sees(self, text, seconds=60):
        until = time.monotonic() + seconds
        while text not in self.screen and time.monotonic() < until:
            if not self._read(0.2) and self.process.poll() is not None:
                break
        assert text in self.screen, self.screen
        return self

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            self.screen += os.read(self.master, 65536).decode(errors="replace")
        except OSError:  # Linux says so where the other end is closed
            return False
        return True

    def types(self, keys):
        os.write(self.master, keys.encode())
        return self

    def leaves(self):
        until = time.monotonic() + 60
        while time.monotonic() < until and (self._read(0.2) or self.process.poll() is None):
            pass
        code = self.process.wait(10)
        os.close(self.master)
        return code


@pytest.fixture
def at_terminal(database_dsn):
    people = []

    def start(*argv, **options):
        people.append(Person("--dsn", database_dsn, *argv, **options))
        return people[-1]

    yield start
    for person in people:
        if person.process.poll() is None:
            person.process.send_signal(signal.SIGKILL)
            person.process.wait()


def test_a_person_reads_and_says_yes(chain, at_terminal, session):
    person = at_terminal("rollback", "002_b").sees("(yes/no): ")
    assert "Target: database " in person.screen
    assert "DROP TABLE b;" in person.screen
    assert person.types("yes\n").leaves() == 0
    assert "✅ Migration rolled back successfully" in person.screen
    assert status(session(), "002_b") == "rolled_back"


@pytest.mark.long
def test_a_person_on_production_in_a_narrow_terminal(chain, at_terminal, session):
    chain.install(production=True)
    person = at_terminal("rollback", "002_b", columns=40).sees("> ")
    assert "\x1b[1;97;41m  ⚠️  PRODUCTION  ⚠️  \x1b[0m" in person.screen
    assert f"\n{'─' * 40}\r\n" in person.screen
    assert (
        person.types("002_b\n")
        .sees("Reason, for the audit log: ")
        .types("\n")
        .sees("Reason, for the audit log: \r\nReason")
        .types("INC-42\n")
        .leaves()
        == 0
    )
    assert last_event(session())["reason"] == "INC-42"


@pytest.mark.parametrize(
    ("keys", "code", "says"),
    [("\x04", 3, "nothing was typed: nothing was changed"), ("\x03", 1, "Not confirmed: nothing was changed")],
)
# fixtures
@pytest.mark.long
def test_control_d_and_control_c_at_the_name(chain, at_terminal, session, keys, code, says):  # noqa: PLR0917
    person = at_terminal(
        "rollback", "002_b", environment={"MIGROLLBACK_PRODUCTION": chain.target.database, "NO_COLOR": "1"}
    ).sees("> ")
    assert "\x1b" not in person.screen
    assert person.types(keys).leaves() == code
    assert says in person.screen
    assert "Traceback" not in person.screen
    assert value(session(), "SELECT count(*) FROM migration_events WHERE event = 'started'") == 0


@pytest.mark.parametrize(
    ("keys", "code", "says"),
    [("\x04", 3, "no reason was given: nothing was changed"), ("\x03", 1, "Not confirmed: nothing was changed")],
)
# fixtures
@pytest.mark.long
def test_control_d_and_control_c_at_the_reason(chain, at_terminal, session, keys, code, says):  # noqa: PLR0917
    person = at_terminal("rollback", "002_b", environment={"MIGROLLBACK_PRODUCTION": chain.target.database}).sees("> ")
    assert person.types("002_b\n").sees("audit log: ").types(keys).leaves() == code
    assert says in person.screen
    assert exists(session(), "b")


@pytest.mark.long
def test_bytes_that_are_no_utf8_change_nothing(chain, at_terminal, session):
    person = at_terminal("rollback", "002_b").sees("(yes/no): ")
    os.write(person.master, b"j\xe4\n")
    assert person.leaves() == 3
    assert "the answer is not UTF-8" in person.screen
    assert exists(session(), "b")


@pytest.mark.long
def test_a_deploy_is_confirmed_by_its_label(chain, run, write_migration, session):
    write_migration("003_c", "CREATE TABLE c ();\n-- ROLLBACK START\nDROP TABLE c;\n-- ROLLBACK END\n")
    chain.apply("003_c", deploy="ci 7")
    _, out, _ = run("rollback", "--deploy", "ci 7", typed="no\n")
    assert "DROP TABLE c;" in out
    assert (
        "❔ Not rehearsed: no rule forbids it, what it does is not known\n"
        "   public.c is locked under ACCESS EXCLUSIVE\n  migrollback rehearse --deploy 'ci 7' finds out\n\n" in out
    )
    chain.install(production=True)
    code, out, err = run("rollback", "--deploy", "ci 7", typed="003_c\n")
    assert (code, "type the label exactly:\n  ci 7\n> " in out, "that is not ci 7" in err) == (3, True, True)
    assert run("rollback", "--deploy", "ci 7", typed="ci 7\nINC-42\n")[0] == 0
    assert status(session(), "003_c") == "rolled_back"
