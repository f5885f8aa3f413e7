"""Which migrations a selector means in one database. Does not write."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.selectors import evaluation, grammar, methods
from migrollback_nb.core.selectors.near import close_to
from migrollback_nb.core.text import counted
from migrollback_nb.core.times import read_time
from migrollback_nb.database.selector_queries import in_order
from migrollback_nb.operations.rejection import not_found

if TYPE_CHECKING:
    from migrollback_nb.core.selectors.grammar import Alternatives, Term
    from migrollback_nb.database import Database
    from migrollback_nb.database.selector_queries import Places, SelectorQueries
    from migrollback_nb.files.formats import MigrationFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The migrations that a selector means."""

    names: tuple[str, ...]  #: in the order of the history, oldest first
    remarks: tuple[str, ...] = ()  #: what a person should know
    terms: tuple[Term, ...] = ()  #: those of the selector, as they were read


def find(
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
    parsed = [] if select is None else resolver.parse(select)
    found = set(resolver.all() if select is None else resolver.resolve(parsed))
    if exclude is not None:
        found -= resolver.resolve(resolver.parse(exclude))
    return Selection(
        names=in_order({name: resolver.places[name] for name in found}),
        remarks=tuple(resolver.remarks),
        terms=tuple(grammar.terms_of(parsed)),
    )


def files_of(
    database: Database,
    folder: MigrationFolder,
    select: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None = None,
) -> tuple[str, ...]:
    """The migrations of a folder that a selector means: by the files, or by the database where that is asked. Reads.

    Raises
    ------
    MigrationNotFound, UsageError
        When it is not understood, names what is not there, or means no migration of the folder.
    """
    from migrollback_nb.files.selection import asks_a_database, select_files

    if not asks_a_database(folder, select, exclude):
        return select_files(folder, select, exclude)
    known = set(folder.names())
    found = tuple(name for name in find(database, select, exclude, folder=folder.path).names if name in known)
    if not found:
        raise UsageError(
            f"No migration of {folder.path} is among what is selected", hint="Select more, or exclude less."
        )
    return found


#: What asks for the migrations of a value, what lists the values that there are, what they are.
_Asking: TypeAlias = "tuple[Callable[[str], Places], Callable[[], Iterable[str]], str]"

#: The name of the contract; inside of this module it would be hidden by the argument of that name.
select = find


class _Resolver:
    """What one call asks of the database."""

    def __init__(self, database: Database, folder: Path | None) -> None:
        self._database = database
        self._queries: SelectorQueries = database.selectors
        self._folder = folder
        self.places: Places = {}
        self.remarks: dict[str, None] = {}
        self._methods: dict[str, _Asking] = {
            "table": self._touching("table", "touches a table"),
            "schema": self._touching("schema", "touches a schema"),
            "object": self._touching("object", "touches an object"),
            "status": (self._queries.of_status, tuple, ""),
            "by": (self._by_pattern(self._queries.applied_by), self._queries.roles, "was applied by a role"),
            "deploy": (
                self._by_pattern(self._queries.of_deploys),
                self._queries.deploy_labels,
                "was brought by a deploy",
            ),
            "since": (lambda value: self._queries.applied_since(_moment(value)), tuple, ""),
            "grade": (lambda value: self._queries.of_grade(None if value == "none" else value), tuple, ""),
            "verdict": (self._queries.of_verdict, tuple, ""),
            "tag": (self._tagged, lambda: {tag for tags in self._tags().values() for tag in tags}, "has a tag"),
            "last": (lambda value: self._queries.last(int(value)), tuple, ""),
        }

    def all(self) -> Collection[str]:
        """Every migration."""
        return self._keep(self._queries.all())

    def parse(self, select: str | Sequence[str]) -> Sequence[Alternatives]:
        """A selector as it is read where these migrations are registered."""
        texts = grammar.texts_of(select)
        registered = self._registered(texts)
        parsed = [grammar.parse(text, registered) for text in texts]
        for term in grammar.terms_of(parsed):
            methods.check(term)
        return parsed

    def resolve(self, parsed: Sequence[Alternatives]) -> set[str]:
        """The migrations that a selector means."""
        return evaluation.evaluate(parsed, self._base, self._reach)

    def _registered(self, texts: Sequence[str]) -> Collection[str]:
        """The registered names among these texts: they win before parsing."""
        parts = [grammar.possible_names(text) for text in texts]
        possible = {name for names, _ in parts for name in names}
        found = set(self._keep(self._queries.named(possible)))
        if long := [text for text, (_, is_all) in zip(texts, parts, strict=True) if not is_all]:
            found |= set(self._keep(self._queries.named_in(long)))
        return found

    def _keep(self, places: Places) -> Collection[str]:
        self.places |= places
        return places.keys()

    def _base(self, term: Term) -> Collection[str]:
        if term.method is not None:
            return self._of_method(term, term.method)
        if not term.is_pattern:
            if term.registered:
                return (term.value,)
            raise not_found(self._database, term.value)
        found = self._keep(self._queries.like(methods.pattern(term.value)))
        if not found:
            raise UsageError(
                f"No registered migration is named like {term.value}",
                hint=close_to(term.value, self._database.queries.names())
                or "migrollback list shows the registered ones.",
            )
        return found

    def _of_method(self, term: Term, method: str) -> Collection[str]:
        ask, known, words = self._methods[method]
        found = self._keep(ask(term.value))
        if not found and words:
            values = sorted(known())
            # that which is there and has nothing in it is no slip
            if not any(re.fullmatch(methods.pattern(term.value), value, re.DOTALL) for value in values):
                near = close_to(term.value, values) or (f"There are {_first(values)}." if values else None)
                raise UsageError(f"No registered migration {words} {term.value}", hint=near)
        return found

    def _reach(self, names: Collection[str], dependents: bool, depth: float) -> set[str]:
        steps = None if depth == inf else min(int(depth), 2**31 - 1)
        found, not_searched = self._queries.reached(names, dependents=dependents, depth=steps)
        if not_searched and dependents:
            of = counted(not_searched, "migration")
            self.remarks[
                f"For {of} no one has looked for dependencies that no file declares: migrollback deps --infer --record"
            ] = None
        return set(self._keep(found))

    # -- methods ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _by_pattern(ask: Callable[[str], Places]) -> Callable[[str], Places]:
        return lambda value: ask(methods.pattern(value))

    def _touching(self, what: str, words: str) -> _Asking:
        def ask(value: str) -> Places:
            plain = value.replace('"', "")  # the catalogs quote some names, and people others
            part = max(re.split(r"[*?]|\[.*\]", plain), key=len)
            return self._queries.touching(what, methods.pattern(plain), part)

        return ask, partial(self._queries.touched, what), words

    def _tags(self) -> dict[str, tuple[str, ...]]:
        """Migration -> tags: as registered; of those that were registered without, as their files say."""
        registered = self._queries.tags()
        in_files: dict[str, tuple[str, ...]] = {}
        if None in registered.values() and self._folder is not None and self._folder.is_dir():
            from migrollback_nb.files.formats import MigrationFolder

            in_files = MigrationFolder(self._folder).tags()
        return {name: in_files.get(name, ()) if tags is None else tags for name, tags in registered.items()}

    def _tagged(self, value: str) -> Places:
        fits = partial(re.fullmatch, methods.pattern(value))
        return self._queries.named([name for name, tags in self._tags().items() if any(map(fits, tags))])


def _first(values: Sequence[str], most: int = 8) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more


def _moment(text: str) -> datetime | timedelta:
    found = read_time(text)
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) and found.tzinfo is None else found
