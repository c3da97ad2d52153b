"""Results as Markdown: the table of a card and what one needs to read it."""

from collections.abc import Sequence

from dataset_builders.tasks import TASKS
from dataset_builders.units import MILLI
from harness.result import Estimate, PartName, RunResult, TaskResult

_HEADER = (
    "| task | model | protocol | ID force MAE, meV/Å | OOD force MAE, meV/Å | gap OOD/ID | score |\n"
    "|---|---|---|---|---|---|---|"
)


def results_table(results: Sequence[RunResult]) -> str:
    """One line for each task and model, sorted by task, in the order of the results.

    Args:
        results: Evaluations on one data set.

    Returns:
        A Markdown table; intervals are 95 % by bootstrap over molecules.
    """
    lines = [_line(result, result.tasks[task]) for task in TASKS for result in results if task in result.tasks]
    return "\n".join([_HEADER, *lines])


def _line(result: RunResult, task: TaskResult) -> str:
    cells = (
        f"{task.task} ({TASKS[task.task].title})",
        f"`{result.model.id}`",
        task.protocol,
        _force_mae(task, "test_id"),
        _force_mae(task, "test_ood"),
        estimate_text(task.gap, digits=2),
        "–" if task.score.value is None else f"{task.score.value:.1f}",
    )
    return "| " + " | ".join(cells) + " |"


def _force_mae(task: TaskResult, part: PartName) -> str:
    return estimate_text(task.splits[part].metrics["force_mae"], scale=1 / MILLI, digits=1)


def estimate_text(estimate: Estimate, scale: float = 1.0, digits: int = 1) -> str:
    """A number with its interval, such as `17.3 (15.9–18.8)`; a dash where it is undefined.

    Args:
        estimate: The number.
        scale: Factor from its unit to the one shown.
        digits: Digits after the point.
    """
    if estimate.value is None:
        return "–"
    value = f"{scale * estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({scale * estimate.low:.{digits}f}–{scale * estimate.high:.{digits}f})"
