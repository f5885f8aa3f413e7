"""Deploys: when each was, who made it, how many migrations it brought, and what became of them. Does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrollback_nb.core.clients import split_client

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.database.history_queries import Window


def deploy_rows(database: Database, window: Window) -> list[dict[str, Any]]:
    """Rows of the frame of deploys, newest first. Does not write."""
    return [
        {
            **row,
            "started_at": row["deployed_at"],
            "actor": row["deployed_by"],
            "interface": split_client(row["client"])[0],
            "migrations": len(set(row["migrations"])),
        }
        for row in database.history.deploys(window)
    ]
