"""How Sphinx builds these pages: ``sphinx-build -W -b html docs docs/_build``. Asks nothing of the network."""

from __future__ import annotations

import sys
from pathlib import Path

from migrollback_nb.core.version import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "migrollback_nb"
author = "The migrollback_nb founders"
copyright = author  # noqa: A001  # Sphinx reads this name
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_source"]
exclude_patterns = ["_build", "_ext"]
nitpicky = False  # docstrings name types as readers know them: DataFrame, path
suppress_warnings = ["myst.strikethrough"]

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4

# Docstrings are numpydoc. A word between single backticks is code there.
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"  # the docstrings give types in words, and one signature instead of several
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
smartquotes = False  # --dry-run has two dashes
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"migrollback_nb {release}"
html_static_path = ["_static"]
html_css_files = ["house.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
# furo's own default points at this project's repository, which the pages do not name
pygments_style = "friendly"
pygments_dark_style = "native"
