"""A page is self-contained, escapes what strangers wrote, and draws its charts in a browser."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dataset_builders.core.errors import MissingPackageError, SetupError, UsageError
from harness.pages import bundled
from harness.pages.chart import Chart, json_for_script, save_chart
from harness.pages.page import Page, page_html, write_page
from tests.browser import opened, wider_than_window

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_HOSTILE = "</script><script>document.title='taken'</script>"


def _chart(label: str = "a") -> Chart:
    points = [{"task": label, "error": 2.0}, {"task": "b", "error": 3.0}]
    return Chart(
        name="errors",
        specification={
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "data": {"values": points},
            "mark": "bar",
            "width": "container",
            "encoding": {"x": {"field": "error", "type": "quantitative"}, "y": {"field": "task", "type": "nominal"}},
        },
        alternative="Two errors: 2 and 3.",
        caption="Errors of two tasks.",
    )


@pytest.fixture
def template(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A template of the test beside those of the package."""
    import jinja2

    text = (
        '{% extends "page.html" %}{% from "macros.html" import figure %}'
        "{% block content %}<h1>{{ heading }}</h1>{{ figure(charts.errors) }}{% endblock %}"
    )
    packaged = jinja2.PackageLoader("harness.pages")
    both = jinja2.ChoiceLoader([jinja2.DictLoader({"test.html": text}), packaged])
    monkeypatch.setattr(jinja2, "PackageLoader", lambda _: both)
    return "test.html"


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_a_page_draws_its_chart(browser: "Browser", template: str, tmp_path: Path, width: int, dark: bool) -> None:
    """The chart is drawn at both widths, in both themes, and hostile text stays text."""
    page = Page(template, title=f"t {_HOSTILE}", values={"heading": _HOSTILE}, charts=[_chart(_HOSTILE)])
    write_page(page, tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html", width=width, dark=dark) as watched:
        watched.page.wait_for_selector("[data-chart] svg")
        assert watched.page.title().startswith("t </script>")
        assert watched.page.inner_text("h1") == _HOSTILE
        assert watched.page.get_attribute("html", "data-theme") == ("dark" if dark else "light")
        assert wider_than_window(watched.page) <= 0
        watched.page.click("#theme")
        assert watched.page.get_attribute("html", "data-theme") == ("light" if dark else "dark")


def test_data_ends_no_script() -> None:
    """Neither an end tag nor a comment nor a line separator survives."""
    assert json_for_script(["</script>", "<!--", "\u2028"]) == '["\\u003c/script>","\\u003c!--","\\u2028"]'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_for_script(float("nan"))


def test_charts_are_written_for_papers(tmp_path: Path) -> None:
    """SVG and PNG, by the ending."""
    save_chart(_chart(), tmp_path / "errors.svg")
    save_chart(_chart(), tmp_path / "errors.png")
    assert (tmp_path / "errors.svg").read_text().startswith("<svg")
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"written as \.svg or \.png, not \.pdf"):
        save_chart(_chart(), tmp_path / "errors.pdf")


def test_a_changed_bundle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sha256 of each bundled file is checked."""
    bundled.vendored.cache_clear()
    monkeypatch.setattr(bundled, "VENDORED", {**bundled.VENDORED, "tabulator.min.js": "0" * 64})
    with pytest.raises(SetupError, match="expected 0000"):
        bundled.vendored("tabulator.min.js")
    for name in ("3Dmol-min.js", "tabulator_simple.min.css"):
        assert bundled.vendored(name)  # type: ignore[arg-type]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, template: str, tmp_path: Path) -> None:
    """The error says what to install."""
    bundled.vega.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(MissingPackageError, match=r"mlip-ood\[pages\]"):
        page_html(Page(template, title="t", values={"heading": "h"}, charts=[_chart()]))
    with pytest.raises(MissingPackageError, match=r"mlip-ood\[pages\]"):
        save_chart(_chart(), tmp_path / "errors.svg")
    bundled.vega.cache_clear()
