"""What runs on a scratch database: proof, schema copy, previous definitions, suggested rollback. Never the target."""
