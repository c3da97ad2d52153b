"""ID and OOD error of each model as curves: a small panel for each model and task."""

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Final, Literal

from dataset_builders.core.palette import SPLITS
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TaskName, in_order
from harness.report.panels import LINES, MARKS, SMALL, TEXT, empty_figure, faint_lines, force_axis, key_of_curves
from harness.study.figure_groups import label_of
from harness.study.run_record import DistanceRecord, TestSplitName
from harness.study.summary import SPLITS as TEST_SPLITS
from harness.study.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Literal["spacer", "distance"]

_MOST_COLUMNS: Final = 4
_X_LABELS: Final = {
    "spacer": "spacer length, CH$_2$ groups",
    "distance": "distance to training / typical ID distance",
}
_Y_LABEL: Final = {"spacer": "force MAE, meV/Å", "distance": "force error of an atom, meV/Å"}


def curve_figure(lines: Sequence[Line], rows: Sequence[str], curve: Curve) -> "Figure":
    """Panels on common axes; the spacers of training are shaded.

    Args:
        lines: Lines of all tasks; those of other rows are left out.
        rows: Rows in order.
        curve: What the error is drawn against.
    """
    shown = {(line.row, line.task): line for line in lines if line.row in rows}
    tasks = in_order(task for _, task in shown)
    by_row = len(tasks) > _MOST_COLUMNS
    n_columns, n_lines = (len(rows), len(tasks)) if by_row else (len(tasks), len(rows))
    figure = empty_figure(1.4 + 2.05 * n_columns, 1.1 + 1.15 * n_lines)
    panels = figure.subplots(n_lines, n_columns, squeeze=False, sharex=True, sharey=True)
    for vertical in range(n_lines):
        for across in range(n_columns):
            row, task = (rows[across], tasks[vertical]) if by_row else (rows[vertical], tasks[across])
            _panel(panels[vertical][across], shown.get((row, task)), curve)
    for across in range(n_columns):
        title = label_of(rows[across]) if by_row else _task_text(lines, tasks[across])
        panels[0][across].set_title(title, fontsize=SMALL, fontweight="bold", parse_math=False)
    for vertical in range(n_lines):
        title = _task_text(lines, tasks[vertical]) if by_row else label_of(rows[vertical])
        panels[vertical][-1].set_ylabel(
            title, fontsize=SMALL, rotation=0, ha="left", va="center", labelpad=6, parse_math=False
        )
        panels[vertical][-1].yaxis.set_label_position("right")
    figure.supylabel(_Y_LABEL[curve], fontsize=TEXT)
    # A label of the whole x axis would lie on the key: the layout of matplotlib does not keep them apart.
    key_of_curves(figure, _X_LABELS[curve])
    return figure


def _task_text(lines: Sequence[Line], task: TaskName) -> str:
    title = next(line.title for line in lines if line.task == task)
    return f"{task}\n{title}"


def _panel(axes: "Axes", line: Line | None, curve: Curve) -> None:
    axes.set(yscale="log")
    if curve == "distance":
        axes.set(xscale="log")
        force_axis(axes.xaxis)
    else:
        axes.set_xticks((2, 4, 6, 8, 10, 12))
    force_axis(axes.yaxis, (1.0, 2.0, 5.0))
    faint_lines(axes)
    axes.tick_params(labelsize=SMALL)
    if line is None:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", fontsize=SMALL)
        return
    if curve == "spacer":
        trained = [spacer for split, spacer in line.by_spacer if split == "test_id"]
        axes.axvspan(min(trained) - 0.5, max(trained) + 0.5, color="#EFEFEF", zorder=0)
    for split in TEST_SPLITS:
        places, errors = _points(line, split, curve)
        axes.plot(
            places,
            [error / MILLI for error in errors],
            color=SPLITS[split],
            marker=MARKS[split],
            markersize=3.5,
            linewidth=1.5,
            linestyle=LINES[split],
        )


def _points(line: Line, split: TestSplitName, curve: Curve) -> tuple[list[float], list[float]]:
    if curve == "distance":
        return binned_errors([record.distances for record in line.records], split)
    found = sorted(
        (spacer, spread.value)
        for (of, spacer), spread in line.by_spacer.items()
        if of == split and spread.value is not None
    )
    return [float(spacer) for spacer, _ in found], [error for _, error in found]


def binned_errors(distances: Sequence[DistanceRecord], split: TestSplitName) -> tuple[list[float], list[float]]:
    """Midpoint and error of each bin, mean over seeds; bins without atoms of the split are omitted.

    Args:
        distances: Records of the seeds of one row on one task, which share their bins.
        split: Test split.
    """
    places, errors = [], []
    for number, middle in enumerate(distances[0].middles):
        found = [error for record in distances if (error := record.error[split][number]) is not None]
        if found:
            places.append(middle)
            errors.append(fmean(found))
    return places, errors
