"""ID against OOD for every model, a chart for each task: the picture of the first screen."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from dataset_builders.core.palette import PHYSICS, SPLITS
from harness.pages.chart import Chart
from harness.pages.report.axes import LINES, in_lines, ratio_ticks, with_room
from harness.pages.report.error_chart import OF_SPLIT, ErrorPoint, error_point, horizontal, positive, specification
from harness.pages.report.number_text import decimal, error_cell, ratio_cell
from harness.pages.report.view import TaskView
from harness.results.result import TaskResult

_CONTROL: Final = "GFN1-xTB (physics)"


def overview_charts(views: Sequence[TaskView]) -> list[Chart]:
    """A chart for each task that has errors above zero, on one axis, so that tasks compare at sight."""
    tasks = list(dict.fromkeys(view.task.task for view in views))
    of_task = {name: [view for view in views if view.task.task == name] for name in tasks}
    points = {name: _points(found) for name, found in of_task.items()}
    every = [point for found in points.values() for point in found]
    if not every:
        return []
    domain = with_room(min(point.low for point in every), max(point.high for point in every))
    return [_chart(of_task[name], points[name], domain) for name in tasks if points[name]]


def _points(views: Sequence[TaskView]) -> list[ErrorPoint]:
    rows = [(in_lines(view.name), view.task) for view in views]
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
    first, control = views[0], _beside(views)
    names = [in_lines(view.name) for view in views] + ([_CONTROL] if control is not None else [])
    said = "; ".join(f"{view.name} {_said(view.task)}" for view in views)
    beside = "" if control is None else f"; GFN1-xTB {_said(control)}"
    shown = {str(point.group) for point in points}
    left_out = [view.name for view in views if in_lines(view.name) not in shown]
    chart = horizontal(points, [name for name in names if name in shown], domain)
    sizes = [first.task.splits[split].n_molecules for split in ("test_id", "test_ood")]
    return Chart(
        name=f"{first.task.task.replace('_', '-')}-overview",
        specification=specification(
            chart.properties(title=f"{first.task.task}, {first.title}: {sizes[0]} ID, {sizes[1]} OOD molecules"),
            points=[asdict(point) for point in points],
        ),
        alternative=f"Force errors on {first.task.task}, {first.title}: {said}{beside}.",
        caption=f"Not on this logarithmic axis, since its errors are zero: {', '.join(left_out)}." if left_out else "",
    )


def gap_chart(views: Sequence[TaskView]) -> Chart | None:
    """Every gap with its interval beside 1, where there is no gap, and beside GFN1-xTB; `None` without one above 0."""
    several = len({view.task.task for view in views}) > 1
    rows = []
    for task in dict.fromkeys(view.task.task for view in views):
        of_task = [view for view in views if view.task.task == task]
        named = [(view.name, view.task) for view in of_task]
        named += [(_CONTROL, control)] if (control := _beside(of_task)) is not None else []
        rows += [
            row
            for name, found in named
            if (row := _gap_row(in_lines(f"{task}: {name}" if several else name), found)) is not None
        ]
    # A logarithmic axis has no place for a gap of zero, or for an interval that begins there.
    shown = [row for row in rows if row["low"] > 0.0]
    if not shown:
        return None
    left_out = [row["group"].replace("\n", " ") for row in rows if row not in shown]
    return Chart(
        name="gaps",
        specification=specification(_gaps(shown), gaps=shown, one=[{"value": 1.0}]),
        alternative="Gaps, OOD divided by ID error: "
        + "; ".join(f"{row['group']} {row['note']}" for row in rows)
        + ".",
        caption="A bar that does not reach the dashed line at 1 is more than chance."
        + (" A square without a bar has no interval." if any(row["low"] == row["high"] for row in shown) else "")
        + (f" Not on this logarithmic axis, since it reaches zero: {', '.join(left_out)}." if left_out else ""),
    )


def _gap_row(label: str, task: TaskResult) -> dict[str, Any] | None:
    gap = task.comparable_gap
    if gap.value is None:
        return None
    low = gap.value if gap.low is None else gap.low
    high = gap.value if gap.high is None else gap.high
    cell = ratio_cell(gap)
    note = cell.text if gap.low is not None else f"{cell.text}, without an interval"
    text = decimal(gap.value, 2)
    is_physics = task.protocol == "control"
    return {
        "group": label,
        "value": gap.value,
        "low": low,
        "high": high,
        "text": text,
        "note": note,
        "physics": is_physics,
    }


def _gaps(rows: Sequence[dict[str, Any]]) -> Any:
    import altair as alt

    ends = with_room(min(1.0, *(row["low"] for row in rows)), max(1.0, *(row["high"] for row in rows)))
    scale = alt.Scale(type="log", nice=False, domain=list(ends))
    axis = alt.Axis(values=ratio_ticks(ends), format="~g", labelOverlap=True)
    base = alt.Chart(alt.NamedData("gaps")).encode(
        y=alt.Y(
            "group:N", title=None, sort=None, axis=alt.Axis(labelExpr=LINES, labelLimit=0, ticks=False, domain=False)
        ),
    )
    colour = alt.condition("datum.physics", alt.value(PHYSICS), alt.value(SPLITS["test_ood"]))
    one = (
        alt.Chart(alt.NamedData("one"))
        .mark_rule(strokeDash=[5, 4], strokeWidth=1.5, color=PHYSICS)
        .encode(x=alt.X("value:Q", scale=scale))
    )
    bars = base.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour)
    marks = base.mark_point(filled=True, size=110, opacity=1.0, shape="square").encode(
        x=alt.X("value:Q", scale=scale, title="gap, OOD / ID force MAE", axis=axis),
        color=colour,
        tooltip=[alt.Tooltip("group:N", title=" "), alt.Tooltip("note:N", title="gap")],
    )
    texts = base.mark_text(align="left", dx=7, fontSize=12).encode(x=alt.X("high:Q", scale=scale), text="text:N")
    step = max(26, 15 * max(row["group"].count("\n") + 1 for row in rows))
    return (one + bars + marks + texts).properties(
        width="container", height={"step": step}, title="Gap with 95 % interval"
    )


def _said(task: TaskResult) -> str:
    known, ood = (error_cell(task.splits[split].metrics["force_mae"]).text for split in ("test_id", "test_ood"))
    return f"{known} meV/Å on ID and {ood} on OOD frames"
