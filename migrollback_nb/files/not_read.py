"""Layouts of other tools that are not read yet -> why a file is refused, and what to do. Pure.

Taken for plain SQL, what undoes a migration would run together with it. Each of these layouts goes from here once it is
read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from migrollback_nb.parsing.statements import Comment, SqlText


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a file is not read."""

    problem: str  #: what is wrong with it
    hint: str  #: how to fix it
    line: int | None = None  #: where, counted from 1; None where the whole file is meant
    always: bool = False  #: whether it is refused also where it has a rollback block


#: What to do with a file that belongs to no migration.
STRAY_HINT = "Rename it, take it away, or add the file that it belongs to."
_IN_OUR_FORMAT = "in a file NUMBER_what_it_does.sql, with what undoes it between -- ROLLBACK START and -- ROLLBACK END"
#: Tool -> (what marks its files, what to do with them).
_TOOLS = {
    "Play": (
        re.compile(r"(?m)(?:^#|--).*!(?:Ups|Downs)\b"),
        "Begin a line with each mark, as # --- !Ups and # --- !Downs.",
    ),
    "rambler": (
        re.compile(r"--\s*rambler\s+(?:up|down)\b", re.IGNORECASE),
        "Write each mark as a line of its own, -- rambler up and -- rambler down, as rambler wants it.",
    ),
    "Liquibase": (
        re.compile(r"--\s*(?:liquibase\s+formatted\b|changeset\s+[^\s:]+:\S)", re.IGNORECASE),
        (
            "Put Liquibase's files into a folder of their own, each beginning with --liquibase formatted sql, or write"
            f" each changeset {_IN_OUR_FORMAT}."
        ),
    ),
    "micrate": (
        re.compile(r"--\s*\+micrate\s+(?:up|down)\b", re.IGNORECASE),
        "Leave it to micrate, or write -- +goose Up and -- +goose Down: the rest is the same.",
    ),
}
#: Those that are read where their marks stand as they want them.
_CUT = ("Play", "rambler")
#: Without one of these words a text holds no such mark: most files need no closer look.
_TOOL_WORDS = ("!ups", "!downs", "rambler", "liquibase", "changeset", "micrate")

_UNDO = frozenset(
    ("down", "downs", "rollback", "rollbacks", "undo", "revert", "downgrade", "backward", "backwards", "reverse")
)
_DO = frozenset(("up", "ups", "do", "apply", "forward", "forwards", "upgrade", "deploy", "migrate"))
#: What may stand beside such a word in a comment that is a heading and no remark.
_BESIDE = frozenset(
    (
        *(
            "migrate",
            "migration",
            "migrations",
            "begin",
            "start",
            "section",
            "part",
            "script",
            "sql",
            "statement",
            "statements",
        ),
        *(
            "block",
            "step",
            "steps",
            "plan",
            "commands",
            "procedure",
            "instructions",
            "path",
            "schema",
            "db",
            "database",
            "goose",
            "dbmate",
        ),
    )
)
_WORD = re.compile(r"[^\W\d_]+")
_SIGN = re.compile(r"--+\s*[+@!#:$%]")
_REMARK = re.compile(r"[-/*\s=#!@+\[<]*(\w+)\s*(?::|-|=|\u2013|\u2014)+\s*\w", re.DOTALL)


def marked(sql: SqlText) -> Refusal | None:
    r"""Why a file of a tool that is not read is refused, by the marks in it; None for all others.

    Examples
    --------
    >>> marked(SqlText("-- +micrate Up\nCREATE TABLE t ();\n-- +micrate Down\nDROP TABLE t;")).problem
    'is written for micrate (-- +micrate Up), whose files are not read yet'
    """
    lower = sql.text.lower()
    if not any(word in lower for word in _TOOL_WORDS):
        return None
    for tool, (mark, hint) in _TOOLS.items():
        # outside of comments: Play's may begin with #, which is none of SQL
        lines = ((comment.line, comment.text) for comment in sql.comments if comment.is_line_comment)
        found = next(((line, text) for line, text in lines if mark.match(text)), None)
        if found is None and tool == "Play" and (it := re.search(r"(?m)^#.*!(?:Ups|Downs)\b.*$", sql.text)):
            found = (sql.text.count("\n", 0, it.start()) + 1, it.group())
        if found is not None:
            why = "which takes that for no mark" if tool in _CUT else "whose files are not read yet"
            if tool == "Liquibase":
                why = "whose files are not read beside others"
            return Refusal(
                problem=f"is written for {tool} ({found[1].strip()}), {why}",
                line=found[0],
                hint=hint,
            )
    return None


def rollback_heading(sql: SqlText) -> tuple[Comment, bool] | None:
    r"""The first comment that heads what undoes the statements above it (``-- Down``), and whether it is certain. Pure.

    None where there is none.

    Examples
    --------
    >>> heading, certain = rollback_heading(SqlText("CREATE TABLE t ();\n-- @DOWN\nDROP TABLE t;"))
    >>> heading.line, certain
    (2, True)
    >>> rollback_heading(SqlText("CREATE TABLE t ();\n-- Rollback: drop it\nSELECT 1;"))[1]
    False
    """
    lower = sql.text.lower()
    if not any(word in lower for word in _UNDO):
        return None
    first = sql.code_after(0)
    headings = [_heading_words(comment) for comment in sql.comments]
    has_up = any(words is not None and not words.isdisjoint(_DO) for words in headings)
    unsure: Comment | None = None
    for comment, words in zip(sql.comments, headings, strict=True):
        certain = words is not None and not words.isdisjoint(_UNDO)
        remark = None if certain else _REMARK.match(comment.text)
        if not certain and (remark is None or remark[1].lower() not in _UNDO):
            continue
        above = has_up or (first is not None and first < comment.start)
        below = sql.code_after(comment.end)
        if not above or below is None or not _between_statements(sql, comment):
            continue
        # where SQL that is commented out follows, that is what undoes it, and what stands below that may go on with the
        # migration
        commented_out = any(
            comment.start < other.start < below and other.text.rstrip("*/ \n").endswith(";") for other in sql.comments
        )
        if certain and not commented_out:
            return comment, True
        unsure = unsure or comment
    return None if unsure is None else (unsure, False)


def _heading_words(comment: Comment) -> frozenset[str] | None:
    """The words of a heading: a direction, and nothing but what may stand beside it; None of other comments."""
    if len(comment.text) > 200:  # no heading
        return None
    text = re.sub(r"\([^()]*\)", " ", comment.text.lower())
    words = _WORD.findall(text)
    directions = [word for word in words if word in _UNDO or (word in _DO and word not in _BESIDE)]
    if len(words) > 3 or len(set(directions)) != 1:
        return None
    # a sign in front of it makes it some tool's mark, whatever that is called: -- +tool down
    is_mark = _SIGN.match(text) is not None and words[-1] in directions
    return frozenset(directions) if is_mark or all(word in _BESIDE or word in directions for word in words) else None


def _between_statements(sql: SqlText, comment: Comment) -> bool:
    """Whether it stands in no statement, where it would be about a column or the like."""
    return not any(statement.start < comment.start < statement.start + statement.length for statement in sql.statements)


def heading_refusal(comment: Comment, *, name: str) -> Refusal:
    """Why a file with such a heading is refused."""
    return Refusal(
        problem=f"what follows {shown(comment)} undoes what stands above it, and would run in the same breath",
        line=comment.line,
        hint=(
            f"Put it between -- ROLLBACK START and -- ROLLBACK END, or into a file of its own, {name}.down.sql. If it"
            " is no rollback, give it another heading."
        ),
    )


def shown(comment: Comment) -> str:
    """A comment, in one line."""
    return " ".join(comment.text.split())


# -- by the names of files ---------------------------------------------------------------------------------------------

_DATABASES = {
    "mysql": "MySQL",
    "mariadb": "MariaDB",
    "sqlite": "SQLite",
    "sqlite3": "SQLite",
    "cockroach": "CockroachDB",
    "cockroachdb": "CockroachDB",
} | {
    "mssql": "SQL Server",
    "sqlserver": "SQL Server",
    "oracle": "Oracle",
    "clickhouse": "ClickHouse",
    "postgres": "PostgreSQL",
    "postgresql": "PostgreSQL",
    "pg": "PostgreSQL",
}
#: Folders that are named so besides.
_VENDORS = {"h2": "H2", "hsqldb": "HSQLDB", "db2": "DB2", "derby": "Derby", "snowflake": "Snowflake"}
_DIALECT = re.compile(rf"(.+?)\.({'|'.join(_DATABASES)})((?:\..+)?)", re.IGNORECASE)
_SEPARATOR = re.compile(r"[._\-\s]+")
_ANY_UNDO = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(sorted(_UNDO))})(?![a-z0-9])", re.IGNORECASE)


def other_database(folder: str) -> str | None:
    """Which database other than PostgreSQL a folder is named by, as Flyway's {vendor} is; None of others. Pure."""
    found = _DATABASES.get(folder.lower()) or _VENDORS.get(folder.lower())
    return None if found == "PostgreSQL" else found


def dialects(stems: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(Names for PostgreSQL among other databases -> the same without it; names for another -> which). Pure.

    So pop names them.

    Examples
    --------
    >>> dialects(["1_a.mysql.up", "1_a.postgres.up", "2_b.up", "3_c.pg"])
    ({'1_a.postgres.up': '1_a.up'}, {'1_a.mysql.up': 'MySQL'})
    """
    ours: dict[str, str] = {}
    others: dict[str, str] = {}
    for stem in stems:
        it = _DIALECT.fullmatch(stem)
        if it is None:
            continue
        if (database := _DATABASES[it[2].lower()]) != "PostgreSQL":
            others[stem] = database
        elif it[3]:
            ours[stem] = f"{it[1]}{it[3]}"
    return ours, others


def pairs(stems: Collection[str], *, read: Collection[str]) -> tuple[dict[str, Refusal], dict[str, Refusal]]:
    """(Names of files that another undoes -> why they are refused; names of those that undo -> likewise). Pure.

    Of pairs that are not read.

    Parameters
    ----------
    stems : collection of str
        Names of all files of a folder, without ``.sql``.
    read : collection of str
        Those that belong to something that is read.

    Examples
    --------
    >>> does, undoes = pairs(["001_a_up", "001_a_down", "002_b", "002_rollback", "003_c", "004_undo_c"], read=())
    >>> list(does), list(undoes)
    (['001_a_up', '002_b'], ['001_a_down', '002_rollback'])
    """
    telling = [stem for stem in stems if stem not in read and _ANY_UNDO.search(stem)]
    if not telling:
        return {}, {}
    names = _Names(stems)
    does: dict[str, Refusal] = {}
    undoes: dict[str, Refusal] = {}
    habits = set()
    for stem in telling:
        for word, is_last, others in names.undone_by(stem):
            hint = _rename(stem, others[0])
            undoes[stem] = Refusal(problem=f"undoes {others[0]}.sql, and such a pair is not read yet", hint=hint)
            does |= {
                other: Refusal(problem=f"is undone by {stem}.sql, and such a pair is not read yet", hint=hint)
                for other in others
                if other not in read
            }
            if is_last:
                habits.add(stem[-len(word) - 1 :].lower())
    for stem in telling:
        if stem not in undoes and stem not in does and any(stem.lower().endswith(habit) for habit in habits):
            undoes[stem] = Refusal(problem="undoes a migration whose own file is not here", hint=STRAY_HINT)
    return {stem: refusal for stem, refusal in does.items() if stem not in undoes}, undoes


class _Names:
    """The names of a folder by their words and numbers."""

    def __init__(self, stems: Iterable[str]) -> None:
        self._by_words: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._by_number: dict[str, list[str]] = defaultdict(list)
        for stem in stems:
            words = _words(stem)
            self._by_words[words].append(stem)
            self._by_number[words[0]].append(stem)

    def undone_by(self, stem: str) -> Iterator[tuple[str, bool, list[str]]]:
        """(The word that says that a file undoes, whether it comes last, the files that it may undo) of a name."""
        words = _words(stem)
        for place, word in enumerate(words):
            base = (*words[:place], *words[place + 1 :])
            if word not in _UNDO or not base:
                continue
            others = [*self._by_words.get(base, ())]
            for do in sorted(_DO):
                others += self._by_words.get((*words[:place], do, *words[place + 1 :]), ())
            if len(base) == 1 and base[0].isdigit():
                others += [other for other in self._by_number[base[0]] if not _ANY_UNDO.search(other)]
            others = [other for other in dict.fromkeys(others) if other != stem]
            if others:
                yield word, place == len(words) - 1, others


def undo_folder(name: str) -> bool:
    """Whether a folder of this name holds what undoes the files beside it."""
    return name.lower() in _UNDO


def _words(stem: str) -> tuple[str, ...]:
    return tuple(word for word in _SEPARATOR.split(stem.lower()) if word) or ("",)


def _rename(stem: str, other: str) -> str:
    """What to do with a pair."""
    base = other
    for do in _DO:
        base = (
            re.sub(rf"(?i)(?<![a-z0-9]){do}[._\-\s]+|[._\-\s]+{do}(?![a-z0-9])", "", base)
            if do in _words(other) and do not in _words(stem)
            else base
        )
    named = base if base[:1].isdigit() else re.sub(r"^[^\W\d_]+(?=\d)", "", base)
    named = named if named[:1].isdigit() else f"001_{named}"
    return f"Name the two {named}.up.sql and {named}.down.sql, or leave them to the tool that they were written for."
