"""One browser, and a few finished runs, for all tests of pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dataset_builders.core.errors import IncompleteError
from harness.cli import main as harness
from tests.browser import chromium
from tests.test_custom_task import write_ethers

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "</script><b>name</b>"
"""The name of a model that would be markup anywhere but in text."""

HERE = ("--quiet", "--isolation", "never")
"""These calculators are of the tests, and the page does not differ."""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium; the tests are skipped where none is installed."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def mini_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """MMFF94 on two tasks of mini, and zero forces on one of them."""
    output = tmp_path_factory.mktemp("runs")
    for model, tasks in (("mmff94", ["task2", "task3"]), ("zero", ["task2"])):
        assert harness(["--model", model, "--task", *tasks, "--output", str(output), "--quiet"]) == 0
    return next(output.glob("mmff94/*")), next(output.glob("zero/*"))


@pytest.fixture(scope="session")
def own_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with a hostile name, said to be trained on a task of one's own; another one fails on some frames."""
    root = tmp_path_factory.mktemp("own")
    data = write_ethers(root / "data")
    for function, name, options in (("steady", HOSTILE, ["--trained-on", "ethers"]), ("failing", "fails", [])):
        arguments = ["--calculator", f"tests.harness.pages.springs:{function}", "--model", name, *options]
        try:
            harness([*arguments, "--dataset", str(data), "--output", str(root / function), *HERE])
        except IncompleteError:
            assert function == "failing"
    return next((root / "steady").glob("*/*")), next((root / "failing").glob("*/*"))
