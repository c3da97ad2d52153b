"""A chart: a Vega-Lite specification with its alternative text. Pages embed it, papers take it as SVG or PNG."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from dataset_builders.core.errors import MissingPackageError, UsageError
from dataset_builders.core.whole_file import whole_file

_FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif"
_PAPER_FONT: Final = "DejaVu Sans, Arial, sans-serif"
_PAPER_WIDTH: Final = 460
"""Width of the plot of a chart that fills its container on a page."""

_PIXELS_PER_POINT: Final = 3.0
"""Resolution of PNG: 3 pixels for each unit of the specification, 288 per inch."""

CONFIG: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "background": None,
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridOpacity": 0.5},
        "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
        "header": {"labelFontSize": 12, "titleFontSize": 12, "labelFontWeight": "bold"},
        "title": {"fontSize": 13, "anchor": "start"},
    }
)
"""Look of every chart. Colours of text, axes and grid come from the theme of the page (`page.js`)."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of a page.

    Attributes:
        name: Identifier, unique in its page and the file name without its ending: lower case and hyphens.
        specification: Vega-Lite specification with its data, as `altair.Chart.to_dict` makes it.
        alternative: What the chart shows, in a sentence or two, for readers who cannot see it.
        caption: Text under the chart; plain text.
    """

    name: str
    specification: Mapping[str, Any]
    alternative: str
    caption: str

    def json(self) -> str:
        """The specification with the look of all charts, as JSON that may stand inside a script element."""
        specification = {**self.specification, "description": self.alternative, "config": dict(CONFIG)}
        return json_for_script(specification)


def json_for_script(value: object) -> str:
    """JSON that ends no script element and opens no comment, whatever its strings contain."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def save_chart(chart: Chart, path: Path) -> None:
    """Writes a chart as SVG or PNG, by the ending of the path, on white.

    Raises:
        UsageError: If the path ends neither in `.svg` nor in `.png`.
        MissingPackageError: If vl-convert-python is not installed.
        OSError: If the file cannot be written.
    """
    if path.suffix not in (".svg", ".png"):
        raise UsageError(f"{path}: a chart is written as .svg or .png, not {path.suffix or 'without an ending'}")
    try:
        import vl_convert
    except ImportError as cause:
        raise MissingPackageError("vl-convert-python", "pages", "a figure of a chart") from cause
    specification = copy.deepcopy(dict(chart.specification))
    if specification.get("width") == "container":
        specification["width"] = _PAPER_WIDTH
    specification["config"] = {**CONFIG, "background": "white", "font": _PAPER_FONT}
    specification["description"] = chart.alternative
    with whole_file(path) as partial:
        if path.suffix == ".svg":
            partial.write_text(vl_convert.vegalite_to_svg(specification), encoding="utf-8")
        else:
            partial.write_bytes(vl_convert.vegalite_to_png(specification, scale=_PIXELS_PER_POINT))
