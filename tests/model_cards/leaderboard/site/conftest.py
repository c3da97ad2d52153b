"""Entries of the records that are committed, and results made by hand."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.core.hashes import file_sha256
from dataset_builders.tasks.regions import TASKS, TaskName
from harness.method.assemble import MeasuredMember, mean_result
from harness.method.document import MethodMember, MethodResult
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


def save_method(results: list[RunResult], directory: Path) -> None:
    """Writes results of one task each, the seeds of a task in order, and the method that averages them."""
    tasks = [next(iter(result.tasks)) for result in results]
    seeds = [tasks[:place].count(task) for place, task in enumerate(tasks)]
    files = [save(result, directory / "runs" / str(place)) for place, result in enumerate(results)]
    members = tuple(
        MethodMember(
            task=task,
            seed=seed,
            model=result.model.id,
            family=result.model.family,
            run=f"runs/{place}",
            result_sha256=file_sha256(file),
        )
        for place, (task, seed, result, file) in enumerate(zip(tasks, seeds, results, files, strict=True))
    )
    measured = [MeasuredMember(*each) for each in zip(tasks, seeds, results, strict=True)]
    created = datetime(2026, 8, 1, 12, tzinfo=UTC)
    MethodResult(members=members, result=mean_result("my-method", measured, created)).save(directory)
