"""The production checklist, its evidence and its report."""
