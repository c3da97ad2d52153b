"""Compares models, paired within fragments: difficulty that all of them share cancels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

from dataset_builders.core.errors import UsageError
from dataset_builders.core.terminal import USUAL_WIDTH, notes
from dataset_builders.core.terminal_table import Cell, Column, Row, fitted_table
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TaskName, in_order, title_of
from harness.networks.finished import UNFINISHED
from harness.report.distinct_names import distinct_names
from harness.report.signs import ID_STYLE, NO_INTERVAL, OOD_STYLE, STANDS_OUT, UNDEFINED, side_of_one
from harness.report.table import dataset_lines, table_notes
from harness.results.one_dataset import require_one_dataset
from harness.results.result import RunResult
from harness.scoring.group_rows import TestSplit
from harness.scoring.intervals import Comparison, Interval
from harness.scoring.task_result import compare_force_mae

if TYPE_CHECKING:
    from rich.console import RenderableType

SPLIT_NAMES: Final = {"test_id": "ID", "test_ood": "OOD"}
_STYLES: Final = {"test_id": ID_STYLE, "test_ood": OOD_STYLE}
_NEEDED: Final = "a comparison requires all frames of both models"
_LEGEND: Final = (
    "difference: force MAE of the model minus that of the model it is compared with; ratio: the former divided by the "
    "latter. 95 % intervals, paired, for other fragments and molecules drawn like these. A ratio below 1 means the "
    "smaller error; >1, <1: its interval lies above or below 1. Without a sign it contains 1, and other fragments "
    "might reverse the order"
)
_COLUMNS: Final = (
    Column("model", "left", shortest=8),
    Column("split", "left"),
    Column("difference\nmeV/Å"),
    Column("95 %\ninterval"),
    Column("ratio"),
    Column("95 %\ninterval", joined=True),
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


def comparison_table(results: Sequence[RunResult], width: int = USUAL_WIDTH) -> "RenderableType":
    """The comparisons as a table that rich prints, followed by the reasons why some are undefined.

    Args:
        results: Two or more, on the same data set.
        width: Columns of the terminal.

    Raises:
        UsageError: If no task has two results.
        DataError: If the results are on different data.
    """
    from rich.console import Group

    pairs = comparisons(results)
    rows: list[Row] = []
    last = None
    for pair in pairs:
        heading = f"{pair.task} {_title(pair)}, compared with {pair.other_name}"
        if heading != last:
            rows.append(heading)
        last = heading
        name = pair.model_name if pair.split == "test_id" else ""
        rows.append([Cell(name), Cell(SPLIT_NAMES[pair.split], style=_STYLES[pair.split]), *_numbers(pair)])
    table = fitted_table(_COLUMNS, rows, width)
    lines = [_LEGEND, *table_notes(table), *_reasons(pairs), *_qualified(pairs), "", *dataset_lines(results[0])]
    return Group(*table.texts(), "", *notes(lines, width))


def _title(pair: PairedResults) -> str:
    return title_of(pair.task, pair.model.tasks[pair.task].title)


def _numbers(pair: PairedResults) -> list[Cell]:
    difference, ratio = pair.comparison.difference, pair.comparison.ratio
    return [
        _number(difference, MILLI, "+.1f", ""),
        Cell(_ends(difference, MILLI, "+.1f")),
        _number(ratio, 1.0, ".2f", side_of_one(ratio.low, ratio.high)),
        Cell(_ends(ratio, 1.0, ".2f")),
    ]


def _number(interval: Interval, unit: float, form: str, sign: str) -> Cell:
    if interval.value is None:
        return Cell(UNDEFINED)
    shown = NO_INTERVAL if interval.low is None else sign
    return Cell(f"{interval.value / unit:{form}}", shown, STANDS_OUT if sign else "")


def _ends(interval: Interval, unit: float, form: str) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f"{interval.low / unit:{form}} to {interval.high / unit:{form}}"


def _reasons(pairs: Sequence[PairedResults]) -> list[str]:
    """Why comparisons are undefined or have no interval, each once."""
    reasons: dict[str, None] = {}
    for pair in pairs:
        comparison, names = pair.comparison, f"{pair.model_name} and {pair.other_name}"
        if comparison.difference.value is None:
            reasons[f"{UNDEFINED} {pair.task}, {names}: {comparison.difference.reason}"] = None
            continue
        for reason in dict.fromkeys((comparison.difference.reason, comparison.ratio.reason)):
            if reason is not None:
                reasons[f"{NO_INTERVAL} {pair.task} {SPLIT_NAMES[pair.split]}, {names}: {reason}"] = None
    return list(reasons)


def _qualified(pairs: Sequence[PairedResults]) -> list[str]:
    """Models whose training is only stated, or was stopped early; each once."""
    named = {name: result for pair in pairs for name, result in _both(pair).items()}
    lines = []
    for name, result in named.items():
        model = result.model
        stated = f"{model.protocol} as stated" if model.training == "stated" else ""
        said = ", ".join(filter(None, (UNFINISHED if model.unfinished else "", stated)))
        lines += [f"{name}: {said}"] if said else []
    return lines


def _both(pair: PairedResults) -> dict[str, RunResult]:
    return {pair.other_name: pair.other, pair.model_name: pair.model}


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


def _document(interval: Interval) -> dict[str, Any]:
    return asdict(interval)
