"""The JavaScript that pages carry with them: 3Dmol.js, Tabulator and Vega-Lite.

3Dmol.js (BSD-3-Clause) and Tabulator (MIT) lie in `vendor/` as their authors published them, with their licences.
Vega, Vega-Lite and vega-embed (BSD-3-Clause) come from the package vl-convert-python.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal

from dataset_builders.core.errors import MissingPackageError, SetupError

Bundle = Literal["3Dmol-min.js", "tabulator.min.js", "tabulator_simple.min.css"]

VENDORED: Final[Mapping[Bundle, str]] = MappingProxyType(
    {
        "3Dmol-min.js": "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016",
        "tabulator.min.js": "ffac518cb793c672a2f0522b7fc80bf862234d96bb1e581c8aaf7f48f130eafa",
        "tabulator_simple.min.css": "edef8839235a4b6a8c3dc391ec93f2ce1bc633dd5270a5f990753b6f9183d32b",
    }
)
"""sha256 of each file: 3Dmol.js 2.5.5 and Tabulator 6.5.3, from the packages `3dmol` and `tabulator-tables`."""


@cache
def vendored(name: Bundle) -> str:
    """The text of a bundled file.

    Raises:
        SetupError: If the file is not the one that was published.
    """
    data = (files("harness.pages") / "vendor" / name).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != VENDORED[name]:
        raise SetupError(
            f"harness/pages/vendor/{name} has the sha256 {found}, expected {VENDORED[name]}; install mlip-ood again"
        )
    return data.decode("utf-8")


@cache
def vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script, which defines `vegaEmbed`.

    Raises:
        MissingPackageError: If vl-convert-python is not installed.
    """
    try:
        import vl_convert
    except ImportError as cause:
        raise MissingPackageError("vl-convert-python", "pages", "a page with charts") from cause
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
