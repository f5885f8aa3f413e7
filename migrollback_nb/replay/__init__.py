"""What runs on a scratch database: proof, schema copy, previous definitions, suggested rollback. Never touches the target."""
