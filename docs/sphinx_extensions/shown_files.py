"""Pages of the site whose text is a file outside of docs/: CONTRIBUTING.md, the notebook, the start of README.md.

Pages that show a whole file lie in docs/site/. The front matter of a page names the file:

    shows: ../../CONTRIBUTING.md         # all of it; what else the page says is for readers of the repository
    begins_with: ../README.md            # its text before the first heading of level 2, then the page's own
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sphinx.errors import ExtensionError

from sphinx_extensions.notebooks import notebook_as_markdown

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_FRONT: Final = re.compile(r"\A---\n(shows|begins_with): (\S+)\n---\n")
_FRONT_OF_CARD: Final = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_FOLDER: Final = "site"
_SECOND_LEVEL: Final = re.compile(r"^## ", re.MULTILINE)


def shown_file(page: Path) -> Path | None:
    """The file whose text a page of docs/ shows, or `None` if it shows its own only."""
    if page.suffix != ".md" or not page.is_file():
        return None
    front = _FRONT.match(page.read_text(encoding="utf-8"))
    return (page.parent / front[2]).resolve() if front else None


def _bring_in(app: "Sphinx", docname: str, source: list[str]) -> None:
    front = _FRONT.match(source[0])
    if front is None:
        return
    path = shown_file(Path(app.env.doc2path(docname)))
    if path is None or not path.is_file():
        raise ExtensionError(f"{docname} shows {front[2]}, which is no file; expected a path from the page's folder")
    app.env.note_dependency(str(path), docname=docname)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = notebook_as_markdown(text)
    text = _FRONT_OF_CARD.sub("", text)
    source[0] = text if front[1] == "shows" else _SECOND_LEVEL.split(text)[0] + source[0][front.end() :]


def pages_of_files(env: "BuildEnvironment") -> dict[Path, str]:
    """The page that shows a file as a whole, by the path of the file."""
    pages = Path(env.srcdir).glob(f"{_FOLDER}/*.md")
    return {path: f"{_FOLDER}/{page.stem}" for page in pages if (path := shown_file(page)) is not None}


def setup(app: "Sphinx") -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _bring_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
