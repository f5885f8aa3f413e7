"""`Workspace`: what is done with one database and one folder of migrations, as typed results. Writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from migrollback_nb.core import results
from migrollback_nb.operations.archive_methods import ArchiveMethods
from migrollback_nb.operations.preview import stem
from migrollback_nb.operations.registration import Registration

if TYPE_CHECKING:
    from uuid import UUID

    from migrollback_nb.core.times import When
    from migrollback_nb.database.progress import Progress, RollbackCallback
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.operations.archives import ArchiveOptions
    from migrollback_nb.operations.ranges import RangeOptions
    from migrollback_nb.operations.rollback import RollbackOptions
    from migrollback_nb.operations.snapshots import Snapshots


class Workspace(ArchiveMethods, Registration):
    """One database and one folder of migrations: ask, preview, roll back.

    Results are typed; `Migrations` adds frames and graphs. A method that changes the database says so in its first
    line.
    """

    # -- rollback --------------------------------------------------------------------------------------------------

    def rehearse_by(self, run: Callable[[Sequence[str]], results.Rehearsal], names: Sequence[str]) -> results.Rehearsal:
        """Rehearse by a function that gets these migrations, here or on a copy. Writes what that function writes.

        What is known of the migrations beforehand goes into the result, and into the error when a rule forbids it.
        """
        from migrollback_nb.operations.rehearse import rehearse_by

        return rehearse_by(self.database, run, names, folder=self.folder_path)

    @overload
    def rollback(
        self, name: str | Sequence[str], *, confirm: str, **options: Unpack[RollbackOptions]
    ) -> results.RollbackResult | results.ChainResult: ...
    @overload
    def rollback(
        self,
        name: str | Sequence[str] | None = None,
        *,
        confirm: str,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        **options: Unpack[RollbackOptions],
    ) -> results.RollbackResult | results.ChainResult | results.NothingToRollBack: ...
    def rollback(
        self,
        name: str | Sequence[str] | None = None,
        *,
        confirm: str,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        reason: str | None = None,
        preview: results.Preview | results.Rehearsal | str | None = None,
        accept_loss: bool = False,
        break_glass: bool = False,
        chain: bool = False,
        each: bool = False,
        attempt_id: UUID | str | None = None,
        trail: Path | str | None = None,
        snapshots: Snapshots = "ends",
        progress: RollbackCallback | None = None,
        **archives: Unpack[ArchiveOptions],
    ) -> results.RollbackResult | results.ChainResult | results.NothingToRollBack:
        """Roll back a migration, or several. Writes: runs their SQL, whole or not at all, and verifies what it did.

        Parameters
        ----------
        name : str or sequence of str, optional
            The migration, or several, in any order: the last applied goes first.
        confirm : str
            The migration's name again: nothing runs by accident. Of `to` the name that stays, of a deploy its label,
            else the newest migration's name; a `Preview` says it.
        deploy, to, last, since, select, exclude
            Instead of a name: a range or a selection, as of `preview`.
        reason : str, optional
            Goes into the audit log. On production there must be one.
        preview : Preview, Rehearsal or str, optional
            What was looked at, or its fingerprint: refused when anything has changed since.
        accept_loss, break_glass : bool
            True: a known loss, which production refuses otherwise, is accepted; it goes without the approvals that a
            `policy` asks for, where that lets this role, and with a reason. The audit log keeps both.
        chain : bool
            True: with all that must be rolled back before it.
        each : bool
            True: each in a transaction of its own, up to the first that fails; `preview` binds all of them.
        attempt_id : UUID or str, optional
            An id of the caller's own: with the same id nothing runs twice, and the result says how it ended.
        trail : Path or str, optional
            Where the audit log is saved before the rollback system itself goes; by default a dated file here.
        snapshots : {'ends', 'each', 'none'}
            Of the schema, before any lock and after the commit; also between each two; or none: nothing is verified.
        progress : callable, optional
            Called with a `RollbackProgress` around each statement, until a call fails, which is said.
        **archives : ArchiveOptions
            What is kept of what it destroys, and how what was kept of its up migration is put back.

        Returns
        -------
        RollbackResult, ChainResult or NothingToRollBack

        Raises
        ------
        MigrationNotFound, ConfirmationRequired, Refused, LockBusy, RollbackFailed
            Nothing was changed; with `each`, ``done`` says what went before it.
        """
        from migrollback_nb.operations import ranges
        from migrollback_nb.operations.rollback_of_range import roll_back_range

        return roll_back_range(
            self.database,
            ranges.asked(
                name, chain=chain, deploy=deploy, to=to, last=last, since=since, select=select, exclude=exclude
            ),
            confirm=confirm, each=each, attempt_id=attempt_id, folder=self.folder_path, snapshots=snapshots,
            reason=reason, preview=preview, accept_loss=accept_loss, break_glass=break_glass, trail=trail,
            progress=progress, archives=archives,
        )  # fmt: skip

    def attempted(
        self,
        attempt_id: UUID | str,
        name: str | Sequence[str] | None = None,
        *,
        each: bool = False,
        **range: Unpack[RangeOptions],
    ) -> results.RollbackResult | results.ChainResult | None:
        """How the rollback of this attempt ended, where all of it is rolled back; else None. Does not write.

        Parameters
        ----------
        attempt_id : UUID or str
            The id that the caller gave to `rollback`.
        name : str or sequence of str, optional
            What is asked for now, as `rollback` takes it: an id is for one thing.
        each : bool
            As of `rollback`.
        **range : Unpack[RangeOptions]
            deploy, to, last, since, select, exclude, chain.

        Raises
        ------
        Refused
            When it was begun for something else.
        RollbackFailed
            When it failed, for good.
        """
        from migrollback_nb.operations import attempts, ranges

        asked = ranges.asked(name, **range).asked | ({"each": True} if each else {})
        found = attempts.read_id(attempt_id)
        return None if found is None else attempts.ended(self.database, asked, found)

    def converge(
        self,
        to_files: Path | str | None = None,
        *,
        confirm: str,
        max: int = 5,
        accept_loss: bool = False,
        each: bool = False,
        reason: str | None = None,
        preview: results.Preview | str | None = None,
        attempt_id: UUID | str | None = None,
        snapshots: Snapshots = "ends",
        progress: RollbackCallback | None = None,
    ) -> results.RollbackResult | results.ChainResult | results.NothingToRollBack:
        """Roll back what is applied and a folder does not hold, from the database's own copy of the SQL. Writes.

        For the old release of a deployment that was itself rolled back: no one is asked, so it is refused where anyone
        should be.

        Parameters
        ----------
        to_files : Path or str, optional
            The folder of the release that is there now; by default the folder of migrations.
        confirm : str
            The name of the database.
        max : int
            No more than so many go; more are refused.
        accept_loss : bool
            True: rows and values that go, or do not come back, are accepted.
        each, reason, preview, attempt_id, snapshots, progress
            As of `rollback`; without a reason the audit log names the folder.

        Raises
        ------
        Refused
            When the folder is empty, holds nothing that is applied or lacks too many; when one has no rollback SQL, or
            something in the folder depends on it; and unless every verdict is ready or not_rehearsed, or it is a loss
            that was accepted.
        ConfirmationRequired, RollbackFailed, LockBusy, UsageError
            As `rollback`.
        """
        from migrollback_nb.operations.converge import converge

        return converge(
            self.database,
            self._folder_of(to_files),
            confirm=confirm,
            most=max,
            accept_loss=accept_loss,
            each=each,
            attempt_id=attempt_id,
            reason=reason,
            snapshots=snapshots,
            preview_seen=preview,
            progress=progress,
        )

    def preview_converge(
        self,
        to_files: Path | str | None = None,
        *,
        max: int = 5,
        each: bool = False,
        attempt_id: UUID | str | None = None,
    ) -> results.Preview | results.NothingToRollBack:
        """What `converge` would roll back: its dry run. Does not write; options and errors are those of `converge`."""
        from migrollback_nb.operations.attempts import read_id
        from migrollback_nb.operations.converge import preview

        return preview(self.database, self._folder_of(to_files), most=max, each=each, attempt_id=read_id(attempt_id))

    def _folder_of(self, to_files: Path | str | None) -> MigrationFolder:
        from migrollback_nb.files.formats import find_folder

        return self.folder if to_files is None else find_folder(to_files)

    def verify_rollback(
        self, name: str, *, replay: Callable[[Sequence[str]], Mapping[str, Sequence[Any]]] | None = None
    ) -> results.Verification:
        """Verify the last rollback of a migration later. Writes one event, and a snapshot where none was taken since.

        For a rollback that could not be verified at once. Compares the schema with what it was before the migration was
        applied. Of a rollback of several, all are verified together.

        Parameters
        ----------
        name : str
            The migration, with or without ``.sql``.
        replay : callable, optional
            Where no snapshot from before it was applied is known: gives the states of the schema before and after
            migrations, by name, to compare with; as `migrollback_nb.replay.around_apply.schemas_around` of the folder.

        Raises
        ------
        MigrationNotFound, Refused
            When it is not registered, or not rolled back.
        """
        from migrollback_nb.operations.snapshots import verify_later

        return verify_later(self.database, stem(name), replay=replay)

    # -- other commands --------------------------------------------------------------------------------------------

    def apply(
        self,
        *names: str,
        again: bool = False,
        deploy: str | None = None,
        progress: Progress | None = None,
        snapshots: Snapshots = "ends",
        **archives: Unpack[ArchiveOptions],
    ) -> results.ApplyResult:
        """Run up migrations and register them. Writes: each whole or not at all, in a transaction of its own.

        Parameters
        ----------
        *names : str
            Migrations of the folder; without any, all that were never registered, dependencies first, and those that
            were rolled back and changed since. Others that were rolled back are applied again only by name, or with
            `again`; the result says which were left.
        again : bool
            True: also all that were rolled back.
        deploy : str, optional
            Label of the deploy that these belong to, for `rollback(deploy=)`; several calls with one label add to one
            deploy.
        progress : callable, optional
            Called with (done, all, name).
        snapshots : {'ends', 'each', 'none'}
            Of the schema, which a later rollback is compared with: one before the first, one after the last, and around
            one that runs outside a transaction; also between each two; or none.
        **archives : ArchiveOptions
            ``archive``: keep what they destroy, for their rollbacks; ``archive_budget``, ``archive_rows``: refuse more.

        Raises
        ------
        ApplyFailed
            The up migration of one failed and was undone; those before it stay applied.
        Refused
            When it depends on migrations that are not applied, its SQL cannot run, or its deploy tool has applied it or
            is at work.
        """
        from migrollback_nb.operations import apply as applying

        stems = [stem(name) for name in names]
        return applying.apply(
            self.database,
            self.folder,
            stems,
            again=again,
            deploy=deploy,
            progress=progress,
            snapshots=snapshots,
            archives=archives,
        )

    def record_dependencies(self) -> results.RecordResult:
        """Record what `infer_dependencies` finds. Writes: such dependencies block and order as declared ones do.

        One that would close a cycle is left out, with a remark. One that was inferred before and is not found any more
        is taken back.
        """
        from migrollback_nb.operations.dependencies import record_dependencies

        return record_dependencies(self.database, self._folder_if_any())

    def record_proofs(self, proof: results.Proof) -> results.Proof:
        """Keep the grades of a proof by checksum. Writes them and one event; `check` quotes them while they hold."""
        from migrollback_nb.operations.proofs import record_proofs

        return record_proofs(self.database, proof)

    def dismiss_dependency(self, name: str, depends_on: str, *, reason: str) -> results.DismissResult:
        """Take an inferred dependency away for good. Writes, with an event; what is inferred later leaves it away.

        Parameters
        ----------
        name : str
            The dependent.
        depends_on : str
            What it does not depend on.
        reason : str
            Why it is none; goes into the audit log.

        Raises
        ------
        DatabaseError
            When it is declared by its file, or not there.
        """
        from migrollback_nb.operations.dependencies import dismiss

        return dismiss(self.database, stem(name), stem(depends_on), reason)

    def resolve(self, name: str, *, status: str, reason: str, force: bool = False) -> results.RegisterResult:
        """Record how a failed migration stands, as a person found it. Writes the history; runs no migration SQL.

        Parameters
        ----------
        name : str
            The migration.
        status : {'applied', 'rolled_back'}
            What is true of the database now.
        reason : str
            What was found and done; goes into the audit log.
        force : bool
            True: as rolled back although something that it created still stands; the audit log keeps what.

        Raises
        ------
        MigrationNotFound
            When it is not registered.
        Refused
            When other migrations are in the way, or something that it created still stands.
        """
        from migrollback_nb.operations.register import resolve

        return resolve(self.database, stem(name), status=status, reason=reason, force=force)

    def snapshot(self, name: str, description: str | None = None) -> str:
        """Store the schema as it stands. Writes one snapshot; returns its id.

        Parameters
        ----------
        name : str
            The migration that it is taken for; it need not be registered yet.
        description : str, optional
            Why.
        """
        return self.database.commands.snapshot(stem(name), description)

    def prune_snapshots(self, age: When) -> results.PruneResult:
        """Throw away snapshots that are older. Writes, with an event; what a verification still needs is kept.

        Parameters
        ----------
        age : str or timedelta
            ``30d``, ``3mo``; or a time before which they were taken.
        """
        from migrollback_nb.operations.snapshots import prune

        return prune(self.database, age)

    def grant(self, kind: str, role: str) -> results.RoleResult:
        """Let a role audit or operate. Writes its rights, and an event; as the owner of the system.

        Parameters
        ----------
        kind : {'auditor', 'operator', 'approver', 'requester'}
            An auditor reads everything and changes nothing; an operator rehearses and rolls back what is registered;
            an approver approves what others request, a requester asks.
        role : str
            The database role, as it stands in pg_roles.

        Raises
        ------
        UsageError
            When there is no such role, or it has all rights already.
        """
        changed = self.database.system.grant_role(role, kind)
        return results.RoleResult(role_name=role, kind=kind, holds=True, changed=changed)

    def revoke(self, kind: str, role: str) -> results.RoleResult:
        """Take from a role what `grant` gave it. Writes its rights, and an event.

        Raises
        ------
        UsageError
            When there is no such role, and none of that name was granted anything.
        """
        changed = self.database.system.revoke_role(role, kind)
        return results.RoleResult(role_name=role, kind=kind, holds=False, changed=changed)

    def export_audit_log(self, path: Path | str) -> results.AuditResult:
        """Save history, dependencies and audit log as a JSON file. Does not write to the database.

        Raises
        ------
        UsageError
            When the file exists already: an audit log is never overwritten.
        """
        from migrollback_nb.operations.audit import export_audit_log

        return export_audit_log(self.database, path)
