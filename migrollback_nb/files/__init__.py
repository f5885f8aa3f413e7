"""Migration files and folders, our own and those of other tools. Reads files only."""
