"""What touches the target database: apply, register, rollback, rehearse, snapshots, ledgers, audit log, dependencies."""
