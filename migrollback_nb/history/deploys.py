"""Deploys: what each brought, and what is left of it. Does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrollback_nb.core.clients import split_client

if TYPE_CHECKING:
    from migrollback_nb.database import Database


def deploy_rows(database: Database) -> list[dict[str, Any]]:
    """Rows of the frame of deploys, newest first. Does not write."""
    return [
        {
            "label": row["label"],
            "started_at": row["deployed_at"],
            "actor": row["deployed_by"],
            "interface": split_client(row["client"])[0],
            "migrations": len(row["migrations"]),
            "state": row["state"],
        }
        for row in database.queries.deploys()
    ]
