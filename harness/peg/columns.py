"""The columns of a table of ml-peg: units, thresholds and weights, which its file of metrics states."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TASKS
from harness.peg.benchmarks import PegBenchmark
from harness.results.result import RunResult, SplitResult, TaskResult

Quantity = Literal["score", "OOD MAE", "ID MAE", "gap"]

DISTANCE: Final = "Level distance"
"""Column with the distance between the levels of theory of model and labels."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a column shows of a task.

    Attributes:
        good: Value from which on ml-peg colours it as good.
        bad: The same for bad.
        unit: Unit; `None` for a dimensionless number.
        weight: Weight in ml-peg's score of the benchmark.
        tooltip: What the app says of it; `{task}` stands for the title of the task.
    """

    good: float
    bad: float
    unit: str | None
    weight: float
    tooltip: str


QUANTITIES: Final[Mapping[Quantity, Meaning]] = {
    "score": Meaning(
        good=100.0,
        bad=0.0,
        unit=None,
        weight=1.0,
        tooltip="Share in % of the decades between the error of no forces at all and 1 meV/Å that the model covers on "
        "unseen combinations of known fragments ({task})",
    ),
    "OOD MAE": Meaning(
        good=20.0,
        bad=200.0,
        unit="meV/Å",
        weight=0.0,
        tooltip="Force MAE on unseen combinations of known fragments ({task}); the score is made of it",
    ),
    "ID MAE": Meaning(
        good=20.0,
        bad=200.0,
        unit="meV/Å",
        weight=0.0,
        tooltip="Force MAE on the molecules that show these fragments ({task})",
    ),
    "gap": Meaning(
        good=1.0,
        bad=10.0,
        unit=None,
        weight=0.0,
        tooltip="OOD MAE divided by ID MAE ({task}); read it beside both, since a poor model can have a gap of 1",
    ),
}
"""The columns of each task. Only the score has a weight, since the others are what it is made of."""

_DISTANCE: Final = Meaning(
    good=0.0,
    bad=200.0,
    unit="meV/Å",
    weight=0.0,
    tooltip="Force MAE that a perfect model of this one's level of theory has on OOD molecules at these labels; empty "
    "where it was not measured. Errors near it say nothing about the model",
)


def column_of(task: str, quantity: Quantity) -> str:
    """The name of a column, such as `Task 1 gap`."""
    return f"{task.replace('task', 'Task ')} {quantity}"


def metrics_document(benchmark: PegBenchmark) -> dict[str, dict[str, dict[str, object]]]:
    """The content of ml-peg's `metrics.yml` for a benchmark, with the columns of all four tasks."""
    meanings = {
        column_of(name, quantity): (meaning, task.title)
        for name, task in TASKS.items()
        for quantity, meaning in QUANTITIES.items()
    }
    meanings[DISTANCE] = (_DISTANCE, "")
    return {
        "metrics": {
            name: {
                "good": meaning.good,
                "bad": meaning.bad,
                "unit": meaning.unit,
                "weight": meaning.weight,
                "tooltip": meaning.tooltip.format(task=title),
                "level_of_theory": benchmark.level_in_peg,
            }
            for name, (meaning, title) in meanings.items()
        }
    }


def columns_of(tasks: Sequence[str]) -> tuple[str, ...]:
    """The columns of a data set with some of the four tasks; tasks of other names have none."""
    shown = [task for task in tasks if task in TASKS]
    return (*(column_of(task, quantity) for task in shown for quantity in QUANTITIES), DISTANCE)


def numbers_of(result: RunResult) -> dict[str, float | None]:
    """The numbers of a result by column; `None` where one is undefined."""
    numbers: dict[str, float | None] = {}
    for name, task in result.tasks.items():
        if name in TASKS:
            numbers |= {column_of(name, quantity): value for quantity, value in _of_task(task)}
    return {**numbers, DISTANCE: _distance(result)}


def _of_task(task: TaskResult) -> Iterator[tuple[Quantity, float | None]]:
    yield "score", task.score.value
    yield "OOD MAE", _force_mae(task.splits["test_ood"])
    yield "ID MAE", _force_mae(task.splits["test_id"])
    yield "gap", task.gap.value


def _force_mae(split: SplitResult) -> float | None:
    error = split.metrics["force_mae"].value
    return None if error is None else error / MILLI


def _distance(result: RunResult) -> float | None:
    if result.levels_agree:
        return 0.0
    return None if result.floor is None else result.floor.test_ood / MILLI
