"""The rollback system itself: its own migrations, each a folder of parts in order of name."""
