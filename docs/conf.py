# SPDX-License-Identifier: Apache-2.0
"""The site: ``python -m sphinx -W --keep-going docs build/site``."""

import sys
import tempfile
from pathlib import Path

import simplugins

sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("_extensions", "_inventories")]

from refresh import pack  # noqa: E402

project = "simplugins"
author = "The simplugins developers"
copyright = "The simplugins developers"  # Sphinx calls it so
version = release = simplugins.__version__

extensions = [
    "repository_pages",
    "reference_pages",
    "explorer_page",
    "local_links",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_design",
]
exclude_patterns = ["guide.md", "plugin-template", "_inventories", "**/.*"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 5
suppress_warnings = ["myst.header"]  # the reports of benchmarks, which start tables at any level

nb_execution_mode = "force"  # every build runs every notebook; while writing: -D nb_execution_mode=cache
nb_execution_cache_path = str(Path(__file__).parents[1] / "build" / "jupyter_cache")
nb_execution_in_temp = True
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc has the types
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # words of types that are neither Python's nor ours
numpydoc_xref_aliases = {name: f"simplugins.{name}" for name in simplugins.__all__ if name[0].isupper()}

inventories = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
packed = Path(tempfile.mkdtemp())
for package in inventories:
    pack(package, packed / f"{package}.inv")
intersphinx_mapping = {package: (address, str(packed / f"{package}.inv")) for package, address in inventories.items()}

html_theme = "pydata_sphinx_theme"
html_title = "simplugins"
html_static_path = ["_static"]
html_extra_path: list[str] = []
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "gallery/index": []}
