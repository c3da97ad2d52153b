"""Links of Markdown pages to files of the repository, as they stand, lead to pages of the site.

A link to README.md leads to the start page, one to a file that a page shows to that page, and one to any other file
or folder (source code, a task file, an example package) to a page with its text. So no link leaves the site, and the
site needs not know where the repository is published.
"""

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from docutils import nodes
from sphinx import addnodes
from sphinx.highlighting import PygmentsBridge
from sphinx.transforms import SphinxTransform

from sphinx_extensions.shown_files import pages_of_files, shown_file

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT: Final = Path(__file__).resolve().parents[2]
_START: Final = {ROOT / "README.md", ROOT / "docs" / "README.md"}
_LONGEST: Final = 200_000
"""Bytes of a file up to which its text is shown."""
_LANGUAGES: Final = {
    ".json": "json", ".md": "markdown", ".py": "python", ".toml": "toml", ".txt": "text", ".yml": "yaml",
}  # fmt: skip
_NOT_SHOWN: Final = ("__pycache__", ".egg-info")


class RepositoryLinks(SphinxTransform):
    """Resolves paths of links and pictures, before Sphinx collects them."""

    default_priority = 200

    def apply(self, **kwargs: Any) -> None:
        """Looks for each path beside the page, then beside the file that the page shows."""
        page = Path(self.env.doc2path(self.env.docname))
        shown = shown_file(page)
        folders = [page.parent] if shown is None else [page.parent, shown.parent]
        if shown is not None and shown not in _START:
            folders.reverse()
        for picture in list(self.document.findall(nodes.image)):
            found = _found(picture["uri"], folders)
            if found is not None:
                picture["uri"] = "/" + Path(os.path.relpath(found, self.env.srcdir)).as_posix()
        for link in list(self.document.findall(_is_path)):
            self._resolve(link, folders)

    def _resolve(self, link: nodes.Element, folders: list[Path]) -> None:
        if link.astext().endswith(".md"):
            link["refexplicit"] = False  # in the repository a page is named by its file, on the site by its title
        if link.get("refdomain") == "doc":
            # MyST has cut the ending off, and names a file outside of docs/ by its whole path.
            target, anchor = f"{link['reftarget']}.md", link["reftargetid"]
            if link["reftarget"] in self.env.found_docs:
                return
        else:
            target, _, anchor = link["reftarget"].partition("#")
        found = _found(target, folders)
        if found is None:
            return
        docname = self._page_of(found)
        if docname is None:
            new = nodes.reference("", "", *link.children, refuri="", internal=True, repository_path=_name(found))
        else:
            new = addnodes.pending_xref(
                "", *link.children, refdomain="doc", refdoc=self.env.docname, reftarget=docname,
                reftargetid=anchor or None, reftype="myst", refexplicit=link["refexplicit"],
            )  # fmt: skip
        link.replace_self(new)

    def _page_of(self, path: Path) -> str | None:
        if path in _START:
            return str(self.config.root_doc)
        return pages_of_files(self.env).get(path) or self.env.path2doc(path)


def _is_path(node: nodes.Node) -> bool:
    return (
        isinstance(node, addnodes.pending_xref | addnodes.download_reference)
        and node.get("reftype") == "myst"
        and not node["reftarget"].startswith("#")
    )


def _found(target: str, folders: list[Path]) -> Path | None:
    """The file or folder of the repository that a relative path names."""
    if ":" in target or not target:
        return None
    paths = ((folder / target).resolve() for folder in folders)
    return next((path for path in paths if path.exists() and path.is_relative_to(ROOT)), None)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _address(path: str) -> str:
    return f"repository/{path}"


def _fill_in(app: "Sphinx", doctree: nodes.document, docname: str) -> None:
    """Addresses are relative to the page, so they are known when it is written."""
    for link in doctree.findall(nodes.reference):
        if "repository_path" in link:
            link["refuri"] = app.builder.get_relative_uri(docname, _address(link["repository_path"]))


def _pages(app: "Sphinx") -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file or folder that any page links to."""
    if app.builder.name != "html":
        return
    linked = {
        link["repository_path"]
        for docname in app.env.found_docs
        for link in app.env.get_doctree(docname).findall(nodes.reference)
        if "repository_path" in link
    }
    for name in sorted(linked):
        body = f"<h1>{_path_in_words(name)}</h1>" + "".join(_sections(ROOT / name, app.builder.highlighter))
        yield _address(name), {"title": name, "body": body, "parents": []}, "page.html"


def _sections(path: Path, highlighter: PygmentsBridge) -> Iterator[str]:
    if path.is_file():
        yield _text_of(path, highlighter)
        return
    for each in sorted(path.rglob("*")):
        if each.is_file() and not any(part.endswith(_NOT_SHOWN) for part in each.parts):
            yield f"<h2>{_path_in_words(each.relative_to(path).as_posix())}</h2>" + _text_of(each, highlighter)


def _path_in_words(name: str) -> str:
    """A path as HTML that may be broken after its slashes."""
    return f"<code>{escape(name).replace('/', '/<wbr>')}</code>"


def _text_of(path: Path, highlighter: PygmentsBridge) -> str:
    size = path.stat().st_size
    try:
        text = path.read_text(encoding="utf-8") if size <= _LONGEST else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        return f"<p>{size:,} bytes, in the repository.</p>"
    return highlighter.highlight_block(text, _LANGUAGES.get(path.suffix, "text"))


def setup(app: "Sphinx") -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(RepositoryLinks)
    app.connect("doctree-resolved", _fill_in)
    app.connect("html-collect-pages", _pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
