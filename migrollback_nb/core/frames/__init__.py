"""The columns of every DataFrame in one table, and rows made into frames. Reads no database."""
