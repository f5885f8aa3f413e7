"""Many databases or tenant schemas at once: questions, plans, and rollbacks in waves. Each writes what it says."""
