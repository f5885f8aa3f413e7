"""Folders of migrations, our own and other tools' -> MigrationFiles.

Folders in `folder`, whose they are in `recognize`, which files belong together in `layout`, what is made of them in
`parts`, what stands in them in `marked` and `paired`.
"""

from migrollback_nb.files.formats.folder import MigrationFolder, find_folder
from migrollback_nb.files.formats.order import in_order
from migrollback_nb.files.formats.parts import parse

__all__ = ["MigrationFolder", "find_folder", "in_order", "parse"]
