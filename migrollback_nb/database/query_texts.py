"""The texts of queries that `queries` and others ask, with {schema} for our schema. Pure."""

from __future__ import annotations

from typing import LiteralString

#: What is stored of a migration, to be compared with its file: of the SQL no more than its hash, for it may be long.
STORED = (
    "h.checksum, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(h.rollback_sql, ''), 'UTF8')),"
    " 'hex') AS rollback_sha256, h.metadata #> '{{rollback,transaction}}' AS in_transaction, h.metadata -> 'tool' AS"
    " tool"
)

#: Of migrations: warnings, whether each is the system's own or runs outside a transaction, what is stored of it.
KNOWN: LiteralString = (
    f"SELECT h.migration_name, {{schema}}.migration_warnings(h.migration_name) AS warnings, {STORED}, "  # noqa: S608  # our own words
    "coalesce(h.metadata ->> 'system' = 'true', false) AS system, coalesce(h.metadata #>>"
    " '{{rollback,transaction}}' = 'false' AND h.metadata #>> '{{rollback,md5}}' ="
    " md5(convert_to(h.rollback_sql, 'UTF8')), false) AS nontransactional "
    "FROM {schema}.migration_history h WHERE h.migration_name = ANY (%(names)s)"
)

#: Of one migration: can_rollback_migration(), warnings, and what is stored of it.
CHECK: LiteralString = (
    f"SELECT {STORED}, h.id IS NOT NULL AS found, c.*, "  # noqa: S608  # our own words
    "{schema}.migration_warnings(%(name)s::pg_catalog.text) AS warnings "
    "FROM {schema}.can_rollback_migration(%(name)s::pg_catalog.text) c "
    "LEFT JOIN {schema}.migration_history h ON h.migration_name = %(name)s"
)

#: assess_migration(), on the session's own path. Written out, as what asks first in a process: finding the arguments
#: of a function reads all files of ours.
ASSESS: LiteralString = (
    "SELECT a.* FROM {schema}.assess_migration(%(name)s::pg_catalog.text,"
    " {schema}.effective_search_path()::pg_catalog.text) a"
)

#: What deploy ledgers know better than the history, in words too.
FINDINGS: LiteralString = (
    "SELECT f.migration_name, f.ledger, f.finding, f.tool, {schema}.ledger_finding_warning(f.migration_name,"
    " f.ledger, f.finding) AS warning FROM {schema}.migration_ledger_findings(%(names)s::text[]) f ORDER BY"
    ' f.migration_name COLLATE "C"'
)

#: All that is stored of migrations.
HISTORY: LiteralString = "SELECT h.* FROM {schema}.migration_history h WHERE h.migration_name = ANY (%(names)s)"
