"""Folders of migrations, our own and other tools' -> MigrationFiles.

Folders in `folder`, which files belong together in `layout`, what stands in them in `marked` and `paired`.
"""

from migrollback_nb.files.formats.folder import MigrationFolder, find_folder, in_order, parse

__all__ = ["MigrationFolder", "find_folder", "in_order", "parse"]
