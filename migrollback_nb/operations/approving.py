"""Two people: asking for approvals, giving and withdrawing them, and the policies. Writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from migrollback_nb.core import results
from migrollback_nb.core.errors import ConfirmationRequired, UsageError
from migrollback_nb.operations.inspection import Inspection
from migrollback_nb.operations.preview import stem

if TYPE_CHECKING:
    from migrollback_nb.operations.ranges import RangeOptions


class Approving(Inspection):
    """What `Workspace` does with requests, approvals and policies."""

    def request(
        self,
        name: str | Sequence[str] | None = None,
        *,
        reason: str | None = None,
        preview: results.Preview | results.Rehearsal | str | None = None,
        resolve: bool = False,
        **range: Unpack[RangeOptions],
    ) -> results.ApprovalRequest | results.NothingToRollBack:
        """Ask others to approve a rollback as it stands now. Writes one event; asked again, none.

        Parameters
        ----------
        name : str or sequence of str, optional
            What is to be rolled back, as `rollback` takes it.
        reason : str, optional
            Why; the approvers see it.
        preview : Preview, Rehearsal or str, optional
            What was looked at, or its fingerprint: refused when anything has changed since.
        resolve : bool
            True: not to roll it back, but to resolve it by force.
        **range : Unpack[RangeOptions]
            deploy, to, last, since, select, exclude, chain: instead of a name, as of `rollback`.

        Returns
        -------
        ApprovalRequest or NothingToRollBack
            ``number`` is None where no policy asks for an approval.

        Raises
        ------
        Refused
            When a rule forbids the rollback anyway, or something has changed since the preview.
        """
        from migrollback_nb.operations import ranges

        found = ranges.find(self.database, ranges.asked(name, **range), folder=self.folder_path)
        if not found.steps:
            return ranges.nothing_in(self.database, found)
        names = found.steps
        fingerprint = preview if preview is None or isinstance(preview, str) else preview.fingerprint
        number = self.database.approvals.request(
            names, reason=reason, preview=fingerprint, command="resolve" if resolve else "rollback"
        )
        if number is None:
            return results.ApprovalRequest(
                number=None, migration_name=names[-1], migrations=names, state="not needed", words="not needed"
            )
        return self.approval_request(number)

    def approval_request(self, request: int) -> results.ApprovalRequest:
        """A request as it stands now: SQL, verdict, effects, who asked. Does not write.

        Raises
        ------
        UsageError
            When there is no such request.
        """
        rows = self.database.approvals.requests(request)
        if not rows:
            raise UsageError(f"There is no request {request}", hint="migrollback approvals lists them.")
        return results.ApprovalRequest.from_row(rows[0])

    def approve(
        self,
        request: int | results.ApprovalRequest,
        *,
        confirm: str,
        reason: str | None = None,
    ) -> results.ApprovalRequest:
        """Approve a request of another person. Writes one event, by the database role of this connection.

        Parameters
        ----------
        request : int or ApprovalRequest
            Its number; or what `approval_request` gave, so that what was looked at is what is approved.
        confirm : str
            The name of the migration (of several: the last) again: nothing is approved by accident.
        reason : str, optional
            Goes into the audit log.

        Raises
        ------
        ConfirmationRequired
            When it is not confirmed.
        Refused
            When it is this role's own request, has ended or is void, or this role is none of the approvers.
        """
        shown = self.approval_request(request) if isinstance(request, int) else request
        if shown.number is None:
            raise UsageError("Nothing was requested", hint="No policy asks for an approval.")
        if not isinstance(confirm, str) or stem(confirm) != shown.migration_name:
            raise ConfirmationRequired(
                f"Request {shown.number} was not confirmed",
                migration_name=shown.migration_name,
                hint=f"Confirm by the name of its migration: {shown.migration_name}",
            )
        self.database.approvals.approve(shown.number, preview=shown.fingerprint, reason=reason)
        return self.approval_request(shown.number)

    def withdraw(self, request: int | results.ApprovalRequest, *, reason: str | None = None) -> results.ApprovalRequest:
        """Withdraw a request, with the approvals that it has. Writes one event, unless it was withdrawn before.

        For who asked, who approved it, and the owner of the system.

        Raises
        ------
        Refused
            When it is another's, or was used.
        """
        number = request if isinstance(request, int) else request.number
        if number is None:
            raise UsageError("Nothing was requested")
        self.database.approvals.withdraw(number, reason=reason)
        return self.approval_request(number)

    def approval_rows(self, *, open: bool = False) -> list[dict[str, Any]]:
        """As `approvals`, as plain rows. Does not write."""
        return self.database.approvals.requests(only_open=open)

    def policy_rows(self) -> list[dict[str, Any]]:
        """As `policy`, as plain rows. Does not write."""
        return self.database.approvals.policies()

    def set_policy(
        self,
        policy: str,
        *,
        approvals: int = 1,
        approvers: Sequence[str] = (),
        targets: Sequence[str] = ("*",),
        conditions: Sequence[str] = (),
        commands: Sequence[str] = ("rollback",),
        valid_minutes: float = 60,
        break_glass_by: Sequence[str] = (),
        reason: str | None = None,
    ) -> results.PolicyChange:
        """Make or change a policy: which rollbacks others have to approve. Writes, with an event; the owner alone.

        Parameters
        ----------
        policy : str
            Its name.
        approvals : int
            How many approvals it takes, 1 to 9; never of the role that asked.
        approvers : sequence of str
            Roles that approve, and whose members do; none: any other role.
        targets : sequence of str
            Of which migrations: names, with ``*`` and ``?``.
        conditions : sequence of str
            Verdicts or effects of which one has to hold (``loses``, ``takes_others``, ``not_rehearsed`` ...); none:
            always.
        commands : sequence of str
            ``rollback``, ``resolve`` (by force), or both.
        valid_minutes : float
            How long an approval holds.
        break_glass_by : sequence of str
            Roles that may do without, besides the owner.
        reason : str, optional
            Goes into the audit log.

        Raises
        ------
        UsageError
            When something of it cannot be.
        DatabaseError
            When the role does not own the system (SQLSTATE 42501).
        """
        known = {row["policy_name"] for row in self.database.approvals.policies()}
        changed = self.database.approvals.set_policy(
            policy,
            approvals=approvals,
            approvers=list(approvers),
            targets=list(targets),
            conditions=list(conditions),
            commands=list(commands),
            valid_minutes=valid_minutes,
            break_glass_by=list(break_glass_by),
            reason=reason,
        )
        outcome = "unchanged" if not changed else "changed" if policy in known else "created"
        words = {row["policy_name"]: row["words"] for row in self.database.approvals.policies()}
        return results.PolicyChange(policy=policy, outcome=outcome, words=words.get(policy))

    def remove_policy(self, policy: str, *, reason: str) -> results.PolicyChange:
        """Remove a policy. Writes, with an event; the owner alone.

        Parameters
        ----------
        reason : str
            Why; goes into the audit log.
        """
        removed = self.database.approvals.remove_policy(policy, reason=reason)
        return results.PolicyChange(policy=policy, outcome="removed" if removed else "not there")
