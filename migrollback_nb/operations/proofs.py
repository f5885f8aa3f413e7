"""Keeps in the database what a replay has proven of its migrations. Writes proofs and one event."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrollback_nb.core.results import Proof
    from migrollback_nb.database import Database


def record_proofs(database: Database, proof: Proof) -> Proof:
    """Keep the grades of a proof by name and checksum; the proof says which are of what is registered. Writes.

    What could not be tried, or has no text that could be read, is left out.
    """
    known = [
        {**found.to_dict(), "checksum": found.checksum, "rollback_md5": found.rollback_md5}
        for found in proof.migrations
        if found.checksum is not None and found.grade != "unknown"
    ]
    rows = database.commands.record_proofs([{**found, "server_version": proof.server} for found in known])
    return proof.recorded_as({row["migration_name"]: row["is_registered"] for row in rows})
