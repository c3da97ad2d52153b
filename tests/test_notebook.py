"""The example notebook runs, and its stored outputs are those of today's code."""

import math
import re
from pathlib import Path

import nbformat
import pytest

from tests.notebook import NOTEBOOK, executed

ROOT = Path(__file__).parent.parent
_NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?")


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell prints; a picture counts by its kind."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output["text"] if output["output_type"] == "stream" else str(sorted(output["data"])) for output in outputs]


@pytest.mark.slow
def test_the_stored_outputs_are_those_of_a_fresh_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise run `make notebook`. Rounding of another processor may change the last digit that is printed."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    stored, fresh = printed(nbformat.read(NOTEBOOK, as_version=4)), printed(executed(tmp_path))
    assert [_NUMBER.sub("#", text) for text in stored] == [_NUMBER.sub("#", text) for text in fresh]
    for before, after in zip(_NUMBER.findall(" ".join(stored)), _NUMBER.findall(" ".join(fresh)), strict=True):
        last_digit = 10.0 ** -len(before.partition(".")[2])
        assert math.isclose(float(before), float(after), rel_tol=0.01, abs_tol=1.01 * last_digit), (before, after)


def test_the_file_is_small_and_says_nothing_of_the_machine_that_ran_it() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 400_000
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(output.get("name") != "stderr" for cell in code for output in cell.outputs)
    pictures = [cell for cell in code if any("image/png" in output.get("data", {}) for output in cell.outputs)]
    assert len(pictures) == 3
    assert all(len(cell.metadata["alt"]) > 50 for cell in pictures)
    assert not re.search(r"/(home|root|tmp|Users|work)/", " ".join([*printed(notebook), str(notebook.metadata)]))


def test_links_of_the_notebook_lead_somewhere() -> None:
    text = "\n".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) > 5
    assert [target for target in targets if not (NOTEBOOK.parent / target).is_file()] == []
