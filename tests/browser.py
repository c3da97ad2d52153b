"""A headless Chromium that opens a page from its file and notes what the page does wrong."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass(slots=True)
class Watched:
    """A page that was opened.

    Attributes:
        page: To look at and click.
        problems: Errors of its scripts, of its console, and requests that left the page.
    """

    page: "Page"
    problems: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Starts Debian's Chromium; WebGL is drawn in software."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; `make test` installs it as root: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    # Only WebGL goes through the drawing of a GPU in software, which would take half the time of a page without it.
    options = [
        "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync",
        "--disable-component-update", "--enable-unsafe-swiftshader", "--use-angle=swiftshader",
        "--ignore-gpu-blocklist", "--disable-gpu-compositing", "--disable-gpu-rasterization",
    ]  # fmt: skip
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: "Browser", address: str | Path, *, width: int = 1440, dark: bool = False) -> Iterator[Watched]:
    """Opens a file, or an address of this machine; fails at the end if the page did anything wrong.

    Args:
        browser: The running browser.
        address: Path of an HTML file, or an address of a server of this machine.
        width: Width of the window in pixels; a phone has 390.
        dark: Whether the reader prefers dark pages.
    """
    home = address.resolve().as_uri() if isinstance(address, Path) else address
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
    ) as context:
        page = context.new_page()
        watched = Watched(page)
        allowed = ("data:", "blob:", "about:", home.partition("#")[0])
        page.on("console", lambda m: watched.problems.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: watched.problems.append(f"script: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(allowed)
                else watched.problems.append(f"request off the page: {request.url}")
            ),
        )
        page.goto(home)
        yield watched
        assert watched.problems == []


def wider_than_window(page: "Page") -> int:
    """Pixels by which the page is wider than its window, which would make a phone scroll sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
