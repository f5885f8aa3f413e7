"""What touches the target: apply, register, rollback, rehearse, snapshots, ledgers, audit log, dependencies."""
