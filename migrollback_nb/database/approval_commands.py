"""Requests, approvals and policies, by the SQL functions. Writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from migrollback_nb.database.retries import retrying
from migrollback_nb.database.session import Row, Session


class ApprovalCommands:
    """Who asks, who approves, and by which policies."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _value(self, function: str, /, **arguments: Any) -> Any:
        """The one value of a function, in a transaction of its own that is tried again while it meets a lock."""
        call = self._session.call_text(function, **arguments, client=self._session.client)
        rows = retrying(self._session, lambda lock_timeout: self._session.transact(call, lock_timeout=lock_timeout)[0])
        return next(iter(rows[0].values()))

    def request(
        self, names: Sequence[str], *, reason: str | None, preview: str | None = None, command: str = "rollback"
    ) -> int | None:
        """Ask for approvals. Writes an event; its number, None where no policy asks for any."""
        return cast(
            "int | None",
            self._value(
                "request_migration_approval", names=list(names), reason=reason, preview=preview, command=command
            ),
        )

    def approve(self, request: int, *, preview: str | None, reason: str | None) -> str:
        """Approve a request. Writes an event; how the request stands then, in words."""
        return cast(str, self._value("approve_migration_request", request=request, preview=preview, reason=reason))

    def withdraw(self, request: int, *, reason: str | None) -> bool:
        """Withdraw a request. Writes an event; whether it was open."""
        return cast(bool, self._value("withdraw_migration_request", request=request, reason=reason))

    def set_policy(self, policy: str, *, reason: str | None, **rules: Any) -> bool:
        """Make or change a policy. Writes it and an event; whether anything was changed."""
        return cast(bool, self._value("set_migration_policy", policy=policy, reason=reason, **rules))

    def remove_policy(self, policy: str, *, reason: str) -> bool:
        """Remove a policy. Writes an event; whether it was there."""
        return cast(bool, self._value("remove_migration_policy", policy=policy, reason=reason))

    def requests(self, request: int | None = None, *, only_open: bool = False) -> list[Row]:
        """Rows of migration_requests(), newest first. Does not write."""
        return self._session.call("migration_requests", request=request, only_open=only_open)

    def policies(self) -> list[Row]:
        """Rows of list_migration_policies(). Does not write."""
        rows = self._session.call("list_migration_policies")
        return [{**row, "valid_minutes": float(row["valid_minutes"])} for row in rows]
