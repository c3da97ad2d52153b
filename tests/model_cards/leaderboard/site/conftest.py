"""Entries of the records that are committed, and results made by hand."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.tasks.regions import TASKS, TaskName
from harness.results.result import RunResult, TaskResult
from model_cards.leaderboard.site.from_folder import entries_of_path
from model_cards.leaderboard.site.site_entry import Gathered
from tests.harness.pages.conftest import browser as browser  # noqa: PLC0414 (a fixture)
from tests.harness.results.test_result import result_of
from tests.model_cards.conftest import COST

MINI = Path(__file__).parents[4] / "docs" / "results" / "mini"

MakeResult = Callable[..., RunResult]


@pytest.fixture(scope="session")
def mini_records() -> Gathered:
    """What the page shows of the study on mini."""
    return entries_of_path(MINI)


@pytest.fixture
def make_run(measured: Mapping[TaskName, TaskResult]) -> MakeResult:
    """Makes a result of one model on some tasks; keywords change fields of the model and of the data set."""

    def make(name: str, *tasks: str, dataset: Mapping[str, Any] | None = None, **model: Any) -> RunResult:
        result = result_of({task: measured[task] for task in tasks or TASKS})
        return result.model_copy(
            update={
                "model": result.model.model_copy(update={"id": name, **model}),
                "dataset": result.dataset.model_copy(update=dict(dataset or {})),
                "cost": COST,
            }
        )

    return make


def save(result: RunResult, folder: Path) -> Path:
    """Writes a result as the harness does."""
    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder / "result.json")
    return folder / "result.json"
