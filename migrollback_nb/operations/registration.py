"""Installing, registering a folder, taking over what was there before. Writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrollback_nb.core import results
from migrollback_nb.operations.approving import Approving

if TYPE_CHECKING:
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.operations.snapshots import Snapshots


class Registration(Approving):
    """What `Workspace` does so that the history knows what is applied."""

    def register(self, name: str) -> results.RegisterResult:
        """Register a migration that is applied, or update what is registered of it. Writes.

        Parameters
        ----------
        name : str
            Its name in the folder, with or without ``.sql``.

        Raises
        ------
        MigrationNotFound, MigrationFileError
            When there is no such file, or it is bad.
        DependencyError
            When it depends on migrations that are not registered, or in a cycle.
        """
        from migrollback_nb.operations.register import register

        return register(self.database, self.folder, name)

    def sync(
        self, *, deploy: str | None = None, progress: Progress | None = None, snapshots: Snapshots = "ends"
    ) -> results.SyncResult:
        """Register what of the folder is not registered yet, and record what its deploy tool did since. Writes.

        The tool's ledger is asked about every file and every registered migration: what it does not hold is not
        registered, what it holds again after a rollback is recorded as applied again, and what it no longer holds is
        said. A bad file, a missing or circular dependency is reported and stops no other; a changed, a renamed and a
        deleted file are reported.

        Parameters
        ----------
        deploy : str, optional
            Label of the deploy that these belong to, for `rollback(deploy=)`; several calls with one label add to one
            deploy.
        progress : callable, optional
            Called with (done, all, name).
        snapshots : {'ends', 'none'}
            Of the schema, at the end, unless nothing has changed since the last one: what was before the next deploy,
            with which a rollback of that is compared; or none.

        Raises
        ------
        Refused
            When the deploy tool is at work now, with its process.
        """
        from migrollback_nb.operations import register as registering

        return registering.sync(self.database, self.folder, deploy=deploy, snapshots=snapshots, progress=progress)

    def adopt(
        self, *, dry_run: bool = False, take_over: bool = False, progress: Progress | None = None
    ) -> results.Adoption:
        """Take over a database that was there before: install, and register what is applied. Writes, unless dry_run.

        Parameters
        ----------
        dry_run : bool
            True: only say what was found (tool, folder, ledger, how sure, what does not fit) and what would be done.
        take_over : bool
            Make the tables of the tool that came before this system's, where they are there: see `install`.
        progress : callable, optional
            Called with (done, all, name).

        Raises
        ------
        Refused
            When something that is not ours stands in the way, or a deploy tool is at work now.
        UsageError
            When there is no such folder.
        """
        from migrollback_nb.operations import adopt

        if dry_run:
            return adopt.look(self.database, self.folder)
        return adopt.adopt(self.database, self.folder, take_over=take_over, progress=progress)

    def install(
        self,
        *,
        production: bool | None = None,
        reason: str | None = None,
        trust_ledger_of: Sequence[str] = (),
        distrust_ledger_of: Sequence[str] = (),
        take_over: bool = False,
        dry_run: bool = False,
        scope: Sequence[str] | None = None,
    ) -> results.InstallResult:
        """Install the rollback system, or bring an older one up to date. Writes; what is up to date is left as it is.

        Parameters
        ----------
        production : bool, optional
            True: mark the database as production. From then on a rollback there needs a reason, for every caller and
            client, and a person is asked to type the migration's name. False: take the mark away. By default it stays
            as it is.
        reason : str, optional
            Why it is marked, or not production any more; goes into the audit log. Needed to take the mark away.
        trust_ledger_of : sequence of str
            Roles whose deploy ledgers are read and written from now on. Such a role can then act with the rights of
            everybody who rolls back: its triggers run.
        distrust_ledger_of : sequence of str
            Roles that are trusted so no longer.
        take_over : bool
            Make the tables of the tool that came before (those of the specification) this system's, where they are
            there: rows, dependencies and users stay, its functions are replaced; `undo_take_over_sql` puts them back.
        dry_run : bool
            True: do all of it, undo it again, and say what it did.
        scope : sequence of str, optional
            A tenant's schema that gets a history of its own, and perhaps further schemas of that tenant: snapshots,
            verification and drift look at these and what they depend on. By default the scope of the connection.

        Raises
        ------
        UsageError
            When there is no role of a name.
        NewerSystem
            When the database's system is newer than this package.
        Refused
            When tables of the same names, or functions that stand in the way, are in the schema and not ours; when an
            older system is another role's; when rows of the earlier tool do not fit, each with why.
        """
        from migrollback_nb.operations.install import install

        return install(
            self.database,
            production=production,
            reason=reason,
            trust_ledger_of=trust_ledger_of,
            distrust_ledger_of=distrust_ledger_of,
            take_over=take_over,
            dry_run=dry_run,
            scope=scope,
        )

    def undo_take_over_sql(self) -> str:
        """Return the script for psql that puts back what `install(take_over=True)` replaced. Does not write.

        It drops this system and its audit log: export that first.

        Raises
        ------
        Refused
            When nothing was taken over.
        """
        return self.database.system.undo_take_over_sql()
