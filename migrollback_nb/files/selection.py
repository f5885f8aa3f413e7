"""Which migrations of a folder a selector means, where no database is asked: names, patterns, closures, tags. Reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import MigrationFileError, UsageError
from migrollback_nb.core.selectors import evaluation, grammar, methods
from migrollback_nb.core.selectors.near import close_to

if TYPE_CHECKING:
    from migrollback_nb.core.selectors.grammar import Alternatives, Term
    from migrollback_nb.files.formats import MigrationFolder

#: Methods that files alone can answer.
_BY_FILES = (None, "tag")


def asks_a_database(
    folder: MigrationFolder, select: str | Sequence[str] | None, exclude: str | Sequence[str] | None
) -> bool:
    """Whether a selector of this folder's migrations asks what only a database knows. Reads only."""
    known = folder.names()
    given = [one for one in (select, exclude) if one is not None]
    return any(term.method not in _BY_FILES for one in given for term in grammar.terms_of(_parsed(one, known)))


def select_files(
    folder: MigrationFolder, select: str | Sequence[str] | None, exclude: str | Sequence[str] | None = None
) -> tuple[str, ...]:
    """The migrations of a folder that a selector means, in order of name. Reads only.

    Raises
    ------
    MigrationNotFound
        When a name has no file, with names that come close.
    UsageError
        When it is not understood, names what no file has, means no file, or asks what only a database knows.
    """
    found = set(folder.names() if select is None else _Files(folder).resolve(select))
    if exclude is not None:
        found -= _Files(folder).resolve(exclude)
    if not found:
        texts = " ".join(grammar.texts_of(select)) if select is not None else "what is not excluded"
        raise UsageError(f"No migration of {folder.path} is selected by {texts}", hint="Select more, or exclude less.")
    return tuple(sorted(found))


def _parsed(select: str | Sequence[str], known: Collection[str]) -> Sequence[Alternatives]:
    parsed = [grammar.parse(text, known) for text in grammar.texts_of(select)]
    for term in grammar.terms_of(parsed):
        methods.check(term)
    return parsed


class _Files:
    """What one selector asks of a folder."""

    def __init__(self, folder: MigrationFolder) -> None:
        self._folder = folder
        self._known = folder.names()
        self._edges: set[tuple[str, str]] | None = None

    def resolve(self, select: str | Sequence[str]) -> set[str]:
        return evaluation.evaluate(_parsed(select, self._known), self._base, self._reach)

    def _base(self, term: Term) -> Collection[str]:
        if term.method == "tag":
            tags = self._folder.tags()
            fits = re.compile(methods.pattern(term.value), re.DOTALL).fullmatch
            found = {name for name, words in tags.items() if any(map(fits, words))}
            known = sorted({word for words in tags.values() for word in words})
            what = "has a tag"
        elif term.method is not None:
            raise UsageError(
                f"{term.text} asks a database, and here only the folder is read",
                hint="Files know names, NAME+, +NAME and tag:; name a database with --dsn for the others.",
            )
        elif term.is_pattern:
            fits = re.compile(methods.pattern(term.value), re.DOTALL).fullmatch
            found, known, what = {name for name in self._known if fits(name)}, self._known, "is named like"
        else:
            if term.value not in self._known:
                raise self._folder.not_found(term.value, self._known)
            return (term.value,)
        if not found:
            raise UsageError(
                f"No migration of {self._folder.path} {what} {term.value}", hint=close_to(term.value, known)
            )
        return found

    def _reach(self, names: Collection[str], dependents: bool, depth: float) -> set[str]:
        if self._edges is None:
            self._edges = set()
            for file in self._folder.read_all().files:
                try:
                    self._edges |= {(file.name, base) for base in file.depends_on}
                except MigrationFileError:  # who reads it hears of it
                    continue
        edges = self._edges

        def step(front: Collection[str]) -> set[str]:
            if dependents:
                return {dependent for dependent, base in edges if base in front}
            return {base for dependent, base in edges if dependent in front}

        return evaluation.reach_by(step, names, depth) & set(self._known)
