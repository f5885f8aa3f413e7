"""Finds, starts and stops PostgreSQL servers, and runs pg_dump. Knows nothing of the rollback system."""
