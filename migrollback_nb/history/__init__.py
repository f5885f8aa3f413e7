"""What is asked of one database's history, as DataFrames. Does not write."""
