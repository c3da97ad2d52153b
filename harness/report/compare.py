"""Compares models, paired within fragments: difficulty that all of them share cancels."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, get_args

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TaskName, in_order
from harness.networks.finished import UNFINISHED
from harness.results.result import RunResult
from harness.scoring.group_rows import TestSplit
from harness.scoring.intervals import Comparison, Interval
from harness.scoring.task_result import compare_force_mae

if TYPE_CHECKING:
    from rich.console import RenderableType

SPLIT_NAMES: Final = {"test_id": "ID", "test_ood": "OOD"}
UNDEFINED: Final = "–"
_NEEDED: Final = "a comparison needs all frames of both models"
_LEGEND: Final = (
    "force MAE of the model less, and divided by, that of the model it is compared with; 95 % intervals for other "
    "fragments and molecules drawn like these, paired: the same ones for both models. A ratio below 1 is the smaller "
    "error; where its interval holds 1, other fragments might reverse the order"
)


def comparisons(results: Sequence[RunResult]) -> list[tuple[TaskName, RunResult, RunResult, TestSplit, Comparison]]:
    """Compares each result with the first one of its task, on ID and on OOD frames.

    Args:
        results: Two or more, on the same data set.

    Returns:
        Task, the result, the result it is compared with, split, and the comparison; undefined where frames of either
        failed.

    Raises:
        UsageError: If no task has two results.
        DataError: If the results are on different data.
    """
    hashes = {result.dataset.content_hash for result in results}
    if len(hashes) > 1:
        labels = sorted({result.dataset.level_of_theory for result in results})
        remedy = (
            f". Their labels are {', '.join(labels)}; evaluate all at one, with --labels" if len(labels) > 1 else ""
        )
        raise DataError(f"the results are on {len(hashes)} different data sets; a comparison needs one{remedy}")
    found = []
    for task in in_order(name for result in results for name in result.tasks):
        of_task = [result for result in results if task in result.tasks]
        found += [
            (task, other, of_task[0], split, _comparison(task, other, of_task[0], split))
            for other in of_task[1:]
            for split in get_args(TestSplit)
        ]
    if not found:
        tasks = ", ".join(f"{result.model.id}: {' '.join(result.tasks)}" for result in results)
        raise UsageError(f"no task has results of two models ({tasks}); a comparison needs one task that they share")
    return found


def _comparison(task: TaskName, model: RunResult, other: RunResult, split: TestSplit) -> Comparison:
    failed = [
        f"{result.tasks[task].n_failed} of {result.model.id}"
        for result in (model, other)
        if result.tasks[task].n_failed
    ]
    if failed:
        undefined = Interval(None, reason=f"frames of {task} that failed: {', '.join(failed)}; {_NEEDED}")
        return Comparison(undefined, undefined)
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
    for task, model, other, split, comparison in comparisons(results):
        if comparison.difference.value is None:
            reasons[f"{UNDEFINED} {task}, {model.model.id} and {other.model.id}: {comparison.difference.reason}"] = None
        elif comparison.ratio.reason is not None:
            names = f"{task} {SPLIT_NAMES[split]}, {model.model.id} and {other.model.id}"
            reasons[f"{names}: {comparison.ratio.reason}"] = None
        cells = (task, _shown(model), _shown(other), SPLIT_NAMES[split])
        numbers = _text(comparison.difference, MILLI, "+.1f"), _text(comparison.ratio, 1.0, ".2f")
        table.add_row(*(Text(cell) for cell in (*cells, *numbers)))
    return Group(table, *map(Text, reasons), Text(_LEGEND))


def comparison_documents(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """The comparisons as plain values, in eV/Å.

    Raises:
        UsageError: If no task has two results.
        DataError: If the results are on different data.
    """
    return [
        {
            "task": task,
            "split": split,
            "model": model.model.id,
            "compared_with": other.model.id,
            "unfinished": [each.model.id for each in (model, other) if each.model.unfinished],
            "stated": [each.model.id for each in (model, other) if each.model.training == "stated"],
            "force_mae_difference": _document(comparison.difference),
            "force_mae_ratio": _document(comparison.ratio),
        }
        for task, model, other, split, comparison in comparisons(results)
    ]


def _shown(result: RunResult) -> str:
    model = result.model
    stated = f"\n{model.protocol} as stated" if model.training == "stated" else ""
    return model.id + (f"\n{UNFINISHED}" if model.unfinished else "") + stated


def _document(interval: Interval) -> dict[str, Any]:
    return asdict(interval)


def _text(interval: Interval, unit: float, form: str) -> str:
    if interval.value is None:
        return UNDEFINED
    value = f"{interval.value / unit:{form}}"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} ({interval.low / unit:{form}} to {interval.high / unit:{form}})"
