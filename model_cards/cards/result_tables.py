"""Results as Markdown: the table of a card and the explanations that go with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.core.markdown import code, markdown_table
from dataset_builders.core.units import MILLI
from dataset_builders.folder.configs import task_of_config
from dataset_builders.tasks.regions import in_order, title_of
from harness.results.result import Estimate, PartName, RunResult, TaskResult

UNDEFINED: Final = "–"
MARK: Final = "†"
"""Marks a number that excludes failed frames; their count follows."""

_HEADER: Final = ("task", "model", "protocol", "ID force MAE, meV/Å", "OOD force MAE, meV/Å", "gap OOD/ID", "score")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table, as displayed.

    Attributes:
        task: Name and title of the task.
        model: The model, formatted as code where its id is known.
        protocol: Zero-shot, trained or fine-tuned on the task.
        id_force_mae: ID force MAE with its interval, meV/Å.
        ood_force_mae: OOD force MAE with its interval, meV/Å.
        gap: Their ratio, with its interval.
        score: From 0 to 100.
    """

    task: str
    model: str
    protocol: str
    id_force_mae: str
    ood_force_mae: str
    gap: str
    score: str


def results_table(results: Sequence[RunResult]) -> str:
    """One row for each task and model, sorted by task, then in the order of the results.

    Args:
        results: Evaluations on one data set.

    Returns:
        A Markdown table; intervals describe other fragments and molecules drawn like these.
    """
    names = in_order(name for result in results for name in result.tasks)
    return rows_table(_row(result, result.tasks[task]) for task in names for result in results if task in result.tasks)


def rows_table(rows: Iterable[Row]) -> str:
    """The table of these rows in Markdown; their text is escaped."""
    return markdown_table(_HEADER, (_cells(row) for row in rows), "tight")


def _cells(row: Row) -> tuple[str, ...]:
    return (row.task, row.model, row.protocol, row.id_force_mae, row.ood_force_mae, row.gap, row.score)


def task_text(config: str, declared: str | None = None) -> str:
    """The name of a configuration in the table, such as `task1 (chain extension)`.

    Args:
        config: Its name.
        declared: Title of a custom task.
    """
    task = task_of_config(config)
    title = title_of(task, declared)
    return config if title == task else f"{config} ({title})"


def protocol_text(protocol: str, training: str | None) -> str:
    """The name of a protocol in tables; a stated protocol is marked, one that the checkpoint proves is not."""
    return f"{protocol}, stated" if training == "stated" else protocol


def _row(result: RunResult, task: TaskResult) -> Row:
    return Row(
        task=task_text(result.dataset.config(task.task), task.title),
        model=code(result.model.id),
        protocol=protocol_text(task.protocol, result.model.training)
        + (", training not finished" if result.model.unfinished else ""),
        id_force_mae=_force_mae(task, "test_id"),
        ood_force_mae=_force_mae(task, "test_ood"),
        gap=estimate_text(task.comparable_gap, digits=2),
        score=UNDEFINED if task.score.value is None else f"{task.score.value:.1f}",
    )


def _force_mae(task: TaskResult, part: PartName) -> str:
    estimate, n_failed = task.splits[part].metrics["force_mae"], task.n_failed_in(part)
    if not n_failed:
        return estimate_text(estimate, scale=1 / MILLI, digits=1)
    # In a result of an earlier version the interval would describe only the frames that were computed.
    value = UNDEFINED if estimate.value is None else f"{estimate.value / MILLI:.1f}{MARK}"
    return f"{value} ({n_failed} frames failed)"


def estimate_text(estimate: Estimate, scale: float = 1.0, digits: int = 1) -> str:
    """A number with its interval, such as `17.3 (15.9–18.8)`; a dash if it is undefined.

    Args:
        estimate: The number.
        scale: Factor from its unit to the displayed unit.
        digits: Decimal places.
    """
    if estimate.value is None:
        return UNDEFINED
    value = f"{scale * estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({scale * estimate.low:.{digits}f}–{scale * estimate.high:.{digits}f})"
