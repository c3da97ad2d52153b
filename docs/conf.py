"""Settings of the documentation site; `make docs` builds it."""

import gc
import os
import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
# Collection finds next to nothing in the trees of the pages, and would walk them for a third of the time.
gc.disable()
# The site describes this checkout, whichever one is installed.
sys.path[:0] = [str(ROOT), str(DOCS)]


def _commit() -> str | None:
    """The commit of the checkout; `None` outside of one, as in a source distribution."""
    if not (ROOT / ".git").exists():
        return None
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or None


project = "mlip-ood"
author = "The mlip-ood developers"
project_copyright = author
version = release = installed_version("mlip-ood")
commit = _commit()
built_from = f"{project} {release}" + (f", commit {commit[:12]}" if commit else "")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_extensions.plain_types",
    "sphinx_extensions.shown_files",
    "sphinx_extensions.repository_links",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["examples", "README.md"]
templates_path = ["templates"]
smartquotes = False  # they would make one dash of the two of an option
default_role = "code"  # in docstrings, as in Markdown
pygments_dark_style = "github-dark"

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# Packages that take seconds to import, and whose classes no documented signature needs.
autodoc_mock_imports = ["datasets", "tblite", "torch"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_favicon = "static/favicon.svg"
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_context = {"built_from": built_from}
html_theme_options = {"footer_icons": []}
if repository := os.environ.get("GITHUB_REPOSITORY"):
    html_theme_options |= {
        "source_repository": f"{os.environ['GITHUB_SERVER_URL']}/{repository}/",
        "source_branch": commit or "main",
        "source_directory": "docs/",
    }
