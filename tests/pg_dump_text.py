"""What `pg_dump -s` says, in a form in which two dumps of the same schema are the same."""

from __future__ import annotations

import re

_BEGIN = re.compile(r"(?m)^--\n-- Name: ")
#: Stand between entries, and hold for all that follow.
_SETTING = re.compile(r"(?m)^SET (default_tablespace|default_table_access_method|xmloption) = .*;\n")


def entries(dump: str) -> list[str]:
    """The entries, sorted: a new object in an old one's place has another number, and with it another place."""
    found: list[str] = []
    settings: dict[str, str] = {}
    for entry in _BEGIN.split(re.sub(r"(?m)^\\(un)?restrict .*\n", "", dump)):
        held = dict(settings) if "; Type: TABLE;" in entry or "; Type: MATERIALIZED VIEW;" in entry else {}
        for setting in _SETTING.finditer(entry):
            settings[setting[1]] = setting[0]
        text = _SETTING.sub("", entry).strip()
        if "; Type: ACL;" in text or "; Type: DEFAULT ACL;" in text:  # in the order in which they were granted
            text = "\n".join(sorted(text.splitlines()))
        found.append(f"{text}\n{sorted(held.values())}" if held else text)
    return sorted(found)
