"""ID against OOD for every model, a chart for each task: the picture of the first screen."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from harness.pages.chart import Chart
from harness.pages.report.error_chart import OF_SPLIT, ErrorPoint, error_point, horizontal, positive, specification
from harness.pages.report.number_text import error_cell
from harness.pages.report.view import TaskView
from harness.results.result import TaskResult

_CONTROL: Final = "GFN1-xTB (physics)"


def overview_charts(views: Sequence[TaskView]) -> list[Chart]:
    """A chart for each task, with one axis, so that tasks compare at sight; none for a task without errors above zero."""
    tasks = list(dict.fromkeys(view.task.task for view in views))
    of_task = {name: [view for view in views if view.task.task == name] for name in tasks}
    points = {name: _points(found) for name, found in of_task.items()}
    every = [point for found in points.values() for point in found]
    if not every:
        return []
    domain = (min(point.low for point in every) / 1.25, max(point.high for point in every) * 1.6)
    return [_chart(of_task[name], points[name], domain) for name in tasks if points[name]]


def _points(views: Sequence[TaskView]) -> list[ErrorPoint]:
    rows = [(view.name, view.task) for view in views]
    if (control := _beside(views)) is not None:
        rows.append((_CONTROL, control))
    return [point for name, task in rows for point in _of(name, task)]


def _of(name: str, task: TaskResult) -> list[ErrorPoint]:
    return positive(
        error_point(name, OF_SPLIT[split][0], task.splits[split].metrics["force_mae"])
        for split in ("test_id", "test_ood")
    )


def _beside(views: Sequence[TaskView]) -> TaskResult | None:
    """The result of GFN1-xTB, unless it is one of the models."""
    return None if any(view.is_control for view in views) else views[0].control


def _chart(views: Sequence[TaskView], points: Sequence[ErrorPoint], domain: tuple[float, float]) -> Chart:
    names = [view.name for view in views] + ([_CONTROL] if _beside(views) is not None else [])
    said = "; ".join(f"{view.name} {_said(view.task)}" for view in views)
    control = _beside(views)
    beside = "" if control is None else f"; GFN1-xTB {_said(control)}"
    left_out = sorted({view.name for view in views} - {str(point.group) for point in points})
    return Chart(
        name=f"{views[0].task.task.replace('_', '-')}-overview",
        specification=specification(
            horizontal(points, [name for name in names if name not in left_out], domain),
            points=[asdict(point) for point in points],
        ),
        alternative=f"Force errors on {views[0].task.task}, {views[0].title}: {said}{beside}.",
        caption=f"{views[0].task.task}, {views[0].title}."
        + (f" Not on this logarithmic axis, since an error is zero: {', '.join(left_out)}." if left_out else ""),
    )


def _said(task: TaskResult) -> str:
    known, ood = (error_cell(task.splits[split].metrics["force_mae"]).text for split in ("test_id", "test_ood"))
    return f"{known} meV/Å on ID and {ood} on OOD frames"
