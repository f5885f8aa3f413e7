"""What `alembic upgrade --sql` prints -> the SQL of each revision, without what keeps its ledger. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from migrollback_nb.parsing.statements import SqlText

_HEADING = re.compile(r"^-- Running (upgrade|downgrade) (.*?) -> (.*)$", re.MULTILINE)
_TRANSACTION = re.compile(r"(?:BEGIN|COMMIT|START TRANSACTION)\b", re.IGNORECASE)
_LEDGER = r"(?:INSERT INTO (?P<a>\S+) \(version_num\) VALUES \('(?P<b>[^']*)'\)"
_LEDGER += r"|UPDATE (?P<c>\S+) SET version_num\s*=\s*'(?P<d>[^']*)' WHERE \S+version_num\s*=\s*'[^']*'"
_LEDGER += r"|DELETE FROM (?P<e>\S+) WHERE \S+version_num\s*=\s*'(?P<f>[^']*)')(?:\s+RETURNING \S+)?"
_WRITES_LEDGER = re.compile(_LEDGER)


def sections(printed: str) -> Iterator[tuple[str, str]]:
    r"""(revision, what was printed for it) of each revision, in order.

    Examples
    --------
    >>> list(sections("BEGIN;\n-- Running upgrade  -> a1\nSELECT 1;\n-- Running downgrade b2 -> a1\n"))
    [('a1', 'SELECT 1;'), ('b2', '')]
    """
    headings = list(_HEADING.finditer(printed))
    for place, heading in enumerate(headings):
        end = headings[place + 1].start() if place + 1 < len(headings) else len(printed)
        way, old, new = heading.groups()
        revision = (new if way == "upgrade" else old).partition(",")[0].strip()
        yield revision, printed[heading.end() : end].strip()


def of_migration(section: str, known: Mapping[str, object]) -> str:
    r"""The statements of a section that are the migration's own: no BEGIN, no COMMIT, nothing about the ledger.

    Parameters
    ----------
    section : str
        What was printed for one revision.
    known : mapping
        All revisions: only statements that name one of them are taken for the ledger's.

    Examples
    --------
    >>> of_migration("SELECT 1;\n\nDELETE FROM v WHERE v.version_num = 'b';\n\nCOMMIT;", {"b": ()})
    'SELECT 1;'
    """
    sql = SqlText(section)
    if sql.problem is not None:  # who reads the file hears of it
        return section
    kept, ledger = [], None
    for statement in sql.statements:
        text = statement.text.strip()
        plain = " ".join(text.split())
        if _TRANSACTION.match(plain):
            continue
        found = _WRITES_LEDGER.fullmatch(plain)
        if found is not None and (found["b"] or found["d"] or found["f"]) in known:
            ledger = found["a"] or found["c"] or found["e"]
            continue
        if ledger is not None and plain == f"DROP TABLE {ledger}":
            continue
        kept.append(f"{text};")
    return "\n\n".join(kept)
