"""Cautions about possible leakage, drawn from the errors of a model. They are no verdict.

A model usually has smaller errors on its training set than on unseen frames. If not, it may have seen the test set,
or it learned so little that molecules differ from each other by more than training improved any of them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TaskName
from harness.report.signs import decimal
from harness.results.result import RunResult, TaskResult

_GUESS: Final = "zero"
"""Family of the control that predicts zero forces; its gap is that of the mean force size."""


def gaps_of_controls(
    results: Sequence[RunResult], known: Mapping[TaskName, float]
) -> dict[TaskName, tuple[float, ...]]:
    """Gaps of methods without a training set, by task: how much harder the OOD molecules are for them.

    Args:
        results: Results of one table. Only controls that compute, at a level other than that of the labels, count.
        known: Gap of GFN1-xTB by task, from any source.
    """
    found: dict[TaskName, list[float]] = {task: [gap] for task, gap in known.items()}
    for result in results:
        model = result.model
        if model.protocol != "control" or model.family == _GUESS or result.levels_agree:
            continue
        for name, task in result.tasks.items():
            if task.comparable_gap.value is not None:
                found.setdefault(name, []).append(task.comparable_gap.value)
    return {task: tuple(gaps) for task, gaps in found.items()}


def errors_on_train(result: RunResult) -> str | None:
    """The force errors on training frames in one line; `None` for a model that was not trained on the task."""
    parts = [
        f"{name} {decimal(task.train.force_mae.value / MILLI, 1)} ({task.train.n_frames} frames)"
        for name, task in result.tasks.items()
        if task.train is not None and task.train.force_mae.value is not None
    ]
    if not parts:
        return None
    return f"force MAE of {result.model.id} on a sample of its training frames, meV/Å: {', '.join(parts)}"


def cautions_of_evidence(result: RunResult, controls: Mapping[TaskName, Sequence[float]]) -> list[str]:
    """Suspicious patterns in the errors of a model.

    Args:
        result: Of the model; a control never gets a caution.
        controls: Gaps of controls by task; see `gaps_of_controls`.
    """
    if result.model.protocol == "control":
        return []
    cautions = []
    for name, task in result.tasks.items():
        cautions += _better_than_on_train(result.model.id, task)
        cautions += _no_harder_than_known(result.model.id, task, controls.get(name, ()))
    return cautions


def _better_than_on_train(model: str, task: TaskResult) -> list[str]:
    ood = task.splits["test_ood"].metrics["force_mae"].value
    train = None if task.train is None else task.train.force_mae.value
    if ood is None or train is None or ood >= train or task.n_failed_in("test_ood"):
        return []
    return [
        f"{model} has a smaller error on OOD of {task.task} ({decimal(ood / MILLI, 1)} meV/Å) than on its own training "
        f"frames ({decimal(train / MILLI, 1)}): it learned little, or OOD molecules leaked into its training"
    ]


def _no_harder_than_known(model: str, task: TaskResult, controls: Sequence[float]) -> list[str]:
    gap = task.comparable_gap.value
    if gap is None or gap > 1.0 or not controls or min(controls) <= 1.0:
        return []
    listed = ", ".join(f"{each:.2f}" for each in controls)
    return [
        f"OOD of {task.task} is not harder than ID for {model} (gap {gap:.2f}), but it is for every known control "
        f"({listed}): it learned little, or OOD molecules leaked into its training"
    ]
