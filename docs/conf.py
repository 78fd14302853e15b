"""How Sphinx builds the site from the pages that tools/pages.py lays out: `make site`."""

import builtins

from docutils.nodes import document
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

from unspool import __version__

project = "unspool"
version = release = __version__
html_title = f"unspool {__version__}"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
suppress_warnings = ["misc.highlighting_failure"]  # Pygments does not know all of Java
smartquotes = False

html_theme = "furo"
html_show_copyright = html_show_sphinx = html_copy_source = False

myst_heading_anchors = 4  # the anchors are those of code hosts
default_role = "literal"  # `names` in docstrings are code, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
python_maximum_signature_line_length = 80


def keep_builtins(_: Sphinx, tree: document) -> None:
    """Do not link the types of Python: Sphinx would take `bytes` for an attribute of ours that has this name."""
    for node in list(tree.findall(pending_xref)):
        if node.get("reftarget") in vars(builtins):
            node.replace_self(node.children)


def setup(app: Sphinx) -> None:
    """Register what is done to each page."""
    app.connect("doctree-read", keep_builtins)
