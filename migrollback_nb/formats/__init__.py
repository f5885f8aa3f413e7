"""Folder layouts of migration tools -> MigrationFiles. Each layout has one small module."""

from migrollback_nb.formats.native import MigrationFolder

__all__ = ["MigrationFolder"]
