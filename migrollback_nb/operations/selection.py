"""Which migrations a selector means in one database. Does not write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.selectors import evaluation, grammar, methods
from migrollback_nb.core.selectors.near import close_to
from migrollback_nb.database.selector_queries import in_order
from migrollback_nb.operations.rejection import not_found

if TYPE_CHECKING:
    from migrollback_nb.core.selectors.grammar import Term
    from migrollback_nb.database import Database
    from migrollback_nb.database.selector_queries import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The migrations that a selector means."""

    names: tuple[str, ...]  #: in the order of the history, oldest first
    remarks: tuple[str, ...] = ()  #: what a person should know


def select(
    database: Database,
    select: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None = None,
    *,
    folder: Path | None = None,
) -> Selection:
    """Find the migrations that a selector means. Does not write.

    Parameters
    ----------
    database : Database
        Where they are registered.
    select : str or sequence of str, optional
        A selector, or several of which any counts; None: every migration.
    exclude : str or sequence of str, optional
        A selector of what is left out.
    folder : Path, optional
        Where the files of those lie that were registered without tags.

    Raises
    ------
    MigrationNotFound
        When a name is not registered, with names that come close.
    UsageError
        When a selector is not understood, or names what no migration has.
    """
    resolver = _Resolver(database, folder)
    found = set(resolver.all() if select is None else resolver.resolve(select))
    if exclude is not None and found:
        found -= resolver.resolve(exclude)
    return Selection(names=in_order({name: resolver.places[name] for name in found}), remarks=tuple(resolver.remarks))


class _Resolver:
    """What one call asks of the database, each thing once."""

    def __init__(self, database: Database, folder: Path | None) -> None:
        self._database = database
        self._folder = folder
        self.places: Places = {}
        self.remarks: dict[str, None] = {}

    def all(self) -> Collection[str]:
        return self._keep(self._database.selectors.all())

    def resolve(self, select: str | Sequence[str]) -> set[str]:
        texts = grammar.texts_of(select)
        registered = self._registered(texts)
        parsed = [grammar.parse(text, registered) for text in texts]
        for term in grammar.terms_of(parsed):
            methods.check(term)
        return evaluation.evaluate(parsed, self._base, self._reach)

    def _registered(self, texts: Sequence[str]) -> Collection[str]:
        """The registered names among these texts: they win before parsing."""
        possible: set[str] | None = set()
        for text in texts:
            found = grammar.possible_names(text)
            possible = None if possible is None or found is None else possible | found
        selectors = self._database.selectors
        return self._keep(selectors.named_in(texts) if possible is None else selectors.named(possible))

    def _keep(self, places: Places) -> Collection[str]:
        self.places |= places
        return places.keys()

    def _base(self, term: Term) -> Collection[str]:
        if term.method is None and not term.is_pattern:
            if term.registered:
                return (term.value,)
            raise not_found(self._database, term.value)
        if term.method is None:
            found = self._keep(self._database.selectors.like(methods.pattern(term.value)))
            if not found:
                raise UsageError(
                    f"No registered migration is named like {term.value}",
                    hint=close_to(term.value.strip("*"), self._database.queries.names())
                    or "migrollback list shows the registered ones.",
                )
            return found
        raise UsageError(f"There is no method {term.method} yet")

    def _reach(self, names: Collection[str], dependents: bool, depth: float) -> set[str]:
        found = self._database.selectors.reached(
            names, dependents=dependents, depth=None if depth == inf else min(int(depth), 2**31 - 1)
        )
        return set(self._keep(found))
