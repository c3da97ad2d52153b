"""The documentation site: built with warnings as errors, its links followed, and opened in a browser."""

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import harness
from dataset_builders.core import errors
from tests.browser import chromium, opened, wider_than_window

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", folder / "trees", DOCS, folder / "html"],
        cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The site on a server of this machine; the search reads pages from it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Page(HTMLParser):
    """What a page loads, links to, and names."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.names.add(given["id"] or "")
        if given.get("href"):
            (self.links if tag == "a" else self.loads).append(given["href"] or "")
        if given.get("src"):
            self.loads.append(given["src"] or "")


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for target in page.loads + page.links:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loads and parts.scheme != "data":
                    broken.append(f"{path.name} loads {target}")
                continue
            found = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not found.is_file() or (anchor and found in pages and anchor not in pages[found].names):
                broken.append(f"{path.relative_to(site)} -> {target}")
    assert broken == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_all_pages_are_there_and_no_path_of_this_machine(site: Path) -> None:
    sources = [path for path in DOCS.rglob("*.md") if "examples" not in path.parts and path != DOCS / "README.md"]
    for source in sources:
        assert (site / source.relative_to(DOCS)).with_suffix(".html").is_file(), source
    for page in site.rglob("*.html"):
        assert str(ROOT) not in page.read_text(encoding="utf-8"), page


def test_links_to_files_of_the_repository_stay_on_the_site(site: Path) -> None:
    assert "repository/harness/evaluation/options.py.html" in Page(site / "python.html").links
    assert "site/contributing.html#add-a-family" in Page(site / "families.html").links
    assert "../regions.html" in Page(site / "site" / "contributing.html").links
    text = (site / "repository/docs/examples/architecture_package.html").read_text(encoding="utf-8")
    assert "mlip_ood_gaussnet/<wbr>network.py" in text
    assert '<span class="nc">GaussNet</span>' in text


def test_the_start_page_begins_as_the_readme_does(site: Path) -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", (site / "index.html").read_text(encoding="utf-8"))
    first = (ROOT / "README.md").read_text(encoding="utf-8").split("\n\n")[1]
    assert " ".join(first.split())[:60] in " ".join(text.split())
    assert f"mlip-ood {harness.__version__}" in text


def test_the_interface_is_documented(site: Path) -> None:
    functions = {f"harness.api.{name}" for name in harness.__all__ if not name.startswith("_")}
    assert functions <= Page(site / "api" / "evaluate.html").names
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert {f"dataset_builders.core.errors.{name}" for name in kinds} <= Page(site / "api" / "errors.html").names
    results = (site / "api" / "results.html").read_text(encoding="utf-8")
    assert "Annotated" not in results
    assert "FieldInfo" not in results


def test_pages_open_on_a_desk_and_on_a_phone(address: str) -> None:
    names = ["index", "data", "labels", "results/mini/README", "site/first-steps", "api/results", "site/security"]
    with chromium() as browser:
        for width, dark in ((1440, False), (390, True)):
            with opened(browser, address, width=width, dark=dark) as watched:
                for name in names:
                    watched.page.goto(f"{address}{name}.html")
                    assert wider_than_window(watched.page) <= 0, (name, width)
                    brightness = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
                    assert (max(map(int, re.findall(r"\d+", brightness)[:3])) < 60) == dark, (name, brightness)
        with opened(browser, address) as watched:
            watched.page.fill(".sidebar-search", "Chernoff")
            watched.page.press(".sidebar-search", "Enter")
            watched.page.wait_for_selector("#search-results ul.search li a")
            watched.page.click("#search-results ul.search li a")
            watched.page.wait_for_load_state()
            assert "search.html" not in watched.page.url
            assert "Chernoff" in watched.page.inner_text("article")


@pytest.fixture
def _extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))


@pytest.mark.usefixtures("_extensions")
def test_types_are_shown_without_their_checks() -> None:
    from sphinx_extensions.plain_types import plain

    assert plain("dict[Annotated[str, F(p='^[a-z]{0,3}$')], ~typing.Annotated[int, G(0)] | None]") == (
        "dict[str, int | None]"
    )


@pytest.mark.usefixtures("_extensions")
def test_outputs_that_a_page_cannot_show_are_refused() -> None:
    import json

    from sphinx.errors import ExtensionError
    from sphinx_extensions.notebooks import notebook_as_markdown

    def notebook(output: dict[str, object]) -> str:
        cell = {"cell_type": "code", "metadata": {}, "source": ["print('```')"], "outputs": [output]}
        return json.dumps({"cells": [cell]})

    text = notebook_as_markdown(notebook({"output_type": "stream", "name": "stdout", "text": ["```\n"]}))
    assert text == "````python\nprint('```')\n````\n\n````text\n```\n````\n"
    with pytest.raises(ExtensionError, match="no alternative text"):
        notebook_as_markdown(notebook({"output_type": "display_data", "data": {"image/png": "aGk="}}))
    with pytest.raises(ExtensionError, match="expected text or PNG"):
        notebook_as_markdown(notebook({"output_type": "error", "ename": "E"}))
