"""Writes one self-contained HTML page: no file and no address outside it is read when it is viewed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_builders.core.whole_file import write_text_whole
from harness.pages.bundled import Bundle, vega, vendored
from harness.pages.chart import Chart, json_for_script

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is made of.

    Attributes:
        template: File in `templates/`, which extends `page.html`.
        title: Title of the window.
        values: What the template prints. Strings are escaped there.
        charts: Charts of the page, which the template places with `chart(name)`.
        data: What the scripts of the page read with `pageData()`; anything that JSON can hold.
        bundles: Bundled files that the page needs beside Vega-Lite.
    """

    template: str
    title: str
    values: Mapping[str, Any]
    charts: Sequence[Chart] = ()
    data: object = None
    bundles: Sequence[Bundle] = ()


def page_html(page: Page) -> str:
    """The page as one HTML document.

    Raises:
        MissingPackageError: If the page has charts and vl-convert-python is not installed.
        SetupError: If a bundled file was changed.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["script_json"] = lambda value: Markup(json_for_script(value))
    scripts = [vendored(name) for name in page.bundles if name.endswith(".js")]
    return environment.get_template(page.template).render(
        page.values,
        title=page.title,
        charts={chart.name: chart for chart in page.charts},
        chart_json={chart.name: Markup(chart.json()) for chart in page.charts},
        page_data=Markup(json_for_script(page.data)),
        chart_script=_in_page(vega()) if page.charts else None,
        bundled_scripts=[_in_page(script) for script in scripts],
        bundled_styles=[Markup(vendored(name)) for name in page.bundles if name.endswith(".css")],
    )


def _in_page(script: str) -> "Markup":
    """A bundle may hold the end tag of a script in a string; that would end it in the page too."""
    from markupsafe import Markup

    return Markup(script.replace("</script", "<\\/script"))


def write_page(page: Page, path: Path) -> None:
    """Writes a page, atomically.

    Raises:
        MissingPackageError: As in `page_html`.
        OSError: If the file cannot be written.
    """
    write_text_whole(path, page_html(page))
