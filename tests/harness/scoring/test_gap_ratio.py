"""The ratio of two gaps, on the installed results of MMFF94."""

import pytest

from dataset_builders.core.errors import DataError
from harness.report.control_gaps import INSTALLED
from harness.results.result import RunResult, TaskResult
from harness.scoring.gap_ratio import gap_ratio

RESULT = RunResult.load(INSTALLED / "mmff94.json")


def _with_errors(task: TaskResult, error: float) -> TaskResult:
    rows = tuple(row.model_copy(update={"force_mae": error}) for row in task.by_molecule)
    return task.model_copy(update={"by_molecule": rows})


def test_a_gap_beside_a_model_of_constant_error_is_the_gap_itself() -> None:
    task = RESULT.tasks["task2"]
    found = gap_ratio(task, _with_errors(task, 0.05))
    assert (found.value, found.low, found.high) == pytest.approx((task.gap.value, task.gap.low, task.gap.high))
    inverse = gap_ratio(_with_errors(task, 0.05), task)
    assert inverse.low is not None
    assert found.high == pytest.approx(1.0 / inverse.low)
    assert gap_ratio(task, task).value == 1.0
    assert gap_ratio(task, _with_errors(task, 0.0)).reason == "the error to divide by is zero"
    with pytest.raises(DataError, match="task2 and task3; gaps are compared on the same task"):
        gap_ratio(task, RESULT.tasks["task3"])
    with pytest.raises(DataError, match="different test_id frames"):
        gap_ratio(task, task.model_copy(update={"by_molecule": task.by_molecule[1:]}))
