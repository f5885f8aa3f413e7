"""What an apply reads of its files while the server works: records of those to come, and what they name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.operations.register import record_of

if TYPE_CHECKING:
    from migrollback_nb.database.meanwhile import Work
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.parsing.objects import StatementObjects


class ReadAhead:
    """The files of one run, each read at most once: ahead where there is time, else when it is asked for.

    Parameters
    ----------
    files : sequence of MigrationFile
        In the order in which they are applied.
    deploy : str, optional
        Id of their deploy.
    names : mapping of str to str
        Name of a file -> name in the history, of renamed ones.
    """

    def __init__(self, files: Sequence[MigrationFile], *, deploy: str | None, names: Mapping[str, str]) -> None:
        self._files = files
        self._deploy = deploy
        self._names = names
        self._records: dict[str, dict[str, Any]] = {}
        self._objects: dict[str, list[StatementObjects]] = {}

    def work(self) -> Iterator[Work]:
        """The pieces, in the order in which they will be asked for."""
        for file in self._files:
            yield partial(self._try, file)
        for file in self._files:
            yield partial(self.objects, file.up.text)
            sql = self._records.get(file.name, {}).get("rollback_sql")
            if sql:
                yield partial(self.objects, sql)

    def _try(self, file: MigrationFile) -> None:
        with suppress(MigrollbackError):  # raised when it is this file's turn
            self._records.setdefault(file.name, record_of(file, deploy=self._deploy, names=self._names))

    def record(self, file: MigrationFile) -> dict[str, Any]:
        """What is registered of it."""
        if (found := self._records.get(file.name)) is None:
            found = self._records[file.name] = record_of(file, deploy=self._deploy, names=self._names)
        return found

    def objects(self, text: str) -> list[StatementObjects]:
        """`statement_objects` of a text of these files."""
        if (found := self._objects.get(text)) is None:
            from migrollback_nb.parsing.objects import statement_objects

            found = self._objects[text] = statement_objects(text)
        return found
