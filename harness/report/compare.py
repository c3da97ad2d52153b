"""Compares models, paired within fragments: difficulty that all of them share cancels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

from dataset_builders.core.errors import UsageError
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TaskName, in_order
from harness.networks.finished import UNFINISHED
from harness.report.distinct_names import distinct_names
from harness.report.table import dataset_lines
from harness.results.one_dataset import require_one_dataset
from harness.results.result import RunResult
from harness.scoring.group_rows import TestSplit
from harness.scoring.intervals import Comparison, Interval
from harness.scoring.task_result import compare_force_mae

if TYPE_CHECKING:
    from rich.console import RenderableType

SPLIT_NAMES: Final = {"test_id": "ID", "test_ood": "OOD"}
UNDEFINED: Final = "–"
_NEEDED: Final = "a comparison requires all frames of both models"
_LEGEND: Final = (
    "difference: force MAE of the model minus that of the model it is compared with; ratio: the former divided by the "
    "latter. 95 % intervals, paired, for other fragments and molecules drawn like these. A ratio below 1 means the "
    "smaller error; if its interval contains 1, other fragments might reverse the order"
)


@dataclass(frozen=True, slots=True)
class PairedResults:
    """Two results on one test split, and their comparison.

    Attributes:
        task: Task.
        split: Test split.
        model: The result.
        model_name: Id of its model, with what differs if several results of the task have the same id.
        other: The result it is compared with, the first one of the task.
        other_name: As `model_name`.
        comparison: Undefined where frames of either failed.
    """

    task: TaskName
    split: TestSplit
    model: RunResult
    model_name: str
    other: RunResult
    other_name: str
    comparison: Comparison


def comparisons(results: Sequence[RunResult]) -> list[PairedResults]:
    """Compares each result with the first one of its task, on ID and on OOD frames.

    Args:
        results: Two or more, on the same data set.

    Raises:
        UsageError: If no task has two results, or two results are of one evaluation.
        DataError: If the results are on different data.
    """
    require_one_dataset(results, "a comparison")
    found = []
    for task in in_order(name for result in results for name in result.tasks):
        of_task = [result for result in results if task in result.tasks]
        (first, first_name), *others = zip(of_task, distinct_names(of_task), strict=True)
        found += [
            PairedResults(task, split, model, name, first, first_name, comparison)
            for model, name in others
            for split in get_args(TestSplit)
            for comparison in [_comparison(task, split, {name: model, first_name: first})]
        ]
    if not found:
        tasks = ", ".join(f"{result.model.id}: {' '.join(result.tasks)}" for result in results)
        raise UsageError(f"no task has two results ({tasks}); a comparison requires a task that both results contain")
    return found


def _comparison(task: TaskName, split: TestSplit, pair: Mapping[str, RunResult]) -> Comparison:
    """Compares the first of two results, by name, with the second."""
    failed = [f"{n} of {name}" for name, result in pair.items() if (n := result.tasks[task].n_failed)]
    if failed:
        undefined = Interval(None, reason=f"failed frames of {task}: {', '.join(failed)}; {_NEEDED}")
        return Comparison(undefined, undefined)
    model, other = pair.values()
    return compare_force_mae(model.tasks[task], other.tasks[task], split)


def comparison_table(results: Sequence[RunResult]) -> "RenderableType":
    """The comparisons as a table that rich prints, followed by the reasons why some are undefined.

    Raises:
        UsageError: If no task has two results.
        DataError: If the results are on different data.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text  # not str, which a console may read as markup

    table = Table(box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    for header in ("task", "model", "compared with", "split"):
        table.add_column(header, overflow="fold")
    for header in ("difference, meV/Å", "ratio"):
        table.add_column(header, justify="right", no_wrap=True)
    reasons: dict[str, None] = {}
    for pair in comparisons(results):
        comparison, names = pair.comparison, f"{pair.model_name} and {pair.other_name}"
        if comparison.difference.value is None:
            reasons[f"{UNDEFINED} {pair.task}, {names}: {comparison.difference.reason}"] = None
        elif comparison.ratio.reason is not None:
            reasons[f"{pair.task} {SPLIT_NAMES[pair.split]}, {names}: {comparison.ratio.reason}"] = None
        models = _shown(pair.model_name, pair.model), _shown(pair.other_name, pair.other)
        numbers = _text(comparison.difference, MILLI, "+.1f"), _text(comparison.ratio, 1.0, ".2f")
        table.add_row(*(Text(cell) for cell in (pair.task, *models, SPLIT_NAMES[pair.split], *numbers)))
    lines = [*reasons, _LEGEND, *dataset_lines(results[0])]
    return Group(table, *map(Text, lines))


def comparison_documents(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """The comparisons as plain values, in eV/Å.

    Raises:
        UsageError: If no task has two results.
        DataError: If the results are on different data.
    """
    documents = []
    for pair in comparisons(results):
        models = {pair.model_name: pair.model.model, pair.other_name: pair.other.model}
        documents.append(
            {
                "task": pair.task,
                "split": pair.split,
                "model": pair.model_name,
                "compared_with": pair.other_name,
                "unfinished": [name for name, model in models.items() if model.unfinished],
                "stated": [name for name, model in models.items() if model.training == "stated"],
                "force_mae_difference": _document(pair.comparison.difference),
                "force_mae_ratio": _document(pair.comparison.ratio),
            }
        )
    return documents


def _shown(name: str, result: RunResult) -> str:
    model = result.model
    stated = f"\n{model.protocol} as stated" if model.training == "stated" else ""
    return name + (f"\n{UNFINISHED}" if model.unfinished else "") + stated


def _document(interval: Interval) -> dict[str, Any]:
    return asdict(interval)


def _text(interval: Interval, unit: float, form: str) -> str:
    if interval.value is None:
        return UNDEFINED
    value = f"{interval.value / unit:{form}}"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} ({interval.low / unit:{form}} to {interval.high / unit:{form}})"
