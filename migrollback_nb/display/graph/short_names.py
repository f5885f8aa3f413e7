"""Short names for pictures: the words of a migration's name without its long number, each unlike the others. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# V12__words, 0012_words, 20230101120000_words, 2021-05-04-123456_words, U1.2__words
_NUMBER = re.compile(r"^[A-Za-z]?\d[\d.\-_]*(?:__|[_\-. ])(?=[^\W\d_])")
#: A number of up to so many characters is no burden.
_SHORT_NUMBER = 6
#: The words of a name are cut in the middle above this.
LONGEST = 30


def short_names(names: Iterable[str], *, longest: int = LONGEST) -> dict[str, str]:
    """Name -> short name: unlike each other wherever the names are.

    Parameters
    ----------
    names : iterable of str
        All that stand in one picture.
    longest : int
        The most characters.

    Examples
    --------
    >>> short_names(["20230101120000_add_users", "20230102120000_add_tags", "0012_fix"])
    {'20230101120000_add_users': 'add_users', '20230102120000_add_tags': 'add_tags', '0012_fix': '0012_fix'}
    """
    names = list(dict.fromkeys(names))
    short = {name: cut(_bare(name), longest) for name in names}
    counts = Counter(short.values())
    # what would be alike gets the end of its number before it, else the whole name
    for name in names:
        if counts[short[name]] > 1:
            number = _NUMBER.match(name)
            end = re.sub(r"\D", "", number[0])[-_SHORT_NUMBER:] if number else ""
            short[name] = cut(f"{end} {_bare(name)}" if end else name, longest)
    counts = Counter(short.values())
    return {name: name if counts[word] > 1 else word for name, word in short.items()}


def cut(text: str, longest: int) -> str:
    """A text that is no longer than this: of a longer one beginning and end.

    Examples
    --------
    >>> cut("add_index_on_subgraph_deployment", 16)
    'add_inde…loyment'
    """
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end]}…{text[len(text) - end :]}"


def _bare(name: str) -> str:
    number = _NUMBER.match(name)
    return name if number is None or len(number[0]) <= _SHORT_NUMBER else name[number.end() :]
