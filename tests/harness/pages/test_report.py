"""The page of a report in a browser: it draws, stays on itself, and shows structures that one can turn."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.cli import main as harness
from tests.browser import opened, wider_than_window
from tests.harness.pages.conftest import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


@pytest.fixture(scope="module")
def page_file(mini_runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two runs on two tasks."""
    path = tmp_path_factory.mktemp("pages") / "report.html"
    assert harness(["report", *map(str, mini_runs), "--html", str(path)]) == 0
    return path


def _scrolled(page: "Page") -> None:
    """Goes down the page from chart to chart, until each is drawn."""
    for chart in page.locator("[data-chart]:visible").all():
        chart.scroll_into_view_if_needed()
        chart.locator("svg").first.wait_for()


def _picture(stage: "Locator") -> tuple[bytes, int]:
    """A picture of the viewer and the number of its colours."""
    from PIL import Image

    data = stage.screenshot()
    colours = Image.open(io.BytesIO(data)).convert("RGB").getcolors(2**20)
    return data, len(colours or ())


def _pictures(page: "Page", stage: "Locator") -> Iterator[bytes]:
    """The viewer as it is, and after turning by hand and by keys."""
    page.wait_for_function("document.querySelector('#stage canvas') !== null && current !== null")
    page.wait_for_timeout(200)
    first, colours = _picture(stage)
    assert colours > 200
    yield first
    box = stage.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 25, steps=4)
    page.mouse.up()
    yield _picture(stage)[0]
    stage.focus()
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
        yield _picture(stage)[0]


def test_it_shows_what_one_chooses_and_turns_a_structure(browser: "Browser", page_file: Path) -> None:
    with opened(browser, page_file) as watched:
        page = watched.page
        assert page.inner_text("h1").startswith("Errors on unseen combinations are 1.00 (zero")
        assert wider_than_window(page) <= 0
        page.check("input[name=model][value=zero-2]")
        assert page.inner_text(".panel:visible h2") == "zero on task2, fragment duplication"
        page.check("input[name=task][value=task3]")
        assert page.is_visible("#no-panel")
        assert page.locator(".panel:visible").count() == 0
        page.check("input[name=model][value=mmff94-1]")
        _scrolled(page)
        assert page.locator(".panel:visible .pairs svg").count() == 1
        stage = page.locator("#stage")
        stage.scroll_into_view_if_needed()
        seen = list(_pictures(page, stage))
        assert len(set(seen)) == len(seen)
        before = page.inner_text("#viewer-title")
        page.keyboard.press("n")
        assert page.inner_text("#viewer-title") != before
        page.keyboard.press("p")
        assert page.inner_text("#viewer-title") == before
        chosen = page.locator(".panel:visible button.choose").nth(3)
        chosen.click()
        assert page.inner_text("#viewer-title").startswith(chosen.inner_text())
        assert page.locator('.panel:visible button.choose[aria-pressed="true"]').count() == 1


def test_it_holds_on_a_phone_in_the_dark(browser: "Browser", page_file: Path) -> None:
    with opened(browser, page_file, width=390, dark=True) as watched:
        _scrolled(watched.page)
        assert wider_than_window(watched.page) <= 0
        dark = watched.page.evaluate("getComputedStyle(document.querySelector('.molecule svg')).color")
        watched.page.click("#theme")
        light = watched.page.evaluate("getComputedStyle(document.querySelector('.molecule svg')).color")
        assert dark != light


def test_text_of_strangers_stays_text(browser: "Browser", own_runs: tuple[Path, Path], tmp_path: Path) -> None:
    """The page of a task of one's own, whose model has the name of a script."""
    path = tmp_path / "own.html"
    assert harness(["report", str(own_runs[0]), "--html", str(path)]) == 0
    with opened(browser, path) as watched:
        page = watched.page
        assert page.inner_text("h1").startswith(f"{HOSTILE} makes ")
        assert page.inner_text(".pairs th.id").startswith("Seen in training")
        assert "Not known: based on 2 fragments" in page.inner_text(".verdict")
        assert "python -m harness --model gfn1-xtb" in page.inner_text(".verdict")
        assert page.locator("main b").count() == 0
        page.locator("[data-chart=ethers-overview] svg").wait_for()
        assert HOSTILE in page.inner_text("[data-chart=ethers-overview]")
