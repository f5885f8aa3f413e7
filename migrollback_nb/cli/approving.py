"""What request, approve, approvals and policy do: requests of approvals, approvals, and policies. Writes."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from migrollback_nb.cli.actions import meant, what_is_meant
from migrollback_nb.cli.approvals_shown import show_request
from migrollback_nb.cli.command import Call
from migrollback_nb.cli.listing import Listing
from migrollback_nb.core.errors import ConfirmationRequired, Refused, UsageError
from migrollback_nb.core.text import one_line

if TYPE_CHECKING:
    from migrollback_nb.core.results import ApprovalRequest

_REQUESTS = (
    "request", "state", "migration_name", "migrations", "command", "needed", "has", "requested_by", "requested_at",
    "approved_by", "expires_at", "reason", "policies", "verdict", "headline", "words", "fingerprint",
)  # fmt: skip
_POLICIES = (
    "policy_name", "words", "approvals", "approvers", "targets", "conditions", "commands", "valid_minutes",
    "break_glass_by", "changed_by", "changed_at", "reason",
)  # fmt: skip


def request(call: Call) -> Any:
    """Ask others to approve a rollback. Writes one event."""
    args = call.args
    what_is_meant(args)
    return call.db.request(**meant(args), reason=args.reason, preview=args.preview, resolve=args.resolve)


def approve(call: Call) -> ApprovalRequest:
    """Show a request, have it confirmed, and approve it. Writes one event."""
    args, db = call.args, call.db
    shown = db.approval_request(args.request)
    if call.speaks or (args.confirm is None and call.stdin.isatty()):
        asked = call.out if call.speaks else call.err
        show_request(shown, asked, call.err)
        asked.flush()
    if args.confirm is None:
        args.confirm = _ask(shown, call)
    return db.approve(shown, confirm=args.confirm, reason=args.reason)


def _ask(shown: ApprovalRequest, call: Call) -> str:
    """Have the person at the terminal type the migration's name. Writes only to the stream."""
    name = shown.migration_name
    if not call.terminal or not call.stdin.isatty():
        raise ConfirmationRequired(
            f"Request {shown.number} was not confirmed",
            migration_name=name,
            hint=f"Confirm with --confirm {shlex.quote(name)}, once you have looked at it.",
        )
    asked = call.out if call.speaks else call.err
    asked.write(f"\nTo approve this, type the name exactly:\n  {one_line(name)}\n> ")
    asked.flush()
    typed = call.stdin.readline().strip()
    if typed not in (name, one_line(name)):
        raise Refused("Not confirmed: nothing was approved", migration_name=name)
    asked.write("\n")
    return name


def approvals(call: Call) -> Any:
    """The requests, one of them, or one that is withdrawn. Writes only where it withdraws."""
    args = call.args
    if args.reason is not None and args.withdraw is None:
        raise UsageError("--reason is for --withdraw")
    if args.withdraw is not None:
        if args.request is not None or args.open:
            raise UsageError("--withdraw goes alone", hint="migrollback approvals --withdraw ID --reason TEXT")
        return call.db.withdraw(args.withdraw, reason=args.reason)
    if args.request is not None:
        return call.db.approval_request(args.request)
    if not call.terminal:
        return call.db.approvals(open=args.open)
    return Listing(
        rows=[{**row, "request": row["request_number"]} for row in call.db.approval_rows(open=args.open)],
        columns=_REQUESTS,
        short=("request", "migration_name", "words", "requested_by", "requested_at", "approved_by", "reason"),
        spare=("reason", "requested_at", "approved_by"),
        wide=args.wide,
    )


def policy(call: Call) -> Any:
    """The policies, or one that is made, changed or removed. Writes unless it lists."""
    args = call.args
    given = [args.by, args.target, args.conditions, args.commands, args.break_glass_by]
    if args.approvals is None and any(given):
        raise UsageError("A policy needs --approvals N", hint="migrollback policy NAME --approvals 1 --by ROLE")
    if args.policy is None and (args.approvals is not None or args.remove):
        raise UsageError("A policy needs a name", hint="migrollback policy NAME --approvals 1 --by ROLE")
    if args.remove:
        if not (args.reason or "").strip():
            raise UsageError("--remove needs --reason", hint="Say why: it goes into the audit log.")
        return call.db.remove_policy(args.policy, reason=args.reason)
    if args.approvals is not None:
        return call.db.set_policy(
            args.policy,
            approvals=args.approvals,
            approvers=args.by,
            targets=args.target or ("*",),
            conditions=args.conditions,
            commands=args.commands or ("rollback",),
            valid_minutes=args.minutes,
            break_glass_by=args.break_glass_by,
            reason=args.reason,
        )
    if not call.terminal:
        return call.db.policy()
    rows = [row for row in call.db.policy_rows() if args.policy in (None, row["policy_name"])]
    return Listing(
        rows=rows,
        columns=_POLICIES,
        short=("policy_name", "words", "break_glass_by", "changed_by", "changed_at", "reason"),
        spare=("reason", "changed_at", "changed_by"),
        wide=args.wide,
    )
