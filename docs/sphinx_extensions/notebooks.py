"""A notebook with its stored outputs as one page of Markdown."""

import json
import re
from collections.abc import Iterator
from typing import Any

from sphinx.errors import ExtensionError


def notebook_as_markdown(notebook: str) -> str:
    """Text, code and stored outputs of a notebook.

    Args:
        notebook: The file, in format 4.

    Returns:
        Markdown; pictures are part of it as data URIs, with the alternative text of the cell's metadata.

    Raises:
        ExtensionError: If an output is neither text nor a PNG, since the page would lack it.
    """
    return "\n\n".join(part for cell in json.loads(notebook)["cells"] for part in _parts(cell)) + "\n"


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield text
    else:
        yield _fenced(text, "python")
        for output in cell["outputs"]:
            yield _output(output, cell["metadata"].get("alt", ""))


def _output(output: dict[str, Any], alternative: str) -> str:
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]), "text")
    data = output.get("data", {})
    if "image/png" in data:
        if not alternative:
            raise ExtensionError("a picture of the notebook has no alternative text; give its cell the metadata 'alt'")
        encoded = "".join(data["image/png"]).replace("\n", "")
        return f"![{alternative}](data:image/png;base64,{encoded})"
    if "text/plain" in data:
        return _fenced("".join(data["text/plain"]), "text")
    raise ExtensionError(f"an output of the notebook is {output['output_type']} {sorted(data)}; expected text or PNG")


def _fenced(text: str, language: str) -> str:
    """A code block; its fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
