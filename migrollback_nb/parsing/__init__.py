"""What SQL text says, read by PostgreSQL's own parser. Pure."""
